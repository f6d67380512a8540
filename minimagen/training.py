"""Lessons 05 and 11. The training loop as a generator, the averaged weights, and the learning rate
over a run.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from minimagen.conditioning import Cond
from minimagen.denoiser import Denoiser
from minimagen.noise import ALL, Share
from minimagen.objective import Objective

MAX_NORM = 1.0  # a gradient longer than this is shortened to it


@dataclass(frozen=True)
class TrainStep:
    """One optimiser step, as this process saw it."""

    loss: float  # the weighted mean that was descended
    losses: Tensor  # (B,) of each picture, without the weight
    logsnr: Tensor  # (B,) its noise level
    norm: float  # of the gradient, before it was clipped


def train(
    denoiser: Denoiser,
    batches: Iterable[tuple[Tensor, Cond]],
    objective: Objective | Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    share: Share = ALL,
    generator: torch.Generator | None = None,
) -> Iterator[TrainStep]:
    """For each batch: t ~ U(0, 1), eps ~ N(0, I), and a step down the gradient of the mean weight
    (lambda) loss(x0, lambda, eps, cond).

    batches gives (x0 (B, C, H, W), Cond); objective: an `Objective`, or a schedule t -> logsnr
    alone, whose levels then count the same. share: what the batches are of those of all processes,
    where several train together; with the same `generator` each, N of them do what one would. The
    reader stops the loop by no longer asking. Raises `FloatingPointError` when the loss is not
    finite. Source: DDPM, algorithm 1; Imagen, appendix D. Lessons 05 and 11.
    """
    if not isinstance(objective, Objective):
        objective = Objective(objective)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    device = parameters[0].device
    for step, (x0, cond) in enumerate(batches):
        logsnr, eps = objective.draw(x0, generator, share)
        x0, cond, logsnr, eps = (part.to(device) for part in (x0, cond, logsnr, eps))
        losses = denoiser.loss(x0, logsnr, eps, cond)
        loss = objective.mean(losses, logsnr)
        if not loss.isfinite():
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {step}: the learning rate is too high, or "
                "the data broken"
            )
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, MAX_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield TrainStep(loss.item(), losses.detach(), logsnr, norm.item())


def averaged(denoiser: Denoiser, decay: float = 0.999) -> AveragedModel:
    """The weights' exponential moving average: ema <- d ema + (1 - d) w, where d = min(decay,
    (1 + n) / (10 + n)) at update n.

    n counts from 0, and update 0 copies the weights. The growing d keeps the random first weights
    from lingering. Call `.update_parameters(denoiser)` after each step; `.module` is the averaged
    denoiser. Lessons 05 and 11.
    """

    @torch.no_grad()
    def update(ema: list[Tensor], weights: list[Tensor], n: Tensor) -> None:
        torch._foreach_lerp_(ema, weights, 1 - min(decay, (1 + n.item()) / (10 + n.item())))

    return AveragedModel(denoiser, multi_avg_fn=update)


def warm_then_cool(step: int, total: int, warm: int, cool: float = 0.3) -> float:
    """The factor on the learning rate: up over `warm` steps, constant, and down to 0 over the last
    `cool` of `total` steps.

    With PyTorch: `LambdaLR(optimizer, lambda step: warm_then_cool(step, total, warm))`, and its
    `step()` after each step of training. Lessons 05 and 11.

    >>> [warm_then_cool(step, total=100, warm=4) for step in (0, 3, 50, 85, 100)]
    [0.25, 1.0, 1.0, 0.5, 0.0]
    """
    return min(1.0, (step + 1) / warm, max(0.0, (total - step) / (cool * total)))
