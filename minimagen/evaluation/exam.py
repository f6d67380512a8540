"""An examination of a cascade: captions that training never had, what it drew for them, and every
measure of the drawings.
"""

import math
from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
import torch
from torch import Tensor

from minimagen import pixels
from minimagen.data.emoji import ALONE, SPLITS, STYLES, Emoji, rasters
from minimagen.data.scenes import SCENES, Scenes, placed
from minimagen.data.shapes import Shapes
from minimagen.evaluation.alignment import AlignmentReport, alignment
from minimagen.evaluation.likeness import NAME, halves, likeness
from minimagen.evaluation.metrics import (
    RetrievalReport,
    agreement,
    colour_shift,
    edge_width,
    frechet,
    pooled_features,
    retrieval,
)

Drawn = tuple[
    list[str], list[Tensor]
]  # captions, and the pictures of the last stages, each (B, 3, H, W)


def paper(
    name: str, split: str, kind: str | None, count: int, size: int
) -> tuple[list[str], Iterator[Tensor]]:
    """`count` captions, and 2 `count` real pictures (1, 3, size, size) to compare with, drawn one
    at a time as they are read.

    Of "shapes", `kind` or all kinds; of the data sets of emoji, both styles in turn. The first
    `count` pictures belong to the captions.
    """
    if name == "shapes":
        data = Shapes(size, split, {kind: 1.0} if kind else None)
        items, captions = (
            [(data, i) for i in range(2 * count)],
            [data.caption(i) for i in range(count)],
        )
    elif name in SCENES:
        styles = [Scenes(style, size, split, **SCENES[name]) for style in STYLES]
        items = [(data, i) for i in range(count) for data in styles]
        captions = [data.caption(i) for data, i in items[:count]]
    else:
        styles = [Emoji(style, size, split, **ALONE[name]) for style in STYLES]
        # 7919 is prime: steps of it come to every item, and to no concept twice soon.
        items = [(data, i * 7919 % len(data)) for i in range(count) for data in styles]
        captions = [data.caption(i) for data, i in items[:count]]
    return captions, (pixels.from_uint8(data[i][0])[None] for data, i in items)


def examine(name: str, drawn: Iterable[Drawn], real: Iterable[Tensor]) -> dict:
    """Everything that can be measured, ready for JSON; a share is {share, low, high}, or None where
    no caption asks for it.

    right: is it what the sentence says (the exact reader for shapes; for emoji, alone or in scenes,
    the nearest of all real ones of the style, by the features of `likeness`)? frechet and edges: is
    it like real pictures? below: does it agree with the stage below? Pictures are measured as they
    come, and let go.
    """
    judge = {
        "shapes": alignment,
        **dict.fromkeys(ALONE, recognised),
        **dict.fromkeys(SCENES, both_recognised),
    }[name]
    reports, ours, widths, below = [], [], [], []
    for captions, stages in drawn:
        top = stages[-1]
        reports.append(judge(top, captions))
        ours.append(pooled_features(top))
        widths.append(edge_width(top))
        if len(stages) > 1:
            below.append(
                torch.cat([agreement(top, stages[-2])[:, None], colour_shift(top, stages[-2])], 1)
            )
    theirs, sharp = zip(
        *((pooled_features(picture), edge_width(picture)) for picture in real), strict=True
    )
    rows = {"right": _right(reports), "frechet": _frechet(torch.cat(ours), torch.cat(theirs))}
    rows["edges"] = {
        "drawn": median_width(torch.cat(widths)),
        "real": median_width(torch.cat(sharp)),
    }
    if below:
        difference, *shift = torch.cat(below).mean(0).tolist()
        rows["below"] = {"difference": difference, "shift": shift}
    return rows


@cache
def _named(style: str) -> dict[str, int]:
    """The row of every caption of a style, in training or not."""
    return {caption: row for split in SPLITS for row, caption in Emoji(style, 64, split).items}


@cache
def _known(style: str) -> Tensor:
    """The features of all real drawings of a style: (N, 64)."""
    return likeness(pixels.from_uint8(torch.from_numpy(np.array(rasters(style, 64)))))


def recognised(drawn: Tensor, captions: list[str]) -> RetrievalReport:
    """Retrieval of drawn emoji (B, 3, H, H) among all the real ones of the style that the caption
    names.

    Raises `ValueError` on a caption that names no emoji.
    """
    ours, ranks = likeness(drawn), torch.full((len(captions),), -1)
    for style in STYLES:
        rows = [i for i, caption in enumerate(captions) if caption in _named(style)]
        if rows:
            truth = torch.tensor([_named(style)[captions[i]] for i in rows])
            ranks[rows] = retrieval(ours[rows], _known(style), truth).ranks
    if (ranks < 0).any():
        raise ValueError(
            "captions must each name an emoji and its style, got "
            f"{captions[int((ranks < 0).nonzero()[0])]!r}"
        )
    return RetrievalReport(ranks)


def both_recognised(drawn: Tensor, captions: list[str]) -> RetrievalReport:
    """Retrieval of the two emoji of each drawn scene (B, 3, H, H), each in its place: the rank of
    the worse one counts.

    Raises `ValueError` on a caption of no scene.
    """
    worse = []
    for picture, caption in zip(drawn, captions, strict=True):
        style, relation, rows = placed(caption)
        features = likeness(torch.stack(halves(picture, relation)))
        worse.append(retrieval(features, _known(style), torch.tensor(rows)).ranks.max())
    return RetrievalReport(torch.stack(worse))


def _right(reports: list) -> dict:
    """The batches' reports as one, each share with its interval."""
    if isinstance(reports[0], RetrievalReport):
        report = RetrievalReport(torch.cat([part.ranks for part in reports]))
        return {
            f"top {k}": _share(report.share(k), report.interval(k)) | {"features": NAME}
            for k in (1, 5)
        }
    right = {name: torch.cat([part.right[name] for part in reports]) for name in reports[0].right}
    report = AlignmentReport(right, torch.cat([part.stated for part in reports]))
    return {name: _share(report.share(name), report.interval(name)) for name in right}


def _share(share: float, interval: tuple[float, float]) -> dict | None:
    return None if math.isnan(share) else {"share": share, "low": interval[0], "high": interval[1]}


def _frechet(ours: Tensor, theirs: Tensor) -> dict | None:
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
        "features": "mean colours, 8 x 8 grid",
        "n": count,
    }


def median_width(widths: Tensor) -> float | None:
    """The median width, flat pictures aside; None where all are flat."""
    found = widths[~widths.isnan()]
    return found.median().item() if len(found) else None
