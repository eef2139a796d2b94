"""Translators in a terminal: what pix2pix, CycleGAN and enhancement are trained on.

Each game has its data, by name; what is drawn is drawn from held-out inputs, which no
training sees. The numbers are those of notebooks 09, 10 and 11.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gancourse import cmp_facades as cmp
from gancourse import cycle, data, domains, facades, losses, pairs
from gancourse.enhancement import Enhancement
from gancourse.errors import GancourseError
from gancourse.games import Pix2Pix
from gancourse.models import dcgan, resnet, superres, unet

PLANS, HELD_PLANS = 1, 2  # seeds of the façades to train on, and of those held out
PRINTS = ("hokusai-great-wave", "hokusai-kazusa-sea-route", "hiroshige-inokashira-snow")
NAMES = {
    "pix2pix": ("facades", "cmp"),
    "cyclegan": ("prints", "digits"),
    "enhance": tuple(pairs.TASKS),
}

# ------------------------------------------------------------------ what they play on


def describe(game: str, name: str | None) -> dict:
    """The recipe of a run of `game` on its data `name` (None: the first it has)."""
    name = name or NAMES[game][0]
    if name not in NAMES[game]:
        raise GancourseError(
            f"{game} does not play on '{name}', and nothing was started. "
            f"Choose --data {' or '.join(NAMES[game])}."
        )
    channels, size = 3, {"prints": 48, "digits": 28}.get(name, 64)
    if game == "pix2pix":
        channels, size = (13, 64) if name == "facades" else (cmp.LABELS, cmp.SIDE)
    return {"game": game, "data": name, "channels": channels, "size": size}


class Conditions:
    """Batches of pairs (condition(*given), picture), made as they are asked for."""

    def __init__(self, condition: Callable, pictures: Tensor, given, *how):
        self.condition = condition
        self.batches = data.batches((pictures, *given), *how)

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        pictures, *given = self.batches[k]
        return self.condition(*given), pictures


def batches(recipe: dict, size: int, seed: int, device: torch.device):
    """The batches that a run of this recipe is trained on: a function of the seed."""
    name, how = recipe["data"], (size, seed, device)
    if recipe["game"] == "pix2pix":
        if name == "cmp":
            labels, pictures = cmp.load("train")
            return Conditions(cmp.planes, pictures, [labels.long()], *how)
        labels, pictures = facades.pairs(1_000, PLANS)
        given = [labels.long(), facades.paints(1_000, PLANS)]
        return Conditions(facades.condition, pictures, given, *how)
    if recipe["game"] == "cyclegan":
        return cycle.Unpaired(*_two_sets(name, "train"), *how)
    task = pairs.TASKS[name]
    found = pairs.pairs(name, "train", 64, 16 if task.side else 32)
    return data.batches(found, *how)


@lru_cache(maxsize=1)
def _two_sets(name: str, split: str) -> tuple[Tensor, Tensor]:
    """Sets A and B of CycleGAN, uint8, of either split."""
    if name == "prints":
        return _photographs(split), _prints(split)
    rng = torch.Generator().manual_seed(int(split == "train"))
    digits = data.digits("train" if split == "train" else "test").images
    first, second = digits[:20_000].chunk(2)
    colours = [domains.colours(len(part), rng) for part in (first, second)]
    cards = domains.cards(pairs.patches(split, 28, 14, 250), rng)
    painted = domains.painted(first, colours[0], cards, rng)
    return painted, domains.chalked(second, colours[1], rng)


def _photographs(split: str) -> Tensor:
    """Patches of photographs: small and lively to train on, larger to look at."""
    if split == "train":
        return _lively(pairs.patches(split, 48, 12, 256))
    return pairs.patches(split, 96, 48, 256)


def _prints(split: str) -> Tensor:
    """Patches of woodblock prints; the right quarter of each is held out."""
    found = []
    for name in PRINTS:
        image = data.picture(name, 320)
        edge = 3 * image.shape[2] // 4
        image = image[..., :edge] if split == "train" else image[..., edge:]
        tiles = image.unfold(1, 48, 8).unfold(2, 48, 8)
        found.append(tiles.permute(1, 2, 0, 3, 4).reshape(-1, 3, 48, 48))
    return _lively(torch.cat(found))


def _lively(patches: Tensor) -> Tensor:
    """The half with the most contrast: instance norm divides by it."""
    contrast = patches.float().std((1, 2, 3))
    return patches[contrast > contrast.median()]


# ------------------------------------------------------------------ players


def pix2pix_game(recipe: dict) -> Pix2Pix:
    """U-Net and patch critic; at 256 × 256 those of the paper."""
    labels, large = recipe["channels"], recipe["size"] == 256
    shape = dict(width=64, depth=8) if large else dict(width=16, depth=6)
    G = unet.UNet(labels, 3, norm=unet.PixelNorm, **shape)
    D = unet.PatchCritic(labels + 3, 2 * shape["width"], 3 if large else 2, norm=False)
    return Pix2Pix(G, D, losses.hinge, l1=30.0)


def cyclegan_game(recipe: dict) -> cycle.CycleGAN:
    """Residual translators and patch critics, with two pools of fifty fakes."""
    digits = recipe["data"] == "digits"
    downs, up = (1, unet.PixelNorm) if digits else (2, unet.MapNorm)
    G, F = (resnet.ResNetGenerator(3, None, 12, 1 + downs, downs, up) for _ in "GF")
    D_A, D_B = (unet.PatchCritic(3, 24, downs) for _ in "AB")
    side = recipe["size"]
    pools = tuple(cycle.ImagePool(50, (3, side, side)) for _ in "AB")
    weight = 2.0 if digits else 10.0
    return cycle.CycleGAN(G, F, D_A, D_B, pools, cycle=weight)


def enhance_game(recipe: dict) -> Enhancement:
    """A restorer that starts at its input (enlarged), and a patch critic."""
    scale = pairs.TASKS[recipe["data"]].scale
    fold = {"noise": 2, "dark": 2, "colour": 4}.get(recipe["data"], 1)
    G = superres.Restorer(scale, fold, features=32, blocks=6)
    D = unet.PatchCritic(3, 24, layers=2)
    weight = 0.03 if scale == 1 else 0.01  # more leaves beads on enlarged edges
    return Enhancement(dcgan.channels_last(G), D, adversarial=weight)


# ------------------------------------------------------------------ what is drawn


def held_out(recipe: dict, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """n held-out inputs: as G takes them, and as pictures uint8 (n, 3, H, W)."""
    name = recipe["data"]
    if name == "facades":
        labels = facades.pairs(n, HELD_PLANS + seed).labels
        given = labels, facades.paints(n, HELD_PLANS + seed)
        return facades.condition(*given), facades.coloured(*given)
    if name == "cmp":
        labels = _some(cmp.load("held-out")[0], n, seed)
        return cmp.planes(labels), cmp.coloured(labels)
    if recipe["game"] == "cyclegan":
        pictures = _two_sets(name, "held-out")[0]
    else:
        pictures = pairs.pairs(name, "held-out", 64, 64)[0]
    pictures = _some(pictures, n, seed)
    return data.to_unit(pictures), pictures


def _some(images: Tensor, n: int, seed: int) -> Tensor:
    """n of the images at random, each once before any comes again."""
    rng = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=rng)
    return images[order[torch.arange(n) % len(order)]]


@torch.no_grad()
def draw(G: Callable, recipe: dict, n: int, seed: int, beside: bool = False) -> Tensor:
    """What G makes of n held-out inputs, uint8 (n, 3, H, W).

    With `beside` the input stands to the left of each, enlarged to the output's size.
    """
    inputs, shown = held_out(recipe, n, seed)
    drawn = torch.cat([data.to_uint8(G(part).cpu()) for part in inputs.split(25)])
    if not beside:
        return drawn
    left = interpolate(shown.float(), drawn.shape[2:], mode="nearest").byte()
    return torch.cat([left, drawn], 3)
