"""The command line: `minimagen draw | train | evaluate | info`."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

from minimagen.cli.parser import parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a mistake in what was asked prints one line and gives exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        # An emoji in a prompt must not stop a terminal that cannot show it.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    args = parser().parse_args(arguments)
    try:
        with _notes():
            return args.run(args) or 0
    except BrokenPipeError:
        # Whoever read the output has read enough; what is left must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"minimagen: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:  # a training says what it can go on from
        print(": ".join(["minimagen: stopped", *map(str, interrupt.args)]), file=sys.stderr)
        return 130


@contextlib.contextmanager
def _notes() -> Iterator[None]:
    """While a command runs, each warning is one line on stderr, by way of Python's logging."""
    handler, logger = logging.StreamHandler(), logging.getLogger("py.warnings")
    handler.setFormatter(logging.Formatter("minimagen: note: %(message)s"))
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *place: str(message)  # whose line it is helps nobody
    logging.captureWarnings(True)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logging.captureWarnings(False)
        warnings.formatwarning = before
