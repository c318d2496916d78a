"""The picture of docs/evaluating.md: CT from T1 beside CT from T2, on digital heads that neither model has seen."""

import tempfile
from pathlib import Path

import MRITranslateLib as mt
from MRITranslateLib.cohort.report import cases_picture

SEEDS = range(2001, 2009)
SHAPE = (64, 112, 112)
METHODS = {"t1_to_ct": "t1", "t2_to_ct": "t2"}


def draw(folder: Path) -> None:
    """Write the picture into a folder, and print what the text beside it states."""
    with tempfile.TemporaryDirectory() as name:
        sides = [Path(name) / side for side in ("true", *METHODS)]
        for side in sides:
            side.mkdir()
        for seed in SEEDS:
            head = mt.phantom(seed=seed, shape=SHAPE)
            mt.write_volume(head.ct, sides[0] / f"head{seed}.nii.gz")
            for side, (model, contrast) in zip(sides[1:], METHODS.items(), strict=True):
                made = mt.translate(getattr(head, contrast), mt.load_package(model))
                mt.write_volume(made.image, side / f"head{seed}.nii.gz")
        pairs, _ = mt.pair_by_name(*sides)
        cohort = mt.evaluate_cohort(pairs, "CT")
    (folder / "evaluate_cohort.png").write_bytes(cases_picture(cohort, list(METHODS)))
    for measure, apart in cohort.differences.items():
        one, other = cohort.figures[measure], cohort.others[measure]
        print(
            f"{measure}: {one.mean:.3f} and {other.mean:.3f}, difference {apart.mean:.3f} ({apart.low:.3f} to "
            f"{apart.high:.3f}), p {apart.p:.4f}, corrected {apart.p_holm:.4f}"
        )
