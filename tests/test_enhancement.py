"""Enhancement: the net, the game, and what no net of this kind can know."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from gancourse import data, losses, pairs
from gancourse.enhancement import Enhancement
from gancourse.errors import GancourseError
from gancourse.models.superres import ResidualBlock, Restorer
from gancourse.models.unet import PatchCritic
from gancourse.training import TrainConfig, start, train


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def pictures(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


# ------------------------------------------------------------------ the net


def test_a_new_block_is_the_identity_and_learns_not_to_be():
    block, x = ResidualBlock(4), pictures(2, 4, 5, 5)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.block[2].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "scale, fold", [(2, 1), (4, 1), (1, 1), (1, 2), (1, 4), (2, 2)]
)
def test_a_new_net_is_bicubic_interpolation_and_no_more(scale, fold):
    G, x = Restorer(scale, fold, features=8, blocks=2), pictures(2, 3, 8, 12)
    out = G(x)
    assert out.shape == (2, 3, 8 * scale, 12 * scale)
    assert torch.equal(out, x if scale == 1 else pairs.upsample(x, scale))
    out.square().mean().backward()
    assert G.net[-2].weight.grad.abs().sum() > 0


def test_one_net_serves_pictures_of_every_size():
    G = Restorer(4, 1, features=4, blocks=1)
    for side in (1, 5, 40):
        assert G(pictures(1, 3, side, 7)).shape == (1, 3, 4 * side, 28)


def test_pixel_shuffle_puts_channels_side_by_side():
    # Four channels of one pixel become a 2 × 2 square.
    maps = torch.arange(4.0).view(1, 4, 1, 1)
    assert nn.functional.pixel_shuffle(maps, 2)[0, 0].tolist() == [[0, 1], [2, 3]]


def test_restored_pictures_are_pictures():
    G = Restorer(1, features=4, blocks=1)
    nn.init.constant_(G.net[-2].bias, 5.0)
    out = G.restore(pictures(1, 3, 8, 8))
    assert out.max() <= 1 and not out.requires_grad


def test_wrong_inputs_are_refused(assert_clear):
    G = Restorer(1, fold=4, features=4, blocks=1)
    with pytest.raises(GancourseError) as caught:
        G(pictures(1, 3, 30, 32))
    assert_clear(caught.value, "4", "30")
    with pytest.raises(GancourseError) as caught:
        G(pictures(1, 1, 32, 32))
    assert_clear(caught.value, "restorer", "3")


# ------------------------------------------------------------------ the game


class Add(nn.Module):
    """G(x) = x + shift."""

    def __init__(self, shift):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, x):
        return x + self.shift


class Mean(nn.Module):
    """D(x) = slope · the mean of a picture, a map of one logit."""

    in_channels = 3

    def __init__(self, slope=2.0):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, x):
        return self.slope * x.mean((1, 2, 3), keepdim=True)


DAMAGED = torch.full((2, 3, 4, 4), 0.5)
ORIGINAL = torch.stack([torch.full((3, 4, 4), 0.25), torch.full((3, 4, 4), -0.5)])


def softplus(s):
    return math.log1p(math.exp(s))


def test_both_losses_are_the_formula():
    # Restored: 0.6; distances to 0.25 and -0.5 are 0.35 and 1.1, mean 0.725.
    # Logits: fake 1.2 twice, real 0.5 and -1.
    game = Enhancement(Add(0.1), Mean(), pixel=3.0, adversarial=0.5)
    d_loss, parts = game.discriminator_loss((DAMAGED, ORIGINAL), None)
    expected = (softplus(-0.5) + softplus(1)) / 2 + softplus(1.2)
    assert d_loss.item() == pytest.approx(expected, rel=1e-5)
    assert parts["real_logit"].item() == pytest.approx(-0.25)
    assert parts["fake_logit"].item() == pytest.approx(1.2)
    g_loss, parts = game.generator_loss((DAMAGED, ORIGINAL), None)
    assert parts["pixel"].item() == pytest.approx(0.725, rel=1e-5)
    assert parts["adversarial"].item() == pytest.approx(softplus(-1.2), rel=1e-5)
    assert g_loss.item() == pytest.approx(3 * 0.725 + 0.5 * softplus(-1.2), rel=1e-5)


def test_a_relativistic_critic_is_shown_the_originals():
    game = Enhancement(Add(0.1), Mean(), 0.0, 1.0, losses.relativistic)
    g_loss, _ = game.generator_loss((DAMAGED, ORIGINAL), None)
    expected = (softplus(0.5 - 1.2) + softplus(-1 - 1.2)) / 2
    assert g_loss.item() == pytest.approx(expected, rel=1e-5)


def test_each_player_s_move_reaches_its_own_weights():
    game = Enhancement(Add(0.1), Mean())
    game.discriminator_loss((DAMAGED, ORIGINAL), None)[0].backward()
    assert game.G.shift.grad is None and game.D.slope.grad is not None


@pytest.mark.parametrize("pixel, adversarial", [(1.0, 0.0), (0.0, 1.0)])
def test_a_weight_of_0_takes_its_gradient_away(pixel, adversarial):
    def gradient(pixel, adversarial):
        game = Enhancement(Add(0.1), Mean(), pixel, adversarial)
        game.generator_loss((DAMAGED, ORIGINAL), None)[0].backward()
        return game.G.shift.grad.item()

    # d/dshift of L1 is 1; of softplus(-2 (0.5 + shift)) it is -2 sigmoid(-1.2).
    alone = pixel * 1.0 - adversarial * 2 / (1 + math.exp(1.2))
    assert gradient(pixel, adversarial) == pytest.approx(alone, rel=1e-5)


def test_without_a_critic_it_is_a_game_of_one_player():
    game = Enhancement(Add(0.1), pixel=2.0)
    assert game.discriminators == {} and set(game.generators) == {"G"}
    g_loss, _ = game.generator_loss((DAMAGED, ORIGINAL), None)
    assert g_loss.item() == pytest.approx(2 * 0.725, rel=1e-5)


def test_a_game_of_nothing_is_refused(assert_clear):
    with pytest.raises(GancourseError) as caught:
        Enhancement(Add(0.1), pixel=0.0)
    assert_clear(caught.value, "pixel", "D")


def test_no_noise_is_drawn():
    rng = torch.Generator().manual_seed(3)
    before = rng.get_state()
    game = Enhancement(Add(0.1), Mean())
    game.discriminator_loss((DAMAGED, ORIGINAL), rng)
    game.generator_loss((DAMAGED, ORIGINAL), rng)
    assert torch.equal(rng.get_state(), before)


# ------------------------------------------------------------------ what it learns


def fit(both, loss_power, G, steps=150, rate=2e-2):
    """G trained on the pairs with |error|^power, in plain torch."""
    opt = torch.optim.Adam(G.parameters(), rate)
    for _ in range(steps):
        loss = (G(both[0]) - both[1]).abs().pow(loss_power).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
    return G


def test_two_originals_with_one_damaged_picture_get_one_answer():
    # A checkerboard and its negative have the same 2 × 2 means.
    board = torch.ones(1, 3, 16, 16)
    board[..., ::2, 1::2] = board[..., 1::2, ::2] = -1
    originals = torch.cat([board, -board])
    damaged = interpolate(originals, scale_factor=0.5, mode="area")
    assert torch.equal(damaged[0], damaged[1])
    G = fit((damaged, originals), 2, Restorer(2, 1, features=8, blocks=1))
    with torch.no_grad():
        answers = G(damaged)
    assert torch.equal(answers[0], answers[1])
    # No answer does better than 1 on [-1, 1] (0.25 on [0, 1]): grey, the mean.
    error = (answers - originals).square().mean().item()
    assert error == pytest.approx(1.0, abs=1e-2) and error > 1 - 1e-6
    assert answers.abs().mean() < 0.1


def test_a_few_steps_of_regression_beat_bicubic_on_the_pictures_trained_on():
    some = tuple(part[::200][:64] for part in pairs.pairs("x4", "train", 32))
    G = Restorer(4, 1, features=16, blocks=2)
    config = TrainConfig(
        steps=200, batch_size=16, g_lr=2e-3, ema=0, device="cpu", precision="fp32"
    )
    state = start(Enhancement(G), config)
    for _ in train(state, data.batches(some, 16, 0)):
        pass
    damaged, originals = (data.to_unit(part) for part in some)
    learned = (G.restore(damaged) - originals).abs().mean()
    bicubic = (pairs.upsample(damaged, 4) - originals).abs().mean()
    assert learned < 0.97 * bicubic


def test_training_on_folded_pictures_moves_both_players():
    some = tuple(part[:32] for part in pairs.pairs("noise", "train", 32))
    G = Restorer(1, fold=2, features=8, blocks=1)
    D = PatchCritic(3, 8, 1, norm=False)
    before = [p.detach().clone() for p in (*G.parameters(), *D.parameters())]
    config = TrainConfig(steps=3, batch_size=8, device="cpu", precision="fp32")
    state = start(Enhancement(G, D), config)
    (log,) = train(state, data.batches(some, 8, 0))
    assert log.parts.keys() == {"real_logit", "fake_logit", "pixel", "adversarial"}
    after = [*G.parameters(), *D.parameters()]
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert all(moved[-len(list(D.parameters())) :]) and sum(moved) > len(moved) / 2
