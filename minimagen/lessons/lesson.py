"""What a notebook calls `lesson`: set-up, verdicts and figures, under one name.

How a lesson is written: CONTRIBUTING.md.
"""

from minimagen.lessons.drawings import drawing
from minimagen.lessons.figures import COLOURS, curves, density, explore, show, strip
from minimagen.lessons.setup import check, checkout, setup

__all__ = [
    "COLOURS",
    "check",
    "checkout",
    "curves",
    "density",
    "drawing",
    "explore",
    "setup",
    "show",
    "strip",
]
