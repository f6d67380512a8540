"""Lessons 11 and 13. How each shipped network is trained: its data and its numbers."""

from dataclasses import dataclass

from minimagen.checkpoint import Settings
from minimagen.unet import SHIPPED


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training run."""

    settings: Settings  # of the stage that it makes
    batch: int  # pictures a step, over all processes
    rate: float  # the learning rate between warming up and cooling down
    steps: int  # optimiser steps in all
    warm: int  # of them, those over which the rate rises
    crop: int | None = None  # side of the windows it is trained on; None: whole pictures
    max_aug: float = 1.0  # the largest augmentation level of training
    save: int = 500  # steps between two saved states
    drop: float = 0.1  # share of the pictures whose text is dropped
    decay: float = 0.999  # of the averaged weights
    shift: float = 0.0  # nats added to the schedule's log-SNR in training, not in drawing


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
        SR256, batch=16, rate=1e-3, steps=24_000, warm=100, crop=128, max_aug=0.3
    ),
    ("sr1024", "cpu"): Recipe(
        SR1024, batch=16, rate=1e-3, steps=16_000, warm=100, crop=128, max_aug=0.3
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
STAGES = tuple(dict.fromkeys(stage for stage, _ in RECIPES))
PROFILES = tuple(dict.fromkeys(profile for _, profile in RECIPES))
