"""Is this normal? A run's logs and samples read by rules, one verdict, what to try.

Every threshold stands with the runs that it was read from: the 2-D and 1-D mixtures and
the small MNIST runs of `tests/test_health.py` (median over the last third of the logs).
`health_bank` holds recorded runs with labels, by which the verdicts are judged.
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gancourse import data
from gancourse.errors import GancourseError

CURVES = (  # what a dashboard draws: label of the axis, attributes of the logs, scale
    ("loss (nats)", {"D": "d_loss", "G": "g_loss"}, "linear"),
    ("mean logit", {"real": "real_logit", "fake": "fake_logit"}, "linear"),
    ("gradient norm", {"D": "d_grad_norm", "G": "g_grad_norm"}, "log"),
)
NAMES = (
    "healthy",
    "D too strong",
    "G too strong",
    "collapsed",
    "oscillating",
    "diverged",
    "memorising",
)


class Verdict(NamedTuple):
    """One of NAMES, the figures that led to it, and what to do next."""

    name: str
    why: str
    advice: str


# Losses of healthy runs stay below 15, also with an unbounded critic under a penalty;
# staged Wasserstein critics without one pass 60 within a few hundred steps. Logit gaps
# of healthy runs stay below 11; with far too high a rate they are 50 to 360.
UNBOUNDED = 40.0
# Gap: mean logit of reals minus that of fakes. Healthy DCGANs on MNIST: 1 to 10, with
# accuracies up to 1.00. Staged strong discriminators: 17 to 24, and a loss under 0.25.
STRONG_GAP, STRONG_LOSS = 12.0, 0.3
# A discriminator that learns too slowly: the gap turns negative (-3.7 to -8.5) or it is
# wrong more often than a coin (accuracies of 0.04 to 0.25). Healthy: at least 0.45.
BLIND_GAP, BLIND_ACCURACY = -1.0, 0.3
# How far a typical sample is from the data's middle, a typical data point being 1 away.
# Staged collapses: 0.4 to 2.3; chased by a D that hardly moves: 49 to 98.
FAR, UNSEEN = 10.0, 0.75
# Height of the autocorrelation's second hill. Staged oscillations: 0.72 to 0.88;
# healthy runs, whose losses are noise around a level: at most 0.3.
WAVE = 0.5
# Share of the data's diversity. Staged collapses: 0.00 to 0.42; healthy: from 0.57.
DIVERSE = 0.5
# Distance of a typical sample to the nearest training point, in units of what training
# points keep from each other. Staged memorisers: at most 0.33; healthy: from 0.9.
COPY = 0.5

ADVICE = {
    "healthy": "Go on until a held-out distance (evaluation.frechet) stops falling.",
    "D too strong": "Try a lower d_lr or fewer d_steps, the non-saturating loss, or a "
    "penalty such as losses.r1.",
    "G too strong": "Try a higher d_lr, more d_steps or a lower g_lr.",
    "collapsed": "Try a lower g_lr, a penalty such as losses.r1, or the relativistic "
    "loss; train on from an earlier checkpoint.",
    "oscillating": "Try betas=(0.0, 0.99), a penalty such as losses.r1, smaller rates, "
    "and an average of G (ema=0.999).",
    "diverged": "Go back to the last good checkpoint. Try half the learning rates, and "
    "a penalty on D (losses.r1; losses.gradient_penalty for Wasserstein).",
    "memorising": "Try more data, games.diff_augment, or stop earlier.",
}

# ------------------------------------------------------------------ the verdict


def verdict(
    logs: Sequence, samples: Tensor | None = None, real: Tensor | None = None
) -> Verdict:
    """What a run looks like, from its StepLogs; collapse and copying from samples only.

    `samples` (N, ...) and the training data `real` (M, ...) are points or images in
    [-1, 1] or uint8; 500 samples are enough. Causes are named before their effects.
    """
    fake, train = _points(samples, "samples"), _points(real, "real")
    if fake is not None and train is not None and fake.shape[1:] != train.shape[1:]:
        raise GancourseError(
            f"Samples {tuple(samples.shape)} and real {tuple(real.shape)} differ in "
            "shape, so no verdict was given. Give both in the data's own shape."
        )
    diversity = None if fake is None else share_of_diversity(fake, train)
    found = (
        _diverged(logs, fake)
        or _g_too_strong(logs)
        or _d_too_strong(logs, diversity)
        or _oscillating(logs)
        or _ran_away(logs, fake, train)
        or _collapsed(diversity, train)
        or _memorising(fake, train)
        or ("healthy", _in_words(logs, diversity))
    )
    return Verdict(*found, ADVICE[found[0]])


def _diverged(logs: Sequence, fake: Tensor | None):
    values = [v for log in logs for v in (log.d_loss, log.g_loss)]
    if not all(map(math.isfinite, values)):
        return "diverged", "A loss is not a number."
    if fake is not None and not fake.isfinite().all():
        return "diverged", "Some samples are not numbers."
    largest = max(abs(_median(logs, side)) for side in ("d_loss", "g_loss"))
    if largest > UNBOUNDED:
        return "diverged", f"A loss of {largest:,.0f}: nothing bounds the logits."
    # A wide gap with a loss near 0 is a D that has won; with a loss it has run away.
    gap = _gap(logs)
    if gap > UNBOUNDED and _median(logs, "d_loss") > STRONG_LOSS:
        return "diverged", f"A logit gap of {gap:,.0f}: nothing bounds the logits."


def _g_too_strong(logs: Sequence):
    gap, accuracy = _gap(logs), _median(logs, "accuracy")
    if gap < BLIND_GAP or accuracy < BLIND_ACCURACY:
        return "G too strong", (
            f"D is wrong too often: its logit for fakes is {-gap:.1f} above that for "
            f"reals, its accuracy {accuracy:.2f}."
        )


def _d_too_strong(logs: Sequence, diversity: float | None):
    gap, d_loss = _gap(logs), _median(logs, "d_loss")
    diverse = diversity is not None and diversity >= DIVERSE  # then G does learn
    if gap > STRONG_GAP and d_loss < STRONG_LOSS and not diverse:
        return "D too strong", (
            f"D tells real from fake with a logit gap of {gap:.0f} and a loss of "
            f"{d_loss:.3f}: it has nothing left to learn and little to teach."
        )


def _ran_away(logs: Sequence, fake: Tensor | None, train: Tensor | None):
    if fake is None or train is None:
        return None
    middle, accuracy = train.mean(0), _median(logs, "accuracy")
    away = [(x - middle).norm(dim=1).median().item() for x in (fake, train)]
    if away[0] > FAR * away[1] and accuracy < UNSEEN:
        return "G too strong", (
            f"Samples are {away[0] / max(away[1], 1e-12):.0f} times as far out as the "
            f"data, and D, with an accuracy of {accuracy:.2f}, does not see it."
        )


def _memorising(fake: Tensor | None, train: Tensor | None):
    if fake is None or train is None:
        return None
    ratio = nearness(fake, train)
    if ratio < COPY:
        return "memorising", (
            "A typical sample is as near to a training point as "
            f"{ratio:.2f} of what training points keep from each other."
        )


def _oscillating(logs: Sequence):
    wave = max(second_hill([log.g_loss for log in logs]), 0.0)
    if wave > WAVE:
        return "oscillating", (
            f"The losses swing in slow waves (autocorrelation {wave:.2f} one period "
            "later): the players chase each other."
        )


def _collapsed(diversity: float | None, train: Tensor | None):
    # Without data the spread is measured against the samples' own size, which is a much
    # coarser ruler: only samples that are all but equal are called collapsed.
    if diversity is not None and diversity < (0.1 if train is None else DIVERSE):
        of = "their own size" if train is None else "the data"
        return "collapsed", f"Samples look alike (diversity {diversity:.0%} of {of})."


def _in_words(logs: Sequence, diversity: float | None) -> str:
    if len(logs) < 4:
        return f"Only {len(logs)} logs so far: too early to say more."
    words = f"Losses D {_median(logs, 'd_loss'):.2f}, G {_median(logs, 'g_loss'):.2f}"
    accuracy = _median(logs, "accuracy")
    words += "" if math.isnan(accuracy) else f", D's accuracy {accuracy:.2f}"
    if diversity is None:
        return f"{words}, and no sign of trouble (samples were not looked at)."
    return f"{words}, and samples with a diversity of {diversity:.0%}."


# ------------------------------------------------------------------ what is measured


def diversity(samples: Tensor, real: Tensor | None = None) -> float:
    """share_of_diversity of points or images (N, ...), in [-1, 1] or uint8."""
    return share_of_diversity(_points(samples, "samples"), _points(real, "real"))


def share_of_diversity(fake: Tensor, real: Tensor | None) -> float:
    """Diversity of samples (N, d) as a share of the data's: 0 when all are alike.

    The smaller of two shares: mean distance between samples, and how many of the data's
    regions (10 by k-means) they visit, counted as exp of the entropy. The first does
    not see that half the modes are gone, the second not that each is a single point.
    """
    spread = _spread(fake)
    if real is None:
        return spread / max(fake.norm(dim=1).mean().item(), 1e-12)
    centers = _k_means(real, min(10, len(real)))
    regions = _visited(fake, centers) / _visited(real, centers)
    return min(spread / max(_spread(real), 1e-12), regions)


def nearness(fake: Tensor, real: Tensor) -> float:
    """Median distance of samples to their nearest training point, in units of the
    median distance between a training point and its own nearest neighbour."""
    exact = "donot_use_mm_for_euclid_dist"  # small distances are what matters here
    own = torch.cdist(real[:500], real, compute_mode=exact).kthvalue(2, 1).values
    nearest = torch.cdist(fake[:500], real, compute_mode=exact).amin(1)
    return (nearest.median() / own.median().clamp_min(1e-12)).item()


def second_hill(values: Sequence[float]) -> float:
    """Highest autocorrelation after its first zero, over the last two thirds.

    Noise has none, a slow wave comes back after one period. 0 for fewer than 24 values.
    """
    x = torch.tensor(values[len(values) // 3 :], dtype=torch.float64)
    x = x - x.mean()
    n, power = len(x), x.square().sum()
    if len(values) < 24 or power < 1e-20:
        return 0.0
    lags = [((x[: n - k] * x[k:]).sum() / power).item() for k in range(n // 2 + 1)]
    below = next((k for k, value in enumerate(lags) if value < 0), None)
    return 0.0 if below is None else max(lags[below:])


def _points(x: Tensor | None, name: str) -> Tensor | None:
    """At most 2,000 rows, floats, flat."""
    if x is None:
        return None
    if x.ndim < 2 or len(x) < 2:
        raise GancourseError(
            f"A verdict needs at least two {name} of shape (N, ...), got "
            f"{tuple(x.shape)}. Give more of them, or leave {name} out."
        )
    x = x.detach().cpu()[:2000]
    return (data.to_unit(x) if x.dtype == torch.uint8 else x.float()).flatten(1)


def _spread(x: Tensor) -> float:
    return torch.pdist(x[:500]).mean().item()


def _k_means(x: Tensor, k: int, rounds: int = 10) -> Tensor:
    """k centers (k, d), begun from points far apart, so nothing is drawn by chance."""
    centers = x[:1]
    while len(centers) < k:
        farthest = torch.cdist(x, centers).amin(1).argmax()
        centers = torch.cat([centers, x[farthest][None]])
    for _ in range(rounds):
        of = torch.cdist(x, centers).argmin(1)
        centers = torch.stack(
            [
                x[of == i].mean(0) if (of == i).any() else c
                for i, c in enumerate(centers)
            ]
        )
    return centers


def _visited(x: Tensor, centers: Tensor) -> float:
    """Effective number of regions: exp of the entropy of which center is nearest."""
    counts = torch.bincount(torch.cdist(x, centers).argmin(1), minlength=len(centers))
    return torch.distributions.Categorical(counts.double()).entropy().exp().item()


def _median(logs: Sequence, name: str) -> float:
    """Median of a log entry over the last third; not-a-number when it is not logged."""
    last = logs[-max(1, len(logs) // 3) :] if len(logs) >= 4 else []
    values = [v for log in last if (v := entry(log, name)) is not None]
    return statistics.median(values) if values else math.nan


def _gap(logs: Sequence) -> float:
    return _median(logs, "real_logit") - _median(logs, "fake_logit")


def entry(log, name: str) -> float | None:
    """A number of a StepLog by name, also one of its parts; None when not logged."""
    return log.parts.get(name, getattr(log, name, None))


# ------------------------------------------------------------------ the dashboard


def dashboard(
    logs: Sequence, samples: Tensor | None = None, real: Tensor | None = None
):
    """One Figure: losses, logits, gradient norms, samples, and the verdict as title."""
    import matplotlib.pyplot as plt

    from gancourse import figures

    figure, axes = plt.subplots(2, 2, figsize=(figures.WIDE[0], 5.6))
    steps = [log.step for log in logs]
    for ax, (ylabel, names, scale) in zip(axes.flat, CURVES, strict=False):
        curves = {label: [entry(log, n) for log in logs] for label, n in names.items()}
        curves = {label: ys for label, ys in curves.items() if None not in ys and ys}
        if curves:
            figures.show_curves(steps, curves, "step", ylabel, ax)
            ax.set_yscale(scale)
        else:
            say(ax, f"{ylabel}: not logged")
    draw_samples(axes[1, 1], samples, real)
    found = verdict(logs, samples, real)
    figure.suptitle(f"{found.name}: {found.why}", fontsize=10, wrap=True)
    return figure


def draw_samples(ax, samples: Tensor | None, real: Tensor | None) -> None:
    """Draw images (N, C, H, W), or points (N, 1 or 2) with the data behind them."""
    from gancourse import figures

    if samples is None:
        say(ax, "no samples were given")
    elif samples.ndim == 4:
        figures.show_images(samples[:40], ax=ax, title="samples")
    elif samples.shape[1] == 2:
        extent = 1.3 * samples.abs().quantile(0.98).clamp_min(1e-3).item()
        if real is not None:
            extent = 1.3 * real.abs().amax().item()
            real = real[:1000]
        figures.show_points(real, samples[:1000], ax, "samples", extent)
    else:
        for x, color, name in [
            (real, figures.REAL, "real"),
            (samples, figures.FAKE, "fake"),
        ]:
            if x is not None:
                ax.hist(
                    x[:, 0].numpy(),
                    60,
                    density=True,
                    color=color,
                    alpha=0.5,
                    label=name,
                )
        ax.set(xlabel="first coordinate", ylabel="density", title="samples")
        ax.legend(fontsize=8)


def say(ax, words: str) -> None:
    """Words in the place of a panel."""
    ax.text(0.5, 0.5, words, ha="center", va="center")
    ax.axis("off")
