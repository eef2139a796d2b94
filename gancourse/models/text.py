"""Words and pictures: an encoder for each, and two players that take a caption's code.

A caption is a row of tokens, int64 (N, L): whole numbers, 0 after the last word. A code
is what the encoder makes of it, floats (N, features).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from gancourse.models.dcgan import Refine, init_dcgan

ROWS, COLUMNS = 4, 2  # of the coarsest map of a picture of 32 x 16 pixels


class CaptionEncoder(nn.Module):
    """Map captions (N, L) to codes (N, features): a GRU's state after the last word.

    Cho et al. 2014. `words` is the number of words; token 0 is none.
    """

    def __init__(self, words: int, features: int = 96, embedding: int = 24):
        super().__init__()
        self.embedding = nn.Embedding(words + 1, embedding, padding_idx=0)
        self.gru = nn.GRU(embedding, features, batch_first=True)

    def forward(self, caption: Tensor) -> Tensor:
        # What comes after the last word cannot change the state at the last word.
        states, _ = self.gru(self.embedding(caption))
        last = (caption > 0).sum(1).clamp_min(1) - 1
        return states[torch.arange(len(caption)), last]


class PictureEncoder(nn.Module):
    """Map pictures (N, 3, 32, 16) to codes (N, features) to compare with captions'."""

    def __init__(self, features: int = 96, width: int = 16):
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in [(3, width), (width, 2 * width), (2 * width, 4 * width)]:
            layers += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after)]
            layers += [nn.ReLU()]
        head = nn.Linear(4 * width * ROWS * COLUMNS, features)
        self.net = nn.Sequential(*layers, nn.Flatten(), head)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def matching_loss(pictures: Tensor, right: Tensor, wrong: Tensor, scale: float = 15.0):
    """How badly codes find their partners, in nats, from three times (N, features).

    Row i of `pictures` and of `right` belong together; `wrong` has a nearly right code
    for each picture. s_ij = scale cos(picture i, caption j). A picture chooses among
    the N right captions and its own wrong one, a caption among the N pictures: the mean
    of both cross entropies (CLIP, Radford et al. 2021, with one hard negative).
    """
    p, r, w = (normalize(code.float(), dim=1) for code in (pictures, right, wrong))
    scores = scale * p @ r.T
    own_wrong = scale * (p * w).sum(1, keepdim=True)
    target = torch.arange(len(p), device=p.device)
    by_picture = cross_entropy(torch.cat([scores, own_wrong], 1), target)
    return (by_picture + cross_entropy(scores.T, target)) / 2


class ConditionalNorm(nn.Module):
    """BatchNorm of maps (N, C, h, w); codes (N, features) give its scale and shift.

    Dumoulin et al. 2017; de Vries et al. 2017, who had questions for codes.
    """

    def __init__(self, channels: int, features: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.affine = nn.Linear(features, 2 * channels)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        scale, shift = self.affine(code)[:, :, None, None].chunk(2, 1)
        return (1 + scale) * self.norm(x) + shift


class TextGenerator(nn.Module):
    """Map z (N, latent_dim), codes (N, features) to images (N, 3, 32, 16) in [-1, 1].

    A DCGAN whose first layer and whose norms get the code. `width` is the number of
    channels before the last layer.
    """

    def __init__(
        self, features: int = 96, latent_dim: int = 16, width: int = 24, refine: int = 1
    ):
        super().__init__()
        self.latent_dim = latent_dim
        sizes = [4 * width, 2 * width, width, 3]
        first = sizes[0] * ROWS * COLUMNS
        self.stem = nn.Linear(latent_dim + features, first, bias=False)
        self.norms = nn.ModuleList(ConditionalNorm(c, features) for c in sizes[:3])
        self.refine = nn.Sequential(
            *[Refine(sizes[0], nn.ReLU()) for _ in range(refine)]
        )
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, 2, 1)
            for before, after in pairwise(sizes)
        )
        for layer in [self.stem, *self.refine.modules(), *self.ups]:
            init_dcgan(layer)
        for norm in self.norms:
            init_dcgan(norm.affine)

    def forward(self, z: Tensor, code: Tensor) -> Tensor:
        x = self.stem(torch.cat([z, code], 1)).unflatten(1, (-1, ROWS, COLUMNS))
        for k, (norm, up) in enumerate(zip(self.norms, self.ups, strict=True)):
            x = norm(x, code).relu()
            x = up(x if k else self.refine(x))
        return x.tanh()


class TextDiscriminator(nn.Module):
    """Map images (N, 3, 32, 16) and codes (N, features) to logits (N,).

    Several codes for each image, (N, K, features), give logits (N, K). The logit is
    psi(image) + <phi(image), V code> / sqrt(size): is it real, and does it fit? Miyato
    & Koyama 2018, eq. 3, with codes in the place of classes.
    """

    def __init__(
        self, features: int = 96, width: int = 24, refine: int = 1, norm: bool = True
    ):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for _ in range(2):
            layers += [
                nn.Conv2d(width, 2 * width, 4, 2, 1, bias=not norm),
                nn.BatchNorm2d(2 * width) if norm else nn.Identity(),
                nn.LeakyReLU(0.2),
            ]
            width *= 2
        layers += [Refine(width, nn.LeakyReLU(0.2), norm) for _ in range(refine)]
        self.look = nn.Sequential(*layers, nn.Flatten())
        size = width * ROWS * COLUMNS
        self.real, self.fits = nn.Linear(size, 1), nn.Linear(features, size)
        self.apply(init_dcgan)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        seen = self.look(x)
        real = self.real(seen).squeeze(1)
        if code.ndim == 2:
            return real + (seen * self.fits(code)).sum(1) / seen.shape[1] ** 0.5
        fits = (seen[:, None] * self.fits(code)).sum(2) / seen.shape[1] ** 0.5
        return real[:, None] + fits
