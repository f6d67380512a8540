"""What the library's choices save, as ratios within one run: `python -m experiments.speed`, two
minutes on two CPU cores.

Ratios move little between machines, seconds a lot; so a ratio is printed first, with the middle
half of its rounds, and the seconds behind it in brackets. The two sides take turns.
"""

import argparse
from dataclasses import replace
from functools import partial

import torch

from experiments._common import machine
from experiments._timing import Work, compare
from minimagen.conditioning import Cond, LowRes, Text
from minimagen.denoiser import Denoiser
from minimagen.efficient_unet import EfficientUNet
from minimagen.guidance import guided
from minimagen.noise import cosine
from minimagen.recipes import BASE
from minimagen.samplers import ddim, sample, steps
from minimagen.unet import SHIPPED, UNet

STEPS, ROUNDS = 8, 5


def text(count: int, length: int) -> Text:
    tokens = torch.randn(count, length, SHIPPED["base"].text_width)
    return Text(tokens, torch.ones(count, length, dtype=torch.bool))


def base() -> Denoiser:
    return Denoiser(UNet(SHIPPED["base"])).eval()


def preparation() -> tuple[str, Work, Work]:
    """Text keys and values once a picture against once a step, with a long text (64 tokens)."""
    denoiser, z, cond = base(), torch.randn(4, 3, 64, 64), Cond(text(4, 64))
    once = guided(denoiser, cond, 3.0)
    each = guided(lambda *args: denoiser(*args), cond, 3.0)  # a plain function has no `prepare`
    run = lambda denoise: list(sample(denoise, steps(cosine, STEPS), z, ddim()))
    return "text prepared once a picture, not once a step", partial(run, each), partial(run, once)


def doubling() -> tuple[str, Work, Work]:
    """The two halves of guidance as two calls against one call on a doubled batch, one picture."""
    denoiser, z, logsnr = base(), torch.randn(1, 3, 64, 64), torch.zeros(1)
    cond = Cond(text(1, 12))
    halves = [denoiser.prepare(cond), denoiser.prepare(cond.without_text())]
    once = guided(denoiser, cond, 3.0)
    two = lambda: [denoiser(z, logsnr, half) for half in halves]
    return "guidance on a doubled batch, not in two calls", two, lambda: once(z, logsnr)


def guidance_off() -> tuple[str, Work, Work]:
    """w = 3 against w = 1, which skips the unconditional half."""
    denoiser, z, logsnr = base(), torch.randn(8, 3, 64, 64), torch.zeros(8)
    cond = Cond(text(8, 12))
    on, off = (guided(denoiser, cond, weight) for weight in (3.0, 1.0))
    return "no guidance (w = 1), not w = 3", lambda: on(z, logsnr), lambda: off(z, logsnr)


def efficient() -> tuple[str, Work, Work]:
    """The Efficient U-Net against the U-Net of equal widths and blocks, one 256-pixel picture."""
    config = replace(SHIPPED["sr256"], attention=(None, None, None))
    cond = Cond(text(1, 12), LowRes(torch.randn(1, 3, 64, 64), torch.zeros(1)))
    z, logsnr = torch.randn(1, 3, 256, 256), torch.zeros(1)
    plain, thrifty = UNet(config).eval(), EfficientUNet(config).eval()
    count = lambda net: sum(p.numel() for p in net.parameters()) / 1e6
    name = f"Efficient U-Net ({count(thrifty):.2f} M parameters), not U-Net ({count(plain):.2f} M)"
    return name, lambda: plain(z, logsnr, cond), lambda: thrifty(z, logsnr, cond)


def half_precision(count: int, side: int) -> tuple[str, Work, Work]:
    """A training step of the base with its network in float32 against bfloat16."""
    denoiser = BASE.build()
    x0, cond = torch.randn(count, 3, side, side), Cond(text(count, 20))

    def step(half: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = denoiser.loss(x0, torch.zeros(count), torch.randn_like(x0), cond).mean()
        loss.backward()
        denoiser.zero_grad()

    name = f"training in bfloat16 at {side} pixels, not float32"
    return name, partial(step, False), partial(step, True)


def main() -> None:
    parser = argparse.ArgumentParser(description="what the library's choices save, as ratios")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"at least 2 (default: {ROUNDS})"
    )
    options = parser.parse_args()
    torch.manual_seed(0)
    print(machine())
    with torch.no_grad():
        for pair in (preparation, doubling, guidance_off, efficient):
            compare(*pair(), options.rounds)
    for count, side in ((64, 32), (16, 64)):
        compare(*half_precision(count, side), options.rounds)


if __name__ == "__main__":
    main()
