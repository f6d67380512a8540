"""Train the networks that read `World` (`minimagen/evaluation/recogniser.py`): `python -m
tools.train_recogniser`.

Every batch is drawn anew: pages with up to four objects, one in five of them replaced by junk that
nobody can name, most pages bent, blurred, tinted and noised. The finder learns where something
stands (a map of centres: Zhou et al. 2019, "Objects as points"), the recogniser what it is and
that junk is unreadable. No drawing of a diffusion network is ever used.
"""

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from experiments._common import processor, write_json
from experiments._recogniser_pages import TRAINED_JUNK, compose, spoil
from minimagen.data.nouns import COLOURS
from minimagen.data.pages import draw_page
from minimagen.data.truth import Object
from minimagen.data.world import render
from minimagen.evaluation.recogniser import CELL, SIDE, cut_out, networks, nouns, seen_on
from minimagen.files import write
from minimagen.pixels import from_uint8

DATA = Path(__file__).resolve().parents[1] / "data"
BATCH, PEAK, JUNK = 96, 3e-3, 0.2
WRONG_PAGE = 0.08  # how often the page behind is held to be another one
SPREAD = 0.8  # of the hills in the map of centres, in cells


@dataclass(frozen=True)
class Batch:
    """Pictures and empty pages (B, 3, 64, 64); of each object its page, its box (x, y, side) in
    pixels, its noun and its colour as class numbers: (N,), (N, 3), (N,), (N,).
    """

    pictures: Tensor
    pages: Tensor
    which: Tensor
    boxes: Tensor
    nouns: Tensor
    colours: Tensor


def batch(rng: random.Random, size: int = BATCH) -> Batch:
    """A batch of pages as they are drawn, not yet spoilt."""
    pictures, pages, rows = [], [], []
    for page in range(size):
        truth = compose(rng)
        picture = render(truth, SIDE).numpy()
        for k, o in enumerate(truth.objects):
            junk = rng.random() < JUNK
            if junk:
                picture = _replaced(picture, rng.choice(TRAINED_JUNK)(picture, truth, k, rng), o)
            noun = len(nouns()) if junk else nouns().index(o.noun)
            colour = [*COLOURS, None].index(o.colour)
            rows.append((page, 64 * o.x, 64 * o.y, o.side, noun, -100 if junk else colour))
        pictures.append(torch.from_numpy(picture))
        pages.append(torch.from_numpy(draw_page(truth.page, SIDE, (0, 0, SIDE))))
    table = torch.tensor(rows)
    return Batch(
        from_uint8(torch.stack(pictures)),
        from_uint8(torch.stack(pages)),
        table[:, 0].long(),
        table[:, 1:4],
        table[:, 4].long(),
        table[:, 5].long(),
    )


def _replaced(old, new, o: Object):
    """The picture with what is around object o taken from `new`, which knows of no other junk."""
    edge = 5
    rows = slice(max(o.top - edge, 0), o.top + o.side + edge)
    columns = slice(max(o.left - edge, 0), o.left + o.side + edge)
    picture = old.copy()
    picture[:, rows, columns] = new[:, rows, columns]
    return picture


def centres(given: Batch) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
    """What the finder should say: hills (B, 16, 16), the cells of the centres, and there the other
    three channels (N, 3).
    """
    count = SIDE // CELL
    at = given.boxes[:, :2] / CELL - 0.5
    cells = at.round().clamp(0, count - 1)
    line = torch.arange(count)
    hill = lambda k: torch.exp(-((line - at[:, k, None]) ** 2) / (2 * SPREAD**2))
    hills = torch.zeros(len(given.pictures), count, count)
    each = hill(1)[:, :, None] * hill(0)[:, None]
    for page, one in zip(given.which, each, strict=True):
        hills[page] = torch.maximum(hills[page], one)
    where = given.which, cells[:, 1].long(), cells[:, 0].long()
    hills[where] = 1
    size = (given.boxes[:, 2:] / 24).log()
    return hills, where, torch.cat([at - cells, size], 1)


def finding_loss(found: Tensor, given: Batch) -> Tensor:
    """The focal loss of the map (Zhou et al. 2019, equation 1) and the distance of the boxes."""
    hills, where, boxes = centres(given)
    logits, centre = found[:, 0], hills == 1
    p = logits.sigmoid()
    hit = -F.logsigmoid(logits) * (1 - p) ** 2
    miss = -F.logsigmoid(-logits) * p**2 * (1 - hills) ** 4
    focal = torch.where(centre, hit, miss).sum() / len(boxes)
    own = found[where[0], 1:, where[1], where[2]]
    return focal + (own - boxes).abs().mean(0) @ torch.tensor([0.5, 0.5, 2.0])


def naming_loss(nets: nn.ModuleDict, seen: Tensor, given: Batch, generator) -> Tensor:
    """The cross entropy of nouns and colours, on cut-outs that are a little off."""
    some = torch.rand(given.boxes.shape, generator=generator) * 2 - 1
    side = given.boxes[:, 2:]
    boxes = given.boxes + some * side * torch.tensor([0.06, 0.06, 0.1])
    nouns_, colours = nets["recogniser"](cut_out(seen, given.which, boxes))
    noun = F.cross_entropy(nouns_.float(), given.nouns, label_smoothing=0.02)
    return noun + 0.5 * F.cross_entropy(colours.float(), given.colours)


def wrong_pages(pages: Tensor, generator: torch.Generator) -> Tensor:
    """The empty pages, some of them exchanged for that of another picture."""
    wrong = torch.rand(len(pages), 1, 1, 1, generator=generator) < WRONG_PAGE
    return torch.where(wrong, pages.roll(1, 0), pages)


def train(nets: nn.ModuleDict, steps: int, seed: int = 0) -> Iterator[dict[str, float]]:
    """Train both networks, in place; after every step its losses."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    nets.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(nets.parameters(), lr=PEAK, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=steps)
    for _ in range(steps):
        given = batch(rng)
        seen = seen_on(spoil(given.pictures, generator), wrong_pages(given.pages, generator))
        with torch.autocast("cpu", torch.bfloat16):
            found = nets["finder"](seen.contiguous(memory_format=torch.channels_last))
            naming = naming_loss(nets, seen, given, generator)
        finding = finding_loss(found.float(), given)
        optimizer.zero_grad()
        (finding + naming).backward()
        optimizer.step()
        schedule.step()
        yield {"finding": finding.item(), "naming": naming.item()}


def save(nets: nn.ModuleDict, told: dict, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    half = lambda t: t.half().contiguous() if t.is_floating_point() else t
    weights = {name: half(tensor) for name, tensor in nets.state_dict().items()}
    write(folder / "weights.safetensors", lambda path: save_file(weights, path))
    write_json(folder / "training_log.json", told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=DATA / "recogniser")
    given = parser.parse_args()
    torch.manual_seed(0)
    nets, log, began = networks(), [], time.process_time()
    for step, losses in enumerate(train(nets, given.steps), 1):
        if step % 100 == 0 or step == given.steps:
            log.append({"step": step, **{name: round(loss, 4) for name, loss in losses.items()}})
            seconds = round(time.process_time() - began)
            print(log[-1], f"{seconds} s", flush=True)
            told = {"steps": given.steps, "batch": BATCH, "seconds of processor time": seconds}
            told |= {"machine": processor(), "threads": torch.get_num_threads(), "log": log}
            save(nets, told, given.out)


if __name__ == "__main__":
    main()
