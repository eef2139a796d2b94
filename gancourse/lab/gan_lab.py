"""The GAN lab in a notebook: `GanLab()` as the last line of a cell shows it.

With widgets it is live: the page asks for moves and frames, `answer` gives them. A page
without a kernel shows a picture and a sentence; a kernel without widgets plays a film.
"""

import time
from dataclasses import asdict

import torch

from gancourse import figures
from gancourse.lab import picture
from gancourse.lab.engine import RESTARTS, Engine, Frame
from gancourse.lab.recipe import (
    DRAWING,
    FALLS,
    LAWS,
    LOSSES,
    OPTIMIZERS,
    PENALTIES,
    Recipe,
    program,
)
from gancourse.lab.widget import make_widget, missing, packed

BUDGET = 0.02  # seconds of training in one answer: the page stays quick to the touch
MOST = 100  # steps in one answer


class GanLab:
    """A live lab on the training of notebook 02; `recipe` names its first setting.

    `lab.engine` is the run itself: what the buttons do, cells can do too.
    """

    def __init__(self, **recipe):
        self.engine = Engine(Recipe(**recipe))
        self.engine.record()

    # -------------------------------------------------------------- the page asks

    def answer(self, request: dict) -> dict:
        """What the page is told: see gan_lab.js for the requests it makes."""
        with self.engine.lock:
            return getattr(self, f"_on_{request['t']}")(request)

    def _on_hello(self, request: dict) -> dict:
        """Everything a page needs that has just been opened, perhaps again."""
        controls = {
            "law": [*LAWS, DRAWING],
            "loss": [*LOSSES],
            "penalty": [*PENALTIES],
            "optimizer": [*OPTIMIZERS],
            "falling": [*FALLS],
        }
        return {**self._whole(self.engine.frame()), "controls": controls}

    def _on_tick(self, request: dict) -> dict:
        self.engine.step(max(1, min(int(request.get("n", 1)), MOST)), BUDGET)
        return self._told(self.engine.record())

    def _on_move(self, request: dict) -> dict:
        moves = {"D": "move_D", "G": "move_G", "both": "step"}
        getattr(self.engine, moves[request["who"]])()
        return self._told(self.engine.record())

    def _on_set(self, request: dict) -> dict:
        changes = {**request["changes"]}
        if "points" in changes:
            changes["points"] = tuple(
                (float(x), float(y)) for x, y in changes["points"]
            )
        if self.engine.set(**changes):
            self.engine.record()
        return self._whole(self.engine.frame())

    def _on_reset(self, request: dict) -> dict:
        self.engine.reset(request.get("seed"))
        return self._whole(self.engine.record())

    def _on_past(self, request: dict) -> dict:
        """A frame of the recording; looking back changes nothing."""
        past = self.engine.recording
        index = max(0, min(int(request["index"]), len(past) - 1))
        return {**self._told(past[index]), "t": "past", "index": index}

    def _on_program(self, request: dict) -> dict:
        return {"t": "program", "program": self.program()}

    # -------------------------------------------------------------- what it is told

    def _told(self, frame: Frame) -> dict:
        """A frame for the page; coordinates in 4096ths, the field in 255ths."""
        past, engine = self.engine.recording, self.engine
        rows = [[p.step, p.d_loss, p.g_loss, p.coverage] for p in past]
        verdict = frame.verdict
        return {
            "t": "frame",
            "step": frame.step,
            "moves": engine.d_moves,
            "stopped": engine.stopped,
            "field": packed(shade(frame, self.engine.recipe.loss), "uint8", 255.0),
            "fake": packed(frame.fake),
            "push": packed(frame.push),
            "sheet": packed(frame.sheet),
            "curves": packed(torch.tensor(rows), "int32", 1000.0),
            "kept": len(past),
            "modes": frame.modes,
            "words": picture.in_words(frame),
            "verdict": verdict.name if verdict else "too early to tell",
            "why": f"{verdict.why} {verdict.advice}" if verdict else "",
        }

    def _whole(self, frame: Frame) -> dict:
        engine = self.engine
        return {
            **self._told(frame),
            "t": "whole",
            "real": packed(engine.real),
            "recipe": asdict(engine.recipe),
            "restarts": [*RESTARTS],
        }

    def program(self) -> str:
        """The lines that play this very run in a cell, with the course's loop."""
        engine = self.engine
        words = program(engine.recipe, engine.state.step)
        if engine.changed_at:
            steps = ", ".join(map(str, engine.changed_at))
            words = (
                "# On the screen, controls were moved at step "
                f"{steps}; here they stand so from the start.\n{words}"
            )
        return words

    # -------------------------------------------------------------- in a cell

    def run(self, steps: int = 500, every: int = 25) -> None:
        """Play in the cell, without buttons: a picture that changes, then stays."""
        from IPython.display import Image, display

        shown, drawn = None, 0.0
        for done in range(0, steps, every):
            self.engine.step(min(every, steps - done))
            frame = self.engine.record()
            last = done + every >= steps
            if not last and time.perf_counter() - drawn < 0.2:
                continue  # a film of five pictures a second, and training in between
            image = Image(picture.png(self.engine, frame), alt=picture.in_words(frame))
            if shown is None:
                shown = display(image, display_id=True)
            else:
                shown.update(image)
            drawn = time.perf_counter()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        without = missing()
        if without:
            print(
                f"The lab has no buttons here: {without}. It plays 500 steps as a film "
                "instead; lab.run(steps) plays on."
            )
            self.run(500)
            return
        bundle, metadata = self._repr_mimebundle_()
        display(bundle, metadata=metadata, raw=True)
        display(figures.as_caption(bundle["text/plain"]), raw=True)

    def _repr_mimebundle_(self, **_) -> tuple[dict, dict]:
        """The live view, and for pages without a kernel a picture and a sentence."""
        frame = self.engine.frame()
        words = (
            f"The GAN lab when this cell was run: {picture.in_words(frame)}. In a "
            "running notebook it has buttons: Play, one move of D or of G, Reset, and "
            "all settings."
        )
        bundle, metadata = {}, {}
        if not missing():
            view = make_widget("gan_lab.js", "gan_lab.css", self.answer)
            bundle, metadata = view._repr_mimebundle_()  # with what Colab needs
        bundle |= {"image/png": picture.png(self.engine, frame), "text/plain": words}
        return bundle, {**metadata, "image/png": {"alt": words}}


def shade(frame: Frame, loss: str) -> torch.Tensor:
    """D's field in [0, 1]: 0 surely fake, 1 surely real, 1/2 cannot tell.

    The sigmoid of the logit, measured from D's own middle; logits of least squares are
    made four times as large, since they stay between 0 and 1.
    """
    return (
        (4.0 if loss == "least squares" else 1.0) * (frame.field - frame.middle)
    ).sigmoid()
