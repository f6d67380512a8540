"""Which wordings of two shapes does the base read? `python -m experiments.wordings`, eight minutes
on one core.

The drawings of `minimagen evaluate --split held-out --kind pair --captions 512 --seed 1`, sorted by
what is new in each caption: the frame, how its objects are named (two ways count in both rows), or
how they stand to each other. right: what is right of them. states: the cosine between what the
network is given for "beneath" and for other words in its place, whitened as the network does it:
where two are near, it can hardly tell them apart. docs/WEIGHTS.md shows both.
"""

import hashlib
import json
import os
import re
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from minimagen.cascade import Cascade
from minimagen.data.drawing import COLOURS, SHAPES
from minimagen.data.language import FRAMES, NOUNS, RELATIONS, SIZE_WORDS
from minimagen.evaluation.alignment import alignment
from minimagen.evaluation.exam import captions_and_references
from minimagen.files import processor, shipped, write

CAPTIONS, BATCH, SEED = 512, 32, 1
NEW, WORDS = "beneath", ("below", "under", "above", "over", "left of", "right of", "near")
OUT = Path(__file__).with_name("results") / "wordings.json"


def new_parts(caption: str) -> list[str]:
    """The wordings in it that training never had."""
    relations = [wordings[1][0] for wordings in RELATIONS.values()]
    found = [
        wording
        for wording in (*FRAMES[1], *NOUNS[1], *relations)
        if re.search(pattern(wording), caption)
    ]
    if not found:
        raise ValueError(f"caption must have a held-out wording, got {caption!r}")
    return found


def pattern(wording: str) -> str:
    """{size}, {colour} and {shape} are any word for one; {}, {0} and {1} are anything."""
    words = {
        "{size}": [word for words in SIZE_WORDS.values() for word in words],
        "{colour}": COLOURS,
        "{shape}": SHAPES,
    }
    parts = re.split(r"({\w*})", wording.removeprefix("a "))
    return "".join(
        f"(?:{'|'.join(words.get(part, ['.*']))})" if part[:1] == "{" else re.escape(part)
        for part in parts
    )


def states(base: Cascade) -> dict[str, float]:
    """The cosine between NEW and each of WORDS, where the sentence is otherwise the same."""
    reader, (before, after) = base.stages[0].denoiser.net.reader, ("a red circle", "a blue square")

    def state(word: str) -> Tensor:
        text = base.encoder.encode([f"{before} {word} {after}"])
        first, behind = (
            base.encoder.encode([part]).mask.sum() - 1 for part in (before, after)
        )  # without the end token
        return reader.whiten(reader.norm(text.tokens))[
            0, first : len(text.tokens[0]) - 1 - behind
        ].mean(0)

    with torch.no_grad():
        return {word: F.cosine_similarity(state(NEW), state(word), 0).item() for word in WORDS}


def main() -> None:
    """Draw, read, sort, write."""
    base = Cascade.load(shipped("weights") / "base", device="cpu")
    captions, _ = captions_and_references(
        "shapes", "held-out", "pair", CAPTIONS, base.stages[0].size
    )
    pictures = torch.cat(
        [base.draw(captions[i : i + BATCH], SEED + i)[0] for i in range(0, CAPTIONS, BATCH)]
    )
    right, rows = alignment(pictures, captions).right, {}
    parts = [new_parts(caption) for caption in captions]
    for wording in sorted({part for found in parts for part in found}):
        here = torch.tensor([wording in found for found in parts])
        shares = {name: right[name][here].double().mean().item() for name in ("all", "objects")}
        rows[wording] = {"captions": int(here.sum()), **shares}
        print(f"{wording:<40} {here.sum():3} captions, {shares['all']:.0%} right", flush=True)
    digest = hashlib.sha256(
        (shipped("weights") / "base" / "weights.safetensors").read_bytes()
    ).hexdigest()
    told = {"weights": digest, "command": "python -m experiments.wordings"}
    told["machine"] = (
        f"{processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores, torch "
        f"{torch.__version__}"
    )
    content = json.dumps({**told, "right": rows, "states": states(base)}, indent=1) + "\n"
    write(OUT, lambda path: path.write_text(content, encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
