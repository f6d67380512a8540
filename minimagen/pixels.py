"""Pictures as numbers: the one conversion between 8-bit pixels and [-1, 1], resizing, and sheets.

>>> to_uint8(torch.tensor([-1.0, 0.0, 1.5])).tolist()
[0, 128, 255]
>>> page = torch.zeros(6, 3, 8, 8)
>>> grid(page, columns=3, gap=2).shape, to_pil(page[0]).size
(torch.Size([3, 18, 28]), (8, 8))
"""

from collections.abc import Iterable

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F


def from_uint8(pixels: Tensor) -> Tensor:
    """8-bit pixels {0..255} to float32 in [-1, 1]: x = p / 127.5 - 1.

    Any shape. Source: DDPM, section 3.3.
    """
    return pixels.float() / 127.5 - 1


def to_uint8(x: Tensor) -> Tensor:
    """Floats in [-1, 1] to 8-bit pixels, clipped and rounded: the inverse of `from_uint8`.

    Any shape.
    """
    return ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def to_pil(picture: Tensor) -> Image.Image:
    """One picture (3, H, W) in [-1, 1], on any device, as an image of PIL in RGB.

    Raises `ValueError` on another shape.
    """
    if picture.ndim != 3 or picture.shape[0] != 3:
        raise ValueError(f"picture must be (3, H, W), got {tuple(picture.shape)}")
    return Image.fromarray(to_uint8(picture).permute(1, 2, 0).cpu().numpy())


def resize(x: Tensor, size: int) -> Tensor:
    """Resize pictures (B, C, H, H) to (B, C, size, size): bicubic, antialiased when it shrinks.

    The antialiasing filter is what keeps thin lines from vanishing between samples; without it a
    small picture is no average of the large one, and a super-resolution network learns the
    artefacts. Returns `x` itself where nothing changes.
    """
    if x.shape[-1] == size and x.shape[-2] == size:
        return x
    return F.interpolate(
        x, size=(size, size), mode="bicubic", antialias=x.shape[-1] > size, align_corners=False
    )


def row(pictures: Iterable[Tensor], gap: int = 2) -> Tensor:
    """Pictures (C, H, W) of any sizes side by side on white: (C, the largest H, all W and gaps).

    The first one lies on the left, all begin at the top, `gap` pixels are between.
    """
    pictures = list(pictures)
    height = max(picture.shape[1] for picture in pictures)
    padded = [
        F.pad(picture, (gap if i else 0, 0, 0, height - picture.shape[1]), value=1.0)
        for i, picture in enumerate(pictures)
    ]
    return torch.cat(padded, 2)


def grid(pictures: Tensor, columns: int, gap: int = 2) -> Tensor:
    """Pictures (B, C, H, W) row by row on white: one picture (C, rows, columns).

    `gap` pixels are between; what the last row lacks is white.
    """
    lacking = -len(pictures) % columns
    whole = torch.cat([pictures, pictures.new_ones(lacking, *pictures.shape[1:])])
    rows = [row(line, gap).mT for line in whole.split(columns)]
    return row(rows, gap).mT  # rows beside each other, seen from the side
