"""A learner's copy of the notebooks: what was changed there is never overwritten."""

import hashlib
import json
from pathlib import Path

from gancourse import course, storage
from gancourse.errors import GancourseError

MANIFEST = ".gancourse.json"  # what was handed out: {file: SHA-256}


def update(folder: str | Path) -> list[str]:
    """Bring the working copy up to date; returns a sentence for each file of note.

    A file that the learner changed is kept; a newer version of it arrives beside it as
    "…-new.ipynb". A file that was not changed is replaced.
    """
    folder = storage.absolute(folder)
    source = course.folder().parent
    if folder == source:
        raise GancourseError(
            f"'{storage.shown(folder)}' is the course itself, not a copy. Nothing was "
            "changed. Name another folder, or give --here to work on the originals."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _update(source, folder)
    except OSError as error:
        why, cure = storage.why_not(error, 0)
        raise GancourseError(
            f"The working copy '{storage.shown(folder)}' could not be written: {why}. "
            f"What stood there was kept. {cure}"
        ) from None


def _update(source: Path, folder: Path) -> list[str]:
    handed_out, notes = _manifest(folder), []
    for part in ("notebooks", "exercises"):
        for original in sorted((source / part).glob("*.ipynb")):
            name = f"{part}/{original.name}"
            new = original.read_bytes()
            copy = folder / name
            if _digest(new) == handed_out.get(name) and copy.is_file():
                continue  # the same version as before: whatever the learner did stays
            if copy.is_file() and not _untouched(copy, handed_out.get(name), new):
                beside = _beside(copy, handed_out, folder)
                _write(beside, new)
                handed_out[beside.relative_to(folder).as_posix()] = _digest(new)
                notes.append(
                    f"You changed {copy.name}, so it was kept; its new version is "
                    f"{beside.name}."
                )
            else:
                _write(copy, new)
            handed_out[name] = _digest(new)
    text = json.dumps(handed_out, indent=1, sort_keys=True)
    storage.write_atomically(folder / MANIFEST, text.encode())
    return notes


def _untouched(copy: Path, given: str | None, new: bytes) -> bool:
    """Whether the learner's file is the one that was handed out (or the new one)."""
    return _digest(copy.read_bytes()) in (given, _digest(new))


def _beside(copy: Path, handed_out: dict[str, str], folder: Path) -> Path:
    """A name beside `copy` that is free, or holds an earlier version left untouched."""
    for number in range(1, 1000):
        name = f"{copy.stem}-new{'' if number == 1 else f'-{number}'}.ipynb"
        beside = copy.with_name(name)
        given = handed_out.get(beside.relative_to(folder).as_posix())
        if not beside.exists() or _digest(beside.read_bytes()) == given:
            return beside
    raise GancourseError(
        f"There are too many new versions beside {copy.name}. Delete some of them."
    )


def _manifest(folder: Path) -> dict[str, str]:
    """What was handed out; nothing known (a damaged file) means: keep all there is."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return {str(name): str(digest) for name, digest in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    storage.write_atomically(path, content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
