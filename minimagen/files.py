"""Where the shipped files lie, and how a file is written so that nothing is ever half there."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError


def shipped(name: str) -> Path:
    """The path of a shipped file or folder, for example `shipped("weights")`.

    An installed wheel carries the data inside the package; a checkout keeps it in `data/` beside
    the package. The path is not checked: whoever opens it says what is missing.
    """
    inside = Path(__file__).parent / "_data"
    return (inside if inside.is_dir() else Path(__file__).parents[1] / "data") / name


def cache_folder() -> Path:
    """Where rasters and embeddings are kept between runs: `$MINIMAGEN_CACHE`, else
    `~/.cache/minimagen`.
    """
    return Path(os.environ.get("MINIMAGEN_CACHE") or Path.home() / ".cache" / "minimagen")


def make_folder(out: str | os.PathLike) -> Path:
    """The folder of that path, made where it is missing. Raises `ValueError` naming the argument
    when a file is in its way.
    """
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"out must be a folder, but {error.filename} is a file") from error
    return Path(out)


def write(path: str | os.PathLike, save: Callable[[Path], object]) -> Path:
    """Call `save` on a temporary name beside `path`, then rename: a reader sees the old file or the
    whole new one.

    Raises `OSError` naming `path` when the disk is full or the folder cannot be written; the old
    file stays.
    """
    path = Path(path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(temporary)
        os.replace(temporary, path)
    except (
        OSError,
        SafetensorError,
    ) as error:  # safetensors tells of a full disk with an error of its own
        code, reason = getattr(error, "errno", None), getattr(error, "strerror", None) or error
        told = f"could not write {path}: {reason}"
        raise (OSError(code, told) if code else OSError(told)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path
