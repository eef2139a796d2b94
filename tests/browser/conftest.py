"""A real JupyterLab in a real browser, for the tests of what learners click on.

The fixture `jupyterlab` starts a server in an empty home; `notebook` opens a notebook
in Debian's chromium. `Notebook.run_all()` runs every cell, and `Notebook.complaints`
holds what the page printed as an error. Pictures go to `gancourse-runs/browser/` (or to
`$GANCOURSE_SCREENSHOTS`), where a person can look at them.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = Path(
    os.environ.get("GANCOURSE_SCREENSHOTS", REPOSITORY / "gancourse-runs" / "browser")
)
# Errors of JupyterLab itself that say nothing about a notebook: it looks for files that
# an installation without extensions or with an empty home does not have.
FOREIGN = (
    "favicon",
    "colab-badge.svg",
    "/api/me",
    "/lsp/",
    "/api/workspaces",
    "404 (Not Found)",
)
CURRENT = "window.jupyterapp?.shell?.currentWidget"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A JupyterLab of its own: folder `root`, empty home, free port, no token."""

    def __init__(self, root: Path, also: str = ""):
        """`also`: a folder like share/jupyter, searched first for extensions."""
        self.root = root / "notebooks"
        self.root.mkdir()
        self.port = free_port()
        self.log = root / "jupyterlab.log"
        folders = {"HOME": root / "home"}
        for kind in ("CONFIG", "DATA", "RUNTIME"):
            folders[f"JUPYTER_{kind}_DIR"] = root / f"jupyter-{kind.lower()}"
        self.data = folders["JUPYTER_DATA_DIR"]
        folders["IPYTHONDIR"] = root / "ipython"
        folders["JUPYTERLAB_SETTINGS_DIR"] = root / "settings"
        folders["JUPYTERLAB_WORKSPACES_DIR"] = root / "workspaces"
        for folder in folders.values():
            folder.mkdir()
        quiet = folders["JUPYTERLAB_SETTINGS_DIR"] / "@jupyterlab/apputils-extension"
        quiet.mkdir(parents=True)  # no question about news
        settings = quiet / "notification.jupyterlab-settings"
        settings.write_text('{"fetchNews": "false"}', encoding="utf-8")
        environment = {**os.environ, **{k: str(v) for k, v in folders.items()}}
        environment["PYTHONPATH"] = str(REPOSITORY)
        environment["OMP_NUM_THREADS"] = "1"
        environment |= {"JUPYTER_PATH": also} if also else {}
        environment.setdefault("GANCOURSE_PROFILE", "smoke")
        command = [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            *(f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0"),
            *("--IdentityProvider.token=", f"--ServerApp.root_dir={self.root}"),
            *("--LabApp.expose_app_in_browser=True", "--LabApp.news_url="),
            # Should the tests be killed, the server ends by itself.
            *("--MappingKernelManager.cull_idle_timeout=600",),
            *("--ServerApp.shutdown_no_activity_timeout=600",),
        ]
        self.process = subprocess.Popen(
            command,
            env=environment,
            cwd=root,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
        )
        self._wait()

    def add_kernel(self, name: str, python: str) -> None:
        """Offer the kernel of another Python, before a notebook asks for it."""
        folder = self.data / "kernels" / name
        folder.mkdir(parents=True)
        argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": argv, "display_name": name, "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _wait(self) -> None:
        for _ in range(1800):
            try:
                urllib.request.urlopen(f"{self.url}/api/status", timeout=1).close()
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.1)
        raise AssertionError(f"JupyterLab did not answer: {self.log.read_text()}")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Notebook:
    """One notebook in one page of the browser."""

    def __init__(self, page, server: Server):
        self.page, self.server, self.complaints = page, server, []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"page: {error}"))

    def _console(self, message) -> None:
        text = f"{message.text} {message.location.get('url', '')}"
        if message.type == "error" and not any(word in text for word in FOREIGN):
            self.complaints.append(f"console: {text}")

    def open(
        self, source: Path | list[str], name: str = "", kernel: str = "python3"
    ) -> "Notebook":
        """Open a notebook file (a copy of it), or one made of these code cells."""
        if isinstance(source, list):
            name = name or "cells.ipynb"
            cells = [nbformat.v4.new_code_cell(cell) for cell in source]
            made = nbformat.v4.new_notebook(cells=cells)
            spec = {"name": kernel, "display_name": kernel, "language": "python"}
            made.metadata.kernelspec = spec
            nbformat.write(made, self.server.root / name)
        else:
            name = name or source.name
            shutil.copy(source, self.server.root / name)
        self.name = name
        self.load()
        return self

    def load(self) -> None:
        """Load the page, also again, and wait until its kernel is there and idle."""
        self.page.goto(f"{self.server.url}/lab/tree/{self.name}?reset")
        self.page.wait_for_function(f"() => {CURRENT}?.content?.model?.cells?.length")
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        kernel = f"{CURRENT}?.sessionContext?.session?.kernel"
        self.page.wait_for_function(f"() => {kernel}?.status === 'idle'")

    def run_all(self) -> bool:
        """Run every cell to the end; False when one raised (the rest are not run)."""
        run = "window.jupyterapp.commands.execute('notebook:run-all-cells')"
        return self.page.evaluate(f"() => {run}")

    def run_cell(self, index: int) -> bool:
        """Run one cell to its end."""
        activate = f"i => {{ const w = {CURRENT}; w.content.activeCellIndex = i; }}"
        self.page.evaluate(activate, index)
        run = "window.jupyterapp.commands.execute('notebook:run-cell')"
        return self.page.evaluate(f"() => {run}")

    def set_cells(self, sources: list[str]) -> None:
        """Put these code cells in the place of all cells; the kernel goes on."""
        script = f"""sources => {{
            const cells = {CURRENT}.content.model.sharedModel;
            cells.deleteCellRange(0, cells.cells.length);
            cells.insertCells(
                0, sources.map(source => ({{cell_type: 'code', source}}))
            );
        }}"""
        self.page.evaluate(script, sources)

    def add_cell(self, code: str) -> int:
        """Append a code cell; returns its index."""
        script = f"""code => {{
            const cells = {CURRENT}.content.model.sharedModel;
            cells.addCell({{cell_type: 'code', source: code}});
            return cells.cells.length - 1;
        }}"""
        return self.page.evaluate(script, code)

    def outputs(self) -> list[list[dict]]:
        """The outputs of every cell, as the notebook's model holds them."""
        cells = f"{CURRENT}.content.widgets"
        return self.page.evaluate(
            f"() => {cells}.map(c => c.model.outputs?.toJSON() ?? [])"
        )

    def text(self) -> str:
        """All that the cells printed, and what their results say as plain text."""
        words = []
        for output in (o for cell in self.outputs() for o in cell):
            words.append(output.get("text", output.get("data", {}).get("text/plain")))
            words += output.get("traceback", [])
        return "\n".join("".join(w) for w in words if w)

    def save(self) -> Path:
        """Save, as the learner does; returns the file."""
        save = "window.jupyterapp.commands.execute('docmanager:save')"
        self.page.evaluate(f"() => {save}")
        return self.server.root / self.name

    def finish(self) -> None:
        """Shut the kernel down; fail when the page complained meanwhile."""
        self.page.evaluate(f"() => {CURRENT}?.sessionContext?.shutdown()")
        assert not self.complaints, self.complaints

    def picture(self, name: str, locator=None) -> Path:
        """A screenshot of the page, or of one element, for a person to look at."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        path = PICTURES / f"{name}.png"
        (locator or self.page).screenshot(path=path)
        return path


@pytest.fixture(scope="session")
def browser():
    """Debian's chromium, driven by Playwright; skipped with a reason without either."""
    if CHROMIUM is None:
        pytest.skip("no chromium here (apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def jupyterlab(tmp_path_factory):
    """One JupyterLab for all browser tests of a process."""
    server = Server(tmp_path_factory.mktemp("jupyterlab"))
    yield server
    server.stop()


def new_page(browser):
    """A page in a context of its own, which shares nothing with others."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(180_000)
    return context.new_page()


@pytest.fixture
def start_server():
    """start_server(folder, also): another JupyterLab; it is stopped afterwards."""
    started = []

    def start(*arguments) -> Server:
        started.append(Server(*arguments))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def page(browser):
    """A fresh page."""
    page = new_page(browser)
    yield page
    page.context.close()


@pytest.fixture
def notebook(page, jupyterlab):
    """A Notebook to `open`, with a kernel of its own; afterwards no page complained.

    A test that expects complaints clears `notebook.complaints` itself.
    """
    opened = Notebook(page, jupyterlab)
    yield opened
    opened.finish()


@pytest.fixture(scope="module")
def shared(browser, jupyterlab):
    """A Notebook for all tests of a module, which saves its many starts.

    The module opens it once; each test sets its cells (`set_cells`) and runs them.
    """
    opened = Notebook(new_page(browser), jupyterlab)
    yield opened
    opened.finish()
    opened.page.context.close()
