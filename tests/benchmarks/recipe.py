"""How notebook 04's recipe was found: one change at a time, measured on real MNIST.

    python tests/benchmarks/recipe.py [--seconds 30] [--seeds 0 1 2] [--only NAME ...]

Every variant gets the same processor seconds of training (not the same steps: what is
slower must be worth it). Writes a table into RESULTS.md, after each seed anew. The
Fréchet distance is on digit features, 10,000 samples.
"""

import argparse
import statistics
from pathlib import Path

import measuring
import torch
from quality import anchored, paused, run_of, score

from gancourse import data, evaluation, games, losses
from gancourse.models import dcgan

RESULTS = Path(__file__).with_name("RESULTS.md")


def both_penalties(D, real, fake, rng, gamma: float = 0.1):
    """R1 + R2: D is to be flat at real images and at fakes. Huang et al. 2024."""
    at_real = losses.r1(D, real, fake, rng, gamma=gamma)
    return at_real + losses.r2(D, real, fake, rng, gamma=gamma)


# What differs from the recipe, and nothing else. The first row is the recipe.
VARIANTS: dict[str, dict] = {
    "the recipe, three residual blocks": {},
    "no residual blocks": {"refine": 0},
    "four residual blocks": {"refine": 4},
    "one residual block in D": {"refine_D": 1},
    "none in D": {"refine_D": 0},
    "hinge loss": {"loss": losses.hinge},
    "relativistic loss, R1 + R2, no BatchNorm in D": {
        "loss": losses.relativistic,
        "penalty": both_penalties,
        "norm": False,
    },
    "DiffAugment": {"augment": games.diff_augment},
}


def train_variant(seconds: float, seed: int, change: dict, n: int = 10_000) -> dict:
    """Train one variant; returns its steps and its Fréchet distance."""
    change = dict(change)
    refine = change.pop("refine", 3)
    in_D = dict(refine=change.pop("refine_D", refine), norm=change.pop("norm", True))
    torch.manual_seed(seed)
    game = games.GAN(
        dcgan.channels_last(dcgan.DCGANGenerator(refine=refine)),
        dcgan.channels_last(dcgan.DCGANDiscriminator(**in_D)),
        change.pop("loss", losses.nonsaturating),
        change.pop("penalty", None),
        change.pop("augment", None),
    )
    settings = {"g_lr": 2e-3, "d_lr": 1e-3, "ema": 0.999, **change}
    state, run = run_of(game, data.digits().images, seed, **settings)
    next(paused(run, [seconds]))
    rng = torch.Generator().manual_seed(1)
    found = score(lambda k: state.sample(torch.randn(k, 64, generator=rng)), n)
    return {"steps": state.step, "frechet": round(found, 1)}


def table(rows: dict[str, list[dict]], seconds: float, seeds: list[int]) -> str:
    """The search as Markdown, best median first."""
    noise, found = evaluation.anchors()["real + noise 0.4"], []
    for name, runs in rows.items():
        distances = [run["frechet"] for run in runs]
        middle = statistics.median(distances)
        each = ", ".join(f"{d:.1f}" for d in distances)
        steps = statistics.median(run["steps"] for run in runs)
        line = [name, each, f"{middle:.1f}", f"{middle / noise:.2f}", f"{steps:,.0f}"]
        found.append((middle, line))
    head = ["variant", f"Fréchet distance, seeds {seeds}", "median"]
    head += ["share of “noise 0.4”", f"steps in {seconds:g} s"]
    command = f"python tests/benchmarks/recipe.py --seconds {seconds:g}"
    body = measuring.table(head, [line for _, line in sorted(found)])
    return f"{measuring.circumstances(command)}\n\n{body}\n\n{anchored(10_000)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows: dict[str, list] = {name: [] for name in arguments.only}
    for i, seed in enumerate(arguments.seeds, 1):  # a busy machine disturbs all alike
        for name in arguments.only:
            found = train_variant(arguments.seconds, seed, VARIANTS[name])
            rows[name].append(found)
            print(f"{name}, seed {seed}: {found}", flush=True)
        text = table(rows, arguments.seconds, arguments.seeds[:i])
        measuring.write(RESULTS, "recipe", text)
    print(text)


if __name__ == "__main__":
    main()
