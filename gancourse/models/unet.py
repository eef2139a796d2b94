"""U-Net and patch critic of pix2pix (Isola, Zhu, Zhou & Efros 2017, appendix 6.1).

Width 64 and depth 8 give the paper's generator for 256 × 256; three strided layers give
its 70 × 70 critic. Smaller ones differ in nothing but their numbers.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from gancourse.errors import GancourseError
from gancourse.models.dcgan import init_dcgan


class MapNorm(nn.InstanceNorm2d):
    """Instance normalisation of maps (N, C, h, w) that leaves 1 × 1 maps as they are.

    One value minus its own mean is 0: a normalised 1 × 1 bottleneck says nothing.
    """

    def __init__(self, features: int):
        super().__init__(features, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return x if x.shape[-2:] == (1, 1) else super().forward(x)


class PixelNorm(nn.Module):
    """Scale the features at each place of a map to mean square 1 (Karras et al. 2018).

    No place learns of another, so neither a small map nor a glaring spot disturbs it.
    """

    def __init__(self, features: int):
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(1, keepdim=True) + 1e-4).rsqrt()


def _down(
    before: int, after: int, outermost: bool, norm: type[nn.Module]
) -> nn.Sequential:
    """Halve both sides: (N, before, h, w) to (N, after, h / 2, w / 2)."""
    if outermost:
        return nn.Sequential(nn.Conv2d(before, after, 4, 2, 1))
    conv = nn.Conv2d(before, after, 4, 2, 1, bias=False)
    return nn.Sequential(nn.LeakyReLU(0.2), conv, norm(after))


def _up(
    before: int, after: int, dropout: float, norm: type[nn.Module]
) -> nn.Sequential:
    """Double both sides: (N, before, h, w) to (N, after, 2 h, 2 w)."""
    conv = nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)
    return nn.Sequential(nn.ReLU(), conv, norm(after), nn.Dropout(dropout))


class UNet(nn.Module):
    """Map pictures (N, in_channels, H, W) to (N, out_channels, H, W) in [-1, 1].

    `depth` halvings, then as many doublings, each of which also sees the map of its own
    size from the way down (`skips=False` leaves that out). H and W may be anything: the
    input is padded with its border to a multiple of 2^depth and the output cropped.
    The three innermost doublings have dropout, the game's only noise; it is on in
    training mode and is all that tells the two modes apart. `norm` builds what follows
    a convolution: MapNorm as in the paper, or PixelNorm.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        width: int = 64,
        depth: int = 8,
        dropout: float = 0.5,
        skips: bool = True,
        norm: type[nn.Module] = MapNorm,
    ):
        super().__init__()
        self.in_channels, self.depth, self.skips = in_channels, depth, skips
        widths = [min(width * 2**level, width * 8) for level in range(depth)]
        self.down = nn.ModuleList(
            _down(before, after, outermost=level == 0, norm=norm)
            for level, (before, after) in enumerate(
                zip([in_channels, *widths], widths, strict=False)
            )
        )
        joined = [w * (2 if skips else 1) for w in widths]
        self.up = nn.ModuleList(
            _up(
                before=widths[level] if level == depth - 1 else joined[level],
                after=widths[level - 1],
                dropout=dropout if depth - 3 <= level else 0.0,
                norm=norm,
            )
            for level in range(depth - 1, 0, -1)
        )
        before = joined[0] if depth > 1 else widths[0]
        self.last = nn.ConvTranspose2d(before, out_channels, 4, 2, 1)
        self.apply(init_dcgan)

    def forward(self, x: Tensor) -> Tensor:
        check_pictures(x, self.in_channels, "U-Net")
        height, width = x.shape[-2:]
        unit = 2**self.depth
        x = pad(x, (0, -width % unit, 0, -height % unit), mode="replicate")
        maps = []
        for layer in self.down:
            x = layer(x)
            maps.append(x)
        for layer, skip in zip(self.up, maps[-2::-1], strict=True):
            x = layer(x)
            if self.skips:
                x = torch.cat([x, skip], 1)
        x = torch.tanh(self.last(torch.relu(x)))
        return x[..., :height, :width]


class PatchCritic(nn.Module):
    """Map pictures (N, in_channels, H, W) to logits (N, 1, h, w), one for each patch.

    `layers` strided convolutions and two plain ones, all 4 × 4: each logit depends on
    `receptive_field` pixels a side (1: 16, 2: 34, 3: 70). With norm=True each map is
    normalised over its whole area, through which a patch learns its picture's mean.
    """

    def __init__(
        self,
        in_channels: int = 6,
        width: int = 64,
        layers: int = 3,
        norm: bool = True,
    ):
        super().__init__()
        self.in_channels = in_channels
        before, after = in_channels, width
        blocks: list[nn.Module] = []
        for level in range(layers + 1):
            normed = norm and level > 0
            stride = 2 if level < layers else 1
            blocks += [
                nn.Conv2d(before, after, 4, stride, 1, bias=not normed),
                MapNorm(after) if normed else nn.Identity(),
                nn.LeakyReLU(0.2),
            ]
            before, after = after, min(2 * after, 8 * width)
        blocks.append(nn.Conv2d(before, 1, 4, 1, 1))
        self.net = nn.Sequential(*blocks).apply(init_dcgan)
        self.receptive_field = receptive_field(self.net)
        self.smallest = 3 * 2**layers

    def forward(self, x: Tensor) -> Tensor:
        check_pictures(x, self.in_channels, "patch critic")
        if min(x.shape[-2:]) < self.smallest:
            raise GancourseError(
                f"This patch critic needs pictures of at least {self.smallest} pixels a"
                f" side, got {tuple(x.shape[-2:])}. Give it fewer layers."
            )
        return self.net(x)


def receptive_field(module: nn.Module) -> int:
    """Pixels a side that one output of a chain of convolutions depends on.

    Backwards from one output, r ← (r − 1) · stride + kernel (Dumoulin & Visin 2016).
    Normalisation is left out of the count: over whole maps it sees everything.
    """
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    field = 1
    for conv in reversed(convolutions):
        field = (field - 1) * conv.stride[0] + conv.kernel_size[0]
    return field


def check_pictures(x: Tensor, channels: int, player: str) -> None:
    """Raise GancourseError unless x is a float batch (N, channels, H, W)."""
    right = isinstance(x, Tensor) and x.ndim == 4 and x.shape[1] == channels
    if not right or not x.is_floating_point() or not x.numel():
        is_tensor = isinstance(x, Tensor)
        got = f"{tuple(x.shape)} of {str(x.dtype)[6:]}" if is_tensor else type(x)
        raise GancourseError(
            f"This {player} takes float pictures (N, {channels}, H, W), got "
            f"{got}. Nothing was computed. Give it "
            "the right channels, scale uint8 to [-1, 1], add a batch axis by x[None]."
        )
