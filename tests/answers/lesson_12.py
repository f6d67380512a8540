"""Answers to the exercises of lesson 12: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import math

import torch
from torch import nn

ROOT = 0.5**0.5


def work_by_shapes(channels, out, window, height, width, stride, groups):
    with torch.device("meta"):
        layer = nn.Conv2d(channels, out, window, stride, window // 2, groups=groups)
        return layer(torch.empty(1, channels, height, width)).numel() * layer.weight[0].numel()


def work(C, out, k, H, W, s, g):
    return k**2 * (C // g) * out * (-(-H // s)) * (-(-W // s))


def sides(H, W, s):
    return math.ceil(H / s) * math.ceil(W / s)


def scale_by_loop(variance_h, variance_u, correlation):
    flat = [part.flatten().tolist() for part in (variance_h, variance_u, correlation)]
    rows = zip(*flat, strict=True)
    each = [1 / math.sqrt(h + u + 2 * rho * math.sqrt(h * u)) for h, u, rho in rows]
    return torch.tensor(each).reshape(variance_h.shape)


def level_in_steps(x, shrink, down, inner, up, grow):
    kept = down(shrink(x))
    h = inner(kept) * ROOT + kept * ROOT
    return grow(up(h))


def late_down(x, shrink, down, inner, up, grow):
    h = shrink(down(x))
    return grow(up((inner(h) + h) * ROOT))


def joined(rule):
    """The level whose join is `rule` of (what comes from below, the skip)."""

    def level(x, shrink, down, inner, up, grow):
        h = down(shrink(x))
        return grow(up(rule(inner(h), h)))

    return level


def early_up(x, shrink, down, inner, up, grow):
    h = down(shrink(x))
    return up(grow((inner(h) + h) * ROOT))


def skip_before(x, shrink, down, inner, up, grow):
    small = shrink(x)
    return grow(up((inner(down(small)) + small) * ROOT))


def skip_behind(x, shrink, down, inner, up, grow):
    h = down(shrink(x))
    return grow((up(inner(h)) + h) * ROOT)


def twice(x, shrink, down, inner, up, grow):
    return grow(up((inner(down(shrink(x))) + down(shrink(x))) * ROOT))


def level_in_place(x, shrink, down, inner, up, grow):
    h = down(shrink(x))
    below = inner(h)
    below += h
    below /= math.sqrt(2)
    return grow(up(below)).numpy()


def scale_in_place(h, u, rho):
    rho *= (h * u) ** 0.5
    h += u
    h += 2 * rho
    return (1 / h.sqrt()).numpy()


RIGHT = {
    "12.1": [work, work_by_shapes, lambda *case: torch.tensor(work(*case))],
    "12.2": [lambda: ("a", "2"), lambda: ["A", 2], lambda: (" a ", "2")],
    "12.3": [level_in_steps, joined(lambda below, h: (below + h) / math.sqrt(2)), level_in_place],
    "12.4": [
        lambda h, u, rho: (h + u + 2 * rho * h.sqrt() * u.sqrt()).rsqrt(),
        scale_by_loop,
        scale_in_place,
    ],
    "12.6": [lambda: ("b", "2"), lambda: ("B", 2)],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "12.1": {
        "stride is forgotten": lambda C, out, k, H, W, s, g: k**2 * (C // g) * out * H * W,
        "divide by it twice": lambda C, out, k, H, W, s, g: (
            k**2 * (C // g) * out * math.ceil(H / s) * W
        ),
        "round the sides up": lambda C, out, k, H, W, s, g: (
            k**2 * (C // g) * out * (H // s) * (W // s)
        ),
        "whole numbers of pixels": lambda C, out, k, H, W, s, g: k**2 * C / g * out * H * W / s**2,
        "not their product": lambda C, out, k, H, W, s, g: (
            k**2 * C / g * out * math.ceil(H * W / s**2)
        ),
        "groups are forgotten": lambda C, out, k, H, W, s, g: k**2 * C * out * sides(H, W, s),
        "still computed": lambda C, out, k, H, W, s, g: k**2 * C / g * out / g * sides(H, W, s),
        "k squared": lambda C, out, k, H, W, s, g: k * (C // g) * out * sides(H, W, s),
        "not always 3": lambda C, out, k, H, W, s, g: 9 * (C // g) * out * sides(H, W, s),
        "is two of them": lambda *case: 2 * work(*case),
        "off by up to": lambda *case: 3888,  # a constant
        "off by": lambda *case: {(3, 16, 3, 32, 32, 1, 1): 442368}.get(case, 0),  # a table
    },
    "12.2": {
        "the channels double as well": lambda: ("b", "2"),
        "a quarter of the pixels": lambda: ("c", "2"),
        "both ends double": lambda: ("d", "2"),
        "weights times pixels": lambda: ("a", "1"),
        "C squared weights": lambda: ("a", "3"),
        "C, not C squared": lambda: ("a", "4"),
    },
    "12.3": {
        "shrinks after the blocks": late_down,
        "grows before the blocks": early_up,
        "is not scaled": joined(lambda below, h: below + h),
        "only the skip is scaled": joined(lambda below, h: below + h * ROOT),
        "the whole sum": joined(lambda below, h: below * ROOT + h),
        "the mean of the two": joined(lambda below, h: (below + h) / 2),
        "the skip is missing": joined(lambda below, h: below),
        "before the blocks of the way down": skip_before,
        "in front of them": skip_behind,
        "pass h through inner": joined(lambda below, h: (h + h) * ROOT),
        "run once": twice,
    },
    "12.4": {
        "independent inputs only": lambda h, u, rho: (h + u).rsqrt(),
        "the paper's constant": lambda h, u, rho: torch.full_like(h, ROOT),
        "the root is missing": lambda h, u, rho: 1 / (h + u + 2 * rho * (h * u).sqrt()),
        "upside down": lambda h, u, rho: (h + u + 2 * rho * (h * u).sqrt()).sqrt(),
        "enters twice": lambda h, u, rho: (h + u + rho * (h * u).sqrt()).rsqrt(),
        "not the covariance": lambda h, u, rho: (h + u + 2 * rho).rsqrt(),
        "has their roots": lambda h, u, rho: (h + u + 2 * rho * h * u).rsqrt(),
        "have the shape": lambda h, u, rho: 1.0,
    },
    "12.6": {
        "unscaled skips": lambda: ("a", "2"),
        "one more level with attention": lambda: ("c", "2"),
        "read a stack": lambda: ("d", "2"),
        "narrower and have fewer": lambda: ("e", "2"),
        "no sampler has run": lambda: ("b", "1"),
        "a batch does not change": lambda: ("b", "3"),
        "weights times pixels": lambda: ("b", "4"),
    },
}
