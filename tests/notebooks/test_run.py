"""Every notebook runs from top to bottom: no network, an empty home, another folder.

By default each runs in the profile `quick`, cell by cell under nbval. With `-m full`
each runs in the profile `cpu` through `gancourse run`, its metrics held to their bands.
Two notebooks run at a time, one thread each.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import nbformat
import pytest
from faults.counts import count

from gancourse import runs

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))

# Refuses connections that leave the machine, in every Python that starts with it on its
# path: for systems where a process may not be given a network of its own.
GUARD = """
import errno, ipaddress, socket

def _check(name):
    try:
        here = name in ("", "localhost", None)
        local = here or ipaddress.ip_address(name).is_loopback
    except ValueError:
        local = False
    if not local:
        raise OSError(errno.ENETUNREACH, f"no network in this run: {name}")

class _Socket(socket.socket):
    def connect(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _check(address[0])
        return super().connect(address)

    def connect_ex(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _check(address[0])
        return super().connect_ex(address)

_look_up = socket.getaddrinfo

def _getaddrinfo(host, *rest, **more):
    _check(host.decode() if isinstance(host, bytes) else host)
    return _look_up(host, *rest, **more)

socket.socket, socket.getaddrinfo = _Socket, _getaddrinfo
"""


@lru_cache(maxsize=1)
def own_network() -> tuple[str, ...]:
    """What to put before a command to give it a network of its own with nothing in it.

    Empty where the system does not allow that. The loopback has to be brought up, or a
    kernel cannot talk to its client.
    """
    script = 'ip link set lo up && exec "$@"'
    prefix = ("unshare", "-rn", "sh", "-c", script, "offline")
    try:
        allowed = subprocess.run([*prefix, "true"], capture_output=True).returncode == 0
    except OSError:
        allowed = False
    return prefix if allowed else ()


def run_offline(command: list, folder: Path, seconds: float, **variables: str):
    """Run `command` in a new folder inside `folder`, without network, home or settings.

    Returns the finished process with stdout and stderr as one text.
    """
    home, guard, cwd = (folder / part for part in ("home", "guard", "ü ñ"))
    for path in (home, guard, cwd):
        path.mkdir(parents=True, exist_ok=True)
    (guard / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    kept = ("PATH", "LANG", "SYSTEMROOT", "LD_LIBRARY_PATH", "TMPDIR")
    environment = {key: os.environ[key] for key in kept if key in os.environ}
    environment |= {
        "HOME": str(home),
        "PYTHONPATH": str(guard),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
        **variables,
    }
    return subprocess.run(
        [*own_network(), *map(str, command)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds,
    )


def nbval(path: Path, folder: Path, cell_seconds: float = 120):
    """Run each cell of a copy of the notebook at `path`."""
    cwd = folder / "ü ñ"
    cwd.mkdir(parents=True, exist_ok=True)
    copy = shutil.copy(path, cwd)
    command = [
        sys.executable,
        "-m",
        "pytest",
        copy,
        "--nbval-lax",
        "--nbval-current-env",
    ]
    command += [f"--nbval-cell-timeout={cell_seconds}", "-c", os.devnull]
    command += ["--rootdir", cwd, "-p", "no:cacheprovider", "--color=no", "-q"]
    return run_offline(command, folder, 900, GANCOURSE_PROFILE="quick")


def passed(report: str) -> int:
    found = re.search(r"(\d+) passed", report)
    return int(found[1]) if found else 0


class Ahead:
    """Results of `job(name)` for the tests that are going to ask: two run at a time."""

    def __init__(self, job, names):
        self.job = job
        self.pool = ThreadPoolExecutor(2)
        self.started = {name: self.pool.submit(job, name) for name in names}

    def __call__(self, name: str):
        return (self.started.get(name) or self.pool.submit(self.job, name)).result()


def asked_for(request, test: str) -> list[str]:
    """Notebooks whose `test` was selected; none under xdist: it has its own workers."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return []
    items = [item for item in request.session.items if item.originalname == test]
    return [item.callspec.params["name"] for item in items]


# ------------------------------------------------------------------ quick: every cell


@pytest.fixture(scope="module")
def quick(request, tmp_path_factory):
    def job(name):
        return nbval(FOLDER / f"{name}.ipynb", tmp_path_factory.mktemp(name))

    runs = Ahead(job, asked_for(request, "test_every_cell_runs_in_profile_quick"))
    yield runs
    runs.pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_runs_in_profile_quick(name, quick):
    done = quick(name)
    if done.returncode:
        pytest.fail(f"{name}\n{done.stdout}", pytrace=False)
    cells = nbformat.read(FOLDER / f"{name}.ipynb", 4).cells
    assert passed(done.stdout) == sum(cell.cell_type == "code" for cell in cells)


def test_a_kernel_in_these_runs_has_no_network(tmp_path):
    book = book_of(
        "import errno, socket",
        "try:\n    socket.create_connection(('192.0.2.1', 80), timeout=5)\n"
        "except OSError as error:\n    assert error.errno == errno.ENETUNREACH",
        "try:\n    socket.getaddrinfo('example.org', 80)\n"
        "except OSError:\n    pass\nelse:\n    raise AssertionError('found')",
    )
    done = nbval(write(book, tmp_path / "99_network.ipynb"), tmp_path)
    assert done.returncode == 0, done.stdout
    assert passed(done.stdout) == 4


# ------------------------------------------------------------------ full: bands


@pytest.fixture(scope="module")
def full(request, tmp_path_factory):
    def job(name):
        folder = tmp_path_factory.mktemp(f"full{name}")
        command = [
            sys.executable,
            "-m",
            "gancourse",
            "run",
            name[:2],
            "--profile",
            "cpu",
        ]
        command += ["--out", folder / "out", "--json", folder / "result.json"]
        return folder, run_offline(command, folder, 1500)

    runs = Ahead(
        job, asked_for(request, "test_metrics_of_profile_cpu_lie_in_their_bands")
    )
    yield runs
    runs.pool.shutdown(cancel_futures=True)


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_metrics_of_profile_cpu_lie_in_their_bands(name, full):
    folder, done = full(name)
    if done.returncode:
        pytest.fail(f"{name}\n{done.stdout}", pytrace=False)
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert result["profile"] == "cpu"
    (book,) = result["notebooks"]
    print(f"{name}: {book['seconds']:.0f} s")
    assert book["ok"] and book["error"] is None
    assert book["metrics"], "the notebook reported no metric"
    for metric, (low, high) in book["bands"].items():
        value = book["metrics"][metric]
        assert low <= value <= high, f"{metric} = {value} is outside [{low}, {high}]"


# ------------------------------------------------------------------ honest runners


def book_of(*sources: str) -> nbformat.NotebookNode:
    book = nbformat.v4.new_notebook()
    book.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    parameters = nbformat.v4.new_code_cell('profile = "auto"\nseed = 0')
    parameters.metadata["tags"] = ["parameters"]
    book.cells = [parameters, *map(nbformat.v4.new_code_cell, sources)]
    return book


def write(book, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(book, path)
    return path


SABOTAGED = {
    "a cell that raises": "1 / 0",
    "an assertion that does not hold": "assert 1 == 2",
    "a kernel that dies": "import os; os._exit(0)",
    "a cell that never ends": "while True: pass",
    "a cell that floods its output": "while True: print('flood' * 20)",
    "a magic that fails": "%run not_there.py",
    "a script that fails inside a magic": (
        "open('broken.py', 'w').write('1 / 0')\n%run broken.py"
    ),
}


@pytest.fixture(scope="module")
def sabotaged(request, tmp_path_factory):
    """Outcome of each runner for each fault: exit status of nbval, result of ours."""

    def job(fault):
        folder = tmp_path_factory.mktemp("sabotaged")
        path = write(book_of(SABOTAGED[fault]), folder / "99_sabotaged.ipynb")
        ours = runs.execute(path, folder / "executed.ipynb", {}, cell_seconds=4)
        return nbval(path, folder, cell_seconds=4), ours

    outcomes = Ahead(job, [] if "PYTEST_XDIST_WORKER" in os.environ else SABOTAGED)
    yield outcomes
    outcomes.pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("fault", SABOTAGED)
def test_sabotaged_notebook_is_red_under_both_runners(fault, sabotaged):
    under_nbval, ours = sabotaged(fault)
    assert under_nbval.returncode == 1, under_nbval.stdout
    assert not ours.ok
    assert ours.error and "\n" not in ours.error
    count("F11", "sabotaged notebooks, red", 1)


def test_notebook_whose_metric_leaves_its_band_is_red(tmp_path):
    book = book_of(
        "from gancourse import course",
        "course.report('01', 'smoke', {'v_identity_error': 0.5})",
    )
    path = write(book, tmp_path / "99_outside.ipynb")
    result = runs.execute(path, tmp_path / "executed.ipynb", {}, cell_seconds=60)
    assert not result.ok
    assert "v_identity_error" in result.error
    count("F11", "sabotaged notebooks, red", 1)


def test_notebook_without_a_fault_is_green(tmp_path):
    path = write(book_of("assert profile == 'smoke'"), tmp_path / "99_fine.ipynb")
    profile = {"profile": "smoke"}
    result = runs.execute(path, tmp_path / "executed.ipynb", profile, cell_seconds=60)
    assert result.ok and result.error is None
