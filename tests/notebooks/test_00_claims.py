"""Notebook 00: what it tells a newcomer, asked again of what it embeds and stored."""

from pathlib import Path

import pytest
import stored_run
import torch
from safetensors.torch import load_file

from gancourse import data, evaluation
from gancourse.games import GAN
from gancourse.models import dcgan

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "00_start_here.ipynb"


@pytest.fixture(scope="module")
def G():
    """The embedded generator of digits, as the notebook loads it."""
    G = dcgan.DCGANGenerator(latent_dim=64)
    G.load_state_dict(load_file(data.asset("generator/digits_dcgan.safetensors")))
    return G.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def book() -> dict:
    return stored_run.definitions(PATH, {"torch": torch, "GAN": GAN})


def test_its_judge_is_right_on_more_than_99_of_100_test_digits():
    digits = data.digits("test")
    called = evaluation.class_probabilities(data.to_unit(digits.images)).argmax(1)
    assert (called == digits.labels).float().mean() > 0.99


def test_its_generator_takes_as_much_room_as_1800_digits(G):
    room = sum(v.numel() * v.element_size() for v in G.state_dict().values())
    assert room / 28**2 == pytest.approx(1_800, rel=0.03)


def test_grey_counts_what_is_neither_paper_nor_ink(book):
    assert book["grey"](torch.tensor([-1.0, -0.8, -0.7, 0.0, 0.74, 1.0])) == 0.5


def test_latents_three_times_as_long_give_more_grey(book, G):
    z = torch.randn(500, 64, generator=torch.Generator().manual_seed(1))
    assert book["grey"](G(3 * z)) > 1.2 * book["grey"](G(z))


def test_the_stored_run_has_all_digits_and_lost_no_bit():
    stored = stored_run.metrics(PATH)
    assert stored["classes_drawn"] == 10
    assert stored["weights_that_differ"] == 0
    assert stored["grey_walk"] < stored["grey_dissolve"] / 2


def test_the_stored_run_showed_a_gap_a_wrong_answer_and_a_right_one():
    said = stored_run.printed(PATH)
    assert "open_gap: not attempted" in said
    assert "loss_of_d: failed. Your number is positive; V never is." in said
    assert "at the second try it adds: You return D's loss, which is −V." in said
    assert "turned: passed" in said
