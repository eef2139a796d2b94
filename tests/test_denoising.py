"""Diffusion: the forward law, the loss and the score, and both samplers, by hand."""

import math

import pytest
import torch
from torch import nn

from gancourse import denoising
from gancourse.models.diffusion import Block, Denoiser, time_features


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=None):
    return torch.randn(*shape, generator=rng(seed), dtype=dtype)


MEAN, STD = -0.3, 0.2  # the data of the exact cases: N(MEAN, STD²)


class Exact(nn.Module):
    """E[e | x_t] for data N(MEAN, STD²): the guess that no denoiser can better."""

    def forward(self, x, t):
        signal, noise = (p.view(-1, *[1] * (x.ndim - 1)) for p in denoising.schedule(t))
        return noise * (x - signal * MEAN) / (signal**2 * STD**2 + noise**2)


# ------------------------------------------------------------------ forwards


def test_signal_and_noise_share_a_variance_of_one():
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    signal, noise = denoising.schedule(t)
    assert (signal**2 + noise**2 - 1).abs().max() < 1e-12
    assert (signal.diff() < 0).all() and (noise.diff() > 0).all()
    assert signal[0] == 1 and noise[0] == 0
    assert 0.01 < signal[-1] < 0.05


def test_noised_data_have_the_mean_and_variance_of_the_formula():
    x = torch.full((50_000, 1), 0.8)
    for time in (0.1, 0.5, 0.9):
        t = torch.full((50_000,), time)
        signal, noise = (p[0].item() for p in denoising.schedule(t))
        sunk = denoising.noised(x, t, normal(50_000, 1))
        assert sunk.mean().item() == pytest.approx(0.8 * signal, abs=0.02)
        assert sunk.std().item() == pytest.approx(noise, rel=0.02)
    # data of variance 1 keep it at every time
    sunk = denoising.noised(normal(50_000, 1, seed=1), t, normal(50_000, 1))
    assert sunk.std().item() == pytest.approx(1, rel=0.02)


def test_each_image_of_a_batch_has_its_own_time():
    x, e = torch.ones(2, 1, 2, 2), torch.full((2, 1, 2, 2), 5.0)
    sunk = denoising.noised(x, torch.tensor([0.0, 1.0]), e)
    assert (sunk[0] == 1).all()
    angle = 0.98 * math.pi / 2
    assert sunk[1, 0, 0, 0].item() == pytest.approx(
        math.cos(angle) + 5 * math.sin(angle)
    )


# ------------------------------------------------------------------ the loss


class Guess(nn.Module):
    """Always the same guess; remembers what it was shown."""

    def __init__(self, value=0.25):
        super().__init__()
        self.value, self.seen = nn.Parameter(torch.tensor(value)), None

    def forward(self, x, t):
        self.seen = (x, t)
        return self.value.expand_as(x)


def test_the_loss_is_the_squared_error_of_the_noise():
    x, N = normal(8, 1, 2, 2, seed=5), Guess()
    loss, _ = denoising.Diffusion(N).generator_loss(x, rng(2))
    stream = rng(2)
    t = (torch.arange(8) + torch.rand((), generator=stream)) / 8
    e = torch.randn(8, 4, generator=stream).view(8, 1, 2, 2)
    assert loss.item() == pytest.approx((e - 0.25).square().mean().item())
    assert torch.equal(N.seen[1], t)
    assert torch.equal(N.seen[0], denoising.noised(x, t, e))
    assert ((t * 8).floor() == torch.arange(8)).all()  # one in each eighth


def test_times_are_uniform_for_every_place_of_the_batch():
    N, stream, x, seen = Guess(), rng(), torch.zeros(4, 1), []
    for _ in range(3_000):
        denoising.Diffusion(N).generator_loss(x, stream)
        seen.append(N.seen[1])
    seen = torch.stack(seen)
    assert seen.min() >= 0 and seen.max() <= 1
    assert seen.mean(0).tolist() == pytest.approx(
        [1 / 8, 3 / 8, 5 / 8, 7 / 8], abs=0.01
    )
    assert seen.std().item() == pytest.approx(12**-0.5, abs=0.01)


def test_the_best_guess_of_the_noise_is_the_score_times_minus_the_noise_level():
    x = torch.linspace(-2, 2, 41, dtype=torch.float64).view(-1, 1).requires_grad_()
    for time in (0.2, 0.6, 0.95):
        t = torch.full((41,), time, dtype=torch.float64)
        signal, noise = (p[0] for p in denoising.schedule(t))
        law = torch.distributions.Normal(
            signal * MEAN, (signal**2 * STD**2 + noise**2).sqrt()
        )
        (score,) = torch.autograd.grad(law.log_prob(x).sum(), x)
        assert (Exact()(x, t) + noise * score).abs().max() < 1e-12


def test_least_squares_on_noise_finds_that_guess():
    # E[e | x_t] is linear for Gaussian data: ordinary regression has to find it.
    data = MEAN + STD * normal(200_000, 1, seed=7, dtype=torch.float64)
    e = normal(200_000, 1, seed=8, dtype=torch.float64)
    t = torch.full((200_000,), 0.4, dtype=torch.float64)
    x = denoising.noised(data, t, e)
    fit = torch.linalg.lstsq(torch.cat([x, torch.ones_like(x)], 1), e).solution
    guess = Exact()(torch.tensor([[0.0], [1.0]], dtype=torch.float64), t[:2])
    assert fit[1].item() == pytest.approx(guess[0].item(), abs=0.01)
    assert (fit[0] + fit[1]).item() == pytest.approx(guess[1].item(), abs=0.01)


# ------------------------------------------------------------------ backwards


def level(time, part):
    return denoising.schedule(torch.tensor(time, dtype=torch.float64))[part].item()


def test_with_the_true_noise_a_step_lands_on_the_very_path():
    x, e = torch.full((4, 1), 0.6), normal(4, 1)
    t, s = torch.tensor(0.7), torch.tensor(0.3)
    at_t, at_s = (denoising.noised(x, u.expand(4), e) for u in (t, s))
    assert torch.allclose(denoising.step(at_t, e, t, s), at_s, atol=1e-5)
    to_data = denoising.step(at_t, e, t, torch.tensor(0.0))
    assert torch.allclose(to_data, x, atol=1e-5)


def test_the_ancestral_step_is_the_posterior_of_ho_et_al():
    # q(x_s | x_t, x_0), Ho et al. 2020 eq. 6-7, with alpha = signal_t² / signal_s²
    t, s, x0, xt = 0.7, 0.5, 0.4, 0.9
    a_t, a_s = level(t, 0) ** 2, level(s, 0) ** 2
    alpha = a_t / a_s
    mean = (a_s**0.5 * (1 - alpha) * x0 + alpha**0.5 * (1 - a_s) * xt) / (1 - a_t)
    variance = (1 - a_s) / (1 - a_t) * (1 - alpha)
    e = (xt - a_t**0.5 * x0) / (1 - a_t) ** 0.5
    x, e, t, s = (torch.tensor(v, dtype=torch.float64) for v in (xt, e, t, s))
    found = denoising.step(x, e, t, s, fresh=1.0, new=0.0)
    assert found.item() == pytest.approx(mean, abs=1e-9)
    with_noise = denoising.step(x, e, t, s, fresh=1.0, new=1.0)
    assert (with_noise - found).item() == pytest.approx(variance**0.5, abs=1e-9)


def test_the_guessed_image_is_kept_inside_the_range_of_pixels():
    # noise 0 guessed: the clean image would be 3 / signal, far above 1
    t = torch.tensor(0.5)
    x = torch.full((1, 1), 3.0)
    end = denoising.step(x, torch.zeros(1, 1), t, torch.tensor(0.0))
    assert end.item() == pytest.approx(1.0)


@pytest.mark.parametrize("fresh", [0.0, 0.5, 1.0])
def test_both_samplers_with_the_exact_guess_draw_the_law_of_the_data(fresh):
    x = normal(20_000, 1, seed=3)
    drawn = denoising.sample(Exact(), x, 200, fresh, rng(4))
    assert drawn.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert drawn.std().item() == pytest.approx(STD, rel=0.04)


def test_few_steps_draw_it_less_well():
    x = normal(20_000, 1, seed=3)
    spread = {n: denoising.sample(Exact(), x, n).std().item() for n in (2, 200)}
    assert abs(spread[2] - STD) > 3 * abs(spread[200] - STD)


def test_without_fresh_noise_the_start_decides_the_picture():
    x = normal(50, 1, seed=3)
    first, again = (denoising.sample(Exact(), x, 10) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, denoising.sample(Exact(), x, 10, 1.0, rng()))


# ------------------------------------------------------------------ the network


def test_the_denoiser_keeps_shapes_and_knows_the_time():
    torch.manual_seed(0)
    N = Denoiser(8, 4, size=12, channels=3)
    x = normal(2, 3, 12, 12)
    early, late = (N(x, torch.full((2,), t)) for t in (0.1, 0.9))
    assert early.shape == x.shape
    assert (early - late).abs().max() > 1e-3
    # one image's answer does not depend on who else is in the batch
    assert torch.allclose(N(x[:1], torch.tensor([0.1])), early[:1], atol=1e-5)


def test_a_block_adds_to_what_it_got():
    torch.manual_seed(0)
    block = Block(8, 4)
    nn.init.zeros_(block.conv.weight)
    nn.init.zeros_(block.conv.bias)
    x = normal(1, 8, 3, 3)
    assert torch.equal(block(x, normal(1, 4)), x)


def test_time_features_tell_close_times_apart_and_stay_within_one():
    t = torch.linspace(0, 1, 1001)
    f = time_features(t, 32)
    assert f.shape == (1001, 32) and f.abs().max() <= 1
    apart = torch.cdist(f, f) + 10 * torch.eye(1001)
    assert (apart.argmin(1) - torch.arange(1001)).abs().max() == 1  # no two alike
