"""Measure what the augmentation level in sampling does to the pictures of the shipped 64 -> 256
network.

    python -m experiments.augmentation
        every point: some seven minutes on one core
    python -m experiments.augmentation --given drawn         the points of one kind of small picture
    python -m experiments.augmentation --pages 4
        a quick look; choose another --out for it

The pages are held-out single shapes. given: "clean", the page itself, shrunk; "blotched", the same
with smooth errors of deviation 0.2; "drawn", what the shipped base draws from the caption. psnr:
against the page at 256 pixels, in decibels (a drawn picture has no such page). right: is it what
the sentence says? edge: how many pixels an edge takes. strays: the mean distance of the picture,
shrunk again, from the small picture that was handed over. Intervals hold 95 %, over pages. Level
null is the bicubic enlargement. Lesson 13 draws experiments/results/augmentation.json.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from minimagen import pixels
from minimagen.cascade import Cascade, Stage, seeded
from minimagen.conditioning import Text
from minimagen.data.shapes import Shapes
from minimagen.evaluation.alignment import alignment
from minimagen.evaluation.metrics import agreement, bootstrap, edge_width
from minimagen.files import processor, shipped

LEVELS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
GIVEN = ("clean", "blotched", "drawn")
ERROR, BLOTCHES = 0.2, 16  # deviation of the smooth errors, and how many of them lie along a side
FIRST, BATCH = 4, 8
OUT = Path(__file__).with_name("results") / "augmentation.json"


def blotched(small: Tensor) -> Tensor:
    """Small pictures (N, 3, h, h) with smooth errors, those of picture i from a generator seeded by
    i.
    """
    error = [
        torch.randn(3, BLOTCHES, BLOTCHES, generator=torch.Generator().manual_seed(i))
        for i in range(len(small))
    ]
    return small + F.interpolate(ERROR * torch.stack(error), size=small.shape[-1], mode="bicubic")


def enlarged(stage: Stage, text: Text, below: Tensor) -> Tensor:
    """What the stage draws from the small pictures, picture i with a generator of its own: (N, 3,
    size, size).
    """
    parts = []
    for start in range(0, len(below), BATCH):
        rows = slice(start, min(start + BATCH, len(below)))
        *_, last = stage.run(
            text[rows], below[rows], [seeded(i, 1) for i in range(rows.start, rows.stop)]
        )
        parts.append(last.x0)
    return torch.cat(parts)


def psnr(picture: Tensor, truth: Tensor) -> Tensor:
    """10 log10(4 / mean squared error) of pictures in [-1, 1]: (B, C, H, W) twice -> (B,) dB."""
    return 10 * torch.log10(4 / (picture - truth).square().flatten(1).mean(1))


def mean(values: Tensor) -> dict:
    low, high = bootstrap(values)
    return {
        "value": round(values.double().mean().item(), 4),
        "low": round(low, 4),
        "high": round(high, 4),
    }


def measure(drawn: Tensor, below: Tensor, captions: list[str], page: Tensor | None) -> dict:
    """What the drawings tell; `page` are the pictures that they should be, where there are any."""
    found = {
        "right": mean(alignment(drawn, captions).counted("all")),
        "edge": mean(edge_width(drawn)),
        "strays": mean(agreement(drawn, below)),
    }
    if page is None:
        return found
    reached = psnr(drawn, page)
    return {
        "psnr": mean(reached),
        **found,
        "psnr of the first": [round(value, 3) for value in reached[:FIRST].tolist()],
    }


def points(cascade: Cascade, given: str, pages: int) -> Iterator[dict]:
    """Every level on one kind of small picture, and the bicubic enlargement beside them."""
    stage, data = cascade.stages[1], Shapes(cascade.stages[1].size, "held-out", {"single": 1.0})
    captions = [data.caption(i) for i in range(pages)]
    page = torch.stack([pixels.from_uint8(data[i][0]) for i in range(pages)])
    small = pixels.resize(page, cascade.stages[0].size)
    if given == "drawn":
        below, page = cascade.draw(captions, size=small.shape[-1])[0], None
    else:
        below = small if given == "clean" else blotched(small)
    yield {
        "given": given,
        "level": None,
        **measure(pixels.resize(below, stage.size), below, captions, page),
    }
    text = cascade.encoder.encode(captions)
    for level in LEVELS:
        drawn = enlarged(stage.with_settings(aug_level=level), text, below)
        yield {"given": given, "level": level, **measure(drawn, below, captions, page)}


def settings(cascade: Cascade, pages: int) -> dict:
    """All that decides the figures, but for the rounding of a machine."""
    folders = {
        name: shipped("weights") / name / "weights.safetensors" for name in ("base", "sr256")
    }
    return {
        "weights": {
            name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in folders.items()
        },
        "steps": {"base": cascade.stages[0].steps, "sr256": cascade.stages[1].steps},
        "data": {"name": "shapes", "split": "held-out", "kinds": {"single": 1.0}, "pages": pages},
        "seed": "page i: (i, 0) for the base, (i, 1) for the network, i for its blotches",
        "blotched": f"errors of deviation {ERROR} on a grid of {BLOTCHES}, enlarged",
    }


def save(out: Path, told: dict, found: list[dict]) -> None:
    """Put the points into the file in place of older ones. Other settings in it are an error."""
    run = {
        "command": " ".join(["python", "-m", "experiments.augmentation", *sys.argv[1:]]),
        "machine": f"{processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores, torch "
        f"{torch.__version__}",
    }
    held = (
        json.loads(out.read_text(encoding="utf-8"))
        if out.exists()
        else {**told, "runs": [], "points": []}
    )
    differ = [name for name in told if held[name] != told[name]]
    if differ:
        raise SystemExit(
            f"{out.name} holds figures with another {', '.join(differ)}: remove it, or choose "
            "another --out"
        )
    held["runs"] = held["runs"] if run in held["runs"] else [*held["runs"], run]
    new = {point["given"] for point in found}
    held["points"] = [point for point in held["points"] if point["given"] not in new] + found
    held["points"].sort(
        key=lambda p: (GIVEN.index(p["given"]), -1 if p["level"] is None else p["level"])
    )
    out.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description="measure the augmentation level of the shipped 64 -> 256 network"
    )
    parser.add_argument("--given", nargs="+", choices=GIVEN, default=list(GIVEN))
    parser.add_argument(
        "--pages", type=int, default=24, help=f"how many pages, at least {FIRST} (default: 24)"
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=8,
        help="denoiser evaluations of the 64 -> 256 network (default: 8)",
    )
    parser.add_argument("--out", type=Path, default=OUT)
    wanted = parser.parse_args()
    if wanted.pages < FIRST:
        parser.error(f"--pages must be at least {FIRST}, got {wanted.pages}")
    cascade = Cascade.load(device="cpu")
    stages = [cascade.stages[0], cascade.stages[1].with_settings(steps=wanted.steps)]
    cascade = Cascade(cascade.encoder, stages)
    for given in wanted.given:
        found = list(points(cascade, given, wanted.pages))
        save(wanted.out, settings(cascade, wanted.pages), found)
        for point in found:
            words = [
                f"{name} {point[name]['value']:.3f}"
                for name in ("psnr", "right", "edge", "strays")
                if name in point
            ]
            print(
                f"{given} at {'bicubic' if point['level'] is None else point['level']}: "
                f"{', '.join(words)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
