"""The notebooks as a course: profiles, bands, reports, honest runs, stored outputs."""

import json
import math
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from gancourse import GancourseError, bands, course, pages, runs


def book_of(*sources: str) -> nbformat.NotebookNode:
    """A notebook with a title, a parameters cell, and these code cells."""
    book = nbformat.v4.new_notebook()
    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book.metadata["kernelspec"] = python
    parameters = nbformat.v4.new_code_cell('profile = "auto"\nseed = 0')
    parameters.metadata["tags"] = ["parameters"]
    cells = [nbformat.v4.new_code_cell(text) for text in sources]
    book.cells = [nbformat.v4.new_markdown_cell("# 90 A test"), parameters, *cells]
    return book


def report(**metrics: str) -> str:
    """A cell that reports, without the cost of importing torch."""
    listed = ", ".join(f'"{name}": {value}' for name, value in metrics.items())
    return (
        "from gancourse import course\ncourse.device_kind = lambda: 'cpu'\n"
        f"course.report('90', course.profile(profile), {{{listed}}})"
    )


@pytest.fixture
def own_course(tmp_path, monkeypatch):
    """A course of one's own with bands of its own: a function that adds notebooks."""
    folder = tmp_path / "ü ñ" / "notebooks"
    folder.mkdir(parents=True)
    monkeypatch.setattr(course, "folder", lambda: folder)
    monkeypatch.setattr(course, "BANDS", tmp_path / "bands.json")

    def add(name: str, *sources: str) -> Path:
        path = folder / f"{name}.ipynb"
        nbformat.write(book_of(*sources), path)
        return path

    return add


# ------------------------------------------------------------------ profiles


def test_explicit_profile_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("GANCOURSE_PROFILE", "quick")
    assert course.profile("smoke") == "smoke"
    assert course.profile("auto") == "quick"


@pytest.mark.parametrize(("device", "profile"), [("cuda", "gpu"), ("cpu", "cpu")])
def test_auto_takes_what_the_machine_has(device, profile, monkeypatch):
    monkeypatch.delenv("GANCOURSE_PROFILE", raising=False)
    monkeypatch.setattr(course, "device_kind", lambda: device)
    assert course.profile("auto") == profile


@pytest.mark.parametrize("variable", [None, "fast"])
def test_unknown_profile_is_named_with_the_choices(variable, monkeypatch):
    monkeypatch.setenv("GANCOURSE_PROFILE", variable or "")
    with pytest.raises(GancourseError, match=r"'fast'.*Choose auto, smoke"):
        course.profile("auto" if variable else "fast")


# ------------------------------------------------------------------ bands


def test_band_is_the_range_widened_by_half_of_itself_on_either_side():
    assert course.widened([3.0, 1.0, 2.0]) == (0.0, 4.0)


def test_band_of_a_constant_metric_forgives_half_a_per_cent():
    low, high = course.widened([0.1192, 0.1192])
    assert low < 0.1192 < high
    assert high - low == pytest.approx(0.01 * 0.1192)


def measured(**entries) -> str:
    return json.dumps({k.replace("_", "|"): v for k, v in entries.items()})


def test_measured_band_is_cut_at_what_the_course_promises(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "BANDS", tmp_path / "bands.json")
    monkeypatch.setitem(course.LIMITS, ("90", "tv"), (0, 0.15))
    entry = {"low": -0.02, "high": 0.3}
    course.BANDS.write_text(
        measured(**{"90_tv_cpu_cpu_fp32": entry, "90_tv_quick_cpu_fp32": entry})
    )
    assert course.band("90", "tv", "cpu", "cpu") == (0, 0.15)
    assert course.band("90", "tv", "quick", "cpu") == (-0.02, 0.3)
    assert course.band("90", "tv", "smoke", "cpu") is None
    assert course.band("90", "other", "cpu", "cpu") is None


@pytest.mark.parametrize(("profile", "device"), [("cpu", "cpu"), ("gpu", "cuda")])
def test_what_the_course_promises_binds_where_nobody_has_measured(
    profile, device, tmp_path, monkeypatch
):
    monkeypatch.setattr(course, "BANDS", tmp_path / "bands.json")
    monkeypatch.setitem(course.LIMITS, ("90", "tv"), (0, 0.15))
    assert course.band("90", "tv", profile, device, "bf16") == (0, 0.15)
    assert course.band("90", "tv", "quick", device, "bf16") is None


def test_a_band_ends_where_the_metric_can_not_go(tmp_path, monkeypatch):
    """A share between -0.2 and 0.8 made readers wonder."""
    entry = {"low": -0.2, "high": 1.1}
    file = tmp_path / "bands.json"
    file.write_text(json.dumps({"90|share|cpu|cpu|fp32": entry}))
    monkeypatch.setattr(course, "BANDS", file)
    assert course.band("90", "share", "cpu", "cpu") == (-0.2, 1.1)
    monkeypatch.setitem(course.POSSIBLE, ("90", "share"), (0, 1))
    assert course.band("90", "share", "cpu", "cpu") == (0, 1)


def test_identity_needs_no_measured_band(monkeypatch):
    monkeypatch.setitem(course.IDENTITIES, ("90", "error"), 1e-8)
    assert course.band("90", "error", "smoke", "cuda", "bf16") == (0, 1e-8)


def test_bands_in_the_package_can_be_read_and_are_bands():
    for key, entry in course.measured_bands().items():
        assert len(key.split("|")) == 5
        assert entry["low"] < entry["high"], key
        assert entry["runs"] >= 8, key


# ------------------------------------------------------------------ report


@pytest.fixture
def shown(monkeypatch):
    """What report displays in a notebook, as a MIME bundle."""
    import IPython
    import IPython.display

    bundles = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(
        IPython.display, "display", lambda bundle, raw: bundles.append(bundle)
    )
    monkeypatch.setattr(course, "device_kind", lambda: "cpu")
    return bundles


def test_report_shows_each_metric_beside_its_band(shown, monkeypatch):
    bands = {"a": (0.0, 1.0), "b": (0.0, 1.0)}
    monkeypatch.setattr(course, "band", lambda _, name, *rest: bands.get(name))
    course.report("90", "cpu", {"a": 0.25, "b": 2.0, "c": 60_000}, precision="bf16")
    (bundle,) = shown
    assert bundle[course.MIME] == {
        "notebook": "90",
        "profile": "cpu",
        "device": "cpu",
        "precision": "bf16",
        "metrics": {"a": 0.25, "b": 2.0, "c": 60_000},
        "bands": {"a": [0.0, 1.0], "b": [0.0, 1.0]},
    }
    lines = bundle["text/plain"].splitlines()
    for line, verdict in zip(
        lines[1:], ["in its band", "outside", "no band yet"], strict=False
    ):
        assert line.endswith(verdict)
    assert "60,000" in bundle["text/plain"]
    assert bundle["text/html"].count("<tr>") == 4


def test_report_never_raises_whatever_the_values_are(shown):
    import torch

    values = {
        "nan": math.nan,
        "infinite": math.inf,
        "none": None,
        "text": "many",
        "tensor": torch.tensor(0.5),
        "matrix": torch.zeros(2, 2),
        "truth": True,
    }
    course.report("90", "cpu", values)
    stored = shown[0][course.MIME]["metrics"]
    assert stored == dict.fromkeys(values) | {"tensor": 0.5, "truth": 1}
    json.dumps(shown[0], allow_nan=False)


def test_what_is_not_a_number_lies_in_no_band():
    assert not course.inside(math.nan, (0, 1))


def test_report_outside_a_notebook_prints_a_table(capsys):
    course.report("90", "cpu", {"metric": 1.5})
    assert "metric" in capsys.readouterr().out


# ------------------------------------------------------------------ finding notebooks


@pytest.mark.parametrize(
    "name", ["1", "01", "01_minimax_game", "01_minimax_game.ipynb"]
)
def test_notebook_is_found_by_number_or_name(name):
    (book,) = course.find([name])
    assert book.path.name == "01_minimax_game.ipynb"
    assert book.title.startswith("The minimax game")


@pytest.mark.parametrize("name", ["77", "100", "", "x", "../01"])
def test_unknown_notebook_is_refused_with_those_there_are(name):
    if name == "../01":  # a path that ends in a known number is that notebook
        assert course.find([name])[0].number == "01"
        return
    with pytest.raises(GancourseError, match=r"no notebook.*00, 01"):
        course.find([name])


def test_hash_of_the_code_depends_on_code_and_on_nothing_else(own_course):
    path = own_course("90_a", "1 + 1")
    before = course.code_hash(path)
    book = nbformat.read(path, 4)
    book.cells[0].source = "# 90 Another title"
    book.cells[2].outputs = [nbformat.v4.new_output("stream", text="2")]
    nbformat.write(book, path)
    assert course.code_hash(path) == before
    book.cells[2].source = "1 + 2"
    nbformat.write(book, path)
    assert course.code_hash(path) != before


# ------------------------------------------------------------------ honest runs

SABOTAGED = {
    "90_raises": ("print('before')\n1 / 0", "ZeroDivisionError: division by zero"),
    "91_assertion": ("assert 1 == 2", "AssertionError"),
    "92_dead_kernel": ("import os; os._exit(0)", "the kernel died"),
    "93_endless": ("while True: pass", "longer than 5 s"),
    "94_flood": ("while True: print('flood' * 20)", "printed more than"),
    "95_failed_magic": ("%run not_there.py", "not found"),
    "96_failed_script": (
        "open('x.py', 'w').write('1 / 0')\n%run x.py",
        "ZeroDivisionError",
    ),
    "97_early_exit": ("import sys; sys.exit(0)", "SystemExit"),
}


@pytest.fixture(scope="module")
def sabotaged(tmp_path_factory):
    """Results of running all sabotaged notebooks and a good one, by name."""
    folder = tmp_path_factory.mktemp("sabotaged")
    for name, (source, _) in SABOTAGED.items():
        nbformat.write(book_of(source, "print('after')"), folder / f"{name}.ipynb")
    good = book_of(
        "import os\nassert os.listdir('.') == []\nassert os.environ['TQDM_DISABLE']",
        report(seed="seed", off="2.0"),
        "import sys; print(profile, sys.executable)",
    )
    nbformat.write(good, folder / "98_good.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(course, "folder", lambda: folder)
        options = dict(profile="smoke", out=folder / "out", jobs=2, progress=False)
        outcome = runs.run([], seed=3, cell_seconds=5, **options)
    found = {book["name"]: book for book in outcome["notebooks"]}
    return found, folder / "out", outcome


@pytest.mark.parametrize(
    ("cores", "device", "at_a_time"),
    [(2, "cpu", 2), (16, "cpu", 2), (1, "cpu", 1), (None, "cpu", 1), (8, "cuda", 1)],
)
def test_two_notebooks_run_at_a_time_where_that_is_faster(
    cores, device, at_a_time, tmp_path, monkeypatch
):
    monkeypatch.setattr(runs.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(course, "device_kind", lambda: device)
    monkeypatch.setattr(course, "folder", lambda: tmp_path)
    for name in ("90_one", "91_other"):
        nbformat.write(book_of("pass"), tmp_path / f"{name}.ipynb")
    threads = []

    def execute(source, target, parameters, seconds, environment, tick):
        threads.append(environment.get("OMP_NUM_THREADS"))
        return runs.Result(source.stem, ok=True)

    monkeypatch.setattr(runs, "execute", execute)
    for numbers in ([], ["90"]):
        runs.run(numbers, "smoke", tmp_path / "out", progress=False)
    alone = [None]  # on all threads that there are
    assert threads == ["1" if at_a_time == 2 else None] * 2 + alone


@pytest.mark.parametrize("name", SABOTAGED)
def test_sabotaged_notebook_fails_and_leaves_what_it_did(name, sabotaged):
    found, out, _ = sabotaged
    assert found[name]["ok"] is False
    assert SABOTAGED[name][1] in found[name]["error"]
    assert "\n" not in found[name]["error"]
    partial = nbformat.read(out / f"{name}.ipynb", 4)
    texts = "".join(str(cell.get("outputs", "")) for cell in partial.cells)
    if name != "96_failed_script":  # the kernel itself reports success there
        assert "after" not in texts
    assert (out / f"{name}.ipynb").stat().st_size < 7_000_000
    if name == "90_raises":
        assert "before" in texts


def test_good_notebook_runs_in_an_empty_folder_with_this_python(sabotaged):
    found, out, outcome = sabotaged
    book = found["98_good"]
    assert book["ok"] and book["error"] is None
    assert book["metrics"] == {"seed": 3, "off": 2.0}
    assert outcome["profile"] == "smoke" and outcome["device"] in ("cpu", "cuda")
    text = (out / "98_good.ipynb").read_text(encoding="utf-8")
    assert f"smoke {sys.executable}" in text
    assert set(book) == {"name", "ok", "seconds", "error", "metrics", "bands"}


def test_table_of_results_has_a_line_for_each_notebook(sabotaged):
    lines = runs.table(sabotaged[2]).splitlines()
    assert lines[1].startswith("notebook")
    states = {line.split()[0]: line.split()[1] for line in lines[2:11]}
    assert states == {**dict.fromkeys(SABOTAGED, "FAILED"), "98_good": "ok"}
    assert len(lines) == 11 + len(SABOTAGED)


def test_page_of_a_notebook_loads_nothing_from_a_network(sabotaged):
    import re

    page = (sabotaged[1] / "98_good.html").read_text(encoding="utf-8")
    assert "A test" in page
    assert not re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', page)
    assert not re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", page)


def test_badge_on_a_page_becomes_a_plain_link(tmp_path):
    book = book_of("1")
    badge = "[![Open In Colab](https://example.org/badge.svg)](https://example.org/x)"
    book.cells[0].source += f"\n\n{badge}"
    nbformat.write(book, tmp_path / "90.ipynb")
    page = pages.write_html(tmp_path / "90.ipynb").read_text(encoding="utf-8")
    assert "badge.svg" not in page and "Open in Colab" in page


def test_formulas_on_a_page_are_drawn_without_a_network(tmp_path):
    book = book_of("1")
    formulas = "In line $a < b$, alone $$\\frac{1}{2}$$ and broken $a_b_c$."
    book.cells[0].source += f"\n\n{formulas}"
    nbformat.write(book, tmp_path / "90.ipynb")
    page = pages.write_html(tmp_path / "90.ipynb").read_text(encoding="utf-8")
    assert "<mfrac><mrow><mn>1</mn></mrow><mrow><mn>2</mn></mrow></mfrac>" in page
    assert page.count("<math") == 2 and '<code class="tex">' in page


def test_every_formula_of_the_course_can_be_drawn():
    found = 0
    for book in course.notebooks():
        for cell in nbformat.read(book.path, 4).cells:
            if cell.cell_type == "markdown":
                page = pages.markdown(cell.source)
                found += page.count("<math")
                assert 'class="tex"' not in page, (
                    f"{book.path.name}: {cell.source[:80]}"
                )
    assert found > 300


def test_metric_outside_its_band_fails_the_run(own_course):
    own_course("90_off", report(off="2.0", fine="0.5"))
    entry = {"low": 0, "high": 1}
    # The kernel is another process: it reads its bands from a file of its own.
    cell = (
        f"from pathlib import Path\nfrom gancourse import course\n"
        f"course.BANDS = Path({str(course.BANDS)!r})"
    )
    own_course("90_off", cell, report(off="2.0", fine="0.5"))
    names = {f"90_{name}_smoke_cpu_fp32": entry for name in ("off", "fine")}
    course.BANDS.write_text(measured(**names))
    out = course.BANDS.parent / "out"
    (book,) = runs.run(["90"], "smoke", out, progress=False)["notebooks"]
    assert book["ok"] is False
    assert book["error"] == "off = 2 is outside [0, 1]"
    assert book["bands"] == {"off": [0, 1], "fine": [0, 1]}


# ------------------------------------------------------------------ stored outputs


def git(path: Path, *arguments: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run(["git", *who, *arguments], cwd=path, check=True, capture_output=True)


def test_write_stores_outputs_and_nothing_of_the_run(own_course):
    path = own_course("90_a", "print(profile)", "import ipywidgets\nipywidgets.Text()")
    ids = [cell.id for cell in nbformat.read(path, 4).cells]
    out = course.BANDS.parent / "out"
    (result,) = runs.run(["90"], out=out, write=True, progress=False)["notebooks"]
    assert result["ok"], result
    book = nbformat.read(path, 4)
    assert [cell.id for cell in book.cells] == ids
    assert set(book.metadata) == {"kernelspec", "language_info", "gancourse"}
    assert book.metadata.language_info == {"name": "python"}
    assert book.metadata.gancourse == {"code_hash": course.code_hash(path)}
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3]
    assert code[1].outputs[0].text == "cpu\n"
    assert [dict(cell.metadata) for cell in code] == [{"tags": ["parameters"]}, {}, {}]
    assert list(code[2].outputs[0].data) == ["text/plain"]
    assert code[2].outputs[0].execution_count == 3


def test_write_refuses_uncommitted_changes_and_keeps_them(own_course):
    path = own_course("90_a", "1")
    git(path.parent, "init", "-q")
    git(path.parent, "add", ".")
    git(path.parent, "commit", "-qm", "first")
    own_course("90_a", "1 + 1")
    before = path.read_bytes()
    with pytest.raises(GancourseError, match="not committed"):
        runs.run(["90"], out=path.parent / "out", write=True, progress=False)
    assert path.read_bytes() == before


def test_write_never_touches_a_notebook_that_failed_or_was_edited(own_course):
    own_course("90_fails", "1 / 0")
    edited = own_course("91_edited", "1")
    # The notebook edits itself, as a person might while it runs.
    own_course("91_edited", f"open({str(edited)!r}, 'a').write(' ')")
    files = {path: path.read_bytes() for path in course.folder().glob("*.ipynb")}
    out = course.BANDS.parent / "out"
    results = runs.run([], out=out, write=True, progress=False)["notebooks"]
    assert not any(result["ok"] for result in results)
    assert "edited while it ran" in results[1]["error"]
    for path, content in files.items():
        assert path.read_bytes() in (content, content + b" ")


def test_outputs_are_those_of_profile_cpu(own_course):
    own_course("90_a", "1")
    with pytest.raises(GancourseError, match="profile cpu"):
        runs.run(["90"], "quick", course.BANDS.parent / "out", write=True)


# ------------------------------------------------------------------ making bands


def test_bands_are_made_from_seeds_and_threads_and_finished_runs_are_kept(own_course):
    environment = "import os\nthreads = int(os.environ['OMP_NUM_THREADS'])"
    own_course("90_a", environment, report(metric="seed + 10 * threads"))
    course.BANDS.write_text(
        measured(**{"91_other_cpu_cpu_fp32": {"low": 0, "high": 1}})
    )
    out = course.BANDS.parent / "out"
    bands.make("90", "smoke", 2, out=out, progress=False)
    values = [10, 21] if len(bands.threads()) == 2 else [10, 11]
    kept = {path: path.stat().st_mtime_ns for path in (out / "bands").glob("*.json")}
    assert len(kept) == 2
    made = bands.make("90", "smoke", 3, out=out, progress=False)
    for path, time in kept.items():
        assert path.stat().st_mtime_ns == time, "a finished run was run again"
    (key,) = made
    notebook, metric, profile, _device, precision = key.split("|")
    assert (notebook, metric, profile, precision) == ("90", "metric", "smoke", "fp32")
    entry = made[key]
    assert (entry["low"], entry["high"]) == course.widened([*values, 12])
    assert entry["seeds"] == [0, 1, 2] and entry["runs"] == 3
    assert entry.keys() >= {"torch", "threads", "date"}
    everything = json.loads(course.BANDS.read_text())
    assert "91|other|cpu|cpu|fp32" in everything and key in everything


def test_no_band_is_written_when_a_run_fails(own_course):
    own_course("90_a", "assert seed == 0", report(metric="seed"))
    with pytest.raises(GancourseError, match="did not finish"):
        bands.make("90", "smoke", 2, out=course.BANDS.parent / "out", progress=False)
    assert not course.BANDS.exists()
