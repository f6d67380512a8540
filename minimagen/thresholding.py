"""Lesson 09. Thresholds on the clean estimate, which strong guidance pushes out of [-1, 1].

>>> x0 = torch.tensor([[-2.0, 0.5, 1.0]])
>>> static(x0).tolist()  # cut
[[-1.0, 0.5, 1.0]]
>>> dynamic(1.0)(x0).tolist()  # scaled to its own largest value
[[-1.0, 0.25, 0.5]]
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from minimagen.denoiser import Prediction
from minimagen.noise import expand
from minimagen.samplers import Denoise

Threshold = Callable[[Tensor], Tensor]


def none(x0: Tensor) -> Tensor:
    """No threshold: x0 itself."""
    return x0


def static(x0: Tensor) -> Tensor:
    """Clip to [-1, 1], any shape. Source: Imagen, section 2.3. Lesson 09."""
    return x0.clamp(-1, 1)


def dynamic(percentile: float = 0.995) -> Threshold:
    """The function x0 -> clip(x0, -s, s) / s with s = max(1, percentile of |x0|) of each picture.

    x0 (B, ...); percentile a fraction in (0, 1], else `ValueError`; the default is that of Imagen's
    figure A.10. Source: Imagen, section 2.3. Lesson 09.
    """
    if not 0 < percentile <= 1:
        raise ValueError(f"percentile must be a fraction in (0, 1], got {percentile}")

    def threshold(x0: Tensor) -> Tensor:
        size = x0.abs().flatten(1).to(torch.promote_types(x0.dtype, torch.float32))
        s = expand(_quantile(size, percentile).clamp(min=1), x0.ndim).to(x0.dtype)
        return x0.clamp(-s, s) / s

    return threshold


THRESHOLDS = {
    "none": lambda percentile: none,
    "static": lambda percentile: static,
    "dynamic": dynamic,
}


def thresholded(denoise: Denoise, threshold: Threshold) -> Denoise:
    """The same denoiser with threshold(x0) in the place of x0.

    Its eps and v follow, since a prediction stores x0 alone. Lesson 09.
    """

    def clipped(z: Tensor, logsnr: Tensor) -> Prediction:
        pred = denoise(z, logsnr)
        return Prediction(pred.z, pred.logsnr, threshold(pred.x0))

    return clipped


def _quantile(values: Tensor, q: float) -> Tensor:
    """The q-quantile of each row, (B, n) -> (B,): `torch.quantile` without its limit of 2^24."""
    place = q * (values.shape[1] - 1)
    below = math.floor(place)
    low, high = (
        values.kthvalue(min(k, values.shape[1]), dim=1).values for k in (below + 1, below + 2)
    )
    return torch.lerp(low, high, place - below)
