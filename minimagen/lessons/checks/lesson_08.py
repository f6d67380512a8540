"""The exercises of lesson 08: classifier-free guidance."""

import torch

from minimagen.lessons.checks import exercise, same
from minimagen.lessons.checks.inputs import normal


@exercise("8.1", points=2, minutes=10)
def ex_8_1(reguide) -> None:
    """reguide(guided, untold, w0, w) -> noise guided with Imagen's w,
    from that with Ho and Salimans' w0; 8.3, 8.4.
    """
    c, n = (
        normal(2, 3, 4, 4, seed=81),
        normal(2, 3, 4, 4, seed=82),
    )  # told the condition, told nothing
    for w0, w in ((0.5, 4.0), (3.0, 0.25)):
        guided = (1 + w0) * c - w0 * n
        step, minus = guided - n, (guided - w0 * n) / (1 + w0)
        faults = {
            "this takes w0 for Imagen's weight; the told answer lies at w0 = 0 (eq. 8.4)": n
            + w / w0 * step,
            "this guides the guided noise once more; first find where on the line it lies": w
            * guided
            + (1 - w) * n,
            "this takes w for Ho and Salimans' weight; Imagen's w = 1 is off (eq. 8.3)": n
            + (1 + w) / (1 + w0) * step,
            "this is the told noise; it still has to be guided with w (eq. 8.3)": c,
            "the sign of w0 is wrong: to get the told noise back, add w0 times the untold": w
            * minus
            + (1 - w) * n,
            "told and untold have exchanged their weights (eq. 8.3)": (1 - w) * c + w * n,
            "this scales the whole noise; only its distance from the untold noise is scaled": w
            / (1 + w0)
            * guided,
        }
        same(reguide(guided, n, w0, w), w * c + (1 - w) * n, faults, what="the guided noise")


@exercise("8.2", points=3, minutes=15)
def ex_8_2(best_rate) -> None:
    """best_rate(w, A, B) -> the drop rate in (0, 1) at which equation 8.7 is smallest."""
    w, A, B = torch.tensor(
        [[1.35, 3.0, 8.0], [2.0, 5.0, 20.0], [32.0, 4.0, 0.5]], dtype=torch.float64
    )
    a, b, u = A.sqrt(), B.sqrt(), w - 1
    faults = {
        "this is the share that is told; the drop rate is 1 minus it": w * a / (w * a + u * b),
        "this is the quotient of the rate and 1 - rate; solve it for the rate": u * b / (w * a),
        "this shares by variances; where the slope is 0, it is their roots that count": u**2
        * B
        / (w**2 * A + u**2 * B),
        "the roots of A and B are missing": u * B / (w * A + u * B),
        "the factor of the untold half is w - 1, not w (eq. 8.7)": b / (a + b),
        "A and B have exchanged their places": u * a / (w * b + u * a),
        "w and w - 1 are squared in eq. 8.7, but the root takes the square away": u**2
        * b
        / (w**2 * a + u**2 * b),
    }
    same(best_rate(w, A, B), u * b / (w * a + u * b), faults, what="the drop rate")


@exercise("8.3", points=2, minutes=10)
def ex_8_3(steer) -> None:
    """steer(untold, told, negative, w, u):
    towards the prompt with w, away from the negative prompt with u; 8.3 and 8.11.
    """
    n, c, m = (
        normal(2, 3, 4, 4, seed=seed) for seed in (83, 84, 85)
    )  # told nothing, the prompt, the negative prompt
    w, u = 3.0, 0.75
    faults = {
        "this goes towards the negative prompt; its weight needs a minus": n
        + w * (c - n)
        + u * (m - n),
        "this is eq. 8.11, where the weight of the negative prompt is tied to w": w * c
        + (1 - w) * m,
        "this is eq. 8.3, without the negative prompt": w * c + (1 - w) * n,
        "the factors must add up to 1: the negative prompt, too, is a difference from untold": n
        + w * (c - n)
        - u * m,
        "this begins at the told noise, so the prompt counts w + 1 times": c
        + w * (c - n)
        - u * (m - n),
        "the negative prompt is compared with the prompt; compare it with untold": n
        + w * (c - n)
        - u * (m - c),
        "w and u have exchanged their places": n + u * (c - n) - w * (m - n),
    }
    same(steer(n, c, m, w, u), (1 - w + u) * n + w * c - u * m, faults, what="the steered noise")
