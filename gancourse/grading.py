"""A folder of submitted exercises marked by nbgrader: no hub, no course directory.

A course directory is made for the occasion and thrown away: nbgrader puts every locked
cell back as it was handed out, runs the notebook, and marks its checks. Submissions are
programs, and they run on this machine: mark what you would also run by hand.
"""

import contextlib
import csv
import io
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from gancourse import release, storage
from gancourse.errors import GancourseError

CELL_SECONDS = 60
# What a page would load from elsewhere: pages stay at home.
_SCRIPT = re.compile(rb"<script src=[\"']https?:[^>]*>\s*</script>")
_PICTURE = re.compile(rb"<img\b[^>]*\bsrc=[\"']https?:[^>]*>")
_ALT = re.compile(rb"\balt=\"([^\"]*)\"")
_CHECK = re.compile(r"""check\(\s*["'](\d\d)\.""")


@dataclass(frozen=True)
class Mark:
    """One exercise of one submission: a row of the table."""

    student: str
    notebook: str
    exercise: str
    points: float
    of: float
    remark: str
    file: str


def grade(folder: Path, feedback: Path) -> Iterator[Mark]:
    """A Mark for each exercise of each submission in `folder`, as they are ready.

    Whoever handed in is the folder NAME/, or NAME in NAME.ipynb or NAME_05_….ipynb.
    What cannot be marked gets one row without points. Pages for the learners are
    written into `feedback`, NAME/NN_….html.
    """
    masters = {path.name[:2]: path for path in release.solutions()}
    found = sorted(path for path in folder.rglob("*.ipynb") if _counts(path, folder))
    if not found:
        raise GancourseError(
            f"'{storage.shown(folder)}' holds no notebooks, and nothing was marked. "
            "Name a folder with one folder, or one notebook, for each learner."
        )
    with tempfile.TemporaryDirectory(prefix="gancourse-grading-") as course:
        nbgrader = _nbgrader(Path(course))
        handed_in: dict[tuple, Path] = {}
        for path in sorted(found, key=lambda path: path.stat().st_mtime):
            number = _number(path)
            who = _student(path, folder, masters.get(number))
            handed_in[who, number or str(path)] = path  # a newer one replaces an older
        for path in found:
            yield from _one(nbgrader, path, folder, masters, handed_in, feedback)


def write(marks: list[Mark], file: Path) -> None:
    """The table as CSV, one row an exercise."""
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(Mark)])
    table.writeheader()
    table.writerows(asdict(mark) for mark in marks)
    storage.write_or_say(file, text.getvalue().encode("utf-8"))


def totals(marks: list[Mark]) -> list[str]:
    """A line for each learner and notebook: points, and of how many."""
    sums: dict[tuple, list[float]] = {}
    for mark in marks:
        both = sums.setdefault((mark.student, mark.notebook), [0.0, 0.0])
        both[0], both[1] = both[0] + mark.points, both[1] + mark.of
    return [
        f"{student:20} {notebook:32} {points:g} of {of:g}"
        for (student, notebook), (points, of) in sums.items()
    ]


# ------------------------------------------------------------------ whose, and which


def _counts(path: Path, folder: Path) -> bool:
    """Not what Jupyter keeps aside in hidden folders."""
    return not any(part.startswith(".") for part in path.relative_to(folder).parts)


def _number(path: Path) -> str | None:
    """The chapter whose exercises a notebook answers, by the checks in it."""
    with contextlib.suppress(OSError):
        text = path.read_text(encoding="utf-8", errors="replace")
        found = Counter(_CHECK.findall(text.replace('\\"', '"')))
        return found.most_common(1)[0][0] if found else None
    return None


def _student(path: Path, folder: Path, master: Path | None) -> str:
    inside = path.relative_to(folder).parts
    name = inside[0] if len(inside) > 1 else path.stem
    if len(inside) == 1 and master and name.endswith(master.stem):
        name = name.removesuffix(master.stem).rstrip(" _-") or name
    return re.sub(r"[^\w.@-]+", "_", name)


# ------------------------------------------------------------------ with nbgrader


def _nbgrader(course: Path):
    """nbgrader on an empty course directory with a gradebook of its own."""
    release.need_nbgrader()
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    config = Config()
    config.CourseDirectory.root = str(course)
    config.CourseDirectory.course_id = "gancourse"
    config.ClearSolutions.code_stub = {"python": release.STUB}
    config.Execute.timeout = CELL_SECONDS
    return NbGraderAPI(config=config)


def _one(nbgrader, path, folder, masters, handed_in, feedback) -> Iterator[Mark]:
    number = _number(path)
    master = masters.get(number)
    who, file = _student(path, folder, master), path.relative_to(folder).as_posix()
    if master is None:
        yield Mark(who, "", "", 0.0, 0.0, "no exercises of this course in it", file)
        return
    if handed_in[who, number] != path:
        yield Mark(who, master.stem, "", 0.0, 0.0, "there is a newer one", file)
        return
    course = Path(nbgrader.coursedir.root)
    try:
        _prepare(nbgrader, course, master)
        _submit(course, path, who, master)
        _run(nbgrader.autograde, master.stem, who)
        marked = course / "autograded" / who / master.stem / master.name
        yield from _marks(marked, who, file)
        _run(nbgrader.generate_feedback, master.stem, who)
        page = course / "feedback" / who / master.stem / f"{master.stem}.html"
        (feedback / who).mkdir(parents=True, exist_ok=True)
        text = _PICTURE.sub(_words_for, _SCRIPT.sub(b"", page.read_bytes()))
        storage.write_atomically(feedback / who / page.name, text)
    except _NotMarked as error:
        yield Mark(who, master.stem, "", 0.0, _full(master), str(error), file)
    finally:
        shutil.rmtree(course / "submitted" / who, ignore_errors=True)


class _NotMarked(Exception):
    """A submission that nbgrader could not read or run, in words."""


def _words_for(picture: re.Match) -> bytes:
    """A picture's alternative text, where the picture (a badge) lies elsewhere."""
    words = _ALT.search(picture[0])
    return words[1] if words else b""


def _run(command, *arguments: str) -> None:
    """One of nbgrader's commands; its own words are for its log."""
    with contextlib.redirect_stderr(io.StringIO()):
        result = command(*arguments)
    if not result["success"]:
        lines = (result.get("error") or result.get("log") or "").strip().splitlines()
        raise _NotMarked(f"nbgrader could not mark it: {lines[-1] if lines else ''}")


def _prepare(nbgrader, course: Path, master: Path) -> None:
    """Make the assignment known, once."""
    import nbformat

    source = course / "source" / master.stem / master.name
    if source.exists():
        return
    book = nbformat.read(master, 4)
    for cell in book.cells:
        if cell.metadata.get("nbgrader", {}).get(
            "grade"
        ):  # whatever `check` has become
            cell.source = f"from gancourse.checks import check\n\n{cell.source}"
    source.parent.mkdir(parents=True)
    nbformat.write(book, source)
    _run(nbgrader.generate_assignment, master.stem)


def _submit(course: Path, path: Path, who: str, master: Path) -> None:
    """Put a submission where nbgrader looks for it, with all checks in it."""
    import nbformat

    try:
        book = nbformat.read(path, 4)
        _mend(book, nbformat.read(master, 4))
        text = nbformat.writes(book, 4)
    except Exception as error:  # broken JSON, another format: nbformat has many words
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise _NotMarked(f"it is no readable notebook: {first[0][:100]}") from None
    place = course / "submitted" / who / master.stem / master.name
    place.parent.mkdir(parents=True)
    place.write_text(text, encoding="utf-8")


def _mend(book, master) -> None:
    """Checks that were deleted, or lost their metadata in another editor, come back."""
    cells = {_id(cell): cell for cell in book.cells}
    same = {"".join(cell.source.split()): cell for cell in book.cells}
    for check in master.cells:
        if not check.metadata.get("nbgrader", {}).get("grade") or _id(check) in cells:
            continue
        lost = same.get("".join(check.source.split()))
        if lost is not None:
            lost.metadata["nbgrader"] = dict(check.metadata["nbgrader"])
        else:
            book.cells.append(check)


def _id(cell) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def _marks(marked: Path, who: str, file: str) -> Iterator[Mark]:
    import nbformat
    from nbgrader.utils import determine_grade

    for cell in nbformat.read(marked, 4).cells:
        if not cell.metadata.get("nbgrader", {}).get("grade"):
            continue
        points, of = determine_grade(cell)
        name = cell.source.split('"')[1]
        yield Mark(who, marked.stem, name, points or 0.0, of, _said(cell, name), file)


def _said(cell, name: str) -> str:
    """What the check said, in one line."""
    for output in cell.outputs:
        words = output.get("evalue") or output.get("text") or ""
        if name in words:  # the check's own; the answer may have printed before
            return words[words.index(name) :].splitlines()[0].partition(": ")[2]
        if output.output_type == "error":
            return f"{output.ename}: {words}".splitlines()[0]
    return "it did not run"


def _full(master: Path) -> float:
    import nbformat

    metadata = [c.metadata.get("nbgrader", {}) for c in nbformat.read(master, 4).cells]
    return float(sum(m.get("points", 0) for m in metadata if m.get("grade")))
