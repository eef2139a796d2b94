"""The loop: same seed same run, whatever one watches; no weight is ever poisoned."""

import ast
import contextlib
import inspect
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_games import GAMES, LIGHT, digest, play, points, weights
from torch import nn

from gancourse import checkpoints, data, losses, training
from gancourse.errors import GancourseError, NonFinite
from gancourse.games import GAN
from gancourse.hardware import pick_device
from gancourse.models.dcgan import DCGANDiscriminator, DCGANGenerator
from gancourse.models.mlp import PointDiscriminator, PointGenerator
from gancourse.training import State, TrainConfig, averaged, rate, start, train

HERE = Path(__file__).parent
PATHS = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
PRECISIONS = ["fp32", "bf16"]


def run(name, **changes):
    """One small run from start to end: its state, logs and hash."""
    small = GAMES[name]
    state = small.state(**{"steps": 20, **changes})
    logs = play(state, small.batches(state.config))
    return state, logs, digest(state, logs)


# ------------------------------------------------------------------ same seed, same run


@pytest.mark.alone
def test_same_seed_gives_the_same_bits_in_fresh_processes_at_one_and_two_threads():
    code = (
        "import json, torch\n"
        "from test_training import run\n"
        "out = {}\n"
        "for threads in (1, 2):\n"
        "    torch.set_num_threads(threads)\n"
        "    for name in ['points', 'points, dropout', 'dcgan', 'mlp']:\n"
        "        out[f'{name} {threads}'] = run(name, steps=4, log_every=2)[2]\n"
        "print(json.dumps(out))"
    )
    command = [sys.executable, "-c", code]
    env = {**os.environ, "PYTHONPATH": PATHS, "PYTHONHASHSEED": "random"}
    one, other = (
        json.loads(subprocess.run(command, env=env, stdout=subprocess.PIPE).stdout)
        for _ in range(2)
    )
    assert len(one) == 8 and one == other


@pytest.mark.parametrize("name", LIGHT)
def test_a_seed_decides_a_run_and_another_seed_another(name):
    _, logs, once = run(name)
    _, again, twice = run(name)
    assert once == twice and logs == again
    assert run(name, seed=1)[2] != once


def test_a_run_does_not_depend_on_what_else_draws_random_numbers():
    _, _, once = run("points, dropout")
    torch.manual_seed(99)
    torch.rand(1000)
    assert run("points, dropout")[2] == once


def test_training_leaves_the_global_random_stream_as_it_found_it():
    small = GAMES["points, dropout"]
    state = small.state(steps=5, log_every=1)
    before = torch.get_rng_state()
    for _ in train(state, small.batches(state.config)):
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["points, dropout", "dcgan", "dcgan, R1, augment"])
def test_sampling_plotting_evaluating_and_saving_change_nothing(name, tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    from gancourse import evaluation, figures

    small = GAMES[name]
    _, _, undisturbed = run(name, log_every=1)
    state = small.state(steps=20, log_every=1)
    logs = []
    for log in train(state, small.batches(state.config)):
        logs.append(log)
        torch.rand(log.step)  # somebody else's draws
        samples = state.sample(torch.randn(10, state.game.latent_dim))
        if samples.ndim == 4 and log.step % 10 == 0:
            figures.show_images(samples)
            evaluation.class_probabilities(samples)
        if log.step % 7 == 0:
            checkpoints.save(state, tmp_path)
            G = averaged(state)["G"].train()  # what we were given is ours to spoil
            nn.init.zeros_(next(G.parameters()))
    assert digest(state, logs) == undisturbed


@pytest.mark.parametrize("name", ["points", "points, dropout", "dcgan"])
def test_how_often_one_logs_does_not_change_the_run(name):
    hashes = {digest(run(name, log_every=every)[0]) for every in (1, 3, 7, 20, 1000)}
    assert len(hashes) == 1


def test_two_runs_may_be_raced_and_stay_what_they_are_alone():
    (a, b), alone = (GAMES["points, dropout"], GAMES["dcgan"]), {}
    for name, small in [("a", a), ("b", b)]:
        state = small.state(steps=20)
        play(state, small.batches(state.config))
        alone[name] = digest(state)
    states = [small.state(steps=20) for small in (a, b)]
    pairs = zip((a, b), states, strict=True)
    races = [train(state, small.batches(state.config)) for small, state in pairs]
    for _ in zip(*races, strict=True):
        pass
    assert [digest(state) for state in states] == [alone["a"], alone["b"]]


def test_sampling_twice_gives_the_same_picture_and_leaves_modes_alone():
    state, _, _ = run("dcgan")
    before = digest(state)
    z = torch.randn(6, 8, generator=torch.Generator().manual_seed(5))
    one, two = state.sample(z), state.sample(z)
    assert torch.equal(one, two) and one.shape == (6, 1, 28, 28)
    assert not one.requires_grad and one.dtype == torch.float32
    # evaluation mode: a sample does not depend on the company it is drawn in
    torch.testing.assert_close(state.sample(z[:1]), one[:1], rtol=0, atol=1e-5)
    assert digest(state) == before
    assert state.generators.training and state.discriminators.training


def test_sampling_from_a_generator_with_noise_of_its_own_disturbs_nobody():
    class Noisy(PointGenerator):
        def forward(self, z):
            return super().forward(z + torch.randn_like(z))

    game = GAN(Noisy(width=8), PointDiscriminator(width=8))
    state = start(game, GAMES["points"].config())
    before = torch.get_rng_state()
    state.sample(torch.randn(4, 2, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("mode", ["default", "warn"])
def test_a_deterministic_run_is_so_in_its_steps_alone(mode, monkeypatch):
    """A GPU's setting; once it stayed on and slowed all that came after."""
    small, seen = GAMES["points"], []
    state = small.state(steps=3, log_every=1)
    state.repeatable = True  # as State says of itself on a GPU
    honest = state.game.generator_loss

    def looking(batch, rng):
        seen.append(torch.get_deterministic_debug_mode())
        return honest(batch, rng)

    state.game.generator_loss = looking
    torch.set_deterministic_debug_mode(mode)
    before = torch.get_deterministic_debug_mode()
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    try:
        for _ in train(state, small.batches(state.config)):
            assert torch.get_deterministic_debug_mode() == before
    finally:
        torch.set_deterministic_debug_mode("default")
    assert seen == [2, 2, 2]


# ------------------------------------------------------------------ the moves


def test_the_loop_fits_on_a_page():
    """`train` and the step that it repeats: fifty lines, what they say of themselves
    aside."""
    lines = 0
    for part in (train, training._play):
        source = inspect.getsource(part)
        said = ast.get_docstring(ast.parse(source).body[0], clean=False)
        lines += sum(
            bool(line.strip()) for line in source.replace(said, "").split("\n")
        )
    assert lines <= 50
    tree = ast.parse(inspect.getsource(training))
    loops = [n for n in ast.walk(tree) if isinstance(n, ast.Yield)]
    assert loops, "the loop yields its logs"


@pytest.mark.parametrize("d_steps", [1, 3])
def test_only_the_player_who_moves_takes_gradients(d_steps):
    torch.manual_seed(0)

    moves = []

    class Noting(GAN):
        def discriminator_loss(self, batch, rng):
            moves.append(("D", *self.takers()))
            return super().discriminator_loss(batch, rng)

        def generator_loss(self, batch, rng):
            moves.append(("G", *self.takers()))
            return super().generator_loss(batch, rng)

        def takers(self):
            return [{p.requires_grad for p in m.parameters()} for m in (self.G, self.D)]

    game = Noting(PointGenerator(width=4), PointDiscriminator(width=4))
    config = GAMES["points"].config(steps=3, d_steps=d_steps)
    play(start(game, config), data.batches(data.ring(), 8))
    step = [("D", {False}, {True})] * d_steps + [("G", {True}, {False})]
    assert moves == step * 3


def test_no_gradient_gathers_in_the_other_player():
    small = GAMES["points"]
    state = small.state(steps=1)
    batch = small.batches(state.config)[0]
    training.only(state.generators, state.discriminators)
    loss, _ = state.game.generator_loss(batch, state.rng)
    loss.backward()
    assert all(p.grad is None for p in state.discriminators.parameters())
    assert all(p.grad.abs().sum() > 0 for p in state.generators.parameters())
    training.only(state.discriminators, state.generators)
    state.generators.zero_grad()
    loss, _ = state.game.discriminator_loss(batch, state.rng)
    loss.backward()
    assert all(p.grad is None for p in state.generators.parameters())
    assert all(p.grad is not None for p in state.discriminators.parameters())


def test_the_loop_equals_the_game_written_out_by_hand():
    small = GAMES["points"]
    config = small.config(steps=10, log_every=1, d_steps=2, ema=0.0)
    logs = play(State(small.game(), config), batches := small.batches(config))

    game = small.game()
    G, D, rng = game.G, game.D, torch.Generator().manual_seed(config.seed)
    g_opt, d_opt = (
        torch.optim.Adam(m.parameters(), 2e-4, (0.5, 0.999), fused=True) for m in (G, D)
    )
    for step in range(10):
        for i in range(2):
            real = batches[2 * step + i]
            with torch.no_grad():
                fake = G(torch.randn(8, 2, generator=rng))
            d_loss = losses.nonsaturating.discriminator(D(real), D(fake))
            d_opt.zero_grad()
            d_loss.backward()
            d_opt.step()
        fake_logits = D(G(torch.randn(8, 2, generator=rng)))
        g_loss = losses.nonsaturating.generator(fake_logits, fake_logits)
        g_opt.zero_grad()
        g_loss.backward()
        g_opt.step()
        assert logs[step].d_loss == d_loss.item()
        assert logs[step].g_loss == g_loss.item()


def test_every_discriminator_step_gets_a_batch_of_its_own():
    taken = []

    class Counting:
        def __getitem__(self, k):
            taken.append(k)
            return torch.zeros(8, 2)

    play(GAMES["points"].state(steps=3, d_steps=4), Counting())
    assert taken == list(range(12))


def test_a_game_of_one_player_is_played():
    state, logs, _ = run("one player", steps=60)
    assert state.step == 60 and state.d_opt is None
    assert all(log.d_loss == 0 and log.g_loss > 0 for log in logs)
    assert "spread" in logs[-1].parts


def test_logs_come_every_so_often_and_at_the_end():
    _, logs, _ = run("points", steps=23, log_every=5)
    assert [log.step for log in logs] == [5, 10, 15, 20, 23]
    last = logs[-1]
    assert all(map(math.isfinite, [last.d_loss, last.g_loss, last.d_grad_norm]))
    assert 0 <= last.parts["accuracy"] <= 1 and last.images_per_second > 0


def test_breaking_off_and_going_on_is_one_run():
    small = GAMES["dcgan"]
    _, _, whole = run("dcgan")
    state = small.state(steps=20)
    batches = small.batches(state.config)
    logs = play(state, batches, until=5) + play(state, batches, until=15)
    logs += play(state, batches)
    assert digest(state, logs) == whole
    assert play(state, batches) == []  # a finished run trains no further


# ------------------------------------------------------------------ average and rates


def test_the_average_equals_the_one_computed_by_hand():
    small = GAMES["dcgan"]
    state = small.state(steps=12, log_every=1, ema=0.6)
    average = None
    for log in train(state, small.batches(state.config)):
        now = {k: v.clone() for k, v in state.generators.state_dict().items()}
        if average is None:
            average = now
            continue
        keep = min(0.6, (1 + log.step) / (10 + log.step))
        for key, value in now.items():
            if value.is_floating_point():
                average[key] = average[key] + (1 - keep) * (value - average[key])
            else:
                average[key] = value  # BatchNorm counts its batches
    for key, value in averaged(state).state_dict().items():
        torch.testing.assert_close(value, average[key], rtol=1e-5, atol=1e-7)


def test_the_average_is_in_evaluation_mode_and_differs_from_the_player():
    state, _, _ = run("dcgan")
    G_ema = averaged(state)
    assert not G_ema.training
    assert not any(p.requires_grad for p in G_ema.parameters())
    one, other = next(G_ema.parameters()), next(state.generators.parameters())
    assert not torch.equal(one, other)


def test_without_an_average_samples_come_from_the_player():
    state, _, _ = run("points", ema=0.0)
    z = torch.randn(5, 2)
    assert torch.equal(state.sample(z), state.game.G(z).detach())


def test_rates_fall_to_zero_over_the_last_part_of_the_run():
    config = TrainConfig(steps=100, decay=0.5, g_lr=4e-4, d_lr=1e-4)
    expected = {0: 1, 49: 1, 50: 1, 75: 0.5, 99: 0.02, 100: 0}
    assert {s: pytest.approx(rate(config, s)) for s in expected} == expected
    assert rate(TrainConfig(steps=100), 99) == 1
    small = GAMES["points, R1, decay"]
    state = small.state(steps=20, log_every=1, g_lr=4e-4, d_lr=1e-4)
    for log in train(state, small.batches(state.config)):
        factor = min(1, (20 - (log.step - 1)) / 10)
        for opt, lr in [(state.g_opt, 4e-4), (state.d_opt, 1e-4)]:
            assert opt.param_groups[0]["lr"] == pytest.approx(factor * lr)


# ------------------------------------------------------------------ wrong settings

WRONG = [
    ("steps", [0, -1, 1.5, "abc", None, True, math.nan]),
    ("batch_size", [0, -8, 2.0, "64", None]),
    ("d_steps", [0, -1, "2", 1.5]),
    ("log_every", [0, -1, None]),
    ("seed", [-1, 0.5, "abc", None, 2**63, 2**70]),
    ("g_lr", [0, -1, math.nan, math.inf, "1e-3", None, True, 1e9]),
    ("d_lr", [0, -1e-3, math.nan, -math.inf, "fast", None]),
    ("ema", [-0.1, 1, 1.5, math.nan, "0.9", None]),
    ("decay", [-0.1, 1.1, math.nan, "half"]),
    ("betas", [0.5, (0.5,), (0.5, 1.0), (-0.1, 0.9), ("a", "b"), None, (0, math.nan)]),
    ("precision", ["fp64", "", None, 16]),
    ("device", ["gpu", "", None, 0, "cuda:x", "tpu"]),
]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG for value in values]
)
def test_a_wrong_setting_is_named_with_its_value(name, value, assert_clear):
    with pytest.raises(GancourseError) as caught:
        start(points(), TrainConfig(**{name: value}))
    assert_clear(
        caught.value, name if name != "device" else repr(value), str(value)[:20]
    )


def test_settings_of_odd_but_sensible_kinds_are_taken():
    TrainConfig(steps=1, g_lr=1, betas=[0, 0.9], seed=2**63 - 1, decay=1, ema=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_said_before_the_first_step(device, assert_clear):
    with pytest.raises(GancourseError) as caught:
        start(points(), TrainConfig(device=device))
    assert_clear(caught.value, device.split(":")[0], "nothing was started", "cpu")


@pytest.mark.parametrize("device", ["cpu:", "cuda:", "cuda:x", ":1"])
def test_half_the_name_of_a_device_is_refused_in_a_sentence(device, assert_clear):
    with pytest.raises(GancourseError) as caught:
        pick_device(device)
    assert_clear(caught.value, device, "auto, cpu, cuda")


def test_each_process_of_torchrun_takes_a_gpu_of_its_own(monkeypatch, assert_clear):
    """An index is what torch.cuda.set_device asks for; the GPUs here are made up."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda") == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    for asked in ("auto", "cuda"):
        assert pick_device(asked) == torch.device("cuda", 1)
    assert pick_device("cuda:0") == torch.device("cuda", 0)
    assert pick_device("cpu") == torch.device("cpu")
    monkeypatch.setenv("LOCAL_RANK", "3")
    for asked in ("auto", "cuda"):
        with pytest.raises(GancourseError) as caught:
            pick_device(asked)
        assert_clear(caught.value, "cuda:3", "nothing was started")


def test_a_generator_that_hides_its_latents_is_refused(assert_clear):
    with pytest.raises(GancourseError) as caught:
        GAN(nn.Linear(2, 2), PointDiscriminator())
    assert_clear(caught.value, "latent_dim")


# ------------------------------------------------------------------ not a number


class Poisoned:
    """Hands out good batches until batch `at`, which holds a NaN that D must see."""

    def __init__(self, batches, at, value=math.nan):
        self.batches, self.at, self.value = batches, at, value

    def __getitem__(self, k):
        batch = self.batches[k].clone()
        if k == self.at:
            batch.view(-1)[3] = self.value
        return batch


def poison(state, small, site, value, step):
    """Arrange that `value` turns up at `site` in the step after `step`; the batches."""
    batches = small.batches(state.config)
    game, k = state.game, step * state.config.d_steps
    if site == "input":
        return Poisoned(batches, k, value)
    if site in ("d_loss", "g_loss"):
        method = {"d_loss": "discriminator_loss", "g_loss": "generator_loss"}[site]
        honest = getattr(game, method)

        def spoiled(batch, rng):
            loss, parts = honest(batch, rng)
            return loss * (value if state.step == step else 1.0), parts

        setattr(game, method, spoiled)
    else:
        player = game.D if site == "d_gradient" else game.G
        weight = list(player.parameters())[-2]
        moves = state.config.d_steps if site == "d_gradient" else 1
        seen = []

        def spoil(gradient):
            seen.append(1)
            return gradient * (value if len(seen) > step * moves else 1.0)

        weight.requires_grad_(True)
        weight.register_hook(spoil)
    return batches


SITES = ["d_loss", "g_loss", "d_gradient", "g_gradient", "input"]
POISONED = ["points", "points, R1, decay", "points, dropout", "dcgan"]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("name", POISONED)
def test_a_value_that_is_no_number_stops_the_run_before_it_moves_a_weight(
    name, site, value, precision, assert_clear, tmp_path
):
    small = GAMES[name]
    state = small.state(precision=precision, log_every=1, steps=9)
    batches = poison(state, small, site, value, step=4)
    with pytest.raises(NonFinite) as caught:
        for log in train(state, batches):
            assert log.step <= 4
            kept = weights(state)
    assert_clear(caught.value, "step 5", "step 4")
    # whoever was to be poisoned stands where step 4 left him; D moved first, honestly,
    # when the fault came in G's move
    theirs = "g" if site.startswith("g") else ""
    for key, now in weights(state).items():
        assert now.isfinite().all(), key
        if key.startswith(theirs) or "running" in key:
            assert torch.equal(now, kept[key]), key
    with pytest.raises(GancourseError) as caught:
        checkpoints.save(state, tmp_path)
    assert_clear(caught.value, "not saved")
    assert not list(tmp_path.glob("*.pt"))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("side", ["G", "D"])
@pytest.mark.parametrize("name", POISONED)
def test_a_poisoned_weight_is_noticed_at_the_next_step_and_spreads_no_further(
    name, side, precision, tmp_path
):
    small = GAMES[name]
    state = small.state(precision=precision, log_every=1, steps=9)
    steps = train(state, small.batches(state.config))
    next(steps)
    checkpoints.save(state, tmp_path)
    kept = weights(state)
    player = getattr(state.game, side)
    with torch.no_grad():
        next(player.parameters()).view(-1)[0] = math.nan
    with pytest.raises(GancourseError):
        checkpoints.save(state, tmp_path)  # never written
    with pytest.raises(NonFinite):
        next(steps)
    for key, now in weights(state).items():
        if not key.startswith(side.lower()):
            assert torch.equal(now, kept[key]), key
        if "running" in key:
            assert torch.equal(now, kept[key]), key
    assert len(list(tmp_path.glob("*.pt"))) == 1


def overflow(state, step):
    """One move of G in which its activations overflow, as in fp16 on a T4."""
    honest = state.game.generator_loss

    def spoiled(batch, rng):
        if state.step != step:
            return honest(batch, rng)
        z = torch.full((len(batch), state.game.latent_dim), math.inf)
        return losses.nonsaturating.generator(None, state.game.D(state.game.G(z))), {}

    state.game.generator_loss = spoiled


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_on_a_gpu_too_the_weights_of_the_last_finite_step_are_kept(
    precision, as_on_a_gpu, monkeypatch
):
    """The average kept BatchNorm's nan; in fp16 the players moved on until the log."""
    ends = {}
    for log_every in (1, 10):
        small = GAMES["mlp"]
        config = as_on_a_gpu.TrainConfig(
            steps=20,
            batch_size=16,
            device="cpu",
            precision=precision,
            log_every=log_every,
        )
        torch.manual_seed(0)
        state = as_on_a_gpu.start(small.game(), config)
        overflow(state, step=7)
        with pytest.raises(NonFinite, match="weights of step 7"):
            for _ in as_on_a_gpu.train(state, small.batches(config)):
                pass
        average = state.ema.module.state_dict().values()
        assert all(value.isfinite().all() for value in average)
        assert state.sample(torch.randn(4, state.game.latent_dim)).isfinite().all()
        ends[log_every] = weights(state)
    for key, value in ends[1].items():
        assert torch.equal(value, ends[10][key]), key


def test_a_game_without_a_g_says_whom_to_ask_for_samples(assert_clear):
    with pytest.raises(GancourseError) as caught:
        GAMES["diffusion"].state().sample(torch.randn(2, 64))
    assert_clear(caught.value, "denoiser", "nothing was drawn")


def test_a_run_whose_rate_is_far_too_high_ends_with_a_sentence_not_with_nan():
    small = GAMES["points"]
    state = small.state(steps=500, g_lr=1000.0, d_lr=1000.0, log_every=1)
    logs = []
    with contextlib.suppress(NonFinite):
        logs = play(state, small.batches(state.config))
    assert all(v.isfinite().all() for v in weights(state).values())
    assert all(math.isfinite(log.d_loss + log.g_loss) for log in logs)


def test_sixteen_bit_runs_compute_their_losses_on_32_bit_logits():
    kinds = []

    def loss(real, fake):
        kinds.append((real.dtype, fake.dtype))
        return losses.hinge.discriminator(real, fake)

    spy = losses.GANLoss(loss, lambda real, fake: -fake.mean())
    game = GAN(PointGenerator(width=8), PointDiscriminator(width=8), spy)
    state = start(game, GAMES["points"].config(steps=2, precision="bf16"))
    in_16 = []
    game.D.net[0].register_forward_hook(lambda m, i, out: in_16.append(out.dtype))
    play(state, data.batches(data.ring(), 8))
    assert set(kinds) == {(torch.float32, torch.float32)}
    assert set(in_16) == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in game.D.parameters())


def test_bf16_plays_the_same_game_to_within_its_rounding():
    # bfloat16 keeps 8 bits: a relative error of 2^-9 a product, a few per cent of a
    # loss of about 1 after the first step.
    for name in ["points", "dcgan"]:
        (_, full, _), (_, half, _) = (
            run(name, steps=1, precision=p) for p in PRECISIONS
        )
        assert half[0].d_loss == pytest.approx(full[0].d_loss, rel=0.05)
        assert half[0].d_loss != full[0].d_loss


# ------------------------------------------------------------------ interrupts


def interrupting(times, number=signal.SIGINT, at=5):
    """A point game that sends itself signals in the middle of D's move of step `at`."""
    small = GAMES["points"]
    state = small.state(steps=20, log_every=1)
    honest = state.game.discriminator_loss

    def interrupted(batch, rng):
        if state.step == at - 1:
            for _ in range(times):
                signal.raise_signal(number)
        return honest(batch, rng)

    state.game.discriminator_loss = interrupted
    return state, small.batches(state.config)


def test_an_interrupt_is_delivered_between_steps_and_the_state_is_whole(tmp_path):
    state, batches = interrupting(times=1)
    with pytest.raises(KeyboardInterrupt):
        play(state, batches)
    assert state.step == 5 and state.whole
    checkpoints.save(state, tmp_path)
    state.game.discriminator_loss = None  # not asked again: a fresh game goes on
    small = GAMES["points"]
    resumed = checkpoints.resume(tmp_path, small.game(), state.config)
    play(resumed, batches)
    assert digest(resumed) == digest(run("points", log_every=1)[0])


def test_a_second_interrupt_stops_at_once_and_half_a_step_is_never_saved(
    tmp_path, assert_clear
):
    state, batches = interrupting(times=2)
    with pytest.raises(KeyboardInterrupt):
        play(state, batches)
    assert state.step == 4 and not state.whole
    with pytest.raises(GancourseError) as caught:
        checkpoints.save(state, tmp_path)
    assert_clear(caught.value, "step after 4", "checkpoints.resume")


def test_a_polite_stop_request_waits_for_the_step_too():
    before = signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit))
    try:
        state, batches = interrupting(times=1, number=signal.SIGTERM)
        with pytest.raises(SystemExit):
            play(state, batches)
        assert state.step == 5 and state.whole
    finally:
        signal.signal(signal.SIGTERM, before)


def test_handlers_of_signals_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run("points")
    state, batches = interrupting(times=1)
    with pytest.raises(KeyboardInterrupt):
        play(state, batches)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_run_in_another_thread_needs_no_signals():
    from threading import Thread

    done = []
    thread = Thread(target=lambda: done.append(run("points")[2]))
    thread.start()
    thread.join()
    assert done == [run("points")[2]]


# ------------------------------------------------------------------ several processes


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """What two gloo processes under torchrun found; see distributed_run.py."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", str(HERE / "distributed_run.py"), str(folder)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": PATHS}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return torch.load(folder / "found.pt")


@pytest.mark.parametrize("name", ["points", "dcgan without norm in D"])
def test_two_processes_play_the_game_of_one(two_processes, name):
    # The sums of a gradient are taken in another order: a relative error of about 1e-7
    # a step. Adam divides a gradient by its own size, so a step moves a weight by at
    # most about lr = 2e-4; over 20 steps differences stay far below one such step.
    from distributed_run import alone

    expected = alone(name)
    found = two_processes[name]
    assert found["step"] == 20
    for one, other in zip(found["logs"], expected["logs"], strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    for key, value in expected["weights"].items():
        torch.testing.assert_close(found["weights"][key], value, rtol=1e-3, atol=2e-5)


def test_both_processes_end_with_the_same_weights(two_processes):
    for name in ["points", "dcgan without norm in D"]:
        assert two_processes[name]["same_on_both"]


def test_two_processes_save_once_and_resume_together(two_processes):
    assert two_processes["saved_by"] == [True, False]
    assert two_processes["resumed_at"] == [20, 20]


@pytest.mark.parametrize("what", ["norm in D", "odd batch"])
def test_what_two_processes_can_not_play_is_refused(two_processes, what, assert_clear):
    for text in two_processes[what]:
        assert_clear(
            GancourseError(text), *(["BatchNorm"] if what == "norm in D" else ["7"])
        )


def test_dcgan_builds_for_every_profile():
    for size in (28, 32, 64):
        game = GAN(DCGANGenerator(8, size, width=4), DCGANDiscriminator(size, width=4))
        real = torch.zeros(4, 1, size, size)
        loss, parts = game.discriminator_loss(real, torch.Generator().manual_seed(0))
        assert loss.isfinite() and set(parts) >= {"real_logit", "fake_logit"}


@pytest.mark.parametrize(
    ("has", "picked"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, "bf16"),
        ({"avx512_bf16": True}, "bf16"),
        ({"avx512_f": True, "amx_bf16": False}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_16_bits_are_taken_where_the_processor_multiplies_them(
    has, picked, monkeypatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    assert training.pick_precision("auto", torch.device("cpu")) == picked
    assert training.pick_precision("fp32", torch.device("cpu")) == "fp32"


@pytest.mark.parametrize(
    ("name", "asked", "picked"),
    [
        ("points", "auto", "fp32"),  # converting its few weights would take longer
        ("points", "bf16", "bf16"),
        ("dcgan", "auto", "bf16"),
    ],
)
def test_small_dense_players_stay_in_32_bits_unless_told_otherwise(
    name, asked, picked, monkeypatch
):
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False
    )
    assert GAMES[name].state(precision=asked).precision == picked
