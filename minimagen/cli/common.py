"""What several commands share: the cascade as the flags want it, progress bars, metadata."""

import argparse
import sys
import time

from minimagen import __version__

BASE_FLAGS = ("steps", "sampler", "weight", "threshold", "percentile")
UPPER_FLAGS = ("steps", "sampler", "aug_level")
# Of a stage's settings, all that it takes to draw the picture again.
DRAWN_BY = ("size", "steps", "sampler", "weight", "threshold", "percentile", "aug_level")


def with_flags(cascade, args: argparse.Namespace):
    """The cascade as the flags want it.

    Weight and threshold speak of the base, aug-level of the other stages. Raises `ValueError` on a
    flag that has nothing to speak of.
    """
    from minimagen.cascade import Cascade

    stages = cascade.up_to(args.size)
    if args.aug_level is not None and len(stages) == 1:
        raise ValueError(
            "aug-level belongs to the super-resolution stages, but only the base was asked for"
        )
    flags = {name: value for name, value in vars(args).items() if value is not None}
    changes = lambda names: {name: flags[name] for name in names if name in flags}
    base = stages[0].with_settings(**changes(BASE_FLAGS))
    upper = [stage.with_settings(**changes(UPPER_FLAGS)) for stage in stages[1:]]
    if args.percentile is not None and base.settings.threshold != "dynamic":
        raise ValueError(
            f"percentile belongs to the dynamic threshold, got it with {base.settings.threshold}"
        )
    return Cascade(cascade.encoder, [base, *upper])


def metadata(cascade, prompt: str, seed: int, args: argparse.Namespace) -> dict:
    """What a picture's metadata says: all that it takes to draw it again."""
    content = {
        "prompt": prompt,
        "seed": seed,
        "version": __version__,
        "weights": args.weights or "shipped",
        "stages": [
            {name: getattr(stage.settings, name) for name in DRAWN_BY} for stage in cascade.stages
        ],
    }
    return {**content, "text_encoder": args.text_encoder} if args.text_encoder else content


class ProgressBars:
    """One progress bar a stage, and the seconds each stage took."""

    def __init__(self, quiet: bool):
        self.quiet, self.seconds, self.bar, self.size = quiet, {}, None, None

    def watch(self, stage, predictions):
        from tqdm import tqdm

        if stage.size != self.size:
            self.close()
            self.size, self.seconds[stage.size] = stage.size, 0.0
            self.bar = tqdm(
                desc=f"{stage.size:>5} pixels", unit="step", disable=self.quiet, file=sys.stderr
            )
        began = time.monotonic()
        self.bar.total = (self.bar.total or 0) + stage.steps
        for pred in predictions:
            self.bar.update()
            yield pred
        self.seconds[stage.size] += time.monotonic() - began

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
