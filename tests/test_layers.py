"""Lesson 05: the blocks that both U-Nets are built of."""

import math

import pytest
import torch
from torch import nn

from minimagen.conditioned import Prepared
from minimagen.conditioning import LowRes, Text
from minimagen.layers import (
    Attention,
    Embedding,
    Resample,
    ResBlock,
    TextReader,
    attend,
    fourier,
    norm,
    positions,
    zeroed,
)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def randomised(module, seed=1):
    """Every parameter drawn anew, so that the layers that begin at zero can be seen through."""
    g = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.copy_(0.3 * torch.randn(parameter.shape, generator=g))
    return module


def sentence(batch=3, length=5, width=16, seed=0):
    """Texts of 5, 3, 1, ... tokens."""
    lengths = torch.tensor([max(1, length - 2 * i) for i in range(batch)])
    return Text(drawn(batch, length, width, seed=seed), torch.arange(length) < lengths[:, None])


# waves


def test_fourier_is_sines_and_cosines_of_the_level():
    code = fourier(torch.tensor([0.0, 2.0]), 4)
    slow, fast = 0.08, 10.0
    wanted = [
        [0, 0, 1, 1],
        [math.sin(2 * slow), math.sin(2 * fast), math.cos(2 * slow), math.cos(2 * fast)],
    ]
    torch.testing.assert_close(code, torch.tensor(wanted))


def test_fourier_tells_any_two_levels_apart():
    """801 levels from -20 to 20, a twentieth of a nat apart: no two codes are near each other."""
    levels = torch.linspace(-20, 20, 801)
    distance = torch.cdist(fourier(levels, 32), fourier(levels, 32)) + 9 * torch.eye(801)
    assert distance.min() > 0.3


def test_positions_are_the_same_page_at_any_resolution():
    """Every third centre of a grid three times as fine is a centre of the coarse grid."""
    like = torch.zeros(1)
    fine, coarse = positions(12, 24, 16, like), positions(4, 8, 16, like)
    torch.testing.assert_close(fine[:, 1::3, 1::3], coarse, rtol=0, atol=1e-4)


def test_half_of_the_positions_follow_y_and_half_follow_x():
    code = positions(4, 6, 16, torch.zeros(1))
    assert code.shape == (16, 4, 6)
    assert torch.equal(code[:8], code[:8, :, :1].expand(-1, -1, 6))
    assert torch.equal(code[8:], code[8:, :1].expand(-1, 4, -1))
    places = code.flatten(1).T
    assert (torch.cdist(places, places) + 9 * torch.eye(24)).min() > 0.3


def test_an_embedding_reads_its_waves():
    embed = randomised(Embedding(8, 6))
    level = torch.tensor([-3.0, 4.0])
    first, _, second = embed.mlp
    torch.testing.assert_close(embed(level), second(nn.functional.silu(first(fourier(level, 8)))))


# small pieces


def test_zeroed_gives_nothing():
    layer = zeroed(nn.Conv2d(3, 4, 3))
    assert torch.equal(layer(drawn(2, 3, 8, 8)), torch.zeros(2, 4, 6, 6))
    assert all(parameter.requires_grad for parameter in layer.parameters())


@pytest.mark.parametrize(("channels", "groups"), [(32, 32), (96, 32), (48, 16), (8, 8), (6, 2)])
def test_norm_has_32_groups_or_the_power_of_two_that_divides(channels, groups):
    assert norm(channels).num_groups == groups
    out = norm(channels)(5 + 3 * drawn(2, channels, 16, 16))
    parts = out.unflatten(1, (groups, -1)).flatten(2)
    torch.testing.assert_close(parts.mean(2), torch.zeros(2, groups), rtol=0, atol=1e-5)
    torch.testing.assert_close(parts.var(2, correction=0), torch.ones(2, groups), rtol=0, atol=1e-4)


def test_a_group_of_one_channel_forgets_what_colour_a_flat_page_has():
    red, blue = (drawn(1, 8, 1, 1, seed=seed).expand(1, 8, 4, 4) for seed in (1, 2))
    torch.testing.assert_close(
        norm(8)(red), norm(8)(blue), rtol=0, atol=1e-3
    )  # eight groups: both are nothing
    assert (norm(8, 2)(red) - norm(8, 2)(blue)).abs().max() > 0.5
    assert norm(8, 2).num_groups == 2


def test_resample_takes_the_mean_of_four_pixels_or_repeats_one():
    x = torch.tensor([[[[0.0, 2.0], [4.0, 6.0]]]])
    assert Resample(0.5)(x).tolist() == [[[[3.0]]]]
    assert Resample(2)(x)[0, 0, :2].tolist() == [[0.0, 0.0, 2.0, 2.0]] * 2
    assert torch.equal(Resample(0.5)(Resample(2)(x)), x)
    assert Resample(1)(x) is x


# residual blocks


@pytest.mark.parametrize("factor", [0.5, 1, 2])
def test_a_residual_block_begins_as_its_resampling(factor):
    x, emb = drawn(2, 8, 4, 4), drawn(2, 12)
    assert torch.equal(ResBlock(8, 8, 12, factor)(x, emb), Resample(factor)(x))


def test_a_residual_block_is_its_formula():
    block, x, emb = randomised(ResBlock(8, 16, 12)), drawn(2, 8, 4, 4), drawn(2, 12, seed=3)
    silu = nn.functional.silu
    modulation = block.modulate(silu(emb))[..., None, None]
    scale, shift = modulation[:, :16], modulation[:, 16:]
    h = block.norm2(block.conv1(silu(block.norm1(x))))
    wanted = block.skip(x) + block.conv2(silu(scale * h + h + shift))
    torch.testing.assert_close(block(x, emb), wanted)
    assert (block(x, emb) - block(x, -emb)).abs().max() > 0.1


# attention


def test_attention_begins_as_the_identity():
    x, text = drawn(2, 8, 3, 3), sentence(2)
    for kind in ("self", "cross"):
        block = Attention(8, 16, 4, kind)
        assert torch.equal(block(x, block.read(text.tokens), text.mask), x)


@pytest.mark.parametrize("kind", ["self", "cross"])
def test_attention_is_its_formula_head_by_head(kind):
    """One query at a time, in plain loops: softmax over the pixels (self) and the words that are
    there.
    """
    block = randomised(Attention(8, 16, 4, kind, placed=False))
    x, text = drawn(2, 8, 2, 3), sentence(2)
    with torch.no_grad():
        h = block.norm(x)
        q = block.query(h).flatten(2)
        out = torch.zeros_like(q)
        for b in range(2):
            words = block.text_key_value(text.tokens[b][text.mask[b]])
            k, v = words[:, :8], words[:, 8:]
            if kind == "self":
                pixels = block.key_value(h)[b].flatten(1).T
                k, v = torch.cat([pixels[:, :8], k]), torch.cat([pixels[:, 8:], v])
            for head in (slice(0, 4), slice(4, 8)):
                for place in range(6):
                    weights = (k[:, head] @ q[b, head, place] / math.sqrt(4)).softmax(0)
                    out[b, head, place] = weights @ v[:, head]
        wanted = x + block.project(out.unflatten(2, (2, 3)))
        torch.testing.assert_close(block(x, block.read(text.tokens), text.mask), wanted)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("dtype", "training", "tolerance"),
    [
        (torch.float64, True, 1e-12),
        (torch.float32, True, 1e-5),
        (torch.bfloat16, False, 0.02),
        (torch.bfloat16, True, 0.02),  # the one case that does not go through the fused kernel
    ],
)
def test_attend_is_its_formula_and_so_are_its_gradients(dtype, training, tolerance, masked):
    q, k, v = (drawn(2, 3, n, 8, seed=n).to(dtype).requires_grad_(training) for n in (5, 7, 7))
    v = v.transpose(1, 2).contiguous().transpose(1, 2)  # as keys and values of text lie
    visible = torch.rand(2, 1, 1, 7, generator=torch.Generator().manual_seed(3)) > 0.4
    visible[..., 0] = True
    truth = [part.detach().double().requires_grad_() for part in (q, k, v)]
    scores = torch.einsum("bhnd,bhmd->bhnm", *truth[:2]) / math.sqrt(8)
    shares = (scores.masked_fill(~visible, -torch.inf) if masked else scores).softmax(-1)
    expected = torch.einsum("bhnm,bhmd->bhnd", shares, truth[2])
    out = attend(q, k, v, visible if masked else None)
    assert out.dtype == dtype
    assert torch.allclose(out.double(), expected, atol=tolerance)
    if training:
        towards = drawn(*out.shape, seed=9)
        found = torch.autograd.grad(out, (q, k, v), towards.to(dtype))
        wanted = torch.autograd.grad(expected, truth, towards.double())
        for mine, right in zip(found, wanted, strict=True):
            assert torch.allclose(mine.double(), right, atol=3 * tolerance)


def test_positions_let_attention_tell_a_permutation_apart():
    """Without positions a mirrored picture gives the mirrored result: nothing knows where it is."""
    x, moved = drawn(2, 8, 4, 4), {}
    for placed in (True, False):
        block = randomised(Attention(8, None, 4, "self", placed=placed))
        with torch.no_grad():
            moved[placed] = (
                (block(x.flip(3), None, None) - block(x, None, None).flip(3)).abs().max()
            )
    assert moved[True] > 0.05
    assert moved[False] < 1e-5


def test_text_that_was_read_in_another_precision_is_looked_at_in_the_picture_s():
    x, text = drawn(2, 8, 2, 3), sentence(2)
    for kind in ("self", "cross"):
        block = randomised(Attention(8, 16, 4, kind))
        words = block.read(text.tokens)
        halved = tuple(part.bfloat16() for part in words)
        with torch.no_grad():
            out = block(x, halved, text.mask)
            assert out.dtype == torch.float32
            torch.testing.assert_close(out, block(x, words, text.mask), rtol=0.05, atol=0.05)


def test_cross_attention_reads_the_text_only():
    """Change one pixel: with "cross" no other pixel notices, with "self" they do. (The norm is
    taken out, it mixes pixels.)
    """
    text, x = sentence(2), drawn(2, 8, 3, 3)
    other = x.clone()
    other[:, :, 0, 0] += 1
    moved = {}
    for kind in ("self", "cross"):
        block = randomised(Attention(8, 16, 4, kind))
        block.norm = nn.Identity()
        with torch.no_grad():
            words = block.read(text.tokens)
            moved[kind] = (
                (block(other, words, text.mask) - block(x, words, text.mask))
                .flatten(2)[:, :, 1:]
                .abs()
                .max()
            )
            assert (
                block(x, block.read(text.tokens + 1), text.mask) - block(x, words, text.mask)
            ).abs().max() > 0.01
    assert moved["cross"] == 0
    assert moved["self"] > 0.01


def test_attention_refuses_what_it_cannot_be():
    with pytest.raises(ValueError, match="attention must be 'self', 'cross' .* got 'both'"):
        Attention(8, 16, 4, "both")
    with pytest.raises(ValueError, match=r"attention must be .* got 'cross'"):
        Attention(8, None, 4, "cross")
    with pytest.raises(
        ValueError, match="head_width must divide the 8 channels of a level with attention, got 3"
    ):
        Attention(8, 16, 3, "self")


# text


def test_the_pooled_text_is_the_mean_of_what_is_visible_when_every_score_is_the_same():
    reader, text = randomised(TextReader(16, 6)), sentence()
    with torch.no_grad():
        zeroed(reader.score)
        tokens, mask, pooled = reader(text)
        normal = nn.functional.layer_norm(text.tokens, (16,), reader.norm.weight, reader.norm.bias)
        for i, count in enumerate((5, 3, 1)):
            visible = torch.cat([reader.null[None], normal[i, :count]])
            torch.testing.assert_close(pooled[i], reader.mlp(visible.mean(0)))
    assert torch.equal(mask, torch.cat([torch.ones(3, 1, dtype=torch.bool), text.mask], 1))
    assert torch.equal(tokens[:, 0], reader.null.expand(3, -1))


def test_text_without_a_word_is_the_null_token_alone():
    reader = randomised(TextReader(16, 6))
    empty = Text(torch.zeros(2, 0, 16), torch.zeros(2, 0, dtype=torch.bool))
    tokens, mask, pooled = reader(empty)
    assert tokens.shape == (2, 1, 16)
    assert mask.all()
    torch.testing.assert_close(pooled, reader.mlp(reader.null).expand(2, -1))


def test_the_scores_decide_what_is_pooled():
    reader, text = randomised(TextReader(16, 6)), sentence()
    with torch.no_grad():
        before = reader(text)[2]
        reader.score.weight.neg_()
        assert (reader(text)[2] - before).abs().max() > 0.01


# prepared


def test_slicing_what_is_prepared_slices_every_part():
    keys = drawn(4, 2, 3, 5), drawn(4, 2, 3, 5, seed=1)
    whole = Prepared(
        drawn(4, 6),
        {"down.0.1": keys},
        torch.ones(4, 3, dtype=torch.bool),
        LowRes(drawn(4, 3, 2, 2), drawn(4)),
    )
    part = whole[1:3]
    assert torch.equal(part.emb, whole.emb[1:3])
    assert all(torch.equal(a, b[1:3]) for a, b in zip(part.text["down.0.1"], keys, strict=True))
    assert part.mask.shape == (2, 3)
    assert torch.equal(part.lowres.image, whole.lowres.image[1:3])
    nothing = Prepared(None, {}, None, None)
    assert nothing[1:3] == nothing


def test_a_word_of_no_caption_is_no_louder_than_the_others():
    reader = TextReader(16, 8, neighbours=1)
    known = torch.randn(1, 6, 16)
    reader.init_whitening(
        Text(
            known.repeat(8, 1, 1) + 0.01 * torch.randn(8, 6, 16), torch.ones(8, 6, dtype=torch.bool)
        )
    )
    strange = torch.cat([known, 40 * torch.randn(1, 1, 16)], 1)
    assert (
        reader.whiten(reader.norm(strange)).norm(dim=2).max() > 10
    )  # this is what would drown the others
    tokens, _, _ = reader(Text(strange, torch.ones(1, 7, dtype=torch.bool)))
    assert tokens[:, 1:].norm(dim=2).max() <= 1.25 * 4 + 1e-4


def test_whitening_makes_every_direction_equally_loud():
    reader = TextReader(16, 8, neighbours=1)
    loud = torch.randn(1, 1, 16) * 5 + torch.randn(64, 9, 16) * torch.logspace(0, -1, 16)
    reader.init_whitening(Text(loud, torch.ones(64, 9, dtype=torch.bool)))
    white = reader.whiten(reader.norm(loud)).flatten(0, 1)
    assert white.mean(0).abs().max() < 1e-3
    spread = torch.linalg.eigvalsh(white.double().T.cov())[
        1:
    ]  # LayerNorm leaves one direction empty
    assert 0.5 < spread.min() <= spread.max() < 1.01
