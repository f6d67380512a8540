"""The examples in the docstrings are true: each runs, and prints what stands there."""

import doctest
import importlib
from pathlib import Path

import pytest
import torch

PACKAGE = Path(__file__).parents[1] / "minimagen"
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py"
)
# Where a newcomer looks first for what a lesson derived.
MAIN = (
    *("noise", "ddpm", "variational", "denoiser", "ideal", "samplers", "guidance", "thresholding"),
    *("conditioning", "text", "layers", "unet", "efficient_unet", "superres", "families"),
    *("cascade", "pixels"),
)


def examples(name: str) -> list[doctest.DocTest]:
    """The docstrings of a module that hold examples."""
    module = importlib.import_module(name)
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


@pytest.fixture
def plain_printing():
    """Tensors print as torch prints them by default, whatever a test before has set."""
    torch.set_printoptions(profile="default")
    yield
    torch.set_printoptions(profile="default")


@pytest.mark.parametrize("name", MODULES)
def test_an_example_in_a_docstring_prints_what_it_says(name, plain_printing):
    torch.manual_seed(0)
    runner, report = doctest.DocTestRunner(), []
    for test in examples(name):
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("name", MAIN)
def test_the_main_module_of_a_lesson_shows_an_example(name):
    [head, *_] = examples(f"minimagen.{name}")
    assert head.name == f"minimagen.{name}"
    assert 2 <= len(head.examples) <= 8


def test_a_wrong_example_would_be_seen():
    runner, report = doctest.DocTestRunner(), []
    parse = doctest.DocTestParser().get_doctest
    runner.run(parse(">>> 1 + 1\n3\n", {}, "wrong", None, 0), out=report.append)
    assert runner.failures == 1
    assert "Got:\n    2" in "".join(report)
