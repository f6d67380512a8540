"""From a sentence to a 1024x1024 picture: a text-to-image diffusion cascade, small enough to read.

The handful of names that the README's example needs are found here, each loaded from its module
when it is first used, so that `import minimagen` stays cheap. Everything else is imported from the
module that the lesson of its derivation names: `from minimagen.guidance import guided`.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "Cascade": "minimagen.cascade",
    "TextEncoder": "minimagen.text",
    "guided": "minimagen.guidance",
    "sample": "minimagen.samplers",
    "thresholded": "minimagen.thresholding",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'minimagen' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
