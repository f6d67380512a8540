"""The trial of the ideas: does each of them show in a small world?

    python -m experiments.trial
        every variant from two seeds, trained and measured; hours on one core, and what is there
        already is not done again, so that it may be stopped and started at will
    python -m experiments.trial --variants usual "pool alone" --seed 0
        these; several processes may share the file if each has variants or seeds of its own
    python -m experiments.trial --steps 9 --pages 99 --captions 9 --runs /tmp/q --out /tmp/q.json
        a quick look

The world is World(32, nouns=(), scale=2): eight shapes, eight colours, all pages. A variant is a
network of 10.9 M parameters with its text encoder, trained on 40,000 pages in a folder of --runs. A
point of the file is one set of captions, drawn by one network in 16 steps of DDIM with one guidance
weight and one threshold, from the same noise for all, in bfloat16 where the processor has it.
right: shares of the captions that ask for it, with their Wilson interval and number; bound: both
colours stand in their places.
page error: how far the paper is from its named colour, of 2; saturation: of 1. overshoot: for each
step, the share of the values of x0 that lie beyond [-1, 1] by more than one level of 255, before
the threshold; level: the 99.5 % quantile of |x0| there, at least 1. frechet: of the recogniser's
features, against as many real pages. real: the same measures of real pages of the same captions,
the best to be had. docs/WORLD.md tells what came out.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from experiments._common import command, machine, merged, parser, read_results, results
from experiments._trial_asked import GUIDANCE, OTHERS, SETS, THRESHOLDS, WORDS, items, measure
from experiments._trial_runs import PAGES, RECIPE, SIZE, STAGE, VARIANTS, half, recipe, trained
from minimagen import checkpoint, samplers
from minimagen.checkpoint import SCHEDULES
from minimagen.conditioning import Cond
from minimagen.denoiser import Denoiser, Prediction
from minimagen.evaluation.metrics import frechet
from minimagen.evaluation.world_reader import page_features
from minimagen.files import shipped
from minimagen.guidance import guided
from minimagen.text import TextEncoder
from minimagen.thresholding import THRESHOLDS as LIMITS
from minimagen.thresholding import thresholded

CAPTIONS, BATCH, SEEDS = 256, 64, (0, 1)
BEYOND = 1 + 1 / 127.5  # what lies further out is an overshoot
PERCENTILE = STAGE.percentile


@dataclass(frozen=True)
class Condition:
    """What is drawn how: a set of captions, a guidance weight, a threshold."""

    asked: str
    weight: float
    threshold: str = "static"


EVERYWHERE = [Condition(name, 2.0) for name in WORDS]
STRONG = [Condition(name, w) for w in (1.0, 1.5, 2.0, 3.0, 5.0) for name in GUIDANCE]
LIMITED = [Condition(s, w, t) for s in THRESHOLDS for w in (5.0, 8.0, 15.0) for t in LIMITS]
CONDITIONS = {name: EVERYWHERE for name in VARIANTS}
CONDITIONS["usual"] = [*EVERYWHERE, *STRONG, *LIMITED]
CONDITIONS["pool alone"] = [*EVERYWHERE, *STRONG]


class Overshoot:
    """A wrapper of a denoiser that notes, step by step, how far x0 lies beyond [-1, 1]."""

    def __init__(self):
        self.shares, self.levels = [], []

    def __call__(self, denoise):
        def noted(z: Tensor, logsnr: Tensor) -> Prediction:
            prediction = denoise(z, logsnr)
            size = prediction.x0.abs().flatten(1)
            self.shares.append((size > BEYOND).float().mean())
            self.levels.append(size.quantile(PERCENTILE, 1).clamp(min=1).mean())
            return prediction

        return noted

    def by_step(self) -> dict[str, list[float]]:
        """Means over the batches, which have equally many pictures but for the last."""
        each = {"overshoot": self.shares, "level": self.levels}
        table = {name: torch.stack(row).view(-1, STAGE.steps).mean(0) for name, row in each.items()}
        return {name: [round(x, 4) for x in row.tolist()] for name, row in table.items()}


def drawn(
    denoiser: Denoiser, encoder: TextEncoder, captions: list[str], condition: Condition
) -> tuple[Tensor, Overshoot]:
    """One picture of each caption, (N, 3, 32, 32); batch k has the same noise whoever draws it."""
    levels, parts = samplers.steps(SCHEDULES[STAGE.schedule], STAGE.steps), []
    overshoot, limit = Overshoot(), LIMITS[condition.threshold](PERCENTILE)
    for start in range(0, len(captions), BATCH):
        text = encoder.encode(captions[start : start + BATCH])
        generator = torch.Generator().manual_seed(start)
        z = torch.randn(BATCH, 3, SIZE, SIZE, generator=generator)[: len(text)]
        denoise = overshoot(guided(denoiser, Cond(text), condition.weight))
        run = samplers.sample(thresholded(denoise, limit), levels, z, samplers.ddim())
        with torch.autocast("cpu", torch.bfloat16, enabled=half()):
            parts.append(samplers.last(run).x0)
    return torch.cat(parts), overshoot


def number(asked: str, captions: int) -> int:
    """How many captions of a set are drawn: a Fréchet distance asks for twice as many."""
    return 2 * captions if asked in GUIDANCE else captions


def point(denoiser: Denoiser, encoder: TextEncoder, condition: Condition, captions: int) -> dict:
    """What is measured of one network under one condition."""
    _, sentences, truths = items(condition.asked, number(condition.asked, captions))
    pictures, overshoot = drawn(denoiser, encoder, sentences, condition)
    return {
        "asked": condition.asked,
        "weight": condition.weight,
        "threshold": condition.threshold,
        **measure(pictures, truths),
        **(apart(pictures, condition.asked) if condition.asked in GUIDANCE else {}),
        **(overshoot.by_step() if condition.asked in THRESHOLDS else {}),
    }


def apart(pictures: Tensor, asked: str) -> dict[str, float]:
    """The Fréchet distance between pictures and as many real pages of other captions."""
    real, _, _ = items(asked, len(pictures), OTHERS)
    return {"frechet": round(frechet(page_features(pictures), page_features(real)), 4)}


def real(captions: int) -> list[dict]:
    """The measures of real pages, and how often a blind guess is right."""
    rows = []
    for name, asked in SETS.items():
        pages, _, truths = items(name, number(name, captions))
        row = {"asked": name, "of": asked.of, "chance": asked.chance, **measure(pages, truths)}
        rows.append(row | (apart(pages, name) if name in GUIDANCE else {}))
    return rows


# --- the file ---


def place(point: dict) -> tuple:
    """Where a point stands in the file."""
    names = ("seed", "asked", "weight", "threshold")
    order = {"asked": [*SETS].index, "threshold": [*LIMITS].index}
    own = tuple(order.get(name, float)(point[name]) for name in names)
    return ([*VARIANTS].index(point["variant"]), *own)


def open_conditions(
    points: list[dict], asked: list[str], variant: str, seed: int, key: str
) -> Iterator[Condition]:
    """The conditions of these sets that were not measured yet with this encoder."""
    known = {place(p) for p in points if p["encoder"] == key}
    for condition in CONDITIONS[variant]:
        there = place({"variant": variant, "seed": seed, **vars(condition)}) in known
        if condition.asked in asked and not there:
            yield condition


def one_network(name: str, seed: int, encoder: TextEncoder, options: argparse.Namespace) -> None:
    """Train one network to its end, and measure what is open; each point is saved at once."""
    settings = {"size": SIZE, "pages": options.pages, "steps": options.steps}
    settings["captions"] = options.captions
    kept, key = read_results(options.out, settings), encoder.fingerprint[:12]
    if "real" not in kept:
        figures = real(options.captions)
        with results(options.out, settings) as kept:
            kept |= {"command": command("trial", []), "machine": machine(), "real": figures}
    conditions = list(open_conditions(kept.get("points", []), options.asked, name, seed, key))
    if not conditions:
        return
    folder = options.runs / f"{name}-{seed}".replace(" ", "-").replace(",", "")
    run = trained(recipe(VARIANTS[name], options.steps), encoder, seed, folder, options.pages)
    for step, now in run:
        if step % RECIPE.save == 0:
            print(f"{name}, seed {seed}: step {step}, loss {now.loss:.4f}", flush=True)
    denoiser, _ = checkpoint.load(folder, "cpu")
    network = {"variant": name, "says": VARIANTS[name].says, "seed": seed, "encoder": key}
    for condition in conditions:
        new = network | point(denoiser.eval(), encoder, condition, options.captions)
        with results(options.out, settings) as kept:
            kept["points"] = merged(kept.get("points", []), [new | {"machine": machine()}], place)
        right = new["right"].get(SETS[condition.asked].of, {}).get("value")
        print(f"{name}, seed {seed}, {condition}: {SETS[condition.asked].of} {right}", flush=True)


def command_line() -> argparse.ArgumentParser:
    new, weights = parser(__doc__, "trial.json"), shipped("weights")
    add = new.add_argument
    add("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    add("--seed", nargs="+", type=int, default=list(SEEDS), help="of weights, pages and noise")
    add("--asked", nargs="+", choices=SETS, default=list(SETS), help="sets of captions (all)")
    add("--steps", type=int, default=RECIPE.steps, help=f"of training (default: {RECIPE.steps})")
    add("--pages", type=int, default=PAGES, help=f"that are trained on (default: {PAGES})")
    add("--captions", type=int, default=CAPTIONS, help=f"of a set (default: {CAPTIONS})")
    add("--runs", type=Path, default=Path("runs/trial"), help="(default: runs/trial)")
    add("--schooled", type=Path, default=weights / "world-text", help="the schooled T5's folder")
    add("--contrastive", type=Path, default=Path("runs/contrastive"), help="that encoder's folder")
    return new


def main() -> None:
    """Train and measure what is not yet there, the first seed of all variants first."""
    options = command_line().parse_args()
    for seed in options.seed:
        for name in options.variants:
            folder = getattr(options, VARIANTS[name].folder)
            if folder.is_dir():
                one_network(name, seed, VARIANTS[name].encoder(seed, folder), options)
            else:
                print(f"{name} is left out: no encoder lies in {folder}", file=sys.stderr)


if __name__ == "__main__":
    main()
