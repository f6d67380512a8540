"""Lesson 11: a run's state, out of its file again bit for bit, and what learns."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_runs import BASE, RECIPES, take

from minimagen import recipes
from minimagen.conditioning import Cond, Text
from minimagen.learner import new_learner
from minimagen.noise import cosine
from minimagen.state import Config, load_state, read_head, save_state
from minimagen.training import train, warm_then_cool

CONFIG = Config(RECIPES["base"], 1000, "fixed", "fixed", {"data": "shapes"})


def learner(seed=0, **changes):
    """One with channels last, as on a GPU: weights lie in another order than in the file."""
    settings = replace(BASE, config=replace(BASE.config, text_width=16, **changes))
    learner = new_learner(RECIPES["base"], settings, seed, torch.device("cpu"))
    learner.denoiser.to(memory_format=torch.channels_last)
    return learner


def pictures():
    while True:
        text = Text(torch.ones(4, 2, 16), torch.ones(4, 2, dtype=torch.bool))
        yield torch.ones(4, 3, 8, 8), Cond(text)


def go_on(run, count):
    steps = train(run.denoiser, pictures(), cosine, run.optimizer, generator=run.generator)
    for step in take(count, steps):
        run.advance(step)


def test_a_state_comes_back_bit_for_bit_and_goes_on_as_if_never_stopped(tmp_path):
    path, unbroken, resumed = tmp_path / "state.safetensors", learner(), learner(seed=9)
    go_on(unbroken, 3)
    save_state(path, unbroken, CONFIG)
    load_state(path, resumed)
    assert resumed.step == 3
    for run in (unbroken, resumed):
        go_on(run, 3)
        save_state(tmp_path / f"{run is resumed}", run, CONFIG)
    a, b = load_file(tmp_path / "False"), load_file(tmp_path / "True")
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert unbroken.log.line() == resumed.log.line()
    assert unbroken.rate.get_last_lr() == resumed.rate.get_last_lr()


def test_moments_come_back_in_the_memory_order_of_their_weights(tmp_path):
    run, again = learner(), learner(seed=1)
    go_on(run, 1)
    save_state(tmp_path / "state", run, CONFIG)
    load_state(tmp_path / "state", again)
    weight = again.denoiser.net.first.weight
    assert not weight.is_contiguous()
    moments = again.optimizer.state[weight]
    assert moments["exp_avg"].stride() == moments["exp_avg_sq"].stride() == weight.stride()


def test_a_state_before_the_first_step_comes_back_too(tmp_path):
    save_state(tmp_path / "state", learner(), CONFIG)
    again = learner(seed=1)
    load_state(tmp_path / "state", again)
    assert again.step == 0
    assert torch.equal(again.denoiser.net.first.weight, learner().denoiser.net.first.weight)
    go_on(again, 1)


def test_a_state_that_does_not_fit_is_refused_by_name(tmp_path):
    path, run = tmp_path / "state.safetensors", learner()
    refused = "state.safetensors must be the state of this very training run, whole"
    with pytest.raises(ValueError, match=refused):
        load_state(path, run)
    go_on(run, 1)
    save_state(path, run, CONFIG)
    whole = path.read_bytes()
    with pytest.raises(ValueError, match=refused):
        load_state(path, learner(channels=24))
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=refused):
            load_state(path, run)
        with pytest.raises(ValueError, match=refused):
            read_head(path)


def test_a_state_replaces_the_old_one_at_once(tmp_path):
    """What is in the way of the new state leaves the old one whole, and nothing half written lies
    about.
    """
    path, run = tmp_path / "state.safetensors", learner()
    save_state(path, run, CONFIG)
    before = path.read_bytes()
    run.step = object()
    with pytest.raises(TypeError):
        save_state(path, run, CONFIG)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["state.safetensors"]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="nothing lists what is mapped")
def test_a_state_that_was_read_is_mapped_no_more(tmp_path):
    """Windows replaces no file that is still mapped into memory."""
    path, run = tmp_path / "state.safetensors", learner()
    go_on(run, 1)
    save_state(path, run, CONFIG)
    load_state(path, run)
    assert read_head(path)[0] == 1
    assert str(path) not in Path("/proc/self/maps").read_text()


def test_what_decides_a_run_goes_through_json():
    for recipe in (*RECIPES.values(), *recipes.RECIPES.values()):
        config = replace(CONFIG, recipe=recipe, leg=3)
        assert Config.of(json.loads(json.dumps(asdict(config)))) == config


def test_the_first_weights_leave_the_global_generator_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    first = learner().denoiser.net.first.weight
    assert torch.equal(torch.rand(3), wanted)
    torch.manual_seed(0)
    settings = replace(BASE, config=replace(BASE.config, text_width=16))
    assert torch.equal(settings.build().net.first.weight, first)  # the same as from the global one


def test_the_rate_of_every_step_is_the_recipe_s_bit_for_bit():
    run, recipe = learner(), RECIPES["base"]
    rates = []
    for _ in range(recipe.steps):
        rates.append(run.optimizer.param_groups[0]["lr"])
        run.optimizer.step()
        run.rate.step()
    wanted = [warm_then_cool(step, recipe.steps, recipe.warm) for step in range(recipe.steps)]
    assert rates == [recipe.rate * factor for factor in wanted]
