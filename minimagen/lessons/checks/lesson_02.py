"""The exercises of lesson 02: the forward process."""

import torch

from minimagen.ddpm import cosine_betas, linear_betas
from minimagen.lessons.checks import exercise, parts, same
from minimagen.lessons.checks.inputs import normal


@exercise("2.1", points=2, minutes=5)
def ex_2_1(diffuse) -> None:
    """diffuse(x0, abar, eps) -> x_t, equation 2.6;
    x0, eps (B, 3, H, W), abar (B,), one noise level a picture.
    """
    x0, eps, abar = (
        normal(3, 3, 3, 3, seed=21),
        normal(3, 3, 3, 3, seed=22),
        torch.tensor([0.9, 0.5, 0.04]).double(),
    )
    a = abar.reshape(3, 1, 1, 1)
    faults = {
        "this scales the noise by the variance 1 - abar; the scale is its root (eq. 2.6)": a.sqrt()
        * x0
        + (1 - a) * eps,
        "this scales the picture by abar; the scale is its root (eq. 2.6)": a * x0
        + (1 - a).sqrt() * eps,
        "both roots of eq. 2.6 are missing": a * x0 + (1 - a) * eps,
        "picture and noise have exchanged their scales": (1 - a).sqrt() * x0 + a.sqrt() * eps,
        "the picture keeps its full scale; it must shrink as the noise grows (eq. 2.6)": x0
        + (1 - a).sqrt() * eps,
        "abar lies along the width; reshape it to (B, 1, 1, 1), one a picture": abar.sqrt() * x0
        + (1 - abar).sqrt() * eps,
    }
    same(diffuse(x0, abar, eps), a.sqrt() * x0 + (1 - a).sqrt() * eps, faults, what="x_t")


@exercise("2.2", points=2, minutes=5)
def ex_2_2(abar_of) -> None:
    """abar_of(betas) -> abar (T,):
    the share of the picture's variance that is left after each step, equation 2.5.
    """
    betas = linear_betas(50) * 5
    keep = 1 - betas
    faults = {
        "this is 1 - beta of each step alone; abar is the product of all steps so far (eq. "
        "2.5)": keep,
        "this multiplies the roots; abar is the product of 1 - beta itself (eq. "
        "2.5)": keep.sqrt().cumprod(0),
        "this is the product of beta; what is left after a step is 1 - beta": betas.cumprod(0),
        "this adds up the betas; what is left is a product, not a sum": 1 - betas.cumsum(0),
        "this begins one step too early: entry 0 is what is left after the first step, 1 - "
        "beta_1": torch.cat([keep.new_ones(1), keep.cumprod(0)[:-1]]),
        "this is 1 - abar, the variance of the noise": 1 - keep.cumprod(0),
    }
    same(abar_of(betas), keep.cumprod(0), faults, what="abar")


@exercise("2.3", points=3, minutes=10)
def ex_2_3(betas_of) -> None:
    """betas_of(T) -> betas (T,):
    the cosine schedule as a table, equations 2.10 and 2.11, no beta above 0.999.
    """
    steps = 40
    f = torch.cos((torch.linspace(0, 1, steps + 1).double() + 0.008) / 1.008 * torch.pi / 2) ** 2
    no_offset = torch.cos(torch.linspace(0, 1, steps + 1).double() * torch.pi / 2) ** 2
    ratio = f[1:] / f[:-1]
    faults = {
        "the last beta is not limited: it must be 0.999 at most (eq. 2.11)": 1 - ratio,
        "this is f(k/T)/f((k-1)/T) itself; beta is what a step takes away, 1 minus it": ratio,
        "this is 1 - abar, the noise of all the steps; beta is that of one (eq. 2.11)": (
            1 - f[1:] / f[0]
        ).clamp(max=0.999),
        "the square of the cosine is missing (eq. 2.10)": (1 - ratio.sqrt()).clamp(max=0.999),
        "the offset s = 0.008 is missing (eq. 2.10)": (1 - no_offset[1:] / no_offset[:-1]).clamp(
            max=0.999
        ),
    }
    mine = betas_of(steps)
    same(mine, cosine_betas(steps), faults, what="the table of betas")
    same(betas_of(7), cosine_betas(7), what="the table for T = 7")


@exercise("2.4", points=3, minutes=10)
def ex_2_4(jump_between) -> None:
    """jump_between(abar_s, abar_t) -> (scale, variance) of q(x_t | x_s) = N(scale x_s, variance I),
    equation 2.4.
    """
    abar_s, abar_t = torch.tensor([0.9, 0.5]).double(), torch.tensor([0.6, 0.3]).double()
    ratio = abar_t / abar_s
    scale, variance = parts(jump_between(abar_s, abar_t), "the scale", "the variance")
    scales = {
        "the scale is the root of abar_t / abar_s (eq. 2.4)": ratio,
        "the ratio is upside down: abar_t is the smaller one": 1 / ratio.sqrt(),
        "this is the scale of the jump from the clean picture; divide by what is left at s (eq. "
        "2.4)": abar_t.sqrt(),
    }
    variances = {
        "this is the deviation; the variance has no root (eq. 2.4)": (1 - ratio).sqrt(),
        "this is the noise of the jump from the clean picture; part of it was there at s already": 1
        - abar_t,
        "differences of 1 - abar forget that the jump also shrinks the noise that was there at "
        "s": abar_s - abar_t,
        "this is the scale squared; the variance is 1 minus it (eq. 2.4)": ratio,
    }
    same(scale, ratio.sqrt(), scales, what="the scale")
    same(variance, 1 - ratio, variances, what="the variance")
