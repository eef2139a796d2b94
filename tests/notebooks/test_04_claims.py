"""Notebook 04: its rules by hand, and what its stored run says that it measured."""

import math
import re
from pathlib import Path

import pytest
import stored_run
import torch
from torch import nn

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
    assert int(epoch[1].replace(",", "")) < 600  # the source articles: hours a run
    assert "(1, 28, 28): Invalid shape (1, 28, 28) for image data" in said
    assert "(28, 28, 1): drawn" in said
    assert "is it an inverse? False" in said
