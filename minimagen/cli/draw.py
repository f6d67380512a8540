"""`minimagen draw`: one PNG a sentence."""

import argparse
import json
import math
import os
import sys
import time
from functools import partial

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
        info = PngInfo()
        settings = metadata(cascade, prompt, args.seed + i, args)
        info.add_text("minimagen", json.dumps(settings, ensure_ascii=True))
        info.add_itxt("Description", prompt)
        sheet = pixels.to_pil(pixels.row([stage[i].cpu() for stage in pictures], gap=8))
        path = out / f"{i:02d}-{_slug(prompt)}.png"
        save = partial(sheet.save, format="PNG", pnginfo=info, optimize=True)
        write(path, save)
        print(f"{path}  {prompt}")
    for size, spent in bars.seconds.items():
        print(f"{size:>5} pixels: {spent / len(args.prompt):6.2f} s a picture")
    print(
        f"together {time.monotonic() - began:.1f} s, peak memory {peak_memory():.2f} GB, on "
        f"{_machine(cascade)}"
    )


def _check_prompts(prompts: list[str]) -> None:
    if not prompts:
        raise ValueError(
            'prompt must be at least one sentence, got none: minimagen draw "a large red circle"'
        )
    if any(not prompt.strip() for prompt in prompts):
        raise ValueError("prompt must be a sentence, got an empty one")


def _slug(prompt: str) -> str:
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in prompt.lower()).split()
    return "-".join(words)[:60] or "picture"


def peak_memory() -> float:
    """The peak of this process's memory, in GB (10^9 bytes)."""
    try:
        import resource
    except ImportError:  # Windows has no such count
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def _machine(cascade) -> str:
    import torch

    device = next(cascade.stages[0].denoiser.parameters()).device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads of {os.cpu_count()} CPU cores"
