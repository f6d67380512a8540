"""Does the picture show what the sentence says? An exact reader of rendered scenes, and plain measures for all other pictures.

`read` turns a page of `shapes` back into objects, `alignment` holds them against a caption. `retrieval` asks whether the
nearest of all real pictures is the right one, `frechet` compares two crowds of pictures; `agreement`, `colour_shift` and
`edge_width` compare one stage of the cascade with the stage below.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from minimagen.pixels import resize
from minimagen.shapes import COLOURS, HOLES, OUTLINES, SHAPES, SIZES, Facts, Placed, parse, render

FAINT = 45.0  # a pixel nearer to white than this (8-bit levels, Euclidean) is page; full pink, the faintest ink, is at 132
SPECK = 0.002  # a spot smaller than this share of the page is no object: a fifth of the smallest, 8 pixels at 64
FAR = 60.0  # a colour farther than this from every ink of the palette is unknown; orange and yellow are 78 apart
STRAY = 0.2  # an object with more than this share of its pixels in another colour has no one colour: unknown
# A best match with less overlap (intersection over union of the coverages) is an unknown shape: half a disc has 0.74 with the
# nearest shape, a six-pointed star 0.74, a 10 : 7 rectangle 0.77; the shapes themselves 0.87, blurred by 0.6 pixels at 64 0.79.
MATCH = 0.78
READ_AT = 128  # larger pictures are shrunk to this for reading: the smallest object is still 21 pixels wide
UNKNOWN = "unknown"
_INKS = np.array(list(COLOURS.values()), float)


# -------------------------------------------------------------------------------------------------- picture -> objects


@dataclass(frozen=True)
class Seen:
    """One object found on a page: centre (x, y) and half extent r in page widths, `match` its overlap with the named shape.

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
    """Find the objects on one page of `shapes`: picture (3, H, H), floats in [-1, 1] -> what is there, from the top left on.

    Ink is what stands out from the white page by half as much as the strongest pixel around it; a connected spot of ink is an
    object, specks aside. How far each pixel lies on the way from white to the object's own colour is its coverage. Every shape,
    drawn with the same area at the same centre of mass, is laid over that coverage, and the one of largest overlap
    sum min(a, b) / sum max(a, b) names the object; one that the edge of the page cuts is unknown.
    Raises `ValueError` on any other picture.
    """
    from scipy import ndimage

    page = _levels(picture)
    departure = np.linalg.norm(255 - page, axis=2)
    reach = max(1, round(len(page) / 32))  # two pixels at 64: less than the gap between two objects
    peak = ndimage.maximum_filter(departure, size=2 * reach + 1)
    spots, _ = ndimage.label(departure > np.maximum(FAINT, peak / 2), structure=np.ones((3, 3)))
    distance, (rows, columns) = ndimage.distance_transform_edt(spots == 0, return_indices=True)
    cut = {*spots[0], *spots[-1], *spots[:, 0], *spots[:, -1]}
    owner = np.where(distance <= reach, spots[rows, columns], 0)  # the soft border belongs to the nearest spot
    seen = []
    for i, box in enumerate(ndimage.find_objects(owner), 1):
        ink = spots[box] == i
        if ink.sum() >= SPECK * page.shape[0] * page.shape[1]:
            colour, rgb = _colour(page[box][ink])
            towards = 255 - rgb
            coverage = ((255 - page[box]) @ towards / (towards @ towards)).clip(0, 1) * (owner[box] == i)
            found = _object(coverage, colour, (box[1].start, box[0].start), len(page))
            seen.append(replace(found, shape=UNKNOWN) if i in cut else found)
    return seen


def _levels(picture: Tensor) -> np.ndarray:
    """(3, H, H) in [-1, 1] to (H, H, 3) in 0..255, at most `READ_AT` wide."""
    if picture.ndim != 3 or picture.shape[0] != 3 or picture.shape[1] != picture.shape[2] or not picture.is_floating_point():
        raise ValueError(f"picture must be (3, H, H) floats in [-1, 1], got {tuple(picture.shape)} {picture.dtype}")
    picture = picture.detach().cpu().float()
    if not bool(picture.isfinite().all()):
        raise ValueError("picture must be finite, got NaN or infinity")
    small = resize(picture[None].clamp(-1, 1), min(READ_AT, picture.shape[-1]))[0].clamp(-1, 1)
    return (small.permute(1, 2, 0).double().numpy() + 1) * 127.5


def _colour(pixels: np.ndarray) -> tuple[str, np.ndarray]:
    """The name of an object's colour and the colour itself, from its pixels (N, 3): the median of those fully covered."""
    departure = np.linalg.norm(255 - pixels, axis=1)
    rgb = np.median(pixels[departure >= 0.9 * np.quantile(departure, 0.9)], axis=0)
    gaps = np.linalg.norm(_INKS - rgb, axis=1)
    towards = 255 - rgb
    along = ((255 - pixels) @ towards / (towards @ towards)).clip(0, 1)
    stray = np.linalg.norm(255 - along[:, None] * towards - pixels, axis=1) > FAR
    known = gaps.min() <= FAR and stray.mean() <= STRAY
    return (list(COLOURS)[gaps.argmin()] if known else UNKNOWN), rgb


def _object(coverage: np.ndarray, colour: str, corner: tuple[int, int], width: int) -> Seen:
    """Name the shape and the size of one object from its coverage, whose box has its top left `corner` on the page."""
    match, x, y, r, shape = max((*_fit(coverage, shape), shape) for shape in SHAPES)
    r /= width
    size = min(SIZES, key=lambda name: max(SIZES[name][0] - r, r - SIZES[name][1]))
    name = shape if match >= MATCH else UNKNOWN
    return Seen(name, colour, size, (corner[0] + x) / width, (corner[1] + y) / width, r, match)


def _fit(coverage: np.ndarray, shape: str) -> tuple[float, float, float, float]:
    """Lay a shape of the same area and centre of mass over a coverage: (overlap, x, y, r) in pixels of the box."""
    area, (u, v) = _moments(shape)
    total = coverage.sum()
    r = math.sqrt(total / area) - 1 / 8  # `render` colours every fine pixel that an outline touches: half of one too many
    rows, columns = np.indices(coverage.shape) + 0.5
    x, y = (coverage * columns).sum() / total - r * u, (coverage * rows).sum() / total - r * v
    template = _template(shape, round(4 * r), round(4 * (x % 1)), round(4 * (y % 1)))
    left, top = math.floor(x) - len(template) // 2, math.floor(y) - len(template) // 2
    under = coverage[max(top, 0) : max(top + len(template), 0), max(left, 0) : max(left + len(template), 0)]
    over = template[max(-top, 0) :, max(-left, 0) :][: under.shape[0], : under.shape[1]]
    shared = np.minimum(under, over).sum()
    return float(shared / (total + template.sum() - shared)), x, y, r


@lru_cache(maxsize=8192)
def _template(shape: str, r: int, x: int, y: int) -> np.ndarray:
    """The coverage of a shape, drawn by `render`: half extent r and offset (x, y) from the middle, in quarters of a pixel."""
    width = 2 * math.ceil(r / 4) + 4
    page = render([Placed(shape, "black", 0.5 + x / 4 / width, 0.5 + y / 4 / width, r / 4 / width)], width)
    return (255 - page[0].double().numpy()) / (255 - COLOURS["black"][0])


@lru_cache
def _moments(shape: str) -> tuple[float, np.ndarray]:
    """Area and centre of mass of an outline less its hole (the shoelace formulas), half extent 1."""
    total, first = 0.0, np.zeros(2)
    for outline, sign in ((OUTLINES[shape], 1), (HOLES.get(shape, np.zeros((1, 2))), -1)):
        following = np.roll(outline, -1, 0)
        cross = outline[:, 0] * following[:, 1] - outline[:, 1] * following[:, 0]
        side = sign * np.sign(cross.sum())  # outlines run either way round
        total += side * cross.sum() / 2
        first += side * ((outline + following) * cross[:, None]).sum(0) / 6
    return total, first / total


# ------------------------------------------------------------------------------------------- objects against a caption


@dataclass(frozen=True)
class AlignmentReport:
    """What `alignment` found: each picture's verdicts, and their shares as .objects .colours .sizes .relation .all.

    right: name -> (B,) bool. stated: (B,) bool, the captions that state a relation: `relation` is a share of those alone, NaN
    where there are none.
    """

    right: dict[str, Tensor]
    stated: Tensor

    def counted(self, name: str) -> Tensor:
        """The verdicts that the share called `name` is the mean of. Raises `ValueError` on a name that is none of the five."""
        if name not in self.right:
            raise ValueError(f"name must be one of {', '.join(self.right)}, got {name!r}")
        return self.right[name][self.stated] if name == "relation" else self.right[name]

    def share(self, name: str) -> float:
        return self.counted(name).double().mean().item()

    def interval(self, name: str) -> tuple[float, float]:
        """The 95 % bootstrap interval over captions of `share`."""
        return bootstrap(self.counted(name))

    objects = property(lambda self: self.share("objects"))
    colours = property(lambda self: self.share("colours"))
    sizes = property(lambda self: self.share("sizes"))
    relation = property(lambda self: self.share("relation"))
    all = property(lambda self: self.share("all"))


def alignment(images: Tensor, captions: Sequence[str]) -> AlignmentReport:
    """Which pages show what their captions say: images (B, 3, H, H) in [-1, 1], B captions -> `AlignmentReport`.

    objects: the shapes of the caption, each as often as it is named, and nothing else. The others count only where the objects
    are right: colours and sizes as the caption gives them to each object (one that it leaves open may be any), relation:
    each object is left of (x_a < x_b, |dx| > |dy|) or above the next. all: everything that the caption states.
    Raises `ValueError` where the numbers differ, on a caption that names no shape, and on pictures that `read` refuses.
    """
    if len(images) != len(captions):
        raise ValueError(f"captions must be one a picture, got {len(captions)} for {len(images)} pictures")
    facts = [parse(caption) for caption in captions]
    verdicts = [_judge(fact, read(image)) for fact, image in zip(facts, images, strict=True)]
    columns = torch.tensor(verdicts, dtype=torch.bool).reshape(-1, 4).T
    right = dict(zip(("objects", "colours", "sizes", "relation"), columns, strict=True))
    stated = torch.tensor([fact.relation is not None for fact in facts], dtype=torch.bool)
    every = right["colours"] & right["sizes"] & (right["relation"] | ~stated)
    return AlignmentReport({**right, "all": every}, stated)


def _judge(facts: Facts, seen: list[Seen]) -> tuple[bool, bool, bool, bool]:
    """Objects, colours, sizes, relation: with the objects bound to the caption's mentions so that most of it is right."""
    if sorted(o.shape for o in seen) != sorted(o.shape for o in facts.objects):
        return (False,) * 4
    shapes = [mention.shape for mention in facts.objects]
    bound = (order for order in permutations(seen) if [o.shape for o in order] == shapes)
    return max((_verdict(facts, order) for order in bound), key=sum)


def _verdict(facts: Facts, order: Sequence[Seen]) -> tuple[bool, bool, bool, bool]:
    pairs = list(zip(facts.objects, order, strict=True))
    return (
        True,
        all(m.colour in (None, o.colour) for m, o in pairs),
        all(m.size in (None, o.size) for m, o in pairs),
        facts.relation is None or all(_stands(facts.relation, a, b) for a, b in zip(order, order[1:], strict=False)),
    )


def _stands(relation: str, a: Seen, b: Seen) -> bool:
    dx, dy = b.x - a.x, b.y - a.y
    return dx > abs(dy) if relation == "left of" else dy > abs(dx)


def bootstrap(values: Tensor, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of `values` (N,): the means of `resamples` draws of N with replacement.

    The draws come from a generator of their own, seeded with `seed`. (NaN, NaN) where there are no values.
    """
    if len(values) == 0:
        return math.nan, math.nan
    generator = torch.Generator().manual_seed(seed)
    values = values.detach().cpu().double()
    means = [values[torch.randint(len(values), values.shape, generator=generator)].mean() for _ in range(resamples)]
    low, high = torch.stack(means).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


# ----------------------------------------------------------------------------------------------------- any picture


def pooled_features(images: Tensor) -> Tensor:
    """The mean colours of an 8 x 8 grid of cells: pictures (B, 3, H, W) of at least 8 x 8 -> (B, 192), float32.

    They tell which colour is where and nothing of edges or of meaning: pictures that look alike from afar are near each other.
    """
    return F.adaptive_avg_pool2d(images.float(), 8).flatten(1)


@dataclass(frozen=True)
class RetrievalReport:
    """ranks (B,): how many real pictures are nearer to each drawing than the one that its caption names; 0 is a find."""

    ranks: Tensor

    def found(self, k: int = 1) -> Tensor:
        """(B,) bool: the picture named is among the k nearest."""
        return self.ranks < k

    def share(self, k: int = 1) -> float:
        return self.found(k).double().mean().item()

    def interval(self, k: int = 1) -> tuple[float, float]:
        """The 95 % bootstrap interval of `share`."""
        return bootstrap(self.found(k))


def retrieval(ours: Tensor, theirs: Tensor, truth: Tensor) -> RetrievalReport:
    """Is the nearest of all real pictures the one that the caption names? Euclidean distance of the features.

    ours (B, F) features of the drawings, theirs (N, F) of all real pictures, truth (B,) integers: drawing i should be real
    picture truth[i]. Of pictures with equal features each counts as found.
    Raises `ValueError` where truth is not B indices into theirs.
    """
    if truth.shape != ours.shape[:1] or not bool(((truth >= 0) & (truth < len(theirs))).all()):
        raise ValueError(f"truth must be {len(ours)} indices, one a picture, below {len(theirs)}, got {truth.tolist()}")
    # Not by the expanded square, which would lose the digits that tell equal pictures from nearly equal ones.
    distance = torch.cdist(ours.double(), theirs.double(), compute_mode="donot_use_mm_for_euclid_dist")
    own = distance.gather(1, truth.to(distance.device)[:, None])
    return RetrievalReport((distance < own).sum(1))


def frechet(a: Tensor, b: Tensor) -> float:
    """The squared Fréchet distance of Gaussians fitted to two sets of features, a (N, F) and b (M, F), in float64:

    |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)). The trace of the root is the sum of the singular values of
    S_a^(1/2) S_b^(1/2): no root of a matrix that is not symmetric. With the features of an Inception network it is the FID
    (Heusel et al. 2017, section 4); with others it is another number: always say which.
    Raises `ValueError` on fewer than 2 rows, on different widths, and on features that are not finite.
    """
    for name, x in (("a", a), ("b", b)):
        if x.ndim != 2 or len(x) < 2 or x.shape[1] != a.shape[-1]:
            raise ValueError(f"{name} must be (2 or more, {a.shape[-1]}) features, got {tuple(x.shape)}")
        if not bool(x.isfinite().all()):
            raise ValueError(f"{name} must be finite, got NaN or infinity")
    a, b = a.detach().double(), b.detach().double()
    shift = (a.mean(0) - b.mean(0)).square().sum()
    roots = [_root(torch.atleast_2d(x.T.cov())) for x in (a, b)]
    spread = sum(root.square().sum() for root in roots) - 2 * torch.linalg.svdvals(roots[0] @ roots[1]).sum()
    return (shift + spread.clamp(min=0)).item()


def _root(covariance: Tensor) -> Tensor:
    """The symmetric root of a symmetric matrix without negative eigenvalues (those of rounding are cut off)."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def agreement(picture: Tensor, below: Tensor) -> Tensor:
    """How far a stage moved from the stage below: mean |resize(picture) - below| / 2, (B, 3, H, H), (B, 3, h, h) -> (B,).

    The picture is shrunk with antialiasing. 0 is the same picture, 1 is white for black. Lesson 13.
    """
    return (resize(picture, below.shape[-1]) - below).abs().mean((1, 2, 3)) / 2


def colour_shift(picture: Tensor, below: Tensor) -> Tensor:
    """By how much a stage brightened each channel: mean (resize(picture) - below) / 2, signed, (B, 3) in [-1, 1]. Lesson 13."""
    return (resize(picture, below.shape[-1]) - below).mean((2, 3)) / 2


def edge_width(picture: Tensor) -> Tensor:
    """How many pixels a picture's sharp edges take: contrast / steepest slope, (B, 3, H, W) -> (B,).

    Of the channel of largest contrast: the mean of the W/4 brightest pixels less that of the W/4 darkest, over the mean of the
    W/4 steepest differences between neighbours (dx^2 + dy^2)^(1/2). An edge blurred by a Gaussian has 2.5 times its deviation,
    which is 0.98 of its 10-90 % width; an antialiased rendering has about 1. NaN where a picture is flat.
    """
    count = max(1, picture.shape[-1] // 4)
    x = picture.float()
    dx, dy = x[..., :-1, 1:] - x[..., :-1, :-1], x[..., 1:, :-1] - x[..., :-1, :-1]
    slope = (dx.square() + dy.square()).sqrt().flatten(2).topk(count).values.mean(2)
    contrast = x.flatten(2).topk(count).values.mean(2) - x.flatten(2).topk(count, largest=False).values.mean(2)
    widest = contrast.argmax(1, keepdim=True)
    return (contrast / slope).gather(1, widest)[:, 0]
