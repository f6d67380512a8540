import torch; torch.set_num_threads(1)
from dataclasses import replace
from minimagen.cascade import Cascade
import minimagen.cascade as ca
c=Cascade.load("data/weights","cpu")
text=c.encoder.encode(["a large red circle"])
for name,col in (("white",(1,1,1)),("red",(.72,-.69,-.69)),("blue",(-.7,-.3,.8)),("grey",(0,0,0))):
    low=torch.tensor(col,dtype=torch.float32).view(1,3,1,1).expand(1,3,32,32).contiguous()
    for k in (1,2):
        st=ca.stage_of(c.stages[k].denoiser, replace(c.settings[k],size=128))
        for p in st.run(text,low,torch.Generator().manual_seed(3)): last=p.x0
        print(k,name,col,last.mean((0,2,3)).tolist(),last.std((0,2,3)).tolist(),flush=True)
