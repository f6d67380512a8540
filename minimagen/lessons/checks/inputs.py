"""What the checks of all lessons feed to answers."""

import torch
from torch import Tensor


def normal(*shape: int, seed: int) -> Tensor:
    """Independent draws of N(0, 1) in float64, the same for the same seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
