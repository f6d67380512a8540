"""The exercises of lesson 07: classifier guidance."""

import torch

from minimagen.lessons.checks import Wrong, exercise, same
from minimagen.lessons.checks.inputs import normal
from minimagen.noise import alpha_sigma


@exercise("7.1", points=2, minutes=5)
def ex_7_1(guided_eps) -> None:
    """guided_eps(eps, toward, away, logsnr, scale) -> eps of p(x) (p(c|x) / p(c'|x))^scale,
    after equation 7.8.

    eps, toward, away (B, 3, H, W), the last two grad log p(c|x_t) and grad log p(c'|x_t); logsnr
    (B,).
    """
    eps, toward, away = (normal(3, 3, 3, 3, seed=seed) for seed in (71, 72, 73))
    logsnr, scale = torch.tensor([-1.0, 0.5, 3.0]).double(), 2.5
    alpha, sigma = alpha_sigma(logsnr, 4)
    pull = scale * (toward - away)
    faults = {
        "the sign of the shift is wrong: eps points away from the data, so a pull is subtracted "
        "(eq. 7.8)": eps + sigma * pull,
        "the gradients are scaled by the picture's alpha; eps = -sigma times the score (eq. "
        "7.8)": eps - alpha * pull,
        "the gradients are scaled by the variance sigma^2; the scale is its root (eq. 7.8)": eps
        - sigma**2 * pull,
        "sigma is missing: a gradient is added to a score, and eps = -sigma times the score": eps
        - pull,
        "the scale is missing": eps - sigma * (toward - away),
        "the scale multiplies one of the two gradients only": eps - sigma * (scale * toward - away),
        "the gradient of the unwanted class is ignored": eps - sigma * scale * toward,
        "this moves towards both classes; 1 / p(c'|x) turns the sign of its gradient": eps
        - sigma * scale * (toward + away),
        "logsnr lies along the width; sigma must be (B, 1, 1, 1), one a picture": eps
        - sigma.flatten() * pull,
    }
    same(
        guided_eps(eps, toward, away, logsnr, scale),
        eps - sigma * pull,
        faults,
        what="the guided eps",
    )


@exercise("7.2", points=3, minutes=10)
def ex_7_2(slope_of) -> None:
    """slope_of(classifier, z, logsnr, labels) -> grad_z log p(labels | z), like z;
    also where gradients are switched off.
    """
    weight, bias = normal(4, 12, seed=74), torch.tensor([0.5, -0.3, 0.0, 0.2]).double()
    z, labels = normal(5, 3, 2, 2, seed=75), torch.tensor([2, 0, 3, 0, 1])
    logsnr = torch.tensor([-2.0, -0.5, 0.0, 1.0, 4.0]).double()

    def classifier(z: torch.Tensor, logsnr: torch.Tensor) -> torch.Tensor:
        return alpha_sigma(logsnr, 2)[0] * z.flatten(1) @ weight.T + bias

    p = classifier(z, logsnr).softmax(1)
    towards_each_class = alpha_sigma(logsnr, 3)[0] * (weight - (p @ weight)[:, None])
    pull, rows = towards_each_class.reshape(5, 4, *z.shape[1:]), torch.arange(5)
    right, own = pull[rows, labels], p[rows, labels].reshape(5, 1, 1, 1)
    logit = (alpha_sigma(logsnr, 2)[0] * weight[labels]).reshape(z.shape)
    faults = {
        "this is the gradient of the probability; guidance wants that of its logarithm": own
        * right,
        "this is the gradient of the logit; log p also has the sum over all classes: use "
        "log_softmax": logit,
        "this is the gradient of the loss -log p, which points away from the class": -right,
        "this is the gradient of the mean over the batch; each row needs its own, so add the "
        "rows up": right / 5,
        "this adds up log p of every class; pick the entry of each row's own label "
        "(gather)": pull.sum(1),
        "every row got the labels of all rows; pick one entry a row (gather)": pull[:, labels].sum(
            1
        ),
    }
    same(slope_of(classifier, z, logsnr, labels), right, faults, what="the gradient")
    if z.requires_grad:
        raise Wrong(
            "your function changed the z that it was given: take z.detach() before you ask for a "
            "gradient"
        )
    quiet = _without_gradients(slope_of, classifier, z, logsnr, labels)
    same(quiet, right, what="the gradient where gradients are switched off")


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


@exercise("7.3", points=2, minutes=5)
def ex_7_3(scale_for) -> None:
    """scale_for(before, after) -> the scale that sharpens the probability of one of two classes,
    equation 7.11; all (B,).
    """
    before, after = (
        torch.tensor([0.6, 0.8, 0.3, 0.9]).double(),
        torch.tensor([0.9, 0.99, 0.1, 0.6]).double(),
    )
    right, gain = torch.logit(after) / torch.logit(before), torch.logit(after) - torch.logit(before)
    faults = {
        "this is the quotient of the probabilities; guidance multiplies the log-odds (eq. "
        "7.11)": after / before,
        "p^scale alone is no probability: divide by the sum over both classes, then "
        "solve": after.log() / before.log(),
        "this is the quotient of the odds; the scale multiplies their logarithms": gain.exp(),
        "this is upside down: it leads from after to before": 1 / right,
        "this is the difference of the log-odds; the scale multiplies them": gain,
    }
    same(scale_for(before, after), right, faults, what="the scale")


@exercise("7.4", points=3, minutes=10)
def ex_7_4(guided_v) -> None:
    """guided_v(v, slope, logsnr, scale) -> v with both its parts guided,
    from v = alpha eps - sigma x0, eq. 7.8 and 7.9.
    """
    v, slope = normal(3, 3, 4, 4, seed=76), normal(3, 3, 4, 4, seed=77)
    logsnr, scale = torch.tensor([-1.5, 0.4, 2.0]).double(), 3.0
    alpha, sigma = alpha_sigma(logsnr, 4)
    pull = scale * slope
    of_eps, of_x0 = alpha * sigma * pull, sigma**3 / alpha * pull
    faults = {
        "this is the shift of eps; v also holds x0, which moves too (eq. 7.9)": v - sigma * pull,
        "this is the shift of x0; v also holds eps, and x0 enters with a minus": v
        + sigma**2 / alpha * pull,
        "this moves eps inside v, and forgets that x0 moves with it (eq. 7.9)": v - of_eps,
        "this moves x0 inside v, and forgets that eps moves with it (eq. 7.8)": v - of_x0,
        "the sign of the shift is wrong: both parts of v move against the gradient": v
        + sigma / alpha * pull,
        "the two parts add up: alpha eps falls, and -sigma x0 falls as well": v - of_eps + of_x0,
        "the scale is missing": v - sigma / alpha * slope,
    }
    same(guided_v(v, slope, logsnr, scale), v - sigma / alpha * pull, faults, what="the guided v")
