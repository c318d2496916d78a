"""The maker of the contrast check: the same file again, and a classifier that tells its own heads."""

from itertools import islice

from MRITranslateLib.contrast import Classifier
from Training.contrast import make, phantom_rows, rows_of, train
from Training.contrastdata import other_scans


def test_the_maker_is_deterministic_and_learns():
    rows = [row for head in (1, 2, 3) for row in phantom_rows(head, seed=1, variants=0)]
    rows += [row for scan in other_scans(5, seed=1) for row in rows_of(scan, seed=1, variants=0)]
    again = phantom_rows(1, seed=1, variants=0)
    assert all((first.features == second.features).all() for first, second in zip(rows, again, strict=False))
    stored = train(rows, seed=1)
    assert stored == train(rows, seed=1)
    judge = Classifier(stored)
    assert all(judge(row.features).name == row.contrast for row in islice(rows, 15))
    tables = make(rows, seed=1)[0]["confusion"]
    assert sum(map(sum, tables["phantoms"]["table"])) == 15
