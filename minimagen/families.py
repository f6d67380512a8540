"""Lesson 01. Four families of generative models, on points in the plane: GAN, VAE, normalizing
flow, diffusion.

All share one interface. `fit(points, n, batch, rate, generator)` is a generator of n losses, one a
step: its reader may stop and look. `draw(n, generator)` gives points (n, 2). `likelihood` says what
`log_likelihood(x, generator)`, (N, 2) -> (N,), is: "exact", a "bound" from below on average, or
"none": no such method. `evaluations` are the network passes of one drawn point.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from minimagen.conditioning import Cond
from minimagen.denoiser import Denoiser
from minimagen.layers import fourier, zeroed
from minimagen.noise import alpha_sigma, diffuse, randn
from minimagen.samplers import ancestral, sample, steps
from minimagen.training import train


@dataclass(frozen=True)
class Ring:
    """An equal mixture of `modes` round Gaussians of deviation `std`, their centres evenly on a
    circle. Lesson 01.
    """

    modes: int = 8
    radius: float = 1.5
    std: float = 0.15

    @property
    def centres(self) -> Tensor:
        angle = 2 * math.pi * torch.arange(self.modes) / self.modes
        return self.radius * torch.stack([angle.cos(), angle.sin()], 1)

    def draw(self, n: int, generator: Generator | None = None) -> Tensor:
        return self.centres[
            torch.randint(self.modes, (n,), generator=generator)
        ] + self.std * randn((n, 2), generator)

    def log_prob(self, x: Tensor) -> Tensor:
        return normal_log_prob(x[:, None], self.centres.to(x), math.log(self.std)).logsumexp(
            1
        ) - math.log(self.modes)


def hits(points: Tensor, centres: Tensor, within: float) -> Tensor:
    """How many points (N, 2) have this of the centres (K, 2) as their nearest, and lie nearer to it
    than `within` -> (K,).
    """
    distance, nearest = torch.cdist(points, centres.to(points)).min(1)
    return torch.bincount(nearest[distance < within], minlength=len(centres))


def covered(points: Tensor, centres: Tensor, within: float, least: float = 0.25) -> int:
    """How many of the K modes get at least `least` of their fair share, N / K points. Lesson 01.

    Raises `ValueError` when there are no points, or least lies outside (0, 1].
    """
    if len(points) == 0:
        raise ValueError("points must hold one point or more, got none")
    if not 0 < least <= 1:
        raise ValueError(f"least must lie in (0, 1], a part of the fair share, got {least}")
    return int((hits(points, centres, within) >= least * len(points) / len(centres)).sum())


def normal_log_prob(x: Tensor, mean: Tensor | float = 0.0, log_std: Tensor | float = 0.0) -> Tensor:
    """log N(x; mean, std^2 I), summed over the last axis: (..., D) -> (...)."""
    log_std = torch.as_tensor(log_std, dtype=x.dtype)
    return (
        -0.5 * ((x - mean) * torch.exp(-log_std)) ** 2 - log_std - 0.5 * math.log(2 * math.pi)
    ).sum(-1)


def mlp(
    inputs: int, width: int, outputs: int, hidden: int = 3, generator: Generator | None = None
) -> nn.Sequential:
    """`hidden` layers of `width` with ReLU, then a linear one; all weights start as U(-1, 1) /
    sqrt(inputs of the layer).
    """
    layers = []
    for a, b in pairwise([inputs, *[width] * hidden, outputs]):
        layers += [nn.utils.skip_init(nn.Linear, a, b), nn.ReLU()]
        for parameter in layers[-2].parameters():
            nn.init.uniform_(parameter, -(a**-0.5), a**-0.5, generator=generator)
    return nn.Sequential(*layers[:-1])


def _batches(
    points: Tensor, n: int, batch: int, generator: Generator | None, *optimizers
) -> Iterator[Tensor]:
    """n batches drawn with replacement; the learning rates fall linearly to 0 on the way."""
    rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    for k in range(n):
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * (1 - k / n)
        yield points[torch.randint(len(points), (batch,), generator=generator)]


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


class _Likely(nn.Module):
    """What a family does that has a likelihood, or a bound, to climb."""

    def fit(
        self, points: Tensor, n: int = 2000, batch: int = 512, rate: float = 6e-3, generator=None
    ) -> Iterator[float]:
        optimizer = torch.optim.Adam(self.parameters(), rate)
        for x in _batches(points, n, batch, generator, optimizer):
            yield _descend(-self.log_likelihood(x, generator).mean(), optimizer)


def game_value(real: Tensor, fake: Tensor) -> Tensor:
    """V(D, G) = E log D(x) + E log(1 - D(G(z))), D = sigmoid(logit), from the logits of real and of
    drawn points.

    The best D gives -log 4 + 2 JS(p, g). Source: Goodfellow et al. 2014, equation 1 and theorem 1.
    Lesson 01.
    """
    return F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean()


class GAN(nn.Module):
    """A generator draws from eight numbers of noise, a discriminator tells drawn from real.
    Goodfellow et al. 2014.

    The generator's loss is -log D(G(z)). The discriminator pays penalty / 2 E |grad logit(x)|^2 at
    real points (R1: Mescheder, Geiger and Nowozin 2018), and learns at one of `every` steps. Lesson
    01.
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
        self.generator, self.discriminator = (
            mlp(8, width, 2, generator=generator),
            mlp(2, width, 1, generator=generator),
        )
        self.penalty, self.every = penalty, every

    def fit(
        self, points: Tensor, n: int = 2000, batch: int = 512, rate: float = 3e-3, generator=None
    ) -> Iterator[float]:
        players = (self.discriminator, self.generator)
        told, made = (
            torch.optim.Adam(player.parameters(), rate, betas=(0.0, 0.9)) for player in players
        )
        for k, x in enumerate(_batches(points, n, batch, generator, told, made)):
            fake = self.generator(randn((batch, 8), generator))
            if k % self.every == 0:
                loss = self._tell(x.clone().requires_grad_(), fake.detach(), told)
            _descend(-F.logsigmoid(self.discriminator(fake)).mean(), made)
            yield loss

    def _tell(self, x: Tensor, fake: Tensor, optimizer: torch.optim.Optimizer) -> float:
        real = self.discriminator(x)
        loss = -game_value(real, self.discriminator(fake))
        (slope,) = torch.autograd.grad(real.sum(), x, create_graph=True)
        _descend(loss + self.penalty / 2 * slope.square().sum(1).mean(), optimizer)
        return loss.item()

    @torch.no_grad()
    def draw(self, n: int, generator: Generator | None = None) -> Tensor:
        return self.generator(randn((n, 8), generator))


def gaussian_kl(mean: Tensor, log_std: Tensor) -> Tensor:
    """KL(N(mean, std^2) || N(0, I)) = sum 1/2 (mean^2 + std^2 - 1 - log std^2): (..., D) -> (...).
    Lesson 01.
    """
    return (0.5 * (mean**2 + torch.exp(2 * log_std) - 1) - log_std).sum(-1)


class VAE(_Likely):
    """z ~ N(0, 1), x ~ N(decoder(z), std^2 I), and an encoder that only training needs. Kingma and
    Welling 2014. Lesson 01.

    std is learned from `start` on; too large a start ends where z says nothing (posterior
    collapse).
    """

    likelihood, evaluations = "bound", 1

    def __init__(self, width: int = 58, start: float = 0.4, generator: Generator | None = None):
        super().__init__()
        self.encoder, self.decoder = (
            mlp(2, width, 2, generator=generator),
            mlp(1, width, 2, generator=generator),
        )
        self.log_std = nn.Parameter(torch.tensor(math.log(start)))

    def log_likelihood(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """log p(x | z) - KL(q(z | x) || N(0, 1)) at one z = mean + std eps: on average a bound on
        log p(x).
        """
        mean, log_std = self.encoder(x).chunk(2, 1)
        z = mean + log_std.exp() * randn(mean.shape, generator, like=mean)
        return normal_log_prob(x, self.decoder(z), self.log_std) - gaussian_kl(mean, log_std)

    @torch.no_grad()
    def draw(self, n: int, generator: Generator | None = None) -> Tensor:
        return self.decoder(randn((n, 1), generator)) + self.log_std.exp() * randn(
            (n, 2), generator
        )


class Coupling(nn.Module):
    """z = (x_b exp(s(x_a)) + t(x_a), x_a), log |det dz/dx| = sum s, for halves x = (x_a, x_b) of
    (N, D). Dinh et al. 2017.

    s is held in [-3, 3]; a fresh coupling only exchanges the halves. Lesson 01.
    """

    def __init__(self, dims: int = 2, width: int = 40, generator: Generator | None = None):
        super().__init__()
        self.net = mlp(dims // 2, width, dims, hidden=2, generator=generator)
        zeroed(self.net[-1])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, D) -> z (N, D), log |det dz/dx| (N,)."""
        a, b = x.chunk(2, 1)
        s, t = self._scale_shift(a)
        return torch.cat([b * s.exp() + t, a], 1), s.sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        """z (N, D) -> x (N, D)."""
        b, a = z.chunk(2, 1)
        s, t = self._scale_shift(a)
        return torch.cat([a, (b - t) * (-s).exp()], 1)

    def _scale_shift(self, a: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self.net(a).chunk(2, 1)
        return 3 * torch.tanh(s / 3), t


class Flow(_Likely):
    """A chain f of couplings, log p(x) = log N(f(x); 0, I) + sum log |det|. Rezende and Mohamed
    2015. Lesson 01.
    """

    likelihood, evaluations = "exact", 1

    def __init__(self, couplings: int = 8, width: int = 40, generator: Generator | None = None):
        super().__init__()
        self.couplings = nn.ModuleList(Coupling(2, width, generator) for _ in range(couplings))

    def log_likelihood(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        total = x.new_zeros(len(x))
        for coupling in self.couplings:
            x, log_det = coupling(x)
            total = total + log_det
        return normal_log_prob(x) + total

    @torch.no_grad()
    def draw(self, n: int, generator: Generator | None = None) -> Tensor:
        z = randn((n, 2), generator)
        for coupling in reversed(self.couplings):
            z = coupling.inverse(z)
        return z


def straight(t: Tensor) -> Tensor:
    """A schedule for points: lambda = 5 - 11 t nats. At 5 the noise is about half as wide as a mode
    of `Ring`; -6 is noise.
    """
    return 5 - 11 * t


class Diffusion(nn.Module):
    """minimagen's noise, denoiser (target v), training and ancestral sampler, on points. Ho et al.
    2020; lessons 01 to 06.

    The model: z ~ N(0, I), ancestral steps through n = `evaluations` levels, x ~ N(x0 hat, (sigma /
    alpha)^2 I) at the last.
    """

    likelihood = "bound"

    def __init__(self, width: int = 80, evaluations: int = 50, generator: Generator | None = None):
        super().__init__()
        self.mlp = mlp(
            2 + 16, width, 2, generator=generator
        )  # a point, and its noise level as 16 waves
        self.denoiser, self.evaluations = Denoiser(self._field), evaluations

    def _field(self, z: Tensor, logsnr: Tensor, cond: Cond | None = None) -> Tensor:
        return self.mlp(torch.cat([z, fourier(logsnr, 16).to(z)], 1))

    def fit(
        self, points: Tensor, n: int = 2000, batch: int = 512, rate: float = 6e-3, generator=None
    ) -> Iterator[float]:
        optimizer = torch.optim.Adam(self.parameters(), rate)
        batches = ((x, Cond()) for x in _batches(points, n, batch, generator, optimizer))
        yield from (
            step.loss
            for step in train(self.denoiser, batches, straight, optimizer, generator=generator)
        )

    def draw(self, n: int, generator: Generator | None = None) -> Tensor:
        *_, last = sample(
            self.denoiser,
            steps(straight, self.evaluations),
            randn((n, 2), generator),
            ancestral(),
            generator,
        )
        alpha, sigma = alpha_sigma(
            last.logsnr, 2
        )  # unlike a picture, a point gets the noise of the last Gaussian too:
        return last.x0 + sigma / alpha * randn(
            (n, 2), generator
        )  # what is drawn is what is bounded

    @torch.no_grad()
    def log_likelihood(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """log p(x | z_n) - sum KL(q(z_s | z_t, x) || p(z_s | z_t)) - KL(q(z_1 | x) || N(0, I)), at
        one noise a level.

        A middle term is 1/2 (e^ls - e^lt) |x - x0 hat(z_t)|^2. Source: Kingma et al. 2021, section
        4. Lessons 01 and 03.
        """
        levels = steps(straight, self.evaluations).to(x)
        alpha, sigma = alpha_sigma(levels, 1)
        total = -gaussian_kl(alpha[0] * x, sigma[0].log().expand_as(x))
        for k, level in enumerate(levels):
            logsnr = level.expand(len(x))
            guess = self.denoiser(diffuse(x, logsnr, randn(x.shape, generator, like=x)), logsnr).x0
            if k + 1 < len(levels):
                total = total - 0.5 * (levels[k + 1].exp() - level.exp()) * (
                    x - guess
                ).square().sum(1)
        return total + normal_log_prob(x, guess, (sigma[-1] / alpha[-1]).log())
