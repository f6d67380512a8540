"""Lesson 05. The blocks that both U-Nets are built of: embeddings, residual blocks, attention.

>>> x, emb = torch.ones(2, 8, 4, 4), torch.zeros(2, 12)
>>> block = ResBlock(8, 16, 12, factor=0.5)  # 16 channels, half the size
>>> block(x, emb).shape
torch.Size([2, 16, 2, 2])
>>> torch.equal(Attention(8, None, 4, "self")(x, None, None), x)  # it starts as the identity
True
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minimagen.conditioning import Text


def fourier(logsnr: Tensor, width: int) -> Tensor:
    """A level as waves: [sin(f lambda), cos(f lambda)] with f from 0.08 to 10, geometric.

    (B,) -> (B, width). The slowest wave tells the two ends of [-20, 20] apart, the fastest a third
    of a nat. After DDPM, section 4; lesson 05.
    """
    frequencies = torch.logspace(math.log10(0.08), 1, width // 2, device=logsnr.device)
    angles = logsnr.float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)


def positions(height: int, width: int, channels: int, like: Tensor) -> Tensor:
    """Where each place lies on the page, as waves over its coordinates in [0, 1].

    -> (channels, height, width). Half of the channels follow x, half y; no parameters, and the same
    page at any resolution. Differs from the paper, which names no positions: without them attention
    cannot tell above from below.
    """
    frequencies = math.pi * torch.logspace(0, 1.5, channels // 4, device=like.device)
    y = (torch.arange(height, device=like.device) + 0.5)[:, None] / height * frequencies
    x = (torch.arange(width, device=like.device) + 0.5)[:, None] / width * frequencies
    along_y = torch.cat([y.sin(), y.cos()], 1).T[:, :, None].expand(-1, -1, width)
    along_x = torch.cat([x.sin(), x.cos()], 1).T[:, None, :].expand(-1, height, -1)
    return torch.cat([along_y, along_x]).to(like.dtype)


def zeroed(module: nn.Module) -> nn.Module:
    """The same layer with weights and bias zero: a block that ends in it starts as the identity.

    Source: DDPM's initialisation. Lesson 05.
    """
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def norm(channels: int, groups: int = 32) -> nn.GroupNorm:
    """Group normalisation in as many groups as divide both `groups` and the channels.

    The paper has 32 groups. Lessons 05 and 13.
    """
    return nn.GroupNorm(math.gcd(groups, channels), channels)


class Resample(nn.Module):
    """Half or double the size: the mean of 2 x 2 pixels, or each pixel four times."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        if self.factor == 1:
            return x
        if self.factor < 1:
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2.0, mode="nearest")


class ResBlock(nn.Module):
    """x + conv(silu((1 + scale) norm(conv(silu(norm(x)))) + shift)), both from the embedding.

    x (B, C, H, W), emb (B, E) -> (B, out, H', W'); factor 0.5 or 2 resamples inside the block, as
    BigGAN does. Source: Imagen, appendix F.1; Dhariwal and Nichol 2021, section 3. Lesson 05.
    """

    def __init__(self, channels: int, out: int, emb: int, factor: float = 1, groups: int = 32):
        super().__init__()
        self.norm1, self.conv1 = norm(channels, groups), nn.Conv2d(channels, out, 3, padding=1)
        self.resample = Resample(factor)
        self.modulate = nn.Linear(emb, 2 * out)
        self.norm2, self.conv2 = norm(out, groups), zeroed(nn.Conv2d(out, out, 3, padding=1))
        self.skip = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.conv1(self.resample(F.silu(self.norm1(x))))
        scale, shift = self.modulate(F.silu(emb))[:, :, None, None].chunk(2, 1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return self.skip(self.resample(x)) + h


class Attention(nn.Module):
    """x + project(softmax(q k^T / sqrt(d)) v): pixels look at pixels and at words.

    kind "self": the keys and values of the text are joined to those of the picture (Imagen's 64 and
    256 networks); kind "cross": the text's alone (its 1024 network, which is too large to look at
    itself). placed: each pixel knows its `positions`. Raises `ValueError` on another kind, "cross"
    without text, and a head_width that does not divide the channels. Lessons 05 and 10.
    """

    def __init__(
        self,
        channels: int,
        text_width: int | None,
        head_width: int,
        kind: str,
        groups: int = 32,
        placed: bool = True,
    ):
        super().__init__()
        if kind not in ("self", "cross") or (kind == "cross" and text_width is None):
            raise ValueError(
                f"attention must be 'self', 'cross' (with text) or None at each level, got {kind!r}"
            )
        if channels % head_width:
            raise ValueError(
                f"head_width must divide the {channels} channels of a level with attention, got "
                f"{head_width}"
            )
        self.heads, self.kind, self.placed = channels // head_width, kind, placed
        self.norm = norm(channels, groups)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key_value = nn.Conv2d(channels, 2 * channels, 1) if kind == "self" else None
        self.text_key_value = nn.Linear(text_width, 2 * channels) if text_width else None
        self.project = zeroed(nn.Conv2d(channels, channels, 1))

    def read(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the text (B, L, D) -> two (B, heads, L, d).

        They do not depend on z: once a picture is enough.
        """
        return tuple(
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.text_key_value(tokens).chunk(2, 2)
        )

    def forward(self, x: Tensor, text: tuple[Tensor, Tensor] | None, mask: Tensor | None) -> Tensor:
        """x (B, C, H, W); text what `read` gave; mask (B, L) bool, True = a token to look at."""
        height, width = x.shape[2:]
        h = self.norm(x)
        if self.placed:
            h = h + positions(height, width, h.shape[1], h)
        q = self._split(self.query(h))  # (B, heads, H W, d)
        if text is not None:  # in mixed precision it may have been read in another dtype
            text = tuple(part.to(q.dtype) for part in text)
        k, v, visible = self._keys_values(h, text, mask)
        out = attend(q, k, v, visible)
        return x + self.project(out.transpose(2, 3).flatten(1, 2).unflatten(2, (height, width)))

    def _keys_values(self, h: Tensor, text: tuple[Tensor, Tensor] | None, mask: Tensor | None):
        """Keys and values (B, heads, N, d) of all that a pixel may look at, and which are visible.

        visible (B, 1, 1, N) bool, or None where all are.
        """
        if self.kind == "cross":
            return *text, mask[:, None, None]
        k, v = (self._split(part) for part in self.key_value(h).chunk(2, 1))
        if text is None:
            return k, v, None
        visible = torch.cat([mask.new_ones(len(h), k.shape[2]), mask], 1)
        text_k, text_v = text
        return torch.cat([k, text_k], 2), torch.cat([v, text_v], 2), visible[:, None, None]

    def _split(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, heads, H W, d)."""
        return x.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)


def attend(q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
    """softmax(q k^T / sqrt(d)) v over the keys that are visible: what attention computes.

    q (B, heads, N, d), k and v (B, heads, M, d), visible (B, 1, 1, M) bool or None for all ->
    (B, heads, N, d). PyTorch's fused kernel, which wants each head's numbers side by side; but in
    training in bfloat16 on a CPU the formula itself, which takes half as long there. Lesson 10.
    """
    if not (q.device.type == "cpu" and q.dtype == torch.bfloat16 and q.requires_grad):
        return F.scaled_dot_product_attention(q.contiguous(), k, v, attn_mask=visible)
    with torch.autocast("cpu", enabled=False):
        scores = q * q.shape[3] ** -0.5 @ k.transpose(2, 3)
        if visible is not None:
            scores = scores + torch.zeros_like(visible, dtype=q.dtype).masked_fill(
                ~visible, -torch.inf
            )
        return scores.softmax(3) @ v


class Embedding(nn.Module):
    """The level lambda as the residual blocks read it: waves -> Linear -> SiLU -> Linear.

    (B,) -> (B, emb). Lesson 05.
    """

    def __init__(self, width: int, emb: int):
        super().__init__()
        self.width = width
        self.mlp = nn.Sequential(nn.Linear(width, emb), nn.SiLU(), nn.Linear(emb, emb))

    def forward(self, logsnr: Tensor) -> Tensor:
        return self.mlp(fourier(logsnr, self.width))


class TextReader(nn.Module):
    """The text as a network reads it: LayerNorm, a learned null token, and attention pooling.

    The null token is always visible: it is what is left when the text is dropped. The pool goes
    into the embedding. neighbours: how many words each way a small trained adapter lets a word
    look, 0 for none. Differs from the paper: T5-XXL's states already say whose colour a colour is;
    those of a 4 MB encoder hardly do. Source: Imagen, appendix F.1. Lessons 10 and 11.
    """

    def __init__(self, text_width: int, emb: int, neighbours: int = 0):
        super().__init__()
        self.norm = nn.LayerNorm(text_width)
        mixer = lambda: nn.Conv1d(text_width, text_width, 2 * neighbours + 1, padding=neighbours)
        self.whiten = nn.Linear(text_width, text_width) if neighbours else None
        self.adapter = nn.ModuleList([mixer(), zeroed(mixer())]) if neighbours else None
        self.null = nn.Parameter(torch.randn(text_width))
        self.score = nn.Linear(text_width, 1)
        self.mlp = nn.Sequential(
            nn.LayerNorm(text_width), nn.Linear(text_width, emb), nn.SiLU(), nn.Linear(emb, emb)
        )

    def forward(self, text: Text) -> tuple[Tensor, Tensor, Tensor]:
        """-> tokens (B, 1 + L, D), mask (B, 1 + L), pooled (B, E)."""
        null = self.null.expand(len(text), 1, -1)
        words = self.norm(text.tokens.to(null.dtype))
        if self.adapter is not None and words.shape[1]:
            words = _clip_length(self.whiten(words), 1.25 * words.shape[2] ** 0.5)
            words = words + self._adapt(words.transpose(1, 2), text.mask[:, None]).transpose(1, 2)
        tokens = torch.cat([null, words], 1)
        mask = F.pad(text.mask, (1, 0), value=True)
        weights = self.score(tokens)[..., 0].masked_fill(~mask, -torch.inf).softmax(1)
        return tokens, mask, self.mlp((weights[..., None] * tokens).sum(1))

    @torch.no_grad()
    def init_whitening(self, text: Text, floor: float = 1e-4) -> None:
        """Let `whiten` begin as W (x - mean) with W = (C + floor |C|)^(-1/2).

        mean and covariance C are those of the words of `text`. A small encoder's states are a large
        common vector and a few loud directions; what sets one word off from another is quiet.
        Measured once at 32 pixels after 6,400 pictures, shuffled captions cost 0.2 % more loss with
        raw states and 4.8 % with white ones (logsnr -4). Nothing without an adapter.
        """
        if self.whiten is None:
            return
        words = self.norm(text.tokens.to(self.null.device))[text.mask.to(self.null.device)].double()
        mean = words.mean(0)
        values, vectors = torch.linalg.eigh((words - mean).T.cov())
        matrix = vectors * (values + floor * values.max()).rsqrt() @ vectors.T
        self.whiten.weight.copy_(matrix)
        self.whiten.bias.copy_(-(matrix @ mean))

    def _adapt(self, words: Tensor, mask: Tensor) -> Tensor:
        """Two convolutions along the sentence (B, D, L).

        Masked before each: empty places are as if they were not there.
        """
        first, second = self.adapter
        return second(F.silu(first(words * mask)) * mask)


def _clip_length(words: Tensor, length: float) -> Tensor:
    """Words (B, L, D) scaled down to `length` where they are longer."""
    # Whitened, a word that no caption had would drown out all the others. The first shipped base
    # was trained without this limit, which was added when it met new words.
    return words * (length / words.norm(dim=2, keepdim=True).clamp(min=length))
