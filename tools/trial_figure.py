"""Draw the figure of docs/WORLD.md's trial: `python -m tools.trial_figure` ->
docs/images/trial.png.

All is read from experiments/results/trial.json, and what is not yet there is left out. Needs the
extra `notebooks`.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments._common import RESULTS
from experiments._trial_asked import SETS, THRESHOLDS, WORDS
from minimagen.lessons import lesson
from tools.figures import IMAGES, error_bars

MARKS = "os^vDP<>"  # one a seed


def words(axes: Axes, points: list[dict], chances: dict[str, float | None]) -> None:
    """What each variant reads, set by set, one mark a seed; dashed: what a blind guess gets."""
    names = list(dict.fromkeys(p["variant"] for p in points))
    for k, name in enumerate(names):
        for seed in sorted({p["seed"] for p in points if p["variant"] == name}):
            here = [p for p in points if (p["variant"], p["seed"]) == (name, seed)]
            shares = [p["right"][SETS[p["asked"]].of] for p in here]
            places = [[*WORDS].index(p["asked"]) + 0.8 * k / len(names) - 0.3 for p in here]
            axes.errorbar(
                places,
                [share["value"] for share in shares],
                error_bars(shares),
                label=name if seed == 0 else None,
                color=lesson.COLOURS[k % len(lesson.COLOURS)],
                marker=MARKS[seed % len(MARKS)],
                linestyle="none",
                markersize=4,
            )
    for place, name in enumerate(WORDS):
        if chances.get(name):
            axes.hlines(chances[name], place - 0.4, place + 0.5, color="0.4", linestyle="--")
    labels = [name.replace(", ", ",\n").replace("text-only ", "text-only\n") for name in WORDS]
    axes.set_xticks(range(len(WORDS)), labels, fontsize=7)
    axes.set(ylim=(0, 1), ylabel="right, w = 2")


def against_weight(
    axes: Axes, points: list[dict], group: Callable[[dict], str], value: Callable[[dict], dict]
) -> None:
    """One line a group and seed: a value, and its interval where it has one, against the weight."""
    names = list(dict.fromkeys(map(group, points)))
    for k, name in enumerate(names):
        own = [p for p in points if group(p) == name]
        for seed in sorted({p["seed"] for p in own}):
            here = [p for p in own if p["seed"] == seed]
            values = [value(p) for p in here]
            axes.errorbar(
                [p["weight"] for p in here],
                [v["value"] for v in values],
                error_bars([{"low": v["value"], "high": v["value"]} | v for v in values]),
                label=name if seed == own[0]["seed"] else None,
                color=lesson.COLOURS[k % len(lesson.COLOURS)],
                marker=MARKS[seed % len(MARKS)],
                markersize=4,
            )
    axes.set(xlabel="guidance weight w", ylim=(0, None))


def drawn(content: dict) -> Figure:
    """All panels: words; guidance; thresholds on pages with objects and on pages of texture."""
    points = content["points"]
    within = lambda sets: [p for p in points if p["asked"] in sets]
    figure = plt.figure(figsize=(9.0, 9.0), layout="constrained")
    rows = figure.subfigures(3, 1)
    words(rows[0].subplots(), within(WORDS), {r["asked"]: r["chance"] for r in content["real"]})
    left, right = rows[1].subplots(1, 2)
    network = lambda p: p["variant"]
    guidance = within(("any caption",))
    against_weight(left, guidance, network, lambda p: p["right"]["all"])
    left.set_ylabel("everything right")
    against_weight(right, guidance, network, lambda p: {"value": p["frechet"]})
    right.set_ylabel("Fréchet distance")
    panels = rows[2].subplots(1, 4)
    for name, (error, share) in zip(THRESHOLDS, (panels[:2], panels[2:]), strict=True):
        here = within((name,))
        here = [p for p in here if p["variant"] == here[0]["variant"]]  # the first that has it
        limit = lambda p: p["threshold"]
        against_weight(error, here, limit, lambda p: p["page error"])
        error.set(ylabel="error of the page's colour", title=name)
        against_weight(share, here, limit, lambda p: p["right"]["page"])
        share.set(ylabel="page right", title=name, ylim=(0, 1))
    for axes in (*rows[0].axes, left, panels[0]):
        axes.legend(fontsize=7)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description="draw the figure of the trial in docs/WORLD.md")
    parser.add_argument("--results", type=Path, default=RESULTS / "trial.json")
    parser.add_argument("--out", type=Path, default=IMAGES / "trial.png")
    options = parser.parse_args()
    lesson.setup(0)
    content = json.loads(options.results.read_text(encoding="utf-8"))
    drawn(content).savefig(options.out, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
