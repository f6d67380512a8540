"""The plain and the Efficient U-Net, trained on super-resolution at equal parameters: `python -m
experiments.efficient_training`, a quarter of an hour on one core.

    python -m experiments.efficient_training --seed 0
        train all networks with this seed, and add their losses to
        experiments/results/efficient-training.json, which lesson 12 draws
    python -m experiments.efficient_training --seed 0 --steps 100 --out try.json
        a quick look

Seven networks of 0.95 million parameters, equal to 2 %: `NETWORKS`. Each enlarges emoji from 8 to
32 pixels, as lesson 13 does it: the small picture is noised to a random level, and the network is
told the level. All see the same pictures, levels and noises, and take turns step by step. The loss
is that of 64 drawings which training never shows, at five noise levels. Seconds are those that this
process computes (`time.process_time`), so that what else the machine does counts as little as can
be; memory is the most that a step of training on 8 pictures holds beyond the weights.
"""

import time
from collections.abc import Iterator
from functools import partial
from statistics import median, quantiles

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from experiments._common import note_run, parser, results
from experiments._rungs import Rung
from experiments._timing import peak_memory
from minimagen import noise, pixels
from minimagen.conditioning import Cond
from minimagen.data import emoji
from minimagen.denoiser import Denoiser
from minimagen.superres import lowres, with_lowres
from minimagen.training import train
from minimagen.unet import UNet, UNetConfig

SIZE, SMALL, BATCH, RATE = 32, 8, 8, 1e-3
SEEN, UNSEEN = 1024, 64
STEPS, EVERY = 400, 50
LEVELS, AUG_LEVEL = (-6.0, -3.0, 0.0, 3.0, 6.0), 0.1

EVEN, DEEP = (20, (3, 3, 2)), (16, (1, 4, 4))  # channels and blocks: the same parameters
MANY, LAST = (None, "self", "self"), (None, None, "self")
NETWORKS = {  # channels and blocks, attention, early order, scaled skips
    "plain": (EVEN, MANY, False, False),
    "depth moved down": (DEEP, MANY, False, False),
    "attention at the last level": (EVEN, LAST, False, False),
    "order reversed": (EVEN, MANY, True, False),
    "skips scaled": (EVEN, MANY, False, True),
    "all four": (DEEP, LAST, True, True),
    "lesson 05's, skips stacked": ((16, (2, 3, 1)), MANY, None, None),
}


def network(name: str) -> nn.Module:
    """The network of that name in `NETWORKS`, with fresh weights."""
    (channels, blocks), attention, early, scaled = NETWORKS[name]
    config = UNetConfig(
        channels, (1, 2, 4), blocks, attention, lowres=True, head_width=channels, groups=4
    )
    return UNet(config) if early is None else Rung(config, early, scaled)


def pictures() -> tuple[Tensor, Tensor]:
    """Flat emoji: 1024 for training, and 64 others, (N, 3, 32, 32) in [-1, 1]."""
    records = emoji.records("fluent-flat")
    order = torch.randperm(len(records), generator=torch.Generator().manual_seed(0))
    drawn = [emoji.render(emoji.document(records[i], SIZE)) for i in order[: SEEN + UNSEEN]]
    whole = pixels.from_uint8(torch.stack([torch.from_numpy(page.copy()) for page in drawn]))
    return whole.split((SEEN, UNSEEN))


def batches(seen: Tensor, generator: torch.Generator) -> Iterator[tuple[Tensor, Cond]]:
    """Pictures drawn with replacement, without end."""
    while True:
        yield seen[torch.randint(len(seen), (BATCH,), generator=generator)], Cond()


def training(denoiser: Denoiser, seen: Tensor, seed: int) -> Iterator:
    """One training of `denoiser`; every network with the same seed sees the same."""
    generator = torch.Generator().manual_seed(seed)
    stream = with_lowres(batches(seen, generator), SMALL, noise.cosine, generator)
    adam = torch.optim.Adam(denoiser.parameters(), RATE)
    return train(denoiser, stream, noise.cosine, adam, generator=generator)


@torch.no_grad()
def losses(denoiser: Denoiser, unseen: Tensor) -> list[float]:
    """The mean loss at each of `LEVELS`, of the pictures that training never shows."""
    generator = torch.Generator().manual_seed(1)
    cond = Cond(lowres=lowres(unseen, SMALL, AUG_LEVEL, noise.cosine, generator))
    eps = torch.randn(unseen.shape, generator=generator)
    asked = [torch.full((len(unseen),), level) for level in LEVELS]
    found = [denoiser.loss(unseen, logsnr, eps, cond).mean().item() for logsnr in asked]
    return [round(value, 5) for value in found]


def trained(seed: int, steps: int) -> tuple[dict, dict]:
    """Every network in turn: ({name: [losses after 0, 50, ... steps]}, {name: [seconds]})."""
    seen, unseen = pictures()
    denoisers, runs = {}, {}
    for name in NETWORKS:
        torch.manual_seed(seed)
        denoisers[name] = Denoiser(network(name), "v")
        runs[name] = training(denoisers[name], seen, seed)
    found = {name: [losses(denoiser, unseen)] for name, denoiser in denoisers.items()}
    seconds: dict = {name: [] for name in NETWORKS}
    for step in range(1, steps + 1):
        for name, run in runs.items():
            began = time.process_time()
            next(run)
            seconds[name].append(time.process_time() - began)
            if step % EVERY == 0:
                found[name].append(losses(denoisers[name], unseen))
        if step % EVERY == 0:
            shown = {name: round(sum(rows[-1]) / len(LEVELS), 4) for name, rows in found.items()}
            print(step, shown, flush=True)
    return found, seconds


def costs(name: str) -> dict[str, int]:
    """Parameters, multiply-adds of a call on one picture, and the memory of a step of training."""
    torch.manual_seed(0)
    seen = torch.zeros(BATCH, 3, SIZE, SIZE)
    denoiser = Denoiser(network(name), "v")
    one = lowres(seen[:1], SMALL, AUG_LEVEL, noise.cosine, torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        denoiser.net(seen[:1], torch.zeros(1), Cond(lowres=one))
    run = training(denoiser, seen, 0)
    next(run)  # the first step also allocates what stays
    return {
        "parameters": sum(p.numel() for p in denoiser.parameters()),
        "multiply_adds": counter.get_total_flops() // 2,
        "train_memory": peak_memory(partial(next, run)),
    }


def main() -> None:
    cli = parser(__doc__, "efficient-training.json")
    cli.add_argument("--seed", type=int, default=0, help="of weights, pictures and noises")
    cli.add_argument("--steps", type=int, default=STEPS, help=f"of training (default: {STEPS})")
    options = cli.parse_args()
    torch.set_num_threads(1)
    found, seconds = trained(options.seed, options.steps)
    settings = {"size": SIZE, "small": SMALL, "batch": BATCH, "rate": RATE}
    settings |= {"steps": options.steps, "every": EVERY, "levels": LEVELS, "aug_level": AUG_LEVEL}
    with results(options.out, settings) as kept:
        rows = kept.setdefault("networks", {name: costs(name) for name in NETWORKS})
        for name, row in rows.items():
            times = [round(value, 4) for value in (*quantiles(seconds[name], n=4),)]
            row.setdefault("seconds", {})[str(options.seed)] = times
            row.setdefault("losses", {})[str(options.seed)] = found[name]
            print(f"{name:<28} {median(seconds[name]):.3f} s a step", row["parameters"])
        note_run(kept, "efficient_training")


if __name__ == "__main__":
    main()
