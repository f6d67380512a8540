"""A small world with exact captions: coloured shapes on a white page, rendered at any resolution.

A caption says which objects there are and where: `Facts`. `parse` reads the facts back out of any caption, `place` finds
them a place on the page, `render` draws the page. So captions are unlimited and exact, and drawings can be scored.
"""

import math
import random
import re
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
SIZES = {"small": (0.085, 0.100), "medium": (0.130, 0.150), "large": (0.190, 0.215)}  # half the extent; the page is 1 wide
SIZE_WORDS = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "medium-sized"),
    "large": ("large", "big", "huge"),
}
GAP = 0.045  # between two objects, and to the edge of the page: nearly 3 pixels at 64

# One pair in nine appears in no training caption: the never-seen compositions.
UNSEEN_PAIRS = frozenset(
    [
        ("red", "star"),
        ("orange", "ring"),
        ("yellow", "heart"),
        ("green", "cross"),
        ("blue", "triangle"),
        ("purple", "square"),
        ("pink", "diamond"),
    ]
)

# Every wording: those of training, then those held out, which no training caption has.
FRAMES = (
    (
        *("{}", "{}", "{}", "{}", "a picture of {}", "there is {}", "a drawing of {}", "{} on a white page", "an image of {}"),
        *("this is {}", "{} on white", "a painting of {}", "a sketch of {}", "a page with {}", "a white page with {} on it"),
        *("here is {}", "we see {}", "you can see {}", "look at {}", "draw {}", "please draw {}", "show me {}", "make {}"),
        *("I would like {}", "an illustration of {}", "a simple picture showing {}", "{} drawn on paper", "paint {}"),
        *("{} on a plain background", "{} in front of a white wall", "{} with nothing else", "only {}", "a poster with {}"),
        *("a card that shows {}", "a sheet of paper with {}", "the picture shows {}", "on the page there is {}", "just {}"),
    ),
    (
        *("an illustration showing {}", "could you sketch {} for me", "{} against a blank backdrop", "I want to see {}"),
        *("the child has painted {}", "my new logo is {}"),
    ),
)
NOUNS = (
    (
        *("a {size} {colour} {shape}", "a {size} {colour} {shape}", "a {colour} {shape}", "one {size} {colour} {shape}"),
        *("one {colour} {shape}", "the {size} {colour} {shape}", "{size} {colour} {shape}", "a {colour} {size} {shape}"),
        *("a {size} {shape} in {colour}", "a {shape} in {colour}", "a {colour} {shape} that is {size}"),
        *("a {size} {shape} painted {colour}", "a {size} {shape} that is {colour}", "a {shape} coloured {colour}"),
    ),
    ("a {colour} {shape} of {size} size", "a {size} {shape} whose colour is {colour}", "a {shape} of {size} size in {colour}"),
)
RELATIONS = {
    "left of": (
        (
            *("{0} to the left of {1}", "{0} left of {1}", "{1} to the right of {0}", "{1} right of {0}"),
            "{0} on the left and {1} on the right",
        ),
        ("{0} on the left side of {1}",),
    ),
    "above": (
        ("{0} above {1}", "{0} over {1}", "{1} below {0}", "{1} under {0}", "{0} at the top and {1} at the bottom"),
        ("{1} beneath {0}",),
    ),
    None: (("{0} and {1}", "{0} and also {1}"), ("{0} together with {1}",)),
}
TRIPLES = {
    "left of": (
        ("{0}, {1} and {2} from left to right", "from left to right {0}, {1} and {2}"),
        ("left to right: {0}, {1} and {2}",),
    ),
    "above": (
        ("{0}, {1} and {2} from top to bottom", "from top to bottom {0}, {1} and {2}"),
        ("top to bottom: {0}, {1} and {2}",),
    ),
    None: (("{0}, {1} and {2}", "{0} and {1} and {2}"), ("{0}, {1} together with {2}",)),
}
COUNTS = (("{count} {size} {colour} {shape}s", "{count} {colour} {shape}s"), ("exactly {count} {colour} {shape}s",))
KINDS = {"single": 0.7, "pair": 0.2, "count": 0.05, "triple": 0.05}


def _circle(radius: float = 1.0, points: int = 180) -> np.ndarray:
    angle = np.linspace(0, 2 * math.pi, points, endpoint=False)
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def _star() -> np.ndarray:
    angle = np.arange(10) * math.pi / 5 - math.pi / 2
    return np.where(np.arange(10) % 2, 0.45, 1.0)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * math.pi, 180, endpoint=False)
    return np.stack([16 * np.sin(t) ** 3, -13 * np.cos(t) + 5 * np.cos(2 * t) + 2 * np.cos(3 * t) + np.cos(4 * t)], 1)


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
    """What a caption states: its objects, and how each stands to the next ("left of", "above" or None)."""

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


# ---------------------------------------------------------------------------------------------------- caption -> facts

_SIZE_OF = {word: size for size, words in SIZE_WORDS.items() for word in words}
_COUNT_OF = {"two": 2, "three": 3}
_PLACES = (
    *("left", "right", "above", "below", "over", "under", "beneath", "underneath", "top", "bottom"),
    *("middle", "centre", "center", "side"),
)
_ORDERS = (  # the first that matches; True where the caption names the second object first
    (r"left to right", "left of", False),
    (r"top to bottom", "above", False),
    (r"on the left and\b", "left of", False),
    (r"at the top and\b", "above", False),
    (r"(?:to the |on the )?left(?: side)? of", "left of", False),
    (r"(?:to the |on the )?right(?: side)? of", "left of", True),
    (r"\b(?:above|over|on top of)\b", "above", False),
    (r"\b(?:below|under|beneath|underneath)\b", "above", True),
)
_BREAK = "|".join(pattern for pattern, *_ in _ORDERS[4:]) + r"|,|\b(?:and|with|beside|near|next to|as well as)\b"


def telling(word: str) -> bool:
    """Does this word say something about a page of shapes: a shape, colour, size, number or place?"""
    told = {*SHAPES, *COLOURS, *_SIZE_OF, *_COUNT_OF, *_PLACES}
    return word in told or word.removesuffix("s") in told or word.removesuffix("es") in told


def parse(caption: str) -> Facts:
    """Read what a caption states. Any order of size, colour and shape within one object's words is understood.

    Raises `ValueError` when the caption names none of the shapes. `parse(caption_of(facts)) == facts` for every wording.
    """
    caption = caption.lower()
    objects = []
    for part in re.split(_BREAK, caption):
        words = re.findall(r"[a-z-]+", part)
        shapes = [word[:-1] if word not in OUTLINES else word for word in words if word in OUTLINES or word[:-1] in OUTLINES]
        shapes += ["cross"] if "crosses" in words else []
        if shapes:
            colour = next((word for word in words if word in COLOURS), None)
            size = next((_SIZE_OF[word] for word in words if word in _SIZE_OF), None)
            count = next((_COUNT_OF[word] for word in words if word in _COUNT_OF), 1)
            objects += [Mention(shapes[0], colour, size)] * count
    if not objects:
        raise ValueError(f"caption must name one of {', '.join(SHAPES)}, got {caption!r}")
    for pattern, relation, swapped in _ORDERS:
        if len(objects) > 1 and re.search(pattern, caption):
            return Facts(tuple(reversed(objects)) if swapped else tuple(objects), relation)
    return Facts(tuple(objects))


# ---------------------------------------------------------------------------------------------------- facts -> picture


def place(facts: Facts, rng: random.Random) -> tuple[Placed, ...]:
    """Find every object of `facts` a place: sizes and positions at random, never touching, the relation plain to see.

    Raises `ValueError` when the objects do not fit on the page.
    """
    for attempt in range(510):
        radii = [rng.uniform(*SIZES[o.size or rng.choice(list(SIZES))]) for o in facts.objects]
        spots = None if facts.relation else _anywhere(radii, rng) if attempt < 500 else _in_quarters(radii, rng)
        spots = spots or _in_order(radii, facts.relation or rng.choice(("left of", "above")), rng)
        if spots:
            colours = [o.colour or rng.choice(list(COLOURS)) for o in facts.objects]
            found = zip(facts.objects, colours, spots, radii, strict=True)
            return tuple(Placed(o.shape, colour, x, y, r) for o, colour, (x, y), r in found)
    raise ValueError(f"facts: these objects do not fit on one page: {facts}")


def _in_order(radii: list[float], relation: str, rng: random.Random) -> list[tuple[float, float]] | None:
    """Centres in a row ("left of") or a column ("above"): the free space is shared out at random between them."""
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
        if any(max(abs(x - u), abs(y - v)) < radii[i] + radii[j] + GAP for j, (u, v) in enumerate(spots[:i])):
            return None
    return spots


def _in_quarters(radii: list[float], rng: random.Random) -> list[tuple[float, float]] | None:
    """Each centre in a quarter of the page of its own: the one way to fit three large objects, which chance hardly finds."""
    if len(radii) > 4 or max(radii) > 0.25 - 0.75 * GAP:
        return None
    corners = rng.sample([(u, v) for u in (0, 0.5) for v in (0, 0.5)], len(radii))
    # A quarter keeps the whole gap to the edge of the page and half of it to the middle lines.
    return [
        tuple(c + rng.uniform(r + GAP * (1 if c == 0 else 0.5), 0.5 - r - GAP * (0.5 if c == 0 else 1)) for c in corner)
        for corner, r in zip(corners, radii, strict=True)
    ]


def render(scene: Sequence[Placed], size: int, window: tuple[int, int, int] | None = None) -> Tensor:
    """Draw a page, antialiased: objects -> uint8 (3, size, size). The same scene at any size.

    window: (top, left, side) in pixels draws that part of the page alone, (3, side, side).
    """
    finer = 4 if size <= 512 else 2
    top, left, side = window or (0, 0, size)
    image = Image.new("RGB", (side * finer, side * finer), "white")
    draw = ImageDraw.Draw(image)
    for o in scene:
        for outline, colour in ((OUTLINES[o.shape], COLOURS[o.colour]), (HOLES.get(o.shape), (255, 255, 255))):
            if outline is not None:
                # Pillow takes whole numbers: each corner becomes the fine pixel that it lies in.
                points = np.floor(((np.array([o.x, o.y]) + o.r * outline) * size - (left, top)) * finer)
                draw.polygon([tuple(p) for p in points.tolist()], fill=colour)
    return torch.from_numpy(np.array(image.reduce(finer))).permute(2, 0, 1).contiguous()


# ------------------------------------------------------------------------------------------------------- the data set


class Shapes:
    """Captioned pages: `len(shapes)`, `shapes[i] -> (uint8 (3, size, size), caption)`, each item fully determined by i.

    split: "train"; "held-out" (a wording that no training caption has); "unseen" (a colour and shape never seen together).
    kinds: weights of "single", "pair", "count", "triple". stray: words for `strew`, which says half of the captions otherwise,
    so that a network learns to pass over what it does not know, and to look for an object's words on both sides of it.
    Raises `ValueError` on any other split or kind.
    """

    def __init__(
        self,
        size: int = 64,
        split: str = "train",
        kinds: dict[str, float] | None = None,
        length: int = 1_000_000,
        stray: Sequence[str] = (),
    ):
        kinds = KINDS if kinds is None else kinds
        if split not in ("train", "held-out", "unseen"):
            raise ValueError(f"split must be train, held-out or unseen, got {split!r}")
        if not kinds or not set(kinds) <= set(KINDS):
            raise ValueError(f"kinds must be among {', '.join(KINDS)}, got {', '.join(kinds) or 'none'}")
        self.size, self.split, self.kinds, self.length = size, split, dict(kinds), length
        self.stray = stray

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> tuple[Tensor, str]:
        facts, caption, rng = self._item(i)
        return render(place(facts, rng), self.size), caption

    def cut(self, i: int, top: int, left: int, side: int) -> Tensor:
        """A window of item i's picture, uint8 (3, side, side), without drawing the rest of the page."""
        facts, _, rng = self._item(i)
        return render(place(facts, rng), self.size, (top, left, side))

    def caption(self, i: int) -> str:
        """The caption of item i, without drawing it."""
        return self._item(i)[1]

    def _item(self, i: int) -> tuple[Facts, str, random.Random]:
        if not 0 <= i < self.length:
            raise IndexError(i)
        rng = random.Random(f"shapes {self.split} {i}")
        kind = rng.choices(list(self.kinds), list(self.kinds.values()))[0]
        facts = draw_facts(kind, self.split == "unseen", rng)
        caption = word(facts, kind, self.split == "held-out", rng)
        facts = parse(caption)
        if self.stray:
            caption = strew(caption, self.stray, random.Random(f"stray {self.split} {i}"))  # the picture stays the same
        return facts, caption, rng


def caption(i: int, split: str = "train") -> str:
    """The caption of item i of `Shapes(split=split)`, without drawing it."""
    return Shapes(split=split).caption(i)


def strew(caption: str, words: Sequence[str], rng: random.Random, share: float = 0.5, often: float = 0.15) -> str:
    """With probability `share`, say the caption otherwise: it is `reordered`, each gap, the ends too, takes one of `words` with
    probability `often`, and each word that is not `telling` gives way to one of them twice as often."""
    if rng.random() >= share:
        return caption
    gap = lambda: [rng.choice(words)] if rng.random() < often else []
    parts = []
    for word in reordered(caption, rng).split():
        parts += gap()
        lost = not telling(word.strip(",:")) and rng.random() < 2 * often
        parts.append(rng.choice(words) if lost else word)
    return " ".join(parts + gap())


def reordered(caption: str, rng: random.Random) -> str:
    """The caption with each object's size, colour and shape in any order: "a circle in red" or "a red in circle"."""
    parts = [part.split(" ") for part in re.split(f"({_BREAK})", caption)]
    for part in parts:
        spots = [k for k, word in enumerate(part) if telling(word) and word not in (*_COUNT_OF, *_PLACES)]
        said = [part[k] for k in rng.sample(spots, len(spots))]
        for k, word in zip(spots, said, strict=True):
            part[k] = word
    return "".join(" ".join(part) for part in parts)


def draw_facts(kind: str, unseen: bool, rng: random.Random) -> Facts:
    """Objects and relation at random; with `unseen`, the first object drawn is a never-seen pair, otherwise none is."""
    number = {"single": 1, "pair": 2, "count": rng.choice((2, 3)), "triple": 3}[kind]
    pairs = [(c, s) for c in COLOURS for s in SHAPES if (c, s) not in UNSEEN_PAIRS]
    chosen = [rng.choice(sorted(UNSEEN_PAIRS) if unseen else pairs)]
    while len(chosen) < number:
        pair = rng.choice(pairs)
        chosen += [pair] if pair not in chosen else []
    if kind == "count":
        chosen = chosen[:1] * number
    # Three objects side by side leave room for one that is not small.
    names = ["small"] * (number - 1) + [rng.choice(list(SIZES))] if number == 3 else rng.choices(list(SIZES), k=number)
    rng.shuffle(names)
    sizes = names[:1] * number if kind == "count" else names
    rng.shuffle(chosen)
    relation = rng.choice(("left of", "above", "left of", "above", None)) if kind in ("pair", "triple") else None
    return Facts(tuple(Mention(s, c, size) for (c, s), size in zip(chosen, sizes, strict=True)), relation)


def word(facts: Facts, kind: str, held_out: bool, rng: random.Random) -> str:
    """A caption of `facts` of that kind. Held out: one part of it (frame, noun or relation) is a wording training never has."""
    parts = {"single": ("frame", "noun"), "count": ("count",)}.get(kind, ("frame", "noun", "relation"))
    new = rng.choice(parts) if held_out else None
    frame = rng.choice(FRAMES[new == "frame"])
    if kind == "count":
        o = facts.objects[0]
        count = {2: "two", 3: "three"}[len(facts.objects)]
        wording = rng.choice(COUNTS[new == "count"])
        text = wording.format(count=count, size=rng.choice(SIZE_WORDS[o.size]), colour=o.colour, shape=o.shape)
        return text.replace("crosss", "crosses")
    nouns = [
        rng.choice(NOUNS[new == "noun"]).format(size=rng.choice(SIZE_WORDS[o.size]), colour=o.colour, shape=o.shape)
        for o in facts.objects
    ]
    nouns = [re.sub(r"\ba (?=[aeio])", "an ", noun) for noun in nouns]
    wordings = {1: {None: (("{0}",), ("{0}",))}, 2: RELATIONS, 3: TRIPLES}[len(nouns)][facts.relation]
    return frame.format(rng.choice(wordings[new == "relation"]).format(*nouns))
