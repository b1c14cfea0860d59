"""The network: a small residual CNN whose score is a linear reading of its last feature map.

Global average pooling and one linear layer commute, so the class activation map is the weighted
sum of the features and its mean plus the bias is the logit: no second pass, nothing approximated.

Source: He et al. 2016, doi 10.1109/CVPR.2016.90; Zhou et al. 2016, doi 10.1109/CVPR.2016.319.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

INPUT_SIZE = 128  # pixels a side
FEATURES = 96  # channels of the last feature map, 16 x 16 cells


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

    def forward(self, image: Tensor) -> Tensor:
        """Return the logit alone; all that training needs."""
        return self.head(self.dropout(self.trunk(image).mean(dim=(2, 3))))

    def explained(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logit (N, 1) and the activation (N, 1, 16, 16) whose mean it is."""
        weight = self.head.weight.reshape(1, -1, 1, 1)
        activation = (self.trunk(image) * weight).sum(dim=1, keepdim=True) + self.head.bias
        return activation.mean(dim=(2, 3)), activation


class Ensemble(nn.Module):
    """The mean of several networks' logits, and of their activations, as one graph."""

    def __init__(self, members: list[SmallResNet]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logit (N, 1) and activation (N, 1, 16, 16)."""
        answers = [member.explained(image) for member in self.members]
        logit = torch.stack([answer[0] for answer in answers]).mean(dim=0)
        return logit, torch.stack([answer[1] for answer in answers]).mean(dim=0)
