"""The words of `World`: which name something that a page may show, and which are misspelt."""

import random
import re
from functools import cache

from minimagen.data.nouns import COLOURS, SHAPES, things
from minimagen.data.pages import PAGE_COLOURS
from minimagen.data.wordings import NOUN_WORDS, SIZE_WORDS, TEXT_ONLY, plural

RELATIONS = {  # what captions of training say, and what `TEXT_ONLY` calls it
    **{"to the left of": "left of", "left of": "left of"},
    **{"to the right of": "right of", "right of": "right of"},
    **{"above": "above", "over": "above", "below": "below", "under": "below"},
}
OPPOSITE = {"left of": "right of", "above": "below"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
UNSEEN_SPELLINGS = 0.1  # the share of misspelt words that the schooling never reads

Words = tuple[str, ...]


def split(line: str) -> Words:
    """The words of a line; a comma or a colon is one by itself: "a star, red" -> a, star, ",",
    red."""
    return tuple(re.findall(r"[^\s,:;.]+|[,:;.]", line))


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
