"""Lessons 10 and 11. How a condition enters a network: what is prepared once a picture, and read.

Keys and values of the text do not depend on the noisy picture. `prepare` makes them once, and every
step of a run uses them again; each attention block finds its own by the block's name.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minimagen.conditioning import Cond, LowRes, Text
from minimagen.layers import Attention, Embedding, TextReader

KeysValues = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Prepared:
    """What may stand for a `Cond` through a whole run: the work that does not depend on z.

    emb (B, E) or None: pooled text and the augmentation level; text: keys and values of each
    attention block, by the block's name in the network; mask (B, 1 + L) bool with the null token
    first; lowres: the noised picture below, or None. Lesson 11.
    """

    emb: Tensor | None
    text: dict[str, KeysValues]
    mask: Tensor | None
    lowres: LowRes | None

    def __getitem__(self, rows: slice) -> "Prepared":
        pick = lambda part: None if part is None else part[rows]
        return Prepared(
            pick(self.emb),
            {name: (keys[rows], values[rows]) for name, (keys, values) in self.text.items()},
            pick(self.mask),
            pick(self.lowres),
        )


class Conditioned(nn.Module):
    """What both U-Nets share: the embedding of the level, `prepare`, and how a level is run.

    config: a `UNetConfig`; emb: the width of the embedding. Lessons 10 and 11.
    """

    def __init__(self, config, emb: int):
        super().__init__()
        self.config = config
        self.time = Embedding(config.channels, emb)
        self.reader = (
            TextReader(config.text_width, emb, config.neighbours) if config.text_width else None
        )
        self.level = Embedding(config.channels, emb) if config.lowres else None

    def attentions(self) -> dict[str, Attention]:
        """The attention blocks by their names in the network."""
        return {
            name: module for name, module in self.named_modules() if isinstance(module, Attention)
        }

    def _reading(self) -> dict[str, Attention]:
        """Those of the attention blocks that look at text."""
        blocks = self.attentions().items()
        return {name: block for name, block in blocks if block.text_key_value is not None}

    def prepare(self, cond: Cond | None) -> Prepared:
        """Text normalised, pooled and turned into keys and values, the augmentation level embedded.

        Once a picture is enough. Raises `ValueError` when a super-resolution network gets no
        low-resolution picture, or text of another width.
        """
        cond = Cond() if cond is None else cond
        if self.level is not None and cond.lowres is None:
            raise ValueError(
                "cond must hold the low-resolution picture that this super-resolution network "
                "continues, got none"
            )
        emb = self.level(cond.lowres.logsnr) if self.level is not None else None
        ready = Prepared(emb, {}, None, cond.lowres)
        if self.reader is None or cond.text is None:
            return ready
        return self._with_text(ready, cond.text)

    def _with_text(self, ready: Prepared, text: Text) -> Prepared:
        width = text.tokens.shape[2]
        if width != self.config.text_width:
            raise ValueError(
                f"cond.text must be {self.config.text_width} wide, the encoder this network was "
                f"trained with, got {width}"
            )
        tokens, mask, pooled = self.reader(text)
        emb = pooled if ready.emb is None else ready.emb + pooled
        keys_values = {name: block.read(tokens) for name, block in self._reading().items()}
        return Prepared(emb, keys_values, mask, ready.lowres)

    def _ready(self, z: Tensor, cond: Cond | Prepared | None) -> Prepared:
        """`cond` prepared; a network with text that gets none sees its null token alone."""
        ready = cond if isinstance(cond, Prepared) else self.prepare(cond)
        if self.reader is None or ready.mask is not None:
            return ready
        tokens = z.new_zeros(len(z), 0, self.config.text_width)
        mask = torch.zeros(len(z), 0, dtype=torch.bool, device=z.device)
        return self._with_text(ready, Text(tokens, mask))

    def _keys_values(self, ready: Prepared) -> dict[Attention, KeysValues]:
        """What was prepared, at the blocks that it was prepared for."""
        blocks = self._reading()
        if ready.text.keys() != blocks.keys():
            raise ValueError(
                "cond must be prepared by a network with the same attention blocks, "
                f"{', '.join(blocks) or 'none that reads'}, got {', '.join(ready.text) or 'none'}"
            )
        return {block: ready.text[name] for name, block in blocks.items()}

    def _emb(self, logsnr: Tensor, ready: Prepared) -> Tensor:
        emb = self.time(logsnr)
        return emb if ready.emb is None else emb + ready.emb

    def _stem(self, z: Tensor, ready: Prepared) -> Tensor:
        """The input: z beside the picture below, patch x patch pixels folded into channels."""
        if self.config.lowres:
            below = F.interpolate(
                ready.lowres.image.to(z.dtype),
                size=z.shape[-2:],
                mode="bicubic",
                align_corners=False,
            )
            z = torch.cat([z, below], 1)
        return F.pixel_unshuffle(z, self.config.patch)


class Level(nn.ModuleList):
    """The blocks of one level in their order: residual blocks, attention, a change of size."""

    def forward(
        self,
        h: Tensor,
        emb: Tensor,
        text: dict[Attention, KeysValues],
        mask: Tensor | None,
    ) -> Tensor:
        """h (B, C, H, W), emb (B, E), the text's keys and values at their blocks, mask (B, 1+L)."""
        for block in self:
            if isinstance(block, Attention):
                h = block(h, text.get(block), mask)
            else:
                h = block(h, emb)
        return h
