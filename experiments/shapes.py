"""Which network for the base: several shapes, each trained for the same time at 32 pixels on World,
and their errors on pages and captions that training never had.

`python -m experiments.shapes --minutes 10` trains and measures; each result is a line of the file
of figures, and the weights stay under --runs, so that their drawings can be judged. The time is
that of the processor, whatever else runs on the machine.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from experiments._common import command, machine, merged, parser, read_results, results
from minimagen import checkpoint, training
from minimagen.checkpoint import Settings
from minimagen.conditioning import Cond
from minimagen.data import World, batches
from minimagen.denoiser import Denoiser
from minimagen.guidance import drop_text
from minimagen.noise import cosine, diffuse, randn
from minimagen.objective import Objective, shifted, velocity_weight
from minimagen.text import TextEncoder, cached
from minimagen.unet import UNetConfig

SIZE, BATCH, RATE, WARM, DROP, SHIFT = 32, 64, 1e-3, 200, 0.1, -2.0
LEVELS = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)  # log-SNRs at which the errors are measured
TESTED = 512  # pages of each split
SPLITS = ("train", "held-out")


def shape(channels: int, multipliers: tuple, blocks: tuple, attention: str, **other) -> UNetConfig:
    """attention: one letter a level, s where it looks at picture and words, - where there is
    none.
    """
    kinds = tuple({"s": "self", "-": None}[letter] for letter in attention)
    groups = max(1, channels // 8)  # with one channel a group every drawing has the same spot
    return UNetConfig(channels, multipliers, blocks, kinds, groups=groups, **{"patch": 2, **other})


SHAPES = {
    "three levels": shape(32, (1, 2, 6), (1, 1, 2), "-ss"),
    "four levels": shape(32, (1, 2, 4, 8), (1, 1, 1, 2), "-sss", head_width=64),
    "four, 12 M": shape(32, (1, 2, 4, 6), (1, 1, 2, 2), "-sss", head_width=64),
    "four, attention at two": shape(32, (1, 2, 4, 6), (1, 1, 1, 2), "--ss", head_width=64),
    "wider at the top": shape(48, (1, 2, 4), (1, 1, 2), "-ss", head_width=48),
    "widest at the top": shape(64, (1, 2, 3), (1, 1, 1), "-ss", head_width=64),
    "patches of four": shape(128, (1, 2), (2, 2), "ss", head_width=64, patch=4),
}


def fit(denoiser: Denoiser, encode: Callable, seed: int, minutes: float) -> Iterator[int]:
    """Train for so many minutes of the processor, in bfloat16; the pictures seen so far, and in the
    end the averaged weights in `denoiser`.
    """
    optimizer = torch.optim.AdamW(
        denoiser.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    generator = torch.Generator().manual_seed(seed)
    stream = drop_text(batches(World(SIZE), BATCH, encode, seed=seed), DROP, generator)
    ema, began = training.averaged(denoiser), time.process_time()
    objective = Objective(shifted(cosine, SHIFT), velocity_weight)
    half = Denoiser(_Half(denoiser.net), denoiser.target)
    for n, _ in enumerate(training.train(half, stream, objective, optimizer, generator=generator)):
        ema.update_parameters(denoiser)
        done = (time.process_time() - began) / (60 * minutes)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = RATE * min((n + 1) / WARM, 1, (1 - done) / 0.3)
        yield (n + 1) * BATCH
    denoiser.load_state_dict(ema.module.state_dict())


class _Half(torch.nn.Module):
    """The network in bfloat16, its output in float32."""

    def __init__(self, net: torch.nn.Module):
        super().__init__()
        self.net = net

    def forward(self, *inputs) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            out = self.net(*inputs)
        return out.float()


@torch.no_grad()
def errors(denoiser: Denoiser, encode: Callable, split: str) -> dict[str, float]:
    """The mean squared error of x0 at each of `LEVELS`, with the captions and without."""
    measured = {}
    for name in ("words", "no words"):
        sums = torch.zeros(len(LEVELS))
        generator = torch.Generator().manual_seed(1)
        stream = batches(World(SIZE, split), BATCH, encode, seed=1)
        for _ in range(TESTED // BATCH):
            x0, cond = next(stream)
            cond = cond if name == "words" else Cond()
            eps = randn(x0.shape, generator)
            for k, level in enumerate(LEVELS):
                logsnr = torch.full((BATCH,), level)
                x0_hat = denoiser(diffuse(x0, logsnr, eps), logsnr, cond).x0
                sums[k] += (x0_hat - x0).square().mean() * BATCH / TESTED
        measured[name] = {
            str(level): round(float(e), 5) for level, e in zip(LEVELS, sums, strict=True)
        }
    return measured


def main() -> None:
    cli = parser(__doc__, "shapes.json")
    cli.add_argument("--shape", nargs="+", choices=SHAPES, default=list(SHAPES))
    cli.add_argument("--seed", nargs="+", type=int, default=[0])
    cli.add_argument("--minutes", type=float, default=10.0, help="of the processor (default: 10)")
    cli.add_argument("--text-encoder", default=None, help="default: the shipped one")
    cli.add_argument("--runs", type=Path, default=Path("runs/shapes"), help="where weights go")
    args = cli.parse_args()
    torch.set_num_threads(1)
    encoder = TextEncoder(args.text_encoder, "cpu")
    settings = {"minutes": args.minutes, "pixels": SIZE, "batch": BATCH, "rate": RATE}
    settings["encoder"] = encoder.fingerprint[:12]
    encode = cached(encoder, World(SIZE).captions)
    read_results(args.out, settings)  # the wrong file is refused before the work, not after it
    for seed in args.seed:
        for name in args.shape:
            point = measure(name, seed, args, encoder, encode)
            with results(args.out, settings) as kept:
                place = lambda p: (p["shape"], p["seed"])
                kept["points"] = merged(kept.get("points", []), [point], place)
            print(f"{name}, seed {seed}: {point['pictures']:,} pictures", flush=True)


def measure(name: str, seed: int, args, encoder: TextEncoder, encode: Callable) -> dict:
    """Train one shape from nothing, keep its weights, and say how well it does."""
    from tqdm import tqdm

    config = UNetConfig(**{**asdict(SHAPES[name]), "text_width": encoder.width})
    torch.manual_seed(seed)
    stage = Settings(SIZE, "unet", config, target="x0", sampler="ancestral", weight=2.0)
    denoiser, pictures = stage.build(), 0
    for seen in tqdm(fit(denoiser, encode, seed, args.minutes), desc=name, mininterval=30):
        pictures = seen
    denoiser.eval()
    checkpoint.save(
        args.runs / f"{name.replace(' ', '-').replace(',', '')}-{seed}", denoiser, stage
    )
    return {
        "shape": name,
        "seed": seed,
        "parameters": sum(p.numel() for p in denoiser.parameters()),
        "pictures": pictures,
        **{split: errors(denoiser, encode, split) for split in SPLITS},
        "command": command("shapes"),
        "machine": machine(),
    }


if __name__ == "__main__":
    main()
