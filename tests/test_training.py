"""Lessons 05 and 11: the loop, the averaged weights, and the learning rate."""

import math

import pytest
import torch
from conftest import TINY
from small_runs import seeded, take
from torch import nn

from minimagen.conditioning import Cond, Text
from minimagen.denoiser import Denoiser
from minimagen.guidance import drop_text
from minimagen.noise import ALL, Share, cosine
from minimagen.objective import Objective
from minimagen.training import MAX_NORM, averaged, train, warm_then_cool
from minimagen.unet import UNet


class Constant(nn.Module):
    """A network that says the same number everywhere: every loss and gradient is known in closed
    form.
    """

    def __init__(self, value=0.0):
        super().__init__()
        self.value = nn.Parameter(torch.tensor([value]))

    def forward(self, z, logsnr, cond):
        return self.value.expand_as(z)


def pictures(value=1.0, batch=8):
    """The same flat picture again and again, and with each a text."""
    while True:
        text = Text(torch.ones(batch, 2, 16), torch.ones(batch, 2, dtype=torch.bool))
        yield torch.full((batch, 3, 4, 4), value), Cond(text)


def sgd(denoiser, rate=0.1):
    return torch.optim.SGD(denoiser.parameters(), lr=rate)


# the loop


def test_the_loss_falls_as_the_closed_form_says():
    """Predicting x0 = 1/4 by a constant c: loss (c - 1/4)^2, and each step of rate r multiplies c -
    1/4 by 1 - 2 r.
    """
    denoiser = Denoiser(Constant(), "x0")
    steps = take(20, train(denoiser, pictures(0.25), cosine, sgd(denoiser), generator=seeded()))
    for k, step in enumerate(steps):
        assert step.loss == pytest.approx(0.0625 * 0.8 ** (2 * k), rel=1e-4)
        assert step.norm == pytest.approx(0.5 * 0.8**k, rel=1e-4)
        assert step.losses.shape == step.logsnr.shape == (8,)


def test_a_network_learns_one_picture():
    """80 steps on one picture of -1 and 1: the loss begins at 1, and over the last 20 steps its
    mean is below a tenth.
    """
    torch.manual_seed(0)
    denoiser = Denoiser(UNet(TINY["base"]), "x0")
    x0 = (torch.rand(1, 3, 8, 8, generator=seeded(1)) * 2 - 1).sign().expand(8, -1, -1, -1)
    batches = ((x0, cond) for _, cond in pictures())
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=3e-3)
    losses = [
        step.loss
        for step in take(80, train(denoiser, batches, cosine, optimizer, generator=seeded()))
    ]
    assert losses[0] == pytest.approx(1)
    assert sum(losses[-20:]) / 20 < 0.1


def test_the_times_are_uniform():
    """Levels by a schedule that is the identity: 4000 draws, Kolmogorov and Smirnov's distance."""
    denoiser = Denoiser(Constant(), "x0")
    steps = take(
        20, train(denoiser, pictures(batch=200), lambda t: t, sgd(denoiser), generator=seeded())
    )
    times = torch.cat([step.logsnr for step in steps]).sort().values
    assert (times - torch.arange(1, 4001) / 4000).abs().max() < 1.95 / math.sqrt(4000)


def test_a_gradient_is_shortened_to_its_greatest_length():
    """A weight of a million makes the gradient 2e6 long; a step of rate 1 then moves the constant
    by MAX_NORM and no more.
    """
    denoiser = Denoiser(Constant(), "x0")
    huge = Objective(cosine, lambda logsnr: torch.full_like(logsnr, 1e6))
    step = next(train(denoiser, pictures(), huge, sgd(denoiser, 1.0), generator=seeded()))
    assert step.norm == pytest.approx(2e6, rel=1e-4)
    assert denoiser.net.value.item() == pytest.approx(MAX_NORM, rel=1e-4)
    denoiser = Denoiser(Constant(), "x0")
    next(train(denoiser, pictures(0.25), cosine, sgd(denoiser, 1.0), generator=seeded()))
    assert denoiser.net.value.item() == pytest.approx(0.5, rel=1e-4)  # a short one is left as it is


def test_the_loss_is_weighted_by_its_level():
    denoiser = Denoiser(Constant(), "x0")
    objective = Objective(cosine, lambda logsnr: torch.where(logsnr > 0, 0.5, 0.0))
    steps = train(denoiser, pictures(batch=64), objective, sgd(denoiser), generator=seeded())
    step = next(steps)
    share = (step.logsnr > 0).float().mean().item()
    assert 0.2 < share < 0.8
    assert step.loss == pytest.approx(0.5 * share)
    assert torch.allclose(step.losses, torch.ones(64))  # reported without the weight
    assert denoiser.net.value.item() == pytest.approx(0.1 * 2 * 0.5 * share, rel=1e-4)


def test_a_schedule_alone_is_the_objective_in_which_all_levels_count_the_same():
    def losses(objective):
        denoiser = Denoiser(Constant(), "x0")
        steps = train(denoiser, pictures(), objective, sgd(denoiser), generator=seeded())
        return [step.loss for step in take(3, steps)]

    assert losses(cosine) == losses(Objective(cosine))


def test_the_generator_decides_levels_and_noise():
    def run(seed):
        torch.manual_seed(0)
        denoiser = Denoiser(UNet(TINY["base"]), "eps")
        return [
            step.losses
            for step in take(
                2, train(denoiser, pictures(), cosine, sgd(denoiser), generator=seeded(seed))
            )
        ]

    assert all(torch.equal(a, b) for a, b in zip(run(3), run(3), strict=True))
    assert not torch.equal(run(3)[0], run(4)[0])


def test_no_batch_is_taken_before_it_is_asked_for():
    denoiser, taken = Denoiser(Constant(), "x0"), []
    batches = (taken.append(1) or batch for batch in pictures())
    steps = train(denoiser, batches, cosine, sgd(denoiser), generator=seeded())
    assert len(taken) == 0
    next(steps)
    assert len(taken) == 1


def test_data_that_is_no_number_stops_the_loop():
    denoiser = Denoiser(Constant(), "x0")
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0"):
        next(train(denoiser, pictures(math.nan), cosine, sgd(denoiser), generator=seeded()))
    assert denoiser.net.value.item() == 0  # and no step was taken


def test_each_process_keeps_its_share_of_the_same_batch():
    def step(share):
        torch.manual_seed(0)
        denoiser = Denoiser(UNet(TINY["base"]), "eps")
        optimizer = sgd(denoiser)
        own = ((x0[share.rank :: share.world], cond[share.rank :: share.world])
               for x0, cond in pictures())  # fmt: skip
        steps = train(denoiser, own, cosine, optimizer, share=share, generator=seeded())
        return next(steps)

    whole, shares = step(ALL), [step(Share(rank, 2)) for rank in range(2)]
    torch.testing.assert_close(
        torch.stack([share.losses for share in shares], 1).flatten(), whole.losses
    )
    assert torch.equal(torch.stack([share.logsnr for share in shares], 1).flatten(), whole.logsnr)


def test_text_may_lie_on_another_device_than_the_pictures():
    """As on a GPU, where the pictures come from memory and the text from the encoder's device."""
    x0, cond = next(pictures())
    ((_, dropped),) = drop_text([(x0, cond.to("meta"))], 0.5, seeded())
    assert dropped.text.mask.is_meta


# averaged weights and learning rate


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_average_has_its_closed_form(decay):
    """w = 1, 4, 9, ...: ema_0 = w_0, then ema <- d ema + (1 - d) w with d = min(decay, (1 + n) /
    (10 + n)).
    """
    denoiser = Denoiser(Constant(), "x0")
    ema, wanted = averaged(denoiser, decay), None
    for n in range(30):
        with torch.no_grad():
            denoiser.net.value.fill_((n + 1) ** 2)
        ema.update_parameters(denoiser)
        d = 0.0 if n == 0 else min(decay, (1 + n) / (10 + n))
        wanted = (n + 1) ** 2 if n == 0 else d * wanted + (1 - d) * (n + 1) ** 2
        assert ema.module.net.value.item() == pytest.approx(wanted, rel=1e-5)
    assert denoiser.net.value.item() == 900


def test_the_rate_warms_stays_and_cools_to_nothing():
    rate = [warm_then_cool(step, 100, 10) for step in range(101)]
    assert rate[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rate[10:71] == [1.0] * 61
    assert rate[70:] == pytest.approx([1 - i / 30 for i in range(31)])
    assert rate[100] == 0
    assert warm_then_cool(75, 100, 10, cool=0.5) == pytest.approx(0.5)
