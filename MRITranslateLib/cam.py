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
from torch.nn import functional

from .errors import InputError

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


class Layout(NamedTuple):
    """Where the features of a layer lie in the slice, for each axis.

    Attributes:
        stride: Pixels from one feature to the next.
        shift: Pixels from the centre of the slice to the centre of the map.
    """

    stride: tuple[float, ...]
    shift: tuple[float, ...]


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
                    known[name, shape] = _layout(self.network, module, shape)
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


_GROWTH = 256
"""Pixels, a multiple of every usual stride and of what most networks take."""


def _layout(network: nn.Module, module: nn.Module, shape: tuple[int, ...]) -> Layout:
    """Where the features of a layer lie, from how their number depends on the size of the slice.

    Shapes only: the network runs on the meta device. The ratio of the two sizes is not the stride where kernels take
    some pixels off the border (PatchGAN: 256 pixels give 31, at a stride of 8). And features begin at the left: of all
    slices that give the same number, only the smallest has them in its middle. A halving by a kernel of 3 has its
    features on the pixels 0, 2, 4 ...; after five of them that is half a feature of 32 pixels.

    Raises:
        InputError: The layer does not run, runs more than once, or gives no feature maps.
    """
    values = [*network.named_parameters(), *network.named_buffers()]
    tensors = {key: torch.empty_like(value, device="meta") for key, value in values}

    def run(size: tuple[int, ...]) -> list[Any]:
        outputs: list[Any] = []
        hook = module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
        try:
            torch.func.functional_call(network, tensors, torch.empty((1, shape[0], *size), device="meta"))
        except (RuntimeError, ValueError):
            if size == extents:
                raise
        finally:
            hook.remove()
        return outputs

    extents = shape[1:]
    outputs = run(extents)
    if not outputs:
        raise InputError("The layer does not run when an image is made; choose another layer.")
    if len(outputs) > 1:
        raise InputError("The layer runs several times for one slice; choose a layer that runs once.")
    if not isinstance(outputs[0], torch.Tensor) or outputs[0].ndim != len(shape) + 1:
        raise InputError("The layer gives no feature maps; choose a convolution or a block.")

    def count(size: tuple[int, ...]) -> tuple[int, ...]:
        """Features along each axis; none where the network does not take this size."""
        outputs = run(size)
        return tuple(outputs[0].shape[2:]) if outputs else (0,) * len(size)

    usual = tuple(outputs[0].shape[2:])
    for larger in (tuple(n + _GROWTH for n in extents), tuple(2 * n for n in extents)):
        if any(grown := count(larger)):
            break
    growth = zip(extents, larger, usual, grown, strict=True)
    stride = tuple((b - a) / max(1, more - less) for a, b, less, more in growth)
    low = [max(0, n - max(1, round(step))) for n, step in zip(extents, stride, strict=True)]  # gives fewer
    high = list(extents)  # gives as many
    while any(b - a > 1 for a, b in zip(low, high, strict=True)):
        middle = tuple((a + b) // 2 if b - a > 1 else b for a, b in zip(low, high, strict=True))
        for axis, (size, found) in enumerate(zip(middle, count(middle), strict=True)):
            if found == usual[axis]:
                high[axis] = size
            else:
                low[axis] = size
    return Layout(stride, tuple((least - n) / 2 for least, n in zip(high, extents, strict=True)))


def enlarge(maps: np.ndarray, size: tuple[int, ...], layout: Layout) -> np.ndarray:
    """Linear interpolation of maps (n, h, w) to slices (n, *size), or (n, d, h, w) to windows.

    A feature's value is at the centre of its pixels. Beyond the outermost features their value is kept.
    """
    if maps.shape[1:] == size:
        return maps
    axes = []
    for extent, old, step, shift in zip(size, maps.shape[1:], *layout, strict=True):
        pixels = torch.arange(extent, dtype=torch.float32) - (extent - 1) / 2 - shift
        axes.append(pixels / step * 2 / old)  # grid_sample without corner alignment has the outer edges at -1 and 1
    positions = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack(positions[::-1], dim=-1).expand(len(maps), *size, len(size))
    tensor = torch.from_numpy(np.ascontiguousarray(maps))[:, None]
    enlarged = functional.grid_sample(tensor, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return enlarged[:, 0].numpy()
