"""What `probe` asks of the states of a frozen text encoder, and the read-out that answers."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minimagen.conditioning import Text
from minimagen.data.captions import describe
from minimagen.data.nouns import COLOURS, SHAPES, share, things
from minimagen.data.truth import SIZES, Truth
from minimagen.data.wordings import text_only
from minimagen.data.world import World
from tools._world_text import RELATIONS, UNSEEN_SPELLINGS, names, one_letter_wrong, split

NOUNS = (*SHAPES, *things(shown=True))
WHERE = ("left of", "right of", "above", "below")
ANSWERS = {"colour": (*COLOURS,), "size": (*SIZES,), "noun": NOUNS, "relation": WHERE}
OPPOSITE = {"left of": "right of", "above": "below"}
HEADS, BATCH, RATE = 4, 128, 3e-3  # of the read-out and of its training


@dataclass(frozen=True)
class Asked:
    """A caption, what is asked of it (the noun it is asked about), and the right answer."""

    caption: str
    noun: int
    answer: int


Group = tuple[Asked, ...]  # right only where all of its answers are
Make = Callable[[int], Iterator[Group]]  # the seed decides the pages


def pages(split_: str, kind: str, seed: int) -> Iterator[tuple[Truth, str]]:
    """Endless pages of one kind of a split, with their captions."""
    world, at = World(split=split_, kinds={kind: 1.0}, length=2**40), 2**20 * seed
    while True:
        yield world.truth(at), world.caption(at)
        at += 1


# ------------------------------------------------------------------------------ what is asked


def binding(split_: str, seed: int) -> Iterator[Group]:
    """Whose colour is it? Two coloured objects, asked of the first; then the same caption with the
    colours exchanged, which has the same words."""
    for truth, _ in pages(split_, "pair", seed):
        a, b = truth.objects
        if a.noun != b.noun and a.colour != b.colour and a.colour and b.colour:
            other = replace(
                truth, objects=(replace(a, colour=b.colour), replace(b, colour=a.colour))
            )
            yield _both(truth, other, split_, "colour", (a.colour, b.colour))


def relation(split_: str, seed: int) -> Iterator[Group]:
    """Where does the first of two objects stand? Then the same caption with the objects
    exchanged."""
    for truth, _ in pages(split_, "pair", seed):
        a, b = truth.objects
        if truth.relation and a.noun != b.noun:
            other = replace(truth, objects=(b, a), names_sizes=truth.names_sizes[::-1])
            answers = (truth.relation, OPPOSITE[truth.relation])
            yield _both(truth, other, split_, "relation", answers)


def _both(truth: Truth, other: Truth, split_: str, kind: str, answers: tuple[str, str]) -> Group:
    """The same question to two pages, described in the same words, about `truth`'s first noun."""
    seed, noun = repr(truth), NOUNS.index(truth.objects[0].noun)
    said = (describe(page, random.Random(seed), split_) for page in (truth, other))
    return tuple(
        Asked(caption, noun, ANSWERS[kind].index(answer))
        for caption, answer in zip(said, answers, strict=True)
    )


def rare_relation(seed: int) -> Iterator[Group]:
    """`relation` in text-only words: "beneath" for "below"."""
    for group in relation("train", seed):
        rng = random.Random(group[0].caption)
        phrase = next((p for p in RELATIONS if f" {p} " in group[0].caption), None)
        if phrase:
            rare = rng.choice(text_only("relation", RELATIONS[phrase]))
            yield tuple(replace(g, caption=g.caption.replace(phrase, rare, 1)) for g in group)


def word(kind: str, split_: str, seed: int) -> Iterator[Group]:
    """What colour, size or noun is said of a single object? In the split "text-only": by a word
    that no caption of training has."""
    for truth, caption in pages(split_, "single", seed):
        (o,) = truth.objects
        meaning = {"colour": o.colour, "size": o.size * truth.names_sizes[0], "noun": o.noun}[kind]
        said = rare_word(kind, meaning, caption) if meaning else None
        if meaning and (split_ != "text-only" or said):
            yield (Asked(caption, 0, ANSWERS[kind].index(meaning)),)


def rare_word(kind: str, meaning: str, caption: str) -> str | None:
    """The text-only word of that meaning that a caption has."""
    words = f" {' '.join(split(caption))} "
    return next((rare for rare in text_only(kind, meaning) if f" {rare} " in words), None)


def misspelt(kind: str, seed: int) -> Iterator[Group]:
    """`word` of the training split with one letter wrong, in a way that no schooling read."""
    for (asked,) in word(kind, "train", seed):
        name = ANSWERS[kind][asked.answer]
        rng = random.Random(asked.caption)
        for _ in range(200):
            wrong = one_letter_wrong(name, rng)
            if wrong not in names() and share("misspelt", wrong) < UNSEEN_SPELLINGS:
                if f" {name} " in f" {asked.caption} ":
                    yield (replace(asked, caption=asked.caption.replace(name, wrong, 1)),)
                break


@dataclass(frozen=True)
class Probe:
    """One read-out: what it is fitted on, and the rows that it is asked then, each with the share
    that needs no understanding."""

    answers: int
    train: Make
    rows: dict[str, tuple[Make, float]]


def _word_probe(kind: str, chance: float) -> Probe:
    rows = {f"{kind}, held-out wording": (partial(word, kind, "held-out"), chance)}
    rows[f"{kind}, text-only word"] = (partial(word, kind, "text-only"), chance)
    if kind != "size":
        rows[f"{kind}, one letter wrong"] = (partial(misspelt, kind), chance)
    return Probe(len(ANSWERS[kind]), partial(word, kind, "train"), rows)


# Of two captions with the same words, two answers of two guessed are right in one of four.
PROBES = {
    "binding": Probe(
        len(COLOURS),
        partial(binding, "train"),
        {"binding, held-out wording": (partial(binding, "held-out"), 1 / 4)},
    ),
    "relation": Probe(
        len(WHERE),
        partial(relation, "train"),
        {
            "relation, held-out wording": (partial(relation, "held-out"), 1 / 4),
            "relation, text-only word": (rare_relation, 1 / 4),
        },
    ),
    **{kind: _word_probe(kind, 1 / len(ANSWERS[kind])) for kind in ("colour", "size", "noun")},
}


def asked(make: Make, seed: int, count: int) -> list[Group]:
    """The first `count` groups."""
    return [group for group, _ in zip(make(seed), range(count), strict=False)]


# ---------------------------------------------------------------------------------- the read-out


class ReadOut(nn.Module):
    """One layer of attention from a question to the states of the tokens, then a line:

    W_o [softmax(q_n . W_k s) W_v s], with a learned q_n for every noun n that may be asked about.
    """

    def __init__(self, width: int, answers: int):
        super().__init__()
        self.query = nn.Parameter(torch.randn(len(NOUNS), 64) / 4)
        self.key, self.value = nn.Linear(width, 64), nn.Linear(width, 64)
        self.out = nn.Linear(64, answers)

    def forward(self, states: Tensor, mask: Tensor, noun: Tensor) -> Tensor:
        """states (B, L, D), mask (B, L), noun (B,) -> (B, answers)."""
        heads = lambda x: x.unflatten(-1, (HEADS, -1)).transpose(1, 2)
        query, key = heads(self.query[noun][:, None]), heads(self.key(states))
        read = F.scaled_dot_product_attention(
            query, key, heads(self.value(states)), mask[:, None, None]
        )
        return self.out(read.transpose(1, 2).flatten(1))


def encoded(encode: Callable[[list[str]], Text], captions: Sequence[str]) -> dict[str, Tensor]:
    """Caption -> the states of its tokens (L, D); captions of like length together."""
    order, states = sorted(set(captions), key=lambda caption: (len(caption), caption)), {}
    for start in range(0, len(order), BATCH):
        some = order[start : start + BATCH]
        text = encode(some)
        rows = zip(some, text.tokens, text.mask, strict=True)
        states |= {caption: tokens[mask] for caption, tokens, mask in rows}
    return states


def batch(
    states: dict[str, Tensor], questions: Sequence[Asked], mean: Tensor, std: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(states, mask, nouns, answers) of some questions; states in units of their spread."""
    rows = [states[q.caption] for q in questions]
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    tokens = (nn.utils.rnn.pad_sequence(rows, batch_first=True) - mean) / std
    nouns, answers = torch.tensor([(q.noun, q.answer) for q in questions]).T
    return tokens, mask, nouns, answers


def verdicts(
    encode: Callable[[list[str]], Text],
    train: Sequence[Group],
    rows: dict[str, list[Group]],
    answers: int,
    steps: int,
) -> dict[str, Tensor]:
    """Fit a read-out on the groups `train` -> for each row whether all answers of its groups are
    right, (N,) bool."""
    questions = [q for group in train for q in group]
    states = encoded(encode, [q.caption for q in questions])
    pool = torch.cat([states[q.caption] for q in questions[:1000]])
    scale = pool.mean(0), pool.std(0) + 1e-6
    torch.manual_seed(0)
    read_out, rng = ReadOut(pool.shape[1], answers), random.Random(0)
    optimizer = torch.optim.AdamW(read_out.parameters(), lr=RATE, weight_decay=0.01)
    for step in range(steps):
        *given, right = batch(states, rng.sample(questions, min(BATCH, len(questions))), *scale)
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
        optimizer.zero_grad()
        F.cross_entropy(read_out(*given), right).backward()
        optimizer.step()
    return {name: judged(read_out, encode, groups, scale) for name, groups in rows.items()}


@torch.no_grad()
def judged(
    read_out: ReadOut,
    encode: Callable[[list[str]], Text],
    groups: list[Group],
    scale: tuple[Tensor, Tensor],
) -> Tensor:
    """Whether all answers of each group are right: (N,) bool."""
    questions = [q for group in groups for q in group]
    states, right = encoded(encode, [q.caption for q in questions]), []
    for start in range(0, len(questions), BATCH):
        *given, answers = batch(states, questions[start : start + BATCH], *scale)
        right.append(read_out(*given).argmax(1) == answers)
    return torch.cat(right).view(len(groups), -1).all(1)
