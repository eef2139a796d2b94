"""How two loops are timed side by side, and how what was found is written down.

A clock on the wall measures the neighbours too. Times here are processor seconds of
this process, both sides in one run, in short turns; a ratio is the median over the
turns, and beside it stands that of the best turns.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

Spent = dict[str, list[float]]  # name of a side -> seconds of each of its turns


def race(
    sides: dict[str, Callable[[], object]], rounds: int, clock=time.process_time
) -> Spent:
    """Seconds of each turn; each side is called once before, to warm up."""
    for play in sides.values():
        play()
    spent: Spent = {name: [] for name in sides}
    for _ in range(rounds):
        for name, play in sides.items():
            began = clock()
            play()
            spent[name].append(clock() - began)
    return spent


def ratio(spent: Spent, slow: str, fast: str) -> str:
    """How often `fast` fits into `slow`: "2.31 (turns 2.2 to 2.5, best 2.40)"."""
    turns = [a / b for a, b in zip(spent[slow], spent[fast], strict=True)]
    best = min(spent[slow]) / min(spent[fast])
    return (
        f"**{statistics.median(turns):.2f}** (turns {min(turns):.2f} to "
        f"{max(turns):.2f}, best windows {best:.2f})"
    )


def milliseconds(seconds: list[float], calls: int = 1) -> str:
    """Median and best of one call, "183 ms, best 175"."""
    each = [1000 * s / calls for s in seconds]
    return f"{statistics.median(each):.3g} ms, best {min(each):.3g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def processor() -> str:
    """Name of the processor, and whether it multiplies 16-bit numbers itself."""
    has = torch.cpu.get_capabilities()
    name = has.get("cpu_name") or platform.processor() or platform.machine()
    sixteen = [k for k in ("amx_bf16", "avx512_bf16") if has.get(k)]
    return f"{name} ({', '.join(sixteen) or 'no bf16'}, {os.cpu_count()} cores)"


def circumstances(command: str, time_of: str = "Processor time") -> str:
    """One paragraph: command, machine, load, versions, date."""
    try:
        load = f"load {os.getloadavg()[0]:.1f} at the end"
    except (AttributeError, OSError):  # Windows
        load = "load unknown"
    threads = torch.get_num_threads()
    return (
        f"`{command}` on {processor()}, {threads} thread{'s' * (threads > 1)}, {load}, "
        f"torch {torch.__version__}, Python {platform.python_version()}, "
        f"{time.strftime('%Y-%m-%d')}. {time_of}, sides in turns."
    )


def write(results: Path, name: str, text: str) -> None:
    """Put `text` between the markers of section `name`, or at the end of the file."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = results.read_text(encoding="utf-8") if results.exists() else ""
    if begin not in page:
        page = f"{page.rstrip()}\n\n{begin}\n{end}\n".lstrip()
    before, after = page.split(begin)[0], page.split(end)[1]
    results.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
