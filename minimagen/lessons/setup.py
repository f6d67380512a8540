"""What every lesson begins with: set-up, and verdicts that read the same on every machine."""

import math
import random
from pathlib import Path

import numpy as np
import torch

STYLE = Path(__file__).with_name("lessons.mplstyle")


def setup(seed: int, threads: int | None = 1) -> None:
    """Begin a lesson: generators seeded, threads fixed, three digits printed, one look of figures.

    seed: a whole number >= 0. threads: a whole number >= 1, or None for all cores (numbers then
    move in the sixth digit with the machine: print verdicts only). Raises `ValueError` on anything
    else.
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


def _whole(name: str, value: object, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{name} must be a whole number, at least {minimum}, got {value!r}")


def _style() -> None:
    import matplotlib as mpl
    from matplotlib import style

    mpl.rcdefaults()
    style.use(STYLE)


def check(number: str, mine, reference, tolerance: float) -> None:
    """Say in one line that equation `number` holds: max |mine - reference| <= tolerance.

    The line is the same on every processor. mine, reference: numbers or tensors of one shape; the
    reference comes from another route than `mine`. Prints `check 3.4 ✓ within 0.002`. Raises
    `AssertionError` with the measured difference where it does not hold (a nan never does), and
    `ValueError` where nothing could fail: no values, one object on both sides, a tolerance that is
    not a number > 0.
    """
    if not 0 < tolerance < math.inf:
        raise ValueError(f"tolerance must be a number > 0, got {tolerance!r}")
    if mine is reference:
        raise ValueError(
            "reference must come from another route, got the very object that is checked"
        )
    a, b = (torch.as_tensor(value, dtype=torch.float64).detach() for value in (mine, reference))
    if a.shape != b.shape or a.numel() == 0:
        raise ValueError(
            f"mine and reference must have one shape and hold values, got {tuple(a.shape)} and "
            f"{tuple(b.shape)}"
        )
    difference = (a - b).abs().max().item()
    if not difference <= tolerance:
        raise AssertionError(
            f"check {number} ✗ differs by {difference:.4g}, more than {tolerance:g}"
        )
    print(f"check {number} ✓ within {tolerance:g}")


def checkout(*parts: str) -> Path:
    """The path of a committed file, from wherever a notebook runs.

    `checkout("experiments", "results", "single.json")`. Raises `ValueError` where the file is not
    there: lessons are opened from a checkout, not from an installed package.
    """
    path = Path(__file__).resolve().parents[2].joinpath(*parts)
    if not path.exists():
        raise ValueError(
            f"parts must name what a checkout of minimagen holds, but {path} does not exist"
        )
    return path
