"""Lesson 03. The variational bound of DDPM, term by term, in bits per dimension of 8-bit pixels.

>>> mean, variance = torch.tensor([0.0, 1.0]), torch.ones(2)
>>> gaussian_kl(mean, variance).tolist()  # to N(0, 1): a mean of 1 costs half a nat
[0.0, 0.5]
>>> from minimagen.ddpm import large_variance, linear_betas
>>> from minimagen.ideal import Ideal
>>> betas, x0 = linear_betas(100), torch.full((1, 1), -1.0)
>>> bound = bits_per_dim(Ideal(x0), x0, betas, variance=large_variance(betas))
>>> bound.steps.shape, bool(bound.total > 0)
(torch.Size([1, 99]), True)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from minimagen.ddpm import q_posterior
from minimagen.denoiser import Prediction
from minimagen.noise import alpha_sigma, diffuse, expand, from_betas, randn


@dataclass(frozen=True)
class Bound:
    """The terms of the bound for every picture, in bits per dimension. Lesson 03.

    prior (B,): L_T, what is left of the picture in x_T. steps (B, T-1): column k - 1 is the step
    from k to k - 1. reconstruction (B,): L_0, the pixels given the last noisy picture.
    """

    prior: Tensor
    steps: Tensor
    reconstruction: Tensor

    @property
    def total(self) -> Tensor:
        """The bound (B,): prior + sum of steps + reconstruction >= -log2 p(x0) / dimensions."""
        return self.prior + self.steps.sum(1) + self.reconstruction


@torch.no_grad()
def bits_per_dim(
    denoise: Callable[[Tensor, Tensor], Prediction],
    x0: Tensor,
    betas: Tensor,
    *,
    variance: Tensor | Callable[[Prediction, Tensor], Tensor],
    generator=None,
) -> Bound:
    """The bound L = L_T + sum_k L_k + L_0 >= -log p(x0), with one draw of noise for each term.

    L_T = KL(q(x_T|x0) || N(0, I)), L_k = KL(q(x_{k-1}|x_k, x0) || p(x_{k-1}|x_k)), and L_0 = -log
    p(x0|x_first), given the least noisy picture. denoise(z, logsnr) -> Prediction, called T times;
    x0 (B, ...) 8-bit pixels in [-1, 1]; betas (T,); variance of p: a table (T,), or a function
    (prediction, k (B,)) -> something that broadcasts with x0, for a learned one. The mean of p is
    that of q(x_{k-1} | x_k, x0) with the prediction's x0 in the place of x0. The network runs in
    the dtype of x0, the terms in float64. Raises `ValueError` when the table does not have T
    entries. Source: DDPM, equations 5 and 13. Lesson 03.
    """
    if isinstance(variance, Tensor) and variance.shape != (len(betas),):
        raise ValueError(
            f"variance must have one entry a step, ({len(betas)},), got {tuple(variance.shape)}"
        )
    width = _from_table(variance) if isinstance(variance, Tensor) else variance
    levels, terms = from_betas(betas).to(x0), []
    for step in range(len(betas)):
        k = torch.full((len(x0),), step, device=x0.device)
        prediction = denoise(diffuse(x0, levels[k], randn(x0.shape, generator, like=x0)), levels[k])
        spread = width(prediction, k).double()
        terms.append(
            transition(x0, prediction, k, betas, spread)
            if step
            else decoder_nll(x0, prediction.x0, spread)
        )
    steps = torch.stack(terms, 1) / math.log(2)
    return Bound(prior(x0, betas) / math.log(2), steps[:, 1:], steps[:, 0])


def gaussian_kl(
    mean: Tensor,
    variance: Tensor,
    other_mean: Tensor | float = 0.0,
    other_variance: Tensor | float = 1.0,
) -> Tensor:
    """KL(N(m, w) || N(m', w')) = (r - 1 - log r + (m - m')^2 / w') / 2 with r = w / w'.

    In nats, of every dimension. Any shapes that broadcast; variances w > 0; the other Gaussian is
    N(0, 1) unless said otherwise. Lessons 01 and 03.
    """
    ratio = variance / other_variance
    return (ratio - 1 - ratio.log() + (mean - other_mean) ** 2 / other_variance) / 2


def prior(x0: Tensor, betas: Tensor) -> Tensor:
    """L_T = KL(q(x_T | x0) || N(0, I)) in nats per dimension: x0 (B, ...) -> (B,) float64.

    Source: DDPM, equation 5. Lesson 03.
    """
    alpha, sigma = alpha_sigma(from_betas(betas)[-1:].to(x0.device), x0.ndim)
    return gaussian_kl(alpha * x0.double(), sigma**2).flatten(1).mean(1)


def transition(
    x0: Tensor, prediction: Prediction, k: Tensor, betas: Tensor, variance: Tensor
) -> Tensor:
    """L_k = KL(q(x_{k-1}|x_k, x0) || N(mean of q with the prediction's x0, variance)).

    In nats per dimension -> (B,) float64. x0 (B, ...), k (B,) in 1..T-1 (at k = 0 q has no width:
    see `decoder_nll`), variance broadcasts with x0. It can be differentiated: with a learned
    variance this is half of L_hybrid (Improved DDPM, equation 16). Lesson 03.
    """
    z = prediction.z.double()
    mean, width = q_posterior(x0.double(), z, k, betas)
    guess, _ = q_posterior(prediction.x0.double(), z, k, betas)
    return gaussian_kl(mean, width, guess, variance).flatten(1).mean(1)


def decoder_nll(x0: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """L_0 = -log P(pixel), P = the mass of N(mean, variance) in the bin [x - 1/255, x + 1/255].

    -> (B,) nats per dimension. The bins of 0 and 255 are open, so the 256 masses sum to 1. x0 (B,
    ...) 8-bit pixels in [-1, 1]; variance broadcasts, > 0. Source: DDPM, equation 13. Lesson 03.
    """
    x, mean, sigma = x0.double(), mean.double(), variance.double().sqrt()
    low, high = (x - 1 / 255 - mean) / sigma, (x + 1 / 255 - mean) / sigma
    # Far to the right both cumulative values round to 1; the mirrored bin has the same mass and
    # keeps its digits.
    mirror = torch.where(x >= 1 - 1 / 255, True, (low + high > 0) & (x > -1 + 1 / 255))
    low, high = torch.where(mirror, -high, low), torch.where(mirror, -low, high)
    upper = torch.special.log_ndtr(high)
    inside = upper + torch.log(-torch.expm1(torch.special.log_ndtr(low) - upper))
    return -torch.where(x.abs() >= 1 - 1 / 255, upper, inside).flatten(1).mean(1)


def _from_table(table: Tensor) -> Callable[[Prediction, Tensor], Tensor]:
    """A table (T,) as the function (prediction, k (B,)) -> (B, 1, ..., 1)."""
    return lambda prediction, k: expand(table.to(k.device)[k], prediction.z.ndim)
