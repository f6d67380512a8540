"""Lesson 09. Thresholds on the estimate of the clean picture, which strong guidance pushes out of
[-1, 1].
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from minimagen.denoiser import Prediction
from minimagen.samplers import Denoise

Threshold = Callable[[Tensor], Tensor]


def none(x0: Tensor) -> Tensor:
    """No threshold: x0 itself."""
    return x0


def static(x0: Tensor) -> Tensor:
    """Clip to [-1, 1], any shape. Source: Imagen, section 2.3. Lesson 09."""
    return x0.clamp(-1, 1)


def dynamic(percentile: float = 0.995) -> Threshold:
    """For each picture, s = max(1, percentile of |x0|); clip to [-s, s] and divide by s. Returns
    the function x0 -> x0.

    x0 (B, ...); percentile a fraction in (0, 1], else `ValueError`; the default is that of Imagen's
    figure A.10. Source: Imagen, section 2.3. Lesson 09.
    """
    if not 0 < percentile <= 1:
        raise ValueError(f"percentile must be a fraction in (0, 1], got {percentile}")

    def threshold(x0: Tensor) -> Tensor:
        size = x0.abs().flatten(1).to(torch.promote_types(x0.dtype, torch.float32))
        s = _quantile(size, percentile).clamp(min=1).reshape(-1, *[1] * (x0.ndim - 1)).to(x0.dtype)
        return x0.clamp(-s, s) / s

    return threshold


THRESHOLDS = {
    "none": lambda percentile: none,
    "static": lambda percentile: static,
    "dynamic": dynamic,
}


def thresholded(denoise: Denoise, threshold: Threshold) -> Denoise:
    """The same denoiser with threshold(x0) in the place of x0: its eps and v follow, since only x0
    is stored. Lesson 09.
    """

    def clipped(z: Tensor, logsnr: Tensor) -> Prediction:
        pred = denoise(z, logsnr)
        return Prediction(pred.z, pred.logsnr, threshold(pred.x0))

    return clipped


def _quantile(values: Tensor, q: float) -> Tensor:
    """The q-quantile of each row, as `torch.quantile` gives it but without its limit of 2^24
    values. (B, n) -> (B,).
    """
    place = q * (values.shape[1] - 1)
    below = math.floor(place)
    low, high = (
        values.kthvalue(min(k, values.shape[1]), dim=1).values for k in (below + 1, below + 2)
    )
    return torch.lerp(low, high, place - below)
