"""What the library's choices save, as ratios within one run: `python -m experiments.speed` (2
minutes on two CPU cores).

Ratios move little between machines, seconds a lot; so a ratio is printed first, and the seconds
behind it in brackets.
"""

import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import torch

from minimagen.conditioning import Cond, LowRes, Text
from minimagen.denoiser import Denoiser
from minimagen.efficient_unet import EfficientUNet
from minimagen.guidance import guided
from minimagen.noise import cosine
from minimagen.recipes import BASE
from minimagen.samplers import ddim, sample, steps
from minimagen.unet import SHIPPED, UNet

STEPS, ROUNDS = 8, 5


def seconds(work: Callable[[], object]) -> float:
    """The median time of a few rounds, after one that warms up."""
    work()
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times)


def report(name: str, slow: float, fast: float) -> None:
    print(f"{slow / fast:5.2f} x  {name}  ({slow:.3f} s against {fast:.3f} s)")


def text(count: int, length: int) -> Text:
    return Text(
        torch.randn(count, length, SHIPPED["base"].text_width),
        torch.ones(count, length, dtype=torch.bool),
    )


@torch.no_grad()
def preparation() -> None:
    """Text keys and values once a picture against once a step, with a long text (64 tokens)."""
    denoiser, z = Denoiser(UNet(SHIPPED["base"])).eval(), torch.randn(4, 3, 64, 64)
    cond = Cond(text(4, 64))
    once = guided(denoiser, cond, 3.0)
    each = guided(lambda *args: denoiser(*args), cond, 3.0)  # a plain function has no `prepare`
    run = lambda denoise: list(sample(denoise, steps(cosine, STEPS), z, ddim()))
    report(
        "text prepared once a picture, not once a step",
        seconds(lambda: run(each)),
        seconds(lambda: run(once)),
    )


@torch.no_grad()
def doubling() -> None:
    """The two halves of guidance as two calls against one call on a doubled batch, one picture."""
    denoiser, z, logsnr = (
        Denoiser(UNet(SHIPPED["base"])).eval(),
        torch.randn(1, 3, 64, 64),
        torch.zeros(1),
    )
    cond = Cond(text(1, 12))
    halves = [denoiser.prepare(cond), denoiser.prepare(cond.without_text())]
    once = guided(denoiser, cond, 3.0)
    report(
        "guidance on a doubled batch, not in two calls",
        # fmt: skip
        seconds(lambda: [denoiser(z, logsnr, half) for half in halves]),
        seconds(lambda: once(z, logsnr)),
    )


@torch.no_grad()
def guidance_off() -> None:
    """w = 3 against w = 1, which skips the unconditional half."""
    denoiser, z, logsnr = (
        Denoiser(UNet(SHIPPED["base"])).eval(),
        torch.randn(8, 3, 64, 64),
        torch.zeros(8),
    )
    cond = Cond(text(8, 12))
    on, off = guided(denoiser, cond, 3.0), guided(denoiser, cond, 1.0)
    report(
        "no guidance (w = 1), not w = 3",
        seconds(lambda: on(z, logsnr)),
        seconds(lambda: off(z, logsnr)),
    )


@torch.no_grad()
def efficient() -> None:
    """The Efficient U-Net against the U-Net of equal widths and blocks, one 256-pixel picture."""
    config = replace(SHIPPED["sr256"], attention=(None, None, None))
    cond = Cond(text(1, 12), LowRes(torch.randn(1, 3, 64, 64), torch.zeros(1)))
    z, logsnr = torch.randn(1, 3, 256, 256), torch.zeros(1)
    plain, thrifty = UNet(config).eval(), EfficientUNet(config).eval()
    count = lambda net: sum(p.numel() for p in net.parameters()) / 1e6
    name = f"Efficient U-Net ({count(thrifty):.2f} M parameters), not U-Net ({count(plain):.2f} M)"
    report(name, seconds(lambda: plain(z, logsnr, cond)), seconds(lambda: thrifty(z, logsnr, cond)))


def half_precision() -> None:
    """A training step of the base with its network in float32 against bfloat16, 64 pages of 32
    pixels, 16 of 64.
    """
    denoiser = BASE.build()
    for count, side in ((64, 32), (16, 64)):
        x0, cond, logsnr = (
            torch.randn(count, 3, side, side),
            Cond(text(count, 20)),
            torch.zeros(count),
        )

        def step(half: bool, x0=x0, logsnr=logsnr, cond=cond) -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = denoiser.loss(x0, logsnr, torch.randn_like(x0), cond).mean()
            loss.backward()
            denoiser.zero_grad()

        name = f"training in bfloat16 at {side} pixels, not float32"
        report(name, seconds(lambda step=step: step(False)), seconds(lambda step=step: step(True)))


if __name__ == "__main__":
    torch.manual_seed(0)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads of {os.cpu_count()} "
        f"cores, {platform.machine()}"
    )
    for measure in (preparation, doubling, guidance_off, efficient, half_precision):
        measure()
