"""Measure what the augmentation level in sampling does to the pictures of the shipped 64 -> 256
network.

    python -m experiments.augmentation
        every point: some seven minutes on one core
    python -m experiments.augmentation --given drawn
        the points of one kind of small picture
    python -m experiments.augmentation --pages 4 --steps 1 --out /tmp/quick.json
        a quick look

The pages are held-out single shapes. given: "clean", the page itself, shrunk; "blotched", the same
with smooth errors of deviation 0.2; "drawn", what the shipped base draws from the caption. psnr:
against the page at 256 pixels, in decibels (a drawn picture has no such page). right: is it what
the sentence says? edge: how many pixels an edge takes. strays: the mean distance of the picture,
shrunk again, from the small picture that was handed over. Intervals hold 95 %, over pages. Level
null is the bicubic enlargement. Lesson 13 draws experiments/results/augmentation.json.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from experiments._common import (
    digest,
    draw,
    mean,
    merged,
    note_run,
    parser,
    results,
    rounded,
    share,
)
from minimagen import pixels
from minimagen.cascade import Cascade, Stage, seeded
from minimagen.conditioning import Text
from minimagen.data.shapes import Shapes
from minimagen.evaluation.alignment import alignment
from minimagen.evaluation.metrics import agreement, edge_width
from minimagen.files import shipped
from minimagen.samplers import last

LEVELS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
GIVEN = ("clean", "blotched", "drawn")
ERROR, BLOTCHES = 0.2, 16  # deviation of the smooth errors, and how many of them lie along a side
FIRST, BATCH, DIGITS = 4, 8, 4


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
        generators = [seeded(i, 1) for i in range(rows.start, rows.stop)]
        parts.append(last(stage.run(text[rows], below[rows], generators)).x0)
    return torch.cat(parts)


def psnr(picture: Tensor, truth: Tensor) -> Tensor:
    """10 log10(4 / mean squared error) of pictures in [-1, 1]: (B, C, H, W) twice -> (B,) dB."""
    return 10 * torch.log10(4 / (picture - truth).square().flatten(1).mean(1))


def measure(drawn: Tensor, below: Tensor, captions: list[str], page: Tensor | None) -> dict:
    """What the drawings show; `page` are the pictures that they should be, where there are any."""
    rows = {
        "right": share(alignment(drawn, captions).counted("all")),
        "edge": mean(edge_width(drawn)),
        "strays": mean(agreement(drawn, below)),
    }
    rows = {name: rounded(row, DIGITS) for name, row in rows.items()}
    if page is None:
        return rows
    reached = psnr(drawn, page)
    first = [round(value, 3) for value in reached[:FIRST].tolist()]
    return {"psnr": rounded(mean(reached), DIGITS), **rows, "psnr of the first": first}


def points(cascade: Cascade, kind: str, pages: int) -> Iterator[dict]:
    """Every level on one kind of small picture, and the bicubic enlargement beside them."""
    base, stage = cascade.stages[:2]
    data = Shapes(stage.size, "held-out", {"single": 1.0})
    captions = [data.caption(i) for i in range(pages)]
    page = torch.stack([pixels.from_uint8(data[i][0]) for i in range(pages)])
    small = pixels.resize(page, base.size)
    if kind == "drawn":
        below, page = draw(cascade, captions, size=base.size), None
    else:
        below = small if kind == "clean" else blotched(small)
    bicubic = pixels.resize(below, stage.size)
    yield {"given": kind, "level": None, **measure(bicubic, below, captions, page)}
    text = cascade.encoder.encode(captions)
    for level in LEVELS:
        drawn = enlarged(stage.with_settings(aug_level=level), text, below)
        yield {"given": kind, "level": level, **measure(drawn, below, captions, page)}


def settings(cascade: Cascade, pages: int) -> dict:
    """All that decides the figures, but for the rounding of a machine."""
    names = ("base", "sr256")
    return {
        "weights": {name: digest(shipped("weights") / name) for name in names},
        "steps": dict(zip(names, (stage.steps for stage in cascade.stages), strict=False)),
        "data": {"name": "shapes", "split": "held-out", "kinds": {"single": 1.0}, "pages": pages},
        "seed": "page i: (i, 0) for the base, (i, 1) for the network, i for its blotches",
        "blotched": f"errors of deviation {ERROR} on a grid of {BLOTCHES}, enlarged",
    }


def place(point: dict) -> tuple:
    """Where the point stands in the file: the bicubic enlargement before all levels."""
    return GIVEN.index(point["given"]), -1 if point["level"] is None else point["level"]


def main() -> None:
    """Measure all that is chosen, and save after each kind of small picture."""
    cli = parser(__doc__, "augmentation.json")
    cli.add_argument("--given", nargs="+", choices=GIVEN, default=list(GIVEN))
    cli.add_argument(
        "--pages", type=int, default=24, help=f"how many pages, at least {FIRST} (default: 24)"
    )
    cli.add_argument("--steps", type=int, default=8, help="of the 64 -> 256 network (default: 8)")
    options = cli.parse_args()
    if options.pages < FIRST:
        cli.error(f"--pages must be at least {FIRST}, got {options.pages}")
    cascade = Cascade.load(device="cpu")
    stages = [cascade.stages[0], cascade.stages[1].with_settings(steps=options.steps)]
    cascade = Cascade(cascade.encoder, stages)
    for kind in options.given:
        new = list(points(cascade, kind, options.pages))
        with results(options.out, settings(cascade, options.pages)) as kept:
            note_run(kept, "augmentation")
            kept["points"] = merged(kept.get("points", []), new, place)
        for point in new:
            names = [name for name in ("psnr", "right", "edge", "strays") if name in point]
            words = ", ".join(f"{name} {point[name]['value']:.3f}" for name in names)
            level = "bicubic" if point["level"] is None else point["level"]
            print(f"{kind} at {level}: {words}", flush=True)


if __name__ == "__main__":
    main()
