"""exercises/ from solutions/: one source, nbgrader's own steps, nothing by hand.

A solution notebook carries nbgrader's metadata. What stands between BEGIN SOLUTION and
END SOLUTION becomes a stub, checks are locked, and each gets a checksum.
"""

from pathlib import Path

from gancourse import course, storage
from gancourse.errors import GancourseError

STUB = "# your code here\nraise NotImplementedError"


def solutions() -> list[Path]:
    """The solution notebooks, by number."""
    return sorted((course.folder().parent / "solutions").glob("[0-9][0-9]_*.ipynb"))


def exercise(solution: Path) -> bytes:
    """The exercise notebook that nbgrader makes of a solution notebook."""
    import nbformat

    need_nbgrader()
    from nbgrader import preprocessors as steps
    from traitlets.config import Config

    book, resources = nbformat.read(solution, 4), {}
    config = Config()
    config.ClearSolutions.code_stub = {"python": STUB}
    for step in (
        steps.ClearSolutions,
        steps.LockCells,
        steps.ComputeChecksums,
        steps.ClearOutput,
        steps.CheckCellMetadata,
        steps.ClearHiddenTests,
        steps.ComputeChecksums,
    ):
        book, resources = step(config=config).preprocess(book, resources)
    text = nbformat.writes(book, 4)
    return (text.rstrip("\n") + "\n").encode("utf-8")


def release(check: bool = False, force: bool = False) -> list[str]:
    """Write (or only compare) exercises/; the names of the files that differed.

    Raises GancourseError when an exercise was edited by hand and `force` is not given.
    """
    from gancourse import stored

    differing = []
    for solution in solutions():
        path = solution.parents[1] / "exercises" / solution.name
        content = exercise(solution)
        if path.is_file() and path.read_bytes() == content:
            continue
        differing.append(path.name)
        if check:
            continue
        if path.is_file() and not force:
            stored.refuse_modified(path)
        path.parent.mkdir(exist_ok=True)
        storage.write_atomically(path, content)
    return differing


def need_nbgrader() -> None:
    """Raise GancourseError where nbgrader is not installed."""
    try:
        import nbgrader  # noqa: F401
    except ImportError:
        raise GancourseError(
            "nbgrader is not installed, and nothing was done. Install it with: "
            'python -m pip install -e ".[instructor]"'
        ) from None
