"""A page of coloured shapes on white: what it holds (`Facts`), where (`place`), and how it looks
(`render`), at any resolution.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

COLOURS = {
    "red": (220, 40, 40),
    "orange": (250, 140, 20),
    "yellow": (245, 215, 40),
    "green": (40, 160, 70),
    "blue": (40, 90, 220),
    "purple": (130, 50, 170),
    "pink": (250, 140, 190),
    "black": (25, 25, 25),
}
SIZES = {
    "small": (0.085, 0.100),
    "medium": (0.130, 0.150),
    "large": (0.190, 0.215),
}  # half the extent; the page is 1 wide
GAP = 0.045  # between two objects, and to the edge of the page: nearly 3 pixels at 64


def _circle(radius: float = 1.0, points: int = 180) -> np.ndarray:
    angle = np.linspace(0, 2 * math.pi, points, endpoint=False)
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def _star() -> np.ndarray:
    angle = np.arange(10) * math.pi / 5 - math.pi / 2
    return np.where(np.arange(10) % 2, 0.45, 1.0)[:, None] * np.stack(
        [np.cos(angle), np.sin(angle)], 1
    )


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * math.pi, 180, endpoint=False)
    return np.stack(
        [
            16 * np.sin(t) ** 3,
            -13 * np.cos(t) + 5 * np.cos(2 * t) + 2 * np.cos(3 * t) + np.cos(4 * t),
        ],
        1,
    )


def _unit(outline: Sequence) -> np.ndarray:
    """Centre an outline's bounding box on the origin and scale its longer half side to 1."""
    outline = np.asarray(outline, float)
    low, high = outline.min(0), outline.max(0)
    return (outline - (low + high) / 2) / ((high - low).max() / 2)


_a = 0.34  # half the width of the cross's arms
OUTLINES = {
    "circle": _circle(),
    "square": _unit([(-1, -1), (1, -1), (1, 1), (-1, 1)]),
    "triangle": _unit([(0, 0), (1, math.sqrt(3)), (-1, math.sqrt(3))]),
    "diamond": _unit([(0, -1), (0.7, 0), (0, 1), (-0.7, 0)]),
    "star": _unit(_star()),
    "heart": _unit(_heart()),
    "cross": _unit(
        [
            *((-_a, -1), (_a, -1), (_a, -_a), (1, -_a), (1, _a), (_a, _a)),
            *((_a, 1), (-_a, 1), (-_a, _a), (-1, _a), (-1, -_a), (-_a, -_a)),
        ]
    ),
    "ring": _circle(),
}
HOLES = {"ring": _circle(0.55)}
SHAPES = tuple(OUTLINES)


@dataclass(frozen=True)
class Mention:
    """One object as a caption names it; what the caption leaves open is None."""

    shape: str
    colour: str | None = None
    size: str | None = None


@dataclass(frozen=True)
class Facts:
    """What a caption states: its objects, and how each stands to the next ("left of", "above" or
    None).
    """

    objects: tuple[Mention, ...]
    relation: str | None = None


@dataclass(frozen=True)
class Placed:
    """One object on the page: centre (x, y) and half extent r in page widths, y downwards."""

    shape: str
    colour: str
    x: float
    y: float
    r: float


def place(facts: Facts, rng: random.Random) -> tuple[Placed, ...]:
    """Find every object of `facts` a place: sizes and positions at random, never touching, the
    relation plain to see.

    Raises `ValueError` when the objects do not fit on the page.
    """
    for attempt in range(510):
        radii = [rng.uniform(*SIZES[o.size or rng.choice(list(SIZES))]) for o in facts.objects]
        spots = (
            None
            if facts.relation
            else _anywhere(radii, rng)
            if attempt < 500
            else _in_quarters(radii, rng)
        )
        spots = spots or _in_order(radii, facts.relation or rng.choice(("left of", "above")), rng)
        if spots:
            colours = [o.colour or rng.choice(list(COLOURS)) for o in facts.objects]
            objects = zip(facts.objects, colours, spots, radii, strict=True)
            return tuple(Placed(o.shape, colour, x, y, r) for o, colour, (x, y), r in objects)
    raise ValueError(f"facts: these objects do not fit on one page: {facts}")


def _in_order(
    radii: list[float], relation: str, rng: random.Random
) -> list[tuple[float, float]] | None:
    """Centres in a row ("left of") or a column ("above"): the free space is shared out at random
    between them.
    """
    free = 1 - 2 * sum(radii) - GAP * (len(radii) + 1)
    if free < 0:
        return None
    cuts = sorted(rng.uniform(0, free) for _ in radii)
    line = rng.uniform(0.3, 0.7)
    spots, edge = [], GAP
    for radius, cut, before in zip(radii, cuts, [0, *cuts], strict=False):
        along = edge + (cut - before) + radius
        across = min(max(line + rng.uniform(-0.06, 0.06), radius + GAP), 1 - radius - GAP)
        spots.append((along, across) if relation == "left of" else (across, along))
        edge = along + radius + GAP
    return spots


def _anywhere(radii: list[float], rng: random.Random) -> list[tuple[float, float]] | None:
    """Centres anywhere on the page with no two bounding boxes closer than the gap."""
    spots = [(rng.uniform(r + GAP, 1 - r - GAP), rng.uniform(r + GAP, 1 - r - GAP)) for r in radii]
    for i, (x, y) in enumerate(spots):
        if any(
            max(abs(x - u), abs(y - v)) < radii[i] + radii[j] + GAP
            for j, (u, v) in enumerate(spots[:i])
        ):
            return None
    return spots


def _in_quarters(radii: list[float], rng: random.Random) -> list[tuple[float, float]] | None:
    """Each centre in a quarter of the page of its own: the one way to fit three large objects,
    which chance hardly finds.
    """
    if len(radii) > 4 or max(radii) > 0.25 - 0.75 * GAP:
        return None
    corners = rng.sample([(u, v) for u in (0, 0.5) for v in (0, 0.5)], len(radii))
    # A quarter keeps the whole gap to the edge of the page and half of it to the middle lines.
    return [
        tuple(
            c
            + rng.uniform(r + GAP * (1 if c == 0 else 0.5), 0.5 - r - GAP * (0.5 if c == 0 else 1))
            for c in corner
        )
        for corner, r in zip(corners, radii, strict=True)
    ]


def render(
    scene: Sequence[Placed], size: int, window: tuple[int, int, int] | None = None
) -> Tensor:
    """Draw a page, antialiased: objects -> uint8 (3, size, size). The same scene at any size.

    window: (top, left, side) in pixels draws that part of the page alone, (3, side, side).
    """
    finer = 4 if size <= 512 else 2
    top, left, side = window or (0, 0, size)
    image = Image.new("RGB", (side * finer, side * finer), "white")
    draw = ImageDraw.Draw(image)
    for o in scene:
        for outline, colour in (
            (OUTLINES[o.shape], COLOURS[o.colour]),
            (HOLES.get(o.shape), (255, 255, 255)),
        ):
            if outline is not None:
                # Pillow takes whole numbers: each corner becomes the fine pixel that it lies in.
                points = np.floor(
                    ((np.array([o.x, o.y]) + o.r * outline) * size - (left, top)) * finer
                )
                draw.polygon([tuple(p) for p in points.tolist()], fill=colour)
    return torch.from_numpy(np.array(image.reduce(finer))).permute(2, 0, 1).contiguous()
