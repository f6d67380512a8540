"""The exercises of lesson 11: text to image, the base model."""

import math

import torch

from minimagen.lessons.checks import Wrong, blank, exercise, same

# what was asked, what is on the page, whether it obeys, and what to say to whoever judges otherwise
PAGES = [
    (
        [("circle", "red", "small")],
        [("circle", "red", "small")],
        True,
        "one object exactly as asked obeys",
    ),
    (
        [("circle", "red", None)],
        [("circle", "red", "large")],
        True,
        "what the caption leaves open may be anything",
    ),
    (
        [("circle", "red", None)],
        [("circle", "blue", "large")],
        False,
        "a wrong colour does not obey",
    ),
    (
        [("circle", "red", None), ("square", "blue", None)],
        [("square", "blue", "large"), ("circle", "red", "small")],
        True,
        "the objects on the page stand in any order",
    ),
    (
        [("circle", "red", None), ("square", "blue", None)],
        [("circle", "blue", "small"), ("square", "red", "small")],
        False,
        "here the colours are on the wrong shapes: each object must fit one mention in all its "
        "parts",
    ),
    (
        [("circle", "red", None)],
        [("circle", "red", "small"), ("star", "pink", "small")],
        False,
        "nothing else may be on the page",
    ),
    (
        [("circle", "red", None), ("circle", "red", None)],
        [("circle", "red", "small")],
        False,
        "one object on the page cannot serve for two mentions",
    ),
    (
        [("circle", None, None), ("circle", "red", None)],
        [("circle", "red", "small"), ("circle", "blue", "small")],
        True,
        "the open mention took the only red circle; try every way of giving objects to mentions",
    ),
    (
        [("circle", "red", None), ("circle", "red", None)],
        [("circle", "red", "small"), ("circle", "blue", "small")],
        False,
        "both mentions were given the same object; each object serves once",
    ),
]


@exercise("11.1", points=3, minutes=12)
def ex_11_1(obeys) -> None:
    """obeys(asked, seen) -> bool:
    an order of `seen` in which every mention fits, and nothing is left over.
    """
    for caption, page, right, sentence in PAGES:
        answer = obeys(list(caption), list(page))
        mine = answer if blank(answer) else float(answer)
        same(mine, float(right), {sentence: float(not right)}, what="the verdict")


def _shares(n: int, decays) -> torch.Tensor:
    """The recursion itself, run on one unit vector a step."""
    average = torch.eye(n + 1, dtype=torch.float64)[0]
    for k in range(1, n + 1):
        average = decays(k) * average + (1 - decays(k)) * torch.eye(n + 1, dtype=torch.float64)[k]
    return average


@exercise("11.2", points=2, minutes=10)
def ex_11_2(shares) -> None:
    """shares(n, decay) -> (n + 1,): a_j = (1 - d_j) d_(j+1) ... d_n
    with d_0 = 0, d_k = min(decay, (1 + k) / (10 + k)).
    """
    for n, decay in ((6, 0.995), (40, 0.6), (0, 0.9)):
        grown = lambda k, decay=decay: min(decay, (1 + k) / (10 + k))
        right = _shares(n, grown)
        late = torch.tensor(
            [
                (1 - grown(j) if j else 1) * math.prod(map(grown, range(max(j, 1), n + 1)))
                for j in range(n + 1)
            ]
        )
        faults = {
            "the decay grows with the update: d_n is the smaller of delta and (1 + n) / (10 + "
            "n)": _shares(n, lambda k, d=decay: d),
            "the decay stops growing at delta: take the smaller of the two": _shares(
                n, lambda k: (1 + k) / (10 + k)
            ),
            "these begin at the newest weights; a_0 belongs to the oldest": right.flip(0),
            "update j itself gives w_j the factor 1 - d_j; only the later ones multiply by their "
            "decay": late,
            "update 0 copies the weights, so d counts from 0 at the copy: d_1 = 2 / 11": _shares(
                n, lambda k, grown=grown: grown(k - 1)
            ),
            "this is the geometric series of one decay, the last; each later update has its "
            "own": torch.tensor(
                [(1 - grown(n) if j else 1) * grown(n) ** (n - j) for j in range(n + 1)]
            ),
        }
        same(shares(n, decay), right, faults, what="the shares")


@exercise("11.3", points=2, minutes=8)
def ex_11_3(heard) -> None:
    """heard(mask, coin, rate) -> (B, 1 + L) bool:
    the null token, and the words of the captions that are kept.
    """
    lengths = torch.tensor([1, 3, 4, 2, 4])
    mask = torch.arange(4) < lengths[:, None]
    coin, rate = torch.tensor([0.05, 0.7, 0.1, 0.02, 0.95]), 0.1
    keep, null = (coin >= rate)[:, None], torch.ones(5, 1, dtype=torch.bool)
    right = torch.cat([null, mask & keep], 1).double()
    faults = {
        "the null token is hidden where there are words; it is always seen": torch.cat(
            [~keep, mask & keep], 1
        ).double(),
        "the null token went with the caption; without it the softmax has nothing to look "
        "at": torch.cat([keep, mask & keep], 1).double(),
        "this keeps the captions that should be dropped": torch.cat(
            [null, mask & ~keep], 1
        ).double(),
        "padding is never a word, whatever the coin says": torch.cat(
            [null, keep.expand(5, 4)], 1
        ).double(),
        "a coin of exactly the rate does not lie below it": torch.cat(
            [null, mask & (coin > rate)[:, None]], 1
        ).double(),
        "the null token stands first, in front of the words": torch.cat(
            [mask & keep, null], 1
        ).double(),
        "nothing was dropped": torch.cat([null, mask], 1).double(),
        "dropping clears the words that belong to the sentence, it does not uncover the "
        "padding": torch.cat([null, mask == keep], 1).double(),
    }
    same(heard(mask, coin, rate), right, faults, what="the mask")


@exercise("11.4", points=3, minutes=12)
def ex_11_4(listened) -> None:
    """listened(q, k, text_k, mask) -> (B, L):
    each word's share of the joined softmax of 11.7, mean over the pixels.
    """
    g = torch.Generator().manual_seed(114)
    q, k, text_k = (torch.randn(2, n, 8, generator=g, dtype=torch.float64) for n in (6, 6, 4))
    mask = torch.tensor([[True, True, False, False], [True] * 4])
    gone = ~mask[:, None]

    def joint(root=8**0.5, pad=-torch.inf):
        words = (q @ text_k.mT).masked_fill(gone, pad)
        return (torch.cat([q @ k.mT, words], 2) / root).softmax(2)[:, :, 6:]

    alone = (q @ text_k.mT / 8**0.5).masked_fill(gone, -torch.inf).softmax(2)
    late = (torch.cat([q @ k.mT, q @ text_k.mT], 2) / 8**0.5).softmax(2)[:, :, 6:]
    faults = {
        "the words compete with the pixels: one softmax over both (eq. 11.7)": alone.mean(1),
        "the logits are not divided by the root of d": joint(root=1).mean(1),
        "the logits are divided by d, not by its root": joint(root=8).mean(1),
        "padding has the logit minus infinity, not 0: e to the power 0 is 1": joint(pad=0).mean(1),
        "padding is listened to; mask it": late.mean(1),
        "padding is cut off after the softmax, so it has taken a share; mask it before": late.mean(
            1
        )
        * mask,
        "this is the sum over the pixels, not their mean": joint().sum(1),
    }
    result = listened(q, k, text_k, mask)
    if isinstance(result, torch.Tensor) and result.shape == (2, 6):
        raise Wrong(
            "there should be one share a word, mean over the pixels; these are one a pixel, "
            "summed over the words"
        )
    same(result, joint().mean(1), faults, what="the shares")
