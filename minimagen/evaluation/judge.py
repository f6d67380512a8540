"""Does the picture show what the caption says? The judge of `World`: `judge` holds what was read
against what is true.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from minimagen.data.layout import EDGE, FIELD
from minimagen.data.nouns import COLOURS, SHAPES, oklab
from minimagen.data.sprites import OPAQUE, OWN, SHADE, sprite, tints
from minimagen.data.truth import PLACES, Object, Truth
from minimagen.evaluation.metrics import mark, share_interval
from minimagen.evaluation.world_reader import Reading, Seen, read

ALIKE = 0.1  # Oklab: a thing whose own colours are nearer than this to a tint passes for it


@dataclass(frozen=True)
class JudgeReport:
    """What `judge` says: each picture's verdicts by name, and their shares.

    right, asked: name -> (B,) bool; a share is of the pictures whose captions ask for it.
    """

    right: dict[str, Tensor]
    asked: dict[str, Tensor]

    @classmethod
    def joined(cls, reports: Sequence["JudgeReport"]) -> "JudgeReport":
        """The reports of several batches as one."""
        both = lambda field: {
            name: torch.cat([getattr(report, field)[name] for report in reports])
            for name in reports[0].right
        }
        return cls(both("right"), both("asked"))

    def counted(self, name: str) -> Tensor:
        """The verdicts that the share called `name` is the mean of. Raises `ValueError` on a name
        that is none.
        """
        if name not in self.right:
            raise ValueError(f"name must be one of {', '.join(self.right)}, got {name!r}")
        return self.right[name][self.asked[name]]

    def share(self, name: str) -> float:
        return self.counted(name).double().mean().item()

    def interval(self, name: str) -> tuple[float, float]:
        """The 95 % interval of `share`, `share_interval`."""
        return share_interval(self.counted(name))

    def marks(self) -> dict[str, dict | None]:
        """Every share with its interval, ready for JSON; None where no caption asks for it."""
        return {name: mark(self.counted(name)) for name in self.right}


NAMES = ("counts", "nouns", "colours", "sizes", "relations", "places", "page", "all")


def judge(pictures: Tensor, truths: Sequence[Truth]) -> JudgeReport:
    """Which pages show what their captions say: pictures (B, 3, H, H) in [-1, 1], B truths.

    counts: as many objects as there should be, nothing beside them. The others of objects count
    only where counts are right, with the objects bound to the truth's so that most is right. nouns
    and colours: of every object (a thing's own colours and a colour that they look like, `passes`,
    are taken for each other); sizes, relations, places, page: where the caption says them. all:
    everything that it says. Raises `ValueError` where the numbers differ, and on pictures that
    `read` refuses.
    """
    if len(pictures) != len(truths):
        raise ValueError(
            f"truths must be one a picture, got {len(truths)} for {len(pictures)} pictures"
        )
    verdicts = [verdict(t, r) for t, r in zip(truths, read(pictures), strict=True)]
    table = lambda field: {
        name: torch.tensor([field(v[name]) for v in verdicts], dtype=torch.bool) for name in NAMES
    }
    return JudgeReport(table(bool), table(lambda right: right is not None))


def verdict(truth: Truth, reading: Reading) -> dict[str, bool | None]:
    """What is right in one reading, by the names of `NAMES`; None where the caption does not say
    it.
    """
    said = {name: None for name in NAMES}
    if truth.names_page:
        said["page"] = _same_page(truth, reading)
    elif reading.page is None:  # of no kind and colour that there is: wrong whatever was asked
        said["page"] = False
    if truth.objects:
        said |= _of_objects(truth, reading.objects)
    said["counts"] = len(truth.objects) == len(reading.objects)
    return said | {"all": all(right for right in said.values() if right is not None)}


def _of_objects(truth: Truth, seen: Sequence[Seen]) -> dict[str, bool | None]:
    """The verdicts of a page's objects."""
    bound = bind(truth, seen) if len(seen) == len(truth.objects) else None
    pairs = list(zip(truth.objects, bound or (), strict=False))
    sized = [pair for pair, named in zip(pairs, truth.names_sizes, strict=False) if named]
    good = lambda said, right: None if not said else bool(pairs) and right()
    following = lambda: zip(bound, bound[1:], strict=False)
    return {
        "nouns": good(True, lambda: all(o.noun == s.noun for o, s in pairs)),
        "colours": good(True, lambda: all(same_colour(o, s) for o, s in pairs)),
        "sizes": good(any(truth.names_sizes), lambda: all(o.size == s.size for o, s in sized)),
        "relations": good(
            truth.relation, lambda: all(stands(truth.relation, a, b) for a, b in following())
        ),
        "places": good(truth.place, lambda: place_of(bound[0]) == PLACES[truth.place]),
    }


def bind(truth: Truth, seen: Sequence[Seen]) -> list[Seen]:
    """The objects that were seen, each in the place of the truth's that it fits best: the noun
    counts 4, the colour 2, the size 1. As many as both have.
    """
    from scipy.optimize import linear_sum_assignment

    fits = [
        [4 * (o.noun == s.noun) + 2 * same_colour(o, s) + (o.size == s.size) for s in seen]
        for o in truth.objects
    ]
    return [seen[k] for k in linear_sum_assignment(fits, maximize=True)[1]]


def same_colour(o: Object, s: Seen) -> bool:
    """Whether an object was seen in the colour that it should have, or in one that looks so."""
    if s.colour == o.colour:
        return True
    return None in (s.colour, o.colour) and (s.colour or o.colour) in passes(o.noun)


@cache
def passes(noun: str) -> frozenset[str]:
    """The colours that a thing's own colours look like: "a red apple" and "an apple".

    Those whose tint is in the mean over the thing nearer to its own colours than `ALIKE` in Oklab.
    """
    if noun in SHAPES:
        return frozenset()
    drawn = sprite(noun, 34, 64)
    solid = drawn[OPAQUE] > 200
    own = oklab(drawn[OWN][:, solid].T)
    tint = lambda colour: oklab(tints(colour)[:, drawn[SHADE][solid]].T)
    gap = lambda colour: np.linalg.norm(own - tint(colour), axis=1).mean()
    return frozenset(colour for colour in COLOURS if gap(colour) < ALIKE)


def stands(relation: str, a: Seen, b: Seen) -> bool:
    """Whether a stands so to b: "left of" is dx > |dy|, "above" dy > |dx|, between centres."""
    dx, dy = b.x - a.x, b.y - a.y
    return dx > abs(dy) if relation == "left of" else dy > abs(dx)


def place_of(s: Seen) -> tuple[int, int]:
    """Column and row, 0 to 2, of a single object: the third in which it stands of all the room that
    the page leaves an object of its size.
    """
    free = max(FIELD - s.side, 1)
    third = lambda centre: min(max(int(3 * (64 * centre - s.side / 2 - EDGE) / free), 0), 2)
    return third(s.x), third(s.y)


def _same_page(truth: Truth, reading: Reading) -> bool:
    look = lambda page: page and (page.kind, page.colour, page.second)
    return look(truth.page) == look(reading.page)
