"""The sample data: registered in the Sample Data module, loaded without a network, and fit for the built-in models."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np

from .conftest import ROOT
from .test_corner import noticed

SAMPLES = ROOT / "MRITranslate" / "Resources" / "SampleData"


def test_samples_are_registered_at_the_start():
    """In a process of its own: registration waits for the start of the application, which other tests have had."""
    code = (
        "import slicer; sources = slicer.modules.sampleDataSources['MRITranslate'];"
        "print([(one.sampleName, one.customDownloader.__name__) for one in sources]);"
        "print([one.thumbnailFileName for one in sources]); slicer.util.exit(0)"
    )
    host = [sys.executable, "-m", "Testing.host", "--testing", "--additional-module-paths", str(ROOT / "MRITranslate")]
    done = subprocess.run([*host, "--python-code", code], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=240)
    assert done.returncode == 0, done.stderr
    assert "('MRITranslatePhantom', 'loadPhantomSample')" in done.stdout
    assert "('MRITranslateBrain', 'loadBrainSample')" in done.stdout
    thumbnails = done.stdout.partition("\n")[2].strip().strip("[]").replace("'", "").split(", ")
    for path in map(Path, thumbnails):
        header = path.read_bytes()[:24]
        assert header[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", header[16:24]) == (128, 128)


def load(name):
    import slicer
    from SampleData import SampleDataLogic

    source = SampleDataLogic().sourceForSampleName(name)
    nodes = source.customDownloader(source)  # as the button of the Sample Data module does
    slicer.app.processEvents()
    return nodes


def test_the_average_brain_is_a_real_image_that_a_model_takes(logic):
    import slicer

    (node,) = load("MRITranslateBrain")
    assert node.GetName() == "MRITranslateBrain"
    array = slicer.util.arrayFromVolume(node)
    assert array.dtype == np.uint8
    assert np.allclose(node.GetSpacing(), 1.5)
    assert node.GetVoxelValueQuantity().GetCodeValue() == "110852"
    assert "152" in node.GetDescription()
    # In MNI space: the crossing of the commissures is the origin, in the middle of the brain; the left half is alike.
    bounds = np.zeros(6)
    node.GetRASBounds(bounds)
    assert (bounds[::2] < -60).all()
    assert (bounds[1::2] > 60).all()
    assert node.GetAttribute("MRITranslate.Kind") is None  # no synthetic image, and no notice of one
    assert noticed() == set()
    domain = logic.check(node, "t1_to_t2")
    assert (domain.outcome, domain.contrast) == ("ok", "T1")
    assert load("MRITranslateBrain")[0].GetName() != node.GetName()


def test_the_phantom_is_marked_as_one(logic):
    nodes = load("MRITranslatePhantom")
    assert {node.GetAttribute("MRITranslate.Kind") for node in nodes} == {"phantom"}
    assert noticed()


def test_the_terms_go_with_the_file():
    terms = (SAMPLES / "ICBM152-LICENSE.txt").read_text(encoding="utf-8")
    for part in (
        "Copyright (C) 1993-2004, Louis Collins",
        "Permission to use, copy, modify, and distribute",
        "average",
    ):
        assert part in terms
    assert (SAMPLES / "ICBM152-T1.nrrd").stat().st_size < 2**20
