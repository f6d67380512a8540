"""Wordings that nobody had drawn before: `python -m experiments.fresh`, ten minutes on one core.

While the base was trained on, its drawings of held-out wordings were looked at, and what it read
wrongly told what its training captions and its text encoder's reading lacked. So these are others,
written down and committed before either was trained again, and drawn once. As with the held-out
ones, one part of each caption is new: the frame, how an object is named, or how two stand to each
other. Of other things than shapes the text encoder has read some of their words ("underneath",
"beside"). right: what `minimagen evaluate` counts, 256 captions of each kind at 64 pixels with the
stage's own settings; intervals hold 95 %.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from unittest import mock

import torch

from minimagen.cascade import Cascade
from minimagen.data import language, shapes
from minimagen.evaluation.alignment import alignment
from minimagen.files import processor, shipped, write

KINDS, CAPTIONS, BATCH = ("single", "pair", "triple"), 256, 32
FRAMES = (
    *(
        "my grandmother embroidered {}",
        "a postcard of {}",
        "imagine {}",
        "{} scratched into the sand",
        "let us add {}",
    ),
    *(
        "the teacher drew {} for the class",
        "a sticker showing {}",
        "nothing is here but {}",
        "{} seen through a keyhole",
    ),
)
NOUNS = (
    *(
        "that {size} {colour} {shape}",
        "another {size} {colour} {shape}",
        "a {colour} {shape} that seems {size}",
    ),
    *("a {size} {shape} tinted {colour}", "a {size} {shape} made of {colour} paper"),
    *("a {colour} kind of {shape} that is {size}",),
)
RELATIONS = {
    "left of": (
        "{0} a little to the left of {1}",
        "{1} placed to the right of {0}",
        "{0} sits left of {1}",
    ),
    "above": (
        "{1} underneath {0}",
        "{0} on top of {1}",
        "{1} hangs below {0}",
        "{0} floats above {1}",
    ),
    None: ("{0} beside {1}", "{0} as well as {1}", "{0} and not far away {1}"),
}
TRIPLES = {
    "left of": ("{0}, {1} and {2} in this order from left to right",),
    "above": ("{0}, {1} and {2} in this order from top to bottom",),
    None: ("{0}, {1} and besides {2}", "{0} as well as {1} and {2}"),
}
OUT = Path(__file__).with_name("results") / "fresh.json"


def captions(kind: str) -> list[str]:
    """Captions of that kind, these wordings in the place of the held-out ones."""
    held = lambda old, new: {
        relation: (wordings[0], new[relation]) for relation, wordings in old.items()
    }
    places = {
        "RELATIONS": held(language.RELATIONS, RELATIONS),
        "TRIPLES": held(language.TRIPLES, TRIPLES),
    }
    with mock.patch.multiple(
        shapes, FRAMES=(language.FRAMES[0], FRAMES), NOUNS=(language.NOUNS[0], NOUNS), **places
    ):
        data = shapes.Shapes(split="held-out", kinds={kind: 1.0})
        return [data.caption(i) for i in range(CAPTIONS)]


def main() -> None:
    """Draw them, read the drawings, write what was right."""
    base = Cascade.load(shipped("weights") / "base", device="cpu")
    digest = hashlib.sha256(
        (shipped("weights") / "base" / "weights.safetensors").read_bytes()
    ).hexdigest()
    told = {
        "weights": digest,
        "captions": CAPTIONS,
        "size": base.stages[0].size,
        "weight": base.stages[0].weight,
    }
    told |= {"command": "python -m experiments.fresh"}
    told["machine"] = (
        f"{processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores, torch "
        f"{torch.__version__}"
    )
    right: dict[str, dict] = {}
    for kind in KINDS:
        prompts = captions(kind)
        report = alignment(
            torch.cat([base.draw(prompts[i : i + BATCH], i)[0] for i in range(0, CAPTIONS, BATCH)]),
            prompts,
        )
        right[kind] = {}
        for name in report.right:
            if len(report.counted(name)):  # one shape has no relation
                low, high = report.interval(name)
                right[kind][name] = {"value": report.share(name), "low": low, "high": high}
        print(
            kind,
            {name: round(share["value"], 3) for name, share in right[kind].items()},
            flush=True,
        )
    content = json.dumps({**told, "right": right}, indent=1) + "\n"
    write(OUT, lambda path: path.write_text(content, encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
