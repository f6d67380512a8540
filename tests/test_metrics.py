"""Measures of any picture, held against closed forms and independent implementations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch.nn import functional as F

from minimagen.data.drawing import Placed, render
from minimagen.evaluation.metrics import (
    RetrievalReport,
    agreement,
    bootstrap,
    colour_shift,
    edge_width,
    frechet,
    mark,
    pooled_features,
    retrieval,
    share_interval,
)
from minimagen.pixels import from_uint8, resize

PAIR = (Placed("circle", "red", 0.25, 0.5, 0.2), Placed("star", "blue", 0.75, 0.45, 0.14))


def draw(scene, size=64):
    return from_uint8(render(scene, size))[None]


@pytest.mark.parametrize(("k", "n"), [(0, 24), (1, 24), (410, 512), (511, 512), (64, 64)])
def test_the_interval_of_a_share_is_the_closed_form_of_wilson(k, n):
    p, z = k / n, 1.959963984540054
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert share_interval((k, n)) == pytest.approx((centre - half, centre + half), abs=1e-12)
    verdicts = torch.arange(n) < k
    assert share_interval(verdicts) == share_interval((k, n))
    assert share_interval(verdicts)[0] < 1
    assert share_interval(verdicts)[1] > 0
    # No rounding may put an end beyond the share: error bars are their differences.
    assert share_interval((k, n))[0] <= k / n <= share_interval((k, n))[1]


def test_the_interval_of_a_share_is_a_point_never_and_of_nothing_nan():
    assert all(math.isnan(edge) for edge in share_interval(torch.ones(0, dtype=torch.bool)))
    assert share_interval((3, 3))[0] < 0.5
    for right in ((-1, 3), (4, 3)):
        with pytest.raises(ValueError, match=r"right must be \(k, n\) with 0 <= k <= n, got"):
            share_interval(right)


@pytest.mark.parametrize("p", [0.5, 0.9, 0.98])
def test_the_interval_of_a_share_holds_the_truth_nineteen_times_in_twenty(p):
    """The binomial probability of all counts of 128 whose interval holds p."""
    intervals = [share_interval((k, 128)) for k in range(129)]
    held = [k for k, (low, high) in enumerate(intervals) if low <= p <= high]
    assert sum(math.comb(128, k) * p**k * (1 - p) ** (128 - k) for k in held) == pytest.approx(
        0.95, abs=0.015
    )


def test_a_mark_is_a_share_with_its_interval_or_none():
    right = torch.tensor([True, True, False, True])
    low, high = share_interval((3, 4))
    assert mark(right) == {"share": 0.75, "low": low, "high": high}
    assert mark(right[:0]) is None


def test_the_bootstrap_is_the_normal_interval_of_a_large_sample():
    values = torch.arange(512) < 410  # 80 % of 512
    p = 410 / 512
    half = 1.96 * math.sqrt(p * (1 - p) / 512)
    low, high = bootstrap(values)
    assert low == pytest.approx(p - half, abs=0.003)
    assert high == pytest.approx(p + half, abs=0.003)
    assert bootstrap(values) == (low, high)
    assert bootstrap(values, seed=1) != (low, high)


def test_the_bootstrap_of_equal_values_is_a_point_and_of_none_nan():
    assert bootstrap(torch.ones(7)) == (1, 1)
    assert all(math.isnan(edge) for edge in bootstrap(torch.ones(0)))


def test_the_bootstrap_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    bootstrap(torch.ones(7))
    assert torch.equal(torch.get_rng_state(), state)


def test_pooled_features_are_the_means_of_the_cells():
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    features = pooled_features(images)
    assert features.shape == (2, 192)
    cell = images[1, 2, 4 * 5 : 4 * 6, 4 * 3 : 4 * 4]  # row 5, column 3 of the grid
    torch.testing.assert_close(features[1, 2 * 64 + 5 * 8 + 3], cell.mean())


def test_retrieval_ranks_by_the_number_of_nearer_pictures():
    theirs = torch.arange(10.0)[:, None].expand(10, 3) / 10
    report = retrieval(theirs[[2, 2, 9]] + 0.02, theirs, torch.tensor([2, 4, 0]))
    assert report.ranks.tolist() == [0, 3, 9]  # 3 and 2 are nearer to 2.2 than 4 is, and so is 1
    assert report.hits(5).tolist() == [True, True, False]
    assert (report.share(), report.share(5)) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert report.interval(5) == share_interval((2, 3))
    whole = RetrievalReport.joined([report, RetrievalReport(torch.tensor([0]))])
    assert whole.ranks.tolist() == [0, 3, 9, 0]
    marks = RetrievalReport(whole.ranks, "shades").marks()
    assert marks["top 1"] == {**mark(torch.tensor([1, 0, 0, 1]) > 0), "features": "shades"}
    assert marks["top 5"]["share"] == 0.75


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_every_real_picture_retrieves_itself(seed):
    theirs = torch.rand(20, 192, generator=torch.Generator().manual_seed(seed)) * 1e-3
    assert retrieval(theirs, theirs, torch.arange(20)).share() == 1


@pytest.mark.parametrize("truth", [[0], [0, 5], [-1, 0], [[0, 1]]])
def test_retrieval_refuses_a_truth_that_names_no_picture(truth):
    with pytest.raises(ValueError, match="truth must be 2 indices, one a picture, below 5, got"):
        retrieval(torch.zeros(2, 4), torch.zeros(5, 4), torch.tensor(truth))


def normals(rows, width, seed=0):
    return torch.randn(
        rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def with_moments(mean, deviations, rows=400):
    """Features whose sample mean and sample covariance are exactly these: diagonal."""
    x = normals(rows, len(mean))
    x = x - x.mean(0)
    x = torch.linalg.qr(x).Q * math.sqrt(rows - 1)
    return x * torch.tensor(deviations, dtype=torch.float64) + torch.tensor(
        mean, dtype=torch.float64
    )


def test_the_frechet_distance_of_equal_sets_is_zero():
    x = normals(300, 20) @ normals(20, 20, 1)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x[:5], x[:5]) == pytest.approx(
        0, abs=1e-9
    )  # fewer rows than features: a singular covariance
    assert frechet(torch.ones(3, 4), torch.ones(2, 4)) == 0


def test_the_frechet_distance_of_a_shift_is_its_square():
    x = normals(300, 20) @ normals(20, 20, 1)
    shift = torch.linspace(-1, 1, 20, dtype=torch.float64)
    assert frechet(x, x + shift) == pytest.approx(shift.square().sum().item(), rel=1e-9)


def test_the_frechet_distance_of_diagonal_gaussians_is_the_closed_form():
    a, b = with_moments([0, 1, 2], [1, 2, 3]), with_moments([1, 1, 0], [2, 2, 0.5])
    assert frechet(a, b) == pytest.approx(
        1 + 0 + 4 + 1 + 0 + 2.5**2, rel=1e-9
    )  # sum (m - n)^2 + (s - t)^2
    turn = torch.linalg.qr(normals(3, 3, 5)).Q
    assert frechet(a @ turn, b @ turn) == pytest.approx(12.25, rel=1e-9)
    assert frechet(b, a) == pytest.approx(12.25, rel=1e-9)


def test_the_frechet_distance_agrees_with_scipy_where_the_covariances_do_not_commute():
    linalg = pytest.importorskip("scipy.linalg")
    a, b = normals(200, 6) @ normals(6, 6, 1), normals(300, 6, 2) @ normals(6, 6, 3) + 0.3
    s, t = np.cov(a.numpy().T), np.cov(b.numpy().T)
    wanted = np.square(a.mean(0).numpy() - b.mean(0).numpy()).sum() + np.trace(
        s + t - 2 * linalg.sqrtm(s @ t).real
    )
    assert frechet(a, b) == pytest.approx(wanted, rel=1e-9)
    assert frechet(a.float(), b.float()) == pytest.approx(wanted, rel=1e-4)


def test_the_frechet_distance_of_one_feature_is_of_two_numbers():
    assert frechet(with_moments([0], [1]), with_moments([3], [2])) == pytest.approx(9 + 1, rel=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        (
            torch.zeros(1, 4),
            torch.zeros(5, 4),
            r"a must be \(2 or more, 4\) features, got \(1, 4\)",
        ),
        (torch.zeros(5, 4), torch.zeros(1, 4), r"b must be \(2 or more, 4\)"),
        (
            torch.zeros(5, 4),
            torch.zeros(5, 3),
            r"b must be \(2 or more, 4\) features, got \(5, 3\)",
        ),
        (torch.zeros(5), torch.zeros(5, 3), r"a must be"),
        (torch.zeros(5, 3), torch.full((5, 3), math.nan), "b must be finite"),
    ],
)
def test_the_frechet_distance_refuses_what_is_no_crowd(a, b, text):
    with pytest.raises(ValueError, match=text):
        frechet(a, b)


def test_a_picture_agrees_with_itself_made_smaller():
    picture = draw(PAIR, size=256)
    below = resize(picture, 64)
    assert agreement(picture, below).tolist() == [0]
    assert agreement(below, below).tolist() == [0]
    assert agreement(torch.ones(2, 3, 64, 64), -torch.ones(2, 3, 16, 16)).tolist() == pytest.approx(
        [1, 1], abs=1e-6
    )


def test_agreement_and_colour_shift_are_in_parts_of_the_whole_range():
    below = torch.zeros(2, 3, 16, 16)
    above = torch.zeros(2, 3, 64, 64)
    above[1, 0], above[1, 2] = 0.5, -0.25
    assert agreement(above, below).tolist() == pytest.approx([0, (0.25 + 0.125) / 3], abs=1e-6)
    shift = colour_shift(above, below)
    assert shift.shape == (2, 3)
    assert shift[0].tolist() == [0, 0, 0]
    assert shift[1].tolist() == pytest.approx([0.25, 0, -0.125], abs=1e-6)


def test_agreement_sees_detail_that_the_colour_shift_does_not():
    below = torch.zeros(1, 3, 16, 16)
    above = F.interpolate(
        0.5 * (torch.arange(16) % 2 * 2 - 1).float().expand(1, 3, 16, 16), scale_factor=4
    )
    assert colour_shift(above, below).abs().max() < 1e-6
    assert agreement(above, below).item() > 0.15


@pytest.mark.parametrize("deviation", [2.0, 3.0, 5.0])
def test_the_edge_width_of_a_blurred_step_is_the_closed_form(deviation):
    """A step blurred by a Gaussian has contrast 2 and steepest slope 2 / (s sqrt(2 pi))."""
    at = torch.arange(256.0) - 127.3
    step = torch.erf(at / deviation / math.sqrt(2)).expand(1, 3, 256, 256)
    assert edge_width(step).item() == pytest.approx(deviation * math.sqrt(2 * math.pi), rel=0.02)
    assert edge_width(step.transpose(2, 3) * 0.1).item() == pytest.approx(
        deviation * math.sqrt(2 * math.pi), rel=0.02
    )


@pytest.mark.parametrize("size", [64, 256, 1024])
def test_the_edges_of_a_rendering_are_a_pixel_wide_and_blur_widens_them(size):
    page = draw(PAIR, size=size)
    assert 0.9 < edge_width(page).item() < 1.3
    blurred = torch.from_numpy(ndimage.gaussian_filter(page.numpy(), (0, 0, 2, 2)))
    assert edge_width(blurred).item() > 4
    assert edge_width(F.interpolate(page, scale_factor=4, mode="bilinear")).item() > 3


def test_the_edge_width_is_of_the_channel_of_largest_contrast():
    at = torch.arange(256.0) - 127.3
    channels = torch.stack([0.05 * torch.sign(at), torch.erf(at / 3 / math.sqrt(2)), 0 * at])
    picture = channels[None, :, None].expand(-1, -1, 256, -1)
    assert edge_width(picture).item() == pytest.approx(3 * math.sqrt(2 * math.pi), rel=0.02)


def test_a_flat_picture_has_no_edge():
    widths = edge_width(torch.cat([torch.ones(1, 3, 64, 64), draw(PAIR)]))
    assert math.isnan(widths[0])
    assert widths[1] > 0
