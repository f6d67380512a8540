"""The command line: what it writes and prints, and one line with exit status 2 for everything that
can be asked wrongly.
"""

import errno
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from conftest import TINY
from PIL import Image
from safetensors.torch import load_file, save_file

import minimagen.run
from minimagen import __version__, cli, recipes
from minimagen.cascade import Cascade
from minimagen.checkpoint import Settings
from minimagen.cli.parser import EXAMPLES, parser
from minimagen.configs import CONFIGS
from minimagen.data import World
from minimagen.data.shapes import KINDS, Shapes
from minimagen.evaluation import exam, registry
from minimagen.files import FolderLock
from minimagen.log import LossLog
from minimagen.pixels import from_uint8, to_uint8
from minimagen.samplers import STEPS
from minimagen.state import kept
from minimagen.thresholding import THRESHOLDS

ROOT = Path(__file__).parents[1]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(capsys, here):
    """Run one command -> (exit status, stdout, stderr)."""

    def run(*arguments):
        capsys.readouterr()
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse's way out
            code = stop.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(call):
    """A command that must fail: exit status 2 and one line, which is given back."""

    def run(*arguments):
        code, _, err = call(*arguments)
        assert code == 2, err
        assert err.startswith("minimagen: error: "), err
        assert err.count("\n") == 1
        assert err.endswith("\n")
        assert len(err) < 1200
        return err

    return run


@pytest.fixture
def draw(tiny_cascade):
    """The beginning of a command that draws with the tiny cascade."""
    return ["draw", "--weights", tiny_cascade, "--device", "cpu", "--quiet"]


@pytest.fixture
def train(tiny_text, monkeypatch):
    """The beginning of a command that trains a tiny base for two steps, and a tiny sr256."""
    base = recipes.Recipe(
        Settings(16, "unet", TINY["base"], steps=2), batch=2, rate=1e-3, steps=2, warm=1, save=1
    )
    sr = recipes.Recipe(
        Settings(64, "efficient", TINY["sr"], steps=2, aug_level=0.1),
        batch=2,
        rate=1e-3,
        steps=2,
        warm=1,
        crop=32,
        save=1,
    )
    monkeypatch.setitem(recipes.RECIPES, ("base", "cpu"), base)
    monkeypatch.setitem(recipes.RECIPES, ("sr256", "cpu"), sr)
    return lambda stage, *rest: ["train", stage, "--text-encoder", tiny_text, "--quiet", *rest]


@pytest.fixture
def folder(here):
    """A folder with two pictures and their captions."""
    path = here / "mine"
    path.mkdir()
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (40, 30), colour).save(path / name)
    lines = [json.dumps({"file_name": name, "text": f"a {name[0]}"}) for name in ("a.png", "b.png")]
    (path / "metadata.jsonl").write_text("\n".join(lines))
    return path


def told(path):
    return json.loads(Image.open(path).text["minimagen"])


# --- draw ---


def test_draw_writes_one_picture_a_sentence_with_all_stages_side_by_side(
    call, draw, here, tiny_cascade
):
    prompts = ["a large red circle", "a small blue star"]
    code, out, err = call(*draw, *prompts, "--out", "drawings", "--seed", 5)
    assert (code, err) == (0, "")
    names = ["00-a-large-red-circle.png", "01-a-small-blue-star.png"]
    assert sorted(path.name for path in (here / "drawings").iterdir()) == names
    stages = Cascade.load(tiny_cascade, "cpu").draw(prompts, seed=5)
    for i, (name, prompt) in enumerate(zip(names, prompts, strict=True)):
        sheet = Image.open(here / "drawings" / name)
        assert sheet.size == (16 + 8 + 32 + 8 + 64, 64)
        assert sheet.getpixel((20, 5)) == sheet.getpixel((5, 40)) == (255, 255, 255)
        for left, stage in zip((0, 24, 64), stages, strict=True):
            side = stage.shape[-1]
            found = sheet.crop((left, 0, left + side, side)).tobytes()
            assert found == to_uint8(stage[i]).permute(1, 2, 0).contiguous().numpy().tobytes()
        assert f"drawings/{name}  {prompt}" in out


def test_draw_says_how_long_and_how_much(call, draw):
    _, out, _ = call(*draw, "a heart", "a red star")
    for size in (16, 32, 64):
        assert re.search(rf"^ +{size} pixels: +\d+\.\d\d s a picture$", out, re.MULTILINE)
    last = out.splitlines()[-1]
    found = re.fullmatch(
        r"together (\d+\.\d) s, peak memory (\d+\.\d\d) GB, on 1 threads of \d+ CPU cores", last
    )
    assert found, last
    assert 0.1 < float(found[2]) < 100


def test_the_metadata_tells_all_that_was_asked(call, draw, here, tiny_cascade):
    flags = [
        "--steps",
        3,
        "--sampler",
        "heun",
        "--weight",
        1.5,
        "--threshold",
        "dynamic",
        "--percentile",
        0.9,
    ]
    code, *_ = call(
        *draw,
        "a heart",
        "a star",
        "--seed",
        7,
        "--aug-level",
        0.3,
        "--size",
        32,
        *flags,
        "--out",
        "x",
    )
    assert code == 0
    found = told(here / "x" / "01-a-star.png")
    base = {
        "size": 16,
        "steps": 3,
        "sampler": "heun",
        "weight": 1.5,
        "threshold": "dynamic",
        "percentile": 0.9,
    }
    above = {
        "size": 32,
        "steps": 3,
        "sampler": "heun",
        "weight": 1.0,
        "threshold": "static",
        "percentile": 0.995,
    }
    assert found["stages"] == [{**base, "aug_level": None}, {**above, "aug_level": 0.3}]
    asked = {"prompt": "a star", "seed": 8, "version": __version__, "weights": str(tiny_cascade)}
    assert {name: found[name] for name in asked} == asked


def test_flags_do_what_the_library_does(call, draw, here, tiny_cascade):
    call(
        *draw,
        "a heart",
        "--size",
        32,
        "--weight",
        5,
        "--threshold",
        "none",
        "--aug-level",
        0.5,
        "--sampler",
        "dpmpp_2m",
    )
    tiny = Cascade.load(tiny_cascade, "cpu")
    changes = {"weight": [5.0, 1.0], "aug_level": [None, 0.5], "threshold": ["none", "static"]}
    want = tiny.draw(["a heart"], size=32, sampler="dpmpp_2m", **changes)[1][0]
    found = Image.open(here / "drawings" / "00-a-heart.png").crop((24, 0, 56, 32)).tobytes()
    assert found == to_uint8(want).permute(1, 2, 0).contiguous().numpy().tobytes()


def test_a_picture_can_be_drawn_again_from_its_metadata(call, draw, here):
    call(*draw, "a heart", "a star", "--steps", 2, "--size", 32, "--out", "one")
    found = told(here / "one" / "01-a-star.png")
    call(
        *draw, found["prompt"], "--seed", found["seed"], "--steps", 2, "--size", 32, "--out", "two"
    )
    one, two = (
        Image.open(here / path).convert("RGB")
        for path in ("one/01-a-star.png", "two/00-a-star.png")
    )
    apart = [abs(a - b) for a, b in zip(one.tobytes(), two.tobytes(), strict=True)]
    assert max(apart) <= 1


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("ein großer, roter Kreis", "00-ein-gro-er-roter-kreis"),
        ("红色的圆", "00-picture"),
        ("🔴 * 🔵 / ..", "00-picture"),
    ],
)
def test_any_script_is_a_prompt(call, draw, here, prompt, name):
    code, out, _ = call(*draw, prompt, "--size", 16)
    assert code == 0
    assert prompt in out
    picture = Image.open(here / "drawings" / f"{name}.png")
    assert picture.text["Description"] == prompt
    assert json.loads(picture.text["minimagen"])["prompt"] == prompt


def test_a_terminal_that_knows_no_emoji_does_not_stop_it(draw, here, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert cli.main([*map(str, draw), "🔴", "--size", "16"]) == 0
    sys.stdout.flush()
    assert b"\\U0001f534" in raw.getvalue()


def test_a_prompt_that_is_too_long_is_a_note(call, draw):
    before = warnings.showwarning
    code, _, err = call(*draw, "a red star " * 20, "--size", 16)
    assert code == 0
    assert err.startswith("minimagen: note: prompt 0 is 61 tokens long, the limit is 40")
    assert err.count("\n") == 1
    assert warnings.showwarning is before


def test_progress_is_shown_unless_quiet(call, draw):
    _, out, err = call(*(flag for flag in draw if flag != "--quiet"), "a heart")
    assert all(f"{size} pixels: 100%" in err for size in (16, 32, 64))
    assert "100%" not in out


# --- what can be asked wrongly of draw ---


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ([], "prompt must be at least one sentence"),
        ([""], "prompt must be a sentence, got an empty one"),
        (["a heart", "  "], "prompt must be a sentence, got an empty one"),
        (["a heart", "--weight", "nan"], "weight must be a finite number, got nan"),
        (["a heart", "--weight", "inf"], "weight must be a finite number"),
        (["a heart", "--weight", "strong"], "argument --weight"),
        (
            ["a heart", "--steps", "-3"],
            "argument --steps: must be a whole number of at least 1, got -3",
        ),
        (["a heart", "--steps", "0"], "argument --steps"),
        (["a heart", "--steps", "2.5"], "argument --steps"),
        (["a heart", "--sampler", "euler"], "argument --sampler: invalid choice: 'euler'"),
        (["a heart", "--threshold", "soft"], "argument --threshold"),
        (
            ["a heart", "--threshold", "dynamic", "--percentile", "0"],
            "percentile must be a fraction in (0, 1], got 0.0",
        ),
        (["a heart", "--percentile", "1.5"], "percentile must be a fraction in (0, 1], got 1.5"),
        (["a heart", "--percentile", "nan"], "percentile must be"),
        (
            ["a heart", "--threshold", "static", "--percentile", "0.9"],
            "percentile belongs to the dynamic threshold",
        ),
        (["a heart", "--aug-level", "1.5"], "aug_level must be in [0, 1]"),
        (["a heart", "--aug-level", "-0.1"], "aug_level must be in [0, 1]"),
        (
            ["a heart", "--aug-level", "0.2", "--size", "16"],
            "aug-level belongs to the super-resolution stages",
        ),
        (["a heart", "--size", "48"], "size must be one of 16, 32, 64, got 48"),
        (
            ["a heart", "--size", "8", "--threshold", "none"],
            "size must be one of 16, 32, 64, got 8",
        ),
        (["a heart", "--size", "big"], "argument --size"),
        (["a heart", "--seed", "-1"], "argument --seed"),
        (["a heart", "--seed", "9999999999"], "seed must be"),
        (["a heart", "--device", "potato"], "device must be one that this machine has"),
        (["a heart", "--device", "cuda:99"], "device must be one that this machine has"),
        (["a heart", "--colour", "red"], "unrecognized arguments: --colour red"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_flags_of_draw_get_one_line(refused, draw, here, flags, named):
    assert named in refused(*draw, *flags)
    assert not list(here.glob("drawings/*"))


def test_no_command_and_an_unknown_one_get_one_line(refused):
    assert "command" in refused()
    assert "argument command: invalid choice: 'paint'" in refused("paint")


def test_missing_weights_get_one_line(refused):
    assert "nowhere/at/all/cascade.json" in refused(
        "draw", "a heart", "--weights", "nowhere/at/all"
    )
    assert "nobody/nothing" in refused("draw", "a heart", "--weights", "nobody/nothing")
    assert "one line/and another/cascade.json" in refused(
        "draw", "a heart", "--weights", "./one\nline/and\nanother"
    )


def test_truncated_weights_get_one_line(refused, tiny_cascade, here):
    copy = shutil.copytree(tiny_cascade, here / "copy")
    weights = copy / "sr2" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    for command in (["draw", "a heart"], ["info"], ["evaluate"]):
        assert "copy/sr2/weights.safetensors must be a whole safetensors file" in refused(
            *command, "--weights", copy
        )


def test_another_text_encoder_gets_one_line(refused, draw, here):
    assert "the text encoder 'nowhere/at/all' could not be loaded" in refused(
        *draw, "x", "--text-encoder", "nowhere/at/all"
    )


@pytest.mark.parametrize("where", ["replace", "save"])
def test_a_full_disk_gets_one_line(refused, draw, here, monkeypatch, where):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        *((os, "replace", full) if where == "replace" else (Image.Image, "save", full))
    )
    message = refused(*draw, "a heart", "--size", "16")
    assert "could not write drawings/00-a-heart.png: No space left on device" in message
    assert os.listdir(here / "drawings") == []


def test_a_file_in_the_place_of_the_folder_gets_one_line_before_anything_is_drawn(
    refused, draw, here, monkeypatch
):
    (here / "drawings").write_text("")
    monkeypatch.setattr(Cascade, "draw", None)
    assert "out must be a folder, but drawings is a file" in refused(*draw, "a heart")


def test_a_mistake_in_the_program_is_not_hidden(draw, here, monkeypatch):
    for error in (TypeError, AttributeError, KeyError, ZeroDivisionError, AssertionError):

        def broken(*_, error=error, **__):
            raise error("a bug")

        monkeypatch.setattr(Cascade, "draw", broken)
        with pytest.raises(error, match="a bug"):
            cli.main([*map(str, draw), "a heart"])


def test_control_c_is_no_error(call, draw, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Cascade, "draw", stopped)
    assert call(*draw, "a heart") == (130, "", "minimagen: stopped\n")


# --- train ---


def test_train_makes_a_base_that_can_be_drawn_with_at_once(call, train, here, tiny_text):
    code, out, err = call(*train("base", "--out", "run", "--steps", 3))
    assert (code, err) == (0, "")
    assert re.fullmatch(r"run: a stage of 16 pixels, loss \d\.\d{4}\n", out)
    assert {path.name for path in (here / "run").iterdir()} >= {
        "stage.json",
        "weights.safetensors",
        "state.safetensors",
    }
    code, out, _ = call(
        "draw", "a heart", "--weights", "run", "--text-encoder", tiny_text, "--steps", 2, "--quiet"
    )
    assert code == 0
    assert Image.open(here / "drawings" / "00-a-heart.png").size == (16, 16)
    assert (
        call(*train("base", "--out", "run", "--steps", 3, "--resume"))[1]
        == "run: nothing left to train\n"
    )


def test_train_takes_a_folder_of_ones_own_and_begins_from_another_run(call, train, folder):
    assert call(*train("base", "--out", "one", "--data", folder))[0] == 0
    code, out, _ = call(*train("base", "--out", "two", "--data", folder, "--from", "one"))
    assert code == 0
    assert out.startswith("two: a stage of 16 pixels")


def test_a_base_begins_on_small_pictures_and_goes_on_with_large_ones(call, train, here):
    assert call(*train("base", "--size", "8", "--out", "small"))[0] == 0
    assert json.loads((here / "small" / "stage.json").read_text())["size"] == 8
    assert Image.open(here / "small" / "samples" / "0000002.png").height < 16
    assert call(*train("base", "--from", "small", "--out", "large"))[0] == 0
    assert json.loads((here / "large" / "stage.json").read_text())["size"] == 16


def test_bf16_changes_the_network_s_arithmetic_and_hardly_the_loss(call, train, here):
    def trained(out: str, *flags: str) -> tuple[float, bytes]:
        AcceleratorState._reset_state(
            reset_partial_state=True
        )  # accelerate keeps one precision a process
        assert call(*train("base", "--out", out, *flags))[0] == 0
        loss = json.loads((here / out / "training_log.jsonl").read_text().splitlines()[-1])["loss"]
        return loss, (here / out / "weights.safetensors").read_bytes()

    exact, again, half = trained("exact"), trained("again"), trained("half", "--bf16")
    AcceleratorState._reset_state(reset_partial_state=True)
    assert exact == again
    assert half[0] == pytest.approx(exact[0], rel=0.02)
    assert half[1] != exact[1]


def test_a_run_is_not_written_over(refused, call, train, here):
    assert call(*train("base", "--out", "run"))[0] == 0
    before = (here / "run" / "state.safetensors").read_bytes()
    assert "out must be a new folder, but run holds a run: pass --resume" in refused(
        *train("base", "--out", "run")
    )
    assert (here / "run" / "state.safetensors").read_bytes() == before


def test_from_another_shape_gets_one_line(refused, train, tiny_cascade, here):
    message = refused(*train("base", "--out", "run", "--from", tiny_cascade / "sr2"))
    assert "source (--from) must be a stage of the same shape" in message
    assert "nowhere/stage.json" in refused(*train("base", "--out", "run", "--from", "nowhere"))
    assert not (here / "run").exists()


def test_bad_data_gets_one_line(refused, train, folder, here):
    command = train("base", "--out", "run", "--data")
    (here / "empty").mkdir()
    assert "metadata.jsonl" in refused(*command, "empty")
    known = "shapes, emoji, things, scenes, two-things, picnic, world, some, all"
    assert f"data must be one of {known} or a folder of pictures, got 'nothing'" in refused(
        *command, "nothing"
    )
    (folder / "b.png").write_bytes(b"no picture at all")
    message = refused(*command, folder)
    assert "metadata.jsonl, line 2" in message
    assert "b.png is broken" in message
    (folder / "metadata.jsonl").write_text('{"file_name": "a.png"}\n')
    assert "line 1: text must be" in refused(*command, folder)
    (folder / "metadata.jsonl").write_text("")
    assert "has no captions" in refused(*command, folder)
    assert not (here / "run").exists()


def test_an_out_that_is_a_file_gets_one_line_before_training(refused, train, here, monkeypatch):
    (here / "run").write_text("")
    monkeypatch.setattr(minimagen.run, "train", None)
    assert "out must be a folder, but run is a file" in refused(*train("base", "--out", "run"))


def test_a_full_disk_in_training_gets_one_line(refused, train, here, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert "could not write run/.holder: No space left on device" in refused(
        *train("base", "--out", "run")
    )


def stop_in_step(monkeypatch, number, *signals):
    """Have this process get signals while it takes that step of a training."""
    add, steps = LossLog.add, []

    def add_and_stop(log, step):
        steps.append(step)
        if len(steps) == number:
            for name in signals:
                os.kill(os.getpid(), name)
        add(log, step)

    monkeypatch.setattr(LossLog, "add", add_and_stop)


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_training_after_the_step_and_resume_needs_no_other_flag(
    call, train, here, monkeypatch, name, folder
):
    if signal.getsignal(name) is signal.SIG_IGN:
        pytest.skip("the tests run where this signal is ignored, under nohup for instance")
    flags = ("--data", folder, "--steps", 4, "--batch", 3, "--size", 8, "--save", 9)
    assert call(*train("base", "--out", "whole", *flags))[0] == 0
    with monkeypatch.context() as patched:
        stop_in_step(patched, 3, name)
        handler = signal.getsignal(name)
        code, out, err = call(*train("base", "--out", "run", *flags))
        assert signal.getsignal(name) is handler
    stopped = "minimagen: stopped: run holds the state of step 3: go on with --resume\n"
    assert (code, out, err) == (130, "", stopped)
    code, out, err = call("train", "base", "--out", here / "run", "--resume", "--quiet")
    assert (code, err) == (0, "")
    assert out.startswith(f"{here / 'run'}: a stage of 8 pixels, loss ")
    for name in ("weights.safetensors", "stage.json"):
        assert (here / "run" / name).read_bytes() == (here / "whole" / name).read_bytes()


def test_a_second_signal_stops_a_training_at_once(call, train, here, monkeypatch):
    stop_in_step(monkeypatch, 2, signal.SIGTERM, signal.SIGINT)
    code, _, err = call(*train("base", "--out", "run", "--steps", 4, "--save", 9))
    assert (code, err) == (130, "minimagen: stopped\n")
    assert kept(here / "run")[0] == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["base", "--data", "mine"], "data must be 'shapes', .* got '.*mine'"),
        (["base", "--batch", "3"], "batch must be 2, .* got 3"),
        (["base", "--size", "8"], "size must be 16, .* got 8"),
        (["base", "--steps", "9"], "steps must be 2, .* got 9: .* begin a new leg .* --from run"),
        (["base", "--profile", "gpu"], "profile must be 'cpu', .* got 'gpu'"),
        (["base", "--bf16"], "bf16 must be False, .* got True"),
        (["base", "--from", "mine"], "from must be None, .* got '.*mine'"),
        (["sr256"], "stage must be 'base', .* got 'sr256'"),
        (["base", "--text-encoder", "other"], "text_encoder must be '.*tiny_text.* got '.*other"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_resume_with_another_value_names_both(
    flags, message, refused, call, train, folder, tiny_text, here
):
    assert call(*train("base", "--out", "run"))[0] == 0
    shutil.copytree(tiny_text, here / "other")
    encoder = load_file(here / "other" / "model.safetensors")
    save_file({name: 2 * t for name, t in encoder.items()}, here / "other" / "model.safetensors")
    AcceleratorState._reset_state(reset_partial_state=True)
    before = (here / "run" / "state.safetensors").read_bytes()
    assert re.search(message, refused("train", *flags, "--out", "run", "--resume", "--quiet"))
    AcceleratorState._reset_state(reset_partial_state=True)
    assert (here / "run" / "state.safetensors").read_bytes() == before


def test_a_second_training_in_the_folder_gets_one_line(refused, call, train, here):
    assert call(*train("base", "--out", "run"))[0] == 0
    lock = FolderLock(here / "run")
    message = refused(*train("base", "--out", "run", "--resume"))
    lock.release()
    assert f"run is held by process {os.getpid()} on" in message


def test_a_stage_is_drawn_with_the_encoder_of_its_training(call, train, here, tiny_text):
    """No --text-encoder, and no note; a note with another encoder of the same width."""
    assert call(*train("base", "--out", "run"))[0] == 0
    draw = ["draw", "a heart", "--weights", "run", "--steps", 1, "--quiet"]
    assert call(*draw)[0::2] == (0, "")
    shutil.copytree(tiny_text, here / "other")
    encoder = load_file(here / "other" / "model.safetensors")
    save_file({name: 2 * t for name, t in encoder.items()}, here / "other" / "model.safetensors")
    code, _, err = call(*draw, "--text-encoder", "other")
    assert code == 0
    assert re.fullmatch(r"minimagen: note: the stage of 16 pixels was trained with .*\n", err)
    way = json.loads((here / "run" / "stage.json").read_text())["trained"]["encoder_name"]
    assert not Path(way).is_absolute()
    assert (here / "run" / way).resolve() == tiny_text
    assert f"{way} (fingerprint" in err
    assert "and now reads other" in err


def test_the_bar_shows_the_loss_and_pictures_a_second_from_where_the_run_stands(
    call, train, here, monkeypatch
):
    command = ["train", "base", "--out", "run"]
    with monkeypatch.context() as patched:
        stop_in_step(patched, 1, signal.SIGINT)
        assert call(*train("base", "--out", "run", "--steps", 3, "--save", 9))[0] == 130
    code, _, err = call(*command, "--resume")
    assert code == 0
    assert "| 1/3 [" in err
    assert re.search(r"\| 3/3 \[.*loss \d\.\d{4}, \d+ pictures/s\]", err)


def test_a_loss_that_is_not_finite_gets_one_line(refused, train, here, monkeypatch):
    recipe = recipes.RECIPES["base", "cpu"]
    monkeypatch.setitem(
        recipes.RECIPES, ("base", "cpu"), replace(recipe, rate=1e30, steps=20, save=50)
    )
    assert "the loss is" in refused(*train("base", "--out", "run"))


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ([], "stage"),
        (["base"], "--out"),
        (["sr64", "--out", "run"], "argument stage: invalid choice: 'sr64'"),
        (["base", "--out", "run", "--profile", "tpu"], "argument --profile"),
        (["base", "--out", "run", "--steps", "0"], "argument --steps"),
        (["base", "--out", "run", "--batch", "-1"], "argument --batch"),
        (["base", "--out", "run", "--size", "0"], "argument --size"),
        (["sr256", "--out", "run", "--size", "32"], "size is for the base alone"),
        (
            ["base", "--out", "run", "--text-encoder", "nowhere/at/all"],
            "the text encoder 'nowhere/at/all'",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_flags_of_train_get_one_line(refused, flags, named):
    assert named in refused("train", *flags)


# --- evaluate ---


@pytest.mark.parametrize("split", ["held-out", "unseen"])
def test_evaluate_finds_true_renderings_right_and_swapped_ones_wrong(
    call, tiny_cascade, here, monkeypatch, split
):
    shift = 0

    def rendered(self, prompts, seed, **_):
        data = Shapes(64, split, KINDS)
        pages = [data[(seed + i + shift) % 24] for i in range(len(prompts))]
        return [from_uint8(torch.stack([page for page, _ in pages]))]

    monkeypatch.setattr(Cascade, "draw", rendered)
    command = [
        "evaluate",
        "--weights",
        tiny_cascade,
        "--device",
        "cpu",
        "--split",
        split,
        "--captions",
        24,
        "--batch",
        7,
    ]
    code, out, err = call(*command, "--out", "right.json", "--quiet")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"24 {split} captions, all shapes, 64 pixels, seeds from 0"
    for name in ("objects", "colours", "sizes", "relation", "all"):
        assert re.search(
            rf"^  {name} +100\.0%   95 % interval \d\d\.\d% to 100\.0%$", out, re.MULTILINE
        ), out
    shift = 1
    _, out, _ = call(*command, "--out", "wrong.json", "--quiet")
    strict = [
        json.loads((here / f"{name}.json").read_text(), parse_constant=pytest.fail)
        for name in ("right", "wrong")
    ]
    low = 24 / (24 + 1.959964**2)  # Wilson's bound where all are right
    assert strict[0]["right"]["all"] == {"share": 1.0, "low": pytest.approx(low), "high": 1.0}
    assert strict[1]["right"]["all"]["share"] < 0.2
    assert {
        name: strict[0][name] for name in ("data", "split", "kind", "captions", "size", "seed")
    } == {
        **{"data": "shapes", "split": split, "kind": None},
        **{"captions": 24, "size": 64, "seed": 0},
    }
    assert [stage["size"] for stage in strict[0]["stages"]] == [16, 32, 64]


def test_evaluate_tells_the_judge_of_world_its_truths(call, tiny_cascade, here, monkeypatch):
    def rendered(self, prompts, seed, **_):
        world = World(64, "text-only")
        assert list(prompts) == [world.caption(seed + i) for i in range(len(prompts))]
        return [from_uint8(torch.stack([world[seed + i][0] for i in range(len(prompts))]))]

    monkeypatch.setattr(Cascade, "draw", rendered)
    flags = ["--data", "world", "--split", "text-only", "--captions", 24, "--batch", 7]
    command = ["evaluate", "--weights", tiny_cascade, "--device", "cpu", *flags]
    code, _, err = call(*command, "--out", "found.json", "--quiet")
    assert (code, err) == (0, "")
    found = json.loads((here / "found.json").read_text(), parse_constant=pytest.fail)
    assert found["right"]["all"]["share"] >= 0.9
    assert found["frechet"]["features"] == "the recogniser's, 128, of whole pages"
    assert 0 <= found["frechet"]["drawn"] < found["frechet"]["real"] / 100


def test_evaluate_draws_and_scores_and_leaves_out_what_no_caption_states(call, tiny_cascade, here):
    command = [
        "evaluate",
        "--weights",
        tiny_cascade,
        "--device",
        "cpu",
        "--captions",
        3,
        "--batch",
        2,
        "--kind",
        "single",
    ]
    code, out, _ = call(*command, "--steps", 1, "--out", "found.json", "--quiet")
    assert code == 0
    assert re.search(r"^  relation +no caption states one$", out, re.MULTILINE)
    found = json.loads((here / "found.json").read_text(), parse_constant=pytest.fail)
    assert found["right"]["relation"] is None
    assert set(found) >= {"frechet", "edges", "below"}
    assert [stage["steps"] for stage in found["stages"]] == [1, 1, 1]


@pytest.mark.parametrize("data", registry.EXAMINED[1:-1])
def test_evaluate_asks_for_emoji_alone_and_in_scenes(call, tiny_cascade, here, data):
    command = [
        "evaluate",
        "--weights",
        tiny_cascade,
        "--device",
        "cpu",
        "--captions",
        3,
        "--data",
        data,
        "--steps",
        1,
    ]
    code, out, err = call(*command, "--out", "found.json", "--quiet")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"3 held-out captions, all {data}, 64 pixels, seeds from 0"
    found = json.loads((here / "found.json").read_text(), parse_constant=pytest.fail)["right"]
    assert set(found) == {"top 1", "top 5"}
    assert found["top 1"]["features"] == "likeness, 64 features"
    assert found["top 1"]["share"] <= found["top 5"]["share"]


def test_bad_flags_of_evaluate_get_one_line(refused, tiny_cascade, monkeypatch):
    command = ["evaluate", "--weights", tiny_cascade, "--device", "cpu"]
    # The flags are checked before a thousand pictures are drawn to compare with.
    monkeypatch.setattr(exam, "captions_and_references", None)
    assert "size must be one of 16, 32, 64, got 1024" in refused(*command, "--size", "1024")
    assert "argument --captions" in refused(*command, "--captions", "0")
    assert "argument --split" in refused(*command, "--split", "test")
    assert "weight must be" in refused(*command, "--weight", "nan")
    assert "kind must be left out with emoji, got 'single'" in refused(
        *command, "--data", "emoji", "--kind", "single"
    )


# --- info, help, names ---


def test_info_says_what_the_weights_are(call, tiny_cascade):
    code, out, err = call("info", "--weights", tiny_cascade)
    assert (code, err) == (0, "")
    assert out.startswith(f"minimagen {__version__}, weights in {tiny_cascade}\n")
    assert "16 wide, up to 40 tokens" in out
    for size, network in ((16, "unet"), (32, "efficient"), (64, "efficient")):
        assert re.search(
            rf"^ +{size} pixels: {network}, 0\.\d\d M parameters, predicts v$", out, re.MULTILINE
        )
    assert out.count("sampler    ddim") == 3


def test_the_flags_name_what_the_library_has():
    choices = {}
    commands = next(action for action in parser()._actions if action.dest == "command").choices
    for command in commands.values():
        for action in command._actions:
            if action.choices:
                choices.setdefault(action.dest, []).append(tuple(action.choices))
    assert set(commands) == {"draw", "train", "evaluate", "info"}
    assert choices == {
        "sampler": [tuple(STEPS)] * 2,
        "threshold": [tuple(THRESHOLDS)] * 2,
        "stage": [recipes.STAGES],
        "profile": [recipes.PROFILES],
        "config": [tuple(CONFIGS)],
        "split": [registry.ALL_SPLITS],
        "kind": [registry.KINDS],
        "data": [registry.EXAMINED],
    }


def test_every_flag_is_explained_and_every_example_is_understood(monkeypatch):
    commands = next(action for action in parser()._actions if action.dest == "command").choices
    for name, command in commands.items():
        assert command.description, name
        assert all(action.help for action in command._actions), name
    examples = [
        line.split("minimagen ", 1)[1] for line in EXAMPLES.splitlines() if line.startswith("  ")
    ]
    assert len(examples) >= 7
    for example in examples:
        assert parser().parse_args(shlex.split(example)).run


def test_help_is_quick_and_needs_no_torch(tmp_path):
    code = "import sys; from minimagen import cli\ntry: cli.main(['--help'])\n"
    code += "finally: assert 'torch' not in sys.modules"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    module = subprocess.run(
        [sys.executable, "-m", "minimagen", "--help"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert module.stdout == done.stdout
    assert module.stderr == ""
    assert all(word in module.stdout for word in ("draw", "train", "evaluate", "info", "examples:"))


def test_train_takes_a_shape_by_name_and_keeps_it(train, tiny_text, here, monkeypatch):
    small = {"base": replace(CONFIGS["small"]["base"], channels=8, head_width=16)}
    monkeypatch.setitem(CONFIGS, "small", small)
    command = train("base", "--out", "run", "--size", "16", "--steps", "1", "--config", "small")
    assert cli.main([str(part) for part in command]) == 0
    kept_shape = json.loads((here / "run" / "stage.json").read_text())["config"]
    assert (kept_shape["channels"], kept_shape["text_width"]) == (8, 16)
    assert kept(here / "run")[1].choices["config"] == "small"
