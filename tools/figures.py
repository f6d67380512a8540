"""Draw the figures of docs/WEIGHTS.md: `python -m tools.figures` -> docs/images/weights-*.png.

All is read from data/weights/base and experiments/results; nothing is trained or measured. Needs
the extra `notebooks`.
"""

import json
import sys
from itertools import accumulate
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from PIL import Image

from minimagen.evaluation.metrics import bootstrap
from minimagen.files import shipped
from minimagen.lessons import lesson
from minimagen.log import LossLog
from minimagen.recipes import RECIPES

ROOT = Path(__file__).resolve().parents[1]
RESULTS, IMAGES = ROOT / "experiments" / "results", ROOT / "docs" / "images"
KINDS = {
    "single": "one shape",
    "pair": "two",
    "triple": "three",
    "things": "a thing",
    "picnic": "two things",
}


def found(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def legs() -> list[tuple[int, list[dict]]]:
    """(pixels, log) of each leg of the base's training, in order; its file is called
    log-NUMBER-PIXELS.jsonl.
    """
    files = sorted(
        (shipped("weights") / "base").glob("log-*.jsonl"),
        key=lambda path: int(path.stem.split("-")[1]),
    )
    return [
        (int(path.stem.split("-")[2]), [json.loads(line) for line in path.read_text().splitlines()])
        for path in files
    ]


def loss() -> Figure:
    """Error by noise level over all legs."""
    figure, axes = plt.subplots(figsize=(7.0, 3.6))
    bins, edges, before = (2, 3, 4), LossLog.EDGES, 0
    for number, (size, log) in enumerate(legs(), 1):
        seen = [(before + count) / 1e6 for count in accumulate(line["pictures"] for line in log)]
        for b, colour in zip(bins, lesson.COLOURS, strict=False):
            name = f"log-SNR {edges[b]} to {edges[b + 1]}" if number == 1 else None
            axes.plot(
                seen, [line["by_level"][b] for line in log], color=colour, linestyle="-", label=name
            )
        axes.axvline(before / 1e6, color="0.8", linewidth=0.8)
        axes.text(
            (before / 1e6 + seen[-1]) / 2,
            0.26,
            f"{number}\n{size}",
            ha="center",
            va="top",
            fontsize=7,
        )
        before = 1e6 * seen[-1]
    axes.set(yscale="log", ylim=(None, 0.28), ylabel="mean squared error of $x_0$")
    axes.set_xlabel(
        "pictures seen, millions; above, the number of each leg and the side of its pictures in "
        "pixels"
    )
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return figure


def progress() -> Figure:
    """Share of held-out captions drawn right over training."""
    figure, axes = plt.subplots(figsize=(7.0, 3.6))
    points = found("progress")["points"]
    asked = {kind: name for kind, name in KINDS.items() if any(kind in p["right"] for p in points)}
    for (kind, name), colour in zip(asked.items(), lesson.COLOURS, strict=False):
        for size, fill in ((32, "white"), (64, colour)):
            here = [p for p in points if p["size"] == size and kind in p["right"]]
            x, shares = [p["pictures"] / 1e6 for p in here], [p["right"][kind] for p in here]
            y = [share["value"] for share in shares]
            error = [
                [share["value"] - share["low"] for share in shares],
                [share["high"] - share["value"] for share in shares],
            ]
            style = {
                "color": colour,
                "markerfacecolor": fill,
                "marker": "o",
                "linestyle": "none",
                "capsize": 2,
            }
            axes.errorbar(x, y, error, label=f"{name}, {size} pixels", **style)
        here = [p for p in points if kind in p["right"]]
        x = [p["pictures"] / 1e6 for p in here]
        axes.plot(
            x, [p["right"][kind]["value"] for p in here], color=colour, linestyle=":", linewidth=0.8
        )
    axes.set(ylim=(0, 1), xlabel="pictures seen, millions", ylabel="everything right")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return figure


def strips() -> Figure:
    """The same captions from the same noise, stage after stage."""
    points = found("progress")["points"]
    figure, rows = plt.subplots(len(points), figsize=(8.0, 0.68 * len(points)))
    pages = [Image.open(RESULTS / "progress" / f"{point['stage']}.png") for point in points]
    for axes, point, page in zip(rows, points, pages, strict=True):
        axes.imshow(page, aspect="equal")
        axes.set(
            xticks=[], yticks=[], xlim=(-0.5, max(page.width for page in pages) - 0.5)
        )  # the first ones hold fewer kinds
        axes.grid(False)
        axes.spines[:].set_visible(False)
        label = f"{point['pictures'] / 1e6:.2f} M\n{point['size']} px"
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7)
    return figure


def samplers() -> Figure:
    """What a number of network evaluations buys, by sampler."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3.2))
    points = found("samplers")["points"]
    for sampler, colour in zip(
        dict.fromkeys(p["sampler"] for p in points), lesson.COLOURS, strict=False
    ):
        here = [p for p in points if p["sampler"] == sampler]
        x = [p["evaluations"] for p in here]
        for axes, shares in (
            (left, [p["right"]["all"] for p in here]),
            (right, [p["frechet"] for p in here]),
        ):
            axes.plot(
                x,
                [share["value"] for share in shares],
                color=colour,
                linestyle="-",
                marker="o",
                label=sampler,
            )
            axes.fill_between(
                x,
                [s["low"] for s in shares],
                [s["high"] for s in shares],
                color=colour,
                alpha=0.12,
                linewidth=0,
            )
    real = found("samplers")["real"]["frechet"]["value"]
    right.axhline(real, color="0.4", linestyle="--", linewidth=1, label="real against real")
    left.set(xscale="log", ylim=(0, 1), xlabel="network evaluations", ylabel="everything right")
    right.set(xscale="log", ylim=(0, None), xlabel="network evaluations", ylabel="Fréchet distance")
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.set_xticks([6, 12, 24, 48, 96], ["6", "12", "24", "48", "96"], minor=False)
        axes.minorticks_off()
    return figure


def ablation() -> Figure:
    """What each choice of the recipe is worth: each variant against the usual recipe of the same
    seed.
    """
    points, level = (
        found("ablation")["points"],
        found("ablation")["levels"].index(found("ablation")["asked"]),
    )
    usual = {
        p["seed"]: p
        for p in points
        if p["variant"] == "usual" and p["decay"] == RECIPES["base", "cpu"].decay
    }
    rows: dict[str, list[dict]] = {}
    for p in points:
        if p is not usual[p["seed"]]:
            rows.setdefault(
                p["variant"] if p["variant"] != "usual" else f"weights' average {p['decay']:g}", []
            ).append(p)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 0.3 * len(rows) + 0.9), sharey=True)
    marks = lambda p: torch.tensor([int(mark) for mark in p["marks"]])
    for y, here in enumerate(rows.values()):
        gains = torch.cat([marks(p) - marks(usual[p["seed"]]) for p in here])
        low, high = bootstrap(gains)
        left.plot([100 * low, 100 * high], [y, y], color=lesson.COLOURS[0], linestyle="-")
        left.plot([100 * gains.double().mean()], [y], color=lesson.COLOURS[0], marker="o")
        more = [100 * (p["errors"][level] / usual[p["seed"]]["errors"][level] - 1) for p in here]
        right.plot(more, [y] * len(more), color=lesson.COLOURS[1], marker="s", linestyle="none")
    for axes in (left, right):
        axes.axvline(0, color="0.4", linestyle="--", linewidth=1)
    left.set_yticks(
        range(len(rows)), [f"{name} ({len(here)})" for name, here in rows.items()], fontsize=8
    )
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
    lesson.setup(0)
    for name in sys.argv[1:] or FIGURES:
        figure = FIGURES[name]()
        figure.savefig(
            IMAGES / f"weights-{name}.png",
            dpi=110,
            bbox_inches="tight",
            metadata={"Software": None},
        )
        plt.close(figure)
        print(IMAGES / f"weights-{name}.png")


if __name__ == "__main__":
    main()
