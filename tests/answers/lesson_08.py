"""Answers to the exercises of lesson 08: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import numpy as np
import torch


def reguide_by_the_line(guided, untold, w0, w):
    return untold + w / (1 + w0) * (guided - untold)


def reguide_by_numpy(guided, untold, w0, w):
    conditional = (guided.numpy() + w0 * untold.numpy()) / (1 + w0)
    return w * conditional - (w - 1) * untold.numpy()


def rate_by_quotient(w, A, B):
    odds = (1 - 1 / w) * (B / A) ** 0.5
    return odds / (1 + odds)


def rate_by_search(w, A, B):
    """Ternary search on the curve itself, no formula solved."""
    low, high = torch.zeros_like(w), torch.ones_like(w)
    value = lambda rate: w**2 * A / (1 - rate) + (w - 1) ** 2 * B / rate
    for _ in range(100):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        down = value(left) > value(right)
        low, high = torch.where(down, left, low), torch.where(down, high, right)
    return np.asarray((low + high) / 2)


def steer_by_factors(untold, told, negative, w, u):
    return sum(f * x for f, x in zip((1 - w + u, w, -u), (untold, told, negative), strict=True))


RIGHT = {
    "8.1": [reguide_by_the_line, reguide_by_numpy],
    "8.2": [rate_by_quotient, rate_by_search],
    "8.3": [steer_by_factors, lambda n, c, m, w, u: (w * c + (1 - w) * n) + u * (n - m)],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "8.1": {
        "takes w0 for Imagen's weight": lambda guided, untold, w0, w: (
            untold + w / w0 * (guided - untold)
        ),
        "once more": lambda guided, untold, w0, w: w * guided + (1 - w) * untold,
        "takes w for Ho and Salimans' weight": lambda guided, untold, w0, w: (
            untold + (1 + w) / (1 + w0) * (guided - untold)
        ),
        "still has to be guided": lambda guided, untold, w0, w: (guided + w0 * untold) / (1 + w0),
        "the sign of w0": lambda guided, untold, w0, w: (
            w * (guided - w0 * untold) / (1 + w0) + (1 - w) * untold
        ),
        "exchanged their weights": lambda guided, untold, w0, w: (
            (1 - w) * (guided + w0 * untold) / (1 + w0) + w * untold
        ),
        "scales the whole noise": lambda guided, untold, w0, w: w / (1 + w0) * guided,
    },
    "8.2": {
        "the share that is told": lambda w, A, B: (
            w * A.sqrt() / (w * A.sqrt() + (w - 1) * B.sqrt())
        ),
        "solve it for the rate": lambda w, A, B: (w - 1) / w * (B / A).sqrt(),
        "shares by variances": lambda w, A, B: (w - 1) ** 2 * B / (w**2 * A + (w - 1) ** 2 * B),
        "the roots of A and B": lambda w, A, B: (w - 1) * B / (w * A + (w - 1) * B),
        "is w - 1, not w": lambda w, A, B: 1 / (1 + (A / B).sqrt()),
        "A and B have exchanged": lambda w, A, B: (
            (w - 1) * A.sqrt() / (w * B.sqrt() + (w - 1) * A.sqrt())
        ),
        "squared in eq. 8.7": lambda w, A, B: (
            (w - 1) ** 2 * B**0.5 / (w**2 * A**0.5 + (w - 1) ** 2 * B**0.5)
        ),
        "off by up to": lambda w, A, B: torch.full_like(w, 0.1),
    },
    "8.3": {
        "towards the negative prompt": lambda n, c, m, w, u: n + w * (c - n) + u * (m - n),
        "tied to w": lambda n, c, m, w, u: w * c + (1 - w) * m,
        "without the negative prompt": lambda n, c, m, w, u: w * c + (1 - w) * n,
        "add up to 1": lambda n, c, m, w, u: n + w * (c - n) - u * m,
        "begins at the told noise": lambda n, c, m, w, u: c + w * (c - n) - u * (m - n),
        "compared with the prompt": lambda n, c, m, w, u: n + w * (c - n) - u * (m - c),
        "w and u have exchanged": lambda n, c, m, w, u: n + u * (c - n) - w * (m - n),
    },
}
