"""Exercises of notebook 10: right answers in many forms pass, each mistake is named."""

import math
import random

import numpy as np
import torch
import torch.nn.functional as nnf
from table import cases, passes, recognised
from torch import nn

# ruff: noqa: E731

l1 = lambda x, y: (x - y).abs().mean()

# --------------------------------------------------------------- 10.cycle_loss


def cycle_module(G, F, a, b):
    criterion = nn.L1Loss()
    rec_A, rec_B = F(G(a)), G(F(b))
    return criterion(rec_A, a) + criterion(rec_B, b)


def cycle_loop(G_AB, G_BA, real_A, real_B):
    total = 0
    for first, second, start in [(G_AB, G_BA, real_A), (G_BA, G_AB, real_B)]:
        x = second(first(start))
        total += torch.abs(start - x).sum() / start.numel()
    return total


def cycle_pictures(G, F, a, b):
    """Picture by picture, in float64, as a list of the two parts' sum."""
    losses = []
    for x, y in zip(a.split(1), b.split(1), strict=True):
        there = nnf.l1_loss(F(G(x)).double(), x.double())
        losses.append(there + nnf.l1_loss(G(F(y)).double(), y.double()))
    return [sum(losses) / len(losses)]


def cycle_stacked(G, F, a, b):
    back = torch.stack([F.forward(G.forward(a)), G.forward(F.forward(b))])
    return (back - torch.stack([a, b])).abs().mean((1, 2, 3, 4)).sum()


def distances(first, second):
    """Mistakes that both losses invite; `first` and `second` give (x, y)."""

    def both(f):
        return lambda *given: f(*first(*given)) + f(*second(*given))

    return {
        "only_first": lambda *given: l1(*first(*given)),
        "only_second": lambda *given: l1(*second(*given)),
        "halved": lambda *given: (l1(*first(*given)) + l1(*second(*given))) / 2,
        "squared": both(nnf.mse_loss),
        "sum": both(lambda x, y: nnf.l1_loss(x, y, reduction="sum")),
        "sum_per_picture": both(lambda x, y: (x - y).abs().sum((1, 2, 3)).mean()),
        "not_absolute": both(lambda x, y: (x - y).mean()),
        "difference_of_means": both(lambda x, y: (x.mean() - y.mean()).abs()),
        "euclidean": both(torch.dist),
        "weighted": [
            lambda *given: 10 * (l1(*first(*given)) + l1(*second(*given))),
            lambda *given: 5 * (l1(*first(*given)) + l1(*second(*given))),
        ],
    }


CYCLE_WRONG = distances(
    lambda G, F, a, b: (F(G(a)), a), lambda G, F, a, b: (G(F(b)), b)
) | {
    "wrong_order": lambda G, F, a, b: l1(G(F(a)), a) + l1(F(G(b)), b),
    "one_way": lambda G, F, a, b: l1(G(a), a) + l1(F(b), b),
    "compared_with_pairs": lambda G, F, a, b: l1(G(a), b) + l1(F(b), a),
    "other_picture": lambda G, F, a, b: l1(F(G(a)), b) + l1(G(F(b)), a),
    "other_translation": lambda G, F, a, b: l1(F(G(a)), F(b)) + l1(G(F(b)), G(a)),
    "identity": lambda G, F, a, b: l1(G(b), b) + l1(F(a), a),
    "twice_the_same": lambda G, F, a, b: l1(G(G(a)), a) + l1(F(F(b)), b),
    "way_there_detached": [
        lambda G, F, a, b: l1(F(G(a).detach()), a) + l1(G(F(b).detach()), b),
        lambda G, F, a, b: l1(F(G(a).detach()), a) + l1(G(F(b)), b),
    ],
    "loses_gradient": [
        torch.no_grad()(cycle_module),
        lambda G, F, a, b: cycle_module(G, F, a, b).item(),
    ],
}

# --------------------------------------------------------------- 10.identity_loss


def identity_module(G, F, a, b):
    loss = nn.L1Loss()
    return (loss(G(b), b) + loss(F(a), a)).double()


def identity_loop(G, F, a, b):
    return torch.stack([(net(x) - x).abs().mean() for net, x in ((G, b), (F, a))]).sum()


def identity_einsum(G, F, a, b):
    d = torch.cat([G(b) - b, F(a) - a]).abs()
    return torch.einsum("nchw->", d) / a.numel()


IDENTITY_WRONG = distances(
    lambda G, F, a, b: (G(b), b), lambda G, F, a, b: (F(a), a)
) | {
    "own_inputs": lambda G, F, a, b: l1(G(a), a) + l1(F(b), b),
    "g_twice": lambda G, F, a, b: l1(G(b), b) + l1(G(a), a),
    "f_twice": lambda G, F, a, b: l1(F(b), b) + l1(F(a), a),
    "compared_across": lambda G, F, a, b: l1(G(b), a) + l1(F(a), b),
    "pairs": lambda G, F, a, b: l1(G(a), b) + l1(F(b), a),
    "cycle": cycle_module,
    "each_other": lambda G, F, a, b: l1(G(b), F(a)),
    "loses_gradient": torch.no_grad()(identity_module),
}

# --------------------------------------------------------------- 10.least_squares


def squares_mse(real, fake):
    mse = nn.MSELoss()
    d_real = mse(real, torch.ones_like(real))
    d_fake = mse(fake, torch.zeros_like(fake))
    return 0.5 * (d_real + d_fake), 0.5 * mse(fake, torch.ones_like(fake))


def squares_loop(real, fake):
    d = g = 0.0
    for s in real.flatten().tolist():
        d += (s - 1) ** 2 / (2 * real.numel())
    for s in fake.flatten().tolist():
        d += s**2 / (2 * fake.numel())
        g += (1 - s) ** 2 / (2 * fake.numel())
    return [d, g]


def squares_numpy(real, fake):
    real, fake = real.numpy().astype(float), fake.numpy().astype(float)
    d = np.mean((1 - real) ** 2) / 2 + np.mean(np.square(fake)) / 2
    return np.array([d, np.mean((1 - fake) ** 2) / 2])


def squares_norm(real, fake):
    half = lambda x: x.norm() ** 2 / (2 * x.numel())
    return torch.stack([half(real - 1) + half(fake), half(fake - 1)])


sq = lambda x: (x**2).mean() / 2
d_loss = lambda real, fake: sq(real - 1) + sq(fake)
SQUARES_WRONG = {
    "exchanged": lambda r, f: (sq(f - 1), d_loss(r, f)),
    "not_halved": lambda r, f: (2 * d_loss(r, f), 2 * sq(f - 1)),
    "g_not_halved": lambda r, f: (d_loss(r, f), nnf.mse_loss(f, torch.ones_like(f))),
    "d_not_halved": lambda r, f: (2 * d_loss(r, f), sq(f - 1)),
    "labels_swapped": lambda r, f: (sq(r) + sq(f - 1), sq(f)),
    "g_wants_zero": lambda r, f: (d_loss(r, f), sq(f)),
    "zero_sum": lambda r, f: (d_loss(r, f), -d_loss(r, f)),
    "sigmoid_first": lambda r, f: (
        d_loss(r.sigmoid(), f.sigmoid()),
        sq(f.sigmoid() - 1),
    ),
    "squared_after_mean": lambda r, f: (d_loss(r.mean(), f.mean()), sq(f.mean() - 1)),
    "only_reals": lambda r, f: (sq(r - 1), sq(f - 1)),
    "minus_one_for_fakes": lambda r, f: (sq(r - 1) + sq(f + 1), sq(f - 1)),
    "g_on_reals": lambda r, f: (d_loss(r, f), sq(r - 1)),
    "absolute": lambda r, f: (
        (l1(r, 1) + l1(f, 0)) / 2,
        l1(f, 1) / 2,
    ),
    "sum": lambda r, f: (
        ((r - 1) ** 2).sum() / 2 + (f**2).sum() / 2,
        ((f - 1) ** 2).sum() / 2,
    ),
    "one_mean_over_both": lambda r, f: (sq(torch.cat([r - 1, f])), sq(f - 1)),
    "shape": lambda r, f: d_loss(r, f),
}

# --------------------------------------------------------------- 10.pool


class PoolTorch(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size, self.n, self.memory = size, 0, None

    def forward(self, fake):
        if self.memory is None:
            self.memory = torch.zeros(self.size, *fake.shape)
        if self.n < self.size:
            self.memory[self.n] = fake
            self.n += 1
            return fake
        if torch.rand(()) > 0.5:
            i = torch.randint(self.size, (1,)).item()
            old = self.memory[i].clone()
            self.memory[i] = fake
            return old
        return fake


class PoolPop:
    def __init__(self, size):
        self.room, self.kept = size, []

    def __call__(self, image):
        self.kept.append(image)
        if len(self.kept) <= self.room:
            return image
        if np.random.rand() < 0.5:
            return self.kept.pop()
        return self.kept.pop(np.random.randint(self.room))


class PoolNumpy:
    def __init__(self, n=50):
        self.n, self.d = n, {}

    def __call__(self, f):
        if len(self.d) != self.n:
            self.d[len(self.d)] = f.numpy().copy()
            return f.numpy()
        if random.choice([True, False]):
            return f
        k = random.choice(list(self.d))
        old, self.d[k] = self.d[k], f.numpy().copy()
        return old


def pool(what):
    """A pool with one mistake."""

    class Pool:
        def __init__(self, size):
            self.size, self.kept, self.next = size, [], 0

        def __call__(self, fake):
            if len(self.kept) < self.size:
                self.kept.append(fake)
                old = random.choice(self.kept)
                return old if what == "older_while_filling" else fake
            chance = {"never_older": 0, "always_older": 1, "unfair_coin": 0.8}
            place = random.randrange(self.size)
            if what == "same_place":
                place, self.next = self.next, (self.next + 1) % self.size
            if random.random() >= chance.get(what, 0.5):
                if what == "shown_and_kept":
                    self.kept[place] = fake
                return fake
            old = self.kept[place]
            if what == "strange_picture":
                return (old + fake) / 2 + 0.2
            if what == "given_twice":
                self.kept[random.randrange(self.size)] = fake
            elif what != "never_renewed":
                self.kept[place] = fake
            return old

    return Pool


class PoolFirstPlace(pool("right")):
    """Always the first place."""

    def __call__(self, fake):
        if len(self.kept) < self.size:
            self.kept.append(fake)
        elif random.random() < 0.5:
            self.kept[0], fake = fake, self.kept[0]
        return fake


class PoolReplacesFirst(pool("right")):
    """Writes over the place before it reads it: what it shows is always new."""

    def __call__(self, fake):
        if len(self.kept) < self.size:
            self.kept.append(fake)
        elif random.random() < 0.5:
            i = random.randrange(self.size)
            self.kept[i] = fake
            return self.kept[i]
        return fake


def pool_place(draw):
    """A pool of which some places are never drawn."""

    class Pool(pool("right")):
        def __call__(self, fake):
            if len(self.kept) < self.size:
                self.kept.append(fake)
            elif random.random() < 0.5:
                i = draw(self.size)
                self.kept[i], fake = fake, self.kept[i]
            return fake

    return Pool


def pool_off_by(extra):
    """A pool that is full at another number of pictures."""

    class Pool(pool("right")):
        def __call__(self, fake):
            if len(self.kept) < self.size + extra:
                self.kept.append(fake)
            elif random.random() < 0.5:
                i = random.randrange(len(self.kept))
                self.kept[i], fake = fake, self.kept[i]
            return fake

    return Pool


class PoolWhole(pool("right")):
    """Gives all that it holds."""

    def __call__(self, fake):
        self.kept.append(fake)
        return torch.stack(self.kept)


MISTAKES = [
    "older_while_filling", "never_older", "always_older", "unfair_coin", "same_place",
    "shown_and_kept", "strange_picture", "given_twice", "never_renewed",
]  # fmt: skip
POOL_WRONG = {name: pool(name) for name in MISTAKES}
POOL_WRONG["returns_nothing"] = lambda size: print
POOL_WRONG["same_place"] = [POOL_WRONG["same_place"], PoolFirstPlace]
POOL_WRONG["never_older"] = [POOL_WRONG["never_older"], PoolReplacesFirst]
POOL_WRONG["never_back"] = [
    pool_place(lambda n: random.randrange(n - 1)),
    pool_place(lambda n: random.randrange(1, n)),
    pool_place(lambda n: int(torch.randint(0, n - 1, (1,)))),
    pool_place(lambda n: random.randrange(n // 2)),
]
POOL_WRONG["wrong_size"] = [pool_off_by(1), pool_off_by(5), pool_off_by(10)]
POOL_WRONG["strange_picture"] = [POOL_WRONG["strange_picture"], PoolWhole]

# --------------------------------------------------------------- 10.pool_ages


def ages(older=100.0, all=50.0, share=0.183):
    return {"older": older, "all": all, "share": share}


def ages_simulated():
    random.seed(3)
    memory, shown = [0] * 50, []
    for step in range(400_000):
        if random.random() < 0.5:
            place = random.randrange(50)
            shown.append(step - memory[place])
            memory[place] = step
        else:
            shown.append(0)
    shown = np.array(shown[20_000:])
    return shown[shown > 0].mean(), shown.mean(), (shown > 100).mean()


AGES_WRONG = {
    "coin_forgotten": ages(50, 25),
    "coin_counted_twice": ages(200, 100),
    "middle_of_the_pool": ages(25, 12.5),
    "chance_not_age": ages(0.01, 0.005),
    "new_ones_forgotten": ages(100, 100),
    "halved_twice": ages(100, 25),
    "share_among_older": ages(share=0.99**100),
    "mean_taken_for_median": ages(share=0.25),
    "all_older_ones": ages(share=0.5),
    "the_rest": ages(share=0.817),
    "three_names": {"older": 100},
    "other_value": ages(70, 35),
}

RIGHT = {
    "10.cycle_loss": [cycle_module, cycle_loop, cycle_pictures, cycle_stacked],
    "10.identity_loss": [identity_module, identity_loop, identity_einsum],
    "10.least_squares": [squares_mse, squares_loop, squares_numpy, squares_norm],
    "10.pool": [
        pool("right"),
        pool_place(random.randrange),
        pool_place(lambda n: random.randint(0, n - 1)),
        PoolTorch,
        PoolPop,
        PoolNumpy,
    ],
    "10.pool_ages": [
        ages(),
        (100, 50, 0.18302),
        ages(share=0.18),
        lambda: ages(torch.tensor(100), np.float64(50), 0.5 * math.exp(-1)),
        ages(99, 49.5, 18.3),
        ages_simulated,
    ],
}
WRONG = {
    "10.cycle_loss": CYCLE_WRONG,
    "10.identity_loss": IDENTITY_WRONG,
    "10.least_squares": SQUARES_WRONG,
    "10.pool": POOL_WRONG,
    "10.pool_ages": AGES_WRONG,
}
right, wrong = cases("10", RIGHT, WRONG)


@right
def test_a_right_answer_passes_however_it_is_written(name, answer):
    passes(name, answer)


@wrong
def test_a_wrong_answer_is_recognised_by_its_misconception(name, mistake, answer):
    recognised(name, mistake, answer)
