"""Notebook 07: its hand-written pieces, and what its stored run has to bear out."""

import inspect
import json
import math
import re
from pathlib import Path

import pytest
import stored_run
import torch
from safetensors.torch import load_file
from torch import nn

from gancourse import conditional, data, evaluation
from gancourse.models import conditional as told
from gancourse.models import dcgan

PATH = Path(__file__).resolve().parents[2] / "notebooks/07_conditional_control.ipynb"
CELLS = json.loads(PATH.read_text(encoding="utf-8"))["cells"]
METRICS = "application/vnd.gancourse.metrics+json"


@pytest.fixture(scope="module")
def book() -> dict:
    """What the notebook defines (functions and classes), without running it."""
    names = {"torch": torch, "nn": nn, "math": math, "data": data, "dcgan": dcgan}
    names |= {"evaluation": evaluation, "told": told}
    return stored_run.definitions(PATH, names)


@pytest.fixture(scope="module")
def stored() -> dict:
    """The metrics of the stored run, which is one of the profile cpu."""
    for cell in CELLS:
        for output in cell.get("outputs", []):
            if METRICS in output.get("data", {}):
                found = output["data"][METRICS]
                assert found["profile"] == "cpu"
                return found["metrics"]
    pytest.fail("the notebook holds no metrics")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------ by hand


def test_a_step_of_the_conditional_game_takes_labels_and_a_plain_one_does_not(book):
    assert "y" in inspect.signature(book["step_by_hand"]).parameters
    book_04 = PATH.with_name("04_dcgan_mnist.ipynb").read_text(encoding="utf-8")
    assert "def train_by_hand(G, D, batches, steps" in book_04


def test_both_players_in_the_open_are_the_package_s(book):
    torch.manual_seed(0)
    G, D = told.ConditionalGenerator(width=4, refine=2), told.ProjectionDiscriminator(
        width=4, refine=2
    )  # fmt: skip
    mine = book["Generator"](4).eval(), book["Projection"](4).eval()
    for own, packaged in zip(mine, (G.eval(), D.eval()), strict=True):
        own.load_state_dict(packaged.state_dict())
    z, y = torch.randn(6, 64, generator=rng()), torch.arange(6)
    with torch.no_grad():
        x = G(z, y)
        assert torch.equal(mine[0](z, y), x) and torch.equal(mine[1](x, y), D(x, y))


def test_the_class_loss_is_two_cross_entropies(book):
    a, b = torch.randn(2, 5, 10, generator=rng())
    y = torch.tensor([3, 1, 4, 1, 5])
    cross = nn.functional.cross_entropy
    expected = cross(a, y) + cross(b, y)
    torch.testing.assert_close(book["class_loss"](a, b, y), expected)


def test_cut_latents_follow_the_cut_normal_law(book):
    z = book["truncated"](3_000, 1.0, rng()).flatten()
    assert z.abs().max() <= 1
    # variance of N(0, 1) cut at 1: 1 - 2 pdf(1) / erf(1 / sqrt 2)
    pdf = math.exp(-0.5) / math.sqrt(2 * math.pi)
    expected = 1 - 2 * pdf / math.erf(1 / math.sqrt(2))
    assert z.var().item() == pytest.approx(expected, rel=0.02)
    assert book["truncated"](3_000, 8.0, rng()).var().item() == pytest.approx(
        1, rel=0.02
    )


def test_slerp_keeps_to_the_sphere_and_to_its_ends(book):
    a, b = nn.functional.normalize(torch.randn(2, 4, 64, generator=rng()), dim=2)
    path = book["slerp"](a, b, torch.linspace(0, 1, 5))
    torch.testing.assert_close(path[:, 0], a, atol=1e-5, rtol=0)
    torch.testing.assert_close(path[:, -1], b, atol=1e-5, rtol=0)
    torch.testing.assert_close(path.norm(dim=2), torch.ones(4, 5))


def test_changes_counts_every_change_of_mind_along_a_path(book):
    images, labels = data.digits("test")
    seven, two, one = (images[labels == k][0] for k in (7, 2, 1))
    paths = torch.stack([seven, seven, two, seven, one, one, one, one])
    assert book["changes"](paths, 4).tolist() == [2, 0]


def bar(width, shear=0.0):
    x = -torch.ones(1, 1, 28, 28)
    for row in range(4, 24):
        left = 13 + round(shear * (14 - row))
        x[0, 0, row, left : left + width] = 1
    return x


def test_measures_measure_a_bar_of_known_width_and_slant(book):
    measure = book["measure"]
    thick = [measure(bar(w))[0, 0].item() for w in (2, 3, 4)]
    # a bar of 20 rows: twice the area over an outline of 2 (20 + width)
    for width, value in zip((2, 3, 4), thick, strict=True):
        assert value == pytest.approx(2 * 20 * width / (2 * (20 + width)), rel=0.06)
    slants = [measure(bar(3, s))[0, 1].item() for s in (-0.5, 0.0, 0.25, 0.5)]
    assert slants == pytest.approx([-0.5, 0.0, 0.25, 0.5], abs=0.03)
    flat = measure(bar(6))[0, 2].item()
    assert flat == pytest.approx(math.sqrt((6**2 - 1) / 12), rel=0.01)
    moved = torch.roll(bar(3, 0.25), (2, -3), (2, 3))
    torch.testing.assert_close(measure(moved), measure(bar(3, 0.25)), atol=2e-3, rtol=0)


def test_least_squares_on_normal_latents_finds_the_mean_gradient():
    # Stein: a(z) = z0^3 + 2 z1 has mean gradient (3 E z0^2, 2) = (3, 2).
    z = torch.randn(400_000, 2, generator=rng(), dtype=torch.float64)
    w = torch.linalg.lstsq(z, (z[:, :1] ** 3 + 2 * z[:, 1:])).solution.flatten()
    assert w.tolist() == pytest.approx([3, 2], abs=0.05)


def test_a_projected_direction_meets_no_other_fit(book):
    W = torch.randn(3, 64, generator=rng())
    d = book["clean"](W)
    across = d @ W.T
    torch.testing.assert_close(d.norm(dim=1), torch.ones(3))
    assert (across - across.diagonal().diag()).abs().max() < 1e-5
    assert (across.diagonal() > 0).all()


def test_leak_is_what_moved_besides_over_what_was_meant(book):
    moves = torch.tensor([[2.0, 0.5, -0.5], [0, 1, 0], [0, 0, 3.0]])
    assert book["leak"](moves) == pytest.approx((1 / 6) / 2)
    assert book["leak"](torch.eye(3)) == 0


def test_wilson_s_interval_solves_its_equation(book):
    for k, n in [(0, 50), (13, 50), (400, 400)]:
        for end in book["wilson"](k, n):
            # |p^ - p| = u sqrt(p (1 - p) / n) at both ends
            end = min(max(end, 0), 1)
            gap = abs(k / n - end)
            assert gap == pytest.approx(1.96 * math.sqrt(end * (1 - end) / n), abs=1e-7)
    assert book["wilson"](400, 400)[0] == pytest.approx(400 / (400 + 1.96**2))


def test_steering_climbs_and_stays_on_its_sphere(book):
    old = dcgan.DCGANGenerator().eval().requires_grad_(False)
    old.load_state_dict(load_file(data.asset("generator/digits_dcgan.safetensors")))
    book["old"] = old
    book["units"] = torch.ones(3)
    z0, target = torch.randn(4, 64, generator=rng()), torch.tensor([3, 5, 7, 9])
    judge = evaluation.classifier()

    def wrong(z):
        return nn.functional.cross_entropy(judge(book["old"](z)), target).item()

    def moved(z):
        return (book["measure"](old(z)) - book["measure"](old(z0)))[:, :2].abs().mean()

    free, held = (book["steer"](z0, target, weight, steps=30) for weight in (0.0, 5.0))
    for z in (free, held):
        assert wrong(z) < wrong(z0) / 2
        torch.testing.assert_close(z.norm(dim=1), z0.norm(dim=1))
    assert moved(held) < moved(free) / 2


# ------------------------------------------------------------------ the stored run


def test_identities_hold_to_rounding(stored):
    assert stored["projection_error"] < 1e-10
    assert stored["hand_difference"] < 1e-5
    assert stored["heads_difference"] < 1e-5


def test_what_is_asked_for_is_drawn(stored):
    assert stored["requested_class"] >= 0.95
    assert stored["acgan_requested_class"] >= 0.95
    assert stored["frechet_share_of_noise_anchor"] <= 0.4


def test_at_one_age_the_projection_is_nearer_to_the_data_than_the_class_head():
    (text,) = [
        "".join(output["text"])
        for cell in CELLS
        for output in cell.get("outputs", [])
        if "class head  " in "".join(output.get("text", []))
    ]
    rows = {line.split("  ")[0]: line.split()[-1] for line in text.splitlines()[1:]}
    assert float(rows["projection"]) < float(rows["class head"])


def test_at_one_age_planes_beside_the_picture_are_obeyed_least():
    shares = re.findall(
        r"^(projection|class head|label as planes) +([\d.]+)%",
        stored_run.printed(PATH),
        re.M,
    )
    obeyed = {name: float(share) for name, share in shares}
    assert obeyed["label as planes"] < min(obeyed["projection"], obeyed["class head"])


def test_truncation_is_revealed_as_it_was_measured(stored):
    rises = stored["precision_gained"] > 0, stored["recall_lost"] < 0
    said = {(True, False): "precision rises, recall falls", (True, True): "both rise"}
    shown = [o.get("data", {}) for c in CELLS for o in c.get("outputs", [])]
    text = "".join("".join(data.get("text/plain", "")) for data in shown)
    assert f"It is: {said[rises]}, because cut at 0.5" in text


def test_with_labels_a_fraction_of_the_pictures_brings_samples_about_as_near(stored):
    assert stored["frechet_share_of_unconditional"] < 1.5


def test_truncation_buys_precision_with_recall(stored):
    assert stored["precision_gained"] > 0 and stored["recall_lost"] > 0


def test_a_class_survives_a_walk_and_a_walk_between_two_changes_little_else(stored):
    assert stored["changes_within"] < 0.2
    assert 1 <= stored["changes_between_95"] <= 3


def test_directions_are_mean_gradients_and_cleaning_them_lessens_the_leak(stored):
    assert stored["stein_cosine"] > 0.9
    assert stored["entanglement_projected"] < stored["entanglement"]


def test_the_penalty_lessens_what_steering_changes_besides(stored):
    assert stored["steering_leak_share"] <= 1 / 3
    assert (
        stored["steering_leak_share"]
        < stored["steering_leak_share_without_penalty"] / 2
    )


def test_gradient_reaches_the_code_and_the_class_alike():
    game = conditional.InfoGAN(
        told.ConditionalGenerator(width=4, refine=1),
        told.ClassDiscriminator(width=4, refine=1),
    )
    g_loss, _ = game.generator_loss(torch.zeros(4, 1, 28, 28), rng())
    g_loss.backward()
    assert game.G.embed.weight.grad.abs().sum() > 0
