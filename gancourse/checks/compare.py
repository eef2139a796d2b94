"""How examinations look at results: leniently in form, exactly in value."""

from collections.abc import Callable

import torch
from torch import Tensor

from gancourse.checks.verdict import Hint, Mistake
from gancourse.checks.wire import Other

# Misconceptions that any exercise can meet; their ids are the same everywhere.
COMMON = {
    "returns_nothing": Hint(
        "It returned None.",
        "A Python function without `return` gives None, whatever it has computed.",
        "End it with `return` and the result.",
    ),
    "no_numbers": Hint(
        "Its result is not made of numbers.",
        "The check compares numbers: a tensor, an array, a float or a list of them.",
        "Return the tensor itself, not a function, a module or text about it.",
    ),
    "shape": Hint(
        "The result has another shape than asked for.",
        "A mean or a sum over a wrong dimension, or none at all, changes the shape.",
        "Write down the shape after each line, and compare with the docstring.",
    ),
    "not_finite": Hint(
        "The result is not finite.",
        "Somewhere a logarithm of 0, a division by 0 or an overflow occurs.",
        "Try inputs by hand until you find the first line that gives inf or nan.",
    ),
    "writes_over_input": Hint(
        "It changed the tensors it was given.",
        "Operations that end in `_`, `+=` and `x[...] =` write into the same memory.",
        "Compute a new tensor: `x = x + 1` instead of `x += 1`.",
    ),
    "loses_gradient": Hint(
        "The value is right, but no gradient flows back through it.",
        "`.item()`, `.detach()`, `float(...)`, NumPy and `no_grad` cut the graph.",
        "Stay in PyTorch from the input to the result.",
    ),
    "other_value": Hint(
        "The result differs from the right one.",
        "It is none of the mistakes that this check knows.",
        "Take a row of the exercise's table, or the smallest input you can do by hand, "
        "and follow it through your code line by line.",
    ),
}


def tensor(value: object, shape: tuple[int, ...] | None = None) -> Tensor:
    """A result as float64: tensors, arrays, numbers and lists of them are all right.

    Where `shape` is (), one number in any shape will do; where it is (N,), (N, 1) will.
    """
    if value is None:
        raise Mistake("returns_nothing")
    try:
        found = torch.as_tensor(_plain(value))
    except (TypeError, ValueError, RuntimeError):
        raise Mistake("no_numbers", _seen(value)) from None
    found = _real(found).double()
    if shape is None:
        return found
    same = found.shape == shape or [n for n in found.shape if n != 1] == [
        n for n in shape if n != 1
    ]
    if not same:
        raise Mistake(
            "shape",
            f"Its shape is {tuple(found.shape)}, expected {shape or 'a number'}.",
        )
    return found.reshape(shape)


def _real(found: Tensor) -> Tensor:
    """Eigenvalues and roots of matrices come as complex numbers, real but for rounding.

    An imaginary part that is more than rounding is no number of ours.
    """
    if not found.is_complex():
        return found
    if (found.imag.abs() > 1e-4 * (1 + found.abs())).any():
        raise Mistake("no_numbers", "Its result has an imaginary part.")
    return found.real


def _plain(value: object) -> object:
    if isinstance(value, (list, tuple)):
        items = [_real(torch.as_tensor(_plain(item))).double() for item in value]
        if all(item.numel() == 1 for item in items):  # numbers, in whatever shape
            items = [item.reshape(()) for item in items]
        return torch.stack(items) if items else torch.empty(0)
    if isinstance(value, (str, dict, Other)) or callable(value):
        raise TypeError
    return value


def _seen(value: object) -> str:
    what = repr(value) if isinstance(value, Other) else f"a {type(value).__name__}"
    return f"Its result is {what}, not numbers."


def equal(
    got: Tensor, expected: Tensor, rtol: float = 1e-4, atol: float = 1e-6
) -> bool:
    """Equal up to rounding in float32 and another order of summation."""
    return torch.allclose(got, expected.double(), rtol=rtol, atol=atol)


def expect(
    got: Tensor,
    expected: Tensor,
    wrong: dict[str, Tensor | Callable[[], Tensor] | list[Tensor]],
    seen: str = "",
    rtol: float = 1e-4,
    atol: float = 1e-6,
) -> None:
    """Pass when equal; else raise the Mistake whose wrong result this is (or one of
    whose wrong results, where there is a list)."""
    expected = torch.as_tensor(expected).double()
    if equal(got, expected, rtol, atol):
        return
    found = {}
    for name, values in wrong.items():
        for value in values if isinstance(values, list) else [values]:
            value = torch.as_tensor(value() if callable(value) else value).double()
            if value.shape == got.shape and equal(got, value, rtol, atol):
                distance = (got - value).abs().max()
                found[name] = min(distance, found.get(name, distance))
    if found:  # two may lie close together by chance: the nearer one it is
        raise Mistake(min(found, key=found.get), seen)
    if not got.isfinite().all():
        raise Mistake("not_finite", seen)
    raise Mistake("other_value", seen or _difference(got, expected))


def _difference(got: Tensor, expected: Tensor) -> str:
    where = (got - expected).abs().argmax() if got.numel() else 0
    pair = got.flatten()[where].item(), expected.flatten()[where].item()
    return f"It gives {pair[0]:.6g} where {pair[1]:.6g} is right."


def unchanged(answer) -> None:
    """The answer's last call left its inputs alone."""
    if answer.changed:
        raise Mistake("writes_over_input")


def each(answer, cases: list[tuple], shape: tuple[int, ...] = ()) -> Tensor:
    """Results of answer(*case), one a row: a mistake has to fit all of them at once."""
    found = []
    for case in cases:
        found.append(tensor(answer(*case), shape))
        unchanged(answer)
    return torch.stack(found)
