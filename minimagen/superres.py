"""Lesson 13. Super-resolution: the picture below, noised, is a condition.

One function, `lowres`, makes it in training and in sampling.

>>> from minimagen.noise import cosine
>>> page = torch.ones(2, 3, 64, 64)
>>> below = lowres(page, 16, 0.1, cosine)
>>> below.image.shape, [round(value, 2) for value in below.logsnr.tolist()]
(torch.Size([2, 3, 16, 16]), [3.68, 3.68])
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from minimagen.conditioning import Cond, LowRes
from minimagen.noise import ALL, Share, diffuse, randn
from minimagen.pixels import resize


def lowres(
    image: Tensor,
    size: int,
    aug_level: float | Tensor,
    schedule: Callable[[Tensor], Tensor],
    generator=None,
    share: Share = ALL,
) -> LowRes:
    """Noise conditioning augmentation: resize to `size`, then diffuse to schedule(aug_level).

    image (B, C, H, W): the clean large picture in training, the picture of the stage below in
    sampling (already of `size`, so nothing is resized). aug_level in [0, 1], a time, one number or
    (B,); 0 leaves the picture as it is but for sigma = 4.5e-5. The level travels with the picture,
    so that the network knows how far to trust it. share: what the pictures are of those of all
    processes. Raises `ValueError` on a level outside [0, 1]. Source: Imagen, section 2.4 and figure
    A.31; Ho et al. 2022. Lesson 13.
    """
    level = torch.as_tensor(aug_level, dtype=torch.float32, device=image.device).expand(len(image))
    if not level.is_meta and not bool(((level >= 0) & (level <= 1)).all()):
        raise ValueError(f"aug_level must lie in [0, 1], got {aug_level}")
    small = resize(image, size)
    logsnr = schedule(level)
    draw = lambda count: randn((count, *small.shape[1:]), generator, like=small)
    return LowRes(diffuse(small, logsnr, share.rows(draw, len(small))), logsnr)


def with_lowres(
    batches: Iterable[tuple[Tensor, Cond]],
    size: int,
    schedule: Callable[[Tensor], Tensor],
    generator=None,
    max_level: float = 1.0,
    share: Share = ALL,
) -> Iterator[tuple[Tensor, Cond]]:
    """Training's side of it: each batch (x0, cond) gets x0, shrunk to `size`, as the picture below.

    The augmentation level is drawn anew for every picture, uniform in [0, max_level]. With crops of
    one quarter of the picture's side, `size` is one quarter of that stage's lower size too. Source:
    Imagen, section 2.4. Lesson 13. Differs from the paper where max_level < 1: a small network has
    no room to learn what to invent where nothing is left to see. share: what the batches are of
    those of all processes.
    """
    draw = lambda count: torch.rand(count, generator=generator)
    for x0, cond in batches:
        level = max_level * share.rows(draw, len(x0)).to(x0.device)
        yield x0, replace(cond, lowres=lowres(x0, size, level, schedule, generator, share))
