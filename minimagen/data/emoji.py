"""Emoji as captioned data: vector drawings rendered at any size, alone or two in a scene. A *data
set* is a sequence.

`len(data)` and `data[i] -> (picture, caption)`, the picture uint8 (3, size, size); item i never
changes, so training can stop and resume. Nothing is read and nothing rendered before a data set is
made. Sources and licences: `data/SOURCES.md`.
"""

import hashlib
import io
import json
import lzma
import random
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from minimagen.data.base import Captioned
from minimagen.files import cache_folder, shipped, write

STYLES = {"fluent-flat": "flat", "noto": "shaded"}  # the word that names the style in a caption
SPLITS = ("train", "held-out", "unseen")
WORDINGS = (  # each names the style, so that a caption says which one of all the pictures is meant
    "a {style} drawing of {thing}",
    "{thing}, {style} style",
    "a {style} emoji of {thing}",
    "{name}, {style} drawing",
    "a {style} drawing of {thing}, {tags}",
)


def stable(*words: str) -> int:
    """A whole number drawn from the words alone: the same on every machine and in every run, as
    `hash` is not.
    """
    return int.from_bytes(hashlib.sha256("|".join(words).encode()).digest()[:8], "big")


def unseen(code: str) -> bool:
    """Whether a concept is kept out of training: 5 % of the code points, the same ones in both
    styles.
    """
    return stable("emoji", code) % 20 == 0


@cache
def records(style: str) -> tuple[dict, ...]:
    """The shipped drawings of a style: code, caption, tags, group, width, height, svg. Raises
    `ValueError` if damaged.
    """
    path = shipped("emoji") / f"{style}.jsonl.xz"
    try:
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            return tuple(json.loads(line) for line in lines)
    except (lzma.LZMAError, EOFError, ValueError) as error:
        raise ValueError(
            f"{path} must be the shipped list of drawings, but is damaged: {error}"
        ) from error


def vocabulary() -> list[str]:
    """Every word, of three letters or more, in the tags of the shipped drawings, in alphabetic
    order.
    """
    tags = [tag for style in STYLES for record in records(style) for tag in record["tags"]]
    return sorted(
        {
            word
            for tag in tags
            for word in tag.lower().split()
            if word.isascii() and word.isalpha() and len(word) > 2
        }
    )


def document(record: dict, size: int, window: tuple[int, int, int, int] | None = None) -> str:
    """A whole SVG of size x size pixels around one drawing; a drawing that is not square is centred
    in a square.

    window: (top, left, height, width) in pixels, for that part of it alone.
    """
    top, left, down, across = window or (0, 0, size, size)
    side = max(record["width"], record["height"])
    unit = side / size
    x, y = (record["width"] - side) / 2 + left * unit, (record["height"] - side) / 2 + top * unit
    box = f"{x:.12g} {y:.12g} {across * unit:.12g} {down * unit:.12g}"
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {names} viewBox="{box}" width="{across}" height="{down}">{record["svg"]}</svg>'


def render(svg: str) -> np.ndarray:
    """An SVG document on white, as uint8 (3, height, width). No font of the machine is looked at,
    so every machine agrees.
    """
    import resvg_py

    png = resvg_py.svg_to_bytes(
        svg_string=svg, dpi=96, skip_system_fonts=True, background="#ffffff"
    )
    with Image.open(io.BytesIO(bytes(png))) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def rasters(style: str, size: int) -> np.ndarray:
    """All drawings of a style as uint8 (N, 3, size, size), mapped from a file in the cache folder,
    rendered if need be.

    The file's name holds the sha256 of what was rendered; a file that is cut short is made again.
    One style takes about 3 seconds and 20 MB at 64, 20 seconds and 0.3 GB at 256, and minutes and 5
    GB at 1024.
    """
    documents = [document(record, size) for record in records(style)]
    source = hashlib.sha256("".join(documents).encode()).hexdigest()
    path = cache_folder() / "emoji" / f"{style}-{size}-{source[:16]}.npy"
    shape = (len(documents), 3, size, size)
    pictures = _opened(path, shape)
    if pictures is None:
        bar = tqdm(documents, desc=f"rendering {style} at {size}", disable=None, leave=False)
        write(path, lambda temporary: _save(temporary, shape, map(render, bar)))
        pictures = _opened(path, shape)
    return pictures


def _opened(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        pictures = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return pictures if pictures.shape == shape and pictures.dtype == np.uint8 else None


def _save(path: Path, shape: tuple[int, ...], pictures) -> None:
    with (
        open(path, "wb") as file
    ):  # picture by picture: little memory, and a full disk raises instead of killing the process
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        for picture in pictures:
            file.write(picture.tobytes())


def with_article(caption: str) -> str:
    """The caption with its article where it has one: "a red apple", "an eye", but "grapes" and
    "Santa Claus".
    """
    words = caption.split(" with ")[0].split(" of ")[0].split()
    if words[0] in ("flag", "sign"):
        return f"the {caption}"
    one = words[0] in ("person", "man", "woman", "face")
    last = words[-1].lower()
    many = last in ("people", "men", "women") or (
        last.endswith("s") and not last.endswith(("ss", "us", "is", "os"))
    )
    if not caption[0].islower() or (many and not one):
        return caption
    vowel = caption[0] in "aeiou" and not caption.startswith(("uni", "one", "eu", "ewe"))
    return f"{'an' if vowel else 'a'} {caption}"


def wordings(record: dict, style: str) -> list[str]:
    """Every caption of a drawing. The last one adds two of its tags that the name does not say; few
    have none.
    """
    name = record["caption"]
    tags = [tag for tag in record["tags"] if tag not in name.lower()]
    tags = random.Random(record["code"]).sample(tags, min(2, len(tags)))
    templates = WORDINGS if tags else WORDINGS[:-1]
    words = {
        "style": STYLES[style],
        "thing": with_article(name),
        "name": name,
        "tags": " and ".join(tags),
    }
    return [template.format(**words) for template in templates]


def check(
    style: str, size: int, split: str, words: int | None, groups: tuple[str, ...] | None = None
) -> None:
    """Raise `ValueError` on an unknown style, split or group, a size that is no whole number from 8
    up, or words below 1.
    """
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, got {style!r}")
    if not isinstance(size, int) or size < 8:
        raise ValueError(f"size must be a whole number of pixels, at least 8, got {size!r}")
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if words is not None and (not isinstance(words, int) or words < 1):
        raise ValueError(f"words must be a whole number, at least 1, or None, got {words!r}")
    if groups is not None:
        known = dict.fromkeys(record["group"] for record in records(style))
        if isinstance(groups, str) or not groups or not set(groups) <= set(known):
            raise ValueError(f"groups must be some of {', '.join(known)}, or None, got {groups!r}")


def rows(
    style: str, split: str, words: int | None = None, groups: tuple[str, ...] | None = None
) -> list[int]:
    """The rows of a style's drawings that a split may show, of those whose names have at most that
    many words.

    groups: of these alone, as Unicode sorts emoji ("food-drink").
    """
    short = lambda record: words is None or len(record["caption"].split()) <= words
    fits = lambda record: short(record) and (groups is None or record["group"] in groups)
    chosen = lambda record: unseen(record["code"]) == (split == "unseen") and fits(record)
    return [row for row, record in enumerate(records(style)) if chosen(record)]


class Emoji(Captioned):
    """One emoji a picture; the items are the pairs (drawing, wording) of a split.

    "unseen" holds the concepts that no training caption names (5 %, see `unseen`), each with one
    wording; of every other concept the split "held-out" has one wording and "train" the rest.
    words: only what is named in at most that many words (1: about 530 things a style, as "cat",
    "umbrella"). `items[i]` is (row of `pictures`, caption): for retrieval, the row that a caption
    names. Raises `ValueError` on an unknown style or split, a size below 8, or words below 1.
    """

    def __init__(
        self,
        style: str = "fluent-flat",
        size: int = 64,
        split: str = "train",
        words: int | None = None,
    ):
        check(style, size, split, words)
        self.style, self.size, self.split = style, size, split
        self.items: list[tuple[int, str]] = []
        for row in rows(style, split, words):
            record = records(style)[row]
            captions = wordings(record, style)
            kept = captions.pop(stable("wording", record["code"]) % len(captions))
            self.items += [(row, caption) for caption in (captions if split == "train" else [kept])]

    @property
    def captions(self) -> list[str]:
        """Every caption there is, so that training can encode each once."""
        return [caption for _, caption in self.items]

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def pictures(self) -> np.ndarray:
        """All drawings of the style, `rasters`."""
        return rasters(self.style, self.size)

    def __getitem__(self, i: int) -> tuple[Tensor, str]:
        row, caption = self.items[i]
        return torch.from_numpy(self.pictures[row].copy()), caption

    def caption(self, i: int) -> str:
        """The caption of item i, without its picture."""
        return self.items[i][1]

    def cut(self, i: int, top: int, left: int, side: int) -> Tensor:
        """A window of the picture of item i, (3, side, side), rendered alone: no whole picture of
        that size is made.
        """
        drawing = records(self.style)[self.items[i][0]]
        return torch.from_numpy(
            render(document(drawing, self.size, (top, left, side, side))).copy()
        )
