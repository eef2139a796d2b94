"""What a run is played on: device, bits, notebook; chosen, or said to be not there."""

import contextlib
import os
import sys
from collections.abc import Iterator

import torch
from torch import nn

from gancourse.errors import GancourseError


def pick_device(device: str = "auto") -> torch.device:
    """The torch device for "auto", "cpu", "cuda", "cuda:1" or "mps".

    Raises GancourseError when it is asked for and not there; in a notebook, where the
    next cells wait for a result, it says so and takes the CPU.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, colon, number = str(device).partition(":")
    if not colon:  # under torchrun each process has a GPU of its own
        number = os.environ.get("LOCAL_RANK", "0") if kind == "cuda" else "0"
        device = f"cuda:{number}" if number != "0" else device
    count = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if kind not in count or not number.isdecimal():
        raise GancourseError(f"{device!r} is no device. Choose auto, cpu, cuda or mps.")
    if int(number) >= count[kind]:
        if in_a_notebook():
            print(f"There is no {device} device here: taking the CPU, which is slower.")
            return torch.device("cpu")
        raise GancourseError(
            f"There is no {device} device here, and nothing was started. "
            "Use --device cpu (or device='cpu'), or let device='auto' choose."
        )
    return torch.device(kind, int(number)) if kind == "cuda" else torch.device(kind)


def in_a_notebook() -> bool:
    """Whether a kernel is there to talk to a front end.

    IPython is asked only if it is there already: a terminal need not import it.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def pick_precision(precision: str, device: torch.device, *players: nn.Module) -> str:
    """ "auto" means 16 bits only where the hardware multiplies them faster than 32.

    Small dense `players` stay in 32 bits on a CPU: converting would take longer.
    """
    if precision != "auto":
        return precision
    if device.type == "cpu" and players and _are_slight(players):
        return "fp32"
    if device.type == "cuda":
        # is_bf16_supported() says yes to emulation on a T4: ask for the real thing.
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"
    has = _instructions() if device.type == "cpu" else {}
    return "bf16" if has.get("amx_bf16") or has.get("avx512_bf16") else "fp32"


def _instructions() -> dict[str, bool]:
    """What the processor multiplies in hardware; torch 2.8 and 2.9 have no public name
    for it."""
    if hasattr(torch.cpu, "get_capabilities"):
        return torch.cpu.get_capabilities()
    names = {
        "amx_bf16": "_is_amx_tile_supported",
        "avx512_bf16": "_is_avx512_bf16_supported",
    }
    return {key: bool(getattr(torch.cpu, ask, bool)()) for key, ask in names.items()}


@contextlib.contextmanager
def repeatable(always: bool) -> Iterator[None]:
    """Inside, with `always`, CUDA gives the same bits every time, somewhat slower.

    Afterwards torch is as it was: what else a notebook computes is not slowed down.
    """
    if not always:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)


def _are_slight(players: tuple[nn.Module, ...]) -> bool:
    """Whether they have fewer than 100,000 weights, and no convolution."""
    weights = [p for player in players for p in player.parameters()]
    return (
        sum(p.numel() for p in weights) < 100_000
        and max((p.ndim for p in weights), default=0) < 3
    )
