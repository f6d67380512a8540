"""The one conversion between 8-bit pixels and [-1, 1], resizing, and grids."""

import math

import pytest
import torch

from minimagen.pixels import from_uint8, grid, resize, row, to_pil, to_uint8

EVERY = torch.arange(256, dtype=torch.uint8)


def test_every_pixel_survives_the_way_there_and_back():
    assert torch.equal(to_uint8(from_uint8(EVERY)), EVERY)
    assert torch.equal(to_uint8(from_uint8(EVERY).double()), EVERY)
    assert from_uint8(EVERY)[[0, 255]].tolist() == [-1.0, 1.0]
    assert from_uint8(EVERY).dtype == torch.float32


def test_the_nearest_pixel_is_taken_and_the_rest_clipped():
    x = torch.tensor([-7.0, -1.0, 0.4 / 127.5 - 1, 0.6 / 127.5 - 1, 1.0, 7.0])
    assert to_uint8(x).tolist() == [0, 0, 0, 1, 255, 255]


def test_resizing_keeps_a_flat_picture_and_the_identity():
    flat = torch.full((1, 3, 16, 16), 0.3)
    for size in (4, 16, 64):
        torch.testing.assert_close(resize(flat, size), torch.full((1, 3, size, size), 0.3))
    assert resize(flat, 16) is flat


def test_shrinking_is_antialiased():
    """One white line in four shrinks to its share of white; without the filter the lines fall
    between the samples.
    """
    lines = torch.tensor([1.0, -1.0, -1.0, -1.0]).repeat(16).expand(1, 1, 64, 64)
    torch.testing.assert_close(
        resize(lines, 16)[..., 3:-3], torch.full((1, 1, 16, 10), -0.5), rtol=0, atol=0.05
    )


def test_shrinking_keeps_a_slow_wave():
    def wave(n):
        return torch.sin(2 * math.pi * (torch.arange(n) + 0.5) / n).expand(1, 1, n, n)

    torch.testing.assert_close(resize(wave(64), 16), wave(16), rtol=0, atol=0.05)
    torch.testing.assert_close(
        resize(wave(16), 64)[..., 8:-8], wave(64)[..., 8:-8], rtol=0, atol=0.02
    )


@pytest.mark.parametrize(("count", "rows"), [(6, 2), (5, 2), (3, 1), (7, 3)])
def test_a_grid_lays_pictures_out_row_by_row_on_white(count, rows):
    pictures = -torch.arange(1.0, count + 1).reshape(-1, 1, 1, 1).expand(-1, 3, 4, 5)
    sheet = grid(pictures, columns=3, gap=2)
    assert sheet.shape == (3, rows * 6 - 2, 3 * 7 - 2)
    for i in range(count):
        top, left = i // 3 * 6, i % 3 * 7
        assert (sheet[:, top : top + 4, left : left + 5] == -(i + 1)).all()
    assert (sheet == 1).sum() == sheet.numel() - count * 60


def test_a_grid_with_fewer_pictures_than_columns_is_as_wide_as_the_others():
    assert grid(torch.zeros(2, 3, 4, 4), columns=5, gap=1).shape == (3, 4, 24)
    assert grid(torch.zeros(2, 3, 4, 4), columns=2, gap=0).shape == (3, 4, 8)


def test_a_row_holds_pictures_of_any_size_from_the_top_on_white():
    small, large = torch.full((3, 2, 3), -1.0), torch.full((3, 5, 4), 0.5)
    sheet = row([small, large], gap=2)
    assert sheet.shape == (3, 5, 3 + 2 + 4)
    assert torch.equal(sheet[:, :2, :3], small)
    assert torch.equal(sheet[:, :, 5:], large)
    assert (sheet == 1).sum() == 3 * (3 * 3 + 5 * 2)
    assert torch.equal(row([small]), small)


def test_an_image_holds_the_8_bit_pixels_of_the_picture():
    picture = from_uint8(torch.arange(60).reshape(3, 4, 5).to(torch.uint8) * 4)
    image = to_pil(picture)
    assert (image.mode, image.size) == ("RGB", (5, 4))
    assert image.getpixel((2, 1)) == tuple(to_uint8(picture)[:, 1, 2].tolist())
    assert to_pil(3 * torch.ones(3, 1, 1)).getpixel((0, 0)) == (255, 255, 255)
    for shape in [(4, 4), (1, 4, 4), (2, 3, 4, 4)]:
        with pytest.raises(ValueError, match=r"picture must be \(3, H, W\), got"):
            to_pil(torch.zeros(shape))
