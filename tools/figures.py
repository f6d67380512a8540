"""Draw the figures of docs/WEIGHTS.md: `python -m tools.figures` -> docs/images/weights-*.png.

All is read from data/weights/base and experiments/results; nothing is trained or measured. Needs
the extra `notebooks`.
"""

import argparse
import json
from itertools import accumulate, groupby
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from experiments._common import RESULTS
from minimagen.evaluation.metrics import bootstrap
from minimagen.files import make_folder, shipped
from minimagen.lessons import lesson
from minimagen.recipes import RECIPES
from minimagen.training import LossLog

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
KINDS = {
    "single": "one shape",
    "pair": "two",
    "triple": "three",
    "things": "a thing",
    "picnic": "two things",
}


def measured(name: str) -> dict:
    """The figures of experiments/results/NAME.json."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def legs() -> list[tuple[int, list[dict]]]:
    """(pixels, lines of the log) of each leg of the base's training, in order."""
    log = shipped("weights") / "base" / "training_log.jsonl"
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    each = [list(lines) for _, lines in groupby(lines, lambda line: line["leg"])]
    return [(leg[0]["pixels"], leg) for leg in each]


def loss() -> Figure:
    """Error by noise level over all legs."""
    figure, axes = plt.subplots(figsize=(7.0, 3.6))
    bins, edges, before = (2, 3, 4), LossLog.EDGES, 0
    for number, (size, log) in enumerate(legs(), 1):
        seen = [(before + count) / 1e6 for count in accumulate(line["pictures"] for line in log)]
        for b, colour in zip(bins, lesson.COLOURS, strict=False):
            name = f"log-SNR {edges[b]} to {edges[b + 1]}" if number == 1 else None
            errors = [line["by_level"][b] for line in log]
            axes.plot(seen, errors, color=colour, linestyle="-", label=name)
        axes.axvline(before / 1e6, color="0.8", linewidth=0.8)
        middle = (before / 1e6 + seen[-1]) / 2
        axes.text(middle, 0.26, f"{number}\n{size}", ha="center", va="top", fontsize=7)
        before = 1e6 * seen[-1]
    axes.set(yscale="log", ylim=(None, 0.28), ylabel="mean squared error of $x_0$")
    axes.set_xlabel(
        "pictures seen, millions; above, the number of each leg and the side of its pictures in "
        "pixels"
    )
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return figure


def error_bars(shares: list[dict]) -> list[list[float]]:
    """How far each interval reaches below and above its value."""
    below = [share["value"] - share["low"] for share in shares]
    return [below, [share["high"] - share["value"] for share in shares]]


def progress() -> Figure:
    """Share of held-out captions drawn right over training."""
    figure, axes = plt.subplots(figsize=(7.0, 3.6))
    points = measured("progress")["points"]
    kinds = [kind for kind in KINDS if any(kind in p["right"] for p in points)]
    style = {"marker": "o", "linestyle": "none", "capsize": 2}
    for kind, colour in zip(kinds, lesson.COLOURS, strict=False):
        own = [p for p in points if kind in p["right"]]
        for size, fill in ((32, "white"), (64, colour)):
            here = [p for p in own if p["size"] == size]
            x, shares = [p["pictures"] / 1e6 for p in here], [p["right"][kind] for p in here]
            axes.errorbar(
                x,
                [share["value"] for share in shares],
                error_bars(shares),
                label=f"{KINDS[kind]}, {size} pixels",
                color=colour,
                markerfacecolor=fill,
                **style,
            )
        x, y = zip(*((p["pictures"] / 1e6, p["right"][kind]["value"]) for p in own), strict=True)
        axes.plot(x, y, color=colour, linestyle=":", linewidth=0.8)
    axes.set(ylim=(0, 1), xlabel="pictures seen, millions", ylabel="everything right")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return figure


def strips() -> Figure:
    """The same captions from the same noise, stage after stage."""
    points = measured("progress")["points"]
    figure, rows = plt.subplots(len(points), figsize=(8.0, 0.68 * len(points)))
    pages = [Image.open(RESULTS / "progress" / f"{point['stage']}.png") for point in points]
    widest = max(page.width for page in pages)  # the first ones hold fewer kinds
    for axes, point, page in zip(rows, points, pages, strict=True):
        axes.imshow(page, aspect="equal")
        axes.set(xticks=[], yticks=[], xlim=(-0.5, widest - 0.5))
        axes.grid(False)
        axes.spines[:].set_visible(False)
        label = f"{point['pictures'] / 1e6:.2f} M\n{point['size']} px"
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7)
    return figure


def band(axes: Axes, x: list[float], shares: list[dict], colour: str, label: str) -> None:
    """A line through the values, their intervals shaded."""
    values, low, high = ([share[key] for share in shares] for key in ("value", "low", "high"))
    axes.plot(x, values, color=colour, linestyle="-", marker="o", label=label)
    axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)


def samplers() -> Figure:
    """What a number of network evaluations buys, by sampler."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2))
    points = measured("samplers")["points"]
    names = dict.fromkeys(p["sampler"] for p in points)
    for sampler, colour in zip(names, lesson.COLOURS, strict=False):
        here = [p for p in points if p["sampler"] == sampler]
        x = [p["evaluations"] for p in here]
        band(left, x, [p["right"]["all"] for p in here], colour, sampler)
        band(right, x, [p["frechet"] for p in here], colour, sampler)
    real = measured("samplers")["real"]["frechet"]["value"]
    right.axhline(real, color="0.4", linestyle="--", linewidth=1, label="real against real")
    left.set(xscale="log", ylim=(0, 1), xlabel="network evaluations", ylabel="everything right")
    right.set(xscale="log", ylim=(0, None), xlabel="network evaluations", ylabel="Fréchet distance")
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.set_xticks([6, 12, 24, 48, 96], ["6", "12", "24", "48", "96"], minor=False)
        axes.minorticks_off()
    return figure


def pairs(points: list[dict]) -> dict[str, list[tuple[dict, dict]]]:
    """Variant -> (its point, that of the usual recipe with the same seed), one a seed.

    Other averages of the usual recipe's weights are variants of their own.
    """
    decay = RECIPES["base", "cpu"].decay
    is_usual = lambda p: p["variant"] == "usual" and p["decay"] == decay
    usual = {p["seed"]: p for p in points if is_usual(p)}
    rows: dict[str, list] = {}
    for p in points:
        if not is_usual(p):
            average = f"weights' average {p['decay']:g}"
            name = average if p["variant"] == "usual" else p["variant"]
            rows.setdefault(name, []).append((p, usual[p["seed"]]))
    return rows


def ablation() -> Figure:
    """What each choice of the recipe is worth: each variant against the usual recipe of the same
    seed.
    """
    results = measured("ablation")
    rows, level = pairs(results["points"]), results["levels"].index(results["asked"])
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 0.3 * len(rows) + 0.9), sharey=True)
    marks = lambda p: torch.tensor([int(mark) for mark in p["marks"]])
    for y, both in enumerate(rows.values()):
        gains = torch.cat([marks(p) - marks(usual) for p, usual in both])
        low, high = bootstrap(gains)
        left.plot([100 * low, 100 * high], [y, y], color=lesson.COLOURS[0], linestyle="-")
        left.plot([100 * gains.double().mean()], [y], color=lesson.COLOURS[0], marker="o")
        more = [100 * (p["errors"][level] / usual["errors"][level] - 1) for p, usual in both]
        right.plot(more, [y] * len(more), color=lesson.COLOURS[1], marker="s", linestyle="none")
    for axes in (left, right):
        axes.axvline(0, color="0.4", linestyle="--", linewidth=1)
    labels = [f"{name} ({len(both)})" for name, both in rows.items()]
    left.set_yticks(range(len(rows)), labels, fontsize=8)
    left.invert_yaxis()
    left.set(xlabel="drawn right, points more")
    right.set(xlabel="error of $x_0$, % more")
    return figure


FIGURES = {
    "loss": loss,
    "progress": progress,
    "strips": strips,
    "samplers": samplers,
    "ablation": ablation,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="draw the figures of docs/WEIGHTS.md")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FIGURES)}")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder (default: docs/images)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(FIGURES):
        parser.error(f"NAME must be one of {', '.join(FIGURES)}, got {', '.join(sorted(unknown))}")
    lesson.setup(0)
    out = make_folder(options.out)
    for name in options.names or FIGURES:
        figure, path = FIGURES[name](), out / f"weights-{name}.png"
        figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
        plt.close(figure)
        print(path)


if __name__ == "__main__":
    main()
