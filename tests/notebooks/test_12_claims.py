"""Notebook 12's hand-written style transfer, against numbers worked out here."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import stored_run
import torch

from gancourse import data, losses, style
from gancourse.errors import GancourseError
from gancourse.models import vgg

PATH = (
    Path(__file__).resolve().parents[2] / "notebooks" / "12_gram_style_transfer.ipynb"
)


@pytest.fixture(scope="module")
def book() -> dict:
    """The functions that the notebook defines, without running the rest of it."""
    names = {"torch": torch, "losses": losses, "style": style}
    return stored_run.definitions(PATH, names)


PHOTO = data.to_unit(data.picture("aitzgorri", 64))[None]
WAVE = data.to_unit(data.picture("hokusai-great-wave", 64))[None]


def test_gram_by_hand_is_the_packages_and_keeps_the_pictures_of_a_batch_apart(book):
    torch.manual_seed(0)
    x = torch.randn(2, 5, 4, 3)
    torch.testing.assert_close(book["gram"](x), losses.gram(x))
    # C = 1, two places 1 and 3: (1 + 9) / 2
    two = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)
    assert book["gram"](two).item() == pytest.approx(5.0)


def test_relative_error_by_hand_is_a_share_of_the_target(book):
    x, target = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 4.0])
    assert book["relative_error"](x, target).item() == pytest.approx(9 / 16)


def test_gram_distance_is_mmd_with_the_quadratic_kernel(book):
    """Written with sums over pairs, on samples of different size."""
    torch.manual_seed(0)
    x, y = torch.randn(7, 3).double(), 1 + torch.randn(5, 3).double()

    def mean(a, b):
        return sum(float(u @ v) ** 2 for u in a for v in b) / len(a) / len(b)

    mmd = mean(x, x) + mean(y, y) - 2 * mean(x, y)
    maps = [s.T.reshape(1, 3, 1, -1) for s in (x, y)]
    by_gram = (3 * (book["gram"](maps[0]) - book["gram"](maps[1]))).square().sum()
    assert by_gram.item() == pytest.approx(mmd, rel=1e-10)
    # and the notebook's k is the mean of the squared products
    assert book["k"](x, y).item() == pytest.approx(mean(x, y), rel=1e-10)


def test_shuffling_keeps_every_pixel_and_every_block(book):
    rng = torch.Generator().manual_seed(0)
    image = torch.arange(3 * 8 * 12.0).view(1, 3, 8, 12)
    mixed = book["shuffled"](image, 4, rng)
    assert mixed.shape == image.shape and not torch.equal(mixed, image)
    assert torch.equal(mixed.flatten().sort()[0], image.flatten().sort()[0])
    blocks = {tuple(mixed[0, :, i : i + 4, j : j + 4].flatten().tolist())
              for i in (0, 4) for j in (0, 4, 8)}  # fmt: skip
    first = tuple(image[0, :, :4, :4].flatten().tolist())
    assert len(blocks) == 6 and first in blocks


def test_painting_by_hand_is_the_packages_step_by_step(book):
    net = style.features()
    recoloured = style.match_colours(PHOTO, WAVE)
    by_hand = [image for _, image in book["paint"](recoloured, WAVE, net, 6)]
    config = style.StyleConfig(
        size=64,
        steps=6,
        levels=1,
        optimizer="adam",
        log_every=1,
        device="cpu",
        precision="fp32",
    )
    package = [log.image for log in style.stylise(PHOTO, WAVE, config)]
    for mine, theirs in zip(by_hand, package, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=0)
    assert (by_hand[-1] - recoloured).abs().mean() > 0.02  # and it does paint


def test_style_forgets_a_move_and_a_tiling_under_circular_padding_only():
    tile = data.to_unit(data.picture("hokusai-great-wave", 96)[:, :32, :32])[None]
    error = {}
    for padding in ("circular", "zeros"):
        net = vgg.vgg16(data.asset(vgg.WEIGHTS), padding=padding).double()
        with torch.no_grad():
            base, tiled, moved = (
                net(x.double(), ["conv4_1"])["conv4_1"].float()
                for x in (tile, tile.tile(1, 1, 2, 2), tile.roll(8, -1))
            )
        error[padding] = [
            losses.relative_error(losses.gram(x), losses.gram(base)).item()
            for x in (tiled, moved)
        ]
        error[padding].append(losses.relative_error(moved, base).item())
    assert max(error["circular"][:2]) < 1e-9
    assert min(error["zeros"][:2]) > 1e-4
    assert error["circular"][2] > 0.3  # the content knows places


def test_one_target_for_both_losses_moves_nothing(book):
    """K30, with the notebook's own `slope`."""
    book["net"], book["small"] = style.features(), PHOTO
    assert book["slope"](PHOTO) < 1e-3 * book["slope"](WAVE)


def test_in_the_stored_run_lbfgs_wins_both_races_and_from_noise_by_more():
    """And the style falls far below a tenth of the photograph's (I4)."""
    stored = stored_run.metrics(PATH)
    assert stored["lbfgs_over_adam_from_noise"] < stored["lbfgs_over_adam"] < 1
    assert stored["style_share"] < 0.1 and stored["sweep_orders_kept"] == 6


def test_in_half_precision_undivided_matrices_are_lost_and_divided_ones_are_not():
    lines = re.findall(
        r"^conv\d_1, .+; not divided: (.+) infinite, minus itself (.+); "
        r"divided: (.+) infinite, minus itself (.+)$",
        stored_run.printed(PATH),
        re.MULTILINE,
    )
    assert len(lines) == 4
    for infinite, difference, left, zero in lines:
        assert int(infinite.replace(",", "")) > 0 and difference == "nan"
        assert (left, zero) == ("0", "0")


def test_a_deeper_eye_is_asked_for_in_profile_gpu_and_the_embedded_one_stands_in(
    book, capsys
):
    def nothing_there(padding):
        raise GancourseError(f"no network, no {padding}")

    book |= {"profile": "cpu", "net": "embedded", "vgg": SimpleNamespace()}
    assert book["deeper_eye"]() == "embedded"
    book |= {"profile": "gpu", "vgg": SimpleNamespace(vgg19=lambda padding: padding)}
    assert book["deeper_eye"]() == "reflect"
    book["vgg"] = SimpleNamespace(vgg19=nothing_there)
    assert book["deeper_eye"]() == "embedded"
    assert "no network" in capsys.readouterr().out


def test_one_cat_under_two_hands_is_two_pictures():
    said = re.search(
        r"after Hokusai and after van Gogh: (.+) apart", stored_run.printed(PATH)
    )
    assert float(said[1]) > 0.02
