"""How drawing grew with training: `python -m experiments.progress STAGE ...`, stages in the order
they were trained.

Each STAGE is a folder as `minimagen train` leaves it, or a copy made on the way and named LEG-STEP;
they go on from the last point that the file holds. Every one draws the same held-out captions, 128
of each kind, from the same noise and with the same guidance; a stage of 32 pixels is read at 64.
right: everything the caption says, or of things (emoji named in one word) the right one nearest, of
picnics (two animals, plants or foods) both; intervals hold 95 %. pictures: how many training had
seen, all legs together. progress/STAGE.png: the first drawings of each kind. docs/WEIGHTS.md shows
all of it.
"""

import json
from pathlib import Path

import torch

from experiments._common import (
    command,
    digest,
    draw,
    machine,
    merged,
    parser,
    read_results,
    results,
)
from minimagen import pixels
from minimagen.cascade import Cascade
from minimagen.evaluation.exam import captions_and_references
from minimagen.evaluation.registry import DATASETS, examined
from minimagen.files import write

KINDS, CAPTIONS, READ = ("single", "pair", "triple", "things", "picnic"), 128, 64
WEIGHT = 2.0  # of guidance, the same for all stages
SHOWN = (4, 6, 2, 4, 4)  # drawings of each kind on a stage's strip


def measured(base: Cascade, kind: str, count: int) -> tuple[dict, torch.Tensor]:
    """What a base gets right of `count` captions of that kind, and its drawings, of `READ`
    pixels.
    """
    name, part = (kind, None) if kind in DATASETS else ("shapes", kind)
    captions, _ = captions_and_references(name, "held-out", part, count, READ)
    drawn = pixels.resize(draw(base, captions), READ).clamp(-1, 1)
    marks = examined(name).judge(drawn, captions).marks()
    mark = marks.get("all") or marks["top 1"]
    row = {"value": mark["share"], "low": mark["low"], "high": mark["high"]}
    return row | ({"objects": marks["objects"]["share"]} if "objects" in marks else {}), drawn


def save_strip(path: Path, shown: list[torch.Tensor]) -> None:
    """The first drawings of each kind, in one row."""
    row = torch.cat([drawn[:count] for drawn, count in zip(shown, SHOWN, strict=True)])
    sheet = pixels.to_pil(pixels.grid(row, sum(SHOWN)))
    write(path, lambda temporary: sheet.save(temporary, "PNG", optimize=True))


def pictures_of(folder: Path) -> int:
    """How many pictures the leg that a stage comes from had seen when it was saved."""
    trained = json.loads((folder / "stage.json").read_text(encoding="utf-8"))["trained"]
    return trained["steps"] * trained["batch"]


def point(folder: Path, encoder: str | None, count: int, strip: Path) -> dict:
    """What one stage gets right of each kind of caption; its first drawings go into `strip`."""
    base = Cascade.load(folder, "cpu", encoder)
    base = Cascade(base.encoder, [base.stages[0].with_settings(weight=WEIGHT)])
    rows, shown = zip(*(measured(base, kind, count) for kind in KINDS), strict=True)
    save_strip(strip, shown)
    return {"size": base.stages[0].size, "right": dict(zip(KINDS, rows, strict=True))}


def main() -> None:
    """Measure each stage, and save after it."""
    cli = parser(__doc__, "progress.json")
    cli.add_argument(
        "stages", nargs="+", type=Path, metavar="STAGE", help="folders, in the order of training"
    )
    cli.add_argument(
        "--text-encoder", help="the encoder that they were trained with (default: the shipped one)"
    )
    cli.add_argument(
        "--captions", type=int, default=CAPTIONS, help=f"of each kind (default: {CAPTIONS})"
    )
    options = cli.parse_args()
    settings = {"captions": options.captions, "split": "held-out", "read": READ, "weight": WEIGHT}
    points, legs = read_results(options.out, settings).get("points", []), {}
    before = max((point["pictures"] for point in points), default=0)
    for folder in options.stages:
        legs[folder.name.split("-")[0]] = pictures_of(folder)
        sha256 = digest(folder)
        if any(point["sha256"] == sha256 for point in points):
            raise SystemExit(f"STAGE must be one that {options.out} does not hold, got {folder}")
        strip = options.out.with_suffix("") / f"{folder.name}.png"
        row = point(folder, options.text_encoder, options.captions, strip)
        new = {"stage": folder.name, "sha256": sha256, "pictures": before + sum(legs.values())}
        new |= {"machine": machine()} | row
        with results(options.out, settings) as kept:
            kept.setdefault("command", command("progress", ["STAGE", "..."]))
            kept["points"] = merged(kept.get("points", []), [new], place)
        shares = {kind: round(share["value"], 3) for kind, share in row["right"].items()}
        print(folder.name, shares, flush=True)


def place(point: dict) -> int:
    """Where the point stands in the file."""
    return point["pictures"]


if __name__ == "__main__":
    main()
