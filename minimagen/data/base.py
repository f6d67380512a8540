"""Captioned data: what every data set is, mixtures, crops, and the stream of batches that training
reads.

A *data set* is a sequence: `len(data)` and `data[i] -> (picture, caption)`, the picture a uint8
tensor (3, size, size). Item i depends on i and on the constructor's arguments alone, and batch k on
the seed and k alone: that is what lets training resume.
"""

import hashlib
import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from minimagen import pixels
from minimagen.conditioning import Cond, Text

PREFETCH = 4  # batches that each worker makes ahead


class Captioned(ABC):
    """What every data set is: a sequence of pairs of a picture and its caption.

    A subclass has `size`, `__len__` and `__getitem__`; `caption` and `cut` draw the whole picture
    unless it knows a shorter way, and `truth` is the caption.
    """

    size: int  # the side of every picture, in pixels
    captions: Sequence[str] = ()  # all there are, to encode each once; none where without end

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, i: int) -> tuple[Tensor, str]:
        """Item i: the picture, uint8 (3, size, size), and its caption."""

    def caption(self, i: int) -> str:
        """The caption of item i."""
        return self[i][1]

    def truth(self, i: int) -> object:
        """What a judge is told of item i: its caption, where a data set knows no more than that."""
        return self.caption(i)

    def cut(self, i: int, top: int, left: int, side: int) -> Tensor:
        """The window of item i's picture from pixel (top, left) on: uint8 (3, side, side)."""
        return self[i][0][:, top : top + side, left : left + side]


class Mixture(Captioned):
    """One data set from several: item i comes from data set d with probability weights[d] /
    sum(weights), drawn from i alone.

    Without weights each counts as much as it has items. Raises `ValueError` without data sets, on
    an empty one, on pictures of several sizes, or where the weights are not one number >= 0 a data
    set with a sum above 0.
    """

    def __init__(self, *datasets: Captioned, weights: list[float] | None = None):
        lengths = [len(data) for data in datasets]
        if not datasets or 0 in lengths:
            raise ValueError(
                f"datasets must be one or more, none of them empty, got lengths {lengths}"
            )
        sizes = [data.size for data in datasets]
        if len(set(sizes)) > 1:
            raise ValueError(f"datasets must have pictures of one size, got sizes {sizes}")
        self.datasets, self.size = datasets, sizes[0]
        self.weights = list(lengths if weights is None else weights)
        if (
            len(self.weights) != len(lengths)
            or not all(0 <= w < float("inf") for w in self.weights)
            or sum(self.weights) <= 0
        ):
            raise ValueError(
                f"weights must be {len(lengths)} numbers >= 0 with a sum above 0, got {weights}"
            )

    @property
    def captions(self) -> list[str]:
        """The captions of those data sets that can list them; the others' are without end."""
        return [caption for data in self.datasets for caption in data.captions]

    def __len__(self) -> int:
        return sum(len(data) for data in self.datasets)

    def __getitem__(self, i: int) -> tuple[Tensor, str]:
        data, item = self._choose(i)
        return data[item]

    def caption(self, i: int) -> str:
        data, item = self._choose(i)
        return data.caption(item)

    def cut(self, i: int, top: int, left: int, side: int) -> Tensor:
        data, item = self._choose(i)
        return data.cut(item, top, left, side)

    def _choose(self, i: int) -> tuple[Captioned, int]:
        """The data set that item i comes from, and its number there."""
        _check_index(i, len(self))
        rng = random.Random(f"mixture-{i}")
        data = rng.choices(self.datasets, self.weights)[0]
        return data, rng.randrange(len(data))


class Crops(Captioned):
    """See `crops`."""

    def __init__(self, data: Captioned, size: int, windows: int, tries: int, busy: float):
        self.data, self.size, self.windows, self.tries, self.busy = data, size, windows, tries, busy

    @property
    def captions(self) -> Sequence[str]:
        """Those of `data`."""
        return self.data.captions

    def __len__(self) -> int:
        return len(self.data) * self.windows

    def __getitem__(self, i: int) -> tuple[Tensor, str]:
        _check_index(i, len(self))
        rng = random.Random(f"crops-{i}")
        room = self.data.size - self.size
        corners = [(rng.randint(0, room), rng.randint(0, room)) for _ in range(self.tries)]
        windows = [self.data.cut(i // self.windows, *corner, self.size) for corner in corners]
        if rng.random() < self.busy:
            windows.sort(key=lambda window: -window.float().var().item())
        return windows[0].clone(), self.caption(i)

    def caption(self, i: int) -> str:
        return self.data.caption(i // self.windows)


def crops(
    data: Captioned, size: int, *, windows: int = 16, tries: int = 4, busy: float = 0.75
) -> Crops:
    """Random size x size windows of the pictures of `data`, `windows` of each: what a
    super-resolution network trains on.

    Imagen trains 256 -> 1024 on crops (appendix F.3). Most of a drawing is flat colour, where there
    is nothing to learn, so a share `busy` of the windows is the one of the largest variance among
    `tries`, and the rest are taken as they fall. The caption stays that of the whole picture.
    Raises `ValueError` on numbers out of range, or pictures smaller than `size`. Lesson 13.
    """
    for name, value in (("size", size), ("windows", windows), ("tries", tries)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number, at least 1, got {value!r}")
    if not 0 <= busy <= 1:
        raise ValueError(f"busy must be in [0, 1], got {busy!r}")
    if size > data.size:
        raise ValueError(f"size must be at most the picture's side {data.size}, got {size}")
    return Crops(data, size, windows, tries, busy)


def batches(
    data: Captioned,
    batch_size: int,
    encode: Callable[[list[str]], Text],
    *,
    seed: int = 0,
    start: int = 0,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Iterator[tuple[Tensor, Cond]]:
    """Batches without end: x0 (B, 3, size, size) in [-1, 1] and Cond(encode(captions)), from batch
    number `start` on.

    Items are drawn with replacement, batch k by a generator seeded with (seed, k) alone: training
    that resumes at batch k asks for `start=k` and reads what it would have read, at no cost.
    workers: processes that make the pictures ahead of time, bit for bit the same ones in the same
    order; 0 makes them here. rank, world: of `world` processes that train together number `rank`
    gets, and makes, B = batch_size / world of every batch, items rank, rank + world, ... of it.
    Raises `ValueError` on an empty data set or a number out of range, at once and not at the first
    batch.
    """
    _check_numbers(batch_size, start, workers, rank, world)
    if len(data) == 0:
        raise ValueError("data must hold at least one picture, but it is empty")
    stream = DataLoader(
        _Batches(data, batch_size, seed, rank, world),
        batch_size=None,
        sampler=itertools.count(start),
        num_workers=workers,
        collate_fn=_as_it_is,
        prefetch_factor=PREFETCH if workers else None,
        generator=torch.Generator(),  # or the loader would take a number from the global one
    )
    return ((pixels.from_uint8(pictures), Cond(encode(captions))) for pictures, captions in stream)


def _check_numbers(batch_size: int, start: int, workers: int, rank: int, world: int) -> None:
    smallest = {"batch_size": 1, "start": 0, "workers": 0, "rank": 0, "world": 1}
    values = (batch_size, start, workers, rank, world)
    for (name, least), value in zip(smallest.items(), values, strict=True):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number, at least {least}, got {value!r}")
    if rank >= world:
        raise ValueError(f"rank must be below world = {world}, got {rank}")
    if batch_size % world:
        raise ValueError(f"batch_size must be a multiple of world = {world}, got {batch_size}")


class _Batches(Dataset):
    """Batch k as item k: (uint8 (B, 3, size, size), captions)."""

    def __init__(self, data: Captioned, batch_size: int, seed: int, rank: int, world: int):
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self.rank, self.world = rank, world

    def __getitem__(self, k: int) -> tuple[Tensor, list[str]]:
        indices = _indices(len(self.data), self.batch_size, self.seed, k)[self.rank :: self.world]
        pictures, captions = zip(*(self.data[i] for i in indices), strict=True)
        return torch.stack(pictures), list(captions)


def _as_it_is(batch: tuple[Tensor, list[str]]) -> tuple[Tensor, list[str]]:
    return batch


def _indices(count: int, batch_size: int, seed: int, k: int) -> list[int]:
    # Near seeds and near batches must not be alike.
    digest = hashlib.sha256(f"{seed} {k}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.randint(count, (batch_size,), generator=generator).tolist()


def _check_index(i: int, length: int) -> None:
    if not 0 <= i < length:
        raise IndexError(f"item must be in 0..{length - 1}, got {i}")
