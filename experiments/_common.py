"""What the experiments share: who measured, with which weights, drawing in batches, intervals, and
files of figures that several processes may fill.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor

from minimagen.cascade import Cascade
from minimagen.evaluation.metrics import bootstrap, share_interval
from minimagen.files import shipped, write
from minimagen.text import TextEncoder

RESULTS = Path(__file__).with_name("results")
BATCH = 32  # pictures drawn side by side


# --- the command line, and who measured ---


def parser(doc: str, out: str) -> argparse.ArgumentParser:
    """A command line described by the first paragraph of `doc`, with --out: results/OUT by
    default.
    """
    first = " ".join(doc.partition("\n\n")[0].split())
    new = argparse.ArgumentParser(description=first)
    new.add_argument(
        "--out",
        type=Path,
        default=RESULTS / out,
        help=f"where the figures go (default: experiments/results/{out})",
    )
    return new


def command(name: str, arguments: Sequence[str] | None = None) -> str:
    """The command of the experiment of that name, with the arguments of this process or others."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return " ".join(["python", "-m", f"experiments.{name}", *arguments])


def processor() -> str:
    """The name of this machine's processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def machine() -> str:
    """Where it is measured: the processor, threads of cores, and the version of torch."""
    cores = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    return f"{processor()}, {cores}, torch {torch.__version__}"


# --- weights and drawings ---


def digest(folder: Path) -> str:
    """The sha256 of the weights in a stage's folder."""
    return hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()


def shipped_base() -> Cascade:
    """The shipped base alone, on the CPU, where the same seed gives the same picture."""
    return Cascade.load(shipped("weights") / "base", device="cpu")


def draw(cascade: Cascade, captions: Sequence[str], seed: int = 0, **changes) -> Tensor:
    """The last picture of each caption, drawn `BATCH` at a time: (N, 3, H, W) in [-1, 1].

    Picture i has the seed `seed` + i, as in `Cascade.draw`, which takes `changes` too.
    """
    starts = range(0, len(captions), BATCH)
    return torch.cat(
        [cascade.draw(list(captions[i : i + BATCH]), seed + i, **changes)[-1] for i in starts]
    )


def untrained_encoder(seed: int, folder: Path | None = None) -> TextEncoder:
    """A T5 like the shipped one or the one in `folder`, its weights as before any training."""
    encoder = TextEncoder(folder, device="cpu")
    torch.manual_seed(seed)
    encoder.model = type(encoder.model)(encoder.model.config).eval().requires_grad_(False)
    return encoder


# --- figures ---


def mean(values: Tensor) -> dict[str, float]:
    """The mean of values (N,) with its 95 % bootstrap interval."""
    low, high = bootstrap(values)
    return {"value": values.double().mean().item(), "low": low, "high": high}


def share(right: Tensor) -> dict[str, float]:
    """The share of True in verdicts (N,) with its 95 % Wilson interval."""
    low, high = share_interval(right)
    return {"value": right.double().mean().item(), "low": low, "high": high}


def rounded(row: dict[str, float], digits: int) -> dict[str, float]:
    return {name: round(value, digits) for name, value in row.items()}


def write_json(path: Path, content: dict) -> None:
    """The content as JSON, written by rename: a reader sees the old file or the whole new one."""
    text = json.dumps(content, indent=1) + "\n"
    write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_results(path: Path, settings: dict) -> dict:
    """What a file of figures holds: the settings that they were measured with, and the figures.

    Where there is no file yet, the settings alone. Ends the script when the file was measured with
    other settings, since figures of two kinds in one file would be compared.
    """
    settings = json.loads(json.dumps(settings))  # as a file would hold them: tuples become lists
    if not path.exists():
        return settings
    kept = json.loads(path.read_text(encoding="utf-8"))
    differ = [name for name, value in settings.items() if kept.get(name) != value]
    if differ:
        raise SystemExit(
            f"{path.name} holds figures with another {', '.join(differ)}: remove it, or choose "
            "another --out"
        )
    return kept


@contextmanager
def results(path: Path, settings: dict) -> Iterator[dict]:
    """What `read_results` gives, to be changed inside the block and written at its end.

    A lock keeps other processes out meanwhile, so several may fill one file. Where the block
    raises, the file stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        kept = read_results(path, settings)
        yield kept
        write_json(path, kept)


def merged(old: Sequence[dict], new: Sequence[dict], place: Callable[[dict], object]) -> list[dict]:
    """The points of both in the order of their `place`; a new one replaces an old one of its
    place.
    """
    fresh = {place(point) for point in new}
    return sorted([point for point in old if place(point) not in fresh] + list(new), key=place)


def note_run(kept: dict, name: str) -> None:
    """Add this command and machine to the runs that made the file, once."""
    run = {"command": command(name), "machine": machine()}
    runs = kept.setdefault("runs", [])
    if run not in runs:
        runs.append(run)
