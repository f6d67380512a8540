"""Where the objects of a page of `World` stand: whole 64ths of the page, never touching."""

import random
from collections.abc import Sequence

from minimagen.data.nouns import SHAPES
from minimagen.data.truth import PLACES, SIZES, THING_SIZES

EDGE, GAP = 2, 3  # 64ths of the page kept free at its border, and between two objects
FIELD = 64 - 2 * EDGE
QUARTER = 28  # the side of the largest object that a quarter of the page holds

Steps = tuple[tuple[str, int], ...]  # (size, side) of all that an object may be


def steps(noun: str, scale: float) -> Steps:
    """Every size and side that a noun may have; what fills more than 56 of 64 is left out."""
    table = SIZES if noun in SHAPES else THING_SIZES
    scaled = [(size, round(side * scale)) for size, sides in table.items() for side in sides]
    return tuple((size, side) for size, side in scaled if side <= 56)


def choose_sizes(
    options: Sequence[Steps], room: int, most: int, rng: random.Random
) -> list[tuple[str, int]] | None:
    """(size, side) for each object, with sides of at most `most` that add up to at most `room`.

    Every size word that still fits is equally likely, in whatever order. None if nothing fits.
    """
    order = list(range(len(options)))
    rng.shuffle(order)
    least = [min(side for _, side in options[k]) for k in order]
    chosen: list = [None] * len(options)
    for turn, k in enumerate(order):
        free = min(most, room - sum(least[turn + 1 :]))
        fitting = [step for step in options[k] if step[1] <= free]
        if not fitting:
            return None
        size = rng.choice([*dict.fromkeys(word for word, _ in fitting)])
        chosen[k] = rng.choice([step for step in fitting if step[0] == size])
        room -= chosen[k][1]
    return chosen


def line_room(count: int) -> int:
    """How long `count` objects in a row may be together."""
    return FIELD - GAP * (count - 1)


def in_place(side: int, place: str | None, rng: random.Random) -> tuple[int, int]:
    """(left, top) of one object: anywhere, or in one of the nine `PLACES`."""
    free = FIELD - side
    if place is None:
        return EDGE + rng.randint(0, free), EDGE + rng.randint(0, free)
    spans = ((0, free // 5), (-(-free * 2 // 5), free * 3 // 5), (free - free // 5, free))
    column, row = PLACES[place]
    return EDGE + rng.randint(*spans[column]), EDGE + rng.randint(*spans[row])


def in_line(
    sides: Sequence[int], relation: str, wander: int, rng: random.Random
) -> list[tuple[int, int]]:
    """(left, top) of objects from left to right ("left of") or from top to bottom ("above").

    Across the line their centres lie at most `wander` from a common one, as far as the page allows.
    """
    free = line_room(len(sides)) - sum(sides)
    cuts = sorted(rng.randint(0, free) for _ in sides)
    line = rng.randint(22, 42)
    spots, before = [], 0
    for k, (side, cut) in enumerate(zip(sides, cuts, strict=True)):
        along = EDGE + before + k * GAP + cut
        across = line + rng.randint(-wander, wander) - side // 2
        across = min(max(across, EDGE), EDGE + FIELD - side)
        spots.append((along, across) if relation == "left of" else (across, along))
        before += side
    return spots


def in_quarters(sides: Sequence[int], rng: random.Random) -> list[tuple[int, int]]:
    """(left, top) of at most four objects of sides up to `QUARTER`, each in its quarter."""
    corners = rng.sample([(u, v) for u in (0, 1) for v in (0, 1)], len(sides))
    start = lambda half, side: EDGE + half * (QUARTER + GAP) + rng.randint(0, QUARTER - side + half)
    return [(start(u, side), start(v, side)) for (u, v), side in zip(corners, sides, strict=True)]
