"""Lessons 04 and 11. What training minimises: which noise levels it sees, and how much an error
counts at each of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from minimagen.noise import ALL, MAX_LOGSNR, Share, randn


@dataclass(frozen=True)
class Objective:
    """E[weight(lambda) loss(x0, lambda, eps, c)] over t ~ U(0, 1), lambda = schedule(t) and eps ~
    N(0, I).

    The loss itself, and what it is the error of (x0, eps or v), is the denoiser's. Source: Karras
    et al. 2022, section 5, which keeps noise distribution and weight in one object too. Lessons 04
    and 11.

    >>> objective = Objective(lambda t: 4 - 8 * t, velocity_weight)
    >>> logsnr, eps = objective.draw(torch.zeros(2, 3, 8, 8), torch.Generator().manual_seed(0))
    >>> logsnr.shape, eps.shape
    (torch.Size([2]), torch.Size([2, 3, 8, 8]))
    >>> objective.mean(losses=torch.tensor([1.0, 2.0]), logsnr=torch.tensor([0.0, 0.0])).item()
    3.0
    """

    schedule: Callable[[Tensor], Tensor]  # t (B,) in [0, 1] -> logsnr (B,)
    weight: Callable[[Tensor], Tensor] = torch.ones_like  # logsnr (B,) -> (B,), >= 0

    def draw(self, x0: Tensor, generator=None, share: Share = ALL) -> tuple[Tensor, Tensor]:
        """A noise level and a noise for each picture: logsnr (B,), eps like x0 (B, C, H, W).

        share: what x0 is of the batch of all processes.
        """
        t = share.rows(lambda count: torch.rand(count, generator=generator), len(x0))
        noise = lambda count: randn((count, *x0.shape[1:]), generator, like=x0)
        return self.schedule(t), share.rows(noise, len(x0))

    def mean(self, losses: Tensor, logsnr: Tensor) -> Tensor:
        """The number to descend: mean weight(lambda_i) loss_i of losses (B,) at logsnr (B,)."""
        return (self.weight(logsnr) * losses).mean()


def velocity_weight(logsnr: Tensor, max: float = 20.0) -> Tensor:
    """1 / sigma^2 = 1 + e^lambda, at most `max`: it turns the squared error of x0 into that of v.

    (B,) -> (B,). A network that folds patches into channels is narrow beside the noise of a patch:
    it can draw x0, but not pass all of the noise through, as predicting v or eps asks of it. So it
    predicts x0 and is weighted as if it predicted v; the cap keeps nearly clean pictures, where
    1 / sigma^2 grows without end, from outweighing the rest. Source: Salimans and Ho 2022, section
    4 (the "SNR + 1" weighting). Lesson 04.
    """
    return (1 + logsnr.exp()).clamp(max=max)


def shifted(schedule: Callable[[Tensor], Tensor], shift: float) -> Callable[[Tensor], Tensor]:
    """The schedule t -> schedule(t) + shift, kept within +-20 nats: below 0 for more noise.

    Training may see more noise than drawing does: what stands where, and how large, is decided
    while the page is still noisy. Source: Hoogeboom et al. 2023, section 2.1. Lesson 11.
    """
    return lambda t: (schedule(t) + shift).clamp(-MAX_LOGSNR, MAX_LOGSNR)
