"""Notebook 11 proves what it says: its functions, and what its stored run reached."""

import json
import math
from pathlib import Path

import pytest
import stored_run
import torch
from torch import nn
from torch.nn.functional import conv2d, interpolate, softplus

from gancourse import data, pairs
from gancourse.models import superres

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "11_image_enhancement.ipynb"


def cells() -> list[dict]:
    return json.loads(PATH.read_text(encoding="utf-8"))["cells"]


@pytest.fixture(scope="module")
def book() -> dict:
    """The functions and classes that the notebook defines, the rest of it not run."""
    names = dict(
        torch=torch, nn=nn, conv2d=conv2d, interpolate=interpolate, softplus=softplus,
        data=data, pairs=pairs,
    )  # fmt: skip
    return stored_run.definitions(PATH, names)


@pytest.fixture(scope="module")
def stored() -> dict[str, float]:
    """The metrics of the run whose outputs are in the file."""
    kind = "application/vnd.gancourse.metrics+json"
    for cell in cells():
        for output in cell.get("outputs", []):
            if kind in output.get("data", {}):
                return output["data"][kind]["metrics"]
    raise AssertionError("notebook 11 is stored without its metrics")


# ------------------------------------------------------------------ by hand


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.5])
def test_the_filter_equals_scikit_image_everywhere(book, sigma):
    from skimage.filters import gaussian

    picture = data.to_unit(pairs.photograph("coffee", 64)[None])
    theirs = gaussian(
        picture[0].permute(1, 2, 0).numpy(), sigma, mode="nearest", channel_axis=2
    )
    ours = book["blur"](picture, sigma)[0].permute(1, 2, 0).numpy()
    assert abs(ours - theirs).max() < 1e-4


def test_the_losses_are_the_equations(book):
    # G adds 0.5, D's logit is twice the mean: restored 0.5, logits 1 and -2.
    G, D = (lambda x: x + 0.5), (lambda x: 2 * x.mean((1, 2, 3)))
    x, y = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), -1.0)

    def plus(s):
        return math.log1p(math.exp(s))

    d_loss = book["d_loss_by_hand"](G, D, x, y).item()
    assert d_loss == pytest.approx(plus(2) + plus(1), rel=1e-6)
    g_loss = book["g_loss_by_hand"](G, D, x, y, 3.0, 0.5).item()
    assert g_loss == pytest.approx(3 * 1.5 + 0.5 * plus(-1), rel=1e-6)


def test_the_net_is_the_package_s(book):
    torch.manual_seed(3)
    mine = book["SuperResolution"](8, 2)
    torch.manual_seed(3)
    theirs = superres.Restorer(4, features=8, blocks=2)
    for net in (mine, theirs):  # the last layer is new, so all zeros
        nn.init.normal_(net.net[-1].weight, 0, 1, torch.Generator().manual_seed(4))
    x = torch.rand(2, 3, 5, 7) * 2 - 1
    with torch.no_grad():
        assert torch.equal(mine(x), theirs(x))
        assert (mine(x) - pairs.upsample(x, 4)).abs().max() > 0.01


def test_mean_and_median_are_the_best_answers():
    # In closed form, what the notebook finds on a grid: 1 in 60 percent, 0 otherwise.
    values = torch.tensor([1.0] * 6 + [0.0] * 4, dtype=torch.float64)
    grid = torch.linspace(-0.5, 1.5, 2001, dtype=torch.float64)
    apart = grid[:, None] - values
    assert grid[apart.square().mean(1).argmin()].item() == pytest.approx(0.6)
    assert grid[apart.abs().mean(1).argmin()].item() == pytest.approx(1.0)


# ------------------------------------------------------------------ what was reached


def test_super_resolution_beats_bicubic_on_photographs_not_trained_on(stored):
    assert stored["x4_psnr_gain"] >= 0.3


def test_the_critic_buys_naturalness_with_decibels(stored):
    assert stored["x4_kid_share_of_l1"] < 0.9
    assert stored["x4_psnr_l1_minus_gan"] > 0


def test_on_every_task_l1_is_closest_and_a_critic_beside_it_more_natural(stored):
    assert stored["plane_orders_kept"] == 8


@pytest.mark.parametrize("task", ["noise", "dark"])
def test_noise_and_darkness_are_repaired_by_a_clear_margin(stored, task):
    assert stored[f"{task}_psnr_gain"] > 3 and stored[f"{task}_ssim_gain"] > 0.1


def test_colours_are_better_than_none_and_than_the_mean_colour(stored):
    assert stored["chroma_share_of_grey"] < 0.9
    assert stored["chroma_share_of_mean"] < 0.95


def test_patches_are_cut_without_overlap_from_every_photograph(book):
    first = torch.arange(3.0 * 130 * 200).view(1, 3, 130, 200)
    found = book["cut"]([first, first[..., :64, :64]])
    assert found.shape == (2 * 3 + 1, 3, 64, 64)
    assert torch.equal(found[4], first[0, :, 64:128, 64:128])
    assert torch.equal(found[6], found[0])


def test_no_net_goes_below_the_bound_of_the_checkerboards(stored):
    assert 0.25 <= stored["checkerboard_mse"] < 0.26
    assert stored["checkerboard_difference"] == 0


def test_the_net_looks_at_its_input(stored):
    assert stored["own_input_minus_another_s"] > 5
