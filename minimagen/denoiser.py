"""Lesson 04. What a network predicts, and the loss.

Noise, clean picture and velocity are three readings of one estimate.

>>> x0, eps, logsnr = torch.ones(1, 2), torch.zeros(1, 2), torch.zeros(1)
>>> perfect = Denoiser(lambda z, logsnr: eps, target="eps")
>>> round(perfect(diffuse(x0, logsnr, eps), logsnr).x0.mean().item(), 5)
1.0
>>> perfect.loss(x0, logsnr, eps).tolist()
[0.0]
>>> guess = Prediction(z=x0, logsnr=logsnr, x0=0 * x0)  # half the variance of z should be noise
>>> round(guess.eps[0, 0].item(), 4), round(guess.v[0, 0].item(), 4)
(1.4142, 1.0)
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from minimagen.noise import alpha_sigma, diffuse


@dataclass(frozen=True)
class Prediction:
    """An estimate of the clean picture seen from z.

    Only x0 is stored, so its other readings can never disagree with it. z, x0 (B, ...); logsnr
    (B,). float32 or better. Lessons 04 and 09.
    """

    z: Tensor
    logsnr: Tensor
    x0: Tensor

    @cached_property
    def eps(self) -> Tensor:
        """The noise that this x0 implies: eps = (z - alpha x0) / sigma."""
        alpha, sigma = alpha_sigma(self.logsnr, self.z.ndim)
        return (self.z - alpha * self.x0) / sigma

    @cached_property
    def v(self) -> Tensor:
        """The velocity v = alpha eps - sigma x0 = (alpha z - x0) / sigma (Salimans and Ho 2022)."""
        alpha, sigma = alpha_sigma(self.logsnr, self.z.ndim)
        return (alpha * self.z - self.x0) / sigma

    @cached_property
    def score(self) -> Tensor:
        """The gradient of log p(z): -eps / sigma (Song et al. 2021)."""
        return -self.eps / alpha_sigma(self.logsnr, self.z.ndim)[1]


class Target(NamedTuple):
    """One row of the table: what the network is trained to give, and how that turns into x0."""

    of: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # (x0, eps, alpha, sigma) -> target
    x0: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # (z, output, alpha, sigma) -> x0


TARGETS = {
    "eps": Target(
        lambda x0, eps, alpha, sigma: eps, lambda z, out, alpha, sigma: (z - sigma * out) / alpha
    ),
    "x0": Target(lambda x0, eps, alpha, sigma: x0, lambda z, out, alpha, sigma: out),
    "v": Target(
        lambda x0, eps, alpha, sigma: alpha * eps - sigma * x0,
        lambda z, out, alpha, sigma: alpha * z - sigma * out,
    ),
}


class Denoiser(nn.Module):
    """A network and what it predicts, as one function (z, logsnr, cond) -> Prediction.

    Everything else is composed around it. net(z, logsnr, cond) -> like z; target one of "v", "eps",
    "x0". Only the network may run in bf16. Differs from the paper: Imagen's base predicts eps; v
    stays well scaled at both ends (Salimans and Ho 2022). Lesson 04. Raises `ValueError` on an
    unknown target.
    """

    def __init__(self, net: Callable, target: str = "v"):
        super().__init__()
        if target not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}, got {target!r}")
        self.net, self.target = net, target

    def forward(self, z: Tensor, logsnr: Tensor, cond=None) -> Prediction:
        """z (B, ...), logsnr (B,), what `net` is conditioned on -> Prediction."""
        output = self._output(z, logsnr, cond)
        x0 = TARGETS[self.target].x0(z, output, *alpha_sigma(logsnr, z.ndim))
        return Prediction(z, logsnr, x0)

    def loss(self, x0: Tensor, logsnr: Tensor, eps: Tensor, cond=None) -> Tensor:
        """Mean squared error of each picture in the target's space: mean (target - output)^2.

        -> (B,). With target "eps" this is DDPM's L_simple (equation 14). x0, eps (B, ...); logsnr
        (B,). Lesson 04.
        """
        target = TARGETS[self.target].of(x0, eps, *alpha_sigma(logsnr, x0.ndim))
        output = self._output(diffuse(x0, logsnr, eps), logsnr, cond)
        return (target - output).square().flatten(1).mean(1)

    def prepare(self, cond):
        """What may stand for `cond` in later calls: all that does not depend on z, done once."""
        # A net is any callable, also a line in a notebook: only the U-Nets have work to prepare.
        return self.net.prepare(cond) if hasattr(self.net, "prepare") else cond

    def _output(self, z: Tensor, logsnr: Tensor, cond) -> Tensor:
        out = self.net(z, logsnr) if cond is None else self.net(z, logsnr, cond)
        return out.to(torch.promote_types(out.dtype, torch.float32))
