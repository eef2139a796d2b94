"""What a checkpoint holds: making it, checking it, comparing and restoring it.

A dictionary of tensors and primitives, so that loading it runs no code. Files and
folders are the business of checkpoints.py.
"""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn

from gancourse import losses
from gancourse.errors import CheckpointError
from gancourse.training import State

FORMAT = 1
_FREE = ("steps", "log_every", "device", "precision", "deterministic", "graph")
_SCHEMA = {
    "format": int,
    "game": dict,
    "rules": dict,
    "recipe": dict,
    "config": dict,
    "step": int,
    "generators": dict,
    "discriminators": dict,
    "ema": dict | None,
    "g_opt": dict,
    "d_opt": dict | None,
    "scalers": dict,
    "rng": Tensor,
    "layer_rng": list,
    "made_with": dict,
}
_WITH_TENSORS = ("generators", "discriminators", "ema", "g_opt", "d_opt", "scalers")
_DTYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16,
    torch.int64, torch.int32, torch.uint8, torch.bool,
)  # fmt: skip
_MOST = 50_000  # entries; the largest run of the course writes 1,100

# ------------------------------------------------------------------ making


def snapshot(state: State) -> dict:
    """All that a run depends on, as tensors and primitives (no code in the pickle)."""
    return {
        "format": FORMAT,
        "game": fingerprint(state.game_players()),
        "rules": rules(state.game),
        "recipe": state.recipe,
        "config": dataclasses.asdict(state.config),
        "step": state.step,
        "generators": state.generators.state_dict(),
        "discriminators": state.discriminators.state_dict(),
        "ema": None if state.ema is None else state.ema.state_dict(),
        "g_opt": state.g_opt.state_dict(),
        "d_opt": None if state.d_opt is None else state.d_opt.state_dict(),
        "scalers": {side: s.state_dict() for side, s in state.scalers.items()},
        "rng": state.rng.get_state(),
        "layer_rng": state.layer_rng,
        "made_with": _circumstances(state),
    }


def _circumstances(state: State) -> dict[str, str]:
    """What bit-exactness depends on besides the run itself."""
    return {
        "torch": str(torch.__version__),
        "device": state.device.type,
        "precision": state.precision,
        "threads": str(torch.get_num_threads()),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def fingerprint(players: dict[str, nn.Module]) -> dict[str, list]:
    """Per player its class and the shapes of its tensors: what must agree on resume."""
    return {
        name: [type(player).__name__]
        + [[key, *value.shape] for key, value in player.state_dict().items()]
        for name, player in players.items()
    }


def rules(game) -> dict[str, str]:
    """What of a game is no weight, by name: its class, loss, penalty, augmentation.

    Modules that are no players (a frozen VGG, the targets of a style) are left out:
    that they are the same on resuming is up to whoever builds the game.
    """
    settings = {k: v for k, v in vars(game).items() if not isinstance(v, nn.Module)}
    return {
        "game": type(game).__name__,
        **{name: _called(value) for name, value in settings.items()},
    }


def _called(value: object) -> str:
    if isinstance(value, losses.GANLoss):
        known = (name for name, loss in vars(losses).items() if loss is value)
        return next(known, "a loss of your own")
    if isinstance(value, partial):
        return f"{_called(value.func)} with {value.keywords}"
    if isinstance(value, Callable):
        return getattr(value, "__name__", type(value).__name__)
    return repr(value) if isinstance(value, int | float | str | None) else "…"


# ------------------------------------------------------------------ checking


def foreign(name: str) -> CheckpointError:
    """What to raise for a file that no run of gancourse wrote."""
    return CheckpointError(
        f"'{name}' is no checkpoint of gancourse. It was not used and left as it is. "
        "Choose a folder that `gancourse train --save` wrote."
    )


def check(name: str, contents: object, size: int) -> None:
    """Every entry there, of its type; every tensor dense, in the file, and finite."""
    if not isinstance(contents, dict) or not isinstance(contents.get("format"), int):
        raise foreign(name)
    if contents["format"] != FORMAT:
        raise CheckpointError(
            f"'{name}' has checkpoint format {shown(contents['format'], 20)}; this "
            f"gancourse reads format {FORMAT}. It was left as it is. Install that "
            "version."
        )
    lacking = [k for k, t in _SCHEMA.items() if not isinstance(contents.get(k, ...), t)]
    if lacking:
        raise CheckpointError(
            f"'{name}' lacks {', '.join(lacking)[:120]}, so the run cannot continue "
            "exactly. It was left as it is. Use an older checkpoint, or start again."
        )
    # Entries may be shared: a few bytes can stand for 2^60 of them.
    if sum(1 for _ in islice(_walk(contents), _MOST)) == _MOST:
        raise foreign(name)
    for where, tensor in _tensors(contents):
        if _strange(where, tensor, size):
            raise CheckpointError(
                f"'{name}' holds {where[:80]} in a layout that no run writes. It "
                "was not used. Delete it."
            )
    if bad := not_finite(contents):
        raise CheckpointError(
            f"'{name}' holds values that are not numbers ({bad}). It was not "
            "used. Continue from an older checkpoint with a lower learning rate."
        )


def _strange(where: str, tensor: Tensor, size: int) -> bool:
    """Whether a tensor of a file of `size` bytes is none that a run would write."""
    odd = tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta
    if odd or tensor.is_nested or tensor.dtype not in _DTYPES:
        return True
    place = where.split(".")[0] in (*_WITH_TENSORS, "rng", "layer_rng")
    return not place or tensor.numel() * tensor.element_size() > size


def not_finite(contents: dict) -> str:
    """Where the first value stands that is not a number; "" when all are."""
    for where, tensor in _tensors(contents):
        if not tensor.isfinite().all():
            return where[:80]
    return ""


def _tensors(value: object) -> list[tuple[str, Tensor]]:
    return [(w, t) for w, t in _walk(value) if isinstance(t, Tensor)]


def _walk(value: object, where: str = "") -> Iterator[tuple[str, object]]:
    """(where, what) for a value and, if it is a container, for all that is in it."""
    yield where.lstrip("."), value
    inside = ()
    if isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, list | tuple):
        inside = enumerate(value)
    for key, part in inside:
        yield from _walk(part, f"{where}.{shown(key)}")


def shown(value: object, letters: int = 80) -> str:
    """What a file says, as it may stand in a message: short, and on one line."""
    try:
        text = str(value)[:letters]
    except ValueError:  # an integer of more digits than Python likes to write
        text = "…"
    return "".join(letter if letter.isprintable() else "?" for letter in text)


# ------------------------------------------------------------------ continuing


def match(contents: dict, state: State, name: str) -> None:
    """Same players, same rules, same settings (but the free ones), or a sentence."""
    here, there = fingerprint(state.game_players()), contents["game"]
    if here != there:
        raise CheckpointError(
            f"The run in '{name}' was made by {_named(there)}; this one plays "
            f"{_named(here)}. It was left as it is. Use another folder, or the game "
            "that made it."
        )
    asked = {**dataclasses.asdict(state.config), **rules(state.game)}
    saved = {**asked, **contents["config"], **contents["rules"]}
    # With a decay the number of steps says how fast every step so far was.
    free = [key for key in _FREE if key != "steps" or not state.config.decay]
    changed = [
        f"{key} {shown(saved[key])} → {value}"
        for key, value in asked.items()
        if key not in free and _plain(saved[key]) != _plain(value)
    ]
    if changed:
        raise CheckpointError(
            f"The run in '{name}' had other settings "
            f"({'; '.join(changed)[:120]}), so continuing would mix two runs. It was "
            "left as it is. Use the old settings, another folder, or --fresh."
        )
    if not _fits(contents, state):
        raise CheckpointError(
            f"The run in '{name}' holds weights that do not fit the game "
            "it names. It was left as it is. Use an older checkpoint or another folder."
        )
    now, then = _circumstances(state), contents["made_with"]
    differs = [
        f"{k} {shown(then.get(k), 20)} → {v}"
        for k, v in now.items()
        if then.get(k) != v
    ]
    if differs:
        print(
            "Same run, but the last digits may differ from now on "
            f"({'; '.join(differs)})."
        )


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _named(game: dict[str, list]) -> str:
    """'G = DCGANGenerator (123,456 values)' for each player."""
    try:
        sizes = {
            name: sum(torch.Size(shape[1:]).numel() for shape in entry[1:])
            for name, entry in game.items()
        }
        players = [f"{n} = {game[n][0]} ({sizes[n]:,} values)" for n in game]
        return shown(", ".join(players), 110)
    except Exception:  # it may hold anything at all
        return "an unknown game"


def _fits(contents: dict, state: State) -> bool:
    """Whether every tensor has the shape and type that this run's own would have."""
    expected = snapshot(state)
    names = ["generators", "discriminators", "ema"]
    here = contents["made_with"].get("device") == state.device.type
    if here:
        names += ["rng", "layer_rng"]
    players = all(_alike(contents[name], expected[name]) for name in names)
    streams = not here or _streams_fit(contents, state.device)
    pairs = [("g_opt", state.g_opt), ("d_opt", state.d_opt)]
    fresh = contents["step"] == 0
    moments = all(_opt_fits(contents[n], opt, fresh) for n, opt in pairs)
    return players and streams and moments


def _streams_fit(contents: dict, device: torch.device) -> bool:
    """Whether the random states are such: any other bytes are of the same shape."""
    states = [contents["rng"], *contents["layer_rng"]]
    try:
        for state, where in zip(states, (device, "cpu", device), strict=False):
            torch.Generator(where).set_state(state)
    except (RuntimeError, TypeError):
        return False
    return True


def _alike(a: object, b: object) -> bool:
    if isinstance(b, Tensor):
        return isinstance(a, Tensor) and a.shape == b.shape and a.dtype == b.dtype
    if type(a) is not type(b):
        return isinstance(a, dict) and isinstance(b, dict) and _alike(dict(a), dict(b))
    if isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[k], b[k]) for k in b)
    if isinstance(b, list):
        return len(a) == len(b) and all(map(_alike, a, b))
    return True


def _opt_fits(saved: dict | None, opt: torch.optim.Adam | None, fresh: bool) -> bool:
    """Adam's averages must have the shapes of the weights, its group the same rules;
    torch looks at neither. Only a run that has yet to begin has no averages."""
    if saved is None or opt is None:
        return saved is None and opt is None
    own = dict(opt.param_groups[0])
    weights = own.pop("params")
    own.pop("lr")  # set anew at every step
    try:
        (group,), entries = saved["param_groups"], saved["state"]
        same = len(group["params"]) == len(weights)
        same &= all(_plain(group.get(k, v)) == _plain(v) for k, v in own.items())
        same &= fresh or len(entries) > 0
        return same and all(
            i in range(len(weights))
            and entry["step"].numel() == 1
            and all(_alike(entry[k], weights[i]) for k in ("exp_avg", "exp_avg_sq"))
            for i, entry in entries.items()
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return False


def restore(contents: dict, state: State) -> None:
    """Put matching contents into a fresh state."""
    state.generators.load_state_dict(contents["generators"])
    state.discriminators.load_state_dict(contents["discriminators"])
    if state.ema is not None:
        state.ema.load_state_dict(contents["ema"])
    state.g_opt.load_state_dict(contents["g_opt"])
    if state.d_opt is not None:
        state.d_opt.load_state_dict(contents["d_opt"])
    for side, scaler in state.scalers.items():
        if scaler.is_enabled() and contents["scalers"].get(side):
            scaler.load_state_dict(contents["scalers"][side])
    state.step = contents["step"]
    # Random states go in last: nothing above may disturb them. A state of another kind
    # of device does not fit; the run then goes on with a fresh stream, as was said.
    if contents["made_with"].get("device") == state.device.type:
        state.rng.set_state(contents["rng"])
        state.layer_rng = contents["layer_rng"]
    else:
        state.rng.manual_seed(state.config.seed + state.step)
