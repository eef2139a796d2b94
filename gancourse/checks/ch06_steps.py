"""Checks of notebook 06, programs: an epoch healed, a step and its effect."""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gancourse import clinic
from gancourse.checks.compare import COMMON, equal, expect, tensor
from gancourse.checks.probes import new_seed
from gancourse.checks.verdict import Exercise, Hint, Mistake

# ------------------------------------------------------------------ 06.heal


class _Logit(nn.Module):
    """A small discriminator of points, logits (N, 1) away from 0."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return 4 * self.net(x)


def _players(seed: int) -> tuple[nn.Module, nn.Module]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)), _Logit()


_RAISED = {  # an exception of the sick program, and which illness it is of
    "target size": "labels_fixed",
    "must match": "labels_fixed",
    "same number of elements": "labels_fixed",
    "not callable": "name_overwritten",
    "cannot access local": "name_overwritten",
    "referenced before": "name_overwritten",
    "a second time": "graph_twice",
    "inplace operation": "graph_twice",
}


def _played(epoch, seed: int, sizes: tuple[int, ...] = (64, 64, 20)) -> dict:
    """How an epoch of such batches moves D and G, and what it returns."""
    G, D = _players(seed)
    rng = torch.Generator().manual_seed(seed)
    reals = [torch.randn(n, 2, generator=rng) + 1 for n in sizes]
    latents = [torch.randn(n, 2, generator=rng) for n in sizes]
    d_opt, g_opt = (torch.optim.SGD(P.parameters(), 0.05) for P in (D, G))
    D(G(latents[0])).square().mean().backward()  # gradients are dirty
    players = (D, G)
    before = [nn.utils.parameters_to_vector(P.parameters()).clone() for P in players]
    try:
        value = epoch(G, D, reals, latents, d_opt, g_opt)
    except (RuntimeError, ValueError, TypeError, UnboundLocalError) as error:
        for words, illness in _RAISED.items():
            if words in str(error).lower():
                return {"raised": illness}
        raise
    after = [nn.utils.parameters_to_vector(P.parameters()) for P in players]
    moved = [(a - b).detach() for a, b in zip(after, before, strict=True)]
    frozen = not all(p.requires_grad for P in players for p in P.parameters())
    return {"raised": "", "moved": moved, "value": value, "frozen": frozen}


def heal(answer) -> None:
    """answer(G, D, reals, latents, d_opt, g_opt): an epoch; the mean d_loss."""
    seed = new_seed()
    found = answer.using(_played, seed)
    if found["raised"]:
        raise Mistake(found["raised"])
    if found["frozen"]:
        raise Mistake("left_frozen")
    if not _moved_as(found, "right", seed):
        for name in _ILL:
            if _moved_as(found, name, seed):
                raise Mistake(_ALSO.get(name, name))
        raise Mistake("other_value", _part_that_is_right(answer, seed))
    losses = _losses(seed)
    sizes = torch.tensor([64.0, 64.0, 20.0]).double()
    value = found["value"]
    if tensor(value).shape == losses.shape:
        raise Mistake("list_returned")
    wrong = {
        "last_loss": losses[-1],
        "losses_summed": losses.sum(),
        "weighted": (losses * sizes).sum() / sizes.sum(),
        "halved_value": losses.mean() / 2,
    }
    expect(tensor(value, ()), losses.mean(), wrong, rtol=1e-3)
    if getattr(value, "had_grad", False):
        raise Mistake("keeps_graph")


def _moved_as(found: dict, kind: str, seed: int) -> bool:
    made = _played(_epoch(kind), seed)["moved"]
    return all(
        equal(tensor(f), m, 1e-3, 1e-6)
        for f, m in zip(found["moved"], made, strict=True)
    )


def _part_that_is_right(answer, seed: int) -> str:
    """Who is right after one batch alone: later D depends on G, and G on D."""
    found = answer.using(_played, seed, (64,))["moved"][0]
    same = equal(tensor(found), _played(_epoch("right"), seed, (64,))["moved"][0], 1e-3)
    return (
        "It runs; D's move is right, G's is not." if same else "D's move is not right."
    )


def _losses(seed: int) -> Tensor:
    found = []
    _played(_epoch("right", found), seed)
    return torch.stack(found).double()


_ILL = (
    "fakes_cut_off", "d_moves_twice", "two_sigmoids", "old_gradients", "short_skipped",
    "labels_swapped", "g_label_zero", "halved", "d_not_cleared", "only_first",
    "cut_and_twice", "cut_and_sigmoids", "twice_and_sigmoids", "twice_not_cleared",
    "all_three", "d_sigmoids", "g_sigmoids", "d_never", "g_not_cleared", "reals_only",
    "g_first", "saturating", "smoothed",
)  # fmt: skip
_ALSO = {
    "cut_and_twice": "fakes_cut_off",
    "cut_and_sigmoids": "two_sigmoids",
    "twice_and_sigmoids": "two_sigmoids",
    "twice_not_cleared": "d_moves_twice",
    "all_three": "two_sigmoids",
    "d_sigmoids": "two_sigmoids",
    "g_sigmoids": "two_sigmoids",
    "g_not_cleared": "old_gradients",
}
_CUT = ("fakes_cut_off", "cut_and_twice", "cut_and_sigmoids", "all_three")
_TWICE = ("d_moves_twice", "cut_and_twice", "twice_and_sigmoids", "all_three")
_BOTH = ("two_sigmoids", "cut_and_sigmoids", "twice_and_sigmoids", "all_three")


def _sigmoids(kind: str, player: str) -> Callable[[Tensor], Tensor]:
    """What a loss with logits is given: the logits, or probabilities by mistake."""
    ill = kind in _BOTH or kind == f"{player}_sigmoids"
    return torch.sigmoid if ill else lambda s: s


def _epoch(kind: str, found: list | None = None):
    """The epoch with one illness left, or several; d_losses go into `found`."""
    d_given, g_given = _sigmoids(kind, "d"), _sigmoids(kind, "g")

    def move_d(D, real, fake, d_opt):
        if kind != "d_not_cleared":
            d_opt.zero_grad()
        s_real, s_fake = d_given(D(real)), d_given(D(fake))
        sign = -1 if kind == "labels_swapped" else 1
        d_loss = softplus(-sign * s_real).mean()
        if kind == "smoothed":  # labels 0.9: bce is linear in the label
            d_loss = 0.9 * d_loss + 0.1 * softplus(s_real).mean()
        if kind != "reals_only":
            d_loss = d_loss + softplus(sign * s_fake).mean()
        (d_loss / 2 if kind == "halved" else d_loss).backward()
        if kind != "d_never":
            d_opt.step()
        if found is not None:
            found.append(d_loss.detach())

    def move_g(D, fake, d_opt, g_opt):
        if kind not in ("old_gradients", "g_not_cleared"):
            g_opt.zero_grad()
        if kind == "twice_not_cleared":
            d_opt.zero_grad()
        s = g_given(D(fake))
        losses = {"g_label_zero": softplus(s), "saturating": -softplus(s)}
        losses.get(kind, softplus(-s)).mean().backward()
        if kind not in _CUT:
            g_opt.step()
        if kind in _TWICE or kind == "twice_not_cleared":
            d_opt.step()

    def epoch(G, D, reals, latents, d_opt, g_opt):
        for real, z in zip(reals, latents, strict=True):
            if kind == "short_skipped" and len(real) < 64:
                break
            if kind == "old_gradients":
                g_opt.zero_grad()
            if kind == "g_first":
                move_g(D, G(z), d_opt, g_opt)
                move_d(D, real, G(z).detach(), d_opt)
                continue
            fake = G(z)
            move_d(D, real, fake if kind == "old_gradients" else fake.detach(), d_opt)
            fake = G(z)
            move_g(D, fake.detach() if kind in _CUT else fake, d_opt, g_opt)
            if kind == "only_first":
                break

    return epoch


_HEAL = {
    "labels_fixed": Hint(
        "It stops at the last batch.",
        "The labels are 64 long, and the last batch is shorter.",
        "Make labels from the logits: torch.ones_like(logits).",
    ),
    "name_overwritten": Hint(
        "It stops at the second batch, or at once.",
        "A name that held a function now holds its result.",
        "Call the loss function and its value by two names.",
    ),
    "graph_twice": Hint(
        "It stops at the second backward.",
        "Both losses go through one graph, which the first backward has freed.",
        "D's loss takes fake.detach(), and G's move calls D anew.",
    ),
    "short_skipped": Hint(
        "The last, shorter batch is never played.",
        "Leaving it out hides the labels of fixed size; data are lost.",
        "Make labels from the logits: torch.ones_like(logits).",
    ),
    "only_first": Hint(
        "Only the first batch is played.",
        "The loop ends in its first round.",
        "`return` belongs behind the loop.",
    ),
    "fakes_cut_off": Hint(
        "One illness is left: G does not move.",
        "The fakes are detached for G's loss too: no gradient finds G's weights.",
        "fake = G(z); detach it only where D's loss takes it.",
    ),
    "d_moves_twice": Hint(
        "One illness is left: D moves in G's turn too.",
        "g_loss.backward() leaves gradients in D, and d_opt takes a step on them.",
        "In G's turn only g_opt.step().",
    ),
    "two_sigmoids": Hint(
        "An illness no chart shows is left: even a perfect player still has a loss.",
        "The loss with logits has a sigmoid of its own, and is given probabilities.",
        "Give it the logits D(x), in D's loss and in G's.",
    ),
    "old_gradients": Hint(
        "G is pulled two ways.",
        "When g_loss.backward() begins, G still holds gradients of something else.",
        "g_opt.zero_grad() directly before g_loss.backward().",
    ),
    "d_not_cleared": Hint(
        "D moves along old gradients too.",
        "G's move leaves gradients in D, and they add up.",
        "d_opt.zero_grad() before d_loss.backward().",
    ),
    "labels_swapped": Hint(
        "Your D learns to call fakes real and reals fake.",
        "The two labels of its loss are exchanged.",
        "Reals get ones, fakes zeros.",
    ),
    "reals_only": Hint(
        "Your D never learns from the fakes.",
        "The second half of its loss is missing; calling everything real is now best.",
        "Add the loss of the fakes with label 0.",
    ),
    "g_label_zero": Hint(
        "Your G makes its samples look faker with each step.",
        "In its own move it is told the label of fakes.",
        "G wants its fakes called real: ones.",
    ),
    "g_first": Hint(
        "Your G moves before D does.",
        "That is a legal game, but the program had D first.",
        "First everything about D, with d_opt.step(); then G.",
    ),
    "saturating": Hint(
        "Your G hardly moves where D is sure.",
        "You minimise log(1 − D): minus the loss with label 0.",
        "The program had label 1: bce(D(fake), ones).",
    ),
    "smoothed": Hint(
        "Your D is told 0.9 for reals.",
        "Softer labels are a treatment of their own, for another illness.",
        "Leave what is not ill: ones.",
    ),
    "halved": Hint(
        "Your D moves in the right direction, half as far.",
        "You average real and fake; the program adds them.",
        "The halving was no part of the program: leave what is not ill.",
    ),
    "d_never": Hint(
        "Your D does not move.",
        "Both d_opt.step() are gone; only the one in G's turn was ill.",
        "d_opt.step() after d_loss.backward().",
    ),
    "left_frozen": Hint(
        "After your epoch some weights cannot be trained any more.",
        "requires_grad_(False) holds until somebody takes it back.",
        "D.requires_grad_(True) when G's move is over.",
    ),
    "last_loss": Hint(
        "The players are healed; the number is the last batch's alone.",
        "d_loss is written over in each round.",
        "Collect the numbers, and return their mean.",
    ),
    "losses_summed": Hint(
        "The players are healed; the number grows with the number of batches.",
        "The losses are added and never divided.",
        "Divide by the number of batches.",
    ),
    "weighted": Hint(
        "The players are healed; the number is a mean over samples.",
        "Asked for is the mean over the steps, each counted once.",
        "sum of the losses / number of batches.",
    ),
    "halved_value": Hint(
        "The players are healed; the number is half of the mean.",
        "d_loss is the sum of its two means, not their average.",
        "Do not divide by 2.",
    ),
    "list_returned": Hint(
        "The players are healed; it returns one number for each batch.",
        "Asked for is their mean.",
        "sum(losses) / len(losses).",
    ),
    "keeps_graph": Hint(
        "The number is right, and it drags the whole epoch's graph along.",
        "Losses that are added as tensors keep every step in memory.",
        "Add d_loss.item(), or d_loss.detach().",
    ),
}

# ------------------------------------------------------------------ 06.effect


def halved(G, D, g_opt, d_opt, real: Tensor, z: Tensor) -> None:
    """The healthy step with D's loss halved: the same direction, half as far."""
    healthy(G, D, g_opt, d_opt, real, z, factor=0.5)


def healthy(G, D, g_opt, d_opt, real, z, factor: float = 1.0) -> None:
    """The step that notebook 06 begins with."""
    fake = G(z)
    d_loss = softplus(-D(real)).mean() + softplus(D(fake.detach())).mean()
    d_opt.zero_grad()
    (factor * d_loss).backward()
    d_opt.step()
    g_opt.zero_grad()
    softplus(-D(fake)).mean().backward()
    g_opt.step()


_ACCUSED = {
    "K": clinic.patient_k,
    "I": clinic.patient_i,
    "H": clinic.patient_h,
    "D": clinic.patient_d,
    "F": clinic.patient_f,
    "half": halved,
}


def _case(seed: int) -> tuple:
    G, D = _players(seed)
    rng = torch.Generator().manual_seed(seed)
    return (
        G,
        D,
        torch.randn(16, 2, generator=rng) + 1,
        torch.randn(16, 2, generator=rng),
    )


def _given(answer, step, seed: int) -> tuple:
    """What the answer says of one step, and whether its players were left alone."""
    G, D, real, z = _case(seed)
    before = [p.clone() for P in (G, D) for p in P.parameters()]
    told = answer(step, healthy, G, D, real, z)
    after = [p for P in (G, D) for p in P.parameters()]
    same = all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    return told, not same


def effect(answer) -> None:
    """answer(step, healthy, G, D, real, z): how far a step is from the healthy one."""
    seeds = [new_seed() for _ in _ACCUSED]
    told = [
        answer.using(_given, step, seed)
        for step, seed in zip(_ACCUSED.values(), seeds, strict=True)
    ]
    got = torch.stack([tensor(number, ()) for number, _ in told])
    if any(changed for _, changed in told):
        raise Mistake("no_copies")

    def over(**way) -> Tensor:
        pairs = zip(_ACCUSED.values(), seeds, strict=True)
        return torch.stack([_measure(step, seed, **way) for step, seed in pairs])

    right = over()
    if equal(got, right, 1e-3, 1e-5):
        return
    wrong = {name: [over(**way) for way in ways] for name, ways in _WAYS.items()}
    expect(got, right, wrong, rtol=1e-3, atol=1e-5)


@lru_cache(maxsize=256)
def _moves(step, seed: int, adam: bool = False, rate: float = 0.1) -> list[Tensor]:
    G, D, real, z = _case(seed)
    kind = torch.optim.Adam if adam else torch.optim.SGD
    opts = [kind(P.parameters(), rate) for P in (G, D)]
    before = [nn.utils.parameters_to_vector(P.parameters()).clone() for P in (G, D)]
    step(G, D, *opts, real, z)
    after = [nn.utils.parameters_to_vector(P.parameters()) for P in (G, D)]
    return [(a - b).detach().double() for a, b in zip(after, before, strict=True)]


def _ratio(mine: Tensor, theirs: Tensor) -> Tensor:
    return (mine - theirs).norm() / theirs.norm()


def _one_after_the_other(step, seed: int) -> Tensor:
    """Without copies the healthy step begins where the accused one ended."""
    G, D, real, z = _case(seed)
    moved = []
    for one in (step, healthy):
        before = nn.utils.parameters_to_vector([*G.parameters(), *D.parameters()])
        before = before.detach().clone()
        one(G, D, *(torch.optim.SGD(P.parameters(), 0.1) for P in (G, D)), real, z)
        after = nn.utils.parameters_to_vector([*G.parameters(), *D.parameters()])
        moved.append((after - before).detach().double())
    return _ratio(*moved)


def _measure(
    step, seed: int, how: str = "right", adam: bool = False, rate: float = 0.1
) -> Tensor:
    """One number for how far a step is from the healthy one, measured in some way."""
    if how == "one_after_the_other":
        return _one_after_the_other(step, seed)
    mine, theirs = (_moves(one, seed, adam, rate) for one in (step, healthy))
    m, t = torch.cat(mine), torch.cat(theirs)
    weights = nn.utils.parameters_to_vector(
        [p for P in _case(seed)[:2] for p in P.parameters()]
    )
    ways = {
        "only_g": lambda: _ratio(mine[0], theirs[0]),
        "only_d": lambda: _ratio(mine[1], theirs[1]),
        "lengths": lambda: (m.norm() - t.norm()).abs() / t.norm(),
        "signed_lengths": lambda: m.norm() / t.norm() - 1,
        "ratio": lambda: m.norm() / t.norm(),
        "absolute": lambda: (m - t).norm(),
        "of_weights": lambda: (m - t).norm() / weights.detach().double().norm(),
        "of_accused": lambda: (m - t).norm() / m.norm(),
        "squared": lambda: _ratio(m, t).square(),
        "cosine": lambda: 1 - torch.cosine_similarity(m, t, 0),
        "mean_of_two": lambda: (
            (_ratio(mine[0], theirs[0]) + _ratio(mine[1], theirs[1])) / 2
        ),
        "sum_of_two": lambda: _ratio(mine[0], theirs[0]) + _ratio(mine[1], theirs[1]),
        "largest": lambda: (m - t).abs().max() / t.abs().max(),
        "sum_of_values": lambda: (m - t).abs().sum() / t.abs().sum(),
    }
    return ways.get(how, lambda: _ratio(m, t))()


_WAYS = {
    "one_after_the_other": [{"how": "one_after_the_other"}],
    "adam": [{"adam": True, "rate": rate} for rate in (0.1, 0.01, 2e-3, 1e-3, 2e-4)],
    "other_rate": [{"rate": rate} for rate in (1.0, 0.2, 0.05, 0.01, 1e-3)],
    **{
        name: [{"how": name}]
        for name in (
            *("only_g", "only_d", "lengths", "ratio", "absolute", "of_weights"),
            *("of_accused", "squared", "cosine", "mean_of_two", "largest"),
            *("signed_lengths", "sum_of_two", "sum_of_values"),
        )
    },
}
_SHARED = {"signed_lengths": "lengths", "sum_of_two": "mean_of_two"}

_EFFECT = {
    "no_copies": Hint(
        "After your measurement the players are not where they were.",
        "A step moves the weights that it is given; who measures leaves no trace.",
        "copy.deepcopy both players for each of the two steps.",
    ),
    "one_after_the_other": Hint(
        "Even a healthy step is at a distance from itself.",
        "The second step begins where the first one has ended.",
        "copy.deepcopy both players anew for each of the two steps.",
    ),
    "adam": Hint(
        "A loss that is halved looks as healthy to you as the whole one.",
        "Adam divides by the size of the gradient: its first step hides any factor.",
        "Measure with torch.optim.SGD, rate 0.1.",
    ),
    "other_rate": Hint(
        "Your numbers are near the right ones, and belong to another rate.",
        "G moves after D, and how far D has gone then depends on D's rate.",
        "torch.optim.SGD with rate 0.1, for both players.",
    ),
    "only_g": Hint(
        "You see nothing of what happens to D.",
        "Only G's weights are compared.",
        "Put the weights of both players into one vector.",
    ),
    "only_d": Hint(
        "You see nothing of what happens to G: F and K look alike.",
        "Only D's weights are compared.",
        "Put the weights of both players into one vector.",
    ),
    "lengths": Hint(
        "A step in the opposite direction is as good as the right one to you.",
        "You compare the lengths of two moves, not the moves.",
        "First the difference of the two vectors, then its length.",
    ),
    "ratio": Hint(
        "A healthy step gets 1, and so may a step into the opposite direction.",
        "You divide the lengths of two moves.",
        "First the difference of the two vectors, then its length; divide at last.",
    ),
    "absolute": Hint(
        "Your number depends on the rate.",
        "The difference is not divided by anything.",
        "Divide by the length of the healthy move.",
    ),
    "of_weights": Hint(
        "Your numbers are tiny, whatever the illness.",
        "You divide by the length of the weights, not of the move.",
        "Subtract the weights before the step; divide by the healthy move's length.",
    ),
    "of_accused": Hint(
        "You measure in units of the accused.",
        "A step that does nothing would be infinitely far.",
        "Divide by the length of the healthy move.",
    ),
    "squared": Hint(
        "Small differences nearly vanish in your number.",
        "You divide squares.",
        "Take the root: norms, not sums of squares.",
    ),
    "cosine": Hint(
        "Only the direction counts to you: a step twice as far looks healthy.",
        "The cosine forgets lengths.",
        "Length of the difference, divided by the length of the healthy move.",
    ),
    "mean_of_two": Hint(
        "You have one ratio for each player, put together.",
        "Asked for is one vector of all weights: who moves little counts little.",
        "torch.cat the moves of G and D, then one ratio.",
    ),
    "largest": Hint(
        "Only the worst weight counts to you.",
        "You take the largest differences.",
        "Use the Euclidean norm.",
    ),
    "sum_of_values": Hint(
        "You add absolute values.",
        "That is another norm than the one asked for.",
        "Use the Euclidean norm.",
    ),
}
_EFFECT |= {name: _EFFECT[other] for name, other in _SHARED.items()}

EXERCISES = [
    Exercise("06.heal", heal, COMMON | _HEAL),
    Exercise("06.effect", effect, COMMON | _EFFECT),
]
