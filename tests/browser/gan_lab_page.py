"""The GAN lab on a page, by its labels, as a learner finds it."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PICTURES = Path(
    os.environ.get("GANCOURSE_SCREENSHOTS", REPOSITORY / "gancourse-runs" / "browser")
)
OPEN = ["from gancourse.lab import GanLab\nlab = GanLab()", "lab"]


class Lab:
    """One lab on a page of the browser."""

    def __init__(self, page, index: int = 0):
        self.page = page
        self.root = self.page.locator(".gan-lab").nth(index)
        self.root.wait_for()
        self.page.wait_for_function(
            "i => document.querySelectorAll('.gan-lab')[i].dataset.step", arg=index
        )

    def press(self, name: str) -> None:
        self.root.get_by_role("button", name=name, exact=True).click()

    def pause(self) -> None:
        """Pause, if it has not paused itself, and wait for what was in flight."""
        if self.root.get_by_role("button", name="Pause", exact=True).count():
            self.press("Pause")
        before = -1
        while before != self.number("frames"):
            before = self.number("frames")
            self.page.wait_for_timeout(1_000)

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

    def play(self, words: str, arg=None) -> None:
        """Play until `words` hold, and on. On a machine so busy that the kernel does
        not answer for two seconds the lab pauses itself: then Play is pressed again."""
        handle = self.root.element_handle()
        script = f"([root, arg]) => {{ const d = root.dataset; return {words}; }}"
        for _ in range(60):
            if self.root.get_by_role("button", name="Play", exact=True).count():
                self.press("Play")
            if self.page.evaluate(script, [handle, arg]):
                return
            self.page.wait_for_timeout(500)
        raise AssertionError(f"{words} with {arg} never came: {self.status}")

    def answered(self, act) -> int:
        """Do something; the frames drawn once its answer is there."""
        before = self.number("frames")
        act()
        self.wait("Number(d.frames) > arg", before)
        return self.number("frames")

    def speed(self, seconds: float) -> dict:
        """Play for so long, move a slider meanwhile: frames and steps a second, ms."""
        self.play("Number(d.frames) > 20")
        clock = "root => [performance.now(), root.dataset.frames, root.dataset.step]"
        first = self.root.evaluate(clock)
        self.page.wait_for_timeout(1_000 * seconds)
        last = self.root.evaluate(clock)
        answers, slider = [], self.root.get_by_label("Learning rate of D")
        for key in ["ArrowRight", "ArrowLeft"] * 5:
            self.root.evaluate("root => delete root.dataset.answered")
            slider.press(key)
            self.wait("d.answered")
            answers.append(self.number("answered"))
        self.pause()
        passed = (last[0] - first[0]) / 1_000
        return {
            "frames a second": round((int(last[1]) - int(first[1])) / passed, 1),
            "steps a second": round((int(last[2]) - int(first[2])) / passed, 1),
            "answers to a slider, ms": sorted(answers),
        }
