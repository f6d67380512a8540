"""The drawings of the architecture that `tools/architecture.py` makes, as a notebook shows them."""

import html

from minimagen.lessons.setup import checkout


def drawing(name: str, alt: str) -> None:
    """Show docs/images/architecture-NAME.svg with its description.

    alt: what the drawing shows, in a sentence or two, for a reader who does not see it; kept as
    `lesson.show` keeps it. Raises `ValueError` where there is no such drawing, or alt says less
    than 20 characters.
    """
    from IPython.display import display

    if not isinstance(alt, str) or len(alt.strip()) < 20:
        raise ValueError(
            f"alt must say what the drawing shows, in 20 characters or more, got {alt!r}"
        )
    lines = checkout("docs", "images", f"architecture-{name}.svg").read_text(encoding="utf-8")
    kind = "image/svg+xml"
    display({kind: lines, "text/plain": alt}, metadata={kind: {"alt": alt}}, raw=True)
    words = f"<details><summary>the figure in words</summary>{html.escape(alt)}</details>"
    display({"text/html": words, "text/plain": f"the figure in words: {alt}"}, raw=True)
