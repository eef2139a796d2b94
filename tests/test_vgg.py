"""VGG: the features are those of the published net, frozen, and layers have names."""

import socket
import time

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import conv2d, max_pool2d

from gancourse import data
from gancourse.errors import GancourseError
from gancourse.models import vgg


@pytest.fixture(scope="module")
def features():
    return vgg.vgg16(data.asset(vgg.WEIGHTS))


@pytest.fixture(scope="module")
def image():
    return data.to_unit(data.picture("dandelions", 64))[None]


def test_features_equal_the_published_recipe_step_by_step(features, image):
    """Pixels 0…255, blue green red, minus the mean; conv, ReLU; pool after a block."""
    weights = load_file(data.asset(vgg.WEIGHTS))
    pixels = (image + 1) * 127.5
    mean = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    x = torch.stack([pixels[:, 2], pixels[:, 1], pixels[:, 0]], 1) - mean
    for name in ("conv1_1", "conv1_2", "pool", "conv2_1"):
        if name == "pool":
            x = max_pool2d(x, 2)
            continue
        kernel, bias = (
            weights[f"{name}.{part}"].float() for part in ("weight", "bias")
        )
        x = conv2d(x, kernel, bias, padding=1).clamp_min(0)
    torch.testing.assert_close(features(image, ["conv2_1"])["conv2_1"], x)


def test_colours_are_turned_round(features):
    """Red and blue squares differ: a net that forgot BGR would swap their features."""
    red, blue = -torch.ones(2, 1, 3, 16, 16)
    red[:, 0], blue[:, 2] = 1, 1
    weights = load_file(data.asset(vgg.WEIGHTS))
    kernel, bias = weights["conv1_1.weight"].float(), weights["conv1_1.bias"].float()
    bgr = torch.tensor([0.0, 0.0, 255.0]) - torch.tensor([103.939, 116.779, 123.68])
    expected = (kernel.sum((2, 3)) @ bgr + bias).clamp_min(0)
    middle = features(red, ["conv1_1"])["conv1_1"][0, :, 8, 8]
    torch.testing.assert_close(middle, expected, rtol=1e-4, atol=1e-2)
    other = features(blue, ["conv1_1"])["conv1_1"][0, :, 8, 8]
    assert (middle - other).abs().max() > 1


def test_each_layer_has_its_name_its_width_and_its_scale(features, image):
    found = features(image, features.layers)
    assert list(found) == [
        "conv1_1", "conv1_2", "conv2_1", "conv2_2",
        "conv3_1", "conv3_2", "conv3_3", "conv4_1",
    ]  # fmt: skip
    for name, x in found.items():
        block = int(name[4])
        side = [s // 2 ** (block - 1) for s in image.shape[2:]]
        assert x.shape == (1, 32 * 2**block, *side), name
        assert x.min() >= 0, name


def test_it_is_frozen_but_lets_gradients_through(features, image):
    before = features.convs["conv1_1"].weight.clone()
    image = image.clone().requires_grad_()
    features(image, ["conv3_1"])["conv3_1"].square().mean().backward()
    assert image.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in features.parameters())
    assert torch.equal(before, features.convs["conv1_1"].weight)


def test_circular_padding_makes_features_move_with_the_picture():
    features = vgg.vgg16(data.asset(vgg.WEIGHTS), padding="circular")
    image = data.to_unit(data.picture("stream", 32)[:, :16, :16])[None]
    shifted = features(image.roll(4, -1), ["conv2_1"])["conv2_1"]
    still = features(image, ["conv2_1"])["conv2_1"]
    torch.testing.assert_close(shifted, still.roll(2, -1), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    ("images", "layers", "words"),
    [
        (torch.zeros(1, 3, 32, 32), ["relu9"], "no layer"),
        (torch.zeros(1, 3, 32, 32), [], "no layer"),
        (torch.zeros(1, 1, 32, 32), ["conv1_1"], "grey"),
        (torch.zeros(3, 32, 32), ["conv1_1"], r"\(N, 3, H, W\)"),
        (torch.zeros(1, 3, 8, 8), ["conv4_1"], "at least 16"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), ["conv1_1"], "to_unit"),
    ],
)
def test_wrong_input_is_named(features, images, layers, words):
    with pytest.raises(GancourseError, match=words):
        features(images, layers)


@pytest.mark.parametrize("wrong", [{"pooling": "min"}, {"padding": "none"}])
def test_a_wrong_choice_is_named(wrong):
    with pytest.raises(GancourseError, match=r"average.*circular"):
        vgg.VGG((1,), **wrong)


# ------------------------------------------------------------------ VGG-19, online


def test_vgg19_is_torchvisions_net():
    """Its own weights are out of reach of a test: random ones show the same wiring."""
    from torchvision.models import vgg19

    torch.manual_seed(0)
    full = vgg19()
    theirs = full.features[:21]  # to conv4_1's ReLU
    ours = vgg._from_torchvision(full.state_dict(), vgg.VGG((2, 2, 4, 4, 4)))
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = ((image + 1) / 2 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    found = ours(image, ["conv4_1"])["conv4_1"]
    torch.testing.assert_close(found, theirs(pixels), rtol=1e-4, atol=1e-5)
    assert not any(p.requires_grad for p in ours.parameters())


def test_without_a_network_vgg19_says_so_within_five_seconds(tmp_path, monkeypatch):
    """B4: a server that accepts and never answers is the worst case."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        url = f"http://127.0.0.1:{hole.getsockname()[1]}/vgg19-dcbb9e9d.pth"
        monkeypatch.setattr(vgg, "VGG19_URL", url)
        began = time.monotonic()
        with pytest.raises(GancourseError, match="embedded VGG-16"):
            vgg.vgg19()
    assert time.monotonic() - began < 30  # generous: machines differ, hangs do not


def test_a_damaged_vgg19_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"half a file")
    with pytest.raises(GancourseError, match=r"Delete .*vgg19-dcbb9e9d\.pth"):
        vgg.vgg19()
