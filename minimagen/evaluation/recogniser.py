"""Two small networks that read `World`: one finds where something stands, one says what it is.

They are trained by `tools/train_recogniser.py` on renderings alone, spoilt in many ways, and never
on anything that a diffusion network drew.
"""

from functools import cache

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from minimagen.data.nouns import COLOURS, SHAPES, things
from minimagen.files import shipped

SIDE, CELL = 64, 4  # pixels of a page, and of a cell of the map of centres
CROP = 32  # pixels of the cut-out that is recognised
FIELD = 1.3  # how much of the page it shows, in sides of the object
FEATURES = 128
FOUND = 0.35  # the least value of a peak in the map that counts as an object


@cache
def nouns() -> tuple[str, ...]:
    """All nouns of `World` in the order of the recogniser's classes; the class after them is
    "unreadable".
    """
    return (*SHAPES, *things(shown=True), *things(shown=False))


def _conv(channels: int, width: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    padding = (kernel - 1) // 2
    conv = nn.Conv2d(channels, width, kernel, stride, padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


class Finder(nn.Module):
    """Pages (B, 6, 64, 64) -> (B, 4, 16, 16): in each cell the logit that something has its centre
    there, how far the centre lies right of and below the cell's middle, in cells, and log(side/24).

    The six channels are the picture and what it adds to the empty page, as `seen_on` gives them.
    """

    def __init__(self):
        super().__init__()
        self.fine = nn.Sequential(_conv(6, 24, 4, 2), _conv(24, 48, 4, 2))
        self.coarse = nn.Sequential(
            _conv(48, 48, 4, 2), _conv(48, 48), _conv(48, 48), _conv(48, 48)
        )
        self.head = nn.Sequential(_conv(96, 32), nn.Conv2d(32, 4, 1))
        nn.init.constant_(self.head[1].bias, -2.0)  # most cells are no centre

    def forward(self, seen: Tensor) -> Tensor:
        fine = self.fine(seen)
        wide = F.interpolate(self.coarse(fine), scale_factor=2.0)
        return self.head(torch.cat([fine, wide], 1))


class Recogniser(nn.Module):
    """Cut-outs (N, 6, 32, 32) -> logits of the nouns and "unreadable" (N, 141), and of the colours
    and "its own" (N, 9).

    `features` alone takes pictures of any size: (N, 6, H, W) -> (N, 128), means over the place.
    """

    def __init__(self):
        super().__init__()
        self.start = nn.Sequential(_conv(6, 32, 4, 2), _conv(32, 48), _conv(48, 80, 4, 2))
        self.middle, self.end = _conv(80, 80), _conv(FEATURES, FEATURES)
        self.shrink = _conv(80, FEATURES, 3, 2)
        self.noun = nn.Linear(FEATURES, len(nouns()) + 1)
        self.colour = nn.Linear(FEATURES, len(COLOURS) + 1)

    def features(self, seen: Tensor) -> Tensor:
        x = self.start(seen)
        x = self.shrink(x + self.middle(x))
        return (x + self.end(x)).mean((2, 3))

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(seen)
        return self.noun(features), self.colour(features)


def networks() -> nn.ModuleDict:
    """Both networks, as the weights have them, untrained."""
    return nn.ModuleDict({"finder": Finder(), "recogniser": Recogniser()})


@cache
def trained() -> nn.ModuleDict:
    """Both with the shipped weights. Raises `ValueError` naming the file when it is missing or
    damaged.
    """
    path, nets = shipped("recogniser") / "weights.safetensors", networks()
    try:
        weights = load_file(path)
        nets.load_state_dict(
            {n: t.float() if t.is_floating_point() else t for n, t in weights.items()}
        )
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ValueError(
            f"{path} must be the shipped weights of the recogniser: {error}"
        ) from error
    return nets.eval().requires_grad_(False)


def seen_on(pictures: Tensor, pages: Tensor) -> Tensor:
    """What the networks look at: pictures and empty pages (B, 3, 64, 64) -> (B, 6, 64, 64)."""
    return torch.cat([pictures, pictures - pages], 1)


def cut_out(seen: Tensor, which: Tensor, boxes: Tensor) -> Tensor:
    """Cut-outs of pages: seen (B, C, 64, 64), which (N,) page, boxes (N, 3) centre x, y and side in
    pixels -> (N, C, 32, 32), each showing `FIELD` sides; what lies beyond the page is repeated.
    """
    if not len(which):
        return seen.new_zeros(0, seen.shape[1], CROP, CROP)
    x, y, side = boxes.to(seen.dtype).unbind(1)
    zoom, zero = side * FIELD / SIDE, torch.zeros_like(side)
    rows = torch.stack([zoom, zero, 2 * x / SIDE - 1, zero, zoom, 2 * y / SIDE - 1], 1)
    grid = F.affine_grid(rows.view(-1, 2, 3), (len(which), 1, CROP, CROP), False)
    return F.grid_sample(seen[which], grid, padding_mode="border", align_corners=False)


def peaks(found: Tensor) -> tuple[Tensor, Tensor]:
    """The objects in the finder's maps (B, 4, 16, 16): which page (N,), boxes (N, 3) as in
    `cut_out`.

    A centre is a cell above `FOUND` that is the largest of the 5 x 5 cells around it: no two
    objects of `World` are nearer.
    """
    heat = found[:, 0].sigmoid()
    top = F.max_pool2d(heat[:, None], 5, 1, 2)[:, 0]
    which, row, column = ((heat == top) & (heat > FOUND)).nonzero(as_tuple=True)
    right, down, size = found[which, 1:, row, column].unbind(1)
    x, y = (column + 0.5 + right) * CELL, (row + 0.5 + down) * CELL
    return which, torch.stack([x, y, 24 * size.clamp(-2, 2).exp()], 1)
