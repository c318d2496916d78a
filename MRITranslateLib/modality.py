"""What the engine knows about each image contrast: value range, units, DICOM codes, display and background.

Codes are DICOM content mapping resources: quantities from CID 7180 (scheme DCM), units from UCUM.
"""

from dataclasses import dataclass

from .errors import InputError


@dataclass(frozen=True)
class Modality:
    """One image contrast.

    Attributes:
        name: Key used in model cards and on the command line.
        title: Name for people.
        kind: DICOM family: "MR", "CT" or "XR".
        value_range: Smallest and largest meaningful value, in `units_code`; None where the unit is arbitrary.
        background: Value outside the patient.
        quantity_code, quantity_meaning: DICOM coded quantity (scheme DCM).
        units_code, units_meaning: UCUM unit.
        display_preset: Name of Slicer's volume display preset, if one fits.
        window: Display window (width, level) in `units_code`; None means "from percentiles".
    """

    name: str
    title: str
    kind: str
    value_range: tuple[float, float] | None
    background: float
    quantity_code: str
    quantity_meaning: str
    units_code: str
    units_meaning: str
    display_preset: str | None = None
    window: tuple[float, float] | None = None


def _mr(name: str, title: str) -> Modality:
    return Modality(name, title, "MR", None, 0.0, "110852", "MR signal intensity", "1", "no units")


MODALITIES: dict[str, Modality] = {
    entry.name: entry
    for entry in (
        _mr("T1", "T1-weighted MRI"),
        _mr("T2", "T2-weighted MRI"),
        _mr("FLAIR", "FLAIR MRI"),
        _mr("PD", "Proton-density-weighted MRI"),
        Modality(
            name="CT",
            title="CT",
            kind="CT",
            value_range=(-1024.0, 3071.0),
            background=-1024.0,
            quantity_code="112031",
            quantity_meaning="Attenuation Coefficient",
            units_code="[hnsf'U]",
            units_meaning="Hounsfield unit",
            display_preset="CT_BRAIN",
            window=(100.0, 50.0),
        ),
        Modality("CXR", "Chest X-ray", "XR", None, 0.0, "113076", "Log of attenuation", "1", "no units"),
    )
}


def modality(name: str) -> Modality:
    """Look a contrast up by its key, in any case.

    Raises:
        InputError: No contrast has that name.
    """
    try:
        return MODALITIES[name.upper()]
    except KeyError:
        raise InputError(f'"{name}" is not a known modality; use one of {", ".join(MODALITIES)}.') from None
