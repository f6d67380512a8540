"""Lesson 01. The fourth family: the whole library in small, on points."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn

from minimagen.conditioning import Cond
from minimagen.denoiser import Denoiser
from minimagen.families.fitting import minibatches, mlp
from minimagen.families.ring import normal_log_prob
from minimagen.layers import fourier
from minimagen.noise import alpha_sigma, diffuse, randn
from minimagen.samplers import ancestral, last, sample, steps
from minimagen.training import train
from minimagen.variational import gaussian_kl


def straight(t: Tensor) -> Tensor:
    """A schedule for points: lambda = 5 - 11 t nats.

    At 5 the noise is about half as wide as a mode of `Ring`; -6 is noise. Lesson 01.
    """
    return 5 - 11 * t


class Diffusion(nn.Module):
    """minimagen's noise, denoiser (target v), training and ancestral sampler, on points.

    The model: z ~ N(0, I), ancestral steps through n = `evaluations` levels, x ~ N(x0 hat, (sigma /
    alpha)^2 I) at the last. Source: Ho et al. 2020. Lessons 01 to 06.
    """

    likelihood = "bound"

    def __init__(self, width: int = 80, evaluations: int = 50, generator: Generator | None = None):
        super().__init__()
        self.mlp = mlp(2 + 16, width, 2, generator=generator)  # a point, its level as 16 waves
        self.denoiser, self.evaluations = Denoiser(self._field), evaluations

    def _field(self, z: Tensor, logsnr: Tensor, cond: Cond | None = None) -> Tensor:
        return self.mlp(torch.cat([z, fourier(logsnr, 16).to(z)], 1))

    def fit(
        self, points: Tensor, n: int = 2000, batch: int = 512, rate: float = 6e-3, generator=None
    ) -> Iterator[float]:
        optimizer = torch.optim.Adam(self.parameters(), rate)
        batches = ((x, Cond()) for x in minibatches(points, n, batch, generator, optimizer))
        for step in train(self.denoiser, batches, straight, optimizer, generator=generator):
            yield step.loss

    def draw(self, n: int, generator: Generator | None = None) -> Tensor:
        levels, z = steps(straight, self.evaluations), randn((n, 2), generator)
        end = last(sample(self.denoiser, levels, z, ancestral(), generator))
        # Unlike a picture, a point gets the noise of the last Gaussian too: what is drawn is what
        # is bounded.
        alpha, sigma = alpha_sigma(end.logsnr, 2)
        return end.x0 + sigma / alpha * randn((n, 2), generator)

    @torch.no_grad()
    def log_likelihood(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """log p(x | z_n) - sum KL(q(z_s | z_t, x) || p(z_s | z_t)) - KL(q(z_1 | x) || N(0, I)).

        At one noise a level. A middle term is 1/2 (e^ls - e^lt) |x - x0 hat(z_t)|^2. Source: Kingma
        et al. 2021, section 4. Lessons 01 and 03.
        """
        levels = steps(straight, self.evaluations).to(x)
        alpha, sigma = alpha_sigma(levels, 1)
        total = -gaussian_kl(alpha[0] * x, sigma[0] ** 2).sum(1)
        for k, level in enumerate(levels):
            logsnr = level.expand(len(x))
            guess = self.denoiser(diffuse(x, logsnr, randn(x.shape, generator, like=x)), logsnr).x0
            if k + 1 < len(levels):
                gain = levels[k + 1].exp() - level.exp()
                total = total - 0.5 * gain * (x - guess).square().sum(1)
        return total + normal_log_prob(x, guess, (sigma[-1] / alpha[-1]).log())
