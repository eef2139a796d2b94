"""Picture files of other people: read upright as RGB, or refused in one sentence.

Pillow opens seventy formats and takes most bytes as they come: it drops transparency,
clips 16 bits, ignores how the camera was held, and unpacks a small file into gigabytes.
What is done instead, each line held by a test (reliability, part C):

    empty, text, HEIC, cut or damaged file    named for what it is
    more than 25 million pixels               a JPEG is read at 1/2, 1/4 or 1/8; else no
    transparency                              put on white
    16 bits, floats                           scaled to 8 bits
    palette, grey, CMYK                       the colours that one sees
    EXIF orientation                          upright
    animation, several pages                  the first one
"""

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gancourse import storage
from gancourse.errors import GancourseError
from gancourse.settings import whole

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MOST_PIXELS = 25_000_000


def read_image(
    path: str | Path,
    size: int | None = None,
    least: int = 1,
    say: Callable[[str], None] = print,
) -> Tensor:
    """A picture file as uint8 (3, H, W), upright, its longer side scaled to `size`.

    What had to be decided for you (transparency, frames, scale) is said by `say`, in a
    sentence each. Raises GancourseError for what is no picture, or has a side of fewer
    than `least` pixels.
    """
    from PIL import Image

    if size is not None and not whole(size, 1, MOST_PIXELS**0.5):
        raise GancourseError(
            f"size is {size!r}, but must be a whole number of pixels from 1 to "
            f"{int(MOST_PIXELS**0.5):,}. Nothing was read. Choose such a size."
        )
    file, notes = _find(path), []
    content = _content(file)
    try:
        with warnings.catch_warnings():  # sizes are checked here, not by Pillow
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
                _check_size(opened, file.name, least, notes)
                image = _as_rgb(_upright(opened), file.name, notes)
    except GancourseError:
        raise
    except Image.DecompressionBombError:  # Pillow's own limit, 179 million
        raise _too_large(file.name, "more than 179 million") from None
    except Exception as error:  # decoders raise whatever the bytes make them do
        raise _unreadable(file.name, content, error) from None
    if size is not None:
        image = _scaled(image, size, least, file.name)
    for note in notes:
        say(f"{file.name[-60:]}: {note}.")
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)


def write_image(image: Tensor, path: str | Path) -> None:
    """Write uint8 (3, H, W) as .png, .jpg, .jpeg or .webp, whole or not at all."""
    from PIL import Image

    if (
        not isinstance(image, Tensor)
        or image.dtype != torch.uint8
        or image.ndim != 3
        or image.shape[0] != 3
        or not image.numel()
        or image.is_meta
    ):
        got = getattr(image, "dtype", type(image).__name__)
        shape = f" {tuple(image.shape)}" if isinstance(image, Tensor) else ""
        raise GancourseError(
            f"A picture is written from uint8 (3, H, W), not from {got}{shape}. "
            "Nothing was written. Use data.to_uint8 for floats in [-1, 1]."
        )
    path, buffer = storage.absolute(path), io.BytesIO()
    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    picture = Image.fromarray(image.permute(1, 2, 0).cpu().numpy())
    picture.save(buffer, kinds[check_ending(path)], quality=92)
    storage.write_or_say(path, buffer.getvalue())


def check_ending(path: Path) -> str:
    """The ending of a file that `write_image` can write, in lower case."""
    ending = path.suffix.lower()
    if ending not in (".png", ".jpg", ".jpeg", ".webp"):
        raise GancourseError(
            f"'{path.name[-60:]}' must end in .png, .jpg or .webp. Nothing was done. "
            "Choose such a name for the result."
        )
    return ending


# ------------------------------------------------------------------ the file


def _find(path: str | Path) -> Path:
    if not isinstance(path, str | Path):
        raise GancourseError(
            f"A picture is read from a file, not from a {type(path).__name__}. Nothing "
            "was read. Give the path of the file."
        )
    if "://" in str(path):
        raise GancourseError(
            f"'{str(path)[:80]}' is an address on the web, not a file. Nothing was "
            "fetched. Save the picture first, then give the path of that file."
        )
    file = storage.absolute(path)
    if file.is_file():
        return file
    there = "is no plain file" if file.exists() else "does not exist"
    kind = "is a folder" if file.is_dir() else there
    raise GancourseError(
        f"'{str(file)[-200:]}' {kind}; a picture file was "
        "expected. Check the spelling. Give the full path when in doubt."
    )


def _content(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise GancourseError(
            f"'{file.name[-60:]}' cannot be read: {error.strerror}. Check who may "
            "read it, or make a copy of your own."
        ) from None
    if not content:
        raise GancourseError(
            f"'{file.name[-60:]}' is empty (0 bytes). Save or download it again."
        )
    return content


_KINDS = [  # where, which bytes, what it is
    (0, (b"GIF8",), None),  # cut off, though it may look like text
    (0, (b"%PDF",), "a PDF document"),
    (0, (b"%!PS", b"\xc5\xd0\xd3\xc6"), "a PostScript file"),
    (0, (b"8BPS",), "a Photoshop file"),
    (0, (b"SIMPLE  =",), "a FITS file"),
    (0, (b"\0\0\1\0",), "an icon"),
    (0, (b"PK\3\4",), "a zip file"),
    (8, (b"heic", b"heix", b"hevc", b"mif1", b"msf1"), "a HEIC photograph"),
    (8, (b"avif", b"avis"), "an AVIF picture"),
]


def _kind(content: bytes) -> str | None:
    """What the bytes are, where they are no picture of the six formats."""
    head = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    for where, marks, kind in _KINDS:
        if content[where:].startswith(marks) and (
            where == 0 or content[4:8] == b"ftyp"
        ):
            return kind
    if b"<svg" in head.lower():
        return "an SVG drawing"
    if head.lower().startswith((b"<!doc", b"<html", b"<head", b"<?xml")):
        return "a web page"
    try:
        text = head[:1000].decode()
    except UnicodeDecodeError as error:
        text = head[: error.start].decode() if error.start > 900 else "\0"
    return "text" if "\0" not in text and (text.isprintable() or "\n" in text) else None


def _unreadable(name: str, content: bytes, error: Exception) -> GancourseError:
    kind, cure = _kind(content), "Save it as PNG or JPEG and try again."
    if kind == "a HEIC photograph":
        cure = (
            "Save it as JPEG (Photos: Export; iPhone: Settings, Camera, Formats, Most "
            "Compatible) and try again."
        )
    if kind is not None:
        what = f"is {kind}, not a picture in PNG, JPEG, WEBP, GIF, BMP or TIFF"
    else:
        what = f"could not be read as a picture ({type(error).__name__})"
        cure = "It may be cut off or damaged. Save it again as PNG or JPEG."
    return GancourseError(f"'{name[-60:]}' {what}. Nothing was changed. {cure}")


# ------------------------------------------------------------------ the picture


def _check_size(image, name: str, least: int, notes: list[str]) -> None:
    """Refuse before anything is unpacked; a JPEG can unpack at a part of its size."""
    width, height = image.size
    if min(width, height) < least:
        raise _too_small(name, width, height, least)
    if image.format in ("JPEG", "MPO"):
        for part in (2, 4, 8):
            if image.size[0] * image.size[1] > MOST_PIXELS:
                image.draft(None, (-(-width // part), -(-height // part)))
                millions = round(width * height / 1e6)
                notes[:] = [f"{millions} million pixels, read at 1/{part} of its size"]
    if image.size[0] * image.size[1] > MOST_PIXELS:
        raise _too_large(name, f"{width:,} x {height:,}")


def _too_large(name: str, pixels: str) -> GancourseError:
    return GancourseError(
        f"'{name[-60:]}' says it has {pixels} pixels; at most "
        f"{MOST_PIXELS // 10**6} million are unpacked here. Nothing was changed. Make "
        "it smaller first."
    )


def _too_small(name: str, width: int, height: int, least: int) -> GancourseError:
    return GancourseError(
        f"'{name[-60:]}' is too small: {width} x {height} pixels, at least {least} x "
        f"{least} are needed. Nothing was changed. Choose a larger picture."
    )


def _upright(image):
    """The first frame, decoded whole, turned as the camera was held."""
    from PIL import ImageOps

    frames = getattr(image, "is_animated", False) and image.format != "MPO"
    image.seek(0)
    image.load()
    try:
        turned = ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block is no reason to lose the picture
        turned = image.copy()
    turned.info["several"] = frames
    return turned


def _as_rgb(image, name: str, notes: list[str]):
    """Any mode as RGB: what one would see on a white page."""
    from PIL import Image

    if image.info.get("several"):
        notes.append("of its several frames or pages, the first was taken")
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_grey(np.asarray(image), name)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] < 255:
            notes.append("its transparent parts were put on white")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _grey(values: np.ndarray, name: str) -> np.ndarray:
    """Whole numbers 0…65535, or floats 0…1, 0…255 or 0…65535, as uint8."""
    whole = np.issubdtype(values.dtype, np.integer)
    values = values.astype(np.float64)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 65535):  # also when a value is no number at all
        raise GancourseError(
            f"'{name[-60:]}' holds numbers that are no grey values (from {low:.4g} to "
            f"{high:.4g}). Nothing was changed. Save it with values from 0 to 255."
        )
    white = 65535 if whole or high > 255 else 255 if high > 1 else 1
    return (values * (255 / white)).round().astype(np.uint8)


def _scaled(image, size: int, least: int, name: str):
    from PIL import Image

    scale = size / max(image.size)
    shape = [max(1, round(side * scale)) for side in image.size]
    if min(shape) < least:
        raise _too_small(f"{name} at {size} pixels", *shape, least)
    return image.resize(shape, Image.Resampling.LANCZOS)
