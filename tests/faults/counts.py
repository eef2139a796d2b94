"""How many faults a test tried, written down so that a table can be made of them.

Each call adds one JSON line to `gancourse-runs/faults/counts.jsonl` (or the file that
GANCOURSE_FAULT_COUNTS names): the row of the fault list ("A1"), what was counted
("SIGKILLs"), how many, which test said so, in which run of pytest, and when. A table
takes, of each test, the newest run only, and adds up what its lines say.
"""

import json
import os
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[2] / "gancourse-runs" / "faults"


def file() -> Path:
    """Where the counts go."""
    return Path(os.environ.get("GANCOURSE_FAULT_COUNTS", HERE / "counts.jsonl"))


def count(row: str, what: str, number: int) -> None:
    """Add `number` of `what` to the counts of `row`; call it after the assertions."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"process {os.getpid()}")
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = dict(row=row, what=what, number=number, test=test, run=run, when=when)
    file().parent.mkdir(parents=True, exist_ok=True)
    # One write at the end of the file is never split: processes do not mix lines.
    end = os.open(file(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(end, (json.dumps(line, ensure_ascii=False) + "\n").encode())
    finally:
        os.close(end)
