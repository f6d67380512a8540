"""What each change of the Efficient U-Net saves, in one run: `python -m
experiments.efficient_unet`, two minutes on one core.

    python -m experiments.efficient_unet
        measure, and print the table
    python -m experiments.efficient_unet --write
        also write experiments/results/efficient-unet.json, which lesson 12 draws

Five networks, each with one change more than the one before: `RUNGS`. The last is
`minimagen.efficient_unet.EfficientUNet` itself. Times are medians over rounds in which the networks
take turns, and are kept as ratios to the first network; the seconds behind them are printed in
brackets and not kept. The counts (parameters, multiply-adds, bytes kept for the gradient) are
exact.
"""

from functools import partial
from statistics import median

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from experiments._common import command, machine, parser, write_json
from experiments._rungs import Rung
from experiments._timing import alternate, peak_memory, ratios
from minimagen.unet import UNetConfig

SIZE, ROUNDS = 128, 15
EVEN, DEEP = (3, 3, 3, 2), (1, 2, 4, 4)  # 11 blocks each way; DEEP: half of (2, 4, 8, 8)
MANY, LAST = (None, None, "self", "self"), (None, None, None, "self")


RUNGS = {
    "plain": (EVEN, MANY, False, False),
    "depth moved down": (DEEP, MANY, False, False),
    "attention at the last level": (DEEP, LAST, False, False),
    "order reversed": (DEEP, LAST, True, False),
    "skips scaled": (DEEP, LAST, True, True),
}


def network(blocks: tuple, attention: tuple, early: bool, scaled: bool) -> Rung:
    """The network of one row of `RUNGS`, 32 to 256 channels wide."""
    return Rung(UNetConfig(32, (1, 2, 4, 8), blocks, attention), early, scaled)


def counts(rung: tuple) -> dict[str, int]:
    """Parameters, multiply-adds of one call on one picture, and bytes that a training step keeps
    for the gradient.
    """
    with torch.device("meta"):  # shapes alone: the same operations are counted on every machine
        shape = network(*rung), torch.empty(1, 3, SIZE, SIZE), torch.empty(1)
    with FlopCounterMode(display=False) as counter:
        step(*shape)
    net, z, logsnr, kept = network(*rung), torch.zeros(1, 3, SIZE, SIZE), torch.zeros(1), {}
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


def memory(work, net: Rung, z: Tensor, logsnr: Tensor) -> int:
    """The largest number of bytes that one call of `work` holds beyond the weights."""
    work(net, z, logsnr)  # the first call also allocates what stays
    net.zero_grad(set_to_none=True)
    return peak_memory(partial(work, net, z, logsnr))


def measure(rounds: int) -> tuple[dict, dict]:
    """Every network in turn, round after round: ({name: ratios and counts}, {name: seconds})."""
    torch.manual_seed(0)
    nets = {name: network(*rung) for name, rung in RUNGS.items()}
    z, logsnr = torch.randn(1, 3, SIZE, SIZE), torch.zeros(1)
    works = {
        (name, kind): partial(work, net, z, logsnr)
        for name, net in nets.items()
        for kind, work in WORK.items()
    }
    seconds = alternate(works, rounds)
    highest = {
        (name, kind): memory(work, net, z, logsnr)
        for name, net in nets.items()
        for kind, work in WORK.items()
    }
    rows = {}
    for name, rung in RUNGS.items():
        times = {f"{k}_time": ratios(seconds[name, k], seconds["plain", k]) for k in WORK}
        held = {f"{k}_memory": round(highest[name, k] / highest["plain", k], 3) for k in WORK}
        rows[name] = times | held | counts(rung)
    return rows, {name: {k: median(seconds[name, k]) for k in WORK} for name in RUNGS}


def show(rows: dict, seconds: dict) -> None:
    """Print the table, the median seconds in brackets."""
    print(
        f"{'network':<29} {'step':>6} {'train':>6} {'step memory':>12} {'train memory':>13} "
        f"{'parameters':>11} {'MMAC':>6}"
    )
    for name, row in rows.items():
        step_time, train_time = (f"{row[f'{kind}_time'][0]:.2f}" for kind in WORK)
        step_memory, train_memory = (f"{row[f'{kind}_memory']:.2f}" for kind in WORK)
        sizes = f"{row['parameters'] / 1e6:>10.2f}M {row['multiply_adds'] / 1e6:>6.0f}"
        behind = ", ".join(f"{kind} {value:.3f} s" for kind, value in seconds[name].items())
        print(
            f"{name:<29} {step_time:>6} {train_time:>6} {step_memory:>12} {train_memory:>13} "
            f"{sizes}  ({behind})"
        )


def main() -> None:
    cli = parser(__doc__, "efficient-unet.json")
    cli.add_argument("--write", action="store_true", help="write the figures to --out")
    cli.add_argument("--rounds", type=int, default=ROUNDS, help=f"at least 2 (default: {ROUNDS})")
    options = cli.parse_args()
    rows, seconds = measure(options.rounds)
    print(machine())
    show(rows, seconds)
    if options.write:
        how = {"size": SIZE, "rounds": options.rounds, "machine": machine()}
        how |= {"command": command("efficient_unet")}
        write_json(options.out, how | {"networks": rows})


if __name__ == "__main__":
    main()
