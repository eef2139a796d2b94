"""Checks of notebook 06: a chart read, a loss probed, accused programs acquitted."""

import functools
import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gancourse.checks import ch06_steps
from gancourse.checks.compare import COMMON, tensor
from gancourse.checks.probes import stream, uniform
from gancourse.checks.verdict import Exercise, Hint, Mistake

# ------------------------------------------------------------------ 06.triage

# Runs of notebook 06 (1,500 steps, cpu) with seeds that it does not use, their last
# numbers: d_loss, g_loss, D(real), D(fake), mean and deviation of 1,000 fakes.
COLUMNS = ("d_loss", "g_loss", "D_real", "D_fake", "mean", "std")
RUNS = {
    "A": [
        (3.12e-06, 1.13e-09, 1.0, 1.0, 5.66, 1.49),
        (7.29e-07, 2.1e-09, 1.0, 1.0, 5.5, 1.42),
        (1.79e-07, 1.48e-09, 1.0, 1.0, 4.73, 1.04),
        (3.31e-05, 1.7e-09, 1.0, 1.0, 5.52, 1.16),
        (2.49e-07, 2.9e-09, 1.0, 1.0, 4.86, 1.17),
        (4.96e-08, 1.56e-09, 1.0, 1.0, 4.66, 1.13),
    ],
    "B": [
        (-113000000.0, -113000000.0, 0.0, 1.0, -13600.0, 3020.0),
        (-81500000.0, -81500000.0, 0.0, 1.0, -16200.0, 5180.0),
        (-112000000.0, -112000000.0, 0.0, 1.0, -16600.0, 4490.0),
        (-79500000.0, -79500000.0, 0.0, 1.0, -10800.0, 3340.0),
        (-106000000.0, -106000000.0, 0.0, 1.0, -14100.0, 3440.0),
        (-89800000.0, -89800000.0, 0.0, 1.0, -12300.0, 3750.0),
    ],
    "C": [
        (-25500.0, 0.0, 0.0, 1.0, -1.95, 0.458),
        (-31000.0, 0.0, 0.0, 1.0, -2.8, 0.844),
        (-29100.0, 0.0, 0.0, 1.0, -2.43, 0.611),
        (-26400.0, 0.0, 0.0, 1.0, -2.01, 0.562),
        (-25900.0, 0.0, 0.0, 1.0, -1.93, 0.509),
        (-26200.0, 0.0, 0.0, 1.0, -1.95, 0.477),
    ],
    "D": [
        (4.06e-06, 7.03e-08, 5.46e-06, 1.0, -5.29, 1.17),
        (1.03e-06, 8.04e-08, 1.74e-06, 1.0, -7.76, 1.8),
        (2.65e-07, 1.16e-07, 8.81e-07, 1.0, -6.68, 1.43),
        (0.000479, 1.45e-07, 1.2e-05, 1.0, -5.72, 1.14),
        (4.33e-07, 5.53e-08, 4.71e-07, 1.0, -10.0, 2.34),
        (7.07e-07, 1.38e-07, 8.78e-06, 1.0, -5.39, 1.13),
    ],
    "E": [
        (1.34, 1.42, 0.526, 0.445, 3.73, 0.725),
        (1.29, 1.39, 0.537, 0.492, 3.79, 0.169),
        (1.35, 1.39, 0.513, 0.475, 4.21, 0.632),
        (1.28, 1.39, 0.545, 0.487, 3.82, 0.118),
        (1.34, 1.39, 0.519, 0.495, 4.03, 0.153),
        (1.68, 1.39, 0.388, 0.489, 4.75, 0.244),
    ],
    "F": [
        (4.38e-05, 10.6, 1.0, 4.08e-05, -0.199, 0.055),
        (0.000122, 9.22, 1.0, 0.000121, -0.139, 0.0339),
        (0.000211, 9.31, 1.0, 0.000143, 0.00895, 0.0664),
        (8.01e-05, 9.66, 1.0, 8.52e-05, -0.212, 0.0456),
        (8.42e-05, 9.84, 1.0, 0.000286, -0.0478, 0.065),
        (0.000156, 9.23, 1.0, 0.000182, 0.00394, 0.0707),
    ],
    "G": [
        (1.39, 1.39, 1.0, 0.5, -0.643, 0.00208),
        (1.39, 1.39, 1.0, 0.5, -0.967, 0.00329),
        (1.39, 1.39, 1.0, 0.5, -0.459, 0.00242),
        (1.39, 1.39, 1.0, 0.5, -0.697, 0.0027),
        (1.39, 1.39, 1.0, 0.5, -0.42, 0.00207),
        (1.39, 1.39, 1.0, 0.5, -0.704, 0.00406),
    ],
    "H": [
        (1.43, 0.512, 0.599, 0.599, 3.97, 0.984),
        (1.43, 0.515, 0.598, 0.598, 4.2, 0.932),
        (1.43, 0.509, 0.601, 0.601, 3.96, 1.09),
        (1.43, 0.513, 0.599, 0.599, 3.95, 0.953),
        (1.43, 0.512, 0.599, 0.599, 4.0, 0.963),
        (1.42, 0.521, 0.594, 0.593, 4.25, 1.13),
    ],
    "healthy": [
        (1.38, 0.693, 0.5, 0.5, 3.99, 0.996),
        (1.38, 0.694, 0.5, 0.5, 4.01, 1.02),
        (1.39, 0.695, 0.499, 0.499, 4.02, 0.751),
        (1.39, 0.686, 0.504, 0.503, 3.94, 0.837),
        (1.39, 0.685, 0.502, 0.503, 3.94, 0.818),
        (1.39, 0.687, 0.502, 0.503, 4.0, 0.779),
    ],
}
_DRAWN = 4  # of each kind, at every check


def triage(answer) -> None:
    """answer(log): which patient of notebook 06 a log is of, or "healthy"."""
    said = {kind: [] for kind in RUNS}
    for kind, rows in RUNS.items():
        for i in torch.randperm(len(rows), generator=stream())[:_DRAWN]:
            log = dict(zip(COLUMNS, rows[i], strict=True))
            said[kind].append(_word(answer(log), (*RUNS, "healthy")))
    if all(word == kind for kind, words in said.items() for word in words):
        return
    for kind, words in said.items():  # the mistakes of one kind, before the next
        for word in words:
            if word != kind:
                name = _CONFUSED.get((kind, word)) or _any(kind, word)
                raise Mistake(name, f"A log of {_called(kind)} is read as {word!r}.")


def _word(said: object, known: tuple[str, ...]) -> str:
    """One of the known words, whatever its case; else the mistake."""
    if said is None:
        raise Mistake("returns_nothing")
    found = said.strip().lower() if type(said) is str else said
    for word in known:
        if found == word.lower():
            return word
    seen = f"It returned {said!r}." if type(said) is str else ""
    raise Mistake("unknown_word", seen)


def _called(kind: str) -> str:
    return "a healthy run" if kind == "healthy" else f"patient {kind}"


_ZERO, _NEGATIVE, _CALM = "ADF", "BC", ("E", "G", "H", "healthy")
_CONFUSED = {
    **{pair: "reals_unread" for pair in [("A", "D"), ("D", "A"), ("G", "E")]},
    **{pair: "fakes_unread" for pair in [("A", "F"), ("F", "A"), ("D", "F")]},
    **{pair: "no_floor" for pair in [("C", "D"), ("D", "C"), ("B", "D"), ("D", "B")]},
    **{pair: "where_are_they" for pair in [("B", "C"), ("C", "B")]},
    **{pair: "g_loss_unread" for pair in [("E", "healthy"), ("healthy", "E")]},
    **{pair: "two_thirds" for pair in [("H", "healthy"), ("healthy", "H")]},
    ("F", "D"): "fakes_unread",
    ("G", "healthy"): "log_four_is_well",
}


def _any(kind: str, word: str) -> str:
    """The mistake in any other confusion."""
    if kind in _ZERO and word == "healthy":
        return "zero_is_well"
    if kind in _NEGATIVE:
        return "negative_loss"
    return "healthy_called_ill" if kind == "healthy" else "confused"


_TRIAGE = {
    "unknown_word": Hint(
        "It does not return one of the words that it may.",
        "The check understands nothing else.",
        "Return one of the words that the exercise names, as a string.",
    ),
    "zero_is_well": Hint(
        "A d_loss near 0 is sent home.",
        "At equilibrium D is undecided, and d_loss is log 4. Near 0, D has won.",
        "Treat a small d_loss first; then read D_real and D_fake.",
    ),
    "negative_loss": Hint(
        "A d_loss far below zero is not taken for a wrong sign.",
        "Both terms are softplus of something: a right d_loss is never negative.",
        "Begin with d_loss < 0; only B and C are left then.",
    ),
    "where_are_they": Hint(
        "B and C are mixed up.",
        "Both minimise V for D. In B G minimises it too, and runs after D.",
        "Where are the fakes? In B their mean is thousands away.",
    ),
    "no_floor": Hint(
        "A wrong sign and swapped labels are mixed up.",
        "In both D calls reals fake. Swapped labels still have a loss above 0.",
        "Is d_loss negative? Then it is a sign, else the labels.",
    ),
    "reals_unread": Hint(
        "You do not look at what D says of the reals.",
        "A, D and F share a d_loss near 0; E and G share D(fake) near one half.",
        "Use D_real: near 0 in D, near 1 in A and G, near one half in E.",
    ),
    "fakes_unread": Hint(
        "You do not look at what D says of the fakes.",
        "In F D recognises every fake. In A and D it takes them for real.",
        "Use D_fake: near 0 in F, near 1 in A and D.",
    ),
    "g_loss_unread": Hint(
        "E and a healthy run are mixed up.",
        "D is undecided in both. In E g_loss has a second term that pulls G back.",
        "At one half, −log D is 0.69; E's g_loss is never below log 4 = 1.39.",
    ),
    "two_thirds": Hint(
        "H and a healthy run are mixed up.",
        "In H the samples are good, and only D's verdict is off.",
        "D_real and D_fake are both near 0.6 in H, and 0.5 in health.",
    ),
    "log_four_is_well": Hint(
        "A d_loss of 1.39 is sent home.",
        "1.39 is also what a game without players ends at: fakes in one point.",
        "Look at D_real or at std: is D undecided on both, are the fakes spread?",
    ),
    "healthy_called_ill": Hint(
        "A healthy run is treated.",
        "Healthy runs differ too: here D_real and D_fake lie within 0.01 of one half.",
        "Leave room: compare with all healthy rows of the table.",
    ),
    "confused": Hint(
        "One illness is taken for another.",
        "Their losses may be alike; the other numbers of the log are not.",
        "Put the two rows of the table below each other: which number differs?",
    ),
}

# ------------------------------------------------------------------ 06.probe

KINDS = ("well", "no fakes", "sign", "labels swapped", "two sigmoids", "log outside")


def loss_of(kind: str, factor: float, real: Tensor, fake: Tensor) -> Tensor:
    """A d_loss of logits with that illness, times a factor (which is none)."""
    right = softplus(-real).mean() + softplus(fake).mean()
    losses = {
        "no fakes": lambda: softplus(-real).mean(),
        "sign": lambda: -right,
        "labels swapped": lambda: softplus(real).mean() + softplus(-fake).mean(),
        "two sigmoids": lambda: (
            softplus(-real.sigmoid()).mean() + softplus(fake.sigmoid()).mean()
        ),
        "log outside": lambda: (
            (math.log(len(real)) - torch.logsumexp(-softplus(-real), 0)).sum()
            + (math.log(len(fake)) - torch.logsumexp(-softplus(fake), 0)).sum()
        ),
    }
    return factor * losses.get(kind, lambda: right)()


def probe(answer) -> None:
    """answer(d_loss): which of KINDS it is, from values that the function gives."""
    factors = [1.0, 0.5, *uniform(2, low=0.2, high=5.0).tolist()]
    said = {
        (kind, factor): _word(
            answer(functools.partial(loss_of, kind, factor)), (*KINDS, "well")
        )
        for kind in KINDS
        for factor in factors
    }
    if said["well", 1.0] != "well":
        seen = f'The right loss is called "{said["well", 1.0]}".'
        raise Mistake("well_convicted", seen)
    for (kind, factor), word in said.items():
        if word != kind:
            name = "factor_convicted" if said[kind, 1.0] == kind else _MISSED[kind]
            known = word != "well" and {kind, word} == {"sign", "labels swapped"}
            seen = f'A loss with "{kind}", times {factor:.2g}, is called "{word}".'
            raise Mistake("no_floor" if known else name, seen)


_MISSED = {
    "well": "well_convicted",
    "no fakes": "fakes_not_moved",
    "sign": "direction_unread",
    "labels swapped": "direction_unread",
    "two sigmoids": "logits_too_small",
    "log outside": "logits_all_alike",
}
_PROBE = {
    "unknown_word": _TRIAGE["unknown_word"],
    "well_convicted": Hint(
        "The right loss is called ill.",
        "Your limit is too narrow, or in another unit than the loss.",
        "Work the right loss out by hand for your logits: softplus(−r) + softplus(f).",
    ),
    "factor_convicted": Hint(
        "A loss that is half or twice another one gets another name.",
        "A positive factor changes only the rate. You compare with fixed numbers.",
        "Compare values of the same d_loss with each other: signs, order, ratios.",
    ),
    "fakes_not_moved": Hint(
        "A loss that never looks at the fakes is not found.",
        "Its value is that of a perfect D, as long as the reals are called real.",
        "Change only the logits of the fakes: does the loss change?",
    ),
    "direction_unread": Hint(
        "A loss that rewards the wrong D is not found.",
        "You do not ask which D has the smaller loss.",
        "A D that is right must cost less than a D that is wrong.",
    ),
    "no_floor": Hint(
        "A wrong sign and swapped labels are mixed up.",
        "Both reward a D that errs. But one of them has no smallest value.",
        "Is the loss ever negative?",
    ),
    "logits_too_small": Hint(
        "The second sigmoid is not found.",
        "Near logit 0 it differs only a little; a perfect D gives it away.",
        "With logits of ±50 a right loss is 0. Compare with its value for a wrong D.",
    ),
    "logits_all_alike": Hint(
        "A logarithm outside the mean is not found.",
        "With one logit, or equal ones, the log of the mean is the mean of the log.",
        "Give two different logits: a batch costs the mean of what each costs alone.",
    ),
}

# ------------------------------------------------------------------ 06.acquit

# The verdict on each accused program, and the number that decides it.
RIGHT = {
    "K": ("well", 1.0),
    "I": ("ill", 0.0),
    "half": ("well", 0.5),
    "sigmoid": ("well", 0.0),
    "decay": ("well", 1.0),
}
_CONVICTED = {
    "K": "detach_myth",
    "I": "clearing_ignored",
    "half": "half_convicted",
    "sigmoid": "sigmoid_convicted",
    "decay": "decay_convicted",
}
_NUMBERS = {  # numbers that give a misconception away
    "K": {2.0: "counted_twice", 0.0: "difference_given"},
    "I": {1.0: "old_push_forgotten", 2.0: "pushes_agree", -0.5: "not_relative"},
    "half": {1.0: "half_like_adam", 0.25: "half_squared", 2.0: "upside_down"},
    "sigmoid": {0.5: "range_of_tanh", 1.0: "share_reached"},
    "decay": {0.0: "decay_to_zero", 0.5: "half_way", 0.665: "decay_on_g"},
}


def acquit(answer) -> None:
    """answer: {accused: (verdict, number)}, the number being what decides."""
    given = answer.value()
    if given is None:
        raise Mistake("returns_nothing")
    if type(given) is not dict or set(given) != set(RIGHT):
        raise Mistake("not_a_table")
    for name, pair in given.items():
        if type(pair) not in (tuple, list) or len(pair) != 2:
            raise Mistake("no_reason", f"For {name} it gives {pair!r}.")
    for name, (verdict, number) in given.items():
        if _word(verdict, ("well", "ill")) != RIGHT[name][0]:
            raise Mistake(_CONVICTED[name])
        found = tensor(number, ()).item()
        if not abs(found - RIGHT[name][1]) <= 0.02:
            seen = f"{name}: the verdict is right, the number {found:.3g} is not."
            raise Mistake(_by_number(name, found), seen)


def _by_number(name: str, found: float) -> str:
    for number, mistake in _NUMBERS[name].items():
        if abs(found - number) <= 0.02:
            return mistake
    return "other_value"


_ACQUIT = {
    "unknown_word": _TRIAGE["unknown_word"],
    "not_a_table": Hint(
        "It is no dictionary with the five accused as keys.",
        'The keys are "K", "I", "half", "sigmoid" and "decay".',
        'Begin with {"K": ("well", …), "I": ….}',
    ),
    "no_reason": Hint(
        "There is a verdict without a number, or a number without a verdict.",
        "A verdict without a measurement is an opinion.",
        'Give a pair for each accused: ("well", 1.0).',
    ),
    "detach_myth": Hint(
        "You convict K of a missing detach.",
        "D's backward leaves gradients in G. K clears them before G's own backward.",
        "Play one step of K and one healthy step on copies: how far does G move?",
    ),
    "clearing_ignored": Hint(
        "You acquit I along with K.",
        "In I nobody clears what D's backward left in G: two pushes add up.",
        "On a fake's logit: D's loss gives σ(s), G's gives σ(s) − 1. At s = 0?",
    ),
    "half_convicted": Hint(
        "You convict a D whose loss is halved.",
        "A positive factor moves no minimum; it changes the length of a step.",
        "It is a rate: SGD moves half as far, Adam as far as before.",
    ),
    "sigmoid_convicted": Hint(
        "You convict a sigmoid at the end of G.",
        "tanh is a custom, for data in [−1, 1]. Here pixels lie in [0, 1].",
        "Ask which pixel values G can produce, and which the data take.",
    ),
    "decay_convicted": Hint(
        "You convict weight decay on D.",
        "It pulls D's slope to 0, and 0 is where the slope is at equilibrium anyway.",
        "Simulate: x moves by D's slope; where do both come to rest?",
    ),
    "counted_twice": Hint(
        "You count G's move twice in K.",
        "D's backward does reach G, but only its gradients; they are cleared.",
        "Only the gradient of g_loss is left when g_opt steps.",
    ),
    "difference_given": Hint(
        "0 is the difference of the two moves of K and the healthy step.",
        "Asked for is the ratio of their lengths.",
        "Length of G's move in K, divided by that in the healthy step.",
    ),
    "old_push_forgotten": Hint(
        "Your number for I says that nothing is wrong with it.",
        "It leaves out what D's loss has put into G's gradients before.",
        "Add both gradients on the fake's logit, then divide by G's own.",
    ),
    "pushes_agree": Hint(
        "You add the two pushes in I as if they agreed.",
        "D's loss pushes fakes' logits down, G's pushes them up.",
        "σ(s) + (σ(s) − 1), at s = 0.",
    ),
    "not_relative": Hint(
        "This is the push of a healthy step.",
        "Asked for is the push in I, divided by it.",
        "Add both gradients on the fake's logit, then divide by G's own.",
    ),
    "half_like_adam": Hint(
        "Your number for half is that of Adam.",
        "Adam divides by the size of the gradient, so a factor cancels.",
        "SGD: the move is rate times gradient.",
    ),
    "half_squared": Hint(
        "You halve twice.",
        "The factor ½ stands before the whole loss, so before its gradient once.",
        "SGD: the move is rate times gradient.",
    ),
    "upside_down": Hint(
        "You divide the healthy move by the accused one.",
        "Asked for is accused over healthy.",
        "Turn the fraction over.",
    ),
    "range_of_tanh": Hint(
        "This is the share for tanh, half of whose range is negative.",
        "The accused G ends in a sigmoid.",
        "Which values of [0, 1] can σ not come near?",
    ),
    "share_reached": Hint(
        "This is the share of [0, 1] that G reaches.",
        "Asked for is the share that it does not.",
        "One minus it.",
    ),
    "decay_to_zero": Hint(
        "You let the decay pull the sample to 0.",
        "The decay is on D's weight, not on G's.",
        "D's slope goes to 0; x goes where the slope becomes 0 by itself.",
    ),
    "half_way": Hint(
        "You let the decay stop the sample half way.",
        "As long as x is not at the data, D's slope is not 0, and x moves on.",
        "Only where fakes equal reals does nothing pull at D's slope.",
    ),
    "decay_on_g": Hint(
        "This is where the sample rests if G has the decay.",
        "On G it pulls at the sample itself; on D at the slope.",
        "Put weight_decay into d_opt.",
    ),
}

EXERCISES = [
    Exercise("06.triage", triage, COMMON | _TRIAGE),
    Exercise("06.probe", probe, COMMON | _PROBE),
    *ch06_steps.EXERCISES,
    Exercise("06.acquit", acquit, COMMON | _ACQUIT),
]
