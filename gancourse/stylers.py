"""The embedded stylers: two painters, a critic's pupil, a decoder for any style.

Notebook 13 trains small ones before the reader's eyes and shows these beside them,
played by the same games; `gancourse style --method fast` and `adain` paint with them.

Remake them (minutes on a GPU, hours without one):  python -m gancourse.stylers
"""

import copy
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
from gancourse.training import TrainConfig, averaged, pick_device, start, train

FILE = "stylers/gallery.safetensors"
SIZE = dict(width=16, blocks=5)
CROP = 192  # pixels a side of a training crop
SIDES = (352, 480, 640)  # the sizes in which photographs are cut into crops
# Two paintings that the decoder never sees in training, chosen before the first run.
UNSEEN = ("hiroshige-inokashira-snow", "renoir-moulin-de-la-galette")


@dataclass(frozen=True)
class Recipe:
    """How one painter learned; weights of the terms as in FastStyle.

    First with much style, which finds the motifs, then with less, which gives the
    things their places back.
    """

    painting: str
    style: tuple[float, float] = (20.0, 6.0)  # at first, and to finish
    tv: tuple[float, float] = (2.0, 1.5)
    side: int = 320  # longer side in which the painting is shown: how broad its strokes
    steps: tuple[int, int] = (1000, 130)


PAINTERS = {
    "vangogh-village-street-auvers": Recipe("vangogh-village-street-auvers"),
    "kandinsky-composition-viii": Recipe("kandinsky-composition-viii"),
}
PUPILS = ("vangogh-village-street-auvers",)  # painters whom a critic taught further
WIDTHS = (128, 64, 32, 16)  # of the decoder

# ------------------------------------------------------------------ painting


def gallery(name: str, critic: bool = False) -> StyleNet:
    """The embedded net of a painting, in evaluation mode; with `critic` its pupil."""
    known = PUPILS if critic else PAINTERS
    if name not in known:
        raise GancourseError(
            f"No net is embedded for '{name}', and nothing was painted. Choose one of: "
            f"{', '.join(known)}. For other paintings take the method adain or gatys."
        )
    G = StyleNet(**SIZE)
    G.load_state_dict(_weights(f"critic/{name}" if critic else f"gram/{name}"))
    return G.eval().requires_grad_(False)


def decoder() -> AdaINDecoder:
    """The embedded decoder of any style, in evaluation mode."""
    G = AdaINDecoder(WIDTHS)
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


@lru_cache(maxsize=1)
def _encoder(device: torch.device) -> vgg.VGG:
    """VGG on a device: on the CPU the one that all share, elsewhere a copy of it."""
    shared = style.features()
    return shared if device.type == "cpu" else copy.deepcopy(shared).to(device)


@torch.no_grad()
def paint_any(
    G: AdaINDecoder, photo: Tensor, painting: Tensor, alpha: float = 1.0
) -> Tensor:
    """A photograph (1, 3, H, W) in the style of a painting, same shape, in [-1, 1].

    `alpha` runs from 0, the photograph as the decoder can paint it, to 1, the whole
    style. Huang & Belongie 2017, eq. 14.
    """
    net, (height, width) = _encoder(photo.device), photo.shape[2:]
    photo = pad(photo, (0, -width % 8, 0, -height % 8), mode="reflect")
    c, s = (net(channels_last(x), [CONTENT])[CONTENT] for x in (photo, painting))
    return G(alpha * adain(c, s) + (1 - alpha) * c)[:, :, :height, :width]


# ------------------------------------------------------------------ training


def crops(size: int = CROP, sides: tuple[int, ...] = SIDES, step: int = 48) -> Tensor:
    """Crops of the training photographs in several sizes, each also mirrored, uint8."""
    found = torch.cat([pairs.patches("train", size, step, side) for side in sides])
    return torch.cat([found, found.flip(-1)])


def painting_crops(name: str, side: int, step: int = 24, size: int = CROP) -> Tensor:
    """Crops of a painting whose longer side is `side`, each also mirrored, uint8."""
    tiles = data.picture(name, side).unfold(1, size, step).unfold(2, size, step)
    found = tiles.permute(1, 2, 0, 3, 4).reshape(-1, 3, size, size)
    return torch.cat([found, found.flip(-1)])


def styles() -> Tensor:
    """What the decoder learns styles from: crops of all paintings but UNSEEN, uint8.

    Each in all six orders of its colours, since there are few paintings.
    """
    names = [name for name in data.asset_names("paintings") if name not in UNSEEN]
    found = torch.cat([painting_crops(n, s, 64) for n in names for s in SIDES[:2]])
    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    return torch.cat([found[:, list(order)] for order in orders])


def eye(name: str, padding: str = "zeros") -> Eye:
    """The eye that looks at an embedded painting. Zeros are fast to pad with."""
    painting = data.to_unit(data.picture(name))[None]
    net = vgg.vgg16(data.asset(vgg.WEIGHTS), padding=padding)
    seen = style.scaled(painting, PAINTERS[name].side)
    return Eye(seen, net=net.to(memory_format=torch.channels_last))


def learn(recipe: Recipe, shorter: int = 0) -> StyleNet:
    """A painter after both parts of its recipe (`shorter`: so many steps of each)."""
    G = _new(StyleNet, **SIZE)
    first, last = (shorter, shorter) if shorter else recipe.steps
    game = FastStyle(
        G, eye(recipe.painting, "reflect"), 1.0, recipe.style[0], recipe.tv[0]
    )
    config = _config(first, 8, g_lr=1e-3, ema=0.99)
    G = _played(game, config, data.batches(crops(), 8, 0, pick_device()))
    game = FastStyle(G, eye(recipe.painting), 1.0, recipe.style[1], recipe.tv[1])
    config = _config(last, 2, g_lr=7e-4, ema=0.95, decay=0.7, seed=1)
    return _played(
        game, config, data.batches(crops(128, SIDES[:2]), 2, 1, pick_device())
    )


def teach(name: str, G: StyleNet, shorter: int = 0) -> StyleNet:
    """A painter G after lessons by a critic that stood in the place of its Grams."""
    D = _new(PatchCritic, 128, 48, 1)
    weights = dict(content=1.0, style=0.0, adversarial=4.0, tv=0.5)
    sees = dict(sees="conv2_1", loss=losses.least_squares)
    game = AdversarialStyle(G.requires_grad_(True), D, eye(name), **weights, **sees)
    config = _config(shorter or 120, 2, g_lr=7e-4, d_lr=1e-3, decay=0.5, seed=1)
    real = painting_crops(name, PAINTERS[name].side, 16, 96)
    photos = crops(96, (256, 352))
    return _played(game, config, Unpaired(photos, real, 2, 1, pick_device()))


def learn_any(shorter: int = 0) -> AdaINDecoder:
    """The decoder of any style."""
    config = _config(shorter or 1000, 8, g_lr=1e-3, betas=(0.9, 0.99), ema=0.99)
    batches = Unpaired(crops(), styles(), 8, 0, pick_device())
    return _played(AdaINStyle(_new(AdaINDecoder, WIDTHS)), config, batches)


def _new(player, *args, **settings):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return player(*args, **settings).to(memory_format=torch.channels_last)


def _config(steps: int, batch: int, **changes) -> TrainConfig:
    usual = dict(betas=(0.5, 0.99), ema=0.95, log_every=50)
    return TrainConfig(steps=steps, batch_size=batch, **(usual | changes))


def _played(game, config: TrainConfig, batches):
    state = start(game, config)
    for log in train(state, batches):
        parts = {name: round(value, 4) for name, value in log.parts.items()}
        print(log.step, parts, f"{log.images_per_second:.0f} images/s", flush=True)
    return averaged(state)["G"].cpu()


def _main(shorter: str = "0") -> None:
    """Train all of them and write them, in half precision, with their checksum."""
    import hashlib

    from safetensors.torch import save_file

    nets, few = {}, int(shorter)
    for name, recipe in PAINTERS.items():
        nets[f"gram/{name}"] = learn(recipe, few)
    for name in PUPILS:
        nets[f"critic/{name}"] = teach(name, copy.deepcopy(nets[f"gram/{name}"]), few)
    nets["adain"] = learn_any(few)
    weights = {
        f"{name}/{key}": value.half().contiguous()
        for name, G in nets.items()
        for key, value in G.state_dict().items()
    }
    path = data.ASSETS / FILE
    path.parent.mkdir(exist_ok=True)
    save_file(weights, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"Wrote {path}. Put this line into SHA256SUMS:\n{digest}  {FILE}")


if __name__ == "__main__":
    import sys

    _main(*sys.argv[1:])  # a number: so many steps each, to try
