"""`gancourse grade`: a folder as a class hands it in, broken, cheating and late."""

import csv
import os
import re
from pathlib import Path

import nbformat
import pytest

from gancourse import cli, grading

ROOT = Path(__file__).resolve().parents[1]
NAME = "02_first_gan"
SOLVED, UNTOUCHED = (
    ROOT / part / f"{NAME}.ipynb" for part in ("solutions", "exercises")
)


def cell(book, name: str):
    ids = [c.metadata.get("nbgrader", {}).get("grade_id") for c in book.cells]
    return book.cells[ids.index(name)]


def mixed() -> nbformat.NotebookNode:
    """First solved, second wrong, third cheated in every way that we know of."""
    book, solved = nbformat.read(UNTOUCHED, 4), nbformat.read(SOLVED, 4)
    cell(book, "02-step").source = cell(solved, "02-step").source
    cell(book, "02-two-thirds").source = "def settles_at():\n    return 1.386"
    cell(book, "02-weights").source = "check = lambda name, answer: print('Right.')"
    cell(book, "02-weights-check").source = "print('Right.')"
    book.cells.remove(cell(book, "02-step-check"))
    del cell(book, "02-two-thirds-check").metadata["nbgrader"]
    return book


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    for name in ("anna", "Ben Ö"):
        (folder / name).mkdir()
    nbformat.write(mixed(), folder / "Ben Ö" / "my answers.ipynb")
    late = folder / "anna" / f"{NAME}.ipynb"
    late.write_bytes(SOLVED.read_bytes())
    early = folder / "anna" / f"{NAME}-Copy1.ipynb"
    early.write_bytes(UNTOUCHED.read_bytes())
    os.utime(early, (1, 1))
    (folder / f"clara_{NAME}.ipynb").write_text('{"cells": [ check(\\"02.step\\"')
    (folder / "dora.ipynb").write_text("")
    (folder / "anna" / ".ipynb_checkpoints").mkdir()
    (folder / "anna" / ".ipynb_checkpoints" / "x.ipynb").write_bytes(b"{}")
    out = tmp_path_factory.mktemp("marks") / "marks.csv"
    status = cli.main(["grade", str(folder), "--out", str(out)])
    with open(out, encoding="utf-8", newline="") as file:
        return status, out, list(csv.DictReader(file))


def points(rows, student: str) -> dict[str, float]:
    mine = [row for row in rows if row["student"] == student and row["exercise"]]
    return {row["exercise"]: float(row["points"]) for row in mine}


def test_the_newest_solution_gets_full_marks_and_the_older_is_said(marked):
    _, _, rows = marked
    found = points(rows, "anna")
    assert found == {"02.step": 3, "02.two_thirds": 2, "02.weights": 2}
    older = [row for row in rows if "Copy1" in row["file"]]
    assert [row["remark"] for row in older] == ["there is a newer one"]


def test_only_what_is_right_counts_and_no_check_can_be_bent(marked):
    _, _, rows = marked
    assert points(rows, "Ben_Ö") == {"02.step": 3, "02.two_thirds": 0, "02.weights": 0}
    remarks = {
        row["exercise"]: row["remark"] for row in rows if "Ben" in row["student"]
    }
    assert "log 4" in remarks["02.two_thirds"]
    assert "Right." in remarks["02.step"]


def test_what_can_not_be_marked_is_said_and_stops_nothing(marked):
    status, _, rows = marked
    (clara,) = [row for row in rows if row["student"] == "clara"]
    assert "no readable notebook" in clara["remark"] and float(clara["of"]) == 7
    (dora,) = [row for row in rows if row["student"] == "dora"]
    assert "no exercises of this course" in dora["remark"]
    assert status == 1


def test_each_learner_gets_a_page_that_loads_nothing(marked):
    _, out, _ = marked
    pages = sorted((out.parent / "marks-feedback").rglob("*.html"))
    assert [page.parent.name for page in pages] == ["Ben_Ö", "anna"]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<(script|link|img)[^>]*(src|href)=.https?:", text)
    assert "log 4" in pages[0].read_text(encoding="utf-8")


def test_an_earlier_table_is_kept(marked, tmp_path, capsys):
    _, out, _ = marked
    before = out.read_bytes()
    assert cli.main(["grade", str(ROOT / "solutions"), "--out", str(out)]) == 2
    assert "was kept" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_a_folder_without_notebooks_is_one_sentence(tmp_path, capsys):
    assert cli.main(["grade", str(tmp_path), "--out", str(tmp_path / "m.csv")]) == 2
    assert "holds no notebooks" in capsys.readouterr().err
    assert cli.main(["grade", str(tmp_path / "x"), "--out", "m.csv"]) == 2
    assert "no folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "student"),
    [
        ("anna/02_first_gan.ipynb", "anna"),
        ("anna/02_first_gan/02_first_gan.ipynb", "anna"),
        ("anna_02_first_gan.ipynb", "anna"),
        ("02_first_gan.ipynb", "02_first_gan"),
        ("anna b.ipynb", "anna_b"),
    ],
)
def test_whose_it_is(file, student, tmp_path):
    assert grading._student(tmp_path / file, tmp_path, SOLVED) == student
