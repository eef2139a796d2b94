"""The counter that the fault tests share."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from counts import count


def _count_much(what: str) -> None:
    for k in range(200):
        count("A1", what, k)


def test_lines_of_several_processes_do_not_mix(tmp_path, monkeypatch):
    monkeypatch.setenv(
        "GANCOURSE_FAULT_COUNTS", str(tmp_path / "deep" / "counts.jsonl")
    )
    names = ["kills", "ünreadable files", "x" * 3000]
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        list(pool.map(_count_much, names))
    text = (tmp_path / "deep" / "counts.jsonl").read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    for name in names:
        mine = [line["number"] for line in lines if line["what"] == name]
        assert mine == list(range(200))


def test_a_line_says_which_test_counted_what_in_which_run(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCOURSE_FAULT_COUNTS", str(tmp_path / "counts.jsonl"))
    count("A12", "flipped bits", 2000)
    (line,) = map(json.loads, (tmp_path / "counts.jsonl").read_text().splitlines())
    assert (line["row"], line["what"], line["number"]) == ("A12", "flipped bits", 2000)
    assert line["test"].endswith("which_test_counted_what_in_which_run")
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"process {os.getpid()}")
    assert line["run"] == run and line["when"].endswith("Z")
