"""Reading and writing one weights file (safetensors), hostile until checked.

A safetensors file is 8 bytes of header length (little endian), a JSON header that gives for each tensor its type,
shape and byte range, and the tensors' bytes (https://huggingface.co/docs/safetensors). Nothing in it is code.
Everything is checked from the header against the shapes that the network has, before memory is taken for a single
tensor. There is no other reader: a pickle is named as such and refused.
"""

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch

from .errors import PackageError
from .files import MOST_WEIGHTS_BYTES

_MOST_HEADER_BYTES = 4 * 1024**2
_ITEM_BYTES = {"F16": 2, "BF16": 2, "F32": 4}
_AGAIN = "get the package again from where it was published"

Shapes = Mapping[str, tuple[int, ...]]


def open_regular(path: Path, where: str) -> BinaryIO:
    """Open a file of a package for reading: a regular file, never through a link, never a pipe or a device.

    Raises:
        PackageError: The file is missing, a link, not a regular file, or not readable.
    """
    try:
        facts = path.lstat()
    except OSError:
        raise PackageError(f'"{path.name}" is missing from the package "{where}"; {_AGAIN}.') from None
    if not stat.S_ISREG(facts.st_mode):
        raise PackageError(f'"{path.name}" of "{where}" is a link or a special file; replace it by the file itself.')
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise PackageError(
            f'"{path.name}" of "{where}" cannot be read ({error.strerror}); check its permissions.'
        ) from None
    return os.fdopen(descriptor, "rb")


def sha256(file: BinaryIO) -> str:
    """SHA-256 of an open file from its start, read in pieces."""
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def check_file(path: Path, size: int, digest: str, shapes: Shapes, where: str) -> None:
    """Check a weights file without loading it: size, header, names and shapes, then the hash.

    Args:
        path: The file.
        size, digest: Bytes and SHA-256 that the card states.
        shapes: Names and shapes of the floating-point tensors of the network.
        where: Name of the package, for messages.

    Raises:
        PackageError: Says which of these is wrong.
    """
    with open_regular(path, where) as file:
        _check(file, path.name, size, digest, shapes, where)


def read_state(path: Path, size: int, digest: str, shapes: Shapes, where: str) -> dict[str, torch.Tensor]:
    """Read a weights file as float32 tensors on the CPU; the arguments are those of `check_file`.

    Raises:
        PackageError: The file fails `check_file`, or holds NaN, infinite or untrained weights.
    """
    with open_regular(path, where) as file:
        _check(file, path.name, size, digest, shapes, where)
        file.seek(0)
        content = file.read(size)
    # The bytes in memory are hashed again: the file may have been exchanged since the streamed check.
    if hashlib.sha256(content).hexdigest() != digest:
        raise PackageError(f'"{path.name}" of "{where}" changed while it was read; try again.')
    state = {name: tensor.to(torch.float32) for name, tensor in safetensors.torch.load(content).items()}
    check_values(state, path.name, where)
    return state


def write_state(state: Mapping[str, torch.Tensor], path: Path, shapes: Shapes, where: str) -> tuple[int, str]:
    """Write a state dict as float16 safetensors; whole-number buffers (batch counters) are left out.

    Returns:
        Size in bytes and SHA-256 of the file.

    Raises:
        PackageError: Names or shapes are not those of the network, or the values are not finite, too large for float16
            or untrained.
    """
    floating = {name: tensor.detach() for name, tensor in state.items() if tensor.is_floating_point()}
    compare_shapes({name: tuple(tensor.shape) for name, tensor in floating.items()}, shapes, path.name, where)
    half = {name: tensor.to("cpu", torch.float16).contiguous().clone() for name, tensor in floating.items()}
    check_values(half, path.name, where)
    path.write_bytes(safetensors.torch.save(half))
    with path.open("rb") as file:
        return path.stat().st_size, sha256(file)


def check_other(path: Path, size: int, digest: str, most: int, where: str) -> None:
    """Check a file that belongs to no network of the registry: size, the header of safetensors, hash.

    Args:
        path, size, digest, where: As for `check_file`.
        most: Most bytes that such a file may have.

    Raises:
        PackageError: Says which of these is wrong.
    """
    with open_regular(path, where) as file:
        _check_size(file, path.name, size, most, where)
        if path.suffix == ".safetensors":
            read_header(file, size, path.name, where)
        _check_hash(file, path.name, digest, where)


def _check(file: BinaryIO, name: str, size: int, digest: str, shapes: Shapes, where: str) -> None:
    _check_size(file, name, size, MOST_WEIGHTS_BYTES, where)
    compare_shapes(read_header(file, size, name, where), shapes, name, where)
    _check_hash(file, name, digest, where)


def _check_size(file: BinaryIO, name: str, size: int, most: int, where: str) -> None:
    actual = os.fstat(file.fileno()).st_size
    if actual != size:
        raise PackageError(f'"{name}" of "{where}" has {actual} bytes, its card says {size}; {_AGAIN}.')
    if actual > most:
        raise PackageError(f'"{name}" of "{where}" is larger than {most >> 20} MiB; use a smaller model.')


def _check_hash(file: BinaryIO, name: str, digest: str, where: str) -> None:
    if sha256(file) != digest:
        raise PackageError(
            f'"{name}" of "{where}" was altered or damaged (its SHA-256 differs from the card); {_AGAIN}.'
        )


def read_header(file: BinaryIO, size: int, name: str, where: str) -> dict[str, tuple[int, ...]]:
    """Read and check the header of a safetensors file of `size` bytes; no tensor is read.

    Returns:
        Shape of each tensor by name.

    Raises:
        PackageError: The file is a pickle, no safetensors file, cut off, or its header contradicts itself.
    """
    file.seek(0)
    start = file.read(8)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06", b"\x80")) and not _plausible_length(start, size):
        raise PackageError(
            f'"{name}" of "{where}" is a PyTorch pickle, which can run foreign code, and is never opened; '
            "ask its author for safetensors weights."
        )
    if not _plausible_length(start, size):
        raise PackageError(f'"{name}" of "{where}" is not a safetensors file or is cut off; {_AGAIN}.')
    length = int.from_bytes(start, "little")
    try:
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise PackageError(f'The header of "{name}" of "{where}" is damaged; {_AGAIN}.') from None
    if not isinstance(header, dict):
        raise PackageError(f'The header of "{name}" of "{where}" is damaged; {_AGAIN}.')
    header.pop("__metadata__", None)
    ranges = []
    shapes = {}
    for tensor, entry in header.items():
        shapes[tensor], begin, end = _entry(tensor, entry, name, where)
        ranges.append((begin, end))
    position = 0
    for begin, end in sorted(ranges):
        if begin != position:
            raise PackageError(f'The tensors of "{name}" of "{where}" overlap or leave gaps; {_AGAIN}.')
        position = end
    if position != size - 8 - length:
        raise PackageError(f'"{name}" of "{where}" does not have the length that its header states; {_AGAIN}.')
    return shapes


def _plausible_length(start: bytes, size: int) -> bool:
    return len(start) == 8 and 2 <= int.from_bytes(start, "little") <= min(size - 8, _MOST_HEADER_BYTES)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key appears twice")
    return result


def _entry(tensor: str, entry: object, name: str, where: str) -> tuple[tuple[int, ...], int, int]:
    """Shape and byte range of one tensor of the header, consistent with its type."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise PackageError(f'The header of "{name}" of "{where}" is wrong at {_short(tensor)}; {_AGAIN}.')
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _ITEM_BYTES:
        raise PackageError(
            f'{_short(tensor)} of "{name}" of "{where}" has the type {_short(kind)}, only '
            f"{', '.join(_ITEM_BYTES)} are read; convert the weights to float16."
        )
    whole = isinstance(shape, list) and len(shape) <= 8 and isinstance(offsets, list) and len(offsets) == 2
    if not whole or any(type(n) is not int or not 0 <= n <= MOST_WEIGHTS_BYTES for n in [*shape, *offsets]):
        raise PackageError(f'The header of "{name}" of "{where}" is wrong at {_short(tensor)}; {_AGAIN}.')
    if offsets[1] - offsets[0] != math.prod(shape) * _ITEM_BYTES[kind]:
        raise PackageError(f'The size of {_short(tensor)} in "{name}" of "{where}" contradicts its shape; {_AGAIN}.')
    return tuple(shape), offsets[0], offsets[1]


def _short(value: object) -> str:
    """A foreign value as a quoted, printable, bounded piece of a sentence."""
    return ascii(value)[:80]


def compare_shapes(found: Shapes, expected: Shapes, name: str, where: str) -> None:
    """Compare the tensors of a file with those of the network.

    Raises:
        PackageError: Names the first tensor that is missing, superfluous or of another shape.
    """
    for tensor, shape in expected.items():
        if tensor not in found:
            raise PackageError(f'"{name}" of "{where}" lacks the tensor {_short(tensor)} of its network; {_AGAIN}.')
        if found[tensor] != shape:
            raise PackageError(
                f'{_short(tensor)} in "{name}" of "{where}" has the shape {list(found[tensor])}, '
                f"its network needs {list(shape)}; {_AGAIN}."
            )
    for tensor in found:
        if tensor not in expected:
            raise PackageError(
                f'"{name}" of "{where}" holds {_short(tensor)}, which its network does not have; {_AGAIN}.'
            )


def check_values(state: Mapping[str, torch.Tensor], name: str, where: str) -> None:
    """Refuse weights that cannot come from training.

    Untrained is what an initialisation alone gives: kernels of one single value, or normalisation layers whose scales
    are all exactly 1 and shifts all exactly 0 (networks without such layers: every bias exactly 0). The first
    optimiser steps change that. Networks that have neither are judged by the training steps on the card only.

    Raises:
        PackageError: NaN, infinite (float16 overflow) or untrained weights.
    """
    for tensor, values in state.items():
        if not bool(torch.isfinite(values).all()):
            raise PackageError(
                f'{_short(tensor)} in "{name}" of "{where}" holds NaN or infinite values; '
                "train or export the model again."
            )
    kernels = [values for values in state.values() if values.ndim >= 2 and values.numel() > 1]
    if kernels and all(bool((values == values.flatten()[0]).all()) for values in kernels):
        raise PackageError(
            f'The weights in "{name}" of "{where}" are all alike; train the model before it is packaged.'
        )
    scales = {tensor for tensor, values in state.items() if values.ndim == 1 and tensor.rpartition(".")[2] == "weight"}
    shifts = {f"{tensor.removesuffix('weight')}bias" for tensor in scales} & state.keys()
    if not scales:
        shifts = {
            tensor for tensor, values in state.items() if values.ndim == 1 and tensor.rpartition(".")[2] == "bias"
        }
    initial = all(bool((state[tensor] == 1).all()) for tensor in scales) and all(
        not bool(state[tensor].any()) for tensor in shifts
    )
    if (scales or shifts) and initial:
        raise PackageError(
            f'The weights in "{name}" of "{where}" are untrained; train the model before it is packaged.'
        )
