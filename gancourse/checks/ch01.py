"""Checks of notebook 01: the minimax game."""

import math

import torch
from torch.nn.functional import logsigmoid, softplus

from gancourse.checks.compare import COMMON, expect, tensor, unchanged
from gancourse.checks.probes import normal, stream
from gancourse.checks.verdict import Exercise, Hint, Mistake

# ------------------------------------------------------------------ 01.pushforward


def _normal(z: torch.Tensor) -> torch.Tensor:
    return torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)


def pushforward(answer) -> None:
    """answer(x, a, b): density at x (N,) of G(z) = a z + b, z ~ N(0, 1), a not 0."""
    for a, b in [(-2.0, 1.5), (0.5, -0.3), (3.0, 0.7)]:
        x = normal(20, scale=2.0) + b
        z = (x - b) / a
        got = tensor(answer(x, a, b), (20,))
        unchanged(answer)
        wrong = {
            "no_absolute_value": _normal(z) / a,
            "multiplies": _normal(z) * abs(a),
            "forgets_the_stretch": _normal(z),
            "forgets_the_inverse": _normal(x) / abs(a),
            "applies_g_forwards": _normal(a * x + b) / abs(a),
            "squares_the_slope": _normal(z) / a**2,
            "not_normalised": torch.exp(-z.square() / 2) / abs(a),
            "log_density": (_normal(z) / abs(a)).log(),
        }
        expect(got, _normal(z) / abs(a), wrong)


_PUSHFORWARD = {
    "no_absolute_value": Hint(
        "For a falling generator (a < 0) your density is negative.",
        "The slope a of G is negative there, and you divide by a itself.",
        "A stretch dz of latents fills a stretch of length |a| dz: divide by |a|.",
    ),
    "multiplies": Hint(
        "Your density does not integrate to 1: it is too high where G stretches.",
        "You multiply by the stretch |a|. Stretching thins the points out.",
        "The same probability lies on a stretch |a| times as long: divide by |a|.",
    ),
    "forgets_the_stretch": Hint(
        "Your density has the right form and the wrong height unless |a| = 1.",
        "You evaluate the law of z at the right latent, and stop there.",
        "Probability p(z) dz lies on |a| dz: one factor is missing.",
    ),
    "forgets_the_inverse": Hint(
        "The bump of your density stands at 0, not at b.",
        "You put x into the law of z. But that law speaks about latents.",
        "Which latent z does G map to x? Solve a z + b = x.",
    ),
    "applies_g_forwards": Hint(
        "The bump of your density stands at the wrong place.",
        "You apply G to x; x is already an output of G.",
        "Go back to the latent: z = (x − b) / a.",
    ),
    "squares_the_slope": Hint(
        "Your density is right only for |a| = 1; elsewhere it misses a factor.",
        "You divide by a². That is how a variance scales, not a length.",
        "A stretch dz becomes |a| dz: one factor |a|.",
    ),
    "not_normalised": Hint(
        "Your density is about 2.5 times too high everywhere.",
        "The standard normal has a factor 1/√(2π), which you left out.",
        "Check that the law of z integrates to 1 before you push it forward.",
    ),
    "log_density": Hint(
        "Your values are logarithms of the right ones.",
        "A log_prob function returns log p.",
        "Take the exponential at the end, or write the density directly.",
    ),
}

# ------------------------------------------------------------------ 01.value


def value(answer) -> None:
    """answer(real_logits, fake_logits): V, a number, exact even for logits of ±1000."""
    # Logits for which a forgotten sigmoid gives numbers, not nan: it can be named.
    real, fake = (
        torch.rand(7, generator=stream()) + 0.2,
        0.8 - torch.rand(7, generator=stream()),
    )
    got = tensor(answer(real, fake), ())
    unchanged(answer)
    v_real, v_fake = logsigmoid(real), logsigmoid(-fake)
    right = v_real.mean() + v_fake.mean()
    wrong = {
        "sign": -right,
        "fakes_called_real": v_real.mean() + logsigmoid(fake).mean(),
        "players_swapped": logsigmoid(-real).mean() + logsigmoid(fake).mean(),
        "only_reals": v_real.mean(),
        "only_fakes": v_fake.mean(),
        "sum": v_real.sum() + v_fake.sum(),
        "one_mean_over_both": right / 2,
        "sigmoid_missing": lambda: (real.log() + (1 - fake).log()).mean(),
        "sigmoid_twice": logsigmoid(real.sigmoid()).mean()
        + logsigmoid(-fake.sigmoid()).mean(),
        "base_two": right / math.log(2),
    }
    expect(got, right, wrong)
    sure, fooled = torch.tensor([1000.0, 40.0]), torch.tensor([-1000.0, -40.0])
    for real, fake, right in [(sure, fooled, 0.0), (fooled, sure, -1040.0)]:
        got = tensor(answer(real, fake), ())
        if not got.isfinite():
            raise Mistake("rounded_to_zero")
        if abs(got.item() - right) > 1e-3 * max(1, abs(right)):
            raise Mistake("clipped")


_VALUE = {
    "sign": Hint(
        "Your number is positive; V never is.",
        "You return D's loss, which is −V.",
        "V is a sum of logarithms of probabilities, each at most log 1 = 0.",
    ),
    "fakes_called_real": Hint(
        "V rises when D calls fakes real. It should fall.",
        "For fakes you take log D(x). The game rewards log(1 − D(x)) there.",
        "1 − σ(s) = σ(−s): put a minus in front of the fake logits.",
    ),
    "players_swapped": Hint(
        "V is largest for a D that is always wrong.",
        "You swapped the two terms: log D belongs to reals, log(1 − D) to fakes.",
        "Try real = [5], fake = [−5]: a D that is right and sure has V near 0.",
    ),
    "only_reals": Hint(
        "V does not depend on the fakes.",
        "The second term is missing; D could then call everything real.",
        "Add the mean of log(1 − D(fake)).",
    ),
    "only_fakes": Hint(
        "V does not depend on the reals.",
        "The first term is missing; D could then call everything fake.",
        "Add the mean of log D(real).",
    ),
    "sum": Hint(
        "Your number grows with the batch.",
        "V is made of expectations; you add the samples up.",
        "Take means, one over reals and one over fakes.",
    ),
    "one_mean_over_both": Hint(
        "Your number is half of V.",
        "You average over real and fake samples together. V adds two expectations.",
        "Take two means and add them. At D = 1/2 the result is −log 4, not −log 2.",
    ),
    "sigmoid_missing": Hint(
        "You get nan, or a number far off.",
        "You take logarithms of the logits. They are not probabilities yet.",
        "D(x) = σ(logit).",
    ),
    "sigmoid_twice": Hint(
        "Your V hardly reacts to the logits, and never gets near 0.",
        "A sigmoid is applied to what is already a probability.",
        "Use either probabilities and log, or logits and logsigmoid, not both.",
    ),
    "base_two": Hint(
        "Your number is 1.44 times too large.",
        "log2 counts bits; the game is written with the natural logarithm.",
        "Use log, and at D = 1/2 you get −log 4 = −1.386.",
    ),
    "rounded_to_zero": Hint(
        "At logits of ±1000 your V is not finite.",
        "σ(−1000) is rounded to exactly 0, and log 0 is −∞.",
        "log σ(s) = −softplus(−s) never forms the probability. So does logsigmoid.",
    ),
    "clipped": Hint(
        "At logits of ±1000 your V is finite, but wrong.",
        "A clamp or a small ε hides how wrong D is, and cuts its gradient.",
        "Do without probabilities: log σ(s) = −softplus(−s).",
    ),
}

# --------------------------------------------------------------- 01.best_discriminator


def best_discriminator(answer) -> None:
    """answer(p, q, share, label): D* for densities p, q (N,), a share of reals, and
    labels `label` for reals, 0 for fakes."""
    p, q = (
        torch.rand(9, generator=stream()) + 0.1,
        torch.rand(9, generator=stream()) + 0.1,
    )
    for share, label in [(0.5, 1.0), (0.25, 1.0), (0.5, 0.9), (0.7, 0.8)]:
        got = tensor(answer(p, q, share, label), (9,))
        unchanged(answer)
        a, b = share * p, (1 - share) * q
        wrong = {
            "swapped": label * b / (a + b),
            "ratio": label * a / b,
            "share_ignored": label * p / (p + q),
            "share_on_the_wrong_side": label
            * (1 - share)
            * p
            / ((1 - share) * p + share * q),
            "label_ignored": a / (a + b),
            "label_as_weight": label * a / (label * a + b),
            "both_ignored": p / (p + q),
            "two_sided_smoothing": (label * a + (1 - label) * b) / (a + b),
        }
        if share == 0.5:
            del wrong["share_ignored"], wrong["share_on_the_wrong_side"]
        expect(got, label * a / (a + b), wrong)


_BEST = {
    "swapped": Hint(
        "Your D is high where fakes are.",
        "The numerator holds the fakes' density.",
        "D is the probability of *real*: what stands in the numerator?",
    ),
    "ratio": Hint(
        "Your D exceeds 1.",
        "You return the odds p : q, not the probability.",
        "Odds o belong to the probability o / (1 + o).",
    ),
    "share_ignored": Hint(
        "Your D is right for equal shares only.",
        "With fewer reals in a batch, a sample is a priori more likely a fake.",
        "Write the bracket again: share · p · log y + (1 − share) · q · log(1 − y).",
    ),
    "share_on_the_wrong_side": Hint(
        "With few reals your D says *real* more often.",
        "The share of reals multiplies q in your formula.",
        "`share` goes with p, `1 − share` with q.",
    ),
    "label_ignored": Hint(
        "Where there are no fakes your D goes to 1. With labels 0.9 it must not.",
        "You left the label out.",
        "Reals with label t add t · p · log y + (1 − t) · p · log(1 − y).",
    ),
    "label_as_weight": Hint(
        "Where there are no fakes your D goes to 1. With labels 0.9 it must not.",
        "You weighted reals with the label. They also get a part of log(1 − y).",
        "log y is multiplied by t · p, and log(1 − y) by q + (1 − t) · p.",
    ),
    "both_ignored": Hint(
        "Your D is the one of equal shares and labels 0 and 1.",
        "It uses neither `share` nor `label`.",
        "Write down the bracket again, with the new weights, and find its summit.",
    ),
    "two_sided_smoothing": Hint(
        "Where there are no reals your D does not go to 0.",
        "You smoothed the fakes' labels too; here fakes keep the label 0.",
        "Only the reals are split: t · p goes with log y, (1 − t) · p with log(1 − y).",
    ),
}

# ------------------------------------------------------------------ 01.jsd


def jsd(answer) -> None:
    """answer(real_logits, fake_logits): the lower bound on the JSD in nats that a D
    with these logits on fresh samples proves."""
    real, fake = normal(9) + 2, normal(9) - 2
    got = tensor(answer(real, fake), ())
    unchanged(answer)
    loss = softplus(-real).mean() + softplus(fake).mean()
    wrong = {
        "not_halved": math.log(4) - loss,
        "sign": (loss - math.log(4)) / 2,
        "is_the_loss": loss,
        "is_v": -loss,
        "log_two": (math.log(2) - loss) / 2,
        "in_bits": (math.log(4) - loss) / 2 / math.log(2),
        "plus": (math.log(4) + loss) / 2,
        "mean_over_both": (math.log(4) - loss / 2) / 2,
    }
    expect(got, (math.log(4) - loss) / 2, wrong)
    got = tensor(answer(torch.zeros(4), torch.zeros(4)), ())
    if abs(got.item()) > 1e-5:
        raise Mistake(
            "other_value", "A D that answers 1/2 everywhere proves nothing: 0."
        )
    got = tensor(answer(normal(9) - 2, normal(9) + 2), ())  # a D that is mostly wrong
    if got.item() > 1e-5:
        raise Mistake("sign_lost")


_JSD = {
    "not_halved": Hint(
        "For laws that D tells apart perfectly you get log 4, above the most, log 2.",
        "V* = −log 4 + 2 · JSD: the 2 is missing.",
        "Divide by 2.",
    ),
    "sign": Hint(
        "Your bound is negative for a good D.",
        "D's loss is −V, and V* = −log 4 + 2 · JSD.",
        "Solve −loss ≤ −log 4 + 2 · JSD for the JSD.",
    ),
    "is_the_loss": Hint(
        "Your number falls as D gets better; a bound on the JSD should rise.",
        "This is D's loss.",
        "V = −loss is at most V* = −log 4 + 2 · JSD. Solve for the JSD.",
    ),
    "is_v": Hint(
        "Your number is negative; a JSD is not.",
        "This is V itself.",
        "V is at most −log 4 + 2 · JSD. Solve for the JSD.",
    ),
    "log_two": Hint(
        "A D that answers 1/2 everywhere gives you a negative number, not 0.",
        "At D = 1/2 the two terms together are log 4, not log 2.",
        "Start from V* = −log 4 + 2 · JSD.",
    ),
    "in_bits": Hint(
        "Your bound goes up to 1, not to log 2.",
        "You divided by log 2: these are bits.",
        "Stay with natural logarithms; the answer is asked for in nats.",
    ),
    "plus": Hint(
        "Your bound is never below log 2, even for equal laws.",
        "A sign went astray: the loss is subtracted.",
        "Solve −loss ≤ −log 4 + 2 · JSD for the JSD.",
    ),
    "mean_over_both": Hint(
        "A D that answers 1/2 everywhere does not give you 0.",
        "You averaged over real and fake together. The loss adds two means.",
        "At logits of 0 the loss must be log 4.",
    ),
    "sign_lost": Hint(
        "In your version a D that is wrong nearly everywhere proves a large distance.",
        "abs turns a negative bound into a positive one.",
        "Leave it negative, or say 0: it proves nothing.",
    ),
}

# ------------------------------------------------------------------ 01.generator_slopes

_S = -10.0
_SIGMA = 1 / (1 + math.exp(-_S))
_SLOPES = {
    "minimax": -_SIGMA,
    "nonsaturating": _SIGMA - 1,
    "hinge": -1.0,
    "wasserstein": -1.0,
}


def generator_slopes(answer) -> None:
    """answer: {"minimax", "nonsaturating", "hinge", "wasserstein"} to d loss / d s at
    the logit s = −10 of a fake."""
    got = answer.value()
    if not isinstance(got, dict) or set(got) != set(_SLOPES):
        raise Mistake("four_names")
    got = {name: tensor(number, ()).item() for name, number in got.items()}

    def near(name: str, number: float) -> bool:
        return math.isclose(got[name], number, rel_tol=0.02)

    if all(near(name, number) for name, number in _SLOPES.items()):
        return
    if all(near(name, -number) for name, number in _SLOPES.items()):
        raise Mistake("sign")
    if near("minimax", _SLOPES["nonsaturating"]) and near(
        "nonsaturating", _SLOPES["minimax"]
    ):
        raise Mistake("exchanged")
    if abs(got["hinge"]) < 1e-3:
        raise Mistake("hinge_of_d")
    if all(near(name, _SLOPES[name]) for name in ("minimax", "nonsaturating")):
        raise Mistake("linear_losses")
    if abs(got["nonsaturating"]) > 1000:
        raise Mistake("slope_in_d")
    if near("minimax", math.log(1 - _SIGMA)) or near("nonsaturating", -_S):
        raise Mistake("loss_not_slope")
    if not near("minimax", _SLOPES["minimax"]) and abs(got["minimax"]) < 1e-12:
        raise Mistake("exactly_zero")
    if near("minimax", _SIGMA):
        raise Mistake("sign")
    raise Mistake("other_value")


_SLOPE_HINTS = {
    "four_names": Hint(
        "A dictionary with exactly four names is asked for.",
        'They are "minimax", "nonsaturating", "hinge" and "wasserstein".',
        "Give each of the four a number, the slope at s = −10.",
    ),
    "sign": Hint(
        "Right in size, but the sign would drive the logit down.",
        "The generator minimises its loss, and wants its logits to rise.",
        "A loss that falls as s rises has a negative slope.",
    ),
    "exchanged": Hint(
        "You have the two logarithmic losses the wrong way round.",
        "At s = −10 the minimax loss log(1 − σ(s)) is flat: its slope is −σ(s).",
        "Which of the two gave the generator no push while D was sure?",
    ),
    "hinge_of_d": Hint(
        "For hinge you found no slope.",
        "D's hinge is flat beyond the margin; the generator's hinge loss is simply −s.",
        "Differentiate −s.",
    ),
    "slope_in_d": Hint(
        "One of your slopes is enormous.",
        "You differentiate by the probability D. Asked for is the slope in the logit.",
        "Chain rule: times dD/ds = D (1 − D).",
    ),
    "loss_not_slope": Hint(
        "These are values of the losses.",
        "Asked for is how fast each changes with the logit.",
        "Differentiate: the derivative of softplus is the sigmoid.",
    ),
    "exactly_zero": Hint(
        "The minimax slope is small, not 0.",
        "It is −σ(−10), about −e^−10.",
        "Give it as a number, e.g. -4.5e-5, or compute it with math.exp.",
    ),
    "linear_losses": Hint(
        "Hinge and Wasserstein do not come out right.",
        "Both generators minimise −s, the negative logit.",
        "The slope of −s does not depend on s.",
    ),
}

# ------------------------------------------------------------------ 01.wasserstein


def _w1(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Area between the two empirical distribution functions."""
    widths = torch.cat([a, b]).sort().values.diff()
    return (_gaps(a, b)[:-1] * widths).sum()


def _gaps(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """|F_a − F_b| at each of the values of both samples, in order."""
    points = torch.cat([a, b]).sort().values[:, None]
    return ((a <= points).float().mean(1) - (b <= points).float().mean(1)).abs()


def wasserstein(answer) -> None:
    """answer(a, b): W₁ between samples a (N,) and b (M,) on the line, any N and M."""
    for n, m in [(6, 6), (4, 7), (9, 3)]:
        # b reaches farther on both sides: else W₁ may be the difference of means.
        a, b = normal(n), torch.cat([normal(m - 2) + 1, torch.tensor([7.0, -6.0])])
        got = tensor(answer(a, b), ())
        unchanged(answer)
        k = min(n, m)
        d = a.sort().values[:k] - b.sort().values[:k]
        wrong = {
            "difference_of_means": (a.mean() - b.mean()).abs(),
            "not_sorted": (a[:k] - b[:k]).abs().mean(),
            "squared": d.square().mean(),
            "root_of_squares": d.square().mean().sqrt(),
            "sum": d.abs().sum(),
            "largest_gap": _gaps(a, b).max(),
            "without_widths": _gaps(a, b).mean(),
            "all_pairs": (a[:, None] - b[None]).abs().mean(),
        }
        if n != m:
            wrong["cut_to_the_shorter"] = d.abs().mean()
        expect(got, _w1(a, b), wrong)


_W1 = {
    "difference_of_means": Hint(
        "Two samples with equal means and different spread get 0 from you.",
        "The difference of means ignores everything but the centre.",
        "W₁ matches points: the k-th smallest goes to the k-th smallest.",
    ),
    "not_sorted": Hint(
        "Your number changes when a sample is shuffled.",
        "Points are matched in the order in which they were drawn.",
        "On the line the cheapest plan keeps the order: sort both first.",
    ),
    "squared": Hint(
        "Your number has the unit of a length squared.",
        "This is W₂ squared: distances are squared before the mean.",
        "W₁ averages the distances themselves.",
    ),
    "root_of_squares": Hint(
        "Your number is too large.",
        "This is W₂: the root of the mean of squares.",
        "W₁ averages the distances themselves.",
    ),
    "sum": Hint(
        "Your number grows with the number of points.",
        "Each point carries probability 1/N, not 1.",
        "Take the mean over the matched pairs.",
    ),
    "largest_gap": Hint(
        "Your number is never above 1, however far apart the samples are.",
        "This is the largest gap between the distribution functions, a KS statistic.",
        "W₁ is the *area* between them.",
    ),
    "without_widths": Hint(
        "Your number does not change when all values are doubled. W₁ must double.",
        "You average the gap over points; an area also needs widths.",
        "Multiply each gap by the distance to the next point, then add.",
    ),
    "all_pairs": Hint(
        "A sample has a distance from itself in your measure.",
        "You average over all pairs; that is the plan that pays no attention.",
        "Match each point once, as cheaply as possible: in order.",
    ),
    "cut_to_the_shorter": Hint(
        "For samples of different sizes your number ignores the largest points.",
        "You compare the first min(N, M) sorted values only.",
        "Both distribution functions are step functions: the area between them is W₁.",
    ),
}

EXERCISES = [
    Exercise("01.pushforward", pushforward, COMMON | _PUSHFORWARD),
    Exercise("01.value", value, COMMON | _VALUE),
    Exercise("01.best_discriminator", best_discriminator, COMMON | _BEST),
    Exercise("01.jsd", jsd, COMMON | _JSD),
    Exercise("01.generator_slopes", generator_slopes, COMMON | _SLOPE_HINTS),
    Exercise("01.wasserstein", wasserstein, COMMON | _W1),
]
