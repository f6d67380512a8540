"""Every lesson keeps the form that a reader can rely on, and every check of an exercise knows right
answers from wrong ones.

A rule is a function from a notebook to its complaints. Each is also shown a broken notebook
(`BREAKS`), so that none is asleep.
"""

import contextlib
import io
import json
import re
import runpy
import statistics
from pathlib import Path

import nbformat
import pytest

from minimagen.lessons import checks

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
LEARNERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BOTH = [pytest.param(path, id=f"{path.parent.name}-{path.stem}") for path in (*LEARNERS, *SOURCES)]
ANSWERS = {
    path.stem[-2:]: runpy.run_path(str(path))
    for path in sorted((ROOT / "tests" / "answers").glob("lesson_*.py"))
}
NUMBERS = [number for answers in ANSWERS.values() for number in answers["RIGHT"]]

OPENING = (
    "What you will be able to do",
    "Set-up",
    "Predict first",
    "Intuition",
)  # after these, headings are free ...
CLOSING = (
    "Move it yourself",
    "Now the library",
    "What breaks if",
    "The proof",
    "Recap",
)  # ... up to these
CARD = ("Equation card", "New words", "References", "Next")
START = "00"  # the one lesson that derives nothing and asks nothing: it only has the sections below
START_SECTIONS = ("What you will be able to do", "Set-up", "Recap")
TAGS = re.compile(r"setup|widget|nbval-ignore-output|wow|(eq|answer|grade|derive)-\d+\.\d+")
EQUATION = re.compile(r"\\tag\{(\d+\.\d+)\}")


def read(path: Path):
    return nbformat.read(path, as_version=4)


def tags(cell) -> list[str]:
    return list(cell.metadata.get("tags", ()))


def tagged(book, tag: str) -> list:
    return [cell for cell in book.cells if tag in tags(cell)]


def code(book) -> list:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def prose(book) -> str:
    return "\n\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")


def texts(cell) -> str:
    return "".join(output.get("text", "") for output in cell.get("outputs", ()))


def pictures(cell) -> list:
    return [
        output
        for output in cell.get("outputs", ())
        if any(kind.startswith("image/") for kind in output.get("data", {}))
    ]


def lines(cell) -> int:
    return sum(bool(line.strip()) and "### " not in line for line in cell.source.splitlines())


def number(book) -> str:
    return book.cells[0].source[2:4]


# --- the rules ---


def sections(book):
    headings = re.findall(r"^## (?!Exercises)(.*)$", prose(book), re.MULTILINE)
    if number(book) == START:
        return [
            name
            for name in START_SECTIONS
            if not any(heading.startswith(name) for heading in headings)
        ]
    wanted = [*OPENING, *CLOSING]
    at = [
        next((i for i, heading in enumerate(headings) if heading.startswith(name)), None)
        for name in wanted
    ]
    if None in at:
        return [f"no section {name!r}" for name, i in zip(wanted, at, strict=True) if i is None]
    fixed = (
        at == sorted(at)
        and at[:4] == [0, 1, 2, 3]
        and at[4:] == list(range(len(headings) - 5, len(headings)))
    )
    ends = re.findall(r"^### (.*)$", prose(book).partition("## Recap")[2], re.MULTILINE)
    return ([] if fixed else [f"sections out of order: {headings}"]) + (
        [] if ends == [*CARD] else [f"the recap has {ends}"]
    )


def head(book):
    first, goals = (
        book.cells[0].source,
        prose(book).partition("## What you will be able to do")[2].partition("\n## ")[0],
    )
    wanted = {r"# \d\d · \S": first, r"\*\*Where this stands\.\*\*": first}
    wanted |= {
        r"You need: ": goals,
        r"Your time: \d+ minutes": goals,
        r"Measured run time: \d+ s on": goals,
    }
    if number(book) != START:
        wanted[r"\*\*Proof number\.\*\* "] = first
    bullets = len(re.findall(r"^- ", goals, re.MULTILINE))
    complaints = [
        f"no {pattern}" for pattern, text in wanted.items() if not re.search(pattern, text)
    ]
    return complaints + ([] if 3 <= bullets <= 5 else [f"{bullets} objectives"])


def equations(book):
    complaints, cells = [], code(book)
    stated = EQUATION.findall(prose(book))
    derived = [tag[3:] for cell in cells for tag in tags(cell) if tag.startswith("eq-")]
    if sorted(stated) != sorted(set(derived)) or len(derived) != len(set(derived)):
        complaints.append(f"equations {stated}, but cells for {derived}")
    for i, cell in enumerate(cells):
        for tag in tags(cell):
            if tag.startswith("eq-"):
                following = cells[i + 1 : i + 2]
                near = [
                    cell,
                    *(
                        after
                        for after in following
                        if not any(tag.startswith("eq-") for tag in tags(after))
                    ),
                ]
                passing = re.compile(rf"^check {re.escape(tag[3:])} ✓ within ", re.MULTILINE)
                complaints += (
                    []
                    if any(passing.search(texts(cell)) for cell in near)
                    else [f"no passing check of {tag}"]
                )
                complaints += [] if lines(cell) <= 12 else [f"{tag} has {lines(cell)} lines"]
    return complaints


def execution(book):
    counts = [cell.execution_count for cell in code(book)]
    return (
        []
        if counts and counts == list(range(1, len(counts) + 1))
        else [f"executed in the order {counts}"]
    )


def clean_outputs(book):
    outputs = [output for cell in code(book) for output in cell.outputs]
    complaints = [] if outputs else ["no outputs"]
    complaints += ["an error" for output in outputs if output.output_type == "error"]
    complaints += [
        f"stderr: {output.text[:80]}" for output in outputs if output.get("name") == "stderr"
    ]
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    complaints += [f"a view {kind}" for kind in kinds if "widget" in kind or "javascript" in kind]
    return complaints + (["the state of widgets"] if "widgets" in book.metadata else [])


def descriptions(book):
    complaints, seen = [], []
    for cell in code(book):
        for output in pictures(cell):
            kind = next(kind for kind in output.data if kind.startswith("image/"))
            alt = output.metadata.get(kind, {}).get("alt", "")
            complaints += (
                []
                if len(alt) >= 20 and output.data.get("text/plain") == alt
                else [f"a picture without words: {alt!r}"]
            )
            seen.append(alt)
            listed = [
                other.data["text/html"]
                for other in cell.outputs
                if "text/html" in other.get("data", {})
            ]
            inside = "widget" in tags(cell) or any(html.startswith("<details>") for html in listed)
            complaints += [] if inside else [f"words that a screen reader does not reach: {alt!r}"]
    complaints += [
        f"an empty description in {link}" for link in re.findall(r"!\[\s*\]\([^)]*\)", prose(book))
    ]
    return complaints + (
        [] if len(seen) == len(set(seen)) else ["two pictures share a description"]
    )


def captions(book):
    shown = sum(len(pictures(cell)) for cell in code(book) if "widget" not in tags(cell))
    written = re.findall(r"\*Figure (\d+)\.((?:[^*]|\n)+)\*", prose(book))
    numbers = [int(i) for i, _ in written]
    right = numbers == list(range(1, shown + 1))
    return [] if right else [f"{shown} figures, captions {numbers}"]


def known_tags(book):
    return [tag for cell in book.cells for tag in tags(cell) if not TAGS.fullmatch(tag)]


def offline(book):
    reaching = (
        r"https?://",
        r"\b(?:requests|urllib|socket|httpx|wget|curl)\b",
        r"^\s*[!%]",
        r"\bpip install\b",
        r"<script",
    )
    sources = [cell.source for cell in code(book)]
    complaints = [
        source
        for source in sources
        for pattern in reaching
        if re.search(pattern, source, re.MULTILINE)
    ]
    return complaints + re.findall(r"!\[[^\]]*\]\(\s*(?:https?:)?//[^)]*\)|<img[^>]*", prose(book))


def portable(book):
    whole = [cell.source for cell in book.cells] + [texts(cell) for cell in book.cells]
    absolute = re.compile(
        r"(?<![\w.$~/{}-])/(?:home|Users|tmp|var|opt|usr|mnt|root|work|private)/\w|\b[A-Z]:\\\w"
    )
    return [match[0] for text in whole if (match := absolute.search(text))]


def timeless(book):
    stamped = [cell.id for cell in book.cells if set(cell.metadata) - {"tags", "nbgrader"}]
    timed = re.compile(r"Wall time|\bit/s\b|s/it\b|\bms\b|\d%\|")
    compared = [cell for cell in code(book) if "nbval-ignore-output" not in tags(cell)]
    return stamped + [cell.source for cell in compared if timed.search(texts(cell))]


def rarely_ignored(book):
    ignored = len(tagged(book, "nbval-ignore-output"))
    return (
        []
        if 10 * ignored <= len(code(book))
        else [f"{ignored} of {len(code(book))} cells are ignored"]
    )


def short_cells(book):
    median = statistics.median([lines(cell) for cell in code(book)])
    return [] if median <= 8 else [f"the median code cell has {median} lines"]


def prose_between(book):
    kinds = "".join(cell.cell_type[0] for cell in book.cells)
    return ["more than three code cells in a row"] if "cccc" in kinds else []


def kernel(book):
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    names = {"kernelspec": spec, "language_info": {"name": "python"}}
    ids = [cell.id for cell in book.cells]
    return ([] if book.metadata == names else [book.metadata]) + (
        [] if len(ids) == len(set(ids)) else ["an id used twice"]
    )


def marked_cells(book):
    complaints = []
    setups = tagged(book, "setup")
    if (
        len(setups) != 1
        or code(book)[0] is not setups[0]
        or "lesson.setup(" not in setups[0].source
    ):
        complaints.append("the first code cell must be the one set-up")
    if number(book) == START:
        return complaints
    for tag in ("widget", "wow"):
        if len(tagged(book, tag)) != 1:
            complaints.append(f"there must be one cell tagged {tag}")
    for cell in tagged(book, "widget"):
        if "nbval-ignore-output" not in tags(cell) or len(pictures(cell)) != 1:
            complaints.append("a widget's cell is ignored by nbval and stores one picture")
    return complaints + [
        f"{cell.source} prints nothing" for cell in tagged(book, "wow") if not texts(cell)
    ]


def exercises(book):
    complaints, cells = [], book.cells
    heads = re.findall(
        r"^### Exercise (\d+\.\d+) · .* \((\d+) points?, (\d+) minutes\)$",
        prose(book),
        re.MULTILINE,
    )
    graded = [
        i
        for i, cell in enumerate(cells)
        if any(tag.startswith(("grade-", "derive-")) for tag in tags(cell))
    ]
    if number(book) != START and not 2 <= len(graded) <= 6:
        complaints.append(f"{len(graded)} exercises")
    if len(heads) != len(graded):
        return [*complaints, f"{len(graded)} exercises, headings {heads}"]
    for i, (name, points, minutes) in zip(graded, heads, strict=True):
        task, answer, after = cells[i - 2], cells[i - 1], cells[i + 1]
        checks.verdict(name, None)  # loads the lesson's checks
        registered, identity = checks.EXERCISES[name], name.replace(".", "_")
        if registered.kind == "derive":
            fits = derivation(cells[i - 1], cells[i], after, registered)
            complaints += [f"exercise {name}: {fits}"] if not all(fits) else []
            continue
        fits = [
            task.source.startswith(f"### Exercise {name} ")
            and task.source.count("<details><summary>Hint ") == 3,
            (int(points), int(minutes)) == (registered.points, registered.minutes),
            tags(answer) == [f"answer-{name}"] and tags(cells[i]) == [f"grade-{name}"],
            re.fullmatch(rf"checks\.ex_{identity}\(\w+\)", cells[i].source) is not None,
            after.source.startswith("<details><summary>Why this matters</summary>"),
            answer.metadata.nbgrader
            == dict(grading(f"answer_{identity}"), grade=False, locked=False, solution=True),
            cells[i].metadata.nbgrader
            == dict(
                grading(f"ex_{identity}"),
                grade=True,
                locked=True,
                solution=False,
                points=registered.points,
            ),
        ]
        complaints += [f"exercise {name}: {fits}"] if not all(fits) else []
    return complaints


def derivation(task, cell, after, registered):
    """What holds of an exercise with pencil and paper: a person grades its one cell."""
    name = registered.number
    by_hand = grading(f"derive_{name.replace('.', '_')}")
    by_hand |= {"grade": True, "locked": False, "solution": True, "points": registered.points}
    return [
        task.source.startswith(f"### Exercise {name} "),
        f"({registered.points} points, {registered.minutes} minutes)" in task.source,
        task.source.count("<details><summary>Hint ") == 3,
        "| points | for |" in task.source,
        cell.cell_type == "markdown" and tags(cell) == [f"derive-{name}"],
        cell.metadata.nbgrader == by_hand,
        after.source.startswith("<details><summary>Why this matters</summary>"),
        "<details><summary>The solution" in after.source,
    ]


def grading(name):
    return {"grade_id": name, "schema_version": 3, "task": False}


def plain_words(book):
    words = re.sub(r"```.*?```|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|!\[", "", prose(book), flags=re.DOTALL)
    complaints = re.findall(r".{0,20}\w!(?:\s|$)", words)
    return complaints + re.findall(
        r"^#+ .*[\U0001F000-\U0001FAFF\u2600-\u27BF].*$", words, re.MULTILINE
    )


def glossary(book):
    text = (ROOT / "notebooks" / "GLOSSARY.md").read_text(encoding="utf-8")
    parts = {
        part[0]: set(re.findall(r"^\| ([^|]+?) \|", part, re.MULTILINE))
        for part in text.split("\n## ")[1:]
    }
    linked = re.findall(r"\[([^\]]+)\]\(GLOSSARY\.md#(\w)\)", prose(book))
    unknown = [
        f"no {word!r} under {letter!r} in the glossary"
        for word, letter in linked
        if word not in parts.get(letter, ())
    ]
    return unknown + (
        [] if linked or number(book) == START else ["no new word is linked to the glossary"]
    )


RULES = [
    *(
        sections,
        head,
        equations,
        execution,
        clean_outputs,
        descriptions,
        captions,
        known_tags,
        offline,
        portable,
        timeless,
    ),
    *(
        rarely_ignored,
        short_cells,
        prose_between,
        kernel,
        marked_cells,
        exercises,
        plain_words,
        glossary,
    ),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", BOTH)
def test_a_notebook_keeps_the_rule(path, rule):
    assert rule(read(path)) == []


@pytest.mark.parametrize("path", BOTH)
def test_a_notebook_is_small(path):
    assert path.stat().st_size <= 900 * 1024


# --- none of the rules is asleep ---


def change(book, old, new):
    hit = next(cell for cell in book.cells if old in cell.source)
    hit.source = hit.source.replace(old, new)


def first_picture(book):
    return next(output for cell in code(book) for output in pictures(cell))


BREAKS = {
    sections: lambda book: change(book, "## Predict first", "## Think first"),
    head: lambda book: change(book, "Measured run time: ", "Takes about "),
    equations: lambda book: tagged(book, "eq-2.1")[0].metadata.pop("tags"),
    execution: lambda book: code(book)[3].update(execution_count=9),
    clean_outputs: lambda book: code(book)[3].outputs.append(
        nbformat.v4.new_output("stream", name="stderr", text="beware")
    ),
    descriptions: lambda book: first_picture(book).metadata["image/png"].pop("alt"),
    captions: lambda book: change(book, "*Figure 2.", "*Picture 2."),
    known_tags: lambda book: book.cells[0].metadata.update(tags=["hide"]),
    offline: lambda book: change(book, "lesson.setup", "import requests; lesson.setup"),
    portable: lambda book: change(book, "lesson.setup", "open('/opt/mine'); lesson.setup"),
    timeless: lambda book: book.cells[1].metadata.update(execution={"at": "noon"}),
    rarely_ignored: lambda book: [
        cell.metadata.update(tags=["nbval-ignore-output"]) for cell in code(book)[2:12]
    ],
    short_cells: lambda book: [cell.update(source="x = 1\n" * 9) for cell in code(book)],
    prose_between: lambda book: book.cells.__setitem__(slice(0, 0), code(book)[:4]),
    kernel: lambda book: book.metadata.language_info.update(version="3.11.7"),
    marked_cells: lambda book: tagged(book, "wow")[0].metadata.pop("tags"),
    exercises: lambda book: change(book, "(2 points, 5 minutes)", "(3 points, 5 minutes)"),
    plain_words: lambda book: change(book, "## Set-up", "Look!\n\n## Set-up"),
    glossary: lambda book: change(book, "[schedule](GLOSSARY.md#s)", "[schedules](GLOSSARY.md#s)"),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_sees_a_broken_notebook(rule):
    book = read(ROOT / "notebooks" / "02_forward_diffusion.ipynb")
    BREAKS[rule](book)
    assert rule(book) != []


def test_an_equation_without_a_passing_check_is_seen():
    book = read(ROOT / "notebooks" / "02_forward_diffusion.ipynb")
    for cell in code(book):
        for output in cell.outputs:
            if "check 2.4 ✓" in output.get("text", ""):
                output.text = ""
    assert equations(book) == ["no passing check of eq-2.4"]


# --- the two editions ---


def test_every_lesson_has_both_editions_and_a_module_of_checks():
    assert [path.name for path in SOURCES] == [path.name for path in LEARNERS]
    lessons = {path.name[:2] for path in SOURCES} - {START}
    assert set(ANSWERS) == lessons
    assert {
        path.stem[-2:] for path in (ROOT / "minimagen" / "lessons" / "checks").glob("lesson_*.py")
    } == lessons


def facts(cell):
    """What nbval compares of a cell, and what it is."""
    shown = [output.get("data", {}) for output in cell.get("outputs", ())]
    outputs = [{kind: data for kind, data in each.items() if kind != "image/png"} for each in shown]
    return (
        cell.id,
        cell.cell_type,
        cell.source,
        json.dumps(cell.metadata, sort_keys=True),
        outputs,
        texts(cell),
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_two_editions_agree_but_for_the_answers(path):
    source, learner = read(path), read(ROOT / "notebooks" / path.name)
    assert [cell.id for cell in source.cells] == [cell.id for cell in learner.cells]
    for full, open_ in zip(source.cells, learner.cells, strict=True):
        role = next(
            (tag.partition("-")[0] for tag in tags(full) if tag.startswith(("answer-", "grade-"))),
            "",
        )
        if role == "answer":
            stubbed = re.sub(
                r"(?sm)^([ \t]*)### BEGIN SOLUTION$.*?^[ \t]*### END SOLUTION$",
                r"\1...",
                full.source,
            )
            assert stubbed != full.source
            assert open_.source == stubbed
        elif role == "grade":
            name = tags(full)[0].partition("-")[2]
            assert (texts(full), texts(open_)) == (
                f"● {name} solved\n",
                f"○ {name} not solved yet\n",
            )
            assert full.source == open_.source
        else:
            assert facts(full) == facts(open_)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_answers_need_the_set_up_alone_and_their_checks_print_what_is_stored(path):
    names = {"__name__": "__main__"}
    for cell in code(read(path)):
        if any(tag == "setup" or tag.startswith(("answer-", "grade-")) for tag in tags(cell)):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(cell.source, cell.id, "exec"), names)
            assert printed.getvalue() == texts(cell)


# --- the checks of the exercises ---


def stored(name: str) -> dict:
    return ANSWERS[f"{name.partition('.')[0]:0>2}"]


@pytest.mark.parametrize("lesson", ANSWERS)
def test_every_exercise_has_two_right_answers_and_three_wrong_ones(lesson):
    answers = ANSWERS[lesson]
    checks.verdict(f"{int(lesson)}.1", None)
    registered = {
        name
        for name, one in checks.EXERCISES.items()
        if name.partition(".")[0] == str(int(lesson)) and one.kind != "derive"
    }
    assert registered == set(answers["RIGHT"]) == set(answers["WRONG"])
    assert all(len(right) >= 2 for right in answers["RIGHT"].values())
    assert all(len(wrong) >= 3 for wrong in answers["WRONG"].values())


@pytest.mark.parametrize("name", NUMBERS)
def test_right_answers_are_solved_however_they_are_written(name):
    assert {checks.verdict(name, right) for right in stored(name)["RIGHT"][name]} == {
        f"● {name} solved"
    }


@pytest.mark.parametrize("name", NUMBERS)
def test_a_wrong_answer_is_told_its_fault(name):
    for words, wrong in stored(name)["WRONG"][name].items():
        line = checks.verdict(name, wrong)
        assert line.startswith(f"✗ {name} ")
        assert words in line
        assert "\n" not in line


@pytest.mark.parametrize("name", NUMBERS)
def test_the_stub_is_not_solved_yet(name):
    assert checks.verdict(name, lambda *arguments, **named: ...) == f"○ {name} not solved yet"
    assert checks.verdict(name, lambda *arguments, **named: None) == f"○ {name} not solved yet"


@pytest.mark.parametrize("name", NUMBERS)
def test_only_grading_raises(name, monkeypatch, capsys):
    check = getattr(checks, f"ex_{name.replace('.', '_')}")
    right, wrong = stored(name)["RIGHT"][name][0], next(iter(stored(name)["WRONG"][name].values()))
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    assert [check(answer) for answer in (right, wrong, None)] == [None] * 3
    assert [line[0] for line in capsys.readouterr().out.splitlines()] == ["●", "✗", "○"]
    for how in ("autograde", "validate"):
        monkeypatch.setenv("NBGRADER_EXECUTION", how)
        assert check(right) is None
        for answer in (wrong, None):
            with pytest.raises(AssertionError, match=f"[✗○] {name} "):
                check(answer)


def test_the_page_of_lesson_05_is_that_of_lesson_04_to_the_letter():
    pages = [
        cell.source
        for lesson in ("04_epsilon_objective", "05_unet_and_training")
        for cell in code(read(ROOT / "notebooks" / f"{lesson}.ipynb"))
        if cell.source.startswith("T = 1000\n")
    ]
    assert len(pages) == 2
    assert pages[0] == pages[1]
    assert "(4.3)" in pages[0]
