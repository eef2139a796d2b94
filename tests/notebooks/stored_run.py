"""What the stored run of a notebook reported, for the tests of its claims."""

import json
from pathlib import Path

from gancourse import course


def metrics(path: Path) -> dict[str, float]:
    """The metrics of the run stored in the notebook at `path`, of profile cpu."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = [o for cell in cells for o in cell.get("outputs", [])]
    (found,) = [
        o["data"][course.MIME] for o in outputs if course.MIME in o.get("data", {})
    ]
    assert found["profile"] == "cpu"
    return found["metrics"]
