"""Answers to the exercises of lesson 14: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import torch

from minimagen.cascade import seeded
from minimagen.evaluation.metrics import agreement
from minimagen.noise import randn


def chain(stages, seeds):
    drawn = [None]
    for j, stage in enumerate(stages):
        drawn.append(stage(drawn[-1], [seeded(s, j) for s in seeds]))
    return drawn[1:]


def chain_by_recursion(stages, seeds, j=0, below=None):
    if j == len(stages):
        return []
    picture = stages[j](below, [torch.Generator().manual_seed(16 * s + j) for s in seeds])
    return [picture, *chain_by_recursion(stages, seeds, j + 1, picture)]


def chained(number, below=lambda drawn: drawn[-1]):
    """A chain with a fault: other generators, or another picture below."""

    def answer(stages, seeds):
        drawn, made = [], {s: seeded(s, 0) for s in seeds}
        for j, stage in enumerate(stages):
            drawn.append(
                stage(below(drawn) if drawn else None, [number(s, j, made) for s in seeds])
            )
        return drawn

    return answer


def whose(noise, most):
    for s in range(most):
        for j in range(3):
            if torch.equal(randn(noise.shape, seeded(s, j)), noise):
                return s, j


def whose_by_table(noise, most):
    made = torch.stack(
        [
            torch.randn(noise.shape, generator=torch.Generator().manual_seed(n))
            for n in range(16 * most)
        ]
    )
    return divmod((made - noise).abs().amax((1, 2, 3)).argmin().item(), 16)


def first_stage_alone(noise, most):
    seeds = [s for s in range(most) if torch.equal(randn(noise.shape, seeded(s, 0)), noise)]
    return (seeds[0], 0) if seeds else (None, 0)


def most_pictures(one, two, room):
    return max(0, (room - (2 * one - two)) // (two - one))


def most_by_trying(one, two, room):
    count = 0
    while one + count * (two - one) <= room:
        count += 1
    return count


def culprit(pictures, shows, most):
    first = torch.full((len(shows),), -1)
    for j in reversed(range(1, len(pictures))):
        first = torch.where(agreement(pictures[j], pictures[j - 1]) > most, j, first)
    return torch.where(shows, first, 0)


def culprit_of(pictures, shows, at_fault, below=lambda j: j - 1):
    """The same with another verdict, or held against another stage."""
    first = torch.full((len(shows),), -1)
    for j in reversed(range(1, len(pictures))):
        first = torch.where(at_fault(agreement(pictures[j], pictures[below(j)])), j, first)
    return torch.where(shows, first, 0)


def culprit_by_loop(pictures, shows, most):
    verdicts = []
    for i, fine in enumerate(shows.tolist()):
        blamed = [] if fine else [0]
        for j in range(1, len(pictures)):
            if agreement(pictures[j][i : i + 1], pictures[j - 1][i : i + 1]).item() > most:
                blamed.append(j)
        verdicts.append(blamed[0] if blamed else -1)
    return torch.tensor(verdicts)


def last_at_fault(pictures, shows, most):
    first = torch.where(shows, -1, 0)
    for j in range(1, len(pictures)):
        first = torch.where(agreement(pictures[j], pictures[j - 1]) > most, j, first)
    return first


RIGHT = {
    "14.1": [chain, chain_by_recursion],
    "14.2": [whose, whose_by_table],
    "14.3": [most_pictures, most_by_trying],
    "14.4": [culprit, culprit_by_loop],
}
WRONG = {
    "14.1": {
        "stage 0's generators": chained(lambda s, j, made: seeded(s, 0)),
        "passed on from stage to stage": chained(lambda s, j, made: made[s]),
        "s + j is the wrong number": chained(
            lambda s, j, made: torch.Generator().manual_seed(s + j)
        ),
        "first stage's picture": chained(lambda s, j, made: seeded(s, j), lambda drawn: drawn[0]),
        "this is one batch": lambda stages, seeds: chain(stages, seeds)[-1],
        "should return 3 things": lambda stages, seeds: [None, *chain(stages, seeds)],
    },
    "14.2": {
        "wrong way round": lambda noise, most: whose(noise, most)[::-1],
        "not the seed in it": lambda noise, most: (lambda s, j: (16 * s + j, j))(
            *whose(noise, most)
        ),
        "counted from 0": lambda noise, most: (lambda s, j: (s, j + 1))(*whose(noise, most)),
        "nothing was found": first_stage_alone,
    },
    "14.3": {
        "divides by the peak of one picture": lambda one, two, room: room // one,
        "the weights are forgotten": lambda one, two, room: room // (two - one),
        "less than 0": lambda one, two, room: (room - (2 * one - two)) // (two - one),
        "not counted": lambda one, two, room: max(0, (room - one) // (two - one)),
        "not a whole number": lambda one, two, room: max(0, (room - (2 * one - two)) / (two - one)),
    },
    "14.4": {
        "blames the last": last_at_fault,
        "not where it is True": lambda pictures, shows, most: culprit(pictures, ~shows, most),
        "was not asked": lambda pictures, shows, most: culprit(
            pictures, torch.ones_like(shows), most
        ),
        "the answer is -1": lambda pictures, shows, most: culprit(pictures, shows, most).clamp(
            min=0
        ),
        "not less": lambda pictures, shows, most: culprit_of(
            pictures, shows, lambda off: off <= most
        ),
        "held against the one below": lambda pictures, shows, most: culprit_of(
            pictures, shows, lambda off: off > most, lambda j: 0
        ),
        "cancel": lambda pictures, shows, most: torch.where(shows, -1, 0),
    },
}
