"""What the networks of `trial` are asked to draw, and what is measured of the drawings."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

import torch
from torch import Tensor

from experiments._common import mean, rounded, share
from experiments._trial_reader import read, report
from experiments._trial_runs import SIZE, SMALL
from minimagen.data import World
from minimagen.data.pages import STEPS, Page, draw_page
from minimagen.data.truth import KINDS, RELATIONS, Truth
from minimagen.data.wordings import text_only
from minimagen.evaluation.world_reader import Reading
from minimagen.pixels import from_uint8

BEGIN = 500_000  # the first page that is asked for; training has those before
OTHERS = 750_000  # the first of the real pages that drawings are compared with

Asks = Callable[[Truth, str], bool]


@dataclass(frozen=True)
class Asked:
    """Captions of one sort: those of a split and of kinds of page that `fits` takes. chance: the
    share of `of` that needs no reading.
    """

    split: str = "train"
    kinds: tuple[str, ...] = ("page", "single", "pair", "count", "triple")
    fits: Asks = lambda truth, caption: True
    of: str = "all"
    chance: float | None = None


def two_colours(truth: Truth, caption: str) -> bool:
    """Two objects of two colours, and it is said how they stand."""
    colours = {o.colour for o in truth.objects}
    return truth.relation is not None and len(truth.objects) == len(colours) == 2


def rare(kind: str, meaning: str, caption: str) -> bool:
    """Whether a caption says a meaning by a text-only word."""
    words = "|".join(map(re.escape, text_only(kind, meaning)))
    return bool(words) and re.search(rf"\b(?:{words})\b", caption) is not None


def _rare_colour(truth: Truth, caption: str) -> bool:
    return not truth.names_page and rare("colour", truth.objects[0].colour, caption)


def _rare_page(truth: Truth, caption: str) -> bool:
    return truth.page.second is None and rare("page colour", truth.page.colour, caption)


def _rare_relation(truth: Truth, caption: str) -> bool:
    opposite = dict(zip(RELATIONS, ("right of", "below"), strict=True))
    said = (truth.relation, opposite.get(truth.relation))
    return two_colours(truth, caption) and any(rare("relation", r, caption) for r in said if r)


WORDS = {  # read by every variant
    "two colours": Asked("train", ("pair",), two_colours, "bound"),
    "two colours, held-out wording": Asked("held-out", ("pair",), two_colours, "bound"),
    "two colours, text-only word": Asked("text-only", ("pair",), two_colours, "bound"),
    "text-only colour": Asked("text-only", ("single",), _rare_colour, "colours", 1 / 8),
    "text-only shape": Asked(
        "text-only", ("single",), lambda t, c: rare("noun", t.objects[0].noun, c), "nouns", 1 / 8
    ),
    "text-only page": Asked("text-only", ("page",), _rare_page, "page", 1 / 7),
    "text-only relation": Asked("text-only", ("pair",), _rare_relation, "bound", 1 / 2),
}
GUIDANCE = {"any caption": Asked()}
THRESHOLDS = {  # all name the page
    "objects": Asked("train", ("single", "pair"), lambda t, c: t.names_page),
    "texture": Asked("train", ("page",), lambda t, c: t.page.kind in ("striped", "dotted")),
}
SETS = WORDS | GUIDANCE | THRESHOLDS


@cache
def items(name: str, count: int, begin: int = BEGIN) -> tuple[Tensor, list[str], list[Truth]]:
    """The first `count` of a set from page `begin` on: real pages, captions, truths."""
    asked = SETS[name]
    kinds = {kind: KINDS[kind] for kind in asked.kinds}
    world = World(SIZE, asked.split, kinds, length=1_000_000, **SMALL)
    each = ((i, world.truth(i), world.caption(i)) for i in range(begin, len(world)))
    found = list(islice((row for row in each if asked.fits(*row[1:])), count))
    pages = from_uint8(torch.stack([world[i][0] for i, _, _ in found]))
    return pages, [caption for _, _, caption in found], [truth for _, truth, _ in found]


# --- what is measured ---


def measure(pictures: Tensor, truths: Sequence[Truth]) -> dict:
    """Shares of what is right, with the number of captions that ask for it; the error of the page's
    colour, where the caption names it; saturation.
    """
    readings = read(pictures)
    found = report(readings, truths)
    rows = {name: found.counted(name) for name in found.right}
    asking = [(t, r) for t, r in zip(truths, readings, strict=True) if two_colours(t, "")]
    rows["bound"] = torch.tensor([bound(*pair) for pair in asking], dtype=torch.bool)
    shares = {name: {**rounded(share(row), 4), "n": len(row)} for name, row in rows.items()}
    named = [k for k, truth in enumerate(truths) if truth.names_page]
    errors = torch.stack([page_error(pictures[k], truths[k]) for k in named]) if named else None
    return {
        "right": {name: row for name, row in shares.items() if row["n"]},
        **({"page error": rounded(mean(errors), 4)} if named else {}),
        "saturation": rounded(mean(saturation(pictures)), 4),
    }


def bound(truth: Truth, reading: Reading) -> bool:
    """Whether both colours stand in their places, whatever has them."""
    along = (lambda s: s.x) if truth.relation == "left of" else (lambda s: s.y)
    seen = [s.colour for s in sorted(reading.objects, key=along)]
    return seen == [o.colour for o in truth.objects]


def page_error(picture: Tensor, truth: Truth) -> Tensor:
    """How far the paper is from the named page: the mean |difference| over the outermost pixels,
    where no object comes, in [0, 2]; of all places that its pattern may have, the best counts.
    """
    edge = torch.ones(SIZE, SIZE, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    papers = alike(truth.page.kind, truth.page.colour, truth.page.second)
    return (picture.clamp(-1, 1) - papers)[:, :, edge].abs().mean((1, 2)).min()


@cache
def alike(kind: str, colour: str, second: str | None) -> Tensor:
    """Every page that has this name, in [-1, 1]: (N, 3, 32, 32)."""
    shifts = {"striped": lambda step: 2 * step, "dotted": lambda step: step}.get(
        kind, lambda step: 1
    )
    pages = (
        Page(kind, colour, second, s, shift) for s in STEPS[kind] for shift in range(shifts(s))
    )
    drawings = (torch.from_numpy(draw_page(page, SIZE, (0, 0, SIZE))) for page in pages)
    return from_uint8(torch.stack(list(drawings)))


def saturation(pictures: Tensor) -> Tensor:
    """The mean over pixels of the largest less the smallest of red, green and blue, in [0, 1]."""
    shown = (pictures.clamp(-1, 1) + 1) / 2
    return (shown.amax(1) - shown.amin(1)).flatten(1).mean(1)
