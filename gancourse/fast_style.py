"""Style transfer as games: the net paints, one look at a photograph is enough.

`FastStyle` (one player) minimises Gatys' three terms over many photographs, so that
one painting's style ends up in the weights. `AdversarialStyle` adds a patch critic that
learns what the painting looks like. `AdaINStyle` (one player) trains the decoder that
paints in any style. The eye, VGG, is frozen and no player: no checkpoint holds it.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gancourse import losses
from gancourse.errors import GancourseError
from gancourse.games import logits
from gancourse.losses import GANLoss
from gancourse.models import vgg
from gancourse.models.transform import adain
from gancourse.style import LAYERS, features

CONTENT = "conv4_1"  # the layer that says what is where


class Eye(nn.Module):
    """The frozen VGG and what it saw in one painting (1, 3, H, W) in [-1, 1].

    Called with paintings and their photographs, both (N, 3, h, w), and the names of
    terms, it gives those terms: "content" and "style" as relative errors (see losses),
    "tv" as the mean step between pixels. A painting is shown in the size in which its
    strokes are wanted.
    """

    def __init__(
        self,
        painting: Tensor,
        layers: Sequence[str] = LAYERS,
        content_layer: str = CONTENT,
        net: vgg.VGG | None = None,
    ):
        super().__init__()
        self.net = copy.deepcopy(net or features())  # ours to move to a GPU
        self.layers, self.content_layer = tuple(layers), content_layer
        with torch.no_grad():
            for name, found in self.net(painting, {*layers, content_layer}).items():
                self.register_buffer(f"gram_{name}", losses.gram(found))
                self.register_buffer(f"size_{name}", found.square().mean().sqrt())

    def forward(self, fake: Tensor, photos: Tensor, terms: Sequence[str]):
        found, at = {}, self.content_layer
        layers = {*(self.layers if "style" in terms else ())}
        layers |= {at} if "content" in terms else set()
        if layers:
            found = self.net(channels_last(fake), layers)
        parts = {}
        if "content" in terms:
            with torch.no_grad():
                target = self.net(channels_last(photos), [at])
            parts["content"] = losses.content_loss(found, target)
        if "style" in terms:
            grams = {name: getattr(self, f"gram_{name}") for name in self.layers}
            parts["style"] = losses.style_loss(found, grams)
        if "tv" in terms:
            parts["tv"] = losses.total_variation(fake)
        return parts

    def read(self, images: Tensor, layer: str) -> Tensor:
        """Features (N, C, h, w) of a layer, of size about 1, for a critic."""
        return self.net(channels_last(images), [layer])[layer] / getattr(
            self, f"size_{layer}"
        )


def channels_last(images: Tensor) -> Tensor:
    """The same pictures, laid out as convolutions are fastest."""
    return images.contiguous(memory_format=torch.channels_last)


def _weighed(weights: dict[str, float], parts: dict[str, Tensor]):
    """(sum of weight * part, the parts for the log)."""
    total = sum(weights[name] * part for name, part in parts.items())
    return total, {name: part.detach() for name, part in parts.items()}


class FastStyle:
    """Content + style + variation over a batch of photographs. Johnson et al. 2016, 5.

    G maps photographs (N, 3, H, W) to paintings of the same shape. The terms are those
    of `style.stylise`, which descends on pixels where this descends on weights. A
    weight of 0 leaves its term out.
    """

    def __init__(
        self,
        G: nn.Module,
        eye: Eye,
        content: float = 1.0,
        style: float = 60.0,
        tv: float = 2.0,
    ):
        self.G, self.eye = G, eye
        self.content, self.style, self.tv = content, style, tv
        _demand_weights(self, "content", "style", "tv")

    @property
    def generators(self) -> dict[str, nn.Module]:
        return {"G": self.G}

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        return {}

    def generator_loss(self, batch: Tensor, rng: torch.Generator):
        """Keep the things of the photographs, take the texture of the painting."""
        weights = _weights(self, "content", "style", "tv")
        fake = self.G(channels_last(batch)).float()
        return _weighed(weights, self.eye.to(batch.device)(fake, batch, weights))


class AdversarialStyle:
    """Content + style + adversarial + variation: a critic beside the Gram matrices, or
    in their place (style=0). Li & Wand 2016, with a patch critic.

    Batches are (photographs, crops of the painting), which need not correspond. D says
    of each patch whether it is the painting's, and is trained on its own loss alone. It
    looks at pixels, or (`sees`) at the features of one of the eye's layers, scaled to a
    size of about 1. `penalty(D, real, fake, rng)` as in GAN, on what D sees. A weight
    of 0 leaves its term out; without the adversarial one there is no D.
    """

    def __init__(
        self,
        G: nn.Module,
        D: nn.Module | None,
        eye: Eye,
        content: float = 1.0,
        style: float = 0.0,
        adversarial: float = 1.0,
        tv: float = 2.0,
        sees: str | None = None,
        loss: GANLoss = losses.nonsaturating,
        penalty: Callable[..., Tensor] | None = None,
    ):
        self.G, self.D, self.eye = G, D, eye
        self.content, self.style, self.tv = content, style, tv
        self.adversarial, self.sees = adversarial, sees
        self.loss, self.penalty = loss, penalty
        _demand_weights(self, "content", "style", "adversarial", "tv")
        if (adversarial > 0) != (D is not None):
            raise GancourseError(
                f"AdversarialStyle got adversarial={adversarial} and "
                f"{'a' if D else 'no'} D. Give a D exactly when the weight is above 0: "
                "a D that G never hears of is trained in vain."
            )

    @property
    def generators(self) -> dict[str, nn.Module]:
        return {"G": self.G}

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        return {} if self.D is None else {"D": self.D}

    def seen(self, images: Tensor) -> Tensor:
        """What D gets to see of pictures: their pixels, or features of one layer."""
        return images if self.sees is None else self.eye.read(images, self.sees)

    def discriminator_loss(self, batch: tuple[Tensor, Tensor], rng: torch.Generator):
        """Tell patches of the painting from patches of painted photographs."""
        photos, crops = batch
        self.eye.to(photos.device)
        with torch.no_grad():
            real = self.seen(crops)
            fake = self.seen(self.G(channels_last(photos)).float())
        real_logits, fake_logits = logits(self.D, real), logits(self.D, fake)
        d_loss = self.loss.discriminator(real_logits, fake_logits)
        parts = {
            "real_logit": real_logits.detach().mean(),
            "fake_logit": fake_logits.detach().mean(),
        }
        if self.penalty is not None:
            parts["penalty"] = self.penalty(self.D, real, fake, rng)
            d_loss = d_loss + parts["penalty"]
        return d_loss, parts

    def generator_loss(self, batch: tuple[Tensor, Tensor], rng: torch.Generator):
        """Keep the things of the photographs; let each patch pass for the painter's."""
        photos, crops = batch
        weights = _weights(self, "content", "style", "tv", "adversarial")
        fake = self.G(channels_last(photos)).float()
        parts = self.eye.to(photos.device)(fake, photos, weights)
        if self.D is not None:
            fake_logits = logits(self.D, self.seen(fake))
            real_logits = fake_logits
            if self.loss.relative:
                real_logits = logits(self.D, self.seen(crops))
            parts["adversarial"] = self.loss.generator(real_logits, fake_logits)
        return _weighed(weights, parts)


class AdaINStyle:
    """Train the decoder G of any-style transfer on pairs (photographs, paintings).

    G gets the photograph's features with the painting's statistics, and is to paint a
    picture that has both: Huang & Belongie 2017, eq. 11 to 13, with relative errors.
    """

    def __init__(
        self,
        G: nn.Module,
        net: vgg.VGG | None = None,
        content: float = 1.0,
        style: float = 10.0,
        tv: float = 0.0,
    ):
        self.G, self.net = G, copy.deepcopy(net or features())
        self.content, self.style, self.tv = content, style, tv
        _demand_weights(self, "content", "style", "tv")

    @property
    def generators(self) -> dict[str, nn.Module]:
        return {"G": self.G}

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        return {}

    def generator_loss(self, batch: tuple[Tensor, Tensor], rng: torch.Generator):
        """Be seen as what was ordered: the features, and every layer's statistics."""
        photos, paintings = batch
        weights = _weights(self, "content", "style", "tv")
        net = self.net.to(photos.device)
        with torch.no_grad():
            wanted = net(channels_last(paintings), LAYERS)
            target = adain(
                net(channels_last(photos), [CONTENT])[CONTENT].float(),
                wanted[CONTENT].float(),
            )
        fake = self.G(target).float()
        found = net(channels_last(fake), LAYERS)
        parts = {
            "content": losses.relative_error(found[CONTENT], target),
            "style": statistics_loss(found, wanted),
            "tv": losses.total_variation(fake),
        }
        return _weighed(weights, {name: parts[name] for name in weights})


def statistics(maps: Tensor) -> Tensor:
    """Mean and deviation of each channel of maps (N, C, h, w), as (N, 2 C)."""
    std, mean = torch.std_mean(maps.float(), (2, 3), correction=0)
    return torch.cat([mean, std], 1)


def statistics_loss(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> Tensor:
    """Mean over the layers of the relative error of their statistics.

    Huang & Belongie 2017, eq. 13: style as they measure it, without correlations.
    """
    errors = [
        losses.relative_error(statistics(found[name]), statistics(wanted[name]))
        for name in found
    ]
    return torch.stack(errors).mean()


def _weights(game, *names: str) -> dict[str, float]:
    """The weights of a game that are not 0."""
    return {name: getattr(game, name) for name in names if getattr(game, name)}


def _demand_weights(game, *names: str) -> None:
    weights = {name: getattr(game, name) for name in names}
    if min(weights.values()) < 0 or not any(weights.values()):
        raise GancourseError(
            f"{type(game).__name__} got the weights {weights}. Nothing was trained. "
            "Give none below 0, and at least one above it."
        )
