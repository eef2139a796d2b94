"""Exercises of notebook 14: right answers in many forms pass, each mistake is named."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from table import cases, passes, recognised
from torch import nn
from torch.distributions import Gumbel, RelaxedOneHotCategorical

# ruff: noqa: E731

# --------------------------------------------------------------- 14.gru


def gru_chunks(x, h, W, U, b, c):
    xr, xz, xn = (W @ x + b).chunk(3)
    hr, hz, hn = (U @ h + c).chunk(3)
    r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
    return (1 - z) * (xn + r * hn).tanh() + z * h


def gru_cell(x, h, W, U, b, c):
    cell = nn.GRUCell(len(x), len(h))
    with torch.no_grad():
        for own, given in zip(cell.parameters(), (W, U, b, c), strict=True):
            own.copy_(given)
    return cell(x[None], h[None])


def gru_loop(x, h, W, U, b, c):
    H, new = len(h), []
    dot = lambda row, v: sum(
        p * q for p, q in zip(row.tolist(), v.tolist(), strict=True)
    )
    sigmoid = lambda v: 1 / (1 + math.exp(-v))
    for i in range(H):
        k = [i, i + H, i + 2 * H]
        xs = [dot(W[j], x) + b[j].item() for j in k]
        hs = [dot(U[j], h) + c[j].item() for j in k]
        r, z = sigmoid(xs[0] + hs[0]), sigmoid(xs[1] + hs[1])
        n = math.tanh(xs[2] + r * hs[2])
        new.append(n + z * (h[i].item() - n))
    return new


def gru_numpy(x, h, W, U, b, c):
    x, h, W, U, b, c = (t.numpy().astype(float) for t in (x, h, W, U, b, c))
    H = h.size
    gates = np.einsum("ij,j->i", W, x) + b
    state = np.einsum("ij,j->i", U, h) + c
    r, z = np.split(1 / (1 + np.exp(-(gates + state)[: 2 * H])), 2)
    n = np.tanh(gates[2 * H :] + r * state[2 * H :])
    return n - z * n + z * h


def gru(
    order=(0, 1, 2), split=lambda v: v.chunk(3), new=None, mix=None,
    gate=torch.sigmoid, before=lambda *given: given,
):  # fmt: skip
    """A GRU with one mistake."""
    new = new or (lambda xn, hn, r, h, U, c: torch.tanh(xn + r * hn))
    mix = mix or (lambda n, h, z, r: (1 - z) * n + z * h)

    def answer(*given):
        x, h, W, U, b, c = before(*given)
        xs, hs = split(W @ x + b), split(U @ h + c)
        (xr, xz, xn), (hr, hz, hn) = ([v[i] for i in order] for v in (xs, hs))
        r, z = gate(xr + hr), gate(xz + hz)
        U_n, c_n = U[2 * len(h) :], c[2 * len(h) :]
        return mix(new(xn, hn, r, h, U_n, c_n), h, z, r)

    return answer


GRU_WRONG = {
    "gates_exchanged": gru(order=(1, 0, 2)),
    "order": [gru(order=(2, 0, 1)), gru(order=(0, 2, 1)), gru(order=(1, 2, 0))],
    "interleaved": gru(split=lambda v: v.view(-1, 3).unbind(1)),
    "blend_exchanged": gru(mix=lambda n, h, z, r: torch.lerp(h, n, z)),
    "no_blend": gru(mix=lambda n, h, z, r: n),
    "old_state_lost": [
        gru(mix=lambda n, h, z, r: (1 - z) * n),
        gru(mix=lambda n, h, z, r: z * n),
    ],
    "not_a_mixture": [
        gru(mix=lambda n, h, z, r: n + z * h),
        gru(mix=lambda n, h, z, r: (1 - z) * n + h),
    ],
    "reset_inside": gru(
        new=lambda xn, hn, r, h, U, c: torch.tanh(xn + U @ (r * h) + c)
    ),
    "bias_not_reset": gru(
        new=lambda xn, hn, r, h, U, c: torch.tanh(xn + r * (U @ h) + c)
    ),
    "no_reset": gru(new=lambda xn, hn, r, h, U, c: torch.tanh(xn + hn)),
    "state_never_consulted": gru(new=lambda xn, hn, r, h, U, c: xn.tanh()),
    "all_reset": gru(new=lambda xn, hn, r, h, U, c: (r * (xn + hn)).tanh()),
    "input_reset": gru(new=lambda xn, hn, r, h, U, c: (r * xn + hn).tanh()),
    "old_state_reset": gru(mix=lambda n, h, z, r: (1 - z) * n + z * (r * h)),
    "bias_forgotten": [
        gru(before=lambda x, h, W, U, b, c: (x, h, W, U, 0 * b, 0 * c)),
        gru(before=lambda x, h, W, U, b, c: (x, h, W, U, b, 0 * c)),
        gru(before=lambda x, h, W, U, b, c: (x, h, W, U, 0 * b, c)),
    ],
    "tanh_gates": gru(gate=torch.tanh),
    "no_squashing": [
        gru(new=lambda xn, hn, r, h, U, c: xn + r * hn),
        gru(new=lambda xn, hn, r, h, U, c: (xn + r * hn).sigmoid()),
    ],
    "matrices_exchanged": gru(before=lambda x, h, W, U, b, c: (x, h, U, W, b, c)),
    "writes_over_input": lambda x, h, W, U, b, c: h.copy_(gru_chunks(x, h, W, U, b, c)),
    "shape": lambda x, h, W, U, b, c: W @ x + b,
}

# --------------------------------------------------------------- 14.matching_aware


def aware_softplus(D, real, fake, right, wrong):
    doubt = F.softplus(D(fake.detach(), right)) + F.softplus(D(real, wrong))
    return (F.softplus(-D(real, right)) + doubt / 2).mean()


def aware_bce(D, x, x_hat, t, t_hat):
    criterion = nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(len(x)), torch.zeros(len(x))
    no = criterion(D(x_hat, t), zeros) + criterion(D(x, t_hat), zeros)
    return criterion(D(x, t), ones) + 0.5 * no


def aware_batched(D, real, fake, right, wrong):
    """All three kinds at once, with weights."""
    logits = D(torch.cat([real, fake, real]), torch.cat([right, right, wrong]))
    sign = torch.tensor([-1.0, 1.0, 1.0]).repeat_interleave(len(real))
    weight = torch.tensor([1.0, 0.5, 0.5]).repeat_interleave(len(real))
    return (weight * F.softplus(sign * logits)).sum() / len(real)


def aware_logs(D, real, fake, right, wrong):
    log_s = F.logsigmoid(D(real, right)).double()
    log_no = [
        F.logsigmoid(-D(*pair)).double() for pair in ((fake, right), (real, wrong))
    ]
    return -(torch.mean(log_s) + torch.stack(log_no).mean(1).sum() / 2).reshape(1)


def aware_loop(D, real, fake, right, wrong):
    total = 0.0
    for i in range(len(real)):
        one = slice(i, i + 1)
        s_r, s_f = D(real[one], right[one]), D(fake[one], right[one])
        noes = torch.logaddexp(
            torch.zeros(1), torch.stack([s_f, D(real[one], wrong[one])])
        )
        total = total + F.softplus(-s_r) + noes.mean()
    return [total / len(real)]


def aware(kinds, reduce=torch.mean, f=F.softplus, logit=lambda s: s):
    """A loss of weights times yes (−1) or no (1) to pairs of these kinds."""

    def answer(D, real, fake, right, wrong):
        x, c = dict(r=real, f=fake), dict(r=right, w=wrong)
        return sum(
            weight * reduce(f(sign * logit(D(x[pair[0]], c[pair[1]]))))
            for pair, (sign, weight) in kinds.items()
        )

    return answer


GOOD = {"rr": (-1, 1), "fr": (1, 0.5), "rw": (1, 0.5)}
no = torch.no_grad()


def probabilities(D, real, fake, right, wrong):
    s = [D(real, right), D(fake, right), D(real, wrong)]
    return [v.sigmoid() for v in s]


def aware_by_hand(*given):
    """The notebook's own six lines: right, but not for large logits."""
    s_r, s_f, s_w = probabilities(*given)
    return -(s_r.log() + ((1 - s_f).log() + (1 - s_w).log()) / 2).mean()


def aware_clipped(*given):
    s_r, s_f, s_w = probabilities(*given)
    one, zero = torch.ones_like(s_r), torch.zeros_like(s_r)
    bce = F.binary_cross_entropy
    return bce(s_r, one) + (bce(s_f, zero) + bce(s_w, zero)) / 2


def partly(D, real, fake, right, wrong):
    with torch.no_grad():
        s_w = D(real, wrong)
    doubt = F.softplus(D(fake, right)).mean() + F.softplus(s_w).mean()
    return F.softplus(-D(real, right)).mean() + doubt / 2


MATCHING_WRONG = {
    "no_wrong_captions": [
        aware({"rr": (-1, 1), "fr": (1, 1)}),
        aware({"rr": (-1, 1), "fr": (1, 0.5)}),
    ],
    "no_fakes": aware({"rr": (-1, 1), "rw": (1, 1)}),
    "not_halved": aware(GOOD | {"fr": (1, 1), "rw": (1, 1)}),
    "mean_of_three": aware({k: (s, 1 / 3) for k, (s, _) in GOOD.items()}),
    "only_one_halved": [aware(GOOD | {"fr": (1, 1)}), aware(GOOD | {"rw": (1, 1)})],
    "everything_halved": [
        aware({k: (s, w / 2) for k, (s, w) in GOOD.items()}),
        aware({k: (s, 1 / 2) for k, (s, _) in GOOD.items()}),
    ],
    "wrong_is_right": aware(GOOD | {"rw": (-1, 0.5)}),
    "fake_with_wrong": aware({"rr": (-1, 1), "fr": (1, 0.5), "fw": (1, 0.5)}),
    "fakes_get_the_wrong": aware({"rr": (-1, 1), "fw": (1, 0.5), "rw": (1, 0.5)}),
    "real_forgotten": aware({"fr": (1, 0.5), "rw": (1, 0.5)}),
    "only_reals": aware({"rr": (-1, 1)}),
    "sign": aware({k: (s, -w) for k, (s, w) in GOOD.items()}),
    "sigmoid_twice": aware(GOOD, logit=torch.sigmoid),
    "log_forgotten": [
        aware(GOOD, f=torch.sigmoid),
        lambda *given: (
            -(
                probabilities(*given)[0]
                + ((1 - probabilities(*given)[1]) + (1 - probabilities(*given)[2])) / 2
            ).mean()
        ),
    ],
    "log_of_a_mean": [
        lambda *given: (
            -probabilities(*given)[0].log().mean()
            - (1 - sum(probabilities(*given)[1:]) / 2).log().mean()
        ),
        lambda *given: (
            -(
                probabilities(*given)[0].mean().log()
                + sum((1 - s.mean()).log() for s in probabilities(*given)[1:]) / 2
            )
        ),
    ],
    "labels_swapped": aware({k: (-s, w) for k, (s, w) in GOOD.items()}),
    "generators_loss": aware({"fr": (-1, 1)}),
    "sum": aware(GOOD, reduce=torch.sum),
    "pair_detached": partly,
    "loses_gradient": [no(aware_bce), lambda *given: aware_softplus(*given).item()],
    "not_for_large_logits": [aware_by_hand, aware_clipped],
    "shape": lambda D, real, fake, right, wrong: (
        F.softplus(-D(real, right))
        + (F.softplus(D(fake, right)) + F.softplus(D(real, wrong))) / 2
    ),
}

# --------------------------------------------------------------- 14.gumbel


def noise(u):
    return -torch.log(-torch.log(u))


def through(hard, soft):
    return hard + soft - soft.detach()


def gumbel_textbook(logits, u, tau):
    soft = torch.softmax((logits + noise(u)) / tau, dim=-1)
    hard = F.one_hot(soft.argmax(-1), logits.shape[-1]).float()
    return hard - soft.detach() + soft


def gumbel_scatter(logits, u, tau):
    """As in torch.nn.functional.gumbel_softmax."""
    g = Gumbel(torch.zeros_like(u), torch.ones_like(u)).icdf(u)
    soft = ((logits + g) / tau).softmax(1)
    index = soft.max(1, keepdim=True)[1]
    hard = torch.zeros_like(soft).scatter_(1, index, 1.0)
    return hard + (soft - soft.detach())


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, soft):
        return (soft == soft.amax(1, keepdim=True)).to(soft.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad


def gumbel_function(logits, u, tau):
    x = (logits.double() - torch.log(-u.double().log())) / tau
    return Straight.apply(torch.exp(x - x.logsumexp(1, keepdim=True)))


def gumbel_race(logits, u, tau):
    """The race of exponential clocks: the smallest of −log u / p comes first."""
    clock = -u.log() / logits.softmax(1)
    soft = clock ** (-1 / tau)
    soft = soft / soft.sum(1, keepdim=True)
    hard = torch.eye(logits.shape[1])[clock.argmin(1)]
    return through(hard, soft)


def gumbel_rows(logits, u, tau):
    rows = []
    for row, luck in zip(logits, u, strict=True):
        soft = F.softmax((row + noise(luck)) / tau, 0)
        hard = torch.zeros(len(row))
        hard[int(soft.argmax())] = 1
        rows.append(through(hard, soft))
    return torch.stack(rows)


def gumbel(
    noisy=lambda x, u, tau: x + noise(u), soften=lambda x, tau: (x / tau).softmax(1),
    softened=None, dim=1, mix=through,
):  # fmt: skip
    def answer(logits, u, tau):
        x = noisy(logits, u, tau)
        soft = soften(softened(logits, u) if softened else x, tau)
        k = x.argmax(dim)
        hard = F.one_hot(k, x.shape[dim]).float()
        return mix(hard if dim == 1 else hard.T, soft)

    return answer


one_word = lambda x, u, tau: x
GUMBEL_WRONG = {
    "numbers_of_words": lambda x, u, tau: (x + noise(u)).argmax(1),
    "no_noise": gumbel(noisy=one_word),
    "soft_word": [
        gumbel(mix=lambda hard, soft: soft),
        gumbel(mix=lambda hard, soft: soft, soften=lambda x, tau: x.softmax(1)),
    ],
    "uniform_noise": gumbel(noisy=lambda x, u, tau: x + u),
    "one_logarithm": [
        gumbel(noisy=lambda x, u, tau: x - u.log()),
        gumbel(noisy=lambda x, u, tau: x + torch.log(u)),
    ],
    "noise_upside_down": gumbel(noisy=lambda x, u, tau: x + (-u.log()).log()),
    "noise_not_finite": lambda x, u, tau: ((x - u.log().log()) / tau).softmax(1),
    "temperature_on_logits_only": [
        gumbel(noisy=lambda x, u, tau: x / tau + noise(u)),
        gumbel(noisy=lambda x, u, tau: x + noise(u) / tau),
    ],
    "temperature_times": lambda x, u, tau: ((x + noise(u)) * tau).softmax(1),
    "probabilities_for_logits": gumbel(noisy=lambda x, u, tau: x.softmax(1) + noise(u)),
    "least_likely": gumbel(noisy=lambda x, u, tau: -(x + noise(u))),
    "across_the_batch": [
        gumbel(dim=0),
        lambda x, u, tau: ((x + noise(u)) / tau).softmax(0),
    ],
    "both_added": gumbel(mix=lambda hard, soft: hard + soft),
    "difference_only": gumbel(mix=lambda hard, soft: hard - soft),
    "slope_without_temperature": gumbel(soften=lambda x, tau: x.softmax(1)),
    "slope_without_noise": gumbel(softened=lambda x, u: x),
    "slope_of_the_identity": gumbel(soften=lambda x, tau: x),
    "slope_of_the_logarithm": gumbel(soften=lambda x, tau: (x / tau).log_softmax(1)),
    "slope_cancels": [
        gumbel(mix=lambda hard, soft: hard - soft + soft),
        gumbel(mix=lambda hard, soft: hard + soft - soft),
        gumbel(mix=lambda hard, soft: (hard - soft) + soft * 1.0),
    ],
    "slope_not_divided": gumbel(
        soften=lambda x, tau: (x + (x / tau - x).detach()).softmax(1)
    ),
    "loses_gradient": [
        gumbel(mix=lambda hard, soft: hard),
        lambda x, u, tau: gumbel_textbook(x, u, tau).detach().numpy(),
        lambda x, u, tau: gumbel_textbook(x, u, tau).tolist(),
    ],
}
GUMBEL_WRONG["own_noise"] = [
    lambda x, u, tau: F.gumbel_softmax(x, tau, hard=True),
    lambda x, u, tau: RelaxedOneHotCategorical(torch.tensor(tau), logits=x).rsample(),
]

# --------------------------------------------------------------- 14.contrastive


def clip_textbook(pictures, captions, scale):
    x, c = F.normalize(pictures, dim=-1), F.normalize(captions, dim=-1)
    logits, labels = scale * x @ c.T, torch.arange(len(x))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def clip_by_hand(pictures, captions, scale):
    total = 0.0
    x = pictures / pictures.norm(dim=1, keepdim=True)
    c = captions / captions.norm(dim=1, keepdim=True)
    for i in range(len(x)):
        for s in (scale * c @ x[i], scale * x @ c[i]):
            total = total - torch.log(s[i].exp() / s.exp().sum())
    return total / (2 * len(x))


def clip_cosines(pictures, captions, scale):
    s = scale * F.cosine_similarity(pictures[:, None], captions[None], dim=2)
    chosen = s.log_softmax(0).diag() + s.log_softmax(1).diag()
    return -chosen.mean().double() / 2


def clip_einsum(a, b, k):
    lengths = a.pow(2).sum(1).sqrt()[:, None] * b.pow(2).sum(1).sqrt()[None]
    s = torch.einsum("id,jd->ij", a, b) / lengths * k
    costs = torch.cat([s.logsumexp(1) - s.diagonal(), s.logsumexp(0) - s.diagonal()])
    return [costs.mean()]


def clip_distances(pictures, captions, scale):
    """On the unit sphere −|x − c|²/2 is the cosine less 1."""
    x, c = F.normalize(pictures).double(), F.normalize(captions).double()
    s = -scale * (x[:, None] - c[None]).square().sum(2) / 2
    return sum(nn.CrossEntropyLoss()(t, torch.arange(len(x))) for t in (s, s.T)) / 2


cosines = lambda x, c, scale: scale * F.normalize(x, dim=1) @ F.normalize(c, dim=1).T
label = lambda s: torch.arange(len(s))
choose = lambda s: F.cross_entropy(s, label(s))
two_ways = lambda s: (choose(s) + choose(s.T)) / 2
clip = lambda f: lambda x, c, scale: f(cosines(x, c, scale))


def no_partner(s):
    off = s - torch.diag(torch.full((len(s),), math.inf))
    return (off.logsumexp(1) + off.logsumexp(0)).mean() / 2 - s.diag().mean()


CONTRASTIVE_WRONG = {
    "pictures_choose_only": clip(choose),
    "captions_choose_only": clip(lambda s: choose(s.T)),
    "not_halved": clip(lambda s: choose(s) + choose(s.T)),
    "sum": [
        clip(lambda s: len(s) * two_ways(s)),
        clip(lambda s: -(s.log_softmax(0).diag() + s.log_softmax(1).diag()).sum()),
    ],
    "not_normalised": [
        lambda x, c, scale: two_ways(scale * x @ c.T),
        lambda x, c, scale: two_ways(x @ c.T),
        lambda x, c, scale: two_ways(scale * x @ F.normalize(c).T),
        lambda x, c, scale: two_ways(scale * F.normalize(x) @ c.T),
    ],
    "across_the_batch": lambda x, c, scale: two_ways(
        scale * F.normalize(x, dim=0) @ F.normalize(c, dim=0).T
    ),
    "no_scale": lambda x, c, scale: two_ways(cosines(x, c, 1)),
    "divided_by_scale": [
        lambda x, c, scale: two_ways(cosines(x, c, 1) / scale),
        lambda x, c, scale: two_ways(x @ c.T / scale),
    ],
    "softmax_twice": clip(
        lambda s: (choose(s.softmax(1)) + choose(s.T.softmax(1))) / 2
    ),
    "pair_by_pair": clip(
        lambda s: F.binary_cross_entropy_with_logits(s, torch.eye(len(s)))
    ),
    "partner_left_out": clip(no_partner),
    "one_softmax_for_all": clip(
        lambda s: -s.flatten().log_softmax(0).view_as(s).diag().mean()
    ),
    "only_partners": [
        clip(lambda s: -s.diag().mean()),
        lambda x, c, scale: (1 - F.cosine_similarity(x, c)).mean(),
    ],
    "log_forgotten": clip(
        lambda s: -(s.softmax(0).diag().mean() + s.softmax(1).diag().mean()) / 2
    ),
    "sign": clip(lambda s: -two_ways(s)),
    "within_pictures": [
        lambda x, c, scale: choose(cosines(x, x, scale)),
        lambda x, c, scale: (
            (choose(cosines(x, x, scale)) + choose(cosines(c, c, scale))) / 2
        ),
    ],
    "distances": lambda x, c, scale: two_ways(-scale * torch.cdist(x, c)),
    "one_side_detached": [
        lambda x, c, scale: clip_textbook(x.detach(), c, scale),
        lambda x, c, scale: (
            (
                choose(cosines(x, c.detach(), scale))
                + choose(cosines(x.detach(), c, scale).T)
            )
            / 2
        ),
    ],
    "loses_gradient": no(clip_textbook),
    "shape": clip(lambda s: F.cross_entropy(s, label(s), reduction="none")),
}

RIGHT = {
    "14.gru": [gru_chunks, gru_cell, gru_loop, gru_numpy, gru()],
    "14.matching_aware": [
        aware_softplus, aware_bce, aware_batched, aware_logs, aware_loop, aware(GOOD),
    ],
    "14.gumbel": [
        gumbel_textbook, gumbel_scatter, gumbel_function, gumbel_race, gumbel_rows,
        gumbel(),
    ],
    "14.contrastive": [
        clip_textbook, clip_by_hand, clip_cosines, clip_einsum, clip_distances,
    ],
}  # fmt: skip
WRONG = {
    "14.gru": GRU_WRONG,
    "14.matching_aware": MATCHING_WRONG,
    "14.gumbel": GUMBEL_WRONG,
    "14.contrastive": CONTRASTIVE_WRONG,
}
right, wrong = cases("14", RIGHT, WRONG)


@right
def test_a_right_answer_passes_however_it_is_written(name, answer):
    passes(name, answer)


@wrong
def test_a_wrong_answer_is_recognised_by_its_misconception(name, mistake, answer):
    recognised(name, mistake, answer)
