"""Answers to the exercises of lesson 03: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import math

import torch
from torch.distributions import Normal, kl_divergence

from minimagen.ddpm import posterior_tables, q_posterior


def wide(abar):
    return abar.reshape(-1, 1, 1, 1)


def mean_by_precision(x0, x_t, abar_s, abar_t):
    """The two sources of knowledge about x_s, each with its precision."""
    s, t = wide(abar_s), wide(abar_t)
    r = t / s
    from_t, from_0 = r / (1 - r), 1 / (1 - s)
    return (from_t * x_t / r.sqrt() + from_0 * s.sqrt() * x0) / (from_t + from_0)


def mean_by_loop(x0, x_t, abar_s, abar_t):
    means = []
    for x, z, s, t in zip(x0, x_t, abar_s.tolist(), abar_t.tolist(), strict=True):
        pull = math.sqrt(s * t) / s * (1 - s) / (1 - t)
        means.append(
            math.sqrt(s) * x + pull * (z - math.sqrt(t) * x)
        )  # the mean of x_s, corrected by what x_t tells
    return torch.stack(means)


def weighted(c0, ct):
    """An answer to 3.1 with these weights, functions of (abar_s, abar_t)."""
    return lambda x0, x_t, s, t: c0(wide(s), wide(t)) * x0 + ct(wide(s), wide(t)) * x_t


def c0_right(s, t):
    return s.sqrt() * (1 - t / s) / (1 - t)


def ct_right(s, t):
    return (t / s).sqrt() * (1 - s) / (1 - t)


def tilde_by_loop(abar):
    before, table = 1.0, []
    for now in abar.tolist():
        table.append((1 - before) * (1 - now / before) / (1 - now))
        before = now
    return table


def tilde_by_precision(abar):
    """1 / A of the lesson, for every step but the first."""
    before, now = abar[:-1], abar[1:]
    rate = 1 - now / before
    return torch.cat([abar.new_zeros(1), 1 / ((1 - rate) / rate + 1 / (1 - before))])


def tilde_wrong(make):
    """An answer to 3.2 from (abar, abar before, beta)."""

    def answer(abar):
        before = torch.cat([abar.new_ones(1), abar[:-1]])
        return make(abar, before, 1 - abar / before)

    return answer


def term_by_distributions(x0, eps, k, betas, variance, guess):
    abar = torch.exp(torch.log1p(-betas)[: k + 1].sum())
    x_t, steps = abar.sqrt() * x0 + (1 - abar).sqrt() * eps, torch.full((len(x0),), k)
    mean, tilde = q_posterior(x0, x_t, steps, betas)
    ours, _ = q_posterior(guess(x_t), x_t, steps, betas)
    return kl_divergence(
        Normal(mean, tilde.sqrt()), Normal(ours, torch.as_tensor(variance).sqrt())
    ).mean()


def term(x0, eps, k, betas, variance, guess, **fault):
    """Equation 3.13, with places to put a mistake in: jump, index, weight, first, noise."""
    abar = (1 - betas).cumprod(0)[k + fault.get("jump", 0)]
    noise = fault.get("noise", torch.sqrt)(1 - abar)
    error = (x0 - guess(abar.sqrt() * x0 + noise * eps)) ** 2
    c0, _, tilde = (table[k + fault.get("index", 0)] for table in posterior_tables(betas))
    r = tilde / variance
    weight = fault.get("weight", lambda c0, tilde: c0**2)(c0, tilde)
    return (
        fault.get("first", 1.0) * (r - 1 - r.log()) / 2 + weight * error / (2 * variance)
    ).mean()


def term_swapped(x0, eps, k, betas, variance, guess):
    abar = (1 - betas).cumprod(0)[k]
    x_t, (c0, _, tilde) = (
        abar.sqrt() * x0 + (1 - abar).sqrt() * eps,
        (table[k] for table in posterior_tables(betas)),
    )
    means = c0 * x0, c0 * guess(x_t)
    return kl_divergence(
        Normal(means[1], torch.as_tensor(variance).sqrt()), Normal(means[0], tilde.sqrt())
    ).mean()


def term_that_ignores_the_variance(x0, eps, k, betas, variance, guess):
    return term(x0, eps, k, betas, betas[k], guess)


def each_draw(x0, eps, k, betas, variance, guess):
    return torch.stack(
        [term(x, e, k, betas, variance, guess) for x, e in zip(x0, eps, strict=True)]
    )


RIGHT = {
    "3.1": [mean_by_precision, mean_by_loop],
    "3.2": [tilde_by_loop, tilde_by_precision],
    "3.3": [term, term_by_distributions],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "3.1": {
        "as the noise of the step from s": weighted(
            lambda s, t: s.sqrt() * (1 - t) / (1 - t), ct_right
        ),
        "changed places": weighted(ct_right, c0_right),
        "abar_s in the weight of x0 needs a root": weighted(
            lambda s, t: s * (1 - t / s) / (1 - t), ct_right
        ),
        "in the weight of x_t needs a root": weighted(
            c0_right, lambda s, t: t / s * (1 - s) / (1 - t)
        ),
        "the earlier of the two": weighted(lambda s, t: t.sqrt() * (1 - t / s) / (1 - t), ct_right),
        "not divided": weighted(
            lambda s, t: s.sqrt() * (1 - t / s), lambda s, t: (t / s).sqrt() * (1 - s)
        ),
        "does not look at x_t": lambda x0, x_t, s, t: wide(s).sqrt() * x0,
        "lies along the width": lambda x0, x_t, s, t: c0_right(s, t) * x0 + ct_right(s, t) * x_t,
    },
    "3.2": {
        "this is beta itself": tilde_wrong(lambda now, before, beta: beta),
        "the fraction alone": tilde_wrong(lambda now, before, beta: (1 - before) / (1 - now)),
        "upside down": tilde_wrong(
            lambda now, before, beta: torch.where(
                before < 1, beta * (1 - now) / (1 - before), torch.zeros_like(now)
            )
        ),
        "this is the deviation": lambda abar: torch.tensor(tilde_by_loop(abar)).double().sqrt(),
        "not a replacement": lambda abar: [tilde_by_loop(abar)[1], *tilde_by_loop(abar)[1:]],
        "before the first step abar is 1": lambda abar: [
            1 - abar[0].item(),
            *tilde_by_loop(abar)[1:],
        ],
        "abar stands where": tilde_wrong(lambda now, before, beta: before / now * beta),
        "the noise of all the steps": tilde_wrong(
            lambda now, before, beta: (1 - before) / (1 - now) * (1 - now)
        ),
        "shifted": lambda abar: [*tilde_by_loop(abar)[1:], tilde_by_loop(abar)[-1]],
        "the shape": lambda abar: tilde_by_loop(abar)[1:],
    },
    "3.3": {
        "ratio of variances is missing": lambda *case: term(*case, first=0.0),
        "needs the weight c0 squared": lambda *case: term(*case, weight=lambda c0, tilde: 1.0),
        "without its square": lambda *case: term(*case, weight=lambda c0, tilde: c0),
        "changed places": term_swapped,
        "the factor 1/2": lambda *case: 2 * term(*case),
        "the jump goes to the step before": lambda *case: term(*case, jump=-1),
        "those of the step before": lambda *case: term(*case, index=-1),
        "scaled by the variance": lambda *case: term(*case, noise=lambda n: n),
        "in bits": lambda *case: term(*case) / math.log(2),
        "the sum over the draws": lambda x0, *case: len(x0) * term(x0, *case),
        "divided by beta tilde": lambda *case: term(
            *case, weight=lambda c0, tilde: c0**2 * case[4] / tilde
        ),
        "divided by the deviation": lambda *case: term(
            *case, weight=lambda c0, tilde: c0**2 * case[4] ** 0.5
        ),
        "with another variance": term_that_ignores_the_variance,
        "one number": each_draw,
    },
}
