"""Checks of notebook 09: pix2pix."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gancourse.checks.compare import COMMON, expect, tensor, unchanged
from gancourse.checks.probes import normal, same_slopes, seeded, uniform
from gancourse.checks.verdict import Exercise, Hint, Mistake

# --------------------------------------------------------------- 09.receptive_field

_CHAINS = [
    [(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)],
    [(3, 1), (5, 2), (4, 3), (2, 1)],
    [(7, 3), (3, 2), (5, 1), (1, 1)],
    [(5, 2)],
]


def _field(layers: list) -> int:
    r = 1
    for kernel, stride in reversed(layers):
        r = (r - 1) * stride + kernel
    return r


def _fields_gone_wrong(layers: list) -> dict[str, int]:
    """What each misconception makes of a chain of (kernel, stride)."""
    found = dict.fromkeys(_FIELD, 1)
    found["starts_at_zero"] = 0
    jump = 1
    for kernel, stride in layers:
        found["from_the_front"] = (found["from_the_front"] - 1) * stride + kernel
        found["strides_ignored"] += kernel - 1
        found["own_stride"] += (kernel - 1) * jump * stride
        jump *= stride
    for kernel, stride in reversed(layers):
        found["minus_one_forgotten"] = found["minus_one_forgotten"] * stride + kernel
        found["grows_by_kernel"] = found["grows_by_kernel"] * stride + kernel - 1
        found["times_kernel"] *= kernel
        found["starts_at_zero"] = (found["starts_at_zero"] - 1) * stride + kernel
    found["only_strides"] = jump
    found["one_short"] = _field(layers) - 1
    found["an_area"] = _field(layers) ** 2
    return found


def receptive_field(answer) -> None:
    """answer(layers): pixels along one side that an output depends on; `layers` are
    (kernel, stride) from first to last."""
    for chain in _CHAINS:
        got = tensor(answer(list(chain)), ())
        wrong = _fields_gone_wrong(chain)
        seen = f"For {chain} it gives {got.item():g}."
        expect(got, torch.tensor(_field(chain)), _tensors(wrong), seen)


def _tensors(numbers: dict[str, float]) -> dict[str, Tensor]:
    return {name: torch.as_tensor(number) for name, number in numbers.items()}


_FIELD = {
    "from_the_front": Hint(
        "Swapping two layers changes your field in the wrong direction.",
        "You run the recursion from the first layer on. It starts at the logit.",
        "Begin with r = 1 at the output and go through reversed(layers).",
    ),
    "strides_ignored": Hint(
        "A stride makes no difference to your field.",
        "Each kernel adds k − 1, but in units of its own, already reduced, map.",
        "One step on a map is as many pixels as all strides before it, multiplied.",
    ),
    "own_stride": Hint(
        "Your field is too large: one strided layer sees more than its kernel.",
        "You let a layer's own stride widen its own kernel.",
        "A kernel spreads by the strides *before* it; update the step afterwards.",
    ),
    "minus_one_forgotten": Hint(
        "Your field is too large: one layer with stride 2 already sees too much.",
        "r outputs are r − 1 steps apart, and the last one adds its kernel.",
        "(r − 1) · stride + kernel.",
    ),
    "grows_by_kernel": Hint(
        "Your field is right for stride 1 only.",
        "You have r · stride + kernel − 1; the 1 is subtracted in the wrong place.",
        "(r − 1) · stride + kernel: first the steps between outputs, then one kernel.",
    ),
    "times_kernel": Hint(
        "Your field is the product of the kernels.",
        "Neighbouring outputs look at overlapping patches; nothing multiplies.",
        "Two outputs at distance `stride` see kernel + stride pixels, not 2 · kernel.",
    ),
    "only_strides": Hint(
        "Kernels do not matter to your number.",
        "The product of the strides says how far apart outputs are, not what they see.",
        "Ask which pixels one output touches: a kernel's width, then spread.",
    ),
    "one_short": Hint(
        "Your field is one pixel too small.",
        "It holds the distance between the first and the last pixel, not their number.",
        "A single output sees 1 pixel of itself: start with r = 1.",
    ),
    "starts_at_zero": Hint(
        "Your field is too small.",
        "The recursion starts at 0 outputs.",
        "At the end of the chain stands 1 logit: start with r = 1.",
    ),
    "an_area": Hint(
        "Your number is the square of the right one.",
        "You count pixels of the patch. Asked for is its side.",
        "A 70 × 70 patch has the field 70.",
    ),
}

# --------------------------------------------------------------- 09.generator_loss


class Critic(nn.Module):
    """Logits of patches of pairs (N, 6, H, W); missing channels are taken as zeros.

    (So that a critic that is not shown the condition gives numbers, and can be named.)
    """

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(6, 1, 3, 2)
        self.scale = 3.0

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        x = x if y is None else torch.cat([x, y], 1)
        missing = torch.zeros(len(x), max(0, 6 - x.shape[1]), *x.shape[2:])
        return self.scale * self.conv(torch.cat([x, missing], 1)[:, :6])


def _g_loss(D, x: Tensor, y: Tensor, fake: Tensor, l1: float) -> Tensor:
    gan = softplus(-D(torch.cat([x, fake], 1))).mean()
    return gan + l1 * (y - fake).abs().mean()


def _g_losses_gone_wrong(D, x, y, fake, l1) -> dict[str, Tensor]:
    s = D(torch.cat([x, fake], 1))
    gan, distance = softplus(-s).mean(), (y - fake).abs().mean()
    near = l1 * distance

    def shown(pair: Tensor) -> Tensor:
        return softplus(-D(pair)).mean() + near

    return {
        "weight_on_gan": l1 * gan + distance,
        "weight_on_both": l1 * (gan + distance),
        "weight_ignored": gan + distance,
        "unconditional": shown(fake),
        "target_shown": shown(torch.cat([x, y], 1)),
        "pair_reversed": shown(torch.cat([fake, x], 1)),
        "near_the_condition": gan + l1 * (x - fake).abs().mean(),
        "squared": gan + l1 * (y - fake).square().mean(),
        "sum": gan + l1 * (y - fake).abs().sum(),
        "distance_of_logits": gan + l1 * (s - 1).abs().mean(),
        "only_distance": near,
        "only_gan": gan,
        "saturating": -softplus(s).mean() + near,
        "called_fake": softplus(s).mean() + near,
        "sign_of_gan": near - gan,
        "sign_of_distance": gan - near,
        "sigmoid_twice": softplus(-s.sigmoid()).mean() + near,
        "no_logarithm": near - s.mean(),
        "patches_summed": softplus(-s).sum() + near,
    }


def generator_loss(answer) -> None:
    """answer(D, x, y, fake, l1): softplus(−D([x, fake])) + l1 · |y − fake|, means."""
    D = seeded(Critic).requires_grad_(False)
    for l1 in (0.4, 3.0):  # a large weight would drown the other term
        x, y, fake = (uniform(2, 3, 9, 8, low=-1) for _ in range(3))
        arguments = [D, x, y, fake, l1]
        got = tensor(answer(*arguments), ())
        unchanged(answer)
        wrong = _g_losses_gone_wrong(*arguments)
        expect(got, _g_loss(*arguments), wrong, rtol=2e-5)
        same_slopes(answer, _g_loss, arguments, (3,), cut="fake_detached")


_GENERATOR_LOSS = {
    "weight_on_gan": Hint(
        "With a large `l1` your loss hardly cares how far off the picture is.",
        "`l1` stands in front of the adversarial term.",
        "The weight belongs to the distance: gan + l1 · |y − fake|.",
    ),
    "weight_on_both": Hint(
        "`l1` changes the size of your loss, but not what it prefers.",
        "You multiply the sum; both terms keep their proportion.",
        "Multiply only the distance by l1.",
    ),
    "weight_ignored": Hint(
        "Your loss does not depend on `l1`.",
        "Both terms count alike.",
        "Multiply the distance by l1.",
    ),
    "unconditional": Hint(
        "Your D cannot tell a house that follows its plan from one that does not.",
        "You show it the picture alone. It was trained on pairs.",
        "torch.cat([x, fake], 1): the condition first, then the picture.",
    ),
    "target_shown": Hint(
        "Your adversarial term does not depend on G.",
        "You show D the target y. G's word is the fake.",
        "D judges the pair of the condition and G's picture.",
    ),
    "pair_reversed": Hint(
        "Your D gets channels in another order than it was trained with.",
        "You put the picture before the condition.",
        "torch.cat([x, fake], 1).",
    ),
    "near_the_condition": Hint(
        "Your loss is best for a G that returns its input.",
        "The distance is measured to x, the condition.",
        "Measure it to y, the picture that belongs to x.",
    ),
    "squared": Hint(
        "Large differences count for too much in your loss, small ones for too little.",
        "You square them: this is L2.",
        "L1 is the mean absolute difference.",
    ),
    "sum": Hint(
        "Your distance grows with the size of the picture.",
        "You add up pixels; `l1` is meant for a mean.",
        ".abs().mean() over all pixels.",
    ),
    "distance_of_logits": Hint(
        "Your loss has no idea where the target is.",
        "You measure the distance between D's answers and ones.",
        "L1 compares pictures: y with fake.",
    ),
    "only_distance": Hint(
        "Your loss does not depend on D.",
        "This is L1 regression; the adversarial term is missing.",
        "Add softplus(−D([x, fake])).mean().",
    ),
    "only_gan": Hint(
        "Your loss does not depend on y.",
        "The second term is missing: readers who forget it report noise for days.",
        "Add l1 · |y − fake|, as a mean.",
    ),
    "saturating": Hint(
        "Your G gets hardly a push when D is sure.",
        "You minimise log(1 − D), the saturating form.",
        "Minimise −log D = softplus(−logit) instead.",
    ),
    "called_fake": Hint(
        "Your G learns to be called fake.",
        "softplus(logit) is what D pays for fakes; G wants the other label.",
        "softplus(−logit), or labels of ones.",
    ),
    "sign_of_gan": Hint(
        "Your loss falls when D recognises the fake.",
        "The adversarial term has the wrong sign.",
        "Add softplus(−logit); it is small where D is fooled.",
    ),
    "sign_of_distance": Hint(
        "Your loss falls as the picture moves away from its target.",
        "The distance is subtracted.",
        "Both terms are to be small: add them.",
    ),
    "sigmoid_twice": Hint(
        "Your adversarial term hardly reacts to D.",
        "D gives logits, you turn them into probabilities, and softplus does it again.",
        "Give softplus (or BCEWithLogits) the logits themselves.",
    ),
    "no_logarithm": Hint(
        "Your adversarial term never stops rewarding larger logits.",
        "−logit is G's loss in the hinge and the Wasserstein game.",
        "Here it is −log D = softplus(−logit).",
    ),
    "patches_summed": Hint(
        "Your adversarial term grows with the number of patches.",
        "You add up over D's map.",
        "Take the mean over patches and pictures, as for the distance.",
    ),
    "fake_detached": Hint(
        "The value is right, but a part of G's gradient is missing.",
        "The fake is detached in one of the two terms. That belongs into D's loss.",
        "G learns through D's input and through the distance: no detach in either.",
    ),
}

# --------------------------------------------------------------- 09.best_constants


def _weighted_median(values: Tensor, shares: Tensor, one_lower: int = 0) -> Tensor:
    order = values.argsort()
    k = int((shares[order].cumsum(0) < 0.5).sum())
    return values[order[max(0, k - one_lower)]]


def _constants_gone_wrong(y: Tensor, p: Tensor) -> dict[str, tuple]:
    mean, median = p @ y, _weighted_median(y, p)
    order = y.argsort()
    below = p[order].cumsum(0)
    k = int((below < 0.5).sum())
    part = (0.5 - below[k - 1]) / p[order[k]]
    between = y[order[k - 1]] + part * (y[order[k]] - y[order[k - 1]])
    return {
        "exchanged": (median, mean),
        "mean_for_both": (mean, mean),
        "median_for_both": (median, median),
        "shares_ignored": (y.mean(), y.median()),
        "median_without_shares": (mean, y.median()),
        "mean_without_shares": (y.mean(), median),
        "commonest_for_l1": (mean, y[p.argmax()]),
        "not_sorted": (mean, y[int((p.cumsum(0) < 0.5).sum())]),
        "between_values": (mean, between),
        "one_too_low": (mean, _weighted_median(y, p, 1)),
        "middle_of_range": (mean, (y.min() + y.max()) / 2),
        "losses_not_answers": (p @ (y - mean).square(), p @ (y - median).abs()),
    }


def _law() -> tuple[Tensor, Tensor]:
    """Seven values with shares for which no two of these answers look alike."""
    while True:
        y, p = normal(7, scale=2.0), uniform(7) + 0.05
        p = p / p.sum()
        k = int((p[y.argsort()].cumsum(0) < 0.5).sum())
        if k == 0:
            continue
        answers = [
            (p @ y, _weighted_median(y, p)),
            *_constants_gone_wrong(y, p).values(),
        ]
        pairs = torch.tensor(answers)
        apart = (pairs[:, None] - pairs[None]).abs().amax(-1) + 9 * torch.eye(
            len(pairs)
        )
        if apart.min() > 0.1 and (p[y.argsort()].cumsum(0) - 0.5).abs().min() > 0.03:
            return y, p


def best_constants(answer) -> None:
    """answer(values, shares): (best answer under L2, best answer under L1)."""
    for _ in range(3):
        y, p = _law()
        got = answer(y, p)
        unchanged(answer)
        if isinstance(got, dict):
            named = {str(k).lower(): v for k, v in got.items()}
            for pair in (("l2", "l1"), ("mean", "median")):
                if set(named) == set(pair):
                    got = [named[k] for k in pair]
        got = tensor(got, (2,))
        right = torch.stack([p @ y, _weighted_median(y, p)])
        wrong = {k: torch.stack(v) for k, v in _constants_gone_wrong(y, p).items()}
        expect(got, right, wrong, atol=0.02)  # a search on a grid is an answer, too


_CONSTANTS = {
    "exchanged": Hint(
        "You have the two answers the wrong way round.",
        "A squared error is balanced by the mean, an absolute one by the median.",
        "Return (mean, median): L2 first.",
    ),
    "mean_for_both": Hint(
        "Your answer under L1 is not the best one: moving it lowers the loss.",
        "The mean minimises squares. |y − c| asks on which side c lies, not how far.",
        "Move c until as much probability lies below as above.",
    ),
    "median_for_both": Hint(
        "Your answer under L2 is not the best one: moving it lowers the loss.",
        "The median minimises absolute errors. Squares are pulled by far values.",
        "Set d/dc E(y − c)² to zero.",
    ),
    "shares_ignored": Hint(
        "Your answers do not change when a value gets rarer.",
        "`shares` is not used.",
        "Weigh each value by its share, in the mean and in the median.",
    ),
    "median_without_shares": Hint(
        "Your L1 answer does not change when a value gets rarer.",
        "You took the middle of the list. Values have shares.",
        "Add up shares in the order of the values until they reach one half.",
    ),
    "mean_without_shares": Hint(
        "Your L2 answer does not change when a value gets rarer.",
        "Every value counts alike in your mean.",
        "E y = sum of share · value.",
    ),
    "commonest_for_l1": Hint(
        "Your L1 answer is the commonest value, and there is a better one.",
        "That L1 takes the commonest value is true for two values only.",
        "Which c has half of the probability on either side?",
    ),
    "not_sorted": Hint(
        "Your L1 answer changes when the list is shuffled.",
        "You add up the shares in the order in which the values were given.",
        "Sort the values, and carry their shares along, before you add up.",
    ),
    "between_values": Hint(
        "Your L1 answer lies between two of the values.",
        "You interpolate. But E|y − c| has its kinks, and so its minimum, at values.",
        "Take the first value at which the shares reach one half.",
    ),
    "one_too_low": Hint(
        "Less than half of the probability lies at or below your L1 answer.",
        "You stopped one value too early.",
        "Take the first value whose cumulated share is *at least* one half.",
    ),
    "middle_of_range": Hint(
        "Your L1 answer is the middle between the smallest and the largest value.",
        "That minimises the *largest* error, not the mean one.",
        "Put as much probability below as above.",
    ),
    "losses_not_answers": Hint(
        "Your numbers are the smallest losses.",
        "Asked for is *where* the loss is smallest.",
        "Return the two constants c themselves.",
    ),
}

# --------------------------------------------------------------- 09.matrix

_BT601 = torch.tensor(
    [
        [0.299, 0.587, 0.114],
        [-0.14714119, -0.28886916, 0.43601035],
        [0.61497538, -0.51496512, -0.10001026],
    ],
    dtype=torch.float64,
)


def _well_posed() -> Tensor:
    """A matrix (3, 3) that float32 can invert to three digits."""
    while torch.linalg.cond(M := normal(3, 3).double()) > 8:
        pass
    return M


def matrix(answer) -> None:
    """answer(rgb, yuv): the 3 × 3 matrix M with yuv = M rgb, from pixels (N, 3)."""
    for trial in range(3):
        M = _BT601 if trial == 2 else _well_posed()
        rgb = uniform(60, 3).double()
        yuv = rgb @ M.T
        rgb, yuv = rgb.float(), yuv.float()
        got = tensor(answer(rgb, yuv), (3, 3))
        unchanged(answer)
        a, b = rgb.double(), yuv.double()
        wrong = {
            "transposed": M.T,
            "backwards": torch.linalg.pinv(M),
            "backwards_transposed": torch.linalg.pinv(M).T,
            "not_divided": b.T @ a / len(a),
            "not_divided_sum": b.T @ a,
            "channel_by_channel": torch.diag((a * b).sum(0) / a.square().sum(0)),
            "correlation": torch.corrcoef(torch.cat([a, b], 1).T)[3:, :3],
            "quotient": (b[:, :, None] / a[:, None, :]).mean(0),
            "by_heart": _BT601,
        }
        expect(got, M, wrong, rtol=1e-2, atol=1e-2)


_MATRIX = {
    "transposed": Hint(
        "Mirrored at its diagonal, your matrix would be right.",
        "Pixels are rows here, so the equation reads yuv = rgb @ M.T.",
        "What lstsq(rgb, yuv) solves for is M.T: transpose it.",
    ),
    "backwards": Hint(
        "Your matrix leads from yuv to rgb.",
        "Known and unknown side are exchanged: this is the inverse.",
        "Solve rgb @ X = yuv for X.",
    ),
    "backwards_transposed": Hint(
        "Your matrix leads from yuv to rgb, and is transposed besides.",
        "lstsq(A, B) solves A X = B; you gave it yuv first.",
        "Solve rgb @ X = yuv; then M = X.T.",
    ),
    "not_divided": Hint(
        "Your matrix depends on which pixels were chosen.",
        "yuv.T @ rgb measures how they go together, but rgb's own spread is in it.",
        "The normal equations: M = (yuv.T @ rgb) (rgb.T @ rgb)⁻¹.",
    ),
    "not_divided_sum": Hint(
        "Your matrix grows with the number of pixels.",
        "yuv.T @ rgb is one half of the normal equations.",
        "Multiply by the inverse of rgb.T @ rgb from the right.",
    ),
    "channel_by_channel": Hint(
        "Your matrix is diagonal.",
        "You fitted each channel from one channel only; Y needs red, green and blue.",
        "Fit all nine numbers at once: three unknowns for each row of M.",
    ),
    "correlation": Hint(
        "No entry of your matrix exceeds 1.",
        "Correlations have no units and know nothing of the other channels.",
        "Solve the linear equations: a matrix, not a table of similarities.",
    ),
    "quotient": Hint(
        "A quotient of channels is no matrix: it changes from pixel to pixel.",
        "Each channel of yuv is a *sum* over all three of rgb.",
        "Three pixels give three equations for each row. Solve them.",
    ),
    "by_heart": Hint(
        "You return the same matrix whatever the pixels say.",
        "The check uses other matrices than the one of the standard.",
        "Learn it from `rgb` and `yuv`: nine unknowns, three equations a pixel.",
    ),
}

# --------------------------------------------------------------- 09.ignores


class Translator(nn.Module):
    """One of eight translators of pictures (N, 3, 4, 4), some of which never look."""

    def __init__(self, kind: str, place: int = 0):
        super().__init__()
        self.kind, self.place = kind, place
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.picture = nn.Parameter(torch.randn(1, 3, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn(x.shape)
        if self.kind == "one pixel":
            seen = torch.arange(x[0].numel()) == self.place
            return torch.where(seen.view(x[0].shape), x, noise)
        return {
            "plain": self.conv(x),
            "noisy": self.conv(x) + noise,
            "constant": self.picture.expand(len(x), -1, -1, -1),
            "noise": self.conv(noise),
            "faint": noise + 1e-3 * x,
            "same mean": noise + x,
            "same pixels": x.flip(2),
        }[self.kind]


_KINDS = ("plain", "noisy", "constant", "noise", "faint", "one pixel", "same mean",
          "same pixels")  # fmt: skip
_TRUTH = "00110000"
_PATTERNS = {
    "inverted": "11001111",
    "noise_not_fixed": "00100000",
    "always_false": "00000000",
    "always_true": "11111111",
    "tests_for_noise": "10100001",
    "tests_for_noise_inverted": "01011110",
    "coarse": "00111000",
    "every_pixel": "00110100",
    "coarse_everywhere": "00111100",
    "means_compared": "00110011",
    "means_compared_exactly": "00110001",
    "means_compared_coarse": "00111011",
    "means_compared_very_coarse": "00111111",
}


_ALSO = {
    "tests_for_noise_inverted": "tests_for_noise",
    "means_compared_exactly": "means_compared",
    "means_compared_coarse": "means_compared",
    "means_compared_very_coarse": "means_compared",
}


def _three_places() -> list[int]:
    """Three of the 48 values, no two in one channel, row or column.

    Who looks at a single channel, row, column or value misses one of them at least.
    """
    rows, columns = uniform(4).argsort()[:3], uniform(4).argsort()[:3]
    return (16 * torch.arange(3) + 4 * rows + columns).tolist()


def _impostor(answer, kind: str, place: int) -> bool:
    """What the answer says of one translator."""
    G = seeded(lambda: Translator(kind, place))
    x1, x2 = uniform(2, 3, 4, 4, low=0.2), uniform(2, 3, 4, 4, low=-1, high=-0.2)
    if kind == "same pixels":  # all different, and their sums without rounding
        x1 = (20 + uniform(x1.numel()).argsort().view(x1.shape)) / 128
    if kind.startswith("same"):
        x2 = x1.flip(3)
    said = tensor(answer(G, x1, x2), ()).item() != 0
    unchanged(answer)
    return said


def ignores(answer) -> None:
    """answer(G, x1, x2): True if G's output does not depend on its input."""
    said = ""
    for kind in _KINDS:
        places = _three_places() if kind == "one pixel" else [0]
        found = [_impostor(answer, kind, place) for place in places]
        said += str(int(any(found)))
    if said == _TRUTH:
        return
    for name, pattern in _PATTERNS.items():
        if said == pattern:
            raise Mistake(_ALSO.get(name, name))
    wrong = [k for k, a, b in zip(_KINDS, said, _TRUTH, strict=True) if a != b]
    raise Mistake("other_value", f"Wrong for these translators: {', '.join(wrong)}.")


_IGNORES = {
    "inverted": Hint(
        "It says True for honest translators and False for impostors.",
        "You return whether the output *changes*.",
        "The function is called `ignores`: put a `not` in front.",
    ),
    "noise_not_fixed": Hint(
        "A G that paints from fresh noise alone passes for honest.",
        "Its two outputs differ because their noise differs, not because x does.",
        "Call torch.manual_seed with the same number before *each* of the two calls.",
    ),
    "always_false": Hint(
        "It says False for every translator, even one that always paints one picture.",
        "It compares output and input, which always differ, or nothing of the output.",
        "Compare the outputs for two different inputs, G(x1) and G(x2).",
    ),
    "always_true": Hint(
        "It says True for every translator.",
        "Both calls got the same input, or the output is compared with the input.",
        "Change the input between the two calls: x1, then x2.",
    ),
    "tests_for_noise": Hint(
        "It says whether G draws noise, not whether G looks at x.",
        "You compare two calls with the same input.",
        "Keep the noise (one seed for both calls), and change the input.",
    ),
    "coarse": Hint(
        "A G that follows its input faintly is called an impostor.",
        "Your tolerance is larger than the difference.",
        "With one seed the noise is equal to the last bit: compare for equality.",
    ),
    "means_compared": Hint(
        "A G whose output has the same mean for every input is called an impostor.",
        "You compare one number of each picture.",
        "Compare the pictures, value by value.",
    ),
    "every_pixel": Hint(
        "A G in which only one pixel follows the input is called an impostor.",
        "You ask that *every* value changes, or you look at a few of them only.",
        "One value that changes is enough: `.any()`, or the largest difference.",
    ),
    "coarse_everywhere": Hint(
        "Only a G that changes a lot, everywhere, is honest in your eyes.",
        "A mean with a tolerance swallows small and local changes.",
        "With one seed noise is equal to the last bit: is the largest difference 0?",
    ),
}

EXERCISES = [
    Exercise("09.receptive_field", receptive_field, COMMON | _FIELD),
    Exercise("09.generator_loss", generator_loss, COMMON | _GENERATOR_LOSS),
    Exercise("09.best_constants", best_constants, COMMON | _CONSTANTS),
    Exercise("09.matrix", matrix, COMMON | _MATRIX),
    Exercise("09.ignores", ignores, COMMON | _IGNORES),
]
