import sys, math, torch; torch.set_num_threads(1)
from torch import nn

out, groups = sys.argv[1], int(sys.argv[2]); flat_only = len(sys.argv) > 3

from dataclasses import replace
from minimagen import checkpoint, pixels
from minimagen.text import TextEncoder
from minimagen.shapes import Shapes
import minimagen.cascade as ca
enc=TextEncoder("data/weights/text","cpu"); text=enc.encode(["a large red circle"])
den, s = checkpoint.load(out); print("psnr", end=" ")
d=Shapes(256,"held-out",{"single":1.0}); ps=[]; ins=[]
xs=torch.stack([pixels.from_uint8(d[i][0]) for i in range(16)]); caps=[d[i][1] for i in range(16)]
st=ca.stage_of(den.eval(), replace(s,steps=10,sampler="ddim"))
for p in st.run(enc.encode(caps),pixels.resize(xs,64),[torch.Generator().manual_seed(3+i) for i in range(16)]) if False else st.run(enc.encode(caps),pixels.resize(xs,64),torch.Generator().manual_seed(3)): last=p.x0
e=(last-xs).square().mean((1,2,3)); print("shapes psnr dB", (10*torch.log10(4/e)).mean().item())
inside=torch.nn.functional.avg_pool2d((xs<0.9).any(1,keepdim=True).float(),9,1,4)>0.99
print("inside mae",((last-xs).abs().mean(1,keepdim=True)[inside]).mean().item(), "white", ((last-xs).abs().mean(1,keepdim=True)[~inside]).mean().item())
for name,col in (("red",(.72,-.69,-.69)),("blue",(-.7,-.3,.8)),("grey",(0,0,0))):
    low=torch.tensor(col,dtype=torch.float32).view(1,3,1,1).expand(1,3,32,32).contiguous()
    st=ca.stage_of(den, replace(s,size=128,steps=10,sampler="ddim"))
    for p in st.run(text,low,torch.Generator().manual_seed(3)): l2=p.x0
    print(name,l2.mean((0,2,3)).tolist(),l2.std((0,2,3)).tolist(),flush=True)
from PIL import Image
g=pixels.to_uint8(pixels.grid(last.clamp(-1,1),4)).permute(1,2,0).numpy(); Image.fromarray(g).save(f"/tmp/w/b/cmp-{groups}.png")
