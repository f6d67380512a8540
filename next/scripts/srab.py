"""srab.py GROUPS STEPS OUT [SOURCE] : fine-tune sr256 with another number of groups."""
import sys, math, time, numpy as np, torch
from dataclasses import replace
from pathlib import Path
from torch import nn
torch.set_num_threads(1)
groups, steps, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
stage = sys.argv[4] if len(sys.argv) > 4 else "sr256"
import minimagen.layers as L, minimagen.unet as U, minimagen.checkpoint as C
f = lambda c: nn.GroupNorm(math.gcd(groups, c), c)
L.norm = f; U.norm = f
from accelerate import Accelerator
from minimagen import emoji, recipes
from minimagen.text import TextEncoder
where = {s: {r: k for k, r in enumerate(emoji.rows(s, "train", 1))} for s in emoji.STYLES}
big = {}
def cut(self, i, top, left, side):
    key = (self.style, self.size)
    if key not in big: big[key] = np.load(f"/tmp/w/big-{self.style}-{self.size}.npy", mmap_mode="r")
    return torch.from_numpy(np.array(big[key][where[self.style][self.items[i][0]]][:, top:top+side, left:left+side]))
emoji.Emoji.cut = cut
recipe = replace(recipes.RECIPES[stage, "cpu"], steps=steps, save=100)
enc = TextEncoder("data/weights/text", "cpu")
acc = Accelerator(mixed_precision="bf16", cpu=True)
t = time.time(); rec=[]
for n, s in recipes.follow(recipe, recipes.dataset("some", recipe.settings.size), enc, Path(out), source=Path(f"data/weights/{stage}"), accelerator=acc):
    rec.append(s.loss)
    if n % 100 == 0: print(n, round(sum(rec)/len(rec), 5), round(time.time() - t), flush=True); rec=[]
