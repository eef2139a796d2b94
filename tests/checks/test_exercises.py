"""Exercises and solutions: one source, right before and after the learner's work."""

import json
import re
from functools import lru_cache
from pathlib import Path

import nbformat
import pytest

from gancourse import cli, release
from gancourse.checks import exercises

ROOT = Path(__file__).resolve().parents[2]
SOLUTIONS = sorted((ROOT / "solutions").glob("[0-9][0-9]_*.ipynb"))
each = pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.name[:2])


def first_and_later(mark):
    """By default the first chapter; the others, each run several times, later."""
    rest = (pytest.param(path, marks=mark) for path in SOLUTIONS[1:])
    return pytest.mark.parametrize(
        "path", [SOLUTIONS[0], *rest], ids=lambda path: path.name[:2]
    )


@lru_cache
def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook after Run All, going on after errors as nbgrader does."""
    from nbclient import NotebookClient

    book = nbformat.read(path, 4)
    NotebookClient(book, timeout=120, allow_errors=True).execute()
    return book


def outputs(book, kind: str) -> list[str]:
    """What each code cell printed, where it did, or the names of errors."""
    cells = [cell.outputs for cell in book.cells if cell.cell_type == "code"]
    if kind == "error":
        found = [out for outs in cells for out in outs if out.output_type == kind]
        return [out.ename for out in found]
    texts = (
        "".join(out.text for out in outs if out.output_type == kind) for outs in cells
    )
    return [text for text in texts if text]


def checks(book) -> list:
    """The cells that nbgrader marks."""
    return [c for c in book.cells if c.metadata.get("nbgrader", {}).get("grade")]


def exercise_of(path: Path) -> Path:
    return ROOT / "exercises" / path.name


def test_exercises_are_those_that_the_solutions_make(capsys):
    assert cli.main(["release", "--check"]) == 0, capsys.readouterr().out


def test_an_exercise_changed_by_hand_is_noticed(tmp_path, monkeypatch):
    course = tmp_path / "course"
    for part in ("notebooks", "solutions", "exercises"):
        (course / part).mkdir(parents=True)
    (course / "solutions" / SOLUTIONS[0].name).write_bytes(SOLUTIONS[0].read_bytes())
    monkeypatch.setattr(release.course, "folder", lambda: course / "notebooks")
    name = SOLUTIONS[0].name
    assert release.release(check=True) == [name]
    assert release.release() == [name] and release.release(check=True) == []
    path = course / "exercises" / name
    path.write_text(path.read_text().replace("NotImplementedError", "ValueError", 1))
    assert release.release(check=True) == [name]


def test_every_exercise_is_asked_once_and_answered_once():
    asked = []
    for path in SOLUTIONS:
        for cell in checks(nbformat.read(path, 4)):
            asked.append(cell.source.split('"')[1])
    assert sorted(asked) == sorted(exercises())


@each
def test_an_exercise_opens_in_colab_and_installs_the_course_there(path):
    first, _, guard = nbformat.read(exercise_of(path), 4).cells[:3]
    badge = f"gancourse/gancourse/blob/main/exercises/{path.name})"
    assert first.source.splitlines()[2].endswith(badge)
    assert first.source.count("colab.research.google.com/github/") == 1
    notebook = nbformat.read(ROOT / "notebooks" / path.name, 4)
    guards = [c.source for c in notebook.cells if "find_spec" in c.source]
    assert [guard.source] == guards and "%pip install" in guard.source
    code = [
        c for c in nbformat.read(exercise_of(path), 4).cells if c.cell_type == "code"
    ]
    assert code[0] == guard  # before anything is imported from the course


@each
def test_an_exercise_shows_by_a_picture_what_should_come_out(path):
    shown = []
    for cell in nbformat.read(exercise_of(path), 4).cells:
        kept = set(cell.get("attachments", {}))
        used = re.findall(r"!\[([^]]{20,})\]\(attachment:(.+?)\)", cell.source)
        assert {name for _, name in used} == kept  # each with words for who can't see
        shown += kept
    assert shown


@each
def test_exercise_file_holds_no_solution(path):
    text = exercise_of(path).read_text(encoding="utf-8")
    assert "SOLUTION" not in text
    cells = json.loads(text)["cells"]
    assert not any(cell.get("outputs") for cell in cells)
    solved = {c.metadata.nbgrader.grade_id: c for c in nbformat.read(path, 4).cells
              if c.metadata.get("nbgrader", {}).get("solution")}  # fmt: skip
    for cell in nbformat.read(exercise_of(path), 4).cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in solved:
            assert "raise NotImplementedError" in cell.source
            assert cell.source != solved[name].source


@each
def test_solution_passes_every_check(path):
    book = executed(path)
    assert outputs(book, "error") == []
    assert len(outputs(book, "stream")) == len(checks(book))
    assert all("Right" in text for text in outputs(book, "stream"))


@first_and_later(pytest.mark.full)
def test_untouched_exercise_runs_from_top_to_bottom_without_a_traceback(path):
    book = executed(exercise_of(path))
    assert outputs(book, "error") == []
    texts = outputs(book, "stream")
    assert len(texts) == len(checks(book))
    assert all("not attempted yet" in text for text in texts)


@pytest.mark.full
def test_the_fourth_wrong_try_shows_a_solution_in_a_real_kernel():
    book = nbformat.read(exercise_of(SOLUTIONS[0]), 4)
    answer, asked = (c for c in book.cells if c.id.startswith("01-value"))
    answer.source = "value = lambda real, fake: 0.25"
    again = [nbformat.v4.new_code_cell(asked.source) for _ in range(4)]
    book.cells = [*book.cells[:4], answer, *again]
    from nbclient import NotebookClient

    NotebookClient(book, timeout=120, allow_errors=True).execute()
    kinds = [[out.output_type for out in cell.outputs] for cell in again]
    assert kinds == [["error"]] * 3 + [["display_data", "error"]]
    page = again[-1].outputs[0].data["text/html"]
    assert page.startswith("<details>") and "log_sigmoid(-fake_logits).mean()" in page


@first_and_later(pytest.mark.full)
def test_nbgrader_gives_full_marks_none_and_the_right_part(path, monkeypatch):
    from nbgrader.utils import determine_grade

    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")

    def marks(book) -> list[float]:
        return [determine_grade(cell)[0] for cell in checks(book)]

    full = [cell.metadata.nbgrader.points for cell in checks(nbformat.read(path, 4))]
    solved, untouched = nbformat.read(path, 4), nbformat.read(exercise_of(path), 4)
    mixed = nbformat.read(exercise_of(path), 4)
    first = next(i for i, c in enumerate(solved.cells) if "SOLUTION" in c.source)
    mixed.cells[first].source = solved.cells[first].source
    from nbclient import NotebookClient

    for book in (solved, untouched, mixed):
        NotebookClient(book, timeout=120, allow_errors=True).execute()
    assert marks(solved) == full
    assert marks(untouched) == [0] * len(full)
    assert marks(mixed) == [full[0]] + [0] * (len(full) - 1)


@first_and_later(pytest.mark.full)
def test_nbgraders_own_validation_agrees(path):
    from nbgrader.validator import Validator

    assert not Validator().validate(str(path)).get("failed")
    assert len(Validator().validate(str(exercise_of(path)))["failed"]) > 0
