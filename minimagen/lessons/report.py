"""`python -m minimagen.lessons.report` counts what the lessons hold.

Of each: equations, their checks, exercises, and the stored wrong answers that these reject.
"""

import argparse
import json
import re
import runpy
from pathlib import Path

from minimagen.lessons.setup import checkout


def count(notebook: Path, answers: Path) -> dict[str, int]:
    """What one lesson holds: {"equations", "checks", "exercises", "rejected"} -> how many.

    The stored wrong answers are judged anew.
    """
    from minimagen.lessons import checks

    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    prose = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    texts = [
        text
        for cell in cells
        for output in cell.get("outputs", ())
        for text in output.get("text", ())
    ]
    stored = runpy.run_path(str(answers))["WRONG"] if answers.exists() else {}
    judged = [
        checks.verdict(number, answer)
        for number, wrong in stored.items()
        for answer in wrong.values()
    ]
    return {
        "equations": len(set(re.findall(r"\\tag\{(\d+\.\d+)\}", prose))),
        "checks": sum(bool(re.match(r"check [\d.]+ ✓", text)) for text in texts),
        "exercises": sum(
            any(tag.startswith("grade-") for tag in cell["metadata"].get("tags", ()))
            for cell in cells
        ),
        "rejected": sum(line.startswith("✗") for line in judged),
    }


def report() -> str:
    """A table of `count` over every lesson of the checkout, and its sums."""
    words = ("equations", "checks", "exercises", "rejected")
    rows = {}
    for path in sorted(checkout("notebooks").glob("[0-9][0-9]_*.ipynb")):
        rows[path.stem] = count(
            path, path.parents[1] / "tests" / "answers" / f"lesson_{path.name[:2]}.py"
        )
    rows["all"] = {word: sum(row[word] for row in rows.values()) for word in words}
    heads = ("equations", "their checks", "exercises", "wrong answers rejected")
    table = [f"{'lesson':<32}" + "".join(f"{head:>{len(head) + 2}}" for head in heads)]
    for name, row in rows.items():
        table.append(
            f"{name:<32}"
            + "".join(
                f"{row[word]:>{len(head) + 2}}" for word, head in zip(words, heads, strict=True)
            )
        )
    return "\n".join(table)


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m minimagen.lessons.report", description="count what the lessons hold"
    ).parse_args()
    print(report())
