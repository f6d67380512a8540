"""Scenes of two among animals, plants and food."""
import json, sys, time, numpy as np, torch
from minimagen.emoji import Scenes, STYLES, records
torch.set_num_threads(1)
start, stop = int(sys.argv[1]), int(sys.argv[2]); t=time.time()
data=[Scenes(s,64,"train",words=1) for s in STYLES]
for d in data: d.rows=[r for r in d.rows if records(d.style)[r]["group"] in ("animals-nature","food-drink")]; print(len(d.rows))
n=stop-start; out=np.lib.format.open_memmap(f"/tmp/w/zoo-{start}.npy","w+",np.uint8,(n,3,64,64)); caps=[]
for j in range(n):
    i=start+j; pic,cap=data[i%2][i//2]; out[j]=pic.numpy(); caps.append(cap)
out.flush(); json.dump(caps,open(f"/tmp/w/zoo-{start}.json","w")); print(n,time.time()-t)
