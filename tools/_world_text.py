"""What the text encoder of `World` reads: captions beside the same facts in other words and said
plainly, sentences that say what a word means, and lines of WordNet. `school_text` says why.
"""

import random
import re
from dataclasses import dataclass, replace
from functools import cache

from experiments._words import (
    OPPOSITE,
    RELATIONS,
    UNSEEN_SPELLINGS,
    Words,
    names,
    one_letter_wrong,
    split,
)
from minimagen.data.captions import NUMBERS, describe
from minimagen.data.nouns import COLOURS, SHAPES, share, things, unseen_colour, unseen_pair
from minimagen.data.pages import PAGE_COLOURS
from minimagen.data.truth import Truth
from minimagen.data.wordings import NOUN_WORDS, SIZE_WORDS, plural, text_only
from minimagen.data.world import World
from tools._text_lines import DATA, read_xz
from tools._world_meanings import MEANINGS

KINDS = {"page": 0.06, "single": 0.12, "pair": 0.54, "count": 0.06, "triple": 0.22}
TRUTHS = 40_000  # pages whose captions are read, each in ever other words
REWORD, MISSPELL, STRANGE = 0.5, 0.06, 0.3  # of words, of words, of captions beside other words
ALONE = 0.8  # of captions: what one word alone has to tell
BARE = 0.5  # of captions with a relation: nothing is said but it and the nouns

Group = tuple[int, int]  # the number of words here, and of those that stand for them there


@dataclass(frozen=True)
class Saying:
    """A caption, the same in other words, and its facts said plainly.

    groups: how the words of the two match, from the first to the last: (2, 1) where two words of
    the caption are one of the other. alone: the number of the group that the facts are about: they
    are those of the object, or of the page, that it belongs to; None for all facts.
    """

    caption: Words
    reworded: Words
    groups: tuple[Group, ...]
    facts: str
    alone: int | None = None


class Sayings:
    """Draws sayings of pages that training may show: `Sayings(seed)(rng)`."""

    def __init__(self, glosses: list[str], seed: int = 0, truths: int = TRUTHS):
        world = World(split="train", kinds=KINDS)
        self.glosses = glosses
        self.truths = [world.truth(truths * seed + i) for i in range(truths)]

    def __call__(self, rng: random.Random) -> Saying:
        truth = rng.choice(self.truths)
        truth = bare(truth) if truth.relation and rng.random() < BARE else truth
        caption = split(describe(truth, rng))
        reworded, groups = reword(caption, truth, rng)
        told = owned(caption, groups, truth) if rng.random() < ALONE else []
        at, facts = rng.choice(told) if told else (None, plain(truth))
        if rng.random() < STRANGE:
            few, first = self._strange(rng), rng.random() < 0.5
            beside = lambda words: (*few, *words) if first else (*words, *few)
            same = ((1, 1),) * len(few)
            caption, reworded, groups = beside(caption), beside(reworded), (*same, *groups)
            groups = groups if first else (*groups[len(few) :], *same)
            at = at + len(few) if first and at is not None else at
        return Saying(caption, reworded, groups, facts, at)

    def _strange(self, rng: random.Random) -> Words:
        """A few words of a definition, to be ignored; none that names what a page may show."""
        words = [w for w in re.findall("[a-z]+", rng.choice(self.glosses)) if w not in names()]
        start = rng.randrange(max(len(words) - 3, 1))
        return tuple(words[start : start + rng.randint(1, 5)])


def joined(words: Words) -> str:
    """The line that has these words: what `split` took apart."""
    return re.sub(r" (?=[,:;.])", "", " ".join(words))


def bare(truth: Truth) -> Truth:
    """The same page, of which a caption says the nouns and their relation alone: "a star above a
    ring". There the order of words is learned first.
    """
    objects = tuple(replace(o, colour=None) for o in truth.objects)
    silent = (False,) * len(objects)
    return replace(truth, objects=objects, names_sizes=silent, names_page=False)


def plain(truth: Truth) -> str:
    """What a caption of `truth` says, in one fixed order of words: of each object size, colour,
    noun, with the relation between them, then the place, then the page.

    "large red star left of cat on striped green". Objects without a relation stand in the order of
    the alphabet.
    """
    objects = zip(truth.objects, truth.names_sizes, strict=True)
    said = [" ".join(w for w in (s * o.size, o.colour, o.noun) if w) for o, s in objects]
    if truth.kind == "count":
        said = [f"{NUMBERS[len(said)]} {said[0]}"]
    elif truth.relation is None:
        said.sort()
    line = f" {truth.relation or 'and'} ".join(said)
    page = (truth.page.kind, truth.page.colour, truth.page.second) if truth.names_page else ()
    return " ".join([*filter(None, (line, truth.place)), *filter(None, ("on", *page) * bool(page))])


# ----------------------------------------------------------------------------- what belongs to what


def owned(caption: Words, groups: tuple[Group, ...], truth: Truth) -> list[tuple[int, str]]:
    """Each word (number of its group) that names a noun, colour or size of one object alone, or the
    colour of the page alone, with the facts of that object or page.
    """
    found, at = [], 0
    for k, (length, _) in enumerate(groups):
        kind, meaning = meanings().get(
            tuple(w.lower() for w in caption[at : at + length]), (None, None)
        )
        owners = [i for i, o in enumerate(truth.objects) if kind and getattr(o, kind) == meaning]
        if kind == "size":
            owners = [i for i in owners if truth.names_sizes[i]]
        paper = kind == "colour" and truth.names_page
        if paper and meaning in (truth.page.colour, truth.page.second):
            owners.append(None)
        if len(owners) == 1:
            found.append((k, facts_of(truth, owners[0])))
        at += length
    return found


def facts_of(truth: Truth, k: int | None) -> str:
    """What a caption says of object k in the order of `plain`, and how it stands to those before
    and after it; None: of the page.
    """
    if k is None:
        page = (truth.page.kind, truth.page.colour, truth.page.second)
        return " ".join(filter(None, ("on", *page)))
    o, objects, r = truth.objects[k], truth.objects, truth.relation
    said = [o.size * truth.names_sizes[k], o.colour, o.noun]
    if r and k:
        said += [OPPOSITE[r], objects[k - 1].noun]
    if r and k + 1 < len(objects):
        said += [r, objects[k + 1].noun]
    return " ".join(filter(None, [*said, truth.place]))


@cache
def meanings() -> dict[Words, tuple[str, str]]:
    """The words of training captions that name a noun, a size or a colour -> which, and what it
    is.
    """
    found = {(colour,): ("colour", colour) for colour in (*COLOURS, *PAGE_COLOURS)}
    found |= {(word,): ("size", size) for size, words in SIZE_WORDS.items() for word in words}
    for noun in (*SHAPES, *things(shown=True)):
        for name in (noun, *filter(None, [NOUN_WORDS.get(noun)])):
            found |= {split(form(name).lower()): ("noun", noun) for form in (str, plural)}
    return found


# ------------------------------------------------------------------------------------ other words


@cache
def rewordings() -> dict[tuple[str, Words], tuple[str, ...]]:
    """(kind of word, words of a training caption) -> what says the same: a text-only word, or
    another word of training."""
    found = {}
    for noun in (*SHAPES, *things(shown=True)):
        names = [noun, *filter(None, [NOUN_WORDS.get(noun)])]
        for form in (str, plural):
            forms = [form(name) for name in (*names, *text_only("noun", noun))]
            for name in names:
                other = tuple(word for word in forms if word != form(name))
                found.setdefault(("noun", split(form(name).lower())), other)
    for size, words in SIZE_WORDS.items():
        for word in words:
            other = {*words, *text_only("size", size)} - {word}
            found["size", (word,)] = tuple(sorted(other))
    for kind, colours in (("colour", COLOURS), ("page colour", PAGE_COLOURS)):
        found |= {(kind, (colour,)): text_only(kind, colour) for colour in colours}
    for words, meaning in RELATIONS.items():
        found["relation", split(words)] = text_only("relation", meaning)
    return found


def reword(caption: Words, truth: Truth, rng: random.Random) -> tuple[Words, tuple[Group, ...]]:
    """The caption with some of its words said by others, and now and then one letter wrong; and how
    the words match."""
    said, groups, at = [], [], 0
    colours = {o.colour for o in truth.objects} - {None}
    papers = {truth.page.colour, truth.page.second} if truth.names_page else set()
    unclear = colours & papers  # in such a caption nobody knows whose colour a word is
    while at < len(caption):
        length, options = _options(caption, at, papers, unclear)
        here, dice = caption[at : at + length], rng.random()
        if options and dice < REWORD:
            here = split(rng.choice(options))
        elif options is not None and dice > 1 - MISSPELL:
            here = tuple(misspelt(word, rng) for word in here)
        said += here
        groups.append((length, len(here)))
        at += length
    for i, word in enumerate(said[:-1]):
        if word in ("a", "an"):
            said[i] = "an" if re.match(r"[aeio]|u(?!ni)|hourg", said[i + 1]) else "a"
    return tuple(said), tuple(groups)


def _options(
    caption: Words, at: int, papers: set, unclear: set
) -> tuple[int, tuple[str, ...] | None]:
    """How many words from `at` on are one name, and by what else it may be called; None for other
    words."""
    for length in (4, 3, 2, 1):
        words = tuple(word.lower() for word in caption[at : at + length])
        if len(words) < length:
            continue
        paper = words[0] in papers and words[0] not in unclear
        for kind in ("noun", "size", "page colour" if paper else "colour", "relation"):
            if (kind, words) in rewordings():
                return length, () if words[0] in unclear else rewordings()[kind, words]
    return 1, None


def misspelt(word: str, rng: random.Random) -> str:
    """The word with one letter wrong, missing, too many, or two of them swapped: no word that means
    something in `World`, and none that is kept for tests."""
    for _ in range(20):
        wrong = one_letter_wrong(word, rng)
        if wrong not in names() and share("misspelt", wrong) >= UNSEEN_SPELLINGS:
            return wrong
    return word


# ------------------------------------------------------------------------------------ other lines


def tells_unseen(line: str) -> bool:
    """Whether a line names a noun and a colour, or two nouns, that training never shows together,
    in whatever words."""
    meant = {names()[w] for w in re.findall(r"[a-z]+(?:-[a-z]+)*", line.lower()) if w in names()}
    colours, nouns = meant & {*COLOURS}, meant & {*SHAPES, *things(shown=True)}
    return any(unseen_colour(noun, colour) for noun in nouns for colour in colours) or any(
        unseen_pair(a, b) for a in nouns for b in nouns
    )


def glosses(validation: bool) -> list[str]:
    """WordNet's definitions and examples in lower case, one in 100 kept for validation; none that
    tells what training never shows together."""
    lines = read_xz(DATA / "text" / "wordnet.txt.xz")
    lines = [line for i, line in enumerate(lines) if (i % 100 == 0) == validation]
    return [line.lower() for line in lines if not tells_unseen(line)]


def meaning_line(rng: random.Random) -> str:
    """A sentence that says what a word means, or two of them."""
    return " ".join(rng.choice(MEANINGS) for _ in range(rng.choice((1, 2))))


def caption_line(sayings: Sayings, rng: random.Random) -> str:
    """A caption twice, in two wordings and other words: what is hidden in one is to be looked up in
    the other."""
    truth = rng.choice(sayings.truths)
    first, second = (split(describe(truth, rng)) for _ in range(2))
    return joined((*reword(first, truth, rng)[0], ";", *second))
