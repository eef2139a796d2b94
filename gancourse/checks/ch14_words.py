"""Checks of notebook 14: a choice of words, and pictures that find their captions."""

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import cross_entropy, normalize, one_hot

from gancourse.checks.compare import COMMON, equal, expect, tensor, unchanged
from gancourse.checks.probes import normal, same_slopes, uniform
from gancourse.checks.verdict import Exercise, Hint, Mistake

# --------------------------------------------------------------- 14.gumbel


def gumbel(answer) -> None:
    """answer(logits, u, tau): hard words (N, K), the soft words' gradient."""
    for tau in (0.5, 2.0):
        logits, u = normal(60, 5), uniform(60, 5, low=1e-3, high=1 - 1e-3)
        weights = normal(60, 5)
        value, slope = answer.using(_words, logits, u, tau, weights)
        found = tensor(value)
        if found.shape in ((60,), (60, 1)):
            raise Mistake("numbers_of_words")
        got = tensor(value, (60, 5))
        again = tensor(answer.using(_words, logits, u, tau, weights)[0], (60, 5))
        if not equal(again.nan_to_num(), got.nan_to_num()):
            raise Mistake("own_noise")
        if got.isnan().any():
            raise Mistake("noise_not_finite")
        wrong = {name: rules(logits, u, tau) for name, rules in _CHOICES.items()}
        expect(got, _hard(logits + _gumbel(u)), wrong)
        if slope is None:
            raise Mistake("loses_gradient")
        noisy = logits + _gumbel(u)
        soft = {
            "slope_without_temperature": [_slope(noisy, weights)],
            "slope_without_noise": [_slope(logits, weights, tau)],
            "slope_of_the_identity": [weights],
            "slope_of_the_logarithm": [
                _slope(noisy, weights, tau, lambda x: x.log_softmax(1))
            ],
            "slope_cancels": [torch.zeros_like(weights)],
            "slope_not_divided": [tau * _slope(noisy, weights, tau)],
        }
        expect(
            tensor(slope, (60, 5)),
            _slope(noisy, weights, tau),
            soft,
            "The words are right, their gradient is not.",
            1e-3,
            1e-5,
        )


def _words(answer, logits: Tensor, u: Tensor, tau: float, weights: Tensor) -> list:
    """The answer, and the gradient of its weighted sum. In the learner's process."""
    logits = logits.clone().requires_grad_()
    value = answer(logits, u, tau)
    try:
        (slope,) = torch.autograd.grad((value * weights).sum(), logits)
    except (
        RuntimeError,
        TypeError,
        AttributeError,
    ):  # no way back: argmax, NumPy, lists
        slope = None
    return [value.detach() if torch.is_tensor(value) else value, slope]


def _gumbel(u: Tensor) -> Tensor:
    return -(-u.log()).log()


def _hard(x: Tensor) -> Tensor:
    return one_hot(x.argmax(1), x.shape[1]).double()


def _slope(x: Tensor, weights: Tensor, tau: float = 1.0, soft=None) -> Tensor:
    """Gradient of the weighted softmax of x / tau with respect to x."""
    x = x.clone().requires_grad_()
    words = soft(x / tau) if soft else (x / tau).softmax(1)
    return torch.autograd.grad((words * weights).sum(), x)[0]


_CHOICES = {
    "no_noise": lambda x, u, tau: _hard(x),
    "soft_word": lambda x, u, tau: [
        ((x + _gumbel(u)) / tau).softmax(1),
        (x + _gumbel(u)).softmax(1),
    ],
    "uniform_noise": lambda x, u, tau: _hard(x + u),
    "one_logarithm": lambda x, u, tau: [_hard(x - u.log()), _hard(x + u.log())],
    "noise_upside_down": lambda x, u, tau: [
        _hard(x - _gumbel(u)),
        ((x - _gumbel(u)) / tau).softmax(1),
    ],
    "temperature_on_logits_only": lambda x, u, tau: [
        _hard(x / tau + _gumbel(u)),
        _hard(x + _gumbel(u) / tau),
    ],
    "temperature_times": lambda x, u, tau: [((x + _gumbel(u)) * tau).softmax(1)],
    "probabilities_for_logits": lambda x, u, tau: _hard(x.softmax(1) + _gumbel(u)),
    "least_likely": lambda x, u, tau: _hard(-(x + _gumbel(u))),
    "across_the_batch": lambda x, u, tau: [
        one_hot((x + _gumbel(u)).argmax(0), len(x)).T,
        ((x + _gumbel(u)) / tau).softmax(0),
    ],
    "both_added": lambda x, u, tau: (
        _hard(x + _gumbel(u)) + ((x + _gumbel(u)) / tau).softmax(1)
    ),
    "difference_only": lambda x, u, tau: (
        _hard(x + _gumbel(u)) - ((x + _gumbel(u)) / tau).softmax(1)
    ),
}

_GUMBEL = {
    "numbers_of_words": Hint(
        "You return numbers of words, not words.",
        "argmax gives a place; D takes one-hot rows of length K.",
        "one_hot(argmax, K).",
    ),
    "own_noise": Hint(
        "Two calls with the same numbers u give other words.",
        "You draw noise of your own; gumbel_softmax and rsample do, too.",
        "Make the noise of the u that you are given: −log(−log u).",
    ),
    "no_noise": Hint(
        "You always choose the most probable word.",
        "The noise is not used: this is argmax, not a draw.",
        "Add −log(−log u) to the logits before you choose.",
    ),
    "soft_word": Hint(
        "Your words are mixtures.",
        "This is the relaxed word; D would soon tell mixtures from words.",
        "Straight-through: the value of the hard word, the gradient of the soft one.",
    ),
    "uniform_noise": Hint(
        "Unlikely words come too seldom.",
        "u itself was added. It never exceeds 1, so a gap of 1 is never jumped.",
        "The noise is Gumbel's: −log(−log u).",
    ),
    "one_logarithm": Hint(
        "The frequencies of your words are not softmax(logits).",
        "−log u is exponential; Gumbel's law needs two logarithms.",
        "−log(−log u).",
    ),
    "noise_upside_down": Hint(
        "The frequencies of your words are not softmax(logits).",
        "The noise has the wrong sign; Gumbel's law is not symmetric.",
        "logits − log(−log u).",
    ),
    "noise_not_finite": Hint(
        "Your noise is not a number.",
        "log u is negative for u < 1, so log(log u) does not exist.",
        "−log(−log u): there is a minus inside.",
    ),
    "temperature_on_logits_only": Hint(
        "Your temperature changes which words come how often.",
        "Only the logits, or only the noise, are divided by it.",
        "(logits + noise) / tau, both: then the choice does not depend on tau.",
    ),
    "temperature_times": Hint(
        "Your words are mixtures, and softer the *lower* tau is.",
        "You multiply by tau.",
        "Divide by tau, and give the hard word as value.",
    ),
    "probabilities_for_logits": Hint(
        "All words come about equally often.",
        "The noise was added to probabilities.",
        "It belongs to the logits (or to log-probabilities).",
    ),
    "least_likely": Hint(
        "Your draws prefer unlikely words.",
        "You choose the smallest, not the largest.",
        "argmax of logits + noise.",
    ),
    "across_the_batch": Hint(
        "Some of your rows have no word, others several.",
        "Choice or softmax runs over the batch.",
        "dim=1: over the words of each row.",
    ),
    "both_added": Hint(
        "Your rows add up to 2.",
        "Hard and soft are added; the soft word's value must be taken away again.",
        "hard + soft − soft.detach().",
    ),
    "difference_only": Hint(
        "Your rows add up to 0.",
        "hard − soft: the soft word should enter with its gradient, not its value.",
        "hard + soft − soft.detach().",
    ),
    "slope_without_temperature": Hint(
        "The words are right; their gradient does not depend on tau.",
        "The softmax has no temperature.",
        "softmax((logits + noise) / tau).",
    ),
    "slope_without_noise": Hint(
        "The words are right; their gradient is that of another word.",
        "The softmax does not know the noise that decided.",
        "The same logits + noise for the hard and for the soft word.",
    ),
    "slope_of_the_identity": Hint(
        "The words are right; D's gradient arrives at the logits unchanged.",
        "That is the straight-through of the identity (logits − logits.detach()).",
        "Let it pass through the *softmax*: hard + soft − soft.detach().",
    ),
    "slope_of_the_logarithm": Hint(
        "The words are right; their gradient is that of log-probabilities.",
        "log_softmax in the place of softmax.",
        "softmax((logits + noise) / tau).",
    ),
    "slope_cancels": Hint(
        "The words are right, and no gradient is left.",
        "`hard − soft + soft`: the two gradients cancel.",
        "Detach one of them: hard + soft − soft.detach().",
    ),
    "slope_not_divided": Hint(
        "The words are right; their gradient lacks a factor 1/tau.",
        "The division by tau is outside of the graph.",
        "Divide logits + noise by tau, with the gradient flowing through.",
    ),
}

# --------------------------------------------------------------- 14.contrastive


def _scores(x: Tensor, c: Tensor, scale: float) -> Tensor:
    return scale * normalize(x, dim=1) @ normalize(c, dim=1).T


def _contrastive(x: Tensor, c: Tensor, scale: float) -> Tensor:
    s, mine = _scores(x, c, scale), torch.arange(len(x))
    return (cross_entropy(s, mine) + cross_entropy(s.T, mine)) / 2


def contrastive(answer) -> None:
    """answer(pictures, captions, scale): each picks its partner, both ways."""
    for n, scale in ((6, 5.0), (9, 2.5)):
        x = normal(n, 4, scale=1.7)
        given = [x, 0.5 * x + 0.6 * normal(n, 4), scale]
        got = tensor(answer(*given), ())
        unchanged(answer)
        expect(got, _contrastive(*given), _matchings(*given), rtol=2e-5)
        same_slopes(answer, _contrastive, given, (0, 1), cut="one_side_detached")


def _matchings(x: Tensor, c: Tensor, scale: float) -> dict:
    """Losses gone wrong."""
    s, mine, n = _scores(x, c, scale), torch.arange(len(x)), len(x)

    def both(s: Tensor, reduction: str = "mean") -> Tensor:
        ways = (cross_entropy(t, mine, reduction=reduction) for t in (s, s.T))
        return sum(ways) / 2

    rows, columns = cross_entropy(s, mine), cross_entropy(s.T, mine)
    off = s.masked_fill(torch.eye(n, dtype=torch.bool), -math.inf)
    diagonal, target = s.diagonal(), torch.eye(n)
    plain = x @ c.T
    p = (s.softmax(1).diagonal().mean() + s.softmax(0).diagonal().mean()) / 2
    return {
        "pictures_choose_only": [rows],
        "captions_choose_only": [columns],
        "not_halved": [rows + columns],
        "sum": [both(s, "sum"), 2 * both(s, "sum")],
        "not_normalised": [
            both(scale * plain),
            both(plain),
            both(scale * normalize(x, dim=1) @ c.T),
            both(scale * x @ normalize(c, dim=1).T),
        ],
        "across_the_batch": [both(scale * normalize(x, dim=0) @ normalize(c, dim=0).T)],
        "no_scale": [both(s / scale)],
        "divided_by_scale": [both(s / scale**2), both(plain / scale)],
        "softmax_twice": [
            (cross_entropy(s.softmax(1), mine) + cross_entropy(s.T.softmax(1), mine))
            / 2
        ],
        "pair_by_pair": [bce(s, target), bce(s, target, reduction="sum") / n],
        "partner_left_out": [
            (off.logsumexp(1) + off.logsumexp(0)).mean() / 2 - diagonal.mean()
        ],
        "one_softmax_for_all": [s.logsumexp((0, 1)) - diagonal.mean()],
        "only_partners": [-diagonal.mean(), (1 - diagonal / scale).mean()],
        "log_forgotten": [-p, 1 - p],
        "sign": [-both(s)],
        "within_pictures": [
            cross_entropy(_scores(x, x, scale), mine),
            cross_entropy(_scores(c, c, scale), mine),
            (
                cross_entropy(_scores(x, x, scale), mine)
                + cross_entropy(_scores(c, c, scale), mine)
            )
            / 2,
        ],
        "distances": [both(-scale * torch.cdist(x, c)), both(-torch.cdist(x, c))],
    }


_CONTRASTIVE = {
    "pictures_choose_only": Hint(
        "Several pictures may share one favourite caption at no cost.",
        "Only pictures choose among captions: the softmax over rows.",
        "Captions choose among pictures, too: the same with the transposed scores.",
    ),
    "captions_choose_only": Hint(
        "Several captions may share one favourite picture at no cost.",
        "Only captions choose among pictures: the softmax over columns.",
        "Pictures choose among captions, too: the same with the transposed scores.",
    ),
    "not_halved": Hint(
        "Choosing blindly costs you 2 log N.",
        "The two directions are added; asked for is their mean.",
        "Halve the sum.",
    ),
    "sum": Hint(
        "Your loss grows with the batch, faster than log N.",
        "You add up over the pairs.",
        "Mean over the N choices, in both directions.",
    ),
    "not_normalised": Hint(
        "Longer codes lower your loss.",
        "The product of codes is not their cosine: a length was left in.",
        "Make every code of length 1 first, pictures and captions.",
    ),
    "across_the_batch": Hint(
        "In your version a code changes when its neighbours in the batch do.",
        "You normalise columns: each feature over the batch.",
        "normalize(codes, dim=1): each row to length 1.",
    ),
    "no_scale": Hint(
        "In your version even a perfect encoder has a high loss.",
        "Cosines end at 1, so the softmax stays nearly flat: the scale is missing.",
        "Multiply the cosines by scale.",
    ),
    "divided_by_scale": Hint(
        "The larger the scale, the flatter your softmax.",
        "You divide, as by a temperature. Here scale is 1/temperature.",
        "Multiply the cosines by scale.",
    ),
    "softmax_twice": Hint(
        "Your loss hardly reacts to the scores.",
        "A softmax, and then a cross-entropy that has one inside.",
        "cross_entropy takes the scores as they are.",
    ),
    "pair_by_pair": Hint(
        "Your pairs do not compete.",
        "Each of the N² pairs gets a sigmoid of its own (as in SigLIP).",
        "Each picture chooses *one* of N captions: a softmax.",
    ),
    "partner_left_out": Hint(
        "Your loss can be negative.",
        "The partner is left out of the sum below.",
        "−log of a probability: the sum below runs over all N, the partner too.",
    ),
    "one_softmax_for_all": Hint(
        "Choosing blindly costs you 2 log N.",
        "One softmax runs over all N² pairs.",
        "One for each row, one for each column.",
    ),
    "only_partners": Hint(
        "Your loss is lowest when all codes are the same.",
        "Partners attract, and nothing repels.",
        "The softmax over the others is what keeps codes apart.",
    ),
    "log_forgotten": Hint(
        "Your loss is a mean of probabilities.",
        "The logarithm is missing.",
        "−log p of the partner.",
    ),
    "sign": Hint(
        "Your loss falls when partners are *not* found.",
        "The log-probability is to be made large; an optimizer makes small.",
        "Turn the sign round.",
    ),
    "within_pictures": Hint(
        "Pictures do not meet captions in your scores.",
        "Codes are compared with codes of their own kind.",
        "pictures @ captions.T.",
    ),
    "distances": Hint(
        "Your scores are distances.",
        "Asked for are cosines times scale.",
        "Codes of length 1, then products.",
    ),
    "one_side_detached": Hint(
        "The value is right, but one of the encoders does not learn.",
        "Pictures or captions are detached in one direction or both.",
        "No detach: both encoders learn from both directions.",
    ),
}

EXERCISES = [
    Exercise("14.gumbel", gumbel, COMMON | _GUMBEL),
    Exercise("14.contrastive", contrastive, COMMON | _CONTRASTIVE),
]
