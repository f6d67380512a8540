"""Lesson 03. The discrete process of DDPM: tables of beta, and the step back when x0 is known.

Steps are counted k = 0..T-1 (the papers' t = 1..T); abar_k = prod_{i <= k} (1 - beta_i), and abar
before the first step is 1.

>>> betas = linear_betas(1000)
>>> x0, x_k = torch.zeros(2, 3), torch.ones(2, 3)
>>> mean, variance = q_posterior(x0, x_k, torch.tensor([0, 999]), betas)
>>> mean.shape, variance.shape
(torch.Size([2, 3]), torch.Size([2, 1]))
>>> [round(value, 3) for value in mean[:, 0].tolist()]  # the first step lands on x0 itself
[0.0, 0.99]
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from minimagen.noise import expand, from_betas


def linear_betas(T: int = 1000) -> Tensor:
    """beta from 1e-4 to 0.02 in T equal steps -> (T,) float64.

    The ends are not rescaled with T: `linear_betas(100)` leaves abar = 0.3636, which is not noise
    yet (lesson 02). Raises `ValueError` when T is not a positive integer. Source: DDPM, section 4.
    Lesson 03.
    """
    return torch.linspace(1e-4, 0.02, _count(T), dtype=torch.float64)


def cosine_betas(T: int = 1000, s: float = 0.008, max_beta: float = 0.999) -> Tensor:
    """beta_k = min(1 - f((k+1) / T) / f(k / T), max_beta), f(t) = cos^2((t + s) / (1 + s) pi / 2).

    -> (T,) float64. Raises `ValueError` when T is not a positive integer. Source: Improved DDPM,
    equation 17. Lesson 02.
    """
    t = torch.linspace(0, 1, _count(T) + 1, dtype=torch.float64)
    f = torch.cos((t + s) / (1 + s) * math.pi / 2) ** 2
    return (1 - f[1:] / f[:-1]).clamp(max=max_beta)


def q_posterior(x0: Tensor, x_k: Tensor, k: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
    """The step back when x0 is known: q(x_{k-1} | x_k, x0) = N(c0 x0 + ck x_k, beta tilde).

    x0, x_k (B, ...); k (B,) integers in 0..T-1; betas (T,) -> mean (B, ...), variance (B, 1, ...,
    1), dtype of x0. At k = 0 the mean is x0 and the variance 0. Raises `ValueError` when a k lies
    outside 0..T-1. Source: DDPM, equations 6 and 7. Lesson 03.
    """
    k = torch.as_tensor(k)
    if not bool(((k >= 0) & (k < len(betas))).all()):
        raise ValueError(
            f"k must lie in 0..{len(betas) - 1}, got {k.min().item()} to {k.max().item()}"
        )
    at_k = lambda table: expand(table.to(k.device)[k].to(x0), x0.ndim)
    c0, ck, variance = map(at_k, posterior_tables(betas))
    return c0 * x0 + ck * x_k, variance


def posterior_tables(betas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three numbers of every step back, each (T,) float64: c0, ck and beta tilde.

    c0 = sqrt(abar_{k-1}) beta_k / (1 - abar_k), ck = sqrt(1 - beta_k) (1 - abar_{k-1}) / (1 -
    abar_k), beta tilde = beta_k (1 - abar_{k-1}) / (1 - abar_k). Source: DDPM, equation 7. Lesson
    03.
    """
    betas, logsnr = betas.double(), from_betas(betas)
    abar, noise = torch.sigmoid(logsnr), torch.sigmoid(-logsnr)
    abar_before = F.pad(abar[:-1], (1, 0), value=1.0)
    noise_before = F.pad(noise[:-1], (1, 0), value=0.0)
    share = noise_before / noise
    return abar_before.sqrt() * betas / noise, (1 - betas).sqrt() * share, betas * share


def small_variance(betas: Tensor) -> Tensor:
    """beta tilde (T,) float64, the variance that is best when the data is one point.

    Its first entry, 0, is replaced by the second. Raises `ValueError` when there is no second
    entry. Source: DDPM, section 3.2; Improved DDPM, section 3.1. Lesson 03.
    """
    if len(betas) < 2:
        raise ValueError(f"betas must have two entries or more, got {len(betas)}")
    variance = posterior_tables(betas)[2]
    return torch.cat([variance[1:2], variance[1:]])


def large_variance(betas: Tensor) -> Tensor:
    """beta itself (T,) float64, the variance that is best when the data is N(0, I).

    Source: DDPM, section 3.2. Lesson 03.
    """
    return betas.double()


def _count(T: int) -> int:
    if isinstance(T, bool) or not isinstance(T, int) or T < 1:
        raise ValueError(f"T must be a positive integer, got {T!r}")
    return T
