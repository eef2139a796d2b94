"""Part B of the fault list: data, weights, the network.

| row | where it is tested |
| --- | --- |
| B1 | tests/test_data.py, "embedded files": flipped, cut, empty, gone, a page |
| B2 | tests/test_architecture.py: no np.load with objects, no pickle, weights_only |
| B3 | here: the core under `unshare -rn`, and with a hook on every socket |
| B4 | here (`stall`, `silent`, `drip`, no server), test_vgg.py, test_cmp_facades.py |
| B5, B6 | here: a server that fails in every way, 200 cuts and flips |
| B7 | here: SIGKILL while fetching |
| B8 | here: archives that would leave their folder, links, bombs |
| B9 | here: read-only, full, no home |
| B10 | here: files that are no VGG |
| B11 | here: two processes at once |
| B12 | here: wrong proxies |

There is one server for each file, so no mirror to go on to (B5): the sentence names
what needs no network instead. Of tar archives none is ever opened.
"""

import hashlib
import io
import itertools
import os
import random
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import urllib.request
import zipfile
from pathlib import Path

import pytest
import torch
from bad_server import PAGE, serving
from counts import count
from namespaces import can_unshare
from PIL import Image
from safetensors.torch import load_file, save, save_file
from test_cmp_facades import archive

from gancourse import cmp_facades, data, online
from gancourse.errors import GancourseError
from gancourse.models import vgg

PAIRS = 6
WHOLE = archive(PAIRS)
SMALL = 0.4  # seconds of silence, where the number itself is not what is tested


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """An empty cache, a small archive, and no proxy of this machine's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cmp_facades, "PAIRS", PAIRS)
    monkeypatch.setattr(cmp_facades, "HELD_OUT", 2)
    monkeypatch.setattr(online, "_made", [])
    cmp_facades._read.cache_clear()


def left(folder: Path) -> list[str]:
    """Whatever lies in the folder or below."""
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def fetched(address: str, monkeypatch) -> Path:
    """The façades' file, fetched from there."""
    monkeypatch.setattr(cmp_facades, "URL", f"{address}/CMP_facade_DB_base.zip")
    return cmp_facades._file()


def refused(address: str, monkeypatch, assert_clear, *named: str) -> float:
    """Seconds until the fetching was given up, in a sentence and with nothing kept."""
    began = time.monotonic()
    with pytest.raises(GancourseError) as caught:
        fetched(address, monkeypatch)
    seconds = time.monotonic() - began
    assert_clear(caught.value, "Choose --data facades", *named)
    return seconds


# ------------------------------------------------------------------ B4-B6 the server

FAILS = {
    "cut/0": "cut",
    "cut/100": "cut",
    "silently/100": "not whole",
    "reset/100": "cut",
    "flip/60": "not whole",
    "short": "not whole",
    "long": "cut",
    "oddly": "not whole",
    "chunks": "cut",
    "empty": "not whole",
    "page": "not whole",
    "status/403": "answered 403",
    "status/404": "answered 404",
    "status/429": "answered 429",
    "status/500": "answered 500",
    "status/503": "answered 503",
    "circle": "answered 302",
    "local": "answered 302",
    "nonsense": "cut",
    "hang_up": "cut",
    "endless": "more than",
    "drip": "silent",
    "stall/100": "silent",
    "silent": "silent",
}


@pytest.mark.parametrize("way", FAILS)
def test_b5_b6_a_server_that_fails_leaves_no_file_and_one_sentence(
    way, tmp_path, monkeypatch, assert_clear
):
    monkeypatch.setattr(online, "SECONDS", SMALL)
    monkeypatch.setattr(cmp_facades, "MOST", 3_000_000)
    with serving(WHOLE) as address:
        refused(f"{address}/{way}", monkeypatch, assert_clear, FAILS[way])
    assert left(tmp_path) == []
    count("B5", "servers that fail", 1)


def places(n: int) -> list[int]:
    """n different bytes of the archive, the first and the last among them."""
    rng = random.Random(0)
    return [0, len(WHOLE) - 1, *rng.sample(range(1, len(WHOLE) - 1), n - 2)]


def pictures(file: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(file)) as found:
        names = [n for n in found.namelist() if n.endswith((".jpg", ".png"))]
        return {name: found.read(name) for name in names}


@pytest.mark.parametrize(
    "n", [pytest.param(10, id="short"), pytest.param(60, marks=pytest.mark.full)]
)
def test_b6_no_cut_or_corrupted_transfer_leaves_a_bad_file(
    n, tmp_path, monkeypatch, assert_clear
):
    """A flipped bit may pass where it says nothing of a picture, such as a date."""
    harmless = 0
    with serving(WHOLE) as address:
        for way, place in itertools.product(
            ("cut", "silently", "reset", "flip"), places(n)
        ):
            where = f"{address}/{way}/{place}"
            try:
                file = fetched(where, monkeypatch)
            except GancourseError as error:
                assert_clear(error, "Choose --data facades")
                assert left(tmp_path) == [], where
            else:
                assert way == "flip" and pictures(file.read_bytes()) == pictures(WHOLE)
                harmless += 1
                for kept in file.parent.iterdir():
                    kept.unlink()
    assert harmless < 0.5 * n, "the check of the archive does not check"
    count("B6", "cut or corrupted transfers", 4 * n)


def test_b6_two_cut_connections_are_followed_by_a_third_try(tmp_path, monkeypatch):
    with serving(WHOLE) as address:
        file = fetched(f"{address}/twice/3000", monkeypatch)
    assert file.read_bytes() == WHOLE
    assert left(tmp_path) == [
        "CMP_facade_DB_base.sha256",
        "CMP_facade_DB_base.zip",
    ]


NETS = ("cut", "silently", "reset", "flip")


@pytest.fixture
def small_vgg19(monkeypatch):
    """A VGG-19 of one layer, whose name holds its digest as torchvision's does."""
    buffer = io.BytesIO()
    weights = {
        "features.0.weight": torch.randn(64, 3, 3, 3),
        "features.0.bias": torch.zeros(64),
    }
    torch.save(weights, buffer)
    monkeypatch.setattr(vgg, "_VGG19", (1,))
    content = buffer.getvalue()
    name = f"vgg19-{hashlib.sha256(content).hexdigest()[:8]}.pth"

    def at(address):
        monkeypatch.setattr(vgg, "VGG19_URL", f"{address}/{name}")

    return content, at


@pytest.mark.parametrize(
    "n", [pytest.param(5, id="short"), pytest.param(40, marks=pytest.mark.full)]
)
def test_b6_weights_are_kept_only_when_their_digest_is_right(
    n, small_vgg19, tmp_path, assert_clear
):
    content, at = small_vgg19
    rng = random.Random(0)
    with serving(content) as address:
        for way in NETS:
            for place in rng.sample(range(len(content)), n):
                at(f"{address}/{way}/{place}")
                with pytest.raises(GancourseError) as caught:
                    vgg.vgg19()
                assert_clear(caught.value, "embedded VGG-16")
                assert left(tmp_path) == [], (way, place)
        at(f"{address}/whole")
        assert vgg.vgg19().layers == ["conv1_1"]
        at("http://127.0.0.1:1")  # and no network is needed any more
        assert vgg.vgg19().layers == ["conv1_1"]
    count("B6", "cut or corrupted transfers", 4 * n)


def test_b4_kept_weights_that_were_damaged_later_are_noticed(small_vgg19, tmp_path):
    content, at = small_vgg19
    with serving(content) as address:
        at(f"{address}/whole")
        vgg.vgg19()
    (file,) = (tmp_path / "cache" / "gancourse").iterdir()
    damaged = bytearray(content)
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(GancourseError, match=rf"Delete .*{file.name}"):
        vgg.vgg19()


@pytest.mark.parametrize("way", ["silent", "stall/100", "drip"])
def test_b4_a_silent_server_is_given_up_within_five_seconds(
    way, monkeypatch, assert_clear
):
    with serving(WHOLE) as address:
        seconds = refused(f"{address}/{way}", monkeypatch, assert_clear, "silent")
    assert seconds < 5
    count("B4", "time-outs within 5 s", 1)


def test_b4_a_name_that_is_looked_up_for_ever_is_given_up_too(
    monkeypatch, assert_clear
):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait())
    seconds = refused("http://nowhere.example", monkeypatch, assert_clear, "silent")
    over.set()
    assert seconds < 5
    count("B4", "time-outs within 5 s", 1)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:1", "http://nowhere.invalid", "nonsense", "http://["]
)
def test_b4_where_no_server_is_the_sentence_comes_at_once(
    address, monkeypatch, assert_clear
):
    assert refused(address, monkeypatch, assert_clear, "need the internet") < 5
    count("B4", "time-outs within 5 s", 1)


CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 "
    "-keyout key -out cert -subj /CN=127.0.0.1"
)


def test_b6_a_server_whose_certificate_is_worth_nothing_is_not_believed(
    tmp_path, monkeypatch, assert_clear
):
    import ssl

    here = tmp_path / "certificate"
    here.mkdir()
    try:
        command = CERTIFICATE.split()
        subprocess.run(command, cwd=here, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no openssl here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(here / "cert", here / "key")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)

        def answer():
            with listening.accept()[0] as one:
                try:
                    context.wrap_socket(one, server_side=True)
                except OSError:
                    return

        threading.Thread(target=answer, daemon=True).start()
        address = f"https://127.0.0.1:{listening.getsockname()[1]}"
        refused(address, monkeypatch, assert_clear, "certificate is not valid")
    assert not (tmp_path / "cache").exists()


# ------------------------------------------------------------------ B7, B11 processes

FETCH = """
import sys
from gancourse import online
url, size = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
if not online.kept("file"):
    content = online.fetch(url, 10 * size, lambda c: len(c) == size, "It needs", "Go.")
    online.keep("file", content)
print("kept", online.kept("file"), flush=True)
"""


def fetching(address: str) -> subprocess.Popen:
    command = [sys.executable, "-c", FETCH, f"{address}/slow", str(len(WHOLE))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    "kills", [pytest.param(6, id="short"), pytest.param(60, marks=pytest.mark.full)]
)
def test_b7_killed_while_fetching_the_next_start_is_clean(kills, tmp_path):
    folder, rng = tmp_path / "cache" / "gancourse", random.Random(0)
    with serving(WHOLE) as address:
        for _ in range(kills):
            process = fetching(address)
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.45))
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
            file = folder / "file"
            if file.exists():  # killed too late: all of it must be there
                assert file.read_bytes() == WHOLE
                file.unlink()
        leftovers = [p for p in left(folder) if p.endswith(".tmp")]
        for name in leftovers:
            os.utime(folder / name, (0, 0))
        (folder / ".old.tmp").parent.mkdir(parents=True, exist_ok=True)
        (folder / ".old.tmp").write_bytes(b"what a killed process left")
        os.utime(folder / ".old.tmp", (0, 0))
        assert fetching(address).communicate()[0].endswith(f"{folder / 'file'}\n")
    assert left(folder) == ["file"] and (folder / "file").read_bytes() == WHOLE
    count("B7", "SIGKILLs while fetching", kills)


@pytest.mark.parametrize(
    "pairs", [pytest.param(3, id="short"), pytest.param(50, marks=pytest.mark.full)]
)
def test_b11_two_processes_that_fetch_at_once_both_end_well(pairs, tmp_path):
    folder = tmp_path / "cache" / "gancourse"
    with serving(WHOLE) as address:
        for _ in range(pairs):
            both = [fetching(address) for _ in range(2)]
            for process in both:
                assert process.communicate(timeout=30)[0].endswith("file\n")
                assert process.returncode == 0
            assert left(folder) == ["file"]
            assert (folder / "file").read_bytes() == WHOLE
            (folder / "file").unlink()
    count("B11", "pairs of processes that fetch at once", pairs)


# ------------------------------------------------------------------ B8 archives


def packed(*members: tuple[str, bytes, int], base: bytes = WHOLE) -> bytes:
    """The archive with more members: (name, content, mode as in st_mode)."""
    buffer = io.BytesIO(base)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as more:
        for name, content, mode in members:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = mode << 16
            more.writestr(entry, content)
    return buffer.getvalue()


def secret(content: bytes) -> bytes:
    """The same archive, its first member marked as encrypted."""
    marked = bytearray(content)
    marked[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(marked)


def claiming(content: bytes, size: int) -> bytes:
    """The same archive, its first member said to unpack to `size` bytes."""
    marked, place = bytearray(content), content.index(b"PK\x01\x02") + 24
    marked[place : place + 4] = struct.pack("<I", size)
    return bytes(marked)


def tarred() -> bytes:
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as found:
        link = tarfile.TarInfo("../../outside")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        found.addfile(link)
    return buffer.getvalue()


FILE = stat.S_IFREG | 0o644
EVIL = {
    "up and out": lambda: packed(("../outside.txt", b"x", FILE)),
    "up within": lambda: packed(("base/../../outside.txt", b"x", FILE)),
    "absolute": lambda: packed(("/tmp/outside.txt", b"x", FILE)),
    "a drive": lambda: packed(("C:\\outside.txt", b"x", FILE)),
    "a drive, slashes": lambda: packed(("C:/outside.txt", b"x", FILE)),
    "backslashes": lambda: packed(("..\\..\\outside.txt", b"x", FILE)),
    "another computer": lambda: packed(("\\\\server\\outside.txt", b"x", FILE)),
    "a link": lambda: packed(("base/link", b"/etc", stat.S_IFLNK | 0o777)),
    "a device": lambda: packed(("base/device", b"", stat.S_IFCHR | 0o666)),
    "a pipe": lambda: packed(("base/pipe", b"", stat.S_IFIFO | 0o666)),
    "a socket": lambda: packed(("base/socket", b"", stat.S_IFSOCK | 0o666)),
    "thousands of members": lambda: packed(
        *((f"base/{k}.xml", b"", FILE) for k in range(4000))
    ),
    "a bomb": lambda: packed(("base/bomb.xml", bytes(20_000_000), FILE)),
    "a bomb that lies": lambda: claiming(
        packed(("base/bomb.xml", bytes(20_000_000), FILE)), 10
    ),
    "a claim of 4 GB": lambda: claiming(WHOLE, 0xFFFFFFF0),
    "a password": lambda: secret(WHOLE),
    "a pair too many": lambda: packed(
        ("base/cmp_b9.jpg", b"x", FILE), ("base/cmp_b9.png", b"x", FILE)
    ),
    "an archive in an archive": lambda: packed(("base/a.png", WHOLE, FILE), base=b""),
    "a tar": tarred,
    "an empty archive": lambda: b"PK\5\6" + bytes(18),
    "a beginning without an end": lambda: WHOLE[: len(WHOLE) // 2],
    "an end without a beginning": lambda: WHOLE[len(WHOLE) // 2 :],
}


@pytest.mark.parametrize("what", EVIL)
def test_b8_an_archive_that_is_a_trap_is_refused_and_writes_nothing(
    what, tmp_path, monkeypatch, assert_clear
):
    if "bomb" in what:
        monkeypatch.setattr(cmp_facades, "MOST", 4_000_000)
    if what != "a bomb that lies":
        assert cmp_facades._is_whole(WHOLE)
    with serving(EVIL[what]()) as address:
        refused(f"{address}/whole", monkeypatch, assert_clear, "not whole")
    assert left(tmp_path) == []
    assert not Path("/tmp/outside.txt").exists()
    count("B8", "hostile archives", 1)


def pictured(kind: str) -> bytes:
    """A whole archive, but its pictures are no photographs or no maps."""
    from test_images import bomb

    def png(image):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    truth = png(Image.new("P", (9, 6), 1))
    photo = png(Image.new("RGB", (9, 6)))
    truth, photo = {
        "a map of 3600 million pixels": (bomb(60_000, 60_000), photo),
        "a photograph of 100 million pixels": (truth, bomb(10_000, 10_000)),
        "a map in colour": (png(Image.new("RGB", (9, 6))), photo),
        "a map of 16 bits": (png(Image.new("I;16", (9, 6), 1)), photo),
        "labels from 0": (png(Image.new("L", (9, 6), 0)), photo),
        "labels beyond 12": (png(Image.new("L", (9, 6), 13)), photo),
        "text": (b"no picture", photo),
        "a photograph in EPS": (truth, b"%!PS-Adobe-3.0 EPSF-3.0\n"),
        "half a photograph": (truth, photo[: len(photo) // 2]),
    }[kind]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as found:
        for k in range(PAIRS):
            found.writestr(f"base/{k}.png", truth)
            found.writestr(f"base/{k}.jpg", photo)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:Image size")
@pytest.mark.parametrize(
    "kind",
    [
        *("a map of 3600 million pixels", "a photograph of 100 million pixels"),
        *("a map in colour", "a map of 16 bits", "labels from 0", "labels beyond 12"),
        *("text", "a photograph in EPS", "half a photograph"),
    ],
)
def test_b8_an_archive_of_other_pictures_is_refused(
    kind, tmp_path, monkeypatch, assert_clear
):
    with serving(pictured(kind)) as address:
        fetched(f"{address}/whole", monkeypatch)
    with pytest.raises(GancourseError) as caught:
        cmp_facades.load()
    assert_clear(caught.value, "are not whole", "Delete")
    count("B8", "hostile archives", 1)


# ------------------------------------------------------------------ B9 no cache


@can_unshare
@pytest.mark.parametrize("option", ["ro", "size=4k"])
def test_b9_a_cache_that_is_read_only_or_full_is_replaced_and_said_once(
    option, tmp_path
):
    (tmp_path / "cache").mkdir()
    script = 'mount -t tmpfs -o "$0" none "$1" && shift && exec "$@"'
    code = (
        "from gancourse import online\n"
        "a, b = online.keep('a', bytes(9000)), online.keep('b', bytes(9000))\n"
        "assert a.parent == b.parent and len(a.read_bytes()) == 9000\n"
        "assert online.kept('a') == a and online.kept('b') == b\n"
        "print(a.parent)"
    )
    done = subprocess.run(
        [
            *("unshare", "-rm", "sh", "-c", script, option, str(tmp_path / "cache")),
            *(sys.executable, "-c", code),
        ],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said, folder = done.stdout.splitlines()
    assert said == f"The cache cannot be written to: fetched files go to {folder}."
    assert folder.startswith(str(tmp_path)) and "/cache/" not in folder
    count("B9", "caches that cannot be written to", 1)


def test_b9_without_a_home_there_is_a_temporary_cache(tmp_path, monkeypatch, capsys):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with serving(WHOLE) as address:
        file = fetched(f"{address}/whole", monkeypatch)
        assert fetched(f"{address}/whole", monkeypatch) == file
    assert file.read_bytes() == WHOLE and tmp_path in file.parents
    assert capsys.readouterr().out.count("cache cannot be written") == 1
    count("B9", "caches that cannot be written to", 1)


def test_b9_where_nothing_can_be_written_at_all_it_is_said(
    tmp_path, monkeypatch, assert_clear
):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setattr(online, "_made", [tmp_path / "cache" / "none"])
    with pytest.raises(GancourseError) as caught:
        online.keep("a", b"x")
    assert_clear(caught.value, "could not be written")


# ------------------------------------------------------------------ B10 no VGG


def changed(**tensors) -> bytes:
    """The embedded VGG's file with other tensors (None: without)."""
    weights = load_file(data.asset(vgg.WEIGHTS))
    for name, value in tensors.items():
        name = name.replace("__", ".")
        if value is None:
            del weights[name]
        else:
            weights[name] = value
    return save(weights)


def pickled() -> bytes:
    buffer = io.BytesIO()
    torch.save({"conv1_1.weight": torch.zeros(64, 3, 3, 3)}, buffer)
    return buffer.getvalue()


def real() -> bytes:
    return data.asset(vgg.WEIGHTS).read_bytes()


NO_VGG = {
    "empty": lambda: b"",
    "text": lambda: b"weights",
    "a page": lambda: PAGE,
    "half": lambda: real()[:1_000_000],
    "a byte less": lambda: real()[:-1],
    "a header of 2^62 bytes": lambda: struct.pack("<Q", 1 << 62) + b"{}",
    "a header that is no JSON": lambda: struct.pack("<Q", 4) + b"{{{{",
    "a pickle": pickled,
    "no tensor": lambda: save({}),
    "a layer less": lambda: changed(conv4_1__weight=None),
    "a layer more": lambda: changed(conv5_1__weight=torch.zeros(2)),
    "another shape": lambda: changed(conv1_1__weight=torch.zeros(64, 1, 3, 3)),
    "one number": lambda: changed(conv1_1__bias=torch.zeros(())),
    "a NaN": lambda: changed(conv1_1__bias=torch.full((64,), torch.nan)),
    "an infinity": lambda: changed(conv1_1__bias=torch.full((64,), torch.inf)),
    "VGG-19's names": lambda: save({"features.0.weight": torch.zeros(64, 3, 3, 3)}),
    "another net of ours": lambda: data.asset(
        "classifier/digits.safetensors"
    ).read_bytes(),
}


@pytest.mark.parametrize("what", NO_VGG)
def test_b10_a_file_that_is_not_this_vgg_is_named(what, tmp_path, assert_clear):
    file = tmp_path / "my vgg ü.safetensors"
    file.write_bytes(NO_VGG[what]())
    with pytest.raises(GancourseError) as caught:
        vgg.vgg16(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    assert_clear(caught.value, file.name, digest, "Use")
    count("B10", "files that are no VGG", 1)


@pytest.mark.parametrize("where", ["nowhere.safetensors", "."])
def test_b10_no_file_at_all_is_named(where, tmp_path, monkeypatch, assert_clear):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GancourseError) as caught:
        vgg.vgg16(where)
    assert_clear(caught.value, "Use")


def test_b10_a_copy_of_the_right_file_is_taken(tmp_path):
    save_file(load_file(data.asset(vgg.WEIGHTS)), tmp_path / "copy")
    assert len(vgg.vgg16(tmp_path / "copy").layers) == 8


# ------------------------------------------------------------------ B12 proxies


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:1", "nonsense", "http://[", "socks5://127.0.0.1:1"]
)
def test_b12_a_wrong_proxy_is_named_by_its_variable(
    name, proxy, monkeypatch, assert_clear
):
    monkeypatch.setattr(online, "SECONDS", SMALL)
    monkeypatch.setenv(name, proxy)
    refused("http://nowhere.invalid", monkeypatch, assert_clear, f"Check {name}")
    count("B12", "wrong proxies", 1)


def test_b12_a_proxy_put_right_is_asked_in_the_same_kernel(monkeypatch, assert_clear):
    """urllib.request.urlopen keeps the first proxy that it saw as long as it lives."""
    monkeypatch.setattr(urllib.request, "_opener", None)
    with serving(WHOLE) as address, monkeypatch.context() as wrong:
        wrong.setenv("http_proxy", "http://127.0.0.1:1")
        refused(f"{address}/whole", monkeypatch, assert_clear, "http_proxy")
        wrong.delenv("http_proxy")
        assert fetched(f"{address}/whole", monkeypatch).exists()


def test_b12_a_proxy_that_is_not_asked_is_not_blamed(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(GancourseError) as caught:
        fetched("http://127.0.0.1:1", monkeypatch)
    assert "proxy" not in str(caught.value)


# ------------------------------------------------------------------ B3 no network

CORE = """
import sys

def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise SystemExit(f"the core asked for the network: {event} {arguments}")

sys.addaudithook(hook)
import torch
from pathlib import Path
from gancourse import checkpoints, cli, data, stylers, style
from gancourse.checks import grade
from gancourse.evaluation import features
from gancourse.models import vgg

assert len(data.digits("test").images) == 10_000
features(data.digits("test").images[:8])
photo = data.picture("fig")
log = list(style.stylise(photo, data.picture("hokusai-great-wave"),
                         style.StyleConfig(size=64, steps=2, levels=1)))[-1]
stylers.paint(stylers.gallery("kandinsky-composition-viii"), log.image)
for game in ("mlp", "conditional", "pix2pix", "cyclegan", "enhance"):
    train = ["train", game, "--steps", "1", "--batch-size", "4", "--save", game]
    assert cli.main([*train, "--device", "cpu"]) == 0, game
    assert cli.main(["sample", game, "--n", "4", "--out", f"{game}.png"]) == 0, game
verdict = grade("01.value", lambda real, fake: torch.nn.functional.logsigmoid(
    real).mean() + torch.nn.functional.logsigmoid(-fake).mean())
assert verdict.passed, verdict
cli.main(["doctor"])
print("all of it")
"""


@can_unshare
@pytest.mark.full
def test_b3_the_core_runs_without_a_network_and_asks_for_none(tmp_path):
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", CORE],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("all of it\n"), done.stdout[-2000:]
