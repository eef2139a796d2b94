"""Small games for tests: every family there is, in seconds, and the hash of a run."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from gancourse import captions, data, fast_style, losses, pairs, snapshot
from gancourse.caption_paint import paint
from gancourse.conditional import ACGAN, ConditionalGAN, InfoGAN
from gancourse.cycle import CycleGAN, ImagePool
from gancourse.denoising import Diffusion
from gancourse.enhancement import Enhancement
from gancourse.games import GAN, Pix2Pix, diff_augment, latents
from gancourse.latent import VAE, VAEGAN, AutoEncoder
from gancourse.models.conditional import (
    ClassDiscriminator,
    ConcatDiscriminator,
    ConditionalGenerator,
    ProjectionDiscriminator,
)
from gancourse.models.dcgan import DCGANDiscriminator, DCGANGenerator
from gancourse.models.diffusion import Denoiser
from gancourse.models.mlp import (
    MLPDiscriminator,
    MLPGenerator,
    PointDiscriminator,
    PointGenerator,
)
from gancourse.models.resnet import ResNetGenerator
from gancourse.models.superres import Restorer
from gancourse.models.text import CaptionEncoder, TextDiscriminator, TextGenerator
from gancourse.models.transform import AdaINDecoder, StyleNet
from gancourse.models.unet import PatchCritic, UNet
from gancourse.models.vae import Encoder
from gancourse.textgan import TextGAN
from gancourse.training import State, StepLog, TrainConfig, pick_device, train


class Forgetful(nn.Module):
    """A point discriminator with dropout, which draws from torch's global stream."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(1)


class OnePlayer:
    """A game without a discriminator: points are pulled to the batch's mean."""

    def __init__(self, G: nn.Module):
        self.G, self.latent_dim = G, G.latent_dim
        self.generators, self.discriminators = {"G": G}, {}

    def generator_loss(self, batch: Tensor, rng: torch.Generator):
        fake = self.G(latents(len(batch), self.latent_dim, rng))
        return (fake - batch.mean(0)).square().mean(), {"spread": fake.detach().std()}


def points(D: type[nn.Module] = PointDiscriminator, **settings) -> GAN:
    return GAN(PointGenerator(width=8), D(width=8), **settings)


def dcgan(norm: bool = True, **settings) -> GAN:
    G = DCGANGenerator(latent_dim=8, width=4, refine=1)
    return GAN(G, DCGANDiscriminator(width=4, refine=1, norm=norm), **settings)


def pix2pix(**settings) -> Pix2Pix:
    return Pix2Pix(UNet(1, 1, 4, depth=3), PatchCritic(2, 4, layers=1), **settings)


@dataclass(frozen=True)
class Small:
    """How to build a game, what it plays on, and what its settings depart in."""

    build: Callable
    images: bool = False
    real: Callable | None = None  # what it plays on, when neither digits nor the ring
    settings: dict = field(default_factory=dict)

    def game(self, seed: int = 0):
        torch.manual_seed(seed)
        return self.build()

    def config(self, **changes) -> TrainConfig:
        usual = dict(
            batch_size=8, log_every=5, steps=60, device="cpu", precision="fp32"
        )
        return TrainConfig(**{**usual, **self.settings, **changes})

    def batches(self, config: TrainConfig):
        if self.real is not None:
            real = self.real()
        elif self.images:
            real = data.digits("test").images[:100]
        else:
            real = data.ring(std=0.1)
        device = pick_device(config.device)
        return data.batches(real, config.batch_size, config.seed, device)

    def state(self, **changes) -> State:
        return State(self.game(), self.config(**changes))


def negatives() -> tuple[Tensor, Tensor]:
    """A hundred digits, and what each is to become: its negative."""
    images = data.digits("test").images[:100, :, 6:22, 6:22]
    return images, 255 - images


def restoration(D: bool = True) -> Enhancement:
    G = Restorer(scale=2, features=4, blocks=1)
    return Enhancement(G, PatchCritic(3, 4, 1, norm=False) if D else None)


def photographs() -> tuple[Tensor, Tensor]:
    """Forty pairs of patches, 8 × 8 and 16 × 16."""
    return tuple(part[::8][:40] for part in pairs.pairs("x2", "held-out", 16, 48))


def photographs_and_crops() -> tuple[Tensor, Tensor]:
    """Forty patches of photographs and forty of a painting, 16 × 16."""
    photos = pairs.patches("held-out", 16, 48)[::8][:40]
    painting = data.picture("hokusai-great-wave", 160)[:, :80].unfold(1, 16, 16)
    return photos, painting.unfold(2, 16, 16).permute(1, 2, 0, 3, 4).reshape(
        -1, 3, 16, 16
    )[:40]


def eye() -> fast_style.Eye:
    """Two shallow layers see enough of 16 × 16 pixels."""
    painting = data.to_unit(data.picture("hokusai-great-wave", 64))[None]
    return fast_style.Eye(painting, ("conv1_1", "conv2_1"), "conv2_1")


def fast(**settings) -> fast_style.FastStyle:
    return fast_style.FastStyle(StyleNet(2, 1), eye(), **settings)


def adversarial(sees: str | None = None, **settings) -> fast_style.AdversarialStyle:
    D = PatchCritic(3 if sees is None else 64, 4, 0, norm=False)
    return fast_style.AdversarialStyle(StyleNet(2, 1), D, eye(), sees=sees, **settings)


def cyclegan(pool: int = 6, **settings) -> CycleGAN:
    G, F = (ResNetGenerator(1, width=2, blocks=1, downs=1) for _ in "GF")
    D_A, D_B = (PatchCritic(1, 4, 1) for _ in "AB")
    pools = tuple(ImagePool(pool, (1, 16, 16)) for _ in "AB")
    return CycleGAN(G, F, D_A, D_B, pools, **settings)


def two_looks() -> tuple[Tensor, Tensor]:
    """A hundred digits in white on black, a hundred others in black on white."""
    images = data.digits("test").images[:200, :, 6:22, 6:22]
    return images[:100], 255 - images[100:]


TINY = dict(width=4, refine=1)


def told(family: type, D: type[nn.Module], *, heads: int = 0, **settings):
    """A game with labels or a code; `heads`: outputs of D's second head."""
    G = ConditionalGenerator(8, embed=4, **TINY)
    D = D(**TINY, outputs=heads) if heads else D(**TINY)
    return family(G, D, **settings)


def labelled() -> tuple[Tensor, Tensor]:
    """A hundred digits with their labels."""
    images, labels = data.digits("test")
    return images[:100], labels[:100]


def textgan(**settings) -> TextGAN:
    size = dict(features=8, width=4, refine=1)
    return TextGAN(
        TextGenerator(latent_dim=4, **size), TextDiscriminator(**size), **settings
    )


def captioned() -> tuple[Tensor, Tensor, Tensor]:
    """Fifty pictures, the codes of their captions, and those of wrong ones."""
    rng = torch.Generator().manual_seed(0)
    told = captions.scenes(50, rng)
    pictures = paint(told, data.digits("test"), rng)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        encoder = CaptionEncoder(len(captions.WORDS), 8, 4)
        right = encoder(captions.tokens(captions.captions(told)))
    return pictures, right, right.roll(1, 0)


def autoencoder(family, outputs: int = 8, **players):
    """An encoder and a decoder with 8 latents, for any of the games that have both."""
    G = DCGANGenerator(latent_dim=8, width=4, refine=1)
    return family(Encoder(outputs, width=4, refine=1), G, **players)


def vaegan() -> VAEGAN:
    return autoencoder(VAEGAN, 16, D=DCGANDiscriminator(width=4, refine=1))


r1, gp = partial(losses.r1, gamma=0.5), losses.gradient_penalty
GAMES = {
    "points": Small(points),
    "points, R1, decay": Small(partial(points, penalty=r1), settings=dict(decay=0.5)),
    "points, WGAN-GP, d_steps=2, no average": Small(
        partial(points, loss=losses.wasserstein, penalty=gp),
        settings=dict(d_steps=2, ema=0.0),
    ),
    "points, relativistic": Small(partial(points, loss=losses.relativistic)),
    "points, dropout": Small(partial(points, Forgetful)),
    "one player": Small(lambda: OnePlayer(PointGenerator(width=8))),
    "dcgan": Small(dcgan, images=True),
    "dcgan, R1, augment": Small(
        partial(dcgan, norm=False, penalty=r1, augment=diff_augment), images=True
    ),
    "pix2pix": Small(pix2pix, real=negatives),
    "pix2pix, L1 alone": Small(
        lambda: Pix2Pix(UNet(1, 1, 4, depth=2), gan=0.0), real=negatives
    ),
    "conditional, concatenation": Small(
        partial(told, ConditionalGAN, ConcatDiscriminator, loss=losses.hinge),
        real=labelled,
    ),
    "conditional, projection": Small(
        partial(told, ConditionalGAN, ProjectionDiscriminator), real=labelled
    ),
    "acgan": Small(partial(told, ACGAN, ClassDiscriminator, heads=10), real=labelled),
    "infogan": Small(
        partial(told, InfoGAN, ClassDiscriminator, heads=12, continuous=2), images=True
    ),
    "mlp": Small(lambda: GAN(MLPGenerator(), MLPDiscriminator()), images=True),
    "cyclegan": Small(cyclegan, real=two_looks),
    "text": Small(textgan, real=captioned),
    "text, no wrong captions": Small(partial(textgan, matching=False), real=captioned),
    "autoencoder": Small(partial(autoencoder, AutoEncoder), images=True),
    "vae": Small(partial(autoencoder, VAE, 16), images=True),
    "vaegan": Small(vaegan, images=True),
    "diffusion": Small(
        lambda: Diffusion(Denoiser(width=8, code=4, time=8)), images=True
    ),
    "enhancement": Small(restoration, real=photographs),
    "enhancement, no critic": Small(partial(restoration, D=False), real=photographs),
    "fast style": Small(
        fast, real=lambda: photographs_and_crops()[0], settings=dict(batch_size=2)
    ),
    "adversarial style": Small(
        adversarial, real=photographs_and_crops, settings=dict(batch_size=2)
    ),
    "adversarial style, features, R1": Small(
        partial(adversarial, "conv1_1", style=20.0, penalty=r1),
        real=photographs_and_crops,
        settings=dict(batch_size=2),
    ),
    "adain style": Small(
        lambda: fast_style.AdaINStyle(AdaINDecoder((4, 4, 4, 4))),
        real=photographs_and_crops,
        settings=dict(batch_size=2),
    ),
}
LIGHT = [name for name in GAMES if name != "mlp"]  # 31 MB a checkpoint


def digest(state: State, logs: list[StepLog] | None = None) -> str:
    """SHA-256 over all that a run depends on: weights, buffers, Adam, streams, step."""
    contents, h = snapshot.snapshot(state), hashlib.sha256()
    for where, tensor in snapshot._tensors(contents):
        h.update(f"{where} {tensor.dtype} {tuple(tensor.shape)}".encode())
        h.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    h.update(f"{contents['step']} {contents['game']} {contents['rules']}".encode())
    h.update(
        repr(logs and [(log.step, log.parts, log.d_loss) for log in logs]).encode()
    )
    return h.hexdigest()


def weights(state: State) -> dict[str, Tensor]:
    """A copy of every parameter and buffer of both sides."""
    both = {"g": state.generators, "d": state.discriminators}
    return {
        f"{side}.{name}": value.clone()
        for side, players in both.items()
        for name, value in players.state_dict().items()
    }


def play(state: State, batches, until: int | None = None) -> list[StepLog]:
    """Train to the end, or break off at the log of step `until`; the logs seen."""
    logs = []
    for log in train(state, batches):
        logs.append(log)
        if log.step == until:
            break
    return logs
