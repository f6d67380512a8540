"""Lesson 01. Four families of generative models on points in the plane, each small and complete.

GAN, VAE, normalizing flow and diffusion share one interface. `fit(points, n, batch, rate,
generator)` is a generator of n losses, one a step: its reader may stop and look. `draw(n,
generator)` gives points (n, 2). `likelihood` says what `log_likelihood(x, generator)`, (N, 2) ->
(N,), is: "exact", a "bound" from below on average, or "none": no such method. `evaluations` are the
network passes of one drawn point.

>>> import torch
>>> ring, flow = Ring(), Flow(generator=torch.Generator().manual_seed(0))
>>> points = ring.draw(1000, torch.Generator().manual_seed(1))
>>> before = flow.log_likelihood(points).mean()
>>> losses = list(flow.fit(points, n=10, generator=torch.Generator().manual_seed(2)))
>>> bool(before < flow.log_likelihood(points).mean() < ring.log_prob(points).mean())
True
"""

from minimagen.families.diffusion import Diffusion, straight
from minimagen.families.fitting import mlp
from minimagen.families.flow import Coupling, Flow
from minimagen.families.gan import GAN, game_value
from minimagen.families.ring import Ring, covered, hits, normal_log_prob
from minimagen.families.vae import VAE

__all__ = [
    "GAN",
    "VAE",
    "Coupling",
    "Diffusion",
    "Flow",
    "Ring",
    "covered",
    "game_value",
    "hits",
    "mlp",
    "normal_log_prob",
    "straight",
]
