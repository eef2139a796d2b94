"""A whole step of training as one CUDA graph: launched once, not kernel by kernel.

The kernels of a small step take less time than their launches, so the GPU waits. A
graph is a recording of a step's kernels that is launched as one (NVIDIA's CUDA
programming guide, "CUDA Graphs"). A replay reads and writes where the recorded step
did. So batches are copied to fixed places, and what changes from step to step, its
number and both rates, lies in tensors too. What Python decides inside a loss is decided
once, when the step is recorded: an augmentation whose strength is a Python number keeps
that strength.
"""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

from gancourse.errors import GancourseError

WARM_UP = 3  # steps played one by one first: libraries choose kernels, Adam its state
TOLERANCE = 1e-3  # of 1 + |value|: what a replayed step may differ by from a played one


def why_not(state) -> str:
    """Why this run cannot use a graph, or nothing."""
    if state.device.type != "cuda":
        return f"a graph needs a CUDA device, and this run is on {state.device}"
    if state.precision == "fp16":
        return "the loss scale of fp16 has to be looked at between two steps"
    if dist.is_initialized():
        return "several processes exchange gradients within a step"
    return ""


def graphed(play: Callable, state, numbers: Callable) -> Callable:
    """`play(state, batches)` as a graph from its fourth call on, or as it is.

    `numbers(state)` is what else changes from step to step, by name. Where no graph is
    possible, that is said and `play` itself comes back.
    """
    if reason := why_not(state):
        print(f"No graph: {reason}. The steps are played one by one.")
        return play
    return Graphed(play, state, numbers)


class Graphed:
    """Plays the first steps one by one, records one, and replays it from then on.

    The recorded step is played as well, from the same weights and random numbers, and
    the graph is kept only if both agree. `state.replayed` counts the replays.
    """

    def __init__(self, play: Callable, state, numbers: Callable):
        self.play, self.numbers = play, numbers
        self.calls, self.batches, self.replay = 0, [], None
        self.fixed = {
            name: torch.zeros((), device=state.device) for name in numbers(state)
        }
        self.stream = torch.cuda.Stream(state.device)

    def __call__(self, state, batches: list):
        self.calls += 1
        if not self.batches:
            self.batches = [_copy(batch) for batch in batches]
        for fixed, batch in zip(self.batches, batches, strict=True):
            _fill(fixed, batch)
        for name, value in self.numbers(state).items():
            self.fixed[name].fill_(value)
        if self.calls == WARM_UP + 1:
            return self._record(state)
        if self.replay is None:
            return self._play(state)
        state.replayed += 1
        return self.replay()

    def _play(self, state):
        """One by one, on the stream where the recording will be made.

        Autograd remembers the stream on which a weight was first used.
        """
        usual = torch.cuda.current_stream(state.device)
        self.stream.wait_stream(usual)
        with torch.cuda.stream(self.stream):
            played = self.play(state, self.batches)
        usual.wait_stream(self.stream)
        return played

    def _record(self, state):
        before = [(tensor, tensor.clone()) for tensor in _of_the_run(state)]
        latents = state.rng.get_state()
        replay = self._recorded(state)

        def again(step: Callable):
            with torch.no_grad():
                for tensor, value in before:
                    tensor.copy_(value)
            state.rng.set_state(latents)
            state.write_layer_rng()
            return step()

        played = again(lambda: self._play(state))
        if (apart := _apart(played, again(replay))) <= TOLERANCE:
            self.replay, state.replayed = replay, 1
            return replay.step
        print(
            f"No graph: a replayed step differed from a played one by {apart:.1e}. The "
            "steps are played one by one."
        )
        return again(lambda: self._play(state))

    def _recorded(self, state) -> "Replay":
        """A recording of the step; nothing is computed meanwhile."""
        optimizers = [opt for opt in (state.d_opt, state.g_opt) if opt is not None]
        groups = [opt.param_groups[0] for opt in optimizers]
        rates, state.fixed = [group["lr"] for group in groups], self.fixed
        for group in groups:
            group["capturable"] = True
        try:
            return Replay(self.play, state, self.batches, self.stream)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise GancourseError(
                f"Step {state.step + 1} cannot be recorded as a CUDA graph: "
                f"{str(error).splitlines()[0]}. The run was broken off; what you saved "
                "stands. Go on with graph=False."
            ) from None
        finally:
            state.fixed = None
            for group, rate in zip(groups, rates, strict=True):
                group["capturable"], group["lr"] = False, rate


class Replay:
    """The recorded step; calling it computes it again and gives what it left."""

    def __init__(self, play: Callable, state, batches: list, stream):
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(state.rng)
        with torch.cuda.graph(self.graph, stream=stream):
            self.step = play(state, batches)

    def __call__(self):
        self.graph.replay()
        return self.step


def _of_the_run(state) -> list[Tensor]:
    """Every tensor that a step changes, without the average, which comes after it."""
    found = [state.bad_step, *state._finite]
    for players in (state.generators, state.discriminators):
        found += [*players.parameters(), *players.buffers()]
    for opt in (state.d_opt, state.g_opt):
        kept = opt.state.values() if opt is not None else ()
        found += [value for one in kept for value in one.values()]
    return found


def _apart(a, b) -> float:
    """The largest difference of two steps' losses and parts, over 1 + |value|."""
    first, second = ([*values[:2], *parts.values()] for values, parts in (a, b))
    pairs = [(x.item(), y.item()) for x, y in zip(first, second, strict=True)]
    apart = [abs(x - y) / (1 + abs(x)) for x, y in pairs]
    return max(apart) if all(d == d for d in apart) else float("inf")


def _copy(batch: Tensor | tuple):
    if isinstance(batch, Tensor):
        return batch.clone()
    return tuple(part.clone() for part in batch)


def _fill(fixed: Tensor | tuple, batch: Tensor | tuple) -> None:
    """Copy a batch to where the recorded step reads it."""
    if isinstance(fixed, Tensor):
        fixed, batch = (fixed,), (batch,)
    for there, value in zip(fixed, batch, strict=True):
        there.copy_(value, non_blocking=True)
