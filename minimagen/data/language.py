"""What captions of shapes say: every wording, and `parse`, which reads the facts back out of any of
them.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from minimagen.data.drawing import COLOURS, OUTLINES, SHAPES, Facts, Mention

SIZE_WORDS = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "medium-sized"),
    "large": ("large", "big", "huge"),
}
FRAMES = (
    (
        *(
            "{}",
            "{}",
            "{}",
            "{}",
            "a picture of {}",
            "there is {}",
            "a drawing of {}",
            "{} on a white page",
            "an image of {}",
        ),
        *(
            "this is {}",
            "{} on white",
            "a painting of {}",
            "a sketch of {}",
            "a page with {}",
            "a white page with {} on it",
        ),
        *(
            "here is {}",
            "we see {}",
            "you can see {}",
            "look at {}",
            "draw {}",
            "please draw {}",
            "show me {}",
            "make {}",
        ),
        *(
            "I would like {}",
            "an illustration of {}",
            "a simple picture showing {}",
            "{} drawn on paper",
            "paint {}",
        ),
        *(
            "{} on a plain background",
            "{} in front of a white wall",
            "{} with nothing else",
            "only {}",
            "a poster with {}",
        ),
        *(
            "a card that shows {}",
            "a sheet of paper with {}",
            "the picture shows {}",
            "on the page there is {}",
            "just {}",
        ),
    ),
    (
        *(
            "an illustration showing {}",
            "could you sketch {} for me",
            "{} against a blank backdrop",
            "I want to see {}",
        ),
        *("the child has painted {}", "my new logo is {}"),
    ),
)
NOUNS = (
    (
        *(
            "a {size} {colour} {shape}",
            "a {size} {colour} {shape}",
            "a {colour} {shape}",
            "one {size} {colour} {shape}",
        ),
        *(
            "one {colour} {shape}",
            "the {size} {colour} {shape}",
            "{size} {colour} {shape}",
            "a {colour} {size} {shape}",
        ),
        *(
            "a {size} {shape} in {colour}",
            "a {shape} in {colour}",
            "a {colour} {shape} that is {size}",
        ),
        *(
            "a {size} {shape} painted {colour}",
            "a {size} {shape} that is {colour}",
            "a {shape} coloured {colour}",
        ),
    ),
    (
        "a {colour} {shape} of {size} size",
        "a {size} {shape} whose colour is {colour}",
        "a {shape} of {size} size in {colour}",
    ),
)
RELATIONS = {
    "left of": (
        (
            *(
                "{0} to the left of {1}",
                "{0} left of {1}",
                "{1} to the right of {0}",
                "{1} right of {0}",
            ),
            "{0} on the left and {1} on the right",
        ),
        ("{0} on the left side of {1}",),
    ),
    "above": (
        (
            "{0} above {1}",
            "{0} over {1}",
            "{1} below {0}",
            "{1} under {0}",
            "{0} at the top and {1} at the bottom",
        ),
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
COUNTS = (
    ("{count} {size} {colour} {shape}s", "{count} {colour} {shape}s"),
    ("exactly {count} {colour} {shape}s",),
)


Table = tuple[tuple[str, ...], tuple[str, ...]]  # of training, and held out: in no training caption


@dataclass(frozen=True)
class Wordings:
    """What captions are made of: in each table the wordings of training, then those held out."""

    frames: Table = FRAMES  # around the whole: "a picture of {}"
    nouns: Table = NOUNS  # one object
    # two objects, and three, by how each stands to the next
    relations: Mapping[str | None, Table] = field(default_factory=lambda: RELATIONS)
    triples: Mapping[str | None, Table] = field(default_factory=lambda: TRIPLES)
    counts: Table = COUNTS  # two or three of a kind


WORDINGS = Wordings()
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
_BREAK = (
    "|".join(pattern for pattern, *_ in _ORDERS[4:])
    + r"|,|\b(?:and|with|beside|near|next to|as well as)\b"
)


def is_content_word(word: str) -> bool:
    """Is this word a shape, colour, size, number or place of a page of shapes, in the singular or
    the plural?
    """
    words = {*SHAPES, *COLOURS, *_SIZE_OF, *_COUNT_OF, *_PLACES}
    return not words.isdisjoint((word, word.removesuffix("s"), word.removesuffix("es")))


def parse(caption: str) -> Facts:
    """Read what a caption states. Any order of size, colour and shape within one object's words is
    understood.

    Raises `ValueError` when the caption names none of the shapes. `parse(caption_of(facts)) ==
    facts` for every wording.
    """
    caption = caption.lower()
    objects = []
    for part in re.split(_BREAK, caption):
        words = re.findall(r"[a-z-]+", part)
        shapes = [
            word[:-1] if word not in OUTLINES else word
            for word in words
            if word in OUTLINES or word[:-1] in OUTLINES
        ]
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


def add_distractors(
    caption: str, words: Sequence[str], rng: random.Random, share: float = 0.5, often: float = 0.15
) -> str:
    """With probability `share`, `reordered` the caption and put distractors between its words.

    Each gap, the ends too, takes one of `words` with probability `often`, and each word that is no
    content word gives way to one of them twice as often.
    """
    if rng.random() >= share:
        return caption
    gap = lambda: [rng.choice(words)] if rng.random() < often else []
    parts = []
    for word in reordered(caption, rng).split():
        parts += gap()
        lost = not is_content_word(word.strip(",:")) and rng.random() < 2 * often
        parts.append(rng.choice(words) if lost else word)
    return " ".join(parts + gap())


def reordered(caption: str, rng: random.Random) -> str:
    """The caption with each object's size, colour and shape in any order: "a circle in red" or "a
    red in circle".
    """
    parts = [part.split(" ") for part in re.split(f"({_BREAK})", caption)]
    for part in parts:
        spots = [
            k
            for k, word in enumerate(part)
            if is_content_word(word) and word not in (*_COUNT_OF, *_PLACES)
        ]
        said = [part[k] for k in rng.sample(spots, len(spots))]
        for k, word in zip(spots, said, strict=True):
            part[k] = word
    return "".join(" ".join(part) for part in parts)


def describe(
    facts: Facts, kind: str, held_out: bool, rng: random.Random, wordings: Wordings = WORDINGS
) -> str:
    """A caption of `facts` of that kind, made of `wordings`.

    held_out: one part of it (frame, noun or relation) is a wording that training never has.
    """
    parts = {"single": ("frame", "noun"), "count": ("count",)}.get(
        kind, ("frame", "noun", "relation")
    )
    new = rng.choice(parts) if held_out else None
    frame = rng.choice(wordings.frames[new == "frame"])
    if kind == "count":
        o = facts.objects[0]
        count = {2: "two", 3: "three"}[len(facts.objects)]
        wording = rng.choice(wordings.counts[new == "count"])
        text = wording.format(
            count=count, size=rng.choice(SIZE_WORDS[o.size]), colour=o.colour, shape=o.shape
        )
        return text.replace("crosss", "crosses")
    nouns = [
        rng.choice(wordings.nouns[new == "noun"]).format(
            size=rng.choice(SIZE_WORDS[o.size]), colour=o.colour, shape=o.shape
        )
        for o in facts.objects
    ]
    nouns = [re.sub(r"\ba (?=[aeio])", "an ", noun) for noun in nouns]
    orders = {1: {None: (("{0}",), ("{0}",))}, 2: wordings.relations, 3: wordings.triples}[
        len(nouns)
    ][facts.relation]
    return frame.format(rng.choice(orders[new == "relation"]).format(*nouns))
