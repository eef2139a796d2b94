"""Data: the canonical bytes, the promised order, densities that are densities."""

import gzip
import hashlib
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from gancourse import data
from gancourse.errors import GancourseError

# Digests of the unpacked files as their authors published them
CANONICAL_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------ digits


@pytest.mark.parametrize("name", CANONICAL_MD5)
def test_embedded_mnist_unpacks_to_the_canonical_bytes(name):
    raw = gzip.decompress(data.asset(f"mnist/{name}.gz").read_bytes())
    assert hashlib.md5(raw).hexdigest() == CANONICAL_MD5[name]


def test_digits_are_whole_and_as_published():
    train, test = data.digits("train"), data.digits("test")
    assert train.images.shape == (60_000, 1, 28, 28)
    assert test.images.shape == (10_000, 1, 28, 28)
    assert train.images.dtype == torch.uint8 and train.labels.dtype == torch.int64
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert train.labels.bincount().tolist() == counts
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    # the mean and spread that every MNIST tutorial normalises with
    pixels = train.images.float() / 255
    assert round(pixels.mean().item(), 4) == 0.1307
    assert round(pixels.std().item(), 4) == 0.3081


def test_digits_stand_upright_and_white_on_black():
    image = data.digits("train").images[0, 0]
    assert image[0].max() == 0 and image.max() == 255
    assert image[5, 12:24].sum() > 0  # the flag of the first five, at its upper right


def test_another_split_of_the_digits_is_refused(assert_clear):
    with pytest.raises(GancourseError) as caught:
        data.digits("validation")
    assert_clear(caught.value, "validation", "train", "test")


# ------------------------------------------------------------------ embedded files


@pytest.fixture
def copied_assets(tmp_path, monkeypatch):
    """The checksums and one small file of the assets, in a folder one may damage."""
    (tmp_path / "mnist").mkdir()
    for name in ("SHA256SUMS", "README.md", "mnist/t10k-labels-idx1-ubyte.gz"):
        shutil.copy(data.ASSETS / name, tmp_path / name)
    monkeypatch.setattr(data, "ASSETS", tmp_path)
    data.digits.cache_clear()
    yield tmp_path
    data.digits.cache_clear()


LABELS = "mnist/t10k-labels-idx1-ubyte.gz"


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


DAMAGE = {
    "one bit flipped": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a web page": lambda path: path.write_text("<html>403</html>"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_embedded_file_is_named_with_the_way_out(
    copied_assets, damage, assert_clear
):
    assert data.asset(LABELS).is_file()
    DAMAGE[damage](copied_assets / LABELS)
    with pytest.raises(GancourseError) as caught:
        data.asset(LABELS)
    assert_clear(caught.value, LABELS, "damaged", "git checkout gancourse/assets")


@pytest.mark.parametrize("damage", ["gone", "a web page", "empty"])
def test_a_damaged_list_of_checksums_is_as_clear(copied_assets, damage, assert_clear):
    DAMAGE[damage](copied_assets / "SHA256SUMS")
    data._checksums.cache_clear()
    with pytest.raises(GancourseError) as caught:
        data.asset(LABELS)
    assert_clear(caught.value)
    data._checksums.cache_clear()


def test_missing_digits_are_reported_by_digits_itself(copied_assets, assert_clear):
    with pytest.raises(GancourseError) as caught:
        data.digits("test")
    assert_clear(caught.value, "t10k-images")


def test_a_file_that_the_course_does_not_embed_is_refused(assert_clear):
    for name in ("mnist/nothing.gz", "../__init__.py", "README.md"):
        with pytest.raises(GancourseError) as caught:
            data.asset(name)
        assert_clear(caught.value, name)


# ------------------------------------------------------------------ pictures


def test_every_embedded_picture_opens_in_colour():
    names = data.asset_names("photos") + data.asset_names("paintings")
    assert len(names) == 17
    for name in names:
        image = data.picture(name, 64)
        assert image.dtype == torch.uint8 and image.shape[0] == 3
        assert max(image.shape[1:]) == 64
        assert image.float().std() > 10


def test_an_unknown_picture_names_those_there_are(assert_clear):
    with pytest.raises(GancourseError) as caught:
        data.picture("mona-lisa")
    assert_clear(caught.value, "mona-lisa", "dandelions")


def test_a_turned_photograph_is_shown_upright(tmp_path):
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 255
    exif = Image.Exif()
    exif[274] = 6  # the camera was held on its side
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    image = data.read_image(tmp_path / "turned.png")
    assert image.shape == (3, 40, 20)
    assert image[:, :20].min() == 255 and image[:, 20:].max() == 0


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM" + bytes(60)]
)
def test_what_is_no_picture_is_named(tmp_path, content, assert_clear):
    (tmp_path / "cat.png").write_bytes(content)
    with pytest.raises(GancourseError) as caught:
        data.read_image(tmp_path / "cat.png")
    assert_clear(caught.value, "cat.png")


def test_a_picture_cut_at_any_length_is_read_or_named_never_worse(tmp_path):
    whole = data.asset("photos/fig.jpg").read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 50)):
        (tmp_path / "cut.jpg").write_bytes(whole[:length])
        with pytest.raises(GancourseError):
            data.read_image(tmp_path / "cut.jpg")


def test_photo_patches_are_squares_of_the_photographs():
    patches = data.photo_patches(32)
    assert patches.dtype == torch.uint8 and patches.shape[1:] == (3, 32, 32)
    first = data.picture(data.asset_names("photos")[0], 192)
    assert torch.equal(patches[0], first[:, :32, :32])
    assert torch.equal(patches[1], first[:, :32, 16:48])


# ------------------------------------------------------------------ your own pictures


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / ".hidden home" / "my pictures ü"
    (folder / "inner").mkdir(parents=True)
    (folder / ".ipynb_checkpoints").mkdir()
    shade = np.full((30, 50, 3), 200, np.uint8)
    shade[:, :10] = shade[:, 40:] = 0  # only the centre square is bright
    Image.fromarray(shade).save(folder / "wide.png")
    Image.fromarray(shade.transpose(1, 0, 2)).save(folder / "inner" / "tall.jpg")
    Image.fromarray(shade).save(folder / ".ipynb_checkpoints" / "copy.png")
    (folder / ".DS_Store").write_bytes(b"\0\1")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_folder_of_pictures_gives_their_centre_squares(pictures, capsys):
    images = data.image_folder(pictures, 16)
    assert images.shape == (2, 3, 16, 16) and images.dtype == torch.uint8
    assert images.float().mean() > 190  # the dark sides were cut off
    assert "Used 2 of 3 files; skipped: notes.txt" in capsys.readouterr().out


def test_a_folder_may_be_given_relative_to_here(pictures, monkeypatch):
    monkeypatch.chdir(pictures / "inner")
    assert len(data.image_folder("..", 16)) == 2


@pytest.mark.parametrize("what", ["missing", "empty", "a file"])
def test_a_folder_without_pictures_is_named(tmp_path, what, assert_clear):
    folder = tmp_path / "pics"
    if what == "empty":
        folder.mkdir()
    if what == "a file":
        folder.write_text("x")
    with pytest.raises(GancourseError) as caught:
        data.image_folder(folder)
    assert_clear(caught.value, "pics")


def test_resize_keeps_flat_colours_and_the_uint8_range():
    flat = torch.tensor([0, 77, 255], dtype=torch.uint8)[:, None, None, None]
    flat = flat.expand(3, 1, 28, 28)
    resized = data.resize(flat, 32)
    assert resized.dtype == torch.uint8 and resized.shape == (3, 1, 32, 32)
    assert [image.unique().tolist() for image in resized] == [[0], [77], [255]]
    assert data.resize(flat, 28) is flat


def test_uint8_and_floats_convert_both_ways_exactly():
    shades = torch.arange(256, dtype=torch.uint8)
    unit = data.to_unit(shades)
    assert unit.min() == -1 and unit.max() == 1
    assert torch.equal(data.to_uint8(unit), shades)
    assert data.to_uint8(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


# ------------------------------------------------------------------ batches


def test_a_batch_is_a_function_of_seed_and_number_alone():
    numbers = torch.arange(100.0)
    one, other = data.batches(numbers, 8, seed=3), data.batches(numbers, 8, seed=3)
    forward = [one[k] for k in range(40)]
    torch.manual_seed(123)
    torch.rand(5)
    for k in [39, 0, 17, 12, 11, 13, 24]:
        assert torch.equal(other[k], forward[k])
    assert not torch.equal(data.batches(numbers, 8, seed=4)[0], forward[0])


def test_a_batch_is_the_same_in_another_process():
    code = (
        "import torch; from gancourse import data;"
        "b = data.batches(torch.arange(100.0), 8, seed=3);"
        "print([b[k].int().tolist() for k in (0, 13, 500)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    b = data.batches(torch.arange(100.0), 8, seed=3)
    assert done.stdout.strip() == str([b[k].int().tolist() for k in (0, 13, 500)])


def test_drawing_batches_leaves_the_global_random_stream_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for source in (torch.arange(20.0), data.ring()):
        _ = data.batches(source, 4)[7]
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("n", "size"), [(12, 4), (13, 4), (7, 7), (5, 3), (9, 1)])
def test_every_sample_comes_once_an_epoch_and_the_short_last_batch_never(n, size):
    b = data.batches(torch.arange(float(n)), size)
    per_epoch = n // size
    for epoch in range(3):
        ks = range(epoch * per_epoch, (epoch + 1) * per_epoch)
        epoch_batches = [b[k] for k in ks]
        assert all(len(batch) == size for batch in epoch_batches)
        seen = torch.cat(epoch_batches).int().tolist()
        assert len(seen) == len(set(seen)) == per_epoch * size


def test_epochs_come_in_different_orders():
    b = data.batches(torch.arange(50.0), 50)
    orders = {tuple(b[k].int().tolist()) for k in range(6)}
    assert len(orders) == 6


def test_parts_stay_together_and_images_are_scaled():
    labels = torch.arange(30)
    images = labels.view(-1, 1, 1, 1).byte() * 8
    x, y = data.batches((images, labels), 7)[5]
    assert x.dtype == torch.float32 and y.dtype == torch.int64
    torch.testing.assert_close(x.flatten(), y * 8 / 127.5 - 1)
    digits = data.batches(data.digits("test"), 4)[0]
    assert digits[0].shape == (4, 1, 28, 28) and digits[1].shape == (4,)


def test_images_come_in_the_range_of_tanh():
    batch = data.batches(data.digits("test").images, 64)[0]
    assert batch.min() == -1 and batch.max() == 1


def test_a_batch_of_one_is_a_batch():
    assert data.batches(torch.arange(3.0), 1)[0].shape == (1,)


@pytest.mark.parametrize("size", [0, -1, 2.5, "8", None, True])
@pytest.mark.parametrize("source", [torch.arange(10.0), data.ring()])
def test_an_impossible_batch_size_is_named(size, source, assert_clear):
    with pytest.raises(GancourseError) as caught:
        data.batches(source, size)
    assert_clear(caught.value, str(size))


def test_a_batch_larger_than_the_data_is_refused(assert_clear):
    assert data.batches(torch.arange(10.0), 10)[0].shape == (10,)
    with pytest.raises(GancourseError) as caught:
        data.batches(torch.arange(10.0), 11)
    assert_clear(caught.value, "11", "10 samples")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", [0, 3, 9])
def test_a_sample_that_is_not_a_number_is_named_before_any_training(
    bad, where, assert_clear
):
    real = torch.zeros(10, 2)
    real[where, 1] = bad
    for source in (real, (torch.zeros(10), real)):
        with pytest.raises(GancourseError) as caught:
            data.batches(source, 2)
        assert_clear(caught.value, f"sample {where}", "Nothing was trained")


def test_parts_of_unequal_length_are_refused(assert_clear):
    with pytest.raises(GancourseError) as caught:
        data.batches((torch.zeros(4), torch.zeros(5)), 2)
    assert_clear(caught.value, "[4, 5]")


@pytest.mark.parametrize("source", ["digits", None, 3, [1, "a"], ()])
def test_data_of_an_unknown_kind_is_named(source, assert_clear):
    with pytest.raises(GancourseError) as caught:
        data.batches(source, 2)
    assert_clear(caught.value)


def test_arrays_and_lists_of_numbers_are_taken_as_they_are():
    assert data.batches(np.arange(6.0), 2)[0].shape == (2,)
    assert data.batches([[0.0, 1.0], [2.0, 3.0]], 1)[0].shape == (1, 2)


# ------------------------------------------------------------------ toy densities

LINE = {
    "two humps": data.mixture_1d(),
    "unequal": data.mixture_1d((-1.0, 0.5, 3.0), 0.3, (1.0, 2.0, 5.0)),
}
PLANE = {
    "ring": data.ring(),
    "wide ring": data.ring(5, 1.0, 0.3),
    "grid": data.grid(),
    "spirals": data.spirals(),
    "drawn": data.drawn([[0.0, 0.0], [1.0, 0.5]], 0.1),
}


@pytest.mark.parametrize("name", LINE)
def test_densities_on_the_line_integrate_to_one(name):
    x = torch.linspace(-10, 10, 40_001, dtype=torch.float64)[:, None]
    total = torch.trapezoid(LINE[name].density(x), x[:, 0])
    assert total.item() == pytest.approx(1, abs=1e-6)  # centers are float32


@pytest.mark.parametrize("name", PLANE)
def test_densities_on_the_plane_integrate_to_one(name):
    # A sum over a grid finer than the width of a Gaussian is exact to many digits.
    step = PLANE[name].std / 1.5
    line = torch.arange(-3.2, 3.2, step, dtype=torch.float64)
    total = 0.0
    for row in line.split(50):
        points = torch.cartesian_prod(row, line)
        near = torch.cdist(points, PLANE[name].centers.double()).min(1).values
        points = points[near < 8 * PLANE[name].std]
        if len(points):
            total += PLANE[name].density(points).sum().item() * step**2
    assert total == pytest.approx(1, abs=1e-4)


def test_density_equals_the_formula_at_a_point():
    # N(-2, 1/2) and N(2, 1/2), half each, at x = 1: 0.3989/0.5 (e^-18 + e^-2) / 2
    value = data.mixture_1d().density(torch.tensor([[1.0]])).item()
    expected = (math.exp(-18) + math.exp(-2)) / 2 / (0.5 * math.sqrt(2 * math.pi))
    assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", [*LINE, *PLANE])
def test_samples_have_the_mean_and_spread_of_their_density(name):
    mixture = (LINE | PLANE)[name]
    weights = mixture.weights
    weights = torch.ones(len(mixture.centers)) if weights is None else weights
    weights = (weights / weights.sum()).double()
    centers = mixture.centers.double()
    mean = weights @ centers
    variance = weights @ (centers - mean).square() + mixture.std**2
    n = 40_000
    x = mixture.sample(n, rng()).double()
    assert x.shape == (n, mixture.dim)
    # five standard errors of a mean; of a variance at most sqrt(kurtosis / n) ~ 2 / √n
    assert ((x.mean(0) - mean).abs() < 5 * (variance / n).sqrt()).all()
    assert ((x.var(0) - variance).abs() < 5 * 2 * variance / math.sqrt(n)).all()


def test_ring_and_grid_put_equal_shares_on_every_mode():
    for mixture, modes in [(data.ring(), 8), (data.grid(), 25)]:
        assert mixture.centers.shape == (modes, 2)
        x = mixture.sample(25_000, rng())
        distance, nearest = torch.cdist(x, mixture.centers).min(1)
        assert (distance < 6 * mixture.std).all()
        share = 25_000 / modes
        counts = nearest.bincount(minlength=modes)
        assert ((counts - share).abs() < 5 * math.sqrt(share)).all()
    assert data.ring().centers.norm(dim=1).tolist() == pytest.approx([2.0] * 8)
    assert data.grid().centers.abs().max() == 2


def test_spirals_reach_radius_two_and_have_as_many_arms_as_asked():
    centers = data.spirals(arms=3).centers.double()
    assert centers.norm(dim=1).max().item() == pytest.approx(2)
    assert len(centers) == 300
    # turned by a third, three arms lie on one another
    turn = 2 * math.pi / 3
    c, s = math.cos(turn), math.sin(turn)
    turned = centers @ torch.tensor([[c, s], [-s, c]], dtype=torch.float64)
    assert torch.cdist(turned, centers).min(1).values.max() < 1e-5


def test_samples_depend_on_the_stream_that_is_passed_in():
    ring = data.ring()
    assert torch.equal(ring.sample(9, rng(1)), ring.sample(9, rng(1)))
    assert not torch.equal(ring.sample(9, rng(1)), ring.sample(9, rng(2)))


def test_a_drawn_density_takes_lists_and_arrays():
    points = [[0, 0], [1, 2]]
    for given in (points, np.array(points), torch.tensor(points)):
        mixture = data.drawn(given, std=0.01)
        x = mixture.sample(100, rng())
        assert torch.cdist(x, torch.tensor(points).float()).min(1).values.max() < 0.1


@pytest.mark.parametrize(
    "points",
    [[], [[]], [1.0, 2.0], [[1, 2, 3]], [[1, 2], [3]], [[0, math.nan]], "ab", None],
)
def test_a_drawing_that_is_no_density_is_refused(points, assert_clear):
    with pytest.raises(GancourseError) as caught:
        data.drawn(points)
    assert_clear(caught.value)


def test_moons_are_two_half_circles_that_lie_in_each_other():
    moons = data.moons()
    upper, lower = moons.centers.split(60)
    assert torch.allclose(upper, -lower), "one is the other turned by half a turn"
    middle = torch.tensor([-0.65, -0.325])
    assert torch.allclose((upper - middle).norm(dim=1), torch.tensor(1.3))
    assert (upper[:, 1] >= middle[1] - 1e-6).all(), "the upper half"
    assert torch.cdist(upper, lower).min() > 5 * moons.std, "they do not touch"
