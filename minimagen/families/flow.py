"""Lesson 01. The third family: an invertible network, and the likelihood exactly."""

import torch
from torch import Generator, Tensor, nn

from minimagen.families.fitting import Likely, mlp
from minimagen.families.ring import normal_log_prob
from minimagen.layers import zeroed
from minimagen.noise import randn


class Coupling(nn.Module):
    """z = (x_b exp(s(x_a)) + t(x_a), x_a) and log |det dz/dx| = sum s for x = (x_a, x_b).

    The halves are those of (N, D). s is held in [-3, 3]; a fresh coupling only exchanges the
    halves. Source: Dinh et al. 2017. Lesson 01.
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


class Flow(Likely):
    """A chain f of couplings: log p(x) = log N(f(x); 0, I) + sum log |det|.

    Source: Rezende and Mohamed 2015. Lesson 01.
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
