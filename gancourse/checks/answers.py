"""The learner's side: a process of its own in which the answer runs, within limits.

It is a guard against accidents (endless loops, floods, files), not against attackers.
On Linux it has no network, and can write in its own folder only, where the system lets
a process shut itself in.
"""

import contextlib
import ctypes
import os
import struct
import sys
import tempfile
import traceback

import cloudpickle
import torch

from gancourse.checks import wire

MEMORY = 4 << 30  # bytes beyond what Python and torch already take
FILES = 50 << 20  # bytes in one file
_RESULT, _RAISED = "result", "raised"


def serve(connection, output: int, payload: bytes, seconds: float, folder: str) -> None:
    """Load the answer; then run what the judge asks for, one request after another."""
    _confine(connection.fileno(), output, seconds, folder)
    known: list = []
    try:
        known.append(cloudpickle.loads(payload))
        _reply(connection, _RESULT, None)
    except BaseException as error:
        _reply(connection, _RAISED, error)
        return
    while True:
        try:
            helper, arguments = cloudpickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        _run(connection, known[0], helper, arguments)


def _run(connection, answer, helper, arguments) -> None:
    before = cloudpickle.dumps(_tensors(arguments))
    try:
        result = helper(answer, *arguments) if helper else answer(*arguments)
    except BaseException as error:  # SystemExit and KeyboardInterrupt too
        _reply(connection, _RAISED, error)
        return
    try:
        _reply(connection, _RESULT, result, _changed(before, arguments))
    except BaseException as error:
        _reply(connection, _RAISED, error)


def _tensors(arguments) -> list:
    return [a.detach().clone() if torch.is_tensor(a) else None for a in arguments]


def _changed(before: bytes, arguments) -> list[int]:
    """Positions of tensor arguments that the answer wrote over."""
    pairs = zip(cloudpickle.loads(before), _tensors(arguments), strict=True)
    return [
        i
        for i, (old, new) in enumerate(pairs)
        if old is not None and not torch.equal(old.nan_to_num(), new.nan_to_num())
    ]


def _reply(connection, kind: str, value, changed: list[int] | None = None) -> None:
    if kind == _RAISED:
        value = _told(value)
    sys.stdout.flush()
    connection.send_bytes(
        wire.pack({"kind": kind, "value": value, "changed": changed or []})
    )


def _told(error: BaseException) -> dict:
    """An exception as data: its type, its text, and the learner's own line."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if is_learners(f.filename)]
    file, line = (own[-1].filename, own[-1].lineno) if own else ("", 0)
    if isinstance(error, SyntaxError):
        file, line = error.filename or "", error.lineno or 0
    words = str(error)[:300]
    name = getattr(error, "name", None)
    return {
        "type": type(error).__name__,
        "bases": [base.__name__ for base in type(error).__mro__],
        "text": words,
        "file": str(file),
        "line": int(line or 0),
        "name": name if isinstance(name, str) else "",
    }


def is_learners(file: str) -> bool:
    """Neither Python's, nor installed, nor the course's."""
    course = os.path.dirname(os.path.dirname(__file__))
    installed = "site-packages" in file or "dist-packages" in file  # Debian's, Colab's
    theirs = (course + os.sep, os.path.dirname(os.__file__), "<frozen ")
    return not installed and not file.startswith(theirs)


def _confine(connection: int, output: int | None, seconds: float, folder: str) -> None:
    """Own session, own folder, limits; what is printed goes into the judge's pipe."""
    if hasattr(os, "setsid"):
        os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if output is None:  # a new process inherits no pipe: what it prints is lost
        output = os.open(os.devnull, os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if hasattr(os, "fork"):  # inherited: the judge's own pipes are none of its business
        os.closerange(3, connection)
        os.closerange(connection + 1, 4096)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stderr = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.platform == "linux":
        with contextlib.suppress(Exception):  # no C library that knows of it
            _shut_in(os.fsencode(folder))
    os.chdir(folder)
    os.environ["HOME"] = os.environ["TMPDIR"] = tempfile.tempdir = folder
    sys.setrecursionlimit(1000)
    try:
        import resource
    except ImportError:  # Windows has no resource limits; the clock still holds
        return
    for what, limit in [
        (resource.RLIMIT_AS, _memory_now(resource) + MEMORY),
        (resource.RLIMIT_FSIZE, FILES),
        (resource.RLIMIT_CPU, int(seconds) + 2),
        (resource.RLIMIT_CORE, 0),
    ]:
        _, most = resource.getrlimit(what)
        if most == resource.RLIM_INFINITY or limit < most:
            with contextlib.suppress(ValueError, OSError):  # macOS refuses RLIMIT_AS
                resource.setrlimit(what, (limit, limit))


# Linux's own numbers, which Python 3.11 has no names for
_NEW_MOUNTS, _NEW_USER, _NEW_NETWORK = 0x20000, 0x10000000, 0x40000000
_BIND, _PRIVATE, _RECURSIVE = 4096, 1 << 18, 16384
_MOUNT_SETATTR, _BELOW_TOO, _READ_ONLY = 442, 0x8000, 1


def _shut_in(folder: bytes) -> None:
    """From now on: no network, and every file system read-only but for `folder`.

    Root may do so at once, others as root of a user namespace of their own; where
    neither is allowed (many containers), nothing changes.
    """
    system = ctypes.CDLL(None)
    own = _NEW_MOUNTS | _NEW_NETWORK
    if system.unshare(own) and system.unshare(own | _NEW_USER):
        return
    if system.mount(None, b"/", None, _RECURSIVE | _PRIVATE, None):
        return  # what is mounted here must not show outside
    system.mount(folder, folder, None, _BIND, None)
    for path, how, on, off in [(b"/", _BELOW_TOO, 1, 0), (folder, 0, 0, 1)]:
        attributes = struct.pack("QQQQ", on * _READ_ONLY, off * _READ_ONLY, 0, 0)
        system.syscall(_MOUNT_SETATTR, -100, path, how, attributes, len(attributes))


def _memory_now(resource) -> int:
    """Address space in bytes that Python and torch take already."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # no /proc: torch with CUDA takes less than this
        return 32 << 30
