"""The reader of rendered pages: what is there, where, how large, and what is of no known kind."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from minimagen.data.drawing import COLOURS, SHAPES, Placed, place, render
from minimagen.data.shapes import Shapes
from minimagen.evaluation.reader import read
from minimagen.pixels import from_uint8


def draw(scene, size=64):
    return from_uint8(render(scene, size))


@pytest.mark.parametrize("size", [64, 256])
def test_the_reader_finds_where_and_how_large_everything_is(size):
    pages = Shapes()
    for facts, _, rng in (pages._item(i) for i in range(100)):
        scene = place(facts, rng)
        seen = read(draw(scene, size=size))
        assert len(seen) == len(scene)
        for o in scene:
            near = min(seen, key=lambda s: math.hypot(s.x - o.x, s.y - o.y))
            assert (near.shape, near.colour) == (o.shape, o.colour)
            assert max(abs(near.x - o.x), abs(near.y - o.y), abs(near.r - o.r)) < 0.25 / 64
            assert near.match > 0.87


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
        (seen,) = read(draw([Placed(shape, "black", 0.5, 0.5, r)], size=256))
        assert seen.size == name


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


def test_an_object_in_the_hole_of_a_ring_is_seen():
    for colour in COLOURS:
        ring, disc = Placed("ring", "red", 0.5, 0.5, 0.21), Placed("circle", colour, 0.5, 0.5, 0.08)
        seen = read(draw([ring, disc]))
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
