import sys, torch; from minimagen.cascade import *; from minimagen.exam import recognised, paper; from minimagen.evaluate import alignment
torch.set_num_threads(1)
c=Cascade.load(sys.argv[1],"cpu"); c.encoder
for kind in sys.argv[3:]:
    n=int(sys.argv[2]); caps,_=paper("things" if kind=="things" else "shapes","held-out",None if kind=="things" else kind,n,64)
    x=torch.cat([c.draw(caps[i:i+32],1+i)[0] for i in range(0,n,32)])
    if kind=="things": print(kind,recognised(x,caps).share(1))
    else: r=alignment(x,caps); print(kind,r.all,r.objects,r.colours,r.sizes,r.relation)
