"""Which epochs the evolution figure shows."""

import pytest

from Training.evolution import sample_files, spread


@pytest.mark.parametrize(
    ("epochs", "shown"),
    [
        ([1, 2], [1, 2]),
        ([5, 10, 15], [5, 10, 15]),
        ([1, *range(5, 201, 5)], [1, 5, 10, 25, 70, 200]),
        ([0, 100], [0, 100]),
    ],
)
def test_epochs_are_spread_evenly_in_their_logarithm(epochs, shown):
    assert spread(epochs) == shown


def test_sample_files_are_found_by_epoch(tmp_path):
    (tmp_path / "samples").mkdir()
    for name in (
        "epoch-0100.png",
        "epoch-0001.png",
        "epoch-12345.png",
        "other.png",
        "epoch-x.png",
        "epoch-0002.png.writing",
    ):
        (tmp_path / "samples" / name).touch()
    assert list(sample_files(tmp_path)) == [1, 100, 12345]
    assert sample_files(tmp_path / "none") == {}
