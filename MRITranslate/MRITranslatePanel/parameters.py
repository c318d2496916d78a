"""The choices of the panel: their kinds, their words for people, and the parameter node that keeps them."""

import enum
from typing import Annotated, Optional, Union

from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLMarkupsROINode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLTextNode,
)
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper


class Scope(enum.Enum):
    """What Run translates."""

    VOLUME = "volume"
    STUDY = "study"
    SEQUENCE = "sequence"

    def label(self):
        return {
            "volume": _("This volume"),
            "study": _("All volumes of its study"),
            "sequence": _("All items of its sequence"),
        }[self.value]


class Target(enum.Enum):
    """What a heat map explains."""

    REGION = "region"
    VOXEL = "voxel"
    REALISM = "realism"
    ERROR = "error"
    CLASS = "class"

    def label(self):
        return {
            "region": _("A region of the output"),
            "voxel": _("A point of the output"),
            "realism": _("Realism of the output"),
            "error": _("Error against a reference"),
            "class": _("A class of a classifier"),
        }[self.value]


class Method(enum.Enum):
    """How a heat map is computed."""

    GRADCAM = "gradcam"
    GRADCAM_PLUS_PLUS = "gradcam++"
    HIRESCAM = "hirescam"
    LAYERCAM = "layercam"
    XGRADCAM = "xgradcam"
    GRADCAM_ELEMENTWISE = "gradcamelementwise"
    EIGENCAM = "eigencam"
    EIGENGRADCAM = "eigengradcam"

    def label(self):
        return {
            "gradcam": _("Grad-CAM"),
            "gradcam++": _("Grad-CAM++"),
            "hirescam": _("HiResCAM"),
            "layercam": _("LayerCAM"),
            "xgradcam": _("XGrad-CAM"),
            "gradcamelementwise": _("Grad-CAM, element-wise"),
            "eigencam": _("EigenCAM"),
            "eigengradcam": _("EigenGradCAM"),
        }[self.value]


class XrayTarget(enum.Enum):
    """What is explained of an X-ray."""

    MATCH = "match"
    REALISM = "realism"
    CLASS = "class"

    def label(self):
        return {
            "match": _("Match with the report"),
            "realism": _("Realism"),
            "class": _("A class of a classifier"),
        }[self.value]


MOST_PICTURES = 1000
LARGEST_SEED = 2**31 - 1
"""Of a spin box; the worker takes twice as many."""


@parameterNodeWrapper
class MRITranslateParameterNode:
    """The choices of the panel, saved with the scene.

    inputVolume, scope, model, device, outputVolume - what to translate, with what, where ("auto", "cpu", "cuda:0",
        ...), into what (None: a new volume)
    translateMask - what limits the synthetic image
    uncertainty, cycle - which maps to make beside the synthetic image
    exportVolume - which synthetic volume to write as DICOM
    target - what to explain; regionNode (of it segment, "": all that are visible), pointNode, referenceVolume,
        classifier and className say it exactly
    method, layer - how to explain it (an empty layer: the network's own choice)
    anatomyNode - whose segments' shares of the heat are counted
    checkMap - whether the map itself is put to the test
    speckMl - size below which specks leave a level, in millilitres
    heatMapVolume, levelsVolume - what receives the explanation (None: new nodes)
    opacity, threshold - of the heat map in the slice views
    generator, pictureCount, pictureSeed - which pictures to make from noise
    towardsSeed - the seed at the end of the way between two pictures (-1: no way)
    truncation - largest random number (0: as they come)
    xrayModel, xraySeed, xrayCount - which X-rays to make
    report - the text in the box; reportNode - a text node whose text counts instead
    xrayVolume, xrayTarget - what to explain of which X-ray; xrayClassifier, xrayClass - of XrayTarget.CLASS
    """

    inputVolume: vtkMRMLScalarVolumeNode
    scope: Scope = Scope.VOLUME
    model: str
    device: str = "auto"
    translateMask: Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, vtkMRMLMarkupsROINode, None]
    uncertainty: bool = False
    cycle: bool = False
    outputVolume: Optional[vtkMRMLScalarVolumeNode]
    exportVolume: Optional[vtkMRMLScalarVolumeNode]
    target: Target = Target.REGION
    regionNode: Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, vtkMRMLMarkupsROINode, None]
    segment: str
    pointNode: Optional[vtkMRMLMarkupsFiducialNode]
    referenceVolume: Optional[vtkMRMLScalarVolumeNode]
    classifier: str
    className: str
    method: Method = Method.GRADCAM
    anatomyNode: Union[vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, None]
    checkMap: bool = False
    layer: str
    speckMl: Annotated[float, WithinRange(0, 100)] = 0.0
    heatMapVolume: Optional[vtkMRMLScalarVolumeNode]
    levelsVolume: Optional[vtkMRMLLabelMapVolumeNode]
    opacity: Annotated[float, WithinRange(0, 1)] = 0.5
    threshold: Annotated[float, WithinRange(0, 1)] = 0.0
    generator: str
    pictureCount: Annotated[int, WithinRange(1, MOST_PICTURES)] = 16
    pictureSeed: Annotated[int, WithinRange(0, LARGEST_SEED)] = 1
    towardsSeed: Annotated[int, WithinRange(-1, LARGEST_SEED)] = -1
    truncation: Annotated[float, WithinRange(0, 4)] = 0.0
    xrayModel: str
    reportNode: Optional[vtkMRMLTextNode]
    report: str
    xraySeed: Annotated[int, WithinRange(0, LARGEST_SEED)] = 1
    xrayCount: Annotated[int, WithinRange(1, MOST_PICTURES)] = 1
    xrayVolume: Optional[vtkMRMLScalarVolumeNode]
    xrayTarget: XrayTarget = XrayTarget.MATCH
    xrayClassifier: str
    xrayClass: str
