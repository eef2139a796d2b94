"""CMP façades (Tyleček & Šára 2013): photographs of houses with label maps, on request.

378 pictures whose parts were labelled by hand. They are not ours to embed: the base
set is fetched once from its authors' page and kept in the user's cache.
"""

import hashlib
import io
import os
import urllib.request
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gancourse import online, storage
from gancourse.errors import GancourseError

URL = "https://cmp.felk.cvut.cz/~tylecr1/facade/CMP_facade_DB_base.zip"
PAIRS, HELD_OUT, LABELS, SIDE = 378, 78, 12, 256
_OFFLINE = "Choose --data facades: those are painted here and need no network."


def load(split: str = "train") -> tuple[Tensor, Tensor]:
    """(label maps uint8 (N, 256, 256) of 0…11, photographs uint8 (N, 3, 256, 256)).

    `split` is "train" (300 houses) or "held-out" (the last 78, as its authors fold it).
    The first call downloads; without a network it says so within five seconds.
    """
    labels, pictures = _read(_file())
    part = slice(None, -HELD_OUT) if split == "train" else slice(-HELD_OUT, None)
    return labels[part], pictures[part]


def planes(labels: Tensor) -> Tensor:
    """Label maps (N, H, W) as a plane a label, (N, 12, H, W), ±1."""
    return 2.0 * one_hot(labels.long(), LABELS).permute(0, 3, 1, 2) - 1


def coloured(labels: Tensor) -> Tensor:
    """Label maps (N, H, W) as pictures uint8 (N, 3, H, W), a colour a label."""
    turn = torch.arange(LABELS)
    palette = torch.stack([255 - 20 * turn, 60 + 37 * turn % 190, 11 * turn + 90], 1)
    return palette.clamp(0, 255).byte()[labels.long()].permute(0, 3, 1, 2).contiguous()


def _file() -> Path:
    """The kept download, fetched first when it is not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    file = cache / "gancourse" / URL.rsplit("/", 1)[1]
    if file.is_file():
        return file
    if not online.answers(URL, 3.0):
        raise GancourseError(
            "The CMP façades need the internet once (their authors' server at "
            f"cmp.felk.cvut.cz did not answer), and nothing was started. {_OFFLINE}"
        )
    try:
        with urllib.request.urlopen(URL, timeout=30) as answer:
            content = answer.read()
        _check(content, file)
        file.parent.mkdir(parents=True, exist_ok=True)
        storage.write_atomically(file, content)
        digest = hashlib.sha256(content).hexdigest()
        storage.write_atomically(_digest(file), digest.encode())
    except OSError as error:  # a cut connection, a full disk
        raise GancourseError(
            f"The CMP façades could not be kept ({type(error).__name__}), and nothing "
            f"was started. Run it again, or: {_OFFLINE}"
        ) from None
    return file


def _digest(file: Path) -> Path:
    return file.with_suffix(".sha256")


def _check(content: bytes, file: Path) -> None:
    """Its authors publish no checksum: what can be checked is that all of it is there.

    A zip names the CRC of each member; the digest of what passed is kept beside it, so
    later damage is noticed.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            whole = archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError):
        names, whole = [], False
    counts = [sum(n.endswith(end) for n in names) for end in (".jpg", ".png")]
    if not whole or counts != [PAIRS, PAIRS]:
        raise _damaged(file)


def _damaged(file: Path) -> GancourseError:
    return GancourseError(
        f"The CMP façades in {file} are not whole, and nothing was started. Delete "
        f"that file and run again, or: {_OFFLINE}"
    )


@lru_cache(maxsize=1)
def _read(file: Path) -> tuple[Tensor, Tensor]:
    """All label maps and photographs of the archive, by name, at 256 × 256."""
    from PIL import Image

    content = file.read_bytes()
    kept = _digest(file)
    known = kept.read_text().strip() if kept.is_file() else None
    if known != hashlib.sha256(content).hexdigest():
        _check(content, file)
    labels, pictures = [], []
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in sorted(n for n in archive.namelist() if n.endswith(".png")):
                truth = Image.open(io.BytesIO(archive.read(name)))
                photo = Image.open(io.BytesIO(archive.read(name[:-3] + "jpg")))
                labels.append(_square(truth, Image.Resampling.NEAREST))
                pictures.append(_square(photo.convert("RGB"), Image.Resampling.BICUBIC))
    except (OSError, KeyError, zipfile.BadZipFile):
        raise _damaged(file) from None
    maps = torch.from_numpy(np.stack(labels)).int() - 1  # the file counts from 1
    if maps.min() < 0 or maps.max() >= LABELS:
        raise _damaged(file)
    photos = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    return maps.byte(), photos


def _square(image, how) -> np.ndarray:
    """The picture at 256 × 256, its sides squeezed as pix2pix does."""
    return np.array(image.resize((SIDE, SIDE), how))
