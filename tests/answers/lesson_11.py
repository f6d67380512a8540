"""Answers to the exercises of lesson 11: RIGHT, written in two ways, and WRONG, each with the fault
that it must be told.
"""

import itertools
import math

import torch
from torch.nn import functional as F


def _fits(mention, there):
    return all(a is None or a == b for a, b in zip(mention, there, strict=True))


def obeys_by_orders(asked, seen):
    orders = itertools.permutations(seen)
    return len(asked) == len(seen) and any(all(map(_fits, asked, order)) for order in orders)


def obeys_by_search(asked, seen):
    if not asked:
        return not seen
    return any(
        _fits(asked[0], seen[i]) and obeys_by_search(asked[1:], seen[:i] + seen[i + 1 :])
        for i in range(len(seen))
    )


def obeys_greedily(asked, seen):
    left = list(seen)
    for mention in asked:
        there = next((o for o in left if _fits(mention, o)), None)
        if there is None:
            return False
        left.remove(there)
    return not left


def obeys_bags(asked, seen):
    """Shapes, colours and sizes right, whoever has them."""
    bags = [(sorted(m[k] for m in asked if m[k]), [o[k] for o in seen]) for k in range(3)]
    return len(asked) == len(seen) and all(set(wanted) <= set(there) for wanted, there in bags)


def shares_by_products(n, decay):
    d = [0.0] + [min(decay, (1 + k) / (10 + k)) for k in range(1, n + 1)]
    return torch.tensor([(1 - d[j]) * math.prod(d[j + 1 :]) for j in range(n + 1)])


def shares_by_recursion(n, decay):
    a = [1.0]
    for k in range(1, n + 1):
        d = min(decay, (1 + k) / (10 + k))
        a = [d * share for share in a] + [1 - d]
    return a


def shares_with(decay_of, late=0):
    def shares(n, decay):
        d = [0.0] + [decay_of(k, decay) for k in range(1, n + 1)]
        return torch.tensor(
            [(1 - d[j]) * math.prod(d[max(j + 1 - late, 1) :]) for j in range(n + 1)]
        )

    return shares


def grown(k, decay):
    return min(decay, (1 + k) / (10 + k))


def heard_by_loop(mask, coin, rate):
    rows = [
        [True] + [bool(word) and float(c) >= rate for word in row]
        for row, c in zip(mask, coin, strict=True)
    ]
    return torch.tensor(rows)


def heard_with(null, words):
    def heard(mask, coin, rate):
        keep = (coin >= rate)[:, None]
        return torch.cat([null(keep), words(mask, keep)], 1)

    return heard


def listened_by_sums(q, k, text_k, mask):
    root = q.shape[-1] ** 0.5
    words = (q @ text_k.mT / root).exp() * mask[:, None]
    return (
        words / ((q @ k.mT / root).exp().sum(2, keepdim=True) + words.sum(2, keepdim=True))
    ).mean(1)


def listened_by_gate(q, k, text_k, mask):
    root = q.shape[-1] ** 0.5
    words = (q @ text_k.mT / root).masked_fill(~mask[:, None], -torch.inf)
    gate = torch.sigmoid(words.logsumexp(2) - (q @ k.mT / root).logsumexp(2))
    return (gate[..., None] * words.softmax(2)).mean(1).numpy()


def listened_with(root=8**0.5, pad=-torch.inf, reduce=lambda shares: shares.mean(1)):
    def listened(q, k, text_k, mask):
        words = (q @ text_k.mT).masked_fill(~mask[:, None], pad)
        return reduce((torch.cat([q @ k.mT, words], 2) / root).softmax(2)[:, :, k.shape[1] :])

    return listened


RIGHT = {
    "11.1": [obeys_by_orders, obeys_by_search],
    "11.2": [shares_by_products, shares_by_recursion],
    "11.3": [
        lambda mask, coin, rate: F.pad(mask & (coin >= rate)[:, None], (1, 0), value=True),
        heard_by_loop,
    ],
    "11.4": [listened_by_sums, listened_by_gate],
}

WRONG = {  # {exercise: {what the verdict must say: the answer}}
    "11.1": {
        "in any order": lambda asked, seen: (
            len(asked) == len(seen) and all(map(_fits, asked, seen))
        ),
        "leaves open": lambda asked, seen: sorted(asked, key=str) == sorted(seen, key=str),
        "on the wrong shapes": obeys_bags,
        "nothing else": lambda asked, seen: all(any(_fits(m, o) for o in seen) for m in asked),
        "the only red circle": obeys_greedily,
        "serve for two": lambda asked, seen: (
            all(any(_fits(m, o) for o in seen) for m in asked)
            and all(any(_fits(m, o) for m in asked) for o in seen)
        ),
        "given the same object": lambda asked, seen: (
            len(asked) == len(seen) and all(any(_fits(m, o) for o in seen) for m in asked)
        ),
        "wrong colour": lambda asked, seen: (
            sorted(m[0] for m in asked) == sorted(o[0] for o in seen)
        ),
    },
    "11.2": {
        "grows with the update": shares_with(lambda k, decay: decay),
        "stops growing at delta": shares_with(lambda k, decay: (1 + k) / (10 + k)),
        "begin at the newest": lambda n, decay: shares_by_products(n, decay).flip(0),
        "only the later ones": shares_with(grown, late=1),
        "update 0 copies": shares_with(lambda k, decay: min(decay, k / (9 + k))),
        "each later update has its own": lambda n, decay: [
            (1 - grown(n, decay) if j else 1) * grown(n, decay) ** (n - j) for j in range(n + 1)
        ],
    },
    "11.3": {
        "always seen": heard_with(lambda keep: ~keep, lambda mask, keep: mask & keep),
        "went with the caption": heard_with(lambda keep: keep, lambda mask, keep: mask & keep),
        "should be dropped": heard_with(torch.ones_like, lambda mask, keep: mask & ~keep),
        "never a word": heard_with(torch.ones_like, lambda mask, keep: keep.expand_as(mask)),
        "exactly the rate": lambda mask, coin, rate: F.pad(
            mask & (coin > rate)[:, None], (1, 0), value=True
        ),
        "should have the shape": lambda mask, coin, rate: mask & (coin >= rate)[:, None],
        "nothing was dropped": lambda mask, coin, rate: F.pad(mask, (1, 0), value=True),
        "uncover the padding": heard_with(torch.ones_like, lambda mask, keep: mask == keep),
        "stands first": lambda mask, coin, rate: F.pad(
            mask & (coin >= rate)[:, None], (0, 1), value=True
        ),
    },
    "11.4": {
        "compete with the pixels": lambda q, k, text_k, mask: (
            (q @ text_k.mT / 8**0.5).masked_fill(~mask[:, None], -torch.inf).softmax(2).mean(1)
        ),
        "not divided by the root": listened_with(root=1),
        "divided by d": listened_with(root=8),
        "minus infinity": listened_with(pad=0),
        "mask it before": lambda q, k, text_k, mask: (
            listened_with()(q, k, text_k, torch.ones_like(mask)) * mask
        ),
        "padding is listened to": lambda q, k, text_k, mask: listened_with()(
            q, k, text_k, torch.ones_like(mask)
        ),
        "not their mean": listened_with(reduce=lambda shares: shares.sum(1)),
        "summed over the words": listened_with(reduce=lambda shares: shares.sum(2)),
    },
}
