"""What examinations ask with: numbers new at every check, and slopes of a loss."""

import os

import torch
from torch import Tensor

from gancourse.checks.compare import equal, tensor
from gancourse.checks.verdict import Mistake

_STREAMS: dict[int, torch.Generator] = {}


def stream() -> torch.Generator:
    """Random numbers of this process: a fork would inherit those of its parent."""
    own = _STREAMS.get(os.getpid())
    if own is None:
        own = _STREAMS[os.getpid()] = torch.Generator()
        own.seed()
    return own


def normal(*shape: int, scale: float = 1.0) -> Tensor:
    """Fresh numbers: an answer that knows the example by heart fails."""
    return scale * torch.randn(*shape, generator=stream())


def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Fresh numbers between `low` and `high`."""
    return low + (high - low) * torch.rand(*shape, generator=stream())


def new_seed() -> int:
    """A fresh seed, for what is built with the global stream."""
    return int(torch.randint(1 << 30, (1,), generator=stream()))


def seeded(build, seed: int | None = None):
    """build() under a seed, the global stream left as it was."""
    if seed is None:
        seed = new_seed()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def slopes(answer, arguments: list, watched: list[int], nets: list[int]) -> list:
    """d answer / d arguments[i] for i in `watched`, then for the weights of `nets`.

    Runs in the learner's process. Zeros where no gradient arrives, empty if there is
    no way back at all.
    """
    arguments = list(arguments)
    for i in watched:
        arguments[i] = arguments[i].clone().requires_grad_()
    inputs = [arguments[i] for i in watched]
    inputs += [p for i in nets for p in arguments[i].parameters()]
    try:
        loss = answer(*arguments)
        loss = sum(loss) if isinstance(loss, (list, tuple)) else loss
        found = torch.autograd.grad(loss.sum(), inputs, allow_unused=True)
    except (RuntimeError, AttributeError, TypeError):  # NumPy, floats, detached
        return []
    return [
        torch.zeros_like(x) if g is None else g
        for x, g in zip(inputs, found, strict=True)
    ]


def same_slopes(
    answer,
    right,
    arguments: list,
    watched: tuple[int, ...] = (),
    nets: tuple[int, ...] = (),
    cut: str = "loses_gradient",
) -> None:
    """The answer's gradients are those of `right`; else the mistake `cut`, or none."""
    args = (arguments, list(watched), list(nets))
    got = answer.using(slopes, *args)
    if not got:
        raise Mistake("loses_gradient")
    for mine, theirs in zip(got, slopes(right, *args), strict=True):
        if not equal(tensor(mine, tuple(theirs.shape)), theirs, 1e-3, 1e-6):
            raise Mistake(cut)
