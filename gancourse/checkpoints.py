"""Saving and resuming: atomic, verified, exact.

One file a checkpoint, `step0000120-<hash>.pt`, the hash being that of its bytes: a file
that was cut, flipped or swapped is recognised before it is opened. It is written beside
its final name, flushed to the disk, renamed, and read back; the newest three are kept.
Resuming takes the highest step whose file is whole, and continues bit for bit.
"""

import contextlib
import io
import pickle
import re
import shutil
from pathlib import Path

import torch
import torch.distributed as dist

from gancourse import snapshot, storage
from gancourse.errors import CheckpointError
from gancourse.training import State, TrainConfig

_NAME = re.compile(r"step(\d{7,})-([0-9a-f]{16})\.pt")

# ------------------------------------------------------------------ writing


def save(state: State, folder: str | Path, keep: int = 3) -> Path | None:
    """Write the run to `folder`; returns the new file (None on ranks above 0).

    Raises CheckpointError when it cannot be written; files that stood there before
    are never touched until the new one has been read back.
    """
    if dist.is_initialized() and dist.get_rank() > 0:
        return None
    folder = storage.absolute(folder)
    data = _serialised(state, folder)
    path = folder / f"step{state.step:07d}-{storage.digest(data)}.pt"
    try:
        storage.lock(folder)
        if state.saved_in != folder:
            _refuse_another_run(folder, state)
        _refuse_a_newer_run(folder, state.step)
        storage.write_atomically(path, data)
        written = path.read_bytes()
    except OSError as error:
        why, cure = storage.why_not(error, len(data))
        raise CheckpointError(
            f"Step {state.step} could not be saved in "
            f"'{storage.shown(folder)}': {why}. {_what_stands(folder, path)} {cure}"
        ) from None
    if written != data:
        raise CheckpointError(
            f"Step {state.step} was written to '{storage.shown(folder)}' but "
            f"reads back differently. {_what_stands(folder, path)} Choose another "
            "folder: this disk loses data."
        )
    _prune(folder, path, state.step, keep)
    state.saved_in = folder
    return path


def _serialised(state: State, folder: Path) -> bytes:
    """The bytes of a checkpoint, of a whole and finite state only."""
    contents = snapshot.snapshot(state)
    if not state.whole or state.bad_step > 0:
        raise CheckpointError(
            f"The step after {state.step} was stopped halfway, so this state belongs "
            f"to no step and was not saved. {_what_stands(folder)} Go on from there "
            "with checkpoints.resume."
        )
    if bad := snapshot.not_finite(contents):
        raise CheckpointError(
            f"Step {state.step} holds values that are not numbers ({bad}) and was "
            f"not saved. {_what_stands(folder)} Go on from there with a lower learning "
            "rate."
        )
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    return buffer.getvalue()


def _refuse_another_run(folder: Path, state: State) -> None:
    """What another game or other settings left here would be pruned, unasked."""
    for _, path in _generations(folder):
        with contextlib.suppress(CheckpointError):  # damaged: the next older one counts
            contents = load(path)
            break
    else:
        return
    snapshot.match(contents, state, folder.name[-40:])


def _refuse_a_newer_run(folder: Path, step: int) -> None:
    """A whole checkpoint of a later step would win at the next resume, unasked."""
    for later, path in _generations(folder):
        if later > step and storage.digest(path.read_bytes()) == path.stem[-16:]:
            raise CheckpointError(
                f"'{folder.name[-60:]}' already holds step {later} of an earlier run; "
                f"step {step} was not saved there, and its files are untouched. "
                "Continue that run with checkpoints.resume, or choose another folder."
            )


def _prune(folder: Path, newest: Path, step: int, keep: int) -> None:
    """Remove old generations. Later steps are damaged ones, and left."""
    with contextlib.suppress(OSError):  # of the folder itself: then nothing is removed
        older = [p for s, p in _generations(folder) if s < step]
        same = [p for s, p in _generations(folder) if s == step and p != newest]
        for path in same + older[max(keep, 1) - 1 :]:
            storage.remove(path)


# ------------------------------------------------------------------ reading


def resume(
    folder: str | Path, game, config: TrainConfig, recipe: dict | None = None
) -> State:
    """Continue the run in `folder`, or start a fresh one, saying which in one line.

    The newest whole checkpoint wins; damaged ones are named and left where they are.
    Raises CheckpointError for another game's run, changed settings, or a lost random
    state: never half a match, never a silent restart.
    """
    folder = storage.absolute(folder)
    first = not dist.is_initialized() or dist.get_rank() == 0
    if first:
        _own(folder)
    state = State(game, config, recipe)
    contents = latest(folder)
    if contents is not None:
        snapshot.match(contents, state, folder.name[-40:])
        snapshot.restore(contents, state)
    state.saved_in = folder
    if first:
        _make_sure_of_room(state, folder)
        print(
            f"Fresh start in {folder.name}: no checkpoint there yet."
            if contents is None
            else f"Resumed {folder.name} at step {state.step:,}: 0 saved steps lost."
        )
    return state


def _own(folder: Path) -> None:
    """Lock the folder, or say before the first step why nothing can be saved there."""
    try:
        storage.lock(folder)
    except OSError as error:
        why, cure = storage.why_not(error, 0)
        raise CheckpointError(
            f"Nothing could be saved in '{storage.shown(folder)}': {why}. Nothing was "
            f"started. {cure}"
        ) from None
    storage.sweep(folder)


def _make_sure_of_room(state: State, folder: Path, keep: int = 3) -> None:
    """Refuse before the first step what could not be saved later."""
    size = len(_serialised(state, folder))
    if state.step == 0:  # Adam has yet to make its two averages of every weight
        size *= 3
    needed = size * max(1, keep + 1 - len(_generations(folder)))
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CheckpointError(
            f"The disk of '{storage.shown(folder)}' has {free / 1e6:.1f} MB free, but "
            f"the checkpoints of this run need {needed / 1e6:.1f} MB. Nothing was "
            "started. Free some space, or choose another folder."
        )


def latest(folder: str | Path) -> dict | None:
    """Contents of the newest whole checkpoint in `folder`; None when there is no file.

    Raises CheckpointError when there are files and none can be used.
    """
    folder = storage.absolute(folder)
    try:
        a_file, generations = folder.is_file(), _generations(folder)
    except OSError as error:
        raise CheckpointError(
            f"'{storage.shown(folder)}' cannot be read ({error.strerror}). It was "
            "left as it is. Check that its drive is there, or name another folder."
        ) from None
    if a_file:
        raise CheckpointError(
            f"'{folder.name[-60:]}' is a file, not a run's folder. It was left as it "
            "is. Name a folder instead."
        )
    problem = ""
    for step, path in generations:
        try:
            contents = load(path)
        except CheckpointError as error:
            problem = problem or f"step {step}: {error}"
            continue
        if problem:
            print(
                f"Step {generations[0][0]} in {folder.name} is missing or damaged; "
                f"continuing from step {step}."
            )
        return contents
    if problem:
        raise CheckpointError(
            f"No checkpoint in '{folder.name[-60:]}' can be used ({problem[:120]}…). "
            "All files were left as they are. Restore one, or use another folder."
        )
    return None


def load(path: str | Path) -> dict:
    """Contents of one checkpoint file, checked: name, bytes, types, values.

    Raises CheckpointError; no code in the file is ever run.
    """
    path = Path(path)
    data = _read(path)
    try:
        contents = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"'{path.name}' contains program code, not only weights. It was not "
            "opened. Delete it, and ask whoever gave it to you."
        ) from None
    except Exception:  # torch.load raises whatever the bytes make it stumble over
        raise snapshot.foreign(path.name) from None
    try:
        snapshot.check(path.name, contents, len(data))
    except RecursionError:
        raise snapshot.foreign(path.name) from None
    if contents["step"] != int(_NAME.fullmatch(path.name)[1]):
        raise snapshot.foreign(path.name)
    return contents


def _read(path: Path) -> bytes:
    """The bytes of a checkpoint whose name proves them."""
    if path.is_dir() or not path.exists():
        kind = "a folder" if path.is_dir() else "not there"
        raise CheckpointError(f"'{path.name}' is {kind}. Name a checkpoint file.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"'{path.name}' cannot be read ({error.strerror}). It was left as it is. "
            "Check its permissions."
        ) from None
    named = _NAME.fullmatch(path.name)
    if named is None or storage.digest(data) != named[2]:
        what = storage.what_is_it(data)
        if named is None and "its name" in what:
            what = "has lost its name (step…-….pt), which proves that it is whole"
        raise CheckpointError(
            f"'{path.name[-60:]}' {what}. It was not opened and left as it is. Use an "
            "older checkpoint, or train again."
        )
    if data.startswith(b"PK") and storage.unpacks_to_its_size(data):
        return data
    raise snapshot.foreign(path.name)


# ------------------------------------------------------------------ the folder


def _generations(folder: Path) -> list[tuple[int, Path]]:
    """(step, file) of each checkpoint in the folder, newest step first, no clock."""
    if not folder.is_dir():
        return []
    found = [(int(m[1]), p) for p in folder.iterdir() if (m := _NAME.fullmatch(p.name))]
    return sorted(found, key=lambda pair: (-pair[0], pair[1].name))


def _what_stands(folder: Path, skip: Path | None = None) -> str:
    try:
        steps = [step for step, path in _generations(folder) if path != skip]
    except OSError:  # a network drive that has gone
        return "What was saved there cannot be looked at now."
    return f"Your last saved step is {steps[0]}." if steps else "No step is saved yet."
