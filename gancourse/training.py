"""The reference loop: any game, on a CPU, a GPU or several.

`train(state, batches)` plays and yields a StepLog now and then, so your own `for` loop
is the callback: draw, sample, save, `break`. Everything that a run depends on lives in
the State, so a run is a function of (game, config, batches) and nothing else.
"""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from gancourse import graphs, memory
from gancourse.errors import GancourseError, NonFinite
from gancourse.hardware import pick_device, pick_precision, repeatable
from gancourse.settings import demand, number, whole


@dataclass(frozen=True)
class TrainConfig:
    """What a run may vary. Rates are per update; `steps` counts generator updates."""

    steps: int = 2_000
    batch_size: int = 64
    d_steps: int = 1  # discriminator updates per generator update (n_critic)
    g_lr: float = 2e-4
    d_lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    decay: float = 0.0  # share of the run, at its end, over which both rates fall to 0
    ema: float = 0.999  # of the generator's weights; 0 keeps no average
    log_every: int = 50
    seed: int = 0
    device: str = "auto"  # "cpu", "cuda", "mps"; "auto" takes the best there is
    precision: str = "auto"  # "fp32", "bf16", "fp16"; "auto" takes what pays here
    deterministic: bool = False  # CUDA: the same bits every time, somewhat slower
    graph: bool = False  # CUDA: launch a step as a whole (graphs.py), for small players

    def __post_init__(self):
        checks = [
            ("steps", whole(self.steps, 1), "a whole number of at least 1"),
            ("batch_size", whole(self.batch_size, 1), "a whole number of at least 1"),
            ("d_steps", whole(self.d_steps, 1), "a whole number of at least 1"),
            ("log_every", whole(self.log_every, 1), "a whole number of at least 1"),
            ("seed", whole(self.seed, 0, 2**63 - 1), "a whole number from 0 to 2^63"),
            ("g_lr", _rate(self.g_lr), "a number above 0, at most 1,000"),
            ("d_lr", _rate(self.d_lr), "a number above 0, at most 1,000"),
            ("betas", _betas(self.betas), "two numbers, at least 0 and below 1"),
            ("ema", number(self.ema) and 0 <= self.ema < 1, "at least 0 and below 1"),
            ("decay", number(self.decay) and 0 <= self.decay <= 1, "between 0 and 1"),
            ("precision", self.precision in _PRECISIONS, f"one of {_PRECISIONS}"),
            ("graph", isinstance(self.graph, bool), "True or False"),
        ]
        demand(self, checks)


_PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def _rate(value: object) -> bool:
    return number(value) and 0 < value <= 1000


def _betas(value: object) -> bool:
    pair = isinstance(value, tuple | list) and len(value) == 2
    return pair and all(number(beta) and 0 <= beta < 1 for beta in value)


@dataclass(frozen=True)
class StepLog:
    """What one step looked like: losses in nats, `parts` as the game reports them."""

    step: int
    d_loss: float
    g_loss: float
    d_grad_norm: float
    g_grad_norm: float
    parts: dict[str, float]
    images_per_second: float = field(
        default=0.0, compare=False
    )  # the clock is no result


class State:
    """A run in progress: players, optimizers, average, random streams, step count.

    Players of the game are moved to the device. Make one with `start` or with
    `checkpoints.resume`.
    """

    saved_in = None  # the folder whose checkpoints are known to be this run's
    fixed = None  # the tensors in which a CUDA graph reads `numbers`
    replayed = 0  # steps that were launched as a graph

    def __init__(self, game, config: TrainConfig, recipe: dict | None = None):
        self.game, self.config, self.step = game, config, 0
        self.whole = True  # False once a step was broken off: such a state is not saved
        self.recipe = recipe or {}  # how `gancourse sample` rebuilds the players
        self.device = pick_device(config.device)
        self.repeatable = config.deterministic and self.device.type == "cuda"
        self.generators = nn.ModuleDict(game.generators).to(self.device)
        self.discriminators = nn.ModuleDict(game.discriminators).to(self.device)
        self.precision = pick_precision(
            config.precision, self.device, self.generators, self.discriminators
        )
        if dist.is_initialized():
            _distribute(game, self.device, config.batch_size)
        self.g_opt = self._optimizer(self.generators, config.g_lr)
        self.d_opt = self._optimizer(self.discriminators, config.d_lr)
        self.scalers = {
            side: torch.amp.GradScaler(
                self.device.type, enabled=self.precision == "fp16"
            )
            for side in ("g", "d")
        }
        self.ema = None
        if config.ema:
            self.ema = AveragedModel(self.generators)
        # Latents come from `rng`, dropout and its like from `layer_rng`: whatever else
        # draws random numbers between two steps (a plot, a sample) changes nothing.
        self.rng = torch.Generator(self.device).manual_seed(config.seed)
        with self.forked_rng():
            torch.manual_seed(config.seed)
            self.layer_rng = self.read_layer_rng()
        self.bad_step = torch.zeros((), device=self.device)  # 0: every step was finite
        self._buffers = [
            *self.generators.buffers(),
            *self.discriminators.buffers(),
            *(self.ema.module.buffers() if self.ema is not None else []),
        ]
        self._finite = [b.clone() for b in self._buffers]

    def _optimizer(self, players: nn.ModuleDict, lr: float) -> torch.optim.Adam | None:
        parameters = list(players.parameters())
        if not parameters:
            return None
        return torch.optim.Adam(parameters, lr, self.config.betas, fused=True)

    def game_players(self) -> dict[str, nn.Module]:
        return {**self.generators, **self.discriminators}

    def forked_rng(self):
        """A context that leaves torch's global random streams as it found them."""
        devices = [self.device] if self.device.type == "cuda" else []
        return torch.random.fork_rng(devices)

    def read_layer_rng(self) -> list[Tensor]:
        """The global random streams that layers such as dropout draw from."""
        on_gpu = self.device.type == "cuda"
        gpu = [torch.cuda.get_rng_state(self.device)] if on_gpu else []
        return [torch.get_rng_state(), *gpu]

    def write_layer_rng(self) -> None:
        torch.set_rng_state(self.layer_rng[0])
        for gpu in self.layer_rng[1:]:
            torch.cuda.set_rng_state(gpu, self.device)

    def sample(self, *inputs: Tensor) -> Tensor:
        """Samples for latents z (z and labels, where G takes both), float32 on the CPU.

        From the averaged generator, in evaluation mode, without gradients; nothing of
        the run is changed. GancourseError for a game that has no G.
        """
        players = averaged(self)
        if "G" not in players:
            names = ", ".join(players)
            raise GancourseError(
                f"This game has no generator G but {names}, and nothing was drawn. Use "
                "training.averaged(state) and draw with its player."
            )
        G = players["G"]
        with torch.no_grad(), self.forked_rng():
            return G(*(x.to(self.device) for x in inputs)).float().cpu()


def start(game, config: TrainConfig, recipe: dict | None = None) -> State:
    """A fresh run of `game`. Seed the players yourself, just before building them."""
    return State(game, config, recipe)


def averaged(state: State) -> nn.ModuleDict:
    """The averaged generators in evaluation mode (the plain ones when ema is 0).

    They are copies: training them, or calling train() on them, does not touch the run.
    """
    from copy import deepcopy

    source = state.generators if state.ema is None else state.ema.module
    return deepcopy(source).eval().requires_grad_(False)


@torch.no_grad()
def _update_average(state: State) -> None:
    """average += (1 - ema) (now - average), with a shorter memory early in the run.

    AveragedModel.update_parameters would copy its counter to the device at every call,
    and so wait for it.
    """
    keep = min(state.config.ema, (1 + state.step) / (10 + state.step))
    keep = keep if state.ema.n_averaged else 0.0  # the first one is a copy
    average, now = (
        [*players.parameters(), *players.buffers()]
        for players in (state.ema.module, state.generators)
    )
    pairs = list(zip(average, now, strict=True))
    floats = [pair for pair in pairs if pair[0].is_floating_point()]
    torch._foreach_lerp_(*map(list, zip(*floats, strict=True)), 1 - keep)
    for old, new in pairs:
        if not old.is_floating_point():  # BatchNorm counts its batches
            old.copy_(new)
    state.ema.n_averaged += 1


def rate(config: TrainConfig, step: int) -> float:
    """Factor of both rates at `step`: 1, then down to 0 over the last `decay`."""
    if not config.decay:
        return 1.0
    return min(1.0, (config.steps - step) / (config.decay * config.steps))


def numbers(state: State) -> dict[str, float]:
    """What changes from step to step besides the batch: its number, both rates."""
    config, share = state.config, rate(state.config, state.step)
    return {"step": state.step + 1, "d": share * config.d_lr, "g": share * config.g_lr}


def update(state: State, side: str, loss: Tensor) -> Tensor:
    """One optimizer step of the "d" or "g" side; returns the gradient norm, unsynced.

    A loss or gradient that is not finite changes no weight, ever. On a CPU it raises at
    once; on a GPU, where looking would stall the queue, the update is skipped there by
    the same flag that GradScaler uses, and the run stops at the next log.
    """
    opt = state.d_opt if side == "d" else state.g_opt
    scaler, parameters = state.scalers[side], opt.param_groups[0]["params"]
    now = state.fixed or numbers(state)
    opt.param_groups[0]["lr"] = now[side]
    opt.zero_grad()
    finite = loss.detach().isfinite()
    scaler.scale(_nan_once_bad(state, loss)).backward()
    scaler.unscale_(opt)
    norm = torch.nn.utils.get_total_norm(
        [p.grad for p in parameters if p.grad is not None]
    )
    if not scaler.is_enabled():  # fp16 gradients may overflow: the scaler handles them
        finite = finite & norm.isfinite()
    if state.device.type != "cuda":
        if not finite:
            _restore_buffers(state)
            raise _not_finite(state, state.step + 1)
        scaler.step(opt)
    else:
        now_bad = torch.where(finite, state.bad_step, now["step"])
        state.bad_step.copy_(torch.where(state.bad_step > 0, state.bad_step, now_bad))
        if scaler.is_enabled():
            scaler.step(opt)
        else:
            opt.found_inf, opt.grad_scale = (state.bad_step > 0).float(), None
            opt.step()
    scaler.update()
    return norm


def _nan_once_bad(state: State, loss: Tensor) -> Tensor:
    """In fp16 the scaler skips what is no number: so a run that is to stop rests."""
    if state.precision != "fp16":
        return loss
    stop = (state.bad_step > 0) | ~loss.detach().isfinite()
    return loss * torch.where(stop, math.nan, 1.0)


def _remember_buffers(state: State) -> None:
    """Keep BatchNorm's statistics of the last finite state (no sync: a masked copy)."""
    for kept, buffer in zip(state._finite, state._buffers, strict=True):
        kept.copy_(torch.where(state.bad_step > 0, kept, buffer))


def _restore_buffers(state: State) -> None:
    for kept, buffer in zip(state._finite, state._buffers, strict=True):
        buffer.copy_(kept)


def _not_finite(state: State, step: int) -> NonFinite:
    return NonFinite(
        f"A loss or gradient stopped being a number at step {step}. The weights of "
        f"step {step - 1} were kept and nothing was saved since. Try half the learning "
        "rate, or a penalty on D such as losses.r1."
    )


def _refuse_overflow(state: State) -> None:
    """fp16: an overflow skips an update and halves the scale; one now and then is
    normal, but a scale below 1 means that a side has long stopped learning."""
    for side, scaler in state.scalers.items():
        if scaler.is_enabled() and scaler.get_scale() < 1:
            raise NonFinite(
                f"The gradients of {side.upper()} overflow 16 bits: its last updates, "
                f"up to step {state.step}, were skipped. Its weights are kept. Try "
                "precision='fp32', or half the learning rate."
            )


@memory.given_back
def train(state: State, batches) -> Iterator[StepLog]:
    """Play from state.step to config.steps; yield a StepLog every `log_every` steps.

    `batches[k]` must be the k-th batch (see data.batches). An interrupt (Ctrl-C) is
    held back until the step is complete, so the state you then save is exact.
    """
    config = state.config
    play = graphs.graphed(_play, state, numbers) if config.graph else _play
    began, begun_at = time.perf_counter(), state.step
    while state.step < config.steps:
        with _whole_step(state):
            d_steps = config.d_steps if state.d_opt else 1
            first = state.step * config.d_steps
            shares = [_my_share(batches[first + i]) for i in range(d_steps)]
            values, parts = play(state, shares)
            state.step += 1
            if state.ema is not None:
                _update_average(state)
        if state.step % config.log_every == 0 or state.step == config.steps:
            if state.bad_step > 0:
                _restore_buffers(state)
                raise _not_finite(state, int(state.bad_step))
            _refuse_overflow(state)
            values = [value.item() for value in values]
            parts = {name: value.item() for name, value in parts.items()}
            images = (state.step - begun_at) * config.batch_size
            speed = images / (time.perf_counter() - began)
            yield StepLog(state.step, *values, parts, speed)


def _play(state: State, batches: list) -> tuple[tuple, dict[str, Tensor]]:
    """One step: D moves once for each batch, then G on the last one.

    What it leaves for the log stays on the device: both losses, both gradient norms,
    and the parts by name.
    """
    game, d_loss, d_norm, parts = state.game, torch.zeros(()), torch.zeros(()), {}
    sixteen = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(state.precision)
    autocast = torch.autocast(state.device.type, sixteen, enabled=sixteen is not None)
    _remember_buffers(state)
    # The discriminator's move: d_steps batches, G only supplies fakes.
    only(state.discriminators, state.generators)
    for batch in batches if state.d_opt else []:  # none in a game of one player
        with autocast:
            d_loss, parts = game.discriminator_loss(batch, state.rng)
        d_norm = update(state, "d", d_loss)

    # The generator's move: D is frozen, but gradients pass through it.
    only(state.generators, state.discriminators)
    with autocast:
        g_loss, g_parts = game.generator_loss(batches[-1], state.rng)
    g_norm = update(state, "g", g_loss)
    parts = {name: value.detach() for name, value in {**parts, **g_parts}.items()}
    return (d_loss.detach(), g_loss.detach(), d_norm, g_norm), parts


@contextlib.contextmanager
def _whole_step(state: State) -> Iterator[None]:
    """One step as a unit: its own random stream for layers, signals held to its end."""
    with _held_signals(), state.forked_rng(), repeatable(state.repeatable):
        state.write_layer_rng()
        before, state.whole = state.whole, False
        yield
        state.layer_rng = state.read_layer_rng()
        state.whole = before


@contextlib.contextmanager
def _held_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait for the end of the block; a second one goes through."""
    caught: list[int] = []
    before = {}

    def hold(number, frame):
        if caught:
            before[number](number, frame)
        caught.append(number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(signal.getsignal(number)):
                before[number] = signal.signal(number, hold)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in caught:
        before[number](number, None)


def only(mover: nn.Module, other: nn.Module) -> None:
    """Gradients for the player who moves, none for the other: no wasted work."""
    mover.requires_grad_(True)
    other.requires_grad_(False)


def _my_share(batch):
    """Under torchrun, every world-th sample of the batch, starting at this rank."""
    if not dist.is_initialized():
        return batch
    share = slice(dist.get_rank(), None, dist.get_world_size())
    return batch[share] if isinstance(batch, Tensor) else tuple(b[share] for b in batch)


def _distribute(game, device: torch.device, batch_size: int) -> None:
    """Wrap each player of `game` in PyTorch's DistributedDataParallel."""
    if batch_size % dist.get_world_size():
        raise GancourseError(
            f"A batch of {batch_size} cannot be shared equally by "
            f"{dist.get_world_size()} processes, and nothing was started. Choose a "
            "batch size that they divide."
        )
    for name, player in {**game.generators, **game.discriminators}.items():
        normed = any(
            isinstance(m, nn.modules.batchnorm._BatchNorm) for m in player.modules()
        )
        if normed and device.type == "cuda":
            player = nn.SyncBatchNorm.convert_sync_batchnorm(player)
        elif normed and name in game.discriminators:
            raise GancourseError(
                f"{name} has BatchNorm, which several CPU processes cannot share, and "
                "nothing was started. Use one process, or a game without BatchNorm in "
                "D (for DCGAN: norm=False)."
            )
        if any(p.requires_grad for p in player.parameters()):  # a pool learns nothing
            setattr(game, name, nn.parallel.DistributedDataParallel(player))
