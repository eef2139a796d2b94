"""The GAN lab without its buttons: a run that is played move by move and looked at.

Engine plays the course's own game with the course's own update; at step k it is, bit
for bit, the run that `recipe.program` writes out. It never touches torch's global
random stream, since a browser's requests may be answered while a cell is running:
JupyterLab sends them to a thread of their own. Hence also the lock.
"""

import math
import threading
import time
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gancourse import data, evaluation, games, health, training
from gancourse.errors import NonFinite
from gancourse.lab.recipe import BATCH, WIDTH, Recipe
from gancourse.models.mlp import PointDiscriminator, PointGenerator
from gancourse.training import StepLog

EXTENT, SIDE = 3.0, 48  # the plane that is shown, and points a side of D's field
POINTS, ARROWS, SAMPLES = 256, 40, 1_024  # drawn; drawn with their push; counted
KEPT, LOGS = 120, 2_000  # frames and logs kept; every second one goes when it is full
JUDGED_EVERY = 100  # steps between two verdicts
RESTARTS = {"law", "points", "optimizer", "seed"}  # with these the run begins anew


class Frame(NamedTuple):
    """One look at the run, always at the same latents, real points and places.

    `field` (48, 48): D's logit, row by row from below. `fake` (256, 2) and, for the
    first 40, `push`: minus the gradient of G's loss. `sheet` (2, 11, 41, 2): what G
    makes of a square grid of latents whose cells are equally probable, lines across and
    along.
    """

    step: int
    field: Tensor
    fake: Tensor
    push: Tensor
    sheet: Tensor
    d_loss: float  # not-a-number until a player has moved
    g_loss: float
    coverage: float  # share of 256 real points that a fake is close to
    modes: int | None  # covered, where the law has separate modes
    middle: float  # the logit at which D cannot tell
    verdict: health.Verdict | None  # None: too early to tell


class Engine:
    """A run of `recipe`: step it, move one player, change it, look at it, reset it."""

    def __init__(self, recipe: Recipe | None = None):
        self.lock = threading.RLock()
        self.recipe = recipe or Recipe()
        with torch.random.fork_rng(devices=[]):  # building draws weights
            G, D = PointGenerator(2, 2, WIDTH), PointDiscriminator(2, WIDTH)
            self.state = training.start(games.GAN(G, D), self.recipe.config())
        self.game, self.G, self.D = self.state.game, G, D
        latents = torch.Generator().manual_seed(1)
        self.z = torch.randn(SAMPLES, 2, generator=latents)
        self.reset()

    # -------------------------------------------------------------- the run

    def reset(self, seed: int | None = None) -> None:
        """Back to step 0 of the present recipe, with this seed or the same one."""
        with self.lock:
            if seed is not None:
                self.recipe = replace(self.recipe, seed=seed)
            recipe, state = self.recipe, self.state
            self.mixture = recipe.mixture()
            self.batches = data.batches(self.mixture, BATCH, recipe.seed)
            self.real = self.mixture.sample(POINTS, torch.Generator().manual_seed(2))
            draw_weights((self.G, self.D), torch.Generator().manual_seed(recipe.seed))
            state.step, state.config = 0, recipe.config()
            state.rng.manual_seed(recipe.seed)
            state.g_opt = recipe.optimizer_of(self.G.parameters(), recipe.g_lr)
            state.d_opt = recipe.optimizer_of(self.D.parameters(), recipe.d_lr)
            self._apply(recipe)
            self.d_moves, self._d_move = 0, None  # D's moves since G's last one
            self.stopped, self.changed_at = "", []
            self.logs, self._log_stride = [], 1
            self.recording, self._frames, self._stride = [], 0, 1
            self._verdict, self._judged = None, -JUDGED_EVERY

    def set(self, **changes) -> bool:
        """Change the recipe; True when the run had to begin anew (see RESTARTS).

        Other changes count from the next move on. Nothing changes when one is refused.
        """
        with self.lock:
            recipe, before = replace(self.recipe, **changes), self.recipe
            changed = {k for k in changes if getattr(before, k) != getattr(recipe, k)}
            self.recipe = recipe
            if changed & RESTARTS:
                self.reset()
                return True
            if changed and self.state.step:
                self.changed_at.append(self.state.step)
            if self.stopped:
                self.stopped, self._verdict, self._judged = "", None, -JUDGED_EVERY
            self.state.config = recipe.config()
            self._apply(recipe)
            return False

    def _apply(self, recipe: Recipe) -> None:
        self.game.loss, self.game.penalty = recipe.gan_loss(), recipe.penalty_of_D()

    def step(self, n: int = 1, seconds: float = math.inf) -> int:
        """Play n steps; fewer, but at least one, when `seconds` are over. How many."""
        end = time.perf_counter() + seconds
        with self.lock:
            first = self.state.step
            for played in range(n):
                if self._over() or (played and time.perf_counter() > end):
                    break
                while self.d_moves < self.recipe.d_steps and not self.stopped:
                    self.move_D()
                self.move_G()
            return self.state.step - first

    def move_D(self) -> None:
        """D's move alone. D's moves and then G's are exactly one step of the loop."""
        with self.lock:
            if self._over():
                return
            training.only(self.state.discriminators, self.state.generators)
            batch, state = self._batch(self.d_moves), self.state
            try:
                d_loss, parts = self.game.discriminator_loss(batch, state.rng)
                self._d_move = d_loss, training.update(state, "d", d_loss), parts
                self.d_moves += 1
            except NonFinite as error:
                self._break(error)

    def move_G(self) -> None:
        """G's move alone, against D as it is; it ends the step."""
        with self.lock:
            if self._over():
                return
            training.only(self.state.generators, self.state.discriminators)
            batch, state = self._batch(max(0, self.d_moves - 1)), self.state
            try:
                g_loss, _ = self.game.generator_loss(batch, state.rng)
                g_norm = training.update(state, "g", g_loss)
            except NonFinite as error:
                self._break(error)
                return
            state.step, self.d_moves = state.step + 1, 0
            if self._d_move is not None:
                self._log(g_loss, g_norm)

    def _batch(self, i: int) -> Tensor:
        """The i-th batch of this step, as training.train counts them."""
        return self.batches[self.state.step * self.recipe.d_steps + i]

    def _break(self, error: NonFinite) -> None:
        """Stop here, with the last finite weights, until a setting is changed."""
        self.stopped, self._judged = str(error), self.state.step
        advice = health.ADVICE["diverged"]
        self._verdict = health.Verdict("diverged", "A loss is not a number.", advice)

    def _over(self) -> bool:
        if not self.stopped and self.state.step >= self.state.config.steps:
            self.stopped = (
                f"The rates have fallen to 0 in {self.state.step:,} steps: the run is "
                "over. Reset it, or let the rates stay."
            )
        return bool(self.stopped)

    def _log(self, g_loss: Tensor, g_norm: Tensor) -> None:
        d_loss, d_norm, parts = self._d_move
        values = (x.item() for x in (d_loss, g_loss, d_norm, g_norm))
        parts = {name: value.item() for name, value in parts.items()}
        self.last = StepLog(self.state.step, *values, parts)
        if self.state.step % self._log_stride == 0:
            self.logs.append(self.last)
        if len(self.logs) > LOGS:
            self.logs, self._log_stride = self.logs[1::2], 2 * self._log_stride

    # -------------------------------------------------------------- looking at it

    def frame(self) -> Frame:
        """The run as it is now. Looking draws nothing by chance and changes nothing."""
        with self.lock:
            with torch.no_grad():
                field = self.D(_places()).reshape(SIDE, SIDE)
                fake, sheet = self.G(self.z), self.G(_grid_of_latents())
            log = self.logs and self.last
            return Frame(
                step=self.state.step,
                field=field,
                fake=fake[:POINTS],
                push=self._push(fake[:ARROWS]),
                sheet=sheet,
                d_loss=log.d_loss if log else math.nan,
                g_loss=log.g_loss if log else math.nan,
                coverage=self._coverage(fake[:POINTS]),
                modes=self._modes(fake),
                middle=self._middle(),
                verdict=self._judge(fake[:POINTS]),
            )

    def _push(self, fake: Tensor) -> Tensor:
        """Minus the gradient of G's loss at each fake: all that G hears of D."""
        fake = fake.clone().requires_grad_()
        real_logits = self.D(self.real[: len(fake)]).detach()
        g_loss = self.game.loss.generator(real_logits, self.D(fake))
        return -len(fake) * torch.autograd.grad(g_loss, fake)[0]

    def _middle(self) -> float:
        """Where D cannot tell: logit 0, but 1/2 for least squares, whose targets are 0
        and 1, and halfway between real and fake where only differences count."""
        if self.recipe.loss == "least squares":
            return 0.5
        if self.recipe.loss in ("Wasserstein", "relativistic") and self.logs:
            parts = self.last.parts
            return (parts["real_logit"] + parts["fake_logit"]) / 2
        return 0.0

    def _coverage(self, fake: Tensor) -> float:
        if not fake.isfinite().all():
            return 0.0
        return evaluation.coverage(fake, self.real)

    def _modes(self, fake: Tensor) -> int | None:
        if self.recipe.law not in ("ring of 8", "grid of 25"):
            return None
        return covered_modes(fake, self.mixture)

    def _judge(self, fake: Tensor) -> health.Verdict | None:
        """Anew every 100 steps; before that, samples lie in a heap at every start."""
        if self.state.step < JUDGED_EVERY:
            return self._verdict  # None, or that the run has diverged
        if self.state.step - self._judged >= JUDGED_EVERY:
            self._judged = self.state.step
            self._verdict = health.verdict(self.logs, fake, self.real)
        return self._verdict

    def record(self) -> Frame:
        """The frame as it is now, also kept for looking back: at most KEPT of them,
        spread over the whole run."""
        with self.lock:
            frame = self.frame()
            if self._frames % self._stride == 0:
                self.recording.append(frame)
            self._frames += 1
            if len(self.recording) > KEPT:
                self.recording, self._stride = self.recording[::2], 2 * self._stride
            return frame


def draw_weights(players, rng: torch.Generator) -> None:
    """Draw all weights again, as `torch.manual_seed` and building the players would.

    nn.Linear draws from torch's global stream, which belongs to the learner's cells.
    """
    for player in players:
        for layer in player.modules():
            if isinstance(layer, nn.Linear):
                bound = 1 / math.sqrt(layer.in_features)
                nn.init.kaiming_uniform_(layer.weight, math.sqrt(5), generator=rng)
                nn.init.uniform_(layer.bias, -bound, bound, generator=rng)


def covered_modes(fake: Tensor, mixture: data.Mixture) -> int:
    """Modes that get at least a quarter of their share within 3 standard deviations."""
    distance, mode = torch.cdist(fake, mixture.centers).min(1)
    counts = torch.bincount(
        mode[distance <= 3 * mixture.std], minlength=len(mixture.centers)
    )
    return int((counts >= len(fake) / len(mixture.centers) / 4).sum())


def _places() -> Tensor:
    """The points (48 * 48, 2) at which D is asked, row by row from below."""
    line = torch.linspace(-EXTENT, EXTENT, SIDE)
    return torch.cartesian_prod(line, line).flip(1)


def _grid_of_latents() -> Tensor:
    """Latents (2, 11, 41, 2) on 11 lines along each axis, equal probability between."""
    u = torch.linspace(0.02, 0.98, 11)
    ticks = math.sqrt(2) * torch.erfinv(2 * u - 1)
    fine = torch.linspace(ticks[0].item(), ticks[-1].item(), 41)
    across = torch.stack([ticks[:, None].expand(11, 41), fine.expand(11, 41)], -1)
    return torch.stack([across, across.flip(-1)])
