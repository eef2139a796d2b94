"""In the learner's kernel: hand an answer to the judge, show the verdict.

Nothing of the answer is run or compared here, so what a kernel has been through (a
patched torch, a shadowed name) changes no verdict.
"""

import atexit
import contextlib
import dis
import inspect
import io
import os
import subprocess
import sys
import threading
from dataclasses import replace

import cloudpickle
import torch

from gancourse.checks import answers, solved
from gancourse.checks.verdict import Verdict
from gancourse.errors import GancourseError

_TRIES: dict[str, int] = {}
_SOLUTION_AFTER = 3  # tries
_DATA = (int, float, complex, str, list, tuple, dict, set)


class NotRight(GancourseError):
    """A wrong answer. In a notebook only its message is shown, without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


def exercises() -> list[str]:
    """Ids of all exercises, e.g. "01.optimal_discriminator"."""
    from gancourse.checks import course_exercises

    return list(course_exercises.every())


def grade(name: str, answer: object) -> Verdict:
    """The verdict on an answer; nothing is shown, counted or raised for a wrong one.

    Raises GancourseError when there is no exercise of this name.
    """
    if name not in exercises():
        raise GancourseError(
            f"There is no exercise {name!r}, and nothing was checked. The ids are in "
            "gancourse.checks.exercises()."
        )
    if _untouched(answer):
        return Verdict("not attempted", "Not attempted yet.")
    try:
        payload = _payload(answer)
    except Exception as error:  # locks, open files, generators: whatever has no copy
        kind = type(answer).__name__
        return Verdict(
            "error", f"This {kind} cannot be sent to the checker: {str(error)[:150]}"
        )
    return _outside(answer, _WORKER.ask(name, payload))


def check(name: str, answer: object) -> None:
    """Show the verdict on an answer in the notebook. (`grade` returns it.)

    A wrong answer raises NotRight, whose message is a hint: the symptom at the first
    try, the cause at the second, the way to repair it at the third.
    """
    verdict = grade(name, answer)
    if verdict.printed.strip():
        print(verdict.printed.rstrip())
    if verdict.passed:
        _TRIES.pop(name, None)
        print(f"{name}: {verdict.message}")
        return
    if verdict.status == "not attempted":
        print(f"{name}: not attempted yet.")
        if os.environ.get("NBGRADER_EXECUTION"):
            raise NotRight(f"{name}: not attempted yet.")
        return
    tries = _TRIES[name] = _TRIES.get(name, 0) + 1
    shown = tries > _SOLUTION_AFTER and solved.offer(name)
    raise NotRight(_words(name, verdict, tries, shown))


def _words(name: str, verdict: Verdict, tries: int, shown: bool) -> str:
    lines = [f"{name}: {verdict.message}"]
    if verdict.hint:
        steps = (verdict.hint.symptom, verdict.hint.cause, verdict.hint.idea)
        lines += [step for step in steps[:tries] if step != verdict.message]
    if shown:
        lines.append("A solution is folded up above: open it to compare it with yours.")
    elif tries > _SOLUTION_AFTER:
        lines.append(f"A solution is in solutions/, in the notebook {name[:2]}.")
    return "\n".join(lines)


def _outside(answer: object, verdict: Verdict) -> Verdict:
    """A failed function that leans on values of other cells: name them."""
    if verdict.status != "failed" or not inspect.isfunction(answer):
        return verdict
    used = {n: answer.__globals__.get(n) for n in _globals_read(answer.__code__)}
    values = [n for n, v in used.items() if isinstance(v, _DATA) or torch.is_tensor(v)]
    if not values:
        return verdict
    names = ", ".join(f"`{name}`" for name in sorted(values)[:3])
    note = f"It uses {names} from outside the function: was that meant?"
    return replace(verdict, message=f"{verdict.message} {note}")


def _globals_read(code) -> set[str]:
    """Names of globals that this code reads, or a function within it.

    inspect.getclosurevars looks at co_names, where attributes stand as well: a call of
    x.mean() would be taken for a look at a global `mean`.
    """
    steps = dis.get_instructions(code)
    names = {step.argval for step in steps if step.opname == "LOAD_GLOBAL"}
    return names.union(*map(_globals_read, filter(inspect.iscode, code.co_consts)))


# ------------------------------------------------------------------ the answer


def _untouched(answer: object) -> bool:
    """Ellipsis, or a function that does nothing but raise NotImplementedError."""
    if answer is ...:
        return True
    if not inspect.isfunction(answer):
        return False
    steps = list(dis.get_instructions(answer))
    names = [step.opname for step in steps if step.opname not in ("RESUME", "NOP")]
    stops = any(step.argval == "NotImplementedError" for step in steps)
    if stops and not any(name.startswith("RETURN") for name in names):
        return True
    empty = names in (["RETURN_CONST"], ["LOAD_CONST", "RETURN_VALUE"])
    return empty and answer.__code__.co_consts[-1] is None and not _returns(answer)


def _returns(function) -> bool:
    """Whether the source says `return` (an answer that returns None is an attempt)."""
    with contextlib.suppress(OSError, TypeError):
        return "return" in inspect.getsource(function)
    return False


def _payload(answer: object) -> bytes:
    """The answer by value, with all that it needs from where it was written."""
    first = answer[0] if isinstance(answer, (list, tuple)) and answer else answer
    module = inspect.getmodule(first) or inspect.getmodule(type(first))
    own = module is not None and _is_learners(module)
    if own:
        cloudpickle.register_pickle_by_value(module)
    try:
        buffer = io.BytesIO()
        cloudpickle.dump(answer, buffer)
        return buffer.getvalue()
    finally:
        if own:
            cloudpickle.unregister_pickle_by_value(module)


def _is_learners(module) -> bool:
    """Written by the learner: neither Python's, nor installed, nor the course's."""
    name, file = module.__name__.partition(".")[0], getattr(module, "__file__", None)
    return bool(file) and name != "__main__" and answers.is_learners(file)


# ------------------------------------------------------------------ the judge's process


class _Worker:
    """The warm judge: started at the first answer, started anew when it died."""

    def __init__(self):
        self.process, self.lock = None, threading.Lock()

    def ask(self, name: str, payload: bytes) -> Verdict:
        with self.lock:
            for _ in range(2):
                self.start()
                try:
                    return self._exchange(name, payload)
                except (OSError, EOFError):
                    self.stop()
                except BaseException:  # interrupted: its verdict is nobody's any more
                    self.stop()
                    raise
        return Verdict("error", "It ended the checker before there was a verdict.")

    def _exchange(self, name: str, payload: bytes) -> Verdict:
        """A line with the exercise and the payload's length, the payload; a verdict."""
        self.process.stdin.write(f"{name} {len(payload)}\n".encode() + payload)
        self.process.stdin.flush()
        reply = self.process.stdout.readline()
        if not reply:
            raise EOFError
        return Verdict.from_json(reply)

    def start(self) -> None:
        """Start the judge unless it runs; it takes seconds until it can answer."""
        if self.process is not None and self.process.poll() is None:
            return
        command = [sys.executable, "-m", "gancourse.checks.judge"]
        path = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
            start_new_session=True,  # an interrupt of the kernel is not meant for it
        )

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


_WORKER = _Worker()
atexit.register(_WORKER.stop)
if "ipykernel" in sys.modules:  # in a notebook: ready by the time of the first answer
    _WORKER.start()
