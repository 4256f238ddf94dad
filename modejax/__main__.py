"""`python -m modejax` is the command line."""

import sys

from modejax.cli import main

if __name__ == "__main__":
    sys.exit(main())
