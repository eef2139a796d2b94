"""Enhancement as a game: G(damaged photograph) against a critic of photographs.

One game for every degradation (pairs.py): what is damaged changes, nothing else does.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from gancourse.errors import GancourseError
from gancourse.games import logits
from gancourse.losses import GANLoss, nonsaturating, same_shape


class Enhancement:
    """Restore pairs (damaged, original): pixel * L1 + adversarial * the critic's word.

    SRGAN (Ledig et al. 2017, eq. 3) with L1 in the place of its content loss; another
    `distance(restored, original)` may be given, e.g. torch's mse_loss for L2. The
    generator's only input is the damaged picture: no noise is drawn, so one input has
    one output. Without a critic (D=None) this is regression, a game of one player.
    """

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module | None = None,
        pixel: float = 1.0,
        adversarial: float = 0.01,
        loss: GANLoss = nonsaturating,
        distance: Callable[[Tensor, Tensor], Tensor] = l1_loss,
    ):
        if D is None and not pixel:
            raise GancourseError(
                "Without a critic and without a pixel loss there is nothing to learn "
                "from. Give D, or a weight pixel above 0."
            )
        self.G, self.D = G, D
        self.pixel, self.adversarial = pixel, adversarial
        self.loss, self.distance = loss, distance

    @property
    def generators(self) -> dict[str, nn.Module]:
        return {"G": self.G}

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        return {} if self.D is None else {"D": self.D}

    def discriminator_loss(self, batch: tuple[Tensor, Tensor], rng: torch.Generator):
        """Tell originals from restored pictures, patch by patch."""
        damaged, original = batch
        with torch.no_grad():
            restored = self.G(damaged)
        real, fake = logits(self.D, original), logits(self.D, restored)
        parts = {"real_logit": real.detach().mean(), "fake_logit": fake.detach().mean()}
        return self.loss.discriminator(real, fake), parts

    def generator_loss(self, batch: tuple[Tensor, Tensor], rng: torch.Generator):
        """Be close to the original, and pass for one."""
        damaged, original = batch
        restored = self.G(damaged)
        same_shape(restored, original)
        pixel = self.distance(restored.float(), original)
        parts = {"pixel": pixel.detach()}
        if self.D is None:
            return self.pixel * pixel, parts
        fake = logits(self.D, restored)
        real = logits(self.D, original) if self.loss.relative else fake
        adversarial = self.loss.generator(real, fake)
        parts["adversarial"] = adversarial.detach()
        return self.pixel * pixel + self.adversarial * adversarial, parts
