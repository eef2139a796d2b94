"""The network, for the few things that are fetched once and on request.

What is fetched is whole or not there; without a network a sentence comes within five
seconds. Files are kept in the user's cache, or, where that cannot be written to, in a
temporary folder.
"""

import contextlib
import os
import queue
import ssl
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from gancourse import storage
from gancourse.errors import GancourseError

SECONDS = 4.0  # without a sign of life: the server is given up
_SLOWEST = 1000  # bytes a second; nobody waits for less
_TRIES = 3


def fetch(
    url: str, most: int, whole: Callable[[bytes], bool], what: str, instead: str
) -> bytes:
    """All bytes behind `url`, at most `most`; `whole(bytes)` says that they are all.

    Three tries where a connection is cut. Otherwise raises GancourseError: `what` needs
    the internet once, why there is none, and what to do `instead`.
    """
    for _ in range(_TRIES):
        try:
            content = _read(url, most)
            if whole(content):
                return content
            why = "what came is not whole and was not kept"
        except (ConnectionError, HTTPException):
            why = f"the connection was cut {_TRIES} times"
        except (OSError, ValueError) as error:
            why = _why(error)
            break
    proxy = _proxy(url)
    check = f" Check {proxy}, which names the proxy that was asked." if proxy else ""
    raise GancourseError(
        f"{what} once: {why}. Nothing was started.{check} {instead}"
    ) from None


def _read(url: str, most: int) -> bytes:
    """All that the server sends; raises when it is silent, cut off, or too much."""
    with _opened(url) as answer:
        announced = answer.headers.get("Content-Length") or ""
        parts, size, before, began = [], 0, 0, time.monotonic()
        while part := answer.read1(1 << 16):
            parts.append(part)
            size += len(part)
            if size > most:
                raise ValueError(f"more than {most:,} bytes came")
            if (passed := time.monotonic() - began) > SECONDS:
                if size - before < _SLOWEST * passed:
                    raise TimeoutError
                before, began = size, time.monotonic()
    if announced.isdecimal() and size != int(announced):
        raise ConnectionError(f"{size} of {announced} bytes came")
    return b"".join(parts)


def _opened(url: str):
    """The server's answer; TimeoutError when none comes in time.

    In a thread, since looking up a name can hang longer than any time limit.
    """
    outcome: queue.Queue = queue.Queue()

    def ask():
        try:
            # urlopen would keep the first proxy it saw, however it was put right since
            outcome.put(urllib.request.build_opener().open(url, timeout=SECONDS))
        except Exception as error:  # raised again below, where somebody waits for it
            outcome.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = outcome.get(timeout=SECONDS)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _why(error: Exception) -> str:
    """A clause on why nothing could be fetched."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code}"
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return f"the server was silent for {SECONDS:g} seconds"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"the server's certificate is not valid ({reason.verify_message})"
    if isinstance(error, OSError):
        return "no server answered"
    return str(error)[:80]


def _proxy(url: str) -> str:
    """The environment variable that names the proxy for `url`, "" where none does."""
    kind, _, rest = url.partition("://")
    if urllib.request.proxy_bypass(rest.partition("/")[0]):
        return ""
    names = [f"{kind}_proxy", f"{kind.upper()}_PROXY"]
    return next((name for name in names if os.environ.get(name)), "")


# ------------------------------------------------------------------ what is kept


def kept(name: str) -> Path | None:
    """The file of this name that was fetched before, if there is one."""
    folders = [_cache(), *_made]
    files = [folder / name for folder in folders if folder is not None]
    return next((file for file in files if file.is_file()), None)


def keep(name: str, content: bytes) -> Path:
    """`content` as a file, whole, in the user's cache or else in a temporary folder."""
    folder = _cache()
    try:
        if folder is None:
            raise FileNotFoundError
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        storage.write_atomically(folder / name, content)
        return folder / name
    except OSError:  # read-only, full, no home
        file = _temporary() / name
        storage.write_or_say(file, content)
        return file


def _cache() -> Path | None:
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # nobody's process: it has no home
        return None
    return Path(cache) / "gancourse"


_made: list[Path] = []  # the temporary folder, once it was needed


def _temporary() -> Path:
    if not _made:
        _made.append(Path(tempfile.mkdtemp(prefix="gancourse-cache-")))
        print(f"The cache cannot be written to: fetched files go to {_made[0]}.")
    return _made[0]


def _sweep(folder: Path) -> None:
    """Remove what killed processes left; a file younger than an hour may be in use."""
    for left in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > 3600:
                left.unlink()
