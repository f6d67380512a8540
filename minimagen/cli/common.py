"""What several commands share: the cascade as the flags want it, progress bars, the metadata of a
picture.
"""

import argparse
import sys
import time
from dataclasses import replace

from minimagen import __version__


def with_flags(cascade, args: argparse.Namespace):
    """The cascade as the flags want it: weight and threshold speak of the base, aug-level of the
    other stages.
    """
    from minimagen.cascade import Cascade, stage_of

    stages = cascade.up_to(args.size)
    if args.aug_level is not None and len(stages) == 1:
        raise ValueError(
            "aug-level belongs to the super-resolution stages, but only the base was asked for"
        )
    settings = []
    for i, given in enumerate(cascade.settings[: len(stages)]):
        flags = (
            ("steps", "sampler", "aug_level")
            if i
            else ("steps", "sampler", "weight", "threshold", "percentile")
        )
        asked = {name: getattr(args, name) for name in flags if getattr(args, name) is not None}
        settings.append(replace(given, **asked))
    if args.percentile is not None and settings[0].threshold != "dynamic":
        raise ValueError(
            f"percentile belongs to the dynamic threshold, got it with {settings[0].threshold}"
        )
    return Cascade(
        cascade.encoder,
        [stage_of(stage.denoiser, s) for stage, s in zip(stages, settings, strict=True)],
        settings,
    )


def metadata(cascade, prompt: str, seed: int, args: argparse.Namespace) -> dict:
    """What a picture's metadata says: all that it takes to draw it again."""
    names = ("size", "steps", "sampler", "weight", "threshold", "percentile", "aug_level")
    stages = [{name: getattr(settings, name) for name in names} for settings in cascade.settings]
    told = {
        "prompt": prompt,
        "seed": seed,
        "version": __version__,
        "weights": args.weights or "shipped",
        "stages": stages,
    }
    return {**told, "text_encoder": args.text_encoder} if args.text_encoder else told


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
