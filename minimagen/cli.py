"""The command line: `minimagen draw | train | evaluate | info`."""

import argparse
import json
import math
import os
import sys
import time
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

from minimagen import __version__

EXAMPLES = """`minimagen draw --help` (or train, evaluate, info) tells what each flag does.

examples:
  minimagen draw "a large red circle" "a small blue star" --out drawings
  minimagen draw "a green heart above a black ring" --size 256 --seed 7 --weight 5 --threshold static
  minimagen train base --data shapes --profile cpu --out runs/base
  minimagen draw "a red circle" --weights runs/base
  minimagen train base --data my_pictures/ --from data/weights/base --out runs/mine
  accelerate launch --num_processes 2 -m minimagen train base --data all --profile gpu --out runs/base
  minimagen evaluate --split held-out --captions 512 --kind single
  minimagen info
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a mistake in what was asked prints one line and gives exit status 2."""
    for stream in (sys.stdout, sys.stderr):  # an emoji in a prompt must not stop a terminal that cannot show it
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    args = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *rest, **more: print(f"minimagen: note: {message}", file=sys.stderr)
            return args.run(args) or 0
    except BrokenPipeError:  # whoever read the output has read enough; what is left must not complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"minimagen: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minimagen: stopped", file=sys.stderr)
        return 130


# ---------------------------------------------------------------------------------------------------------------- draw


def draw(args: argparse.Namespace) -> None:
    """Draw each prompt and write one PNG a prompt, all stages side by side."""
    from PIL.PngImagePlugin import PngInfo

    from minimagen import pixels
    from minimagen.cascade import Cascade
    from minimagen.files import make_folder, write

    began = time.monotonic()
    _check_prompts(args.prompt)
    cascade = _as_asked(Cascade.load(args.weights, args.device, args.text_encoder), args)
    out, bars = make_folder(args.out), _Bars(args.quiet)
    pictures = cascade.draw(args.prompt, args.seed, watch=bars.watch)
    bars.close()
    for i, prompt in enumerate(args.prompt):
        told = PngInfo()
        told.add_text("minimagen", json.dumps(_told(cascade, prompt, args.seed + i, args), ensure_ascii=True))
        told.add_itxt("Description", prompt)
        sheet = side_by_side([pixels.to_uint8(stage[i].cpu()) for stage in pictures])
        path = out / f"{i:02d}-{_slug(prompt)}.png"
        write(path, lambda temporary: sheet.save(temporary, "PNG", pnginfo=told, optimize=True))  # noqa: B023  (called at once)
        print(f"{path}  {prompt}")
    for size, spent in bars.seconds.items():
        print(f"{size:>5} pixels: {spent / len(args.prompt):6.2f} s a picture")
    print(f"together {time.monotonic() - began:.1f} s, peak memory {_peak_memory():.2f} GB, on {_machine(cascade)}")


def side_by_side(pictures: list):
    """The stages of one picture, smallest first, on one white sheet: uint8 (3, H, W) tensors -> PIL image."""
    from PIL import Image

    gap = 8
    sides = [picture.shape[-1] for picture in pictures]
    sheet = Image.new("RGB", (sum(sides) + gap * (len(sides) - 1), max(sides)), "white")
    left = 0
    for picture, side in zip(pictures, sides, strict=True):
        sheet.paste(Image.fromarray(picture.permute(1, 2, 0).numpy()), (left, 0))
        left += side + gap
    return sheet


def _as_asked(cascade, args: argparse.Namespace):
    """The cascade as the flags want it: weight and threshold speak of the base, aug-level of the other stages."""
    from minimagen.cascade import Cascade, stage_of

    stages = cascade.up_to(args.size)
    if args.aug_level is not None and len(stages) == 1:
        raise ValueError("aug-level belongs to the super-resolution stages, but only the base was asked for")
    settings = []
    for i, given in enumerate(cascade.settings[: len(stages)]):
        flags = ("steps", "sampler", "aug_level") if i else ("steps", "sampler", "weight", "threshold", "percentile")
        asked = {name: getattr(args, name) for name in flags if getattr(args, name) is not None}
        settings.append(replace(given, **asked))
    if args.percentile is not None and settings[0].threshold != "dynamic":
        raise ValueError(f"percentile belongs to the dynamic threshold, got it with {settings[0].threshold}")
    return Cascade(cascade.encoder, [stage_of(stage.denoiser, s) for stage, s in zip(stages, settings, strict=True)], settings)


def _told(cascade, prompt: str, seed: int, args: argparse.Namespace) -> dict:
    """What a picture's metadata says: all that it takes to draw it again."""
    names = ("size", "steps", "sampler", "weight", "threshold", "percentile", "aug_level")
    stages = [{name: getattr(settings, name) for name in names} for settings in cascade.settings]
    told = {"prompt": prompt, "seed": seed, "version": __version__, "weights": args.weights or "shipped", "stages": stages}
    return {**told, "text_encoder": args.text_encoder} if args.text_encoder else told


class _Bars:
    """One progress bar a stage, and the seconds each stage took."""

    def __init__(self, quiet: bool):
        self.quiet, self.seconds, self.bar, self.size = quiet, {}, None, None

    def watch(self, stage, predictions):
        from tqdm import tqdm

        if stage.size != self.size:
            self.close()
            self.size, self.seconds[stage.size] = stage.size, 0.0
            self.bar = tqdm(desc=f"{stage.size:>5} pixels", unit="step", disable=self.quiet, file=sys.stderr)
        began = time.monotonic()
        self.bar.total = (self.bar.total or 0) + stage.steps
        for pred in predictions:
            self.bar.update()
            yield pred
        self.seconds[stage.size] += time.monotonic() - began

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


# --------------------------------------------------------------------------------------------------------------- train


def train(args: argparse.Namespace) -> None:
    """Train one stage by its recipe into a folder that `draw` and `evaluate` can read."""
    import torch
    from tqdm import tqdm

    from minimagen import recipes
    from minimagen.text import TextEncoder

    recipe = recipes.RECIPES[args.stage, args.profile]
    overrides = {name: getattr(args, name) for name in ("steps", "batch", "save") if getattr(args, name) is not None}
    recipe = replace(recipe, **overrides)
    if args.size is not None:
        if args.stage != "base":
            raise ValueError(f"size is for the base alone, a super-resolution stage has its own, got it with {args.stage}")
        recipe = replace(recipe, settings=replace(recipe.settings, size=args.size))
    accelerator = _accelerator(args.profile, args.bf16)
    encoder = TextEncoder(args.text_encoder, accelerator.device)
    data = recipes.dataset(args.data, recipe.settings.size)
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
    with tqdm(total=recipe.steps, unit="step", disable=args.quiet or not accelerator.is_main_process, file=sys.stderr) as bar:
        for number, step in steps:
            if loss is None:
                bar.initial = bar.n = bar.last_print_n = number - 1  # a resumed run has those behind it
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
    """bf16 on a GPU; on a CPU float32 unless asked: without AMX the conversions cost a small network more than they save."""
    import torch
    from accelerate import Accelerator

    gpu = profile == "gpu" and torch.cuda.is_available()
    return Accelerator(mixed_precision="bf16" if gpu or bf16 else "no", cpu=not gpu)


# ---------------------------------------------------------------------------------------------------- evaluate and info


def evaluate(args: argparse.Namespace) -> None:
    """Draw captions that training never had, hold the drawings against them, and print each measure with its interval."""
    from minimagen import exam
    from minimagen.cascade import Cascade
    from minimagen.files import write

    if args.kind and args.data != "shapes":
        raise ValueError(f"kind belongs to the shapes, got it with {args.data}")
    cascade = _as_asked(Cascade.load(args.weights, args.device, args.text_encoder), args)
    captions, real = exam.paper(args.data, args.split, args.kind, args.captions, args.size)
    bars = _Bars(args.quiet)

    def drawn():
        for start in range(0, len(captions), args.batch):
            part = captions[start : start + args.batch]
            yield part, [stage.cpu() for stage in cascade.draw(part, args.seed + start, watch=bars.watch)]
        bars.close()

    rows = exam.examine(args.data, drawn(), real)
    asked = {name: getattr(args, name) for name in ("data", "split", "kind", "captions", "size", "seed")}
    print(
        f"{args.captions} {args.split} captions, {args.kind or 'all'} {args.data}, {args.size} pixels, seeds from {args.seed}"
    )
    _print_marks(rows)
    if args.out:
        stages = _told(cascade, "", args.seed, args)["stages"]
        content = json.dumps({**asked, "stages": stages, **rows}, indent=1) + "\n"
        write(args.out, lambda path: path.write_text(content, encoding="utf-8"))


def _print_marks(rows: dict) -> None:
    for name, row in rows["right"].items():
        told = "no caption states one"
        if row:
            told = f"{row['share']:6.1%}   95 % interval {row['low']:.1%} to {row['high']:.1%}"
        print(f"  {name:<9} {told}")
    if found := rows["frechet"]:
        print(f"  Fréchet distance to {found['n']} real pictures ({found['features']}): {found['drawn']:.3f}")
        print(f"     beside it, that of {found['n']} other real pictures: {found['real']:.3f}")
    if rows["edges"]["drawn"]:
        print(f"  edges are {rows['edges']['drawn']:.2f} pixels wide, those of real pictures {rows['edges']['real']:.2f}")
    if "below" in rows:
        shift = ", ".join(f"{c:+.4f}" for c in rows["below"]["shift"])
        print(f"  against the stage below: difference {rows['below']['difference']:.4f}, shift of red, green, blue {shift}")


def info(args: argparse.Namespace) -> None:
    """Say what the weights are, where they lie, and how they are sampled by default."""
    from minimagen.cascade import Cascade
    from minimagen.files import shipped

    cascade = Cascade.load(args.weights, "cpu", args.text_encoder)
    print(f"minimagen {__version__}, weights in {args.weights or shipped('weights')}")
    print(f"text encoder: {cascade.encoder.name}, {cascade.encoder.width} wide, up to {cascade.encoder.limit} tokens")
    for stage, settings in zip(cascade.stages, cascade.settings, strict=True):
        count = sum(p.numel() for p in stage.denoiser.parameters())
        print(f"{settings.size:>5} pixels: {settings.network}, {count / 1e6:.2f} M parameters, predicts {settings.target}")
        shown = asdict(settings)
        for name in ("schedule", "steps", "sampler", "weight", "threshold", "percentile", "aug_level", "trained"):
            print(f"         {name:<10} {shown[name]}")


# -------------------------------------------------------------------------------------------------------------- parser


class _Parser(argparse.ArgumentParser):
    """A mistake in the flags gets one line, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"minimagen: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="minimagen",
        description="From a sentence to a picture: a small cascade of diffusion models (64 -> 256 -> 1024 pixels).",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"minimagen {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    _draw_parser(commands)
    _train_parser(commands)
    _evaluate_parser(commands)
    sub = commands.add_parser(
        "info",
        help="say what the weights are and how they are sampled",
        description="Say what the weights are, stage by stage, and the settings that `draw` uses where no flag says otherwise.",
    )
    _weights_flags(sub)
    sub.set_defaults(run=info)
    return parser


def _draw_parser(commands) -> None:
    sub = commands.add_parser(
        "draw",
        help="draw sentences: one PNG each",
        description="Draw each sentence: one PNG with its stages side by side, smallest first. "
        "The PNG's metadata keeps the sentence and every setting.",
    )
    sub.add_argument("prompt", nargs="*", help="a sentence such as 'a large red circle'; several are drawn together")
    sub.add_argument("--out", default="drawings", help="folder for the pictures (default: drawings)")
    sub.add_argument("--seed", type=_whole, default=0, help="same seed, same picture; picture i has seed + i (default: 0)")
    sub.add_argument("--size", type=int, help="stop at the stage of this many pixels: 64, 256 or 1024 (default: all stages)")
    _sampling_flags(sub)
    _weights_flags(sub)
    sub.add_argument("--quiet", action="store_true", help="no progress bars")
    sub.set_defaults(run=draw)


def _train_parser(commands) -> None:
    sub = commands.add_parser(
        "train",
        help="train one stage of a cascade",
        description="Train one stage by its recipe. Ctrl-C or a kill loses at most --save steps: go on with --resume. "
        "A trained base can be drawn with at once: minimagen draw ... --weights RUN.",
    )
    sub.add_argument(
        "stage", choices=("base", "sr256", "sr1024"), help="base: sentence -> 64; sr256: 64 -> 256; sr1024: 256 -> 1024"
    )
    sub.add_argument(
        "--data",
        default="shapes",
        help="shapes, emoji, scenes (of two emoji), things (emoji named in one word), two-things (scenes of those), "
        "picnic (scenes of two animals, plants or foods named so), some (shapes, things and picnics), all, "
        "or a folder of your own: pictures and a metadata.jsonl "
        'with a line {"file_name": "a.png", "text": "a red kite"} for each (default: shapes)',
    )
    sub.add_argument("--profile", choices=("cpu", "gpu"), default="cpu", help="numbers for 2 CPU cores, or for a GPU with bf16")
    sub.add_argument("--out", required=True, help="folder of the run: the stage itself, its state, a log, samples")
    sub.add_argument("--resume", action="store_true", help="go on with the run that --out holds, if there is one")
    sub.add_argument("--from", dest="source", help="begin with the weights in this stage's folder, not with random ones")
    sub.add_argument("--steps", type=_positive, help="optimiser steps in all (default: the recipe's)")
    sub.add_argument("--batch", type=_positive, help="pictures a step, over all processes (default: the recipe's)")
    sub.add_argument("--save", type=_positive, help="steps between two saved states (default: the recipe's)")
    sub.add_argument("--size", type=_positive, help="side of the base's pictures: 32 learns the words four times as fast as 64")
    sub.add_argument(
        "--bf16",
        action="store_true",
        help="the network in bf16 on a CPU too: about 1.5 times as fast on a Xeon with AMX, no faster without",
    )
    sub.add_argument("--text-encoder", help="folder or hub name of a frozen text encoder (default: the shipped small T5)")
    sub.add_argument("--quiet", action="store_true", help="no progress bar")
    sub.set_defaults(run=train)


def _evaluate_parser(commands) -> None:
    sub = commands.add_parser(
        "evaluate",
        help="measure how often a drawing shows what its sentence says",
        description="Draw captions of shapes, read the objects back out of the pictures, and print the shares that are right.",
    )
    sub.add_argument("--captions", type=_positive, default=512, help="how many captions (default: 512)")
    sub.add_argument(
        "--split",
        choices=("train", "held-out", "unseen"),
        default="held-out",
        help="held-out: wordings that training never had; unseen: colours and shapes never seen together (default: held-out)",
    )
    sub.add_argument(
        "--data",
        choices=("shapes", "emoji", "things", "scenes", "two-things", "picnic"),
        default="shapes",
        help="what the captions speak of; things: emoji named in one word, two-things: scenes of those, "
        "picnic: scenes of two animals, plants or foods (default: shapes)",
    )
    sub.add_argument("--kind", choices=("single", "pair", "count", "triple"), help="captions of one kind (default: all)")
    sub.add_argument("--size", type=int, default=64, help="the stage to score (default: 64)")
    sub.add_argument("--seed", type=_whole, default=0, help="the same seed gives the same pictures (default: 0)")
    sub.add_argument("--batch", type=_positive, default=32, help="pictures drawn together (default: 32)")
    sub.add_argument("--out", help="also write the figures to this JSON file")
    _sampling_flags(sub)
    _weights_flags(sub)
    sub.add_argument("--quiet", action="store_true", help="no progress bars")
    sub.set_defaults(run=evaluate)


def _sampling_flags(sub) -> None:
    sub.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: a GPU if there is one)")
    group = sub.add_argument_group("sampling (default: what the weights' own settings say, see `minimagen info`)")
    group.add_argument("--steps", type=_positive, help="denoising steps in every stage: more is slower and finer")
    group.add_argument(
        "--sampler", choices=("ancestral", "ddim", "heun", "dpmpp_2m"), help="how a step is taken, in every stage (lesson 06)"
    )
    group.add_argument("--weight", type=float, help="how hard the base listens to the sentence: 1 is guidance off (lesson 08)")
    group.add_argument(
        "--threshold", choices=("none", "static", "dynamic"), help="how the base keeps its colours in range (lesson 09)"
    )
    group.add_argument("--percentile", type=float, help="of the dynamic threshold, in (0, 1]; the paper's is 0.995")
    group.add_argument("--aug-level", type=float, help="noise on the smaller picture before it is enlarged, 0 to 1 (lesson 13)")


def _weights_flags(sub) -> None:
    sub.add_argument("--weights", help="folder or hub name of a cascade, or the folder of one trained base (default: shipped)")
    sub.add_argument("--text-encoder", help="folder or hub name of an encoder in the place of the cascade's own")


def _whole(text: str, least: int = 0) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, got {text}")
    return int(text)


def _positive(text: str) -> int:
    return _whole(text, least=1)


# ------------------------------------------------------------------------------------------------------------- helpers


def _check_prompts(prompts: list[str]) -> None:
    if not prompts:
        raise ValueError('prompt must be at least one sentence, got none: minimagen draw "a large red circle"')
    if any(not prompt.strip() for prompt in prompts):
        raise ValueError("prompt must be a sentence, got an empty one")


def _slug(prompt: str) -> str:
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in prompt.lower()).split())[:60] or "picture"


def _peak_memory() -> float:
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
