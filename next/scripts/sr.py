import sys, time, numpy as np, torch
from dataclasses import replace
from pathlib import Path
from accelerate import Accelerator
from minimagen import emoji, recipes
from minimagen.text import TextEncoder
torch.set_num_threads(1)
stage, steps, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
where = {s: {r: k for k, r in enumerate(emoji.rows(s, "train", 1))} for s in emoji.STYLES}
big = {}
def cut(self, i, top, left, side):
    key = (self.style, self.size)
    if key not in big: big[key] = np.load(f"/tmp/w/big-{self.style}-{self.size}.npy", mmap_mode="r")
    return torch.from_numpy(np.array(big[key][where[self.style][self.items[i][0]]][:, top:top+side, left:left+side]))
emoji.Emoji.cut = cut
recipe = replace(recipes.RECIPES[stage, "cpu"], steps=steps, save=200)
enc = TextEncoder("data/weights/text", "cpu")
acc = Accelerator(mixed_precision="bf16", cpu=True)
t = time.time()
for n, s in recipes.follow(recipe, recipes.dataset("some", recipe.settings.size), enc, Path(out), source=Path(f"data/weights/{stage}") if len(sys.argv) < 5 else Path(sys.argv[4]), accelerator=acc):
    if n % 50 == 0 or n < 0: print(n, round(s.loss, 5), round(time.time() - t), flush=True)
