"""What several tests share: the contract that every message to a person keeps."""

import os
import sys
import traceback
import types
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

if "PYTEST_XDIST_WORKER" in os.environ:  # two processes, so one thread for each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from gancourse import training
from gancourse.errors import GancourseError

# The first words of what to do next, in any of our messages.
NEXT_STEPS = (
    "Ask", "Change", "Check", "Choose", "Close", "Continue", "Delete", "Draw",
    "Flatten", "Free", "Give", "Go", "Install", "Make", "Name", "Pass", "Put",
    "Reinstall", "Remove", "Reshape", "Resize", "Restart", "Restore", "Run", "Save",
    "Say", "Start", "Stop", "Train", "Try", "Use", "Wait",
)  # fmt: skip
FORBIDDEN = ("weights_only=False", "miniz", "inline_container", "Traceback", "0x7")


def clear(error: BaseException, *named: str) -> str:
    """Hold one exception to the contract; returns its text.

    A GancourseError of at most 400 characters that names what is wrong (`named`), says
    what to do next, hides library internals, and shows no chain of causes.
    """
    text = str(error)
    assert isinstance(error, GancourseError), f"{type(error).__name__}: {text}"
    assert 20 <= len(text) <= 400, f"{len(text)} characters: {text}"
    assert "\n" not in text, text
    for word in FORBIDDEN:
        assert word not in text, text
    for word in named:
        assert word in text, f"{word!r} is not in: {text}"
    sentences = text.replace(", or ", ". ").replace("; ", ". ").split(". ")
    following = any(s.lstrip("( ").startswith(NEXT_STEPS) for s in sentences)
    assert following, f"no next step: {text}"
    assert error.__suppress_context__ or error.__context__ is None, "cause is shown"
    shown = traceback.format_exception_only(error)
    assert len(shown) == 1, shown
    return text


@pytest.fixture
def assert_clear():
    """The helper above, so that any test of the suite can hold a message to it."""
    return clear


@pytest.fixture
def as_on_a_gpu():
    """The loop with a GPU's branch, which looks at logs only, on this CPU."""
    source = Path(training.__file__).read_text()
    assert source.count('device.type != "cuda"') == 1
    module = types.ModuleType("as_on_a_gpu")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(source.replace('device.type != "cuda"', 'device.type != "cpu"'), vars(module))
    yield module
    del sys.modules[module.__name__]


@pytest.hookimpl(trylast=True)  # after tests have been deselected
def pytest_collection_modifyitems(items):
    """Tests that need both cores come first in the share of each process.

    There they take turns among themselves, and wait for no long one.
    """
    shares = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    alone = [item for item in items if item.get_closest_marker("alone")]
    others = [item for item in items if not item.get_closest_marker("alone")]
    ends = [round(k * len(others) / shares) for k in range(shares + 1)]
    items[:] = []
    for k in range(shares):
        items += alone[k::shares] + others[ends[k] : ends[k + 1]]


@pytest.fixture(autouse=True)
def cores(request, tmp_path_factory):
    """A test marked `alone` runs while no other process of the suite has one at work.

    Two threads that share two cores with another process wait at each of their many
    barriers until both are on: 118 s were measured instead of 3.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ or fcntl is None:
        yield
        return
    alone = request.node.get_closest_marker("alone") is not None
    with (tmp_path_factory.getbasetemp().parent / "cores").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
        fcntl.flock(lock, fcntl.LOCK_UN)  # also for children that still hold the file


@pytest.fixture
def threads():
    """Set the number of torch threads; it is put back afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
