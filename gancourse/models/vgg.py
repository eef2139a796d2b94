"""VGG (Simonyan & Zisserman 2015) as a measuring device: what layers see.

The embedded net is VGG-16 up to conv4_1; torchvision's VGG-19 is the online upgrade.
Neither is ever trained here. Nothing is needed to load the embedded one but its file:

    features = vgg16(data.asset(vgg.WEIGHTS))
    features(images, ["conv1_1", "conv3_1"])["conv3_1"]  # (N, 256, H/4, W/4)
"""

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu

from gancourse import online, storage
from gancourse.errors import GancourseError
from gancourse.models.resnet import ReflectConv2d

WEIGHTS = "vgg16/vgg16_conv1_1_to_conv4_1_fp16.safetensors"  # for data.asset
VGG19_URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"  # 548 MB
_VGG16, _VGG19 = (2, 2, 3, 1), (2, 2, 4, 4, 4)  # convolutions in each block
_POOLS = {"max": max_pool2d, "average": avg_pool2d}


class VGG(nn.Module):
    """Features of images (N, 3, H, W) in [-1, 1], by the name of the layer.

    "conv3_1" is the first convolution of the third block, after its ReLU. Weights are
    frozen; gradients reach the images. `padding` is that of the convolutions ("zeros",
    "reflect", "circular"); `pooling` is "max", or "average" as Gatys et al. prefer.
    """

    def __init__(
        self, blocks: tuple[int, ...], pooling: str = "max", padding: str = "zeros"
    ):
        super().__init__()
        if pooling not in _POOLS or padding not in ("zeros", "reflect", "circular"):
            raise GancourseError(
                f"VGG pools by 'max' or 'average', not {pooling!r}, and pads by "
                f"'zeros', 'reflect' or 'circular', not {padding!r}. Choose of these."
            )
        self.pool = _POOLS[pooling]
        self.convs, inputs = nn.ModuleDict(), 3
        for block, count in enumerate(blocks, 1):
            outputs = min(64 * 2 ** (block - 1), 512)
            for i in range(1, count + 1):
                if padding == "reflect":
                    conv = ReflectConv2d(inputs, outputs, 3)
                else:
                    conv = nn.Conv2d(
                        inputs, outputs, 3, padding=1, padding_mode=padding
                    )
                self.convs[f"conv{block}_{i}"], inputs = conv, outputs
        # The pixels that the weights were trained on: scale * (image + 1) - mean, with
        # the colours in this order. The embedded net sees 0…255, blue green red.
        order = torch.tensor([2, 1, 0])
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("scale", torch.tensor([127.5] * 3))
        self.register_buffer("mean", torch.tensor([103.939, 116.779, 123.68]))
        self.eval().requires_grad_(False)

    @property
    def layers(self) -> list[str]:
        """Names of all layers, from the shallowest to the deepest."""
        return list(self.convs)

    def forward(self, images: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        wanted = self._check(images, layers)
        x = images[:, self.order] + 1
        x = x * self.scale.view(1, 3, 1, 1) - self.mean.view(1, 3, 1, 1)
        found, block = {}, "1"
        for name, conv in self.convs.items():
            if name[4] != block:
                x, block = self.pool(x, 2), name[4]
            x = relu(conv(x))
            if name in wanted:
                found[name] = x
            if len(found) == len(wanted):
                return found

    def _check(self, images: Tensor, layers: Iterable[str]) -> set[str]:
        """The layers as a set: all of them exist, and the images are large enough."""
        wanted = {layers} if isinstance(layers, str) else set(layers)
        if not wanted or not wanted <= set(self.convs):
            raise GancourseError(
                f"This VGG has no layer {sorted(wanted - set(self.convs)) or '(none)'}."
                f" Choose of {', '.join(self.layers)}."
            )
        least = 2 ** max(int(name[4]) for name in wanted)
        if not isinstance(images, Tensor):
            raise GancourseError(
                f"VGG looks at a tensor (N, 3, H, W), not at a {type(images).__name__}."
                " Use data.to_unit(image)[None]."
            )
        if (
            images.ndim != 4
            or images.shape[1] != 3
            or not images.is_floating_point()
            or min(images.shape[2:]) < least
        ):
            raise GancourseError(
                f"VGG looks at floats (N, 3, H, W) in [-1, 1] with sides of at least "
                f"{least}, not at {tuple(images.shape)} of {images.dtype}. Make "
                "uint8 floats with data.to_unit, and repeat a grey channel three times."
            )
        return wanted


def vgg16(file: str | Path, pooling: str = "max", padding: str = "zeros") -> VGG:
    """The embedded VGG-16, conv1_1 … conv4_1, from data.asset(vgg.WEIGHTS), frozen."""
    from safetensors.torch import load

    model, content = VGG(_VGG16, pooling, padding), b""
    try:
        content = Path(file).read_bytes()
        weights = {f"convs.{name}": w.float() for name, w in load(content).items()}
        if not all(w.isfinite().all() for w in weights.values()):
            raise ValueError("values that are no numbers")
        model.load_state_dict({**weights, "scale": model.scale, "mean": model.mean})
    except Exception as error:  # no such file, no safetensors, another net
        digest = hashlib.sha256(content).hexdigest()[:12]
        raise GancourseError(
            f"'{Path(file).name[-60:]}' does not hold the VGG-16 of this course "
            f"({type(error).__name__}; SHA-256 {digest} …). Nothing was loaded. Use "
            "data.asset(vgg.WEIGHTS), whose bytes are verified."
        ) from None
    return model


def vgg19(pooling: str = "max", padding: str = "zeros") -> VGG:
    """torchvision's VGG-19, conv1_1 … conv5_4: a download of 548 MB, once.

    Without a network it says so within five seconds; a file kept earlier needs none.
    """
    name = VGG19_URL.rsplit("/", 1)[1]
    file = Path(torch.hub.get_dir()) / "checkpoints" / name  # torchvision's own place
    if not file.is_file():
        file = online.kept(name) or online.keep(name, _fetch19())
    try:
        content = file.read_bytes()
        if not _is_vgg19(content):
            raise ValueError("its digest is not that of its name")
        weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return _from_torchvision(weights, VGG(_VGG19, pooling, padding))
    except Exception as error:
        raise GancourseError(
            f"VGG-19 could not be loaded ({type(error).__name__}). Delete "
            f"{storage.shown(file)} and try again, or use the embedded VGG-16, "
            "which needs no network."
        ) from None


def _is_vgg19(content: bytes) -> bool:
    """Whether its SHA-256 begins as the name of the file says."""
    digest = VGG19_URL.rsplit("-", 1)[1].removesuffix(".pth")
    return hashlib.sha256(content).hexdigest().startswith(digest)


def _fetch19() -> bytes:
    what = "VGG-19 (548 MB from download.pytorch.org) needs the internet"
    instead = "Use the embedded VGG-16 instead, vgg16(data.asset(vgg.WEIGHTS))."
    return online.fetch(VGG19_URL, 700_000_000, _is_vgg19, what, instead)


def _from_torchvision(weights: dict[str, Tensor], model: VGG) -> VGG:
    """Copy torchvision's "features.0.weight" … into `model`, with its preprocessing."""
    names = [n for n in weights if n.startswith("features.") and n.endswith(".weight")]
    names.sort(key=lambda name: int(name.split(".")[1]))
    for conv, name in zip(model.convs.values(), names, strict=True):
        conv.weight.data.copy_(weights[name])
        conv.bias.data.copy_(weights[name.replace("weight", "bias")])
    std, mean = torch.tensor([0.229, 0.224, 0.225]), torch.tensor([0.485, 0.456, 0.406])
    model.order = torch.arange(3)
    model.scale, model.mean = 0.5 / std, mean / std
    return model
