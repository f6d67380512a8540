"""The text of `World`: what its encoder reads and what it never reads, its tokens, the questions of
the probe, and what the shipped encoder knows.
"""

import json
import random
import re
import sys
from functools import cache, partial
from itertools import islice

import pytest
import torch

pytest.importorskip("transformers")

from experiments import _probe
from experiments.encoders import Vectors
from minimagen import files
from minimagen.data import captions, wordings
from minimagen.data.nouns import COLOURS, SHAPES, share, things, unseen_colour, unseen_pair
from minimagen.data.pages import PAGE_COLOURS, Page
from minimagen.data.truth import Object, Truth
from minimagen.data.wordings import SIZE_WORDS, TEXT_ONLY, plural
from minimagen.text import TextEncoder
from tools import _world_text as text
from tools import school_contrastive, school_text
from tools._world_meanings import MEANINGS

FOLDER = files.shipped("weights") / "world-text"
NEVER_SHOWN = things(shown=False)


@cache
def sayings(count: int = 1500) -> list[text.Saying]:
    draw, rng = text.Sayings(["the state of being"], truths=500), random.Random(0)
    return [draw(rng) for _ in range(count)]


@cache
def encoder() -> TextEncoder:
    return TextEncoder(FOLDER, "cpu")


def says(line: str, phrase: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", line) is not None


# --- what is read ---


def test_pages_that_are_read_of_show_nothing_that_training_never_shows():
    for truth in text.Sayings([""], truths=3000).truths:
        nouns = {o.noun for o in truth.objects}
        assert not nouns & {*NEVER_SHOWN}
        assert not any(unseen_pair(a, b) for a in nouns for b in nouns)
        assert not any(o.colour and unseen_colour(o.noun, o.colour) for o in truth.objects)


def test_no_held_out_wording_is_read(monkeypatch):
    def refuse(table):
        raise AssertionError("a held-out wording")

    monkeypatch.setattr(captions, "held_out", refuse)
    draw, rng = text.Sayings(["a gloss"], truths=300), random.Random(1)
    read = [text.joined(draw(rng).reworded) for _ in range(2000)]
    read += [text.caption_line(draw, rng) for _ in range(500)]
    for telling in ("turning into", "polka-dot", "children's story", "further down than", "far up"):
        assert not any(telling in line for line in read), telling


def test_lines_of_wordnet_that_tell_an_unseen_pair_are_left_out():
    noun, colour = next((n, c) for n in SHAPES for c in COLOURS if unseen_colour(n, c))
    a, b = next((a, b) for a in SHAPES for b in things(shown=True) if unseen_pair(a, b))
    rare = next(iter(wordings.text_only("colour", colour)))
    assert text.tells_unseen(f"it is {colour}, that {noun}")
    assert text.tells_unseen(f"{plural(noun)} of a {rare} kind")
    assert text.tells_unseen(f"the {a} and the {b}")
    assert not text.tells_unseen("the quality of being near")
    kept = text.glosses(validation=True)
    assert not any(text.tells_unseen(line) for line in kept)
    every = text.read_xz(text.DATA / "text" / "wordnet.txt.xz")[::100]
    assert 0.98 * len(every) < len(kept) < len(every)


def test_meanings_name_every_text_only_word_with_what_it_means_and_nothing_unseen():
    for kind, row in TEXT_ONLY.items():
        for word, meaning in row.items():
            shown = [line for line in MEANINGS if says(line, word)]
            forms = SIZE_WORDS[meaning] if kind == "size" else (meaning.split()[0],)
            assert any(says(line, form) for line in shown for form in forms), word
    for line in MEANINGS:
        assert not text.tells_unseen(line), line
        assert not any(says(line, noun) or says(line, plural(noun)) for noun in NEVER_SHOWN), line


@cache
def meant() -> dict[str, str]:
    """Every phrase that names something of `World`, in the plural too -> what it means."""
    found = {word: meaning for row in TEXT_ONLY.values() for word, meaning in row.items()}
    found |= {other: noun for noun, other in wordings.NOUN_WORDS.items()}
    found |= {noun: noun for noun in (*SHAPES, *things(shown=True), *COLOURS, *PAGE_COLOURS)}
    found |= {plural(phrase): meaning for phrase, meaning in found.items()}
    found |= {word: size for size, words in SIZE_WORDS.items() for word in words}
    found |= {f"to the {side} of": f"{side} of" for side in ("left", "right")}
    found |= {one: one for one in ("above", "below", "left of", "right of")}
    found |= {"over": "above", "under": "below"}
    return {phrase.lower(): meaning for phrase, meaning in found.items()}


def test_a_caption_in_other_words_means_the_same_group_by_group(monkeypatch):
    monkeypatch.setattr(text, "MISSPELL", 0.0)
    draw, rng, seen = text.Sayings([""], truths=1000), random.Random(2), set()
    for _ in range(4000):
        saying = draw(rng)
        here, there = iter(saying.caption), iter(saying.reworded)
        for a, b in saying.groups:
            one, other = (" ".join(islice(w, n)).lower() for w, n in ((here, a), (there, b)))
            assert one == other or {one, other} == {"a", "an"} or meant()[one] == meant()[other]
            seen.add(other)
        assert not [*here, *there]
    assert {word for row in TEXT_ONLY.values() for word in row} <= seen


def test_a_colour_that_may_be_the_paper_s_or_the_object_s_keeps_its_word():
    truth = Truth(
        "single", Page("plain", "green"), (Object("ring", "green", "small"),), names_page=True
    )
    caption = text.split("a green ring on a green page")
    for seed in range(50):
        said, _ = text.reword(caption, truth, random.Random(seed))
        assert not {*said} & {"emerald", "jade", "mint"}


def test_facts_stand_in_a_fixed_order():
    cat, star = Object("cat", None, "small"), Object("star", "red", "large")
    page = Page("striped", "green", "white")
    truth = Truth("pair", page, (star, cat), "left of", None, True, (True, False))
    assert text.plain(truth) == "large red star left of cat on striped green white"
    both = Truth("pair", page, (star, cat), None, None, False, (False, False))
    assert text.plain(both) == "cat and red star"
    two = Truth("count", page, (star, star), names_sizes=(True, True))
    assert text.plain(two) == "two large red star"
    assert text.plain(Truth("single", page, (cat,), None, "top left", False, (True,))) == (
        "small cat top left"
    )


def test_a_misspelling_is_one_letter_away_names_nothing_and_is_not_kept_for_tests():
    rng = random.Random(3)
    for word in ("elephant", "cat", "red", "umbrella") * 200:
        wrong = text.misspelt(word, rng)
        assert wrong not in text.names()
        assert share("misspelt", wrong) >= text.UNSEEN_SPELLINGS
        assert abs(len(wrong) - len(word)) <= 1
        same = sum(a == b for a, b in zip(word, wrong, strict=False))
        back = sum(a == b for a, b in zip(word[::-1], wrong[::-1], strict=False))
        assert same + back >= len(word) - 2


# --- tokens ---


def test_every_name_has_few_tokens_and_comes_back():
    tokenizer = encoder().tokenizer
    words = {word for row in TEXT_ONLY.values() for word in row} | {*COLOURS, *PAGE_COLOURS}
    words |= {*SHAPES, *things(shown=True), *(w for row in SIZE_WORDS.values() for w in row)}
    for word in words:
        ids = tokenizer(word, add_special_tokens=False)["input_ids"]
        assert len(ids) <= 2 * len(re.findall("[a-z]+", word)), word
        assert tokenizer.decode(ids) == word
    alone = [w for w in words if w.isalpha() and len(tokenizer.tokenize(w)) > 1]
    assert len(alone) <= 0.03 * len(words), alone
    letters = "a smaldl 7 2049 xyloq"
    assert tokenizer.unk_token_id not in tokenizer(letters)["input_ids"]
    assert tokenizer.decode(tokenizer(letters, add_special_tokens=False)["input_ids"]) == letters


def test_words_looked_up_one_by_one_are_the_tokens_of_the_line():
    reader = school_text.Reader(encoder().tokenizer)
    for saying in sayings(300):
        for words in (saying.caption, saying.reworded):
            assert reader.line(words) == reader.text(text.joined(words))


def test_a_caption_fits_in_what_is_read():
    reader = school_text.Reader(encoder().tokenizer)
    lengths = [len(reader.line(saying.caption)) for saying in sayings()]
    assert sum(n >= school_text.LONGEST - 1 for n in lengths) < 0.02 * len(lengths)


# --- the schooling ---


def test_a_group_s_state_is_the_mean_over_its_tokens():
    weights = school_text.averages([[(0, 2), (2, 3)], [(0, 1)]], 4)
    states = torch.tensor([[1.0, 3.0, 8.0, 5.0], [2.0, 9.0, 9.0, 9.0]])[..., None]
    assert (weights @ states)[..., 0].tolist() == [[2.0, 8.0], [2.0, 0.0]]


def tiny() -> tuple:
    torch.manual_seed(0)
    reader = school_text.Reader(encoder().tokenizer)
    return school_text.small_t5(len(reader.tokenizer)), reader


def test_the_same_words_are_nothing_apart_and_other_words_are():
    model, reader = tiny()
    one = sayings()[:8]
    same = [text.Saying(s.caption, s.caption, ((1, 1),) * len(s.caption), s.facts) for s in one]
    hidden = [([5, 6, 1], [7, 1])]
    apart = [
        school_text.losses(model, reader.batch(some, hidden), fast=False)[1].item()
        for some in (same, one)
    ]
    assert apart[0] == pytest.approx(0, abs=1e-9)
    assert apart[1] > 1e-3


def test_the_state_of_the_caption_itself_is_held():
    model, reader = tiny()
    batch = reader.batch(sayings()[:8], [([5, 6, 1], [7, 1])])
    school_text.losses(model, batch, fast=False)[1].backward()
    moved = {k for k, row in enumerate(model.shared.weight.grad) if row.any()}
    here, there = ({*ids.flatten().tolist()} - {0} for ids in (batch.captions, batch.ids))
    assert here - there  # words that stand in the captions alone, and learn nothing from it
    assert not moved & (here - there)
    assert moved & (there - here)


def test_the_decoder_misses_states_of_captions_alone_and_only_where_it_is_told(monkeypatch):
    model, reader = tiny()
    batch = reader.batch(sayings()[:8], [([5, 6, 7, 8, 9, 1], [7, 1])] * 4)
    seen = []
    forward = model.decoder.forward
    monkeypatch.setattr(
        model.decoder,
        "forward",
        lambda **given: seen.append(given["encoder_attention_mask"]) or forward(**given),
    )
    school_text.losses(model, batch, False)
    school_text.losses(model, batch, False, torch.Generator().manual_seed(0))
    whole, thin = (mask.bool() for mask in seen)
    assert torch.equal(whole, batch.ids != 0)
    assert torch.equal(thin[8:], whole[8:])
    assert thin[:, 0].all()
    kept = thin[:8].sum(1) / whole[:8].sum(1)
    assert 0 < (kept == 1).sum() < 8
    assert not (thin & ~whole).any()


def small_run(module, folder, monkeypatch, *flags: str) -> dict:
    monkeypatch.setattr(sys, "argv", [module.__name__, "--out", str(folder), *flags])
    module.main()
    assert TextEncoder(folder, "cpu").encode(["a crimson star"]).tokens.isfinite().all()
    return json.loads((folder / "training_log.json").read_text())


def test_a_short_schooling_leaves_an_encoder_and_its_seed_decides_it(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "read_xz", lambda path: ["a gloss of a word", "another one"] * 300)
    flags = ("--steps", "2", "--truths", "100")
    logs = [small_run(school_text, tmp_path / name, monkeypatch, *flags) for name in "ab"]
    assert logs[0]["train"] == logs[1]["train"]
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in "ab")
    assert first == second


def test_a_short_contrastive_schooling_leaves_an_encoder(tmp_path, monkeypatch):
    monkeypatch.setattr(school_contrastive, "BATCH", 4)
    flags = ("--steps", "2", "--tokenizer", str(FOLDER))
    assert len(small_run(school_contrastive, tmp_path / "c", monkeypatch, *flags)["train"]) == 2


def test_the_contrastive_loss_is_that_of_guessing_where_all_vectors_are_one():
    towers = school_contrastive.Towers(64)
    torch.nn.init.zeros_(towers.said.weight)
    ids = torch.randint(3, 60, (8, 5), generator=torch.Generator().manual_seed(0))
    loss, _ = school_contrastive.loss_of(towers, torch.zeros(8, 3, 32, 32), ids)
    assert loss.item() == pytest.approx(torch.tensor(8.0).log().item(), rel=1e-3)


# --- the probe ---


def bag(caption: str) -> list[str]:
    return sorted("a" if word == "an" else word for word in text.split(caption))


@pytest.mark.parametrize("make", [_probe.binding, _probe.relation])
def test_two_captions_of_a_group_have_the_same_words_and_other_answers(make):
    for first, second in _probe.asked(partial(make, "held-out"), 3, 200):
        assert bag(first.caption) == bag(second.caption)
        assert first.caption != second.caption
        assert first.noun == second.noun
        assert first.answer != second.answer


def test_a_rare_relation_is_said_in_text_only_words_alone():
    for first, second in _probe.asked(_probe.rare_relation, 3, 100):
        for one in (first, second):
            assert any(says(one.caption, word) for word in TEXT_ONLY["relation"])
        assert bag(first.caption) == bag(second.caption)


@pytest.mark.parametrize("kind", ["colour", "size", "noun"])
def test_a_word_that_is_asked_for_is_text_only_and_means_the_answer(kind):
    for (one,) in _probe.asked(partial(_probe.word, kind, "text-only"), 3, 100):
        meaning = _probe.ANSWERS[kind][one.answer]
        assert any(says(one.caption, rare) for rare in wordings.text_only(kind, meaning))


@pytest.mark.parametrize("kind", ["colour", "noun"])
def test_a_misspelt_word_is_one_that_the_schooling_never_read(kind):
    for (one,) in _probe.asked(partial(_probe.misspelt, kind), 3, 100):
        assert any(share("misspelt", word) < text.UNSEEN_SPELLINGS and word not in text.names()
                   for word in one.caption.split())  # fmt: skip
        assert not says(one.caption, _probe.ANSWERS[kind][one.answer])


def fitted_on(make, count: int) -> list:
    return _probe.asked(partial(make, "train"), 1, count)


def test_a_read_out_of_states_that_hold_the_answer_is_always_right():
    groups = fitted_on(_probe.binding, 300)
    held = {one.caption: one.answer for group in groups for one in group}

    def oracle(prompts):
        states = torch.eye(8)[[held[p] for p in prompts]][:, None].expand(-1, 3, -1)
        return _probe.Text(states, torch.ones(len(prompts), 3, dtype=torch.bool))

    found = _probe.verdicts(oracle, groups[:200], {"new": groups[200:]}, 8, 100)
    assert found["new"].all()


def test_a_bag_of_words_never_gets_both_captions_right():
    groups = fitted_on(_probe.binding, 300)
    vectors = Vectors(0, FOLDER)
    found = _probe.verdicts(vectors.encode, groups[:200], {"new": groups[200:]}, 8, 100)
    assert found["new"].double().mean() < 0.1


# --- the shipped encoder ---


def test_the_shipped_encoder_is_small_and_said_to_be_what_it_is():
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    assert size < 6_000_000
    config = json.loads((FOLDER / "config.json").read_text())
    assert config["architectures"] == ["T5EncoderModel"]
    assert encoder().width == 128


def known(kind: str, make, rows: dict, count: int = 1200) -> dict[str, float]:
    train = fitted_on(make, count)
    asked = {name: _probe.asked(make, 2, 200) for name, make in rows.items()}
    found = _probe.verdicts(encoder().encode, train, asked, len(_probe.ANSWERS[kind]), 300)
    return {name: right.double().mean().item() for name, right in found.items()}
