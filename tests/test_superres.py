"""Lesson 13: the picture below, noised, by one function in training and in sampling."""

import math

import pytest
import torch
from conftest import TINY
from hypothesis import given
from hypothesis import strategies as st

from minimagen import superres
from minimagen.cascade import Stage
from minimagen.checkpoint import Settings
from minimagen.conditioning import Cond, Text
from minimagen.data import batches, crops
from minimagen.data.shapes import Shapes
from minimagen.denoiser import Denoiser
from minimagen.noise import alpha_sigma, cosine, diffuse, linear, randn
from minimagen.superres import lowres, with_lowres

BOTH = pytest.mark.parametrize("schedule", [cosine, linear])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def picture(batch=2, size=16, seed=3):
    return torch.rand(batch, 3, size, size, generator=seeded(seed)) * 2 - 1


def stream(x0, count=1):
    text = Text(torch.zeros(len(x0), 1, 4), torch.ones(len(x0), 1, dtype=torch.bool))
    return [(x0, Cond(text))] * count


# closed form


@BOTH
def test_the_picture_is_resized_and_then_diffused_to_its_level(schedule):
    """z = alpha small + sigma eps with lambda = schedule(aug_level), written out."""
    x0 = picture()
    got = lowres(x0, 4, 0.3, schedule, seeded())
    small = torch.nn.functional.interpolate(x0, size=(4, 4), mode="bicubic", antialias=True)
    logsnr = schedule(torch.tensor(0.3)).expand(2)
    alpha, sigma = alpha_sigma(logsnr, 4)
    torch.testing.assert_close(
        got.image, alpha * small + sigma * torch.randn(2, 3, 4, 4, generator=seeded())
    )
    assert torch.equal(got.logsnr, logsnr)


def test_level_zero_leaves_the_picture():
    """sigma is 4.5e-5 (cosine): of 192 normal numbers none is beyond 5 deviations."""
    x0 = picture(batch=1, size=8)
    got = lowres(x0, 8, 0.0, cosine, seeded())
    assert (got.image - x0).abs().max() <= 1e-3
    assert got.logsnr.item() == 20


@BOTH
def test_level_one_is_noise(schedule):
    """What is left of the picture is alpha: 4.5e-5 with cosine, 0.0066 with linear."""
    x0 = picture(batch=4, size=64)
    got = lowres(x0, 64, 1.0, schedule, seeded())
    noise = torch.randn(x0.shape, generator=seeded())
    left = math.exp(schedule(torch.tensor(1.0)).item() / 2)
    torch.testing.assert_close(got.image, noise, rtol=0, atol=1.05 * left)
    assert (
        abs(torch.corrcoef(torch.stack([got.image.flatten(), x0.flatten()]))[0, 1].item())
        < 4 / math.sqrt(x0.numel()) + left
    )


def test_shrinking_takes_the_average_of_a_fine_checkerboard():
    """Without the antialiasing filter every sample would fall on the same side of the board."""
    board = torch.ones(1, 3, 64, 64)
    board[:, :, ::2, ::2] = board[:, :, 1::2, 1::2] = -1
    small = lowres(board, 16, 0.0, cosine, seeded()).image
    assert small.shape == (1, 3, 16, 16)
    assert small[..., 2:-2, 2:-2].abs().max() < 2e-3
    stripes = torch.ones(1, 3, 64, 64)
    stripes[..., ::4] = -1  # one in four: the mean is 0.5
    small = lowres(stripes, 16, 0.0, cosine, seeded()).image
    assert (small[..., 2:-2] - 0.5).abs().max() < 0.02
    naive = torch.nn.functional.interpolate(stripes, size=(16, 16), mode="bicubic", antialias=False)
    assert (naive[..., 2:-2] - 0.5).abs().max() > 0.2


# one function


def test_training_and_sampling_noise_the_picture_alike():
    """The same small picture, level and generator: what training shows the network, sampling shows
    it too, bit for bit.
    """
    large = picture(size=32)
    level = torch.tensor([0.15, 0.7])
    trained = lowres(large, 8, level, cosine, seeded())
    below = torch.nn.functional.interpolate(large, size=(8, 8), mode="bicubic", antialias=True)
    sampled = lowres(below, 8, level, cosine, seeded())
    assert torch.equal(trained.image, sampled.image)
    assert torch.equal(trained.logsnr, sampled.logsnr)


def test_a_stage_shows_its_network_what_lowres_gives():
    """The stage's own call against the function: one seed, one level."""
    seen = []

    class Net(torch.nn.Linear):
        def forward(self, z, logsnr, cond):
            seen.append(cond)
            return z * 0

    below, text = picture(size=4), Text(torch.zeros(2, 1, 4), torch.ones(2, 1, dtype=torch.bool))
    stage = Stage(
        Denoiser(Net(1, 1)), Settings(16, "efficient", TINY["sr"], steps=1, aug_level=0.2)
    )
    list(stage.run(text, below, [seeded(5), seeded(6)]))
    wanted = lowres(below, 4, 0.2, cosine, [seeded(5), seeded(6)])
    assert torch.equal(seen[0].lowres.image, wanted.image)
    assert torch.equal(seen[0].lowres.logsnr, wanted.logsnr)


def test_training_s_wrapper_calls_the_same_function(monkeypatch):
    x0, calls = picture(), []
    real = lowres

    def spy(*args):
        calls.append(real(*args))
        return calls[-1]

    monkeypatch.setattr(superres, "lowres", spy)
    ((_, cond),) = with_lowres(stream(x0), 4, linear, seeded())
    assert cond.lowres is calls[0]
    g = seeded()
    level = torch.rand(2, generator=g)
    assert torch.equal(cond.lowres.logsnr, linear(level))
    small = torch.nn.functional.interpolate(x0, size=(4, 4), mode="bicubic", antialias=True)
    assert torch.equal(cond.lowres.image, diffuse(small, linear(level), randn(small.shape, g)))


# the wrapper


def test_with_lowres_adds_the_picture_and_changes_nothing_else():
    x0 = picture()
    batch = stream(x0)
    ((same, cond),) = with_lowres(batch, 4, cosine, seeded())
    assert same is x0
    assert cond.text is batch[0][1].text
    assert cond.lowres.image.shape == (2, 3, 4, 4)
    assert cond.lowres.logsnr.shape == (2,)


def test_crops_get_the_same_part_of_the_picture_below():
    """Windows of 32 out of 128, with 8 x 8 below: each is its window shrunk, so the pictures show
    the same place.
    """
    encode = lambda prompts: Text(
        torch.zeros(len(prompts), 1, 4), torch.ones(len(prompts), 1, dtype=torch.bool)
    )
    source = batches(crops(Shapes(128), 32), 3, encode)
    x0, cond = next(with_lowres(source, 8, lambda t: cosine(t * 0), seeded()))
    assert x0.shape == (3, 3, 32, 32)
    assert cond.lowres.image.shape == (3, 3, 8, 8)
    assert (cond.lowres.image - torch.nn.functional.avg_pool2d(x0, 4)).abs().mean() < 0.05


@pytest.mark.parametrize("max_level", [1.0, 0.3])
def test_the_levels_of_training_are_uniform(max_level):
    """Kolmogorov and Smirnov's distance over 4000 levels; 1.95 / sqrt(n) is passed once in a
    thousand by chance.
    """
    identity = lambda t: t
    drawn = [
        cond.lowres.logsnr
        for _, cond in with_lowres(
            stream(picture(batch=40, size=4), 100), 2, identity, seeded(), max_level
        )
    ]
    levels = torch.cat(drawn).sort().values / max_level
    ranks = torch.arange(1, 4001) / 4000
    assert len(levels) == 4000
    assert (levels - ranks).abs().max() < 1.95 / math.sqrt(4000)
    assert not torch.equal(drawn[0], drawn[1])


def test_with_lowres_is_lazy():
    def endless():
        while True:
            yield from stream(picture())

    assert next(with_lowres(endless(), 4, cosine, seeded())) is not None


# invariants


@given(level=st.floats(0, 1), seed=st.integers(0, 2**20))
def test_the_level_travels_with_the_picture(level, seed):
    """The clean picture can be told from the noised one and its level, given the noise: x = (z -
    sigma eps) / alpha.
    """
    x0 = picture(batch=1, size=4)
    got = lowres(x0, 4, level, linear, seeded(seed))
    alpha, sigma = alpha_sigma(got.logsnr.double(), 4)
    back = (got.image.double() - sigma * randn(x0.shape, seeded(seed)).double()) / alpha
    torch.testing.assert_close(back, x0.double(), rtol=0, atol=1e-5 / alpha.min().item())


def test_a_picture_does_not_depend_on_its_batch():
    x0 = picture(batch=3)
    whole = lowres(x0, 4, 0.4, cosine, [seeded(i) for i in range(3)])
    alone = lowres(x0[1:2], 4, 0.4, cosine, [seeded(1)])
    torch.testing.assert_close(whole.image[1:2], alone.image, rtol=0, atol=1e-6)


@pytest.mark.parametrize("level", [-0.01, 1.01, math.nan, math.inf])
def test_a_level_outside_the_unit_interval_is_refused(level):
    with pytest.raises(ValueError, match=r"aug_level must lie in \[0, 1\], got"):
        lowres(picture(), 4, level, cosine)
    with pytest.raises(ValueError, match=r"aug_level must lie in \[0, 1\], got"):
        lowres(picture(), 4, torch.tensor([0.5, level]), cosine)
