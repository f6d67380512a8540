"""`minimagen train`: one stage by its recipe."""

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path


def train(args: argparse.Namespace) -> None:
    """Train one stage by its recipe into a folder that `draw` and `evaluate` can read."""
    import torch

    from minimagen.evaluation.registry import dataset
    from minimagen.run import train_recipe
    from minimagen.state import kept
    from minimagen.text import TextEncoder

    step, first = kept(args.out) if args.resume else (0, None)
    choices = _choices(args, first)
    recipe = _recipe(args, choices, first)
    accelerator = _accelerator(choices["profile"], choices["bf16"])
    name = args.text_encoder or (first and first.encoder)
    encoder = TextEncoder(name and _whole_path(name), accelerator.device)
    steps = train_recipe(
        recipe,
        dataset(choices["data"], recipe.settings.size),
        encoder,
        args.out,
        resume=args.resume,
        source=choices["from"],
        accelerator=accelerator,
        choices=choices,
    )
    torch.set_float32_matmul_precision("high")
    quiet = args.quiet or not accelerator.is_main_process
    loss = _watch(steps, step, recipe, quiet)
    if accelerator.is_main_process:
        print(
            f"{args.out}: nothing left to train"
            if loss is None
            else f"{args.out}: a stage of {recipe.settings.size} pixels, loss {loss:.4f}"
        )


def _choices(args: argparse.Namespace, first) -> dict:
    """What was typed, else what the resumed run began with (`first`), else the default."""
    from minimagen.evaluation.registry import DATASETS

    defaults = {"profile": "cpu", "config": None, "data": "shapes", "bf16": False, "from": None}
    typed = {
        "stage": args.stage,
        "profile": args.profile,
        "config": args.config,
        "data": args.data if args.data in (None, *DATASETS) else _whole_path(args.data),
        "bf16": args.bf16,
        "from": args.source and _whole_path(args.source),
    }
    before = first.choices if first else {}
    typed = {name: value for name, value in typed.items() if value is not None}
    return {**defaults, **before, **typed}


def _recipe(args: argparse.Namespace, choices: dict, first):
    """The recipe of the resumed run, else of the stage and profile, with the flags' numbers."""
    from minimagen.configs import CONFIGS
    from minimagen.recipes import RECIPES

    recipe = first.recipe if first else RECIPES[args.stage, choices["profile"]]
    if not first and choices["config"]:
        network = CONFIGS[choices["config"]][args.stage]
        recipe = replace(recipe, settings=replace(recipe.settings, config=network))
    numbers = {name: getattr(args, name) for name in ("steps", "batch", "save")}
    recipe = replace(recipe, **{name: n for name, n in numbers.items() if n is not None})
    if args.size is None:
        return recipe
    if args.stage != "base":
        raise ValueError(
            "size is for the base alone, a super-resolution stage has its own, got it with "
            f"{args.stage}"
        )
    return replace(recipe, settings=replace(recipe.settings, size=args.size))


def _whole_path(name: str) -> str:
    """A folder by its whole path, so that a run is resumed from anywhere; another name as it is."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def _watch(steps: Iterator, first: int, recipe, quiet: bool) -> float | None:
    """Follow the steps with a progress bar -> the loss, smoothed; None where no step was left."""
    from tqdm import tqdm

    loss = None
    with (
        _stop_signals() as stopped,
        tqdm(total=recipe.steps, initial=first, unit="step", disable=quiet, file=sys.stderr) as bar,
    ):
        for _, step in steps:
            loss = step.loss if loss is None else 0.98 * loss + 0.02 * step.loss
            speed = (bar.format_dict["rate"] or 0) * recipe.batch
            bar.set_postfix_str(f"loss {loss:.4f}, {speed:.0f} pictures/s", refresh=False)
            bar.update()
            if stopped:
                steps.throw(KeyboardInterrupt())
    return loss


@contextlib.contextmanager
def _stop_signals() -> Iterator[list]:
    """A list that Ctrl-C, SIGTERM and SIGHUP are put in; the second one is a `KeyboardInterrupt`.

    So a step ends before the run stops, and its state can be saved.
    """
    stopped: list[int] = []

    def note(number: int, frame) -> None:
        if stopped:
            raise KeyboardInterrupt
        stopped.append(number)

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {getattr(signal, name): signal.getsignal(getattr(signal, name)) for name in names}
    # Only the main thread may; and `nohup` has SIGHUP ignored.
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        heard = []
    for number in heard:
        signal.signal(number, note)
    try:
        yield stopped
    finally:
        for number in heard:
            signal.signal(number, before[number])


def _accelerator(profile: str, bf16: bool):
    """bf16 on a GPU; on a CPU float32 unless `bf16`: without AMX the conversions cost a small
    network more than they save.
    """
    import torch
    from accelerate import Accelerator

    gpu = profile == "gpu" and torch.cuda.is_available()
    return Accelerator(mixed_precision="bf16" if gpu or bf16 else "no", cpu=not gpu)
