"""CMP façades (Tyleček & Šára 2013): photographs of houses with label maps, on request.

378 pictures whose parts were labelled by hand. They are not ours to embed: the base
set is fetched once from its authors' page and kept in the user's cache.
"""

import contextlib
import hashlib
import io
import stat
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gancourse import online, storage
from gancourse.errors import GancourseError
from gancourse.images import MOST_PIXELS

URL = "https://cmp.felk.cvut.cz/~tylecr1/facade/CMP_facade_DB_base.zip"
PAIRS, HELD_OUT, LABELS, SIDE = 378, 78, 12, 256
MOST = 100_000_000  # bytes of the archive, which has about a third of that
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
    name = URL.rsplit("/", 1)[1]
    if file := online.kept(name):
        return file
    what = "The CMP façades (from their authors' server) need the internet"
    content = online.fetch(URL, MOST, _is_whole, what, _OFFLINE)
    file = online.keep(name, content)
    digest = hashlib.sha256(content).hexdigest()
    with contextlib.suppress(OSError):  # without it the whole file is checked again
        storage.write_atomically(_digest(file), digest.encode())
    return file


def _digest(file: Path) -> Path:
    return file.with_suffix(".sha256")


def _is_whole(content: bytes) -> bool:
    """Whether it is the archive of 378 pairs, all of it there, and nothing else in it.

    Its authors publish no checksum, but a zip names the CRC of each member. The digest
    of what passed is kept beside it, so later damage is noticed.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            ends = [entry.filename[-4:] for entry in entries]
            return (
                [ends.count(".jpg"), ends.count(".png")] == [PAIRS, PAIRS]
                and len(entries) <= 4 * PAIRS
                and all(map(_is_plain, entries))
                and sum(entry.file_size for entry in entries) <= 4 * MOST
                and archive.testzip() is None
            )
    except Exception:  # zipfile raises whatever the bytes make it do
        return False


def _is_plain(entry: zipfile.ZipInfo) -> bool:
    """A file or a folder inside the archive: no link, no way out of it, no password."""
    parts = entry.filename.replace("\\", "/").split("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return (
        parts[0] != ""
        and ".." not in parts
        and ":" not in entry.filename
        and kind in (0, stat.S_IFREG, stat.S_IFDIR)
        and not entry.flag_bits & 1
    )


def _damaged(file: Path) -> GancourseError:
    return GancourseError(
        f"The CMP façades in {storage.shown(file)} are not whole, and nothing was "
        f"started. Delete that file and run again, or: {_OFFLINE}"
    )


@lru_cache(maxsize=1)
def _read(file: Path) -> tuple[Tensor, Tensor]:
    """All label maps and photographs of the archive, by name, at 256 × 256."""
    content = file.read_bytes()
    kept = _digest(file)
    known = kept.read_text(errors="replace").strip() if kept.is_file() else None
    if known != hashlib.sha256(content).hexdigest() and not _is_whole(content):
        raise _damaged(file)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = sorted(n for n in archive.namelist() if n.endswith(".png"))
            labels = [_square(archive, name, "P") for name in names]
            pictures = [_square(archive, f"{name[:-3]}jpg", "RGB") for name in names]
    except Exception:  # decoders raise whatever the bytes make them do
        raise _damaged(file) from None
    maps = torch.from_numpy(np.stack(labels)).int() - 1  # the file counts from 1
    if maps.min() < 0 or maps.max() >= LABELS:
        raise _damaged(file)
    photos = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    return maps.byte(), photos


def _square(archive: zipfile.ZipFile, name: str, mode: str) -> np.ndarray:
    """A picture at 256 × 256, its sides squeezed as pix2pix does; mode P: labels."""
    from PIL import Image

    image = Image.open(io.BytesIO(archive.read(name)), formats=("PNG", "JPEG"))
    is_map = mode == "P"
    if image.size[0] * image.size[1] > MOST_PIXELS:
        raise ValueError(f"{name} is too large")
    if is_map and image.mode not in ("P", "L"):
        raise ValueError(f"{name} holds no label numbers")
    how = Image.Resampling.NEAREST if is_map else Image.Resampling.BICUBIC
    image = image if is_map else image.convert(mode)
    return np.array(image.resize((SIDE, SIDE), how))
