"""Losses of the paired recipes; images are (N, 1, H, W) in network units, -1 = no signal."""

import torch
from monai.losses import PatchAdversarialLoss
from torch import nn

from .config import LossConfig


class ReconstructionLoss(nn.Module):
    """Weighted mean of absolute and squared error; pixels without signal in the truth count `background` of a pixel
    with."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self._config = config

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        weight = torch.where(target > -0.95, 1.0, self._config.background)
        difference = (output - target) * weight
        loss = self._config.l1 * difference.abs().mean()
        if self._config.l2:
            loss = loss + self._config.l2 * (difference * (output - target)).mean()
        return loss


def adversarial_loss() -> PatchAdversarialLoss:
    """Least-squares GAN loss on logits (Mao et al., ICCV 2017); MONAI's default would squash the logits first."""
    return PatchAdversarialLoss(criterion="least_squares", no_activation_leastsq=True)
