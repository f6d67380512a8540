"""Wordings that nobody had drawn before: `python -m experiments.fresh`, ten minutes on one core.

While the base was trained on, its drawings of held-out wordings were looked at, and what it read
wrongly told what its training captions and its text encoder's reading lacked. So these are others,
written down and committed before either was trained again, and drawn once. As with the held-out
ones, one part of each caption is new: the frame, how an object is named, or how two stand to each
other. Of other things than shapes the text encoder has read some of their words ("underneath",
"beside"). right: what `minimagen evaluate` counts, 256 captions of each kind at 64 pixels with the
stage's own settings; intervals hold 95 %.
"""

from experiments._common import (
    command,
    digest,
    draw,
    machine,
    parser,
    share,
    shipped_base,
    write_json,
)
from minimagen.data import language
from minimagen.data.shapes import Shapes
from minimagen.evaluation.alignment import alignment
from minimagen.files import shipped

KINDS, CAPTIONS = ("single", "pair", "triple"), 256
FRAMES = (
    "my grandmother embroidered {}",
    "a postcard of {}",
    "imagine {}",
    "{} scratched into the sand",
    "let us add {}",
    "the teacher drew {} for the class",
    "a sticker showing {}",
    "nothing is here but {}",
    "{} seen through a keyhole",
)
NOUNS = (
    "that {size} {colour} {shape}",
    "another {size} {colour} {shape}",
    "a {colour} {shape} that seems {size}",
    "a {size} {shape} tinted {colour}",
    "a {size} {shape} made of {colour} paper",
    "a {colour} kind of {shape} that is {size}",
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
    None: (
        "{0} beside {1}",
        "{0} as well as {1}",
        "{0} and not far away {1}",
    ),
}
TRIPLES = {
    "left of": ("{0}, {1} and {2} in this order from left to right",),
    "above": ("{0}, {1} and {2} in this order from top to bottom",),
    None: (
        "{0}, {1} and besides {2}",
        "{0} as well as {1} and {2}",
    ),
}


def captions(kind: str, count: int) -> list[str]:
    """Captions of that kind, these wordings in the place of the held-out ones."""
    held = lambda old, new: {
        relation: (wordings[0], new[relation]) for relation, wordings in old.items()
    }
    wordings = language.Wordings(
        frames=(language.FRAMES[0], FRAMES),
        nouns=(language.NOUNS[0], NOUNS),
        relations=held(language.RELATIONS, RELATIONS),
        triples=held(language.TRIPLES, TRIPLES),
    )
    data = Shapes(split="held-out", kinds={kind: 1.0}, wordings=wordings)
    return [data.caption(i) for i in range(count)]


def main() -> None:
    """Draw them, read the drawings, write what was right."""
    cli = parser(__doc__, "fresh.json")
    cli.add_argument(
        "--captions", type=int, default=CAPTIONS, help=f"of each kind (default: {CAPTIONS})"
    )
    options = cli.parse_args()
    base = shipped_base()
    stage = base.stages[0]
    right: dict[str, dict] = {}
    for kind in KINDS:
        prompts = captions(kind, options.captions)
        report = alignment(draw(base, prompts), prompts)
        counted = {name: report.counted(name) for name in report.right}
        # One shape has no relation.
        right[kind] = {name: share(values) for name, values in counted.items() if len(values)}
        print(kind, {name: round(row["value"], 3) for name, row in right[kind].items()}, flush=True)
    settings = {"weights": digest(shipped("weights") / "base"), "captions": options.captions}
    settings |= {"size": stage.size, "weight": stage.weight}
    settings |= {"command": command("fresh"), "machine": machine()}
    write_json(options.out, settings | {"right": right})


if __name__ == "__main__":
    main()
