"""Train the network that recognises emoji, which is `minimagen.evaluation.likeness`: `python -m
tools.train_likeness`.

A batch holds pictures of one style, each twice, spoilt in two different ways: bent, shifted,
turned, blurred, tinted, noised. Of all the pictures of the batch the two of one drawing must be
nearest: the cross entropy of the scaled cosines (Oord et al. 2018; Chen et al. 2020). No caption is
used, and the network judges; it is no part of the cascade.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from experiments._common import processor, write_json
from minimagen import pixels
from minimagen.data.emoji import STYLES, rasters
from minimagen.evaluation.likeness import SIDE, Likeness, trim
from minimagen.evaluation.metrics import pooled_features, retrieval
from minimagen.files import write

DATA = Path(__file__).resolve().parents[1] / "data"
BATCH, PEAK, HEAT = 128, 2e-3, 0.07


def drawings(style: str) -> Tensor:
    """All drawings of a style, trimmed: (N, 3, 64, 64)."""
    return trim(pixels.from_uint8(torch.from_numpy(np.array(rasters(style, SIDE)))))


def spoil(x: Tensor, generator: torch.Generator) -> Tensor:
    """(B, 3, 64, 64) as a poor painter would leave them: other place, size and angle, wavy,
    blurred, tinted, noisy.
    """
    some = lambda *shape: torch.rand(len(x), *shape, generator=generator) * 2 - 1
    angle, scale, shift = 0.15 * some(), 1 + 0.12 * some(), 0.1 * some(2)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    grid = F.affine_grid(
        torch.stack([cos, -sin, shift[:, 0], sin, cos, shift[:, 1]], 1).view(-1, 2, 3),
        x.shape,
        False,
    )
    waves = F.interpolate(some(2, 5, 5) * 0.08 * some(1, 1, 1), size=SIDE, mode="bicubic")
    x = 1 - F.grid_sample(
        1 - x, grid + waves.permute(0, 2, 3, 1), align_corners=False
    )  # beyond the page is white
    parts = zip(
        x.chunk(8), torch.randint(12, SIDE + 1, (8,), generator=generator).tolist(), strict=False
    )
    x = torch.cat([pixels.resize(pixels.resize(part, side), SIDE) for part, side in parts])
    x = 1 - (1 - x) * (1 + 0.25 * some(3, 1, 1)) - 0.05 * some(3, 1, 1)
    return x + 0.25 * some(1, 1, 1).abs() * torch.randn(x.shape, generator=generator)


@torch.no_grad()
def marks(net: Likeness, real: dict[str, Tensor]) -> dict:
    """The share of spoilt drawings whose nearest real one is the right one, by these features and
    by mean colours.
    """
    shares = {}
    for style, pictures in real.items():
        generator = torch.Generator().manual_seed(1)
        rows = torch.randperm(len(pictures), generator=generator)[:512]
        poor = spoil(pictures[rows], generator)
        judges = {"likeness": net, "mean colours": pooled_features}
        shares[style] = {
            name: retrieval(judge(poor), judge(pictures), rows).share()
            for name, judge in judges.items()
        }
    return shares


def train(net: Likeness, real: dict[str, Tensor], steps: int) -> list[dict]:
    """Train on the styles in turn -> the log, a line for each 200 steps."""
    generator, began, log = torch.Generator().manual_seed(0), time.time(), []
    optimizer = torch.optim.AdamW(net.parameters(), lr=PEAK, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=steps)
    for step in range(1, steps + 1):
        pictures = real[tuple(STYLES)[step % 2]]
        x = pictures[torch.randperm(len(pictures), generator=generator)[:BATCH]]
        first, second = net(spoil(x, generator)), net(spoil(x, generator))
        logits, truth = first @ second.T / HEAT, torch.arange(len(x))
        loss = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            log.append({"step": step, "loss": round(loss.item(), 4)})
            print(log[-1], f"{time.time() - began:.0f} s", flush=True)
    return log


def main() -> None:
    parser = argparse.ArgumentParser(description=" ".join(__doc__.partition(":")[0].split()))
    parser.add_argument("--steps", type=int, default=1500, help="of training (default: 1500)")
    parser.add_argument(
        "--out", type=Path, default=DATA / "likeness", help="folder (default: data/likeness)"
    )
    options = parser.parse_args()
    torch.manual_seed(0)
    net, began = Likeness(), time.time()
    real = {style: drawings(style) for style in STYLES}
    log = train(net, real, options.steps)
    # What is judged is what is kept: the weights in bfloat16.
    weights = {name: tensor.bfloat16() for name, tensor in net.state_dict().items()}
    net.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    shares = marks(net.eval(), real)
    metadata = {
        "steps": options.steps,
        "batch": BATCH,
        "seconds": round(time.time() - began),
        "machine": processor(),
        "threads": torch.get_num_threads(),
        "top 1 of 512 spoilt drawings": shares,
        "log": log,
    }
    write(options.out / "weights.safetensors", lambda path: save_file(weights, path))
    write_json(options.out / "training_log.json", metadata)
    print(json.dumps(shares))


if __name__ == "__main__":
    main()
