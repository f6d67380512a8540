"""Lesson 11: a training run that neither a kill nor a full disk loses."""

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from small_runs import (
    RECIPES,
    Encoder,
    assert_same_run,
    follow,
    head,
    log,
    take,
    tensors,
)

from minimagen import checkpoint, files
from minimagen.data.shapes import Shapes
from minimagen.denoiser import Denoiser
from minimagen.run import train_recipe
from minimagen.state import kept
from minimagen.training import warm_then_cool

ROOT = Path(__file__).parents[1]
PATH = os.pathsep.join([str(ROOT), str(ROOT / "tests")])


@pytest.mark.parametrize("stage", RECIPES)
def test_a_recipe_leaves_a_stage_that_draws_a_log_and_samples(stage, tmp_path):
    assert len(follow(stage, tmp_path)) == 6
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {
        *("stage.json", "weights.safetensors", "state.safetensors", "training_log.jsonl", ".lock"),
        *("samples/0000003.png", "samples/0000006.png"),
    }
    denoiser, settings = checkpoint.load(tmp_path)
    assert settings.trained == {
        "steps": 6,
        "batch": 4,
        "encoder": "fixed",
        "encoder_name": "fixed",
    }
    assert replace(settings, trained={}) == RECIPES[stage].settings
    state = tensors(tmp_path)
    for name, weight in denoiser.net.state_dict().items():  # the averaged weights, in bfloat16
        assert torch.equal(
            weight, state[json.dumps(["ema", f"module.net.{name}"])].bfloat16().float()
        )
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
    with pytest.raises(ValueError, match="size must be 32, with which the run in .* got 64"):
        train_recipe(RECIPES["sr256"], Shapes(64), Encoder(), tmp_path, resume=True)
    (tmp_path / "state.safetensors").unlink()
    with pytest.raises(ValueError, match="holds a trained stage: begin elsewhere with --from"):
        follow("base", tmp_path, resume=True)


def test_resume_without_a_state_begins(tmp_path):
    assert len(follow("base", tmp_path, resume=True, count=1)) == 1


def test_the_log_goes_back_to_the_state_it_resumes_from(tmp_path):
    """A kill between line and state leaves a line too many."""
    follow("base", tmp_path, count=3)
    path = tmp_path / "training_log.jsonl"
    text = path.read_text()
    path.write_text(text + text.replace('"step": 3', '"step": 6'))
    follow("base", tmp_path, resume=True, count=1)
    assert path.read_text() == text


def test_a_log_tells_the_whole_training_leg_by_leg(tmp_path):
    follow("base", tmp_path / "one")
    follow("base", tmp_path / "two", count=4, source=tmp_path / "one")
    follow("base", tmp_path / "two", resume=True)
    assert log(tmp_path / "two")[:2] == log(tmp_path / "one")
    places = [(line["leg"], line["pixels"], line["step"]) for line in log(tmp_path / "two")]
    assert places == [(1, 32, 3), (1, 32, 6), (2, 32, 3), (2, 32, 6)]
    assert [*log(tmp_path / "two")[0]][:3] == ["leg", "pixels", "step"]


def test_training_may_begin_with_another_stage_s_weights(tmp_path):
    follow("base", tmp_path / "first")
    source, _ = checkpoint.load(tmp_path / "first")
    fresh, given = (
        follow("base", tmp_path / "a", count=1),
        follow("base", tmp_path / "b", 1, source=tmp_path / "first"),
    )
    assert fresh[0][1].loss != given[0][1].loss
    frozen = replace(RECIPES["base"], rate=0.0, steps=1)
    take(2, train_recipe(frozen, Shapes(32), Encoder(), tmp_path / "c", source=tmp_path / "first"))
    again, _ = checkpoint.load(tmp_path / "c")
    pairs = zip(source.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    with pytest.raises(ValueError, match="must be a stage of the same shape"):
        follow("sr256", tmp_path / "d", source=tmp_path / "first")
    with pytest.raises(ValueError, match=r"stage.json is missing"):
        follow("base", tmp_path / "e", source=tmp_path / "nowhere")


# kills, full disks, broken pictures, two at once


def killed_at(write: int, out: Path) -> bool:
    """Train in a process of its own that ends at its n-th write, before the rename -> whether there
    were so many.
    """
    child = os.fork()
    if child == 0:
        count, rename = 0, os.replace

        def replace_or_die(*paths):
            nonlocal count
            count += 1
            if count == write:
                os._exit(9)
            rename(*paths)

        os.replace = replace_or_die
        try:
            follow("base", out, resume=True)
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9)
    return status == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a fork of this process")
def test_a_kill_at_any_write_loses_nothing_but_steps(tmp_path):
    """Every write of a run with two saves: after each kill, the same command goes on and ends in
    the same run, bit for bit.
    """
    follow("base", tmp_path / "unbroken")
    write = 1
    while killed_at(write, out := tmp_path / str(write)):
        assert list(out.glob("**/.[0-9]*")), "the kill leaves a temporary file"
        follow("base", out, resume=True)
        assert_same_run(tmp_path / "unbroken", out, 6)
        left = {path.name for path in out.glob("**/.*")}
        assert left == {".lock"}
        write += 1
    assert write == 1 + 3 + 2 * 5  # lock, log, state; twice weights, stage, samples, log, state


def test_a_second_training_in_a_folder_learns_who_holds_it(tmp_path):
    first = train_recipe(RECIPES["base"], Shapes(32), Encoder(), tmp_path / "run")
    next(first)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    held = rf"nobody else trains in, but .*run is held by process {os.getpid()} on .* since 20"
    for resume in (False, True):
        with pytest.raises(ValueError, match=held):
            follow("base", tmp_path / "run", resume=resume)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(take(9, first)) == 5
    assert follow("base", tmp_path / "run", resume=True) == []


class Damaged(Shapes):
    """Shapes of which the n-th that is read from now on is broken."""

    left = 0

    def __getitem__(self, i):
        self.left -= 1
        if self.left == 0:
            raise ValueError("line 7: the picture b.jpg is broken")
        return super().__getitem__(i)


def test_a_broken_picture_stops_a_run_with_its_state_saved(tmp_path):
    """Four pictures a step, and four samples at step 3: the 23rd is met in the fifth step."""
    follow("base", tmp_path / "unbroken")
    data = Damaged(32)
    steps = train_recipe(RECIPES["base"], data, Encoder(), tmp_path / "run")
    data.left = 23
    with pytest.raises(ValueError, match=r"b.jpg is broken; .* holds the state of step 4: go on"):
        take(9, steps)
    assert kept(tmp_path / "run")[0] == 4
    assert [number for number, _ in follow("base", tmp_path / "run", resume=True)] == [5, 6]
    assert_same_run(tmp_path / "unbroken", tmp_path / "run", 6)


def test_a_step_that_fails_in_its_midst_leaves_the_noise_of_the_last_whole_one(
    tmp_path, monkeypatch
):
    """The fifth step draws its noise, and then fails: resumed, it draws the same noise again."""
    follow("base", tmp_path / "unbroken")
    loss, calls = Denoiser.loss, []

    def failing(self, *arguments):
        calls.append(1)
        if len(calls) == 5:
            raise OSError("the device is gone")
        return loss(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Denoiser, "loss", failing)
        with pytest.raises(OSError, match=r"the device is gone; .* holds the state of step 4"):
            follow("base", tmp_path / "run")
    follow("base", tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "unbroken", tmp_path / "run", 6)


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "stage.json", "0000006.png", "training_log"]
)
def test_a_disk_that_fills_up_at_the_last_save_leaves_nothing_to_train_again(
    name, tmp_path, monkeypatch
):
    follow("base", tmp_path / "unbroken")
    with monkeypatch.context() as patched:
        fill_up(patched, name, step=6)
        message = "could not write .*: No space left on device; .* holds the state of step 6: go on"
        with pytest.raises(OSError, match=message):
            follow("base", tmp_path / "run")
    assert follow("base", tmp_path / "run", resume=True) == []
    assert_same_run(tmp_path / "unbroken", tmp_path / "run", 6)


def test_a_full_disk_names_the_state_before_where_no_other_can_be_saved(tmp_path, monkeypatch):
    follow("base", tmp_path / "unbroken")
    with monkeypatch.context() as patched:
        fill_up(patched, "", step=6)
        with pytest.raises(OSError, match="No space left .* holds the state of step 3: go on"):
            follow("base", tmp_path / "run")
    assert [number for number, _ in follow("base", tmp_path / "run", resume=True)] == [4, 5, 6]
    assert_same_run(tmp_path / "unbroken", tmp_path / "run", 6)


def fill_up(monkeypatch, name: str, step: int) -> None:
    """From the save at that step on, there is no room for files of that name."""
    rename, saves = os.replace, []

    def full(source, target):
        if Path(target).name == "weights.safetensors":
            saves.append(target)
        if len(saves) >= step // 3 and name in Path(target).name:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(files.os, "replace", full)


def test_a_reader_that_throws_an_interrupt_in_has_the_state_saved(tmp_path):
    follow("base", tmp_path / "unbroken")
    steps = train_recipe(RECIPES["base"], Shapes(32), Encoder(), tmp_path / "run")
    take(4, steps)
    with pytest.raises(KeyboardInterrupt, match="holds the state of step 5: go on with --resume"):
        next(steps) and steps.throw(KeyboardInterrupt())
    assert [number for number, _ in follow("base", tmp_path / "run", resume=True)] == [6]
    assert_same_run(tmp_path / "unbroken", tmp_path / "run", 6)


def test_a_run_that_began_otherwise_is_not_gone_on_with(tmp_path):
    recipe, data, encoder = RECIPES["base"], Shapes(32), Encoder()
    choices = {"data": "shapes"}
    take(4, train_recipe(recipe, data, encoder, tmp_path, choices=choices))
    before = (tmp_path / "state.safetensors").read_bytes()

    def resumed(recipe=recipe, data=data, encoder=encoder, choices=choices):
        return train_recipe(recipe, data, encoder, tmp_path, resume=True, choices=choices)

    for name, value in (("batch", 8), ("steps", 7), ("rate", 0.5), ("shift", -1.0)):
        with pytest.raises(ValueError, match=f"{name} must be .*, with which .*, got {value}: "):
            resumed(replace(recipe, **{name: value}))
    with pytest.raises(ValueError, match="data must be 'shapes', with which .* got 'mine'"):
        resumed(choices={"data": "mine"})
    with pytest.raises(ValueError, match="items must be 1000000, with which .* got 10"):
        resumed(data=Shapes(32, length=10))
    other = Encoder()
    other.fingerprint = "other"
    with pytest.raises(ValueError, match="text_encoder must be 'fixed .fingerprint fixed.*other"):
        resumed(encoder=other)
    assert (tmp_path / "state.safetensors").read_bytes() == before
    moved = Encoder()
    moved.name = "the same encoder in another folder"
    assert len(take(9, resumed(replace(recipe, save=2), encoder=moved))) == 3
    assert [line["step"] for line in log(tmp_path)] == [3, 4, 6]


def test_a_batch_that_does_not_divide_among_the_processes_is_refused(tmp_path):
    three = SimpleNamespace(process_index=0, num_processes=3)
    with pytest.raises(ValueError, match="batch must divide among the 3 processes, got 4"):
        follow("base", tmp_path / "run", accelerator=three)
    assert not (tmp_path / "run").exists()


# the command, killed and resumed; one process and two

HARNESS = """
import os, signal, sys
from minimagen import cli, learner, recipes, text
from small_runs import RECIPES, Encoder

text.TextEncoder = Encoder
recipes.RECIPES.update({{(stage, "cpu"): recipe for stage, recipe in RECIPES.items()}})
add, steps = learner.LossLog.add, []

def add_or_die(self, step):
    add(self, step)
    steps.append(step)
    if len(steps) == {last}:
        os.kill(os.getpid(), signal.SIGKILL)

learner.LossLog.add = add_or_die
if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[1:]))
"""


def command(folder, last=None):
    """A script that is `minimagen` with the small recipes and encoder of these tests, and that is
    killed in step number `last`.
    """
    path = folder / f"harness{last}.py"
    path.write_text(HARNESS.format(last=last))
    return str(path)


def environment():
    return {**os.environ, "PYTHONPATH": PATH, "OMP_NUM_THREADS": "1"}


def run(*arguments):
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True)
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
    """`kill -9` in the seventh step, three after a saved state; then --resume and no other flag."""
    broken = tmp_path / "broken"
    killed = subprocess.run(
        [sys.executable, command(tmp_path, last=7), *TRAIN, str(broken)], env=environment()
    )
    assert killed.returncode == -signal.SIGKILL
    assert head(broken)["step"] == 4
    resume = ("train", "base", "--resume", "--quiet", "--out")
    run(sys.executable, command(tmp_path), *resume, str(broken))
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
