"""Files that Slicer ships and slicer-core does not: colour tables and volume display presets.

They are written into the host's share folder at the start.
"""

import colorsys
import json
import pathlib

import matplotlib

# Slicer's tables of these names are matplotlib's colour maps (ColdToHotRainbow is "jet").
_COLOUR_MAPS = {
    "Inferno": "inferno",
    "Viridis": "viridis",
    "Plasma": "plasma",
    "Magma": "magma",
    "DivergingBlueRed": "RdBu_r",
    "ColdToHotRainbow": "jet",
}
_PRESETS = {
    "CT_BONE": ("CT-Bone", 1000.0, 400.0),
    "CT_AIR": ("CT-Air", 1000.0, -426.0),
    "CT_BRAIN": ("CT-Brain", 100.0, 50.0),
    "CT_ABDOMEN": ("CT-Abdomen", 350.0, 40.0),
    "CT_LUNG": ("CT-Lung", 1400.0, -500.0),
}


def write_colour_tables(folder: pathlib.Path) -> None:
    """<name>.txt with 256 colours for each table; the node is then vtkMRMLColorTableNodeFile<name>.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, map_name in _COLOUR_MAPS.items():
        colours = matplotlib.colormaps[map_name](range(256), bytes=True)
        rows = [f"{index} {index} {red} {green} {blue} 255" for index, (red, green, blue, _) in enumerate(colours)]
        (folder / f"{name}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    # The table that label maps get by default: one colour a label, label 0 clear.
    hues = [colorsys.hsv_to_rgb(index * 0.618 % 1.0, 0.55, 0.9) for index in range(1, 64)]
    labels = [
        f"{index} label_{index} {red * 255:.0f} {green * 255:.0f} {blue * 255:.0f} 255"
        for index, (red, green, blue) in enumerate(hues, 1)
    ]
    (folder / "GenericColors.txt").write_text("\n".join(["0 background 0 0 0 0", *labels]) + "\n", encoding="utf-8")


def write_display_presets(folder: pathlib.Path) -> None:
    """VolumeDisplayPresets.json as vtkSlicerVolumesLogic reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    presets = [
        {
            "id": identity,
            "name": name,
            "description": name,
            "icon": "",
            "window": window,
            "level": level,
            "color": "vtkMRMLColorTableNodeGrey",
        }
        for identity, (name, window, level) in _PRESETS.items()
    ]
    schema = "https://raw.githubusercontent.com/Slicer/Slicer/main/Modules/Loadable/Volumes/Resources/Schema/volumes-display-presets-schema-v1.0.1.json#"
    content = {"$schema": schema, "volumeDisplayPresets": presets}
    (folder / "VolumeDisplayPresets.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
