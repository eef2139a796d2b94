"""Training and drawing in a terminal, with the reference loop: no notebook needed.

A checkpoint carries a `recipe`, from which `sample` rebuilds the game that made it.
"""

import contextlib
import gc
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gancourse import checkpoints, data, health, sheets, storage, translators
from gancourse.conditional import ConditionalGAN
from gancourse.errors import CheckpointError, GancourseError, NonFinite
from gancourse.games import GAN, latents
from gancourse.training import TrainConfig, pick_device, train

# ------------------------------------------------------------------ games


def mlp_game(recipe: dict) -> GAN:
    """The fully connected players, for digits only."""
    from gancourse.models.mlp import MLPDiscriminator, MLPGenerator

    if (recipe["size"], recipe["channels"]) != (28, 1):
        raise GancourseError(
            "mlp draws digits only, and nothing was started. "
            "Choose --data digits, or train dcgan on your pictures."
        )
    return GAN(MLPGenerator(), MLPDiscriminator())


def dcgan_game(recipe: dict) -> GAN:
    """Convolutional players: 28×28 digits, or pictures of 64×64 in colour."""
    from gancourse.models import dcgan

    size, channels = recipe["size"], recipe["channels"]
    G = dcgan.DCGANGenerator(64, size, channels)
    D = dcgan.DCGANDiscriminator(size, channels)
    return GAN(dcgan.channels_last(G), dcgan.channels_last(D))


def conditional_game(recipe: dict) -> ConditionalGAN:
    """Convolutional players that are told which digit: a projection discriminator."""
    from gancourse.models import conditional, dcgan

    G = conditional.ConditionalGenerator(64)
    D = conditional.ProjectionDiscriminator()
    return ConditionalGAN(dcgan.channels_last(G), dcgan.channels_last(D))


@dataclass(frozen=True)
class Recipe:
    """How a game is built, the rates and the batch that suit it, what it needs."""

    build: object
    g_lr: float
    d_lr: float
    batch_size: int = 64
    labelled: bool = False
    translates: bool = False  # its inputs are pictures (translators.py), not latents


GAMES = {
    "mlp": Recipe(mlp_game, 2e-4, 2e-4),
    "dcgan": Recipe(dcgan_game, 2e-3, 1e-3),
    "conditional": Recipe(conditional_game, 2e-3, 1e-3, labelled=True),
    "pix2pix": Recipe(translators.pix2pix_game, 1e-3, 1e-3, 4, translates=True),
    "cyclegan": Recipe(translators.cyclegan_game, 8e-4, 4e-4, 4, translates=True),
    "enhance": Recipe(translators.enhance_game, 5e-4, 1e-3, 8, translates=True),
}


def _images(name: str) -> tuple[Tensor, str]:
    """uint8 images (N, C, H, W) for --data, and what to call them in a recipe."""
    if name == "digits":
        return data.digits("train").images, name
    if name == "photos":
        return data.photo_patches(64), name
    images = data.image_folder(name, 64)
    return images, f"{len(images)} pictures of {Path(name).expanduser().name}"


def _with_labels(game: str, recipe: dict, images: Tensor):
    """What `game` plays on: images, or (images, labels) where it needs labels."""
    if not GAMES[game].labelled:
        return images
    if recipe["data"] != "digits":
        raise GancourseError(
            f"{game} needs a label with every picture; '{recipe['data']}' has none. "
            "Nothing was started. Use --data digits, or train dcgan on your pictures."
        )
    return images, data.digits("train").labels


# ------------------------------------------------------------------ train


def _material(game: str, name: str | None) -> tuple[Tensor | None, dict]:
    """The pictures of --data (None: a translator finds its own), and the recipe."""
    if GAMES[game].translates:
        return None, translators.describe(game, name)
    images, source = _images(name or "digits")
    recipe = {"game": game, "data": source}
    return images, recipe | {"channels": images.shape[1], "size": images.shape[2]}


def play(
    game_name: str,
    data_name: str | None,
    config: TrainConfig,
    folder: Path,
    fresh: bool = False,
    save_every: int = 500,
) -> int:
    """Train, saving as it goes; the exit status (0 done, 1 failed, 130 interrupted)."""
    device = pick_device(config.device)
    with _processes(device):
        return _play(game_name, data_name, config, folder, fresh, save_every, device)


def _play(game_name, data_name, config, folder, fresh, save_every, device) -> int:
    """`play`, inside its process group: what it made is gone when it returns."""
    from tqdm import tqdm

    _check_batch(game_name, config.batch_size)
    images, recipe = _material(game_name, data_name)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        game = GAMES[game_name].build(recipe)
    how = config.batch_size, config.seed, device
    if images is None:
        batches = translators.batches(recipe, *how)
    else:
        batches = data.batches(_with_labels(game_name, recipe, images), *how)
    if fresh:
        _put_aside(folder)
    _same_data(folder, recipe["data"])
    state = checkpoints.resume(folder, game, config, recipe)
    if state.step >= config.steps:
        _say(f"Step {config.steps:,} is done. Give more --steps to train on.")
        return 0
    _say(f"Training on {state.device} in {state.precision}.")
    stop = _Stop()
    off = True if _rank() else None  # None: shown in a terminal only
    bar = tqdm(total=config.steps, initial=state.step, unit="step", disable=off)
    with bar, stop:
        run = _Run(state, batches, images, folder, save_every, bar, stop)
        return run.to_the_end()


class _Run:
    """One training run in a terminal."""

    def __init__(self, state, batches, images, folder, save_every, bar, stop):
        self.state, self.batches, self.images = state, batches, images
        self.folder = folder
        self.save_every, self.bar, self.stop = save_every, bar, stop
        self.logs = []

    def to_the_end(self) -> int:
        state = self.state
        try:
            for log in train(state, self.batches):
                self.logs.append(log)
                self.bar.set_postfix_str(f"D {log.d_loss:.3f}, G {log.g_loss:.3f}")
                self.bar.update(log.step - self.bar.n)
                if self.stop.agreed(state.device):
                    break
                if log.step % self.save_every == 0 and log.step < state.config.steps:
                    self.save()
        except KeyboardInterrupt:
            self.stop.asked = True
        except NonFinite as error:
            _say(str(error))
            return 1
        self.bar.close()
        saved = self.save()
        if self.stop.asked:
            if saved:
                _say("Run the same command again to continue.")
            return 130
        self.verdict()
        return 0 if saved else 1

    def save(self) -> bool:
        """Save, say so; a full disk costs a sentence, not the run."""
        with self.stop.held():
            return self._save(self.state.step)

    def _save(self, step: int) -> bool:
        try:
            checkpoints.save(self.state, self.folder)
        except CheckpointError as error:
            more = " Training goes on." if step < self.state.config.steps else ""
            _say(f"{error}{'' if self.stop.asked else more}", self.bar)
            return False
        losses = ""
        if self.logs:
            losses = f" (D {self.logs[-1].d_loss:.3f}, G {self.logs[-1].g_loss:.3f})"
        _say(f"Saved step {step:,}{losses}.", self.bar)
        if not _rank():
            # The picture beside the checkpoint is a bonus: it may not cost the run.
            with contextlib.suppress(Exception):
                sheets.write_png(self.samples(), self.folder / "samples.png")
        return True

    def samples(self) -> Tensor:
        """What the averaged generator draws now, uint8: 64 samples, or 16 inputs."""
        if self.images is None:
            return translators.draw(self.state.sample, self.state.recipe, 16, 0, True)
        rng = torch.Generator().manual_seed(0)
        return data.to_uint8(self.state.sample(*inputs_for(self.state.game, 64, rng)))

    def verdict(self) -> None:
        """How the run looks to `health`, in a line; its samples against the data."""
        if len(self.logs) < 2 or _rank() or self.images is None:
            return
        rng = torch.Generator().manual_seed(0)
        samples = self.state.sample(*inputs_for(self.state.game, 500, rng))
        with contextlib.suppress(GancourseError):  # a run too short to say anything
            found = health.verdict(self.logs, samples, self.images[:2000].cpu())
            print(f"Verdict: {found.name}. {found.why} {found.advice}".strip())


class _Stop:
    """Ctrl-C and SIGTERM: stop after the step at hand, every process alike."""

    def __init__(self):
        self.asked = self.busy = False

    def __enter__(self):
        self.before = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            self.before[number] = signal.signal(number, self.ask)
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def ask(self, number, _frame):
        again, self.asked = self.asked, True
        if not dist.is_initialized() and (again or not self.busy):
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self):
        """A save is not broken off by the first Ctrl-C; a second one goes through."""
        self.busy = True
        try:
            yield
        finally:
            self.busy = False

    def agreed(self, device: torch.device) -> bool:
        """Whether any process was asked to stop; under torchrun all answer alike."""
        if dist.is_initialized():
            asked = torch.tensor(float(self.asked), device=device)
            dist.all_reduce(asked, dist.ReduceOp.MAX)
            self.asked = bool(asked)
        return self.asked


@contextlib.contextmanager
def _processes(device: torch.device):
    """Join the other processes when torchrun started this one."""
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        yield
    finally:
        # A game that outlives its group may end the process with SIGABRT (gloo).
        gc.collect()
        dist.destroy_process_group()


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _say(text: str, bar=None) -> None:
    if not _rank():
        bar.write(text) if bar is not None else print(text)


def _check_batch(game: str, size: int) -> None:
    """Equal shares for all processes; what normalises over the batch needs two each."""
    world = dist.get_world_size() if dist.is_initialized() else 1
    least = 1 if GAMES[game].translates else 2
    if size // world < least:
        raise GancourseError(
            f"--batch-size {size} does not suit {game}, which normalises over the "
            "batch and needs two samples in each process. Nothing was started. "
            f"Choose a multiple of {world}, and at least {least * world}."
        )
    if size % world:
        raise GancourseError(
            f"--batch-size {size} cannot be shared equally by {world} processes, and "
            f"nothing was started. Choose a multiple of {world}."
        )


def _put_aside(folder: Path) -> None:
    """Move an earlier run out of the way, under a name that says what it is."""
    folder = storage.absolute(folder)
    if not _rank() and folder.is_dir() and any(folder.glob("step*.pt")):
        for number in range(1, 1000):
            aside = folder.with_name(f"{folder.name}-before-fresh-{number}")
            if not aside.exists():
                break
        try:
            storage.lock(folder)  # a run that is being trained is not ours to move
            folder.rename(aside)
        except OSError as error:
            why, cure = storage.why_not(error, 0)
            raise GancourseError(
                f"The run in '{storage.shown(folder)}' could not be put aside: {why}. "
                f"Nothing was started. {cure}"
            ) from None
        _say(f"The earlier run was put aside in {aside.name}.")
    if dist.is_initialized():
        dist.barrier()


def _same_data(folder: Path, source: str) -> None:
    """Other pictures of the same shape would continue a run unnoticed."""
    contents = checkpoints.latest(folder)
    before = (contents or {}).get("recipe", {}).get("data", source)
    if before != source:
        raise GancourseError(
            f"The run in '{storage.shown(Path(folder))}' was trained on {before}, not "
            f"on {source}. It was left as it is. Choose another --save folder, or give "
            "--fresh to put it aside."
        )


# ------------------------------------------------------------------ sample


def inputs_for(
    game, n: int, rng: torch.Generator, label: int | None = None
) -> tuple[Tensor, ...]:
    """What G draws n images from: latents, and labels where it takes them.

    Without a `label` all classes come in turn: 0, 1, … 9, 0, 1, …
    """
    z = latents(n, game.latent_dim, rng)
    if not hasattr(game, "classes"):
        return (z,)
    y = torch.arange(n, device=z.device) % game.classes
    return z, y if label is None else torch.full_like(y, label)


def _check_label(game, label: int | None) -> None:
    if label is None:
        return
    if not hasattr(game, "classes"):
        raise GancourseError(
            "This game draws without labels, and nothing was drawn. Leave --label out."
        )
    if not 0 <= label < game.classes:
        raise GancourseError(
            f"There is no class {label}: this game knows 0 to {game.classes - 1}. "
            "Nothing was drawn. Choose one of these."
        )


def generator(folder: Path) -> tuple[object, nn.Module, dict]:
    """Game, averaged generator (in eval mode) and recipe of the run in `folder`."""
    contents = checkpoints.latest(folder)
    if contents is None:
        raise GancourseError(
            f"There is no checkpoint in '{storage.shown(Path(folder))}', and nothing "
            "was drawn. Train one first: gancourse train mlp --save "
            f"{Path(folder).name}"
        )
    recipe = contents["recipe"]
    if str(recipe.get("game")) not in GAMES:
        raise GancourseError(
            f"The run in '{storage.shown(Path(folder))}' was not made by `gancourse "
            "train`, so it does not say how its generator is built. Draw from it in "
            "Python instead: checkpoints.resume, then state.sample."
        )
    weights = contents["ema"] or contents["generators"]
    if contents["ema"]:
        weights = {
            key.removeprefix("module."): value
            for key, value in weights.items()
            if key.startswith("module.")
        }
    if not _builds(recipe, weights):
        raise GancourseError(
            f"The run in '{storage.shown(Path(folder))}' holds weights that do not fit "
            "the players it names, and nothing was drawn. Use another run."
        )
    game = GAMES[recipe["game"]].build(recipe)
    players = nn.ModuleDict(game.generators)
    players.load_state_dict(weights)
    return game, players["G"].eval(), recipe


def _builds(recipe: dict, weights: dict[str, Tensor]) -> bool:
    """Whether the players of a recipe take these weights. A file may name any sizes:
    on the "meta" device players have shapes and cost no memory."""
    try:
        if GAMES[recipe["game"]].translates:
            translators.describe(recipe["game"], recipe["data"])
        with torch.device("meta"):
            planned = nn.ModuleDict(GAMES[recipe["game"]].build(recipe).generators)
    except Exception:  # sizes that are none: each player has its own complaint
        return False
    shapes = {key: value.shape for key, value in planned.state_dict().items()}
    return shapes == {key: value.shape for key, value in weights.items()}


@torch.no_grad()
def sample(
    folder: Path, n: int, seed: int, label: int | None = None, beside: bool = False
) -> Tensor:
    """n images, uint8 (n, C, H, W), from the averaged generator of the run in `folder`.

    Evaluation mode: an image depends on its latent, or on its held-out input, which
    stands to its left with `beside`, and not on its neighbours.
    """
    game, G, recipe = generator(folder)
    _check_label(game, label)
    if GAMES[recipe["game"]].translates:
        return translators.draw(G, recipe, n, seed, beside)
    inputs = inputs_for(game, n, torch.Generator().manual_seed(seed), label)
    parts = zip(*(x.split(250) for x in inputs), strict=True)
    return torch.cat([data.to_uint8(G(*part)) for part in parts])


def write_generator(folder: Path, path: Path) -> None:
    """The averaged generator's weights as safetensors, to use elsewhere or to embed."""
    from safetensors.torch import save

    weights = generator(folder)[1].state_dict()
    with sheets.whole(path) as file:
        file.write(save({name: value.contiguous() for name, value in weights.items()}))
