"""Nets that paint in one pass: sizes, normalisation, and the statistics of AdaIN."""

import pytest
import torch
from torch import nn

from gancourse.errors import GancourseError
from gancourse.models.transform import AdaINDecoder, StyleNet, adain


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return StyleNet(width=4, blocks=1)


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (33, 18), (64, 41)])
def test_a_painting_has_the_size_of_its_photograph(net, size):
    painting = net(torch.rand(2, 3, *size) * 2 - 1)
    assert painting.shape == (2, 3, *size)
    assert painting.abs().max() <= 1


def test_the_part_that_padding_adds_does_not_disturb_the_rest(net):
    """A size that needs no padding is painted as the plain net paints it."""
    x = torch.rand(1, 3, 32, 48) * 2 - 1
    assert torch.equal(net(x), net.net(x))


def test_pictures_of_a_batch_do_not_see_each_other(net):
    x = torch.rand(3, 3, 20, 20) * 2 - 1
    alone = torch.cat([net(one[None]) for one in x])
    torch.testing.assert_close(net(x), alone, rtol=1e-4, atol=1e-5)


def test_contrast_of_the_photograph_is_normalised_away():
    """Instance normalisation: half the contrast gives (nearly) the same painting."""
    torch.manual_seed(0)
    net = StyleNet(width=4, blocks=1)
    nn.init.zeros_(net.net[0][0].bias)
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    plain = nn.Conv2d(3, 3, 9, padding=4, padding_mode="reflect")
    changed = (net(x) - net(x / 2)).abs().mean() / net(x).abs().mean()
    without = (plain(x) - plain(x / 2)).abs().mean() / plain(x).abs().mean()
    assert changed < 0.02 < without


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((1, 1, 32, 32), "(N, 3, H, W)"),
        ((3, 32, 32), "(N, 3, H, W)"),
        ((1, 3, 8, 32), "at least 16"),
    ],
)
def test_what_can_not_be_painted_is_named(net, shape, said, assert_clear):
    with pytest.raises(GancourseError) as caught:
        net(torch.zeros(shape))
    assert_clear(caught.value, said)


def test_adain_moves_mean_and_deviation_and_nothing_else():
    # Content 1, 3 (mean 2, deviation 1), style 0, 8 (mean 4, deviation 4): 0 and 8.
    content = torch.tensor([1.0, 3.0, 3.0, 1.0]).view(1, 1, 2, 2)
    style = torch.tensor([0.0, 8.0]).view(1, 1, 1, 2)
    expected = torch.tensor([0.0, 8.0, 8.0, 0.0]).view(1, 1, 2, 2)
    torch.testing.assert_close(adain(content, style), expected, rtol=0, atol=1e-3)
    torch.manual_seed(0)
    x, s = torch.randn(2, 5, 6, 7), 3 + 2 * torch.randn(2, 5, 9, 4)
    moved = adain(x, s)
    for statistic in (torch.mean, lambda t, d: torch.std(t, d, correction=0)):
        torch.testing.assert_close(
            statistic(moved, (2, 3)), statistic(s, (2, 3)), rtol=1e-3, atol=1e-3
        )
    torch.testing.assert_close(adain(x, x), x, rtol=1e-3, atol=1e-3)
    assert adain(torch.ones(1, 2, 3, 3), s[:1, :2]).isfinite().all()  # a flat channel


def test_the_decoder_undoes_three_poolings():
    torch.manual_seed(0)
    picture = AdaINDecoder((8, 8, 4, 4))(1000 * torch.rand(2, 512, 3, 5))
    assert picture.shape == (2, 3, 24, 40) and picture.abs().max() <= 1
    assert not any(
        isinstance(m, nn.InstanceNorm2d | nn.BatchNorm2d)
        for m in AdaINDecoder().modules()
    )


def test_decoder_of_the_embedded_size_is_small():
    assert sum(p.numel() for p in AdaINDecoder().parameters()) < 1_500_000
