"""In the learner's kernel: a word when a cell is run out of its order.

A kernel keeps whatever ran last. Where a cell finds a name missing, or left behind by
another cell than in a run from top to bottom, one sentence names the cell to run first.
Nothing is refused; a cell that the learner wrote or edited is the learner's own affair.
A cell that is run twice draws the same random numbers twice.
"""

import contextlib
import json
import os
import re
import sys
from pathlib import Path

import gancourse
from gancourse import cells

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
_GLOBAL = "torch's own stream"


def watch() -> None:
    """Watch the notebook that this process runs; does nothing elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None and not hasattr(shell, "gancourse_order"):
        shell.gancourse_order = Order(shell)


class Order:
    """Which cell left each name behind, and what to say if it was another one."""

    def __init__(self, shell):
        self.shell = shell
        self.cells = _notebook_of(shell)
        self.index = {cell.source.strip(): k for k, cell in enumerate(self.cells)}
        self.owner: dict[str, int | None] = {}  # None: by a cell that ran out of order
        self.now, self.doubtful, self.entry = None, False, {}
        self.version = gancourse.__version__
        self.drew: dict[int, tuple[dict, dict]] = {}  # streams before and after a cell
        self.rewound: set[str] = set()
        self.whole: set[int] = set()  # cells whose last run came to its end
        self.weights: dict[str, str] = {}
        self.trained: dict[int, set[str]] = {}  # networks that a cell trains in place
        shell.events.register("pre_run_cell", self.before)
        shell.events.register("post_run_cell", self.after)
        self.others = shell.custom_exceptions, shell.CustomTB
        shell.set_custom_exc((*self.others[0], NameError), self.explain)

    def before(self, info) -> None:
        """Say it when what this cell needs is not what it would be in order."""
        self._look_for_an_update()
        self.now, self.doubtful = self.index.get(info.raw_cell.strip()), False
        if self.now is None:
            return
        self.rewound, cell = self._rewind(), self.cells[self.now]
        stale: dict[int, list[str]] = {}
        for name, maker in cell.needs.items():
            if name not in self.shell.user_ns:
                right = "except" not in cell.source  # if it catches the NameError, say
            else:
                right = self._fits(name, maker)
            if not right:
                stale.setdefault(maker, []).append(name)
        if stale:
            self.doubtful = True
            names = ", ".join(f"`{name}`" for name in sorted(stale[min(stale)]))
            print(
                f"{_run_first(self.cells[min(stale)])}: {names} is not what that cell "
                "leaves behind, so this result may differ from the text."
            )
        self.entry = self._streams()
        self.weights = {name: self._sum(name) for name in cell.needs}

    def _look_for_an_update(self) -> None:
        """Say it, once, when the course was updated under the running kernel."""
        with contextlib.suppress(OSError, IndexError):
            text = Path(gancourse.__file__).read_text(encoding="utf-8")
            found = re.findall(r'(?m)^__version__ = "(.+)"', text)[0]
            if found != self.version:
                self.version = found
                print(
                    f"gancourse was updated to {found}, but this kernel still runs "
                    f"{gancourse.__version__}: restart the kernel, then run the cells "
                    "from the top."
                )

    def after(self, result) -> None:
        """Remember what the cell left behind."""
        if self.now is None:  # the learner's own, which is as it should be
            for name in cells.scan(result.info.raw_cell or "").makes:
                self.owner.pop(name, None)
            return
        right, cell = result.success and not self.doubtful, self.cells[self.now]
        trained = {n for n, before in self.weights.items() if self._sum(n) != before}
        trained -= cell.makes
        self.trained.setdefault(self.now, set()).update(trained)
        left = cell.leaves | trained
        self.owner |= dict.fromkeys(left, self.now if right else None)
        for name, rng in self._generators().items():
            if name in self.rewound and self.now in self.whole:
                # what is kept from the first run is drawn once
                rng.set_state(self.drew[self.now][1][name])
        self.drew[self.now] = self.entry, self._streams()
        (self.whole.add if result.success else self.whole.discard)(self.now)
        self.now = None

    def explain(self, shell, kind, error, trace, tb_offset=None):
        """In the place of a NameError: which cell makes what is missing."""
        maker = self._maker(error.name) if kind is NameError else None
        ours = _innermost(trace).f_globals is shell.user_ns
        if maker is not None and ours:
            words = f"{_run_first(self.cells[maker])}: it makes `{error.name}`."
            return shell._showtraceback(NameError, NameError(words), [words])
        if issubclass(kind, self.others[0] or ()):
            return self.others[1](kind, error, trace, tb_offset)
        return shell.showtraceback((kind, error, trace), tb_offset=tb_offset)

    def _maker(self, name: str | None) -> int | None:
        """The cell from which the present one should have the name, or None."""
        makers = [k for k, cell in enumerate(self.cells) if name in cell.makes]
        if self.now is None:
            return makers[0] if makers else None
        above = [k for k in makers if k < self.now]
        below = [k for k in makers if k > self.now]
        return self.cells[self.now].needs.get(name, [*above[-1:], *below, None][0])

    def _fits(self, name: str, maker: int) -> bool:
        owner = self.owner.get(name, maker)  # nobody's: made by a cell of the learner's
        trained = name in self.trained.get(owner, ())
        if owner == self.now:  # this cell is run a second time
            cell = self.cells[self.now]
            rewound = name not in cell.streams or name in self.rewound
            return rewound and not trained and name not in cell.again
        return owner == maker or (trained and maker < owner < self.now)

    def _sum(self, name: str) -> str:
        """Sums of the weights of the networks in this name: training changes them."""
        try:
            value = self.shell.user_ns.get(name)
            return str([weight.detach().sum().item() for weight in _weights(value)])
        except Exception:  # it may be anything by now, a learner's own too
            return ""

    def _streams(self) -> dict:
        """State of each random stream that the present cell draws from."""
        return {name: rng.get_state() for name, rng in self._generators().items()}

    def _generators(self) -> dict:
        import torch  # by now it is there; at a terminal it is not needed

        names = self.cells[self.now].streams
        found = {name: self.shell.user_ns.get(name) for name in names}
        found = {n: rng for n, rng in found.items() if isinstance(rng, torch.Generator)}
        return found | {_GLOBAL: torch.default_generator}

    def _rewind(self) -> set[str]:
        """Put streams back that nobody but this cell has drawn from since it ran."""
        entry, left = self.drew.get(self.now, ({}, {}))
        back = set()
        for name, rng in self._generators().items():
            if name in left and name in entry and rng.get_state().equal(left[name]):
                rng.set_state(entry[name])
                back.add(name)
        return back


def _weights(value: object, depth: int = 2) -> list:
    """Parameters of a network, of those in a list or a dictionary, or of a game's."""
    if hasattr(value, "named_parameters"):
        return list(value.parameters())
    if hasattr(value, "discriminators") and not hasattr(value, "step"):  # no run:
        value = [value.generators, value.discriminators]  # that goes on to its end
    inside = value.values() if isinstance(value, dict) else value
    if depth == 0 or not isinstance(value, dict | list | tuple) or len(value) > 100:
        return []
    return [weight for part in inside for weight in _weights(part, depth - 1)]


def _run_first(cell: cells.Cell) -> str:
    section = f" (section “{cell.section}”)" if cell.section else ""
    return f"Run the cell that begins `{cell.begins}`{section} first"


def _innermost(trace):
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame


# ------------------------------------------------------------------ which notebook


def _notebook_of(shell) -> list[cells.Cell]:
    """The cells of the notebook that shares most of them with what this kernel ran."""
    ran = {text.strip() for text in shell.user_ns.get("In", [])}
    ran = {text for text in ran if text and "find_spec(" not in text}  # in all of them
    best, most = None, 0
    for book in _books(shell):
        with contextlib.suppress(KeyError, TypeError):
            sources = {"".join(cell["source"]).strip() for cell in book["cells"]}
            if len(ran & sources) > most:
                best, most = book, len(ran & sources)
            if most == len(ran):
                break
    return cells.read(best) if best else []


def _books(shell):
    """Notebooks it may be: those of Jupyter, VS Code, the course, Colab."""
    names = [
        shell.user_ns.get("__vsc_ipynb_file__"),
        os.environ.get("JPY_SESSION_NAME"),
    ]
    for path in [*filter(None, names), *sorted(FOLDER.glob("*.ipynb"))]:
        with contextlib.suppress(OSError, ValueError):
            yield json.loads(Path(path).read_text(encoding="utf-8"))
    if "google.colab" in sys.modules:
        with contextlib.suppress(
            Exception
        ):  # not a public name of Colab's: may go away
            from google.colab import _message

            ask = _message.blocking_request("get_ipynb", request="", timeout_sec=5)
            yield ask["ipynb"]
