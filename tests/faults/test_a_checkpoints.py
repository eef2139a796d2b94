"""Part A of the fault list: whatever happens to a process, a disk or a file, no saved
step is lost, nothing damaged is used, and one sentence says so."""

import errno
import io
import os
import pickle
import random
import resource
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path, PureWindowsPath

import pytest
import torch
from counts import count
from small_games import GAMES, LIGHT, digest, play

from gancourse import checkpoints, snapshot, storage
from gancourse.errors import CheckpointError
from gancourse.training import train

SERVER = Path(__file__).with_name("kill_server.py")
SMALL = GAMES["points"]


@pytest.fixture(autouse=True)
def one_thread(threads):
    threads(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run saved at steps 10, 20, 30; tests copy it."""
    folder = tmp_path_factory.mktemp("faults") / "run"
    state = SMALL.state()
    for log in train(state, SMALL.batches(state.config)):
        if log.step in (10, 20, 30):
            checkpoints.save(state, folder)
        if log.step == 30:
            return folder


@pytest.fixture
def copy(run, tmp_path):
    """A copy of the run, to be damaged."""
    shutil.copytree(run, tmp_path / "copy", ignore=lambda *_: [".lock"])
    return tmp_path / "copy"


def newest(folder: Path) -> Path:
    return checkpoints._generations(folder)[0][1]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix == ".pt"}


def resume(folder: Path):
    return checkpoints.resume(folder, SMALL.game(), SMALL.config())


def trained(until=35):
    state = SMALL.state()
    play(state, SMALL.batches(state.config), until=until)
    return state


# ------------------------------------------------------------------ damaged files


def refused(path: Path, assert_clear, *named: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        checkpoints.load(path)
    return assert_clear(caught.value, path.name[-60:], *named)


def test_a_file_cut_at_any_length_is_never_used(copy, assert_clear, capsys):
    path = newest(copy)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 1024), 1, 2, 3, len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path, assert_clear)
        assert checkpoints.latest(copy)["step"] == 20
    said = capsys.readouterr().out.splitlines()
    assert set(said) == {
        "Step 30 in copy is missing or damaged; continuing from step 20."
    }


@pytest.mark.parametrize(
    "flips", [200, pytest.param(3000, marks=pytest.mark.full)], ids=str
)
def test_one_flipped_bit_anywhere_is_never_used(flips, copy, assert_clear):
    """A12."""
    path, rng = newest(copy), random.Random(flips)
    whole = path.read_bytes()
    # the first bytes say what kind a file is, the last hold the archive's directory
    ends = [(i, bit) for i in [*range(8), *range(-128, 0)] for bit in range(8)]
    places = [(rng.randrange(len(whole)), rng.randrange(8)) for _ in range(flips)]
    for place, bit in ends + places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        refused(path, assert_clear)
    assert checkpoints.latest(copy)["step"] == 20
    assert resume(copy).step == 20
    count("A12", "damaged checkpoints, none loaded: flipped bits", len(ends + places))


def damages(whole: bytes, rng: random.Random):
    """(kind, bytes) of one file, damaged in every way that disks and networks have."""
    n, size = len(whole), 1 << rng.randrange(4, 12)
    one, other = (rng.randrange(n - size) for _ in range(2))
    bit = bytearray(whole)
    bit[one] ^= 1 << rng.randrange(8)
    yield "flipped bits", bytes(bit)
    yield "cuts", whole[: rng.randrange(n)]
    yield "cuts", whole[rng.randrange(1, n) :]
    yield "lost pieces", whole[:one] + whole[one + size :]
    yield "zeroed blocks", whole[:one] + bytes(size) + whole[one + size :]
    yield "repeated pieces", whole[: one + size] + whole[one:]
    one, other = sorted((one, other))
    if other - one >= size:
        a, b = whole[one : one + size], whole[other : other + size]
        middle = whole[one + size : other]
        yield "swapped blocks", whole[:one] + b + middle + a + whole[other + size :]


@pytest.mark.full
@pytest.mark.parametrize("name", LIGHT)
def test_no_damage_to_any_family_s_checkpoint_is_loaded(name, tmp_path, assert_clear):
    """A11, A12: flips, cuts, swaps, holes; the older checkpoint is used each time."""
    small, rng, kinds = GAMES[name], random.Random(name), Counter()
    state = small.state(steps=2, log_every=1)
    for _ in train(state, small.batches(state.config)):
        checkpoints.save(state, tmp_path)
    path = newest(tmp_path)
    whole = path.read_bytes()
    for _ in range(30):
        for kind, damaged in damages(whole, rng):
            if damaged != whole:  # a block of zeros may be zeroed
                path.write_bytes(damaged)
                refused(path, assert_clear)
                kinds[kind] += 1
    assert checkpoints.latest(tmp_path)["step"] == 1
    path.write_bytes(whole)
    assert checkpoints.latest(tmp_path)["step"] == 2
    assert kinds.total() >= 150
    for kind, number in kinds.items():
        count("A12", f"damaged checkpoints, none loaded: {kind}", number)


def test_files_with_each_others_names_are_never_used(copy, assert_clear):
    paths = [path for _, path in checkpoints._generations(copy)]
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths[:2], reversed(contents[:2]), strict=True):
        path.write_bytes(content)
    for path in paths[:2]:
        refused(path, assert_clear, "damaged")
    assert checkpoints.latest(copy)["step"] == 10


FOREIGN = {
    "empty": (b"", "empty"),
    "JPEG": (b"\xff\xd8\xff\xe0" + bytes(500), "JPEG"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(500), "PNG"),
    "PDF": (b"%PDF-1.7 ...", "PDF"),
    "web page": (b"<!DOCTYPE html><title>403 Forbidden</title>", "web page"),
    "text": ("dear diary".encode("utf-16"), "no checkpoint"),
    "bare pickle": (pickle.dumps({"step": 3}), "pickle"),
    "half a zip": (b"PK\3\4" + bytes(300), "incomplete"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_checkpoint_is_named_by_its_kind(kind, copy, assert_clear):
    content, word = FOREIGN[kind]
    newest(copy).write_bytes(content)
    refused(newest(copy), assert_clear, word)
    (copy / "best.pt").write_bytes(content)
    refused(copy / "best.pt", assert_clear, word)
    assert checkpoints.latest(copy)["step"] == 20


def test_a_folder_or_nothing_where_a_file_should_be_is_said(copy, assert_clear):
    refused(copy, assert_clear, "a folder")
    refused(copy / "step0000099-0123456789abcdef.pt", assert_clear, "not there")
    path = newest(copy)
    path.unlink()
    path.mkdir()
    assert checkpoints.latest(copy)["step"] == 20


def test_a_checkpoint_that_was_renamed_is_not_believed(copy, assert_clear):
    path = newest(copy).rename(copy / "best.pt")
    refused(path, assert_clear, "lost its name")


def test_when_every_file_is_damaged_nothing_starts_silently(copy, assert_clear):
    for path in copy.glob("*.pt"):
        path.write_bytes(path.read_bytes()[:-1])
    before = bytes_of(copy)
    with pytest.raises(CheckpointError) as caught:
        resume(copy)
    assert_clear(caught.value, "copy", "step 30", "left as they are")
    assert bytes_of(copy) == before


def test_any_subset_of_files_lost_or_damaged_the_newest_whole_one_wins(run, tmp_path):
    rng = random.Random(0)
    for case in range(200):
        folder = tmp_path / str(case)
        folder.mkdir()
        whole = []
        for step, path in checkpoints._generations(run):
            fate = rng.choice(["whole", "whole", "lost", "cut", "flipped", "empty"])
            data = bytearray(path.read_bytes())
            if fate == "lost":
                continue
            if fate == "whole":
                whole.append(step)
            elif fate == "cut":
                data = data[: rng.randrange(len(data))]
            elif fate == "flipped":
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            else:
                data = b""
            (folder / path.name).write_bytes(data)
        if whole or not any(folder.iterdir()):
            contents = checkpoints.latest(folder)
            assert (contents["step"] if contents else None) == max(whole, default=None)
        else:
            with pytest.raises(CheckpointError):
                checkpoints.latest(folder)
        shutil.rmtree(folder)
    count("A31", "sets of files lost or damaged: the newest whole one is found", 200)


# ------------------------------------------------------------------ hostile files


def named_for(folder: Path, data: bytes, step: int = 40) -> Path:
    """A file whose name vouches for any bytes, as an attacker would give it."""
    path = folder / f"step{step:07d}-{storage.digest(data)}.pt"
    path.write_bytes(data)
    return path


def saved_as(folder: Path, contents: object, **how) -> Path:
    buffer = io.BytesIO()
    torch.save(contents, buffer, **how)
    return named_for(folder, buffer.getvalue())


class Runs:
    """Unpickling this runs a program."""

    def __init__(self, function, *args):
        self.recipe = function, args

    def __reduce__(self):
        return self.recipe


def payloads(canary: Path):
    touch = f"open({str(canary)!r}, 'w').close()"
    yield Runs(os.system, f"touch {canary}")
    yield Runs(exec, touch)
    yield Runs(eval, touch.replace(".close()", ""))
    yield Runs(open, str(canary), "w")
    yield {"format": 1, "step": Runs(exec, touch)}
    yield {"generators": [{"deep": (torch.zeros(2), Runs(exec, touch))}]}
    yield Runs(getattr, Runs(__import__, "os"), "system")
    yield Runs(torch.load, str(canary))


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_code_in_a_file_is_never_run(number, form, copy, tmp_path, assert_clear):
    canary = tmp_path / "canary"
    payload = list(payloads(canary))[number]
    if form == "pickle":
        path = named_for(copy, pickle.dumps(payload))
    else:
        zipped = form == "zip"
        path = saved_as(copy, payload, _use_new_zipfile_serialization=zipped)
    text = refused(path, assert_clear)
    if form == "zip":
        assert "program code" in text
    assert not canary.exists()
    assert checkpoints.latest(copy)["step"] == 30


def contents_of(folder: Path) -> dict:
    """What the newest file holds, as if it were of step 40."""
    return {**checkpoints.load(newest(folder)), "step": 40}


@pytest.mark.parametrize("key", snapshot._SCHEMA)
@pytest.mark.parametrize("how", ["missing", "of another kind"])
def test_each_entry_that_is_not_there_is_named(key, how, copy, assert_clear):
    contents = contents_of(copy)
    if how == "missing":
        del contents[key]
    else:
        contents[key] = (1.5,)
    path = saved_as(copy, contents)
    refused(path, assert_clear, *([key] if key != "format" else []))
    assert checkpoints.latest(copy)["step"] == 30


def test_another_format_asks_for_the_version_that_reads_it(copy, assert_clear):
    path = saved_as(copy, {**contents_of(copy), "format": 2})
    refused(path, assert_clear, "format 2", "Install")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["generators", "discriminators", "ema", "g_opt"])
def test_values_that_are_no_numbers_are_refused_and_named(
    where, value, copy, assert_clear
):
    contents = contents_of(copy)
    tensors = [t for _, t in snapshot._tensors(contents[where]) if t.numel() > 1]
    tensors[0].view(-1)[1] = value
    refused(saved_as(copy, contents), assert_clear, where)
    assert checkpoints.latest(copy)["step"] == 30


def strange_tensors():
    yield torch.zeros(4, 4).to_sparse()
    yield torch.zeros(4, 4).to_sparse_csr()
    yield torch.sparse_coo_tensor([[10**9]], [1.0], (4,), check_invariants=False)
    yield torch.quantize_per_tensor(torch.zeros(4), 0.1, 0, torch.qint8)
    yield torch.zeros(1).expand(10**12)  # 4 TB from 4 bytes
    yield torch.zeros(1).expand(10**6, 10**6)
    yield torch.zeros(4, device="meta")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", range(7))
def test_tensors_that_no_run_writes_are_refused_without_a_crash(
    number, copy, assert_clear
):
    contents = contents_of(copy)
    contents["generators"]["G.net.0.weight"] = list(strange_tensors())[number]
    refused(saved_as(copy, contents), assert_clear)


def repacked(contents: dict, how: int, pickled: bytes | None = None) -> bytes:
    """A checkpoint whose archive is packed another way, or holds another pickle."""
    buffer, target = io.BytesIO(), io.BytesIO()
    torch.save(contents, buffer)
    source = zipfile.ZipFile(buffer)
    with zipfile.ZipFile(target, "w", how) as archive:
        for entry in source.infolist():
            data = source.read(entry)
            if pickled is not None and entry.filename.endswith("data.pkl"):
                data = pickled
            archive.writestr(entry.filename, data)
    return target.getvalue()


def test_an_archive_that_unpacks_to_more_than_it_is_is_not_unpacked(copy, assert_clear):
    contents = contents_of(copy)
    bomb = {**contents, "bomb": torch.zeros(20_000_000)}
    data = repacked(bomb, zipfile.ZIP_DEFLATED)
    assert len(data) < 1_000_000
    refused(named_for(copy, data), assert_clear)
    packed = repacked(contents, zipfile.ZIP_DEFLATED)
    refused(named_for(copy, packed), assert_clear)  # nothing we wrote is compressed
    assert checkpoints.latest(copy)["step"] == 30


def test_endless_nesting_is_refused(copy, assert_clear):
    bottomless = b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b"."
    data = repacked(contents_of(copy), zipfile.ZIP_STORED, bottomless)
    refused(named_for(copy, data), assert_clear)


def test_endless_nesting_inside_a_whole_checkpoint_is_refused(copy, assert_clear):
    buffer = io.BytesIO()
    torch.save({**contents_of(copy), "recipe": {"deep": "PLACEHOLDER"}}, buffer)
    archive = zipfile.ZipFile(buffer)
    (name,) = [n for n in archive.namelist() if n.endswith("data.pkl")]
    text = b"X\x0b\0\0\0PLACEHOLDER"
    assert archive.read(name).count(text) == 1
    deep = archive.read(name).replace(text, b"]" * 20_000 + b"a" * 19_999)
    data = repacked(contents_of(copy), zipfile.ZIP_STORED, deep)
    refused(named_for(copy, data), assert_clear)
    assert checkpoints.latest(copy)["step"] == 30


@pytest.mark.parametrize("pickled", [b"", b"\x80\x02}", b"\x80\x02}q\0.", None])
def test_an_archive_that_torch_stumbles_over_is_refused(pickled, copy, assert_clear):
    data = repacked(contents_of(copy), zipfile.ZIP_STORED, pickled)
    if pickled is None:  # a zip, but none of torch's
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr("holiday.txt", "sun")
        data = target.getvalue()
    refused(named_for(copy, data), assert_clear)
    assert checkpoints.latest(copy)["step"] == 30


HALF_MATCHES = {
    "a weight is gone": lambda c: c["generators"].popitem(),
    "a weight too many": lambda c: c["generators"].update(extra=torch.zeros(2)),
    "nothing fits": lambda c: c.update(generators={}),
    "another shape": lambda c: c["discriminators"].update(
        {"D.net.0.weight": torch.zeros(3, 2)}
    ),
    "another type": lambda c: c["generators"].update(
        {"G.net.0.weight": c["generators"]["G.net.0.weight"].double()}
    ),
    "a list for a weight": lambda c: c["generators"].update({"G.net.0.weight": [1.0]}),
    "Adam of another size": lambda c: c["g_opt"]["state"][0].update(
        exp_avg=torch.zeros(7)
    ),
    "Adam with other weights": lambda c: c["d_opt"]["param_groups"][0].update(
        params=[0, 1]
    ),
    "Adam without averages": lambda c: c["g_opt"].update(state={}),
    "Adam's average of a weight that is none": lambda c: c["g_opt"]["state"].update(
        {-1: c["g_opt"]["state"].pop(0)}
    ),
    "Adam with another rule": lambda c: c["d_opt"]["param_groups"][0].update(
        maximize=True
    ),
    "Adam that lost count": lambda c: c["g_opt"]["state"][0].pop("step"),
    "a random state that is none": lambda c: c.update(
        rng=torch.zeros(5056, dtype=torch.uint8)
    ),
    "a tensor for a setting": lambda c: c["config"].update(seed=torch.zeros(3)),
    "Adam without groups": lambda c: c["g_opt"].clear(),
    "a short random state": lambda c: c.update(rng=torch.zeros(3, dtype=torch.uint8)),
    "no layer's random state": lambda c: c.update(layer_rng=[]),
    "no average": lambda c: c.update(ema=None),
    "no optimizer of D": lambda c: c.update(d_opt=None),
    "a step before the first": lambda c: c.update(step=-5),
    "another step than its name": lambda c: c.update(step=12),
    "settings of a stranger": lambda c: c["config"].update(g_lr="fast"),
}


@pytest.mark.parametrize("what", HALF_MATCHES)
def test_half_a_match_is_never_accepted(what, copy, assert_clear):
    contents = contents_of(copy)
    HALF_MATCHES[what](contents)
    for path in copy.glob("*.pt"):
        path.unlink()
    saved_as(copy, contents)
    before = bytes_of(copy)
    with pytest.raises(CheckpointError) as caught:
        resume(copy)
    assert_clear(caught.value)
    assert bytes_of(copy) == before


def test_the_same_file_without_a_half_match_is_accepted(copy):
    saved_as(copy, contents_of(copy))
    assert resume(copy).step == 40


# ------------------------------------------------------------------ disks


@pytest.fixture
def small_files():
    """No file may grow past 16 KB: about half of what a checkpoint needs."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield lambda: limit(16_000)
    limit(before[0])


def test_a_full_disk_is_said_costs_nothing_saved_and_training_goes_on(
    copy, small_files, assert_clear
):
    state, before = resume(copy), bytes_of(copy)
    batches = SMALL.batches(state.config)
    play(state, batches, until=35)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    small_files()
    with pytest.raises(CheckpointError) as caught:
        checkpoints.save(state, copy)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_clear(caught.value, "Step 35", "disk is full", "KB", "last saved step is 30")
    assert bytes_of(copy) == before and not list(copy.glob(".step*"))
    play(state, batches)
    checkpoints.save(state, copy)
    truth = SMALL.state()
    play(truth, batches)
    assert digest(state) == digest(truth)
    assert checkpoints.latest(copy)["step"] == 60


@pytest.mark.parametrize(
    "code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOTCONN, errno.EROFS]
)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_whatever_the_disk_answers_the_last_checkpoint_stands(
    call, code, copy, monkeypatch, assert_clear
):
    state, before = trained(), bytes_of(copy)

    def fails(*_):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fails)
        with pytest.raises(CheckpointError) as caught:
            checkpoints.save(state, copy)
    assert_clear(caught.value, "Step 35", "last saved step is 30")
    assert bytes_of(copy) == before and not list(copy.glob(".step*"))
    checkpoints.save(state, copy)
    assert checkpoints.latest(copy)["step"] == 35


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_can_not_flush_still_keeps_files_whole(
    code, copy, monkeypatch
):
    def fails(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fails)
    checkpoints.save(trained(), copy)
    assert checkpoints.latest(copy)["step"] == 35


def test_a_rename_that_does_nothing_is_not_called_saved(
    copy, monkeypatch, assert_clear
):
    monkeypatch.setattr(os, "replace", lambda *_: None)
    with pytest.raises(CheckpointError) as caught:
        checkpoints.save(trained(), copy)
    assert_clear(caught.value, "Step 35", "last saved step is 30")
    monkeypatch.undo()
    assert resume(copy).step == 30


def test_a_disk_that_gives_back_other_bytes_is_not_called_saved(
    copy, monkeypatch, assert_clear
):
    honest = os.replace

    def lossy(source, target):
        source.write_bytes(source.read_bytes()[:-7] + bytes(7))
        honest(source, target)

    monkeypatch.setattr(os, "replace", lossy)
    with pytest.raises(CheckpointError) as caught:
        checkpoints.save(trained(), copy)
    assert_clear(caught.value, "Step 35", "reads back differently", "step is 30")
    monkeypatch.undo()
    assert checkpoints.latest(copy)["step"] == 30


def test_a_virus_scanner_that_holds_the_file_a_moment_is_waited_for(copy, monkeypatch):
    honest, held = os.replace, [1, 2]

    def sometimes(source, target):
        if held:
            held.pop()
            raise PermissionError(errno.EACCES, "in use")
        honest(source, target)

    monkeypatch.setattr(os, "replace", sometimes)
    checkpoints.save(trained(), copy)
    assert checkpoints.latest(copy)["step"] == 35 and not held


INSIDE = """
import sys
from pathlib import Path, PureWindowsPath
sys.path.insert(0, {tests!r})
from conftest import clear
from small_games import GAMES, play
from gancourse import checkpoints
from gancourse.errors import CheckpointError

small, folder = GAMES["points"], Path({folder!r})
def resume(where):
    return checkpoints.resume(where, small.game(), small.config())
def refused(use, *named):
    try:
        use()
    except CheckpointError as error:
        print("SAID", clear(error, *named))
    else:
        sys.exit("not refused")
{body}
"""


def in_a_world_of_its_own(mount: str, body: str, tmp_path: Path) -> str:
    """Run `body` in a child that may mount file systems as it likes; skip where not."""
    tests = str(Path(__file__).resolve().parents[1])
    script = tmp_path / "inside.py"
    script.write_text(INSIDE.format(tests=tests, folder=str(tmp_path / "m"), body=body))
    (tmp_path / "m").mkdir()
    if not shutil.which("unshare"):
        pytest.skip("no unshare here, so no file system of our own to fill")
    probe = subprocess.run(["unshare", "-rm", "true"], capture_output=True)
    if probe.returncode:
        pytest.skip("this machine allows no mounts of our own")
    line = f"{mount.format(m=tmp_path / 'm')} && exec {sys.executable} {script}"
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", line], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


def test_a_really_full_disk_is_said_before_the_first_step_and_while_saving(tmp_path):
    body = """
refused(lambda: resume(folder / "run"), "0.1 MB free", "Nothing was started")
(folder / "filler").unlink()
state = resume(folder / "run")
play(state, small.batches(state.config), until=10)
good = checkpoints.save(state, folder / "run")
before = good.read_bytes()
try:
    (folder / "filler").write_bytes(bytes(10**7))
except OSError:
    pass
play(state, small.batches(state.config), until=20)
refused(lambda: checkpoints.save(state, folder / "run"), "Step 20", "is full", "10")
assert good.read_bytes() == before
(folder / "filler").unlink()
play(state, small.batches(state.config))
checkpoints.save(state, folder / "run")
assert resume(folder / "run").step == 60
print("DONE")
"""
    fill = (
        "mount -t tmpfs -o size=300k none {m} && head -c 240000 /dev/zero > {m}/filler"
    )
    assert "DONE" in in_a_world_of_its_own(fill, body, tmp_path)


def test_a_folder_that_can_not_be_written_is_said_before_the_first_step(tmp_path):
    body = """
refused(lambda: resume(folder), "cannot be written", "Nothing was started")
refused(lambda: resume(folder / "new"), "cannot be written", "Nothing was started")
refused(lambda: checkpoints.save(small.state(), folder), "Step 0", "cannot be written")
print("DONE")
"""
    only_read = "mount -t tmpfs none {m} && mount -o remount,ro {m}"
    assert "DONE" in in_a_world_of_its_own(only_read, body, tmp_path)


def test_a_drive_that_vanishes_costs_a_sentence_and_the_run_goes_on_elsewhere(
    tmp_path, monkeypatch, assert_clear
):
    """A30: errno 107, as when Colab's Drive drops; every call on its folder fails."""
    drive, state = tmp_path / "drive", SMALL.state()
    batches = SMALL.batches(state.config)
    play(state, batches, until=10)
    checkpoints.save(state, drive)
    honest = {name: getattr(os, name) for name in ("open", "stat", "mkdir", "replace")}

    def gone(name):
        def call(path, *args, **kwargs):
            if str(path).startswith(str(drive)):
                raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN), str(path))
            return honest[name](path, *args, **kwargs)

        return call

    def no_file(path, *args, **kwargs):
        return gone("open")(path) if str(path).startswith(str(drive)) else open(path)

    with monkeypatch.context() as patch:
        for name in honest:
            patch.setattr(os, name, gone(name))
        patch.setattr(storage, "open", no_file, raising=False)
        play(state, batches, until=20)
        with pytest.raises(CheckpointError) as caught:
            checkpoints.save(state, drive)
        assert_clear(caught.value, "Step 20", "another folder")
        for use in (checkpoints.latest, resume):
            with pytest.raises(CheckpointError) as caught:
                use(drive)
            assert_clear(caught.value, "drive")
    checkpoints.save(state, tmp_path / "here")  # as it says
    play(state, batches)
    checkpoints.save(state, drive)  # mounted again
    assert checkpoints.latest(drive)["step"] == 60
    assert checkpoints.latest(tmp_path / "here")["step"] == 20


def test_a_current_folder_that_changes_or_goes_between_steps_changes_nothing(
    tmp_path, monkeypatch
):
    """A29: a folder given in full is where it was, wherever the notebook stands."""
    state = resume(tmp_path / "run")
    batches, away = SMALL.batches(state.config), tmp_path / "away"
    for until in (10, 20, 30):
        play(state, batches, until=until)
        away.mkdir()
        monkeypatch.chdir(away)
        away.rmdir()
        checkpoints.save(state, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert checkpoints.latest(tmp_path / "run")["step"] == 30


@pytest.mark.parametrize(
    ("key", "then"), [("torch", "2.8.0"), ("cpu", "SSE4"), ("threads", "64")]
)
def test_another_torch_processor_or_thread_count_is_said_and_goes_on(
    key, then, copy, capsys
):
    """A22."""
    contents = contents_of(copy)
    contents["made_with"][key] = then
    saved_as(copy, contents)
    assert resume(copy).step == 40
    said = capsys.readouterr().out
    assert "last digits may differ" in said and f"{key} {then} → " in said


def test_every_name_that_is_written_is_allowed_on_windows(tmp_path, monkeypatch):
    """A28: no colon, no star, nothing reserved; blocked renames are tested above."""
    names, honest = set(), os.replace

    def noting(source, target):
        names.update(Path(path).name for path in (source, target))
        honest(source, target)

    monkeypatch.setattr(os, "replace", noting)
    checkpoints.save(trained(), tmp_path / "run")
    names |= {path.name for path in (tmp_path / "run").iterdir()}
    assert len(names) == 3  # the lock, the file, and the file before it had its name
    for name in names:
        assert not set(name) & set('<>:"/\\|?*') and not name.endswith((".", " "))
        assert not PureWindowsPath(name).is_reserved() and len(name) < 64
    # a Windows path is one name here, and a folder like any other
    monkeypatch.chdir(tmp_path)
    checkpoints.save(trained(), r"C:\runs\aux")
    assert checkpoints.latest(r"C:\runs\aux")["step"] == 35
