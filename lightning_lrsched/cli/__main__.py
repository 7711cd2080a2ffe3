"""``python -m lightning_lrsched.cli``, where the program is not on the path."""

import sys

from lightning_lrsched.cli import main

if __name__ == "__main__":
    sys.exit(main())
