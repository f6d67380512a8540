"""What the text encoder of `World` reads: captions beside the same facts in other words and said
plainly, sentences that say what a word means, and lines of WordNet. `school_text` says why.
"""

import random
import re
from dataclasses import dataclass
from functools import cache

from minimagen.data.captions import NUMBERS, describe
from minimagen.data.nouns import COLOURS, SHAPES, share, things, unseen_colour, unseen_pair
from minimagen.data.pages import PAGE_COLOURS
from minimagen.data.truth import Truth
from minimagen.data.wordings import NOUN_WORDS, SIZE_WORDS, TEXT_ONLY, plural, text_only
from minimagen.data.world import World
from tools._text_lines import DATA, read_xz
from tools._world_meanings import MEANINGS

KINDS = {"page": 0.06, "single": 0.2, "pair": 0.46, "count": 0.1, "triple": 0.18}
TRUTHS = 40_000  # pages whose captions are read, each in ever other words
RELATIONS = {  # what captions of training say, and what `TEXT_ONLY` calls it
    **{"to the left of": "left of", "left of": "left of"},
    **{"to the right of": "right of", "right of": "right of"},
    **{"above": "above", "over": "above", "below": "below", "under": "below"},
}
REWORD, MISSPELL, STRANGE = 0.5, 0.06, 0.3  # of words, of words, of captions beside other words
LETTERS = "abcdefghijklmnopqrstuvwxyz"
UNSEEN_SPELLINGS = 0.1  # the share of misspelt words that the schooling never reads

Words = tuple[str, ...]
Group = tuple[int, int]  # the number of words here, and of those that stand for them there


@dataclass(frozen=True)
class Saying:
    """A caption, the same in other words, and its facts said plainly.

    groups: how the words of the two match, from the first to the last: (2, 1) where two words of
    the caption are one of the other.
    """

    caption: Words
    reworded: Words
    groups: tuple[Group, ...]
    facts: str


class Sayings:
    """Draws sayings of pages that training may show: `Sayings(seed)(rng)`."""

    def __init__(self, glosses: list[str], seed: int = 0, truths: int = TRUTHS):
        world = World(split="train", kinds=KINDS)
        self.glosses = glosses
        self.truths = [world.truth(truths * seed + i) for i in range(truths)]

    def __call__(self, rng: random.Random) -> Saying:
        truth = rng.choice(self.truths)
        caption = split(describe(truth, rng))
        reworded, groups = reword(caption, truth, rng)
        if rng.random() < STRANGE:
            few, first = self._strange(rng), rng.random() < 0.5
            beside = lambda words: (*few, *words) if first else (*words, *few)
            same = ((1, 1),) * len(few)
            caption, reworded, groups = beside(caption), beside(reworded), (*same, *groups)
            groups = groups if first else (*groups[len(few) :], *same)
        return Saying(caption, reworded, groups, plain(truth))

    def _strange(self, rng: random.Random) -> Words:
        """A few words of a definition, to be ignored; none that names what a page may show."""
        words = [w for w in re.findall("[a-z]+", rng.choice(self.glosses)) if w not in names()]
        start = rng.randrange(max(len(words) - 3, 1))
        return tuple(words[start : start + rng.randint(1, 5)])


def split(line: str) -> Words:
    """The words of a line; a comma or a colon is one by itself: "a star, red" -> a, star, ",",
    red."""
    return tuple(re.findall(r"[^\s,:;.]+|[,:;.]", line))


def joined(words: Words) -> str:
    """The line that has these words: what `split` took apart."""
    return re.sub(r" (?=[,:;.])", "", " ".join(words))


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


def one_letter_wrong(word: str, rng: random.Random) -> str:
    """One letter of the word wrong, missing, too many, or swapped with the next."""
    at = rng.randrange(len(word))
    letter = rng.choice(LETTERS)
    before, here, after = word[:at], word[at], word[at + 1 :]
    return rng.choice(
        (
            f"{before}{letter}{after}",
            f"{before}{after}",
            f"{before}{here}{letter}{after}",
            f"{before}{after[:1]}{here}{after[1:]}",
        )
    )


# ------------------------------------------------------------------------------------ other lines


@cache
def names() -> dict[str, str]:
    """Every single word that names what a page may show, never-shown nouns too -> what it means.

    Of a name of several words the last stands for it: "ball" is a soccer ball.
    """
    found = {word: meaning for row in TEXT_ONLY.values() for word, meaning in row.items()}
    found |= {other: noun for noun, other in NOUN_WORDS.items()}
    found |= {noun: noun for noun in (*SHAPES, *things(shown=True), *things(shown=False))}
    found |= {plural(word): noun for word, noun in found.items() if noun not in RELATIONS.values()}
    found |= {word: size for size, words in SIZE_WORDS.items() for word in words}
    found |= {colour: colour for colour in (*COLOURS, *PAGE_COLOURS)}
    return {word.lower().split()[-1]: meaning for word, meaning in found.items()}


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
