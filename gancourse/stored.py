"""Outputs of a run, stored in the course's own notebooks."""

import subprocess
from pathlib import Path

from gancourse import course, storage
from gancourse.errors import GancourseError

_VIEW = "application/vnd.jupyter.widget-view+json"


def strip(book) -> None:
    """Remove what belongs to a run and not to the notebook."""
    book.cells = [
        cell
        for cell in book.cells
        if not {"injected-parameters", "papermill-error-cell-tag"}
        & set(cell.metadata.get("tags", []))
    ]
    count = 0
    for cell in book.cells:
        tags = cell.metadata.get("tags", [])
        cell.metadata = {"tags": tags} if tags else {}
        if cell.cell_type != "code":
            continue
        if cell.execution_count is not None:
            count += 1
            cell.execution_count = count
        for output in cell.outputs:
            output.get("data", {}).pop(_VIEW, None)
            if "execution_count" in output:
                output.execution_count = count
    for name in set(book.metadata) - {"gancourse"}:
        del book.metadata[name]
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    book.metadata["kernelspec"] = python
    book.metadata["language_info"] = {"name": "python"}


def store(path: Path, executed: Path, before: bytes) -> None:
    """Outputs of the executed notebook into the course's own, its source untouched."""
    import nbformat

    if path.read_bytes() != before:
        raise GancourseError(
            f"{path.name} was edited while it ran, so its outputs were not stored. "
            "Run it again."
        )
    book = nbformat.read(executed, 4)
    strip(book)
    own = nbformat.reads(before.decode("utf-8"), 4)
    for cell, ran in zip(own.cells, book.cells, strict=True):
        assert cell.source == ran.source, "papermill changed a cell"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = ran.outputs, ran.execution_count
    strip(own)
    own.metadata["gancourse"] = {"code_hash": course.code_hash(path)}
    text = nbformat.writes(own, 4)
    storage.write_atomically(path, (text.rstrip("\n") + "\n").encode("utf-8"))


def refuse_modified(path: Path) -> None:
    """Refuse to write over changes that git does not know of."""
    command = ["git", "status", "--porcelain", "--", path.name]
    try:
        done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True)
    except OSError:
        return  # no git here: then there is no history to protect either
    if done.returncode == 0 and done.stdout and not done.stdout.startswith("??"):
        raise GancourseError(
            f"{path.name} has changes that are not committed, and was left as it is. "
            "Commit them first, or give --force to write it all the same."
        )
