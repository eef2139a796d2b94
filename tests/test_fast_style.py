"""The games of style: what each term asks for, and that a weight of 0 asks nothing."""

from functools import partial

import pytest
import torch
from small_games import adversarial, eye, fast, photographs_and_crops
from torch import Tensor, nn

from gancourse import data, losses, style
from gancourse.errors import GancourseError
from gancourse.fast_style import (
    AdaINStyle,
    AdversarialStyle,
    Eye,
    FastStyle,
    statistics,
    statistics_loss,
)
from gancourse.models.transform import AdaINDecoder, StyleNet, adain
from gancourse.models.unet import PatchCritic
from gancourse.training import TrainConfig, start, train

PAINTING = data.to_unit(data.picture("hokusai-great-wave", 64))[None]
PHOTO = data.to_unit(data.picture("aitzgorri", 64))[None]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def batch(n: int = 2) -> tuple[Tensor, Tensor]:
    return tuple(data.to_unit(part[:n]) for part in photographs_and_crops())


def slopes(game, *given) -> Tensor:
    """The gradient of what G minimises, all its parameters in one vector."""
    game.G.zero_grad()
    game.generator_loss(given if len(given) > 1 else given[0], None)[0].backward()
    return torch.cat([p.grad.flatten() for p in game.G.parameters()])


class Stamp(nn.Module):
    """A generator that answers everything with one picture of its own."""

    def __init__(self, picture: Tensor):
        super().__init__()
        self.picture = nn.Parameter(picture.clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.picture.expand(len(x), -1, -1, -1)


# ------------------------------------------------------------------ the eye


def test_the_terms_are_those_of_gatys_descent():
    painted = (PHOTO + 0.3 * torch.randn_like(PHOTO)).clamp(-1, 1)
    config = style.StyleConfig(precision="fp32", style_scale=1.0)
    objective = style.Objective(
        style.features(), PHOTO, [(style.scaled(PAINTING, 64), 1.0)], config
    )
    expected = objective(painted)[1]
    found = Eye(style.scaled(PAINTING, 64))(painted, PHOTO, ["content", "style", "tv"])
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_a_batch_is_the_mean_of_its_pictures():
    photos, painted = batch()
    terms = ["content", "style", "tv"]
    together = eye()(painted, photos, terms)
    one, two = (eye()(painted[i : i + 1], photos[i : i + 1], terms) for i in range(2))
    for name, value in together.items():
        torch.testing.assert_close(value, (one[name] + two[name]) / 2)


def test_the_painting_itself_has_no_style_error_and_the_photograph_no_content_error():
    looking = Eye(PAINTING)
    assert looking(PAINTING, PAINTING, ["style"])["style"] < 1e-9
    assert looking(PHOTO, PHOTO, ["content"])["content"] == 0
    assert looking(PHOTO, PHOTO, ["style"])["style"] > 0.1


def test_features_for_a_critic_are_of_size_one_on_the_painting():
    looking = Eye(PAINTING)
    seen = looking.read(PAINTING, "conv3_1")
    assert seen.square().mean().sqrt() == pytest.approx(1, rel=1e-5)
    x = PAINTING.clone().requires_grad_()
    looking.read(x, "conv3_1").sum().backward()
    assert x.grad.abs().sum() > 0  # a critic's word reaches the pixels


# ------------------------------------------------------------------ weights of zero

NAMES = ["content", "style", "adversarial", "tv"]
ONES = dict(content=20.0, style=3.0, adversarial=1000.0, tv=30.0)


def game_with(weights: dict[str, float], sees: str | None):
    torch.manual_seed(0)
    return adversarial(sees, **weights)


def without_critic(weights: dict[str, float], sees: str | None = None):
    """The same G, and no D, which no game without an adversarial term takes."""
    whole = game_with({**ONES, **weights, "adversarial": 1.0}, sees)
    return AdversarialStyle(whole.G, None, whole.eye, **{**ONES, **weights})


@pytest.mark.parametrize("sees", [None, "conv1_1"])
@pytest.mark.parametrize("name", NAMES)
def test_each_weight_of_zero_removes_its_gradient_and_nothing_else(name, sees):
    """All four together, less one, is the three others: and each does pull."""
    given = batch()
    everything = slopes(game_with(ONES, sees), *given)
    if name == "adversarial":
        lacking = without_critic({name: 0.0}, sees)
    else:
        lacking = game_with({**ONES, name: 0.0}, sees)
    assert name not in lacking.generator_loss(given, None)[1]
    alone = {other: 0.0 for other in NAMES} | {name: ONES[name]}
    only = (game_with if name == "adversarial" else without_critic)(alone, sees)
    pull = slopes(only, *given)
    assert pull.norm() > 0
    difference = slopes(lacking, *given) + pull - everything
    assert difference.norm() < 1e-3 * min(pull.norm(), everything.norm())


def test_without_an_adversarial_term_it_is_the_fast_game():
    given = batch()
    weights = dict(content=2.0, style=30.0, tv=3.0)
    both = without_critic({**weights, "adversarial": 0.0})
    one = FastStyle(both.G, both.eye, **weights)
    assert torch.equal(slopes(both, *given), slopes(one, given[0]))
    assert both.discriminators == one.discriminators == {}


@pytest.mark.parametrize("name", ["content", "style", "tv"])
def test_a_weight_of_zero_leaves_its_term_out_of_the_fast_game(name):
    game = fast(**{name: 0.0})
    loss, parts = game.generator_loss(batch()[0], None)
    assert name not in parts and len(parts) == 2
    total = sum(getattr(game, key) * value for key, value in parts.items())
    torch.testing.assert_close(loss.detach(), total)


# ------------------------------------------------------------------ the critic


def test_the_critic_learns_from_its_own_loss_alone():
    """Whatever G's weights are, D's first step is the same."""
    steps = []
    for weights in (ONES, {**ONES, "adversarial": 70.0, "content": 0.0}):
        state = start(
            game_with(weights, None),
            TrainConfig(steps=1, batch_size=2, device="cpu", precision="fp32"),
        )
        list(train(state, [batch()]))
        steps.append([p.clone() for p in state.discriminators.parameters()])
    fresh = game_with(ONES, None).D
    for one, two, before in zip(*steps, fresh.parameters(), strict=True):
        assert torch.equal(one, two) and not torch.equal(one, before)


def test_real_is_the_painting_and_fake_the_painted_photograph():
    """A critic of brightness: its loss is that of two means, the right way round."""

    class Brightness(nn.Module):
        def forward(self, x):
            return 10 * x.mean((1, 2, 3))

    photos, crops = batch()
    game = AdversarialStyle(Stamp(crops[:1] * 0 - 0.5), Brightness(), eye())
    loss, parts = game.discriminator_loss((photos, crops * 0 + 0.5), None)
    expected = 2 * torch.nn.functional.softplus(torch.tensor(-5.0))
    torch.testing.assert_close(loss, expected)
    assert parts["real_logit"] == 5 and parts["fake_logit"] == -5


def test_the_penalty_is_taken_on_what_the_critic_sees():
    seen = []

    def penalty(D, real, fake, rng):
        seen.extend([real.shape, fake.shape])
        return torch.zeros(())

    game = adversarial("conv1_1", penalty=penalty)
    game.discriminator_loss(batch(), None)
    assert seen == [(2, 64, 16, 16)] * 2


def test_a_critic_that_nobody_hears_is_refused(assert_clear):
    G, D = StyleNet(2, 1), PatchCritic(3, 4, 0, norm=False)
    for critic, weight in ((D, 0.0), (None, 1.0)):
        with pytest.raises(GancourseError) as caught:
            AdversarialStyle(G, critic, eye(), adversarial=weight)
        assert_clear(caught.value, "exactly when")
    for wrong in (dict(style=-1.0), dict(content=0.0, style=0.0, tv=0.0)):
        with pytest.raises(GancourseError) as caught:
            FastStyle(G, eye(), **wrong)
        assert_clear(caught.value, "weights")


# ------------------------------------------------------------------ any style


def test_statistics_are_means_and_deviations_by_channel():
    maps = torch.tensor([[[[1.0, 3.0]], [[5.0, 5.0]]]])
    assert statistics(maps).tolist() == [[2.0, 5.0, 1.0, 0.0]]
    x = {"a": torch.rand(2, 3, 4, 4)}
    assert statistics_loss(x, {"a": x["a"].roll((1, 2), (2, 3))}) < 1e-9
    # twice as large in every place: |s - 2s|² / |2s|² = 1/4
    assert statistics_loss(x, {"a": 2 * x["a"]}) == pytest.approx(0.25, rel=1e-5)


def test_the_decoder_is_asked_for_the_features_that_adain_gives():
    photos, paintings = batch()
    net, G = style.features(), AdaINDecoder((4, 4, 4, 4))
    game = AdaINStyle(G, content=1.0, style=0.0)
    c, s = (net(x, ["conv4_1"])["conv4_1"] for x in (photos, paintings))
    target = adain(c, s)
    painted = net(G(target), ["conv4_1"])["conv4_1"]
    expected = losses.relative_error(painted, target)
    loss, parts = game.generator_loss((photos, paintings), None)
    torch.testing.assert_close(loss, expected)
    assert set(parts) == {"content"}


def test_painted_in_its_own_style_nothing_is_ordered_but_the_photograph():
    photos, _ = batch()
    c = style.features()(photos, ["conv4_1"])["conv4_1"]
    torch.testing.assert_close(adain(c, c), c, rtol=1e-3, atol=1e-2)


# ------------------------------------------------------------------ learning


def trained(game, given, steps=25, **changes) -> list:
    settings = dict(g_lr=5e-3, log_every=1, device="cpu", precision="fp32") | changes
    state = start(game, TrainConfig(steps=steps, batch_size=2, **settings))
    return list(train(state, [given] * steps)), state


def test_all_three_games_learn_and_the_eye_stays_what_it_was():
    photos, crops = batch()
    games = {
        "fast": (fast(), photos),
        "adversarial": (adversarial(style=60.0), (photos, crops)),
        "adain": (AdaINStyle(AdaINDecoder((8, 8, 8, 8))), (photos, crops)),
    }
    before = {k: v.clone() for k, v in style.features().state_dict().items()}
    for name, (game, given) in games.items():
        logs, state = trained(game, given)
        net = game.net if name == "adain" else game.eye.net
        for key, value in net.state_dict().items():
            assert torch.equal(value, before[key]), name
        assert logs[-1].parts["style"] < 0.8 * logs[0].parts["style"], name
        held = {**state.generators.state_dict(), **state.discriminators.state_dict()}
        assert not any("conv4_1" in key for key in held), name


def test_a_penalty_of_the_course_works_on_features():
    game = adversarial("conv1_1", penalty=partial(losses.r1, gamma=0.01))
    logs, _ = trained(game, batch(), steps=2)
    assert logs[-1].parts["penalty"] > 0
