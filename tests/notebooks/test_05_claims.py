"""Notebook 05's hand-written measures, against values worked out here."""

import ast
import json
import math
import re
from pathlib import Path

import pytest
import stored_run
import torch
from torch import nn

from gancourse import data, evaluation, games, losses
from gancourse.models import dcgan

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "05_measuring_gans.ipynb"


@pytest.fixture(scope="module")
def book() -> dict:
    """The functions that the notebook defines, without running the rest of it."""
    names = {"torch": torch, "nn": nn, "math": math, "data": data}
    for cell in json.loads(PATH.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code" and "find_spec" not in text:
            found = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef)]
            for function in found:
                function.decorator_list = []
            wanted = [f for f in found if f.name not in ("train_d", "small_d")]
            exec(compile(ast.Module(wanted, []), PATH.name, "exec"), names)
    return names


def points(n: int, dim: int = 4, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=rng, dtype=torch.float64)


def test_inception_score_of_k_certain_classes_is_k(book):
    for k in (1, 2, 4):
        certain = torch.eye(10, dtype=torch.float64)[torch.arange(40) % k]
        score = book["inception_score"](certain.clamp_min(1e-12))
        assert score == pytest.approx(k, rel=1e-6)
    halves = torch.tensor([[0.5, 0.5], [0.9, 0.1]], dtype=torch.float64)
    kl = [sum(q * math.log(q / m) for q, m in zip(p, (0.7, 0.3), strict=True)) for p in
          ((0.5, 0.5), (0.9, 0.1))]  # fmt: skip
    assert book["inception_score"](halves) == pytest.approx(math.exp(sum(kl) / 2))


def test_frechet_distance_of_moved_and_scaled_sets_is_the_closed_form(book):
    x = points(500)
    by = torch.tensor([3.0, 0, 4, 0], dtype=torch.float64)
    assert book["frechet"](x + by, x) == pytest.approx(25, abs=1e-6)
    # Cov(2x) = 4 Cov(x): the trace part is (2 - 1)² tr Cov(x).
    expected = x.mean(0).square().sum() + x.T.cov().trace()
    assert book["frechet"](2 * x, x) == pytest.approx(expected.item(), abs=1e-6)


def test_kernel_distance_leaves_out_the_pairs_of_a_point_with_itself(book):
    a, b = points(6, 3, 1), points(6, 3, 2) + 0.5
    scale = b.square().mean().sqrt()

    def mean(x, y, skip):
        pairs = [(i, j) for i in range(6) for j in range(6) if not (skip and i == j)]
        values = [(1 + float(x[i] @ y[j]) / float(scale**2) / 3) ** 3 for i, j in pairs]
        return sum(values) / len(values)

    expected = mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False)
    assert book["kernel_distance"](a, b) == pytest.approx(expected, rel=1e-9)


def test_precision_and_coverage_of_points_on_a_line_are_counted_right(book):
    real = torch.arange(10.0)[:, None]  # third neighbours: 2 inside, 3 at the two ends
    fake = torch.tensor([[4.5], [10.9], [11.9], [12.5]])
    assert book["reach"](real, 3).flatten().tolist() == [3.0] + [2.0] * 8 + [3.0]
    assert book["precision"](fake, real) == 0.75  # 9 reaches 12, and no farther
    near = torch.tensor([[0.0]])  # fifth neighbours: 5, 4, 3, 3, 3, 3, 3, 3, 4, 5
    assert book["coverage"](near, real) == pytest.approx(0.4)  # 0, 1, 2, 3


def test_copying_is_about_one_for_new_and_zero_for_copied_points(book):
    train, test, new = points(400, 8, 1), points(400, 8, 2), points(400, 8, 3)
    ratio = book["copy_ratio"]
    assert ratio(train[:200], train, test) == pytest.approx(0, abs=1e-6)
    assert 0.9 < ratio(new, train, test) < 1.1
    some = torch.cat([new[:160], train[:40]])
    assert ratio(some, train, test) > 0.8
    assert ratio(some, train, test, quantile=0.1) == pytest.approx(0, abs=1e-6)
    package = evaluation.memorisation(new.float(), train.float(), test.float())
    assert ratio(new, train, test) == pytest.approx(package, rel=1e-4)


def test_accuracy_of_d_turns_over_at_logit_zero(book):
    real, fake = torch.tensor([0.2, 3.0, -1.0, 0.4]), torch.tensor([0.3, -0.1, -2, -3])
    assert book["d_accuracy"](real, fake) == pytest.approx(0.75)


def test_the_record_of_the_search_is_the_one_in_the_results():
    cells = json.loads(PATH.read_text(encoding="utf-8"))["cells"]
    text = "".join("".join(c["source"]) for c in cells if "c05-search" in c["id"])
    results = PATH.parents[1] / "tests" / "benchmarks" / "RESULTS.md"
    stored = set(re.findall(r"\d+\.\d", results.read_text(encoding="utf-8")))
    told = re.findall(r"\d+\.\d", text)
    assert len(told) >= 15 and set(told) <= stored


def small_d(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return dcgan.DCGANDiscriminator(width=8, refine=0, norm=False)


def test_ada_augments_where_d_is_sure_and_not_where_it_can_not_be(book):
    digits = data.digits("train").images[:640]
    book |= {"plan": {"steps": 60}, "small_d": small_d, "games": games}
    book["d_loss"] = losses.nonsaturating.discriminator
    last = {}
    for name, fakes in {"black": torch.zeros_like(digits), "real": digits}.items():
        book["generated"] = data.to_unit(fakes)
        _, last[name] = book["train_d_ada"](digits, 0, rate=0.02)
    assert last["black"] > 0.3  # told from digits at a glance
    assert last["real"] < 0.1  # the law of the reals: no D can be sure


def test_the_stored_run_shows_the_controller_asleep_awake_and_not_needed():
    said = stored_run.printed(PATH)

    def row(words):
        line = re.search(rf"{re.escape(words)}: *(.*)", said)[1]
        gaps = [float(gap) for gap in re.findall(r"(-?[\d.]+)(?= \(p)", line)]
        return gaps, [float(p) for p in re.findall(r"\(p ([\d.]+)\)", line)]

    asleep, p_asleep = row("100, target 0.6")
    awake, p_awake = row("100, target 0.3")
    _, p_plenty = row("20,000, target 0.3")
    assert len(asleep) == len(awake) == 3
    assert max(p_asleep) < 0.25 and min(p_awake) > 0.4 and max(p_plenty) < 0.25
    assert sum(awake) < 0.6 * sum(asleep)
