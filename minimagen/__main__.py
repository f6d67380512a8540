"""`python -m minimagen` is the command `minimagen`."""

import sys

from minimagen.cli import main

if __name__ == "__main__":
    sys.exit(main())
