"""`python -m gancourse`, the form that torchrun can start."""

import sys

from gancourse.cli import main

if __name__ == "__main__":
    sys.exit(main())
