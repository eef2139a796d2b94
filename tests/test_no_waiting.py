"""No step of any game waits for a GPU, and so each can be recorded as a CUDA graph.

There is no GPU here. Steps are played with PyTorch's fake tensors, which hold no
numbers but know where they would lie: a copy between the processor and the device, or a
look at a number, is seen and named.
"""

import contextlib
import traceback
from pathlib import Path

import pytest
import torch
from small_games import GAMES, LIGHT
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gancourse import training

GPU = torch.device("cuda", 0)
PACKAGE = str(Path(training.__file__).parent)


class Watch(TorchDispatchMode):
    """Notes every operation that concerns both sides, or brings a number over."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        out = operation(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs, out)) if torch.is_tensor(t)]
        looks = any(name in str(operation) for name in ("local_scalar", "nonzero"))
        if looks or len({t.device.type for t in tensors}) > 1:
            ours = [f for f in traceback.extract_stack() if PACKAGE in f.filename]
            where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
            self.seen.append(f"{operation} at {where}")
        return out


class Stream:
    """Stands for a torch.Generator on the device."""

    device = GPU

    def __init__(self, *device):
        pass

    def manual_seed(self, seed):
        return self


def pretend(monkeypatch) -> None:
    """What asks a real device for something is answered here."""
    for name in ("randn", "rand", "randint"):
        draw = getattr(torch, name)
        monkeypatch.setattr(torch, name, _without_generator(draw))
    monkeypatch.setattr(torch, "Generator", Stream)
    monkeypatch.setattr(training, "pick_device", lambda device: GPU)
    monkeypatch.setattr(training.State, "forked_rng", _nothing)
    monkeypatch.setattr(training.State, "read_layer_rng", lambda state: [])
    monkeypatch.setattr(nn.Module, "to", lambda module, *args, **kwargs: module)
    monkeypatch.setattr(
        torch.autograd, "grad", lambda y, x, **kwargs: (torch.ones_like(x) * y,)
    )


def _nothing(*args):
    return contextlib.nullcontext()


def _without_generator(draw):
    return lambda *args, generator=None, **kwargs: draw(*args, **kwargs)


def like(tensor: torch.Tensor) -> torch.Tensor:
    """A fake of it on the device."""
    shape = tensor.shape, tensor.stride()
    return torch.empty_strided(*shape, dtype=tensor.dtype, device=GPU)


def moved(module: nn.Module) -> None:
    """Fakes on the device in place of all weights and buffers."""
    for part in module.modules():
        for name, p in part._parameters.items():
            if p is not None:
                part._parameters[name] = nn.Parameter(like(p), p.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = like(buffer)


def played(name: str, monkeypatch, spoil=None) -> list[str]:
    """What one step of the game was seen to wait for."""
    small = GAMES[name]
    game, config = small.game(), small.config(precision="fp32")
    batch = small.batches(config)[0]
    pretend(monkeypatch)
    with FakeTensorMode(allow_non_fake_inputs=True):
        for value in vars(game).values():
            if isinstance(value, nn.Module):
                moved(value)
        state = training.State(game, config)
        state.fixed = {key: like(torch.zeros(())) for key in training.numbers(state)}

        def backward(loss):
            for p in [
                *state.generators.parameters(),
                *state.discriminators.parameters(),
            ]:
                p.grad = torch.empty_like(p) if p.requires_grad else p.grad

        monkeypatch.setattr(torch.Tensor, "backward", backward)
        for opt in (state.d_opt, state.g_opt):
            if opt is not None:
                monkeypatch.setattr(opt, "step", lambda: None)
        batch = like(batch) if torch.is_tensor(batch) else tuple(map(like, batch))
        if spoil:
            spoil(game)
        with Watch() as watch:
            training._play(state, [batch] * (config.d_steps if state.d_opt else 1))
    return watch.seen


@pytest.mark.parametrize("name", LIGHT)
def test_a_step_waits_for_nothing(name, monkeypatch):
    assert not played(name, monkeypatch)


def test_a_step_that_would_wait_is_seen(monkeypatch):
    def with_a_table(game):
        honest = game.generator_loss
        game.generator_loss = lambda batch, rng: (
            honest(batch, rng)[0] * torch.tensor([2.0]).to(GPU).sum(),
            {},
        )

    assert played("dcgan", monkeypatch, with_a_table)
