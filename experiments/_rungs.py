"""Networks between the plain and the Efficient U-Net, for the experiments of lesson 12."""

from torch import Tensor
from torch.nn import functional as F

from minimagen.conditioning import Cond
from minimagen.efficient_unet import EfficientUNet
from minimagen.unet import UNetConfig


class Rung(EfficientUNet):
    """An Efficient U-Net of which two changes can be taken back: the order (`early`), and the scale
    of the sums (`scaled`).

    Late: a convolution of stride 1, the blocks at the full size of the level, then the mean of 2 x
    2 pixels; on the way up each pixel four times, the blocks, a convolution. The same modules, so
    the same parameters.
    """

    def __init__(self, config: UNetConfig, early: bool, scaled: bool):
        super().__init__(config)
        self.early, self.scale = early, 0.5**0.5 if scaled else 1.0
        for shrink in self.down:
            shrink.stride = (2, 2) if early else (1, 1)

    def forward(self, z: Tensor, logsnr: Tensor, cond: Cond | None = None) -> Tensor:
        ready = self._ready(z, cond)
        emb, h = self._emb(logsnr, ready), self.first(self._stem(z, ready))
        kept = [h]
        for shrink, blocks in zip(self.down, self.before, strict=True):
            kept.append(blocks(shrink(h), emb, {}, None))  # no text
            h = kept[-1] if self.early else F.avg_pool2d(kept[-1], 2)
        for blocks, grow in zip(self.after, self.up, strict=True):
            h = h if self.early else double(h)
            h = blocks(self.scale * (h + kept.pop()), emb, {}, None)
            h = grow(double(h) if self.early else h)
        return self.last(self.scale * (h + kept.pop()))


def double(x: Tensor) -> Tensor:
    """Each pixel four times."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
