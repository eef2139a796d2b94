"""The game: who minimises what, on which samples, seen through which augmentation."""

from functools import partial

import pytest
import torch
from torch import nn

from gancourse import losses
from gancourse.errors import GancourseError
from gancourse.games import GAN, diff_augment, latents, side_mask


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


class Shift(nn.Module):
    """G(z) = z + shift, on a line."""

    latent_dim = 1

    def __init__(self, shift=3.0):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, z):
        return z + self.shift


class Slope(nn.Module):
    """D(x) = slope x, logits of shape (N,) or (N, 1)."""

    def __init__(self, slope=2.0, column=False):
        super().__init__()
        self.slope, self.column = nn.Parameter(torch.tensor(slope)), column

    def forward(self, x):
        return self.slope * (x if self.column else x[:, 0])


REAL = torch.tensor([[1.0], [-2.0], [0.5]])


def test_latents_are_standard_normal_and_come_from_the_stream_alone():
    z = latents(50_000, 3, rng())
    assert z.shape == (50_000, 3)
    # five standard errors of a mean and of a variance of 50,000 normal draws
    assert (z.mean(0).abs() < 5 / 50_000**0.5).all()
    assert ((z.var(0) - 1).abs() < 5 * (2 / 50_000) ** 0.5).all()
    assert torch.equal(latents(4, 2, rng(7)), latents(4, 2, rng(7)))


@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize(
    "name", ["minimax", "nonsaturating", "least_squares", "hinge", "wasserstein"]
)
def test_both_losses_equal_the_formula_on_the_same_samples(name, column):
    loss = getattr(losses, name)
    game = GAN(Shift(), Slope(column=column), loss)
    fake = latents(3, 1, rng()) + 3
    d_loss, parts = game.discriminator_loss(REAL, rng())
    real_logits, fake_logits = 2 * REAL[:, 0], 2 * fake[:, 0]
    expected = loss.discriminator(real_logits, fake_logits)
    torch.testing.assert_close(d_loss, expected)
    assert parts["real_logit"].item() == pytest.approx(real_logits.mean().item())
    assert parts["fake_logit"].item() == pytest.approx(fake_logits.mean().item())
    g_loss, _ = game.generator_loss(REAL, rng())
    torch.testing.assert_close(g_loss, loss.generator(real_logits, fake_logits))


def test_the_relativistic_generator_is_shown_the_real_batch():
    game = GAN(Shift(), Slope(), losses.relativistic)
    fake_logits = 2 * (latents(3, 1, rng()) + 3)[:, 0]
    g_loss, _ = game.generator_loss(REAL, rng())
    expected = losses.relativistic.generator(2 * REAL[:, 0], fake_logits)
    torch.testing.assert_close(g_loss, expected)
    other, _ = game.generator_loss(REAL + 1, rng())
    assert other.item() != g_loss.item()


def test_in_its_move_the_discriminator_sends_no_gradient_to_the_generator():
    game = GAN(Shift(), Slope())
    d_loss, _ = game.discriminator_loss(REAL, rng())
    d_loss.backward()
    assert game.G.shift.grad is None and game.D.slope.grad is not None


def test_in_its_move_the_generator_s_gradient_has_the_closed_form():
    # d/dshift of mean softplus(-2 (z + shift)) = -2 mean sigmoid(-2 (z + shift))
    game = GAN(Shift(), Slope())
    g_loss, _ = game.generator_loss(REAL, rng())
    g_loss.backward()
    expected = -2 * torch.sigmoid(-2 * (latents(3, 1, rng()) + 3)).mean()
    torch.testing.assert_close(game.G.shift.grad, expected)


def test_accuracy_counts_right_sides_of_zero():
    # D(x) = 2x calls 1 and 0.5 real, -2 fake; and every z - 9 fake.
    _, parts = GAN(Shift(-9.0), Slope()).discriminator_loss(REAL, rng())
    assert parts["accuracy"].item() == pytest.approx((2 / 3 + 1) / 2)
    _, parts = GAN(Shift(9.0), Slope()).discriminator_loss(REAL, rng())
    assert parts["accuracy"].item() == pytest.approx((2 / 3 + 0) / 2)


def test_a_penalty_is_added_once_and_reported():
    plain, _ = GAN(Shift(), Slope()).discriminator_loss(REAL, rng())
    penalised = GAN(Shift(), Slope(), penalty=partial(losses.r1, gamma=0.5))
    d_loss, parts = penalised.discriminator_loss(REAL, rng())
    # |grad D|² = slope² = 4 everywhere, half of gamma = 0.25
    assert parts["penalty"].item() == pytest.approx(1.0)
    assert d_loss.item() == pytest.approx(plain.item() + 1.0)


def test_the_discriminator_sees_real_and_fake_through_the_augmentation():
    seen = []

    def spy(x, stream):
        seen.append(x)
        return x * 0

    game = GAN(Shift(), Slope(), augment=spy)
    d_loss, _ = game.discriminator_loss(REAL, rng())
    assert len(seen) == 2 and seen[0] is REAL
    assert d_loss.item() == pytest.approx(2 * 0.693147, abs=1e-5)  # all logits are 0
    game.generator_loss(REAL, rng())
    assert len(seen) == 3 and seen[2].requires_grad


def test_logits_are_taken_to_32_bits_before_the_loss():
    game = GAN(Shift(), Slope().to(torch.bfloat16))
    d_loss, _ = game.discriminator_loss(REAL.to(torch.bfloat16), rng())
    assert d_loss.dtype == torch.float32


def test_players_are_named_by_the_game():
    game = GAN(Shift(), Slope())
    assert game.generators == {"G": game.G} and game.discriminators == {"D": game.D}


def test_a_generator_that_hides_its_latents_is_refused(assert_clear):
    with pytest.raises(GancourseError) as caught:
        GAN(nn.Linear(1, 1), Slope())
    assert_clear(caught.value, "Linear", "latent_dim")


# ------------------------------------------------------------------ augmentation

IMAGES = torch.rand(64, 2, 28, 28, generator=rng(3)) * 0.8 + 0.1  # never -1


def test_augmented_images_keep_their_shape_range_and_background():
    x = diff_augment(IMAGES, rng())
    assert x.shape == IMAGES.shape and x.dtype == IMAGES.dtype
    blank = torch.full_like(IMAGES, -1.0)
    assert torch.equal(diff_augment(blank, rng()), blank)


def test_an_augmented_image_is_the_image_moved_and_holed():
    pad = round(0.125 * 28)
    for image, moved in zip(IMAGES, diff_augment(IMAGES, rng()), strict=True):
        kept = moved[0] != -1
        matches = 0
        for dy in range(-pad, pad + 1):
            for dx in range(-pad, pad + 1):
                shifted = nn.functional.pad(image, [pad] * 4, value=-1.0)
                shifted = shifted[:, pad + dy : pad + dy + 28, pad + dx : pad + dx + 28]
                same = torch.equal(moved[:, kept], shifted[:, kept])
                matches += same and kept.sum() > 300
        assert matches == 1


def test_every_sample_gets_a_draw_of_its_own_and_its_channels_share_it():
    same = IMAGES[:1].expand(64, -1, -1, -1)
    x = diff_augment(same, rng())
    assert len({bytes(image.numpy().tobytes()) for image in x}) > 55
    assert torch.equal(x[:, 0] == -1, x[:, 1] == -1)


def test_a_hole_is_a_quarter_of_the_side_wide():
    wide = side_mask(torch.tensor([[14], [0], [27]]), 28)
    assert wide.sum(1).tolist() == [7, 4, 4]
    assert wide[0].nonzero().flatten().tolist() == list(range(11, 18))


def test_gradients_flow_through_the_pixels_that_are_left():
    x = IMAGES.clone().requires_grad_()
    y = diff_augment(x, rng())
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert set(slope.unique().tolist()) == {0.0, 1.0}
    assert slope.sum() == (y != -1).sum()


def test_augmentation_depends_on_its_stream_alone():
    torch.manual_seed(1)
    one = diff_augment(IMAGES, rng(5))
    torch.manual_seed(2)
    assert torch.equal(one, diff_augment(IMAGES, rng(5)))
    assert not torch.equal(one, diff_augment(IMAGES, rng(6)))


def test_real_and_fake_are_moved_by_one_law():
    # The mean over many draws does not depend on what the image is: apart from the
    # border every pixel is as often covered.
    ones = torch.ones(4000, 1, 28, 28)
    cover = (diff_augment(ones, rng()) != -1).float().mean(0)[0]
    inside = cover[8:20, 8:20]
    # a hole covers 49/784 of the places: five standard errors of 4,000 draws
    assert (inside - (1 - 49 / 784)).abs().max() < 5 * (0.0586 / 4000) ** 0.5


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (64, 48), (8, 8)])
def test_images_of_any_size_are_augmented(size):
    x = torch.zeros(3, 3, *size)
    assert diff_augment(x, rng()).shape == x.shape
