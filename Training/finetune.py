"""Fine-tuning: weights of a package to start from, layers that stay as they are."""

from fnmatch import fnmatchcase
from pathlib import Path

from torch import nn

from MRITranslateLib.errors import InputError
from MRITranslateLib.package import Package, load_package


def start_from(init: Path | None, weights: nn.Module, discriminator: nn.Module | None = None) -> Package | None:
    """Give networks the weights of a package: the same networks, or such of half the size where they can be grown.

    Args:
        init: Name or folder of the package; None leaves the networks as they are.
        weights: Gets the package's main network.
        discriminator: Gets its discriminator, where it brings one, see `judge_for`.

    Returns:
        The package.

    Raises:
        InputError: The networks have other shapes.
        PackageError: The package cannot be used.
    """
    if init is None:
        return None
    package = load_package(str(init))
    try:
        main = package.classifier() if package.card.task == "classification" else package.generator()
        _take(weights, main)
        judge = None if discriminator is None else judge_for(discriminator, package)
        if discriminator is not None and judge is not None:
            _take(discriminator, judge)
    except RuntimeError:
        raise InputError(
            f'The networks of "{init}" differ from this configuration; use the same network and discriminator.'
        ) from None
    return package


def judge_for(discriminator: nn.Module, package: Package) -> nn.Module | None:
    """The discriminator of a package, None where it has none that takes as many channels as this one: what was shown
    input and output side by side is of no use to what judges images alone."""
    if not package.has_discriminator:
        return None
    theirs = package.discriminator()
    alike = getattr(theirs, "in_channels", None) == getattr(discriminator, "in_channels", None)
    return theirs if alike else None


def _take(network: nn.Module, theirs: nn.Module) -> None:
    smaller = type(theirs) is type(network) and getattr(network, "size", 0) == 2 * getattr(theirs, "size", 0) > 0
    if smaller and hasattr(network, "grow_from"):
        network.grow_from(theirs)  # type: ignore[operator]
    else:
        network.load_state_dict(theirs.state_dict())


def freeze(network: nn.Module, patterns: list[str]) -> None:
    """Take layers out of the training.

    Args:
        network: Its parameters are named as in its state dictionary.
        patterns: Names of layers ("encoder.0") or shell patterns over parameter names ("encoder.*").

    Raises:
        InputError: A pattern fits no parameter; the layers there are listed.
    """
    for pattern in patterns:
        found = [
            parameter
            for name, parameter in network.named_parameters()
            if fnmatchcase(name, pattern) or name.startswith(pattern + ".")
        ]
        if not found:
            layers = ", ".join(name for name, _ in network.named_children())
            raise InputError(f'freeze: "{pattern}" fits no layer; the layers are {layers}.')
        for parameter in found:
            parameter.requires_grad_(False)
