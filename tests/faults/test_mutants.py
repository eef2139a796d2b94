"""A guard that could be taken out unseen is no guard: each mutant fails its test.

By default five of them, the quickest; under `full` all, in a copy of the package.
"""

import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
from counts import count
from mutants import MUTANTS

REPOSITORY = Path(__file__).resolve().parents[2]
SERVER = Path(__file__).with_name("mutant_server.py")
FEW = {
    "hash not compared",
    "weights_only=False",
    "RNG skipped",
    "finite check dropped",
    "allow-list removed",
}

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="forks, and looks for orphans in /proc"
)


@pytest.fixture(scope="module")
def server():
    """Asks the server for the outcome of (edits, tests)."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(SERVER)],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def ask(edits, tests):
        process.stdin.write(json.dumps([edits, tests]) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield ask
    process.kill()
    process.communicate()


@lru_cache
def where(test: str) -> str:
    """The id of a test that is named by its function, in whatever file it stands."""
    function = f"def {test.partition('[')[0]}("
    files = sorted((REPOSITORY / "tests").rglob("test_*.py"))
    (file,) = [f for f in files if function in f.read_text(encoding="utf-8")]
    return f"{file.relative_to(REPOSITORY).as_posix()}::{test}"


def edits(mutant):
    pairs = [(mutant.old, mutant.new), *mutant.also]
    return [(mutant.file, old, new) for old, new in pairs]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_what_a_mutant_changes_and_who_sees_it_stands_there_exactly_once(mutant):
    text = (REPOSITORY / "gancourse" / mutant.file).read_text(encoding="utf-8")
    for _, old, new in edits(mutant):
        assert text.count(old) == 1 and old != new
    assert where(mutant.test)


def test_there_are_sixty_mutants_each_with_a_name_of_its_own():
    assert len({m.name for m in MUTANTS}) == len(MUTANTS) >= 60


@pytest.mark.parametrize(
    "mutant",
    [m if m.name in FEW else pytest.param(m, marks=pytest.mark.full) for m in MUTANTS],
    ids=lambda m: m.name,
)
def test_a_mutant_does_not_survive(mutant, server):
    outcome = server(edits(mutant), [where(mutant.test)])
    # 1: tests ran and failed. None: the mutant hung, which a test notices as well.
    assert outcome["status"] in (1, None), outcome["said"]
    count("mutants", "mutants of our own guards, all caught", 1)


@pytest.mark.parametrize(
    "tests",
    [
        sorted({m.test for m in MUTANTS if m.name in FEW}),
        pytest.param(sorted({m.test for m in MUTANTS}), marks=pytest.mark.full),
    ],
    ids=["few", "all"],
)
def test_without_a_mutation_the_same_tests_pass(tests, server):
    outcome = server([], [where(test) for test in tests])
    assert outcome["status"] == 0, outcome["said"]
