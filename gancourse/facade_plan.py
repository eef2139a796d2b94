"""Plans of façades: where windows, doors and cornices are, and nothing else.

A plan lives on a grid of 64 × 64 units. Its label map is all that a translator is told.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

NAMES = (
    "sky", "roof", "wall", "cornice", "window", "shutter", "balcony", "door", "shop",
    "street",
)  # fmt: skip
SKY, ROOF, WALL, CORNICE, WINDOW, SHUTTER, BALCONY, DOOR, SHOP, STREET = range(10)
UNITS = 64

Box = tuple[int, int, int, int]  # top, bottom, left, right, in units


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
    half = 2 if len(edges) > 3 or room < 11 else 3
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
