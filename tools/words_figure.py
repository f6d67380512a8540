"""Draw what `experiments.probe` measured: `python -m tools.words_figure`.

docs/images/words-probe.png; nothing is measured here. Needs the extra `notebooks`.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from minimagen.lessons import lesson
from tools.figures import IMAGES, error_bars, measured

ROWS = {  # row of probe.json: its name in the figure
    "binding, held-out wording": "whose colour it is",
    "relation, held-out wording": "where it stands",
    "colour, text-only word": "colour: crimson",
    "size, text-only word": "size: minuscule",
    "noun, text-only word": "noun: kitten",
    "relation, text-only word": "place: beneath",
    "noun, one letter wrong": "noun: parrto",
}


def figure() -> Figure:
    """The share of right answers of each encoder, a group of points for each kind of question."""
    content = measured("probe")
    drawing, axes = plt.subplots(figsize=(8.0, 3.6))
    encoders = content["encoders"]
    for k, (name, row) in enumerate(encoders.items()):
        shares = [row["right"][key] for key in ROWS]
        places = [
            at + (k - (len(encoders) - 1) / 2) / (len(encoders) + 2) for at in range(len(ROWS))
        ]
        style = {"marker": "o", "linestyle": "none", "capsize": 2, "label": name}
        colour = lesson.COLOURS[k % len(lesson.COLOURS)]
        values = [share["value"] for share in shares]
        axes.errorbar(places, values, error_bars(shares), color=colour, **style)
    for at, key in enumerate(ROWS):
        axes.plot([at - 0.45, at + 0.45], 2 * [content["chance"][key]], color="0.6", linewidth=1)
    axes.set(ylim=(-0.02, 1.02), ylabel="right answers (grey: by guessing)")
    axes.set_xticks(range(len(ROWS)), ROWS.values(), fontsize=7)
    drawing.legend(loc="outside upper center", ncols=3, fontsize=8)
    return drawing


def main() -> None:
    """Draw and save the figure."""
    parser = argparse.ArgumentParser(description="Draw what experiments.probe measured.")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder (default: docs/images)")
    path = parser.parse_args().out / "words-probe.png"
    lesson.setup(0)
    figure().savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
    print(path)


if __name__ == "__main__":
    main()
