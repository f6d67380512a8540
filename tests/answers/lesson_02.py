"""Answers to the exercises of lesson 02: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import math

import numpy as np
import torch


def diffuse_by_loop(x0, abar, eps):
    return torch.stack(
        [
            math.sqrt(a) * x + math.sqrt(1 - a) * e
            for x, a, e in zip(x0, abar.tolist(), eps, strict=True)
        ]
    )


def diffuse_by_variance(x0, abar, eps):
    a = abar[:, None, None, None]
    return a**0.5 * x0 + (1 - a) ** 0.5 * eps


def abar_by_loop(betas):
    left, table = 1.0, []
    for beta in betas.tolist():
        left *= 1 - beta
        table.append(left)
    return table


def f(t, s=0.008):
    return math.cos((t + s) / (1 + s) * math.pi / 2) ** 2


def betas_by_loop(T):
    return [min(1 - f((k + 1) / T) / f(k / T), 0.999) for k in range(T)]


def betas_by_numpy(T):
    left = np.cos((np.arange(T + 1) / T + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - left[1:] / left[:-1], 0.999)


def wide(abar):
    return abar.reshape(-1, 1, 1, 1)


RIGHT = {
    "2.1": [diffuse_by_loop, diffuse_by_variance],
    "2.2": [abar_by_loop, lambda betas: torch.log1p(-betas).cumsum(0).exp()],
    "2.3": [betas_by_loop, betas_by_numpy],
    "2.4": [
        lambda s, t: ((t / s) ** 0.5, 1 - t / s),
        lambda s, t: [(t.log() / 2 - s.log() / 2).exp(), (1 - t) - (t / s) * (1 - s)],
    ],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "2.1": {
        "scales the noise by the variance": lambda x0, abar, eps: (
            wide(abar).sqrt() * x0 + (1 - wide(abar)) * eps
        ),
        "scales the picture by abar": lambda x0, abar, eps: (
            wide(abar) * x0 + (1 - wide(abar)).sqrt() * eps
        ),
        "both roots": lambda x0, abar, eps: wide(abar) * x0 + (1 - wide(abar)) * eps,
        "exchanged": lambda x0, abar, eps: (1 - wide(abar)).sqrt() * x0 + wide(abar).sqrt() * eps,
        "full scale": lambda x0, abar, eps: x0 + (1 - wide(abar)).sqrt() * eps,
        "lies along the width": lambda x0, abar, eps: abar.sqrt() * x0 + (1 - abar).sqrt() * eps,
    },
    "2.2": {
        "each step alone": lambda betas: 1 - betas,
        "multiplies the roots": lambda betas: (1 - betas).sqrt().cumprod(0),
        "the product of beta": lambda betas: betas.cumprod(0),
        "a product, not a sum": lambda betas: 1 - betas.cumsum(0),
        "one step too early": lambda betas: torch.cat(
            [torch.ones(1).double(), (1 - betas).cumprod(0)[:-1]]
        ),
        "the variance of the noise": lambda betas: 1 - (1 - betas).cumprod(0),
        "the shape": lambda betas: (1 - betas).prod(),
    },
    "2.3": {
        "not limited": lambda T: [1 - f((k + 1) / T) / f(k / T) for k in range(T)],
        "1 minus it": lambda T: [f((k + 1) / T) / f(k / T) for k in range(T)],
        "of all the steps": lambda T: [min(1 - f((k + 1) / T) / f(0), 0.999) for k in range(T)],
        "the square": lambda T: [
            min(1 - math.sqrt(f((k + 1) / T) / f(k / T)), 0.999) for k in range(T)
        ],
        "the offset": lambda T: [min(1 - f((k + 1) / T, 0) / f(k / T, 0), 0.999) for k in range(T)],
        "the table for T = 7": lambda T: betas_by_loop(40)[:T],
    },
    "2.4": {
        "the root of": lambda s, t: (t / s, 1 - t / s),
        "upside down": lambda s, t: ((s / t).sqrt(), 1 - t / s),
        "from the clean picture; divide": lambda s, t: (t.sqrt(), 1 - t),
        "the deviation": lambda s, t: ((t / s).sqrt(), (1 - t / s).sqrt()),
        "part of it was there": lambda s, t: ((t / s).sqrt(), 1 - t),
        "forget that the jump also shrinks": lambda s, t: ((t / s).sqrt(), s - t),
        "the scale squared": lambda s, t: ((t / s).sqrt(), t / s),
    },
}
