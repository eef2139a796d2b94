"""How good is a restored photograph? Faithful, natural, and in the right colour.

Faithful to the original it came from: PSNR and SSIM, pair by pair. Natural: a distance
between two *sets* of pictures, blind to which output belongs to which original. Blau
and Michaeli (2018) prove that at the best trade-off one is paid for with the other.
"""

from functools import lru_cache

import torch
from torch import Tensor

from gancourse import data
from gancourse.errors import GancourseError
from gancourse.evaluation import kernel_distance, psnr, ssim
from gancourse.models import vgg
from gancourse.pairs import rgb_to_yuv

SIDE = 64  # the patches that perceptual distances are taken on


def label(n: int) -> str:
    """How a perceptual distance of `n` patches is to be labelled."""
    return f"KID × 1000, VGG conv3_1, {n:,} patches of {SIDE}×{SIDE}"


@lru_cache(maxsize=1)
def _vgg() -> vgg.VGG:
    return vgg.vgg16(data.asset(vgg.WEIGHTS))


def features(images: Tensor) -> Tensor:
    """conv3_1 of the embedded VGG-16, averaged over the map, (N, 256).

    Images are (N, 3, 64, 64), uint8 or in [-1, 1], and are rounded to uint8 as a
    picture that one saves would be.
    """
    if images.ndim != 4 or images.shape[1:] != (3, SIDE, SIDE):
        raise GancourseError(
            f"Perceptual features are taken on patches (N, 3, {SIDE}, {SIDE}), got "
            f"{tuple(images.shape)}. Resize or cut them first: other sizes give "
            "figures that do not compare."
        )
    if images.dtype != torch.uint8:
        if not images.isfinite().all():
            raise GancourseError(
                "Some images hold values that are not numbers; nothing was computed. "
                "Go back to the last finite checkpoint."
            )
        images = data.to_uint8(images.cpu())
    return _features(images.cpu().contiguous().numpy().tobytes())


@lru_cache(maxsize=4)  # the originals are looked at again and again
@torch.no_grad()
def _features(pixels: bytes) -> Tensor:
    images = torch.frombuffer(bytearray(pixels), dtype=torch.uint8)
    found = [
        _vgg()(data.to_unit(part), ["conv3_1"])["conv3_1"].mean((2, 3))
        for part in images.view(-1, 3, SIDE, SIDE).split(100)
    ]
    return torch.cat(found)


def perceptual_distance(images: Tensor, real: Tensor) -> float:
    """KID × 1000 of two sets of patches (N, 3, 64, 64) on `features`; 0 for equal laws.

    Bińkowski et al. 2018, by torchmetrics, whole sets at a time. The sets have to be
    independent: of a set and a copy of itself the figure is far below 0, as every patch
    meets its twin in the other set and never in its own. See `naturalness`.
    """
    least = min(len(images), len(real))
    distance = kernel_distance(features(images), features(real), subsets=1, size=least)
    return 1000 * distance


def naturalness(images: Tensor, originals: Tensor) -> float:
    """Perceptual distance of restored patches from photographs, lower is better.

    Row i of both belongs together, so the even rows of `images` are measured against
    the odd rows of `originals` and the other way round: no patch meets its own
    original, and the mean of both is what is returned. Originals themselves score
    about 0.
    """
    halves = [
        (slice(0, None, 2), slice(1, None, 2)),
        (slice(1, None, 2), slice(0, None, 2)),
    ]
    apart = [perceptual_distance(images[a], originals[b]) for a, b in halves]
    return sum(apart) / 2


def chroma_error(images: Tensor, originals: Tensor) -> float:
    """Mean distance in the (U, V) plane, times 1000, of pictures in [-1, 1].

    Brightness does not count. A grey picture scores how colourful the original is.
    """
    if images.shape != originals.shape:
        raise GancourseError(
            f"Colours are compared pixel by pixel, but the shapes differ: "
            f"{tuple(images.shape)} and {tuple(originals.shape)}. Resize one first."
        )
    # U and V of pixels in [-1, 1] are twice those of pixels in [0, 1].
    apart = rgb_to_yuv(images.float() - originals.float())[:, 1:] / 2
    return 1000 * apart.norm(dim=1).mean().item()


def report(images: Tensor, originals: Tensor) -> dict[str, float]:
    """What restored patches (N, 3, 64, 64) in [-1, 1] are worth, given the originals.

    Keys: `psnr` (decibels, higher is closer), `ssim` (1 is equal), `kid` (see
    naturalness, lower is better), `chroma` (see chroma_error).
    """
    images = data.to_unit(data.to_uint8(images.cpu()))  # what one would save
    originals = originals.cpu()
    parts = list(zip(images.split(200), originals.split(200), strict=True))
    return {
        "psnr": psnr(images, originals),
        "ssim": sum(ssim(a, b) * len(a) for a, b in parts) / len(images),
        "kid": naturalness(images, originals),
        "chroma": chroma_error(images, originals),
    }
