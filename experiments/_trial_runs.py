"""The networks of `trial`: the small world that they learn, the variants, and their training."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from experiments._common import untrained_encoder
from minimagen.checkpoint import Settings
from minimagen.data import World
from minimagen.recipes import Recipe
from minimagen.run import Run
from minimagen.state import Config
from minimagen.text import TextEncoder
from minimagen.training import TrainStep
from minimagen.unet import UNetConfig

SIZE, PAGES = 32, 40_000
NETWORK = UNetConfig(
    32,
    (1, 2, 4, 6),
    (1, 1, 1, 2),
    (None, None, "self", "self"),
    text_width=128,
    patch=2,
    head_width=64,
    groups=4,
)  # the best at equal time of experiments/shapes.py
STAGE = Settings(SIZE, "unet", NETWORK, target="x0", steps=16)
RECIPE = Recipe(STAGE, batch=64, rate=1e-3, steps=1500, warm=100, save=150, shift=-2.0)
SMALL = {"nouns": (), "scale": 2}  # of the world: shapes alone, twice as large


class Pages(World):
    """Pages of the small world that come round, with a list of all their captions: each is encoded
    once for all runs. seed: another page comes first.
    """

    def __init__(self, length: int, seed: int):
        super().__init__(SIZE, "train", length=length, **SMALL)
        self.first = seed * length // 2

    def __getitem__(self, i: int) -> tuple[Tensor, str]:
        return super().__getitem__((self.first + i) % self.length)

    @cached_property
    def captions(self) -> list[str]:
        return [self.caption(i) for i in range(self.length)]


# --- the encoders ---


class Table(nn.Module):
    """One fixed random vector a token, whatever stands beside it, in the place of a T5."""

    def __init__(self, tokens: int, width: int, seed: int):
        super().__init__()
        self.config = SimpleNamespace(hidden_size=width)
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("vectors", torch.randn(tokens, width, generator=generator))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.vectors[input_ids])


def random_vectors(seed: int, folder: Path) -> TextEncoder:
    """The tokens of the encoder in the folder, and nothing of what it knows."""
    encoder = TextEncoder(folder, "cpu")
    encoder.model = Table(len(encoder.tokenizer), encoder.width, seed)
    return encoder


def schooled(seed: int, folder: Path) -> TextEncoder:
    return TextEncoder(folder, "cpu")


@dataclass(frozen=True)
class Variant:
    """What one network reads. encoder: (seed, folder) -> encoder; folder: the name of the option
    that says where the encoder lies; attention: of the network.
    """

    says: str
    encoder: Callable[[int, Path], TextEncoder] = schooled
    folder: str = "schooled"
    attention: str = "self"


VARIANTS = {  # the most telling first
    "usual": Variant("the schooled T5, words and pool"),
    "pool alone": Variant("the schooled T5, no attention to words", attention="picture"),
    "random vectors": Variant("one random vector a token", random_vectors),
    "random T5": Variant("a T5 with random weights", untrained_encoder),
    "contrastive": Variant("an encoder taught by captions and pictures", folder="contrastive"),
}


# --- training ---


def recipe(variant: Variant, steps: int, network: UNetConfig = NETWORK) -> Recipe:
    """That of the trial for a variant. network: another one, for tests."""
    attention = tuple(kind and variant.attention for kind in network.attention)
    stage = replace(STAGE, config=replace(network, attention=attention))
    return replace(RECIPE, settings=stage, steps=steps, save=min(RECIPE.save, steps))


def trained(
    recipe: Recipe, encoder: TextEncoder, seed: int, out: Path, pages: int
) -> Iterator[tuple[int, TrainStep]]:
    """Train in a folder, or go on with the run that it holds, step by step: `minimagen.run`.

    seed: of the first weights, of the noise, and of the order of the pages.
    """
    fast = accelerator()
    choices = {"bf16": fast is not None}
    config = Config(recipe, pages, encoder.name, encoder.fingerprint, choices, seed=seed)
    run = Run.set_up(config, Pages(pages, seed), encoder, out, fast)
    if run.state.exists():
        run.check(resume=True)
    else:
        run.begin(None)
    return run.steps()


def half() -> bool:
    """Whether this processor multiplies in bfloat16."""
    flags = Path("/proc/cpuinfo")
    known = flags.read_text(encoding="utf-8") if flags.exists() else ""
    return "avx512_bf16" in known or "amx_bf16" in known


def accelerator():
    """Mixed precision where the processor multiplies in bfloat16, else None."""
    from accelerate import Accelerator

    return Accelerator(mixed_precision="bf16", cpu=True) if half() else None
