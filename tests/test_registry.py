"""The names of data sets: what each gives, and that one entry is all that a further one needs."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from minimagen import pixels
from minimagen.data import Crops, Folder, Mixture, crops
from minimagen.data.emoji import STYLES, Emoji, records
from minimagen.data.shapes import KINDS, Shapes
from minimagen.data.truth import KINDS as WORLD_KINDS
from minimagen.data.world import SPLITS as WORLD_SPLITS
from minimagen.evaluation import exam, registry
from minimagen.evaluation.alignment import alignment
from minimagen.evaluation.registry import DATASETS, EXAMINED, Entry, dataset, described, examined

ROOT = Path(__file__).parents[1]


def picture_folder(path: Path) -> Path:
    path.mkdir()
    Image.new("RGB", (8, 8), "red").save(path / "a.png")
    (path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "red"}\n')
    return path


def test_data_sets_have_names(tmp_path):
    assert isinstance(dataset("shapes", 32), Shapes)
    assert dataset("shapes", 32).size == 32
    assert dataset("shapes", 32, "unseen").split == "unseen"
    assert not dataset("shapes", 32, "unseen").distractors
    assert "moon" in (distractors := dataset("shapes", 32).distractors)
    assert not {"star", "red", "left", "tiny"} & set(distractors)
    known = "shapes, emoji, things, scenes, two-things, picnic, world, some, all"
    with pytest.raises(
        ValueError, match=f"data must be one of {known} or a folder of pictures, got 'shape'"
    ):
        dataset("shape", 32)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "red"}\n')
    folder = dataset(str(tmp_path), 4)
    assert isinstance(folder, Folder)
    assert folder[0][0].shape == (3, 4, 4)
    assert isinstance(crops(folder, 2), Crops)


@pytest.mark.skipif(not (ROOT / "data" / "emoji").is_dir(), reason="the emoji are not built here")
def test_drawn_data_sets_have_names_too():
    for name in ("emoji", "things", "scenes", "two-things", "picnic", "some", "all"):
        data = dataset(name, 16)
        assert isinstance(data, Mixture)
        picture, caption = data[5]
        assert (picture.shape, picture.dtype) == ((3, 16, 16), torch.uint8)
        assert caption
    things = dataset("things", 16).datasets
    assert [part.items for part in things] == [Emoji(style, 16, words=1).items for style in STYLES]
    shown = [
        records(part.style)[row] for part in dataset("picnic", 16).datasets for row in part.rows
    ]
    assert {record["group"] for record in shown} == {"animals-nature", "food-drink"}
    assert not any(" " in record["caption"] for record in shown)
    some = dataset("some", 16)
    assert some.weights == [9, 3, 8]
    alone = [dataset(name, 16) for name in ("shapes", "things", "picnic")]
    assert [part[0][1] for part in some.datasets] == [part[0][1] for part in alone]


def test_a_folder_named_like_a_data_set_is_taken_by_its_path_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture_folder(tmp_path / "things")
    for path in ("./things", "things/", str(tmp_path / "things")):
        assert isinstance(dataset(path, 8), Folder)
    with pytest.raises(
        ValueError, match=r"'things' is a data set and a folder .* \./things for the"
    ):
        dataset("things", 8)
    (tmp_path / "shapes").mkdir()  # a folder of something else is in nobody's way
    assert isinstance(dataset("shapes", 8), Shapes)
    with pytest.raises(ValueError, match=r"must hold metadata\.jsonl"):
        dataset("./shapes", 8)


def test_a_data_set_has_a_judge_and_references_or_neither():
    for name, entry in DATASETS.items():
        assert (entry.judge is None) == (entry.references is None) == (name not in EXAMINED)
    assert examined("shapes").kinds == tuple(KINDS)
    assert examined("world").kinds == tuple(WORLD_KINDS)
    assert examined("world").splits == tuple(WORLD_SPLITS)
    assert set(registry.KINDS) == {*KINDS, *WORLD_KINDS}
    assert set(registry.ALL_SPLITS) == {"train", "held-out", "unseen", *WORLD_SPLITS}


def test_a_name_or_kind_that_cannot_be_examined_is_named():
    with pytest.raises(ValueError, match=f"data must be one of {', '.join(EXAMINED)}, got 'all'"):
        examined("all")
    with pytest.raises(ValueError, match="kind must be left out with emoji, got 'pair'"):
        examined("emoji", "pair")
    with pytest.raises(
        ValueError, match="kind must be one of single, pair, count, triple with shapes, got 'four'"
    ):
        examined("shapes", "four")
    with pytest.raises(
        ValueError, match="split must be one of train, .*, unseen-noun with world, got 'unseen'"
    ):
        examined("world", None, "unseen")
    with pytest.raises(ValueError, match="held-out, unseen with shapes, got 'text-only'"):
        exam.captions_and_references("shapes", "text-only", None, 3, 64)


@pytest.mark.parametrize("name", EXAMINED)
def test_a_judge_is_told_a_truth_for_every_caption(name):
    captions, _ = exam.captions_and_references(name, "held-out", None, 6, 64)
    truths = exam.truths(name, "held-out", None, 6)
    if name == "world":
        world = dataset("world", 64, "held-out")
        assert truths == [world.truth(i) for i in range(6)]
        assert captions == [world.caption(i) for i in range(6)]
    else:
        assert truths == captions


def test_the_help_says_every_name_once():
    text = described(DATASETS)
    assert all(len(re.findall(rf"(^|, ){name} \(", text)) == 1 for name in DATASETS)


def test_one_entry_is_all_that_a_further_data_set_needs(monkeypatch):
    first = lambda size, split, kind=None: Shapes(size, split, {"single": 1.0}, length=10)
    second = lambda size, split, kind=None: Shapes(size, split, {"pair": 1.0}, length=7)
    both = lambda size, split, kind: [first(size, split), second(size, split)]
    monkeypatch.setitem(DATASETS, "two", Entry("two in turn", first, alignment, both, stride=3))
    assert len(dataset("two", 32)) == 10
    captions, references = exam.captions_and_references("two", "train", None, 12, 64)
    assert captions[:4] == [
        *(first(64, "train").caption(0), second(64, "train").caption(0)),
        *(first(64, "train").caption(3), second(64, "train").caption(3)),
    ]
    assert captions[10] == first(64, "train").caption(15 % 10)  # they come round
    real = list(references)
    assert len(real) == 24
    assert torch.equal(real[3], pixels.from_uint8(second(64, "train")[3][0])[None])
    marks = exam.examine("two", [(captions, [torch.cat(real[:12])])], real)
    assert marks["right"]["all"]["share"] == 1
