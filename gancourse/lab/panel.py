"""A panel: controls, pictures and a line of text that the browser asks for.

An *engine* says which `controls` it has, and answers values of them with pictures. The
browser asks, one question at a time, and the kernel answers: nothing runs by itself, so
it also works where a kernel cannot speak first (Colab). Long work is done in small
steps: as long as an answer says `more`, the browser asks again.

JupyterLab lets such questions in while a cell is running, in another thread. So one
lock is held around each answer, and an engine works on copies and random streams of
its own.
"""

import base64
import threading
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from gancourse import figures
from gancourse.lab import predictions

_HERE = Path(__file__).parent


class Picture(NamedTuple):
    """A PNG or JPEG, and in words what one sees."""

    data: bytes
    alt: str
    kind: str = "image/png"


@dataclass
class Answer:
    """What the browser shows next: pictures by name, a sentence, how far a work is.

    `more` asks it to ask again at once; `partial` marks what is still being worked on.
    """

    pictures: dict[str, Picture] = field(default_factory=dict)
    text: str = ""
    progress: float | None = None  # from 0 to 1; None: nothing is going on
    more: bool = False
    partial: bool = False

    def message(self) -> dict:
        """The same as JSON; pictures as text, since binary messages fail in places."""
        shown = {
            name: {
                "src": f"data:{p.kind};base64,{base64.b64encode(p.data).decode()}",
                "alt": p.alt,
            }
            for name, p in self.pictures.items()
        }
        return asdict(self) | {"pictures": shown}


def draw(images: Tensor, columns: int, alt: str, zoom: int = 1, jpeg=False) -> Picture:
    """Images (N, C, H, W) in [-1, 1] or uint8 as one Picture, a grid, enlarged."""
    tiles = figures.image_grid(images, columns)
    return encode(tiles.repeat(zoom, 0).repeat(zoom, 1), alt, jpeg)


def encode(pixels: np.ndarray, alt: str, jpeg: bool = False) -> Picture:
    """Pixels, uint8 (H, W, 3), as a Picture."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG" if jpeg else "PNG", quality=88)
    return Picture(buffer.getvalue(), alt, "image/jpeg" if jpeg else "image/png")


class Panel:
    """Shows an engine in a notebook: live where there are widgets, else a picture.

    The engine has `controls` (a list of dictionaries, see panel.js), `answer(values,
    event)` -> Answer, and `still(answer)` -> Picture for pages without widgets.
    """

    def __init__(self, engine):
        self.engine, self.lock = engine, threading.Lock()
        self.values = {c["name"]: c["value"] for c in engine.controls if "value" in c}
        self._widget = None
        self.first = self.ask({})
        if self.first.more:  # whole from the start, so that opening it asks nothing
            self.first.pictures |= self.ask({}, "more").pictures
            self.first.more = False

    def ask(self, values: dict, event: str = "") -> Answer:
        """The engine's answer; what goes wrong becomes its text."""
        with self.lock:
            try:
                self.values |= {k: v for k, v in values.items() if k in self.values}
                return self.engine.answer(dict(self.values), event)
            except Exception as error:
                return Answer(text=f"That did not work: {error}")

    def show(self) -> None:
        """Display the panel with its caption, as `figures.show` does a figure."""
        from IPython.display import display

        data, metadata = self._repr_mimebundle_()
        display(data, metadata=metadata, raw=True)
        caption = next(iter(metadata.values()))["alt"]
        display(figures.as_caption(caption), raw=True)

    def _repr_mimebundle_(self, **_) -> tuple[dict, dict]:
        """The widget, if there is one, and beside it a picture with a sentence."""
        still = self.engine.still(self.first)
        words = f"{still.alt} Run the notebook to use the controls."
        bundle = {
            "text/plain": words,
            still.kind: base64.b64encode(still.data).decode(),
        }
        metadata = {still.kind: {"alt": still.alt}}
        if (widget := self.widget()) is not None:
            view, more = predictions.widget_view(widget)
            bundle, metadata = bundle | view, metadata | more
        return bundle, metadata

    def widget(self):
        """The anywidget of this panel; None without a kernel or without widgets."""
        if self._widget is None and predictions.in_a_notebook():
            try:
                self._widget = _widget(self)
            except Exception:  # whatever goes wrong: the picture is there all the same
                return None
        return self._widget


def _widget(panel: Panel):
    import anywidget
    import traitlets

    class PanelWidget(anywidget.AnyWidget):
        _esm, _css = _HERE / "panel.js", _HERE / "panel.css"
        title = traitlets.Unicode(panel.engine.title).tag(sync=True)
        controls = traitlets.List(panel.engine.controls).tag(sync=True)
        first = traitlets.Dict(panel.first.message()).tag(sync=True)

    def heard(widget, question, _buffers):
        if question.get("kind") == "ask":
            answer = panel.ask(question.get("values", {}), question.get("event", ""))
            sent = {"kind": "answer", "view": question.get("view")}
            widget.send(answer.message() | sent)

    widget = PanelWidget()
    widget.on_msg(heard)
    return widget
