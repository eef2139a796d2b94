"""Exercises of notebook 06: right answers in many forms pass, each mistake is named."""

import copy
import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from table import cases, passes, recognised
from torch import nn

from gancourse import clinic
from gancourse.checks import ch06
from gancourse.models import mlp

# ruff: noqa: E731

# ------------------------------------------------------------------ 06.triage


def triage_branches(log):
    if log["d_loss"] < -1:
        return "B" if abs(log["mean"]) > 100 else "C"
    if log["d_loss"] < 0.2:
        if log["D_fake"] < 0.5:
            return "F"
        return "A" if log["D_real"] > 0.5 else "D"
    if log["D_real"] > 0.9:
        return "G"
    if log["g_loss"] > 1.3:
        return "E"
    return "H" if log["D_fake"] > 0.55 else "healthy"


def triage_by_verdicts(log):
    """Without the losses, as far as that goes."""
    real, fake = round(log["D_real"]), round(log["D_fake"])
    if real == 0 and fake == 1:
        if log["d_loss"] > 0:
            return "d"
        return "b" if log["std"] > 1000 else "c"
    if max(log["D_real"], log["D_fake"]) > 0.999:
        return "A" if fake and log["D_fake"] > 0.9 else ("F", "G")[log["std"] < 0.01]
    doubled = log["g_loss"] > 1.5 * -math.log(log["D_fake"])
    return " E" if doubled else "H " if log["D_real"] > 0.55 else "Healthy"


TYPICAL = {
    "A": (0, 0, 1, 1, 5, 1.3),
    "B": (-1e8, -1e8, 0, 1, -13000, 3000),
    "C": (-26000, 0, 0, 1, -2, 0.5),
    "D": (0, 0, 0, 1, -6, 1.5),
    "E": (1.3, 1.4, 0.5, 0.5, 4, 0.4),
    "F": (0, 10, 1, 0, 0, 0.05),
    "G": (1.39, 1.39, 1, 0.5, -0.6, 0.003),
    "H": (1.43, 0.51, 0.6, 0.6, 4, 1),
    "healthy": (1.39, 0.69, 0.5, 0.5, 4, 0.9),
}


def triage_nearest(log):
    """The nearest typical row, in units that let every column speak."""

    def squeezed(row):
        d, g, real, fake, mean, _ = row
        return np.array(
            [math.asinh(d), math.asinh(g), 9 * real, 9 * fake, math.asinh(mean) / 3]
        )

    here = squeezed(list(log.values()))
    return min(TYPICAL, key=lambda name: np.linalg.norm(here - squeezed(TYPICAL[name])))


def instead(kind, word):
    """Right but for one kind, which is called something else."""
    return lambda log: word if triage_branches(log) == kind else triage_branches(log)


def losses_only(log):
    calm = abs(log["d_loss"] - 1.386) < 0.1
    return "healthy" if calm else triage_branches(log)


TRIAGE_WRONG = {
    "unknown_word": [
        instead("healthy", "well"),
        lambda log: 3,
        instead("A", "patient A"),
    ],
    "zero_is_well": [
        instead("A", "healthy"),
        lambda log: "healthy" if abs(log["d_loss"]) < 0.5 else triage_branches(log),
    ],
    "negative_loss": [instead("B", "A"), instead("C", "healthy"), instead("C", "F")],
    "where_are_they": [
        instead("B", "C"),
        instead("C", "B"),
        lambda log: "B" if log["d_loss"] < 0 else triage_branches(log),
    ],
    "no_floor": [instead("C", "D"), instead("D", "C"), instead("D", "B")],
    "reals_unread": [instead("A", "D"), instead("D", "A"), instead("G", "E")],
    "fakes_unread": [instead("F", "A"), instead("A", "F"), instead("D", "F")],
    "g_loss_unread": [instead("E", "healthy"), instead("healthy", "E"), losses_only],
    "two_thirds": [instead("H", "healthy"), instead("healthy", "H")],
    "log_four_is_well": instead("G", "healthy"),
    "healthy_called_ill": [instead("healthy", "G"), instead("healthy", "A")],
    "confused": [instead("E", "A"), instead("H", "F"), instead("A", "G")],
    "returns_nothing": lambda log: log.get("illness"),
}

# ------------------------------------------------------------------ 06.probe


def probe_ratios(d_loss):
    sure = torch.tensor([50.0, 50.0])
    perfect, worst = d_loss(sure, -sure), d_loss(-sure, sure)
    if worst < 0:
        return "sign"
    if perfect > worst:
        return "labels swapped"
    if torch.isclose(d_loss(sure, sure), perfect):
        return "no fakes"
    if perfect > 0.01 * worst:
        return "two sigmoids"
    r, f = torch.tensor([4.0, -2.0]), torch.tensor([1.0, -3.0])
    one_by_one = sum(d_loss(r[i : i + 1], f[i : i + 1]) for i in range(2)) / 2
    return "well" if torch.isclose(d_loss(r, f), one_by_one) else "log outside"


def probe_gradients(d_loss):
    r = torch.tensor([4.0, -1.0, 0.5], dtype=torch.float64, requires_grad=True)
    f = torch.tensor([-3.0, 0.3, 2.0], dtype=torch.float64, requires_grad=True)
    value = d_loss(r, f)
    dr, df = torch.autograd.grad(value, [r, f], allow_unused=True)
    if df is None or not df.any():
        return "no fakes"
    if dr.sum() > 0:
        return "sign" if value < 0 else "labels swapped"
    right = -(-r).sigmoid() / 3
    if torch.allclose(dr / dr.sum(), right / right.sum()):
        return "well"
    inner = -r.sigmoid() * (1 - r.sigmoid()) * (1 - r.sigmoid().sigmoid())
    return (
        "two sigmoids"
        if torch.allclose(dr / dr.sum(), inner / inner.sum())
        else "log outside"
    )


class probe_by_fingerprint:
    """Values at a few places, scaled by the largest, against formulas of one's own."""

    places = (((4.0, -1.0), (-3.0, 2.0)), ((9.0, 1.0), (-9.0, 0.0)), ((-5, 2), (6, 1)))

    def __new__(cls, d_loss):
        def print_of(f):
            v = [float(f(*map(torch.tensor, map(list, p)))) for p in cls.floats()]
            top = max(map(abs, v))
            return [x / top for x in v]

        here = print_of(d_loss)
        return min(
            cls.formulas(), key=lambda k: math.dist(here, print_of(cls.formulas()[k]))
        )

    @classmethod
    def floats(cls):
        return [([float(x) for x in r], [float(x) for x in f]) for r, f in cls.places]

    @staticmethod
    def formulas():
        ls, sg = F.logsigmoid, torch.sigmoid
        return {
            "well": lambda r, f: -(ls(r).mean() + ls(-f).mean()),
            "no fakes": lambda r, f: -ls(r).mean(),
            "sign": lambda r, f: ls(r).mean() + ls(-f).mean(),
            "labels swapped": lambda r, f: -(ls(-r).mean() + ls(f).mean()),
            "two sigmoids": lambda r, f: -(ls(sg(r)).mean() + ls(-sg(f)).mean()),
            "log outside": lambda r, f: (
                -(sg(r).mean().log() + (1 - sg(f)).mean().log())
            ),
        }


def blind(kind, to="well"):
    """Right, but blind for one illness."""
    return lambda d_loss: to if probe_ratios(d_loss) == kind else probe_ratios(d_loss)


def probe_at_zero(d_loss):
    """Small logits: the second sigmoid is lost in the tolerance."""
    s = torch.full((2,), 0.1)
    if d_loss(s, -s) < 0:
        return "sign"
    if d_loss(s, -s) > d_loss(-s, s):
        return "labels swapped"
    if torch.equal(d_loss(s, s), d_loss(s, -s)):
        return "no fakes"
    name = probe_ratios(d_loss)
    return "well" if name == "two sigmoids" else name


def probe_numbers(d_loss):
    """Compares with numbers of the full-size loss."""
    r, f = torch.tensor([4.0, -1.0, 0.5]), torch.tensor([-3.0, 0.3, 2.0])
    value = d_loss(r, f).item()
    known = {
        1.6118: "well",
        -1.6118: "sign",
        0.6018: "no fakes",
        3.0118: "labels swapped",
        1.4271: "two sigmoids",
        1.1658: "log outside",
    }
    return known[min(known, key=lambda k: abs(k - value))]


PROBE_WRONG = {
    "unknown_word": [blind("well", "right"), lambda d_loss: True],
    "well_convicted": [blind("well", "two sigmoids"), lambda d_loss: "no fakes"],
    "factor_convicted": [
        probe_numbers,
        lambda d_loss: (
            "two sigmoids"
            if probe_ratios(d_loss) == "well"
            and abs(d_loss(torch.zeros(1), torch.zeros(1)) - math.log(4)) > 0.01
            else probe_ratios(d_loss)
        ),
    ],
    "fakes_not_moved": [blind("no fakes"), blind("no fakes", "log outside")],
    "direction_unread": [blind("sign"), blind("labels swapped")],
    "no_floor": [blind("sign", "labels swapped"), blind("labels swapped", "sign")],
    "logits_too_small": [probe_at_zero, blind("two sigmoids", "log outside")],
    "logits_all_alike": [blind("log outside"), blind("log outside", "two sigmoids")],
    "returns_nothing": lambda d_loss: print(probe_ratios(d_loss)),
}

# ------------------------------------------------------------------ 06.heal

bce = F.binary_cross_entropy_with_logits


def heal_plain(G, D, reals, latents, d_opt, g_opt):
    total = 0.0
    for real, z in zip(reals, latents, strict=True):
        fake = G(z)
        real_logits, fake_logits = D(real), D(fake.detach())
        d_loss = bce(real_logits, torch.ones_like(real_logits))
        d_loss = d_loss + bce(fake_logits, torch.zeros_like(fake_logits))
        d_opt.zero_grad()
        d_loss.backward()
        d_opt.step()
        logits = D(fake)
        g_loss = bce(logits, torch.ones_like(logits))
        g_opt.zero_grad()
        g_loss.backward()
        g_opt.step()
        total += d_loss.item()
    return total / len(reals)


def heal_softplus(G, D, reals, latents, d_opt, g_opt):
    losses = []
    for k in range(len(reals)):
        with torch.no_grad():
            fake = G(latents[k])
        loss = F.softplus(-D(reals[k])).mean() + F.softplus(D(fake)).mean()
        D.zero_grad(set_to_none=False)
        loss.backward()
        d_opt.step()
        losses.append(loss.detach())
        G.zero_grad()
        F.softplus(-D(G(latents[k]))).mean().backward()
        g_opt.step()
    return torch.stack(losses).mean()


def heal_without_detach(G, D, reals, latents, d_opt, g_opt):
    """Patient K: slower, not ill."""
    found = []
    ask = lambda x, label: bce(D(x), torch.full((len(x), 1), float(label)))
    for real, z in zip(reals, latents, strict=True):
        for opt, loss in [
            (d_opt, lambda real=real, z=z: ask(real, 1) + ask(G(z), 0)),
            (g_opt, lambda z=z: ask(G(z), 1)),
        ]:
            opt.zero_grad()
            value = loss()
            value.backward()
            opt.step()
            if opt is d_opt:
                found.append(float(value))
    return np.mean(found)


def heal_frozen(G, D, reals, latents, d_opt, g_opt):
    criterion, losses = nn.BCELoss(), torch.zeros(len(reals))
    for k, (x, z) in enumerate(zip(reals, latents, strict=True)):
        one, zero = torch.ones(len(x), 1), x.new_zeros((x.size(0), 1))
        d_opt.zero_grad(), g_opt.zero_grad()
        p, q = D(x).sigmoid(), D(G(z).detach()).sigmoid()
        d_loss = criterion(p, one) + criterion(q, zero)
        d_loss.backward(), d_opt.step()
        D.requires_grad_(False)
        criterion(D(G(z)).sigmoid(), one).backward()
        D.requires_grad_(True)
        g_opt.step()
        losses[k] = d_loss.item()
    return losses.mean()


def heal_catenated(G, D, reals, latents, d_opt, g_opt):
    """One mean over reals and fakes: half of the program's loss."""
    losses = []
    for real, z in zip(reals, latents, strict=True):
        fake = G(z)
        both = torch.cat([real, fake.detach()])
        labels = torch.cat([torch.ones(len(real), 1), torch.zeros(len(z), 1)])
        losses.append(bce(D(both), labels))
        for opt, loss in ((d_opt, losses[-1]), (g_opt, None)):
            opt.zero_grad()
            loss = F.softplus(-D(fake)).mean() if loss is None else loss
            loss.backward()
            opt.step()
    return sum(map(float, losses)) / len(losses)


def heal_other(label=1.0, g=lambda s: F.softplus(-s)):
    """Healed, with another label for reals or another loss of G."""

    def epoch(G, D, reals, latents, d_opt, g_opt):
        found = []
        for real, z in zip(reals, latents, strict=True):
            s, fake = D(real), G(z)
            d_loss = (
                bce(s, torch.full_like(s, label)) + F.softplus(D(fake.detach())).mean()
            )
            d_opt.zero_grad()
            d_loss.backward()
            d_opt.step()
            g_opt.zero_grad()
            g(D(fake)).mean().backward()
            g_opt.step()
            found.append(d_loss.item())
        return np.mean(found)

    return epoch


def heal_g_first(G, D, reals, latents, d_opt, g_opt):
    found = []
    for real, z in zip(reals, latents, strict=True):
        g_opt.zero_grad()
        F.softplus(-D(G(z))).mean().backward()
        g_opt.step()
        d_opt.zero_grad()
        d_loss = F.softplus(-D(real)).mean() + F.softplus(D(G(z).detach())).mean()
        d_loss.backward()
        d_opt.step()
        found.append(d_loss.item())
    return sum(found) / len(found)


def sick(
    fixed=False, name=False, cut=False, twice=False, sigmoid=False, value="mean", **also
):
    """The program of the exercise with some of its illnesses left."""

    def epoch(G, D, reals, latents, d_opt, g_opt):
        ones, zeros = torch.ones(64, 1), torch.zeros(64, 1)
        d_given, g_given = (
            torch.sigmoid if sigmoid in (True, who) else lambda s: s for who in "dg"
        )
        cost, found = bce, []
        for real, z in zip(reals, latents, strict=True):
            if also.get("skip") and len(real) < 64:
                continue
            if not fixed:
                ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
            if also.get("swap"):
                ones, zeros = zeros, ones
            fake = G(z).detach() if cut else G(z)
            if "d_dirty" not in also:
                d_opt.zero_grad()
            attached = also.get("graph") or also.get("old")
            if also.get("old"):
                g_opt.zero_grad()
            d_fake = G(z) if also.get("old") else fake if attached else fake.detach()
            d_loss = cost(d_given(D(real)), ones)
            if not also.get("reals"):
                d_loss = d_loss + cost(d_given(D(d_fake)), zeros)
            if name:
                cost = d_loss
            (d_loss / 2 if also.get("half") else d_loss).backward()
            if not also.get("d_rests"):
                d_opt.step()
            label = ones if not (also.get("zero") or also.get("swap")) else zeros
            g_loss = bce(g_given(D(fake)), label)
            if not also.get("old"):
                g_opt.zero_grad()
            g_loss.backward()
            g_opt.step()
            if twice:
                d_opt.step()
            found.append(d_loss if value == "graph" else d_loss.item())
            if value == "return in loop":
                break
        if also.get("freeze"):
            D.requires_grad_(False)
        ways = {
            "last": lambda: found[-1],
            "sum": lambda: sum(found),
            "list": lambda: found,
            "weighted": lambda: (64 * found[0] + 64 * found[1] + 20 * found[2]) / 148,
            "half": lambda: sum(found) / len(found) / 2,
            "none": lambda: None,
        }
        return ways.get(value, lambda: sum(found) / len(found))()

    return epoch


HEAL_WRONG = {
    "labels_fixed": [sick(fixed=True), sick(True, cut=True, twice=True, sigmoid=True)],
    "name_overwritten": [sick(name=True), sick(True, True, True, True, True)],
    "graph_twice": sick(graph=True),
    "short_skipped": sick(fixed=True, skip=True),
    "only_first": sick(value="return in loop"),
    "fakes_cut_off": [sick(cut=True), sick(cut=True, twice=True)],
    "d_moves_twice": sick(twice=True),
    "two_sigmoids": [
        sick(sigmoid=True),
        sick(sigmoid=True, cut=True),
        sick(sigmoid=True, twice=True),
        sick(sigmoid=True, cut=True, twice=True),
        sick(sigmoid="d"),
        sick(sigmoid="g"),
    ],
    "old_gradients": sick(old=True),
    "d_not_cleared": sick(d_dirty=True),
    "labels_swapped": sick(swap=True),
    "reals_only": sick(reals=True),
    "g_label_zero": sick(zero=True),
    "halved": [sick(half=True), heal_catenated],
    "g_first": heal_g_first,
    "saturating": heal_other(g=lambda s: -F.softplus(s)),
    "smoothed": heal_other(label=0.9),
    "d_never": sick(d_rests=True),
    "left_frozen": sick(freeze=True),
    "last_loss": sick(value="last"),
    "losses_summed": sick(value="sum"),
    "weighted": sick(value="weighted"),
    "halved_value": sick(value="half"),
    "list_returned": [
        sick(value="list"),
        lambda *given: torch.tensor(sick(value="list")(*given)),
    ],
    "keeps_graph": sick(value="graph"),
    "returns_nothing": sick(value="none"),
}

# ------------------------------------------------------------------ 06.effect


def moved(step, G, D, real, z, copies=True, kind=torch.optim.SGD, rate=0.1):
    """How far G's weights and D's are moved, a vector each."""
    if copies:
        G, D = copy.deepcopy(G), copy.deepcopy(D)
    flat = lambda P: nn.utils.parameters_to_vector(P.parameters()).detach().clone()
    before = flat(G), flat(D)
    g_opt, d_opt = kind(G.parameters(), rate), kind(D.parameters(), rate)
    step(G, D, g_opt, d_opt, real, z)
    return flat(G) - before[0], flat(D) - before[1]


def effect_plain(step, healthy, G, D, real, z):
    mine = torch.cat(moved(step, G, D, real, z))
    theirs = torch.cat(moved(healthy, G, D, real, z))
    return (mine - theirs).norm() / theirs.norm()


def effect_by_state(step, healthy, G, D, real, z):
    """Saves the weights, and puts them back."""
    saved = [{k: v.clone() for k, v in P.state_dict().items()} for P in (G, D)]
    moves = []
    for one in (step, healthy):
        opts = [torch.optim.SGD(P.parameters(), lr=0.1, momentum=0) for P in (G, D)]
        one(G, D, *opts, real, z)
        moves.append(
            [
                P.state_dict()[k] - old[k]
                for P, old in zip((G, D), saved, strict=True)
                for k in old
            ]
        )
        for P, old in zip((G, D), saved, strict=True):
            P.load_state_dict(old)
    difference = sum(float(((a - b) ** 2).sum()) for a, b in zip(*moves, strict=True))
    return math.sqrt(difference / sum(float((b**2).sum()) for b in moves[1]))


def effect_numpy(step, healthy, G, D, real, z):
    ends = []
    for one in (healthy, step):
        g, d = (copy.deepcopy(P).double() for P in (G, D))
        sgd = functools.partial(torch.optim.SGD, lr=0.1)
        one(g, d, sgd(g.parameters()), sgd(d.parameters()), real.double(), z.double())
        both = [*g.parameters(), *d.parameters()]
        ends.append(np.concatenate([p.detach().numpy().ravel() for p in both]))
    start = np.concatenate(
        [p.detach().numpy().ravel() for P in (G, D) for p in P.parameters()]
    )
    return np.linalg.norm(ends[1] - ends[0]) / np.linalg.norm(ends[0] - start)


def compared(how, **options):
    def effect(step, healthy, G, D, real, z):
        mine = moved(step, G, D, real, z, **options)
        theirs = moved(healthy, G, D, real, z, **options)
        m, t = torch.cat(mine), torch.cat(theirs)
        return how(m, t, mine, theirs, (G, D))

    return effect


right_ratio = lambda m, t, *_: (m - t).norm() / t.norm()
ratio = lambda m, t: (m - t).norm() / t.norm()
weights = lambda players: nn.utils.parameters_to_vector(
    [p for P in players for p in P.parameters()]
)


def effect_restored(step, healthy, G, D, real, z):
    """The second step starts where the first ended; the players are put back after."""
    G, D = copy.deepcopy(G), copy.deepcopy(D)
    mine = torch.cat(moved(step, G, D, real, z, copies=False))
    theirs = torch.cat(moved(healthy, G, D, real, z, copies=False))
    return ratio(mine, theirs)


EFFECT_WRONG = {
    "no_copies": compared(right_ratio, copies=False),
    "one_after_the_other": effect_restored,
    "adam": [
        compared(right_ratio, kind=torch.optim.Adam),
        compared(right_ratio, kind=torch.optim.Adam, rate=1e-3),
    ],
    "other_rate": [
        compared(right_ratio, rate=0.01),
        compared(right_ratio, rate=1),
    ],
    "only_g": compared(lambda m, t, a, b, P: ratio(a[0], b[0])),
    "only_d": compared(lambda m, t, a, b, P: ratio(a[1], b[1])),
    "lengths": compared(lambda m, t, *_: (m.norm() - t.norm()).abs() / t.norm()),
    "signed_lengths": compared(lambda m, t, *_: (m.norm() - t.norm()) / t.norm()),
    "ratio": compared(lambda m, t, *_: m.norm() / t.norm()),
    "absolute": compared(lambda m, t, *_: (m - t).norm()),
    "of_weights": compared(lambda m, t, a, b, P: (m - t).norm() / weights(P).norm()),
    "of_accused": compared(lambda m, t, *_: (m - t).norm() / m.norm()),
    "squared": compared(lambda m, t, *_: (m - t).square().sum() / t.square().sum()),
    "cosine": compared(lambda m, t, *_: 1 - F.cosine_similarity(m, t, dim=0)),
    "mean_of_two": compared(
        lambda m, t, a, b, P: (ratio(a[0], b[0]) + ratio(a[1], b[1])) / 2
    ),
    "sum_of_two": compared(lambda m, t, a, b, P: ratio(a[0], b[0]) + ratio(a[1], b[1])),
    "largest": compared(lambda m, t, *_: (m - t).abs().max() / t.abs().max()),
    "sum_of_values": compared(lambda m, t, *_: (m - t).abs().sum() / t.abs().sum()),
}

# ------------------------------------------------------------------ 06.acquit


def acquit_by_hand():
    return {
        "K": ("well", 1),
        "I": ("ill", 0),
        "half": ("well", 0.5),
        "sigmoid": ("well", 0),
        "decay": ("well", 1),
    }


def acquit_measured():
    s = torch.zeros(1, requires_grad=True)
    (own,) = torch.autograd.grad(F.softplus(-s).sum(), s)
    (from_d,) = torch.autograd.grad(F.softplus(s).sum(), s)
    x, slope = 0.0, 0.5
    for _ in range(20_000):  # the data at 1; D(x) = slope * x, with weight decay
        real, fake = 1 / (1 + math.exp(slope)), 1 / (1 + math.exp(-slope * x))
        slope, x = (
            slope + 0.05 * (real - x * fake - 0.3 * slope),
            x + 0.05 * slope * (1 - fake),
        )
    return {
        "decay": ["well", x],
        "half": ["well", torch.tensor(0.5)],
        "I": ["ill", (own + from_d) / own],
        "K": ["well", own / own],
        "sigmoid": ["well", 0.0],
    }


def said(**other):
    """The right table with something else in it."""
    return acquit_by_hand() | other


ACQUIT_WRONG = {
    "unknown_word": [said(K=("healthy", 1)), said(half=(True, 0.5))],
    "not_a_table": [
        [("well", 1)] * 5,
        {"K": ("well", 1)},
        lambda: {name.lower(): v for name, v in acquit_by_hand().items()},
    ],
    "no_reason": [said(sigmoid="well"), {name: "well" for name in ch06.RIGHT}],
    "detach_myth": [said(K=("ill", 0)), said(K=("ill", 0.58))],
    "clearing_ignored": [said(I=("well", 1)), said(I=("well", 0))],
    "half_convicted": said(half=("ill", 0.5)),
    "sigmoid_convicted": said(sigmoid=("ill", 0.5)),
    "decay_convicted": said(decay=("ill", 0)),
    "counted_twice": said(K=("well", 2)),
    "difference_given": said(K=("well", 0)),
    "old_push_forgotten": said(I=("ill", 1)),
    "pushes_agree": said(I=("ill", 2)),
    "not_relative": said(I=("ill", -0.5)),
    "half_like_adam": said(half=("well", 1)),
    "half_squared": said(half=("well", 0.25)),
    "upside_down": said(half=("well", 2)),
    "range_of_tanh": said(sigmoid=("well", 0.5)),
    "share_reached": said(sigmoid=("well", 1)),
    "decay_to_zero": said(decay=("well", 0)),
    "half_way": said(decay=("well", 0.5)),
    "decay_on_g": said(decay=("well", 0.665)),
    "other_value": said(decay=("well", float("nan"))),
    "returns_nothing": lambda: print(acquit_by_hand()),
}

RIGHT = {
    "06.triage": [triage_branches, triage_by_verdicts, triage_nearest],
    "06.probe": [probe_ratios, probe_gradients, probe_by_fingerprint],
    "06.heal": [heal_plain, heal_softplus, heal_without_detach, heal_frozen, sick()],
    "06.effect": [effect_plain, effect_by_state, effect_numpy, compared(right_ratio)],
    "06.acquit": [acquit_by_hand, acquit_measured, acquit_by_hand()],
}
WRONG = {
    "06.triage": TRIAGE_WRONG,
    "06.probe": PROBE_WRONG,
    "06.heal": HEAL_WRONG,
    "06.effect": EFFECT_WRONG,
    "06.acquit": ACQUIT_WRONG,
}
right, wrong = cases("06", RIGHT, WRONG)


@right
def test_a_right_answer_passes_however_it_is_written(name, answer):
    passes(name, answer)


@wrong
def test_a_wrong_answer_is_recognised_by_its_misconception(name, mistake, answer):
    recognised(name, mistake, answer)


@pytest.mark.full
@pytest.mark.parametrize("patient", "ABCDEFGHKL")
def test_the_recorded_logs_are_those_of_the_clinic(patient):
    """A run with a seed of its own is read like the recorded ones of its kind."""
    torch.manual_seed(300)
    G, D = mlp.mlp([4, 32, 32, 1]), mlp.mlp([1, 32, 32, 1], lambda: nn.LeakyReLU(0.2))
    opts = [torch.optim.Adam(P.parameters(), 2e-3, (0.5, 0.99)) for P in (G, D)]
    for k in range(1500):
        for opt in opts:
            opt.param_groups[0]["lr"] = 2e-3 * (1 - k / 1500)
        real, z = 4 + torch.randn(128, 1), torch.randn(128, 4)
        d_loss, g_loss = clinic.PATIENTS[patient](G, D, *opts, real, z)
    with torch.no_grad():
        real, fake = 4 + torch.randn(1000, 1), G(torch.randn(1000, 4))
        says = [D(x).sigmoid().mean() for x in (real, fake)]
        row = [d_loss.detach(), g_loss.detach(), *says, fake.mean(), fake.std()]
    log = dict(zip(ch06.COLUMNS, map(float, row), strict=True))
    assert triage_branches(log) == ("healthy" if patient in "KL" else patient), log
