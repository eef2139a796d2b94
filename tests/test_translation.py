"""pix2pix: what each player minimises on pairs, by numbers worked out by hand."""

import math

import pytest
import torch
from small_games import pix2pix
from torch import nn

from gancourse import losses
from gancourse.errors import GancourseError
from gancourse.games import Pix2Pix


class Add(nn.Module):
    """G(x) = x + shift."""

    def __init__(self, shift=0.5):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, x):
        return x + self.shift


class Judge(nn.Module):
    """D(x, y) = slope (y − 2 x): it looks at both halves of what it is given."""

    def __init__(self, slope=3.0):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, both):
        condition, picture = both.chunk(2, 1)
        return self.slope * (picture - 2 * condition)


# One pixel: x = 1, y = 1.2, G(x) = 1.5. D(x, y) = −2.4, D(x, G(x)) = −1.5.
PAIR = (torch.full((1, 1, 1, 1), 1.0), torch.full((1, 1, 1, 1), 1.2))


def softplus(s):
    return math.log1p(math.exp(s))


def test_both_losses_are_the_paper_s_on_one_pixel_worked_by_hand():
    game = Pix2Pix(Add(), Judge(), gan=1.0, l1=100.0)
    d_loss, parts = game.discriminator_loss(PAIR, None)
    assert d_loss.item() == pytest.approx(softplus(2.4) + softplus(-1.5), rel=1e-6)
    assert parts["real_logit"].item() == pytest.approx(-2.4)
    assert parts["fake_logit"].item() == pytest.approx(-1.5)
    assert parts["accuracy"].item() == 0.5  # the fake is found out, the real is not
    g_loss, parts = game.generator_loss(PAIR, None)
    assert parts["l1"].item() == pytest.approx(0.3, rel=1e-6)
    assert parts["gan"].item() == pytest.approx(softplus(1.5), rel=1e-6)
    assert g_loss.item() == pytest.approx(softplus(1.5) + 30, rel=1e-6)


@pytest.mark.parametrize(
    ("gan", "l1", "slope"),
    # d/dshift: −gan · sigmoid(1.5) · 3 from D, +l1 · sign(1.5 − 1.2) from L1
    [(1.0, 0.0, -3 / (1 + math.exp(-1.5))), (0.0, 7.0, 7.0)],
)
def test_a_weight_of_zero_removes_its_gradient(gan, l1, slope):
    G = Add()
    game = Pix2Pix(G, Judge() if gan else None, gan=gan, l1=l1)
    game.generator_loss(PAIR, None)[0].backward()
    assert G.shift.grad.item() == pytest.approx(slope, rel=1e-5)


def test_the_discriminator_s_loss_moves_no_generator():
    game = Pix2Pix(Add(), Judge())
    game.discriminator_loss(PAIR, None)[0].backward()
    assert game.G.shift.grad is None
    # d/dslope of softplus(0.8 s) + softplus(−0.5 s) at s = 3
    expected = 0.8 / (1 + math.exp(-2.4)) - 0.5 / (1 + math.exp(1.5))
    assert game.D.slope.grad.item() == pytest.approx(expected, rel=1e-5)


def test_the_condition_counts_shuffled_pairs_change_what_d_says():
    game = Pix2Pix(Add(), Judge())
    x, y = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1), torch.tensor([0.5, 1.2])
    y = y.view(2, 1, 1, 1)
    matched, _ = game.discriminator_loss((x, y), None)
    shuffled, _ = game.discriminator_loss((x, y.flip(0)), None)
    assert abs(matched - shuffled) > 0.01


def test_the_relativistic_generator_is_shown_the_real_pair():
    game = Pix2Pix(Add(), Judge(), losses.relativistic, l1=0.0)
    g_loss, _ = game.generator_loss(PAIR, None)
    assert g_loss.item() == pytest.approx(softplus(-2.4 + 1.5), rel=1e-6)


@pytest.mark.parametrize(
    ("D", "gan", "l1"),
    [(None, 1.0, 1.0), (Judge(), 0.0, 1.0), (None, 0.0, 0.0), (Judge(), 1.0, -1.0)],
)
def test_weights_and_players_that_do_not_fit_are_refused(D, gan, l1, assert_clear):
    with pytest.raises(GancourseError) as caught:
        Pix2Pix(Add(), D, gan=gan, l1=l1)
    assert_clear(caught.value, f"gan={gan}")


def test_dropout_is_the_generator_s_noise_in_training_and_gone_in_sampling():
    from gancourse.training import TrainConfig, start

    torch.manual_seed(0)
    state = start(pix2pix(), TrainConfig(device="cpu", precision="fp32"))
    x = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    assert torch.equal(state.sample(x), state.sample(x))
    with torch.no_grad():
        assert (state.game.G(x) != state.game.G(x)).any()
