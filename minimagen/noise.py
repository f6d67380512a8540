"""Lesson 02. The forward process, with the log signal-to-noise ratio as its only coordinate.

A variance-preserving process is z = alpha x0 + sigma eps with alpha^2 + sigma^2 = 1, so lambda =
log(alpha^2 / sigma^2) alone says how noisy z is. A schedule is a plain function t -> lambda on [0,
1], decreasing: t = 0 is clean, t = 1 is noise.

>>> logsnr = cosine(torch.tensor([0.0, 0.5, 1.0]))  # clean, half way, noise
>>> [round(value, 2) + 0 for value in logsnr.tolist()]
[20.0, 0.0, -20.0]
>>> alpha, sigma = alpha_sigma(logsnr, 1)
>>> bool(((alpha**2 + sigma**2 - 1).abs() < 1e-6).all())
True
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_LOGSNR = 20.0  # nats; sigma = 4.5e-5 at +20, alpha = 4.5e-5 at -20


def cosine(t: Tensor) -> Tensor:
    """The cosine schedule: lambda(t) = -2 log tan(a + t (b - a)), a = atan(e^-10), b = atan(e^10).

    t in [0, 1], any shape -> logsnr in [-20, 20], same shape, device and dtype (float32 or better).
    Source: Salimans and Ho 2022, appendix; Imagen uses it for its first two networks. Lesson 02.
    """
    low = math.atan(math.exp(-MAX_LOGSNR / 2))
    high = math.atan(math.exp(MAX_LOGSNR / 2))
    logsnr = -2 * torch.tan(low + _checked_time(t) * (high - low)).log()
    return logsnr.clamp(-MAX_LOGSNR, MAX_LOGSNR)  # float32 rounds the two ends to a little more


def linear(t: Tensor) -> Tensor:
    """The linear schedule: lambda = log(abar / (1 - abar)), log abar(t) = -(0.1 t + 9.95 t^2).

    That is DDPM's beta from 1e-4 to 0.02 in continuous time. t in [0, 1], any shape -> logsnr in
    [-20, 20], same shape. lambda(1/2) = -2.4551, lambda(1) = -10.0500. Source: DDPM, section 4;
    Song et al. 2021, appendix B; Imagen uses it for 256 -> 1024. Lesson 02.
    """
    t = _checked_time(t)
    log_abar = -(0.1 * t + 9.95 * t**2)
    return (log_abar - torch.log(-torch.expm1(log_abar))).clamp(-MAX_LOGSNR, MAX_LOGSNR)


def from_betas(betas: Tensor) -> Tensor:
    """A table as log-SNR: lambda_k = log(abar_k / (1 - abar_k)), abar_k = prod (1 - beta_i).

    betas (T,) in (0, 1) -> (T,) float64. So the classical lessons and the continuous cascade share
    every line below. Raises `ValueError` when a beta lies outside (0, 1). Source: DDPM, equation 4.
    Lesson 02.
    """
    betas = betas.double()
    if betas.ndim != 1 or not bool(((betas > 0) & (betas < 1)).all()):
        raise ValueError(
            f"betas must be a vector with every entry in (0, 1), got shape {tuple(betas.shape)}"
        )
    log_abar = torch.log1p(-betas).cumsum(0)
    return log_abar - torch.log(-torch.expm1(log_abar))


def alpha_sigma(logsnr: Tensor, ndim: int) -> tuple[Tensor, Tensor]:
    """alpha = sqrt(sigmoid(lambda)), sigma = sqrt(sigmoid(-lambda)).

    logsnr (B,) -> two tensors (B, 1, ..., 1) of `ndim` dimensions, ready to multiply pictures.
    Lesson 02.
    """
    logsnr = expand(logsnr, ndim)
    return torch.sigmoid(logsnr).sqrt(), torch.sigmoid(-logsnr).sqrt()


def expand(values: Tensor, ndim: int) -> Tensor:
    """Values with axes of size 1 appended up to `ndim` of them: (B,) -> (B, 1, ..., 1).

    So one number a picture multiplies pictures. Raises `ValueError` when values has more axes than
    that. Lesson 02.
    """
    if values.ndim > ndim:
        raise ValueError(f"values must have {ndim} axes at most, got shape {tuple(values.shape)}")
    return values.reshape(*values.shape, *[1] * (ndim - values.ndim))


def diffuse(x0: Tensor, logsnr: Tensor, eps: Tensor) -> Tensor:
    """One jump from the clean picture: z = alpha x0 + sigma eps.

    x0, eps (B, ...); logsnr (B,). Source: DDPM, equation 4. Lesson 02.
    """
    alpha, sigma = alpha_sigma(logsnr, x0.ndim)
    return alpha * x0 + sigma * eps


def randn(
    shape: Sequence[int],
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    like: Tensor | None = None,
) -> Tensor:
    """Standard normal noise of `shape`, with the device and dtype of `like`.

    One generator draws the whole batch. A sequence of B generators draws picture i from generator
    i, so that a picture does not depend on the batch it is drawn in. Raises `ValueError` when the
    sequence's length is not B.
    """
    device, dtype = (like.device, like.dtype) if like is not None else (None, None)
    if generator is None or isinstance(generator, torch.Generator):
        home = generator.device if generator is not None else device
        return torch.randn(*shape, generator=generator, device=home, dtype=dtype).to(device)
    if len(generator) != shape[0]:
        raise ValueError(
            f"generator must be one torch.Generator or {shape[0]} of them (one a picture), got "
            f"{len(generator)}"
        )
    noise = [torch.randn(*shape[1:], generator=g, device=g.device, dtype=dtype) for g in generator]
    return torch.stack(noise).to(device)


@dataclass(frozen=True)
class Share:
    """What one of `world` processes that train together has of every batch: rows rank, rank +
    world, ...

    Each draws the random numbers of the whole batch and keeps those of its own rows, so that N
    processes do what one would. Lesson 11.

    >>> draw = lambda count: torch.arange(count)
    >>> [Share(rank, world=2).rows(draw, 3).tolist() for rank in range(2)]
    [[0, 2, 4], [1, 3, 5]]
    """

    rank: int = 0
    world: int = 1

    def rows(self, draw: Callable[[int], Tensor], count: int) -> Tensor:
        """This process's `count` rows of draw(count * world)."""
        return draw(count * self.world)[self.rank :: self.world]


ALL = Share()


def _checked_time(t: Tensor) -> Tensor:
    """`t` as a floating tensor in [0, 1]; one without data (device meta) is taken as it is."""
    t = torch.as_tensor(t)
    t = t.to(torch.promote_types(t.dtype, torch.float32))
    if not t.is_meta and not bool(((t >= 0) & (t <= 1)).all()):
        raise ValueError(
            f"t must lie in [0, 1] (1 = noise), got {t.min().item():.4g} to {t.max().item():.4g}"
        )
    return t
