"""The machine that a run is on: its processes, its device, and the arithmetic that suits it."""

import os

import torch
from lightning.fabric import Fabric

from MRITranslateLib.errors import InputError

from .config.run import RunConfig

_PLAIN = "32-true"


def make_fabric(config: RunConfig) -> tuple[Fabric, str]:
    """Fabric on this machine, or on the processes that torchrun, `fabric run` or SLURM have started.

    Returns:
        Fabric, and the precision it computes in: the configured one, or 32-true on a CPU that has no bfloat16 of its
        own, where emulating it makes a step some 25 times as slow.

    Raises:
        InputError: The machine lacks what the configuration asks for.
    """
    fabric = _fabric(config, config.precision)
    if fabric.device.type != "cpu" or config.precision == _PLAIN or computes_bfloat16():
        return fabric, config.precision
    return _fabric(config, _PLAIN), _PLAIN


def computes_bfloat16() -> bool:
    """Whether the CPU computes in bfloat16 by itself; yes where torch cannot tell, so that the configuration stands."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError, NotImplementedError):  # private to torch, and not in each of its builds
        return True


def processes(config: RunConfig) -> int:
    """Of a run on all machines together."""
    return int(os.environ.get("WORLD_SIZE", _devices(config)))


def _devices(config: RunConfig) -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", config.devices))


def _fabric(config: RunConfig, precision: str) -> Fabric:
    devices = _devices(config)
    nodes = processes(config) // devices
    try:
        return Fabric(
            accelerator=config.accelerator,
            devices=devices,
            num_nodes=nodes,
            strategy="ddp" if devices * nodes > 1 else "auto",
            precision=precision,  # type: ignore[arg-type]
        )
    except (ValueError, RuntimeError, TypeError) as error:
        first = " ".join(str(error).split())
        raise InputError(f"This machine cannot train as accelerator, devices and precision say: {first}") from None
