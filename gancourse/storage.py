"""Files that are whole or not there: atomic writing, one owner a folder, and damage.

Nothing here knows what a checkpoint holds; see checkpoints.py for that.
"""

import contextlib
import errno
import hashlib
import io
import os
import secrets
import time
import zipfile
from pathlib import Path

from gancourse.errors import CheckpointError, GancourseError

_NO_SUCH_CALL = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


def absolute(folder: str | Path) -> Path:
    """The folder's full path, `~` resolved; CheckpointError where there is none."""
    if not isinstance(folder, str | Path):
        raise CheckpointError(
            f"A folder is named by its path, not by a {type(folder).__name__}. Nothing "
            "was changed. Give the path of a folder."
        )
    try:
        path = Path(folder).expanduser().absolute()
    except (OSError, RuntimeError):
        path = None
    if path is None or _too_long(path):
        raise CheckpointError(
            f"'{shown(Path(folder))}' names no folder from here: the current folder "
            "may be gone, or the name too long. Nothing was changed. Give the full "
            "path of a folder."
        )
    return path


def _too_long(path: Path) -> bool:
    """Whether no file can have this name; a drive that vanished is another matter."""
    try:
        path.exists()
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


def shown(path: Path) -> str:
    """The end of a path, short enough for a message."""
    text = str(path)
    return text if len(text) <= 80 else "…" + text[-79:]


def digest(data: bytes) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()[:16]


# ------------------------------------------------------------------ writing


def write_atomically(path: Path, data: bytes) -> None:
    """All or nothing: temporary file beside `path`, fsync, rename, fsync folder."""
    # The name is short and random: long names still fit, two writers never share one.
    temporary = path.with_name(f".{path.name[:24]}-{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            _fsync(file.fileno())
        _replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    # Some file systems (network drives, Windows) cannot fsync a folder: the file
    # itself is complete all the same, only the rename may be lost with the power.
    with contextlib.suppress(OSError):
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_or_say(path: Path, data: bytes) -> None:
    """`write_atomically`, its folder made first; a failure is one sentence."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        why, cure = why_not(error, len(data))
        raise GancourseError(
            f"'{shown(path)}' could not be written: {why}. {cure}"
        ) from None


def _fsync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:  # a file system without it: whole files still, no promise
        if error.errno not in _NO_SUCH_CALL:  # for the moment the power fails
            raise


def _replace(source: Path, target: Path) -> None:
    """Rename; on Windows a virus scanner may hold the file for a moment."""
    for pause in (0.05, 0.2):
        try:
            return os.replace(source, target)
        except PermissionError:
            time.sleep(pause)
    return os.replace(source, target)


def why_not(error: OSError, size: int) -> tuple[str, str]:
    """(what is wrong, what to do next) for a failed write of `size` bytes."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        full = f"the disk is full (this needs {max(1, size // 1024):,} KB)"
        return full, "Free some space, or choose another folder."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "the folder cannot be written to", "Choose another folder."
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "a file stands where a folder should be", "Name a folder instead."
    return f"the disk answered: {error.strerror or error}", "Choose another folder."


# ------------------------------------------------------------------ one owner a folder

_locks: dict[Path, object] = {}  # kept open as long as this process lives


def lock(folder: Path) -> None:
    """Make the folder and own it; the system frees the locks of dead processes.

    Raises CheckpointError when another live process owns it, OSError when the folder
    cannot be made or written to. Harmless when this process owns it already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows: random temporary names still keep files whole
        return
    if folder in _locks and _is_still_there(_locks[folder], folder / ".lock"):
        return
    handle = open(folder / ".lock", "a+")  # noqa: SIM115 (open means owned)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.seek(0)
        holder = handle.read().strip()[:60] or "another process"
        handle.close()
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return  # no locks on this file system
        raise CheckpointError(
            f"The run in '{folder.name[-60:]}' is already training in {holder}. "
            "Nothing was changed. Wait for it, stop it, or use another folder."
        ) from None
    with contextlib.suppress(OSError):  # a full disk: locked all the same
        handle.truncate(0)
        handle.write(f"process {os.getpid()} since {time.strftime('%H:%M')}")
        handle.flush()
    _locks[folder] = handle


def _is_still_there(handle, path: Path) -> bool:
    """Whether the folder was not moved or made anew since we locked it."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), os.stat(path))
    except OSError:
        return False


def sweep(folder: Path) -> None:
    """Remove what a killed write left."""
    for temporary in folder.glob(".step*.tmp"):
        remove(temporary)


def remove(path: Path) -> None:
    """Remove a file of a run's folder, if it can be and is surely nobody else's.

    Who holds the lock is alone there; where there are no locks, what is younger than
    a minute may belong to another live process.
    """
    with contextlib.suppress(OSError):
        if path.parent in _locks or path.stat().st_mtime < time.time() - 60:
            path.unlink()


# ------------------------------------------------------------------ kinds of damage

_KINDS = [
    (b"\xff\xd8", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF"),
    (b"\x80", "a bare pickle, which may contain program code,"),
]


def what_is_it(data: bytes) -> str:
    """A clause on bytes that are no whole checkpoint: empty, cut, foreign, damaged."""
    kind = next((name for magic, name in _KINDS if data.startswith(magic)), None)
    if not data:
        return "is empty"
    if kind:
        return f"is {kind} and no checkpoint"
    if data.lstrip()[:1] == b"<":
        return "is a web page and no checkpoint"
    if not data.startswith(b"PK"):
        return "is no checkpoint"
    with contextlib.suppress(zipfile.BadZipFile):  # raised for some damage inside
        if not zipfile.is_zipfile(io.BytesIO(data)):
            return f"is incomplete ({len(data):,} bytes are there)"
    return "is damaged: its bytes do not match its name"


def unpacks_to_its_size(data: bytes) -> bool:
    """Whether a zip file is stored as it is, each entry once: any other is a trap."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return False
    once = len({e.filename for e in entries}) == len(entries) < 20_000
    stored = all(e.compress_type == zipfile.ZIP_STORED for e in entries)
    return once and stored and sum(e.file_size for e in entries) <= len(data)
