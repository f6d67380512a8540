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
import lzma
import os
import platform
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor
from tqdm import tqdm
from transformers import (
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
)

from minimagen.data.drawing import COLOURS, SHAPES, Facts
from minimagen.data.language import SIZE_WORDS, describe, parse
from minimagen.data.shapes import UNSEEN_PAIRS, Shapes, draw_facts
from minimagen.files import write

DATA = Path(__file__).resolve().parents[1] / "data"
VOCABULARY, SENTINELS, LONGEST = 8000, 32, 48
BATCH, PEAK = 64, 2e-3
KINDS = {
    "single": 0.25,
    "pair": 0.5,
    "count": 0.1,
    "triple": 0.15,
}  # pages with several objects are worth reading
NAMES = {
    *SHAPES,
    *(f"{s}s" for s in SHAPES),
    *COLOURS,
    *(w for some in SIZE_WORDS.values() for w in some),
}
PLACES = {  # how everyday English says where two things stand: {0} is the left or the upper one
    "left of": (
        *(
            "{0} to the left of {1}",
            "{0} left of {1}",
            "{0} on the left side of {1}",
            "{0} at the left of {1}",
        ),
        *(
            "{1} to the right of {0}",
            "{1} right of {0}",
            "{1} on the right side of {0}",
            "{1} at the right of {0}",
        ),
        *(
            "{0} on the left and {1} on the right",
            "{1} on the right and {0} on the left",
            "on the left {0}, on the right {1}",
        ),
        *(
            "to the right of {0} is {1}",
            "to the left of {1} is {0}",
            "{0}, and to its right {1}",
            "{1}, and to its left {0}",
        ),
    ),
    "above": (
        *(
            "{0} above {1}",
            "{0} over {1}",
            "{0} on top of {1}",
            "{0} atop {1}",
            "{0} higher than {1}",
            "{0} upon {1}",
        ),
        *(
            "{1} below {0}",
            "{1} under {0}",
            "{1} beneath {0}",
            "{1} underneath {0}",
            "{1} lower than {0}",
        ),
        *(
            "{0} at the top and {1} at the bottom",
            "{1} at the bottom and {0} at the top",
            "at the top {0}, at the bottom {1}",
        ),
        *(
            "above {1} is {0}",
            "over {1} is {0}",
            "below {0} is {1}",
            "under {0} is {1}",
            "beneath {0} is {1}",
        ),
        *(
            "{0}, and below it {1}",
            "{0}, and beneath it {1}",
            "{1}, and above it {0}",
            "{1}, and over it {0}",
        ),
    ),
    "and": (
        *(
            "{0} and {1}",
            "{0} next to {1}",
            "{0} together with {1}",
            "{0} with {1}",
            "{0} beside {1}",
            "{0} along with {1}",
        ),
        *(
            "{0} as well as {1}",
            "{0} near {1}",
            "{0} and also {1}",
            "both {0} and {1}",
            "{0} plus {1}",
        ),
    ),
}
QUALITIES = (  # how it says what size or what colour a thing has
    *(
        "{size} {colour} {name}",
        "{size} {colour} {name}",
        "{colour} {name}",
        "{size} {name}",
        "{colour} {size} {name}",
    ),
    *(
        "{name} in {colour}",
        "{size} {name} in {colour}",
        "{name} that is {size} and {colour}",
        "{name} coloured {colour}",
    ),
    *(
        "{size} {name} that is {colour}",
        "{colour} {name} that is {size}",
        "{colour} {name} which looks {size}",
    ),
    *(
        "{name} of {size} size",
        "{colour} {name} of {size} size",
        "{name} of {size} size in {colour}",
    ),
    *(
        "{name}, {size} and {colour}",
        "{size} {name} of {colour} colour",
        "{size} {name} painted {colour}",
    ),
    *("{size} {name} whose colour is {colour}", "{name} whose colour is {colour}"),
)
Line = Callable[
    [random.Random], str | tuple[str, str]
]  # one way to draw a line of text, or what is read and what to write

# ----------------------------------------------------------------------------------------- the text


def read_xz(path: Path) -> list[str]:
    return lzma.decompress(path.read_bytes()).decode("utf-8").splitlines()


def names_unseen(line: str) -> bool:
    """Whether a line holds both words of a never-seen pair ("yellow heart" is an emoji): such lines
    are left out.
    """
    words = set(re.findall("[a-z]+", line.lower()))
    return any(colour in words and words & {shape, f"{shape}s"} for colour, shape in UNSEEN_PAIRS)


def shape_line(rng: random.Random) -> str:
    """A page of shapes in one wording, or (3 of 4) in two, so that a word hidden in one must be
    looked up in the other.

    Whose colour it is then matters, which no single caption ever tests: its colours are free.
    Training wordings and pairs only.
    """
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    facts = draw_facts(kind, False, rng)
    first, second = (describe(facts, kind, False, rng) for _ in range(2))
    return rng.choice((first, *3 * (f"{first}; {second}",)))


def plain(facts: Facts) -> str:
    """The same facts in the one fixed wording: sizes by their first word, the left or upper object
    first, no articles.
    """
    nouns = [" ".join(part for part in (o.size, o.colour, o.shape) if part) for o in facts.objects]
    return f" {facts.relation or 'and'} ".join(nouns)


def shape_pair(glosses: list[str], rng: random.Random) -> tuple[str, str]:
    """A caption in any wording, and its facts said plainly; 1 in 3 stands beside a few words of a
    definition, to be ignored.
    """
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    caption = describe(draw_facts(kind, False, rng), kind, False, rng)
    facts = plain(parse(caption))
    if rng.random() < 1 / 3:
        words = [w for w in re.findall("[a-z]+", rng.choice(glosses).lower()) if w not in NAMES]
        start = rng.randrange(max(len(words) - 3, 1))
        few = " ".join(words[start : start + rng.randint(1, 5)])
        caption = rng.choice((f"{few} {caption}", f"{caption} {few}"))
    return caption, facts


def emoji_pair(records: list[dict], rng: random.Random) -> tuple[str, str]:
    """Another name or some tags of an emoji, and its caption; 1 in 2 beside a second, the left or
    upper one written first.
    """
    first, second = (rng.choice(records) for _ in range(2))
    tags = lambda record: ", ".join(rng.sample(record["tags"], min(3, len(record["tags"]))))
    said = [
        rng.choice((record["caption"], *record["also"], tags(record))) for record in (first, second)
    ]
    if names_unseen(" ".join([*said, first["caption"], second["caption"]])):
        return emoji_pair(records, rng)
    if rng.random() < 1 / 2:
        return said[0], first["caption"]
    relation = rng.choice(list(PLACES))
    return rng.choice(PLACES[relation]).format(
        *said
    ), f"{first['caption']} {relation} {second['caption']}"


def thing_pair(things: list[str], rng: random.Random) -> tuple[str, str]:
    """One to three things, none of them a shape, in made-up sizes and colours: in everyday English,
    and said plainly.
    """
    chosen = rng.sample(things, rng.choices((1, 2, 3), (2, 5, 1))[0])
    said, written = zip(*(thing_said(name, rng) for name in chosen), strict=True)
    if len(said) == 1:
        return said[0], written[0]
    if len(said) == 3:
        return f"{said[0]}, {said[1]} and {said[2]}", " and ".join(written)
    relation = rng.choice(list(PLACES))
    return rng.choice(PLACES[relation]).format(*said), f" {relation} ".join(written)


def thing_said(name: str, rng: random.Random) -> tuple[str, str]:
    """A thing with a size, a colour or both, and the same in the plain order: size by its first
    word, colour, name.
    """
    size, colour = rng.choice(list(SIZE_WORDS)), rng.choice(list(COLOURS))
    wording = rng.choice(QUALITIES)
    said = (
        rng.choice(("a", "the", "one"))
        + " "
        + wording.format(size=rng.choice(SIZE_WORDS[size]), colour=colour, name=name)
    )
    parts = [size if "{size}" in wording else "", colour if "{colour}" in wording else "", name]
    return re.sub(r"^a (?=[aeio])", "an ", said), " ".join(part for part in parts if part)


def emoji_line(records: list[dict], rng: random.Random) -> str:
    """A caption alone, with its tags in any order before or after it, in a frame, or two captions
    with a relation.
    """
    record, other = rng.choice(records), rng.choice(records)
    name = rng.choice([record["caption"], *record["also"]])
    tags = ", ".join(rng.sample(record["tags"], min(len(record["tags"]), 6)))
    relation = rng.choice(
        ("to the left of", "to the right of", "above", "below", "and", "next to", "with")
    )
    line = rng.choice(
        (
            name,
            f"{name}: {tags}",
            f"{name}: {tags}",
            f"{tags}: {name}",
            f"a picture of {name}, {record['subgroup'].replace('-', ' ')}",
            f"{name} {relation} {other['caption']}",
        )
    )
    return emoji_line(records, rng) if names_unseen(line) else line


def sources(validation: bool) -> dict[str, Line]:
    """The kinds of text and their shares; one gloss in 100 and one emoji in 50 are kept for
    validation; shapes have no end.
    """
    glosses = [line for line in read_xz(DATA / "text" / "wordnet.txt.xz") if not names_unseen(line)]
    glosses = [line for i, line in enumerate(glosses) if (i % 100 == 0) == validation]
    drawings = [
        json.loads(line)
        for style in ("fluent-flat", "noto")
        for line in read_xz(DATA / "emoji" / f"{style}.jsonl.xz")
    ]
    records = {
        record["code"]: {k: record[k] for k in ("caption", "also", "tags", "subgroup")}
        for record in drawings
    }
    records = [record for i, record in enumerate(records.values()) if (i % 50 == 0) == validation]
    things = [
        record["caption"]
        for record in records
        if not NAMES & set(re.findall("[a-z]+", record["caption"].lower()))
    ]
    return {
        "shapes": shape_line,
        "emoji": lambda rng: emoji_line(records, rng),
        "wordnet": lambda rng: rng.choice(glosses),
        "shapes, said plainly": lambda rng: shape_pair(glosses, rng),
        "emoji, said plainly": lambda rng: emoji_pair(records, rng),
        "things, said plainly": lambda rng: thing_pair(things, rng),
    }


SHARES = {
    "shapes": 1,
    "emoji": 1,
    "wordnet": 2,
    "shapes, said plainly": 3,
    "emoji, said plainly": 1,
    "things, said plainly": 2,
}


# ------------------------------------------------------------------------------------ the tokenizer


def train_tokenizer(lines: Iterator[str]) -> PreTrainedTokenizerFast:
    """A lower-case BPE tokenizer that appends </s> as T5's does; <extra_id_0> is the last piece.

    T5 has a Unigram model; at this size Unigram splits common words ("purple", "little") and BPE
    never does.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    )
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(
        lines,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY - SENTINELS,
            special_tokens=special,
            show_progress=False,
            max_token_length=16,
            limit_alphabet=200,
        ),
    )
    sentinels = [f"<extra_id_{i}>" for i in reversed(range(SENTINELS))]
    tokenizer.add_special_tokens(sentinels)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=sentinels[::-1],
        model_max_length=64,
    )


# ---------------------------------------------------------------------------------- span corruption


def split_at_random(total: int, parts: int, rng: random.Random) -> list[int]:
    """`total` as a sum of `parts` positive whole numbers, every way equally likely."""
    cuts = [0, *sorted(rng.sample(range(1, total), parts - 1)), total]
    return [b - a for a, b in zip(cuts, cuts[1:], strict=False)]


def corrupt(ids: list[int], vocabulary: int, rng: random.Random) -> tuple[list[int], list[int]]:
    """Hide 15 % of `ids` (without </s>) in spans of mean length 3: (what the encoder reads, what
    the decoder must write).
    """
    hidden = min(max(round(0.15 * len(ids)), 1), len(ids) - 1)
    spans = max(round(hidden / 3), 1)
    gone = split_at_random(hidden, spans, rng)
    kept = (
        split_at_random(len(ids) - hidden + 1, spans + 1, rng)
        if len(ids) - hidden >= spans
        else [1, len(ids) - hidden]
    )
    kept[rng.choice((0, -1))] -= 1  # a line may begin or end with a hidden span
    source, target, at = [], [], 0
    for i, (keep, hide) in enumerate(zip(kept, gone, strict=False)):
        sentinel = vocabulary - 1 - i
        source += [*ids[at : at + keep], sentinel]
        target += [sentinel, *ids[at + keep : at + keep + hide]]
        at += keep + hide
    return [*source, *ids[at:], 1], [*target, vocabulary - 1 - spans, 1]


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
        return (
            tokenizer(texts, add_special_tokens=False, truncation=True, max_length=LONGEST - 1)[
                "input_ids"
            ]
            if texts
            else []
        )

    while True:
        kinds = rng.choices(list(lines), [SHARES[kind] for kind in lines], k=16 * BATCH)
        pool = [lines[kind](rng) for kind in kinds]
        rows = ids([one for one in pool if isinstance(one, str)])
        hidden = [corrupt(row, len(tokenizer), rng) for row in rows if len(row) > 1]
        said = [both for both in pool if not isinstance(both, str)]
        asked = zip(ids([a for a, _ in said]), ids([b for _, b in said]), strict=True)
        pairs = sorted(
            [*hidden, *(([*a, 1], [*b, 1]) for a, b in asked)], key=lambda pair: len(pair[0])
        )
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
    model: T5ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, given: argparse.Namespace
) -> dict:
    """Train for `minutes` of clock time; the learning rate warms up for 100 steps and falls to 0
    linearly with the clock.
    """
    minutes, seed, fast, held = given.minutes, given.seed, not given.float32, {}
    for kind, line in sources(validation=True).items():
        stream = batches({kind: line}, tokenizer, random.Random(f"validation {seed}"))
        held[kind] = [next(stream) for _ in range(4)]
    stream = batches(sources(validation=False), tokenizer, random.Random(f"train {seed}"))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=PEAK, betas=(0.9, 0.98), weight_decay=0.1, fused=True
    )
    log = {"train": [], "validation": [{"step": 0, **validate(model, held)}]}
    begin, step, recent, told = time.monotonic(), 0, [], 0.0
    bar = tqdm(total=round(60 * minutes), unit="s", mininterval=2)
    while (spent := (time.monotonic() - begin) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = given.rate * min((step + 1) / 100, 1 - spent)
        loss = loss_of(model, next(stream), fast)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        recent.append(loss.item())
        bar.update(round(60 * minutes * spent) - bar.n)
        if step % 50 == 0:
            log["train"].append([step, round(sum(recent) / len(recent), 4)])
            bar.set_postfix(step=step, loss=log["train"][-1][1])
            recent = []
        if spent - told >= 0.1:
            told = spent
            log["validation"].append({"step": step, **validate(model, held)})
    bar.close()
    log["validation"].append({"step": step, **validate(model, held)})
    return {"steps": step, "lines": step * BATCH, **log}


def save(model: T5ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """The encoder alone, in float16, and its tokenizer: a folder that
    `T5EncoderModel.from_pretrained` loads.
    """
    encoder = T5EncoderModel(model.config)
    encoder.load_state_dict(model.state_dict(), strict=False)
    encoder.half().save_pretrained(out)
    tokenizer.save_pretrained(out)


# ---------------------------------------------------------------------------------------- the probe


@torch.no_grad()
def read_out(
    encoder: T5EncoderModel, tokenizer: PreTrainedTokenizerFast, split: str, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """States (N, D) at the shape words of two-object captions, and which shape and which colour
    (N,) each one is.

    The k-th shape word and the k-th colour word of a caption always belong together.
    """
    pages = Shapes(split=split, kinds={"pair": 1.0})
    captions = [pages.caption(i) for i in range(count)]
    found = tokenizer(captions, padding=True, return_tensors="pt")
    states = encoder(
        input_ids=found["input_ids"], attention_mask=found["attention_mask"]
    ).last_hidden_state
    rows, names = [], []
    for i, caption in enumerate(captions):
        nouns = (
            re.finditer("|".join(SHAPES), caption),
            re.finditer(r"\b(" + "|".join(COLOURS) + r")\b", caption),
        )
        for shape, colour in zip(*nouns, strict=True):
            rows.append(states[i, found.char_to_token(i, shape.start() + 1)])
            names.append((SHAPES.index(shape[0]), list(COLOURS).index(colour[0])))
    return torch.stack(rows), *torch.tensor(names).T


def probe(encoder: T5EncoderModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, float]:
    """Share of colours read off rightly from the shape's word, in new captions: never-seen (colour,
    shape) pairs, the others.

    Logistic regression fitted on 4,000 training captions. The mean state of each shape word is
    subtracted first: else the read-out learns that no star is red from the training pairs
    themselves. 1 in 8 by guessing; 1 in 2 by knowing which two colours the caption names but not
    whose they are.
    """
    x, shape, colour = read_out(encoder, tokenizer, "train", 4000)
    mean = torch.stack([x[shape == k].mean(0) for k in range(len(SHAPES))])
    x = x - mean[shape]
    std = x.std(0) + 1e-6
    line = torch.nn.Linear(x.shape[1], len(COLOURS))
    optimizer = torch.optim.LBFGS(line.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (
            torch.nn.functional.cross_entropy(line(x / std), colour)
            + 1e-4 * line.weight.square().sum()
        )
        loss.backward()
        return loss

    optimizer.step(closure)
    y, shape, colour = read_out(encoder, tokenizer, "unseen", 2000)
    right = (line((y - mean[shape]) / std).argmax(1) == colour).double()
    known = [
        (list(COLOURS)[c], SHAPES[s]) not in UNSEEN_PAIRS
        for c, s in zip(colour.tolist(), shape.tolist(), strict=True)
    ]
    known = torch.tensor(known)
    return {
        "never seen": round(right[~known].mean().item(), 4),
        "training pairs": round(right[known].mean().item(), 4),
    }


def probe_both(out: Path) -> dict:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(out)
    ours = T5EncoderModel.from_pretrained(out, dtype=torch.float32).eval()
    torch.manual_seed(0)
    return {
        "ours": probe(ours, tokenizer),
        "random weights": probe(T5EncoderModel(ours.config).eval(), tokenizer),
    }


def processor() -> str:
    """What the machine calls its processor, where it says so."""
    told = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", told.read_text()) if told.exists() else []
    return names[0] if names else platform.machine()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Pretrain the small T5 encoder on text alone, or probe the one in --out."
    )
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--out", type=Path, default=DATA / "weights" / "text")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--float32", action="store_true", help="no bfloat16 autocast")
    parser.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile: more steps, after a slow first minute",
    )
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        help="go on from the encoder in this folder, with its tokenizer",
    )
    parser.add_argument(
        "--rate", type=float, default=PEAK, help=f"peak learning rate (default: {PEAK})"
    )
    parser.add_argument(
        "--probe",
        action="store_true",
        help="probe the encoder in --out and write the result to its log",
    )
    return parser.parse_args()


def main() -> None:
    given = arguments()
    log_file = given.out / "training_log.json"
    if given.probe:
        log = {**json.loads(log_file.read_text()), "probe": probe_both(given.out)}
        print(json.dumps(log["probe"], indent=1))
    else:
        torch.manual_seed(given.seed)
        before = {}
        if given.source:
            before = {"before": json.loads((given.source / log_file.name).read_text())}
            tokenizer = PreTrainedTokenizerFast.from_pretrained(given.source)
            model = small_t5(len(tokenizer))
            encoder = T5EncoderModel.from_pretrained(given.source, dtype=torch.float32)
            model.load_state_dict(
                encoder.state_dict(), strict=False
            )  # the decoder was thrown away: it begins anew
        else:
            rng, draws = random.Random(f"tokenizer {given.seed}"), sources(validation=False)
            shares = {"shapes": 50_000, "emoji": 50_000, "wordnet": 150_000}
            tokenizer = train_tokenizer(
                draws[kind](rng) for kind, count in shares.items() for _ in range(count)
            )
            model = small_t5(len(tokenizer))
        if given.compile:
            model.forward = torch.compile(model.forward, dynamic=True)
        log = {
            "command": "python -m tools.pretrain_text " + " ".join(sys.argv[1:]),
            "machine": f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} used",
            "torch": torch.__version__,
            **pretrain(model, tokenizer, given),
            **before,
        }
        save(model, tokenizer, given.out)
    write(log_file, lambda temporary: temporary.write_text(json.dumps(log) + "\n"))


if __name__ == "__main__":
    main()
