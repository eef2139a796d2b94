"""The embedded gallery: three degradations, restored by pixels, by a critic, by both.

Notebook 11 trains super-resolution before the reader's eyes and shows these beside it,
played by the same game.

Remake them (about a quarter of an hour on two cores):  python -m gancourse.restorers
or those of one task:  python -m gancourse.restorers colour
"""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from gancourse import data, pairs
from gancourse.enhancement import Enhancement
from gancourse.errors import GancourseError
from gancourse.models import vgg
from gancourse.models.colour import Colouriser, Palette, hypercolumns
from gancourse.models.superres import Restorer
from gancourse.models.unet import PatchCritic
from gancourse.training import TrainConfig, averaged, start, train

FILE = "restorers/gallery.safetensors"
TASKS = ("noise", "dark", "colour")
FOLDS = {"noise": 2, "dark": 2}  # how coarse the net looks at the pixels
KINDS = {"pixels": (1.0, 0.0), "critic": (0.0, 0.03), "both": (1.0, 0.03)}
# Noise and darkness are undone with L1. Of all colours that a grey may have had the
# median is nearly grey, so colour takes L2, whose answer is the mean. What a colour
# belongs to is said by a VGG; how long to train was chosen on photographs of the album
# that are neither trained on nor held out.
SIZES = {"noise": 64, "dark": 32}  # pixels a side of a training patch
STEPS = {"noise": 800, "dark": 800, "colour": 300}
GAN_STEPS = {"noise": 250, "dark": 800, "colour": 250}
DISTANCES = {"noise": l1_loss, "dark": l1_loss, "colour": mse_loss}
SIDE, CROP, APART = 256, 16, 12  # of a photograph to colour; of its fourth pixels


def player(task: str) -> nn.Module:
    """A new net of a task of the gallery as it plays: its answer is easily improved on.

    Denoising and low light: a Restorer, which returns its input (N, 3, H, W). Colour: a
    Palette, for what VGG saw of a picture.
    """
    if task not in TASKS:
        raise GancourseError(
            f"The gallery has no task '{task}'. Choose one of: {', '.join(TASKS)}."
        )
    if task == "colour":
        return Palette()
    return Restorer(scale=1, fold=FOLDS[task], features=24, blocks=5, tail=8)


def restorer(G: nn.Module) -> nn.Module:
    """What a player does to pictures (N, 3, H, W), sides multiples of 2."""
    return Colouriser(eyes(), G) if isinstance(G, Palette) else G


def eyes() -> vgg.VGG:
    """The embedded VGG-16."""
    return vgg.vgg16(data.asset(vgg.WEIGHTS))


def gallery(task: str, kind: str) -> nn.Module:
    """An embedded net, in evaluation mode: kind "pixels", "critic" or "both"."""
    from safetensors.torch import load_file

    G = player(task)
    if kind not in KINDS:
        raise GancourseError(
            f"The gallery has no kind '{kind}'. Choose one of: {', '.join(KINDS)}."
        )
    start_of_name = f"{task}/{kind}/"
    weights = {
        name.removeprefix(start_of_name): value.float()
        for name, value in load_file(data.asset(FILE)).items()
        if name.startswith(start_of_name)
    }
    G.load_state_dict(weights)
    return restorer(G).eval().requires_grad_(False)


# ------------------------------------------------------------------ remaking it


def training_pairs(task: str, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(damaged, originals) of the training photographs, uint8, each also mirrored.

    For colour: `seen_crops` of them and of the album's.
    """
    if task == "colour":
        return seen_crops([*pairs.TRAIN, *pairs.album("train")])
    step = 16 if pairs.TASKS[task].side else 32  # smaller photographs, denser patches
    found = pairs.pairs(task, "train", SIZES[task], step, seed)
    return tuple(torch.cat([part, part.flip(-1)]) for part in found)


def seen_crops(names: list[str]) -> tuple[Tensor, Tensor]:
    """(what VGG saw, originals) of crops of photographs, at every fourth pixel.

    Luma and hypercolumns float16 (N, 1 + CHANNELS, 16, 16), pictures (N, 3, 16, 16).
    VGG looks at whole photographs before they are cut: what is around a place matters.
    """
    see, parts = eyes(), []
    for name in names:
        photo = data.to_unit(pairs.photograph(name, SIDE)[None])
        photo = photo[..., : photo.shape[2] // 4 * 4, : photo.shape[3] // 4 * 4]
        small = pairs.downsample(photo, 4)
        columns = hypercolumns(see, pairs.grey(photo))
        both = torch.cat([small, pairs.rgb_to_yuv(small)[:, :1], columns], 1)[0].half()
        tiles = both.unfold(1, CROP, APART).unfold(2, CROP, APART)
        parts.append(tiles.permute(1, 2, 0, 3, 4).flatten(0, 1))
    crops = torch.cat(parts)
    return crops[:, 3:], crops[:, :3].float()


def regress(task: str, both: tuple[Tensor, Tensor], steps: int, seed: int = 0):
    """A net after `steps` on the pixels alone, averaged over its last steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        G = player(task)
    if task == "colour":
        G.begin(both[0][::4, 1:].float(), pairs.rgb_to_yuv(both[1])[:, 1:])
    config = TrainConfig(
        steps=steps, batch_size=16, g_lr=1e-3, betas=(0.9, 0.99), decay=0.5, ema=0.99,
        log_every=100, seed=seed,
    )  # fmt: skip
    return _played(Enhancement(G, distance=DISTANCES[task]), config, both)


def refine(G: nn.Module, task: str, kind: str, both, steps: int, seed: int = 0):
    """A copy of G after `steps` against a critic, averaged over its last steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        D = PatchCritic(3, 24, layers=1 if task == "colour" else 2)
    pixel, adversarial = KINDS[kind]
    game = Enhancement(
        deepcopy(G).requires_grad_(True),
        D,
        pixel=pixel,
        adversarial=adversarial,
        distance=DISTANCES[task],
    )
    config = TrainConfig(
        steps=steps, batch_size=8, g_lr=3e-4, d_lr=1e-3, betas=(0.5, 0.99), decay=0.3,
        ema=0.98, log_every=50, seed=seed + 1,
    )  # fmt: skip
    return _played(game, config, both)


def _played(game: Enhancement, config: TrainConfig, both) -> nn.Module:
    state = start(game, config)
    batches = data.batches(both, config.batch_size, config.seed, state.device)
    for log in train(state, batches):
        parts = {name: round(value, 4) for name, value in log.parts.items()}
        print(log.step, parts, flush=True)
    return averaged(state)["G"].cpu()


def _main(tasks: list[str]) -> None:
    """Train the nets of these tasks and write them, in half precision, to the file.

    What the file holds of other tasks stays in it.
    """
    import hashlib

    from safetensors.torch import load_file, save_file

    path = data.ASSETS / FILE
    weights = load_file(path) if path.is_file() else {}
    for task in tasks:
        weights = {n: w for n, w in weights.items() if not n.startswith(f"{task}/")}
        both = training_pairs(task)
        nets = {"pixels": regress(task, both, STEPS[task])}
        for kind in ("critic", "both"):
            nets[kind] = refine(nets["pixels"], task, kind, both, GAN_STEPS[task])
        for kind, G in nets.items():
            for name, value in G.state_dict().items():
                weights[f"{task}/{kind}/{name}"] = value.half().contiguous()
        path.parent.mkdir(exist_ok=True)
        save_file(weights, path)
        print(f"Wrote {path} as far as {task}.", flush=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"Put this line into SHA256SUMS:\n{digest}  {FILE}")


if __name__ == "__main__":
    import sys

    _main(sys.argv[1:] or [*TASKS])
