"""Every data set that has a name: what a network is trained on, who judges its drawings, and which
real pictures they are held against.

Recipes, the examination and the command line read this one table: a further data set is a further
entry of `DATASETS`. The table itself is made without PyTorch, so that `--help` is quick: what an
entry needs is imported when it is called.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from minimagen.data import Captioned

SPLITS = ("train", "held-out", "unseen")  # of a data set that names no others
# Of the shapes that a network is trained on.
SHARES = {"single": 0.25, "pair": 0.4, "count": 0.05, "triple": 0.3}


def _mean_colours(pictures: "Tensor") -> "Tensor":
    from minimagen.evaluation.metrics import pooled_features

    return pooled_features(pictures)


class Report(Protocol):
    """What a judge says of some pictures."""

    @classmethod
    def joined(cls, reports: Sequence["Report"]) -> "Report":
        """The reports of several batches as one."""

    def marks(self) -> dict[str, dict | None]:
        """name -> {share, low, high}, or None where no caption asks for it."""


@dataclass(frozen=True)
class Entry:
    """One data set with a name. One without a judge is trained on and never examined."""

    description: str  # for the help of the command line
    # (size, split) -> what a network is trained on
    data: Callable[[int, str], "Captioned"]
    # (pictures (B, 3, H, H) in [-1, 1], B truths) -> do they show what their captions say? A truth
    # is what `Captioned.truth` gives: the caption itself, where it says all
    judge: Callable[["Tensor", Sequence], Report] | None = None
    # (size, split, kind or None) -> where captions and real pictures come from, in turn
    references: Callable[[int, str, str | None], list["Captioned"]] | None = None
    stride: int = 1  # items between two that follow each other in the examination
    kinds: tuple[str, ...] = ()  # the kinds of captions that can be asked for alone
    splits: tuple[str, ...] = SPLITS
    # pictures (B, 3, H, H) -> (B, F): in what terms a set of drawings is like one of real pictures
    features: Callable[["Tensor"], "Tensor"] = _mean_colours
    features_name: str = "mean colours, 8 x 8 grid"


def dataset(name: str, size: int, split: str = "train") -> "Captioned":
    """The captioned data of that name, else the folder of that path, its pictures size x size.

    A path with a separator, as "./shapes", is always the folder. A folder has no splits. Raises
    `ValueError` on a name that is neither, and on one that is both: training for hours on the other
    one is not to be risked.
    """
    folder = Path(name)
    bare = not any(mark and mark in name for mark in (os.sep, os.altsep))
    if bare and name in DATASETS:
        if any((folder / file).exists() for file in ("metadata.jsonl", "metadata.csv")):
            raise ValueError(
                f"data must be one thing, but {name!r} is a data set and a folder of pictures: "
                f"write .{os.sep}{name} for the folder, or rename it for the data set"
            )
        return DATASETS[name].data(size, split)
    if not folder.exists():
        raise ValueError(
            f"data must be one of {', '.join(DATASETS)} or a folder of pictures, got {name!r}"
        )
    from minimagen.data import Folder

    return Folder(folder, size)


def examined(name: str, kind: str | None = None, split: str | None = None) -> Entry:
    """The entry of a data set that can be examined.

    Raises `ValueError` on a name without a judge, and on a kind or a split that the data set does
    not have.
    """
    entry = DATASETS.get(name)
    if entry is None or entry.judge is None:
        raise ValueError(f"data must be one of {', '.join(EXAMINED)}, got {name!r}")
    if kind is not None and kind not in entry.kinds:
        wanted = f"one of {', '.join(entry.kinds)}" if entry.kinds else "left out"
        raise ValueError(f"kind must be {wanted} with {name}, got {kind!r}")
    if split is not None and split not in entry.splits:
        raise ValueError(
            f"split must be one of {', '.join(entry.splits)} with {name}, got {split!r}"
        )
    return entry


def described(names: Sequence[str]) -> str:
    """Names and what they mean, for a help text: "shapes (coloured shapes), emoji (...)"."""
    return ", ".join(f"{name} ({DATASETS[name].description})" for name in names)


def _shapes(size: int, split: str) -> "Captioned":
    """Shapes as a network is trained on them: training captions with distractors."""
    from minimagen.data.emoji import vocabulary
    from minimagen.data.language import is_content_word
    from minimagen.data.shapes import Shapes

    distractors = [word for word in vocabulary() if not is_content_word(word)]
    return Shapes(size, split, SHARES, distractors=distractors if split == "train" else ())


def _plain_shapes(size: int, split: str, kind: str | None) -> list["Captioned"]:
    from minimagen.data.shapes import Shapes

    return [Shapes(size, split, {kind: 1.0} if kind else None)]


def _emoji(words: int | None = None):
    def in_both_styles(size: int, split: str, kind: str | None = None) -> list["Captioned"]:
        from minimagen.data.emoji import STYLES, Emoji

        return [Emoji(style, size, split, words) for style in STYLES]

    return in_both_styles


def _scenes(words: int | None = None, groups: tuple[str, ...] | None = None):
    def in_both_styles(size: int, split: str, kind: str | None = None) -> list["Captioned"]:
        from minimagen.data.emoji import STYLES
        from minimagen.data.scenes import Scenes

        return [Scenes(style, size, split, words=words, groups=groups) for style in STYLES]

    return in_both_styles


def _mixed(parts: Callable[[int, str], list["Captioned"]]) -> Callable[[int, str], "Captioned"]:
    def mixture(size: int, split: str) -> "Captioned":
        from minimagen.data import Mixture

        return Mixture(*parts(size, split))

    return mixture


def _weighted(**weights: float) -> Callable[[int, str], "Captioned"]:
    """A mixture of data sets by their names, with these weights."""

    def mixture(size: int, split: str) -> "Captioned":
        from minimagen.data import Mixture

        parts = (DATASETS[name].data(size, split) for name in weights)
        return Mixture(*parts, weights=list(weights.values()))

    return mixture


def _world(size: int, split: str) -> "Captioned":
    from minimagen.data import World

    return World(size, split)


def _worlds(size: int, split: str, kind: str | None) -> list["Captioned"]:
    from minimagen.data import World

    return [World(size, split, {kind: 1.0} if kind else None)]


def _judged(pictures: "Tensor", truths: Sequence) -> Report:
    from minimagen.evaluation.judge import judge

    return judge(pictures, truths)


def _page_features(pictures: "Tensor") -> "Tensor":
    from minimagen.evaluation.world_reader import page_features

    return page_features(pictures)


def _alignment(pictures: "Tensor", captions: Sequence[str]) -> Report:
    from minimagen.evaluation.alignment import alignment

    return alignment(pictures, captions)


def _recognised(pictures: "Tensor", captions: Sequence[str]) -> Report:
    from minimagen.evaluation.recognition import recognised

    return recognised(pictures, captions)


def _both_recognised(pictures: "Tensor", captions: Sequence[str]) -> Report:
    from minimagen.evaluation.recognition import both_recognised

    return both_recognised(pictures, captions)


DATASETS = {
    "shapes": Entry(
        "coloured shapes on a white page",
        _shapes,
        _alignment,
        _plain_shapes,
        kinds=("single", "pair", "count", "triple"),
    ),
    # 7919 is prime: steps of it come to every item, and to no concept twice soon.
    "emoji": Entry("one emoji", _mixed(_emoji()), _recognised, _emoji(), stride=7919),
    "things": Entry(
        "emoji named in one word", _mixed(_emoji(1)), _recognised, _emoji(1), stride=7919
    ),
    "scenes": Entry(
        "two emoji and what stands where", _mixed(_scenes()), _both_recognised, _scenes()
    ),
    "two-things": Entry("scenes of things", _mixed(_scenes(1)), _both_recognised, _scenes(1)),
    "picnic": Entry(
        "scenes of things that are animals, plants, food or drink",
        _mixed(_scenes(1, ("animals-nature", "food-drink"))),
        _both_recognised,
        _scenes(1, ("animals-nature", "food-drink")),
    ),
    "world": Entry(
        "shapes and things on coloured pages",
        _world,
        _judged,
        _worlds,
        kinds=("page", "single", "pair", "count", "triple"),
        splits=(
            *("train", "held-out", "text-only"),
            *("unseen-colour", "unseen-pair", "unseen-noun"),
        ),
        features=_page_features,
        features_name="the recogniser's, 128, of whole pages",
    ),
    "some": Entry(
        "shapes, things and picnics as 9 : 3 : 8, what a CPU has time for",
        _weighted(shapes=9, things=3, picnic=8),
    ),
    "all": Entry("shapes, emoji and scenes as 3 : 2 : 1", _weighted(shapes=3, emoji=2, scenes=1)),
}
EXAMINED = tuple(name for name, entry in DATASETS.items() if entry.judge)
ALL_SPLITS = tuple(dict.fromkeys(split for name in EXAMINED for split in DATASETS[name].splits))
KINDS = tuple(dict.fromkeys(kind for name in EXAMINED for kind in DATASETS[name].kinds))
