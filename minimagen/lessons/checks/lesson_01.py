"""The exercises of lesson 01: four families of generative models."""

import torch

from minimagen.families import covered
from minimagen.lessons.checks import Wrong, blank, exercise, parts, same
from minimagen.lessons.checks.inputs import normal


@exercise("1.1", points=3, minutes=15)
def ex_1_1(divergence) -> None:
    """divergence(mean_q, std_q, mean_p, std_p)
    -> KL(q || p) (B,) of Gaussians (B, D) with independent coordinates.
    """
    m, n = normal(4, 3, seed=11), normal(4, 3, seed=12)
    s, r = normal(4, 3, seed=13).abs() + 0.3, normal(4, 3, seed=14).abs() + 0.4
    each = lambda m, s, n, r: (r / s).log() + (s**2 + (m - n) ** 2) / (2 * r**2) - 0.5
    no_squares = (r / s).log() + (s + (m - n) ** 2) / (2 * r) - 0.5
    right = each(m, s, n, r)
    faults = {
        "this is KL(p || q); the mean is taken over q, so the variance of p divides": each(
            n, r, m, s
        ).sum(1),
        "this is eq. 1.11, for p = N(0, I); here p has a mean and a deviation of its own": each(
            m, s, 0 * n, r**0
        ).sum(1),
        "the -1/2 of each coordinate is missing: KL must be 0 where q and p agree": (
            right + 0.5
        ).sum(1),
        "the logarithm is upside down: log std_p - log std_q": (right - 2 * (r / s).log()).sum(1),
        "the deviations must be squared beside the squared distance": no_squares.sum(1),
        "the distance of the means is missing": each(m, s, m, r).sum(1),
        "this is the mean over the coordinates; they are independent, so their divergences "
        "add": right.mean(1),
        "this adds up the rows too; one number for each row is asked for": right.sum().expand(4),
    }
    same(divergence(m, s, n, r), right.sum(1), faults, what="the divergence")


def _jacobian(uncouple, z: torch.Tensor, s, t) -> torch.Tensor:
    rows = [
        torch.autograd.functional.jacobian(lambda row: uncouple(row[None], s, t)[0][0], row)
        for row in z
    ]
    return torch.linalg.slogdet(torch.stack(rows)).logabsdet


@exercise("1.2", points=3, minutes=15)
def ex_1_2(uncouple) -> None:
    """uncouple(z, s, t) -> (x, log_det): the coupling of eq. 1.14 backwards,
    log_det = log |det dx/dz| (N,); z (N, 2 D).
    """
    z = normal(5, 4, seed=15)
    s, t = lambda a: torch.sin(a) + 0.3 * a.flip(1), lambda a: a**2 - 0.5
    x, log_det = parts(uncouple(z, s, t), "x", "log_det")
    a, b = z.chunk(2, 1)
    back = lambda half: torch.cat([a, half], 1)
    faults = {
        "this is the coupling forwards; solve eq. 1.14 for x_b": back(b * s(a).exp() + t(a)),
        "the shift was added last, so it is taken away first": back(b * (-s(a)).exp() - t(a)),
        "the scale is exp(s), not s": back((b - t(a)) / s(a)),
        "the sign of s is wrong: dividing by exp(s) is multiplying by exp(-s)": back(
            (b - t(a)) * s(a).exp()
        ),
        "s and t must read the first half, which the coupling left as it was": back(
            (b - t(b)) * (-s(b)).exp()
        ),
        "the first half comes back unchanged, and first": torch.cat(
            [(b - t(a)) * (-s(a)).exp(), a], 1
        ),
    }
    same(x, back((b - t(a)) * (-s(a)).exp()), faults, what="x")
    autograd = _jacobian(uncouple, z, s, t)
    determinants = {
        "this is the determinant of the way forwards; autograd finds the opposite sign on the "
        "way back": -autograd,
        "this is the determinant itself; its logarithm is asked for": autograd.exp(),
        "this is the mean of s over the coordinates; autograd finds the sum": autograd / 2,
    }
    same(log_det, autograd, determinants, what="log_det, compared with autograd,")


def _line(*places: float) -> torch.Tensor:
    return torch.tensor([[place, 0.0] for place in places], dtype=torch.float64)


@exercise("1.3", points=3, minutes=10)
def ex_1_3(modes_covered) -> None:
    """modes_covered(points, centres, within, least)
    -> how many of the K centres have at least least N / K points near them.
    """
    centres = _line(0, 4, 8, 12)
    # 50 points: fair share 12.5, a quarter of it 3.125
    points = _line(*[0.3] * 20, *[4.8] * 10, 8.1, *[6.2] * 18, 11.9)
    mine = modes_covered(points, centres, 0.9, 0.25)
    if not blank(mine) and torch.as_tensor(mine).numel() != 1:
        raise Wrong("the result should be one whole number, how many modes are covered")
    same(mine, 2, _miscounted(points, centres), what="the number of covered modes")
    same(
        modes_covered(points, centres, 0.7, 0.25),
        1,
        {"the distance is squared somewhere: compare the distance itself with within": 2},
        what="the number for a smaller `within`",
    )
    same(
        modes_covered(_line(*[1.6] * 4, *[2.4] * 36), _line(0, 4), 3.0, 0.25),
        1,
        {"a point within reach of two modes belongs to the nearest alone": 2},
        what="the number where two modes are within reach",
    )
    same(
        modes_covered(points, centres, 0.9, 0.9),
        covered(points, centres, 0.9, 0.9),
        what="the number for a larger `least`",
    )


def _miscounted(points: torch.Tensor, centres: torch.Tensor) -> dict[str, int]:
    """Faulty counts for within = 0.9 and least = 0.25."""
    near = torch.cdist(points, centres)
    at = lambda within: near.argmin(1)[near.min(1).values < within].bincount(minlength=4)
    return {
        "one point near a mode is not enough: it takes least times the fair share N / K": int(
            (at(0.9) > 0).sum()
        ),
        "a point far from every mode counts for none, not for the nearest": int(
            (at(99) >= 3.125).sum()
        ),
        "the share is that of one mode, N / K, not of all N points": int((at(0.9) >= 12.5).sum()),
        "this counts points; the question is how many modes have enough of them": int(
            at(0.9).sum()
        ),
    }
