"""Pages of shapes, things and two-things at 64 pixels, with their captions."""
import json, sys, time, numpy as np, torch, random
from minimagen.recipes import dataset
from minimagen.emoji import Emoji, Scenes, STYLES
torch.set_num_threads(1)
what, start, stop = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
t=time.time()
data = dataset("shapes",64) if what=="shapes" else [Scenes(s,64,"train",words=1) for s in STYLES]
n=stop-start
out=np.lib.format.open_memmap(f"/tmp/w/{what}-{start}.npy","w+",np.uint8,(n,3,64,64)); caps=[]
for j in range(n):
    i=start+j
    pic,cap = data[i] if what=="shapes" else data[i%2][i//2]
    out[j]=pic.numpy(); caps.append(cap)
out.flush(); json.dump(caps,open(f"/tmp/w/{what}-{start}.json","w"))
print(what,n,time.time()-t)
