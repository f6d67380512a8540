"""Make a course for nbgrader out of the lessons: one assignment a lesson, lesson 02 as ps02, in a
folder of your own.

    python -m tools.make_classroom ../course               every lesson that has exercises
    python -m tools.make_classroom ../course 02 03         these lessons
    python -m tools.make_classroom ../course 02 --replace  write what the course has of them again
    python -m tools.make_classroom ../course --limit 600   a cell may take ten minutes when graded

Written are `source/ps02/`, which holds the lesson with its solutions, and `nbgrader_config.py`;
nbgrader makes the rest, and docs/TEACHING.md says how. What is there already stays as it is, since
a teacher may have changed it.
"""

import argparse
import shutil
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from minimagen.lessons import checks

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
BESIDE = ("GLOSSARY.md", "NOTATION.md")  # the lessons link to them
# the tag of a cell that nbclient, and so nbgrader, does not run; JupyterLab runs it as any other
SKIPPED = "skip-execution"
# Seconds after which an answer is taken for one that never ends; a check takes less than one.
LIMIT = 120
SET_UP = {
    "grade": False,
    "grade_id": "setup",
    "locked": True,
    "schema_version": 3,
    "solution": False,
    "task": False,
}
CONFIG = r'''"""How nbgrader releases and grades this course.

`nbgrader generate_config` lists every setting that there is.
"""

import os

c = get_config()  # noqa: F821 - nbgrader provides it
c.CourseDirectory.course_id = "minimagen"
# What stands where the answer will be, as in the lessons.
c.ClearSolutions.code_stub = {"python": "..."}

# Seconds that a cell, the kernel's start and the hand-over of what a cell printed may take: after
# that, the check of an answer that never ends is wrong, and the next one runs.
c.Execute.timeout = c.Execute.iopub_timeout = c.Execute.startup_timeout = LIMIT
# Grading runs set-up, answers, checks, and what a student has added. To run the demonstrations
# too, name a tag that no cell has, and allow a cell 300 seconds.
c.Execute.skip_cells_with_tag = "skip-execution"

# The kernels inherit these. nbgrader counts a check that wrote a warning as failed, even if the
# answer is right.
os.environ["PYTHONWARNINGS"] = "ignore"
os.environ["HF_HUB_OFFLINE"] = "1"

# `nbgrader zip_collect` finds the student and the lesson in a file's name:
# alice_02_forward_diffusion.ipynb
c.FileNameCollectorPlugin.named_regexp = (
    r"(.*[/\\])?(?P<student_id>[^/\\]+)_(?P<file_id>\d\d_[^/\\]+\.ipynb)$"
)
'''


def exercises(book: NotebookNode) -> list[checks.Exercise]:
    """The exercises of a lesson in their order, with points and minutes."""
    registered = []
    for cell in book.cells:
        for tag in cell.metadata.get("tags", ()):
            if tag.startswith("grade-"):
                number = tag.partition("-")[2]
                getattr(checks, f"ex_{number.replace('.', '_')}")  # loads the lesson's checks
                registered.append(checks.EXERCISES[number])
    return registered


def assignment(book: NotebookNode) -> NotebookNode:
    """What a course needs beyond the lesson: the set-up is locked too, and the demonstrations are
    not run again for a grade.

    That is fair because answers may use the set-up alone, which tests/test_lessons.py checks, and
    it makes grading a matter of seconds a submission.
    """
    for cell in book.cells:
        tags = cell.metadata.get("tags", [])
        if "setup" in tags:
            cell.metadata["nbgrader"] = dict(SET_UP)
        elif cell.cell_type == "code" and "nbgrader" not in cell.metadata:
            cell.metadata["tags"] = [*tags, SKIPPED]
    return book


def sources(names: list[str]) -> list[Path]:
    """The lessons with solutions that are meant by "02"; all where nothing is named.

    Raises `ValueError` for a name that means none.
    """
    paths = []
    for name in names or [""]:
        meant = sorted((NOTEBOOKS / "solutions").glob(f"{name}*.ipynb"))
        if not meant:
            raise ValueError(
                f"names must be the beginnings of lessons in notebooks/solutions, got {name!r}"
            )
        paths += meant
    return paths


def write_assignment(book: NotebookNode, path: Path, replace: bool) -> bool:
    """Write one assignment's folder, unless it is there and not to be replaced -> whether it was
    written.
    """
    if path.parent.exists() and not replace:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.validate(book)
    path.write_text(nbformat.writes(book, version=4) + "\n", encoding="utf-8")
    for name in BESIDE:
        shutil.copyfile(NOTEBOOKS / name, path.parent / name)
    return True


def make(course: Path, names: list[str], replace: bool = False, limit: int = LIMIT) -> str:
    """Make the course, or add these lessons to it -> a table of assignments, exercises, points and
    minutes.

    limit: seconds that a cell may take when it is graded, >= 1. Raises `ValueError` on a smaller
    one, and where a name means no lesson. A lesson without exercises is no assignment.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1 second, got {limit}")
    rows = [f"{'assignment':<12}{'lesson':<34}{'exercises':>10}{'points':>8}{'minutes':>9}"]
    for path in sources(names):
        book = nbformat.read(path, as_version=4)
        graded = exercises(book)
        if not graded:
            continue
        name = f"ps{path.name[:2]}"
        written = write_assignment(assignment(book), course / "source" / name / path.name, replace)
        points, minutes = sum(e.points for e in graded), sum(e.minutes for e in graded)
        row = f"{name:<12}{path.stem:<34}{len(graded):>10}{points:>8}{minutes:>9}"
        rows.append(row if written else f"{row}  left as it was")
    config = course / "nbgrader_config.py"
    if not config.exists():
        config.write_text(CONFIG.replace("LIMIT", str(limit)), encoding="utf-8")
    return "\n".join(rows)


def main() -> None:
    """The command line, as the head of this file says."""
    parser = argparse.ArgumentParser(description="make a course for nbgrader out of the lessons")
    parser.add_argument(
        "course", type=Path, help="the folder of the course; made where it is missing"
    )
    parser.add_argument(
        "names", nargs="*", help="lessons, such as 02 03; nothing: all that have exercises"
    )
    parser.add_argument(
        "--replace", action="store_true", help="write assignments again that the course has already"
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=LIMIT,
        metavar="SECONDS",
        help="how long a cell may take when a new course is graded; default: %(default)s",
    )
    arguments = parser.parse_args()
    try:
        print(make(arguments.course, arguments.names, arguments.replace, arguments.limit))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
