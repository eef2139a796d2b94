"""What a checkpoint holds: making it, checking it, comparing and restoring it.

A dictionary of tensors and primitives, so that loading it runs no code. Files and
folders are the business of checkpoints.py.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from gancourse import losses
from gancourse.errors import CheckpointError
from gancourse.training import State

FORMAT = 1
_FREE = ("steps", "log_every", "device", "precision", "deterministic")
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
    """What of a game is no weight, by name: its class, loss, penalty, augmentation."""
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
            f"'{name}' has checkpoint format {contents['format']}; this gancourse "
            f"reads format {FORMAT}. It was left as it is. Install that version."
        )
    lacking = [k for k, t in _SCHEMA.items() if not isinstance(contents.get(k, ...), t)]
    if lacking:
        raise CheckpointError(
            f"'{name}' lacks {', '.join(lacking)[:120]}, so the run can not continue "
            "exactly. It was left as it is. Use an older checkpoint, or start again."
        )
    for where, tensor in _tensors(contents):
        strange = (
            tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta
        )
        if strange or tensor.numel() * tensor.element_size() > size:
            raise CheckpointError(
                f"'{name}' holds {where[:80]} in a layout that no run writes. It "
                "was not used. Delete it."
            )
    if bad := not_finite(contents):
        raise CheckpointError(
            f"'{name}' holds values that are not numbers ({bad}). It was not "
            "used. Continue from an older checkpoint with a lower learning rate."
        )


def not_finite(contents: dict) -> str:
    """Where the first value stands that is not a number; "" when all are."""
    for where, tensor in _tensors(contents):
        if not tensor.isfinite().all():
            return where[:80]
    return ""


def _tensors(value: object, where: str = "") -> list[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(where.lstrip("."), value)]
    if isinstance(value, dict):
        return [t for k, v in value.items() for t in _tensors(v, f"{where}.{k}")]
    if isinstance(value, list | tuple):
        return [t for k, v in enumerate(value) for t in _tensors(v, f"{where}.{k}")]
    return []


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
    changed = [
        f"{key} {saved[key]} → {value}"
        for key, value in asked.items()
        if key not in _FREE and _plain(saved[key]) != _plain(value)
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
    differs = [f"{k} {then.get(k)} → {v}" for k, v in now.items() if then.get(k) != v]
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
        return ", ".join(players)[:110]
    except (TypeError, IndexError, KeyError):
        return "an unknown game"


def _fits(contents: dict, state: State) -> bool:
    """Whether every tensor has the shape and type that this run's own would have."""
    expected = snapshot(state)
    names = ["generators", "discriminators", "ema"]
    if contents["made_with"].get("device") == state.device.type:
        names += ["rng", "layer_rng"]
    players = all(_alike(contents[name], expected[name]) for name in names)
    pairs = [("g_opt", state.g_opt), ("d_opt", state.d_opt)]
    return players and all(_opt_fits(contents[n], opt) for n, opt in pairs)


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


def _opt_fits(saved: dict | None, opt: torch.optim.Optimizer | None) -> bool:
    """Adam's two averages must have the shapes of the weights; torch does not look."""
    if saved is None or opt is None:
        return saved is None and opt is None
    weights = opt.param_groups[0]["params"]
    try:
        groups = [len(group["params"]) for group in saved["param_groups"]]
        averages = [
            (weights[i].shape, {entry["exp_avg"].shape, entry["exp_avg_sq"].shape})
            for i, entry in saved["state"].items()
        ]
    except (KeyError, TypeError, IndexError, AttributeError):
        return False
    return groups == [len(weights)] and all(a == {shape} for shape, a in averages)


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
