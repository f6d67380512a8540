"""`World`: pages of shapes and things on coloured paper, drawn at any size, with exact captions.

>>> from minimagen.data import World
>>> picture, caption = World(size=64)[4]
>>> tuple(picture.shape), caption
((3, 64, 64), 'a big orange ring in the top left corner on a blue background')

Of every page the whole truth is known, so drawings can be judged exactly, and what training never
meets (a noun in a colour, two nouns together, a wording, a word, a noun) is decided by sha256 and
can be drawn by itself.
"""

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from minimagen.data.base import Captioned
from minimagen.data.captions import describe
from minimagen.data.grammar import PAIRED, Grammar
from minimagen.data.nouns import things
from minimagen.data.pages import draw_page
from minimagen.data.sprites import KEEP, OPAQUE, OWN, SHADE, margin, pixels, sprite, tints
from minimagen.data.truth import KINDS, Object, Truth

SPLITS = {  # split: the kinds of page that can show what it is about
    "train": tuple(KINDS),
    "held-out": tuple(KINDS),
    "text-only": tuple(KINDS),
    "unseen-colour": tuple(kind for kind in KINDS if kind != "page"),
    "unseen-pair": PAIRED,
    "unseen-noun": tuple(kind for kind in KINDS if kind != "page"),
}


class World(Captioned):
    """Captioned pages: `world[i] -> (uint8 (3, size, size), caption)`, item i decided by i alone.

    size: pixels; the same page at every size.
    split: "train"; "held-out", one wording that no training caption has; "text-only", a word that
      none has (`wordings.TEXT_ONLY`); "unseen-colour", a noun in a colour, "unseen-pair", two nouns
      together, and "unseen-noun", a noun, that no training page shows.
    kinds: weights of "page" (without objects), "single", "pair", "count" and "triple".
    nouns: the things that may stand beside the eight shapes; () for shapes alone, None for all.
    scale: makes all objects larger; at 2, for pages of few pixels, none is "large" any more.
    length: how many pages; so many that none is learned by heart, so few that the states of all
      their captions can be kept.
    Raises `ValueError` on a bad argument, and where a split has nothing to show of these nouns.
    """

    def __init__(
        self,
        size: int = 64,
        split: str = "train",
        kinds: dict[str, float] | None = None,
        nouns: Sequence[str] | None = None,
        scale: float = 1.0,
        length: int = 250_000,
    ):
        _check(size, split, scale, length)
        nouns = _nouns(split, nouns)
        kinds = _kinds(split, kinds)
        self.size, self.split, self.length = size, split, length
        self._grammar = Grammar(split, kinds, nouns, scale)
        if split == "unseen-pair" and not self._grammar.partners:
            raise ValueError(f"nouns must hold two that training never shows together, got {nouns}")

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> tuple[Tensor, str]:
        truth, caption = self._item(i)
        return render(truth, self.size), caption

    @property
    def captions(self) -> list[str]:
        """All there are: a quarter of a minute's work for a quarter of a million."""
        return [self.caption(i) for i in range(self.length)]

    def cut(self, i: int, top: int, left: int, side: int) -> Tensor:
        """The window of item i's picture, uint8 (3, side, side), without drawing the rest of it."""
        return render(self._item(i)[0], self.size, (top, left, side))

    def caption(self, i: int) -> str:
        """The caption of item i, without its picture."""
        return self._item(i)[1]

    def truth(self, i: int) -> Truth:
        """All that is true of item i, and what its caption says of it."""
        return self._item(i)[0]

    def _item(self, i: int) -> tuple[Truth, str]:
        if not 0 <= i < self.length:
            raise IndexError(f"item must be in 0..{self.length - 1}, got {i}")
        rng = random.Random(f"world {self.split} {i}")
        truth = self._grammar.draw(rng)
        return truth, describe(truth, rng, self.split)


def render(truth: Truth, size: int, window: tuple[int, int, int] | None = None) -> Tensor:
    """The page, uint8 (3, size, size), or its window (top, left, side) alone, (3, side, side).

    Each object covers the page and darkens what its shadow falls on: page * keep + object * opaque,
    in whole 255ths, so that a window is exactly what the whole page would show there.
    """
    top, left, side = window or (0, 0, size)
    if not (0 <= top <= size - side and 0 <= left <= size - side and side > 0):
        raise ValueError(f"window must lie on the page of {size} pixels, got {window}")
    picture = draw_page(truth.page, size, (top, left, side))
    for o in truth.objects:
        _lay(picture, o, size, top, left)
    return torch.from_numpy(picture)


def _lay(picture: np.ndarray, o: Object, size: int, top: int, left: int) -> None:
    """Lay an object and its shadow on the window of the page that begins at (top, left)."""
    whole, edge, side = sprite(o.noun, o.side, size), margin(size), picture.shape[1]
    y, x = pixels(o.top, size) - edge - top, pixels(o.left, size) - edge - left
    rows = slice(max(y, 0), min(y + whole.shape[1], side))
    columns = slice(max(x, 0), min(x + whole.shape[2], side))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    part = whole[:, rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
    keep = part[KEEP].astype(np.uint16)
    keep += keep >> 7  # 255 becomes 256, so that the division is a shift
    target = picture[:, rows, columns]
    below = (target * keep + 128) >> 8
    if o.colour is None:
        below += part[OWN]
    else:
        opaque = part[OPAQUE].astype(np.uint16)
        opaque += opaque >> 7
        below += (np.take(tints(o.colour), part[SHADE], axis=1) * opaque + 128) >> 8
    np.minimum(below, 255, out=below)
    target[:] = below


def _check(size: int, split: str, scale: float, length: int) -> None:
    if not isinstance(size, int) or size < 16:
        raise ValueError(f"size must be a whole number of pixels, at least 16, got {size!r}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if not isinstance(scale, int | float) or not 1 <= scale <= 2:
        raise ValueError(f"scale must be a number in [1, 2], got {scale!r}")
    if not isinstance(length, int) or length < 1:
        raise ValueError(f"length must be a whole number, at least 1, got {length!r}")


def _nouns(split: str, nouns: Sequence[str] | None) -> tuple[str, ...]:
    known = (*things(shown=True), *things(shown=False))
    if nouns is None:
        return known
    if isinstance(nouns, str) or not set(nouns) <= set(known):
        raise ValueError(f"nouns must be some of the things that have a drawing, got {nouns!r}")
    if split == "unseen-noun" and not set(nouns) & set(things(shown=False)):
        raise ValueError(f"nouns must hold one of {', '.join(things(shown=False))}, got {nouns!r}")
    return tuple(nouns)


def _kinds(split: str, kinds: dict[str, float] | None) -> dict[str, float]:
    if kinds is None:
        return {kind: KINDS[kind] for kind in SPLITS[split]}
    good = all(
        isinstance(weight, int | float) and 0 <= weight < float("inf") for weight in kinds.values()
    )
    if not set(kinds) <= set(SPLITS[split]) or not good or sum(kinds.values()) <= 0:
        raise ValueError(
            "kinds must give weights >= 0, with a sum above 0, to some of "
            f"{', '.join(SPLITS[split])}, got {kinds}"
        )
    return dict(kinds)
