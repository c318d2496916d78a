"""Which images there are, of which subject, and in which part of the split: read before any image is opened."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from MRITranslateLib.errors import InputError

from ..config.data import FIRST_SEED, DataConfig
from .tables import PARTS, read_index_table, read_split

Side = Literal["source", "target"]
"""Which of the card's two modalities an image has."""
_EXTENSIONS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_PHANTOM = re.compile(r"phantom-(\d+)")
_LABELS = re.compile(r"labels-(.+)-(\d+)")
_NATURAL = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
"""What a folder such as trainA, valA or testA begins with."""
_FAMILIES = {"brats": "glioma", "tcga": "glioma"}
"""Names that stand for one appearance: both collections show gliomas, skull-stripped at 1 mm."""


@dataclass(frozen=True)
class Scan:
    """The pair of images of one examination (or of one slice that was saved as a picture), or one image alone.

    Attributes:
        subject: Who is seen.
        name: Unique among all scans; the subject where it has but one.
        source, target: Files, or folders with one DICOM series; None where that side is missing.
        part: Part of the split that the data themselves say.
    """

    subject: str
    name: str
    source: Path | None
    target: Path | None
    part: str | None = None


@dataclass(frozen=True)
class Index:
    """All subjects of a run.

    Attributes:
        data: What was read.
        scans: Subject -> its scans, sorted by name; digital heads have none.
        label_maps: Name -> label map that heads are made from.
        train, validation, test: Names of the subjects; the digital heads that were added are among `train`.
    """

    data: DataConfig
    scans: Mapping[str, tuple[Scan, ...]]
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    label_maps: Mapping[str, Path] = field(default_factory=dict)

    def split(self) -> dict[str, list[str]]:
        """Part -> subjects, to be written to disk; `data.split` reads it back."""
        return {"train": list(self.train), "validation": list(self.validation), "test": list(self.test)}

    def having(self, side: Side, subjects: Iterable[str]) -> list[str]:
        """Those of the subjects that have an image of this side; digital heads have every side."""
        return [name for name in subjects if is_phantom(name) or any(getattr(s, side) for s in self.scans[name])]


def is_phantom(subject: str) -> bool:
    """Whether a subject's name stands for a digital head: a phantom, or one made from a label map."""
    return _PHANTOM.fullmatch(subject) is not None or label_map_of(subject) is not None


def label_map_of(subject: str) -> str | None:
    """The label map in the name of a head that is made from one, such as mni in labels-mni-7."""
    found = _LABELS.fullmatch(subject)
    return None if found is None else found[1]


def family_of(subject: str) -> str:
    """The family of subjects that look alike: the name before the first underscore, or what several such names share;
    "phantom" for digital heads, "labels" for those that are made from a label map."""
    if is_phantom(subject):
        return "phantom" if label_map_of(subject) is None else "labels"
    first = subject.partition("_")[0]
    return _FAMILIES.get(first, first)


def phantom_seed(subject: str) -> int:
    """The seed in a phantom's name."""
    found = _PHANTOM.fullmatch(subject)
    assert found is not None
    return int(found[1])


def read_index(data: DataConfig, paired: bool = True, trains: bool = True) -> Index:
    """Find all images and deal the subjects to the parts.

    Args:
        data: Where the images are and how they are split.
        paired: Every subject that is used needs both sides; False (unpaired training) takes what there is.
        trains: Somebody to train on is needed.

    Raises:
        InputError: There are no images, a subject is in two parts, a part names a subject without images, a pair is not
            complete, or a table cannot be read.
    """
    scans: dict[str, list[Scan]] = {}
    for scan in _find(data):
        scans.setdefault(scan.subject, []).append(scan)
    for subject in data.leave_out:
        _refuse_unknown("leave_out", subject, scans)
        scans.pop(subject, None)
    reserved = next((subject for subject in scans if is_phantom(subject)), None)
    if reserved is not None:
        raise InputError(f'"{reserved}" is the name of a digital head; rename that subject.')
    maps = _find_label_maps(data)
    parts = _with_label_heads(data, maps, _deal(data, scans))
    index = Index(data, {name: tuple(found) for name, found in scans.items()}, **parts, label_maps=maps)
    if trains and not index.train:
        raise InputError(
            "There is nothing to train on; list subjects in data.train, or say data.phantoms or data.label_heads."
        )
    if paired:
        _refuse_incomplete(index)
    return index


def as_index(data: DataConfig | Index, paired: bool = True) -> Index:
    """An index as it is, or the one that a configuration describes."""
    return data if isinstance(data, Index) else read_index(data, paired)


def _find(data: DataConfig) -> list[Scan]:
    if data.index is not None:
        rows = read_index_table(data.index, data.root)
        count = Counter(row.subject for row in rows)
        return [
            Scan(
                row.subject,
                row.subject if count[row.subject] == 1 else f"{row.subject}-line-{row.line}",
                row.source,
                row.target,
                row.part,
            )
            for row in rows
        ]
    if data.root is None:
        return []
    if not data.root.is_dir():
        raise InputError(f'The folder "{data.root}" (data.root) does not exist; check the path.')
    scans = _subject_folders(data, data.root) if data.source_folder is None else _two_folders(data, data.root)
    if not scans:
        if data.source_folder is None:
            wanted = f"a folder per subject with {data.source_file} and {data.target_file}"
        else:
            wanted = f"files in {data.source_folder} and {data.target_folder}"
        raise InputError(f'There are no images in "{data.root}"; it should hold {wanted}.')
    return scans


def _subject_folders(data: DataConfig, root: Path) -> list[Scan]:
    scans = []
    for folder in sorted(root.iterdir()):
        source, target = (
            folder / name if (folder / name).exists() else None for name in (data.source_file, data.target_file)
        )
        if source is not None or target is not None:
            scans.append(Scan(_subject(data, folder.name), folder.name, source, target))
    return scans


def _two_folders(data: DataConfig, root: Path) -> list[Scan]:
    assert data.source_folder is not None
    assert data.target_folder is not None
    scans = []
    for part, source, target in _natural_parts(root, data.source_folder, data.target_folder):
        sources, targets = (_by_stem(root / folder) for folder in (source, target))
        for stem in sorted(sources.keys() | targets.keys()):
            folder = source if stem in sources else target
            subject = _subject(data, f"{folder}/{stem}", stem)
            name = stem if part in (None, "train") else f"{part}-{stem}"
            scans.append(Scan(subject, name, sources.get(stem), targets.get(stem), part))
    return scans


def _natural_parts(root: Path, source: str, target: str) -> list[tuple[str | None, str, str]]:
    """The two folders; with trainA and trainB also valA, valB, testA and testB where they exist."""
    if not (source.lower().startswith("train") and target.lower().startswith("train")):
        return [(None, source, target)]
    found: list[tuple[str | None, str, str]] = []
    for part, prefixes in _NATURAL.items():
        for prefix in prefixes:
            a, b = prefix + source[len("train") :], prefix + target[len("train") :]
            if part == "train":
                a, b = source, target
            if part == "train" or (root / a).is_dir() or (root / b).is_dir():
                found.append((part, a, b))
    return found


def _by_stem(folder: Path, keys: str = "data.source_folder and data.target_folder") -> dict[str, Path]:
    """Files and DICOM folders by their names without extension."""
    if not folder.is_dir():
        raise InputError(f'The folder "{folder}" does not exist; check {keys}.')
    found: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):
        extension = next((end for end in _EXTENSIONS if entry.name.lower().endswith(end)), None)
        if entry.name.startswith(".") or (extension is None and not entry.is_dir()):
            continue
        stem = entry.name if entry.is_dir() or extension is None else entry.name[: -len(extension)]
        if stem in found:
            raise InputError(
                f'"{found[stem].name}" and "{entry.name}" in "{folder}" have one name; remove one of them.'
            )
        found[stem] = entry
    return found


def _subject(data: DataConfig, path: str, default: str | None = None) -> str:
    if data.subject_pattern is None:
        return path if default is None else default
    match = re.search(data.subject_pattern, path)
    if match is None or not match[1]:
        raise InputError(f'data.subject_pattern finds no subject in "{path}"; correct the pattern or rename the file.')
    return match[1]


def _find_label_maps(data: DataConfig) -> dict[str, Path]:
    """Name -> label map."""
    if data.label_maps is None:
        return {}
    maps = {name: file for name, file in _by_stem(data.label_maps, "data.label_maps").items() if file.is_file()}
    if not maps:
        raise InputError(f'There are no label maps in "{data.label_maps}"; make one by Training.template_labels.')
    return maps


def _with_label_heads(
    data: DataConfig, maps: Mapping[str, Path], parts: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """The parts with the heads that `label_heads` adds. All heads of a map are one anatomy and belong to one part."""
    place: dict[str, str] = {}
    for part in PARTS:
        for subject in parts[part]:
            name = label_map_of(subject)
            if name is None:
                continue
            if name not in maps:
                raise InputError(f'data.{part} names "{subject}", but data.label_maps has no label map "{name}".')
            if place.setdefault(name, part) != part:
                raise InputError(
                    f'Heads of the label map "{name}" are in data.{place[name]} and in data.{part}; they share their '
                    "anatomy and belong to one part."
                )
    if data.label_heads and not maps:
        raise InputError("data.label_heads are made from label maps; say in which folder: --data.label_maps FOLDER.")
    free = [name for name in maps if place.get(name, "train") == "train"]
    if data.label_heads and not free:
        raise InputError("No label map is left to train on; all are named in data.validation or data.test.")
    added = [f"labels-{free[n % len(free)]}-{FIRST_SEED + n}" for n in range(data.label_heads)]
    return {**parts, "train": parts["train"] + tuple(name for name in added if name not in parts["train"])}


def _deal(data: DataConfig, scans: Mapping[str, Sequence[Scan]]) -> dict[str, tuple[str, ...]]:
    """Part -> subjects."""
    natural: dict[str, list[str]] = {part: [] for part in (*PARTS, "")}
    for subject, found in scans.items():
        said = {scan.part or "" for scan in found}
        if len(said) > 1:
            first, second = sorted(said - {""})[:2] if len(said - {""}) > 1 else ("a part", "none")
            raise InputError(
                f'"{subject}" is in {first} and in {second}; rename the files, or let data.subject_pattern tell people '
                "apart."
            )
        natural[said.pop()].append(subject)
    if data.split is not None:
        parts = read_split(data.split)
    else:
        listed = {*data.validation, *data.test}
        pool = natural["train"] + natural[""] if data.train is None else data.train
        parts = {
            "train": [name for name in pool if data.train is not None or name not in listed],
            "validation": data.validation or ([] if data.train is not None else natural["validation"]),
            "test": data.test or ([] if data.train is not None else natural["test"]),
        }
        for part, share in (("validation", data.validation_share), ("test", data.test_share)):
            if share:
                drawn = _draw(parts["train"], round(share * len(pool)), data.split_seed)
                parts[part] = parts[part] + drawn
                parts["train"] = [name for name in parts["train"] if name not in drawn]
    _refuse_names(parts, scans)
    for name in (name for fold in data.folds for name in fold):
        _refuse_unknown("folds", name, scans)
    added = [name for name in data.added_heads if not any(name in parts[part] for part in PARTS)]
    return {part: tuple(parts[part] + (added if part == "train" else [])) for part in PARTS}


def _draw(names: Sequence[str], count: int, seed: int) -> list[str]:
    """By a hash of name and seed, so that a further subject moves hardly anybody."""
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    return sorted(order[: max(1, count)])


def _refuse_names(parts: Mapping[str, Sequence[str]], scans: Mapping[str, object]) -> None:
    place: dict[str, str] = {}
    for part in PARTS:
        for name in parts[part]:
            if name in place:
                twice = f"twice in data.{part}" if place[name] == part else f"in data.{place[name]} and data.{part}"
                raise InputError(f'The subject "{name}" is {twice}; a subject belongs to one part.')
            place[name] = part
            if name.startswith("phantom-") and not is_phantom(name):
                raise InputError(f'A digital head is named by its seed, such as phantom-7, not "{name}".')
            if name.startswith("labels-") and name not in scans and not is_phantom(name):
                raise InputError(f'A head made from a label map is named such as labels-mni-7, not "{name}".')
            _refuse_unknown(part, name, scans)


def _refuse_unknown(key: str, name: str, known: Iterable[str]) -> None:
    names = list(known)
    if name in names or is_phantom(name):
        return
    near = get_close_matches(name, names, 3, cutoff=0.5)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        hint = f"the {len(names)} subjects are {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}."
    else:
        hint = "say where the images are: --data FOLDER, or data.index."
    raise InputError(f'data.{key} names "{name}", of whom there are no images; {hint}')


def _refuse_incomplete(index: Index) -> None:
    lacking = [
        (scan, side)
        for subject in (*index.train, *index.validation, *index.test)
        for scan in index.scans.get(subject, ())
        for side in ("source", "target")
        if getattr(scan, side) is None
    ]
    if lacking:
        scan, side = lacking[0]
        others = f", and {len(lacking) - 1} more are incomplete" if len(lacking) > 1 else ""
        raise InputError(f'"{scan.name}" has no {side} image{others}; add it, or name the subjects in data.leave_out.')
