"""What may stand on a page of `World`, by split: pages and objects, drawn at random."""

import random
from collections.abc import Sequence
from functools import cached_property, lru_cache

from minimagen.data import layout
from minimagen.data.nouns import COLOURS, SHAPES, things, unseen_colour, unseen_pair
from minimagen.data.pages import PAGE_COLOURS, PAGE_KINDS, STEPS, Page, clashes
from minimagen.data.truth import PLACES, RELATIONS, Object, Truth

PAGE_WEIGHTS = (0.3, 0.16, 0.18, 0.18, 0.18)  # of `PAGE_KINDS`
WHITE = 0.4  # how many of the plain pages are white where they have objects
TWO_COLOURS = 0.35  # how many of the patterned pages have two colours; a ground always has
NAMES_PAGE, NAMES_WHITE, NAMES_SIZE, NAMES_PLACE, RELATED = 0.6, 0.2, 0.5, 0.4, 0.75
THINGS = {"single": 0.65, "pair": 0.5, "count": 0.5, "triple": 0.6}  # the share of things
OWN_COLOURS = 0.5  # how many of the things have their own colours
TRIES = 1000  # throws of the dice until a page comes out; most come out at the first
PAIRED = ("pair", "triple")

Named = tuple[str, str | None]  # a noun and its colour


class Grammar:
    """Draws truths. nouns: the things that may appear; scale: of all sizes; split: see `World`."""

    def __init__(self, split: str, kinds: dict[str, float], nouns: Sequence[str], scale: float):
        self.split, self.scale = split, scale
        self.kinds, self.weights = list(kinds), list(kinds.values())
        self.things = [noun for noun in nouns if noun in things(shown=True)]
        self.never_shown = [noun for noun in nouns if noun not in self.things]
        self.steps = {noun: layout.steps(noun, scale) for noun in (*SHAPES, *nouns)}
        colours = {noun: [(c, unseen_colour(noun, c)) for c in COLOURS] for noun in self.steps}
        self.seen = {noun: [c for c, new in row if not new] for noun, row in colours.items()}
        self.unseen = {noun: [c for c, new in row if new] for noun, row in colours.items()}

    def draw(self, rng: random.Random) -> Truth:
        """One truth that the split may show."""
        kind = rng.choices(self.kinds, self.weights)[0]
        if kind == "page":
            page = choose_page(frozenset(), rng, white=1 / len(PAGE_COLOURS))
            return Truth(kind, page, names_page=True)
        for _ in range(TRIES):
            named = self._named(kind, rng)
            truth = self._placed(kind, named, rng) if named else None
            if truth:
                return truth
        raise ValueError(
            f"nouns must hold some that a page of kind {kind!r} in the split {self.split!r} has "
            f"room for at scale {self.scale}, got {self.things + self.never_shown}"
        )

    @cached_property
    def partners(self) -> dict[str, list[str]]:
        """For every noun those that training never shows beside it."""
        nouns = [*SHAPES, *self.things]
        found = {a: [b for b in nouns if unseen_pair(a, b)] for a in nouns}
        return {a: row for a, row in found.items() if row}

    def _named(self, kind: str, rng: random.Random) -> list[Named] | None:
        """Nouns and colours of a page's objects; None where the dice fell badly."""
        number = {"single": 1, "count": 1, "pair": 2, "triple": 3}[kind]
        first = self._first(kind, rng)
        nouns = [first[0]]
        if self.split == "unseen-pair":
            fitting = self.partners[first[0]]
            if kind == "triple" and first[0] not in SHAPES:  # of three, one at most is a thing
                fitting = [noun for noun in fitting if noun in SHAPES]
            if not fitting:
                return None
            nouns.append(rng.choice(fitting))
        while len(nouns) < number:
            nouns.append(self._noun(0.0 if kind == "triple" else THINGS[kind], rng))
        if kind == "triple" and sum(noun not in SHAPES for noun in nouns) > 1:
            return None
        named = [first, *((noun, self._colour(noun, rng)) for noun in nouns[1:])]
        known = (unseen_pair(a, b) for k, a in enumerate(nouns) for b in nouns[:k])
        if sum(known) != (self.split == "unseen-pair") or _confusing(named):
            return None
        rng.shuffle(named)
        return named

    def _first(self, kind: str, rng: random.Random) -> Named:
        """The object that a split is about."""
        if self.split == "unseen-colour":
            noun = self._noun(THINGS[kind], rng)
            while not self.unseen[noun]:
                noun = self._noun(THINGS[kind], rng)
            return noun, rng.choice(self.unseen[noun])
        if self.split == "unseen-noun":
            noun = rng.choice(self.never_shown)
        elif self.split == "unseen-pair":
            noun = rng.choice([*self.partners])
        else:
            noun = self._noun(THINGS[kind], rng)
        return noun, self._colour(noun, rng)

    def _noun(self, share: float, rng: random.Random) -> str:
        return rng.choice(self.things if self.things and rng.random() < share else SHAPES)

    def _colour(self, noun: str, rng: random.Random) -> str | None:
        if noun not in SHAPES and rng.random() < OWN_COLOURS:
            return None
        return rng.choice(self.seen[noun])

    def _placed(self, kind: str, named: list[Named], rng: random.Random) -> Truth | None:
        named = named * rng.choice((2, 3)) if kind == "count" else named
        page = choose_page(_hidden(tuple(named)), rng, white=WHITE)
        names_page = page is not None and rng.random() < (
            NAMES_WHITE if page.colour == "white" else NAMES_PAGE
        )
        relation = rng.choice(RELATIONS) if kind in PAIRED and rng.random() < RELATED else None
        place = rng.choice([*PLACES]) if kind == "single" and rng.random() < NAMES_PLACE else None
        placed = self._arranged(kind, [noun for noun, _ in named], relation, place, rng)
        if placed is None or page is None:
            return None
        objects = tuple(
            Object(noun, colour, size, left, top, side)
            for (noun, colour), (size, side, left, top) in zip(named, placed, strict=True)
        )
        return Truth(
            kind, page, objects, relation, place, names_page, self._names_sizes(kind, objects, rng)
        )

    def _names_sizes(
        self, kind: str, objects: tuple[Object, ...], rng: random.Random
    ) -> tuple[bool, ...]:
        if self.split == "text-only":  # so that there is always a word to say otherwise
            return (True,) * len(objects)
        named = tuple(rng.random() < NAMES_SIZE for _ in objects)
        return named[:1] * len(objects) if kind == "count" else named

    def _arranged(
        self,
        kind: str,
        nouns: list[str],
        relation: str | None,
        place: str | None,
        rng: random.Random,
    ) -> list[tuple[str, int, int, int]] | None:
        """(size, side, left, top) of each object; None where the objects do not fit."""
        in_line = relation is not None or (len(nouns) < 3 and rng.random() < 0.5)
        room = layout.line_room(len(nouns)) if in_line else 64 * len(nouns)
        most = 64 if in_line or len(nouns) == 1 else layout.QUARTER
        options = [self.steps[noun] for noun in nouns]
        sizes = layout.choose_sizes(options, room, most, rng)
        if sizes is None:
            return None
        if kind == "count":
            sizes = [min(sizes, key=lambda step: step[1])] * len(nouns)
        sides = [side for _, side in sizes]
        if len(sides) == 1:
            spots = [layout.in_place(sides[0], place, rng)]
        elif in_line:
            wander = 5 if relation else 20
            spots = layout.in_line(sides, relation or rng.choice(RELATIONS), wander, rng)
        else:
            spots = layout.in_quarters(sides, rng)
        return [(*step, *spot) for step, spot in zip(sizes, spots, strict=True)]


def choose_page(hidden: frozenset[str], rng: random.Random, white: float) -> Page | None:
    """A page in colours that are not `hidden`, if there is one. white: the share of plain ones."""
    kind = rng.choices(PAGE_KINDS, PAGE_WEIGHTS)[0]
    colours = [colour for colour in PAGE_COLOURS if colour not in hidden and colour != "white"]
    if kind == "plain" and "white" not in hidden and (rng.random() < white or not colours):
        return Page("plain", "white")
    if not colours or (kind == "ground" and len(colours) < 2):
        return None
    colour, second = rng.choice(colours), None
    if len(colours) > 1 and (kind == "ground" or (kind != "plain" and rng.random() < TWO_COLOURS)):
        second = rng.choice([other for other in colours if other != colour])
    step = rng.choice(STEPS[kind])
    shift = rng.randrange(2 * step) if kind in ("striped", "dotted") else 0
    return Page(kind, colour, second, step, shift)


@lru_cache(maxsize=65536)
def _hidden(named: tuple[Named, ...]) -> frozenset[str]:
    """The page colours on which one of these objects would be hard to see."""
    return frozenset().union(*(clashes(noun, colour) for noun, colour in named))


def _confusing(named: list[Named]) -> bool:
    """Whether two objects could be taken for each other: one noun, and one colour or its own."""
    nouns = [noun for noun, _ in named]
    unclear = [noun for noun, colour in named if colour is None and nouns.count(noun) > 1]
    return bool(unclear) or len(set(named)) < len(named)
