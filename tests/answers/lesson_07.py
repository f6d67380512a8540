"""Answers to the exercises of lesson 07: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import math

import torch

from minimagen.guidance import classifier_guided
from minimagen.noise import alpha_sigma


def scales(logsnr):
    alpha, sigma = alpha_sigma(logsnr, 4)
    return alpha, sigma


def sigma_of(logsnr):
    return scales(logsnr)[1]


def eps_by_score(eps, toward, away, logsnr, scale):
    sigma = sigma_of(logsnr)
    return -sigma * (-eps / sigma + scale * toward - scale * away)


def eps_by_loop(eps, toward, away, logsnr, scale):
    rows = zip(eps, toward, away, logsnr.tolist(), strict=True)
    return torch.stack(
        [e - scale / math.sqrt(1 + math.exp(level)) * (t - a) for e, t, a, level in rows]
    )


def log_p(classifier, z, logsnr, labels):
    return classifier(z, logsnr).log_softmax(1)[torch.arange(len(z)), labels]


def tracked(function):
    """The answer that `function` of (classifier, z that asks for its gradient, logsnr, labels) is,
    with gradients on.
    """

    def answer(classifier, z, logsnr, labels):
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            return torch.autograd.grad(function(classifier, z, logsnr, labels), z)[0]

    return answer


def slope_by_loss(classifier, z, logsnr, labels):
    z = z.clone().detach()
    with torch.enable_grad():
        z.requires_grad = True
        torch.nn.functional.cross_entropy(classifier(z, logsnr), labels, reduction="sum").backward()
    return -z.grad


def slope_by_library(classifier, z, logsnr, labels):
    alpha, sigma = scales(logsnr)

    def nothing(z, logsnr):
        return type("Zero", (), {"x0": torch.zeros_like(z)})

    return alpha / sigma**2 * classifier_guided(nothing, classifier, labels, 1.0)(z, logsnr).x0


def slope_without_switch(classifier, z, logsnr, labels):
    z = z.detach().requires_grad_()
    return torch.autograd.grad(log_p(classifier, z, logsnr, labels).sum(), z)[0]


def slope_that_marks_z(classifier, z, logsnr, labels):
    with torch.enable_grad():
        return torch.autograd.grad(log_p(classifier, z.requires_grad_(), logsnr, labels).sum(), z)[
            0
        ]


def v_by_parts(v, slope, logsnr, scale):
    alpha, sigma = scales(logsnr)
    z = torch.zeros_like(v)  # any z gives the same
    eps, x0 = sigma * z + alpha * v, alpha * z - sigma * v
    return alpha * (eps - scale * sigma * slope) - sigma * (x0 + scale * sigma**2 / alpha * slope)


RIGHT = {
    "7.1": [eps_by_score, eps_by_loop],
    "7.2": [tracked(lambda *row: log_p(*row).sum()), slope_by_loss, slope_by_library],
    "7.3": [
        lambda p, q: torch.logit(q) / torch.logit(p),
        lambda p, q: (q / (1 - q)).log() / (p.log() - (1 - p).log()),
    ],
    "7.4": [
        v_by_parts,
        lambda v, g, lam, scale: v - scale * torch.exp(-lam / 2).reshape(-1, 1, 1, 1) * g,
    ],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "7.1": {
        "the sign": lambda e, t, a, lam, k: e + k * sigma_of(lam) * (t - a),
        "the picture's alpha": lambda e, t, a, lam, k: e - k * scales(lam)[0] * (t - a),
        "the variance sigma^2": lambda e, t, a, lam, k: e - k * sigma_of(lam) ** 2 * (t - a),
        "sigma is missing": lambda e, t, a, lam, k: e - k * (t - a),
        "the scale is missing": lambda e, t, a, lam, k: e - sigma_of(lam) * (t - a),
        "one of the two gradients only": lambda e, t, a, lam, k: e - sigma_of(lam) * (k * t - a),
        "is ignored": lambda e, t, a, lam, k: e - k * sigma_of(lam) * t,
        "towards both": lambda e, t, a, lam, k: e - k * sigma_of(lam) * (t + a),
        "along the width": lambda e, t, a, lam, k: e - k * torch.sigmoid(-lam).sqrt() * (t - a),
    },
    "7.2": {
        "of the probability": tracked(lambda *row: log_p(*row).exp().sum()),
        "of the logit": tracked(lambda f, z, lam, c: f(z, lam)[torch.arange(len(z)), c].sum()),
        "points away": tracked(lambda *row: -log_p(*row).sum()),
        "mean over the batch": tracked(lambda *row: log_p(*row).mean()),
        "of every class": tracked(lambda f, z, lam, c: f(z, lam).log_softmax(1).sum()),
        "labels of all rows": tracked(lambda f, z, lam, c: f(z, lam).log_softmax(1)[:, c].sum()),
        "changed the z": slope_that_marks_z,
        "torch.enable_grad()": slope_without_switch,
    },
    "7.3": {
        "quotient of the probabilities": lambda p, q: q / p,
        "no probability": lambda p, q: q.log() / p.log(),
        "quotient of the odds": lambda p, q: (q / (1 - q)) / (p / (1 - p)),
        "upside down": lambda p, q: torch.logit(p) / torch.logit(q),
        "difference of the log-odds": lambda p, q: torch.logit(q) - torch.logit(p),
    },
    "7.4": {
        "the shift of eps": lambda v, g, lam, k: v - k * sigma_of(lam) * g,
        "the shift of x0": lambda v, g, lam, k: v + k * sigma_of(lam) ** 2 / scales(lam)[0] * g,
        "moves eps inside v": lambda v, g, lam, k: v - k * scales(lam)[0] * sigma_of(lam) * g,
        "moves x0 inside v": lambda v, g, lam, k: v - k * sigma_of(lam) ** 3 / scales(lam)[0] * g,
        "the sign": lambda v, g, lam, k: v + k * sigma_of(lam) / scales(lam)[0] * g,
        "the two parts add up": lambda v, g, lam, k: (
            v_by_parts(v, g, lam, k) + 2 * k * sigma_of(lam) ** 3 / scales(lam)[0] * g
        ),
        "the scale is missing": lambda v, g, lam, k: v - sigma_of(lam) / scales(lam)[0] * g,
    },
}
