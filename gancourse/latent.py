"""Autoencoders as games: AE and VAE of one player, VAE-GAN with a critic beside it.

The player is a pair: an encoder E, and a decoder that is called G because it draws the
samples. For a VAE the pair maximises a bound of the likelihood (Kingma & Welling 2014):

    log p(x) >= ELBO = E_q(z|x) log p(x|z) - KL(q(z|x) || N(0, I))

with q(z|x) = N(mean, diag exp log_variance) from E and p(x|z) = N(G(z), sigma² I).
"""

import math

import torch
from torch import Tensor, nn

from gancourse.errors import GancourseError
from gancourse.games import latents, logits
from gancourse.losses import GANLoss, nonsaturating, same_shape


def kl_to_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, diag exp log_variance) || N(0, I)) in nats, (N, d) to (N,)."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2


def log_normal(x: Tensor, mean: Tensor, log_variance: Tensor | float) -> Tensor:
    """log N(x; mean, exp log_variance) summed over all but the first axis, (N,)."""
    if not isinstance(log_variance, Tensor):
        log_variance = torch.full((), float(log_variance), device=x.device)
    squared = (x - mean).square() / log_variance.exp()
    return -(squared + log_variance + math.log(2 * math.pi)).flatten(1).sum(1) / 2


def reparameterised(mean: Tensor, log_variance: Tensor, rng: torch.Generator) -> Tensor:
    """z ~ N(mean, exp log_variance), (N, d), differentiable in both."""
    noise = latents(len(mean), mean.shape[1], rng)
    return mean + (log_variance / 2).exp() * noise


class AutoEncoder:
    """Minimise the mean of |G(E(x)) - x|²: compress and restore, and nothing else."""

    def __init__(self, E: nn.Module, G: nn.Module):
        self.E, self.G, self.latent_dim = E, G, G.latent_dim

    @property
    def generators(self) -> dict[str, nn.Module]:
        return {"G": self.G, "E": self.E}

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        return {}

    def generator_loss(self, batch: Tensor, rng: torch.Generator):
        """Mean squared error of the reconstruction."""
        restored = self.G(self.E(batch)).float()
        same_shape(restored, batch)
        error = (restored - batch).square().mean()
        return error, {"error": error}


class VAE(AutoEncoder):
    """Maximise the ELBO, in nats a sample. `sigma` is how exact p(x|z) claims to be.

    A small sigma asks for exact reconstructions, a large one for latents like the
    prior: 1 / sigma² is what beta is to a beta-VAE, turned round. The sigma of greatest
    likelihood is the root mean square of what the reconstruction leaves.
    """

    def __init__(self, E: nn.Module, G: nn.Module, sigma: float = 0.25):
        if not sigma > 0:
            raise GancourseError(
                f"sigma is {sigma!r}, but a standard deviation is above 0. Nothing was "
                "started. The root mean square error you expect is a good choice."
            )
        super().__init__(E, G)
        self.sigma = sigma

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (N, latent_dim), in float32."""
        return self.E(x).float().chunk(2, 1)

    def negative_elbo(self, x: Tensor, rng: torch.Generator):
        """-ELBO, its parts, and the reconstruction it was computed from."""
        mean, log_variance = self.encode(x)
        restored = self.G(reparameterised(mean, log_variance, rng)).float()
        same_shape(restored, x)
        likelihood = log_normal(x, restored, 2 * math.log(self.sigma)).mean()
        kl = kl_to_prior(mean, log_variance).mean()
        error = (restored - x).square().mean()
        parts = {"kl": kl, "error": error, "elbo": likelihood - kl}
        return kl - likelihood, {k: v.detach() for k, v in parts.items()}, restored

    def generator_loss(self, batch: Tensor, rng: torch.Generator):
        """-ELBO = reconstruction + KL."""
        loss, parts, _ = self.negative_elbo(batch, rng)
        return loss, parts


class VAEGAN(VAE):
    """-ELBO + adversarial · (D is to call reconstructions and samples real).

    Larsen et al. 2016, algorithm 1, with the pixels' likelihood kept in its place.
    """

    def __init__(
        self,
        E: nn.Module,
        G: nn.Module,
        D: nn.Module,
        sigma: float = 0.25,
        adversarial: float = 10.0,
        loss: GANLoss = nonsaturating,
    ):
        super().__init__(E, G, sigma)
        self.D, self.adversarial, self.loss = D, adversarial, loss

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        return {"D": self.D}

    def discriminator_loss(self, batch: Tensor, rng: torch.Generator):
        """Tell data from reconstructions and from samples of the prior."""
        with torch.no_grad():
            restored = self.G(reparameterised(*self.encode(batch), rng))
            drawn = self.G(latents(len(batch), self.latent_dim, rng))
        real_logits = logits(self.D, batch)
        fake_logits = logits(self.D, torch.cat([restored, drawn]))
        parts = {
            "real_logit": real_logits.detach().mean(),
            "fake_logit": fake_logits.detach().mean(),
        }
        return self.loss.discriminator(real_logits, fake_logits), parts

    def generator_loss(self, batch: Tensor, rng: torch.Generator):
        """Stay likely, and pass for data."""
        loss, parts, restored = self.negative_elbo(batch, rng)
        drawn = self.G(latents(len(batch), self.latent_dim, rng))
        fake_logits = logits(self.D, torch.cat([restored, drawn]))
        real_logits = logits(self.D, batch) if self.loss.relative else fake_logits
        fooling = self.loss.generator(real_logits, fake_logits)
        return loss + self.adversarial * fooling, {**parts, "gan": fooling.detach()}


@torch.no_grad()
def bound(
    E: nn.Module, G: nn.Module, x: Tensor, sigma: float, rng, samples: int = 1
) -> Tensor:
    """Lower bounds (N,) of log p(x) in nats, from `samples` draws of q(z|x) each.

    log 1/k Σ p(x, z_i) / q(z_i|x) (Burda, Grosse & Salakhutdinov 2016, eq. 8): the ELBO
    on average for k = 1, and never looser on average for more. Give E and G in
    evaluation mode.
    """
    mean, log_variance = E(x).float().chunk(2, 1)
    ratios = []
    for _ in range(samples):
        z = reparameterised(mean, log_variance, rng)
        joint = log_normal(x, G(z).float(), 2 * math.log(sigma)) + log_normal(z, 0.0, 0)
        ratios.append(joint - log_normal(z, mean, log_variance))
    return torch.stack(ratios).logsumexp(0) - math.log(samples)
