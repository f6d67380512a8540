"""The reader of `World`: `read` says what stands where on which page, or that it cannot be read."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minimagen.data.nouns import COLOURS, SHAPES
from minimagen.data.pages import Page, draw_page
from minimagen.data.truth import SIZES, THING_SIZES
from minimagen.evaluation.page_reader import LEAST, nearest_pages
from minimagen.evaluation.recogniser import SIDE, cut_out, nouns, peaks, seen_on, trained
from minimagen.pixels import from_uint8, resize

UNREADABLE = "unreadable"
SURE = 0.5  # the least probability with which a noun is named
AT_ONCE = 64  # pages that the networks see together


@dataclass(frozen=True)
class Seen:
    """One object as it is read. colour: None stands for a thing's own colours; noun and colour are
    "unreadable" where nothing of the world is recognised. x, y: its centre, in page widths; side:
    that of its box, in 64ths of the page. sure: the probability of its noun.
    """

    noun: str
    colour: str | None
    size: str
    x: float
    y: float
    side: float
    sure: float


@dataclass(frozen=True)
class Reading:
    """What one picture shows; `page` is None where it is no page of `World`."""

    page: Page | None
    objects: tuple[Seen, ...]


def read(pictures: Tensor) -> list[Reading]:
    """Read pages of `World`: pictures (B, 3, H, H), floats in [-1, 1], H at least 16.

    They are read at 64 pixels. The page is the one of all pages that explains most of the picture
    (`page_reader`); what the picture adds to it is searched for objects, and each is named, by two
    small networks (`recogniser`). Raises `ValueError` on other pictures, and where they are not
    finite.
    """
    _check(pictures)
    small = resize(pictures.detach().cpu().float().clamp(-1, 1), SIDE).clamp(-1, 1)
    return [reading for part in small.split(AT_ONCE) for reading in _read(part)]


def page_features(pictures: Tensor) -> Tensor:
    """The recogniser's features of whole pages, for Fréchet distances: (B, 3, H, H) -> (B, 128)."""
    _check(pictures)
    small = resize(pictures.detach().cpu().float().clamp(-1, 1), SIDE).clamp(-1, 1)
    parts = [seen_on(part, _empty(nearest_pages(part))) for part in small.split(AT_ONCE)]
    return torch.cat([trained()["recogniser"].features(part) for part in parts])


def _check(pictures: Tensor) -> None:
    shape = tuple(pictures.shape)
    good = len(shape) == 4 and shape[1] == 3 and shape[2] == shape[3] >= 16
    if not good or not pictures.is_floating_point():
        raise ValueError(
            f"pictures must be (B, 3, H, H) floats in [-1, 1], H at least 16, got {shape} "
            f"{pictures.dtype}"
        )
    if not bool(pictures.isfinite().all()):
        raise ValueError("pictures must be finite, got NaN or infinity")


def _empty(pages: Sequence[tuple[Page, float]]) -> Tensor:
    """The pages without objects: (B, 3, 64, 64) in [-1, 1]."""
    drawn = [torch.from_numpy(draw_page(page, SIDE, (0, 0, SIDE))) for page, _ in pages]
    return from_uint8(torch.stack(drawn))


def _read(pictures: Tensor) -> list[Reading]:
    pages = nearest_pages(pictures)
    seen = seen_on(pictures, _empty(pages))
    which, boxes = peaks(trained()["finder"](seen))
    noun_logits, colour_logits = trained()["recogniser"](cut_out(seen, which, boxes))
    sure, noun = noun_logits.softmax(1).max(1)
    columns = which, noun, colour_logits.argmax(1), sure, boxes
    objects: list[list[Seen]] = [[] for _ in pages]
    for page, *row in zip(*(column.tolist() for column in columns), strict=True):
        objects[page].append(_seen(*row))
    return [
        Reading(page if score >= LEAST else None, tuple(found))
        for (page, score), found in zip(pages, objects, strict=True)
    ]


def _seen(noun: int, colour: int, sure: float, box: tuple[float, float, float]) -> Seen:
    x, y, side = box
    readable = noun < len(nouns()) and sure >= SURE
    name = nouns()[noun] if readable else UNREADABLE
    shade = [*COLOURS, None][colour] if readable else UNREADABLE
    return Seen(name, shade, nearest_size(name, side), x / SIDE, y / SIDE, side, sure)


def nearest_size(noun: str, side: float) -> str:
    """The size word of a noun whose box has that side, in 64ths of the page: that of the nearest
    side that it has in `World`.
    """
    table = SIZES if noun in SHAPES else THING_SIZES
    return min(table, key=lambda size: min(abs(own - side) for own in table[size]))
