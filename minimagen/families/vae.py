"""Lesson 01. The second family: a latent, a decoder, and a bound on the likelihood."""

import math

import torch
from torch import Generator, Tensor, nn

from minimagen.families.fitting import Likely, mlp
from minimagen.families.ring import normal_log_prob
from minimagen.noise import randn


class VAE(Likely):
    """z ~ N(0, 1), x ~ N(decoder(z), std^2 I), and an encoder that only training needs.

    std is learned from `start` on; too large a start ends where z says nothing (posterior
    collapse). Source: Kingma and Welling 2014. Lesson 01.
    """

    likelihood, evaluations = "bound", 1

    def __init__(self, width: int = 58, start: float = 0.4, generator: Generator | None = None):
        super().__init__()
        self.encoder = mlp(2, width, 2, generator=generator)
        self.decoder = mlp(1, width, 2, generator=generator)
        self.log_std = nn.Parameter(torch.tensor(math.log(start)))

    def log_likelihood(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """log p(x | z) - KL(q(z | x) || N(0, 1)) at one z = mean + std eps.

        On average it is a bound on log p(x).
        """
        mean, log_std = self.encoder(x).chunk(2, 1)
        z = mean + log_std.exp() * randn(mean.shape, generator, like=mean)
        # `variational.gaussian_kl` to N(0, 1), in the logarithm that the encoder gives: the log of
        # an exp would lose digits where std is small.
        kl = (0.5 * (mean**2 + torch.exp(2 * log_std) - 1) - log_std).sum(1)
        return normal_log_prob(x, self.decoder(z), self.log_std) - kl

    @torch.no_grad()
    def draw(self, n: int, generator: Generator | None = None) -> Tensor:
        mean = self.decoder(randn((n, 1), generator))
        return mean + self.log_std.exp() * randn((n, 2), generator)
