"""Lesson 02: log-SNR, schedules, the forward process."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minimagen.ddpm import cosine_betas, linear_betas
from minimagen.noise import alpha_sigma, cosine, diffuse, expand, from_betas, linear, randn

fixed = settings(max_examples=60)
SCHEDULES = pytest.mark.parametrize("schedule", [cosine, linear])


def test_cosine_is_the_formula_inside_and_is_zero_at_one_half():
    t = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    low, high = math.atan(math.exp(-10)), math.atan(math.exp(10))
    torch.testing.assert_close(
        cosine(t), -2 * torch.tan(low + t * (high - low)).log(), rtol=1e-12, atol=1e-12
    )
    assert abs(cosine(torch.tensor(0.5, dtype=torch.float64)).item()) < 1e-12


def test_cosine_signal_is_a_cosine():
    t = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    alpha, sigma = alpha_sigma(cosine(t), 1)
    torch.testing.assert_close(alpha, torch.cos(math.pi / 2 * t), rtol=0, atol=1e-4)
    torch.testing.assert_close(sigma, torch.sin(math.pi / 2 * t), rtol=0, atol=1e-4)


def test_linear_has_its_two_worked_values():
    values = linear(torch.tensor([0.5, 1.0], dtype=torch.float64))
    torch.testing.assert_close(
        values, torch.tensor([-2.4551, -10.0500], dtype=torch.float64), rtol=0, atol=5e-5
    )


def test_linear_is_the_integral_of_its_beta():
    t = torch.linspace(0, 0.7, 20001, dtype=torch.float64)
    log_abar = -torch.trapezoid(0.1 + 19.9 * t, t)
    assert linear(t[-1]).item() == pytest.approx(torch.logit(log_abar.exp()).item(), abs=1e-7)


def test_the_discrete_table_approaches_the_continuous_schedule():
    k = torch.tensor([99, 499, 999])
    t = (k + 1) / 1000
    assert (from_betas(linear_betas(1000))[k] - linear(t.double())).abs().max() < 7e-2
    fine = torch.linspace(
        1e-5, 0.002, 10000, dtype=torch.float64
    )  # the same beta(t), ten times as many steps
    assert (from_betas(fine)[k * 10 + 9] - linear(t.double())).abs().max() < 7e-3


@SCHEDULES
def test_a_schedule_falls_all_the_way(schedule):
    assert (schedule(torch.linspace(0, 1, 1001, dtype=torch.float64)).diff() < 0).all()


@SCHEDULES
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_schedule_is_finite_and_bounded_at_both_ends_in_every_dtype(schedule, dtype):
    tiny = torch.finfo(torch.float32).tiny
    t = torch.tensor([0.0, tiny, 1e-7, 0.5, 1 - 2**-24, 1.0]).to(dtype)
    values = schedule(t)
    assert values.dtype == torch.promote_types(dtype, torch.float32)
    assert values.isfinite().all()
    assert values.abs().max() <= 20
    assert values[0] == 20
    assert values[-1] == pytest.approx(-20 if schedule is cosine else -10.05, abs=1e-3)


@SCHEDULES
@pytest.mark.parametrize("t", [-0.01, 1.01, math.nan])
def test_a_schedule_refuses_a_time_outside_the_unit_interval(schedule, t):
    with pytest.raises(ValueError, match=r"t must lie in \[0, 1\]"):
        schedule(torch.tensor([0.5, t]))


@SCHEDULES
def test_a_schedule_keeps_the_shape_and_runs_on_meta(schedule):
    assert schedule(torch.full((2, 3), 0.5)).shape == (2, 3)
    assert schedule(torch.empty(4, device="meta")).shape == (4,)


def test_from_betas_is_the_plain_product():
    betas = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    abar = torch.tensor([0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.7], dtype=torch.float64)
    assert from_betas(betas.float()).dtype == torch.float64
    torch.testing.assert_close(from_betas(betas), torch.logit(abar), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("betas", [[0.0, 0.1], [0.1, 1.0], [0.1, math.nan], [[0.1]]])
def test_from_betas_refuses_what_is_no_table(betas):
    with pytest.raises(ValueError, match="betas must be a vector"):
        from_betas(torch.tensor(betas))


def test_the_golden_alpha_bars():
    abar = from_betas(linear_betas()).sigmoid()
    assert abar[[0, 499, 999]].tolist() == pytest.approx(
        [0.9999, 0.07858724, 4.035830e-5], rel=1e-7
    )
    assert from_betas(cosine_betas()).sigmoid()[499].item() == pytest.approx(0.49384359, abs=5e-9)
    assert from_betas(linear_betas(100)).sigmoid()[-1].item() == pytest.approx(0.3636, abs=5e-5)
    assert abar[99].item() == pytest.approx(0.8970, abs=5e-5)


@fixed
@given(st.floats(-20, 20))
def test_the_variances_add_to_one_and_their_ratio_is_the_logsnr(logsnr):
    alpha, sigma = alpha_sigma(torch.tensor([logsnr], dtype=torch.float64), 4)
    assert alpha.shape == (1, 1, 1, 1)
    assert (alpha**2 + sigma**2).item() == pytest.approx(1, abs=1e-14)
    assert 2 * torch.log(alpha / sigma).item() == pytest.approx(logsnr, abs=1e-12)


def test_diffuse_has_the_mean_and_variance_of_q():
    logsnr = torch.tensor([1.5], dtype=torch.float64)
    eps = torch.randn(1, 200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z = diffuse(torch.full((1, 200_000), 0.7, dtype=torch.float64), logsnr, eps)
    assert z.mean().item() == pytest.approx(
        0.7 * math.sqrt(1 / (1 + math.exp(-1.5))), abs=4 / math.sqrt(200_000)
    )
    assert z.var().item() == pytest.approx(1 / (1 + math.exp(1.5)), rel=0.015)


def test_a_picture_drawn_from_its_own_generator_does_not_depend_on_the_batch():
    def draw(seeds):
        return randn((len(seeds), 3, 4, 4), [torch.Generator().manual_seed(s) for s in seeds])

    together = draw([5, 6, 7])
    assert torch.equal(together[1:2], draw([6]))
    assert torch.equal(together.flip(0), draw([7, 6, 5]))
    assert not torch.equal(together[0], together[1])


def test_randn_follows_its_generator_and_what_it_is_like():
    like = torch.zeros(2, dtype=torch.float64)
    one, two = (randn((2, 3), torch.Generator().manual_seed(1), like=like) for _ in range(2))
    assert one.dtype == torch.float64
    assert torch.equal(one, two)
    assert randn((2, 3), like=torch.zeros(1, device="meta")).is_meta


def test_randn_refuses_a_wrong_number_of_generators():
    with pytest.raises(ValueError, match="generator must be one torch.Generator or 3 of them"):
        randn((3, 2), [torch.Generator()] * 2)


def test_diffuse_agrees_with_diffusers():
    schedulers = pytest.importorskip("diffusers")
    g = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(4, 3, 8, 8, generator=g), torch.randn(4, 3, 8, 8, generator=g)
    k = torch.tensor([0, 10, 500, 999])
    theirs = schedulers.DDPMScheduler(beta_schedule="linear").add_noise(x0, eps, k)
    ours = diffuse(x0, from_betas(linear_betas())[k].float(), eps)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)  # its table is float32


def test_expanded_values_multiply_pictures_one_each():
    values, pictures = torch.tensor([2.0, 3.0]), torch.ones(2, 3, 4, 4)
    assert expand(values, 4).shape == (2, 1, 1, 1)
    assert (expand(values, 4) * pictures)[1].unique().tolist() == [3.0]
    assert expand(torch.ones(2, 5), 4).shape == (2, 5, 1, 1)
    assert expand(torch.tensor(1.0), 2).shape == (1, 1)
    assert torch.equal(expand(values, 1), values)
    with pytest.raises(ValueError, match=r"values must have 1 axes at most, got shape \(2, 5\)"):
        expand(torch.ones(2, 5), 1)
