"""The tokenizer of the text encoder, and how spans of its tokens are hidden."""

import random
from collections.abc import Iterator

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

VOCABULARY, SENTINELS = 8000, 32


def train_tokenizer(
    lines: Iterator[str], vocabulary: int = VOCABULARY
) -> PreTrainedTokenizerFast:
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
            vocab_size=vocabulary - SENTINELS,
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
    gone, rest = split_at_random(hidden, spans, rng), len(ids) - hidden
    kept = split_at_random(rest + 1, spans + 1, rng) if rest >= spans else [1, rest]
    kept[rng.choice((0, -1))] -= 1  # a line may begin or end with a hidden span
    source, target, at = [], [], 0
    for i, (keep, hide) in enumerate(zip(kept, gone, strict=False)):
        sentinel = vocabulary - 1 - i
        source += [*ids[at : at + keep], sentinel]
        target += [sentinel, *ids[at + keep : at + keep + hide]]
        at += keep + hide
    return [*source, *ids[at:], 1], [*target, vocabulary - 1 - spans, 1]
