"""A residual net that restores photographs.

SRResNet (Ledig et al. 2017) as EDSR left it (Lim et al. 2017): residual blocks without
normalisation at low resolution, PixelShuffle at the end, and what the net computes is
added to what one would have without it.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gancourse.errors import GancourseError
from gancourse.models.unet import check_pictures


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))) on maps (N, C, h, w); exactly x as long as it is new.

    The second convolution starts at zero: a deep net begins as a shallow one.
    """

    def __init__(self, features: int):
        super().__init__()
        last = nn.Conv2d(features, features, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        first = nn.Conv2d(features, features, 3, padding=1)
        self.block = nn.Sequential(first, nn.ReLU(), last)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class Restorer(nn.Module):
    """Map pictures (N, 3, h, w) to better ones (N, 3, scale * h, scale * w), [-1, 1].

    One family for every task. `scale` enlarges (1: same size); `fold` first turns each
    fold × fold square of pixels into channels, so that a net for full-size pictures
    computes, and sees, as one for pictures of a `fold`-th of the size. After the
    shuffle two convolutions on `tail` channels smooth the seams of its squares, which a
    critic would otherwise turn into a grid. Before training the answer is bicubic
    interpolation, exactly; sides must be multiples of `fold`.
    """

    def __init__(
        self,
        scale: int = 2,
        fold: int = 1,
        features: int = 32,
        blocks: int = 4,
        tail: int = 16,
    ):
        super().__init__()
        self.scale, self.fold = scale, fold
        last = nn.Conv2d(tail, 3, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(
            nn.PixelUnshuffle(fold),
            nn.Conv2d(3 * fold**2, features, 3, padding=1),
            *(ResidualBlock(features) for _ in range(blocks)),
            nn.Conv2d(features, tail * (scale * fold) ** 2, 3, padding=1),
            nn.PixelShuffle(scale * fold),
            nn.Conv2d(tail, tail, 3, padding=1),
            nn.ReLU(),
            last,
        )

    def forward(self, x: Tensor) -> Tensor:
        check_pictures(x, 3, "restorer")
        if x.shape[2] % self.fold or x.shape[3] % self.fold:
            raise GancourseError(
                f"This restorer takes pictures whose sides are multiples of "
                f"{self.fold}, got {tuple(x.shape[2:])}. Resize or cut them first."
            )
        if self.scale == 1:
            return x + self.net(x)
        return interpolate(x, scale_factor=self.scale, mode="bicubic") + self.net(x)

    @torch.no_grad()
    def restore(self, x: Tensor) -> Tensor:
        """The answer as a picture: whole, without gradients, clamped to [-1, 1]."""
        return self(x).clamp(-1, 1)
