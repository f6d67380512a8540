"""Which helps more, a larger text encoder or a larger network? Two of each, trained on lesson 11's
world of 16 x 16 pixels.

    python -m experiments.sizes                      all points: ten minutes on one core
    python -m experiments.sizes --encoder small
        the points of one encoder; --seed 2: those of another seed

The large encoder is the shipped one, the small one its first block alone. Each of the four pairs of
an encoder and a network is trained for the same number of steps on pages with one object, captioned
in training wordings, from the same seed. A point is a guidance weight. right: a 1 for each drawing,
asked for in a held-out wording, that is right in size, colour and shape (the nearest of all pages
says what it shows), else a 0. frechet: the distance of these drawings to real pages, in mean
colours. Lesson 14 draws experiments/results/sizes.json.
"""

import argparse
import itertools
import json
import os
import random
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from minimagen import noise, pixels, samplers, training
from minimagen.conditioning import Cond, Text
from minimagen.data.drawing import COLOURS, Facts, Mention, Placed, render
from minimagen.data.language import describe, parse
from minimagen.denoiser import Denoiser
from minimagen.evaluation import metrics
from minimagen.files import processor
from minimagen.guidance import drop_text, guided
from minimagen.text import TextEncoder
from minimagen.unet import UNet, UNetConfig

STEPS, BATCH, RATE = 400, 64, 2e-3
WEIGHTS = (1.0, 2.0, 4.0)
SEEDS = (0, 1)
SIZES = {"small": 0.2, "large": 0.34}  # half the extent; the page is 1 wide
SAYINGS = list(itertools.product(SIZES, COLOURS, ("circle", "triangle", "cross", "heart")))
PLACES = list(itertools.product(range(-2, 3), repeat=2))  # pixels away from the middle
CHANNELS, BLOCKS = {"small": 16, "large": 32}, {"small": 1, "large": 4}
READ, ASKED = 16, 3  # captions of a saying: in training, and in the test
HERE = Path(__file__).resolve()
OUT = HERE.with_name("results") / "sizes.json"


# --- the encoders ---


def encoder_of(size: str) -> tuple[TextEncoder, dict]:
    """The encoder, and what is told about it."""
    encoder = TextEncoder("shipped", "cpu")
    stack = encoder.model.encoder
    stack.block = stack.block[: BLOCKS[size]]
    counted = sum(p.numel() for p in encoder.model.parameters())
    return encoder, {
        "blocks": len(stack.block),
        "parameters": counted,
        "fingerprint": encoder.fingerprint,
    }


# --- the world ---


def world() -> Tensor:
    """Every page: (sayings, places, 3, 16, 16)."""
    page = lambda said, x, y: render(
        [Placed(said[2], said[1], 0.5 + x / 16, 0.5 + y / 16, SIZES[said[0]])], 16
    )
    pages = torch.stack([page(said, *at) for said in SAYINGS for at in PLACES])
    return pixels.from_uint8(pages).unflatten(0, (len(SAYINGS), len(PLACES)))


def captions(held_out: bool, each: int) -> list[str]:
    """Captions in training wordings or in held-out ones, `each` of every saying: those of the
    first, of the second, ...
    """
    rng, found = random.Random(f"sizes {held_out}"), []
    for size, colour, shape in SAYINGS:
        facts, wanted = Facts((Mention(shape, colour, size),)), len(found) + each
        while len(found) < wanted:
            caption = describe(facts, "single", held_out, rng)
            found += (
                [caption] if parse(caption).objects[0].size else []
            )  # some wordings leave the size out
    return found


def batches(pages: Tensor, text: Text, generator: torch.Generator):
    """Endless (pages, condition): a saying, one of its places and one of its captions at random."""
    while True:
        said, at, caption = (
            torch.randint(n, (BATCH,), generator=generator)
            for n in (len(SAYINGS), len(PLACES), READ)
        )
        yield pages[said, at], Cond(text[said * READ + caption])


# --- training, drawing, judging ---


def trained(pages: Tensor, text: Text, channels: int, seed: int, steps: int) -> Denoiser:
    """The averaged weights after `steps` steps, as in lesson 11."""
    torch.manual_seed(seed)
    config = UNetConfig(
        channels, (1, 2), (1, 1), (None, "self"), text.tokens.shape[-1], 1, patch=2, head_width=16
    )
    denoiser = Denoiser(UNet(config), "x0").to(memory_format=torch.channels_last)
    denoiser.net.reader.init_whitening(text)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(
        denoiser.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.01
    )
    ema = training.averaged(denoiser, 0.99)
    stream = drop_text(batches(pages, text, generator), 0.1, generator)
    run = training.train(
        denoiser,
        stream,
        noise.cosine,
        optimizer,
        weight=training.velocity_weight,
        generator=generator,
    )
    for step, _ in zip(range(1, steps + 1), run, strict=False):
        ema.update_parameters(denoiser)
        for group in optimizer.param_groups:
            group["lr"] = RATE * training.warm_then_cool(step, steps, 50)
    return ema.module.eval()


def drawn(denoiser: Denoiser, text: Text, weight: float, seed: int) -> Tensor:
    """One drawing of each caption: (N, 3, 16, 16)."""
    z = torch.randn(len(text), 3, 16, 16, generator=torch.Generator().manual_seed(1000 + seed))
    *_, last = samplers.sample(
        guided(denoiser, Cond(text), weight), samplers.steps(noise.cosine, 16), z, samplers.ddim()
    )
    return last.x0


def right(drawings: Tensor, pages: Tensor) -> Tensor:
    """Whether the nearest of all pages shows what was asked for: (N,)."""
    nearest = torch.cdist(drawings.flatten(1), pages.flatten(0, 1).flatten(1)).argmin(1) // len(
        PLACES
    )
    return nearest == torch.arange(len(SAYINGS)).repeat_interleave(ASKED)


def points(size: str, network: str, seed: int, encoder: TextEncoder, steps: int) -> list[dict]:
    """One pair of encoder and network, from one seed: a point a guidance weight."""
    pages, began = world(), time.perf_counter()
    denoiser = trained(pages, encoder.encode(captions(False, READ)), CHANNELS[network], seed, steps)
    spent, text = time.perf_counter() - began, encoder.encode(captions(True, ASKED))
    g = torch.Generator().manual_seed(seed)
    real = pages[
        torch.arange(len(SAYINGS)).repeat_interleave(ASKED),
        torch.randint(len(PLACES), (len(text),), generator=g),
    ]
    found = []
    for weight in WEIGHTS:
        pictures = drawn(denoiser, text, weight, seed)
        apart = metrics.frechet(metrics.pooled_features(pictures), metrics.pooled_features(real))
        fine = right(pictures, pages)
        told = {"encoder": size, "network": network, "seed": seed, "weight": weight}
        found.append(
            told
            | {"right": "".join("01"[one] for one in fine.tolist()), "frechet": round(apart, 4)}
        )
        point = f"{size} encoder, {network} network, seed {seed}, w = {weight:g}"
        shares = f"{point}: right {fine.double().mean():.3f}"
        print(f"{shares}, distance {apart:.3f} ({spent:.0f} s)", flush=True)
    return [
        point | {"parameters": sum(p.numel() for p in denoiser.parameters())} for point in found
    ]


def machine() -> str:
    """Where it was measured."""
    cores = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    return f"{processor()}, {cores}, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description="the size of the encoder against the size of the network"
    )
    parser.add_argument("--encoder", nargs="+", choices=CHANNELS, default=list(CHANNELS))
    parser.add_argument("--seed", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    for size in asked.encoder:
        encoder, told = encoder_of(size)
        for seed, network in itertools.product(asked.seed, CHANNELS):
            new = points(size, network, seed, encoder, asked.steps)
            settings = {
                "steps": asked.steps,
                "batch": BATCH,
                "drawings": len(SAYINGS) * ASKED,
                "machine": machine(),
            }
            held = (
                json.loads(asked.out.read_text(encoding="utf-8"))
                if asked.out.exists()
                else {"encoders": {}, "points": []}
            )
            keep = [
                p
                for p in held["points"]
                if (p["encoder"], p["network"], p["seed"]) != (size, network, seed)
            ]
            order = lambda p: (
                p["encoder"] == "large",
                p["network"] == "large",
                p["seed"],
                p["weight"],
            )
            command = " ".join(["python", "-m", "experiments.sizes", *sys.argv[1:]])
            held = settings | {
                "commands": sorted({*held.get("commands", []), command}),
                "encoders": held["encoders"] | {size: told},
                "points": sorted(keep + new, key=order),
            }
            asked.out.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
