"""Captioned data: what every data set is, mixtures, crops, and the stream of batches that training
reads.

A *data set* is a sequence: `len(data)` and `data[i] -> (picture, caption)`, the picture a uint8
tensor (3, size, size). Item i depends on i and on the constructor's arguments alone, and batch k on
the seed and k alone: that is what lets training resume.
"""

import hashlib
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from minimagen import pixels
from minimagen.conditioning import Cond, Text


class Captioned(Protocol):
    """What every data set is: shapes, emoji, scenes, a folder, a mixture, crops."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> tuple[Tensor, str]: ...


class Mixture:
    """One data set from several: item i comes from data set d with probability weights[d] /
    sum(weights), drawn from i alone.

    Without weights each counts as much as it has items. Raises `ValueError` without data sets, on
    an empty one, or where the weights are not one number >= 0 a data set with a sum above 0.
    """

    def __init__(self, *datasets: Captioned, weights: list[float] | None = None):
        sizes = [len(data) for data in datasets]
        if not datasets or 0 in sizes:
            raise ValueError(
                f"datasets must be one or more, none of them empty, got lengths {sizes}"
            )
        self.datasets, self.weights = datasets, list(sizes if weights is None else weights)
        if (
            len(self.weights) != len(sizes)
            or not all(0 <= w < float("inf") for w in self.weights)
            or sum(self.weights) <= 0
        ):
            raise ValueError(
                f"weights must be {len(sizes)} numbers >= 0 with a sum above 0, got {weights}"
            )

    @property
    def captions(self) -> list[str]:
        """The captions of those data sets that can list them; the others' are without end."""
        return [caption for data in self.datasets for caption in getattr(data, "captions", [])]

    def __len__(self) -> int:
        return sum(len(data) for data in self.datasets)

    def __getitem__(self, i: int) -> tuple[Tensor, str]:
        _check_index(i, len(self))
        data, item = self.find(i)
        return data[item]

    def find(self, i: int) -> tuple[Captioned, int]:
        """Item i as an item of a data set that is no mixture."""
        rng = random.Random(f"mixture-{i}")
        data = rng.choices(self.datasets, self.weights)[0]
        item = rng.randrange(len(data))
        return data.find(item) if isinstance(data, Mixture) else (data, item)


class Crops:
    """See `crops`."""

    def __init__(self, data: Captioned, size: int, windows: int, tries: int, busy: float):
        self.data, self.size, self.windows, self.tries, self.busy = data, size, windows, tries, busy

    @property
    def captions(self) -> list[str]:
        """Those of `data`, where it can list them."""
        return getattr(self.data, "captions", [])

    def __len__(self) -> int:
        return len(self.data) * self.windows

    def __getitem__(self, i: int) -> tuple[Tensor, str]:
        _check_index(i, len(self))
        rng = random.Random(f"crops-{i}")
        data, item = self.data, i // self.windows
        if isinstance(data, Mixture):
            data, item = data.find(item)
        if hasattr(data, "cut"):  # drawn data need not draw the whole page
            side, caption = data.size, data.caption(item)
            cut = lambda top, left: data.cut(item, top, left, self.size)
        else:
            picture, caption = data[item]
            side, cut = (
                picture.shape[-1],
                lambda top, left: picture[:, top : top + self.size, left : left + self.size],
            )
        room = side - self.size
        if room < 0:
            raise ValueError(f"size must be at most the picture's side {side}, got {self.size}")
        corners = [(rng.randint(0, room), rng.randint(0, room)) for _ in range(self.tries)]
        found = [cut(top, left) for top, left in corners]
        if rng.random() < self.busy:
            found.sort(key=lambda window: -window.float().var().item())
        return found[0].clone(), caption


def crops(
    data: Captioned, size: int, *, windows: int = 16, tries: int = 4, busy: float = 0.75
) -> Crops:
    """Random size x size windows of the pictures of `data`, `windows` of each: what a
    super-resolution network trains on.

    Imagen trains 256 -> 1024 on crops (appendix F.3). Most of a drawing is flat colour, where there
    is nothing to learn, so a share `busy` of the windows is the one of the largest variance among
    `tries`, and the rest are taken as they fall. The caption stays that of the whole picture.
    Raises `ValueError` on numbers out of range, or a picture smaller than `size`. Lesson 13.
    """
    for name, value in (("size", size), ("windows", windows), ("tries", tries)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number, at least 1, got {value!r}")
    if not 0 <= busy <= 1:
        raise ValueError(f"busy must be in [0, 1], got {busy!r}")
    return Crops(data, size, windows, tries, busy)


def batches(
    data: Captioned,
    batch_size: int,
    encode: Callable[[list[str]], Text],
    *,
    seed: int = 0,
    start: int = 0,
) -> Iterator[tuple[Tensor, Cond]]:
    """Batches without end: x0 (B, 3, size, size) in [-1, 1] and Cond(encode(captions)), from batch
    number `start` on.

    Items are drawn with replacement, batch k by a generator seeded with (seed, k) alone: training
    that resumes at batch k asks for `start=k` and reads what it would have read, at no cost. Raises
    `ValueError` on an empty data set, a batch size below 1 or a start below 0, at once and not at
    the first batch.
    """
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number, at least 1, got {batch_size!r}")
    if not isinstance(start, int) or start < 0:
        raise ValueError(f"start must be a whole number, at least 0, got {start!r}")
    if len(data) == 0:
        raise ValueError("data must hold at least one picture, but it is empty")
    return (
        _batch(data, _indices(len(data), batch_size, seed, k), encode)
        for k in itertools.count(start)
    )


def _indices(count: int, batch_size: int, seed: int, k: int) -> list[int]:
    digest = hashlib.sha256(
        f"{seed} {k}".encode()
    ).digest()  # near seeds and near batches must not be alike
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.randint(count, (batch_size,), generator=generator).tolist()


def _batch(
    data: Captioned, indices: list[int], encode: Callable[[list[str]], Text]
) -> tuple[Tensor, Cond]:
    pictures, captions = zip(*(data[i] for i in indices), strict=True)
    return pixels.from_uint8(torch.stack(pictures)), Cond(encode(list(captions)))


def _check_index(i: int, length: int) -> None:
    if not 0 <= i < length:
        raise IndexError(f"item must be in 0..{length - 1}, got {i}")
