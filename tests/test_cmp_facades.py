"""Real façades on request: fetched whole, read right, or refused in a sentence."""

import io
import time
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from gancourse import cmp_facades
from gancourse.errors import GancourseError


def archive(pairs: int = cmp_facades.PAIRS) -> bytes:
    """A zip as the authors': photographs of any size, label maps that count from 1."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as found:
        for k in range(1, pairs + 1):
            truth = np.full((6, 9), 1 + k % cmp_facades.LABELS, np.uint8)
            photo = np.full((6, 9, 3), (k % 256, 0, 255), np.uint8)
            for picture, end in ((truth, "png"), (photo, "jpg")):
                file = io.BytesIO()
                image = Image.fromarray(picture)
                if end == "png":
                    image = image.convert("P")
                    image.putdata(picture.flatten().tolist())
                image.save(file, {"png": "PNG", "jpg": "JPEG"}[end])
                found.writestr(f"base/cmp_b{k:04d}.{end}", file.getvalue())
            found.writestr(f"base/cmp_b{k:04d}.xml", "<object/>")
    return buffer.getvalue()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The authors' page, on this disk; the cache is empty."""
    file = tmp_path / "there" / "CMP_facade_DB_base.zip"
    file.parent.mkdir()
    monkeypatch.setattr(cmp_facades, "URL", file.as_uri())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cmp_facades._read.cache_clear()
    return file


def kept(tmp_path):
    return tmp_path / "cache" / "gancourse" / "CMP_facade_DB_base.zip"


def test_pairs_are_fetched_once_scaled_and_split_by_house(server, tmp_path):
    server.write_bytes(archive())
    labels, pictures = cmp_facades.load("train")
    held_labels, held = cmp_facades.load("held-out")
    assert labels.shape == (300, 256, 256) and pictures.shape == (300, 3, 256, 256)
    assert len(held_labels) == len(held) == 78
    assert labels.dtype == pictures.dtype == torch.uint8
    # house k (from 1) has the label k % 12, counted from 0, and red k % 256
    assert labels[:14, 0, 0].tolist() == [k % 12 for k in range(1, 15)]
    assert (
        pictures[9].float().mean((1, 2)) - torch.tensor([10, 0, 255])
    ).abs().max() < 4
    assert held_labels[0, 0, 0] == 301 % 12
    server.unlink()
    cmp_facades._read.cache_clear()
    assert torch.equal(cmp_facades.load("train")[0], labels)  # no network any more
    assert cmp_facades.coloured(labels[:3]).shape == (3, 3, 256, 256)


def test_a_plane_for_each_label():
    labels = torch.tensor([[[0, 11], [1, 1]]])
    planes = cmp_facades.planes(labels)
    assert planes.shape == (1, 12, 2, 2) and set(planes.unique().tolist()) == {-1, 1}
    assert torch.equal(planes.argmax(1), labels) and (planes.sum(1) == -10).all()


@pytest.mark.parametrize("damage", ["cut", "flipped", "a page", "too few"])
def test_what_is_not_whole_is_never_kept(damage, server, tmp_path):
    whole = archive(300 if damage == "too few" else cmp_facades.PAIRS)
    middle = len(whole) // 2
    server.write_bytes({
        "cut": whole[:middle],
        "flipped": whole[:60] + bytes([whole[60] ^ 255]) + whole[61:],
        "a page": b"<html>moved</html>",
        "too few": whole,
    }[damage])  # fmt: skip
    with pytest.raises(GancourseError, match=r"not whole.*Choose --data facades"):
        cmp_facades.load()
    assert not kept(tmp_path).exists()


def test_later_damage_is_noticed(server, tmp_path):
    server.write_bytes(archive())
    cmp_facades.load()
    cmp_facades._read.cache_clear()
    content = bytearray(kept(tmp_path).read_bytes())
    content[60] ^= 255
    kept(tmp_path).write_bytes(content)
    with pytest.raises(GancourseError, match="Delete"):
        cmp_facades.load()


@pytest.mark.parametrize(
    "url",
    ["http://192.0.2.1/a.zip", "https://nowhere.invalid/a.zip", "file:///no/a.zip"],
)
def test_without_a_network_a_sentence_comes_within_five_seconds(
    url, server, monkeypatch, tmp_path
):
    monkeypatch.setattr(cmp_facades, "URL", url)
    began = time.monotonic()
    with pytest.raises(
        GancourseError, match=r"need the internet.*Choose --data facades"
    ):
        cmp_facades.load()
    assert time.monotonic() - began < 5
    assert not (tmp_path / "cache").exists()
