"""The judge's side: a warm process that never runs a learner's code itself.

`python -m gancourse.checks.judge` imports once, then for each answer forks a judge,
which starts the learner's process, asks it for results, compares them, and writes a
verdict. A pass is always an explicit verdict; silence, an exit, a crash is none.
"""

import contextlib
import importlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import cloudpickle

from gancourse.checks import answers, wire
from gancourse.checks.verdict import Exercise, Mistake, Verdict

SHOWN = 2_000  # characters of what an answer prints
# A fork of the warm process takes milliseconds; where there is none, a new process.
CONTEXT = multiprocessing.get_context(
    "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
)
FORKS = CONTEXT.get_start_method() == "fork"
STARTING = 0 if FORKS else 60  # seconds more for a new process, which imports torch


class Raised(Exception):
    """The answer raised; `told` is what answers._told wrote."""

    def __init__(self, told: dict):
        super().__init__(told)
        self.told = told


class Silent(Exception):
    """The learner's process ended, or ran out of time, without a result."""


class Answer:
    """The learner's answer as `examine` sees it: call it with data, get data back."""

    def __init__(self, payload: bytes, seconds: float):
        self.deadline = time.monotonic() + seconds + STARTING
        self.folder = tempfile.mkdtemp(prefix="gancourse-answer-")
        self.printed, self.changed = "", []
        self.connection, theirs = CONTEXT.Pipe()
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        self.process = CONTEXT.Process(
            target=answers.serve,
            args=(theirs, writing if FORKS else None, payload, seconds, self.folder),
        )
        self.process.start()
        theirs.close()
        os.close(writing)
        self._reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._reader.start()

    def load(self) -> None:
        """Wait until the learner's process has read the answer."""
        self._receive()

    def __call__(self, *arguments) -> object:
        """answer(*arguments), in the learner's process."""
        return self._ask(None, arguments)

    def value(self) -> object:
        """The answer itself, or what it returns: numbers, words, lists of them."""
        return self._ask(_itself, ())

    def using(self, helper, *arguments) -> object:
        """helper(answer, *arguments) there, for what needs more than one plain call."""
        return self._ask(helper, arguments)

    def _ask(self, helper, arguments: tuple) -> object:
        try:
            self.connection.send_bytes(cloudpickle.dumps((helper, arguments)))
        except OSError:
            raise Silent(self._ending()) from None
        return self._receive()

    def _receive(self) -> object:
        try:
            if not self.connection.poll(max(0, self.deadline - time.monotonic())):
                raise Silent("time")
            reply = wire.unpack(self.connection.recv_bytes(wire.LIMIT))
        except (EOFError, OSError):
            raise Silent(self._ending()) from None
        except (ValueError, KeyError, TypeError):
            raise Silent("garbled") from None
        if reply["kind"] == "raised":
            raise Raised(reply["value"])
        self.changed = reply["changed"]
        return reply["value"]

    def _ending(self) -> str:
        self.process.join(1)
        code = self.process.exitcode
        if code is None:
            return "closed"
        if code == -getattr(signal, "SIGXCPU", 0):
            return "time"
        return "exit" if code >= 0 else signal.Signals(-code).name

    def _read(self, pipe: int) -> None:
        """Keep the beginning of what is printed, let the rest go by."""
        with contextlib.suppress(OSError), os.fdopen(pipe, "rb") as file:
            while part := file.read1(65_536):
                if len(self.printed) <= SHOWN:
                    self.printed += part.decode("utf-8", "replace")

    def close(self) -> None:
        """End the learner's process and all that it started."""
        with contextlib.suppress(OSError, AttributeError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join(2)
        shutil.rmtree(self.folder, ignore_errors=True)


def _itself(answer: object) -> object:
    return answer() if callable(answer) else answer


def judge(
    exercise: Exercise, payload: bytes, announce: Callable[[int], None]
) -> Verdict:
    """Examine one answer (in this process, which must not be the learner's kernel)."""
    answer = None
    try:
        answer = Answer(payload, exercise.seconds)
        announce(answer.process.pid)
        answer.load()
        exercise.examine(answer)
        verdict = Verdict("passed", "Right.")
    except Mistake as mistake:
        hint = exercise.hints[mistake.misconception]
        verdict = Verdict(
            "failed", mistake.seen or hint.symptom, mistake.misconception, hint
        )
    except Raised as raised:
        verdict = _raised(raised.told)
    except Silent as silent:
        verdict = _silent(str(silent), exercise.seconds)
    finally:
        if answer is not None:
            answer.close()
    printed = answer.printed if answer else ""
    if len(printed) > SHOWN:
        printed = printed[:SHOWN] + "\n… (cut)"
    return Verdict(
        verdict.status, verdict.message, verdict.misconception, verdict.hint, printed
    )


def _raised(told: dict) -> Verdict:
    """What an exception in the answer means for the one who wrote it."""
    kind, text, where = told["type"], told["text"], _place(told)
    # torch raises it too, with a text ("... not implemented for 'Long'"): an attempt.
    if "NotImplementedError" in told["bases"] and text in ("", "your code here"):
        return Verdict("not attempted", "Not attempted yet.")
    if "MemoryError" in told["bases"] or "allocate memory" in text:
        limit = answers.MEMORY >> 30
        return Verdict("error", f"It asked for more than {limit} GB of memory{where}.")
    if kind in ("SystemExit", "KeyboardInterrupt"):
        return Verdict("error", f"It ended the program ({kind}){where}.")
    if "CUDA" in text:
        return Verdict("error", f"It asks for a GPU{where}: answers run on the CPU.")
    if "Read-only file system" in text:
        return Verdict("error", f"It writes outside its own folder{where}.")
    if "Network is unreachable" in text or "name resolution" in text:
        return Verdict("error", f"It asks for the network, and has none{where}.")
    if "NameError" in told["bases"] and told["name"]:
        return Verdict(
            "error",
            f"It uses `{told['name']}`, which nobody has given it{where}. Make it an "
            "argument, or define it inside.",
        )
    if kind == "TypeError" and "is not callable" in text and not told["line"]:
        return Verdict(
            "error",
            "It is no function. Hand over the function itself: its name, without "
            "brackets behind it.",
        )
    if "ModuleNotFoundError" in told["bases"] and told["name"]:
        return Verdict("error", f"It imports {told['name']}, which is not installed.")
    return Verdict("error", f"It raised {kind}{where}: {text or 'without a word'}")


def _place(told: dict) -> str:
    return f" in line {told['line']} of your cell" if told["line"] else ""


def _silent(why: str, seconds: float) -> Verdict:
    if why == "time":
        return Verdict(
            "timeout", f"Stopped after {seconds:g} s: does every loop in it end?"
        )
    if why == "garbled":
        return Verdict("error", "Its result cannot be read: it is no plain data.")
    if why in ("exit", "closed"):
        return Verdict("error", "It ended the program before it gave a result.")
    return Verdict("error", f"The program crashed ({why}) before it gave a result.")


# ------------------------------------------------------------------ the warm process


def _examine(name: str, payload: bytes, connection) -> None:
    from gancourse.checks import course_exercises

    exercise = course_exercises.find(name)
    announce = lambda pid: connection.send_bytes(str(pid).encode())  # noqa: E731
    connection.send_bytes(judge(exercise, payload, announce).to_json())


def _one(name: str, payload: bytes, seconds: float) -> Verdict:
    """A verdict from a judge of its own; the judge may be killed by the answer."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_examine, args=(name, payload, theirs))
    process.start()
    theirs.close()
    answering, verdict = None, None
    deadline = time.monotonic() + seconds + 5 + 2 * STARTING
    with contextlib.suppress(EOFError, OSError):
        while verdict is None and ours.poll(max(0, deadline - time.monotonic())):
            said = ours.recv_bytes()
            if answering is None:
                answering = int(said)
            else:
                verdict = Verdict.from_json(said)
    if answering is not None:
        with contextlib.suppress(OSError, AttributeError):
            os.killpg(answering, signal.SIGKILL)
    process.kill()
    process.join()
    gone = "It ended the checker before there was a verdict."
    return verdict or Verdict("error", gone)


def _warm_up() -> None:
    """The first optimizer of a process imports for seconds: once, not in each fork."""
    import torch

    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)  # by hand: autograd must not run before a fork
    for optimizer in (torch.optim.SGD, torch.optim.Adam):
        optimizer([weight], 0.0).step()


def _bring(payload: bytes) -> None:
    """Import here, once, what would take seconds of the answer's own time."""
    for part in ("stats", "linalg", "optimize", "special", "spatial"):
        if b"scipy" in payload and part.encode() in payload:
            with contextlib.suppress(ImportError):
                importlib.import_module(f"scipy.{part}")


def main() -> None:
    """Serve requests from stdin, answer on what was stdout (see client._Worker)."""
    import torch

    from gancourse.checks import course_exercises

    torch.set_num_threads(1)  # a thread pool does not survive a fork
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    course_exercises.every()  # imported before the first fork
    _warm_up()
    while head := incoming.readline():
        name, size = head.decode().split()
        seconds = course_exercises.find(name).seconds
        payload = incoming.read(int(size))
        _bring(payload)
        verdict = _one(name, payload, seconds)
        outgoing.write(verdict.to_json() + b"\n")
        outgoing.flush()


if __name__ == "__main__":
    sys.exit(main())
