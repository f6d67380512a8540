"""Where the shipped files lie, and how a file is written so that nothing is ever half there."""

import contextlib
import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout
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
    ) as error:  # safetensors has an error of its own for a full disk
        code, reason = getattr(error, "errno", None), getattr(error, "strerror", None) or error
        message = f"could not write {path}: {reason}"
        raise (OSError(code, message) if code else OSError(message)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path


def remove_temporaries(path: Path) -> None:
    """Remove what a killed `write` to `path` left beside it. Only for one who alone writes there.

    path: a file, or a pattern such as `folder / "*.png"`.
    """
    for temporary in path.parent.glob(f".*.{path.name}"):
        if re.match(r"\.\d+\.", temporary.name):
            temporary.unlink(missing_ok=True)


class FolderLock:
    """A folder held for one process: made where it is missing, and until `release` or the process's
    end nobody else gets it.

    Raises `ValueError` saying who holds it, and since when, when another does, and when a file is
    in its way.
    """

    def __init__(self, folder: Path):
        self.lock = FileLock(make_folder(folder) / ".lock")
        self.holder = folder / ".holder"
        try:
            self.lock.acquire(timeout=0)
        except Timeout as error:
            raise ValueError(
                f"out must be a folder that nobody else trains in, but {folder} is held by "
                f"{self._holder()}"
            ) from error
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        text = f"process {os.getpid()} on {platform.node()} since {since}"
        try:
            write(self.holder, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        except OSError:
            self.lock.release()
            raise

    def release(self) -> None:
        self.holder.unlink(missing_ok=True)
        self.lock.release()

    def _holder(self) -> str:
        with contextlib.suppress(OSError):
            return self.holder.read_text(encoding="utf-8")
        return "another process"
