"""What is true of a page of `World`: its paper, its objects, how they stand, and what is said."""

from dataclasses import dataclass

from minimagen.data.pages import Page

SIZES = {"small": (14, 16), "medium": (22, 24, 26), "large": (34, 37, 40)}  # 64ths of the page
THING_SIZES = {"small": (20,), "medium": (26,), "large": (34, 40)}  # below 20 none is recognised
PLACES = {  # column and row of the page, 0 to 2
    "left": (0, 1),
    "right": (2, 1),
    "top": (1, 0),
    "bottom": (1, 2),
    "centre": (1, 1),
    "top left": (0, 0),
    "top right": (2, 0),
    "bottom left": (0, 2),
    "bottom right": (2, 2),
}
RELATIONS = ("left of", "above")  # each object stands so to the next
KINDS = {"page": 0.08, "single": 0.34, "pair": 0.32, "count": 0.12, "triple": 0.14}


@dataclass(frozen=True)
class Object:
    """One object in its box, a square of `side` 64ths of the page whose corner is (left, top).

    colour: None stands for a thing's own colours. size: "small", "medium" or "large", as `side` is.
    """

    noun: str
    colour: str | None
    size: str
    left: int = 0
    top: int = 0
    side: int = 0

    @property
    def x(self) -> float:
        """Its centre, in page widths from the left."""
        return (self.left + self.side / 2) / 64

    @property
    def y(self) -> float:
        """Its centre, in page widths from the top."""
        return (self.top + self.side / 2) / 64

    @property
    def r(self) -> float:
        """Half its longer extent, in page widths."""
        return self.side / 128


@dataclass(frozen=True)
class Truth:
    """All that is true of a page, and which part of it the caption says.

    kind: one of `KINDS`; of a "count" all objects are alike. relation: one of `RELATIONS`, each
    object to the next, or None where none is said. place: one of `PLACES` where it is said of a
    single object, else None. Nouns and colours are always said; `names_page` and `names_sizes`, one
    for each object, tell whether page and sizes are.
    """

    kind: str
    page: Page
    objects: tuple[Object, ...] = ()
    relation: str | None = None
    place: str | None = None
    names_page: bool = False
    names_sizes: tuple[bool, ...] = ()
