"""Losses of the translators; images are (N, 1, H, W) or (N, 1, D, H, W) in network units, -1 = no signal."""

from collections.abc import Sequence

import torch
from monai.losses import PatchAdversarialLoss
from torch import nn

from .config.attention_unet import RegressionLossConfig
from .config.pix2pix import LossConfig


class ReconstructionLoss(nn.Module):
    """Weighted mean of absolute and squared error; pixels without signal in the truth count `background` of a pixel
    with."""

    def __init__(self, config: LossConfig | RegressionLossConfig) -> None:
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


def feature_matching(output: Sequence[torch.Tensor], truth: Sequence[torch.Tensor]) -> torch.Tensor:
    """Mean absolute difference of a discriminator's feature maps (Wang et al., CVPR 2018)."""
    differences = [nn.functional.l1_loss(one.float(), other.float()) for one, other in zip(output, truth, strict=True)]
    return torch.stack(differences).mean()
