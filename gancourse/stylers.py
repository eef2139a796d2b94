"""The embedded stylers: three painters, a critic's pupil, a decoder for any style.

Notebook 13 trains small ones before the reader's eyes and shows these beside them,
played by the same games; `gancourse style --method fast` and `adain` paint with them.

Remake them (minutes on a GPU, hours without one):  python -m gancourse.stylers
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from gancourse import data, losses, pairs, style
from gancourse.cycle import Unpaired
from gancourse.errors import GancourseError
from gancourse.fast_style import (
    CONTENT,
    AdaINStyle,
    AdversarialStyle,
    Eye,
    FastStyle,
    channels_last,
)
from gancourse.models import vgg
from gancourse.models.transform import AdaINDecoder, StyleNet, adain
from gancourse.models.unet import PatchCritic
from gancourse.training import TrainConfig, averaged, start, train

FILE = "stylers/gallery.safetensors"
CROP = 192  # pixels a side of a training crop
SIDES = (352, 480, 640)  # the sizes in which photographs are cut into crops
# Two paintings that the decoder never sees in training, chosen before the first run.
UNSEEN = ("hiroshige-inokashira-snow", "renoir-moulin-de-la-galette")


@dataclass(frozen=True)
class Recipe:
    """What one styler learned from; weights as in FastStyle and AdversarialStyle."""

    painting: str
    content: float = 1.0
    style: float = 8.0
    tv: float = 2.0
    adversarial: float = 0.0
    sees: str | None = None  # what the critic looks at
    side: int = 320  # longer side in which the painting is shown: how broad its strokes
    width: int = 16
    blocks: int = 5
    steps: int = 2500


PAINTERS = {
    "hokusai-great-wave": Recipe("hokusai-great-wave", style=12.0, tv=3.0),
    "vangogh-village-street-auvers": Recipe("vangogh-village-street-auvers"),
    "kandinsky-composition-viii": Recipe("kandinsky-composition-viii"),
}
PUPILS = {
    "vangogh-village-street-auvers": Recipe(
        "vangogh-village-street-auvers", 0.5, 0.0, 0.5, adversarial=4.0, sees="conv2_1"
    ),
}


@dataclass(frozen=True)
class AnyRecipe:
    """What the decoder of any style learned with; weights as in AdaINStyle."""

    widths: tuple[int, ...] = (128, 64, 32, 16)
    style: float = 10.0
    tv: float = 0.2
    steps: int = 2500


DECODER = AnyRecipe()

# ------------------------------------------------------------------ painting


def gallery(name: str, critic: bool = False) -> StyleNet:
    """The embedded net of a painting, in evaluation mode; with `critic` its pupil."""
    known = PUPILS if critic else PAINTERS
    if name not in known:
        raise GancourseError(
            f"No net is embedded for '{name}', and nothing was painted. Choose one of: "
            f"{', '.join(known)}. For other paintings take the method adain or gatys."
        )
    G = StyleNet(known[name].width, known[name].blocks)
    G.load_state_dict(_weights(f"critic/{name}" if critic else f"gram/{name}"))
    return G.eval().requires_grad_(False)


def decoder() -> AdaINDecoder:
    """The embedded decoder of any style, in evaluation mode."""
    G = AdaINDecoder(DECODER.widths)
    G.load_state_dict(_weights("adain"))
    return G.eval().requires_grad_(False)


@lru_cache(maxsize=1)
def _file() -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(data.asset(FILE))


def _weights(name: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(f"{name}/"): value.float()
        for key, value in _file().items()
        if key.startswith(f"{name}/")
    }


@torch.no_grad()
def paint(G: StyleNet, photo: Tensor) -> Tensor:
    """Photographs (N, 3, H, W) as G paints them, same shape, in [-1, 1]."""
    return G(channels_last(photo)).float()


@torch.no_grad()
def paint_any(
    G: AdaINDecoder, photo: Tensor, painting: Tensor, alpha: float = 1.0
) -> Tensor:
    """A photograph (1, 3, H, W) in the style of a painting, same shape, in [-1, 1].

    `alpha` runs from 0, the photograph as the decoder can paint it, to 1, the whole
    style. Huang & Belongie 2017, eq. 14.
    """
    net, (height, width) = style.features(), photo.shape[2:]
    photo = pad(photo, (0, -width % 8, 0, -height % 8), mode="reflect")
    c, s = (net(channels_last(x), [CONTENT])[CONTENT] for x in (photo, painting))
    return G(alpha * adain(c, s) + (1 - alpha) * c)[:, :, :height, :width]


# ------------------------------------------------------------------ training


def crops(split: str = "train", step: int = 48) -> Tensor:
    """Crops of the photographs in several sizes, each also mirrored, uint8."""
    found = torch.cat([pairs.patches(split, CROP, step, side) for side in SIDES])
    return torch.cat([found, found.flip(-1)])


def painting_crops(name: str, side: int, step: int = 24, size: int = CROP) -> Tensor:
    """Crops of a painting whose longer side is `side`, each also mirrored, uint8."""
    tiles = data.picture(name, side).unfold(1, size, step).unfold(2, size, step)
    found = tiles.permute(1, 2, 0, 3, 4).reshape(-1, 3, size, size)
    return torch.cat([found, found.flip(-1)])


def styles() -> Tensor:
    """What the decoder learns styles from, uint8 crops.

    Of all paintings but UNSEEN and, as these are few, of the training photographs.
    """
    names = [name for name in data.asset_names("paintings") if name not in UNSEEN]
    found = [painting_crops(n, side, 32) for n in names for side in SIDES[:2]]
    found += [pairs.patches("train", CROP, CROP // 2, side) for side in SIDES[:2]]
    return torch.cat(found)


def game(recipe: Recipe, seed: int = 0):
    """The game of a recipe, with new players."""
    painting = data.to_unit(data.picture(recipe.painting))[None]
    eye = Eye(style.scaled(painting, recipe.side), net=_zero_padded())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        G = StyleNet(recipe.width, recipe.blocks).to(memory_format=torch.channels_last)
        D = PatchCritic({None: 3, "conv2_1": 128}[recipe.sees], 48, layers=1)
    if not recipe.adversarial:
        return FastStyle(G, eye, recipe.content, recipe.style, recipe.tv)
    weights = (recipe.content, recipe.style, recipe.adversarial, recipe.tv)
    return AdversarialStyle(G, D, eye, *weights, recipe.sees, losses.least_squares)


def _zero_padded() -> vgg.VGG:
    """The eye for training: crops have many borders, and zeros are fast to pad with."""
    net = vgg.vgg16(data.asset(vgg.WEIGHTS))
    return net.to(memory_format=torch.channels_last)


def learn(recipe: Recipe, photos: Tensor, steps: int, batch: int = 8, seed: int = 0):
    """A net after `steps` of the recipe on uint8 crops, averaged over the last ones."""
    config = TrainConfig(
        steps=steps, batch_size=batch, g_lr=1e-3, d_lr=4e-4, betas=(0.5, 0.99),
        decay=0.5, ema=0.99, log_every=50, seed=seed,
    )  # fmt: skip
    state = start(game(recipe, seed), config)
    if not recipe.adversarial:
        return _played(state, data.batches(photos, batch, seed, state.device))
    real = painting_crops(recipe.painting, recipe.side)
    return _played(state, Unpaired(photos, real, batch, seed, state.device))


def learn_any(photos: Tensor, steps: int, batch: int = 8, seed: int = 0):
    """The decoder after `steps` on uint8 crops, averaged over the last steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        G = AdaINDecoder(DECODER.widths).to(memory_format=torch.channels_last)
    config = TrainConfig(
        steps=steps, batch_size=batch, g_lr=1e-3, betas=(0.9, 0.99), decay=0.5,
        ema=0.99, log_every=50, seed=seed,
    )  # fmt: skip
    state = start(
        AdaINStyle(G, _zero_padded(), style=DECODER.style, tv=DECODER.tv), config
    )
    return _played(state, Unpaired(photos, styles(), batch, seed, state.device))


def _played(state, batches):
    for log in train(state, batches):
        parts = {name: round(value, 4) for name, value in log.parts.items()}
        print(log.step, parts, f"{log.images_per_second:.0f} images/s", flush=True)
    return averaged(state)["G"].cpu()


def _main(shorter: str = "") -> None:
    """Train all of them and write them, in half precision, with their checksum."""
    import hashlib

    from safetensors.torch import save_file

    recipes = {f"gram/{name}": recipe for name, recipe in PAINTERS.items()}
    recipes |= {f"critic/{name}": recipe for name, recipe in PUPILS.items()}
    photos, weights = crops(), {}
    for name, recipe in {**recipes, "adain": DECODER}.items():
        steps = int(shorter or recipe.steps)
        print(name, recipe)
        if recipe is DECODER:
            G = learn_any(photos, steps)
        else:
            G = learn(recipe, photos, steps)
        for key, value in G.state_dict().items():
            weights[f"{name}/{key}"] = value.half().contiguous()
    path = data.ASSETS / FILE
    path.parent.mkdir(exist_ok=True)
    save_file(weights, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"Wrote {path}. Put this line into SHA256SUMS:\n{digest}  {FILE}")


if __name__ == "__main__":
    import sys

    _main(*sys.argv[1:])  # a number: so many steps each, to try
