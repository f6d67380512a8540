"""Lessons 05 and 11: the loop, the averaged weights, and a run that a kill does not lose."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import TINY
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from minimagen import checkpoint, recipes
from minimagen.conditioning import Cond, Text
from minimagen.data.shapes import Shapes
from minimagen.denoiser import Denoiser
from minimagen.guidance import drop_text
from minimagen.noise import cosine
from minimagen.training import (
    MAX_NORM,
    LossLog,
    TrainStep,
    averaged,
    load_state,
    save_state,
    train,
    warm_then_cool,
)
from minimagen.unet import UNet

ROOT = Path(__file__).parents[1]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Constant(nn.Module):
    """A network that says the same number everywhere: every loss and gradient is known in closed
    form.
    """

    def __init__(self, value=0.0):
        super().__init__()
        self.value = nn.Parameter(torch.tensor([value]))

    def forward(self, z, logsnr, cond):
        return self.value.expand_as(z)


class Encoder:
    """Fixed token states for each sentence: stands for a text encoder where a test only needs that
    there is one.
    """

    def __init__(self, name=None, device="cpu"):
        self.name, self.device, self.width, self.fingerprint, self.limit = (
            "fixed",
            torch.device("cpu"),
            16,
            "fixed",
            8,
        )

    def encode(self, prompts):
        rows = [torch.randn(4, 16, generator=seeded(sum(prompt.encode()))) for prompt in prompts]
        return Text(
            torch.stack(rows),
            torch.tensor([[True, True, True, len(prompt) % 2 == 0] for prompt in prompts]),
        )


def pictures(value=1.0, batch=8):
    """The same flat picture again and again, and with each a text."""
    while True:
        text = Text(torch.ones(batch, 2, 16), torch.ones(batch, 2, dtype=torch.bool))
        yield torch.full((batch, 3, 4, 4), value), Cond(text)


def take(count, steps):
    return [step for _, step in zip(range(count), steps, strict=False)]


def sgd(denoiser, rate=0.1):
    return torch.optim.SGD(denoiser.parameters(), lr=rate)


# the loop


def test_the_loss_falls_as_the_closed_form_says():
    """Predicting x0 = 1/4 by a constant c: loss (c - 1/4)^2, and each step of rate r multiplies c -
    1/4 by 1 - 2 r.
    """
    denoiser = Denoiser(Constant(), "x0")
    steps = take(20, train(denoiser, pictures(0.25), cosine, sgd(denoiser), generator=seeded()))
    for k, step in enumerate(steps):
        assert step.loss == pytest.approx(0.0625 * 0.8 ** (2 * k), rel=1e-4)
        assert step.norm == pytest.approx(0.5 * 0.8**k, rel=1e-4)
        assert step.losses.shape == step.logsnr.shape == (8,)


def test_a_network_learns_one_picture():
    """80 steps on one picture of -1 and 1: the loss begins at 1, and over the last 20 steps its
    mean is below a tenth.
    """
    torch.manual_seed(0)
    denoiser = Denoiser(UNet(TINY["base"]), "x0")
    x0 = (torch.rand(1, 3, 8, 8, generator=seeded(1)) * 2 - 1).sign().expand(8, -1, -1, -1)
    batches = ((x0, cond) for _, cond in pictures())
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=3e-3)
    losses = [
        step.loss
        for step in take(80, train(denoiser, batches, cosine, optimizer, generator=seeded()))
    ]
    assert losses[0] == pytest.approx(1)
    assert sum(losses[-20:]) / 20 < 0.1


def test_the_times_are_uniform():
    """Levels by a schedule that is the identity: 4000 draws, Kolmogorov and Smirnov's distance."""
    denoiser = Denoiser(Constant(), "x0")
    steps = take(
        20, train(denoiser, pictures(batch=200), lambda t: t, sgd(denoiser), generator=seeded())
    )
    times = torch.cat([step.logsnr for step in steps]).sort().values
    assert (times - torch.arange(1, 4001) / 4000).abs().max() < 1.95 / math.sqrt(4000)


def test_a_gradient_is_shortened_to_its_greatest_length():
    """A weight of a million makes the gradient 2e6 long; a step of rate 1 then moves the constant
    by MAX_NORM and no more.
    """
    denoiser = Denoiser(Constant(), "x0")
    huge = lambda logsnr: torch.full_like(logsnr, 1e6)
    (step,) = take(
        1, train(denoiser, pictures(), cosine, sgd(denoiser, 1.0), weight=huge, generator=seeded())
    )
    assert step.norm == pytest.approx(2e6, rel=1e-4)
    assert denoiser.net.value.item() == pytest.approx(MAX_NORM, rel=1e-4)
    denoiser = Denoiser(Constant(), "x0")
    (step,) = take(
        1, train(denoiser, pictures(0.25), cosine, sgd(denoiser, 1.0), generator=seeded())
    )
    assert denoiser.net.value.item() == pytest.approx(0.5, rel=1e-4)  # a short one is left as it is


def test_the_loss_is_weighted_by_its_level():
    denoiser = Denoiser(Constant(), "x0")
    weight = lambda logsnr: torch.where(logsnr > 0, 0.5, 0.0)
    (step,) = take(
        1,
        train(
            denoiser, pictures(batch=64), cosine, sgd(denoiser), weight=weight, generator=seeded()
        ),
    )
    share = (step.logsnr > 0).float().mean().item()
    assert 0.2 < share < 0.8
    assert step.loss == pytest.approx(0.5 * share)
    assert torch.allclose(step.losses, torch.ones(64))  # told without the weight
    assert denoiser.net.value.item() == pytest.approx(0.1 * 2 * 0.5 * share, rel=1e-4)


def test_the_generator_decides_levels_and_noise():
    def run(seed):
        torch.manual_seed(0)
        denoiser = Denoiser(UNet(TINY["base"]), "eps")
        return [
            step.losses
            for step in take(
                2, train(denoiser, pictures(), cosine, sgd(denoiser), generator=seeded(seed))
            )
        ]

    assert all(torch.equal(a, b) for a, b in zip(run(3), run(3), strict=True))
    assert not torch.equal(run(3)[0], run(4)[0])


def test_no_batch_is_taken_before_it_is_asked_for():
    denoiser, taken = Denoiser(Constant(), "x0"), []
    batches = (taken.append(1) or batch for batch in pictures())
    steps = train(denoiser, batches, cosine, sgd(denoiser), generator=seeded())
    assert len(taken) == 0
    next(steps)
    assert len(taken) == 1


def test_data_that_is_no_number_stops_the_loop():
    denoiser = Denoiser(Constant(), "x0")
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0"):
        next(train(denoiser, pictures(math.nan), cosine, sgd(denoiser), generator=seeded()))
    assert denoiser.net.value.item() == 0  # and no step was taken


def processes(rank, count):
    return SimpleNamespace(process_index=rank, num_processes=count, autocast=nullcontext)


def test_each_process_keeps_its_share_of_the_same_batch():
    def losses(accelerator):
        torch.manual_seed(0)
        denoiser = Denoiser(UNet(TINY["base"]), "eps")
        (step,) = take(
            1,
            train(
                denoiser,
                pictures(),
                cosine,
                sgd(denoiser),
                accelerator=accelerator,
                generator=seeded(),
            ),
        )
        return step

    whole, shares = losses(None), [losses(processes(rank, 2)) for rank in range(2)]
    torch.testing.assert_close(
        torch.stack([share.losses for share in shares], 1).flatten(), whole.losses
    )
    assert torch.equal(torch.stack([share.logsnr for share in shares], 1).flatten(), whole.logsnr)


def test_a_batch_that_does_not_divide_among_the_processes_is_refused():
    denoiser = Denoiser(Constant(), "x0")
    with pytest.raises(
        ValueError, match="batches must divide among the 3 processes, got a batch of 8"
    ):
        next(train(denoiser, pictures(), cosine, sgd(denoiser), accelerator=processes(0, 3)))


def test_text_may_lie_on_another_device_than_the_pictures():
    """As on a GPU, where the pictures come from memory and the text from the encoder's device."""
    x0, cond = next(pictures())
    ((_, dropped),) = drop_text([(x0, cond.to("meta"))], 0.5, seeded())
    assert dropped.text.mask.is_meta


# averaged weights and learning rate


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_average_has_its_closed_form(decay):
    """w = 1, 4, 9, ...: ema_0 = w_0, then ema <- d ema + (1 - d) w with d = min(decay, (1 + n) /
    (10 + n)).
    """
    denoiser = Denoiser(Constant(), "x0")
    ema, wanted = averaged(denoiser, decay), None
    for n in range(30):
        with torch.no_grad():
            denoiser.net.value.fill_((n + 1) ** 2)
        ema.update_parameters(denoiser)
        d = 0.0 if n == 0 else min(decay, (1 + n) / (10 + n))
        wanted = (n + 1) ** 2 if n == 0 else d * wanted + (1 - d) * (n + 1) ** 2
        assert ema.module.net.value.item() == pytest.approx(wanted, rel=1e-5)
    assert denoiser.net.value.item() == 900


def test_the_rate_warms_stays_and_cools_to_nothing():
    rate = [warm_then_cool(step, 100, 10) for step in range(101)]
    assert rate[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rate[10:71] == [1.0] * 61
    assert rate[70:] == pytest.approx([1 - i / 30 for i in range(31)])
    assert rate[100] == 0
    assert warm_then_cool(75, 100, 10, cool=0.5) == pytest.approx(0.5)


# stop and resume


def parts(seed=0, config=TINY["base"]):
    """A network with channels last, as recipes lay it out, its average, and an optimiser that reads
    memory as it lies.
    """
    torch.manual_seed(seed)
    denoiser = Denoiser(UNet(config)).to(memory_format=torch.channels_last)
    return {
        "denoiser": denoiser,
        "ema": averaged(denoiser),
        "optimizer": torch.optim.AdamW(denoiser.parameters(), lr=1e-3, fused=True),
    }


def go_on(run, generator, count):
    steps = train(run["denoiser"], pictures(), cosine, run["optimizer"], generator=generator)
    for _ in take(count, steps):
        run["ema"].update_parameters(run["denoiser"])


def test_a_state_comes_back_bit_for_bit_and_goes_on_as_if_never_stopped(tmp_path):
    path, generator, unbroken = tmp_path / "state.safetensors", seeded(), parts()
    go_on(unbroken, generator, 3)
    save_state(path, 3, unbroken, generator)
    resumed, other = parts(seed=9), seeded(9)
    assert load_state(path, resumed, other) == 3
    for name in ("denoiser", "ema"):
        pairs = zip(
            unbroken[name].state_dict().values(), resumed[name].state_dict().values(), strict=True
        )
        assert all(torch.equal(a, b) for a, b in pairs)
    go_on(unbroken, generator, 3)
    go_on(resumed, other, 3)
    assert torch.equal(generator.get_state(), other.get_state())
    for name in ("denoiser", "ema"):
        pairs = zip(
            unbroken[name].state_dict().values(), resumed[name].state_dict().values(), strict=True
        )
        assert all(torch.equal(a, b) for a, b in pairs)
    save_state(path, 6, unbroken, generator)
    save_state(tmp_path / "resumed", 6, resumed, other)
    a, b = load_file(path), load_file(tmp_path / "resumed")
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_moments_come_back_in_the_memory_order_of_their_weights(tmp_path):
    run, again = parts(), parts(seed=1)
    go_on(run, seeded(), 1)
    save_state(tmp_path / "state", 1, run, seeded())
    load_state(tmp_path / "state", again, seeded())
    weight = again["denoiser"].net.first.weight
    assert not weight.is_contiguous()
    moments = again["optimizer"].state[weight]
    assert moments["exp_avg"].stride() == moments["exp_avg_sq"].stride() == weight.stride()


def test_a_state_before_the_first_step_comes_back_too(tmp_path):
    save_state(tmp_path / "state", 0, parts(), seeded())
    again = parts(seed=1)
    assert load_state(tmp_path / "state", again, seeded(1)) == 0
    go_on(again, seeded(), 1)


def test_a_state_that_does_not_fit_is_refused_by_name(tmp_path):
    path, run = tmp_path / "state.safetensors", parts()
    with pytest.raises(
        ValueError, match="state.safetensors must be the state of this very training run, whole"
    ):
        load_state(path, run, seeded())
    go_on(run, seeded(), 1)
    save_state(path, 1, run, seeded())
    whole = path.read_bytes()
    wider = parts(config=replace(TINY["base"], channels=16))
    with pytest.raises(
        ValueError, match="state.safetensors must be the state of this very training run"
    ):
        load_state(path, wider, seeded())
    other = {**parts(), "optimizer": torch.optim.SGD([nn.Parameter(torch.zeros(1))])}
    with pytest.raises(
        ValueError, match="state.safetensors must be the state of this very training run"
    ):
        load_state(path, other, seeded())
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(
            ValueError, match="state.safetensors must be the state of this very training run, whole"
        ):
            load_state(path, run, seeded())


def test_a_state_replaces_the_old_one_at_once(tmp_path):
    """What is in the way of the new state leaves the old one whole, and nothing half written lies
    about.
    """
    path, run = tmp_path / "state.safetensors", parts()
    save_state(path, 1, run, seeded())
    before = path.read_bytes()

    class Broken:
        def state_dict(self):
            return {"text": object()}

    with pytest.raises(TypeError):
        save_state(path, 2, {"broken": Broken()}, seeded())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["state.safetensors"]


# the log


def test_the_log_s_bins_hold_the_levels_between_their_edges():
    log = LossLog()
    levels = torch.tensor([-15.0, -8.0, -8.0, 0.0, 15.0])
    log.add(TrainStep(9.0, torch.tensor([1.0, 2.0, 4.0, 5.0, 6.0]), levels, 3.0))
    log.add(TrainStep(9.0, torch.tensor([7.0]), torch.tensor([0.5]), 5.0))
    line = log.line()
    assert line["by_level"] == [1.0, 3.0, None, None, 6.0, None, None, None, 6.0]
    assert len(line["by_level"]) == len(LossLog.EDGES) - 1
    assert (line["loss"], line["norm"], line["pictures"]) == (
        pytest.approx(25 / 6, abs=1e-5),
        4.0,
        6,
    )
    log.add(TrainStep(9.0, torch.tensor([7.0]), torch.tensor([20.0]), 5.0))
    assert log.line()["by_level"] == [None] * 8 + [7.0]  # what was told is gone


# recipes


# Three channels a group: in a group of one, the norm undoes a bias, and Adam makes steps of the
# rounding that is left.
BASE = checkpoint.Settings(
    32, "unet", replace(TINY["base"], channels=12, head_width=6), steps=2, weight=2.0
)
SR = checkpoint.Settings(64, "efficient", TINY["sr"], target="x0", steps=2, aug_level=0.1)
RECIPES = {
    "base": recipes.Recipe(BASE, batch=4, rate=1e-3, steps=6, warm=5, save=3),
    "sr256": recipes.Recipe(SR, batch=4, rate=1e-3, steps=6, warm=5, crop=32, save=3),
}


def follow(stage, out, count=None, **changes):
    recipe = RECIPES[stage]
    steps = recipes.follow(recipe, Shapes(recipe.settings.size), Encoder(), out, **changes)
    return take(recipe.steps + 1 if count is None else count, steps)


def tensors(folder):
    return load_file(folder / "state.safetensors")


def told(folder):
    """Step, learning rates and all else in the state that is no tensor."""
    with safe_open(folder / "state.safetensors", "pt") as file:
        return {name: json.loads(text) for name, text in file.metadata().items()}


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def assert_same_run(one, other, last):
    """Weights, averaged weights, moments, generator, stage, pictures and log are the same, bit for
    bit.
    """
    a, b = tensors(one), tensors(other)
    assert {name.split("/")[0] for name in a} == {"denoiser", "ema", "optimizer", "generator"}
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    assert told(one) == told(other)
    assert told(one)["step"] == last
    for name in ("weights.safetensors", "stage.json", f"samples/{last:07d}.png"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    timeless = [
        [{**line, "pictures_per_second": 0} for line in log(folder)] for folder in (one, other)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize("stage", RECIPES)
def test_a_recipe_leaves_a_stage_that_draws_a_log_and_samples(stage, tmp_path):
    assert len(follow(stage, tmp_path)) == 6
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {
        *("stage.json", "weights.safetensors", "state.safetensors", "log.jsonl"),
        *("samples/0000003.png", "samples/0000006.png"),
    }
    denoiser, settings = checkpoint.load(tmp_path)
    assert settings.trained == {"steps": 6, "batch": 4, "encoder": "fixed"}
    assert replace(settings, trained={}) == RECIPES[stage].settings
    state = tensors(tmp_path)
    for name, weight in denoiser.net.state_dict().items():  # the averaged weights, in bfloat16
        assert torch.equal(weight, state[f"ema/s:module.net.{name}/"].bfloat16().float())
    assert [line["step"] for line in log(tmp_path)] == [3, 6]
    assert log(tmp_path)[0]["rate"] == pytest.approx(
        1e-3 * warm_then_cool(2, 6, 5)
    )  # that of the third step
    assert all(
        line["loss"] > 0 and line["norm"] > 0 and line["pictures"] == 12 for line in log(tmp_path)
    )
    assert Image.open(tmp_path / "samples/0000006.png").size == (
        8 * 34 - 2,
        32,
    )  # eight columns, four pictures


@pytest.mark.parametrize("stage", RECIPES)
def test_a_run_that_was_stopped_goes_on_as_if_it_never_was(stage, tmp_path):
    follow(stage, tmp_path / "unbroken")
    follow(
        stage, tmp_path / "stopped", count=5
    )  # two steps beyond the saved state: they are done again
    assert [number for number, _ in follow(stage, tmp_path / "stopped", resume=True)] == [4, 5, 6]
    assert_same_run(tmp_path / "unbroken", tmp_path / "stopped", 6)
    assert follow(stage, tmp_path / "stopped", resume=True) == []  # nothing left to do


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path):
    follow("base", tmp_path, count=3)
    before = (tmp_path / "state.safetensors").read_bytes()
    with pytest.raises(
        ValueError, match="out must be a new folder, but .* holds a run: pass --resume"
    ):
        follow("base", tmp_path)
    assert (tmp_path / "state.safetensors").read_bytes() == before
    with pytest.raises(ValueError, match="must be the state of this very training run"):
        recipes.follow(RECIPES["sr256"], Shapes(64), Encoder(), tmp_path, resume=True)
    (tmp_path / "state.safetensors").unlink()
    with pytest.raises(ValueError, match="holds a trained stage: begin elsewhere with --from"):
        follow("base", tmp_path, resume=True)


def test_resume_without_a_state_begins(tmp_path):
    assert len(follow("base", tmp_path, resume=True, count=1)) == 1


def test_the_log_goes_back_to_the_state_it_resumes_from(tmp_path):
    """A kill between line and state leaves a line too many, a full disk half a line."""
    follow("base", tmp_path, count=3)
    path = tmp_path / "log.jsonl"
    kept = path.read_text()
    path.write_text(kept + kept.replace('"step": 3', '"step": 6') + '{"step": 3, "lo')
    follow("base", tmp_path, resume=True, count=0)
    assert path.read_text() == kept


def test_training_may_begin_with_another_stage_s_weights(tmp_path):
    follow("base", tmp_path / "first")
    source, _ = checkpoint.load(tmp_path / "first")
    fresh, given = (
        follow("base", tmp_path / "a", count=1),
        follow("base", tmp_path / "b", 1, source=tmp_path / "first"),
    )
    assert fresh[0][1].loss != given[0][1].loss
    frozen = replace(RECIPES["base"], rate=0.0, steps=1)
    take(
        2, recipes.follow(frozen, Shapes(32), Encoder(), tmp_path / "c", source=tmp_path / "first")
    )
    again, _ = checkpoint.load(tmp_path / "c")
    pairs = zip(source.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    with pytest.raises(ValueError, match="must be a stage of the same shape"):
        follow("sr256", tmp_path / "d", source=tmp_path / "first")
    with pytest.raises(ValueError, match=r"stage.json is missing"):
        follow("base", tmp_path / "e", source=tmp_path / "nowhere")


def test_the_recipes_can_go_on_from_the_shipped_weights():
    for stage, profile in recipes.RECIPES:
        _, shipped = checkpoint.load(ROOT / "data" / "weights" / stage)
        assert recipes.RECIPES[stage, profile].settings.config == shipped.config


# the command, killed and resumed; one process and two

HARNESS = """
import sys, time
sys.path.insert(0, {tests!r})
from minimagen import cli, recipes, text
from test_training import RECIPES, Encoder

text.TextEncoder = Encoder
recipes.RECIPES.update({{(stage, "cpu"): recipe for stage, recipe in RECIPES.items()}})
if {slow!r}:
    add = recipes.LossLog.add
    recipes.LossLog.add = lambda self, step: (time.sleep({slow!r}), add(self, step))
if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[1:]))
"""


def command(folder, slow=0):
    """A script that is `minimagen` with the small recipes and encoder of this file."""
    path = folder / f"harness{slow}.py".replace("0.", "")
    path.write_text(HARNESS.format(tests=str(ROOT / "tests"), slow=slow))
    return str(path)


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(*arguments):
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done


TRAIN = (
    "train",
    "base",
    "--data",
    "shapes",
    "--steps",
    "12",
    "--save",
    "4",
    "--batch",
    "4",
    "--quiet",
    "--out",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An unbroken run by one process."""
    folder = tmp_path_factory.mktemp("whole")
    run(sys.executable, command(folder), *TRAIN, str(folder / "run"))
    return folder / "run"


def test_a_killed_run_resumed_is_the_unbroken_run_bit_for_bit(whole, tmp_path):
    """`kill -9` some steps after the first saved state, then --resume."""
    broken = tmp_path / "broken"
    # Half a second a step, so that there is time to kill it.
    started = subprocess.Popen(
        [sys.executable, command(tmp_path, slow=0.5), *TRAIN, str(broken)], env=environment()
    )
    began = time.monotonic()
    while (
        not (broken / "state.safetensors").exists()
        and started.poll() is None
        and time.monotonic() - began < 120
    ):
        time.sleep(0.02)
    time.sleep(0.75)  # into the steps after it
    started.kill()
    assert started.wait(30) == -signal.SIGKILL
    assert told(broken)["step"] == 4
    run(sys.executable, command(tmp_path), *TRAIN, str(broken), "--resume")
    assert_same_run(whole, broken, 12)
    assert [line["step"] for line in log(broken)] == [4, 8, 12]


def test_two_processes_train_what_one_trains(whole, tmp_path):
    """`accelerate launch` with two processes on CPUs: the same global batch, so the same weights
    within rounding.

    --multi_gpu is what makes accelerate start several processes; on a machine without a GPU they
    are CPU processes.
    """
    launch = (
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--main_process_port",
        "0",
    )
    run(sys.executable, *launch, command(tmp_path), *TRAIN, str(tmp_path / "two"))
    a, b = tensors(whole), tensors(tmp_path / "two")
    assert a.keys() == b.keys()
    apart = {name: (a[name].double() - b[name].double()).abs().max().item() for name in a}
    assert max(apart.values()) < 1e-5
    assert (
        max(apart.values()) > 0
    )  # two halves of a batch do round otherwise: it was not one process
    assert [line["pictures"] for line in log(tmp_path / "two")] == [16, 16, 16]  # of both processes
    for one, two in zip(log(whole), log(tmp_path / "two"), strict=True):
        assert two["norm"] == pytest.approx(one["norm"], abs=2e-4)
