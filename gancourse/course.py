"""The notebooks as a course: what a profile is, what you should have got, who is where.

Notebooks call `profile` and `report`; running them is in runs.py.
"""

import hashlib
import json
import math
import os
import re
import sys
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import NamedTuple

from gancourse import order, settings
from gancourse.errors import GancourseError
from gancourse.promises import IDENTITIES, LIMITS, POSSIBLE

PROFILES = ("smoke", "quick", "cpu", "gpu")
MIME = "application/vnd.gancourse.metrics+json"
BANDS = Path(__file__).parent / "bands.json"

# ------------------------------------------------------------------ profiles


def profile(asked: str = "auto") -> str:
    """One of "smoke", "quick", "cpu", "gpu".

    An explicit wish wins, then the environment variable GANCOURSE_PROFILE, then "gpu"
    where there is a CUDA device and "cpu" elsewhere. In a notebook it looks at the
    other parameters too, so that a slip is said at the top and not far below.
    """
    _check_parameters()
    where = "profile"
    if asked == "auto" and os.environ.get("GANCOURSE_PROFILE"):
        asked, where = os.environ["GANCOURSE_PROFILE"], "GANCOURSE_PROFILE"
    if asked == "auto":
        return "gpu" if device_kind() == "cuda" else "cpu"
    if asked not in PROFILES:
        raise GancourseError(
            f"{where} is {asked!r}, and nothing was run. "
            f"Choose auto, {', '.join(PROFILES[:-1])} or {PROFILES[-1]}."
        )
    return asked


def _check_parameters() -> None:
    """Refuse a seed or a precision that no cell of the notebook could use."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    names = {} if shell is None else shell.user_ns
    seed, precision = names.get("seed", 0), names.get("precision", "auto")
    wanted = "and nothing was run. Change it in the cell of the parameters"
    if not settings.whole(seed, 0, 2**63 - 1):
        raise GancourseError(
            f"seed is {str(seed)[:40]!r}, {wanted} to a whole number from 0 to 2^63."
        )
    if precision not in ("auto", "fp32", "bf16", "fp16"):
        raise GancourseError(
            f"precision is {str(precision)[:40]!r}, {wanted} to auto, fp32, bf16 or "
            "fp16."
        )


def device_kind() -> str:
    """ "cuda" or "cpu": where the notebooks compute on this machine."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


# ------------------------------------------------------------------ bands


def key(notebook: str, metric: str, profile: str, device: str, precision: str) -> str:
    """The name of a band in bands.json."""
    return "|".join([notebook, metric, profile, device, precision])


@lru_cache(maxsize=1)
def _measured_bands(path: Path, changed: float) -> dict[str, dict]:
    return json.loads(path.read_text(encoding="utf-8"))


def measured_bands() -> dict[str, dict]:
    """All of bands.json: {key: {low, high, runs, seeds, torch, threads, date}}."""
    return _measured_bands(BANDS, BANDS.stat().st_mtime) if BANDS.is_file() else {}


def band(
    notebook: str, metric: str, profile: str, device: str, precision: str = "fp32"
) -> tuple[float, float] | None:
    """(low, high) in which this metric should lie; None when it is neither promised
    nor measured."""
    if (notebook, metric) in IDENTITIES:
        return (0.0, IDENTITIES[notebook, metric])
    grown = profile in ("cpu", "gpu")
    promised = LIMITS.get((notebook, metric)) if grown else None
    measured = measured_bands().get(key(notebook, metric, profile, device, precision))
    if measured is None:
        return promised
    low, high = measured["low"], measured["high"]
    for cut in filter(None, [promised, POSSIBLE.get((notebook, metric))]):
        low, high = max(low, cut[0]), min(high, cut[1])
    return low, high


def inside(value: float, limits: tuple[float, float]) -> bool:
    """Whether a value lies in its band; what is not a number lies in none."""
    return limits[0] <= value <= limits[1]


def widened(values: list[float]) -> tuple[float, float]:
    """[min - half the range, max + half the range] of a metric over several runs.

    A metric that no seed touches still differs a little on another machine (a count of
    2,000 by a few), so half the range is taken as at least half a per cent of its size.
    """
    low, high = min(values), max(values)
    half = max((high - low) / 2, 5e-3 * max(abs(low), abs(high)), 1e-12)
    return low - half, high + half


# ------------------------------------------------------------------ the report


def report(notebook: str, profile: str, metrics: dict, precision: str = "fp32") -> None:
    """Show the metrics of this run beside their bands, and store them for machines.

    Never raises because of a value: a metric outside its band is said to be so.
    """
    device = device_kind()
    if precision == "auto":
        import torch

        from gancourse.training import pick_precision

        precision = pick_precision(precision, torch.device(device))
    values = {name: _number(value) for name, value in metrics.items()}
    bands = {name: band(notebook, name, profile, device, precision) for name in values}
    payload = {
        "notebook": notebook,
        "profile": profile,
        "device": device,
        "precision": precision,
        # JSON has no "not a number": such a value is stored as null.
        "metrics": {n: v if math.isfinite(v) else None for n, v in values.items()},
        "bands": {name: list(limits) for name, limits in bands.items() if limits},
    }
    rows = [(n, *_row(values[n], bands[n])) for n in values]
    where = f"profile {profile}, device {device}, {precision}"
    text = _as_text(rows, where)
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        get_ipython = lambda: None  # noqa: E731
    if get_ipython() is None:
        print(text)
        return
    shown = {"text/html": _as_html(rows, where), "text/plain": text, MIME: payload}
    display(shown, raw=True)


def _number(value: object) -> float | int:
    """The value as a plain number; not-a-number for what is none."""
    try:
        value = value.item() if hasattr(value, "item") else value
        return int(value) if isinstance(value, bool | int) else float(value)
    except (TypeError, ValueError, RuntimeError):
        return math.nan


def _row(value: float, limits: tuple[float, float] | None) -> tuple[str, str, str]:
    """(value, band, verdict) as they are shown."""
    if limits is None:
        return _short(value), "", "no band yet"
    words = f"{_short(limits[0])} … {_short(limits[1])}"
    return _short(value), words, "in its band" if inside(value, limits) else "outside"


def _short(value: float) -> str:
    """1,234 for counts, four digits for the rest."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.4g}"


def _as_text(rows: list[tuple[str, str, str, str]], where: str) -> str:
    lines = [("metric", "yours", "band", ""), *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    table = (
        "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in lines
    )
    return "\n".join([*(line.rstrip() for line in table), f"({where})"])


def _as_html(rows: list[tuple[str, str, str, str]], where: str) -> str:
    head = "".join(f'<th scope="col">{t}</th>' for t in ("metric", "yours", "band", ""))
    body = ""
    for name, value, limits, verdict in rows:
        words = f"<strong>{verdict}</strong>" if verdict == "outside" else verdict
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in (value, limits))
        name = escape(name.replace("_", " "))
        body += f'<tr><th scope="row">{name}</th>{cells}<td>{words}</td></tr>'
    caption = f"<caption>What this run gave ({escape(where)})</caption>"
    return (
        f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


# ------------------------------------------------------------------ the notebooks


class Notebook(NamedTuple):
    """A notebook of the course: "01", its file, its title."""

    number: str
    path: Path
    title: str


def folder() -> Path:
    """The course's notebooks: beside the package, or in the current folder."""
    for root in (Path(__file__).resolve().parents[1], Path.cwd()):
        if any((root / "notebooks").glob("[0-9A-Z][0-9]_*.ipynb")):
            return root / "notebooks"
    raise GancourseError(
        "The course's notebooks are not here: the package was installed without its "
        "repository. Clone the repository, enter it, and install with: "
        'python -m pip install -e ".[lab]"'
    )


def notebooks() -> list[Notebook]:
    """All notebooks of the course, by number."""
    found = []
    for path in sorted(folder().glob("[0-9A-Z][0-9]_*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        first = "".join(cells[0]["source"]) if cells else ""
        heading = re.match(r"# (?:\w\d )?(.+)", first)
        found.append(
            Notebook(path.name[:2], path, heading[1] if heading else path.stem)
        )
    return found


def find(numbers: list[str]) -> list[Notebook]:
    """The notebooks named by "1", "01" or "01_minimax_game"; all when none is named."""
    there = notebooks()
    if not numbers:
        return there
    by_number = {book.number: book for book in there}
    chosen = []
    for name in numbers:
        named = re.fullmatch(r"(\d\d?|[A-Za-z]\d)(_\w+)?(\.ipynb)?", Path(name).name)
        number = named[1].zfill(2).upper() if named else ""
        if number not in by_number:
            raise GancourseError(
                f"There is no notebook '{name}', and nothing was done. "
                f"Choose from {', '.join(by_number)}."
            )
        chosen.append(by_number[number])
    return list(dict.fromkeys(chosen))


def code_hash(path: str | Path) -> str:
    """SHA-256 of a notebook's code cells: says whether outputs belong to their code."""
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


order.watch()  # every notebook imports this module in its first cells
