"""Lesson 01. What the four families share: a small network, batches of points, a step downhill."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn


def mlp(
    inputs: int, width: int, outputs: int, hidden: int = 3, generator: Generator | None = None
) -> nn.Sequential:
    """`hidden` layers of `width` with ReLU, then a linear one.

    All weights start as U(-1, 1) / sqrt(inputs of the layer). Lesson 01.
    """
    layers = []
    for a, b in pairwise([inputs, *[width] * hidden, outputs]):
        layers += [nn.utils.skip_init(nn.Linear, a, b), nn.ReLU()]
        for parameter in layers[-2].parameters():
            nn.init.uniform_(parameter, -(a**-0.5), a**-0.5, generator=generator)
    return nn.Sequential(*layers[:-1])


def minibatches(
    points: Tensor, n: int, batch: int, generator: Generator | None, *optimizers
) -> Iterator[Tensor]:
    """n batches drawn with replacement; the learning rates fall linearly to 0 on the way.

    Lesson 01.
    """
    rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    for k in range(n):
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * (1 - k / n)
        yield points[torch.randint(len(points), (batch,), generator=generator)]


def descend(loss: Tensor, optimizer: torch.optim.Optimizer) -> float:
    """One step down the gradient of `loss`; its value. Lesson 01."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


class Likely(nn.Module):
    """What a family does that has a likelihood, or a bound, to climb. Lesson 01."""

    def fit(
        self, points: Tensor, n: int = 2000, batch: int = 512, rate: float = 6e-3, generator=None
    ) -> Iterator[float]:
        optimizer = torch.optim.Adam(self.parameters(), rate)
        for x in minibatches(points, n, batch, generator, optimizer):
            yield descend(-self.log_likelihood(x, generator).mean(), optimizer)
