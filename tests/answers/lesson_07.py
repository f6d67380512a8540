"""Answers to the exercises of lesson 07: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import math

import torch

from minimagen.guidance import classifier_guided
from minimagen.noise import alpha_sigma


def scales(logsnr):
    return alpha_sigma(logsnr, 4)


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


def slope_by_loop(classifier, z, logsnr, labels):
    rows = []
    for i in range(len(z)):
        with torch.enable_grad():
            row = z[i : i + 1].clone().requires_grad_()
            value = log_p(classifier, row, logsnr[i : i + 1], labels[i : i + 1])
            rows.append(torch.autograd.grad(value.sum(), row)[0][0])
    return rows


def slope_by_library(classifier, z, logsnr, labels):
    alpha, sigma = alpha_sigma(logsnr, z.ndim)

    def nothing(z, logsnr):
        return type("Zero", (), {"x0": torch.zeros_like(z)})

    return alpha / sigma**2 * classifier_guided(nothing, classifier, labels, 1.0)(z, logsnr).x0


def slope_by_backward(classifier, z, logsnr, labels):
    z = z.clone().detach()
    with torch.enable_grad():
        z.requires_grad = True
        torch.nn.functional.cross_entropy(classifier(z, logsnr), labels, reduction="sum").backward()
    return -z.grad


def slope_without_switch(classifier, z, logsnr, labels):
    z = z.detach().requires_grad_()
    return torch.autograd.grad(log_p(classifier, z, logsnr, labels).sum(), z)[0]


def slope_that_marks_z(classifier, z, logsnr, labels):
    with torch.enable_grad():
        total = log_p(classifier, z.requires_grad_(), logsnr, labels).sum()
        return torch.autograd.grad(total, z)[0]


def slope_of_unit_length(*arguments):
    slope = slope_by_library(*arguments)
    return slope / slope.flatten(1).norm(dim=1).reshape(-1, *[1] * (slope.ndim - 1))


def v_by_parts(v, toward, away, logsnr, scale):
    alpha, sigma = scales(logsnr)
    z, slope = torch.zeros_like(v), toward - away  # any z gives the same
    eps, x0 = sigma * z + alpha * v, alpha * z - sigma * v
    return alpha * (eps - scale * sigma * slope) - sigma * (x0 + scale * sigma**2 / alpha * slope)


def v_by_loop(v, toward, away, logsnr, scale):
    rows = zip(v, toward, away, logsnr.tolist(), strict=True)
    return [one - scale * math.exp(-level / 2) * (c - d) for one, c, d, level in rows]


def v_in_place(v, toward, away, logsnr, scale):
    toward -= away
    toward *= scale * torch.exp(-logsnr / 2)[:, None, None, None]
    v -= toward
    return v.numpy()


def v_by(change):
    """An answer to 7.4 that moves v by change(alpha, sigma, scale, toward, away)."""
    return lambda v, c, d, logsnr, scale: v + change(*scales(logsnr), scale, c, d)


def v_along_the_width(v, toward, away, logsnr, scale):
    factor = torch.exp(-logsnr / 2)
    width = factor[[i % len(factor) for i in range(v.shape[-1])]]
    return v - scale * width * (toward - away)


RIGHT = {
    "7.1": [tracked(lambda *row: log_p(*row).sum()), slope_by_loop, slope_by_library],
    "7.2": [lambda: ("b", "2"), lambda: ["B", 2]],
    "7.4": [v_by_parts, v_by_loop, v_in_place],
    "7.5": [
        lambda p, q: torch.logit(q) / torch.logit(p),
        lambda p, q: ((q / (1 - q)).log() / (p.log() - (1 - p).log())).tolist(),
    ],
    "7.6": [lambda: ("E", "5"), lambda: (" e", "5 ")],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "7.1": {
        "of the probability": tracked(lambda *row: log_p(*row).exp().sum()),
        "of the logit": tracked(lambda f, z, lam, c: f(z, lam)[torch.arange(len(z)), c].sum()),
        "points away": tracked(lambda *row: -log_p(*row).sum()),
        "mean over the batch": tracked(lambda *row: log_p(*row).mean()),
        "of every class": tracked(lambda f, z, lam, c: f(z, lam).log_softmax(1).sum()),
        "labels of all rows": tracked(lambda f, z, lam, c: f(z, lam).log_softmax(1)[:, c].sum()),
        "label of the first row": tracked(
            lambda f, z, lam, c: f(z, lam).log_softmax(1)[:, c[0]].sum()
        ),
        "by its length": slope_of_unit_length,
        "changed the z": slope_that_marks_z,
        "torch.enable_grad()": slope_without_switch,
        "the classifier's own weights": slope_by_backward,
    },
    "7.2": {
        "move the border": lambda: ("a", "1"),
        "how steep": lambda: ("c", "2"),
        "not the clean one": lambda: ("d", "2"),
        "another question": lambda: ("b", "3"),
        "no linear function": lambda: ("b", "4"),
    },
    "7.4": {
        "the shift of eps": v_by(lambda alpha, sigma, k, c, d: -k * sigma * (c - d)),
        "the shift of x0": v_by(lambda alpha, sigma, k, c, d: k * sigma**2 / alpha * (c - d)),
        "moves eps inside v": v_by(lambda alpha, sigma, k, c, d: -k * alpha * sigma * (c - d)),
        "moves x0 inside v": v_by(lambda alpha, sigma, k, c, d: -k * sigma**3 / alpha * (c - d)),
        "the sign of the shift": v_by(lambda alpha, sigma, k, c, d: k * sigma / alpha * (c - d)),
        "the two parts add up": v_by(
            lambda alpha, sigma, k, c, d: k * (sigma**3 / alpha - alpha * sigma) * (c - d)
        ),
        "upside down": v_by(lambda alpha, sigma, k, c, d: -k * alpha / sigma * (c - d)),
        "alpha squared": v_by(lambda alpha, sigma, k, c, d: -k * sigma / alpha**2 * (c - d)),
        "the scale is missing": v_by(lambda alpha, sigma, k, c, d: -sigma / alpha * (c - d)),
        "lost its sign": v_by(lambda alpha, sigma, k, c, d: -abs(k) * sigma / alpha * (c - d)),
        "one of the two gradients only": v_by(
            lambda alpha, sigma, k, c, d: -sigma / alpha * (k * c - d)
        ),
        "is ignored": v_by(lambda alpha, sigma, k, c, d: -k * sigma / alpha * c),
        "towards both": v_by(lambda alpha, sigma, k, c, d: -k * sigma / alpha * (c + d)),
        "along the width": v_along_the_width,
        "is off by": v_by(lambda alpha, sigma, k, c, d: -3.0 * sigma / alpha * (c - d)),
    },
    "7.5": {
        "quotient of the probabilities": lambda p, q: q / p,
        "no probability": lambda p, q: q.log() / p.log(),
        "quotient of the odds": lambda p, q: (q / (1 - q)) / (p / (1 - p)),
        "upside down": lambda p, q: torch.logit(p) / torch.logit(q),
        "difference of the log-odds": lambda p, q: torch.logit(q) - torch.logit(p),
        "lost its sign": lambda p, q: (torch.logit(q) / torch.logit(p)).abs(),
        "is allowed": lambda p, q: (torch.logit(q) / torch.logit(p)).clamp(min=0),
        "is off by": lambda p, q: 3.3 + 0 * p,
    },
    "7.6": {
        "all classes would be there": lambda: ("A", "1"),
        "away from the squares": lambda: ("B", "2"),
        "into empty space": lambda: ("D", "4"),
        "come together": lambda: ("C", "3"),
        "two places": lambda: ("E", "3"),
        "about their shapes": lambda: ("E", "4"),
    },
}
