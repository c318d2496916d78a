"""The log: grouped, read back, mended after a kill."""

import csv

import numpy as np

from Training.runfolder import RunFolder
from Training.runlog import by_member, read_log


def test_what_is_logged_is_read_back_by_group(tmp_path):
    folder = RunFolder(tmp_path / "run", resume=False)
    for epoch in (1, 2):
        folder.log(
            epoch, 10 * epoch, {"loss": {"l1": 0.5 / epoch}, "validation": {"psnr": float("inf"), "psnr a": 3.0}}
        )
    log = read_log(folder.path / "log.csv")
    assert log["loss"]["l1"].epochs == [1, 2]
    assert log["loss"]["l1"].values == [0.5, 0.25]
    assert log["validation"]["psnr"].values == []
    assert log["validation"]["psnr a"].at(2) == 3.0
    assert log["validation"]["psnr a"].at(7) is None
    with (folder.path / "log.csv").open() as stream:
        assert [set(row) for row in csv.DictReader(stream)] == [{"epoch", "step", "group", "figure", "value"}] * 6


def test_rows_after_the_checkpoint_and_half_rows_are_dropped(tmp_path):
    folder = RunFolder(tmp_path / "run", resume=False)
    for epoch in (1, 2, 3):
        folder.log(epoch, 10 * epoch, {"loss": {"l1, all": float(epoch)}})
    file = folder.path / "log.csv"
    file.write_text(file.read_text(encoding="utf-8") + "4,40,loss,l1")  # the run was killed here
    assert read_log(file)["loss"]["l1, all"].values == [1.0, 2.0, 3.0]
    again = RunFolder(tmp_path / "run", resume=True)
    again.forget_after(20)
    again.log(3, 30, {"loss": {"l1, all": 30.0}})
    assert read_log(file)["loss"]["l1, all"].values == [1.0, 2.0, 30.0]
    assert file.read_text(encoding="utf-8").count("\n") == 4


def test_figures_of_members_stand_under_their_mean():
    names = ["psnr", "psnr a b", "psnr c", "dice_dark", "T1 to CT mae", "T1 to CT mae c", "alone here"]
    assert by_member(names) == {
        "psnr": {"a b": "psnr a b", "c": "psnr c"},
        "dice_dark": {},
        "T1 to CT mae": {"c": "T1 to CT mae c"},
        "alone here": {},
    }


def test_tensorboard_gets_the_groups_and_the_pictures(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = RunFolder(tmp_path / "run", resume=False)
    folder.log(1, 10, {"loss": {"l1": 0.5}, "validation": {"psnr": 20.0}, "speed": {"images per second": 3.0}})
    folder.save_samples(1, 10, np.full((4, 6), 0.5))
    events = EventAccumulator(str(folder.path / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {tag.partition("/")[0] for tag in tags["scalars"]} == {"loss", "validation", "speed"}
    assert tags["images"] == ["samples"]
    (image,) = events.Images("samples")
    assert (image.step, image.height, image.width) == (10, 4, 6)
