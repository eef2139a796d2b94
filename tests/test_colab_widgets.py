"""What Colab needs to draw a widget goes out with every one of them."""

import sys
from types import ModuleType, SimpleNamespace

import IPython.display
import pytest

from gancourse.lab import live, predictions
from gancourse.lab.mixer import Mixer

VIEW = "application/vnd.jupyter.widget-view+json"
NEEDED = {"colab": {"custom_widget_manager": {"url": "https://example.org/manager"}}}


@pytest.fixture
def shown(monkeypatch):
    """(bundle, metadata) of what is displayed, in a kernel that says it is Colab's."""
    output = ModuleType("google.colab.output")
    url = NEEDED["colab"]["custom_widget_manager"]["url"]
    output._widgets = SimpleNamespace(_installed_url=url)
    output.enable_custom_widget_manager = lambda: None
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    monkeypatch.setitem(sys.modules, "google.colab.output", output)
    displayed = []

    def display(bundle, metadata=None, **_):
        displayed.append((bundle, metadata or {}))

    monkeypatch.setattr(predictions, "in_a_notebook", lambda: True)
    monkeypatch.setattr(live, "in_a_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", display)
    file = "runtime/kernel-1f.json"
    monkeypatch.setattr("ipykernel.connect.get_connection_file", lambda: file)
    return displayed


def asks(shown) -> None:
    predictions.predict("colab.test", "Which?", ["this", "that"])


def panels(shown) -> None:
    Mixer.embedded(size=64).panel().show()


def stops(shown) -> None:
    dashboard = object.__new__(live.Dashboard)
    dashboard._show_button()


@pytest.mark.parametrize("show", [asks, panels, stops])
def test_every_widget_brings_what_colab_needs(shown, show):
    show(shown)
    (metadata,) = [metadata for bundle, metadata in shown if VIEW in bundle]
    assert metadata[VIEW] == NEEDED
