"""The reader of façades: never a player, only the judge of what a picture shows."""

import torch
from torch import Tensor, nn


def _block(
    before: int, after: int, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    conv = nn.Conv2d(before, after, 3, stride, dilation, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())


class Segmenter(nn.Module):
    """Map pictures (N, 3, H, W) in [-1, 1], H and W even, to logits (N, K, H, W).

    Dilated convolutions at half size see 69 pixels a side (Yu & Koltun 2016); a shallow
    branch at full size keeps edges sharp.
    """

    def __init__(self, labels: int, width: int = 24):
        super().__init__()
        self.fine = _block(3, width // 2)
        self.wide = nn.Sequential(
            _block(width // 2, width, stride=2),
            *[_block(width, width, dilation=d) for d in (1, 2, 4, 8, 1)],
            nn.Upsample(scale_factor=2, mode="bilinear"),
        )
        self.both = _block(width + width // 2, width)
        self.head = nn.Conv2d(width, labels, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(x)
        return self.head(self.both(torch.cat([fine, self.wide(fine)], 1)))
