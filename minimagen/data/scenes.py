"""Two emoji on one white page, and a caption that says what stands where."""

import random
import re
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

from minimagen import pixels
from minimagen.data.base import Captioned
from minimagen.data.emoji import (
    STYLES,
    check,
    document,
    rasters,
    records,
    render,
    rows,
    stable,
    with_article,
)

RELATIONS = {  # {a} is the picture on the left, or above
    "left": (
        "a {style} drawing of {a} to the left of {b}",
        "a {style} drawing of {b} to the right of {a}",
        "{a} left of {b}, {style} style",
        "{b} right of {a}, {style} style",
        "a {style} drawing with {a} on the left and {b} on the right",
        "a {style} drawing with {b} on the right and {a} on the left",
    ),
    "above": (
        "a {style} drawing of {a} above {b}",
        "a {style} drawing of {b} below {a}",
        "{a} over {b}, {style} style",
        "{b} under {a}, {style} style",
        "a {style} drawing with {a} at the top and {b} at the bottom",
        "a {style} drawing with {b} at the bottom and {a} at the top",
    ),
}


@cache
def _rows(style: str) -> dict[str, int]:
    """The row of every drawing by what captions call it."""
    return {with_article(record["caption"]): row for row, record in enumerate(records(style))}


def placed(caption: str) -> tuple[str, str, tuple[int, int]]:
    """(style, relation, rows of the first and of the second drawing) of a caption of `Scenes`: what
    stands on the "left" of what, or "above" it. Raises `ValueError` on any other caption.
    """
    for style, word in STYLES.items():
        for relation, templates in RELATIONS.items():
            for template in templates:
                named = re.escape(template.replace("{style}", word))
                for name in "ab":
                    named = named.replace(re.escape(f"{{{name}}}"), f"(?P<{name}>.+)")
                match = re.fullmatch(named, caption)
                rows = [_rows(style).get(match[name]) for name in "ab"] if match else [None]
                if None not in rows:
                    return style, relation, (rows[0], rows[1])
    raise ValueError(f"caption must be one of a scene of two emoji, got {caption!r}")


class Scenes(Captioned):
    """Two different emoji on white and what stands where: "a flat drawing of a red apple to the
    left of a cat".

    The caption is exact, the pictures never overlap, and item i is drawn from a generator seeded by
    i alone; the layout lies on a grid of 64 units, so that it is the same at every size. In
    "unseen" both concepts are unseen; one wording of each arrangement is in "held-out" and not in
    "train". words as for `Emoji`. groups: only these, as Unicode sorts emoji ("food-drink"). Raises
    `ValueError` as `Emoji` does, and on an unknown group or a length below 1.
    """

    def __init__(
        self,
        style: str = "fluent-flat",
        size: int = 64,
        split: str = "train",
        length: int = 100_000,
        words: int | None = None,
        groups: tuple[str, ...] | None = None,
    ):
        check(style, size, split, words, groups)
        if not isinstance(length, int) or length < 1:
            raise ValueError(f"length must be a whole number, at least 1, got {length!r}")
        self.style, self.size, self.split, self.length = style, size, split, length
        self.rows = rows(style, split, words, groups)

    def __len__(self) -> int:
        return self.length

    @cached_property
    def pictures(self) -> np.ndarray:
        """All drawings of the style, `rasters`."""
        return rasters(self.style, self.size)

    def __getitem__(self, i: int) -> tuple[Tensor, str]:
        squares, caption = self._item(i)
        picture = torch.full((3, self.size, self.size), 255, dtype=torch.uint8)
        for row, left, top, side in squares:
            whole = pixels.from_uint8(torch.from_numpy(self.pictures[row].copy()))
            picture[:, top : top + side, left : left + side] = pixels.to_uint8(
                pixels.resize(whole[None], side)
            )[0]
        return picture, caption

    def caption(self, i: int) -> str:
        """The caption of item i, without its picture."""
        return self._item(i)[1]

    def cut(self, i: int, top: int, left: int, side: int) -> Tensor:
        """A window of the picture of item i, (3, side, side), rendered alone as by `Emoji.cut`."""
        window = torch.full((3, side, side), 255, dtype=torch.uint8)
        for row, x, y, square in self._item(i)[0]:
            down, across = (
                (max(y, top), min(y + square, top + side)),
                (max(x, left), min(x + square, left + side)),
            )
            height, width = down[1] - down[0], across[1] - across[0]
            if height > 0 and width > 0:
                part = document(
                    records(self.style)[row], square, (down[0] - y, across[0] - x, height, width)
                )
                target = window[
                    :, down[0] - top : down[1] - top, across[0] - left : across[1] - left
                ]
                target.copy_(torch.from_numpy(render(part).copy()))
        return window

    def _item(self, i: int) -> tuple[list[tuple[int, int, int, int]], str]:
        """What stands where on page i, (row, left, top, side) in pixels, and its caption."""
        if not 0 <= i < self.length:
            raise IndexError(f"item must be in 0..{self.length - 1}, got {i}")
        rng = random.Random(f"scenes-{i}")
        two, relation = rng.sample(self.rows, 2), rng.choice(tuple(RELATIONS))
        squares = [
            [round(unit * self.size / 64) for unit in square] for square in layout(rng, relation)
        ]
        return [(row, *square) for row, square in zip(two, squares, strict=True)], self._caption(
            rng, two, relation
        )

    def _caption(self, rng: random.Random, two: list[int], relation: str) -> str:
        a, b = (records(self.style)[row] for row in two)
        templates = list(RELATIONS[relation])
        kept = templates.pop(stable("scene", relation, a["code"], b["code"]) % len(templates))
        template = rng.choice(templates) if self.split == "train" else kept
        return template.format(
            style=STYLES[self.style], a=with_article(a["caption"]), b=with_article(b["caption"])
        )


def layout(rng: random.Random, relation: str) -> list[tuple[int, int, int]]:
    """Two squares (left, top, side) on a field of 64 x 64 units, at least 2 units apart, the first
    on the left or above.
    """
    first, second = rng.randint(22, 29), rng.randint(22, 29)
    start = rng.randint(1, 61 - first - second)
    then = rng.randint(start + first + 2, 63 - second)
    across = [(64 - side) // 2 + rng.randint(-6, 6) for side in (first, second)]
    squares = [(start, across[0], first), (then, across[1], second)]
    return squares if relation == "left" else [(left, top, side) for top, left, side in squares]
