"""Games with labels or a code: each term against a value worked by hand."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import log_softmax, softplus

from gancourse import losses
from gancourse.conditional import ACGAN, ConditionalGAN, InfoGAN
from gancourse.errors import GancourseError
from gancourse.models.conditional import (
    ClassDiscriminator,
    ConcatDiscriminator,
    ConditionalGenerator,
    ProjectionDiscriminator,
)
from gancourse.models.dcgan import DCGANDiscriminator


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


class Shift(nn.Module):
    """G(z, y) = z + y, on a line."""

    latent_dim, classes = 1, 2

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, z, y):
        return z + self.scale * y[:, None]


class Agree(nn.Module):
    """D(x, y) = slope x (1 + 2 y): the label counts."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(2.0))

    def forward(self, x, y):
        return self.slope * x[:, 0] * (1 + 2 * y)


class Heads(nn.Module):
    """D(x) = (2 x, [x, -x, ...]): real or fake, and what is read off."""

    def __init__(self, extra=()):
        super().__init__()
        self.slope, self.extra = nn.Parameter(torch.tensor(2.0)), extra

    def forward(self, x):
        read = [x, -x, *(factor * x for factor in self.extra)]
        return self.slope * x[:, 0], torch.cat(read, 1)


REAL, Y = torch.tensor([[1.0], [-2.0], [0.5]]), torch.tensor([1, 0, 1])
# The loop's latents, seen from outside: one draw of (3, 1) from the same stream.
Z = torch.randn(3, 1, generator=rng())
FAKE = Z + Y[:, None]


# ------------------------------------------------------------------ pairs


def test_pairs_are_judged_with_the_labels_of_the_batch():
    game = ConditionalGAN(Shift(), Agree())
    weight = 1 + 2 * Y
    real_logits, fake_logits = 2 * REAL[:, 0] * weight, 2 * FAKE[:, 0] * weight
    d_loss, parts = game.discriminator_loss((REAL, Y), rng())
    expected = softplus(-real_logits).mean() + softplus(fake_logits).mean()
    torch.testing.assert_close(d_loss, expected)
    torch.testing.assert_close(parts["real_logit"], real_logits.mean())
    right = (real_logits > 0).float().mean() + (fake_logits < 0).float().mean()
    assert parts["accuracy"].item() == pytest.approx(right.item() / 2)
    g_loss, _ = game.generator_loss((REAL, Y), rng())
    torch.testing.assert_close(g_loss, softplus(-fake_logits).mean())


def test_another_loss_may_be_chosen_even_a_relative_one():
    game = ConditionalGAN(Shift(), Agree(), losses.relativistic)
    weight = 1 + 2 * Y
    g_loss, _ = game.generator_loss((REAL, Y), rng())
    gap = 2 * (REAL - FAKE)[:, 0] * weight
    torch.testing.assert_close(g_loss, softplus(gap).mean())


@pytest.mark.parametrize("family", [ConditionalGAN, ACGAN])
def test_in_its_move_the_discriminator_sends_no_gradient_to_the_generator(family):
    game = family(Shift(), Heads() if family is ACGAN else Agree())
    game.discriminator_loss((REAL, Y), rng())[0].backward()
    assert game.G.scale.grad is None and game.D.slope.grad is not None


# ------------------------------------------------------------------ AC-GAN: two heads


def test_the_class_head_adds_two_cross_entropies_for_d_and_one_for_g():
    game = ACGAN(Shift(), Heads(), weight=0.5)

    def cross(x):  # the second head reads (x, -x)
        both = log_softmax(torch.cat([x, -x], 1), 1)
        return -both[torch.arange(3), Y].mean()

    d_loss, parts = game.discriminator_loss((REAL, Y), rng())
    adversarial = softplus(-2 * REAL).mean() + softplus(2 * FAKE).mean()
    torch.testing.assert_close(parts["class"], cross(REAL) + cross(FAKE))
    torch.testing.assert_close(d_loss, adversarial + 0.5 * parts["class"])
    g_loss, _ = game.generator_loss((REAL, Y), rng())
    torch.testing.assert_close(g_loss, softplus(-2 * FAKE).mean() + cross(FAKE) / 2)


def test_d_may_learn_classes_from_real_pictures_alone():
    both, _ = ACGAN(Shift(), Heads()).discriminator_loss((REAL, Y), rng())
    game = ACGAN(Shift(), Heads(), on_fakes=0.0)
    alone, parts = game.discriminator_loss((REAL, Y), rng())
    cross = [
        nn.functional.cross_entropy(torch.cat([x, -x], 1), Y) for x in (REAL, FAKE)
    ]
    torch.testing.assert_close(parts["class"], cross[0])
    torch.testing.assert_close(both - alone, cross[1])
    g_loss, _ = game.generator_loss((REAL, Y), rng())  # G is told about its own
    torch.testing.assert_close(g_loss, softplus(-2 * FAKE).mean() + cross[1])


def test_both_players_descend_on_the_same_class_loss():
    # log softmax of (x, -x) at y: one sample x = 1, y = 1: log(1 + e^2)
    game = ACGAN(Shift(), Heads())
    x, y = torch.tensor([[1.0]]), torch.tensor([1])
    (_, read) = game.read(x)
    value = nn.functional.cross_entropy(read, y).item()
    assert value == pytest.approx(math.log(1 + math.exp(2)), rel=1e-6)


# ------------------------------------------------------------------ InfoGAN: a code


def test_a_guess_of_the_code_costs_cross_entropy_and_half_the_square():
    game = InfoGAN(Shift(), Heads(extra=[3.0]), continuous=1)
    guess = torch.tensor([[1.0, -1.0, 0.5]])
    cost = game.information(guess, torch.tensor([0]), torch.tensor([[2.0]]))
    expected = math.log(1 + math.exp(-2)) + (0.5 - 2.0) ** 2 / 2
    assert cost.item() == pytest.approx(expected, rel=1e-6)


def test_codes_are_uniform_standard_normal_and_the_run_s_own():
    game = InfoGAN(Shift(), Heads(extra=[3.0]), continuous=1)
    fake, c, numbers = game.coded(20_000, rng())
    # five standard errors of 20,000 fair coins, of a mean of 20,000 normal draws
    assert abs(c.float().mean() - 0.5) < 5 * 0.5 / 20_000**0.5
    assert abs(numbers.mean()) < 5 / 20_000**0.5
    torch.testing.assert_close(fake, numbers + c[:, None])
    assert torch.equal(game.coded(9, rng(3))[1], game.coded(9, rng(3))[1])


def test_both_players_are_paid_for_a_readable_code():
    game = InfoGAN(Shift(), Heads(extra=[3.0]), weight=0.5, continuous=1)
    fake, c, numbers = game.coded(3, rng())
    cost = game.information(torch.cat([fake, -fake, 3 * fake], 1), c, numbers)
    d_loss, parts = game.discriminator_loss(REAL, rng())
    torch.testing.assert_close(parts["code"], cost)
    adversarial = softplus(-2 * REAL).mean() + softplus(2 * fake).mean()
    torch.testing.assert_close(d_loss, adversarial + cost / 2)
    g_loss, _ = game.generator_loss(REAL, rng())
    torch.testing.assert_close(g_loss, softplus(-2 * fake).mean() + cost / 2)


def test_a_code_longer_than_the_latents_is_refused(assert_clear):
    with pytest.raises(GancourseError) as caught:
        InfoGAN(Shift(), Heads(), continuous=2)
    assert_clear(caught.value, "2")


# ------------------------------------------------------------------ players

TINY = dict(width=4, refine=1)


def digits(n=5):
    return torch.rand(n, 1, 28, 28, generator=rng(1)) * 2 - 1


def test_projection_is_an_inner_product_added_to_a_linear_head():
    D, x, y = ProjectionDiscriminator(**TINY).eval(), digits(), torch.arange(5)
    phi = D.phi(x)
    for i in range(5):
        by_hand = (D.psi.weight[0] + D.v.weight[y[i]]) @ phi[i] + D.psi.bias[0]
        assert D(x, y)[i].item() == pytest.approx(by_hand.item(), abs=1e-5)
    other = D(x, (y + 1) % 10) - D(x, y)
    expected = ((D.v((y + 1) % 10) - D.v(y)) * phi).sum(1)
    torch.testing.assert_close(other, expected, atol=1e-5, rtol=1e-5)


def test_concatenated_planes_are_ones_on_the_label_s_own_and_zeros_elsewhere():
    D = ConcatDiscriminator(**TINY, classes=3).eval()
    x, y = digits(2), torch.tensor([2, 0])
    planes = torch.zeros(2, 3, 28, 28)
    planes[0, 2] = planes[1, 0] = 1
    torch.testing.assert_close(D(x, y), D.net(torch.cat([x, planes], 1)))


def test_two_heads_share_the_features_and_nothing_else():
    D, x = ClassDiscriminator(**TINY, outputs=12).eval(), digits()
    real, read = D(x)
    assert real.shape == (5,) and read.shape == (5, 12)
    torch.testing.assert_close(real, D.real(D.phi(x))[:, 0])
    torch.testing.assert_close(read, D.read(D.phi(x)))


def test_a_label_in_the_generator_is_a_bias_of_its_own_in_the_first_layer():
    G = ConditionalGenerator(8, embed=4, **TINY).eval()
    z, y = torch.randn(6, 8, generator=rng()), torch.arange(6)
    W = G.net.net[0].weight
    first = z @ W[:, :8].T + G.embed(y) @ W[:, 8:].T
    torch.testing.assert_close(G(z, y), G.net.net[1:](first), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(G(z, y), G.at(z, G.embed(y)))


@pytest.mark.parametrize(
    "D", [ConcatDiscriminator, ProjectionDiscriminator, ClassDiscriminator]
)
def test_players_have_the_body_of_dcgan_s(D):
    torch.manual_seed(0)
    body = getattr(D(**TINY), "phi", None) or D(**TINY).net.net[:-1]
    plain = DCGANDiscriminator(**TINY).net[:-1]
    shapes = [[tuple(p.shape) for p in net.parameters()][1:] for net in (body, plain)]
    assert shapes[0] == shapes[1]


def test_softmax_over_one_unit_is_one_and_teaches_nothing():
    s = torch.tensor([[-3.0], [0.0], [50.0]], requires_grad=True)
    p = torch.softmax(s, 1)
    assert torch.equal(p, torch.ones(3, 1))
    (slope,) = torch.autograd.grad(-p.log().sum() - (1 - p + 1e-9).log().sum(), s)
    assert (slope == 0).all()
