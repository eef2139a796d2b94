"""Text to image (Reed et al. 2016): a game whose critic also reads the caption."""

import torch
from torch import Tensor, nn

from gancourse.games import latents
from gancourse.losses import GANLoss, nonsaturating


class TextGAN:
    def __init__(self, G, D, loss: GANLoss = nonsaturating, wrong: float = 1.0):
        self.G, self.D, self.loss, self.wrong = G, D, loss, wrong

    @property
    def generators(self):
        return {"G": self.G}

    @property
    def discriminators(self):
        return {"D": self.D}

    def discriminator_loss(self, batch, rng):
        real, right, wrong = batch
        with torch.no_grad():
            fake = self.G(latents(len(real), self.G.latent_dim, rng), right)
        D = self.D
        seen, code = D.look(real), D.encoder(right)
        real_logits = D.score(seen, code).float()
        fake_logits = D.score(D.look(fake), code).float()
        d_loss = self.loss.discriminator(real_logits, fake_logits)
        parts = {
            "real_logit": real_logits.detach().mean(),
            "fake_logit": fake_logits.detach().mean(),
        }
        if self.wrong:
            wrong_logits = D.score(seen, D.encoder(wrong)).float()
            d_loss = (
                d_loss + self.wrong * self.loss.discriminator(real_logits, wrong_logits)
            ) / (1 + self.wrong)
            parts["wrong_logit"] = wrong_logits.detach().mean()
            parts["pick"] = (real_logits > wrong_logits).float().mean()
        return d_loss, parts

    def generator_loss(self, batch, rng):
        real, right, _ = batch
        fake = self.G(latents(len(real), self.G.latent_dim, rng), right)
        fake_logits = self.D(fake, right).float()
        real_logits = fake_logits
        if self.loss.relative:
            real_logits = self.D(real, right).float()
        return self.loss.generator(real_logits, fake_logits), {}
