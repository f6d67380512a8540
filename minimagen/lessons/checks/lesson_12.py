"""The exercises of lesson 12: the work of a convolution, a level of a U-Net and what a coarser one
costs, the scale of a skip connection, many joins, and a network that is too slow.
"""

import math

import torch
from torch import Tensor

from minimagen.lessons.checks import Wrong, chosen, compare, derive, exercise
from minimagen.lessons.checks.inputs import normal

_ROOT = 0.5**0.5


def _per_pixel(C, out, k, g):
    return k**2 * (C / g) * out


def _work(C, out, k, H, W, s, g):
    return _per_pixel(C, out, k, g) * math.ceil(H / s) * math.ceil(W / s)


WORK_FAULTS = {
    "the stride is forgotten: the work is counted at the pixels of the output (eq. 12.1)": (
        lambda C, out, k, H, W, s, g: _per_pixel(C, out, k, g) * H * W
    ),
    "the stride shortens both sides, so divide by it twice": (
        lambda C, out, k, H, W, s, g: _per_pixel(C, out, k, g) * math.ceil(H / s) * W
    ),
    "a remainder counts: the first pixel of every stride is kept, so round the sides up": (
        lambda C, out, k, H, W, s, g: _per_pixel(C, out, k, g) * (H // s) * (W // s)
    ),
    "sides are whole numbers of pixels: round each of them up": (
        lambda C, out, k, H, W, s, g: _per_pixel(C, out, k, g) * H * W / s**2
    ),
    "round each side up, not their product": (
        lambda C, out, k, H, W, s, g: _per_pixel(C, out, k, g) * math.ceil(H * W / s**2)
    ),
    "the groups are forgotten: an output channel reads channels / groups input channels": (
        lambda C, out, k, H, W, s, g: _work(C, out, k, H, W, s, 1)
    ),
    "only the input channels are divided by groups; all output channels are still computed": (
        lambda C, out, k, H, W, s, g: _work(C, out, k, H, W, s, g) / g
    ),
    "the window has two sides: k squared": lambda C, out, k, *rest: _work(C, out, k, *rest) / k,
    "the window is that of the case, not always 3": (
        lambda C, out, k, *rest: _work(C, out, 3, *rest)
    ),
    "these are operations; a multiply-add is two of them": lambda *case: 2 * _work(*case),
}


@exercise("12.1", points=2, minutes=10)
def ex_12_1(convolution_work_of) -> None:
    """convolution_work_of(channels, out, window, height, width, stride, groups) -> multiply-adds,
    equation 12.1.
    """
    cases = [
        (8, 12, 3, 16, 10, 1, 1),
        (12, 8, 5, 15, 9, 2, 4),
        (6, 6, 3, 7, 20, 3, 6),
        (16, 4, 1, 9, 9, 2, 2),
        (20, 30, 7, 11, 13, 4, 5),
        (9, 18, 3, 5, 4, 2, 9),
    ]

    def shares(work):
        return lambda: [_share(work(*case), _work(*case)) for case in cases]

    faults = {sentence: shares(fault) for sentence, fault in WORK_FAULTS.items()}
    compare(shares(convolution_work_of), shares(_work), [()], faults, 1e-9, "the work")


def _share(result, right: float):
    """A result as a share of what it should be, so that a small case counts as much as a large."""
    return result if result is None or result is ... else torch.as_tensor(result).double() / right


@exercise("12.2", points=1, minutes=5, kind="predict")
def ex_12_2(coarser_level) -> None:
    """coarser_level() -> (statement, reason): the costs of a level at half the side, twice the
    channels.
    """
    chosen(
        coarser_level,
        ("a", "2"),
        {
            "b": "that is the order of stride and blocks; here the channels double as well",
            "c": "the weights grow to 4 times, but there are only a quarter of the pixels",
            "d": "a convolution from 2C to 2C channels has 4 times the weights: both ends double",
            "1": "the work is weights times pixels: the pixels matter as much (eq. 12.1)",
            "3": "a convolution reads all C channels for each of its C outputs: C squared weights",
            "4": "what is kept are pictures of C N numbers (eq. 12.4): C, not C squared",
        },
    )


@exercise("12.3", points=2, minutes=15)
def ex_12_3(level) -> None:
    """level(x, shrink, down, inner, up, grow)
    -> grow(up((inner(h) + h) / sqrt(2))) with h = down(shrink(x)).
    """
    widths: list[int] = []

    def blocks(bend):
        def work(x: Tensor) -> Tensor:
            widths.append(x.shape[-1])
            return bend(x) + x.roll(1, 3)

        return work

    down, up = blocks(torch.tanh), blocks(torch.sin)
    cases = [
        (normal(2, 3, 8, 8, seed=124), _shrink, down, _inner, up, _grow),
        (normal(1, 5, 12, 4, seed=125), _shrink, up, torch.tanh, down, _grow),
    ]
    compare(level, _level, cases, LEVEL_FAULTS, what="the level's output")
    widths.clear()
    level(*cases[0])
    if widths != [4, 4]:
        raise Wrong(
            "the blocks of each way run once, on the small picture; they ran on widths "
            f"{widths}, not [4, 4]"
        )


def _shrink(x: Tensor) -> Tensor:
    return x[:, :, ::2, ::2] * 2 + 0.1


def _grow(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3) * 0.7 - 0.2


def _inner(x: Tensor) -> Tensor:
    return torch.cos(x) * 3


def _level(x, shrink, down, inner, up, grow, join=lambda below, h: (below + h) * _ROOT):
    h = down(shrink(x))
    return grow(up(join(inner(h), h)))


def _joined(join):
    return lambda *pieces: _level(*pieces, join)


def _late_down(x, shrink, down, inner, up, grow):
    h = shrink(down(x))
    return grow(up((inner(h) + h) * _ROOT))


def _late_up(x, shrink, down, inner, up, grow):
    h = down(shrink(x))
    return up(grow((inner(h) + h) * _ROOT))


def _skip_before(x, shrink, down, inner, up, grow):
    small = shrink(x)
    return grow(up((inner(down(small)) + small) * _ROOT))


def _skip_behind(x, shrink, down, inner, up, grow):
    h = down(shrink(x))
    return grow((up(inner(h)) + h) * _ROOT)


LEVEL_FAULTS = {
    "this shrinks after the blocks of the way down: they must see the small picture (eq. 12.7)": (
        _late_down
    ),
    "this grows before the blocks of the way up: they must see the small picture (eq. 12.7)": (
        _late_up
    ),
    "the sum is not scaled: its variance would be 2 (eq. 12.8)": _joined(
        lambda below, h: below + h
    ),
    "only the skip is scaled: the variance would be 1.5 (eq. 12.8)": _joined(
        lambda below, h: below + h * _ROOT
    ),
    "only what comes from below is scaled; scale the whole sum": _joined(
        lambda below, h: below * _ROOT + h
    ),
    "this is the mean of the two: the variance would be 1/2; divide by the root of 2": _joined(
        lambda below, h: (below + h) / 2
    ),
    "the skip is missing: what comes from below must be joined by h": _joined(
        lambda below, h: below
    ),
    "the skip is taken before the blocks of the way down; it is their output": _skip_before,
    "the skip joins behind the blocks of the way up; it must join in front of them": _skip_behind,
    "the coarser levels are missing: pass h through inner": _joined(lambda _, h: (h + h) * _ROOT),
}


def _scale(h, u, rho):
    return (h + u + 2 * rho * (h * u).sqrt()).rsqrt()


SCALE_FAULTS = {
    "this is right for independent inputs only: the covariance is missing (eq. 12.8)": (
        lambda h, u, rho: (h + u).rsqrt()
    ),
    "this is the paper's constant, right for independent inputs of variance 1": (
        lambda h, u, rho: torch.full_like(h, _ROOT)
    ),
    "a factor multiplies a variance by its square, so the root is missing": (
        lambda h, u, rho: _scale(h, u, rho) ** 2
    ),
    "this is upside down: the factor makes the sum smaller where its variance is large": (
        lambda h, u, rho: 1 / _scale(h, u, rho)
    ),
    "the covariance enters twice, from the two mixed products of the square": (
        lambda h, u, rho: (h + u + rho * (h * u).sqrt()).rsqrt()
    ),
    "the correlation is not the covariance: multiply it by both standard deviations": (
        lambda h, u, rho: (h + u + 2 * rho).rsqrt()
    ),
    "this multiplies the correlation by both variances: the covariance has their roots": (
        lambda h, u, rho: (h + u + 2 * rho * h * u).rsqrt()
    ),
}


@exercise("12.4", points=2, minutes=10)
def ex_12_4(scale_for) -> None:
    """scale_for(variance_h, variance_skip, correlation) -> f with Var f (h + h_skip) = 1, equation
    12.8; three tensors of one shape.
    """
    first = [[1.0, 4.0, 0.5, 2.0], [1.0, 1.0, 0.25, 3.0], [0.0, 0.5, -0.3, 0.9]]
    second = [[[0.7], [9.0]], [[0.2], [16.0]], [[-0.3], [0.1]]]
    cases = [tuple(torch.tensor(values).double() for values in case) for case in (first, second)]
    compare(scale_for, _scale, cases, SCALE_FAULTS, what="the factor")


derive("12.5", points=2, minutes=15)


@exercise("12.6", points=1, minutes=10, kind="diagnose")
def ex_12_6(fault_of_the_network) -> None:
    """fault_of_the_network() -> (fault, observation) for the slow network of figure 7."""
    chosen(
        fault_of_the_network,
        ("b", "2"),
        {
            "a": "unscaled skips change no parameter, no work and no memory; here work and memory "
            "change",
            "c": "one more level with attention would add parameters; here they are the same",
            "d": "blocks that read a stack have more parameters; here they are the same",
            "e": "blocks at the fine levels are narrower and have fewer parameters; here they are "
            "the same",
            "1": "no sampler has run: these are counts, and losses of training",
            "3": "the multiply-adds are counted for one picture; a batch does not change them",
            "4": "the parameters are equal: the work is weights times pixels (eq. 12.1)",
        },
    )
