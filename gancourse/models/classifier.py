"""The digit classifier: never a player, only the measuring device and the judge."""

from torch import Tensor, nn


class DigitClassifier(nn.Module):
    """Map digits (N, 1, 28, 28) in [-1, 1] to class logits (N, 10).

    `features` gives what comes before the last layer, (N, 64): the space in which the
    course measures Fréchet and kernel distances.
    """

    def __init__(self, width: int = 16, num_features: int = 64):
        super().__init__()
        self.num_features = num_features
        layers: list[nn.Module] = []
        for inputs, outputs in [(1, width), (width, 2 * width), (2 * width, 4 * width)]:
            layers += [
                nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
        layers += [nn.Flatten(), nn.Linear(4 * width * 9, num_features), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(num_features, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class ObjectReader(nn.Module):
    """Map pictures of one object (N, 3, 16, 16) in [-1, 1] to `answers` logits (N, K).

    The judge of notebook 14; captions.py says which logits answer what.
    """

    def __init__(self, answers: int, width: int = 16):
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in [(3, width), (width, 2 * width), (2 * width, 4 * width)]:
            layers += [
                nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
        layers += [nn.Flatten(), nn.Linear(4 * width * 4, 64), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Linear(64, answers))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
