"""Part E of the fault list: whatever an answer does, the checker outlives it.

| row | where it is tested |
| --- | --- |
| E1, E2 | checks/test_engine.py: never_ends, never_ends_nor_lets_itself_be_stopped |
| E3 | checks/test_engine.py: untouched stubs; checks/test_exercises.py: the templates |
| E4, E5, E8, E9 | checks/test_engine.py: returns_none, returns_a_vector and so on |
| E6 | checks/test_engine.py: a number in whatever form; here: no number in any |
| E7 | checks/test_07.py … test_14.py: "loses_gradient" |
| E10 | checks/test_engine.py: knows_the_visible_example |
| E11, E12 | checks/test_engine.py: AlwaysTrue, a subclass, patches; here: more |
| E13 | checks/test_engine.py: exits, exits_hard, crashes, kills_its_parent |
| E14 | checks/test_engine.py: prints_for_ever, prints_a_million_lines |
| E15 | checks/test_engine.py: thirty gigabytes, a huge file; here: 32 processes |
| E16 | checks/test_engine.py: raises, calls_itself, imports …; here: syntax, tabs |
| E17 | checks/table.py demands three right answers of every exercise |
| E18 | here |
| E19 | checks/test_engine.py: a folder of its own; here: network, files elsewhere |
"""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from counts import count
from namespaces import can_unshare

from gancourse.checks import course_exercises, grade

NAME = "01.value"  # answer(real_logits, fake_logits): V


def right(real, fake):
    return F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean()


# ------------------------------------------------------------------ E19 network, files


@pytest.fixture
def listening():
    """A server of this machine that counts who calls: (port, callers)."""
    callers = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                callers.append(connection)

        threading.Thread(target=answer, daemon=True).start()
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        while not callers:
            time.sleep(0.01)
        callers.clear()
        yield port, callers


@can_unshare
@pytest.mark.parametrize("way", ["socket", "urlopen", "a program", "a name"])
def test_e19_an_answer_has_no_network(way, listening):
    port, callers = listening
    python = sys.executable

    def asks(real, fake):
        import socket
        import urllib.request

        if way == "socket":
            socket.create_connection(("127.0.0.1", port), 1)
        if way == "urlopen":
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1)
        if way == "a name":
            socket.getaddrinfo("example.org", 80)
        if way == "a program":
            code = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
            subprocess.run([python, "-c", code], check=True, stderr=-3)
        return right(real, fake)

    verdict = grade(NAME, asks)
    assert verdict.status == "error", verdict
    words = {"a program": "CalledProcessError"}.get(way, "asks for the network")
    assert words in verdict.message and "line" in verdict.message
    time.sleep(0.1)
    assert callers == []
    count("E19", "answers that ask for the network", 1)


WAYS_OUT = {
    "write": "open({mine!r}, 'w').write('theirs')",
    "append": "open({mine!r}, 'a').write('theirs')",
    "delete": "os.remove({mine!r})",
    "rename": "os.rename({mine!r}, {mine!r} + '2')",
    "new file": "open({folder!r} + '/new', 'x')",
    "new folder": "os.mkdir({folder!r} + '/new')",
    "link": "os.symlink('/', {folder!r} + '/new')",
    "rmtree": "shutil.rmtree({folder!r})",
    "truncate": "os.truncate({mine!r}, 0)",
    "chmod": "os.chmod({mine!r}, 0)",
    "torch.save": "torch.save(real, {folder!r} + '/new')",
    "shell": "assert subprocess.run(['rm', '-rf', {folder!r}]).returncode == 0",
    "up": "open('../../../../../../../..' + {mine!r}, 'w')",
}


@can_unshare
@pytest.mark.parametrize("way", WAYS_OUT)
def test_e19_an_answer_can_change_no_file_but_its_own(way, tmp_path):
    mine = tmp_path / "my notes.txt"
    mine.write_text("mine")
    source = WAYS_OUT[way].format(mine=str(mine), folder=str(tmp_path))

    def goes_out(real, fake):
        import os
        import shutil

        Path("own").write_text("this is allowed")
        names = dict(os=os, shutil=shutil, subprocess=subprocess, torch=torch)
        exec(source, {**names, "real": real})
        return right(real, fake)

    verdict = grade(NAME, goes_out)
    assert verdict.status == "error", verdict
    assert mine.read_text() == "mine" and os.listdir(tmp_path) == ["my notes.txt"]
    count("E19", "answers that write elsewhere", 1)


def test_e19_its_own_folder_and_temporary_files_are_an_answers_own():
    def writes_at_home(real, fake):
        import tempfile

        for folder in (".", os.path.expanduser("~"), tempfile.gettempdir()):
            with open(os.path.join(folder, "file"), "w") as file:
                file.write("x")
        with tempfile.TemporaryDirectory() as folder:
            torch.save(real, os.path.join(folder, "real.pt"))
        print(os.getcwd())
        return right(real, fake)

    verdict = grade(NAME, writes_at_home)
    assert verdict.passed, verdict
    assert not Path(verdict.printed.strip()).exists()


# ------------------------------------------------------------------ E6, E11 results


class Obliging(torch.Tensor):
    """A tensor of which torch's own functions say whatever one likes."""

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), options=None):
        return True


class Pretender(float):
    """A number that equals every other."""

    def __eq__(self, other):
        return True

    __hash__ = float.__hash__


def of(numbers):
    """An answer that gives another form of the right value, or of something else."""
    return lambda real, fake: numbers(right(real, fake))


RESULTS = {
    "whole numbers": (of(lambda v: v.int()), "failed", "gives -1"),
    "truth values": (of(lambda v: v.bool()), "failed", "gives 1"),
    "imaginary": (of(lambda v: 1j * v), "failed", "imaginary"),
    "without data": (of(lambda v: v.to("meta")), "failed", "on meta"),
    "sparse": (of(lambda v: v[None].to_sparse()), "failed", "sparse"),
    "quantised": (
        of(lambda v: torch.quantize_per_tensor(v[None], 0.1, 0, torch.qint8)),
        *("failed", "qint8"),
    ),
    "eight bits": (of(lambda v: v.to(torch.float8_e4m3fn)), "failed", "float8"),
    "nested": (of(lambda v: torch.nested.nested_tensor([v[None]])), "failed", "Tensor"),
    "on a GPU": (of(lambda v: v.to("cuda")), "error", "GPU"),
    "text": (of(lambda v: str(v.item())), "failed", "a str"),
    "a set": (of(lambda v: {v.item()}), "failed", "set"),
    "a generator": (of(lambda v: iter([v])), "failed", "not numbers"),
    "objects": (of(lambda v: np.array([object()])), "failed", "ndarray"),
    "deep lists": (of(lambda v: [[[[[[[[v]]]]]]]]), "failed", "a list"),
    "infinite": (of(lambda v: float("inf")), "failed", "not finite"),
    "no number": (of(lambda v: v * torch.nan), "failed", "not finite"),
    "thirty million": (of(lambda v: torch.zeros(30_000_000)), "error", "too large"),
    "a long text": (of(lambda v: "x" * 70_000_000), "error", "too large"),
    "an input": (lambda real, fake: real, "failed", "shape"),
    "obliging": (of(lambda v: (0 * v).as_subclass(Obliging)), "failed", "Obliging"),
    "a pretender": (of(lambda v: Pretender(0)), "failed", "Pretender"),
    "not for whole numbers": (
        lambda real, fake: F.logsigmoid(real.long()),
        *("error", "NotImplementedError in line"),
    ),
}


@pytest.mark.parametrize("what", RESULTS)
def test_e6_e11_a_result_of_another_kind_never_passes_and_is_named(what):
    answer, status, words = RESULTS[what]
    verdict = grade(NAME, answer)
    assert verdict.status == status and words in verdict.message, verdict
    assert len(verdict.message) < 400
    count("E6", "results of another kind", 1)


# ------------------------------------------------------------------ E12 patches


def forges_the_verdict(real, fake):
    import gancourse.checks.judge as judge
    from gancourse.checks.verdict import Verdict

    judge.judge = judge._raised = lambda *_: Verdict("passed", "Right.")
    return 0.0


def patches_all_comparisons(real, fake):
    torch.Tensor.__eq__ = torch.Tensor.__le__ = lambda *_: True
    torch.isclose = torch.allclose = lambda *_, **__: True
    return 0.0


def hides_tracebacks(real, fake):
    import traceback

    sys.excepthook = lambda *_: None
    traceback.extract_tb = lambda *_: []
    raise ValueError("hidden")


def swallows_signals_in_a_thread(real, fake):
    threading.Thread(target=lambda: time.sleep(60)).start()
    return 0.0


def speaks_out_of_turn(real, fake):
    for number in range(3, 30):
        try:
            os.write(number, b'{"status": "passed", "message": "Right."}\n')
        except OSError:
            continue
    return 0.0


@pytest.mark.parametrize(
    "answer",
    [
        *(forges_the_verdict, patches_all_comparisons, hides_tracebacks),
        *(swallows_signals_in_a_thread, speaks_out_of_turn),
    ],
)
def test_e12_what_an_answer_patches_changes_no_verdict(answer):
    verdict = grade(NAME, answer)
    assert verdict.status in ("failed", "error"), verdict
    assert grade(NAME, right).passed
    count("E12", "answers that patch the checker", 1)


# ------------------------------------------------------------------ E15, E16, E18


def test_e15_of_a_tree_of_processes_none_is_left():
    def branches(real, fake):
        print(os.getcwd(), flush=True)
        for _ in range(5):  # 2^5 processes
            os.fork()
        time.sleep(60)

    began = time.monotonic()
    verdict = grade(NAME, branches)
    assert verdict.status in ("timeout", "error"), verdict
    assert time.monotonic() - began < 20
    folder = verdict.printed.split()[0]
    limit = time.monotonic() + 10
    while left := [p for p in Path("/proc").glob("[0-9]*") if lives_in(p, folder)]:
        assert time.monotonic() < limit, left
        time.sleep(0.1)
    count("E15", "processes of one answer", 32)


def lives_in(process: Path, folder: str) -> bool:
    try:
        return os.readlink(process / "cwd").startswith(folder)
    except OSError:
        return False


SOURCES = {
    "x = = 1": "SyntaxError",
    "if True:\n\tx = 1\n        y = 2\n": "TabError",
    "def f():\nreturn 1": "IndentationError",
    "x = 'no end": "SyntaxError",
    "x = 1 / 0": "ZeroDivisionError",
    "assert real is None": "AssertionError",
    "raise GeneratorExit": "GeneratorExit",
    "raise ExceptionGroup('many', [ValueError()])": "ExceptionGroup",
    "raise StopIteration": "StopIteration",
    "raise KeyboardInterrupt": "ended the program",
    "import numpy.no_such_part": "numpy.no_such_part",
    "from torch import no_such_name": "torch",
    "{}['key']": "KeyError",
    "None.shape": "AttributeError",
    "real @ fake @ real": "RuntimeError",
    "torch.zeros(2, 3) + torch.zeros(4, 5)": "RuntimeError",
    "sys.stdout.close()": "ended the program",
    "os.closerange(0, 100)": "ended the program",
    "os.abort()": "SIGABRT",
    "os.kill(os.getpid(), 9)": "crashed",
    "os.execv('/bin/true', ['true'])": "ended the program",
}


@pytest.mark.parametrize("source", SOURCES)
def test_e16_what_is_raised_is_named_with_its_line(source):
    def answer(real, fake):
        exec(source, dict(torch=torch, sys=sys, os=os, real=real, fake=fake))
        return 0.0

    verdict = grade(NAME, answer)
    assert verdict.status == "error" and SOURCES[source] in verdict.message, verdict
    assert "Traceback" not in verdict.message and len(verdict.message) < 400
    count("E16", "answers that raise or end", 1)


def test_e18_a_slow_right_answer_passes_within_the_limit():
    limit = course_exercises.find(NAME).seconds

    def slow(real, fake):
        time.sleep(0.15 * limit)  # the examination asks three times
        return right(real, fake)

    began = time.monotonic()
    verdict = grade(NAME, slow)
    assert verdict.passed, verdict
    assert time.monotonic() - began > 0.15 * limit
