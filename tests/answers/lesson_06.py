"""Answers to the exercises of lesson 06: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import math

import numpy as np
import torch


def tables(betas, k):
    """beta, abar and the abar before, at index k, as plain numbers."""
    left = [1.0]
    for beta in betas.tolist():
        left.append(left[-1] * (1 - beta))
    return betas[k].item(), left[k + 1], left[k]


def small(betas, k):
    beta, here, before = tables(betas, k)
    return beta * (1 - before) / (1 - here)


def ddpm_by_eps(x, eps, k, betas, noise):
    beta, here, _ = tables(betas, k)
    return (x - beta / math.sqrt(1 - here) * eps) / math.sqrt(1 - beta) + math.sqrt(
        small(betas, k)
    ) * noise


def ddpm_by_x0(x, eps, k, betas, noise):
    beta, here, before = tables(betas, k)
    x0 = (x - (1 - here) ** 0.5 * eps) / here**0.5
    mean = before**0.5 * beta / (1 - here) * x0 + (1 - beta) ** 0.5 * (1 - before) / (1 - here) * x
    return (mean + small(betas, k) ** 0.5 * noise).numpy()


def ddpm_mean(x, eps, k, betas):
    return ddpm_by_eps(x, eps, k, betas, 0 * x)


def x0_and_noise(x, eps, k, betas, noise):
    _, here, _ = tables(betas, k)
    return (x - math.sqrt(1 - here) * eps) / math.sqrt(here) + math.sqrt(small(betas, k)) * noise


def not_undone(x, eps, k, betas, noise):
    beta, here, _ = tables(betas, k)
    return x - beta / math.sqrt(1 - here) * eps + math.sqrt(small(betas, k)) * noise


def no_root(x, eps, k, betas, noise):
    beta, here, _ = tables(betas, k)
    return (x - beta / (1 - here) * eps) / math.sqrt(1 - beta) + math.sqrt(small(betas, k)) * noise


def one_early(x, eps, k, betas, noise):
    beta, _, before = tables(betas, k)
    return (x - beta / math.sqrt(1 - before) * eps) / math.sqrt(1 - beta) + math.sqrt(
        small(betas, k)
    ) * noise


def noisy_at_the_end(x, eps, k, betas, noise):
    variance = small(betas, k) if k > 0 else betas[0].item()
    return ddpm_mean(x, eps, k, betas) + math.sqrt(variance) * noise


def round_the_corner(x, eps, k, betas, noise):
    abar = torch.cumprod(1 - betas, 0)
    variance = (
        betas[k] * (1 - abar[k - 1]) / (1 - abar[k])
    )  # at k = 0 this reads the last entry of the table
    return ddpm_mean(x, eps, k, betas) + variance.sqrt() * noise


def bayes(t, s):
    return (1 - s) / (1 - t) * (1 - t / s)


def clean(z, eps, t):
    return (z - (1 - t) ** 0.5 * eps) / t**0.5


def ddim(z, eps, t, s, eta, noise):
    c = eta * bayes(t, s) ** 0.5
    return s**0.5 * clean(z, eps, t) + (1 - s - c**2) ** 0.5 * eps + c * noise


def ddim_by_logsnr(z, eps, t, s, eta, noise):
    fresh = eta**2 * (1 - torch.exp(torch.logit(t) - torch.logit(s)))
    mixed = (1 - fresh).sqrt() * eps + fresh.sqrt() * noise
    return [
        row.tolist() for row in (s / t).sqrt() * (z - (1 - t).sqrt() * eps) + (1 - s).sqrt() * mixed
    ]


def wide(z, eps, t, s, eta, noise):
    c2 = eta**2 * (1 - t / s)
    return s**0.5 * clean(z, eps, t) + (1 - s - c2) ** 0.5 * eps + c2**0.5 * noise


def unsquared(z, eps, t, s, eta, noise):
    return ddim(z, eps, t, s, eta**0.5, noise)


def variance_for_deviation(z, eps, t, s, eta, noise):
    c2 = eta**2 * bayes(t, s)
    return s**0.5 * clean(z, eps, t) + (1 - s - c2) ** 0.5 * eps + c2 * noise


def wrong_level(z, eps, t, s, eta, noise):
    return ddim(
        s**0.5 * clean(z, eps, s) * (t / s) ** 0.5 + (1 - t) ** 0.5 * eps, eps, t, s, eta, noise
    )


def marks(logsnrs, n):
    return np.linspace(logsnrs[-1].item(), logsnrs[0].item(), n)


def subset_by_loop(logsnrs, n):
    chosen = []
    for mark in marks(logsnrs, n):
        k = min(range(len(logsnrs)), key=lambda k: abs(logsnrs[k].item() - mark))
        if k not in chosen:
            chosen.append(k)
    return chosen


def subset_by_numpy(logsnrs, n):
    table = logsnrs.numpy()
    return np.unique(np.abs(table[:, None] - marks(logsnrs, n)).argmin(0))[::-1].copy()


def repeated(logsnrs, n):
    return np.abs(logsnrs.numpy()[:, None] - marks(logsnrs, n)).argmin(0)


RIGHT = {
    "6.1": [ddpm_by_eps, ddpm_by_x0],
    "6.2": [ddim, ddim_by_logsnr],
    "6.3": [subset_by_loop, subset_by_numpy],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "6.1": {
        "the variance beta": lambda x, eps, k, betas, noise: (
            ddpm_mean(x, eps, k, betas) + betas[k].sqrt() * noise
        ),
        "by the variance": lambda x, eps, k, betas, noise: (
            ddpm_mean(x, eps, k, betas) + small(betas, k) * noise
        ),
        "all of the noise at once": x0_and_noise,
        "not undone": not_undone,
        "under eps": no_root,
        "of the step before": one_early,
        "reads the last entry": round_the_corner,
        "the last step, k = 0, adds noise": noisy_at_the_end,
        "the mean alone": lambda x, eps, k, betas, noise: ddpm_mean(x, eps, k, betas),
    },
    "6.2": {
        "no old noise taken out": lambda z, eps, t, s, eta, noise: (
            s**0.5 * clean(z, eps, t) + (1 - s) ** 0.5 * eps + eta * bayes(t, s) ** 0.5 * noise
        ),
        "eta is not squared": unsquared,
        "scaled by its variance": variance_for_deviation,
        "with abar_s": wrong_level,
        "of the forward jump": wide,
        "the step with eta = 0": lambda z, eps, t, s, eta, noise: ddim(z, eps, t, s, 0.0, noise),
        "the step with eta = 1": lambda z, eps, t, s, eta, noise: ddim(z, eps, t, s, 1.0, noise),
        "not a finite number": lambda z, eps, t, s, eta, noise: ddim(z, eps, s, t, 2.0, noise),
    },
    "6.3": {
        "even in k": lambda logsnrs, n: torch.linspace(len(logsnrs) - 1, 0, n).round().long(),
        "from clean to noise": lambda logsnrs, n: subset_by_loop(logsnrs, n)[::-1],
        "is repeated": repeated,
        "does not begin": lambda logsnrs, n: subset_by_loop(logsnrs, n)[1:],
        "does not end": lambda logsnrs, n: subset_by_loop(logsnrs, n)[:-1],
        "no indices": lambda logsnrs, n: marks(logsnrs, n),
    },
}
