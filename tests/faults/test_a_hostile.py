"""Part A, hostile files: rows A13, A14, A16 and A19 of the fault list.

`hostile.py` makes the files and opens them in a process of its own, with little memory.
Known and not covered: a pickle whose dictionary has a key of 2^60 nested tuples keeps
torch.load itself busy (hashing it), before anything of ours sees the contents.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from counts import count
from small_games import GAMES

from gancourse import checkpoints
from gancourse.training import train

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """What was said to each hostile file, beside a good run of steps 10, 20 and 30."""
    folder, small = tmp_path_factory.mktemp("hostile") / "run", GAMES["points"]
    state = small.state(steps=30)
    for log in train(state, small.batches(state.config)):
        if log.step % 10 == 0:
            checkpoints.save(state, folder)
    (folder / ".lock").unlink()  # the child is to own it
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "hostile.py"), str(folder)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{lines[-1:]} {done.stderr[-1000:]}"  # it crashed
    return [line for line in lines if "file" in line]


def test_no_code_in_a_file_is_ever_run(opened):
    """A13: and a program inside an archive is called one."""
    assert not any(found["ran"] for found in opened)
    for found in opened:
        if found["file"].startswith("code") and found["file"].endswith("zip"):
            assert "program code" in found["said"]
    count("A13", "files with code in them", sum("code" in f["file"] for f in opened))


def test_every_hostile_file_is_refused_in_a_clear_sentence(opened):
    """A13, A16, A19: nothing raw, nothing silent, no advice to lower the guard."""
    assert len(opened) >= 80
    for found in opened:
        assert found["said"], f"{found['file']} was accepted"
        assert not found["said"].startswith("RAW"), found
        assert found["still"] == 30, found
    count("A19", "hostile files", len(opened))


def test_a_hostile_file_costs_no_time_and_no_memory(opened):
    """A19: under a second of processor time, under twice its size (and 40 MB)."""
    for found in opened:
        if "hundred thousand" not in found["file"]:  # zipfile reads its directory
            assert found["seconds"] < 1, found
        assert found["memory"] < 2 * found["size"] + 40e6, found
