"""AE, VAE and VAE-GAN: each equation against quadrature or a case solved by hand."""

import math

import pytest
import torch
from torch import nn

from gancourse import latent
from gancourse.errors import GancourseError
from gancourse.models.dcgan import DCGANDiscriminator, parameters
from gancourse.models.vae import Decoder, Encoder
from gancourse.training import TrainConfig, start, train


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed))


class Linear(nn.Module):
    """z (N, 1) to slope z, (N, 1): the decoder of a model that can be solved."""

    def __init__(self, slope, latent_dim=1):
        super().__init__()
        self.slope, self.latent_dim = nn.Parameter(torch.tensor(slope)), latent_dim

    def forward(self, z):
        return self.slope * z


class Posterior(nn.Module):
    """x (N, 1) to mean slope x and log-variance of q(z|x), (N, 2)."""

    def __init__(self, slope, log_variance):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))
        self.log_variance = nn.Parameter(torch.tensor(log_variance))

    def forward(self, x):
        return torch.cat([self.slope * x, self.log_variance.expand_as(x)], 1)


SLOPE, SIGMA = 2.0, 0.5
# z ~ N(0, 1), x | z ~ N(2 z, 0.25): x ~ N(0, 4.25), z | x ~ N(2 x / 4.25, 0.25 / 4.25)
VARIANCE = SLOPE**2 + SIGMA**2


def exact(slope=SLOPE / VARIANCE, variance=SIGMA**2 / VARIANCE):
    return Posterior(slope, math.log(variance)), Linear(SLOPE)


# ------------------------------------------------------------------ the equations


def test_kl_is_the_integral_it_abbreviates():
    mean, log_variance = torch.tensor([0.7, -1.5]), torch.tensor([-1.2, 0.4])
    z = torch.linspace(-15, 15, 60_001, dtype=torch.float64)
    total = 0.0
    for m, v in zip(mean.double(), log_variance.double(), strict=True):
        log_q = -((z - m) ** 2 / v.exp() + v + math.log(2 * math.pi)) / 2
        log_p = -(z**2 + math.log(2 * math.pi)) / 2
        total += torch.trapezoid(log_q.exp() * (log_q - log_p), z).item()
    kl = latent.kl_to_prior(mean[None], log_variance[None])
    assert kl.shape == (1,) and kl.item() == pytest.approx(total, rel=1e-6)
    assert total > 1  # and not the zero that q = p would give


def test_kl_is_zero_for_the_prior_alone():
    zero = torch.zeros(1, 3)
    assert latent.kl_to_prior(zero, zero).item() == 0
    assert latent.kl_to_prior(zero + 1, zero).item() == pytest.approx(1.5)
    # one dimension of variance 4: (4 - 1 - log 4) / 2
    wide = torch.tensor([[math.log(4.0), 0.0, 0.0]])
    assert latent.kl_to_prior(zero, wide).item() == pytest.approx((3 - math.log(4)) / 2)


def test_log_normal_is_torchs():
    x, mean = normal(3, 1, 2, 2), normal(3, 1, 2, 2, seed=1)
    law = torch.distributions.Normal(mean, 0.25)
    found = latent.log_normal(x, mean, 2 * math.log(0.25))
    assert torch.allclose(found, law.log_prob(x).sum((1, 2, 3)), atol=1e-3)
    spread = normal(3, 1, 2, 2, seed=2)
    law = torch.distributions.Normal(mean, (spread / 2).exp())
    found = latent.log_normal(x, mean, spread)
    assert torch.allclose(found, law.log_prob(x).sum((1, 2, 3)), atol=1e-4)


def test_reparameterised_latents_have_their_law_and_pass_gradients():
    mean = torch.tensor([[1.0, -2.0]]).repeat(40_000, 1).requires_grad_()
    log_variance = torch.tensor([[0.0, math.log(4.0)]]).repeat(40_000, 1)
    log_variance.requires_grad_()
    z = latent.reparameterised(mean, log_variance, rng())
    assert z.mean(0).tolist() == pytest.approx([1, -2], abs=0.04)
    assert z.std(0).tolist() == pytest.approx([1, 2], rel=0.02)
    assert torch.corrcoef(z.T)[0, 1].abs() < 0.02
    # d/d variance of E z² is 1: log-variance gets E z eps std / 2 · 2 = variance
    z.square().mean(0).sum().backward()
    assert mean.grad.sum(0).tolist() == pytest.approx([2, -4], abs=0.1)
    assert log_variance.grad.sum(0).tolist() == pytest.approx([1, 4], rel=0.05)


# ------------------------------------------------------------------ the bound


def likelihood(x):
    """log p(x) of the linear model, in closed form, (N,)."""
    return latent.log_normal(x, 0.0, math.log(VARIANCE))


def test_with_the_exact_posterior_every_bound_is_the_likelihood():
    x = normal(200, 1) * VARIANCE**0.5
    for samples in (1, 7):
        found = latent.bound(*exact(), x, SIGMA, rng(1), samples)
        assert torch.allclose(found, likelihood(x), atol=1e-4)


@pytest.mark.parametrize("slope, variance", [(0.1, 0.06), (0.47, 0.3), (0.6, 0.02)])
def test_elbo_lies_below_the_likelihood_by_the_kl_between_posteriors(slope, variance):
    x = normal(2_000, 1) * VARIANCE**0.5
    E, G = exact(slope, variance)
    true_mean, true_variance = SLOPE * x / VARIANCE, SIGMA**2 / VARIANCE
    ratio = variance / true_variance
    gap = (
        ratio - 1 - math.log(ratio) + (slope * x - true_mean) ** 2 / true_variance
    ) / 2
    game = latent.VAE(E, G, SIGMA)
    draws = torch.stack([-game.negative_elbo(x, rng(k))[0] for k in range(1, 41)])
    assert gap.mean() > 0.05
    expected = likelihood(x).mean() - gap.mean()
    assert draws.mean().item() == pytest.approx(expected.item(), abs=0.03)


def test_more_samples_bring_the_bound_closer_and_never_above():
    x = normal(3_000, 1) * VARIANCE**0.5
    E, G = exact(0.47, 0.3)
    found = [
        latent.bound(E, G, x, SIGMA, rng(1), samples).mean().item()
        for samples in (1, 5, 50)
    ]
    truth = likelihood(x).mean().item()
    assert found[0] < found[1] < found[2] < truth + 0.02
    assert truth - found[2] < 0.1 * (truth - found[0])


def test_training_finds_the_solution_of_the_linear_model():
    # Data N(0, 4.25): with sigma 0.5 the best slope is ±2, the best encoder exact.
    torch.manual_seed(0)
    x = normal(4_096, 1) * VARIANCE**0.5
    game = latent.VAE(Posterior(0.1, -1.0), Linear(0.5), SIGMA)
    config = TrainConfig(
        steps=800, g_lr=0.03, decay=0.5, batch_size=256, device="cpu",
        precision="fp32", betas=(0.9, 0.999),
    )  # fmt: skip
    batches = [x[k * 256 : (k + 1) * 256] for k in range(16)] * 50
    list(train(start(game, config), batches))
    assert game.G.slope.abs().item() == pytest.approx(2, rel=0.05)
    assert game.E.slope.abs().item() == pytest.approx(2 / VARIANCE, rel=0.06)
    assert game.E.log_variance.exp().item() == pytest.approx(0.25 / 4.25, rel=0.2)


# ------------------------------------------------------------------ the games


def test_the_autoencoder_minimises_the_squared_error_and_draws_nothing():
    # E(x) = x / 4, G(z) = 2 z
    x = torch.tensor([[1.0], [3.0]])
    game = latent.AutoEncoder(Linear(0.25), Linear(2.0))
    stream = rng()
    before = stream.get_state()
    loss, parts = game.generator_loss(x, stream)
    assert loss.item() == pytest.approx((0.25 * 1 + 0.25 * 9) / 2)
    assert parts["error"].item() == loss.item()
    assert torch.equal(stream.get_state(), before)


def test_the_vae_loss_is_reconstruction_plus_kl():
    game, x = latent.VAE(*exact(0.4, 0.3), SIGMA), normal(50, 1)
    loss, parts = game.generator_loss(x, rng(3))
    z = 0.4 * x + 0.3**0.5 * torch.randn(50, 1, generator=rng(3))
    error = (SLOPE * z - x).square().mean()
    kl = ((0.4 * x) ** 2 + 0.3 - 1 - math.log(0.3)).mean() / 2
    rec = error / (2 * SIGMA**2) + math.log(SIGMA) + math.log(2 * math.pi) / 2
    assert parts["error"].item() == pytest.approx(error.item(), rel=1e-5)
    assert parts["kl"].item() == pytest.approx(kl.item(), rel=1e-5)
    assert loss.item() == pytest.approx((rec + kl).item(), rel=1e-5)
    assert parts["elbo"].item() == pytest.approx(-loss.item(), rel=1e-6)


class Judge(nn.Module):
    """x (N, 1) to logits 3 x, (N,)."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        return self.slope * x.squeeze(1)


def test_the_bridge_adds_the_critic_of_reconstructions_and_samples():
    x = normal(20, 1)
    plain = latent.VAE(*exact(0.4, 0.3), SIGMA)
    game = latent.VAEGAN(*exact(0.4, 0.3), Judge(), SIGMA, adversarial=7.0)
    alone, _, restored = plain.negative_elbo(x, rng(3))
    loss, parts = game.generator_loss(x, rng(3))
    stream = rng(3)
    torch.randn(20, 1, generator=stream)  # the draw of the reconstruction
    drawn = SLOPE * torch.randn(20, 1, generator=stream)
    softplus = nn.functional.softplus
    fooling = softplus(-3 * torch.cat([restored, drawn])).mean()
    assert parts["gan"].item() == pytest.approx(fooling.item(), rel=1e-5)
    assert loss.item() == pytest.approx((alone + 7 * fooling).item(), rel=1e-5)
    d_loss, _ = game.discriminator_loss(x, rng(3))
    fakes = softplus(3 * torch.cat([restored, drawn])).mean()
    assert d_loss.item() == pytest.approx(
        (softplus(-3 * x).mean() + fakes).item(), rel=1e-5
    )


def test_without_adversarial_weight_the_bridge_is_the_vae():
    x = normal(20, 1)
    game = latent.VAEGAN(*exact(0.4, 0.3), Judge(), SIGMA, adversarial=0.0)
    loss, _ = game.generator_loss(x, rng(3))
    alone, _ = latent.VAE(*exact(0.4, 0.3), SIGMA).generator_loss(x, rng(3))
    assert loss.item() == alone.item()


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan")])
def test_a_likelihood_without_width_is_refused(sigma):
    with pytest.raises(GancourseError, match="sigma"):
        latent.VAE(*exact(), sigma)


# ------------------------------------------------------------------ the networks


@pytest.mark.parametrize("size, channels", [(28, 1), (64, 3)])
def test_the_encoder_is_the_discriminator_with_another_head(size, channels):
    torch.manual_seed(0)
    E = Encoder(10, size, channels, 4, 1)
    assert E(torch.zeros(2, channels, size, size)).shape == (2, 10)
    D = DCGANDiscriminator(size, channels, 4, 1)
    body = [tuple(p.shape) for p in D.net[:-1].parameters()]
    assert [tuple(p.shape) for p in E.net[:-1].parameters()] == body
    grown = 9 * (D.net[-1].in_features + 1)
    assert parameters(E) == parameters(D) + grown


def test_a_picture_comes_back_with_its_shape():
    E, G = Encoder(8, width=4, refine=1), Decoder(8, width=4, refine=1)
    x = normal(3, 1, 28, 28)
    assert G(E(x)).shape == x.shape and G.latent_dim == 8
