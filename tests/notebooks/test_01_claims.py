"""Notebook 01 proves what it says: its numbers against others worked out here."""

import contextlib
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "01_minimax_game.ipynb"


def code_cells() -> list[str]:
    cells = json.loads(PATH.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return [text for text in code if "find_spec" not in text]  # the install cell


def play(monkeypatch, profile="smoke", seed=0, replace=("", "")) -> dict[str, float]:
    """Run the notebook's code in this process; the metrics that it reports."""
    import matplotlib

    from gancourse import course

    matplotlib.use("Agg")
    reported = {}
    monkeypatch.setattr(
        course, "report", lambda number, profile, metrics, **_: reported.update(metrics)
    )
    book = code_cells()
    wrong = [text.replace(*replace) for text in book]
    changed = sum(before != after for before, after in zip(book, wrong, strict=True))
    assert changed == (replace != ("", ""))  # exactly one cell, if any
    names = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for text in wrong:
            exec(compile(text, PATH.name, "exec"), names)
            if "profile" in names and "numbers" not in names:
                names.update(profile=profile, seed=seed)  # after the parameters cell
    return reported


@pytest.fixture(scope="module")
def metrics():
    with pytest.MonkeyPatch.context() as monkeypatch:
        return play(monkeypatch)


def test_value_at_the_best_discriminator_is_minus_log_4_plus_twice_the_jsd(metrics):
    # Gauss-Hermite, another quadrature than the notebook's. With data N(2, 1) and fakes
    # N(0, 1) the logit of the best discriminator is 2x - 2.
    nodes, weights = np.polynomial.hermite_e.hermegauss(180)
    weights /= weights.sum()
    log_d = -np.logaddexp(0, -(2 * (nodes + 2) - 2))
    log_one_minus_d = -np.logaddexp(0, 2 * nodes - 2)
    v_star = weights @ (log_d + log_one_minus_d)
    assert metrics["v_star"] == pytest.approx(v_star, abs=1e-8)
    assert metrics["jsd"] == pytest.approx((v_star + math.log(4)) / 2, abs=1e-8)
    assert metrics["v_identity_error"] < 1e-8
    assert metrics["v_at_optimum"] == pytest.approx(-math.log(4), abs=1e-8)


def test_best_discriminator_at_0_is_one_in_one_plus_e_squared(metrics):
    assert metrics["d_star_at_0"] == pytest.approx(1 / (1 + math.exp(2)), abs=1e-12)
    assert metrics["d_star_slope"] < 1e-12


def test_losses_on_logits_are_the_cross_entropies(metrics):
    assert metrics["bce_error"] < 1e-6
    two_sigmoids = math.log(1 + math.exp(-1)) + math.log(2)
    assert metrics["double_sigmoid_floor"] == pytest.approx(two_sigmoids, abs=1e-9)


def test_generator_slopes_are_the_closed_forms(metrics):
    assert metrics["gradient_closed_form_error"] < 1e-12
    small = 1 / (1 + math.exp(10))
    assert metrics["saturating_slope_at_minus_10"] == pytest.approx(-small, rel=1e-9)
    assert metrics["nonsaturating_slope_at_minus_10"] == pytest.approx(small - 1)


def test_non_saturating_generator_descends_on_kl_minus_twice_the_jsd(metrics):
    assert metrics["ns_divergence_error"] < 1e-7


def test_disjoint_laws_have_jsd_log_2_and_a_wasserstein_distance_that_is_right(metrics):
    assert metrics["jsd_disjoint"] == pytest.approx(math.log(2), abs=1e-12)
    assert metrics["w1_error"] < 1e-9


WRONG = {
    "the sign of the real term": (
        "return -softplus(-real_logits).mean()",
        "return softplus(-real_logits).mean()",
    ),
    "the Jacobian": ("log_prob(z).exp() / slope", "log_prob(z).exp() * slope"),
    "one half of the JSD": ("kl(q, m, x)) / 2", "kl(p, m, x)) / 2"),
    "D that follows theta": (
        "normal(theta).log_prob(fake)",
        "normal(t).log_prob(fake)",
    ),
    "W1 without sorting": ("x.sort().values - y.sort().values", "x - y"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_error_in_a_formula_stops_the_notebook(what, monkeypatch):
    with pytest.raises(AssertionError):
        play(monkeypatch, replace=WRONG[what])


@pytest.mark.full
@pytest.mark.parametrize("seed", range(3))
def test_a_trained_discriminator_lies_within_two_hundredths_of_d_star(
    seed, monkeypatch
):
    reported = play(monkeypatch, profile="quick", seed=seed)
    assert reported["trained_d_max_error"] < 0.02
    assert 0 < reported["trained_v_gap"] < 1e-3
