"""The exercises of lesson 03: the step back, its variance, one term of the variational bound."""

import torch

from minimagen.ddpm import cosine_betas, linear_betas, posterior_tables
from minimagen.lessons.checks import Wrong, blank, exercise, same
from minimagen.lessons.checks.inputs import normal
from minimagen.variational import gaussian_kl


@exercise("3.1", points=3, minutes=15)
def ex_3_1(posterior_mean) -> None:
    """posterior_mean(x0, x_t, abar_s, abar_t) -> the mean of q(x_s | x_t, x0),
    equations 3.11 and 2.4; abar (B,), s < t.
    """
    x0, x_t = normal(3, 3, 3, 3, seed=31), normal(3, 3, 3, 3, seed=32)
    abar_s, abar_t = torch.tensor([0.9, 0.6, 0.2]).double(), torch.tensor([0.5, 0.4, 0.02]).double()

    def mean(s, t, c0=None, ct=None):
        r = t / s
        c0 = s.sqrt() * (1 - r) / (1 - t) if c0 is None else c0
        ct = r.sqrt() * (1 - s) / (1 - t) if ct is None else ct
        return c0 * x0 + ct * x_t

    s, t = (abar.reshape(3, 1, 1, 1) for abar in (abar_s, abar_t))
    r = t / s
    faults = {
        "the weight of x0 takes 1 - abar_t as the noise of the step from s, which is 1 - abar_t "
        "/ abar_s (eq. 2.4)": mean(s, t, c0=s.sqrt()),
        "the two weights have changed places: x0 takes the noise of the step, x_t that of the "
        "jump to s (eq. 3.11)": mean(
            s, t, c0=r.sqrt() * (1 - s) / (1 - t), ct=s.sqrt() * (1 - r) / (1 - t)
        ),
        "abar_s in the weight of x0 needs a root (eq. 3.11)": mean(s, t, c0=s * (1 - r) / (1 - t)),
        "abar_t / abar_s in the weight of x_t needs a root (eq. 3.11)": mean(
            s, t, ct=r * (1 - s) / (1 - t)
        ),
        "the weight of x0 should hold the root of abar_s, the earlier of the two": mean(
            s, t, c0=t.sqrt() * (1 - r) / (1 - t)
        ),
        "the weights are not divided by 1 - abar_t (eq. 3.11)": mean(s, t) * (1 - t),
        "this is the mean of the jump from x0, which does not look at x_t": s.sqrt() * x0,
        "abar lies along the width; reshape it to (B, 1, 1, 1), one a picture": mean(
            abar_s, abar_t
        ),
    }
    same(posterior_mean(x0, x_t, abar_s, abar_t), mean(s, t), faults, what="the mean")


@exercise("3.2", points=2, minutes=10)
def ex_3_2(beta_tilde_of) -> None:
    """beta_tilde_of(abar) -> (T,):
    the variance of q(x_{t-1} | x_t, x0), equation 3.10, from abar alone; the first is 0.
    """
    betas = cosine_betas(12)
    abar = (1 - betas).cumprod(0)
    before = torch.cat([abar.new_ones(1), abar[:-1]])
    tilde = betas * (1 - before) / (1 - abar)
    late = torch.cat([tilde[1:], tilde[-1:]])
    faults = {
        "this is beta itself, the variance of the step forward (eq. 3.10)": betas,
        "this is the fraction alone; it still has to be multiplied by beta (eq. 3.10)": (1 - before)
        / (1 - abar),
        "the fraction is upside down: 1 - abar of the earlier step belongs on top (eq. "
        "3.10)": torch.cat([tilde[:1], (betas * (1 - abar) / (1 - before))[1:]]),
        "this is the deviation; beta tilde is a variance": tilde.sqrt(),
        "the first entry should be the true one, 0, not a replacement": torch.cat(
            [tilde[1:2], tilde[1:]]
        ),
        "the first entry should be 0; before the first step abar is 1": torch.cat(
            [betas[:1], tilde[1:]]
        ),
        "abar stands where 1 - abar belongs (eq. 3.10)": betas * before / abar,
        "beta came out as 1 - abar, the noise of all the steps; that of one step is 1 - abar_t / "
        "abar_{t-1}": 1 - before,
        "the table is shifted: entry 0 belongs to the first step": late,
    }
    same(beta_tilde_of(abar), tilde, faults, what="the table of beta tilde")


@exercise("3.3", points=3, minutes=15)
def ex_3_3(step_term_of) -> None:
    """step_term_of(x0, eps, k, betas, variance, guess) -> one L_{t-1} of equation 3.8 in nats,
    averaged over the draws.
    """
    x0, eps, betas, k = (
        normal(200, seed=33) / 2 + 1,
        normal(200, seed=34),
        linear_betas(30) * 10,
        11,
    )
    result = step_term_of(x0, eps, k, betas, betas[k], _guess)
    if not blank(result) and torch.as_tensor(result).numel() > 1:
        raise Wrong("step_term_of should return one number, the mean over the draws")
    same(
        result,
        _term(x0, eps, k, betas, betas[k]),
        _term_faults(x0, eps, k, betas),
        tolerance=1e-6,
        what="the term",
    )
    other = 0.6 * betas[k]  # a variance below beta tilde, and no table of the process
    same(
        step_term_of(x0, eps, k, betas, other, _guess),
        _term(x0, eps, k, betas, other),
        what="the term with another variance",
    )


def _guess(x_t: torch.Tensor) -> torch.Tensor:
    return 0.7 * torch.tanh(x_t) + 0.2


def _term(x0, eps, k, betas, variance, *, index=None, level=None, swap=False):
    """The term itself; index, level: the k that the tables and the jump use;
    swap: the two Gaussians exchanged.
    """
    abar = (1 - betas).cumprod(0)[k if level is None else level]
    c0, _, tilde = (table[k if index is None else index] for table in posterior_tables(betas))
    off = c0 * (x0 - _guess(abar.sqrt() * x0 + (1 - abar).sqrt() * eps))
    pair = (0 * off, variance, off, tilde) if swap else (0 * off, tilde, off, variance)
    return gaussian_kl(*pair).mean()


def _term_faults(x0, eps, k, betas) -> dict[str, torch.Tensor]:
    w, right = betas[k], _term(x0, eps, k, betas, betas[k])
    c0, _, tilde = (table[k] for table in posterior_tables(betas))
    spread = (tilde / w - 1 - (tilde / w).log()) / 2
    abar = (1 - betas).cumprod(0)[k]
    error = ((x0 - _guess(abar.sqrt() * x0 + (1 - abar).sqrt() * eps)) ** 2).mean()
    loud = ((x0 - _guess(abar.sqrt() * x0 + (1 - abar) * eps)) ** 2).mean()
    return {
        "only the distance of the means is here; the part with the ratio of variances is missing "
        "(eq. 3.13)": right - spread,
        "the squared error needs the weight c0 squared: the means differ by c0 times the error "
        "(eq. 3.13)": spread + error / (2 * w),
        "c0 stands without its square (eq. 3.13)": spread + c0 * error / (2 * w),
        "the two Gaussians have changed places; the average is over q, so the ratio is beta "
        "tilde / variance": _term(x0, eps, k, betas, w, swap=True),
        "the factor 1/2 is missing (eq. 3.12)": 2 * right,
        "the jump goes to the step before: abar must be that of index k": _term(
            x0, eps, k, betas, w, level=k - 1
        ),
        "c0 and beta tilde are those of the step before: take index k": _term(
            x0, eps, k, betas, w, index=k - 1
        ),
        "the noise of the jump is scaled by the variance; the scale is its root (eq. 2.6)": spread
        + c0**2 * loud / (2 * w),
        "this is in bits; the term should be in nats": right / torch.tensor(2.0).log(),
        "this is the sum over the draws; take the mean": right * len(x0),
        "the difference of the means is divided by beta tilde; the model's variance belongs "
        "there (eq. 3.12)": spread + c0**2 * error / (2 * tilde),
        "the difference of the means is divided by the deviation; the variance belongs there "
        "(eq. 3.12)": spread + c0**2 * error / (2 * w.sqrt()),
    }
