"""Captions of a page of `World`: what its `Truth` says it says, in the words of a split."""

import random
import re
from collections.abc import Callable

from minimagen.data.truth import Object, Truth
from minimagen.data.wordings import (
    BARE,
    COLOURED,
    COUNTED,
    FRAMES,
    FULL,
    JOINED,
    JOINED_TEXT_ONLY,
    NOUN_WORDS,
    ON_PAGE,
    PAGES,
    PLACED,
    SIZE_WORDS,
    SIZED,
    TRIPLES,
    held_out,
    plural,
    text_only,
    trained,
)

NUMBERS = {1: "one", 2: "two", 3: "three"}
ALSO_RARE = 0.3  # how often a text-only caption has a second text-only word where it could
SYNONYM = 0.25  # how often a noun with a second name is called by it
_AN = re.compile(r"\ba (?=[aeio]|u(?!ni)|hourglass)")

Say = Callable[[str, str], str]  # (kind of word, meaning) -> word
Pick = Callable[[str, tuple[str, ...]], str]  # (part of the caption, its table) -> wording


def describe(truth: Truth, rng: random.Random, split: str = "train") -> str:
    """A caption of `truth`: all that it says, and nothing else, in wordings drawn from `rng`.

    split: "held-out" has one wording, "text-only" at least one word, that no caption of any other
    split has. Raises `ValueError` where no word of the caption has a text-only one beside it.
    """
    part = rng.choice(_parts(truth)) if split == "held-out" else None
    pick = lambda name, table: rng.choice(held_out(table) if name == part else trained(table))
    must = rng.choice(rare_words(truth)) if split == "text-only" else None
    say = _say(must, rng)
    if truth.kind == "page":
        core = _page(truth, pick, say)
    else:
        core = _objects(truth, pick, say, rng, must)
        if truth.place:
            core = pick("place", PLACED[truth.place]).format(core)
        if truth.names_page:
            core = pick("on page", ON_PAGE).format(core, _page(truth, pick, say))
    return _AN.sub("an ", pick("frame", FRAMES).format(core))


def rare_words(truth: Truth) -> list[tuple[str, str]]:
    """(kind, meaning) of all that a caption of `truth` says and that has a text-only word.

    Raises `ValueError` where nothing has.
    """
    said = [("noun", o.noun) for o in truth.objects]
    said += [("colour", o.colour) for o in truth.objects if o.colour]
    said += [("size", truth.objects[k].size) for k, named in enumerate(truth.names_sizes) if named]
    if truth.names_page:
        said += [("page colour", c) for c in (truth.page.colour, truth.page.second)]
    found = [(kind, word) for kind, word in dict.fromkeys(said) if word and text_only(kind, word)]
    if len(truth.objects) == 2 and truth.relation:
        found.append(("relation", truth.relation))
    if not found:
        raise ValueError(f"truth must say a word that has a text-only one beside it, got {truth}")
    return found


def _say(must: tuple[str, str] | None, rng: random.Random) -> Say:
    """How a caption says colours, sizes, nouns: with `must`, that one by a text-only word."""

    def say(kind: str, meaning: str) -> str:
        if must and ((kind, meaning) == must or rng.random() < ALSO_RARE):
            words = text_only(kind, meaning)
            if words:
                return rng.choice(words)
        if kind == "size":
            return rng.choice(SIZE_WORDS[meaning])
        if kind == "noun" and meaning in NOUN_WORDS and rng.random() < SYNONYM:
            return NOUN_WORDS[meaning]
        return meaning

    return say


def _parts(truth: Truth) -> list[str]:
    """The parts of a caption that have wordings."""
    if truth.kind == "page":
        return ["frame", "page"]
    parts = ["frame"] + (["place"] if truth.place else [])
    parts += ["on page", "page"] if truth.names_page else []
    if truth.kind == "count":
        return [*parts, "count"]
    parts += [f"object {k}" for k in range(len(truth.objects))]
    return parts + (["relation"] if len(truth.objects) > 1 else [])


def _page(truth: Truth, pick: Pick, say: Say) -> str:
    page = truth.page
    wording = pick("page", PAGES[page.kind, 2 if page.second else 1])
    second = page.second and say("page colour", page.second)
    return wording.format(c=say("page colour", page.colour), s=second)


def _objects(truth: Truth, pick: Pick, say: Say, rng: random.Random, must: tuple | None) -> str:
    named = truth.names_sizes or (False,) * len(truth.objects)
    if truth.kind == "count":
        return _count(truth.objects, named[0], pick, say)
    said = [
        _object(o, named[k], lambda table, k=k: pick(f"object {k}", table), say)
        for k, o in enumerate(truth.objects)
    ]
    if len(said) == 1:
        return said[0]
    if len(said) == 3:
        return pick("relation", TRIPLES[truth.relation]).format(*said)
    if must and truth.relation and (must[0] == "relation" or rng.random() < ALSO_RARE):
        return rng.choice(JOINED_TEXT_ONLY[truth.relation]).format(*said)
    return pick("relation", JOINED[truth.relation]).format(*said)


def _object(o: Object, sized: bool, pick: Callable[[tuple[str, ...]], str], say: Say) -> str:
    noun = say("noun", o.noun)
    if o.colour is None:
        return (
            pick(SIZED).format(size=say("size", o.size), noun=noun)
            if sized
            else pick(BARE).format(noun=noun)
        )
    colour = say("colour", o.colour)
    if not sized:
        return pick(COLOURED).format(colour=colour, noun=noun)
    return pick(FULL).format(size=say("size", o.size), colour=colour, noun=noun)


def _count(objects: tuple[Object, ...], sized: bool, pick: Pick, say: Say) -> str:
    first = objects[0]
    words = [say("size", first.size)] if sized else []
    words += [say("colour", first.colour)] if first.colour else []
    what = " ".join([*words, plural(say("noun", first.noun))])
    return pick("count", COUNTED).format(count=NUMBERS[len(objects)], what=what)
