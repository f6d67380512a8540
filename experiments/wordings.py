"""Which wordings of two shapes does the base read? `python -m experiments.wordings`, eight minutes
on one core.

The drawings of `minimagen evaluate --split held-out --kind pair --captions 512 --seed 1`, sorted by
what is new in each caption: the frame, how its objects are named (two ways count in both rows), or
how they stand to each other. right: what is right of them. states: the cosine between what the
network is given for "beneath" and for other words in its place, whitened as the network does it:
where two are near, it can hardly tell them apart. docs/WEIGHTS.md shows both.
"""

import re

import torch
import torch.nn.functional as F
from torch import Tensor

from experiments._common import command, digest, draw, machine, parser, shipped_base, write_json
from minimagen.cascade import Cascade
from minimagen.data.drawing import COLOURS, SHAPES
from minimagen.data.language import FRAMES, NOUNS, RELATIONS, SIZE_WORDS
from minimagen.evaluation.alignment import alignment
from minimagen.evaluation.exam import captions_and_references
from minimagen.files import shipped

CAPTIONS, SEED = 512, 1
NEW, WORDS = "beneath", ("below", "under", "above", "over", "left of", "right of", "near")


def new_parts(caption: str) -> list[str]:
    """The wordings in it that training never had."""
    relations = [wordings[1][0] for wordings in RELATIONS.values()]
    parts = [
        wording
        for wording in (*FRAMES[1], *NOUNS[1], *relations)
        if re.search(pattern(wording), caption)
    ]
    if not parts:
        raise ValueError(f"caption must have a held-out wording, got {caption!r}")
    return parts


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


def rows(right: dict[str, Tensor], captions: list[str]) -> dict[str, dict]:
    """The share that is right of the captions with each new wording; each is printed."""
    parts, table = [new_parts(caption) for caption in captions], {}
    for wording in sorted({part for some in parts for part in some}):
        here = torch.tensor([wording in some for some in parts])
        shares = {name: right[name][here].double().mean().item() for name in ("all", "objects")}
        table[wording] = {"captions": int(here.sum()), **shares}
        print(f"{wording:<40} {here.sum():3} captions, {shares['all']:.0%} right", flush=True)
    return table


def main() -> None:
    """Draw, read, sort, write."""
    cli = parser(__doc__, "wordings.json")
    cli.add_argument(
        "--captions", type=int, default=CAPTIONS, help=f"how many captions (default: {CAPTIONS})"
    )
    options = cli.parse_args()
    base = shipped_base()
    size = base.stages[0].size
    captions, _ = captions_and_references("shapes", "held-out", "pair", options.captions, size)
    right = alignment(draw(base, captions, SEED), captions).right
    settings = {"weights": digest(shipped("weights") / "base"), "command": command("wordings")}
    content = {"machine": machine(), "right": rows(right, captions), "states": states(base)}
    write_json(options.out, settings | content)


if __name__ == "__main__":
    main()
