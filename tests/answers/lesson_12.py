"""Answers to the exercises of lesson 12: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import math

import torch
from torch import nn

from minimagen.layers import ResBlock

ROOT = 0.5**0.5


def size(module):
    return sum(p.numel() for p in module.parameters())


def work_by_shapes(channels, out, window, height, width, stride, groups):
    with torch.device("meta"):
        layer = nn.Conv2d(channels, out, window, stride, window // 2, groups=groups)
        return layer(torch.empty(1, channels, height, width)).numel() * layer.weight[0].numel()


def work(C, out, k, H, W, s, g):
    return k**2 * (C // g) * out * (-(-H // s)) * (-(-W // s))


def sides(H, W, s):
    return math.ceil(H / s) * math.ceil(W / s)


def block_by_layers(channels, kept, width, emb):
    return size(ResBlock(channels + kept, width, emb)) + (
        size(nn.Conv2d(width, width, 1)) if channels + kept == width else 0
    )


def block(C, K, out, E):
    S = C + K
    return (
        2 * S
        + 9 * S * out
        + out
        + 2 * out * E
        + 2 * out
        + 2 * out
        + 9 * out * out
        + out
        + S * out
        + out
    )


def scale_by_loop(variance_h, variance_u, correlation):
    rows = zip(variance_h.tolist(), variance_u.tolist(), correlation.tolist(), strict=True)
    return [1 / math.sqrt(h + u + 2 * rho * math.sqrt(h * u)) for h, u, rho in rows]


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


RIGHT = {
    "12.1": [work, work_by_shapes],
    "12.2": [
        lambda h, u, rho: (h + u + 2 * rho * h.sqrt() * u.sqrt()).rsqrt(),
        scale_by_loop,
    ],
    "12.3": [block, block_by_layers],
    "12.4": [level_in_steps, joined(lambda below, h: (below + h) / math.sqrt(2))],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "12.1": {
        "stride is forgotten": lambda C, out, k, H, W, s, g: k**2 * (C // g) * out * H * W,
        "divided by twice": lambda C, out, k, H, W, s, g: (
            k**2 * (C // g) * out * math.ceil(H / s) * W
        ),
        "round the sides up": lambda C, out, k, H, W, s, g: (
            k**2 * (C // g) * out * (H // s) * (W // s)
        ),
        "whole numbers of pixels": lambda C, out, k, H, W, s, g: k**2 * C / g * out * H * W / s**2,
        "groups are forgotten": lambda C, out, k, H, W, s, g: k**2 * C * out * sides(H, W, s),
        "still computed": lambda C, out, k, H, W, s, g: k**2 * C / g * out / g * sides(H, W, s),
        "k squared": lambda C, out, k, H, W, s, g: k * (C // g) * out * sides(H, W, s),
        "is two of them": lambda *case: 2 * work(*case),
    },
    "12.2": {
        "independent halves only": lambda h, u, rho: (h + u).rsqrt(),
        "the paper's constant": lambda h, u, rho: torch.full_like(h, ROOT),
        "the root is missing": lambda h, u, rho: 1 / (h + u + 2 * rho * (h * u).sqrt()),
        "upside down": lambda h, u, rho: (h + u + 2 * rho * (h * u).sqrt()).sqrt(),
        "enters twice": lambda h, u, rho: (h + u + rho * (h * u).sqrt()).rsqrt(),
        "not the covariance": lambda h, u, rho: (h + u + 2 * rho).rsqrt(),
        "has their roots": lambda h, u, rho: (h + u + 2 * rho * h * u).rsqrt(),
        "have the shape": lambda h, u, rho: 1.0,
    },
    "12.3": {
        "must read the stack": lambda C, K, out, E: 18 * out**2 + 2 * out * E + 8 * out,
        "direct line is missing": lambda C, K, out, E: block(C, K, out, E) - (C + K) * out - out,
        "direct line has a bias": lambda C, K, out, E: block(C, K, out, E) - out,
        "second convolution reads": lambda C, K, out, E: (
            block(C, K, out, E) + 9 * (C + K - out) * out
        ),
        "second normalisation works": lambda C, K, out, E: block(C, K, out, E) + 2 * (C + K - out),
        "first normalisation works": lambda C, K, out, E: block(C, K, out, E) - 2 * (C + K - out),
        "bias for each new channel": lambda C, K, out, E: block(C, K, out, E) - 2 * out,
        "two numbers a channel": lambda C, K, out, E: block(C, K, out, E) - out * (E + 1),
        "`kept` is missing": lambda C, K, out, E: block(C, 0, out, E),
    },
    "12.4": {
        "shrinks after the blocks": late_down,
        "grows before the blocks": early_up,
        "is not scaled": joined(lambda below, h: below + h),
        "only the skip is scaled": joined(lambda below, h: below + h * ROOT),
        "both halves are": joined(lambda below, h: below * ROOT + h),
        "the mean of the two": joined(lambda below, h: (below + h) / 2),
        "the skip is missing": joined(lambda below, h: below),
        "before the blocks of the way down": skip_before,
        "in front of them": skip_behind,
        "pass h through inner": joined(lambda below, h: (h + h) * ROOT),
        "run once": twice,
    },
}
