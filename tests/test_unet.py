"""Lessons 05 and 12: the U-Net of the base and the Efficient U-Net of super-resolution."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from conftest import TINY

from minimagen.cascade import Stage
from minimagen.checkpoint import Settings
from minimagen.conditioning import Cond, LowRes, Text, stack
from minimagen.configs import CONFIGS
from minimagen.denoiser import TARGETS, Denoiser
from minimagen.efficient_unet import EfficientUNet, _join
from minimagen.guidance import guided
from minimagen.unet import PAPER, SHIPPED, UNet, UNetConfig

SELF = replace(TINY["sr"], attention=("self", None))
KINDS = {
    "base": (UNet, TINY["base"]),
    "sr": (EfficientUNet, TINY["sr"]),
    "sr, self": (EfficientUNet, SELF),
}
BOTH = pytest.mark.parametrize("kind", KINDS)
ROOT = Path(__file__).parents[1]
META = {"base": UNet, "sr256": EfficientUNet, "sr1024": EfficientUNet}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def fresh(kind):
    """A network as training begins with it."""
    torch.manual_seed(0)
    network, config = KINDS[kind]
    return network(config)


@torch.no_grad()
def randomised(kind, seed=1):
    """Every parameter drawn anew, the matrices so that they keep the variance: the zeroed layers of
    a fresh network hide all that lies behind them.
    """
    net, g = fresh(kind), torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.5
        parameter.copy_(scale * torch.randn(parameter.shape, generator=g))
    return net.requires_grad_(False)


def asked(kind, batch=3, seed=0):
    """z, logsnr and a condition: texts of 5, 3 and 1 tokens, and a picture below for the
    super-resolution networks.
    """
    lengths = torch.tensor([max(1, 5 - 2 * i) for i in range(batch)])
    text = Text(drawn(batch, 5, 16, seed=seed + 1), torch.arange(5) < lengths[:, None])
    below = (
        LowRes(drawn(batch, 3, 4, 4, seed=seed + 2), torch.linspace(-4, 6, batch))
        if kind != "base"
        else None
    )
    return drawn(batch, 3, 16, 16, seed=seed), torch.linspace(-5, 5, batch), Cond(text, below)


def apart(a, b):
    return (a - b).abs().max().item()


# sizes


def test_the_paper_s_base_has_the_paper_s_parameters():
    """2,097.57 M without the text parts by an independent count; the text parts, counted apart, are
    293.70 M more.
    """
    with torch.device("meta"):
        net = UNet(PAPER["base"])
    sizes = {name: parameter.numel() for name, parameter in net.named_parameters()}
    text = sum(
        size
        for name, size in sizes.items()
        if name.startswith("reader.") or ".text_key_value." in name
    )
    without = sum(sizes.values()) - text
    assert without == pytest.approx(2_097.57e6, rel=0.01)
    assert (without, text) == (2_097_572_867, 293_698_561)
    with torch.device("meta"):
        assert (
            sum(p.numel() for p in UNet(replace(PAPER["base"], text_width=None)).parameters())
            == without
        )


def test_the_printed_super_resolution_networks_differ_by_their_attention_alone():
    sizes = {}
    for stage in ("sr256", "sr1024"):
        with torch.device("meta"):
            net = EfficientUNet(PAPER[stage])
        attention = sum(
            p.numel() for block in net.attentions().values() for p in block.parameters()
        )
        sizes[stage] = sum(p.numel() for p in net.parameters()) - attention
        assert list(net.attentions()) == [
            "before.3.8",
            "after.0.8",
        ]  # the last level, on the way down and on the way up
    assert sizes["sr256"] == sizes["sr1024"]


def on_meta(config, size, network):
    """A network without memory, and a text and a small picture to go with it."""
    with torch.device("meta"):
        net = network(config)
        text = Text(torch.empty(2, 7, config.text_width), torch.ones(2, 7, dtype=torch.bool))
        below = torch.empty(2, 3, size // 4, size // 4) if config.lowres else None
    return net, text, below


SIZES = {"base": 64, "sr256": 256, "sr1024": 1024}
EVERY = {"shipped": SHIPPED, **CONFIGS}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("stage", META)
def test_every_stage_s_network_and_guided_step_run_on_meta(name, stage):
    """Nothing is made on the CPU by default: the paper's networks take their step in no memory at
    all.
    """
    config, size = EVERY[name][stage], SIZES[stage]
    net, text, below = on_meta(config, size, META[stage])
    network, aug_level = ("efficient", 0.1) if config.lowres else ("unet", None)
    settings = Settings(
        size, network, config, steps=2, weight=3.0, threshold="dynamic", aug_level=aug_level
    )
    how = Stage(Denoiser(net), settings)
    predictions = list(how.run(text, below))
    assert [pred.x0.shape for pred in predictions] == [(2, 3, size, size)] * 2
    assert predictions[-1].x0.is_meta


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("stage", META)
def test_every_stage_s_training_step_runs_on_meta(name, stage):
    config, size = EVERY[name][stage], min(SIZES[stage], 256)  # crops, as the recipes have them
    net, text, below = on_meta(config, size, META[stage])
    with torch.device("meta"):
        x0, logsnr = torch.empty(2, 3, size, size), torch.empty(2)
        low = LowRes(below, torch.empty(2)) if config.lowres else None
    Denoiser(net).loss(x0, logsnr, torch.empty_like(x0), Cond(text, low)).mean().backward()
    grads = {name: p.grad for name, p in net.named_parameters()}
    assert all(grad is not None and grad.is_meta for grad in grads.values())


def test_the_page_of_shapes_has_their_parameters():
    page = (ROOT / "docs" / "CONFIGS.md").read_text(encoding="utf-8")
    for name, stages in CONFIGS.items():
        for stage, config in stages.items():
            net, _, _ = on_meta(config, 64, META[stage])
            millions = sum(p.numel() for p in net.parameters()) / 1e6
            assert f"| {name} | {stage} | {millions:,.1f} M |" in page


# the output


@BOTH
def test_the_output_is_like_z(kind):
    z, level, cond = asked(kind)
    net = randomised(kind)
    out = net(z, level, cond)
    assert (out.shape, out.dtype) == (z.shape, z.dtype)
    assert net(z[..., :8], level, cond).shape == (
        3,
        3,
        16,
        8,
    )  # any sides that divide, square or not


@BOTH
def test_a_fresh_network_gives_zero_so_the_first_loss_with_eps_is_one(kind):
    """E eps^2 = 1; over 64 pictures of 768 numbers the mean is off by sqrt(2 / 49152) = 0.0064:
    four of those are allowed.
    """
    net = fresh(kind)
    z, level, cond = asked(kind, batch=64)
    assert not net(z, level, cond).any()
    loss = Denoiser(net, "eps").loss(
        drawn(64, 3, 16, 16, seed=9), level, drawn(64, 3, 16, 16, seed=10), cond
    )
    assert loss.shape == (64,)
    assert loss.mean().item() == pytest.approx(1.0, abs=0.026)


@BOTH
def test_the_level_is_heard(kind):
    z, level, cond = asked(kind)
    net = randomised(kind)
    assert apart(net(z, level, cond), net(z, level + 1, cond)) > 0.01


@pytest.mark.parametrize("kind", ["sr", "sr, self"])
def test_the_picture_below_and_its_level_are_heard(kind):
    z, level, cond = asked(kind)
    net = randomised(kind)
    out = net(z, level, cond)
    below = cond.lowres
    assert (
        apart(out, net(z, level, Cond(cond.text, LowRes(below.image + 0.5, below.logsnr)))) > 0.01
    )
    assert apart(out, net(z, level, Cond(cond.text, LowRes(below.image, below.logsnr + 1)))) > 0.01


@BOTH
def test_a_row_does_not_depend_on_its_batch(kind):
    z, level, cond = asked(kind)
    net = randomised(kind)
    out = net(z, level, cond)
    for i in range(3):
        assert apart(net(z[i : i + 1], level[i : i + 1], cond[i : i + 1]), out[i : i + 1]) < 1e-5


@BOTH
def test_gradients_reach_every_parameter(kind):
    net = randomised(kind).requires_grad_(True)
    net(*asked(kind)).square().mean().backward()
    silent = [
        name
        for name, parameter in net.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    # The softmax over the scores does not see what is added to all of them alike.
    assert silent in ([], ["reader.score.bias"])


@BOTH
@pytest.mark.parametrize("target", TARGETS)
def test_only_the_network_runs_in_bf16(kind, target):
    """bf16 keeps 8 bits: a network of a dozen layers is off by a few hundredths of its output's
    deviation.
    """
    z, level, cond = asked(kind)
    denoiser = Denoiser(randomised(kind), target)
    with torch.autocast("cpu", torch.bfloat16):
        low, pred = denoiser.net(z, level, cond), denoiser(z, level, cond)
    exact = denoiser.net(z, level, cond)
    assert (low.dtype, pred.x0.dtype) == (torch.bfloat16, torch.float32)
    assert 0 < (low - exact).std() < 0.05 * exact.std()


# text


@BOTH
def test_padding_the_text_changes_nothing(kind):
    z, level, cond = asked(kind)
    net = randomised(kind)
    padded = replace(cond, text=cond.text.padded(11))
    assert apart(net(z, level, cond), net(z, level, padded)) < 1e-5


@BOTH
def test_a_masked_token_has_no_effect_and_a_visible_one_has(kind):
    z, level, cond = asked(kind)
    net = randomised(kind)
    out = net(z, level, cond)
    noise = drawn(3, 5, 16, seed=5)
    hidden = Text(cond.text.tokens + noise * ~cond.text.mask[..., None], cond.text.mask)
    shown = Text(cond.text.tokens + noise * cond.text.mask[..., None], cond.text.mask)
    assert torch.equal(net(z, level, replace(cond, text=hidden)), out)
    moved = (net(z, level, replace(cond, text=shown)) - out).abs().amax((1, 2, 3))
    assert (moved > 0.01).all()


@BOTH
def test_attention_and_pooling_each_carry_the_text(kind):
    """Silence one of the two ways and the sentence still comes through by the other."""
    z, level, cond = asked(kind)
    other = replace(cond, text=Text(cond.text.tokens.flip(2), cond.text.mask))
    for quiet in ("pooling", "attention"):
        net = randomised(kind)
        with torch.no_grad():
            for block in net.attentions().values() if quiet == "attention" else []:
                block.text_key_value.weight.zero_()
            if quiet == "pooling":
                net.reader.mlp[-1].weight.zero_()
        assert apart(net(z, level, cond), net(z, level, other)) > 1e-3


@BOTH
def test_dropped_text_is_an_empty_mask_is_no_text(kind):
    z, level, cond = asked(kind)
    net = randomised(kind)
    dropped = net(z, level, cond.without_text())
    emptied = Cond(Text(drawn(3, 2, 16, seed=7), torch.zeros(3, 2, dtype=torch.bool)), cond.lowres)
    assert apart(dropped, net(z, level, emptied)) < 1e-5
    assert apart(dropped, net(z, level, Cond(None, cond.lowres))) < 1e-5
    if kind == "base":
        assert apart(dropped, net(z, level)) < 1e-5
    assert apart(dropped, net(z, level, cond)) > 0.01


# prepared


@BOTH
def test_prepared_once_is_prepared_each_time(kind):
    z, level, cond = asked(kind)
    net = randomised(kind)
    ready = net.prepare(cond)
    assert torch.equal(net(z, level, ready), net(z, level, cond))
    assert torch.equal(net(z + 1, level - 1, ready), net(z + 1, level - 1, cond))


@BOTH
def test_what_is_prepared_without_text_still_has_its_null_token(kind):
    z, level, cond = asked(kind)
    net = randomised(kind)
    silent = Cond(None, cond.lowres)
    assert torch.equal(net(z, level, net.prepare(silent)), net(z, level, silent))
    same = guided(Denoiser(net), silent, 3.0)(z, level)
    assert torch.equal(same.x0, Denoiser(net)(z, level, silent).x0)


@BOTH
def test_a_slice_of_what_is_prepared_is_the_slice_prepared(kind):
    z, level, cond = asked(kind)
    net = randomised(kind)
    rows = slice(1, 3)
    part, alone = net.prepare(cond)[rows], net.prepare(cond[rows])
    assert apart(net(z[rows], level[rows], part), net(z[rows], level[rows], alone)) < 1e-5


@BOTH
def test_guidance_by_one_doubled_call_is_two_calls(kind):
    z, level, cond = asked(kind)
    level = level[:1].expand(3)
    denoiser = Denoiser(randomised(kind), "eps")
    with_text = denoiser(z, level, cond)
    without = denoiser(z, level, cond.without_text())
    got = guided(denoiser, cond, 4.0)(z, level)
    torch.testing.assert_close(got.eps, 4 * with_text.eps - 3 * without.eps, rtol=1e-4, atol=1e-4)
    assert apart(got.eps, with_text.eps) > 0.01
    outside = guided(denoiser, cond, 4.0, interval=(50.0, 60.0))(z, level)
    torch.testing.assert_close(outside.eps, with_text.eps, rtol=1e-4, atol=1e-4)


def test_each_attention_block_gets_the_text_that_was_read_for_it():
    """Seven blocks of two widths and both kinds."""
    config = UNetConfig(8, (1, 2), (1, 1), ("self", "cross"), text_width=16, head_width=8)
    torch.manual_seed(0)
    net = UNet(config)
    z, level, cond = asked("base")
    ready, seen = net.prepare(cond), {}
    for name, block in net.attentions().items():
        block.register_forward_hook(
            lambda module, inputs, out, name=name: seen.__setitem__(name, inputs[1])
        )
    net(z, level, ready)
    assert list(seen) == [
        "down.0.1",
        "down.2.1",
        "middle.1",
        "up.0.1",
        "up.1.1",
        "up.2.1",
        "up.3.1",
    ]
    for name, block in net.attentions().items():
        keys, values = block.read(net.reader(cond.text)[0])
        assert torch.equal(seen[name][0], keys)
        assert torch.equal(seen[name][1], values)


def test_what_is_prepared_does_not_depend_on_the_order_of_the_blocks():
    z, level, cond = asked("base")
    net = randomised("base")
    ready = net.prepare(cond)
    turned = replace(ready, text=dict(reversed(ready.text.items())))
    assert list(turned.text) != list(ready.text)
    assert torch.equal(net(z, level, turned), net(z, level, ready))


def test_what_another_network_prepared_is_refused():
    z, level, cond = asked("sr")
    net, other = randomised("sr"), randomised("sr, self")
    with pytest.raises(ValueError, match=r"cond must be prepared by .* before.1.1.*got before.0.1"):
        net(z, level, other.prepare(cond))
    ready = net.prepare(cond)
    for text in ({}, {**ready.text, "extra": ready.text["before.1.1"]}):
        with pytest.raises(ValueError, match="the same attention blocks"):
            net(z, level, replace(ready, text=text))


@BOTH
@pytest.mark.parametrize("positions", [True, False])
def test_the_config_says_whether_attention_knows_places(kind, positions):
    network, config = KINDS[kind]
    net = network(replace(config, positions=positions))
    assert {block.placed for block in net.attentions().values()} == {positions}


def test_without_positions_the_parameters_are_the_same_and_the_picture_is_not():
    z, level, cond = asked("base")
    net = randomised("base")
    other = UNet(replace(TINY["base"], positions=False))
    other.load_state_dict(net.state_dict())
    assert apart(net(z, level, cond), other(z, level, cond)) > 0.01


def test_a_seed_gives_the_fresh_weights_that_it_always_gave():
    """The parts are made in the order of the way: training began from these numbers."""
    sums = {"base": 3211.10156202, "sr": 1621.95383635, "sr, self": 1547.94898970}
    for kind in KINDS:
        weights = [parameter.double().abs().sum().item() for parameter in fresh(kind).parameters()]
        assert sum(weights) == pytest.approx(sums[kind], rel=1e-6)


@BOTH
def test_nothing_is_kept_inside_the_network(kind):
    z, level, cond = asked(kind)
    net, other = randomised(kind), asked(kind, seed=20)[2]
    before = net(z, level, cond)
    net(z, level, other)
    guided(Denoiser(net), stack(other, other)[:3], 2.0)(z, level)
    assert torch.equal(net(z, level, cond), before)


@BOTH
def test_every_normalisation_has_the_groups_of_the_config(kind):
    network, config = KINDS[kind]
    for groups in (1, 4):
        modules = list(network(replace(config, groups=groups)).modules())
        counts = [module.num_groups for module in modules if isinstance(module, torch.nn.GroupNorm)]
        assert len(counts) > 5
        assert set(counts) == {groups}


# the skips of the Efficient U-Net


def test_a_scaled_skip_keeps_the_variance():
    """Independent halves: (h + skip) / sqrt 2 keeps 1.00; unscaled it is 2.00, and with the skip
    alone scaled 1.50.
    """
    h, skip = drawn(10**6), drawn(10**6, seed=1)
    error = 4 * (2 / 10**6) ** 0.5  # four standard errors of a variance of 1
    assert _join(h, skip).var().item() == pytest.approx(1.0, abs=error)
    assert (h + skip).var().item() == pytest.approx(2.0, abs=2 * error)
    assert (h + skip / 2**0.5).var().item() == pytest.approx(1.5, abs=1.5 * error)


def test_the_efficient_network_works_on_the_smaller_picture():
    """Strided first, upsampling last: a block of level i sees sides of 1 / (patch 2^(i + 1))."""
    net, seen = randomised("sr"), []
    for stack_ in [*net.before, *net.after]:
        stack_[0].register_forward_hook(
            lambda module, inputs, out: seen.append(inputs[0].shape[-1])
        )
    net(*asked("sr"))
    assert seen == [4, 2, 2, 4]


# bad input


def test_a_super_resolution_network_needs_the_picture_below():
    z, level, cond = asked("sr")
    net = randomised("sr")
    for lacking in (None, Cond(), Cond(cond.text)):
        with pytest.raises(ValueError, match="cond must hold the low-resolution picture"):
            net(z, level, lacking)
    with pytest.raises(ValueError, match="cond must hold the low-resolution picture"):
        net.prepare(Cond(cond.text))


@BOTH
def test_text_of_another_encoder_is_refused(kind):
    z, level, cond = asked(kind)
    other = replace(cond, text=Text(drawn(3, 5, 24), cond.text.mask))
    with pytest.raises(ValueError, match=r"cond.text must be 16 wide.*got 24"):
        randomised(kind)(z, level, other)


@pytest.mark.parametrize(("kind", "unit"), [("base", 4), ("sr", 8)])
def test_sides_that_do_not_divide_are_refused(kind, unit):
    _, level, cond = asked(kind)
    for sides in [(16, 18), (18, 16), (unit // 2, unit)]:
        with pytest.raises(ValueError, match=f"z must have sides that are multiples of {unit}"):
            randomised(kind)(torch.zeros(3, 3, *sides), level, cond)


def test_a_config_refuses_what_is_no_network():
    good = TINY["base"]
    with pytest.raises(ValueError, match="one entry a level, got 2, 1 and 2"):
        replace(good, blocks=(1,))
    with pytest.raises(ValueError, match="one entry a level, got 0, 0 and 0"):
        replace(good, multipliers=(), blocks=(), attention=())
    for name in ("patch", "head_width", "image_channels", "groups", "text_width"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            replace(good, **{name: 0})
    with pytest.raises(ValueError, match="neighbours must be at least 0, got -1"):
        replace(good, neighbours=-1)
    with pytest.raises(ValueError, match=r"multipliers must each be at least 1, got \(1, 0\)"):
        replace(good, multipliers=(1, 0))
    with pytest.raises(ValueError, match=r"blocks must each be at least 1, got \(-1, 1\)"):
        replace(good, blocks=(-1, 1))
    for channels in (0, 6, 7):
        with pytest.raises(
            ValueError, match=rf"channels must be a multiple of 4 .* got {channels}"
        ):
            replace(good, channels=channels)


def test_a_config_from_json_is_the_config():
    for config in (*TINY.values(), *SHIPPED.values(), *PAPER.values()):
        assert UNetConfig(**json.loads(json.dumps(asdict(config)))) == config
    assert (TINY["base"].widths, TINY["base"].stem, TINY["sr"].stem) == (
        (8, 16),
        (12, 12),
        (24, 12),
    )
