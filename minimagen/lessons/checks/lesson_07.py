"""The exercises of lesson 07: the gradient of a classifier, a clean classifier on noisy points,
completing the square, guidance of a velocity, reading a scale, wrongly guided samples.
"""

import torch
from torch import nn

from minimagen.lessons.checks import Wrong, chosen, compare, derive, exercise, same
from minimagen.lessons.checks.inputs import normal
from minimagen.noise import alpha_sigma


class _Linear(nn.Module):
    """A classifier of noisy pictures that is linear in z: alpha W z + b."""

    def __init__(self, kinds: int, size: int, seed: int):
        super().__init__()
        self.weight = nn.Parameter(normal(kinds, size, seed=seed))
        self.bias = nn.Parameter(0.4 * normal(kinds, seed=seed + 1))

    def forward(self, z, logsnr):
        return alpha_sigma(logsnr, 2)[0] * z.flatten(1) @ self.weight.T + self.bias


def _pulls(classifier, z, logsnr):
    """grad_z log p(c | z) of a linear classifier for every class (B, K, ...), and p (B, K)."""
    with torch.no_grad():
        p, weight = classifier(z, logsnr).softmax(1), classifier.weight
        alpha = alpha_sigma(logsnr, 3)[0]
        every = alpha * (weight - (p @ weight)[:, None])
    return every.reshape(len(z), len(weight), *z.shape[1:]), p


def _slope(classifier, z, logsnr, labels):
    return _pulls(classifier, z, logsnr)[0][torch.arange(len(z)), labels]


def _of_probability(classifier, z, logsnr, labels):
    pulls, p = _pulls(classifier, z, logsnr)
    rows = torch.arange(len(z))
    return p[rows, labels].reshape(-1, *[1] * (z.ndim - 1)) * pulls[rows, labels]


def _of_logit(classifier, z, logsnr, labels):
    with torch.no_grad():
        return (alpha_sigma(logsnr, 2)[0] * classifier.weight[labels]).reshape(z.shape)


SLOPE_FAULTS = {
    "this is the gradient of the probability; guidance wants that of its logarithm": (
        _of_probability
    ),
    "this is the gradient of the logit; log p also has the sum over all classes: use "
    "log_softmax": _of_logit,
    "this is the gradient of the loss -log p, which points away from the class": (
        lambda *arguments: -_slope(*arguments)
    ),
    "this is the gradient of the mean over the batch; each row needs its own, so add the rows "
    "up": lambda classifier, z, logsnr, labels: _slope(classifier, z, logsnr, labels) / len(z),
    "this adds up log p of every class; pick the entry of each row's own label (gather)": (
        lambda classifier, z, logsnr, labels: _pulls(classifier, z, logsnr)[0].sum(1)
    ),
    "every row got the labels of all rows; pick one entry per row (gather)": (
        lambda classifier, z, logsnr, labels: _pulls(classifier, z, logsnr)[0][:, labels].sum(1)
    ),
    "every row got the label of the first row": (
        lambda classifier, z, logsnr, labels: _slope(
            classifier, z, logsnr, labels[:1].expand(len(z))
        )
    ),
    "this divides each gradient by its length; guidance needs the length": (
        lambda *arguments: nn.functional.normalize(_slope(*arguments).flatten(1)).reshape(
            arguments[1].shape
        )
    ),
}


@exercise("7.1", points=4, minutes=10)
def ex_7_1(slope_of) -> None:
    """slope_of(classifier, z, logsnr, labels) -> grad_z log p(labels | z), like z;
    also where gradients are switched off, and without a trace in z or in the classifier.
    """
    cases = [
        (
            _Linear(4, 12, 71),
            normal(5, 3, 2, 2, seed=73),
            torch.tensor([-2.0, -0.5, 0.0, 1.0, 4.0]).double(),
            torch.tensor([2, 0, 3, 0, 1]),
        ),
        (
            _Linear(3, 2, 74),
            normal(2, 2, seed=76),
            torch.tensor([0.3, -1.0]).double(),
            torch.tensor([2, 1]),
        ),
    ]
    compare(slope_of, _slope, cases, SLOPE_FAULTS, what="the gradient")
    for classifier, z, logsnr, labels in cases:
        _leaves_no_trace(slope_of, classifier, z.clone(), logsnr, labels)
        quiet = _without_gradients(slope_of, classifier, z.clone(), logsnr, labels)
        same(
            quiet,
            _slope(classifier, z, logsnr, labels),
            what="the gradient where gradients are switched off",
        )


def _leaves_no_trace(slope_of, classifier, z, logsnr, labels) -> None:
    slope_of(classifier, z, logsnr, labels)
    if z.requires_grad:
        raise Wrong(
            "your function changed the z that it was given: take z.detach() before you ask for a "
            "gradient"
        )
    if any(one.grad is not None for one in classifier.parameters()):
        classifier.zero_grad(set_to_none=True)
        raise Wrong(
            "backward() also adds to the gradients of the classifier's own weights: use "
            "torch.autograd.grad(total, z)"
        )


def _without_gradients(slope_of, *arguments):
    """The answer's result where gradients are switched off, as in a sampler."""
    try:
        with torch.no_grad():
            return slope_of(*arguments)
    except RuntimeError as error:
        raise Wrong(
            "a sampler runs with gradients switched off: switch them on inside, with "
            "torch.enable_grad()"
        ) from error


@exercise("7.2", points=2, minutes=5, kind="predict")
def ex_7_2(what_we_find) -> None:
    """what_we_find() -> (finding, why): a clean classifier on noisy points."""
    chosen(
        what_we_find,
        ("b", "2"),
        {
            "a": "does the mean (7.3) over a neighbourhood move the border between two classes?",
            "c": "the border stays, but how steep is log p beside it, before and after the mean?",
            "d": "noise flattens the right classifier, not the clean one",
            "1": "that holds for the right classifier; the clean one does not know of the noise",
            "3": "the exact clean rule is defined everywhere; it answers another question",
            "4": "a mean of zero noises is zero, but the answer is no linear function of the noise",
        },
    )


derive("7.3", points=4, minutes=15)


def _guided_v(v, toward, away, logsnr, scale, change=None):
    """The right v, or one with another change (alpha, sigma, scale, toward, away)."""
    alpha, sigma = alpha_sigma(logsnr, v.ndim)
    right = lambda alpha, sigma, k, c, d: -k * sigma / alpha * (c - d)
    return v + (change or right)(alpha, sigma, scale, toward, away)


def _by(change):
    return lambda *arguments: _guided_v(*arguments, change=change)


V_FAULTS = {
    "this is the shift of eps; v also holds x0, which moves too (eq. 7.9)": _by(
        lambda alpha, sigma, k, c, d: -k * sigma * (c - d)
    ),
    "this is the shift of x0; v also holds eps, and x0 enters with a minus": _by(
        lambda alpha, sigma, k, c, d: k * sigma**2 / alpha * (c - d)
    ),
    "this moves eps inside v, and forgets that x0 moves with it (eq. 7.9)": _by(
        lambda alpha, sigma, k, c, d: -k * alpha * sigma * (c - d)
    ),
    "this moves x0 inside v, and forgets that eps moves with it (eq. 7.8)": _by(
        lambda alpha, sigma, k, c, d: -k * sigma**3 / alpha * (c - d)
    ),
    "the sign of the shift is wrong: both parts of v move against the gradient": _by(
        lambda alpha, sigma, k, c, d: k * sigma / alpha * (c - d)
    ),
    "the two parts add up: alpha eps falls, and -sigma x0 falls as well": _by(
        lambda alpha, sigma, k, c, d: k * (sigma**3 / alpha - alpha * sigma) * (c - d)
    ),
    "the quotient is upside down: it grows towards pure noise, sigma / alpha": _by(
        lambda alpha, sigma, k, c, d: -k * alpha / sigma * (c - d)
    ),
    "this divides by alpha squared": _by(
        lambda alpha, sigma, k, c, d: -k * sigma / alpha**2 * (c - d)
    ),
    "the scale is missing": _by(lambda alpha, sigma, k, c, d: -sigma / alpha * (c - d)),
    "the scale has lost its sign": _by(
        lambda alpha, sigma, k, c, d: -abs(k) * sigma / alpha * (c - d)
    ),
    "the scale multiplies one of the two gradients only": _by(
        lambda alpha, sigma, k, c, d: -sigma / alpha * (k * c - d)
    ),
    "the gradient of the unwanted class is ignored": _by(
        lambda alpha, sigma, k, c, d: -k * sigma / alpha * c
    ),
    "this moves towards both classes; 1 / p(c'|x) turns the sign of its gradient": _by(
        lambda alpha, sigma, k, c, d: -k * sigma / alpha * (c + d)
    ),
    "logsnr lies along the width; alpha and sigma must be (B, 1, 1, 1), one per picture": (
        lambda v, toward, away, logsnr, scale: (
            v
            - scale
            * torch.exp(-logsnr / 2)[[i % len(v) for i in range(v.shape[-1])]]
            * (toward - away)
        )
    ),
}


@exercise("7.4", points=4, minutes=15)
def ex_7_4(guided_v) -> None:
    """guided_v(v, toward, away, logsnr, scale) -> v of p(x) (p(c|x) / p(c'|x))^scale,
    from v = alpha eps - sigma x0, eq. 7.8 and 7.9.
    """
    rows = (
        ((3, 3, 4, 3), [-1.5, 0.4, 2.0], 3.0, 740),
        ((2, 1, 2, 2), [0.0, -2.5], -1.5, 743),
        ((4, 3, 2, 4), [1.0, -0.5, 0.2, 3.0], 0.7, 746),
    )
    cases = [
        (*(normal(*shape, seed=seed + i) for i in range(3)), torch.tensor(levels).double(), scale)
        for shape, levels, scale, seed in rows
    ]
    compare(guided_v, _guided_v, cases, V_FAULTS, what="the guided v")


SCALE_FAULTS = {
    "this is the quotient of the probabilities; guidance multiplies the log-odds (eq. 7.11)": (
        lambda before, after: after / before
    ),
    "p^scale alone is no probability: divide by the sum over both classes, then solve": (
        lambda before, after: after.log() / before.log()
    ),
    "this is the quotient of the odds; the scale multiplies their logarithms": (
        lambda before, after: (torch.logit(after) - torch.logit(before)).exp()
    ),
    "this is upside down: it leads from after to before": (
        lambda before, after: torch.logit(before) / torch.logit(after)
    ),
    "this is the difference of the log-odds; the scale multiplies them": (
        lambda before, after: torch.logit(after) - torch.logit(before)
    ),
    "the scale has lost its sign: from 0.3 to 0.7 it is negative": (
        lambda before, after: (torch.logit(after) / torch.logit(before)).abs()
    ),
    "a negative scale is allowed: it turns the gradient round": (
        lambda before, after: (torch.logit(after) / torch.logit(before)).clamp(min=0)
    ),
}


@exercise("7.5", points=3, minutes=5)
def ex_7_5(scale_for) -> None:
    """scale_for(before, after) -> the scale that sharpens the probability of one of two classes,
    equation 7.11; all of one shape.
    """
    cases = [
        (
            torch.tensor([0.6, 0.85, 0.3, 0.9, 0.2]).double(),
            torch.tensor([0.9, 0.97, 0.12, 0.6, 0.65]).double(),
        ),
        (torch.tensor([[0.55], [0.07]]).double(), torch.tensor([[0.3], [0.4]]).double()),
    ]
    compare(
        scale_for,
        lambda before, after: torch.logit(after) / torch.logit(before),
        cases,
        SCALE_FAULTS,
        what="the scale",
    )


@exercise("7.6", points=3, minutes=10, kind="diagnose")
def ex_7_6(fault_of_the_run) -> None:
    """fault_of_the_run() -> (fault, what tells) of run 1 in Figure 10."""
    chosen(
        fault_of_the_run,
        ("E", "5"),
        {
            "A": "with a gradient divided by the size of the batch all classes would be there",
            "B": "a reversed gradient leads away from the squares",
            "C": "with the density counted twice at every level all samples come together; here "
            "two clumps are left",
            "D": "a clean classifier throws samples into empty space; these lie close to centres",
            "1": "look again: only the clumps of one class are there",
            "2": "look at the colours of the clumps: which class is there?",
            "3": "there are two places, not one, and each has some extent",
            "4": "hardly a sample of this run is far from a clump; what about their shapes?",
        },
    )
