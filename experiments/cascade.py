"""What each stage of the shipped cascade costs, in one run: `python -m experiments.cascade`, two
minutes on one core.

    python -m experiments.cascade
        measure, and print the table
    python -m experiments.cascade --write
        also put the run into experiments/results/cascade.json, which lesson 14 reads
    python -m experiments.cascade --device cuda
        a GPU: bfloat16 and compiled beside float32; one run a device is kept

One picture of one sentence, stage by stage, all steps. Times are medians over rounds in which the
stages take turns: seconds, and ratios to the base in float32 (median, and the two ends of the
middle half), which other work on the machine moves less. Memory is the most that was allocated at
one time beyond the weights, in MB (10^6 bytes), of two steps. levels: the mean difference of a
stage's picture from that in float32, given the same picture below and the same noise, in levels of
255.
"""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from experiments._common import command, digest, machine, merged, parser, results
from experiments._timing import alternate, peak_memory, ratios
from minimagen.cascade import Cascade, Stage, seeded
from minimagen.conditioning import Text
from minimagen.files import shipped
from minimagen.samplers import last

SENTENCE, SEED, ROUNDS = "a large red circle", 14, 5
NAMES = ("base", "sr256", "sr1024")


@dataclass(frozen=True)
class Drawing:
    """One picture of one stage: what it is drawn from, and whether in bfloat16.

    number: of the stage, 0 for the base; below: the picture of the stage before it, or None.
    """

    stage: Stage
    number: int
    text: Text
    below: Tensor | None
    half: bool

    def __call__(self) -> Tensor:
        """Draw it, in full."""
        kind = self.text.tokens.device.type
        with torch.autocast(kind, torch.bfloat16) if self.half else contextlib.nullcontext():
            picture = last(self.stage.run(self.text, self.below, [seeded(SEED, self.number)])).x0
        if kind == "cuda":
            torch.cuda.synchronize()
        return picture

    def megabytes(self) -> float:
        """The most MB that two steps hold at one time, beyond what was there before."""
        short = replace(self, stage=self.stage.with_settings(steps=2))
        return peak_memory(short, self.text.tokens.device.type) / 1e6


def drawings(cascade: Cascade) -> dict[tuple[str, bool], Drawing]:
    """(stage, in bfloat16) -> the drawing of it, each from the same picture below in float32."""
    text = cascade.encoder.encode([SENTENCE])
    below = [None, *cascade.draw([SENTENCE], seed=SEED)]
    return {
        (name, half): Drawing(cascade.stages[j], j, text, below[j], half)
        for j, name in enumerate(NAMES)
        for half in (False, True)
    }


def measure(cascade: Cascade, rounds: int) -> dict:
    """{stage: {"float32": row, "bfloat16": row}}."""
    works = drawings(cascade)
    levels = {
        name: 127.5 * (works[name, True]() - works[name, False]()).abs().mean().item()
        for name in NAMES
    }
    if works["base", False].text.tokens.is_cuda:
        for stage in cascade.stages:
            stage.denoiser.net.compile()
    seconds = alternate(works, rounds)
    rows = {
        key: {
            "seconds": round(median(seconds[key]), 3),
            "time": ratios(seconds[key], seconds["base", False]),
            "memory": round(work.megabytes(), 1),
        }
        for key, work in works.items()
    }
    return {
        name: {
            "float32": rows[name, False],
            "bfloat16": rows[name, True] | {"levels": round(levels[name], 3)},
        }
        for name in NAMES
    }


def where(device: torch.device) -> str:
    """The machine, or the GPU where it was one."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, compiled, torch {torch.__version__}"
    return machine()


def save(out: Path, device: torch.device, stages: dict) -> None:
    """Put the run into the file, in the place of an older one on such a device."""
    weights = {name: digest(shipped("weights") / name) for name in NAMES}
    run = {"device": device.type, "machine": where(device), "command": command("cascade")}
    with results(out, {"sentence": SENTENCE, "seed": SEED, "weights": weights}) as kept:
        runs = [run | {"stages": stages}]
        kept["runs"] = merged(kept.get("runs", []), runs, lambda run: run["device"])


def show(stages: dict) -> None:
    """Print the table."""
    print(
        f"{'stage':<8} {'numbers':<9} {'seconds':>8} {'time':>7} {'memory':>10} {'levels':>7}",
    )
    for name, kinds in stages.items():
        for kind, row in kinds.items():
            levels = f"{row['levels']:>7.2f}" if "levels" in row else f"{'–':>7}"
            print(
                f"{name:<8} {kind:<9} {row['seconds']:>8.2f} {row['time'][0]:>7.2f} "
                f"{row['memory']:>7.0f} MB {levels}"
            )


def main() -> None:
    cli = parser(__doc__, "cascade.json")
    cli.add_argument("--write", action="store_true", help="put the run into --out")
    cli.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    cli.add_argument("--rounds", type=int, default=ROUNDS, help=f"at least 2 (default: {ROUNDS})")
    options = cli.parse_args()
    stages = measure(Cascade.load(device=options.device), options.rounds)
    device = torch.device(options.device)
    print(where(device))
    show(stages)
    if options.write:
        save(options.out, device, stages)


if __name__ == "__main__":
    main()
