"""Checks of notebook 08: the two terms of a VAE, and two formulas of diffusion."""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gancourse.checks.compare import COMMON, each, equal, expect, tensor, unchanged
from gancourse.checks.probes import normal, stream
from gancourse.checks.verdict import Exercise, Hint, Mistake

# ------------------------------------------------------------------ 08.kl


def kl(answer) -> None:
    """answer(mean, log_variance): divergence from N(0, 1) per sample, shape (N,)."""
    mean = normal(6, 4)
    # First above 0, where even a log_variance that is taken for a variance has a log.
    for log_variance in (torch.rand(6, 4, generator=stream()) + 0.2, normal(6, 4)):
        got = tensor(answer(mean, log_variance), (6,))
        unchanged(answer)
        m, v = mean.double(), log_variance.double()
        wrong = {name: rule(m, v) for name, rule in _KLS.items()}
        expect(got, _kl(m, v), wrong, rtol=1e-3, atol=1e-5)


def _kl(m: Tensor, v: Tensor) -> Tensor:
    return (m**2 + v.exp() - 1 - v).sum(1) / 2


_KLS = {
    "sign": lambda m, v: -_kl(m, v),
    "not_halved": lambda m, v: 2 * _kl(m, v),
    "mean_over_dimensions": lambda m, v: _kl(m, v) / m.shape[1],
    "no_minus_one": lambda m, v: (m**2 + v.exp() - v).sum(1) / 2,
    "deviation_for_variance": lambda m, v: (m**2 + (v / 2).exp() - 1 - v).sum(1) / 2,
    "half_log": lambda m, v: (m**2 + v.exp() - 1 - v / 2).sum(1) / 2,
    "log_of_deviation": lambda m, v: _kl(m, 2 * v),
    "mean_not_squared": lambda m, v: (m + v.exp() - 1 - v).sum(1) / 2,
    "log_forgotten": lambda m, v: (m**2 + v.exp() - 1).sum(1) / 2,
    "log_added": lambda m, v: (m**2 + v.exp() - 1 + v).sum(1) / 2,
    "other_way": lambda m, v: ((1 + m**2) * (-v).exp() - 1 + v).sum(1) / 2,
    "is_the_deviation": lambda m, v: (m**2 + v**2 - 1 - 2 * v.abs().log()).sum(1) / 2,
    "is_the_variance": lambda m, v: (m**2 + v - 1 - v.log()).sum(1) / 2,
}

_KL = {
    "sign": Hint(
        "Your divergence is negative.",
        "You return the term as it stands in the ELBO, where it is subtracted.",
        "A divergence is never below 0; it is 0 at mean 0, log-variance 0.",
    ),
    "not_halved": Hint(
        "Your divergence is twice too large.",
        "The factor 1/2 is missing.",
        "½ (μ² + σ² − 1 − log σ²), summed over dimensions.",
    ),
    "mean_over_dimensions": Hint(
        "In your version a code of more dimensions costs no more.",
        "You take the mean over dimensions. Independent divergences add up.",
        "sum(1): one number per sample.",
    ),
    "no_minus_one": Hint(
        "At mean 0 and variance 1 your divergence is not 0.",
        "The −1 is missing.",
        "½ (μ² + σ² − 1 − log σ²).",
    ),
    "deviation_for_variance": Hint(
        "Right only where the variance is 1 or the mean alone differs.",
        "exp(log_variance / 2) is the deviation σ; here σ² is needed.",
        "σ² = exp(log_variance).",
    ),
    "half_log": Hint(
        "At variance 1 all is well, elsewhere your divergence may fall below 0.",
        "The logarithm stands for log σ² = log_variance, not for log σ.",
        "½ (μ² + σ² − 1 − log_variance).",
    ),
    "log_of_deviation": Hint(
        "Your variances are squared.",
        "You read log_variance as the logarithm of the deviation.",
        "log σ² is given: σ² = exp(log_variance).",
    ),
    "mean_not_squared": Hint(
        "Moving the mean to the left makes your divergence smaller.",
        "The mean is not squared.",
        "½ (μ² + σ² − 1 − log σ²).",
    ),
    "log_forgotten": Hint(
        "In your version a code without any noise costs nothing, or less than nothing.",
        "The logarithm of the variance is missing: it is what forbids σ = 0.",
        "½ (μ² + σ² − 1 − log σ²).",
    ),
    "log_added": Hint(
        "In your version a code without any noise costs nothing, or less than nothing.",
        "The logarithm has the wrong sign.",
        "½ (μ² + σ² − 1 − log σ²).",
    ),
    "other_way": Hint(
        "This is the divergence the other way round, KL(N(0, 1) ‖ q).",
        "The order matters: the average is taken over q, the code's own law.",
        "Write E_q [log q − log p] with p = N(0, 1).",
    ),
    "is_the_deviation": Hint(
        "Your divergence is smallest at log_variance = ±1, not 0.",
        "You take the encoder's second answer for the deviation itself.",
        "It is log σ²: σ² = exp(log_variance), and log σ² is at hand.",
    ),
    "is_the_variance": Hint(
        "Your divergence is not a number, or far off.",
        "You read log_variance as the variance itself.",
        "The variance is exp(log_variance), and its logarithm is what you are given.",
    ),
}

# ------------------------------------------------------------------ 08.reparameterise


def reparameterise(answer) -> None:
    """answer(mean, log_variance, noise): a code, differentiable in the first two."""
    case = normal(5, 3), normal(5, 3), normal(5, 3)
    value, pulls = answer.using(_code_and_gradients, *case)
    got = tensor(value, (5, 3))
    unchanged(answer)
    if not equal(tensor(answer.using(_code_and_gradients, *case)[0], (5, 3)), got):
        raise Mistake("own_noise")
    m, v, e = (x.double() for x in case)
    wrong = {name: rule(m, v, e) for name, rule in _CODES.items()}
    expect(got, m + (v / 2).exp() * e, wrong)
    if pulls is None:
        raise Mistake("loses_gradient")
    right = torch.ones_like(m), (v / 2).exp() * e / 2
    for mine, theirs, name in zip(
        pulls, right, ("mean_cut", "spread_cut"), strict=True
    ):
        if not equal(tensor(mine), theirs, 1e-3, 1e-5):
            raise Mistake(name)


def _code_and_gradients(answer, mean, log_variance, noise) -> tuple:
    mean, log_variance = (x.clone().requires_grad_() for x in (mean, log_variance))
    code = answer(mean, log_variance, noise)
    if not torch.is_tensor(code) or not code.requires_grad:
        return code, None
    pulls = torch.autograd.grad(code.sum(), (mean, log_variance), allow_unused=True)
    return code, [torch.zeros_like(mean) if g is None else g for g in pulls]


_CODES = {
    "variance_for_deviation": lambda m, v, e: m + v.exp() * e,
    "log_for_deviation": lambda m, v, e: m + v * e,
    "half_log_for_deviation": lambda m, v, e: m + v / 2 * e,
    "precision": lambda m, v, e: m + (-v / 2).exp() * e,
    "fourth_root": lambda m, v, e: m + (v / 4).exp() * e,
    "double": lambda m, v, e: m + (2 * v).exp() * e,
    "no_noise": lambda m, v, e: m,
    "no_mean": lambda m, v, e: (v / 2).exp() * e,
    "no_spread": lambda m, v, e: m + e,
    "deviation_not_multiplied": lambda m, v, e: m + (v / 2).exp() + e,
    "mean_scaled": lambda m, v, e: (m + e) * (v / 2).exp(),
    "minus": lambda m, v, e: m - (v / 2).exp() * e,
}

_CODE = {
    "variance_for_deviation": Hint(
        "Your codes are spread too far where the variance is above 1.",
        "You multiply the noise with the variance.",
        "A deviation scales noise: σ = exp(log_variance / 2).",
    ),
    "log_for_deviation": Hint(
        "At variance 1 your code has no noise at all.",
        "You multiply the noise with the logarithm of the variance.",
        "σ = exp(log_variance / 2).",
    ),
    "half_log_for_deviation": Hint(
        "At variance 1 your code has no noise at all.",
        "log_variance / 2 is the logarithm of the deviation.",
        "σ = exp(log_variance / 2).",
    ),
    "precision": Hint(
        "The surer the encoder, the more noise you add.",
        "There is a minus in the exponent.",
        "σ = exp(+log_variance / 2).",
    ),
    "fourth_root": Hint(
        "Your codes are spread too little where the variance is above 1.",
        "You took a root twice.",
        "σ = exp(log_variance / 2), without a further root.",
    ),
    "double": Hint(
        "Your codes are spread far too much where the variance is above 1.",
        "You multiply log_variance by 2 where it should be divided.",
        "σ² = exp(log_variance), so σ = exp(log_variance / 2).",
    ),
    "no_noise": Hint(
        "Your code is the mean.",
        "The noise does not enter: this is an autoencoder's code.",
        "Add σ · noise.",
    ),
    "no_mean": Hint(
        "Your code does not depend on the mean.",
        "Only the spread is there.",
        "Add the mean.",
    ),
    "no_spread": Hint(
        "Your code does not depend on the variance.",
        "The noise is added as it is.",
        "Multiply it with σ = exp(log_variance / 2).",
    ),
    "deviation_not_multiplied": Hint(
        "Your noise has the same size everywhere.",
        "The deviation is added, not multiplied.",
        "mean + σ · noise.",
    ),
    "mean_scaled": Hint(
        "Your code's mean is scaled by the deviation.",
        "The brackets are wrong: only the noise is scaled.",
        "mean + σ · noise.",
    ),
    "minus": Hint(
        "Your code has the right law, but the noise the wrong way round.",
        "The noise is subtracted. The law is the same; this code is another one.",
        "mean + σ · noise.",
    ),
    "mean_cut": Hint(
        "The value is right, but no gradient reaches the mean.",
        "The mean was detached on the way.",
        "Leave mean and log_variance attached.",
    ),
    "spread_cut": Hint(
        "The value is right, but no gradient reaches the variance.",
        "The deviation was detached: the encoder never learns how sure to be.",
        "Leave mean and log_variance attached; only the noise is a constant.",
    ),
    "own_noise": Hint(
        "Two calls with the same noise give two codes.",
        "You draw noise of your own.",
        "Use the noise that you are given.",
    ),
}

# ------------------------------------------------------------------ 08.elbo


def elbo(answer) -> None:
    """answer(x, logits, kl): negative ELBO per image in nats, Bernoulli pixels."""
    cases = []
    for _ in range(2):
        x = torch.rand(5, 1, 4, 3, generator=stream())
        cases.append((x, normal(5, 1, 4, 3), torch.rand(5, generator=stream()) + 1))
    got = each(answer, cases)

    def over(rule) -> Tensor:
        return torch.stack([rule(*(t.double() for t in case)) for case in cases])

    wrong = {name: over(rule) for name, rule in _ELBOS.items()}
    expect(got, over(_elbo), wrong, rtol=1e-3)
    x, sure = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2), torch.tensor([200.0, -200.0])
    got = tensor(answer(x, sure.view(1, 1, 1, 2), torch.zeros(1)), ())
    if not got.isfinite() or abs(got.item() - 400) > 1:
        raise Mistake("clipped")


def _cross_entropy(x: Tensor, s: Tensor) -> Tensor:
    """Per image, summed over pixels."""
    return (softplus(s) - x * s).flatten(1).sum(1)


def _elbo(x: Tensor, s: Tensor, kl: Tensor) -> Tensor:
    return (_cross_entropy(x, s) + kl).mean()


def _bce(x: Tensor, p: Tensor) -> Tensor:
    return -(x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1)


_ELBOS = {
    "mean_over_pixels": lambda x, s, kl: (
        _cross_entropy(x, s) / x[0].numel() + kl
    ).mean(),
    "sum_over_images": lambda x, s, kl: (_cross_entropy(x, s) + kl).sum(),
    "images_summed_once": lambda x, s, kl: _cross_entropy(x, s).sum() + kl.mean(),
    "kl_summed": lambda x, s, kl: _cross_entropy(x, s).mean() + kl.sum(),
    "kl_per_pixel": lambda x, s, kl: (_cross_entropy(x, s) + kl).mean() / x[0].numel(),
    "kl_subtracted": lambda x, s, kl: (_cross_entropy(x, s) - kl).mean(),
    "no_kl": lambda x, s, kl: _cross_entropy(x, s).mean(),
    "positive": lambda x, s, kl: -_elbo(x, s, kl),
    "squared_error": lambda x, s, kl: (
        (s.sigmoid() - x).square().flatten(1).sum(1) + kl
    ).mean(),
    "sigmoid_twice": lambda x, s, kl: (_cross_entropy(x, s.sigmoid()) + kl).mean(),
    "roles_exchanged": lambda x, s, kl: (_bce(s.sigmoid(), x) + kl).mean(),
    "logits_as_target": lambda x, s, kl: (_cross_entropy(s, x) + kl).mean(),
    "half_a_likelihood": lambda x, s, kl: (
        (x * softplus(-s)).flatten(1).sum(1) + kl
    ).mean(),
}

_ELBO = {
    "mean_over_pixels": Hint(
        "The KL term rules: your VAE will forget the images.",
        "The likelihood is averaged over pixels: weighted down by their number.",
        "log p(x|z) is a sum over pixels. Sum over pixels, mean over images.",
    ),
    "sum_over_images": Hint(
        "Your loss grows with the batch.",
        "You add up the images.",
        "Sum over pixels, mean over images.",
    ),
    "images_summed_once": Hint(
        "In your version the KL term weighs less the larger the batch.",
        "One term is summed over images, the other averaged.",
        "Both per image first; then one mean over images.",
    ),
    "kl_summed": Hint(
        "In your version the KL term weighs more the larger the batch.",
        "One term is summed over images, the other averaged.",
        "Both per image first; then one mean over images.",
    ),
    "kl_per_pixel": Hint(
        "Your loss is in nats per pixel.",
        "Both terms are divided by the number of pixels. Asked for is nats per image.",
        "Sum over pixels, mean over images.",
    ),
    "kl_subtracted": Hint(
        "Your loss falls when codes leave the prior.",
        "The KL term has the wrong sign: ELBO = log-likelihood − KL.",
        "Negative ELBO = cross-entropy + KL.",
    ),
    "no_kl": Hint(
        "Your loss does not depend on the KL term.",
        "Without it this is an autoencoder: nothing makes codes look like the prior.",
        "Add kl.",
    ),
    "positive": Hint(
        "Your number is the ELBO itself.",
        "An optimizer makes small, and the ELBO is to be made large.",
        "Turn the sign round.",
    ),
    "squared_error": Hint(
        "Your first term is a squared error.",
        "That belongs to Gaussian pixels. Here pixels are coins with logit s.",
        "Cross-entropy between x and σ(logits).",
    ),
    "sigmoid_twice": Hint(
        "Your loss hardly reacts to the logits.",
        "A sigmoid is applied, and then a loss that expects logits.",
        "binary_cross_entropy_with_logits takes the logits as they are.",
    ),
    "roles_exchanged": Hint(
        "Your loss is not finite for black or white pixels.",
        "x and the prediction are exchanged in the cross-entropy.",
        "The prediction comes first, the target second.",
    ),
    "logits_as_target": Hint(
        "Your loss takes the pixels for logits.",
        "x and the logits are exchanged in the cross-entropy.",
        "binary_cross_entropy_with_logits(logits, x): what was predicted comes first.",
    ),
    "half_a_likelihood": Hint(
        "Black pixels cost you nothing, whatever is predicted.",
        "You have −x log p only; the term for 1 − x is missing.",
        "−x log p − (1 − x) log(1 − p).",
    ),
    "clipped": Hint(
        "At logits of ±200 your loss is wrong, or not finite.",
        "log σ(−200) is rounded to log 0, or cut off by PyTorch at −100.",
        "Work on logits: binary_cross_entropy_with_logits, or softplus(s) − x s.",
    ),
}

# ------------------------------------------------------------------ 08.noising


def noising(answer) -> None:
    """answer(x, betas, t, noise): x_t of a diffusion, t (N,) the index of its β."""
    # N is also the width: a forgotten reshape of t would otherwise only raise.
    x, noise = normal(2, 4, 2, 3, 4)
    betas = torch.rand(6, generator=stream()) * 0.1 + 0.03
    t = torch.tensor([0, 2, 5, 3])
    got = tensor(answer(x, betas, t, noise), (4, 2, 3, 4))
    unchanged(answer)
    if not equal(tensor(answer(x, betas, t, noise), (4, 2, 3, 4)), got):
        raise Mistake("own_noise")
    b = betas.double()
    kept = (1 - b).cumprod(0)
    before = torch.cat([torch.ones(1).double(), kept[:-1]])

    def at(signal: Tensor, spread: Tensor) -> Tensor:
        column = lambda v: v[t].view(-1, 1, 1, 1)  # noqa: E731
        return column(signal) * x.double() + column(spread) * noise.double()

    wrong = {
        "no_roots": at(kept, 1 - kept),
        "root_on_signal_only": at(kept.sqrt(), 1 - kept),
        "root_on_noise_only": at(kept, (1 - kept).sqrt()),
        "one_step": at((1 - b).sqrt(), b.sqrt()),
        "betas_multiplied": at((1 - b.cumprod(0)).sqrt(), b.cumprod(0).sqrt()),
        "betas_added": at((1 - b.cumsum(0)).clamp_min(0).sqrt(), b.cumsum(0).sqrt()),
        "exchanged": at((1 - kept).sqrt(), kept.sqrt()),
        "one_early": [
            at(before.sqrt(), (1 - before).sqrt()),
            at(kept.roll(1).sqrt(), (1 - kept.roll(1)).sqrt()),  # kept[t - 1] at t = 0
        ],
        "signal_whole": at(torch.ones_like(b), (1 - kept).sqrt()),
        "beta_for_noise": at(kept.sqrt(), b.sqrt()),
        "one_minus_root": at(kept.sqrt(), 1 - kept.sqrt()),
        "across_columns": kept[t].sqrt() * x + (1 - kept[t]).sqrt() * noise,
        "first_of_the_batch": kept[t[0]].sqrt() * x + (1 - kept[t[0]]).sqrt() * noise,
        "noise_forgotten": at(kept.sqrt(), torch.zeros_like(b)),
    }
    expect(got, at(kept.sqrt(), (1 - kept).sqrt()), wrong, rtol=1e-3, atol=1e-5)


_NOISING = {
    "no_roots": Hint(
        "Data of variance 1 do not keep variance 1.",
        "kept_t, the product of 1 − β up to t, and 1 − kept_t are shares of variance.",
        "Signals are multiplied by their roots: √kept_t x + √(1 − kept_t) ε.",
    ),
    "root_on_signal_only": Hint(
        "Data of variance 1 do not keep variance 1.",
        "1 − kept_t is the noise's variance, with kept_t the product of 1 − β up to t.",
        "Multiply ε by its root, √(1 − kept_t).",
    ),
    "root_on_noise_only": Hint(
        "Data of variance 1 do not keep variance 1.",
        "kept_t, the product of 1 − β up to t, is a share of the variance.",
        "Multiply x by its root, √kept_t.",
    ),
    "one_step": Hint(
        "Late images are hardly noisier than early ones.",
        "You apply the β of step t alone; the steps before it are missing.",
        "kept_t is the product of 1 − β over all steps up to t: cumprod.",
    ),
    "betas_multiplied": Hint(
        "Your images get cleaner as t grows.",
        "You multiply the βs. What multiplies is the share that is *kept*.",
        "(1 − betas).cumprod(0).",
    ),
    "betas_added": Hint(
        "Your images lose their signal too early.",
        "You add up the βs. Each step takes its share of what the last one left.",
        "(1 − betas).cumprod(0).",
    ),
    "exchanged": Hint(
        "Your images begin as noise and end clean.",
        "The two factors are exchanged.",
        "The root of the product of 1 − β belongs to x: it is near 1 at first.",
    ),
    "one_early": Hint(
        "At t = 0 your image has no noise.",
        "Your product ends before step t. Index t is the last β that counts.",
        "kept = (1 − betas).cumprod(0), and then kept[t].",
    ),
    "signal_whole": Hint(
        "The variance of your images grows without end.",
        "The signal is not made smaller.",
        "Multiply x by √kept_t, the root of the product of 1 − β up to t.",
    ),
    "beta_for_noise": Hint(
        "The variance of your images falls.",
        "The noise of the last step alone is added.",
        "All steps together leave noise of variance 1 − (the product of 1 − β).",
    ),
    "one_minus_root": Hint(
        "Data of variance 1 do not keep variance 1.",
        "1 − √kept_t is not √(1 − kept_t), with kept_t the product of 1 − β up to t.",
        "First 1 − kept_t, then the root.",
    ),
    "across_columns": Hint(
        "Each column of pixels gets a noise level of its own.",
        "Your factors (N,) broadcast along the *last* dimension, which is N long here.",
        "Give them the shape (N, 1, 1, 1).",
    ),
    "first_of_the_batch": Hint(
        "All images get the same noise level.",
        "You use one t for the whole batch.",
        "Each image has its own: index with all of t, then the shape (N, 1, 1, 1).",
    ),
    "own_noise": Hint(
        "Two calls with the same noise give two pictures.",
        "You draw noise of your own.",
        "Use the noise that you are given.",
    ),
    "noise_forgotten": Hint(
        "Your images only get darker.",
        "The noise is missing.",
        "Add √(1 − kept_t) ε, with kept_t the product of 1 − β up to t.",
    ),
}

# ------------------------------------------------------------------ 08.denoise


def denoise(answer) -> None:
    """answer(x_t, noise, kept_t, kept_s): a DDIM step to an earlier time s."""
    cases = [
        (normal(2, 5), normal(2, 5), 0.2, 0.7),
        (normal(2, 5), normal(2, 5), 0.5, 1),
    ]
    got = each(answer, cases, (2, 5))
    if not equal(each(answer, cases, (2, 5)), got):
        raise Mistake("own_noise")

    def over(rule) -> Tensor:
        return torch.stack([rule(x.double(), e.double(), t, s) for x, e, t, s in cases])

    wrong = {name: over(rule) for name, rule in _STEPS.items()}
    expect(got, over(_ddim), wrong, rtol=1e-3, atol=1e-5)


def _clean(x: Tensor, e: Tensor, t: float) -> Tensor:
    return (x - math.sqrt(1 - t) * e) / math.sqrt(t)


def _ddim(x: Tensor, e: Tensor, t: float, s: float) -> Tensor:
    return math.sqrt(s) * _clean(x, e, t) + math.sqrt(1 - s) * e


_STEPS = {
    "clean_image": lambda x, e, t, s: _clean(x, e, t),
    "no_noise_again": lambda x, e, t, s: math.sqrt(s) * _clean(x, e, t),
    "noise_of_t": lambda x, e, t, s: (
        math.sqrt(s) * _clean(x, e, t) + math.sqrt(1 - t) * e
    ),
    "signal_of_t": lambda x, e, t, s: x + (math.sqrt(1 - s) - math.sqrt(1 - t)) * e,
    "not_divided": lambda x, e, t, s: (
        math.sqrt(s) * (x - math.sqrt(1 - t) * e) + math.sqrt(1 - s) * e
    ),
    "no_roots": lambda x, e, t, s: s * (x - (1 - t) * e) / t + (1 - s) * e,
    "noise_added": lambda x, e, t, s: (
        math.sqrt(s) * (x + math.sqrt(1 - t) * e) / math.sqrt(t) + math.sqrt(1 - s) * e
    ),
    "times_exchanged": lambda x, e, t, s: (
        math.sqrt(t) * (x - math.sqrt(1 - s) * e) / math.sqrt(s) + math.sqrt(1 - t) * e
    ),
    "whole_noise": lambda x, e, t, s: (
        math.sqrt(s) * (x - e) / math.sqrt(t) + math.sqrt(1 - s) * e
    ),
    "clean_not_scaled": lambda x, e, t, s: _clean(x, e, t) + math.sqrt(1 - s) * e,
    "clipped": lambda x, e, t, s: (
        math.sqrt(s) * _clean(x, e, t).clamp(-1, 1) + math.sqrt(1 - s) * e
    ),
    "divided_by_noise": lambda x, e, t, s: (
        math.sqrt(s) * (x - math.sqrt(1 - t) * e) / math.sqrt(1 - t)
        + math.sqrt(1 - s) * e
    ),
}

_DENOISE = {
    "clean_image": Hint(
        "You jump to the clean image at once.",
        "That is the guess of x₀. A step goes only as far as time s.",
        "Make the guess noisy again with the same ε: √kept_s x₀ + √(1 − kept_s) ε.",
    ),
    "no_noise_again": Hint(
        "Your image has too little noise for time s.",
        "The noise of time s is missing.",
        "Add √(1 − kept_s) ε.",
    ),
    "noise_of_t": Hint(
        "Your image has too much noise for time s.",
        "You put back the noise of time t.",
        "√(1 − kept_s), with s.",
    ),
    "signal_of_t": Hint(
        "The signal in your image is too weak for time s.",
        "Only the noise was changed; the signal's factor goes from √kept_t to √kept_s.",
        "Solve x_t = √kept_t x₀ + √(1 − kept_t) ε for x₀ first.",
    ),
    "not_divided": Hint(
        "The signal in your image is too weak.",
        "x_t minus its noise is √kept_t x₀, not x₀.",
        "Divide by √kept_t.",
    ),
    "no_roots": Hint(
        "Your factors are shares of the variance.",
        "Signals are multiplied by the roots of those.",
        "√kept_t and √(1 − kept_t), and the same for s.",
    ),
    "noise_added": Hint(
        "Your guess of the clean image is noisier than x_t.",
        "The noise is added where it should be taken away.",
        "x₀ = (x_t − √(1 − kept_t) ε) / √kept_t.",
    ),
    "times_exchanged": Hint(
        "Your image gets noisier.",
        "s and t are exchanged.",
        "Take away the noise of t; put back that of s.",
    ),
    "whole_noise": Hint(
        "Your guess of the clean image has too much taken away.",
        "Not ε is in x_t, but √(1 − kept_t) ε.",
        "x₀ = (x_t − √(1 − kept_t) ε) / √kept_t.",
    ),
    "clean_not_scaled": Hint(
        "The variance of your image is above 1.",
        "The guess of x₀ enters whole.",
        "Multiply it by √kept_s.",
    ),
    "own_noise": Hint(
        "Two calls with the same noise give two images.",
        "You draw noise of your own; that is another sampler (DDPM).",
        "Put the guessed noise back.",
    ),
    "clipped": Hint(
        "Values beyond ±1 are lost.",
        "You cut the guess of x₀. That is often done, and was not asked for here.",
        "Leave the guess as it is.",
    ),
    "divided_by_noise": Hint(
        "Your guess of the clean image has the wrong contrast.",
        "You divide by the noise's factor.",
        "Divide by the signal's, √kept_t.",
    ),
}

EXERCISES = [
    Exercise("08.kl", kl, COMMON | _KL),
    Exercise("08.reparameterise", reparameterise, COMMON | _CODE),
    Exercise("08.elbo", elbo, COMMON | _ELBO),
    Exercise("08.noising", noising, COMMON | _NOISING),
    Exercise("08.denoise", denoise, COMMON | _DENOISE),
]
