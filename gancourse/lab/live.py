"""A dashboard that lives while a run does, and a button that stops and saves the run.

    live = Dashboard(state, samples=lambda: state.sample(z), real=real, folder=folder)
    for log in live.watch(train(state, batches)):
        ...

It redraws between two logs of your own loop, so it works wherever a cell can show a
picture. Interrupting the kernel stops the run: the step is completed, the run saved.
(An interrupt in the body of your own loop leaves a whole state, for checkpoints.save.)
In Jupyter the button does just that, since a kernel at work hears nothing else.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from gancourse import checkpoints, figures, health
from gancourse.lab.predictions import in_a_notebook, widget_view
from gancourse.training import State, StepLog

SHARE = 0.03  # of the time may go into drawing


class Dashboard:
    """Losses, logits, gradient norms, diversity, samples and verdict of a running game.

    `samples()` gives (N, ...) to look at, `real` (M, ...) is what they are compared
    with; a run that is stopped is saved in `folder`.
    """

    def __init__(
        self,
        state: State,
        samples: Callable[[], Tensor] | None = None,
        real: Tensor | None = None,
        folder: str | Path | None = None,
    ):
        self.state, self.samples, self.real, self.folder = state, samples, real, folder
        self.logs: list[StepLog] = []
        self.diversity: list[tuple[int, float]] = []  # (step, share), a point a picture
        self.verdict: health.Verdict | None = None
        self._stop, self._due = threading.Event(), 0.0
        self._button = self._handle = None

    # -------------------------------------------------------------- watching

    def watch(self, logs: Iterable[StepLog]) -> Iterator[StepLog]:
        """Hand on the logs of a run, drawing now and then; end early when asked to."""
        self._stop.clear()
        self._show_button()
        try:
            for log in logs:
                self.logs.append(log)
                if time.perf_counter() >= self._due:
                    self.draw()
                yield log
                if self._stop.is_set():
                    print(self._saved())
                    break
        except KeyboardInterrupt:  # train() has completed its step
            print(self._saved())
        finally:
            if self.logs:
                self.draw()
            self._lock_button()

    def stop(self, *_) -> None:
        """Ask the run to end after its next log: what the button does."""
        self._stop.set()

    def _saved(self) -> str:
        step = self.state.step
        if self.folder is None:
            return f"Stopped at step {step:,}. Run the cell again to continue."
        saved = checkpoints.save(self.state, self.folder)
        where = "saved" if saved else "not saved"
        return f"Stopped at step {step:,}, {where}. Run the cell again to continue."

    # -------------------------------------------------------------- drawing

    def draw(self) -> None:
        """Draw the run as it is now, in the place of the last picture."""
        began = time.thread_time()  # what it costs, not how busy the machine is
        samples = self.samples() if self.samples else None
        self.verdict = health.verdict(self.logs, samples, self.real)
        if samples is not None:
            share = health.diversity(samples, self.real)
            self.diversity.append((self.logs[-1].step, share))
        self._display(self.figure(samples))
        cost = time.thread_time() - began
        self._due = time.perf_counter() + cost / SHARE

    def figure(self, samples: Tensor | None) -> Figure:
        """The dashboard as a Figure; no pyplot, so it may be drawn in any thread."""
        figure = Figure(figsize=(figures.WIDE[0], 5.0), layout="none", dpi=80)
        FigureCanvasAgg(figure)
        axes = figure.subplots(2, 3)  # placed by hand, which is drawn twice as fast
        figure.subplots_adjust(0.07, 0.1, 0.99, 0.97, wspace=0.46, hspace=0.5)
        steps = [log.step for log in self.logs]
        for ax, (ylabel, names, scale) in zip(axes.flat, health.CURVES, strict=False):
            curves = {
                name: [health.entry(log, column) for log in self.logs]
                for name, column in names.items()
            }
            if all(None not in values for values in curves.values()):
                figures.show_curves(steps, curves, "step", ylabel, ax)
                ax.set_yscale(scale)
            else:
                health.say(ax, f"{ylabel}: not logged")
        if self.diversity:
            curve = {"samples": [share for _, share in self.diversity]}
            shown = [step for step, _ in self.diversity]
            figures.show_curves(shown, curve, "step", "diversity (1: data)", axes[1, 0])
            axes[1, 0].lines[0].set_marker("o")
            axes[1, 0].axhline(health.DIVERSE, color=figures.GREY, lw=0.8)
        health.draw_samples(axes[1, 1], samples, self.real)
        self._write_verdict(axes[1, 2])
        return figure

    def _write_verdict(self, ax) -> None:
        import textwrap

        log, found = self.logs[-1], self.verdict
        words = [f"step {log.step:,}, {log.images_per_second:,.0f} images/s", ""]
        words += [f"verdict: {found.name}", *textwrap.wrap(found.why, 35), ""]
        words += textwrap.wrap(found.advice, 35)
        ax.text(0, 1, "\n".join(words), va="top", fontsize=8, transform=ax.transAxes)
        ax.axis("off")

    # -------------------------------------------------------------- showing

    @property
    def caption(self) -> str:
        """What the picture shows, in a sentence."""
        return (
            f"Live dashboard at step {self.logs[-1].step:,}: losses, mean logits, "
            "gradient norms, diversity of the samples, samples, and the verdict: "
            f"{self.verdict.name}."
        )

    def _display(self, figure: Figure) -> None:
        from io import BytesIO

        if not in_a_notebook():
            return
        from IPython.display import Image, display

        buffer = BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
        picture, alt = Image(buffer.getvalue(), alt=self.caption), self.caption
        text = figures.as_caption(alt)
        metadata = {"image/png": {"alt": alt}}
        if self._handle is None:
            shown = display(picture, metadata=metadata, display_id=True)
            self._handle = shown, display(text, display_id=True, raw=True)
        else:
            self._handle[0].update(picture, metadata=metadata)
            self._handle[1].update(text, raw=True)

    def _show_button(self) -> None:
        """A new button for each call of `watch`; where there are no widgets, none."""
        self._handle, self._due = None, 0.0
        if not in_a_notebook():
            return
        from IPython.display import display

        bundle = {"text/plain": "(In a live notebook a button here stops and saves.)"}
        view, metadata = {}, {}
        try:
            self._button = _stop_button(self.stop)
            view, metadata = widget_view(self._button)
        except Exception:  # no widgets: interrupting the kernel stops the run
            self._button = None
        display(bundle | view, metadata=metadata, raw=True)

    def _lock_button(self) -> None:
        if self._button is not None:
            self._button.over = True


def _stop_button(stop: Callable[..., None]):
    """The button as an anywidget; it knows its kernel by the name of its file."""
    import anywidget
    import traitlets
    from ipykernel.connect import get_connection_file

    class StopButton(anywidget.AnyWidget):
        _esm = Path(__file__).with_name("stop.js")
        kernel = traitlets.Unicode().tag(sync=True)
        over = traitlets.Bool(False).tag(sync=True)

    name = Path(get_connection_file()).stem
    button = StopButton(kernel=name.removeprefix("kernel-"))
    button.on_msg(stop)
    return button
