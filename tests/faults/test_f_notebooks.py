"""Part F of the fault list: notebooks run in any order, twice, from the middle.

Setup runs once in a process, each order of cells in a fork of it (cells_server.py). A
cell gives what it gives in order, or says "Run the cell that begins `…` first".
"""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from counts import count

import gancourse
from gancourse import course, runs
from gancourse.errors import GancourseError

SERVER = Path(__file__).with_name("cells_server.py")
REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
LIGHT = "A1_glossary"  # the notebook that costs the default run least

# Where each row is held. Of F8 only the parameters are varied here: what a notebook's
# own numbers become (steps, batch sizes, rates) is refused by TrainConfig and
# data.batches, by their own tests. Of F5 three boundaries of each notebook are drawn.
HERE = "tests/faults/test_f_notebooks.py::"
ROWS = {
    "F1": "tests/notebooks/test_run.py::test_every_cell_runs_in_profile_quick",
    "F2": HERE + "test_cells_in_any_order_give_the_same_or",
    "F3": HERE + "test_cells_in_any_order_give_the_same_or",
    "F4": HERE + "test_cells_in_any_order_give_the_same_or",
    "F5": HERE + "test_a_kernel_killed_in_a_training_cell",
    "F6": HERE + "test_a_kernel_killed_in_a_training_cell",
    "F7": HERE + "test_cells_in_any_order_give_the_same_or",
    "F8": HERE + "test_a_slip_in_the_parameters_is_said",
    "F9": HERE + "test_an_update_under_a_live_kernel_is_said",
    "F10": HERE + "test_outputs_can_be_read_without_html",
    "F11": "tests/notebooks/test_run.py::test_sabotaged_notebook_is_red_under_both",
    "F12": "tests/notebooks/test_gates.py::test_stored_outputs_belong_to_the_code",
}

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def test_every_row_of_the_list_has_a_test():
    for row, where in ROWS.items():
        file, _, name = where.partition("::")
        assert f"def {name}" in (REPOSITORY / file).read_text(encoding="utf-8"), row
    assert list(ROWS) == [f"F{k}" for k in range(1, 13)]


# ------------------------------------------------------------------ F2, F3, F4, F5, F7


def served(*words, seconds=900) -> object:
    """What the server of cells prints, in an environment without display or home."""
    kept = ("PATH", "LANG", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH")
    environment = {key: os.environ[key] for key in kept if key in os.environ}
    environment |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "PYTHONHASHSEED": "0"}
    command = [sys.executable, str(SERVER), *map(str, words)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def hold(name: str, orders: int, forms: str = "") -> None:
    found = served(FOLDER / f"{name}.ipynb", orders, 0, forms)
    assert found["cells"] > 3 and found["same"] > found["cells"] / 2
    faults = "\n".join(map(str, found["faults"]))
    assert not found["faults"], f"{name}: {len(found['faults'])} faults\n{faults}"
    assert not found["in_order"], "a run in order was told to run a cell first"
    assert not found["only_html"], "an output that cannot be read without HTML"
    assert not found["left"], f"left in the folder it was started in: {found['left']}"
    for form, number in found["runs"].items():
        count(
            "F3" if form == "permutation" else "F2", f"orders of cells, {form}", number
        )
    count("F2", "cells run out of order: the same result", found["same"])
    count("F2", "cells run out of order: told which to run first", found["said"])


@needs_fork
def test_cells_of_one_notebook_in_any_order_give_the_same_or_name_a_cell():
    hold(LIGHT, 2)


@needs_fork
@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_cells_in_any_order_give_the_same_or_name_the_cell_to_run_first(name):
    hold(name, 10)


@needs_fork
@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_thirty_orders_of_each_notebook(name):
    hold(name, 30, "permutation")


# ------------------------------------------------------------------ F5, F6


@contextmanager
def kernel(cwd: Path):
    """`ask(code)` runs code in a kernel of its own and returns its text; `ask.pid`."""
    from jupyter_client import KernelManager

    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv[0] = sys.executable
    environment = {**os.environ, "GANCOURSE_PROFILE": "smoke", "OMP_NUM_THREADS": "1"}
    manager.start_kernel(cwd=str(cwd), env=environment, stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=120)

    def ask(code: str) -> str:
        client.execute(code)
        text = ""
        while True:
            message = client.get_iopub_msg(timeout=120)
            content, kind = message["content"], message["msg_type"]
            if kind == "stream":
                text += content["text"]
            elif kind == "error":
                text += f"{content['ename']}: {content['evalue']}"
            elif kind == "status" and content["execution_state"] == "idle":
                return text

    ask.client, ask.pid = client, manager.provisioner.process.pid
    try:
        yield ask
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


HASH = """
import hashlib
def digest(weights):
    return hashlib.sha256(weights.detach().numpy().tobytes()).hexdigest()[:16]
"""
# What a learner adds below the cells of the notebook: the notebook's own way to save,
# in a folder that outlives the kernel.
RESUMING = {
    "00_start_here": (
        ["def new_game()"],
        "import time\nstate = checkpoints.resume(FOLDER, new_game(), config)\n"
        "for log in train(state, batches):\n"
        "    checkpoints.save(state, FOLDER)\n    time.sleep(PAUSE)\n"
        "players = state.game_players().values()\n"
        "weights = [p.flatten() for player in players for p in player.parameters()]\n"
        "print('END', digest(torch.cat(weights)))",
    ),
    "04_dcgan_mnist": (
        ["images, labels =", "def small_players()", "def run(folder"],
        "print('END', digest(run(FOLDER)))",
    ),
}


def wanted_cells(name: str) -> list[str]:
    """The setup cells of a notebook and those that its way to train needs."""
    book = nbformat.read(FOLDER / f"{name}.ipynb", 4)
    code = [cell.source for cell in book.cells if cell.cell_type == "code"]
    setup = next(k for k, text in enumerate(code) if "course.profile(" in text) + 1
    marks = [*RESUMING[name][0], "def train_by_hand"]
    return code[:setup] + [c for c in code[setup:] if any(m in c for m in marks)]


@pytest.mark.full
@pytest.mark.parametrize("name", RESUMING)
def test_a_kernel_killed_in_a_training_cell_loses_no_saved_step(name, tmp_path):
    cells, training = wanted_cells(name), RESUMING[name][1]
    runs_, ends = tmp_path / "runs", {}
    with kernel(tmp_path) as ask:
        for cell in [*cells, HASH]:
            assert "Error" not in ask(cell)
        ask(f"FOLDER, PAUSE = {str(runs_ / 'killed')!r}, 0.05")
        ask.client.execute(training)
        deadline = time.monotonic() + 120
        while len(list((runs_ / "killed").glob("step*.pt"))) < 2:
            assert time.monotonic() < deadline, "no checkpoint was written"
            time.sleep(0.01)
        os.kill(ask.pid, 9)
    saved = max(int(p.name[4:11]) for p in (runs_ / "killed").glob("step*.pt"))
    with kernel(tmp_path) as ask:
        for cell in [*cells, HASH]:
            assert "Error" not in ask(cell)
        for kind in ("killed", "undisturbed"):
            ask(f"FOLDER, PAUSE = {str(runs_ / kind)!r}, 0")
            said = ask(training)
            ends[kind] = said.partition("END ")[2]
            if kind == "killed":
                assert f"at step {saved}: 0 saved steps lost" in said, said
            else:
                assert "Fresh start" in said
    assert ends["killed"] == ends["undisturbed"] != ""
    count("F6", "kernels killed in a training cell, resumed bit for bit", 1)


# ------------------------------------------------------------------ F8

SLIPS = {
    "profile": ["'quik'", "3", "None", "''", "['cpu']"],
    "seed": ["-1", "1.5", "'abc'", "2**70", "None", "True", "[0]", "float('nan')"],
    "precision": ["'fp12'", "16", "None", "'BF16'"],
}


def parameters(name: str) -> set[str]:
    return runs.known_parameters(nbformat.read(FOLDER / f"{name}.ipynb", 4))


def test_a_slip_in_the_parameters_is_said_at_the_top(tmp_path, assert_clear):
    """The cell that every notebook has, its parameters changed by hand."""
    steps = [
        [f"profile, seed, precision = 'smoke', 0, 'auto'\n{name} = {value}",
         "profile = course.profile(profile)"]
        for name, values in SLIPS.items()
        for value in values
    ]  # fmt: skip
    book = nbformat.v4.new_notebook()
    setup = "from gancourse import course\nprofile = course.profile('smoke')"
    book.cells = [nbformat.v4.new_code_cell(setup)]
    nbformat.write(book, tmp_path / "99_parameters.ipynb")
    told = served(tmp_path / "99_parameters.ipynb", "play", json.dumps(steps))
    for (source, _), (_, (_, _, error)) in zip(steps, told, strict=True):
        kind, _, text = error.partition(": ")
        assert kind == "GancourseError", f"{source}: {error}"
        name = source.splitlines()[1].partition(" =")[0]
        message = GancourseError(text)
        message.__suppress_context__ = True
        assert_clear(message, f"{name} is")
    assert all(parameters(notebook) <= SLIPS.keys() for notebook in NAMES)
    count("F8", "slips in the parameters of a notebook, said at the top", len(steps))


# ------------------------------------------------------------------ F9


def test_an_update_under_a_live_kernel_is_said_once(tmp_path):
    package = tmp_path / "package" / "gancourse"
    package.mkdir(parents=True)
    for path in (REPOSITORY / "gancourse").iterdir():
        if path.name != "__init__.py" and path.name != "__pycache__":
            (package / path.name).symlink_to(path)
    init = (REPOSITORY / "gancourse" / "__init__.py").read_text(encoding="utf-8")
    (package / "__init__.py").write_text(init, encoding="utf-8")
    after = init.replace(gancourse.__version__, "9.9.9")
    assert after != init
    book = nbformat.v4.new_notebook()
    setup = "from gancourse import course\nprofile = course.profile('smoke')"
    book.cells = [nbformat.v4.new_code_cell(setup)]
    nbformat.write(book, tmp_path / "99_update.ipynb")
    update = f"open({str(package / '__init__.py')!r}, 'w').write({after!r});"
    orders = json.dumps([["1 + 1", update, "1 + 1", "2 + 2"]])
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        [sys.executable, SERVER, tmp_path / "99_update.ipynb", "play", orders],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    (told,) = json.loads(done.stdout.splitlines()[-1])
    texts = [outputs[0] for _, outputs, _ in told]
    assert ["restart the kernel" in text for text in texts] == [0, 0, 1, 0]
    assert "updated to 9.9.9" in texts[2]


# ------------------------------------------------------------------ F10


@pytest.mark.parametrize("name", NAMES)
def test_outputs_can_be_read_without_html(name):
    """What is stored has a text beside its HTML, and a description for its pictures."""
    book = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    outputs = [o for c in book["cells"] for o in c.get("outputs", [])]
    for output in outputs:
        data = output.get("data", {})
        pictures = {"image/png", "image/jpeg"} & set(data)
        for kind in pictures:
            assert output["metadata"][kind]["alt"]
        assert "application/javascript" not in data
        if data and not pictures:
            assert "".join(data.get("text/plain", "")).strip(), list(data)


# ------------------------------------------------------------------ F11


def test_a_notebook_that_reports_too_little_is_red(tmp_path):
    """The other sabotaged notebooks are in tests/notebooks/test_run.py."""
    book = nbformat.v4.new_notebook()
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    lines = "from gancourse import course\ncourse.report('02', 'smoke', {'other': 0})"
    book.cells = [nbformat.v4.new_code_cell(lines)]
    nbformat.write(book, tmp_path / "02_first_gan.ipynb")
    result = runs.execute(
        tmp_path / "02_first_gan.ipynb", tmp_path / "out.ipynb", {}, cell_seconds=600
    )
    assert not result.ok and "it did not report overlap_1d" in result.error
    count("F11", "sabotaged notebooks, red", 1)


def test_every_notebook_reports_what_the_course_promises_of_it():
    for number, metric in course.IDENTITIES.keys() | course.LIMITS.keys():
        (path,) = FOLDER.glob(f"{number}_*.ipynb")
        assert f'"{metric}"' in path.read_text(encoding="utf-8"), (number, metric)
