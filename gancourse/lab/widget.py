"""A widget that asks: its page sends requests, a Python function answers them.

Only the browser begins a conversation, and everything travels as JSON (arrays in
base64): that works in JupyterLab, in Colab and with ipywidgets 7 and 8 alike, which
messages from threads or binary buffers do not.
"""

import base64
import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from torch import Tensor

from gancourse.errors import GancourseError

HERE = Path(__file__).parent
NEEDED = {"ipywidgets": (7, 7), "anywidget": (0, 9)}


def missing() -> str:
    """What keeps widgets from working here, half a sentence; "" when nothing does."""
    for name, least in NEEDED.items():
        wanted = f"{name} {least[0]}.{least[1]}"
        try:
            found = version(name)
        except PackageNotFoundError:
            return f"{wanted} or newer is not installed"
        if tuple(map(int, re.findall(r"\d+", found)[:2])) < least:
            return f"{wanted} or newer is needed, this is {found}"
    return ""


def make_widget(script: str, style: str, answer: Callable[[dict], dict]):
    """A live widget drawn by the ES module `script` (a file beside this one).

    Each message m from the page is answered by answer(m) and m's own `view`, `seq` and
    `epoch`; a GancourseError becomes {"t": "error", "message": …}.
    """
    import anywidget

    class Asking(anywidget.AnyWidget):
        _esm = (HERE / script).read_text(encoding="utf-8")
        _css = (HERE / style).read_text(encoding="utf-8")

    def reply(widget, request: dict, buffers: list) -> None:
        stamp = {key: request.get(key) for key in ("view", "seq", "epoch")}
        try:
            told = answer(request)
        except GancourseError as error:
            told = {"t": "error", "message": str(error)}
        except Exception as error:  # a page that waits in vain would say nothing
            told = {"t": "error", "message": f"The lab met a fault: {error!r}"}
        widget.send({**told, **stamp})

    widget = Asking()
    widget.on_msg(reply)
    return widget


def packed(array: Tensor, kind: str = "int16", scale: float = 4096.0) -> str:
    """The array's numbers times `scale`, rounded and clipped to `kind`, in base64.

    What is not a number becomes the smallest one that `kind` holds.
    """
    limits = np.iinfo(kind)
    values = array.detach().double().numpy() * scale
    values = np.nan_to_num(values, nan=limits.min).round()
    values = values.clip(limits.min, limits.max).astype(kind)
    return base64.b64encode(values.tobytes()).decode()
