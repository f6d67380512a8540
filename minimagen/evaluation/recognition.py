"""Which emoji does a picture show? The nearest of all real ones of its style, by the features of
`likeness`.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from minimagen import pixels
from minimagen.data.emoji import SPLITS, STYLES, Emoji, rasters
from minimagen.data.scenes import placed
from minimagen.evaluation.likeness import NAME, halves, likeness
from minimagen.evaluation.metrics import RetrievalReport, retrieval


@cache
def _rows(style: str) -> dict[str, int]:
    """The row of every caption of a style, in training or not."""
    return {caption: row for split in SPLITS for row, caption in Emoji(style, 64, split).items}


@cache
def _real(style: str) -> Tensor:
    """The features of all real drawings of a style: (N, 64)."""
    return likeness(pixels.from_uint8(torch.from_numpy(np.array(rasters(style, 64)))))


def recognised(drawn: Tensor, captions: Sequence[str]) -> RetrievalReport:
    """Retrieval of drawn emoji (B, 3, H, H) among all the real ones of the style that the caption
    names.

    Raises `ValueError` on a caption that names no emoji.
    """
    ours, ranks = likeness(drawn), torch.full((len(captions),), -1)
    for style in STYLES:
        rows = [i for i, caption in enumerate(captions) if caption in _rows(style)]
        if rows:
            truth = torch.tensor([_rows(style)[captions[i]] for i in rows])
            ranks[rows] = retrieval(ours[rows], _real(style), truth).ranks
    if (ranks < 0).any():
        raise ValueError(
            "captions must each name an emoji and its style, got "
            f"{captions[int((ranks < 0).nonzero()[0])]!r}"
        )
    return RetrievalReport(ranks, NAME)


def both_recognised(drawn: Tensor, captions: Sequence[str]) -> RetrievalReport:
    """Retrieval of the two emoji of each drawn scene (B, 3, H, H), each in its place: the rank of
    the worse one counts.

    Raises `ValueError` on a caption of no scene.
    """
    worse = []
    for picture, caption in zip(drawn, captions, strict=True):
        style, relation, rows = placed(caption)
        features = likeness(torch.stack(halves(picture, relation)))
        worse.append(retrieval(features, _real(style), torch.tensor(rows)).ranks.max())
    return RetrievalReport(torch.stack(worse), NAME)
