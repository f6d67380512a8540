"""School the text encoder of `World`: `python -m tools.school_text`, half an hour on one core.

Imagen's thesis in miniature: the encoder learns from text alone and is frozen before the first
picture is seen. It reads captions of World's training split and sentences about words that no
caption of a picture has (crimson, kitten, beneath). Three tasks:

- T5's span corruption (Raffel et al. 2020, section 3.1.4): 15 % of the tokens in spans of 3 are
  hidden behind sentinels, a decoder writes them back. WordNet, captions, meanings of words.
- Say it plainly: a caption in any words goes in ("a crimson star beneath a kitten"), the decoder
  writes its facts ("cat above red star"). In half of the lines it sees the state of one word alone,
  "star", and writes the facts of what that word belongs to ("red star below cat"): so each state
  has to tell whose colour it is, and what stands beside it. A network that draws reads the states
  in no order, and has nothing else to know it from.
- The same state for the same meaning: a word's state is drawn to the state of what it stands for,
  |r - s|^2, where r is "crimson" in "a crimson star" and s, held fixed, "red" in "a red star". A
  network that has learned to draw the one then draws the other. Its weight grows from 0, since
  early on all states would become one, which costs nothing.

`Differs from the paper:` T5 has the first task alone, and the whole web to read. The decoder is
thrown away. Weights and text are decided by the seed. docs/WORLD.md has the figures. Lesson 10.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import AutoTokenizer, PreTrainedTokenizerFast, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from experiments._common import machine
from minimagen.files import write
from tools._text_lines import DATA
from tools._text_tokens import corrupt, train_tokenizer
from tools._world_batches import Batch, Reader
from tools._world_meanings import MEANINGS
from tools._world_text import (
    Sayings,
    caption_line,
    glosses,
    joined,
    meaning_line,
)
from tools.pretrain_text import LOG, save, small_t5

PAIRS, LINES = 24, 12  # of a batch: captions, each in two wordings; lines with something hidden
VOCABULARY = 4000
SHARES = {"wordnet": 8, "captions": 5, "meanings": 3}
POOL = 16  # batches whose lines are sorted by length together
PEAK, WARM = 2e-3, 200  # the learning rate, and the steps that lead up to it
ONE_SIDED = 5.0  # what the first two heads begin with, taken off what stands on the other side
LATER = 0.3  # the share of steps after which the third task has its whole weight


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
) -> list[Tensor]:
    """[what the decoder writes, how far apart the states of the same meaning are].

    fast: in bfloat16.
    """
    mask, count = batch.ids != 0, len(batch.captions)
    with torch.autocast("cpu", torch.bfloat16, enabled=fast):
        with torch.no_grad():
            held = model.encoder(batch.captions, batch.captions != 0).last_hidden_state
        states = model.encoder(batch.ids, mask).last_hidden_state
        written = model(
            encoder_outputs=BaseModelOutput(states),
            attention_mask=batch.seen,
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
    log, recent, begin = {"train": [], "validation": []}, [], time.process_time()
    bar = tqdm(range(options.steps), mininterval=2)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = PEAK * min((step + 1) / WARM, 1 - step / options.steps)
        written, apart = losses(model, next(stream), fast=True)
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


def new_tokenizer(options: argparse.Namespace) -> PreTrainedTokenizerFast:
    """A tokenizer that has read the same text."""
    rng, text = (
        random.Random(f"tokenizer {options.seed}"),
        Text(False, options.seed, options.truths),
    )
    lines = [*MEANINGS] * 50 + rng.choices(text.glosses, k=min(120_000, 10 * options.truths))
    for _ in range(2 * options.truths):
        saying = text.sayings(rng)
        lines += [joined(saying.caption), joined(saying.reworded)]
    return train_tokenizer(iter(lines), VOCABULARY)


@torch.no_grad()
def fresh(vocabulary: int, seed: int) -> T5ForConditionalGeneration:
    """A T5 with random weights, but that its first head begins with what stands before a word and
    its second with what stands behind it.

    `Differs from the paper:` T5's biases of relative positions begin near 0. From there the small
    encoder learns which words are near, but even in 14,000 steps not on which side: "star" had the
    same state in "a star above a ring" and "a ring above a star". Buckets of distance: 0 is the
    word itself, 1 to 15 lie before it, 17 to 31 behind it.
    """
    torch.manual_seed(seed)
    model = small_t5(vocabulary)
    bias = model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
    bias[17:, 0] -= ONE_SIDED
    bias[1:16, 1] -= ONE_SIDED
    bias[0, :2] -= ONE_SIDED
    return model


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="School the text encoder of World on text alone.")
    add = parser.add_argument
    default = DATA / "weights" / "world-text"
    add("--steps", type=int, default=8000, help="(default: 8000)")
    add("--seed", type=int, default=0, help="of weights and text (default: 0)")
    add("--truths", type=int, default=40_000, help="pages whose captions are read (default: 40000)")
    add("--tokenizer", type=Path, help="the folder of one (default: it is made of the same text)")
    add("--together", type=float, default=1.0, help="weight of the third task (default: 1)")
    add("--out", type=Path, default=default, help="(default: data/weights/world-text)")
    return parser


def main() -> None:
    """School an encoder, and save it with its log."""
    options = command_line().parse_args()
    given = options.tokenizer
    tokenizer = AutoTokenizer.from_pretrained(given) if given else new_tokenizer(options)
    model, reader = fresh(len(tokenizer), options.seed), Reader(tokenizer)
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
