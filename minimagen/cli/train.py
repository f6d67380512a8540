"""`minimagen train`: one stage by its recipe."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path


def train(args: argparse.Namespace) -> None:
    """Train one stage by its recipe into a folder that `draw` and `evaluate` can read."""
    import torch
    from tqdm import tqdm

    from minimagen import recipes
    from minimagen.evaluation.registry import dataset
    from minimagen.text import TextEncoder

    recipe = recipes.RECIPES[args.stage, args.profile]
    overrides = {
        name: getattr(args, name)
        for name in ("steps", "batch", "save")
        if getattr(args, name) is not None
    }
    recipe = replace(recipe, **overrides)
    if args.size is not None:
        if args.stage != "base":
            raise ValueError(
                "size is for the base alone, a super-resolution stage has its own, got it with "
                f"{args.stage}"
            )
        recipe = replace(recipe, settings=replace(recipe.settings, size=args.size))
    accelerator = _accelerator(args.profile, args.bf16)
    encoder = TextEncoder(args.text_encoder, accelerator.device)
    data = dataset(args.data, recipe.settings.size)
    steps = recipes.follow(
        recipe,
        data,
        encoder,
        Path(args.out),
        resume=args.resume,
        source=args.source and Path(args.source),
        accelerator=accelerator,
    )
    torch.set_float32_matmul_precision("high")
    loss = None
    with tqdm(
        total=recipe.steps,
        unit="step",
        disable=args.quiet or not accelerator.is_main_process,
        file=sys.stderr,
    ) as bar:
        for number, step in steps:
            if loss is None:
                bar.initial = bar.n = bar.last_print_n = (
                    number - 1
                )  # a resumed run has those behind it
            loss = step.loss if loss is None else 0.98 * loss + 0.02 * step.loss
            bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
            bar.update()
    if accelerator.is_main_process:
        print(
            f"{args.out}: a stage of {recipe.settings.size} pixels, loss {loss:.4f}"
            if loss
            else f"{args.out}: nothing left to train"
        )


def _accelerator(profile: str, bf16: bool):
    """bf16 on a GPU; on a CPU float32 unless asked: without AMX the conversions cost a small
    network more than they save.
    """
    import torch
    from accelerate import Accelerator

    gpu = profile == "gpu" and torch.cuda.is_available()
    return Accelerator(mixed_precision="bf16" if gpu or bf16 else "no", cpu=not gpu)
