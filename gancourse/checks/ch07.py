"""Checks of notebook 07: how the discriminator is told the label."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, one_hot, softplus

from gancourse.checks.compare import COMMON, expect, tensor, unchanged
from gancourse.checks.probes import normal, same_slopes, seeded, stream
from gancourse.checks.verdict import Exercise, Hint, Mistake

# --------------------------------------------------------------- 07.projection


def _projection(phi: Tensor, y: Tensor, v: nn.Module, psi: nn.Module) -> Tensor:
    return psi(phi).squeeze(1) + (v(y) * phi).sum(1)


def projection(answer) -> None:
    """answer(phi, y, v, psi): ψ(φ) + ⟨v_y, φ⟩ for features (N, F), labels (N,)."""
    for n in (6, 8):
        phi, y = normal(n, 5), torch.randint(7, (n,), generator=stream())
        y[:2] = torch.tensor([2, 5])  # at least two classes
        v = seeded(lambda: nn.Embedding(7, 5))
        psi = seeded(lambda: nn.Linear(5, 1))
        given = [phi, y, v, psi]
        found = tensor(answer(*given))
        unchanged(answer)
        if found.shape[-2:] == (n, n):
            raise Mistake("everyone_with_everyone", f"Its shape is {(n, n)}.")
        got = tensor(found, (n,))
        with torch.no_grad():
            expect(got, _projection(*given), _projections(*given), rtol=2e-5, atol=2e-6)
        same_slopes(answer, _projection, given, (0,), (2, 3), cut="part_detached")


def _projections(phi: Tensor, y: Tensor, v: nn.Module, psi: nn.Module) -> dict:
    """Logits gone wrong."""
    score, vy, scores = psi(phi).squeeze(1), v(y), phi @ v.weight.T
    inner, chosen = (vy * phi).sum(1), y[:, None]
    return {
        "label_ignored": score,
        "no_unconditional_part": inner,
        "mean_over_features": score + (vy * phi).mean(1),
        "one_class_for_all": score + phi @ vy[0],
        "all_classes": [score + scores.sum(1), score + scores.mean(1)],
        "other_rows_too": score + phi @ vy.sum(0),
        "label_as_number": [score + y * phi.sum(1), score * y],
        "probability": (score + inner).sigmoid(),
        "cosine": [
            score + cosine_similarity(vy, phi),
            score + inner / vy.norm(dim=1),
        ],
        "scaled": score + inner / math.sqrt(phi.shape[1]),
        "classifier": [
            score + scores.log_softmax(1).gather(1, chosen)[:, 0],
            score + scores.softmax(1).gather(1, chosen)[:, 0],
        ],
        "subtracted": score - inner,
        "multiplied": score * inner,
        "psi_of_the_class": psi(vy).squeeze(1) + inner,
        "class_added_to_features": psi(phi + vy).squeeze(1),
        "weighed_by_psi": psi(phi * vy).squeeze(1),
    }


_PROJECTION = {
    "label_ignored": Hint(
        "Your logits are the same whatever the label is.",
        "This is ψ alone: whether the picture is real, never whether it fits.",
        "Add the inner product of the features with the vector of the label.",
    ),
    "no_unconditional_part": Hint(
        "A picture without features gets logit 0 from you, of whatever class.",
        "Only the inner product is there; log q(x)/p(x) has nowhere to go.",
        "Add psi(phi).",
    ),
    "mean_over_features": Hint(
        "The label counts the less the more features there are.",
        "You average the products over the features.",
        "An inner product is a sum: (v(y) * phi).sum(1).",
    ),
    "one_class_for_all": Hint(
        "All pictures are judged by the label of the first.",
        "One class vector serves the whole batch.",
        "v(y) has a row for each picture; multiply row by row.",
    ),
    "all_classes": Hint(
        "Your logits do not depend on the label.",
        "You add up (or average) the inner products with *all* classes.",
        "Only one of them counts: the row of v that y names.",
    ),
    "other_rows_too": Hint(
        "A picture's logit depends on the labels of its neighbours in the batch.",
        "phi @ v(y).T has a column for each picture of the batch, and you add them up.",
        "Row by row: (v(y) * phi).sum(1).",
    ),
    "everyone_with_everyone": Hint(
        "You give N × N logits where N are asked for.",
        "(N, 1) and (N,) broadcast to (N, N); so does phi @ v(y).T. All rows meet all.",
        "psi(phi) has shape (N, 1): squeeze it. The product is (v(y) * phi).sum(1).",
    ),
    "label_as_number": Hint(
        "Class 8 counts twice as much as class 4.",
        "The label enters as a number, but it is a name.",
        "Use it to look up a vector: v(y).",
    ),
    "probability": Hint(
        "Your logits all lie between 0 and 1.",
        "There is a sigmoid at the end; the losses of this course have it inside.",
        "Return the sum itself.",
    ),
    "cosine": Hint(
        "In your version features twice as large count no more.",
        "You divide by a length: that is a cosine, not an inner product.",
        "The plain sum of products.",
    ),
    "scaled": Hint(
        "The label counts too little.",
        "You divide by √F, as notebook 14 (and attention) does. This formula does not.",
        "The plain sum of products.",
    ),
    "classifier": Hint(
        "A label's logit depends on the vectors of the *other* labels.",
        "You normalise over classes: that is the class head of AC-GAN.",
        "The normalisers went into ψ: no softmax here.",
    ),
    "subtracted": Hint(
        "Pictures that fit their label get lower logits from you.",
        "The inner product is subtracted.",
        "ψ(φ) + ⟨v_y, φ⟩.",
    ),
    "multiplied": Hint(
        "A bad picture of the wrong class becomes a good pair: minus times minus.",
        "You multiply the two parts. Logarithms of ratios are *added*.",
        "ψ(φ) + ⟨v_y, φ⟩.",
    ),
    "psi_of_the_class": Hint(
        "Without the label your D cannot say whether a picture is real.",
        "ψ is given the class vector instead of the features.",
        "psi(phi): that part does not know the label.",
    ),
    "class_added_to_features": Hint(
        "Your label shifts all logits of a class alike, whatever is seen.",
        "ψ is linear: ψ(φ + v_y) is ψ(φ) plus a bias of the class: concatenation.",
        "Multiply the class vector with the features, number by number, and add up.",
    ),
    "weighed_by_psi": Hint(
        "The products are weighed before they are added up.",
        "ψ was applied to v_y · φ, so its weights come in, and ψ(φ) is missing.",
        "Two parts: psi(phi), and a plain sum of products.",
    ),
    "part_detached": Hint(
        "The values are right, but somebody does not learn from them.",
        "Part of the sum is detached: the features, the class vectors or ψ.",
        "No detach, no .data, no no_grad: all three are trained through this logit.",
    ),
}

# --------------------------------------------------------------- 07.class_head


def class_head(answer) -> None:
    """answer(s_real, c_real, s_fake, c_fake, y): (d_loss, g_loss) of AC-GAN."""
    for n in (5, 9):
        s_real, s_fake = normal(n) + 0.7, normal(n) - 0.4
        c_real, c_fake = normal(n, 4, scale=2.0), normal(n, 4, scale=2.0)
        y = torch.randint(4, (n,), generator=stream())
        given = s_real, c_real, s_fake, c_fake, y
        got = tensor(answer(*given), (2,))
        unchanged(answer)
        d, g = _parts(*given)
        right = torch.stack([d + _ce(c_real, y) + _ce(c_fake, y), g + _ce(c_fake, y)])
        wrong = {
            name: torch.stack([torch.stack(pair) for pair in pairs])
            for name, pairs in _heads(*given).items()
        }
        expect(got, right, {k: list(v) for k, v in wrong.items()}, rtol=2e-5)


def _ce(c: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(c.double(), y)


def _parts(s_real, c_real, s_fake, c_fake, y) -> tuple[Tensor, Tensor]:
    """The players' losses without classes."""
    s_real, s_fake = s_real.double(), s_fake.double()
    d = softplus(-s_real).mean() + softplus(s_fake).mean()
    return d, softplus(-s_fake).mean()


def _heads(s_real, c_real, s_fake, c_fake, y) -> dict[str, list[tuple]]:
    """Pairs of losses gone wrong, one or more for each mistake."""
    d, g = _parts(s_real, c_real, s_fake, c_fake, y)
    real, fake = _ce(c_real, y), _ce(c_fake, y)
    D, G = d + real + fake, g + fake
    n, p, q = len(y), c_real.double().softmax(1), c_fake.double().softmax(1)
    target = one_hot(y, c_real.shape[1]).double()
    bce = nn.functional.binary_cross_entropy_with_logits
    b_real, b_fake = (bce(c.double(), target) for c in (c_real, c_fake))
    p_real, p_fake = (-(x * target).sum(1).mean() for x in (p, q))
    swapped = softplus(s_real.double()).mean() + softplus(-s_fake.double()).mean()
    s, t = s_real.double().sigmoid(), s_fake.double().sigmoid()
    twice = softplus(-s).mean() + softplus(t).mean()
    return {
        "d_reads_reals_only": [(d + real, G)],
        "d_reads_fakes_only": [(d + fake, G)],
        "d_has_no_classes": [(d, G)],
        "g_has_no_classes": [(D, g), (d + real, g)],
        "no_classes": [(d, g)],
        "g_paid_for_reals": [(D, g + real)],
        "g_pays_for_both": [(D, g + real + fake)],
        "g_hides_the_class": [(D, g - fake)],
        "class_game_zero_sum": [(d + real - fake, G), (d + real - fake, g - fake)],
        "likelihood_minimised": [(d - real - fake, g - fake)],
        "saturating": [(D, -softplus(s_fake.double()).mean() + fake), (D, fake - d)],
        "softmax_twice": [(d + _ce(p, y) + _ce(q, y), g + _ce(q, y))],
        "log_forgotten": [(d + p_real + p_fake, g + p_fake)],
        "sigmoid_for_classes": [
            (d + b_real + b_fake, g + b_fake),
            (d + 4 * (b_real + b_fake), g + 4 * b_fake),
        ],
        "labels_swapped": [
            (swapped + real + fake, softplus(s_fake.double()).mean() + fake),
            (swapped + real + fake, G),
        ],
        "g_wants_a_no": [(D, softplus(s_fake.double()).mean() + fake)],
        "sigmoid_twice": [(twice + real + fake, softplus(-t).mean() + fake)],
        "game_averaged": [(d / 2 + real + fake, G)],
        "classes_averaged": [(d + (real + fake) / 2, G)],
        "only_classes": [(real + fake, fake)],
        "sum": [(n * D, n * G), (d + n * (real + fake), g + n * fake)],
        "exchanged": [(G, D)],
    }


_CLASS_HEAD = {
    "d_reads_reals_only": Hint(
        "Your D does not learn classes from fakes.",
        "That is the notebook's own change (`on_fakes=0`), for short runs.",
        "The paper's L_C has both terms: add the cross-entropy of the fakes.",
    ),
    "d_reads_fakes_only": Hint(
        "Your D never learns what real pictures of a class look like.",
        "Reading fakes only is InfoGAN, where real pictures have no code.",
        "Add the cross-entropy of the real pictures.",
    ),
    "d_has_no_classes": Hint(
        "Nobody teaches your second head.",
        "D's loss has no class term; G is paid for what an untrained head says.",
        "Add both cross-entropies to D's loss.",
    ),
    "g_has_no_classes": Hint(
        "Your G may draw what it likes.",
        "Its loss has no class term: nothing pays it for drawing y.",
        "Add the cross-entropy of the fakes to g_loss.",
    ),
    "no_classes": Hint(
        "Your losses are those of notebook 04.",
        "The class logits are never used.",
        "Add −log P(y | picture): for D on real and fake, for G on fake pictures.",
    ),
    "g_paid_for_reals": Hint(
        "Your G is charged for how D reads *real* pictures.",
        "It can do nothing about them; that term has no gradient for G.",
        "Use the class logits of the fakes.",
    ),
    "g_pays_for_both": Hint(
        "Your G is charged for how D reads real pictures, too.",
        "L_C as a whole was added; half of it is out of G's reach.",
        "Only the fakes' cross-entropy belongs into g_loss.",
    ),
    "g_hides_the_class": Hint(
        "Your G is paid for drawing anything but y.",
        "The class term has a minus, as if the players were opponents here.",
        "About classes both want the same: add it.",
    ),
    "class_game_zero_sum": Hint(
        "Your D is paid for reading fakes *wrongly*.",
        "The fakes' class term has a minus, as if classes were a game.",
        "Both players want both kinds read rightly: all class terms are added.",
    ),
    "likelihood_minimised": Hint(
        "Your losses fall when classes are read wrongly.",
        "log P(y | x) is to be made large, and a loss is made small.",
        "Minus the log-probability, which is what a cross-entropy is.",
    ),
    "saturating": Hint(
        "Your G learns least where D is surest.",
        "−softplus(s_fake) is log(1 − D): the saturating loss of notebook 01.",
        "softplus(−s_fake).mean().",
    ),
    "softmax_twice": Hint(
        "Your class terms hardly react to the logits.",
        "A softmax is applied, and then a cross-entropy that has one inside.",
        "cross_entropy takes the logits as they are.",
    ),
    "log_forgotten": Hint(
        "Your class terms are never below −1, and flat where a class is read wrongly.",
        "−P(y) instead of −log P(y): nll_loss expects log-probabilities.",
        "cross_entropy on logits, or nll_loss on log_softmax.",
    ),
    "sigmoid_for_classes": Hint(
        "Your classes do not exclude one another.",
        "Each logit gets a sigmoid of its own, as if a digit could be a 3 and a 5.",
        "Exactly one class is right: a softmax over classes, in cross_entropy.",
    ),
    "labels_swapped": Hint(
        "Your D learns to say yes to fakes.",
        "Real and fake are exchanged in the first head's loss.",
        "softplus(−s_real) + softplus(s_fake).",
    ),
    "g_wants_a_no": Hint(
        "Your G is content when D calls its pictures fakes.",
        "softplus(s_fake) is D's wish.",
        "softplus(−s_fake).",
    ),
    "sigmoid_twice": Hint(
        "Your first head's loss hardly reacts to its logits.",
        "A sigmoid, and then a loss that expects logits.",
        "softplus(∓s), or binary_cross_entropy_with_logits, on the logits.",
    ),
    "game_averaged": Hint(
        "In your version real or fake weighs half, against the classes.",
        "You average D's two terms of the first head; the losses of 04 add them.",
        "softplus(−s_real).mean() + softplus(s_fake).mean().",
    ),
    "classes_averaged": Hint(
        "D's class terms weigh half.",
        "You average over real and fake; L_C is the sum of two means.",
        "Two means, added.",
    ),
    "only_classes": Hint(
        "Nobody asks whether a picture is real.",
        "The first head's logits are not used.",
        "Add the losses of notebook 04.",
    ),
    "sum": Hint(
        "Your losses grow with the batch.",
        "You add up pictures.",
        "A mean over the batch for every term.",
    ),
    "exchanged": Hint(
        "You return G's loss where D's is expected.",
        "The order is (d_loss, g_loss).",
        "Exchange them.",
    ),
}

EXERCISES = [
    Exercise("07.projection", projection, COMMON | _PROJECTION),
    Exercise("07.class_head", class_head, COMMON | _CLASS_HEAD),
]
