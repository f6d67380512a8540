"""Lesson 06. One sampling loop, and several small steps from a noisy z_t to a less noisy z_s.

>>> from minimagen.ideal import IdealGaussian
>>> from minimagen.noise import cosine
>>> z = torch.tensor([[-1.0], [0.0], [1.0]])  # noise, to become points of N(2, 0.5^2)
>>> run = sample(IdealGaussian(2.0, 0.5), steps(cosine, 200), z, ddim())
>>> [round(value, 1) for value in last(run).x0.flatten().tolist()]
[1.5, 2.0, 2.5]
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from minimagen.denoiser import Prediction
from minimagen.noise import alpha_sigma, expand, randn

Denoise = Callable[[Tensor, Tensor], Prediction]
Step = Callable[..., Tensor]


def steps(schedule: Callable[[Tensor], Tensor], n: int, start: float = 1.0) -> Tensor:
    """The n log-SNRs of a run: the schedule at n evenly spaced times from `start` down to 1 / n.

    start: a time, 1 = noise; -> (n,) float64. The last prediction is itself the jump to t = 0;
    evaluating there too would spend a step on a picture without noise, and on the exact Gaussian
    denoiser every sampler comes out worse. Raises `ValueError` when n is not a positive integer or
    start lies outside (0, 1]. Lesson 06.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n must be a positive number of steps, got {n!r}")
    if not 0 < start <= 1:
        raise ValueError(f"start must be a time in (0, 1], got {start}")
    return schedule(torch.linspace(start, 1 / n, n, dtype=torch.float64))


def sample(
    denoise: Denoise, logsnrs: Tensor, z: Tensor, step: Step, generator=None
) -> Iterator[Prediction]:
    """Denoise, step, denoise, ...: one prediction a log-SNR, and the last one's x0 is the picture.

    denoise(z, logsnr) -> Prediction; logsnrs (n,) strictly increasing, from noise to clean; z (B,
    ...) ~ N(0, I); step one of `STEPS`; generator a `torch.Generator`, or B of them. n predictions
    and n - 1 transitions: the last prediction has none. Runs without gradients, yet not in
    inference mode: guidance may need a gradient of its own. Raises `ValueError` when logsnrs is
    empty or does not increase. Source: Imagen, appendix D. Lesson 06.
    """
    levels = torch.as_tensor(logsnrs).to(z.device, torch.promote_types(z.dtype, torch.float32))
    if levels.ndim != 1 or len(levels) < 1:
        raise ValueError(
            f"logsnrs must be a vector with one entry or more, got shape {tuple(levels.shape)}"
        )
    if not levels.is_meta and not bool(levels.isfinite().all() & (levels.diff() > 0).all()):
        raise ValueError(
            "logsnrs must be finite and increase strictly from noise to clean, got "
            f"{levels.tolist()}"
        )
    return _walk(denoise, levels[:, None].expand(-1, len(z)), z, step, generator)


def _walk(
    denoise: Denoise, levels: Tensor, z: Tensor, step: Step, generator
) -> Iterator[Prediction]:
    previous = pred = None
    for logsnr in levels:
        # Gradients are off for the work alone: across a yield they would be off for whoever reads
        # the predictions too.
        with torch.no_grad():
            if pred is not None:
                z = step(pred, logsnr, generator, previous, denoise)
            previous, pred = pred, denoise(z, logsnr)
        yield pred


def last(predictions: Iterable[Prediction]) -> Prediction:
    """The last prediction of a run, whose x0 is the picture: the others are made and let go.

    Raises `ValueError` when there is none. Lesson 06.
    """
    end = deque(predictions, maxlen=1)
    if not end:
        raise ValueError("predictions must hold one prediction or more, got none")
    return end[0]


def ancestral(gamma: float = 0.0) -> Step:
    """z_s = e^(lt-ls) (alpha_s / alpha_t) z_t + (1 - e^(lt-ls)) alpha_s x0 + sqrt(variance) eps.

    The variance is `ancestral_variance`; gamma in [0, 1], 0 the smaller noise and 1 the larger,
    else `ValueError`. Source: Imagen, equation 6; with a beta table and gamma = 0 it is DDPM's
    q_posterior. Lesson 06.
    """
    _check_fraction("gamma", gamma)

    def step(pred, logsnr_s, generator=None, previous=None, denoise=None):
        (alpha_t, _), (alpha_s, _) = _scales(pred, logsnr_s)
        fresh = _fresh(pred, logsnr_s)
        mean = (1 - fresh) * (alpha_s / alpha_t) * pred.z + fresh * alpha_s * pred.x0
        return mean + ancestral_variance(pred, logsnr_s, gamma).sqrt() * randn(
            pred.z.shape, generator, like=pred.z
        )

    return step


def ancestral_variance(pred: Prediction, logsnr_s: Tensor, gamma: float) -> Tensor:
    """(1 - e^(lt-ls)) sigma_s^(2 (1-gamma)) sigma_t^(2 gamma) -> (B, 1, ..., 1).

    Source: Imagen, equation 6. Lesson 06.
    """
    (_, sigma_t), (_, sigma_s) = _scales(pred, logsnr_s)
    return _fresh(pred, logsnr_s) * sigma_s ** (2 * (1 - gamma)) * sigma_t ** (2 * gamma)


def ddim(eta: float = 0.0) -> Step:
    """z_s = alpha_s x0 + sqrt(sigma_s^2 - c^2) eps(z_t) + c eps, where eps is drawn anew.

    c^2 = eta^2 (1 - e^(lt-ls)) sigma_s^2. eta in [0, 1], else `ValueError`: 0 is deterministic and
    draws no noise, 1 is `ancestral(0)`. Source: Song et al. 2021 (DDIM), equations 12 and 16;
    Imagen, equation 5. Lesson 06.
    """
    _check_fraction("eta", eta)

    def step(pred, logsnr_s, generator=None, previous=None, denoise=None):
        _, (alpha_s, sigma_s) = _scales(pred, logsnr_s)
        if eta == 0:
            return alpha_s * pred.x0 + sigma_s * pred.eps
        share = eta**2 * _fresh(pred, logsnr_s)  # of the variance sigma_s^2, how much is drawn anew
        noise = randn(pred.z.shape, generator, like=pred.z)
        return alpha_s * pred.x0 + sigma_s * ((1 - share).sqrt() * pred.eps + share.sqrt() * noise)

    return step


def heun() -> Step:
    """Heun's second-order step on the probability-flow ODE d(z / alpha) = eps d(sigma / alpha).

    The Euler step of this ODE is DDIM; denoising once more at its end gives the slope there, and
    half the change of slope corrects it. n log-SNRs cost 2n - 1 evaluations. From logsnr = -20 the
    first interval of sigma / alpha is 22 026 wide, too wide for a trapezium in few steps: begin
    near -10, as `steps(cosine, n, start=0.995)` does and EDM's 80 is. Source: Karras et al. 2022
    (EDM), algorithm 1. Lesson 06.
    """
    euler = ddim()

    def step(pred, logsnr_s, generator=None, previous=None, denoise=None):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = _scales(pred, logsnr_s)
        z = euler(pred, logsnr_s)
        change = denoise(z, logsnr_s).eps - pred.eps
        return z + alpha_s * (sigma_s / alpha_s - sigma_t / alpha_t) * change / 2

    return step


def dpmpp_2m() -> Step:
    """z_s = (sigma_s / sigma_t) z_t - alpha_s (e^-h - 1) D, D = x0 + (x0 - previous x0) / (2 r).

    h = (ls - lt) / 2, r = (previous h) / h; the first step has no previous prediction and is DDIM.
    One evaluation a step, second order. Source: Lu et al. 2022 (DPM-Solver++), algorithm 2. Lesson
    06.
    """

    def step(pred, logsnr_s, generator=None, previous=None, denoise=None):
        (_, sigma_t), (alpha_s, sigma_s) = _scales(pred, logsnr_s)
        h = expand(logsnr_s - pred.logsnr, pred.z.ndim) / 2
        x0 = pred.x0
        if previous is not None:
            r = expand(pred.logsnr - previous.logsnr, pred.z.ndim) / 2 / h
            x0 = x0 + (x0 - previous.x0) / (2 * r)
        return sigma_s / sigma_t * pred.z - alpha_s * torch.expm1(-h) * x0

    return step


STEPS = {"ancestral": ancestral, "ddim": ddim, "heun": heun, "dpmpp_2m": dpmpp_2m}


def _scales(
    pred: Prediction, logsnr_s: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(alpha_t, sigma_t), (alpha_s, sigma_s)."""
    return alpha_sigma(pred.logsnr, pred.z.ndim), alpha_sigma(logsnr_s, pred.z.ndim)


def _fresh(pred: Prediction, logsnr_s: Tensor) -> Tensor:
    """1 - e^(lt-ls), between 0 (no step at all) and 1."""
    return -torch.expm1(expand(pred.logsnr - logsnr_s, pred.z.ndim))


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")
