"""What is each choice of the base's recipe worth? One choice changed at a time, trained from
nothing at 32 x 32 pixels.

    python -m experiments.ablation
        every variant, ten minutes each on one core
    python -m experiments.ablation --variants usual "no drop"
        these; two processes may share the work and the file
    python -m experiments.ablation --seed 1 --variants usual
        another seed: of the first weights, the batches, the noise
    python -m experiments.ablation --variants usual --steps 2 --out /tmp/quick.json
        a quick look

Every variant sees the same pictures and noise in the same order, as often (most show one object:
`shapes.KINDS`); seconds says what that cost. errors: the mean squared error of x0 at five noise
levels, on pages never trained on, text given. swapped: that error with each caption exchanged for
another's, over the error with its own, at the level SWAPPED: what the text is worth to the network.
right: 256 captions of one object, half in training wordings and half in held-out ones, drawn in 24
ancestral steps with w = 2 and read at 64 pixels; marks has a 1 for each that is right; intervals
hold 95 %. The usual recipe has a row for each length of the average over its weights: 0 is none,
and 0.999 is still growing, at 0.996. docs/WEIGHTS.md shows all of it.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from experiments._common import (
    command,
    draw,
    machine,
    merged,
    parser,
    read_results,
    results,
    share,
    untrained_encoder,
)
from minimagen import pixels, recipes, training
from minimagen.cascade import Cascade, Stage
from minimagen.conditioning import Cond, Text
from minimagen.data import batches
from minimagen.data.shapes import KINDS, Shapes
from minimagen.denoiser import Denoiser
from minimagen.evaluation.alignment import alignment
from minimagen.evaluation.registry import dataset
from minimagen.guidance import drop_text
from minimagen.noise import diffuse, randn
from minimagen.text import TextEncoder

SIZE, BATCH, STEPS, WARM = 32, 32, 2400, 200
LEVELS, SWAPPED = (-6.0, -4.0, -2.0, 0.0, 2.0), -4.0
FIRST_NEW = 1_000_000  # the first item of the data that no variant is trained on
DRAWN, PAGES, WEIGHT = 128, 512, 2.0  # captions of each split, pages for the errors, w
DECAYS = (0.0, 0.99, 0.999)
RECIPE = recipes.RECIPES["base", "cpu"]


@dataclass(frozen=True)
class Variant:
    """The recipe with one choice changed.

    says: what is changed; config: of the network; decays: averages that are measured.
    """

    says: str
    config: dict | None = None
    trained_encoder: bool = True
    distractors: bool = True
    drop: float = RECIPE.drop
    shift: float = RECIPE.shift
    weight: object = training.velocity_weight
    target: str = "x0"
    decays: tuple[float, ...] = (RECIPE.decay,)


VARIANTS = {
    "usual": Variant("the recipe", decays=DECAYS),
    "no positions": Variant("attention is not told where a place lies", {"positions": False}),
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
    "random T5": Variant("a T5 with the same shape and random weights", trained_encoder=False),
    "no stray words": Variant("captions as they are, without stray words", distractors=False),
    "no drop": Variant("the text is never dropped", drop=0.0),
    "drop 0.3": Variant("the text is dropped three times as often", drop=0.3),
    "no shift": Variant(
        "noise levels as the cosine schedule has them, not 2 nats noisier", shift=0.0
    ),
    "plain weight": Variant("the squared error of x0 counts the same at every level", weight=None),
    "target v": Variant("the network predicts v, unweighted", weight=None, target="v"),
}


def training_data(distractors: bool) -> Shapes:
    words = dataset("shapes", SIZE).distractors if distractors else ()
    return Shapes(SIZE, "train", KINDS, FIRST_NEW, distractors=words)


def network(variant: Variant, encoder: TextEncoder, seed: int) -> Denoiser:
    """Fresh weights from `seed`; the whitening begins as in `minimagen train`."""
    config = replace(RECIPE.settings.config, text_width=encoder.width, **(variant.config or {}))
    torch.manual_seed(seed)
    denoiser = replace(RECIPE.settings, config=config, target=variant.target).build()
    data = training_data(variant.distractors)
    captions = [data.caption(i * 7919 % FIRST_NEW) for i in range(1024)]
    denoiser.net.reader.init_whitening(encoder.encode(captions))
    return denoiser


def trained(variant: Variant, encoder: TextEncoder, seed: int, steps: int) -> list[Denoiser]:
    """The averaged networks after training, one for each of the variant's decays."""
    denoiser = network(variant, encoder, seed)
    averages = [training.averaged(denoiser, decay) for decay in variant.decays]
    optimizer = torch.optim.AdamW(
        denoiser.parameters(), lr=RECIPE.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    # Two generators, so that the noise is the same however often the text is dropped.
    noise, dropped = (torch.Generator().manual_seed(seed) for _ in range(2))
    stream = batches(training_data(variant.distractors), BATCH, encoder.encode, seed=seed)
    stream = drop_text(stream, variant.drop, dropped)
    logsnr = replace(RECIPE, shift=variant.shift).logsnr
    loop = training.train(
        denoiser, stream, logsnr, optimizer, weight=variant.weight, generator=noise
    )
    for number, _ in zip(range(1, steps + 1), loop, strict=False):
        for average in averages:
            average.update_parameters(denoiser)
        for group in optimizer.param_groups:
            group["lr"] = RECIPE.rate * training.warm_then_cool(number, steps, WARM)
    return [average.module.eval() for average in averages]


@torch.no_grad()
def errors(denoiser: Denoiser, x0: Tensor, text: Text) -> list[float]:
    """E |x0 - x0_hat|^2 at each level, the same noise for every network."""
    generator, means = torch.Generator().manual_seed(0), []
    rows = [slice(i, i + 128) for i in range(0, len(x0), 128)]
    for level in LEVELS:
        logsnr = torch.full((len(x0),), level)
        z = diffuse(x0, logsnr, randn(x0.shape, generator, like=x0))
        guesses = torch.cat([denoiser(z[row], logsnr[row], Cond(text[row])).x0 for row in rows])
        means.append((guesses - x0).square().mean().item())
    return means


def swapped(text: Text) -> Text:
    """Every caption exchanged for the next one's."""
    return Text(text.tokens.roll(1, 0), text.mask.roll(1, 0))


def drawn_right(denoiser: Denoiser, encoder: TextEncoder) -> dict[str, Tensor]:
    """Which drawings get what right: name -> booleans (2 DRAWN), first the captions in training
    wordings.
    """
    settings = replace(RECIPE.settings, size=SIZE, target=denoiser.target, steps=24, weight=WEIGHT)
    cascade, reports = Cascade(encoder, [Stage(denoiser, settings)]), []
    for split in ("train", "held-out"):
        data = Shapes(SIZE, split, {"single": 1.0}, FIRST_NEW + DRAWN)
        captions = [data.caption(FIRST_NEW + i) for i in range(DRAWN)]
        pictures = pixels.resize(draw(cascade, captions), 64).clamp(-1, 1)
        reports.append(alignment(pictures, captions))
    names = ("all", "objects", "colours", "sizes")
    return {name: torch.cat([report.counted(name) for report in reports]) for name in names}


def test_pages(encoder: TextEncoder) -> tuple[Tensor, Text]:
    """Pages that no variant is trained on, and what their captions say."""
    data = Shapes(SIZE, "train", KINDS, FIRST_NEW + PAGES)
    pictures, captions = zip(*(data[FIRST_NEW + i] for i in range(PAGES)), strict=True)
    return pixels.from_uint8(torch.stack(pictures)), encoder.encode(list(captions))


def measure(denoiser: Denoiser, encoder: TextEncoder, x0: Tensor, text: Text) -> dict:
    """Errors with and without the right text, and what is drawn right."""
    near, far = errors(denoiser, x0, text), errors(denoiser, x0, swapped(text))
    level, right = LEVELS.index(SWAPPED), drawn_right(denoiser, encoder)
    return {
        "parameters": sum(p.numel() for p in denoiser.parameters()),
        "errors": near,
        "swapped": far[level] / near[level],
        "right": {name: share(values) for name, values in right.items()},
        "marks": "".join("01"[int(value)] for value in right["all"]),
    }


def points(name: str, seed: int, steps: int) -> list[dict]:
    """Train one variant and measure it: a point for each decay."""
    variant, began = VARIANTS[name], time.perf_counter()
    encoder = TextEncoder(device="cpu") if variant.trained_encoder else untrained_encoder(seed)
    networks = trained(variant, encoder, seed, steps)
    seconds = round(time.perf_counter() - began)
    x0, text = test_pages(encoder)
    rows = []
    for decay, denoiser in zip(variant.decays, networks, strict=True):
        row = {"variant": name, "seed": seed, "decay": decay}
        row |= {"says": variant.says, "seconds": seconds}
        rows.append(row | measure(denoiser, encoder, x0, text))
    return rows


def place(point: dict) -> tuple:
    """Where the point stands in the file."""
    return list(VARIANTS).index(point["variant"]), point["seed"], point["decay"]


def add(out: Path, new: Sequence[dict], settings: dict) -> None:
    """Put the points into the file, and say them."""
    with results(out, settings) as kept:
        kept |= {"command": command("ablation", []), "machine": machine()}
        kept["points"] = merged(kept.get("points", []), new, place)
    for point in new:
        right = point["right"]["all"]["value"]
        average = f"{point['variant']}, average {point['decay']}"
        print(f"{average}: right {right:.3f}, swapped {point['swapped']:.3f}", flush=True)


def main() -> None:
    """Measure what is not yet there, and save after each network."""
    cli = parser(__doc__, "ablation.json")
    cli.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    cli.add_argument(
        "--seed", type=int, default=0, help="of weights, batches and noise (default: 0)"
    )
    cli.add_argument(
        "--steps",
        type=int,
        default=STEPS,
        help=f"optimiser steps of {BATCH} pictures (default: {STEPS})",
    )
    options = cli.parse_args()
    settings = {"size": SIZE, "batch": BATCH, "steps": options.steps, "levels": LEVELS}
    settings |= {"asked": SWAPPED, "weight": WEIGHT, "drawings": 2 * DRAWN}
    for name in options.variants:
        kept = read_results(options.out, settings).get("points", [])
        if all((p["variant"], p["seed"]) != (name, options.seed) for p in kept):
            add(options.out, points(name, options.seed, options.steps), settings)


if __name__ == "__main__":
    main()
