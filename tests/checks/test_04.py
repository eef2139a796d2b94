"""Exercises of notebook 04: right answers in many forms pass, each mistake is named."""

import copy
import io
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from table import hints_are_asked_for, passes, recognised
from torch import nn

from gancourse.checks import ch04, ch04_loop, grade

# ruff: noqa: E731

# ------------------------------------------------------------------ 04.init


def init_isinstance(m):
    if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(m.weight, 0.0, 0.02)
        if m.bias is not None:
            nn.init.zeros_(m.bias)
    elif isinstance(m, nn.BatchNorm2d):
        nn.init.normal_(m.weight, 1.0, 0.02)
        nn.init.zeros_(m.bias)


def init_class_names(m):
    """Nearly as in the PyTorch tutorial: whole names, and the linear layer added."""
    classname = m.__class__.__name__
    if classname in ("Conv2d", "ConvTranspose2d", "Linear"):
        m.weight.data.normal_(0.0, 0.02)
        if m.bias is not None:
            m.bias.data.fill_(0)
    elif classname == "BatchNorm2d":
        m.weight.data.normal_(1.0, 0.02)
        m.bias.data.fill_(0)


OURS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d)


def init_parameters(m):
    """Every bias, that of any layer; weights where they are asked for."""
    with torch.no_grad():
        for name, p in m.named_parameters(recurse=False):
            if name == "bias":
                p.zero_()
            elif isinstance(m, OURS):
                p.copy_(0.02 * torch.randn_like(p) + (p.ndim == 1))


def init_new_parameters(m):
    if type(m) in OURS:
        shape = m.weight.shape
        drawn = np.random.default_rng().normal(len(shape) == 1, 0.02, shape)
        m.weight = nn.Parameter(torch.tensor(drawn, dtype=torch.float32))
        if m.bias is not None:
            m.bias = nn.Parameter(torch.zeros(len(m.bias)))
    return m


def initialising(conv=(0.0, 0.02), norm=(1.0, 0.02), kinds=None, bias=0.0, law=None):
    kinds = kinds or (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    law = law or nn.init.normal_

    def init(m):
        if isinstance(m, kinds):
            law(m.weight, *conv)
            if m.bias is not None and bias is not None:
                nn.init.normal_(m.bias, 0.0, bias)
        elif isinstance(m, nn.BatchNorm2d) and norm:
            law(m.weight, *norm) if law is nn.init.normal_ else nn.init.ones_(m.weight)
            nn.init.zeros_(m.bias)

    return init


def init_tutorial(m):
    """As in the PyTorch tutorial, with the linear layer added."""
    classname = m.__class__.__name__
    if classname.find("Conv") != -1 or classname.find("Linear") != -1:
        m.weight.data.normal_(0.0, 0.02)
        if m.bias is not None:
            m.bias.data.fill_(0)
    elif classname.find("BatchNorm") != -1:
        m.weight.data.normal_(1.0, 0.02)
        m.bias.data.fill_(0)


def init_norms(m):
    name = m.__class__.__name__
    if "Conv" in name or "Linear" in name:
        nn.init.normal_(m.weight, 0, 0.02)
        if m.bias is not None:
            nn.init.zeros_(m.bias)
    elif "Norm" in name and m.weight is not None:
        nn.init.normal_(m.weight, 1, 0.02)
        nn.init.zeros_(m.bias)


def init_whatever_has_a_weight(m):
    if isinstance(m, nn.BatchNorm2d):
        nn.init.normal_(m.weight, 1, 0.02)
    elif hasattr(m, "weight"):
        nn.init.normal_(m.weight, 0, 0.02)
    if getattr(m, "bias", None) is not None:
        nn.init.zeros_(m.bias)


def init_lost(m):
    if isinstance(m, nn.Conv2d):
        weight = torch.randn_like(m.weight) * 0.02
        del weight


root = math.sqrt(0.02)
INIT_WRONG = {
    "untouched": init_lost,
    "transposed_forgotten": initialising(kinds=(nn.Conv2d, nn.Linear)),
    "only_transposed": initialising(kinds=(nn.ConvTranspose2d, nn.Linear)),
    "linear_forgotten": initialising(kinds=(nn.Conv2d, nn.ConvTranspose2d)),
    "batchnorm_forgotten": initialising(norm=None),
    "batchnorm_at_zero": initialising(norm=(0.0, 0.02)),
    "convolutions_at_one": initialising(conv=(1.0, 0.02)),
    "variance": initialising(conv=(0.0, root), norm=(1.0, root)),
    "uniform": initialising(conv=(-0.02, 0.02), law=nn.init.uniform_),
    "bias_not_zero": initialising(bias=None),
    "others_changed": init_whatever_has_a_weight,
}

# ------------------------------------------------------------------ 04.sizes


def sizes_loop(size, layers):
    for kind, kernel, stride, padding in layers:
        if kind == "conv":
            size = (size + 2 * padding - kernel) // stride + 1
        else:
            size = (size - 1) * stride + kernel - 2 * padding
    return size


def sizes_by_running(size, layers):
    x = torch.zeros(1, 1, size, size)
    for kind, k, s, p in layers:
        make = nn.Conv2d if kind == "conv" else nn.ConvTranspose2d
        x = make(1, 1, k, s, p)(x)
    return x.shape[-1]


def sizes_recursive(size, layers):
    if not layers:
        return torch.tensor(size)
    (kind, k, s, p), *rest = layers
    if kind == "transposed":
        return sizes_recursive(s * size - s + k - p - p, rest)
    return sizes_recursive(math.floor((size + 2 * p - k) / s + 1), rest)


def sizes_counting(size, layers):
    """Count the places at which a kernel fits; undo that for a transposed one."""
    places = lambda n, k, s, p: len(range(0, n + 2 * p - k + 1, s))
    for kind, k, s, p in layers:
        if kind == "conv":
            size = places(size, k, s, p)
        else:
            size = next(n for n in range(1, 10_000) if places(n, k, s, p) == size)
    return size


def sizes_first(size, layers):
    for layer in layers:
        return sizes_loop(size, [layer])


SIZES_WRONG = {
    name: lambda size, layers, rule=rule: ch04._through(size, layers, rule)
    for name, rule in ch04._SIZE_RULES.items()
    if name != "right"
} | {"first_only": sizes_first}

# ------------------------------------------------------------------ 04.step


def step_no_grad(G, D, real, z_d, z_g, d_opt, g_opt):
    with torch.no_grad():
        fake = G(z_d)
    d_opt.zero_grad()
    d_loss = F.softplus(-D(real)).mean() + F.softplus(D(fake)).mean()
    d_loss.backward()
    d_opt.step()
    D.requires_grad_(False)
    g_opt.zero_grad()
    F.softplus(-D(G(z_g))).mean().backward()
    g_opt.step()
    D.requires_grad_(True)


def step_without_detach(G, D, real, z_d, z_g, d_opt, g_opt):
    """Harmless: separate optimizers, and G is cleared directly before its backward."""
    bce = nn.BCEWithLogitsLoss()
    s_real, s_fake = D(real), D(G(z_d))
    d_loss = bce(s_real, torch.ones_like(s_real)) + bce(
        s_fake, torch.zeros_like(s_fake)
    )
    D.zero_grad()
    d_loss.backward()
    d_opt.step()
    s = D(G(z_g))
    g_loss = bce(s, torch.ones_like(s))
    G.zero_grad()
    g_loss.backward()
    g_opt.step()
    return d_loss.item(), g_loss.item()


def step_by_autograd(G, D, real, z_d, z_g, d_opt, g_opt):
    loss = -torch.log(torch.sigmoid(D(real))).mean()
    loss = loss - torch.log(1 - torch.sigmoid(D(G(z_d).detach()))).mean()
    d_params, g_params = list(D.parameters()), list(G.parameters())
    for p, g in zip(d_params, torch.autograd.grad(loss, d_params), strict=True):
        p.grad = g
    d_opt.step()
    loss = -F.logsigmoid(D(G(z_g))).mean()
    for p, g in zip(g_params, torch.autograd.grad(loss, g_params), strict=True):
        p.grad = g
    g_opt.step()


def step_two_backwards(G, D, real, z_d, z_g, d_opt, g_opt):
    d_opt.zero_grad(set_to_none=False)
    torch.logaddexp(torch.zeros(()), -D(real)).mean().backward()
    torch.logaddexp(torch.zeros(()), D(G(z_d).data)).mean().backward()
    d_opt.step()
    g_opt.zero_grad(set_to_none=False)
    torch.logaddexp(torch.zeros(()), -D(G(z_g))).sum().div(len(z_g)).backward()
    g_opt.step()


def step_zero_at_top(G, D, real, z_d, z_g, d_opt, g_opt):
    g_opt.zero_grad()
    d_opt.zero_grad()
    (F.softplus(-D(real)).mean() + F.softplus(D(G(z_d))).mean()).backward()
    d_opt.step()
    F.softplus(-D(G(z_g))).mean().backward()
    g_opt.step()


def step_detached_cleared_at_the_top(G, D, real, z_d, z_g, d_opt, g_opt):
    """Harmless: detached fakes leave no gradient of D's loss in G."""
    for opt in (d_opt, g_opt):
        opt.zero_grad()
    (F.softplus(-D(real)).mean() + F.softplus(D(G(z_d).detach())).mean()).backward()
    d_opt.step()
    F.softplus(-D(G(z_g))).mean().backward()
    g_opt.step()


def clearing(before=(), after=(), between=(), attached=False):
    """The step with zero_grad only at these places, each "", "d", "g" or "dg"."""

    def step(G, D, real, z_d, z_g, d_opt, g_opt):
        fake = G(z_d) if attached else G(z_d).detach()
        if "d" in before:
            d_opt.zero_grad()
        (F.softplus(-D(real)).mean() + F.softplus(D(fake)).mean()).backward()
        d_opt.step()
        if "d" in after or "d" in between:
            d_opt.zero_grad()
        if "g" in between:
            g_opt.zero_grad()
        F.softplus(-D(G(z_g))).mean().backward()
        g_opt.step()
        if "g" in after:
            g_opt.zero_grad()

    return step


def step_frozen_for_ever(G, D, real, z_d, z_g, d_opt, g_opt):
    step_no_grad(G, D, real, z_d, z_g, d_opt, g_opt)
    D.requires_grad_(False)


def step_in_eval(G, D, real, z_d, z_g, d_opt, g_opt):
    D.eval()
    step_no_grad(G, D, real, z_d, z_g, d_opt, g_opt)


def step_g_detached(G, D, real, z_d, z_g, d_opt, g_opt):
    d_opt.zero_grad()
    (F.softplus(-D(real)).mean() + F.softplus(D(G(z_d).detach())).mean()).backward()
    d_opt.step()
    g_opt.zero_grad()
    F.softplus(-D(G(z_g).detach())).mean().backward()
    g_opt.step()


def step_as_found(G, D, real, z_d, z_g, d_opt, g_opt):
    """The program of the exercise, untouched."""
    g_opt.zero_grad()
    d_opt.zero_grad()
    d_loss = F.softplus(-D(real)).mean() + F.softplus(D(G(z_d))).mean()
    d_loss.backward()
    d_opt.step()
    g_loss = F.softplus(-D(G(z_g))).mean()
    g_loss.backward()
    g_opt.step()
    d_opt.step()


def step_half_repaired(G, D, real, z_d, z_g, d_opt, g_opt):
    d_opt.zero_grad()
    (F.softplus(-D(real)).mean() + F.softplus(D(G(z_d))).mean()).backward()
    d_opt.step()
    d_opt.zero_grad()
    g_opt.zero_grad()
    F.softplus(-D(G(z_g))).mean().backward()
    g_opt.step()
    d_opt.step()


STEP_KINDS = [name for name in ch04_loop._STEP_KINDS if name not in ch04_loop._ALSO]
STEP_WRONG = {name: ch04_loop._gan_step(name) for name in STEP_KINDS} | {
    "left_frozen": step_frozen_for_ever,
    "left_in_eval": step_in_eval,
}


def step_together(G, D, real, z_d, z_g, d_opt, g_opt):
    d_loss = F.softplus(-D(real)).mean() + F.softplus(D(G(z_d).detach())).mean()
    g_loss = F.softplus(-D(G(z_g))).mean()
    d_opt.zero_grad(), g_opt.zero_grad()
    d_loss.backward(), g_loss.backward()
    d_opt.step(), g_opt.step()


STEP_WRITTEN = [
    ("both_at_once", step_together),
    ("old_gradients", step_zero_at_top),
    ("old_gradients", step_as_found),
    ("d_steps_too", step_half_repaired),
    ("g_does_not_move", step_g_detached),
    ("neither_cleared", clearing()),
    ("neither_cleared", clearing(attached=True)),
    ("neither_cleared", clearing(after="dg")),
    ("neither_cleared", clearing(after="dg", attached=True)),
    ("d_not_cleared", clearing(between="g")),
    ("d_not_cleared", clearing(between="dg")),
    ("d_not_cleared", clearing(after="d", between="g", attached=True)),
    ("g_not_cleared", clearing(before="d")),
    ("g_not_cleared", clearing(before="d", attached=True)),
]

# ------------------------------------------------------------------ 04.resume

PARTS = ("G", "D", "average", "g_opt", "d_opt")


def save_dict(run):
    saved = {name: getattr(run, name).state_dict() for name in PARTS}
    return saved | {"rng": run.rng.get_state(), "step": run.step}


def load_dict(run, saved):
    for name in PARTS:
        getattr(run, name).load_state_dict(saved[name])
    run.rng.set_state(saved["rng"])
    run.step = saved["step"]


def save_bytes(run):
    file = io.BytesIO()
    torch.save([save_dict(run)[name] for name in (*PARTS, "rng", "step")], file)
    return file.getvalue()


def load_bytes(run, saved):
    *states, rng, step = torch.load(io.BytesIO(saved), weights_only=True)
    for player, state in zip(
        (run.G, run.D, run.average, run.g_opt, run.d_opt), states, strict=True
    ):
        player.load_state_dict(state)
    run.rng.set_state(rng)
    run.step = step


def save_copies(run):
    return (
        copy.deepcopy([run.G, run.D, run.average]),
        [opt.state_dict() for opt in (run.g_opt, run.d_opt)],
        {"rng": run.rng.get_state().tolist(), "step": float(run.step)},
    )


def load_copies(run, saved):
    """Other objects altogether, with optimizers made for them."""
    (run.G, run.D, run.average), (g_opt, d_opt), rest = saved
    run.g_opt = torch.optim.Adam(run.G.parameters(), betas=(0.5, 0.9))
    run.d_opt = torch.optim.Adam(run.D.parameters(), betas=(0.5, 0.9))
    run.g_opt.load_state_dict(g_opt)
    run.d_opt.load_state_dict(d_opt)
    run.rng.set_state(torch.tensor(rest["rng"], dtype=torch.uint8))
    run.step = int(rest["step"])
    return run


def save_everything(run):
    saved = dict(vars(run))
    saved["rng"] = run.rng.get_state()
    return saved


def load_everything(run, saved):
    rng = saved.pop("rng")
    vars(run).update(saved)  # pickled together: the optimizers hold these players
    run.rng.set_state(rng)


def without(*names, **other):
    """Save all; load all but these."""

    def load(run, saved):
        for name in PARTS:
            if name not in names:
                getattr(run, name).load_state_dict(saved[other.get(name, name)])
        if "rng" not in names:
            run.rng.set_state(saved["rng"])
        if "step" not in names:
            run.step = saved["step"]

    return save_dict, load


def load_parameters(run, saved):
    load_dict(run, saved | {"G": run.G.state_dict()})
    with torch.no_grad():
        for name, p in run.G.named_parameters():
            p.copy_(saved["G"][name])


def save_and_rewind(run):
    saved = save_dict(run)
    run.step = 0
    return saved


def load_new_name(run, saved):
    run = ch04_loop.Run(0)
    load_dict(run, saved)


def save_objects(run):
    return {name: copy.deepcopy(getattr(run, name)) for name in PARTS} | {
        "rng": run.rng.get_state(),
        "step": run.step,
    }


def load_objects(run, saved):
    for name in PARTS:
        setattr(run, name, saved[name])
    run.rng.set_state(saved["rng"])
    run.step = saved["step"]


def load_seeded(run, saved):
    load_dict(run, saved)
    run.rng.manual_seed(0)


RESUME_WRONG = {
    "old_changed": (save_and_rewind, load_dict),
    "nothing_carried": (save_dict, load_new_name),
    "weights_only": without("average", "g_opt", "d_opt", "rng", "step"),
    "a_player_forgotten": without("D"),
    "average_forgotten": without("average"),
    "optimizer_forgotten": without("g_opt", "d_opt"),
    "buffers_forgotten": (save_dict, load_parameters),
    "random_forgotten": (save_dict, load_seeded),
    "step_forgotten": without("step"),
    "optimizer_of_others": (save_objects, load_objects),
}
RESUME_WRITTEN = [
    ("optimizer_forgotten", without("d_opt")),
    ("average_forgotten", without(average="G")),
    ("random_forgotten", without("rng")),
]

# ------------------------------------------------------------------ 04.sample


@torch.no_grad()
def sample_plain(G, z):
    was = G.training
    G.eval()
    images = G(z)
    G.train(was)
    return images


def sample_copy(G, z):
    with torch.inference_mode():
        return copy.deepcopy(G).eval()(z)


def sample_one_by_one(G, z):
    mode = [m.training for m in G.modules()]
    G.train(False)
    try:
        images = [G(one[None])[0].detach().numpy() for one in z]
    finally:
        for m, was in zip(G.modules(), mode, strict=True):
            m.training = was
    return np.stack(images)


def sample_detached(G, z):
    training = G.training
    out = G.eval()(z).detach()
    if training:
        G.train()
    return out.tolist()


def sample_frozen_meanwhile(G, z):
    was, free = G.training, [p.requires_grad for p in G.parameters()]
    images = G.eval().requires_grad_(False)(z)
    for p, one in zip(G.parameters(), free, strict=True):
        p.requires_grad_(one)
    G.train(was)
    return images


def sample_left_frozen(G, z):
    was = G.training
    G.requires_grad_(False)
    images = G.eval()(z)
    G.train(was)
    return images


def sampling(
    before=lambda G: G.eval(), after=None, latents=lambda z: z, out=lambda x: x
):
    def sample(G, z):
        was = G.training
        before(G)
        with torch.no_grad():
            images = out(G(latents(z)))
        (after or (lambda G: G.train(was)))(G)
        return images

    return sample


def sample_with_graph(G, z):
    was = G.training
    images = G.eval()(z)
    G.train(was)
    return images


SAMPLE_WRONG = {
    "training_mode": sampling(before=lambda G: G.train()),
    "fresh_latents": sampling(latents=torch.randn_like),
    "rescaled": sampling(out=lambda x: (x + 1) / 2),
    "keeps_graph": sample_with_graph,
    "left_frozen": sample_left_frozen,
    "left_in_eval": sampling(after=lambda G: None),
    "left_in_training": sampling(after=lambda G: G.train()),
    "shape": sampling(out=lambda x: x.mean(0)),
    "returns_nothing": sampling(out=lambda x: None),
}

# ------------------------------------------------------------------ 04.slerp


def slerp_where(a, b, t):
    t = t[:, None, None]
    cos = F.cosine_similarity(a, b, dim=-1).clamp(-1, 1)[:, None]
    theta = torch.acos(cos)
    s = theta.sin()
    safe = torch.where(s < 1e-4, torch.ones_like(s), s)
    round_ = (torch.sin((1 - t) * theta) * a + torch.sin(t * theta) * b) / safe
    return torch.where(s < 1e-4, (1 - t) * a + t * b, round_)


def slerp_loops(a, b, t):
    rows = []
    for w in t.tolist():
        row = []
        for p, q in zip(a.double(), b.double(), strict=True):
            cos = float(p @ q / (p.norm() * q.norm()))
            angle = math.acos(max(-1.0, min(1.0, cos)))
            if angle < 1e-5:
                row.append(p)
                continue
            u, v = math.sin((1 - w) * angle), math.sin(w * angle)
            row.append((u * p + v * q) / math.sin(angle))
        rows.append(torch.stack(row))
    return torch.stack(rows)


def slerp_basis(a, b, t):
    """Walk from a along the part of b that is perpendicular to it."""
    r = a.norm(dim=1, keepdim=True)
    e = a / r
    along = (b * e).sum(1, keepdim=True)
    across = b - along * e
    n = across.norm(dim=1, keepdim=True)
    angle = torch.atan2(n, along)
    f = across / n.clamp_min(1e-9)
    turned = torch.einsum("t,nd->tnd", t, angle.expand_as(a))
    return r * (turned.cos() * e + turned.sin() * f)


def slerp_numpy(a, b, t):
    a, b, t = (x.numpy().astype(float) for x in (a, b, t))
    t = t[:, None, None]
    cos = np.einsum("nd,nd->n", a, b)
    cos = cos / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    angle = np.maximum(np.arccos(np.clip(cos, -1, 1)), 1e-6)[None, :, None]
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def angles(a, b):
    cos = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    return torch.acos(cos.clamp(-1, 1))


def walk(a, b, t, angle):
    t, angle = t[:, None, None], angle[:, None]
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / angle.sin()


def slerp_straight(a, b, t):
    return torch.stack([torch.lerp(a, b, w) for w in t])


SLERP_WRONG = {
    "straight": slerp_straight,
    "straight_scaled": lambda a, b, t: (
        F.normalize(slerp_straight(a, b, t), dim=-1) * a.norm(dim=1)[:, None]
    ),
    "unit_sphere": lambda a, b, t: walk(
        F.normalize(a), F.normalize(b), t, angles(a, b)
    ),
    "reversed": lambda a, b, t: walk(b, a, t, angles(a, b)),
    "cosine_as_angle": lambda a, b, t: walk(a, b, t, angles(a, b).cos()),
    "not_divided": lambda a, b, t: (
        walk(a, b, t, angles(a, b)) * angles(a, b).sin()[:, None]
    ),
    "one_angle": lambda a, b, t: walk(
        a, b, t, torch.acos((a * b).sum() / (a.norm() * b.norm())).repeat(len(a))
    ),
    "cosines": lambda a, b, t: (
        torch.cos(t[:, None, None] * angles(a, b)[:, None]) * a
        + torch.cos((1 - t[:, None, None]) * angles(a, b)[:, None]) * b
    ),
    "cosine_out_of_range": lambda a, b, t: walk(a, b, t, torch.acos((a * b).sum(1))),
    "equal_ends": lambda a, b, t: walk(a, b, t, angles(a, b)),
    "shape": lambda a, b, t: walk(a, b, t, angles(a, b)).transpose(0, 1),
}

RIGHT = {
    "04.init": [
        init_isinstance,
        init_tutorial,
        init_class_names,
        init_parameters,
        init_new_parameters,
    ],
    "04.sizes": [sizes_loop, sizes_by_running, sizes_recursive, sizes_counting],
    "04.step": [
        step_no_grad,
        step_without_detach,
        step_detached_cleared_at_the_top,
        step_by_autograd,
        step_two_backwards,
    ],
    "04.resume": [
        (save_dict, load_dict),
        [save_bytes, load_bytes],
        (save_copies, load_copies),
        (save_everything, load_everything),
    ],
    "04.sample": [
        sample_plain,
        sample_copy,
        sample_one_by_one,
        sample_detached,
        sample_frozen_meanwhile,
    ],
    "04.slerp": [slerp_where, slerp_loops, slerp_basis, slerp_numpy],
}
WRONG = {
    "04.init": INIT_WRONG,
    "04.sizes": SIZES_WRONG,
    "04.step": STEP_WRONG,
    "04.resume": RESUME_WRONG,
    "04.sample": SAMPLE_WRONG,
    "04.slerp": SLERP_WRONG,
}
CASES = [(n, m, answer) for n in WRONG for m, answer in WRONG[n].items()]
wide = 0.02 * math.sqrt(3)  # a uniform law with the right deviation
CASES += [("04.init", "uniform", initialising((-wide, wide), law=nn.init.uniform_))]
CASES += [("04.init", "others_changed", init_norms)]
CASES += [("04.step", m, answer) for m, answer in STEP_WRITTEN]
CASES += [("04.resume", m, answer) for m, answer in RESUME_WRITTEN]


@pytest.mark.parametrize(
    ("name", "number"), [(n, i) for n in RIGHT for i in range(len(RIGHT[n]))]
)
def test_a_right_answer_passes_however_it_is_written(name, number):
    passes(name, RIGHT[name][number])


@pytest.mark.parametrize(("name", "mistake", "answer"), CASES)
def test_a_wrong_answer_is_recognised_by_its_misconception(name, mistake, answer):
    recognised(name, mistake, answer)


def test_every_hint_is_asked_for_by_a_wrong_answer():
    hints_are_asked_for(ch04, CASES)


def stub(*arguments):
    # your code here
    raise NotImplementedError


def test_a_pair_of_stubs_is_not_attempted():
    assert grade("04.resume", (stub, stub)).status == "not attempted"
    assert grade("04.resume", (save_dict, stub)).status == "not attempted"
