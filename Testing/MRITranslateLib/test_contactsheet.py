"""A contact sheet holds every picture, its captions and the warning, at any number."""

import numpy as np
import pytest

from MRITranslateLib.contactsheet import contact_sheet


@pytest.mark.parametrize(("count", "size"), [(1, 16), (5, 128), (64, 128), (3000, 128)])
def test_every_picture_is_on_the_sheet(count, size):
    pictures = np.full((count, size, size), -1.0, np.float32)
    pictures[-1] = 1.0
    sheet = contact_sheet(pictures, [f"{number}" for number in range(count)], "Title")
    assert sheet.dtype == np.uint8
    assert sheet.shape[2] == 3
    assert max(sheet.shape) < 6000
    white = (sheet == 255).all(2).sum()
    side = min(size, 4096 // int(np.ceil(np.sqrt(count))) - 4)
    assert white == side**2
    marked = (sheet == (255, 190, 60)).all(2)
    assert marked[:44].any()
