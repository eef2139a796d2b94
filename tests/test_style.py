"""Gatys' style transfer: what descends, what stays, and what is refused."""

import pytest
import torch

from gancourse import data, losses, style
from gancourse.errors import GancourseError, NonFinite
from gancourse.style import StyleConfig, stylise

SMALL = dict(size=64, steps=12, levels=1, log_every=4, device="cpu", precision="fp32")
PHOTO = data.to_unit(data.picture("aitzgorri", 96))[None]
PAINTING = data.to_unit(data.picture("hokusai-great-wave", 96))[None]


def run(content=PHOTO, styles=PAINTING, **changes) -> list[style.StyleLog]:
    return list(stylise(content, styles, StyleConfig(**{**SMALL, **changes})))


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_style_falls_far_below_its_value_at_the_content_image(optimizer):
    """I4: at most 0.1 of it after enough steps; a few must bring it well down."""
    logs = run(optimizer=optimizer, steps=40, log_every=20)
    here = style.scaled(PHOTO, 64)
    objective = style.Objective(
        style.features(), here, [(PAINTING, 1.0)], StyleConfig(**SMALL)
    )
    _, parts = objective(here)
    assert logs[-1].style < 0.1 * parts["style"].item()
    assert logs[-1].loss < logs[0].loss


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_every_picture_that_is_measured_is_one_that_can_be_shown(
    optimizer, monkeypatch
):
    ends, measure = [], style.Objective.__call__

    def watched(self, image):
        ends.append((image.min().item(), image.max().item()))
        return measure(self, image)

    monkeypatch.setattr(style.Objective, "__call__", watched)
    run(optimizer=optimizer)
    lowest, highest = zip(*ends, strict=True)
    assert min(lowest) == -1 and max(highest) == 1


def test_pixels_kept_in_range_reach_a_lower_loss_than_pixels_that_leave_it():
    names = ("picos-de-europa", "vangogh-village-street-auvers")
    photo, painting = (style.picture(data.picture(name, 96)) for name in names)
    config = StyleConfig(**SMALL | dict(size=80, steps=40, log_every=40))
    kept = run(photo, painting, size=80, steps=40, log_every=40)[-1].loss
    start, styles = style._coloured(photo, [(painting, 1.0)], keep=False)
    start = style.scaled(start, 80)
    objective = style.Objective(style.features(), start, styles, config)
    image = start.clone().requires_grad_()
    opt = torch.optim.LBFGS([image], max_iter=40, max_eval=41, history_size=20)

    def closure():
        opt.zero_grad()
        loss, _ = objective(image)
        loss.backward()
        return loss

    opt.step(closure)
    with torch.no_grad():
        free = objective(image.clamp(-1, 1))[0].item()
    assert kept < 0.9 * free


def test_logs_are_yielded_as_asked_and_measure_the_image_they_hold():
    logs = run()
    assert [log.step for log in logs] == [4, 8, 12]
    for log in logs:
        assert log.image.shape == (1, 3, 43, 64)
        assert log.image.min() >= -1 and log.image.max() <= 1
        assert not log.image.requires_grad
    last = logs[-1]
    assert last.tv == pytest.approx(losses.total_variation(last.image).item())
    with torch.no_grad():
        found = style.features()(last.image, style.LAYERS)
        target = style.features()(style.scaled(PAINTING, 64), style.LAYERS)
    grams = {name: losses.gram(x) for name, x in target.items()}
    loss = losses.style_loss(found, grams).item()
    assert last.style == pytest.approx(loss, rel=1e-3)


def test_yielding_more_often_changes_nothing():
    often, seldom = (run(steps=40, log_every=every) for every in (1, 40))
    torch.testing.assert_close(often[-1].image, seldom[-1].image)


def test_the_same_call_gives_the_same_picture_and_global_streams_are_left_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = run(start="noise", seed=3)[-1]
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.image, run(start="noise", seed=3)[-1].image)
    assert not torch.equal(first.image, run(start="noise", seed=4)[-1].image)


def test_two_paintings_give_two_pictures():
    other = data.picture("vangogh-village-street-auvers", 96)
    one, two = run()[-1].image, run(styles=other)[-1].image
    assert (one - two).abs().mean() > 0.05


def test_one_gram_target_serves_several_styles():
    """sum_k w_k |G - G_k|² and |G - sum_k w_k G_k|² differ by a constant: equal slopes,
    and a weight of 0 removes a style altogether."""
    other = data.to_unit(data.picture("vangogh-village-street-auvers", 96))[None]
    here, config = style.scaled(PHOTO, 64), StyleConfig(**SMALL)
    net = style.features()
    mixed = style.Objective(net, here, [(PAINTING, 3.0), (other, 1.0)], config)
    alone = [style.Objective(net, here, [(p, 1.0)], config) for p in (PAINTING, other)]
    for name, gram in mixed.grams.items():
        expected = 0.75 * alone[0].grams[name] + 0.25 * alone[1].grams[name]
        torch.testing.assert_close(gram, expected)
    torch.manual_seed(0)
    grams = torch.randn(4, 5, 5).double()
    G, a, b = grams[0].requires_grad_(), grams[1], grams[2]
    apart = 0.75 * (G - a).square().sum() + 0.25 * (G - b).square().sum()
    joint = (G - 0.75 * a - 0.25 * b).square().sum()
    (one,) = torch.autograd.grad(apart, G)
    (two,) = torch.autograd.grad(joint, G)
    torch.testing.assert_close(one, two)
    without = style.Objective(net, here, [(PAINTING, 1.0), (other, 0.0)], config)
    torch.testing.assert_close(without.grams["conv3_1"], alone[0].grams["conv3_1"])


@pytest.mark.parametrize("part", ["content", "style", "tv"])
def test_a_weight_of_zero_removes_the_gradient_of_its_part(part):
    torch.manual_seed(0)
    image = style.scaled(PHOTO, 64) + 0.1 * torch.randn(1, 3, 43, 64)
    names = ("content", "style", "tv")
    weights = {f"{name}_weight": float(name == part) for name in names}

    def slope(**changes):
        config = StyleConfig(**{**SMALL, **changes})
        objective = style.Objective(
            style.features(), style.scaled(PHOTO, 64), [(PAINTING, 1.0)], config
        )
        x = image.clone().requires_grad_()
        objective(x)[0].backward()
        return x.grad

    assert slope(**weights).abs().max() > 0
    assert slope(**{name: 0.0 for name in weights}).abs().max() == 0


def test_content_and_style_have_targets_of_their_own():
    """K30: one picture as both targets means no slope at all when started there."""
    config = StyleConfig(**SMALL, tv_weight=0.0)
    here = style.scaled(PHOTO, 64)

    def slope(painting):
        objective = style.Objective(style.features(), here, [(painting, 1.0)], config)
        x = here.clone().requires_grad_()
        objective(x)[0].backward()
        return x.grad.abs().max().item()

    assert slope(PAINTING) > 1e3 * slope(PHOTO)


def test_weights_of_the_net_are_neither_changed_nor_given_gradients():
    net = style.features()
    before = {name: w.clone() for name, w in net.state_dict().items()}
    run()
    assert all(torch.equal(w, before[name]) for name, w in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


# ------------------------------------------------------------------ colours


def test_matched_colours_have_the_mean_and_covariance_of_the_others():
    torch.manual_seed(0)
    mixing = torch.tensor([[0.1, 0.05, 0], [0, 0.1, 0.02], [0, 0, 0.05]])
    pixels = torch.einsum("ij,njhw->nihw", mixing, torch.randn(1, 3, 64, 64)) + 0.1
    painted = style.match_colours(PHOTO, pixels).flatten(2)[0]
    torch.testing.assert_close(
        painted.mean(1), pixels.flatten(2)[0].mean(1), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(
        painted.cov(), pixels.flatten(2)[0].cov(), atol=1e-3, rtol=0
    )


def test_colours_are_matched_on_the_cpu_since_apple_s_gpus_have_no_float64(monkeypatch):
    class OnAGPU(torch.Tensor):
        def double(self):
            raise TypeError("Cannot convert a MPS Tensor to float64")

        def cpu(self):
            return self.as_subclass(torch.Tensor)

    photo = PHOTO.as_subclass(OnAGPU)
    assert torch.equal(
        style.match_colours(photo, photo).as_subclass(torch.Tensor),
        style.match_colours(PHOTO, PHOTO),
    )


def test_keep_colours_paints_with_the_photographs_colours():
    def distance(image, other):
        """Between mean colours."""
        return (image.mean((2, 3)) - other.mean((2, 3))).norm().item()

    vangogh = data.to_unit(data.picture("vangogh-village-street-auvers", 96))[None]
    sunset = data.to_unit(data.picture("sunset", 96))[None]
    kept = run(sunset, vangogh, keep_colours=True, steps=20)[-1].image
    taken = run(sunset, vangogh, steps=20)[-1].image
    assert distance(kept, sunset) < 0.5 * distance(taken, sunset)
    assert distance(taken, vangogh) < 0.5 * distance(kept, vangogh)


# ------------------------------------------------------------------ the pyramid


def test_the_pyramid_spends_all_steps_most_of_them_where_they_are_cheap():
    assert style.plan(StyleConfig(size=320, steps=140, levels=3)) == [
        (80, 80),
        (160, 40),
        (320, 20),
    ]
    assert style.plan(StyleConfig(size=256, steps=7, levels=1)) == [(256, 7)]
    for steps in (1, 2, 5, 99):
        levels = style.plan(StyleConfig(size=300, steps=steps))
        assert sum(n for _, n in levels) == steps and levels[-1][0] == 300


def test_no_level_is_smaller_than_what_the_net_can_see():
    assert style.plan(StyleConfig(size=64, steps=10, levels=5), 0.5) == [(64, 10)]
    strip = PHOTO[:, :, :40]
    assert run(strip, levels=3, size=96)[-1].image.shape == (1, 3, 40, 96)


def test_a_painting_shown_small_does_without_the_coarse_level():
    (*_, log) = run(size=128, levels=2, steps=3, style_scale=0.2)
    assert log.image.shape == (1, 3, 85, 128)


def test_a_pyramid_ends_at_the_size_that_was_asked_for():
    logs = run(size=128, levels=2, steps=3, log_every=1)
    assert [tuple(log.image.shape[2:]) for log in logs] == [(43, 64)] * 2 + [(85, 128)]
    assert [log.step for log in logs] == [1, 2, 3]


# ------------------------------------------------------------------ refused

GOOD = data.picture("aitzgorri", 64)
WRONG = {  # C20: what is passed, and the line that mends it
    "not a tensor": (GOOD.numpy(), "images.read_image"),
    "a batch": (torch.zeros(2, 3, 64, 64), r"images\[0\]"),
    "one plane": (torch.zeros(64, 64), r"\(3, H, W\)"),
    "colours last": (GOOD.permute(1, 2, 0), r"permute\(2, 0, 1\)"),
    "grey": (torch.zeros(1, 64, 64), r"expand\(3, -1, -1\)"),
    "four channels": (torch.zeros(4, 64, 64), r"image\[:3\]"),
    "seven channels": (torch.zeros(7, 64, 64), "red, green and blue"),
    "too small": (torch.zeros(3, 31, 64), "32 x 32"),
    "gradients": (torch.zeros(3, 64, 64, requires_grad=True), "detach"),
    "whole numbers": (GOOD.long(), "byte"),
    "not a number": (torch.full((3, 64, 64), float("nan")), "not numbers"),
    "infinite": (torch.full((3, 64, 64), float("inf")), "not numbers"),
    "0 to 255": (GOOD.float(), "to_unit"),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("role", ["content", "style"])
def test_c20_a_tensor_that_is_no_picture_is_named_with_the_line_that_mends_it(
    kind, role, assert_clear
):
    image, words = WRONG[kind]
    pair = (image, GOOD) if role == "content" else (GOOD, [image])
    with pytest.raises(GancourseError, match=words) as caught:
        next(stylise(*pair, StyleConfig(**SMALL)))
    assert_clear(caught.value, role)


def test_uint8_floats_and_batches_of_one_are_all_pictures():
    expected = data.to_unit(GOOD)[None]
    for image in (GOOD, GOOD[None], expected, expected[0]):
        assert torch.equal(style.picture(image), expected)


@pytest.mark.parametrize(
    "styles", [[], [(GOOD, -1.0)], [(GOOD, 0.0)], [(GOOD, float("nan"))], [(GOOD,)]]
)
def test_wrong_weights_of_styles_are_named(styles, assert_clear):
    with pytest.raises(GancourseError) as caught:
        next(stylise(GOOD, styles, StyleConfig(**SMALL)))
    assert_clear(caught.value, "tyles")


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 16},
        {"size": 320.0},
        {"steps": 0},
        {"levels": 0},
        {"log_every": 0},
        {"style_weight": float("nan")},
        {"tv_weight": -1.0},
        {"style_scale": 0.0},
        {"optimizer": "sgd"},
        {"start": "black"},
        {"precision": "fp16"},
    ],
)
def test_wrong_settings_are_named(wrong, assert_clear):
    with pytest.raises(GancourseError) as caught:
        StyleConfig(**wrong)
    assert_clear(caught.value, next(iter(wrong)))


def test_an_unknown_device_or_layer_is_named(assert_clear):
    with pytest.raises(GancourseError) as caught:
        run(device="abacus")
    assert_clear(caught.value, "abacus")
    with pytest.raises(GancourseError) as caught:
        run(style_layers=("relu9_9",))
    assert_clear(caught.value, "relu9_9")


def test_a_descent_that_leaves_the_numbers_stops_with_a_sentence(assert_clear):
    with pytest.raises(NonFinite) as caught:
        run(style_weight=1e38, optimizer="lbfgs")
    assert_clear(caught.value, "adam")
