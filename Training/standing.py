"""Statistics of the batch normalisation for averaged weights."""

from collections.abc import Iterable

import torch
from torch import nn


def take_statistics(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Take the running statistics of every batch normalisation anew ("standing statistics", Brock et al., ICLR 2019).

    Those that come with averaged weights are of the weights of the last steps, which give other activations.

    Args:
        network: As `Session.exportable` gives it; the statistics are rounded through float16 as its weights are. It is
            left in evaluation mode.
        batches: What the network sees in training, on its device.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    network.eval()
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over all batches
        layer.train()
    with torch.no_grad():
        for batch in batches:
            network(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        for statistic in (layer.running_mean, layer.running_var):
            assert statistic is not None
            statistic.copy_(statistic.half())
    network.eval()
