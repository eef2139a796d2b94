"""Each loss and penalty, held to numbers worked by hand on inputs where real ≠ fake.

Logits: real [2, 0], fake [-1, 3]. With sp(s) = log(1 + e^s):
sp(-2) = 0.126928, sp(0) = 0.693147, sp(-1) = 0.313262, sp(3) = 3.048587,
sp(1) = 1.313262, sp(-3) = 0.048587.
"""

import math
from functools import partial

import pytest
import torch

from gancourse import losses

REAL, FAKE = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 3.0])
LN2 = math.log(2)

# (discriminator's loss, generator's loss), worked by hand
BY_HAND = {
    # (0.126928 + 0.693147) / 2 + (0.313262 + 3.048587) / 2;  -(0.313262 + 3.048587) / 2
    "minimax": (2.090962, -1.680925),
    # the same D;  (sp(1) + sp(-3)) / 2
    "nonsaturating": (2.090962, 0.680925),
    # ((2-1)² + (0-1)²) / 4 + ((-1)² + 3²) / 4;  ((-2)² + 2²) / 4
    "least_squares": (0.5 + 2.5, 2.0),
    # (relu(-1) + relu(1)) / 2 + (relu(0) + relu(4)) / 2;  -(-1 + 3) / 2
    "hinge": (0.5 + 2.0, -1.0),
    # mean fake - mean real = 1 - 1;  -1
    "wasserstein": (0.0, -1.0),
    # pairs: fake - real = -3, 3: (sp(-3) + sp(3)) / 2 both ways
    "relativistic": (1.548587, 1.548587),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_both_sides_of_a_loss_equal_the_values_worked_by_hand(name):
    loss, (d_loss, g_loss) = getattr(losses, name), BY_HAND[name]
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(d_loss, abs=2e-6)
    assert loss.generator(REAL, FAKE).item() == pytest.approx(g_loss, abs=2e-6)


def test_wasserstein_and_relativistic_tell_real_from_fake():
    # Above, one is 0 and the other symmetric: here neither is. Means 1.5 and -3;
    # differences fake - real are -5 and -4, so sp(-5), sp(-4) and sp(5), sp(4).
    real, fake = torch.tensor([1.0, 2.0]), torch.tensor([-4.0, -2.0])
    assert losses.wasserstein.discriminator(real, fake).item() == pytest.approx(-4.5)
    assert losses.wasserstein.generator(real, fake).item() == pytest.approx(3.0)
    d_loss = losses.relativistic.discriminator(real, fake).item()
    g_loss = losses.relativistic.generator(real, fake).item()
    assert d_loss == pytest.approx((0.006715 + 0.018150) / 2, abs=1e-6)
    assert g_loss == pytest.approx((5.006715 + 4.018150) / 2, abs=1e-6)


def test_an_undecided_discriminator_costs_log_four():
    undecided = torch.zeros(5)
    d_loss = losses.minimax.discriminator(undecided, undecided).item()
    assert d_loss == pytest.approx(math.log(4))
    assert losses.minimax.generator(undecided, undecided).item() == pytest.approx(-LN2)


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("shape", [(2,), (2, 1), (2, 1, 1, 1)])
def test_logits_may_be_rows_columns_or_patch_maps(name, shape):
    loss = getattr(losses, name)
    d_loss, g_loss = BY_HAND[name]
    real, fake = REAL.view(shape), FAKE.view(shape)
    assert loss.discriminator(real, fake).item() == pytest.approx(d_loss, abs=2e-6)
    assert loss.generator(real, fake).item() == pytest.approx(g_loss, abs=2e-6)


# At logit ±100 a sigmoid is 0 or 1 in float32 and its logarithm is lost; the losses are
# not. Values: (D with real = s and fake = -s, G with fake = s).
EXACT_AT = {
    "minimax": {100.0: (0.0, -100.0), -100.0: (200.0, 0.0)},
    "nonsaturating": {100.0: (0.0, 0.0), -100.0: (200.0, 100.0)},
    "least_squares": {
        100.0: (99**2 / 2 + 100**2 / 2, 99**2 / 2),
        -100.0: (101**2 / 2 + 100**2 / 2, 101**2 / 2),
    },
    "hinge": {100.0: (0.0, -100.0), -100.0: (202.0, 100.0)},
    "wasserstein": {100.0: (-200.0, -100.0), -100.0: (200.0, 100.0)},
    "relativistic": {100.0: (0.0, 0.0), -100.0: (200.0, 200.0)},
}


@pytest.mark.parametrize("name", EXACT_AT)
@pytest.mark.parametrize("s", [100.0, -100.0])
def test_losses_stay_exact_at_logits_of_a_hundred(name, s):
    loss, (d_loss, g_loss) = getattr(losses, name), EXACT_AT[name][s]
    real = torch.tensor([s])
    assert loss.discriminator(real, -real).item() == pytest.approx(d_loss, abs=1e-30)
    assert loss.generator(-real, real).item() == pytest.approx(g_loss, abs=1e-30)


def slopes(function, s, **kwargs):
    s = s.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(s) * len(s), s)
    return gradient


S = torch.linspace(-30, 30, 61, dtype=torch.float64)
P = 1 / (1 + torch.exp(-S))
OTHER = torch.linspace(4, -5, 61, dtype=torch.float64)
PAIR = 1 / (1 + torch.exp(-(S - OTHER)))
ONE = torch.ones_like(S)

# Slope of each loss in one logit: G by the fake, D by the fake, D by the real
SLOPES = {
    "minimax": (-P, P, P - 1),
    "nonsaturating": (P - 1, P, P - 1),
    "least_squares": (S - 1, S, S - 1),
    "hinge": (-ONE, (S > -1).double(), -(S < 1).double()),
    "wasserstein": (-ONE, ONE, -ONE),
    "relativistic": (PAIR - 1, PAIR, PAIR - 1),
}


@pytest.mark.parametrize("name", SLOPES)
def test_gradients_equal_their_closed_forms(name):
    loss, (g_fake, d_fake, d_real) = getattr(losses, name), SLOPES[name]
    # relu has two slopes at its corner, so the hinge is compared beside ±1 only; torch
    # takes softplus(s) = s beyond s = 20, which is off by e^-20 = 2.1e-9.
    smooth = (S.abs() != 1) | (name != "hinge")
    for expected, function in [
        (g_fake, lambda s: loss.generator(OTHER, s)),
        (d_fake, lambda s: loss.discriminator(OTHER, s)),
        (d_real, lambda s: loss.discriminator(s, OTHER)),
    ]:
        torch.testing.assert_close(
            slopes(function, S)[smooth], expected[smooth], rtol=2.1e-9, atol=1e-14
        )


def test_minimax_stops_pushing_where_the_discriminator_is_sure_and_the_other_does_not():
    sure = torch.tensor([-20.0])
    push = -slopes(lambda s: losses.minimax.generator(s, s), sure)
    assert push.item() == pytest.approx(2.061e-9, rel=1e-3)  # sigmoid(-20)
    push = -slopes(lambda s: losses.nonsaturating.generator(s, s), sure)
    assert push.item() == pytest.approx(1.0)


def test_only_the_relativistic_generator_looks_at_real_logits():
    for name in BY_HAND:
        loss = getattr(losses, name)
        moved = loss.generator(REAL + 1, FAKE) - loss.generator(REAL, FAKE)
        assert (moved.item() != 0) == loss.relative == (name == "relativistic")


def test_relativistic_refuses_logits_that_would_pair_everyone_with_everyone(
    assert_clear,
):
    for side in ("discriminator", "generator"):
        with pytest.raises(losses.GancourseError) as caught:
            getattr(losses.relativistic, side)(REAL, FAKE.view(2, 1))
        assert_clear(caught.value, "(2, 1)")


# ------------------------------------------------------------------ penalties


def slanted(x):
    """D(x) = 3 x₁ - 4 x₂ + 7: its gradient is (3, -4) everywhere, of norm 5."""
    return 3 * x[:, 0] - 4 * x[:, 1] + 7


def bowl(x):
    """D(x) = |x|² / 2: its gradient at x is x."""
    return x.square().sum(1) / 2


def test_squared_gradient_norm_is_taken_sample_by_sample():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1.0, 2.0]])
    assert losses.squared_gradient_norm(bowl, x).tolist() == [25.0, 0.0, 5.0]
    assert losses.squared_gradient_norm(slanted, x).tolist() == [25.0] * 3


def test_squared_gradient_norm_of_images_counts_every_pixel():
    images = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    norms = losses.squared_gradient_norm(
        lambda x: x.square().flatten(1).sum(1) / 2, images
    )
    torch.testing.assert_close(norms, images.square().sum((1, 2, 3)))


def test_gradient_penalty_of_norm_five_costs_sixteen_times_its_weight():
    real, fake = torch.zeros(4, 2), torch.ones(4, 2)
    assert losses.gradient_penalty(slanted, real, fake).item() == pytest.approx(160)
    light = losses.gradient_penalty(slanted, real, fake, weight=0.5)
    assert light.item() == pytest.approx(8)
    flat = losses.gradient_penalty(lambda x: 0 * x.sum(1), real, fake, weight=1)
    assert flat.item() == pytest.approx(1, abs=3e-6)  # (sqrt(1e-12) - 1)²


def test_gradient_penalty_is_taken_between_real_and_fake():
    # D = |x|²/2 from real = 3 to fake = 5 on a line: the gradient is x = 3 + 2t, so the
    # penalty lies between (3-1)² and (5-1)², and its mean is E(2+2t)² = 28/3.
    real, fake = torch.full((20_000, 1), 3.0), torch.full((20_000, 1), 5.0)
    rng = torch.Generator().manual_seed(0)
    mean = losses.gradient_penalty(bowl, real, fake, rng, weight=1).item()
    # one standard error is about 3.5 / sqrt(20,000) = 0.025; six of them allowed
    assert mean == pytest.approx(28 / 3, abs=0.15)


@pytest.mark.parametrize(
    ("penalty", "expected"),
    [
        (losses.r1, 0.5 * (25 + 1) / 2),  # half the mean squared norm at real
        (losses.r2, 0.5 * (4 + 0) / 2),  # and at fake
        (partial(losses.r1, gamma=10.0), 65.0),
        (partial(losses.r2, gamma=10.0), 10.0),
    ],
)
def test_r1_and_r2_look_at_real_and_at_fake_alone(penalty, expected):
    real = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
    fake = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    assert penalty(bowl, real, fake).item() == pytest.approx(expected)


@pytest.mark.parametrize("slope", [0.1 / math.sqrt(196_608), 320 / 8])
def test_a_penalty_on_fakes_of_16_bits_is_summed_in_32(slope):
    """Of 196,608 small slopes 17 % were lost; a steep D's were infinite."""
    d = 64 if slope > 1 else 196_608
    D = torch.nn.Linear(d, 1, bias=False)
    torch.nn.init.constant_(D.weight, slope)
    fake = torch.zeros(4, d)
    expected = losses.r2(D, fake, fake).item()
    with torch.autocast("cpu", torch.float16):
        found = losses.r2(D, fake, fake.half()).item()
    assert found == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("penalty", [losses.gradient_penalty, losses.r1, losses.r2])
def test_penalties_train_the_weights_of_the_discriminator(penalty):
    # D(x) = w x₁ has gradient norm |w| at every point: d/dw of weight (w-1)² and γ/2 w²
    w = torch.tensor(3.0, requires_grad=True)
    value = penalty(lambda x: w * x[:, 0], torch.zeros(2, 2), torch.ones(2, 2))
    (slope,) = torch.autograd.grad(value, w)
    assert slope.item() == pytest.approx(
        40.0 if "gradient" in penalty.__name__ else 3.0
    )


def test_a_flat_critic_still_gets_a_finite_gradient():
    w = torch.zeros(2, requires_grad=True)
    value = losses.gradient_penalty(
        lambda x: x @ w, torch.zeros(2, 2), torch.ones(2, 2)
    )
    value.backward()
    assert w.grad.isfinite().all()


def test_penalties_work_inside_no_grad_and_leave_their_inputs_alone():
    real, fake = torch.ones(2, 2), torch.zeros(2, 2)
    with torch.no_grad():
        assert losses.r1(bowl, real, fake).item() == pytest.approx(1.0)
    assert not real.requires_grad and real.tolist() == [[1, 1], [1, 1]]


def test_interpolate_draws_one_position_per_sample():
    real, fake = torch.zeros(1000, 2, 3), torch.ones(1000, 2, 3)
    rng = torch.Generator().manual_seed(0)
    x = losses.interpolate(real, fake, rng)
    t = x[:, 0, 0]
    assert x.shape == real.shape
    assert torch.equal(x, t[:, None, None].expand_as(x))
    assert t.min() >= 0 and t.max() <= 1
    assert t.unique().numel() > 990
    # uniform on [0, 1]: mean 1/2, and the standard error of 1,000 draws is 0.009
    assert t.mean().item() == pytest.approx(0.5, abs=0.055)
    again = losses.interpolate(real, fake, torch.Generator().manual_seed(0))
    assert torch.equal(x, again)


def test_interpolate_takes_fakes_of_16_bits_as_autocast_makes_them():
    real, fake = torch.zeros(5, 2), torch.ones(5, 2, dtype=torch.bfloat16)
    assert losses.interpolate(real, fake, None).dtype == torch.float32


def test_interpolate_refuses_unequal_shapes(assert_clear):
    with pytest.raises(losses.GancourseError) as caught:
        losses.interpolate(torch.zeros(3, 2), torch.zeros(4, 2), None)
    assert_clear(caught.value, "(3, 2)", "(4, 2)")


# ------------------------------------------------------------------ content, style

# Two channels at two places: F = [[1, 2], [3, 0]], so F F^T = [[5, 3], [3, 9]], and
# C H W = 4.
FEATURES = torch.tensor([[1.0, 2.0], [3.0, 0.0]]).view(1, 2, 1, 2)


def test_gram_counts_channels_that_fire_together_and_divides_by_the_size():
    expected = torch.tensor([[1.25, 0.75], [0.75, 2.25]])
    torch.testing.assert_close(losses.gram(FEATURES), expected[None])


def test_gram_of_a_batch_is_one_matrix_a_picture():
    """K31: samples mixed up give one matrix, or a wrong mean of two."""
    both = torch.cat([FEATURES, 2 * FEATURES])
    grams = losses.gram(both)
    assert grams.shape == (2, 2, 2)
    torch.testing.assert_close(grams[1], 4 * grams[0])


def test_gram_forgets_where_and_how_often_but_not_together_with_what():
    """Shuffled places and a 2x2 tiling change nothing (without C H W: 4 times)."""
    torch.manual_seed(0)
    x = torch.randn(1, 5, 4, 6)
    shuffled = x.flatten(2)[..., torch.randperm(24)].view_as(x)
    torch.testing.assert_close(losses.gram(shuffled), losses.gram(x))
    torch.testing.assert_close(losses.gram(x.tile(1, 1, 2, 2)), losses.gram(x))
    each = torch.stack([c[torch.randperm(24)] for c in x.flatten(2)[0]])
    assert losses.relative_error(losses.gram(each.view_as(x)), losses.gram(x)) > 0.1


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gram_has_the_gradient_of_its_equation(layout):
    """Its backward is one product (F^T F is symmetric), autograd's would be two."""
    torch.manual_seed(0)
    x = torch.randn(2, 5, 4, 3).to(memory_format=layout).requires_grad_()
    uneven = torch.randn(2, 5, 5)  # a loss that does not look at both halves alike
    flat = x.flatten(2)
    plain = (uneven * (flat @ flat.mT / 60)).sum()
    (expected,) = torch.autograd.grad(plain, x)
    (found,) = torch.autograd.grad((uneven * losses.gram(x)).sum(), x)
    torch.testing.assert_close(found, expected)
    assert found.is_contiguous(memory_format=layout)
    places = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(losses._Gram.apply, places)
    assert torch.autograd.gradgradcheck(losses._Gram.apply, places)


def test_gram_stays_exact_under_autocast():
    torch.manual_seed(0)
    x = 100 * torch.rand(1, 8, 16, 16) + 300
    with torch.autocast("cpu", torch.bfloat16):
        found = losses.gram(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, losses.gram(x), rtol=1e-5, atol=0)


def test_relative_error_is_a_share_of_the_target_for_each_sample():
    # |(3,4) - (0,4)|² / |(0,4)|² = 9/16; |(1,1) - (2,0)|² / |(2,0)|² = 2/4
    x, target = torch.tensor([[3.0, 4.0], [1.0, 1.0]]), torch.tensor([[0.0, 4], [2, 0]])
    expected = (9 / 16 + 2 / 4) / 2
    assert losses.relative_error(x, target).item() == pytest.approx(expected)
    assert losses.relative_error(0 * target, target).item() == pytest.approx(1.0)
    assert losses.relative_error(x, torch.zeros(2, 2)).isfinite()


def test_content_and_style_are_means_over_layers_that_are_told_apart():
    # content, layer a: (2-1)²/1 = 1; layer b: (1-2)²/4 = 1/4: mean 5/8.
    one = torch.ones(1, 1, 1, 1)
    found, target = {"a": 2 * one, "b": one}, {"a": one, "b": 2 * one}
    assert losses.content_loss(found, target).item() == pytest.approx(5 / 8)
    # style: Grams 4 and 1 against 1 and 4: (3/1)² = 9 and (3/4)² = 9/16.
    grams = {name: losses.gram(x) for name, x in target.items()}
    style = losses.style_loss(found, grams).item()
    assert style == pytest.approx((9 + 9 / 16) / 2)


def test_style_is_blind_to_places_and_content_is_not():
    torch.manual_seed(0)
    x = torch.rand(1, 4, 8, 8)
    rolled = {"a": x.roll(3, -1)}
    assert losses.style_loss(rolled, {"a": losses.gram(x)}) < 1e-9
    assert losses.content_loss(rolled, {"a": x}) > 0.1


def test_total_variation_is_the_mean_step_down_plus_across():
    # down: |4-0|, |1-1|: mean 2; across: |1-0|, |1-4|: mean 2
    image = torch.tensor([[0.0, 1.0], [4.0, 1.0]]).view(1, 1, 2, 2)
    assert losses.total_variation(image).item() == pytest.approx(4.0)
    assert losses.total_variation(torch.ones(1, 3, 5, 5)) == 0
