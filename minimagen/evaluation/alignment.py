"""Does the picture show what the sentence says? `alignment` holds the objects that were read
against a caption.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from minimagen.data.drawing import Facts
from minimagen.data.language import parse
from minimagen.evaluation.metrics import mark, share_interval
from minimagen.evaluation.reader import Seen, read


@dataclass(frozen=True)
class AlignmentReport:
    """What `alignment` says: each picture's verdicts, and their shares as .objects .colours .sizes
    .relation .all.

    right: name -> (B,) bool. stated: (B,) bool, the captions that state a relation: `relation` is a
    share of those alone, NaN where there are none.
    """

    right: dict[str, Tensor]
    stated: Tensor

    @classmethod
    def joined(cls, reports: Sequence["AlignmentReport"]) -> "AlignmentReport":
        """The reports of several batches as one."""
        names = reports[0].right
        right = {name: torch.cat([report.right[name] for report in reports]) for name in names}
        return cls(right, torch.cat([report.stated for report in reports]))

    def counted(self, name: str) -> Tensor:
        """The verdicts that the share called `name` is the mean of. Raises `ValueError` on a name
        that is none of the five.
        """
        if name not in self.right:
            raise ValueError(f"name must be one of {', '.join(self.right)}, got {name!r}")
        return self.right[name][self.stated] if name == "relation" else self.right[name]

    def share(self, name: str) -> float:
        return self.counted(name).double().mean().item()

    def interval(self, name: str) -> tuple[float, float]:
        """The 95 % interval of `share`, `share_interval`."""
        return share_interval(self.counted(name))

    def marks(self) -> dict[str, dict | None]:
        """Every share with its interval, ready for JSON; None where no caption asks for it."""
        return {name: mark(self.counted(name)) for name in self.right}

    objects = property(lambda self: self.share("objects"))
    colours = property(lambda self: self.share("colours"))
    sizes = property(lambda self: self.share("sizes"))
    relation = property(lambda self: self.share("relation"))
    all = property(lambda self: self.share("all"))


def alignment(images: Tensor, captions: Sequence[str]) -> AlignmentReport:
    """Which pages show what their captions say: images (B, 3, H, H) in [-1, 1], B captions ->
    `AlignmentReport`.

    objects: the shapes of the caption, each as often as it is named, and nothing else. The others
    count only where the objects are right: colours and sizes as the caption gives them to each
    object (one that it leaves open may be any), relation: each object is left of (x_a < x_b, |dx| >
    |dy|) or above the next. all: everything that the caption states. Raises `ValueError` where the
    numbers differ, on a caption that names no shape, and on pictures that `read` refuses.
    """
    if len(images) != len(captions):
        raise ValueError(
            f"captions must be one a picture, got {len(captions)} for {len(images)} pictures"
        )
    facts = [parse(caption) for caption in captions]
    verdicts = [_judge(fact, read(image)) for fact, image in zip(facts, images, strict=True)]
    columns = torch.tensor(verdicts, dtype=torch.bool).reshape(-1, 4).T
    right = dict(zip(("objects", "colours", "sizes", "relation"), columns, strict=True))
    stated = torch.tensor([fact.relation is not None for fact in facts], dtype=torch.bool)
    every = right["colours"] & right["sizes"] & (right["relation"] | ~stated)
    return AlignmentReport({**right, "all": every}, stated)


def _judge(facts: Facts, seen: list[Seen]) -> tuple[bool, bool, bool, bool]:
    """Objects, colours, sizes, relation: with the objects bound to the caption's mentions so that
    most of it is right.
    """
    if sorted(o.shape for o in seen) != sorted(o.shape for o in facts.objects):
        return (False,) * 4
    shapes = [mention.shape for mention in facts.objects]
    bound = (order for order in permutations(seen) if [o.shape for o in order] == shapes)
    return max((_verdict(facts, order) for order in bound), key=sum)


def _verdict(facts: Facts, order: Sequence[Seen]) -> tuple[bool, bool, bool, bool]:
    pairs = list(zip(facts.objects, order, strict=True))
    return (
        True,
        all(m.colour in (None, o.colour) for m, o in pairs),
        all(m.size in (None, o.size) for m, o in pairs),
        facts.relation is None
        or all(_stands(facts.relation, a, b) for a, b in zip(order, order[1:], strict=False)),
    )


def _stands(relation: str, a: Seen, b: Seen) -> bool:
    dx, dy = b.x - a.x, b.y - a.y
    return dx > abs(dy) if relation == "left of" else dy > abs(dx)
