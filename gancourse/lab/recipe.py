"""What the controls of the GAN lab can be set to, and the program they stand for.

A Recipe is data: names and numbers. `program` writes it out as the lines of notebook 02
that play the very same run, to copy into a cell; a test runs them and compares bits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from gancourse import data, losses
from gancourse.losses import GANLoss
from gancourse.settings import demand, number, whole
from gancourse.training import TrainConfig

WIDTH, BATCH = 128, 128  # the players and batches of notebook 02's ring
ENDLESS = 1_000_000  # steps of a run whose rates stay: longer than anybody watches

DRAWING = "your drawing"
_LINE = tuple((x / 10, x / 20) for x in range(-20, 21))
# Names of the controls with what they stand for: the words of a program, and the thing.
LAWS = {
    "ring of 8": ("data.ring()", data.ring),
    "grid of 25": ("data.grid()", data.grid),
    "two moons": ("data.moons()", data.moons),
    "two spirals": ("data.spirals()", data.spirals),
    "line": (
        "data.drawn([(x / 10, x / 20) for x in range(-20, 21)])",
        partial(data.drawn, _LINE),
    ),
}
LOSSES = {
    "non-saturating": "nonsaturating",
    "minimax": "minimax",
    "least squares": "least_squares",
    "hinge": "hinge",
    "Wasserstein": "wasserstein",
    "relativistic": "relativistic",
}
PENALTIES = {
    "none": None,
    "R1, slope at real points": ("r1", "gamma"),
    "R2, slope at fakes": ("r2", "gamma"),
    "gradient penalty": ("gradient_penalty", "weight"),
}
_ADAMS = {
    f"Adam, betas {first} and {second}": (first, second)
    for first, second in [(0.0, 0.9), (0.5, 0.999), (0.9, 0.999)]
}
_OTHERS = {
    "RMSprop": ("RMSprop", {}),
    "SGD": ("SGD", {}),
    "SGD, momentum 0.9": ("SGD", {"momentum": 0.9}),
}
OPTIMIZERS = (*_ADAMS, *_OTHERS)
FALLS = (0, 1_500, 5_000)


@dataclass(frozen=True)
class Recipe:
    """One setting of the lab's controls; refused in a sentence when it makes no sense.

    `points` are those of "your drawing". With `falling` the run has that many steps and
    both rates fall to 0 over its last 70 percent; with 0 they stay and it never ends.
    """

    law: str = "ring of 8"
    points: tuple = ()
    loss: str = "non-saturating"
    penalty: str = "none"
    strength: float = 0.1
    g_lr: float = 2e-3
    d_lr: float = 2e-3
    d_steps: int = 1
    optimizer: str = "Adam, betas 0.0 and 0.9"
    falling: int = 0
    seed: int = 0

    def __post_init__(self):
        laws, names = (*LAWS, DRAWING), "one of {}"
        strong = number(self.strength, 0) and self.strength <= 1_000
        checks = [
            ("law", self.law in laws, names.format(", ".join(laws))),
            ("loss", self.loss in LOSSES, names.format(", ".join(LOSSES))),
            ("penalty", self.penalty in PENALTIES, names.format("; ".join(PENALTIES))),
            ("strength", strong, "a number from 0 to 1,000"),
            ("d_steps", whole(self.d_steps, 1, 20), "a whole number from 1 to 20"),
            (
                "optimizer",
                self.optimizer in OPTIMIZERS,
                names.format("; ".join(OPTIMIZERS)),
            ),
            ("falling", whole(self.falling, 0, ENDLESS), "0 or a number of steps"),
        ]
        demand(self, checks)
        self.config()  # the rest is checked where the loop checks it
        self.mixture()

    def mixture(self) -> data.Mixture:
        """The law that the generator is to learn, in the plane."""
        if self.law == DRAWING:
            return data.drawn(list(self.points), std=0.1)
        return LAWS[self.law][1]()

    def gan_loss(self) -> GANLoss:
        """The pair of losses."""
        return getattr(losses, LOSSES[self.loss])

    def penalty_of_D(self) -> Callable | None:
        """The penalty on D with its strength, or None."""
        if PENALTIES[self.penalty] is None:
            return None
        function, weight = PENALTIES[self.penalty]
        return partial(getattr(losses, function), **{weight: self.strength})

    def config(self) -> TrainConfig:
        """The configuration of the loop that plays this run."""
        return TrainConfig(
            steps=self.falling or ENDLESS,
            batch_size=BATCH,
            d_steps=self.d_steps,
            g_lr=self.g_lr,
            d_lr=self.d_lr,
            betas=_ADAMS.get(self.optimizer, (0.0, 0.9)),
            decay=0.7 if self.falling else 0.0,
            ema=0.0,
            log_every=1,
            seed=self.seed,
            device="cpu",
            precision="fp32",
        )

    def optimizer_of(self, parameters, lr: float) -> torch.optim.Optimizer:
        """A fresh optimizer, as the loop makes one (Adam) or as the program says."""
        parameters = list(parameters)
        if self.optimizer in _ADAMS:
            betas = _ADAMS[self.optimizer]
            return torch.optim.Adam(parameters, lr, betas, fused=True)
        name, options = _OTHERS[self.optimizer]
        return getattr(torch.optim, name)(parameters, lr, **options)


def _penalty_words(recipe: Recipe) -> str:
    if PENALTIES[recipe.penalty] is None:
        return ""
    function, weight = PENALTIES[recipe.penalty]
    return f", partial(losses.{function}, {weight}={recipe.strength})"


def _optimizer_words(recipe: Recipe) -> str:
    if recipe.optimizer in _ADAMS:
        return ""
    name, options = _OTHERS[recipe.optimizer]
    options = "".join(f", {key}={value}" for key, value in options.items())
    make = f"torch.optim.{name}({{0}}.parameters(), config.{{1}}_lr{options})"
    lines = [f"state.{s}_opt = {make.format(s.upper(), s)}\n" for s in ("d", "g")]
    return "".join(lines)


def program(recipe: Recipe, step: int = 0) -> str:
    """Python that plays `recipe` from its start to `step`, with the course's loop."""
    drawing = f"data.drawn({[tuple(p) for p in recipe.points]}, std=0.1)"
    law = drawing if recipe.law == DRAWING else LAWS[recipe.law][0]
    config = recipe.config()
    return f"""\
from functools import partial

import torch

from gancourse import data, games, losses, training
from gancourse.models.mlp import PointDiscriminator, PointGenerator

mixture = {law}
torch.manual_seed({recipe.seed})
G, D = PointGenerator(2, 2, width={WIDTH}), PointDiscriminator(2, width={WIDTH})
game = games.GAN(G, D, losses.{LOSSES[recipe.loss]}{_penalty_words(recipe)})
config = training.TrainConfig(
    steps={config.steps}, batch_size={BATCH}, d_steps={config.d_steps},
    g_lr={config.g_lr}, d_lr={config.d_lr}, betas={config.betas}, decay={config.decay},
    ema=0.0, log_every=1, seed={recipe.seed}, device="cpu", precision="fp32",
)
state = training.start(game, config)
{_optimizer_words(recipe)}\
for log in training.train(state, data.batches(mixture, {BATCH}, {recipe.seed})):
    if log.step == {max(1, step)}:
        break
"""
