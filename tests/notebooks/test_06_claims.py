"""Notebook 06: each patient has the fault that it is said to have, and no other."""

import json
import math
from pathlib import Path

import pytest
import stored_run
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss, softplus

from gancourse import clinic, losses
from gancourse.models import dcgan

PATH = Path(__file__).resolve().parents[2] / "notebooks/06_clinic.ipynb"
REAL, FAKE = [4.0, -1.0, 0.5], [-3.0, 0.3, 2.0]
# Worked out by hand from softplus and its slope: of E softplus(-f), of E softplus(f).
RIGHT = [-0.3175, -0.1419, -0.0397]
CONFUSED = [-0.3017, 0.0496, 0.2539]


@pytest.fixture(scope="module")
def book() -> dict:
    """The functions that the notebook defines, without running the rest of it."""
    names = {"torch": torch, "nn": nn, "softplus": softplus, "losses": losses}
    names |= {"mse_loss": mse_loss, "clinic": clinic}
    names |= {"binary_cross_entropy_with_logits": binary_cross_entropy_with_logits}
    return stored_run.definitions(PATH, names)


@pytest.fixture(scope="module")
def metrics() -> dict:
    """The metrics stored with the notebook's outputs."""
    kind = "application/vnd.gancourse.metrics+json"
    for cell in json.loads(PATH.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            if kind in output.get("data", {}):
                return output["data"][kind]["metrics"]
    raise AssertionError("no stored metrics")


class Points(nn.Module):
    """G whose three outputs are its weights; D is the identity times a weight."""

    def __init__(self, values):
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values))

    def forward(self, x):
        return self.values if x is None else self.values * x


def probe(step, d_rate=0.0):
    """(d_loss, g_loss, how far G's outputs moved at rate 1, D's weight after it)."""
    G, D = Points(FAKE), Points(1.0)
    g_opt = torch.optim.SGD(G.parameters(), 1.0)
    d_opt = torch.optim.SGD(D.parameters(), d_rate)
    d_loss, g_loss = step(G, D, g_opt, d_opt, torch.tensor(REAL), None)
    moved = torch.tensor(FAKE) - G.values.detach()
    return d_loss.item(), g_loss.item(), moved.tolist(), D.values.item()


@pytest.mark.parametrize(
    ("name", "d_loss", "g_loss", "gradient"),
    [
        ("A", 0.6018, 1.2433, RIGHT),
        ("B", -1.6118, -1.6118, [-0.0158, -0.1915, -0.2936]),
        ("C", -1.6118, 1.2433, RIGHT),
        ("D", 3.0118, 1.2433, RIGHT),
        ("E", 1.6118, 2.2532, CONFUSED),
        ("F", 1.6118, 1.2433, [0, 0, 0]),
        ("G", 1.6118 + 1.2433, 1.6118 + 1.2433, CONFUSED),
        ("H", 1.6118, 1.2433, RIGHT),
        ("I", 1.6118, 1.2433, CONFUSED),
        ("J", 0, 0, [0, 0, 0]),
        ("K", 1.6118, 1.2433, RIGHT),
        ("L", 1.6573, 1.2433, RIGHT),  # D meets the fakes after their move
    ],
)
def test_each_patient_has_the_losses_and_the_pull_on_g_of_its_fault(
    name, d_loss, g_loss, gradient
):
    found = probe(clinic.PATIENTS[name])
    assert found[0] == pytest.approx(d_loss, abs=1e-3)
    assert found[1] == pytest.approx(g_loss, abs=1e-3)
    assert found[2] == pytest.approx(gradient, abs=1e-3)


def test_the_step_of_the_notebook_is_right(book):
    found = probe(book["healthy"])
    assert found[:2] == pytest.approx((1.6118, 1.2433), abs=1e-3)
    assert found[2] == pytest.approx(RIGHT, abs=1e-3)


def test_only_h_moves_d_on_the_loss_of_g(book):
    right = probe(book["healthy"], 0.1)[3]
    for name in "EFIK":
        assert probe(clinic.PATIENTS[name], 0.1)[3] == pytest.approx(right, abs=1e-6)
    assert abs(probe(clinic.PATIENTS["H"], 0.1)[3] - right) > 1e-2


def test_the_decoy_without_detach_plays_the_healthy_game(book):
    found, right = probe(clinic.PATIENTS["K"], 0.1), probe(book["healthy"], 0.1)
    for ours, theirs in zip(found, right, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_no_complaint_betrays_the_cause():
    for step in clinic.PATIENTS.values():
        words = step.__doc__.lower()
        assert words.startswith("(d_loss, g_loss). ")
        assert not any(w in words for w in ("sign", "swapped", "zero_grad", "cancel"))


def test_distance_is_that_of_a_shift(book):
    share = (torch.arange(1000) + 0.5) / 1000
    moved = 3 + torch.distributions.Normal(4.0, 1.0).icdf(share)[:, None]
    rng = torch.Generator().manual_seed(0)
    distance, verdict, fake = book["examine"](
        lambda z: moved, lambda x: torch.zeros(len(x)), rng
    )
    assert distance == pytest.approx(3, abs=1e-3) and verdict == 0.5
    assert torch.equal(fake, moved.flatten())


def test_picture_patients_differ_from_the_right_form_by_their_line(book):
    book |= {"digits": torch.ones(4, 1, 28, 28), "dcgan": dcgan}
    z = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    for name in ("P", "M", "N", "O", "P treated"):
        G, D, _ = book["admit"](name, 0)
        fake = G(z)
        assert fake.shape == (8, 1, 28, 28) and D(fake).shape == (8, 1)
        slope = torch.autograd.grad(D(fake).sum(), fake)[0].abs().max().item()
        assert (slope == 0) == (name == "O")
        assert (fake.max() > 1) == (name == "N")
        assert isinstance(D[1], nn.BatchNorm2d) == (name == "P treated")
    assert book["admit"]("M", 0)[2].unique().tolist() == [1]


def test_probes_without_training(book):
    sure, target = torch.tensor([50.0, -50.0]), torch.tensor([1.0, 0.0])
    floor = (math.log1p(math.exp(-1)) + math.log(2)) / 2
    assert book["patient_q"](sure, target).item() == pytest.approx(floor, abs=1e-4)
    assert book["repaired_q"](sure, target).item() < 1e-6
    f = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    twice = f.tile(1, 1, 2, 2)
    assert torch.allclose(book["patient_r"](twice), 4 * book["patient_r"](f), rtol=1e-4)
    assert torch.allclose(book["repaired_r"](twice), book["repaired_r"](f), rtol=1e-4)
    assert torch.allclose(book["repaired_r"](f), losses.gram(f), rtol=1e-4)
    content, painting = f[:1], f[1:]
    for name, still in (("patient_s", True), ("repaired_s", False)):
        y = content.clone().requires_grad_()
        book[name](content, painting, y).backward()
        assert (y.grad.abs().max() == 0) == still


def test_stored_run_convicts_the_ill_and_acquits_the_decoys(metrics):
    assert metrics["broken_missed"] == 16
    assert metrics["repaired_met"] == 16
    assert metrics["decoys_within_noise"] == 3
    assert metrics["verdict_of_h"] > 0.55
    assert metrics["frechet_treated"] > metrics["frechet_right"]
