"""Games in which the generator is told what to draw: with labels, or with a code.

A batch is (images, labels). Fakes carry the labels of the batch, so that real and fake
pairs have one law of y and the discriminator has to look at the picture.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from gancourse.errors import GancourseError
from gancourse.games import latents, logit_means
from gancourse.losses import GANLoss, nonsaturating

Pairs = tuple[Tensor, Tensor]


class ConditionalGAN:
    """min over G, max over D of V on pairs (x, y). Mirza & Osindero 2014, eq. 2.

    D(x, y) judges image and label together: a good picture of the wrong digit is a
    fake. How it is told the label (ConcatDiscriminator, ProjectionDiscriminator) is
    its own affair.
    """

    def __init__(self, G: nn.Module, D: nn.Module, loss: GANLoss = nonsaturating):
        self.G, self.D, self.loss = G, D, loss
        self.latent_dim, self.classes = G.latent_dim, G.classes

    @property
    def generators(self) -> dict[str, nn.Module]:
        return {"G": self.G}

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        return {"D": self.D}

    def fake(self, y: Tensor, rng: torch.Generator) -> Tensor:
        """One fake for each label."""
        return self.G(latents(len(y), self.latent_dim, rng), y)

    def discriminator_loss(self, batch: Pairs, rng: torch.Generator):
        """Tell (x, y) from (G(z, y), y)."""
        real, y = batch
        with torch.no_grad():
            fake = self.fake(y, rng)
        real_logits, fake_logits = self.D(real, y).float(), self.D(fake, y).float()
        return self.loss.discriminator(real_logits, fake_logits), logit_means(
            real_logits, fake_logits
        )

    def generator_loss(self, batch: Pairs, rng: torch.Generator):
        """D is to call G(z, y) a real picture of y."""
        real, y = batch
        fake_logits = self.D(self.fake(y, rng), y).float()
        real_logits = fake_logits
        if self.loss.relative:
            real_logits = self.D(real, y).float()
        return self.loss.generator(real_logits, fake_logits), {}


class ACGAN(ConditionalGAN):
    """D says whether x is real and, in a second head, which class it shows.

    Odena, Olah & Shlens 2017: both players want the class to be read rightly, D on real
    and fake pictures (eq. 3), G on its own; each cross-entropy is added to the
    player's adversarial loss with `weight`, 1 in the paper. With on_fakes=0 D learns
    classes from real pictures alone: on fakes it would agree with G on any sign for a
    class, right or not, which upsets short runs.
    """

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module,
        loss: GANLoss = nonsaturating,
        weight: float = 1.0,
        on_fakes: float = 1.0,
    ):
        super().__init__(G, D, loss)
        self.weight, self.on_fakes = weight, on_fakes

    def discriminator_loss(self, batch: Pairs, rng: torch.Generator):
        """Real or fake, and of which class."""
        real, y = batch
        with torch.no_grad():
            fake = self.fake(y, rng)
        real_logits, real_class = self.read(real)
        fake_logits, fake_class = self.read(fake)
        wrong_class = cross_entropy(real_class, y)
        if self.on_fakes:
            wrong_class = wrong_class + self.on_fakes * cross_entropy(fake_class, y)
        d_loss = self.loss.discriminator(real_logits, fake_logits)
        parts = logit_means(real_logits, fake_logits) | {"class": wrong_class.detach()}
        return d_loss + self.weight * wrong_class, parts

    def generator_loss(self, batch: Pairs, rng: torch.Generator):
        """Pass for real, and for the class that was asked for."""
        real, y = batch
        fake_logits, fake_class = self.read(self.fake(y, rng))
        real_logits = fake_logits
        if self.loss.relative:
            real_logits = self.read(real)[0]
        wrong_class = cross_entropy(fake_class, y)
        g_loss = self.loss.generator(real_logits, fake_logits)
        return g_loss + self.weight * wrong_class, {"g_class": wrong_class.detach()}

    def read(self, x: Tensor) -> Pairs:
        """Both heads of D in float32: logits (N,) and class logits (N, classes)."""
        real, read = self.D(x)
        return real.float(), read.float()


class InfoGAN(ACGAN):
    """AC-GAN without labels: the class is a code that is drawn, not given.

    Chen et al. 2016, eq. 6: D's second head guesses the code behind a fake, and both
    players are paid for a right guess, a lower bound on the mutual information of code
    and picture. The code is a class, uniform over G's `classes`, and the first
    `continuous` latents, whose guess costs half the squared error (a Gaussian of
    variance 1). Batches hold images alone.
    """

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module,
        loss: GANLoss = nonsaturating,
        weight: float = 1.0,
        continuous: int = 0,
    ):
        super().__init__(G, D, loss, weight)
        if not 0 <= continuous <= G.latent_dim:
            raise GancourseError(
                f"A code of {continuous} numbers does not fit into {G.latent_dim} "
                "latents. Choose continuous between 0 and that."
            )
        self.continuous = continuous

    def coded(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """n fakes, the classes (n,) and the numbers (n, continuous) behind them."""
        z = latents(n, self.latent_dim, rng)
        c = torch.randint(self.classes, (n,), generator=rng, device=rng.device)
        return self.G(z, c), c, z[:, : self.continuous]

    def information(self, guess: Tensor, c: Tensor, numbers: Tensor) -> Tensor:
        """What a guess (N, classes + continuous) of the code costs, in nats."""
        cost = cross_entropy(guess[:, : self.classes], c)
        if self.continuous:
            error = mse_loss(guess[:, self.classes :], numbers)
            cost = cost + self.continuous * error / 2
        return cost

    def discriminator_loss(self, batch: Tensor, rng: torch.Generator):
        """Tell real from fake, and guess the code of the fakes."""
        with torch.no_grad():
            fake, c, numbers = self.coded(len(batch), rng)
        (real_logits, _), (fake_logits, guess) = self.read(batch), self.read(fake)
        cost = self.information(guess, c, numbers)
        d_loss = self.loss.discriminator(real_logits, fake_logits)
        parts = logit_means(real_logits, fake_logits) | {"code": cost.detach()}
        return d_loss + self.weight * cost, parts

    def generator_loss(self, batch: Tensor, rng: torch.Generator):
        """Pass for real, and let the code be read off the picture."""
        fake, c, numbers = self.coded(len(batch), rng)
        fake_logits, guess = self.read(fake)
        real_logits = fake_logits
        if self.loss.relative:
            real_logits = self.read(batch)[0]
        cost = self.information(guess, c, numbers)
        g_loss = self.loss.generator(real_logits, fake_logits)
        return g_loss + self.weight * cost, {"g_code": cost.detach()}
