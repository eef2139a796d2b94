"""A pretended GPU: tensors that say they lie there, while the processor computes them.

No machine of the tests has a GPU. What goes wrong on one is mostly this: a tensor that
was left behind, or one of the device's handed to NumPy. Both fail here as on CUDA. What
CUDA alone does (its kernels, 16 bits, streams, graphs) is in test_cuda.py.

`install()` puts it into this process; `files(folder)` writes what does so in a kernel.
It stands on PyTorch's support for devices that are written in Python.
"""

import atexit
import contextlib
import os
import sys
from pathlib import Path

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

NAME, SETUP = "gpu", "_setup_privateuseone_for_python_backend"
POSSIBLE = hasattr(backend_registration, SETUP)
# What may take tensors of both sides: copies, and indices that come from the processor.
MIXED = ("aten.copy_", "aten._to_copy", "aten.index.", "aten.index_put", "aten.set_")
MIXED += ("aten._index_put", "aten._unsafe_index")
COUNT = [0]


class Module(getattr(backend_registration, "_DummyBackendModule", object)):
    """What torch asks of `torch.gpu`."""

    def get_amp_supported_dtype(self) -> list:
        return [torch.bfloat16]

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


class OnGPU(torch.Tensor):
    """A tensor whose numbers are in `here`, and which says that it lies on the GPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, here: torch.Tensor):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            here.size(),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            layout=here.layout,
            device=torch.device(NAME, 0),
        )

    def __init__(self, here: torch.Tensor):
        self.here = here

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return computed(operation, args, kwargs or {})

    def __repr__(self):
        return f"on the {NAME}: {self.here!r}"

    def __format__(self, form):
        return format(self.here.item() if self.dim() == 0 else repr(self), form)

    def __tensor_flatten__(self):
        return ["here"], None

    @staticmethod
    def __tensor_unflatten__(inner, meta, size, stride):
        return OnGPU(inner["here"])


class Everywhere(TorchDispatchMode):
    """Sees operations on no such tensor, too: those that make one."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return computed(operation, args, kwargs or {})


def computed(operation, args: tuple, kwargs: dict):
    """The operation, on the side where its tensors lie."""
    leaves = tree_leaves((args, kwargs))
    there = [x for x in leaves if isinstance(x, OnGPU)]
    plain = [x for x in leaves if torch.is_tensor(x) and not isinstance(x, OnGPU)]
    device, name = kwargs.get("device"), str(operation)
    to_gpu = device is not None and torch.device(device).type == NAME
    if not there and not to_gpu:
        return operation(*args, **kwargs)
    target_is_plain = bool(args) and any(args[0] is x for x in plain)
    if there and any(x.dim() for x in plain) and not name.startswith(MIXED):
        raise RuntimeError(f"Expected all tensors to be on the same device ({name})")
    if target_is_plain and "index" in name:
        raise RuntimeError(f"indices should be on the CPU ({name})")
    COUNT[0] += 1
    inner, keywords = tree_map_only(OnGPU, lambda x: x.here, (args, kwargs))
    if device is not None:
        keywords["device"] = torch.device("cpu")
    out = operation(*inner, **keywords)
    if name.startswith("aten._local_scalar"):
        return out
    if name.startswith(("aten.copy_", "aten.set_")) and target_is_plain:
        return args[0]
    if name.startswith("aten._to_copy") and device is not None:
        out = out.clone()  # never the same memory on both sides
    if device is not None and not to_gpu:
        return out
    out = tree_map(lambda x: OnGPU(x) if torch.is_tensor(x) else x, out)
    if there and any(map(torch.is_tensor, tree_leaves(out))):
        return return_and_correct_aliasing(operation, args, kwargs, out)
    return out


class Generator(torch.Generator):
    """A stream that says where it lies; the numbers come from here."""

    def __new__(cls, device="cpu"):
        self = super().__new__(cls, device="cpu")
        self.lies_on = torch.device(device)
        return self

    @property
    def device(self):
        return self.lies_on


@contextlib.contextmanager
def fork_rng(*args, **kwargs):
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)


def install() -> None:
    """From now on "auto" and "cuda" are this device; "auto" is 32 bits there."""
    getattr(backend_registration, SETUP)(NAME, backend_module=Module())
    from gancourse import hardware

    device, save = torch.device(NAME, 0), torch.save
    pick_device, pick_precision = hardware.pick_device, hardware.pick_precision

    def device_of(asked="auto"):
        known = str(asked) in ("auto", "cuda", NAME, str(device))
        return device if known else pick_device(asked)

    def precision_of(asked, where, *players):
        if asked == "auto" and where.type == NAME:
            return "fp32"
        return pick_precision(asked, where, *players)

    def saved(contents, *args, **kwargs):
        return save(tree_map_only(OnGPU, lambda x: x.here, contents), *args, **kwargs)

    hardware.pick_device, hardware.pick_precision = device_of, precision_of
    torch.save, torch.Generator, torch.random.fork_rng = saved, Generator, fork_rng
    torch._C._set_multithreading_enabled(False)  # gradients are computed here as well
    Everywhere().__enter__()
    if "PRETENDED_GPU" in os.environ:
        atexit.register(lambda: _note(Path(os.environ["PRETENDED_GPU"])))


def _note(folder: Path) -> None:
    (folder / f"{os.getpid()}.count").write_text(str(COUNT[0]))


def files(folder: Path) -> dict[str, str]:
    """Write what installs it in every kernel; returns the environment for that."""
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "if any('ipykernel' in word for word in sys.orig_argv):\n"
        f"    sys.path.append({str(Path(__file__).parent)!r})\n"
        "    import pretended_gpu\n"
        "    pretended_gpu.install()\n"
    )
    here = str(Path(__file__).parents[1])
    return {
        "PYTHONPATH": os.pathsep.join([str(folder), here]),
        "PRETENDED_GPU": str(folder),
    }


if __name__ == "__main__":  # a command of `gancourse` on it
    install()
    from gancourse import cli

    sys.exit(cli.main(sys.argv[1:]))
