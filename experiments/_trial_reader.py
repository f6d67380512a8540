"""Reads the small world of `trial`, whose shapes are too large for the reader of `World`."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from experiments._trial_runs import SIZE
from minimagen.data.nouns import COLOURS, SHAPES, oklab
from minimagen.data.pages import Page, draw_page
from minimagen.data.sprites import OPAQUE, SHADOW, margin, sprite, tints
from minimagen.data.truth import SIZES, Truth
from minimagen.evaluation.judge import JudgeReport, verdict
from minimagen.evaluation.page_reader import nearest_pages
from minimagen.evaluation.world_reader import UNREADABLE, Reading, Seen
from minimagen.pixels import resize

LEAST = 0.15  # a page that explains less of the picture is not there: two large shapes hide 3/4
LEAST_SIDE = 8  # pixels of a spot's box, else it is no object; the smallest object has 12
MATCH = 0.6  # a best match with less overlap (intersection over union) is an unknown shape
PAD = SIZE  # pixels around the page
SIDES = tuple(2 * side for name in ("small", "medium") for side in SIZES[name])  # 64ths


def read(pictures: Tensor) -> list[Reading]:
    """Read pages of the small world: pictures (B, 3, 32, 32), floats in [-1, 1].

    The page is the one that explains most of the picture, as in `world_reader`. A pixel nearer (in
    Oklab) to a tone of an ink than to the page, lit or in shadow, is that ink's; a connected spot
    of one ink is an object, and of all shapes and sizes, laid over it, the one of largest overlap
    names it.
    """
    large = resize(pictures.clamp(-1, 1), 64).clamp(-1, 1)
    found = zip(pictures, nearest_pages(large), strict=True)
    return [
        Reading(page if score >= LEAST else None, objects(picture, page))
        for picture, (page, score) in found
    ]


def report(readings: Sequence[Reading], truths: Sequence[Truth]) -> JudgeReport:
    """What is right in each reading, by the rules of `World`'s judge."""
    verdicts = [verdict(t, r) for t, r in zip(truths, readings, strict=True)]
    table = lambda field: {
        name: torch.tensor([field(v[name]) for v in verdicts], dtype=torch.bool)
        for name in verdicts[0]
    }
    return JudgeReport(table(bool), table(lambda right: right is not None))


def objects(picture: Tensor, page: Page) -> tuple[Seen, ...]:
    """The objects on a picture (3, 32, 32) with that page."""
    from scipy import ndimage

    ink, seen = inks(picture, draw_page(page, SIZE, (0, 0, SIZE))), []
    for k, colour in enumerate(COLOURS):
        spots, _ = ndimage.label(ink == k)
        for number, box in enumerate(ndimage.find_objects(spots), 1):
            if min(side.stop - side.start for side in box) >= LEAST_SIDE:
                seen.append(named(spots == number, box, colour))
    return tuple(seen)


def inks(picture: Tensor, page: np.ndarray) -> np.ndarray:
    """The number of the ink of each pixel, -1 for the page: (32, 32)."""
    rgb = ((picture.float().clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).numpy()
    own = oklab(rgb)[None]
    lit = np.linspace(1, 1 - SHADOW, 4)[:, None, None, None] * page.transpose(1, 2, 0)
    gap = np.linalg.norm(own - oklab(lit), axis=-1).min(0)
    tones = _tones()[:, :, None, None]
    gaps = np.linalg.norm(own[None] - tones, axis=-1).min(1)
    return np.where(gaps.min(0) < gap, gaps.argmin(0), -1)


@cache
def _tones() -> np.ndarray:
    """(colours, 9, 3): the tones of each ink in Oklab, from the shade to the light."""
    shades = np.linspace(30, 225, 9).round().astype(int)
    return np.stack([oklab(tints(colour)[:, shades].T) for colour in COLOURS])


def named(spot: np.ndarray, box: tuple[slice, slice], colour: str) -> Seen:
    """The object that a spot (32, 32) of True, with that box around it, is."""
    fits = ((*overlap(spot, box, mask), *kind) for kind, mask in silhouettes().items())
    match, y, x, noun, side = max(fits)
    name = noun if match >= MATCH else UNREADABLE
    size = "small" if side <= 2 * SIZES["small"][-1] else "medium"
    return Seen(name, colour, size, x / SIZE, y / SIZE, side, match)


@cache
def silhouettes() -> dict[tuple[str, int], np.ndarray]:
    """(shape, side in 64ths) -> which pixels of its box it covers."""
    edge = margin(SIZE)
    inner = lambda whole: whole[OPAQUE][edge:-edge, edge:-edge] > 127
    return {(noun, side): inner(sprite(noun, side, SIZE)) for noun in SHAPES for side in SIDES}


def overlap(
    spot: np.ndarray, box: tuple[slice, slice], mask: np.ndarray
) -> tuple[float, float, float]:
    """The largest intersection over union of a spot and a silhouette laid so that their boxes share
    a middle, give or take a pixel, and the middle (y, x) of the silhouette there.
    """
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    room = np.pad(spot, PAD)  # a silhouette may reach beyond the page
    starts = [
        math.floor((side.start + side.stop - at[0] - at[-1] - 1) / 2)
        for side, at in zip(box, (rows, columns), strict=True)
    ]
    found = []
    for top in (starts[0], starts[0] + 1):
        for left in (starts[1], starts[1] + 1):
            under = room[top + PAD :, left + PAD :][: len(mask), : len(mask)]
            shared = (under & mask).sum()
            union = spot.sum() + mask.sum() - shared
            found.append((float(shared / union), top + len(mask) / 2, left + len(mask) / 2))
    return max(found)
