"""Lessons 05 and 12. The networks: the U-Net of the base model, and the Efficient U-Net of the
super-resolution models.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minimagen.conditioning import Cond
from minimagen.layers import Attention, Conditioned, Prepared, ResBlock, norm, zeroed


@dataclass(frozen=True)
class UNetConfig:
    """The shape of a network; one entry of `multipliers`, `blocks` and `attention` a level, from
    fine to coarse.

    channels: the unit of width; level i is channels * multipliers[i] wide. attention: "self",
    "cross" or None at each level. text_width: the text encoder's width D, None for a network
    without text. lowres: conditioned on the picture below. neighbours: reach of the trained adapter
    over the text's states, 0 for none (the paper). patch: patch x patch pixels are folded into
    channels before the first convolution (1 in the paper). groups: of channels that are normalised
    together, at most (32 in the paper, whose levels are 128 channels wide and more). Raises
    `ValueError` when the three tuples differ in length, a number is not positive or channels no
    multiple of 4.
    """

    channels: int
    multipliers: tuple[int, ...]
    blocks: tuple[int, ...]
    attention: tuple[str | None, ...]
    text_width: int | None = None
    neighbours: int = 0
    lowres: bool = False
    patch: int = 1
    head_width: int = 32
    image_channels: int = 3
    groups: int = 32

    def __post_init__(self):
        for name in ("multipliers", "blocks", "attention"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON gives lists
        if not len(self.multipliers) == len(self.blocks) == len(self.attention) > 0:
            raise ValueError(
                "multipliers, blocks and attention must have one entry a level, "
                f"got {len(self.multipliers)}, {len(self.blocks)} and {len(self.attention)}"
            )
        for name in ("patch", "head_width", "image_channels", "groups", "text_width"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.neighbours < 0:
            raise ValueError(f"neighbours must be at least 0, got {self.neighbours}")
        for name in ("multipliers", "blocks"):
            if min(getattr(self, name)) < 1:
                raise ValueError(f"{name} must each be at least 1, got {getattr(self, name)}")
        if self.channels < 4 or self.channels % 4:
            raise ValueError(
                "channels must be a multiple of 4 (waves of x and y, sines and cosines), got "
                f"{self.channels}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at each level."""
        return tuple(self.channels * m for m in self.multipliers)

    @property
    def stem(self) -> tuple[int, int]:
        """Channels into the first convolution and out of the last, with the pixels of a patch
        folded in.
        """
        folded = self.image_channels * self.patch**2
        return folded * (2 if self.lowres else 1), folded


class UNet(Conditioned):
    """The base network: (z, logsnr, cond) -> like z.

    Down: residual blocks (and attention) at each level, a residual block that halves the size
    between levels, every output kept. Middle: block, attention, block. Up: the kept outputs joined
    back in, one more block a level. Source: Imagen, appendix F.1; Dhariwal and Nichol 2021. Lesson
    05.
    """

    def __init__(self, config: UNetConfig):
        emb = 4 * config.channels
        super().__init__(config, emb)
        widths, (first, last) = config.widths, config.stem
        self.first = nn.Conv2d(first, widths[0], 3, padding=1)
        self.down, kept, channels = nn.ModuleList(), [widths[0]], widths[0]
        for i, width in enumerate(widths):
            for _ in range(config.blocks[i]):
                self.down.append(_level(config, channels, width, emb, config.attention[i]))
                channels = width
                kept.append(channels)
            if i < len(widths) - 1:
                self.down.append(
                    nn.ModuleList([ResBlock(channels, channels, emb, 0.5, config.groups)])
                )
                kept.append(channels)
        kind = next((kind for kind in reversed(config.attention) if kind), None)
        self.middle = nn.ModuleList(
            [
                *_level(config, channels, channels, emb, kind),
                ResBlock(channels, channels, emb, groups=config.groups),
            ]
        )
        self.up = nn.ModuleList()
        for i, width in reversed(list(enumerate(widths))):
            for j in range(config.blocks[i] + 1):
                self.up.append(
                    _level(config, channels + kept.pop(), width, emb, config.attention[i])
                )
                channels = width
                if i and j == config.blocks[i]:
                    self.up[-1].append(ResBlock(channels, channels, emb, 2, config.groups))
        self.last = nn.Sequential(
            norm(channels, config.groups),
            nn.SiLU(),
            zeroed(nn.Conv2d(channels, last, 3, padding=1)),
        )

    def forward(self, z: Tensor, logsnr: Tensor, cond: Cond | Prepared | None = None) -> Tensor:
        """z (B, C, H, W), logsnr (B,), cond what was asked or what `prepare` made of it -> (B, C,
        H, W).
        """
        _check_size(z, self.config.patch * 2 ** (len(self.config.blocks) - 1))
        ready = self._ready(z, cond)
        emb, text = self._emb(logsnr, ready), iter(ready.text)
        h = self.first(self._stem(z, ready))
        kept = [h]
        for layer in self.down:
            h = _run(layer, h, emb, text, ready.mask)
            kept.append(h)
        h = _run(self.middle, h, emb, text, ready.mask)
        for layer in self.up:
            h = _run(layer, torch.cat([h, kept.pop()], 1), emb, text, ready.mask)
        return F.pixel_shuffle(self.last(h), self.config.patch)


class EfficientUNet(Conditioned):
    """The super-resolution network: (z, logsnr, cond) -> like z.

    At each level the strided convolution comes first and the upsampling last, so that the blocks
    work on the smaller picture; a level's skip joins as (h + skip) / sqrt(2), which keeps the
    variance. Text is read where `attention` says, in the paper at the last level alone. Source:
    Imagen, section 2.3 and appendix B.1 (the figures leave the sum's scale open: here both halves
    are scaled). Lesson 12.
    """

    def __init__(self, config: UNetConfig):
        emb = 4 * config.channels
        super().__init__(config, emb)
        widths, (first, last) = config.widths, config.stem
        outer = (widths[0], *widths)
        self.first = nn.Conv2d(first, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(outer, widths, strict=False)
        )
        self.before = nn.ModuleList(_stack(config, i, emb) for i in range(len(widths)))
        self.after = nn.ModuleList(_stack(config, i, emb) for i in reversed(range(len(widths))))
        self.up = nn.ModuleList(
            nn.Conv2d(b, a, 3, padding=1)
            for a, b in reversed(list(zip(outer, widths, strict=False)))
        )
        self.last = nn.Sequential(
            norm(widths[0], config.groups),
            nn.SiLU(),
            zeroed(nn.Conv2d(widths[0], last, 3, padding=1)),
        )

    def forward(self, z: Tensor, logsnr: Tensor, cond: Cond | Prepared | None = None) -> Tensor:
        """z (B, C, H, W), logsnr (B,), cond with the low-resolution picture, or what `prepare` made
        of it -> (B, C, H, W).
        """
        _check_size(z, self.config.patch * 2 ** len(self.config.blocks))
        ready = self._ready(z, cond)
        emb, text = self._emb(logsnr, ready), iter(ready.text)
        h = self.first(self._stem(z, ready))
        kept = [h]
        for shrink, blocks in zip(self.down, self.before, strict=True):
            h = _run(blocks, shrink(h), emb, text, ready.mask)
            kept.append(h)
        for blocks, grow in zip(self.after, self.up, strict=True):
            h = _run(blocks, _join(h, kept.pop()), emb, text, ready.mask)
            h = grow(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        return F.pixel_shuffle(self.last(_join(h, kept.pop())), self.config.patch)


NETWORKS = {"unet": UNet, "efficient": EfficientUNet}


def _level(
    config: UNetConfig, channels: int, width: int, emb: int, kind: str | None
) -> nn.ModuleList:
    """One residual block, with attention behind it where the level has it."""
    layer = nn.ModuleList([ResBlock(channels, width, emb, groups=config.groups)])
    return layer.append(_attention(config, width, kind)) if kind else layer


def _stack(config: UNetConfig, i: int, emb: int) -> nn.ModuleList:
    """A level of the Efficient U-Net: its residual blocks, then attention."""
    width, kind = config.widths[i], config.attention[i]
    layer = nn.ModuleList(
        ResBlock(width, width, emb, groups=config.groups) for _ in range(config.blocks[i])
    )
    return layer.append(_attention(config, width, kind)) if kind else layer


def _attention(config: UNetConfig, width: int, kind: str) -> Attention:
    return Attention(width, config.text_width, config.head_width, kind, config.groups)


def _run(layer: nn.ModuleList, h: Tensor, emb: Tensor, text, mask: Tensor | None) -> Tensor:
    """The modules of one level in order; each attention block takes the next of the prepared keys
    and values.
    """
    for module in layer:
        h = module(h, next(text, None), mask) if isinstance(module, Attention) else module(h, emb)
    return h


def _join(h: Tensor, skip: Tensor) -> Tensor:
    return (h + skip) * 0.5**0.5


def _check_size(z: Tensor, unit: int) -> None:
    if z.shape[-1] % unit or z.shape[-2] % unit:
        raise ValueError(
            f"z must have sides that are multiples of {unit} for this network, got "
            f"{tuple(z.shape[-2:])}"
        )


# ----------------------------------------------------------------------------------- configurations

TEXT = 128  # the width of the shipped text encoder

TINY = {
    "base": UNetConfig(
        8, (1, 2), (1, 1), (None, "self"), text_width=16, neighbours=1, patch=2, head_width=8
    ),
    "sr": UNetConfig(
        8, (1, 2), (1, 1), (None, "cross"), text_width=16, lowres=True, patch=2, head_width=8
    ),
}
SHIPPED = {
    "base": UNetConfig(
        32, (3, 3, 4), (1, 1, 1), ("cross", "self", "self"), text_width=TEXT, neighbours=2, patch=4
    ),
    "sr256": UNetConfig(
        32,
        (1, 2, 3),
        (1, 1, 2),
        (None, None, "cross"),
        text_width=TEXT,
        lowres=True,
        patch=2,
        groups=4,
    ),
    "sr1024": UNetConfig(
        32,
        (1, 2, 3),
        (1, 1, 2),
        (None, None, "cross"),
        text_width=TEXT,
        lowres=True,
        patch=2,
        groups=4,
    ),
}
# Imagen, appendix F.1, F.2, F.3, with T5-XXL's 4096. As printed, F.2 and F.3 differ by their
# attention alone, so they cannot have the 600 M and 400 M parameters that the text of the paper
# gives.
PAPER = {
    "base": UNetConfig(
        512,
        (1, 2, 3, 4),
        (3, 3, 3, 3),
        (None, "self", "self", "self"),
        text_width=4096,
        head_width=64,
    ),
    "sr256": UNetConfig(
        128,
        (1, 2, 4, 8),
        (2, 4, 8, 8),
        (None, None, None, "self"),
        text_width=4096,
        lowres=True,
        head_width=64,
    ),
    "sr1024": UNetConfig(
        128,
        (1, 2, 4, 8),
        (2, 4, 8, 8),
        (None, None, None, "cross"),
        text_width=4096,
        lowres=True,
        head_width=64,
    ),
}
