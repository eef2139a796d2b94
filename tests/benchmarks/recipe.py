"""How notebook 04's recipe was found: one change at a time, measured on real MNIST.

    python tests/benchmarks/recipe.py [--steps 3000] [--seeds 0 1 2] [--only NAME ...]

Prints a table and writes it into RESULTS.md between its markers. Time is training only;
the Fréchet distance is on digit features, 10,000 samples, with its anchor.
"""

import argparse
import statistics
import time
from functools import partial
from pathlib import Path

import torch

from gancourse import data, evaluation, games, losses, training
from gancourse.models import dcgan

RESULTS = Path(__file__).with_name("RESULTS.md")

# What differs from the recipe, and nothing else. The first row is the recipe.
VARIANTS: dict[str, dict] = {
    "the recipe of notebook 04": {},
    "no residual blocks": {"refine": 0},
    "one residual block": {"refine": 1},
    "half the learning rates": {"g_lr": 1e-3, "d_lr": 5e-4},
    "the paper's rate 2e-4": {"g_lr": 2e-4, "d_lr": 2e-4},
    "beta1 = 0": {"betas": (0.0, 0.99)},
    "rates fall over the last half": {"decay": 0.5},
    "hinge loss": {"loss": losses.hinge},
    "least squares": {"loss": losses.least_squares},
    "relativistic + R1, no BatchNorm in D": {
        "loss": losses.relativistic,
        "penalty": partial(losses.r1, gamma=0.1),
        "norm": False,
    },
    "no moving average": {"ema": 0.0},
}


def train_variant(steps: int, seed: int, change: dict) -> tuple[float, dict]:
    """Train one variant; returns the seconds and the report on 10,000 samples."""
    change = dict(change)
    refine = change.pop("refine", 3)
    norm = change.pop("norm", True)
    torch.manual_seed(seed)
    game = games.GAN(
        dcgan.channels_last(dcgan.DCGANGenerator(refine=refine)),
        dcgan.channels_last(dcgan.DCGANDiscriminator(refine=refine, norm=norm)),
        change.pop("loss", losses.nonsaturating),
        change.pop("penalty", None),
    )
    settings = {"g_lr": 2e-3, "d_lr": 1e-3, "ema": 0.999, **change}
    config = training.TrainConfig(steps=steps, seed=seed, log_every=steps, **settings)
    state = training.start(game, config)
    real = data.batches(data.digits().images, config.batch_size, seed, state.device)
    began = time.perf_counter()
    list(training.train(state, real))
    seconds = time.perf_counter() - began
    z = torch.randn(10_000, 64, generator=torch.Generator().manual_seed(1))
    samples = torch.cat([state.sample(part) for part in z.split(1000)])
    return seconds, evaluation.report(samples)


def measure(names: list[str], steps: int, seeds: list[int]) -> str:
    """The table, seeds interleaved so that a busy machine disturbs all rows alike."""
    results: dict[str, list] = {name: [] for name in names}
    for seed in seeds:
        for name in names:
            results[name].append(train_variant(steps, seed, VARIANTS[name]))
            seconds, found = results[name][-1]
            print(f"{name}, seed {seed}: {found['frechet']:.1f} in {seconds:.0f} s")
    noise = evaluation.anchors()["real + noise 0.4"]
    lines = [
        f"{steps:,} steps of 64, seeds {seeds}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, {time.strftime('%Y-%m-%d')}. "
        f"Anchor “real + noise 0.4”: {noise:.0f}.",
        "",
        "| variant | Fréchet distance, each seed | median | share of the anchor | "
        "confidence | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, runs in results.items():
        distances = [found["frechet"] for _, found in runs]
        middle = statistics.median(distances)
        confidence = statistics.median(found["confidence"] for _, found in runs)
        seconds = statistics.median(seconds for seconds, _ in runs)
        each = ", ".join(f"{d:.1f}" for d in distances)
        lines.append(
            f"| {name} | {each} | {middle:.1f} | {middle / noise:.3f} | "
            f"{confidence:.2f} | {seconds:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    arguments = parser.parse_args()
    table = measure(arguments.only, arguments.steps, arguments.seeds)
    print(table)
    text = RESULTS.read_text(encoding="utf-8")
    begin, end = "<!-- recipe: begin -->", "<!-- recipe: end -->"
    before, after = text.split(begin)[0], text.split(end)[1]
    RESULTS.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
