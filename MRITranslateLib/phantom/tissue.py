"""The tissues of the phantom: MR relaxation at 1.5 T, proton density, and CT numbers, in one table.

Sources, by column:
    T1: white and grey matter, putamen/caudate (deep grey): Wright et al., MAGMA 21:121 (2008). CSF: Rooney et al., MRM
        57:308 (2007). Muscle, blood: Stanisz et al., MRM 54:507 (2005). Subcutaneous fat, marrow: de Bazelaire et al.,
        Radiology 230:652 (2004). Dermis: Richard et al., J Invest Dermatol 97:120 (1991). White-matter lesion: between
        white and grey matter, as in older plaques; its T2 is between that of grey matter and of the plaques of
        BrainWeb (Kwan et al., IEEE TMI 18:1085, 1999).
    T2: white and grey matter, muscle, blood: Stanisz 2005. Fat, marrow: de Bazelaire 2004. CSF: below
        that of free water (about 2 s), as pulsation takes some signal.
    T2*: white and grey matter: Peters et al., Magn Reson Imaging 25:748 (2007). Others: BrainWeb, trabecular bone
        shortens that of marrow.
    Echo-train T2: the apparent T2 under closely spaced refocusing pulses. It differs from T2 in fat, where the train
        suppresses the loss by J-coupling and leaves fat bright in turbo spin echo: Henkelman et al., JMRI 4:533 (1994).
    Proton density: BrainWeb; cortical bone and dentine give next to no signal at clinical echo times, so theirs is
        that of their mobile water.
    CT numbers at 120 kV: Schneider et al., Phys Med Biol 45:459 (2000) for fat, muscle, marrow, bone and teeth; brain,
        CSF and blood as in neuroradiology textbooks (grey 37 to 41, white 25 to 32, CSF 0 to 15, blood 40 to 60 HU).
Where a source gives a range, the table has a value inside it. Blood in the large sinuses flows: its signal is lost in
spin echo, which its short apparent T2 stands for.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tissue:
    """One tissue. Times in ms at 1.5 T; `density` relative to water; `hounsfield` in HU.

    Attributes:
        train_t2: apparent T2 in a train of refocusing pulses (turbo spin echo).
        texture: relative size of the smooth variation of the MR signal within the tissue.
        grain: size in HU of the fine variation of the CT number within the tissue.
        lipid: share of the MR signal that comes from fat, which a fat-suppressed sequence loses.
    """

    name: str
    t1: float
    t2: float
    t2_star: float
    train_t2: float
    density: float
    hounsfield: float
    texture: float = 0.02
    grain: float = 0.0
    lipid: float = 0.0


#                 name                   T1     T2    T2*  train  PD     HU     texture grain lipid
TISSUES: tuple[Tissue, ...] = (
    Tissue("air", 1000.0, 1.0, 1.0, 1.0, 0.00, -1000.0, 0.0),
    Tissue("skin", 870.0, 35.0, 20.0, 40.0, 0.70, 35.0, 0.05, 8.0),
    Tissue("fat", 343.0, 58.0, 40.0, 115.0, 0.95, -98.0, 0.05, 8.0, 0.95),
    Tissue("muscle", 1008.0, 44.0, 30.0, 44.0, 0.85, 52.0, 0.05, 8.0),
    Tissue("cortical bone", 250.0, 0.5, 0.4, 0.5, 0.15, 1350.0, 0.0, 130.0),
    Tissue("marrow", 549.0, 49.0, 12.0, 70.0, 0.60, 420.0, 0.15, 110.0, 0.6),
    Tissue("cerebrospinal fluid", 4300.0, 1500.0, 400.0, 1500.0, 1.00, 7.0, 0.01),
    Tissue("grey matter", 1197.0, 95.0, 84.0, 95.0, 0.86, 38.0, 0.02),
    Tissue("white matter", 646.0, 72.0, 66.0, 72.0, 0.77, 29.0, 0.02),
    Tissue("deep grey matter", 1000.0, 84.0, 60.0, 84.0, 0.83, 37.0, 0.02),
    Tissue("dura", 900.0, 30.0, 15.0, 35.0, 0.60, 60.0, 0.05),
    Tissue("vitreous", 3800.0, 1200.0, 400.0, 1200.0, 1.00, 8.0, 0.0),
    Tissue("lens", 950.0, 30.0, 20.0, 35.0, 0.70, 75.0, 0.0),
    Tissue("venous blood", 1441.0, 15.0, 40.0, 15.0, 0.80, 52.0, 0.05),
    Tissue("mucosa", 1150.0, 90.0, 30.0, 100.0, 0.90, 40.0, 0.06, 10.0),
    Tissue("tooth", 250.0, 0.3, 0.2, 0.3, 0.08, 2100.0, 0.0, 200.0),
    Tissue("calcification", 700.0, 15.0, 8.0, 15.0, 0.40, 220.0, 0.05),
    Tissue("white-matter lesion", 1080.0, 150.0, 110.0, 150.0, 0.88, 22.0, 0.04),
)

NAMES: dict[str, int] = {tissue.name: index for index, tissue in enumerate(TISSUES)}
AIR, SKIN, FAT, MUSCLE, CORTICAL, MARROW = (
    NAMES[name] for name in ("air", "skin", "fat", "muscle", "cortical bone", "marrow")
)
CSF, GREY, WHITE, DEEP_GREY = (
    NAMES[name] for name in ("cerebrospinal fluid", "grey matter", "white matter", "deep grey matter")
)
DURA, VITREOUS, LENS, BLOOD, MUCOSA = (NAMES[name] for name in ("dura", "vitreous", "lens", "venous blood", "mucosa"))
TOOTH, CALCIFICATION, LESION = (NAMES[name] for name in ("tooth", "calcification", "white-matter lesion"))
