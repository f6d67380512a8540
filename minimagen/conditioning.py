"""Lesson 10. What a network sees besides the noisy picture: a sentence, and the picture below.

>>> text = Text(torch.zeros(2, 5, 16), torch.ones(2, 5, dtype=torch.bool))
>>> cond = Cond(text)
>>> cond.without_text().text.mask.any().item(), len(stack(cond, cond.without_text()))
(False, 4)
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Text:
    """Token states of a frozen text encoder: `tokens` (B, L, D), `mask` (B, L) bool.

    True = a real token. Raises `ValueError` when the two do not fit. Lesson 10.
    """

    tokens: Tensor
    mask: Tensor

    def __post_init__(self):
        if (
            self.tokens.ndim != 3
            or self.mask.shape != self.tokens.shape[:2]
            or self.mask.dtype != torch.bool
        ):
            raise ValueError(
                "Text: tokens must be (B, L, D) and mask (B, L) bool, "
                f"got {tuple(self.tokens.shape)} and {tuple(self.mask.shape)} {self.mask.dtype}"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: slice | Tensor) -> "Text":
        return Text(self.tokens[rows], self.mask[rows])

    def to(self, *args, **kwargs) -> "Text":
        """Move the tokens as `Tensor.to` does; the mask follows to the device and stays bool."""
        tokens = self.tokens.to(*args, **kwargs)
        return Text(tokens, self.mask.to(tokens.device))

    def padded(self, length: int) -> "Text":
        """The same text with empty places up to `length`.

        They are masked, so nothing that attends changes.
        """
        extra = length - self.tokens.shape[1]
        return Text(F.pad(self.tokens, (0, 0, 0, extra)), F.pad(self.mask, (0, extra)))


@dataclass(frozen=True)
class LowRes:
    """The picture of the stage below, noised: `image` (B, C, h, w), `logsnr` (B,) of its noise.

    It has its own size, not that of the stage. Lesson 13.
    """

    image: Tensor
    logsnr: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, rows: slice | Tensor) -> "LowRes":
        return LowRes(self.image[rows], self.logsnr[rows])

    def to(self, *args, **kwargs) -> "LowRes":
        return LowRes(self.image.to(*args, **kwargs), self.logsnr.to(*args, **kwargs))


@dataclass(frozen=True)
class Cond:
    """Everything a network is conditioned on; a part that is None is not given."""

    text: Text | None = None
    lowres: LowRes | None = None

    def __len__(self) -> int:
        return len(self.text if self.text is not None else self.lowres)

    def __getitem__(self, rows: slice | Tensor) -> "Cond":
        return self._each(lambda part: part[rows])

    def to(self, *args, **kwargs) -> "Cond":
        return self._each(lambda part: part.to(*args, **kwargs))

    def without_text(self, drop: Tensor | None = None) -> "Cond":
        """Clear the text's mask, for every picture or where `drop` (B,) bool is True.

        The low-resolution picture stays. The network then attends to its learned null token alone.
        Differs from the paper: Imagen (section 2.2) zeroes the embeddings; an empty mask needs no
        second code path.
        """
        if self.text is None:
            return self
        mask = self.text.mask
        keep = torch.zeros_like(mask) if drop is None else mask & ~drop.to(mask.device)[:, None]
        return replace(self, text=Text(self.text.tokens, keep))

    def _each(self, change) -> "Cond":
        """`change` of every part that is there."""
        parts = (self.text, self.lowres)
        return Cond(*(None if part is None else change(part) for part in parts))


def stack(first: Cond, second: Cond) -> Cond:
    """Two conditions of the same kind as one batch, first (B) then second (B): guidance's batch.

    Raises `ValueError` where one of them lacks what the other has. Lesson 08.
    """
    has = lambda cond: (cond.text is not None, cond.lowres is not None)
    if has(first) != has(second):
        raise ValueError(
            "stack: both conditions must have text, and both a low-resolution picture, or neither"
        )
    text = lowres = None
    if first.text is not None:
        length = max(first.text.tokens.shape[1], second.text.tokens.shape[1])
        a, b = first.text.padded(length), second.text.padded(length)
        text = Text(torch.cat([a.tokens, b.tokens]), torch.cat([a.mask, b.mask]))
    if first.lowres is not None:
        a, b = first.lowres, second.lowres
        lowres = LowRes(torch.cat([a.image, b.image]), torch.cat([a.logsnr, b.logsnr]))
    return Cond(text, lowres)
