"""A whole step of training as one CUDA graph: launched once, not kernel by kernel.

The kernels of a small step take less time than their launches, so the GPU waits. A
graph is a recording of a step's kernels that is launched as one (NVIDIA's CUDA
programming guide, "CUDA Graphs"). A replay reads and writes where the recorded step
did. So batches are copied to fixed places, and what changes from step to step, its
number and both rates, lies in tensors too. What Python decides inside a loss is decided
once, when the step is recorded: an augmentation whose strength is a Python number keeps
that strength.
"""

import warnings
from collections.abc import Callable
from math import log

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
    possible, that is said and the steps are played one by one.
    """
    if reason := why_not(state):
        say_no(reason)
        return play
    return Graphed(play, state, numbers)


def say_no(reason: str) -> None:
    """One line, where a person who asked for a graph sees it."""
    print(f"No graph: {reason}. The steps are played one by one.")


class Graphed:
    """Plays the first steps one by one, records one, and replays it from then on.

    The recorded step is played as well, from the same weights and random numbers, and
    the graph is kept only if both agree. `state.replayed` counts the replays. What a
    game keeps outside its players, such as a count in Python, takes no part in this.
    """

    def __init__(self, play: Callable, state, numbers: Callable):
        self.play, self.numbers = play, numbers
        self.calls, self.batches, self.replay, self.refused = 0, [], None, False
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
        if self.replay is not None:
            state.replayed += 1
            return self.replay()
        if self.calls == WARM_UP:
            return self._watched(state)
        if self.calls == WARM_UP + 1 and not self.refused:
            return self._record(state)
        return self._play(state)

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

    def _watched(self, state):
        """A step that waits for the device cannot be recorded, nor even tried in vain.

        A recording that fails leaves PyTorch unfit for the next one.
        """
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                played = self._play(state)
        finally:
            torch.cuda.set_sync_debug_mode(before)
        self.refused = any("synchroniz" in str(warning.message) for warning in said)
        if self.refused:
            say_no("a step of this game waits for the device (as .item() does)")
        return played

    def _record(self, state):
        run, latents = _of_the_run(state), state.rng.get_state()
        before = [tensor.clone() for tensor in run]
        sides = [[*state.discriminators.parameters()], [*state.generators.parameters()]]
        began = [[p.detach().clone() for p in side] for side in sides]

        def again(step: Callable):
            """The step from where it began, and how far both sides moved in it."""
            with torch.no_grad():
                for tensor, value in zip(run, before, strict=True):
                    tensor.copy_(value)
            state.rng.set_state(latents)
            state.write_layer_rng()
            played = step()
            return played, [_moved(*side) for side in zip(sides, began, strict=True)]

        played = _seen(*again(lambda: self._play(state)))
        replay = self._recorded(state)
        replayed = _seen(*again(replay))
        if (apart := _apart(played, replayed)) <= TOLERANCE:
            self.replay = replay
            state.replayed += 1
            return replay.step
        say_no(f"a replayed step differed from a played one by {apart:.1e}")
        return again(lambda: self._play(state))[0]

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
            cause = error.__context__ or error  # leaving a recording may fail as well
            raise GancourseError(
                f"Step {state.step + 1} cannot be recorded as a CUDA graph: "
                f"{str(cause).splitlines()[0][:120]}. The run was broken off; what you "
                "saved stands. Restart the program and go on with graph=False."
            ) from None
        finally:
            state.fixed = None
            for group, rate in zip(groups, rates, strict=True):
                group["capturable"], group["lr"] = False, rate


class Replay:
    """The recorded step; calling it computes it again and gives what it left."""

    def __init__(self, play: Callable, state, batches: list, stream):
        self.graph = torch.cuda.CUDAGraph()
        if hasattr(self.graph, "register_generator_state"):  # newer ones find it
            self.graph.register_generator_state(state.rng)
        recording = torch.cuda.graph(
            self.graph, stream=stream, capture_error_mode="thread_local"
        )
        with torch.cuda.stream(stream), recording:
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


def _moved(now: list[Tensor], began: list[Tensor]) -> float:
    apart = [(a - b).detach() for a, b in zip(now, began, strict=True)]
    return torch.nn.utils.get_total_norm(apart).item()


def _seen(played, moved: list[float]) -> list[float]:
    """Losses, parts, and the logarithms of how far both sides moved."""
    values, parts = played
    logarithms = [log(x) if x > 0 else x for x in moved]
    return [*(x.item() for x in [*values[:2], *parts.values()]), *logarithms]


def _apart(first: list[float], second: list[float]) -> float:
    """The largest difference over 1 + |value|; what is no number equals its like."""
    apart = [
        0.0 if str(x) == str(y) else abs(x - y) / (1 + abs(x))
        for x, y in zip(first, second, strict=True)
    ]
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
        if there.shape != value.shape:
            raise GancourseError(
                f"With graph=True all batches have one shape, but after "
                f"{tuple(there.shape)} came {tuple(value.shape)}. The step was not "
                "played. Go on with graph=False, or drop the smaller batch."
            )
        there.copy_(value, non_blocking=True)
