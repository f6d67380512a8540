"""Lesson 05. The U-Net of the base model, and the shapes of all networks: small, shipped, printed.

>>> config = UNetConfig(32, multipliers=(1, 2), blocks=(1, 1), attention=(None, "self"))
>>> net, z, logsnr = UNet(config), torch.randn(2, 3, 16, 16), torch.zeros(2)
>>> net(z, logsnr).shape, net(z, logsnr).any().item()  # like z, and zero before training
(torch.Size([2, 3, 16, 16]), False)
>>> config.widths, sum(p.numel() for p in net.parameters())
((32, 64), 827491)
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minimagen.conditioned import Conditioned, Level, Prepared
from minimagen.conditioning import Cond
from minimagen.layers import Attention, ResBlock, norm, zeroed


@dataclass(frozen=True)
class UNetConfig:
    """The shape of a network, its levels from fine to coarse.

    Raises `ValueError` when the three tuples differ in length, a number is not positive, or
    channels is no multiple of 4. Lessons 05 and 12.
    """

    channels: int  # the unit of width
    multipliers: tuple[int, ...]  # level i is channels * multipliers[i] wide
    blocks: tuple[int, ...]  # residual blocks at each level, once down and once more up
    # At each level "self", "cross" (to the text alone), "picture" (not to the text) or None.
    attention: tuple[str | None, ...]
    text_width: int | None = None  # the text encoder's width D, None for a network without text
    neighbours: int = 0  # reach of the trained adapter over the text's states, 0 in the paper
    lowres: bool = False  # whether it is conditioned on the picture below
    patch: int = 1  # patch x patch pixels are folded into channels at the entrance, 1 in the paper
    head_width: int = 32  # channels of one head of attention
    image_channels: int = 3  # of the pictures: red, green, blue
    groups: int = 32  # channels are normalised in so many groups at most; 32 in the paper
    positions: bool = True  # whether attention knows where on the page a pixel lies

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
        """Channels into the first convolution and out of the last, a patch's pixels folded in."""
        folded = self.image_channels * self.patch**2
        return folded * (2 if self.lowres else 1), folded


class UNet(Conditioned):
    """The base network: (z, logsnr, cond) -> like z.

    Down: residual blocks (and attention) at each level, a residual block that halves the size
    between levels, every output kept. Middle: block, attention, block. Up: the kept outputs joined
    back in, the last one first, one more block a level. Source: Imagen, appendix F.1; Dhariwal and
    Nichol 2021. Lesson 05.
    """

    def __init__(self, config: UNetConfig):
        emb = 4 * config.channels
        super().__init__(config, emb)
        widths, (first, last) = config.widths, config.stem
        self.first = nn.Conv2d(first, widths[0], 3, padding=1)
        kept = [widths[0]]  # channels of each output on the way down, as `forward` keeps them
        self.down = nn.ModuleList()
        for i, width in enumerate(widths):
            for _ in range(config.blocks[i]):
                self.down.append(_block(config, i, kept[-1], emb))
                kept.append(width)
            if i + 1 < len(widths):
                self.down.append(Level([ResBlock(width, width, emb, 0.5, config.groups)]))
                kept.append(width)
        self.middle = _middle(config, emb)
        below = widths[-1]  # channels of what comes from the layer before, on the way up
        self.up = nn.ModuleList()
        for i, width in reversed(list(enumerate(widths))):
            for j in range(
                config.blocks[i] + 1
            ):  # the last one meets the halving above, or the stem
                self.up.append(_block(config, i, below + kept.pop(), emb))
                below = width
                if i and j == config.blocks[i]:
                    self.up[-1].append(ResBlock(width, width, emb, 2, config.groups))
        self.last = nn.Sequential(
            norm(widths[0], config.groups),
            nn.SiLU(),
            zeroed(nn.Conv2d(widths[0], last, 3, padding=1)),
        )

    def forward(self, z: Tensor, logsnr: Tensor, cond: Cond | Prepared | None = None) -> Tensor:
        """z (B, C, H, W), logsnr (B,), a condition or what `prepare` made of it -> like z."""
        check_sides(z, self.config.patch * 2 ** (len(self.config.blocks) - 1))
        ready = self._ready(z, cond)
        context = self._emb(logsnr, ready), self._keys_values(ready), ready.mask
        h = self.first(self._stem(z, ready))
        kept = [h]
        for layer in self.down:
            h = layer(h, *context)
            kept.append(h)
        h = self.middle(h, *context)
        for layer in self.up:
            h = layer(torch.cat([h, kept.pop()], 1), *context)
        return F.pixel_shuffle(self.last(h), self.config.patch)


def attention(config: UNetConfig, width: int, kind: str) -> Attention:
    """The attention block of a level that is `width` channels wide. Lesson 05."""
    return Attention(
        width, config.text_width, config.head_width, kind, config.groups, config.positions
    )


def check_sides(z: Tensor, unit: int) -> None:
    """Raise `ValueError` unless the sides of z (B, C, H, W) are multiples of `unit`. Lesson 05."""
    if z.shape[-1] % unit or z.shape[-2] % unit:
        raise ValueError(
            f"z must have sides that are multiples of {unit} for this network, got "
            f"{tuple(z.shape[-2:])}"
        )


def _block(config: UNetConfig, i: int, channels: int, emb: int) -> Level:
    """A residual block from `channels` to those of level i, then attention if the level has it."""
    width, kind = config.widths[i], config.attention[i]
    layer = Level([ResBlock(channels, width, emb, groups=config.groups)])
    return layer.append(attention(config, width, kind)) if kind else layer


def _middle(config: UNetConfig, emb: int) -> Level:
    """Block, attention, block at the coarsest level; attention of the coarsest kind there is."""
    width = config.widths[-1]
    kind = next((kind for kind in reversed(config.attention) if kind), None)
    block = lambda: ResBlock(width, width, emb, groups=config.groups)
    layer = Level([block()])
    if kind:
        layer.append(attention(config, width, kind))
    return layer.append(block())


# ----------------------------------------------------------------------------------- configurations

TEXT = 128  # the width of the shipped text encoder

_ENLARGER = UNetConfig(
    32,
    (1, 2, 3),
    (1, 1, 2),
    (None, None, "cross"),
    text_width=TEXT,
    lowres=True,
    patch=2,
    groups=4,
)
SHIPPED = {
    "base": UNetConfig(
        32, (3, 3, 4), (1, 1, 1), ("cross", "self", "self"), text_width=TEXT, neighbours=2, patch=4
    ),
    "sr256": _ENLARGER,
    "sr1024": _ENLARGER,
}
# Imagen, appendix F.1, F.2, F.3, with T5-XXL's 4096. As printed, F.2 and F.3 differ by their
# attention alone, so they cannot have the 600 M and 400 M parameters that the text of the paper
# gives.
_PAPER_256 = UNetConfig(
    128,
    (1, 2, 4, 8),
    (2, 4, 8, 8),
    (None, None, None, "self"),
    text_width=4096,
    lowres=True,
    head_width=64,
)
PAPER = {
    "base": UNetConfig(
        512,
        (1, 2, 3, 4),
        (3, 3, 3, 3),
        (None, "self", "self", "self"),
        text_width=4096,
        head_width=64,
    ),
    "sr256": _PAPER_256,
    "sr1024": replace(_PAPER_256, attention=(None, None, None, "cross")),
}
