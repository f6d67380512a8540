"""Lesson 04: noise, clean picture and velocity are three readings of one estimate."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minimagen.ddpm import linear_betas
from minimagen.denoiser import TARGETS, Denoiser, Prediction
from minimagen.ideal import IdealGaussian
from minimagen.noise import alpha_sigma, diffuse, from_betas

fixed = settings(max_examples=60)


def pair(seed=0, shape=(2, 3, 4, 4)):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=torch.float64), torch.randn(
        shape, generator=g, dtype=torch.float64
    )


@fixed
@given(st.floats(-12, 12), st.integers(0, 100))
def test_the_readings_of_a_prediction_agree(logsnr, seed):
    x0, eps = pair(seed)
    level = torch.full((2,), logsnr, dtype=torch.float64)
    alpha, sigma = alpha_sigma(level, 4)
    pred = Prediction(diffuse(x0, level, eps), level, x0)
    close = {"rtol": 1e-8, "atol": 1e-8}
    torch.testing.assert_close(pred.eps, eps, **close)
    torch.testing.assert_close(pred.v, alpha * eps - sigma * x0, **close)
    torch.testing.assert_close(pred.score, -eps / sigma, **close)
    torch.testing.assert_close(alpha * pred.z - sigma * pred.v, x0, **close)


def test_the_score_of_a_gaussian_is_the_gradient_of_its_log_density():
    level = torch.tensor([0.7, -2.0], dtype=torch.float64)
    alpha, sigma = alpha_sigma(level, 2)
    z = torch.tensor([[0.3], [1.1]], dtype=torch.float64, requires_grad=True)
    variance = alpha**2 * 0.25 + sigma**2
    (gradient,) = torch.autograd.grad((-((z - alpha * 1.5) ** 2) / (2 * variance)).sum(), z)
    torch.testing.assert_close(IdealGaussian(1.5, 0.5)(z.detach(), level).score, gradient)


@pytest.mark.parametrize("target", TARGETS)
@fixed
@given(logsnr=st.floats(-12, 12))
def test_the_right_output_gives_back_x0_and_no_loss(target, logsnr):
    x0, eps = pair()
    level = torch.full((2,), logsnr, dtype=torch.float64)
    truth = TARGETS[target].of(x0, eps, *alpha_sigma(level, 4))
    denoiser = Denoiser(lambda z, logsnr: truth, target)
    torch.testing.assert_close(
        denoiser(diffuse(x0, level, eps), level).x0, x0, rtol=1e-8, atol=1e-8
    )
    assert torch.equal(denoiser.loss(x0, level, eps), torch.zeros(2, dtype=torch.float64))


def test_the_losses_of_the_three_targets_differ_by_their_known_weights():
    """|eps error|^2 = snr |x0 error|^2 and |v error|^2 = (1 + snr) |x0 error|^2."""
    x0, eps = pair()
    level = torch.tensor([1.0, -3.0], dtype=torch.float64)
    z = diffuse(x0, level, eps)
    wrong = Prediction(z, level, x0 + 0.1)
    loss = {name: Denoiser(lambda z, logsnr, out=out: out, name).loss(x0, level, eps)
            for name, out in {"eps": wrong.eps, "x0": wrong.x0, "v": wrong.v}.items()}  # fmt: skip
    torch.testing.assert_close(loss["x0"], torch.full((2,), 0.01, dtype=torch.float64))
    torch.testing.assert_close(loss["eps"], level.exp() * loss["x0"])
    torch.testing.assert_close(loss["v"], (1 + level.exp()) * loss["x0"])


def test_a_network_that_says_nothing_has_a_first_eps_loss_of_one():
    x0, eps = pair(shape=(64, 3, 32, 32))
    loss = Denoiser(lambda z, logsnr: torch.zeros_like(z), "eps").loss(
        x0, torch.zeros(64, dtype=torch.float64), eps
    )
    assert loss.shape == (64,)
    assert loss.mean().item() == pytest.approx(1.00, abs=0.01)


def test_the_loss_floor_of_gaussian_data_is_the_lesson_s():
    abar, g = from_betas(linear_betas()).sigmoid(), torch.Generator().manual_seed(0)
    floor = abar * 0.25 / (abar * 0.25 + 1 - abar)
    assert floor[300].item() == pytest.approx(0.1398, abs=5e-5)
    assert floor.mean().item() == pytest.approx(0.1731, abs=5e-5)
    ideal = IdealGaussian(1.5, 0.5)
    x0 = 1.5 + 0.5 * torch.randn(1, 400_000, generator=g, dtype=torch.float64)
    eps = torch.randn(1, 400_000, generator=g, dtype=torch.float64)
    loss = Denoiser(lambda z, logsnr: ideal(z, logsnr).eps, "eps").loss(
        x0, from_betas(linear_betas())[300:301], eps
    )
    assert loss.item() == pytest.approx(floor[300].item(), rel=5 * math.sqrt(2 / 400_000))


@pytest.mark.parametrize("target", TARGETS)
def test_only_the_network_runs_in_bfloat16(target):
    denoiser = Denoiser(lambda z, logsnr, cond: z.bfloat16() * cond, target)
    z, level = torch.ones(2, 3), torch.zeros(2)
    pred = denoiser(z, level, 0.5)
    assert pred.x0.dtype == pred.eps.dtype == torch.float32
    assert denoiser.loss(z, level, z, 0.5).dtype == torch.float32


def test_prepare_is_the_network_s_where_it_has_one():
    class Net(torch.nn.Module):
        def prepare(self, cond):
            return ["prepared", cond]

    assert Denoiser(Net()).prepare("cond") == ["prepared", "cond"]
    assert Denoiser(torch.nn.Identity()).prepare("cond") == "cond"


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="target must be one of eps, x0, v, got 'noise'"):
        Denoiser(torch.nn.Identity(), "noise")


def test_the_velocity_agrees_with_diffusers():
    schedulers = pytest.importorskip("diffusers")
    (x0, eps), k = pair(shape=(3, 3, 4, 4)), torch.tensor([0, 500, 999])
    theirs = schedulers.DDPMScheduler(beta_schedule="linear").get_velocity(
        x0.float(), eps.float(), k
    )
    level = from_betas(linear_betas())[k]
    ours = Prediction(diffuse(x0, level, eps), level, x0).v
    torch.testing.assert_close(ours.float(), theirs, rtol=0, atol=3e-6)
