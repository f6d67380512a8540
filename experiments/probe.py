"""What do the states of a frozen text encoder tell? `python -m experiments.probe`, a quarter of an
hour on one core.

For each encoder a small read-out, one layer of attention and a line, is fitted on captions of
World's training split, without any picture, and asked of captions that it never met: whose colour
is it, where does it stand, and what do the words mean that no caption of training has ("crimson")?
Nothing but the encoder's own schooling can tell it that. Encoders whose folder or package is not
there are left out; what the file holds already is not measured again. `tools.words_figure` draws
probe.json; docs/TEXT.md tells it.
"""

import importlib.util
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from experiments._common import (
    command,
    machine,
    parser,
    read_results,
    results,
    rounded,
    share,
    untrained_encoder,
)
from experiments._probe import PROBES, Group, Make, asked, encoded, pages, verdicts
from experiments.encoders import MINILM, Vectors, minilm
from minimagen.files import shipped
from minimagen.text import TextEncoder

WORLD = shipped("weights") / "world-text"
CONTRASTIVE = Path("runs/contrastive")  # where `tools.school_contrastive` leaves it
CAPTIONS, ASKED, STEPS = 5000, 600, 800  # to fit on, to ask of, steps of the fit
TIMED = 1000  # captions whose encoding is timed

ENCODERS: dict[str, Callable[[], TextEncoder | Vectors]] = {
    "random vectors": lambda: Vectors(0, WORLD),
    "random T5": lambda: untrained_encoder(0, WORLD),
    "contrastive": lambda: TextEncoder(CONTRASTIVE, "cpu"),
    "MiniLM": lambda: minilm(0),
    "T5 of the old world": lambda: TextEncoder(device="cpu"),
    "T5 of World": lambda: TextEncoder(WORLD, "cpu"),
}


def missing(name: str) -> bool:
    """Whether the folder or the package of that encoder is not there."""
    if name == "MiniLM":
        return importlib.util.find_spec(MINILM) is None
    return name == "contrastive" and not CONTRASTIVE.is_dir()


def seconds(encoder: TextEncoder | Vectors) -> float:
    """Processor seconds that 1,000 captions take."""
    captions = [caption for _, caption in itertools.islice(pages("train", "pair", 5), TIMED)]
    encoded(encoder.encode, captions[:100])
    begin = time.process_time()
    encoded(encoder.encode, captions)
    return round(time.process_time() - begin, 2)


def measured(
    encoder: TextEncoder | Vectors, questions: Callable[[Make, int, int], list[Group]], sizes: dict
) -> dict[str, dict[str, float]]:
    """Row -> the share of right answers with its interval."""
    found = {}
    for probe in PROBES.values():
        train = questions(probe.train, 1, sizes["captions"])
        rows = {name: questions(make, 2, sizes["asked"]) for name, (make, _) in probe.rows.items()}
        each = verdicts(encoder.encode, train, rows, probe.answers, sizes["steps"])
        found |= {name: rounded(share(right), 4) for name, right in each.items()}
    return found


def main() -> None:
    """Measure what is not yet there, and save after each encoder."""
    cli = parser(__doc__, "probe.json")
    cli.add_argument("--encoder", nargs="+", choices=ENCODERS, default=list(ENCODERS))
    cli.add_argument("--captions", type=int, default=CAPTIONS, help=f"(default: {CAPTIONS})")
    cli.add_argument("--asked", type=int, default=ASKED, help=f"(default: {ASKED})")
    cli.add_argument("--steps", type=int, default=STEPS, help=f"(default: {STEPS})")
    options = cli.parse_args()
    sizes = {"captions": options.captions, "asked": options.asked, "steps": options.steps}
    chance = {row: round(p, 4) for probe in PROBES.values() for row, (_, p) in probe.rows.items()}
    settings = sizes | {"chance": chance}
    known: dict[tuple, list[Group]] = {}

    def questions(make: Make, seed: int, count: int) -> list[Group]:
        """The same for every encoder, made once."""
        key = (make, seed)
        known[key] = known.get(key) or asked(make, seed, count)
        return known[key]

    for name in options.encoder:
        if missing(name):
            print(f"{name} is left out: it is not there", file=sys.stderr)
        elif name not in read_results(options.out, settings).get("encoders", {}):
            encoder = ENCODERS[name]()
            row = {"machine": machine(), "seconds for 1000 captions": seconds(encoder)}
            row["right"] = measured(encoder, questions, sizes)
            with results(options.out, settings) as kept:
                kept["command"] = command("probe")
                every = kept.get("encoders", {}) | {name: row}
                kept["encoders"] = {key: every[key] for key in ENCODERS if key in every}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
