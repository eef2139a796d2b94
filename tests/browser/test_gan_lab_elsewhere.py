"""The labs on the kernel that Colab runs, and the GAN lab for a long time."""

import json
import os
import time
from pathlib import Path

import pytest
from gan_lab_page import OPEN, Lab
from panels_page import EXPLORER, MIXER, Shown

COLAB = os.environ.get("GANCOURSE_COLAB_PYTHON", "")
MINUTES = int(os.environ.get("GANCOURSE_SOAK_MINUTES", "10"))


needs_colab = pytest.mark.skipif(
    not COLAB,
    reason="GANCOURSE_COLAB_PYTHON names no Python with ipykernel 6.17, IPython 7.34, "
    "ipywidgets 7.7 and anywidget 0.9",
)


@pytest.fixture
def on_colab_s_kernel(start_server, notebook, tmp_path):
    """The notebook, on a server with that kernel and the front end it belongs to."""
    # Widgets of ipywidgets 7 need jupyterlab-widgets 1.
    server = start_server(tmp_path, str(Path(COLAB).parents[1] / "share" / "jupyter"))
    server.add_kernel("colab", COLAB)
    notebook.server = server
    notebook.page.context.set_default_timeout(180_000)
    return notebook


@pytest.mark.full
@needs_colab
def test_the_panels_and_a_guess_work_on_a_kernel_like_colab_s(on_colab_s_kernel):
    notebook = on_colab_s_kernel
    ask = "from gancourse.lab import predict, reveal\n"
    ask += "predict('q', 'Heads or tails?', ['heads', 'tails'])"
    reveal = "reveal('q', 'tails', 'it fell so')"
    notebook.open([EXPLORER, MIXER, ask, reveal], "panels.ipynb", kernel="colab")
    for cell in range(3):
        assert notebook.run_cell(cell), notebook.text()
    explorer = Shown(notebook, "Latent explorer")
    explorer.changes("sample", lambda: explorer.root.get_by_label("cut at τ").fill("1"))
    explorer.wait_for_text("cut at 1")
    notebook.picture("explorer-colab", explorer.root)
    mixer = Shown(notebook, "Style mixer")
    strength = mixer.root.get_by_label("style strength")
    mixer.changes("preview", lambda: strength.fill("0.3"))
    mixer.root.get_by_role("button", name="Paint with Gatys").click()
    mixer.root.locator('img[data-picture="gatys"]').wait_for()
    mixer.wait_for_another("gatys", mixer.source("gatys"))
    mixer.root.get_by_role("button", name="Cancel").click()
    mixer.wait_for_text("Cancelled")
    notebook.picture("mixer-colab", mixer.root)
    notebook.page.get_by_role("radio", name="tails").check()
    notebook.wait_until_idle()
    assert notebook.run_cell(3) and "and so it is" in notebook.text()


@pytest.mark.full
@needs_colab
def test_the_lab_works_on_a_kernel_like_colab_s(on_colab_s_kernel):
    notebook = on_colab_s_kernel
    versions = (
        "import IPython, ipykernel, ipywidgets, anywidget\n"
        "print([m.__version__ for m in (IPython, ipykernel, ipywidgets, anywidget)])"
    )
    notebook.open([versions, *OPEN], "colab.ipynb", kernel="colab")
    assert notebook.run_all(), notebook.text()
    assert "'7.34.0', '6.17.1', '7.7.1', '0.9." in notebook.text()
    lab = Lab(notebook.page)
    print(lab.speed(5))
    notebook.page.wait_for_timeout(700)
    step = lab.step
    assert step > 20
    lab.play("Number(d.step) > arg", step + 10)
    # A cell and the lab share one thread there: frames stop while it runs, then go on.
    cell = notebook.add_cell("import time\ntime.sleep(1)\nprint('slept')")
    assert notebook.run_cell(cell) and "slept" in notebook.text()
    lab.wait("Number(d.step) > arg", lab.step + 10)
    lab.pause()
    notebook.page.wait_for_timeout(700)
    same = "names = {}\nexec(lab.program(), names)\nprint(lab.engine.changed_at)"
    assert notebook.run_cell(notebook.add_cell(same))
    notebook.picture("gan-lab-colab", lab.root)


def rss(pid: int) -> float:
    """Resident memory of a process in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1_024


@pytest.mark.soak
def test_memory_does_not_grow_while_it_plays(notebook):
    notebook.open([*OPEN, "import os\nprint('pid', os.getpid())"], "long.ipynb")
    assert notebook.run_all()
    pid = int(notebook.text().split("pid ")[1].split()[0])
    lab, table = Lab(notebook.page), []
    lab.press("Play")
    session = notebook.page.context.new_cdp_session(notebook.page)
    session.send("Performance.enable")
    for minute in range(MINUTES + 1):
        session.send("HeapProfiler.collectGarbage")
        found = session.send("Performance.getMetrics")["metrics"]
        heap = {m["name"]: m["value"] for m in found}["JSHeapUsedSize"] / 2**20
        table.append((minute, lab.step, lab.number("frames"), rss(pid), heap))
        print(
            "minute {}: step {:,}, frame {:,}, kernel {:.0f} MB, page {:.1f} MB".format(
                *table[-1]
            )
        )
        if minute < MINUTES:
            end = time.monotonic() + 60
            while time.monotonic() < end:
                notebook.page.wait_for_timeout(2_000)
    lab.pause()
    path = notebook.picture("gan-lab-long", lab.root).with_suffix(".json")
    path.write_text(json.dumps(table), encoding="utf-8")
    early, late = table[min(2, MINUTES - 1)], table[-1]
    assert late[2] > early[2] + 100, "it played"
    assert late[3] - early[3] < 40, "MB of the kernel"
    assert late[4] - early[4] < 20, "MB of the page"
