"""Lesson 11. What learns in a training run by a recipe, and all that its next step depends on."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from minimagen import checkpoint, pixels
from minimagen.cascade import Stage
from minimagen.checkpoint import SCHEDULES, Settings
from minimagen.conditioning import Cond
from minimagen.denoiser import Denoiser
from minimagen.log import LossLog
from minimagen.objective import Objective, shifted, velocity_weight
from minimagen.recipes import Recipe
from minimagen.samplers import last
from minimagen.training import TrainStep, averaged, warm_then_cool

PARTS = ("denoiser", "ema", "optimizer", "rate", "log")  # of a `Learner`, each with a state_dict
WEIGHTS = {"x0": velocity_weight, "v": torch.ones_like, "eps": torch.ones_like}  # by target


@dataclass
class Learner:
    """What learns, and all that its next step depends on."""

    denoiser: Denoiser
    ema: AveragedModel
    optimizer: torch.optim.Optimizer
    rate: LambdaLR
    generator: torch.Generator
    log: LossLog
    step: int = 0  # how many have been done

    def advance(self, step: TrainStep) -> None:
        """What follows a step down the gradient: the average, the next learning rate, the log."""
        self.ema.update_parameters(self.denoiser)
        self.rate.step()
        self.log.add(step)
        self.step += 1

    def state_dict(self) -> dict:
        """Everything, as a nested dictionary of tensors and what JSON can hold."""
        parts = {name: getattr(self, name).state_dict() for name in PARTS}
        return {"step": self.step, "generator": self.generator.get_state(), **parts}

    def load_state_dict(self, state: dict) -> None:
        """Put back what `state_dict` gave; raises what PyTorch raises where it does not fit."""
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])
        _lay_out(self.optimizer)
        self.generator.set_state(state["generator"])
        self.step = state["step"]


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Give each moment its parameter's memory order again: the file keeps none, and a fused step
    reads both as flat memory.
    """
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def new_learner(recipe: Recipe, settings: Settings, seed: int, device: torch.device) -> Learner:
    """A learner before its first step; its weights and its noise depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        denoiser = settings.build()
    # On a CPU plain order is faster: 198 pictures of 32 x 32 a second against 180, on one core
    # in batches of 64.
    order = torch.channels_last if device.type == "cuda" else torch.contiguous_format
    denoiser = denoiser.to(device, memory_format=order)
    optimizer = torch.optim.AdamW(
        denoiser.parameters(), lr=recipe.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    rate = LambdaLR(optimizer, lambda step: warm_then_cool(step, recipe.steps, recipe.warm))
    generator = torch.Generator().manual_seed(seed)
    return Learner(
        denoiser, averaged(denoiser, recipe.decay), optimizer, rate, generator, LossLog()
    )


def objective(recipe: Recipe) -> Objective:
    """What a recipe minimises: noise by its stage's schedule, shifted, and its target's weight."""
    schedule = shifted(SCHEDULES[recipe.settings.schedule], recipe.shift)
    return Objective(schedule, WEIGHTS[recipe.settings.target])


def weights_of(source: str | Path, settings: Settings) -> Denoiser:
    """The network in a stage's folder; `ValueError` where its shape is not that of `settings`."""
    denoiser, wanted = checkpoint.load(source)
    if wanted.config != settings.config:
        raise ValueError(
            f"source (--from) must be a stage of the same shape, {settings.config}, got "
            f"{wanted.config}"
        )
    return denoiser


@torch.no_grad()
def drawn(
    denoiser: Denoiser, settings: Settings, x0: Tensor, cond: Cond, generator: torch.Generator
) -> Tensor:
    """Pictures like x0 (B, 3, H, W) below its texts; super-resolution begins with x0 itself, made
    small.
    """
    stage = Stage(denoiser, settings).with_settings(size=x0.shape[-1])
    below = cond.lowres.image if cond.lowres else None
    if below is not None:
        below = pixels.resize(x0, below.shape[-1]).to(below.device)
    return last(stage.run(cond.text, below, generator)).x0.cpu()
