"""The scorer of rendered scenes and the plain measures of all other pictures."""

import itertools
import math
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from torch.nn import functional as F

from minimagen.data.drawing import COLOURS, SHAPES, SIZES, Facts, Mention, Placed, place, render
from minimagen.data.shapes import Shapes
from minimagen.evaluation.alignment import alignment
from minimagen.evaluation.metrics import (
    agreement,
    bootstrap,
    colour_shift,
    edge_width,
    frechet,
    pooled_features,
    retrieval,
)
from minimagen.evaluation.reader import read
from minimagen.pixels import from_uint8, resize

ndimage = pytest.importorskip("scipy.ndimage")
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
    objects, found = facts.objects, []
    for i, j in itertools.combinations(range(len(objects)), 2):
        for field in ("colour", "size", "shape", None):
            other = list(objects)
            if field is None:
                other[i], other[j] = objects[j], objects[i]
            else:
                other[i] = replace(objects[i], **{field: getattr(objects[j], field)})
                other[j] = replace(objects[j], **{field: getattr(objects[i], field)})
            found.append(other)
    for field, values in (
        ("colour", list(COLOURS)),
        ("size", list(SIZES)),
        ("shape", list(SHAPES)),
    ):
        value = getattr(objects[0], field)
        found.append(
            [
                replace(objects[0], **{field: values[(values.index(value) + 1) % len(values)]}),
                *objects[1:],
            ]
        )
    found.append([*objects, objects[0]] if len(objects) < 3 else objects[:2])
    # Without a relation the order says nothing; with one, equal objects may change places.
    same = (
        (lambda a: tuple(a) == objects)
        if facts.relation
        else (lambda a: Counter(a) == Counter(objects))
    )
    return [sentence(Facts(tuple(other), facts.relation)) for other in found if not same(other)]


# ------------------------------------------------------------------------------------ exact scoring


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
        told = lies(whole(facts, scene))
        page = draw(scene, size=size).expand(len(told), -1, -1, -1)
        wrong += int((~alignment(page, told).right["all"]).sum())
        total += len(told)
    assert total >= 4 * count
    assert wrong / total >= 0.995


@pytest.mark.parametrize("size", [64, 256])
def test_the_reader_finds_where_and_how_large_everything_is(size):
    for _, _, scene in items("train", 100):
        seen = read(draw(scene, size=size)[0])
        assert len(seen) == len(scene)
        for o in scene:
            found = min(seen, key=lambda s: math.hypot(s.x - o.x, s.y - o.y))
            assert (found.shape, found.colour) == (o.shape, o.colour)
            assert max(abs(found.x - o.x), abs(found.y - o.y), abs(found.r - o.r)) < 0.25 / 64
            assert found.match > 0.87


def test_a_picture_of_1024_is_read_too():
    scene = [Placed("star", "green", 0.3, 0.5, 0.2), Placed("ring", "pink", 0.75, 0.5, 0.095)]
    assert all(score(scene, "a large green star left of a small pink ring", size=1024).values())
    page = draw(scene, size=1024)
    assert read(page[0]) == read(
        resize(page, 128)[0]
    )  # nothing larger is looked at: so it takes no longer


@pytest.mark.parametrize(
    ("r", "name"),
    [
        (0.07, "small"),
        (0.1, "small"),
        (0.113, "small"),
        (0.117, "medium"),
        (0.168, "medium"),
        (0.172, "large"),
    ],
)
def test_a_size_is_the_nearest_of_the_ranges(r, name):
    for shape in SHAPES:
        (seen,) = read(draw([Placed(shape, "black", 0.5, 0.5, r)], size=256)[0])
        assert seen.size == name


def test_scoring_512_pictures_takes_less_than_ten_seconds():
    _, captions, scenes = zip(*items("held-out", 512), strict=True)
    images = draw(*scenes)
    start = time.process_time()
    report = alignment(images, captions)
    assert time.process_time() - start < 10
    assert report.right["all"].shape == report.stated.shape == (512,)


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
    for asked in ("left of", "above"):
        assert score(scene, f"a circle {asked} a cross")["relation"] == (asked == relation)


def test_three_in_a_row_must_stand_in_the_order_of_the_caption():
    scene = [
        Placed(s, "black", x, 0.5, 0.09)
        for s, x in (("circle", 0.2), ("square", 0.5), ("star", 0.8))
    ]
    for order in itertools.permutations(("circle", "square", "star")):
        caption = "a {}, a {} and a {} from left to right".format(*order)
        assert score(scene, caption)["relation"] == (order == ("circle", "square", "star"))


# ---------------------------------------------------------------- tolerant, and strict all the same


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


def page_with(*polygons, size=64, ground=(255, 255, 255)):
    """Polygons of any outline, (points in page widths, rgb), drawn without `render`."""
    image = Image.new("RGB", (size * 4, size * 4), ground)
    for points, rgb in polygons:
        ImageDraw.Draw(image).polygon([(size * 4 * x, size * 4 * y) for x, y in points], fill=rgb)
    return from_uint8(torch.from_numpy(np.array(image.reduce(4))).permute(2, 0, 1))


def wheel(corners, radius=0.2, inner=1.0):
    turn = [(2 * math.pi * i / corners, radius * (inner if i % 2 else 1)) for i in range(corners)]
    return [(0.5 + r * math.cos(angle), 0.5 + r * math.sin(angle)) for angle, r in turn]


def box(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


FOREIGN = {
    "six-pointed star": wheel(12, inner=0.5),
    "half disc": [(x, y) for x, y in wheel(90) if y >= 0.5],
    "bar": box(0.3, 0.45, 0.7, 0.55),
    "rectangle": box(0.3, 0.36, 0.7, 0.64),
    "L": [(0.3, 0.3), (0.45, 0.3), (0.45, 0.55), (0.7, 0.55), (0.7, 0.7), (0.3, 0.7)],
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_shape_that_is_not_of_this_world_is_unknown(name):
    (seen,) = read(page_with((FOREIGN[name], COLOURS["green"])))
    assert (seen.shape, seen.colour) == ("unknown", "green")


def test_a_shape_drawn_by_other_means_is_known():
    (seen,) = read(page_with((wheel(90, 0.14), (30, 95, 210))))
    assert (seen.shape, seen.colour, seen.size) == ("circle", "blue", "medium")
    (seen,) = read(page_with((box(0.3, 0.3, 0.7, 0.7), (240, 150, 30))))
    assert (seen.shape, seen.colour, seen.size) == ("square", "orange", "large")


@pytest.mark.parametrize("rgb", [(128, 128, 128), (120, 70, 20), (0, 255, 255)])
def test_a_colour_that_is_not_of_this_world_is_unknown(rgb):
    (seen,) = read(page_with((wheel(90), rgb)))
    assert (seen.shape, seen.colour) == ("circle", "unknown")


def test_an_object_of_two_colours_has_none():
    for border, colour in ((0.5, "unknown"), (0.68, "red")):
        (seen,) = read(
            page_with(
                (box(0.3, 0.3, 0.7, 0.7), COLOURS["red"]),
                (box(border, 0.3, 0.7, 0.7), COLOURS["blue"]),
            )
        )
        assert seen.colour == colour


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


def test_an_object_in_the_hole_of_a_ring_is_seen():
    for colour in COLOURS:
        seen = read(
            draw([Placed("ring", "red", 0.5, 0.5, 0.21), Placed("circle", colour, 0.5, 0.5, 0.08)])[
                0
            ]
        )
        assert sorted((o.shape, o.colour) for o in seen) == [("circle", colour), ("ring", "red")]
        assert min(o.match for o in seen) > 0.87


def test_a_page_that_is_all_ink_shows_no_square():
    (seen,) = read(page_with(ground=COLOURS["black"]))
    assert seen.shape == "unknown"
    (seen,) = read(page_with((box(-0.1, 0.3, 0.3, 0.7), COLOURS["red"])))  # cut by the edge
    assert seen.shape == "unknown"


@pytest.mark.parametrize("size", [8, 64, 256])
def test_an_empty_page_shows_nothing_and_noise_no_object(size):
    assert read(torch.ones(3, size, size)) == []
    noise = torch.randn(3, size, size, generator=torch.Generator().manual_seed(0))
    assert all(o.shape == "unknown" for o in read(noise))


@pytest.mark.parametrize(
    "picture",
    [
        torch.zeros(3, 64, 32),
        torch.zeros(1, 64, 64),
        torch.zeros(1, 3, 64, 64),
        torch.zeros(3, 64, 64, dtype=torch.uint8),
    ],
)
def test_what_is_no_picture_is_refused(picture):
    with pytest.raises(ValueError, match=r"picture must be \(3, H, H\) floats in \[-1, 1\], got"):
        read(picture)


def test_a_picture_with_nan_is_refused():
    with pytest.raises(ValueError, match="picture must be finite"):
        read(torch.full((3, 64, 64), math.nan))


# ------------------------------------------------------------------------------------------ reports


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


def test_the_bootstrap_is_the_normal_interval_of_a_large_sample():
    values = torch.arange(512) < 410  # 80 % of 512
    p = 410 / 512
    half = 1.96 * math.sqrt(p * (1 - p) / 512)
    low, high = bootstrap(values)
    assert low == pytest.approx(p - half, abs=0.003)
    assert high == pytest.approx(p + half, abs=0.003)
    assert bootstrap(values) == (low, high)
    assert bootstrap(values, seed=1) != (low, high)


def test_the_bootstrap_of_equal_values_is_a_point_and_of_none_nan():
    assert bootstrap(torch.ones(7)) == (1, 1)
    assert all(math.isnan(edge) for edge in bootstrap(torch.ones(0)))


def test_the_bootstrap_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    bootstrap(torch.ones(7))
    assert torch.equal(torch.get_rng_state(), state)


# -------------------------------------------------------------------------------------- any picture


def test_pooled_features_are_the_means_of_the_cells():
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    features = pooled_features(images)
    assert features.shape == (2, 192)
    cell = images[1, 2, 4 * 5 : 4 * 6, 4 * 3 : 4 * 4]  # row 5, column 3 of the grid
    torch.testing.assert_close(features[1, 2 * 64 + 5 * 8 + 3], cell.mean())


def test_retrieval_ranks_by_the_number_of_nearer_pictures():
    theirs = torch.arange(10.0)[:, None].expand(10, 3) / 10
    report = retrieval(theirs[[2, 2, 9]] + 0.02, theirs, torch.tensor([2, 4, 0]))
    assert report.ranks.tolist() == [0, 3, 9]  # 3 and 2 are nearer to 2.2 than 4 is, and so is 1
    assert report.found(5).tolist() == [True, True, False]
    assert (report.share(), report.share(5)) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert report.interval(5) == bootstrap(torch.tensor([True, True, False]))


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_every_real_picture_retrieves_itself(seed):
    theirs = torch.rand(20, 192, generator=torch.Generator().manual_seed(seed)) * 1e-3
    assert retrieval(theirs, theirs, torch.arange(20)).share() == 1


@pytest.mark.parametrize("truth", [[0], [0, 5], [-1, 0], [[0, 1]]])
def test_retrieval_refuses_a_truth_that_names_no_picture(truth):
    with pytest.raises(ValueError, match="truth must be 2 indices, one a picture, below 5, got"):
        retrieval(torch.zeros(2, 4), torch.zeros(5, 4), torch.tensor(truth))


def normals(rows, width, seed=0):
    return torch.randn(
        rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def with_moments(mean, deviations, rows=400):
    """Features whose sample mean and sample covariance are exactly these: diagonal."""
    x = normals(rows, len(mean))
    x = x - x.mean(0)
    x = torch.linalg.qr(x).Q * math.sqrt(rows - 1)
    return x * torch.tensor(deviations, dtype=torch.float64) + torch.tensor(
        mean, dtype=torch.float64
    )


def test_the_frechet_distance_of_equal_sets_is_zero():
    x = normals(300, 20) @ normals(20, 20, 1)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x[:5], x[:5]) == pytest.approx(
        0, abs=1e-9
    )  # fewer rows than features: a singular covariance
    assert frechet(torch.ones(3, 4), torch.ones(2, 4)) == 0


def test_the_frechet_distance_of_a_shift_is_its_square():
    x = normals(300, 20) @ normals(20, 20, 1)
    shift = torch.linspace(-1, 1, 20, dtype=torch.float64)
    assert frechet(x, x + shift) == pytest.approx(shift.square().sum().item(), rel=1e-9)


def test_the_frechet_distance_of_diagonal_gaussians_is_the_closed_form():
    a, b = with_moments([0, 1, 2], [1, 2, 3]), with_moments([1, 1, 0], [2, 2, 0.5])
    assert frechet(a, b) == pytest.approx(
        1 + 0 + 4 + 1 + 0 + 2.5**2, rel=1e-9
    )  # sum (m - n)^2 + (s - t)^2
    turn = torch.linalg.qr(normals(3, 3, 5)).Q
    assert frechet(a @ turn, b @ turn) == pytest.approx(12.25, rel=1e-9)
    assert frechet(b, a) == pytest.approx(12.25, rel=1e-9)


def test_the_frechet_distance_agrees_with_scipy_where_the_covariances_do_not_commute():
    linalg = pytest.importorskip("scipy.linalg")
    a, b = normals(200, 6) @ normals(6, 6, 1), normals(300, 6, 2) @ normals(6, 6, 3) + 0.3
    s, t = np.cov(a.numpy().T), np.cov(b.numpy().T)
    wanted = np.square(a.mean(0).numpy() - b.mean(0).numpy()).sum() + np.trace(
        s + t - 2 * linalg.sqrtm(s @ t).real
    )
    assert frechet(a, b) == pytest.approx(wanted, rel=1e-9)
    assert frechet(a.float(), b.float()) == pytest.approx(wanted, rel=1e-4)


def test_the_frechet_distance_of_one_feature_is_of_two_numbers():
    assert frechet(with_moments([0], [1]), with_moments([3], [2])) == pytest.approx(9 + 1, rel=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        (
            torch.zeros(1, 4),
            torch.zeros(5, 4),
            r"a must be \(2 or more, 4\) features, got \(1, 4\)",
        ),
        (torch.zeros(5, 4), torch.zeros(1, 4), r"b must be \(2 or more, 4\)"),
        (
            torch.zeros(5, 4),
            torch.zeros(5, 3),
            r"b must be \(2 or more, 4\) features, got \(5, 3\)",
        ),
        (torch.zeros(5), torch.zeros(5, 3), r"a must be"),
        (torch.zeros(5, 3), torch.full((5, 3), math.nan), "b must be finite"),
    ],
)
def test_the_frechet_distance_refuses_what_is_no_crowd(a, b, text):
    with pytest.raises(ValueError, match=text):
        frechet(a, b)


def test_a_picture_agrees_with_itself_made_smaller():
    picture = draw(PAIR, size=256)
    below = resize(picture, 64)
    assert agreement(picture, below).tolist() == [0]
    assert agreement(below, below).tolist() == [0]
    assert agreement(torch.ones(2, 3, 64, 64), -torch.ones(2, 3, 16, 16)).tolist() == pytest.approx(
        [1, 1], abs=1e-6
    )


def test_agreement_and_colour_shift_are_in_parts_of_the_whole_range():
    below = torch.zeros(2, 3, 16, 16)
    above = torch.zeros(2, 3, 64, 64)
    above[1, 0], above[1, 2] = 0.5, -0.25
    assert agreement(above, below).tolist() == pytest.approx([0, (0.25 + 0.125) / 3], abs=1e-6)
    shift = colour_shift(above, below)
    assert shift.shape == (2, 3)
    assert shift[0].tolist() == [0, 0, 0]
    assert shift[1].tolist() == pytest.approx([0.25, 0, -0.125], abs=1e-6)


def test_agreement_sees_detail_that_the_colour_shift_does_not():
    below = torch.zeros(1, 3, 16, 16)
    above = F.interpolate(
        0.5 * (torch.arange(16) % 2 * 2 - 1).float().expand(1, 3, 16, 16), scale_factor=4
    )
    assert colour_shift(above, below).abs().max() < 1e-6
    assert agreement(above, below).item() > 0.15


@pytest.mark.parametrize("deviation", [2.0, 3.0, 5.0])
def test_the_edge_width_of_a_blurred_step_is_the_closed_form(deviation):
    """A step blurred by a Gaussian has contrast 2 and steepest slope 2 / (s sqrt(2 pi))."""
    at = torch.arange(256.0) - 127.3
    step = torch.erf(at / deviation / math.sqrt(2)).expand(1, 3, 256, 256)
    assert edge_width(step).item() == pytest.approx(deviation * math.sqrt(2 * math.pi), rel=0.02)
    assert edge_width(step.transpose(2, 3) * 0.1).item() == pytest.approx(
        deviation * math.sqrt(2 * math.pi), rel=0.02
    )


@pytest.mark.parametrize("size", [64, 256, 1024])
def test_the_edges_of_a_rendering_are_a_pixel_wide_and_blur_widens_them(size):
    page = draw(PAIR, size=size)
    assert 0.9 < edge_width(page).item() < 1.3
    blurred = torch.from_numpy(ndimage.gaussian_filter(page.numpy(), (0, 0, 2, 2)))
    assert edge_width(blurred).item() > 4
    assert edge_width(F.interpolate(page, scale_factor=4, mode="bilinear")).item() > 3


def test_the_edge_width_is_of_the_channel_of_largest_contrast():
    at = torch.arange(256.0) - 127.3
    channels = torch.stack([0.05 * torch.sign(at), torch.erf(at / 3 / math.sqrt(2)), 0 * at])
    picture = channels[None, :, None].expand(-1, -1, 256, -1)
    assert edge_width(picture).item() == pytest.approx(3 * math.sqrt(2 * math.pi), rel=0.02)


def test_a_flat_picture_has_no_edge():
    widths = edge_width(torch.cat([torch.ones(1, 3, 64, 64), draw(PAIR)]))
    assert math.isnan(widths[0])
    assert widths[1] > 0
