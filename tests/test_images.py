"""Pictures of other people: every row of reliability.md, part C, right or refused."""

import io
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from gancourse import data, images
from gancourse.errors import GancourseError
from gancourse.images import read_image, write_image

PHOTO = data.asset("photos/fig.jpg").read_bytes()


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey(shade: int, mode: str = "L", size=(40, 40)) -> Image.Image:
    return Image.new(mode, size, shade)


@pytest.fixture
def read(tmp_path):
    """Write bytes under a name, read them as a picture: (image, what was said)."""

    def reader(content: bytes, name: str = "cat.png", **options):
        (tmp_path / name).write_bytes(content)
        said = []
        return read_image(tmp_path / name, say=said.append, **options), said

    return reader


@pytest.fixture
def refused(read, assert_clear):
    """As `read`, but it must be refused in one clear sentence, which is returned."""

    def reader(content: bytes, *named: str, name: str = "cat.png", **options):
        with pytest.raises(GancourseError) as caught:
            read(content, name, **options)
        return assert_clear(caught.value, name, *named)

    return reader


# ------------------------------------------------------------------ C1-C4 the bytes


def test_c1_an_empty_file_is_called_empty(refused):
    refused(b"", "is empty")


KINDS = {
    "text": (b"Dear cat,\nhow are you?\n", "text"),
    "html": (b"\n<!DOCTYPE html><title>403 Forbidden</title>", "a web page"),
    "svg": (b'<?xml version="1.0"?>\n<svg xmlns="...">', "an SVG drawing"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
    "zip": (b"PK\3\4" + bytes(30), "a zip file"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "iPhone"),
    "avif": (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "an AVIF picture"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_c2_what_is_no_picture_is_named_by_its_kind(refused, kind):
    content, words = KINDS[kind]
    refused(content, words)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_c3_a_picture_cut_anywhere_is_refused(refused, kind):
    """Pillow's verify() passes on half a JPEG; only decoding tells."""
    photo = Image.open(io.BytesIO(PHOTO)).resize((120, 80))
    whole = encoded(photo, kind)
    for length in np.linspace(1, 0.97 * len(whole), 50).astype(int):
        refused(whole[:length])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_c4_flipped_bytes_give_a_picture_or_a_sentence_soon(read, kind):
    photo = Image.open(io.BytesIO(PHOTO)).resize((60, 40))
    whole = encoded(photo, kind)
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(100):
        broken = bytearray(whole)
        for place in rng.integers(0, len(broken), 3):
            broken[place] ^= 1 << rng.integers(8)
        began = time.monotonic()
        try:
            image, _ = read(bytes(broken))
            outcomes.add("read")
            assert image.dtype == torch.uint8 and image.shape[0] == 3
        except GancourseError:
            outcomes.add("refused")
        assert time.monotonic() - began < 20  # the promise is 2 s on an idle machine
    assert "refused" in outcomes


# ------------------------------------------------------------------ C5-C8 the size


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3, 3000), (31, 32)])
def test_c5_too_small_a_picture_is_refused(refused, size):
    refused(encoded(grey(9, size=size), "PNG"), "too small", "32 x 32", least=32)


def test_c5_a_strip_that_scaling_would_make_too_thin_is_refused(refused):
    strip = encoded(grey(9, size=(40, 4000)), "PNG")
    refused(strip, "too small", "3 x 320", least=32, size=320)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few dozen bytes that claims width x height pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(name + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + name + content + crc

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    start = b"\x89PNG\r\n\x1a\n"
    body = chunk(b"IDAT", zlib.compress(b"\0" * 99))
    return start + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [5001, 10_000, 20_000, 60_000])
def test_c6_c7_a_bomb_is_refused_before_it_is_unpacked(refused, side):
    refused(bomb(side, side), "25 million", "million" if side > 13_000 else f"{side:,}")


def test_c8_a_phones_48_megapixels_are_read_smaller_in_little_memory(tmp_path):
    big = Image.linear_gradient("L").resize((8000, 6000)).convert("RGB")
    big.save(tmp_path / "phone.jpg", quality=85)
    code = (
        "import re, sys\n"
        "from gancourse.images import read_image\n"
        "image = read_image(sys.argv[1], size=320)\n"
        # not ru_maxrss, which starts at what pytest took when it forked this process
        "status = open('/proc/self/status').read()\n"
        "peak = int(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1]) / 1e6\n"
        "print(tuple(image.shape), peak < 1 or peak)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "phone.jpg")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "phone.jpg: 48 million pixels, read at 1/2 of its size."
    assert second == "(3, 240, 320) True"


# ------------------------------------------------------------------ C9-C13 colours


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_c9_transparent_parts_lie_on_white_not_on_hidden_colours(read, kind):
    image = Image.new("RGBA", (40, 40), (200, 0, 0, 255))
    image.paste((7, 7, 7, 0), (0, 0, 40, 10))  # hidden colour: nearly black
    image.paste((0, 0, 0, 51), (0, 10, 40, 20))  # a fifth of black
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    pixels, said = read(encoded(image, kind, **options))
    assert pixels[:, 5, 20].tolist() == [255, 255, 255]
    assert pixels[:, 15, 20].tolist() == [204, 204, 204]
    assert pixels[:, 30, 20].tolist() == [200, 0, 0]
    assert said == ["cat.png: its transparent parts were put on white."]


def test_c9_grey_with_alpha_and_palettes_with_a_clear_colour_too(read):
    image = Image.merge("LA", [grey(100), grey(0)])
    assert read(encoded(image, "PNG"))[0].unique().tolist() == [255]
    palette = grey(3, "P")
    palette.putpalette([0, 0, 0] * 3 + [9, 8, 7])
    palette.info["transparency"] = 3
    assert read(encoded(palette, "PNG", transparency=3))[0].unique().tolist() == [255]
    assert read(encoded(palette, "GIF", transparency=3))[0].unique().tolist() == [255]


def test_c9_an_opaque_alpha_channel_is_no_event(read):
    image = Image.new("RGBA", (40, 40), (1, 2, 3, 255))
    pixels, said = read(encoded(image, "PNG"))
    assert pixels[:, 0, 0].tolist() == [1, 2, 3] and not said


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_c10_a_ramp_of_16_bits_stays_a_ramp(read, kind):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(40, 0)
    pixels, _ = read(encoded(Image.fromarray(ramp), kind))
    assert (pixels[0, 0].int() - torch.arange(256)).abs().max() <= 1


@pytest.mark.parametrize(("white", "expected"), [(1.0, 128), (255.0, 128)])
def test_c11_a_tiff_of_floats_keeps_its_greys(read, white, expected):
    values = np.full((40, 40), white / 2, np.float32)
    values[0] = white
    pixels, _ = read(encoded(Image.fromarray(values), "TIFF"), "cat.tif")
    assert pixels[:, 20, 20].tolist() == [expected] * 3
    assert pixels[:, 0, 0].tolist() == [255] * 3


@pytest.mark.parametrize("bad", [np.nan, -3.0, 1e9])
def test_c11_floats_that_are_no_greys_are_refused(refused, bad):
    values = np.full((40, 40), 0.5, np.float32)
    values[3, 3] = bad
    refused(encoded(Image.fromarray(values), "TIFF"), "no grey values")


def test_c12_palette_one_bit_and_grey_give_the_colours_one_sees(read):
    palette = grey(1, "P")
    palette.putpalette([0, 0, 0, 250, 120, 10])
    assert read(encoded(palette, "PNG"))[0][:, 0, 0].tolist() == [250, 120, 10]
    assert read(encoded(palette, "GIF"))[0][:, 0, 0].tolist() == [250, 120, 10]
    assert read(encoded(grey(1, "1"), "PNG"))[0][:, 0, 0].tolist() == [255] * 3
    assert read(encoded(grey(77), "PNG"))[0][:, 0, 0].tolist() == [77] * 3


def test_c13_print_colours_come_out_as_plausible_ones(read):
    """Cyan + yellow ink is green. Adobe's files store ink upside down."""
    green = Image.new("CMYK", (40, 40), (255, 0, 255, 0))
    for kind in ("JPEG", "TIFF"):  # Pillow writes its CMYK JPEGs as Adobe does
        r, g, b = read(encoded(green, kind))[0][:, 20, 20].tolist()
        assert r < 60 and g > 120 and b < 110, kind
    white = Image.new("CMYK", (40, 40), (0, 0, 0, 0))
    assert read(encoded(white, "JPEG"))[0].min() > 240


# ------------------------------------------------------------------ C14-C17 the file


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_c14_every_orientation_is_shown_upright(read, turn, kind):
    """The upright picture: 64 wide, 48 high, bright in its upper left quarter."""
    upright = np.zeros((48, 64), np.uint8)
    upright[:24, :32] = 255
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[turn]
    exif = Image.Exif()
    exif[274] = turn
    image = Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")
    pixels, _ = read(encoded(image, kind, exif=exif))
    assert pixels.shape == (3, 48, 64)
    quarters = [pixels[:, y, x].float().mean() > 128 for y in (9, 39) for x in (9, 55)]
    assert quarters == [True, False, False, False]


def test_c14_a_damaged_exif_block_does_not_cost_the_picture(read):
    broken = encoded(grey(9), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    assert read(broken)[0].shape == (3, 40, 40)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_c15_of_an_animation_the_first_frame_is_taken_and_said_once(read, kind):
    frames = [Image.new("RGB", (40, 40), c) for c in ("red", "blue", "lime")]
    film = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    pixels, said = read(film)
    assert pixels[0].min() > 250 and pixels[1:].max() < 5
    assert said == ["cat.png: of its several frames or pages, the first was taken."]


def test_c16_a_wrong_ending_does_not_matter(read):
    pixels, _ = read(PHOTO, "really a.png")
    assert torch.equal(pixels, data.picture("fig"))


OTHERS = {
    "EPS": "a PostScript file",
    "ICO": "an icon",
    "PPM": "could not be read",
    "TGA": "could not be read",
    "SGI": "could not be read",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_c17_formats_outside_the_list_are_refused(refused, kind):
    image = Image.new("RGB", (64, 64), "red")
    refused(encoded(image, kind), OTHERS[kind])


@pytest.mark.parametrize("start", [b"8BPS\0\1" + bytes(40), b"SIMPLE  =        T"])
def test_c17_photoshop_and_fits_are_named(refused, start):
    refused(start, "a Photoshop file" if start[0] == ord("8") else "a FITS file")


# ------------------------------------------------------------------ C18, C19 where


def test_c18_a_folder_is_read_but_for_what_is_no_picture(tmp_path, capsys):
    for k in range(5):
        Image.new("RGB", (50, 40), (k, 0, 0)).save(tmp_path / f"{k}.png")
    Image.new("RGBA", (50, 40), (9, 9, 9, 0)).save(tmp_path / "5.png")
    (tmp_path / "6.jpg").write_bytes(PHOTO[:5000])
    (tmp_path / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    Image.new("RGB", (50, 40)).save(tmp_path / ".ipynb_checkpoints" / "copy.png")
    assert data.image_folder(tmp_path, 32).shape == (6, 3, 32, 32)
    said = capsys.readouterr().out
    assert "Used 6 of 8 files; skipped: 6.jpg, Thumbs.db" in said
    assert said.count("1 of them: its transparent parts were put on white.") == 1


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("no such.png", "does not exist"),
        (".", "is a folder"),
        ("https://example.org/cat.png", "address on the web"),
        ("~/no such cat.png", "does not exist"),
    ],
)
def test_c19_where_no_picture_is_names_what_was_tried(where, words, assert_clear):
    with pytest.raises(GancourseError) as caught:
        read_image(where)
    assert_clear(caught.value, words, where.rpartition("/")[2].strip("."))


def test_c19_a_relative_path_is_read_from_where_one_stands(tmp_path, monkeypatch):
    (tmp_path / "cät 1.png").write_bytes(encoded(grey(5), "PNG"))
    monkeypatch.chdir(tmp_path)
    assert read_image("cät 1.png").shape == (3, 40, 40)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_image("~/cät 1.png").shape == (3, 40, 40)


# ------------------------------------------------------------------ scaling, writing


def test_the_longer_side_is_scaled_and_the_shape_kept(read):
    pixels, _ = read(encoded(grey(80, size=(60, 120)), "PNG"), size=40)
    assert pixels.shape == (3, 40, 20) and pixels.unique().tolist() == [80]


@pytest.mark.parametrize("ending", [".png", ".jpg", ".JPEG", ".webp"])
def test_what_was_written_is_read_again(tmp_path, ending):
    picture = data.picture("sunset", 64)
    file = tmp_path / "new folder" / f"sun{ending}"
    write_image(picture, file)
    again = read_image(file)
    assert again.shape == picture.shape
    far = (again.int() - picture.int()).abs().float().mean()
    assert far == 0 if ending == ".png" else far < 6
    assert [f.name for f in file.parent.iterdir()] == [file.name]


def test_a_result_that_can_not_be_written_is_named(tmp_path, assert_clear):
    with pytest.raises(GancourseError) as caught:
        write_image(data.picture("sunset", 64), tmp_path / "sun.heic")
    assert_clear(caught.value, "sun.heic", ".png")
    (tmp_path / "file").write_text("x")
    with pytest.raises(GancourseError) as caught:
        write_image(data.picture("sunset", 64), tmp_path / "file" / "sun.png")
    assert_clear(caught.value, "sun.png", "a file stands")


def test_the_limits_are_those_that_are_promised():
    assert images.MOST_PIXELS == 25_000_000
    assert images.FORMATS == ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
