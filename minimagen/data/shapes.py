"""A small world with exact captions: coloured shapes on a white page. Captions are unlimited, and
drawings can be scored.
"""

import random
from collections.abc import Sequence

from torch import Tensor

from minimagen.data.base import Captioned
from minimagen.data.drawing import COLOURS, SHAPES, SIZES, Facts, Mention, place, render
from minimagen.data.language import WORDINGS, Wordings, add_distractors, describe, parse

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
KINDS = {"single": 0.7, "pair": 0.2, "count": 0.05, "triple": 0.05}


class Shapes(Captioned):
    """Captioned pages: `len(shapes)`, `shapes[i] -> (uint8 (3, size, size), caption)`, each item
    fully determined by i.

    split: "train"; "held-out" (a wording that no training caption has); "unseen" (a colour and
    shape never seen together). kinds: weights of "single", "pair", "count", "triple".
    distractors: words for `add_distractors`, which says half of the captions otherwise, so that a
    network learns to pass over what it does not know, and to look for an object's words on both
    sides of it. wordings: what the captions are made of. Raises `ValueError` on any other split or
    kind.
    """

    def __init__(
        self,
        size: int = 64,
        split: str = "train",
        kinds: dict[str, float] | None = None,
        length: int = 1_000_000,
        distractors: Sequence[str] = (),
        wordings: Wordings = WORDINGS,
    ):
        kinds = KINDS if kinds is None else kinds
        if split not in ("train", "held-out", "unseen"):
            raise ValueError(f"split must be train, held-out or unseen, got {split!r}")
        if not kinds or not set(kinds) <= set(KINDS):
            raise ValueError(
                f"kinds must be among {', '.join(KINDS)}, got {', '.join(kinds) or 'none'}"
            )
        self.size, self.split, self.kinds, self.length = size, split, dict(kinds), length
        self.distractors, self.wordings = distractors, wordings

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> tuple[Tensor, str]:
        facts, caption, rng = self._item(i)
        return render(place(facts, rng), self.size), caption

    def cut(self, i: int, top: int, left: int, side: int) -> Tensor:
        """A window of item i's picture, uint8 (3, side, side), without drawing the rest of the
        page.
        """
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
        caption = describe(facts, kind, self.split == "held-out", rng, self.wordings)
        facts = parse(caption)
        if self.distractors:  # the picture stays the same
            rng_of_words = random.Random(f"stray {self.split} {i}")
            caption = add_distractors(caption, self.distractors, rng_of_words)
        return facts, caption, rng


def draw_facts(kind: str, unseen: bool, rng: random.Random) -> Facts:
    """Objects and relation at random; with `unseen`, the first object drawn is a never-seen pair,
    otherwise none is.
    """
    number = {"single": 1, "pair": 2, "count": rng.choice((2, 3)), "triple": 3}[kind]
    pairs = [(c, s) for c in COLOURS for s in SHAPES if (c, s) not in UNSEEN_PAIRS]
    chosen = [rng.choice(sorted(UNSEEN_PAIRS) if unseen else pairs)]
    while len(chosen) < number:
        pair = rng.choice(pairs)
        chosen += [pair] if pair not in chosen else []
    if kind == "count":
        chosen = chosen[:1] * number
    # Three objects side by side leave room for one that is not small.
    names = (
        ["small"] * (number - 1) + [rng.choice(list(SIZES))]
        if number == 3
        else rng.choices(list(SIZES), k=number)
    )
    rng.shuffle(names)
    sizes = names[:1] * number if kind == "count" else names
    rng.shuffle(chosen)
    relation = (
        rng.choice(("left of", "above", "left of", "above", None))
        if kind in ("pair", "triple")
        else None
    )
    return Facts(
        tuple(Mention(s, c, size) for (c, s), size in zip(chosen, sizes, strict=True)), relation
    )
