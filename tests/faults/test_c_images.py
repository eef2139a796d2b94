"""Part C of the fault list: pictures of other people.

| row | where it is tested |
| --- | --- |
| C1, C5 … C9, C11, C13 … C15, C18 | tests/test_images.py, by their numbers |
| C2 | tests/test_images.py; here: forty more kinds of bytes |
| C3 | tests/test_images.py: 50 lengths of six formats; here: every length, small |
| C4 | tests/test_images.py; here: 500 flips of each format, two seconds each |
| C10 | tests/test_images.py: grey; here: colour and alpha of 16 bits |
| C12 | tests/test_images.py; here: palettes and greys of 1, 2, 4 and 8 bits |
| C16 | tests/test_images.py; here: each format under each ending |
| C17 | tests/test_images.py; here: every other format that Pillow writes |
| C19 | tests/test_images.py; here: what else is no path to a picture |
| C20 | tests/test_style.py: c20; here: more tensors, and what `write_image` is given |
"""

import io
import os
import random
import zlib

import numpy as np
import pytest
import torch
from counts import count
from limits import limit, percentile_95
from PIL import Image
from test_images import PHOTO, encoded

from gancourse import images, style
from gancourse.errors import GancourseError
from gancourse.images import read_image, write_image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


@pytest.fixture
def read(tmp_path):
    """Write bytes under a name, read them as a picture, in at most two seconds."""

    def reader(content: bytes, name: str = "cat.png", taken=None):
        (tmp_path / name).write_bytes(content)
        with limit(2, taken):
            return read_image(tmp_path / name, say=lambda _: None)

    return reader


# ------------------------------------------------------------------ C2 other bytes

ftyp = b"\0\0\0\x18ftyp"
NO_PICTURES = {
    "HEIC": (ftyp + b"heic\0\0\0\0mif1heic", "a HEIC photograph"),
    "HEIC, ten bits": (ftyp + b"heix\0\0\0\0mif1heix", "a HEIC photograph"),
    "HEIC, a series": (ftyp + b"hevc\0\0\0\0msf1hevc", "a HEIC photograph"),
    "HEIF": (ftyp + b"mif1\0\0\0\0mif1", "a HEIC photograph"),
    "AVIF": (ftyp + b"avif\0\0\0\0avifmif1", "an AVIF picture"),
    "AVIF, a series": (ftyp + b"avis\0\0\0\0avis", "an AVIF picture"),
    "a film": (ftyp + b"isom" + bytes(50), "could not be read"),
    "a film of a phone": (b"\0\0\0\x14ftypqt  " + bytes(50), "could not be read"),
    "a film of the web": (b"\x1aE\xdf\xa3" + bytes(40), "could not be read"),
    "JPEG XL": (b"\xff\x0a" + bytes(20), "could not be read"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(20), "could not be read"),
    "a raw photograph": (b"II*\0\x10\0\0\0CR\2\0" + bytes(30), "could not be read"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
    "PostScript": (b"%!PS-Adobe-3.0\n", "a PostScript file"),
    "PostScript of DOS": (b"\xc5\xd0\xd3\xc6" + bytes(30), "a PostScript file"),
    "Photoshop": (b"8BPS\0\1" + bytes(40), "a Photoshop file"),
    "FITS": (b"SIMPLE  =        T", "a FITS file"),
    "an icon": (b"\0\0\1\0\1\0" + bytes(30), "an icon"),
    "a document": (b"PK\3\4" + bytes(50), "a zip file"),
    "a web page": (b"<!DOCTYPE html><title>403 Forbidden</title>", "a web page"),
    "a web page, BOM": (b"\xef\xbb\xbf<html><body>", "a web page"),
    "a web page, blank lines": (b"\n\n  <HTML>", "a web page"),
    "XML": (b"<?xml version='1.0'?><a/>", "a web page"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    "SVG in XML": (b"<?xml version='1.0'?>\n<svg/>", "an SVG drawing"),
    "half a page": (b"<p>403</p>", "text"),
    "text": (b"Dear cat,\n", "text"),
    "text, two thousand umlauts": (("ä" * 2000).encode(), "text"),
    "text of Windows": ("Liebe Grüße".encode("latin-1"), "could not be read"),
    "text, 16 bits": ("cat".encode("utf-16"), "could not be read"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "text"),
    "base 64": (b"iVBORw0KGgoAAAANSUhEUg==", "text"),
    "a table": (b"a,b\n1,2\n", "text"),
    "JSON": (b'{"cat": 1}', "text"),
    "RTF": (b"{\\rtf1 hello}", "text"),
    "zeros": (bytes(5000), "could not be read"),
    "ones": (b"\xff" * 5000, "could not be read"),
    "noise": (np.random.default_rng(1).bytes(5000), "could not be read"),
    "a program": (b"\x7fELF" + bytes(100), "could not be read"),
    "gzip": (b"\x1f\x8b\x08" + bytes(30), "could not be read"),
    "a pickle": (b"\x80\x04K\x01.", "could not be read"),
    "sound": (b"RIFF\x24\0\0\0WAVEfmt ", "could not be read"),
    "an array": (b"\x93NUMPY\1\0v\0{'descr'", "could not be read"),
    "one byte": (b"\x89", "could not be read"),
    "a PNG's first bytes": (b"\x89PNG\r\n\x1a\n", "could not be read"),
    "a PNG sent as text": (b"\x89PNG\n\x1a\n" + bytes(40), "could not be read"),
    "a JPEG's first bytes": (b"\xff\xd8\xff\xe0", "could not be read"),
    "a GIF's first bytes": (b"GIF89a", "could not be read"),
    "a BMP's first bytes": (b"BM" + bytes(12), "could not be read"),
    "a TIFF's first bytes": (b"MM\0*\0\0\0\x08", "could not be read"),
    "a TIFF that is a circle": (b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "could not be read"),
    "a WEBP's first bytes": (b"RIFF\x1a\0\0\0WEBPVP8L", "could not be read"),
}


@pytest.mark.parametrize("kind", NO_PICTURES)
def test_c2_what_is_no_picture_is_named(kind, read, assert_clear):
    content, words = NO_PICTURES[kind]
    with pytest.raises(GancourseError) as caught:
        read(content)
    assert_clear(caught.value, "cat.png", words)
    count("C2", "bad inputs", 1)


# ------------------------------------------------------------------ C3, C4 damage


def small(kind: str) -> bytes:
    return encoded(Image.open(io.BytesIO(PHOTO)).resize((30, 20)), kind)


@pytest.mark.full
@pytest.mark.parametrize("kind", FORMATS)
def test_c3_a_picture_cut_at_any_byte_is_refused(kind, read, assert_clear):
    """But for the last bytes, after which nothing of the picture comes."""
    whole, taken = small(kind), []
    expected = read(whole)
    for length in range(1, len(whole) - 1):
        try:
            assert torch.equal(read(whole[:length], taken=taken), expected)
            assert length > 0.95 * len(whole), length
        except GancourseError as error:
            assert_clear(error, "cat.png")
    assert percentile_95(taken) < 2
    count("C3", "cut pictures", len(taken))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "flips", [pytest.param(30, id="short"), pytest.param(500, marks=pytest.mark.full)]
)
def test_c4_flipped_bytes_give_a_picture_or_a_sentence_within_two_seconds(
    kind, flips, read, assert_clear
):
    whole, rng, taken = small(kind), random.Random(kind), []
    for _ in range(flips):
        broken = bytearray(whole)
        for _ in range(rng.choice((1, 1, 3, 20))):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            image = read(bytes(broken), taken=taken)
            assert image.dtype == torch.uint8 and image.shape[0] == 3
        except GancourseError as error:
            assert_clear(error, "cat.png")
    assert percentile_95(taken) < 2
    count("C4", "damaged pictures", flips)


# ------------------------------------------------------------------ C10, C12 depths


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more) -> bytes:
    """A PNG from its rows as they are packed (colour: 0 grey, 2 RGB, 3 palette)."""

    def chunk(name: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(name + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + name + content + crc

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    header += bytes([depth, colour, 0, 0, 0])
    length = len(rows) // height
    lines = b"".join(b"\0" + rows[k * length : (k + 1) * length] for k in range(height))
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


@pytest.mark.parametrize(("colour", "samples"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_c10_a_ramp_of_16_bits_stays_a_ramp_in_every_kind_of_png(colour, samples, read):
    ramp = np.linspace(0, 65535, 256).astype(">u2")[None, :, None]
    pixels = np.repeat(ramp, samples, 2)
    if colour in (4, 6):
        pixels[..., -1] = 65535  # nothing shines through
    image = read(png(256, 1, 16, colour, pixels.tobytes()))
    for channel in image:
        assert (channel[0].int() - torch.arange(256)).abs().max() <= 1


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", ["grey", "palette"])
def test_c12_few_bits_give_the_colours_one_sees(depth, kind, read):
    width, top = 8 // depth * 2, 2**depth - 1
    last = b"\xff" if depth < 8 else b"\0\xff"  # ends in the brightest, last colour
    rows = last.rjust(width * depth // 8, b"\0")
    if kind == "grey":
        image, expected = read(png(width, 1, depth, 0, rows)), [255, 255, 255]
    else:
        colours = bytes([9, 9, 9]) * top + bytes([250, 120, 10])
        palette = (b"PLTE", colours)
        image, expected = read(png(width, 1, depth, 3, rows, palette)), [250, 120, 10]
    assert image[:, 0, -1].tolist() == expected
    assert image[:, 0, 0].tolist() == ([0] * 3 if kind == "grey" else [9] * 3)


# ------------------------------------------------------------------ C16, C17 formats


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "bmp", "tiff", "txt"])
def test_c16_content_counts_and_not_the_ending(kind, ending, read):
    grey = Image.new("L", (40, 30), 77)
    assert read(encoded(grey, kind), f"cat.{ending}").unique().tolist() == [77]


def others() -> list[str]:
    Image.init()
    return sorted(set(Image.SAVE) - {*FORMATS, "MPO"})


@pytest.mark.parametrize("kind", others())
def test_c17_every_other_format_of_pillow_is_refused(kind, read, assert_clear):
    for mode in ("RGB", "L", "1", "P", "RGBA", "F"):
        try:
            content = encoded(Image.new(mode, (64, 64)), kind)
        except Exception:
            continue
        break
    else:
        pytest.skip("cannot be written here")
    with pytest.raises(GancourseError) as caught:
        read(content)
    assert_clear(caught.value, "cat.png")
    count("C17", "bad inputs", 1)


# ------------------------------------------------------------------ C19, C20 no picture

PATHS = {
    "nothing": None,
    "a number": 3,
    "a truth value": True,
    "bytes": b"cat.png",
    "a list": ["cat.png"],
    "an array": np.zeros((40, 40, 3)),
    "a tensor": torch.zeros(3, 40, 40),
    "a picture of Pillow's": Image.new("RGB", (40, 40)),
    "an open file": io.BytesIO(b"x"),
    "an object": object(),
    "an empty name": "",
    "a space at the end": "cat.png ",
    "quotes": '"cat.png"',
    "a zero byte": "a\0b",
    "a name of 300 letters": "x" * 300,
    "a name of 5000 letters": "x" * 5000,
    "a path of Windows": "C:\\Users\\cat.png",
    "another user": "~nobodyhere/cat.png",
    "the folder above": "..",
    "a device": "/dev/zero",
    "nowhere": "/dev/null",
    "a pipe": "pipe",
    "a link to itself": "circle",
    "a link to nothing": "dangling",
    "an address": "https://example.org/cat.png",
    "an address of a file": "file:///etc/passwd",
    "an address that is data": "data:image/png;base64,AAAA",
}


@pytest.mark.parametrize("what", PATHS)
def test_c19_what_is_no_path_to_a_picture_is_named(
    what, tmp_path, monkeypatch, assert_clear
):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.symlink("circle", "circle")
    os.symlink("gone", "dangling")
    with limit(2), pytest.raises(GancourseError) as caught:
        read_image(PATHS[what])
    assert_clear(caught.value)
    count("C19", "bad inputs", 1)


@pytest.mark.parametrize("size", [0, -1, 2.5, "40", True, float("nan"), 10**9])
def test_c19_a_size_that_is_none_is_named(size, tmp_path, assert_clear):
    Image.new("RGB", (40, 40)).save(tmp_path / "cat.png")
    with limit(2), pytest.raises(GancourseError) as caught:
        read_image(tmp_path / "cat.png", size)
    assert_clear(caught.value, "size", repr(size))
    count("C19", "bad inputs", 1)


Z = torch.zeros
NO_TENSORS = {
    "a list": [[1.0]],
    "a path": "cat.png",
    "nothing": None,
    "no dimension": Z(()),
    "one dimension": Z(3),
    "five dimensions": Z(1, 1, 3, 40, 40),
    "no pixel": Z(3, 0, 0),
    "an empty batch": Z(0, 3, 40, 40),
    "two channels": Z(2, 40, 40),
    "truth values": Z(3, 40, 40).bool(),
    "complex numbers": Z(3, 40, 40) + 1j,
    "no data": Z(3, 40, 40, device="meta"),
    "sparse": Z(3, 40, 40).to_sparse(),
    "a parameter": torch.nn.Parameter(Z(3, 40, 40)),
    "below -1": torch.full((3, 40, 40), -2.0),
    "colours last, uint8": Z(40, 40, 3).byte(),
    "minus infinity": torch.full((3, 40, 40), -torch.inf),
}


@pytest.mark.parametrize("what", NO_TENSORS)
def test_c20_a_tensor_that_is_no_picture_is_named(what, assert_clear):
    with limit(2), pytest.raises(GancourseError) as caught:
        style.picture(NO_TENSORS[what], "the content")
    assert_clear(caught.value, "The content")
    count("C20", "bad inputs", 1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_c20_floats_of_any_width_and_order_are_pictures(dtype):
    image = Z(40, 40, 3, dtype=dtype).permute(2, 0, 1)
    assert style.picture(image).dtype == torch.float32


NOT_TO_WRITE = {
    "floats": Z(3, 8, 8),
    "colours last": Z(8, 8, 3).byte(),
    "a batch": Z(1, 3, 8, 8).byte(),
    "grey": Z(1, 8, 8).byte(),
    "four channels": Z(4, 8, 8).byte(),
    "a plane": Z(8, 8).byte(),
    "an array": np.zeros((3, 8, 8), np.uint8),
    "no pixel": Z(3, 0, 8).byte(),
    "no data": Z(3, 8, 8, dtype=torch.uint8, device="meta"),
    "nothing": None,
}


@pytest.mark.parametrize("what", NOT_TO_WRITE)
def test_c20_what_is_no_picture_is_not_written(what, tmp_path, assert_clear):
    with limit(2), pytest.raises(GancourseError) as caught:
        write_image(NOT_TO_WRITE[what], tmp_path / "cat.png")
    assert_clear(caught.value, "uint8 (3, H, W)")
    assert not any(tmp_path.iterdir())
    count("C20", "bad inputs", 1)


def test_the_formats_named_here_are_those_that_are_read():
    assert images.FORMATS == FORMATS
