"""Class activation maps of one layer of a network, unscaled, at the size of the slices, or of windows of a volume.

The maps are those of the grad-cam library, with its hooks. Three things it does are undone here:
it scales every slice to 0..1 on its own (slices could not be compared), it enlarges maps without regard to where a
feature lies, and it leaves the network in evaluation mode without gradients.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import numpy as np
import pytorch_grad_cam as library
import torch
from torch import nn
from torch.nn import functional

from .errors import InputError

Score = Callable[[torch.Tensor], torch.Tensor]
"""From the network's output for one slice (channels, h, w) to the number that is explained."""


class _Raw:
    """Mixed into a method of the library: signed maps (n, h, w) as the layer has them, neither scaled nor resized."""

    def compute_cam_per_layer(self: Any, inputs: torch.Tensor, targets: list[Score], eigen_smooth: bool) -> np.ndarray:
        hooks = self.activations_and_grads
        if self.uses_gradients and len(hooks.gradients) != 1:
            raise InputError("The layer does not influence the output; choose another layer.")
        gradients = hooks.gradients[0].numpy() if self.uses_gradients else None
        activations = hooks.activations[0].numpy()
        return self.get_cam_image(inputs, self.target_layers[0], targets, activations, gradients, eigen_smooth)

    def aggregate_multi_layers(self, maps: np.ndarray) -> np.ndarray:
        return maps


class _EigenCAM(library.EigenCAM):
    """The library's EigenCAM with an eigen-decomposition over channels: its SVD over pixels needs gigabytes a slice.

    The sign of a principal component is arbitrary; the one whose extreme is positive is taken.
    """

    def get_cam_image(self, inputs: Any, layer: Any, targets: Any, activations: np.ndarray, *_: Any) -> np.ndarray:
        maps = []
        for features in activations:
            pixels = features.reshape(len(features), -1).T.astype(np.float64)
            pixels -= pixels.mean(axis=0)
            component = np.linalg.eigh(pixels.T @ pixels)[1][:, -1]
            projection = pixels @ component
            if abs(projection.min()) > abs(projection.max()):
                projection = -projection
            maps.append(projection.reshape(features.shape[1:]))
        return np.asarray(maps, dtype=np.float32)


_METHODS = {
    "gradcam": library.GradCAM,
    "gradcam++": library.GradCAMPlusPlus,
    "hirescam": library.HiResCAM,
    "layercam": library.LayerCAM,
    "xgradcam": library.XGradCAM,
    "eigencam": _EigenCAM,
    "gradcamelementwise": library.GradCAMElementWise,
}
METHODS = tuple(_METHODS)
"""Names of the methods, the default first."""


def check_method(name: str) -> str:
    """Refuse an unknown method.

    Raises:
        InputError: Gives the names there are.
    """
    if name not in _METHODS:
        near = get_close_matches(str(name).lower(), METHODS, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(f'There is no method "{name}"{hint}; use one of {", ".join(METHODS)}.')
    return name


def find_layer(network: nn.Module, name: str | None) -> tuple[str, nn.Module]:
    """The layer called `name` (dotted, as in `named_modules`), or the network's own choice for None.

    Raises:
        InputError: There is none; the nearest names are given.
    """
    layers = {key: module for key, module in network.named_modules() if key}
    chosen = str(network.explain_layer) if name is None else name
    if chosen not in layers:
        near = get_close_matches(chosen, layers, 3, 0.4) or list(layers)[:3]
        raise InputError(f'The network has no layer "{chosen}"; use one such as {", ".join(near)}, or leave it out.')
    return chosen, layers[chosen]


@contextmanager
def _left_as_found(network: nn.Module) -> Iterator[None]:
    """Run a block that may change training flags, gradients and requires_grad, and put everything back."""
    training = [(module, module.training) for module in network.modules()]
    gradients = [(parameter, parameter.grad, parameter.requires_grad) for parameter in network.parameters()]
    try:
        for parameter, _, _ in gradients:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, flag in training:
            module.training = flag
        for parameter, gradient, flag in gradients:
            parameter.requires_grad_(flag)
            parameter.grad = gradient


class ActivationMaps:
    """Maps of one layer of one network, batch after batch.

    The gradient is taken from the layer on only (its output is cut off from what lies before), which is all that a
    class activation map needs and saves the memory of the other half of the network. A slice's map does not depend on
    the others in the batch: evaluation mode uses no batch statistics.

    Args:
        network: It is left exactly as it was found after every call.
        layer: Dotted name, or None for the network's own.
        method: One of `METHODS`.
        shape: (channels, rows, columns) of a slice, or (channels, slices, rows, columns) of a window.

    Attributes:
        layer: Dotted name of the layer.

    Raises:
        InputError: No such method or layer, or a layer that gives no feature maps.
    """

    def __init__(self, network: nn.Module, layer: str | None, method: str, shape: tuple[int, ...]) -> None:
        check_method(method)
        self._network = network
        self.layer, self._module = find_layer(network, layer)
        self._method = type(method, (_Raw, _METHODS[method]), {})
        self._size = shape[1:]
        with torch.inference_mode(False), _left_as_found(network):
            network.eval()
            self._stride = _stride(network, self._module, shape)

    def __call__(self, inputs: torch.Tensor, scores: Sequence[Score]) -> np.ndarray:
        """Signed maps at the size of the slices; what raises a slice's score is positive.

        Args:
            inputs: float32 (n, *shape), on the device of the network.
            scores: For each of the n slices what is explained.

        Returns:
            float32 (n, *shape) without the channels.

        Raises:
            InputError: The layer does not influence the output.
        """
        with torch.inference_mode(False), torch.enable_grad(), _left_as_found(self._network):
            # Before the library's hooks, which see what this one returns.
            cut = self._module.register_forward_hook(_cut_off)
            cam = None
            try:
                cam = self._method(self._network, [self._module])  # puts the network into evaluation mode
                # A tensor of the caller's inference mode could not take part in a gradient; its copy can.
                maps = cam(inputs.clone(), [_checked(score) for score in scores])
            finally:
                cut.remove()
                if cam is not None:
                    cam.activations_and_grads.release()
        return enlarge(np.asarray(maps, dtype=np.float32), self._size, self._stride)


def _cut_off(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output.detach().requires_grad_(True)


def _checked(score: Score) -> Score:
    def checked(output: torch.Tensor) -> torch.Tensor:
        if not output.requires_grad:
            raise InputError("The layer does not influence the output; choose another layer.")
        return score(output)

    return checked


def _stride(network: nn.Module, module: nn.Module, shape: tuple[int, ...]) -> tuple[float, ...]:
    """For each axis the pixels of the slice per pixel of the layer's maps, from how the maps grow with the slice.

    Shapes only: the network runs on the meta device. The ratio of the two sizes is not the stride where kernels take
    some pixels off the border (PatchGAN: 256 pixels give 31, at a stride of 8).

    Raises:
        InputError: The layer does not run, runs more than once, or gives no feature maps.
    """
    values = [*network.named_parameters(), *network.named_buffers()]
    tensors = {key: torch.empty_like(value, device="meta") for key, value in values}
    outputs: list[Any] = []
    hook = module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        for factor in (1, 2):
            size = (1, shape[0], *(factor * extent for extent in shape[1:]))
            torch.func.functional_call(network, tensors, torch.empty(size, device="meta"))
    finally:
        hook.remove()
    if not outputs:
        raise InputError("The layer does not run when an image is made; choose another layer.")
    if len(outputs) > 2:
        raise InputError("The layer runs several times for one slice; choose a layer that runs once.")
    first, second = outputs
    if not isinstance(first, torch.Tensor) or first.ndim != len(shape) + 1:
        raise InputError("The layer gives no feature maps; choose a convolution or a block.")
    grown = zip(shape[1:], first.shape[2:], second.shape[2:], strict=True)
    return tuple(extent / max(1, large - small) for extent, small, large in grown)


def enlarge(maps: np.ndarray, size: tuple[int, ...], stride: tuple[float, ...]) -> np.ndarray:
    """Linear interpolation of maps (n, h, w) to slices (n, *size), or (n, d, h, w) to windows.

    Map and slice share their centre, and neighbouring features lie `stride` pixels apart; a feature's value is at the
    centre of its pixels. Beyond the outermost features their value is kept.
    """
    if maps.shape[1:] == size:
        return maps
    axes = []
    for extent, old, step in zip(size, maps.shape[1:], stride, strict=True):
        position = (torch.arange(extent, dtype=torch.float32) - (extent - 1) / 2) / step  # in features, from the centre
        axes.append(position * 2 / old)  # grid_sample without corner alignment has the outer edges at -1 and 1
    positions = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack(positions[::-1], dim=-1).expand(len(maps), *size, len(size))
    tensor = torch.from_numpy(np.ascontiguousarray(maps))[:, None]
    enlarged = functional.grid_sample(tensor, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return enlarged[:, 0].numpy()
