"""Answers to the exercises of lesson 01: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import math

import torch
from torch.distributions import Independent, Normal, kl_divergence


def divergence_by_torch(mean_q, std_q, mean_p, std_p):
    return kl_divergence(
        Independent(Normal(mean_q, std_q), 1), Independent(Normal(mean_p, std_p), 1)
    )


def divergence_by_loop(mean_q, std_q, mean_p, std_p):
    rows = []
    for row in zip(mean_q.tolist(), std_q.tolist(), mean_p.tolist(), std_p.tolist(), strict=True):
        rows.append(
            sum(
                math.log(r / s) + ((s / r) ** 2 + ((m - n) / r) ** 2 - 1) / 2
                for m, s, n, r in zip(*row, strict=True)
            )
        )
    return rows


def each(m, s, n, r):
    return (r / s).log() + (s**2 + (m - n) ** 2) / (2 * r**2) - 0.5


def uncouple_by_halves(z, s, t):
    z_a, z_b = z.chunk(2, dim=1)
    scale = s(z_a)
    return torch.cat([z_a, (z_b - t(z_a)) * torch.exp(-scale)], dim=1), -scale.sum(dim=1)


def uncouple_in_place(z, s, t):
    half = z.shape[1] // 2
    x = z.clone()
    x[:, half:] = (z[:, half:] - t(z[:, :half])) / s(z[:, :half]).exp()
    return [x, torch.log(1 / s(z[:, :half]).exp().prod(1))]


def uncouple(new_b, log_det=lambda s: -s.sum(1)):
    """An answer with another second half, or another determinant."""

    def answer(z, s, t):
        a, b = z.chunk(2, 1)
        return torch.cat([a, new_b(a, b, s, t)], 1), log_det(s(a))

    return answer


def right_b(a, b, s, t):
    return (b - t(a)) * (-s(a)).exp()


def covered_by_loop(points, centres, within, least):
    count = [0] * len(centres)
    for point in points:
        distances = [math.dist(point.tolist(), centre.tolist()) for centre in centres]
        if min(distances) < within:
            count[distances.index(min(distances))] += 1
    return sum(n >= least * len(points) / len(centres) for n in count)


def covered_by_matrix(points, centres, within, least):
    distance = (points[:, None] - centres).norm(dim=2)
    mine = (distance == distance.min(1, keepdim=True).values) & (distance < within)
    return (mine.double().mean(0) >= least / len(centres)).sum()


def covered(points, centres, within, enough):
    distance, nearest = torch.cdist(points, centres).min(1)
    return (torch.bincount(nearest[distance < within], minlength=len(centres)) >= enough).sum()


RIGHT = {
    "1.1": [divergence_by_torch, divergence_by_loop],
    "1.2": [uncouple_by_halves, uncouple_in_place],
    "1.3": [covered_by_loop, covered_by_matrix],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "1.1": {
        "this is KL(p || q)": lambda m, s, n, r: each(n, r, m, s).sum(1),
        "eq. 1.11": lambda m, s, n, r: (0.5 * (m**2 + s**2 - 1) - s.log()).sum(1),
        "the -1/2": lambda m, s, n, r: (each(m, s, n, r) + 0.5).sum(1),
        "upside down": lambda m, s, n, r: (each(m, s, n, r) - 2 * (r / s).log()).sum(1),
        "must be squared": lambda m, s, n, r: (
            (r / s).log() + (s + (m - n) ** 2) / (2 * r) - 0.5
        ).sum(1),
        "distance of the means": lambda m, s, n, r: each(m, s, m, r).sum(1),
        "the mean over the coordinates": lambda m, s, n, r: each(m, s, n, r).mean(1),
        "adds up the rows": lambda m, s, n, r: each(m, s, n, r).sum().expand(4),
        "the shape": lambda m, s, n, r: each(m, s, n, r),
    },
    "1.2": {
        "the coupling forwards": uncouple(lambda a, b, s, t: b * s(a).exp() + t(a)),
        "taken away first": uncouple(lambda a, b, s, t: b * (-s(a)).exp() - t(a)),
        "exp(s), not s": uncouple(lambda a, b, s, t: (b - t(a)) / s(a)),
        "the sign of s": uncouple(lambda a, b, s, t: (b - t(a)) * s(a).exp()),
        "the first half, which": uncouple(lambda a, b, s, t: (b - t(b)) * (-s(b)).exp()),
        "unchanged, and first": lambda z, s, t: (
            uncouple_by_halves(z, s, t)[0].roll(2, 1),
            -s(z[:, :2]).sum(1),
        ),
        "the opposite sign": uncouple(right_b, lambda s: s.sum(1)),
        "its logarithm": uncouple(right_b, lambda s: (-s).exp().prod(1)),
        "finds the sum": uncouple(right_b, lambda s: -s.mean(1)),
        "log_det, compared with autograd, is off": uncouple(right_b, lambda s: -s.abs().sum(1)),
        "2 things: x, log_det": lambda z, s, t: uncouple_by_halves(z, s, t)[0],
    },
    "1.3": {
        "one point near a mode": lambda p, c, within, least: covered(p, c, within, 1),
        "far from every mode": lambda p, c, within, least: covered(
            p, c, 99, least * len(p) / len(c)
        ),
        "of all N points": lambda p, c, within, least: covered(p, c, within, least * len(p)),
        "this counts points": lambda p, c, within, least: (
            torch.cdist(p, c).min(1).values < within
        ).sum(),
        "squared": lambda p, c, within, least: covered(p, c, within**0.5, least * len(p) / len(c)),
        "two modes belongs": lambda p, c, within, least: (
            (torch.cdist(p, c) < within).sum(0) >= least * len(p) / len(c)
        ).sum(),
        "one whole number": lambda p, c, within, least: torch.cdist(p, c).min(1).values < within,
        "larger `least`": lambda p, c, within, least: covered(p, c, within, 0.25 * len(p) / len(c)),
    },
}
