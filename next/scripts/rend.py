import numpy as np, sys
from minimagen.emoji import *
for size in (256,1024):
    for style in STYLES:
        rr=rows(style,"train",1)
        out=np.lib.format.open_memmap(f"/tmp/w/big-{style}-{size}.npy","w+",np.uint8,(len(rr),3,size,size))
        for k,r in enumerate(rr): out[k]=render(document(records(style)[r],size))
        out.flush(); print(style,size,len(rr),flush=True)
