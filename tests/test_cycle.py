"""CycleGAN: each term by hand, the pool's law, and a resume that keeps the pool."""

import pytest
import torch
from small_games import GAMES, digest, play
from torch import nn

from gancourse import checkpoints, losses
from gancourse.cycle import CycleGAN, ImagePool, Unpaired, distance
from gancourse.errors import GancourseError
from gancourse.training import State


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


class Shift(nn.Module):
    """x + shift, for pictures (N, 1, 1, 2)."""

    def __init__(self, shift):
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, x):
        return x + self.shift


class Slope(nn.Module):
    """A patch critic of pixels: one logit slope * x for each, (N, 1, 1, 2)."""

    def __init__(self, slope):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, x):
        return self.slope * x


A = torch.tensor([[1.0, 2.0]]).view(1, 1, 1, 2)
B = torch.tensor([[4.0, 8.0]]).view(1, 1, 1, 2)


def hand(**settings) -> CycleGAN:
    # G adds 2, F takes 1 away: fake_B = 3, 4 and fake_A = 3, 7
    return CycleGAN(Shift(2.0), Shift(-1.0), Slope(1.0), Slope(0.5), **settings)


# ------------------------------------------------------------------ the terms, by hand


def test_critics_minimise_least_squares_on_their_own_domain():
    # D_A = x on real 1, 2 and fake 3, 7: (0 + 1)/2/2 + (9 + 49)/2/2 = 0.25 + 14.5
    # D_B = x/2 on real 4, 8 and fake 3, 4: (1 + 9)/2/2 + (2.25 + 4)/2/2 = 2.5 + 1.5625
    d_loss, parts = hand().discriminator_loss((A, B), rng())
    assert parts["critic_A"].item() == pytest.approx(14.75)
    assert parts["critic_B"].item() == pytest.approx(4.0625)
    assert d_loss.item() == pytest.approx(18.8125)


def test_translators_minimise_three_terms_each_with_its_own_weight():
    # gan: F: ((3-1)² + (7-1)²)/2/2 = 10; G: ((1.5-1)² + (2-1)²)/2/2 = 0.3125
    # cycle: F(G(a)) - a = 1, G(F(b)) - b = 1; identity: |G(b) - b| = 2, |F(a) - a| = 1
    g_loss, parts = hand().generator_loss((A, B), rng())
    assert parts["gan"].item() == pytest.approx(10.3125)
    assert parts["cycle"].item() == pytest.approx(2.0)
    assert parts["identity"].item() == pytest.approx(3.0)
    assert g_loss.item() == pytest.approx(10.3125 + 10 * 2 + 5 * 3)
    g_loss, _ = hand(gan=2.0, cycle=0.5, identity=0.1).generator_loss((A, B), rng())
    assert g_loss.item() == pytest.approx(2 * 10.3125 + 0.5 * 2 + 0.1 * 3)


@pytest.mark.parametrize("term", ["cycle", "identity"])
def test_a_weight_of_zero_leaves_its_term_out(term):
    other = {"cycle": "identity", "identity": "cycle"}[term]
    _, parts = hand(**{term: 0.0}).generator_loss((A, B), rng())
    assert set(parts) == {"gan", other}


def test_another_adversarial_loss_may_be_chosen_even_a_relative_one():
    game = hand(loss=losses.relativistic, cycle=0.0, identity=0.0)
    g_loss, _ = game.generator_loss((A, B), rng())
    softplus = nn.functional.softplus
    # real - fake: A: 1-3, 2-7; B: (4-3)/2, (8-4)/2
    expected = [softplus(torch.tensor(v)).mean() for v in ([-2.0, -5.0], [0.5, 2.0])]
    assert g_loss.item() == pytest.approx(sum(expected).item())


def test_distance_is_a_mean_over_pixels():
    assert distance(A, B).item() == pytest.approx((3 + 6) / 2)


def test_each_side_s_gradient_reaches_its_own_players():
    game = hand()
    d_loss, _ = game.discriminator_loss((A, B), rng())
    d_loss.backward()
    assert game.G.shift.grad is None and game.F.shift.grad is None
    assert game.D_A.slope.grad is not None and game.D_B.slope.grad is not None
    game = hand(gan=0.0)
    g_loss, _ = game.generator_loss((A, B), rng())
    g_loss.backward()
    # each translator stands in both cycles, 10 (1 + 1); identity: G by +5, F by -5
    assert game.G.shift.grad.item() == pytest.approx(25)
    assert game.F.shift.grad.item() == pytest.approx(15)


# ------------------------------------------------------------------ the pool


def one_by_one(values: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1, 1).float()


def test_a_pool_gives_back_what_it_gets_until_it_is_full():
    pool = ImagePool(6, (1, 1, 1))
    x = one_by_one(torch.arange(1, 7))
    assert torch.equal(pool(x[:4], rng()), x[:4])
    assert torch.equal(pool(x[4:], rng()), x[4:])
    assert pool.count == 6 and torch.equal(pool.pictures, x)


def test_a_full_pool_follows_the_reference_law_picture_by_picture():
    # Zhu et al.'s util/image_pool.py in plain Python, on the same draws.
    pool, kept, stream = ImagePool(5, (1, 1, 1)), [], rng(3)
    for k in range(30):
        x = one_by_one(torch.arange(4) + 4 * k)
        state = stream.get_state()
        given = pool(x, stream)
        again = torch.Generator()
        again.set_state(state)
        slots = torch.randint(5, (4,), generator=again).tolist()
        coins = (torch.rand(4, generator=again) < 0.5).tolist()
        expected = []
        for value, slot, coin in zip(x.flatten().tolist(), slots, coins, strict=True):
            if len(kept) < 5:
                kept.append(value)
            elif coin:
                value, kept[slot] = kept[slot], value
            expected.append(value)
        assert given.flatten().tolist() == expected
        assert pool.pictures.flatten().tolist() == (kept + [0.0] * 5)[:5]


def test_half_of_what_a_full_pool_gives_is_old():
    pool, stream = ImagePool(50, (1, 1, 1)), rng()
    pool(one_by_one(torch.arange(50)), stream)
    old = 0
    for k in range(1, 101):
        fresh = one_by_one(torch.arange(20) + 1000 * k)
        old += (pool(fresh, stream) != fresh).sum().item()
    # five standard errors of 2,000 coins
    assert abs(old / 2000 - 0.5) < 5 * 0.5 / 2000**0.5


def test_a_pool_keeps_copies_and_passes_no_gradient():
    pool = ImagePool(2, (1, 1, 1))
    x = one_by_one(torch.tensor([1, 2])).requires_grad_()
    assert not pool(x, rng()).requires_grad
    with torch.no_grad():
        x.zero_()
    assert pool.pictures.flatten().tolist() == [1, 2]


def test_a_pool_of_none_is_no_pool_and_one_of_less_is_refused(assert_clear):
    x = one_by_one(torch.arange(3))
    assert torch.equal(ImagePool(0, (1, 1, 1))(x, rng()), x)
    with pytest.raises(GancourseError) as caught:
        ImagePool(-1, (1, 1, 1))
    assert_clear(caught.value, "-1")


def test_critics_are_shown_the_pool_s_pictures_and_translators_are_not():
    pools = ImagePool(1, (1, 1, 2)), ImagePool(1, (1, 1, 2))
    game = hand(pools=pools)
    for pool in pools:
        pool(torch.full((1, 1, 1, 2), 0.5), rng())
    seen = {game.discriminator_loss((A, B), rng(k))[0].item() for k in range(8)}
    assert len(seen) > 1  # old and new fakes, as the coins fall
    g_losses = {game.generator_loss((A, B), rng(k))[0].item() for k in range(8)}
    assert len(g_losses) == 1


# ------------------------------------------------------------------ two sets


def test_two_sets_may_differ_in_length_and_are_shuffled_apart():
    a, b = torch.arange(60.0)[:, None], torch.arange(100.0)[:, None]
    batches = Unpaired(a, b, 10, seed=3)
    first = [batches[k] for k in range(12)]
    again = Unpaired(a, b, 10, seed=3)
    assert all(torch.equal(batches[k][1], again[k][1]) for k in (11, 0, 5))
    assert sorted(torch.cat([x for x, _ in first[:6]]).flatten().tolist()) == list(
        range(60)
    )
    assert sorted(torch.cat([y for _, y in first[:10]]).flatten().tolist()) == list(
        range(100)
    )
    same = Unpaired(a, a, 10, seed=3)
    meets = torch.cat([torch.cat(same[k], 1) for k in range(6)])
    assert (meets[:, 0] == meets[:, 1]).float().mean() < 0.2


# ------------------------------------------------------------------ exact resume


def test_the_pool_is_saved_and_a_resumed_run_ends_with_the_same_bits(tmp_path):
    small = GAMES["cyclegan"]
    whole = small.state(steps=20)
    logs = play(whole, small.batches(whole.config))
    assert (whole.game.pool_A.count == whole.game.pool_A.size).item()
    first = small.state(steps=20)
    play(first, small.batches(first.config), until=10)
    checkpoints.save(first, tmp_path)
    second = checkpoints.resume(tmp_path, small.game(seed=9), small.config(steps=20))
    assert torch.equal(second.game.pool_A.pictures, first.game.pool_A.pictures)
    rest = play(second, small.batches(second.config))
    assert digest(second) == digest(whole) and rest == logs[-len(rest) :]


def test_without_its_pool_a_resumed_run_would_end_elsewhere(tmp_path):
    small = GAMES["cyclegan"]
    whole = small.state(steps=20)
    play(whole, small.batches(whole.config))
    other = small.state(steps=20)
    play(other, small.batches(other.config), until=10)
    checkpoints.save(other, tmp_path)
    resumed = checkpoints.resume(tmp_path, small.game(), small.config(steps=20))
    resumed.game.pool_A.pictures.zero_()
    play(resumed, small.batches(resumed.config))
    assert digest(resumed) != digest(whole)


def test_another_weight_of_a_term_is_another_run(tmp_path, assert_clear):
    small = GAMES["cyclegan"]
    state = small.state(steps=5)
    play(state, small.batches(state.config))
    checkpoints.save(state, tmp_path)
    game = small.game()
    game.cycle = 3.0
    with pytest.raises(GancourseError) as caught:
        checkpoints.resume(tmp_path, game, small.config(steps=5))
    assert_clear(caught.value, "cycle")


def test_the_pool_has_no_part_in_the_average():
    state = GAMES["cyclegan"].state()
    assert isinstance(state, State)
    assert not any("pool" in name for name in state.ema.state_dict())
