"""What `curves` and `samplers` share: drawings of held-out captions of one shape, measured against
real pages of the same captions.
"""

import random
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from experiments._common import digest, mean, rounded, share
from minimagen import pixels
from minimagen.cascade import Cascade
from minimagen.data.drawing import place, render
from minimagen.data.language import parse
from minimagen.data.shapes import Shapes
from minimagen.evaluation.alignment import alignment
from minimagen.evaluation.metrics import frechet, pooled_features

DRAWN, GROUPS, DIGITS = 3, 10, 5  # drawings of a caption, groups of the jackknife, digits kept


def held_out(size: int, count: int) -> list[str]:
    data = Shapes(size, "held-out", {"single": 1.0})
    return [data.caption(i) for i in range(count)]


def pages(captions: Sequence[str], size: int, name: str) -> Tensor:
    """One real picture of each caption, its objects placed at random: (N, 3, size, size)."""
    scenes = [
        place(parse(caption), random.Random(f"{name} {i}")) for i, caption in enumerate(captions)
    ]
    return torch.stack([pixels.from_uint8(render(scene, size)) for scene in scenes])


def apart(drawn: Sequence[Tensor]) -> Tensor:
    """The mean distance between any two of several drawings of each caption, in features: K times
    (N, ...) -> (N,).
    """
    features = [pooled_features(pictures).double() for pictures in drawn]
    return torch.stack([(a - b).norm(dim=1) for a, b in combinations(features, 2)]).mean(0)


def diversity(drawn: Sequence[Tensor], real: Sequence[Tensor]) -> dict:
    """How far drawings of one caption lie apart, over how far real pictures of it do."""
    return rounded(mean(apart(drawn) / apart(real).mean()), DIGITS)


def diverse(count: int) -> int:
    """Of how many captions the diversity is measured."""
    return max(4, count // 8)


def distance(ours: Tensor, theirs: Tensor) -> dict:
    """The Fréchet distance of pictures' features, its interval by a jackknife over groups of
    captions.
    """
    a, b = pooled_features(ours), pooled_features(theirs)
    whole, groups = frechet(a, b), min(GROUPS, len(a))
    kept = [torch.arange(len(a)) % groups != g for g in range(groups)]
    without = torch.tensor([frechet(a[rows], b[rows]) for rows in kept])
    error = ((groups - 1) * (without - without.mean()).square().mean()).sqrt().item()
    row = {"value": whole, "low": whole - 1.96 * error, "high": whole + 1.96 * error}
    return rounded(row, DIGITS)


def brightness(pictures: Tensor) -> Tensor:
    """How bright the page is: the median of the two outermost pixels on every side, where no object
    comes. -> (B,)
    """
    edge = torch.ones(pictures.shape[-2:], dtype=torch.bool)
    edge[2:-2, 2:-2] = False
    return pictures[..., edge].flatten(1).median(1).values


def measure(pictures: Tensor, captions: Sequence[str]) -> dict:
    """What one picture of each caption shows: `right`, `levelled`, `page`, `dark` of curves.py."""
    page, report = brightness(pictures), alignment(pictures, captions)
    levelled = alignment(pictures / page.clamp(min=0.05).reshape(-1, 1, 1, 1), captions)
    names = ("objects", "colours", "sizes", "all")
    return {
        "right": {name: rounded(share(report.counted(name)), DIGITS) for name in names},
        "levelled": rounded(share(levelled.counted("all")), DIGITS),
        "page": rounded(mean(page), DIGITS),
        "dark": rounded(mean((pictures < -0.9).flatten(1).double().mean(1)), DIGITS),
    }


def real(captions: Sequence[str], size: int, seed: int) -> dict:
    """The same measures of real pictures against others, the best to be had at this number."""
    first, other = (
        [pages(captions, size, f"{seed} {j + k}") for j in range(DRAWN)] for k in (0, DRAWN)
    )
    few = diverse(len(captions))
    return {
        **measure(other[0], captions),
        "diversity": diversity(*([each[:few] for each in many] for many in (other, first))),
        "frechet": distance(other[0], first[0]),
    }


def settings(base: Cascade, folder: Path, count: int, seed: int) -> dict:
    """What decides the figures of any sampler."""
    size = base.stages[0].size
    return {
        "base": {"sha256": digest(folder), "encoder": base.encoder.fingerprint, "size": size},
        "data": {
            "name": "shapes",
            "split": "held-out",
            "kinds": {"single": 1.0},
            "captions": count,
            "seed": seed,
        },
        "diversity": f"{DRAWN} drawings each of {diverse(count)} captions",
        "features": "mean colours, 8 x 8 grid",
    }
