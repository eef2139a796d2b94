"""Played by two processes under torchrun (see test_training.py), and by one."""

import gc
import sys
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from small_games import GAMES, Small, dcgan, play, points

from gancourse import checkpoints
from gancourse.__main__ import leave
from gancourse.errors import GancourseError
from gancourse.training import State

EQUAL = {
    "points": Small(points, settings=dict(steps=20)),
    "dcgan without norm in D": Small(
        partial(dcgan, norm=False), images=True, settings=dict(steps=20)
    ),
}


class NoNorm(torch.nn.Module):
    """A generator of digits without BatchNorm, so that processes need share nothing."""

    def __init__(self):
        super().__init__()
        self.latent_dim = 8
        self.net = torch.nn.Sequential(
            torch.nn.Linear(8, 64), torch.nn.ReLU(), torch.nn.Linear(64, 784)
        )

    def forward(self, z):
        return self.net(z).tanh().unflatten(1, (1, 28, 28))


def state_of(name: str) -> State:
    small = EQUAL[name]
    game = small.game()
    if name != "points":
        game.G = NoNorm()
    return State(game, small.config())


def alone(name: str) -> dict:
    """The run of one process: weights, logs, step."""
    state = state_of(name)
    logs = play(state, EQUAL[name].batches(state.config))
    both = {**state.generators.state_dict(), **state.discriminators.state_dict()}
    return {
        "weights": {key: value.clone() for key, value in both.items()},
        "logs": [(log.d_grad_norm, log.g_grad_norm) for log in logs],
        "step": state.step,
    }


def together(name: str) -> dict:
    """The same under torchrun, and whether both processes ended alike."""
    found = alone(name)
    flat = torch.cat([v.flatten().float() for v in found["weights"].values()])
    theirs = [torch.empty_like(flat) for _ in range(2)]
    dist.all_gather(theirs, flat)
    found["same_on_both"] = torch.equal(*theirs)
    return found


def everyone(value) -> list:
    values = [None, None]
    dist.all_gather_object(values, value)
    return values


def refusal(small: Small, **changes) -> str:
    try:
        small.state(**changes)
    except GancourseError as error:
        return str(error)
    return "not refused"


def work(folder: Path) -> None:
    found = {name: together(name) for name in EQUAL}
    found["norm in D"] = everyone(refusal(GAMES["dcgan"]))
    found["odd batch"] = everyone(refusal(GAMES["points"], batch_size=7))

    small = EQUAL["points"]
    state = checkpoints.resume(folder / "run", small.game(), small.config())
    play(state, small.batches(state.config))
    found["saved_by"] = everyone(checkpoints.save(state, folder / "run") is not None)
    dist.barrier()
    again = checkpoints.resume(folder / "run", small.game(), small.config())
    found["resumed_at"] = everyone(again.step)
    if dist.get_rank() == 0:
        torch.save(found, folder / "found.pt")


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    work(folder)
    # A game that outlives its process group may end the process with SIGABRT (8 of 20
    # runs on a busy machine, torch 2.14): let go of it first.
    gc.collect()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    leave(0)  # gloo's threads may outlive even that
