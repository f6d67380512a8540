"""The lessons make a course that nbgrader grades justly: nothing for a blank page, all for the
reference, a fault its points.

The test goes the whole way of a course with nbgrader's own commands: release, hand in, collect,
grade, export. It grades lesson 02 with every stored wrong answer; with `MINIMAGEN_CLASSROOM=all`,
or "02 07", all lessons or those; lesson 02 takes a minute.
"""

import csv
import itertools
import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from minimagen.lessons import checks
from tools import make_classroom

ROOT = Path(__file__).parents[1]
ANSWERS = {
    path.stem[-2:]: path for path in sorted((ROOT / "tests" / "answers").glob("lesson_*.py"))
}
WRONG = {lesson: runpy.run_path(str(path))["WRONG"] for lesson, path in ANSWERS.items()}
CHOSEN = os.environ.get("MINIMAGEN_CLASSROOM", "02")
GRADED = [*ANSWERS] if CHOSEN == "all" else CHOSEN.split()
PATIENT = "MINIMAGEN_CLASSROOM" in os.environ  # then a student may also hand in what never ends
# No clock decides a grade here, on however busy a machine: cells of milliseconds may take an hour.
# Only whoever hands in what never ends is graded with a limit of ten minutes.
LIMIT, LIMIT_OF_THE_ENDLESS = 3600, 600
SOLUTION = re.compile(r"(?sm)^([ \t]*)### BEGIN SOLUTION$\n(.*?)^[ \t]*### END SOLUTION$")


def read(folder: Path):
    return nbformat.read(next(folder.glob("[0-9][0-9]_*.ipynb")), as_version=4)


def tagged(book, tag: str):
    return next(cell for cell in book.cells if tag in cell.metadata.get("tags", ()))


def points(lesson: str) -> dict[str, int]:
    checks.verdict(f"{int(lesson)}.1", None)  # loads the lesson's checks
    return {number: checks.EXERCISES[number].points for number in WRONG[lesson]}


def nbgrader(course: Path, *arguments: str) -> str:
    """Run a command of nbgrader in the folder of a course -> what it printed."""
    pytest.importorskip(
        "nbgrader",
        reason="nbgrader is not installed: pip install -c constraints.txt -e '.[classroom]'",
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), environment["PATH"]]
    )  # it calls alembic by name
    environment.pop("PYTHONWARNINGS", None)  # the course has to set what it needs
    command = [sys.executable, "-m", "nbgrader", *arguments]
    done = subprocess.run(command, cwd=course, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A course of every lesson, before nbgrader has touched it."""
    course = tmp_path_factory.mktemp("classroom") / "course"
    make_classroom.make(course, [], limit=LIMIT)
    return course


@pytest.fixture(scope="module")
def course(made) -> Path:
    """The same, released."""
    nbgrader(made, "generate_assignment", "ps*", "--create", "--force")
    return made


# --- making the course ---


def test_every_lesson_with_exercises_is_an_assignment_with_its_points_and_minutes(tmp_path):
    table = make_classroom.make(tmp_path, []).splitlines()[1:]
    assert [line.split()[0] for line in table] == [f"ps{lesson}" for lesson in ANSWERS]
    for lesson, line in zip(ANSWERS, table, strict=True):
        worth = points(lesson)
        minutes = sum(checks.EXERCISES[number].minutes for number in worth)
        assert line.split()[2:] == [str(len(worth)), str(sum(worth.values())), str(minutes)]
    assert sorted(path.name for path in (tmp_path / "source").iterdir()) == [
        f"ps{lesson}" for lesson in ANSWERS
    ]


def test_a_course_holds_the_lessons_that_are_named_and_keeps_what_a_teacher_changed(tmp_path):
    make_classroom.make(tmp_path, ["02"])
    page, config = (
        tmp_path / "source" / "ps02" / "02_forward_diffusion.ipynb",
        tmp_path / "nbgrader_config.py",
    )
    text = page.read_text(encoding="utf-8")
    page.write_text("mine", encoding="utf-8")
    config.write_text("mine", encoding="utf-8")
    table = make_classroom.make(tmp_path, ["02", "03"])
    assert [line.endswith("left as it was") for line in table.splitlines()[1:]] == [True, False]
    assert (page.read_text(encoding="utf-8"), config.read_text(encoding="utf-8")) == (
        "mine",
        "mine",
    )
    assert sorted(path.name for path in (tmp_path / "source").iterdir()) == ["ps02", "ps03"]
    make_classroom.make(tmp_path, ["02"], replace=True)
    assert (page.read_text(encoding="utf-8"), config.read_text(encoding="utf-8")) == (text, "mine")


def test_the_limit_of_a_cell_is_written_for_grading(tmp_path):
    make_classroom.make(tmp_path / "usual", ["02"])
    make_classroom.make(tmp_path / "long", ["02"], limit=600)
    for course, limit in (("usual", 120), ("long", 600)):
        text = (tmp_path / course / "nbgrader_config.py").read_text(encoding="utf-8")
        config = SimpleNamespace(
            **{name: SimpleNamespace() for name in re.findall(r"^c\.(\w+)", text, re.MULTILINE)}
        )
        exec(text, {"get_config": lambda config=config: config, "os": SimpleNamespace(environ={})})
        assert (config.Execute.timeout, config.Execute.iopub_timeout) == (limit, limit)
        assert config.Execute.startup_timeout == limit
    with pytest.raises(ValueError, match="limit must be at least 1 second, got 0"):
        make_classroom.make(tmp_path, ["02"], limit=0)


def test_a_name_that_means_no_lesson_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_classroom.py", str(tmp_path / "course"), "02", "99"])
    with pytest.raises(SystemExit):
        make_classroom.main()
    assert (
        "names must be the beginnings of lessons in notebooks/solutions, got '99'"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "course").exists()


def test_grading_runs_the_set_up_and_the_exercises_and_leaves_out_every_other_cell_of_the_lesson(
    made,
):
    for folder in sorted((made / "source").iterdir()):
        for cell in read(folder).cells:
            tags = cell.metadata.get("tags", [])
            counts = any(tag == "setup" or tag.startswith(("answer-", "grade-")) for tag in tags)
            assert ("nbgrader" in cell.metadata) == counts
            assert ("skip-execution" in tags) == (cell.cell_type == "code" and not counts)


# --- releasing it ---


def test_a_released_lesson_is_the_lesson_with_stubs_and_without_outputs(course):
    for lesson in ANSWERS:
        full, page = (
            read(course / "source" / f"ps{lesson}"),
            read(course / "release" / f"ps{lesson}"),
        )
        assert [cell.source for cell in page.cells] == [
            SOLUTION.sub(r"\1...", cell.source) for cell in full.cells
        ]
        assert not any(cell.get("outputs") for cell in page.cells)
        everything = "\n".join(cell.source for cell in page.cells)
        assert "SOLUTION" not in everything
        for number in WRONG[lesson]:
            body = SOLUTION.search(tagged(full, f"answer-{number}").source)[2]
            assert body.strip() not in everything
            check = tagged(page, f"grade-{number}").metadata
            assert (check.editable, check.deletable, check.nbgrader.locked) == (False, False, True)
        assert tagged(page, "setup").metadata.editable is False


def test_nbgrader_says_what_is_left_to_solve_and_that_the_solutions_pass(course):
    said = nbgrader(course, "validate", "release/ps02/02_forward_diffusion.ipynb")
    assert "VALIDATION FAILED ON 4 CELL(S)" in said
    assert all(f"AssertionError: ○ {number} not solved yet" in said for number in WRONG["02"])
    assert "Success! Your notebook passes all the tests." in nbgrader(
        course, "validate", "source/ps02/*.ipynb"
    )


# --- handing it in, and grading ---


def mistaken(course: Path, lesson: str):
    """Students who know one exercise, or none, and have a wrong answer to each of the others, until
    every one has been given.

    -> pairs of a notebook and {number: what its verdict must say} of the exercises that are wrong.
    """
    left = {number: [*wrong] for number, wrong in WRONG[lesson].items()}
    for turn in itertools.count():
        known = turn % (len(left) + 1)
        mistakes = {
            number: wrong.pop()
            for place, (number, wrong) in enumerate(left.items())
            if wrong and place != known
        }
        book = read(course / "source" / f"ps{lesson}")
        for number, words in mistakes.items():
            name = re.fullmatch(
                r"checks\.ex_\d+_\d+\((\w+)\)", tagged(book, f"grade-{number}").source
            )[1]
            stored = f"runpy.run_path({str(ANSWERS[lesson])!r})['WRONG'][{number!r}][{words!r}]"
            tagged(book, f"answer-{number}").source = f"import runpy\n\n{name} = {stored}"
        if mistakes:
            yield book, mistakes
        if not any(left.values()):
            return


def meddled(course: Path):
    """The reference of lesson 02 by a student who broke the set-up and two checks, never answered
    2.3, and is warned in 2.1.
    """
    book = read(course / "source" / "ps02")
    tagged(book, "setup").source = "raise SystemExit"
    tagged(book, "grade-2.3").source = "print('● 2.3 solved')"
    tagged(book, "answer-2.3").source = "betas_of = None"
    tagged(
        book, "answer-2.1"
    ).source += "\n\n\nwarned = diffuse\n\n\ndef diffuse(*answer):\n    import warnings\n\n"
    tagged(book, "answer-2.1").source += "    warnings.warn('mind')\n    return warned(*answer)"
    book.cells.remove(tagged(book, "grade-2.4"))
    if PATIENT:
        tagged(book, "answer-2.2").source = "def abar_of(betas):\n    while True:\n        pass"
    return book


def collected(course: Path, lesson: str, books: dict) -> None:
    """Hand in notebooks as a learning platform would deliver them, files and archives named after
    the student.
    """
    archive = course / "downloaded" / f"ps{lesson}" / "archive"
    archive.mkdir(parents=True)
    page = next((course / "source" / f"ps{lesson}").glob("*.ipynb")).name
    for student, book in books.items():
        nbformat.write(book, archive / f"{student}_{page}")
    first = archive / f"{next(iter(books))}_{page}"
    with zipfile.ZipFile(archive / "one_more.zip", "w") as file:
        file.write(first, first.name)
    first.unlink()
    nbgrader(course, "zip_collect", f"ps{lesson}", "--force")
    shutil.rmtree(course / "downloaded")


@pytest.fixture(scope="module", params=GRADED)
def graded(request, course) -> tuple[Path, str, dict]:
    """One lesson handed in and graded: by who left it blank, who knows all, and all who know part;
    {student: faults}.
    """
    lesson = request.param
    books = {
        "class_12_blank": read(course / "release" / f"ps{lesson}"),
        "reference": read(course / "source" / f"ps{lesson}"),
    }
    faults = {}
    for i, (book, mistakes) in enumerate(mistaken(course, lesson)):
        books[f"mistaken-{i}"], faults[f"mistaken-{i}"] = book, mistakes
    if lesson == "02":
        books["meddled"] = meddled(course)
    collected(course, lesson, books)
    if lesson == "02" and PATIENT:
        limit = f"--Execute.timeout={LIMIT_OF_THE_ENDLESS}"
        nbgrader(course, "autograde", "ps02", "--student=meddled", "--create", limit)
    nbgrader(course, "autograde", f"ps{lesson}", "--create")  # it leaves out who has been graded
    nbgrader(course, "export", "--assignment", f"['ps{lesson}']")
    return course, lesson, faults


def exported(course: Path) -> dict[str, dict]:
    with open(course / "grades.csv", newline="", encoding="utf-8") as file:
        return {row["student_id"]: row for row in csv.DictReader(file)}


def earned(course: Path, lesson: str, student: str) -> dict[str, float]:
    """{exercise: points} of a student in nbgrader's gradebook."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "minimagen") as book:
        grades = book.find_submission(f"ps{lesson}", student).notebooks[0].grades
        return {grade.name.removeprefix("ex_").replace("_", "."): grade.score for grade in grades}


def errors(course: Path, lesson: str, student: str, number: str) -> str:
    cell = tagged(read(course / "autograded" / student / f"ps{lesson}"), f"grade-{number}")
    return "".join(output.evalue for output in cell.outputs if output.output_type == "error")


def test_blank_is_nothing_and_the_reference_is_everything(graded):
    course, lesson, _ = graded
    worth = points(lesson)
    assert earned(course, lesson, "class_12_blank") == dict.fromkeys(worth, 0)
    assert earned(course, lesson, "reference") == worth
    assert all(
        errors(course, lesson, "class_12_blank", number) == f"○ {number} not solved yet"
        for number in worth
    )


def test_each_wrong_answer_loses_its_points_and_no_others_and_is_told_why(graded):
    course, lesson, faults = graded
    tried = {(number, words) for mistakes in faults.values() for number, words in mistakes.items()}
    assert tried == {(number, words) for number, wrong in WRONG[lesson].items() for words in wrong}
    for student, mistakes in faults.items():
        assert earned(course, lesson, student) == {
            number: 0 if number in mistakes else p for number, p in points(lesson).items()
        }
        for number, words in mistakes.items():
            assert errors(course, lesson, student, number).startswith(f"✗ {number} ")
            assert words in errors(course, lesson, student, number)


def test_the_exported_table_has_a_line_for_every_student(graded):
    course, lesson, faults = graded
    rows, worth = exported(course), points(lesson)
    assert {row["assignment"] for row in rows.values()} == {f"ps{lesson}"}
    assert {float(row["max_score"]) for row in rows.values()} == {sum(worth.values())}
    wanted = {
        student: sum(worth[number] for number in worth if number not in mistakes)
        for student, mistakes in faults.items()
    }
    wanted |= {"class_12_blank": 0, "reference": sum(worth.values())}
    assert {student: float(rows[student]["score"]) for student in wanted} == wanted


def test_what_is_locked_is_put_back_and_what_a_student_breaks_costs_its_own_points_only(graded):
    course, lesson, _ = graded
    if lesson != "02":
        pytest.skip("the student who meddles takes lesson 02 alone")
    kept, page = read(course / "source" / "ps02"), read(course / "autograded" / "meddled" / "ps02")
    assert all(
        tagged(page, tag).source == tagged(kept, tag).source for tag in ("setup", "grade-2.3")
    )
    worth = points("02")
    lost = {"2.3": 0, "2.4": 0} | (
        {"2.2": 0} if PATIENT else {}
    )  # 2.4, whose check is gone, is left to the teacher
    assert earned(course, "02", "meddled") == worth | lost
    assert errors(course, "02", "meddled", "2.3") == "○ 2.3 not solved yet"
