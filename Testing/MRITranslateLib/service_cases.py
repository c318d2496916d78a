"""A small head, and requests that break the protocol, for the tests of the service."""

import json
from typing import Any

import numpy as np
import SimpleITK as sitk

from MRITranslateLib.service import messages
from MRITranslateLib.service.messages import Request

VOLUME = {
    "array": "a.npy",
    "spacing": [1.0, 1.0, 2.0],
    "origin": [0.0, 0.0, 0.0],
    "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1],
}


def head(slices: int = 6, rows: int = 40, columns: int = 48) -> sitk.Image:
    """A bright ellipsoid with structure on an oblique, anisotropic grid: enough of a T1 for the domain check."""
    z, y, x = np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in (slices, rows, columns)), indexing="ij")
    inside = x**2 + y**2 + (0.6 * z) ** 2 < 1.0
    array = np.where(inside, 500.0 + 150.0 * np.sin(5 * x) * np.cos(4 * y) + 40.0 * z, 0.0).astype(np.float32)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((2.0, 2.5, 6.0))
    image.SetOrigin((-90.0, 12.0, 5.0))
    c, s = np.cos(0.1), np.sin(0.1)
    image.SetDirection((c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0))
    return image


def changed(**changes: Any) -> bytes:
    request = json.loads(Request("r7", "translate", {"image": VOLUME, "model": "m"}).line())
    return json.dumps({**request, **changes}).encode()


def with_params(**changes: Any) -> bytes:
    return changed(params={"image": VOLUME, "model": "m", **changes})


BAD_LINES = {
    "not JSON": b"{",
    "not text": b"\xff\xfe{}",
    "not an object": b"[1, 2]",
    "NaN": changed().replace(b"2.0", b"NaN"),
    "too deep": b"[" * 100_000,
    "too long": b'"' + b"x" * (messages.MAX_LINE + 1) + b'"',
    "no version": b'{"id": "r7", "method": "devices", "params": {}}',
    "other version": changed(protocol=2),
    "version of another type": changed(protocol=True),
    "no id": changed(id=None),
    "id of odd letters": changed(id="a b"),
    "unknown method": changed(method="train"),
    "method of another type": changed(method=["translate"]),
    "unknown field": changed(more=1),
    "params of another type": changed(params=[]),
    "unknown parameter": with_params(speed=1),
    "missing parameter": changed(params={"model": "m"}),
    "model of another type": with_params(model=3),
    "path that leaves the folder": with_params(image={**VOLUME, "array": "../a.npy"}),
    "absolute path": with_params(image={**VOLUME, "array": "/etc/a.npy"}),
    "Windows path": with_params(image={**VOLUME, "array": "..\\a.npy"}),
    "other extension": with_params(image={**VOLUME, "array": "a.pkl"}),
    "name with a line end": with_params(image={**VOLUME, "array": "a.npy\n"}),
    "spacing of two": with_params(image={**VOLUME, "spacing": [1.0, 1.0]}),
    "spacing of zero": with_params(image={**VOLUME, "spacing": [1.0, 1.0, 0.0]}),
    "uncertainty of another kind": with_params(uncertainty=True),
    "direction of texts": with_params(image={**VOLUME, "direction": ["1"] * 9}),
}
