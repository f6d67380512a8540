"""The checks of the exercises: `checks.ex_2_1(my_function)` prints one line.

It says solved, not solved yet, or what is wrong.

A check is a function of the answer that calls `compare`, `chosen` or `same` (or raises `Wrong`
itself), registered by `exercise`; what is graded by hand is registered by `derive`. The checks of
one lesson are a module of their own, `lesson_02` and so on, and all are found here by name. Nothing
stops a notebook unless it is graded: nbgrader then wants an exception for what is not solved, and
gets an `AssertionError` with the same line.
"""

import copy
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
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
    its number "2.1", its points, the minutes it takes, its check (None where a person grades), its
    kind: code, predict, diagnose or derive.
    """

    number: str
    points: int
    minutes: int
    judge: Callable | None
    kind: str = "code"


EXERCISES: dict[str, Exercise] = {}


def exercise(number: str, points: int, minutes: int, kind: str = "code") -> Callable:
    """Register the check of an exercise;
    what remains is a function of the answer that prints the verdict and returns None.
    """

    def register(judge: Callable) -> Callable:
        EXERCISES[number] = Exercise(number, points, minutes, judge, kind)

        @wraps(judge)
        def ex(answer) -> None:
            line = verdict(number, answer)
            print(line)
            if os.environ.get("NBGRADER_EXECUTION") and not line.startswith("●"):
                raise AssertionError(line)

        return ex

    return register


def derive(number: str, points: int, minutes: int) -> None:
    """Register an exercise with pencil and paper: no check, a person grades it."""
    EXERCISES[number] = Exercise(number, points, minutes, None, "derive")


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


def compare(
    answer: Callable,
    reference: Callable,
    cases: Sequence[tuple],
    faults: Mapping[str, Callable] | None = None,
    tolerance: float = 1e-5,
    what: str = "the result",
    names: Sequence[str] = (),
) -> None:
    """Compare a function with what it should be on every case, a tuple of arguments.

    What is expected, and what each fault would give, is computed from clones before the answer
    runs, and the answer gets clones of its own. faults: {sentence: wrong function of the same
    arguments}; the first that gives what the answer gives, in all cases, names the fault. names:
    of the parts, where the function returns several things. Raises `Wrong` as `same` does.
    """
    results = lambda function: [
        _parts(function(*copy.deepcopy(case)), what, names) for case in cases
    ]
    expected = results(reference)
    wrong = {sentence: results(fault) for sentence, fault in (faults or {}).items()}
    mine = results(answer)
    if all(map(_fits, mine, expected, [tolerance] * len(cases))):
        return
    for sentence, others in wrong.items():
        if all(map(_fits, mine, others, [tolerance] * len(cases))):
            raise Wrong(sentence)
    for some, right in zip(mine, expected, strict=True):
        for part, its, name in zip(some, right, names or [what], strict=True):
            same(part, its, tolerance=tolerance, what=name)


def _parts(result, what: str, names: Sequence[str]) -> list[Tensor]:
    """What a function returned, as one tensor or as one for each name."""
    if names:
        result = list(result) if isinstance(result, Tensor) else result
        return [
            _tensor(part, name) for part, name in zip(parts(result, *names), names, strict=True)
        ]
    if blank(result):
        raise _Unsolved
    return [_tensor(result, what)]


def _fits(mine: list[Tensor], expected: list[Tensor], tolerance: float) -> bool:
    return all(
        a.shape == b.shape and _near(a, b, tolerance) for a, b in zip(mine, expected, strict=True)
    )


def chosen(answer: Callable, right: tuple[str, str], because: Mapping[str, str]) -> None:
    """Judge a choice and its reason: answer() -> ("b", "3"), in capitals or not.

    because: {a wrong choice or reason: a sentence that helps}. Raises `Wrong` with the sentence of
    the choice if that is wrong, else with that of the reason.
    """
    choice, reason = (str(part).strip().lower() for part in parts(answer(), "choice", "reason"))
    helps = {option.lower(): sentence for option, sentence in because.items()}
    for option, its in ((choice, right[0].lower()), (reason, right[1].lower())):
        if option != its:
            raise Wrong(helps.get(option, f"there is no option {option!r}"))


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
        if isinstance(value, list | tuple) and value and isinstance(value[0], Tensor):
            value = torch.stack([part.double() for part in value])
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
