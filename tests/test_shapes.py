"""The small world of shapes: captions and facts agree, pages obey them, splits share nothing."""

import itertools
import random
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from minimagen.data.drawing import (
    COLOURS,
    GAP,
    HOLES,
    OUTLINES,
    SHAPES,
    SIZES,
    Facts,
    Mention,
    Placed,
    place,
    render,
)
from minimagen.data.language import (
    COUNTS,
    FRAMES,
    NOUNS,
    RELATIONS,
    SIZE_WORDS,
    TRIPLES,
    Wordings,
    add_distractors,
    is_content_word,
    parse,
    reordered,
)
from minimagen.data.shapes import KINDS, UNSEEN_PAIRS, Shapes

MANY = 3000


def caption(i: int, split: str = "train") -> str:
    """The caption of item i, without its picture."""
    return Shapes(split=split).caption(i)


PLACES = [(c, s) for c in COLOURS for s in SHAPES]


def wordings(table):
    """Every wording of a table, those of training and those held out."""
    return [wording for half in table for wording in half]


def noun(wording, mention, word=None):
    word = word or SIZE_WORDS[mention.size][0]
    text = wording.format(size=word, colour=mention.colour, shape=mention.shape)
    return re.sub(r"\ba (?=[aeio])", "an ", text)


def stated(wording, mention):
    """What of an object's facts a wording states."""
    return Mention(mention.shape, mention.colour, mention.size if "{size}" in wording else None)


def scene_of(split, i, **kwargs):
    facts, _, rng = Shapes(split=split, **kwargs)._item(i)
    return facts, place(facts, rng)


# ----------------------------------------------------------------------------------------- captions


def test_parse_reads_every_frame_noun_size_colour_and_shape():
    words = [(size, word) for size in SIZES for word in SIZE_WORDS[size]]
    rng = random.Random(0)
    for frame, wording in itertools.product(wordings(FRAMES), wordings(NOUNS)):
        places = (
            PLACES if frame == "{}" else rng.sample(PLACES, 8)
        )  # all of them in every noun, some in every frame
        for (colour, shape), (size, word) in itertools.product(places, words):
            mention = Mention(shape, colour, size)
            assert parse(frame.format(noun(wording, mention, word))) == Facts(
                (stated(wording, mention),)
            )


@pytest.mark.parametrize(
    ("table", "number"), [(RELATIONS, 2), (TRIPLES, 3)], ids=["pairs", "triples"]
)
def test_parse_reads_every_relation_in_the_order_of_the_facts(table, number):
    rng = random.Random(0)
    for relation, frame in itertools.product(table, wordings(FRAMES)):
        some = [rng.choices(wordings(NOUNS), k=number) for _ in range(50)]
        for wording, nouns in itertools.product(wordings(table[relation]), some):
            objects = [
                Mention(rng.choice(SHAPES), rng.choice(list(COLOURS)), rng.choice(list(SIZES)))
                for _ in nouns
            ]
            sentence = frame.format(wording.format(*map(noun, nouns, objects)))
            assert parse(sentence) == Facts(tuple(map(stated, nouns, objects)), relation), sentence


def test_parse_reads_every_count():
    for wording, (word, number), (colour, shape) in itertools.product(
        wordings(COUNTS), (("two", 2), ("three", 3)), PLACES
    ):
        for size, size_word in (
            (size, word) for size, words in SIZE_WORDS.items() for word in words
        ):
            sentence = wording.format(
                count=word, size=size_word, colour=colour, shape=shape
            ).replace("crosss", "crosses")
            assert parse(sentence) == Facts(
                (stated(wording, Mention(shape, colour, size)),) * number
            ), sentence


def test_parse_understands_what_the_wordings_never_say():
    assert parse("Red Circle") == Facts((Mention("circle", "red"),))
    assert parse("star") == Facts((Mention("star"),))
    assert parse("a heart, tiny and a red ring on top of a square").objects[0] == Mention("heart")
    assert parse("a ring on top of a blue square") == Facts(
        (Mention("ring"), Mention("square", "blue")), "above"
    )
    assert parse("a blue square underneath a ring") == Facts(
        (Mention("ring"), Mention("square", "blue")), "above"
    )
    for words in ("next to", "beside", "near", "as well as"):
        assert parse(f"a red ring {words} a star") == Facts(
            (Mention("ring", "red"), Mention("star"))
        ), words


@pytest.mark.parametrize("sentence", ["", "a red apple", "circular", "the rest"])
def test_a_caption_without_a_shape_is_refused(sentence):
    with pytest.raises(ValueError, match="caption must name one of circle, square"):
        parse(sentence)


# ------------------------------------------------------------------------------------------- splits


@pytest.mark.parametrize("split", ["train", "held-out"])
def test_no_caption_of_training_or_held_out_wordings_has_an_unseen_pair(split):
    pairs = {(o.colour, o.shape) for i in range(MANY) for o in parse(caption(i, split)).objects}
    assert not pairs & UNSEEN_PAIRS
    assert len(pairs) == 64 - len(UNSEEN_PAIRS)


def test_every_unseen_caption_has_an_unseen_pair():
    unseen = [
        {(o.colour, o.shape) for o in parse(caption(i, "unseen")).objects} & UNSEEN_PAIRS
        for i in range(MANY)
    ]
    assert all(len(pairs) == 1 for pairs in unseen)
    assert set().union(*unseen) == UNSEEN_PAIRS


def test_a_tenth_of_the_pairs_is_unseen():
    assert 0.1 <= len(UNSEEN_PAIRS) / len(PLACES) < 0.12
    assert set(PLACES) >= UNSEEN_PAIRS


def pattern(sentence):
    """A caption with what it names taken out: its wording."""
    words = "|".join(
        sorted(
            [*COLOURS, *itertools.chain(*SIZE_WORDS.values()), "two", "three"],
            key=len,
            reverse=True,
        )
    )
    shapes = "|".join(f"{s}e?s?" for s in SHAPES)
    return re.sub(
        r"\b(an?|one) ",
        "a ",
        re.sub(rf"\b(?:{shapes})\b", "S", re.sub(rf"\b(?:{words})\b", "W", sentence)),
    )


def test_no_training_caption_has_a_held_out_wording():
    train = {pattern(caption(i)) for i in range(MANY)}
    held_out = {pattern(caption(i, "held-out")) for i in range(MANY)}
    assert not train & held_out
    assert train & {
        pattern(caption(i, "unseen")) for i in range(MANY)
    }  # unseen pairs come in the wordings of training


HELD_OUT = (
    *(
        r"^an illustration showing",
        "^could you sketch",
        "against a blank",
        "^I want to see",
        "^the child has",
        "^my new logo",
    ),
    *(
        r" of \S+ size\b(?! in)",
        "whose colour is",
        r" size in \S+",
        "on the left side of",
        "beneath",
        "together with",
    ),
    *("left to right: ", "top to bottom: ", "^exactly"),
)


def test_every_held_out_caption_has_one_of_the_held_out_wordings_and_each_is_used():
    for i in range(MANY):
        assert any(re.search(mark, caption(i, "held-out")) for mark in HELD_OUT), caption(
            i, "held-out"
        )
        assert not any(re.search(mark, caption(i)) for mark in HELD_OUT), caption(i)
    sentences = [caption(i, "held-out") for i in range(MANY)]
    assert all(any(re.search(mark, sentence) for sentence in sentences) for mark in HELD_OUT)


@pytest.mark.parametrize("table", [FRAMES, NOUNS, *RELATIONS.values(), *TRIPLES.values(), COUNTS])
def test_training_and_held_out_wordings_share_nothing(table):
    assert not set(table[0]) & set(table[1])
    assert len(table[1]) / len(set(wordings(table))) >= 0.1


def test_captions_are_made_of_the_wordings_that_a_data_set_is_built_with():
    own = Wordings(
        frames=(("first {}",), ("{} on the moon",)),
        nouns=(("a {colour} {shape}",), ("that {colour} {shape}",)),
        relations=dict.fromkeys(RELATIONS, (("{0} and {1}",), ("{0} with {1}",))),
        triples=dict.fromkeys(TRIPLES, (("{0}, {1} and {2}",), ("{0}, {1} with {2}",))),
    )
    for split, held_out in (("train", 0), ("held-out", 1)):
        data = Shapes(32, split, {"single": 1.0, "pair": 1.0, "triple": 1.0}, wordings=own)
        for i in range(200):
            sentence = data.caption(i)
            new = [mark for mark in (" on the moon", "that ", " with ") if mark in sentence]
            assert len(new) == held_out, sentence
            assert sentence.startswith("first ") != (" on the moon" in new), sentence


# -------------------------------------------------------------------------------------------- items


def test_an_item_is_determined_by_its_index_alone():
    forwards, backwards = Shapes(32), Shapes(32)
    a = [forwards[i] for i in range(20)]
    b = [backwards[i] for i in reversed(range(20))][::-1]
    assert all(torch.equal(x, y) and c == d for (x, c), (y, d) in zip(a, b, strict=True))
    assert (
        [c for _, c in a]
        == [forwards.caption(i) for i in range(20)]
        == [caption(i) for i in range(20)]
    )
    assert len({c for _, c in a}) > 15


def test_captions_do_not_depend_on_the_platform_or_the_release():
    """A text encoder was trained on these: other captions would need another one."""
    assert caption(3) == "please draw a huge star painted blue"
    assert caption(1) == "one medium purple diamond drawn on paper"
    assert (
        caption(0, "held-out") == "here is a huge ring painted pink together with a pink big circle"
    )
    assert caption(0, "unseen") == "a drawing of one purple square"


def test_distractors_leave_pictures_and_half_of_the_captions_as_they_are():
    plain, distracted = Shapes(32), Shapes(32, distractors=["kettle", "uncle"])
    same = sum(plain.caption(i) == distracted.caption(i) for i in range(MANY))
    assert 0.5 < same / MANY < 0.55  # hardly one of the other half escapes
    for i in range(20):
        assert torch.equal(plain[i][0], distracted[i][0])


@pytest.mark.parametrize("kind", KINDS)
def test_another_order_says_the_same(kind):
    shapes = Shapes(kinds={kind: 1.0})
    changed = 0
    for i in range(300):
        before = shapes.caption(i)
        after = reordered(before, random.Random(i))
        assert parse(after) == parse(before)
        assert sorted(re.findall(r"[a-z-]+", after)) == sorted(re.findall(r"[a-z-]+", before))
        changed += after != before
    assert changed > 150


def test_every_order_of_an_objects_words_comes():
    orders = {reordered("a big red star above one tiny ring", random.Random(i)) for i in range(200)}
    said = [
        "big red star",
        "big star red",
        "red big star",
        "red star big",
        "star big red",
        "star red big",
    ]
    assert orders == {
        f"a {first} above one {second}" for first in said for second in ("tiny ring", "ring tiny")
    }


def test_distractors_take_no_place_of_a_content_word():
    """All that tells something stays beside its object; the rest may give way, the words between
    two shapes too.
    """
    plain, distracted = Shapes(32), Shapes(32, distractors=["kettle"])
    content = lambda caption: [
        word for word in re.findall(r"[a-z-]+", caption.lower()) if is_content_word(word)
    ]
    gone = 0
    for i in range(MANY):
        before, after = plain.caption(i), distracted.caption(i)
        assert sorted(content(before)) == sorted(content(after))
        gone += " and " in before and " and " not in after
    assert gone > 0


def test_how_often_distractors_are_added_and_words_give_way():
    """share x often of the gaps (one more than words) and share x 2 often of the words that tell
    nothing.
    """
    words = "there is a cat or some dog"  # nothing telling
    changed = [add_distractors(words, ["kettle"], random.Random(i)).split() for i in range(4000)]
    new, kept = (
        sum(part.count("kettle") for part in changed),
        sum(len(part) - part.count("kettle") for part in changed),
    )
    lost = 7 * 4000 - kept
    assert abs(lost / (7 * 4000) - 0.5 * 0.3) < 0.01
    assert abs((new - lost) / (8 * 4000) - 0.5 * 0.15) < 0.01


def test_distractors_come_in_every_gap():
    shapes = Shapes(32, kinds={"count": 1.0}, distractors=["kettle"])
    places = {
        caption.split().index("kettle") - len(caption.split())
        for caption in map(shapes.caption, range(500))
        if "kettle" in caption
    }
    assert places >= {-1, -2, -3, -4}


def test_words_that_tell_something_are_known():
    assert all(
        map(
            is_content_word,
            ["star", "stars", "crosses", "red", "tiny", "medium-sized", "two", "left", "beneath"],
        )
    )
    assert not any(map(is_content_word, ["kettle", "starry", "bored", "with", "nothing"]))


def test_items_end_where_the_length_says():
    data = Shapes(16, length=3)
    assert len(data) == 3
    for i in (3, -1):
        with pytest.raises(IndexError):
            data[i]


@pytest.mark.parametrize(
    ("kind", "numbers"), [("single", {1}), ("pair", {2}), ("count", {2, 3}), ("triple", {3})]
)
def test_each_kind_has_its_number_of_objects(kind, numbers):
    data = Shapes(kinds={kind: 1.0})
    facts = [parse(data.caption(i)) for i in range(200)]
    assert {len(fact.objects) for fact in facts} == numbers
    assert all((len(set(fact.objects)) == 1) == (kind in ("single", "count")) for fact in facts)


@pytest.mark.parametrize("split", ["test", "", None])
def test_another_split_is_refused(split):
    with pytest.raises(ValueError, match="split must be train, held-out or unseen, got"):
        Shapes(split=split)


@pytest.mark.parametrize("kinds", [{}, {"quartet": 1.0}, {"single": 0.5, "quartet": 0.5}])
def test_another_kind_is_refused(kinds):
    with pytest.raises(ValueError, match="kinds must be among single, pair, count, triple, got"):
        Shapes(kinds=kinds)


# ------------------------------------------------------------------------------------------- places


@pytest.mark.parametrize("split", ["train", "held-out", "unseen"])
def test_every_item_finds_its_place_and_obeys_its_facts(split):
    for i in range(1000):
        facts, scene = scene_of(split, i)
        for mention, o in zip(facts.objects, scene, strict=True):
            assert mention.shape == o.shape
            assert mention.colour in (None, o.colour)
            low, high = (
                SIZES[mention.size] if mention.size else (SIZES["small"][0], SIZES["large"][1])
            )
            assert low <= o.r <= high
            assert any(a <= o.r <= b for a, b in SIZES.values())


@pytest.mark.parametrize("split", ["train", "held-out", "unseen"])
def test_no_two_objects_touch_and_none_leaves_the_page(split):
    for i in range(1000):
        _, scene = scene_of(split, i)
        for o in scene:
            assert min(o.x, o.y, 1 - o.x, 1 - o.y) >= o.r + GAP - 1e-12
        for a, b in itertools.combinations(scene, 2):
            assert max(abs(a.x - b.x), abs(a.y - b.y)) >= a.r + b.r + GAP - 1e-12


def test_the_relation_holds_between_neighbours():
    seen = set()
    for i in range(MANY):
        facts, scene = scene_of("train", i, kinds={"pair": 0.5, "triple": 0.5})
        seen.add(facts.relation)
        for a, b in itertools.pairwise(scene):
            dx, dy = b.x - a.x, b.y - a.y
            if facts.relation == "left of":
                assert dx > abs(dy)
            elif facts.relation == "above":
                assert dy > abs(dx)
    assert seen == {"left of", "above", None}


def test_three_large_objects_find_a_place():
    """They fit in the quarters of the page alone: 15 of 5,000 training captions ask for them."""
    for seed in range(50):
        scene = place(parse("three large red rings"), random.Random(seed))
        assert len({(o.x > 0.5, o.y > 0.5) for o in scene}) == 3
        for a, b in itertools.combinations(scene, 2):
            assert max(abs(a.x - b.x), abs(a.y - b.y)) >= a.r + b.r + GAP - 1e-12
        assert all(
            GAP + o.r <= min(o.x, o.y) + 1e-12 and max(o.x, o.y) <= 1 - o.r - GAP + 1e-12
            for o in scene
        )


@pytest.mark.parametrize(
    "facts",
    [
        Facts((Mention("circle", "red", "large"),) * 3, "left of"),
        Facts((Mention("star", None, "large"),) * 5),
        Facts((Mention("star", None, "small"),) * 6, "above"),
    ],
)
def test_facts_that_fit_on_no_page_are_refused(facts):
    with pytest.raises(ValueError, match="facts: these objects do not fit on one page"):
        place(facts, random.Random(0))


# -------------------------------------------------------------------------------------------- pages


@pytest.mark.parametrize("shape", SHAPES)
def test_outlines_are_centred_with_half_extent_one(shape):
    low, high = OUTLINES[shape].min(0), OUTLINES[shape].max(0)
    assert abs(low + high).max() < 1e-9
    assert (high - low).max() == pytest.approx(2)


@pytest.mark.parametrize(
    ("shape", "area"), [("square", 4.0), ("diamond", 1.4), ("cross", 4 * 0.34 * (2 - 0.34))]
)
@pytest.mark.parametrize("size", [64, 256, 1024])
def test_a_rendered_shape_has_the_area_of_its_outline(shape, area, size):
    page = render([Placed(shape, "black", 0.52, 0.47, 0.2)], size)
    covered = ((255 - page[0].double()) / 230).sum().item() / size**2
    # Every fine pixel that the outline touches is inked: half a fine pixel all round.
    finer = size * (4 if size <= 512 else 2)
    assert 0 <= covered - area * 0.04 <= 1.2 * 16 * 0.2 / 2 / finer


@pytest.mark.parametrize("size", [64, 256, 1024])
@pytest.mark.parametrize("shape", ["circle", "ring", "square", "diamond", "cross"])
def test_a_rendered_shape_is_where_the_scene_says(shape, size):
    """Over many positions the centre of mass of a symmetric shape has no bias: the stages see the
    same page.
    """
    rng, errors = random.Random(0), []
    for _ in range(24):
        x, y = rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.6)
        ink = 255 - render([Placed(shape, "black", x, y, 0.2)], size)[0].double()
        at = (torch.arange(size, dtype=torch.float64) + 0.5) / size
        errors.append(
            [
                ((ink * at).sum() / ink.sum()).item() - x,
                ((ink * at[:, None]).sum() / ink.sum()).item() - y,
            ]
        )
    assert torch.tensor(errors).mean(0).abs().max() * size < 0.05


def test_a_page_at_64_is_the_page_at_256_downsampled():
    differences = []
    for i in range(100):
        _, scene = scene_of("train", i)
        small, large = render(scene, 64).float(), F.avg_pool2d(render(scene, 256).float(), 4)
        differences.append((small - large).abs())
        assert ((small < 250) == (large < 250)).float().mean() > 0.97
    assert torch.stack(differences).mean() < 1.0  # of 255 levels
    assert (
        torch.stack(differences).max() < 110
    )  # on a border pixel, less than half of the way from white to black


@given(st.integers(0, 10**6), st.integers(0, 48), st.integers(0, 48))
def test_a_window_is_that_part_of_the_page(i, top, left):
    _, scene = scene_of("train", i % 1000)
    window = render(scene, 64, (top, left, 16))
    assert torch.equal(window, render(scene, 64)[:, top : top + 16, left : left + 16])


@pytest.mark.parametrize("colour", COLOURS)
def test_a_page_is_white_and_an_object_has_the_colour_of_its_name(colour):
    page = render([Placed("square", colour, 0.5, 0.5, 0.2)], 64)
    assert page.dtype == torch.uint8
    assert page[:, 32, 32].tolist() == list(COLOURS[colour])
    assert page[:, 0].eq(255).all()
    assert render([], 16).eq(255).all()


def test_a_ring_has_a_white_hole():
    assert set(HOLES) == {"ring"}
    page = render([Placed("ring", "blue", 0.5, 0.5, 0.2)], 64)
    assert page[:, 32, 32].tolist() == [255, 255, 255]
    assert page[:, 32, 32 + 10].tolist() == list(COLOURS["blue"])


def test_the_world_is_as_large_as_it_says():
    assert len(SHAPES) == 8
    assert len(COLOURS) == 8
    assert len(SIZES) == 3
    assert sum(KINDS.values()) == pytest.approx(1)
