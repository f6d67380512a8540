"""Lesson 04: exact denoisers."""

import pytest
import torch
from torch.distributions import Normal

from minimagen.ideal import Ideal, IdealGaussian
from minimagen.noise import alpha_sigma, diffuse

f64 = torch.float64


def test_the_mixture_is_the_posterior_mean_by_quadrature():
    data, std = torch.tensor([[-1.0], [0.2], [1.0]], dtype=f64), 0.3
    x = torch.linspace(-4, 4, 80_001, dtype=f64)
    density = Normal(data, std).log_prob(x).logsumexp(0)
    for logsnr in (-3.0, 0.0, 2.0, 5.0):
        level = torch.tensor([logsnr], dtype=f64)
        alpha, sigma = (s.squeeze() for s in alpha_sigma(level, 1))
        for z in (-1.4, 0.1, 0.9):
            weight = (
                density + Normal(alpha * x, sigma).log_prob(torch.tensor(z, dtype=f64))
            ).softmax(0)
            got = Ideal(data, std)(torch.tensor([[z]], dtype=f64), level)
            assert got.x0.item() == pytest.approx((weight * x).sum().item(), abs=1e-9)


def test_one_wide_point_is_the_gaussian():
    g = torch.Generator().manual_seed(0)
    centre, z = (
        torch.randn(1, 3, 4, 4, generator=g, dtype=f64),
        torch.randn(5, 3, 4, 4, generator=g, dtype=f64),
    )
    level = torch.linspace(-20, 20, 5, dtype=f64)
    torch.testing.assert_close(
        Ideal(centre, 0.4)(z, level).x0, IdealGaussian(centre, 0.4)(z, level).x0
    )


@pytest.mark.parametrize("dtype", [torch.float32, f64])
def test_both_ends_of_the_schedule_are_stable(dtype):
    g = torch.Generator().manual_seed(0)
    data = torch.randn(20, 3, 4, 4, generator=g, dtype=dtype)
    eps = torch.randn(20, 3, 4, 4, generator=g, dtype=dtype)
    clean, noise = torch.full((20,), 20.0, dtype=dtype), torch.full((20,), -20.0, dtype=dtype)
    ideal = Ideal(data)
    assert torch.equal(
        ideal(diffuse(data, clean, eps), clean).x0, data
    )  # nearest, and no weight left for another
    far = ideal(diffuse(data, noise, eps), noise).x0
    assert far.dtype == dtype
    assert (far - data.mean(0)).abs().max() < 5e-3
    assert ideal(10 * eps, clean).x0.isfinite().all()


def test_the_estimate_is_in_the_dtype_of_z_and_computed_in_the_finer_one():
    data = torch.tensor([[1.0], [1.0 + 1e-9]], dtype=f64)
    assert Ideal(data)(torch.ones(1, 1), torch.zeros(1)).x0.dtype == torch.float32


def test_a_label_keeps_only_its_own_data():
    data, labels = torch.tensor([[-1.0], [1.0], [3.0]], dtype=f64), torch.tensor([0, 1, 1])
    z, level = torch.tensor([[0.3], [0.3]], dtype=f64), torch.zeros(2, dtype=f64)
    labelled = Ideal(data, 0.2, labels)(z, level, torch.tensor([0, 1])).x0
    assert labelled[0].item() == pytest.approx(
        Ideal(data[:1], 0.2)(z[:1], level[:1]).x0.item(), abs=1e-14
    )
    assert labelled[1].item() == pytest.approx(
        Ideal(data[1:], 0.2)(z[1:], level[1:]).x0.item(), abs=1e-14
    )


def test_the_classifier_is_bayes_rule_and_sums_the_posterior():
    data, labels = torch.tensor([[-1.0], [1.0], [3.0]], dtype=f64), torch.tensor([0, 1, 1])
    ideal = Ideal(data, 0.2, labels)
    z, level = torch.tensor([[0.3], [1.4]], dtype=f64), torch.tensor([0.5, -1.0], dtype=f64)
    p = ideal.classify(z, level).softmax(1)
    alpha, sigma = alpha_sigma(level, 2)
    likelihood = Normal(alpha * data.T, (alpha**2 * 0.04 + sigma**2).sqrt()).log_prob(z).exp()
    torch.testing.assert_close(p[:, 0], likelihood[:, 0] / likelihood.sum(1))
    parts = torch.stack([ideal(z, level, torch.full((2,), c)).x0[:, 0] for c in (0, 1)], 1)
    torch.testing.assert_close((p * parts).sum(1), ideal(z, level).x0[:, 0])


def test_bad_input_is_named():
    data, z, level = torch.zeros(2, 3), torch.zeros(1, 3), torch.zeros(1)
    with pytest.raises(ValueError, match="std must be 0 or more"):
        Ideal(data, -0.1)
    with pytest.raises(ValueError, match=r"labels must be \(2,\)"):
        Ideal(data, labels=torch.zeros(3))
    with pytest.raises(ValueError, match=r"z must hold pictures of shape \(3,\), got \(4,\)"):
        Ideal(data)(torch.zeros(1, 4), level)
    with pytest.raises(ValueError, match="cond must name labels that the data has, got"):
        Ideal(data, labels=torch.tensor([0, 1]))(z, level, torch.tensor([2]))
    with pytest.raises(ValueError, match="labels must be given"):
        Ideal(data)(z, level, torch.tensor([0]))
