"""The exercises of lesson 10: the text encoder."""

import math

import torch
from torch import Tensor

from minimagen.lessons.checks import exercise, same
from minimagen.lessons.checks.inputs import normal


@exercise("10.1", points=3, minutes=10)
def ex_10_1(attend) -> None:
    """attend(q, k, v) -> (N, e): N pixels look at L words,
    eq. 10.1 with the logits of 10.2; q (N, d), k (L, d), v (L, e).
    """
    q, k, v = normal(4, 9, seed=101), normal(4, 9, seed=102), normal(4, 3, seed=103)
    scores = q @ k.T
    faults = {
        "the logits are not divided by the root of d (eq. 10.2)": scores.softmax(1) @ v,
        "this divides by d; the deviation of a logit is its root (eq. 10.2)": (scores / 9).softmax(
            1
        )
        @ v,
        "the weights of a word add up to 1 here; those of a pixel should": (scores / 3).softmax(0)
        @ v,
        "the weights do not add up to 1: divide by their sum": (scores / 3).exp() @ v,
        "queries and keys have exchanged their places": (scores / 3).T.softmax(1) @ v,
        "this takes the value of the best word alone; mix them all": v[scores.argmax(1)],
        "the exponential is missing: a weight is exp(logit) over the sum": scores
        / scores.sum(1, keepdim=True)
        @ v,
        "the width under the root is that of the keys, not that of the values": (
            scores / math.sqrt(3)
        ).softmax(1)
        @ v,
    }
    same(attend(q, k, v), (scores / 3).softmax(1) @ v, faults, what="what the pixels read")
    q, k, v = normal(5, 2, seed=104), normal(3, 2, seed=105), normal(3, 4, seed=106)
    same(
        attend(q, k, v),
        (q @ k.T / math.sqrt(2)).softmax(1) @ v,
        what="what 5 pixels read in 3 words",
    )


@exercise("10.2", points=2, minutes=8)
def ex_10_2(weights) -> None:
    """weights(scores, mask) -> like scores: equation 10.3 for a batch;
    scores (B, heads, L, L), mask (B, L) bool.
    """
    scores = normal(2, 3, 4, 4, seed=107)
    mask = torch.tensor([[True, True, False, False], [True, True, True, False]])
    keys, rows = mask[:, None, None, :], mask[:, None, :, None]
    expected = scores.masked_fill(~keys, -torch.inf).softmax(3)
    faults = {
        "the mask is not used: padding is looked at": scores.softmax(3),
        "the mask is upside down: True is a word that may be looked at": scores.masked_fill(
            keys, -torch.inf
        ).softmax(3),
        "the mask lies along the words that ask; put it along those that are looked "
        "at": scores.masked_fill(~rows, -torch.inf).softmax(3),
        "the weights no longer add up to 1: mask before the softmax, not after it": scores.softmax(
            3
        )
        * keys,
        "a logit of 0 is not a weight of 0: exp(0) = 1": (scores * keys).softmax(3),
        "a logit of -1 is not a weight of 0: only exp(-inf) is": scores.masked_fill(
            ~keys, -1.0
        ).softmax(3),
        "the softmax runs over the words that ask; it belongs to those that are looked "
        "at": scores.masked_fill(~rows, -torch.inf).softmax(2),
        "all heads and all words share one sum; each word's weights add up to 1 by "
        "themselves": scores.masked_fill(~keys, -torch.inf)
        .flatten(1)
        .softmax(1)
        .reshape(scores.shape),
    }
    mine = weights(scores, mask)
    same(
        torch.nan_to_num(mine) if isinstance(mine, Tensor) else mine,
        expected,
        _plain(faults),
        what="the weights",
    )
    same(mine, expected, what="the weights")


def _plain(faults: dict[str, Tensor]) -> dict[str, Tensor]:
    """A row in which nothing may be looked at gives 0/0:
    as a number, so that a mistake that makes such rows can be named.
    """
    return {sentence: torch.nan_to_num(result) for sentence, result in faults.items()}


@exercise("10.3", points=3, minutes=12)
def ex_10_3(past_bucket) -> None:
    """past_bucket(distance) -> buckets 0 ... 31 of T5's decoder, after equation 10.6;
    distance = j - i, whole numbers (N,).
    """
    distance = torch.cat([torch.arange(-400, 40), torch.tensor([-16, -32, -64, -128])])
    past = (-distance).clamp(min=0)
    faults = {
        "words to come must all be in bucket 0: the decoder never sees them": _spread(
            distance.abs(), 16, 32
        ),
        "this counts words to come; the decoder looks back, where j - i is negative": _spread(
            distance.clamp(min=0), 16, 32
        ),
        "this is the encoder's table, which keeps half of its buckets for words to come": _spread(
            past, 8, 16
        ),
        "the first 16 distances have a bucket each, and 16 are left; here it is 8": _spread(
            past, 8, 32
        ),
        "distances of 128 and more share the last bucket, 31": _spread(past, 16, 10_000),
        "round down: a bucket begins at its distance": _spread(past, 16, 32, 0.5),
        "each distance up to 31 has its own bucket here; from 16 on they widen": past.clamp(max=31),
        "the buckets begin at 1; distance 0 is in bucket 0": _spread(past, 16, 32) + 1,
    }
    same(past_bucket(distance), _spread(past, 16, 32), faults, tolerance=1e-9, what="the bucket")


def _spread(n: Tensor, exact: int, buckets: int, more: float = 0.0) -> Tensor:
    """exact buckets of one distance, then min(buckets, 32) - exact up to distance 128,
    evenly in the logarithm.
    """
    wide = min(buckets, 32) - exact
    waves = torch.log(n.clamp(min=1).double() / exact) / math.log(128 / exact) * wide
    return torch.where(
        n < exact, n, (exact + torch.floor(waves + more + 1e-9).long()).clamp(max=buckets - 1)
    )


@exercise("10.4", points=2, minutes=8)
def ex_10_4(pool) -> None:
    """pool(tokens, mask, w) -> (B, D): attention pooling with one query w (D,) over real tokens;
    (B, L, D), (B, L) bool.
    """
    tokens, w = normal(3, 4, 4, seed=108), normal(4, seed=109)
    mask = torch.arange(4) < torch.tensor([4, 2, 3])[:, None]
    tokens[~mask] = 5.0
    scores, real = tokens @ w, mask[..., None].double()
    hidden = scores.masked_fill(~mask, -torch.inf)
    mix = lambda weights: (weights[..., None] * tokens).sum(1)
    faults = {
        "padding is mixed in: hide it before the softmax": mix(scores.softmax(1)),
        "the weights do not add up to 1: hide padding before the softmax, not after it": mix(
            scores.softmax(1) * mask
        ),
        "this is the plain mean; each token should count as its logit says": (tokens * real).sum(1)
        / real.sum(1),
        "the mean runs over padding too, and the query w is not used": tokens.mean(1),
        "the mask is upside down: True is a real token": torch.nan_to_num(
            mix(scores.masked_fill(mask, -torch.inf).softmax(1))
        ),
        "the softmax runs over the sentences of the batch; it belongs to the tokens of "
        "one": torch.nan_to_num(mix(hidden.softmax(0))),
        "this multiplies the padding by 0 first, but exp(0) = 1 is still a weight": mix(
            (scores * mask).softmax(1)
        ),
        "this takes the token with the largest logit alone; mix them": tokens[
            torch.arange(3), hidden.argmax(1)
        ],
    }
    mine = pool(tokens.clone(), mask, w)
    same(
        torch.nan_to_num(mine) if isinstance(mine, Tensor) else mine,
        mix(hidden.softmax(1)),
        faults,
        what="the pooled vector",
    )
    same(mine, mix(hidden.softmax(1)), what="the pooled vector")
