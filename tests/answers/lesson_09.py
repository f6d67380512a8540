"""Answers to the exercises of lesson 09: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import math

import numpy as np
import torch


def wide(values):
    return values.reshape(-1, 1, 1, 1)


def static_by_where(x0):
    cut = torch.where(x0 > 1, torch.ones_like(x0), torch.where(x0 < -1, -torch.ones_like(x0), x0))
    return cut, (cut != x0).double().mean((1, 2, 3))


def static_by_numpy(x0):
    x0 = x0.numpy()
    return np.clip(x0, -1, 1), [float(np.mean(np.abs(picture) > 1)) for picture in x0]


def shares(x0):
    return (x0.abs() > 1).double().flatten(1).mean(1)


def dynamic_by_loop(x0, p):
    done = []
    for picture in x0:
        values = sorted(picture.abs().flatten().tolist())
        place = p * (len(values) - 1)
        low, high = values[math.floor(place)], values[math.ceil(place)]
        s = max(1.0, low + (place - math.floor(place)) * (high - low))
        done.append((picture / s).clamp(-1, 1))
    return torch.stack(done)


def dynamic_by_numpy(x0, p):
    s = np.maximum(1, np.quantile(np.abs(x0.numpy()), p, axis=(1, 2, 3), keepdims=True))
    return np.clip(x0.numpy(), -s, s) / s


def shrunk(x0, s):
    return x0.clamp(-s, s) / s


def limits(x0, p):
    return x0.abs().flatten(1).quantile(p, dim=1)


def pair(z, eps, abar, threshold):
    alpha, sigma = wide(abar).sqrt(), wide(1 - abar).sqrt()
    x = threshold((z - sigma * eps) / alpha)
    return x, (z - alpha * x) / sigma


def pair_by_difference(z, eps, abar, threshold):
    ratio = wide(abar / (1 - abar)) ** 0.5
    before = z / wide(abar) ** 0.5 - eps / ratio
    after = threshold(before)
    return [after, eps + ratio * (before - after)]


def weight_by_loop(x_u, x_c):
    best = []
    for u, c in zip(x_u.flatten(1).tolist(), x_c.flatten(1).tolist(), strict=True):
        walls = [((1 if b > a else -1) - a) / (b - a) for a, b in zip(u, c, strict=True) if a != b]
        best.append(min(walls))
    return best


def weight_by_larger_wall(x_u, x_c):
    d = x_c - x_u
    steps = torch.maximum((1 - x_u) / d, (-1 - x_u) / d)
    return torch.where(d == 0, torch.inf, steps).flatten(1).min(1).values


def walls(x_u, x_c):
    d = x_c - x_u
    return torch.where(d == 0, torch.inf, (d.sign() - x_u) / d)


RIGHT = {
    "9.1": [static_by_where, static_by_numpy],
    "9.2": [dynamic_by_loop, dynamic_by_numpy],
    "9.3": [pair, pair_by_difference],
    "9.4": [weight_by_loop, weight_by_larger_wall],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "9.1": {
        "cuts at 0": lambda x: (x.clamp(0, 1), shares(x)),
        "values below -1 are left": lambda x: (x.clamp(max=1), shares(x)),
        "bends every value": lambda x: (x.tanh(), shares(x)),
        "divides instead of cutting": lambda x: (x / wide(x.abs().flatten(1).amax(1)), shares(x)),
        "only values above 1": lambda x: (x.clamp(-1, 1), (x > 1).double().mean((1, 2, 3))),
        "the whole batch": lambda x: (x.clamp(-1, 1), (x.abs() > 1).double().mean().expand(len(x))),
        "the share that stays": lambda x: (x.clamp(-1, 1), 1 - shares(x)),
        "how many values": lambda x: (x.clamp(-1, 1), (x.abs() > 1).sum((1, 2, 3))),
        "any of its colours": lambda x: (
            x.clamp(-1, 1),
            (x.abs() > 1).any(1).double().mean((1, 2)),
        ),
        "should return 2 things": lambda x: x.clamp(-1, 1)[0],
    },
    "9.2": {
        "no lower bound": lambda x, p: shrunk(x, wide(limits(x, p))),
        "one limit for the whole batch": lambda x, p: shrunk(x, x.abs().quantile(p).clamp(min=1)),
        "one limit a colour": lambda x, p: shrunk(
            x, x.abs().flatten(2).quantile(p, dim=2).clamp(min=1)[..., None, None]
        ),
        "their signs must go first": lambda x, p: shrunk(
            x, wide(x.flatten(1).quantile(p, dim=1).clamp(min=1))
        ),
        "the division by it is missing": lambda x, p: x.clamp(
            -wide(limits(x, p).clamp(min=1)), wide(limits(x, p).clamp(min=1))
        ),
        "does not cut": lambda x, p: x / wide(limits(x, p).clamp(min=1)),
        "cuts at 1 before": lambda x, p: x.clamp(-1, 1) / wide(limits(x, p).clamp(min=1)),
        "this takes 1 - p": lambda x, p: shrunk(x, wide(limits(x, 1 - p).clamp(min=1))),
        "the static threshold": lambda x, p: x.clamp(-1, 1),
        "for p = 1": lambda x, p: dynamic_by_loop(x, 0.8),
    },
    "9.3": {
        "has not been applied": lambda z, eps, abar, t: pair(z, eps, abar, lambda x: x),
        "not on the noise": lambda z, eps, abar, t: (pair(z, t(eps), abar, lambda x: x)[0], t(eps)),
        "not on z": lambda z, eps, abar, t: (t(z), eps),
        "use the threshold that was given": lambda z, eps, abar, t: pair(
            z, eps, abar, lambda x: x.clamp(-1, 1)
        ),
        "the roots are missing": lambda z, eps, abar, t: (
            t((z - wide(1 - abar) * eps) / wide(abar)),
            eps,
        ),
        "exchanged": lambda z, eps, abar, t: pair(z, eps, 1 - abar, t),
        "this is the old noise": lambda z, eps, abar, t: (pair(z, eps, abar, t)[0], eps),
        "the noise follows from it": lambda z, eps, abar, t: (pair(z, eps, abar, t)[0], t(eps)),
        "sigma is missing": lambda z, eps, abar, t: (
            pair(z, eps, abar, t)[0],
            pair(z, eps, abar, t)[1] * wide(1 - abar).sqrt(),
        ),
        "alpha is missing": lambda z, eps, abar, t: (
            pair(z, eps, abar, t)[0],
            (z - pair(z, eps, abar, t)[0]) / wide(1 - abar).sqrt(),
        ),
        "divides by the variance": lambda z, eps, abar, t: (
            pair(z, eps, abar, t)[0],
            pair(z, eps, abar, t)[1] / wide(1 - abar).sqrt(),
        ),
    },
    "9.4": {
        "counted from the told half": lambda u, c: walls(u, c).flatten(1).amin(1) - 1,
        "the last pixel": lambda u, c: (
            torch.where(u == c, -torch.inf, walls(u, c)).flatten(1).amax(1)
        ),
        "the whole batch": lambda u, c: walls(u, c).amin().expand(len(u)),
        "at +1 alone": lambda u, c: torch.where(c > u, walls(u, c), torch.inf).flatten(1).amin(1),
        "at -1 alone": lambda u, c: torch.where(c < u, walls(u, c), torch.inf).flatten(1).amin(1),
        "starts at 0": lambda u, c: (1 / (c - u).abs()).flatten(1).amin(1),
        "such a pixel allows every weight": lambda u, c: (
            (((c - u).sign() - u) / (c - u)).flatten(1).amin(1)
        ),
    },
}
