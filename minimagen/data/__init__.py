"""Captioned pictures: a data set is a sequence of (uint8 (3, size, size), caption) whose item i
depends on i alone.
"""

from minimagen.data.base import Captioned, Crops, Mixture, batches, crops
from minimagen.data.folder import Folder

__all__ = ["Captioned", "Crops", "Folder", "Mixture", "batches", "crops"]
