"""Tries mutants of the package: torch and pytest are imported once, each is a fork.

Reads [edits, tests] as JSON lines from stdin; for each it lays out a copy of the
repository whose links lead to the files, but for the one that is edited, runs the tests
there, and writes pytest's exit status, the seconds, and the last lines.
"""

import ctypes
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = 90
PR_SET_CHILD_SUBREAPER = 36


def lay_out(folder: Path, edits: list[tuple[str, str, str]]) -> None:
    """A copy of the repository made of links, with `edits` (file, old, new) applied."""
    for path in REPOSITORY.iterdir():
        if path.name not in (".git", "gancourse", "gancourse-runs"):
            (folder / path.name).symlink_to(path)
    shutil.copytree(
        REPOSITORY / "gancourse",
        folder / "gancourse",
        copy_function=os.symlink,
        ignore=shutil.ignore_patterns("__pycache__", "assets"),
    )
    (folder / "gancourse" / "assets").symlink_to(REPOSITORY / "gancourse" / "assets")
    for name, old, new in edits:
        file = folder / "gancourse" / name
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}"
        file.unlink()
        file.write_text(text.replace(old, new), encoding="utf-8")


def run_tests(folder: Path, tests: list[str], log: int) -> int:
    """pytest's exit status for the tests, run against the copy in `folder`."""
    import pytest

    os.chdir(folder)  # what a mutant deletes by mistake is a link
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.path.insert(0, str(folder))
    os.environ |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    os.environ["GANCOURSE_FAULT_COUNTS"] = str(folder / "counts.jsonl")
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST"):
        os.environ.pop(name, None)
    options = ["-c", str(REPOSITORY / "pyproject.toml"), "--rootdir", str(REPOSITORY)]
    options += ["-n", "0", "-x", "-q", "--tb=line", "-p", "no:cacheprovider", "-m", ""]
    options += [f"--basetemp={folder.parent / 'tmp'}"]
    ids = [str(REPOSITORY / test) for test in tests]
    status = pytest.main([*options, *ids])
    import gancourse

    here = Path(gancourse.__file__).parent
    assert here == folder / "gancourse", f"the copy was not tested but {here}"
    return int(status)


def attempt(edits: list, tests: list[str]) -> dict:
    """Exit status (None: it hung and was killed), seconds, end of the output."""
    world, began = Path(tempfile.mkdtemp(prefix="mutant-")), time.monotonic()
    folder = world / "copy"
    folder.mkdir()
    lay_out(folder, edits)
    log = os.open(world / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    child = os.fork()
    if not child:
        status = 70
        try:
            status = run_tests(folder, tests, log)
        finally:
            sys.stdout.flush()
            os._exit(status)
    os.close(log)
    while time.monotonic() < began + SECONDS:
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.02)
    else:
        code = None
    status = None if code is None else os.waitstatus_to_exitcode(code)
    end_all_children()
    said = (world / "log").read_text(errors="replace")[-1500:]
    shutil.rmtree(world, ignore_errors=True)
    return dict(status=status, seconds=round(time.monotonic() - began, 1), said=said)


def end_all_children() -> None:
    """Kill what a mutant left running; orphans come to us, for we asked for them."""
    for _ in range(50):
        ours = [
            int(entry.name)
            for entry in Path("/proc").glob("[0-9]*")
            if parent(entry) == os.getpid()
        ]
        if not ours:
            return
        for pid in ours:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def warm_up() -> None:
    """Import what tests need, nothing of ours, and make a first optimizer."""
    import matplotlib.pyplot  # noqa: F401
    import numpy  # noqa: F401
    import PIL.Image  # noqa: F401
    import pytest
    import torch

    torch.set_num_threads(1)
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)  # by hand: autograd must not run before a fork
    for optimizer in (torch.optim.SGD, torch.optim.Adam):
        optimizer([weight], 0.0).step()
    with tempfile.TemporaryDirectory() as empty:  # loads pytest's plugins
        pytest.main(
            ["-q", "-n", "0", "-c", os.devnull, "-p", "no:cacheprovider", empty]
        )
    assert "gancourse" not in sys.modules


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # A job in the background starts with Ctrl-C ignored, and hands that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warm_up()
    for line in sys.stdin:
        edits, tests = json.loads(line)
        answers.write(json.dumps(attempt(edits, tests)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
