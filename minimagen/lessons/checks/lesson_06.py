"""The exercises of lesson 06: DDPM's step, the DDIM step, a subset of steps."""

import torch

from minimagen.ddpm import cosine_betas, linear_betas, q_posterior
from minimagen.lessons.checks import Wrong, blank, exercise, same
from minimagen.lessons.checks.inputs import normal
from minimagen.noise import from_betas


@exercise("6.1", points=2, minutes=10)
def ex_6_1(ddpm_step) -> None:
    """ddpm_step(x, eps, k, betas, noise) -> x of index k - 1, equation 6.4 with gamma = 0,
    from eps; no noise at k = 0.
    """
    x, eps, noise = (normal(2, 3, 2, 2, seed=seed) for seed in (61, 62, 63))
    betas = linear_betas(20) * 5
    for k in (7, 19):
        right, faults = _step_back(x, eps, k, betas, noise)
        same(ddpm_step(x, eps, k, betas, noise), right, faults, what=f"the result at k = {k}")
    mean = (x - betas[0].sqrt() * eps) / (1 - betas[0]).sqrt()
    all_gone = torch.cumprod(1 - betas, 0)[-1]
    faults = {
        "at k = 0 abar[k - 1] reads the last entry of the table; before the first entry abar is "
        "1": mean + (1 - all_gone).sqrt() * noise,
        "the last step, k = 0, adds noise: abar before the first entry is 1, so its variance is "
        "0": mean + betas[0].sqrt() * noise,
    }
    same(ddpm_step(x, eps, 0, betas, noise), mean, faults, what="the result at k = 0")


def _step_back(x, eps, k: int, betas, noise) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The step of equation 6.4 from index k > 0 with gamma = 0, and what mistakes make of it."""
    abar = torch.cumprod(1 - betas, 0)
    beta, here, before = betas[k], abar[k], abar[k - 1]
    x0 = (x - (1 - here).sqrt() * eps) / here.sqrt()
    mean, variance = q_posterior(x0, x, torch.tensor([k, k]), betas)
    small, shrunk = variance.sqrt() * noise, (1 - beta).sqrt()
    return mean + small, {
        "this takes out all of the noise at once, which gives x0 hat; a step takes out only "
        "a part (eq. 6.4)": x0 + small,
        "this draws with the variance beta; asked is the smaller one, beta tilde (gamma = 0)": mean
        + beta.sqrt() * noise,
        "the noise is scaled by the variance; its scale is the root": mean + variance * noise,
        "the shrinking is not undone: divide the mean by the root of 1 - beta": mean * shrunk
        + small,
        "the mean is divided by 1 - beta; it should be its root": mean / shrunk + small,
        "the root of 1 - abar is missing under eps": (x - beta / (1 - here) * eps) / shrunk + small,
        "eps is scaled with abar of the step before; x has the noise of index k": (
            x - beta / (1 - before).sqrt() * eps
        )
        / shrunk
        + small,
        "the noise is missing: this is the mean alone": mean,
    }


@exercise("6.2", points=3, minutes=10)
def ex_6_2(ddim_step) -> None:
    """ddim_step(z, eps, abar_t, abar_s, eta, noise) -> z at level s, equations 6.3 and 6.5;
    abar_t < abar_s.
    """
    z, eps, noise = (normal(2, 3, 2, 2, seed=seed) for seed in (64, 65, 66))
    t, s = torch.tensor(0.2).double(), torch.tensor(0.6).double()

    def stepped(clean, c2, rest, c=None):
        return s.sqrt() * clean + rest.sqrt() * eps + (c2.sqrt() if c is None else c) * noise

    clean_at = lambda abar: (z - (1 - abar).sqrt() * eps) / abar.sqrt()
    for eta in (0.6, 1.0, 0.0):
        c2 = eta**2 * _bayes(t, s)
        same(
            ddim_step(z, eps, t, s, eta, noise),
            stepped(clean_at(t), c2, 1 - s - c2),
            _missteps(stepped, clean_at, eta, t, s),
            what=f"the step with eta = {eta}",
        )


def _bayes(t: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """The variance of the step back by Bayes' rule, from abar_t and abar_s."""
    return (1 - s) / (1 - t) * (1 - t / s)


def _missteps(stepped, clean_at, eta: float, t, s) -> dict[str, torch.Tensor]:
    """Faulty steps of equation 6.5; stepped(clean, c squared, variance of the old noise, c)."""
    x0, bayes, wide = clean_at(t), _bayes(t, s), eta**2 * (1 - t / s)
    c2 = eta**2 * bayes
    return {
        "fresh noise is added but no old noise taken out: the squares must add up to 1 - "
        "abar_s (eq. 6.2)": stepped(x0, c2, 1 - s),
        "eta is not squared in c squared (eq. 6.3)": stepped(x0, eta * bayes, 1 - s - eta * bayes),
        "the fresh noise is scaled by its variance; its scale is the root (eq. 6.5)": stepped(
            x0, c2, 1 - s - c2, c=c2
        ),
        "x0 hat is read off with abar_s; z holds the noise of level t": stepped(
            clean_at(s), c2, 1 - s - c2
        ),
        "this c is that of the forward jump, gamma = 1; Bayes' rule has the factor (1 - "
        "abar_s) / (1 - abar_t)": stepped(x0, wide, 1 - s - wide),
        "the clean picture is not scaled by the root of abar_s": stepped(
            x0 / s.sqrt(), c2, 1 - s - c2
        ),
        "eta has no effect: this is the step with eta = 0": stepped(x0, c2 * 0, 1 - s),
        "eta has no effect: this is the step with eta = 1": stepped(x0, bayes, 1 - s - bayes),
    }


@exercise("6.3", points=3, minutes=15)
def ex_6_3(subset) -> None:
    """subset(logsnrs, n) -> indices k, noise first, nearest to even log-SNRs, each once."""
    for table, n in ((linear_betas(1000), 10), (cosine_betas(200), 7), (linear_betas(1000), 80)):
        logsnrs = from_betas(table)
        marks = torch.linspace(logsnrs[-1].item(), logsnrs[0].item(), n, dtype=torch.float64)
        nearest = (logsnrs - marks[:, None]).abs().argmin(1)
        expected = torch.unique(nearest).flip(0)
        mine = subset(logsnrs, n)
        if not blank(mine):
            _judge_subset(torch.as_tensor(mine), expected, len(logsnrs), n)
        same(mine, expected, what=f"the subset of {len(expected)} steps", tolerance=1e-9)


def _judge_subset(mine: torch.Tensor, expected: torch.Tensor, count: int, n: int) -> None:
    """Name what is wrong with a subset that is not the expected one."""
    if mine.ndim != 1 or mine.shape == expected.shape and bool((mine == expected).all()):
        return
    if mine.is_floating_point() and not bool((mine == mine.round()).all()):
        raise Wrong("these are no indices: the result holds whole numbers k, not log-SNRs")
    if len(mine) > 1 and bool((mine.diff() >= 0).all()):
        raise Wrong("this walks from clean to noise; sampling goes the other way, large k first")
    if len(mine.unique()) < len(mine):
        raise Wrong(
            "an index is repeated: a step from a level to itself goes nowhere, keep each once"
        )
    even = torch.linspace(count - 1, 0, n, dtype=torch.float64)
    if mine.shape == even.shape and bool(((mine - even).abs() <= 1).all()):
        raise Wrong("these steps are even in k; asked are steps even in log-SNR")
    if mine[0] != count - 1:
        raise Wrong("the walk does not begin at the noisiest level, k = T - 1")
    if mine[-1] != 0:
        raise Wrong("the walk does not end at the cleanest level, k = 0")
