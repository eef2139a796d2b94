"""The loops that most tutorials show, written plainly: what the course's are held to.

Each has the layers of ours and the habits of a tutorial: a DataLoader with PIL
transforms, 32-bit numbers, channels first, a discriminator that collects gradients in
the generator's move, Sigmoid and BCELoss, and `.item()` at every step. Each is an
endless iterator that plays one step at each `next`.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from gancourse import losses
from gancourse.models import vgg
from gancourse.models.dcgan import init_dcgan

# ------------------------------------------------------------------ DCGAN


class Pictures(Dataset):
    """Digits (N, 1, 28, 28), uint8, one by one through PIL, as ImageFolder has them."""

    def __init__(self, images: Tensor, size: int):
        from torchvision import transforms

        self.images = images
        self.transform = transforms.Compose(
            [
                transforms.Resize(size),
                transforms.ToTensor(),
                transforms.Normalize((0.5,), (0.5,)),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Tensor:
        return self.transform(Image.fromarray(self.images[i, 0].numpy()))


def dcgan_generator(nz: int = 100, ngf: int = 64) -> nn.Module:
    """Latents (N, nz, 1, 1) to images (N, 1, 64, 64): Radford et al. 2016, figure 1."""
    layers: list[nn.Module] = []
    widths = [nz, 8 * ngf, 4 * ngf, 2 * ngf, ngf]
    for i, (before, after) in enumerate(pairwise(widths)):
        stride, padding = (1, 0) if i == 0 else (2, 1)
        layers += [
            nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(True),
        ]
    layers += [nn.ConvTranspose2d(ngf, 1, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.Sequential(*layers).apply(init_dcgan)


def dcgan_discriminator(ndf: int = 64) -> nn.Module:
    """Images (N, 1, 64, 64) to probabilities (N, 1, 1, 1)."""
    layers: list[nn.Module] = [nn.Conv2d(1, ndf, 4, 2, 1, bias=False)]
    layers += [nn.LeakyReLU(0.2, True)]
    for k in (1, 2, 4):
        layers += [
            nn.Conv2d(k * ndf, 2 * k * ndf, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * k * ndf),
            nn.LeakyReLU(0.2, True),
        ]
    layers += [nn.Conv2d(8 * ndf, 1, 4, 1, 0, bias=False), nn.Sigmoid()]
    return nn.Sequential(*layers).apply(init_dcgan)


def dcgan(
    netG: nn.Module, netD: nn.Module, images: Tensor, batch: int = 64, device="cpu"
) -> Iterator[float]:
    """Train on digits at 64 pixels, Adam 2e-4; each `next` is one step."""
    netG, netD = netG.to(device), netD.to(device)
    loader = DataLoader(Pictures(images, 64), batch, shuffle=True, drop_last=True)
    criterion = nn.BCELoss()
    optD = torch.optim.Adam(netD.parameters(), 2e-4, (0.5, 0.999))
    optG = torch.optim.Adam(netG.parameters(), 2e-4, (0.5, 0.999))
    ones, zeros = torch.ones(batch, device=device), torch.zeros(batch, device=device)
    while True:
        for real in loader:
            real = real.to(device)
            netD.zero_grad()
            output = netD(real).view(-1)
            errD_real = criterion(output, ones)
            errD_real.backward()
            D_x = output.mean().item()
            fake = netG(torch.randn(batch, 100, 1, 1, device=device))
            output = netD(fake.detach()).view(-1)
            errD_fake = criterion(output, zeros)
            errD_fake.backward()
            D_G_z1 = output.mean().item()
            errD = errD_real + errD_fake
            optD.step()
            netG.zero_grad()
            output = netD(fake).view(-1)  # D's weights collect gradients in vain
            errG = criterion(output, ones)
            errG.backward()
            D_G_z2 = output.mean().item()
            optG.step()
            yield errD.item() + errG.item() + D_x + D_G_z1 + D_G_z2


# ------------------------------------------------------------------ pix2pix


def pix2pix(G: nn.Module, D: nn.Module, pairs: list, device="cpu") -> Iterator[float]:
    """Train on pairs (x, y) of PIL pictures, one at a time; each `next` is a step."""
    from torchvision import transforms

    read = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
    )
    read_all = [(read(x), read(y)) for x, y in pairs]
    G, D = G.to(device), D.to(device)
    gan, l1 = nn.BCEWithLogitsLoss(), nn.L1Loss()
    optG = torch.optim.Adam(G.parameters(), 2e-4, (0.5, 0.999))
    optD = torch.optim.Adam(D.parameters(), 2e-4, (0.5, 0.999))
    while True:
        for x, y in DataLoader(read_all, 1, shuffle=True):
            x, y = x.to(device), y.to(device)
            fake = G(x)
            D.requires_grad_(True)  # this one does freeze D in the other's move
            optD.zero_grad()
            of_fake = D(torch.cat([x, fake.detach()], 1))
            of_real = D(torch.cat([x, y], 1))
            loss_D_fake = gan(of_fake, torch.zeros_like(of_fake))
            loss_D_real = gan(of_real, torch.ones_like(of_real))
            (0.5 * (loss_D_fake + loss_D_real)).backward()
            optD.step()
            D.requires_grad_(False)
            optG.zero_grad()
            of_fake = D(torch.cat([x, fake], 1))
            loss_G = gan(of_fake, torch.ones_like(of_fake)) + 100 * l1(fake, y)
            loss_G.backward()
            optG.step()
            yield loss_D_fake.item() + loss_D_real.item() + loss_G.item()


# ------------------------------------------------------------------ style


def plain_vgg(net: vgg.VGG, frozen: bool) -> vgg.VGG:
    """A copy of `net`, channels first; unfrozen it collects gradients in vain."""
    from copy import deepcopy

    plain = deepcopy(net).to(memory_format=torch.contiguous_format)
    return plain.requires_grad_(not frozen)


def gram(features: Tensor) -> Tensor:
    """Gram matrices (N, C, C), as most tutorials write them."""
    n, c, h, w = features.shape
    flat = features.reshape(n, c, h * w)
    return torch.bmm(flat, flat.transpose(1, 2)) / (c * h * w)


def relative(x: Tensor, target: Tensor) -> Tensor:
    apart = (x - target).pow(2).flatten(1).sum(1)
    return (apart / target.pow(2).flatten(1).sum(1)).mean()


def terms(found: dict, content: dict, grams: dict, image: Tensor) -> dict[str, Tensor]:
    """The terms of the course's objective, written plainly."""
    style = [relative(gram(found[k]), grams[k]) for k in grams]
    return {
        "content": sum(relative(found[k], content[k]) for k in content) / len(content),
        "style": sum(style) / len(style),
        "tv": losses.total_variation(image),
    }


def gatys(objective, image: Tensor) -> Iterator[float]:
    """L-BFGS on the pixels with clamping in the closure; `next` is one evaluation.

    `objective(image)` gives (loss, parts); the image is changed in place.
    """
    image.requires_grad_()
    optimizer = torch.optim.LBFGS([image], max_iter=1, history_size=100)
    while True:

        def closure():
            with torch.no_grad():
                image.clamp_(-1, 1)
            optimizer.zero_grad()
            loss, parts = objective(image)
            loss.backward()
            sum(part.item() for part in parts.values())
            return loss

        yield optimizer.step(closure).item()


def fast_style(
    G: nn.Module, net: vgg.VGG, painting: Tensor, photos: list, batch: int
) -> Iterator[float]:
    """Johnson et al. 2016: train G on photographs (PIL); each `next` is one step."""
    from torchvision import transforms

    read = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
    )
    loader = DataLoader([read(x) for x in photos], batch, shuffle=True, drop_last=True)
    optimizer = torch.optim.Adam(G.parameters(), 1e-3)
    layers = ["conv1_1", "conv2_1", "conv3_1", "conv4_1"]
    grams = {k: gram(v).detach() for k, v in net(painting, layers).items()}
    while True:
        for x in loader:
            optimizer.zero_grad()
            y = G(x)
            found, wanted = net(y, layers), net(x, layers)  # only one layer is used
            parts = terms(found, {"conv4_1": wanted["conv4_1"]}, grams, y)
            total = parts["content"] + 60 * parts["style"] + 2 * parts["tv"]
            total.backward()
            optimizer.step()
            yield parts["content"].item() + parts["style"].item() + total.item()
