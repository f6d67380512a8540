"""Lessons 00 and 14. The cascade: stages are networks with settings, and a picture passes through.

>>> from minimagen.unet import UNetConfig
>>> config = UNetConfig(8, (1,), (1,), (None,), text_width=16)
>>> settings = checkpoint.Settings(16, "unet", config, steps=4)
>>> base = Stage(settings.build(), settings)
>>> text = Text(torch.zeros(2, 5, 16), torch.ones(2, 5, dtype=torch.bool))
>>> [picture.shape for picture in cascade([base.with_settings(steps=2)], text)]
[torch.Size([2, 3, 16, 16])]
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from minimagen import checkpoint
from minimagen.checkpoint import SCHEDULES, Settings
from minimagen.conditioning import Cond, Text
from minimagen.denoiser import Denoiser, Prediction
from minimagen.guidance import guided
from minimagen.noise import randn
from minimagen.samplers import STEPS, Step, last, sample, steps
from minimagen.superres import lowres
from minimagen.text import TextEncoder
from minimagen.thresholding import THRESHOLDS, Threshold, thresholded

# The first time: logsnr is -9.7, where z is noise to 1 part in 100 and Heun's first interval is not
# too wide.
START = 0.995
# Drawn side by side: sixteen pictures at 256, one at 1024, so that memory stays below 4 GB.
MAX_PIXELS = 2**20
# What may be changed of a trained stage: the rest of its settings says what its network is.
CHANGEABLE = tuple(
    field.name
    for field in fields(Settings)
    if field.name not in ("network", "config", "target", "trained")
)

Watch = Callable[["Stage", Iterable[Prediction]], Iterable[Prediction]]


@dataclass(frozen=True)
class Stage:
    """One resolution: the trained denoiser, and the settings by which it is sampled.

    Schedule, step and threshold are made from the settings' names. Lesson 14.
    """

    denoiser: Denoiser
    settings: Settings

    @property
    def size(self) -> int:
        """The side of its pictures."""
        return self.settings.size

    @property
    def steps(self) -> int:
        """Evaluations of the denoiser a picture (Heun takes 2n - 1)."""
        return self.settings.steps

    @property
    def weight(self) -> float:
        """Of guidance, 1 = off."""
        return self.settings.weight

    @property
    def aug_level(self) -> float | None:
        """Noise on the picture below, a time in [0, 1]; None for a base."""
        return self.settings.aug_level

    @property
    def schedule(self) -> Callable[[Tensor], Tensor]:
        """t -> logsnr."""
        return SCHEDULES[self.settings.schedule]

    @property
    def step(self) -> Step:
        """From a noisy z to a less noisy one."""
        return STEPS[self.settings.sampler]()

    @property
    def threshold(self) -> Threshold:
        """x0 -> x0."""
        return THRESHOLDS[self.settings.threshold](self.settings.percentile)

    def with_settings(self, **changes) -> "Stage":
        """The same network sampled otherwise: `stage.with_settings(steps=6, aug_level=0.1)`.

        Raises `ValueError` on a name that is not one of `CHANGEABLE`, and a value out of range.
        """
        for name in changes:
            if name not in CHANGEABLE:
                raise ValueError(
                    f"what changes must be one of {', '.join(CHANGEABLE)}, got {name!r}"
                )
        return replace(self, settings=replace(self.settings, **changes))

    def run(
        self,
        text: Text | None,
        below: Tensor | None,
        generator=None,
        threshold: Threshold | None = None,
    ) -> Iterator[Prediction]:
        """Sample this stage, every step of it: one prediction a step.

        text (B), or None for none; below (B, 3, h, h) in [-1, 1], None for a base. threshold: a
        function in the place of the settings' own, one that takes notes, say.
        """
        count = len(below) if below is not None else len(text)
        like = next(self.denoiser.parameters())
        cond = Cond(text)
        if self.aug_level is not None:
            side = below.shape[-1]
            low = lowres(below, side, self.aug_level, self.schedule, generator)
            cond = replace(cond, lowres=low)
        z = randn((count, 3, self.size, self.size), generator, like=like)
        denoise = guided(self.denoiser, cond, self.weight)
        denoise = thresholded(denoise, threshold or self.threshold)
        return sample(denoise, steps(self.schedule, self.steps, START), z, self.step, generator)


def cascade(
    stages: Sequence[Stage], text: Text, generator=None, *, watch: Watch | None = None
) -> Iterator[Tensor]:
    """The chain: each stage draws below the text and the picture of the stage before.

    -> one (B, 3, size, size) a stage. generator: a `torch.Generator`, B of them, or a function
    stage number -> either. watch(stage, predictions) -> predictions sees every step go by (a
    progress bar, say). Large pictures are drawn a few at a time, see `MAX_PIXELS`. Raises
    `ValueError` when the sizes do not chain. Source: Imagen, section 2.4; Ho et al. 2022. Lesson
    14.
    """
    check_chain(stages)
    if watch is None:
        watch = lambda stage, predictions: predictions
    picture = None
    for j, stage in enumerate(stages):
        random = generator(j) if callable(generator) else generator
        together = max(1, MAX_PIXELS // stage.size**2)
        parts = []
        for start in range(0, len(text), together):
            rows = slice(start, start + together)
            below = None if picture is None else picture[rows]
            noise = random[rows] if isinstance(random, Sequence) else random
            parts.append(last(watch(stage, stage.run(text[rows], below, noise))).x0)
        picture = torch.cat(parts)
        yield picture


def check_chain(stages: Sequence[Stage]) -> None:
    """Raise `ValueError` unless a base comes first, and then stages that each enlarge the last.

    Each later size is a multiple of the one before, and has an augmentation level. Lesson 14.
    """
    sizes = [stage.size for stage in stages]
    if not stages or any(a >= b or b % a for a, b in zip(sizes, sizes[1:], strict=False)):
        raise ValueError(f"stages must chain: each size a multiple of the one before, got {sizes}")
    levels = [stage.aug_level for stage in stages]
    if levels[0] is not None or None in levels[1:]:
        raise ValueError(
            "stages must begin with a base (aug_level None) and go on with super-resolution, "
            f"got aug_level {levels}"
        )


class Cascade:
    """A text encoder and its stages: `Cascade.load().draw(["a large red circle"])`. Lesson 14."""

    def __init__(self, encoder: TextEncoder, stages: Sequence[Stage]):
        check_chain(stages)
        self.encoder, self.stages = encoder, tuple(stages)

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        device: str | torch.device | None = None,
        text_encoder=None,
    ) -> "Cascade":
        """Read a cascade's folder: `cascade.json` names the stages' folders and the text encoder's.

        path: a folder, a hub name, or None for the shipped weights; the folder of one base stage,
        as training leaves it, will do too, with the shipped text encoder. device: None takes the
        GPU where there is one; text_encoder: a folder or hub name in the place of the one in
        `cascade.json`. Raises `ValueError` naming the file where something is missing, damaged or
        does not fit, or the device.
        """
        device = _device(device)
        folders, text = checkpoint.parts(path)
        stages = [Stage(*checkpoint.load(folder, device)) for folder in folders]
        encoder = TextEncoder(text_encoder or text, device)
        for stage in stages:
            width = stage.settings.config.text_width
            if width not in (None, encoder.width):
                raise ValueError(
                    f"text_encoder must be {width} wide, as when the stages were trained, got "
                    f"{encoder.width}"
                )
        return cls(encoder, stages)

    def up_to(self, size: int | None) -> tuple[Stage, ...]:
        """The stages up to the one of `size`, all for None.

        Raises `ValueError` on a size that no stage has.
        """
        sizes = [stage.size for stage in self.stages]
        if size not in (None, *sizes):
            raise ValueError(f"size must be one of {', '.join(map(str, sizes))}, got {size}")
        return self.stages if size is None else self.stages[: sizes.index(size) + 1]

    def draw(
        self,
        prompts: list[str],
        seed: int = 0,
        *,
        size: int | None = None,
        watch: Watch | None = None,
        **changes,
    ) -> list[Tensor]:
        """Draw each prompt: the pictures of every stage up to `size`, each (B, 3, H, W) in [-1, 1].

        Picture i at stage j draws from a generator of its own, seeded by (seed + i, j): the same
        noise in any batch, after any number of steps below, on any device. changes: `steps`,
        `weight`, `sampler`, ... of the stages' settings, for every stage alike, or a sequence with
        one entry a stage. Raises `ValueError` on a size that no stage has, a setting that there is
        not or that is out of range, and prompts that are not strings.
        """
        stages = self.up_to(size)
        for name, value in changes.items():
            values = value if isinstance(value, (list, tuple)) else [value] * len(stages)
            if len(values) != len(stages):
                raise ValueError(
                    f"{name} must be one value, or one for each of the {len(stages)} stages, got "
                    f"{len(values)}"
                )
            stages = [s.with_settings(**{name: v}) for s, v in zip(stages, values, strict=True)]
        text = self.encoder.encode(prompts)
        generator = lambda j: [seeded(seed + i, j) for i in range(len(prompts))]
        return list(cascade(stages, text, generator, watch=watch))


def seeded(seed: int, stage: int) -> torch.Generator:
    """A CPU generator of its own for picture `seed` at `stage` (0 to 15): no two begin alike.

    Raises `ValueError` on a seed outside 0 to 2^28 - 1: torch's CPU generator reads 32 bits.
    Lesson 14.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**28:
        raise ValueError(f"seed must be a whole number from 0 to 2^28 - 1, got {seed!r}")
    return torch.Generator().manual_seed(seed * 16 + stage)


def _device(name: str | torch.device | None) -> torch.device:
    """The device of that name, tried out; None: the GPU if there is one.

    Raises `ValueError` when it cannot hold a number.
    """
    device = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"device must be one that this machine has, such as cpu, cuda or mps, got {str(name)!r}"
        ) from error
    return torch.device(device)
