"""Can a linear read-out of a text encoder's states tell which colour belongs to which shape?"""

import re
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, T5EncoderModel

from minimagen.data.drawing import COLOURS, SHAPES
from minimagen.data.shapes import UNSEEN_PAIRS, Shapes


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
    tokens = tokenizer(captions, padding=True, return_tensors="pt")
    ids, mask = tokens["input_ids"], tokens["attention_mask"]
    states = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    rows, names = [], []
    for i, caption in enumerate(captions):
        shapes = re.finditer("|".join(SHAPES), caption)
        colours = re.finditer(r"\b(" + "|".join(COLOURS) + r")\b", caption)
        for shape, colour in zip(shapes, colours, strict=True):
            rows.append(states[i, tokens.char_to_token(i, shape.start() + 1)])
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
        loss = F.cross_entropy(line(x / std), colour) + 1e-4 * line.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    y, shape, colour = read_out(encoder, tokenizer, "unseen", 2000)
    right = (line((y - mean[shape]) / std).argmax(1) == colour).double()
    pairs = zip(colour.tolist(), shape.tolist(), strict=True)
    known = torch.tensor([(list(COLOURS)[c], SHAPES[s]) not in UNSEEN_PAIRS for c, s in pairs])
    return {
        "never seen": round(right[~known].mean().item(), 4),
        "training pairs": round(right[known].mean().item(), 4),
    }


def probe_both(out: Path) -> dict:
    """The probe of the encoder in that folder, and of one like it with random weights."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(out)
    ours = T5EncoderModel.from_pretrained(out, dtype=torch.float32).eval()
    torch.manual_seed(0)
    return {
        "ours": probe(ours, tokenizer),
        "random weights": probe(T5EncoderModel(ours.config).eval(), tokenizer),
    }
