"""Lessons 07 and 08: guidance as a wrapper."""

import math

import pytest
import torch

from minimagen.conditioning import Cond, LowRes, Text, stack
from minimagen.ddpm import linear_betas
from minimagen.denoiser import Denoiser, Prediction
from minimagen.guidance import classifier_guided, drop_text, guided, shifted
from minimagen.ideal import Ideal, IdealGaussian
from minimagen.noise import alpha_sigma, from_betas
from minimagen.samplers import ancestral, ancestral_variance, ddim, sample

f64 = torch.float64
TABLE = from_betas(linear_betas())
TWO = Ideal(torch.tensor([[-1.0], [1.0]], dtype=f64), 0.3, torch.tensor([0, 1]))


def evenly(n):
    return TABLE[torch.linspace(999, 0, n, dtype=f64).round().long()]


class Net(torch.nn.Module):
    """A small network whose output depends on z, its level and the text it is allowed to see; it
    writes down its calls.
    """

    def __init__(self):
        super().__init__()
        self.calls, self.prepared = [], []

    def prepare(self, cond):
        self.prepared.append(cond)
        return cond

    def forward(self, z, logsnr, cond):
        self.calls.append(len(z))
        text = (cond.text.tokens * cond.text.mask[..., None]).sum((1, 2))
        low = cond.lowres.image.mean((1, 2, 3)) if cond.lowres is not None else 0.0
        return (z * 0.3 + (text + low + 0.01 * logsnr).reshape(-1, 1, 1, 1)).sin()


def example(batch=3, length=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    text = Text(
        torch.randn(batch, length, 4, generator=g, dtype=f64),
        torch.rand(batch, length, generator=g) < 0.8,
    )
    lowres = LowRes(
        torch.randn(batch, 3, 2, 2, generator=g, dtype=f64), torch.zeros(batch, dtype=f64)
    )
    return (
        Cond(text, lowres),
        torch.randn(batch, 3, 4, 4, generator=g, dtype=f64),
        torch.full((batch,), -0.5, dtype=f64),
    )


# classifier-free guidance: closed form


@pytest.mark.parametrize(
    ("n", "mean", "deviation"), [(50, 1.640, 0.132), (200, 1.664, 0.145), (1000, 1.670, 0.147)]
)
def test_strong_guidance_has_the_mean_and_deviation_of_the_lesson(n, mean, deviation):
    """DDIM is a fixed map of z, so 2001 even quantiles of the normal give its moments without
    drawing anything.
    """
    z = torch.special.ndtri((torch.arange(2001, dtype=f64) + 0.5) / 2001)[:, None]
    *_, last = sample(guided(TWO, torch.ones(2001, dtype=torch.long), 8.0), evenly(n), z, ddim())
    assert last.x0.mean().item() == pytest.approx(mean, abs=6e-4)
    assert last.x0.std().item() == pytest.approx(deviation, abs=1.5e-3)


def test_strong_guidance_with_noise_does_not_sample_the_tilted_density():
    g = torch.Generator().manual_seed(0)
    z = torch.randn(4000, 1, generator=g, dtype=f64)
    *_, last = sample(
        guided(TWO, torch.ones(4000, dtype=torch.long), 8.0), evenly(1000), z, ancestral(), g
    )
    x = torch.linspace(-4, 4, 80_001, dtype=f64)
    log_p = torch.logaddexp(-((x - 1) ** 2) / 0.18, -((x + 1) ** 2) / 0.18)
    tilted = (log_p + 8 * torch.nn.functional.logsigmoid(2 * x / 0.09)).softmax(0)
    mean = (tilted * x).sum()
    assert mean.item() == pytest.approx(1.002, abs=5e-4)
    assert (tilted * (x - mean) ** 2).sum().sqrt().item() == pytest.approx(0.298, abs=5e-4)
    error = 0.28 / math.sqrt(4000)
    assert last.x0.mean().item() == pytest.approx(1.142, abs=4 * error)
    assert last.x0.mean() > mean + 20 * error
    assert last.x0.std().item() == pytest.approx(0.279, abs=4 * error)


def test_the_line_in_x0_is_the_paper_s_line_in_eps():
    cond, z, level = example()
    denoiser = Denoiser(Net(), "eps")
    conditional, without = denoiser(z, level, cond), denoiser(z, level, cond.without_text())
    got = guided(denoiser, cond, 7.5)(z, level)
    torch.testing.assert_close(got.eps, 7.5 * conditional.eps - 6.5 * without.eps)
    assert got.z is z
    assert got.logsnr is level


def test_one_call_on_a_doubled_batch_is_two_calls():
    cond, z, level = example()
    net = Net()
    denoiser = Denoiser(net)
    negative, _, _ = example(length=7, seed=1)
    for other in (None, negative):
        net.calls.clear()
        net.prepared.clear()
        denoise = guided(denoiser, cond, 3.0, negative=other)
        got = [denoise(z, level).x0 for _ in range(2)]
        assert net.calls == [6, 6]
        assert len(net.prepared) == 1
        assert len(net.prepared[0]) == 6
        conditional, without = (
            denoiser(z, level, cond).x0,
            denoiser(z, level, other or cond.without_text()).x0,
        )
        torch.testing.assert_close(got[0], 3 * conditional - 2 * without)
        assert torch.equal(got[0], got[1])


def test_the_first_rows_are_the_condition():
    cond, z, level = example()
    net = Net()
    guided(Denoiser(net), cond, 3.0)(z, level)
    both = net.prepared[0]
    assert torch.equal(both[:3].text.mask, cond.text.mask)
    assert not both[3:].text.mask.any()
    assert torch.equal(both[3:].lowres.image, cond.lowres.image)


def test_weight_one_skips_the_other_half_and_weight_zero_is_unconditional():
    cond, z, level = example()
    net = Net()
    denoiser = Denoiser(net)
    off = guided(denoiser, cond, 1.0)(z, level)
    assert net.calls == [3]
    assert len(net.prepared[0]) == 3
    torch.testing.assert_close(off.x0, denoiser(z, level, cond).x0, rtol=0, atol=0)
    torch.testing.assert_close(
        guided(denoiser, cond, 0.0)(z, level).x0, denoiser(z, level, cond.without_text()).x0
    )


def test_outside_the_interval_only_the_conditional_half_runs():
    cond, z, _ = example()
    net = Net()
    denoiser = Denoiser(net)
    denoise = guided(denoiser, cond, 5.0, interval=(-2.0, 3.0))
    for logsnr, rows in [(-2.1, 3), (-2.0, 6), (0.0, 6), (3.0, 6), (3.1, 3)]:
        net.calls.clear()
        got = denoise(z, torch.full((3,), logsnr, dtype=f64))
        assert net.calls == [rows]
        if rows == 3:
            torch.testing.assert_close(got.x0, denoiser(z, got.logsnr, cond).x0)
    assert len(net.prepared) == 1


def test_a_condition_without_text_has_nothing_to_drop():
    calls = []

    def denoiser(z, logsnr, cond):
        calls.append(len(z))
        return Prediction(z, logsnr, z * cond.lowres.image.mean())

    cond, z, level = example()
    guided(denoiser, Cond(lowres=cond.lowres), 5.0)(z, level)
    assert calls == [3]


def test_labels_take_two_calls_and_a_negative_label_replaces_none():
    z, level, labels = (
        torch.tensor([[0.2], [0.4]], dtype=f64),
        torch.zeros(2, dtype=f64),
        torch.tensor([1, 1]),
    )
    conditional, unconditional, other = (
        TWO(z, level, c).x0 for c in (labels, None, torch.tensor([0, 0]))
    )
    torch.testing.assert_close(
        guided(TWO, labels, 3.0)(z, level).x0, 3 * conditional - 2 * unconditional
    )
    torch.testing.assert_close(
        guided(TWO, labels, 3.0, negative=torch.tensor([0, 0]))(z, level).x0,
        3 * conditional - 2 * other,
    )
    outside = guided(TWO, labels, 3.0, interval=(1.0, 2.0))(z, level).x0
    assert torch.equal(outside, conditional)


def test_preparing_holds_no_graph():
    class Projects(Net):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1, dtype=f64))

        def prepare(self, cond):
            both = Cond(Text(cond.text.tokens * self.weight, cond.text.mask), cond.lowres)
            self.prepared.append(both)
            return both

    cond, _, _ = example()
    net = Projects()
    guided(Denoiser(net), cond, 2.0)
    assert not net.prepared[0].text.tokens.requires_grad


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_weight_or_scale_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="weight must be a finite number, got"):
        guided(TWO, None, value)
    with pytest.raises(ValueError, match="scale must be a finite number, got"):
        classifier_guided(TWO, TWO.classify, torch.zeros(1), value)
    with pytest.raises(ValueError, match="scale must be a finite number, got"):
        shifted(ddim(), TWO.classify, torch.zeros(1), value)


@pytest.mark.parametrize("interval", [(3.0, -3.0), (math.nan, 1.0)])
def test_an_interval_the_wrong_way_round_is_refused(interval):
    with pytest.raises(ValueError, match=r"interval must be \(low, high\)"):
        guided(TWO, None, 2.0, interval=interval)


# classifier guidance


def test_with_the_exact_classifier_guidance_is_the_conditional_denoiser():
    """eps - sigma grad log p(c | z) = eps(z, c): Bayes' rule on scores."""
    g = torch.Generator().manual_seed(0)
    ideal = Ideal(
        torch.randn(6, 2, 3, generator=g, dtype=f64), 0.4, torch.tensor([0, 0, 1, 1, 1, 2])
    )
    z, level = torch.randn(5, 2, 3, generator=g, dtype=f64), torch.linspace(-5, 5, 5, dtype=f64)
    labels = torch.tensor([0, 1, 2, 1, 0])
    got = classifier_guided(ideal, ideal.classify, labels, 1.0)(z, level)
    torch.testing.assert_close(got.eps, ideal(z, level, labels).eps, rtol=0, atol=1e-12)


def test_classifier_guidance_with_a_scale_is_classifier_free_guidance_with_the_exact_classifier():
    """scale = w: eps - w sigma grad = eps + w (eps(c) - eps)."""
    z, level, labels = (
        torch.tensor([[0.2], [-0.7]], dtype=f64),
        torch.tensor([0.3, -1.0], dtype=f64),
        torch.tensor([1, 0]),
    )
    one, two = (
        classifier_guided(TWO, TWO.classify, labels, 4.0)(z, level),
        guided(TWO, labels, 4.0)(z, level),
    )
    torch.testing.assert_close(one.x0, two.x0, rtol=1e-10, atol=1e-10)


def test_the_gradient_is_taken_inside_the_sampler_and_leaves_the_classifier_alone():
    linear = torch.nn.Linear(1, 2, dtype=f64)
    denoise = classifier_guided(TWO, lambda z, logsnr: linear(z), torch.tensor([1]), 1.0)
    *_, last = sample(denoise, evenly(5), torch.zeros(1, 1, dtype=f64), ddim())
    assert linear.weight.grad is None
    z = torch.zeros(1, 1, dtype=f64)
    denoise(z, evenly(1))
    assert not z.requires_grad
    assert not last.x0.requires_grad
    assert last.x0.isfinite().all()


def test_the_shifted_mean_is_moved_by_scale_variance_gradient():
    """A classifier with log p = a z + const for the chosen label has gradient a, so the shift is
    scale * variance * a.
    """
    level_t, level_s = torch.tensor([-1.0, 0.5], dtype=f64), torch.tensor([0.2, 1.0], dtype=f64)
    z, labels = torch.tensor([[0.4], [0.9]], dtype=f64), torch.tensor([1, 0])

    def classifier(z, logsnr):
        return torch.cat([torch.zeros_like(z), 1.7 * z], 1)

    p = torch.sigmoid(1.7 * z)
    gradient = torch.where(labels[:, None] == 1, 1.7 * (1 - p), -1.7 * p)
    pred = IdealGaussian(0.3, 0.6)(z, level_t)
    for gamma in (0.0, 1.0):
        same = [torch.Generator().manual_seed(5) for _ in range(2)]
        plain = ancestral(gamma)(pred, level_s, same[0])
        with torch.no_grad():
            moved = shifted(ancestral(gamma), classifier, labels, 2.5, gamma)(
                pred, level_s, same[1]
            )
        torch.testing.assert_close(
            moved - plain, 2.5 * ancestral_variance(pred, level_s, gamma) * gradient
        )


def test_the_shifted_sampler_with_the_exact_classifier_draws_the_class():
    """A thousand small steps with the original form draw N(1, 0.3^2), the right class alone, within
    sampling error.
    """
    g = torch.Generator().manual_seed(0)
    z = torch.randn(2000, 1, generator=g, dtype=f64)
    step = shifted(ancestral(1.0), TWO.classify, torch.ones(2000, dtype=torch.long), 1.0, gamma=1.0)
    *_, last = sample(TWO, TABLE.flip(0), z, step, g)
    assert last.x0.mean().item() == pytest.approx(1.0, abs=0.01 + 4 * 0.3 / math.sqrt(2000))
    assert last.x0.std().item() == pytest.approx(0.3, abs=0.01 + 4 * 0.3 / math.sqrt(4000))


# the training twin


def batches(count=40, batch=50):
    text = Text(torch.ones(batch, 2, 1), torch.ones(batch, 2, dtype=torch.bool))
    return [(torch.zeros(batch, 3, 2, 2), Cond(text)) for _ in range(count)]


@pytest.mark.parametrize(("probability", "error"), [(0.0, 0.0), (0.1, 0.027), (1.0, 0.0)])
def test_drop_text_drops_each_picture_with_its_probability(probability, error):
    """2000 pictures; the allowed error is four standard errors."""
    out = list(drop_text(batches(), probability, torch.Generator().manual_seed(0)))
    dropped = torch.cat([~cond.text.mask.any(1) for _, cond in out])
    assert len(dropped) == 2000
    assert dropped.double().mean().item() == pytest.approx(probability, abs=error)
    assert all(cond.text.mask.all(1).logical_or(~cond.text.mask.any(1)).all() for _, cond in out)


def test_drop_text_follows_its_generator_and_is_lazy():
    def masks(seed):
        return [
            cond.text.mask
            for _, cond in drop_text(batches(3), 0.5, torch.Generator().manual_seed(seed))
        ]

    assert all(torch.equal(a, b) for a, b in zip(masks(1), masks(1), strict=True))
    assert not torch.equal(torch.cat(masks(1)), torch.cat(masks(2)))

    def endless():
        while True:
            yield batches(1)[0]

    assert next(iter(drop_text(endless(), 0.5))) is not None


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan])
def test_drop_text_refuses_what_is_no_probability_at_once(probability):
    with pytest.raises(ValueError, match=r"probability must lie in \[0, 1\], got"):
        drop_text([], probability)


def test_a_doubled_batch_on_meta_gives_a_shape():
    cond, _, _ = example()
    meta = stack(cond, cond).to("meta")[:3]
    z, level = torch.empty(3, 3, 4, 4, device="meta"), torch.empty(3, device="meta")
    assert guided(Denoiser(Net()), meta, 4.0, interval=(-1, 1))(z, level).x0.shape == z.shape


def test_the_noise_scales_of_both_guidances_agree():
    """x0 + scale (sigma^2 / alpha) grad is eps - scale sigma grad at the same z."""
    z, level = torch.tensor([[0.4]], dtype=f64), torch.tensor([1.2], dtype=f64)
    _, sigma = alpha_sigma(level, 2)
    slope = torch.tensor([[2.0]], dtype=f64)
    plain = TWO(z, level)
    got = classifier_guided(
        TWO, lambda z, logsnr: torch.cat([z * 0, 60 + 2 * z], 1).double(), torch.tensor([0]), 3.0
    )(z, level)
    torch.testing.assert_close(got.eps, plain.eps - 3.0 * sigma * -slope)
