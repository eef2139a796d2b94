"""Pairs for tasks with a right answer: photographs, and what a camera made of them.

Every photograph here is real and on disk: nine that the course embeds, five that
scikit-image carries. The split is by photograph and fixed, never by crop: two crops of
one picture share its light, its lens and its things, so a crop "held out" is not.

Colours have to be learned from more things than fourteen photographs show. For them
there is an album of small ones, split in three: to train on, to choose settings by, and
held out.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gancourse import data
from gancourse.errors import GancourseError

# Chosen once, before anything was trained: a face, fur, a table top, a landscape.
HELD_OUT = ("astronaut", "chelsea", "coffee", "picos-de-europa")
TRAIN = (
    "aitzgorri", "brushes", "dandelions", "dogs", "fig",
    "motorcycle", "rocket", "room", "stream", "sunset",
)  # fmt: skip
SPLITS = {"train": TRAIN, "held-out": HELD_OUT}

# ------------------------------------------------------------------ photographs


def photograph(name: str, side: int | None = None) -> Tensor:
    """One photograph of either split, uint8 (3, H, W).

    With `side` the longer side is scaled down to that many pixels, antialiased.
    """
    if name not in (*TRAIN, *HELD_OUT, *album()):
        known = ", ".join(sorted(TRAIN + HELD_OUT))
        raise GancourseError(
            f"There is no photograph '{name}' in the pairs. Choose one of: {known}; or "
            "one of the album, pairs.album()."
        )
    if name in data.asset_names("photos") + album():
        image = data.picture(name)
    else:
        image = _of_scikit_image(name)
    if side is None or max(image.shape) <= side:
        return image
    shape = [max(1, round(s * side / max(image.shape))) for s in image.shape[1:]]
    return data.to_uint8(_bicubic(data.to_unit(image[None]), shape))[0]


def album(part: str = "all") -> list[str]:
    """Names of the album's photographs, 256 pixels wide or high; of one part, or all.

    By the alphabet, every eighth is in "choose" (fourth, twelfth, ...) and every eighth
    in "held-out" (eighth, sixteenth, ...); the others are in "train".
    """
    names = data.asset_names("album")
    parts = {"all": names, "choose": names[3::8], "held-out": names[7::8]}
    kept_out = parts["choose"] + parts["held-out"]
    parts["train"] = [name for name in names if name not in kept_out]
    if part not in parts:
        raise GancourseError(
            f"The album has no part '{part}'. Choose one of: {', '.join(parts)}."
        )
    return parts[part]


def _of_scikit_image(name: str) -> Tensor:
    """A picture that comes inside the package scikit-image: nothing is downloaded."""
    from skimage import data as bundled

    if name == "motorcycle":  # the left one of a stereo pair
        image = bundled.stereo_motorcycle()[0]
    else:
        image = getattr(bundled, name)()
    return torch.from_numpy(image.copy()).permute(2, 0, 1)


def patches(
    split: str, size: int = 64, step: int | None = None, side: int | None = None
) -> Tensor:
    """Square patches of all photographs of a split, uint8 (N, 3, size, size).

    `split` is "train" or "held-out"; `step` lies between the corners of neighbours
    (default: half of `size` for training, `size` for held-out, so none overlap there).
    """
    if split not in SPLITS:
        raise GancourseError(
            f"There is no split '{split}' of the photographs. Choose 'train' or "
            "'held-out'."
        )
    step = step or (size // 2 if split == "train" else size)
    found = []
    for name in SPLITS[split]:
        image = photograph(name, side)
        if min(image.shape[1:]) < size:
            raise GancourseError(
                f"Patches of {size} pixels do not fit into '{name}' "
                f"({image.shape[2]}×{image.shape[1]}). Choose smaller ones."
            )
        tiles = image.unfold(1, size, step).unfold(2, size, step)
        found.append(tiles.permute(1, 2, 0, 3, 4).reshape(-1, 3, size, size))
    return torch.cat(found)


# ------------------------------------------------------------------ colour

# ITU-R BT.601 luma and scaled colour differences: scikit-image's rgb2yuv.
YUV_FROM_RGB = torch.tensor(
    [
        [0.299, 0.587, 0.114],
        [-0.14714119, -0.28886916, 0.43601035],
        [0.61497538, -0.51496512, -0.10001026],
    ],
    dtype=torch.float64,
)


def rgb_to_yuv(images: Tensor) -> Tensor:
    """Y, U, V of pixels (N, 3, H, W): one 3×3 matrix, so nothing is there to learn.

    Pixels in [0, 1] give scikit-image's values. Grey has U = V = 0 on any scale, so
    pixels in [-1, 1] give Y in [-1, 1] and twice the U and V.
    """
    return torch.einsum("ij,njhw->nihw", YUV_FROM_RGB.to(images), images)


def yuv_to_rgb(images: Tensor) -> Tensor:
    """The way back, exact up to rounding; not every (Y, U, V) is a colour in range."""
    return torch.einsum("ij,njhw->nihw", YUV_FROM_RGB.inverse().to(images), images)


# ------------------------------------------------------------------ degradations


def _bicubic(images: Tensor, shape: list[int]) -> Tensor:
    return interpolate(images, shape, mode="bicubic", antialias=True)


def downsample(images: Tensor, factor: int) -> Tensor:
    """(N, C, H, W) as (N, C, H / factor, W / factor): bicubic, antialiased."""
    height, width = images.shape[-2:]
    if height % factor or width % factor:
        raise GancourseError(
            f"A picture of {width}×{height} cannot be reduced by {factor} exactly. "
            f"Resize it to multiples of {factor} first."
        )
    return _bicubic(images, [height // factor, width // factor])


def upsample(images: Tensor, factor: int) -> Tensor:
    """(N, C, H, W) enlarged by bicubic interpolation (Keys 1981, a = -0.75)."""
    return interpolate(images, scale_factor=factor, mode="bicubic")


def add_noise(images: Tensor, rng: torch.Generator, std: float = 0.2) -> Tensor:
    """Gaussian noise of `std` on pixels in [-1, 1] (0.2 is 25.5 of 255 grey values)."""
    return images + std * _randn(images, rng)


def darken(
    images: Tensor, rng: torch.Generator, light: float = 0.06, photons: float = 500.0
) -> Tensor:
    """The picture taken with `light` times the light: darker, and noisier by physics.

    Pixels are made linear in light (gamma 2.2); each then catches on average `photons`
    times its brightness, and Poisson counts, here as Gaussians, scatter by the square
    root of their mean. Values in and out lie in [-1, 1].
    """
    linear = ((images + 1) / 2).clamp(0, 1) ** 2.2 * light
    caught = linear + (linear / photons).sqrt() * _randn(images, rng)
    return caught.clamp(0, 1) ** (1 / 2.2) * 2 - 1


def grey(images: Tensor) -> Tensor:
    """(N, 3, H, W) with the luma Y in all three channels."""
    return rgb_to_yuv(images)[:, :1].expand(-1, 3, -1, -1)


def _randn(like: Tensor, rng: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=rng, device=like.device)


# ------------------------------------------------------------------ tasks


class Task(NamedTuple):
    """A degradation: `degrade(images, rng)` on [-1, 1]; the answer is `scale` × larger.

    `side`: photographs are taken with this longer side. A colour has to be guessed from
    what the thing is, so colourisation looks at smaller pictures with more in a patch.
    """

    title: str
    degrade: Callable[[Tensor, torch.Generator], Tensor]
    scale: int = 1
    side: int | None = None


def _reduced(images: Tensor, _rng: torch.Generator, factor: int) -> Tensor:
    return downsample(images, factor)


TASKS = {
    "x2": Task("super-resolution ×2", partial(_reduced, factor=2), scale=2),
    "x4": Task("super-resolution ×4", partial(_reduced, factor=4), scale=4),
    "noise": Task("denoising", add_noise),
    "dark": Task("low light", darken),
    "colour": Task("colourisation", lambda images, _rng: grey(images), side=256),
}


def degraded(task: str, originals: Tensor, seed: int = 0) -> Tensor:
    """Originals, uint8 (N, 3, H, W), as the task's degradation leaves them, uint8.

    Noise is drawn from `seed`. The rounding to 256 values is part of the damage.
    """
    rng = torch.Generator().manual_seed(seed)
    parts = [
        data.to_uint8(_task(task).degrade(data.to_unit(part), rng))
        for part in originals.split(500)
    ]
    return torch.cat(parts)


def pairs(
    task: str, split: str, size: int = 64, step: int | None = None, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """(inputs, originals) of a task, both uint8; the originals are (N, 3, size, size).

    `data.batches(pairs("x4", "train"), 16)` makes batches of it. The noise differs
    between the splits.
    """
    originals = patches(split, size, step, _task(task).side)
    return degraded(
        task, originals, seed + (split == "held-out") * 1_000_003
    ), originals


def _task(name: str) -> Task:
    if name not in TASKS:
        raise GancourseError(
            f"There is no task '{name}'. Choose one of: {', '.join(TASKS)}."
        )
    return TASKS[name]
