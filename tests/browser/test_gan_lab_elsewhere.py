"""The GAN lab on the kernel that Colab runs, and for a long time."""

import json
import os
import time
from pathlib import Path

import pytest
from gan_lab_page import OPEN, Lab

COLAB = os.environ.get("GANCOURSE_COLAB_PYTHON", "")
MINUTES = int(os.environ.get("GANCOURSE_SOAK_MINUTES", "10"))


@pytest.mark.full
@pytest.mark.skipif(
    not COLAB,
    reason="GANCOURSE_COLAB_PYTHON names no Python with ipykernel 6.17, IPython 7.34, "
    "ipywidgets 7.7 and anywidget 0.9",
)
def test_the_lab_works_on_a_kernel_like_colab_s(start_server, notebook, tmp_path):
    # Its own front end too: widgets of ipywidgets 7 need jupyterlab-widgets 1.
    server = start_server(tmp_path, str(Path(COLAB).parents[1] / "share" / "jupyter"))
    server.add_kernel("colab", COLAB)
    notebook.server = server
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
