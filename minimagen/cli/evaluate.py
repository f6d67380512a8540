"""`minimagen evaluate` and `minimagen info`."""

import argparse
import json
from dataclasses import asdict

from minimagen import __version__
from minimagen.cli.common import ProgressBars, metadata, with_flags
from minimagen.evaluation.registry import examined


def evaluate(args: argparse.Namespace) -> None:
    """Draw captions that training never had, hold the drawings against them, and print each measure
    with its interval.
    """
    from minimagen.cascade import Cascade
    from minimagen.evaluation import exam
    from minimagen.files import write

    examined(args.data, args.kind, args.split)
    cascade = with_flags(Cascade.load(args.weights, args.device, args.text_encoder), args)
    captions, references = exam.captions_and_references(
        args.data, args.split, args.kind, args.captions, args.size
    )
    truths = exam.truths(args.data, args.split, args.kind, args.captions)
    bars = ProgressBars(args.quiet)

    def drawn():
        for start in range(0, len(captions), args.batch):
            part = captions[start : start + args.batch]
            yield (
                truths[start : start + args.batch],
                [stage.cpu() for stage in cascade.draw(part, args.seed + start, watch=bars.watch)],
            )
        bars.close()

    rows = exam.examine(args.data, drawn(), references)
    question = {
        name: getattr(args, name) for name in ("data", "split", "kind", "captions", "size", "seed")
    }
    print(
        f"{args.captions} {args.split} captions, {args.kind or 'all'} {args.data}, {args.size} "
        f"pixels, seeds from {args.seed}"
    )
    _print_marks(rows)
    if args.out:
        stages = metadata(cascade, "", args.seed, args)["stages"]
        content = json.dumps({**question, "stages": stages, **rows}, indent=1) + "\n"
        write(args.out, lambda path: path.write_text(content, encoding="utf-8"))


def _print_marks(rows: dict) -> None:
    for name, row in rows["right"].items():
        share = "no caption states one"
        if row:
            share = f"{row['share']:6.1%}   95 % interval {row['low']:.1%} to {row['high']:.1%}"
        print(f"  {name:<9} {share}")
    if distance := rows["frechet"]:
        print(
            f"  Fréchet distance to {distance['n']} real pictures ({distance['features']}): "
            f"{distance['drawn']:.3f}"
        )
        print(
            f"     beside it, that of {distance['n']} other real pictures: {distance['real']:.3f}"
        )
    if rows["edges"]["drawn"]:
        print(
            f"  edges are {rows['edges']['drawn']:.2f} pixels wide, those of real pictures "
            f"{rows['edges']['real']:.2f}"
        )
    if "below" in rows:
        shift = ", ".join(f"{c:+.4f}" for c in rows["below"]["shift"])
        print(
            f"  against the stage below: difference {rows['below']['difference']:.4f}, shift of "
            f"red, green, blue {shift}"
        )


def info(args: argparse.Namespace) -> None:
    """Say what the weights are, where they lie, and how they are sampled by default."""
    from minimagen.cascade import Cascade
    from minimagen.files import shipped

    cascade = Cascade.load(args.weights, "cpu", args.text_encoder)
    print(f"minimagen {__version__}, weights in {args.weights or shipped('weights')}")
    print(
        f"text encoder: {cascade.encoder.name}, {cascade.encoder.width} wide, up to "
        f"{cascade.encoder.limit} tokens"
    )
    for stage in cascade.stages:
        settings = stage.settings
        count = sum(p.numel() for p in stage.denoiser.parameters())
        print(
            f"{settings.size:>5} pixels: {settings.network}, {count / 1e6:.2f} M parameters, "
            f"predicts {settings.target}"
        )
        shown = asdict(settings)
        for name in (
            "schedule",
            "steps",
            "sampler",
            "weight",
            "threshold",
            "percentile",
            "aug_level",
            "trained",
        ):
            print(f"         {name:<10} {shown[name]}")
