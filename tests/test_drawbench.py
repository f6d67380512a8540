"""Each row of the small DrawBench is what it says, and none of it was in training."""

import re

import pytest
import torch

from minimagen.data import World
from minimagen.data.nouns import COLOURS, SHAPES, things, unseen_colour, unseen_pair
from minimagen.data.wordings import TEXT_ONLY
from minimagen.data.world import render
from minimagen.evaluation.drawbench import ROWS, drawbench, foreign, items, misspelt
from minimagen.evaluation.judge import passes
from minimagen.evaluation.metrics import share_interval
from minimagen.pixels import from_uint8

ALL = {row: items(row, 80) for row in ROWS}
asked = pytest.mark.parametrize("row", ROWS)


def truths(row):
    return [truth for _, truth in ALL[row]]


@asked
def test_a_row_is_always_the_same_and_begins_with_less_of_itself(row):
    assert ALL[row] == items(row, 80)
    assert ALL[row][:10] == items(row, 10)
    assert len({caption for caption, _ in ALL[row]}) >= 75


def test_no_caption_is_one_of_training():
    world = World(64, "train")
    trained = {world.caption(i) for i in range(20000)}
    assert not trained & {caption for row in ROWS for caption, _ in ALL[row]}
    assert {ROWS[row].split for row in ROWS} <= {
        *("held-out", "text-only", "unseen-colour", "unseen-pair")
    }


def test_colours_are_said_of_one_object():
    assert all(len(t.objects) == 1 and t.objects[0].colour for t in truths("colours"))
    assert {t.objects[0].colour for t in truths("colours")} == set(COLOURS)


def test_counting_asks_for_two_or_three_that_are_alike():
    for caption, truth in ALL["counting"]:
        assert len({(o.noun, o.colour, o.size) for o in truth.objects}) == 1
        assert ("two" if len(truth.objects) == 2 else "three") in caption
    assert {len(t.objects) for t in truths("counting")} == {2, 3}


def test_conflicting_is_a_thing_in_a_colour_that_it_never_has():
    for truth in truths("conflicting"):
        (o,) = truth.objects
        assert o.noun in things(shown=True)
        assert unseen_colour(o.noun, o.colour)
        assert foreign(o.noun, o.colour)
    assert foreign("banana", "blue")
    assert not foreign("banana", "yellow")
    assert not foreign("watermelon", "red")
    assert not any(foreign(noun, c) for noun in things(shown=True) for c in passes(noun))


def test_positional_says_how_objects_stand():
    assert all(bool(t.relation) != bool(t.place) for t in truths("positional"))
    assert {t.kind for t in truths("positional")} == {"single", "pair", "triple"}


def test_rare_words_are_known_from_text_alone():
    words = {word for table in TEXT_ONLY.values() for word in table}
    rare = re.compile(rf"\b({'|'.join(map(re.escape, words))})(s|es)?\b")
    assert all(rare.search(re.sub("ies\\b", "y", caption)) for caption, _ in ALL["rare words"])


def test_misspellings_differ_from_the_caption_in_one_letter_of_a_noun_or_a_colour():
    world = World(64, ROWS["misspellings"].split, {"single": 1.0, "pair": 1.0})
    plain = {world.truth(i): world.caption(i) for i in range(200)}
    for caption, truth in ALL["misspellings"]:
        wrong = [k for k, (a, b) in enumerate(zip(caption, plain[truth], strict=True)) if a != b]
        (at,) = wrong
        words = {w for o in truth.objects for w in (o.noun, o.colour) if w}
        word = re.search(r"\w*$", plain[truth][:at])[0] + re.match(r"\w*", plain[truth][at:])[0]
        assert len(word) >= 3, (caption, words)
        assert misspelt(plain[truth]) == caption
    with pytest.raises(ValueError, match="caption must have a noun or a colour .* got 'a red cat'"):
        misspelt("a red cat")
    assert misspelt("a blue dog") in {
        f"a {word[:k]}{letter}{word[k + 1 :]} dog"
        for word in ("blue",)
        for k in (1, 2, 3)
        for letter in "abcdefghijklmnopqrstuvwxyz"
    } - {"a blue dog"}


def test_two_objects_were_never_together():
    for truth in truths("two objects"):
        one, two = truth.objects
        assert unseen_pair(one.noun, two.noun)


def test_colours_of_two_objects_differ_and_are_both_said():
    for caption, truth in ALL["colours of two objects"]:
        one, two = (o.colour for o in truth.objects)
        assert one != two
        assert one in caption
        assert two in caption


def test_sizes_are_all_said():
    for truth in truths("sizes"):
        assert all(truth.names_sizes)
        assert len({o.size for o in truth.objects}) == len(truth.objects)
    assert {len(t.objects) for t in truths("sizes")} == {1, 2}


def test_pages_are_named():
    assert all(t.names_page for t in truths("pages"))
    assert len({t.page.kind for t in truths("pages")}) == 5
    assert any(t.objects for t in truths("pages"))
    assert any(o.noun in SHAPES for t in truths("pages") for o in t.objects)


def test_what_is_drawn_as_it_should_be_is_right_in_every_row():
    told = {caption: truth for row in ROWS for caption, truth in ALL[row]}

    def draw(captions):
        return from_uint8(torch.stack([render(told[caption], 64) for caption in captions]))

    reports = drawbench(draw, 24)
    assert list(reports) == list(ROWS)
    for row, report in reports.items():
        marks = report.marks()["all"]
        assert marks["share"] >= 0.9, row
        assert marks["low"] == share_interval(report.counted("all"))[0]
    empty = drawbench(lambda captions: torch.ones(len(captions), 3, 64, 64), 4)
    assert all(report.share("all") == 0 for row, report in empty.items() if row != "pages")
    asked = {
        row: {n for n in report.asked if report.asked[n].any()} for row, report in reports.items()
    }
    assert "colours" in asked["colours of two objects"]
    assert {"relations", "places"} <= asked["positional"]
    assert "sizes" in asked["sizes"]
    assert "page" in asked["pages"]


def test_a_row_that_is_none_is_named():
    with pytest.raises(ValueError, match="row must be one of colours, .*, got 'text'"):
        items("text", 3)
