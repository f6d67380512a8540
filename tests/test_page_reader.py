"""Every page of `World` is told from every other, under objects, blurred, and in noise."""

import itertools

import pytest
import torch

from minimagen.data import World
from minimagen.data.pages import PAGE_COLOURS, STEPS, Page, draw_page
from minimagen.evaluation import page_reader
from minimagen.evaluation.page_reader import LEAST, nearest_pages
from minimagen.pixels import from_uint8


def draw(*pages):
    return from_uint8(
        torch.stack([torch.from_numpy(draw_page(page, 64, (0, 0, 64))) for page in pages])
    )


def test_every_empty_page_is_the_one_that_explains_all_of_it():
    strong = [colour for colour in PAGE_COLOURS if colour != "white"]
    pairs = list(itertools.product(strong, strong))
    pages = [Page("plain", colour) for colour in PAGE_COLOURS]
    for kind in ("gradient", "striped", "dotted", "ground"):
        step = STEPS[kind][len(STEPS[kind]) // 2]
        pages += [Page(kind, a, b, step) for a, b in pairs if a != b]
        pages += [Page(kind, a, None, step) for a in strong if kind != "ground"]
    for page, (found, score) in zip(pages, nearest_pages(draw(*pages)), strict=True):
        assert found == page
        assert score == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", ["striped", "dotted", "ground"])
def test_every_pattern_is_laid_where_it_lies(kind):
    shifts = {"striped": lambda step: 2 * step, "dotted": lambda step: step // 2}
    pages = [
        Page(kind, "blue", "green", step, shift)
        for step in STEPS[kind]
        for shift in range(shifts.get(kind, lambda step: 1)(step))
    ]
    assert [found for found, _ in nearest_pages(draw(*pages))] == pages


def test_the_score_is_the_mean_vote_of_the_pixels():
    page = Page("plain", "white")
    half = draw(page)
    half[:, :, :32] -= 10 / 127.5  # 10 levels off in all three channels
    ((found, score),) = nearest_pages(half)
    assert found == page
    vote = torch.tensor(-3 * 10**2 / (2 * page_reader.NEAR**2)).exp().item()
    assert score == pytest.approx((1 + vote) / 2, abs=1e-4)


def test_pages_are_read_under_objects_and_noise():
    world = World(64, "held-out")
    pictures = from_uint8(torch.stack([world[i][0] for i in range(200)]))
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    for shown in (pictures, pictures + 0.05 * noise):
        for i, (page, score) in enumerate(nearest_pages(shown)):
            true = world.truth(i).page
            assert (page.kind, page.colour, page.second) == (true.kind, true.colour, true.second)
            assert score > LEAST


def test_what_is_no_page_explains_next_to_nothing():
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(8, 3, 64, 64, generator=generator) * 2 - 1
    dark = torch.tensor([-0.5, 0, 0.3]).view(3, 1, 1, 1).expand(3, 3, 64, 64)
    assert max(score for _, score in nearest_pages(torch.cat([noise, dark]))) < LEAST / 2
