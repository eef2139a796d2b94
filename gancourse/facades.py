"""Façades: label maps, and many pictures that fit each of them.

A building is laid out on a grid of 64 × 64 units; its label map says where windows,
doors and cornices are and nothing else. Colours, materials, light, weather and whatever
stands in front are drawn separately, so one map has many pictures: the task is
one-to-many, as with photographs. Picture k of a seed is a function of (seed, k) alone.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gancourse.errors import GancourseError

NAMES = (
    "sky", "roof", "wall", "cornice", "window", "shutter", "balcony", "door", "shop",
    "street",
)  # fmt: skip
SKY, ROOF, WALL, CORNICE, WINDOW, SHUTTER, BALCONY, DOOR, SHOP, STREET = range(10)
# How label maps are drawn: light and dark alternate, so that all eyes tell them apart.
PALETTE = (
    (198, 219, 239), (150, 60, 40), (240, 228, 196), (255, 255, 255), (0, 114, 178),
    (0, 158, 115), (60, 60, 60), (213, 94, 0), (204, 121, 167), (150, 150, 150),
)  # fmt: skip
UNITS = 64

Box = tuple[int, int, int, int]  # top, bottom, left, right, in units


class Facades(NamedTuple):
    """Label maps uint8 (N, size, size) and pictures uint8 (N, 3, size, size)."""

    labels: Tensor
    pictures: Tensor


@dataclass
class Layout:
    """A building: its label map (64, 64), and its parts for the painter."""

    labels: np.ndarray = field(default_factory=lambda: np.zeros((UNITS, UNITS), int))
    parts: list[tuple[int, Box]] = field(default_factory=list)

    def add(self, label: int, box: Box) -> None:
        """Put a part on top of what is there; the box is cut at the map's border."""
        top, bottom, left, right = (min(max(v, 0), UNITS) for v in box)
        self.labels[top:bottom, left:right] = label
        self.parts.append((label, (top, bottom, left, right)))


# ------------------------------------------------------------------ the plan


def layout(rng: np.random.Generator) -> Layout:
    """A building at random: floors, bays, one door, and what goes with them."""
    plan, top, street = Layout(), int(rng.integers(4, 9)), int(rng.integers(57, 61))
    left, right = int(rng.choice([0, 0, 3, 5])), UNITS - int(rng.choice([0, 0, 3, 5]))
    bays = int(rng.integers(3, 6))
    if rng.random() < 0.75:
        top = _roof(plan, rng, top, left, right, bays)
    plan.add(STREET, (street, UNITS, 0, UNITS))
    plan.add(WALL, (top, street, left, right))
    plan.add(CORNICE, (top, top + int(rng.integers(2, 4)), left - 1, right + 1))
    ground = street - int(rng.integers(13, 16))
    floors = 3 if ground - top > 30 else 2
    _upper_floors(
        plan, rng, np.linspace(top + 3, ground, floors + 1), left, right, bays
    )
    plan.add(CORNICE, (ground, ground + int(rng.integers(1, 3)), left, right))
    _ground_floor(plan, rng, ground + 2, street, left, right, bays)
    return plan


def _centres(left: int, right: int, bays: int) -> list[int]:
    width = (right - left) / bays
    return [round(left + width * (bay + 0.5)) for bay in range(bays)]


def _roof(plan: Layout, rng, top: int, left: int, right: int, bays: int) -> int:
    """A roof with chimneys and perhaps dormers; where the wall below it begins."""
    height = int(rng.integers(7, 11))
    for x in rng.choice(np.arange(left + 4, right - 6), 2, replace=False):
        plan.add(ROOF, (top - 3, top, int(x), int(x) + int(rng.integers(2, 4))))
    plan.add(ROOF, (top, top + height, left, right))
    if rng.random() < 0.6:
        for x in _centres(left, right, bays):
            plan.add(CORNICE, (top + 2, top + 3, x - 3, x + 3))
            plan.add(WINDOW, (top + 3, top + 7, x - 2, x + 2))
    return top + height


def _upper_floors(plan: Layout, rng, edges, left: int, right: int, bays: int) -> None:
    """Rows of equal windows, with or without shutters, sills and balconies."""
    room = (right - left) / bays
    half = int(rng.integers(2, max(3, int(room * 0.3)) + 1))
    half = min(half, 3) if room < 14 else half
    shutters = rng.random() < 0.45 and room >= 2 * half + 5
    sills, heads = rng.random() < 0.8, rng.random() < 0.4
    balconies = rng.choice(["none", "each", "whole"], p=[0.35, 0.35, 0.3])
    floor_with = int(rng.integers(len(edges) - 1))
    for floor, (above, below) in enumerate(pairwise(edges)):
        top = round(above) + int(1 + (below - above) * 0.18)
        bottom = round(below) - 2
        for x in _centres(left, right, bays):
            _window(plan, (top, bottom, x - half, x + half), shutters, sills, heads)
            if balconies == "each" and floor == floor_with:
                plan.add(BALCONY, (bottom - 3, bottom + 1, x - half - 1, x + half + 1))
        if balconies == "whole" and floor == floor_with:
            plan.add(BALCONY, (bottom - 3, bottom + 1, left + 2, right - 2))


def _window(plan: Layout, box: Box, shutters: bool, sills: bool, heads: bool) -> None:
    top, bottom, left, right = box
    if heads:
        plan.add(CORNICE, (top - 1, top, left - 1, right + 1))
    if sills:
        plan.add(CORNICE, (bottom, bottom + 1, left - 1, right + 1))
    if shutters:
        plan.add(SHUTTER, (top, bottom, left - 2, left))
        plan.add(SHUTTER, (top, bottom, right, right + 2))
    plan.add(WINDOW, box)


def _ground_floor(plan: Layout, rng, top: int, street: int, left, right, bays) -> None:
    """One door; beside it shop fronts or windows."""
    centres = _centres(left, right, bays)
    door = int(rng.integers(bays))
    half = min(5, int((right - left) / bays / 2) - 1)
    with_shops = rng.random() < 0.5
    for bay, x in enumerate(centres):
        if bay == door:
            plan.add(CORNICE, (top + 1, street, x - 4, x + 4))
            plan.add(DOOR, (top + 2, street, x - 3, x + 3))
        elif with_shops:
            plan.add(SHOP, (top + 1, street - 1, x - half, x + half))
        else:
            plan.add(CORNICE, (street - 4, street - 3, x - 4, x + 4))
            plan.add(WINDOW, (top + 2, street - 4, x - 3, x + 3))


# ------------------------------------------------------------------ the look

_WALLS = np.array([
    (0.87, 0.70, 0.42), (0.93, 0.86, 0.70), (0.80, 0.48, 0.35), (0.90, 0.70, 0.66),
    (0.60, 0.72, 0.82), (0.64, 0.73, 0.58), (0.70, 0.68, 0.64), (0.62, 0.29, 0.23),
    (0.92, 0.91, 0.88),
])  # fmt: skip
_ROOFS = np.array([(0.62, 0.30, 0.20), (0.33, 0.36, 0.42), (0.42, 0.56, 0.50)])
_PAINTS = np.array([
    (0.15, 0.36, 0.26), (0.16, 0.28, 0.45), (0.42, 0.24, 0.14), (0.50, 0.12, 0.12),
    (0.30, 0.31, 0.33), (0.55, 0.62, 0.66),
])  # fmt: skip
_SKIES = np.array([
    [(0.33, 0.55, 0.85), (0.75, 0.86, 0.95)], [(0.70, 0.73, 0.77), (0.83, 0.84, 0.85)],
    [(0.42, 0.45, 0.68), (0.97, 0.72, 0.52)],
])  # fmt: skip


@dataclass(frozen=True)
class Look:
    """What the label map does not say: materials, light, weather, what is in front."""

    wall: np.ndarray
    material: str  # "plaster", "brick", "stone"
    trim: np.ndarray
    roof: np.ndarray
    shutter: np.ndarray
    door: np.ndarray
    awning: np.ndarray
    sky: np.ndarray  # (2, 3): at the top, at the horizon
    sun: int  # -1 from the left, +1 from the right
    light: float  # strength of shadows: 0 overcast, 1 noon
    dusk: bool  # lamps are lit behind some windows
    shadow: float  # slope of a neighbour's shadow; 0: none
    front: str  # "nothing", "tree", "lamp", "car"


def look(rng: np.random.Generator) -> Look:
    """A look at random. Brick goes with warm walls, lit windows with a red sky."""
    which, weather = int(rng.integers(len(_WALLS))), int(rng.integers(3))
    wall = np.clip(_WALLS[which] + rng.normal(0, 0.025, 3), 0, 1)
    material = "brick" if which in (2, 7) else rng.choice(["plaster", "stone"])
    trim = [np.array([0.95, 0.94, 0.90]), wall * 0.6 + 0.38, wall * 0.62]
    paints = _PAINTS[rng.integers(len(_PAINTS), size=3)]
    return Look(
        wall=wall,
        material=str(material),
        trim=trim[int(rng.choice(3, p=[0.5, 0.3, 0.2]))],
        roof=_ROOFS[int(rng.integers(len(_ROOFS)))] + rng.normal(0, 0.02, 3),
        shutter=paints[0],
        door=paints[1],
        awning=paints[2] * 0.5 + np.array([0.35, 0.2, 0.12]),
        sky=_SKIES[weather],
        sun=int(rng.choice([-1, 1])),
        light=[0.8, 0.2, 0.55][weather] + float(rng.uniform(0, 0.2)),
        dusk=weather == 2,
        shadow=float(rng.choice([0, 0, 1])) * float(rng.uniform(0.4, 1.5)),
        front=str(
            rng.choice(["nothing", "tree", "lamp", "car"], p=[0.4, 0.3, 0.1, 0.2])
        ),
    )


# ------------------------------------------------------------------ pairs


def _check(n: int, size: int) -> None:
    if n < 1 or size < UNITS or size % UNITS:
        raise GancourseError(
            f"{n} façades of {size} pixels can not be drawn: there must be at least one"
            f" and the side must be a multiple of {UNITS}. Choose 64, 128 or 256."
        )


def pairs(n: int, seed: int = 0, size: int = UNITS) -> Facades:
    """n buildings, each in one look at random: their label maps and their pictures."""
    from gancourse.facade_paint import paint

    _check(n, size)
    labels, pictures = [], []
    for k in range(n):
        rng = np.random.default_rng([seed, k])
        plan = layout(rng)
        labels.append(plan.labels)
        pictures.append(paint(plan, look(rng), rng, size))
    return Facades(_enlarged(labels, size), _stacked(pictures))


def looks(n: int, seed: int = 0, size: int = UNITS) -> Facades:
    """One building in n looks: the same label map n times, n different pictures."""
    from gancourse.facade_paint import paint

    _check(n, size)
    plan = layout(np.random.default_rng([seed, 0]))
    rngs = [np.random.default_rng([seed, 0, k]) for k in range(n)]
    pictures = [paint(plan, look(rng), rng, size) for rng in rngs]
    return Facades(_enlarged([plan.labels] * n, size), _stacked(pictures))


def _stacked(pictures: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def _enlarged(labels: list[np.ndarray], size: int) -> Tensor:
    maps = torch.from_numpy(np.stack(labels)).byte()
    scale = size // UNITS
    return maps.repeat_interleave(scale, 1).repeat_interleave(scale, 2)


def condition(labels: Tensor) -> Tensor:
    """What G and D are given: maps (N, H, W) as a plane a label, (N, 10, H, W), ±1."""
    planes = one_hot(labels.long(), len(NAMES)).permute(0, 3, 1, 2)
    return (2.0 * planes - 1).contiguous()


def coloured(labels: Tensor) -> Tensor:
    """Label maps (N, H, W) as pictures uint8 (N, 3, H, W), in PALETTE."""
    palette = torch.tensor(PALETTE, dtype=torch.uint8)
    return palette[labels.long()].permute(0, 3, 1, 2).contiguous()
