"""What every lesson begins with: set-up, verdicts, figures; the count of what lessons hold."""

import base64
import io
import random

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from minimagen.lessons import checks, figures, lesson, report, setup

pytest.importorskip("IPython")


@pytest.fixture(autouse=True)
def _as_before():
    threads, options, style = torch.get_num_threads(), np.get_printoptions(), plt.rcParams.copy()
    yield
    torch.set_num_threads(threads)
    torch.set_printoptions(profile="default")
    np.set_printoptions(**options)
    plt.rcParams.update(style)
    plt.close("all")


@pytest.fixture
def displayed(monkeypatch) -> list:
    """What the code under test displays: (data, metadata) of each output."""
    shown = []
    monkeypatch.setattr(
        "IPython.display.display",
        lambda data, metadata=None, raw=False: shown.append((data, metadata)),
    )
    return shown


def line():
    figure, ax = plt.subplots()
    ax.plot([0, 1], [0, 1])
    return figure


# --- set-up ---


def test_setup_makes_every_generator_repeat():
    def draws():
        lesson.setup(seed=5)
        return torch.rand(1).item(), random.random(), np.random.rand()  # noqa: NPY002 - it is what is tested

    assert draws() == draws()


def test_setup_sets_the_threads_or_leaves_them(monkeypatch):
    threads = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    lesson.setup(seed=0)
    lesson.setup(seed=0, threads=3)
    lesson.setup(seed=0, threads=None)
    assert threads == [1, 3]


def test_setup_prints_three_digits():
    lesson.setup(seed=0)
    assert (str(torch.tensor(1 / 3)), str(np.array([2 / 3]))) == ("tensor(0.333)", "[0.667]")


@pytest.mark.parametrize("wrong", [(-1, 1), (1.0, 1), (True, 1), (1, 0), (1, "2")])
def test_setup_refuses_what_is_no_whole_number(wrong):
    with pytest.raises(ValueError, match=r"must be a whole number, at least [01], got "):
        lesson.setup(*wrong)


# --- verdicts ---


def test_a_check_says_the_tolerance_and_never_the_difference(capsys):
    lesson.check("3.4", torch.tensor([1.0, 2.0]), [1.001, 2.0], 0.002)
    lesson.check("3.5", 1.0, np.float64(1.0), 1e-9)
    assert capsys.readouterr().out == "check 3.4 ✓ within 0.002\ncheck 3.5 ✓ within 1e-09\n"


def test_a_check_compares_in_double_precision():
    with pytest.raises(AssertionError, match=r"^check 1.1 ✗ differs by 1e-10, more than 1e-12$"):
        lesson.check("1.1", 1.0, 1.0 + 1e-10, 1e-12)


@pytest.mark.parametrize("mine", [0.9, float("nan"), float("inf")])
def test_a_check_that_does_not_hold_stops_the_cell(mine, capsys):
    with pytest.raises(AssertionError, match=r"check 3.4 ✗ differs by "):
        lesson.check("3.4", mine, 1.0, 0.05)
    assert capsys.readouterr().out == ""


def test_a_check_that_cannot_fail_is_refused():
    x = torch.ones(3)
    for mine, reference, tolerance in [
        (x, x, 1e-3),
        (x, 1.0, 1e-3),
        ([], [], 1e-3),
        (1.0, 2.0, 0),
        (1.0, 2.0, float("inf")),
    ]:
        with pytest.raises(ValueError, match=r"must"):
            lesson.check("3.4", mine, reference, tolerance)


# --- figures ---


def test_a_shown_figure_keeps_its_words_in_three_places_and_is_closed(displayed):
    words = "A straight line from 0 to 1 & <on>."
    lesson.show(line(), alt=words)
    (data, metadata), (folded, _) = displayed
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as picture:
        assert picture.text == {"Description": words}
        assert picture.size == (1280, 960)
    assert data["text/plain"] == words
    assert metadata == {"image/png": {"alt": words, "width": 640, "height": 480}}
    assert folded["text/html"].endswith("A straight line from 0 to 1 &amp; &lt;on&gt;.</details>")
    assert plt.get_fignums() == []


def test_the_same_figure_gives_the_same_bytes(displayed):
    for _ in range(2):
        lesson.show(line(), alt="A straight line from 0 to 1.")
    assert displayed[0] == displayed[2]


def test_a_plot_keeps_its_colours_and_pictures_of_noise_stay_small(displayed):
    smooth, heat = plt.subplots()
    heat.imshow(np.linspace(0, 1, 1000)[None], aspect="auto", interpolation="nearest")
    noisy = lesson.strip(2 * torch.rand(20, 3, 64, 64, generator=torch.Generator()) - 1)
    for figure in (smooth, noisy):
        lesson.show(figure, alt="A smooth bar of all colours, or noise.")
    files = [base64.b64decode(data["image/png"]) for data, _ in displayed[::2]]
    plot, noise = (Image.open(io.BytesIO(file)) for file in files)
    assert (plot.mode, noise.mode) == ("RGB", "P")
    assert len(plot.crop((200, 300, 1300, 301)).getcolors()) > 200
    assert len(files[1]) <= figures.MOST_BYTES


@pytest.mark.parametrize("alt", ["", "a line", None, " " * 30])
def test_a_figure_without_words_is_refused(alt):
    with pytest.raises(ValueError, match="alt must say what the figure shows"):
        lesson.show(line(), alt=alt)


def test_a_strip_has_a_place_for_every_picture():
    figure = lesson.strip(torch.zeros(2, 3, 1, 4, 4), titles=["a", "b", "c"], rows=["x", "y"])
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c", "", "", ""]
    assert [figure.axes[i].get_ylabel() for i in (0, 3)] == ["x", "y"]
    assert len(lesson.strip(torch.zeros(2, 3, 4, 4)).axes) == 2


@pytest.mark.parametrize(
    ("shape", "words", "complaint"),
    [
        ((4, 4), {}, "pictures"),
        ((1, 2, 4, 4), {}, "pictures"),
        ((2, 3, 4, 4), {"titles": ["a"]}, "titles must be 2"),
    ],
)
def test_a_strip_refuses_other_shapes(shape, words, complaint):
    with pytest.raises(ValueError, match=complaint):
        lesson.strip(torch.zeros(shape), **words)


def test_the_style_has_the_colours_that_a_figure_may_name_and_the_resolution_of_what_is_saved():
    style = mpl.rc_params_from_file(setup.STYLE, use_default_template=False)
    lines = style["axes.prop_cycle"].by_key()
    assert tuple(lines["color"]) == lesson.COLOURS
    assert len({str(dashes) for dashes in lines["linestyle"]}) == len(lesson.COLOURS)
    assert style["figure.dpi"] == figures.DPI


def test_setup_leaves_nothing_of_another_style():
    plt.rcParams["lines.linewidth"] = 9
    lesson.setup(seed=0)
    style = mpl.rc_params_from_file(setup.STYLE, use_default_template=False)
    kept = {name for name in mpl.rcParams if mpl.rcParams[name] != mpl.rcParamsDefault[name]}
    assert kept - {"backend", "backend_fallback"} <= set(style)
    assert all(mpl.rcParams[name] == value for name, value in style.items())


def test_curves_are_told_apart_without_their_colour():
    lesson.setup(seed=0)
    figure = lesson.curves([0, 1], {"a": [0, 1], "b": [1, 0]}, "x", "y")
    a, b = figure.axes[0].lines
    assert a.get_linestyle() != b.get_linestyle()
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a", "b"]


def test_densities_share_their_limits():
    figure = lesson.density({"one": torch.zeros(5, 2), "two": torch.ones(5, 2)}, limit=2.0)
    assert {ax.get_xlim() for ax in figure.axes} == {(-2.0, 2.0)}
    with pytest.raises(ValueError, match=r"sets\['three'\] must be points"):
        lesson.density({"three": torch.zeros(5)}, limit=2.0)


def test_a_widget_brings_a_picture_for_pages_without_widgets(displayed):
    pytest.importorskip("ipywidgets")
    drawn_at = []

    def draw(t):
        drawn_at.append(t)
        return line()

    lesson.explore(draw, alt="A line that does not move with t.", t=(0.0, 1.0, 0.25))
    data, metadata = displayed[-1]
    assert "application/vnd.jupyter.widget-view+json" in data
    assert metadata["image/png"]["alt"] == "A line that does not move with t."
    assert drawn_at[-1] == 0.5


# --- exercises, whatever their lesson ---


@pytest.fixture
def judged(monkeypatch):
    monkeypatch.setattr(checks, "EXERCISES", {})

    @checks.exercise("99.1", points=1, minutes=1)
    def ex_99_1(answer):
        checks.same(answer(4.0), 2.0, {"the root is missing": 4.0}, what="the root")

    return lambda answer: checks.verdict("99.1", answer)


def test_a_verdict_names_the_fault_the_shape_or_the_difference(judged):
    assert judged(lambda x: x**0.5) == "● 99.1 solved"
    assert judged(lambda x: np.array(2.0, dtype=np.float32)) == "● 99.1 solved"
    assert judged(lambda x: x) == "✗ 99.1 the root is missing"
    assert judged(lambda x: [2.0]) == "✗ 99.1 the root should have the shape (), but has (1,)"
    assert judged(lambda x: 2.5) == "✗ 99.1 the root is off by up to 0.5"
    assert (
        judged(lambda x: float("nan"))
        == "✗ 99.1 the root holds a value that is not a finite number"
    )
    assert judged(lambda x: "two") == "✗ 99.1 the root should be a number or a tensor, but is a str"


def test_what_an_answer_raises_is_a_verdict_with_its_line(judged):
    def divides(x):
        return x / 0

    line = divides.__code__.co_firstlineno + 1
    said = f"✗ 99.1 your function raised ZeroDivisionError in line {line} of your answer: "
    assert judged(divides).startswith(
        said
    )  # the rest is Python's own, and differs between its versions


def test_a_missing_answer_is_not_solved_yet(judged):
    def raises(x):
        raise NotImplementedError

    for answer in (None, ..., raises, lambda x: ...):
        assert judged(answer) == "○ 99.1 not solved yet"


def test_several_things_are_told_apart():
    assert checks.parts((1, 2), "one", "two") == [1, 2]
    with pytest.raises(checks.Wrong, match="should return 2 things: one, two"):
        checks.parts([1], "one", "two")


def test_an_exercise_that_does_not_exist_is_named():
    with pytest.raises(
        ValueError, match=r"number must be that of an exercise, such as '2.1', got '2.99'"
    ):
        checks.verdict("2.99", None)
    with pytest.raises(AttributeError, match="ex_2_99"):
        _ = checks.ex_2_99


# --- the count ---


def test_the_report_counts_lesson_02():
    root = lesson.checkout("notebooks").parent
    counted = report.count(
        root / "notebooks" / "02_forward_diffusion.ipynb",
        root / "tests" / "answers" / "lesson_02.py",
    )
    assert counted == {"equations": 13, "checks": 13, "exercises": 4, "rejected": 26}
    assert report.report().splitlines()[-1].startswith("all ")
    with pytest.raises(ValueError, match="does not exist"):
        lesson.checkout("notebooks", "nonsense")
