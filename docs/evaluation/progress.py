"""How drawing grew with training: `python docs/evaluation/progress.py STAGE ...`, stages in the order they were trained.

Each STAGE is a folder as `minimagen train` leaves it, or a copy made on the way and named LEG-STEP. Every one draws the same
held-out captions, 128 of each kind, from the same noise and with the same guidance; a stage of 32 pixels is read at 64. What
the file holds of a stage is not measured again. right: everything the caption says; intervals hold 95 %. pictures: how many
training had seen, all legs together. progress/STAGE.png: the first drawings of each kind. docs/WEIGHTS.md shows all of it.
"""

import argparse
import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from minimagen import pixels
from minimagen.cascade import Cascade
from minimagen.evaluate import alignment
from minimagen.files import processor, write
from minimagen.shapes import Shapes

KINDS, CAPTIONS, BATCH, READ = ("single", "pair", "triple"), 128, 32, 64
WEIGHT = 2.0  # of guidance, the same for all stages
SHOWN = {"single": 4, "pair": 6, "triple": 2}  # drawings on a stage's strip
OUT = Path(__file__).with_name("progress.json")


def measured(folder: Path, strip: Path) -> dict:
    """What one stage gets right of each kind of caption; its first drawings go into `strip`."""
    base = Cascade.load(folder, device="cpu")
    base = Cascade(base.encoder, [replace(base.stages[0], weight=WEIGHT)], base.settings)
    size, right, shown = base.stages[0].size, {}, []
    for kind in KINDS:
        captions = [Shapes(READ, "held-out", {kind: 1.0}).caption(i) for i in range(CAPTIONS)]
        drawn = torch.cat([base.draw(captions[i : i + BATCH], i)[0] for i in range(0, CAPTIONS, BATCH)])
        drawn = pixels.resize(drawn, READ).clamp(-1, 1)
        shown.append(drawn[: SHOWN[kind]])
        report = alignment(drawn, captions)
        low, high = report.interval("all")
        right[kind] = {"value": report.all, "low": low, "high": high, "objects": report.objects}
    row = pixels.to_uint8(pixels.grid(torch.cat(shown), sum(SHOWN.values()))).permute(1, 2, 0).numpy()
    write(strip, lambda path: Image.fromarray(row).save(path, "PNG", optimize=True))
    return {"size": size, "right": right}


def main() -> None:
    """Measure what is not yet there, and save after each stage."""
    parser = argparse.ArgumentParser(description="measure a base at several points of its training")
    parser.add_argument("stages", nargs="+", type=Path, metavar="STAGE", help="their folders, in the order of training")
    parser.add_argument("--out", type=Path, default=OUT, help=f"where the figures go (default: {OUT.name} beside this file)")
    given = parser.parse_args()
    held = json.loads(given.out.read_text(encoding="utf-8"))["points"] if given.out.exists() else []
    known = {point["sha256"]: point for point in held}
    digests = [hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest() for folder in given.stages]
    told = {"captions": CAPTIONS, "split": "held-out", "read": READ, "weight": WEIGHT}
    told["machine"] = f"{processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores, torch {torch.__version__}"
    legs: dict[str, int] = {}
    for folder, digest in zip(given.stages, digests, strict=True):
        trained = json.loads((folder / "stage.json").read_text(encoding="utf-8"))["trained"]
        legs[folder.name.split("-")[0]] = trained["steps"] * trained["batch"]
        if digest not in known:
            strip = given.out.with_suffix("") / f"{folder.name}.png"
            known[digest] = {"stage": folder.name, "sha256": digest, "pictures": sum(legs.values()), **measured(folder, strip)}
        content = json.dumps({**told, "points": [known[d] for d in digests if d in known]}, indent=1) + "\n"
        write(given.out, lambda path, content=content: path.write_text(content, encoding="utf-8"))
        print(folder.name, {kind: round(share["value"], 3) for kind, share in known[digest]["right"].items()}, flush=True)


if __name__ == "__main__":
    sys.exit(main())
