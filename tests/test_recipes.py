"""The recipes of `make weights`: their first steps, from nothing, and the noise they train on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from minimagen import checkpoint, recipes
from minimagen.evaluation.registry import dataset
from minimagen.run import train_recipe
from minimagen.text import TextEncoder

ROOT = Path(__file__).parents[1]
# Stage: side of the pictures, steps, pictures a step, and how many times smaller the loss of the
# last ten steps must be than that of the first ten. Measured: base 6, sr256 11, sr1024 6.
SHORT = {"base": (32, 50, 32, 4), "sr256": (256, 60, 8, 8), "sr1024": (1024, 40, 8, 5)}


@pytest.mark.parametrize("stage", SHORT)
def test_half_a_minute_of_the_recipe_lowers_the_loss_many_times(stage, tmp_path):
    size, steps, batch, times = SHORT[stage]
    recipe = replace(recipes.RECIPES[stage, "cpu"], steps=steps, warm=10, batch=batch, save=steps)
    run = train_recipe(recipe, dataset("shapes", size), TextEncoder(), tmp_path / stage)
    losses = torch.stack([step.losses.mean() for _, step in run])
    assert len(losses) == steps
    assert losses[-10:].mean() < losses[:10].mean() / times


def test_the_recipes_can_go_on_from_the_shipped_weights():
    for stage, profile in recipes.RECIPES:
        _, shipped = checkpoint.load(ROOT / "data" / "weights" / stage)
        assert recipes.RECIPES[stage, profile].settings.config == shipped.config


def test_training_takes_its_noise_from_the_shifted_schedule(tmp_path):
    """Of t uniform, P(lambda < c) = 1 - t(c), where the cosine schedule has t(c) = 2/pi
    atan(e^(-c/2)).
    """
    recipe = replace(recipes.RECIPES["base", "cpu"], steps=3, warm=1, batch=64, save=3)
    data = dataset("shapes", 16)
    levels = torch.cat(
        [step.logsnr for _, step in train_recipe(recipe, data, TextEncoder(), tmp_path)]
    )
    below = (levels < -2).double().mean().item()
    assert below == pytest.approx(0.5, abs=4 * (0.25 / len(levels)) ** 0.5)
