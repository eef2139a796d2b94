"""What is promised on a CUDA device; skipped where there is none.

On a machine with a GPU, `pytest tests/test_cuda.py` takes about a minute.
"""

import math

import pytest
import torch
from small_games import GAMES, LIGHT, digest, play, weights
from test_training import poison

from gancourse import checkpoints, graphs, training
from gancourse.errors import NonFinite
from gancourse.training import train

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="there is no CUDA device here"
)
PRECISIONS = ["fp32", "bf16", "fp16"]


@pytest.fixture(autouse=True)
def torch_is_left_as_it_was():
    yield
    assert not torch.are_deterministic_algorithms_enabled()


def state_of(name, **changes):
    """A small run on the device, and its batches there."""
    small = GAMES[name]
    state = small.state(**{"device": "cuda", "steps": 20, **changes})
    return state, small.batches(state.config)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", LIGHT)
def test_every_game_trains_on_the_device_in_every_precision(name, precision):
    state, batches = state_of(name, precision=precision)
    before = weights(state)
    logs = play(state, batches)
    assert state.step == 20 and all(map(math.isfinite, logs[-1].parts.values()))
    after = weights(state)
    assert all(value.is_cuda for value in after.values())
    for side in ("g.", "d.")[: 1 + bool(state.game.discriminators)]:
        moved = [k for k in after if k.startswith(side)]
        assert any(not torch.equal(before[k], after[k]) for k in moved), side


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", LIGHT)
def test_a_deterministic_run_resumes_bit_for_bit(name, precision, tmp_path):
    changes = {"precision": precision, "deterministic": True, "log_every": 1}
    whole, batches = state_of(name, **changes)
    play(whole, batches)
    part, batches = state_of(name, **changes)
    play(part, batches, until=7)
    checkpoints.save(part, tmp_path)
    small = GAMES[name]
    config = small.config(device="cuda", steps=20, **changes)
    again = checkpoints.resume(tmp_path, small.game(77), config)
    assert again.step == 7
    play(again, small.batches(config))
    assert digest(again) == digest(whole)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("site", ["d_loss", "g_loss", "d_gradient", "g_gradient"])
@pytest.mark.parametrize("name", ["points", "dcgan"])
def test_a_value_that_is_no_number_is_skipped_on_the_device_and_named_at_the_next_log(
    name, site, precision
):
    state, _ = state_of(name, precision=precision, log_every=5)
    batches = poison(state, GAMES[name], site, math.nan, step=6)
    with pytest.raises(NonFinite, match="step 7"):
        for log in train(state, batches):
            assert log.step <= 5
    for key, value in weights(state).items():
        assert value.isfinite().all(), key


def test_sampling_between_two_steps_changes_nothing():
    def run(sampling):
        state, batches = state_of("dcgan", deterministic=True, log_every=1)
        for _ in train(state, batches):
            if sampling:
                state.sample(torch.randn(4, 8))
                torch.randn(3, device="cuda")
        return digest(state)

    assert run(True) == run(False)


def test_auto_takes_16_bits_that_the_device_multiplies_itself():
    device = torch.device("cuda")
    real = torch.cuda.get_device_capability() >= (8, 0)
    assert training.pick_precision("auto", device) == ("bf16" if real else "fp16")


def test_nothing_waits_for_the_device_between_two_logs():
    state, batches = state_of("dcgan", steps=10, log_every=10)
    batches[0]  # the order of an epoch goes to the device once
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="synchroniz"):  # the log itself may wait
            play(state, batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert state.step == 10


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", LIGHT)
def test_a_step_launched_as_a_graph_is_the_same_step(name, precision):
    settings = {"precision": precision, "log_every": 1}
    runs = {}
    for graph in (False, True):
        state, batches = state_of(name, graph=graph, **settings)
        runs[graph] = state, play(state, batches)
    (plain, told), (replayed, logs) = runs[False], runs[True]
    assert plain.replayed == 0 and replayed.replayed == 20 - graphs.WARM_UP
    near = dict(rel=1e-2, abs=1e-2)  # for a few steps: then rounding grows by itself
    for one, other in zip(told[:8], logs[:8], strict=True):
        assert other.d_loss == pytest.approx(one.d_loss, **near)
        assert other.g_loss == pytest.approx(one.g_loss, **near)
        assert other.parts == pytest.approx(one.parts, **near)
    for key, value in weights(replayed).items():
        assert value.isfinite().all(), key
        if "num_batches_tracked" in key:
            assert torch.equal(value, weights(plain)[key]), key


def test_latents_and_dropout_of_a_replayed_run_go_on_where_they_were():
    ends = {}
    for graph in (False, True):
        state, batches = state_of("points, dropout", graph=graph, precision="fp32")
        play(state, batches)
        ends[graph] = state.rng.get_state(), state.layer_rng
    assert torch.equal(ends[False][0], ends[True][0])
    assert all(map(torch.equal, ends[False][1], ends[True][1]))


def test_a_value_that_is_no_number_is_named_in_a_replayed_run_too():
    state, batches = state_of("dcgan", graph=True, log_every=5)

    class Spoiled:
        def __getitem__(self, k):
            return batches[k] * (math.nan if k == 6 else 1)

    with pytest.raises(NonFinite, match="step 7"):
        play(state, Spoiled())
    assert state.replayed
    for key, value in weights(state).items():
        assert value.isfinite().all(), key


def test_a_step_that_looks_at_its_numbers_is_played_one_by_one(capsys):
    state, batches = state_of("dcgan", graph=True)
    honest = state.game.generator_loss

    def looking(batch, rng):
        g_loss, parts = honest(batch, rng)
        return g_loss * (1 + (g_loss.item() > 0)), parts

    state.game.generator_loss = looking
    play(state, batches)
    assert state.step == 20 and state.replayed == 0
    assert "No graph: a step of this game waits" in capsys.readouterr().out
