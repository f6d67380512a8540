"""A folder of one's own pictures as captioned data."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from minimagen.data.base import Captioned

# A Folder keeps decoded pictures up to this much memory, and decodes the others anew.
KEEP_BYTES = 2**30
# What Pillow raises on a damaged file.
BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class Folder(Captioned):
    """One's own pictures: a folder with `metadata.jsonl` or `metadata.csv` that gives each
    `file_name` its `text`.

    This is the "imagefolder" convention of Hugging Face datasets. Pictures are turned as their EXIF
    says, cropped to the central square, laid on white and resized with antialiasing to (3, size,
    size) when first asked for. Raises `ValueError` on a folder or metadata file that is missing or
    empty, and naming file and line on a line that cannot be read or has no text, and on a picture
    that is missing or broken; a picture cut short is found when it is first decoded.
    """

    def __init__(self, path: str | Path, size: int = 64):
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"size must be a whole number of pixels, at least 1, got {size!r}")
        self.size, self.lines = size, _metadata(Path(path))
        self._kept: dict[int, Tensor] = {}
        for file, _, place in self.lines:
            _check_picture(file, place)

    @property
    def captions(self) -> list[str]:
        """Every caption there is, so that training can encode each once."""
        return [text for _, text, _ in self.lines]

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, i: int) -> tuple[Tensor, str]:
        return self._picture(i).clone(), self.caption(i)

    def caption(self, i: int) -> str:
        return self.lines[i][1]

    def cut(self, i: int, top: int, left: int, side: int) -> Tensor:
        return self._picture(i)[:, top : top + side, left : left + side].clone()

    def _picture(self, i: int) -> Tensor:
        if i not in self._kept:
            file, _, place = self.lines[i]
            picture = _decode(file, self.size, place)
            # In a full memory the newest gives way: the next is kept while windows are cut of it.
            if self._kept and (len(self._kept) + 1) * picture.nbytes > KEEP_BYTES:
                self._kept.popitem()
            self._kept[i] = picture
        return self._kept[i]


def _metadata(folder: Path) -> list[tuple[Path, str, str]]:
    """(picture file, caption, where that is written) of every line of the folder's metadata."""
    if not folder.is_dir():
        raise ValueError(
            f"path must be a folder of pictures, got {str(folder)!r}, which is no folder"
        )
    file = next(
        (folder / name for name in ("metadata.jsonl", "metadata.csv") if (folder / name).is_file()),
        None,
    )
    if file is None:
        raise ValueError(
            f"{folder} must hold metadata.jsonl or metadata.csv with a file_name and a text for "
            "each picture"
        )
    lines = []
    for number, row in _jsonl(file) if file.suffix == ".jsonl" else _csv(file):
        place = f"{file}, line {number}"
        values = [row.get(field) for field in ("file_name", "text")]
        for field, value in zip(("file_name", "text"), values, strict=True):
            if not isinstance(value, str) or not value.strip():
                raise ValueError(
                    f"{place}: {field} must be a text that is not empty, got {value!r}"
                )
        lines.append((folder / values[0], values[1].strip(), place))
    if not lines:
        raise ValueError(f"{file} must give at least one picture its caption, but has no captions")
    return lines


def _jsonl(file: Path) -> Iterator[tuple[int, dict]]:
    for number, line in enumerate(
        _text(file).split("\n"), 1
    ):  # splitlines would also cut at rarer signs within a caption
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(
                    f"{file}, line {number}: must be a JSON object, got {line[:80]!r} ({error})"
                ) from error
            if not isinstance(row, dict):
                raise ValueError(f"{file}, line {number}: must be a JSON object, got {line[:80]!r}")
            yield number, row


def _csv(file: Path) -> Iterator[tuple[int, dict]]:
    rows = csv.DictReader(io.StringIO(_text(file)))
    for row in rows:
        yield rows.line_num, row


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} must be UTF-8 text: {error}") from error


def _check_picture(file: Path, place: str) -> None:
    if not file.is_file():
        raise ValueError(f"{place}: the picture {file} is missing")
    try:
        with Image.open(file) as image:
            image.verify()
    except BROKEN as error:
        raise ValueError(f"{place}: the picture {file} is broken: {error}") from error


def _decode(file: Path, size: int, place: str) -> Tensor:
    try:
        with Image.open(file) as image:
            square = ImageOps.fit(
                _on_white(ImageOps.exif_transpose(image)), (size, size), Image.Resampling.BICUBIC
            )
    except BROKEN as error:
        raise ValueError(f"{place}: the picture {file} is broken: {error}") from error
    return torch.from_numpy(np.array(square).transpose(2, 0, 1).copy())


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith(
        "I;16"
    ):  # a plain conversion would clip 16 bits at 255 instead of scaling them
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
