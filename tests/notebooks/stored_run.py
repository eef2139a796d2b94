"""What a notebook defines, and what its stored run said: for tests of its claims."""

import ast
import json
from pathlib import Path

from gancourse import course


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def definitions(path: Path, names: dict) -> dict:
    """`names`, and the functions and classes of the notebook; nothing of it is run."""
    kinds = ast.FunctionDef | ast.ClassDef
    for cell in cells(path):
        text = "".join(cell["source"])
        if cell["cell_type"] == "code" and "find_spec" not in text:
            wanted = [node for node in ast.parse(text).body if isinstance(node, kinds)]
            exec(compile(ast.Module(wanted, []), path.name, "exec"), names)
    return names


def outputs(path: Path) -> list[dict]:
    return [o for cell in cells(path) for o in cell.get("outputs", [])]


def printed(path: Path) -> str:
    """All that the stored run printed."""
    return "".join("".join(o.get("text", "")) for o in outputs(path))


def metrics(path: Path) -> dict[str, float]:
    """The metrics of the run stored in the notebook at `path`, of profile cpu."""
    reports = [o.get("data", {}).get(course.MIME) for o in outputs(path)]
    (found,) = filter(None, reports)
    assert found["profile"] == "cpu"
    return found["metrics"]
