"""Checks of notebook 14: reading a sentence, and a critic that checks it."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gancourse.checks.compare import COMMON, equal, expect, tensor, unchanged
from gancourse.checks.probes import normal, same_slopes, seeded, uniform
from gancourse.checks.verdict import Exercise, Hint, Mistake

# --------------------------------------------------------------- 14.gru

_H = 4  # of the state and of the input alike: exchanged matrices do not raise


def gru(answer) -> None:
    """answer(x, h, W, U, b, c): the next state; W, U (3H, H), b, c (3H,)."""
    for scale in (0.7, 1.2):
        x, h = normal(_H), uniform(_H, low=-1)
        W, U = normal(3 * _H, _H, scale=scale), normal(3 * _H, _H, scale=scale)
        given = x, h, W, U, normal(3 * _H), normal(3 * _H)
        got = tensor(answer(*given), (_H,))
        unchanged(answer)
        exact = [t.double() for t in given]
        wrong = {
            name: [_step(*exact, **how) for how in ways] for name, ways in _GRUS.items()
        }
        expect(got, _step(*exact), wrong)


def _step(x, h, W, U, b, c, order=(0, 1, 2), parts=None, gate=None, **how) -> Tensor:
    """One step of a GRU, with its mistakes where `how` names them."""
    parts, gate = parts or _thirds, gate or torch.sigmoid
    if how.get("exchanged"):
        W, U = U, W
    b, c = (
        v * (name not in how.get("without", "")) for name, v in (("b", b), ("c", c))
    )
    given, kept = (parts(W @ x + b)[i] for i in order), (parts(U @ h)[i] for i in order)
    (xr, xz, xn), (hr, hz, hn) = given, kept
    cr, cz, cn = (parts(c)[i] for i in order)
    r, z = gate(xr + hr + cr), gate(xz + hz + cz)
    if "fixed_r" in how:
        r = torch.full_like(r, how["fixed_r"])
    candidates = {
        "outside": xn + r * (hn + cn),
        "inside": xn + parts(U @ (r * h))[order[2]] + cn,
        "bias_apart": xn + r * hn + cn,
        "everything": r * (xn + hn + cn),
        "input": r * xn + hn + cn,
    }
    squash = how.get("squash", torch.tanh)
    n = squash(candidates[how.get("reset", "outside")])
    blends = {
        "right": (1 - z) * n + z * h,
        "exchanged": z * n + (1 - z) * h,
        "new": n,
        "scaled": z * n,
        "rest": (1 - z) * n,
        "kept": (1 - z) * n + h,
        "added": n + z * h,
        "reset_old": (1 - z) * n + z * r * h,
    }
    return blends[how.get("blend", "right")]


def _thirds(v: Tensor) -> tuple[Tensor, ...]:
    return v.chunk(3)


def _every_third(v: Tensor) -> tuple[Tensor, ...]:
    return tuple(v[i::3] for i in range(3))


_GRUS = {
    "gates_exchanged": [dict(order=(1, 0, 2))],
    "order": [dict(order=o) for o in [(0, 2, 1), (2, 1, 0), (1, 2, 0), (2, 0, 1)]],
    "interleaved": [dict(parts=_every_third)],
    "blend_exchanged": [dict(blend="exchanged")],
    "no_blend": [dict(blend="new")],
    "old_state_lost": [dict(blend="scaled"), dict(blend="rest")],
    "not_a_mixture": [dict(blend="kept"), dict(blend="added")],
    "reset_inside": [dict(reset="inside")],
    "bias_not_reset": [dict(reset="bias_apart")],
    "no_reset": [dict(fixed_r=1.0)],
    "state_never_consulted": [dict(fixed_r=0.0)],
    "all_reset": [dict(reset="everything")],
    "input_reset": [dict(reset="input")],
    "old_state_reset": [dict(blend="reset_old")],
    "bias_forgotten": [dict(without=names) for names in ("b", "c", "bc")],
    "tanh_gates": [dict(gate=torch.tanh)],
    "no_squashing": [
        dict(squash=lambda v: v),
        dict(squash=torch.sigmoid),
        dict(squash=torch.relu),
    ],
    "matrices_exchanged": [dict(exchanged=True)],
}

_GRU = {
    "gates_exchanged": Hint(
        "Your state forgets where it should reset, and the other way round.",
        "PyTorch stacks r first, then z; you read z first (as Keras stores them).",
        "r, z, n are the first, second and last third, in this order.",
    ),
    "order": Hint(
        "Your gates and your candidate use each other's matrices.",
        "The three thirds are read in another order.",
        "r, z, n are the first, second and last third, in this order.",
    ),
    "interleaved": Hint(
        "Your gates take every third row.",
        "The matrices stand one *below* the other, they are not interleaved.",
        "chunk(3), or rows 0…H−1, H…2H−1, 2H…3H−1.",
    ),
    "blend_exchanged": Hint(
        "Where z is 1 your state is thrown away.",
        "z multiplies the candidate: another convention (Chung et al. 2014).",
        "Here z says how much to *keep*: (1 − z) n + z h.",
    ),
    "no_blend": Hint(
        "Your state has no memory but through the candidate.",
        "You return n; z is never used.",
        "(1 − z) n + z h.",
    ),
    "old_state_lost": Hint(
        "Your state only shrinks.",
        "The candidate has a weight, and the old state is not added.",
        "(1 − z) n + z h.",
    ),
    "not_a_mixture": Hint(
        "Your state can leave [−1, 1].",
        "The weights of n and h do not add up to 1.",
        "(1 − z) n + z h: what is not kept is replaced.",
    ),
    "reset_inside": Hint(
        "Close, but not PyTorch's state.",
        "You reset h *before* the matrix: U_n(r ⊙ h), as Cho et al. (2014) do.",
        "Here r multiplies after it: r ⊙ (U_n h + c_n).",
    ),
    "bias_not_reset": Hint(
        "Close, but not PyTorch's state.",
        "c_n stands outside of the reset.",
        "r ⊙ (U_n h + c_n): the bias belongs to the product it stands in.",
    ),
    "no_reset": Hint(
        "Your candidate always consults the whole state.",
        "r is computed and never used.",
        "r ⊙ (U_n h + c_n).",
    ),
    "state_never_consulted": Hint(
        "Your candidate does not know the state.",
        "U_n h is missing: n depends on the word alone.",
        "tanh(W_n x + b_n + r ⊙ (U_n h + c_n)).",
    ),
    "all_reset": Hint(
        "A reset makes you deaf to the new word, too.",
        "r multiplies W_n x as well.",
        "Only what comes from the state is reset.",
    ),
    "input_reset": Hint(
        "Your reset forgets the new word instead of the old state.",
        "r multiplies W_n x.",
        "r ⊙ (U_n h + c_n).",
    ),
    "old_state_reset": Hint(
        "What is kept of your state is also reset.",
        "r multiplies the old state in the last line.",
        "r has its place in the candidate only; keeping is z's affair.",
    ),
    "bias_forgotten": Hint(
        "With x = 0 and h = 0 your gates are all at 1/2.",
        "b or c (or both) are missing.",
        "Every product has its bias: W x + b, U h + c.",
    ),
    "tanh_gates": Hint(
        "Your gates can be negative.",
        "They go through tanh; a gate is a share.",
        "Sigmoid for r and z, tanh for n.",
    ),
    "no_squashing": Hint(
        "Your candidate's range is not (−1, 1).",
        "It has no tanh, or another function in its place.",
        "Sigmoid for r and z, tanh for n.",
    ),
    "matrices_exchanged": Hint(
        "Word and state are exchanged.",
        "W multiplies h and U multiplies x.",
        "W x + b for the word, U h + c for the state.",
    ),
}

# --------------------------------------------------------------- 14.matching_aware


class Critic(nn.Module):
    """Logits (N,) of pictures (N, 3, 2, 2) and caption codes (N, 5)."""

    def __init__(self):
        super().__init__()
        self.body, self.v, self.psi = (nn.Linear(*n) for n in ((12, 6), (5, 6), (6, 1)))
        self.sure = 1.0

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        phi = self.body(x.flatten(1)).tanh()
        return self.sure * (self.psi(phi)[:, 0] + (self.v(c) * phi).sum(1))


def _aware(D, real: Tensor, fake: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    doubt = softplus(D(fake, right)).mean() + softplus(D(real, wrong)).mean()
    return softplus(-D(real, right)).mean() + doubt / 2


def matching_aware(answer) -> None:
    """answer(D, real, fake, right, wrong): the critic's loss, Reed et al. 2016."""
    asked = []
    for n in (4, 7):
        D = seeded(Critic)
        D.sure = 2.0
        pictures = [normal(n, 3, 2, 2) for _ in range(2)]
        given = [D, *pictures, normal(n, 5), normal(n, 5)]
        got = tensor(answer(*given), ())
        unchanged(answer)
        with torch.no_grad():
            expect(got, _aware(*given), _unaware(*given), rtol=2e-5)
        asked.append(given)
    for given in asked:  # after all values: one may be right by chance, not both
        same_slopes(answer, _aware, given, nets=(0,), cut="pair_detached")
        given[0].sure = 1000.0
        with torch.no_grad():
            exact = _aware(*given)
        got = tensor(answer(*given), ())
        if not got.isfinite() or not equal(got, exact.double(), 1e-3):
            raise Mistake("not_for_large_logits")


def _unaware(D, real, fake, right, wrong) -> dict:
    """Losses gone wrong."""
    n = len(real)
    logits = D(real, right), D(fake, right), D(real, wrong)
    r, f, w = (softplus(s).mean() for s in (-logits[0], *logits[1:]))
    s_r, s_f, s_w = (s.sigmoid() for s in logits)
    yes_w, fw = softplus(-logits[2]).mean(), softplus(D(fake, wrong)).mean()
    t = softplus(-s_r).mean() + (softplus(s_f).mean() + softplus(s_w).mean()) / 2
    return {
        "no_wrong_captions": [r + f, r + f / 2],
        "no_fakes": [r + w, r + w / 2],
        "not_halved": [r + f + w],
        "mean_of_three": [(r + f + w) / 3],
        "only_one_halved": [r + f + w / 2, r + f / 2 + w],
        "everything_halved": [(r + f + w) / 2, (r + (f + w) / 2) / 2],
        "wrong_is_right": [r + (f + yes_w) / 2],
        "fake_with_wrong": [r + (f + fw) / 2, r + f + fw],
        "fakes_get_the_wrong": [r + (fw + w) / 2],
        "real_forgotten": [(f + w) / 2, f + w],
        "only_reals": [r],
        "sign": [-(r + (f + w) / 2)],
        "sigmoid_twice": [t],
        "log_forgotten": [
            -(s_r + (1 - s_f + 1 - s_w) / 2).mean(),
            (1 - s_r + (s_f + s_w) / 2).mean(),
        ],
        "log_of_a_mean": [
            r - (1 - (s_f + s_w) / 2).log().mean(),
            -s_r.mean().log() - ((1 - s_f.mean()).log() + (1 - s_w.mean()).log()) / 2,
        ],
        "labels_swapped": [
            softplus(logits[0]).mean()
            + (softplus(-logits[1]).mean() + softplus(-logits[2]).mean()) / 2
        ],
        "generators_loss": [softplus(-logits[1]).mean()],
        "sum": [n * (r + (f + w) / 2)],
    }


_MATCHING = {
    "no_wrong_captions": Hint(
        "Your critic need not read: a picture that looks good is good.",
        "The third kind of pair, (real, wrong), is missing.",
        "Add half of −log(1 − s_w).",
    ),
    "no_fakes": Hint(
        "Your critic never sees a drawing.",
        "The pair (fake, right) is missing.",
        "Add half of −log(1 − s_f).",
    ),
    "not_halved": Hint(
        "Two noes stand against one yes, each with full weight.",
        "The factor 1/2 is missing.",
        "−log s_r − ½ (log(1 − s_f) + log(1 − s_w)).",
    ),
    "mean_of_three": Hint(
        "The yes weighs no more than each of the two noes.",
        "You average the three terms.",
        "The two noes share the weight of one: halve them, not the yes.",
    ),
    "only_one_halved": Hint(
        "One kind of no counts twice as much as the other.",
        "The factor 1/2 reaches one of the two terms only: brackets.",
        "½ (log(1 − s_f) + log(1 − s_w)).",
    ),
    "everything_halved": Hint(
        "The yes weighs half of what it should.",
        "The factor 1/2 also halves log s_r.",
        "−log s_r has weight 1.",
    ),
    "wrong_is_right": Hint(
        "Your critic learns that every caption fits a real picture.",
        "The pair (real, wrong) gets the answer yes, since the picture is real.",
        "The *pair* is a lie: −log(1 − s_w).",
    ),
    "fake_with_wrong": Hint(
        "Your critic can do without reading: all its noes go to drawings.",
        "The wrong caption is shown with the fake picture.",
        "The third kind is a *real* picture with a wrong caption.",
    ),
    "fakes_get_the_wrong": Hint(
        "Your fakes come with captions that they were not drawn for.",
        "(fake, wrong) stands in the place of (fake, right).",
        "The fake goes with the caption it was drawn for.",
    ),
    "real_forgotten": Hint(
        "Your critic is best when it says no to everything.",
        "The pair (real, right) is missing.",
        "Add −log s_r.",
    ),
    "only_reals": Hint(
        "Your critic is best when it says yes to everything.",
        "Both noes are missing.",
        "Add half of each of −log(1 − s_f) and −log(1 − s_w).",
    ),
    "sign": Hint(
        "Your loss falls when the critic errs.",
        "Reed et al. write what is to be *maximised*; an optimizer minimises.",
        "Turn the sign round.",
    ),
    "sigmoid_twice": Hint(
        "Your loss hardly reacts to the logits.",
        "A sigmoid, and then a function that expects logits.",
        "softplus on D's output as it is.",
    ),
    "log_forgotten": Hint(
        "Your loss is bounded: a sure error costs no more than a small one.",
        "The probabilities are used without their logarithms.",
        "−log s, which is softplus(−logit).",
    ),
    "log_of_a_mean": Hint(
        "One good pair excuses a bad one in your loss.",
        "Probabilities are averaged before the logarithm.",
        "First the logarithm of each pair, then means.",
    ),
    "labels_swapped": Hint(
        "Your critic says yes to fakes.",
        "Yes and no are exchanged.",
        "softplus(−s) for a yes, softplus(s) for a no.",
    ),
    "generators_loss": Hint(
        "This is what G minimises.",
        "Asked for is the critic's loss.",
        "Three kinds of pairs: one yes, two noes.",
    ),
    "sum": Hint(
        "Your loss grows with the batch.",
        "You add up pairs.",
        "A mean over the batch.",
    ),
    "pair_detached": Hint(
        "The value is right, but the critic does not learn from all of it.",
        "One of the three looks has no gradient: no_grad, .detach() or .data.",
        "D learns from all three; only the fake *picture* may be detached.",
    ),
    "not_for_large_logits": Hint(
        "For logits of several hundred your loss is not finite, or cut off.",
        "log of a sigmoid: it is rounded to log 0, or PyTorch cuts it off at −100.",
        "softplus(−s) is −log σ(s) at any size; logsigmoid and BCEWithLogits are, too.",
    ),
}

EXERCISES = [
    Exercise("14.gru", gru, COMMON | _GRU),
    Exercise("14.matching_aware", matching_aware, COMMON | _MATCHING),
]
