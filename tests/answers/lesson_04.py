"""Answers to the exercises of lesson 04: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import math

import numpy as np
import torch

from minimagen.ddpm import q_posterior
from minimagen.denoiser import Denoiser
from minimagen.noise import from_betas


def jumped(x0, eps, k, betas, scales=lambda kept: (kept.sqrt(), (1 - kept).sqrt())):
    """x_t of each picture, by a loop."""
    kept = [scales(torch.tensor(left(betas, index)).double()) for index in k.tolist()]
    rows = [a * x + b * e for (a, b), x, e in zip(kept, x0, eps, strict=True)]
    return torch.stack(rows)


def loss_by_loop(net, x0, k, eps, betas):
    error = eps - net(jumped(x0, eps, k, betas), k)
    return [float((row**2).mean()) for row in error]


def loss_by_library(net, x0, k, eps, betas):
    denoiser = Denoiser(lambda z, logsnr: net(z, k), "eps")
    return denoiser.loss(x0, from_betas(betas)[k], eps)


def loss_in_place(net, x0, k, eps, betas):
    kept = (1 - betas).cumprod(0)[k].reshape(-1, *[1] * (x0.ndim - 1))
    x0 *= kept.sqrt()
    x0 += (1 - kept).sqrt() * eps
    eps -= net(x0, k)
    return (eps.flatten(1) ** 2).mean(1).numpy()


def loss_of(scales=None, aim="eps", over=lambda e: e.square().flatten(1).mean(1)):
    """An answer to 4.2 with other scales, another aim or another mean."""

    def answer(net, x0, k, eps, betas):
        x_t = jumped(x0, eps, k, betas, scales) if scales else jumped(x0, eps, k, betas)
        return over((eps if aim == "eps" else x0) - net(x_t, k))

    return answer


def loss_of_one_step(net, x0, k, eps, betas):
    beta = betas[k].reshape(-1, *[1] * (x0.ndim - 1))
    error = eps - net((1 - beta).sqrt() * x0 + beta.sqrt() * eps, k)
    return error.square().flatten(1).mean(1)


def loss_of_the_clean_picture(net, x0, k, eps, betas):
    return (eps - net(x0, k)).square().flatten(1).mean(1)


def loss_of_four_axes(net, x0, k, eps, betas):
    kept = (1 - betas).cumprod(0)[k].reshape(-1, 1, 1, 1)
    return (eps - net(kept.sqrt() * x0 + (1 - kept).sqrt() * eps, k)).square().flatten(1).mean(1)


def loss_of_zeroed_inputs(net, x0, k, eps, betas):
    x0.zero_()
    eps.zero_()
    return (eps - net(x0, k)).square().flatten(1).mean(1)


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


def mean_as_numpy(x, eps, k, betas):
    score, mean = mean_by_noise(x, eps, k, betas)
    return np.asarray(score), np.asarray(mean)


def mean_as_pair(x, eps, k, betas):
    return torch.stack(mean_by_noise(x, eps, k, betas))


def mean_in_place(x, eps, k, betas):
    eps /= -math.sqrt(1 - left(betas, k))
    x += betas[k] * eps
    x /= math.sqrt(1 - betas[k])
    return eps, x


def eps_in_place(x, abar, centres, shares, std):
    variance = abar * std**2 + 1 - abar
    centres *= abar**0.5
    error = x.unsqueeze(1) - centres
    shares.log_().sub_(0)
    chance = (shares - (error**2).sum(-1) / (2 * variance)).softmax(-1)
    return torch.einsum("bn,bnd->bd", chance, error) * (1 - abar) ** 0.5 / variance


def eps_with(abar=None, std=None):
    """Another abar or std than the task gives, written in."""
    return lambda x, a, centres, shares, s: mixture()(
        x, a if abar is None else abar, centres, shares, s if std is None else std
    )


RIGHT = {
    "4.2": [loss_by_loop, loss_by_library, loss_in_place],
    "4.3": [lambda: ("a", "3"), lambda: ["A", 3], lambda: [" a ", "3"]],
    "4.4": [eps_by_autograd, eps_by_loop, eps_in_place],
    "4.5": [mean_by_noise, mean_by_posterior, mean_as_numpy, mean_as_pair, mean_in_place],
    "4.6": [lambda: ("B", "2"), lambda: (" b ", 2)],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "4.2": {
        "scaled by its variance": loss_of(lambda kept: (kept.sqrt(), 1 - kept)),
        "the picture is scaled by abar": loss_of(lambda kept: (kept, (1 - kept).sqrt())),
        "both roots": loss_of(lambda kept: (kept, 1 - kept)),
        "exchanged their scales": loss_of(lambda kept: ((1 - kept).sqrt(), kept.sqrt())),
        "not shrunk": loss_of(lambda kept: (1, (1 - kept).sqrt())),
        "taken away in the jump": loss_of(lambda kept: (kept.sqrt(), -(1 - kept).sqrt())),
        "the noisy picture x_t, not the clean": loss_of_the_clean_picture,
        "the product of all steps": loss_of_one_step,
        "the step before": lambda net, x0, k, eps, betas: (
            (eps - net(jumped(x0, eps, k - 1, betas), k)).square().flatten(1).mean(1)
        ),
        "compares with the clean picture": loss_of(aim="x0"),
        "the sum over the pixels": loss_of(over=lambda e: e.square().flatten(1).sum(1)),
        "not squared": loss_of(over=lambda e: e.abs().flatten(1).mean(1)),
        "the root of the mean squared": loss_of(
            over=lambda e: e.square().flatten(1).mean(1).sqrt()
        ),
        "for the whole batch": loss_of(over=lambda e: e.square().mean()),
        "": loss_of_four_axes,
        "off": loss_of_zeroed_inputs,
    },
    "4.3": {
        "nearly the noise itself": lambda: ("c", "1"),
        "can be read off": lambda: ("b", "3"),
        "not equally well seen": lambda: ("d", "2"),
        "whose variance is always 1": lambda: ("a", "1"),
        "a good prediction does better": lambda: ("a", "2"),
    },
    "4.4": {
        "the prior": mixture(prior=False),
        "their logarithm": lambda x, abar, centres, shares, std: mixture()(
            x, abar, centres, shares.exp(), std
        ),
        "the chance of a component": mixture(in_chance=False),
        "the picture's own": mixture(in_noise=False),
        "not yet blurred": mixture(in_chance=False, in_noise=False),
        "not scaled by alpha": mixture(alpha=1.0),
        "alpha is its root": lambda x, abar, centres, shares, std: mixture(alpha=abar)(
            x, abar, centres, shares, std
        ),
        "the half": mixture(half=1.0),
        "divides by the standard deviation": mixture(power=0.5),
        "has its root": lambda x, abar, *rest: math.sqrt(1 - abar) * mixture()(x, abar, *rest),
        "the estimate of the clean picture": x0_of_mixture,
        "this is the score": lambda x, abar, *rest: (
            -mixture()(x, abar, *rest) / math.sqrt(1 - abar)
        ),
        "the nearest centre": eps_of_nearest,
        "without looking at x": eps_by_shares,
        "off by": eps_with(abar=0.6),
        "off": eps_with(std=0.7),
    },
    "4.5": {
        "points away": lambda x, eps, k, betas: mean_by_noise(x, -eps, k, betas),
        "the variance": lambda x, eps, k, betas: (
            -eps / (1 - left(betas, k)),
            mean_by_noise(x, eps, k, betas)[1],
        ),
        "this does not": lambda x, eps, k, betas: (-eps, mean_by_noise(x, eps, k, betas)[1]),
        "multiplies by it": lambda x, eps, k, betas: (
            -eps * math.sqrt(1 - left(betas, k)),
            mean_by_noise(x, eps, k, betas)[1],
        ),
        "divides by alpha": lambda x, eps, k, betas: (
            -eps / math.sqrt(left(betas, k)),
            mean_by_noise(x, eps, k, betas)[1],
        ),
        "the step before": lambda x, eps, k, betas: (
            mean_by_noise(x, eps, k - 1, betas)[0],
            mean_by_noise(x, eps, k, betas)[1],
        ),
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
        "off": lambda x, eps, k, betas: mean_by_noise(x, eps, 20, betas),
    },
    "4.6": {
        "the samples come together": lambda: ("A", "1"),
        "a far point": lambda: ("C", "3"),
        "out of the frame": lambda: ("D", "4"),
        "draws the letter": lambda: ("E", "5"),
        "less widely than the data": lambda: ("B", "1"),
        "the steps are told rightly": lambda: ("B", "3"),
    },
}
