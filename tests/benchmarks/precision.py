"""Is bf16 faster than fp32 here? Notebook 04's players, both in one run, in turns.

    python tests/benchmarks/precision.py [--rounds 8] [--threads 1]

Prints milliseconds of processor time a step (medians) and the median of paired ratios.
"""

import argparse
import statistics
import time

import torch

from gancourse import data, games, training
from gancourse.models import dcgan

STEPS = 5  # a round


def player(precision: str):
    """An endless run of notebook 04's game; each `next` plays STEPS steps."""
    torch.manual_seed(0)
    G = dcgan.channels_last(dcgan.DCGANGenerator())
    D = dcgan.channels_last(dcgan.DCGANDiscriminator())
    config = training.TrainConfig(
        100_000, log_every=STEPS, g_lr=2e-3, d_lr=1e-3, precision=precision
    )
    state = training.start(games.GAN(G, D), config)
    real = data.batches(data.digits().images, config.batch_size, 0, state.device)
    return training.train(state, real)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    runs = {precision: player(precision) for precision in ("fp32", "bf16")}
    for run in runs.values():
        next(run)  # warm
    spent = {precision: [] for precision in runs}
    for _ in range(args.rounds):
        for precision, run in runs.items():
            began = time.process_time()
            next(run)
            spent[precision].append((time.process_time() - began) / STEPS)
    for precision, seconds in spent.items():
        print(f"{precision}: {1000 * statistics.median(seconds):.0f} ms a step")
    pairs = zip(spent["fp32"], spent["bf16"], strict=True)
    print(f"fp32 / bf16: {statistics.median(a / b for a, b in pairs):.2f}")


if __name__ == "__main__":
    main()
