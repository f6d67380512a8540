"""Lesson 01. The data: points of Gaussians on a ring, and how many of its modes a model covers."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from minimagen.noise import randn


@dataclass(frozen=True)
class Ring:
    """An equal mixture of round Gaussians, their centres evenly on a circle. Lesson 01."""

    modes: int = 8  # how many Gaussians
    radius: float = 1.5  # of the circle
    std: float = 0.15  # the deviation of each

    @property
    def centres(self) -> Tensor:
        angle = 2 * math.pi * torch.arange(self.modes) / self.modes
        return self.radius * torch.stack([angle.cos(), angle.sin()], 1)

    def draw(self, n: int, generator: Generator | None = None) -> Tensor:
        mode = torch.randint(self.modes, (n,), generator=generator)
        return self.centres[mode] + self.std * randn((n, 2), generator)

    def log_prob(self, x: Tensor) -> Tensor:
        of_modes = normal_log_prob(x[:, None], self.centres.to(x), math.log(self.std))
        return of_modes.logsumexp(1) - math.log(self.modes)


def hits(points: Tensor, centres: Tensor, within: float) -> Tensor:
    """How many points (N, 2) have each of the centres (K, 2) as their nearest -> (K,).

    Only those that lie nearer to it than `within`. Lesson 01.
    """
    distance, nearest = torch.cdist(points, centres.to(points)).min(1)
    return torch.bincount(nearest[distance < within], minlength=len(centres))


def covered(points: Tensor, centres: Tensor, within: float, min_share: float = 0.25) -> int:
    """How many of the K modes get at least `min_share` of their fair share, N / K points.

    Lesson 01. Raises `ValueError` when there are no points, or min_share lies outside (0, 1].
    """
    if len(points) == 0:
        raise ValueError("points must hold one point or more, got none")
    if not 0 < min_share <= 1:
        raise ValueError(f"min_share must lie in (0, 1], a part of the fair share, got {min_share}")
    enough = min_share * len(points) / len(centres)
    return int((hits(points, centres, within) >= enough).sum())


def normal_log_prob(x: Tensor, mean: Tensor | float = 0.0, log_std: Tensor | float = 0.0) -> Tensor:
    """log N(x; mean, std^2 I), summed over the last axis: (..., D) -> (...)."""
    log_std = torch.as_tensor(log_std, dtype=x.dtype)
    return (
        -0.5 * ((x - mean) * torch.exp(-log_std)) ** 2 - log_std - 0.5 * math.log(2 * math.pi)
    ).sum(-1)
