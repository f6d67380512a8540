"""The judge of `World`: right where the page is as the caption says, and wrong where anything else
is drawn.
"""

from dataclasses import replace

import pytest
import torch

from minimagen.data import World
from minimagen.data.pages import Page
from minimagen.data.truth import PLACES, Object, Truth
from minimagen.data.world import SPLITS, render
from minimagen.evaluation import judge as judging
from minimagen.evaluation.judge import NAMES, JudgeReport, bind, judge, passes, place_of, verdict
from minimagen.evaluation.metrics import share_interval
from minimagen.evaluation.world_reader import UNREADABLE, Reading, Seen
from minimagen.pixels import from_uint8

WHITE = Page("plain", "white")


def items(split, count, **kinds):
    world = World(64, split, kinds or None)
    pictures = from_uint8(torch.stack([world[i][0] for i in range(count)]))
    return pictures, [world.truth(i) for i in range(count)]


def seen(o, **changes):
    """An object of a truth as a reader without fault would see it."""
    return replace(Seen(o.noun, o.colour, o.size, o.x, o.y, o.side, 1.0), **changes)


def reading(truth, page=None):
    return Reading(page or truth.page, tuple(seen(o) for o in truth.objects))


def pair(relation="left of", **more):
    one = Object("circle", "red", "small", 8, 24, 16)
    two = Object("square", "blue", "medium", 36, 22, 22)
    return Truth("pair", WHITE, (one, two), relation, **more)


@pytest.mark.parametrize("split", SPLITS)
def test_a_perfect_reading_is_right_in_every_way(split):
    world = World(64, split)
    for i in range(300):
        truth = world.truth(i)
        said = verdict(truth, reading(truth))
        assert all(right in (True, None) for right in said.values()), (truth, said)
        assert (said["page"] is None) == (not truth.names_page)
        assert (said["sizes"] is None) == (not any(truth.names_sizes))
        assert (said["relations"] is None) == (truth.relation is None)
        assert (said["places"] is None) == (truth.place is None)


def test_real_pages_are_right_in_every_split_and_those_of_others_are_not():
    for split in SPLITS:
        pictures, truths = items(split, 60)
        report = judge(pictures, truths)
        assert report.share("all") >= 0.95, split
        assert judge(pictures.roll(1, 0), truths).share("all") <= 0.05


def test_every_fault_is_found_where_it_is():
    truth = pair(names_sizes=(True, True), names_page=True)
    one, two = truth.objects
    blue = Page("plain", "blue")
    faults = {
        "nouns": Reading(WHITE, (seen(one, noun="ring"), seen(two))),
        "colours": Reading(WHITE, (seen(one, colour="green"), seen(two))),
        "sizes": Reading(WHITE, (seen(one), seen(two, size="large"))),
        "relations": Reading(WHITE, (seen(one, x=two.x, y=two.y), seen(two, x=one.x, y=one.y))),
        "page": reading(truth, blue),
    }
    for name, found in faults.items():
        said = verdict(truth, found)
        assert [n for n in NAMES if said[n] is False] == [name, "all"]
    for page in (None, blue):
        assert verdict(truth, Reading(page, ()))["page"] is False


def test_one_too_few_or_too_many_is_wrong_in_all_that_is_said_of_objects():
    truth = pair(names_sizes=(True, False))
    stray = seen(truth.objects[0], noun=UNREADABLE, colour=UNREADABLE, x=0.9, y=0.9)
    for objects in (reading(truth).objects[:1], (*reading(truth).objects, stray), ()):
        said = verdict(truth, Reading(WHITE, objects))
        wrong = ["counts", "nouns", "colours", "sizes", "relations", "all"]
        assert [n for n in NAMES if said[n] is False] == wrong


def test_what_the_caption_does_not_say_may_be_anything():
    truth = pair(None, names_sizes=(False, True))
    one, two = truth.objects
    stripes = Page("stripes", "green")
    found = Reading(stripes, (seen(two, x=0.1), seen(one, size="large", x=0.9)))
    said = verdict(truth, found)
    assert said["all"]
    assert said["page"] is said["relations"] is said["places"] is None


def test_a_page_that_is_none_is_wrong_although_the_caption_does_not_name_it():
    truth = pair()
    assert verdict(truth, reading(truth))["page"] is None
    said = verdict(truth, Reading(None, tuple(seen(o) for o in truth.objects)))
    assert said["page"] is said["all"] is False


def test_objects_are_bound_so_that_most_is_right():
    one, two = Object("circle", "red", "small"), Object("circle", "blue", "large")
    truth = Truth("pair", WHITE, (one, two))
    red, blue = seen(one, x=0.7), seen(two, x=0.2)
    assert bind(truth, [blue, red]) == [red, blue]
    other = seen(two, noun="ring", colour="red")
    assert bind(truth, [other, red]) == [red, other]
    # Colours of the wrong objects: nouns are right, colours are not.
    swapped = pair(None)
    circle, square = swapped.objects
    said = verdict(
        swapped, Reading(WHITE, (seen(circle, colour="blue"), seen(square, colour="red")))
    )
    assert (said["nouns"], said["colours"], said["all"]) == (True, False, False)


def test_own_colours_pass_for_a_colour_that_they_look_like():
    assert "yellow" in passes("banana")
    assert not {"blue", "green", "black", "red"} & passes("banana")
    assert passes("zebra") == frozenset()
    assert passes("circle") == frozenset()
    for said, drawn, right in (
        ("yellow", None, True),
        (None, "yellow", True),
        ("blue", None, False),
        (None, "blue", False),
        ("orange", "yellow", False),
    ):
        o = Object("banana", said, "large", 10, 10, 40)
        found = Reading(WHITE, (seen(o, colour=drawn),))
        assert verdict(Truth("single", WHITE, (o,)), found)["colours"] is right


def test_places_are_thirds_of_the_room_there_is():
    for side in (14, 26, 40):
        free = 60 - side
        for name, (column, row) in PLACES.items():
            left, top = (2 + round(free * at / 2) for at in (column, row))
            o = Object("circle", "red", "small", left, top, side)
            assert place_of(seen(o)) == PLACES[name]
    truth = Truth("single", WHITE, (Object("circle", "red", "small", 2, 22, 16),), place="left")
    o = truth.objects[0]
    assert verdict(truth, reading(truth))["places"]
    assert not verdict(truth, Reading(WHITE, (seen(o, x=0.5),)))["places"]


def test_a_report_counts_what_is_asked_and_joins_batches():
    pictures, truths = items("train", 48)
    whole = judge(pictures, truths)
    parts = [judge(pictures[rows], truths[rows]) for rows in (slice(0, 20), slice(20, 48))]
    joined = JudgeReport.joined(parts)
    for name in NAMES:
        assert torch.equal(joined.right[name], whole.right[name])
        assert torch.equal(joined.asked[name], whole.asked[name])
    assert len(whole.counted("page")) == sum(truth.names_page for truth in truths)
    assert whole.marks()["all"]["low"] == share_interval(whole.right["all"])[0]
    with pytest.raises(ValueError, match="name must be one of counts, .*, got 'colour'"):
        whole.counted("colour")


def test_a_row_that_no_caption_asks_for_is_none():
    marks = judge(*items("train", 4, page=1.0)).marks()
    assert marks["nouns"] is marks["relations"] is None
    assert marks["page"]["share"] == marks["counts"]["share"] == 1


def test_as_many_truths_as_pictures():
    with pytest.raises(ValueError, match="truths must be one a picture, got 1 for 2 pictures"):
        judge(torch.zeros(2, 3, 64, 64), items("train", 1)[1])


def test_an_object_beside_those_of_the_caption_is_wrong():
    world, found = World(64, "train", {"single": 1.0}), []
    for i in range(40):
        truth = world.truth(i)
        o = truth.objects[0]
        left, top = (4 if at > 32 else 44 for at in (64 * o.x, 64 * o.y))
        star = Object("star", "black", "small", left, top, 16)
        if o.side <= 26 and max(abs(star.x - o.x), abs(star.y - o.y)) > 0.35:
            found.append((render(replace(truth, objects=(o, star)), 64), truth))
    report = judge(
        from_uint8(torch.stack([picture for picture, _ in found])), [t for _, t in found]
    )
    assert len(found) >= 10
    assert report.share("all") == report.share("counts") == 0


def test_the_reader_is_asked_once(monkeypatch):
    pictures, truths = items("train", 3)
    monkeypatch.setattr(judging, "read", lambda pictures: [reading(truth) for truth in truths])
    assert judge(torch.zeros_like(pictures), truths).share("all") == 1
