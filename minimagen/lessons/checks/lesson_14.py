"""The exercises of lesson 14: the full cascade."""

import torch
from torch.nn import functional as F

from minimagen.cascade import seeded
from minimagen.evaluation.metrics import agreement
from minimagen.lessons.checks import Wrong, blank, exercise, parts, same
from minimagen.noise import randn

_SEEDS, _SIZES = [3, 4, 20], (2, 4, 8)


def _toy(size: int):
    """A stage that enlarges half of what it is given and adds noise of its own."""

    def stage(below, generators):
        if not isinstance(generators, list | tuple) or len(generators) != len(_SEEDS):
            raise Wrong(f"a stage wants {len(_SEEDS)} generators here, one a picture")
        fresh = randn((len(generators), 3, size, size), generators)
        return fresh if below is None else fresh + 0.5 * F.interpolate(below, size)

    return stage


def _chained(number, below=lambda drawn: drawn[-1], seeds=_SEEDS) -> list:
    """All batches of the toy's stages;
    number (seed, stage) -> generator, below: what a stage is given of those drawn.
    """
    drawn: list = []
    for j, size in enumerate(_SIZES):
        drawn.append(_toy(size)(below(drawn) if drawn else None, [number(s, j) for s in seeds]))
    return drawn


def _plain(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@exercise("14.1", points=2, minutes=8)
def ex_14_1(chain) -> None:
    """chain(stages, seeds) -> the list of all stages' batches;
    stage(below, generators), generators by equation 14.6.
    """
    right = _chained(seeded)
    mine = chain([_toy(size) for size in _SIZES], _SEEDS)
    if isinstance(mine, torch.Tensor):
        raise Wrong("this is one batch; the pictures of all three stages are asked for, in a list")
    mine = parts(mine, *(f"the batch of stage {j}" for j in range(len(_SIZES))))
    kept = {s: seeded(s, 0) for s in _SEEDS}
    faults = {
        "every stage gets stage 0's generators; by 14.6 stage j begins from 16 s + j": _chained(
            lambda s, j: seeded(s, 0)
        ),
        "one generator is passed on from stage to stage; each stage has its own (eq. "
        "14.6)": _chained(lambda s, j: kept[s]),
        "s + j is the wrong number: it is 16 s + j that no other picture begins from": _chained(
            lambda s, j: _plain(s + j)
        ),
        "every later stage gets the first stage's picture; it wants that of the stage "
        "before": _chained(seeded, lambda drawn: drawn[0]),
        "all pictures share the first seed": _chained(seeded, seeds=_SEEDS[:1] * 3),
        "the stages are counted from 0, not from 1": _chained(lambda s, j: seeded(s, j + 1)),
    }
    for j, batch in enumerate(right):
        same(
            _batch(mine[j]),
            batch,
            {said: wrong[j] for said, wrong in faults.items()},
            what=f"the batch of stage {j}",
        )


def _batch(batch):
    """The batch; None, with which a list begins whose first entry was not cut off, is a fault."""
    if batch is None:
        raise Wrong(
            "the list begins with None: it should hold the stages' pictures and nothing else"
        )
    return batch


@exercise("14.2", points=2, minutes=8)
def ex_14_2(whose) -> None:
    """whose(noise, most) -> (seed, stage) of the generator of equation 14.6
    whose first noise (3, h, h) this is.
    """
    for s, j in ((5, 0), (0, 2), (11, 1)):
        seed, stage = parts(whose(randn((3, 4, 4), seeded(s, j)), 12), "the seed", "the stage")
        if seed is None or stage is None:
            raise Wrong(f"nothing was found for the noise of a seed below 12 at stage {j}")
        faults = {
            "seed and stage are the wrong way round": (j, s),
            "this is the number 16 s + j, not the seed in it": (16 * s + j, j),
            "the stages are counted from 0": (s, j + 1),
        }
        same(
            torch.tensor([float(seed), float(stage)]),
            torch.tensor([s, j]),
            {k: torch.tensor(v) for k, v in faults.items()},
            what="the pair (seed, stage)",
        )


@exercise("14.3", points=2, minutes=6)
def ex_14_3(most_pictures) -> None:
    """most_pictures(one, two, room) -> how many pictures fit, from the peaks with one and with two;
    equation 14.8.
    """
    cases = torch.tensor(
        [
            (100, 160, 1000),
            (900, 910, 1000),
            (50, 99, 149),
            (300, 500, 250),
            (100, 160, 160),
            (900, 910, 500),
        ]
    )
    one, two, room = cases.T
    each = two - one
    right = ((room - one + each) // each).clamp(min=0)
    mine = [most_pictures(*(int(value) for value in row)) for row in cases]
    if any(map(blank, mine)):
        same(None, right)
    faults = {
        "this divides by the peak of one picture, which has the weights in it": room // one,
        "the weights are forgotten: they take room before the first picture": room // each,
        "rounded up: the last picture would not fit": -((-room + one - each) // each).clamp(max=0),
        "this is less than 0 where nothing fits": (room - one + each) // each,
        "the first picture was not counted": ((room - one) // each).clamp(min=0),
        "this is not a whole number": ((room - one + each) / each).clamp(min=0),
    }
    same(
        torch.as_tensor([float(value) for value in mine]),
        right,
        faults,
        what="the number of pictures",
    )


@exercise("14.4", points=3, minutes=12)
def ex_14_4(culprit) -> None:
    """culprit(pictures, shows, most) -> (B,) the first stage at fault, or -1."""
    pictures, shows, most = _faulty()
    off = torch.stack([agreement(pictures[j], pictures[j - 1]) for j in (1, 2)])
    right = torch.tensor([-1, 0, 1, 2, 1, 0])
    ends, never = agreement(pictures[2], pictures[0]) > most, torch.zeros_like(shows)
    pairs = zip(pictures, pictures[1:], strict=False)
    signed = [
        (F.adaptive_avg_pool2d(b, a.shape[-1]) - a).mean((1, 2, 3)) / 2 > most for a, b in pairs
    ]
    worst = torch.where(shows, torch.where(off.amax(0) > most, off.argmax(0) + 1, -1), 0)
    faults = {
        "this blames the last stage at fault; a fault is handed on: blame the first": _first(
            ~shows, *(off > most), end=True
        ),
        "stage 0 is at fault where shows is False, and not where it is True": _first(
            shows, *(off > most)
        ),
        "the last stage is held against the first, and not held against the one below": _first(
            ~shows, off[0] > most, ends
        ),
        "where all is well the answer is -1": torch.where(right == -1, 0, right),
        "stages are counted from 0": torch.where(right == -1, -1, right + 1),
        "more than most is a fault, not less": _first(~shows, *(off <= most)),
        "whether the base shows the sentence was not asked": _first(never, *(off > most)),
        "the worst stage is not always the first at fault": worst,
        "in a mean of signed differences a bright fault and a dark one cancel": _first(
            ~shows, *signed
        ),
    }
    same(culprit(pictures, shows, most), right, faults, what="the stage at fault")


def _first(*at_fault: torch.Tensor, end: bool = False) -> torch.Tensor:
    """The number of the first (or, from the end, the last) stage whose flag is set,
    -1 where none is.
    """
    number = torch.full((len(at_fault[0]),), -1)
    order = range(len(at_fault)) if end else reversed(range(len(at_fault)))
    for j in order:
        number = torch.where(at_fault[j], j, number)
    return number


def _faulty() -> tuple[list[torch.Tensor], torch.Tensor, float]:
    """Six pictures of three stages: all well; no sentence; stage 1 off; stage 2;
    stage 1 a little and 2 a lot; 0, 1 and 2.
    """
    g = torch.Generator().manual_seed(144)
    small = torch.rand(6, 3, 4, 4, generator=g) - 0.5
    board = torch.tensor(
        [[1.0, -1.0], [-1.0, 1.0]]
    )  # it cancels in the mean, and a fine one in a shrunk picture
    middle = F.interpolate(small + _column(0.0, 0.0, 0.6, 0.0, 0.5, 0.6) * board.repeat(2, 2), 16)
    large = F.interpolate(middle + _column(0.0, 0.0, 0.0, 0.6, 0.9, 0.5) * board.repeat(8, 8), 64)
    return [small, middle, large], torch.tensor([True, False, True, True, True, False]), 0.1


def _column(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(-1, 1, 1, 1)
