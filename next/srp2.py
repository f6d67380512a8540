"""srp2.py STAGE STEPS OUT SOURCE [GROUPS]: super-resolution with patches of 2 and one more level; SOURCE is one of patch 4 (inner levels are taken) or of patch 2 already."""
import json, shutil, sys, time, numpy as np, torch
from dataclasses import replace
from pathlib import Path
from accelerate import Accelerator
from minimagen import checkpoint, emoji, recipes
from minimagen.text import TextEncoder
from minimagen.unet import UNetConfig
torch.set_num_threads(1)
stage, steps, out, source = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
groups = int(sys.argv[5]) if len(sys.argv) > 5 else 4
config = UNetConfig(32, (1, 2, 3), (1, 1, 2), (None, None, "cross"), text_width=128, lowres=True, patch=2, groups=groups)
old, told = checkpoint.load(source, "cpu")
begin = Path(f"../w/b/begin2-{stage}")
if told.config.patch == 4:
    settings = replace(told, config=config)
    torch.manual_seed(0); new = settings.build(); have, want = old.state_dict(), new.state_dict(); n = 0
    def name(k):  # new name -> old name
        p = k.split(".")  # net.down.1.weight
        if p[0] == "net" and p[1] in ("down", "before"):
            i = int(p[2]) - 1; return None if i < 0 else ".".join([*p[:2], str(i), *p[3:]])
        if p[0] == "net" and p[1] in ("after", "up"):
            i = int(p[2]); return None if i > 1 else k
        return None if p[:2] in (["net", "first"], ["net", "last"]) else k
    for k in want:
        o = name(k)
        if o and o in have and have[o].shape == want[k].shape: want[k] = have[o]; n += 1
        else: print("new", k, tuple(want[k].shape))
    new.load_state_dict(want); print("taken", n, "of", len(want)); checkpoint.save(begin, new, settings)
else:
    shutil.rmtree(begin, ignore_errors=True); shutil.copytree(source, begin, ignore=shutil.ignore_patterns("state*", "samples", "log*"))
where = {s: {r: k for k, r in enumerate(emoji.rows(s, "train", 1))} for s in emoji.STYLES}
big = {}
def cut(self, i, top, left, side):
    key = (self.style, self.size)
    if key not in big: big[key] = np.load(f"../w/big-{self.style}-{self.size}.npy", mmap_mode="r")
    return torch.from_numpy(np.array(big[key][where[self.style][self.items[i][0]]][:, top:top+side, left:left+side]))
emoji.Emoji.cut = cut
recipe = recipes.RECIPES[stage, "cpu"]
recipe = replace(recipe, steps=steps, save=200, settings=replace(recipe.settings, config=config))
acc = Accelerator(mixed_precision="bf16", cpu=True)
data = recipes.Mixture(recipes.dataset("shapes", recipe.settings.size), recipes.dataset("things", recipe.settings.size), weights=[1, 1])
t = time.time()
for n, s in recipes.follow(recipe, data, TextEncoder("data/weights/text", "cpu"), out, source=begin, resume=True, accelerator=acc):
    if n % 100 == 0: print(n, round(s.loss, 5), round(time.time() - t), flush=True)
