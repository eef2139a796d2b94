"""Notebook 13: what it writes by hand, and what its stored run says it measured."""

import json
import re
from pathlib import Path

import pytest
import stored_run
import torch
from torch import nn

from gancourse import data, fast_style, stylers
from gancourse.models import transform, unet

PATH = (
    Path(__file__).resolve().parents[2]
    / "notebooks"
    / "13_fast_and_adversarial_style.ipynb"
)
CELLS = json.loads(PATH.read_text(encoding="utf-8"))["cells"]


@pytest.fixture(scope="module")
def book() -> dict:
    """The functions and classes that the notebook defines, the rest of it not run."""
    names = {"torch": torch, "nn": nn, "data": data}
    return stored_run.definitions(PATH, names)


@pytest.fixture(scope="module")
def stored() -> dict:
    """The metrics of the stored run."""
    return stored_run.metrics(PATH)


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


# ------------------------------------------------------------------ by hand


@pytest.mark.parametrize(("width", "blocks"), [(4, 1), (8, 3)])
def test_the_net_by_hand_is_the_packages_from_one_seed(book, width, blocks):
    torch.manual_seed(3)
    mine = book["painter"](width, blocks)
    torch.manual_seed(3)
    theirs = transform.StyleNet(width, blocks)
    x = pictures(2, 3, 32, 48)
    torch.testing.assert_close(mine(x), theirs(x))
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_terms_by_hand_are_the_games(book):
    book["relative_error"], net = book["relative_error"], fast_style.features()
    fake, photos, painting = pictures(2, 3, 32, 32), -pictures(2, 3, 32, 32), None
    painting = pictures(1, 3, 40, 32).flip(-1)
    by_hand = book["terms"](fake, photos, painting, net)
    package = fast_style.Eye(painting)(fake, photos, ["content", "style", "tv"])
    for name, value in package.items():
        torch.testing.assert_close(by_hand[name], value, rtol=1e-4, atol=1e-5)


def test_adain_by_hand_is_the_packages(book):
    c, s = pictures(2, 5, 6, 7), 3 + 2 * pictures(2, 5, 9, 4)
    torch.testing.assert_close(book["adain"](c, s), transform.adain(c, s))


def test_the_critics_loss_by_hand_asks_nothing_of_the_generator(book):
    fake, crops = pictures(2, 3, 32, 32).requires_grad_(), -pictures(2, 3, 32, 32)
    D = unet.PatchCritic(3, 4, 1, norm=False)
    book["critics_loss"](fake, crops, D).backward()
    assert fake.grad is None
    assert all(p.grad is not None for p in D.parameters())


def test_remembered_statistics_are_those_of_one_photograph(book):
    """On that photograph the twin paints the same; on a dimmer one it does not."""
    torch.manual_seed(0)
    G = transform.StyleNet(4, 1)
    torch.manual_seed(0)
    twin = book["remembering"](transform.StyleNet(4, 1), pictures(1, 3, 64, 64))
    bright = pictures(1, 3, 64, 64)
    with torch.no_grad():
        same = (G(bright) - twin(bright)).abs().mean()
        dim = [(net(bright / 2) - net(bright)).abs().mean() for net in (G, twin)]
    assert same < 0.01 and 100 * dim[0] < dim[1]


def test_flicker_is_nothing_for_a_net_that_shifts_with_its_picture(book):
    """A blur shifts with its picture; a coarse grid of four does so every four."""
    blur = nn.AvgPool2d(3, 1, 1)

    def coarse(x):
        small = nn.functional.avg_pool2d(x[..., : x.shape[3] // 4 * 4], 4)
        return nn.functional.interpolate(small, x.shape[2:])

    picture = pictures(1, 3, 16, 112)
    assert max(book["flicker"](blur, picture, [1, 2, 3, 4])) < 1e-6
    found = book["flicker"](coarse, picture, [1, 2, 3, 4])
    assert found[3] < 1e-6 < 0.01 < min(found[:3])


# ------------------------------------------------------------------ the stored run


def test_one_pass_saves_a_hundredfold_at_the_nets_own_loss(stored):
    assert stored["speed_up_flops"] >= 100
    assert stored["speed_up_flops_to_the_end"] >= stored["speed_up_flops"]


def test_half_the_contrast_changes_nothing_but_for_remembered_statistics(stored):
    assert stored["contrast_instance_norm"] < 0.05
    assert stored["contrast_remembered"] > 5 * stored["contrast_instance_norm"]


def test_what_is_written_by_hand_is_what_the_package_computes(stored):
    for name in ("net", "loss", "adain", "adversarial"):
        assert stored[f"{name}_difference"] < 1e-4
    assert stored["zero_weight_error"] < 1e-4


def test_both_pupils_learned(stored):
    assert stored["live_style_beginner"] < 0.2
    assert stored["live_style_retrained"] < 1


def test_a_shift_by_the_stride_changes_less_than_another(stored):
    assert stored["shift_by_stride_over_other"] < 0.8


def test_the_paintings_put_aside_are_shown_and_were_never_learned_from():
    text = "\n".join("".join(cell["source"]) for cell in CELLS)
    assert "stylers.UNSEEN" in text
    assert not set(stylers.UNSEEN) & set(stylers.PAINTERS)


def test_content_style_and_adversary_were_trained_in_one_sum():
    said = stored_run.printed(PATH)
    terms = re.search(
        r"^last batch: content (.+) style (.+) adversarial (.+)$", said, re.M
    )
    assert all(float(value) > 0 for value in terms.groups())
    found = re.findall(
        r"^(?:then )?by (.+): style (.+) of the .+, content (.+)$", said, re.M
    )
    style, content = ({name: float(row[k]) for name, *row in found} for k in (0, 1))
    gram, critic, both = "Gram matrices", "a critic", "both"
    assert style[gram] < style[both] < style[critic]  # as the text says
    assert max(content, key=content.get) == both
