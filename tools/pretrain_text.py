"""Pretrain the small text encoder that the library ships: `python -m tools.pretrain_text --minutes
15 --out data/weights/text`.

Imagen's thesis in miniature: the encoder learns from text alone and is frozen before the first
picture is seen. Two tasks:

- T5's span corruption (Raffel et al. 2020, section 3.1.4): 15 % of the tokens in spans of 3 are
  hidden behind sentinels, a decoder writes them back. Four lines in ten: WordNet's definitions and
  examples, captions of shapes, of emoji with their tags.
- Say it plainly: a caption in any wording goes in, the decoder writes the same facts in one fixed
  wording ("the big star in red below a ring" -> "ring above large red star"). Six lines in ten.
  What T5-XXL learns from the whole web a small encoder has to be asked for: to write it down, its
  states must know whose colour is whose and who stands where. Of other things than shapes it reads
  more ways to say a place, a size, a colour than any caption of a drawing has ("a tiny teapot
  beneath a fox").

Of shapes, training wordings and training pairs only. The decoder is thrown away. Lesson 10.

`--probe` asks of the encoder in `--out`, instead of training: can a linear read-out tell which
colour belongs to which shape? The learning rate follows the clock (`--minutes`), so two runs with
one seed see the same text but end a few steps apart.
"""

import argparse
import contextlib
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import (
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
)

from experiments._common import processor
from minimagen.files import write
from tools._text_lines import DATA, SHARES, Line, sources
from tools._text_probe import probe_both
from tools._text_tokens import corrupt, train_tokenizer

BATCH, PEAK, LONGEST = 64, 2e-3, 48  # lines, learning rate, tokens of a line
LOG = "training_log.json"


def padded(rows: list[list[int]], fill: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])


def batches(
    lines: dict[str, Line], tokenizer: PreTrainedTokenizerFast, rng: random.Random
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (encoder ids, labels); a pool of 16 batches is sorted by length so that little of a
    batch is padding.
    """

    def ids(texts: list[str]) -> list[list[int]]:
        cut = {"add_special_tokens": False, "truncation": True, "max_length": LONGEST - 1}
        return tokenizer(texts, **cut)["input_ids"] if texts else []

    while True:
        kinds = rng.choices(list(lines), [SHARES[kind] for kind in lines], k=16 * BATCH)
        pool = [lines[kind](rng) for kind in kinds]
        rows = ids([one for one in pool if isinstance(one, str)])
        hidden = [corrupt(row, len(tokenizer), rng) for row in rows if len(row) > 1]
        sayings = [both for both in pool if not isinstance(both, str)]
        plainly = zip(ids([a for a, _ in sayings]), ids([b for _, b in sayings]), strict=True)
        pairs = [*hidden, *(([*a, 1], [*b, 1]) for a, b in plainly)]
        pairs.sort(key=lambda pair: len(pair[0]))
        starts = list(range(0, len(pairs) - BATCH + 1, BATCH))
        rng.shuffle(starts)
        for start in starts:
            source, target = zip(*pairs[start : start + BATCH], strict=True)
            yield padded(list(source), 0), padded(list(target), -100)


# -------------------------------------------------------------------------------------- pretraining


def small_t5(vocabulary: int) -> T5ForConditionalGeneration:
    """T5 v1.1 (gated GELU, no dropout) at 1/32 of XXL's width, its input embedding shared with the
    output.

    One departure from T5's initialisation, which is made for Adafactor and a million steps: the
    feed-forward layers begin as nothing. Else Adam lets the first of them grow to 60 times the
    embedding, and the neighbours are lost in it.
    """
    config = T5Config(
        vocab_size=vocabulary,
        d_model=128,
        d_kv=32,
        d_ff=512,
        num_layers=4,
        num_decoder_layers=1,
        num_heads=4,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=True,
        decoder_start_token_id=0,
    )
    model = T5ForConditionalGeneration(config)
    for name, weight in model.named_parameters():
        if name.endswith("wo.weight"):
            torch.nn.init.zeros_(weight)
    return model


def loss_of(model: T5ForConditionalGeneration, batch: tuple[Tensor, Tensor], fast: bool) -> Tensor:
    source, labels = batch
    with torch.autocast("cpu", torch.bfloat16) if fast else contextlib.nullcontext():
        return model(
            input_ids=source, attention_mask=source != 0, labels=labels, use_cache=False
        ).loss.float()


@torch.no_grad()
def validate(model: T5ForConditionalGeneration, held: dict[str, list]) -> dict[str, float]:
    return {
        kind: round(sum(loss_of(model, b, False).item() for b in some) / len(some), 4)
        for kind, some in held.items()
    }


def pretrain(
    model: T5ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    options: argparse.Namespace,
) -> dict:
    """Train for `minutes` of clock time; the learning rate warms up for 100 steps and falls to 0
    linearly with the clock.
    """
    seconds, fast = 60 * options.minutes, not options.float32
    held = validation_batches(tokenizer, options.seed)
    stream = batches(sources(validation=False), tokenizer, random.Random(f"train {options.seed}"))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=PEAK, betas=(0.9, 0.98), weight_decay=0.1, fused=True
    )
    log = {"train": [], "validation": [{"step": 0, **validate(model, held)}]}
    begin, step, recent, validated = time.monotonic(), 0, [], 0.0
    bar = tqdm(total=round(seconds), unit="s", mininterval=2)
    while (spent := (time.monotonic() - begin) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = options.rate * min((step + 1) / 100, 1 - spent)
        recent.append(optimise(model, optimizer, next(stream), fast))
        step += 1
        bar.update(round(seconds * spent) - bar.n)
        if step % 50 == 0:
            log["train"].append([step, round(sum(recent) / len(recent), 4)])
            bar.set_postfix(step=step, loss=log["train"][-1][1])
            recent = []
        if spent - validated >= 0.1:
            validated = spent
            log["validation"].append({"step": step, **validate(model, held)})
    bar.close()
    log["validation"].append({"step": step, **validate(model, held)})
    return {"steps": step, "lines": step * BATCH, **log}


def validation_batches(tokenizer: PreTrainedTokenizerFast, seed: int) -> dict[str, list]:
    """Four batches of each kind of text, of lines that training never reads."""
    held = {}
    for kind, line in sources(validation=True).items():
        stream = batches({kind: line}, tokenizer, random.Random(f"validation {seed}"))
        held[kind] = [next(stream) for _ in range(4)]
    return held


def optimise(
    model: T5ForConditionalGeneration,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Tensor],
    fast: bool,
) -> float:
    """One step down the gradient -> the loss before it."""
    loss = loss_of(model, batch, fast)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def save(model: T5ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """The encoder alone, in float16, and its tokenizer: a folder that
    `T5EncoderModel.from_pretrained` loads.
    """
    encoder = T5EncoderModel(model.config)
    encoder.load_state_dict(model.state_dict(), strict=False)
    encoder.half().save_pretrained(out)
    tokenizer.save_pretrained(out)


# ----------------------------------------------------------------------------- the command line


def fresh(seed: int) -> tuple[T5ForConditionalGeneration, PreTrainedTokenizerFast]:
    """A tokenizer trained on lines of text, and a T5 with random weights for it."""
    rng, draws = random.Random(f"tokenizer {seed}"), sources(validation=False)
    shares = {"shapes": 50_000, "emoji": 50_000, "wordnet": 150_000}
    tokenizer = train_tokenizer(
        draws[kind](rng) for kind, count in shares.items() for _ in range(count)
    )
    return small_t5(len(tokenizer)), tokenizer


def continued(source: Path) -> tuple[T5ForConditionalGeneration, PreTrainedTokenizerFast]:
    """The encoder and the tokenizer of that folder; the decoder was thrown away and begins anew."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(source)
    model = small_t5(len(tokenizer))
    encoder = T5EncoderModel.from_pretrained(source, dtype=torch.float32)
    model.load_state_dict(encoder.state_dict(), strict=False)
    return model, tokenizer


def train(options: argparse.Namespace) -> dict:
    """Train and save what the options say -> the log."""
    torch.manual_seed(options.seed)
    source = options.source
    model, tokenizer = continued(source) if source else fresh(options.seed)
    if options.compile:
        model.forward = torch.compile(model.forward, dynamic=True)
    log = {
        "command": " ".join(["python", "-m", "tools.pretrain_text", *sys.argv[1:]]),
        "machine": f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} used",
        "torch": torch.__version__,
        **pretrain(model, tokenizer, options),
    }
    if source:
        log["before"] = json.loads((source / LOG).read_text(encoding="utf-8"))
    save(model, tokenizer, options.out)
    return log


def probed(out: Path) -> dict:
    """The log of the encoder in that folder, with what the probe says of it."""
    log = json.loads((out / LOG).read_text(encoding="utf-8"))
    log["probe"] = probe_both(out)
    print(json.dumps(log["probe"], indent=1))
    return log


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Pretrain the small T5 encoder on text alone, or probe the one in --out."
    )
    add = parser.add_argument
    add("--minutes", type=float, default=15, help="of clock time (default: 15)")
    add("--out", type=Path, default=DATA / "weights" / "text", help="(default: data/weights/text)")
    add("--seed", type=int, default=0, help="of weights and text (default: 0)")
    add("--float32", action="store_true", help="no bfloat16 autocast")
    add("--compile", action="store_true", help="more steps, after a slow first minute")
    add(
        "--from",
        dest="source",
        type=Path,
        help="go on from the encoder in this folder, with its tokenizer",
    )
    add("--rate", type=float, default=PEAK, help=f"peak learning rate (default: {PEAK})")
    add("--probe", action="store_true", help="probe the encoder in --out, and log the result there")
    return parser


def main() -> None:
    options = command_line().parse_args()
    log = probed(options.out) if options.probe else train(options)
    text = json.dumps(log) + "\n"
    write(options.out / LOG, lambda temporary: temporary.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    main()
