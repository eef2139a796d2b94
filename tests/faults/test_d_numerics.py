"""Part D: numbers that are none, shapes that nearly fit, memory that is too small.

Rows D1 to D14 of the fault list; D2 is a test of data.py as well, D9 of health.py.
"""

import math
import sys
import weakref

import pytest
import torch
from counts import count
from small_games import GAMES, LIGHT, OnePlayer, digest, play, weights
from torch import nn

from gancourse import checkpoints, data, health, snapshot
from gancourse.cycle import distance
from gancourse.enhancement import Enhancement
from gancourse.errors import GancourseError, NonFinite
from gancourse.games import Pix2Pix
from gancourse.latent import VAE, AutoEncoder
from gancourse.models.dcgan import DCGANGenerator
from gancourse.models.mlp import PointGenerator
from gancourse.models.unet import UNet
from gancourse.models.vae import Encoder
from gancourse.training import StepLog, averaged, start, train


@pytest.fixture(autouse=True)
def one_thread(threads):
    threads(1)


# ------------------------------------------------------------------ not a number

SITES = [
    "data", "G's input", "D's loss", "G's loss", "D's gradient", "G's gradient",
    "a weight of D", "a weight of G",
]  # fmt: skip
FEW = ["points", "dcgan", "cyclegan", "vae"]


def poisoned(value: object, bad: float):
    """A batch, or what a player is given, whose first sample is `bad` (all of it: an
    augmentation may cut a single pixel out)."""
    if isinstance(value, torch.Tensor):
        value = value.clone()
        value[0] = bad
        return value
    parts = list(value)
    place = next(i for i, part in enumerate(parts) if part.is_floating_point())
    parts[place] = poisoned(parts[place], bad)
    return tuple(parts)


class Batches:
    """The honest batches, but batch `at` holds values that are no numbers."""

    def __init__(self, batches, at: int, bad: float):
        self.batches, self.at, self.bad = batches, at, bad

    def __getitem__(self, k: int):
        return poisoned(self.batches[k], self.bad) if k == self.at else self.batches[k]


def plant(site: str, state, batches, bad: float, after: int):
    """Arrange for `bad` at `site` in the step that follows `after`; the batches."""
    game, due = state.game, lambda: state.step == after
    side = "D" if "D" in site else "G"
    players = state.discriminators if side == "D" else state.generators
    if site == "data":
        return Batches(batches, after * state.config.d_steps, bad)
    if site == "G's input":
        player = next(iter(state.generators.values()))
        player.register_forward_pre_hook(
            lambda module, given: poisoned(given, bad) if due() else None
        )
    elif "loss" in site:
        method = {"D": "discriminator_loss", "G": "generator_loss"}[side]
        honest = getattr(game, method)

        def spoiled(batch, rng):
            loss, parts = honest(batch, rng)
            return loss * (bad if due() else 1.0), parts

        setattr(game, method, spoiled)
    elif "gradient" in site:
        for weight in players.parameters():
            weight.requires_grad_(True)
            weight.register_hook(lambda g: g * bad if due() else None)
    return batches


def spoil_weight(site: str, state, bad: float) -> None:
    """In a layer that every sample passes: a table of labels may go unread for long."""
    players = state.discriminators if "D" in site else state.generators
    kinds = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
    layer = next(m for m in players.modules() if isinstance(m, kinds))
    with torch.no_grad():
        layer.weight.view(-1)[0] = bad


def tensors_of(state) -> dict[str, torch.Tensor]:
    """Weights, averages, Adam's state and random streams (not what we patched)."""
    return {w: t.clone() for w, t in snapshot._tensors(snapshot.snapshot(state))}


def stops_within_a_step(name, site, bad, folder, assert_clear, precision="fp32"):
    """Whether the run stops where it should, with everything finite kept."""
    small, after = GAMES[name], 2
    state = small.state(precision=precision, log_every=1, steps=6)
    steps = train(state, plant(site, state, small.batches(state.config), bad, after))
    for _ in range(after):
        next(steps)
    checkpoints.save(state, folder)
    kept, before = tensors_of(state), weights(state)
    if "weight" in site:
        spoil_weight(site, state, bad)
    with pytest.raises(NonFinite) as caught:
        next(steps)
    assert_clear(caught.value, f"step {after + 1}", f"step {after}")
    # Buffers stand where they stood, and no weight is poisoned but the one we spoiled.
    for key, now in weights(state).items():
        if "weight" not in site:
            assert now.isfinite().all(), key
        if "running" in key or "pool" in key:
            assert torch.equal(now, before[key]), key
    with pytest.raises(GancourseError):
        checkpoints.save(state, folder)  # never written
    (path,) = folder.glob("*.pt")
    assert snapshot.not_finite(checkpoints.load(path)) == ""
    resumed = checkpoints.resume(folder, small.game(5), state.config)
    assert resumed.step == after
    found = tensors_of(resumed)
    assert found.keys() == kept.keys()
    assert all(torch.equal(found[where], kept[where]) for where in kept)
    play(resumed, small.batches(state.config))
    assert resumed.step == 6


def sites_of(name: str) -> list[str]:
    """Games of one player have no D to poison."""
    alone = not GAMES[name].game().discriminators
    return [site for site in SITES if not (alone and "D" in site)]


@pytest.mark.parametrize(
    "name", [n if n in FEW else pytest.param(n, marks=pytest.mark.full) for n in GAMES]
)
def test_a_value_that_is_no_number_stops_any_game_within_a_step(
    name, tmp_path, assert_clear
):
    """D1, D3: eight places in every family; nothing that is not finite is written."""
    sites = sites_of(name)
    for k, site in enumerate(sites):
        stops_within_a_step(name, site, math.nan, tmp_path / str(k), assert_clear)
    count("D1", "injected NaNs, each stopped within one step", len(sites))


@pytest.mark.full
@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_infinities_and_16_bits_stop_any_game_within_a_step(
    name, precision, tmp_path, assert_clear
):
    """D1: tanh makes a finite number of an infinite one, so losses and gradients."""
    sites = [s for s in sites_of(name) if "loss" in s or "gradient" in s]
    for k, site in enumerate(sites):
        where = tmp_path / str(k)
        stops_within_a_step(name, site, math.inf, where, assert_clear, precision)
    count("D1", f"injected infinities ({precision}), each stopped", len(sites))


def test_a_nan_in_the_data_is_named_before_any_game_sees_it(assert_clear):
    """D2."""
    for place in (0, 17, 99):
        images = data.to_unit(data.digits("test").images[:100])
        images[place, 0, 3, 4] = math.nan
        with pytest.raises(GancourseError) as caught:
            data.batches(images, 8)
        assert_clear(caught.value, f"sample {place}")


# ------------------------------------------------------------------ sizes


@pytest.mark.parametrize(
    "name", [n if n in FEW else pytest.param(n, marks=pytest.mark.full) for n in LIGHT]
)
def test_a_last_batch_of_one_is_never_trained_on(name):
    """D4: BatchNorm of one sample raises in some games, learns rubbish in others."""
    small, config = GAMES[name], GAMES[name].config(steps=6, log_every=1)
    n = 2 * config.batch_size + 1
    real = small.real() if small.real else data.digits("test").images
    if not (small.images or small.real):
        real = data.ring().sample(n)
    parts = real if isinstance(real, tuple) else (real,)
    parts = tuple(part[:n] for part in parts)
    kept, sizes = parts if len(parts) > 1 else parts[0], set()
    honest = data.batches(kept, config.batch_size, config.seed)

    class Seen:
        def __getitem__(self, k):
            batch = honest[k]
            sizes.add(len(batch[0]) if isinstance(batch, tuple) else len(batch))
            return batch

    state = start(small.game(), config)
    play(state, Seen())
    assert sizes == {config.batch_size} and state.step == 6


@pytest.mark.parametrize(("side", "depth"), [(16, 4), (32, 5), (20, 4)])
def test_pix2pix_learns_from_one_picture_through_a_one_by_one_bottleneck(side, depth):
    """D5."""
    torch.manual_seed(0)
    game = Pix2Pix(UNet(1, 1, 4, depth=depth), gan=0.0)
    state = start(
        game, GAMES["pix2pix"].config(batch_size=1, steps=30, g_lr=2e-3, log_every=1)
    )
    images = data.digits("test").images[:1, :, : min(side, 28), : min(side, 28)]
    pair = torch.nn.functional.interpolate(images.float(), (side, side)).byte()
    logs = play(state, data.batches((pair, 255 - pair), 1))
    assert logs[-1].g_loss < 0.9 * logs[0].g_loss
    assert all(w.isfinite().all() for w in weights(state).values())


@pytest.mark.full
def test_a_u_net_gives_back_every_size_it_is_given():
    """D6: 30 raised and 33 came out 32 in the usual code; both sides from 5 to 80."""
    torch.manual_seed(0)
    net, tried = UNet(1, 1, 2, depth=4).eval(), 0
    with torch.no_grad():
        for height in [5, *range(16, 81)]:
            for width in [5, *range(16, 81)]:
                x = torch.zeros(1, 1, height, width)
                assert net(x).shape == x.shape
                tried += 1
    count("D6", "picture sizes through a U-Net", tried)


MISMATCHES = {
    "L1 of pix2pix": lambda: Pix2Pix(UNet(1, 1, 4, depth=2), gan=0.0).generator_loss(
        (torch.zeros(2, 1, 8, 8), torch.zeros(2, 3, 8, 8)), None
    ),
    "a cycle": lambda: distance(torch.zeros(2, 1, 8, 8), torch.zeros(2, 3, 8, 8)),
    "enhancement": lambda: Enhancement(nn.Identity()).generator_loss(
        (torch.zeros(2, 1, 8, 8), torch.zeros(2, 3, 8, 8)), None
    ),
    "an autoencoder": lambda: AutoEncoder(
        Coder(8), DCGANGenerator(latent_dim=8, width=4, refine=1)
    ).generator_loss(torch.zeros(2, 3, 28, 28), None),
    "a VAE": lambda: VAE(
        Coder(16), DCGANGenerator(latent_dim=8, width=4, refine=1)
    ).generator_loss(torch.zeros(2, 3, 28, 28), torch.Generator().manual_seed(0)),
}


class Coder(nn.Module):
    """An encoder of three colours beside a decoder of one."""

    def __init__(self, outputs: int):
        super().__init__()
        self.net = Encoder(outputs, channels=3, width=4, refine=1)

    def forward(self, x):
        return self.net(x)


@pytest.mark.parametrize("what", MISMATCHES)
def test_shapes_that_would_broadcast_are_refused(what, assert_clear):
    """D8: one channel against three has a mean as well, and it is the wrong one."""
    with pytest.raises(GancourseError) as caught:
        MISMATCHES[what]()
    assert_clear(caught.value, "(2, 1", "(2, 3")


# ------------------------------------------------------------------ who wins


def log(k, d_loss, g_loss, accuracy, gap):
    parts = {"accuracy": accuracy, "real_logit": gap / 2, "fake_logit": -gap / 2}
    return StepLog(k, d_loss, g_loss, 1.0, 1.0, parts)


def test_a_collapse_a_won_game_and_a_lost_one_are_named_with_a_cure():
    """D9, D10; staged runs of each are in test_health.py."""
    rng = torch.Generator().manual_seed(0)
    real = torch.randn(500, 2, generator=rng)
    alike = real[:1] + 0.01 * torch.randn(500, 2, generator=rng)
    fair, won, lost = (1.3, 0.8, 0.6, 1.0), (0.01, 9.0, 1.0, 20.0), (2.0, 0.2, 0.1, -3)
    cases = [(fair, alike, "collapsed"), (won, None, "D too strong")]
    cases += [(lost, None, "G too strong"), (fair, None, "healthy")]
    for figures, samples, name in cases:
        logs = [log(k, *figures) for k in range(40)]
        found = health.verdict(logs, samples, None if samples is None else real)
        assert found.name == name and len(found.advice) > 20
        if name == "collapsed":
            assert "look alike (diversity" in found.why


# ------------------------------------------------------------------ 16 bits, memory


@pytest.mark.parametrize("side", ["d", "g"])
def test_gradients_that_always_overflow_16_bits_are_said(side, tmp_path, assert_clear):
    """D11: each skip halves the scale, to 0 in the end, and the side never learns."""
    small = GAMES["points"]
    config = small.config(precision="fp16", steps=200, log_every=1)
    state, other = start(small.game(), config), "g" if side == "d" else "d"
    players = state.discriminators if side == "d" else state.generators
    for weight in players.parameters():
        weight.requires_grad_(True)
        weight.register_hook(lambda gradient: gradient * math.inf)
    before = weights(state)
    with pytest.raises(NonFinite) as caught:
        play(state, small.batches(config))
    assert_clear(caught.value, "16 bits", f"of {side.upper()}", f"step {state.step}")
    assert 10 < state.step < 25
    for key, now in weights(state).items():
        assert now.isfinite().all()
        assert torch.equal(now, before[key]) == key.startswith(side), key
    # two optimizers, two scalers: the other side was not held up
    assert state.scalers[other].get_scale() > 1000
    checkpoints.save(state, tmp_path)  # finite and whole


def test_an_overflow_now_and_then_is_no_reason_to_stop():
    """D11."""
    small = GAMES["points"]
    config = small.config(precision="fp16", steps=60, log_every=1)
    state = start(small.game(), config)
    weight = next(state.generators.parameters())
    weight.register_hook(lambda g: g * math.inf if state.step % 20 == 7 else None)
    assert len(play(state, small.batches(config))) == 60


@pytest.mark.parametrize("move", ["discriminator_loss", "generator_loss"])
def test_a_batch_that_does_not_fit_is_said_and_its_memory_given_back(
    move, tmp_path, assert_clear
):
    """D12: a kept traceback keeps the tensors, and so the smaller batch fails too."""
    small, alive = GAMES["points"], []
    state = small.state(log_every=1, steps=9)
    honest = getattr(state.game, move)

    def hungry(batch, rng):
        loss, parts = honest(batch, rng)
        if state.step == 4:
            large = loss * torch.ones(1000)
            alive.extend(map(weakref.ref, (large, loss, batch)))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return loss, parts

    setattr(state.game, move, hungry)
    steps = train(state, small.batches(state.config))
    for _ in range(4):
        next(steps)
    checkpoints.save(state, tmp_path)
    with pytest.raises(GancourseError) as caught:
        next(steps)
    sys.last_value = caught.value  # as a notebook keeps it
    del steps
    assert_clear(caught.value, "Step 5", "batches of 8", "batch_size=4", "cpu")
    assert alive and all(ref() is None for ref in alive)
    with pytest.raises(GancourseError) as caught:
        checkpoints.save(state, tmp_path)  # half a step
    assert checkpoints.latest(tmp_path)["step"] == 4


def test_memory_that_is_full_within_the_gradients_gives_back_the_graph(assert_clear):
    """D12: what a loss remembers for its gradient is most of the memory."""
    alive = []

    class Full(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise torch.OutOfMemoryError("CUDA out of memory")

    class Hungry(OnePlayer):
        def generator_loss(self, batch, rng):
            loss, parts = super().generator_loss(batch, rng)
            large = Full.apply(loss * torch.ones(1000))
            alive.append(weakref.ref(large))
            return (large * large).mean(), parts

    state = start(Hungry(PointGenerator(width=8)), GAMES["points"].config(batch_size=1))
    with pytest.raises(GancourseError) as caught:
        play(state, data.batches(data.ring(), 1))
    sys.last_value = caught.value
    assert_clear(caught.value, "Step 1", "a smaller game")
    assert alive and all(ref() is None for ref in alive)


# ------------------------------------------------------------------ modes, rates


@pytest.mark.parametrize(
    "name", [n if n in FEW else pytest.param(n, marks=pytest.mark.full) for n in LIGHT]
)
def test_sampling_leaves_modes_gradients_and_the_run_as_they_were(name):
    """D13: twice the same samples, the same hash before and after, in every family."""
    small = GAMES[name]
    state, given = small.state(steps=2), {}
    hooks = [
        player.register_forward_pre_hook(
            lambda module, inputs, key=key: given.update({key: inputs})
        )
        for key, player in state.generators.items()
    ]
    play(state, small.batches(state.config))
    for hook in hooks:
        hook.remove()
    modes = [(m.training, m) for m in (*state.generators.modules(),)]
    takes = [p.requires_grad for p in state.generators.parameters()]
    before, drawn = digest(state), []
    for _ in range(2):
        torch.rand(7)  # whoever draws in between
        with torch.no_grad(), state.forked_rng():
            G = averaged(state)
            drawn.append([G[key](*inputs) for key, inputs in given.items()])
    assert all(map(torch.equal, *drawn)) and not drawn[0][0].requires_grad
    assert [(m.training, m) for m in state.generators.modules()] == modes
    assert [p.requires_grad for p in state.generators.parameters()] == takes
    assert digest(state) == before


@pytest.mark.parametrize(
    "name", [n if n in FEW else pytest.param(n, marks=pytest.mark.full) for n in LIGHT]
)
def test_a_rate_far_too_high_ends_in_a_sentence_never_in_nan(name, assert_clear):
    """D14: rates of 1 to 1,000: the run ends, or stops with finite weights."""
    for lr in (1.0, 10.0, 100.0, 1000.0):
        small = GAMES[name]
        state = small.state(steps=12, g_lr=lr, d_lr=lr, log_every=1)
        logs = []
        try:
            for entry in train(state, small.batches(state.config)):
                logs.append(entry)
        except NonFinite as error:
            assert_clear(error, f"step {len(logs) + 1}")
        else:
            assert len(logs) == 12
        assert all(math.isfinite(x.d_loss + x.g_loss) for x in logs)
        assert all(value.isfinite().all() for value in weights(state).values())
    count("D14", "runs with far too high a rate", 4)
