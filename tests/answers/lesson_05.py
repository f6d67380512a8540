"""Answers to the exercises of lesson 05: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import math

import numpy as np
import torch
from torch import nn


def waves(k, f):
    angles = torch.as_tensor(k)[:, None] * f
    return torch.cat([angles.sin(), angles.cos()], 1)


def falling(width, below=1):
    m = width // 2
    return 10000.0 ** (-torch.arange(m, dtype=torch.float64) / (m - below))


def waves_by_loop(k, width):
    m = width // 2
    f = [math.exp(-math.log(10000) * i / (m - 1)) for i in range(m)]
    return [[math.sin(n * x) for x in f] + [math.cos(n * x) for x in f] for n in k.tolist()]


def waves_by_numpy(k, width):
    angles = np.outer(k.numpy(), np.geomspace(1, 1e-4, width // 2))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def cosines_first(k, width):
    sines, cosines = waves(k, falling(width)).chunk(2, 1)
    return torch.cat([cosines, sines], 1)


def take_turns(k, width):
    sines, cosines = waves(k, falling(width)).chunk(2, 1)
    return torch.stack([sines, cosines], 2).flatten(1)


def way(channels, multipliers, size):
    """[(from below, from the side, width)] of the way up, in numbers that the wrong answers put
    together wrongly.
    """
    kept = [(channels * multipliers[0], size)]
    for multiplier in multipliers:
        if len(kept) > 1:
            kept.append((kept[-1][0], kept[-1][1] // 2))
        kept.append((channels * multiplier, kept[-1][1]))
    below = [channels * m for m in reversed(multipliers) for _ in range(2)]
    below = [below[0], *below[:-1]]
    return [(b, c, s) for b, (c, s) in zip(below, reversed(kept), strict=True)]


def entering_by_index(channels, multipliers, size):
    layers, last = [], len(multipliers) - 1
    for level in range(last, -1, -1):
        own, side = channels * multipliers[level], size >> level
        layers.append((channels * multipliers[min(level + 1, last)] + own, side))
        layers.append((own + channels * multipliers[max(level - 1, 0)], side))
    return layers


def oldest_first(*arguments):
    rows = way(*arguments)
    return [(b + c, s) for (b, _, s), (_, c, _) in zip(rows, reversed(rows), strict=True)]


def sizes_backwards(channels, multipliers, size):
    rows = way(channels, multipliers, size)
    return [(b + c, s) for (b, c, _), (_, _, s) in zip(rows, reversed(rows), strict=True)]


def by_hand(channels, out, emb, **mistakes):
    """The count, with a handle for each mistake."""
    how = {
        "nine": 9,
        "b": 1,
        "norm": 2,
        "two": 2,
        "into": out,
        "skip": channels != out,
        "square": 1,
        **mistakes,
    }
    convolutions = how["nine"] * (channels + how["into"]) * out + 2 * how["b"] * out
    linear = how["two"] * out * (emb + how["b"])
    direct = (how["square"] * channels + how["b"]) * out
    return how["norm"] * (channels + out) + convolutions + linear + how["skip"] * direct


def by_modules(channels, out, emb):
    parts = [
        nn.GroupNorm(1, channels),
        nn.Conv2d(channels, out, 3),
        nn.Linear(emb, 2 * out),
        nn.GroupNorm(1, out),
    ]
    parts += [nn.Conv2d(out, out, 3)] + ([nn.Conv2d(channels, out, 1)] if channels != out else [])
    return sum(p.numel() for part in parts for p in part.parameters())


def as_zip(channels, multipliers, size):
    rows = entering_by_index(channels, multipliers, size)
    return zip([b for b, _ in rows], [s for _, s in rows], strict=True)


def looked_up(table, otherwise):
    """The examples of the task, written in; something else elsewhere."""
    return lambda *arguments: table.get(arguments, otherwise)


RIGHT = {
    "5.1": [lambda: ("c", "2"), lambda: ["C", 2]],
    "5.2": [waves_by_loop, waves_by_numpy],
    "5.3": [by_hand, by_modules, lambda *case: torch.tensor(by_hand(*case))],
    "5.4": [
        entering_by_index,
        lambda *arguments: [[b + c, s] for b, c, s in way(*arguments)],
        as_zip,
        lambda *arguments: np.array(entering_by_index(*arguments)),
    ],
    "5.6": [lambda: ("d", "3"), lambda: ("D", 3)],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "5.1": {
        "would mean nothing to a convolution": lambda: ("a", "1"),
        "nothing is lost": lambda: ("b", "3"),
        "first and last weights": lambda: ("d", "4"),
        "must find it first": lambda: ("c", "1"),
        "the same pattern": lambda: ("c", "3"),
    },
    "5.2": {
        "divide i by n - 1": lambda k, width: waves(k, falling(width, below=0)),
        "the whole width": lambda k, width: waves(
            k, 1e-4 ** (2 * torch.arange(width // 2).double() / (width - 1))
        ),
        "these rise to 10000": lambda k, width: waves(k, 1 / falling(width)),
        "fall evenly": lambda k, width: waves(
            k, torch.linspace(1, 1e-4, width // 2, dtype=torch.float64)
        ),
        "the sines come first": cosines_first,
        "take turns": take_turns,
        "DDPM's run from 1": lambda k, width: waves(
            k, torch.logspace(math.log10(0.08), 1, width // 2, dtype=torch.float64)
        ),
        "2 pi": lambda k, width: waves(k, 2 * math.pi * falling(width)),
        "the shape": lambda k, width: waves(k, falling(2 * width)),
        "": lambda k, width: waves(k, falling(12)),
    },
    "5.3": {
        "only where the number of channels changes": lambda *case: by_hand(*case, skip=True),
        "has a 1 x 1 convolution": lambda *case: by_hand(*case, skip=False),
        "one for each output": lambda *case: by_hand(*case, b=0),
        "of the two convolutions": lambda channels, out, emb: by_hand(channels, out, emb) - 2 * out,
        "numbers b too": lambda channels, out, emb: (
            by_hand(channels, out, emb) - out * (channels != out)
        ),
        "two normalisations learn": lambda *case: by_hand(*case, norm=0),
        "two numbers for each channel, a factor": lambda *case: by_hand(*case, norm=1),
        "a scale and a shift": lambda *case: by_hand(*case, two=1),
        "from out to out": lambda *case: by_hand(*case, into=case[0]),
        "nine weights": lambda *case: by_hand(*case, nine=1),
        "is 1 x 1": lambda *case: by_hand(*case, square=9),
        "off": looked_up({(8, 16, 32): by_hand(8, 16, 32), (16, 16, 32): by_hand(16, 16, 32)}, 0),
    },
    "5.4": {
        "the oldest kept result": oldest_first,
        "what is kept is missing": lambda *arguments: [(b, s) for b, _, s in way(*arguments)],
        "from below is missing": lambda *arguments: [(c, s) for _, c, s in way(*arguments)],
        "the last level's channels": lambda *arguments: [
            (way(*arguments)[0][0] + c, s) for _, c, s in way(*arguments)
        ],
        "not doubled": lambda *arguments: [
            (b + c, way(*arguments)[0][2]) for b, c, _ in way(*arguments)
        ],
        "begins with the smallest": sizes_backwards,
        "begins at the coarse end": lambda *arguments: [
            (b + c, s) for b, c, s in reversed(way(*arguments))
        ],
        "two layers a level": lambda *arguments: [(b + c, s) for b, c, s in way(*arguments)[::2]],
        "whole numbers": lambda *arguments: [(float(b + c), s / 1) for b, c, s in way(*arguments)],
        "layers a level": looked_up({(16, (1, 2), 16): [(64, 8), (48, 8), (48, 16), (32, 16)]}, []),
    },
    "5.6": {
        "has a flat loss": lambda: ("a", "1"),
        "above its first value": lambda: ("c", "2"),
        "look at the ears": lambda: ("e", "4"),
        "bends like the healthy one": lambda: ("h", "5"),
        "the shape of the healthy one": lambda: ("d", "4"),
    },
}
