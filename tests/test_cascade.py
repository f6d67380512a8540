"""The cascade: stages chain, every picture has a noise of its own, and nothing on the way depends
on its neighbours.
"""

import json
import shutil
from dataclasses import fields, replace

import pytest
import torch
from conftest import TINY
from hypothesis import example, given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from minimagen import cascade as module
from minimagen.cascade import CHANGEABLE, Cascade, Stage, cascade, check_chain, seeded
from minimagen.checkpoint import Settings
from minimagen.conditioning import Text
from minimagen.denoiser import Denoiser
from minimagen.efficient_unet import EfficientUNet
from minimagen.noise import cosine, linear
from minimagen.pixels import to_uint8
from minimagen.samplers import STEPS
from minimagen.thresholding import THRESHOLDS, static
from minimagen.unet import PAPER, UNet

PROMPTS = [
    "a red circle",
    "a small blue star to the left of a large green square on a white page",
    "",
    "a heart",
    "a large red square",
    "a blue heart and a green star",
    "the page",
    "white",
]


@pytest.fixture(scope="module")
def tiny(tiny_cascade):
    return Cascade.load(tiny_cascade, "cpu")


@pytest.fixture
def copy(tiny_cascade, tmp_path):
    """A copy of the tiny cascade's folder, to be damaged."""
    return shutil.copytree(tiny_cascade, tmp_path / "copy")


class Seen(list):
    """Watches a cascade: (size, its first z, number of predictions) for every run of a stage."""

    def __call__(self, stage, predictions):
        first, count = None, 0
        for pred in predictions:
            first, count = pred.z if first is None else first, count + 1
            yield pred
        self.append((stage.size, first, count))


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def levels_apart(a, b):
    """The largest difference of two pictures in 8-bit levels."""
    return (to_uint8(a).int() - to_uint8(b).int()).abs().max().item()


# --- the same seed, the same picture ---


def test_the_stages_come_smallest_first_and_in_range(tiny):
    pictures = tiny.draw(PROMPTS[:2])
    assert [tuple(p.shape) for p in pictures] == [(2, 3, 16, 16), (2, 3, 32, 32), (2, 3, 64, 64)]
    assert all(p.dtype == torch.float32 and p.abs().max() <= 1 for p in pictures)
    assert all(p.std() > 0.05 for p in pictures)


def test_the_same_seed_gives_the_same_picture_bit_for_bit(tiny):
    assert same(tiny.draw(PROMPTS[:3], seed=5), tiny.draw(PROMPTS[:3], seed=5))
    assert not same(tiny.draw(PROMPTS[:3], seed=5), tiny.draw(PROMPTS[:3], seed=6))


def test_the_words_change_the_picture(tiny):
    assert levels_apart(tiny.draw(["a red circle"])[0], tiny.draw(["a blue star"])[0]) > 1


@pytest.mark.parametrize("sampler", STEPS)
def test_a_picture_is_the_same_alone_and_in_a_batch_of_eight(tiny, sampler):
    together = tiny.draw(PROMPTS, seed=3, sampler=sampler)
    for i, prompt in enumerate(PROMPTS):
        alone = tiny.draw([prompt], seed=3 + i, sampler=sampler)
        assert all(
            levels_apart(stage[i : i + 1], single) <= 1
            for stage, single in zip(together, alone, strict=True)
        )


def test_picture_i_begins_from_the_noise_of_seed_plus_i(tiny):
    seen, later = Seen(), Seen()
    tiny.draw(PROMPTS[:4], seed=7, watch=seen)
    tiny.draw(PROMPTS[2:3], seed=9, watch=later)
    assert [torch.equal(z[2:3], w) for (_, z, _), (_, w, _) in zip(seen, later, strict=True)] == [
        True
    ] * 3
    assert not torch.equal(seen[0][1][0], seen[0][1][1])


@pytest.mark.parametrize(
    "changes",
    [{"steps": [9, 3, 2]}, {"sampler": ["ancestral", "ddim", "ddim"]}, {"size": 32}],
    ids=["steps", "sampler", "size"],
)
def test_what_is_done_below_does_not_change_the_noise_above(tiny, changes):
    seen, other = Seen(), Seen()
    tiny.draw(PROMPTS[:2], watch=seen)
    tiny.draw(PROMPTS[:2], watch=other, **changes)
    assert len(other) > 1
    for (size, first, _), (_, changed, _) in zip(seen, other, strict=False):
        assert torch.equal(first, changed), size


def test_a_sampler_that_draws_noise_begins_like_one_that_does_not(tiny):
    seen, other = Seen(), Seen()
    tiny.draw(PROMPTS[:1], watch=seen, sampler="ancestral", aug_level=[None, 0.3, 0.0])
    tiny.draw(PROMPTS[:1], watch=other, sampler="ddim", aug_level=[None, 0.1, 1.0])
    assert [torch.equal(z, w) for (_, z, _), (_, w, _) in zip(seen, other, strict=True)] == [
        True
    ] * 3


@example((3, 1), (4, 0))
@example((0, 15), (1, 0))
@example((7, 2), (7, 2))
@given(
    st.tuples(st.integers(0, 2**28 - 1), st.integers(0, 15)),
    st.tuples(st.integers(0, 2**28 - 1), st.integers(0, 15)),
)
def test_no_two_seeds_and_stages_begin_alike(a, b):
    alike = torch.equal(torch.randn(8, generator=seeded(*a)), torch.randn(8, generator=seeded(*b)))
    assert alike == (a == b)


def test_the_first_seed_and_the_last_differ():
    assert not torch.equal(
        torch.randn(8, generator=seeded(0, 0)), torch.randn(8, generator=seeded(2**28 - 1, 0))
    )


@pytest.mark.parametrize("seed", [-1, 2**28, 1.0, "1", True, None])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be a whole number from 0 to 2"):
        seeded(seed, 0)


@pytest.mark.parametrize("seed", [-1, 2**28 - 1])
def test_seeds_beyond_the_end_are_refused(tiny, seed):
    with pytest.raises(ValueError, match="seed must be"):
        tiny.draw(PROMPTS[:2], seed=seed)


# --- what draw can be asked for ---


def test_size_stops_early_with_the_very_same_pictures(tiny):
    whole = tiny.draw(PROMPTS[:2])
    for count, size in enumerate((16, 32, 64), 1):
        part = tiny.draw(PROMPTS[:2], size=size)
        assert len(part) == count
        assert same(part, whole[:count])


@pytest.mark.parametrize("size", [0, 17, 256, "64"])
def test_a_size_that_no_stage_has_is_refused(tiny, size):
    with pytest.raises(ValueError, match="size must be one of 16, 32, 64, got"):
        tiny.draw(["a heart"], size=size)


def test_a_change_holds_for_all_stages_or_for_each_its_own(tiny):
    for steps, counts in ((5, [5, 5, 5]), ([5, 1, 2], [5, 1, 2]), ((1, 2, 3), [1, 2, 3])):
        seen = Seen()
        tiny.draw(["a heart"], steps=steps, watch=seen)
        assert [count for _, _, count in seen] == counts
    plain = tiny.draw(["a heart"])
    upper = tiny.draw(["a heart"], weight=[3.0, 1.0, 8.0])
    assert same(plain[:2], upper[:2])
    assert not torch.equal(plain[2], upper[2])
    assert not torch.equal(plain[0], tiny.draw(["a heart"], weight=5.0)[0])
    assert not torch.equal(plain[0], tiny.draw(["a heart"], threshold="none")[0])
    assert not torch.equal(plain[1], tiny.draw(["a heart"], aug_level=[None, 0.6, 0.1])[1])
    assert [stage.weight for stage in tiny.stages] == [
        3.0,
        1.0,
        1.0,
    ]  # the cascade itself stays as it was


def test_bad_changes_are_refused(tiny):
    with pytest.raises(
        ValueError, match="steps must be one value, or one for each of the 3 stages, got 2"
    ):
        tiny.draw(["a heart"], steps=[1, 2])
    with pytest.raises(ValueError, match="weight must be a finite number"):
        tiny.draw(["a heart"], weight=float("nan"))
    with pytest.raises(ValueError, match="aug_level must be in"):
        tiny.draw(["a heart"], aug_level=[None, 1.5, 0.1])
    with pytest.raises(ValueError, match="steps must be a whole number, at least 1, got 0"):
        tiny.draw(["a heart"], steps=0)
    for name in ("colour", "network", "target", "config", "trained"):
        with pytest.raises(ValueError, match=f"one of size, schedule, steps.*, got '{name}'"):
            tiny.draw(["a heart"], **{name: "red"})


@pytest.mark.parametrize("prompts", [[], "a heart", [3], ["a heart", None], None, [b"a heart"]])
def test_prompts_that_are_no_sentences_are_refused(tiny, prompts):
    with pytest.raises(ValueError, match="prompts must"):
        tiny.draw(prompts)


@pytest.mark.parametrize("sampler", STEPS)
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_no_weight_sampler_or_threshold_gives_nan(tiny, sampler, threshold):
    for weight in (1.0, 1.5, 5.0, 15.0):
        changes = {
            "sampler": sampler,
            "threshold": threshold,
            "percentile": 0.9,
            "weight": weight,
        }
        for picture in tiny.draw(PROMPTS[:2], **changes):
            assert bool(picture.isfinite().all())
            assert threshold == "none" or picture.abs().max() <= 1


def test_large_pictures_are_drawn_a_few_at_a_time_and_are_the_same(tiny, monkeypatch):
    whole, seen = tiny.draw(PROMPTS[:5]), Seen()
    monkeypatch.setattr(module, "MAX_PIXELS", 3 * 32 * 32)
    parts = tiny.draw(PROMPTS[:5], watch=seen)
    assert [(size, len(z)) for size, z, _ in seen] == [(16, 5), (32, 3), (32, 2), *[(64, 1)] * 5]
    assert all(levels_apart(a, b) <= 1 for a, b in zip(whole, parts, strict=True))


# --- the chain ---


def test_each_stage_continues_the_picture_below(tiny):
    """With the noise alike, another picture below makes another picture above."""
    stage, text = tiny.stages[1], tiny.encoder.encode(["a heart"])
    above = [
        list(stage.run(text, torch.full((1, 3, 16, 16), grey), seeded(0, 1)))[-1].x0
        for grey in (-0.9, 0.9)
    ]
    assert levels_apart(*above) > 1


def test_a_cascade_is_the_stages_run_one_after_the_other(tiny):
    text = tiny.encoder.encode(PROMPTS[:2])
    picture = None
    for j, (stage, drawn) in enumerate(
        zip(tiny.stages, tiny.draw(PROMPTS[:2], seed=4), strict=True)
    ):
        *_, last = stage.run(text, picture, [seeded(4, j), seeded(5, j)])
        picture = last.x0
        assert torch.equal(picture, drawn)


def test_one_generator_will_do_for_the_function(tiny):
    text = tiny.encoder.encode(PROMPTS[:2])
    first, second = (
        list(cascade(tiny.stages, text, torch.Generator().manual_seed(1))) for _ in range(2)
    )
    assert same(first, second)


def stage(size, aug_level=None):
    settings = Settings(size, "unet", TINY["base"], steps=2, aug_level=aug_level)
    return Stage(Denoiser(lambda z, logsnr, cond: z), settings)


@pytest.mark.parametrize(
    "sizes",
    [(), (16, 16), (32, 16), (16, 24), (16, 32, 32), (64, 256, 128), (16, 40)],
    ids=lambda sizes: "-".join(map(str, sizes)),
)
def test_sizes_that_do_not_chain_are_refused(sizes):
    stages = [stage(size, 0.1 if i else None) for i, size in enumerate(sizes)]
    for use in (
        check_chain,
        lambda stages: Cascade(None, stages),
        lambda stages: next(cascade(stages, None)),
    ):
        with pytest.raises(ValueError, match="stages must chain: .* got"):
            use(stages)


@pytest.mark.parametrize("levels", [(0.1,), (0.1, 0.1), (None, None), (None, 0.1, None)])
def test_a_base_comes_first_and_only_first(levels):
    with pytest.raises(ValueError, match="stages must begin with a base"):
        check_chain([stage(16 * 2**i, level) for i, level in enumerate(levels)])


def test_sizes_that_chain_are_accepted():
    check_chain([stage(64), stage(256, 0.0), stage(1024, 1.0)])
    check_chain([stage(16), stage(48, 0.1)])


# --- a stage and its settings ---


def test_a_stage_is_sampled_as_its_settings_say(tiny):
    base = tiny.stages[0]
    assert (base.size, base.steps, base.weight, base.aug_level) == (16, 4, 3.0, None)
    assert base.schedule is cosine
    x0 = torch.linspace(-3, 3, 100)[None]
    assert torch.equal(base.threshold(x0), THRESHOLDS["dynamic"](0.995)(x0))
    other = base.with_settings(threshold="static", schedule="linear", percentile=0.5)
    assert (other.threshold, other.schedule, other.denoiser) == (static, linear, base.denoiser)
    half = base.with_settings(percentile=0.5)
    assert torch.equal(half.threshold(x0), THRESHOLDS["dynamic"](0.5)(x0))


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpmpp_2m"])
def test_the_sampler_of_the_settings_takes_the_steps(tiny, sampler):
    text = tiny.encoder.encode(["a heart"])
    run = list(tiny.stages[0].with_settings(sampler=sampler).run(text, None, seeded(1, 0)))
    step, noise, z = STEPS[sampler](), seeded(1, 0), run[0].z
    torch.randn(z.shape[1:], generator=noise)  # the first z
    for before, pred, previous in zip(run, run[1:], [None, *run], strict=False):
        assert torch.equal(pred.z, step(before, pred.logsnr, noise, previous))


def test_other_settings_leave_the_stage_as_it_was(tiny):
    stage = tiny.stages[1]
    changed = stage.with_settings(steps=6, aug_level=0.3)
    assert (changed.steps, changed.aug_level) == (6, 0.3)
    assert (stage.steps, stage.aug_level) == (3, 0.1)
    assert replace(changed.settings, steps=3, aug_level=0.1) == stage.settings
    assert stage.with_settings() == stage


def test_what_the_network_is_cannot_be_changed(tiny):
    every = {field.name for field in fields(Settings)}
    assert every - set(CHANGEABLE) == {"network", "config", "target", "trained"}
    assert set(CHANGEABLE) < every
    for name in ("network", "config", "target", "trained", "colour"):
        with pytest.raises(ValueError, match=f"what changes must be one of size, .* got '{name}'"):
            tiny.stages[0].with_settings(**{name: "unet"})
    with pytest.raises(ValueError, match="sampler must be one of .* got 'euler'"):
        tiny.stages[0].with_settings(sampler="euler")


def test_a_function_may_stand_for_the_threshold_and_see_every_estimate(tiny):
    text, notes = tiny.encoder.encode(["a heart"]), []
    stage = tiny.stages[0].with_settings(threshold="static")

    def noting(x0):
        notes.append(x0)
        return static(x0)

    seen = list(stage.run(text, None, [seeded(3, 0)], threshold=noting))
    plain = list(stage.run(text, None, [seeded(3, 0)]))
    assert same([pred.x0 for pred in seen], [pred.x0 for pred in plain])
    assert same([static(x0) for x0 in notes], [pred.x0 for pred in plain])
    assert max(x0.abs().max() for x0 in notes) > 1


# --- loading ---


def test_a_folder_comes_back_as_its_settings_say(tiny):
    assert [s.size for s in tiny.stages] == [16, 32, 64]
    assert [s.steps for s in tiny.stages] == [4, 3, 2]
    assert [s.schedule for s in tiny.stages] == [cosine, cosine, linear]
    assert [s.aug_level for s in tiny.stages] == [None, 0.1, 0.1]
    assert [type(s.denoiser.net) for s in tiny.stages] == [UNet, EfficientUNet, EfficientUNet]
    assert tiny.encoder.width == 16


def test_the_folder_of_a_trained_base_is_a_cascade_of_one(tiny, tiny_cascade, tiny_text):
    alone = Cascade.load(tiny_cascade / "base", "cpu", text_encoder=tiny_text)
    assert same(alone.draw(PROMPTS[:2]), tiny.draw(PROMPTS[:2], size=16))
    with pytest.raises(ValueError, match="stages must begin with a base"):
        Cascade.load(tiny_cascade / "sr2", "cpu", text_encoder=tiny_text)


def test_a_text_encoder_of_another_width_is_refused(tiny_cascade, tmp_path):
    transformers = pytest.importorskip("transformers")
    shutil.copytree(tiny_cascade / "text", tmp_path / "wide")
    config = transformers.T5Config(
        vocab_size=32, d_model=24, d_kv=8, d_ff=24, num_layers=1, num_heads=2
    )
    transformers.T5EncoderModel(config).save_pretrained(tmp_path / "wide")
    with pytest.raises(ValueError, match="text_encoder must be 16 wide.* got 24"):
        Cascade.load(tiny_cascade, "cpu", text_encoder=tmp_path / "wide")


@pytest.mark.parametrize("device", ["potato", "meta", "cuda:99", "cpu:x"])
def test_a_device_that_is_not_there_is_refused(tiny_cascade, device):
    with pytest.raises(ValueError, match=f"device must be .*{device}"):
        Cascade.load(tiny_cascade, device)


@pytest.mark.parametrize("path", ["nowhere", "./no/where", "nobody/nothing", "/no/such/folder"])
def test_a_folder_that_is_not_there_is_named(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=path.removeprefix("./")):
        Cascade.load(path, "cpu")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"stages": ["base"]}',
        '{"stages": [1], "text": "text"}',
        '{"stages": 3, "text": "text"}',
    ],
)
def test_a_damaged_cascade_json_is_named(copy, text):
    (copy / "cascade.json").write_text(text)
    with pytest.raises(ValueError, match=r"copy/cascade\.json is missing, damaged"):
        Cascade.load(copy, "cpu")


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ("cascade.json", "cascade.json"),
        ("sr2", "sr2/stage.json"),
        ("sr3/weights.safetensors", "sr3/weights.safetensors"),
    ],
)
def test_a_missing_part_is_named(copy, lost, named):
    path = copy / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ValueError, match=f"copy/{named}"):
        Cascade.load(copy, "cpu")


def test_a_missing_or_damaged_text_encoder_is_named(copy):
    (copy / "text" / "model.safetensors").write_bytes(b"12345678")
    with pytest.raises(OSError, match="the text encoder .*copy/text.* could not be loaded"):
        Cascade.load(copy, "cpu")
    shutil.rmtree(copy / "text")
    with pytest.raises(
        OSError, match="the text encoder 'text' could not be loaded: no such folder"
    ):
        Cascade.load(copy, "cpu")


def test_folders_in_another_order_do_not_chain(copy):
    (copy / "cascade.json").write_text(
        json.dumps({"stages": ["base", "sr3", "sr2"], "text": "text"})
    )
    with pytest.raises(ValueError, match=r"stages must chain: .* got \[16, 64, 32\]"):
        Cascade.load(copy, "cpu")


# --- the device meta ---


class OnCpu(TorchDispatchMode):
    """Counts the numbers of every tensor that an operation makes on the CPU."""

    def __init__(self):
        super().__init__()
        self.sizes = [0]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.sizes += [
            leaf.numel()
            for leaf in tree_leaves(out)
            if isinstance(leaf, torch.Tensor) and leaf.device.type == "cpu"
        ]
        return out


def meta_stages(configs, sizes, width):
    """A cascade of freshly made networks and a sentence for it, both without memory."""
    how = {"steps": 1, "weight": 3.0, "threshold": "dynamic", "percentile": 0.99}
    kinds, levels = ("unet", "efficient", "efficient"), (None, 0.1, 0.1)
    settings = [
        Settings(size, kind, config, schedule=schedule, aug_level=level, **how)
        for size, kind, config, schedule, level in zip(
            sizes, kinds, configs, ("cosine", "cosine", "linear"), levels, strict=True
        )
    ]
    with torch.device("meta"):
        stages = [Stage(one.build(), one) for one in settings]
        text = Text(torch.zeros(2, 5, width), torch.ones(2, 5, dtype=torch.bool))
    return stages, text


@pytest.mark.parametrize("which", ["tiny", "paper"])
def test_a_guided_step_of_every_stage_makes_nothing_on_the_cpu(which):
    if which == "tiny":
        stages, text = meta_stages([TINY["base"], TINY["sr"], TINY["sr"]], (16, 32, 64), 16)
    else:
        stages, text = meta_stages(
            [PAPER[name] for name in ("base", "sr256", "sr1024")], (64, 256, 1024), 4096
        )
    with OnCpu() as made:
        pictures = list(cascade(stages, text))
    assert [(p.device.type, tuple(p.shape)) for p in pictures] == [
        ("meta", (2, 3, s.size, s.size)) for s in stages
    ]
    assert max(made.sizes) <= 2  # the log-SNRs of the steps


@pytest.mark.parametrize("sampler", STEPS)
def test_every_sampler_runs_on_meta(sampler):
    stages, text = meta_stages([TINY["base"], TINY["sr"], TINY["sr"]], (16, 32, 64), 16)
    with OnCpu() as made:
        list(cascade([stage.with_settings(sampler=sampler, steps=3) for stage in stages], text))
    assert max(made.sizes) <= 3


def test_a_tensor_on_the_cpu_would_be_counted():
    with OnCpu() as made:
        torch.zeros(7, device="cpu")
        torch.zeros(9, device="meta")
    assert max(made.sizes) == 7
