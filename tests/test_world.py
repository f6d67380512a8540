"""`World`: its truths are true, its captions say them, its splits share nothing, its pictures show
them, and a window is what the whole page would show there.
"""

import math
import pickle
import random
import re
from functools import cache

import numpy as np
import pytest
import torch

from minimagen.data import World, captions, sprites, wordings
from minimagen.data.captions import describe, rare_words
from minimagen.data.drawing import OUTLINES
from minimagen.data.layout import EDGE, GAP, choose_sizes, in_place
from minimagen.data.nouns import (
    COLOURS,
    SHAPES,
    drawings,
    oklab,
    things,
    unseen_colour,
    unseen_pair,
)
from minimagen.data.pages import DOT, PAGE_COLOURS, PAGE_KINDS, STEPS, Page, clashes, draw_page
from minimagen.data.truth import KINDS, PLACES, SIZES, THING_SIZES, Object, Truth
from minimagen.data.wordings import TEXT_ONLY, held_out, plural, text_only, trained
from minimagen.data.world import SPLITS, render

MANY = 20_000
TABLES = [
    *(wordings.FRAMES, wordings.FULL, wordings.COLOURED, wordings.SIZED, wordings.BARE),
    *(wordings.COUNTED, wordings.ON_PAGE),
    *(
        row
        for table in ("JOINED", "TRIPLES", "PLACED", "PAGES")
        for row in vars(wordings)[table].values()
    ),
]
WHITE = Page("plain", "white")


@cache
def items(split: str, count: int = 2000) -> list[tuple[Truth, str]]:
    """Truths and captions, without any drawing."""
    world = World(64, split)
    return [world._item(i) for i in range(count)]


def says(caption: str, phrase: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", caption) is not None


def nouns_of(truth: Truth) -> set[str]:
    return {o.noun for o in truth.objects}


def pairs_of(truth: Truth) -> list[tuple[str, str]]:
    nouns = [o.noun for o in truth.objects]
    return [(a, b) for k, a in enumerate(nouns) for b in nouns[:k]]


def one(noun: str, colour: str | None, side: int = 40, page: Page = WHITE, left: int = 12) -> Truth:
    return Truth("single", page, (Object(noun, colour, "large", left, 12, side),), None, None)


# --- truths ---


@pytest.mark.parametrize("split", SPLITS)
def test_objects_lie_on_the_page_and_never_touch(split):
    for truth, _ in items(split):
        for k, o in enumerate(truth.objects):
            assert min(o.left, o.top) >= EDGE
            assert max(o.left, o.top) + o.side <= 64 - EDGE
            for other in truth.objects[:k]:
                apart = (o.left - other.left, o.top - other.top)
                sides = [other.side if gap > 0 else o.side for gap in apart]
                assert max(abs(gap) - side for gap, side in zip(apart, sides, strict=True)) >= GAP


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_said_of_places_relations_sizes_and_counts_is_true(split):
    for truth, _ in items(split):
        for a, b in zip(truth.objects, truth.objects[1:], strict=False):
            if truth.relation == "left of":
                assert a.left + a.side < b.left
                assert abs(a.y - b.y) < 0.5
            if truth.relation == "above":
                assert a.top + a.side < b.top
                assert abs(a.x - b.x) < 0.5
        if truth.place:
            (o,) = truth.objects
            for where, centre in zip(PLACES[truth.place], (o.x, o.y), strict=True):
                assert (centre < 0.45, 0.4 < centre < 0.6, centre > 0.55)[where]
        for o in truth.objects:
            assert o.side in (SIZES if o.noun in SHAPES else THING_SIZES)[o.size]
        alike = len({(o.noun, o.colour, o.size, o.side) for o in truth.objects}) == 1
        assert (truth.kind == "count") == (len(truth.objects) > 1 and alike)
        number = {"page": (0,), "single": (1,), "pair": (2,), "count": (2, 3), "triple": (3,)}
        assert len(truth.objects) in number[truth.kind]
        things_here = [o for o in truth.objects if o.noun not in SHAPES]
        assert truth.kind != "triple" or len(things_here) <= 1


def test_the_kinds_have_their_weights():
    kinds = [truth.kind for truth, _ in items("train")]
    for kind, weight in KINDS.items():
        assert kinds.count(kind) / len(kinds) == pytest.approx(weight, abs=0.04)


def test_every_noun_colour_page_place_and_size_appears_in_training():
    truths = [truth for truth, _ in items("train", 6000)]
    objects = [o for truth in truths for o in truth.objects]
    assert {o.noun for o in objects} == {*SHAPES, *things(shown=True)}
    assert {o.colour for o in objects} == {None, *COLOURS}
    assert {(o.size, o.side) for o in objects if o.noun in SHAPES} == {
        (size, side) for size, sides in SIZES.items() for side in sides
    }
    assert {truth.place for truth in truths} == {None, *PLACES}
    pages = {(truth.page.kind, truth.page.colour) for truth in truths}
    patterned = {(kind, c) for kind in PAGE_KINDS for c in PAGE_COLOURS if c != "white"}
    assert pages == patterned | {("plain", "white")}


def test_an_object_never_has_a_colour_in_which_its_page_would_hide_it():
    for split in SPLITS:
        for truth, _ in items(split):
            for o in truth.objects:
                assert not {truth.page.colour, truth.page.second} & clashes(o.noun, o.colour)
                assert o.colour is None or o.colour not in (truth.page.colour, truth.page.second)


def test_no_object_has_a_side_of_its_own():
    pairs = [
        truth.objects
        for truth, _ in items("train", MANY)
        if truth.relation and truth.kind == "pair"
    ]
    first = [a.noun < b.noun for a, b in pairs if a.noun != b.noun]
    thing_first = [b.noun in SHAPES for a, b in pairs if (a.noun in SHAPES) != (b.noun in SHAPES)]
    for found in (first, thing_first):  # four standard deviations of a fair coin
        assert abs(np.mean(found) - 0.5) < 2 / len(found) ** 0.5


def test_an_item_depends_on_its_number_alone():
    one_world, other = World(64), World(64, length=50)
    forwards = [(one_world.truth(i), one_world.caption(i)) for i in range(20)]
    backwards = [(other.truth(i), other.caption(i)) for i in reversed(range(20))]
    assert forwards == backwards[::-1]
    assert torch.equal(one_world[7][0], other[7][0])
    assert len(set(forwards)) == 20


def test_a_world_travels_to_a_worker_that_is_started_afresh():
    world = World(64, "unseen-pair", nouns=("dog", "teapot", "key"))
    there = pickle.loads(pickle.dumps(world))
    assert all(there.caption(i) == world.caption(i) for i in range(20))
    assert torch.equal(there[3][0], world[3][0])


# --- captions ---


@pytest.mark.parametrize(
    "split", ["train", "held-out", "unseen-colour", "unseen-pair", "unseen-noun"]
)
def test_a_caption_names_every_noun_and_no_colour_size_or_number_that_is_not_true(split):
    for truth, caption in items(split):
        for o in truth.objects:
            name = {o.noun, wordings.NOUN_WORDS.get(o.noun, o.noun)}
            name = {plural(noun) for noun in name} if truth.kind == "count" else name
            assert any(says(caption, noun) for noun in name), (caption, o)
        told = {o.colour for o in truth.objects} - {None}
        told |= (
            {truth.page.colour, truth.page.second or truth.page.colour}
            if truth.names_page
            else set()
        )
        assert {c for c in {*COLOURS, *PAGE_COLOURS} if says(caption, c)} == told, caption
        sizes = {o.size for o, named in zip(truth.objects, truth.names_sizes, strict=True) if named}
        spoken = {
            s for s, words in wordings.SIZE_WORDS.items() if any(says(caption, w) for w in words)
        }
        assert spoken == sizes, caption
        for number, word in ((2, "two"), (3, "three")):
            assert says(caption, word) == (truth.kind == "count" and len(truth.objects) == number)


def test_a_caption_reads_as_it_should():
    pair = (Object("unicorn", None, "small"), Object("ring", "orange", "large"))
    truth = Truth("pair", Page("striped", "green"), pair, "above", None, True, (False, True))
    rng = random.Random(0)
    found = {describe(truth, rng) for _ in range(20_000)}
    assert "a unicorn above a large orange ring on a striped green page" in found
    assert "an image of a large orange ring below a unicorn on a striped green page" in found
    text = " ".join(found)
    assert not re.search(r"\ba (?:orange|[aeio])|\ban unicorn", text)
    count = Truth(
        "count", WHITE, (Object("snowman", None, "medium"),) * 3, names_sizes=(False,) * 3
    )
    assert "three snowmen" in {describe(count, rng) for _ in range(200)}


READINGS = (  # how a stranger reads a wording, and which of the two stands first
    (
        r"A.* (left of|left-hand side of|leftward of|above|over|higher than|further up than) .*B",
        "A",
    ),
    (r"B.* (right of|right-hand side of|rightward of|below|under|lower than) .*A", "A"),
    (r"B.* (beneath|underneath|further down than) .*A", "A"),
    (r"A on the left and B on the right|B on the right and A on the left", "A"),
    (r"A at the top and B at the bottom|B at the bottom and A at the top", "A"),
    (r"A with B (to its right|below it)|B with A (to its left|above it)", "A"),
)


def test_every_wording_of_a_relation_says_that_the_first_stands_first():
    for tables in (wordings.JOINED, wordings.JOINED_TEXT_ONLY):
        for relation in ("left of", "above"):
            for wording in tables[relation]:
                said = wording.format("A", "B")
                assert [first for pattern, first in READINGS if re.fullmatch(pattern, said)] == [
                    "A"
                ], said
                swapped = wording.format("B", "A")
                assert not [first for pattern, first in READINGS if re.fullmatch(pattern, swapped)]
                across = "left" in said or "right" in said
                assert across == (relation == "left of"), said


def test_every_wording_of_a_row_says_its_direction():
    for relation, backwards in (("left of", ("right to left",)), ("above", ("bottom to top",))):
        for wording in wordings.TRIPLES[relation]:
            order = re.findall("[ABC]", wording.format("A", "B", "C"))
            assert order == list("CBA" if any(word in wording for word in backwards) else "ABC")


def test_every_wording_of_a_place_names_it():
    names = {"top": "top|up|upper", "bottom": "bottom|down|lower", "left": "left", "right": "right"}
    names["centre"] = "centre|middle"
    for place, table in wordings.PLACED.items():
        for wording in table:
            said = wording.replace("right in the", "in the")
            found = {
                name for name, pattern in names.items() if re.search(rf"\b({pattern})\b", said)
            }
            assert found == set(place.split()), wording


@pytest.mark.parametrize(
    ("noun", "many"),
    [
        ("cross", "crosses"),
        ("butterfly", "butterflies"),
        ("key", "keys"),
        ("sheep", "sheep"),
        ("wine glass", "wine glasses"),
        ("leaf", "leaves"),
        ("fox", "foxes"),
        ("top hat", "top hats"),
        ("puppy", "puppies"),
    ],
)
def test_plurals(noun, many):
    assert plural(noun) == many


def test_no_frame_speaks_of_what_a_page_may_show():
    words = {*SHAPES, *drawings(), *COLOURS, *PAGE_COLOURS, *TEXT_ONLY["noun"], "two", "three"}
    words |= {word for row in wordings.SIZE_WORDS.values() for word in row} | {
        "left",
        "right",
        "top",
    }
    for frame in wordings.FRAMES:
        assert not [word for word in words if says(frame, word)], frame


# --- splits ---


@cache
def training() -> tuple[list[Truth], frozenset[str]]:
    found = items("train", MANY)
    return [truth for truth, _ in found], frozenset(caption for _, caption in found)


def test_training_shows_no_unseen_colour_no_unseen_pair_and_no_unseen_noun():
    for truth in training()[0]:
        assert not any(unseen_colour(o.noun, o.colour) for o in truth.objects if o.colour)
        assert not any(unseen_pair(a, b) for a, b in pairs_of(truth))
        assert not nouns_of(truth) & {*things(shown=False)}


def test_each_unseen_split_shows_what_it_is_about_and_nothing_else_that_is_unseen():
    for split in ("unseen-colour", "unseen-pair", "unseen-noun"):
        for truth, _ in items(split):
            colours = {(o.noun, o.colour) for o in truth.objects if o.colour}
            new_colours = {pair for pair in colours if unseen_colour(*pair)}
            new_pairs = {(a, b) for a, b in pairs_of(truth) if unseen_pair(a, b)}
            new_nouns = nouns_of(truth) & {*things(shown=False)}
            counts = (len(new_colours), len(new_pairs), len(new_nouns))
            order = ("unseen-colour", "unseen-pair", "unseen-noun").index(split)
            assert counts == tuple(int(k == order) for k in range(3)), (split, truth)


def test_the_shares_that_are_kept_from_training_are_a_tenth():
    nouns = [*SHAPES, *things(shown=True)]
    colours = [unseen_colour(noun, colour) for noun in nouns for colour in COLOURS]
    pairs = [unseen_pair(a, b) for k, a in enumerate(nouns) for b in nouns[:k]]
    assert np.mean(colours) == pytest.approx(0.1, abs=0.02)
    assert np.mean(pairs) == pytest.approx(0.1, abs=0.01)
    shapes = [(s, c) for s in SHAPES for c in COLOURS if unseen_colour(s, c)]
    assert 4 <= len(shapes) <= 10
    assert any(unseen_pair(a, b) for a in SHAPES for b in SHAPES)
    for noun in nouns:  # every noun is seen in most colours, every colour on most nouns
        assert sum(not unseen_colour(noun, colour) for colour in COLOURS) >= 5


def test_every_table_of_wordings_holds_a_tenth_out_and_shares_none():
    for table in TABLES:
        kept, used = set(held_out(table)), set(trained(table))
        assert kept
        assert used
        assert not kept & used
        assert kept | used == set(table)
        assert table[0] in used  # the plainest
    counts = [(len(held_out(table)), len(set(table))) for table in TABLES if len(set(table)) > 14]
    assert all(kept / whole == pytest.approx(0.1, abs=0.04) for kept, whole in counts)


def test_a_held_out_caption_has_one_wording_that_training_never_has(monkeypatch):
    marked = lambda table: tuple(f"@{wording}" for wording in held_out(table))
    plain = lambda table: tuple(
        wording for wording in trained(table) if wording not in held_out(table)
    )
    monkeypatch.setattr(captions, "held_out", marked)
    monkeypatch.setattr(captions, "trained", plain)
    new, known = World(64, "held-out"), World(64, "train")
    for i in range(1000):
        assert new.caption(i).count("@") == 1
        assert "@" not in known.caption(i)


def test_no_held_out_caption_is_one_of_twenty_thousand_of_training():
    assert not {caption for _, caption in items("held-out")} & training()[1]


def test_a_text_only_caption_has_a_word_that_no_caption_of_training_has():
    words = [word for row in TEXT_ONLY.values() for word in row]
    forms = {form for word in words for form in (word, plural(word))}
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, forms))})(?![\w-])")
    for caption in training()[1]:
        assert not pattern.search(caption), caption
    for _, caption in items("text-only"):
        assert pattern.search(caption), caption
    seen = " | ".join(caption for _, caption in items("text-only", 6000))
    assert all(says(seen, word) or says(seen, plural(word)) for word in words)


def test_a_text_only_word_means_one_thing_that_world_knows():
    known = {
        "colour": {*COLOURS},
        "page colour": {*PAGE_COLOURS},
        "size": {*SIZES},
        "noun": {*SHAPES, *things(shown=True)},
        "relation": {"left of", "right of", "above", "below"},
    }
    assert TEXT_ONLY.keys() == known.keys()
    for kind, row in TEXT_ONLY.items():
        assert set(row.values()) <= known[kind]
        assert not set(row) & set().union(*known.values(), wordings.NOUN_WORDS.values())
    for kind in ("colour", "page colour", "size"):  # so that every page can be said otherwise
        assert set(TEXT_ONLY[kind].values()) == known[kind]
    for word, meaning in TEXT_ONLY["colour"].items():
        assert TEXT_ONLY["page colour"].get(word, meaning) == meaning
    assert text_only("colour", "red") == ("crimson", "scarlet", "ruby")


def test_a_truth_without_a_text_only_word_is_refused():
    banana = one("banana", None)
    with pytest.raises(ValueError, match="truth must say a word that has a text-only one"):
        describe(banana, random.Random(0), "text-only")
    assert rare_words(one("cat", "red")) == [("noun", "cat"), ("colour", "red")]


# --- pages ---


def all_pages() -> list[Page]:
    tinted = [colour for colour in PAGE_COLOURS if colour != "white"]
    return [WHITE] + [
        Page(kind, colour, second, step, shift)
        for kind in PAGE_KINDS
        for colour in tinted
        for second in ([None] if kind == "plain" else [None, *tinted])
        if not (kind == "ground" and second in (None, colour))
        for step in STEPS[kind][:1]
        for shift in ((3,) if step and kind != "ground" else (0,))
    ]


def test_all_pages_but_white_lie_within_nine_tenths_of_the_range():
    for page in all_pages():
        picture = draw_page(page, 32, (0, 0, 32)) / 127.5 - 1
        assert picture.max() <= (1 if page.colour == "white" else 0.9)
        assert picture.min() >= -0.9
    assert (draw_page(WHITE, 32, (0, 0, 32)) == 255).all()


def share_of_strong(page: Page, size: int = 256) -> np.ndarray:
    """How much of the strong tone each pixel has, from its colours alone."""
    light, strong = np.array(page.tones, float)
    picture = draw_page(page, size, (0, 0, size)).astype(float)
    return np.einsum("chw,c->hw", picture - light[:, None, None], strong - light) / np.sum(
        (strong - light) ** 2
    )


def test_a_page_is_what_its_kind_says():
    gradient = share_of_strong(Page("gradient", "pink", "blue"))
    assert gradient == pytest.approx(
        ((np.arange(256) + 0.5) / 256)[:, None].repeat(256, 1), abs=0.03
    )
    ground = share_of_strong(Page("ground", "blue", "green", 40))
    assert ground[: 40 * 4] == pytest.approx(0)
    assert ground[40 * 4 :] == pytest.approx(1)
    striped = share_of_strong(Page("striped", "blue", None, 8, 0))
    rows = np.arange(256) // 4 // 8 % 2  # the light stripe first
    assert striped == pytest.approx(rows[:, None].repeat(256, 1))
    moved = share_of_strong(Page("striped", "blue", None, 8, 5))
    assert moved[: 256 - 20] == pytest.approx(striped[20:])
    dotted = share_of_strong(Page("dotted", "yellow", "grey", 16, 0))
    assert dotted.mean() == pytest.approx(2 * math.pi * DOT**2, abs=0.01)  # two dots a square
    assert (dotted > -0.05).all()


def test_page_tones_are_told_apart():
    names = [name for name in PAGE_COLOURS if name != "white"]
    for tone in (0, 1):
        lab = oklab(np.array([PAGE_COLOURS[name][tone] for name in names]))
        gaps = np.linalg.norm(lab[:, None] - lab, axis=-1) + np.eye(len(names))
        assert gaps.min() > 0.03


# --- objects ---


def covered(shape: str, side: int = 40, size: int = 256) -> float:
    """The share of its box that a drawn shape covers."""
    drawn = sprites.sprite(shape, side, size)[sprites.OPAQUE].sum() / 255
    return drawn / sprites.pixels(side, size) ** 2


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        ("circle", math.pi / 4),
        ("square", 1.0),
        ("triangle", math.sqrt(3) / 4),
        ("diamond", 0.35),
        ("cross", 0.68 - 0.34**2),
        ("ring", math.pi / 4 * (1 - 0.55**2)),
    ],
)
def test_a_shape_covers_the_area_of_its_formula(shape, area):
    assert covered(shape) == pytest.approx(area, rel=0.02)
    assert covered(shape, 24, 64) == pytest.approx(area, rel=0.06)


@pytest.mark.parametrize("shape", ["star", "heart"])
def test_an_outline_covers_the_area_of_its_polygon(shape):
    x, y = OUTLINES[shape].T
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2 / 4
    assert covered(shape) == pytest.approx(area, rel=0.02)


def test_a_drawing_fills_its_box():
    for noun in drawings():
        edge = sprites.margin(64)
        opaque = sprites.sprite(noun, 34, 64)[sprites.OPAQUE]
        inner = opaque[edge:-edge, edge:-edge]
        assert opaque.sum() == inner.sum()
        rows, columns = np.flatnonzero(inner.max(1) > 64), np.flatnonzero(inner.max(0) > 64)
        extents = [line[-1] + 1 - line[0] for line in (rows, columns)]
        assert max(extents) >= 32, noun
        middle = [(line[0] + line[-1] + 1) / 2 for line in (rows, columns)]
        assert middle == pytest.approx([17, 17], abs=1.1), noun


@pytest.mark.parametrize("noun", ["heart", "fish", "panda", "bone", "house"])
def test_a_colour_word_gives_the_colour_and_keeps_the_shading(noun):
    for colour, tones in COLOURS.items():
        picture = render(one(noun, colour), 64).numpy()
        opaque = sprites.sprite(noun, 40, 64)[sprites.OPAQUE] == 255
        edge = sprites.margin(64)
        inside = picture[:, 12:52, 12:52][:, opaque[edge:-edge, edge:-edge]].T
        nearest = oklab(np.median(inside, 0))
        names = list(COLOURS)
        gaps = [np.linalg.norm(nearest - oklab(np.array(COLOURS[name][1]))) for name in names]
        assert names[int(np.argmin(gaps))] == colour, (noun, colour)
        assert inside.astype(float).std(0).max() > 5  # it is not flat
        low, high = np.min(tones, 0), np.max(tones, 0)
        assert (inside >= low - 1).all()
        assert (inside <= high + 1).all()


def test_the_shadow_falls_below_and_to_the_right_and_is_soft():
    picture = render(one("square", "red", side=24, left=20), 256).numpy()[1].astype(float)
    top, left, side = 12 * 4, 20 * 4, 24 * 4
    row, column = top + side // 2, left + side // 2
    below, above = picture[top + side : top + side + 24, column], picture[top - 24 : top, column]
    right, before = picture[row, left + side : left + side + 24], picture[row, left - 24 : left]
    assert below.min() < 200 < 230 < above.min()
    assert right.min() < before.min()
    assert below[-1] == 255
    assert (np.diff(below[4:]) >= 0).all()
    assert np.diff(below).max() < 25  # from one pixel to the next it fades


def test_what_a_page_does_not_clash_with_stands_out_from_it():
    tones = {name: oklab(np.array(pair)) for name, pair in PAGE_COLOURS.items()}
    for noun in drawings():
        whole = sprites.sprite(noun, 34, 64)
        solid = whole[sprites.OPAQUE] == 255
        own = oklab(whole[sprites.OWN][:, solid].T)
        for name, pair in tones.items():
            lost = max((np.linalg.norm(own - tone, axis=-1) < 0.07).mean() for tone in pair)
            assert lost < 0.55 or name in clashes(noun, None), (noun, name)
        assert len(clashes(noun, None)) < len(PAGE_COLOURS)
    for colour, (_, middle, _) in COLOURS.items():
        for name, pair in tones.items():
            gap = np.linalg.norm(oklab(np.array(middle)) - pair, axis=-1).min()
            assert gap > 0.08 or name in clashes("star", colour), (colour, name)


def test_the_page_around_an_object_and_its_shadow_stays_as_it_was():
    page = Page("dotted", "blue", "yellow", 14, 3)
    picture = render(one("square", "red", side=24, page=page), 256).numpy()
    empty = draw_page(page, 256, (0, 0, 256))
    changed = np.argwhere((picture != empty).any(0))
    top, left = 12 * 4, 12 * 4
    assert (changed.min(0) >= (top - 8, left - 14)).all()
    assert (changed.max(0) <= (top + 24 * 4 + 20, left + 24 * 4 + 17)).all()


def test_every_object_stands_out_from_its_page():
    for split in ("train", "unseen-noun"):
        world = World(64, split)
        for i in range(600):
            truth = world.truth(i)
            picture = render(truth, 64).numpy().transpose(1, 2, 0)
            empty = draw_page(truth.page, 64, (0, 0, 64)).transpose(1, 2, 0)
            change = np.linalg.norm(oklab(picture) - oklab(empty), axis=-1)
            for o in truth.objects:
                box = change[o.top : o.top + o.side, o.left : o.left + o.side]
                assert (box > 0.08).mean() > 0.08, (i, o, truth.page)


# --- pictures ---


def test_a_window_is_what_the_whole_page_shows_there():
    rng = random.Random(0)
    for size, side, count in ((64, 24, 60), (100, 37, 40), (256, 128, 40)):
        world = World(size)
        for i in range(count):
            top, left = rng.randint(0, size - side), rng.randint(0, size - side)
            whole = world[i][0][:, top : top + side, left : left + side]
            assert torch.equal(world.cut(i, top, left, side), whole), (size, i)


def test_a_window_at_1024_is_what_the_whole_page_shows_there():
    world = World(1024, nouns=())
    for i, top, left in ((3, 0, 0), (8, 700, 512), (11, 300, 411)):
        window = world.cut(i, top, left, 200)
        assert torch.equal(window, world[i][0][:, top : top + 200, left : left + 200])


def test_the_page_is_the_same_at_every_size():
    small, large = World(64), World(256)
    for i in range(120):
        assert small.truth(i) == large.truth(i)
        shrunk = large[i][0].float().unfold(1, 4, 4).unfold(2, 4, 4).mean((-2, -1))
        assert (shrunk - small[i][0]).abs().mean() < 3.5, (i, small.truth(i))
    huge = World(1024, nouns=())
    middle = World(256, nouns=())
    for i in range(4):
        shrunk = huge[i][0].float().unfold(1, 4, 4).unfold(2, 4, 4).mean((-2, -1))
        assert (shrunk - middle[i][0]).abs().mean() < 1.5


@pytest.mark.parametrize("size", [16, 31, 100])
def test_any_size_gives_whole_pages(size):
    for i in range(20):
        picture, caption = World(size)[i]
        assert picture.shape == (3, size, size)
        assert picture.dtype == torch.uint8
        assert picture.is_contiguous()
        assert caption


def test_a_damaged_file_in_the_cache_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIMAGEN_CACHE", str(tmp_path))
    truth = one("crab", "blue")
    first = render_afresh(truth)
    files = sorted((tmp_path / "world").iterdir())
    assert {file.suffix for file in files} == {".npy", ".png"}
    for file in files:
        file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(render_afresh(truth), first)
    for file in files:
        file.write_bytes(b"")
    assert torch.equal(render_afresh(truth), first)
    assert sorted((tmp_path / "world").iterdir()) == files


def render_afresh(truth: Truth) -> torch.Tensor:
    sprites._held.cache_clear()
    sprites._mapped.cache_clear()
    return render(truth, 64)


# --- arguments ---


def test_shapes_alone_and_larger_for_small_pages():
    world = World(32, nouns=(), scale=2)
    truths = [world.truth(i) for i in range(1000)]
    objects = [o for truth in truths for o in truth.objects]
    assert {o.noun for o in objects} == set(SHAPES)
    assert {(o.size, o.side) for o in objects} == {
        *(("small", 28), ("small", 32), ("medium", 44), ("medium", 48), ("medium", 52))
    }
    assert {truth.kind for truth in truths} == set(KINDS)
    assert world[0][0].shape == (3, 32, 32)
    for split in ("held-out", "text-only", "unseen-colour", "unseen-pair"):
        assert nouns_of(World(32, split, nouns=()).truth(0)) <= set(SHAPES)


def test_some_nouns_and_some_kinds_alone():
    world = World(kinds={"pair": 1, "single": 0}, nouns=("dog", "teapot"))
    found = [world.truth(i) for i in range(300)]
    assert {truth.kind for truth in found} == {"pair"}
    assert set().union(*map(nouns_of, found)) == {*SHAPES, "dog", "teapot"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 8}, "size must be a whole number of pixels, at least 16, got 8"),
        ({"size": 64.0}, "size must be a whole number of pixels, at least 16, got 64.0"),
        ({"split": "test"}, "split must be one of train, held-out, .*, got 'test'"),
        ({"kinds": {"quadruple": 1}}, "kinds must give weights"),
        ({"kinds": {"pair": -1.0, "single": 2}}, "kinds must give weights"),
        ({"kinds": {"page": 1}, "split": "unseen-noun"}, "to some of single, pair, count, triple"),
        ({"kinds": {}}, "kinds must give weights"),
        ({"nouns": ("dog", "unheard-of")}, "nouns must be some of the things that have a drawing"),
        ({"nouns": "dog"}, "nouns must be some of the things"),
        ({"nouns": ("dog",), "split": "unseen-noun"}, "nouns must hold one of koala, jellyfish"),
        ({"scale": 3}, r"scale must be a number in \[1, 2\], got 3"),
        ({"length": 0}, "length must be a whole number, at least 1, got 0"),
    ],
)
def test_a_bad_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        World(**arguments)


def test_an_item_or_a_window_outside_is_refused():
    world = World(64, length=10)
    assert len(world) == 10
    for i in (-1, 10):
        with pytest.raises(IndexError, match=rf"item must be in 0\.\.9, got {i}"):
            world[i]
    with pytest.raises(
        ValueError, match=r"window must lie on the page of 64 pixels, got \(40, 0, 32\)"
    ):
        world.cut(0, 40, 0, 32)


def test_objects_that_do_not_fit_are_not_squeezed():
    options = [(("large", 40),), (("large", 34), ("small", 14))]
    for seed in range(50):
        assert choose_sizes(options, 57, 64, random.Random(seed)) == [("large", 40), ("small", 14)]
    assert choose_sizes([(("large", 40),)] * 2, 57, 64, random.Random(0)) is None
    assert in_place(60, None, random.Random(0)) == (EDGE, EDGE)
