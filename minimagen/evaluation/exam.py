"""An examination of a cascade: captions that training never had, what it drew for them, and every
measure of the drawings.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from minimagen import pixels
from minimagen.data import Captioned
from minimagen.evaluation.metrics import (
    agreement,
    colour_shift,
    edge_width,
    frechet,
)
from minimagen.evaluation.registry import examined

# What `truths` gives for some captions, and the pictures of the last stages, each (B, 3, H, W).
Drawn = tuple[Sequence, list[Tensor]]


def captions_and_references(
    name: str, split: str, kind: str | None, count: int, size: int
) -> tuple[list[str], Iterator[Tensor]]:
    """`count` captions, and 2 `count` real pictures (1, 3, size, size) to compare with, drawn one
    at a time as they are read.

    They come from the references of the data set called `name`, in turn, of `kind` or of all kinds.
    The first `count` pictures belong to the captions. Raises `ValueError` on a name without a judge
    and a kind that the data set does not have.
    """
    items = _items(name, split, kind, 2 * count, size)
    captions = [data.caption(i) for data, i in items[:count]]
    return captions, (pixels.from_uint8(data[i][0])[None] for data, i in items)


def truths(name: str, split: str, kind: str | None, count: int) -> list:
    """What the judge of the data set called `name` is told of the `count` captions that
    `captions_and_references` gives: `Captioned.truth`. Raises as that does.
    """
    return [data.truth(i) for data, i in _items(name, split, kind, count, 64)]


def _items(
    name: str, split: str, kind: str | None, count: int, size: int
) -> list[tuple[Captioned, int]]:
    """The first items of the references, in turn: each data set and its number there."""
    entry = examined(name, kind, split)
    parts = entry.references(size, split, kind)
    endless = ((data, i * entry.stride % len(data)) for i in itertools.count() for data in parts)
    return list(itertools.islice(endless, count))


def examine(name: str, drawn: Iterable[Drawn], real: Iterable[Tensor]) -> dict:
    """Everything that can be measured, ready for JSON; a share is {share, low, high}, or None where
    no caption asks for it.

    right: is it what the sentence says, by the judge of the data set called `name`? frechet and
    edges: is it like real pictures? below: does it agree with the stage below? Pictures are
    measured as they come, and let go.
    """
    entry = examined(name)
    reports, ours, widths, below = [], [], [], []
    for told, stages in drawn:
        top = stages[-1]
        reports.append(entry.judge(top, told))
        ours.append(entry.features(top))
        widths.append(edge_width(top))
        if len(stages) > 1:
            below.append(
                torch.cat([agreement(top, stages[-2])[:, None], colour_shift(top, stages[-2])], 1)
            )
    theirs, sharp = zip(
        *((entry.features(picture), edge_width(picture)) for picture in real), strict=True
    )
    rows = {"right": type(reports[0]).joined(reports).marks()}
    rows["frechet"] = _frechet(torch.cat(ours), torch.cat(theirs), entry.features_name)
    rows["edges"] = {
        "drawn": median_width(torch.cat(widths)),
        "real": median_width(torch.cat(sharp)),
    }
    if below:
        difference, *shift = torch.cat(below).mean(0).tolist()
        rows["below"] = {"difference": difference, "shift": shift}
    return rows


def _frechet(ours: Tensor, theirs: Tensor, features: str) -> dict | None:
    """The drawn pictures against as many real ones, and beside it those against as many others;
    None for a single picture.
    """
    count = len(ours)
    if count < 2:
        return None
    some, others = theirs[:count], theirs[count:]
    return {
        "drawn": frechet(ours, some),
        "real": frechet(others, some),
        "features": features,
        "n": count,
    }


def median_width(widths: Tensor) -> float | None:
    """The median width, flat pictures aside; None where all are flat."""
    edges = widths[~widths.isnan()]
    return edges.median().item() if len(edges) else None
