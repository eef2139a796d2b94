"""The GAN lab in a real JupyterLab: its buttons do what they say, and no more."""

import pytest

pytestmark = pytest.mark.full

OPEN = ["from gancourse.lab import GanLab\nlab = GanLab()", "lab"]


class Lab:
    """One lab on the page, by its labels as a learner finds them."""

    def __init__(self, notebook, index: int = 0):
        self.page = notebook.page
        self.root = self.page.locator(".gan-lab").nth(index)
        self.root.wait_for()
        self.page.wait_for_function(
            "i => document.querySelectorAll('.gan-lab')[i].dataset.step", arg=index
        )

    def press(self, name: str) -> None:
        self.root.get_by_role("button", name=name, exact=True).click()

    def number(self, name: str) -> int:
        return int(self.root.evaluate(f"root => root.dataset.{name}"))

    @property
    def step(self) -> int:
        return self.number("step")

    @property
    def status(self) -> str:
        return self.root.get_by_role("status").inner_text()

    def wait(self, words: str, arg=None) -> None:
        """Until `words`, a JavaScript expression of root.dataset as d, holds."""
        handle = self.root.element_handle()
        script = f"([root, arg]) => {{ const d = root.dataset; return {words}; }}"
        self.page.wait_for_function(script, arg=[handle, arg])

    def answered(self, act) -> int:
        """Do something; the frames drawn once its answer is there."""
        before = self.number("frames")
        act()
        self.wait("Number(d.frames) > arg", before)
        return self.number("frames")


@pytest.fixture
def lab(notebook):
    notebook.open(OPEN)
    assert notebook.run_all()
    return Lab(notebook)


def test_play_moves_frames_and_pause_stops_them(lab, notebook):
    assert lab.step == 0, "it does not play by itself"
    notebook.page.wait_for_timeout(500)
    assert lab.step == 0
    lab.press("Play")
    lab.wait("Number(d.frames) > 40")
    lab.press("Pause")
    notebook.page.wait_for_timeout(700)  # what was in flight comes in
    stopped = lab.step
    assert stopped > 40
    notebook.page.wait_for_timeout(700)
    assert lab.step == stopped
    assert "D loss" in lab.status
    notebook.picture("gan-lab-paused", lab.root)
