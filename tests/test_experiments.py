"""The scripts of experiments/ and tools/ start, share their plumbing, and what they left behind is
true to them.
"""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments import _common, _timing, _world16
from minimagen.data import language
from minimagen.data.language import parse

ROOT = Path(__file__).parents[1]
RESULTS = sorted(_common.RESULTS.glob("*.json"))
SCRIPTS = sorted(
    f"{path.parent.name}.{path.stem}"
    for folder in ("experiments", "tools")
    for path in (ROOT / folder).glob("*.py")
    if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
)
# Run in a process of its own, so that an import that only another script makes is not at hand; a
# script that would ask the network for something fails.
HELP = """
import runpy, sys
def guard(event, args):
    if event.startswith("socket."):
        raise RuntimeError(f"--help caused {event} {args}")
sys.addaudithook(guard)
name = sys.argv[1]
sys.argv = [name, "--help"]
runpy.run_module(name, run_name="__main__", alter_sys=True)
"""


def started(name: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", HELP, name],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )


# --- the scripts ---


def test_every_module_that_is_no_script_begins_with_an_underscore():
    modules = {f"{p.parent.name}.{p.stem}" for f in ("experiments", "tools") for p in
               (ROOT / f).glob("[!_]*.py")}  # fmt: skip
    assert modules == set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_how_it_is_used_without_a_network(name):
    done = started(name)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("usage:")


def test_a_script_that_does_not_start_is_noticed():
    assert started("experiments.there_is_none").returncode != 0


# --- what they left behind ---


def values(content: object, *names: str) -> list[str]:
    """Everything that stands under one of these keys, at any depth; lists laid flat."""
    if isinstance(content, list):
        return [value for part in content for value in values(part, *names)]
    if not isinstance(content, dict):
        return []
    own = [content[name] for name in names if name in content]
    flat = [value for part in own for value in (part if isinstance(part, list) else [part])]
    return flat + [value for part in content.values() for value in values(part, *names)]


def is_evaluation(content: dict) -> bool:
    """Whether `minimagen evaluate --json` wrote it: its own keys are the options of the command."""
    return {"data", "split", "kind", "captions", "size", "seed", "stages"} <= content.keys()


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name)
def test_figures_say_on_which_machine_and_by_which_command_they_were_measured(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    if is_evaluation(content):
        return
    machines, commands = values(content, "machine"), values(content, "command", "commands")
    assert machines
    assert commands
    for machine in machines:
        assert re.fullmatch(r".+, (\d+ of \d+ cores|compiled), torch [\w.+]+", machine), machine


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name)
def test_the_command_of_a_file_of_figures_is_the_script_that_writes_it(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    for command in values(content, "command", "commands"):
        name = re.match(r"python -m (\S+)", command)[1]
        assert name in SCRIPTS
        source = (ROOT / name.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
        assert f'"{path.name}"' in source


PAGES = ("README.md", "docs/WEIGHTS.md", "docs/GALLERY.md")
TOP = ("data", "docs", "experiments", "minimagen", "notebooks", "tests", "tools")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_links_only_to_files_that_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert links
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_only_files_and_modules_that_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    paths = [path for path in re.findall(r"`([\w.*/-]+)`", text) if path.split("/")[0] in TOP]
    assert [path for path in paths if "/" in path and not list(ROOT.glob(path))] == []
    modules = re.findall(r"python -m ([\w.]+)", text) + re.findall(r"`(minimagen\.[\w.]+)`", text)
    assert [name for name in modules if not is_module(name)] == []


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").exists()


def test_the_gallery_page_is_what_its_script_writes():
    from tools import gallery

    assert gallery.page(gallery.SENTENCES) == (ROOT / "docs/GALLERY.md").read_text(encoding="utf-8")


def test_the_figure_of_the_loss_has_every_leg_of_the_log_once_and_in_order():
    pytest.importorskip("matplotlib")
    from tools.figures import legs

    log = ROOT / "data/weights/base/training_log.jsonl"
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [leg[0]["leg"] for _, leg in legs()] == list(range(1, lines[-1]["leg"] + 1))
    assert [line for _, leg in legs() for line in leg] == lines
    assert [size for size, _ in legs()] == [leg[0]["pixels"] for _, leg in legs()]


# --- files of figures ---


def test_several_writers_of_one_file_lose_no_point(tmp_path):
    path = tmp_path / "figures.json"

    def add(number: int) -> None:
        with _common.results(path, {"steps": 3}) as kept:
            kept["points"] = _common.merged(
                kept.get("points", []), [{"n": number}], lambda p: p["n"]
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(64)))
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content == {"steps": 3, "points": [{"n": number} for number in range(64)]}


def test_figures_of_other_settings_are_refused_and_stay(tmp_path):
    path = tmp_path / "figures.json"
    with _common.results(path, {"steps": 3, "levels": (1, 2)}) as kept:
        kept["points"] = [1]
    before = path.read_bytes()
    assert _common.read_results(path, {"steps": 3, "levels": (1, 2)})["points"] == [1]
    with pytest.raises(SystemExit, match="another steps: remove it, or choose another --out"):
        _common.read_results(path, {"steps": 4, "levels": (1, 2)})
    with pytest.raises(SystemExit), _common.results(path, {"steps": 4, "levels": (1, 2)}):
        pass
    assert path.read_bytes() == before


def test_a_block_that_fails_leaves_the_figures_as_they_were(tmp_path):
    path = tmp_path / "figures.json"
    _common.write_json(path, {"points": []})
    with pytest.raises(ZeroDivisionError), _common.results(path, {}) as kept:
        kept["points"].append(1 / 0)
    assert json.loads(path.read_text(encoding="utf-8")) == {"points": []}


def test_a_new_point_takes_the_place_of_an_old_one_and_all_are_in_order():
    old, new = (
        [{"at": 3, "v": "a"}, {"at": 1, "v": "b"}],
        [{"at": 3, "v": "c"}, {"at": 2, "v": "d"}],
    )
    points = _common.merged(old, new, lambda point: point["at"])
    assert [(point["at"], point["v"]) for point in points] == [(1, "b"), (2, "d"), (3, "c")]


def test_a_run_is_noted_once(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["curves.py", "--captions", "8"])
    kept: dict = {}
    for _ in range(2):
        _common.note_run(kept, "curves")
    run = {"command": "python -m experiments.curves --captions 8", "machine": _common.machine()}
    assert kept == {"runs": [run]}


# --- drawing and measuring ---


class Recorder:
    """A cascade that draws its seeds."""

    def draw(self, prompts: list[str], seed: int, **changes) -> list[torch.Tensor]:
        seeds = torch.arange(seed, seed + len(prompts)).reshape(-1, 1, 1, 1)
        return [torch.zeros_like(seeds), seeds * changes.get("weight", 1)]


def test_a_picture_has_the_seed_of_its_place_whatever_its_batch():
    captions = ["a red circle"] * (2 * _common.BATCH + 5)
    drawn = _common.draw(Recorder(), captions, 7, weight=2)
    assert drawn.flatten().tolist() == [2 * (7 + i) for i in range(len(captions))]


def test_the_interval_of_a_mean_holds_it():
    row = _common.mean(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert row["low"] < row["value"] == 3 < row["high"]
    assert _common.rounded({"value": 0.123456, "low": 0.1}, 3) == {"value": 0.123, "low": 0.1}


def test_the_interval_of_a_share_is_no_point_where_all_are_right():
    row = _common.share(torch.ones(20, dtype=torch.bool))
    assert row["value"] == 1
    assert row["low"] == pytest.approx(20 / (20 + 1.96**2), abs=1e-4)  # Wilson's, at k = n


# --- timing ---


def test_the_sides_take_turns_and_the_first_round_does_not_count():
    calls: list[str] = []
    seconds = _timing.alternate({name: lambda name=name: calls.append(name) for name in "ab"}, 3)
    assert calls == list("abababab")
    assert {name: len(times) for name, times in seconds.items()} == {"a": 3, "b": 3}
    with pytest.raises(ValueError, match="rounds must be at least 2, got 1"):
        _timing.alternate({}, 1)


def test_a_ratio_is_taken_within_its_round():
    assert _timing.ratios([2.0, 40.0, 6.0], [1.0, 20.0, 3.0]) == [2.0, 2.0, 2.0]
    assert _timing.ratios([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]) == [2.0, 1.0, 3.0]


def test_the_peak_is_what_is_held_at_one_time():
    def one_after_another() -> None:
        for _ in range(3):
            torch.zeros(1_000_000)

    kept = lambda: [torch.zeros(1_000_000) for _ in range(3)]
    assert _timing.peak_memory(one_after_another) == pytest.approx(4e6, rel=0.01)
    assert _timing.peak_memory(kept) == pytest.approx(12e6, rel=0.01)


# --- single experiments ---


def test_every_variant_of_the_ablation_is_a_network_that_there_is():
    from experiments.ablation import RECIPE, VARIANTS

    for variant in VARIANTS.values():
        replace(RECIPE.settings.config, **(variant.config or {}))


def test_fresh_captions_have_one_new_wording_and_leave_the_library_as_it_is():
    from experiments import fresh

    tables = (language.FRAMES, language.NOUNS, language.RELATIONS, language.TRIPLES)
    before = json.dumps([str(table) for table in tables])
    held_out = [wording for table in (language.FRAMES, language.NOUNS) for wording in table[1]]
    for kind, count in (("single", 1), ("pair", 2), ("triple", 3)):
        for caption in fresh.captions(kind, 40):
            assert len(parse(caption).objects) == count
            assert not any(wording.replace("{}", "") in caption for wording in held_out)
    assert json.dumps([str(table) for table in tables]) == before


def test_real_pages_are_right_in_the_world_of_16_pixels_and_exchanged_ones_wrong():
    pages = _world16.world()
    assert _world16.right(pages[_world16.TRUTH, 3], pages).all()
    assert not _world16.right(pages[_world16.TRUTH.roll(_world16.TESTED), 3], pages).any()
