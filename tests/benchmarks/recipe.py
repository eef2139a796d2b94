"""How notebook 04's recipe was found: one change at a time, measured on real MNIST.

    python tests/benchmarks/recipe.py [--seconds 30] [--seeds 0 1 2] [--only NAME ...]

Every variant gets the same processor seconds of training (not the same steps: what is
slower must be worth it). Writes a table into RESULTS.md and the numbers into the file
that notebook 05 shows. The Fréchet distance is on digit features, 10,000 samples.
"""

import argparse
import hashlib
import json
import statistics
from pathlib import Path

import measuring
import torch
from quality import paused, run_of, score

from gancourse import data, evaluation, games, losses
from gancourse.models import dcgan

RESULTS = Path(__file__).with_name("RESULTS.md")
SEARCH = "search/dcgan.json"  # among the assets, for notebook 05


def both_penalties(D, real, fake, rng, gamma: float = 0.1):
    """R1 + R2: D is to be flat at real images and at fakes. Huang et al. 2024."""
    at_real = losses.r1(D, real, fake, rng, gamma=gamma)
    return at_real + losses.r2(D, real, fake, rng, gamma=gamma)


# What differs from the recipe, and nothing else. The first row is the recipe.
VARIANTS: dict[str, dict] = {
    "three residual blocks (notebook 04)": {},
    "none, as in the paper": {"refine": 0},
    "four": {"refine": 4},
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
    norm = change.pop("norm", True)
    torch.manual_seed(seed)
    game = games.GAN(
        dcgan.channels_last(dcgan.DCGANGenerator(refine=refine)),
        dcgan.channels_last(dcgan.DCGANDiscriminator(refine=refine, norm=norm)),
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


def measure(names: list[str], seconds: float, seeds: list[int]) -> dict:
    """All runs, seeds interleaved so that a busy machine disturbs all rows alike."""
    rows: dict[str, list] = {name: [] for name in names}
    for seed in seeds:
        for name in names:
            rows[name].append(train_variant(seconds, seed, VARIANTS[name]))
            print(f"{name}, seed {seed}: {rows[name][-1]}", flush=True)
    return {
        "command": "python tests/benchmarks/recipe.py",
        "seconds": seconds,
        "seeds": seeds,
        "anchors": {k: round(v, 1) for k, v in evaluation.anchors().items()},
        "circumstances": measuring.circumstances("python tests/benchmarks/recipe.py"),
        "variants": rows,
    }


def table(found: dict) -> str:
    """The search as Markdown, best median first."""
    noise, rows = found["anchors"]["real + noise 0.4"], []
    for name, runs in found["variants"].items():
        distances = [run["frechet"] for run in runs]
        middle = statistics.median(distances)
        each = ", ".join(f"{d:.1f}" for d in distances)
        steps = statistics.median(run["steps"] for run in runs)
        rows.append((middle, [name, each, f"{middle:.1f}", f"{middle / noise:.3f}"]))
        rows[-1][1].append(f"{steps:,.0f}")
    head = ["variant", f"Fréchet distance, seeds {found['seeds']}", "median"]
    head += ["share of “noise 0.4”", f"steps in {found['seconds']:g} s"]
    body = measuring.table(head, [row for _, row in sorted(rows, key=lambda r: r[0])])
    anchors = ", ".join(f"{k} {v}" for k, v in found["anchors"].items())
    return f"{found['circumstances']}\n\n{body}\n\nAnchors: {anchors}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found = measure(arguments.only, arguments.seconds, arguments.seeds)
    print(table(found))
    measuring.write(RESULTS, "recipe", table(found))
    path = data.ASSETS / SEARCH
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"Put this line into SHA256SUMS:\n{digest}  {SEARCH}")


if __name__ == "__main__":
    main()
