"""What is each choice of the base's recipe worth? One choice changed at a time, trained from
nothing at 32 x 32 pixels.

    python -m experiments.ablation
        every variant, ten minutes each on one core
    python -m experiments.ablation --variants usual "no drop"
        these; two processes may share the work and the file
    python -m experiments.ablation --seed 1 --variants usual
        another seed: of the first weights, the batches, the noise

Every variant sees the same pictures and noise in the same order, as often (most show one object:
`shapes.KINDS`); seconds says what that cost. errors: the mean squared error of x0 at five noise
levels, on pages never trained on, text given. swapped: that error with each caption exchanged for
another's, over the error with its own, at the level ASKED: what the text is worth to the network.
right: 256 captions of one object, half in training wordings and half in held-out ones, drawn in 24
ancestral steps with w = 2 and read at 64 pixels; marks has a 1 for each that is right; intervals
hold 95 %. The usual recipe has a row for each length of the average over its weights: 0 is none,
and 0.999 is still growing, at 0.996. docs/WEIGHTS.md shows all of it.
"""

import argparse
import fcntl
import json
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from experiments.encoders import unschooled
from minimagen import pixels, recipes, training
from minimagen.cascade import Cascade, Stage
from minimagen.conditioning import Cond, Text
from minimagen.data import batches
from minimagen.data.shapes import KINDS, Shapes
from minimagen.denoiser import Denoiser
from minimagen.evaluation import registry
from minimagen.evaluation.alignment import alignment
from minimagen.evaluation.metrics import bootstrap
from minimagen.files import processor, write
from minimagen.guidance import drop_text
from minimagen.noise import diffuse, randn
from minimagen.text import TextEncoder

SIZE, BATCH, STEPS, WARM = 32, 32, 2400, 200
LEVELS, ASKED = (-6.0, -4.0, -2.0, 0.0, 2.0), -4.0
FIRST_NEW = 1_000_000  # the first item of the data that no variant is trained on
DRAWN, PAGES, WEIGHT = 128, 512, 2.0  # captions of each split, pages for the errors, w
DECAYS = (0.0, 0.99, 0.999)
RECIPE = recipes.RECIPES["base", "cpu"]
OUT = Path(__file__).with_name("results") / "ablation.json"


@dataclass(frozen=True)
class Variant:
    """The recipe with one choice changed. says: what is changed; config: of the network; decays:
    averages that are measured.
    """

    says: str
    config: dict | None = None
    positions: bool = True
    schooled: bool = True
    stray: bool = True
    drop: float = RECIPE.drop
    shift: float = RECIPE.shift
    weight: object = training.velocity_weight
    target: str = "x0"
    decays: tuple[float, ...] = (RECIPE.decay,)


VARIANTS = {
    "usual": Variant("the recipe", decays=DECAYS),
    "no positions": Variant("attention is not told where a place lies", positions=False),
    "coarsest attention": Variant(
        "attention at the coarsest level alone", {"attention": (None, None, "self")}
    ),
    "self-attention": Variant(
        "the picture looks at itself at the finest level too",
        {"attention": ("self", "self", "self")},
    ),
    "no adapter": Variant(
        "T5's states as they are, neither whitened nor adapted", {"neighbours": 0}
    ),
    "random T5": Variant("a T5 with the same shape and random weights", schooled=False),
    "no stray words": Variant("captions as they are, without stray words", stray=False),
    "no drop": Variant("the text is never dropped", drop=0.0),
    "drop 0.3": Variant("the text is dropped three times as often", drop=0.3),
    "no shift": Variant(
        "noise levels as the cosine schedule has them, not 2 nats noisier", shift=0.0
    ),
    "plain weight": Variant("the squared error of x0 counts the same at every level", weight=None),
    "target v": Variant("the network predicts v, unweighted", weight=None, target="v"),
}


def dataset(
    split: str, length: int, kinds: dict[str, float] = KINDS, stray: bool = False
) -> Shapes:
    return Shapes(
        SIZE,
        split,
        kinds,
        length,
        distractors=registry.dataset("shapes", SIZE).distractors if stray else (),
    )


def network(variant: Variant, encoder: TextEncoder, seed: int) -> Denoiser:
    """Fresh weights from `seed`; the whitening begins as in `minimagen train`."""
    config = replace(RECIPE.settings.config, text_width=encoder.width, **(variant.config or {}))
    config = replace(config, positions=variant.positions)
    torch.manual_seed(seed)
    denoiser = replace(RECIPE.settings, config=config, target=variant.target).build()
    data = dataset("train", FIRST_NEW, stray=variant.stray)
    denoiser.net.reader.init_whitening(
        encoder.encode([data.caption(i * 7919 % FIRST_NEW) for i in range(1024)])
    )
    return denoiser


def trained(variant: Variant, encoder: TextEncoder, seed: int, steps: int) -> list[Denoiser]:
    """The averaged networks after training, one for each of the variant's decays."""
    denoiser = network(variant, encoder, seed)
    averages = [training.averaged(denoiser, decay) for decay in variant.decays]
    optimizer = torch.optim.AdamW(
        denoiser.parameters(), lr=RECIPE.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    generator = torch.Generator().manual_seed(seed)
    dropped = torch.Generator().manual_seed(
        seed
    )  # apart, so that the noise is the same however often the text is dropped
    data = dataset("train", FIRST_NEW, stray=variant.stray)
    stream = drop_text(batches(data, BATCH, encoder.encode, seed=seed), variant.drop, dropped)
    logsnr = replace(RECIPE, shift=variant.shift).logsnr
    loop = training.train(
        denoiser, stream, logsnr, optimizer, weight=variant.weight, generator=generator
    )
    for number, _ in zip(range(1, steps + 1), loop, strict=False):
        for average in averages:
            average.update_parameters(denoiser)
        for group in optimizer.param_groups:
            group["lr"] = RECIPE.rate * training.warm_then_cool(number, steps, WARM)
    return [average.module.eval() for average in averages]


@torch.no_grad()
def errors(denoiser: Denoiser, x0: Tensor, told: Text) -> list[float]:
    """E |x0 - x0_hat|^2 at each level, the same noise for every network."""
    generator, found = torch.Generator().manual_seed(0), []
    for level in LEVELS:
        logsnr = torch.full((len(x0),), level)
        z = diffuse(x0, logsnr, randn(x0.shape, generator, like=x0))
        rows = [slice(i, i + 128) for i in range(0, len(x0), 128)]
        guesses = torch.cat([denoiser(z[row], logsnr[row], Cond(told[row])).x0 for row in rows])
        found.append((guesses - x0).square().mean().item())
    return found


def swapped(text: Text) -> Text:
    """Every caption exchanged for the next one's."""
    return Text(text.tokens.roll(1, 0), text.mask.roll(1, 0))


def drawn_right(denoiser: Denoiser, encoder: TextEncoder) -> dict[str, Tensor]:
    """Which drawings get what right: name -> booleans (2 DRAWN), first the captions in training
    wordings.
    """
    stage = Stage(
        denoiser,
        replace(RECIPE.settings, size=SIZE, target=denoiser.target, steps=24, weight=WEIGHT),
    )
    right: dict[str, list[Tensor]] = {}
    for split in ("train", "held-out"):
        captions = [
            dataset(split, FIRST_NEW + DRAWN, {"single": 1.0}).caption(FIRST_NEW + i)
            for i in range(DRAWN)
        ]
        pictures = torch.cat(
            [
                Cascade(encoder, [stage]).draw(captions[i : i + 32], i)[0]
                for i in range(0, DRAWN, 32)
            ]
        )
        report = alignment(pixels.resize(pictures, 64).clamp(-1, 1), captions)
        for name in ("all", "objects", "colours", "sizes"):
            right.setdefault(name, []).append(report.counted(name))
    return {name: torch.cat(parts) for name, parts in right.items()}


def share(values: Tensor) -> dict[str, float]:
    low, high = bootstrap(values)
    return {"value": values.double().mean().item(), "low": low, "high": high}


def points(name: str, seed: int, steps: int) -> list[dict]:
    """Train one variant and measure it: a point for each decay."""
    variant, began = VARIANTS[name], time.perf_counter()
    encoder = TextEncoder(device="cpu") if variant.schooled else unschooled(seed)
    networks = trained(variant, encoder, seed, steps)
    seconds = time.perf_counter() - began
    data = dataset("train", FIRST_NEW + PAGES)
    pictures, captions = zip(*(data[FIRST_NEW + i] for i in range(PAGES)), strict=True)
    x0, told, found = (
        pixels.from_uint8(torch.stack(pictures)),
        encoder.encode(list(captions)),
        [],
    )
    for decay, denoiser in zip(variant.decays, networks, strict=True):
        near = errors(denoiser, x0, told)
        far = errors(denoiser, x0, swapped(told))
        point = {
            "variant": name,
            "seed": seed,
            "decay": decay,
            "says": variant.says,
            "seconds": round(seconds),
        }
        point |= {"parameters": sum(p.numel() for p in denoiser.parameters()), "errors": near}
        at = LEVELS.index(ASKED)
        right = drawn_right(denoiser, encoder)
        marks = "".join("01"[int(value)] for value in right["all"])
        right = {name: share(values) for name, values in right.items()}
        found.append({**point, "swapped": far[at] / near[at], "right": right, "marks": marks})
    return found


def main() -> None:
    """Measure what is not yet there, and save after each network."""
    parser = argparse.ArgumentParser(description="train the base with one choice changed at a time")
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=VARIANTS,
        default=list(VARIANTS),
        help="which (default: all)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of weights, batches and noise (default: 0)"
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=STEPS,
        help=f"optimiser steps of {BATCH} pictures (default: {STEPS})",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT,
        help=f"where the figures go (default: {OUT.name} beside this file)",
    )
    given = parser.parse_args()
    for name in given.variants:
        held = (
            json.loads(given.out.read_text(encoding="utf-8"))
            if given.out.exists()
            else {"points": []}
        )
        if held.get("steps", given.steps) != given.steps:
            raise SystemExit(
                f"{given.out} holds figures of {held['steps']} steps: write to another file with "
                "--out"
            )
        if any((p["variant"], p["seed"]) == (name, given.seed) for p in held["points"]):
            continue
        new = points(name, given.seed, given.steps)
        add(given.out, new, given.steps)
        for p in new:
            right = p["right"]["all"]["value"]
            print(
                f"{name}, average {p['decay']}: right {right:.3f}, swapped {p['swapped']:.3f}",
                flush=True,
            )


def add(path: Path, new: list[dict], steps: int) -> None:
    """Add points to the file, whoever else is writing to it."""
    with open(__file__, encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        held = json.loads(path.read_text(encoding="utf-8"))["points"] if path.exists() else []
        told = {
            "size": SIZE,
            "batch": BATCH,
            "steps": steps,
            "levels": LEVELS,
            "asked": ASKED,
            "weight": WEIGHT,
        }
        told |= {"drawings": 2 * DRAWN, "command": "python -m experiments.ablation"}
        told["machine"] = (
            f"{processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores, torch "
            f"{torch.__version__}"
        )
        order = list(VARIANTS)
        held = sorted(held + new, key=lambda p: (order.index(p["variant"]), p["seed"], p["decay"]))
        content = json.dumps({**told, "points": held}, indent=1) + "\n"
        write(path, lambda new: new.write_text(content, encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
