"""A step as a CUDA graph: the same run, or a sentence that says why there is none.

A GPU records and replays kernels; here a stand-in plays the recorded step again, from
the same fixed places. What only a device can show is in test_cuda.py.
"""

import contextlib
import types
import warnings

import pytest
import torch
from small_games import GAMES, LIGHT, digest, weights
from test_training import overflow

from gancourse import checkpoints, graphs, training
from gancourse.errors import GancourseError, NonFinite

EXACT = {"g_lr": 2**-9, "d_lr": 2**-9}  # rates that float32 holds without rounding


class StandIn:
    """Computes nothing when it is made, as a recording does; then plays the step."""

    def __init__(self, play, state, batches, stream):
        self.play, self.state, self.batches = play, state, batches
        self.fixed, self.step = state.fixed, None
        assert all(opt.param_groups[0]["capturable"] for opt in optimizers(state))

    def __call__(self):
        before = [opt.param_groups[0]["lr"] for opt in optimizers(self.state)]
        self.state.fixed = self.fixed
        step = self.play(self.state, self.batches)
        self.state.fixed = None
        for opt, lr in zip(optimizers(self.state), before, strict=True):
            opt.param_groups[0]["lr"] = lr
        self.step = self.step or step
        for there, value in zip(tensors(self.step), tensors(step), strict=True):
            there.copy_(value)  # a replay leaves its results where they lay
        return self.step


def tensors(step):
    values, parts = step
    return [*values, *parts.values()]


def optimizers(state):
    return [opt for opt in (state.d_opt, state.g_opt) if opt is not None]


class Stream:
    def __init__(self, *device):
        pass

    def wait_stream(self, other):
        pass


@pytest.fixture
def recorder(monkeypatch):
    """Graphs on this CPU, with the stand-in for the device's recording."""
    monkeypatch.setattr(graphs, "why_not", lambda state: "")
    monkeypatch.setattr(graphs, "Replay", StandIn)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", lambda mode: None)
    return monkeypatch


def run(module, name, until=None, **changes):
    """A small run of `module`'s loop and its logs."""
    small = GAMES[name]
    usual = {"steps": 16, "log_every": 1, "device": "cpu", "batch_size": 8}
    settings = {**usual, **EXACT, **small.settings, **changes}
    config = module.TrainConfig(**settings)
    torch.manual_seed(0)
    state = module.start(small.game(), config)
    logs = []
    for log in module.train(state, small.batches(config)):
        logs.append(log)
        if log.step == until:
            break
    return state, logs


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", LIGHT)
def test_a_replayed_run_is_the_run_itself(name, precision, as_on_a_gpu, recorder):
    plain, told = run(as_on_a_gpu, name, precision=precision)
    state, logs = run(as_on_a_gpu, name, precision=precision, graph=True)
    assert state.replayed == 16 - graphs.WARM_UP and plain.replayed == 0
    assert logs == told
    assert digest(state) == digest(plain)


def test_a_replayed_run_resumes_from_its_checkpoint(as_on_a_gpu, recorder, tmp_path):
    whole, _ = run(as_on_a_gpu, "dcgan", graph=True)
    part, _ = run(as_on_a_gpu, "dcgan", until=9, graph=True)
    checkpoints.save(part, tmp_path)
    for graph in (True, False):  # how a step is launched is no setting of the run
        config = GAMES["dcgan"].config(
            steps=16, log_every=1, precision="auto", graph=graph, **EXACT
        )
        again = checkpoints.resume(tmp_path, GAMES["dcgan"].game(77), config)
        assert again.step == 9
        list(training.train(again, GAMES["dcgan"].batches(config)))
        assert digest(again) == digest(whole)


class Stale(StandIn):
    """Latents of another random stream, as when the generator is not recorded."""

    def __call__(self):
        kept = self.state.rng.get_state()
        self.state.rng.manual_seed(77)
        step = super().__call__()
        self.state.rng.set_state(kept)
        return step


class Lacking(StandIn):
    """All but G's update, which the losses of the step itself do not show."""

    def __call__(self):
        weights_of_G = list(self.state.generators.parameters())
        kept = [p.detach().clone() for p in weights_of_G]
        step = super().__call__()
        with torch.no_grad():
            for p, value in zip(weights_of_G, kept, strict=True):
                p.copy_(value)
        return step


@pytest.mark.parametrize("replay", [Stale, Lacking])
def test_a_replay_that_does_not_play_the_step_is_not_used(
    replay, as_on_a_gpu, recorder, capsys
):
    recorder.setattr(graphs, "Replay", replay)
    plain, told = run(as_on_a_gpu, "dcgan")
    state, logs = run(as_on_a_gpu, "dcgan", graph=True)
    assert state.replayed == 0 and logs == told and digest(state) == digest(plain)
    assert "No graph: a replayed step differed" in capsys.readouterr().out


def test_a_value_that_is_no_number_is_named_at_the_next_log_of_a_replayed_run(
    as_on_a_gpu, recorder
):
    ends = {}
    for graph in (False, True):
        small = GAMES["dcgan"]
        config = as_on_a_gpu.TrainConfig(
            20, 8, device="cpu", log_every=10, graph=graph, **EXACT
        )
        state = as_on_a_gpu.start(small.game(), config)
        overflow(state, step=7)
        with pytest.raises(NonFinite, match="weights of step 7"):
            list(as_on_a_gpu.train(state, small.batches(config)))
        ends[graph] = weights(state)
    for key, value in ends[False].items():
        assert torch.equal(value, ends[True][key]), key


def test_a_step_that_waits_for_the_device_is_played_one_by_one(
    as_on_a_gpu, recorder, capsys
):
    """Its third step says so; to record it would only break things."""
    modes = []

    def waits(mode):
        modes.append(mode)

    recorder.setattr(torch.cuda, "set_sync_debug_mode", waits)
    small = GAMES["points"]
    config = as_on_a_gpu.TrainConfig(9, 8, device="cpu", graph=True, **EXACT)
    state = as_on_a_gpu.start(small.game(), config)
    honest = state.game.generator_loss

    def looking(batch, rng):
        if modes == ["warn"]:  # as PyTorch does for .item() in this mode
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        return honest(batch, rng)

    state.game.generator_loss = looking
    list(as_on_a_gpu.train(state, small.batches(config)))
    assert state.step == 9 and state.replayed == 0 and modes == ["warn", 0]
    assert "waits for the device" in capsys.readouterr().out


def test_batches_of_another_shape_are_named(as_on_a_gpu, recorder, assert_clear):
    small = GAMES["points"]
    config = as_on_a_gpu.TrainConfig(9, 8, device="cpu", graph=True, **EXACT)
    state = as_on_a_gpu.start(small.game(), config)
    whole = small.batches(config)

    class Ragged:
        def __getitem__(self, k):
            return whole[k][: 8 if k < 5 else 1]

    with pytest.raises(GancourseError) as caught:
        list(as_on_a_gpu.train(state, Ragged()))
    assert_clear(caught.value, "(8, 2)", "(1, 2)", "graph=False")


def test_a_step_that_cannot_be_recorded_says_what_to_do(
    as_on_a_gpu, recorder, assert_clear
):
    class Refused:
        def __init__(self, *step):
            raise RuntimeError("operation not permitted when stream is capturing\n…")

    recorder.setattr(graphs, "Replay", Refused)
    with pytest.raises(GancourseError) as caught:
        run(as_on_a_gpu, "dcgan", graph=True)
    assert_clear(caught.value, "Step 4", "not permitted", "graph=False")


def test_without_a_cuda_device_the_run_says_why_it_has_no_graph(capsys):
    plain, told = run(training, "points")
    state, logs = run(training, "points", graph=True)
    assert logs == told and digest(state) == digest(plain) and state.replayed == 0
    said = capsys.readouterr().out
    assert (
        said.count("No graph: a graph needs a CUDA device, and this run is on cpu") == 1
    )


def test_fp16_has_no_graph():
    on_a_t4 = types.SimpleNamespace(device=torch.device("cuda"), precision="fp16")
    assert "loss scale of fp16" in graphs.why_not(on_a_t4)
    on_a_t4.precision = "bf16"
    assert graphs.why_not(on_a_t4) == ""
