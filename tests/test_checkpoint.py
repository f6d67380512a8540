"""A stage's folder: what is saved comes back, and whatever is wrong with it is one error that names
the file.
"""

import json
import pickle
import shutil
from dataclasses import asdict, fields, replace

import pytest
import torch
from conftest import TINY
from safetensors.torch import load_file, save_file

from minimagen import checkpoint
from minimagen.checkpoint import Settings
from minimagen.conditioning import Cond, Text

SETTINGS = Settings(16, "unet", TINY["base"], trained={"steps": 7})


def randomised(settings):
    """A network of which no layer is zero any more."""
    denoiser, generator = settings.build(), torch.Generator().manual_seed(0)
    for parameter in denoiser.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return denoiser


@pytest.fixture(scope="module")
def original():
    return randomised(SETTINGS)


@pytest.fixture
def stage(original, tmp_path):
    checkpoint.save(tmp_path / "stage", original, SETTINGS)
    return tmp_path / "stage"


def changed(stage, **changes):
    """The same folder with other values in `stage.json`."""
    path = stage / "stage.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return stage


def refused(stage, file, words=""):
    """The one error of a folder that cannot be loaded: short, of one kind, and naming the file."""
    with pytest.raises(ValueError) as caught:
        checkpoint.load(stage)
    message = str(caught.value)
    assert str(stage / file) in message
    assert words in message
    assert len(message) < 300 + 4 * len(str(stage))
    return message


# --- what is saved comes back ---


def test_weights_come_back_rounded_to_bfloat16_and_nothing_else(original, stage):
    loaded, settings = checkpoint.load(stage)
    assert settings == SETTINGS
    assert loaded.target == original.target
    want = original.net.state_dict()
    assert set(loaded.net.state_dict()) == set(want)
    for name, tensor in loaded.net.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, want[name].bfloat16().float())
        assert not torch.equal(tensor, want[name]), (
            name
        )  # the rounding is seen, so that exactness below means something


def test_a_second_save_changes_no_byte(stage, tmp_path):
    checkpoint.save(tmp_path / "again", *checkpoint.load(stage))
    for name in ("stage.json", "weights.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (stage / name).read_bytes()


def test_the_loaded_network_predicts_what_the_rounded_one_does(original, stage):
    rounded = randomised(SETTINGS)
    rounded.load_state_dict(
        {name: tensor.bfloat16().float() for name, tensor in original.state_dict().items()}
    )
    z, logsnr = (
        torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)),
        torch.tensor([-2.0, 3.0]),
    )
    cond = Cond(Text(torch.ones(2, 4, 16), torch.ones(2, 4, dtype=torch.bool)))
    with torch.no_grad():
        assert torch.equal(
            checkpoint.load(stage)[0](z, logsnr, cond).x0, rounded(z, logsnr, cond).x0
        )


def test_a_loaded_stage_is_ready_to_draw(stage):
    denoiser, _ = checkpoint.load(stage)
    assert not denoiser.training
    assert not any(p.requires_grad for p in denoiser.parameters())
    assert {p.device.type for p in denoiser.parameters()} == {"cpu"}


def test_saving_leaves_the_network_as_it_was(tmp_path):
    denoiser = randomised(SETTINGS)
    before = {name: tensor.clone() for name, tensor in denoiser.state_dict().items()}
    checkpoint.save(tmp_path, denoiser.to(memory_format=torch.channels_last), SETTINGS)
    assert all(torch.equal(tensor, before[name]) for name, tensor in denoiser.state_dict().items())
    checkpoint.load(tmp_path)


@pytest.mark.parametrize("kind", ["base", "sr"])
def test_every_kind_of_network_comes_back(kind, tmp_path):
    network, level = ("unet", None) if kind == "base" else ("efficient", 0.1)
    settings = Settings(
        32,
        network,
        TINY[kind],
        "eps",
        "linear",
        5,
        "heun",
        2.5,
        "dynamic",
        0.9,
        level,
        {"note": "é"},
    )
    checkpoint.save(tmp_path, randomised(settings), settings)
    assert checkpoint.load(tmp_path)[1] == settings


# --- what a folder holds ---


def test_a_folder_holds_readable_json_and_bfloat16_tensors_and_no_pickle(stage, original):
    assert sorted(path.name for path in stage.iterdir()) == ["stage.json", "weights.safetensors"]
    text = (stage / "stage.json").read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(json.dumps(asdict(SETTINGS)))
    assert text.count("\n") > 10
    raw = (stage / "weights.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"BF16"}
    assert len(raw) == 8 + length + 2 * sum(p.numel() for p in original.parameters())


def test_the_fields_of_stage_json_stay_what_they_were():
    wanted = "size network config target schedule steps sampler weight threshold percentile"
    wanted += " aug_level trained"
    assert [field.name for field in fields(Settings)] == wanted.split()


def test_a_pickle_in_the_place_of_the_weights_is_not_opened(stage, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    (stage / "weights.safetensors").write_bytes(pickle.dumps(Trap()))
    refused(stage, "weights.safetensors", "whole safetensors file")
    assert not (tmp_path / "sprung").exists()


# --- what is wrong with it ---


def test_a_missing_file_is_named(stage, tmp_path):
    refused(tmp_path / "nowhere", "stage.json", "missing")
    (stage / "weights.safetensors").unlink()
    refused(stage, "weights.safetensors")


@pytest.mark.parametrize("keep", [0, 7, 8, 100, 0.5, -1])
def test_truncated_weights_are_named(stage, keep):
    path = stage / "weights.safetensors"
    raw = path.read_bytes()
    path.write_bytes(raw[: int(keep * len(raw)) if isinstance(keep, float) else keep])
    refused(stage, "weights.safetensors", "whole safetensors file")


def test_weights_with_bytes_too_many_or_a_damaged_header_are_named(stage):
    path = stage / "weights.safetensors"
    raw = path.read_bytes()
    for damaged in (raw + b"\0", raw[:8] + b"?" + raw[9:], b"\xff" * 8 + raw[8:]):
        path.write_bytes(damaged)
        refused(stage, "weights.safetensors")


def test_weights_of_another_network_do_not_fit(stage, tmp_path):
    other = replace(SETTINGS, config=replace(TINY["base"], channels=16))
    checkpoint.save(tmp_path / "other", randomised(other), other)
    shutil.copy(tmp_path / "other" / "weights.safetensors", stage)
    refused(stage, "weights.safetensors", "does not fit the network")


@pytest.mark.parametrize("change", ["missing", "extra", "reshaped"])
def test_one_tensor_too_few_too_many_or_of_another_shape_does_not_fit(stage, change):
    path = stage / "weights.safetensors"
    weights = load_file(path)
    name = next(iter(weights))
    if change == "missing":
        del weights[name]
    else:
        key = "more" if change == "extra" else name
        weights[key] = torch.zeros(1, 2, 3)
    save_file(weights, path)
    assert ("more" if change == "extra" else name) in refused(
        stage, "weights.safetensors", "does not fit the network"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(stage, value):
    path = stage / "weights.safetensors"
    weights = load_file(path)
    name = sorted(weights)[3]
    weights[name].view(-1)[-1] = value
    save_file(weights, path)
    assert name in refused(stage, "weights.safetensors", "finite")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", '"base"', "{}", '{"size": 16}', "\xff"]
)
def test_a_damaged_stage_json_is_named(stage, text):
    (stage / "stage.json").write_bytes(text.encode("latin-1"))
    refused(stage, "stage.json", "damaged")


@pytest.mark.parametrize("name", ["network", "target", "schedule", "sampler", "threshold"])
@pytest.mark.parametrize("value", ["nonsense", None, ["unet"]])
def test_a_name_that_does_not_exist_is_named(stage, name, value):
    message = refused(changed(stage, **{name: value}), "stage.json")
    assert f"{name} must be one of" in message or "unhashable" in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("size", value) for value in (0, -16, 16.5, "16", True, None)),
        *(("steps", value) for value in (0, -1, 2.5, "many", True)),
        *(("weight", value) for value in (float("nan"), float("inf"), "3", None)),
        *(("percentile", value) for value in (0, 1.5, -0.1, float("nan"), "0.9")),
        *(("aug_level", value) for value in (-0.1, 1.1, float("nan"), "0.1")),
    ],
)
def test_a_number_out_of_range_is_named(stage, name, value):
    refused(changed(stage, **{name: value}), "stage.json", f"{name} must be")
    with pytest.raises(ValueError, match=f"{name} must be"):
        replace(SETTINGS, **{name: value})


def test_a_field_of_another_version_is_named(stage):
    assert "colour_space" in refused(
        changed(stage, colour_space="hsv"), "stage.json", "another version"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": "8"},
        {"channels": 8.5},
        {"channels": -8},
        {"multipliers": [1]},
        {"multipliers": 2},
        {"attention": [None, "what"]},
        {"head_width": 7},
        {"text_width": "16"},
        {"more": 1},
    ],
    ids=str,
)
def test_a_network_that_cannot_be_built_is_named(stage, wrong):
    content = json.loads((stage / "stage.json").read_text())
    refused(changed(stage, config={**content["config"], **wrong}), "stage.json")


@pytest.mark.parametrize("config", [None, "tiny", []])
def test_a_config_that_is_none_is_named(stage, config):
    refused(changed(stage, config=config), "stage.json")
