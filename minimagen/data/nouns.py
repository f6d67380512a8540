"""What stands on the pages of `World`: eight shapes, the things with a drawing, eight colours."""

import hashlib
import json
import lzma
from dataclasses import dataclass
from functools import cache

import numpy as np

from minimagen.files import shipped

SHAPES = ("circle", "square", "triangle", "diamond", "star", "heart", "cross", "ring")
COLOURS = {  # the tone in the shade, the colour itself, the tone in the light: 8-bit RGB
    "red": ((120, 14, 34), (222, 44, 44), (255, 140, 112)),
    "orange": ((168, 70, 10), (246, 138, 24), (255, 206, 130)),
    "yellow": ((176, 122, 10), (248, 208, 36), (255, 242, 160)),
    "green": ((8, 84, 54), (40, 164, 74), (150, 222, 130)),
    "blue": ((20, 40, 130), (40, 104, 230), (132, 190, 255)),
    "purple": ((66, 20, 108), (136, 60, 192), (206, 154, 240)),
    "pink": ((176, 40, 120), (246, 124, 184), (255, 204, 226)),
    "black": ((12, 12, 16), (52, 54, 62), (150, 152, 164)),
}
HELD_OUT = 0.1  # the share of pairs and of wordings that training never meets


@dataclass(frozen=True)
class Drawing:
    """One drawn thing: `svg` on a field of 32 x 32, of which `box` = (left, top, side) is all that
    is not empty; `palette` its main colours, each (share of what is visible, red, green, blue);
    `shown` says whether training may show it.
    """

    noun: str
    group: str
    shown: bool
    box: tuple[float, float, float]
    palette: tuple[tuple[float, int, int, int], ...]
    svg: str


@cache
def drawings() -> dict[str, Drawing]:
    """The shipped drawings by noun. Raises `ValueError` naming the file if it is damaged."""
    path = shipped("world") / "nouns.jsonl.xz"
    try:
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines]
        found = [Drawing(**record) for record in records]
        return {drawing.noun: drawing for drawing in found}
    except (lzma.LZMAError, EOFError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} must be the shipped list of drawings, but is damaged: {error}"
        ) from error


def things(shown: bool) -> tuple[str, ...]:
    """The nouns with a drawing that training may show, or those that it never shows."""
    return tuple(noun for noun, drawing in drawings().items() if drawing.shown == shown)


def share(*words: str) -> float:
    """A number in [0, 1) that the words alone decide, the same on every machine: from sha256."""
    digest = hashlib.sha256("|".join(words).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


@cache
def unseen_colour(noun: str, colour: str) -> bool:
    """Whether no training page shows `noun` in `colour`: one pair in ten, by sha256."""
    return share("noun and colour", noun, colour) < HELD_OUT


@cache
def unseen_pair(a: str, b: str) -> bool:
    """Whether no training page shows `a` and `b` together: one pair of nouns in ten, by sha256."""
    return a != b and share("noun and noun", *sorted((a, b))) < HELD_OUT


def oklab(rgb: np.ndarray) -> np.ndarray:
    """8-bit sRGB (..., 3) to Oklab (..., 3), where equal distances look about equally different.

    L is in [0, 1]. Source: B. Ottosson, "A perceptual color space for image processing" (2020).
    """
    v = np.asarray(rgb, float) / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    cones = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    return np.cbrt(cones) @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.7936177850, -2.4285922050, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.8086757660],
        ]
    )
