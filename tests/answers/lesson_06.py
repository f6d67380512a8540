"""Answers to the exercises of lesson 06: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import math

import numpy as np
import torch

from minimagen.denoiser import Prediction
from minimagen.samplers import dpmpp_2m


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


def ddim_in_place(z, eps, t, s, eta, noise):
    t, s = t.item(), s.item()
    fresh = eta**2 * bayes(t, s)
    z -= math.sqrt(1 - t) * eps
    z *= math.sqrt(s / t)
    z += math.sqrt(1 - s - fresh) * eps
    noise *= math.sqrt(fresh)
    z += noise
    return z.numpy()


def ddim_of(variance):
    """An answer to 6.2 with another variance of the fresh noise."""

    def answer(z, eps, t, s, eta, noise):
        fresh = variance(t, s, eta)
        return s**0.5 * clean(z, eps, t) + (1 - s - fresh).sqrt() * eps + fresh.sqrt() * noise

    return answer


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


def subset_of_tensors(logsnrs, n):
    return [torch.tensor(k) for k in subset_by_loop(logsnrs, n)]


def repeated(logsnrs, n):
    return np.abs(logsnrs.numpy()[:, None] - marks(logsnrs, n)).argmin(0)


def scales(logsnr):
    value = logsnr.item()
    return 1 / math.sqrt(1 + math.exp(-value)), 1 / math.sqrt(1 + math.exp(value))


def solver_by_ddim(z, x0, before, logsnrs):
    if before is not None:
        h0, h = logsnrs.diff().tolist()
        x0 = x0 + h / (2 * h0) * (x0 - before)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = scales(logsnrs[1]), scales(logsnrs[2])
    return alpha_s * x0 + sigma_s * (z - alpha_t * x0) / sigma_t


def solver_by_library(z, x0, before, logsnrs):
    rows = [logsnr.expand(len(z)) for logsnr in logsnrs]
    previous = None if before is None else Prediction(z, rows[0], before)
    return dpmpp_2m()(Prediction(z, rows[1], x0), rows[2], None, previous, None).numpy()


def solver(corrected=None, half=0.5, root=0.5, sign=1):
    """An answer to 6.4 with a changed correction, step, scale or sign."""

    def answer(z, x0, before, logsnrs):
        before_h, h = (logsnrs.diff() * half).tolist()
        if before is not None:
            right = x0 + h / 2 / before_h * (x0 - before)
            x0 = corrected(x0, before, h / before_h) if corrected else right
        alpha = torch.sigmoid(logsnrs[2]) ** root
        ratio = (torch.sigmoid(-logsnrs[2]) / torch.sigmoid(-logsnrs[1])) ** root
        return ratio * z - sign * alpha * math.expm1(-h) * x0

    return answer


def not_shrunk(z, x0, before, logsnrs):
    return solver_by_ddim(z, x0, before, logsnrs) + z * (
        1 - scales(logsnrs[2])[1] / scales(logsnrs[1])[1]
    )


def grown(z, x0, before, logsnrs):
    ratio = scales(logsnrs[2])[1] / scales(logsnrs[1])[1]
    return solver_by_ddim(z, x0, before, logsnrs) + z * (1 / ratio - ratio)


RIGHT = {
    "6.2": [ddim, ddim_by_logsnr, ddim_in_place],
    "6.3": [subset_by_loop, subset_by_numpy, subset_of_tensors],
    "6.4": [solver_by_ddim, solver_by_library, solver()],
    "6.5": [lambda: ("C", "2"), lambda: ["c", 2]],
    "6.6": [lambda: ("b", "2"), lambda: (" B ", "2")],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "6.2": {
        "the old noise is not reduced": lambda z, eps, t, s, eta, noise: (
            s**0.5 * clean(z, eps, t) + (1 - s) ** 0.5 * eps + eta * bayes(t, s) ** 0.5 * noise
        ),
        "eta is not squared": lambda z, eps, t, s, eta, noise: ddim(z, eps, t, s, eta**0.5, noise),
        "scaled by its variance": variance_for_deviation,
        "with abar_s": wrong_level,
        "of the forward jump": ddim_of(lambda t, s, eta: eta**2 * (1 - t / s)),
        "must vanish where abar_s = abar_t": ddim_of(lambda t, s, eta: eta**2 * t / s),
        "eta^2 / 3": ddim_of(lambda t, s, eta: torch.tensor(eta**2 / 3).double()),
        "written as 1/2": ddim_of(lambda t, s, eta: eta**2 * (1 - t / s) / 2),
        "not scaled by the root of abar_s": lambda z, eps, t, s, eta, noise: (
            ddim(z, eps, t, s, eta, noise) + (1 - s**0.5) * clean(z, eps, t)
        ),
        "the step with eta = 0": lambda z, eps, t, s, eta, noise: ddim(z, eps, t, s, 0.0, noise),
        "the step with eta = 1": lambda z, eps, t, s, eta, noise: ddim(z, eps, t, s, 1.0, noise),
        "not a finite number": lambda z, eps, t, s, eta, noise: ddim(z, eps, s, t, 2.0, noise),
        "is off by": lambda z, eps, t, s, eta, noise: z.zero_() + eps.zero_(),
    },
    "6.3": {
        "even in k": lambda logsnrs, n: torch.linspace(len(logsnrs) - 1, 0, n).round().long(),
        "from clean to noise": lambda logsnrs, n: subset_by_loop(logsnrs, n)[::-1],
        "is repeated": repeated,
        "does not begin": lambda logsnrs, n: subset_by_loop(logsnrs, n)[1:],
        "does not end": lambda logsnrs, n: subset_by_loop(logsnrs, n)[:-1],
        "no indices": lambda logsnrs, n: marks(logsnrs, n),
        "are floats": lambda logsnrs, n: torch.tensor(subset_by_loop(logsnrs, n)).double(),
        "give integers": lambda logsnrs, n: [float(k) for k in subset_by_loop(logsnrs, n)],
    },
    "6.4": {
        "this is DDIM": solver(lambda x0, before, r: x0),
        "extrapolates backwards": solver(lambda x0, before, r: x0 - r / 2 * (x0 - before)),
        "upside down": solver(lambda x0, before, r: x0 + (x0 - before) / r / 2),
        "the end of the step": solver(lambda x0, before, r: x0 + r * (x0 - before)),
        "as equally long": solver(lambda x0, before, r: x0 + (x0 - before) / 2),
        "looks backwards": solver(lambda x0, before, r: (x0 + before) / 2),
        "whole log-SNRs": solver(half=1.0),
        "lack their roots": solver(root=1.0),
        "the estimate has the wrong sign": solver(sign=-1),
        "is missing": not_shrunk,
        "it must shrink": grown,
        "'NoneType'": lambda z, x0, before, logsnrs: solver_by_ddim(z, x0, before + 0, logsnrs),
    },
    "6.5": {
        "a method of first order": lambda: ("B", "2"),
        "hardly moves": lambda: ("A", "1"),
        "and no floor": lambda: ("C", "3"),
        "irregular": lambda: ("E", "4"),
        "no option": lambda: ("F", "2"),
        "2 things": lambda: "C",
    },
    "6.6": {
        "that could repair it": lambda: ("a", "4"),
        "the same direction": lambda: ("b", "4"),
        "those already made": lambda: ("c", "2"),
        "a wrong z": lambda: ("d", "1"),
        "eq. 6.2": lambda: ("b", "3"),
    },
}
