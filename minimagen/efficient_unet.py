"""Lesson 12. The Efficient U-Net of the super-resolution models: small first, then the work.

>>> import torch
>>> from minimagen.conditioning import LowRes
>>> config = UNetConfig(8, (1, 2), (1, 1), (None, None), lowres=True)
>>> below = LowRes(torch.zeros(2, 3, 4, 4), torch.zeros(2))  # the picture to be enlarged, its noise
>>> EfficientUNet(config)(torch.randn(2, 3, 16, 16), torch.zeros(2), Cond(lowres=below)).shape
torch.Size([2, 3, 16, 16])
"""

from torch import Tensor, nn
from torch.nn import functional as F

from minimagen.conditioned import Conditioned, Level, Prepared
from minimagen.conditioning import Cond
from minimagen.layers import ResBlock, norm, zeroed
from minimagen.unet import UNetConfig, attention, check_sides


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
        """z (B, C, H, W), logsnr (B,), a condition or what `prepare` made of it -> like z."""
        check_sides(z, self.config.patch * 2 ** len(self.config.blocks))
        ready = self._ready(z, cond)
        context = self._emb(logsnr, ready), self._keys_values(ready), ready.mask
        h = self.first(self._stem(z, ready))
        kept = [h]
        for shrink, blocks in zip(self.down, self.before, strict=True):
            h = blocks(shrink(h), *context)
            kept.append(h)
        for blocks, grow in zip(self.after, self.up, strict=True):
            h = blocks(_join(h, kept.pop()), *context)
            h = grow(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        return F.pixel_shuffle(self.last(_join(h, kept.pop())), self.config.patch)


def _stack(config: UNetConfig, i: int, emb: int) -> Level:
    """A level of the Efficient U-Net: its residual blocks, then attention."""
    width, kind = config.widths[i], config.attention[i]
    layer = Level(
        ResBlock(width, width, emb, groups=config.groups) for _ in range(config.blocks[i])
    )
    return layer.append(attention(config, width, kind)) if kind else layer


def _join(h: Tensor, skip: Tensor) -> Tensor:
    """Two halves of one variance, summed to the same variance."""
    return (h + skip) * 0.5**0.5
