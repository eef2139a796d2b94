"""CycleGAN (Zhu et al. 2017): two sets of pictures, no pairs, two translators.

G maps A to B, F maps B to A; each has a critic that knows real pictures of its target.
The critics alone ask only that outputs *look like* the target. The cycle asks that
nothing be lost on the way, F(G(a)) = a and G(F(b)) = b; the identity asks that a
translator leave alone what is already where it should be.
"""

import torch
from torch import Tensor, nn

from gancourse.data import Batches
from gancourse.errors import GancourseError
from gancourse.games import logits
from gancourse.losses import GANLoss, least_squares, same_shape


class Unpaired:
    """Batches of two sets that need not be equally long: item k is (a, b).

    Each set is shuffled by itself, so that who meets whom means nothing.
    """

    def __init__(self, a, b, size: int, seed: int = 0, device="cpu"):
        self.a = Batches(a, size, seed, device)
        self.b = Batches(b, size, seed + 1, device)

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        return self.a[k], self.b[k]


class ImagePool(nn.Module):
    """A critic's memory: the last `size` or so fakes (Shrivastava et al. 2017, 3.3).

    `pool(fake, rng)` takes fakes (N, *shape) and gives as many back. Until the pool is
    full each fake is kept and given back; from then on a coin decides for each whether
    it is given back itself, or takes the place of a random older one, which is given
    back instead. What is kept lies in buffers, so checkpoints hold it; what is drawn
    comes from `rng`. A pool of size 0 gives every fake straight back.
    """

    def __init__(self, size: int, shape: tuple[int, ...]):
        super().__init__()
        if size < 0:
            raise GancourseError(
                f"A pool of {size} pictures cannot be made. Choose 0 or more."
            )
        self.size = size
        self.register_buffer("pictures", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def forward(self, fake: Tensor, rng: torch.Generator) -> Tensor:
        if self.size == 0:
            return fake
        n, device = len(fake), fake.device
        slots = torch.randint(self.size, (n,), generator=rng, device=device)
        coins = torch.rand(n, generator=rng, device=device) < 0.5
        given = []
        for picture, slot, coin in zip(fake, slots, coins, strict=True):
            filling = self.count < self.size  # a tensor: a GPU need not be waited for
            slot = torch.where(filling, self.count, slot)
            picture = picture.to(self.pictures.dtype)
            old = self.pictures.index_select(0, slot[None])[0]
            given.append(torch.where(coin & ~filling, old, picture))
            kept = torch.where(coin | filling, picture, old)
            self.pictures.index_copy_(0, slot[None], kept[None])
            self.count += filling
        return torch.stack(given)


class CycleGAN:
    """Batches are (a, b), pictures (N, C, H, W) of A and of B that need not correspond.

    G and F minimise gan (L_GAN(G) + L_GAN(F)) + cycle (E|F(G(a)) - a| + E|G(F(b)) - b|)
    + identity (E|G(b) - b| + E|F(a) - a|), each |.| a mean over pixels: Zhu et al.
    2017, eq. 3 with the identity of section 5.2, whose weight there is half of cycle's.
    A weight of 0 leaves its term out. `pools`, if any, are (pool of fake A, of fake B).
    """

    def __init__(
        self,
        G: nn.Module,
        F: nn.Module,
        D_A: nn.Module,
        D_B: nn.Module,
        pools: tuple[ImagePool, ImagePool] | None = None,
        gan: float = 1.0,
        cycle: float = 10.0,
        identity: float = 5.0,
        loss: GANLoss = least_squares,
    ):
        self.G, self.F, self.D_A, self.D_B = G, F, D_A, D_B
        self.pool_A, self.pool_B = pools or (None, None)
        self.gan, self.cycle, self.identity = gan, cycle, identity
        self.loss = loss

    @property
    def generators(self) -> dict[str, nn.Module]:
        return {"G": self.G, "F": self.F}

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        """The critics and their pools, so that checkpoints hold what they remember."""
        players = {"D_A": self.D_A, "D_B": self.D_B}
        pools = {"pool_A": self.pool_A, "pool_B": self.pool_B}
        return players | {k: pool for k, pool in pools.items() if pool is not None}

    def discriminator_loss(self, batch: tuple[Tensor, Tensor], rng: torch.Generator):
        """Each critic tells its real pictures from fakes, some of them older ones."""
        a, b = batch
        with torch.no_grad():
            fake_A, fake_B = self.F(b), self.G(a)
        if self.pool_A is not None:
            fake_A, fake_B = self.pool_A(fake_A, rng), self.pool_B(fake_B, rng)
        loss_A = self._critic_loss(self.D_A, a, fake_A)
        loss_B = self._critic_loss(self.D_B, b, fake_B)
        return loss_A + loss_B, {"critic_A": loss_A, "critic_B": loss_B}

    def _critic_loss(self, D: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        return self.loss.discriminator(logits(D, real), logits(D, fake))

    def generator_loss(self, batch: tuple[Tensor, Tensor], rng: torch.Generator):
        """Fool both critics, come back, and leave alone what is already there."""
        a, b = batch
        fake_A, fake_B = self.F(b), self.G(a)
        parts = {
            "gan": self._fooling(self.D_A, a, fake_A)
            + self._fooling(self.D_B, b, fake_B)
        }
        if self.cycle:
            parts["cycle"] = distance(self.F(fake_B), a) + distance(self.G(fake_A), b)
        if self.identity:
            parts["identity"] = distance(self.G(b), b) + distance(self.F(a), a)
        g_loss = sum(getattr(self, name) * value for name, value in parts.items())
        return g_loss, parts

    def _fooling(self, D: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
        fake_logits = logits(D, fake)
        real_logits = logits(D, real) if self.loss.relative else fake_logits
        return self.loss.generator(real_logits, fake_logits)


def distance(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference of pixels, in float32: a cycle's L1."""
    same_shape(x, y)
    return (x.float() - y.float()).abs().mean()
