"""Files that somebody made to hurt: `python hostile.py FOLDER`, a world for each.

FOLDER holds a good run (steps 10, 20, 30) and receives one file after the other, whose
name vouches for its bytes, as an attacker would give it. Each is loaded, resumed from
and drawn from under a limit of memory; prints JSON, a line a file: what was said, how
long it took, how much memory it cost.
"""

import collections
import io
import json
import os
import pickle
import resource
import struct
import sys
import tarfile
import time
import warnings
import zipfile
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conftest import clear
from small_games import GAMES

from gancourse import checkpoints, play, storage
from gancourse.errors import GancourseError

SMALL = GAMES["points"]


class Runs:
    """Unpickling this calls a function."""

    def __init__(self, function, *args):
        self.recipe = function, args

    def __reduce__(self):
        return self.recipe


def packed(contents: object, **how) -> bytes:
    buffer = io.BytesIO()
    torch.save(contents, buffer, **how)
    return buffer.getvalue()


def repacked(contents: object, change) -> bytes:
    """The archive of `contents`, its (name, bytes) entries changed and stored."""
    source, target = zipfile.ZipFile(io.BytesIO(packed(contents))), io.BytesIO()
    entries = [(info.filename, source.read(info)) for info in source.infolist()]
    with warnings.catch_warnings(), zipfile.ZipFile(target, "w") as archive:
        warnings.simplefilter("ignore")  # two entries of one name
        for name, data in change(entries):
            archive.writestr(name, data)
    return target.getvalue()


def pickled(contents: object, program: bytes) -> bytes:
    """The archive of `contents` with another pickle inside."""
    return repacked(
        contents,
        lambda entries: [
            (name, program if name.endswith("data.pkl") else data)
            for name, data in entries
        ],
    )


def laughs(depth: int = 60) -> list:
    """A list of two lists of two lists …: 2^depth leaves from a few bytes."""
    value: list = []
    for _ in range(depth):
        value = [value, value]
    return value


def circle() -> list:
    value: list = []
    value.append(value)
    return value


class Rebuilt:
    """A tensor whose own recipe lies about it."""

    def __init__(self, size, stride, offset=0):
        self.told = size, stride, offset

    def __reduce__(self):
        storage = torch.zeros(4).storage()
        size, stride, offset = self.told
        empty = collections.OrderedDict()
        args = (storage, offset, size, stride, False, empty)
        return torch._utils._rebuild_tensor_v2, args


def scripted() -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


def in_a_tar(canary: Path) -> bytes:
    """torch's oldest format, with names that lead out of the folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("../../escaped", "/tmp/escaped", "storages", "pickle"):
            info = tarfile.TarInfo(name)
            data = pickle.dumps(Runs(open, str(canary), "w"))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def flagged_as_encrypted(data: bytes) -> bytes:
    damaged = bytearray(data)
    for magic, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = damaged.find(magic)
        while at >= 0:
            damaged[at + place] |= 1
            at = damaged.find(magic, at + 1)
    return bytes(damaged)


def lying_about_sizes(data: bytes) -> bytes:
    """The directory says that each entry unpacks to 4 GB."""
    damaged, at = bytearray(data), data.find(b"PK\1\2")
    while at >= 0:
        damaged[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
        at = damaged.find(b"PK\1\2", at + 1)
    return bytes(damaged)


def code(canary: Path):
    """Programs in the file, in every wrapping that torch.load has known."""
    touch = f"open({str(canary)!r}, 'w').close()"
    payloads = {
        "os.system": Runs(os.system, f"touch {canary}"),
        "exec": Runs(exec, touch),
        "eval": Runs(eval, f"open({str(canary)!r}, 'w')"),
        "open": Runs(open, str(canary), "w"),
        "deep inside": {"generators": [{"a": (torch.zeros(2), Runs(exec, touch))}]},
        "where a step should be": {"format": 1, "step": Runs(exec, touch)},
        "torch.load once more": Runs(torch.load, str(canary)),
        "torch.hub": Runs(torch.hub.load, "nobody/nothing", "nothing"),
        "a getattr chain": Runs(getattr, Runs(__import__, "os"), "system"),
        "load_from_bytes": Runs(
            torch.storage._load_from_bytes, pickle.dumps(Runs(exec, touch))
        ),
    }
    for name, payload in payloads.items():
        yield f"code, {name}, zip", packed(payload)
        yield (
            f"code, {name}, legacy",
            packed(payload, _use_new_zipfile_serialization=False),
        )
        yield f"code, {name}, bare pickle", pickle.dumps(payload)


def archives(good: dict, canary: Path):
    """Archives and pickles that are not what they say."""
    honest, program = packed(good), pickle.dumps(Runs(open, str(canary), "w"))
    yield "TorchScript", scripted()
    yield "a tar that leads out", in_a_tar(canary)
    yield "flagged as encrypted", flagged_as_encrypted(honest)
    yield "lying about sizes", lying_about_sizes(honest)
    yield (
        "a second pickle of the same name",
        repacked(good, lambda e: [*e, ("archive/data.pkl", program)]),
    )
    yield (
        "a first pickle of the same name",
        repacked(good, lambda e: [("archive/data.pkl", program), *e]),
    )
    yield (
        "no pickle at all",
        repacked(good, lambda e: [x for x in e if not x[0].endswith(".pkl")]),
    )
    yield (
        "no storages",
        repacked(good, lambda e: [x for x in e if "/data/" not in x[0]]),
    )
    yield (
        "a hundred thousand entries",
        repacked(
            good, lambda e: [*e, *((f"archive/x{k}", b"") for k in range(100_000))]
        ),
    )
    yield (
        "a string of 2^60 letters",
        pickled(good, b"\x80\x04\x8d" + b"\xff" * 8 + b"."),
    )
    yield "a number of 2^31 bytes", pickled(good, b"\x80\x02\x8b\xff\xff\xff\x7f.")
    yield "a memo without end", pickled(good, b"\x80\x02]r\xff\xff\xff\xff.")
    yield "a pickle without an end", pickled(good, b"\x80\x02]q\x00")
    yield "an empty stack", pickled(good, b"\x80\x020000.")
    yield "unknown operations", pickled(good, bytes(range(256)) * 4)
    yield "a persistent name that is none", pickled(good, b"\x80\x02K\x07Q.")
    yield (
        "lists 20,000 deep",
        pickled(good, b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b"."),
    )
    yield "a bytearray of 2^40", packed(Runs(bytearray, 2**40))


def tensors():
    """Tensors that no run writes; each takes the place of a weight."""
    yield "sparse", torch.zeros(4, 4).to_sparse()
    yield (
        "sparse with bogus places",
        torch.sparse_coo_tensor([[10**9]], [1.0], (4,), check_invariants=False),
    )
    yield "quantised", torch.quantize_per_tensor(torch.zeros(4), 0.1, 0, torch.qint8)
    yield "4 TB from 4 bytes", torch.zeros(1).expand(10**12)
    yield "meta", torch.zeros(4, device="meta")
    yield "nested", torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
    yield (
        "jagged",
        torch.nested.nested_tensor(
            [torch.zeros(2), torch.zeros(3)], layout=torch.jagged
        ),
    )
    for name in ("float8_e4m3fn", "float4_e2m1fn_x2", "bits8", "complex64", "uint64"):
        if hasattr(torch, name):
            yield name, torch.empty(4, dtype=getattr(torch, name))
    yield "beyond its storage", Rebuilt((10**6,), (1,))
    yield "of negative strides", Rebuilt((2, 2), (-1, -1), 3)
    yield "of a negative place", Rebuilt((4,), (1,), -(10**6))
    yield "of negative sizes", Rebuilt((-4,), (1,))
    yield "10^18 rows of nothing", torch.zeros(10**18, 0)


def contents(good: dict):
    """Dictionaries that look like a checkpoint and are none of this run's."""
    for key in ("recipe", "game", "rules", "made_with", "scalers"):
        yield f"2^60 leaves in {key}", {**good, key: {"G": laughs()}}
    yield "2^60 leaves in config", {**good, "config": {"seed": laughs()}}
    yield "a circle", {**good, "recipe": {"game": circle()}}
    yield "a format of 5,000 digits", {**good, "format": 10**5_000}
    yield "a format of 300 digits", {**good, "format": -(10**300)}
    bad = {"line\nbreak \x1b[31m red": torch.full((3,), float("nan"))}
    yield "a name with line breaks", {**good, "generators": bad}
    game = {"G\n\x1b]0;title\x07": [["x" * 10**6, 3]]}
    yield "players with line breaks", {**good, "game": game}
    yield (
        "a setting with line breaks",
        {
            **good,
            "config": {**good["config"], "seed": "\n\x1b[2J" * 50},
        },
    )
    for name in ("rng", "layer_rng"):
        state = torch.zeros(5056, dtype=torch.uint8)
        yield (
            f"{name} that is none",
            {
                **good,
                name: state if name == "rng" else [state],
            },
        )


def recipes(good: dict):
    """What `gancourse sample` would build players from."""
    large = {"game": "dcgan", "size": 64, "channels": 10**9}
    for name, recipe in {
        "of a list": {"game": []},
        "without sizes": {"game": "dcgan"},
        "of a giant": large,
        "of a giant of 10^30": {**large, "channels": 10**30},
        "of another size": {"game": "dcgan", "size": 28, "channels": 1},
        "with words for numbers": {"game": "dcgan", "size": "28", "channels": [1]},
        "of no task": {"game": "enhance", "data": "../../etc"},
        "of no data": {"game": "pix2pix", "data": "x", "size": 64, "channels": 13},
    }.items():
        yield f"a recipe {name}", {**good, "recipe": recipe}


def files(good: dict, canary: Path):
    """(name, how far it may get, bytes) of every hostile file."""
    for name, data in [*code(canary), *archives(good, canary)]:
        yield name, "load", data
    for name, tensor in tensors():
        players = {**good["generators"], "G.net.0.weight": tensor}
        yield f"a tensor, {name}", "resume", packed({**good, "generators": players})
    for name, wrong in contents(good):
        yield name, "resume", packed(wrong)
    for name, wrong in recipes(good):
        yield name, "sample", packed(wrong)


def said(use) -> str:
    """The clear sentence that `use` ends with; "" when it does not refuse."""
    try:
        use()
    except GancourseError as error:
        return clear(error)
    except BaseException as error:
        return f"RAW {type(error).__name__}: {error}"[:300]
    return ""


def memory() -> int:
    """Bytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def limit(extra: int) -> None:
    words = Path("/proc/self/statm").read_text().split()
    now = int(words[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + extra, now + extra))


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    canary, out = folder / "canary", sys.stdout
    sys.stdout = io.StringIO()  # what resume says to its reader
    good = {**checkpoints.latest(folder), "step": 40}
    uses = {
        "load": lambda path: checkpoints.load(path),
        "resume": lambda path: checkpoints.resume(folder, SMALL.game(), SMALL.config()),
        "sample": lambda path: play.generator(folder),
    }
    for use in uses.values():  # what is slow or large once has been
        said(lambda: use(folder / "step0000040-0123456789abcdef.pt"))
    limit(400_000_000)
    for name, stage, data in files(good, canary):
        path = folder / f"step0000040-{storage.digest(data)}.pt"
        path.write_bytes(data)
        print(json.dumps({"begun": name}), file=out, flush=True)
        before, begun = memory(), time.process_time()
        # A bad file is passed over for step 30; only what loads can be refused later.
        text = said(lambda: uses["load"](path)) or said(lambda: uses[stage](path))
        found = dict(
            file=name,
            said=text,
            seconds=round(time.process_time() - begun, 3),
            memory=memory() - before,
            size=len(data),
            ran=canary.exists(),
        )
        path.unlink()
        found["still"] = checkpoints.latest(folder)["step"]
        print(json.dumps(found), file=out, flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
