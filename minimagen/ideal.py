"""Lesson 04. Exact denoisers: E[x0 | z] of a finite or Gaussian data set, without training.

>>> ideal = Ideal(torch.tensor([[-1.0], [1.0]]))  # two pictures of one pixel
>>> half_way = torch.zeros(1, 1), torch.zeros(1)
>>> ideal(*half_way).x0.item()  # it could be either
0.0
>>> ideal(*half_way, cond=None).eps.item()
0.0
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from minimagen.denoiser import Prediction
from minimagen.noise import alpha_sigma, expand


@dataclass(frozen=True)
class IdealGaussian:
    """x0 = mean + alpha std^2 / (alpha^2 std^2 + sigma^2) (z - alpha mean).

    It is the exact denoiser of N(mean, std^2). mean and std are numbers, or tensors that broadcast
    with z. A function (z, logsnr, cond=None) -> Prediction; cond is not used. Lesson 04.
    """

    mean: float | Tensor
    std: float | Tensor

    def __call__(self, z: Tensor, logsnr: Tensor, cond=None) -> Prediction:
        mean, variance = torch.as_tensor(self.mean).to(z), torch.as_tensor(self.std).to(z) ** 2
        alpha, sigma = alpha_sigma(logsnr.to(z), z.ndim)
        return Prediction(
            z,
            logsnr,
            mean + alpha * variance / (alpha**2 * variance + sigma**2) * (z - alpha * mean),
        )


@dataclass(frozen=True)
class Ideal:
    """The exact denoiser of an equal mixture of N(data_i, std^2): x0 = sum_i p(i | z) E[x0 | z, i].

    p(i | z) = softmax_i(-|z - alpha data_i|^2 / (2 (alpha^2 std^2 + sigma^2))), and E[x0 | z, i] is
    `IdealGaussian`'s. data (N, ...); std >= 0, where 0 is the data set itself; labels (N,) integers
    or None. A function (z, logsnr, cond=None) -> Prediction: cond (B,) labels keeps, in each row,
    only the data of that label. It works in the dtype of data or z, whichever is finer, and holds B
    x N x the size of a picture in memory. Raises `ValueError` on a negative std, on labels that are
    not one a picture, on a z of another shape, and on a cond that names a label with no data.
    Lesson 04.
    """

    data: Tensor
    std: float = 0.0
    labels: Tensor | None = None

    def __post_init__(self):
        if not self.std >= 0:
            raise ValueError(f"std must be 0 or more, got {self.std}")
        if self.labels is not None and self.labels.shape != self.data.shape[:1]:
            raise ValueError(
                f"labels must be ({len(self.data)},), one a picture, got {tuple(self.labels.shape)}"
            )

    def __call__(self, z: Tensor, logsnr: Tensor, cond: Tensor | None = None) -> Prediction:
        log_p, centre = self._posterior(z, logsnr)
        if cond is not None:
            belongs = self._labels(z) == cond.to(z.device)[:, None]
            if not bool(belongs.any(1).all()):
                raise ValueError(f"cond must name labels that the data has, got {cond.tolist()}")
            log_p = log_p.masked_fill(~belongs, -torch.inf)
        weight = expand(log_p.softmax(1), z.ndim + 1)
        return Prediction(z, logsnr, (weight * centre).sum(1).to(z.dtype))

    def classify(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """The exact classifier of noisy pictures: logits (B, K) = log p(z, c).

        K is the largest label + 1. Lesson 07.
        """
        labels = self._labels(z)
        log_p, _ = self._posterior(z, logsnr)
        rows = [
            log_p.masked_fill(labels != c, -torch.inf).logsumexp(1)
            for c in range(int(labels.max()) + 1)
        ]
        return torch.stack(rows, 1)

    def _posterior(self, z: Tensor, logsnr: Tensor) -> tuple[Tensor, Tensor]:
        """log p(z | i) up to a constant (B, N), and E[x0 | z, i] (B, N, ...)."""
        if z.shape[1:] != self.data.shape[1:]:
            raise ValueError(
                f"z must hold pictures of shape {tuple(self.data.shape[1:])}, got "
                f"{tuple(z.shape[1:])}"
            )
        fine = torch.promote_types(self.data.dtype, z.dtype)
        data = self.data.to(z.device, fine)[None]
        alpha, sigma = alpha_sigma(logsnr.to(z.device, fine), z.ndim + 1)
        spread = alpha**2 * self.std**2 + sigma**2
        # The difference is taken before the square: at logsnr = 20 an expanded square would lose
        # every digit.
        error = z.to(fine)[:, None] - alpha * data
        log_p = -(error.square() / (2 * spread)).flatten(2).sum(2)
        return log_p, data + alpha * self.std**2 / spread * error

    def _labels(self, z: Tensor) -> Tensor:
        if self.labels is None:
            raise ValueError(
                "labels must be given to the data before a condition or a classifier can use "
                "them, got None"
            )
        return self.labels.to(z.device)[None]
