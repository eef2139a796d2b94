"""The cells of a notebook in many orders: its setup runs once, each order is a fork.

`python cells_server.py NOTEBOOK ORDERS SEED [FORMS]` runs the notebook in the profile
smoke: in order twice (what differs between two such runs, clock times, is never
compared), every cell alone, every cell twice, after a restart in the middle, and in
ORDERS seeded permutations. It prints JSON: how many cells gave the same, how many named
a cell to run first, and each fault: an error, or another result, without that sentence.

`python cells_server.py NOTEBOOK play ORDERS` prints what came of the given orders, in
which a text stands for a cell of the learner's own.
"""

import json
import os
import random
import re
import sys
import tempfile
from pathlib import Path

from traitlets.config import Config

SAID = "Run the cell that begins `"
ONLY_HTML = "an output that cannot be read without HTML"
QUIET = Config({"HistoryManager": {"enabled": False}})
QUIET.InteractiveShell.colors = "nocolor"


def start(path: Path):
    """(shell after the setup cells, sources of the other code cells)."""
    os.environ["GANCOURSE_PROFILE"] = "smoke"
    import matplotlib
    import torch
    from IPython.core.interactiveshell import InteractiveShell

    matplotlib.use("agg")
    torch.set_num_threads(1)
    shell = InteractiveShell.instance(config=QUIET)
    book = json.loads(path.read_text(encoding="utf-8"))
    code = ["".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code"]
    setup = next(k for k, text in enumerate(code) if "course.profile(" in text) + 1
    for text in code[:setup]:
        _, error = run(shell, text)
        assert error is None, error
    return shell, code[setup:]


def run(shell, source: str) -> tuple[list, str | None]:
    """(outputs of a cell: texts and hashes of pictures, its error or None)."""
    from IPython.utils.capture import capture_output

    with capture_output() as caught:
        result = shell.run_cell(source, store_history=True)
    error = result.error_in_exec or result.error_before_exec
    outputs = [caught.stdout]
    for shown in caught.outputs:
        for kind, value in sorted(shown.data.items()):
            if kind.startswith("image/"):
                value = f"picture {hash(value):x}"
            outputs.append(value if isinstance(value, str) else json.dumps(value))
        if shown.data.get("text/plain", "").startswith("<IPython.core.display.HTML"):
            outputs.append(ONLY_HTML)
    return outputs, None if error is None else f"{type(error).__name__}: {error}"


def play(shell, code: list[str], order: list[int | str], pipe: int) -> None:
    """Run cells in this order and tell (cell, outputs, error) of each."""
    with os.fdopen(pipe, "w") as report:
        for k in order:
            source = code[k] if isinstance(k, int) else k
            report.write(json.dumps([k, *run(shell, source)]) + "\n")
            report.flush()


def fork(shell, code: list[str], order: list[int]) -> list:
    """What `play` tells, from a process of its own."""
    here, there = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(here)
            sys.stdin.close()
            play(shell, code, order, there)
        finally:
            os._exit(0)
    os.close(there)
    with os.fdopen(here) as lines:
        told = [json.loads(line) for line in lines]
    os.waitpid(child, 0)
    return told


def pattern(first: str, second: str) -> list[str]:
    """Lines of an output; those that differ between two runs in order as None."""
    a, b = lines_of(first), lines_of(second)
    if len(a) != len(b):
        return [None]
    return [x if x == y else None for x, y in zip(a, b, strict=True)]


def lines_of(text: str) -> list[str]:
    return TINY.sub("rounding", FREE.sub("…", text)).splitlines()


# Another one at any time, and so are the blanks that put it into a column.
FREE = re.compile(r" *[\d.,]+ (GB free|s|ms|(x )?seconds)\b")
# Where a tensor lies in memory decides how a sum is rounded.
TINY = re.compile(r"(?<![\d.])0\.?0*e[+]00|\b\d(\.\d+)?e-(0[6-9]|[1-9]\d)")


def same(outputs: list[str], expected: list[list]) -> bool:
    """Whether outputs are those of a run in order, lines apart that are never equal."""
    return len(outputs) == len(expected) and not difference(outputs, expected)


def judge(told: list, expected: list, found: dict, form: str) -> None:
    for k, outputs, error in told:
        text = outputs[0] + (error or "")
        if SAID in text:
            found["said"] += 1
        elif error is None and same(outputs, expected[k]):
            found["same"] += 1
        else:
            what = error or difference(outputs, expected[k])
            found["faults"].append([form, k, what[:400]])


def difference(outputs: list[str], expected: list[list]) -> str:
    """The first line that is another than in order; "" where there is none."""
    if len(outputs) != len(expected):
        return f"{len(outputs)} outputs, not {len(expected)}"
    for text, lines in zip(outputs, expected, strict=True):
        found = lines_of(text)
        if lines == [None]:
            continue
        if len(found) != len(lines):
            return f"{found} is not {lines}"
        for x, y in zip(found, lines, strict=True):
            if y is not None and x != y:
                return f"{x!r} is not {y!r}"
    return ""


def orders(n: int, count: int, seed: int) -> dict[str, list]:
    rng = random.Random(seed)
    every = list(range(n))
    return {
        "alone": [[k] for k in every],
        "twice": [[k for k in every for _ in range(2)]],
        "restart": [every[k:] for k in rng.sample(every, min(3, n))],
        "permutation": [rng.sample(every, n) for _ in range(count)],
    }


def main(path: str, count: str, seed: str, forms: str = "") -> None:
    here = Path(tempfile.mkdtemp()) / "ü ñ"
    here.mkdir()
    os.chdir(here)
    shell, code = start(Path(path))
    if count == "play":
        print(json.dumps([fork(shell, code, order) for order in json.loads(seed)]))
        return
    n = len(code)
    first, second = (fork(shell, code, list(range(n))) for _ in range(2))
    wrong = [[k, error] for k, _, error in first + second if error]
    assert len(first) == len(second) == n and not wrong, wrong
    told_too_much = [k for k, outputs, _ in first if SAID in outputs[0]]
    expected = [
        [pattern(x, y) for x, y in zip(a[1], b[1], strict=True)]
        for a, b in zip(first, second, strict=True)
    ]
    found = dict(cells=n, in_order=told_too_much, runs={}, same=0, said=0, faults=[])
    found["only_html"] = [k for k, outputs, _ in first if ONLY_HTML in outputs]
    for form, wanted in orders(n, int(count), int(seed)).items():
        if forms and form not in forms.split(","):
            continue
        for order in wanted:
            told = fork(shell, code, order)
            if len(told) != len(order):
                found["faults"].append([form, len(told), "the process died"])
            judge(told, expected, found, form)
        found["runs"][form] = len(wanted)
    found["left"] = sorted(path.name for path in here.iterdir())
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
