"""Quality for time: Fréchet distances after so many processor seconds of training.

Distances are on the course's digit features, 10,000 samples against the test digits,
and stand beside the anchors. Measuring does not count as training.
"""

import statistics
import time
from collections.abc import Iterator
from functools import lru_cache

import torch
import tutorial
from measuring import table
from torch import Tensor

from gancourse import data, evaluation, games, training
from gancourse.conditional import ConditionalGAN
from gancourse.models import conditional as models
from gancourse.models import dcgan

SEEDS = (0, 1, 2)
Curve = dict[float, float]  # processor seconds of training -> Fréchet distance


def paused(run: Iterator, marks: list[float]) -> Iterator[tuple[float, int]]:
    """Play on, and yield (mark, turns played) whenever so many seconds were spent."""
    spent, turns = 0.0, 0
    for mark in marks:
        while spent < mark:
            began = time.process_time()
            next(run)
            spent, turns = spent + time.process_time() - began, turns + 1
        yield mark, turns


def score(sample, n: int, real: Tensor | None = None) -> float:
    """Fréchet distance of `n` samples; sample(k) gives k of them."""
    parts = torch.cat([sample(min(500, n - i)) for i in range(0, n, 500)])
    real = evaluation.real_features("test") if real is None else real
    return evaluation.frechet(evaluation.features(parts), real)


def run_of(game, real, seed: int, turn: int = 5, **settings):
    settings = {"device": "cpu", **settings}
    config = training.TrainConfig(10**9, log_every=turn, seed=seed, **settings)
    state = training.start(game, config)
    batches = data.batches(real, config.batch_size, seed, state.device)
    return state, training.train(state, batches)


def anchored(n: int, note: str = "") -> str:
    found = evaluation.anchors(n)
    rows = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
    return f"Anchors: {rows}. {note}".strip()


# ------------------------------------------------------------------ unconditional


def recipe(seed: int, marks: list[float], n: int, goal: float = 0.0):
    """Notebook 04's players and rates: curve and steps, as far as `goal`."""
    torch.manual_seed(seed)
    G = dcgan.channels_last(dcgan.DCGANGenerator())
    D = dcgan.channels_last(dcgan.DCGANDiscriminator())
    rates = dict(g_lr=2e-3, d_lr=1e-3)
    state, run = run_of(games.GAN(G, D), data.digits().images, seed, **rates)
    rng, curve = torch.Generator(), {}
    for mark, _ in paused(run, marks):
        rng.manual_seed(1)
        curve[mark] = score(
            lambda k: state.sample(torch.randn(k, 64, generator=rng)), n
        )
        if curve[mark] <= goal:
            break
    return curve, state.step


def unconditional(smoke: bool) -> str:
    """Notebook 04's recipe: distance after so many seconds, as a share of noise 0.4."""
    marks, n, seeds = [10.0, 20, 30, 60, 180], 10_000, SEEDS
    if smoke:
        marks, n, seeds = [0.2, 0.4], 300, SEEDS[:1]
    curves = [recipe(seed, marks, n) for seed in seeds]
    noise = evaluation.anchors(n)["real + noise 0.4"]
    rows = []
    for mark in marks:
        found = [curve[mark] for curve, _ in curves]
        middle = statistics.median(found)
        each = ", ".join(f"{x:.1f}" for x in found)
        rows.append([f"{mark:g}", each, f"{middle:.1f}", f"**{middle / noise:.2f}**"])
    head = ["processor seconds", "each seed", "median", "share of “noise 0.4”"]
    ends = ", ".join(str(steps) for _, steps in curves)
    return table(head, rows) + "\n\n" + anchored(n, f"Steps at the end: {ends}.")


# ------------------------------------------------------------------ the tutorial


@lru_cache(maxsize=1)
def matched() -> Tensor:
    """Features of the test digits that went to 64 pixels and back, as its samples."""
    there = data.resize(data.digits("test").images, 64)
    return evaluation.features(data.resize(there, 28))


def tutorial_curve(seed: int, marks: list[float], n: int, width: int) -> tuple:
    """The tutorial's DCGAN-64; returns its curve and the images that it has seen."""
    torch.manual_seed(seed)
    netG = tutorial.dcgan_generator(ngf=width)
    netD = tutorial.dcgan_discriminator(width)
    run, curve = tutorial.dcgan(netG, netD, data.digits().images), {}
    for mark, turns in paused(run, marks):
        curve[mark], seen = tutorial_score(netG, n), 64 * turns
    return curve, seen


def tutorial_score(netG, n: int) -> float:
    """Distance of what G draws in evaluation mode, brought to 28 pixels."""
    rng = torch.Generator().manual_seed(1)

    @torch.no_grad()
    def sample(k: int) -> Tensor:
        fake = netG(torch.randn(k, 100, 1, 1, generator=rng))
        return data.resize(data.to_uint8(fake), 28)

    netG.eval()
    found = score(sample, n, matched())
    netG.train()
    return found


def tutorials(smoke: bool) -> str:
    """What the tutorial's loop reaches in 300 s, and when notebook 04 has passed it."""
    marks, n, seeds, width = [300.0], 10_000, SEEDS, 64
    ours = [4.0, 6, 8, 10, 12, 15, 20, 30]
    if smoke:
        marks, n, seeds, width, ours = [0.1], 300, SEEDS[:1], 4, [0.1, 0.3]
    rows, times = [], []
    for seed in seeds:
        curve, seen = tutorial_curve(seed, marks, n, width)
        goal = curve[marks[-1]]
        mine, _ = recipe(seed, ours, n, goal)
        last, reached = list(mine.items())[-1]
        times += [marks[-1] / last if reached <= goal else 0.0]
        path = ", ".join(
            f"{distance:.0f} ({mark:g} s)" for mark, distance in mine.items()
        )
        rows.append([str(seed), f"{goal:.0f}", f"{seen:,}", path, f"{times[-1]:.0f}"])
        print(rows[-1], flush=True)
    head = ["seed", f"tutorial after {marks[-1]:g} s", "of so many images"]
    head += ["notebook 04 until it is as good", "times less"]
    note = f"Median: **{statistics.median(times):.0f}** times less (0: not reached). "
    note += "The tutorial's samples and its real digits went through one resize."
    return table(head, rows) + "\n\n" + anchored(n, note)


# ------------------------------------------------------------------ conditional


def conditional(smoke: bool) -> str:
    """Notebook 07's projection game after 30 s: distance, and the class asked for."""
    mark, n, seeds, width = (
        (0.3, 300, SEEDS[:1], 8) if smoke else (30.0, 10_000, SEEDS, 24)
    )
    noise, rows = evaluation.anchors(n)["real + noise 0.2"], []
    for seed in seeds:
        torch.manual_seed(seed)
        G = dcgan.channels_last(models.ConditionalGenerator(width=width, refine=2))
        D = dcgan.channels_last(models.ProjectionDiscriminator(width=width, refine=2))
        settings = dict(batch_size=32, g_lr=2e-3, d_lr=1e-3)
        game, real = ConditionalGAN(G, D), tuple(data.digits())
        state, run = run_of(game, real, seed, **settings)
        next(paused(run, [mark]))
        labels = torch.arange(n) % 10
        z = torch.randn(n, 64, generator=torch.Generator().manual_seed(1))
        pairs = zip(z.split(500), labels.split(500), strict=True)
        images = torch.cat([state.sample(*pair) for pair in pairs])
        right = evaluation.class_probabilities(images).argmax(1) == labels
        found = evaluation.frechet(
            evaluation.features(images), evaluation.real_features("test")
        )
        rows.append(
            [seed, state.step, found, found / noise, right.float().mean().item()]
        )
    middle = [statistics.median(row[i] for row in rows) for i in range(1, 5)]
    rows.append(["median", *middle])
    shown = [
        [str(a), f"{b:.0f}", f"{c:.1f}", f"{d:.2f}", f"{e:.2%}"]
        for a, b, c, d, e in rows
    ]
    head = ["seed", f"steps in {mark:g} s", "Fréchet", "share of “noise 0.2”"]
    return table([*head, "the class asked for"], shown) + "\n\n" + anchored(n)
