"""The exercises of lesson 05: the U-Net and its training."""

from functools import partial

import torch

from minimagen.layers import ResBlock
from minimagen.lessons.checks import Wrong, blank, exercise, same
from minimagen.unet import UNet, UNetConfig


@exercise("5.1", points=2, minutes=10)
def ex_5_1(step_waves) -> None:
    """step_waves(step, width) -> (B, width):
    sines, then cosines of step f_i, f_i falling geometrically from 1 to 1/10000.
    """
    k, width, m = torch.tensor([0, 1, 17, 500, 999]), 12, 6
    i, table = torch.arange(m).double(), partial(_waves, k)
    f = 1e-4 ** (i / (m - 1))
    right = table(f)
    sines, cosines = right.chunk(2, 1)
    faults = {
        "the slowest factor must be exactly 1/10000: divide i by m - 1, not by m": table(
            1e-4 ** (i / m)
        ),
        "the factors are divided by the whole width; there are m = width / 2 of them": table(
            1e-4 ** (2 * i / (2 * m - 1))
        ),
        "the factors must fall from 1 to 1/10000; these rise to 10000": table(1 / f),
        "the factors must fall geometrically, each by one quotient; these fall evenly": table(
            1 - i / (m - 1) * (1 - 1e-4)
        ),
        "the sines come first, the cosines after them": torch.cat([cosines, sines], 1),
        "sines and cosines take turns here; all sines come first (eq. 5.2)": torch.stack(
            [sines, cosines], 2
        ).flatten(1),
        "these are the factors of eq. 5.2; DDPM's run from 1 down to 1/10000": table(
            0.08 * 125 ** (i / (m - 1))
        ),
    }
    same(step_waves(k, width), right, faults, tolerance=1e-4, what="the embedding")
    few = torch.tensor([3, 700])
    four = _waves(few, 1e-4 ** (torch.arange(2).double()))
    same(step_waves(few, 4), four, tolerance=1e-4, what="the embedding of width 4")


def _waves(k: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Sines, then cosines, of each step times each factor: (B,), (m,) -> (B, 2 m)."""
    angles = k.double()[:, None] * factors
    return torch.cat([angles.sin(), angles.cos()], 1)


def _way(channels: int, multipliers: tuple[int, ...], size: int) -> list[tuple[int, int, int]]:
    """(from below, from the side, width of the picture) of each layer of the way up,
    as the library's network is built.
    """
    attention = (None,) * len(multipliers)
    net = UNet(UNetConfig(channels, multipliers, (1,) * len(multipliers), attention))
    below = [multipliers[-1] * channels, *(layer[0].conv1.out_channels for layer in net.up[:-1])]
    sides = [size // 2 ** (len(multipliers) - 1 - i // 2) for i in range(len(net.up))]
    both = [layer[0].conv1.in_channels for layer in net.up]
    return [(b, total - b, side) for b, total, side in zip(below, both, sides, strict=True)]


@exercise("5.2", points=3, minutes=15)
def ex_5_2(entering) -> None:
    """entering(channels, multipliers, size)
    -> [(channels, width of the picture), ...] of the layers of the way up.
    """
    for arguments in ((8, (1, 2, 3), 32), (4, (2, 3, 3, 5), 64), (16, (1,), 8)):
        way = _way(*arguments)
        below, kept, sides = (torch.tensor(column) for column in zip(*way, strict=True))
        pairs = lambda channels, width=sides: torch.stack([channels, width], 1)
        faults = {
            "the oldest kept result is joined first; the latest must be": pairs(
                below + kept.flip(0)
            ),
            "what is kept is missing: each layer gets the channels from below and those from the "
            "side": pairs(below),
            "what comes from below is missing: these are the kept channels alone": pairs(kept),
            "what comes from below keeps the last level's channels; each layer gives those of "
            "its own": pairs(below[0] + kept),
            "the picture is not doubled between the levels": pairs(
                below + kept, sides[0].expand_as(sides)
            ),
            "the sizes run the wrong way: the way up begins with the smallest": pairs(
                below + kept, sides.flip(0)
            ),
            "this is the way from fine to coarse; the way up begins at the coarse end": pairs(
                below + kept
            ).flip(0),
        }
        mine = entering(*arguments)
        if isinstance(mine, list | tuple) and len(mine) != len(way):
            raise Wrong(
                f"there are two layers a level, {len(way)} for {arguments[1]}, but the list has "
                f"{len(mine)}"
            )
        same(mine, pairs(below + kept), faults, what=f"entering{arguments}")


@exercise("5.3", points=3, minutes=10)
def ex_5_3(block_parameters) -> None:
    """block_parameters(channels, out, emb) -> int:
    the parameters of a residual block, equations 5.5, 5.7 and 5.8.
    """
    cases = [(8, 16, 32), (16, 16, 32), (24, 8, 12)]
    right = torch.tensor(
        [sum(p.numel() for p in ResBlock(*case).parameters()) for case in cases]
    ).double()
    channels, out, emb = torch.tensor(cases).double().T
    skip, change = channels * out + out, channels != out
    faults = {
        "the direct line has a layer only where the number of channels changes": right
        + skip * ~change,
        "where the number of channels changes, the direct line has a 1 x 1 convolution": right
        - skip * change,
        "the numbers b of the layers are missing: one for each output": right
        - 4 * out
        - out * change,
        "the numbers b of the two convolutions are missing": right - 2 * out,
        "the two normalisations learn a factor and a shift for each channel": right
        - 2 * channels
        - 2 * out,
        "a normalisation has two numbers for each channel, a factor and a shift": right
        - channels
        - out,
        "the linear layer gives two numbers for each channel, a scale and a shift": right
        - emb * out
        - out,
        "the second convolution goes from out to out channels": right + 9 * (channels - out) * out,
        "a 3 x 3 convolution has nine weights for each pair of channels": right
        - 8 * out * (channels + out),
        "the direct line's convolution is 1 x 1": right + 8 * channels * out * change,
    }
    mine = [block_parameters(*case) for case in cases]
    mine = None if any(map(blank, mine)) else mine
    same(mine, right, faults, tolerance=1e-9, what="the number of parameters")
