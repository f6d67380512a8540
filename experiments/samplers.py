"""Measure how many steps the base needs, and by which sampler: `python -m experiments.samplers`, 15
minutes on one core.

Held-out captions of single shapes, the same captions and noise at every point; weight and threshold
as the stage says. Heun's method asks the network twice a step, the others once: `evaluations`
counts. What the file holds for these weights is not measured again. right, levelled, page, dark and
frechet are those of curves.py; intervals hold 95 %.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import torch

from experiments.curves import BATCH, distance, measure, pages, settings
from minimagen.cascade import Cascade
from minimagen.data.shapes import Shapes
from minimagen.files import processor, shipped, write
from minimagen.samplers import STEPS

COUNTS = (6, 12, 24, 48)
POINTS = [(sampler, count) for sampler in STEPS for count in COUNTS]
OUT = Path(__file__).with_name("results") / "samplers.json"


def point(base: Cascade, captions: list[str], seed: int, sampler: str, count: int) -> dict:
    """The measures of one picture a caption, drawn in `count` steps of that sampler."""
    stage = base.stages[0].with_settings(steps=count, sampler=sampler)
    drawn = Cascade(base.encoder, [stage])
    parts = [
        drawn.draw(captions[i : i + BATCH], seed + i)[0] for i in range(0, len(captions), BATCH)
    ]
    pictures = torch.cat(parts)
    found = {
        "sampler": sampler,
        "steps": count,
        "evaluations": count * (2 if sampler == "heun" else 1),
    }
    near = distance(pictures, pages(captions, pictures.shape[-1], f"{seed} 0"))
    return {**found, **measure(pictures, captions), "frechet": near}


def main() -> None:
    """Measure what is not yet there, save after each point, and say it."""
    parser = argparse.ArgumentParser(
        description="measure samplers and their numbers of steps on the base"
    )
    parser.add_argument(
        "--captions", type=int, default=128, help="how many captions (default: 128)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT,
        help=f"where the figures go (default: {OUT.name} beside this file)",
    )
    given = parser.parse_args()
    base = Cascade.load(shipped("weights") / "base", device="cpu")
    size, seed = base.stages[0].size, 0
    captions = [Shapes(size, "held-out", {"single": 1.0}).caption(i) for i in range(given.captions)]
    told = settings(base, shipped("weights") / "base", given.captions, seed)
    told |= {"base": {key: told["base"][key] for key in ("sha256", "encoder", "size")}}
    told.pop("steps")
    held = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    points = (
        held["points"]
        if held.get("base") == told["base"] and held.get("data") == told["data"]
        else []
    )
    told["command"] = " ".join(["python", "-m", "experiments.samplers", *sys.argv[1:]])
    told["machine"] = (
        f"{processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores, torch "
        f"{torch.__version__}"
    )
    for sampler, count in POINTS:
        if all((p["sampler"], p["steps"]) != (sampler, count) for p in points):
            points.append(point(base, captions, seed, sampler, count))
            content = json.dumps({**told, "points": points}, indent=1) + "\n"
            write(
                given.out, lambda path, content=content: path.write_text(content, encoding="utf-8")
            )
            shown = points[-1]
            print(
                f"{sampler}, {count} steps: right {shown['right']['all']['value']:.3f}", flush=True
            )


if __name__ == "__main__":
    main()
