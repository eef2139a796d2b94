"""Notebook 08: what it writes by hand, against values worked out here; its claims."""

import ast
import json
import math
from pathlib import Path

import pytest
import stored_run
import torch
from torch import nn

from gancourse import course, data, denoising, latent
from gancourse.models import dcgan, diffusion, mlp
from gancourse.models.vae import Decoder, Encoder
from gancourse.training import TrainConfig, start, train

PATH = Path(__file__).resolve().parents[2] / "notebooks/08_gan_or_vae.ipynb"


def code_cells() -> list[dict]:
    cells = json.loads(PATH.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def book() -> dict:
    """The functions and classes that the notebook defines, nothing of it run."""
    names = {"torch": torch, "nn": nn, "math": math, "data": data}
    names |= {"diffusion": diffusion, "ring": data.ring(), "seed": 0}
    return stored_run.definitions(PATH, names)


@pytest.fixture(scope="module")
def metrics() -> dict:
    """What the stored run (profile cpu) reported."""
    return stored_run.metrics(PATH)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed))


# ------------------------------------------------------------------ by hand


def test_the_elbo_by_hand_is_the_games(book):
    torch.manual_seed(0)
    E, G = Encoder(16, width=4, refine=1), Decoder(8, width=4, refine=1)
    x = data.to_unit(data.digits("test").images[:16])
    mine = book["negative_elbo"](E, G, x, 0.3, rng(1))
    theirs, parts = latent.VAE(E, G, 0.3).generator_loss(x, rng(1))
    assert mine.item() == pytest.approx(theirs.item(), rel=1e-5)
    mean, log_variance = E(x).chunk(2, 1)
    assert parts["kl"].item() == pytest.approx(
        book["kl_by_hand"](mean, log_variance).mean().item(), rel=1e-4
    )
    # N(2, 1) against N(0, 1): 2² / 2
    two, zero = torch.full((1, 1), 2.0), torch.zeros(1, 1)
    assert book["kl_by_hand"](two, zero).item() == pytest.approx(2.0)


def test_the_sixty_lines_are_sixty_and_are_the_package(book):
    text = "\n".join("".join(cell["source"]) for cell in code_cells())
    kinds = {"levels", "sink", "noise_loss", "draw", "Block", "UNet"}
    lines = 0
    for node in ast.parse(text.replace("%pip", "pass  #")).body:
        if getattr(node, "name", "") in kinds:
            kept = ast.unparse(node).splitlines()
            lines += sum(bool(s.strip()) and '"""' not in s for s in kept)
    assert 45 <= lines <= 66
    torch.manual_seed(0)
    mine = book["UNet"]()
    torch.manual_seed(0)
    theirs = diffusion.Denoiser()
    x, e = normal(4, 1, 28, 28), normal(4, 1, 28, 28, seed=1)
    packaged, _ = denoising.Diffusion(theirs).generator_loss(x, rng(2))
    assert book["noise_loss"](mine, x, rng(2)).item() == pytest.approx(
        packaged.item(), rel=1e-5
    )
    for ancestral in (False, True):
        with torch.no_grad():
            drawn = book["draw"](mine, e, 6, ancestral, rng(3)).clamp(-1, 1)
        other = denoising.sample(theirs, e, 6, float(ancestral), rng(3))
        assert (drawn - other).abs().max() < 1e-4


def test_the_exact_noise_of_the_ring_is_the_conditional_mean(book):
    # With one center at the origin: e = noise x / (signal² std² + noise²)
    book["disc"] = data.Mixture(torch.zeros(1, 2), 0.3)
    x, t = normal(20, 2), torch.full((20,), 0.6)
    signal, noise = denoising.schedule(t[0])
    expected = noise * x / (signal**2 * 0.09 + noise**2)
    assert torch.allclose(book["exact_noise"](x, t), expected, atol=1e-5)


def test_modes_hit_wants_a_quarter_of_the_fair_share(book):
    centers = data.ring().centers
    assert book["modes_hit"](centers.repeat(10, 1)) == (8, 1.0)
    few = torch.cat([centers[:1].repeat(99, 1), centers[1:2]])
    assert book["modes_hit"](few)[0] == 1  # 1 of 100 is below 100 / 8 / 4
    assert book["modes_hit"](centers * 1.1) == (0, 0.0)


def test_sharpness_is_the_variance_of_the_laplacian(book):
    flat = torch.zeros(3, 1, 28, 28)
    assert book["sharpness"](flat) < 1e-10
    ramp = torch.linspace(-1, 1, 28).expand(1, 1, 28, 28)
    dot = torch.full((1, 1, 28, 28), -1.0)
    dot[0, 0, 14, 14] = 1.0
    # second differences of one bright pixel: -8 once, 2 four times, 0 else, of 26²
    n = 26**2
    variance = (8**2 + 4 * 2**2) / n * n / (n - 1)
    assert book["sharpness"](dot) == pytest.approx(variance, rel=1e-4)
    assert book["sharpness"](ramp) < 0.001 * variance
    blurred = nn.functional.avg_pool2d(dot, 3, 1, 1)
    assert book["sharpness"](blurred) < variance / 5


def test_pca_restores_what_lies_in_its_plane(book):
    base = torch.linalg.qr(normal(784, 3)).Q.T
    book["mean"], book["axes"] = torch.full((784,), 0.1), base
    x = (0.1 + normal(5, 2, seed=1) @ base[:2]).view(5, 1, 28, 28)
    assert torch.allclose(book["linear"](x, 2), x, atol=1e-5)
    assert (book["linear"](x, 1) - x).abs().max() > 0.01


# ------------------------------------------------------------------ the ring


def ring_modes(book, family, outputs, lr, seed, **settings) -> int:
    torch.manual_seed(seed)
    E, G = mlp.mlp([2, 128, 128, outputs]), mlp.PointGenerator(width=128)
    config = TrainConfig(
        steps=2_500, batch_size=128, g_lr=lr, betas=(0.9, 0.999), decay=0.7, ema=0.0,
        seed=seed, device="cpu", precision="fp32", log_every=2_500,
    )  # fmt: skip
    state = start(family(E, G, **settings), config)
    list(train(state, data.batches(data.ring(), 128, seed)))
    return book["modes_hit"](state.sample(normal(4_000, 2, seed=1)))[0]


@pytest.mark.full
@pytest.mark.parametrize("seed", range(5))
def test_ae_hits_no_mode_and_vae_all_with_every_seed(book, seed):
    assert ring_modes(book, latent.AutoEncoder, 2, 2e-3, seed) == 0
    assert ring_modes(book, latent.VAE, 4, 5e-3, seed, sigma=0.15) == 8


# ------------------------------------------------------------------ the stored run


def test_the_stored_run_keeps_what_the_course_promises(metrics):
    for (notebook, name), (low, high) in course.LIMITS.items():
        if notebook == "08":
            assert low <= metrics[name] <= high, name
    for (notebook, name), high in course.IDENTITIES.items():
        if notebook == "08":
            assert 0 <= metrics[name] <= high, name


def test_players_of_the_comparison_have_equal_generation_paths():
    for width, code in ((16, 24), (32, 20)):
        G = dcgan.parameters(Decoder(width=width))
        N = dcgan.parameters(diffusion.Denoiser(width, code))
        assert max(G, N) / min(G, N) < 1.05


def test_an_autoencoders_noise_draws_are_the_worst_of_the_table(metrics):
    others = [metrics[f"frechet_{name}"] for name in ("vae", "gan", "diffusion")]
    assert metrics["frechet_ae"] > max(others)


def test_the_vae_is_blurred_and_the_gan_is_nearer_to_the_data(metrics):
    assert metrics["sharpness_vae"] < metrics["sharpness_gan"]
    assert metrics["blur_share"] < 1


def test_the_importance_weighted_bound_is_the_tighter_one(metrics):
    assert metrics["bound_weighted"] > metrics["elbo"]
