"""What `probe` asks of a frozen text encoder without any read-out: does a rare word have the state
of its plain word, so that a network that has learned to draw the one draws the other?
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from experiments._probe import NOUNS, encoded, pages
from experiments._words import RELATIONS
from minimagen.conditioning import Text
from minimagen.data.nouns import COLOURS
from minimagen.data.truth import SIZES
from minimagen.data.wordings import text_only

OTHERS = 15  # nouns that the right one is told from; of the other kinds there are fewer
SAID = {"left of": "to the left of", "right of": "to the right of"}
CLASSES = {"colour": (*COLOURS,), "size": (*SIZES,), "noun": NOUNS}
CLASSES["relation"] = ("left of", "right of", "above", "below")
CHANCE = {kind: 1 / min(len(row), OTHERS + 1) for kind, row in CLASSES.items()}


class Spot(NamedTuple):
    """A caption, and where in it a word begins and ends."""

    caption: str
    begin: int
    end: int


@dataclass(frozen=True)
class Swap:
    """One sentence, said with a rare word, with the plain word that means the same, and with plain
    words of the same kind that mean something else.
    """

    rare: Spot
    plain: Spot
    others: tuple[Spot, ...]


def swaps(kind: str, seed: int) -> Iterator[Swap]:
    """Sentences of the training split with one word exchanged, a "colour", "size", "noun" or
    "relation".
    """
    for truth, caption in pages("train", "pair" if kind == "relation" else "single", seed):
        rng, o = random.Random(caption), truth.objects[0]
        if kind == "relation":
            word = next((p for p in RELATIONS if f" {p} " in caption), "")
            meaning = RELATIONS.get(word)
        else:
            meaning = {"colour": o.colour, "size": o.size * truth.names_sizes[0], "noun": o.noun}[
                kind
            ]
            word = meaning or ""
        rare = text_only(kind, meaning) if word else ()
        if rare and len(alone(word).findall(caption)) == 1:
            wrong = [other for other in CLASSES[kind] if other != meaning]
            wrong = rng.sample(wrong, min(OTHERS, len(wrong)))
            say = lambda new, word=word, line=caption: spot(line, word, new)
            others = tuple(say(SAID.get(other, other)) for other in wrong)
            yield Swap(say(rng.choice(rare)), say(SAID.get(meaning, meaning)), others)


def alone(word: str) -> re.Pattern:
    """Finds a word, but not as a part of another: no "medium" in "medium-sized"."""
    return re.compile(rf"(?<![\w-]){word}(?![\w-])")


def spot(caption: str, word: str, new: str) -> Spot:
    """The caption with `new` for `word`, which stands in it once; "a" or "an" as `new` wants it."""
    before, after = alone(word).split(caption)
    article = "an " if re.match(r"[aeio]|u(?!ni)|hourg", new) else "a "
    before = re.sub(r"\ban? $", article, before)
    return Spot(f"{before}{new}{after}", len(before), len(before) + len(new))


def states(encoder: Callable, spots: list[Spot]) -> Tensor:
    """(N, D): of each spot the mean over the states of its tokens."""
    every, found = encoded(encoder.encode, [s.caption for s in spots]), []
    for one in spots:
        tokens = encoder.tokenizer(one.caption, return_offsets_mapping=True)["offset_mapping"]
        mine = [k for k, (a, b) in enumerate(tokens) if a < one.end and b > one.begin]
        found.append(every[one.caption][mine].mean(0))
    return torch.stack(found)


def nearest(encoder: Callable[[list[str]], Text], some: list[Swap]) -> tuple[Tensor, float]:
    """Whether the rare word's state is nearest to that of its plain word, (N,) bool, and how many
    times as far the nearest other word is, |r - o| / |r - s|, in the median.
    """
    spots = [spot for swap in some for spot in (swap.rare, swap.plain, *swap.others)]
    each = states(encoder, spots).view(len(some), -1, encoder.width)
    far = (each[:, 1:] - each[:, :1]).norm(dim=-1)
    other = far[:, 1:].min(1).values
    return other > far[:, 0], (other / far[:, 0]).median().item()
