"""How good is it? Distances, coverage and copying, always on named features.

Every Fréchet or kernel distance here is taken on the 64 features of the course's own
digit classifier, so the figures compare with each other and with `anchors()`, never
with Inception-based figures in papers. Labels carry the protocol.

Remake the classifier (about two minutes on two cores):  python -m gancourse.evaluation
"""

import math
import warnings
from functools import lru_cache

import torch
from torch import Tensor, nn

from gancourse import data
from gancourse.errors import GancourseError
from gancourse.models.classifier import DigitClassifier

CLASSIFIER = "classifier/digits.safetensors"

# ------------------------------------------------------------------ the instrument


@lru_cache(maxsize=1)
def classifier() -> DigitClassifier:
    """The embedded digit classifier in evaluation mode, frozen, on the CPU."""
    from safetensors.torch import load_file

    model = DigitClassifier()
    model.load_state_dict(load_file(data.asset(CLASSIFIER)))
    model = model.to(memory_format=torch.channels_last)  # twice as fast on a CPU
    return model.eval().requires_grad_(False)


def _digits_float(images: Tensor) -> Tensor:
    """Images (N, 1, 28, 28) as floats in [-1, 1], checked, as real pixels would be.

    Samples are rounded to the 256 grey values that real digits have: what is measured
    is the picture one would save.
    """
    if not isinstance(images, Tensor) or images.shape[1:] != (1, 28, 28):
        is_tensor = isinstance(images, Tensor)
        got = tuple(images.shape) if is_tensor else type(images).__name__
        raise GancourseError(
            f"Digits are measured as (N, 1, 28, 28), got {got}. "
            "Nothing was computed. Reshape or resize the images first."
        )
    if images.dtype != torch.uint8:
        if not images.isfinite().all():
            raise GancourseError(
                "Some images hold values that are not numbers; nothing was computed. "
                "Go back to the last finite checkpoint."
            )
        images = data.to_uint8(images.cpu())
    return data.to_unit(images.cpu())


@torch.no_grad()
def features(images: Tensor) -> Tensor:
    """Classifier features (N, 64) of digits (N, 1, 28, 28), uint8 or in [-1, 1]."""
    model = classifier()
    return torch.cat([model.features(x) for x in _digits_float(images).split(250)])


@torch.no_grad()
def class_probabilities(images: Tensor) -> Tensor:
    """The classifier's probabilities (N, 10) for digits (N, 1, 28, 28)."""
    model = classifier()
    return torch.cat([model(x).softmax(1) for x in _digits_float(images).split(250)])


@lru_cache(maxsize=4)
def real_features(split: str = "test", n: int | None = None) -> Tensor:
    """Features of the first `n` real digits of a split (all by default), cached."""
    return features(data.digits(split).images[:n])


# ------------------------------------------------------------------ distances


class _Given(nn.Module):
    """Hands torchmetrics features that are already computed."""

    def __init__(self, dim: int):
        super().__init__()
        self.num_features = dim

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def _check(fake: Tensor, real: Tensor, least: int) -> None:
    """Two sets of features (N, d), (M, d) of at least `least` rows, all finite."""
    for name, x in (("fake", fake), ("real", real)):
        if x.ndim != 2 or len(x) < least:
            raise GancourseError(
                f"`{name}` must hold at least {least} feature vectors, (N, d), got "
                f"{tuple(x.shape)}. Pass pictures through evaluation.features first."
            )
        if not x.isfinite().all():
            raise GancourseError(
                f"`{name}` holds values that are not numbers, so nothing was computed. "
                "Go back to the last finite checkpoint."
            )
    if fake.shape[1] != real.shape[1]:
        raise GancourseError(
            f"Features of {fake.shape[1]} and of {real.shape[1]} numbers cannot be "
            "compared. Make both with evaluation.features."
        )


def frechet(fake: Tensor, real: Tensor) -> float:
    """Fréchet distance of two feature sets (N, d), (M, d). Heusel et al. 2017, eq. 6.

    Between Gaussians of the same means and covariances; torchmetrics computes it.
    Biased upwards for small N: compare only figures of equal N.
    """
    _check(fake, real, least=2)
    from torchmetrics.image.fid import FrechetInceptionDistance

    dim = fake.shape[1]
    metric = FrechetInceptionDistance(_Given(dim), input_img_size=(1, 1, dim))
    metric.set_dtype(torch.float64)
    metric.update(real.double(), real=True)
    metric.update(fake.double(), real=False)
    return metric.compute().item()


def kernel_distance(
    fake: Tensor, real: Tensor, subsets: int = 50, size: int = 1000
) -> float:
    """KID of two feature sets: unbiased MMD², cubic kernel. Bińkowski et al. 2018.

    Features are first divided by the root mean square of `real`: the kernel
    (x·y / d + 1)³ is made for entries of size about 1. Below 0 by chance near equality.
    """
    _check(fake, real, least=2)
    from torchmetrics.image.kid import KernelInceptionDistance

    scale = real.double().square().mean().sqrt().clamp_min(1e-12)
    size = min(size, len(fake), len(real))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it warns that it keeps features
        metric = KernelInceptionDistance(
            _Given(fake.shape[1]), subsets=subsets, subset_size=size
        )
    metric.set_dtype(torch.float64)
    metric.update(real.double() / scale, real=True)
    metric.update(fake.double() / scale, real=False)
    with torch.random.fork_rng(devices=[]):  # torchmetrics draws its subsets globally
        torch.manual_seed(0)
        return metric.compute()[0].item()


def inception_score(probabilities: Tensor) -> float:
    """exp E KL(p(y|x) || p(y)) from class probabilities (N, 10); 1 worst, 10 best.

    Salimans et al. 2016, with the digit classifier in Inception's place. It never looks
    at real data.
    """
    p = probabilities.double().clamp_min(1e-12)
    return math.exp((p * (p.log() - p.mean(0).log())).sum(1).mean().item())


def precision_recall(fake: Tensor, real: Tensor, k: int = 3) -> tuple[float, float]:
    """Share of fakes within reach of the reals, and of reals within reach of the fakes.

    Reach of a point: its distance to its k-th neighbour in its own set. Kynkäänniemi et
    al. 2019, eq. 1-2, computed by torch-fidelity. Give both sets one size: reach
    shrinks as a set grows.
    """
    from torch_fidelity.metric_prc import prc_features_to_metric

    _check(fake, real, least=k + 1)
    result = prc_features_to_metric(  # its first argument is what was generated
        fake,
        real,
        prc_neighborhood=k,
        prc_batch_size=2000,
        save_cpu_ram=True,
        verbose=False,
    )
    return float(result["precision"]), float(result["recall"])


def coverage(fake: Tensor, real: Tensor, k: int = 5) -> float:
    """Share of reals whose k-neighbourhood holds a fake. Naeem et al. 2020, eq. 4."""
    _check(fake, real, least=k + 1)
    held = 0
    for part in real.split(1000):
        # A real is its own nearest neighbour, so its k-th other one is number k + 1.
        reach = torch.cdist(part, real).kthvalue(k + 1, dim=1).values
        held += (torch.cdist(part, fake).amin(1) <= reach).sum().item()
    return held / len(real)


def memorisation(
    fake: Tensor, train: Tensor, test: Tensor, quantile: float = 0.5
) -> float:
    """How much nearer to training data than new data would be: 1 for new, 0 for copies.

    Inputs (N, ...) are pixels or features. Distance to the nearest training point over
    that to the nearest of half the test points, in units of the same ratio for the
    other half, which is new for certain: so neither the sizes of the sets count nor
    noise or blur. The median sees copies when they are the majority, a quantile of 0.1
    when they are a tenth.
    """
    fake, train, test = (
        (data.to_unit(x) if x.dtype == torch.uint8 else x.float()).flatten(1)
        for x in (fake, train, test)
    )
    held, new = test[::2], test[1::2][:1000]

    def ratio(x: Tensor) -> Tensor:
        near, far = (_to_nearest(x, y).quantile(quantile) for y in (train, held))
        return near / far.clamp_min(1e-12)

    return (ratio(fake) / ratio(new)).item()


def _to_nearest(x: Tensor, among: Tensor) -> Tensor:
    return torch.cat([torch.cdist(part, among).amin(1) for part in x.split(500)])


def nearest(images: Tensor, among: Tensor) -> Tensor:
    """Index (N,) of the nearest picture, in pixels, among uint8 (M, 1, 28, 28)."""
    among = data.to_unit(among).flatten(1)
    parts = _digits_float(images).flatten(1).split(500)
    return torch.cat([torch.cdist(part, among).argmin(1) for part in parts])


# ------------------------------------------------------------------ pictures in pairs


def ssim(images: Tensor, targets: Tensor) -> float:
    """Mean structural similarity of pairs (N, C, H, W) in [-1, 1]; 1 means equal.

    Wang et al. 2004, Gaussian window of 11 pixels, by torchmetrics. As a loss, take
    1 - ssim.
    """
    _check_pairs(images, targets)
    from torchmetrics.functional.image import structural_similarity_index_measure

    # On signed pixels a negative would score high, as two minus signs cancel; and
    # without data_range torchmetrics takes the range from the images at hand.
    unit = ((images + 1) / 2, (targets + 1) / 2)
    return structural_similarity_index_measure(*unit, data_range=1.0).item()


def psnr(images: Tensor, targets: Tensor) -> float:
    """Peak signal-to-noise ratio of pairs (N, C, H, W) in [-1, 1], in decibels."""
    _check_pairs(images, targets)
    squared = (images - targets).square().flatten(1).mean(1).clamp_min(1e-12)
    return (10 * (4 / squared).log10()).mean().item()


def _check_pairs(images: Tensor, targets: Tensor) -> None:
    if images.shape != targets.shape or images.ndim != 4:
        raise GancourseError(
            f"Pairs need two sets of one shape (N, C, H, W), got {tuple(images.shape)} "
            f"and {tuple(targets.shape)}. Resize one of them first."
        )
    if not (images.is_floating_point() and targets.is_floating_point()):
        raise GancourseError(
            "Pairs are compared as floats in [-1, 1], and nothing was computed. Use "
            "data.to_unit for uint8."
        )


# ------------------------------------------------------------------ reports


def report(images: Tensor) -> dict[str, float]:
    """Measure generated digits (N, 1, 28, 28) against the MNIST test split.

    Keys: `frechet` (Fréchet distance, digit features, N samples against 10,000 real),
    `classes` (of 10, with at least N / 100 samples), `label_tv` (total variation of the
    label histogram from that of the real digits), `confidence` (mean top probability).
    """
    found = features(images)
    p = classifier().head(found).softmax(1).detach()
    counts = torch.bincount(p.argmax(1), minlength=10).double()
    real = torch.bincount(data.digits("test").labels, minlength=10).double()
    tv = (counts / counts.sum() - real / real.sum()).abs().sum().item() / 2
    return {
        "frechet": frechet(found, real_features("test")),
        "classes": int((counts >= len(images) / 100).sum()),
        "label_tv": tv,
        "confidence": p.amax(1).mean().item(),
    }


def label(n: int) -> str:
    """How a Fréchet distance of `n` samples is to be labelled."""
    return f"Fréchet distance, digit features, {n:,} samples"


@lru_cache(maxsize=2)
def anchors(n: int = 10_000) -> dict[str, float]:
    """What the Fréchet scale means: distances of `n` altered real digits to real test.

    The first row, real training digits, is the floor that `n` samples can reach.
    """
    images, labels = data.digits("test")
    test = data.to_unit(images[:n])
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(test.shape, generator=rng)
    blurred = nn.functional.avg_pool2d(test, 3, 1, 1, count_include_pad=False)
    altered = {
        "real training digits": data.digits("train").images[:n],
        "real + noise 0.2": test + 0.2 * noise,
        "real + noise 0.4": test + 0.4 * noise,
        "real, 3×3 blur": blurred,
        "real without the digit 0": images[labels != 0][:n],
    }
    real = real_features("test")
    return {name: frechet(features(images), real) for name, images in altered.items()}


# ------------------------------------------------------------------ remaking it


def train_classifier(epochs: int = 10, seed: int = 0) -> DigitClassifier:
    """Train the digit classifier on shifted and slightly rotated MNIST."""
    torch.manual_seed(seed)
    model = DigitClassifier().to(memory_format=torch.channels_last)
    rng = torch.Generator().manual_seed(seed)
    batches = data.batches(tuple(data.digits("train")), 100, seed)
    steps = epochs * 600
    opt = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, 4e-3, total_steps=steps)
    for step in range(steps):
        images, labels = batches[step]
        logits = model(_jitter(images, rng))
        loss = nn.functional.cross_entropy(logits, labels)
        opt.zero_grad()
        loss.backward()
        opt.step()
        schedule.step()
        if step % 600 == 599:
            print(f"epoch {(step + 1) // 600}: test accuracy {accuracy(model):.4f}")
    return model.eval()


def _jitter(images: Tensor, rng: torch.Generator) -> Tensor:
    """Rotate by up to 12 degrees, shift by up to 2 pixels, scale by up to 10 %."""
    n = len(images)
    angle, dx, dy, scale = (torch.rand(4, n, generator=rng) * 2 - 1).unbind()
    angle, scale = angle * math.radians(12), 1 + 0.1 * scale
    cos, sin = angle.cos() * scale, angle.sin() * scale
    theta = torch.stack([cos, -sin, dx * 4 / 28, sin, cos, dy * 4 / 28], 1).view(
        n, 2, 3
    )
    where = nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images + 1, where, align_corners=False) - 1


@torch.no_grad()
def accuracy(model: nn.Module) -> float:
    """Share of the 10,000 test digits that `model` classifies rightly."""
    was_training = model.training
    model.eval()
    images, labels = data.digits("test")
    guesses = torch.cat([model(x).argmax(1) for x in data.to_unit(images).split(250)])
    model.train(was_training)
    return (guesses == labels).float().mean().item()


def _main() -> None:
    """Retrain the classifier and write it among the assets with its checksum."""
    import hashlib

    from safetensors.torch import save_file

    model = train_classifier()
    path = data.ASSETS / CLASSIFIER
    path.parent.mkdir(exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"Wrote {path}. Put this line into SHA256SUMS:\n{digest}  {CLASSIFIER}")


if __name__ == "__main__":
    _main()
