"""What the text encoder reads while it is pretrained: lines of text to be completed, and pairs of a
caption and the same facts said plainly. `pretrain_text` says why.
"""

import json
import lzma
import random
import re
from collections.abc import Callable
from pathlib import Path

from minimagen.data.drawing import COLOURS, SHAPES, Facts
from minimagen.data.language import SIZE_WORDS, describe, parse
from minimagen.data.shapes import UNSEEN_PAIRS, draw_facts

DATA = Path(__file__).resolve().parents[1] / "data"
# Pages with several objects are worth reading.
KINDS = {"single": 0.25, "pair": 0.5, "count": 0.1, "triple": 0.15}
NAMES = {
    *SHAPES,
    *(f"{s}s" for s in SHAPES),
    *COLOURS,
    *(w for some in SIZE_WORDS.values() for w in some),
}
# How everyday English says where two things stand: {0} is the left or the upper one.
PLACES = {
    "left of": (
        "{0} to the left of {1}",
        "{0} left of {1}",
        "{0} on the left side of {1}",
        "{0} at the left of {1}",
        "{1} to the right of {0}",
        "{1} right of {0}",
        "{1} on the right side of {0}",
        "{1} at the right of {0}",
        "{0} on the left and {1} on the right",
        "{1} on the right and {0} on the left",
        "on the left {0}, on the right {1}",
        "to the right of {0} is {1}",
        "to the left of {1} is {0}",
        "{0}, and to its right {1}",
        "{1}, and to its left {0}",
    ),
    "above": (
        "{0} above {1}",
        "{0} over {1}",
        "{0} on top of {1}",
        "{0} atop {1}",
        "{0} higher than {1}",
        "{0} upon {1}",
        "{1} below {0}",
        "{1} under {0}",
        "{1} beneath {0}",
        "{1} underneath {0}",
        "{1} lower than {0}",
        "{0} at the top and {1} at the bottom",
        "{1} at the bottom and {0} at the top",
        "at the top {0}, at the bottom {1}",
        "above {1} is {0}",
        "over {1} is {0}",
        "below {0} is {1}",
        "under {0} is {1}",
        "beneath {0} is {1}",
        "{0}, and below it {1}",
        "{0}, and beneath it {1}",
        "{1}, and above it {0}",
        "{1}, and over it {0}",
    ),
    "and": (
        "{0} and {1}",
        "{0} next to {1}",
        "{0} together with {1}",
        "{0} with {1}",
        "{0} beside {1}",
        "{0} along with {1}",
        "{0} as well as {1}",
        "{0} near {1}",
        "{0} and also {1}",
        "both {0} and {1}",
        "{0} plus {1}",
    ),
}
# How it says what size or what colour a thing has.
QUALITIES = (
    "{size} {colour} {name}",
    "{size} {colour} {name}",
    "{colour} {name}",
    "{size} {name}",
    "{colour} {size} {name}",
    "{name} in {colour}",
    "{size} {name} in {colour}",
    "{name} that is {size} and {colour}",
    "{name} coloured {colour}",
    "{size} {name} that is {colour}",
    "{colour} {name} that is {size}",
    "{colour} {name} which looks {size}",
    "{name} of {size} size",
    "{colour} {name} of {size} size",
    "{name} of {size} size in {colour}",
    "{name}, {size} and {colour}",
    "{size} {name} of {colour} colour",
    "{size} {name} painted {colour}",
    "{size} {name} whose colour is {colour}",
    "{name} whose colour is {colour}",
)
# One way to draw a line of text, or what is read and what to write.
Line = Callable[[random.Random], str | tuple[str, str]]


def read_xz(path: Path) -> list[str]:
    return lzma.decompress(path.read_bytes()).decode("utf-8").splitlines()


def names_unseen(line: str) -> bool:
    """Whether a line holds both words of a never-seen pair ("yellow heart" is an emoji): such lines
    are left out.
    """
    words = set(re.findall("[a-z]+", line.lower()))
    return any(colour in words and words & {shape, f"{shape}s"} for colour, shape in UNSEEN_PAIRS)


def shape_line(rng: random.Random) -> str:
    """A page of shapes in one wording, or (3 of 4) in two, so that a word hidden in one must be
    looked up in the other.

    Whose colour it is then matters, which no single caption ever tests: its colours are free.
    Training wordings and pairs only.
    """
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    facts = draw_facts(kind, False, rng)
    first, second = (describe(facts, kind, False, rng) for _ in range(2))
    return rng.choice((first, *3 * (f"{first}; {second}",)))


def plain(facts: Facts) -> str:
    """The same facts in the one fixed wording: sizes by their first word, the left or upper object
    first, no articles.
    """
    nouns = [" ".join(part for part in (o.size, o.colour, o.shape) if part) for o in facts.objects]
    return f" {facts.relation or 'and'} ".join(nouns)


def shape_pair(glosses: list[str], rng: random.Random) -> tuple[str, str]:
    """A caption in any wording, and its facts said plainly; 1 in 3 stands beside a few words of a
    definition, to be ignored.
    """
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    caption = describe(draw_facts(kind, False, rng), kind, False, rng)
    facts = plain(parse(caption))
    if rng.random() < 1 / 3:
        words = [w for w in re.findall("[a-z]+", rng.choice(glosses).lower()) if w not in NAMES]
        start = rng.randrange(max(len(words) - 3, 1))
        few = " ".join(words[start : start + rng.randint(1, 5)])
        caption = rng.choice((f"{few} {caption}", f"{caption} {few}"))
    return caption, facts


def emoji_pair(records: list[dict], rng: random.Random) -> tuple[str, str]:
    """Another name or some tags of an emoji, and its caption; 1 in 2 beside a second, the left or
    upper one written first.
    """
    first, second = (rng.choice(records) for _ in range(2))
    tags = lambda record: ", ".join(rng.sample(record["tags"], min(3, len(record["tags"]))))
    sayings = [
        rng.choice((record["caption"], *record["also"], tags(record))) for record in (first, second)
    ]
    if names_unseen(" ".join([*sayings, first["caption"], second["caption"]])):
        return emoji_pair(records, rng)
    if rng.random() < 1 / 2:
        return sayings[0], first["caption"]
    relation = rng.choice(list(PLACES))
    plain_one = f"{first['caption']} {relation} {second['caption']}"
    return rng.choice(PLACES[relation]).format(*sayings), plain_one


def thing_pair(things: list[str], rng: random.Random) -> tuple[str, str]:
    """One to three things, none of them a shape, in made-up sizes and colours: in everyday English,
    and said plainly.
    """
    names = rng.sample(things, rng.choices((1, 2, 3), (2, 5, 1))[0])
    sayings, plain_ones = zip(*(thing_said(name, rng) for name in names), strict=True)
    if len(names) == 1:
        return sayings[0], plain_ones[0]
    if len(names) == 3:
        return f"{sayings[0]}, {sayings[1]} and {sayings[2]}", " and ".join(plain_ones)
    relation = rng.choice(list(PLACES))
    return rng.choice(PLACES[relation]).format(*sayings), f" {relation} ".join(plain_ones)


def thing_said(name: str, rng: random.Random) -> tuple[str, str]:
    """A thing with a size, a colour or both, and the same in the plain order: size by its first
    word, colour, name.
    """
    size, colour = rng.choice(list(SIZE_WORDS)), rng.choice(list(COLOURS))
    wording = rng.choice(QUALITIES)
    article, size_word = rng.choice(("a", "the", "one")), rng.choice(SIZE_WORDS[size])
    saying = f"{article} {wording.format(size=size_word, colour=colour, name=name)}"
    parts = [size if "{size}" in wording else "", colour if "{colour}" in wording else "", name]
    return re.sub(r"^a (?=[aeio])", "an ", saying), " ".join(part for part in parts if part)


def emoji_line(records: list[dict], rng: random.Random) -> str:
    """A caption alone, with its tags in any order before or after it, in a frame, or two captions
    with a relation.
    """
    record, other = rng.choice(records), rng.choice(records)
    name = rng.choice([record["caption"], *record["also"]])
    tags = ", ".join(rng.sample(record["tags"], min(len(record["tags"]), 6)))
    relation = rng.choice(
        ("to the left of", "to the right of", "above", "below", "and", "next to", "with")
    )
    line = rng.choice(
        (
            name,
            f"{name}: {tags}",
            f"{name}: {tags}",
            f"{tags}: {name}",
            f"a picture of {name}, {record['subgroup'].replace('-', ' ')}",
            f"{name} {relation} {other['caption']}",
        )
    )
    return emoji_line(records, rng) if names_unseen(line) else line


def sources(validation: bool) -> dict[str, Line]:
    """The kinds of text and their shares; one gloss in 100 and one emoji in 50 are kept for
    validation; shapes have no end.
    """
    glosses = [line for line in read_xz(DATA / "text" / "wordnet.txt.xz") if not names_unseen(line)]
    glosses = [line for i, line in enumerate(glosses) if (i % 100 == 0) == validation]
    drawings = [
        json.loads(line)
        for style in ("fluent-flat", "noto")
        for line in read_xz(DATA / "emoji" / f"{style}.jsonl.xz")
    ]
    records = {
        record["code"]: {k: record[k] for k in ("caption", "also", "tags", "subgroup")}
        for record in drawings
    }
    records = [record for i, record in enumerate(records.values()) if (i % 50 == 0) == validation]
    things = [
        record["caption"]
        for record in records
        if not NAMES & set(re.findall("[a-z]+", record["caption"].lower()))
    ]
    return {
        "shapes": shape_line,
        "emoji": lambda rng: emoji_line(records, rng),
        "wordnet": lambda rng: rng.choice(glosses),
        "shapes, said plainly": lambda rng: shape_pair(glosses, rng),
        "emoji, said plainly": lambda rng: emoji_pair(records, rng),
        "things, said plainly": lambda rng: thing_pair(things, rng),
    }


SHARES = {
    "shapes": 1,
    "emoji": 1,
    "wordnet": 2,
    "shapes, said plainly": 3,
    "emoji, said plainly": 1,
    "things, said plainly": 2,
}
