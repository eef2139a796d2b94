"""Does a picture show what its caption says? A judge that never met the players.

It learns from handwriting that no player sees, on all pairs of digit and colour, and
reads one place of a picture at a time.

Remake it (about two minutes on one core):  python -m gancourse.caption_judge
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gancourse import data
from gancourse.caption_paint import paint
from gancourse.captions import PARTS, SLOT, THERE, scenes
from gancourse.models.classifier import ObjectReader

FILE = "captions/judge.safetensors"


def slots(pictures: Tensor) -> Tensor:
    """The two places of pictures (N, 3, 32, 16), (2N, 3, 16, 16)."""
    return pictures.unflatten(2, (2, SLOT)).transpose(1, 2).flatten(0, 1)


@lru_cache(maxsize=1)
def judge() -> ObjectReader:
    """The embedded judge in evaluation mode, frozen, on the CPU."""
    from safetensors.torch import load_file

    model = ObjectReader(sum(PARTS.values()))
    model.load_state_dict(load_file(data.asset(FILE)))
    return model.eval().requires_grad_(False)


@torch.no_grad()
def seen(judge: ObjectReader, pictures: Tensor) -> Tensor:
    """What the judge sees in pictures (N, 3, 32, 16) in [-1, 1]: (N, 2, 5)."""
    answers = judge(slots(pictures)).split(list(PARTS.values()), 1)
    objects = torch.stack([a.argmax(1) for a in answers], 1)
    return (objects * objects[:, :1]).view(-1, 2, 5)


def agreement(
    judge: ObjectReader, pictures: Tensor, described: Tensor
) -> dict[str, float]:
    """Share of objects whose parts the judge finds as the caption says, by part.

    "there" is over both places; the parts of an object over those objects that the
    caption names; "all" the share of pictures in which everything is right; "mean" the
    mean of the five parts.
    """
    found, told = seen(judge, pictures), described
    named = told[..., THERE].bool()
    same = found == told
    shares = {"place": same[..., THERE].float().mean().item()}
    for k, name in enumerate(PARTS):
        if k != THERE:
            shares[name] = same[named][:, k].float().mean().item()
    mean = sum(shares.values()) / len(shares)
    return {**shares, "mean": mean, "all": same.all(2).all(1).float().mean().item()}


# ------------------------------------------------------------------ its making


def handwriting(split: str) -> data.Digits:
    """MNIST's digits for "players" (20,000 of train), "judge" (the rest), "test"."""
    if split == "test":
        return data.digits("test")
    digits = data.digits("train")
    part = {"players": slice(20_000), "judge": slice(20_000, None)}[split]
    return data.Digits(digits.images[part], digits.labels[part])


def train_judge(
    steps: int = 4_000, size: int = 40_000, seed: int = 10_001
) -> ObjectReader:
    """A fresh judge, trained on `size` scenes of its own, in evaluation mode."""
    rng = torch.Generator().manual_seed(seed)
    told = scenes(size, rng, "all")
    pictures = paint(told, handwriting("judge"), rng)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        judge = ObjectReader(sum(PARTS.values()))
    opt = torch.optim.Adam(judge.parameters())
    rates = torch.optim.lr_scheduler.OneCycleLR(opt, 6e-3, steps)
    batches = data.batches((pictures, told), 64, seed)
    for step in range(steps):
        x, objects = batches[step]
        x = slots(x)
        x = x + 0.1 * torch.randn(x.shape, generator=rng)  # fakes are less clean
        loss = _reading_loss(judge(x), objects.flatten(0, 1))
        opt.zero_grad()
        loss.backward()
        opt.step()
        rates.step()
        if step % 500 == 499:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
    return judge.eval().requires_grad_(False)


def _reading_loss(logits: Tensor, objects: Tensor) -> Tensor:
    """The five answers' cross entropies; four of them only where an object is."""
    answers, there = logits.split(list(PARTS.values()), 1), objects[:, THERE] > 0
    loss = cross_entropy(answers[THERE], objects[:, THERE])
    for k in range(1, len(PARTS)):
        loss = loss + cross_entropy(answers[k][there], objects[there, k])
    return loss


def _main() -> None:
    """Retrain the judge and write it among the assets with its checksum."""
    import hashlib

    from safetensors.torch import save_file

    model, path = train_judge(), data.ASSETS / FILE
    path.parent.mkdir(exist_ok=True)
    save_file(model.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"Wrote {path}. Put this line into SHA256SUMS:\n{digest}  {FILE}")
    told = scenes(4_000, torch.Generator().manual_seed(1), "all")
    rng = torch.Generator().manual_seed(2)
    pictures = data.to_unit(paint(told, handwriting("test"), rng))
    print(agreement(model, pictures, told))


if __name__ == "__main__":
    _main()
