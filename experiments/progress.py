"""How drawing grew with training: `python -m experiments.progress STAGE ...`, stages in the order
they were trained.

Each STAGE is a folder as `minimagen train` leaves it, or a copy made on the way and named LEG-STEP;
they go on from the last point that the file holds. Every one draws the same held-out captions, 128
of each kind, from the same noise and with the same guidance; a stage of 32 pixels is read at 64.
right: everything the caption says, or of things (emoji named in one word) the right one nearest, of
picnics (two animals, plants or foods) both; intervals hold 95 %. pictures: how many training had
seen, all legs together. progress/STAGE.png: the first drawings of each kind. docs/WEIGHTS.md shows
all of it.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

import torch

from minimagen import pixels
from minimagen.cascade import Cascade
from minimagen.evaluation.alignment import alignment
from minimagen.evaluation.exam import captions_and_references
from minimagen.evaluation.recognition import both_recognised, recognised
from minimagen.files import processor, write

KINDS, CAPTIONS, BATCH, READ = ("single", "pair", "triple", "things", "picnic"), 128, 32, 64
JUDGES = {"things": recognised, "picnic": both_recognised}  # of shapes, `alignment`
ASKED = {
    kind: (kind, "held-out", None) if kind in JUDGES else ("shapes", "held-out", kind)
    for kind in KINDS
}
WEIGHT = 2.0  # of guidance, the same for all stages
SHOWN = {
    "single": 4,
    "pair": 6,
    "triple": 2,
    "things": 4,
    "picnic": 4,
}  # drawings on a stage's strip
OUT = Path(__file__).with_name("results") / "progress.json"


def measured(folder: Path, encoder: str | None, strip: Path) -> dict:
    """What one stage gets right of each kind of caption; its first drawings go into `strip`."""
    base = Cascade.load(folder, "cpu", encoder)
    base = Cascade(base.encoder, [base.stages[0].with_settings(weight=WEIGHT)])
    size, right, shown = base.stages[0].size, {}, []
    for kind in KINDS:
        captions, _ = captions_and_references(*ASKED[kind], CAPTIONS, READ)
        drawn = torch.cat(
            [base.draw(captions[i : i + BATCH], i)[0] for i in range(0, CAPTIONS, BATCH)]
        )
        drawn = pixels.resize(drawn, READ).clamp(-1, 1)
        shown.append(drawn[: SHOWN[kind]])
        report, of = JUDGES.get(kind, alignment)(drawn, captions), 1 if kind in JUDGES else "all"
        low, high = report.interval(of)
        right[kind] = {"value": report.share(of), "low": low, "high": high}
        right[kind] |= {} if kind in JUDGES else {"objects": report.objects}
    row = pixels.to_pil(pixels.grid(torch.cat(shown), sum(SHOWN.values())))
    write(strip, lambda path: row.save(path, "PNG", optimize=True))
    return {"size": size, "right": right}


def main() -> None:
    """Measure each stage, and save after it."""
    parser = argparse.ArgumentParser(description="measure a base at several points of its training")
    parser.add_argument(
        "stages",
        nargs="+",
        type=Path,
        metavar="STAGE",
        help="their folders, in the order of training",
    )
    parser.add_argument(
        "--text-encoder", help="the encoder that they were trained with (default: the shipped one)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT,
        help=f"where the figures go (default: {OUT.name} beside this file)",
    )
    given = parser.parse_args()
    cores = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    machine = f"{processor()}, {cores}, torch {torch.__version__}"
    held = (
        json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {"points": []}
    )
    points, told = (
        held["points"],
        {"captions": CAPTIONS, "split": "held-out", "read": READ, "weight": WEIGHT},
    )
    before, legs = max((point["pictures"] for point in points), default=0), {}
    for folder in given.stages:
        digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
        trained = json.loads((folder / "stage.json").read_text(encoding="utf-8"))["trained"]
        legs[folder.name.split("-")[0]] = trained["steps"] * trained["batch"]
        if any(point["sha256"] == digest for point in points):
            raise ValueError(f"STAGE must be one that {given.out} does not hold yet, got {folder}")
        right = measured(
            folder, given.text_encoder, given.out.with_suffix("") / f"{folder.name}.png"
        )
        here = {
            "stage": folder.name,
            "sha256": digest,
            "pictures": before + sum(legs.values()),
            "machine": machine,
        }
        points.append(here | right)
        content = json.dumps({**told, "points": points}, indent=1) + "\n"
        write(given.out, lambda path, content=content: path.write_text(content, encoding="utf-8"))
        print(
            folder.name,
            {kind: round(share["value"], 3) for kind, share in right["right"].items()},
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
