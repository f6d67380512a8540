"""Lesson 14. A trained network as a folder: `stage.json` says what it is, and no pickle.

`weights.safetensors` holds its weights.
"""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from minimagen import noise
from minimagen.denoiser import TARGETS, Denoiser
from minimagen.efficient_unet import EfficientUNet
from minimagen.files import shipped, write
from minimagen.samplers import STEPS
from minimagen.thresholding import THRESHOLDS
from minimagen.unet import UNet, UNetConfig

NETWORKS = {"unet": UNet, "efficient": EfficientUNet}
SCHEDULES = {"cosine": noise.cosine, "linear": noise.linear}


@dataclass(frozen=True)
class Settings:
    """What a stage is, and how it is meant to be sampled: everything in `stage.json`.

    Raises `ValueError` on a name that does not exist and a number out of range. Lesson 14.
    """

    size: int  # side of its pictures
    network: str  # "unet" or "efficient", one of `NETWORKS`
    config: UNetConfig  # the network's shape
    target: str = "v"  # what the network predicts: "eps", "x0" or "v"
    schedule: str = "cosine"  # t -> logsnr: "cosine" or "linear"
    steps: int = 32  # evaluations of the denoiser a picture (Heun takes 2n - 1)
    sampler: str = "ddim"  # how a step is taken, one of `samplers.STEPS`
    weight: float = 1.0  # of guidance, 1 = off
    threshold: str = "static"  # on the clean estimate, one of `thresholding.THRESHOLDS`
    percentile: float = 0.995  # of the dynamic threshold, in (0, 1]
    aug_level: float | None = None  # noise on the picture below, a time; None for a base
    trained: dict = field(default_factory=dict)  # notes on how the weights came to be

    def __post_init__(self):
        if not isinstance(self.config, UNetConfig):
            object.__setattr__(self, "config", UNetConfig(**self.config))
        tables = {
            "network": NETWORKS,
            "target": TARGETS,
            "schedule": SCHEDULES,
            "sampler": STEPS,
            "threshold": THRESHOLDS,
        }
        for name, table in tables.items():
            if getattr(self, name) not in table:
                raise ValueError(
                    f"{name} must be one of {', '.join(table)}, got {getattr(self, name)!r}"
                )
        numbers = {
            "size": (_whole(self.size), "a whole number, at least 1"),
            "steps": (_whole(self.steps), "a whole number, at least 1"),
            "weight": (_within(self.weight, -math.inf, math.inf), "a finite number"),
            "percentile": (
                _within(self.percentile, 0, 1) and self.percentile > 0,
                "a fraction in (0, 1]",
            ),
            "aug_level": (
                self.aug_level is None or _within(self.aug_level, 0, 1),
                "in [0, 1], or None for a base",
            ),
        }
        for name, (holds, wanted) in numbers.items():
            if not holds:
                raise ValueError(f"{name} must be {wanted}, got {getattr(self, name)!r}")

    def build(self) -> Denoiser:
        """A denoiser of this shape with fresh weights."""
        return Denoiser(NETWORKS[self.network](self.config), self.target)


def save(folder: str | Path, denoiser: Denoiser, settings: Settings) -> None:
    """Write a stage's folder: the weights, then `stage.json`.

    The weights are bfloat16: half the size, and far below what sampling notices. Lesson 14.
    """
    folder = Path(folder)
    weights = {
        name: tensor.detach().to("cpu", torch.bfloat16).contiguous()
        for name, tensor in denoiser.net.state_dict().items()
    }
    # Not `save_file`, which makes a file that nobody else may read.
    write(folder / "weights.safetensors", lambda path: path.write_bytes(to_bytes(weights)))
    text = json.dumps(asdict(settings), indent=1) + "\n"
    write(folder / "stage.json", lambda path: path.write_text(text, encoding="utf-8"))


def load(folder: str | Path, device: str | torch.device | None = None) -> tuple[Denoiser, Settings]:
    """Read a stage's folder: a denoiser in float32, ready to draw, and its settings.

    Raises `ValueError` naming the file where one is missing, damaged, cut short, or does not fit
    the other. Lesson 14.
    """
    folder = Path(folder)
    denoiser, settings = read_json(folder / "stage.json", _empty)
    path = folder / "weights.safetensors"
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} must be a whole safetensors file: {error}") from error
    try:
        denoiser.net.load_state_dict(
            {name: tensor.float() for name, tensor in weights.items()}, assign=True
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]  # torch lists every tensor
        raise ValueError(
            f"{path} does not fit the network of {folder / 'stage.json'}: {reason}"
        ) from error
    broken = [
        name for name, tensor in denoiser.net.state_dict().items() if not tensor.isfinite().all()
    ]
    if broken:
        raise ValueError(f"{path} must hold finite weights, but {broken[0]} does not")
    return denoiser.requires_grad_(False).eval().to(device or "cpu"), settings


def parts(path: str | Path | None) -> tuple[list[Path], Path | str]:
    """The folders of a cascade's stages, and the folder or the name of its text encoder.

    path: a folder, a hub name, or None for the shipped weights. The folder of one stage will do
    too, with the shipped text encoder. Raises `ValueError` naming what is missing or damaged.
    Lesson 14.
    """
    folder = _folder(path)
    if (folder / "stage.json").exists() and not (folder / "cascade.json").exists():
        return [folder], "shipped"
    stages, text = read_json(
        folder / "cascade.json",
        lambda content: ([folder / name for name in content["stages"]], str(content["text"])),
    )
    return stages, folder / text if (folder / text).is_dir() else text


def read_json(path: Path, use):
    """`use` of what a JSON file holds.

    Raises `ValueError` naming the file when it is missing, damaged or does not fit. Lesson 14.
    """
    try:
        return use(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path} is missing, damaged or of another version: {error}") from error


def _folder(path: str | Path | None) -> Path:
    """The folder itself, or the hub's copy of it where `path` looks like a name on the hub."""
    if path is None:
        return shipped("weights")
    on_hub = str(path).count("/") == 1 and not str(path).startswith((".", "~"))
    if Path(path).is_dir() or not on_hub:
        return Path(path)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(str(path), allow_patterns=["*.json", "*.safetensors"]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ValueError(
            f"weights must be a folder or a name on the hub, got {str(path)!r}: {error}"
        ) from error


def _empty(content: dict) -> tuple[Denoiser, Settings]:
    """The network that `stage.json` describes, its weights still without memory: device meta."""
    settings = Settings(**content)
    with torch.device("meta"):
        return settings.build(), settings


def _whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _within(value, low: float, high: float) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and low <= value <= high
    )
