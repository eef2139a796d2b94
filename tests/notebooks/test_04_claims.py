"""Notebook 04: its rules by hand, and what its stored run says that it measured."""

import math
import re
from pathlib import Path

import pytest
import stored_run
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.utils.flop_counter import FlopCounterMode

from gancourse import data
from gancourse.models import dcgan, mlp

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "04_dcgan_mnist.ipynb"


@pytest.fixture(scope="module")
def book() -> dict:
    names = {"torch": torch, "nn": nn, "dcgan": dcgan, "seed": 0}
    return stored_run.definitions(PATH, names)


@pytest.fixture(scope="module")
def stored() -> dict:
    return stored_run.metrics(PATH)


@pytest.mark.parametrize("seed", [0, 5])
def test_the_generator_by_hand_is_the_packages(book, seed):
    torch.manual_seed(seed)
    mine = book["Generator"]().eval()
    torch.manual_seed(seed)
    theirs = dcgan.DCGANGenerator().eval()
    z = torch.randn(3, 64)
    assert torch.equal(mine(z), theirs(z))


def test_the_dense_generator_has_four_times_the_parameters():
    dense, ours = map(dcgan.parameters, (mlp.MLPGenerator(), dcgan.DCGANGenerator()))
    assert dense == pytest.approx(1.5e6, rel=0.02)
    assert ours == pytest.approx(0.35e6, rel=0.02)
    assert 4 < dense / ours < 4.6


def test_scales_around_0_leave_an_untrained_generator_without_contrast(book):
    assert book["contrast"](0.0) < 0.05 * book["contrast"](1.0)


def test_slerp_stays_on_the_sphere_that_lerp_leaves(book):
    rng = torch.Generator().manual_seed(2)
    ends = torch.randn(200, 2, 64, generator=rng)
    ends = 8 * ends / ends.norm(dim=2, keepdim=True)
    for walk, radius in (("slerp", 8.0), ("lerp", 8 * math.sqrt(0.5))):
        middle = torch.stack([book[walk](a, b, 0.5) for a, b in ends])
        assert middle.norm(dim=1).mean().item() == pytest.approx(radius, rel=0.02)
        for t, end in ((0.0, 0), (1.0, 1)):
            a, b = ends[0]
            torch.testing.assert_close(book[walk](a, b, t), ends[0, end])


def test_the_stored_run_beats_the_dense_gan_and_its_own_last_weights(stored):
    assert stored["classes"] == 10
    assert stored["frechet_share_of_noise_anchor"] < 0.3  # design: the floor
    assert stored["frechet"] < stored["frechet_dense"] / 10
    assert stored["frechet"] < stored["frechet_without_average"]
    assert stored["confidence"] > 0.9


def test_the_stored_runs_loops_and_resumed_runs_agree(stored):
    assert stored["resume_difference"] == 0
    assert stored["hand_difference"] < 1e-6
    assert stored["largest_jump"] < 1


def test_what_the_stored_run_printed_for_beginners():
    said = stored_run.printed(PATH)
    epoch = re.search(r"an epoch, 60,000 digits, takes ([\d,]+) s here", said)
    assert epoch, said
    assert "(1, 28, 28): Invalid shape (1, 28, 28) for image data" in said
    assert "(28, 28, 1): drawn" in said
    assert "is it an inverse? False" in said


def test_an_epoch_is_some_ten_billion_operations_a_step():
    # What the source articles call hours; counted, since a clock proves nothing here.
    G, D = dcgan.DCGANGenerator(), dcgan.DCGANDiscriminator()
    real = torch.zeros(64, 1, 28, 28)
    with FlopCounterMode(display=False) as counter:
        with torch.no_grad():
            fake = G(torch.randn(64, 64))
        (softplus(-D(real)).mean() + softplus(D(fake)).mean()).backward()
        D.requires_grad_(False)
        softplus(-D(G(torch.randn(64, 64)))).mean().backward()
    step = counter.get_total_flops()
    assert step > 1e9  # it did count
    assert (60_000 // 64) * step < 12e12  # counted: 10.3e12


def test_the_stored_runs_distance_fell_while_it_trained():
    said = stored_run.printed(PATH)
    found = re.findall(r"step +([\d,]+): distance +([\d.]+)", said)
    steps = [int(step.replace(",", "")) for step, _ in found]
    distances = [float(distance) for _, distance in found]
    assert len(steps) >= 6 and steps == sorted(steps)
    assert distances[-1] < distances[0] / 10
    assert distances[-1] == min(distances)


def test_exchange_changes_every_activation_and_nothing_else(book):
    book["exchange"](G := dcgan.DCGANGenerator())
    book["exchange"](D := dcgan.DCGANDiscriminator())
    plain = dcgan.DCGANGenerator(), dcgan.DCGANDiscriminator()
    for player, right in zip((G, D), plain, strict=True):
        turned = {nn.ReLU: nn.LeakyReLU, nn.LeakyReLU: nn.ReLU}
        expected = [turned.get(type(m), type(m)) for m in right.modules()]
        assert [type(m) for m in player.modules()] == expected
    assert {m.negative_slope for m in G.modules() if isinstance(m, nn.LeakyReLU)} == {
        0.2
    }


def test_a_fresh_d_has_a_slope_at_every_digit(book):
    book["images"] = data.digits("train").images
    book["data"] = data
    assert (book["slopes_at_digits"](lambda D: D) > 0).all()
    assert "D as the rules say: a slope at 100% of the digits" in stored_run.printed(
        PATH
    )


def test_the_stored_run_reports_the_swap():
    said = stored_run.printed(PATH)
    pair = [
        float(re.search(rf"{name} +([\d.]+)\n", said)[1])
        for name in ("as the rules say", "exchanged")
    ]
    low, high = sorted(pair)
    assert low > 0 and high < 1.25 * low  # the text: no difference was seen
