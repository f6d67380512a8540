"""Lessons 00 and 14. The cascade: a stage is one network with its way of sampling, and a picture
passes from stage to stage.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from minimagen import checkpoint
from minimagen.conditioning import Cond, Text
from minimagen.denoiser import Denoiser, Prediction
from minimagen.files import shipped
from minimagen.guidance import guided
from minimagen.noise import randn
from minimagen.samplers import STEPS, Step, sample, steps
from minimagen.superres import lowres
from minimagen.text import TextEncoder
from minimagen.thresholding import THRESHOLDS, Threshold, thresholded

# the first time: logsnr -9.7, where z is noise to 1 part in 100 and Heun's first interval is not
# too wide
START = 0.995
MAX_PIXELS = (
    2**20
)  # pictures drawn side by side: sixteen at 256, one at 1024, so that memory stays below 4 GB

Watch = Callable[["Stage", Iterable[Prediction]], Iterable[Prediction]]


@dataclass(frozen=True)
class Stage:
    """One resolution: `size` of its square pictures, the trained `denoiser`, and how it is sampled.

    schedule t -> logsnr; steps: denoiser evaluations (Heun takes 2n - 1); weight of guidance, 1 =
    off; threshold x0 -> x0; step one of `samplers.STEPS` made ready; aug_level in [0, 1] for
    super-resolution, None for the base. Lesson 14.
    """

    size: int
    denoiser: Denoiser
    schedule: Callable[[Tensor], Tensor]
    steps: int
    weight: float
    threshold: Threshold
    step: Step
    aug_level: float | None = None

    def run(self, text: Text | None, below: Tensor | None, generator=None) -> Iterator[Prediction]:
        """Sample this stage, every step of it: text (B), below (B, 3, h, h) in [-1, 1] or None -> n
        predictions.
        """
        count = len(below) if below is not None else len(text)
        like = next(self.denoiser.parameters())
        cond = Cond(text)
        if self.aug_level is not None:
            cond = replace(
                cond,
                lowres=lowres(below, below.shape[-1], self.aug_level, self.schedule, generator),
            )
        z = randn((count, 3, self.size, self.size), generator, like=like)
        denoise = thresholded(guided(self.denoiser, cond, self.weight), self.threshold)
        return sample(denoise, steps(self.schedule, self.steps, START), z, self.step, generator)


def cascade(
    stages: Sequence[Stage], text: Text, generator=None, *, watch: Watch | None = None
) -> Iterator[Tensor]:
    """The chain: each stage draws below the text and the picture of the stage before -> one (B, 3,
    size, size) a stage.

    generator: a `torch.Generator`, B of them, or a function stage number -> either. watch(stage,
    predictions) -> predictions sees every step go by (a progress bar, say). Large pictures are
    drawn a few at a time, see `MAX_PIXELS`. Raises `ValueError` when the sizes do not chain.
    Source: Imagen, section 2.4; Ho et al. 2022. Lesson 14.
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
            for pred in watch(
                stage,
                stage.run(
                    text[rows], below, random[rows] if isinstance(random, Sequence) else random
                ),
            ):
                last = pred.x0
            parts.append(last)
        picture = torch.cat(parts)
        yield picture


def check_chain(stages: Sequence[Stage]) -> None:
    """Raise `ValueError` unless the first stage is a base and each later one is larger and has an
    augmentation level.
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
    """A text encoder and its stages, loaded together: `Cascade.load().draw(["a large red
    circle"])`. Lesson 14.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        stages: Sequence[Stage],
        settings: Sequence[checkpoint.Settings] = (),
    ):
        check_chain(stages)
        self.encoder, self.stages, self.settings = encoder, tuple(stages), tuple(settings)

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        device: str | torch.device | None = None,
        text_encoder=None,
    ) -> "Cascade":
        """Read a cascade's folder: `cascade.json` names the stages' folders and the text encoder's.

        path: a folder, a hub name, or None for the shipped weights; the folder of one base stage,
        as training leaves it, will do too, with the text encoder of its training. device: None
        takes the GPU where there is one; text_encoder: a folder or hub name in the place of the one
        in `cascade.json`. Raises `ValueError` naming what is missing, damaged or does not fit.
        """
        device = _device(device)
        folder = _folder(path)
        if (folder / "stage.json").exists() and not (folder / "cascade.json").exists():
            stages, text = [folder], None
        else:
            stages, text = checkpoint.read_json(
                folder / "cascade.json",
                lambda found: ([folder / name for name in found["stages"]], str(found["text"])),
            )
        loaded = [checkpoint.load(stage, device) for stage in stages]
        text = text or loaded[0][1].trained.get("encoder_name", "shipped")
        encoder = TextEncoder(
            text_encoder or (folder / text if (folder / text).is_dir() else text), device
        )
        for _, settings in loaded:
            wanted = settings.config.text_width
            if wanted not in (None, encoder.width):
                raise ValueError(
                    f"text_encoder must be {wanted} wide, as when the stages were trained, got "
                    f"{encoder.width}"
                )
            checkpoint.warn_of_another_encoder(settings, encoder)
        return cls(
            encoder,
            [stage_of(denoiser, settings) for denoiser, settings in loaded],
            [s for _, s in loaded],
        )

    def up_to(self, size: int | None) -> tuple[Stage, ...]:
        """The stages up to the one of `size`, all for None. Raises `ValueError` on a size that no
        stage has.
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
    ):
        """Draw each prompt: the pictures of every stage up to `size`, each (B, 3, H, W) in [-1, 1].

        Picture i at stage j draws from a generator of its own, seeded by (seed + i, j): the same
        noise in any batch, after any number of steps below, on any device. changes: `steps`,
        `weight`, ..., fields of `Stage`, for every stage alike, or a sequence with one entry a
        stage. Raises `ValueError` on a size that no stage has, or prompts that are not strings.
        """
        stages = self.up_to(size)
        for name, value in changes.items():
            values = value if isinstance(value, (list, tuple)) else [value] * len(stages)
            if len(values) != len(stages):
                raise ValueError(
                    f"{name} must be one value, or one for each of the {len(stages)} stages, got "
                    f"{len(values)}"
                )
            stages = [replace(stage, **{name: v}) for stage, v in zip(stages, values, strict=True)]
        text = self.encoder.encode(prompts)
        generator = lambda j: [seeded(seed + i, j) for i in range(len(prompts))]
        return list(cascade(stages, text, generator, watch=watch))


def stage_of(denoiser: Denoiser, settings: checkpoint.Settings) -> Stage:
    """A stage from what its folder holds."""
    return Stage(
        settings.size,
        denoiser,
        checkpoint.SCHEDULES[settings.schedule],
        settings.steps,
        settings.weight,
        THRESHOLDS[settings.threshold](settings.percentile),
        STEPS[settings.sampler](),
        settings.aug_level,
    )


def seeded(seed: int, stage: int) -> torch.Generator:
    """A CPU generator of its own for picture `seed` at `stage` (0 to 15): no two of them begin
    alike.

    Raises `ValueError` on a seed outside 0 to 2^28 - 1: torch's CPU generator reads 32 bits of what
    it is given.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**28:
        raise ValueError(f"seed must be a whole number from 0 to 2^28 - 1, got {seed!r}")
    return torch.Generator().manual_seed(seed * 16 + stage)


def _device(name: str | torch.device | None) -> torch.device:
    """The device of that name, tried out; None: the GPU if there is one. Raises `ValueError` when
    it cannot hold a number.
    """
    device = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"device must be one that this machine has, such as cpu, cuda or mps, got {str(name)!r}"
        ) from error
    return torch.device(device)


def _folder(path: str | Path | None) -> Path:
    """The folder itself, or the hub's copy of it where `path` is no folder but looks like a name on
    the hub.
    """
    folder = shipped("weights") if path is None else Path(path)
    if (
        folder.is_dir()
        or path is None
        or str(path).count("/") != 1
        or str(path).startswith((".", "~"))
    ):
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(str(path), allow_patterns=["*.json", "*.safetensors"]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ValueError(
            f"weights must be a folder or a name on the hub, got {str(path)!r}: {error}"
        ) from error
