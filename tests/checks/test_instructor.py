"""The instructor's kit names what exists, its minutes add up, its page is current."""

import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

from gancourse.checks import exercises, mistakes

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / "solutions" / "instructor"
PLAN = (KIT / "run_of_show.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+) \| (\d+) \| (.*) \| (.*)\|$", re.MULTILINE)
SESSIONS = [part for part in re.split(r"^##+ ", PLAN, flags=re.M) if ROW.search(part)]
LENGTH = {"90 minutes": 90, "Half a day": 210, "Day one": 400, "Day two": 400}


def notebook(number: str) -> Path:
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    return path


def source(number: str) -> str:
    return "\n".join(cell.source for cell in nbformat.read(notebook(number), 4).cells)


def test_there_are_three_cuts():
    titles = [part.splitlines()[0].partition(":")[0] for part in SESSIONS]
    assert titles == list(LENGTH)


@pytest.mark.parametrize("part", SESSIONS, ids=lambda part: part.split("\n")[0])
def test_minutes_follow_each_other_and_end_when_they_should(part):
    rows = [(int(a), int(b)) for a, b, *_ in ROW.findall(part)]
    assert rows[0][0] == 0
    assert all(a < b for a, b in rows)
    assert all(x[1] == y[0] for x, y in pairwise(rows))
    assert rows[-1][1] == LENGTH[part.splitlines()[0].partition(":")[0]]


def test_nobody_sits_for_two_hours_without_a_break():
    for part in SESSIONS:
        since = 0
        for start, end, what, _ in ROW.findall(part):
            if what in ("break", "lunch"):
                since = int(end)
            assert int(start) - since < 120 or part.startswith("90")


def test_every_exercise_and_prediction_in_the_plan_exists():
    for where in (row[3] for row in ROW.findall(PLAN)):
        for name in re.findall(r"`(\d\d\.\w+)`", where):
            if where.startswith("exercise"):
                assert name in exercises()
            else:
                assert where[:2] == name[:2] and f'"{name}"' in source(name[:2]), name


def test_every_checkpoint_is_a_heading():
    text = (KIT / "catch_up.md").read_text(encoding="utf-8")
    found = re.findall(r'^\| (\d\d) \| "(.+?)" \|', text, re.MULTILINE)
    assert len(found) >= 10
    for number, heading in found:
        assert re.search(rf"^## .*{re.escape(heading)}$", source(number), re.M), heading


def test_common_mistakes_are_those_of_the_checks():
    stored = (KIT / "common_mistakes.md").read_text(encoding="utf-8")
    assert stored == mistakes.page(), "python -m gancourse.checks.mistakes"
    assert all(f"`{name}`" in stored for name in exercises())
