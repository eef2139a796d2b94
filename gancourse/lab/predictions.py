"""A guess before the answer: small, never in the way, readable without widgets.

`predict` shows a question with its choices, `reveal` in a later cell what is so. The
guess is the learner's own: it is kept in this process only. Without a front end, or
without widgets, it is recorded as "no guess" and the question is shown as text.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path

from gancourse.hardware import in_a_notebook

NO_GUESS = "no guess"
_WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass
class _Prediction:
    question: str
    choices: list[str]
    widget: object | None = None  # the radio buttons, where there are widgets
    guess: str = NO_GUESS  # what was chosen when the answer was revealed
    answer: str | None = None  # None: not revealed yet


_asked: dict[str, _Prediction] = {}


def predict(name: str, question: str, choices: list[str]) -> None:
    """Ask for a guess. Returns at once: nothing waits for it, nothing depends on it."""
    choices = [str(choice) for choice in choices]
    prediction = _Prediction(str(question), choices)
    before = _asked.get(name)
    if before is not None and before.answer is None and before.choices == choices:
        prediction.guess = _chosen(before)  # the cell was run again: the guess stays
    _asked[name] = prediction
    _show(f"Your guess: {question}")
    options = "\n".join(f"  ( ) {choice}" for choice in choices)
    view, metadata = {}, {}
    if in_a_notebook():
        prediction.widget = _radio_buttons(question, choices, prediction.guess)
        if prediction.widget is not None:
            view, metadata = widget_view(prediction.widget)
    _display({"text/plain": options, **view}, metadata)


def reveal(name: str, answer: str, because: str = "") -> None:
    """Say what was guessed and what is so, lock the guess, and keep the score."""
    prediction = _asked.setdefault(name, _Prediction("", []))
    if prediction.answer is None:
        prediction.guess = _chosen(prediction)
    prediction.answer = str(answer)
    _lock(prediction.widget)
    guess = prediction.guess
    if guess == NO_GUESS:
        yours = "No guess this time."
    else:
        verdict = "and so it is" if guess == prediction.answer else "but it is not so"
        yours = f"You guessed “{guess}”, {verdict}."
    right, made = score()
    truth = f"It is: {answer}" + (f", because {because}" if because else "")
    lines = [yours, truth if truth.endswith(".") else truth + "."]
    lines += [f"Guesses so far: {right} of {made} right."] if made else []
    _show(*lines)


def score() -> tuple[int, int]:
    """(right guesses, guesses made) among the answers revealed so far."""
    made = [p for p in _asked.values() if p.answer is not None and p.guess != NO_GUESS]
    return sum(p.guess == p.answer for p in made), len(made)


def guesses() -> dict[str, str]:
    """What was guessed so far, by the name of the question."""
    return {name: _chosen(p) for name, p in _asked.items()}


# ------------------------------------------------------------------ widgets, or text


def _chosen(prediction: _Prediction) -> str:
    """The guess as it stands: locked once revealed, else what the buttons say."""
    if prediction.answer is not None or prediction.widget is None:
        return prediction.guess
    value = getattr(prediction.widget, "value", None)
    return value if value in prediction.choices else NO_GUESS


def widget_view(widget) -> tuple[dict, dict]:
    """An anywidget's part of a display bundle, and the metadata that Colab asks for."""
    bundle, metadata = widget._repr_mimebundle_()
    return {_WIDGET: bundle[_WIDGET]}, metadata


def _radio_buttons(question: str, choices: list[str], guess: str):
    """Radio buttons, none chosen; None where widgets do not work.

    Whatever goes wrong with widgets must not stop the lesson, so any error counts.
    """
    try:
        import anywidget
        import traitlets

        class Guess(anywidget.AnyWidget):
            _esm = Path(__file__).with_name("guess.js")
            question = traitlets.Unicode().tag(sync=True)
            choices = traitlets.List().tag(sync=True)
            value = traitlets.Unicode(None, allow_none=True).tag(sync=True)
            disabled = traitlets.Bool(False).tag(sync=True)

        value = guess if guess in choices else None
        return Guess(question=question, choices=choices, value=value)
    except Exception:
        return None


def _lock(widget) -> None:
    try:
        if widget is not None:
            widget.disabled = True
    except Exception:  # the front end is gone: there is nothing left to lock
        return


def _show(*lines: str) -> None:
    """Lines of text, as paragraphs where there is HTML (where $…$ is typeset)."""
    html = "".join(f"<p>{escape(line)}</p>" for line in lines)
    _display({"text/html": html, "text/plain": "\n".join(lines)})


def _display(bundle: dict, metadata: dict | None = None) -> None:
    if not in_a_notebook():
        print(bundle["text/plain"])
        return
    from IPython.display import display

    display(bundle, metadata=metadata, raw=True)
