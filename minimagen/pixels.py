"""Pictures as numbers: the one conversion between 8-bit pixels and [-1, 1], resizing, and grids of
pictures.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def from_uint8(pixels: Tensor) -> Tensor:
    """8-bit pixels {0..255} to float32 in [-1, 1]: x = p / 127.5 - 1 (DDPM, section 3.3). Any
    shape.
    """
    return pixels.float() / 127.5 - 1


def to_uint8(x: Tensor) -> Tensor:
    """Floats in [-1, 1] to 8-bit pixels, clipped and rounded to the nearest; the inverse of
    `from_uint8`. Any shape.
    """
    return ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def resize(x: Tensor, size: int) -> Tensor:
    """Resize square pictures (B, C, H, H) to (B, C, size, size): bicubic, antialiased when it
    shrinks.

    The antialiasing filter is what keeps thin lines from vanishing between samples; without it a
    small picture is no average of the large one, and a super-resolution network learns the
    artefacts. Returns `x` itself where nothing changes.
    """
    if x.shape[-1] == size and x.shape[-2] == size:
        return x
    return F.interpolate(
        x, size=(size, size), mode="bicubic", antialias=x.shape[-1] > size, align_corners=False
    )


def grid(pictures: Tensor, columns: int, gap: int = 2) -> Tensor:
    """Lay pictures (B, C, H, W) out row by row on a white ground: one picture (C, rows, columns)
    with `gap` pixels between.
    """
    count, channels, height, width = pictures.shape
    rows = -(-count // columns)
    sheet = pictures.new_ones(channels, rows * (height + gap) - gap, columns * (width + gap) - gap)
    for i, picture in enumerate(pictures):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[:, top : top + height, left : left + width] = picture
    return sheet
