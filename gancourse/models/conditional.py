"""DCGAN players that are told a label y: by concatenation, projection, or a class head.

Labels are whole numbers 0 … classes - 1, shape (N,).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gancourse.models.dcgan import DCGANDiscriminator, DCGANGenerator


class ConditionalGenerator(nn.Module):
    """Map latents (N, latent_dim) and labels (N,) to images in [-1, 1].

    The label becomes a learned vector that stands beside z. In the first layer that is
    a bias of its own for each class: W [z; e_y] = W_z z + W_e e_y.
    """

    def __init__(
        self,
        latent_dim: int = 64,
        size: int = 28,
        channels: int = 1,
        width: int = 32,
        refine: int = 3,
        classes: int = 10,
        embed: int = 16,
    ):
        super().__init__()
        self.latent_dim, self.classes = latent_dim, classes
        self.embed = nn.Embedding(classes, embed)
        self.net = DCGANGenerator(latent_dim + embed, size, channels, width, refine)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.at(z, self.embed(y))

    def at(self, z: Tensor, e: Tensor) -> Tensor:
        """Images for latents z and label vectors e (N, embed), also between classes."""
        return self.net(torch.cat([z, e], 1))


class ConcatDiscriminator(nn.Module):
    """Map images and labels (N,) to logits (N,): the label as planes beside the image.

    Mirza & Osindero 2014: y is one more input. `classes` planes, the label's own full
    of ones.
    """

    def __init__(
        self,
        size: int = 28,
        channels: int = 1,
        width: int = 32,
        refine: int = 3,
        norm: bool = True,
        classes: int = 10,
    ):
        super().__init__()
        self.classes = classes
        self.net = DCGANDiscriminator(size, channels + classes, width, refine, norm)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        planes = one_hot(y, self.classes).to(x.dtype)[:, :, None, None]
        return self.net(torch.cat([x, planes.expand(-1, -1, *x.shape[2:])], 1))


def _features(*shape) -> tuple[nn.Sequential, int]:
    """DCGAN's discriminator without its last layer, and how many features it gives."""
    net = DCGANDiscriminator(*shape).net
    return net[:-1], net[-1].in_features


class ProjectionDiscriminator(nn.Module):
    """Map images and labels (N,) to logits psi(phi(x)) + <v_y, phi(x)>, shape (N,).

    Miyato & Koyama 2018, eq. 3-5: what log q(x, y) - log p(x, y) looks like when both
    laws of y given x are a softmax over linear functions of the features phi.
    """

    def __init__(
        self,
        size: int = 28,
        channels: int = 1,
        width: int = 32,
        refine: int = 3,
        norm: bool = True,
        classes: int = 10,
    ):
        super().__init__()
        self.phi, features = _features(size, channels, width, refine, norm)
        self.psi = nn.Linear(features, 1)
        self.v = nn.Embedding(classes, features)
        for weight in (self.psi.weight, self.v.weight):
            nn.init.normal_(weight, 0.0, 0.02)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        phi = self.phi(x)
        return self.psi(phi).squeeze(1) + (self.v(y) * phi).sum(1)


class ClassDiscriminator(nn.Module):
    """Map images to logits (N,), and to what it reads off them, (N, outputs).

    The second head holds class logits in AC-GAN (Odena et al. 2017), the recovered code
    in InfoGAN (Chen et al. 2016). Softmax belongs to it and never to the first head: of
    one number it is 1.
    """

    def __init__(
        self,
        size: int = 28,
        channels: int = 1,
        width: int = 32,
        refine: int = 3,
        norm: bool = True,
        outputs: int = 10,
    ):
        super().__init__()
        self.phi, features = _features(size, channels, width, refine, norm)
        self.real, self.read = nn.Linear(features, 1), nn.Linear(features, outputs)
        for head in (self.real, self.read):
            nn.init.normal_(head.weight, 0.0, 0.02)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        phi = self.phi(x)
        return self.real(phi).squeeze(1), self.read(phi)
