"""The benchmarks, all or those that are named, written into RESULTS.md.

    python tests/benchmarks/run.py [--smoke] [--results FILE] [names …]

Ratios of our loops to plain ones of the same layers (tutorial.py), in one run. With
`--smoke` each only proves in seconds that it works: numbers mean nothing then, and
RESULTS.md is left alone.
"""

import argparse
import sys
import time
from pathlib import Path

import measuring
import torch

import gancourse.errors  # noqa: F401  (the package must be there before anything is timed)

RESULTS = Path(__file__).with_name("RESULTS.md")


def benchmarks() -> dict:
    """Name of each benchmark and what measures it, cheap ones first."""
    import gpu
    import lean
    import painting
    import quality
    import steps

    return {
        "import": lean.measure,
        "dcgan": steps.dcgans,
        "pix2pix": steps.pix2pix,
        "fast-style": steps.fast,
        "gatys": painting.measure,
        "conditional": quality.conditional,
        "unconditional": quality.unconditional,
        "tutorial-300": quality.tutorials,
        "gpu": gpu.measure,
    }


def main() -> None:
    known = benchmarks()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=", ".join(known))
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=None)
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(known)
    if unknown:
        parser.error(f"there is no benchmark {sorted(unknown)}: {', '.join(known)}")
    torch.set_num_threads(arguments.threads)
    results = arguments.results or (None if arguments.smoke else RESULTS)
    no_gpu = not (torch.cuda.is_available() or arguments.smoke)
    if no_gpu and "gpu" in arguments.names:
        parser.error("there is no CUDA device here, and nothing was measured")
    for name in arguments.names or [n for n in known if not (no_gpu and n == "gpu")]:
        began = time.process_time()
        found = known[name](arguments.smoke)
        command = f"python tests/benchmarks/run.py {name}"
        time_of = "Time of the clock" if name == "gpu" else "Processor time"
        text = f"{measuring.circumstances(command, time_of)}\n\n{found}"
        print(f"== {name} ({time.process_time() - began:.0f} s)\n{text}\n", flush=True)
        if results:
            measuring.write(results, name, text)


if __name__ == "__main__":
    sys.exit(main())
