import json, sys, time, numpy as np, torch
from minimagen.recipes import dataset
torch.set_num_threads(1)
start, stop = int(sys.argv[1]), int(sys.argv[2]); d = dataset("shapes", 64); d.kinds = {"single":0.2,"pair":0.55,"count":0.05,"triple":0.2}
t=time.time(); n=stop-start
out=np.lib.format.open_memmap(f"/tmp/w/shapes-{start}.npy","w+",np.uint8,(n,3,64,64)); caps=[]
for j in range(n):
    pic,cap=d[start+j]; out[j]=pic.numpy(); caps.append(cap)
out.flush(); json.dump(caps,open(f"/tmp/w/shapes-{start}.json","w")); print(n,time.time()-t)
