"""Measures of any picture: intervals, retrieval, Fréchet distance, agreement between stages, how
sharp an edge is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from minimagen.pixels import resize


def share_interval(right: Tensor | tuple[int, int]) -> tuple[float, float]:
    """The 95 % Wilson interval of p = k / n: all q with (p - q)^2 <= z^2 q (1 - q) / n, z = 1.96.

    right: n verdicts, (n,) bool, or (k, n) itself. Where all are right, or none, it is no single
    point, as the bootstrap's would be. (NaN, NaN) where n is 0. Raises `ValueError` unless
    0 <= k <= n. Wilson 1927, "Probable inference, the law of succession".
    """
    from scipy.stats import binomtest  # takes half a second

    k, n = right if isinstance(right, tuple) else (int(right.sum()), len(right))
    if not 0 <= k <= n:
        raise ValueError(f"right must be (k, n) with 0 <= k <= n, got {(k, n)}")
    if n == 0:
        return math.nan, math.nan
    interval = binomtest(k, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap(values: Tensor, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of `values` (N,): the means of `resamples` draws of
    N with replacement.

    For means that are no shares; of a share, `share_interval`. The draws come from a generator of
    their own, seeded with `seed`. (NaN, NaN) where there are no values.
    """
    if len(values) == 0:
        return math.nan, math.nan
    generator = torch.Generator().manual_seed(seed)
    values = values.detach().cpu().double()
    means = [
        values[torch.randint(len(values), values.shape, generator=generator)].mean()
        for _ in range(resamples)
    ]
    low, high = (
        torch.stack(means).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    )
    return low, high


def pooled_features(images: Tensor) -> Tensor:
    """The mean colours of an 8 x 8 grid of cells: pictures (B, 3, H, W) of at least 8 x 8 -> (B,
    192), float32.

    They tell which colour is where and nothing of edges or of meaning: pictures that look alike
    from afar are near each other.
    """
    return F.adaptive_avg_pool2d(images.float(), 8).flatten(1)


def mark(right: Tensor) -> dict | None:
    """A share and its interval, ready for JSON, of n verdicts (n,) bool: {share, low, high}, or
    None where there are none.
    """
    low, high = share_interval(right)
    return {"share": right.double().mean().item(), "low": low, "high": high} if len(right) else None


@dataclass(frozen=True)
class RetrievalReport:
    """ranks (B,): how many real pictures are nearer to each drawing than the one that its caption
    names; 0 is a hit. features: the name of those that were compared.
    """

    ranks: Tensor
    features: str = ""

    @classmethod
    def joined(cls, reports: Sequence["RetrievalReport"]) -> "RetrievalReport":
        """The reports of several batches as one."""
        return cls(torch.cat([report.ranks for report in reports]), reports[0].features)

    def hits(self, k: int = 1) -> Tensor:
        """(B,) bool: the picture named is among the k nearest."""
        return self.ranks < k

    def share(self, k: int = 1) -> float:
        return self.hits(k).double().mean().item()

    def interval(self, k: int = 1) -> tuple[float, float]:
        """The 95 % interval of `share`, `share_interval`."""
        return share_interval(self.hits(k))

    def marks(self) -> dict[str, dict | None]:
        """The shares among the nearest 1 and 5, each with its interval, ready for JSON."""
        shares = {f"top {k}": mark(self.hits(k)) for k in (1, 5)}
        return {name: row and {**row, "features": self.features} for name, row in shares.items()}


def retrieval(ours: Tensor, theirs: Tensor, truth: Tensor) -> RetrievalReport:
    """Is the nearest of all real pictures the one that the caption names? Euclidean distance of the
    features.

    ours (B, F) features of the drawings, theirs (N, F) of all real pictures, truth (B,) integers:
    drawing i should be real picture truth[i]. Of pictures with equal features each counts as a hit.
    Raises `ValueError` where truth is not B indices into theirs.
    """
    if truth.shape != ours.shape[:1] or not bool(((truth >= 0) & (truth < len(theirs))).all()):
        raise ValueError(
            f"truth must be {len(ours)} indices, one a picture, below {len(theirs)}, got "
            f"{truth.tolist()}"
        )
    # Not by the expanded square, which would lose the digits that tell equal pictures from nearly
    # equal ones.
    distance = torch.cdist(
        ours.double(), theirs.double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    own = distance.gather(1, truth.to(distance.device)[:, None])
    return RetrievalReport((distance < own).sum(1))


def frechet(a: Tensor, b: Tensor) -> float:
    """The squared Fréchet distance of Gaussians fitted to two sets of features, a (N, F) and b (M,
    F), in float64:

    |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)). The trace of the root is the sum of the
    singular values of S_a^(1/2) S_b^(1/2): no root of a matrix that is not symmetric. With the
    features of an Inception network it is the FID (Heusel et al. 2017, section 4); with others it
    is another number: always say which. Raises `ValueError` on fewer than 2 rows, on different
    widths, and on features that are not finite.
    """
    for name, x in (("a", a), ("b", b)):
        if x.ndim != 2 or len(x) < 2 or x.shape[1] != a.shape[-1]:
            raise ValueError(
                f"{name} must be (2 or more, {a.shape[-1]}) features, got {tuple(x.shape)}"
            )
        if not bool(x.isfinite().all()):
            raise ValueError(f"{name} must be finite, got NaN or infinity")
    a, b = a.detach().double(), b.detach().double()
    shift = (a.mean(0) - b.mean(0)).square().sum()
    roots = [_root(torch.atleast_2d(x.T.cov())) for x in (a, b)]
    spread = (
        sum(root.square().sum() for root in roots)
        - 2 * torch.linalg.svdvals(roots[0] @ roots[1]).sum()
    )
    return (shift + spread.clamp(min=0)).item()


def _root(covariance: Tensor) -> Tensor:
    """The symmetric root of a symmetric matrix without negative eigenvalues (those of rounding are
    cut off).
    """
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def agreement(picture: Tensor, below: Tensor) -> Tensor:
    """How far a stage moved from the stage below: mean |resize(picture) - below| / 2, (B, 3, H, H),
    (B, 3, h, h) -> (B,).

    The picture is shrunk with antialiasing. 0 is the same picture, 1 is white for black. Lesson 13.
    """
    return (resize(picture, below.shape[-1]) - below).abs().mean((1, 2, 3)) / 2


def colour_shift(picture: Tensor, below: Tensor) -> Tensor:
    """By how much a stage brightened each channel: mean (resize(picture) - below) / 2, signed, (B,
    3) in [-1, 1]. Lesson 13.
    """
    return (resize(picture, below.shape[-1]) - below).mean((2, 3)) / 2


def edge_width(picture: Tensor) -> Tensor:
    """How many pixels a picture's sharp edges take: contrast / steepest slope, (B, 3, H, W) ->
    (B,).

    Of the channel of largest contrast: the mean of the W/4 brightest pixels less that of the W/4
    darkest, over the mean of the W/4 steepest differences between neighbours (dx^2 + dy^2)^(1/2).
    An edge blurred by a Gaussian has 2.5 times its deviation, which is 0.98 of its 10-90 % width;
    an antialiased rendering has about 1. NaN where a picture is flat.
    """
    count = max(1, picture.shape[-1] // 4)
    x = picture.float()
    dx, dy = x[..., :-1, 1:] - x[..., :-1, :-1], x[..., 1:, :-1] - x[..., :-1, :-1]
    slope = (dx.square() + dy.square()).sqrt().flatten(2).topk(count).values.mean(2)
    contrast = x.flatten(2).topk(count).values.mean(2) - x.flatten(2).topk(
        count, largest=False
    ).values.mean(2)
    widest = contrast.argmax(1, keepdim=True)
    return (contrast / slope).gather(1, widest)[:, 0]
