"""A game: its players, and what each of them minimises.

A game offers `generators` and `discriminators` (dictionaries of modules) and the
methods `discriminator_loss(batch, rng)` and `generator_loss(batch, rng)`. Each returns
a scalar to minimise and, for the log, a dictionary of named scalars. That is all the
loop knows.
"""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gancourse.errors import GancourseError
from gancourse.losses import GANLoss, nonsaturating, same_shape


def latents(n: int, latent_dim: int, rng: torch.Generator) -> Tensor:
    """z ~ N(0, I), shape (n, latent_dim), on the device of `rng`.

    Under `torchrun` every process draws the whole batch and keeps its own rows, so a
    run on two processes sees the very latents of a run on one.
    """
    if not dist.is_initialized():
        return torch.randn(n, latent_dim, generator=rng, device=rng.device)
    rank, world = dist.get_rank(), dist.get_world_size()
    z = torch.randn(n * world, latent_dim, generator=rng, device=rng.device)
    return z[rank::world]


def logits(D: nn.Module, x: Tensor) -> Tensor:
    """D(x) in float32: a loss in bfloat16 keeps only two to three digits."""
    return D(x).float()


class GAN:
    """The unconditional game of Goodfellow et al. 2014, with a loss of your choice.

    `penalty(D, real, fake, rng)` is added to D's loss (see losses.py);
    `augment(x, rng)` is applied to whatever D sees, real and fake alike (Zhao et al.
    2020).
    """

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module,
        loss: GANLoss = nonsaturating,
        penalty: Callable[..., Tensor] | None = None,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    ):
        if not hasattr(G, "latent_dim"):
            raise GancourseError(
                f"The generator {type(G).__name__} does not say how many latents it "
                "takes."
                " Give it an attribute latent_dim, e.g. self.latent_dim = 64."
            )
        self.G, self.D, self.latent_dim = G, D, G.latent_dim
        self.loss, self.penalty, self.augment = loss, penalty, augment

    @property
    def generators(self) -> dict[str, nn.Module]:
        return {"G": self.G}

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        return {"D": self.D}

    def seen(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """What D gets to see of x."""
        return x if self.augment is None else self.augment(x, rng)

    def discriminator_loss(self, batch: Tensor, rng: torch.Generator):
        """Tell `batch` (N, ...) from as many fakes; G only supplies them."""
        with torch.no_grad():
            fake = self.G(latents(len(batch), self.latent_dim, rng))
        real, fake = self.seen(batch, rng), self.seen(fake, rng)
        real_logits, fake_logits = logits(self.D, real), logits(self.D, fake)
        d_loss = self.loss.discriminator(real_logits, fake_logits)
        parts = logit_means(real_logits, fake_logits)
        if self.penalty is not None:
            parts["penalty"] = self.penalty(self.D, real, fake, rng)
            d_loss = d_loss + parts["penalty"]
        return d_loss, parts

    def generator_loss(self, batch: Tensor, rng: torch.Generator):
        """Make D call fakes real. Only relativistic losses look at the real batch."""
        fake = self.G(latents(len(batch), self.latent_dim, rng))
        fake_logits = logits(self.D, self.seen(fake, rng))
        real_logits = fake_logits
        if self.loss.relative:
            real_logits = logits(self.D, self.seen(batch, rng))
        return self.loss.generator(real_logits, fake_logits), {}


class Pix2Pix:
    """The conditional game on pairs. Isola, Zhu, Zhou & Efros 2017, equations 1 to 4.

    G* = arg min_G max_D  gan · V(D, G) + l1 · E |y − G(x)|, where a batch is the pair
    of tensors (x, y), condition and target, and D judges both: D(cat([x, y], 1)).
    G gets no latents; dropout is its noise. Without a share of the GAN (gan=0) there
    is no discriminator and this is plain regression; without l1 the pairs reach G
    through D alone. The paper has gan 1 and l1 100, for pixels in [-1, 1].
    """

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module | None = None,
        loss: GANLoss = nonsaturating,
        gan: float = 1.0,
        l1: float = 100.0,
    ):
        if min(gan, l1) < 0 or gan == l1 == 0 or (gan > 0) != (D is not None):
            raise GancourseError(
                f"Pix2Pix got gan={gan}, l1={l1} and {'a' if D else 'no'} D. Give a D "
                "exactly when gan is above 0, and at least one weight above 0."
            )
        self.G, self.D, self.loss, self.gan, self.l1 = G, D, loss, gan, l1

    @property
    def generators(self) -> dict[str, nn.Module]:
        return {"G": self.G}

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        return {} if self.D is None else {"D": self.D}

    def discriminator_loss(self, batch: tuple[Tensor, Tensor], rng: torch.Generator):
        """Tell (x, y) from (x, G(x)): the same condition stands in both."""
        condition, target = batch
        with torch.no_grad():
            fake = self.G(condition)
        real_logits = logits(self.D, torch.cat([condition, target], 1))
        fake_logits = logits(self.D, torch.cat([condition, fake], 1))
        parts = logit_means(real_logits, fake_logits)
        return self.loss.discriminator(real_logits, fake_logits), parts

    def generator_loss(self, batch: tuple[Tensor, Tensor], rng: torch.Generator):
        """gan · (D is to call G(x) real, given x) + l1 · mean |y − G(x)|."""
        condition, target = batch
        fake = self.G(condition)
        same_shape(fake, target)
        distance = (fake.float() - target).abs().mean()
        g_loss, parts = self.l1 * distance, {"l1": distance.detach()}
        if self.D is not None:
            fake_logits = logits(self.D, torch.cat([condition, fake], 1))
            real_logits = fake_logits
            if self.loss.relative:
                real_logits = logits(self.D, torch.cat([condition, target], 1))
            adversarial = self.loss.generator(real_logits, fake_logits)
            g_loss, parts["gan"] = g_loss + self.gan * adversarial, adversarial.detach()
        return g_loss, parts


def logit_means(real_logits: Tensor, fake_logits: Tensor) -> dict[str, Tensor]:
    """For the log: mean logits, and the share of samples on the right side of 0."""
    right = (real_logits > 0).float().mean() + (fake_logits < 0).float().mean()
    return {
        "real_logit": real_logits.detach().mean(),
        "fake_logit": fake_logits.detach().mean(),
        "accuracy": right.detach() / 2,  # 1/2 is a coin
    }


def diff_augment(x: Tensor, rng: torch.Generator, shift: float = 0.125) -> Tensor:
    """Move each image (N, C, H, W) by up to `shift` of its side and blank a square.

    Differentiable, one draw per sample, the same law for real and fake: DiffAugment's
    "translation" and "cutout" (Zhao et al. 2020, section 3). The paper blanks a square
    of half the side; here it is a quarter, which leaves a digit readable.
    """
    n, _, height, width = x.shape
    pad = max(1, round(shift * max(height, width)))
    rows, columns = (
        torch.randint(2 * pad + 1, (n, 1), generator=rng, device=x.device)
        + torch.arange(side, device=x.device)
        for side in (height, width)
    )
    padded = nn.functional.pad(x, (pad, pad, pad, pad), value=-1.0)
    sample = torch.arange(n, device=x.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[sample, rows[:, :, None], columns[:, None, :]]
    top, left = (
        torch.randint(side, (n, 1), generator=rng, device=x.device)
        for side in (height, width)
    )
    hole = side_mask(top, height)[:, :, None] & side_mask(left, width)[:, None, :]
    return moved.permute(0, 3, 1, 2).masked_fill(hole[:, None], -1.0)


def side_mask(start: Tensor, side: int) -> Tensor:
    """True on a quarter of the side around each start (N, 1), shape (N, side)."""
    position = torch.arange(side, device=start.device)
    return (position - start).abs() <= side // 8
