"""Text to image (Reed et al. 2016): the critic reads the caption too, and checks it.

A critic that sees real pictures with their captions and fakes with theirs can do its
work by looking alone. A third kind of pair forces it to read: a real picture with a
wrong caption, which is a lie although the picture is not.
"""

import torch
from torch import Tensor, nn

from gancourse.games import latents
from gancourse.losses import GANLoss, nonsaturating


class TextGAN:
    """Batches are (pictures (N, 3, H, W), their captions, wrong captions).

    Captions come as codes (N, features) from an encoder that was trained before and
    stays as it is, or as anything else that G(z, caption) and D(x, caption) take.

    D minimises the mean of two losses: real with caption against fake with caption, and
    real with caption against real with wrong caption (Reed et al. 2016, algorithm 1;
    with the loss of Goodfellow et al. that is their -log s_r - (log(1 - s_w) +
    log(1 - s_f)) / 2). `matching=False` leaves the second out.
    """

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module,
        loss: GANLoss = nonsaturating,
        matching: bool = True,
    ):
        self.G, self.D, self.latent_dim = G, D, G.latent_dim
        self.loss, self.matching = loss, matching

    @property
    def generators(self) -> dict[str, nn.Module]:
        return {"G": self.G}

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        return {"D": self.D}

    def discriminator_loss(self, batch: tuple[Tensor, ...], rng: torch.Generator):
        """Tell (real, right) from (fake, right) and from (real, wrong)."""
        real, right, wrong = batch
        with torch.no_grad():
            fake = self.G(latents(len(real), self.latent_dim, rng), right)
        # One look at each real picture serves both captions.
        both = torch.stack([right, wrong], 1) if self.matching else right[:, None]
        real_logits, *wrong_logits = self.D(real, both).float().unbind(1)
        fake_logits = self.D(fake, right).float()
        d_loss = self.loss.discriminator(real_logits, fake_logits)
        parts = {
            "real_logit": real_logits.detach().mean(),
            "fake_logit": fake_logits.detach().mean(),
        }
        for logits in wrong_logits:  # one or none
            d_loss = (d_loss + self.loss.discriminator(real_logits, logits)) / 2
            parts["wrong_logit"] = logits.detach().mean()
            parts["right_over_wrong"] = (real_logits > logits).float().mean()
        return d_loss, parts

    def generator_loss(self, batch: tuple[Tensor, ...], rng: torch.Generator):
        """Draw what the captions say: D is to take (fake, right) for (real, right)."""
        real, right, _ = batch
        fake = self.G(latents(len(real), self.latent_dim, rng), right)
        fake_logits = self.D(fake, right).float()
        real_logits = fake_logits
        if self.loss.relative:
            real_logits = self.D(real, right).float()
        return self.loss.generator(real_logits, fake_logits), {}
