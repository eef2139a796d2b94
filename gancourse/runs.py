"""Running the notebooks through papermill, one or several, and what came of it.

Each notebook gets a fresh kernel of this Python, an empty temporary folder to work in,
and its profile as a parameter. What it drew and printed until it failed is kept.
"""

import ast
import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from gancourse import course, storage, stored
from gancourse.errors import GancourseError

CELL_SECONDS = {"smoke": 120, "quick": 300, "cpu": 1200, "gpu": 3600}
FLOOD = 5_000_000  # characters: a cell that prints more is interrupted


@dataclass
class Result:
    """What became of one notebook."""

    name: str
    ok: bool = False
    seconds: float = 0.0
    error: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    bands: dict[str, list[float]] = field(default_factory=dict)
    precision: str = "fp32"
    ran: bool = False  # every cell ran; a metric may still be outside its band

    def as_json(self) -> dict:
        keys = ("name", "ok", "seconds", "error", "metrics", "bands")
        return {name: getattr(self, name) for name in keys}


# ------------------------------------------------------------------ one notebook


def execute(
    source: Path,
    target: Path,
    parameters: dict,
    cell_seconds: float,
    environment: dict[str, str] | None = None,
    tick=lambda: None,
) -> Result:
    """Run the notebook `source` from top to bottom into `target`; never raises for it.

    `parameters` that its parameters cell does not know are left out; `tick()` is called
    after each cell.
    """
    import nbformat
    import papermill

    _register_engine()
    result, began = Result(source.stem), time.perf_counter()
    book = nbformat.read(source, 4)
    known = known_parameters(book)
    target.unlink(missing_ok=True)  # what an earlier run left says nothing about this
    with tempfile.TemporaryDirectory(
        prefix="gancourse-", ignore_cleanup_errors=True
    ) as f:
        try:
            papermill.execute_notebook(
                source,
                target,
                {name: value for name, value in parameters.items() if name in known},
                engine_name="gancourse",
                kernel_name="python3",
                progress_bar=False,
                execution_timeout=cell_seconds,
                resources={"metadata": {"path": f}},
                environment={**os.environ, "TQDM_DISABLE": "1", **(environment or {})},
                tick=tick,
            )
            result.error = _not_finished(target)
            result.ran = result.error is None
        # Whatever it is (a cell's own, a time-out, a dead kernel), it is the result.
        except Exception as error:
            result.error = _in_a_line(error, cell_seconds)
    result.seconds = round(time.perf_counter() - began, 1)
    if target.is_file():
        _read_metrics(target, result)
    outside = [
        f"{name} = {_shown(result.metrics[name])} is outside [{low:.4g}, {high:.4g}]"
        for name, (low, high) in result.bands.items()
        if not course.inside(_value(result.metrics[name]), (low, high))
    ]
    outside += [
        f"it did not report {name}"
        for number, name in course.IDENTITIES.keys() | course.LIMITS.keys()
        if number == source.stem[:2] and name not in result.metrics
    ]
    if result.ran and outside:
        result.error = "; ".join(sorted(outside))
    result.ok = result.error is None
    return result


def _not_finished(target: Path) -> str | None:
    """What shows that the cells did not all run: sys.exit() looks like success."""
    for cell in json.loads(target.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code" or not "".join(cell["source"]).strip():
            continue
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                return f"{output['ename']} {_where(''.join(cell['source']))}"
        if cell["execution_count"] is None:
            return f"it stopped before the end {_where(''.join(cell['source']))}"
    return None


def _where(source: str) -> str:
    first = next((line for line in source.splitlines() if line.strip()), "")
    return f"(in the cell that begins `{first.strip()[:60]}`)"


def known_parameters(book) -> set[str]:
    """Names assigned in the cell tagged `parameters`."""
    names = set()
    for cell in book.cells:
        if "parameters" in cell.metadata.get("tags", []):
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Assign):
                    names.update(t.id for t in node.targets if isinstance(t, ast.Name))
    return names


def _register_engine() -> None:
    """Papermill's own engine, with four differences that need a client of our own."""
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines

    class Client(PapermillNotebookClient):
        tick, printed, flooded = None, 0, None

        def create_kernel_manager(self):
            """This very Python, whatever kernels the user has registered."""
            manager = super().create_kernel_manager()
            manager.kernel_spec.argv[0] = sys.executable
            return manager

        def execute_cell(self, cell, index, **more):
            self.printed = 0
            try:
                return super().execute_cell(cell, index, **more)
            finally:
                if cell.cell_type == "code":
                    self.tick()

        def output(self, outs, msg, display_id, cell_index):
            """Keep outputs, but not those of a cell that floods the file."""
            self.printed += len(msg["content"].get("text", ""))
            if self.printed <= FLOOD:
                return super().output(outs, msg, display_id, cell_index)
            if not self.flooded:
                self.flooded = asyncio.ensure_future(self.km.interrupt_kernel())
            return None

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(
            cls,
            nb_man,
            kernel_name,
            execution_timeout,
            environment,
            tick,
            resources,
            **_,
        ):
            client = Client(
                nb_man,
                kernel_name=kernel_name,
                timeout=execution_timeout,
                startup_timeout=120,
                resources=resources,
                store_widget_state=False,
            )
            client.tick = tick
            _running.append(client)
            try:
                # Kernels warn about their transport on stderr at every start.
                client.execute(env=environment, stderr=subprocess.DEVNULL)
            finally:
                _running.remove(client)
            if client.flooded:
                raise RuntimeError(f"a cell printed more than {FLOOD:,} characters")

    papermill_engines.register("gancourse", Engine)


_running: list = []  # clients whose kernels live now


def stop_kernels() -> None:
    """Kill the kernels of this process (Ctrl-C does not reach them)."""
    for client in list(_running):
        provisioner = getattr(client.km, "provisioner", None)
        process = getattr(provisioner, "process", None)
        if process is not None:
            with contextlib.suppress(OSError):
                process.kill()


def _in_a_line(error: Exception, cell_seconds: float) -> str:
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        value = str(error.evalue).strip().split("\n")[0][:300]
        return f"{error.ename}: {value} {_where(error.source)}".replace(":  (", " (")
    if isinstance(error, CellTimeoutError):
        return f"a cell took longer than {cell_seconds:.0f} s and was stopped"
    if isinstance(error, DeadKernelError):
        return "the kernel died (out of memory, or killed)"
    return f"{type(error).__name__}: {str(error).strip().split(chr(10))[0][:300]}"


def _read_metrics(path: Path, result: Result) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        for output in cell.get("outputs", []):
            report = output.get("data", {}).get(course.MIME)
            if report:
                result.metrics |= report["metrics"]
                result.bands |= report["bands"]
                result.precision = report["precision"]


def _value(metric: float | None) -> float:
    return float("nan") if metric is None else metric


def _shown(metric: float | None) -> str:
    return "not a number" if metric is None else f"{metric:.4g}"


# ------------------------------------------------------------------ several


def run(
    numbers: list[str],
    profile: str = "auto",
    out: str | Path = "gancourse-runs",
    write: bool = False,
    force: bool = False,
    jobs: int | None = None,
    seed: int | None = None,
    progress: bool | None = None,
    cell_seconds: float | None = None,
) -> dict:
    """Execute the notebooks into `out` (.ipynb and .html) and return the results.

    With `write` their outputs are stored in the course's own notebooks, which then must
    not hold modifications that git does not know. Several notebooks run `jobs` at a
    time, one thread each: by default two, where there are two cores and no GPU.
    """
    need_papermill()
    # Clients of kernels that died leave tasks behind, and asyncio would say so.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    books = course.find(numbers)
    profile = course.profile("cpu" if write and profile == "auto" else profile)
    if write and profile != "cpu":
        raise GancourseError(
            f"Stored outputs are those of profile cpu, not {profile}, and nothing was "
            "run. Leave --profile out, or leave --write out."
        )
    if write and not force:
        for book in books:
            stored.refuse_modified(book.path)
    out = writable_folder(out)
    before = {book.path: book.path.read_bytes() for book in books}
    cell_seconds = cell_seconds or CELL_SECONDS[profile]
    jobs = min(jobs or at_a_time(), len(books))
    threads = {"OMP_NUM_THREADS": "1"} if jobs > 1 else {}
    parameters = {"profile": profile} | ({} if seed is None else {"seed": seed})

    def job(book, tick):
        target = out / book.path.name
        result = execute(book.path, target, parameters, cell_seconds, threads, tick)
        if target.is_file():
            with contextlib.suppress(Exception):  # a page is a bonus, never a failure
                from gancourse import pages  # brings in nbconvert

                pages.write_html(target)
        if write and (result.ok or (force and result.ran)):
            try:
                stored.store(book.path, target, before[book.path])
            except (GancourseError, OSError) as error:
                result.ok, result.error = False, str(error)
        return result

    results = _side_by_side(books, job, jobs, progress)
    return {
        "profile": profile,
        "device": course.device_kind(),
        "notebooks": [result.as_json() for result in results],
    }


def at_a_time() -> int:
    """How many notebooks run at a time: on a processor two on one thread each are
    faster than one on two, and three or more would want the memory of a large machine.
    """
    return 1 if course.device_kind() == "cuda" else min(2, os.cpu_count() or 1)


def _side_by_side(books, job, jobs: int, progress: bool | None) -> list[Result]:
    """Results of job(book, tick), `jobs` at a time, under one bar that counts cells."""
    from tqdm import tqdm

    cells = sum(
        cell["cell_type"] == "code"
        for book in books
        for cell in json.loads(book.path.read_text(encoding="utf-8"))["cells"]
    )
    hidden = None if progress is None else not progress
    lock, results = threading.Lock(), {}
    pool = ThreadPoolExecutor(jobs)
    with tqdm(total=cells, unit="cell", desc="notebooks", disable=hidden) as bar:

        def tick():
            with lock:
                bar.update()

        started = {pool.submit(job, book, tick): book for book in books}
        try:
            for future in as_completed(started):
                result = results[started[future]] = future.result()
                state = "ok" if result.ok else "FAILED"
                with lock:
                    bar.write(f"{result.name}: {state} ({result.seconds:.0f} s)")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_kernels()
            raise
    pool.shutdown()
    return [results[book] for book in books]


def table(outcome: dict) -> str:
    """The results as text, one line a notebook, one more for each thing amiss."""
    lines = [("notebook", "state", "seconds", "metrics in their bands")]
    notes = []
    for book in outcome["notebooks"]:
        inside = sum(
            course.inside(_value(book["metrics"][name]), limits)
            for name, limits in book["bands"].items()
        )
        share = f"{inside} of {len(book['bands'])}"
        unknown = len(book["metrics"]) - len(book["bands"])
        share += f" ({unknown} without a band)" if unknown else ""
        state = "ok" if book["ok"] else "FAILED"
        lines.append((book["name"], state, f"{book['seconds']:.0f}", share))
        if book["error"]:
            notes.append(f"{book['name']}: {book['error']}")
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    rows = (
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    head = f"profile {outcome['profile']}, device {outcome['device']}"
    return "\n".join([head, *rows, *notes])


def need_papermill() -> None:
    """Say what to install where notebooks cannot be executed."""
    try:
        import nbconvert  # noqa: F401
        import papermill  # noqa: F401
    except ImportError as error:
        raise GancourseError(
            f"Running notebooks needs {error.name}, which is not installed. "
            'Install it with: python -m pip install -e ".[lab]"'
        ) from None


def writable_folder(folder: str | Path) -> Path:
    """The folder, made if need be; GancourseError where nothing can be written."""
    folder = storage.absolute(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        why, cure = storage.why_not(error, 0)
        raise GancourseError(
            f"Nothing can be written to '{storage.shown(folder)}': {why}. "
            f"Nothing was run. {cure}"
        ) from None
    return folder
