"""What each change of the Efficient U-Net saves, in one run: `python -m experiments.efficient_unet`
(2 minutes on a core).

    python -m experiments.efficient_unet             measure, and print the table
    python -m experiments.efficient_unet --write
        also write experiments/results/efficient-unet.json, which lesson 12 draws

Five networks, each with one change more than the one before: `RUNGS`. The last is
`minimagen.efficient_unet.EfficientUNet` itself. Times are medians over rounds in which the networks
take turns, and are kept as ratios to the first network; the seconds behind them are printed in
brackets and not kept. The counts (parameters, multiply-adds, bytes kept for the gradient) are
exact.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path
from statistics import median, quantiles

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from minimagen.efficient_unet import EfficientUNet
from minimagen.files import processor
from minimagen.layers import Attention
from minimagen.unet import UNetConfig

SIZE, ROUNDS = 128, 15
WIDTHS = {"channels": 32, "multipliers": (1, 2, 4, 8)}
EVEN, DEEP = (
    (3, 3, 3, 2),
    (1, 2, 4, 4),
)  # 11 blocks on each way; DEEP is half of the paper's (2, 4, 8, 8)
MANY, LAST = (None, None, "self", "self"), (None, None, None, "self")
OUT = Path(__file__).with_name("results") / "efficient-unet.json"


class Rung(EfficientUNet):
    """An Efficient U-Net of which two changes can be taken back: the order (`early`), and the scale
    of the sums (`scaled`).

    Late: a convolution of stride 1, the blocks at the full size of the level, then the mean of 2 x
    2 pixels; on the way up each pixel four times, the blocks, a convolution. The same modules, so
    the same parameters.
    """

    def __init__(self, blocks: tuple, attention: tuple, early: bool, scaled: bool):
        super().__init__(UNetConfig(blocks=blocks, attention=attention, **WIDTHS))
        self.early, self.scale = early, 0.5**0.5 if scaled else 1.0
        for shrink in self.down:
            shrink.stride = (2, 2) if early else (1, 1)

    def forward(self, z: Tensor, logsnr: Tensor, cond=None) -> Tensor:
        emb, h = self.time(logsnr), self.first(z)
        kept = [h]
        for shrink, blocks in zip(self.down, self.before, strict=True):
            kept.append(run(blocks, shrink(h), emb))
            h = kept[-1] if self.early else F.avg_pool2d(kept[-1], 2)
        for blocks, grow in zip(self.after, self.up, strict=True):
            h = h if self.early else double(h)
            h = run(blocks, self.scale * (h + kept.pop()), emb)
            h = grow(double(h) if self.early else h)
        return self.last(self.scale * (h + kept.pop()))


def run(blocks, h: Tensor, emb: Tensor) -> Tensor:
    for block in blocks:
        h = block(h, None, None) if isinstance(block, Attention) else block(h, emb)
    return h


def double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


RUNGS = {
    "plain": (EVEN, MANY, False, False),
    "depth moved down": (DEEP, MANY, False, False),
    "attention at the last level": (DEEP, LAST, False, False),
    "order reversed": (DEEP, LAST, True, False),
    "skips scaled": (DEEP, LAST, True, True),
}


def counts(rung: tuple) -> dict[str, int]:
    """Parameters, multiply-adds of one call on one picture, and bytes that a training step keeps
    for the gradient.
    """
    with torch.device(
        "meta"
    ):  # shapes alone: the counter then sees the same operations on every machine
        shape = Rung(*rung), torch.empty(1, 3, SIZE, SIZE), torch.empty(1)
    with FlopCounterMode(display=False) as counter:
        step(*shape)
    net, z, logsnr, kept = Rung(*rung), torch.zeros(1, 3, SIZE, SIZE), torch.zeros(1), {}
    own = {p.untyped_storage().data_ptr() for p in net.parameters()}

    def note(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x  # held, so that no address is used twice
        return x

    with saved_tensors_hooks(note, lambda x: x):
        net(z, logsnr)
    held = sum(x.untyped_storage().nbytes() for address, x in kept.items() if address not in own)
    sizes = sum(p.numel() for p in net.parameters())
    return {
        "parameters": sizes,
        "multiply_adds": counter.get_total_flops() // 2,
        "bytes_kept": held,
    }


@torch.no_grad()
def step(net: Rung, z: Tensor, logsnr: Tensor) -> None:
    """One evaluation, as a sampler makes it."""
    net(z, logsnr)


def train(net: Rung, z: Tensor, logsnr: Tensor) -> None:
    """One evaluation and its gradient."""
    net.zero_grad(set_to_none=True)
    net(z, logsnr).square().mean().backward()


WORK = {"step": step, "train": train}


def peak(work, *arguments) -> int:
    """The largest number of bytes that were allocated at one time while `work` ran, beyond those
    before it.
    """
    work(*arguments)  # the first call also allocates what stays
    arguments[0].zero_grad(set_to_none=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        work(*arguments)
    now = most = 0
    events = [
        event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"
    ]
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def shares(times: list[float], plain: list[float]) -> list[float]:
    """Ratios within each round: their median, and the two ends of their middle half."""
    ratios = [a / b for a, b in zip(times, plain, strict=True)]
    return [round(value, 3) for value in (median(ratios), *quantiles(ratios, n=4)[::2])]


def measure() -> tuple[dict, dict]:
    """Every network in turn, round after round: ({name: ratios and counts}, {name: seconds})."""
    torch.manual_seed(0)
    nets = {name: Rung(*rung) for name, rung in RUNGS.items()}
    asked = torch.randn(1, 3, SIZE, SIZE), torch.zeros(1)
    taken = {name: {kind: [] for kind in WORK} for name in nets}
    for turn in range(ROUNDS + 1):
        for name, net in nets.items():
            for kind, work in WORK.items():
                began = time.perf_counter()
                work(net, *asked)
                taken[name][kind] += (
                    [time.perf_counter() - began] if turn else []
                )  # the first round warms up
    tops = {
        name: {kind: peak(work, net, *asked) for kind, work in WORK.items()}
        for name, net in nets.items()
    }
    found = {}
    for name, rung in RUNGS.items():
        times = {f"{kind}_time": shares(taken[name][kind], taken["plain"][kind]) for kind in WORK}
        memory = {
            f"{kind}_memory": round(tops[name][kind] / tops["plain"][kind], 3) for kind in WORK
        }
        found[name] = times | memory | counts(rung)
    return found, {
        name: {kind: median(values) for kind, values in row.items()} for name, row in taken.items()
    }


def machine() -> dict:
    """Where it was measured."""
    cores = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
    return {
        "processor": processor(),
        "threads": cores,
        "torch": torch.__version__,
        "system": platform.machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--write", action="store_true", help=f"write experiments/results/{OUT.name}"
    )
    arguments = parser.parse_args()
    os.environ.setdefault(
        "KINETO_LOG_LEVEL", "99"
    )  # the profiler otherwise reports each start and stop
    found, seconds = measure()
    print(
        f"{'network':<29} {'step':>6} {'train':>6} {'step memory':>12} {'train memory':>13} "
        f"{'parameters':>11} {'MMAC':>6}"
    )
    for name, row in found.items():
        times = [f"{row[f'{kind}_time'][0]:.2f}" for kind in WORK] + [
            f"{row[f'{kind}_memory']:.2f}" for kind in WORK
        ]
        sizes = f"{row['parameters'] / 1e6:>10.2f}M {row['multiply_adds'] / 1e6:>6.0f}"
        behind = ", ".join(f"{kind} {value:.3f} s" for kind, value in seconds[name].items())
        print(
            f"{name:<29} {times[0]:>6} {times[1]:>6} {times[2]:>12} {times[3]:>13} {sizes}  "
            f"({behind})"
        )
    if arguments.write:
        how = {"size": SIZE, "rounds": ROUNDS, "machine": machine()}
        OUT.write_text(json.dumps(how | {"networks": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
