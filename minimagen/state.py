"""Lesson 11. All that a stopped training run needs to go on, kept in one safetensors file."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from minimagen.checkpoint import Settings
from minimagen.files import write
from minimagen.learner import Learner
from minimagen.recipes import Recipe

STATE = "state.safetensors"  # the file's name in a run's folder
UNFIT = (OSError, SafetensorError, AttributeError, KeyError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Config:
    """What decides a run: runs of the same `Config` end in the same weights."""

    recipe: Recipe
    items: int  # in the data set
    encoder: str  # its name, or the path of its folder
    fingerprint: str  # of the encoder
    choices: dict = field(default_factory=dict)  # what else two runs must agree in, by name
    leg: int = 1  # 1 + how many runs this training had before, each from the last one's weights
    seed: int = 0  # of the first weights and of the noise

    @classmethod
    def of(cls, values: dict) -> "Config":
        """The inverse of `dataclasses.asdict`, also after a journey through JSON."""
        recipe = values["recipe"]
        recipe = Recipe(**{**recipe, "settings": Settings(**recipe["settings"])})
        return cls(**{**values, "recipe": recipe})

    def by_name(self) -> dict:
        """All that a resumed run must agree in, by the names that the command line has for it.

        How often the state is saved may change from one sitting to the next.
        """
        recipe = {name: getattr(self.recipe, name) for name in Recipe.__dataclass_fields__}
        del recipe["save"]
        encoder = f"{self.encoder} (fingerprint {self.fingerprint[:12]})"
        size = self.recipe.settings.size
        rest = {"text_encoder": encoder, "items": self.items, "seed": self.seed}
        return {**self.choices, "size": size, **recipe, **rest}


def save_state(path: Path, learner: Learner, config: Config) -> None:
    """Write all of the learner, with its step and `config` in the file's head.

    Written to a temporary name and renamed, so that a kill loses nothing.
    """
    leaves = {json.dumps(place): leaf for place, leaf in _leaves(learner.state_dict())}
    tensors = {place: _packed(leaf) for place, leaf in leaves.items() if isinstance(leaf, Tensor)}
    others = {place: leaf for place, leaf in leaves.items() if not isinstance(leaf, Tensor)}
    head = {"step": learner.step, "config": asdict(config), "others": others}
    head = {name: json.dumps(value) for name, value in head.items()}
    write(path, lambda temporary: save_file(tensors, temporary, head))


def load_state(path: Path, learner: Learner) -> None:
    """Put a state written by `save_state` back into a learner of the same shape.

    Raises `ValueError` naming the file when it is missing, cut short, or of another network.
    """
    try:
        with safe_open(path, "pt") as file:
            leaves = json.loads(file.metadata()["others"])
            for place in file.keys():  # noqa: SIM118  (not a dictionary)
                # A copy: Windows replaces no file that is still mapped into memory.
                leaves[place] = file.get_tensor(place).clone()
        nested = _nested((json.loads(place), leaf) for place, leaf in leaves.items())
        learner.load_state_dict(nested)
    except UNFIT as error:
        raise _unfit(path, error) from error


def read_head(path: Path) -> tuple[int, Config]:
    """The step of a state, and what decides its run; reads no tensor.

    Raises `ValueError` as `load_state` does.
    """
    try:
        with safe_open(path, "pt") as file:
            head = file.metadata()
        return json.loads(head["step"]), Config.of(json.loads(head["config"]))
    except UNFIT as error:
        raise _unfit(path, error) from error


def kept(out: str | Path) -> tuple[int, Config | None]:
    """The step that the run in a folder has come to, and what decides it; (0, None) without one.

    Raises `ValueError` naming the state when it is damaged.
    """
    path = Path(out) / STATE
    return read_head(path) if path.exists() else (0, None)


def check_same(out: Path, config: Config) -> None:
    """Raise `ValueError`, naming what differs, unless the run in `out` is the one of `config`."""
    _, first = kept(out)
    if first.fingerprint == config.fingerprint:  # the same encoder, be it by another name
        first = replace(first, encoder=config.encoder)
    before, now = first.by_name(), config.by_name()
    for name in {**now, **before}:
        if before.get(name) != now.get(name):
            raise ValueError(
                f"{name} must be {before.get(name)!r}, with which the run in {out} began, got "
                f"{now.get(name)!r}: leave it out, or begin a new leg elsewhere with --from {out}"
            )


def _unfit(path: Path, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())[:300]  # torch lists every tensor
    return ValueError(f"{path} must be the state of this very training run, whole: {reason}")


def _packed(tensor: Tensor) -> Tensor:
    """A copy in plain order with memory of its own, as safetensors wants it."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _leaves(value, place: tuple = ()) -> Iterator[tuple[tuple, object]]:
    """Each value that is no dictionary, and each empty one, with the keys that lead to it."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*place, key))
    else:
        yield place, value


def _nested(leaves: Iterable[tuple[list, object]]) -> dict:
    """The inverse of `_leaves`."""
    root: dict = {}
    for place, leaf in leaves:
        inner = root
        for key in place[:-1]:
            inner = inner.setdefault(key, {})
        inner[place[-1]] = leaf
    return root
