"""Lesson 01. The first family: two networks play against each other."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from minimagen.families.fitting import descend, minibatches, mlp
from minimagen.noise import randn


def game_value(real: Tensor, fake: Tensor) -> Tensor:
    """V(D, G) = E log D(x) + E log(1 - D(G(z))) with D = sigmoid(logit).

    real, fake: the logits of real and of drawn points. The best D gives -log 4 + 2 JS(p, g).
    Source: Goodfellow et al. 2014, equation 1 and theorem 1. Lesson 01.
    """
    return F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean()


class GAN(nn.Module):
    """A generator draws from eight numbers of noise, a discriminator tells drawn from real.

    The generator's loss is -log D(G(z)). The discriminator pays penalty / 2 E |grad logit(x)|^2 at
    real points (R1: Mescheder, Geiger and Nowozin 2018), and learns at one of `every` steps.
    Source: Goodfellow et al. 2014. Lesson 01.
    """

    likelihood, evaluations = "none", 1

    def __init__(
        self,
        width: int = 58,
        penalty: float = 0.5,
        every: int = 1,
        generator: Generator | None = None,
    ):
        super().__init__()
        self.generator = mlp(8, width, 2, generator=generator)
        self.discriminator = mlp(2, width, 1, generator=generator)
        self.penalty, self.every = penalty, every

    def fit(
        self, points: Tensor, n: int = 2000, batch: int = 512, rate: float = 3e-3, generator=None
    ) -> Iterator[float]:
        adam = lambda network: torch.optim.Adam(network.parameters(), rate, betas=(0.0, 0.9))
        discriminator_optimizer = adam(self.discriminator)
        generator_optimizer = adam(self.generator)
        both = discriminator_optimizer, generator_optimizer
        for k, x in enumerate(minibatches(points, n, batch, generator, *both)):
            fake = self.generator(randn((batch, 8), generator))
            if k % self.every == 0:
                loss = self._discriminate(x, fake.detach(), discriminator_optimizer)
            descend(-F.logsigmoid(self.discriminator(fake)).mean(), generator_optimizer)
            yield loss

    def _discriminate(self, x: Tensor, fake: Tensor, optimizer: torch.optim.Optimizer) -> float:
        """A step of the discriminator: up the value, down its slope at real points."""
        x = x.clone().requires_grad_()
        real = self.discriminator(x)
        loss = -game_value(real, self.discriminator(fake))
        (slope,) = torch.autograd.grad(real.sum(), x, create_graph=True)
        descend(loss + self.penalty / 2 * slope.square().sum(1).mean(), optimizer)
        return loss.item()

    @torch.no_grad()
    def draw(self, n: int, generator: Generator | None = None) -> Tensor:
        return self.generator(randn((n, 8), generator))
