"""The pages of `World`: plain, a gradient, stripes, dots, a ground with a horizon; at any size."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from minimagen.data.nouns import COLOURS, drawings, oklab

PAGE_COLOURS = {  # a light and a strong tone, 8-bit RGB; all but white lie within [-0.9, 0.9]
    "white": ((255, 255, 255), (255, 255, 255)),
    "pink": ((242, 210, 226), (236, 172, 204)),
    "orange": ((242, 216, 186), (240, 186, 134)),
    "yellow": ((242, 234, 184), (236, 214, 122)),
    "green": ((208, 234, 208), (158, 208, 164)),
    "blue": ((204, 222, 242), (148, 184, 236)),
    "purple": ((224, 212, 242), (190, 166, 226)),
    "grey": ((222, 222, 226), (178, 180, 188)),
}
PAGE_KINDS = ("plain", "gradient", "striped", "dotted", "ground")
STEPS = {  # what `Page.step` may be, in 64ths of the page
    "plain": (0,),
    "gradient": (0,),
    "striped": (5, 6, 8),  # the height of one stripe
    "dotted": (14, 16, 20),  # from a dot to the next in its row
    "ground": tuple(range(30, 47)),  # how far the horizon lies below the upper edge
}
DOT = 0.17  # a dot's radius, as a share of the step
APART = 0.085  # Oklab: colours nearer than this to a tone of the page do not stand out from it
LOST = 0.4  # the share of an object that may not stand out


@dataclass(frozen=True)
class Page:
    """A page. `colour` is its light tone, `second` the strong one; without `second` both have one
    colour. `step` and `shift` lay out its pattern, in 64ths of the page.
    """

    kind: str
    colour: str
    second: str | None = None
    step: int = 0
    shift: int = 0

    @property
    def tones(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """The tone above or between the marks, and that below or of the marks: 8-bit RGB."""
        light = PAGE_COLOURS[self.colour][0]
        return light, light if self.kind == "plain" else PAGE_COLOURS[self.second or self.colour][1]


def draw_page(page: Page, size: int, window: tuple[int, int, int]) -> np.ndarray:
    """The window (top, left, side) of an empty page of `size` pixels: uint8 (3, side, side)."""
    top, _, side = window
    light, strong = (np.array(tone, np.float32)[:, None] for tone in page.tones)
    if page.kind == "dotted":
        cover = _dots(page, size, window)
        ramp = np.rint(light + np.linspace(0, 1, 256, dtype=np.float32) * (strong - light))
        return np.take(ramp.astype(np.uint8), cover, axis=1)
    picture = np.empty((3, side, side), np.uint8)
    picture[:] = np.rint(light + _rows(page, size, top, side) * (strong - light))[:, :, None]
    return picture


def _rows(page: Page, size: int, top: int, side: int) -> np.ndarray:
    """How strong the tone of each row is, in [0, 1]: (side,) float32."""
    if page.kind == "plain":
        return np.zeros(side, np.float32)
    borders = np.arange(top, top + side + 1) * (64 / size)
    if page.kind == "gradient":
        return ((borders[1:] + borders[:-1]) / 128).astype(np.float32)
    if page.kind == "ground":
        reached = np.maximum(borders - page.step, 0)
    else:  # the strong length of all that lies above a border: stripes in turn, the light one first
        period, along = 2 * page.step, borders + page.shift
        whole = np.floor(along / period)
        reached = whole * page.step + np.maximum(along - whole * period - page.step, 0)
    return (np.diff(reached) * (size / 64)).astype(np.float32)


def _dots(page: Page, size: int, window: tuple[int, int, int]) -> np.ndarray:
    """How much of each pixel the dots cover, 0..255; every other row of dots is shifted by half."""
    top, left, side = window
    unit = np.float32(64 / size)
    squares = []
    for start in (top, left):
        along = (
            np.arange(start, start + side, dtype=np.float32) + np.float32(0.5)
        ) * unit + page.shift
        for half in (0, page.step / 2):
            squares.append(((along + half) % page.step - page.step / 2).astype(np.float32) ** 2)
    down, down_half, across, across_half = squares
    nearest = np.minimum(down[:, None] + across[None, :], down_half[:, None] + across_half[None, :])
    cover = (DOT * page.step - np.sqrt(nearest)) / unit + np.float32(0.5)
    return (255 * np.clip(cover, 0, 1)).astype(np.uint8)


@cache
def clashes(noun: str, colour: str | None) -> frozenset[str]:
    """The page colours on which a noun in that colour, or in its own, would be hard to see."""
    if colour is None:
        shares, *rgb = np.array(drawings()[noun].palette).T
    else:
        shares, rgb = np.ones(1), np.array(COLOURS[colour][1])[:, None]
    own = oklab(np.stack(rgb, -1))
    lost = lambda tone: shares[np.linalg.norm(own - oklab(np.array(tone)), axis=-1) < APART].sum()
    hard = (name for name, tones in PAGE_COLOURS.items() if max(map(lost, tones)) > LOST)
    return frozenset(hard) | {name for name in PAGE_COLOURS if name == colour}
