"""`python -m samjax` is the command `samjax`."""

import sys

from samjax.cli import main

if __name__ == "__main__":
    sys.exit(main())
