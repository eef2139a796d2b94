"""The counts of the fault tests as a table: `python tests/faults/report.py`.

Reads what the tests wrote down (see counts.py), takes of each test its newest run, adds
up, and writes COUNTS.md beside this file. Run `pytest` and `pytest -m full` before.
"""

import datetime
import json
import os
import platform
import sys
from collections import defaultdict
from pathlib import Path

TABLE = Path(__file__).with_name("COUNTS.md")
PARTS = {
    "A": "Training, checkpoints, resuming",
    "B": "Data, weights, network",
    "C": "Pictures of one's own",
    "D": "Models and numbers",
    "E": "Exercises and their checker",
    "F": "Notebooks and kernels",
    "G": "Platform",
    "m": "The tests themselves",
}
HEAD = """# What the fault tests tried

Made by `python tests/faults/report.py` from what the tests wrote down when they ran; a
number is written after its assertions held. A row is a fault of the list that the tests
follow (`tests/faults/test_*.py` say what each one is).
"""


def newest(lines: list[dict]) -> list[dict]:
    """Of each test only what its newest run said."""
    last: dict[str, tuple[str, str]] = {}
    for line in lines:
        at = last.get(line["test"], ("", ""))
        last[line["test"]] = max(at, (line["when"], line["run"]))
    return [line for line in lines if line["run"] == last[line["test"]][1]]


def sums(lines: list[dict]) -> dict[tuple[str, str], int]:
    """(row, what was tried) to how many of it, in the order of the rows."""
    total: dict[tuple[str, str], int] = defaultdict(int)
    for line in newest(lines):
        total[line["row"], line["what"]] += line["number"]
    return dict(sorted(total.items(), key=lambda item: key(*item[0])))


def key(row: str, what: str) -> tuple:
    """A2 before A10; what belongs to no row of the list comes last."""
    letter, number = row[:1], row[1:]
    return (letter.islower(), letter, int(number) if number.isdigit() else 0, what)


def machine() -> str:
    """What the tests ran on, in a sentence."""
    import torch

    import gancourse

    name = platform.processor() or platform.machine()
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(s for s in info if s.startswith("model name")).partition(": ")[2]
    except (OSError, StopIteration):
        pass
    return (
        f"gancourse {gancourse.__version__}, Python {platform.python_version()}, torch "
        f"{torch.__version__}, {platform.system()} {platform.machine()}, {name}, "
        f"{os.cpu_count()} cores."
    )


def page(lines: list[dict], where: str) -> str:
    """The whole of COUNTS.md."""
    lines = newest(lines)
    days = sorted({line["when"][:10] for line in lines})
    day = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    tests = len({line["test"].partition("[")[0] for line in lines})
    text = [HEAD, f"{day}, {tests} tests that count. {where}"]
    part = ""
    for (row, what), number in sums(lines).items():
        if row[:1] != part:
            part = row[:1]
            text += ["", f"## {PARTS.get(part, part)}", ""]
            text += ["| row | tried | number |", "| --- | --- | ---: |"]
        text.append(f"| {row if row != 'mutants' else ''} | {what} | {number:,} |")
    return "\n".join(text) + "\n"


def main() -> None:
    from counts import file

    if not file().is_file():
        sys.exit(f"Nothing was counted yet in {file()}. Run pytest -m full first.")
    text = file().read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    TABLE.write_text(page(lines, machine()), encoding="utf-8")
    now = datetime.datetime.now().strftime("%H:%M")
    print(f"{now}: {len(sums(lines))} rows in {TABLE}")


if __name__ == "__main__":
    main()
