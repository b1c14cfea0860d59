"""The network: a small residual CNN whose score is a linear reading of its last feature map.

Global average pooling and one linear layer commute, so the class activation map is the weighted
sum of the features and its mean plus the bias is the logit: no second pass, nothing approximated.

Source: He et al. 2016, doi 10.1109/CVPR.2016.90; Zhou et al. 2016, doi 10.1109/CVPR.2016.319.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INPUT_SIZE = 128  # pixels a side
FEATURES = 96  # channels of the last feature map, 16 x 16 cells
MIDDLE = 7  # parts of the trunk before the middle feature map of 48 channels, 16 x 16 cells
MIDDLE_FEATURES = 48


class Residual(nn.Module):
    """Two 3 x 3 convolutions around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(body + shortcut)."""
        return torch.relu(self.body(x) + self.shortcut(x))


class SmallResNet(nn.Module):
    """(N, 1, 128, 128) -> logit (N, 1) and class activation (N, 1, 16, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 24, 5, 2, 2, bias=False),
            nn.BatchNorm2d(24),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
            Residual(24, 24),
            Residual(24, 48, stride=2),
            Residual(48, 48),
            Residual(48, FEATURES),
            Residual(FEATURES, FEATURES),
            Residual(FEATURES, FEATURES),
        )
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(FEATURES, 1)

    def features(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the middle (N, 48, 16, 16) and the last (N, 96, 16, 16) feature map."""
        middle = self.trunk[:MIDDLE](image)
        return middle, self.trunk[MIDDLE:](middle)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logit alone; all that training needs."""
        return self.head(self.dropout(self.trunk(image).mean(dim=(2, 3))))

    def activation(self, last: Tensor) -> Tensor:
        """Return the class activation (N, 1, 16, 16), whose mean is the logit."""
        weight = self.head.weight.reshape(1, -1, 1, 1)
        return (last * weight).sum(dim=1, keepdim=True) + self.head.bias


class ScopeHead(nn.Module):
    """How unlike a proper film an image is, read from the same feature maps on a 4 x 4 grid.

    The grid keeps where things are, so that a film on its head does not look like one that stands.
    """

    CELLS = 4
    INPUTS = (MIDDLE_FEATURES + FEATURES) * CELLS * CELLS

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(self.INPUTS))
        self.register_buffer("scale", torch.ones(self.INPUTS))
        self.body = nn.Sequential(
            nn.Dropout(0.3), nn.Linear(self.INPUTS, 48), nn.ReLU(), nn.Linear(48, 1)
        )

    @classmethod
    def pooled(cls, middle: Tensor, last: Tensor) -> Tensor:
        """Return (N, INPUTS): both maps averaged in each cell of the grid."""
        size = middle.shape[-1] // cls.CELLS
        return torch.cat([F.avg_pool2d(part, size).flatten(1) for part in (middle, last)], dim=1)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return (N, 1): below 0 like a proper film, above 0 unlike one."""
        return self.body((pooled - self.mean) * self.scale)


class Ensemble(nn.Module):
    """The means of several networks' logits, activations and scope scores, as one graph."""

    def __init__(self, members: list[SmallResNet], scopes: list[ScopeHead]) -> None:
        super().__init__()
        self.members, self.scopes = nn.ModuleList(members), nn.ModuleList(scopes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logit (N, 1), activation (N, 1, 16, 16) and scope (N, 1)."""
        activations, strangeness = [], []
        for member, scope in zip(self.members, self.scopes, strict=True):
            middle, last = member.features(image)
            activations.append(member.activation(last))
            strangeness.append(scope(scope.pooled(middle, last)))
        activation = torch.stack(activations).mean(dim=0)
        return activation.mean(dim=(2, 3)), activation, torch.stack(strangeness).mean(dim=0)
