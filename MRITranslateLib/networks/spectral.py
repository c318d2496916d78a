"""Spectral normalisation (Miyato et al., ICLR 2018): every weight divided by its largest singular value.

`torch.nn.utils.parametrizations.spectral_norm` is the same function, but takes a second to build a discriminator
without memory (on the meta device), which every check of a model package does.
"""

import torch
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

_FIRST_ITERATIONS = 15


def normalise(network: nn.Module) -> None:
    """Give every convolution and every linear layer of a network spectral normalisation, in place.

    The singular vectors are part of the state, so a stored network answers as the trained one did.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            register_parametrization(module, "weight", _Spectral(module.weight))


class _Spectral(nn.Module):
    """A weight (out, ...) to the weight divided by the largest singular value of (out, everything else); a step of the
    power iteration follows the weight whenever it is used in training."""

    u: torch.Tensor
    v: torch.Tensor

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        for name, length in zip("uv", matrix.shape, strict=True):
            self.register_buffer(name, matrix.new_empty(length).normal_())
        if not weight.is_meta:
            for _ in range(_FIRST_ITERATIONS):
                self._iterate(matrix)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        if weight.is_meta:  # only its shape is asked for
            return weight
        matrix = weight.flatten(1)
        with torch.autocast(weight.device.type, enabled=False):
            if self.training:
                self._iterate(matrix.detach())
            # Copies: the next use in the same step must not change what the gradient of this one needs.
            return weight / torch.dot(self.u.clone(), torch.mv(matrix, self.v.clone()))

    @torch.no_grad()
    def _iterate(self, matrix: torch.Tensor) -> None:
        self.v.copy_(nn.functional.normalize(torch.mv(matrix.T, self.u), dim=0))
        self.u.copy_(nn.functional.normalize(torch.mv(matrix, self.v), dim=0))
