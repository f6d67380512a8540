"""Lessons 07 and 08. Guidance: a wrapper that makes a denoiser listen harder to its condition.

>>> from minimagen.ideal import Ideal
>>> model = Ideal(torch.tensor([[-1.0], [1.0]]), labels=torch.tensor([0, 1]))
>>> z, logsnr, right = torch.zeros(1, 1), torch.zeros(1), torch.tensor([1])
>>> [guided(model, right, w)(z, logsnr).x0.item() for w in (0.0, 1.0, 3.0)]
[0.0, 1.0, 3.0]
"""

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from minimagen.conditioning import Cond, stack
from minimagen.denoiser import Prediction
from minimagen.noise import ALL, MAX_LOGSNR, Share, alpha_sigma
from minimagen.samplers import Denoise, Step, ancestral_variance

Classifier = Callable[[Tensor, Tensor], Tensor]


def guided(
    denoiser: Callable[..., Prediction],
    cond,
    weight: float,
    negative=None,
    interval: tuple[float, float] = (-MAX_LOGSNR, MAX_LOGSNR),
) -> Denoise:
    """Classifier-free guidance: eps = w eps(z, cond) + (1 - w) eps(z, other).

    The same line holds for x0. denoiser(z, logsnr, cond) -> Prediction; weight w: 1 is off and
    costs half, 0 is unconditional. The other half is `negative`, else a `Cond` without its text,
    else (labels) None. Where logsnr lies outside `interval`, w = 1; a batch shares its level, so
    the first row decides. A `Cond` runs as one call on a doubled batch, rows of cond first, and a
    denoiser with `prepare` prepares it once; any other condition (labels) takes two calls. Raises
    `ValueError` on a weight that is not finite and on an interval that is not (low, high). Source:
    Imagen, equation 2 (Ho and Salimans 2021 count w from 0); the interval is Kynkäänniemi et al.
    2024. Lesson 08.
    """
    _finite("weight", weight)
    low, high = interval
    if not low <= high:
        raise ValueError(f"interval must be (low, high) with low <= high, got {interval}")
    other = _unconditional(cond) if negative is None else negative
    if weight == 1 or other is cond:  # without text there is nothing to drop: both halves are one
        ready = _prepared(denoiser, cond)
        return lambda z, logsnr: denoiser(z, logsnr, ready)
    conditional, both = _halves(denoiser, cond, other)

    def denoise(z: Tensor, logsnr: Tensor) -> Prediction:
        if not logsnr.is_meta and not low <= logsnr[0] <= high:
            return conditional(z, logsnr)
        x0, other_x0 = both(z, logsnr)
        return Prediction(z, logsnr, other_x0 + weight * (x0 - other_x0))

    return denoise


def _unconditional(cond):
    """What a network was trained with where its condition was dropped."""
    return cond.without_text() if isinstance(cond, Cond) else None


def _halves(denoiser, cond, other):
    """Two functions of (z, logsnr): the Prediction under cond, and x0 under cond and other."""
    if not isinstance(cond, Cond):  # labels and None do not stack into one batch: two calls
        conditional = lambda z, logsnr: denoiser(z, logsnr, cond)
        return conditional, lambda z, logsnr: (
            conditional(z, logsnr).x0,
            denoiser(z, logsnr, other).x0,
        )
    ready = _prepared(denoiser, stack(cond, other))
    doubled = lambda z, logsnr: denoiser(torch.cat([z, z]), torch.cat([logsnr, logsnr]), ready)
    return (
        lambda z, logsnr: denoiser(z, logsnr, ready[: len(z)]),
        lambda z, logsnr: doubled(z, logsnr).x0.chunk(2),
    )


@torch.no_grad()
def _prepared(denoiser, cond):
    # An exact denoiser, or a function of a notebook, has no work that could be done once.
    return denoiser.prepare(cond) if hasattr(denoiser, "prepare") else cond


def classifier_guided(
    denoise: Denoise, classifier: Classifier, labels: Tensor, scale: float
) -> Denoise:
    """Classifier guidance: eps - scale sigma grad log p(labels | z).

    For x0 that is x0 + scale (sigma^2 / alpha) grad log p. classifier(z, logsnr) -> (B, K) logits
    for noisy pictures; labels (B,) integers; the gradient is taken at z_t. Raises `ValueError` on a
    scale that is not finite. Source: Dhariwal and Nichol 2021, algorithm 2. Lesson 07.
    """
    _finite("scale", scale)

    def guided_denoise(z: Tensor, logsnr: Tensor) -> Prediction:
        alpha, sigma = alpha_sigma(logsnr, z.ndim)
        push = scale * sigma**2 / alpha * _gradient(classifier, z, logsnr, labels)
        return Prediction(z, logsnr, denoise(z, logsnr).x0 + push)

    return guided_denoise


def shifted(
    step: Step, classifier: Classifier, labels: Tensor, scale: float, gamma: float = 0.0
) -> Step:
    """The original classifier guidance: mean + scale * variance * grad log p(labels | z_t).

    The variance is that of `ancestral(gamma)`; the denoiser is left as it is, so this goes with a
    step that draws noise. Raises `ValueError` on a scale that is not finite. Source: Dhariwal and
    Nichol 2021, algorithm 1. Lesson 07.
    """
    _finite("scale", scale)

    def shifted_step(pred, logsnr_s, generator=None, previous=None, denoise=None):
        z = step(pred, logsnr_s, generator, previous, denoise)
        slope = _gradient(classifier, pred.z, pred.logsnr, labels)
        return z + scale * ancestral_variance(pred, logsnr_s, gamma) * slope

    return shifted_step


def drop_text(
    batches: Iterable[tuple[Tensor, Cond]],
    probability: float,
    generator=None,
    share: Share = ALL,
) -> Iterator[tuple[Tensor, Cond]]:
    """Guidance's twin in training: each picture of a batch (x0, cond) may lose its text.

    It does so with `probability`: Imagen drops 10 % (section 2.2). share: what the batches are of
    those of all processes. Raises `ValueError` on a probability outside [0, 1]. Lesson 08.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must lie in [0, 1], got {probability}")

    def dropped() -> Iterator[tuple[Tensor, Cond]]:
        device = generator.device if generator else None
        draw = lambda count: torch.rand(count, generator=generator, device=device)
        for x0, cond in batches:
            yield x0, cond.without_text(share.rows(draw, len(x0)) < probability)

    return dropped()


def _gradient(classifier: Classifier, z: Tensor, logsnr: Tensor, labels: Tensor) -> Tensor:
    """grad_z log p(labels | z), row by row."""
    # Sampling runs without gradients: they are switched on here alone.
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        log_p = classifier(z, logsnr).log_softmax(1).gather(1, labels.to(z.device)[:, None]).sum()
        return torch.autograd.grad(log_p, z)[0]


def _finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value}")
