"""The GAN lab on a page, by its labels, as a learner finds it."""

OPEN = ["from gancourse.lab import GanLab\nlab = GanLab()", "lab"]


class Lab:
    """One lab of a notebook that is open in the browser."""

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

    def speed(self, seconds: float) -> dict:
        """Play for so long, move a slider meanwhile: frames and steps a second, ms."""
        self.press("Play")
        self.wait("Number(d.frames) > 20")
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
        self.press("Pause")
        passed = (last[0] - first[0]) / 1_000
        return {
            "frames a second": round((int(last[1]) - int(first[1])) / passed, 1),
            "steps a second": round((int(last[2]) - int(first[2])) / passed, 1),
            "answers to a slider, ms": sorted(answers),
        }
