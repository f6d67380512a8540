"""An exact reader of rendered scenes: `read` turns a page of `data.shapes` back into objects."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from torch import Tensor

from minimagen.data.drawing import COLOURS, HOLES, OUTLINES, SHAPES, SIZES, Placed, render
from minimagen.pixels import resize

# a pixel nearer to white than this (8-bit levels, Euclidean) is page; full pink, the faintest ink,
# is at 132
FAINT = 45.0
# a spot smaller than this share of the page is no object: a fifth of the smallest, 8 pixels at 64
SPECK = 0.002
# a colour farther than this from every ink of the palette is unknown; orange and yellow are 78
# apart
FAR = 60.0
# an object with more than this share of its pixels in another colour has no one colour: unknown
STRAY = 0.2
# A best match with less overlap (intersection over union of the coverages) is an unknown shape:
# half a disc has 0.74 with the nearest shape, a six-pointed star 0.74, a 10 : 7 rectangle 0.77; the
# shapes themselves 0.87, blurred by 0.6 pixels at 64 0.79.
MATCH = 0.78
# larger pictures are shrunk to this for reading: the smallest object is still 21 pixels wide
READ_AT = 128
UNKNOWN = "unknown"
_INKS = np.array(list(COLOURS.values()), float)


@dataclass(frozen=True)
class Seen:
    """One object as it is read: centre (x, y) and half extent r in page widths, `match` its overlap
    with the named shape.

    shape and colour are "unknown" where nothing of the world fits.
    """

    shape: str
    colour: str
    size: str
    x: float
    y: float
    r: float
    match: float


def read(picture: Tensor) -> list[Seen]:
    """Find the objects on one page of `shapes`: picture (3, H, H), floats in [-1, 1] -> what is
    there, from the top left on.

    Ink is what stands out from the white page by half as much as the strongest pixel around it; a
    connected spot of ink is an object, specks aside. How far each pixel lies on the way from white
    to the object's own colour is its coverage. Every shape, drawn with the same area at the same
    centre of mass, is laid over that coverage, and the one of largest overlap sum min(a, b) / sum
    max(a, b) names the object; one that the edge of the page cuts is unknown. Raises `ValueError`
    on any other picture.
    """
    from scipy import ndimage

    page = _levels(picture)
    spots, owner = _segment(page)
    cut = {*spots[0], *spots[-1], *spots[:, 0], *spots[:, -1]}
    seen = []
    for i, box in enumerate(ndimage.find_objects(owner), 1):
        ink = spots[box] == i
        if ink.sum() >= SPECK * page.shape[0] * page.shape[1]:
            colour, rgb = _colour(page[box][ink])
            coverage = _coverage(page[box], rgb) * (owner[box] == i)
            one = _object(coverage, colour, (box[1].start, box[0].start), len(page))
            seen.append(replace(one, shape=UNKNOWN) if i in cut else one)
    return seen


def _levels(picture: Tensor) -> np.ndarray:
    """(3, H, H) in [-1, 1] to (H, H, 3) in 0..255, at most `READ_AT` wide."""
    if (
        picture.ndim != 3
        or picture.shape[0] != 3
        or picture.shape[1] != picture.shape[2]
        or not picture.is_floating_point()
    ):
        raise ValueError(
            f"picture must be (3, H, H) floats in [-1, 1], got {tuple(picture.shape)} "
            f"{picture.dtype}"
        )
    picture = picture.detach().cpu().float()
    if not bool(picture.isfinite().all()):
        raise ValueError("picture must be finite, got NaN or infinity")
    small = resize(picture[None].clamp(-1, 1), min(READ_AT, picture.shape[-1]))[0].clamp(-1, 1)
    return (small.permute(1, 2, 0).double().numpy() + 1) * 127.5


def _segment(page: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of the spot of ink that each pixel lies in, 0 for the page, and of the one that it
    belongs to, as soft borders do: (H, W) twice.
    """
    from scipy import ndimage

    departure = np.linalg.norm(255 - page, axis=2)
    reach = max(1, round(len(page) / 32))  # two pixels at 64: less than the gap between two objects
    peak = ndimage.maximum_filter(departure, size=2 * reach + 1)
    spots, _ = ndimage.label(departure > np.maximum(FAINT, peak / 2), structure=np.ones((3, 3)))
    distance, (rows, columns) = ndimage.distance_transform_edt(spots == 0, return_indices=True)
    return spots, np.where(distance <= reach, spots[rows, columns], 0)


def _coverage(pixels: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """How far each pixel (..., 3) lies on the way from white, 0, to `ink` (3,), 1."""
    towards = 255 - ink
    return ((255 - pixels) @ towards / (towards @ towards)).clip(0, 1)


def _colour(pixels: np.ndarray) -> tuple[str, np.ndarray]:
    """The name of an object's colour and the colour itself, from its pixels (N, 3): the median of
    those fully covered.
    """
    departure = np.linalg.norm(255 - pixels, axis=1)
    rgb = np.median(pixels[departure >= 0.9 * np.quantile(departure, 0.9)], axis=0)
    gaps = np.linalg.norm(_INKS - rgb, axis=1)
    mixed = 255 - _coverage(pixels, rgb)[:, None] * (255 - rgb)
    stray = np.linalg.norm(mixed - pixels, axis=1) > FAR
    known = gaps.min() <= FAR and stray.mean() <= STRAY
    return (list(COLOURS)[gaps.argmin()] if known else UNKNOWN), rgb


def _object(coverage: np.ndarray, colour: str, corner: tuple[int, int], width: int) -> Seen:
    """Name the shape and the size of one object from its coverage, whose box has its top left
    `corner` on the page.
    """
    match, x, y, r, shape = max((*_fit(coverage, shape), shape) for shape in SHAPES)
    r /= width
    size = min(SIZES, key=lambda name: max(SIZES[name][0] - r, r - SIZES[name][1]))
    name = shape if match >= MATCH else UNKNOWN
    return Seen(name, colour, size, (corner[0] + x) / width, (corner[1] + y) / width, r, match)


def _fit(coverage: np.ndarray, shape: str) -> tuple[float, float, float, float]:
    """Lay a shape of the same area and centre of mass over a coverage: (overlap, x, y, r) in pixels
    of the box.
    """
    area, (u, v) = _moments(shape)
    total = coverage.sum()
    r = (
        math.sqrt(total / area) - 1 / 8
    )  # `render` colours every fine pixel that an outline touches: half of one too many
    rows, columns = np.indices(coverage.shape) + 0.5
    x, y = (coverage * columns).sum() / total - r * u, (coverage * rows).sum() / total - r * v
    template = _template(shape, round(4 * r), round(4 * (x % 1)), round(4 * (y % 1)))
    left, top = math.floor(x) - len(template) // 2, math.floor(y) - len(template) // 2
    under = coverage[
        max(top, 0) : max(top + len(template), 0), max(left, 0) : max(left + len(template), 0)
    ]
    over = template[max(-top, 0) :, max(-left, 0) :][: under.shape[0], : under.shape[1]]
    shared = np.minimum(under, over).sum()
    return float(shared / (total + template.sum() - shared)), x, y, r


@lru_cache(maxsize=8192)
def _template(shape: str, r: int, x: int, y: int) -> np.ndarray:
    """The coverage of a shape, drawn by `render`: half extent r and offset (x, y) from the middle,
    in quarters of a pixel.
    """
    width = 2 * math.ceil(r / 4) + 4
    page = render(
        [Placed(shape, "black", 0.5 + x / 4 / width, 0.5 + y / 4 / width, r / 4 / width)], width
    )
    return (255 - page[0].double().numpy()) / (255 - COLOURS["black"][0])


@lru_cache
def _moments(shape: str) -> tuple[float, np.ndarray]:
    """Area and centre of mass of an outline less its hole (shoelace formulas), half extent 1."""
    total, first = 0.0, np.zeros(2)
    for outline, sign in ((OUTLINES[shape], 1), (HOLES.get(shape, np.zeros((1, 2))), -1)):
        following = np.roll(outline, -1, 0)
        cross = outline[:, 0] * following[:, 1] - outline[:, 1] * following[:, 0]
        side = sign * np.sign(cross.sum())  # outlines run either way round
        total += side * cross.sum() / 2
        first += side * ((outline + following) * cross[:, None]).sum(0) / 6
    return total, first / total
