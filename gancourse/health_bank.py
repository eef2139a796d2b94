"""Recorded runs with labels: what `health.verdict` is judged by.

Each run is its logs, 500 samples (200 for digits, at 14 x 14 and 16 greys) and the law
it learned from. Its label comes from `staging`: how it was made ill, confirmed by what
health does not know (true modes, new data, the players' weights).
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from gancourse import data, figures, health
from gancourse.training import StepLog

FILE = "health/bank.safetensors"
PARTS = ("accuracy", "real_logit", "fake_logit")
COLUMNS = ("step", "d_loss", "g_loss", "d_grad_norm", "g_grad_norm", *PARTS)
MIXTURES = {
    "ring": data.ring(std=0.1),
    "grid": data.grid(std=0.1),
    "humps": data.mixture_1d(),
    "spirals": data.spirals(),
    "one": data.mixture_1d((1.0,), std=0.1),
}


class Run(NamedTuple):
    """A recorded run; `evidence` says in words what confirmed the label."""

    label: str
    law: str
    recipe: str
    seed: int
    evidence: str
    logs: list[StepLog]
    samples: Tensor

    @property
    def real(self) -> Tensor:
        """What it learned from, in the form of its samples."""
        return real(self.law)


# ------------------------------------------------------------------ laws


def some(n: int, seed: int = 0) -> Tensor:
    """n points (n, 2) of one wide Gaussian: few of them can be learned by heart."""
    return 1.5 * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


@lru_cache
def real(law: str) -> Tensor:
    """Training data of a law: points (N, d), or small digits (N, 1, 14, 14).

    "ring", "grid", "humps", "spirals", "one"; "few 8" are eight points, "digits",
    "digits 8" the first eight of them.
    """
    name, _, few = law.partition(" ")
    if name == "few":
        return some(int(few))
    if name == "digits":
        return small(data.digits().images[: int(few or 2000)])
    return MIXTURES[name].sample(2000, torch.Generator().manual_seed(9))


def small(images: Tensor) -> Tensor:
    """Digits (N, 1, 28, 28) as (N, 1, 14, 14) in [-1, 1], in 16 greys."""
    unit = data.to_unit(images) if images.dtype == torch.uint8 else images
    return (torch.nn.functional.avg_pool2d(unit, 2) * 7.5 + 7.5).round() / 7.5 - 1


# ------------------------------------------------------------------ the file


def write(runs: Sequence[Run], path: Path) -> None:
    """Write the bank as one safetensors file."""
    from safetensors.torch import save_file

    tensors, labels = {}, []
    for k, run in enumerate(runs):
        values = [[_value(log, name) for name in COLUMNS] for log in run.logs]
        tensors[f"{k:03}/logs"] = torch.tensor(values)
        tensors[f"{k:03}/samples"] = _packed(run.samples)
        labels.append(run._replace(logs=None, samples=None)._asdict())
    save_file(tensors, path, {"runs": json.dumps(labels)})


def load_bank(path: Path | None = None) -> list[Run]:
    """The recorded runs, those embedded in the course unless a path is given."""
    from safetensors import safe_open

    with safe_open(path or data.asset(FILE), "pt") as file:
        labels = json.loads(file.metadata()["runs"])
        return [
            Run(**label)._replace(
                logs=_logs(file.get_tensor(f"{k:03}/logs")),
                samples=_unpacked(file.get_tensor(f"{k:03}/samples")),
            )
            for k, label in enumerate(labels)
        ]


def _value(log: StepLog, name: str) -> float:
    return log.parts[name] if name in PARTS else getattr(log, name)


def _logs(table: Tensor) -> list[StepLog]:
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in table.tolist()]
    return [
        StepLog(parts={name: row.pop(name) for name in PARTS}, **row) for row in rows
    ]


def _packed(x: Tensor) -> Tensor:
    """Points (N, d) in half precision; digits as two greys a byte, (N, 98)."""
    if x.ndim == 2:
        return x.clamp(-6e4, 6e4).half()  # what has run away stays a number
    greys = (x * 7.5 + 7.5).round().byte().flatten(1)
    return greys[:, ::2] * 16 + greys[:, 1::2]


def _unpacked(x: Tensor) -> Tensor:
    if x.dtype != torch.uint8:
        return x.float()
    greys = torch.stack([x // 16, x % 16], 2).reshape(-1, 1, 14, 14)
    return greys / 7.5 - 1


# ------------------------------------------------------------------ judging


def judge(runs: Sequence[Run]) -> Tensor:
    """Counts (7, 7): rows are labels, columns verdicts, both in health.NAMES' order."""
    table = torch.zeros(len(health.NAMES), len(health.NAMES), dtype=torch.long)
    for run in runs:
        found = health.verdict(run.logs, run.samples, run.real).name
        table[health.NAMES.index(run.label), health.NAMES.index(found)] += 1
    return table


def share_right(table: Tensor) -> float:
    """Share of runs whose verdict is their label."""
    return (table.trace() / table.sum()).item()


def show_confusion(table: Tensor, ax=None):
    """Draw what `judge` returns: runs of each label against verdicts."""
    import matplotlib.pyplot as plt

    ax = ax or plt.figure(figsize=(5.6, 4.4)).add_subplot()
    ax.imshow(table / table.sum(1, keepdim=True).clamp_min(1), cmap="Blues", vmax=1.4)
    for i, j in table.nonzero().tolist():
        color = figures.FAKE if i != j else "black"
        ax.text(j, i, int(table[i, j]), ha="center", va="center", color=color)
    ticks = range(len(health.NAMES))
    ax.set(xlabel="verdict", ylabel="what it is", xticks=ticks, yticks=ticks)
    ax.set_xticklabels(health.NAMES, rotation=35, ha="right")
    ax.set_yticklabels(health.NAMES)
    ax.grid(False)
    return ax
