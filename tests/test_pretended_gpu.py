"""Notebooks and commands on a pretended GPU: no tensor is left on the processor."""

import os
import subprocess
import sys
from pathlib import Path

import pretended_gpu
import pytest

from gancourse import course

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(
        not pretended_gpu.POSSIBLE, reason="this torch has no devices in Python"
    ),
]
HERE = Path(__file__).parent
# These compute on the processor whatever there is: points, curves, tiny players.
AT_HOME = {"01", "02", "03", "06", "A1", "A2"}
ELSEWHERE = [n.number for n in course.notebooks() if n.number not in AT_HOME]


def python(folder: Path, *arguments: str, **environment: str):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
    )


def test_a_tensor_that_was_left_behind_is_refused(tmp_path):
    told = python(
        tmp_path,
        "-c",
        "import sys, torch\n"
        f"sys.path.append({str(HERE)!r})\n"
        "import pretended_gpu\n"
        "pretended_gpu.install()\n"
        "x = torch.randn(3, 3, device='gpu', requires_grad=True)\n"
        "(x @ x).sum().backward()\n"
        "assert x.grad.device.type == 'gpu' and (x + 1).cpu().device.type == 'cpu'\n"
        "for wrong in (lambda: x + torch.ones(3), lambda: x.detach().numpy(),\n"
        "              lambda: torch.ones(3)[(x > 0).nonzero()[:, 0]]):\n"
        "    try:\n"
        "        wrong()\n"
        "    except (RuntimeError, TypeError):\n"
        "        continue\n"
        "    sys.exit('passed')\n",
        PYTHONPATH=str(HERE.parent),
    )
    assert told.returncode == 0, told.stderr[-2000:]


@pytest.mark.parametrize("number", ELSEWHERE)
def test_a_notebook_runs_where_its_players_lie(number, tmp_path):
    command = ["-m", "gancourse", "run", number, "--profile", "smoke", "--jobs", "1"]
    done = python(
        tmp_path, *command, "--out", "results", **pretended_gpu.files(tmp_path)
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    counts = [int(path.read_text()) for path in tmp_path.glob("*.count")]
    assert len(counts) == 1 and counts[0] > 100


GAMES = ["mlp", "dcgan", "conditional", "pix2pix", "cyclegan", "enhance"]


@pytest.mark.parametrize("game", GAMES)
def test_a_run_is_trained_resumed_and_drawn_from(game, tmp_path):
    def do(*command):
        done = python(
            tmp_path, str(HERE / "pretended_gpu.py"), *command,
            PYTHONPATH=str(HERE.parent), PRETENDED_GPU=str(tmp_path),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    for steps in ("2", "3"):
        said = do("train", game, "--steps", steps, "--save", "run", "--batch-size", "4")
    assert "at step 2" in said
    assert all(int(p.read_text()) > 100 for p in tmp_path.glob("*.count"))
    do("sample", "run", "--out", "drawn.png")
    assert (tmp_path / "drawn.png").stat().st_size > 1_000


@pytest.mark.parametrize("method", ["gatys", "adain", "fast"])
def test_a_photograph_is_painted(method, tmp_path):
    assets = HERE.parent / "gancourse" / "assets"
    style = "kandinsky-composition-viii"
    if method != "fast":
        style = str(next((assets / "paintings").glob("*.jpg")))
    photo = next((assets / "photos").glob("*.jpg"))
    command = ["style", str(photo), style, "--out", "p.png", "--method", method]
    command += ["--size", "64", *(["--steps", "3"] if method == "gatys" else [])]
    done = python(
        tmp_path, str(HERE / "pretended_gpu.py"), *command, PYTHONPATH=str(HERE.parent)
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "p.png").stat().st_size > 1_000
