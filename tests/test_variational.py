"""Lesson 03: the bound, term by term."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from minimagen.ddpm import (
    cosine_betas,
    large_variance,
    linear_betas,
    posterior_tables,
    small_variance,
)
from minimagen.ideal import IdealGaussian
from minimagen.noise import from_betas
from minimagen.pixels import from_uint8
from minimagen.variational import Bound, bits_per_dim, decoder_nll, gaussian_kl, prior

fixed = settings(max_examples=60)
MEAN, STD = 1.5, 0.5  # the data of the analytic numbers
entropy = 0.5 * math.log(2 * math.pi * math.e * STD**2)


def left_over(betas):
    """Var(x0 | x_k) of the Gaussian data."""
    abar = from_betas(betas).sigmoid()
    return STD**2 * (1 - abar) / (abar * STD**2 + 1 - abar)


def bound(betas, variance, first):
    """The exact expectation of the bound for Gaussian data and the exact denoiser, in nats; L_0 is
    a density.
    """
    abar, (c0, _, tilde), left = (
        from_betas(betas).sigmoid(),
        posterior_tables(betas),
        left_over(betas),
    )
    start = (
        gaussian_kl(abar[-1].sqrt() * MEAN, 1 - abar[-1], *torch.tensor([0.0, 1.0]))
        + abar[-1] * STD**2 / 2
    )
    middle = gaussian_kl(c0 * left.sqrt(), tilde, torch.zeros(1), variance)[1:].sum()
    return (start + middle + 0.5 * (math.log(2 * math.pi * first) + left[0] / first)).item()


def test_the_kl_agrees_with_torch_distributions():
    g = torch.Generator().manual_seed(0)
    m1, m2 = torch.randn(2, 50, generator=g, dtype=torch.float64)
    v1, v2 = torch.rand(2, 50, generator=g, dtype=torch.float64) + 0.01
    torch.testing.assert_close(
        gaussian_kl(m1, v1, m2, v2), kl_divergence(Normal(m1, v1.sqrt()), Normal(m2, v2.sqrt()))
    )


def test_the_other_gaussian_is_the_standard_one_unless_said():
    mean, variance = torch.tensor([0.0, 3.0]), torch.tensor([0.25, 2.0])
    standard = gaussian_kl(mean, variance, torch.zeros(2), torch.ones(2))
    assert torch.equal(gaussian_kl(mean, variance), standard)


def test_the_prior_term_has_its_golden_value():
    every_pixel = from_uint8(torch.arange(256)).reshape(1, 1, 16, 16)
    assert (prior(every_pixel, linear_betas()) / math.log(2)).item() == pytest.approx(
        9.7808e-6, abs=5e-11
    )


def test_with_the_exact_reverse_process_the_bound_is_the_entropy_plus_the_prior_gap():
    betas = linear_betas()
    c0, _, tilde = posterior_tables(betas)
    exact = tilde + c0**2 * left_over(betas)
    value = bound(betas, exact, exact[0].item())
    last = from_betas(betas)[-1].sigmoid()
    gap = gaussian_kl(
        last.sqrt() * MEAN, 1 - last + last * STD**2, *torch.tensor([0.0, 1.0])
    ).item()
    assert value == pytest.approx(0.725837, abs=5e-7)
    assert entropy == pytest.approx(0.725791, abs=5e-7)
    assert gap == pytest.approx(4.540331e-5, abs=5e-12)
    assert value - entropy == pytest.approx(gap, abs=1e-12)


@pytest.mark.parametrize(
    ("table", "first", "excess"),
    [
        (large_variance, large_variance, 0.001138),
        (large_variance, small_variance, 0.114715),
        (small_variance, small_variance, 0.569971),
        (small_variance, large_variance, 0.456394),
    ],
)
def test_fixed_variances_cost_what_the_lesson_says(table, first, excess):
    betas = linear_betas()
    assert bound(betas, table(betas), first(betas)[0].item()) - entropy == pytest.approx(
        excess, abs=5e-7
    )


@pytest.mark.parametrize("betas", [linear_betas(40), cosine_betas(40)], ids=["linear", "cosine"])
@pytest.mark.parametrize("table", [small_variance, large_variance])
def test_the_steps_equal_their_analytic_value_for_gaussian_data(betas, table):
    g = torch.Generator().manual_seed(0)
    x0 = MEAN + STD * torch.randn(4, 3, 128, 128, generator=g, dtype=torch.float64)
    got = bits_per_dim(IdealGaussian(MEAN, STD), x0, betas, variance=table(betas), generator=g)
    c0, _, tilde = posterior_tables(betas)
    wanted = gaussian_kl(c0 * left_over(betas).sqrt(), tilde, torch.zeros(1), table(betas))[
        1:
    ] / math.log(2)
    assert got.steps.shape == (4, 39)
    assert got.prior.shape == got.reconstruction.shape == (4,)
    # 196 608 squared errors are averaged: the deviation of their mean is sqrt(2 / 196 608) = 0.0032
    # of it.
    torch.testing.assert_close(got.steps.mean(0), wanted, rtol=0.016, atol=1e-9)


def test_the_reconstruction_equals_its_analytic_value_for_gaussian_pixels():
    """Pixels cut from N(0, 0.3^2), no pixel at an edge: -log P(bin) is -log density - log(bin
    width), bin width 2 / 255.
    """
    g = torch.Generator().manual_seed(1)
    betas = torch.full((2,), 0.02, dtype=torch.float64)
    x0 = from_uint8(
        ((0.3 * torch.randn(4, 3, 128, 128, generator=g)).clamp(-0.99, 0.99) + 1).mul(127.5).round()
    ).double()
    got = bits_per_dim(
        IdealGaussian(0.0, 0.3), x0, betas, variance=torch.full((2,), 0.02), generator=g
    )
    left = 0.09 * 0.02 / (0.98 * 0.09 + 0.02)
    wanted = (0.5 * (math.log(2 * math.pi * 0.02) + left / 0.02) - math.log(2 / 255)) / math.log(2)
    assert got.reconstruction.mean().item() == pytest.approx(wanted, abs=0.01)


def test_a_variance_may_be_a_function_of_the_prediction():
    betas, g = linear_betas(10), torch.Generator()
    x0 = from_uint8(torch.arange(256)).reshape(1, 1, 16, 16)
    table = small_variance(betas)
    seen = []

    def learned(prediction, k):
        seen.append(k.item())
        return table[k].reshape(-1, 1, 1, 1).expand(prediction.z.shape)

    one = bits_per_dim(
        IdealGaussian(0.0, 0.6), x0, betas, variance=table, generator=g.manual_seed(3)
    )
    two = bits_per_dim(
        IdealGaussian(0.0, 0.6), x0, betas, variance=learned, generator=g.manual_seed(3)
    )
    torch.testing.assert_close(one.total, two.total, rtol=1e-12, atol=0)
    assert seen == list(range(10))


def test_the_network_runs_in_the_dtype_of_the_pictures():
    def denoise(z, logsnr):
        assert z.dtype == logsnr.dtype == torch.float32
        assert logsnr.shape == (2,)
        return IdealGaussian(0.0, 1.0)(z, logsnr)

    got = bits_per_dim(denoise, torch.zeros(2, 3, 4, 4), linear_betas(5), variance=linear_betas(5))
    assert got.total.dtype == torch.float64
    assert got.total.isfinite().all()


def test_the_total_is_the_sum_of_the_terms():
    got = Bound(torch.tensor([1.0]), torch.tensor([[2.0, 3.0]]), torch.tensor([4.0]))
    assert got.total.tolist() == [10.0]


def test_bits_per_dim_refuses_a_table_of_another_length():
    with pytest.raises(
        ValueError, match=r"variance must have one entry a step, \(5,\), got \(4,\)"
    ):
        bits_per_dim(
            IdealGaussian(0.0, 1.0), torch.zeros(1, 1), linear_betas(5), variance=linear_betas(4)
        )


@fixed
@given(st.floats(-1.5, 1.5), st.floats(1e-4, 3))
def test_the_decoder_is_a_distribution_over_the_256_pixels(mean, sigma):
    x = (torch.arange(256, dtype=torch.float64) / 127.5 - 1).reshape(256, 1)
    nll = decoder_nll(x, torch.tensor(mean), torch.tensor(sigma**2, dtype=torch.float64))
    assert nll.isfinite().all()
    assert nll.neg().exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_the_decoder_agrees_with_a_plain_difference_of_cumulative_values():
    x = from_uint8(torch.arange(1, 255)).double().reshape(-1, 1)
    normal = Normal(torch.tensor(0.1, dtype=torch.float64), torch.tensor(0.4, dtype=torch.float64))
    plain = -(normal.cdf(x + 1 / 255) - normal.cdf(x - 1 / 255)).log()
    torch.testing.assert_close(
        decoder_nll(x, normal.mean, normal.variance), plain[:, 0], rtol=1e-9, atol=0
    )


def test_the_decoder_stays_finite_and_symmetric_for_a_tiny_deviation():
    x = from_uint8(torch.tensor([0, 3, 128, 252, 255])).double().reshape(-1, 1)
    tiny = torch.tensor(1e-14, dtype=torch.float64)
    right, wrong = decoder_nll(x, x, tiny), decoder_nll(x, x - 0.5, tiny)
    assert right.abs().max() < 1e-12
    assert wrong.isfinite().all()
    torch.testing.assert_close(wrong, decoder_nll(-x, -x + 0.5, tiny), rtol=1e-9, atol=0)
    # Far out, -log P is close to (distance to the nearer edge of the bin)^2 / (2 variance).
    assert wrong[2].item() == pytest.approx((0.5 - 1 / 255) ** 2 / 2e-14, rel=1e-6)


def test_the_decoder_has_a_gradient_for_a_learned_variance():
    x = from_uint8(torch.tensor([0, 128, 255])).reshape(-1, 1)
    log_variance = torch.full((3, 1), -8.0, requires_grad=True)
    decoder_nll(x, x + 0.01, log_variance.exp()).sum().backward()
    assert log_variance.grad.isfinite().all()
    assert (log_variance.grad != 0).all()
