"""Lessons 12 and 14. The shapes of the three networks by name, from a laptop's to the paper's.

>>> CONFIGS["small"]["base"].widths
(32, 64, 128, 192)

What training holds beside the activations is 20 bytes a parameter: the weights, their gradients,
two moments and the average, 4 bytes each. `text_width` is that of the text encoder which the shape
is meant for; training takes the width of the encoder that it gets. docs/CONFIGS.md has the
parameters and the arithmetic of each.
"""

from minimagen.unet import PAPER, UNetConfig

# For a CPU: half an hour shows something, a day or two makes what this project ships. 0.2 GB in
# training. At 32 channels a group has 8: with one channel a group, every drawing bears one bright
# spot at the same place (Karras et al. 2020, section 2, on StyleGAN's droplets).
_ENLARGER = UNetConfig(
    32,
    (1, 2, 3),
    (1, 1, 2),
    (None, None, "cross"),
    text_width=128,
    lowres=True,
    patch=2,
    groups=4,
)
SMALL = {
    "base": UNetConfig(
        32,
        (1, 2, 4, 6),
        (1, 1, 1, 2),
        (None, None, "self", "self"),
        text_width=128,
        patch=2,
        groups=4,
        head_width=64,
    ),
    "sr256": _ENLARGER,
    "sr1024": _ENLARGER,
}

# For a card of 12 to 16 GB and T5-base: 65 M parameters in the base, 1.3 GB in training.
_MEDIUM_256 = UNetConfig(
    64,
    (1, 2, 4, 8),
    (2, 2, 2, 2),
    (None, None, None, "self"),
    text_width=768,
    lowres=True,
    groups=8,
    head_width=64,
)
MEDIUM = {
    "base": UNetConfig(
        96,
        (1, 2, 3, 4),
        (2, 2, 2, 2),
        (None, "self", "self", "self"),
        text_width=768,
        groups=12,
        head_width=48,
    ),
    "sr256": _MEDIUM_256,
    "sr1024": UNetConfig(
        32,
        (1, 2, 4, 8),
        (1, 2, 2, 2),
        (None, None, None, "cross"),
        text_width=768,
        lowres=True,
        groups=4,
        head_width=64,
    ),
}

# For a card of 80 GB and T5-large: 323 M parameters in the base, about the size of the paper's
# ablations (300 M, Imagen, section 4.3); 6.5 GB in training.
LARGE = {
    "base": UNetConfig(
        192,
        (1, 2, 3, 4),
        (3, 3, 3, 3),
        (None, "self", "self", "self"),
        text_width=1024,
        groups=24,
        head_width=64,
    ),
    "sr256": UNetConfig(
        128,
        (1, 2, 4, 8),
        (2, 2, 4, 4),
        (None, None, None, "self"),
        text_width=1024,
        lowres=True,
        groups=16,
        head_width=64,
    ),
    "sr1024": UNetConfig(
        64,
        (1, 2, 4, 8),
        (2, 2, 4, 4),
        (None, None, None, "cross"),
        text_width=1024,
        lowres=True,
        groups=8,
        head_width=64,
    ),
}

CONFIGS = {"small": SMALL, "medium": MEDIUM, "large": LARGE, "paper": PAPER}
