"""How far the judge of `World` can be trusted: `python -m experiments.judge` writes
results/judge.json, and --figure docs/images/judge.png, which nouns it takes for which.

Objects are bound to the truth's by where they stand, and one is right when its noun, its colour and
its size are, and its centre is off by less than 3 of 64ths. Pages are those that training never
showed it: the recogniser learned from pages of its own making.
"""

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from experiments._common import command, machine, parser, share, write_json
from experiments._recogniser_pages import (
    TRAINED_JUNK,
    UNTRAINED_JUNK,
    bent,
    blurred,
    compose,
)
from minimagen.data import World
from minimagen.data.nouns import SHAPES
from minimagen.data.pages import Page
from minimagen.data.truth import Object, Truth
from minimagen.data.world import SPLITS, render
from minimagen.evaluation.metrics import frechet
from minimagen.evaluation.recogniser import nouns
from minimagen.evaluation.world_reader import UNREADABLE, Reading, Seen, page_features, read
from minimagen.pixels import from_uint8

PAGES, JUNK, EACH = 2000, 300, 24
OFF = 3 / 64  # how far the centre of an object may be off, in page widths
SIZE = 64


def pages(split: str, count: int, start: int = 0) -> tuple[Tensor, list[Truth]]:
    """Pages of a split from number `start` on: pictures (count, 3, 64, 64) and truths."""
    world = World(SIZE, split)
    rows = range(start, start + count)
    pictures = torch.stack([world[i][0] for i in rows])
    return from_uint8(pictures), [world.truth(i) for i in rows]


def spoilt(pictures: Tensor, pixels: float = 1.0, sigma: float = 0.6) -> Tensor:
    """Every page bent by up to `pixels` and blurred by `sigma`, in its own way."""
    generator, count = torch.Generator().manual_seed(1), len(pictures)
    by = torch.full((count, 1, 1, 1), pixels)
    return blurred(bent(pictures, by, generator), torch.full((count,), sigma))


def bound(truth: Truth, reading: Reading) -> Iterator[tuple[Object, Seen | None]]:
    """Each object of the truth with what was seen nearest to its centre, None where nothing was."""
    for o in truth.objects:
        gap = lambda s, o=o: max(abs(s.x - o.x), abs(s.y - o.y))
        near = min(reading.objects, key=gap, default=None)
        yield o, near if near and gap(near) < OFF else None


def right(o: Object, s: Seen | None) -> bool:
    return s is not None and (o.noun, o.colour, o.size) == (s.noun, s.colour, s.size)


def accuracy(pictures: Tensor, truths: Sequence[Truth], keep: Callable[[Object], bool]) -> dict:
    """Shares of right objects that `keep` takes, of right pages, and of pages that are right as a
    whole, with what was wrong.
    """
    objects, small, papers, whole, wrong = [], [], [], [], Counter()
    for truth, reading in zip(truths, read(pictures), strict=True):
        every = True
        for o, s in bound(truth, reading):
            every &= right(o, s)
            if not keep(o):
                continue
            objects.append(right(o, s))
            small += [right(o, s)] if o.size == "small" else []
            wrong.update(faults(o, s))
        papers.append(same_page(truth, reading))
        whole.append(every and papers[-1] and len(reading.objects) == len(truth.objects))
    rows = {"objects": objects, "small objects": small, "pages": papers, "all of a page": whole}
    shares = {name: told(torch.tensor(row, dtype=torch.bool)) for name, row in rows.items()}
    return {**shares, "wrong": dict(wrong.most_common(20))}


def told(row: Tensor) -> dict:
    return {**{name: round(value, 4) for name, value in share(row).items()}, "n": len(row)}


def faults(o: Object, s: Seen | None) -> list[str]:
    """What is wrong with an object, in words."""
    if s is None:
        return [f"{o.noun} not found"]
    named = lambda colour: colour or "own"
    found = [f"{o.noun}: {s.noun}"] if o.noun != s.noun else []
    if not found and o.colour != s.colour:
        found.append(f"{named(o.colour)} {o.noun}: {named(s.colour)}")
    return found + ([f"{o.size} {o.noun}: {s.size}"] if not found and o.size != s.size else [])


def same_page(truth: Truth, reading: Reading) -> bool:
    look = lambda page: page and (page.kind, page.colour, page.second)
    return look(truth.page) == look(reading.page)


def refused(make: Callable, count: int = JUNK) -> dict:
    """The share of objects turned to junk by `make` in whose place no noun is read."""
    rng, pictures, objects = random.Random(f"junk {make.__name__}"), [], []
    while len(pictures) < count:
        truth = compose(rng, {1: 1.0})
        if truth.objects:
            o = truth.objects[0]
            picture = make(render(truth, SIZE).numpy(), truth, 0, rng)
            pictures.append(torch.from_numpy(picture.copy()))
            objects.append(o)
    readings = read(from_uint8(torch.stack(pictures)))
    return told(torch.tensor([not named(reading) for reading in readings]))


def named(reading: Reading) -> bool:
    """Whether any object has got a noun."""
    return any(s.noun != UNREADABLE for s in reading.objects)


def whole_junk(count: int = JUNK) -> dict[str, dict]:
    """The share of pictures without any page or object that are refused: no page, no noun."""
    generator = torch.Generator().manual_seed(2)
    rand = lambda *shape: torch.rand(count, *shape, generator=generator) * 2 - 1
    cloud = lambda n: torch.nn.functional.interpolate(rand(3, n, n), size=SIZE, mode="bicubic")
    junk = {
        "white noise": rand(3, SIZE, SIZE),
        "coarse noise": cloud(16),
        "clouds": cloud(5).clamp(-1, 1),
        "one dark colour": rand(3, 1, 1).clamp(max=0.2).expand(-1, -1, SIZE, SIZE).contiguous(),
    }
    good = lambda r: r.page is None and not named(r)
    return {n: told(torch.tensor([good(r) for r in read(x)])) for n, x in junk.items()}


def empty(count: int = JUNK) -> dict:
    """The share of empty pages on which nothing is seen."""
    world = World(SIZE, "train", {"page": 1.0})
    pictures = from_uint8(torch.stack([world[i][0] for i in range(count)]))
    return told(torch.tensor([not r.objects for r in read(pictures)]))


def confusion(each: int) -> dict[str, dict[str, int]]:
    """For every noun, how often which nouns are read, of `each` pages with it, bent by two pixels
    and blurred: where nothing is spoilt, next to nothing is confused.
    """
    rng, pictures, found = random.Random("confusion"), [], {noun: Counter() for noun in nouns()}
    left, objects = Counter({noun: each for noun in nouns()}), []
    while any(left.values()):
        truth = compose(rng, {1: 1.0})
        if truth.objects and left[truth.objects[0].noun] > 0:
            left[truth.objects[0].noun] -= 1
            pictures.append(render(truth, SIZE))
            objects.append(truth)
    hard = spoilt(from_uint8(torch.stack(pictures)), 2.0, 1.0)
    for truth, reading in zip(objects, read(hard), strict=True):
        ((o, s),) = bound(truth, reading)
        found[o.noun][s.noun if s else "nothing"] += 1
    return {noun: dict(row.most_common()) for noun, row in found.items()}


def speed(pictures: Tensor) -> float:
    """Pages read in a second of processor time."""
    began = time.process_time()
    read(pictures)
    return round(len(pictures) / (time.process_time() - began), 1)


def measure(given: argparse.Namespace) -> dict:
    clean, truths = pages("train", given.pages)
    never = {split: pages(split, 500) for split in SPLITS if split != "train"}
    unseen = set(nouns()[-8:])
    known, new = (lambda o: o.noun not in unseen), (lambda o: o.noun in unseen)
    features = page_features(torch.cat([clean[:512], pages("train", 512, given.pages)[0]]))
    return {
        "command": command("judge"),
        "machine": machine(),
        "clean": accuracy(clean, truths, known),
        "bent by 1 pixel, blurred by 0.6": accuracy(spoilt(clean), truths, known),
        "nouns never shown": accuracy(*never["unseen-noun"], new),
        "splits": {name: accuracy(*pair, known)["objects"] for name, pair in never.items()},
        "junk refused": {
            **{make.__name__: refused(make) for make in dict.fromkeys(TRAINED_JUNK)},
            **{f"{m.__name__}, never trained on": refused(m) for m in UNTRAINED_JUNK},
            **whole_junk(),
        },
        "empty pages seen as empty": empty(),
        "Fréchet distance, 512 real against 512 real": round(
            frechet(features[:512], features[512:]), 4
        ),
        "pages a second of one core": speed(clean[:512]),
        "each": EACH,
        "confusion, bent by 2 pixels, blurred by 1": confusion(EACH),
    }


def figure(table: dict[str, dict[str, int]], each: int, path: Path) -> None:
    """The confusion table as a picture, and beside it what is most often taken for what."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names = [*table, UNREADABLE, "nothing"]
    shares = [[row.get(name, 0) / each for name in names] for row in table.values()]
    drawn = pyplot.figure(figsize=(15, 7.5), layout="constrained")
    left, right = drawn.subfigures(1, 2, width_ratios=(1, 1))
    axes = left.subplots()
    axes.imshow(torch.tensor(shares).sqrt(), cmap="Blues", interpolation="nearest")
    axes.set(
        xlabel="read as (the last two: unreadable, nothing)", ylabel="is", xticks=[], yticks=[]
    )
    pairs = [(n, is_, as_) for is_, row in table.items() for as_, n in row.items() if is_ != as_]
    pairs.sort(key=lambda pair: -pair[0])
    for cell, (n, is_, as_) in zip(right.subplots(6, 4).flat, pairs, strict=False):
        both = [alone(is_), alone(as_) if as_ in table else torch.full((64, 64, 3), 255)]
        cell.imshow(torch.cat(both, 1).to(torch.uint8))
        cell.set_title(f"{is_}\n{as_}: {n} of {each}", fontsize=7)
    for cell in right.axes:
        cell.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, dpi=100)


def alone(noun: str) -> Tensor:
    """A noun on a white page, uint8 (64, 64, 3): shapes blue, things in their own colours."""
    colour = "blue" if noun in SHAPES else None
    o = Object(noun, colour, "large", 12, 12, 40)
    return render(Truth("single", Page("plain", "white"), (o,)), SIZE).permute(1, 2, 0)


def main() -> None:
    new = parser(__doc__, "judge.json")
    new.add_argument("--pages", type=int, default=PAGES, help=f"of the main row (default: {PAGES})")
    new.add_argument("--figure", type=Path, help="also draw the confusion table here")
    given = new.parse_args()
    found = measure(given)
    write_json(given.out, found)
    if given.figure:
        figure(found["confusion, bent by 2 pixels, blurred by 1"], EACH, given.figure)


if __name__ == "__main__":
    main()
