"""Lesson 11. One training run, in a folder, that neither a kill nor a full disk loses."""

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from minimagen import checkpoint, pixels
from minimagen.checkpoint import SCHEDULES, Settings
from minimagen.conditioning import Cond, Text
from minimagen.data import Captioned, batches, crops
from minimagen.denoiser import Denoiser
from minimagen.files import FolderLock, remove_temporaries, write
from minimagen.guidance import drop_text
from minimagen.learner import Learner, drawn, new_learner, objective, weights_of
from minimagen.log import read_log, up_to, write_log
from minimagen.noise import ALL, Share
from minimagen.recipes import Recipe
from minimagen.state import STATE, Config, check_same, kept, load_state, save_state
from minimagen.superres import with_lowres
from minimagen.text import TextEncoder, cached
from minimagen.training import TrainStep, train, warm_then_cool

LOG = "training_log.jsonl"
FILES = (STATE, LOG, "weights.safetensors", "stage.json", "samples/*.png", ".holder")  # in `out`
AFTER_ALL = 2**31  # the number of a batch that training never comes to: that of the samples


def train_recipe(
    recipe: Recipe,
    data: Captioned,
    encoder: TextEncoder,
    out: str | Path,
    *,
    resume: bool = False,
    source: str | Path | None = None,
    accelerator=None,
    choices: dict | None = None,
) -> Iterator[tuple[int, TrainStep]]:
    """Train by a recipe, step by step with their numbers from 1; in the end `out` holds the stage,
    ready to be drawn with.

    out gathers, every `recipe.save` steps, `training_log.jsonl` (loss, loss by noise level,
    gradient norm, pictures a second), `samples/` and `state.safetensors`. resume: go on from the
    state in `out`, if there is one, as if the run had never stopped. source: a stage's folder whose
    weights to begin with, and whose log to go on with. accelerator: an `accelerate.Accelerator`,
    None for this process alone in float32. choices: what else a resumed run must agree in, by name.
    The reader may stop at any step; where it throws a `KeyboardInterrupt` in, and where a picture
    or the disk fails, the state is saved first. Raises `ValueError` when `out` holds a run and
    `resume` is False, when the run there began otherwise or another process is at work on it, and
    when `source` is another kind of stage. Lesson 11.
    """
    config = Config(recipe, len(data), encoder.name, encoder.fingerprint, choices or {})
    run = Run.set_up(config, data, encoder, Path(out), accelerator)
    if run.state.exists():
        run.check(resume)
    else:
        run.begin(source)
    return run.steps()


@dataclass
class Run:
    """The parts of one training run, and where they are kept."""

    config: Config
    settings: Settings  # of the stage, as wide as the text encoder
    learner: Learner
    data: Captioned  # pictures as the network sees them, or windows of them
    encoder: TextEncoder
    out: Path
    accelerator: object | None  # an accelerate.Accelerator
    lines: list[dict]  # of the log
    whole: Tensor  # the generator's state after the last whole step

    @classmethod
    def set_up(cls, config: Config, data: Captioned, encoder: TextEncoder, out: Path, accelerator):
        """A run before its first step, which has written nothing yet."""
        recipe, world = config.recipe, accelerator.num_processes if accelerator else 1
        if recipe.batch % world:
            raise ValueError(
                f"batch must divide among the {world} processes, got {recipe.batch} pictures"
            )
        width = encoder.width if recipe.settings.config.text_width else None
        network = replace(recipe.settings.config, text_width=width)
        settings = replace(recipe.settings, config=network)
        device = accelerator.device if accelerator else torch.device("cpu")
        learner = new_learner(recipe, settings, config.seed, device)
        data = crops(data, recipe.crop) if recipe.crop else data
        whole = learner.generator.get_state()
        return cls(config, settings, learner, data, encoder, out, accelerator, [], whole)

    @property
    def state(self) -> Path:
        return self.out / STATE

    @property
    def main(self) -> bool:
        """Whether this is the process that writes."""
        return self.accelerator is None or self.accelerator.is_main_process

    @property
    def workers(self) -> int:
        """Processes that make pictures ahead of time: beside a GPU, which would wait for them."""
        if self.accelerator is None or self.accelerator.device.type == "cpu":
            return 0
        return min(8, (os.cpu_count() or 1) // self.accelerator.num_processes)

    def check(self, resume: bool) -> None:
        """Raise `ValueError` unless the run in the folder may be resumed and is this very one."""
        if self.main:
            FolderLock(self.out).release()  # nobody else is at work on it
        if not resume:
            raise ValueError(
                f"out must be a new folder, but {self.out} holds a run: pass --resume to go on "
                "with it"
            )
        check_same(self.out, self.config)

    def begin(self, source: str | Path | None) -> None:
        """First weights: those of `source`, else random ones with the whitening of this encoder."""
        if (self.out / "stage.json").exists():
            raise ValueError(
                f"out must be a new folder, but {self.out} holds a trained stage: begin elsewhere "
                f"with --from {self.out}"
            )
        if source is not None:
            self.learner.denoiser.load_state_dict(weights_of(source, self.settings).state_dict())
            self.lines = read_log(Path(source) / LOG)
            leg = max((line["leg"] for line in self.lines), default=0) + 1
            self.config = replace(self.config, leg=leg)
        elif self.settings.config.neighbours:
            captions = [self.data.caption(i * 7919 % len(self.data)) for i in range(1024)]
            self.learner.denoiser.net.reader.init_whitening(self.encoder.encode(captions))

    def steps(self) -> Iterator[tuple[int, TrainStep]]:
        """Every step that is left; the folder is this process's own meanwhile."""
        with contextlib.ExitStack() as held:
            self._open(held)
            return self._steps(held.pop_all())

    def _open(self, held: contextlib.ExitStack) -> None:
        """Take the folder, and put it and the learner in the state that the run goes on from."""
        is_new = not self.state.exists()
        if self.accelerator:
            self.accelerator.wait_for_everyone()  # all have looked, before the main process writes
        if self.main:
            held.callback(FolderLock(self.out).release)
            for name in FILES:
                remove_temporaries(self.out / name)
        if not is_new:
            load_state(self.state, self.learner)
            self.whole = self.learner.generator.get_state()
            self.config = replace(self.config, leg=kept(self.out)[1].leg)
            self.lines = up_to(read_log(self.out / LOG), self.config.leg, self.learner.step)
        if self.main:
            write_log(self.out / LOG, self.lines)
            if is_new:  # before all else that a run leaves: whatever stops it, it can be resumed
                save_state(self.state, self.learner, self.config)

    def _steps(self, held: contextlib.ExitStack) -> Iterator[tuple[int, TrainStep]]:
        learner, batch = self.learner, self.config.recipe.batch
        with held:
            try:
                if learner.log.norms and self._is_due():  # a full disk was in the way of it
                    self._keep(0.0)
                began, first = time.monotonic(), learner.step
                for step in self._loop():
                    learner.advance(step)
                    self.whole = learner.generator.get_state()
                    if self._is_due():
                        seconds = time.monotonic() - began
                        self._keep((learner.step - first) * batch / seconds)
                        began, first = time.monotonic(), learner.step
                    try:
                        yield learner.step, step
                    except KeyboardInterrupt as interrupt:  # thrown in, so between two steps
                        raise KeyboardInterrupt(self._rescue()) from interrupt
            except (OSError, ValueError) as error:
                kind = ValueError if isinstance(error, ValueError) else OSError
                raise kind(f"{error}; {self._rescue()}") from error

    def _loop(self) -> Iterator[TrainStep]:
        """The steps down the gradient that are left."""
        learner, recipe = self.learner, self.config.recipe
        denoiser, share = learner.denoiser, ALL
        if self.accelerator:
            denoiser = Denoiser(self.accelerator.prepare(denoiser.net), denoiser.target)
            share = Share(self.accelerator.process_index, self.accelerator.num_processes)
        steps = train(
            denoiser,
            self.batches(learner.step, learner.generator, share, self.workers),
            objective(recipe),
            learner.optimizer,
            share=share,
            generator=learner.generator,
        )
        return itertools.islice(steps, recipe.steps - learner.step)

    def batches(
        self, start: int, generator: torch.Generator, share: Share = ALL, workers: int = 0
    ) -> Iterator[tuple[Tensor, Cond]]:
        """This process's share of the batches from number `start` on."""
        recipe, settings = self.config.recipe, self.settings
        stream = batches(
            self.data, recipe.batch, self.encode, start=start, workers=workers, **vars(share)
        )
        stream = drop_text(stream, recipe.drop, generator, share)
        if not settings.config.lowres:
            return stream
        side = (recipe.crop or settings.size) // 4
        schedule = SCHEDULES[settings.schedule]
        return with_lowres(stream, side, schedule, generator, recipe.max_aug, share)

    @cached_property
    def encode(self) -> Callable[[list[str]], Text]:
        """Sentences -> text; those of data that can list them are encoded once for all runs."""
        captions = self.data.captions
        return cached(self.encoder, captions) if captions else self.encoder.encode

    def _is_due(self) -> bool:
        recipe = self.config.recipe
        return self.learner.step % recipe.save == 0 or self.learner.step == recipe.steps

    def _keep(self, speed: float) -> None:
        """The stage with the averaged weights, sample pictures, a line of the log; last the state.

        Whatever is written before a kill is written again when the run goes on from the state
        before.
        """
        learner, recipe = self.learner, self.config.recipe
        if not self.main:
            return learner.log.clear()
        checkpoint.save(self.out, learner.ema.module, replace(self.settings, trained=self.notes()))
        self._write_samples()
        line = {
            "leg": self.config.leg,
            "pixels": self.settings.size,
            "step": learner.step,
            **learner.log.summary(),
            "pictures_per_second": round(speed, 1),
            "rate": recipe.rate * warm_then_cool(learner.step - 1, recipe.steps, recipe.warm),
        }
        # Each process has seen its share alone.
        line["pictures"] *= self.accelerator.num_processes if self.accelerator else 1
        write_log(self.out / LOG, [*self.lines, line])
        self.lines.append(line)
        learner.log.clear()
        save_state(self.state, learner, self.config)

    def notes(self) -> dict:
        """What `stage.json` says of the training; a folder's name is the way to it from there."""
        name = self.config.encoder
        if Path(name).is_dir():
            name = os.path.relpath(name, self.out)
        return {
            "steps": self.learner.step,
            "batch": self.config.recipe.batch,
            "encoder": self.config.fingerprint,
            "encoder_name": name,
        }

    def _write_samples(self) -> None:
        """The same eight captions each time, drawn with the averaged weights from one noise."""
        generator = torch.Generator().manual_seed(1)
        x0, cond = next(self.batches(AFTER_ALL, generator))
        denoiser = self.learner.ema.module.eval()
        cond = cond[:8].to(next(denoiser.parameters()).device)
        pictures = drawn(denoiser, self.settings, x0[:8], cond, generator)
        sheet = pixels.to_pil(pixels.grid(pictures, 8))
        write(
            self.out / "samples" / f"{self.learner.step:07d}.png",
            lambda path: sheet.save(path, "PNG", optimize=True),
        )

    def _rescue(self) -> str:
        """Save the state as of the last whole step, if that can be -> what there is to go on."""
        if self.main:
            self.learner.generator.set_state(self.whole)
            with contextlib.suppress(OSError):
                save_state(self.state, self.learner, self.config)
        step, _ = kept(self.out)
        return f"{self.out} holds the state of step {step}: go on with --resume"
