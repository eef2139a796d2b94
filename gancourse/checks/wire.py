"""Values on their way from the learner's process to the judge: data, never code.

A pickle could run code where it is opened. So results travel as JSON: numbers, text,
lists, dictionaries, tensors as bytes; of anything else only the name of its type.
"""

import base64
import json

import torch
from torch import Tensor

LIMIT = 64_000_000  # characters
_DTYPES = {str(d): d for d in (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64,
    torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64,
    torch.complex128,
)}  # fmt: skip


class Other:
    """A value that is no data: only the name of its type is known to the judge."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"an object of type {self.name}"


def pack(value: object) -> bytes:
    """A result as JSON, in the process that made it; ValueError if it is too large."""
    message = json.dumps(_plain(value, 0)).encode()
    if len(message) > LIMIT:
        raise ValueError("its result is too large to be looked at")
    return message


def unpack(message: bytes) -> object:
    """The result as the judge sees it; ValueError for what no `pack` writes."""
    if len(message) > LIMIT:
        raise ValueError("the result is too large")
    return _value(json.loads(message))


def _plain(value: object, depth: int) -> dict:
    import numpy as np

    kind = type(value)
    if value is None or kind in (bool, int, str):
        return {"v": value}
    if kind is float:
        return {"f": value.hex()}
    if kind is complex:
        return _plain(torch.tensor(value, dtype=torch.complex128), depth)
    if kind in (Tensor, torch.nn.Parameter):
        if not _is_plain(value):
            how = (value.dtype, value.layout, f"on {value.device}")
            return {"o": f"{kind.__name__} ({', '.join(map(str, how))})"}
        if value.numel() * value.element_size() > LIMIT / 2:
            raise ValueError(f"its result is too large: {value.numel():,} numbers")
        flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        raw = base64.b64encode(flat.numpy().tobytes()).decode()
        return {"t": [str(value.dtype), list(value.shape), raw, value.requires_grad]}
    if kind is np.ndarray or isinstance(value, np.generic):
        try:
            return {"n": _plain(torch.as_tensor(np.array(value)), depth)["t"]}
        except (TypeError, KeyError):
            return {"o": kind.__name__}
    if kind in (list, tuple) and depth < 6 and len(value) <= 100_000:
        return {"l": [_plain(item, depth + 1) for item in value], "k": kind.__name__}
    if kind is dict and depth < 6 and all(type(k) is str for k in value):
        return {"d": {k: _plain(item, depth + 1) for k, item in value.items()}}
    return {"o": kind.__name__}


def _is_plain(tensor: Tensor) -> bool:
    """Whether its numbers can be read: not sparse, quantised, nested, without data."""
    odd = tensor.is_quantized or tensor.is_meta or tensor.is_nested
    return not odd and tensor.layout == torch.strided and str(tensor.dtype) in _DTYPES


def _value(plain: dict) -> object:
    ((kind, content),) = ((k, v) for k, v in plain.items() if k != "k")
    if kind == "f":
        return float.fromhex(content)
    if kind in "tn":
        dtype, shape, raw, grad = content
        data = bytearray(base64.b64decode(raw))
        flat = torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0)
        tensor = flat.view(_DTYPES[dtype]) if data else flat.to(_DTYPES[dtype])
        tensor = tensor.reshape(shape)
        tensor.had_grad, tensor.was_numpy = bool(grad), kind == "n"
        return tensor
    if kind == "l":
        return (tuple if plain.get("k") == "tuple" else list)(map(_value, content))
    if kind == "d":
        return {name: _value(item) for name, item in content.items()}
    return Other(content) if kind == "o" else content
