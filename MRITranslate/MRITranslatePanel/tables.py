"""Figures as MRML nodes: tables, and the chart of the checks on a heat map. Nothing here is in the scene yet."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

EXPLAINED, RANDOM, CENTRE = (0.835, 0.369, 0.0), (0.45, 0.45, 0.45), (0.0, 0.447, 0.698)
"""Orange, grey and blue, which people with any kind of colour vision tell apart (Okabe and Ito)."""


def _texts(name: str, values) -> vtk.vtkStringArray:
    column = vtk.vtkStringArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(value)
    return column


def _numbers(name: str, values) -> vtk.vtkDoubleArray:
    """A value that is None (not finite) becomes NaN."""
    column = vtk.vtkDoubleArray()
    column.SetName(name)
    for value in values:
        column.InsertNextValue(float("nan") if value is None else float(value))
    return column


def fill(node, columns):
    """Give a table node these columns and no others."""
    node.RemoveAllColumns()
    for column in columns:
        node.AddColumn(column)
    return node


def scores(result: dict) -> list:
    """One measure of a comparison a row, with its unit, the protocol that it was taken by, and what with."""
    measures, protocol = result["scores"], result["facts"]["protocol"]
    measured = [result["measured"][name] for name in measures]
    return [
        _texts(_("Measure"), measures),
        _numbers(_("Value"), measures.values()),
        _texts(_("Unit"), [how["unit"] for how in measured]),
        _texts(_("Protocol"), [protocol] * len(measures)),
        _texts(_("Data range"), [how["data_range"] for how in measured]),
        _texts(_("Mask"), [how["mask"] for how in measured]),
        _texts(_("Window"), [how["window"] for how in measured]),
    ]


def sliceErrors(result: dict) -> list:
    """One slice of the reference a row, counted from 0: its mean absolute error, and how many voxels were scored."""
    errors = result["errors"]
    return [
        _numbers(_("Slice"), range(len(errors))),
        _numbers(_("MAE ({unit})").format(unit=result["unit"]), errors),
        _numbers(_("Voxels"), result["voxels"]),
    ]


def jointHistogram(result: dict) -> list:
    """One pair of values a row (the middles of their bins) that meet in at least one voxel, and in how many."""
    edges, counts = np.asarray(result["histogram"]["edges"]), np.asarray(result["histogram"]["counts"])
    middles = (edges[1:] + edges[:-1]) / 2
    reference, prediction = np.nonzero(counts)
    unit = result["unit"]
    return [
        _numbers(_("Reference ({unit})").format(unit=unit), middles[reference]),
        _numbers(_("Prediction ({unit})").format(unit=unit), middles[prediction]),
        _numbers(_("Voxels"), counts[reference, prediction]),
    ]


def errorChart(title: str, name: str, table) -> tuple:
    """A chart of the error of each slice in `table` (see `sliceErrors`), and its series, called `name`; the caller
    joins them once they are in a scene."""
    series = slicer.vtkMRMLPlotSeriesNode()
    series.SetName(name)
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleCircle)
    series.SetLineWidth(2)
    series.SetColor(*CENTRE)
    series.SetXColumnName(table.GetColumnName(0))
    series.SetYColumnName(table.GetColumnName(1))
    chart = slicer.vtkMRMLPlotChartNode()
    chart.SetTitle(title)
    chart.SetXAxisTitle(table.GetColumnName(0))
    chart.SetYAxisTitle(table.GetColumnName(1))
    chart.SetLegendVisibility(False)
    return chart, series


def levels(rows: list[dict]) -> list:
    """One heat level a row: its volume, its mean heat and the mean of the input image in it."""
    return [
        _texts(_("Level"), [row["name"] for row in rows]),
        _numbers(_("Volume (ml)"), [row["ml"] for row in rows]),
        _numbers(_("Mean heat"), [row["mean_heat"] for row in rows]),
        _numbers(_("Mean of the input"), [row["mean_intensity"] for row in rows]),
    ]


def shares(parts: dict[str, float]) -> list:
    """One segment a row, with the part of all heat that lies in it."""
    return [
        _texts(_("Segment"), parts),
        _numbers(_("Share of the heat (%)"), [100 * part for part in parts.values()]),
    ]


def verdicts(realism: list[float], match: list[float]) -> list:
    """One picture a row, counted from 1, with the logits of the discriminator: above 0 it finds the picture real, and
    the words of the report in it (of a model that reads reports)."""
    columns = [_texts(_("Picture"), [str(number + 1) for number in range(len(realism))])]
    columns.append(_numbers(_("Realism"), realism))
    return [*columns, _numbers(_("Match with the report"), match)] if match else columns


def words(parts: list[dict]) -> list:
    """One word of a report a row, in its order, with what it added to the score; what stands between words is left
    out."""
    rows = [part for part in parts if any(letter.isalnum() for letter in part["text"])]
    return [
        _texts(_("Word"), [row["text"] for row in rows]),
        _numbers(_("Added to the score"), [row["score"] for row in rows]),
    ]


def curves(faithfulness: dict) -> list:
    """The deletion and insertion curves of a heat map, of random maps and of the centre, as columns."""
    columns = [_numbers(_("Part of the image (%)"), [100 * part for part in faithfulness["deletion"]["fractions"]])]
    for name, course, __, __ in _courses(faithfulness):
        columns.append(_numbers(name, course))
    return columns


def _courses(faithfulness: dict):
    """Name, values, colour and line style of each curve."""
    solid, dashed = slicer.vtkMRMLPlotSeriesNode.LineStyleSolid, slicer.vtkMRMLPlotSeriesNode.LineStyleDash
    deletion, insertion = faithfulness["deletion"], faithfulness["insertion"]
    return [
        (_("Deleting, by the heat map"), deletion["explained"], EXPLAINED, solid),
        (_("Deleting, at random"), deletion["random"], RANDOM, solid),
        (_("Deleting, from the centre"), deletion["centre"], CENTRE, solid),
        (_("Inserting, by the heat map"), insertion["explained"], EXPLAINED, dashed),
        (_("Inserting, at random"), insertion["random"], RANDOM, dashed),
        (_("Inserting, from the centre"), insertion["centre"], CENTRE, dashed),
    ]


def chart(faithfulness: dict, title: str, table) -> tuple:
    """A chart of the curves in `table` (see `curves`), and its series; the caller joins them once they are in a scene.

    Returns:
        The chart node and a list of series nodes.
    """
    series = []
    for name, __, colour, style in _courses(faithfulness):
        node = slicer.vtkMRMLPlotSeriesNode()
        node.SetName(name)
        node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        node.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        node.SetLineStyle(style)
        node.SetLineWidth(3 if colour == EXPLAINED else 2)
        node.SetColor(*colour)
        node.SetXColumnName(table.GetColumnName(0))
        node.SetYColumnName(name)
        series.append(node)
    node = slicer.vtkMRMLPlotChartNode()
    node.SetTitle(title)
    node.SetXAxisTitle(table.GetColumnName(0))
    node.SetYAxisTitle(_("Target (0: blurred image, 1: whole image)"))
    return node, series
