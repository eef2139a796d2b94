"""The latent explorer: move through the latents of a generator and see what it draws.

    Explorer(G, images).panel().show()

A latent is a point on a walk between two draws, cut at tau (truncation), plus steps
along two directions. Beside the sample stand the training images nearest to it.
"""

import copy
import math

import torch
from torch import Tensor, nn

from gancourse import data
from gancourse.errors import GancourseError
from gancourse.lab.panel import Answer, Panel, Picture, draw, encode
from gancourse.lab.sheet import sheet

REACH = 3.0  # how far the pad goes along a direction, in standard deviations of z
SIDE, STOPS, NEAR = 7, 11, 5  # pictures a side of the map, on a walk, of neighbours
UNCUT = (
    4.0  # of 16,000 normal numbers one is larger: tau = 4 cuts nothing one could see
)


class Explorer:
    """Answers where one is in latent space with pictures; its own copy of G, its own
    random numbers, on the CPU.

    `images` are uint8 (M, C, H, W), as large as samples are. `directions` maps names
    to vectors (latent_dim,); without them the two that move G's first layer most.
    """

    title = "Latent explorer"

    def __init__(
        self, G: nn.Module, images: Tensor, directions: dict[str, Tensor] | None = None
    ):
        self.G = copy.deepcopy(G).eval().cpu().requires_grad_(False)
        self.images, self.classes = images.cpu(), getattr(G, "classes", 0)
        given = directions or strongest_directions(self.G)
        self.directions = {
            k: v.float().cpu() / v.norm().cpu() for k, v in given.items()
        }
        if len(self.directions) < 2:
            raise GancourseError(
                "A pad has two axes, and fewer than two directions were given, so "
                "nothing was drawn. Give two named vectors or none."
            )
        self.controls = self._controls()
        self._map: tuple = ((), None)

    def panel(self) -> Panel:
        """The explorer as a panel, to be shown in a notebook."""
        return Panel(self)

    def _controls(self) -> list[dict]:
        names = list(self.directions)
        seed = dict(kind="number", min=0, max=9999)
        choice = dict(kind="choice", options=names)
        controls = [
            seed | dict(name="seed_a", label="from seed", value=0),
            seed | dict(name="seed_b", label="to seed", value=1),
            _slider("t", "way between", 0, 1, 0.05, 0.0),
            _slider("tau", "cut at τ", 0.1, UNCUT, 0.05, 1.5),
        ]
        if self.classes:
            digits = dict(kind="choice", options=[str(k) for k in range(self.classes)])
            controls += [
                digits | dict(name="class_a", label="from class", value="3"),
                digits | dict(name="class_b", label="to class", value="3"),
            ]
        if len(names) > 2:
            controls += [
                choice | dict(name="across", label="across", value=names[0]),
                choice | dict(name="up", label="up", value=names[1]),
            ]
            label = "pad: the two directions above"
        else:
            label = f"pad: {names[0]} across, {names[1]} up"
        pad = dict(kind="pad", name="pad", label=label, reach=REACH, value=[0.0, 0.0])
        return [*controls, pad | dict(map="map")]

    # -------------------------------------------------------------- latents, pictures

    def axes(self, values: dict) -> tuple[Tensor, Tensor]:
        """The two directions (latent_dim,) of the pad."""
        names = list(self.directions)
        chosen = values.get("across", names[0]), values.get("up", names[1])
        return tuple(self.directions[name] for name in chosen)

    def latents(self, values: dict, t: Tensor, xy: Tensor) -> Tensor:
        """Latents (N, latent_dim) at times t (N,) of the walk and places xy (N, 2)."""
        ends = [
            truncated(self.G.latent_dim, values["tau"], int(values[name]))
            for name in ("seed_a", "seed_b")
        ]
        across, up = self.axes(values)
        return slerp(*ends, t) + xy[:, :1] * across + xy[:, 1:] * up

    @torch.no_grad()
    def pictures(self, values: dict, t: Tensor, xy: Tensor) -> Tensor:
        """What G draws there, (N, C, H, W) in [-1, 1]."""
        z = self.latents(values, t, xy)
        if not self.classes:
            return self.G(z)
        ends = torch.tensor([int(values["class_a"]), int(values["class_b"])])
        a, b = self.G.embed(ends)
        return self.G.at(z, torch.lerp(a, b, t[:, None]))

    def sample(self, values: dict) -> Tensor:
        """The one picture (1, C, H, W) that the controls stand for."""
        xy = torch.tensor([values["pad"]], dtype=torch.float32)
        return self.pictures(values, torch.tensor([float(values["t"])]), xy)

    def walk(self, values: dict) -> Tensor:
        """STOPS pictures on the whole walk, at the place of the pad."""
        xy = torch.tensor([values["pad"]], dtype=torch.float32).expand(STOPS, 2)
        return self.pictures(values, torch.linspace(0, 1, STOPS), xy)

    def map(self, values: dict) -> Picture:
        """The pad's ground: what stands at SIDE x SIDE places. Kept while it holds."""
        key = tuple(v for k, v in sorted(values.items()) if k != "pad")
        if self._map[0] != key:
            place = REACH * ((torch.arange(SIDE) + 0.5) / SIDE * 2 - 1)
            y, x = torch.meshgrid(place.flip(0), place, indexing="ij")
            t = torch.full((SIDE * SIDE,), float(values["t"]))
            xy = torch.stack([x.flatten(), y.flatten()], 1)
            tiles = self.pictures(values, t, xy)
            self._map = (key, encode(_tiled(tiles, SIDE), "samples along the two axes"))
        return self._map[1]

    # -------------------------------------------------------------- answers

    def answer(self, values: dict, event: str) -> Answer:
        """The sample, its walk and its map at once; its neighbours when asked again."""
        sample = self.sample(values)
        if event == "more":
            return Answer({"near": self._neighbours(sample)}, self._words(values))
        zoom = max(1, 224 // sample.shape[3])
        shown = {
            "sample": draw(sample, 1, "The sample at these settings.", zoom),
            "walk": draw(
                self.walk(values),
                STOPS,
                "The whole walk, from the first latent (left) to the second (right).",
                max(1, zoom // 4),
            ),
            "map": self.map(values),
        }
        return Answer(shown, self._words(values), more=True)

    def _neighbours(self, sample: Tensor) -> Picture:
        found, distances = nearest(sample, self.images, NEAR)
        words = ", ".join(f"{d:.1f}" for d in distances.tolist())
        alt = f"The {NEAR} training images nearest in pixels, at distances {words}."
        return draw(self.images[found], NEAR, alt, max(1, 84 // sample.shape[3]))

    def _words(self, values: dict) -> str:
        x, y = values["pad"]
        cut = "not cut" if values["tau"] >= UNCUT else f"cut at {values['tau']:g}"
        words = f"Seed {values['seed_a']} to {values['seed_b']}, {values['t']:.0%} of "
        words += f"the way, {cut}, moved {x:+.2f} across and {y:+.2f} up"
        if self.classes:
            words += f"; class {values['class_a']} to {values['class_b']}"
        return words + "."

    def still(self, answer: Answer) -> Picture:
        """Sample, walk, map and neighbours on one sheet, for pages without widgets."""
        place = "class and place" if self.classes else "place"
        return sheet(
            answer.pictures,
            [["sample", "map"], ["walk"], ["near"]],
            f"The latent explorer: a sample and the map of its surroundings along two "
            f"directions, the walk between two draws, and the {NEAR} training images "
            f"nearest to the sample. Its controls choose {place}.",
        )


def _slider(name, label, low, high, step, value) -> dict:
    named = dict(kind="slider", name=name, label=label)
    return named | dict(min=low, max=high, step=step, value=value)


def _tiled(images: Tensor, columns: int):
    """Images without gaps, so that a place on the pad is a place on the picture."""
    rows = data.to_uint8(images).unflatten(0, (-1, columns))
    pixels = rows.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return pixels.expand(-1, -1, 3).contiguous().numpy()


# ------------------------------------------------------------------ formulas


def truncated(dim: int, tau: float, seed: int) -> Tensor:
    """A latent (dim,), normal but cut at ±tau, that moves smoothly with tau."""
    rng = torch.Generator().manual_seed(seed)
    u = 2 * torch.rand(dim, generator=rng, dtype=torch.float64) - 1
    if tau < UNCUT:
        u = u * math.erf(tau / math.sqrt(2))
    return (math.sqrt(2) * torch.erfinv(u)).float()


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """From a to b (d,) along the sphere at times t (N,): (N, d). Shoemake 1985."""
    angle, t = torch.acos((a @ b / (a.norm() * b.norm())).clamp(-1, 1)), t[:, None]
    if angle < 1e-4:
        return torch.lerp(a, b, t)
    mixed = torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b
    return mixed / torch.sin(angle)


def strongest_directions(G: nn.Module) -> dict[str, Tensor]:
    """The two unit vectors (latent_dim,) that move G's first linear layer most.

    Right singular vectors of its weight (Shen & Zhou 2021, "SeFa"): no training, no
    labels, and no promise of a meaning.
    """
    first = next(m for m in G.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        _, _, V = torch.linalg.svd(first.weight[:, : G.latent_dim], full_matrices=False)
    return {"direction 1": V[0], "direction 2": V[1]}


def nearest(sample: Tensor, images: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Indices and distances (k,) of the uint8 images (M, ...) nearest to a sample.

    Euclidean, pixels in [-1, 1]; in parts, so that floats of all images never exist.
    """
    x = sample.flatten()
    parts = [
        (data.to_unit(part).flatten(1) - x).square().sum(1)
        for part in images.split(8_000)
    ]
    found = torch.cat(parts).topk(min(k, len(images)), largest=False)
    return found.indices, found.values.sqrt()
