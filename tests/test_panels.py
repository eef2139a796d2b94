"""Explorer, mixer and their panel without a browser: what they answer is so."""

import base64
import json
import math
import threading

import pytest
import torch
from torch import nn

from gancourse import data, evaluation, style, stylers
from gancourse.lab import explorer, predictions
from gancourse.lab.explorer import Explorer
from gancourse.lab.mixer import HEAVY, LIGHT, Mixer
from gancourse.lab.panel import Answer, Panel, draw
from gancourse.models.conditional import ConditionalGenerator
from gancourse.models.dcgan import DCGANGenerator

VIEW = "application/vnd.jupyter.widget-view+json"


def made(player, **settings):
    """A small player, its running statistics not those of an untouched BatchNorm."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        G = player(width=4, refine=1, **settings)
        for norm in (m for m in G.modules() if isinstance(m, nn.BatchNorm2d)):
            nn.init.uniform_(norm.running_var, 0.001, 0.01)
    return G


@pytest.fixture(scope="module")
def images():
    return data.digits("test").images[:1000]


@pytest.fixture
def plain(images):
    return Explorer(made(DCGANGenerator), images)


@pytest.fixture
def told(images):
    return Explorer(made(ConditionalGenerator), images)


def values(engine, **changes) -> dict:
    start = {c["name"]: c["value"] for c in engine.controls if "value" in c}
    assert changes.keys() <= start.keys()
    return start | changes


def pixels(picture):
    """uint8 (H, W, 3) of an encoded picture."""
    import io

    import numpy as np
    from PIL import Image

    return torch.from_numpy(
        np.asarray(Image.open(io.BytesIO(picture.data)).convert("RGB")).copy()
    )


# ------------------------------------------------------------------ explorer


def test_an_uncut_latent_is_the_normal_number_of_its_uniform_one():
    u = torch.rand(64, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    z = explorer.truncated(64, explorer.UNCUT, 7)
    assert torch.allclose(torch.special.ndtr(z.double()), u, atol=1e-6)


@pytest.mark.parametrize("tau", [0.1, 0.5, 2.0])
def test_a_cut_latent_stays_inside_and_moves_smoothly_with_the_cut(tau):
    z, near = explorer.truncated(1000, tau, 3), explorer.truncated(1000, tau + 1e-3, 3)
    assert z.abs().max() <= tau and z.abs().max() > 0.97 * tau
    assert (z - near).abs().max() < 5e-3
    # A quarter of a law cut at tau lies below its own first quartile.
    quartile = math.sqrt(2) * torch.erfinv(
        torch.tensor(-0.5 * math.erf(tau / math.sqrt(2)))
    )
    assert abs((z < quartile).float().mean() - 0.25) < 0.06


def test_the_walk_begins_at_the_first_latent_and_ends_at_the_second(plain):
    ends = [explorer.truncated(64, 1.5, seed) for seed in (4, 9)]
    for t, z in zip((0.0, 1.0), ends, strict=True):
        at = values(plain, seed_a=4, seed_b=9, t=t)
        assert torch.allclose(plain.sample(at), plain.G(z[None]), atol=1e-5)
    walk = plain.walk(values(plain, seed_a=4, seed_b=9))
    assert torch.allclose(walk[[0, -1]], plain.G(torch.stack(ends)), atol=1e-4)


def test_the_walk_between_equal_latents_stands_still(plain):
    walk = plain.walk(values(plain, seed_a=4, seed_b=4))
    assert walk.isfinite().all() and (walk - walk[:1]).abs().max() < 1e-5


def test_half_way_is_on_the_sphere_between_the_ends():
    a, b = torch.eye(2)
    (middle,) = explorer.slerp(a, b, torch.tensor([0.5]))
    assert torch.allclose(middle, torch.full((2,), math.sqrt(0.5)))


def test_the_pad_moves_along_unit_directions(plain):
    still = plain.latents(values(plain), torch.zeros(1), torch.zeros(1, 2))
    moved = plain.latents(values(plain), torch.zeros(1), torch.tensor([[2.0, -1.0]]))
    one, two = plain.directions.values()
    assert torch.allclose(moved - still, (2 * one - two)[None], atol=1e-5)
    assert torch.allclose(
        torch.stack([one, two]) @ one, torch.tensor([1.0, 0.0]), atol=1e-5
    )


def test_strongest_directions_move_the_first_layer_most(plain):
    weight = next(m for m in plain.G.modules() if isinstance(m, nn.Linear)).weight
    sizes = torch.linalg.svdvals(weight)
    for k, v in enumerate(plain.directions.values()):
        assert torch.isclose((weight @ v).norm(), sizes[k], rtol=1e-4)
    others = torch.randn(64, 500, generator=torch.Generator().manual_seed(0))
    reached = (weight @ (others / others.norm(dim=0))).norm(dim=0)
    assert reached.max() < sizes[1]


def test_directions_that_are_given_are_offered_and_taken(images):
    named = {n: 3 * row for n, row in zip("abc", torch.eye(64), strict=False)}
    engine = Explorer(made(DCGANGenerator), images, named)
    across, up = engine.axes(values(engine, across="c", up="a"))
    assert torch.equal(across, torch.eye(64)[2]) and torch.equal(up, torch.eye(64)[0])


def test_one_direction_is_too_few_for_a_pad(images, assert_clear):
    with pytest.raises(ValueError) as caught:
        Explorer(made(DCGANGenerator), images, {"a": torch.ones(64)})
    assert_clear(caught.value, "two directions")


def test_a_conditional_generator_is_asked_for_the_chosen_classes(told):
    z = explorer.truncated(64, 1.5, 0)[None]
    for t, label in ((0.0, 2), (1.0, 7)):
        at = values(told, seed_b=0, class_a="2", class_b="7", t=t)
        expected = told.G(z, torch.tensor([label]))
        assert torch.allclose(told.sample(at), expected, atol=1e-5)


def test_the_middle_of_the_map_is_the_sample_at_the_middle_of_the_pad(plain):
    at = values(plain, t=0.3)
    side, k = 28, explorer.SIDE // 2
    tile = pixels(plain.map(at))[k * side : (k + 1) * side, k * side : (k + 1) * side]
    sample = data.to_uint8(plain.sample(at))[0, 0]
    assert (tile[..., 0].int() - sample.int()).abs().max() <= 1
    right = plain.sample(at | {"pad": [6 * explorer.REACH / 7, 0.0]})
    tile = pixels(plain.map(at))[k * side : (k + 1) * side, -side:]
    assert (tile[..., 0].int() - data.to_uint8(right)[0, 0].int()).abs().max() <= 1


def test_the_map_is_drawn_anew_only_when_it_changes(plain):
    first = plain.map(values(plain))
    assert plain.map(values(plain, pad=[1.0, 1.0])) is first
    assert plain.map(values(plain, tau=0.5)) is not first


def test_neighbours_are_the_nearest_in_pixels(images):
    sample = data.to_unit(images[321:322])
    found, distances = explorer.nearest(sample, images, 4)
    assert found[0] == 321 and distances[0] == 0
    unit = data.to_unit(images).flatten(1)
    exact = torch.cdist(sample.flatten(1).double(), unit.double())[0]
    assert torch.equal(found, exact.topk(4, largest=False).indices)
    assert torch.allclose(distances.double(), exact[found], atol=1e-4)
    other = (sample + 0.3).clamp(-1, 1)
    assert explorer.nearest(other, images, 1)[0] == evaluation.nearest(other, images)


def test_exploring_touches_neither_the_generator_nor_the_global_stream(images):
    G = made(DCGANGenerator).train()
    before = {k: v.clone() for k, v in G.state_dict().items()}
    stream = torch.get_rng_state()
    panel = Explorer(G, images).panel()
    panel.ask({"seed_a": 12, "t": 0.5})
    assert torch.equal(stream, torch.get_rng_state()) and G.training
    assert all(torch.equal(v, before[k]) for k, v in G.state_dict().items())


# ------------------------------------------------------------------ panel


def test_questions_from_several_threads_are_answered_one_after_the_other(plain):
    panel, answers = plain.panel(), {}

    def ask(seed):
        answers[seed] = panel.ask({"seed_a": seed, "seed_b": seed})

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, answer in answers.items():
        sample = data.to_uint8(plain.sample(values(plain, seed_a=seed, seed_b=seed)))
        big = pixels(answer.pictures["sample"])[::8, ::8, 0]
        assert (big.int() - sample[0, 0].int()).abs().max() <= 1, seed


def test_an_answer_travels_as_json_with_words_for_each_picture(plain):
    first = plain.panel().first
    assert not first.more and set(first.pictures) == {"sample", "walk", "map", "near"}
    message = json.loads(json.dumps(first.message()))
    for picture in message["pictures"].values():
        assert picture["src"].startswith("data:image/png;base64,")
        assert len(picture["alt"]) > 20


def test_what_goes_wrong_is_said_and_the_panel_lives_on(plain):
    panel = plain.panel()
    answer = panel.ask({"seed_a": "no number"})
    assert answer.text.startswith("That did not work") and not answer.pictures
    assert panel.ask({"seed_a": 3}).pictures
    assert "unknown" not in panel.ask({"unknown": 3}).text


def test_without_a_kernel_there_is_a_picture_and_a_sentence(plain):
    data_, metadata = plain.panel()._repr_mimebundle_()
    assert set(data_) == {"image/png", "text/plain"}
    assert base64.b64decode(data_["image/png"])[:4] == b"\x89PNG"
    assert metadata["image/png"]["alt"] in data_["text/plain"]


def test_in_a_notebook_the_widget_stands_beside_the_picture(plain, monkeypatch):
    monkeypatch.setattr(predictions, "in_a_notebook", lambda: True)
    panel = plain.panel()
    bundle, _ = panel._repr_mimebundle_()
    assert bundle[VIEW]["model_id"] == panel.widget().model_id
    assert {"image/png", "text/plain"} < set(bundle)


def test_broken_widgets_leave_the_picture(plain, monkeypatch):
    import anywidget

    def broken(*_, **__):
        raise RuntimeError("no comm here")

    monkeypatch.setattr(predictions, "in_a_notebook", lambda: True)
    monkeypatch.setattr(anywidget.AnyWidget, "__init__", broken)
    bundle, _ = plain.panel()._repr_mimebundle_()
    assert set(bundle) == {"image/png", "text/plain"}


def test_a_question_of_the_page_gets_its_answer(plain, monkeypatch):
    monkeypatch.setattr(predictions, "in_a_notebook", lambda: True)
    widget, sent = plain.panel().widget(), []
    monkeypatch.setattr(widget, "send", lambda content, *_: sent.append(content))
    ask = {"kind": "ask", "view": "v1", "values": {"seed_a": 2}, "event": ""}
    widget._handle_custom_msg(ask, [])
    (answer,) = sent
    assert (answer["kind"], answer["view"]) == ("answer", "v1")
    assert answer["more"] and "Seed 2" in answer["text"]


def test_a_panel_never_waits_for_more_when_it_is_made():
    class Endless:
        title, controls = "Endless", []

        def answer(self, values, event):
            picture = draw(torch.zeros(1, 1, 4, 4), 1, "a picture without an end")
            return Answer({"p": picture}, more=True)

    assert not Panel(Endless()).first.more


# ------------------------------------------------------------------ mixer

STREET, WAVE = "vangogh-village-street-auvers", "hokusai-great-wave"


@pytest.fixture(scope="module")
def photo():
    return data.picture("picos-de-europa", 96)


@pytest.fixture
def mixer(photo):
    paintings = {"van Gogh": data.picture(STREET, 96), "wave": data.picture(WAVE, 96)}
    nets = {"van Gogh": stylers.gallery(STREET)}
    return Mixer({"path": photo}, paintings, nets, size=64, steps=4)


def test_no_strength_is_the_photograph(mixer):
    at = values(mixer, strength=0.0)
    assert torch.equal(mixer.preview(at), mixer.photographs["path"])


def test_a_painting_with_a_net_is_that_net_in_one_pass(mixer):
    at = values(mixer, strength=1.0)
    painted = stylers.paint(stylers.gallery(STREET), mixer.photographs["path"])
    assert torch.allclose(mixer.preview(at), painted, atol=1e-5)


def test_any_other_painting_is_adain_in_the_paintings_colours(mixer):
    at = values(mixer, weight_0=0.0, weight_1=1.0, strength=1.0)
    x, wave = mixer.photographs["path"], mixer.paintings["wave"]
    painted = stylers.paint_any(stylers.decoder(), x, wave)
    matched = style.match_colours(painted, wave)
    assert torch.allclose(mixer.preview(at), matched, atol=1e-4)


def test_a_mixture_lies_between_its_paintings_by_their_shares(mixer):
    one, other = (
        mixer.preview(values(mixer, weight_0=w, weight_1=1.0 - w, strength=1.0))
        for w in (1.0, 0.0)
    )
    at = values(mixer, weight_0=0.2, weight_1=0.6, strength=1.0)
    assert mixer.mixture(at) == pytest.approx({"van Gogh": 0.25, "wave": 0.75})
    assert torch.allclose(mixer.preview(at), one / 4 + other * 3 / 4, atol=1e-5)


def test_a_mixture_of_nothing_is_refused_in_words(mixer):
    panel = mixer.panel()
    answer = panel.ask({"weight_0": 0.0, "weight_1": 0.0})
    assert "at least one painting" in answer.text and not answer.more
    assert not panel.ask({}, "render").more


def test_the_descent_in_pulls_is_the_descent_of_the_package(mixer):
    panel = mixer.panel()
    changes = {"weight_0": 0.5, "weight_1": 1.0, "layers": 3, "strength": 0.5}
    answer, pulls = panel.ask(changes, "render"), 0
    while answer.more:
        answer = panel.ask({}, "more")
        pulls += 1
    assert pulls == 4 and answer.progress == 1.0 and answer.text.startswith("Painted.")
    config = style.StyleConfig(
        size=64, steps=4, log_every=1, device="cpu",
        style_layers=style.LAYERS[:3], style_weight=(LIGHT * HEAVY) ** 0.5,
    )  # fmt: skip
    pairs_ = [(mixer.paintings["van Gogh"], 1.0), (mixer.paintings["wave"], 2.0)]
    *_, log = style.stylise(mixer.photographs["path"], pairs_, config)
    assert f"style error {log.style:.3f}" in answer.text
    expected = pixels(draw(log.image, 1, "", jpeg=True)).int()
    assert (pixels(answer.pictures["gatys"]).int() - expected).abs().max() <= 2


def test_a_descent_is_cancelled_and_the_preview_goes_on(mixer):
    panel = mixer.panel()
    assert panel.ask({}, "render").more and panel.ask({}, "more").partial
    meanwhile = panel.ask({"strength": 0.4})
    assert "preview" in meanwhile.pictures and meanwhile.more, "the descent goes on"
    assert "Cancelled" in panel.ask({}, "cancel").text
    assert not panel.ask({}, "more").more
    assert not panel.ask({"strength": 0.6}).more
    assert "Nothing" in panel.ask({}, "cancel").text


def test_mixing_leaves_the_shared_eye_and_the_global_stream_alone(mixer):
    shared, stream = style.features(), torch.get_rng_state()
    before = {k: v.clone() for k, v in shared.state_dict().items()}
    panel = mixer.panel()
    panel.ask({}, "render")
    panel.ask({}, "more")
    assert mixer.eye is not shared and torch.equal(stream, torch.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in shared.state_dict().items())


def test_a_mixer_without_pictures_says_what_it_needs(photo, assert_clear):
    with pytest.raises(ValueError) as caught:
        Mixer({"path": photo}, {})
    assert_clear(caught.value, "one painting")


def test_the_mixers_of_the_notebooks_hold_pictures_that_no_net_was_trained_on():
    from gancourse import pairs

    engine = Mixer.embedded(size=64, steps=2)
    assert len(engine.photographs) == len(engine.paintings) == 3
    assert set(engine.nets) < set(engine.paintings)
    for image in engine.photographs.values():
        held = [pairs.photograph(name, 320) for name in pairs.HELD_OUT]
        fitted = [style.scaled(style.picture(p), 64) for p in held]
        assert any(
            torch.equal(image, x[:, :, : image.shape[2], : image.shape[3]])
            for x in fitted
        )
