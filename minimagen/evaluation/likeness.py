"""Lesson 14. When do two drawings look alike? Sixty-four features that tell the shipped emoji
apart, however roughly drawn.
"""

from functools import cache

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from minimagen.files import shipped
from minimagen.layers import norm
from minimagen.pixels import resize

FEATURES, SIDE = 64, 64
INK = 0.12  # how far from white, in [-1, 1] units, a pixel counts as drawn
# a row or column with less than this share of the fullest one's ink lies outside the drawing
EDGE = 0.02
NAME = "likeness, 64 features"


class Likeness(nn.Module):
    """Pictures (B, 3, 64, 64) in [-1, 1] -> unit vectors (B, 64): near each other where the
    pictures show the same drawing.

    Four convolutions, each halving the size, and a linear layer. Trained by
    `tools/train_likeness.py` so that a picture bent, blurred, tinted and noised is nearer to itself
    than to every other one.
    """

    def __init__(self, widths: tuple[int, ...] = (24, 48, 64, 96)):
        super().__init__()
        layers, channels = [], 3
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), norm(width), nn.SiLU()]
            channels = width
        self.encoder = nn.Sequential(*layers)
        self.head = nn.Linear(channels * (SIDE >> len(widths)) ** 2, FEATURES)

    def forward(self, pictures: Tensor) -> Tensor:
        return F.normalize(self.head(self.encoder(pictures).flatten(1)), dim=1)


@cache
def network() -> Likeness:
    """The shipped weights. Raises `ValueError` naming the file when it is missing or damaged."""
    path, net = shipped("likeness") / "weights.safetensors", Likeness()
    try:
        net.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"{path} must be the shipped weights of the likeness network: {error}"
        ) from error
    return net.eval().requires_grad_(False)


def likeness(pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, H) in [-1, 1] of any size -> (B, 64) unit vectors: `trim` each, then the
    shipped network.
    """
    return torch.cat([network()(trim(part)) for part in pictures.split(256)])


def trim(pictures: Tensor, side: int = SIDE) -> Tensor:
    """Each drawing cut out of its white page and made to fill one of its own: (B, 3, H, W) -> (B,
    3, side, side).

    So where a drawing stands on the page, and how large, does not matter. A white page stays white.
    """
    return (
        torch.stack([_trimmed(picture, side) for picture in pictures.float()])
        if len(pictures)
        else pictures
    )


def _trimmed(picture: Tensor, side: int) -> Tensor:
    ink = _ink(picture)
    (top, bottom), (left, right) = _extent(ink.sum(1)), _extent(ink.sum(0))
    height, width = bottom - top, right - left
    square = picture.new_ones(3, max(height, width), max(height, width))
    down, across = (square.shape[1] - height) // 2, (square.shape[2] - width) // 2
    square[:, down : down + height, across : across + width] = picture[:, top:bottom, left:right]
    return resize(square[None], side)[0].clamp(-1, 1)


def _ink(picture: Tensor) -> Tensor:
    """How far each pixel of (3, H, W) is from white in its strongest channel, 0 where that is
    nothing to speak of: (H, W).
    """
    ink = (1 - picture).amax(0)
    return ink * (ink > INK)


def _extent(ink: Tensor) -> tuple[int, int]:
    """The first row that holds ink and the one after the last, of sums (H,); all rows where none
    does.
    """
    inked = (ink > EDGE * ink.max()).nonzero()[:, 0]
    return (int(inked[0]), int(inked[-1]) + 1) if len(inked) else (0, len(ink))


def halves(picture: Tensor, relation: str) -> tuple[Tensor, Tensor]:
    """A scene (3, H, H) of two drawings as two pictures: the first on the "left" of the second or
    "above" it.

    Cut where the middle half of the page holds least ink.
    """
    along = 2 if relation == "left" else 1
    ink = _ink(picture).sum(2 - along)
    quarter = len(ink) // 4
    middle = ink[quarter:-quarter]
    emptiest = (middle == middle.min()).nonzero()[:, 0]
    cut = quarter + int(emptiest[len(emptiest) // 2])
    first, second = picture.clone(), picture.clone()
    first.narrow(along, cut, len(ink) - cut).fill_(1)
    second.narrow(along, 0, cut).fill_(1)
    return first, second
