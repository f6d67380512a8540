"""Lesson 06: one loop, several small steps."""

import math
import weakref

import pytest
import torch

from minimagen.ddpm import linear_betas, q_posterior
from minimagen.denoiser import Denoiser, Prediction
from minimagen.guidance import classifier_guided, guided, shifted
from minimagen.ideal import Ideal, IdealGaussian
from minimagen.noise import alpha_sigma, cosine, from_betas, linear
from minimagen.samplers import (
    STEPS,
    ancestral,
    ancestral_variance,
    ddim,
    dpmpp_2m,
    heun,
    last,
    sample,
    steps,
)
from minimagen.thresholding import dynamic, static, thresholded

f64 = torch.float64
MEAN, STD = 1.5, 0.5
GAUSSIAN = IdealGaussian(MEAN, STD)
TABLE = from_betas(linear_betas())
ALL = pytest.mark.parametrize("name", STEPS)


def result(denoise, logsnrs, z, step, generator=None):
    *_, last = sample(denoise, logsnrs, z, step, generator)
    return last.x0


def evenly(n):
    """n log-SNRs of the beta table: k = round(linspace(0, 999, n)), noise first."""
    return TABLE[torch.linspace(999, 0, n, dtype=f64).round().long()]


def line(logsnrs, step):
    """With a Gaussian denoiser a deterministic sampler is x0 = slope z + offset, and z ~ N(0, 1):
    exact mean and deviation.
    """
    offset, one = (
        result(GAUSSIAN, logsnrs, torch.tensor([[0.0], [1.0]], dtype=f64), step).flatten().tolist()
    )
    return offset, one - offset


def moments(logsnrs, gamma):
    """Exact mean and deviation of the last x0 under `ancestral(gamma)`, carried from step to step
    with no sampling.
    """
    probe, mean, variance = (
        torch.tensor([[0.0], [1.0]], dtype=f64),
        torch.zeros((), dtype=f64),
        torch.ones((), dtype=f64),
    )
    for logsnr_t, logsnr_s in zip(logsnrs[:-1].unbind(), logsnrs[1:].unbind(), strict=True):
        pred = GAUSSIAN(probe, logsnr_t.expand(2))
        noise = torch.randn(1, generator=torch.Generator().manual_seed(0), dtype=f64)
        two = [torch.Generator().manual_seed(0) for _ in range(2)]
        added = ancestral_variance(pred, logsnr_s.expand(2), gamma)[0].squeeze()
        zero, one = ancestral(gamma)(pred, logsnr_s.expand(2), two).flatten() - added.sqrt() * noise
        mean, variance = zero + (one - zero) * mean, (one - zero) ** 2 * variance + added
    zero, one = GAUSSIAN(probe, logsnrs[-1:].expand(2)).x0.flatten()
    return (zero + (one - zero) * mean).item(), ((one - zero) * variance.sqrt()).item()


# closed form


@pytest.mark.parametrize(("n", "wanted"), [(10, 0.3616), (50, 0.4719), (1000, 0.4985)])
def test_ddim_has_the_deviation_of_the_lesson(n, wanted):
    mean, deviation = line(evenly(n), ddim())
    assert deviation == pytest.approx(wanted, abs=5e-5)
    assert mean == pytest.approx(MEAN, abs=0.007)


@pytest.mark.parametrize(("n", "wanted"), [(10, 0.3228), (50, 0.4432), (1000, 0.4961)])
def test_ancestral_has_the_deviation_of_the_lesson(n, wanted):
    mean, deviation = moments(evenly(n), 0.0)
    assert deviation == pytest.approx(wanted, abs=5e-5)
    assert mean == pytest.approx(MEAN, abs=0.007)


def test_the_larger_ancestral_noise_approaches_the_data_from_above():
    few, many = moments(evenly(50), 1.0)[1], moments(evenly(1000), 1.0)[1]
    assert STD < many < few
    assert many - STD < 0.01


@pytest.mark.parametrize(
    ("step", "order", "errors"),
    [
        (ddim(), 1, [1.21e-1, 6.17e-2, 3.11e-2, 1.56e-2]),
        (heun(), 2, [1.05e-1, 1.99e-2, 4.35e-3, 9.97e-4]),
        (dpmpp_2m(), 2, [1.80e-2, 7.69e-3, 1.97e-3, 4.61e-4]),
    ],
    ids=["ddim", "heun", "dpmpp_2m"],
)
def test_the_samplers_converge_with_orders_one_two_two(step, order, errors):
    seen = [
        abs(line(torch.linspace(-10, 10, n, dtype=f64), step)[1] - STD) for n in (10, 20, 40, 80)
    ]
    assert seen == pytest.approx(errors, rel=5e-3)
    assert math.log2(seen[2] / seen[3]) == pytest.approx(order, abs=0.15)


@ALL
def test_every_sampler_draws_the_gaussian(name):
    """20 000 draws from 80 even log-SNRs; the stated error is the sampler's own plus four standard
    errors.
    """
    z = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0), dtype=f64)
    x = result(
        GAUSSIAN,
        torch.linspace(-10, 10, 80, dtype=f64),
        z,
        STEPS[name](),
        torch.Generator().manual_seed(1),
    )
    own = {"ancestral": 0.04, "ddim": 0.016, "heun": 0.001, "dpmpp_2m": 0.001}[name]
    assert x.mean().item() == pytest.approx(MEAN, abs=0.005 + 4 * STD / math.sqrt(20_000))
    assert x.std().item() == pytest.approx(STD, abs=own + 4 * STD / math.sqrt(40_000))


@pytest.mark.parametrize("gamma", [0.0, 0.4])
def test_ancestral_keeps_the_marginal(gamma):
    """If x0 is known exactly, z_t ~ q(z_t | x0) becomes z_s ~ q(z_s | x0) for gamma = 0; gamma adds
    its known excess.
    """
    level_t, level_s = torch.full((2,), -1.3, dtype=f64), torch.full((2,), 0.4, dtype=f64)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = alpha_sigma(level_t, 2), alpha_sigma(level_s, 2)
    x0 = torch.full((2, 1), 0.8, dtype=f64)
    z = alpha_t * x0 + torch.tensor([[0.0], [1.0]], dtype=f64) * sigma_t
    pred, same = Prediction(z, level_t, x0), [torch.Generator().manual_seed(2) for _ in range(2)]
    variance = ancestral_variance(pred, level_s, gamma)
    noise = torch.randn(1, generator=torch.Generator().manual_seed(2), dtype=f64)
    centre, moved = ancestral(gamma)(pred, level_s, same) - variance.sqrt() * noise
    torch.testing.assert_close(centre, (alpha_s * x0)[0])
    total = (moved - centre) ** 2 + variance[0]
    excess = variance[0] - ancestral_variance(pred, level_s, 0.0)[0]
    torch.testing.assert_close(total - excess, sigma_s[0] ** 2)
    assert (excess > 0) == (gamma > 0)


def test_ddim_keeps_the_marginal_for_every_eta():
    level_t, level_s = torch.full((1,), -1.3, dtype=f64), torch.full((1,), 0.4, dtype=f64)
    x0, sigma_s = torch.zeros(1, 200_000, dtype=f64), alpha_sigma(level_s, 1)[1].item()
    z = alpha_sigma(level_t, 2)[1] * torch.randn(
        1, 200_000, generator=torch.Generator().manual_seed(3), dtype=f64
    )
    for eta in (0.0, 0.5, 1.0):
        out = ddim(eta)(Prediction(z, level_t, x0), level_s, torch.Generator().manual_seed(4))
        assert out.std().item() == pytest.approx(sigma_s, rel=0.01)


def test_ddim_with_eta_one_is_ancestral_with_gamma_zero():
    z = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=f64)
    levels = steps(cosine, 12)
    one, two = (
        result(GAUSSIAN, levels, z, s, torch.Generator().manual_seed(1))
        for s in (ddim(1.0), ancestral(0.0))
    )
    torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_ancestral_on_a_beta_table_is_ddpm_s_posterior(gamma):
    betas, k = linear_betas(), torch.tensor([1, 400, 999])
    g = torch.Generator().manual_seed(0)
    x0, z = torch.randn(3, 5, generator=g, dtype=f64), torch.randn(3, 5, generator=g, dtype=f64)
    pred, noise = (
        Prediction(z, TABLE[k], x0),
        torch.randn(3, 5, generator=torch.Generator().manual_seed(9), dtype=f64),
    )
    mean, small = q_posterior(x0, z, k, betas)
    variance = small if gamma == 0 else betas[k, None]
    got = ancestral(gamma)(pred, TABLE[k - 1], torch.Generator().manual_seed(9))
    torch.testing.assert_close(got, mean + variance.sqrt() * noise, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["ddim", "heun", "dpmpp_2m"])
def test_a_step_with_a_constant_estimate_ends_on_the_line_to_it(name):
    """A denoiser that always says c has straight paths: every deterministic step lands on alpha_s c
    + sigma_s eps.
    """
    levels, c = (
        torch.tensor([-4.0, -1.0, 0.5, 3.0], dtype=f64),
        torch.tensor([[0.3, -0.8]], dtype=f64),
    )
    z = torch.tensor([[1.0, 2.0]], dtype=f64)
    first, *_, last = sample(lambda z, logsnr: Prediction(z, logsnr, c), levels, z, STEPS[name]())
    alpha, sigma = alpha_sigma(levels[-1:], 2)
    torch.testing.assert_close(last.z, alpha * c + sigma * first.eps)


# golden loops


def golden_net(z, logsnr):
    k = (TABLE - logsnr[0].double()).abs().argmin().item()
    return z * k / (k + 1)


GOLDEN = (torch.arange(768, dtype=torch.float32).reshape(3, 8, 8, 4) / 768).permute(3, 0, 1, 2)


# The published sums of the noisy loop come from float32 tables; with exact tables it gives 258.9591
# and 202.0283.
@pytest.mark.parametrize(
    ("target", "published", "exact"), [("eps", 258.9606, 258.9591), ("v", 202.0296, 202.0283)]
)
def test_the_golden_ddpm_loop(target, published, exact):
    denoise = thresholded(Denoiser(golden_net, target), static)
    total = (
        result(denoise, TABLE.flip(0), GOLDEN, ancestral(), torch.Generator().manual_seed(0))
        .abs()
        .sum()
        .item()
    )
    assert total == pytest.approx(published, abs=2e-3)
    assert total == pytest.approx(exact, abs=5e-4)


@pytest.mark.parametrize(("target", "wanted"), [("eps", 172.0067), ("v", 52.5302)])
def test_the_golden_ddim_loop(target, wanted):
    denoise = thresholded(Denoiser(golden_net, target), static)
    total = result(denoise, TABLE[torch.arange(900, -1, -100)], GOLDEN, ddim()).abs().sum().item()
    assert total == pytest.approx(wanted, abs=5e-4)


# the loop


def test_n_logsnrs_give_n_predictions_and_the_stated_evaluations():
    for name, wanted in {"ancestral": 5, "ddim": 5, "heun": 9, "dpmpp_2m": 5}.items():
        calls = []

        def denoise(z, logsnr, calls=calls):
            assert z.shape == (2, 3)
            assert logsnr.shape == (2,)
            assert logsnr.dtype == torch.float32
            calls.append(logsnr[0].item())
            return GAUSSIAN(z, logsnr)

        preds = list(
            sample(denoise, torch.linspace(-4, 4, 5, dtype=f64), torch.zeros(2, 3), STEPS[name]())
        )
        assert len(preds) == 5
        assert len(calls) == wanted
        assert [p.logsnr[0].item() for p in preds] == [-4, -2, 0, 2, 4]
        assert all(p.x0.dtype == torch.float32 for p in preds)


def test_the_loop_gives_each_step_the_previous_prediction():
    seen = []

    def step(pred, logsnr_s, generator=None, previous=None, denoise=None):
        seen.append((pred, previous))
        return pred.z

    preds = list(sample(GAUSSIAN, torch.tensor([-1.0, 0.0, 1.0]), torch.zeros(1, 1), step))
    assert [s[0] for s in seen] == preds[:2]
    assert seen[0][1] is None
    assert seen[1][1] is preds[0]


def test_the_loop_leaves_gradients_as_the_caller_has_them():
    weight = torch.ones(1, requires_grad=True)

    def denoise(z, logsnr):
        return Prediction(z, logsnr, z * weight)

    for pred in sample(denoise, torch.tensor([-1.0, 0.0]), torch.ones(1, 1), ddim()):
        assert torch.is_grad_enabled()
        assert not pred.x0.requires_grad
        assert not torch.is_inference(pred.x0)


@ALL
def test_a_picture_does_not_depend_on_the_batch_it_is_drawn_in(name):
    def draw(seeds):
        z = torch.stack(
            [torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(s)) for s in seeds]
        )
        return result(
            GAUSSIAN,
            steps(cosine, 6),
            z,
            STEPS[name](),
            [torch.Generator().manual_seed(s + 100) for s in seeds],
        )

    torch.testing.assert_close(draw([1, 2, 3])[1:2], draw([2]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("levels", [[1.0, 0.0], [0.0, 0.0], [0.0, math.nan], [-math.inf, 0.0]])
def test_levels_that_do_not_increase_are_refused_before_anything_is_drawn(levels):
    with pytest.raises(ValueError, match="logsnrs must be finite and increase strictly"):
        sample(GAUSSIAN, torch.tensor(levels), torch.zeros(1, 1), ddim())


@pytest.mark.parametrize("levels", [torch.zeros(0), torch.zeros(()), torch.zeros(2, 2)])
def test_levels_that_are_no_vector_are_refused(levels):
    with pytest.raises(ValueError, match="logsnrs must be a vector with one entry or more"):
        sample(GAUSSIAN, levels, torch.zeros(1, 1), ddim())


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_a_share_of_noise_outside_the_unit_interval_is_refused(value):
    with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\], got"):
        ancestral(value)
    with pytest.raises(ValueError, match=r"eta must lie in \[0, 1\], got"):
        ddim(value)


def test_steps_run_from_noise_to_the_last_time_before_zero():
    torch.testing.assert_close(
        steps(linear, 4), linear(torch.tensor([1.0, 0.75, 0.5, 0.25], dtype=f64))
    )
    assert steps(cosine, 1).tolist() == [-20.0]
    assert (steps(cosine, 1000).float().diff() > 0).all()
    assert steps(cosine, 10, start=0.995)[0].item() == pytest.approx(-9.69, abs=0.01)


@pytest.mark.parametrize("n", [0, -5, 2.0, True])
def test_a_number_of_steps_that_is_not_positive_is_refused(n):
    with pytest.raises(ValueError, match="n must be a positive number of steps"):
        steps(cosine, n)


@pytest.mark.parametrize("start", [0.0, 1.01, math.nan])
def test_a_start_outside_the_unit_interval_is_refused(start):
    with pytest.raises(ValueError, match=r"start must be a time in \(0, 1\]"):
        steps(cosine, 5, start)


def test_heun_needs_a_start_that_is_not_pure_noise():
    """The docstring's warning in numbers: 20 cosine steps from t = 1 miss the deviation, from 0.995
    they do not.
    """
    assert line(steps(cosine, 20), heun())[1] > 2 * STD
    assert line(steps(cosine, 20, start=0.995), heun())[1] == pytest.approx(STD, rel=0.01)


@ALL
def test_every_sampler_runs_on_the_meta_device(name):
    z = torch.empty(2, 3, 4, 4, device="meta")
    denoise = guided(lambda z, logsnr, cond: Prediction(z, logsnr, z), torch.zeros(2), 3.0)
    x = result(thresholded(denoise, dynamic()), steps(cosine, 3), z, STEPS[name]())
    assert x.is_meta
    assert x.shape == z.shape


# every sampler with every wrapper

DATA = Ideal(torch.tensor([[-0.5], [0.5]], dtype=f64), 0.1, torch.tensor([0, 1]))
RIGHT = torch.ones(64, dtype=torch.long)
WRAPPED = {
    "guided": lambda: guided(DATA, RIGHT, 2.0),
    "classifier_guided": lambda: classifier_guided(DATA, DATA.classify, RIGHT, 1.0),
    "static": lambda: thresholded(guided(DATA, RIGHT, 2.0), static),
    "dynamic": lambda: thresholded(guided(DATA, RIGHT, 2.0), dynamic(0.9)),
    "both guidances": lambda: thresholded(
        classifier_guided(guided(DATA, RIGHT, 1.5), DATA.classify, RIGHT, 0.5), static
    ),
}


@ALL
@pytest.mark.parametrize("wrapper", WRAPPED)
def test_every_sampler_works_with_every_wrapper(name, wrapper):
    """All 64 draws land at the class that was asked for, and a second run gives the same."""
    z = torch.randn(64, 1, generator=torch.Generator().manual_seed(0), dtype=f64)
    levels = torch.linspace(-9, 9, 30, dtype=f64)
    one, two = (
        result(WRAPPED[wrapper](), levels, z, STEPS[name](), torch.Generator().manual_seed(1))
        for _ in range(2)
    )
    assert torch.equal(one, two)
    assert one.min() > 0.1
    assert one.max() <= 1.2


@ALL
def test_every_sampler_works_with_the_shifted_mean(name):
    z = torch.randn(64, 1, generator=torch.Generator().manual_seed(0), dtype=f64)
    step = shifted(STEPS[name](), DATA.classify, RIGHT, 1.0)
    x = result(
        DATA, torch.linspace(-9, 9, 60, dtype=f64), z, step, torch.Generator().manual_seed(1)
    )
    assert x.isfinite().all()
    assert (x > 0).double().mean() > 0.9


# independent implementation


def ours_and_theirs(seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 4, 4, generator=g, dtype=f64), torch.randn(
        2, 3, 4, 4, generator=g, dtype=f64
    )


def exact_tables(scheduler):
    scheduler.betas, scheduler.alphas = linear_betas(), 1 - linear_betas()
    scheduler.alphas_cumprod, scheduler.one = (
        scheduler.alphas.cumprod(0),
        torch.tensor(1.0, dtype=f64),
    )
    return scheduler


def prediction(z, output, logsnr, target="eps"):
    return Denoiser(lambda z, logsnr: output, target)(z, logsnr)


@pytest.mark.parametrize(("gamma", "variance"), [(0.0, "fixed_small"), (1.0, "fixed_large")])
@pytest.mark.parametrize(
    ("target", "name"), [("eps", "epsilon"), ("v", "v_prediction"), ("x0", "sample")]
)
def test_the_ancestral_step_agrees_with_diffusers(gamma, variance, target, name):
    diffusers = pytest.importorskip("diffusers")
    theirs = exact_tables(
        diffusers.DDPMScheduler(variance_type=variance, clip_sample=False, prediction_type=name)
    )
    z, output = ours_and_theirs()
    for k in (1, 500, 999):
        wanted = theirs.step(output, k, z, generator=torch.Generator().manual_seed(k)).prev_sample
        pred = prediction(z, output, TABLE[k].expand(2), target)
        got = ancestral(gamma)(pred, TABLE[k - 1].expand(2), torch.Generator().manual_seed(k))
        torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_the_ddim_step_agrees_with_diffusers(eta):
    diffusers = pytest.importorskip("diffusers")
    theirs = exact_tables(diffusers.DDIMScheduler(clip_sample=False))
    theirs.set_timesteps(10)
    z, output = ours_and_theirs()
    for k in (100, 500, 900):
        wanted = theirs.step(
            output, k, z, eta=eta, generator=torch.Generator().manual_seed(k)
        ).prev_sample
        got = ddim(eta)(
            prediction(z, output, TABLE[k].expand(2)),
            TABLE[k - 100].expand(2),
            torch.Generator().manual_seed(k),
        )
        torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-8)


def test_dpm_solver_agrees_with_diffusers_step_by_step():
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DPMSolverMultistepScheduler(
        beta_schedule="linear", solver_order=2, lower_order_final=False
    )
    theirs.set_timesteps(12)
    levels = (
        -2 * theirs.sigmas[:-1].double().log()
    )  # its sigma is sigma / alpha; its last, zero, is our last x0
    z, _ = ours_and_theirs()
    wanted, preds = z, list(sample(GAUSSIAN, levels, z, dpmpp_2m()))
    for pred, k, level in zip(preds, theirs.timesteps, levels, strict=True):
        torch.testing.assert_close(pred.z, wanted, rtol=1e-5, atol=1e-5)
        wanted = theirs.step(GAUSSIAN(wanted, level.expand(2)).eps, k, wanted).prev_sample.double()


def test_heun_agrees_with_diffusers_step_by_step():
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.HeunDiscreteScheduler(beta_schedule="linear", num_train_timesteps=1000)
    theirs.set_timesteps(12)
    widths = theirs.sigmas.double()  # sigma / alpha, every inner one twice; it holds z / alpha
    levels = -2 * torch.cat([widths[:1], widths[1:-2:2]]).log()
    z, _ = ours_and_theirs()
    preds = list(sample(GAUSSIAN, levels, z, heun()))
    x, got = z / alpha_sigma(levels[:1], 4)[0], []
    for i, k in enumerate(theirs.timesteps):
        level = -2 * widths[i].log().expand(2)
        z_in = x * alpha_sigma(level, 4)[0]
        if i % 2 == 0:
            got.append(z_in)
        x = theirs.step(GAUSSIAN(z_in, level).eps, k, x).prev_sample.double()
    assert len(got) == len(preds) == 12
    for pred, wanted in zip(preds, got, strict=True):
        torch.testing.assert_close(pred.z, wanted, rtol=1e-5, atol=1e-5)


def test_the_last_prediction_is_what_a_run_ends_with_and_the_others_are_let_go():
    """A run itself holds two predictions, for its steps; of eight, three live at one time."""
    levels, z = torch.linspace(-5, 5, 8), torch.zeros(1, 2)
    run = lambda: sample(IdealGaussian(1.0, 0.5), levels, z, ddim())
    *_, end = run()
    assert torch.equal(last(run()).x0, end.x0)
    assert torch.equal(last(run()).logsnr, end.logsnr)
    references, alive = [], []

    def watched():
        for pred in run():
            references.append(weakref.ref(pred))
            alive.append(sum(reference() is not None for reference in references))
            yield pred

    last(watched())
    assert len(alive) == 8
    assert max(alive) <= 3
    with pytest.raises(ValueError, match="predictions must hold one prediction or more, got none"):
        last(iter([]))
