"""The checker outlives whatever an answer does, and says what it was."""

import ast
import importlib.util
import json
import math
import os
import re
import sys
import time
import types
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gancourse import GancourseError
from gancourse.checks import check, client, exercises, grade, judge, solved

NAME = "01.value"  # answer(real_logits, fake_logits): V
LIMIT = 5  # seconds an answer may take


def right(real, fake):
    return F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean()


# ------------------------------------------------------------------ what answers do


def never_ends(real, fake):
    while True:
        pass


def never_ends_nor_lets_itself_be_stopped(real, fake):
    import signal

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


def prints_for_ever(real, fake):
    while True:
        print("still here " * 1_000)


def prints_a_million_lines(real, fake):
    for _ in range(1_000_000):
        print("x")
    return right(real, fake)


def exits(real, fake):
    sys.exit(0)


def exits_hard(real, fake):
    os._exit(0)


def crashes(real, fake):
    import ctypes

    ctypes.string_at(0)


def kills_its_parent(real, fake):
    import signal

    os.kill(os.getppid(), signal.SIGKILL)


def takes_thirty_gigabytes(real, fake):
    return torch.ones(30 << 30, dtype=torch.uint8)


def writes_a_huge_file(real, fake):
    with open("huge", "wb") as file:
        for _ in range(200):
            file.write(bytes(1 << 20))
    return right(real, fake)


def starts_many_processes(real, fake):
    print(os.getcwd())
    for _ in range(5):
        process = os.fork()
        if process == 0:
            time.sleep(600)
        print(process)
    return right(real, fake)


def asks_for_input(real, fake):
    return float(input("V = "))


def raises(real, fake):
    return right(real, fake)[3]


def calls_itself(real, fake):
    return calls_itself(real, fake)


def imports_what_is_not_there(real, fake):
    import a_package_that_nobody_has  # noqa: F401


def uses_an_unknown_name(real, fake):
    return right(real, fake) + epsilon_of_another_cell  # noqa: F821


class AlwaysTrue:
    def __eq__(self, other):
        return True

    def __bool__(self):
        return True


class Tensorish(torch.Tensor):
    pass


def returns_what_equals_everything(real, fake):
    return AlwaysTrue()


def returns_a_tensor_of_its_own_kind(real, fake):
    return right(real, fake).as_subclass(Tensorish) * 0


def patches_the_comparison(real, fake):
    torch.allclose = torch.equal = lambda *a, **k: True
    torch.Tensor.allclose = lambda *a, **k: True
    import builtins

    builtins.all = lambda x: True
    return torch.tensor(0.5)


def knows_the_visible_example(real, fake):
    return -1.0064


def returns_none(real, fake):
    right(real, fake)


def returns_a_vector(real, fake):
    return F.logsigmoid(real) + F.logsigmoid(-fake)


def returns_text(real, fake):
    return "minus log 4"


def returns_a_function(real, fake):
    return right


def writes_over_its_input(real, fake):
    real += 1
    return right(real - 1, fake)


BAD = {
    never_ends: ("timeout", "5 s"),
    never_ends_nor_lets_itself_be_stopped: ("timeout", "5 s"),
    prints_for_ever: ("timeout", "5 s"),
    exits: ("error", "SystemExit"),
    exits_hard: ("error", "ended the program"),
    crashes: ("error", "crashed"),
    kills_its_parent: ("error", "ended the checker"),
    takes_thirty_gigabytes: ("error", "memory"),
    writes_a_huge_file: ("error", "OSError"),
    asks_for_input: ("error", "EOFError"),
    raises: ("error", "IndexError in line"),
    calls_itself: ("error", "RecursionError"),
    imports_what_is_not_there: ("error", "a_package_that_nobody_has"),
    uses_an_unknown_name: ("error", "`epsilon_of_another_cell`"),
    returns_what_equals_everything: ("failed", "AlwaysTrue"),
    returns_a_tensor_of_its_own_kind: ("failed", "Tensorish"),
    patches_the_comparison: ("failed", "0.5"),
    knows_the_visible_example: ("failed", "-1.0064"),
    returns_none: ("failed", "None"),
    returns_a_vector: ("failed", "shape"),
    returns_text: ("failed", "not numbers"),
    returns_a_function: ("failed", "function"),
    writes_over_its_input: ("failed", "changed the tensors"),
}


@pytest.mark.parametrize("answer", BAD, ids=lambda answer: answer.__name__)
def test_bad_answer_never_passes_and_is_named_in_time(answer):
    grade(NAME, right)  # the judge is warm
    began = time.monotonic()
    verdict = grade(NAME, answer)
    assert (
        time.monotonic() - began < 4 * LIMIT
    )  # a busy machine; the limit itself is 5 s
    status, word = BAD[answer]
    assert verdict.status == status and word in verdict.message, verdict
    assert len(verdict.message) < 400 and len(verdict.printed) < 2_100
    assert grade(NAME, right).passed, "the checker did not survive"


@pytest.mark.parametrize(
    "name",
    ["01.wasserstein", "02.weights", "03.radius", "04.slerp", "05.kernel", "08.kl"],
)
def test_no_two_checks_ask_with_the_same_numbers(name):
    """Each is a fork of one warm process, whose stream of numbers it must not share."""

    def tells(*given):
        print(given)

    first, second = grade(name, tells), grade(name, tells)
    assert first.printed and first.printed != second.printed


def test_scipy_is_there_before_an_answers_clock_starts(monkeypatch):
    asked = []
    monkeypatch.setattr(judge.importlib, "import_module", asked.append)
    judge._bring(b"... from scipy import stats ...")
    judge._bring(b"... torch.linalg ...")
    assert asked == ["scipy.stats"]


@pytest.mark.parametrize("thing", [right(torch.zeros(2), torch.zeros(2)), "V", None, 3])
def test_a_result_in_place_of_the_function_is_named(thing):
    verdict = grade(NAME, thing)
    assert verdict.status == "error"
    assert "without brackets" in verdict.message


def test_line_of_the_learners_own_code_is_named():
    line = raises.__code__.co_firstlineno + 1
    assert f"line {line} " in grade(NAME, raises).message


@pytest.mark.parametrize("answer", [prints_a_million_lines, starts_many_processes])
def test_right_answer_passes_whatever_else_it_does(answer):
    verdict = grade(NAME, answer)
    assert verdict.passed, verdict
    assert len(verdict.printed) < 2_100


def test_processes_of_an_answer_do_not_outlive_it():
    printed = grade(NAME, starts_many_processes).printed.split()
    folder, started = printed[0], [word for word in printed if word.isdigit()]
    time.sleep(0.5)
    assert len(started) >= 5
    assert not [process for process in started if lives(process)]
    assert not Path(folder).exists()


def lives(process: str) -> bool:
    """Whether it runs; one that ended may wait for its parent to take note of it."""
    try:
        return Path("/proc", process, "stat").read_text().split(") ")[-1][0] != "Z"
    except OSError:
        return False


def test_answer_works_in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("kept")

    def deletes_files(real, fake):
        for name in os.listdir("."):
            os.remove(name)
        return right(real, fake)

    assert grade(NAME, deletes_files).passed
    assert (tmp_path / "mine.txt").read_text() == "kept"


# ------------------------------------------------------------------ forms of answers


@pytest.mark.parametrize(
    "form",
    [
        lambda v: v,
        lambda v: v.item(),
        lambda v: v.double(),
        lambda v: v[None],
        lambda v: [v.item()],
        lambda v: v.numpy(),
        lambda v: np.float64(v),
        lambda v: torch.nn.Parameter(v),
        lambda v: np.array([[v.item()]]),
    ],
)
def test_a_number_is_right_in_whatever_form(form):
    assert grade(NAME, lambda real, fake: form(right(real, fake))).passed


def test_answers_may_be_methods_callables_and_closures():
    class Game:
        def __init__(self, sign):
            self.sign = sign

        def value(self, real, fake):
            return self.sign * right(real, fake)

        def __call__(self, real, fake):
            return self.value(real, fake)

    def made(power):
        return lambda real, fake: right(real, fake) ** power

    assert grade(NAME, Game(1).value).passed
    assert grade(NAME, Game(1)).passed
    assert grade(NAME, made(1)).passed
    assert not grade(NAME, Game(2)).passed


def test_answers_from_a_file_that_the_judge_can_not_import(tmp_path):
    path = tmp_path / "students_own_module.py"
    path.write_text(
        "import torch.nn.functional as F\n"
        "def helper(s):\n    return F.logsigmoid(s).mean()\n"
        "def value(real, fake):\n    return helper(real) + helper(-fake)\n"
    )
    spec = importlib.util.spec_from_file_location("students_own_module", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["students_own_module"] = module
    try:
        spec.loader.exec_module(module)
        assert grade(NAME, module.value).passed
    finally:
        del sys.modules["students_own_module"]


scale_of_another_cell = 2.0


def test_values_from_outside_a_wrong_answer_are_named():
    verdict = grade(NAME, lambda real, fake: right(real, fake) * scale_of_another_cell)
    assert not verdict.passed and "`scale_of_another_cell`" in verdict.message


limit, mean, clamp = 1.0, 3.0, 0.5


def looks_inside(real, fake):
    return sum(min(float(s), limit) for s in real)


def looks_deep_inside(real, fake):
    def bounded(s):
        return (lambda x: min(x, limit))(float(s))

    return sum(bounded(s) for s in real)


@pytest.mark.parametrize("answer", [looks_inside, looks_deep_inside])
def test_values_from_outside_are_named_wherever_they_are_used(answer):
    assert "`limit`" in grade(NAME, answer).message


def test_a_method_of_that_name_is_no_value_from_outside():
    """An attribute is called as the global is; on Python 3.11 they look alike."""
    verdict = grade(NAME, lambda real, fake: real.mean() + fake.clamp(max=0).mean())
    assert not verdict.passed and "outside" not in verdict.message


def test_an_own_variable_of_that_name_is_no_value_from_outside():
    def own(real, fake):
        mean = real.sum() / len(real)
        return mean + sum(0 * limit for limit in range(2))

    verdict = grade(NAME, own)
    assert not verdict.passed and "outside" not in verdict.message


def test_a_wrong_answer_with_a_closure_is_answered_as_any_other():
    def scaled(by):
        def answer(real, fake):
            return by * (F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean())

        return answer

    verdict = grade(NAME, scaled(-1))
    assert (verdict.status, verdict.misconception) == ("failed", "sign")
    assert "outside" not in verdict.message


@pytest.mark.parametrize("name", exercises())
def test_untouched_stub_is_not_attempted(name):
    def stub(*arguments):
        raise NotImplementedError("your code here")

    def dots(*arguments):
        """What to do."""
        ...

    for answer in (stub, dots, ...):
        assert grade(name, answer).status == "not attempted", answer


def test_answer_that_can_not_be_copied_is_said():
    import threading

    verdict = grade(NAME, threading.Lock())
    assert verdict.status == "error" and "cannot be sent" in verdict.message


def test_unknown_exercise_is_said():
    with pytest.raises(GancourseError, match="no exercise"):
        grade("99.nothing", right)


# ------------------------------------------------------------------ in a notebook


@pytest.fixture
def fresh_tries(monkeypatch):
    monkeypatch.setattr(client, "_TRIES", {})


def test_hints_come_one_a_try_and_the_solution_after_three(fresh_tries):
    def positive(real, fake):
        return -right(real, fake)

    seen = []
    for _ in range(4):
        with pytest.raises(client.NotRight) as caught:
            check(NAME, positive)
        seen.append(str(caught.value).splitlines())
    assert [len(lines) for lines in seen] == [1, 2, 3, 4]
    assert (
        "V never is" in seen[0][0] and "−V" in seen[1][1] and "log 1 = 0" in seen[2][2]
    )
    assert "solution" in seen[3][3] and "solution" not in " ".join(seen[2])
    assert caught.value._render_traceback_() == seen[3]


@pytest.fixture
def shown(monkeypatch, fresh_tries):
    """What a notebook displays, as HTML; this process taken for its kernel."""
    found = []
    monkeypatch.setattr(solved, "in_a_notebook", lambda: True)
    monkeypatch.setattr(
        "IPython.display.display", lambda thing: found.append(thing.data)
    )
    return found


def tries(number: int) -> str:
    """The last message of so many wrong tries."""
    for _ in range(number):
        with pytest.raises(client.NotRight) as caught:
            check(NAME, lambda real, fake: 0.25)
    return str(caught.value)


def test_a_solution_is_one_click_away_after_three_tries_and_not_before(shown):
    assert "olution" not in tries(3) and shown == []
    assert "A solution is folded up above" in tries(1)
    (page,) = shown
    assert page.startswith("<details><summary>A solution of 01.value</summary><pre>")
    assert "log_sigmoid(-fake_logits).mean()" in page and "### " not in page
    check(NAME, right)
    assert "olution" not in tries(1) and len(shown) == 1  # the tries begin anew


def test_what_looks_like_html_in_a_solution_is_shown_as_it_is(shown):
    assert solved.offer("01.wasserstein")
    assert "below_a = (a &lt;= points[:, None])" in shown[0]


def test_no_solution_is_shown_while_nbgrader_marks(shown, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert "A solution is in solutions/, in the notebook 01." in tries(4)
    assert shown == []


def test_no_solution_is_shown_where_the_course_has_none_or_a_damaged_one(
    shown, monkeypatch, tmp_path
):
    monkeypatch.setattr(solved, "SOLUTIONS", tmp_path / "solutions")
    assert "A solution is in solutions/" in tries(4)
    solved.SOLUTIONS.mkdir()
    damaged = solved.SOLUTIONS / "01_minimax_game.ipynb"
    for text in ("", "{}", '{"cells": []}', '{"cells": [{"source": "x"}]}', "[1]"):
        damaged.write_text(text)
        assert "A solution is in solutions/" in tries(1)
    assert shown == []


def test_no_solution_is_shown_in_a_terminal(fresh_tries, capsys):
    assert "A solution is in solutions/" in tries(4)
    assert capsys.readouterr().out == ""


def test_the_solution_that_is_shown_is_that_of_the_exercise():
    for path in solved.SOLUTIONS.glob("[0-9]*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            call = "".join(cell["source"])
            if not call.startswith("check("):
                continue
            name, *asked = re.findall(r"[\w.]+", call.removeprefix("check("))
            defined = ast.parse(solved.solution(name)).body
            names = {node.name for node in defined if hasattr(node, "name")}
            assert set(asked) <= names, call
            last = [n for n in defined if getattr(n, "name", "") == asked[0]][-1]
            assert ast.unparse(last.body[-1]) != "raise NotImplementedError"


def test_pass_is_printed_and_forgets_the_tries(fresh_tries, capsys):
    with pytest.raises(client.NotRight):
        check(NAME, returns_none)
    check(NAME, right)
    assert "Right" in capsys.readouterr().out and client._TRIES == {}


def test_untouched_exercise_stops_no_run_but_earns_no_marks(capsys, monkeypatch):
    check(NAME, ...)
    assert "not attempted" in capsys.readouterr().out
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(client.NotRight, match="not attempted"):
        check(NAME, ...)


def test_state_of_the_kernel_changes_no_verdict(monkeypatch):
    monkeypatch.setattr(torch, "allclose", lambda *a, **k: True)
    monkeypatch.setattr(math, "isclose", lambda *a, **k: True)
    assert not grade(NAME, lambda real, fake: 0.25).passed


def test_an_interrupted_check_leaves_no_verdict_for_the_next(monkeypatch):
    """Where the kernel alone is interrupted, its reply lay in the pipe for another."""
    worker = client._Worker()

    def interrupted(name, payload):
        worker.process.stdin.write(f"{name} {len(payload)}\n".encode() + payload)
        worker.process.stdin.flush()
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(worker, "_exchange", interrupted)
        worker.ask(NAME, cloudpickle.dumps(right))
    try:
        assert not worker.ask(NAME, cloudpickle.dumps(0.25)).passed
        assert worker.ask(NAME, cloudpickle.dumps(right)).passed
    finally:
        worker.stop()


@pytest.mark.skipif(not hasattr(os, "getpgid"), reason="no process groups here")
def test_an_interrupt_of_the_kernel_is_not_meant_for_the_judge():
    assert grade(NAME, right).passed
    assert os.getpgid(client._WORKER.process.pid) != os.getpgrp()


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_what_is_installed_is_not_sent_with_an_answer(folder):
    """On Colab torch lies in dist-packages, and was taken for the learner's."""
    module = types.ModuleType("torch")
    module.__file__ = f"/usr/local/lib/python3.12/{folder}/torch/__init__.py"
    assert not client._is_learners(module)
    module.__file__ = "/content/mine/torch.py"
    assert client._is_learners(module)


def inverts(real, fake):
    singular = np.zeros((2, 2))
    return torch.tensor(np.linalg.inv(singular)).sum()


def test_the_line_that_is_named_is_the_learner_s_and_not_numpy_s():
    line = inverts.__code__.co_firstlineno + 2
    assert f"LinAlgError in line {line}" in grade(NAME, inverts).message


def imports_what_is_not_there(real, fake):
    from torch import nonsense

    return nonsense


def test_a_name_that_a_module_lacks_is_not_said_to_be_missing_as_a_module():
    message = grade(NAME, imports_what_is_not_there).message
    assert "ImportError" in message and "not installed" not in message


def test_judge_that_died_is_started_again():
    assert grade(NAME, right).passed
    client._WORKER.process.kill()
    client._WORKER.process.wait()
    assert grade(NAME, right).passed
