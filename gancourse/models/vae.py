"""The other half of an autoencoder: the DCGAN's discriminator with another head.

The decoder is the DCGAN's generator itself, so that a VAE and a GAN that are compared
draw their samples with one and the same network.
"""

from torch import Tensor, nn

from gancourse.models.dcgan import DCGANDiscriminator, DCGANGenerator, init_dcgan

Decoder = DCGANGenerator


class Encoder(nn.Module):
    """Map images (N, channels, size, size) to `outputs` numbers each, (N, outputs).

    An autoencoder takes latent_dim of them as its code; a VAE takes twice as many, the
    mean and the log-variance of q(z|x). Layers are those of the DCGAN's discriminator
    up to its head.
    """

    def __init__(
        self,
        outputs: int = 128,
        size: int = 28,
        channels: int = 1,
        width: int = 32,
        refine: int = 3,
    ):
        super().__init__()
        body = DCGANDiscriminator(size, channels, width, refine).net
        head = nn.Linear(body[-1].in_features, outputs).apply(init_dcgan)
        self.net = nn.Sequential(*body[:-1], head)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
