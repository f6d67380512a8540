import sys, torch; from minimagen.cascade import *; from minimagen.exam import recognised, both_recognised, paper; from minimagen.evaluate import alignment
torch.set_num_threads(1)
c=Cascade.load(sys.argv[1],"cpu","data/weights/text"); c.encoder; first=int(sys.argv[3])
for kind in sys.argv[4:]:
    n=int(sys.argv[2]); emo="things" in kind; caps,_=paper(kind if emo else "shapes","held-out",None if emo else kind,n,64)
    x=torch.cat([c.draw(caps[i:i+32],1+i)[0] for i in range(0,n,32)]); torch.save((caps,x),f"/tmp/w/q-{kind}.pt")
    if emo: r=(recognised if kind=="things" else both_recognised)(x,caps); print(kind,n,r.share(1),r.share(5),r.ranks.tolist()[:40],flush=True)
    else: r=alignment(x,caps); print(kind,n,r.all,r.objects,r.colours,r.sizes,r.relation,flush=True)
