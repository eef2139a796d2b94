"""Checks of notebook 10: unpaired translation."""

import torch
from torch import Tensor, nn

from gancourse.checks.compare import COMMON, expect, tensor, unchanged
from gancourse.checks.probes import normal, same_slopes, seeded, uniform
from gancourse.checks.verdict import Exercise, Hint, Mistake

# --------------------------------------------------------------- 10.cycle_loss


def _translators() -> tuple[nn.Module, nn.Module]:
    """G and F, far from each other's inverses."""
    return tuple(
        seeded(lambda: nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Tanh()))
        for _ in "GF"
    )


def _l1(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs().mean()


def _cycle(G, F, a: Tensor, b: Tensor) -> Tensor:
    return _l1(F(G(a)), a) + _l1(G(F(b)), b)


def _identity(G, F, a: Tensor, b: Tensor) -> Tensor:
    return _l1(G(b), b) + _l1(F(a), a)


def _distances_gone_wrong(pairs: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Mistakes that both losses invite, from their two pairs (picture, target)."""
    first, second = (_l1(x, y) for x, y in pairs)
    differences = [x - y for x, y in pairs]
    return {
        "only_first": first,
        "only_second": second,
        "halved": (first + second) / 2,
        "squared": sum(d.square().mean() for d in differences),
        "sum": sum(d.abs().sum() for d in differences),
        "sum_per_picture": sum(d.abs().flatten(1).sum(1).mean() for d in differences),
        "not_absolute": sum(d.mean() for d in differences),
        "difference_of_means": sum(d.mean().abs() for d in differences),
        "euclidean": sum(d.norm() for d in differences),
        "weighted": [10 * (first + second), 5 * (first + second)],
    }


def _clear_case() -> list:
    """Translators and pictures for which the order of the two shows in the value."""
    while True:
        G, F = _translators()
        a, b = uniform(3, 3, 6, 7, low=-1), uniform(3, 3, 6, 7, low=-0.5)
        right, turned = _cycle(G, F, a, b), _cycle(F, G, a, b)
        if (right - turned).abs() > 1e-2 * right:
            return [G, F, a, b]


def cycle_loss(answer) -> None:
    """answer(G, F, a, b): |F(G(a)) − a| + |G(F(b)) − b|, means over pixels."""
    for _ in range(2):
        G, F, a, b = arguments = _clear_case()
        got = tensor(answer(*arguments), ())
        unchanged(answer)
        wrong = _distances_gone_wrong([(F(G(a)), a), (G(F(b)), b)]) | {
            "wrong_order": _l1(G(F(a)), a) + _l1(F(G(b)), b),
            "one_way": _l1(G(a), a) + _l1(F(b), b),
            "compared_with_pairs": _l1(G(a), b) + _l1(F(b), a),
            "other_picture": _l1(F(G(a)), b) + _l1(G(F(b)), a),
            "other_translation": _l1(F(G(a)), F(b)) + _l1(G(F(b)), G(a)),
            "identity": _identity(*arguments),
            "twice_the_same": _l1(G(G(a)), a) + _l1(F(F(b)), b),
        }
        expect(got, _cycle(*arguments), wrong, rtol=2e-5)
        same_slopes(answer, _cycle, arguments, nets=(0, 1), cut="way_there_detached")


_SHARED = {
    "halved": Hint(
        "Your number is half of the loss.",
        "The two directions are averaged; the formula adds them.",
        "Two means, added.",
    ),
    "squared": Hint(
        "Your loss hardly sees small differences.",
        "You square them: that is L2. The formula has |·|.",
        ".abs().mean() instead of a square.",
    ),
    "sum": Hint(
        "Your loss grows with the size of the pictures and with the batch.",
        "You add up all pixels; a weight of 10 is meant for means.",
        ".abs().mean().",
    ),
    "sum_per_picture": Hint(
        "Your loss grows with the size of the pictures.",
        "You add up the pixels of each picture and average over the batch only.",
        ".abs().mean() over everything.",
    ),
    "not_absolute": Hint(
        "Errors of different sign cancel in your loss, and it can be negative.",
        "The absolute value is missing.",
        "Take .abs() of the difference before the mean.",
    ),
    "difference_of_means": Hint(
        "A picture that is right on average only costs nothing.",
        "You take the absolute value after the mean.",
        "First .abs(), pixel by pixel, then the mean.",
    ),
    "euclidean": Hint(
        "Your number is a length, not a mean difference.",
        ".norm() takes the root of the sum of squares.",
        ".abs().mean().",
    ),
    "weighted": Hint(
        "Your number is five or ten times too large.",
        "The weight belongs to the whole objective, not into this term.",
        "Return the term itself; whoever adds terms weighs them.",
    ),
}
_CYCLE = _SHARED | {
    "only_first": Hint(
        "Your loss does not care what becomes of pictures of B.",
        "Only a → G → F is there.",
        "The way b → F → G has to lead home, too: add |G(F(b)) − b|.",
    ),
    "only_second": Hint(
        "Your loss does not care what becomes of pictures of A.",
        "Only b → F → G is there.",
        "The way a → G → F has to lead home, too: add |F(G(a)) − a|.",
    ),
    "wrong_order": Hint(
        "You give G pictures that it was never made for.",
        "F(a) makes no sense: F takes pictures of B.",
        "a goes through G first, then F; b through F first, then G.",
    ),
    "one_way": Hint(
        "Your loss is best for translators that change nothing.",
        "G(a) is compared with a: that is half of the way.",
        "Go on to F(G(a)), and compare *that* with a.",
    ),
    "compared_with_pairs": Hint(
        "You compare a translation with a random picture of the other set.",
        "a and b of a batch have nothing to do with each other: there are no pairs.",
        "Translate there and back, and compare with where you started.",
    ),
    "other_picture": Hint(
        "You come back, and compare with a picture of the other set.",
        "F(G(a)) is a picture of A again.",
        "Compare F(G(a)) with a, and G(F(b)) with b.",
    ),
    "other_translation": Hint(
        "You compare two made pictures with each other.",
        "F(G(a)) should be a itself; F(b) is another picture altogether.",
        "Compare F(G(a)) with a, and G(F(b)) with b.",
    ),
    "identity": Hint(
        "Your loss does not go round.",
        "|G(b) − b| is the identity term.",
        "The cycle applies both translators one after the other.",
    ),
    "twice_the_same": Hint(
        "You apply the same translator twice.",
        "G leads from A to B; the way back is F's.",
        "F(G(a)) and G(F(b)).",
    ),
    "way_there_detached": Hint(
        "The value is right, but only the way back learns from it.",
        "The translation is detached before it is translated back.",
        "No detach, no no_grad: the gradient passes through both translators.",
    ),
}

# --------------------------------------------------------------- 10.identity_loss


def identity_loss(answer) -> None:
    """answer(G, F, a, b): |G(b) − b| + |F(a) − a|, means over pixels."""
    for _ in range(2):
        G, F = _translators()
        a, b = uniform(3, 3, 6, 7, low=-1), uniform(3, 3, 6, 7, low=-0.5)
        arguments = [G, F, a, b]
        got = tensor(answer(*arguments), ())
        unchanged(answer)
        wrong = _distances_gone_wrong([(G(b), b), (F(a), a)]) | {
            "own_inputs": _l1(G(a), a) + _l1(F(b), b),
            "g_twice": _l1(G(b), b) + _l1(G(a), a),
            "f_twice": _l1(F(b), b) + _l1(F(a), a),
            "compared_across": _l1(G(b), a) + _l1(F(a), b),
            "pairs": _l1(G(a), b) + _l1(F(b), a),
            "cycle": _cycle(*arguments),
            "each_other": _l1(G(b), F(a)),
        }
        expect(got, _identity(*arguments), wrong, rtol=2e-5)
        same_slopes(answer, _identity, arguments, nets=(0, 1))


_IDENTITY = _SHARED | {
    "only_first": Hint(
        "Your loss does not depend on F.",
        "Only G is asked to leave its target set alone.",
        "F maps into A: add |F(a) − a|.",
    ),
    "only_second": Hint(
        "Your loss does not depend on G.",
        "Only F is asked to leave its target set alone.",
        "G maps into B: add |G(b) − b|.",
    ),
    "own_inputs": Hint(
        "Your loss forbids any translation.",
        "G(a) = a would mean that G never changes a picture of A.",
        "Leave alone what is already where it should be: G(b) = b, F(a) = a.",
    ),
    "g_twice": Hint(
        "Your loss does not depend on F, and keeps G from translating.",
        "Both terms use G.",
        "The second is F's: |F(a) − a|.",
    ),
    "f_twice": Hint(
        "Your loss does not depend on G, and keeps F from translating.",
        "Both terms use F.",
        "The first is G's: |G(b) − b|.",
    ),
    "compared_across": Hint(
        "You compare with a picture of the other set.",
        "a and b of a batch have nothing to do with each other.",
        "G(b) is compared with b itself.",
    ),
    "pairs": Hint(
        "You treat a and b as a pair.",
        "No term of CycleGAN compares a translation with a particular target picture.",
        "Give each translator a picture of its *target* set: G(b), F(a).",
    ),
    "cycle": Hint(
        "This goes there and back.",
        "|F(G(a)) − a| is the cycle.",
        "One translator, once: G(b) against b.",
    ),
    "each_other": Hint(
        "You compare the outputs of the two translators.",
        "They belong to different sets.",
        "Compare G(b) with b, and F(a) with a.",
    ),
}

# --------------------------------------------------------------- 10.least_squares


def least_squares(answer) -> None:
    """answer(real, fake): (d_loss, g_loss) of Mao et al., from patch maps of D."""
    for n in (2, 3):
        real, fake = normal(n, 1, 3, 4) + 0.5, normal(n + 1, 1, 3, 4) - 0.3
        got = tensor(answer(real, fake), (2,))
        unchanged(answer)
        d_loss = (real - 1).square().mean() / 2 + fake.square().mean() / 2
        g_loss = (fake - 1).square().mean() / 2
        p, q = real.sigmoid(), fake.sigmoid()
        wrong = {
            "exchanged": (g_loss, d_loss),
            "not_halved": (2 * d_loss, 2 * g_loss),
            "g_not_halved": (d_loss, 2 * g_loss),
            "d_not_halved": (2 * d_loss, g_loss),
            "labels_swapped": (
                real.square().mean() / 2 + (fake - 1).square().mean() / 2,
                fake.square().mean() / 2,
            ),
            "g_wants_zero": (d_loss, fake.square().mean() / 2),
            "zero_sum": (d_loss, -d_loss),
            "sigmoid_first": (
                (p - 1).square().mean() / 2 + q.square().mean() / 2,
                (q - 1).square().mean() / 2,
            ),
            "squared_after_mean": (
                (real.mean() - 1) ** 2 / 2 + fake.mean() ** 2 / 2,
                (fake.mean() - 1) ** 2 / 2,
            ),
            "only_reals": ((real - 1).square().mean() / 2, g_loss),
            "minus_one_for_fakes": (
                (real - 1).square().mean() / 2 + (fake + 1).square().mean() / 2,
                g_loss,
            ),
            "g_on_reals": (d_loss, (real - 1).square().mean() / 2),
            "absolute": (
                (real - 1).abs().mean() / 2 + fake.abs().mean() / 2,
                (fake - 1).abs().mean() / 2,
            ),
            "sum": (
                (real - 1).square().sum() / 2 + fake.square().sum() / 2,
                (fake - 1).square().sum() / 2,
            ),
            "one_mean_over_both": (
                torch.cat([real - 1, fake]).square().mean() / 2,
                g_loss,
            ),
        }
        stacked = {name: torch.stack(pair) for name, pair in wrong.items()}
        expect(got, torch.stack([d_loss, g_loss]), stacked, rtol=2e-5)


_LEAST_SQUARES = {
    "exchanged": Hint(
        "You return G's loss where D's is expected.",
        "The order is (d_loss, g_loss).",
        "Exchange them.",
    ),
    "not_halved": Hint(
        "Both of your numbers are twice too large.",
        "Each term of this formula has a factor 1/2.",
        "Halve every mean square.",
    ),
    "g_not_halved": Hint(
        "D's loss is right, G's is twice too large.",
        "The factor 1/2 stands in front of G's square, too.",
        "Halve it: otherwise G takes larger steps against D's.",
    ),
    "d_not_halved": Hint(
        "G's loss is right, D's is twice too large.",
        "D's two squares have a factor 1/2 each.",
        "Halve both means, then add.",
    ),
    "labels_swapped": Hint(
        "Your D learns to answer 1 for fakes and 0 for reals.",
        "The labels are exchanged.",
        "Reals want 1, fakes want 0, and G wants 1 for its fakes.",
    ),
    "g_wants_zero": Hint(
        "Your G is content when D recognises its pictures.",
        "0 is what *D* wants to answer for fakes.",
        "G wants 1 there: ((fake − 1)²).",
    ),
    "zero_sum": Hint(
        "Your G's loss falls without end as D gets worse on reals.",
        "−d_loss is the zero-sum game; here G has a target of its own.",
        "G minimises ((fake − 1)²) / 2.",
    ),
    "sigmoid_first": Hint(
        "Your losses never exceed 1.",
        "You squash the outputs first. Least squares works on them as they are.",
        "No sigmoid: (real − 1)², fake².",
    ),
    "squared_after_mean": Hint(
        "Patches that are too high and patches that are too low cancel.",
        "You square the difference of the means.",
        "First square, patch by patch, then take the mean.",
    ),
    "only_reals": Hint(
        "Your D never learns from fakes.",
        "Its second term is missing.",
        "Add (fake²).mean() / 2.",
    ),
    "minus_one_for_fakes": Hint(
        "Your D wants to answer −1 for fakes.",
        "That is another choice of labels, or a memory of the hinge loss.",
        "In this formula fakes want 0.",
    ),
    "g_on_reals": Hint(
        "Your G's loss does not depend on its pictures.",
        "It is computed from D's answers to reals.",
        "Use `fake`.",
    ),
    "absolute": Hint(
        "Your losses grow linearly.",
        "You take absolute values.",
        "Least *squares*: (real − 1)², fake².",
    ),
    "sum": Hint(
        "Your numbers grow with the number of patches.",
        "You add up.",
        "Take the mean over all patches and pictures.",
    ),
    "one_mean_over_both": Hint(
        "Your D's loss is about half as large, and depends on who is more numerous.",
        "You average over reals and fakes together.",
        "Two means, each halved, then added.",
    ),
}

# --------------------------------------------------------------- 10.pool

_SIZE, _ASKED = 10, 6000


def _play(Pool) -> list[int] | None:
    """Which picture the pool shows for each of many, by number; −1 for a strange one.

    Runs in the learner's process.
    """
    pool, shown = Pool(_SIZE), []
    for number in range(_ASKED):
        fake = torch.full((3, 2, 2), float(number))
        given = pool(fake)
        if given is None:
            return None
        given = torch.as_tensor(given).float()
        value = given.flatten()[0].item()
        whole = given.numel() == fake.numel() and bool((given == round(value)).all())
        shown.append(round(value) if whole else -1)
        if not whole:
            break
    return shown


def pool(answer) -> None:
    """answer: a class; Pool(size)(fake) shows the fake, or half of the time an older
    one, whose place it takes."""
    shown = answer.using(_play)
    if shown is None:
        raise Mistake("returns_nothing")
    if not isinstance(shown, list) or any(type(s) is not int for s in shown):
        raise Mistake("other_value", "It gives no pictures.")
    if any(s < 0 or s > i for i, s in enumerate(shown)):
        raise Mistake("strange_picture")
    early, late = shown[:_SIZE], list(enumerate(shown))[_SIZE:]
    if early != list(range(_SIZE)):
        raise Mistake("older_while_filling")
    old = [(i, s) for i, s in late if s != i]
    share = len(old) / len(late)
    if share < 0.01:
        raise Mistake("never_older")
    _memory(shown, old)
    if share > 0.97:
        raise Mistake("always_older")
    if abs(share - 0.5) > 0.035:  # more than five standard deviations
        raise Mistake("unfair_coin", f"It shows an older one {share:.0%} of the time.")
    ages = torch.tensor([float(i - s) for i, s in old])
    if ages.std() < 1.7 * _SIZE:  # 2 for random places, 1.4 or less in order
        raise Mistake("same_place")
    if _held(old) != _SIZE:
        raise Mistake("wrong_size")


def _held(old: list[tuple[int, int]]) -> int:
    """How many pictures lie in the pool: those that came and are still to be shown."""
    then = _ASKED // 2  # long enough before the end for each place to be drawn
    return sum(kept <= then < shown for shown, kept in old)


def _memory(shown: list[int], old: list[tuple[int, int]]) -> None:
    """What was given away must leave, what was kept must come back one day."""
    late = [s for _, s in old]
    if max(late) < _SIZE:
        raise Mistake("never_renewed")
    if len(set(late)) < len(late):
        raise Mistake("given_twice")
    fresh = {i for i, s in enumerate(shown) if i == s and i >= _SIZE}
    if twice := fresh & set(late):  # only soon after it should have been full?
        raise Mistake("wrong_size" if max(twice) < 3 * _SIZE else "shown_and_kept")
    never = set(range(_SIZE)) - set(late)
    if never and len(never) < _SIZE - 1:  # all but one: it is the same place each time
        raise Mistake("never_back")


_POOL = {
    "strange_picture": Hint(
        "It gives a picture that it was never given, or not one of the same shape.",
        "A pool shows pictures as they are, one for one.",
        "Return either `fake` itself or one of the stored pictures.",
    ),
    "older_while_filling": Hint(
        "While it fills, it does not show each fake that it is given.",
        "As long as there is room, a fake is stored *and* shown.",
        "if len(self.kept) < self.size: store it and return it.",
    ),
    "never_older": Hint(
        "It never shows an older picture.",
        "The critic forgets what it does not see: this pool has no effect.",
        "On heads, return the stored picture and put the new one in its place.",
    ),
    "always_older": Hint(
        "Once full, it never shows a new picture.",
        "The critic would always be behind the generator.",
        "Toss a coin: half of the time show the new one.",
    ),
    "unfair_coin": Hint(
        "It shows older pictures too often or too rarely.",
        "The coin is fair: half new, half old.",
        "random.random() < 0.5, once for each picture.",
    ),
    "never_renewed": Hint(
        "It shows only pictures of the very beginning.",
        "The new picture does not take the place of the one that is shown.",
        "Keep the old one aside, write the new one into its place, return the old one.",
    ),
    "given_twice": Hint(
        "It shows the same older picture several times.",
        "What is shown has to leave the pool.",
        "Put the new fake into the place of the one that you return.",
    ),
    "shown_and_kept": Hint(
        "It shows a new picture and shows it again later.",
        "On tails the new picture is returned, and must not be stored besides.",
        "Store it only when an older one leaves.",
    ),
    "never_back": Hint(
        "Some pictures of the beginning are never shown again: a place is never drawn.",
        "randrange(n) and torch.randint leave out n already, random.randint does not.",
        "random.randrange(len(self.kept)).",
    ),
    "wrong_size": Hint(
        "It does not hold as many pictures as its size says.",
        "With `size` pictures in it the pool is full: the next one meets the coin.",
        "while len(self.kept) < self.size, not <=.",
    ),
    "same_place": Hint(
        "The older pictures that it shows are all about equally old.",
        "It always takes the same place, or goes round in order.",
        "Draw a random place: the critic should see fakes of many ages.",
    ),
}

# --------------------------------------------------------------- 10.pool_ages

_AGES = {"older": 100.0, "all": 50.0, "share": 0.5 * 0.99**100}
_SLACK = {
    "older": 1.5,
    "all": 1.5,
    "share": 0.006,
}  # two digits, and where one begins to count
_WRONG_AGES = {
    "coin_forgotten": {"older": 50.0},
    "coin_counted_twice": {"older": 200.0},
    "middle_of_the_pool": {"older": 25.0},
    "chance_not_age": {"older": 0.01},
    "new_ones_forgotten": {"older": 100.0, "all": 100.0},
    "halved_twice": {"older": 100.0, "all": 25.0},
    "share_among_older": {"share": _AGES["share"] * 2},
    "mean_taken_for_median": {"share": 0.25},
    "all_older_ones": {"share": 0.5},
    "the_rest": {"share": 1 - _AGES["share"]},
}


def pool_ages(answer) -> None:
    """answer: {"older", "all", "share"} for a pool of 50, one fake a step."""
    got = answer.value()
    if isinstance(got, (list, tuple)) and len(got) == 3:
        got = dict(zip(_AGES, got, strict=True))
    if not isinstance(got, dict) or set(got) != set(_AGES):
        raise Mistake("three_names")
    got = {name: tensor(number, ()).item() for name, number in got.items()}
    if got["share"] > 1:  # per cent
        got["share"] /= 100

    def near(numbers: dict[str, float]) -> bool:
        return all(abs(got[k] - v) < min(_SLACK[k], v / 9) for k, v in numbers.items())

    if near(_AGES):
        return
    for name, numbers in _WRONG_AGES.items():
        if near(numbers):
            raise Mistake(name)
    wrong = [k for k, number in _AGES.items() if not near({k: number})]
    raise Mistake("other_value", f"Not right: {', '.join(wrong)}.")


_POOL_AGES = {
    "three_names": Hint(
        "A dictionary with exactly three names is asked for.",
        'They are "older", "all" and "share".',
        "Give each of the three a number.",
    ),
    "coin_forgotten": Hint(
        "A stored picture stays longer than you think.",
        "It leaves only when the coin says so *and* its own place is drawn.",
        "The chance per step is 1/2 · 1/50. How long does one wait for that?",
    ),
    "coin_counted_twice": Hint(
        "A stored picture does not stay that long.",
        "The coin comes up once in two steps, and then one of 50 places is drawn.",
        "1/2 · 1/50 = 1/100 per step.",
    ),
    "middle_of_the_pool": Hint(
        "The pool is no queue of the last 50 pictures.",
        "Nothing leaves by age: places are drawn at random, and only on heads.",
        "Each stored picture leaves with the same small chance at every step.",
    ),
    "chance_not_age": Hint(
        "This is the chance to leave at one step, not a number of steps.",
        "What happens with chance p at each step takes 1/p steps on average.",
        "1 / 0.01.",
    ),
    "new_ones_forgotten": Hint(
        "Your mean over all is that of the older ones.",
        "Half of what the critic sees is new, of age 0.",
        "Average over both halves.",
    ),
    "halved_twice": Hint(
        "Your mean over all is too small.",
        "Half of what is shown has age 0, and half has the mean age of the older ones.",
        "1/2 · 0 + 1/2 · (age of the older).",
    ),
    "share_among_older": Hint(
        "Your share is one among the older pictures.",
        "The share of *all* that the critic sees is asked for.",
        "Half of them are new and do not count: halve it.",
    ),
    "mean_taken_for_median": Hint(
        "Not half of the older pictures are older than their mean.",
        "Waiting times are skew: many short ones, a few very long ones.",
        "Not to leave for 100 steps has the chance (1 − 1/100) ** 100.",
    ),
    "all_older_ones": Hint(
        "Your share counts every older picture.",
        "Only those count that stayed for more than 100 steps.",
        "Not to leave for 100 steps has the chance (1 − 1/100) ** 100.",
    ),
    "the_rest": Hint(
        "Your share is that of the younger ones.",
        "Asked for are pictures older than 100 steps.",
        "Subtract it from 1.",
    ),
}

EXERCISES = [
    Exercise("10.cycle_loss", cycle_loss, COMMON | _CYCLE),
    Exercise("10.identity_loss", identity_loss, COMMON | _IDENTITY),
    Exercise("10.least_squares", least_squares, COMMON | _LEAST_SQUARES),
    Exercise("10.pool", pool, COMMON | _POOL),
    Exercise("10.pool_ages", pool_ages, COMMON | _POOL_AGES),
]
