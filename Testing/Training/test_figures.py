"""Figures for people: titles, units, digits."""

import pytest

from Training.figures import describe


@pytest.mark.parametrize(
    ("name", "target", "heading", "value", "text"),
    [
        ("psnr", "T2", "PSNR (dB)", 20.126, "20.13"),
        ("mae", "T2", "MAE (% of full scale)", 0.0512, "5.12"),
        ("mae", "CT", "MAE (HU)", 51.26, "51.3"),
        ("T1 to CT mae", "CT", "T1 to CT: MAE (HU)", 51.26, "51.3"),
        ("CT to T1 mae", "CT", "CT to T1: MAE (% of full scale)", 0.05, "5.00"),
        ("dice_bone", "CT", "Dice, bone", 0.5, "0.500"),
        ("T1 to T2 cycle error", None, "T1 to T2 cycle error", 0.123456, "0.1235"),
        ("fid", None, "FID", None, "–"),
    ],
)
def test_figures_are_named_in_their_unit(name, target, heading, value, text):
    figure = describe(name, target)
    assert figure.heading == heading
    assert figure.text(value) == text
