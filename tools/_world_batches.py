"""Sayings and lines of `World` as batches of tokens, for `school_text`."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tools._world_text import Saying, Words
from tools.pretrain_text import LONGEST, padded


@dataclass(frozen=True)
class Batch:
    """ids (B, L), 0 where there is none, and labels (B, M), -100 likewise: first P captions in
    other words, then lines with something hidden. seen (B, L): the states that the decoder is
    shown. captions (P, K): the ids of the captions themselves; here (P, G, K), there (P, G, L): the
    weights of the mean over the tokens of each group of words, in the caption and in other words.
    """

    ids: Tensor
    seen: Tensor
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
        seen = ids != 0
        for row, saying in enumerate(sayings):
            if saying.alone is not None and means[1][row, saying.alone].any():
                seen[row] = means[1][row, saying.alone] > 0
        return Batch(ids, seen, labels, captions, *means)


def averages(spans: list[list[tuple[int, int]]], length: int) -> Tensor:
    """(P, G, L): row g of a line averages the tokens of its span g; nothing where a span is cut
    off."""
    weights = torch.zeros(len(spans), max(map(len, spans)), length)
    for row, line in zip(weights, spans, strict=True):
        for k, (begin, end) in enumerate(line):
            if end < min(length, LONGEST):
                row[k, begin:end] = 1 / (end - begin)
    return weights
