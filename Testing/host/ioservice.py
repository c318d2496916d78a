"""`slicer.app.coreIOManager()`: reading and writing through the real MRML storage nodes and module logics."""

import os
import pathlib
from typing import Any

import slicer
import vtk
from PySide6 import QtCore
from PySide6.QtCore import Signal

_TYPES = {
    ".mrb": "SceneFile",
    ".mrml": "SceneFile",
    ".nrrd": "VolumeFile",
    ".nhdr": "VolumeFile",
    ".nii": "VolumeFile",
    ".nii.gz": "VolumeFile",
    ".mha": "VolumeFile",
    ".mhd": "VolumeFile",
    ".seg.nrrd": "SegmentationFile",
    ".tsv": "TableFile",
    ".csv": "TableFile",
    ".h5": "TransformFile",
    ".tfm": "TransformFile",
    ".vtk": "ModelFile",
    ".vtp": "ModelFile",
    ".stl": "ModelFile",
}
_CLASSES = {
    "vtkMRMLSegmentationNode": "SegmentationFile",
    "vtkMRMLVolumeNode": "VolumeFile",
    "vtkMRMLTableNode": "TableFile",
    "vtkMRMLTransformNode": "TransformFile",
    "vtkMRMLModelNode": "ModelFile",
    "vtkMRMLColorNode": "ColorTableFile",
    "vtkMRMLTextNode": "TextFile",
}


class qSlicerCoreIOManager(QtCore.QObject):
    """Loads files into the scene and writes nodes and scenes."""

    newFileLoaded = Signal("QVariantMap")
    fileSaved = Signal("QVariantMap")

    def __init__(self, application_logic: Any) -> None:
        super().__init__()
        self._application_logic = application_logic

    def fileType(self, file: str) -> str:
        name = os.path.basename(file).lower()
        matching = [extension for extension in _TYPES if name.endswith(extension)]
        return _TYPES[max(matching, key=len)] if matching else "NoFile"

    def fileWriterFileType(self, node: Any) -> str:
        return next((kind for name, kind in _CLASSES.items() if node is not None and node.IsA(name)), "NoFile")

    def registeredFileReaderCount(self, fileType: str) -> int:
        return 1 if fileType in set(_TYPES.values()) else 0

    def loadNodes(self, fileType: str, properties: Any, loaded: Any = None, messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if not os.path.exists(path):
            if messages is not None:
                messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"File {path} does not exist")
            return False
        if fileType == "SceneFile":
            before = set(_node_ids())
            success = self._load_scene(path, bool(properties.get("clear", False)), messages)
            for identity in _node_ids():
                if identity not in before and loaded is not None:
                    loaded.AddItem(slicer.mrmlScene.GetNodeByID(identity))
            return success
        readers = {
            "VolumeFile": self._load_volume,
            "SegmentationFile": self._load_segmentation,
            "TableFile": self._load_table,
            "TransformFile": self._load_transform,
            "ModelFile": self._load_model,
        }
        if fileType not in readers:
            raise NotImplementedError(f"the test host reads no {fileType}")
        node = readers[fileType](path, properties)
        if node is not None and loaded is not None:
            loaded.AddItem(node)
        return node is not None

    def _load_scene(self, path: str, clear: bool, messages: Any) -> bool:
        scene = slicer.mrmlScene
        if path.lower().endswith(".mrb"):
            return bool(scene.ReadFromMRB(path, clear, messages))
        scene.SetURL(path)
        return bool(scene.Connect(messages) if clear else scene.Import(messages))

    def _load_volume(self, path: str, properties: Any) -> Any:
        logic = slicer.modules.volumes.logic()
        flags = {
            "labelmap": logic.LabelMap,
            "center": logic.CenterImage,
            "singleFile": logic.SingleFile,
            "discardOrientation": logic.DiscardOrientation,
        }
        options = sum(flag for name, flag in flags.items() if properties.get(name, False))
        options |= logic.AutoWindowLevel if properties.get("autoWindowLevel", True) else 0
        node = logic.AddArchetypeVolume(path, properties.get("name") or _stem(path), options)
        if node is None:
            return None
        if properties.get("colorNodeID"):
            node.GetDisplayNode().SetAndObserveColorNodeID(properties["colorNodeID"])
        if properties.get("show", True):
            selection = self._application_logic.GetSelectionNode()
            if node.IsA("vtkMRMLLabelMapVolumeNode"):
                selection.SetActiveLabelVolumeID(node.GetID())
            else:
                selection.SetActiveVolumeID(node.GetID())
            self._application_logic.PropagateVolumeSelection()
        return node

    def _load_segmentation(self, path: str, properties: Any) -> Any:
        return slicer.modules.segmentations.logic().LoadSegmentationFromFile(
            path, True, properties.get("name") or _stem(path)
        )

    def _load_table(self, path: str, properties: Any) -> Any:
        return slicer.modules.tables.logic().AddTable(path, properties.get("name") or _stem(path))

    def _load_transform(self, path: str, properties: Any) -> Any:
        return slicer.modules.transforms.logic().AddTransform(path, slicer.mrmlScene)

    def _load_model(self, path: str, properties: Any) -> Any:
        return slicer.modules.models.logic().AddModel(path)

    def loadScene(self, fileName: str, clear: bool = True, userMessages: Any = None) -> bool:
        return self._load_scene(fileName, clear, userMessages)

    def saveNodes(self, fileType: str, properties: Any, messages: Any = None) -> bool:
        path = str(properties["fileName"])
        if fileType == "SceneFile":
            return self._save_scene(path, messages)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        if node is None or not node.IsA("vtkMRMLStorableNode"):
            return False
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode(path)
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        if "useCompression" in properties:
            storage.SetUseCompression(properties["useCompression"])
        return bool(storage.WriteData(node))

    def _save_scene(self, path: str, messages: Any) -> bool:
        scene = slicer.mrmlScene
        suffix = pathlib.Path(path).suffix.lower()
        if suffix == ".mrb":
            return bool(scene.WriteToMRB(path, None, messages))
        if suffix == ".mrml":
            scene.SetURL(path)
            return bool(scene.Commit(path, messages))
        raise NotImplementedError("the test host writes scenes as .mrb or .mrml only")


def _node_ids() -> list[str]:
    scene = slicer.mrmlScene
    return [scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())]


def _stem(path: str) -> str:
    name = os.path.basename(path)
    matching = [extension for extension in _TYPES if name.lower().endswith(extension)]
    return name[: -len(max(matching, key=len))] if matching else os.path.splitext(name)[0]
