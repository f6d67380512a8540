"""The exercises of lesson 06: Bayes' member of the family, the DDIM step, a subset of steps,
DPM-Solver++ 2M, an error curve with a fault, early and late errors.
"""

import torch

from minimagen.ddpm import cosine_betas, linear_betas
from minimagen.lessons.checks import Wrong, blank, chosen, compare, derive, exercise
from minimagen.lessons.checks.inputs import normal
from minimagen.noise import from_betas

derive("6.1", points=4, minutes=15)


def _ddim(z, eps, abar_t, abar_s, eta, noise, **changed):
    """The right step, or one with changed parts: fresh (t, s, eta) -> variance of the new noise,
    old (s, fresh) -> variance of the old noise, scale (fresh) -> factor of the new noise, read
    (t, s) -> the level at which x0 is read off.
    """
    part = {
        "fresh": lambda t, s, eta: eta**2 * _bayes(t, s),
        "old": lambda s, fresh: 1 - s - fresh,
        "scale": lambda fresh: fresh.sqrt(),
        "read": lambda t, s: t,
    } | changed
    fresh, at = part["fresh"](abar_t, abar_s, eta), part["read"](abar_t, abar_s)
    clean = (z - (1 - at).sqrt() * eps) / at.sqrt()
    old = part["old"](abar_s, fresh).sqrt() * eps
    return abar_s.sqrt() * clean + old + part["scale"](fresh) * noise


def _bayes(t, s):
    """The variance of Bayes' reverse step, from abar_t and abar_s."""
    return (1 - s) / (1 - t) * (1 - t / s)


def _with(**changes):
    return lambda *arguments: _ddim(*arguments, **changes)


DDIM_FAULTS = {
    "fresh noise is added but the old noise is not reduced: the squares must add up to 1 - abar_s "
    "(eq. 6.2)": _with(old=lambda s, new: 1 - s),
    "eta is not squared in the variance of the fresh noise (eq. 6.3)": _with(
        fresh=lambda t, s, eta: eta * _bayes(t, s)
    ),
    "the fresh noise is scaled by its variance; its scale is the root (eq. 6.5)": _with(
        scale=lambda new: new
    ),
    "x0 hat is read off with abar_s; z holds the noise of level t": _with(read=lambda t, s: s),
    "this fresh noise is that of the forward jump, gamma = 1; Bayes' rule has the factor "
    "(1 - abar_s) / (1 - abar_t)": _with(fresh=lambda t, s, eta: eta**2 * (1 - t / s)),
    "the variance of the fresh noise is eta^2 abar_t / abar_s; look at eq. 6.3 again: it must "
    "vanish where abar_s = abar_t": _with(fresh=lambda t, s, eta: eta**2 * t / s),
    "the fresh noise has the variance eta^2 / 3, which is right for abar_t = 0.2 and abar_s = 0.6 "
    "alone": _with(fresh=lambda t, s, eta: eta**2 * torch.ones_like(t) / 3),
    "the factor (1 - abar_s) / (1 - abar_t) is written as 1/2; it is so for abar_t = 0.2 and "
    "abar_s = 0.6 alone": _with(fresh=lambda t, s, eta: eta**2 * (1 - t / s) / 2),
    "the clean picture is not scaled by the root of abar_s": (
        lambda z, eps, t, s, eta, noise: (
            _ddim(z, eps, t, s, eta, noise) + (1 - s.sqrt()) * (z - (1 - t).sqrt() * eps) / t.sqrt()
        )
    ),
    "eta has no effect: this is the step with eta = 0": _with(fresh=lambda t, s, eta: 0 * t),
    "eta has no effect: this is the step with eta = 1": _with(fresh=lambda t, s, eta: _bayes(t, s)),
}


@exercise("6.2", points=3, minutes=10)
def ex_6_2(ddim_step) -> None:
    """ddim_step(z, eps, abar_t, abar_s, eta, noise) -> z at level s, equations 6.3 and 6.5;
    abar_t < abar_s.
    """
    cases = [
        (*(normal(*shape, seed=seed + i) for i in range(2)), *levels, eta, normal(*shape, seed=69))
        for shape, levels, eta, seed in (
            ((2, 3, 2, 2), torch.tensor([0.13, 0.58]).double(), 0.6, 61),
            ((4, 2), torch.tensor([0.22, 0.45]).double(), 1.0, 63),
            ((5,), torch.tensor([0.4, 0.47]).double(), 0.0, 65),
            ((3, 1, 2), torch.tensor([0.3, 0.35]).double(), 0.25, 67),
        )
    ]
    compare(ddim_step, _ddim, cases, DDIM_FAULTS, what="the step")


def _subset(logsnrs, n):
    marks = torch.linspace(logsnrs[-1].item(), logsnrs[0].item(), n, dtype=torch.float64)
    return torch.unique((logsnrs - marks[:, None]).abs().argmin(1)).flip(0)


@exercise("6.3", points=3, minutes=15)
def ex_6_3(subset) -> None:
    """subset(logsnrs, n) -> indices k, noise first, nearest to even log-SNRs, each once."""
    tables = [from_betas(betas) for betas in (linear_betas(1000), cosine_betas(200))]
    cases = [(tables[0], 10), (tables[1], 7), (tables[0], 80), (tables[1], 23)]

    def judged(logsnrs, n):
        mine = subset(logsnrs.clone(), n)
        if blank(mine):
            return mine
        _judge_subset(mine, _subset(logsnrs, n), len(logsnrs), n)
        return _whole(mine)

    compare(judged, _subset, cases, tolerance=1e-9, what="the subset")


def _whole(mine):
    """The indices as a tensor, however they are kept; lists of 0-dimensional tensors too."""
    if not isinstance(mine, torch.Tensor) and not hasattr(mine, "dtype"):
        mine = [int(k) if float(k) == int(k) else float(k) for k in mine]
    return torch.as_tensor(mine)


def _judge_subset(mine, expected, count: int, n: int) -> None:
    """Name what is wrong with a subset that is not the expected one."""
    floats = isinstance(mine, list | tuple) and any(isinstance(k, float) for k in mine)
    mine = _whole(mine)
    if mine.ndim != 1:
        return
    if mine.is_floating_point() and not bool((mine == mine.round()).all()):
        raise Wrong("these are no indices: the result holds whole numbers k, not log-SNRs")
    if mine.is_floating_point() or floats:
        raise Wrong("the indices are floats, and no table can be read with them: give integers")
    if mine.shape == expected.shape and bool((mine == expected).all()):
        return
    if len(mine) > 1 and bool((mine.diff() >= 0).all()):
        raise Wrong("this goes from clean to noise; sampling goes the other way, large k first")
    if len(mine.unique()) < len(mine):
        raise Wrong(
            "an index is repeated: a step from a level to itself goes nowhere, keep each once"
        )
    even = torch.linspace(count - 1, 0, n, dtype=torch.float64)
    if mine.shape == even.shape and bool(((mine - even).abs() <= 1).all()):
        raise Wrong("these steps are even in k; asked are steps even in log-SNR")
    if mine[0] != count - 1:
        raise Wrong("the run does not begin at the noisiest level, k = T - 1")
    if mine[-1] != 0:
        raise Wrong("the run does not end at the cleanest level, k = 0")


def _solver(z, x0, before, logsnrs, corrected=None, half=0.5, scales=None):
    """The right step; corrected (x0, before, h, h0) -> estimate, half of a log-SNR in h, and
    scales (sigma_t, alpha_s, sigma_s) -> the same three may be wrong.
    """
    h0, h = (logsnrs.diff() * half).tolist()
    if before is not None:
        x0 = corrected(x0, before, h, h0) if corrected else x0 + h / 2 * (x0 - before) / h0
    sigma_t, alpha_s, sigma_s = (
        torch.sigmoid(-logsnrs[1]).sqrt(),
        torch.sigmoid(logsnrs[2]).sqrt(),
        torch.sigmoid(-logsnrs[2]).sqrt(),
    )
    if scales:
        sigma_t, alpha_s, sigma_s = scales(sigma_t, alpha_s, sigma_s)
    return sigma_s / sigma_t * z - alpha_s * torch.expm1(torch.tensor(-h).double()) * x0


def _solved(**changes):
    return lambda *arguments: _solver(*arguments, **changes)


SOLVER_FAULTS = {
    "this is DDIM: the estimate before is not used": _solved(
        corrected=lambda x0, before, h, h0: x0
    ),
    "the correction has the wrong sign: it extrapolates backwards": _solved(
        corrected=lambda x0, before, h, h0: x0 - h / 2 * (x0 - before) / h0
    ),
    "the quotient of the steps is upside down: it is h / h0": _solved(
        corrected=lambda x0, before, h, h0: x0 + h0 / 2 * (x0 - before) / h
    ),
    "the estimate is extrapolated to the end of the step; the middle is meant, h / 2": _solved(
        corrected=lambda x0, before, h, h0: x0 + h * (x0 - before) / h0
    ),
    "this takes the steps as equally long; the correction needs h / h0": _solved(
        corrected=lambda x0, before, h, h0: x0 + (x0 - before) / 2
    ),
    "the difference is not divided by h0, the length of the step before": _solved(
        corrected=lambda x0, before, h, h0: x0 + h / 2 * (x0 - before)
    ),
    "this is the mean of the two estimates, which looks backwards": _solved(
        corrected=lambda x0, before, h, h0: (x0 + before) / 2
    ),
    "h is a difference of whole log-SNRs; here it is one of half log-SNRs, since alpha / sigma = "
    "exp(lambda / 2)": _solved(half=1.0),
    "alpha and sigma lack their roots: sigmoid(lambda) is alpha squared": _solved(
        scales=lambda *three: [one**2 for one in three]
    ),
    "the old z is multiplied by sigma_t / sigma_s; it must shrink, sigma_s / sigma_t": (
        lambda z, x0, before, logsnrs: (
            _solver(z, x0, before, logsnrs)
            + z * (torch.exp(_log_ratio(logsnrs)) - torch.exp(-_log_ratio(logsnrs)))
        )
    ),
    "z is not shrunk: its factor sigma_s / sigma_t is missing": (
        lambda z, x0, before, logsnrs: (
            _solver(z, x0, before, logsnrs) + z * (1 - torch.exp(-_log_ratio(logsnrs)))
        )
    ),
    "the estimate has the wrong sign: e^-h - 1 is negative, and a minus stands before it": (
        lambda z, x0, before, logsnrs: _solver(-z, x0, before, logsnrs) * -1
    ),
}


def _log_ratio(logsnrs):
    """log(sigma_t / sigma_s)."""
    return (torch.sigmoid(-logsnrs[1]) / torch.sigmoid(-logsnrs[2])).log() / 2


@exercise("6.4", points=4, minutes=20)
def ex_6_4(solver_step) -> None:
    """solver_step(z, x0, x0_before or None, logsnrs (3,)) -> z at the next level, equation 6.23."""
    rows = (
        ((2, 3, 2, 2), [-3.0, -1.8, 0.4], True, 641),
        ((4, 2), [0.2, 2.1, 3.0], True, 644),
        ((5,), [-9.0, -7.5, -6.9], True, 647),
        ((3, 2), [-6.0, -1.0, 2.0], False, 650),
    )
    cases = [
        (
            normal(*shape, seed=seed),
            normal(*shape, seed=seed + 1),
            normal(*shape, seed=seed + 2) if remembers else None,
            torch.tensor(levels).double(),
        )
        for shape, levels, remembers, seed in rows
    ]
    compare(solver_step, _solver, cases, SOLVER_FAULTS, what="the next z")


@exercise("6.5", points=3, minutes=10, kind="diagnose")
def ex_6_5(fault_of_the_run) -> None:
    """fault_of_the_run() -> (fault, why) of run 4 in Figure 6."""
    chosen(
        fault_of_the_run,
        ("C", "2"),
        {
            "A": "slopes added instead of averaged make every step twice as long: where is a run "
            "whose error hardly moves from the first number of levels on?",
            "B": "one slope instead of a mean makes a method of first order: its error goes on "
            "falling",
            "D": "steps even in sigma / alpha are poor, but more of them help: which run falls "
            "from the largest error?",
            "E": "rounding is irregular; this error is the same at 80, 160 and 320 levels",
            "1": "then the error would be large from the beginning, and not fall at first",
            "3": "a method of first order has a slope of -1, and no floor",
            "4": "rounding errors change from one number of levels to the next; this stays at "
            "0.017",
            "5": "a first step that is too long gets shorter when there are more levels",
        },
    )


@exercise("6.6", points=3, minutes=5, kind="predict")
def ex_6_6(where_noise_helps) -> None:
    """where_noise_helps() -> (where, why): early or late errors, and fresh noise."""
    chosen(
        where_noise_helps,
        ("b", "2"),
        {
            "a": "after a late error no evaluation is left that could repair it",
            "c": "which errors can fresh noise replace: those already made, or those to come?",
            "d": "with P all later evaluations are right: what do they do with a wrong z?",
            "1": "the steps make no error here, but the denoiser does, and noise changes what is "
            "left of it",
            "3": "the marginal has the same variance with and without fresh noise (eq. 6.2)",
            "4": "a wrong denoiser errs in the same direction at every step: no mean removes that",
        },
    )
