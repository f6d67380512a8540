"""Which page of `World` is it? Every page that there is, held against the picture."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from minimagen.data.pages import PAGE_COLOURS, STEPS, Page, draw_page

SIDE = 64  # pixels of the pictures that are read
NEAR = 14.0  # how fast a pixel's vote falls with its distance from a tone, in 8-bit levels
LEAST = 0.35  # a page that explains less of the picture than this is not there
LIGHT = tuple(PAGE_COLOURS)
STRONG = tuple(colour for colour in PAGE_COLOURS if colour != "white")
PAIRS = tuple((a, b) for a in STRONG for b in STRONG)


def nearest_pages(pictures: Tensor) -> list[tuple[Page, float]]:
    """For pictures (B, 3, 64, 64) in [-1, 1]: the page that explains most of each, and how much.

    A pixel at the distance d from a tone gives it the vote exp(-d^2 / 2 s^2), s = `NEAR`; a page's
    score is the mean of the votes for the tones that it has there, in [0, 1]. Objects hide less
    than half of a page and vote for none in particular, so the page that is there scores highest.
    """
    levels = (pictures.float().clamp(-1, 1) + 1) * 127.5
    scores = torch.cat([_scores(part) for part in levels.split(32)])
    best, which = scores.max(1)
    return [(_pages()[k], score) for k, score in zip(which.tolist(), best.tolist(), strict=True)]


@cache
def _pages() -> list[Page]:
    """Every page, in the order of `_scores`: plain, gradients, then all pairs on each pattern."""
    named = lambda kind, a, b, *at: Page(kind, a, None if a == b else b, *at)
    gradients = [named("gradient", a, b) for a, b in PAIRS]
    marked = [named(kind, a, b, *at) for kind, *at in _patterns() for a, b in PAIRS]
    return [*(Page("plain", colour) for colour in LIGHT), *gradients, *marked]


@cache
def _patterns() -> list[tuple[str, int, int]]:
    """(kind, step, shift) of all that can be marked on a page; dots come round at half a step."""
    shifts = {"striped": lambda s: 2 * s, "dotted": lambda s: s // 2, "ground": lambda s: 1}
    return [(kind, s, t) for kind, n in shifts.items() for s in STEPS[kind] for t in range(n(s))]


@cache
def _masks() -> Tensor:
    """(patterns, 2, 64 x 64): a pixel's weight in the light and in the strong tone of a pattern."""
    masks = []
    for kind, step, shift in _patterns():
        page = Page(kind, "grey", None, step, shift)
        drawn = torch.from_numpy(draw_page(page, SIDE, (0, 0, SIDE))).flatten(1)
        own = [(drawn == torch.tensor(tone)[:, None]).all(0) for tone in page.tones]
        masks.append(torch.stack(own).float() / torch.stack(own).sum())
    return torch.stack(masks)


@cache
def _slopes() -> Tensor:
    """(64, 3, pairs): the tone of each row of every gradient."""
    pages = [Page("gradient", a, b) for a, b in PAIRS]
    drawn = np.stack([draw_page(page, SIDE, (0, 0, SIDE))[:, :, 0] for page in pages])
    return torch.from_numpy(drawn).float().permute(2, 1, 0)


def _scores(levels: Tensor) -> Tensor:
    """The score of every page: pictures (B, 3, 64, 64) in 0..255 -> (B, pages)."""
    pixels = levels.flatten(2).transpose(1, 2)
    light = torch.tensor([PAGE_COLOURS[colour][0] for colour in LIGHT]).float()
    strong = torch.tensor([PAGE_COLOURS[colour][1] for colour in STRONG]).float()
    plain, marks = (_votes(pixels, tones.T[None]).transpose(1, 2) for tones in (light, strong))
    pale = plain[:, [LIGHT.index(colour) for colour in STRONG]]
    light_share, strong_share = (
        votes @ masks.T for votes, masks in zip((pale, marks), _masks().unbind(1), strict=True)
    )
    marked = light_share[:, :, None] + strong_share[:, None]  # (B, light, strong, patterns)
    rows = _votes(levels.permute(2, 0, 3, 1).flatten(1, 2), _slopes())
    gradient = rows.view(SIDE, -1, SIDE, len(PAIRS)).mean((0, 2))
    parts = plain.mean(2), gradient, marked.permute(0, 3, 1, 2).flatten(1)
    return torch.cat(parts, 1)


def _votes(pixels: Tensor, tones: Tensor) -> Tensor:
    """exp(-d^2 / 2 s^2) for pixels (N, P, 3) and tones (N or 1, 3, T): (N, P, T)."""
    square = pixels.square().sum(-1, keepdim=True) + tones.square().sum(-2, keepdim=True)
    return torch.exp((pixels @ tones - square / 2).clamp(max=0) / NEAR**2)
