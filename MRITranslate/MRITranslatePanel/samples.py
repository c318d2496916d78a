"""What the module offers in Slicer's Sample Data: a digital head that is computed, and a real average brain of a file.

Nothing is downloaded.
"""

from __future__ import annotations

import os

import slicer
from slicer.i18n import tr as _

from MRITranslateLib.modality import modality

from . import results
from .jobs import PHANTOM_LESIONS
from .scripting import Scripting

RESOURCES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Resources")
BRAIN = os.path.join(RESOURCES, "SampleData", "ICBM152-T1.nrrd")
BRAIN_NAME = "MRITranslateBrain"


def registerSampleData() -> None:
    """Make the samples known to the Sample Data module."""
    import SampleData

    register = SampleData.SampleDataLogic.registerCustomSampleDataSource
    register(
        category="MRITranslate",
        sampleName="MRITranslatePhantom",
        sampleDescription=_("Phantom patient"),
        uris="mritranslate:phantom",
        fileNames="MRITranslatePhantom",
        nodeNames="MRITranslatePhantom",
        thumbnailFileName=os.path.join(RESOURCES, "Icons", "MRITranslate.png"),
        customDownloader=loadPhantomSample,
    )
    register(
        category="MRITranslate",
        sampleName=BRAIN_NAME,
        sampleDescription=_("Average brain of 152 people (T1)"),
        uris="mritranslate:brain",
        fileNames=os.path.basename(BRAIN),
        nodeNames=BRAIN_NAME,
        thumbnailFileName=BRAIN.replace(".nrrd", ".png"),
        customDownloader=loadBrainSample,
    )


def loadPhantomSample(source):
    """What the Sample Data module calls when the digital head is chosen."""
    with slicer.util.tryWithErrorDisplay(_("The phantom patient could not be made."), waitCursor=True):
        nodes = Scripting().loadPhantom(lesions=PHANTOM_LESIONS)
        results.showLayers(nodes["t1"], None, 0.0)
        return list(nodes.values())


def loadBrainSample(source):
    """What the Sample Data module calls when the average brain is chosen; it is no synthetic image."""
    with slicer.util.tryWithErrorDisplay(_("The average brain could not be loaded."), waitCursor=True):
        node = slicer.util.loadVolume(BRAIN, {"name": results.uniqueName(BRAIN_NAME), "show": False})
        node.SetDescription(
            _("Average T1-weighted MRI of the brains of 152 healthy adults (ICBM 152, 2009a); see {file}.").format(
                file="ICBM152-LICENSE.txt"
            )
        )
        results.setQuantity(node, modality("T1"))
        results.showLayers(node, None, 0.0)
        return [node]
