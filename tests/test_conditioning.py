"""Lesson 10: what a network is told."""

import pytest
import torch

from minimagen.conditioning import Cond, LowRes, Text, stack


def text(batch=3, length=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    return Text(
        torch.randn(batch, length, 2, generator=g), torch.rand(batch, length, generator=g) < 0.7
    )


def lowres(batch=3):
    return LowRes(torch.arange(batch * 3.0).reshape(batch, 3, 1, 1), torch.arange(float(batch)))


@pytest.mark.parametrize(
    ("tokens", "mask"),
    [((3, 4), (3, 4)), ((3, 4, 2), (3, 5)), ((3, 4, 2), (3,))],
)
def test_text_of_the_wrong_shape_is_refused(tokens, mask):
    with pytest.raises(
        ValueError, match=r"Text: tokens must be \(B, L, D\) and mask \(B, L\) bool"
    ):
        Text(torch.zeros(tokens), torch.ones(mask, dtype=torch.bool))


def test_a_mask_that_is_not_bool_is_refused():
    with pytest.raises(ValueError, match="torch.float32"):
        Text(torch.zeros(3, 4, 2), torch.ones(3, 4))


@pytest.mark.parametrize("rows", [slice(1, 3), torch.tensor([2, 0])])
def test_rows_are_taken_from_every_part(rows):
    whole = Cond(text(), lowres())
    part = whole[rows]
    assert len(whole) == 3
    assert len(part) == 2
    for got, wanted in [
        (part.text.tokens, whole.text.tokens),
        (part.text.mask, whole.text.mask),
        (part.lowres.image, whole.lowres.image),
        (part.lowres.logsnr, whole.lowres.logsnr),
    ]:
        assert torch.equal(got, wanted[rows])
    assert Cond(text())[:1].lowres is None
    assert len(Cond(lowres=lowres(2))) == 2


def test_moving_changes_the_numbers_and_leaves_the_mask_bool():
    moved = Cond(text(), lowres()).to(torch.float64)
    assert moved.text.tokens.dtype == moved.lowres.image.dtype == torch.float64
    assert moved.text.mask.dtype == torch.bool
    assert Cond(text()).to("meta").text.mask.is_meta


def test_padding_is_masked():
    longer = text().padded(6)
    assert longer.tokens.shape == (3, 6, 2)
    assert not longer.mask[:, 4:].any()
    assert torch.equal(longer.mask[:, :4], text().mask)
    assert torch.equal(longer.tokens[:, :4], text().tokens)


def test_text_is_dropped_where_asked_and_nothing_else_changes():
    cond = Cond(text(), lowres())
    some = cond.without_text(torch.tensor([True, False, True]))
    assert not some.text.mask[[0, 2]].any()
    assert torch.equal(some.text.mask[1], cond.text.mask[1])
    assert not cond.without_text().text.mask.any()
    assert cond.text.mask.any()
    assert some.lowres is cond.lowres
    assert torch.equal(some.text.tokens, cond.text.tokens)
    without = Cond(lowres=lowres())
    assert without.without_text() is without


def test_a_stack_is_the_first_rows_then_the_second_at_the_longer_length():
    one, two = Cond(text(length=3), lowres()), Cond(text(length=5, seed=1), lowres())
    both = stack(one, two)
    assert len(both) == 6
    assert both.text.tokens.shape == (6, 5, 2)
    assert torch.equal(both[3:].text.tokens, two.text.tokens)
    assert torch.equal(both[3:].text.mask, two.text.mask)
    assert torch.equal(both[:3].text.tokens[:, :3], one.text.tokens)
    assert not both[:3].text.mask[:, 3:].any()
    assert torch.equal(both.lowres.logsnr, torch.tensor([0.0, 1.0, 2.0, 0.0, 1.0, 2.0]))


@pytest.mark.parametrize(
    ("one", "two"), [(Cond(text()), Cond(lowres=lowres())), (Cond(text(), lowres()), Cond(text()))]
)
def test_conditions_of_different_kinds_do_not_stack(one, two):
    with pytest.raises(ValueError, match="stack: both conditions must have"):
        stack(one, two)
