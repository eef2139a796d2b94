"""`python -m gancourse`, the form that torchrun can start."""

import os
import sys

from gancourse.cli import main


def leave(status: int) -> None:
    """End this process with `status`; under torchrun without Python's own clearing up.

    Threads of gloo may live on after their group is gone, and a thread that wants
    Python while it is being cleared up ends the process with SIGABRT, long after all
    was saved (pytorch/pytorch#179291).
    """
    if "WORLD_SIZE" not in os.environ:
        sys.exit(status)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    leave(main())
