"""The exercises of lesson 09: thresholding."""

from functools import partial

import torch
from torch import Tensor

from minimagen.lessons.checks import Wrong, exercise, parts, same
from minimagen.lessons.checks.inputs import normal


def _batch() -> Tensor:
    """Four pictures (4, 3, 4, 4):
    strong, pale, shifted towards dark, and one with a single colour far out.
    """
    x = normal(4, 3, 4, 4, seed=91) * torch.tensor([3.0, 0.2, 1.5, 0.5]).double().reshape(
        4, 1, 1, 1
    )
    x[2] -= 2
    x[3, 0] *= 8
    return x


@exercise("9.1", points=2, minutes=5)
def ex_9_1(static) -> None:
    """static(x0) -> (clipped (B, 3, H, W), share of values that the clip changed (B,)),
    equation 9.8.
    """
    x = _batch()
    out = (x.abs() > 1).double()
    clipped, share = parts(static(x.clone()), "the clipped pictures", "the share of each")
    pictures = {
        "this cuts at 0; the range of a pixel is [-1, 1] (eq. 9.8)": x.clamp(0, 1),
        "values below -1 are left as they are; the box has two ends (eq. 9.8)": x.clamp(max=1),
        "this bends every value; clipping leaves those inside the box alone (eq. 9.8)": x.tanh(),
        "this divides instead of cutting; that is nearer to the dynamic threshold": x
        / x.abs().amax((1, 2, 3), keepdim=True),
    }
    shares = {
        "this counts only values above 1; those below -1 are cut as well": (x > 1)
        .double()
        .flatten(1)
        .mean(1),
        "this is the share of the whole batch; each picture has its own": out.mean(),
        "this is the share that stays; the one that is cut was asked for": 1
        - out.flatten(1).mean(1),
        "this is how many values were cut; divide by how many there are": out.flatten(1).sum(1),
        "this counts a pixel where any of its colours is cut; count values": out.amax(1)
        .flatten(1)
        .mean(1),
    }
    same(clipped, x.clamp(-1, 1), pictures, what="the clipped picture")
    same(share, out.flatten(1).mean(1), shares, what="the share")


@exercise("9.2", points=3, minutes=10)
def ex_9_2(dynamic) -> None:
    """dynamic(x0, p) -> x' (B, 3, H, W), one limit a picture and at least 1,
    equations 9.9 and 9.10.
    """
    x, p = _batch(), 0.8
    sizes, by = x.abs().flatten(1), partial(_limited, x)
    free = sizes.quantile(p, dim=1)
    limit = free.clamp(min=1)
    wide = limit.reshape(4, 1, 1, 1)
    colours = x.abs().flatten(2).quantile(p, dim=2).clamp(min=1)[..., None, None]
    faults = {
        "the limit has no lower bound: a pale picture is stretched; it is at least 1 (eq. 9.9)": by(
            free
        ),
        "this is one limit for the whole batch; each picture has its own (eq. 9.9)": by(
            sizes.quantile(p).clamp(min=1)
        ),
        "this is one limit a colour; a picture has one for all its colours (eq. 9.9)": by(colours),
        "this takes the percentile of the values; their signs must go first (eq. 9.9)": by(
            x.flatten(1).quantile(p, dim=1).clamp(min=1)
        ),
        "this cuts at the limit, but the division by it is missing (eq. 9.10)": x.clamp(
            -wide, wide
        ),
        "this divides by the limit, but does not cut what is still outside (eq. 9.10)": x / wide,
        "this cuts at 1 before it divides; cut at the limit (eq. 9.10)": x.clamp(-1, 1) / wide,
        "this takes 1 - p for p: the limit is near the largest values, not the smallest": by(
            sizes.quantile(1 - p, dim=1).clamp(min=1)
        ),
        "this is the static threshold; p must decide the limit (eq. 9.9)": x.clamp(-1, 1),
    }
    same(dynamic(x.clone(), p), by(limit), faults, what="x'")
    same(dynamic(x.clone(), 1.0), by(sizes.amax(1).clamp(min=1)), what="x' for p = 1")
    same(
        dynamic(x[:1].clone(), p), by(limit)[:1], what="x' of a picture that is alone in its batch"
    )


def _limited(x: Tensor, limit: Tensor) -> Tensor:
    """Cut x (B, 3, H, W) at +-limit and divide by it; limit: a number, (B,), or what broadcasts."""
    limit = limit.reshape(-1, 1, 1, 1) if limit.ndim < 2 else limit
    return x.clamp(-limit, limit) / limit


@exercise("9.3", points=3, minutes=10)
def ex_9_3(thresholded_pair) -> None:
    """thresholded_pair(z, eps, abar, threshold) -> (x', eps'), equation 9.12."""
    z, eps, abar = (
        normal(3, 3, 4, 4, seed=92),
        2 * normal(3, 3, 4, 4, seed=93),
        torch.tensor([0.9, 0.5, 0.1]).double(),
    )
    alpha, sigma = abar.sqrt().reshape(3, 1, 1, 1), (1 - abar).sqrt().reshape(3, 1, 1, 1)

    def halved(x: Tensor) -> Tensor:  # an unusual threshold, so that a built-in clip does not pass
        return (x / 2).clamp(-0.7, 0.7)

    guess = (z - sigma * eps) / alpha
    new = halved(guess)
    pictures = {
        "the threshold has not been applied to the picture": guess,
        "the threshold goes on the picture, not on the noise": (z - sigma * halved(eps)) / alpha,
        "the threshold goes on the estimate of the clean picture, not on z": halved(z),
        "this clips to [-1, 1]; use the threshold that was given": guess.clamp(-1, 1),
        "the roots are missing: alpha is the root of abar, sigma that of 1 - abar": halved(
            (z - sigma**2 * eps) / alpha**2
        ),
        "alpha and sigma have been exchanged": halved((z - alpha * eps) / sigma),
    }
    noises = {
        "this is the old noise; it belongs to the picture before the threshold (eq. 9.12)": eps,
        "the threshold goes on the picture; the noise follows from it (eq. 9.12)": halved(eps),
        "sigma is missing below the line (eq. 9.12)": z - alpha * new,
        "alpha is missing in front of the picture (eq. 9.12)": (z - new) / sigma,
        "this divides by the variance; divide by its root, sigma (eq. 9.12)": (z - alpha * new)
        / sigma**2,
    }
    picture, noise = parts(
        thresholded_pair(z.clone(), eps.clone(), abar, halved), "the picture", "the noise"
    )
    same(picture, new, pictures, what="the picture")
    same(noise, (z - alpha * new) / sigma, noises, what="the noise")


@exercise("9.4", points=3, minutes=15)
def ex_9_4(largest_weight) -> None:
    """largest_weight(x_u, x_c) -> the largest w (B,) with x_u + w (x_c - x_u) in the box,
    from equation 9.2.
    """
    x_u, x_c = _halves()
    d = x_c - x_u
    rising, falling = (
        torch.where(side, (wall - x_u) / d, torch.inf)
        for side, wall in ((d > 0, 1.0), (d < 0, -1.0))
    )
    allowed = torch.minimum(rising, falling)
    expected = allowed.flatten(1).amin(1)
    faults = {
        "this is counted from the told half: a weight of 1 arrives there, so 1 is missing": expected
        - 1,
        "this is the weight of the last pixel to reach its wall; the first one "
        "decides": torch.where(allowed.isinf(), -torch.inf, allowed).flatten(1).amax(1),
        "this is one weight for the whole batch; each picture has its own": expected.amin(),
        "this looks at the wall at +1 alone; falling pixels leave through -1": rising.flatten(
            1
        ).amin(1),
        "this looks at the wall at -1 alone; rising pixels leave through +1": falling.flatten(
            1
        ).amin(1),
        "this starts at 0; the line starts at the untold half (eq. 9.2)": torch.where(
            d == 0, torch.inf, 1 / d.abs()
        )
        .flatten(1)
        .amin(1),
    }
    mine = largest_weight(x_u.clone(), x_c.clone())
    if torch.is_tensor(mine) and not bool(mine.isfinite().all()):
        raise Wrong(
            "where the two halves agree, a division by 0 gets in; such a pixel allows every "
            "weight: put infinity there"
        )
    same(mine, expected, faults, what="the weight")


def _halves() -> tuple[Tensor, Tensor]:
    """Four pairs (4, 3, 4, 4) inside the box, untold and told, of which some pixels agree."""
    x_u, x_c = (0.5 * normal(4, 3, 4, 4, seed=seed).tanh() for seed in (94, 95))
    x_c[1] = x_u[1] + 0.1 * (x_c[1] - x_u[1])
    x_c[:, :, 0] = x_u[:, :, 0]  # a row in which the halves agree allows every weight
    x_u[2], x_c[2] = -x_u[2].abs(), -x_u[2].abs() - 0.05 * x_c[2].abs()  # falling pixels ...
    x_c[2, 0, 1, 1] = x_u[2, 0, 1, 1] + 0.01  # ... but for one
    return x_u, x_c
