"""The embedded gallery: three degradations, restored by pixels, by a critic, by both.

Notebook 11 trains super-resolution before the reader's eyes and shows these beside it,
played by the same game.

Remake them (about a quarter of an hour on two cores):  python -m gancourse.restorers
"""

from copy import deepcopy

import torch
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss

from gancourse import data, pairs
from gancourse.enhancement import Enhancement
from gancourse.errors import GancourseError
from gancourse.models.superres import Restorer
from gancourse.models.unet import PatchCritic
from gancourse.training import TrainConfig, averaged, start, train

FILE = "restorers/gallery.safetensors"
FOLDS = {"noise": 2, "dark": 2, "colour": 4}  # how coarse the net looks at the pixels
KINDS = {"pixels": (1.0, 0.0), "critic": (0.0, 0.03), "both": (1.0, 0.03)}
# Noise and darkness are undone with L1. Of all colours that a grey may have had the
# median is nearly grey, so colour takes L2, whose answer is the mean. And it stops
# early: ten photographs are soon known by heart.
SIZES = {"noise": 64, "dark": 32, "colour": 64}  # pixels a side of a training patch
STEPS = {"noise": 800, "dark": 800, "colour": 200}
GAN_STEPS = {"noise": 250, "dark": 800, "colour": 250}
DISTANCES = {"noise": l1_loss, "dark": l1_loss, "colour": mse_loss}


def restorer(task: str) -> Restorer:
    """A new net for a task of the gallery: it returns its input, as long as untrained.

    Maps (N, 3, H, W) to the same shape, sides multiples of 4.
    """
    if task not in FOLDS:
        raise GancourseError(
            f"The gallery has no task '{task}'. Choose one of: {', '.join(FOLDS)}."
        )
    return Restorer(scale=1, fold=FOLDS[task], features=24, blocks=5, tail=8)


def gallery(task: str, kind: str) -> Restorer:
    """An embedded net, in evaluation mode: kind "pixels", "critic" or "both"."""
    from safetensors.torch import load_file

    G = restorer(task)
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
    return G.eval().requires_grad_(False)


# ------------------------------------------------------------------ remaking it


def training_pairs(task: str, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(damaged, originals) of the training photographs, uint8, each also mirrored."""
    step = 16 if pairs.TASKS[task].side else 32  # smaller photographs, denser patches
    found = pairs.pairs(task, "train", SIZES[task], step, seed)
    return tuple(torch.cat([part, part.flip(-1)]) for part in found)


def start_from_mean_colour(G: Restorer, originals: Tensor) -> Restorer:
    """G, new, answering a grey picture with the mean colour of uint8 `originals`."""
    u, v = pairs.rgb_to_yuv(data.to_unit(originals))[:, 1:].mean((0, 2, 3)).tolist()
    tint = pairs.yuv_to_rgb(torch.tensor([0.0, u, v]).view(1, 3, 1, 1)).flatten()
    with torch.no_grad():
        G.net[-1].bias.copy_(tint)
    return G


def regress(task: str, both: tuple[Tensor, Tensor], steps: int, seed: int = 0):
    """A net after `steps` on the pixels alone, averaged over its last steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        G = restorer(task)
    if task == "colour":
        start_from_mean_colour(G, both[1])
    config = TrainConfig(
        steps=steps, batch_size=16, g_lr=1e-3, betas=(0.9, 0.99), decay=0.5, ema=0.99,
        log_every=100, seed=seed,
    )  # fmt: skip
    return _played(Enhancement(G, distance=DISTANCES[task]), config, both)


def refine(G: Restorer, task: str, kind: str, both, steps: int, seed: int = 0):
    """A copy of G after `steps` against a critic, averaged over its last steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        D = PatchCritic(3, 24, layers=2)
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


def _played(game: Enhancement, config: TrainConfig, both) -> Restorer:
    state = start(game, config)
    batches = data.batches(both, config.batch_size, config.seed, state.device)
    for log in train(state, batches):
        parts = {name: round(value, 4) for name, value in log.parts.items()}
        print(log.step, parts, flush=True)
    return averaged(state)["G"].cpu()


def _main() -> None:
    """Train the nine nets and write them, in half precision, with their checksum."""
    import hashlib

    from safetensors.torch import save_file

    weights = {}
    for task in FOLDS:
        both = training_pairs(task)
        nets = {"pixels": regress(task, both, STEPS[task])}
        for kind in ("critic", "both"):
            nets[kind] = refine(nets["pixels"], task, kind, both, GAN_STEPS[task])
        for kind, G in nets.items():
            for name, value in G.state_dict().items():
                weights[f"{task}/{kind}/{name}"] = value.half().contiguous()
        path = data.ASSETS / FILE
        path.parent.mkdir(exist_ok=True)
        save_file(weights, path)
        print(f"Wrote {path} as far as {task}.", flush=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"Put this line into SHA256SUMS:\n{digest}  {FILE}")


if __name__ == "__main__":
    _main()
