"""Stages runs that are ill in a known way, and runs that are well: health's bank.

A run counts only when something that health does not look at confirms the staging:
the true modes, data that nobody trained on, how far the players' weights have moved.

Remake the bank (about six minutes on one core):  python -m gancourse.staging
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gancourse import data, evaluation, health_bank, losses
from gancourse.errors import NonFinite
from gancourse.games import GAN
from gancourse.health_bank import MIXTURES, Run
from gancourse.models import dcgan, mlp
from gancourse.training import StepLog, TrainConfig, start, train

NS = losses.nonsaturating
R1 = partial(losses.r1, gamma=0.1)
USUAL = {"steps": 1000, "g_lr": 1e-3, "d_lr": 1e-3, "ema": 0.0, "batch_size": 252}
USUAL |= {"device": "cpu", "precision": "fp32"}
CALM = {"betas": (0.0, 0.99), "penalty": R1}
LONG = {"steps": 2000, "g_lr": 2e-3, "d_lr": 2e-3}
SHORT = {"steps": 300, "batch_size": 64, "g_lr": 2e-3, "ema": 0.95}  # on digits
FAST = {**SHORT, "steps": 200, "g_lr": 5e-3, "d_lr": 2e-4}
DIRAC = {"law": "one", "dirac": True}
SLOW_D = {"g_lr": 3.2e-2, "d_lr": 1.25e-4, "betas": (0.0, 0.9)}  # as in notebook 03


def recipe(label: str, name: str, law: str = "ring", seeds: int = 4, **settings):
    """One way to stage a label, played with this many seeds."""
    return label, name, law, seeds, settings


WASSERSTEIN = {"loss": losses.wasserstein}
RECIPES = [
    recipe("healthy", "R1", **CALM),
    recipe("healthy", "R1, longer", "grid", **LONG, **CALM),
    recipe("healthy", "R1", "humps", **CALM),
    recipe("healthy", "R1", "spirals", **CALM),
    recipe("healthy", "hinge, R1", loss=losses.hinge, **CALM),
    recipe("healthy", "DCGAN", "digits", seeds=2, **{**SHORT, "steps": 600}),
    recipe("D too strong", "G hardly moves", g_lr=1e-5),
    recipe("D too strong", "G hardly moves", "grid", g_lr=1e-5),
    recipe("D too strong", "G hardly moves", "humps", g_lr=1e-5),
    recipe("D too strong", "minimax", loss=losses.minimax, g_lr=3e-5, d_lr=3e-3),
    recipe("D too strong", "DCGAN", "digits", seeds=2, **{**SHORT, "g_lr": 1e-6}),
    recipe("G too strong", "D hardly moves", d_lr=1e-6),
    recipe("G too strong", "D hardly moves", "grid", d_lr=1e-6),
    recipe("G too strong", "D hardly moves", "humps", d_lr=1e-6),
    recipe("G too strong", "DCGAN", "digits", seeds=2, d_lr=1e-7, **SHORT),
    recipe("collapsed", "fast G", g_lr=1e-2),
    recipe("collapsed", "fast G", "grid", g_lr=1e-2),
    recipe("collapsed", "slow D", "grid", g_lr=3e-3, d_lr=1e-4),
    recipe("collapsed", "slow D, fast G", **SLOW_D),
    recipe("collapsed", "hinge, fast G", loss=losses.hinge, g_lr=2e-2),
    recipe("collapsed", "dense G", "digits", seeds=2, dense=True, **FAST),
    recipe("oscillating", "Dirac", g_lr=0.05, d_lr=0.05, **DIRAC),
    recipe("oscillating", "Dirac, slower", g_lr=0.03, d_lr=0.03, **DIRAC),
    recipe("oscillating", "hinge", g_lr=0.05, d_lr=0.05, loss=losses.hinge, **DIRAC),
    recipe("oscillating", "bilinear", g_lr=0.03, d_lr=0.03, **DIRAC, **WASSERSTEIN),
    recipe("diverged", "no limit", "humps", g_lr=0.01, d_lr=0.01, **WASSERSTEIN),
    recipe("diverged", "no limit", "grid", d_lr=0.01, **WASSERSTEIN),
    recipe("diverged", "huge rates", g_lr=0.3, d_lr=0.3),
    recipe("diverged", "squares", g_lr=3.0, d_lr=3.0, loss=losses.least_squares),
    recipe("memorising", "six points", "few 6", **CALM),
    recipe("memorising", "eight points", "few 8", g_lr=2e-3, d_lr=2e-3, **CALM),
    recipe("memorising", "twelve points", "few 12", **LONG, **CALM),
]


class Shift(nn.Module):
    """The generator of the Dirac-GAN with a little noise: theta + z / 10."""

    def __init__(self):
        super().__init__()
        self.latent_dim, self.theta = 1, nn.Parameter(torch.zeros(1))

    def forward(self, z):
        return self.theta + z / 10


class Slope(nn.Module):
    """Its discriminator: a line, zero where the data are, at 1."""

    def __init__(self):
        super().__init__()
        self.psi = nn.Parameter(torch.randn(1))

    def forward(self, x):
        return (self.psi * (x - 1)).squeeze(1)


# ------------------------------------------------------------------ playing


class Played(NamedTuple):
    """What a run leaves behind; `middles` are mean samples at each log."""

    G: nn.Module
    D: nn.Module
    logs: list[StepLog]
    samples: Tensor
    middles: Tensor
    moved: float  # length of D's way in weights, in units of where it began
    finite: bool


def players(law: str, dirac: bool, dense: bool) -> tuple[nn.Module, nn.Module]:
    """G and D for a law, with fresh weights from the global seed."""
    if dirac:
        return Shift(), Slope()
    if dense:
        return mlp.MLPGenerator(64), mlp.MLPDiscriminator()
    if law.startswith("digits"):
        return (
            dcgan.DCGANGenerator(width=8, refine=0),
            dcgan.DCGANDiscriminator(width=8, refine=0),
        )
    dim = health_bank.real(law).shape[1]
    return mlp.PointGenerator(min(2, dim), dim), mlp.PointDiscriminator(dim)


def training_data(law: str, batch_size: int):
    """What the batches are drawn from; few points are repeated to fill a batch."""
    if law in MIXTURES:
        return MIXTURES[law]
    if law.startswith("digits"):
        return data.digits().images
    points = health_bank.real(law)
    return points.repeat(-(-batch_size // len(points)), 1)


def play(
    law, seed, loss=NS, penalty=None, dirac=False, dense=False, **settings
) -> Played:
    """Train one GAN of about fifty logs."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        G, D = players(law, dirac, dense)
    before = nn.utils.parameters_to_vector(D.parameters()).detach()
    given = {**USUAL, **settings, "seed": seed}
    config = TrainConfig(log_every=given["steps"] // 50, **given)
    state = start(GAN(G, D, loss, penalty), config)
    rng = torch.Generator().manual_seed(9)
    z, logs, middles = torch.randn(500, G.latent_dim, generator=rng), [], []
    batches = data.batches(
        training_data(law, config.batch_size), config.batch_size, seed
    )
    finite = True
    try:
        for log in train(state, batches):
            logs.append(log)
            middles.append(state.sample(z[:100]).flatten(1).mean(0))
    except NonFinite:
        finite = False
    after = nn.utils.parameters_to_vector(D.parameters()).detach()
    moved = ((after - before).norm() / before.norm()).item()
    return Played(G, D, logs, state.sample(z), torch.stack(middles), moved, finite)


# ------------------------------------------------------------------ what it really is


def modes(law: str, samples: Tensor) -> tuple[float, float]:
    """(share of modes visited, share of samples in good quality), from known truth.

    A mode is visited by a quarter of its fair share. Quality is being within three
    standard deviations of one, or a digit of which the classifier is 90 % sure.
    """
    if law.startswith("digits"):
        sure, mode = evaluation.class_probabilities(samples).max(1)
        good, count = sure > 0.9, 10
    else:
        mixture = MIXTURES[law]
        distance, mode = torch.cdist(samples, mixture.centers).min(1)
        good, count = distance <= 3 * mixture.std, len(mixture.centers)
    counts = torch.bincount(mode, minlength=count)
    visited = (counts >= len(samples) / count / 4).float().mean().item()
    return visited, good.float().mean().item()


def new_data(law: str) -> Tensor:
    """500 points or digits of the law that no run was trained on."""
    if law.startswith("digits"):
        return data.to_unit(data.digits("test").images[:500])
    if law.startswith("few"):
        return health_bank.some(500, seed=10_000)
    return MIXTURES[law].sample(500, torch.Generator().manual_seed(11))


def evidence(label: str, law: str, played: Played) -> tuple[bool, str]:
    """Whether the staging worked, by a measure of its own for each label, in words."""
    samples = played.samples
    if label == "memorising":
        ratio = evaluation.memorisation(samples, health_bank.real(law), new_data(law))
        return ratio <= 1 / 3, f"{ratio:.2f} as far from training points as new data"
    if label == "oscillating":
        return _swings(played.middles, law)
    if label == "diverged":
        slope = _slope(played.D, new_data(law))
        return not played.finite or slope > 50, f"D's slope at the data is {slope:.3g}"
    visited, good = modes(law, samples)
    well = visited > 3 / 4 and good > 1 / 2
    words = f"{visited:.0%} of modes visited, {good:.0%} of samples good"
    if label == "D too strong":
        right = _told_apart(played.D, new_data(law), samples)
        return right >= 0.95 and not well, f"D tells {right:.0%} of new ones; {words}"
    if label == "G too strong":
        return played.moved < 0.1 and not well, f"D moved {played.moved:.1%}; {words}"
    return (well if label == "healthy" else visited <= 1 / 2), words


def _swings(middles: Tensor, law: str) -> tuple[bool, str]:
    away = (middles - health_bank.real(law).mean(0))[:, 0]
    third = len(away) // 3
    crossings = int((away[third + 1 :] * away[third:-1] < 0).sum())
    early, late = (
        part.abs().max().item() for part in (away[third:-third], away[-third:])
    )
    lasting = late > early / 2 and late > 2 * MIXTURES[law].std
    words = f"the samples cross the data {crossings} times and end up to {late:.2f} off"
    return crossings >= 6 and lasting, words


def _slope(D: nn.Module, x: Tensor) -> float:
    return losses.squared_gradient_norm(D, x).sqrt().mean().item()


@torch.no_grad()
def _told_apart(D: nn.Module, real: Tensor, fake: Tensor) -> float:
    return ((D(real) > 0).float().mean() + (D(fake) < 0).float().mean()).item() / 2


# ------------------------------------------------------------------ the bank


def record(label, name, law, seed, settings) -> tuple[Run, bool]:
    """One run as the bank keeps it, and whether its label was confirmed."""
    played = play(law, seed, **settings)
    confirmed, words = evidence(label, law, played)
    samples = played.samples
    if law.startswith("digits"):
        samples = health_bank.small(samples[:200])
    return Run(label, law, name, seed, words, played.logs, samples), confirmed


def _main() -> None:
    """Play every recipe and write the confirmed runs among the assets."""
    import hashlib

    torch.set_num_threads(1)
    runs, staged = [], 0
    for label, name, law, seeds, settings in RECIPES:
        for seed in range(seeds):
            run, confirmed = record(label, name, law, seed, settings)
            staged += 1
            runs += [run] if confirmed else []
            kept = "kept" if confirmed else "not confirmed"
            print(
                f"{label}: {name}, {law}, seed {seed}: {run.evidence}: {kept}",
                flush=True,
            )
    path = data.ASSETS / health_bank.FILE
    path.parent.mkdir(exist_ok=True)
    health_bank.write(runs, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"{len(runs)} of {staged} runs, {path.stat().st_size / 1000:.0f} kB.")
    print(f"Wrote {path}. Put this line into SHA256SUMS:\n{digest}  {health_bank.FILE}")


if __name__ == "__main__":
    _main()
