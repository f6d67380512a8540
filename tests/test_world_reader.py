"""What stands on a page of `World` is read as it is; junk, noise and empty pages get no name."""

import random

import numpy as np
import pytest
import torch

from experiments import _recogniser_pages as recogniser_pages
from experiments._recogniser_pages import compose
from experiments.judge import bound, right, same_page, spoilt
from minimagen.data import World
from minimagen.data.truth import SIZES, THING_SIZES
from minimagen.data.world import render
from minimagen.evaluation.recogniser import cut_out, networks, nouns, peaks, trained
from minimagen.evaluation.world_reader import UNREADABLE, nearest_size, page_features, read
from minimagen.pixels import from_uint8, resize

COUNT = 300


@pytest.fixture(scope="module")
def pages():
    world = World(64, "held-out")
    pictures = from_uint8(torch.stack([world[i][0] for i in range(COUNT)]))
    return pictures, [world.truth(i) for i in range(COUNT)]


def shares(pictures, truths):
    """The share of right objects, of right pages, and whether there were as many as should be."""
    readings = read(pictures)
    rows = [right(o, s) for t, r in zip(truths, readings, strict=True) for o, s in bound(t, r)]
    papers = [same_page(t, r) for t, r in zip(truths, readings, strict=True)]
    counts = [len(t.objects) == len(r.objects) for t, r in zip(truths, readings, strict=True)]
    return np.mean(rows), np.mean(papers), np.mean(counts)


def test_pages_are_read_as_they_are(pages):
    objects, papers, counts = shares(*pages)
    assert objects >= 0.99  # 99.5 % of many more: experiments/results/judge.json
    assert papers == 1
    assert counts >= 0.99


def test_pages_are_read_when_they_are_bent_and_blurred(pages):
    pictures, truths = pages
    objects, papers, counts = shares(spoilt(pictures), truths)
    assert objects >= 0.96
    assert papers >= 0.99
    assert counts >= 0.97


@pytest.mark.parametrize("size", [128, 256])
def test_larger_pages_are_read_as_well(size):
    world = World(size, "train")
    pictures = from_uint8(torch.stack([world[i][0] for i in range(60)]))
    objects, papers, _ = shares(pictures, [world.truth(i) for i in range(60)])
    assert objects >= 0.95
    assert papers >= 0.98


@pytest.mark.parametrize("junk", ["halves", "quarters", "melted", "blob", "noise"])
def test_junk_gets_no_name(junk):
    rng, pictures = random.Random(junk), []
    while len(pictures) < 60:
        truth = compose(rng, {1: 1.0})
        if truth.objects:
            picture = getattr(recogniser_pages, junk)(render(truth, 64).numpy(), truth, 0, rng)
            pictures.append(torch.from_numpy(picture.copy()))
    named = [
        any(s.noun != UNREADABLE for s in reading.objects)
        for reading in read(from_uint8(torch.stack(pictures)))
    ]
    assert sum(named) <= 5


def test_noise_and_flat_pictures_are_no_page_and_noise_holds_nothing():
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(20, 3, 64, 64, generator=generator) * 2 - 1
    flat = torch.linspace(-1, 0.2, 8).view(8, 1, 1, 1).expand(8, 3, 64, 64)
    readings = read(torch.cat([noise, flat]))
    assert all(reading.page is None for reading in readings)
    assert all(s.noun == s.colour == UNREADABLE for r in readings[:20] for s in r.objects)


def test_an_empty_page_is_empty():
    world = World(64, "train", {"page": 1.0})
    readings = read(from_uint8(torch.stack([world[i][0] for i in range(100)])))
    assert all(not reading.objects for reading in readings)


def test_a_page_reads_the_same_in_every_company(pages):
    pictures, _ = pages
    together = read(pictures[:70])
    alone = [read(picture[None])[0] for picture in pictures[:70]]
    for a, b in zip(together, alone, strict=True):
        assert a.page == b.page
        names = lambda reading: [(s.noun, s.colour, s.size) for s in reading.objects]
        assert names(a) == names(b)


def test_a_cut_out_shows_the_box_it_was_asked_for():
    along = torch.arange(64.0).expand(64, 64)
    ramp = torch.stack([along, along.T])[None]
    part = cut_out(
        ramp, torch.tensor([0, 0]), torch.tensor([[32.0, 24.0, 32 / 1.3], [20.0, 40.0, 16 / 1.3]])
    )
    assert part.shape == (2, 2, 32, 32)
    assert torch.allclose(part[0, 0, 0], torch.arange(16.0, 48.0), atol=1e-3)
    assert torch.allclose(part[0, 1, :, 0], torch.arange(8.0, 40.0), atol=1e-3)
    assert torch.allclose(part[1, 0, 0], 11.75 + torch.arange(32.0) / 2, atol=1e-3)
    assert cut_out(ramp, torch.zeros(0).long(), torch.zeros(0, 3)).shape == (0, 2, 32, 32)


def test_a_peak_is_the_largest_of_its_neighbourhood():
    found = torch.full((2, 4, 16, 16), -5.0)
    found[:, 1:] = 0
    found[0, 0, 3, 5], found[0, 0, 3, 6], found[1, 0, 10, 2] = 2.0, 1.0, 3.0
    found[0, 1:, 3, 5] = torch.tensor([0.25, -0.5, 1.0])
    which, boxes = peaks(found)
    assert which.tolist() == [0, 1]
    expected = [[(5 + 0.5 + 0.25) * 4, (3 + 0.5 - 0.5) * 4, 24 * np.e], [10.0, 42.0, 24.0]]
    assert torch.allclose(boxes, torch.tensor(expected))


def test_sizes_are_those_of_the_nearest_side():
    for table, noun in ((SIZES, "circle"), (THING_SIZES, "cat")):
        for size, sides in table.items():
            assert all(nearest_size(noun, side + by) == size for side in sides for by in (-1, 0, 1))
    assert nearest_size("circle", 20) == "medium"
    assert nearest_size("cat", 20) == "small"


def test_page_features_are_those_of_the_page_and_not_of_its_company(pages):
    pictures, _ = pages
    features = page_features(pictures[:66])
    assert features.shape == (66, 128)
    assert torch.allclose(features[65:], page_features(pictures[65:66]), atol=1e-4)
    assert (features[0] - features[1]).norm() > 10 * (
        features[0] - page_features(pictures[:1])
    ).norm()


def test_large_pictures_are_shrunk_before_they_are_read():
    picture = from_uint8(World(256, "train")[4][0])[None]
    assert read(picture) == read(resize(picture, 64).clamp(-1, 1))


@pytest.mark.parametrize(
    ("pictures", "told"),
    [
        (torch.zeros(3, 64, 64), r"got \(3, 64, 64\)"),
        (torch.zeros(1, 3, 64, 32), r"got \(1, 3, 64, 32\)"),
        (torch.zeros(1, 3, 8, 8), "H at least 16"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "torch.uint8"),
        (torch.full((1, 3, 64, 64), float("nan")), "pictures must be finite"),
    ],
)
def test_what_is_no_batch_of_pictures_is_refused(pictures, told):
    for look in (read, page_features):
        with pytest.raises(ValueError, match=told):
            look(pictures)


def test_the_shipped_weights_are_small_and_whole():
    path = recogniser_weights()
    assert path.stat().st_size <= 1_200_000
    assert sum(p.numel() for p in networks().parameters()) <= 600_000
    assert len(nouns()) == 140
    assert not any(p.requires_grad for p in trained().parameters())
    assert not trained().training


def recogniser_weights():
    from minimagen.files import shipped

    return shipped("recogniser") / "weights.safetensors"


def test_missing_weights_are_named(monkeypatch, tmp_path):
    from minimagen.evaluation import recogniser

    monkeypatch.setattr(recogniser, "shipped", lambda name: tmp_path)
    with pytest.raises(ValueError, match=r"weights.safetensors must be the shipped weights"):
        recogniser.trained.__wrapped__()
