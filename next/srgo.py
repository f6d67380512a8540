"""srgo.py STAGE STEPS OUT SOURCE: go on with a super-resolution network, two groups of channels a normalisation, from SOURCE."""
import json, shutil, sys, time, numpy as np, torch
from dataclasses import replace
from pathlib import Path
from accelerate import Accelerator
from minimagen import emoji, recipes
from minimagen.text import TextEncoder
torch.set_num_threads(1)
stage, steps, out, source = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
begin = Path(f"/tmp/w/b/begin-{stage}"); shutil.rmtree(begin, ignore_errors=True); shutil.copytree(source, begin, ignore=shutil.ignore_patterns("state*", "samples", "log*"))
told = json.loads((begin / "stage.json").read_text()); told["config"]["groups"] = 2; (begin / "stage.json").write_text(json.dumps(told))
where = {s: {r: k for k, r in enumerate(emoji.rows(s, "train", 1))} for s in emoji.STYLES}
big = {}
def cut(self, i, top, left, side):
    key = (self.style, self.size)
    if key not in big: big[key] = np.load(f"/tmp/w/big-{self.style}-{self.size}.npy", mmap_mode="r")
    return torch.from_numpy(np.array(big[key][where[self.style][self.items[i][0]]][:, top:top+side, left:left+side]))
emoji.Emoji.cut = cut
recipe = recipes.RECIPES[stage, "cpu"]
recipe = replace(recipe, steps=steps, save=200, settings=replace(recipe.settings, config=replace(recipe.settings.config, groups=2)))
acc = Accelerator(mixed_precision="bf16", cpu=True)
t = time.time()
for n, s in recipes.follow(recipe, recipes.dataset("some", recipe.settings.size), TextEncoder("data/weights/text", "cpu"), out, source=begin, resume=True, accelerator=acc):
    if n % 200 == 0: print(n, round(s.loss, 5), round(time.time() - t), flush=True)
