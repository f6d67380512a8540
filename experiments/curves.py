"""Measure what guidance buys and costs on the base, and what a threshold changes: one point a
weight and threshold.

    python -m experiments.curves
        every point, 128 captions: half an hour on one core
    python -m experiments.curves --captions 16 --out /tmp/quick.json
        a quick look
    python -m experiments.curves --points dynamic:3 static:8
        these points; two processes may share the work and the file

A point is named threshold:weight, and threshold:weight:percentile where it is part of the sweep
over percentiles. What the file already holds is not measured again. All points use the same
captions and noise, and are sampled otherwise as the stage says. right: is it what the sentence
says? diversity: the mean distance between drawings of one caption, over that of real pictures of
it. frechet: the distance of all drawings to as many real ones; "real" holds what real pictures
reach against other real ones. levelled: right, once a picture is divided by the brightness of its
own page. page: that brightness, 1 on a real page. dark: the share of values below -0.9, saturated
ink; 0 on real pages. asked, largest: the 99.5 % and the maximum of |x0| that a picture's guided
estimates reach, before the threshold. Intervals hold 95 %. Lessons 08 and 09 draw
experiments/results/curves.json.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from experiments._common import (
    BATCH,
    mean,
    merged,
    note_run,
    parser,
    read_results,
    results,
    rounded,
)
from experiments._single import (
    DIGITS,
    DRAWN,
    distance,
    diverse,
    diversity,
    held_out,
    measure,
    pages,
    real,
    settings,
)
from minimagen.cascade import Cascade, seeded
from minimagen.files import shipped
from minimagen.samplers import last
from minimagen.thresholding import THRESHOLDS, Threshold

SWEPT = [
    f"{threshold}:{w}"
    for threshold in ("static", "dynamic")
    for w in ("1", "1.5", "2", "3", "5", "8", "12", "15")
]
SWEPT += [f"none:{w}" for w in (2, 3, 8, 15)]
PERCENTILES = [f"dynamic:{w}:{p}" for w in (8, 15) for p in ("0.9", "0.95", "0.98", "0.999", "1")]
POINTS = SWEPT + PERCENTILES
USUAL = 0.995  # the percentile where a point names none
FIRST = 8  # captions, at the least; and pictures whose estimates are kept one by one
SAID = ("levelled", "page", "dark", "asked", "diversity", "frechet")


def watched(threshold: Threshold, sizes: list[Tensor]) -> Threshold:
    """The same threshold, which also notes the 99.5 % and the maximum of |x0| of every picture: (B,
    2) a step.
    """

    def watching(x0: Tensor) -> Tensor:
        size = x0.abs().flatten(1)
        sizes.append(torch.stack([size.quantile(USUAL, dim=1), size.amax(1)], 1))
        return threshold(x0)

    return watching


def drawings(
    base: Cascade, captions: Sequence[str], seed: int, weight: float, threshold: Threshold
) -> tuple[Tensor, Tensor]:
    """One picture of each caption (N, 3, H, H), and the largest 99.5 % and maximum of |x0| on its
    way (N, 2).

    The noise is that of `Cascade.draw`; only here is the threshold watched.
    """
    stage, pictures, reached = base.stages[0].with_settings(weight=weight), [], []
    for i in range(0, len(captions), BATCH):
        text, sizes = base.encoder.encode(list(captions[i : i + BATCH])), []
        generators = [seeded(seed + i + k, 0) for k in range(len(text))]
        run = stage.run(text, None, generators, threshold=watched(threshold, sizes))
        pictures.append(last(run).x0)
        reached.append(torch.stack(sizes).amax(0))
    return torch.cat(pictures), torch.cat(reached)


def point(name: str, base: Cascade, captions: Sequence[str], seed: int) -> dict:
    """The measures of the point of that name; one of the sweep over percentiles does with a quarter
    of the captions.
    """
    threshold, weight, *swept = name.split(":")
    percentile = float(swept[0]) if swept else USUAL
    how = float(weight), THRESHOLDS[threshold](percentile)
    captions = captions[: max(FIRST, len(captions) // 4)] if swept else captions
    pictures, reached = drawings(base, captions, seed, *how)
    row = {"name": name, "threshold": threshold, "weight": how[0], "captions": len(captions)}
    row |= {"percentile": percentile} if threshold == "dynamic" else {}
    row |= measure(pictures, captions)
    row |= {"asked": rounded(mean(reached[:, 0]), DIGITS)}
    row |= {"largest": rounded(mean(reached[:, 1]), DIGITS)}
    row["asked by the first"] = [round(value, 4) for value in reached[:FIRST, 0].tolist()]
    if not swept:
        size, few = pictures.shape[-1], captions[: diverse(len(captions))]
        more = [drawings(base, few, seed + j * len(captions), *how)[0] for j in range(1, DRAWN)]
        others = [pages(few, size, f"{seed} {j}") for j in range(DRAWN)]
        row["diversity"] = diversity([pictures[: len(few)], *more], others)
        row["frechet"] = distance(pictures, pages(captions, size, f"{seed} 0"))
    return row


def settings_of_stage(base: Cascade, folder: Path, count: int, seed: int) -> dict:
    """All that decides the figures, but for the rounding of a machine."""
    shared = settings(base, folder, count, seed)
    sampler = {"sampler": base.stages[0].settings.sampler}
    first = {"base": shared["base"] | sampler, "steps": base.stages[0].steps}
    return first | {name: value for name, value in shared.items() if name != "base"}


def save(out: Path, how: dict, new: dict, prompts: Sequence[str]) -> None:
    """Put the point into the file, and what real pictures reach, where it is not there yet."""
    data, size = how["data"], how["base"]["size"]
    with results(out, how) as kept:
        if "real" not in kept:
            kept["real"] = real(prompts, size, data["seed"])
        note_run(kept, "curves")
        kept["points"] = merged(
            kept.get("points", []), [new], lambda point: POINTS.index(point["name"])
        )


def options() -> argparse.Namespace:
    """What the command line says."""
    cli = parser(__doc__, "curves.json")
    cli.add_argument(
        "--points",
        nargs="+",
        choices=POINTS,
        default=POINTS,
        metavar="NAME",
        help=", ".join(POINTS),
    )
    cli.add_argument(
        "--captions",
        type=int,
        default=128,
        help=f"how many captions, at least {FIRST} (default: 128)",
    )
    cli.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same pictures (default: 0)"
    )
    cli.add_argument(
        "--steps", type=int, help="denoising steps of each drawing (default: as the stage says)"
    )
    cli.add_argument(
        "--base",
        type=Path,
        default=shipped("weights") / "base",
        help="folder of the base (default: shipped)",
    )
    chosen = cli.parse_args()
    if chosen.captions < FIRST:
        cli.error(f"--captions must be at least {FIRST}, got {chosen.captions}")
    return chosen


def main() -> None:
    """Measure what is chosen and not yet there, and say each point as it comes."""
    chosen = options()
    base = Cascade.load(chosen.base, device="cpu")
    stage = base.stages[0].with_settings(steps=chosen.steps or base.stages[0].steps)
    base = Cascade(base.encoder, [stage])
    prompts = held_out(stage.size, chosen.captions)
    how = settings_of_stage(base, chosen.base, chosen.captions, chosen.seed)
    for name in chosen.points:
        if any(p["name"] == name for p in read_results(chosen.out, how).get("points", [])):
            continue
        new = point(name, base, prompts, chosen.seed)
        save(chosen.out, how, new, prompts)
        words = [f"{key} {new[key]['value']:.3f}" for key in SAID if key in new]
        print(f"{name}: right {new['right']['all']['value']:.3f}, {', '.join(words)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
