"""Class activation maps of layers of a network, unscaled, at the size of the slices, or of windows of a volume.

The maps are those of the grad-cam library. What it does otherwise is undone here: it scales every slice to 0..1 on its
own (slices could not be compared), it enlarges maps without regard to where a feature lies, it keeps the negative part
of no method, and it leaves the network in evaluation mode without gradients.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import pytorch_grad_cam as library
import torch
from torch import nn

from .errors import InputError
from .layout import Layout, enlarge, find_layout

Score = Callable[[torch.Tensor], torch.Tensor]
"""From the network's output for one slice (channels, h, w), or (classes,), to the number that is explained."""


class _Raw:
    """Mixed into a method of the library: maps (n, layers, *features) as the layers have them, neither scaled nor
    resized. The library keeps gradients in the order in which they come, which says nothing where branches are
    parallel; here every layer has its own."""

    def take(self: Any, layers: int) -> list[Callable[..., torch.Tensor]]:
        """A forward hook for each layer, which keeps its activations and their gradient.

        The first layer's output is cut off from what lies before, so that no gradient is spent on that.
        """
        # The hooks hold the lists only: with `self` the graph would be part of a ring that nothing ever frees.
        activations: list[np.ndarray | None] = [None] * layers
        gradients: list[np.ndarray | None] = [None] * layers
        self._activations, self._gradients = activations, gradients

        def hook(number: int) -> Callable[..., torch.Tensor]:
            def kept(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
                joined = output if output.requires_grad else output.detach().requires_grad_(True)
                activations[number] = _array(joined)
                joined.register_hook(lambda gradient: gradients.__setitem__(number, _array(gradient)))
                return joined

            return kept

        return [hook(number) for number in range(layers)]

    def compute_cam_per_layer(self: Any, inputs: Any, targets: list[Score], eigen_smooth: bool) -> list[np.ndarray]:
        if any(gradient is None for gradient in self._gradients):
            raise InputError(_NO_INFLUENCE)
        pairs = zip(self._activations, self._gradients, strict=True)
        return [self.get_cam_image(inputs, None, targets, *pair, eigen_smooth) for pair in pairs]

    def aggregate_multi_layers(self, maps: list[np.ndarray]) -> list[np.ndarray]:
        return maps


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()


_NO_INFLUENCE = "The layer does not influence the output; choose another layer."


class _EigenCAM(library.EigenCAM):
    """The library's EigenCAM with an eigen-decomposition over channels: its SVD over pixels needs gigabytes a slice.

    The sign of a principal component is arbitrary; the one whose extreme is positive is taken. It asks for the gradient
    only to leave out slices whose target does not depend on the layer at all.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.uses_gradients = True

    def get_cam_image(
        self, inputs: Any, layer: Any, targets: Any, activations: np.ndarray, gradients: np.ndarray, *_: Any
    ) -> np.ndarray:
        maps = []
        for features, gradient in zip(activations, gradients, strict=True):
            projection = _projection(features)
            sign = 1 if projection.max() >= -projection.min() else -1
            maps.append(sign * projection * bool(gradient.any()))
        return np.asarray(maps, dtype=np.float32)


class _EigenGradCAM(library.EigenGradCAM):
    """The library's EigenGradCAM with the same decomposition. Of the two signs the one is taken that agrees with the
    sum of activations times gradients, HiResCAM's map: what raises the target is positive."""

    def get_cam_image(
        self, inputs: Any, layer: Any, targets: Any, activations: np.ndarray, gradients: np.ndarray, *_: Any
    ) -> np.ndarray:
        maps = []
        for features in activations * gradients:
            projection = _projection(features)
            agrees = (projection * features.sum(axis=0, dtype=np.float64)).sum() >= 0
            maps.append(projection if agrees else -projection)
        return np.asarray(maps, dtype=np.float32)


def _projection(features: np.ndarray) -> np.ndarray:
    """The first principal component over the channels (channels, *shape) at every place, float64 (*shape)."""
    pixels = features.reshape(len(features), -1).T.astype(np.float64)
    pixels -= pixels.mean(axis=0)
    component = np.linalg.eigh(pixels.T @ pixels)[1][:, -1]
    return (pixels @ component).reshape(features.shape[1:])


_METHODS = {
    "gradcam": library.GradCAM,
    "gradcam++": library.GradCAMPlusPlus,
    "hirescam": library.HiResCAM,
    "layercam": library.LayerCAM,
    "xgradcam": library.XGradCAM,
    "gradcamelementwise": library.GradCAMElementWise,
    "eigencam": _EigenCAM,
    "eigengradcam": _EigenGradCAM,
}
METHODS = tuple(_METHODS)
"""Names of the methods, the default first."""
SIGNED = ("gradcam", "hirescam", "xgradcam")
"""The methods whose maps keep their sign: below 0 lies what lowers the target. The others give 0 there."""


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

    The choice is the attribute `explain_layer`, by one rule for all networks, see `MRITranslateLib.networks`.

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
def left_as_found(network: nn.Module) -> Iterator[None]:
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


class Maps(NamedTuple):
    """Maps of a batch.

    Attributes:
        values: float32 (n, layers, *size of a slice).
        scores: float64 (n,), what was explained.
    """

    values: np.ndarray
    scores: np.ndarray


class ActivationMaps:
    """Maps of some layers of one network, batch after batch.

    The gradient is taken from the first of the layers on only, which is all that a class activation map needs and saves
    the memory of the other half of the network. A slice's map does not depend on the others in the batch: evaluation
    mode uses no batch statistics.

    Args:
        network: It is left exactly as it was found after every call.
        layer: Dotted name, several of them, or None for the network's own.
        method: One of `METHODS`.
        shape: (channels, rows, columns) of a slice, or (channels, slices, rows, columns) of a window.
        condition: A vector (features,) that the network takes as second argument for every slice.

    Attributes:
        network: The network, as one of its first argument alone.
        layers: Dotted names of the layers.
        layouts: Where the features of each lie.

    Raises:
        InputError: No such method or layer, or a layer that gives no feature maps.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str | Sequence[str] | None,
        method: str,
        shape: tuple[int, ...],
        condition: torch.Tensor | None = None,
    ) -> None:
        self.network = network if condition is None else Conditioned(network, condition)
        self._method = type(method, (_Raw, _METHODS[check_method(method)]), {})
        self._clipped = method not in SIGNED
        names = [layer] if layer is None or isinstance(layer, str) else list(dict.fromkeys(layer))
        if not names:
            raise InputError("No layer was named; name one, or leave the layer out.")
        found = [find_layer(network, name) for name in names]
        self.layers, self._modules = [name for name, _ in found], [module for _, module in found]
        self._size = shape[1:]
        known = _LAYOUTS.setdefault(network, {})
        with torch.inference_mode(False), left_as_found(self.network):
            self.network.eval()
            for name, module in found:
                if (name, shape) not in known:
                    known[name, shape] = find_layout(self.network, module, shape)
        self.layouts = [known[name, shape] for name in self.layers]

    def __call__(self, inputs: torch.Tensor, scores: Sequence[Score]) -> Maps:
        """Maps at the size of the slices; what raises a slice's score is positive.

        Args:
            inputs: float32 (n, *shape), on the device of the network.
            scores: For each of the n slices what is explained.

        Raises:
            InputError: A layer does not influence the output.
        """
        numbers: list[float] = []
        with torch.inference_mode(False), torch.enable_grad(), left_as_found(self.network):
            cam = self._method(self.network, [])  # puts the network into evaluation mode
            hooks = []
            try:
                for module, hook in zip(self._modules, cam.take(len(self._modules)), strict=True):
                    hooks.append(module.register_forward_hook(hook))
                # A tensor of the caller's inference mode could not take part in a gradient; its copy can.
                maps = cam(inputs.clone(), [_noted(score, numbers) for score in scores])
            finally:
                for handle in hooks:
                    handle.remove()
        if self._clipped:
            maps = [np.maximum(one, 0) for one in maps]
        large = [enlarge(one, self._size, layout) for one, layout in zip(maps, self.layouts, strict=True)]
        return Maps(np.stack(large, axis=1), np.asarray(numbers))


class Conditioned(nn.Module):
    """A network of two arguments, seen as one of the first alone.

    Args:
        network: Called with (n, ...) and (n, features).
        condition: (features,), the same for all n.
    """

    condition: torch.Tensor

    def __init__(self, network: nn.Module, condition: torch.Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("condition", condition)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x, self.condition.expand(len(x), -1))


def _noted(score: Score, numbers: list[float]) -> Score:
    def noted(output: torch.Tensor) -> torch.Tensor:
        if not output.requires_grad:
            raise InputError(_NO_INFLUENCE)
        value = score(output)
        numbers.append(float(value.detach()))
        return value

    return noted


_LAYOUTS: "WeakKeyDictionary[nn.Module, dict[tuple[str, tuple[int, ...]], Layout]]" = WeakKeyDictionary()
"""What was found once: running a deep network without memory takes as long as a slice."""
