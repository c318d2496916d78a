"""Sample sheets: tiles in one scale under titles, and taken apart again."""

import numpy as np
import pytest
from PIL import Image

from Training.samples import Samples, heat, read_sheet, save_sheet


def test_a_sheet_is_taken_apart_into_its_tiles(tmp_path):
    rng = np.random.default_rng(0)
    tiles = [
        [np.kron(rng.random((4, 4)), np.ones((26, 26))), np.full((104, 104, 3), (1.0, 0.5, 0.0))] for _ in range(3)
    ]
    samples = Samples(["left", "right"], ["a", "b", ""], tiles, changing=1)
    drawn = save_sheet(samples, tmp_path / "sheet.png", tile=208)
    with Image.open(tmp_path / "sheet.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), drawn)
    read = read_sheet(tmp_path / "sheet.png")
    assert (list(read.columns), list(read.rows), read.changing) == (["left", "right"], ["a", "b", ""], 1)
    for row, again in zip(tiles, read.tiles, strict=True):
        assert again[0].shape == (208, 208, 3)
        np.testing.assert_allclose(again[0][26::52, 26::52, 0], row[0][13::26, 13::26], atol=0.01)
        np.testing.assert_allclose(again[1][10, 10], (1.0, 0.5, 0.0), atol=0.01)


def test_tiles_of_all_sizes_share_one_scale_and_pixels_are_as_tall_as_they_say(tmp_path):
    tiles = [[np.ones((20, 40))], [np.ones((10, 20))]]
    save_sheet(Samples(["x"], ["", ""], tiles, 0, aspect=2.0), tmp_path / "sheet.png", tile=160)
    large, small = (row[0][..., 0] for row in read_sheet(tmp_path / "sheet.png").tiles)
    assert large.shape == small.shape == (160, 160)
    assert large.min() == 1.0
    assert np.argwhere(small > 0.5).min(0).tolist() == [40, 40]
    assert np.argwhere(small > 0.5).max(0).tolist() == [119, 119]


def test_long_titles_are_cut_and_odd_values_drawn(tmp_path):
    tile = np.array([[np.nan, -3.0], [7.0, 0.5]])
    save_sheet(Samples(["a very long title " * 20], ["名" * 90], [[tile]], 0), tmp_path / "sheet.png")
    (again,) = read_sheet(tmp_path / "sheet.png").tiles[0]
    assert (again[0, 0] == 0).all()
    assert again.shape == (12, 12, 3)  # magnified, but not to mush


def test_a_plain_picture_is_one_tile_as_it_is(tmp_path):
    picture = np.linspace(0, 1, 60).reshape(6, 10)
    drawn = save_sheet(picture, tmp_path / "plain.png")
    assert drawn.shape == (6, 10, 3)
    samples = read_sheet(tmp_path / "plain.png")
    assert list(samples.columns) == list(samples.rows) == [""]
    np.testing.assert_allclose(samples.tiles[0][0][..., 1], picture, atol=1 / 255)


def test_heat_rises_in_lightness():
    colours = heat(np.linspace(-0.1, 1.1, 50)[None])[0]
    lightness = colours @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness) >= 0).all()
    assert lightness[0] < 0.01
    assert lightness[-1] > 0.9
    with pytest.raises(OSError, match="No such file"):
        read_sheet("nowhere.png")
