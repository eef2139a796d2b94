"""Appendix A2: each of the 181 mistakes is there once, with a place that shows it."""

import json
import math
import re
from functools import lru_cache
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PATH = FOLDER / "A2_articles_corrected.ipynb"
MIME = "application/vnd.gancourse.metrics+json"


@lru_cache
def cells() -> list[tuple[str, str, list]]:
    """(kind, source, outputs) of every cell."""
    return [
        (cell["cell_type"], "".join(cell["source"]), cell.get("outputs", []))
        for cell in json.loads(PATH.read_text(encoding="utf-8"))["cells"]
    ]


@lru_cache
def rows() -> dict[str, list[list[str]]]:
    """{"E17": [[claim, right, see], ...]} of the tables of corrections."""
    found = {}
    for kind, text, _ in cells():
        for line in text.splitlines() if kind == "markdown" else []:
            if re.match(r"\| E\d+ \|", line):
                number, *rest = [part.strip() for part in line.strip("| ").split(" | ")]
                found.setdefault(number, []).append(rest)
    return found


@lru_cache
def shown() -> dict[str, str]:
    """{"D3": the code under its heading} for each demonstration of this notebook."""
    found, current = {}, None
    for kind, text, _ in cells():
        if kind == "markdown":
            for line in text.splitlines():
                if line.startswith("#"):
                    named = re.match(r"### (D\d+): \w", line)
                    current = named[1] if named else None
                    assert current not in found, current
        elif current:
            found[current] = found.get(current, "") + text
    return found


@lru_cache
def metrics() -> dict[str, float]:
    (found,) = [
        output["data"][MIME]["metrics"]
        for _, _, outputs in cells()
        for output in outputs
        if MIME in output.get("data", {})
    ]
    return found


def printed() -> str:
    return "".join(
        "".join(output.get("text", [])) for _, _, outs in cells() for output in outs
    )


# ------------------------------------------------------------------ coverage


def test_every_mistake_stands_there_exactly_once():
    assert rows().keys() == {f"E{k}" for k in range(1, 182)}
    assert all(len(found) == 1 for found in rows().values())


def test_every_row_says_what_is_written_what_is_so_and_where_it_is_shown():
    for number, ((claim, right, see),) in rows().items():
        assert claim and right and see, number
        links = re.findall(r"\[(\d\d)\]\((\d\d)_\w+\.ipynb\)", see)
        here = re.findall(r"\bD\d+\b", see)
        assert links or here, number
        rest = re.sub(r"\[\d\d\]\([^)]+\)|\bD\d+\b|[, ]", "", see)
        assert rest == "", f"{number}: {rest}"


def test_every_link_names_the_notebook_that_it_opens():
    for number, ((*_, see),) in rows().items():
        for label, target in re.findall(r"\[(\d\d)\]\(([^)]+)\)", see):
            assert target.startswith(f"{label}_"), number
            assert (FOLDER / target).is_file(), f"{number}: {target}"


def test_every_demonstration_that_is_named_is_there_and_has_code():
    named = {d for ((*_, see),) in rows().values() for d in re.findall(r"D\d+", see)}
    assert named == shown().keys()
    assert list(shown()) == [f"D{k}" for k in range(1, len(shown()) + 1)]
    assert len(shown()) >= 12


def test_as_another_number_points_to_a_row_of_its_own():
    for number, ((_, right, _),) in rows().items():
        for other in re.findall(r"^as (E\d+)$", right):
            (target,) = rows()[other]
            assert not target[1].startswith("as E"), number


def test_every_mistake_that_the_wall_of_errors_is_said_to_show_hangs_there():
    wall = shown()["D13"]
    pieces = {
        n
        for key in re.findall(r'^    "((?:E\d+ ?)+)":', wall, re.M)
        for n in key.split()
    }
    pointing = {n for n, ((*_, see),) in rows().items() if re.search(r"\bD13\b", see)}
    assert pieces == pointing


def test_no_sentence_of_the_articles_is_copied():
    text = "".join(text for _, text, _ in cells())
    assert all(len(run) <= 8 for run in re.findall(r"[\u3400-\u9fff，。、]+", text))


# ------------------------------------------------------------------ the numbers


def test_two_that_minimise_v_cooperate_and_the_right_rule_finds_the_law():
    m = metrics()
    assert m["cooperating_d_real"] < 0.5 < m["cooperating_d_fake"]
    assert abs(m["right_mean"] - 4) < 0.5
    assert m["sum_spread"] < m["right_spread"]
    assert m["no_fakes_d_fake"] > 0.9


def test_what_is_exact_is_exact():
    m = metrics()
    for name in ("slope_error", "adjoint_error", "negative_error", "batch_mates_eval"):
        assert m[name] < 1e-5, name
    assert m["softmax_slope"] == 0
    assert m["gram_raw_ratio"] == pytest.approx(4, rel=1e-4)
    assert m["gram_size_error"] < 1e-4
    assert m["no_detach_cosine"] < -0.99
    assert m["l2_answer"] < 1e-6


def test_the_article_trains_d_four_times_and_g_never():
    far = dict(
        re.findall(r"^the \w+ +\((D+G?)\): (G moved .+)$", printed(), re.MULTILINE)
    )
    moved = {turns: re.findall(r"\d\.\d{4}", words) for turns, words in far.items()}
    assert moved["DDDD"][0] == "0.0000" < min(moved["DG"])
    assert float(moved["DDDD"][1]) > float(moved["DG"][1])


def test_the_dense_discriminator_has_the_weights_that_one_counts_by_hand():
    by_hand = 12288 * 1024 + 1024 + 1024 * 512 + 512 + 512 + 1
    assert f"{by_hand:,}" in printed()


def test_slopes_printed_for_the_saturating_loss_are_those_of_the_formula():
    (line,) = re.findall(r"^log\(1-D\), minimax +(.+)$", printed(), re.M)
    expected = [-1 / (1 + math.exp(-s)) for s in (-10, -2, 0, 2)]
    assert [float(v) for v in line.split()] == pytest.approx(expected, rel=0.05)


def test_perfect_fakes_and_noise_before_a_helpful_d_have_one_accuracy():
    m = metrics()
    assert abs(m["accuracy_of_perfect"] - 0.5) < 0.05
    assert m["accuracy_of_helper"] == 0.5


def test_every_piece_of_the_wall_was_refused_by_python():
    assert metrics()["errors_caught"] == 1
    wall = re.findall(r"^(E\d+(?: E\d+)*) +(\w+): \S", printed(), re.M)
    assert len(wall) >= 20 and all(kind.endswith("Error") for _, kind in wall)


def test_an_autoencoder_reconstructs_and_does_not_generate():
    m = metrics()
    assert m["code_error"] < 1e-3
    assert m["noise_on_modes"] < 0.1
