"""Answers to the exercises of lesson 10: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import math

import numpy as np
import torch
from torch.nn import functional as F


def attend_by_loops(q, k, v):
    rows = []
    for query in q:
        weights = [math.exp(float(query @ key) / math.sqrt(len(query))) for key in k]
        rows.append(
            sum(weight * value for weight, value in zip(weights, v, strict=True)) / sum(weights)
        )
    return torch.stack(rows)


def attend_by_library(q, k, v):
    return F.scaled_dot_product_attention(q[None], k[None], v[None])[0]


def weights_by_sum(scores, mask):
    """(B, heads, L, L), (B, L): equation 10.3 as it is written."""
    counted = (scores - scores.amax(3, keepdim=True)).exp() * mask[:, None, None]
    return counted / counted.sum(3, keepdim=True)


def weights_by_rows(scores, mask):
    rows = np.zeros(scores.shape)
    for b, keep in enumerate(mask.numpy()):
        e = np.exp(scores[b].numpy()[..., keep])
        rows[b][..., keep] = e / e.sum(-1, keepdims=True)
    return torch.from_numpy(rows)


def bucket_by_edges(distance):
    """How many buckets begin at or before this distance: whole numbers alone. Bucket 16 + k begins
    where (n/16)^16 >= 8^k.
    """
    edges = [*range(1, 17)]
    edges += [next(n for n in range(16, 129) if n**16 >= 8**k * 16**16) for k in range(1, 16)]
    past = (-distance).clamp(min=0)
    return sum((past >= edge).long() for edge in edges)


def spread(past, exact=16, last=31, more=1e-9, far=128, base=16):
    waves = (past.clamp(min=1).double() / exact).log() / math.log(far / exact) * base
    return torch.where(past < exact, past, (exact + (waves + more).floor().long()).clamp(max=last))


def back(distance):
    return (-distance).clamp(min=0)


def pool_by_query(tokens, mask, w):
    return F.scaled_dot_product_attention(
        w.expand(len(tokens), 1, -1), tokens, tokens, mask[:, None], scale=1.0
    )[:, 0]


def pool_by_sentence(tokens, mask, w):
    return torch.stack(
        [(row[keep] @ w).softmax(0) @ row[keep] for row, keep in zip(tokens, mask, strict=True)]
    )


def mixed(weights, tokens):
    return (weights[..., None] * tokens).sum(1)


def hidden(scores, mask):
    return scores.masked_fill(~mask, -torch.inf)


RIGHT = {
    "10.1": [attend_by_loops, attend_by_library],
    "10.2": [weights_by_sum, weights_by_rows],
    "10.3": [bucket_by_edges, lambda distance: spread(back(distance))],
    "10.4": [pool_by_query, pool_by_sentence],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "10.1": {
        "not divided by the root of d": lambda q, k, v: F.scaled_dot_product_attention(
            q, k, v, scale=1.0
        ),
        "divides by d": lambda q, k, v: (q @ k.T / q.shape[1]).softmax(1) @ v,
        "weights of a word": lambda q, k, v: (q @ k.T / q.shape[1] ** 0.5).softmax(0) @ v,
        "do not add up to 1": lambda q, k, v: torch.exp(q @ k.T / q.shape[1] ** 0.5) @ v,
        "exchanged their places": lambda q, k, v: (k @ q.T / q.shape[1] ** 0.5).softmax(1) @ v,
        "best word alone": lambda q, k, v: v[(q @ k.T).argmax(1)],
        "exponential is missing": lambda q, k, v: (q @ k.T) / (q @ k.T).sum(1, keepdim=True) @ v,
        "not that of the values": lambda q, k, v: (q @ k.T / v.shape[1] ** 0.5).softmax(1) @ v,
        "off by up to": lambda q, k, v: (
            (q @ k.T / 3).softmax(1) @ v if len(q) == 4 else 0 * q[:, :1] * v[:1]
        ),
    },
    "10.2": {
        "padding is looked at": lambda s, m: s.softmax(-1),
        "upside down": lambda s, m: s.masked_fill(m[:, None, None], -torch.inf).softmax(-1),
        "words that ask; put it": lambda s, m: s.masked_fill(
            ~m[:, None, :, None], -torch.inf
        ).softmax(-1),
        "no longer add up": lambda s, m: s.softmax(-1) * m[:, None, None],
        "exp(0) = 1": lambda s, m: (s * m[:, None, None]).softmax(-1),
        "logit of -1": lambda s, m: s.masked_fill(~m[:, None, None], -1).softmax(-1),
        "the softmax runs over": lambda s, m: s.masked_fill(
            ~m[:, None, :, None], -torch.inf
        ).softmax(2),
        "share one sum": lambda s, m: (
            s.masked_fill(~m[:, None, None], -torch.inf).flatten(1).softmax(1).view_as(s)
        ),
        "should have the shape": lambda s, m: (
            s.masked_fill(~m[:, None, None], -torch.inf).softmax(-1).mean(1)
        ),
    },
    "10.3": {
        "words to come must all": lambda d: spread(d.abs()),
        "this counts words to come": lambda d: spread(d.clamp(min=0)),
        "the encoder's table": lambda d: spread(back(d), 8, 15, base=8),
        "16 are left; here it is 8": lambda d: spread(back(d), 8, 31, base=24),
        "share the last bucket": lambda d: spread(back(d), last=9999),
        "round down": lambda d: spread(back(d), more=0.5),
        "widen": lambda d: back(d).clamp(max=31),
        "begin at 1": lambda d: spread(back(d)) + 1,
    },
    "10.4": {
        "padding is mixed in": lambda x, m, w: mixed((x @ w).softmax(1), x),
        "do not add up to 1": lambda x, m, w: mixed((x @ w).softmax(1) * m, x),
        "plain mean": lambda x, m, w: torch.stack(
            [row[keep].mean(0) for row, keep in zip(x, m, strict=True)]
        ),
        "query w is not used": lambda x, m, w: x.mean(1),
        "upside down": lambda x, m, w: mixed(hidden(x @ w, ~m).softmax(1), x),
        "sentences of the batch": lambda x, m, w: mixed(hidden(x @ w, m).softmax(0), x),
        "exp(0) = 1": lambda x, m, w: mixed((x * m[..., None] @ w).softmax(1), x),
        "largest logit alone": lambda x, m, w: torch.stack(
            [row[i] for row, i in zip(x, hidden(x @ w, m).argmax(1), strict=True)]
        ),
    },
}
