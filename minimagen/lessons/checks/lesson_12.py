"""The exercises of lesson 12: the Efficient U-Net."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from minimagen.lessons.checks import Wrong, blank, exercise, same
from minimagen.lessons.checks.inputs import normal

_ROOT = 0.5**0.5


def _shares(results: Sequence, expected: Tensor, faults: Mapping[str, Tensor], what: str) -> None:
    """Compare one result a case, each as a share of what it should be,
    so that a small case counts as much as a large one.
    """
    scaled = {sentence: result / expected for sentence, result in faults.items()}
    mine = None
    if not any(map(blank, results)):
        numbers = [torch.as_tensor(result, dtype=torch.float64).reshape(()) for result in results]
        mine = torch.stack(numbers) / expected
    same(mine, torch.ones_like(expected), scaled, 1e-9, what)


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
    ]
    C, out, k, H, W, s, g = torch.tensor(cases, dtype=torch.float64).T
    up = (H / s).ceil() * (W / s).ceil()
    each = k**2 * C / g * out  # the work at one pixel
    right = each * up
    faults = {
        "the stride is forgotten: the work is counted at the pixels that come out (eq. 12.1)": each
        * H
        * W,
        "the stride shortens both sides, and must be divided by twice": each * (H / s).ceil() * W,
        "what is left over counts: the first pixel of every stride is kept, so round the sides "
        "up": each * (H / s).floor() * (W / s).floor(),
        "sides are whole numbers of pixels: round each of them up": each * H * W / s**2,
        "the groups are forgotten: a new channel draws from channels / groups old ones": each
        * g
        * up,
        "only the old channels are divided by groups; all the new ones are still computed": each
        / g
        * up,
        "the window has two sides: k squared": each / k * up,
        "these are operations; a multiply-add is two of them": 2 * right,
    }
    _shares([convolution_work_of(*case) for case in cases], right, faults, "the work")


@exercise("12.2", points=2, minutes=10)
def ex_12_2(scale_for) -> None:
    """scale_for(variance_h, variance_u, correlation) -> f with Var f (h + u) = 1, equation 12.8;
    all (n,).
    """
    h, u = torch.tensor([1.0, 4.0, 0.5, 2.0]).double(), torch.tensor([1.0, 1.0, 0.25, 3.0]).double()
    rho = torch.tensor([0.0, 0.5, -0.3, 0.9]).double()
    cov = rho * (h * u).sqrt()
    total = h + u + 2 * cov
    faults = {
        "this is right for independent halves only: the covariance is missing (eq. 12.8)": (
            h + u
        ).rsqrt(),
        "this is the paper's constant, right for independent halves of variance 1": torch.full_like(
            h, 0.5**0.5
        ),
        "a factor multiplies a variance by its square, so the root is missing": 1 / total,
        "this is upside down: the factor makes the sum smaller where its variance is "
        "large": total.sqrt(),
        "the covariance enters twice, from the two mixed products of the square": (
            h + u + cov
        ).rsqrt(),
        "the correlation is not the covariance: multiply it by both deviations": (
            h + u + 2 * rho
        ).rsqrt(),
        "this multiplies the correlation by both variances: the covariance has their roots": (
            h + u + 2 * rho * h * u
        ).rsqrt(),
    }
    same(scale_for(h, u, rho), total.rsqrt(), faults, what="the factor")


@exercise("12.3", points=3, minutes=15)
def ex_12_3(joining_block_parameters) -> None:
    """joining_block_parameters(channels, kept, width, emb)
    -> parameters of a block that is given a stack of both.
    """
    cases = [(8, 8, 8, 32), (64, 32, 32, 128), (16, 48, 24, 64), (5, 3, 7, 11)]
    C, K, out, E = torch.tensor(cases, dtype=torch.float64).T
    S = C + K
    right = (
        2 * S + 9 * S * out + out + 2 * out * (E + 1) + 2 * out + 9 * out**2 + out + S * out + out
    )
    faults = {
        "this is the block of (12.2), `width` channels throughout; it must read the stack": 18
        * out**2
        + 2 * out * E
        + 8 * out,
        "the direct line is missing: the channels differ, so it has a 1 x 1 convolution with "
        "bias": right - S * out - out,
        "the direct line has a bias, too": right - out,
        "the second convolution reads `width` channels, no longer the stack": right
        + 9 * (S - out) * out,
        "the second normalisation works on `width` channels, no longer on the stack": right
        + 2 * (S - out),
        "the first normalisation works on the stack, before the convolution": right - 2 * (S - out),
        "2 * width too few: both convolutions have a bias for each new channel, as has the "
        "linear layer": right - 2 * out,
        "the linear layer gives two numbers a channel, a scale and a shift": right - out * (E + 1),
        "the stack has `channels` + `kept` channels; `kept` is missing": right
        - 2 * K
        - 10 * K * out,
    }
    _shares(
        [joining_block_parameters(*case) for case in cases],
        right,
        faults,
        "the number of parameters",
    )


@exercise("12.4", points=3, minutes=15)
def ex_12_4(level) -> None:
    """level(x, shrink, down, inner, up, grow)
    -> grow(up((inner(h) + h) / sqrt(2))) with h = down(shrink(x)).
    """
    x, widths = normal(2, 3, 8, 8, seed=124), []

    def blocks(bend):
        def work(x: Tensor) -> Tensor:
            widths.append(x.shape[-1])
            return bend(x) + x.roll(1, 3)

        return work

    down, up = blocks(torch.tanh), blocks(torch.sin)
    h = down(_shrink(x))
    expected, faults = _grow(up((_inner(h) + h) * _ROOT)), _misjoined(x, down, up)
    widths.clear()
    same(level(x, _shrink, down, _inner, up, _grow), expected, faults, what="the level's output")
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


def _misjoined(x: Tensor, down: Callable, up: Callable) -> dict[str, Tensor]:
    """What a level returns whose parts are in the wrong place, or whose sum has the wrong scale."""
    h, late = down(_shrink(x)), _shrink(down(x))
    return {
        "this shrinks after the blocks of the way down: they must see the small picture (eq. "
        "12.7)": _grow(up((_inner(late) + late) * _ROOT)),
        "this grows before the blocks of the way up: they must see the small picture (eq. 12.7)": (
            up(_grow((_inner(h) + h) * _ROOT))
        ),
        "the sum is not scaled: its variance would be 2 (eq. 12.8)": _grow(up(_inner(h) + h)),
        "only the skip is scaled: the variance would be 1.5 (eq. 12.8)": _grow(
            up(_inner(h) + h * _ROOT)
        ),
        "only what comes from below is scaled; both halves are": _grow(up(_inner(h) * _ROOT + h)),
        "this is the mean of the two: the variance would be 1/2; divide by the root of 2": _grow(
            up((_inner(h) + h) / 2)
        ),
        "the skip is missing: what comes from below must be joined by h": _grow(up(_inner(h))),
        "the skip is taken before the blocks of the way down; it is what they return": (
            _grow(up((_inner(h) + _shrink(x)) * _ROOT))
        ),
        "the skip joins behind the blocks of the way up; it must join in front of them": _grow(
            (up(_inner(h)) + h) * _ROOT
        ),
        "the coarser levels are missing: pass h through inner": _grow(up((h + h) * _ROOT)),
    }
