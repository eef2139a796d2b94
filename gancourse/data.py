"""Everything the course learns from: embedded, verified, and put on the device whole.

Images are stored as uint8 (N, C, H, W) and handed out as floats in [-1, 1]. The order
of a run depends on (seed, epoch) alone: batch k is the same in every process, after
every resume, and whatever else drew random numbers meanwhile.
"""

import gzip
import hashlib
import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gancourse import storage
from gancourse.errors import GancourseError
from gancourse.images import read_image
from gancourse.settings import number, whole

ASSETS = Path(__file__).parent / "assets"
_RESTORE = (
    "Run `git checkout gancourse/assets` in the folder of the course, or install it "
    "again."
)

# ------------------------------------------------------------------ embedded files


@lru_cache(maxsize=1)
def _checksums(sums: Path) -> dict[str, str]:
    try:
        lines = sums.read_text(encoding="utf-8").splitlines()
        pairs = [line.split(None, 1) for line in lines]
        return {name.strip(): digest for digest, name in pairs}
    except (OSError, ValueError):
        raise GancourseError(
            "Course data is damaged: its list of checksums cannot be read. Your own "
            f"files are untouched. {_RESTORE}"
        ) from None


def asset(name: str) -> Path:
    """Path of the embedded file `name`, e.g. "vgg16/….safetensors", its bytes verified.

    Raises GancourseError when the file is missing, damaged, or not one of the course's.
    """
    known = _checksums(ASSETS / "SHA256SUMS")
    if name not in known:
        raise GancourseError(
            f"The course embeds no file '{name}'. Choose one of those listed in "
            f"{ASSETS / 'README.md'}."
        )
    path = ASSETS / name
    digest = (
        hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"
    )
    if digest != known[name]:
        raise GancourseError(
            f"Course data is damaged: {name} has digest {digest[:12]}, expected "
            f"{known[name][:12]}. Your own files are untouched. {_RESTORE}"
        )
    return path


def asset_names(folder: str) -> list[str]:
    """Names, without folder and ending, of the embedded files in `folder`, sorted."""
    names = _checksums(ASSETS / "SHA256SUMS")
    return sorted(Path(name).stem for name in names if name.startswith(folder + "/"))


# ------------------------------------------------------------------ digits, pictures


class Digits(NamedTuple):
    """MNIST: images uint8 (N, 1, 28, 28) and labels int64 (N,)."""

    images: Tensor
    labels: Tensor


def _read_idx(name: str) -> Tensor:
    """An IDX file (LeCun et al. 1998): magic number, big-endian sizes, bytes."""
    raw = gzip.decompress(asset(f"mnist/{name}.gz").read_bytes())
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">i4", dimensions, offset=4)
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions)
    return torch.from_numpy(values.reshape(shape).copy())


@lru_cache(maxsize=2)
def digits(split: str = "train") -> Digits:
    """The whole of MNIST's "train" (60,000) or "test" (10,000) split."""
    if split not in ("train", "test"):
        raise GancourseError(f"MNIST has no split '{split}'. Choose 'train' or 'test'.")
    prefix = {"train": "train", "test": "t10k"}[split]
    images = _read_idx(f"{prefix}-images-idx3-ubyte").unsqueeze(1)
    return Digits(images, _read_idx(f"{prefix}-labels-idx1-ubyte").long())


def to_unit(images: Tensor) -> Tensor:
    """Floats in [-1, 1] from uint8 in 0…255."""
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """uint8 in 0…255 from floats in [-1, 1], rounded, values outside clipped."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).byte()


def resize(images: Tensor, size: int) -> Tensor:
    """uint8 images (N, C, H, W) as uint8 (N, C, size, size), bicubic, antialiased."""
    _demand_whole("size", size)
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.numel():
        is_tensor = isinstance(images, Tensor)
        got = tuple(images.shape) if is_tensor else type(images).__name__
        raise GancourseError(
            f"Images to resize are a tensor (N, C, H, W), not {got}. Nothing was "
            "changed. Pass images.unsqueeze(1) for (N, H, W)."
        )
    if images.shape[-2:] == (size, size):
        return images
    parts = [
        torch.nn.functional.interpolate(
            to_unit(part), (size, size), mode="bicubic", antialias=True
        )
        for part in images.split(2000)
    ]
    return torch.cat([to_uint8(part) for part in parts])


def picture(name: str, size: int | None = None) -> Tensor:
    """One embedded photograph or painting, uint8 (3, H, W), e.g. picture("room").

    With `size` the longer side is scaled to that many pixels (Lanczos).
    """
    folders = {f: asset_names(f) for f in ("photos", "paintings", "album")}
    folder = next((f for f, names in folders.items() if name in names), None)
    if folder is None:
        known = ", ".join(folders["photos"] + folders["paintings"])
        raise GancourseError(f"There is no picture '{name}'. Choose one of: {known}.")
    return read_image(asset(f"{folder}/{name}.jpg"), size)


def photo_patches(size: int = 64, step: int | None = None) -> Tensor:
    """Square patches of the embedded photographs, uint8 (N, 3, size, size)."""
    _demand_whole("size", size, most=512)
    step = step or size // 2
    patches = []
    for name in asset_names("photos"):
        tiles = picture(name, 6 * size).unfold(1, size, step).unfold(2, size, step)
        patches.append(tiles.permute(1, 2, 0, 3, 4).reshape(-1, 3, size, size))
    return torch.cat(patches)


def image_folder(folder: str | Path, size: int = 64) -> Tensor:
    """Your own pictures: the centre square of each, scaled, uint8 (N, 3, size, size).

    Hidden files are passed over; files that are no pictures are skipped and counted.
    """
    from PIL import Image
    from tqdm.auto import tqdm

    folder = storage.absolute(folder)
    _demand_whole("size", size, most=1024)
    if not folder.is_dir():
        raise GancourseError(
            f"'{storage.shown(folder)}' is not a folder. Give 'digits', 'photos' or a "
            "folder of pictures."
        )
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    files = [f for f in files if not _hidden(f.relative_to(folder))]
    images, skipped, notes = [], [], Counter()
    for file in tqdm(files, desc=f"reading {folder.name}", leave=False, disable=None):
        try:
            image = read_image(
                file,
                least=min(size, 32),
                say=lambda note: notes.update([note.rpartition(": ")[2]]),
            )
        except GancourseError:
            skipped.append(file.name)
            continue
        side = min(image.shape[1:])
        top, left = (image.shape[1] - side) // 2, (image.shape[2] - side) // 2
        square = image[:, top : top + side, left : left + side].permute(1, 2, 0)
        scaled = Image.fromarray(square.numpy()).resize((size, size), Image.BICUBIC)
        images.append(torch.from_numpy(np.asarray(scaled).copy()).permute(2, 0, 1))
    if not images:
        raise GancourseError(
            f"No picture could be read in '{storage.shown(folder)}' ({len(files)} "
            "files looked at). Use --data digits, or put PNG or JPEG files there."
        )
    if skipped:
        names = ", ".join(skipped[:5])
        print(f"Used {len(images)} of {len(files)} files; skipped: {names}")
    for note, count in notes.items():
        print(f"{count} of them: {note}")
    return torch.stack(images)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


# ------------------------------------------------------------------ toy densities


@dataclass(frozen=True)
class Mixture:
    """Equal-width Gaussians: centers (K, d), one standard deviation, weights (K,)."""

    centers: Tensor
    std: float
    weights: Tensor | None = None

    def __post_init__(self):
        shares = self.weights
        if self.centers.ndim != 2 or not self.centers.isfinite().all():
            wrong = "its centres are not finite numbers (K, d)"
        elif not len(self.centers):
            wrong = "it has no centre"
        elif not number(float(self.std), 0):
            wrong = f"its standard deviation is {self.std}"
        elif shares is not None and not (
            shares.shape == self.centers.shape[:1]
            and shares.isfinite().all()
            and shares.min() >= 0
            and shares.sum() > 0
        ):
            wrong = (
                f"its weights are {shares.tolist()}, for {len(self.centers)} centres"
            )
        else:
            return
        raise GancourseError(
            f"A mixture of Gaussians cannot be made: {wrong}. Nothing was drawn. Give "
            "finite centres, a std of at least 0, and a share of at least 0 for each."
        )

    @property
    def dim(self) -> int:
        return self.centers.shape[1]

    def sample(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """n points (n, d)."""
        weights = (
            torch.ones(len(self.centers)) if self.weights is None else self.weights
        )
        which = torch.multinomial(weights.float(), n, replacement=True, generator=rng)
        return self.centers[which] + self.std * torch.randn(n, self.dim, generator=rng)

    def density(self, x: Tensor) -> Tensor:
        """Probability density at points x (N, d), shape (N,), in the dtype of x."""
        centers = self.centers.to(x)
        weights = torch.ones(len(centers)) if self.weights is None else self.weights
        squared = (x[:, None] - centers).square().sum(-1) / self.std**2
        norm = (2 * math.pi * self.std**2) ** (self.dim / 2)
        return (torch.exp(-squared / 2) / norm) @ (weights / weights.sum()).to(x)


def mixture_1d(
    centers: tuple[float, ...] = (-2.0, 2.0),
    std: float = 0.5,
    weights: tuple[float, ...] | None = None,
) -> Mixture:
    """A mixture on the line; the default has two humps."""
    weights = None if weights is None else torch.tensor(weights)
    return Mixture(torch.tensor(centers)[:, None], std, weights)


def ring(modes: int = 8, radius: float = 2.0, std: float = 0.02) -> Mixture:
    """Gaussians evenly on a circle (Metz et al. 2017, "ring of 8 Gaussians")."""
    _demand_whole("modes", modes)
    angle = torch.arange(modes) * (2 * math.pi / modes)
    return Mixture(radius * torch.stack([angle.cos(), angle.sin()], 1), std)


def grid(side: int = 5, spacing: float = 1.0, std: float = 0.05) -> Mixture:
    """side x side Gaussians; 5 x 5 is the "grid of 25"."""
    _demand_whole("side", side, most=1000)
    line = (torch.arange(side) - (side - 1) / 2) * spacing
    return Mixture(torch.cartesian_prod(line, line), std)


def spirals(arms: int = 2, turns: float = 1.0, std: float = 0.05) -> Mixture:
    """Points along `arms` interleaved spirals of outer radius 2."""
    _demand_whole("arms", arms)
    t = torch.linspace(0.15, 1, 100).sqrt()
    angle = (
        turns * 2 * math.pi * t[None] + torch.arange(arms)[:, None] * 2 * math.pi / arms
    )
    points = 2 * t[None, :, None] * torch.stack([angle.cos(), angle.sin()], -1)
    return Mixture(points.reshape(-1, 2), std)


def moons(std: float = 0.05) -> Mixture:
    """Points along two interleaved half circles of radius 1.3."""
    angle = torch.linspace(0, math.pi, 60)
    arc = 1.3 * torch.stack([angle.cos(), angle.sin()], 1)
    shift = torch.tensor([0.65, 0.325])
    return Mixture(torch.cat([arc - shift, shift - arc]), std)


def drawn(points: Tensor | np.ndarray | list, std: float = 0.05) -> Mixture:
    """Your own density: a small Gaussian at each of the points (K, 2) you drew."""
    try:
        points = torch.as_tensor(points, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        points = torch.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise GancourseError(
            "A drawn density needs points of shape (K, 2) with K at least 1, got "
            f"{tuple(points.shape)}. Draw something, or use data.ring()."
        )
    if not points.isfinite().all():
        raise GancourseError("Some drawn points are not finite. Remove them first.")
    return Mixture(points, std)


# ------------------------------------------------------------------ batches


class Batches:
    """An endless sequence: batches[k] is a function of (seed, k) alone."""

    def __init__(
        self, data, size: int, seed: int = 0, device: str | torch.device = "cpu"
    ):
        device = _device(device)
        if not isinstance(data, Mixture):
            parts = _parts(data)
            _check_finite(parts)
            data = tuple(part.to(device) for part in parts)
        _check_size(size, None if isinstance(data, Mixture) else len(data[0]))
        self.single = isinstance(data, Mixture) or len(data) == 1
        self.data, self.size, self.seed = data, size, seed
        self.device = device
        self._epoch, self._order = None, None

    def __getitem__(self, k: int):
        if isinstance(self.data, Mixture):
            rng = torch.Generator().manual_seed(_mix(self.seed, k))
            return self.data.sample(self.size, rng).to(self.device)
        per_epoch = len(self.data[0]) // self.size  # the short last batch is dropped
        epoch, position = divmod(k, per_epoch)
        if epoch != self._epoch:
            rng = torch.Generator().manual_seed(_mix(self.seed, epoch))
            order = torch.randperm(len(self.data[0]), generator=rng)
            self._epoch, self._order = epoch, order.to(self.device)
        index = self._order[position * self.size : (position + 1) * self.size]
        parts = tuple(_scaled(part[index]) for part in self.data)
        return parts[0] if self.single else parts


def batches(
    data, size: int, seed: int = 0, device: str | torch.device = "cpu"
) -> Batches:
    """batches(data, 64)[k]: the k-th batch of 64, on the device, uint8 made [-1, 1].

    `data` is a tensor (N, ...), a tuple of tensors of one length, or a Mixture. What
    is left of an epoch after its last full batch is dropped, other samples each time.
    """
    return Batches(data, size, seed, device)


def _mix(seed: int, k: int) -> int:
    """One 63-bit seed for the pair, hashed so that neighbours share nothing."""
    digest = hashlib.blake2b(f"{seed}/{k}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _device(name: str | torch.device) -> torch.device:
    """The device of this name, if a tensor with values can be put there."""
    try:
        torch.zeros(1, device=name).cpu()
        return torch.device(name)
    except Exception:  # each kind of device has an exception of its own
        raise GancourseError(
            f"There is no device {name!r} here, and nothing was started. Use 'cpu', or "
            "training.pick_device(), which finds one."
        ) from None


def _demand_whole(name: str, value: object, most: int = 10_000) -> None:
    if not whole(value, 1, most):
        raise GancourseError(
            f"{name} is {value!r}, but must be a whole number from 1 to {most:,}. "
            "Nothing was done. Change it and run again."
        )


def _scaled(part: Tensor) -> Tensor:
    return to_unit(part) if part.dtype == torch.uint8 else part


def _parts(data) -> tuple[Tensor, ...]:
    """The data as a tuple of tensors of one length."""
    try:
        parts = data if isinstance(data, tuple) else (data,)
        parts = tuple(torch.as_tensor(part) for part in parts)
        lengths = [len(part) for part in parts]
        if any(part.is_meta or part.layout != torch.strided for part in parts):
            lengths = []
    except (TypeError, ValueError, RuntimeError):
        lengths = []
    if not lengths:
        raise GancourseError(
            f"Batches are drawn from tensors, a tuple of them, or a density, not from "
            f"{type(data).__name__}. Pass e.g. data.digits().images or data.ring()."
        )
    if len(set(lengths)) > 1:
        raise GancourseError(
            f"The parts of the data differ in length: {lengths}. Nothing was trained. "
            "Give each sample all its parts."
        )
    return parts


def _check_size(size: int, n: int | None) -> None:
    """A batch has at least one sample and at most n (None: there is no end)."""
    whole = isinstance(size, int) and not isinstance(size, bool)
    if not whole or size < 1 or (n is not None and size > n):
        kind = "a density" if n is None else f"{n} samples"
        most = "" if n is None else f" and at most {n}"
        raise GancourseError(
            f"A batch of {size!r} cannot be drawn from {kind}. Choose a whole batch "
            f"size of at least 1{most}."
        )


def _check_finite(data: tuple[Tensor, ...]) -> None:
    for part in data:
        if part.is_floating_point() and not part.isfinite().all():
            bad = (~part.isfinite().reshape(len(part), -1).all(1)).nonzero()[0].item()
            raise GancourseError(
                f"The data hold a value that is not a number in sample {bad}. Nothing "
                "was trained. Remove that sample or repair it."
            )
