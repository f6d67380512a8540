"""Captioned pictures: a data set is a sequence of (uint8 (3, size, size), caption) whose item i
depends on i alone.

>>> from minimagen.data.shapes import Shapes
>>> picture, caption = crops(Shapes(256, kinds={"single": 1.0}), 64)[0]
>>> tuple(picture.shape), caption
((3, 64, 64), 'I would like a green medium-sized square')
"""

from minimagen.data.base import Captioned, Crops, Mixture, batches, crops
from minimagen.data.folder import Folder
from minimagen.data.world import World

__all__ = ["Captioned", "Crops", "Folder", "Mixture", "World", "batches", "crops"]
