"""The checks of the exercises: `checks.ex_2_1(my_function)` prints one line.

It says solved, not solved yet, or what is wrong.

A check is a function of the answer that calls `same` (or raises `Wrong` itself), registered by
`exercise`; the checks of one lesson are a module of their own, `lesson_02` and so on, and all are
found here by name. Nothing stops a notebook unless it is graded: nbgrader then wants an exception
for what is not solved, and gets an `AssertionError` with the same line.
"""

import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, wraps
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor


class Wrong(Exception):
    """What is wrong with an answer, in a sentence that helps whoever wrote it."""


class _Unsolved(Exception):
    """The stub, or a function that still returns nothing."""


@dataclass(frozen=True)
class Exercise:
    """What a lesson and nbgrader need to know of an exercise:
    its number "2.1", its points, the minutes it takes, its check.
    """

    number: str
    points: int
    minutes: int
    judge: Callable


EXERCISES: dict[str, Exercise] = {}


def exercise(number: str, points: int, minutes: int) -> Callable:
    """Register the check of an exercise;
    what remains is a function of the answer that prints the verdict and returns None.
    """

    def register(judge: Callable) -> Callable:
        EXERCISES[number] = Exercise(number, points, minutes, judge)

        @wraps(judge)
        def ex(answer) -> None:
            line = verdict(number, answer)
            print(line)
            if os.environ.get("NBGRADER_EXECUTION") and not line.startswith("●"):
                raise AssertionError(line)

        return ex

    return register


def verdict(number: str, answer) -> str:
    """Judge an answer to exercise `number`:
    one line that begins with ● (solved), ○ (not solved yet) or ✗ (wrong, and how).

    Raises `ValueError` where there is no such exercise.
    """
    _load(number.partition(".")[0])
    if number not in EXERCISES:
        raise ValueError(f"number must be that of an exercise, such as '2.1', got {number!r}")
    try:
        if blank(answer):
            raise _Unsolved
        EXERCISES[number].judge(answer)
    except (_Unsolved, NotImplementedError):
        return f"○ {number} not solved yet"
    except Wrong as wrong:
        return f"✗ {number} {wrong}"
    except Exception as error:
        # whatever an answer may raise becomes a verdict, so that "run all" goes on
        message = str(error).partition("\n")[0]
        return f"✗ {number} your function raised {type(error).__name__}{_line(error)}: {message}"
    return f"● {number} solved"


def _line(error: Exception) -> str:
    """Where in the answer it happened, counted from the top of its cell;
    nothing where the answer is not on the way.
    """
    package = str(Path(__file__).parents[1])
    places = [
        place
        for place in traceback.extract_tb(error.__traceback__)
        if not place.filename.startswith(package)
    ]
    mine = [place.lineno for place in places if place.filename == places[0].filename]
    return (
        f" in line {mine[-1]} of your answer"
        if mine and "site-packages" not in places[0].filename
        else ""
    )


def blank(result) -> bool:
    """Whether this is what a stub leaves or returns, None or `...`, and so no answer yet."""
    return result is None or result is ...


def same(
    mine,
    expected,
    faults: Mapping[str, object] | None = None,
    tolerance: float = 1e-5,
    what: str = "the result",
) -> None:
    """Compare a result with what it should be:
    max |mine - expected| <= tolerance (1 + max |expected|), any dtype, also numpy.

    faults: {sentence: the result that this mistake gives}; the first that fits names the fault.
    Raises `Wrong` with that sentence, or with the shape or the difference where none fits, and
    counts None and ... as not solved yet.
    """
    if blank(mine):
        raise _Unsolved
    expected = torch.as_tensor(expected, dtype=torch.float64)
    mine = _tensor(mine, what)
    if mine.shape != expected.shape:
        raise Wrong(
            f"{what} should have the shape {tuple(expected.shape)}, but has {tuple(mine.shape)}"
        )
    if _near(mine, expected, tolerance):
        return
    for sentence, result in (faults or {}).items():
        if _near(mine, torch.as_tensor(result, dtype=torch.float64).expand_as(expected), tolerance):
            raise Wrong(sentence)
    if not bool(torch.isfinite(mine).all()):
        raise Wrong(f"{what} holds a value that is not a finite number")
    raise Wrong(f"{what} is off by up to {(mine - expected).abs().max().item():.2g}")


def parts(result, *names: str) -> list:
    """The parts of an answer that returns several things:
    `scale, variance = parts(answer(...), "the scale", "the variance")`.

    Raises `Wrong` naming them where there are more or fewer, and counts None and ... as not solved
    yet.
    """
    if blank(result):
        raise _Unsolved
    if not isinstance(result, tuple | list) or len(result) != len(names):
        raise Wrong(f"the function should return {len(names)} things: {', '.join(names)}")
    return list(result)


def _tensor(value, what: str) -> Tensor:
    try:
        return torch.as_tensor(value, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Wrong(
            f"{what} should be a number or a tensor, but is a {type(value).__name__}"
        ) from error


def _near(a: Tensor, b: Tensor, tolerance: float) -> bool:
    return bool(((a - b).abs() <= tolerance * (1 + b.abs().max())).all())


@cache
def _load(lesson: str) -> None:
    name = f"{__name__}.lesson_{lesson:0>2}"
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise


def __getattr__(name: str):
    lesson = name.split("_")[1] if name.startswith("ex_") else ""
    if lesson.isdigit() and (
        check := getattr(import_module(f"{__name__}.lesson_{lesson:0>2}"), name, None)
    ):
        return check
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
