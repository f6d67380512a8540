"""Does the page show what the caption says? True captions, untrue ones, drawings a little off."""

import itertools
import math
from collections import Counter
from dataclasses import replace

import pytest
import torch
from scipy import ndimage

from minimagen.data.drawing import COLOURS, SHAPES, SIZES, Facts, Mention, Placed, place, render
from minimagen.data.shapes import Shapes
from minimagen.evaluation.alignment import AlignmentReport, alignment
from minimagen.evaluation.metrics import share_interval
from minimagen.evaluation.reader import read
from minimagen.pixels import from_uint8, resize

SPLITS = ("train", "held-out", "unseen")


NAMES = ("objects", "colours", "sizes", "relation", "all")


def items(split, count, **kwargs):
    """(facts, caption, scene) of the first items of a split, not drawn yet."""
    data = Shapes(split=split, **kwargs)
    for i in range(count):
        facts, caption, rng = data._item(i)
        yield facts, caption, place(facts, rng)


def draw(*scenes, size=64):
    return torch.stack([from_uint8(render(scene, size)) for scene in scenes])


def score(scene, caption, size=64):
    """name -> bool for one page and one caption."""
    return {
        name: bool(values)
        for name, values in alignment(draw(scene, size=size), [caption]).right.items()
    }


def sentence(facts):
    nouns = [" ".join(filter(None, ("a", o.size, o.colour, o.shape))) for o in facts.objects]
    if facts.relation is None:
        return " and ".join(nouns)
    if len(nouns) == 2:
        return f"{nouns[0]} {facts.relation} {nouns[1]}"
    direction = "from left to right" if facts.relation == "left of" else "from top to bottom"
    return f"{nouns[0]}, {nouns[1]} and {nouns[2]} {direction}"


def whole(facts, scene):
    """The facts with everything said that the page shows."""
    names = [next(name for name, (low, high) in SIZES.items() if low <= o.r <= high) for o in scene]
    return Facts(
        tuple(Mention(o.shape, o.colour, name) for o, name in zip(scene, names, strict=True)),
        facts.relation,
    )


def lies(facts):
    """Every caption with two objects' colours, sizes, shapes or places swapped, or one object's
    changed, that is now untrue.
    """
    objects, changed = facts.objects, []
    for i, j in itertools.combinations(range(len(objects)), 2):
        for field in ("colour", "size", "shape", None):
            other = list(objects)
            if field is None:
                other[i], other[j] = objects[j], objects[i]
            else:
                other[i] = replace(objects[i], **{field: getattr(objects[j], field)})
                other[j] = replace(objects[j], **{field: getattr(objects[i], field)})
            changed.append(other)
    for field, values in (
        ("colour", list(COLOURS)),
        ("size", list(SIZES)),
        ("shape", list(SHAPES)),
    ):
        value = getattr(objects[0], field)
        changed.append(
            [
                replace(objects[0], **{field: values[(values.index(value) + 1) % len(values)]}),
                *objects[1:],
            ]
        )
    changed.append([*objects, objects[0]] if len(objects) < 3 else objects[:2])
    # Without a relation the order says nothing; with one, equal objects may change places.
    same = (
        (lambda a: tuple(a) == objects)
        if facts.relation
        else (lambda a: Counter(a) == Counter(objects))
    )
    return [sentence(Facts(tuple(other), facts.relation)) for other in changed if not same(other)]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("size", "count"), [(64, 200), (256, 70)])
def test_the_scorer_is_right_on_renderings(size, count, split):
    facts, captions, scenes = zip(*items(split, count), strict=True)
    report = alignment(draw(*scenes, size=size), captions)
    for name in NAMES:
        assert report.share(name) >= 0.995, name
    everything = [sentence(whole(f, s)) for f, s in zip(facts, scenes, strict=True)]
    assert alignment(draw(*scenes, size=size), everything).all >= 0.995


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("size", "count"), [(64, 200), (256, 70)])
def test_the_scorer_is_right_on_swapped_and_changed_attributes(size, count, split):
    wrong = total = 0
    for facts, _, scene in items(split, count):
        untrue = lies(whole(facts, scene))
        page = draw(scene, size=size).expand(len(untrue), -1, -1, -1)
        wrong += int((~alignment(page, untrue).right["all"]).sum())
        total += len(untrue)
    assert total >= 4 * count
    assert wrong / total >= 0.995


def test_a_picture_of_1024_is_read_too():
    scene = [Placed("star", "green", 0.3, 0.5, 0.2), Placed("ring", "pink", 0.75, 0.5, 0.095)]
    assert all(score(scene, "a large green star left of a small pink ring", size=1024).values())
    page = draw(scene, size=1024)
    assert read(page[0]) == read(
        resize(page, 128)[0]
    )  # nothing larger is looked at: so it takes no longer


PAIR = (Placed("circle", "red", 0.25, 0.5, 0.2), Placed("star", "blue", 0.75, 0.45, 0.14))


@pytest.mark.parametrize(
    ("caption", "wrong"),
    [
        ("a large red circle left of a medium blue star", set()),
        ("a star and a circle", set()),
        ("a medium blue star right of a circle", set()),
        ("a large blue circle left of a medium red star", {"colours"}),
        ("a medium red circle left of a large blue star", {"sizes"}),
        ("a small blue star left of a red circle", {"sizes", "relation"}),
        ("a red circle above a blue star", {"relation"}),
        ("a red circle", {"objects", "colours", "sizes", "relation"}),
        ("two red circles and a blue star", {"objects", "colours", "sizes", "relation"}),
        ("a red star left of a blue circle", {"colours", "relation"}),
        ("a red square left of a blue star", {"objects", "colours", "sizes", "relation"}),
    ],
)
def test_each_verdict_says_what_is_wrong(caption, wrong):
    verdict = score(PAIR, caption)
    assert {name for name in NAMES[:4] if not verdict[name]} == wrong
    assert verdict["all"] == (not wrong)


def test_attributes_are_bound_to_the_object_that_the_caption_gives_them():
    """Two circles: the caption's words, not the order on the page, say which is which."""
    scene = [Placed("circle", "red", 0.25, 0.5, 0.2), Placed("circle", "blue", 0.75, 0.5, 0.09)]
    assert score(scene, "a small blue circle right of a large red circle")["all"]
    assert score(scene, "a small blue circle and a large red circle")["all"]
    verdict = score(scene, "a large blue circle and a small red circle")
    assert verdict["objects"]
    assert not verdict["all"]
    assert not verdict["colours"] or not verdict["sizes"]
    assert not score(scene, "a blue circle left of a red circle")["all"]


def test_what_the_caption_leaves_open_may_be_anything():
    for colour, r in itertools.product(COLOURS, (0.09, 0.14, 0.2)):
        assert score([Placed("heart", colour, 0.5, 0.5, r)], "a heart")["all"]
        assert score([Placed("heart", colour, 0.5, 0.5, r)], "a large heart")["all"] == (r == 0.2)


@pytest.mark.parametrize(
    ("dx", "dy", "relation"), [(0.3, 0.2, "left of"), (0.2, 0.3, "above"), (-0.3, 0.2, None)]
)
def test_the_larger_distance_decides_the_relation(dx, dy, relation):
    x, y = dx / 2, dy / 2
    scene = [
        Placed("circle", "red", 0.5 - x, 0.5 - y, 0.09),
        Placed("cross", "black", 0.5 + x, 0.5 + y, 0.09),
    ]
    for said in ("left of", "above"):
        assert score(scene, f"a circle {said} a cross")["relation"] == (said == relation)


def test_three_in_a_row_must_stand_in_the_order_of_the_caption():
    scene = [
        Placed(s, "black", x, 0.5, 0.09)
        for s, x in (("circle", 0.2), ("square", 0.5), ("star", 0.8))
    ]
    for order in itertools.permutations(("circle", "square", "star")):
        caption = "a {}, a {} and a {} from left to right".format(*order)
        assert score(scene, caption)["relation"] == (order == ("circle", "square", "star"))


def spoiled(name, images):
    generator = torch.Generator().manual_seed(0)
    if name == "blurred":
        return torch.from_numpy(ndimage.gaussian_filter(images.numpy(), (0, 0, 0.5, 0.5)))
    if name == "noisy":
        return images + 0.06 * torch.randn(images.shape, generator=generator)
    shift = 0.3 * torch.rand(len(images), 3, 1, 1, generator=generator) - 0.15
    return (images + shift * (images < 1).any(1, keepdim=True)).clamp(-1, 1)


@pytest.mark.parametrize("name", ["blurred", "noisy", "off-colour"])
def test_a_drawing_may_be_a_little_imperfect(name):
    _, captions, scenes = zip(*items("train", 200), strict=True)
    assert alignment(spoiled(name, draw(*scenes)), captions).all >= 0.99


def test_soft_borders_do_not_join_two_objects():
    scene = [
        Placed("square", "black", 0.3, 0.5, 0.14),
        Placed("square", "black", 0.3 + 0.28 + 0.045, 0.5, 0.14),
    ]
    blurred = torch.from_numpy(ndimage.gaussian_filter(draw(scene).numpy(), (0, 0, 1, 1)))
    assert alignment(blurred, ["two medium black squares"]).all == 1


@pytest.mark.parametrize(
    "extra", [Placed("circle", "red", 0.85, 0.85, 0.05), Placed("star", "pink", 0.15, 0.85, 0.09)]
)
def test_anything_else_on_the_page_is_wrong(extra):
    scene = [Placed("square", "green", 0.5, 0.4, 0.2)]
    assert score(scene, "a large green square")["all"]
    assert not any(score([*scene, extra], "a large green square")[name] for name in NAMES)


def test_specks_are_no_objects():
    page = draw([Placed("square", "green", 0.5, 0.4, 0.2)])
    page[:, :, 58:60, 58:61] = -1  # 6 pixels
    assert alignment(page, ["a large green square"]).all == 1
    page[:, :, 58:61, 58:61] = -1  # 9 pixels
    assert alignment(page, ["a large green square"]).all == 0


def test_the_relation_is_counted_only_where_a_caption_states_one():
    captions = [
        "a red circle left of a blue star",
        "a red circle and a blue star",
        "a red circle above a blue star",
    ]
    report = alignment(draw(PAIR, PAIR, PAIR), captions)
    assert report.stated.tolist() == [True, False, True]
    assert report.relation == 0.5
    assert report.right["all"].tolist() == [True, True, False]
    assert report.all == pytest.approx(2 / 3)
    assert (report.objects, report.colours, report.sizes) == (1, 1, 1)


def test_a_report_joins_those_of_batches_and_marks_each_share():
    captions = ["a red circle left of a blue star", "a blue circle", "a red circle and a star"]
    parts = [alignment(draw(PAIR), [caption]) for caption in captions]
    report, whole = AlignmentReport.joined(parts), alignment(draw(PAIR, PAIR, PAIR), captions)
    assert report.stated.tolist() == whole.stated.tolist()
    assert all(torch.equal(report.right[name], whole.right[name]) for name in NAMES)
    low, high = share_interval((2, 3))
    assert report.interval("all") == (low, high)
    assert report.marks()["all"] == {"share": pytest.approx(2 / 3), "low": low, "high": high}
    assert report.marks()["relation"]["share"] == 1
    assert parts[1].marks()["relation"] is None


def test_where_no_caption_states_a_relation_its_share_is_nan():
    report = alignment(draw(PAIR), ["a red circle and a blue star"])
    assert math.isnan(report.relation)
    assert all(math.isnan(edge) for edge in report.interval("relation"))
    assert report.all == 1


def test_a_report_refuses_what_it_does_not_know():
    report = alignment(draw(PAIR), ["a circle"])
    with pytest.raises(
        ValueError, match="name must be one of objects, colours, sizes, relation, all, got 'shape'"
    ):
        report.interval("shape")
    with pytest.raises(ValueError, match="captions must be one a picture, got 2 for 1 pictures"):
        alignment(draw(PAIR), ["a circle", "a star"])
    with pytest.raises(ValueError, match="caption must name one of"):
        alignment(draw(PAIR), ["a tree"])
