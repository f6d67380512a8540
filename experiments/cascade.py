"""What each stage of the shipped cascade costs, in one run: `python -m experiments.cascade` (2
minutes on a core).

    python -m experiments.cascade                    measure, and print the table
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

import argparse
import contextlib
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from statistics import median, quantiles

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from minimagen.cascade import Cascade, Stage, seeded
from minimagen.conditioning import Text
from minimagen.files import processor, shipped

SENTENCE, SEED, ROUNDS = "a large red circle", 14, 5
NAMES = ("base", "sr256", "sr1024")
OUT = Path(__file__).with_name("results") / "cascade.json"


def drawn(stage: Stage, j: int, text: Text, below: Tensor | None, half: bool) -> Tensor:
    """The picture of stage j, its network in bfloat16 where `half`."""
    kind = text.tokens.device.type
    with torch.autocast(kind, torch.bfloat16) if half else contextlib.nullcontext():
        *_, last = stage.run(text, below, [seeded(SEED, j)])
    return last.x0


def seconds(stage: Stage, j: int, text: Text, below: Tensor | None, half: bool) -> float:
    began = time.perf_counter()
    drawn(stage, j, text, below, half)
    if text.tokens.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def peak(stage: Stage, j: int, text: Text, below: Tensor | None, half: bool) -> float:
    """The most MB that two steps of the stage hold at one time, beyond what was there before."""
    short = stage.with_settings(steps=2)
    if text.tokens.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        drawn(short, j, text, below, half)
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        drawn(short, j, text, below, half)
    now = most = 0
    events = [
        event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"
    ]
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most / 1e6


def ratios(times: list[float], base: list[float]) -> list[float]:
    """Ratios within each round: their median, and the two ends of their middle half."""
    found = [a / b for a, b in zip(times, base, strict=True)]
    return [round(value, 3) for value in (median(found), *quantiles(found, n=4)[::2])]


def measure(cascade: Cascade, rounds: int) -> dict:
    """{stage: {"float32": row, "bfloat16": row}}."""
    text = cascade.encoder.encode([SENTENCE])
    pictures = cascade.draw(
        [SENTENCE], seed=SEED
    )  # warms up, and gives every stage the picture below
    work = {
        (name, half): (stage, j, text, pictures[j - 1] if j else None, half)
        for j, (name, stage) in enumerate(zip(NAMES, cascade.stages, strict=True))
        for half in (False, True)
    }
    off = {
        name: 127.5 * (drawn(*work[name, True]) - pictures[j]).abs().mean().item()
        for j, name in enumerate(NAMES)
    }
    if text.tokens.is_cuda:
        for stage in cascade.stages:
            stage.denoiser.net.compile()
        for arguments in work.values():
            drawn(*arguments)  # compiles
    taken: dict = {key: [] for key in work}
    for _ in range(rounds):
        for key, arguments in work.items():
            taken[key].append(seconds(*arguments))
    row = lambda key: {
        "seconds": round(median(taken[key]), 3),
        "time": ratios(taken[key], taken["base", False]),
        "memory": round(peak(*work[key]), 1),
    }
    return {
        name: {
            "float32": row((name, False)),
            "bfloat16": row((name, True)) | {"levels": round(off[name], 3)},
        }
        for name in NAMES
    }


def machine(device: torch.device) -> str:
    """Where it was measured."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, compiled, torch {torch.__version__}"
    cores = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    return f"{processor()}, {cores}, torch {torch.__version__}"


def save(out: Path, device: torch.device, found: dict) -> None:
    """Put the run into the file in the place of an older one on such a device; other weights begin
    the file anew.
    """
    weights = {
        n: hashlib.sha256((shipped("weights") / n / "weights.safetensors").read_bytes()).hexdigest()
        for n in NAMES
    }
    told = {"sentence": SENTENCE, "seed": SEED, "weights": weights}
    held = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    runs = (
        held.get("runs", []) if all(held.get(key) == value for key, value in told.items()) else []
    )
    command = " ".join(["python", "-m", "experiments.cascade", *sys.argv[1:]])
    run = {"device": device.type, "machine": machine(device), "command": command, "stages": found}
    runs = sorted(
        [old for old in runs if old["device"] != device.type] + [run], key=lambda run: run["device"]
    )
    out.write_text(json.dumps(told | {"runs": runs}, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--write", action="store_true", help=f"put the run into experiments/results/{OUT.name}"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"at least 2 (default: {ROUNDS})"
    )
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    if asked.rounds < 2:
        parser.error(f"--rounds must be at least 2, got {asked.rounds}")
    os.environ.setdefault(
        "KINETO_LOG_LEVEL", "99"
    )  # the profiler otherwise reports each start and stop
    cascade = Cascade.load(device=asked.device)
    found = measure(cascade, asked.rounds)
    device = torch.device(asked.device)
    print(
        f"{machine(device)}\n{'stage':<8} {'numbers':<9} {'seconds':>8} {'time':>7} "
        f"{'memory':>10} {'levels':>7}"
    )
    for name, kinds in found.items():
        for kind, row in kinds.items():
            told = f"{row['levels']:>7.2f}" if "levels" in row else f"{'–':>7}"
            print(
                f"{name:<8} {kind:<9} {row['seconds']:>8.2f} {row['time'][0]:>7.2f} "
                f"{row['memory']:>7.0f} MB {told}"
            )
    if asked.write:
        save(asked.out, device, found)


if __name__ == "__main__":
    main()
