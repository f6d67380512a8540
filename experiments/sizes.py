"""Which helps more, a larger text encoder or a larger network? Two of each, trained on lesson 11's
world of 16 x 16 pixels.

    python -m experiments.sizes
        all points: ten minutes on one core
    python -m experiments.sizes --encoder small
        the points of one encoder; --seed 2: those of another seed
    python -m experiments.sizes --steps 3 --encoder small --seed 0 --out /tmp/quick.json
        a quick look

The large encoder is the shipped one, the small one its first block alone. Each of the four pairs of
an encoder and a network is trained for the same number of steps on pages with one object, captioned
in training wordings, from the same seed. A point is a guidance weight. right: a 1 for each drawing,
asked for in a held-out wording, that is right in size, colour and shape (the nearest of all pages
says what it shows), else a 0. frechet: the distance of these drawings to real pages, in mean
colours. Lesson 14 draws experiments/results/sizes.json.
"""

import itertools

from experiments._common import command, machine, merged, parser, results
from experiments._world16 import BATCH, CHANNELS, TRUTH, options, points
from minimagen.text import TextEncoder

BLOCKS = {"small": 1, "large": 4}  # of the encoder


def encoder_of(size: str) -> tuple[TextEncoder, dict]:
    """The encoder, and what is written down of it."""
    encoder = TextEncoder("shipped", "cpu")
    stack = encoder.model.encoder
    stack.block = stack.block[: BLOCKS[size]]
    row = {"blocks": len(stack.block)}
    row |= {"parameters": sum(p.numel() for p in encoder.model.parameters())}
    return encoder, row | {"fingerprint": encoder.fingerprint}


def place(point: dict) -> tuple:
    """Where the point stands in the file."""
    sizes = list(BLOCKS)
    network, encoder = sizes.index(point["network"]), sizes.index(point["encoder"])
    return encoder, network, point["seed"], point["weight"]


def main() -> None:
    """Measure all that is chosen, and save after each network."""
    chosen = options(parser(__doc__, "sizes.json"), BLOCKS)
    settings = {"steps": chosen.steps, "batch": BATCH, "drawings": len(TRUTH)}
    for size in chosen.encoder:
        encoder, row = encoder_of(size)
        for seed, network in itertools.product(chosen.seed, CHANNELS):
            new = points(size, network, seed, encoder, chosen.steps)
            with results(chosen.out, settings) as kept:
                kept["machine"] = machine()
                kept["commands"] = sorted({*kept.get("commands", []), command("sizes")})
                kept["encoders"] = {**kept.get("encoders", {}), size: row}
                kept["points"] = merged(kept.get("points", []), new, place)


if __name__ == "__main__":
    main()
