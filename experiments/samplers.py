"""How many steps does the base need, and by which sampler? `python -m experiments.samplers`, a
quarter of an hour on one core.

Held-out captions of single shapes, the same captions and noise at every point; weight and threshold
as the stage says. Heun's method asks the network twice a step, the others once: `evaluations`
counts. What the file holds is not measured again. right, levelled, page, dark and frechet are those
of curves.py; intervals hold 95 %.
"""

from experiments._common import (
    command,
    draw,
    machine,
    merged,
    parser,
    read_results,
    results,
    shipped_base,
)
from experiments._single import distance, held_out, measure, pages, real, settings
from minimagen.cascade import Cascade
from minimagen.files import shipped
from minimagen.samplers import STEPS

COUNTS, SEED = (6, 12, 24, 48), 0
POINTS = [(sampler, count) for sampler in STEPS for count in COUNTS]


def place(point: dict) -> int:
    """Where the point stands in the file."""
    return POINTS.index((point["sampler"], point["steps"]))


def point(base: Cascade, prompts: list[str], sampler: str, count: int) -> dict:
    """The measures of one picture a caption, drawn in `count` steps of that sampler."""
    pictures = draw(base, prompts, SEED, steps=count, sampler=sampler)
    evaluations = count * (2 if sampler == "heun" else 1)
    near = distance(pictures, pages(prompts, pictures.shape[-1], f"{SEED} 0"))
    row = {"sampler": sampler, "steps": count, "evaluations": evaluations}
    return {**row, **measure(pictures, prompts), "frechet": near}


def main() -> None:
    """Measure what is not yet there, save after each point, and say it."""
    cli = parser(__doc__, "samplers.json")
    cli.add_argument("--captions", type=int, default=128, help="how many captions (default: 128)")
    cli.add_argument("--counts", nargs="+", type=int, choices=COUNTS, default=list(COUNTS))
    options = cli.parse_args()
    base = shipped_base()
    size, out = base.stages[0].size, options.out
    prompts = held_out(size, options.captions)
    how = settings(base, shipped("weights") / "base", options.captions, SEED)
    measured = {place(p) for p in read_results(out, how).get("points", [])}
    for sampler, count in POINTS:
        new = {"sampler": sampler, "steps": count}
        if place(new) in measured or count not in options.counts:
            continue
        new = point(base, prompts, sampler, count)
        with results(out, how) as kept:
            if "real" not in kept:
                kept["real"] = real(prompts, size, SEED)
            kept |= {"command": command("samplers"), "machine": machine()}
            kept["points"] = merged(kept.get("points", []), [new], place)
        print(f"{sampler}, {count} steps: right {new['right']['all']['value']:.3f}", flush=True)


if __name__ == "__main__":
    main()
