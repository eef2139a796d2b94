"""Predictions: a guess before the answer, never in the way."""

import pytest

from gancourse.lab import predictions

WIDGET = "application/vnd.jupyter.widget-view+json"
CHOICES = ["near 0", "near 1", "nowhere"]


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch):
    monkeypatch.setattr(predictions, "_asked", {})


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, as in a notebook with a kernel."""
    import IPython.display

    bundles = []
    monkeypatch.setattr(predictions, "in_a_notebook", lambda: True)
    monkeypatch.setattr(
        IPython.display,
        "display",
        lambda bundle, raw, metadata=None: bundles.append(bundle),
    )
    return bundles


def choose(name: str, choice: str) -> None:
    """What clicking a radio button does."""
    predictions._asked[name].widget.value = choice


def text(bundles: list[dict]) -> str:
    return "\n".join(bundle["text/plain"] for bundle in bundles)


def test_without_a_front_end_the_question_is_text_and_the_guess_none(capsys):
    assert predictions.predict("90.a", "Where?", CHOICES) is None
    predictions.reveal("90.a", "near 0", "it is so")
    printed = capsys.readouterr().out
    for words in ["Where?", *CHOICES, "No guess this time.", "It is: near 0, because"]:
        assert words in printed
    assert predictions.guesses() == {"90.a": predictions.NO_GUESS}
    assert predictions.score() == (0, 0)


def test_question_and_choices_can_be_read_where_there_are_no_widgets(shown):
    predictions.predict("90.a", "Is $x<y$ here?", CHOICES)
    question, options = shown
    assert "Is $x&lt;y$ here?" in question["text/html"]
    assert all(choice in options["text/plain"] for choice in CHOICES)
    assert options[WIDGET]["model_id"] == predictions._asked["90.a"].widget.model_id


def test_no_choice_is_made_for_the_learner(shown):
    predictions.predict("90.a", "Where?", CHOICES)
    assert predictions._asked["90.a"].widget.value is None
    assert predictions.guesses()["90.a"] == predictions.NO_GUESS


@pytest.mark.parametrize(
    ("choice", "words"), [("near 0", "and so it is"), ("near 1", "but it is not so")]
)
def test_reveal_says_what_was_guessed_and_what_is_so(choice, words, shown):
    predictions.predict("90.a", "Where?", CHOICES)
    choose("90.a", choice)
    predictions.reveal("90.a", "near 0", "it must be.")
    assert f"“{choice}”, {words}" in text(shown)
    assert "It is: near 0, because it must be.\n" in text(shown) + "\n"


def test_guess_is_locked_when_the_answer_is_out(shown):
    predictions.predict("90.a", "Where?", CHOICES)
    choose("90.a", "near 1")
    predictions.reveal("90.a", "near 0")
    assert predictions._asked["90.a"].widget.disabled
    choose("90.a", "near 0")
    predictions.reveal("90.a", "near 0")
    assert predictions.guesses()["90.a"] == "near 1"
    assert predictions.score() == (0, 1)


def test_score_counts_each_question_once(shown):
    for name, choice in [("90.a", "near 0"), ("90.b", "near 1"), ("90.c", None)]:
        predictions.predict(name, "Where?", CHOICES)
        choose(name, choice)
        predictions.reveal(name, "near 0")
        predictions.reveal(name, "near 0")
    assert predictions.score() == (1, 2)
    assert "Guesses so far: 1 of 2 right." in text(shown)


def test_running_the_question_again_keeps_a_guess_that_is_not_yet_answered(shown):
    predictions.predict("90.a", "Where?", CHOICES)
    choose("90.a", "near 1")
    predictions.predict("90.a", "Where?", CHOICES)
    assert predictions.guesses()["90.a"] == "near 1"
    predictions.reveal("90.a", "near 0")
    predictions.predict("90.a", "Where?", CHOICES)
    assert predictions.guesses()["90.a"] == predictions.NO_GUESS


def test_answer_before_its_question_is_told_all_the_same(shown):
    predictions.reveal("90.never asked", "near 0")
    assert "No guess this time." in text(shown) and "near 0" in text(shown)


def test_broken_widgets_cost_the_buttons_and_nothing_else(shown, monkeypatch):
    import anywidget

    def broken(*_, **__):
        raise RuntimeError("no comm here")

    monkeypatch.setattr(anywidget.AnyWidget, "__init__", broken)
    predictions.predict("90.a", "Where?", CHOICES)
    predictions.reveal("90.a", "near 0")
    assert "near 1" in text(shown) and WIDGET not in shown[1]


def test_absent_widgets_cost_the_buttons_and_nothing_else(shown, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "anywidget", None)
    predictions.predict("90.a", "Where?", CHOICES)
    predictions.reveal("90.a", "near 0")
    assert WIDGET not in shown[1]
