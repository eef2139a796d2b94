"""What `import gancourse` costs beyond `import torch`."""

import json
import statistics
import subprocess
import sys

from measuring import table

HEAVY = ["torchvision", "matplotlib", "ipywidgets", "torchmetrics", "torch_fidelity"]
HEAVY += ["anywidget", "skimage", "papermill", "IPython", "PIL", "tqdm"]
WHAT = {
    "import gancourse": "import gancourse",
    "… and the loop, games, losses, data, checkpoints, DCGAN": (
        "import gancourse\n"
        "from gancourse import checkpoints, data, games, losses, training\n"
        "from gancourse.models import dcgan"
    ),
}


def _once(code: str) -> tuple[float, list[str]]:
    """Processor seconds of `code` in a fresh process after `import torch`."""
    program = (
        "import json, sys, time, torch\n"
        "before, began = set(sys.modules), time.process_time()\n"
        f"{code}\n"
        "spent = time.process_time() - began\n"
        "print(json.dumps([spent, sorted(set(sys.modules) - before)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return tuple(json.loads(done.stdout))


def measure(smoke: bool) -> str:
    """Milliseconds beyond torch, medians, and the heavy modules that came along."""
    rows = []
    for name, code in WHAT.items():
        found = [_once(code) for _ in range(1 if smoke else 7)]
        came = sorted({m for _, modules in found for m in modules} & set(HEAVY))
        spent = [1000 * seconds for seconds, _ in found]
        rows.append(
            [
                name,
                f"{statistics.median(spent):.1f} ms, best {min(spent):.1f}",
                ", ".join(came) or "none",
            ]
        )
    note = f"Looked for: {', '.join(HEAVY)}."
    return table(["after `import torch`", "costs", "of the heavy ones"], rows) + (
        f"\n\n{note}"
    )
