"""The parameters and the arithmetic of every shape of `minimagen.configs`, counted without memory:
`python -m experiments.configs` prints the rows of docs/CONFIGS.md, in seconds.
"""

import torch
from torch.utils.flop_counter import FlopCounterMode

from experiments._common import command, machine, parser, write_json
from minimagen.conditioning import Cond, LowRes, Text
from minimagen.configs import CONFIGS
from minimagen.efficient_unet import EfficientUNet
from minimagen.unet import UNet

STAGES = {"base": (UNet, 64), "sr256": (EfficientUNet, 256), "sr1024": (EfficientUNet, 1024)}
TOKENS = 64  # of the text
BYTES = 20  # a parameter in training: weight, gradient, two moments, average


def counted(name: str, stage: str) -> dict[str, float]:
    """Millions of parameters, GFLOP of one evaluation of one picture, GB of training's states."""
    config, (network, size) = CONFIGS[name][stage], STAGES[stage]
    with torch.device("meta"):
        net = network(config)
        text = Text(
            torch.empty(1, TOKENS, config.text_width), torch.ones(1, TOKENS, dtype=torch.bool)
        )
        below = LowRes(torch.empty(1, 3, size // 4, size // 4), torch.empty(1))
        cond = Cond(text, below if config.lowres else None)
        with FlopCounterMode(display=False) as flops, torch.no_grad():
            net(torch.empty(1, 3, size, size), torch.empty(1), cond)
    parameters = sum(p.numel() for p in net.parameters())
    return {
        "parameters, millions": round(parameters / 1e6, 1),
        "GFLOP": round(flops.get_total_flops() / 1e9, 1),
        "GB of states in training": round(BYTES * parameters / 1e9, 2),
    }


def main() -> None:
    options = parser(__doc__, "configs.json").parse_args()
    table = {name: {stage: counted(name, stage) for stage in STAGES} for name in CONFIGS}
    who = {"command": command("configs"), "machine": machine()}
    write_json(options.out, {**who, "shapes": table})
    for name, stages in table.items():
        for stage, row in stages.items():
            millions, flops, memory = row.values()
            print(f"| {name} | {stage} | {millions:,.1f} M | {flops:,.1f} | {memory:,.2f} |")


if __name__ == "__main__":
    main()
