"""Lessons 04 and 11: the noise levels that training sees, and how much each of them counts."""

import pytest
import torch
from small_runs import seeded

from minimagen.denoiser import Denoiser
from minimagen.noise import MAX_LOGSNR, cosine, linear
from minimagen.objective import Objective, shifted, velocity_weight


def test_the_levels_are_the_schedule_at_uniform_times_and_the_noise_is_normal():
    logsnr, eps = Objective(lambda t: t).draw(torch.zeros(4000, 1, 2, 2), seeded())
    times = logsnr.sort().values
    assert (times - torch.arange(1, 4001) / 4000).abs().max() < 1.95 / 4000**0.5
    assert eps.shape == (4000, 1, 2, 2)
    assert eps.mean().item() == pytest.approx(0, abs=4 / 16000**0.5)
    assert eps.var().item() == pytest.approx(1, abs=4 * (2 / 16000) ** 0.5)


def test_without_a_weight_the_mean_is_the_plain_one_bit_for_bit():
    losses, logsnr = torch.rand(7, generator=seeded()), torch.randn(7, generator=seeded(1))
    assert torch.equal(Objective(cosine).mean(losses, logsnr), losses.mean())


def test_the_weight_turns_the_error_of_x0_into_that_of_v():
    """The same network read as predicting x0 and as predicting v: 1 / sigma^2 between the two."""
    x0, eps = (torch.randn(5, 3, 4, 4, generator=seeded(i)) for i in range(2))
    logsnr = torch.tensor([-8.0, -2.0, 0.0, 1.0, 2.5])
    truth = Denoiser(lambda z, logsnr: torch.zeros_like(z), "x0")
    guess = lambda z, logsnr: truth(z, logsnr).v
    in_x0, in_v = truth.loss(x0, logsnr, eps), Denoiser(guess, "v").loss(x0, logsnr, eps)
    torch.testing.assert_close(velocity_weight(logsnr) * in_x0, in_v, rtol=1e-4, atol=1e-5)


def test_the_weight_has_a_cap():
    assert velocity_weight(torch.tensor([20.0])).item() == 20
    assert velocity_weight(torch.tensor([20.0]), max=5.0).item() == 5


@pytest.mark.parametrize("schedule", [cosine, linear])
def test_a_shift_moves_a_schedule_within_its_ends(schedule):
    t = torch.linspace(0, 1, 101)
    torch.testing.assert_close(shifted(schedule, -2.0)(t[2:-2]), schedule(t[2:-2]) - 2)
    assert shifted(cosine, -2.0)(t[-1:]).item() == -MAX_LOGSNR
    assert torch.equal(shifted(schedule, 0.0)(t), schedule(t))
