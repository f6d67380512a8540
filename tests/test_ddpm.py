"""Lesson 03: beta tables and the step back that Bayes gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal

from minimagen.ddpm import (
    cosine_betas,
    large_variance,
    linear_betas,
    posterior_tables,
    q_posterior,
    small_variance,
)
from minimagen.noise import from_betas

fixed = settings(max_examples=40)


def test_the_golden_betas():
    linear, cosine = linear_betas(), cosine_betas()
    assert linear.dtype == cosine.dtype == torch.float64
    assert len(linear) == len(cosine) == 1000
    assert linear[[0, 499, 999]].tolist() == pytest.approx([1e-4, 1.004004e-2, 0.02], rel=1e-7)
    assert cosine[[0, 499]].tolist() == pytest.approx([4.128422e-5, 3.145886e-3], rel=2e-7)
    assert cosine.max() == cosine[-1] == 0.999


@pytest.mark.parametrize("table", [linear_betas, cosine_betas])
@pytest.mark.parametrize("T", [0, -3, 2.5, True])
def test_a_table_refuses_a_length_that_is_no_positive_integer(table, T):
    with pytest.raises(ValueError, match="T must be a positive integer"):
        table(T)


def test_the_posterior_is_bayes_rule_by_quadrature():
    """q(x_{k-1} | x_k, x0) is proportional to q(x_k | x_{k-1}) q(x_{k-1} | x0): normalise the
    product on a grid.
    """
    betas = linear_betas(50)
    grid = torch.linspace(-8, 8, 200_001, dtype=torch.float64)
    for k in (1, 7, 49):
        abar = from_betas(betas)[k - 1].sigmoid()
        x0, x_k = (
            torch.tensor([[0.6]], dtype=torch.float64),
            torch.tensor([[-0.9]], dtype=torch.float64),
        )
        forward = Normal((1 - betas[k]).sqrt() * grid, betas[k].sqrt()).log_prob(x_k[0])
        weight = (forward + Normal(abar.sqrt() * x0[0], (1 - abar).sqrt()).log_prob(grid)).softmax(
            0
        )
        mean = (weight * grid).sum()
        got_mean, got_variance = q_posterior(x0, x_k, torch.tensor([k]), betas)
        assert got_mean.item() == pytest.approx(mean.item(), abs=1e-9)
        assert got_variance.item() == pytest.approx(
            (weight * (grid - mean) ** 2).sum().item(), rel=1e-7
        )


def test_the_first_step_back_ends_in_the_clean_picture():
    x0, x_k = (
        torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)),
        torch.zeros(2, 3, 4, 4),
    )
    mean, variance = q_posterior(x0, x_k, torch.zeros(2, dtype=torch.long), linear_betas())
    assert mean.dtype == torch.float32
    assert variance.shape == (2, 1, 1, 1)
    torch.testing.assert_close(mean, x0, rtol=1e-6, atol=1e-6)
    assert (variance == 0).all()


@fixed
@given(st.integers(1, 999), st.sampled_from([linear_betas(), cosine_betas()]))
def test_stepping_forward_then_back_leaves_the_marginal_as_it_was(k, betas):
    """If x_k ~ q(x_k | x0), then x_{k-1} drawn from the posterior ~ q(x_{k-1} | x0): the mean and
    the variance add up.
    """
    c0, ck, variance = (table[k] for table in posterior_tables(betas))
    abar, before = from_betas(betas)[k].sigmoid(), from_betas(betas)[k - 1].sigmoid()
    assert (c0 + ck * abar.sqrt()).item() == pytest.approx(before.sqrt().item(), rel=1e-9)
    assert (ck**2 * (1 - abar) + variance).item() == pytest.approx((1 - before).item(), rel=1e-9)


@pytest.mark.parametrize("k", [-1, 10])
def test_the_posterior_refuses_a_step_outside_the_table(k):
    with pytest.raises(ValueError, match=r"k must lie in 0\.\.9"):
        q_posterior(torch.zeros(1, 1), torch.zeros(1, 1), torch.tensor([k]), linear_betas(10))


def test_the_two_variances_are_beta_tilde_and_beta():
    betas = linear_betas()
    small = small_variance(betas)
    assert small[1].item() == pytest.approx(5.453188e-5, rel=1e-7)
    assert small[0] == small[1]
    abar = from_betas(betas).sigmoid()
    torch.testing.assert_close(
        small[1:], betas[1:] * (1 - abar[:-1]) / (1 - abar[1:]), rtol=1e-9, atol=0
    )
    assert torch.equal(large_variance(betas), betas)
    assert (small[1:] < betas[1:]).all()
    with pytest.raises(ValueError, match="betas must have two entries"):
        small_variance(linear_betas(1))


@pytest.mark.parametrize(
    ("ours", "theirs"), [(linear_betas, "linear"), (cosine_betas, "squaredcos_cap_v2")]
)
def test_the_tables_agree_with_diffusers(ours, theirs):
    schedulers = pytest.importorskip("diffusers")
    table = schedulers.DDPMScheduler(beta_schedule=theirs).betas
    torch.testing.assert_close(ours().float(), table, rtol=1e-5, atol=1e-8)
