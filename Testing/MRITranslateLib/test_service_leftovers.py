"""What a request leaves in the exchange folder: the arrays of its result, and nothing if it has none."""

from pathlib import Path

from MRITranslateLib.service.messages import Request

from .test_service import Raw

ENDINGS = """
import sys, time
import SimpleITK as sitk
from MRITranslateLib.service.__main__ import main
from MRITranslateLib.service.jobs import Jobs

def phantom(self, params, progress, cancel):
    volumes = [self._send(sitk.Image(4, 4, 4, sitk.sitkUInt8)) for _ in range(7)]
    progress(0.5, "Sent", 0, 1)
    if params["seed"] == 1:
        raise MemoryError
    while params["seed"] == 2 and not cancel():
        time.sleep(0.01)
    names = ("t1", "t2", "flair", "pd", "ct", "labels", "lesions")
    return dict(zip(names, volumes if params["seed"] != 3 else volumes[:6]))

Jobs._phantom = phantom
sys.exit(main())
"""


def test_arrays_without_a_result_are_removed(tmp_path: Path) -> None:
    """After a failure, a cancelling and a result that breaks the protocol; those of a result before them stay."""
    with Raw(tmp_path / "new", ENDINGS) as raw:
        kept: set[str] = set()
        for seed, kind in ((4, None), (1, "memory"), (2, "cancelled"), (3, "internal")):
            raw.send(Request(f"r{seed}", "phantom", {"seed": seed}).line())
            while raw.event().get("stage") != "Sent":
                pass
            if seed == 2:
                raw.send(Request("c", "cancel", {"id": "r2"}).line())
            end, _ = raw.end_of(f"r{seed}")
            assert end.get("kind") == kind
            kept |= {volume["array"] for volume in end.get("result", {}).values()}
            assert {path.name for path in raw.folder.iterdir()} == kept
        assert len(kept) == 7
