"""Training runs of a second, for tests: an encoder without weights, two tiny recipes, and what they
leave.
"""

import json
from dataclasses import replace
from pathlib import Path

import torch
from conftest import TINY
from safetensors import safe_open
from safetensors.torch import load_file

from minimagen import checkpoint
from minimagen.conditioning import Text
from minimagen.data.shapes import Shapes
from minimagen.recipes import Recipe
from minimagen.run import train_recipe


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def take(count: int, steps) -> list:
    return [step for _, step in zip(range(count), steps, strict=False)]


class Encoder:
    """Fixed token states for each sentence: stands for a text encoder where a test only needs that
    there is one.
    """

    def __init__(self, name=None, device="cpu"):
        self.name, self.device, self.width, self.fingerprint, self.limit = (
            "fixed",
            torch.device("cpu"),
            16,
            "fixed",
            8,
        )

    def encode(self, prompts):
        rows = [torch.randn(4, 16, generator=seeded(sum(prompt.encode()))) for prompt in prompts]
        return Text(
            torch.stack(rows),
            torch.tensor([[True, True, True, len(prompt) % 2 == 0] for prompt in prompts]),
        )


# Three channels a group: in a group of one, the norm undoes a bias, and Adam makes steps of the
# rounding that is left.
BASE = checkpoint.Settings(
    32, "unet", replace(TINY["base"], channels=12, head_width=6), steps=2, weight=2.0
)
SR = checkpoint.Settings(64, "efficient", TINY["sr"], target="x0", steps=2, aug_level=0.1)
RECIPES = {
    "base": Recipe(BASE, batch=4, rate=1e-3, steps=6, warm=5, save=3),
    "sr256": Recipe(SR, batch=4, rate=1e-3, steps=6, warm=5, crop=32, save=3),
}


def follow(stage: str, out: Path, count: int | None = None, data=None, **changes) -> list:
    """The first `count` steps of a tiny recipe, all of them by default."""
    recipe = RECIPES[stage]
    data = data or Shapes(recipe.settings.size)
    steps = train_recipe(recipe, data, Encoder(), out, **changes)
    return take(recipe.steps + 1 if count is None else count, steps)


def tensors(folder: Path) -> dict:
    return load_file(folder / "state.safetensors")


def head(folder: Path) -> dict:
    """Step, learning rates and all else in the state that is no tensor."""
    with safe_open(folder / "state.safetensors", "pt") as file:
        return {name: json.loads(text) for name, text in file.metadata().items()}


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "training_log.jsonl").read_text().splitlines()]


def assert_same_run(one: Path, other: Path, last: int) -> None:
    """Weights, averaged weights, moments, generator, stage, pictures and log are the same, bit for
    bit.
    """
    a, b = tensors(one), tensors(other)
    assert {json.loads(name)[0] for name in a} == {"denoiser", "ema", "optimizer", "generator"}
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    assert head(one) == head(other)
    assert head(one)["step"] == last
    for name in ("weights.safetensors", "stage.json", f"samples/{last:07d}.png"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    timeless = [
        [{**line, "pictures_per_second": 0} for line in log(folder)] for folder in (one, other)
    ]
    assert timeless[0] == timeless[1]
