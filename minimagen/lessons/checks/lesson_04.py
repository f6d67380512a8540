"""The exercises of lesson 04: what a guess of the noise says about the picture, the score, and the
best guess there is.
"""

import torch

from minimagen.ddpm import linear_betas
from minimagen.lessons.checks import exercise, parts, same
from minimagen.lessons.checks.inputs import normal


@exercise("4.1", points=2, minutes=5)
def ex_4_1(x0_from_eps) -> None:
    """x0_from_eps(z, logsnr, eps) -> x0 hat, equation 4.2;
    z, eps (B, 3, H, W), logsnr (B,), one a picture.
    """
    z, eps, logsnr = (
        normal(3, 3, 3, 3, seed=41),
        normal(3, 3, 3, 3, seed=42),
        torch.tensor([3.0, 0.5, -2.0]).double(),
    )
    alpha2, sigma2 = (torch.sigmoid(sign * logsnr).reshape(3, 1, 1, 1) for sign in (1, -1))
    alpha, sigma = alpha2.sqrt(), sigma2.sqrt()
    along_width = (z - torch.sigmoid(-logsnr).sqrt() * eps) / torch.sigmoid(logsnr).sqrt()
    faults = {
        "the noise is gone, but the picture is still shrunk: divide by alpha (eq. 4.2)": z
        - sigma * eps,
        "this takes away noise of deviation 1; in z it has the deviation sigma (eq. 4.2)": (z - eps)
        / alpha,
        "this takes away sigma^2 eps; its scale is sigma, the root of sigmoid(-logsnr)": (
            z - sigma2 * eps
        )
        / alpha,
        "this divides by alpha^2; the scale of the picture is alpha, the root of sigmoid(logsnr)": (
            z - sigma * eps
        )
        / alpha2,
        "both roots are missing: sigmoid gives alpha^2 and sigma^2 (eq. 2.8)": (z - sigma2 * eps)
        / alpha2,
        "alpha and sigma have exchanged places: alpha^2 is sigmoid(+logsnr)": (z - alpha * eps)
        / sigma,
        "the noise was added once more; it must be taken away (eq. 4.2)": (z + sigma * eps) / alpha,
        "logsnr lies along the width; reshape it to (B, 1, 1, 1), one a picture": along_width,
    }
    same(x0_from_eps(z, logsnr, eps), (z - sigma * eps) / alpha, faults, what="x0 hat")


@exercise("4.2", points=3, minutes=10)
def ex_4_2(score_and_mean) -> None:
    """score_and_mean(x, eps, k, betas) -> (score, mean of the step back), equations 4.12 and 4.3;
    k an index of the table.
    """
    x, eps, betas, k = normal(4, 2, seed=43), normal(4, 2, seed=44), linear_betas(50) * 5, 20
    abar = (1 - betas).cumprod(0)
    sigma, beta, keep = (1 - abar[k]).sqrt(), betas[k], (1 - betas[k]).sqrt()
    score, mean = parts(score_and_mean(x, eps, k, betas), "the score", "the mean")
    right = -eps / sigma
    scores = {
        "the sign of the score is missing: it points away from the noise (eq. 4.12)": eps / sigma,
        "this divides by sigma^2, the variance; the score divides by sigma (eq. 4.12)": -eps
        / sigma**2,
        "the score divides the noise by sigma (eq. 4.12); this does not": -eps,
        "the score divides by sigma; this multiplies by it": -eps * sigma,
        "this divides by alpha; the score divides by sigma, the scale of the noise (eq. 4.12)": -eps
        / abar[k].sqrt(),
        "this uses abar of the step before; entry k of the table belongs to this step": -eps
        / (1 - abar[k - 1]).sqrt(),
    }
    means = {
        "the mean moves up the score, by + beta times score": (x - beta * right) / keep,
        "with the score no root stays beside beta: sigma cancels": (x + beta / sigma * right)
        / keep,
        "beta belongs to the noise divided by sigma, not to the noise itself (eq. 4.3)": (
            x - beta * eps
        )
        / keep,
        "the mean is not rescaled: divide by the root of 1 - beta (eq. 4.3)": x + beta * right,
        "this rescales by alpha, as if to the clean picture; one step back takes the root of 1 - "
        "beta": (x + beta * right) / abar[k].sqrt(),
        "this rescales by 1 - beta; one step back takes its root (eq. 4.3)": (x + beta * right)
        / keep**2,
        "this is x0 hat, the clean picture of eq. 4.2, not the mean one step back": (
            x - sigma * eps
        )
        / abar[k].sqrt(),
    }
    same(score, right, scores, what="the score")
    same(mean, (x + beta * right) / keep, means, what="the mean")


@exercise("4.3", points=4, minutes=15)
def ex_4_3(exact_eps) -> None:
    """exact_eps(x, abar, centres, shares, std) -> E[eps | x] of a mixture of N(centres_i, std^2 I),
    equations 4.8 and 4.9.
    """
    x, centres, abar, std = normal(5, 2, seed=45), 1.5 * normal(3, 2, seed=46), 0.6, 0.7
    shares = torch.tensor([0.1, 0.6, 0.3]).double()
    alpha, noise = abar**0.5, 1 - abar
    total = abar * std**2 + noise

    def best(
        variance=total,
        chance_variance=total,
        prior=shares,
        scale=alpha,
        half=2.0,
        factor=noise**0.5,
    ):
        error = x[:, None] - scale * centres
        chance = (prior.log() - error.square().sum(2) / (half * chance_variance)).softmax(1)
        return factor / variance * (chance[:, :, None] * error).sum(1)

    right, error = best(), x[:, None] - alpha * centres
    faults = _wrong_ingredients(best, total, noise) | {
        "this is the estimate of the clean picture, not of the noise": (x - noise**0.5 * right)
        / alpha,
        "this is the score, -eps / sigma; the noise was asked for": -right / noise**0.5,
        "this takes the nearest centre alone; every component counts with its chance": noise**0.5
        / total
        * error[torch.arange(5), error.square().sum(2).argmin(1)],
        "this weights the components by their shares, without looking at x": noise**0.5
        / total
        * (shares[:, None] * error).sum(1),
    }
    same(exact_eps(x, abar, centres, shares, std), right, faults, what="the noise")


def _wrong_ingredients(best, total: float, noise: float) -> dict[str, torch.Tensor]:
    """The noise with one ingredient wrong; total, noise: the variances of x and of the noise."""
    return {
        "the shares are missing: they are the prior of each component": best(
            prior=torch.ones(3).double()
        ),
        "the chance of a component forgets std: x has the variance abar std^2 + 1 - abar": best(
            chance_variance=noise
        ),
        "the noise of a component forgets std: some of the error is the picture's own (eq. "
        "4.9)": best(variance=noise),
        "std is missing: these are the points of eq. 4.8, not yet blurred": best(noise, noise),
        "the centres are not scaled by alpha, as the picture in x is": best(scale=1.0),
        "the half in the exponent of the Gaussian is missing": best(half=1.0),
        "this divides by the deviation of x; eq. 4.9 divides by its variance": best(
            variance=total**0.5
        ),
        "this multiplies by the variance 1 - abar; eq. 4.9 has its root, sigma": best(factor=noise),
    }
