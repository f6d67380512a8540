"""What every lesson begins with: set-up, figures with a description, verdicts that read the same on every machine.

`python -m minimagen.lesson report` counts, lesson by lesson, what is derived, checked and asked. How a lesson is written, and
how `make lessons` builds it, stands in CONTRIBUTING.md. Nothing here computes what a lesson teaches.
"""

import argparse
import base64
import html
import io
import json
import math
import random
import re
import runpy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from minimagen import pixels

# Okabe and Ito 2008: safe for the colour-blind; the dashes tell two lines apart without any colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (1, 1)), (0, (5, 1)), (0, (3, 1, 1, 1)))
DPI = 100
TONES = 128  # colours in a shown figure: a picture of noise hardly compresses, and a notebook should stay small


# --- set-up ---


def setup(seed: int, threads: int | None = 1) -> None:
    """Begin a lesson: seed every generator, fix the threads, print three digits, give every figure one look.

    seed: a whole number >= 0. threads: a whole number >= 1, or None for all cores (numbers then move in the sixth digit with
    the machine: print verdicts only). Raises `ValueError` on anything else.
    """
    _whole("seed", seed, 0)
    if threads is not None:
        _whole("threads", threads, 1)
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - for libraries that still draw from it; a lesson uses generators
    torch.set_printoptions(precision=3, sci_mode=False)
    np.set_printoptions(precision=3, suppress=True)
    _style()


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number, at least {least}, got {value!r}")


def _style() -> None:
    import matplotlib as mpl

    mpl.rcdefaults()
    mpl.rcParams.update(
        {
            "axes.prop_cycle": mpl.cycler(color=COLOURS) + mpl.cycler(linestyle=DASHES),
            "axes.grid": True,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "figure.constrained_layout.use": True,
            "figure.dpi": DPI,
            "figure.facecolor": "white",  # also in a dark theme, where a transparent figure would lose its labels
            "figure.figsize": (7.0, 3.2),
            "font.size": 10.0,
            "grid.alpha": 0.3,
            "legend.frameon": False,
        }
    )


# --- verdicts ---


def check(number: str, mine, reference, tolerance: float) -> None:
    """Say that equation `number` holds, max |mine - reference| <= tolerance, in one line that no processor changes.

    mine, reference: numbers or tensors of one shape; the reference comes from another route than `mine`. Prints
    `check 3.4 ✓ within 0.002`. Raises `AssertionError` with the measured difference where it does not hold (a nan never does),
    and `ValueError` where nothing could fail: no values, one object on both sides, a tolerance that is not a number > 0.
    """
    if not 0 < tolerance < math.inf:
        raise ValueError(f"tolerance must be a number > 0, got {tolerance!r}")
    if mine is reference:
        raise ValueError("reference must come from another route, got the very object that is checked")
    a, b = (torch.as_tensor(value, dtype=torch.float64).detach() for value in (mine, reference))
    if a.shape != b.shape or a.numel() == 0:
        raise ValueError(f"mine and reference must have one shape and hold values, got {tuple(a.shape)} and {tuple(b.shape)}")
    difference = (a - b).abs().max().item()
    if not difference <= tolerance:
        raise AssertionError(f"check {number} ✗ differs by {difference:.4g}, more than {tolerance:g}")
    print(f"check {number} ✓ within {tolerance:g}")


# --- figures ---


def show(figure, alt: str) -> None:
    """Show a matplotlib figure with its description, and close it. The same figure gives the same bytes in every run.

    alt: what the figure shows, in a sentence or two, for a reader who does not see it. It is kept in the output's metadata
    (nbconvert makes the picture's alternative text of it) and in the PNG file; JupyterLab reads neither, so it also stands
    folded beneath. Raises `ValueError` when alt says less than 20 characters.
    """
    from IPython.display import display

    data, metadata = _bundle(figure, alt)
    display(data, metadata=metadata, raw=True)
    words = f"<details><summary>the figure in words</summary>{html.escape(alt)}</details>"
    display({"text/html": words, "text/plain": f"the figure in words: {alt}"}, raw=True)


def explore(draw: Callable, alt: str, **controls) -> None:
    """Let the reader move the arguments of `draw`, a pure function that returns a figure: `explore(draw, alt=..., t=slider)`.

    controls: ipywidgets controls, or what `ipywidgets.interactive` makes them from. Where no widget can be shown, as on a page
    that is only read, its first picture stands in its place. Belongs in a cell tagged `widget` and `nbval-ignore-output`.
    """
    import ipywidgets
    from IPython.display import display

    def redraw(**values) -> None:
        data, metadata = _bundle(draw(**values), alt)
        display(data, metadata=metadata, raw=True)

    moving = ipywidgets.interactive(redraw, **controls)
    data, metadata = _bundle(draw(**moving.kwargs), alt)
    view = moving._repr_mimebundle_()
    display({**data, **{kind: view[kind] for kind in view if "widget-view" in kind}}, metadata=metadata, raw=True)


def _bundle(figure, alt: str) -> tuple[dict, dict]:
    import matplotlib.pyplot as plt

    if not isinstance(alt, str) or len(alt.strip()) < 20:
        raise ValueError(f"alt must say what the figure shows, in 20 characters or more, got {alt!r}")
    drawn, file, words = io.BytesIO(), io.BytesIO(), PngInfo()
    figure.savefig(drawn, format="png", dpi=DPI)
    plt.close(figure)
    words.add_text("Description", alt)
    Image.open(drawn).convert("RGB").quantize(TONES, dither=Image.Dither.NONE).save(file, "PNG", pnginfo=words, optimize=True)
    return {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": alt}, {"image/png": {"alt": alt}}


def strip(pictures: Tensor, titles: Sequence[str] | None = None, rows: Sequence[str] | None = None, side: float = 1.25):
    """Pictures side by side, or in rows: (N, C, H, W), or (R, N, C, H, W) with a name for each row -> figure.

    Values in [-1, 1], C = 1 or 3; what lies outside is cut off, as a screen does. titles: one a column. side: inches of each.
    Raises `ValueError` on another shape, or on a wrong number of titles or rows.
    """
    import matplotlib.pyplot as plt

    pictures = pictures[None] if pictures.ndim == 4 else pictures
    if pictures.ndim != 5 or pictures.shape[2] not in (1, 3):
        raise ValueError(f"pictures must be (N, C, H, W) or (R, N, C, H, W) with C = 1 or 3, got {tuple(pictures.shape)}")
    for name, words, count in (("rows", rows, pictures.shape[0]), ("titles", titles, pictures.shape[1])):
        if words is not None and len(words) != count:
            raise ValueError(f"{name} must be {count}, one a {name[:-1]}, got {len(words)}")
    size = (side * pictures.shape[1] + 0.3, (side + 0.05) * pictures.shape[0] + 0.3)
    figure, axes = plt.subplots(pictures.shape[0], pictures.shape[1], figsize=size, squeeze=False)
    for i, row in enumerate(pictures):
        for j, picture in enumerate(row):
            image = pixels.to_uint8(picture).expand(3, -1, -1).permute(1, 2, 0).numpy()
            axes[i, j].imshow(image, interpolation="nearest")
            axes[i, j].set(xticks=[], yticks=[], title=titles[j] if titles and i == 0 else "")
            axes[i, j].spines[:].set_visible(False)
        axes[i, 0].set_ylabel(rows[i] if rows else "")
    return figure


def curves(x, lines: Mapping[str, Sequence], xlabel: str, ylabel: str, ax=None):
    """Named lines over one x, each with its own colour and dashes, and a legend -> figure. ax: draw into these axes instead."""
    import matplotlib.pyplot as plt

    figure, ax = (ax.figure, ax) if ax is not None else plt.subplots()
    for name, y in lines.items():
        ax.plot(x, y, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend()
    return figure


def density(sets: Mapping[str, Tensor], limit: float, bins: int = 60):
    """Points in the plane, one panel a set: {name: (N, 2)} -> figure of two-dimensional histograms over [-limit, limit].

    Each is scaled to its own largest bin, darker is more. Raises `ValueError` where points are not (N, 2).
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(sets), figsize=(2.3 * len(sets) + 0.4, 2.6), squeeze=False, sharey=True)
    for ax, (name, points) in zip(axes[0], sets.items(), strict=True):
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(f"sets[{name!r}] must be points (N, 2), got {tuple(points.shape)}")
        x, y = points.detach().cpu().numpy().T
        ax.hist2d(x, y, bins=bins, range=[[-limit, limit]] * 2, cmap="Blues")
        ax.set(title=name, xlabel="first coordinate", aspect="equal")
        ax.grid(False)
    axes[0, 0].set_ylabel("second coordinate")
    return figure


# --- the checkout, and what its lessons hold ---


def checkout(*parts: str) -> Path:
    """The path of a committed file, from wherever a notebook runs: `checkout("docs", "evaluation", "single.json")`.

    Raises `ValueError` where the file is not there: lessons are opened from a checkout, not from an installed package.
    """
    path = Path(__file__).resolve().parents[1].joinpath(*parts)
    if not path.exists():
        raise ValueError(f"parts must name what a checkout of minimagen holds, but {path} does not exist")
    return path


def count(notebook: Path, answers: Path) -> dict[str, int]:
    """What one lesson holds: {"equations", "checks", "exercises", "rejected"}; the stored wrong answers are judged anew."""
    from minimagen import checks

    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    prose = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    texts = [text for cell in cells for output in cell.get("outputs", ()) for text in output.get("text", ())]
    stored = runpy.run_path(str(answers))["WRONG"] if answers.exists() else {}
    judged = [checks.verdict(number, answer) for number, wrong in stored.items() for answer in wrong.values()]
    return {
        "equations": len(set(re.findall(r"\\tag\{(\d+\.\d+)\}", prose))),
        "checks": sum(bool(re.match(r"check [\d.]+ ✓", text)) for text in texts),
        "exercises": sum(any(tag.startswith("grade-") for tag in cell["metadata"].get("tags", ())) for cell in cells),
        "rejected": sum(line.startswith("✗") for line in judged),
    }


def report() -> str:
    """A table of `count` over every lesson of the checkout, and its sums."""
    words = ("equations", "checks", "exercises", "rejected")
    rows = {}
    for path in sorted(checkout("notebooks").glob("[0-9][0-9]_*.ipynb")):
        rows[path.stem] = count(path, path.parents[1] / "tests" / "answers" / f"lesson_{path.name[:2]}.py")
    rows["all"] = {word: sum(row[word] for row in rows.values()) for word in words}
    heads = ("equations", "their checks", "exercises", "wrong answers rejected")
    table = [f"{'lesson':<32}" + "".join(f"{head:>{len(head) + 2}}" for head in heads)]
    for name, row in rows.items():
        table.append(f"{name:<32}" + "".join(f"{row[word]:>{len(head) + 2}}" for word, head in zip(words, heads, strict=True)))
    return "\n".join(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m minimagen.lesson", description="count what the lessons hold")
    parser.add_argument("what", choices=["report"])
    parser.parse_args()
    print(report())
