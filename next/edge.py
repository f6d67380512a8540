"""edge.py SIZE DIR...: edge width and PSNR of real pages enlarged by a stage."""
import sys, torch; torch.set_num_threads(1)
from dataclasses import replace
from minimagen import checkpoint, pixels, evaluate
from minimagen.text import TextEncoder
from minimagen.shapes import Shapes
import minimagen.cascade as ca
from PIL import Image
size=int(sys.argv[1]); n=4; enc=TextEncoder("data/weights/text","cpu"); d=Shapes(size,"held-out",{"single":1.0})
xs=torch.stack([pixels.from_uint8(d[i][0]) for i in range(n)]); caps=[d[i][1] for i in range(n)]
rows=[]
for f in sys.argv[2:]:
    den,s=checkpoint.load(f); st=ca.stage_of(den.eval(),replace(s,steps=10,sampler="ddim"))
    outs=[]
    for i in range(n):
        for p in st.run(enc.encode([caps[i]]),pixels.resize(xs[i:i+1],size//4),torch.Generator().manual_seed(3)): last=p.x0
        outs.append(last.clamp(-1,1))
    y=torch.cat(outs); mse=(y-xs).square().mean((1,2,3)); print(f,"psnr",(10*torch.log10(4/mse)).mean().item(),"edge",evaluate.edge_width(y).mean().item(),"real",evaluate.edge_width(xs).mean().item(),flush=True)
    rows.append(y)
def win(x):
    out=[]
    for i in range(n):
        ink=(xs[i]<0.9).any(0); yy,xx=ink.nonzero(as_tuple=True); h=size//4
        t=max(0,min(size-h,int(yy.min())-h//8)); l=max(0,min(size-h,int(xx.min())-h//8)); out.append(x[i][:,t:t+h,l:l+h])
    return pixels.resize(torch.stack(out),192) if h!=192 else torch.stack(out)
g=pixels.to_uint8(pixels.grid(torch.cat([win(r) for r in [*rows,xs]]).clamp(-1,1),n)).permute(1,2,0).numpy(); Image.fromarray(g).save(f"../w/b/edge-{size}.png")
