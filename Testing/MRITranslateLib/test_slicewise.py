"""Slice by slice: each is that of the whole translation, in its place, without translating the others."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

import MRITranslateLib as mt
from MRITranslateLib.errors import Cancelled, InputError
from MRITranslateLib.service import volumes
from MRITranslateLib.service.client import WorkerClient
from MRITranslateLib.slicewise import SliceTranslator
from MRITranslateLib.translate import translate

from .packages import tiny_package, tiny_package_3d
from .service_cases import head
from .test_geometry import PLANES, rotation
from .test_translate import GRIDS, blob

TOLERANCE = 1e-3
"""Of the range of the whole synthetic volume."""
MR = {"name": "foreground_median"}
CT = {"name": "window", "parameters": {"low": -1024.0, "high": 3071.0}}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Packages of random weights by (plane, context): the latter as 2.5-D networks, one of them to CT."""
    folder, made = tmp_path_factory.mktemp("packages"), {}
    for plane in PLANES:
        for context in (1, 3):
            grid = {"plane": plane, "spacing_mm": [1.1, 1.3], "context": context, "size_multiple": 16}
            parameters = {"width": 4, "blocks": 1, "in_channels": context}
            target = ("CT", CT) if (plane, context) == ("axial", 3) else ("T2", MR)
            made[plane, context] = mt.load_package(
                tiny_package(
                    folder / f"{plane}{context}",
                    network={"name": "resnet9", "parameters": parameters},
                    discriminator=None,
                    grid=grid,
                    target=target[0],
                    intensity={"source": MR, "target": target[1]},
                )
            )
    return made


def assert_slices_of_the_whole(image, package, indices=None):
    whole = translate(image, package, device="cpu").image
    full = sitk.GetArrayFromImage(whole)
    slicewise = SliceTranslator(image, package, "cpu")
    most = TOLERANCE * max(float(np.ptp(full)), 1.0)
    for index in range(slicewise.count) if indices is None else {n % slicewise.count for n in indices}:
        made = slicewise(index)
        size = list(image.GetSize())
        assert size[slicewise.axis] == slicewise.count
        size[slicewise.axis] = 1
        assert made.GetSize() == tuple(size)
        first = [index if axis == slicewise.axis else 0 for axis in range(3)]
        np.testing.assert_allclose(made.GetOrigin(), image.TransformIndexToPhysicalPoint(first), atol=1e-6)
        assert (made.GetSpacing(), made.GetDirection()) == (image.GetSpacing(), image.GetDirection())
        expected = np.take(full, [index], axis=2 - slicewise.axis)
        assert np.abs(sitk.GetArrayFromImage(made) - expected).max() <= most
    assert np.ptp(full) > 0


@pytest.mark.parametrize("name", GRIDS)
def test_slices_equal_those_of_the_whole_translation(packages, name):
    image = blob(*GRIDS[name])
    for package in packages.values():
        assert_slices_of_the_whole(image, package, (0, 3, -1))


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(*[st.integers(8, 30)] * 3),
    spacing=st.tuples(*[st.sampled_from([0.7, 1.0, 1.9, 4.0])] * 3),
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    mirror=st.booleans(),
    model=st.tuples(st.sampled_from(PLANES), st.sampled_from([1, 3])),
    index=st.integers(0, 29),
)
def test_any_grid(packages, size, spacing, angles, mirror, model, index):
    direction = rotation(angles) @ np.diag([-1.0 if mirror else 1.0, 1.0, 1.0])
    assert_slices_of_the_whole(blob(size, spacing, direction), packages[model], (index,))


def test_statistics_are_those_of_the_whole_volume(identity):
    """One slice of a volume that grows brighter from slice to slice would come out otherwise on its own."""
    even = blob((40, 40, 20), (1.0, 1.0, 2.0))
    image = sitk.GetImageFromArray(
        sitk.GetArrayFromImage(even) * np.linspace(1, 4, 20, dtype=np.float32)[:, None, None]
    )
    image.CopyInformation(even)
    alone = sitk.GetArrayFromImage(translate(image[:, :, 1:2], identity, device="cpu").image)
    of_whole = sitk.GetArrayFromImage(SliceTranslator(image, identity, "cpu")(1))
    assert np.abs(alone - of_whole).max() > 10 * TOLERANCE * np.ptp(of_whole)


def test_an_empty_slice_stays_empty(packages):
    array = sitk.GetArrayFromImage(blob((24, 24, 8), (1.0, 1.0, 2.0)))
    array[:3] = 0
    image = sitk.GetImageFromArray(array)
    assert_slices_of_the_whole(image, packages["axial", 1])
    assert sitk.GetArrayFromImage(SliceTranslator(image, packages["axial", 1], "cpu")(0)).max() < 1e-3


def test_what_cannot_be_done_gets_a_sentence(packages, tmp_path):
    image = blob((24, 24, 8), (1.0, 1.0, 2.0))
    slicewise = SliceTranslator(image, packages["axial", 1], "cpu")
    with pytest.raises(InputError, match="no slice number 8; choose one from 0 to 7"):
        slicewise(8)
    with pytest.raises(Cancelled):
        slicewise(3, cancel=lambda: True)
    with pytest.raises(InputError, match="whole volumes, not slices"):
        SliceTranslator(image, mt.load_package(tiny_package_3d(tmp_path / "volumes")), "cpu")


def test_the_worker_keeps_the_volume_until_its_file_goes(tmp_path):
    package: Path = tiny_package(tmp_path / "tiny")
    image = head()
    full = sitk.GetArrayFromImage(translate(image, mt.load_package(package), device="cpu").image)
    with WorkerClient(environment={"OMP_NUM_THREADS": "1"}) as worker:
        sent = worker.put(image)
        params = {"image": sent, "model": str(package), "device": "cpu"}

        def ask(index):
            result = worker.request("translate_slice", {**params, "index": index})
            assert result["modality"] == "T2"
            assert result["provenance"]["model"] == "tiny"
            return sitk.GetArrayFromImage(worker.take(result["image"]))[0]

        assert np.abs(ask(2) - full[2]).max() <= TOLERANCE * np.ptp(full)
        file = worker.folder / sent["array"]
        kept = file.read_bytes()
        file.write_bytes(b"no array any more")  # were it read again, that would fail
        assert np.abs(ask(4) - full[4]).max() <= TOLERANCE * np.ptp(full)
        with pytest.raises(InputError, match="no slice number 6"):
            ask(6)
        worker.request("devices")
        ask(0)  # other work in between takes nothing away
        volumes.remove_array(worker.folder, sent)
        worker.request("devices")
        file.write_bytes(kept[:100])
        with pytest.raises(InputError, match="not a complete"):
            ask(2)  # it was forgotten with its file
