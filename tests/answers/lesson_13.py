"""Answers to the exercises of lesson 13: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import math

import torch

from minimagen.noise import alpha_sigma, cosine

LOW, HIGH = math.atan(math.exp(-10)), math.atan(math.exp(10))


def level_of(level):
    logsnr = cosine(level)
    return logsnr, *alpha_sigma(logsnr, 4)


def augmented(scale):
    """The answer whose fresh noise has the deviation `scale` of (alpha, sigma, tau2)."""

    def answer(picture, level, tau2, eps):
        logsnr, alpha, sigma = level_of(level)
        return alpha * picture + scale(alpha, sigma, tau2) * eps, logsnr

    return answer


def by_ratio(picture, level, tau2, eps):
    logsnr, alpha, _ = level_of(level)
    s = torch.exp(-logsnr).reshape(-1, 1, 1, 1)
    return alpha * (picture + (s - tau2).sqrt() * eps), logsnr


def misreported(wrong):
    """The right picture with a wrong log-SNR."""

    def answer(picture, level, tau2, eps):
        noisy, logsnr = by_ratio(picture, level, tau2, eps)
        return noisy, wrong(level, logsnr)

    return answer


def unscaled(picture, level, tau2, eps):
    logsnr, alpha, sigma = level_of(level)
    return picture + (sigma**2 - alpha**2 * tau2).sqrt() * eps, logsnr


def mse(pictures, truth):
    return (pictures.clamp(-1, 1) - truth).square().mean((1, 2, 3))


def psnr_by_loop(pictures, truth):
    pairs = zip(pictures.clamp(-1, 1), truth, strict=True)
    return torch.tensor(
        [20 * math.log10(2 / (a - b).square().mean().sqrt().item()) for a, b in pairs]
    )


def agree_by_pinv(x, y, R):
    back = torch.linalg.pinv(R)
    return x - (x @ R.T - y) @ back.T


def agree_by_solve(x, y, R):
    return x + torch.linalg.solve(R @ R.T, (y - x @ R.T).T).T @ R


def time_of(s):
    return ((s.sqrt().atan() - LOW) / (HIGH - LOW)).clamp(min=0)


def by_search(tau2, nu):
    levels = torch.linspace(0, 1, 200_001, dtype=torch.float64)[:-1]
    u = 1 + nu + torch.exp(-cosine(levels))
    return levels[(1 - 1 / u + tau2[:, None] / u**2).argmin(1)]


RIGHT = {
    "13.1": [augmented(lambda a, s, tau2: (s**2 - a**2 * tau2) ** 0.5), by_ratio],
    "13.2": [lambda x, truth: 10 * torch.log10(4 / mse(x, truth)), psnr_by_loop],
    "13.3": [agree_by_solve, agree_by_pinv],
    "13.4": [lambda tau2, nu: time_of((2 * tau2 - 1 - nu).clamp(min=0)), by_search],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "13.1": {
        "added in full": augmented(lambda a, s, tau2: s),
        "shrinks with it": augmented(lambda a, s, tau2: (s**2 - tau2).clamp(min=0).sqrt()),
        "must be squared": augmented(lambda a, s, tau2: (s**2 - a * tau2).clamp(min=0).sqrt()),
        "variances do": augmented(lambda a, s, tau2: s - a * tau2**0.5),
        "takes its root": augmented(lambda a, s, tau2: s**2 - a**2 * tau2),
        "not scaled by alpha": unscaled,
        "not to be squared": augmented(lambda a, s, tau2: (s**2 - a**2 * tau2**2).sqrt()),
        "is told its log-SNR": misreported(lambda level, logsnr: level),
        "the sign of the log-SNR": misreported(lambda level, logsnr: -logsnr),
    },
    "13.2": {
        "this takes 1": lambda x, truth: -10 * mse(x, truth).log10(),
        "4, not 2": lambda x, truth: 10 * torch.log10(2 / mse(x, truth)),
        "cuts the pictures off": lambda x, truth: (
            10 * torch.log10(4 / (x - truth).square().mean((1, 2, 3)))
        ),
        "upside down": lambda x, truth: 10 * torch.log10(mse(x, truth) / 4),
        "20 belongs to the root": lambda x, truth: 20 * torch.log10(4 / mse(x, truth)),
        "natural logarithm": lambda x, truth: 10 * torch.log(4 / mse(x, truth)),
        "runs over the batch": lambda x, truth: (10 * torch.log10(4 / mse(x, truth).mean())).expand(
            len(x)
        ),
        "sums the squares": lambda x, truth: 10 * torch.log10(4 / (48 * mse(x, truth))),
    },
    "13.3": {
        "R R^T is not the identity": lambda x, y, R: x + (y - x @ R.T) @ R,
        "the sign is wrong": lambda x, y, R: x - torch.linalg.solve(R @ R.T, (y - x @ R.T).T).T @ R,
        "forgets x": lambda x, y, R: torch.linalg.solve(R @ R.T, y.T).T @ R,
        "nothing was changed": lambda x, y, R: x,
        "must be taken away": lambda x, y, R: x + torch.linalg.solve(R @ R.T, y.T).T @ R,
        "half way": lambda x, y, R: x + torch.linalg.solve(R @ R.T, (y - x @ R.T).T).T @ R / 2,
    },
    "13.4": {
        "telling alone": lambda tau2, nu: time_of(tau2),
        "takes u for s": lambda tau2, nu: time_of(2 * tau2),
        "nu is forgotten": lambda tau2, nu: time_of((2 * tau2 - 1).clamp(min=0)),
        "no noise is best": lambda tau2, nu: time_of(2 * tau2 - 1 - nu),
        "the mirror": lambda tau2, nu: time_of((2 * tau2 - 1 - nu).abs()),
        "and not sigma^2": lambda tau2, nu: (
            (2 * tau2 - 1 - nu).clamp(0, 1).sqrt().asin() / (math.pi / 2)
        ),
        "take the root of s first": lambda tau2, nu: (
            (2 * tau2 - 1 - nu).clamp(min=0).atan() / (math.pi / 2)
        ),
        "a variance; the level is a time": lambda tau2, nu: (2 * tau2 - 1 - nu).clamp(min=0),
        "this is the angle": lambda tau2, nu: (2 * tau2 - 1 - nu).clamp(min=0).sqrt().atan(),
    },
}
