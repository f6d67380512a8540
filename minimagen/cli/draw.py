"""`minimagen draw`: one PNG a sentence."""

import argparse
import json
import math
import os
import sys
import time

from minimagen.cli.common import ProgressBars, metadata, with_flags


def draw(args: argparse.Namespace) -> None:
    """Draw each prompt and write one PNG a prompt, all stages side by side."""
    from PIL.PngImagePlugin import PngInfo

    from minimagen import pixels
    from minimagen.cascade import Cascade
    from minimagen.files import make_folder, write

    began = time.monotonic()
    _check_prompts(args.prompt)
    cascade = with_flags(Cascade.load(args.weights, args.device, args.text_encoder), args)
    out, bars = make_folder(args.out), ProgressBars(args.quiet)
    pictures = cascade.draw(args.prompt, args.seed, watch=bars.watch)
    bars.close()
    for i, prompt in enumerate(args.prompt):
        told = PngInfo()
        told.add_text(
            "minimagen",
            json.dumps(metadata(cascade, prompt, args.seed + i, args), ensure_ascii=True),
        )
        told.add_itxt("Description", prompt)
        sheet = side_by_side([pixels.to_uint8(stage[i].cpu()) for stage in pictures])
        path = out / f"{i:02d}-{_slug(prompt)}.png"
        write(path, lambda temporary: sheet.save(temporary, "PNG", pnginfo=told, optimize=True))  # noqa: B023  (called at once)
        print(f"{path}  {prompt}")
    for size, spent in bars.seconds.items():
        print(f"{size:>5} pixels: {spent / len(args.prompt):6.2f} s a picture")
    print(
        f"together {time.monotonic() - began:.1f} s, peak memory {peak_memory():.2f} GB, on "
        f"{_machine(cascade)}"
    )


def side_by_side(pictures: list):
    """The stages of one picture, smallest first, on one white sheet: uint8 (3, H, W) tensors -> PIL
    image.
    """
    from PIL import Image

    gap = 8
    sides = [picture.shape[-1] for picture in pictures]
    sheet = Image.new("RGB", (sum(sides) + gap * (len(sides) - 1), max(sides)), "white")
    left = 0
    for picture, side in zip(pictures, sides, strict=True):
        sheet.paste(Image.fromarray(picture.permute(1, 2, 0).numpy()), (left, 0))
        left += side + gap
    return sheet


def _check_prompts(prompts: list[str]) -> None:
    if not prompts:
        raise ValueError(
            'prompt must be at least one sentence, got none: minimagen draw "a large red circle"'
        )
    if any(not prompt.strip() for prompt in prompts):
        raise ValueError("prompt must be a sentence, got an empty one")


def _slug(prompt: str) -> str:
    return (
        "-".join(
            "".join(c if c.isascii() and c.isalnum() else " " for c in prompt.lower()).split()
        )[:60]
        or "picture"
    )


def peak_memory() -> float:
    """The most memory this process has held, in GB (10^9 bytes)."""
    try:
        import resource
    except ImportError:  # Windows has no such count
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _machine(cascade) -> str:
    import torch

    device = next(cascade.stages[0].denoiser.parameters()).device
    return (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{torch.get_num_threads()} threads of {os.cpu_count()} CPU cores"
    )
