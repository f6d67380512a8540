"""The command line: `minimagen draw | train | evaluate | info`."""

import os
import sys
import warnings

from minimagen.cli.parser import parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a mistake in what was asked prints one line and gives exit status 2."""
    for stream in (sys.stdout, sys.stderr):
        # An emoji in a prompt must not stop a terminal that cannot show it.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    args = parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *rest, **more: print(
                f"minimagen: note: {message}", file=sys.stderr
            )
            return args.run(args) or 0
    except BrokenPipeError:
        # Whoever read the output has read enough; what is left must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"minimagen: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("minimagen: stopped", file=sys.stderr)
        return 130
