"""Measure what guidance buys and costs on the base, and what a threshold changes: one point a
weight and threshold.

    python -m experiments.curves
        every point, 128 captions: half an hour on one core
    python -m experiments.curves --captions 16                  a quick look
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
import fcntl
import hashlib
import json
import os
import random
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from minimagen import pixels
from minimagen.cascade import Cascade, seeded
from minimagen.data.drawing import place, render
from minimagen.data.language import parse
from minimagen.data.shapes import Shapes
from minimagen.evaluation.alignment import alignment
from minimagen.evaluation.metrics import bootstrap, frechet, pooled_features
from minimagen.files import processor, shipped
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
DRAWN, FIRST, GROUPS, BATCH = 3, 8, 10, 32
SAID = ("levelled", "page", "dark", "asked", "diversity", "frechet")
OUT = Path(__file__).with_name("results") / "curves.json"


# --- drawing ---


def watched(threshold: Threshold, seen: list[Tensor]) -> Threshold:
    """The same threshold, which also notes the 99.5 % and the maximum of |x0| of every picture: (B,
    2) a step.
    """

    def watching(x0: Tensor) -> Tensor:
        size = x0.abs().flatten(1)
        seen.append(torch.stack([size.quantile(USUAL, dim=1), size.amax(1)], 1))
        return threshold(x0)

    return watching


def drawings(
    base: Cascade, captions: Sequence[str], seed: int, weight: float, threshold: Threshold
) -> tuple[Tensor, Tensor]:
    """One picture of each caption (N, 3, H, H), and the largest 99.5 % and maximum of |x0| on its
    way (N, 2).
    """
    pictures, reached = [], []
    for i in range(0, len(captions), BATCH):
        seen: list[Tensor] = []
        part = list(captions[i : i + BATCH])
        run = (
            base.stages[0]
            .with_settings(weight=weight)
            .run(
                base.encoder.encode(part),
                None,
                [seeded(seed + i + j, 0) for j in range(len(part))],
                threshold=watched(threshold, seen),
            )
        )
        pictures.append(last(run).x0)
        reached.append(torch.stack(seen).amax(0))
    return torch.cat(pictures), torch.cat(reached)


def pages(captions: Sequence[str], size: int, name: str) -> Tensor:
    """One real picture of each caption, its objects placed at random: (N, 3, size, size)."""
    scenes = [
        place(parse(caption), random.Random(f"{name} {i}")) for i, caption in enumerate(captions)
    ]
    return torch.stack([pixels.from_uint8(render(scene, size)) for scene in scenes])


# --- measuring ---


def interval(value: float, low: float, high: float) -> dict:
    return {"value": round(value, 5), "low": round(low, 5), "high": round(high, 5)}


def mean(values: Tensor) -> dict:
    return interval(values.double().mean().item(), *bootstrap(values))


def apart(drawn: Sequence[Tensor]) -> Tensor:
    """The mean distance between any two of several drawings of each caption, in features: K times
    (N, ...) -> (N,).
    """
    features = [pooled_features(pictures).double() for pictures in drawn]
    return torch.stack([(a - b).norm(dim=1) for a, b in combinations(features, 2)]).mean(0)


def distance(ours: Tensor, theirs: Tensor) -> dict:
    """The Fréchet distance of pictures' features, its interval by a jackknife over groups of
    captions.
    """
    a, b = pooled_features(ours), pooled_features(theirs)
    whole, groups = frechet(a, b), min(GROUPS, len(a))
    kept = [torch.arange(len(a)) % groups != g for g in range(groups)]
    without = torch.tensor([frechet(a[rows], b[rows]) for rows in kept])
    error = ((groups - 1) * (without - without.mean()).square().mean()).sqrt().item()
    return interval(whole, whole - 1.96 * error, whole + 1.96 * error)


def brightness(pictures: Tensor) -> Tensor:
    """How bright the page is: the median of the two outermost pixels on every side, where no object
    comes. -> (B,)
    """
    edge = torch.ones(pictures.shape[-2:], dtype=torch.bool)
    edge[2:-2, 2:-2] = False
    return pictures[..., edge].flatten(1).median(1).values


def measure(pictures: Tensor, captions: Sequence[str]) -> dict:
    """What one picture of each caption tells."""
    page, report = brightness(pictures), alignment(pictures, captions)
    levelled = alignment(pictures / page.clamp(min=0.05).reshape(-1, 1, 1, 1), captions)
    return {
        "right": {
            name: mean(report.counted(name)) for name in ("objects", "colours", "sizes", "all")
        },
        "levelled": mean(levelled.counted("all")),
        "page": mean(page),
        "dark": mean((pictures < -0.9).flatten(1).double().mean(1)),
    }


def varied(count: int) -> int:
    """Of how many captions the diversity is measured."""
    return max(4, count // 8)


def point(name: str, base: Cascade, captions: Sequence[str], seed: int) -> dict:
    """The measures of the point of that name; one of the sweep over percentiles does with a quarter
    of the captions.
    """
    threshold, weight, *given = name.split(":")
    percentile = float(given[0]) if given else USUAL
    how = float(weight), THRESHOLDS[threshold](percentile)
    captions = captions[: max(FIRST, len(captions) // 4)] if given else captions
    pictures, reached = drawings(base, captions, seed, *how)
    found = {"name": name, "threshold": threshold, "weight": how[0], "captions": len(captions)}
    found |= {"percentile": percentile} if threshold == "dynamic" else {}
    found |= measure(pictures, captions)
    found |= {"asked": mean(reached[:, 0]), "largest": mean(reached[:, 1])}
    found["asked by the first"] = [round(value, 4) for value in reached[:FIRST, 0].tolist()]
    if not given:
        size, some = pictures.shape[-1], captions[: varied(len(captions))]
        more = [drawings(base, some, seed + j * len(captions), *how)[0] for j in range(1, DRAWN)]
        usual = apart([pages(some, size, f"{seed} {j}") for j in range(DRAWN)]).mean()
        found["diversity"] = mean(apart([pictures[: len(some)], *more]) / usual)
        found["frechet"] = distance(pictures, pages(captions, size, f"{seed} 0"))
    return found


def real(captions: Sequence[str], size: int, seed: int) -> dict:
    """The same measures of real pictures against others, the best to be had at this number."""
    first, other = (
        [pages(captions, size, f"{seed} {j + k}") for j in range(DRAWN)] for k in (0, DRAWN)
    )
    some = varied(len(captions))
    usual = apart([pictures[:some] for pictures in first]).mean()
    diversity = mean(apart([pictures[:some] for pictures in other]) / usual)
    return {
        **measure(other[0], captions),
        "diversity": diversity,
        "frechet": distance(other[0], first[0]),
    }


# --- the file ---


def settings(base: Cascade, folder: Path, captions: int, seed: int) -> dict:
    """All that decides the figures, but for the rounding of a machine."""
    stage, digest = (
        base.stages[0].settings,
        hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest(),
    )
    return {
        "base": {
            "sha256": digest,
            "encoder": base.encoder.fingerprint,
            "size": stage.size,
            "sampler": stage.sampler,
        },
        "steps": base.stages[0].steps,
        "data": {
            "name": "shapes",
            "split": "held-out",
            "kinds": {"single": 1.0},
            "captions": captions,
            "seed": seed,
        },
        "diversity": f"{DRAWN} drawings each of {varied(captions)} captions",
        "features": "mean colours, 8 x 8 grid",
        "real": real(
            [Shapes(stage.size, "held-out", {"single": 1.0}).caption(i) for i in range(captions)],
            stage.size,
            seed,
        ),
    }


def save(out: Path, told: dict, found: dict | None = None) -> dict:
    """Add a point to the file, whoever else is writing to it -> what it then holds. Other settings
    in it are an error.
    """
    run = {
        "command": " ".join(["python", "-m", "experiments.curves", *sys.argv[1:]]),
        "machine": f"{processor()}, {torch.get_num_threads()} of {os.cpu_count()} cores, torch "
        f"{torch.__version__}",
    }
    with open(__file__, encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        held = (
            json.loads(out.read_text(encoding="utf-8"))
            if out.exists()
            else {**told, "runs": [], "points": []}
        )
        differ = [name for name in told if name != "real" and held[name] != told[name]]
        if differ:
            raise SystemExit(
                f"{out.name} holds figures with another {', '.join(differ)}: remove it, or "
                "choose another --out"
            )
        if found is not None and all(p["name"] != found["name"] for p in held["points"]):
            held["runs"] = held["runs"] if run in held["runs"] else [*held["runs"], run]
            held["points"] = sorted([*held["points"], found], key=lambda p: POINTS.index(p["name"]))
            new = out.with_suffix(".new")
            new.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
            new.replace(out)
    return held


def asked() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description="measure guidance and thresholds on the base")
    parser.add_argument(
        "--points",
        nargs="+",
        choices=POINTS,
        default=POINTS,
        metavar="NAME",
        help=", ".join(POINTS),
    )
    parser.add_argument(
        "--captions",
        type=int,
        default=128,
        help=f"how many captions, at least {FIRST} (default: 128)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same pictures (default: 0)"
    )
    parser.add_argument(
        "--steps", type=int, help="denoising steps of each drawing (default: as the stage says)"
    )
    parser.add_argument(
        "--base",
        type=Path,
        default=shipped("weights") / "base",
        help="folder of the base (default: shipped)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=OUT,
        help=f"where the figures go (default: {OUT.name} beside this file)",
    )
    found = parser.parse_args()
    if found.captions < FIRST:
        parser.error(f"--captions must be at least {FIRST}, got {found.captions}")
    return found


def main() -> None:
    """Measure what is asked for and not yet there, and say each point as it comes."""
    wanted = asked()
    base = Cascade.load(wanted.base, device="cpu")
    stage = base.stages[0].with_settings(steps=wanted.steps or base.stages[0].steps)
    base = Cascade(base.encoder, [stage])
    captions = [
        Shapes(stage.size, "held-out", {"single": 1.0}).caption(i) for i in range(wanted.captions)
    ]
    told = settings(base, wanted.base, wanted.captions, wanted.seed)
    for name in wanted.points:
        if all(p["name"] != name for p in save(wanted.out, told)["points"]):
            found = point(name, base, captions, wanted.seed)
            save(wanted.out, told, found)
            values = {key: found[key]["value"] for key in SAID if key in found}
            words = [f"{key} {value:.3f}" for key, value in values.items()]
            print(
                f"{name}: right {found['right']['all']['value']:.3f}, {', '.join(words)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
