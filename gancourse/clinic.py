"""The patients of the clinic: one training step each, from published tutorials.

Each is `step(G, D, g_opt, d_opt, real, z) -> (d_loss, g_loss)`, and all of them run
without an error. Docstrings say what the owner complains of, never the cause: read the
code only after a guess. Not all of them are ill.
"""

from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

Losses = tuple[Tensor, Tensor]


def patient_a(G, D, g_opt, d_opt, real: Tensor, z: Tensor) -> Losses:
    """(d_loss, g_loss). "Both losses are zero after a minute. Can I stop?" """
    d_loss = softplus(-D(real)).mean()
    d_opt.zero_grad()
    d_loss.backward()
    d_opt.step()
    g_loss = softplus(-D(G(z))).mean()
    g_opt.zero_grad()
    g_loss.backward()
    g_opt.step()
    return d_loss, g_loss


def patient_b(G, D, g_opt, d_opt, real: Tensor, z: Tensor) -> Losses:
    """(d_loss, g_loss). "My loss is minus a hundred million." """
    V = logsigmoid(D(real)).mean() + logsigmoid(-D(G(z))).mean()
    d_loss = g_loss = V
    d_opt.zero_grad()
    g_opt.zero_grad()
    V.backward()
    d_opt.step()
    g_opt.step()
    return d_loss, g_loss


def patient_c(G, D, g_opt, d_opt, real: Tensor, z: Tensor) -> Losses:
    """(d_loss, g_loss). "d_loss falls without end, and G learns nothing." """
    fake = G(z)
    d_loss = logsigmoid(D(real)).mean() + logsigmoid(-D(fake.detach())).mean()
    d_opt.zero_grad()
    d_loss.backward()
    d_opt.step()
    g_loss = softplus(-D(fake)).mean()
    g_opt.zero_grad()
    g_loss.backward()
    g_opt.step()
    return d_loss, g_loss


def patient_d(G, D, g_opt, d_opt, real: Tensor, z: Tensor) -> Losses:
    """(d_loss, g_loss). "d_loss is perfect, but G runs away from the data." """
    fake = G(z)
    d_loss = softplus(D(real)).mean() + softplus(-D(fake.detach())).mean()
    d_opt.zero_grad()
    d_loss.backward()
    d_opt.step()
    g_loss = softplus(-D(fake)).mean()
    g_opt.zero_grad()
    g_loss.backward()
    g_opt.step()
    return d_loss, g_loss


def patient_e(G, D, g_opt, d_opt, real: Tensor, z: Tensor) -> Losses:
    """(d_loss, g_loss). "The losses are ideal, and all samples are alike." """
    fake = G(z)
    d_loss = softplus(-D(real)).mean() + softplus(D(fake.detach())).mean()
    d_opt.zero_grad()
    d_loss.backward()
    d_opt.step()
    fake_logits = D(fake)
    g_loss = (softplus(-fake_logits) + softplus(fake_logits)).mean()
    g_opt.zero_grad()
    g_loss.backward()
    g_opt.step()
    return d_loss, g_loss


def patient_f(G, D, g_opt, d_opt, real: Tensor, z: Tensor) -> Losses:
    """(d_loss, g_loss). "D wins at once; my samples never change." """
    fake = G(z).detach()
    d_loss = softplus(-D(real)).mean() + softplus(D(fake)).mean()
    d_opt.zero_grad()
    d_loss.backward()
    d_opt.step()
    g_loss = softplus(-D(fake)).mean()
    g_opt.zero_grad()
    g_loss.backward()
    g_opt.step()
    return d_loss, g_loss


def patient_g(G, D, g_opt, d_opt, real: Tensor, z: Tensor) -> Losses:
    """(d_loss, g_loss). "The loss sits at log 4, as the paper says. And yet?" """
    fake = G(z)
    real_logits, fake_logits = D(real), D(fake)
    loss = softplus(-real_logits) + softplus(fake_logits) + softplus(-fake_logits)
    loss = loss.mean()
    d_opt.zero_grad()
    g_opt.zero_grad()
    loss.backward()
    d_opt.step()
    g_opt.step()
    return loss, loss


def patient_h(G, D, g_opt, d_opt, real: Tensor, z: Tensor) -> Losses:
    """(d_loss, g_loss). "Good samples. But D calls everything real." """
    fake = G(z)
    d_loss = softplus(-D(real)).mean() + softplus(D(fake.detach())).mean()
    d_opt.zero_grad()
    d_loss.backward()
    d_opt.step()
    g_loss = softplus(-D(fake)).mean()
    g_opt.zero_grad()
    g_loss.backward()
    g_opt.step()
    d_opt.step()
    return d_loss, g_loss


def patient_i(G, D, g_opt, d_opt, real: Tensor, z: Tensor) -> Losses:
    """(d_loss, g_loss). "Nearly right. D will not settle at one half." """
    g_opt.zero_grad()
    d_opt.zero_grad()
    d_loss = softplus(-D(real)).mean() + softplus(D(G(z))).mean()
    d_loss.backward()
    d_opt.step()
    g_loss = softplus(-D(G(z))).mean()
    g_loss.backward()
    g_opt.step()
    return d_loss, g_loss


def patient_j(G, D, g_opt, d_opt, real: Tensor, z: Tensor) -> Losses:
    """(d_loss, g_loss). "The loss is 0.000: converged?" """
    loss = 0.5 * (D(G(z)) - G(z)).square().mean()
    d_opt.zero_grad()
    g_opt.zero_grad()
    loss.backward()
    d_opt.step()
    g_opt.step()
    return loss, loss


def patient_k(G, D, g_opt, d_opt, real: Tensor, z: Tensor) -> Losses:
    """(d_loss, g_loss). "A colleague says that I forgot a detach." """
    d_loss = softplus(-D(real)).mean() + softplus(D(G(z))).mean()
    d_opt.zero_grad()
    d_loss.backward()
    d_opt.step()
    g_loss = softplus(-D(G(z))).mean()
    g_opt.zero_grad()
    g_loss.backward()
    g_opt.step()
    return d_loss, g_loss


def patient_l(G, D, g_opt, d_opt, real: Tensor, z: Tensor) -> Losses:
    """(d_loss, g_loss). "A colleague says that D has to move first." """
    g_loss = softplus(-D(G(z))).mean()
    g_opt.zero_grad()
    g_loss.backward()
    g_opt.step()
    d_loss = softplus(-D(real)).mean() + softplus(D(G(z).detach())).mean()
    d_opt.zero_grad()
    d_loss.backward()
    d_opt.step()
    return d_loss, g_loss


PATIENTS = {
    step.__name__[-1].upper(): step
    for step in (
        *(patient_a, patient_b, patient_c, patient_d, patient_e, patient_f),
        *(patient_g, patient_h, patient_i, patient_j, patient_k, patient_l),
    )
}


# ------------------------------------------------------------------ pictures


def generator(width: int = 16) -> nn.Sequential:
    """A small DCGAN generator: latents (N, 64) to digits (N, 1, 28, 28) in [-1, 1]."""
    return nn.Sequential(
        nn.Linear(64, 2 * width * 49, bias=False),
        nn.Unflatten(1, (2 * width, 7, 7)),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.ConvTranspose2d(width, 1, 4, 2, 1),
        nn.Tanh(),
    )


def discriminator(width: int = 16) -> nn.Sequential:
    """A small DCGAN discriminator: digits (N, 1, 28, 28) to logits (N, 1)."""
    return nn.Sequential(
        nn.Conv2d(1, width, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(2 * width * 49, 1),
    )
