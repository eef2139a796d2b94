"""The live dashboard: it looks on, and a stop loses nothing."""

import threading

import pytest
import torch

from gancourse import checkpoints, data, games, health, losses
from gancourse.lab import predictions
from gancourse.lab.live import Dashboard
from gancourse.models.mlp import PointDiscriminator, PointGenerator
from gancourse.training import TrainConfig, start, train

RING = data.ring(std=0.1)
REAL = RING.sample(500, torch.Generator().manual_seed(1))
Z = torch.randn(200, PointGenerator().latent_dim)


def run(**changes):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        game = games.GAN(PointGenerator(), PointDiscriminator())
    settings = dict(steps=12, batch_size=16, log_every=2, device="cpu")
    return start(game, TrainConfig(**settings | dict(precision="fp32") | changes))


def batches():
    return data.batches(REAL, 16, 0)


def weights(state):
    players = [*state.generators.parameters(), *state.discriminators.parameters()]
    return torch.cat([p.detach().flatten() for p in players])


def watched(state, folder=None):
    return Dashboard(state, lambda: state.sample(Z), REAL, folder)


@pytest.fixture(scope="module")
def undisturbed():
    state = run()
    return list(train(state, batches())), weights(state)


def test_a_watched_run_is_the_run(undisturbed):
    state = run()
    live = watched(state)
    assert list(live.watch(train(state, batches()))) == undisturbed[0]
    assert torch.equal(weights(state), undisturbed[1])
    assert live.logs == undisturbed[0]


def test_it_ends_with_what_health_says_of_the_whole_run(undisturbed):
    state = run()
    live = watched(state)
    list(live.watch(train(state, batches())))
    samples = state.sample(Z)
    assert live.verdict == health.verdict(undisturbed[0], samples, REAL)
    assert live.diversity[-1] == (12, health.diversity(samples, REAL))
    assert live.verdict.name in live.caption and "step 12" in live.caption


def test_a_stop_from_another_thread_saves_and_the_run_goes_on_bit_for_bit(
    undisturbed, tmp_path, capsys
):
    state = run()
    live = watched(state, tmp_path)
    for log in live.watch(train(state, batches())):
        if log.step == 4:  # as the button does, in the thread of its message
            button = threading.Thread(target=live.stop, args=(None,))
            button.start()
            button.join()
    assert state.step == 4
    assert "Stopped at step 4, saved" in capsys.readouterr().out
    game = run().game
    again = checkpoints.resume(tmp_path, game, state.config)
    assert again.step == 4
    list(watched(again).watch(train(again, batches())))
    assert torch.equal(weights(again), undisturbed[1])


def test_running_the_cell_again_after_a_stop_continues_the_same_run(undisturbed):
    state = run()
    live = watched(state)
    for log in live.watch(train(state, batches())):
        if log.step == 6:
            live.stop()
    assert state.step == 6
    list(live.watch(train(state, batches())))
    assert torch.equal(weights(state), undisturbed[1])
    assert [log.step for log in live.logs] == [2, 4, 6, 8, 10, 12]


def test_an_interrupt_is_a_stop_too(tmp_path, capsys):
    state = run()

    def interrupted():
        for log in train(state, batches()):
            yield log
            if log.step == 8:
                raise KeyboardInterrupt

    live = watched(state, tmp_path)
    assert [log.step for log in live.watch(interrupted())] == [2, 4, 6, 8]
    assert "Stopped at step 8, saved" in capsys.readouterr().out
    assert checkpoints.resume(tmp_path, run().game, state.config).step == 8


def test_other_errors_are_not_swallowed():
    def broken():
        raise RuntimeError("something else")
        yield

    with pytest.raises(RuntimeError):
        list(watched(run()).watch(broken()))


def test_without_a_folder_a_stop_says_how_to_go_on(capsys):
    state = run()
    live = Dashboard(state)
    for _ in live.watch(train(state, batches())):
        live.stop()
    out = capsys.readouterr().out
    assert "Stopped at step 2." in out and "again to continue" in out


def test_drawing_takes_a_small_share_of_the_time(monkeypatch):
    from gancourse.lab import live as module

    clock, state = [0.0], run(steps=400, log_every=1)
    live = Dashboard(state)
    drawn, log = [], next(train(state, batches()))
    for name in ("perf_counter", "thread_time"):
        monkeypatch.setattr(module.time, name, lambda: clock[0])

    def figure(samples):
        drawn.append(clock[0])
        clock[0] += 0.3  # what a picture costs

    monkeypatch.setattr(live, "figure", figure)
    monkeypatch.setattr(live, "_display", lambda figure: None)
    for _ in live.watch([log] * 1000):
        clock[0] += 0.1  # what the run costs between two logs
    assert len(drawn) >= 5 and 0.3 * len(drawn) <= 0.04 * clock[0] + 0.6


def test_it_draws_runs_that_log_less_and_runs_of_points_and_images():
    state = run(steps=4)
    bare = Dashboard(state)
    logs = list(bare.watch(train(state, batches())))
    texts = [t.get_text() for ax in bare.figure(None).axes for t in ax.texts]
    assert any("no samples" in text for text in texts)
    live = watched(state)
    live.logs = [type(log)(**vars(log) | {"parts": {}}) for log in logs]
    live.draw()
    texts = [t.get_text() for ax in live.figure(None).axes for t in ax.texts]
    assert any("mean logit: not logged" in text for text in texts)


def test_it_draws_a_wasserstein_run(monkeypatch):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        game = games.GAN(PointGenerator(), PointDiscriminator(), losses.wasserstein)
    state = start(game, TrainConfig(steps=4, batch_size=16, log_every=1, device="cpu"))
    live = watched(state)
    list(live.watch(train(state, batches())))
    assert live.figure(state.sample(Z)).axes


def test_in_a_notebook_one_picture_is_redrawn_in_place(monkeypatch):
    import IPython.display as ipd

    shown, updated = [], []

    class Handle:
        def update(self, content, **_):
            updated.append(content)

    def display(*contents, **_):
        shown.extend(contents)
        return Handle()

    monkeypatch.setattr(predictions, "in_a_notebook", lambda: True)
    monkeypatch.setattr("gancourse.lab.live.in_a_notebook", lambda: True)
    monkeypatch.setattr(ipd, "display", display)
    file = "runtime/kernel-1f.json"  # there is no kernel here: this is its file's name
    monkeypatch.setattr("ipykernel.connect.get_connection_file", lambda: file)
    state = run()
    live = watched(state)
    for _ in live.watch(train(state, batches())):
        live._due = 0.0  # draw at every log
    button, picture, caption = shown
    assert "button" in button["text/plain"]
    assert (
        live.caption in caption["text/plain"]
        or "Live dashboard" in caption["text/plain"]
    )
    assert len(updated) == 2 * 6 and picture.data[:4] == b"\x89PNG"
    assert live._button.kernel == "1f"
    assert live._button.over, "nothing is left to stop"
