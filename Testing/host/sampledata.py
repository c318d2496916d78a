"""`SampleData`: registering sources. Nothing is downloaded: the host has no network."""

from typing import Any

import slicer
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)


class SampleData(ScriptedLoadableModule):
    """The Sample Data module."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = "Sample Data"
        parent.categories = ["Informatics"]


class SampleDataWidget(ScriptedLoadableModuleWidget):
    """Its panel, empty in the host."""


class SampleDataSource:
    """One entry of the Sample Data module: where files come from and what becomes of them."""

    def __init__(
        self,
        sampleName: str | None = None,
        sampleDescription: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        checksums: Any = None,
        loadFiles: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: str | None = None,
        loadFileType: Any = None,
        loadFileProperties: Any = None,
    ) -> None:
        self.sampleName, self.sampleDescription = sampleName, sampleDescription or sampleName
        self.uris, self.fileNames, self.nodeNames, self.checksums, self.loadFiles = (
            self._listed(value) for value in (uris, fileNames, nodeNames, checksums, loadFiles)
        )
        self.customDownloader, self.thumbnailFileName = customDownloader, thumbnailFileName
        self.loadFileType, self.loadFileProperties = loadFileType, loadFileProperties or {}
        counts = {len(values) for values in (self.uris, self.fileNames, self.nodeNames) if values}
        if len(counts) > 1:
            raise ValueError(f"{sampleName}: uris, fileNames and nodeNames differ in number")

    @staticmethod
    def _listed(value: Any) -> list[Any]:
        if value is None:
            return []
        return list(value) if isinstance(value, list | tuple) else [value]


class SampleDataLogic(ScriptedLoadableModuleLogic):
    """The registry of sources."""

    @staticmethod
    def registerCustomSampleDataSource(category: str = "Custom", **source: Any) -> None:
        if not hasattr(slicer.modules, "sampleDataSources"):
            slicer.modules.sampleDataSources = {}
        slicer.modules.sampleDataSources.setdefault(category, []).append(SampleDataSource(**source))

    def sourceForSampleName(self, sampleName: str) -> SampleDataSource | None:
        sources = [source for group in slicer.modules.sampleDataSources.values() for source in group]
        return next((source for source in sources if source.sampleName == sampleName), None)

    def downloadFromSource(self, source: SampleDataSource) -> Any:
        """In Slicer too a source's customDownloader is called by its button only: `source.customDownloader(source)`."""
        raise RuntimeError("the test host has no network: sample data are not downloaded")
