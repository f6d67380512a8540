"""DrawBench in miniature: captions with their truths, by what is hard about them.

The rows are those of Imagen's benchmark (Saharia et al. 2022, section 4.4 and appendix A.1) and of
GenEval (Ghosh et al. 2023) that `World` can ask for. No caption of a row is one of training: each
comes from a split that training never meets.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice

import numpy as np
from torch import Tensor

from minimagen.data import World
from minimagen.data.nouns import COLOURS, SHAPES, drawings, oklab
from minimagen.data.truth import Truth
from minimagen.data.wordings import NOUN_WORDS, plural
from minimagen.evaluation.judge import JudgeReport, judge, passes
from minimagen.evaluation.recogniser import nouns

FAR = 0.2  # Oklab: a colour at least so far from almost all of a thing is none of its own
RARELY = 0.05  # the share of a thing that may be nearer
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Row:
    """One row: the split and the kinds of page that it comes from, what a truth must have to be
    asked, and what becomes of the caption.
    """

    split: str
    kinds: tuple[str, ...]
    asks: Callable[[Truth], bool] = lambda truth: True
    says: Callable[[str, Truth], str] = lambda caption, truth: caption


def items(row: str, count: int) -> list[tuple[str, Truth]]:
    """The first `count` captions of a row of `ROWS` with their truths, always the same ones.

    Raises `ValueError` on a row that is none.
    """
    if row not in ROWS:
        raise ValueError(f"row must be one of {', '.join(ROWS)}, got {row!r}")
    return list(islice(_endless(ROWS[row]), count))


def drawbench(draw: Callable[[list[str]], Tensor], count: int = 64) -> dict[str, JudgeReport]:
    """The judge's report on every row: `draw` is given the captions of a row, `count` of them, and
    gives their pictures (count, 3, H, H) in [-1, 1].

    A report's `marks()` are shares with their Wilson intervals, "all" that of all that is said.
    """
    reports = {}
    for row in ROWS:
        captions, truths = zip(*items(row, count), strict=True)
        reports[row] = judge(draw(list(captions)), truths)
    return reports


def _endless(row: Row) -> Iterator[tuple[str, Truth]]:
    world = World(64, row.split, {kind: 1.0 for kind in row.kinds})
    for i in range(len(world)):
        truth = world.truth(i)
        if row.asks(truth):
            yield row.says(world.caption(i), truth), truth


def _conflicting(truth: Truth) -> bool:
    """A thing in a colour that it never has by itself."""
    o = truth.objects[0]
    return o.noun not in SHAPES and o.colour is not None and foreign(o.noun, o.colour)


@cache
def foreign(noun: str, colour: str) -> bool:
    """Whether almost nothing of a thing has that colour, or one near it, by itself."""
    shares, *rgb = np.array(drawings()[noun].palette).T
    gaps = np.linalg.norm(oklab(np.stack(rgb, -1)) - oklab(np.array(COLOURS[colour])[1]), axis=-1)
    return colour not in passes(noun) and shares[gaps < FAR].sum() <= RARELY * shares.sum()


def _bound(truth: Truth) -> bool:
    """Two objects that both have a colour, each another."""
    one, two = (o.colour for o in truth.objects)
    return None not in (one, two) and one != two


def _sizes(truth: Truth) -> bool:
    """Every size is said, and where there are two they differ."""
    return all(truth.names_sizes) and len({o.size for o in truth.objects}) == len(truth.objects)


@cache
def _words() -> re.Pattern:
    """Nouns, also by their other names and in the plural, and colours, of four letters at least."""
    names = [*nouns(), *NOUN_WORDS.values(), *COLOURS]
    names += [plural(noun) for noun in (*nouns(), *NOUN_WORDS.values())]
    long = sorted({name for name in names if len(name) >= 4}, key=lambda name: (-len(name), name))
    return re.compile(rf"\b({'|'.join(long)})\b")


def misspelt(caption: str) -> str:
    """The caption with one letter wrong in one of its nouns or colours of four letters or more.

    Which word, which letter (never the first) and what instead is decided by sha256 of the caption,
    so that it is always the same; no other word of `World` comes out. Raises `ValueError` on a
    caption without such a word.
    """
    found = list(_words().finditer(caption))
    if not found:
        raise ValueError(f"caption must have a noun or a colour of four letters, got {caption!r}")
    for turn in range(1000):
        digest = hashlib.sha256(f"misspelt|{turn}|{caption}".encode()).digest()
        word = found[digest[0] % len(found)]
        at = word.start() + 1 + digest[1] % (len(word[0]) - 1)
        new = caption[:at] + LETTERS[digest[2] % 26] + caption[at + 1 :]
        wrong = new[word.start() : word.end()]
        if caption[at] != " " and new != caption and not _words().fullmatch(wrong):
            return new
    raise ValueError(f"caption must have a word that can be misspelt, got {caption!r}")


ROWS = {
    "colours": Row("held-out", ("single",), lambda t: t.objects[0].colour is not None),
    "counting": Row("held-out", ("count",)),
    "conflicting": Row("unseen-colour", ("single",), _conflicting),
    "positional": Row("held-out", ("single", "pair", "triple"), lambda t: t.relation or t.place),
    "rare words": Row("text-only", ("page", "single", "pair", "triple", "count")),
    "misspellings": Row(
        "held-out",
        ("single", "pair"),
        lambda t: any(len(o.noun) >= 4 for o in t.objects),
        lambda caption, truth: misspelt(caption),
    ),
    "two objects": Row("unseen-pair", ("pair",)),
    "colours of two objects": Row("held-out", ("pair",), _bound),
    "sizes": Row("held-out", ("single", "pair"), _sizes),
    "pages": Row("held-out", ("page", "single"), lambda t: t.names_page),
}
