"""Checks of notebook 12: what style is (what moves is in ch12_pixels)."""

import torch
from torch import Tensor

from gancourse import losses
from gancourse.checks.compare import COMMON, equal, expect, tensor, unchanged
from gancourse.checks.probes import normal, slopes
from gancourse.checks.verdict import Exercise, Hint, Mistake

# --------------------------------------------------------------- 12.gram


def gram(answer) -> None:
    """answer(f): Gram matrices (N, C, C) of maps (N, C, H, W), divided by C H W."""
    for n, c, h, w in [(2, 3, 4, 5), (3, 4, 2, 3)]:
        f = normal(n, c, h, w) + 0.5
        found = answer(f)
        unchanged(answer)
        got = tensor(found)
        shapes = {
            "batch_mixed": (n * c, n * c),
            "batch_averaged": (c, c),
            "places": (n, h * w, h * w),
            "row_by_row": (n, c, h, h),
            "column_by_column": (n, c, w, w),
        }
        for name, shape in shapes.items():
            if got.shape == shape:
                raise Mistake(name)
        got = tensor(found, (n, c, c))
        flat = f.double().flatten(2)
        raw, centred = flat @ flat.mT, flat - flat.mean(2, keepdim=True)
        mixed = f.double().reshape(n, h * w, c).mT
        size = c * h * w
        wrong = {
            "not_divided": raw,
            "divided_by_places": raw / (h * w),
            "divided_by_channels": raw / c,
            "divided_by_batch": raw / (n * size),
            "centred": centred @ centred.mT / size,
            "covariance": [centred @ centred.mT / n for n in (h * w, h * w - 1)],
            "reshaped_wrongly": mixed @ mixed.mT / size,
            "cosines": torch.nn.functional.normalize(flat, dim=2)
            @ torch.nn.functional.normalize(flat, dim=2).mT,
            "divided_twice": raw / size**2,
            "root": raw / size**0.5,
        }
        expect(got, raw / size, wrong)


_GRAM = {
    "batch_mixed": Hint(
        "Two pictures of a batch influence each other's style.",
        "You put the batch into the channels: the matrix has N · C rows.",
        "Flatten only height and width: f.flatten(2), then multiply batch by batch.",
    ),
    "batch_averaged": Hint(
        "All pictures of a batch get one style.",
        "You sum or average over the batch.",
        "Keep the first dimension: one matrix for each picture.",
    ),
    "places": Hint(
        "Your matrix says which *places* are alike.",
        "You sum over channels. Style forgets places: sum over those.",
        "(C × HW) times (HW × C), so flat @ flat.mT.",
    ),
    "row_by_row": Hint(
        "You multiply each map with itself, and get H × H.",
        "Matrix products act on the last two dimensions, here height and width.",
        "Flatten height and width into one dimension first.",
    ),
    "column_by_column": Hint(
        "You multiply each map with itself, and get W × W.",
        "Matrix products act on the last two dimensions, here height and width.",
        "Flatten height and width into one dimension first.",
    ),
    "not_divided": Hint(
        "A picture repeated 2 × 2 gets a matrix four times as large.",
        "You sum over places and do not divide.",
        "Divide by C · H · W.",
    ),
    "divided_by_places": Hint(
        "Your matrix is C times too large.",
        "You divide by the number of places only.",
        "Here it is C · H · W, so that layers with more channels compare.",
    ),
    "divided_by_channels": Hint(
        "A picture repeated 2 × 2 gets a matrix four times as large.",
        "You divide by the number of channels only.",
        "Divide by C · H · W.",
    ),
    "divided_by_batch": Hint(
        "The style of a picture depends on how many others are in the batch.",
        "You divide by f.numel(), which counts the batch, too.",
        "Divide by C · H · W.",
    ),
    "centred": Hint(
        "A map that is the same everywhere has no style in your eyes.",
        "You subtract the mean of each channel first: that is a covariance.",
        "The Gram matrix takes the features as they are.",
    ),
    "covariance": Hint(
        "Your matrix is the covariance of the channels.",
        "torch.cov subtracts means and divides by the number of places.",
        "Features as they are, divided by C · H · W.",
    ),
    "reshaped_wrongly": Hint(
        "Your matrix mixes channels with places.",
        "reshape(N, H · W, C) does not transpose: it cuts the memory differently.",
        "First flatten(2), which gives (N, C, HW), then transpose with .mT.",
    ),
    "cosines": Hint(
        "Strong and weak channels count alike in your matrix.",
        "You normalise each channel to length 1.",
        "Plain products, divided by C · H · W.",
    ),
    "divided_twice": Hint(
        "Your matrix is far too small.",
        "It is divided by C · H · W twice.",
        "Once is enough.",
    ),
    "root": Hint(
        "A picture repeated 2 × 2 gets a matrix twice as large.",
        "You divide by the root of C · H · W.",
        "Both factors of the product grow: divide by C · H · W itself.",
    ),
}

# --------------------------------------------------------------- 12.mmd


def mmd(answer) -> None:
    """answer(x, y): squared MMD of (n, C) and (m, C) with k(a, b) = (a · b)²."""
    for n, m, c in [(7, 5, 3), (4, 9, 4)]:
        x, y = normal(n, c).double() + 0.5, 1.5 * normal(m, c).double() - 0.3
        x, y = x.float(), y.float()
        got = tensor(answer(x, y), ())
        unchanged(answer)
        x, y = x.double(), y.double()
        kxx, kyy, kxy = (x @ x.T) ** 2, (y @ y.T) ** 2, (x @ y.T) ** 2
        parts = kxx.mean() + kyy.mean()
        right = parts - 2 * kxy.mean()
        off = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (kxx, kyy)]
        cubes = [(a @ b.T / c + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
        wrong = {
            "linear": (x.mean(0) - y.mean(0)).square().sum(),
            "cubic": cubes[0].mean() + cubes[1].mean() - 2 * cubes[2].mean(),
            "diagonal_left_out": sum(off) - 2 * kxy.mean(),
            "cross_once": parts - kxy.mean(),
            "plus": parts + 2 * kxy.mean(),
            "sums": kxx.sum() + kyy.sum() - 2 * kxy.sum(),
            "root": right.clamp_min(0).sqrt(),
            "channels_divided": [right / c**2, right / c],
            "only_cross": kxy.mean(),
            "only_within": parts,
            "centred": (x.T.cov(correction=0) - y.T.cov(correction=0)).square().sum(),
            "distances": [-_energy(x, y, 2), _energy(x, y, 2)],
        }
        expect(got, right, wrong)


def _energy(x: Tensor, y: Tensor, power: int) -> Tensor:
    a, b, c = (torch.cdist(u, v) ** power for u, v in ((x, x), (y, y), (x, y)))
    return 2 * c.mean() - a.mean() - b.mean()


_MMD = {
    "linear": Hint(
        "Two samples with equal means and different spread get 0 from you.",
        "You did not square the products: a linear kernel sees means only.",
        "k(a, b) = (a · b)².",
    ),
    "cubic": Hint(
        "You use the kernel of the KID.",
        "(a · b / C + 1)³ is another one; it sees moments up to the third.",
        "Here k(a, b) = (a · b)².",
    ),
    "diagonal_left_out": Hint(
        "Your number can be negative, and is not the distance of Gram matrices.",
        "You left out the pairs of a point with itself.",
        "Keep all n² pairs: then the equation with Gram matrices is exact.",
    ),
    "cross_once": Hint(
        "Two equal samples do not get 0 from you.",
        "The mixed term counts twice, as in (a − b)² = a² + b² − 2ab.",
        "− 2 · mean k(x, y).",
    ),
    "plus": Hint(
        "Your number is large for equal samples.",
        "The mixed term has the wrong sign.",
        "− 2 · mean k(x, y).",
    ),
    "sums": Hint(
        "Your number grows with the number of points.",
        "You add up over pairs, and there are n², m² and n · m of them.",
        "Take a mean in each of the three terms.",
    ),
    "root": Hint(
        "Your number is the root of the right one.",
        "The MMD *squared* is asked for.",
        "Leave the root (or the norm) out.",
    ),
    "channels_divided": Hint(
        "Your number is too small, by a power of the number of channels.",
        "You divide by C, as the notebook's gram does, or average a matrix's entries.",
        "Divide by the number of places only, and *sum* the squared entries.",
    ),
    "only_cross": Hint(
        "Equal samples do not get 0 from you.",
        "Only k(x, y) is there.",
        "Add both means within a sample, and subtract twice the mixed one.",
    ),
    "only_within": Hint(
        "Your number does not depend on how x and y lie to each other.",
        "The mixed term is missing.",
        "− 2 · mean k(x, y).",
    ),
    "centred": Hint(
        "Moving a sample as a whole changes nothing in your number.",
        "Covariances subtract the means.",
        "(a · b)² takes the vectors as they are.",
    ),
    "distances": Hint(
        "Your number depends on the means only.",
        "You use |a − b|² in place of the kernel.",
        "k(a, b) = (a · b)².",
    ),
}

# --------------------------------------------------------------- 12.style_loss


def _style_slopes(answer, first: Tensor, second: Tensor, grams: dict) -> list:
    """Gradients with respect to the two maps; runs in the learner's process."""
    loss = lambda a, b: answer({"conv1_1": a, "conv2_1": b}, grams)  # noqa: E731
    return slopes(loss, [first, second], [0, 1], [])


def style_loss(answer) -> None:
    """answer(features, grams): mean over layers of |Gram − target|² / |target|²."""
    for scale, c in ((1.0, 4), (4.0, 3)):  # first no shape tells layers apart
        maps = normal(1, c, 6, 6) + 0.5, scale * (normal(1, 4, 3, 3) + 0.5)
        target = normal(1, c, 5, 4) + 1, scale * (normal(1, 4, 4, 4) + 0.2)
        features = dict(zip(("conv1_1", "conv2_1"), maps, strict=True))
        grams = {k: losses.gram(t) for k, t in zip(features, target, strict=True)}
        got = tensor(answer(features, grams), ())
        right = losses.style_loss(features, grams)
        expect(got, right, _styles(features, grams))
        if c == 4:
            turned = dict(reversed(grams.items()))
            got = tensor(answer(features, turned), ())
            expect(got, right, {"paired_by_order": _by_order(features, turned)})
        slope = answer.using(_style_slopes, *maps, grams)
        if not slope:
            raise Mistake("loses_gradient")
        for mine, theirs in zip(
            slope, _style_slopes(losses.style_loss, *maps, grams), strict=True
        ):
            if not equal(tensor(mine, tuple(theirs.shape)), theirs, 1e-3, 1e-6):
                raise Mistake("loses_gradient")


def _by_order(features: dict, grams: dict) -> Tensor:
    """The loss of maps and targets at the same place, whatever their names."""
    by_name = dict(zip(features, grams.values(), strict=True))
    return losses.style_loss(features, by_name)


def _styles(features: dict, grams: dict) -> dict[str, Tensor]:
    own = {k: losses.gram(f) for k, f in features.items()}
    d = [(own[k] - grams[k]) for k in grams]
    size = [g.square().sum() for g in grams.values()]
    squares = [x.square().sum() for x in d]
    relative = [s / n for s, n in zip(squares, size, strict=True)]
    raw = [f.flatten(2) @ f.flatten(2).mT for f in features.values()]
    places = [r / f[0, 0].numel() for r, f in zip(raw, features.values(), strict=True)]

    def against(mine: list) -> Tensor:
        pairs = zip(mine, grams.values(), size, strict=True)
        return sum((m - t).square().sum() / n for m, t, n in pairs) / 2

    return {
        "layers_summed": sum(relative),
        "last_layer": relative[-1],
        "first_layer": relative[0],
        "not_relative": [
            total / k
            for total in (sum(x.square().mean() for x in d), sum(squares))
            for k in (1, 2)
        ],
        "root": sum(r.sqrt() for r in relative) / 2,
        "own_size": sum(
            s / own[k].square().sum() for s, k in zip(squares, own, strict=True)
        )
        / 2,
        "size_not_squared": sum(
            s / n.sqrt() for s, n in zip(squares, size, strict=True)
        )
        / 2,
        "one_quotient": sum(squares) / sum(size),
        "gram_not_divided": against(raw),
        "gram_divided_by_places": against(places),
        "absolute": sum(
            x.abs().sum() / t.abs().sum()
            for x, t in zip(d, grams.values(), strict=True)
        )
        / 2,
        "mean_over_sum": sum(
            x.square().mean() / n for x, n in zip(d, size, strict=True)
        )
        / 2,
    }


_STYLE = {
    "layers_summed": Hint(
        "Your loss grows with the number of layers.",
        "You add up over the layers.",
        "Take the mean over them.",
    ),
    "last_layer": Hint(
        "Only one layer matters to your loss.",
        "The sum is overwritten in each turn of the loop; the last layer is left.",
        "Collect the errors: total = total + error, or a list.",
    ),
    "first_layer": Hint(
        "Only one layer matters to your loss.",
        "Probably there is a `return` inside the loop.",
        "Return after the loop.",
    ),
    "not_relative": Hint(
        "One layer drowns the others, because its numbers are larger.",
        "You do not divide by the size of the target.",
        "|Gram − target|² / |target|², layer by layer.",
    ),
    "root": Hint(
        "Your layers are measured by lengths, not by squares.",
        "You take the root of each relative error.",
        "Leave it out: squared norms above and below.",
    ),
    "own_size": Hint(
        "A picture with a strong style of its own gets away cheaply.",
        "You divide by the size of the picture's own Gram matrix.",
        "Divide by the target's: it does not change while you paint.",
    ),
    "size_not_squared": Hint(
        "Doubling all features doubles your loss. It should leave it alone.",
        "You divide a square by a length.",
        "Squared norms above and below.",
    ),
    "one_quotient": Hint(
        "The layer with the largest numbers decides alone.",
        "You divide the sum of errors by the sum of sizes.",
        "One quotient for each layer, then their mean.",
    ),
    "gram_not_divided": Hint(
        "Your loss is not 0 for the painting itself.",
        "The targets are divided by C · H · W, your Gram matrices are not.",
        "losses.gram does it.",
    ),
    "gram_divided_by_places": Hint(
        "Your loss is not 0 for the painting itself.",
        "The targets are divided by C · H · W, your Gram matrices by H · W.",
        "losses.gram does it.",
    ),
    "absolute": Hint(
        "You measure with absolute values.",
        "The formula has squared norms.",
        "|Gram − target|² / |target|².",
    ),
    "paired_by_order": Hint(
        "Your loss changes when the same targets are listed in another order.",
        "You pair maps and targets by their place in the two dictionaries.",
        "Pair them by name: features[name] with grams[name].",
    ),
    "mean_over_sum": Hint(
        "Layers with more channels count less in your loss.",
        "You divide a mean of squares by a sum of squares.",
        "Both sums, or both means.",
    ),
}

EXERCISES = [
    Exercise("12.gram", gram, COMMON | _GRAM),
    Exercise("12.mmd", mmd, COMMON | _MMD),
    Exercise("12.style_loss", style_loss, COMMON | _STYLE),
]
