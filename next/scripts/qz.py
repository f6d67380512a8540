import sys, torch; from minimagen.cascade import *; from minimagen.exam import *; from minimagen import pixels; from PIL import Image
from minimagen.emoji import *
from minimagen.likeness import halves, likeness
from minimagen.evaluate import retrieval
torch.set_num_threads(1)
c=Cascade.load(sys.argv[1],"cpu","data/weights/text"); n=int(sys.argv[2])
data=[Scenes(s,64,"held-out",words=1) for s in STYLES]
for d in data: d.rows=[r for r in d.rows if records(d.style)[r]["group"] in ("animals-nature","food-drink")]
items=[data[k%2][k//2] for k in range(n)]; caps=[x[1] for x in items]
x=torch.cat([c.draw(caps[i:i+32],1+i)[0] for i in range(0,n,32)]); torch.save((caps,x),sys.argv[3] if len(sys.argv)>3 else "/tmp/w/qz.pt")
r=both_recognised(x,caps); print("both", r.share(1),r.share(5))
from minimagen.exam import _known
one=[]
for p,cap in zip(x,caps):
    style,rel,rows=placed(cap); f=likeness(torch.stack(halves(p,rel))); one.append(retrieval(f,_known(style),torch.tensor(rows)).ranks)
o=torch.stack(one); print("each", (o==0).float().mean(0), (o<5).float().mean(0), "raw", o[:10].tolist())
real=torch.stack([pixels.from_uint8(i[0]) for i in items[:16]])
g=pixels.to_uint8(pixels.grid(pixels.resize(torch.cat([real[:8],x[:8],real[8:16],x[8:16]]),128).clamp(-1,1),8)).permute(1,2,0).numpy(); Image.fromarray(g).save('/tmp/w/qz.png')
