"""What each chapter's tests ask of a verdict, and the cases as pytest wants them."""

import pytest

from gancourse.checks import course_exercises, exercises, grade
from gancourse.checks.compare import COMMON


def cases(chapter: str, right: dict, wrong: dict) -> tuple:
    """Two parametrisations: (exercise, answer), and (exercise, mistake, answer).

    `wrong` maps an exercise to {mistake: answer, or a list of answers}.
    """
    ours = [name for name in exercises() if name.startswith(chapter)]
    assert list(right) == list(wrong) == ours
    assert all(len(right[name]) >= 3 and len(wrong[name]) >= 6 for name in ours)
    for name in ours:  # no hint that nobody has ever seen
        hints = course_exercises.find(name).hints.items()
        assert {k for k, hint in hints if COMMON.get(k) is not hint} <= set(wrong[name])
    passing = [(n, i, a) for n in ours for i, a in enumerate(right[n])]
    failing = [
        (n, mistake, answer)
        for n in ours
        for mistake, found in wrong[n].items()
        for answer in (found if isinstance(found, list) else [found])
    ]
    return (
        pytest.mark.parametrize(
            ("name", "answer"),
            [pytest.param(n, a, id=f"{n}-{i}") for n, i, a in passing],
        ),
        pytest.mark.parametrize(
            ("name", "mistake", "answer"),
            [pytest.param(*case, id=f"{case[0]}-{case[1]}") for case in failing],
        ),
    )


def passes(name: str, answer: object) -> None:
    """The answer is right, whatever it looks like."""
    verdict = grade(name, answer)
    assert verdict.passed, verdict


def recognised(name: str, mistake: str, answer: object) -> None:
    """The answer fails, with three hints on just this misconception."""
    verdict = grade(name, answer)
    assert (verdict.status, verdict.misconception) == ("failed", mistake), verdict
    steps = (verdict.hint.symptom, verdict.hint.cause, verdict.hint.idea)
    assert all(step and len(step) < 200 for step in steps)
    assert len(set(steps)) == 3


def hints_are_asked_for(chapter, cases: list[tuple]) -> None:
    """Each of the chapter's own hints is earned by a case (exercise, mistake, …)."""
    known = {e.id: set(e.hints) for e in chapter.EXERCISES}
    tried = {name: {case[1] for case in cases if case[0] == name} for name in known}
    for name in known:
        assert known[name] - tried[name] <= set(chapter.COMMON), name
