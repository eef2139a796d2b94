"""Notebook 09: its hand-written pieces, and what its stored run has to bear out."""

import ast
import json
import math
import re
from pathlib import Path

import pytest
import torch
from stored_run import printed
from torch import nn
from torch.nn.functional import softplus

from gancourse import facades, pairs
from gancourse.models import dcgan, unet

PATH = Path(__file__).resolve().parents[2] / "notebooks" / "09_pix2pix.ipynb"
CELLS = json.loads(PATH.read_text(encoding="utf-8"))["cells"]
METRICS = "application/vnd.gancourse.metrics+json"


@pytest.fixture(scope="module")
def book() -> dict:
    """What the notebook defines (functions, classes, M, laws), without running it."""
    names = {"torch": torch, "nn": nn, "softplus": softplus, "dcgan": dcgan}
    for cell in CELLS:
        text = "".join(cell["source"])
        if cell["cell_type"] != "code" or "find_spec" in text:
            continue
        for node in ast.parse(text).body:
            constant = isinstance(node, ast.Assign) and getattr(
                node.targets[0], "id", ""
            ) in ("M", "laws")
            if constant or isinstance(node, ast.FunctionDef | ast.ClassDef):
                exec(compile(ast.Module([node], []), PATH.name, "exec"), names)
    return names


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


# ------------------------------------------------------------------ by hand


def test_the_matrix_is_the_package_s_and_white_has_no_colour(book):
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(book["to_yuv"](x), pairs.rgb_to_yuv(x))
    white = book["to_yuv"](torch.ones(1, 3, 1, 1, dtype=torch.float64)).flatten()
    torch.testing.assert_close(
        white, torch.tensor([1.0, 0, 0]).double(), atol=1e-7, rtol=0
    )


def test_l2_settles_on_the_mean_and_l1_on_the_median_not_the_commonest(book):
    settle, laws = book["settle"], book["laws"]
    values, shares = laws["three"]
    mean = sum(v * s for v, s in zip(values, shares, strict=True))
    assert settle(values, shares, 2) == pytest.approx(mean, abs=0.01)
    assert settle(values, shares, 1) == pytest.approx(0, abs=0.02)
    assert shares[values.index(0)] == min(shares)
    assert settle(*laws["two"], 1) == pytest.approx(1, abs=0.02)  # there it is


def test_receptive_field_of_chains_worked_by_hand(book):
    assert book["field"]([1]) == 4
    assert book["field"]([2, 1]) == (4 - 1) * 2 + 4
    assert [book["field"]([2] * n + [1, 1]) for n in (1, 2, 3)] == [16, 34, 70]
    assert book["field"]([2, 2, 1, 1, 1]) == 46  # exercise 09.1


def test_footprint_of_the_smaller_critic_is_its_receptive_field(book):
    torch.manual_seed(0)
    seen = book["footprint"](unet.PatchCritic(6, 4, 2, norm=False)) > 0
    assert int(seen.sum()) == 34**2


def test_losses_of_one_pixel_are_worked_by_hand(book):
    one = torch.ones(1, 1, 1, 1)

    def D(both):  # 2 y − x
        return 2 * both[:, 1:] - both[:, :1]

    x, y, fake = one, 1.5 * one, -one  # D(x, y) = 2, D(x, fake) = −3
    expected = math.log1p(math.exp(-2)) + math.log1p(math.exp(-3))
    assert book["d_loss"](D, x, y, fake).item() == pytest.approx(expected, rel=1e-5)
    expected = math.log1p(math.exp(3)) + 10 * 2.5
    assert book["g_loss"](D, x, y, fake, 10).item() == pytest.approx(expected, rel=1e-5)


def test_the_unet_in_the_open_is_the_package_s_from_the_same_seed(book):
    torch.manual_seed(1)
    mine = book["UNet"]().eval()
    torch.manual_seed(1)
    theirs = unet.UNet(13, 3, width=16, depth=5, norm=unet.PixelNorm).eval()
    x = facades.condition(facades.pairs(1, seed=4).labels, facades.paints(1, 4))
    with torch.no_grad():
        assert torch.equal(mine(x), theirs(x))


def test_tiles_and_small_houses_keep_every_picture_in_its_place(book):
    x = torch.arange(2 * 3 * 128 * 64.0).view(2, 3, 128, 64)
    tiles = book["tiles"](x)
    assert torch.equal(tiles[3], x[1, :, 64:])
    y = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 8, 8)
    quarters = book["four"](y)[0, 0]
    assert [quarters[0, 0], quarters[0, 7], quarters[7, 0], quarters[7, 7]] == [
        0,
        1,
        2,
        3,
    ]


# ------------------------------------------------------------------ the stored run


def test_identities_hold_to_rounding(stored):
    assert stored["yuv_error"] < 1e-6
    assert stored["field_error"] == 0
    assert stored["hand_difference"] < 1e-4


def test_regression_is_nearer_and_the_critic_more_natural(stored):
    assert stored["psnr_l1"] > stored["psnr_both"]
    assert stored["kid_share_of_l1"] < 0.9  # far more than the noise of a hundred
    assert stored["kid_share_of_l1"] == pytest.approx(
        stored["kid_both"] / stored["kid_l1"]
    )


def test_the_map_is_recovered_and_skips_are_worth_something(stored):
    assert stored["recovery_both"] >= 0.9
    assert stored["recovery_painted"] >= 0.95
    assert stored["l1_without_skips_over_with"] > 1


def test_another_condition_moves_the_output_and_a_critic_shown_wrong_pairs_reads_them(
    stored,
):
    assert stored["moved_by_condition"] > 0.1
    rows = re.findall(
        r"real pictures with (.+?) +mean logit ([+-][\d.]+)", printed(PATH)
    )
    logits = {name: float(value) for name, value in rows}
    matched = logits["their own conditions"]
    assert matched > 0.5 + logits["another's map and paint"]
    assert matched > logits["another's paint"]


def test_colours_that_a_network_guesses_are_nearer_than_grey_by_less_than_half():
    rows = re.findall(r"chroma error of (.+?) +([\d.]+)", printed(PATH))
    error = {name: float(value) for name, value in rows}
    share = error["the network's guess"] / error["grey"]
    assert 0.5 < share < 1


def test_dropout_gives_far_less_variety_than_real_looks(stored):
    assert 0 < stored["dropout_over_looks"] < 0.35
