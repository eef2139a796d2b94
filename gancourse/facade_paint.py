"""The painter of façades: from a plan and a look to pixels.

Everything is drawn at twice the size and averaged down, in units of the plan's grid, so
that a larger picture of the same building is the same building with more detail.
"""

from dataclasses import dataclass

import numpy as np

from gancourse import facade_plan as f

_GLASS = np.array([(0.20, 0.25, 0.31), (0.28, 0.34, 0.40), (0.16, 0.18, 0.22)])
_LAMP = np.array([0.98, 0.80, 0.45])
_CURTAIN = np.array([0.80, 0.79, 0.75])


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


def look(rng: np.random.Generator, wall: np.ndarray | None = None) -> Look:
    """A look at random. Brick goes with warm walls, lit windows with a red sky.

    With `wall`, (3,) in [0, 1], everything is drawn but the paint of the wall.
    """
    which, weather = int(rng.integers(len(_WALLS))), int(rng.integers(3))
    drawn = np.clip(_WALLS[which] + rng.normal(0, 0.025, 3), 0, 1)
    if wall is None:
        wall = drawn
    else:
        which = int(np.abs(_WALLS - wall).sum(1).argmin())
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


# ------------------------------------------------------------------ the canvas


class Canvas:
    """A picture (side, side, 3) in [0, 1] addressed in units of the plan."""

    def __init__(self, size: int):
        self.side = 2 * size
        self.unit = self.side / f.UNITS
        self.pixels = np.zeros((self.side, self.side, 3))

    def at(self, box) -> np.ndarray:
        """The pixels of a box (top, bottom, left, right), fractions allowed."""
        rows = [min(max(round(v * self.unit), 0), self.side) for v in box]
        return self.pixels[rows[0] : rows[1], rows[2] : rows[3]]

    def fill(self, box, colour, cover: float = 1.0) -> None:
        """Lay a colour over a box."""
        part = self.at(box)
        part += cover * (np.asarray(colour) - part)

    def shade(self, box, factor: float) -> None:
        """Darken (below 1) or lighten a box."""
        part = self.at(box)
        part *= factor

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of each pixel, in units."""
        line = (np.arange(self.side) + 0.5) / self.unit
        return line[:, None], line[None, :]


def clouds(rng: np.random.Generator, side: int, cells: int) -> np.ndarray:
    """Smooth noise (side, side) of about 0 ± 1 with `cells` bumps a side."""
    grid = rng.normal(size=(cells + 2, cells + 2))
    place = np.linspace(0, cells, side)
    low = place.astype(int)
    part = place - low
    part = part * part * (3 - 2 * part)
    rows = grid[low] * (1 - part)[:, None] + grid[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


def paint(plan: f.Layout, look: Look, rng: np.random.Generator, size: int):
    """One picture, uint8 (size, size, 3), of the plan in this look."""
    canvas = Canvas(size)
    _sky(canvas, look, rng)
    brush = {
        f.ROOF: _roof, f.WALL: _wall, f.CORNICE: _cornice, f.WINDOW: _window,
        f.SHUTTER: _shutter, f.BALCONY: _balcony, f.DOOR: _door, f.SHOP: _shop,
        f.STREET: _street,
    }  # fmt: skip
    for label, box in plan.parts:
        brush[label](canvas, box, look, rng)
    _neighbour(canvas, plan, look)
    {"nothing": _nothing, "tree": _tree, "lamp": _lamp, "car": _car}[look.front](
        canvas, rng
    )
    warm = np.array([1.04, 1.0, 0.93]) if look.dusk else np.array([1.0, 1.0, 1.0])
    pixels = canvas.pixels * warm * (0.84 + 0.16 * look.light)
    pixels = pixels.reshape(size, 2, size, 2, 3).mean((1, 3))
    pixels = pixels + rng.normal(0, 0.012, pixels.shape)
    return (pixels.clip(0, 1) * 255).round().astype(np.uint8)


# ------------------------------------------------------------------ surfaces


def _sky(canvas, look, rng) -> None:
    down = np.linspace(0, 1, canvas.side)[:, None, None] * 2.5
    canvas.pixels[:] = look.sky[0] + np.minimum(down, 1) * (look.sky[1] - look.sky[0])
    cover = (clouds(rng, canvas.side, 6) + 0.5 * clouds(rng, canvas.side, 13)).clip(
        0, 1
    )
    canvas.pixels += 0.6 * cover[..., None] * (0.93 - canvas.pixels)


def _grain(canvas, box, rng, amount: float, cells: int) -> None:
    part = canvas.at(box)
    noise = clouds(rng, canvas.side, cells)[: part.shape[0], : part.shape[1]]
    part *= 1 + amount * noise[..., None]


def _blocks(canvas, box, rng, height: float, width: float, depth: float) -> None:
    """Courses of blocks, every other one moved by half, each of its own brightness."""
    part = canvas.at(box)
    row, column = canvas.places()
    course = np.floor(row / height).astype(int)
    block = np.floor(column / width + 0.5 * (course % 2)).astype(int)
    tone = rng.normal(1, depth, (course.max() + 1, block.max() + 1))[course, block]
    joint = (row / height % 1 < 0.22) | ((column / width + course % 2 / 2) % 1 < 0.1)
    tone = np.where(joint, 1 - 1.3 * depth, tone)
    part *= tone[: part.shape[0], : part.shape[1], None]


def _wall(canvas, box, look, rng) -> None:
    canvas.fill(box, look.wall)
    if look.material == "brick":
        _blocks(canvas, box, rng, 1.5, 3.2, 0.10)
    elif look.material == "stone":
        _blocks(canvas, box, rng, 3.5, 7.0, 0.06)
    _grain(canvas, box, rng, 0.05, 5)
    _grain(canvas, box, rng, 0.03, 30)


def _roof(canvas, box, look, rng) -> None:
    top, bottom, left, right = box
    if bottom - top <= 3:  # a chimney
        canvas.fill(box, look.roof * 0.5 + 0.22)
        canvas.fill((top, top + 0.6, left, right), (0.25, 0.2, 0.18))
        return
    canvas.fill(box, look.roof)
    _blocks(canvas, box, rng, 1.3, 1.6, 0.12)
    canvas.shade((top, top + 0.8, left, right), 1.25)


def _cornice(canvas, box, look, rng) -> None:
    top, bottom, left, right = box
    canvas.fill(box, look.trim)
    canvas.shade((top, top + 0.5, left, right), 1.06)
    canvas.shade((bottom - 0.5, bottom, left, right), 0.8)
    if bottom - top >= 2 and right - left > 20:  # dentils
        for x in np.arange(left, right, 2.0):
            canvas.shade((bottom - 1.5, bottom - 0.5, x, x + 1), 0.78)
    if bottom - top <= 3:  # its shadow falls on what is below
        deep = 1.5 if right - left > 20 else 0.5
        canvas.shade((bottom, bottom + deep, left, right), 1 - 0.4 * look.light)


def _street(canvas, box, look, rng) -> None:
    top, _, left, right = box
    canvas.fill(box, (0.50, 0.49, 0.48))
    canvas.fill((top, top + 1, left, right), (0.66, 0.65, 0.62))
    canvas.fill((top + 1, top + 1.5, left, right), (0.34, 0.34, 0.35))
    _grain(canvas, box, rng, 0.06, 40)


# ------------------------------------------------------------------ openings


def _glazing(canvas, box, look, rng) -> None:
    """Dark glass that mirrors the sky towards its top, curtains, or a lamp within."""
    top, bottom, left, right = box
    glass = _GLASS[int(rng.integers(3))] + rng.normal(0, 0.015, 3)
    mirror = float(rng.uniform(0.05, 0.45))
    lit = look.dusk and rng.random() < 0.35
    for y in np.arange(top, bottom, 0.5):
        share = mirror * (1 - (y - top) / max(1, bottom - top))
        colour = glass + share * (look.sky[1] - glass)
        colour = _LAMP * (1 - 0.2 * share) if lit else colour
        canvas.fill((y, y + 0.5, left, right), colour)
    if rng.random() < 0.4 and not lit:
        width = (right - left) * float(rng.uniform(0.15, 0.3))
        canvas.fill((top, bottom, left, left + width), _CURTAIN, 0.7)
        canvas.fill((top, bottom, right - width, right), _CURTAIN, 0.7)


def _window(canvas, box, look, rng) -> None:
    top, bottom, left, right = box
    frame = look.trim * 0.5 + 0.45
    canvas.fill(box, frame)
    middle = (left + right) / 2
    high = top + 0.35 * (bottom - top)
    _glazing(canvas, (top + 0.5, bottom - 0.5, left + 0.5, right - 0.5), look, rng)
    canvas.fill((top, bottom, middle - 0.25, middle + 0.25), frame)
    canvas.fill((high, high + 0.5, left, right), frame)
    canvas.shade((top, top + 0.75, left, right), 1 - 0.45 * look.light)
    side = (right - 0.75, right) if look.sun > 0 else (left, left + 0.75)
    canvas.shade((top, bottom, *side), 1 - 0.35 * look.light)


def _shutter(canvas, box, look, rng) -> None:
    top, bottom, left, right = box
    canvas.fill(box, look.shutter * float(rng.uniform(0.94, 1.06)))
    for y in np.arange(top + 0.5, bottom - 0.5, 1.0):
        canvas.shade((y, y + 0.5, left + 0.25, right - 0.25), 0.78)


def _balcony(canvas, box, look, rng) -> None:
    top, bottom, left, right = box
    canvas.fill((top, bottom - 1, left, right), (0.13, 0.13, 0.15), 0.35)
    for x in np.arange(left, right, 1.0):
        canvas.fill((top, bottom - 1, x, x + 0.5), (0.10, 0.10, 0.12), 0.9)
    canvas.fill((top, top + 0.75, left, right), (0.10, 0.10, 0.12))
    canvas.fill((bottom - 1, bottom, left, right), look.trim * 0.9)
    canvas.shade((bottom, bottom + 2, left, right), 1 - 0.5 * look.light)


def _door(canvas, box, look, rng) -> None:
    top, bottom, left, right = box
    canvas.fill(box, look.door)
    _glazing(canvas, (top + 0.5, top + 2.5, left + 0.5, right - 0.5), look, rng)
    middle = (left + right) / 2
    for y in (top + 3.5, top + 7):
        for x in (left + 0.75, middle + 0.5):
            canvas.shade((y, min(y + 2.5, bottom - 1), x, x + 1.75), 0.7)
    canvas.shade((top, bottom, middle - 0.25, middle + 0.25), 0.5)
    canvas.fill((top + 6, top + 6.5, middle + 0.5, middle + 1), (0.9, 0.75, 0.3))
    canvas.shade((top, top + 1, left, right), 1 - 0.4 * look.light)


def _shop(canvas, box, look, rng) -> None:
    top, bottom, left, right = box
    canvas.fill(box, look.door * 0.7 + 0.05)
    _glazing(canvas, (top + 3, bottom - 2, left + 0.75, right - 0.75), look, rng)
    for x in np.arange(left + 1.5, right - 1.5, 1.5):  # wares
        colour = rng.uniform(0.25, 0.85, 3)
        height = float(rng.uniform(1, 2.5))
        canvas.fill((bottom - 2 - height, bottom - 2, x, x + 1), colour, 0.7)
    for number, x in enumerate(np.arange(left, right, 1.0)):  # a striped awning
        stripe = look.awning if number % 2 else np.array([0.93, 0.91, 0.85])
        canvas.fill((top, top + 3, x, x + 1), stripe)
    canvas.shade((top + 2.25, top + 3, left, right), 0.85)
    canvas.shade((top + 3, top + 4.5, left, right), 1 - 0.5 * look.light)


# ------------------------------------------------------------------ light, and in front


def _neighbour(canvas, plan, look) -> None:
    """The shadow of a house across the street, on the building alone."""
    if not look.shadow:
        return
    row, column = canvas.places()
    across = column if look.sun > 0 else f.UNITS - column
    dark = row > 26 + look.shadow * across
    unit = np.repeat(np.repeat(plan.labels != f.SKY, 2, 0), 2, 1)
    scale = canvas.side // (2 * f.UNITS)
    dark = dark & np.repeat(np.repeat(unit, scale, 0), scale, 1)
    canvas.pixels[dark] *= (1 - 0.42 * look.light) * np.array([0.97, 0.99, 1.05])


def _nothing(canvas, rng) -> None:
    """The view is free."""


def _tree(canvas, rng) -> None:
    """A crown of leaves, light from above, and a trunk that ends on the pavement."""
    x, y, radius = rng.uniform(6, 58), rng.uniform(36, 45), rng.uniform(6, 9)
    canvas.fill((y, 60, x - 0.8, x + 0.8), (0.27, 0.20, 0.15))
    row, column = canvas.places()
    far = np.hypot((row - y) / 1.15, column - x) / radius
    leaves = far + 0.28 * clouds(rng, canvas.side, 22) < 1
    tone = 0.85 + 0.3 * clouds(rng, canvas.side, 40) - 0.5 * (row - y) / radius
    green = np.array([0.25, 0.42, 0.17]) * tone.clip(0.3, 1.7)[..., None]
    canvas.pixels[leaves] = green[leaves]


def _lamp(canvas, rng) -> None:
    x = rng.uniform(6, 58)
    canvas.fill((34, 61, x - 0.4, x + 0.4), (0.12, 0.13, 0.13))
    canvas.fill((33, 34, x - 1.5, x + 1.5), (0.12, 0.13, 0.13))
    canvas.fill((34, 36.5, x - 1.0, x + 1.0), (0.98, 0.93, 0.75))


def _car(canvas, rng) -> None:
    x, colour = rng.uniform(2, 44), rng.uniform(0.1, 0.85, 3)
    canvas.shade((61.5, 63, x - 0.5, x + 18.5), 0.55)
    canvas.fill((57, 61.5, x, x + 18), colour)
    canvas.fill((54, 57, x + 4, x + 14), colour * 0.9)
    canvas.fill((54.6, 57, x + 4.8, x + 8.6), (0.25, 0.30, 0.36))
    canvas.fill((54.6, 57, x + 9.4, x + 13.2), (0.25, 0.30, 0.36))
    canvas.shade((57, 57.5, x, x + 18), 1.25)
    row, column = canvas.places()
    for wheel in (x + 4, x + 14):
        canvas.pixels[np.hypot(row - 61.3, column - wheel) < 1.7] = 0.1
