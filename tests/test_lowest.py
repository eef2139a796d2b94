"""The oldest versions that pyproject.toml allows do. By hand: pytest -m soak."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def oldest(requirement: str) -> str:
    """ "torch>=2.8" -> "torch==2.8.*": the newest repairs of the oldest version."""
    return re.sub(r">=([\d.]+)$", r"==\1.*", requirement)


@pytest.mark.soak
def test_the_course_runs_with_the_oldest_versions_that_it_allows(tmp_path):
    """A fresh environment; minutes, and five gigabytes that are deleted at the end."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = [oldest(line) for line in project["dependencies"]]
    assert all("==" in line for line in wanted)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    tools = tmp_path / "venv" / "bin"
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def run(tool: str, *command: str) -> str:
        done = subprocess.run(
            [tools / tool, *command],
            cwd=tmp_path,
            env=clean,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    run("pip", "install", "-q", *wanted, "-e", f"{REPOSITORY}[lab]")
    assert "Everything the course needs is here" in run("gancourse", "doctor")
    run("gancourse", "run", "--profile", "smoke")
