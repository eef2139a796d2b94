"""The benchmarks run, compare like with like, and write only into their own sections.

No time is asserted here: RESULTS.md holds what a person measured.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gancourse.models import dcgan

FOLDER = Path(__file__).with_name("benchmarks")


def python(*arguments: str, folder: Path = FOLDER) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def tables(text: str) -> list[list[str]]:
    """Cells of all rows of Markdown tables but the heads."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    below = [i for i, row in enumerate(cells) if set(row) == {"---"}]
    heads = {i - 1 for i in below} | set(below)
    return [row for i, row in enumerate(cells) if i not in heads]


@pytest.mark.full
def test_every_benchmark_runs_and_fills_its_section_and_no_other(tmp_path):
    results = tmp_path / "RESULTS.md"
    old = "<!-- dcgan: begin -->\nold\n<!-- dcgan: end -->"
    kept = f"# By hand\n\n{old}\n\nAlso by hand.\n"
    results.write_text(kept, encoding="utf-8")
    stored = (FOLDER / "RESULTS.md").read_bytes()
    done = python("run.py", "--smoke", "--results", str(results), folder=FOLDER)
    assert done.returncode == 0, done.stderr[-2000:]
    page = results.read_text(encoding="utf-8")
    assert page.startswith("# By hand\n") and "\nAlso by hand.\n" in page
    assert "\nold\n" not in page
    names = ["import", "dcgan", "pix2pix", "fast-style", "gatys", "conditional"]
    names += ["unconditional", "tutorial-300", "gpu"]
    assert set(re.findall(r"<!-- ([\w-]+): begin -->", page)) == set(names)
    for name in names:
        section = page.split(f"<!-- {name}: begin -->")[1].split("<!-- ")[0]
        assert "torch" in section and "load" in section and "thread" in section, name
        rows = tables(section)
        assert rows and all(len(row) >= 2 for row in rows), name
        assert not re.search(r"\b(nan|inf)\b", section), section
    assert (FOLDER / "RESULTS.md").read_bytes() == stored


def test_a_benchmark_that_does_not_exist_is_refused_with_those_that_do():
    done = python("run.py", "dcgna")
    assert done.returncode == 2
    assert "dcgna" in done.stderr and "pix2pix" in done.stderr


@pytest.fixture
def benchmarks(monkeypatch):
    """The folder of the benchmarks, so that its modules can be imported."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return FOLDER


def test_both_sides_of_the_dcgan_benchmark_have_the_same_layers(benchmarks):
    import tutorial

    ours = dcgan.DCGANGenerator(100, 64, 1, 64, refine=0)
    theirs = tutorial.dcgan_generator()
    assert dcgan.parameters(ours) - dcgan.parameters(theirs) == 1  # the last bias
    ours = dcgan.DCGANDiscriminator(64, 1, 64, refine=0)
    theirs = tutorial.dcgan_discriminator()
    assert dcgan.parameters(ours) - dcgan.parameters(theirs) == 65  # first and last


def test_the_pix2pix_benchmark_plays_at_256_pixels(benchmarks):
    import steps

    assert [part.shape for part in steps.facade_pairs(256)] == [(4, 3, 256, 256)] * 2


def test_a_ratio_is_the_median_over_the_turns(benchmarks):
    from measuring import ratio

    found = ratio({"a": [2, 9, 6], "b": [1, 3, 1]}, "a", "b")
    assert found == "**3.00** (turns 2.00 to 6.00, best windows 2.00)"


@pytest.mark.full
def test_every_variant_of_the_recipe_search_trains(benchmarks):
    import recipe

    for change in recipe.VARIANTS.values():
        found = recipe.train_variant(0.1, 0, change, n=100)
        assert found["steps"] >= 1 and found["frechet"] > 0
