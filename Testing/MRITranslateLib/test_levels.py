"""Levels of a heat map: labels, figures, shares of segments, files."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MRITranslateLib.errors import InputError
from MRITranslateLib.levels import (
    ELSEWHERE,
    Levels,
    Segments,
    colours,
    label_map,
    read_segments,
    share_sentence,
    shares,
    table,
    write_levels,
)
from MRITranslateLib.volume import read_volume


def image_of(array: np.ndarray, spacing: tuple[float, float, float] = (1.0, 2.0, 3.0)) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetDirection((0, 1, 0, 1, 0, 0, 0, 0, -1))
    image.SetOrigin((7.5, -3.0, 11.0))
    return image


@pytest.fixture
def heatmap() -> sitk.Image:
    return image_of(np.random.default_rng(0).random((8, 9, 10), dtype=np.float32))


def test_quantiles_are_of_the_warm_voxels_only(heatmap: sitk.Image) -> None:
    array = sitk.GetArrayFromImage(heatmap)
    array[:4] = 0.0
    labels, names = label_map(image_of(array), Levels(quantiles=(0.5, 0.9)))
    found = sitk.GetArrayFromImage(labels)
    warm = array[array > 0.01]
    assert names == ["little or none", "strongest 50 %", "strongest 10 %"]
    assert not found[:4].any()
    assert (found > 0).sum() == pytest.approx(0.5 * warm.size, abs=1)
    assert (found == 2).sum() == pytest.approx(0.1 * warm.size, abs=1)
    assert array[found == 2].min() >= array[found == 1].max()


def test_thresholds_are_the_same_in_every_map(heatmap: sitk.Image) -> None:
    labels, names = label_map(heatmap, Levels(thresholds=(0.25, 0.75)))
    array, found = sitk.GetArrayFromImage(heatmap), sitk.GetArrayFromImage(labels)
    assert names[1:] == ["heat from 0.25", "heat from 0.75"]
    assert (found == (array >= 0.25).astype(int) + (array >= 0.75)).all()


def test_a_cold_map_has_no_level() -> None:
    labels, _ = label_map(image_of(np.zeros((3, 4, 5), np.float32)), Levels())
    assert not sitk.GetArrayFromImage(labels).any()


def test_specks_fall_to_what_surrounds_them() -> None:
    array = np.zeros((12, 12, 12), np.float32)
    array[1:8, 1:8, 1:8] = 0.3  # 343 voxels of 6 mm3
    array[3, 3, 3] = 0.9  # a speck within it
    array[10, 10, 10] = 0.9  # a speck in the cold
    options = Levels(thresholds=(0.2, 0.8), min_ml=0.05)
    found = sitk.GetArrayFromImage(label_map(image_of(array), options)[0])
    assert found.max() == 1
    assert (found > 0).sum() == 343
    kept = sitk.GetArrayFromImage(label_map(image_of(array), Levels(thresholds=(0.2, 0.8)))[0])
    assert (kept == 2).sum() == 2


def test_the_table_counts_what_is_there(heatmap: sitk.Image) -> None:
    values = sitk.Cast(heatmap * 100, sitk.sitkInt16)
    labels, names = label_map(heatmap, Levels())
    rows = table(labels, names, heatmap, values)
    found, heat, shown = (sitk.GetArrayFromImage(one) for one in (labels, heatmap, values))
    assert sum(row.ml for row in rows) == pytest.approx(found.size * 6 / 1000)
    for row in rows:
        inside = found == row.label
        assert row.ml == pytest.approx(inside.sum() * 6 / 1000)
        assert row.mean_heat == pytest.approx(heat[inside].mean(), rel=1e-5)
        assert row.mean_intensity == pytest.approx(shown[inside].mean(), rel=1e-5)
    empty = table(labels * 0, names, heatmap, values)[-1]
    assert empty.ml == 0
    assert np.isnan(empty.mean_heat)


def test_shares_of_segments() -> None:
    heat = np.zeros((4, 4, 4), np.float32)
    heat[0], heat[1], heat[2] = 1.0, 0.5, 0.5
    labels = np.zeros(heat.shape, np.uint8)
    labels[0], labels[1] = 3, 1
    parts = shares(image_of(heat), Segments(image_of(labels), {3: "ventricles"}))
    assert list(parts) == ["ventricles", "label 1", ELSEWHERE]
    assert list(parts.values()) == pytest.approx([0.5, 0.25, 0.25])
    assert share_sentence(parts) == "50 % of the evidence lies in ventricles, 25 % in label 1, 25 % elsewhere"


def test_segments_on_another_grid_or_empty_are_refused(heatmap: sitk.Image) -> None:
    labels = sitk.Cast(heatmap > 0.5, sitk.sitkUInt8)
    moved = sitk.Image(labels)
    moved.SetOrigin((0.0, 0.0, 0.0))
    with pytest.raises(InputError, match="does not lie on the input's grid"):
        shares(heatmap, Segments(moved))
    with pytest.raises(InputError, match="segmentation is empty"):
        shares(heatmap, Segments(labels * 0))


@pytest.mark.parametrize(
    "options",
    [
        {"quantiles": ()},
        {"quantiles": (0.5, 0.5)},
        {"quantiles": (0.9, 0.5)},
        {"quantiles": (0.0, 0.5)},
        {"thresholds": (0.5, 1.1)},
        {"thresholds": (float("nan"),)},
        {"min_ml": -1.0},
        {"min_ml": float("inf")},
    ],
)
def test_senseless_levels_are_refused(options: dict) -> None:
    with pytest.raises(InputError):
        Levels(**options)


def test_levels_as_a_plain_label_image(heatmap: sitk.Image, tmp_path: Path) -> None:
    labels, names = label_map(heatmap, Levels())
    again = read_volume(write_levels(labels, names, tmp_path / "levels.nii.gz"), labels=True)
    assert (sitk.GetArrayFromImage(again) == sitk.GetArrayFromImage(labels)).all()
    assert again.GetOrigin() == pytest.approx(labels.GetOrigin())


def test_levels_as_a_segmentation_of_slicer(heatmap: sitk.Image, tmp_path: Path) -> None:
    """Read by Slicer's own storage node."""
    slicer = pytest.importorskip("slicer")
    labels, names = label_map(heatmap, Levels())
    path = write_levels(labels, names, tmp_path / "levels.seg.nrrd")
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 4
    found = sitk.GetArrayFromImage(labels)
    for number, colour in enumerate(colours(4)):
        segment = segmentation.GetNthSegment(number)
        assert segment.GetName() == names[number + 1]
        assert segment.GetColor() == pytest.approx(colour, abs=1e-5)
        assert segment.GetLabelValue() == number + 1
    shared = segmentation.GetNthSegment(0).GetRepresentation("Binary labelmap")
    from vtk.util.numpy_support import vtk_to_numpy

    counts = np.bincount(vtk_to_numpy(shared.GetPointData().GetScalars()), minlength=5)
    assert list(counts[1:]) == list(np.bincount(found.ravel(), minlength=5)[1:])


def test_segments_keep_their_names_in_a_file(heatmap: sitk.Image, tmp_path: Path) -> None:
    labels, names = label_map(heatmap, Levels())
    segments = read_segments(write_levels(labels, names, tmp_path / "anatomy.seg.nrrd"))
    assert segments.names == dict(enumerate(names[1:], 1))
    parts = shares(heatmap, segments)
    assert set(parts) == {*names[1:], ELSEWHERE}
    assert sum(parts.values()) == pytest.approx(1)
    plain = read_segments(write_levels(labels, names, tmp_path / "anatomy.nii.gz"))
    assert not plain.names
