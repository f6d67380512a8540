"""Lesson 09: thresholds on x0."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minimagen.ddpm import linear_betas
from minimagen.denoiser import Prediction
from minimagen.guidance import guided
from minimagen.ideal import Ideal
from minimagen.noise import alpha_sigma, from_betas
from minimagen.samplers import ddim, sample
from minimagen.thresholding import dynamic, none, static, thresholded


def pictures(seed=0, scale=3.0, shape=(4, 3, 5, 5)):
    return scale * torch.randn(
        shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def test_static_clips_and_none_does_nothing():
    x0 = torch.tensor([[-3.0, -1.0, 0.2, 1.5]])
    assert static(x0).tolist() == torch.tensor([[-1.0, -1.0, 0.2, 1.0]]).tolist()
    assert none(x0) is x0


def test_dynamic_on_a_worked_example():
    """|x0| = 0, 1, 2, 3, 4: the 3/4 quantile is 3, so 4 is clipped to 3 and everything divided by
    3.
    """
    x0 = torch.tensor([[0.0, -1.0, 2.0, -3.0, 4.0], [0.1, 0.2, 0.3, 0.4, 0.5]])
    wanted = torch.tensor([[0.0, -1 / 3, 2 / 3, -1.0, 1.0], [0.1, 0.2, 0.3, 0.4, 0.5]])
    torch.testing.assert_close(dynamic(0.75)(x0), wanted)
    torch.testing.assert_close(
        dynamic(0.7)(x0)[0, 2].item(), 2 / 2.8
    )  # between two values the quantile is linear


@settings(max_examples=60)
@given(st.floats(0, 1, exclude_min=True), st.floats(0.1, 10), st.integers(0, 50))
def test_dynamic_is_the_plain_formula(percentile, scale, seed):
    x0 = pictures(seed, scale)
    s = torch.quantile(x0.abs().flatten(1), percentile, dim=1).clamp(min=1).reshape(-1, 1, 1, 1)
    got = dynamic(percentile)(x0)
    torch.testing.assert_close(got, torch.minimum(torch.maximum(x0, -s), s) / s)
    assert got.abs().max() <= 1


def test_dynamic_treats_each_picture_by_itself():
    x0 = pictures()
    torch.testing.assert_close(dynamic()(x0)[2:3], dynamic()(x0[2:3]))
    x0[0] *= 100
    torch.testing.assert_close(dynamic()(x0)[1:], dynamic()(pictures())[1:])


def test_dynamic_leaves_a_picture_inside_the_range_alone():
    x0 = pictures(scale=1.0).tanh()
    assert torch.equal(dynamic()(x0), x0)


def test_the_whole_range_is_a_division_by_the_largest_value():
    x0 = pictures()
    torch.testing.assert_close(dynamic(1.0)(x0), x0 / x0.abs().amax((1, 2, 3), keepdim=True))


def test_dynamic_works_beyond_the_limit_of_torch_quantile():
    x0 = torch.linspace(0, 2, 2**24 + 3).reshape(1, 1, -1)
    with pytest.raises(RuntimeError, match="too large"):
        torch.quantile(x0.flatten(1), 0.995, dim=1)
    torch.testing.assert_close(dynamic(0.995)(x0)[0, 0, 2**23].item(), 1 / 1.99, rtol=1e-6, atol=0)


def test_dynamic_keeps_the_dtype():
    assert dynamic()(pictures().bfloat16()).dtype == torch.bfloat16
    assert dynamic()(torch.empty(2, 3, 4, 4, device="meta")).is_meta


@pytest.mark.parametrize("percentile", [0, -0.1, 1.01, 99.5, math.nan])
def test_a_percentile_outside_its_range_is_refused(percentile):
    with pytest.raises(ValueError, match=r"percentile must be a fraction in \(0, 1\], got"):
        dynamic(percentile)


def test_a_thresholded_prediction_keeps_z_and_its_eps_follows():
    z, level = pictures(1), torch.linspace(-2, 2, 4, dtype=torch.float64)
    pred = thresholded(lambda z, logsnr: Prediction(z, logsnr, 5 * z), static)(z, level)
    alpha, sigma = alpha_sigma(level, 4)
    assert pred.z is z
    assert pred.logsnr is level
    assert torch.equal(pred.x0, (5 * z).clamp(-1, 1))
    torch.testing.assert_close(alpha * pred.x0 + sigma * pred.eps, z)


@pytest.mark.parametrize(
    ("weight", "largest", "shares"),
    [
        (1, 1.1, {"none": 0.026}),
        (4, 3.2, {}),
        (10, 7.8, {}),
        (20, 15.5, {"none": 0.067, "static": 0.031, "dynamic": 0.012}),
    ],
)
def test_the_saturation_of_the_lesson(weight, largest, shares):
    """64 pixels, two classes, 500 pictures: the largest 99.5 % of |x0| over the steps, and the
    share of pixels at the edge.
    """
    numpy = pytest.importorskip("numpy")
    rng, g = numpy.random.default_rng(0), torch.Generator().manual_seed(0)
    means = torch.from_numpy(numpy.stack([rng.uniform(-0.8, 0.8, 64) for _ in range(2)]))
    denoise = guided(
        Ideal(means, 0.2, torch.tensor([0, 1])), torch.ones(500, dtype=torch.long), weight
    )
    levels = from_betas(linear_betas())[
        torch.linspace(999, 0, 100, dtype=torch.float64).round().long()
    ]
    z = torch.randn(500, 64, generator=g, dtype=torch.float64)
    preds = list(sample(denoise, levels, z, ddim()))
    assert max(p.x0.abs().quantile(0.995).item() for p in preds) == pytest.approx(largest, rel=0.06)
    for name, share in shares.items():
        threshold = {"none": none, "static": static, "dynamic": dynamic(0.995)}[name]
        *_, last = (
            preds if name == "none" else sample(thresholded(denoise, threshold), levels, z, ddim())
        )
        assert (last.x0.abs() >= 0.999).double().mean().item() == pytest.approx(share, abs=0.004)


def test_dynamic_agrees_with_diffusers():
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDPMScheduler(
        thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=1e6
    )
    x0 = pictures().float()
    torch.testing.assert_close(dynamic(0.9)(x0), theirs._threshold_sample(x0))
