"""A cell that is run out of its order: one sentence, the right one, never in the way.

A small notebook is run in a shell of its own, each order in a fork of it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

from gancourse import cells, order, runs

SERVER = Path(__file__).parent / "faults" / "cells_server.py"
SETUP = "import torch\nfrom gancourse import course\nseed = 0\ncourse.profile('auto')"
CODE = [
    "rng = torch.Generator().manual_seed(seed)\nG = 1",
    "x = torch.rand(1, generator=rng)\nprint(x.item())",
    "def look():\n    return G + 1",
    "print('G + 1 is', look())",
    "G = 10",
    "print('G is', G)",
    "logs = []",
    "logs.append(1)\nprint(len(logs))",
    "print(torch.rand(1).item())",
    "late = [G for _ in range(2)]\nlate[0] = 5\n1 / 0",
    "print(late)",
    "nobody_makes_this",
    "G += 1\nprint(G)",
    "try:\n    print(look())\nexcept NameError as error:\n    print(error)",
    "nets = {'G': torch.nn.Linear(1, 1)}\nones = torch.ones(1, 1)",
    "opt = torch.optim.Adam(nets['G'].parameters(), fused=True)\n"
    "nets['G'](ones).sum().backward()\nopt.step()",
    "print(nets['G'](ones).shape)",
    "kept = globals().get('kept') or [torch.rand(1)]",
    "print(torch.rand(1).item())  # after what is drawn only once",
]
MAKES, DRAWS, LOOK, LOOKS, SECOND, SHOWS, LIST, GROWS, GLOBAL = range(9)
FAILS, LATE, NOBODY, MORE, CATCHES, NETS, TRAINS, USES, KEEPS, AFTER = range(9, 19)


def book() -> nbformat.NotebookNode:
    made = nbformat.v4.new_notebook()
    made.cells = [nbformat.v4.new_code_cell(SETUP)]
    made.cells.append(nbformat.v4.new_markdown_cell("## 1 The players\n\nTwo of them."))
    made.cells += map(nbformat.v4.new_code_cell, CODE)
    return made


ORDERS = {
    "in order": [*range(FAILS), MORE, NETS, TRAINS, USES],
    "missing": [DRAWS],
    "missing in a function": [LOOK, LOOKS],
    "missing and caught": [LOOK, CATCHES],
    "another cell's": [MAKES, LOOK, SECOND, LOOKS],
    "not yet the later one": [MAKES, SHOWS],
    "drawn twice": [MAKES, DRAWS, DRAWS, GLOBAL, GLOBAL],
    "grown twice": [LIST, GROWS, GROWS],
    "counted twice": [MAKES, SECOND, MORE, MORE],
    "after a failure": [MAKES, SECOND, FAILS, LATE],
    "trained twice": [NETS, TRAINS, USES, TRAINS, USES],
    "kept from the first run": [KEEPS, AFTER],
    "kept from the first run, twice": [KEEPS, KEEPS, AFTER],
    "nobody": [NOBODY],
    "own cells": ["G = 5", LOOK, LOOKS, SHOWS, "print(nothing_here)", "print(logs)"],
    "another seed": [MAKES, DRAWS, "seed = 1", MAKES, DRAWS],
    "a cell of its own error": [MAKES, SECOND, FAILS],
    "a function's own local": ["def f():\n    print(G)\n    G = 1\n\nf()"],
}


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    path = tmp_path_factory.mktemp("order") / "99_order.ipynb"
    nbformat.write(book(), path)
    return path


@pytest.fixture(scope="module")
def told(notebook):
    """Of each order: [cell, text shown, error] of each step."""
    env = {**os.environ, "JPY_SESSION_NAME": str(notebook), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, SERVER, notebook, "play", json.dumps([*ORDERS.values()])]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    steps = json.loads(done.stdout.splitlines()[-1])
    return {
        name: [(k, outputs[0], error) for k, outputs, error in order]
        for name, order in zip(ORDERS, steps, strict=True)
    }


def test_in_order_not_a_word_is_said(told):
    assert all(error is None for _, _, error in told["in order"])
    assert not any("Run the cell" in text for _, text, _ in told["in order"])
    assert dict((k, text) for k, text, _ in told["in order"])[SHOWS] == "G is 10\n"


def test_a_name_that_is_not_there_yet_names_the_cell_that_makes_it(told):
    ((_, text, error),) = told["missing"]
    sentence = (
        "Run the cell that begins `rng = torch.Generator().manual_seed(seed)` (section "
        "“1 The players”) first: it makes `rng`."
    )
    assert text.strip() == sentence  # and nothing else: no traceback
    assert error.startswith("NameError")
    *_, (_, text, error) = told["missing in a function"]
    assert text.startswith("Run the cell that begins `rng =") and "`G`" in text
    *_, (_, text, error) = told["missing and caught"]
    assert text.startswith("Run the cell that begins `G += 1`") and error is None


def test_a_name_left_by_another_cell_is_said_before_the_cell_runs(told):
    *_, (_, text, error) = told["another cell's"]
    said, shown = text.splitlines()
    assert said.startswith("Run the cell that begins `rng =") and "`G` is not" in said
    assert shown == "G + 1 is 11" and error is None  # it ran all the same
    *_, (_, text, error) = told["not yet the later one"]
    assert text.startswith("Run the cell that begins `G = 10` (section")
    assert text.endswith("G is 1\n")


def test_a_cell_that_is_run_twice_draws_the_same_numbers(told):
    _, first, second, third, fourth = [text for _, text, _ in told["drawn twice"]]
    assert first == second != "" and third == fourth
    assert "Run the cell" not in first + third


def test_what_is_drawn_in_the_first_run_only_moves_no_later_number(told):
    (*_, (_, once, _)), (*_, (_, twice, _)) = (
        told["kept from the first run"], told["kept from the first run, twice"]
    )  # fmt: skip
    assert once == twice != ""


def test_another_seed_gives_other_numbers(told):
    numbers = [text for k, text, _ in told["another seed"] if k == DRAWS]
    assert numbers[0] != numbers[1] and "Run the cell" not in "".join(numbers)


def test_what_grows_each_time_is_said_the_second_time(told):
    _, (_, first, _), (_, second, _) = told["grown twice"]
    assert first == "1\n"
    assert second.startswith("Run the cell that begins `logs = []`")
    *_, (_, once, _), (_, twice, _) = told["counted twice"]
    assert once == "11\n" and twice.startswith("Run the cell that begins `G = 10`")


def test_a_network_that_trains_on_each_time_is_said_the_second_time(told):
    _, (_, once, _), (_, used, _), (_, twice, error), (_, then, _) = told[
        "trained twice"
    ]
    assert once == "" and used == "torch.Size([1, 1])\n"
    assert twice.startswith("Run the cell that begins `nets = {") and error is None
    assert "`nets` is not" in twice
    assert then.startswith("Run the cell that begins `nets = {")


def test_what_a_failed_cell_left_is_doubted(told):
    *_, (_, failed, error), (_, text, _) = told["after a failure"]
    assert "ZeroDivisionError" in failed and error.startswith("ZeroDivisionError")
    assert text.startswith("Run the cell that begins `late = [G for")
    assert "[5, 10]" in text


def test_other_errors_and_unknown_names_look_as_ever(told):
    ((_, text, error),) = told["nobody"]
    assert "nobody_makes_this" in text and "Traceback" in text
    assert error == "NameError: name 'nobody_makes_this' is not defined"
    ((_, text, error),) = told["a function's own local"]
    assert error.startswith("UnboundLocalError") and "Run the cell" not in text


def test_cells_of_the_learner_s_own_are_the_learner_s_affair(told):
    texts = {k: text for k, text, _ in told["own cells"]}
    assert texts[LOOKS] == "G + 1 is 6\n" and texts[SHOWS] == "G is 5\n"
    assert "Run the cell" not in texts["print(nothing_here)"]
    assert texts["print(logs)"].startswith("Run the cell that begins `logs = []`")


def test_a_real_kernel_says_it_too(notebook, tmp_path):
    wrong = book()
    wrong.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    wrong.cells = [wrong.cells[0], wrong.cells[2 + SECOND], wrong.cells[2 + DRAWS]]
    nbformat.write(wrong, tmp_path / "99_wrong.ipynb")
    result = runs.execute(
        tmp_path / "99_wrong.ipynb",
        tmp_path / "executed.ipynb",
        {},
        cell_seconds=600,
        environment={"JPY_SESSION_NAME": str(notebook)},
    )
    assert not result.ok
    assert "Run the cell that begins `rng = torch.Generator()" in result.error


# ------------------------------------------------------------------ which notebook


class Shell:
    """A kernel in which these cells ran."""

    def __init__(self, *ran: str, **names: str):
        self.user_ns = {"In": ["", *ran], **names}


def sources(shell) -> list[str]:
    return [cell.source for cell in order._notebook_of(shell)]


@pytest.fixture
def no_course(tmp_path, monkeypatch):
    """An installation without the course's notebooks."""
    monkeypatch.setattr(order, "FOLDER", tmp_path)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)


def test_front_ends_tell_which_notebook_it_is(notebook, no_course, monkeypatch):
    assert sources(Shell(SETUP)) == []
    assert sources(Shell(SETUP, __vsc_ipynb_file__=str(notebook))) == [SETUP, *CODE]
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook))
    assert sources(Shell(SETUP)) == [SETUP, *CODE]
    assert sources(Shell("another = 'notebook'")) == []


def test_colab_is_asked_for_its_notebook(notebook, no_course, monkeypatch):
    content = json.loads(notebook.read_text(encoding="utf-8"))
    message = ModuleType("google.colab._message")
    message.blocking_request = lambda *_, **__: {"ipynb": content}
    colab = ModuleType("google.colab")
    colab._message = message
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    assert sources(Shell(SETUP)) == [SETUP, *CODE]
    message.blocking_request = lambda *_, **__: None  # it went away, or timed out
    assert sources(Shell(SETUP)) == []


def test_a_file_that_can_not_be_read_is_passed_over(tmp_path, no_course, monkeypatch):
    for content in ("", "[]", '{"cells": 3}', '{"cells": [{}]}'):
        (tmp_path / "broken.ipynb").write_text(content)
        assert sources(Shell(SETUP)) == []
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "gone.ipynb"))
    assert sources(Shell(SETUP)) == []


def test_notebooks_of_the_course_are_known_by_what_ran(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    for path in sorted(order.FOLDER.glob("*.ipynb")):
        content = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(c["source"]) for c in content if c["cell_type"] == "code"]
        assert sources(Shell(*code[:2])) == code, path.name
        assert sources(Shell(code[0])) == []  # the install cell is in all of them


# ------------------------------------------------------------------ read, not run


def needs(*sources: str) -> dict[str, int]:
    """What the last of these cells needs."""
    code = [{"cell_type": "code", "source": s} for s in sources]
    return cells.read({"cells": code})[-1].needs


def test_a_name_belongs_to_the_last_cell_that_makes_it():
    assert needs("x = 1", "x = 2", "print(x)") == {"x": 1}
    assert needs("x = 1", "x = 2\nprint(x)") == {}
    assert needs("x = 1", "print(x)\nx = 2") == {"x": 0}
    assert needs("x = []", "x[0] = 1", "print(x)") == {"x": 1}
    assert needs("for x in range(3): pass", "y = [x for x in 'ab']") == {}


def test_a_run_belongs_to_the_last_cell_whose_loop_plays_it_on():
    loop = "for log in train(state, batches): pass"
    assert needs("state = start(game)", loop, "state.sample(z)") == {"state": 1}
    watched = "for log in live.watch(train(state, batches)): pass"
    assert needs("state = start(game)", watched, "state.sample(z)") == {"state": 1}


def test_what_functions_read_is_needed_where_they_are_called():
    assert needs("a = 1", "def f():\n    return a", "f()") == {"a": 0, "f": 1}
    assert needs("a = 1", "def f():\n    return a") == {}
    assert needs("a = 1", "def f():\n    return a", "def g():\n    f()", "g()") == {
        "a": 0, "f": 1, "g": 2,
    }  # fmt: skip
    assert needs("a = 1", "class C:\n    def f(self):\n        return a", "C()") == {
        "a": 0, "C": 1,
    }  # fmt: skip


def test_cells_that_are_no_python_need_nothing():
    assert needs("x = 1", "%%html\n<b>x</b>") == {}
    assert needs("x = 1", "%pip install x\nprint(x)") == {"x": 0}


def test_the_setup_is_one_thing():
    assert needs("profile = 1", "profile = course.profile(profile)") == {}


STOPPED = """
import contextlib, io, json, os, sys
from IPython.core.interactiveshell import InteractiveShell
from gancourse import cells, order
shell = InteractiveShell.instance()
codes = [
    "import torch\\nimport os",
    "torch.manual_seed(0)\\nn = 0",
    "x = torch.randn(2)\\n"
    "if os.environ.get('STOP'): raise KeyboardInterrupt\\n"
    "y = torch.randn(50)",
    "z = torch.randn(1).item()",
]
book = {"cells": [{"cell_type": "code", "source": code} for code in codes]}
order._notebook_of = lambda shell: cells.read(book)
shell.gancourse_order = order.Order(shell)
for k, code in enumerate(codes):
    with contextlib.redirect_stdout(io.StringIO()):
        if k == 2 and sys.argv[1] == "stopped":
            os.environ["STOP"] = "1"
            shell.run_cell(code)
            del os.environ["STOP"]
        shell.run_cell(code)
print(shell.user_ns["z"])
"""


def test_a_cell_that_was_broken_off_and_run_again_leaves_the_stream_of_a_whole_run():
    """Later cells drew from where the unfinished run had stopped, and nobody knew."""
    found = {
        subprocess.run(
            [sys.executable, "-c", STOPPED, how],
            env={**os.environ, "PYTHONPATH": str(SERVER.parents[2])},
            capture_output=True,
            text=True,
        ).stdout
        for how in ("whole", "stopped")
    }
    assert len(found) == 1 and float(found.pop()) is not None
