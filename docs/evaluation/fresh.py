"""Wordings that nobody had drawn before: `python docs/evaluation/fresh.py`, ten minutes on one core.

While the base was trained on, its drawings of held-out wordings were looked at, and what it read wrongly told what its training
captions lacked. So these are others, written down before the last leg had drawn anything, and drawn once. As with the held-out
ones, one part of each caption is new: the frame, how an object is named, or how two stand to each other. right: what
`minimagen evaluate` counts, 256 captions of each kind at 64 pixels with the stage's own settings; intervals hold 95 %.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from unittest import mock

import torch

from minimagen import shapes
from minimagen.cascade import Cascade
from minimagen.evaluate import alignment
from minimagen.files import processor, shipped, write

KINDS, CAPTIONS, BATCH = ("single", "pair", "triple"), 256, 32
FRAMES = (
    *("my sister drew {}", "a stamp bearing {}", "now we need {}", "{} cut out of cardboard", "somebody hung up {}"),
    *("a window through which one sees {}", "{} printed by a machine", "the answer is {}", "a flag made of {}"),
)
NOUNS = (
    *("a {shape} of {colour} colour", "some {size} {colour} {shape}", "a {size} {shape} filled in {colour}"),
    *("a {colour} {shape} that looks {size}", "my {size} {colour} {shape}", "a {shape} drawn {size} in {colour}"),
)
RELATIONS = {
    "left of": ("{0} somewhere to the left of {1}", "{1} to the far right of {0}", "{0} stands left of {1}"),
    "above": ("{0} high above {1}", "{1} directly below {0}", "{0} hovers over {1}", "{1} lies under {0}"),
    None: ("{0} along with {1}", "{0} and then {1}", "{0} and next to it {1}"),
}
TRIPLES = {
    "left of": ("{0}, then {1} and then {2} from left to right",),
    "above": ("{0}, then {1} and then {2} from top to bottom",),
    None: ("{0}, {1} and last {2}", "{0} and then {1} and also {2}"),
}
OUT = Path(__file__).with_name("fresh.json")


def captions(kind: str) -> list[str]:
    """Captions of that kind, these wordings in the place of the held-out ones."""
    held = lambda old, new: {relation: (wordings[0], new[relation]) for relation, wordings in old.items()}
    places = {"RELATIONS": held(shapes.RELATIONS, RELATIONS), "TRIPLES": held(shapes.TRIPLES, TRIPLES)}
    with mock.patch.multiple(shapes, FRAMES=(shapes.FRAMES[0], FRAMES), NOUNS=(shapes.NOUNS[0], NOUNS), **places):
        data = shapes.Shapes(split="held-out", kinds={kind: 1.0})
        return [data.caption(i) for i in range(CAPTIONS)]


def main() -> None:
    """Draw them, read the drawings, write what was right."""
    base = Cascade.load(shipped("weights") / "base", device="cpu")
    digest = hashlib.sha256((shipped("weights") / "base" / "weights.safetensors").read_bytes()).hexdigest()
    told = {"weights": digest, "captions": CAPTIONS, "size": base.stages[0].size, "weight": base.stages[0].weight}
    told |= {"command": "python docs/evaluation/fresh.py"}
    told["machine"] = f"{processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores, torch {torch.__version__}"
    right: dict[str, dict] = {}
    for kind in KINDS:
        prompts = captions(kind)
        report = alignment(torch.cat([base.draw(prompts[i : i + BATCH], i)[0] for i in range(0, CAPTIONS, BATCH)]), prompts)
        right[kind] = {}
        for name in report.right:
            if len(report.counted(name)):  # one shape has no relation
                low, high = report.interval(name)
                right[kind][name] = {"value": report.share(name), "low": low, "high": high}
        print(kind, {name: round(share["value"], 3) for name, share in right[kind].items()}, flush=True)
    content = json.dumps({**told, "right": right}, indent=1) + "\n"
    write(OUT, lambda path: path.write_text(content, encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
