"""Build the lessons: execute each source, write it the same way every time, and derive from it what
a learner opens.

    python -m tools.build_lessons                       every lesson of notebooks/solutions
    python -m tools.build_lessons 02 07                 these lessons
    python -m tools.build_lessons draft/02_name.py
        take in a draft (py:percent, see CONTRIBUTING.md), then build it
    python -m tools.build_lessons --draft 02 > draft.py write the draft of a lesson, to be edited
    python -m tools.build_lessons --refresh 02
        also measure the run time and take the pictures of widgets again

The source is notebooks/solutions/NN_name.ipynb; notebooks/NN_name.ipynb is the same with every
answer replaced by a stub, and with the outputs that it has then. An author writes tags; the
metadata of nbgrader (schema 3) is filled in here.
"""

import argparse
import hashlib
import json
import math
import re
import sys
import time
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from minimagen.lessons import checks

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
SOLUTIONS = NOTEBOOKS / "solutions"
STUB = re.compile(
    r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION$", re.MULTILINE | re.DOTALL
)
# Seconds that a cell, a kernel's start or an output may take. A busy machine may be slow: the limit
# is only there to end what would never end. The Makefile gives nbval the same.
LIMIT = 3600
RUN_TIME = re.compile(r"(Measured run time: )(\?|\d+ s)")
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", ()))


def kept(cell: NotebookNode) -> bool:
    """Whether the stored outputs of a cell stay as they are, since no two runs or front ends agree
    on them.
    """
    return "nbval-ignore-output" in tags(cell)


# --- one form for every notebook ---


def grading(cell: NotebookNode) -> dict | None:
    """What nbgrader must know of a cell, from its tag: "answer-2.1" is open to the student,
    "grade-2.1" is locked.
    """
    for tag in tags(cell):
        role, _, number = tag.partition("-")
        if role in ("answer", "grade", "derive"):
            name = number.replace(".", "_")
            common = {"schema_version": 3, "task": False}
            if role == "derive":
                getattr(checks, f"ex_{name}", None)  # loads the lesson's checks
                return {
                    "grade": True,
                    "grade_id": f"derive_{name}",
                    "locked": False,
                    "points": checks.EXERCISES[number].points,
                    "solution": True,
                    **common,
                }
            if role == "answer":
                return {
                    "grade": False,
                    "grade_id": f"answer_{name}",
                    "locked": False,
                    "solution": True,
                    **common,
                }
            getattr(checks, f"ex_{name}")  # loads the lesson's checks
            points = checks.EXERCISES[number].points
            return {
                "grade": True,
                "grade_id": f"ex_{name}",
                "locked": True,
                "points": points,
                "solution": False,
                **common,
            }
    return None


def normal(book: NotebookNode) -> NotebookNode:
    """A notebook with stable ids, known metadata only, and the grading that its tags ask for."""
    cells, used = [], set()
    for old in book.cells:
        source = old.source.rstrip("\n")
        make = (
            nbformat.v4.new_code_cell if old.cell_type == "code" else nbformat.v4.new_markdown_cell
        )
        metadata = {"tags": tags(old)} if tags(old) else {}
        cell = make(source, metadata=metadata, id=_id(old, source, used))
        if old.cell_type == "code":
            cell.outputs, cell.execution_count = old.get("outputs", []), old.get("execution_count")
        if grade := grading(cell):
            cell.metadata["nbgrader"] = grade
        cells.append(cell)
    return nbformat.v4.new_notebook(cells=cells, metadata=KERNEL, nbformat_minor=5)


def _id(cell: NotebookNode, source: str, used: set[str]) -> str:
    """A name that a change elsewhere does not change: from the exercise where there is one, else
    from what the cell says.
    """
    named = [
        tag.replace(".", "-")
        for tag in tags(cell)
        if tag.startswith(("answer-", "grade-", "derive-"))
    ]
    source = RUN_TIME.sub(r"\1?", source)
    name = named[0] if named else hashlib.sha256(source.encode()).hexdigest()[:8]
    while name in used:
        name += "x"
    used.add(name)
    return name


def stub(book: NotebookNode) -> NotebookNode:
    """The learner's edition of a source, not executed: `...` in the place of every answer."""
    book = nbformat.from_dict(json.loads(json.dumps(book)))
    for cell in book.cells:
        cell.source = STUB.sub(r"\1...", cell.source)
    return book


# --- executing ---


def execute(book: NotebookNode, folder: Path) -> tuple[NotebookNode, float]:
    """Run a notebook from top to bottom in `folder`: its outputs, and the seconds it took, the
    kernel's start included.
    """
    from nbclient import NotebookClient

    start = time.perf_counter()
    options = {"record_timing": False, "coalesce_streams": True, "raise_on_iopub_timeout": True}
    limits = dict.fromkeys(("timeout", "iopub_timeout", "startup_timeout"), LIMIT)
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(book, kernel_name="python3", resources=place, **options, **limits).execute()
    return book, time.perf_counter() - start


def settle(book: NotebookNode, stored: NotebookNode | None, refresh: bool) -> NotebookNode:
    """Keep what is stored of the cells that no two runs agree on; leave nothing that differs
    without a reason.
    """
    book.metadata = nbformat.from_dict(
        KERNEL
    )  # no version of Python, and no state of widgets, which GitHub chokes on
    old = {cell.id: cell for cell in stored.cells} if stored else {}
    for cell in book.cells:
        if cell.cell_type != "code":
            continue
        if kept(cell) and not refresh and old.get(cell.id, {}).get("outputs"):
            cell.outputs = old[cell.id].outputs
        for output in cell.outputs:
            for kind in [kind for kind in output.get("data", {}) if "widget" in kind]:
                del output["data"][kind]  # its picture stays; without a kernel the widget is dead
            output.pop("transient", None)
        cell.metadata.pop("execution", None)
    return book


def measured(book: NotebookNode, seconds: float, refresh: bool) -> NotebookNode:
    """Write the measured run time where the lesson states it, if none is stated yet or a new one is
    asked for.
    """
    for cell in book.cells:
        stated = RUN_TIME.search(cell.source) if cell.cell_type == "markdown" else None
        if stated and (refresh or stated[2] == "?"):
            cell.source = RUN_TIME.sub(rf"\g<1>{math.ceil(seconds)} s", cell.source)
    return book


# --- building ---


def write(book: NotebookNode, path: Path) -> None:
    """Write a notebook in one form: sorted keys, one space, a line's end at the end."""
    nbformat.validate(book)
    path.write_text(nbformat.writes(book, version=4) + "\n", encoding="utf-8")


def build(path: Path, refresh: bool = False) -> float:
    """Execute the source at `path`, write it and the learner's edition of it -> seconds that the
    source took.
    """
    stored = nbformat.read(path, as_version=4)
    book = normal(stored)
    book, seconds = execute(book, path.parent)
    book = measured(settle(book, normal(stored), refresh), seconds, refresh)
    learner, _ = execute(stub(book), NOTEBOOKS)
    learner = settle(learner, book, refresh=False)
    write(book, path)
    write(learner, NOTEBOOKS / path.name)
    return seconds


def take_in(draft: Path) -> Path:
    """A draft in py:percent becomes the source of the lesson of its name; stored widget pictures
    and run time are kept.
    """
    import jupytext

    path = SOLUTIONS / f"{draft.stem}.ipynb"
    book = normal(jupytext.read(draft, fmt="py:percent"))
    if path.exists():
        stored = normal(nbformat.read(path, as_version=4))
        book = settle(book, stored, refresh=False)
        times = [match[2] for cell in stored.cells if (match := RUN_TIME.search(cell.source))]
        for cell in book.cells:
            if times and cell.cell_type == "markdown":
                cell.source = RUN_TIME.sub(rf"\g<1>{times[0]}", cell.source)
    write(book, path)
    return path


def draft(path: Path) -> str:
    """The source of a lesson as py:percent, with its tags and without its outputs."""
    import jupytext

    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        cell.metadata.pop("nbgrader", None)
        cell.pop("id", None)
    book.metadata = {"kernelspec": KERNEL["kernelspec"]}
    return jupytext.writes(book, fmt="py:percent")


def sources(names: list[str]) -> list[Path]:
    """The sources that are meant by "02", or by the path of a draft; all where nothing is named.

    Raises `ValueError` for a name that means none.
    """
    if not names:
        return sorted(SOLUTIONS.glob("*.ipynb"))
    paths = []
    for name in names:
        is_draft = name.endswith(".py")
        meant = [take_in(Path(name))] if is_draft else sorted(SOLUTIONS.glob(f"{name}*.ipynb"))
        if not meant:
            raise ValueError(
                f"names must be the beginnings of notebooks in notebooks/solutions, got {name!r}"
            )
        paths += meant
    return paths


def main() -> None:
    """The command line, as the head of this file says."""
    parser = argparse.ArgumentParser(
        description="execute the lessons and derive the learner's edition"
    )
    parser.add_argument("names", nargs="*", help="02, or the path of a draft; nothing: all")
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="measure run times and take the pictures of widgets again",
    )
    parser.add_argument(
        "--draft", action="store_true", help="print a lesson as py:percent instead of building it"
    )
    arguments = parser.parse_args()
    for path in sources(arguments.names):
        if arguments.draft:
            sys.stdout.write(draft(path))
        else:
            print(f"{path.stem}: {build(path, arguments.refresh):.1f} s")


if __name__ == "__main__":
    main()
