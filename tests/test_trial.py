"""The trial of the ideas: its world, its reader, its measures, and a miniature of the whole."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from experiments import _trial_asked, _trial_runs, trial
from experiments._trial_asked import SETS, bound, items, measure, page_error, rare, saturation
from experiments._trial_reader import SIDES, read, report, silhouettes
from experiments._trial_runs import NETWORK, VARIANTS, Pages, random_vectors, recipe
from minimagen.conditioning import Cond, Text
from minimagen.data import World
from minimagen.data.pages import Page
from minimagen.data.truth import Object, Truth
from minimagen.data.world import render
from minimagen.denoiser import Denoiser, Prediction
from minimagen.evaluation.world_reader import UNREADABLE
from minimagen.pixels import from_uint8
from minimagen.text import TextEncoder
from minimagen.unet import UNet, UNetConfig

TINY = UNetConfig(8, (1, 2), (1, 1), (None, "self"), text_width=16, patch=2, head_width=8)


def randomised(config, seed=0):
    """A network whose layers that begin with zeros see picture and text."""
    generator, net = torch.Generator().manual_seed(seed), UNet(config)
    for parameter in net.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return net.eval()


def page(truth):
    return from_uint8(render(truth, 32))


def pair(relation="left of", colours=("red", "blue"), **more):
    one, two = ((4, 16), (32, 16)) if relation == "left of" else ((18, 4), (18, 32))
    objects = (
        Object("circle", colours[0], "small", *one, 28),
        Object("square", colours[1], "small", *two, 28),
    )
    return Truth("pair", Page("plain", "white"), objects, relation, **more)


# --- attention to the picture alone ---


def test_without_attention_to_words_only_their_pool_counts():
    """Two sentences, the one given the other's pool: the network without attention to words draws
    the same, the usual one does not. Another pool makes a difference to both.
    """
    generator = torch.Generator().manual_seed(1)
    one, other = (
        Cond(Text(torch.randn(2, 5, 16, generator=generator), torch.ones(2, 5).bool()))
        for _ in range(2)
    )
    z, logsnr = torch.randn(2, 3, 8, 8, generator=generator), torch.zeros(2)
    same = {}
    for kind in ("self", "picture"):
        net = randomised(replace(TINY, attention=(None, kind)))
        ready, rest = net.prepare(one), net.prepare(other)
        with torch.no_grad():
            pooled_alike = net(z, logsnr, replace(rest, emb=ready.emb))
            same[kind] = torch.equal(net(z, logsnr, ready), pooled_alike)
            assert (net(z, logsnr, ready) - net(z, logsnr, rest)).abs().max() > 1e-3
    assert same == {"self": False, "picture": True}


def test_without_attention_to_words_nothing_but_the_readers_of_words_is_gone():
    usual, alone = (
        {
            name: p.shape
            for name, p in UNet(recipe(VARIANTS[name], 9).settings.config).named_parameters()
        }
        for name in ("usual", "pool alone")
    )
    gone = usual.keys() - alone.keys()
    assert alone.items() <= usual.items()
    assert gone
    assert all("text_key_value" in name for name in gone)
    assert recipe(VARIANTS["pool alone"], 9).settings.config.attention == (
        None,
        None,
        "picture",
        "picture",
    )


# --- the world and its encoders ---


def test_the_pages_come_round_from_another_one_for_each_seed():
    first, second = Pages(6, 0), Pages(6, 1)
    assert first.captions == [World(32, nouns=(), scale=2).caption(i) for i in range(6)]
    assert first.captions == second.captions
    assert [second[i][1] for i in range(6)] == first.captions[3:] + first.captions[:3]
    assert all(torch.equal(second[i][0], first[(i + 3) % 6][0]) for i in range(6))


def test_a_random_vector_is_a_token_s_own_whatever_stands_beside_it(tiny_text):
    encoder, again, other = (random_vectors(seed, tiny_text) for seed in (0, 0, 1))
    text = encoder.encode(["a red circle", "a blue circle on a page"])
    assert torch.equal(text.tokens[0, 2], text.tokens[1, 2])  # circle
    assert not torch.equal(text.tokens[0, 1], text.tokens[1, 1])  # red, blue
    assert not text.tokens[0][~text.mask[0]].any()
    assert encoder.fingerprint == again.fingerprint != other.fingerprint
    assert encoder.fingerprint != TextEncoder(tiny_text, "cpu").fingerprint
    assert encoder.width == 16


def test_every_variant_has_a_network_an_encoder_and_conditions(tiny_text):
    options = trial.command_line().parse_args([])
    for name, variant in VARIANTS.items():
        assert hasattr(options, variant.folder)
        assert variant.encoder(0, tiny_text).width == 16
        assert trial.CONDITIONS[name]
        assert all(c.asked in SETS for c in trial.CONDITIONS[name])
    assert sum(p.numel() for p in UNet(NETWORK).parameters()) == pytest.approx(10.9e6, rel=0.01)


# --- the reader ---


def test_real_pages_are_read_right():
    """At least 99 of 100, of colours bound to places, of shapes and of pages; places less, since
    two pixels decide.
    """
    world = World(32, nouns=(), scale=2)
    pictures = from_uint8(torch.stack([world[i][0] for i in range(300)]))
    truths = [world.truth(i) for i in range(300)]
    found = report(read(pictures), truths)
    for name in ("counts", "nouns", "colours", "sizes", "relations", "page"):
        assert found.share(name) >= 0.99, name
    assert found.share("places") >= 0.9
    wrong = report(read(pictures), truths[1:] + truths[:1])
    assert wrong.share("colours") < 0.2
    assert wrong.share("page") < 0.2


@pytest.mark.parametrize(("noise", "floor"), [(0.06, 0.97), (0.12, 0.9)])
def test_pages_are_still_read_right_under_a_little_noise(noise, floor):
    pictures, _, truths = items("objects", 100)
    generator = torch.Generator().manual_seed(0)
    spoilt = pictures + noise * torch.randn(pictures.shape, generator=generator)
    found = report(read(spoilt), truths)
    assert found.share("page") >= floor
    assert found.share("colours") >= floor


def test_noise_and_black_show_nothing_of_the_world():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(20, 3, 32, 32, generator=generator)
    readings = read(torch.cat([noise, -torch.ones(1, 3, 32, 32)]))
    assert all(reading.page is None for reading in readings)
    assert all(seen.noun == UNREADABLE for reading in readings[:20] for seen in reading.objects)


def test_every_silhouette_is_found_as_what_it_is():
    assert len(silhouettes()) == 8 * len(SIDES)
    for noun, side in silhouettes():
        left = (64 - side) // 2
        truth = Truth("single", Page("plain", "grey"), (Object(noun, "red", "", left, left, side),))
        (seen,) = read(page(truth)[None])[0].objects
        assert (seen.noun, seen.colour) == (noun, "red")
        assert abs(seen.side - side) <= 4
        assert abs(64 * seen.x - 32) <= 2 >= abs(64 * seen.y - 32)


# --- what is asked and measured ---


def test_the_captions_of_every_set_are_what_it_says():
    for name, asked in SETS.items():
        _, captions, truths = items(name, 12)
        assert all(truth.kind in asked.kinds for truth in truths)
        assert all(asked.fits(*both) for both in zip(truths, captions, strict=True))
        if name.startswith("two colours"):
            assert all(len({o.colour for o in t.objects}) == 2 and t.relation for t in truths)
    for name, kind, meaning in (
        ("text-only colour", "colour", lambda t: t.objects[0].colour),
        ("text-only shape", "noun", lambda t: t.objects[0].noun),
        ("text-only page", "page colour", lambda t: t.page.colour),
    ):
        _, captions, truths = items(name, 40)
        for caption, truth in zip(captions, truths, strict=True):
            assert rare(kind, meaning(truth), caption)
            assert f" {meaning(truth)} " not in f" {caption} "


def test_what_is_asked_was_never_trained_on():
    assert _trial_asked.BEGIN >= _trial_runs.PAGES
    assert set(items("any caption", 20)[1]).isdisjoint(items("any caption", 20, trial.OTHERS)[1])


@pytest.mark.parametrize("relation", ["left of", "above"])
def test_colours_are_bound_where_they_stand_in_their_places(relation):
    truth = pair(relation)
    assert bound(truth, read(page(truth)[None])[0])
    exchanged = pair(relation, ("blue", "red"))
    assert not bound(truth, read(page(exchanged)[None])[0])
    other = replace(truth, objects=truth.objects[:1])
    assert not bound(truth, read(page(other)[None])[0])
    shapes = tuple(replace(o, noun="star") for o in truth.objects)  # whatever has them
    assert bound(truth, read(page(replace(truth, objects=shapes))[None])[0])


@pytest.mark.parametrize("kind", ["plain", "gradient", "striped", "dotted", "ground"])
def test_the_error_of_the_page_is_how_far_its_paper_was_moved(kind):
    """Moved by d towards black, the error is d; of the page itself it is 0, wherever its pattern
    lies.
    """
    second = None if kind == "plain" else "blue"
    step = {"striped": 8, "dotted": 16, "ground": 36}.get(kind, 0)
    truth = Truth("page", Page(kind, "green", second, step, 0), names_page=True)
    elsewhere = replace(truth, page=replace(truth.page, shift=4 * (kind in ("striped", "dotted"))))
    assert page_error(page(elsewhere), truth) == 0
    assert page_error(page(elsewhere) - 0.3, truth) == pytest.approx(0.3, abs=0.03)
    other = replace(truth, page=replace(truth.page, colour="pink"))
    assert page_error(page(elsewhere), other) > 0.05


def test_saturation_of_grey_is_nothing_and_of_pure_red_all():
    grey, red = torch.zeros(1, 3, 4, 4), -torch.ones(1, 3, 4, 4)
    red[:, 0] = 1
    assert saturation(torch.cat([grey, red])).tolist() == [0, 1]


def test_real_pages_have_the_best_figures_that_there_are():
    for name in ("two colours", "texture"):
        pictures, _, truths = items(name, 24)
        row = measure(pictures, truths)
        assert row["right"][SETS[name].of]["value"] >= 0.95
        assert row["page error"]["value"] < 0.01


def test_an_overshoot_is_counted_before_the_threshold_and_step_by_step():
    x0 = torch.zeros(2, 1, 10, 10)
    x0[:, :, 0, :5] = 2.0  # 5 %
    overshoot = trial.Overshoot()
    denoise = overshoot(lambda z, logsnr: Prediction(z, logsnr, x0 * logsnr[0]))
    for _ in range(2):  # batches
        for step in range(trial.STAGE.steps):
            denoise(x0, torch.full((2,), float(step % 2)))
    found = overshoot.by_step()
    assert found["overshoot"] == [0, pytest.approx(0.05)] * (trial.STAGE.steps // 2)
    assert found["level"] == [1, 2] * (trial.STAGE.steps // 2)


def test_a_drawing_does_not_depend_on_how_many_there_are(tiny_text):
    denoiser, encoder = Denoiser(randomised(TINY), "x0"), TextEncoder(tiny_text, "cpu")
    captions = ["a red circle", "a blue star on white", "a green heart"]
    condition = trial.Condition("objects", 2.0, "dynamic")
    whole, _ = trial.drawn(denoiser, encoder, captions, condition)
    part, _ = trial.drawn(denoiser, encoder, captions[:2], condition)
    torch.testing.assert_close(whole[:2], part, rtol=1e-4, atol=1e-4)
    other, _ = trial.drawn(denoiser, encoder, captions, replace(condition, weight=5.0))
    assert (other - whole).abs().max() > 1e-3


# --- the whole, in miniature ---


def run(monkeypatch, folder, tiny_text, *more):
    given = ["--steps", "2", "--pages", "8", "--captions", "2", "--seed", "0"]
    given += ["--schooled", str(tiny_text), "--runs", str(folder), "--out", str(folder / "t.json")]
    monkeypatch.setattr(sys, "argv", ["trial", *given, *more])
    trial.main()
    return json.loads((folder / "t.json").read_text(encoding="utf-8"))


def test_a_trial_in_miniature_is_whole_and_goes_on_where_it_was_stopped(
    monkeypatch, tmp_path, tiny_text, capsys
):
    small = lambda variant, steps: recipe(variant, steps, replace(TINY, head_width=8))
    monkeypatch.setattr(trial, "recipe", small)
    few = {"usual": ["two colours", "any caption", "texture"], "pool alone": ["two colours"]}
    conditions = {n: [trial.Condition(a, 2.0) for a in asked] for n, asked in few.items()}
    monkeypatch.setattr(trial, "CONDITIONS", trial.CONDITIONS | conditions)
    names = ("--variants", "usual", "pool alone", "contrastive")
    content = run(monkeypatch, tmp_path, tiny_text, *names, "--contrastive", str(tmp_path / "no"))
    assert "contrastive is left out: no encoder lies in" in capsys.readouterr().err
    assert [row["asked"] for row in content["real"]] == [*SETS]
    points = content["points"]
    assert [(p["variant"], p["asked"]) for p in points] == [
        (name, asked) for name, rows in few.items() for asked in rows
    ]
    by_name = {p["asked"]: p for p in points[:3]}
    assert by_name["two colours"]["right"]["bound"].keys() == {"value", "low", "high", "n"}
    assert by_name["any caption"]["frechet"] > 0
    assert by_name["any caption"]["right"]["all"]["n"] == 4
    assert len(by_name["texture"]["overshoot"]) == trial.STAGE.steps
    assert len({p["encoder"] for p in points}) == 1

    path, states = tmp_path / "t.json", sorted(tmp_path.glob("*/state.safetensors"))
    trained = [state.read_bytes() for state in states]
    path.write_text(json.dumps({**content, "points": points[1:]}), encoding="utf-8")
    again = run(monkeypatch, tmp_path, tiny_text, *names[:2])
    assert again == content  # one point was measured anew, and nothing was trained
    assert [state.read_bytes() for state in states] == trained
