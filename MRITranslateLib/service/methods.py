"""The methods of the worker's protocol: what each takes and what it returns. `messages` has the rest of the protocol.

Standard library only and Python 3.9's syntax, because Slicer's panel imports this file.
"""

from __future__ import annotations

from .kinds import Choice, ListOf, Number, OneOf, OrNull, Record, TableOf, Text, Truth, Whole

#: A longer line is refused unread: arrays travel as files, so that messages stay small.
MAX_LINE = 1 << 20
#: Slug and suffix only: no separator, so that a name can never leave the exchange folder.
ARRAY_NAME = r"[A-Za-z0-9_][A-Za-z0-9_\-]{0,99}\.npy"
VOLUME = Record(
    {
        "array": Text(ARRAY_NAME),  # file in the exchange folder; axes (slice, row, column)
        "spacing": ListOf(Number(above=0.0), 3),  # mm, along columns, rows, slices (x, y, z of SimpleITK)
        "origin": ListOf(Number(), 3),  # mm, LPS
        "direction": ListOf(Number(), 9),  # cosines, row-major, LPS
    }
)
MODEL = Text(maximum=4096)  # a catalogue name or the path of a package folder
DEVICE = Text(maximum=40)
IDENTIFIER = Text(r"[A-Za-z0-9_.\-]{1,64}")
_TEXTS = ListOf(Text(maximum=MAX_LINE))
FACTS = TableOf(Text(maximum=MAX_LINE))
_NUMBERS = ListOf(Number())
_TOLD = {"warnings": _TEXTS, "provenance": FACTS}
_REPORT = Text(maximum=100_000)

#: Which voxels of a volume (a plane of voxels): axis 0 runs along the columns, 1 along the rows, 2 along the slices.
_PLANE = {"axis": Whole(0, 2), "index": Whole(0, 2**31)}
_SEED = Whole(0, 2**32 - 1)
TARGET = OneOf(
    "kind",
    {
        "region": Record({"kind": Choice(("region",)), "mask": VOLUME}),
        # What of the mask lies in the plane; without a mask, what of the head does.
        "slice": Record({"kind": Choice(("slice",)), **_PLANE, "mask": OrNull(VOLUME)}, ("mask",)),
        "voxel": Record({"kind": Choice(("voxel",)), "index": ListOf(Whole(0, 2**31), 3)}),
        "realism": Record(
            {
                "kind": Choice(("realism",)),
                "reference": OrNull(VOLUME),
                "seed": _SEED,
                "report": OrNull(_REPORT),
                "text_encoder": OrNull(MODEL),
            },
            ("reference", "seed", "report", "text_encoder"),
        ),
        "error": Record({"kind": Choice(("error",)), "reference": VOLUME}),
        "class": Record({"kind": Choice(("class",)), "name": Text(maximum=200)}),
        "match": Record(
            {"kind": Choice(("match",)), "report": _REPORT, "seed": _SEED, "text_encoder": OrNull(MODEL)},
            ("seed", "text_encoder"),
        ),
    },
)
#: What each score was measured with; "" for what plays no part.
MEASURED = TableOf(Record(dict.fromkeys(("unit", "data_range", "mask", "window"), Text())))
#: How a heat map is cut into levels; see MRITranslateLib.levels.
LEVELS = Record(
    {"quantiles": ListOf(Number()), "thresholds": OrNull(ListOf(Number())), "min_ml": Number()},
    ("quantiles", "thresholds", "min_ml"),
)
#: What `compare` and `report` take. "shift" says where the prediction's space is not the reference's: displacements
#: (mm, LPS) along x, y and z on one lattice around it, and by how much interpolation between its points errs.
_SHIFT = Record({"parts": ListOf(VOLUME, 3), "error_mm": Number()})
_COMPARED = {
    "reference": VOLUME,
    "prediction": VOLUME,
    "modality": Choice(("MR", "CT")),
    "mask": OrNull(VOLUME),
    "protocol": Text(maximum=40),
    "shift": OrNull(_SHIFT),
}
_COMPARED_OPTIONAL = ("modality", "mask", "protocol", "shift")
#: Anatomy to hold a heat map against: a label image on the input's grid, and names by label ("1", "2", ...).
SEGMENTS = Record({"labels": VOLUME, "names": TableOf(Text(maximum=200))})

_CURVES = Record(dict.fromkeys(("fractions", "explained", "random", "spread", "centre"), ListOf(Number())))
FAITHFULNESS = Record(
    {
        "deletion": _CURVES,
        "insertion": _CURVES,
        "areas": TableOf(Number()),
        "twin_correlation": OrNull(Number()),
        "passes": Truth(),
        "sentence": Text(),
    }
)
BESIDE = Record({"image": VOLUME, "heatmap": VOLUME, "score": OrNull(Number()), "title": Text()})
#: A level in figures; the means are null where the level has no voxel.
_LEVEL_ROW = Record(
    {
        "label": Whole(0),
        "name": Text(),
        "ml": Number(),
        "mean_heat": OrNull(Number()),
        "mean_intensity": OrNull(Number()),
    }
)

#: A model of a catalogue, as MRITranslateLib.download.Entry has it.
ENTRY = Record(
    {
        **dict.fromkeys(("name", "title", "source", "target", "version", "url", "licence"), Text()),
        "bytes": Whole(1),
        "sha256": Text("[0-9a-f]{64}"),
    }
)

PARAMS: dict[str, Record] = {
    "translate": Record(
        {
            "image": VOLUME,
            "model": MODEL,
            "device": DEVICE,
            "mask": OrNull(VOLUME),
            "uncertainty": OrNull(Choice(("auto", "augmentation", "dropout"))),  # null: none
            "ensemble": ListOf(MODEL),  # uncertainty over these and the model, instead of "uncertainty"
            "cycle": OrNull(MODEL),  # the model of the way back; "auto": the one that the card names
        },
        ("device", "mask", "uncertainty", "ensemble", "cycle"),
    ),
    # The volume stays prepared in the worker for further requests with the same array, until its file is deleted.
    "translate_slice": Record(
        {
            "image": VOLUME,
            "model": MODEL,
            "index": Whole(0, 2**31),  # along the image's axis on which the model stacks its slices
            "device": DEVICE,
        },
        ("device",),
    ),
    "explain": Record(
        {
            "image": VOLUME,
            "model": MODEL,
            "target": TARGET,
            "method": Text(maximum=40),
            "layer": OrNull(Text(maximum=1000)),  # one name, or several with commas between them
            "device": DEVICE,
            "levels": LEVELS,
            "segments": OrNull(SEGMENTS),
            "check": Truth(),
        },
        ("method", "layer", "device", "levels", "segments", "check"),
    ),
    "check": Record({"image": VOLUME, "model": MODEL}),
    "generate": Record(
        {
            "model": MODEL,
            "count": Whole(1),
            "seed": _SEED,
            "truncation": OrNull(Number(above=0.0)),
            "towards": OrNull(_SEED),  # the way to the picture of another seed
            "device": DEVICE,
        },
        ("seed", "truncation", "towards", "device"),
    ),
    "radiograph": Record(
        {
            "model": MODEL,
            "report": _REPORT,
            "count": Whole(1),
            "seed": _SEED,
            "text_encoder": OrNull(MODEL),  # for a model that comes without its language model
            "device": DEVICE,
        },
        ("count", "seed", "text_encoder", "device"),
    ),
    "words": Record(
        {
            "model": MODEL,
            "report": _REPORT,
            "image": OrNull(VOLUME),  # an X-ray whose match with the words is asked; null: the one of "seed"
            "classifier": OrNull(MODEL),  # asks for the class of the picture instead of the match
            "class": OrNull(Text(maximum=200)),
            "seed": _SEED,
            "text_encoder": OrNull(MODEL),
            "device": DEVICE,
        },
        ("image", "classifier", "class", "seed", "text_encoder", "device"),
    ),
    "evaluate": Record(
        {
            "reference": VOLUME,
            "prediction": VOLUME,
            "modality": Choice(("MR", "CT")),
            "mask": OrNull(VOLUME),
            "protocol": Text(maximum=40),
            "input": OrNull(VOLUME),
        },
        ("modality", "mask", "protocol", "input"),
    ),
    "compare": Record(_COMPARED, _COMPARED_OPTIONAL),
    "report": Record(
        {
            **_COMPARED,
            "path": Text(maximum=4096),  # the .html or .csv file to write
            "names": Record({"reference": Text(), "prediction": Text()}),  # for people
        },
        _COMPARED_OPTIONAL,
    ),
    "phantom": Record(
        {"seed": _SEED, "shape": ListOf(Whole(1, 1024), 3), "lesions": Whole(0, 100)},
        ("seed", "shape", "lesions"),
    ),
    "export_dicom": Record(
        {
            "image": VOLUME,
            "folder": Text(),  # an existing one; the series gets a folder of its own in it
            "source": ListOf(Text()),  # DICOM files that the source volume was read from
            "facts": Record(
                {
                    "modality": Text(maximum=40),
                    "model": Text(maximum=200),
                    "version": Text(maximum=40),
                    "weights": Text(maximum=64),
                    "placed": Truth(),
                    "phantom": Truth(),
                    "same_frame": Truth(),
                    "window": OrNull(ListOf(Number(), 2)),
                }
            ),
        }
    ),
    "devices": Record(),
    "verify": Record({"model": OrNull(MODEL)}, ("model",)),  # null: all
    "add_model": Record({"source": MODEL}),  # folder of a package, its model.json, or a .zip file
    "remove_model": Record({"name": Text(maximum=255)}),
    "catalogue": Record({"address": MODEL}),
    "download": Record({"entry": ENTRY}),
    "cancel": Record({"id": IDENTIFIER}),
    "shutdown": Record(),
}

RESULTS: dict[str, Record] = {
    "translate": Record(
        {
            "image": VOLUME,
            "modality": Text(),
            "warnings": _TEXTS,
            "provenance": FACTS,
            "uncertainty": OrNull(VOLUME),  # standard deviation in the unit of the image
            "cycle": OrNull(VOLUME),  # fraction of the input's full scale
        },
        ("uncertainty", "cycle"),
    ),
    # One voxel thick, in its place on the input's grid.
    "translate_slice": Record({"image": VOLUME, "modality": Text(), "warnings": _TEXTS, "provenance": FACTS}),
    "explain": Record(
        {
            "heatmap": VOLUME,
            "levels": VOLUME,
            "level_names": _TEXTS,
            "warnings": _TEXTS,
            "provenance": FACTS,
            "table": ListOf(_LEVEL_ROW),
            "shares": TableOf(Number()),
            "share_sentence": Text(),  # empty without segments
            "faithfulness": OrNull(FAITHFULNESS),
            "beside": OrNull(BESIDE),
        },
        ("table", "shares", "share_sentence", "faithfulness", "beside"),
    ),
    "check": Record(
        {
            "outcome": Choice(("ok", "warn", "refuse")),
            "reasons": _TEXTS,
            # known: false where the image resembles nothing that the names stand for
            "contrast": Record({"name": Text(), "probabilities": TableOf(Number()), "known": Truth()}),
        }
    ),
    "generate": Record({"image": VOLUME, "modality": Text(), "realism": _NUMBERS, **_TOLD}),
    "radiograph": Record({"image": VOLUME, "modality": Text(), "realism": _NUMBERS, "match": _NUMBERS, **_TOLD}),
    "words": Record(
        {
            # Joined they give the report; the score is what each added to the logit that was asked for.
            "parts": ListOf(Record({"text": Text(maximum=MAX_LINE), "score": Number()})),
            "html": Text(maximum=MAX_LINE),
            "asked": Text(),
            "score": Number(),
            "without": Number(),
            **_TOLD,
        }
    ),
    # A score is null where it is not finite, for instance the PSNR of equal images: JSON has no infinity.
    "evaluate": Record({"scores": TableOf(OrNull(Number())), "measured": MEASURED, "facts": FACTS}),
    "compare": Record(
        {
            "scores": TableOf(OrNull(Number())),
            "measured": MEASURED,
            "titles": TableOf(Text()),  # of the scores, for people
            "unit": Text(),  # of MAE, difference, errors and histogram
            "difference": VOLUME,
            "reach": Number(above=0.0),  # half the width of a window for the difference
            "resampled": OrNull(VOLUME),  # the prediction, where it lay on another grid
            "errors": ListOf(OrNull(Number())),  # of each slice
            "voxels": ListOf(Whole(0)),
            # counts[reference][prediction]; edges of the bins of both axes
            "histogram": Record({"edges": _NUMBERS, "counts": ListOf(ListOf(Whole(0)))}),
            "pictures": Record(dict.fromkeys(("histogram", "errors"), Text(maximum=MAX_LINE))),  # PNG, base64
            "warnings": _TEXTS,
            "facts": FACTS,
        }
    ),
    "report": Record({"path": Text(), "warnings": _TEXTS}),
    "phantom": Record(
        {
            **dict.fromkeys(("t1", "t2", "flair", "pd", "ct", "labels", "lesions"), VOLUME),
            "label_names": _TEXTS,  # names of the tissues in "labels", that of 0 first
        },
        ("label_names",),
    ),
    "export_dicom": Record(
        {"folder": Text(), "files": ListOf(Text(maximum=100)), "from_source": Truth(), "warnings": _TEXTS}
    ),
    "devices": Record(
        {"devices": ListOf(Record({"name": Text(), "title": Text(), "free_bytes": OrNull(Whole(0))}))},
    ),
    "verify": Record({"models": ListOf(Record({"name": Text(), "ok": Truth(), "sentence": Text(maximum=MAX_LINE)}))}),
    "add_model": Record({"name": Text()}),
    "remove_model": Record({"name": Text()}),
    "catalogue": Record({"entries": ListOf(ENTRY)}),
    "download": Record({"name": Text()}),
    "cancel": Record({"cancelled": Truth()}),  # false: no such request was running or waiting
    "shutdown": Record(),
}
METHODS = tuple(PARAMS)
