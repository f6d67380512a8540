"""Lessons 11 and 13. How each shipped network is trained: its data, its numbers, and a run that a
kill does not lose.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from minimagen import checkpoint, pixels
from minimagen.cascade import Stage
from minimagen.checkpoint import SCHEDULES, Settings
from minimagen.data import Captioned, batches, crops
from minimagen.files import make_folder, write
from minimagen.guidance import drop_text
from minimagen.noise import MAX_LOGSNR
from minimagen.superres import with_lowres
from minimagen.text import TextEncoder, cached
from minimagen.training import (
    LossLog,
    TrainStep,
    averaged,
    load_state,
    save_state,
    train,
    velocity_weight,
    warm_then_cool,
)
from minimagen.unet import SHIPPED


@dataclass(frozen=True)
class Recipe:
    """What a training run is: `settings` of the stage it makes, batch size, learning rate,
    optimiser steps, warm-up steps.

    crop: side of the windows it is trained on, None for whole pictures; most_aug: the largest
    augmentation level of training; save: steps between two saved states; shift: nats added to the
    schedule's log-SNR in training (not in drawing), below 0 for more noise: what stands where, and
    how large, is decided while the page is still noisy.
    """

    settings: Settings
    batch: int
    rate: float
    steps: int
    warm: int
    crop: int | None = None
    most_aug: float = 1.0
    save: int = 500
    drop: float = 0.1
    decay: float = 0.999
    shift: float = 0.0

    def logsnr(self, t: Tensor) -> Tensor:
        """The noise of training at t ~ U(0, 1): the stage's schedule, shifted."""
        return (SCHEDULES[self.settings.schedule](t) + self.shift).clamp(-MAX_LOGSNR, MAX_LOGSNR)


BASE = Settings(64, "unet", SHIPPED["base"], target="x0", sampler="ancestral", steps=48, weight=2.0)
SR256 = Settings(
    256, "efficient", SHIPPED["sr256"], target="x0", sampler="ancestral", steps=32, aug_level=0.1
)
SR1024 = Settings(
    1024, "efficient", SHIPPED["sr1024"], target="x0", schedule="linear", steps=10, aug_level=0.1
)
# Differs from the paper, which guides its super-resolution networks with w = 8: theirs have details
# to invent.

RECIPES = {
    ("base", "cpu"): Recipe(
        BASE, batch=64, rate=1e-3, steps=60_000, warm=200, shift=-2.0
    ),  # after 46,000 at 32
    ("sr256", "cpu"): Recipe(
        SR256, batch=16, rate=1e-3, steps=24_000, warm=100, crop=128, most_aug=0.3
    ),
    ("sr1024", "cpu"): Recipe(
        SR1024, batch=16, rate=1e-3, steps=16_000, warm=100, crop=128, most_aug=0.3
    ),  # from sr256's
    ("base", "gpu"): Recipe(
        BASE, batch=512, rate=1e-3, steps=40_000, warm=1_000, save=2_000, decay=0.9995
    ),
    ("sr256", "gpu"): Recipe(
        SR256, batch=256, rate=1e-3, steps=10_000, warm=500, crop=128, save=2_000
    ),
    ("sr1024", "gpu"): Recipe(
        SR1024, batch=128, rate=1e-3, steps=10_000, warm=500, crop=256, save=2_000
    ),
}
WEIGHTS = {"x0": velocity_weight, "v": None, "eps": None}  # of the loss, by target
STAGES = tuple(dict.fromkeys(stage for stage, _ in RECIPES))
PROFILES = tuple(dict.fromkeys(profile for _, profile in RECIPES))


def follow(
    recipe: Recipe,
    data: Captioned,
    encoder: TextEncoder,
    out: Path,
    *,
    resume: bool = False,
    source: Path | None = None,
    accelerator=None,
) -> Iterator[tuple[int, TrainStep]]:
    """Train by a recipe, step by step with their numbers from 1; in the end `out` holds the stage,
    ready to be drawn with.

    out gathers `log.jsonl` (loss, loss by noise level, gradient norm, pictures a second),
    `samples/` and `state.safetensors`, every `recipe.save` steps. resume: go on from the state in
    `out`, if there is one, as if the run had never stopped. source: a stage's folder whose weights
    to begin with. The reader may stop at any step. Raises `ValueError` when `out` already holds a
    run and `resume` is False, or `source` is another kind of stage.
    """
    run = _Run(recipe, data, encoder, Path(out), accelerator)
    run.begin(resume, source)
    return run.go()


class _Run:
    """The parts of one training run, and where they are kept."""

    def __init__(
        self, recipe: Recipe, data: Captioned, encoder: TextEncoder, out: Path, accelerator
    ):
        torch.manual_seed(0)  # the first weights
        self.recipe, self.encoder, self.out, self.accelerator = recipe, encoder, out, accelerator
        device = accelerator.device if accelerator else torch.device("cpu")
        config = replace(
            recipe.settings.config,
            text_width=encoder.width if recipe.settings.config.text_width else None,
        )
        self.settings = replace(recipe.settings, config=config)
        # On a CPU plain order is faster: 198 pictures of 32 x 32 a second against 180, on one core
        # in batches of 64.
        order = torch.channels_last if device.type == "cuda" else torch.contiguous_format
        self.denoiser = self.settings.build().to(device, memory_format=order)
        self.ema = averaged(self.denoiser, recipe.decay)
        self.optimizer = torch.optim.AdamW(
            self.denoiser.parameters(),
            lr=recipe.rate,
            betas=(0.9, 0.99),
            weight_decay=0.01,
            fused=True,
        )
        self.generator = torch.Generator().manual_seed(0)
        self.parts = {"denoiser": self.denoiser, "ema": self.ema, "optimizer": self.optimizer}
        self.data = crops(data, recipe.crop) if recipe.crop else data
        self.main = accelerator is None or accelerator.is_main_process
        self.start, self.log = 0, LossLog()

    @property
    def state(self) -> Path:
        return self.out / "state.safetensors"

    def begin(self, resume: bool, source: Path | None) -> None:
        """Fresh weights, those of `source`, or the state that an earlier run left."""
        if self.state.exists() and not resume:
            raise ValueError(
                f"out must be a new folder, but {self.out} holds a run: pass --resume to go on "
                "with it"
            )
        if (self.out / "stage.json").exists() and not self.state.exists():
            raise ValueError(
                f"out must be a new folder, but {self.out} holds a trained stage: begin "
                f"elsewhere with --from {self.out}"
            )
        if self.state.exists():
            self.start = load_state(self.state, self.parts, self.generator)
        elif source is not None:
            weights, settings = checkpoint.load(source)
            if settings.config != self.settings.config:
                wanted = self.settings.config
                raise ValueError(
                    f"source (--from) must be a stage of the same shape, {wanted}, got "
                    f"{settings.config}"
                )
            self.denoiser.load_state_dict(weights.state_dict())
        elif self.settings.config.neighbours:
            captions = [
                caption
                for _, caption in (self.data[i * 7919 % len(self.data)] for i in range(1024))
            ]
            self.denoiser.net.reader.init_whitening(self.encoder.encode(captions))
        if self.main:
            make_folder(self.out)  # now, and not at the first save, hundreds of steps later
            _cut_log(self.out / "log.jsonl", self.start)

    def stream(self, start: int, generator: torch.Generator):
        """Batches from number `start` on: pictures, text dropped now and then, the picture below
        where the stage wants one.
        """
        encode = self.encoder.encode
        if captions := getattr(self.data, "captions", []):
            encode = cached(self.encoder, captions)
        stream = batches(self.data, self.recipe.batch, encode, start=start)
        stream = drop_text(stream, self.recipe.drop, generator)
        if not self.settings.config.lowres:
            return stream
        side = (self.recipe.crop or self.settings.size) // 4
        return with_lowres(
            stream, side, SCHEDULES[self.settings.schedule], generator, self.recipe.most_aug
        )

    def go(self) -> Iterator[tuple[int, TrainStep]]:
        recipe, accelerator = self.recipe, self.accelerator
        denoiser, began = self.denoiser, time.monotonic()
        if accelerator and accelerator.num_processes > 1:
            denoiser = type(denoiser)(accelerator.prepare(denoiser.net), denoiser.target)
        stream = self.stream(self.start, self.generator)
        self._rate(self.start)
        steps = train(
            denoiser,
            stream,
            recipe.logsnr,
            self.optimizer,
            weight=WEIGHTS[self.settings.target],
            accelerator=accelerator,
            generator=self.generator,
        )
        # zip would draw one batch too many from `steps`, so the counter comes first.
        for number, step in zip(range(self.start + 1, recipe.steps + 1), steps, strict=False):
            self.ema.update_parameters(self.denoiser)
            if self.main:
                self.log.add(step)
            if self.main and (number % recipe.save == 0 or number == recipe.steps):
                self._keep(number, time.monotonic() - began)
                began = time.monotonic()
            self._rate(number)
            yield number, step

    def _rate(self, number: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate * warm_then_cool(
                number, self.recipe.steps, self.recipe.warm
            )

    def _keep(self, number: int, seconds: float) -> None:
        """State, log line, sample pictures, and the stage itself with the averaged weights."""
        line = self.log.line()
        line["pictures"] *= (
            self.accelerator.num_processes if self.accelerator else 1
        )  # each process sees its share
        speed = round(line["pictures"] / seconds, 1)
        line = {
            "step": number,
            **line,
            "pictures_per_second": speed,
            "rate": self.optimizer.param_groups[0]["lr"],
        }
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        trained = {"steps": number, "batch": self.recipe.batch, "encoder": self.encoder.fingerprint}
        checkpoint.save(self.out, self.ema.module, replace(self.settings, trained=trained))
        sheet = pixels.to_uint8(pixels.grid(self._draw(), 8)).permute(1, 2, 0).numpy()
        write(
            self.out / "samples" / f"{number:07d}.png",
            lambda path: Image.fromarray(sheet).save(path, "PNG", optimize=True),
        )
        save_state(self.state, number, self.parts, self.generator)

    @torch.no_grad()
    def _draw(self) -> Tensor:
        """The same eight captions each time, drawn with the averaged weights from one noise."""
        generator = torch.Generator().manual_seed(1)
        x0, cond = next(self.stream(2**31, generator))  # a batch that training never comes to
        x0, cond = x0[:8], cond[:8].to(next(self.denoiser.parameters()).device)
        stage = Stage(self.ema.module.eval(), self.settings).with_settings(size=x0.shape[-1])
        below = cond.lowres.image if cond.lowres else None
        if below is not None:
            below = pixels.resize(x0, below.shape[-1]).to(below.device)
        for pred in stage.run(cond.text, below, generator):
            last = pred.x0
        return last.cpu()


def _cut_log(path: Path, step: int) -> None:
    """Drop the lines after `step`: the steps they tell of will be done again."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(True)
        lines = [
            line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step
        ]  # a full disk cuts one
        write(path, lambda temporary: temporary.write_text("".join(lines), encoding="utf-8"))
