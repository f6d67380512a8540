"""What can be typed: every command, every flag, and their help."""

import argparse
from typing import NoReturn

from minimagen import __version__
from minimagen.cli.draw import draw
from minimagen.cli.evaluate import evaluate, info
from minimagen.cli.train import train
from minimagen.evaluation.registry import ALL_SPLITS, DATASETS, EXAMINED, KINDS, described

CONFIGS = ("small", "medium", "large", "paper")  # of `minimagen.configs`, which needs PyTorch
EXAMPLES = """`minimagen draw --help` (or train, evaluate, info) tells what each flag does.

examples:
  minimagen draw "a large red circle" "a small blue star" --out drawings
  minimagen draw "a green heart above a black ring" --size 256 --seed 7 --threshold static
  minimagen train base --data shapes --profile cpu --out runs/base
  minimagen draw "a red circle" --weights runs/base
  minimagen train base --data my_pictures/ --from data/weights/base --out runs/mine
  accelerate launch --num_processes 2 -m minimagen train base --profile gpu --out runs/base
  minimagen evaluate --split held-out --captions 512 --kind single
  minimagen info
"""


class _Parser(argparse.ArgumentParser):
    """A mistake in the flags gets one line, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"minimagen: error: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """Everything that can be typed; `parse_args` gives a namespace whose `run` is the command."""
    parser = _Parser(
        prog="minimagen",
        description="From a sentence to a picture: a small cascade of diffusion models (64 -> "
        "256 -> 1024 pixels).",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"minimagen {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    _draw_parser(commands)
    _train_parser(commands)
    _evaluate_parser(commands)
    _info_parser(commands)
    return parser


def _info_parser(commands) -> None:
    sub = commands.add_parser(
        "info",
        help="say what the weights are and how they are sampled",
        description="Say what the weights are, stage by stage, and the settings that `draw` uses "
        "where no flag says otherwise.",
    )
    _weights_flags(sub)
    sub.set_defaults(run=info)


def _draw_parser(commands) -> None:
    sub = commands.add_parser(
        "draw",
        help="draw sentences: one PNG each",
        description="Draw each sentence: one PNG with its stages side by side, smallest first. "
        "The PNG's metadata keeps the sentence and every setting.",
    )
    sub.add_argument(
        "prompt",
        nargs="*",
        help="a sentence such as 'a large red circle'; several are drawn together",
    )
    sub.add_argument(
        "--out", default="drawings", help="folder for the pictures (default: drawings)"
    )
    sub.add_argument(
        "--seed",
        type=_whole,
        default=0,
        help="same seed, same picture; picture i has seed + i (default: 0)",
    )
    sub.add_argument(
        "--size",
        type=int,
        help="stop at the stage of this many pixels: 64, 256 or 1024 (default: all stages)",
    )
    _sampling_flags(sub)
    _weights_flags(sub)
    sub.add_argument("--quiet", action="store_true", help="no progress bars")
    sub.set_defaults(run=draw)


def _train_parser(commands) -> None:
    sub = commands.add_parser(
        "train",
        help="train one stage of a cascade",
        description="Train one stage by its recipe. Ctrl-C loses nothing, a kill "
        "at most --save steps: go on with --resume, which needs no other flag. "
        "A trained base can be drawn with at once: minimagen draw ... --weights RUN.",
    )
    sub.add_argument(
        "stage",
        choices=("base", "sr256", "sr1024"),
        help="base: sentence -> 64; sr256: 64 -> 256; sr1024: 256 -> 1024",
    )
    sub.add_argument(
        "--data",
        help=f"{described(DATASETS)}, or a folder of your own: pictures and a metadata.jsonl "
        'with a line {"file_name": "a.png", "text": "a red kite"} for each (default: shapes)',
    )
    _run_flags(sub)
    _recipe_flags(sub)
    sub.add_argument(
        "--text-encoder",
        help="folder or hub name of a frozen text encoder (default: the shipped small T5)",
    )
    sub.add_argument("--quiet", action="store_true", help="no progress bar")
    sub.set_defaults(run=train)


def _run_flags(sub) -> None:
    """Where a training run lives, and what it goes on from."""
    sub.add_argument(
        "--out",
        required=True,
        help="folder of the run: the stage itself, its state, a log, samples",
    )
    sub.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run that --out holds, if there is one, as it began: a flag with "
        "another value is an error",
    )
    sub.add_argument(
        "--from",
        dest="source",
        help="begin with the weights in this stage's folder, not with random ones, and go on with "
        "its log: how a training is made longer",
    )


def _recipe_flags(sub) -> None:
    """Which recipe, and what in it is changed."""
    sub.add_argument(
        "--profile",
        choices=("cpu", "gpu"),
        help="numbers for 2 CPU cores, or for a GPU with bf16 (default: cpu)",
    )
    sub.add_argument(
        "--config",
        choices=CONFIGS,
        help="the network's shape: small for a CPU, medium for a GPU of 12 to 16 GB, large for one "
        "of 80 GB, paper (default: that of the shipped weights)",
    )
    sub.add_argument(
        "--steps", type=_positive, help="optimiser steps in all (default: the recipe's)"
    )
    sub.add_argument(
        "--batch",
        type=_positive,
        help="pictures a step, over all processes (default: the recipe's)",
    )
    sub.add_argument(
        "--save", type=_positive, help="steps between two saved states (default: the recipe's)"
    )
    sub.add_argument(
        "--size",
        type=_positive,
        help="side of the base's pictures: 32 learns the words four times as fast as 64",
    )
    sub.add_argument(
        "--bf16",
        action="store_const",
        const=True,
        help="the network in bf16 on a CPU too: about 1.6 times as fast where the processor has "
        "bf16 in its units (avx512_bf16, amx_bf16), no faster without",
    )


def _evaluate_parser(commands) -> None:
    sub = commands.add_parser(
        "evaluate",
        help="measure how often a drawing shows what its sentence says",
        description="Draw captions of shapes, read the objects back out of the pictures, and "
        "print the shares that are right.",
    )
    _caption_flags(sub)
    sub.add_argument("--size", type=int, default=64, help="the stage to score (default: 64)")
    sub.add_argument(
        "--seed", type=_whole, default=0, help="the same seed gives the same pictures (default: 0)"
    )
    sub.add_argument(
        "--batch", type=_positive, default=32, help="pictures drawn together (default: 32)"
    )
    sub.add_argument("--out", help="also write the figures to this JSON file")
    _sampling_flags(sub)
    _weights_flags(sub)
    sub.add_argument("--quiet", action="store_true", help="no progress bars")
    sub.set_defaults(run=evaluate)


def _caption_flags(sub) -> None:
    """Which captions are drawn and scored."""
    sub.add_argument(
        "--captions", type=_positive, default=512, help="how many captions (default: 512)"
    )
    sub.add_argument(
        "--split",
        choices=ALL_SPLITS,
        default="held-out",
        help="held-out: wordings that training never had; unseen and unseen-...: what it never "
        "showed together, or at all; text-only: words that it never had (default: held-out)",
    )
    sub.add_argument(
        "--data",
        choices=EXAMINED,
        default="shapes",
        help=f"what the captions speak of: {described(EXAMINED)} (default: shapes)",
    )
    sub.add_argument(
        "--kind",
        choices=KINDS,
        help="captions of one kind, where the data set has kinds (default: all)",
    )


def _sampling_flags(sub) -> None:
    sub.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: a GPU if there is one)")
    group = sub.add_argument_group(
        "sampling (default: what the weights' own settings say, see `minimagen info`)"
    )
    group.add_argument(
        "--steps", type=_positive, help="denoising steps in every stage: more is slower and finer"
    )
    group.add_argument(
        "--sampler",
        choices=("ancestral", "ddim", "heun", "dpmpp_2m"),
        help="how a step is taken, in every stage (lesson 06)",
    )
    group.add_argument(
        "--weight",
        type=float,
        help="how hard the base listens to the sentence: 1 is guidance off (lesson 08)",
    )
    group.add_argument(
        "--threshold",
        choices=("none", "static", "dynamic"),
        help="how the base keeps its colours in range (lesson 09)",
    )
    group.add_argument(
        "--percentile", type=float, help="of the dynamic threshold, in (0, 1]; the paper's is 0.995"
    )
    group.add_argument(
        "--aug-level",
        type=float,
        help="noise on the smaller picture before it is enlarged, 0 to 1 (lesson 13)",
    )


def _weights_flags(sub) -> None:
    sub.add_argument(
        "--weights",
        help="folder or hub name of a cascade, or the folder of one trained base (default: "
        "shipped)",
    )
    sub.add_argument(
        "--text-encoder", help="folder or hub name of an encoder in the place of the cascade's own"
    )


def _whole(text: str, minimum: int = 0) -> int:
    if not text.isdecimal() or int(text) < minimum:
        raise argparse.ArgumentTypeError(
            f"must be a whole number of at least {minimum}, got {text}"
        )
    return int(text)


def _positive(text: str) -> int:
    return _whole(text, minimum=1)
