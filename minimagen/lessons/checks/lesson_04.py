"""The exercises of lesson 04: the posterior mean in the noise, the loss of DDPM and its floor, the
best prediction for a mixture, the score, and a broken sampler.

Longer than 300 lines because each of some fifty mistakes is written down as what it computes.
"""

import torch

from minimagen.ddpm import cosine_betas, linear_betas
from minimagen.lessons.checks import chosen, compare, derive, exercise
from minimagen.lessons.checks.inputs import normal

derive("4.1", points=5, minutes=15)


def _guess(x, k):
    """A network of a line, which looks at the picture and at the step."""
    return 0.3 * x + 0.01 * k.reshape(-1, *[1] * (x.ndim - 1))


def _kept(x0, k, betas):
    return (1 - betas).cumprod(0)[k].reshape(-1, *[1] * (x0.ndim - 1))


def _losses(error):
    return error.square().flatten(1).mean(1)


def _noise_loss(net, x0, k, eps, betas, jump=None, aim=lambda x0, eps: eps):
    """The right loss; jump (x0, eps, kept) -> x_t and aim (x0, eps) may be wrong."""
    kept = _kept(x0, k, betas)
    x_t = jump(x0, eps, kept) if jump else kept.sqrt() * x0 + (1 - kept).sqrt() * eps
    return _losses(aim(x0, eps) - net(x_t, k))


def _jump(jump):
    return lambda *arguments: _noise_loss(*arguments, jump=jump)


def _along_the_last_axis(net, x0, k, eps, betas):
    kept = (1 - betas).cumprod(0)[k]
    kept = kept[[i % len(k) for i in range(x0.shape[-1])]]
    return _losses(eps - net(kept.sqrt() * x0 + (1 - kept).sqrt() * eps, k))


LOSS_FAULTS = {
    "the noise is scaled by its variance 1 - abar; its scale is the root of that (eq. 2.6)": _jump(
        lambda x0, eps, kept: kept.sqrt() * x0 + (1 - kept) * eps
    ),
    "the picture is scaled by abar; its scale is the root of abar (eq. 2.6)": _jump(
        lambda x0, eps, kept: kept * x0 + (1 - kept).sqrt() * eps
    ),
    "both roots are missing: abar and 1 - abar are variances (eq. 2.6)": _jump(
        lambda x0, eps, kept: kept * x0 + (1 - kept) * eps
    ),
    "picture and noise have exchanged their scales": _jump(
        lambda x0, eps, kept: (1 - kept).sqrt() * x0 + kept.sqrt() * eps
    ),
    "the picture is not shrunk: it is multiplied by the root of abar": _jump(
        lambda x0, eps, kept: x0 + (1 - kept).sqrt() * eps
    ),
    "the noise is taken away in the jump; it must be added": _jump(
        lambda x0, eps, kept: kept.sqrt() * x0 - (1 - kept).sqrt() * eps
    ),
    "the network must see the noisy picture x_t, not the clean one": _jump(
        lambda x0, eps, kept: x0
    ),
    "this uses 1 - beta of one step; the jump needs the product of all steps so far (eq. 2.5)": (
        lambda net, x0, k, eps, betas: _noise_loss(
            net,
            x0,
            k,
            eps,
            betas,
            lambda x0, eps, kept: (
                (1 - betas[k].reshape(kept.shape)).sqrt() * x0
                + betas[k].reshape(kept.shape).sqrt() * eps
            ),
        )
    ),
    "this uses abar of the step before; entry k of the table belongs to this step": (
        lambda net, x0, k, eps, betas: _losses(eps - net(_x_t(x0, eps, _kept(x0, k - 1, betas)), k))
    ),
    "this compares with the clean picture; the network predicts the noise": (
        lambda *arguments: _noise_loss(*arguments, aim=lambda x0, eps: x0)
    ),
    "this is the sum over the pixels; take their mean": (
        lambda net, x0, *rest: _noise_loss(net, x0, *rest) * x0[0].numel()
    ),
    "the error is not squared": lambda net, x0, k, eps, betas: (
        (eps - net(_x_t(x0, eps, _kept(x0, k, betas)), k)).abs().flatten(1).mean(1)
    ),
    "this is the root of the mean squared error; leave the root out": (
        lambda *arguments: _noise_loss(*arguments).sqrt()
    ),
    "this is one number for the whole batch; return one for each picture": (
        lambda *arguments: _noise_loss(*arguments).mean()
    ),
    "abar lies along the last axis of the picture; reshape it to (B, 1, ..., 1)": (
        _along_the_last_axis
    ),
}


def _x_t(x0, eps, kept):
    return kept.sqrt() * x0 + (1 - kept).sqrt() * eps


@exercise("4.2", points=4, minutes=10)
def ex_4_2(noise_loss) -> None:
    """noise_loss(net, x0, k, eps, betas) -> (B,), the squared error of equation 4.6, a mean over
    each picture.
    """
    cases = [
        (_guess, normal(*shape, seed=seed), k, normal(*shape, seed=seed + 1), betas)
        for shape, k, betas, seed in (
            ((3, 3, 4, 3), torch.tensor([5, 40, 20]), 5 * linear_betas(50), 420),
            ((2, 1, 2, 2), torch.tensor([60, 3]), cosine_betas(80), 422),
            ((4, 4), torch.tensor([1, 11, 7, 4]), 10 * linear_betas(12), 424),
        )
    ]
    compare(noise_loss, _noise_loss, cases, LOSS_FAULTS, what="the loss")


@exercise("4.3", points=2, minutes=5, kind="predict")
def ex_4_3(highest_floor) -> None:
    """highest_floor() -> (where, why): where the floor of the loss is highest."""
    chosen(
        highest_floor,
        ("a", "3"),
        {
            "b": "in the middle much of the noise can be read off: look at the slope of Figure 2",
            "c": "at the last steps x_t is nearly the noise itself, so it is known almost exactly",
            "d": "the noise is equally strong at every step, but not equally well seen",
            "1": "the loss measures eps, whose variance is always 1, and not sigma eps",
            "2": "that is the error of the answer 0; a good prediction does better at some steps",
            "4": "the posterior of x0 is wide at the noisy end, where eps is known best",
        },
    )


def _mixture(x, abar, centres, shares, std, part=lambda total, noise: (total, total, noise**0.5)):
    """E[eps | x]; part (total, noise) -> variance in the chance, in the slope, and the factor."""
    noise = 1 - abar
    in_chance, in_slope, factor = part(abar * std**2 + noise, noise)
    return _weighted(x - 0, abar**0.5 * centres, shares.log(), in_chance, factor / in_slope)


def _weighted(x, centres, prior, variance, slope):
    error = x[:, None] - centres
    chance = (prior - error.square().sum(2) / (2 * variance)).softmax(1)
    return slope * (chance[:, :, None] * error).sum(1)


def _slope(abar, std):
    return (1 - abar) ** 0.5 / (abar * std**2 + 1 - abar)


def _changed(part):
    return lambda *arguments: _mixture(*arguments, part=part)


def _nearest(x, abar, centres, shares, std):
    error = x[:, None] - abar**0.5 * centres
    nearest = error.square().sum(2).argmin(1)
    return _slope(abar, std) * error[torch.arange(len(x)), nearest]


MIXTURE_FAULTS = {
    "the shares are missing: they are the prior of each component": (
        lambda x, abar, centres, shares, std: _mixture(x, abar, centres, shares**0, std)
    ),
    "the shares enter as they are; the softmax needs their logarithm": (
        lambda x, abar, centres, shares, std: _weighted(
            x, abar**0.5 * centres, shares, abar * std**2 + 1 - abar, _slope(abar, std)
        )
    ),
    "the chance of a component forgets std: x has the variance abar std^2 + 1 - abar": _changed(
        lambda total, noise: (noise, total, noise**0.5)
    ),
    "the noise of a component forgets std: some of the error is the picture's own (eq. "
    "4.9)": _changed(lambda total, noise: (total, noise, noise**0.5)),
    "std is missing: these are the points of eq. 4.8, not yet blurred": _changed(
        lambda total, noise: (noise, noise, noise**0.5)
    ),
    "the centres are not scaled by alpha, as the picture in x is": (
        lambda x, abar, centres, shares, std: _mixture(x, abar, centres / abar**0.5, shares, std)
    ),
    "the centres are scaled by abar; alpha is its root": (
        lambda x, abar, centres, shares, std: _mixture(x, abar, centres * abar**0.5, shares, std)
    ),
    "the half in the exponent of the Gaussian is missing": _changed(
        lambda total, noise: (total / 2, total, noise**0.5)
    ),
    "this divides by the standard deviation of x; eq. 4.9 divides by its variance": _changed(
        lambda total, noise: (total, total**0.5, noise**0.5)
    ),
    "this multiplies by the variance 1 - abar; eq. 4.9 has its root, sigma": _changed(
        lambda total, noise: (total, total, noise)
    ),
    "this is the estimate of the clean picture, not of the noise": (
        lambda x, abar, *rest: (x - (1 - abar) ** 0.5 * _mixture(x, abar, *rest)) / abar**0.5
    ),
    "this is the score, -eps / sigma; the noise was asked for": (
        lambda x, abar, *rest: -_mixture(x, abar, *rest) / (1 - abar) ** 0.5
    ),
    "this takes the nearest centre alone; every component counts with its chance": _nearest,
    "this weights the components by their shares, without looking at x": (
        lambda x, abar, centres, shares, std: (
            _slope(abar, std) * (x - abar**0.5 * (shares[:, None] * centres).sum(0))
        )
    ),
}


@exercise("4.4", points=4, minutes=15)
def ex_4_4(exact_eps) -> None:
    """exact_eps(x, abar, centres, shares, std) -> E[eps | x] of a mixture of N(centres_i, std^2 I),
    equations 4.8 and 4.9.
    """
    shares = [torch.tensor(row).double() for row in ([0.1, 0.6, 0.3], [0.8, 0.2], [0.25] * 4)]
    cases = [
        (normal(5, 2, seed=440), 0.6, 1.5 * normal(3, 2, seed=441), shares[0], 0.7),
        (normal(4, 3, seed=442), 0.25, 2 * normal(2, 3, seed=443), shares[1], 0.4),
        (normal(2, 1, seed=444), 0.9, normal(4, 1, seed=445), shares[2], 1.2),
    ]
    compare(exact_eps, _mixture, cases, MIXTURE_FAULTS, what="the noise")


def _score_and_mean(x, eps, k, betas, score=None, mean=None):
    """(score, mean); score (eps, abar) and mean (x, eps, score, beta, abar) may be wrong."""
    abar, right = (1 - betas).cumprod(0)[k], None
    right = -eps / (1 - abar) ** 0.5
    moved = (x + betas[k] * right) / (1 - betas[k]) ** 0.5
    return (
        score(eps, abar) if score else right,
        mean(x, eps, right, betas[k], abar) if mean else moved,
    )


def _wrong(score=None, mean=None):
    return lambda *arguments: _score_and_mean(*arguments, score=score, mean=mean)


def _score_leads(score):
    """The mean by eq. 4.3 with a wrong score in it, as whoever computes it from the score has."""

    def wrong(x, eps, k, betas):
        value = score(eps, (1 - betas).cumprod(0)[k])
        return value, (x + betas[k] * value) / (1 - betas[k]) ** 0.5

    return wrong


SCORES = {
    "the sign of the score is missing: it points away from the noise (eq. 4.12)": (
        lambda eps, abar: eps / (1 - abar) ** 0.5
    ),
    "this divides by sigma^2, the variance; the score divides by sigma (eq. 4.12)": (
        lambda eps, abar: -eps / (1 - abar)
    ),
    "the score divides the noise by sigma (eq. 4.12); this does not": lambda eps, abar: -eps,
    "the score divides by sigma; this multiplies by it": lambda eps, abar: -eps * (1 - abar) ** 0.5,
    "this divides by alpha; the score divides by sigma, the scale of the noise (eq. 4.12)": (
        lambda eps, abar: -eps / abar**0.5
    ),
}

MEANS = {
    "the mean moves up the score, by + beta times score": (
        lambda x, eps, score, beta, abar: (x - beta * score) / (1 - beta) ** 0.5
    ),
    "with the score no root stays beside beta: sigma cancels": (
        lambda x, eps, score, beta, abar: (x + beta / (1 - abar) ** 0.5 * score) / (1 - beta) ** 0.5
    ),
    "beta belongs to the noise divided by sigma, not to the noise itself (eq. 4.3)": (
        lambda x, eps, score, beta, abar: (x - beta * eps) / (1 - beta) ** 0.5
    ),
    "the mean is not rescaled: divide by the root of 1 - beta (eq. 4.3)": (
        lambda x, eps, score, beta, abar: x + beta * score
    ),
    "this rescales by alpha, as if to the clean picture; one step back takes the root of 1 - "
    "beta": lambda x, eps, score, beta, abar: (x + beta * score) / abar**0.5,
    "this rescales by 1 - beta; one step back takes its root (eq. 4.3)": (
        lambda x, eps, score, beta, abar: (x + beta * score) / (1 - beta)
    ),
    "this is x0 hat, the clean picture of eq. 4.2, not the mean one step back": (
        lambda x, eps, score, beta, abar: (x - (1 - abar) ** 0.5 * eps) / abar**0.5
    ),
}


@exercise("4.5", points=3, minutes=10)
def ex_4_5(score_and_mean) -> None:
    """score_and_mean(x, eps, k, betas) -> (score, mean of the reverse step),
    equations 4.12 and 4.3; k an index of the table.
    """
    cases = [
        (normal(4, 2, seed=450), normal(4, 2, seed=451), 20, 5 * linear_betas(50)),
        (normal(3, seed=452), normal(3, seed=453), 7, cosine_betas(30)),
        (normal(2, 3, 2, seed=454), normal(2, 3, 2, seed=455), 55, 3 * linear_betas(80)),
    ]
    faults = {
        "this uses abar of the step before; entry k of the table belongs to this step": (
            lambda x, eps, k, betas: (
                _score_and_mean(x, eps, k - 1, betas)[0],
                _score_and_mean(x, eps, k, betas)[1],
            )
        )
    }
    faults |= {words: _wrong(score=score) for words, score in SCORES.items()}
    faults |= {words: _wrong(mean=mean) for words, mean in MEANS.items()}
    faults |= {f"{words}, and so is the mean": _score_leads(s) for words, s in SCORES.items()}
    names = ("the score", "the mean")
    compare(score_and_mean, _score_and_mean, cases, faults, names=names)


@exercise("4.6", points=2, minutes=10, kind="diagnose")
def ex_4_6(fault_of_the_sampler) -> None:
    """fault_of_the_sampler() -> (fault, what tells) of the sampler that Figure 12 shows."""
    chosen(
        fault_of_the_sampler,
        ("B", "2"),
        {
            "A": "without fresh noise the samples come together; these are spread too widely",
            "C": "what happens to a far point when the network believes it sees a clean one?",
            "D": "noises that add up in one direction carry most points out of the frame",
            "E": "the start hardly matters: that sampler draws the letter",
            "1": "then the samples would spread less widely than the data, not more",
            "3": "the steps are told rightly here; look at how much noise is left",
            "4": "then the samples would lie far outside, at the size of 1000 steps",
            "5": "something is visibly wrong with this sampler",
        },
    )
