"""The exercises of lesson 05: the U-Net and its training."""

import torch

from minimagen.layers import ResBlock
from minimagen.lessons.checks import Wrong, blank, chosen, compare, derive, exercise
from minimagen.unet import UNet, UNetConfig


@exercise("5.1", points=2, minutes=5, kind="predict")
def ex_5_1(shuffled_losses) -> None:
    """shuffled_losses() -> (what happens, why), when all digits are shuffled by one permutation."""
    chosen(
        shuffled_losses,
        ("c", "2"),
        {
            "a": "then the order of the pixels would mean nothing to a convolution; it reads "
            "neighbours",
            "b": "permute the rows and columns of the dense network's first and last weights: "
            "nothing is lost",
            "d": "permute the rows and columns of the dense network's first and last weights: "
            "nothing is lost",
            "1": "the information is there, but a network with a fixed window must find it first",
            "3": "the same weights at each pixel help only where the same pattern may stand at "
            "each pixel",
            "4": "a permutation can be undone; the dense network shows that there is structure",
        },
    )


def _waves(step, factors):
    """Sines, then cosines, of each step times each factor: (B,), (n,) -> (B, 2 n)."""
    angles = step.double()[:, None] * factors
    return torch.cat([angles.sin(), angles.cos()], 1)


def _places(width):
    """i / (n - 1) for i = 0 .. n - 1, with n = width / 2."""
    n = width // 2
    return torch.arange(n).double() / (n - 1)


def _step_waves(step, width):
    return _waves(step, 1e-4 ** _places(width))


def _factors(factors):
    return lambda step, width: _waves(step, factors(width))


def _rearranged(how):
    return lambda step, width: how(*_step_waves(step, width).chunk(2, 1))


WAVE_FAULTS = {
    "the slowest factor must be exactly 1/10000: divide i by n - 1, not by n": _factors(
        lambda width: 1e-4 ** (torch.arange(width // 2).double() / (width // 2))
    ),
    "the factors are divided by the whole width; there are n = width / 2 of them": _factors(
        lambda width: 1e-4 ** (2 * torch.arange(width // 2).double() / (width - 1))
    ),
    "the factors must fall from 1 to 1/10000; these rise to 10000": _factors(
        lambda width: 1e4 ** _places(width)
    ),
    "the factors must fall geometrically, each by one quotient; these fall evenly": _factors(
        lambda width: 1 - _places(width) * (1 - 1e-4)
    ),
    "the sines come first, the cosines after them": _rearranged(
        lambda sines, cosines: torch.cat([cosines, sines], 1)
    ),
    "sines and cosines take turns here; all sines come first (eq. 5.2)": _rearranged(
        lambda sines, cosines: torch.stack([sines, cosines], 2).flatten(1)
    ),
    "these are the factors of eq. 5.2; DDPM's run from 1 down to 1/10000": _factors(
        lambda width: 0.08 * 125 ** _places(width)
    ),
    "a whole turn is not a part of the formula: leave out 2 pi": _factors(
        lambda width: 2 * torch.pi * 1e-4 ** _places(width)
    ),
}


@exercise("5.2", points=3, minutes=10)
def ex_5_2(step_waves) -> None:
    """step_waves(step, width) -> (B, width):
    sines, then cosines of step f_i, f_i falling geometrically from 1 to 1/10000.
    """
    steps = ([0, 1, 17, 500, 999], [3, 700], [250])
    cases = [(torch.tensor(step), width) for step, width in zip(steps, (12, 4, 20), strict=True)]
    compare(step_waves, _step_waves, cases, WAVE_FAULTS, tolerance=1e-4, what="the embedding")


def _block_parameters(channels, out, emb):
    return sum(p.numel() for p in ResBlock(channels, out, emb).parameters())


def _count(change):
    """The right count plus change(channels, out, emb, whether the number of channels changes)."""
    return lambda channels, out, emb: (
        _block_parameters(channels, out, emb) + change(channels, out, emb, channels != out)
    )


COUNT_FAULTS = {
    "the direct line has a layer only where the number of channels changes": _count(
        lambda c, o, e, changes: 0 if changes else c * o + o
    ),
    "where the number of channels changes, the direct line has a 1 x 1 convolution": _count(
        lambda c, o, e, changes: -(c * o + o) * changes
    ),
    "the numbers b of the layers are missing: one for each output": _count(
        lambda c, o, e, changes: -4 * o - o * changes
    ),
    "the numbers b of the two convolutions are missing": _count(lambda c, o, e, changes: -2 * o),
    "the direct line's convolution has numbers b too": _count(
        lambda c, o, e, changes: -o * changes
    ),
    "the two normalisations learn a factor and a shift for each channel": _count(
        lambda c, o, e, changes: -2 * c - 2 * o
    ),
    "a normalisation has two numbers for each channel, a factor and a shift": _count(
        lambda c, o, e, changes: -c - o
    ),
    "the linear layer gives two numbers for each channel, a scale and a shift": _count(
        lambda c, o, e, changes: -e * o - o
    ),
    "the second convolution goes from out to out channels": _count(
        lambda c, o, e, changes: 9 * (c - o) * o
    ),
    "a 3 x 3 convolution has nine weights for each pair of channels": _count(
        lambda c, o, e, changes: -8 * o * (c + o)
    ),
    "the direct line's convolution is 1 x 1": _count(lambda c, o, e, changes: 8 * c * o * changes),
}


@exercise("5.3", points=3, minutes=10)
def ex_5_3(block_parameters) -> None:
    """block_parameters(channels, out, emb) -> int:
    the parameters of a residual block, equations 5.5, 5.7 and 5.8.
    """
    cases = [(8, 16, 32), (16, 16, 32), (24, 8, 12), (5, 7, 3)]
    what = "the number of parameters"
    compare(block_parameters, _block_parameters, cases, COUNT_FAULTS, tolerance=1e-9, what=what)


def _way(channels, multipliers, size):
    """[(from below, from the side, width of the picture)] of each layer of the way up,
    as the library's network is built.
    """
    attention = (None,) * len(multipliers)
    net = UNet(UNetConfig(channels, multipliers, (1,) * len(multipliers), attention))
    below = [multipliers[-1] * channels, *(layer[0].conv1.out_channels for layer in net.up[:-1])]
    sides = [size // 2 ** (len(multipliers) - 1 - i // 2) for i in range(len(net.up))]
    both = [layer[0].conv1.in_channels for layer in net.up]
    return [(b, total - b, side) for b, total, side in zip(below, both, sides, strict=True)]


def _pairs(put):
    """The list that `put` makes of the way up: put(row, its mirror image, the first row)."""

    def answer(channels, multipliers, size):
        way = _way(channels, multipliers, size)
        return [put(row, twin, way[0]) for row, twin in zip(way, way[::-1], strict=True)]

    return answer


_entering = _pairs(lambda row, twin, first: (row[0] + row[1], row[2]))
WAY_FAULTS = {
    "the oldest kept result is joined first; the latest must be": _pairs(
        lambda row, twin, first: (row[0] + twin[1], row[2])
    ),
    "what is kept is missing: each layer gets the channels from below and those from the side": (
        _pairs(lambda row, twin, first: (row[0], row[2]))
    ),
    "what comes from below is missing: these are the kept channels alone": _pairs(
        lambda row, twin, first: (row[1], row[2])
    ),
    "what comes from below keeps the last level's channels; each layer gives those of its own": (
        _pairs(lambda row, twin, first: (first[0] + row[1], row[2]))
    ),
    "the picture is not doubled between the levels": _pairs(
        lambda row, twin, first: (row[0] + row[1], first[2])
    ),
    "the sizes run the wrong way: the way up begins with the smallest": _pairs(
        lambda row, twin, first: (row[0] + row[1], twin[2])
    ),
    "this is the way from fine to coarse; the way up begins at the coarse end": _pairs(
        lambda row, twin, first: (twin[0] + twin[1], twin[2])
    ),
}


def _listed(entering):
    """The answer, with what `compare` would not see: layers that are missing, halves of pixels."""

    def listed(channels, multipliers, size):
        mine = entering(channels, multipliers, size)
        if blank(mine):
            return mine
        rows = [list(row) for row in mine]
        if any(isinstance(value, float) for row in rows for value in row):
            raise Wrong("channels and widths are whole numbers: divide with //, not with /")
        if len(rows) != 2 * len(multipliers):
            raise Wrong(
                f"there are two layers a level, {2 * len(multipliers)} for {multipliers}, but the "
                f"list has {len(rows)}"
            )
        return rows

    return listed


@exercise("5.4", points=4, minutes=15)
def ex_5_4(entering) -> None:
    """entering(channels, multipliers, size)
    -> [(channels, width of the picture), ...] of the layers of the way up.
    """
    cases = [(8, (1, 2, 3), 32), (4, (2, 3, 3, 5), 64), (16, (1,), 8), (12, (3, 1), 48)]
    compare(_listed(entering), _entering, cases, WAY_FAULTS, what="the list")


derive("5.5", points=4, minutes=15)


@exercise("5.6", points=4, minutes=10, kind="diagnose")
def ex_5_6(fault_of_the_run) -> None:
    """fault_of_the_run() -> (fault, what tells) of the run that Figure 10 numbers 5."""
    chosen(
        fault_of_the_run,
        ("d", "3"),
        {
            "a": "a run that changes nothing has a flat loss; this one falls",
            "c": "with too large steps the loss is thrown above its first value; this one falls",
            "e": "then nothing in the sample would be dark; look at the ears",
            "h": "that loss bends like the healthy one, only lower, and its sample has wrong "
            "colours everywhere",
            "1": "then the loss would be flat",
            "2": "then the loss would be high and rough",
            "4": "then the curve would have the shape of the healthy one; this one has not",
            "5": "then the colours would be wrong from the first step of the sampler on",
        },
    )
