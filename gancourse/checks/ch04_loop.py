"""Checks of notebook 04, its loop: one step repaired, a run saved and continued."""

import copy

import cloudpickle
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gancourse.checks.ch02 import CLEARING
from gancourse.checks.compare import COMMON, equal, tensor
from gancourse.checks.probes import new_seed
from gancourse.checks.verdict import Exercise, Hint, Mistake

# ------------------------------------------------------------------ 04.step


class _Logit(nn.Module):
    """A small discriminator of points whose logits are far from 0."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return 4 * self.net(x).squeeze(1)


def step(answer) -> None:
    """answer(G, D, real, z_d, z_g, d_opt, g_opt): one step, non-saturating loss."""
    seed = new_seed()
    found = [answer.using(_moved, seed + k) for k in range(2)]
    if any(one["frozen"] for one in found):
        raise Mistake("left_frozen")
    if any(one["evaluating"] for one in found):
        raise Mistake("left_in_eval")
    for name in ("right", *_STEP_KINDS):
        if all(_alike(one, name, seed + k) for k, one in enumerate(found)):
            if name == "right":
                return
            raise Mistake(_ALSO.get(name, name))
    right = _moved(_gan_step(), seed)
    d_right = equal(tensor(found[0]["first"][0]), right["first"][0], 1e-3, 1e-6)
    where = "D's move is right, G's is not." if d_right else "D's move is not right."
    raise Mistake("other_value", where)


def _alike(found: dict, kind: str, seed: int) -> bool:
    made = _moved(_gan_step(kind), seed)
    return all(
        equal(tensor(f), m, 1e-3, 1e-6)
        for when in ("first", "second")
        for f, m in zip(found[when], made[when], strict=True)
    )


def _moved(step, seed: int) -> dict:
    """How two steps move D and G. SGD: a move says what the gradient was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        G = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
        D = _Logit()
        real, z = torch.randn(2, 12, 2) + 1, torch.randn(2, 2, 12, 2)
    d_opt, g_opt = (torch.optim.SGD(P.parameters(), 0.1) for P in (D, G))
    D(G(z[0, 0])).square().sum().backward()  # gradients are dirty, as after any step
    told = {}
    for k, name in enumerate(("first", "second")):
        players = (D, G)
        before = [
            nn.utils.parameters_to_vector(P.parameters()).clone() for P in players
        ]
        step(G, D, real[k], *z[k], d_opt, g_opt)
        after = [nn.utils.parameters_to_vector(P.parameters()) for P in players]
        told[name] = [(a - b).detach() for a, b in zip(after, before, strict=True)]
        told["frozen"] = not all(
            p.requires_grad for P in players for p in P.parameters()
        )
        told["evaluating"] = not (G.training and D.training)
        if told["frozen"]:  # a second step would only raise
            break
    return told


_STEP_KINDS = (
    "old_gradients", "d_steps_too", "g_does_not_move", "d_does_not_move", "one_loss",
    "saturating", "confusion", "g_sign", "g_label_zero", "d_sign", "labels_swapped",
    "reals_only", "halved", "d_not_cleared", "same_latents", "g_first",
    "as_found", "d_steps_too_cleared", "summed", "both_at_once",
    "neither_cleared", "neither_cleared attached", "g_not_cleared",
    "g_not_cleared attached", "cleared_late", "cleared_late attached",
    "cleared_between",
)  # fmt: skip
_ALSO = {
    "as_found": "old_gradients",
    "d_steps_too_cleared": "d_steps_too",
    "neither_cleared attached": "neither_cleared",
    "g_not_cleared attached": "g_not_cleared",
    "cleared_late": "neither_cleared",
    "cleared_late attached": "neither_cleared",
    "cleared_between": "d_not_cleared",
}


def _gan_step(kind: str = "right"):
    """The step with one mistake in it; " attached" behind it: and without a detach."""
    kind, _, attached = kind.partition(" ")

    def d_loss(s_real: Tensor, s_fake: Tensor) -> Tensor:
        right = softplus(-s_real).mean() + softplus(s_fake).mean()
        losses = {
            "d_sign": lambda: -right,
            "labels_swapped": lambda: (
                softplus(s_real).mean() + softplus(-s_fake).mean()
            ),
            "reals_only": lambda: softplus(-s_real).mean(),
            "halved": lambda: right / 2,
            "summed": lambda: len(s_real) * right,
        }
        return losses.get(kind, lambda: right)()

    def g_loss(s: Tensor) -> Tensor:
        losses = {
            "saturating": -softplus(s),
            "confusion": softplus(s) + softplus(-s),
            "g_sign": -softplus(-s),
            "g_label_zero": softplus(s),
            "summed": len(s) * softplus(-s),
        }
        return losses.get(kind, softplus(-s)).mean()

    old = kind in ("old_gradients", "as_found")
    late = kind in ("neither_cleared", "cleared_late")
    again = kind in ("d_steps_too", "d_steps_too_cleared", "as_found")

    def step(G, D, real, z_d, z_g, d_opt, g_opt):
        def move_d():
            if old:
                g_opt.zero_grad()
            if not late and kind not in ("d_not_cleared", "cleared_between"):
                d_opt.zero_grad()
            fake = G(z_d)
            d_loss(D(real), D(fake if old or attached else fake.detach())).backward()
            if kind != "d_does_not_move":
                d_opt.step()
            if kind in ("cleared_late", "cleared_between"):
                d_opt.zero_grad()

        def move_g():
            if kind != "g_not_cleared" and not (old or late):
                g_opt.zero_grad()
            if kind == "d_steps_too_cleared":
                d_opt.zero_grad()
            g_loss(D(G(z_d if kind == "same_latents" else z_g))).backward()
            if kind != "g_does_not_move":
                g_opt.step()
            if kind == "cleared_late":
                g_opt.zero_grad()
            if again:
                d_opt.step()

        if kind == "one_loss":
            d_opt.zero_grad(), g_opt.zero_grad()
            (d_loss(D(real), D(G(z_d))) + g_loss(D(G(z_g)))).backward()
            d_opt.step(), g_opt.step()
            return

        def at_once():
            d_opt.zero_grad()
            d_loss(D(real), D(G(z_d).detach())).backward()
            g_opt.zero_grad()
            g_loss(D(G(z_g))).backward()
            d_opt.step()
            g_opt.step()

        moves = {"g_first": (move_g, move_d), "both_at_once": (at_once,)}
        for move in moves.get(kind, (move_d, move_g)):
            move()

    return step


_STEP = CLEARING | {
    "d_steps_too": Hint(
        "Your D moves in G's turn too, and towards G's wish.",
        "After g_loss.backward() D holds gradients of G's loss, and takes a step.",
        "In G's turn only g_opt.step().",
    ),
    "g_does_not_move": Hint(
        "Your G does not move.",
        "Either no gradient gets to its weights (detach, no_grad), or nobody steps.",
        "New fakes for G's move, attached; then backward and g_opt.step().",
    ),
    "d_does_not_move": Hint(
        "Your D does not move.",
        "Either it is frozen in its own turn, or nobody steps.",
        "d_loss.backward(), then d_opt.step(), with D's weights free.",
    ),
    "one_loss": Hint(
        "Your two players want the sum of both losses to be small.",
        "One backward gives each player the gradients of both losses.",
        "Two moves, each with its own loss, its own backward, its own step.",
    ),
    "saturating": Hint(
        "Your G hardly moves where D is sure.",
        "You minimise log(1 − D), the saturating loss.",
        "The non-saturating loss is −log D(G(z)) = softplus(−logit).",
    ),
    "confusion": Hint(
        "Your G stops where D is undecided, and goes back where D believes it.",
        "−log D − log(1 − D) is smallest at D = 1/2.",
        "G minimises −log D(G(z)) alone.",
    ),
    "g_sign": Hint(
        "Your G makes its samples look faker with each step.",
        "It minimises log D.",
        "Minimise −log D(G(z)) = softplus(−logit).",
    ),
    "g_label_zero": Hint(
        "Your G makes its samples look faker with each step.",
        "In its own move it is told the label of fakes, 0.",
        "G wants to be called real: label 1, that is −log D(G(z)) = softplus(−logit).",
    ),
    "d_sign": Hint(
        "Your D gets worse with each step.",
        "V is to be ascended by D, and an optimizer descends.",
        "Minimise −V: softplus(−real) + softplus(fake).",
    ),
    "labels_swapped": Hint(
        "Your D learns to call fakes real and reals fake.",
        "The two halves of its loss are exchanged.",
        "Reals: softplus(−logit). Fakes: softplus(logit).",
    ),
    "reals_only": Hint(
        "Your D never learns from the fakes.",
        "The second half of its loss is missing; calling everything real is now best.",
        "Add the mean of softplus(logit) over the fakes.",
    ),
    "halved": Hint(
        "Your D moves in the right direction, half as far.",
        "You averaged real and fake together. The loss adds two means.",
        "softplus(−real).mean() + softplus(fake).mean().",
    ),
    "d_not_cleared": Hint(
        "Your D moves along old gradients too.",
        "G's move leaves gradients in D, and they add up.",
        "d_opt.zero_grad() before d_loss.backward().",
    ),
    "summed": Hint(
        "Your players' steps grow with the batch.",
        "The losses are sums over the batch.",
        "Means: .mean().",
    ),
    "both_at_once": Hint(
        "Your D steps along G's loss, too.",
        "Both losses go backward before anybody steps, and g_loss reaches D's weights.",
        "Finish D's move, with d_opt.step(), before you compute g_loss.",
    ),
    "same_latents": Hint(
        "Your G is trained on the fakes that D has just seen.",
        "It uses z_d. G's move has latents of its own.",
        "Use z_g in G's move.",
    ),
    "g_first": Hint(
        "Your G moves before D does.",
        "That is a legal game, but here D comes first, and G meets the new D.",
        "First everything about D, with d_opt.step(); then everything about G.",
    ),
    "left_frozen": Hint(
        "After your step some weights cannot be trained any more.",
        "requires_grad_(False) holds until somebody takes it back.",
        "D.requires_grad_(True) when G's move is over.",
    ),
    "left_in_eval": Hint(
        "After your step a player is in evaluation mode.",
        "eval() holds until somebody calls train().",
        "Training needs no eval() at all: leave both players in training mode.",
    ),
}

# ------------------------------------------------------------------ 04.resume


class Run:
    """A small run: G, D, their optimizers, the average of G, a random stream, step."""

    def __init__(self, seed: int):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            hidden = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh())
            self.G = nn.Sequential(hidden, nn.Linear(8, 2))
            self.D = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        self.average = copy.deepcopy(self.G).requires_grad_(False)
        self.g_opt = torch.optim.Adam(self.G.parameters(), betas=(0.5, 0.9))
        self.d_opt = torch.optim.Adam(self.D.parameters(), betas=(0.5, 0.9))
        self.rng = torch.Generator().manual_seed(seed)
        self.step = 0

    def play(self, steps: int) -> None:
        """Go on for some steps; the learning rate falls with `step`."""
        for _ in range(steps):
            for opt in (self.g_opt, self.d_opt):
                opt.param_groups[0]["lr"] = 0.05 / (1 + self.step / 5)
            real, z = torch.randn(2, 8, 2, generator=self.rng)
            d_loss = softplus(-self.D(real + 1)) + softplus(self.D(self.G(z).detach()))
            self.d_opt.zero_grad()
            d_loss.mean().backward()
            self.d_opt.step()
            self.g_opt.zero_grad()
            softplus(-self.D(self.G(z))).mean().backward()
            self.g_opt.step()
            self._follow()
            self.step += 1

    @torch.no_grad()
    def _follow(self) -> None:
        mine, its = self.average.state_dict(), self.G.state_dict()
        for name in mine:
            kept = 0.9 * mine[name] + 0.1 * its[name]
            mine[name].copy_(kept if its[name].is_floating_point() else its[name])


def resume(answer) -> None:
    """answer = (save, load): what save(run) returns lets load(run, saved) go on."""
    told = answer.using(_resumed, new_seed())
    same, missing = told["same"], [n for n, equal in told["same"].items() if not equal]
    if told["old_changed"]:
        raise Mistake("old_changed")
    if not any(same[name] for name in ("G", "D", "average", "g_opt", "d_opt")):
        raise Mistake("nothing_carried")
    if told["foreign"]:
        raise Mistake("optimizer_of_others")
    if {"g_opt", "d_opt", "average", "random", "step"} <= set(missing):
        raise Mistake("weights_only")
    for name, mistake in _PARTS.items():
        if name in missing:
            raise Mistake(mistake)
    if not all(told["later"].values()):
        raise Mistake("other_value", "The two runs part when they go on.")


_PARTS = {
    "G": "a_player_forgotten",
    "D": "a_player_forgotten",
    "average": "average_forgotten",
    "g_opt": "optimizer_forgotten",
    "d_opt": "optimizer_forgotten",
    "buffers": "buffers_forgotten",
    "random": "random_forgotten",
    "step": "step_forgotten",
}


def _resumed(answer, seed: int) -> dict:
    """A run that is saved, and a fresh one that loads it and goes on."""
    save, load = answer
    old, new = Run(seed), Run(seed + 1)
    old.play(6)
    before = _state(old)
    # As through a file: nothing of the old run's memory comes along.
    saved = cloudpickle.loads(cloudpickle.dumps(save(old)))
    told = {"old_changed": not all(_same(before, _state(old)).values())}
    given = load(new, saved)
    new = given if isinstance(given, Run) else new
    told["same"] = _same(before, _state(new))
    pairs = [(new.G, new.g_opt), (new.D, new.d_opt)]
    told["foreign"] = any(_foreign(player, opt) for player, opt in pairs)
    if not told["foreign"]:
        old.play(5)
        new.play(5)
    told["later"] = _same(_state(old), _state(new))
    return told


def _foreign(player: nn.Module, opt: torch.optim.Optimizer) -> bool:
    """Whether the optimizer holds other tensors than the player's weights."""
    held = {id(p) for group in opt.param_groups for p in group["params"]}
    return held != {id(p) for p in player.parameters()}


def _state(run: Run) -> dict[str, list[Tensor]]:
    """All that a run's future depends on, by parts, copied."""

    def of_opt(opt) -> list[Tensor]:
        states = opt.state_dict()["state"]
        return [
            torch.as_tensor(v)
            for k in sorted(states)
            for _, v in sorted(states[k].items())
        ]

    parts = {
        "G": list(run.G.parameters()),
        "D": list(run.D.parameters()),
        "average": list(run.average.parameters()),
        "buffers": [*run.G.buffers(), *run.average.buffers()],
        "g_opt": of_opt(run.g_opt),
        "d_opt": of_opt(run.d_opt),
        "random": [run.rng.get_state()],
        "step": [torch.as_tensor(run.step)],
    }
    return {k: [t.detach().clone() for t in part] for k, part in parts.items()}


def _same(one: dict, other: dict) -> dict[str, bool]:
    return {
        name: len(one[name]) == len(other[name])
        and all(map(torch.equal, one[name], other[name]))
        for name in one
    }


_RESUME = {
    "old_changed": Hint(
        "Saving changed the run that was saved.",
        "save is called in the middle of a run, which then goes on.",
        "Only read in save. Write in load, and there into its first argument.",
    ),
    "nothing_carried": Hint(
        "After load the fresh run is as fresh as before.",
        "`run = …` inside load only gives a name to something new.",
        "Write into the run: load_state_dict, set_state, run.step = ….",
    ),
    "weights_only": Hint(
        "The resumed run has the right weights, and soon leaves the path.",
        "Adam's memory, the average, the random stream and the step start anew.",
        "Whatever the next step reads must be saved: go through Run.play line by line.",
    ),
    "a_player_forgotten": Hint(
        "One of the two players has not come along.",
        "Both G and D are trained; a fresh one ruins the other.",
        "Save and load the state_dict of both.",
    ),
    "average_forgotten": Hint(
        "The averaged generator has not come along.",
        "It is not G: it remembers where G has been.",
        "Save and load run.average.state_dict() as well.",
    ),
    "optimizer_forgotten": Hint(
        "An optimizer starts with an empty memory.",
        "Adam divides by averages of past gradients; without them its steps differ.",
        "Save and load the state_dict of both optimizers.",
    ),
    "buffers_forgotten": Hint(
        "BatchNorm's running statistics have not come along.",
        "parameters() leaves the buffers out.",
        "state_dict() has parameters and buffers.",
    ),
    "random_forgotten": Hint(
        "The resumed run draws other latents.",
        "run.rng was not restored, or was seeded anew; it must go on where it stopped.",
        "run.rng.get_state() when saving, run.rng.set_state(…) when loading.",
    ),
    "step_forgotten": Hint(
        "The resumed run takes steps of another length.",
        "The learning rate depends on run.step, which has not come along.",
        "Save it, and set run.step when loading.",
    ),
    "optimizer_of_others": Hint(
        "After load an optimizer moves weights that are not the player's.",
        "Player and optimizer were replaced one by one: it still holds other tensors.",
        "Keep the fresh objects, and call load_state_dict on each.",
    ),
}

EXERCISES = [
    Exercise("04.step", step, COMMON | _STEP),
    Exercise("04.resume", resume, COMMON | _RESUME),
]
