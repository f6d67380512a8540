"""Answers to the exercises of lesson 04: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import math

import torch

from minimagen.ddpm import q_posterior
from minimagen.noise import alpha_sigma


def x0_by_ratio(z, logsnr, eps):
    logsnr = logsnr[:, None, None, None]
    return (1 + torch.exp(-logsnr)).sqrt() * z - torch.exp(-logsnr / 2) * eps


def x0_by_loop(z, logsnr, eps):
    pictures = []
    for one, lam, noise in zip(z, logsnr.tolist(), eps, strict=True):
        abar = 1 / (1 + math.exp(-lam))
        pictures.append((one - math.sqrt(1 - abar) * noise) / math.sqrt(abar))
    return torch.stack(pictures)


def scales(logsnr):
    return alpha_sigma(logsnr, 4)


def left(betas, k):
    return math.prod((1 - betas[: k + 1]).tolist())


def mean_by_noise(x, eps, k, betas):
    sigma = math.sqrt(1 - left(betas, k))
    return -eps / sigma, (x - betas[k] / sigma * eps) / math.sqrt(1 - betas[k])


def mean_by_posterior(x, eps, k, betas):
    abar = left(betas, k)
    x0 = (x - math.sqrt(1 - abar) * eps) / math.sqrt(abar)
    mean, _ = q_posterior(x0, x, torch.full((len(x),), k), betas)
    return (math.sqrt(abar) * x0 - x) / (1 - abar), mean


def means(change):
    """The right score, and a mean that `change` makes from x, eps, score, beta, sigma, abar."""

    def answer(x, eps, k, betas):
        abar = left(betas, k)
        sigma = math.sqrt(1 - abar)
        return -eps / sigma, change(x, eps, -eps / sigma, betas[k], sigma, abar)

    return answer


def eps_by_autograd(x, abar, centres, shares, std):
    x = x.clone().requires_grad_()
    component = torch.distributions.Normal(
        math.sqrt(abar) * centres, math.sqrt(abar * std**2 + 1 - abar)
    )
    log_p = (shares.log() + component.log_prob(x[:, None]).sum(2)).logsumexp(1)
    return -math.sqrt(1 - abar) * torch.autograd.grad(log_p.sum(), x)[0]


def eps_by_loop(x, abar, centres, shares, std):
    variance, rows = abar * std**2 + 1 - abar, []
    for row in x:
        errors = [row - math.sqrt(abar) * centre for centre in centres]
        chances = [
            share * math.exp(-float(e @ e) / (2 * variance))
            for share, e in zip(shares.tolist(), errors, strict=True)
        ]
        total = sum(c * e for c, e in zip(chances, errors, strict=True)) / sum(chances)
        rows.append(math.sqrt(1 - abar) * total / variance)
    return torch.stack(rows)


def mixture(in_chance=True, in_noise=True, alpha=None, prior=True, power=1.0, half=2.0):
    """An answer to 4.3 that leaves out or changes what its arguments say."""

    def answer(x, abar, centres, shares, std):
        noise = 1 - abar
        total = abar * std**2 + noise
        error = x[:, None] - (math.sqrt(abar) if alpha is None else alpha) * centres
        exponent = -error.square().sum(2) / (half * (total if in_chance else noise))
        chance = (exponent + (shares.log() if prior else 0)).softmax(1)
        return (
            math.sqrt(noise)
            * (chance[:, :, None] * error).sum(1)
            / (total if in_noise else noise) ** power
        )

    return answer


def eps_of_nearest(x, abar, centres, shares, std):
    error = x[:, None] - math.sqrt(abar) * centres
    best = error.square().sum(2).argmin(1)
    return math.sqrt(1 - abar) / (abar * std**2 + 1 - abar) * error[torch.arange(len(x)), best]


def eps_by_shares(x, abar, centres, shares, std):
    return (
        math.sqrt(1 - abar)
        / (abar * std**2 + 1 - abar)
        * (x - math.sqrt(abar) * (shares[:, None] * centres).sum(0))
    )


def x0_of_mixture(x, abar, centres, shares, std):
    return (x - math.sqrt(1 - abar) * mixture()(x, abar, centres, shares, std)) / math.sqrt(abar)


RIGHT = {
    "4.1": [x0_by_ratio, x0_by_loop],
    "4.2": [mean_by_noise, mean_by_posterior],
    "4.3": [eps_by_autograd, eps_by_loop],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "4.1": {
        "still shrunk": lambda z, logsnr, eps: z - scales(logsnr)[1] * eps,
        "noise of deviation 1": lambda z, logsnr, eps: (z - eps) / scales(logsnr)[0],
        "takes away sigma^2 eps": lambda z, logsnr, eps: (
            (z - scales(logsnr)[1] ** 2 * eps) / scales(logsnr)[0]
        ),
        "divides by alpha^2": lambda z, logsnr, eps: (
            (z - scales(logsnr)[1] * eps) / scales(logsnr)[0] ** 2
        ),
        "both roots": lambda z, logsnr, eps: (
            (z - scales(logsnr)[1] ** 2 * eps) / scales(logsnr)[0] ** 2
        ),
        "exchanged places": lambda z, logsnr, eps: x0_by_ratio(z, -logsnr, eps),
        "added once more": lambda z, logsnr, eps: x0_by_ratio(z, logsnr, -eps),
        "along the width": lambda z, logsnr, eps: (
            (1 + torch.exp(-logsnr)).sqrt() * z - torch.exp(-logsnr / 2) * eps
        ),
    },
    "4.2": {
        "points away": lambda x, eps, k, betas: mean_by_noise(x, -eps, k, betas),
        "the variance": lambda x, eps, k, betas: (-eps / (1 - left(betas, k)), x),
        "this does not": lambda x, eps, k, betas: (-eps, x),
        "multiplies by it": lambda x, eps, k, betas: (-eps * math.sqrt(1 - left(betas, k)), x),
        "divides by alpha": lambda x, eps, k, betas: (-eps / math.sqrt(left(betas, k)), x),
        "the step before": lambda x, eps, k, betas: mean_by_noise(x, eps, k - 1, betas),
        "moves up the score": means(
            lambda x, eps, score, beta, sigma, abar: (x - beta * score) / math.sqrt(1 - beta)
        ),
        "sigma cancels": means(
            lambda x, eps, score, beta, sigma, abar: (
                (x + beta / sigma * score) / math.sqrt(1 - beta)
            )
        ),
        "not to the noise itself": means(
            lambda x, eps, score, beta, sigma, abar: (x - beta * eps) / math.sqrt(1 - beta)
        ),
        "not rescaled": means(lambda x, eps, score, beta, sigma, abar: x + beta * score),
        "rescales by alpha": means(
            lambda x, eps, score, beta, sigma, abar: (x + beta * score) / math.sqrt(abar)
        ),
        "rescales by 1 - beta": means(
            lambda x, eps, score, beta, sigma, abar: (x + beta * score) / (1 - beta)
        ),
        "x0 hat": means(
            lambda x, eps, score, beta, sigma, abar: (x - sigma * eps) / math.sqrt(abar)
        ),
        "2 things": lambda x, eps, k, betas: mean_by_noise(x, eps, k, betas)[0],
    },
    "4.3": {
        "the prior": mixture(prior=False),
        "the chance of a component": mixture(in_chance=False),
        "the picture's own": mixture(in_noise=False),
        "not yet blurred": mixture(in_chance=False, in_noise=False),
        "not scaled by alpha": mixture(alpha=1.0),
        "the half": mixture(half=1.0),
        "divides by the deviation": mixture(power=0.5),
        "has its root": lambda x, abar, *rest: math.sqrt(1 - abar) * mixture()(x, abar, *rest),
        "the estimate of the clean picture": x0_of_mixture,
        "this is the score": lambda x, abar, *rest: (
            -mixture()(x, abar, *rest) / math.sqrt(1 - abar)
        ),
        "the nearest centre": eps_of_nearest,
        "without looking at x": eps_by_shares,
    },
}
