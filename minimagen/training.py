"""Lessons 05 and 11. The training loop as a generator, the averaged weights, and a run that can be
stopped and resumed.
"""

import contextlib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from minimagen.conditioning import Cond
from minimagen.denoiser import Denoiser
from minimagen.files import write
from minimagen.noise import randn

MAX_NORM = 1.0  # a gradient longer than this is shortened to it


@dataclass(frozen=True)
class TrainStep:
    """One optimiser step: mean `loss`, `losses` and `logsnr` (B,) of this process's pictures,
    `norm` of the gradient before it was clipped.
    """

    loss: float
    losses: Tensor
    logsnr: Tensor
    norm: float


def train(
    denoiser: Denoiser,
    batches: Iterable[tuple[Tensor, Cond]],
    schedule: Callable[[Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    weight: Callable[[Tensor], Tensor] | None = None,
    accelerator=None,
    generator: torch.Generator | None = None,
) -> Iterator[TrainStep]:
    """For each batch: t ~ U(0, 1), eps ~ N(0, I), a step down the gradient of mean weight(lambda)
    loss(x0, lambda, eps, cond).

    batches gives (x0 (B, C, H, W), Cond); schedule t -> logsnr; weight logsnr (B,) -> (B,), None =
    1; accelerator an `accelerate.Accelerator`, None = this process alone in float32. Every process
    draws the whole batch with the same `generator` and keeps its share, so N processes do what one
    would. The reader stops the loop by no longer asking. Raises `ValueError` when a batch does not
    divide among the processes, `FloatingPointError` when the loss is not finite. Source: DDPM,
    algorithm 1; Imagen, appendix D. Lessons 05 and 11.
    """
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    device = parameters[0].device
    for step, (x0, cond) in enumerate(batches):
        if len(x0) % world:
            raise ValueError(
                f"batches must divide among the {world} processes, got a batch of {len(x0)}"
            )
        logsnr = schedule(torch.rand(len(x0), generator=generator))
        eps = randn(x0.shape, generator, like=x0)
        x0, cond, logsnr, eps = (part[rank::world].to(device) for part in (x0, cond, logsnr, eps))
        with accelerator.autocast() if accelerator else contextlib.nullcontext():
            losses = denoiser.loss(x0, logsnr, eps, cond)
        loss = (losses if weight is None else weight(logsnr) * losses).mean()
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


def velocity_weight(logsnr: Tensor, most: float = 20.0) -> Tensor:
    """1 / sigma^2 = 1 + e^lambda, at most `most`: what turns the squared error of x0 into that of
    v. (B,) -> (B,).

    A network that folds patches into channels is narrow beside the noise of a patch: it can draw
    x0, but not pass all of the noise through, as predicting v or eps asks of it. So it predicts x0
    and is weighted as if it predicted v; the cap keeps nearly clean pictures, where 1 / sigma^2
    grows without end, from outweighing the rest. Source: Salimans and Ho 2022, section 4 (the "SNR
    + 1" weighting). Lesson 04.
    """
    return (1 + logsnr.exp()).clamp(max=most)


def averaged(denoiser: Denoiser, decay: float = 0.999) -> AveragedModel:
    """The weights' exponential moving average: ema <- d ema + (1 - d) w, d = min(decay, (1 + n) /
    (10 + n)) at update n.

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
    """
    return min(1.0, (step + 1) / warm, max(0.0, (total - step) / (cool * total)))


# ---------------------------------------------------------------------------------- stop and resume


def save_state(
    path: str | Path, step: int, parts: dict[str, object], generator: torch.Generator
) -> None:
    """Everything a run needs to go on, in one safetensors file: each part's `state_dict()`, the
    generator and the step.

    parts: name -> module or optimiser. Written to a temporary name and renamed, so that a kill
    loses nothing.
    """
    tensors, numbers = {"generator": generator.get_state()}, {}
    for name, part in parts.items():
        _flatten(f"{name}/", part.state_dict(), tensors, numbers)
    told = {"step": str(step), "numbers": json.dumps(numbers)}
    tensors = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    write(path, lambda temporary: save_file(tensors, temporary, told))


def load_state(path: str | Path, parts: dict[str, object], generator: torch.Generator) -> int:
    """Put a state written by `save_state` back into the same parts -> the step to go on from.

    Raises `ValueError` naming the file when it is missing, cut short, or of another network.
    """
    try:
        with safe_open(path, "pt") as file:
            told = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dictionary)
        numbers = json.loads(told["numbers"])
        for name, part in parts.items():
            part.load_state_dict(_unflatten(f"{name}/", tensors, numbers))
            if isinstance(part, torch.optim.Optimizer):
                _lay_out(part)
        generator.set_state(tensors["generator"])
        return int(told["step"])
    except (OSError, SafetensorError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must be the state of this very training run, whole: {error}"
        ) from error


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Give each moment its parameter's memory order again: the file keeps none, and a fused step
    reads both as flat memory.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _flatten(prefix: str, value, tensors: dict[str, Tensor], numbers: dict[str, object]) -> None:
    """A nested state as two flat tables: tensors by path, and everything JSON can hold by path."""
    if isinstance(value, Tensor):
        tensors[prefix] = value
    elif isinstance(value, dict) and value:
        for key, inner in value.items():
            _flatten(f"{prefix}{type(key).__name__[0]}:{key}/", inner, tensors, numbers)
    else:
        numbers[prefix] = value


def _unflatten(prefix: str, tensors: dict[str, Tensor], numbers: dict[str, object]) -> dict:
    """The nested state below `prefix` again; a key's letter tells whether it was a string or an
    integer.
    """
    state: dict = {}
    for path, value in [*tensors.items(), *numbers.items()]:
        if path.startswith(prefix) and path != prefix:
            *outer, last = [
                int(k[2:]) if k[0] == "i" else k[2:] for k in path[len(prefix) : -1].split("/")
            ]
            inner = state
            for key in outer:
                inner = inner.setdefault(key, {})
            inner[last] = value
    return state


# ------------------------------------------------------------------------------------------ the log


class LossLog:
    """Collects steps and sums them up: mean loss, loss by noise level, gradient norm. Lesson 11
    draws its lines.
    """

    EDGES = (-20, -10, -6, -3, -1, 1, 3, 6, 10, 20)  # nats; bins of the log-SNR

    def __init__(self):
        self.steps: list[TrainStep] = []

    def add(self, step: TrainStep) -> None:
        self.steps.append(step)

    def line(self) -> dict:
        """The summary since the last call, ready for JSON; a bin without a picture is None."""
        losses, levels = (
            torch.cat([s.losses for s in self.steps]).cpu(),
            torch.cat([s.logsnr for s in self.steps]).cpu(),
        )
        bins = torch.bucketize(levels.float(), torch.tensor(self.EDGES[1:-1], dtype=torch.float32))
        by_level = [
            round(losses[bins == b].mean().item(), 5) if (bins == b).any() else None
            for b in range(len(self.EDGES) - 1)
        ]
        norm = math.fsum(s.norm for s in self.steps) / len(self.steps)
        summary = {
            "loss": round(losses.mean().item(), 5),
            "by_level": by_level,
            "norm": round(norm, 4),
            "pictures": len(losses),
        }
        self.steps = []
        return summary
