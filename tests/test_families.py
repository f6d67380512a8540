"""Lesson 01: the four families of generative models."""

import math
from itertools import islice

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, kl_divergence

from minimagen import families
from minimagen.conditioning import Cond
from minimagen.families import GAN, VAE, Coupling, Diffusion, Flow, Ring
from minimagen.ideal import IdealGaussian
from minimagen.training import train

f64 = torch.float64
ALL = [GAN, VAE, Flow, Diffusion]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shaken(model: torch.nn.Module, by: float = 0.3) -> torch.nn.Module:
    """The same model in float64 with weights that are far from where they start."""
    g = seeded(1)
    for parameter in model.parameters():
        parameter.data = parameter.data.double() + by * torch.randn(
            parameter.shape, generator=g, dtype=f64
        )
    return model.double()


def grid(limit: float, n: int) -> tuple[torch.Tensor, float]:
    """The middles of n x n squares over [-limit, limit]^2 -> (n n, 2), and the area of a square."""
    x = (torch.arange(n, dtype=f64) + 0.5) / n * 2 * limit - limit
    return torch.cartesian_prod(x, x), (2 * limit / n) ** 2


# --- the points ---


def test_the_density_of_the_ring_is_that_of_a_mixture_and_integrates_to_1():
    ring = Ring(modes=5, radius=1.0, std=0.2)
    parts = Independent(Normal(ring.centres.double(), 0.2), 1)
    mixture = MixtureSameFamily(Categorical(torch.ones(5, dtype=f64)), parts)
    x, area = grid(2.5, 250)
    torch.testing.assert_close(ring.log_prob(x), mixture.log_prob(x), rtol=0, atol=1e-6)
    assert (ring.log_prob(x).exp().sum() * area).item() == pytest.approx(1, abs=1e-6)


def test_points_of_the_ring_fill_its_modes_evenly():
    ring = Ring()
    x = ring.draw(20_000, seeded(0))
    share = families.hits(x, ring.centres, 3 * ring.std) / len(x)
    assert share.sum().item() == pytest.approx(
        1 - math.exp(-4.5), abs=0.003
    )  # a Gaussian in the plane, within 3 deviations
    assert (share - share.mean()).abs().max() < 0.01
    assert (x - ring.draw(20_000, seeded(0))).abs().max() == 0


def test_a_mode_is_covered_by_a_part_of_its_fair_share_of_near_points():
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
    points = centres.repeat_interleave(torch.tensor([88, 7, 4, 1]), 0)
    points = torch.cat([points, torch.full((20, 2), 2.1)])  # between the modes
    assert families.hits(points, centres, 0.5).tolist() == [88, 7, 4, 1]
    assert [
        families.covered(points, centres, 0.5, share) for share in (0.01, 0.1, 0.2, 0.5, 1.0)
    ] == [4, 3, 2, 1, 1]
    assert (
        families.hits(points, centres, 4.0).sum() == 120
    )  # each point once, though two centres are in reach
    assert families.covered(points, centres, 0.5) == 1  # a quarter of 30
    with pytest.raises(ValueError, match="points must hold one point or more"):
        families.covered(points[:0], centres, 0.5)
    with pytest.raises(ValueError, match=r"min_share must lie in \(0, 1\], .* got 0"):
        families.covered(points, centres, 0.5, 0)


# --- what all share ---


@pytest.mark.parametrize("family", ALL)
def test_a_family_fits_and_draws_the_same_from_the_same_generators(family):
    def run():
        model = family(generator=seeded(0))
        losses = list(model.fit(Ring().draw(200, seeded(1)), 4, 16, generator=seeded(2)))
        return losses, model.draw(7, seeded(3))

    (losses, x), (again, y) = run(), run()
    assert len(losses) == 4
    assert losses == again
    assert x.shape == (7, 2)
    assert torch.equal(x, y)
    assert not x.requires_grad


@pytest.mark.parametrize("family", ALL)
def test_fit_can_be_stopped_and_changes_the_points_by_nothing(family):
    points = Ring().draw(200, seeded(1))
    kept = points.clone()
    assert (
        len(list(islice(family(generator=seeded(0)).fit(points, 100, 16, generator=seeded(2)), 3)))
        == 3
    )
    assert torch.equal(points, kept)
    assert not points.requires_grad


def test_the_families_are_equally_large_and_say_what_they_have():
    sizes = [sum(p.numel() for p in family().parameters()) for family in ALL]
    assert max(sizes) < 1.04 * min(sizes)
    assert [family.likelihood for family in ALL] == ["none", "bound", "exact", "bound"]
    assert [hasattr(family, "log_likelihood") for family in ALL] == [False, True, True, True]
    assert [family().evaluations for family in ALL] == [1, 1, 1, 50]


@pytest.mark.parametrize("family", [VAE, Flow, Diffusion])
def test_two_hundred_steps_raise_the_likelihood(family):
    ring = Ring()
    model, x = family(generator=seeded(0)), ring.draw(500, seeded(9))
    before = model.log_likelihood(x, seeded(3)).mean()
    list(model.fit(ring.draw(2000, seeded(1)), 200, 128, generator=seeded(2)))
    after = model.log_likelihood(x, seeded(3)).mean()
    assert after > before + 0.1
    assert after < ring.log_prob(x).mean() + 0.05  # no model beats the truth by more than chance


def test_a_network_starts_from_its_generator_alone():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second = (
        families.mlp(2, 50, 3, generator=seeded(0)),
        families.mlp(2, 50, 3, generator=seeded(0)),
    )
    assert torch.equal(state, torch.get_rng_state())
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [m.in_features for m in first if isinstance(m, torch.nn.Linear)] == [2, 50, 50, 50]
    assert 0.9 * 50**-0.5 < first[2].weight.abs().max() <= 50**-0.5


# --- GAN ---


def js(log_p: torch.Tensor, log_g: torch.Tensor, width: float) -> float:
    """The Jensen-Shannon divergence of two densities on a grid, straight from its definition."""
    m = (log_p.exp() + log_g.exp()) / 2
    return (
        0.5
        * width
        * ((log_p.exp() * (log_p - m.log())).sum() + (log_g.exp() * (log_g - m.log())).sum()).item()
    )


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.0, 0.5), (3.0, 1.0)])
def test_the_value_at_the_best_discriminator_is_minus_log_4_plus_twice_js(mean, std):
    p, g = Normal(torch.zeros((), dtype=f64), 1.0), Normal(torch.tensor(mean, dtype=f64), std)
    u = (
        torch.arange(200_000, dtype=f64) + 0.5
    ) / 200_000  # evenly spread quantiles: their mean is an expectation
    real, fake = p.icdf(u), g.icdf(u)
    best = lambda x: p.log_prob(x) - g.log_prob(x)  # the logit of p / (p + g)
    x = torch.linspace(-12, 15, 200_001, dtype=f64)
    expected = -math.log(4) + 2 * js(p.log_prob(x), g.log_prob(x), 27 / 200_000)
    value = families.game_value(best(real), best(fake)).item()
    assert value == pytest.approx(expected, abs=2e-4)
    assert value >= -math.log(4) - 1e-12
    for other in (
        lambda x: 0.9 * best(x) + 0.05,
        lambda x: best(x) - 0.2,
        lambda x: best(x) + 0.3 * x.sin(),
    ):
        assert families.game_value(other(real), other(fake)).item() < value


def test_forgetting_half_of_the_modes_costs_three_halves_of_log_four_thirds():
    # p even on 8 symbols, g even on 4 of them: D = 1/3 where both are, 1 where only p is.
    real = torch.tensor([-math.log(2)] * 4 + [math.inf] * 4, dtype=f64)
    fake = torch.full((4,), -math.log(2), dtype=f64)
    assert families.game_value(real, fake).item() == pytest.approx(
        1.5 * math.log(4 / 3) - math.log(4), abs=1e-12
    )


def test_the_gan_learns_one_mode_and_its_game_nears_minus_log_4():
    points = 0.5 * torch.randn(2000, 2, generator=seeded(1)) + torch.tensor([1.0, -1.0])
    model = GAN(generator=seeded(0))
    losses = list(model.fit(points, 300, 256, generator=seeded(2)))
    x = model.draw(4000, seeded(3))
    torch.testing.assert_close(x.mean(0), torch.tensor([1.0, -1.0]), rtol=0, atol=0.15)
    assert sum(losses[-50:]) / 50 == pytest.approx(math.log(4), abs=0.1)


def test_a_lagging_discriminator_learns_at_one_step_in_every():
    model, states = GAN(every=3, generator=seeded(0)), []
    for _ in model.fit(Ring().draw(100, seeded(1)), 7, 8, generator=seeded(2)):
        states.append(
            [player[0].weight.detach().clone() for player in (model.discriminator, model.generator)]
        )
    moved = [
        [not torch.equal(a, b) for a, b in zip(s, t, strict=True)]
        for s, t in zip(states, states[1:], strict=False)
    ]
    assert [discriminator for discriminator, _ in moved] == [False, False, True, False, False, True]
    assert all(generator for _, generator in moved)


def test_the_penalty_holds_the_slope_of_the_discriminator_down():
    def slope(penalty):
        model, points = GAN(penalty=penalty, generator=seeded(0)), Ring(2).draw(500, seeded(1))
        list(model.fit(points, 60, 64, generator=seeded(2)))
        x = points.clone().requires_grad_()
        return torch.autograd.grad(model.discriminator(x).sum(), x)[0].norm(dim=1).mean()

    assert slope(10.0) < 0.5 * slope(0.0)


# --- VAE ---


def test_the_bound_of_the_vae_pays_the_gaussian_divergence_of_torch():
    """log p(x | z) - the bound, at the z of the same generator."""
    model, x = shaken(VAE()), torch.randn(6, 2, generator=seeded(0), dtype=f64)
    mean, log_std = model.encoder(x).chunk(2, 1)
    z = mean + log_std.exp() * torch.randn(6, 1, generator=seeded(1), dtype=f64)
    explained = families.normal_log_prob(x, model.decoder(z), model.log_std)
    paid = kl_divergence(Normal(mean, log_std.exp()), Normal(0 * mean, 1.0)).sum(1)
    torch.testing.assert_close(explained - model.log_likelihood(x, seeded(1)), paid)


def latent_grid(model: VAE, x: torch.Tensor):
    """A fine grid of z: log p(x, z) + log dz (N, Z), and log q(z | x) + log dz."""
    z = torch.linspace(-12, 12, 6001, dtype=f64)[:, None]
    mean, log_std = model.encoder(x).chunk(2, 1)
    joint = families.normal_log_prob(
        x[:, None], model.decoder(z), model.log_std
    ) + families.normal_log_prob(z)
    posterior = families.normal_log_prob(z[None], mean[:, None], log_std[:, None])
    return (part + math.log(24 / 6000) for part in (joint, posterior))


@pytest.mark.parametrize("trained", [False, True])
def test_the_bound_of_the_vae_falls_short_by_the_divergence_of_its_posterior(trained):
    model, x = VAE(generator=seeded(0)), Ring().draw(6, seeded(4)).double()
    if trained:
        list(model.fit(Ring().draw(2000, seeded(1)), 150, 128, generator=seeded(2)))
        model.double()
    else:
        shaken(model, 0.1)
    with torch.no_grad():
        bound = model.log_likelihood(x.repeat(10_000, 1), seeded(3)).reshape(-1, 6)
        joint, posterior = latent_grid(model, x)
    exact = joint.logsumexp(1)
    gap = (posterior.exp() * (posterior - (joint - exact[:, None]))).sum(1)
    assert (gap > 1e-4).all()  # a bound, for every point
    error = (bound.mean(0) - (exact - gap)).abs()
    assert (error < 5 * bound.std(0) / 100 + 1e-6).all()


@torch.no_grad()
def test_the_bound_of_the_vae_lies_below_its_importance_sampled_likelihood():
    model, x = shaken(VAE(generator=seeded(0)), 0.1), Ring().draw(50, seeded(4)).double()
    mean, log_std = model.encoder(x).chunk(2, 1)
    z = mean + log_std.exp() * torch.randn(2000, 50, 1, generator=seeded(5), dtype=f64)
    joint = families.normal_log_prob(x, model.decoder(z), model.log_std) + families.normal_log_prob(
        z
    )
    weights = joint - families.normal_log_prob(z, mean, log_std)
    likelihood = weights.logsumexp(0) - math.log(2000)
    bound = torch.stack([model.log_likelihood(x, seeded(seed)) for seed in range(200)]).mean(0)
    assert bound.mean() < likelihood.mean() - 1e-3
    assert likelihood.mean().item() == pytest.approx(
        next(latent_grid(model, x)).logsumexp(1).mean().item(), abs=0.05
    )


def test_the_vae_draws_the_deviation_of_its_decoder_too():
    model = VAE(generator=seeded(0))
    torch.nn.init.zeros_(model.decoder[-1].weight)
    model.log_std.data.fill_(math.log(0.7))
    assert model.draw(20_000, seeded(1)).std(0).tolist() == pytest.approx([0.7, 0.7], abs=0.02)


# --- flow ---


@pytest.mark.parametrize("dims", [2, 6])
def test_the_log_determinant_of_a_coupling_is_that_of_autograds_jacobian(dims):
    coupling = shaken(Coupling(dims, 12, seeded(0)))
    x = torch.randn(9, dims, generator=seeded(2), dtype=f64)
    _, log_det = coupling(x)
    jacobian = torch.stack(
        [
            torch.autograd.functional.jacobian(lambda row: coupling(row[None])[0][0], row)
            for row in x
        ]
    )
    torch.testing.assert_close(log_det, torch.linalg.slogdet(jacobian).logabsdet)
    assert log_det.abs().min() > 1e-3


def test_a_coupling_and_a_chain_of_them_run_backwards():
    coupling, x = (
        shaken(Coupling(6, 12, seeded(0))),
        torch.randn(9, 6, generator=seeded(2), dtype=f64),
    )
    torch.testing.assert_close(coupling.inverse(coupling(x)[0]), x)
    flow = shaken(Flow(3, generator=seeded(0)), 0.1).float()
    z = flow.draw(9, seeded(3))
    for coupling in flow.couplings:
        z, _ = coupling(z)
    torch.testing.assert_close(z, torch.randn(9, 2, generator=seeded(3)), rtol=0, atol=1e-5)


def test_a_fresh_coupling_only_exchanges_the_halves():
    x = torch.randn(5, 4, generator=seeded(0))
    z, log_det = Coupling(4)(x)
    assert torch.equal(z, x.roll(2, 1))
    assert (log_det == 0).all()


@torch.no_grad()
def test_the_density_of_a_flow_integrates_to_1():
    x, area = grid(9.0, 400)
    flow = shaken(Flow(3, generator=seeded(0)), 0.1)
    density = flow.log_likelihood(x).exp()
    assert (density.sum() * area).item() == pytest.approx(1, abs=2e-3)
    assert (
        density - families.normal_log_prob(x).exp()
    ).abs().max() > 0.03  # no longer the normal distribution of its start


# --- diffusion ---


def knowing(denoiser, evaluations: int = 50) -> Diffusion:
    """The model with an exact denoiser in the place of its network."""
    model = Diffusion(evaluations=evaluations)
    del model.denoiser
    model.denoiser = denoiser
    return model


@pytest.mark.parametrize("std", [0.3, 0.8])
def test_the_bound_of_diffusion_nears_the_exact_likelihood_of_a_gaussian_from_below(std):
    model, gaps = knowing(IdealGaussian(0.0, std)), []
    x = std * torch.randn(5000, 2, generator=seeded(1), dtype=f64)
    exact = families.normal_log_prob(x, 0.0, math.log(std)).mean().item()
    for model.evaluations in (10, 50, 200):
        gaps.append(exact - model.log_likelihood(x, seeded(2)).mean().item())
    assert gaps[1] < gaps[0] / 3
    assert (
        gaps[2] < gaps[1] / 3
    )  # of first order in the steps, down to what the two ends of the schedule cost
    assert 1e-3 < gaps[2] < 0.12


def test_diffusion_draws_what_its_denoiser_knows():
    model = knowing(IdealGaussian(torch.tensor([0.5, -0.5]), 0.6), 200)
    x = model.draw(20_000, seeded(0))
    assert x.mean(0).tolist() == pytest.approx([0.5, -0.5], abs=0.02)
    assert x.std(0).tolist() == pytest.approx([0.6, 0.6], abs=0.02)


def test_diffusion_is_trained_by_minimagens_own_loop():
    points = Ring().draw(100, seeded(1))
    ours, theirs = Diffusion(generator=seeded(0)), Diffusion(generator=seeded(0))
    losses = list(ours.fit(points, 3, 8, 1e-3, seeded(2)))
    optimizer, g = torch.optim.Adam(theirs.parameters(), 1e-3), seeded(2)

    def batches():
        for k in range(3):
            optimizer.param_groups[0]["lr"] = 1e-3 * (1 - k / 3)
            yield points[torch.randint(100, (8,), generator=g)], Cond()

    steps = train(theirs.denoiser, batches(), families.straight, optimizer, generator=g)
    assert losses == [step.loss for step in steps]
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
