"""Façades: label maps, and many pictures that fit each of them.

The plan (facade_plan.py) says where the parts of a building are; its look
(facade_paint.py: materials, light, weather, whatever stands in front) is drawn apart,
so one label map has many pictures: the task is one-to-many, as with photographs. And
because a picture follows its map, the map can be read off it again: `recovery` measures
how far, by a segmenter that saw nothing but painted façades.

Remake the segmenter (about three minutes on one core):  python -m gancourse.facades
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, cross_entropy, one_hot

from gancourse import data
from gancourse.errors import GancourseError
from gancourse.facade_paint import look, paint
from gancourse.facade_plan import NAMES, UNITS, layout
from gancourse.models.segmenter import Segmenter
from gancourse.settings import whole

SEGMENTER = "facades/segmenter.safetensors"
# How label maps are drawn: light and dark alternate, so that all eyes tell them apart.
PALETTE = (
    (198, 219, 239), (150, 60, 40), (240, 228, 196), (255, 255, 255), (0, 114, 178),
    (0, 158, 115), (60, 60, 60), (213, 94, 0), (204, 121, 167), (150, 150, 150),
)  # fmt: skip


class Facades(NamedTuple):
    """Label maps uint8 (N, size, size) and pictures uint8 (N, 3, size, size)."""

    labels: Tensor
    pictures: Tensor


# ------------------------------------------------------------------ pairs


def _check(n: int, size: int) -> None:
    if not whole(n, 1) or not whole(size, UNITS) or size % UNITS:
        raise GancourseError(
            f"{n!r} façades of {size!r} pixels cannot be drawn: there must be at "
            f"least one and the side must be a multiple of {UNITS}. Choose 64, 128 or "
            "256."
        )


def pairs(
    n: int, seed: int = 0, size: int = UNITS, look_seed: int | None = None
) -> Facades:
    """n buildings, each in one look at random: their label maps and their pictures.

    `look_seed` paints the buildings of `seed` in other looks, but with the same paint
    on their walls: other right answers.
    """
    _check(n, size)
    labels, pictures = [], []
    for k in range(n):
        rng = np.random.default_rng([seed, k])
        plan = layout(rng)
        style = look(rng)
        if look_seed is not None:
            rng = np.random.default_rng([seed, k, look_seed])
            style = look(rng, style.wall)
        labels.append(plan.labels)
        pictures.append(paint(plan, style, rng, size))
    return Facades(_enlarged(labels, size), _stacked(pictures))


def paints(n: int, seed: int = 0) -> Tensor:
    """The paint on the walls of `pairs(n, seed)`, in even light: (n, 3) in [-1, 1]."""
    _check(n, UNITS)
    walls = []
    for k in range(n):
        rng = np.random.default_rng([seed, k])
        layout(rng)  # drawn first, so that the look is the one of `pairs`
        walls.append(look(rng).wall)
    return torch.from_numpy(2 * np.stack(walls) - 1).float()


def looks(
    n: int, seed: int = 0, size: int = UNITS, wall: Tensor | None = None
) -> Facades:
    """One building in n looks: the same label map n times, n different pictures.

    With `wall`, (3,) in [-1, 1], that is what is on its wall each time.
    """
    _check(n, size)
    wall = None if wall is None else (wall.numpy() + 1) / 2
    plan = layout(np.random.default_rng([seed, 0]))
    rngs = [np.random.default_rng([seed, 0, k]) for k in range(n)]
    pictures = [paint(plan, look(rng, wall), rng, size) for rng in rngs]
    return Facades(_enlarged([plan.labels] * n, size), _stacked(pictures))


def _stacked(pictures: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def _enlarged(labels: list[np.ndarray], size: int) -> Tensor:
    maps = torch.from_numpy(np.stack(labels)).byte()
    scale = size // UNITS
    return maps.repeat_interleave(scale, 1).repeat_interleave(scale, 2)


def condition(labels: Tensor, wall: Tensor | None = None) -> Tensor:
    """What G and D are given: maps (N, H, W) as a plane a label, (N, 10, H, W), ±1.

    With `wall`, (N, 3) in [-1, 1], three more planes, each of one value: (N, 13, H, W).
    """
    planes = one_hot(labels.long(), len(NAMES)).permute(0, 3, 1, 2)
    planes = (2.0 * planes - 1).contiguous()
    if wall is None:
        return planes
    chip = wall[:, :, None, None].to(planes).expand(-1, -1, *labels.shape[1:])
    return torch.cat([planes, chip], 1)


def coloured(labels: Tensor, wall: Tensor | None = None) -> Tensor:
    """Label maps (N, H, W) as pictures uint8 (N, 3, H, W), in PALETTE.

    With `wall`, (N, 3) in [-1, 1], the walls have that paint.
    """
    palette = torch.tensor(PALETTE, dtype=torch.uint8)
    maps = palette[labels.long()].permute(0, 3, 1, 2).contiguous()
    if wall is None:
        return maps
    chip = data.to_uint8(wall[:, :, None, None])
    return torch.where(labels[:, None] == NAMES.index("wall"), chip, maps)


# ------------------------------------------------------------------ reading them again


@lru_cache(maxsize=1)
def segmenter() -> Segmenter:
    """The embedded reader of façades in evaluation mode, frozen, on the CPU."""
    from safetensors.torch import load_file

    model = Segmenter(len(NAMES))
    model.load_state_dict(load_file(data.asset(SEGMENTER)))
    return model.eval().requires_grad_(False)


@torch.no_grad()
def read(pictures: Tensor) -> Tensor:
    """The label map (N, 64, 64) that the segmenter sees in pictures (N, 3, H, W).

    Pictures are uint8 or in [-1, 1]; larger ones are averaged down to 64 pixels first.
    """
    size = pictures.shape[-1]
    if pictures.ndim != 4 or pictures.shape[1:] != (3, size, size) or size % UNITS:
        raise GancourseError(
            f"Façades are read from pictures (N, 3, 64, 64) or a multiple of 64, got "
            f"{tuple(pictures.shape)}. Resize them first."
        )
    if pictures.dtype != torch.uint8:
        pictures = data.to_uint8(pictures.cpu())
    unit = avg_pool2d(data.to_unit(pictures.cpu()), size // UNITS)
    return torch.cat([segmenter()(part).argmax(1) for part in unit.split(50)])


def recovery(pictures: Tensor, labels: Tensor) -> float:
    """Share of pixels whose label the segmenter reads off the pictures rightly.

    Labels (N, H, W) belong to the pictures row by row. Painted façades score below 1:
    trees and cars hide what is behind them.
    """
    truth = labels[:, :: labels.shape[1] // UNITS, :: labels.shape[2] // UNITS]
    return (read(pictures) == truth.cpu()).float().mean().item()


def train_segmenter(steps: int = 800, seed: int = 10_001) -> Segmenter:
    """Train the reader on 1,500 painted façades of their own, seeded."""
    labels, pictures = pairs(1_500, seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Segmenter(len(NAMES))
    opt = torch.optim.AdamW(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, 6e-3, steps)
    rng = torch.Generator().manual_seed(seed)
    batches = data.batches((pictures, labels.long()), 8, seed)
    for k in range(steps):
        x, y = batches[k]
        # Outputs of a generator are a little softer and noisier than the painter's.
        x = x + 0.05 * torch.randn(x.shape, generator=rng)
        loss = cross_entropy(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        schedule.step()
        if k % 100 == 99:
            print(f"step {k + 1}: cross-entropy {loss.item():.3f}", flush=True)
    return model.eval()


def _main() -> None:
    """Retrain the segmenter and write it among the assets with its checksum."""
    import hashlib

    from safetensors.torch import save_file

    model = train_segmenter()
    path = data.ASSETS / SEGMENTER
    path.parent.mkdir(exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"Wrote {path}. Put this line into SHA256SUMS:\n{digest}  {SEGMENTER}")


if __name__ == "__main__":
    _main()
