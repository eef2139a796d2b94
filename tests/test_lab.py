"""The GAN lab without a browser: its run is the course's run, bit for bit."""

import base64
import json
import math
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from gancourse import data, health, training
from gancourse.errors import GancourseError
from gancourse.lab import GanLab, gan_lab, picture, widget
from gancourse.lab.engine import (
    ARROWS,
    KEPT,
    LOGS,
    POINTS,
    SIDE,
    Engine,
    covered_modes,
    draw_weights,
)
from gancourse.lab.recipe import (
    DRAWING,
    LAWS,
    LOSSES,
    OPTIMIZERS,
    PENALTIES,
    Recipe,
    program,
)
from gancourse.models.mlp import PointDiscriminator, PointGenerator

PLAIN = Recipe()
REPAIRED = Recipe(penalty="R1, slope at real points", falling=1_500, seed=3)
CRITIC = Recipe(
    law="grid of 25", loss="Wasserstein", penalty="gradient penalty", strength=10.0,
    d_steps=5, optimizer="Adam, betas 0.5 and 0.999", g_lr=5e-4, d_lr=1e-3,
)  # fmt: skip
RELATIVE = Recipe(
    law="two spirals", loss="relativistic", penalty="R2, slope at fakes",
    optimizer="SGD, momentum 0.9", d_lr=0.02, g_lr=0.01, seed=7,
)  # fmt: skip
DRAWN = Recipe(
    law=DRAWING, points=((-1.0, 0.5), (1.25, 0.0)), loss="hinge", optimizer="RMSprop"
)
RECIPES = [PLAIN, REPAIRED, CRITIC, RELATIVE, DRAWN]
every = pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: f"{r.law}, {r.loss}")


def scripted(recipe: Recipe, step: int) -> dict:
    """The names that the lab's program defines: the loop of gancourse.training."""
    names: dict = {}
    exec(program(recipe, step), names)
    return names


def weights(*players) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for m in players for p in m.parameters()])


def same(a, b) -> bool:
    """Are two frames the same, not-a-number being equal to itself?"""
    pairs = zip(a[:-1], b[:-1], strict=True)
    return all(
        torch.equal(x, y) if torch.is_tensor(x) else x == y or (x != x and y != y)
        for x, y in pairs
    )


# ------------------------------------------------------------------ the same run


@every
def test_frame_at_a_step_is_that_of_a_scripted_run(recipe):
    engine, k = Engine(recipe), 23
    engine.step(k)
    frame, names = engine.frame(), scripted(recipe, k)
    G, D = names["G"], names["D"]
    line = torch.linspace(-3, 3, SIDE)
    rows = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)  # y from below
    with torch.no_grad():
        assert torch.equal(frame.field, D(rows.reshape(-1, 2)).reshape(SIDE, SIDE))
        assert torch.equal(frame.fake, G(engine.z)[:POINTS])
    assert frame.step == k == names["state"].step
    assert engine.last == names["log"]
    assert (frame.d_loss, frame.g_loss) == (names["log"].d_loss, names["log"].g_loss)
    assert torch.equal(weights(engine.G, engine.D), weights(G, D))
    assert not torch.equal(weights(G, D), weights(*fresh(recipe.seed))), "it learned"


def fresh(seed: int):
    torch.manual_seed(seed)
    return PointGenerator(2, 2, 128), PointDiscriminator(2, 128)


@every
def test_it_does_not_matter_how_the_steps_are_portioned_or_watched(recipe):
    whole, parts = Engine(recipe), Engine(PLAIN)
    whole.step(12)
    parts.step(5)  # another run before, as after a reset
    parts.recipe = recipe
    parts.reset()
    for n in (1, 4, 2):
        parts.step(n)
        parts.record()
    while parts.state.step < 12:
        for _ in range(recipe.d_steps):
            parts.move_D()
            parts.frame()
        parts.move_G()
    assert same(whole.frame(), parts.frame())
    assert torch.equal(weights(whole.G, whole.D), weights(parts.G, parts.D))


def test_another_seed_is_another_run_and_the_same_seed_the_same():
    engine, ends = Engine(), []
    for seed in (0, 1, 0):
        engine.reset(seed)
        engine.step(5)
        ends.append(weights(engine.G))
    assert torch.equal(ends[0], ends[2]) and not torch.equal(ends[0], ends[1])


def test_nothing_of_it_touches_the_stream_that_cells_draw_from():
    torch.manual_seed(11)
    before = torch.get_rng_state()
    lab = GanLab(penalty="gradient penalty", loss="Wasserstein")
    lab.engine.step(3)
    lab.engine.record()
    lab.engine.reset(5)
    lab.engine.set(law="two moons", optimizer="SGD")
    lab.answer({"t": "tick", "n": 3})
    assert torch.equal(before, torch.get_rng_state())


def test_a_cell_that_trains_meanwhile_is_not_disturbed_and_disturbs_nothing():
    def cell() -> torch.Tensor:
        torch.manual_seed(4)
        draws = [torch.randn(50, 50).sum() for _ in range(400)]
        return torch.stack(draws)

    alone, engine = cell(), Engine()
    player = threading.Thread(target=lambda: [engine.step(5) for _ in range(12)])
    player.start()
    for _ in range(3):
        assert torch.equal(cell(), alone)
        engine.frame()
    player.join()
    assert engine.last == scripted(PLAIN, 60)["log"]


def test_two_labs_play_as_each_would_alone():
    one, two = Engine(PLAIN), Engine(CRITIC)
    for _ in range(4):
        one.step(2)
        two.step(2)
        two.frame()
    assert one.last == scripted(PLAIN, 8)["log"]
    assert two.last == scripted(CRITIC, 8)["log"]


def test_weights_are_drawn_as_a_seeded_build_draws_them():
    players = fresh(21)
    wanted = weights(*players)
    draw_weights(players, torch.Generator().manual_seed(22))
    assert not torch.equal(weights(*players), wanted)
    draw_weights(players, torch.Generator().manual_seed(21))
    assert torch.equal(weights(*players), wanted)


# ------------------------------------------------------------------ moves and settings


def test_each_move_moves_one_player_only():
    engine = Engine()
    for move, mover, other in [
        (engine.move_D, engine.D, engine.G),
        (engine.move_G, engine.G, engine.D),
    ]:
        before = weights(mover), weights(other)
        move()
        assert not torch.equal(weights(mover), before[0])
        assert torch.equal(weights(other), before[1])


def test_a_step_is_a_move_of_G_and_D_may_move_more_often():
    engine = Engine()
    for _ in range(3):
        engine.move_D()
    assert (engine.state.step, engine.d_moves) == (0, 3)
    engine.move_G()
    assert (engine.state.step, engine.d_moves) == (1, 0)


def test_G_may_begin_against_a_D_that_has_never_moved():
    engine = Engine()
    engine.move_G()
    frame = engine.frame()
    assert frame.step == 1 and math.isnan(frame.d_loss)
    engine.step(2)
    assert math.isfinite(engine.frame().d_loss)


def test_a_moved_slider_changes_the_run_from_the_next_step_on():
    engine, names = Engine(), scripted(PLAIN, 10)
    engine.step(10)
    assert not engine.set(g_lr=2e-2, d_lr=1e-3)
    engine.step(10)
    state = names["state"]
    state.config = replace(state.config, g_lr=2e-2, d_lr=1e-3, steps=20)
    batches = data.batches(names["mixture"], 128, 0)
    *_, log = training.train(state, batches)
    assert engine.last == log
    assert engine.last != scripted(PLAIN, 20)["log"], "the slider did something"
    assert engine.changed_at == [10]


@pytest.mark.parametrize(
    "change",
    [
        dict(loss="hinge"),
        dict(penalty="R1, slope at real points"),
        dict(d_steps=2),
        dict(falling=1_500),
    ],
    ids=lambda c: next(iter(c)),
)
def test_a_change_on_the_way_goes_on_and_counts(change):
    engine, unchanged = Engine(), Engine()
    for each in (engine, unchanged):
        each.step(5)
    before = weights(engine.G)
    assert not engine.set(**change)
    assert torch.equal(weights(engine.G), before) and engine.state.step == 5
    for each in (engine, unchanged):
        each.state.step += 700  # where falling rates have begun to fall
        each.step(3)
    assert not torch.equal(weights(engine.D), weights(unchanged.D))


@pytest.mark.parametrize(
    "change",
    [dict(law="line"), dict(optimizer="SGD"), dict(seed=9)],
    ids=lambda c: next(iter(c)),
)
def test_a_change_of_what_a_run_is_made_of_begins_anew(change):
    engine = Engine()
    engine.step(5)
    assert engine.set(**change)
    assert engine.state.step == 0 and not engine.logs and not engine.changed_at
    engine.step(4)
    assert engine.last == scripted(replace(PLAIN, **change), 4)["log"]


BAD = [
    dict(law="triangle"), dict(loss="nonsaturating"), dict(penalty="R9"),
    dict(strength=-1), dict(strength=math.nan), dict(g_lr=0), dict(d_lr="fast"),
    dict(d_steps=0), dict(d_steps=99), dict(optimizer="LBFGS"), dict(falling=-5),
    dict(falling=2.5), dict(seed=-1), dict(law=DRAWING),
    dict(law=DRAWING, points=((1,),)), dict(law=DRAWING, points=((1, math.inf),)),
]  # fmt: skip


@pytest.mark.parametrize("change", BAD, ids=str)
def test_a_refused_setting_says_why_and_leaves_the_run_alone(change, assert_clear):
    engine = Engine()
    engine.step(2)
    before = weights(engine.G, engine.D)
    with pytest.raises(GancourseError) as caught:
        engine.set(**change)
    assert_clear(caught.value)
    assert engine.recipe == PLAIN and engine.state.step == 2
    assert torch.equal(weights(engine.G, engine.D), before)
    engine.step(2)
    assert engine.last == scripted(PLAIN, 4)["log"]


def test_a_run_that_diverges_stops_with_its_last_finite_weights_and_can_go_on():
    engine = Engine(Recipe(loss="Wasserstein", optimizer="SGD", g_lr=900.0, d_lr=900.0))
    engine.step(200)
    stopped = engine.state.step
    assert stopped < 200 and "stopped being a number" in engine.stopped
    assert weights(engine.G, engine.D).isfinite().all()
    assert engine.frame().verdict.name == "diverged"
    assert engine.step(5) == 0, "it stays where it is"
    engine.set(g_lr=1e-4, d_lr=1e-4)
    assert not engine.stopped and engine.frame().verdict is None
    engine.reset()
    assert not engine.stopped and engine.step(1) == 1


def test_a_run_whose_rates_have_fallen_is_over_until_they_may_stay():
    engine = Engine(Recipe(falling=1_500))
    engine.state.step = 1_498
    assert engine.step(5) == 2
    assert engine.step(1) == 0 and "over" in engine.stopped
    engine.set(falling=0)
    assert engine.step(1) == 1


# ------------------------------------------------------------------ what is shown


def test_push_is_minus_the_slope_of_the_generator_s_loss():
    engine = Engine()
    engine.step(30)
    frame = engine.frame()
    x = frame.fake[:ARROWS].clone().requires_grad_()
    logits = engine.D(x)
    (slope,) = torch.autograd.grad(logits.sum(), x)
    # -d softplus(-s)/dx = sigmoid(-s) ds/dx, by hand
    expected = logits.detach().neg().sigmoid()[:, None] * slope
    assert torch.allclose(frame.push, expected, atol=1e-6)
    assert frame.push.abs().max() > 1e-3


def test_push_of_a_relative_loss_counts_each_fake_once():
    engine = Engine(RELATIVE)
    engine.step(10)
    frame = engine.frame()
    x = frame.fake[:ARROWS].clone().requires_grad_()
    difference = engine.D(engine.real[:ARROWS]).detach() - engine.D(x)
    loss = torch.nn.functional.softplus(difference).sum()
    assert torch.allclose(frame.push, -torch.autograd.grad(loss, x)[0], atol=1e-6)


def test_sheet_is_the_image_of_lines_of_equal_probability():
    engine = Engine()
    frame = engine.frame()
    normal = torch.distributions.Normal(0.0, 1.0)
    ticks = normal.icdf(torch.linspace(0.02, 0.98, 11))
    along = torch.linspace(ticks[0], ticks[-1], 41)
    with torch.no_grad():
        corner = engine.G(torch.stack([ticks[0], ticks[0]])[None])[0]
        across = engine.G(torch.stack([ticks[3].expand(41), along], 1))
        upward = engine.G(torch.stack([along, ticks[3].expand(41)], 1))
    assert torch.allclose(frame.sheet[0, 0, 0], corner, atol=1e-5)
    assert torch.allclose(frame.sheet[0, 3], across, atol=1e-5)
    assert torch.allclose(frame.sheet[1, 3], upward, atol=1e-5)


def test_modes_are_counted_as_notebook_02_counts_them_by_hand():
    path = Path(__file__).parents[1] / "notebooks" / "02_first_gan.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    names = {"torch": torch}
    for cell in cells:
        if "coverage-by-hand" in cell["metadata"].get("tags", []):
            exec("".join(cell["source"]), names)
    ring, rng = data.ring(), torch.Generator().manual_seed(0)
    for n in (0, 3, 8):
        points = torch.randn(1_024, 2, generator=rng)
        points[: 128 * n] = ring.sample(1_024, rng)[: 128 * n]
        few = ring.centers[torch.arange(1_024) % max(n, 1)]
        for fake in (points, few):
            assert covered_modes(fake, ring) == names["coverage"](fake, ring)[0]


@pytest.mark.parametrize("loss", LOSSES)
def test_shade_is_half_where_D_can_not_tell(loss):
    engine = Engine(Recipe(loss=loss))
    engine.step(5)
    frame = engine.frame()
    flat = frame._replace(field=torch.full((SIDE, SIDE), frame.middle))
    assert torch.allclose(gan_lab.shade(flat, loss), torch.tensor(0.5))
    higher = frame._replace(field=torch.full((SIDE, SIDE), frame.middle + 1))
    assert (gan_lab.shade(higher, loss) > 0.7).all(), "real is blue, above the middle"
    assert frame.middle == {"least squares": 0.5}.get(loss, frame.middle)


def test_verdict_comes_after_a_hundred_steps_and_is_that_of_health(monkeypatch):
    engine, calls = Engine(), []
    judge = health.verdict

    def watched(logs, fake, train):
        calls.append(len(logs))
        return judge(logs, fake, train)

    monkeypatch.setattr(health, "verdict", watched)
    engine.step(99)
    assert engine.frame().verdict is None and not calls
    engine.step(1)
    verdict = engine.frame().verdict
    engine.frame()
    assert verdict.name in health.NAMES
    assert calls == [100], "and it is not asked at every frame"


def test_recording_stays_small_and_spans_the_run(monkeypatch):
    engine = Engine()
    one = engine.frame()
    quick = lambda: one._replace(step=engine.state.step)  # noqa: E731
    monkeypatch.setattr(engine, "frame", quick)
    for _ in range(3 * KEPT):
        engine.state.step += 7  # as if it had been played
        engine.record()
    steps = [frame.step for frame in engine.recording]
    assert len(steps) <= KEPT and steps == sorted(set(steps)) and steps[0] == 7
    assert steps[-1] > 0.9 * engine.state.step
    gaps = {b - a for a, b in pairwise(steps)}
    assert len(gaps) == 1, "evenly"


def test_logs_stay_few_and_evenly_spaced(monkeypatch):
    monkeypatch.setattr("gancourse.lab.engine.LOGS", 20)
    assert LOGS >= 1_000
    engine = Engine()
    engine.step(70)
    steps = [log.step for log in engine.logs]
    assert len(steps) <= 20 and steps[-1] >= 68
    assert len({b - a for a, b in pairwise(steps)}) == 1


def test_every_choice_of_a_law_is_what_its_program_says():
    for name, (words, make) in LAWS.items():
        written = eval(words, {"data": data})
        assert torch.equal(written.centers, make().centers), name
        assert written.std == make().std
        assert make().centers.abs().max() <= 2.5, "inside the plane that is shown"


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_loss_and_optimizer_plays_as_written(loss, optimizer):
    penalty = list(PENALTIES)[(len(loss) + len(optimizer)) % len(PENALTIES)]
    recipe = Recipe(loss=loss, optimizer=optimizer, penalty=penalty, d_steps=2)
    engine = Engine(recipe)
    engine.step(3)
    assert engine.last == scripted(recipe, 3)["log"]


# ------------------------------------------------------------------ questions, answers


def unpacked(text: str, kind="<i2") -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def test_answers_hold_the_frame_as_the_page_reads_it():
    lab = GanLab()
    told = lab.answer({"t": "tick", "n": 5})
    frame = lab.engine.frame()
    assert told["t"] == "frame" and told["step"] == frame.step >= 1
    fake = unpacked(told["fake"]).reshape(-1, 2) / 4096
    assert np.abs(fake - frame.fake.numpy()).max() <= 1 / 4096
    field = unpacked(told["field"], np.uint8).reshape(SIDE, SIDE) / 255
    assert np.abs(field - gan_lab.shade(frame, "x").numpy()).max() <= 1 / 255
    rows = unpacked(told["curves"], "<i4").reshape(-1, 4)
    assert rows[0].tolist()[:3] == [0, -(2**31), -(2**31)], "no loss before a move"
    assert rows[-1].tolist()[:2] == [1000 * frame.step, round(1000 * frame.d_loss)]
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert len(json.dumps(told)) < 20_000


def test_numbers_that_are_none_or_too_large_are_packed_as_limits():
    array = torch.tensor([math.nan, math.inf, -math.inf, 1.0, 100.0])
    packed = unpacked(widget.packed(array)).tolist()
    assert packed == [-(2**15), 2**15 - 1, -(2**15), 4096, 2**15 - 1]


def test_looking_back_shows_what_was_and_changes_nothing():
    lab = GanLab()
    told = [lab.answer({"t": "move", "who": "both"}) for _ in range(4)]
    before = weights(lab.engine.G)
    back = lab.answer({"t": "past", "index": 2})
    same_things = {k: v for k, v in back.items() if k in ("step", "fake", "field")}
    assert same_things.items() <= told[1].items()
    assert lab.answer({"t": "past", "index": 999})["step"] == 4
    assert torch.equal(weights(lab.engine.G), before) and lab.engine.state.step == 4


def test_a_page_that_opens_again_is_told_everything():
    lab = GanLab(law="two moons")
    lab.answer({"t": "move", "who": "both"})
    told = lab.answer({"t": "hello"})
    assert told["t"] == "whole" and told["step"] == 1 and told["kept"] == 2
    assert told["recipe"]["law"] == "two moons"
    for name, values in told["controls"].items():
        assert told["recipe"][name] in values


def test_a_drawing_becomes_the_law():
    lab = GanLab()
    points = [[0, 1], [1.5, -0.5]]
    changes = {"law": DRAWING, "points": points}
    told = lab.answer({"t": "set", "changes": changes})
    assert told["step"] == 0 and told["recipe"]["points"] == ((0, 1), (1.5, -0.5))
    assert lab.engine.mixture.centers.tolist() == points


def test_the_program_says_when_controls_were_moved():
    lab = GanLab()
    assert "moved" not in lab.program()
    lab.engine.step(3)
    lab.answer({"t": "set", "changes": {"loss": "hinge"}})
    assert "controls were moved at step 3;" in lab.program()
    lab.answer({"t": "reset"})
    lab.engine.step(2)
    names: dict = {}
    exec(lab.answer({"t": "program"})["program"], names)
    assert names["log"] == lab.engine.last


def ask(made, request: dict) -> dict:
    """Send a request as ipywidgets delivers it."""
    sent = []
    made.send = lambda told, buffers=None: sent.append(told)
    made._handle_custom_msg(request, [])
    (told,) = sent
    return told


def test_the_widget_answers_with_the_stamp_of_the_question_and_faults_in_words():
    lab = GanLab()
    made = widget.make_widget("gan_lab.js", "gan_lab.css", lab.answer)
    stamp = {"view": "v", "seq": 7, "epoch": 2}
    told = ask(made, {"t": "hello", **stamp})
    assert stamp.items() <= told.items() and told["t"] == "whole"
    wrong = {"t": "set", "changes": {"g_lr": -1}, **stamp}
    told = ask(made, wrong)
    assert told["t"] == "error" and "g_lr" in told["message"]
    told = ask(made, {"t": "fly", **stamp})
    assert told["t"] == "error" and stamp.items() <= told.items()
    made.close()


def test_a_tick_is_bounded_whatever_the_page_asks_for():
    lab = GanLab()
    for n in (-3, 0, 10**9):
        before = lab.engine.state.step
        lab.answer({"t": "tick", "n": n})
        assert 1 <= lab.engine.state.step - before <= gan_lab.MOST


def test_the_page_needs_no_network_and_moves_only_when_asked():
    for name in ("gan_lab.js", "gan_lab.css"):
        text = (widget.HERE / name).read_text(encoding="utf-8")
        assert "http" not in text and "import " not in text and "import(" not in text
    script = (widget.HERE / "gan_lab.js").read_text(encoding="utf-8")
    for word in (
        "prefers-reduced-motion",
        "aria-live",
        "aria-label",
        "visibilitychange",
    ):
        assert word in script


# ------------------------------------------------------------------ without a page


def test_a_page_without_a_kernel_shows_a_picture_and_a_sentence():
    bundle, metadata = GanLab()._repr_mimebundle_()
    assert (
        bundle["image/png"].startswith(b"\x89PNG") and len(bundle["image/png"]) > 5000
    )
    assert bundle["text/plain"].count("\n") == 0 and "step 0" in bundle["text/plain"]
    assert metadata["image/png"]["alt"] == bundle["text/plain"]
    assert "model_id" in bundle["application/vnd.jupyter.widget-view+json"]


@pytest.mark.parametrize(
    "versions, words",
    [
        ({"ipywidgets": "7.7.1", "anywidget": "0.9.21"}, ""),
        ({"ipywidgets": "8.1.9", "anywidget": "0.11.0"}, ""),
        ({"ipywidgets": "7.6.5", "anywidget": "0.9.0"}, "this is 7.6.5"),
        ({"ipywidgets": "8.0.0", "anywidget": "0.8.1"}, "this is 0.8.1"),
        ({"ipywidgets": "8.0.0"}, "anywidget 0.9 or newer is not installed"),
    ],
)
def test_widgets_that_are_too_old_or_absent_are_named(monkeypatch, versions, words):
    def version(name):
        if name not in versions:
            raise widget.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(widget, "version", version)
    assert words in widget.missing() and bool(widget.missing()) == bool(words)


def test_without_widgets_a_film_plays_with_one_sentence(monkeypatch, capsys):
    shown = []

    class Handle:
        def update(self, image):
            shown.append(image)

    def display(thing, **_):
        shown.append(thing)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(gan_lab, "missing", lambda: "anywidget 0.9 is not installed")
    lab = GanLab()
    monkeypatch.setattr(lab, "run", lambda steps: GanLab.run(lab, 30, 10))
    lab._ipython_display_()
    said = capsys.readouterr().out
    assert "no buttons here: anywidget 0.9 is not installed." in said
    assert said.count("\n") == 1
    assert lab.engine.state.step == 30 and len(shown) >= 2
    assert all(image.data.startswith(b"\x89PNG") for image in shown)
    assert "step 30" in shown[-1].alt, "the last picture is of the end"
    assert lab.engine.last == scripted(PLAIN, 30)["log"]


def test_the_same_frame_gives_the_same_picture():
    first, second = Engine(), Engine()
    for engine in (first, second):
        engine.step(3)
    frame = first.frame()
    assert picture.png(first, frame) == picture.png(second, second.frame())
    first.step(1)
    assert picture.png(first, frame) != picture.png(first, first.frame())
