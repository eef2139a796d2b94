"""A step on a CUDA device: a tutorial's, ours as it comes, ours as a graph.

Seconds are those of the clock here, since the device works while the processor waits;
every turn ends with a log, which waits for the device.
"""

import time
from collections.abc import Callable
from functools import partial

import steps
import torch
from measuring import milliseconds, race, ratio, table

from gancourse import data, hardware

PEAK = 989e12  # bf16 operations a second that NVIDIA states for an H100 or H200


def matrix_peak(device: torch.device, n: int = 8192) -> float:
    """bf16 operations a second of a large matrix product here."""
    a = torch.randn(n, n, device=device, dtype=torch.bfloat16)

    def ten():
        for _ in range(10):
            b = a @ a
        return b.sum().item()  # waits for the device

    return 20 * n**3 / min(race({"it": ten}, 3, time.perf_counter)["it"])


def both(ours: Callable) -> dict[str, Callable]:
    """Our loop as it comes and as a graph, on the device."""
    on = {"device": hardware.pick_device().type}
    return {"ours": ours(**on), "ours, graph": ours(graph=True, **on)}


def rows(name: str, sides: dict, images: int, turn: int, rounds: int) -> list[list]:
    """One row for each side; `images` and `turn`: images of a step, steps of a call.

    The side "ours, graph" launches what "ours" does, whose operations are counted. It
    is left out where no graph could be recorded.
    """
    spent = race(sides, rounds, time.perf_counter)
    if not sides["ours, graph"].state.replayed:
        del spent["ours, graph"]
    counted = steps.flops(sides["ours"]) / turn
    found = []
    for side, seconds in spent.items():
        step = min(seconds) / turn
        of_peak = f"{counted / step / PEAK:.2%}" if side != "tutorial, fp32" else ""
        per_tutorial = ratio(spent, next(iter(spent)), side) if found else "1"
        per_eager = ratio(spent, "ours", side) if side == "ours, graph" else ""
        times = [milliseconds(seconds, turn), f"{images / step:,.0f}"]
        found.append([f"{name}: {side}", *times, per_tutorial, per_eager, of_peak])
    return found


def measure(smoke: bool) -> str:
    """DCGAN-64, notebook 04's players and pix2pix-256 on the device."""
    device = hardware.pick_device()
    width, size, turn, rounds = (8, 64, 6, 1) if smoke else (64, 256, 50, 5)
    images = data.digits().images[:6400]
    real = data.resize(images, 64)
    found = []
    for batch in (8,) if smoke else (64, 128, 512):
        theirs = steps.tutorial_64(images, turn, width, batch, device.type)
        ours = both(partial(steps.dcgan_64, real, turn, "auto", width, batch))
        sides = {"tutorial, fp32": theirs, **ours}
        found += rows(f"DCGAN-64, batches of {batch}", sides, batch, turn, rounds)
    small = both(partial(steps.notebook_04, images, turn))
    found += rows("notebook 04, batches of 64", small, 64, turn, rounds)
    x, y = steps.facade_pairs(size)
    theirs = steps.tutorial_pix2pix(x, y, turn, device.type)
    sides = {"tutorial, fp32": theirs, **both(partial(steps.our_pix2pix, x, y, turn))}
    found += rows(f"pix2pix at {size} pixels, batch 1", sides, 1, turn, rounds)
    head = ["loop", "a step", "images/s, best", "times the first", "times our eager"]
    name = torch.cuda.get_device_name() if device.type == "cuda" else "no CUDA device"
    note = f"{name}. Peak: {PEAK / 1e12:.0f} TFLOP/s, an H200's in bf16"
    if device.type == "cuda":
        note += f"; a matrix product reaches {matrix_peak(device) / 1e12:.0f} here"
    note += (
        ". FLOP are counted. The tutorial reads its digits with one process, and its"
    )
    note += " convolutions may use TF32, as PyTorch has it."
    return table([*head, "of the peak"], found) + f"\n\n{note}"
