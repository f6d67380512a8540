"""Pages for training and trying the recogniser: renderings, junk, and what spoils them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from minimagen.data.grammar import choose_page
from minimagen.data.nouns import COLOURS, SHAPES
from minimagen.data.pages import Page, clashes
from minimagen.data.sprites import tints
from minimagen.data.truth import SIZES, THING_SIZES, Object, Truth
from minimagen.data.world import render
from minimagen.evaluation.recogniser import nouns

SIDE = 64
NUMBERS = {0: 0.04, 1: 0.3, 2: 0.36, 3: 0.2, 4: 0.1}  # objects on a page


def compose(rng: random.Random, numbers: dict[int, float] = NUMBERS) -> Truth:
    """A page with objects anywhere, of any noun and colour, two pixels apart at least."""
    while True:
        objects: list[Object] = []
        for _ in range(rng.choices([*numbers], [*numbers.values()])[0]):
            placed = _place(any_object(rng), objects, rng)
            objects += [placed] if placed else []
        hidden = frozenset().union(*(clashes(o.noun, o.colour) for o in objects))
        page = choose_page(hidden, rng, white=0.3)
        if page:
            return Truth("single", page, tuple(objects))


def any_object(rng: random.Random) -> Object:
    """A noun, a colour and a size: four in ten a shape, half of the things in their own colours,
    one side in four between those that `World` has.
    """
    noun = rng.choice(SHAPES if rng.random() < 0.4 else nouns()[len(SHAPES) :])
    own = noun not in SHAPES and rng.random() < 0.5
    table = SIZES if noun in SHAPES else THING_SIZES
    size = rng.choice([*table])
    side = rng.choice(table[size]) + (rng.randint(-1, 4) if rng.random() < 0.25 else 0)
    return Object(noun, None if own else rng.choice([*COLOURS]), size, side=side)


def _place(o: Object, others: Sequence[Object], rng: random.Random) -> Object | None:
    """The object where it comes near no other; None where 20 tries find no room."""
    for _ in range(20):
        o = replace(o, left=rng.randint(1, 63 - o.side), top=rng.randint(1, 63 - o.side))
        apart = lambda p, o=o: max(
            p.left - o.left - o.side, o.left - p.left - p.side,
            p.top - o.top - o.side, o.top - p.top - p.side,
        )  # fmt: skip
        if all(apart(p) >= 2 for p in others):
            return o
    return None


# --- junk: what nobody can name ---

Junk = Callable[[np.ndarray, Truth, int, random.Random], np.ndarray]


def _other(truth: Truth, k: int, rng: random.Random) -> np.ndarray:
    """The same page with another thing in the place of object k."""
    new = any_object(rng)
    while new.noun in (*SHAPES, truth.objects[k].noun) or _clash(new, truth.page):
        new = any_object(rng)
    old = truth.objects[k]
    new = replace(old, noun=new.noun, colour=new.colour)
    objects = (*truth.objects[:k], new, *truth.objects[k + 1 :])
    return render(replace(truth, objects=objects), SIDE).numpy()


def _clash(o: Object, page: Page) -> bool:
    return bool({page.colour, page.second} & clashes(o.noun, o.colour))


def _around(o: Object, angle: float) -> np.ndarray:
    """How far each pixel lies to one side of the line through an object's centre: (64, 64)."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    return (x - 64 * o.x) * np.cos(angle) + (y - 64 * o.y) * np.sin(angle)


def halves(picture: np.ndarray, truth: Truth, k: int, rng: random.Random) -> np.ndarray:
    """One half of the object and the other half of another one."""
    o = truth.objects[k]
    distance = _around(o, rng.uniform(0, 2 * np.pi)) + o.side * rng.uniform(-0.08, 0.08)
    share = np.clip(distance + 0.5, 0, 1)
    return _mixed(picture, _other(truth, k, rng), share)


def ghost(picture: np.ndarray, truth: Truth, k: int, rng: random.Random) -> np.ndarray:
    """Two objects in one place, each half transparent."""
    return _mixed(picture, _other(truth, k, rng), np.full((SIDE, SIDE), 0.5))


def combed(picture: np.ndarray, truth: Truth, k: int, rng: random.Random) -> np.ndarray:
    """Two objects in one place, in four slices by turns."""
    o = truth.objects[k]
    slices = np.floor(4 * _around(o, rng.uniform(0, 2 * np.pi)) / o.side + rng.random())
    return _mixed(picture, _other(truth, k, rng), slices % 2)


def quarters(picture: np.ndarray, truth: Truth, k: int, rng: random.Random) -> np.ndarray:
    """The object's quarters in another order, none where it was. Of a thing: a square would stay
    one.
    """
    o = truth.objects[k]
    if o.noun in SHAPES:
        return halves(picture, truth, k, rng)
    half, new = o.side // 2, picture.copy()
    corners = [(o.top + v * half, o.left + u * half) for v in (0, 1) for u in (0, 1)]
    turn = rng.choice((1, 2, 3))
    for (y, x), (v, u) in zip(corners, corners[turn:] + corners[:turn], strict=True):
        new[:, y : y + half, x : x + half] = picture[:, v : v + half, u : u + half]
    return new


def swirled(picture: np.ndarray, truth: Truth, k: int, rng: random.Random) -> np.ndarray:
    """The object stirred: turned by up to three quarters of a circle, most at its centre. A thing:
    a circle would stay one.
    """
    o = truth.objects[k]
    if o.noun in SHAPES:
        return combed(picture, truth, k, rng)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    dx, dy = x - 64 * o.x, y - 64 * o.y
    turn = 1.5 * np.pi * np.clip(1 - np.hypot(dx, dy) / (0.7 * o.side), 0, 1)
    u = (64 * o.x + dx * np.cos(turn) - dy * np.sin(turn)).clip(0, SIDE - 1).astype(int)
    v = (64 * o.y + dx * np.sin(turn) + dy * np.cos(turn)).clip(0, SIDE - 1).astype(int)
    return picture[:, v, u]


def melted(picture: np.ndarray, truth: Truth, k: int, rng: random.Random) -> np.ndarray:
    """The object run out of its form: every place of it moved by up to a third of its side."""
    o, random_ = truth.objects[k], np.random.default_rng(rng.getrandbits(32))
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    inside = np.clip(1 - np.hypot(x - 64 * o.x, y - 64 * o.y) / (0.9 * o.side), 0, 0.5)
    down, right = (o.side * 0.8 * inside * _smooth(5, SIDE, random_) for _ in range(2))
    v, u = ((at + by).clip(0, SIDE - 1).astype(int) for at, by in ((y, down), (x, right)))
    return picture[:, v, u]


def blob(picture: np.ndarray, truth: Truth, k: int, rng: random.Random) -> np.ndarray:
    """A smooth spot without a form, in two colours, in the place of the object."""
    o, random_ = truth.objects[k], np.random.default_rng(rng.getrandbits(32))
    smooth = lambda n: _smooth(n, o.side, random_)
    y, x = (np.mgrid[: o.side, : o.side] + 0.5) / o.side * 2 - 1
    form = np.clip((1.2 * smooth(4) + 1.4 - 3 * (x * x + y * y)) * o.side / 8, 0, 1)
    light = (128 + 60 * smooth(5)).clip(0, 255).astype(np.uint8)
    one, two = (tints(colour)[:, light] for colour in rng.sample([*COLOURS], 2))
    ink = np.where(smooth(4) > 0, one, two)
    new = render(_without(truth, k), SIDE).numpy()
    part = new[:, o.top : o.top + o.side, o.left : o.left + o.side]
    part[:] = part + form * (ink.astype(float) - part)
    return new


def noise(picture: np.ndarray, truth: Truth, k: int, rng: random.Random) -> np.ndarray:
    """Noise, coarse or fine, in the place of the object."""
    o, random_ = truth.objects[k], np.random.default_rng(rng.getrandbits(32))
    new = render(_without(truth, k), SIDE).numpy()
    grain = rng.choice((1, 2, 3, 5))
    grains = random_.integers(0, 256, (3, SIDE // grain + 1, SIDE // grain + 1))
    field = grains.repeat(grain, 1).repeat(grain, 2)[:, : o.side, : o.side]
    new[:, o.top : o.top + o.side, o.left : o.left + o.side] = field
    return new


def _smooth(knots: int, side: int, random_: np.random.Generator) -> np.ndarray:
    """A smooth random field (side, side) of about unit variance through knots x knots values."""
    values = random_.normal(size=(knots, knots)).astype(np.float32)
    return np.asarray(Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC))


def _without(truth: Truth, k: int) -> Truth:
    return replace(truth, objects=truth.objects[:k] + truth.objects[k + 1 :])


def _mixed(one: np.ndarray, two: np.ndarray, share: np.ndarray) -> np.ndarray:
    return np.rint(one + share * (two.astype(float) - one)).astype(np.uint8)


TRAINED_JUNK: tuple[Junk, ...] = (halves, halves, ghost, quarters, melted, blob, noise)
UNTRAINED_JUNK: tuple[Junk, ...] = (combed, swirled)


# --- what spoils a page ---


def spoil(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pages (B, 3, 64, 64) bent by up to two pixels, blurred, tinted, with other contrast, noisy:
    each in another measure, two in five not at all.
    """
    some = lambda *shape: torch.rand(len(pictures), *shape, generator=generator)
    amount = (some(1, 1, 1) > 0.4).float()
    x = bent(pictures, 2.0 * amount * some(1, 1, 1), generator)
    x = blurred(x, amount.flatten() * some() * 1.1)
    x = (x - 0.2) * (1 + amount * 0.4 * (some(1, 1, 1) - 0.5)) + 0.2
    x = x + amount * 0.16 * (some(3, 1, 1) - 0.5)
    grain = torch.randn(x.shape, generator=generator)
    return (x + 0.12 * amount * some(1, 1, 1) ** 2 * grain).clamp(-1, 1)


def bent(pictures: Tensor, by: Tensor, generator: torch.Generator) -> Tensor:
    """Pages (B, 3, 64, 64) bent by a smooth random field, about `by` (B, 1, 1, 1) pixels."""
    field = torch.rand(len(pictures), 2, 7, 7, generator=generator) * 2 - 1
    field = F.interpolate(field, size=SIDE, mode="bicubic") * by * (2 / SIDE)
    middle = (torch.arange(SIDE) + 0.5) * (2 / SIDE) - 1
    grid = torch.stack(torch.meshgrid(middle, middle, indexing="xy"), -1)
    moved = grid + field.permute(0, 2, 3, 1)
    return F.grid_sample(pictures, moved, padding_mode="border", align_corners=False)


def blurred(pictures: Tensor, sigma: Tensor) -> Tensor:
    """Pages (B, 3, H, W), each blurred by a Gaussian of `sigma` (B,) pixels."""
    offsets = torch.arange(-3, 4)
    kernel = torch.exp(-(offsets**2) / (2 * sigma[:, None].clamp(min=0.05) ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)
    count, (height, width) = 3 * len(pictures), pictures.shape[2:]
    x = F.pad(pictures.reshape(1, count, height, width), (3, 3, 3, 3), mode="replicate")
    x = F.conv2d(x, kernel.view(count, 1, 7, 1), groups=count)
    return F.conv2d(x, kernel.view(count, 1, 1, 7), groups=count).view_as(pictures)
