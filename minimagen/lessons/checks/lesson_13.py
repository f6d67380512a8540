"""The exercises of lesson 13: super-resolution and noise augmentation."""

import math

import torch

from minimagen.lessons.checks import exercise, parts, same
from minimagen.lessons.checks.inputs import normal
from minimagen.noise import alpha_sigma, cosine


@exercise("13.1", points=2, minutes=8)
def ex_13_1(top_up) -> None:
    """top_up(picture, level, tau2, eps) -> (noisy picture, logsnr (B,)):
    a picture with white noise tau2 to the law 13.9.

    picture, eps (B, 3, h, h); level (B,) times of the cosine schedule; tau2 a number.
    """
    picture, eps = normal(3, 3, 3, 3, seed=131), normal(3, 3, 3, 3, seed=132)
    level, tau2 = torch.tensor([0.4, 0.6, 0.9]).double(), 0.3
    logsnr = cosine(level)
    alpha, sigma = alpha_sigma(logsnr, 4)
    missing = (sigma**2 - alpha**2 * tau2).sqrt()
    noisy, mine = parts(top_up(picture, level, tau2, eps), "the noisy picture", "the log-SNR")
    faults = {
        "the noise of the level is added in full; some of it is there already": alpha * picture
        + sigma * eps,
        "the noise in the picture shrinks with it: its variance becomes alpha^2 tau^2": alpha
        * picture
        + (sigma**2 - tau2).clamp(min=0).sqrt() * eps,
        "alpha multiplies a variance: it must be squared": alpha * picture
        + (sigma**2 - alpha * tau2).clamp(min=0).sqrt() * eps,
        "deviations do not subtract; variances do": alpha * picture
        + (sigma - alpha * tau2**0.5) * eps,
        "this is the variance of the missing noise; eps takes its root": alpha * picture
        + missing**2 * eps,
        "the picture itself is not scaled by alpha (eq. 13.9)": picture + missing * eps,
        "tau2 is a variance already; it is not to be squared": alpha * picture
        + (sigma**2 - alpha**2 * tau2**2).sqrt() * eps,
    }
    same(noisy, alpha * picture + missing * eps, faults, what="the noisy picture")
    faults = {
        "this is the level, a time; the network is told its log-SNR": level,
        "the sign of the log-SNR is wrong: it falls as the level grows": -logsnr,
    }
    same(mine, logsnr, faults, what="the log-SNR")


@exercise("13.2", points=2, minutes=5)
def ex_13_2(decibels_of) -> None:
    """decibels_of(pictures, truth) -> (B,) PSNR of each picture, cut off at [-1, 1], equation 13.7;
    both (B, C, H, W).
    """
    truth = normal(3, 3, 4, 4, seed=133).clamp(-1, 1)
    scale = torch.tensor([0.05, 0.3, 0.8]).double().reshape(3, 1, 1, 1)
    pictures = truth + scale * normal(3, 3, 4, 4, seed=134)
    error = (pictures.clamp(-1, 1) - truth).square()
    mse, raw = error.mean((1, 2, 3)), (pictures - truth).square().mean((1, 2, 3))
    right = 10 * torch.log10(4 / mse)
    faults = {
        "the peak is 2, from -1 to 1; this takes 1 and is 6.02 dB too low": right
        - 10 * math.log10(4),
        "the peak is squared in 13.7: 4, not 2": right - 10 * math.log10(2),
        "a screen cuts the pictures off at -1 and 1, before anything else": 10
        * torch.log10(4 / raw),
        "this is upside down: better pictures must have more decibels": -right,
        "20 belongs to the root of the mean squared error, 10 to the error itself": 2 * right,
        "this is the natural logarithm; decibels count in powers of 10": right * math.log(10),
        "the mean runs over the batch too; each picture has a PSNR of its own": (
            10 * torch.log10(4 / error.mean())
        ).expand(3),
        "this sums the squares; 13.7 takes their mean": right - 10 * math.log10(48),
    }
    same(decibels_of(pictures, truth), right, faults, what="the PSNR")


@exercise("13.3", points=3, minutes=12)
def ex_13_3(agree) -> None:
    """agree(x, y, R) -> the nearest signals (B, N) to x (B, N)
    whose small copies R x' are y (B, n); R (n, N) of rank n.
    """
    x, y = normal(2, 6, seed=135), normal(2, 3, seed=136)
    matrix = normal(3, 6, seed=137)
    off, square = y - x @ matrix.T, matrix @ matrix.T
    right = x + torch.linalg.solve(square, off.T).T @ matrix
    faults = {
        "this carries the error back by the adjoint alone; R R^T is not the identity": x
        + off @ matrix,
        "the sign is wrong: the small copy now is twice as far from y": 2 * x - right,
        "this agrees with y and forgets x: only what R sees may change": torch.linalg.solve(
            square, y.T
        ).T
        @ matrix,
        "nothing was changed": x,
        "the small copy of x must be taken away from y first": x
        + torch.linalg.solve(square, y.T).T @ matrix,
        "this stops half way to y": (x + right) / 2,
    }
    same(agree(x, y, matrix), right, faults, what="the signals")


@exercise("13.4", points=3, minutes=12)
def ex_13_4(best_level) -> None:
    """best_level(tau2, nu) -> the augmentation levels (B,) with the smallest error 13.16,
    times of the cosine schedule.
    """
    tau2, nu = torch.tensor([0.05, 0.4, 0.7, 1.0, 3.0]).double(), 0.2
    best = (2 * tau2 - 1 - nu).clamp(min=0)
    right = _time(best)
    faults = {
        "this is the level for telling alone (eq. 13.15); where noise is added, u = 2 tau^2": _time(
            tau2
        ),
        "s = u - 1 - nu: this takes u for s": _time(2 * tau2),
        "nu is forgotten: u starts at 1 + nu": _time((2 * tau2 - 1).clamp(min=0)),
        "where 2 tau^2 is below 1 + nu, no noise is best: level 0": torch.where(
            best > 0, right, torch.nan
        ),
        "below the threshold the level is 0, not the mirror of the best one": _time(
            (2 * tau2 - 1 - nu).abs()
        ),
        "s is sigma^2 / alpha^2, the square of the tangent, and not sigma^2": best.clamp(max=1)
        .sqrt()
        .asin()
        / (math.pi / 2),
        "the tangent is squared in e^-lambda = s: take the root of s first": best.atan()
        / (math.pi / 2),
        "this is s, a variance; the level is a time in [0, 1]": best,
        "this is the angle; the level is its share of the way from l to h": best.sqrt().atan(),
    }
    mine = best_level(tau2, nu)
    if isinstance(mine, torch.Tensor) and mine.isnan().any():
        mine = torch.where(mine.isnan(), -1.0, mine)
        faults = {
            sentence: torch.where(torch.as_tensor(result).isnan(), -1.0, result)
            for sentence, result in faults.items()
        }
    same(mine, right, faults, tolerance=2e-4, what="the level")


def _time(s: torch.Tensor) -> torch.Tensor:
    """The time t of the cosine schedule with e^-lambda(t) = s."""
    low, high = math.atan(math.exp(-10)), math.atan(math.exp(10))
    return ((s.sqrt().atan() - low) / (high - low)).clamp(min=0)
