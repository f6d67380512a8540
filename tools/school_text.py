"""School the text encoder of `World`: `python -m tools.school_text`, a quarter of an hour on one
core.

Imagen's thesis in miniature: the encoder learns from text alone and is frozen before the first
picture is seen. It reads captions of World's training split and sentences about words that no
caption of a picture has (crimson, kitten, beneath). Three tasks:

- T5's span corruption (Raffel et al. 2020, section 3.1.4): 15 % of the tokens in spans of 3 are
  hidden behind sentinels, a decoder writes them back. WordNet, captions, meanings of words.
- Say it plainly: a caption in any words goes in ("a crimson star beneath a kitten"), the decoder
  writes its facts ("cat above red star"). In half of the lines the decoder sees but half of the
  states, so that each has to tell of its neighbours: whose colour it is, what stands beside it.
- The same state for the same meaning: a word's state is drawn to the state of what it stands for,
  |r - s|^2, where r is "crimson" in "a crimson star" and s, held fixed, "red" in "a red star". A
  network that has learned to draw the one then draws the other. Its weight grows from 0, since
  early on all states would become one, which costs nothing.

`Differs from the paper:` T5 has the first task alone, and the whole web to read. The decoder is
thrown away. Weights and text are decided by the seed. docs/TEXT.md has the figures. Lesson 10.
"""

import argparse
import itertools
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from experiments._common import machine
from minimagen.files import write
from tools._text_lines import DATA
from tools._text_tokens import corrupt, train_tokenizer
from tools._world_meanings import MEANINGS
from tools._world_text import (
    Saying,
    Sayings,
    Words,
    caption_line,
    glosses,
    joined,
    meaning_line,
)
from tools.pretrain_text import LOG, LONGEST, padded, save, small_t5

PAIRS, LINES = 24, 12  # of a batch: captions, each in two wordings; lines with something hidden
VOCABULARY = 4000
SHARES = {"wordnet": 8, "captions": 5, "meanings": 3}
POOL = 16  # batches whose lines are sorted by length together
PEAK, WARM = 2e-3, 200  # the learning rate, and the steps that lead up to it
LATER = 0.3  # the share of steps after which the third task has its whole weight
HALF = 0.5  # the share of lines of which the decoder sees half of the states, and that half


@dataclass(frozen=True)
class Batch:
    """ids (B, L), 0 where there is none, and labels (B, M), -100 likewise: first P captions in
    other words, then lines with something hidden. captions (P, K): the ids of the captions
    themselves; here (P, G, K), there (P, G, L): the weights of the mean over the tokens of each
    group of words, in the caption and in other words.
    """

    ids: Tensor
    labels: Tensor
    captions: Tensor
    here: Tensor
    there: Tensor


class Reader:
    """Turns sayings and lines into batches of tokens. Words are looked up one by one."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self.tokenizer, self.known = tokenizer, {}

    def word(self, word: str) -> list[int]:
        """The tokens of a word; of a comma those that it has behind a word."""
        if word not in self.known:
            before = "a" if word in ",:;." else ""
            ids = self.tokenizer(before + word, add_special_tokens=False)["input_ids"]
            self.known[word] = ids[bool(before) :]
        return self.known[word]

    def line(self, words: Words) -> list[int]:
        """The tokens of a line, without its end."""
        return [token for word in words for token in self.word(word)][: LONGEST - 1]

    def text(self, line: str) -> list[int]:
        """The tokens of any line, without its end."""
        cut = {"add_special_tokens": False, "truncation": True, "max_length": LONGEST - 1}
        return self.tokenizer(line, **cut)["input_ids"]

    def spans(self, words: Words, lengths: Sequence[int]) -> list[tuple[int, int]]:
        """Where the tokens of each group of words begin and end."""
        tokens = [len(self.word(word)) for word in words]
        ends = [0, *itertools.accumulate(tokens)]
        marks = [ends[k] for k in (0, *itertools.accumulate(lengths))]
        return list(itertools.pairwise(marks))

    def batch(self, sayings: list[Saying], hidden: list[tuple[list[int], list[int]]]) -> Batch:
        """Sayings, and lines (what is read, what is to be written), as one batch."""
        captions = padded([[*self.line(s.caption), 1] for s in sayings], 0)
        said = [[*self.line(s.reworded), 1] for s in sayings]
        facts = [[*self.text(s.facts), 1] for s in sayings]
        ids = padded([*said, *(source for source, _ in hidden)], 0)
        labels = padded([*facts, *(target for _, target in hidden)], -100)
        here = [self.spans(s.caption, [a for a, _ in s.groups]) for s in sayings]
        there = [self.spans(s.reworded, [b for _, b in s.groups]) for s in sayings]
        means = (averages(here, captions.shape[1]), averages(there, ids.shape[1]))
        return Batch(ids, labels, captions, *means)


def averages(spans: list[list[tuple[int, int]]], length: int) -> Tensor:
    """(P, G, L): row g of a line averages the tokens of its span g; nothing where a span is cut
    off."""
    weights = torch.zeros(len(spans), max(map(len, spans)), length)
    for row, line in zip(weights, spans, strict=True):
        for k, (begin, end) in enumerate(line):
            if end < min(length, LONGEST):
                row[k, begin:end] = 1 / (end - begin)
    return weights


class Text:
    """All that is read, training's or validation's, in the order that `rng` decides."""

    def __init__(self, validation: bool, seed: int, truths: int):
        self.glosses = glosses(validation)
        self.sayings = Sayings(self.glosses, int(validation) + 2 * seed, truths)
        self.lines = {
            "wordnet": lambda rng: rng.choice(self.glosses),
            "captions": partial(caption_line, self.sayings),
            "meanings": meaning_line,
        }

    def line(self, rng: random.Random) -> str:
        """A line of any kind."""
        return self.lines[rng.choices([*SHARES], [*SHARES.values()])[0]](rng)

    def batches(self, reader: Reader, rng: random.Random) -> Iterator[Batch]:
        """Endless batches; lines of like length stand together, so that little is padding."""
        vocabulary = len(reader.tokenizer)
        while True:
            sayings = [self.sayings(rng) for _ in range(POOL * PAIRS)]
            sayings.sort(key=lambda s: len(s.caption))
            rows = [reader.text(self.line(rng)) for _ in range(POOL * LINES)]
            hidden = sorted(
                (corrupt(r, vocabulary, rng) for r in rows if len(r) > 1), key=pair_length
            )
            order = [*range(POOL)]
            rng.shuffle(order)
            for k in order:
                some = hidden[len(hidden) * k // POOL : len(hidden) * (k + 1) // POOL]
                yield reader.batch(sayings[PAIRS * k : PAIRS * (k + 1)], some)


def pair_length(pair: tuple[list[int], list[int]]) -> int:
    return len(pair[0])


def losses(
    model: T5ForConditionalGeneration,
    batch: Batch,
    fast: bool,
    generator: torch.Generator | None = None,
) -> list[Tensor]:
    """[what the decoder writes, how far apart the states of the same meaning are].

    fast: in bfloat16. generator: chooses the states that the decoder does not see, half of those of
    half of the captions; None where it sees all.
    """
    mask, count = batch.ids != 0, len(batch.captions)
    with torch.autocast("cpu", torch.bfloat16, enabled=fast):
        with torch.no_grad():
            held = model.encoder(batch.captions, batch.captions != 0).last_hidden_state
        states = model.encoder(batch.ids, mask).last_hidden_state
        seen = mask
        if generator:
            some = torch.rand(mask.shape, generator=generator) < HALF
            some[torch.rand(len(mask), generator=generator) < HALF] = True
            some[:, 0], some[count:] = True, True
            seen = mask & some
        written = model(
            encoder_outputs=BaseModelOutput(states),
            attention_mask=seen,
            labels=batch.labels,
            use_cache=False,
        ).loss
    both = (batch.here.sum(-1) > 0) & (batch.there.sum(-1) > 0)
    here = (batch.here @ held.float())[both]
    there = (batch.there @ states[:count].float())[both]
    return [written.float(), (there - here).square().mean()]


@torch.no_grad()
def validate(model: T5ForConditionalGeneration, held: list[Batch]) -> dict[str, float]:
    """Both losses on batches that training never reads."""
    found = torch.tensor([losses(model, batch, fast=False) for batch in held]).mean(0)
    return {"written": round(found[0].item(), 4), "apart": round(found[1].item(), 4)}


def school(
    model: T5ForConditionalGeneration, reader: Reader, options: argparse.Namespace
) -> dict[str, object]:
    """Train for so many steps -> the log. The learning rate rises for 200 and falls to 0."""
    held_text = Text(True, options.seed, min(2000, options.truths)).batches(
        reader, random.Random(1)
    )
    held = [next(held_text) for _ in range(8)]
    stream = Text(False, options.seed, options.truths).batches(reader, random.Random(options.seed))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=PEAK, betas=(0.9, 0.98), weight_decay=0.1, fused=True
    )
    generator = torch.Generator().manual_seed(options.seed)
    log, recent, begin = {"train": [], "validation": []}, [], time.process_time()
    bar = tqdm(range(options.steps), mininterval=2)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = PEAK * min((step + 1) / WARM, 1 - step / options.steps)
        written, apart = losses(model, next(stream), True, generator)
        together = options.together * min(step / (LATER * options.steps), 1)
        (written + together * apart).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        recent.append((written.item(), apart.item()))
        if (step + 1) % max(options.steps // 50, 1) == 0:
            log["train"].append(
                [step + 1, *(round(x, 4) for x in torch.tensor(recent).mean(0).tolist())]
            )
            bar.set_postfix_str(str(log["train"][-1]))
            recent = []
        if (step + 1) % max(options.steps // 10, 1) == 0:
            log["validation"].append({"step": step + 1, **validate(model, held)})
    return {"processor_minutes": round((time.process_time() - begin) / 60, 1), **log}


def fresh(options: argparse.Namespace) -> tuple[T5ForConditionalGeneration, Reader]:
    """A tokenizer that has read the same text, and a T5 with random weights for it."""
    rng, text = (
        random.Random(f"tokenizer {options.seed}"),
        Text(False, options.seed, options.truths),
    )
    lines = [*MEANINGS] * 50 + rng.choices(text.glosses, k=min(120_000, 10 * options.truths))
    for _ in range(2 * options.truths):
        saying = text.sayings(rng)
        lines += [joined(saying.caption), joined(saying.reworded)]
    torch.manual_seed(options.seed)
    tokenizer = train_tokenizer(iter(lines), VOCABULARY)
    return small_t5(len(tokenizer)), Reader(tokenizer)


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="School the text encoder of World on text alone.")
    add = parser.add_argument
    default = DATA / "weights" / "world-text"
    add("--steps", type=int, default=4000, help="(default: 4000)")
    add("--seed", type=int, default=0, help="of weights and text (default: 0)")
    add("--truths", type=int, default=40_000, help="pages whose captions are read (default: 40000)")
    add("--together", type=float, default=1.0, help="weight of the third task (default: 1)")
    add("--out", type=Path, default=default, help="(default: data/weights/world-text)")
    return parser


def main() -> None:
    """School an encoder, and save it with its log."""
    options = command_line().parse_args()
    model, reader = fresh(options)
    log = {
        "command": " ".join(["python", "-m", "tools.school_text", *sys.argv[1:]]),
        "machine": machine(),
        **school(model, reader, options),
    }
    save(model, reader.tokenizer, options.out)
    text = json.dumps(log) + "\n"
    write(options.out / LOG, lambda temporary: temporary.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    main()
