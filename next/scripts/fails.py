import torch,sys; from minimagen.cascade import Cascade; from minimagen.exam import paper; from minimagen.evaluate import alignment, read; from minimagen.shapes import parse
torch.set_num_threads(1)
c=Cascade.load("data/weights/base","cpu"); n=128; w=float(sys.argv[1])
caps,_=paper("shapes","held-out","pair",n,64)
x=torch.cat([c.draw(caps[i:i+32],1+i,weight=w)[0] for i in range(0,n,32)])
torch.save((caps,x),f"/tmp/w/fails-{w}.pt")
r=alignment(x,caps); print(w,r.all,r.objects,r.colours,r.sizes,r.relation)
for i in range(n):
    if not r.right["all"][i]:
        print([k for k in r.right if not r.right[k][i]], caps[i], "|", [(o.size,o.colour,o.shape,round(o.r,3)) for o in read(x[i])])
