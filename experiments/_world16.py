"""Lesson 11's world of 16 x 16 pixels, which `sizes` and `encoders` share: its pages and captions,
how a small network is trained on it, and how its drawings are judged.
"""

import argparse
import itertools
import random
import time
from collections.abc import Collection, Iterator

import torch
from torch import Tensor

from minimagen import noise, pixels, samplers, training
from minimagen.conditioning import Cond, Text
from minimagen.data.drawing import COLOURS, Facts, Mention, Placed, render
from minimagen.data.language import describe, parse
from minimagen.denoiser import Denoiser
from minimagen.evaluation.metrics import frechet, pooled_features
from minimagen.guidance import drop_text, guided
from minimagen.text import TextEncoder
from minimagen.unet import UNet, UNetConfig

STEPS, BATCH, RATE, WARM = 400, 64, 2e-3, 50
WEIGHTS, SEEDS = (1.0, 2.0, 4.0), (0, 1)
SIZES = {"small": 0.2, "large": 0.34}  # half the extent; the page is 1 wide
SAYINGS = list(itertools.product(SIZES, COLOURS, ("circle", "triangle", "cross", "heart")))
PLACES = list(itertools.product(range(-2, 3), repeat=2))  # pixels away from the middle
READ, TESTED = 16, 3  # captions of a saying: in training, and in the test
CHANNELS = {"small": 16, "large": 32}  # of the network
# One drawing for each caption of the test, in the order of SAYINGS.
TRUTH = torch.arange(len(SAYINGS)).repeat_interleave(TESTED)


def options(cli: argparse.ArgumentParser, encoders: Collection[str]) -> argparse.Namespace:
    """What the command line says: which of the encoders, which seeds, how many steps."""
    cli.add_argument("--encoder", nargs="+", choices=encoders, default=list(encoders))
    cli.add_argument("--seed", nargs="+", type=int, default=list(SEEDS))
    cli.add_argument("--steps", type=int, default=STEPS, help=f"of training (default: {STEPS})")
    return cli.parse_args()


# --- the world ---


def world() -> Tensor:
    """Every page: (sayings, places, 3, 16, 16)."""

    def page(saying: tuple[str, str, str], x: int, y: int) -> Tensor:
        size, colour, shape = saying
        return render([Placed(shape, colour, 0.5 + x / 16, 0.5 + y / 16, SIZES[size])], 16)

    pages = torch.stack([page(saying, *place) for saying in SAYINGS for place in PLACES])
    return pixels.from_uint8(pages).unflatten(0, (len(SAYINGS), len(PLACES)))


def captions(held_out: bool, each: int) -> list[str]:
    """Captions in training wordings or in held-out ones, `each` of every saying: those of the
    first, of the second, ...
    """
    rng, sentences = random.Random(f"sizes {held_out}"), []
    for size, colour, shape in SAYINGS:
        facts, wanted = Facts((Mention(shape, colour, size),)), len(sentences) + each
        while len(sentences) < wanted:
            caption = describe(facts, "single", held_out, rng)
            if parse(caption).objects[0].size:  # some wordings leave the size out
                sentences.append(caption)
    return sentences


def batches(pages: Tensor, text: Text, generator: torch.Generator) -> Iterator[tuple[Tensor, Cond]]:
    """Endless (pages, condition): a saying, one of its places and one of its captions at random."""
    while True:
        saying, place, caption = (
            torch.randint(n, (BATCH,), generator=generator)
            for n in (len(SAYINGS), len(PLACES), READ)
        )
        yield pages[saying, place], Cond(text[saying * READ + caption])


# --- training, drawing, judging ---


def trained(pages: Tensor, text: Text, channels: int, seed: int, steps: int) -> Denoiser:
    """The averaged weights after `steps` steps, as in lesson 11."""
    torch.manual_seed(seed)
    width = text.tokens.shape[-1]
    config = UNetConfig(channels, (1, 2), (1, 1), (None, "self"), width, 1, patch=2, head_width=16)
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
            group["lr"] = RATE * training.warm_then_cool(step, steps, WARM)
    return ema.module.eval()


def drawn(denoiser: Denoiser, text: Text, weight: float, seed: int) -> Tensor:
    """One drawing of each caption: (N, 3, 16, 16)."""
    z = torch.randn(len(text), 3, 16, 16, generator=torch.Generator().manual_seed(1000 + seed))
    denoise = guided(denoiser, Cond(text), weight)
    steps = samplers.steps(noise.cosine, 16)
    return samplers.last(samplers.sample(denoise, steps, z, samplers.ddim())).x0


def right(drawings: Tensor, pages: Tensor) -> Tensor:
    """Whether the nearest of all pages shows what the caption says: (N,) bool."""
    distance = torch.cdist(drawings.flatten(1), pages.flatten(0, 1).flatten(1))
    return distance.argmin(1) // len(PLACES) == TRUTH


def points(name: str, network: str, seed: int, encoder: TextEncoder, steps: int) -> list[dict]:
    """One pair of an encoder of that name and a network, from one seed: a point a guidance
    weight.
    """
    pages, began = world(), time.perf_counter()
    denoiser = trained(pages, encoder.encode(captions(False, READ)), CHANNELS[network], seed, steps)
    seconds, text = time.perf_counter() - began, encoder.encode(captions(True, TESTED))
    parameters = sum(p.numel() for p in denoiser.parameters())
    generator = torch.Generator().manual_seed(seed)
    real = pages[TRUTH, torch.randint(len(PLACES), (len(text),), generator=generator)]
    rows = []
    for weight in WEIGHTS:
        pictures = drawn(denoiser, text, weight, seed)
        apart = frechet(pooled_features(pictures), pooled_features(real))
        verdicts = right(pictures, pages)
        row = {"encoder": name, "network": network, "seed": seed, "weight": weight}
        row |= {"right": "".join("01"[one] for one in verdicts.tolist())}
        rows.append(row | {"frechet": round(apart, 4), "parameters": parameters})
        where = f"{name} encoder, {network} network, seed {seed}, w = {weight:g}"
        share = verdicts.double().mean()
        print(f"{where}: right {share:.3f}, distance {apart:.3f} ({seconds:.0f} s)", flush=True)
    return rows
