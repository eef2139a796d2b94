"""Whether tests may have a network and mounts of their own, as `unshare` gives them."""

import subprocess

import pytest


def user_namespaces() -> bool:
    try:
        done = subprocess.run(["unshare", "-rmn", "true"], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


can_unshare = pytest.mark.skipif(not user_namespaces(), reason="no user namespaces")
