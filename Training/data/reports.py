"""Radiographs with their reports as training data: read, split by patient, drawn with a text that does not match."""

import hashlib
import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from MRITranslateLib.errors import InputError
from MRITranslateLib.picture import prepare_picture, read_picture
from MRITranslateLib.text import TextEncoder

from ..config.reports import ReportDataConfig
from ..diffaugment import CHOICES
from .cache import Cache
from .picture_files import PARTS
from .pictures import RandomPictures, split_groups
from .report_files import Case, find_cases, leave_out
from .tables import read_places

Item = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class ReportData:
    """Every case of a configuration, prepared.

    Attributes:
        cases: Where each comes from and what its report says.
        pictures: float16 (n, size, size) in [-1, 1].
        parts: "train", "validation", "test" -> indices of their cases.
        skipped: What was left out, a sentence each.
    """

    cases: list[Case]
    pictures: np.ndarray
    parts: dict[str, np.ndarray]
    skipped: list[str]

    def split(self) -> dict[str, list[str]]:
        """Patients of every part."""
        return {part: sorted({self.cases[i].group for i in indices}) for part, indices in self.parts.items()}

    def texts(self, part: str) -> list[str]:
        """Reports of a part."""
        return [self.cases[index].text for index in self.parts[part]]

    def licences(self) -> str:
        """The licences of the pictures of all parts with their counts, such as "CC BY 3.0 (102 pictures)"."""
        counts = Counter(case.licence for case in self.cases if case.licence)
        return ", ".join(f"{licence} ({count} pictures)" for licence, count in counts.most_common())


def load_reports(
    config: ReportDataConfig, size: int, done: Callable[[int, int], None] = lambda done, total: None
) -> ReportData:
    """Find, read, prepare and split all pictures with their reports.

    Args:
        config: What to read.
        size: Rows and columns of a prepared picture.
        done: Called with (pictures read, pictures in all).

    Raises:
        InputError: There are no reports, one has no text, a picture is missing or damaged, or the split is none; the
            sentence names it.
    """
    if config.validation + config.test >= 1:
        raise InputError("data.validation and data.test together leave nothing to train on; lower them.")
    skipped: list[str] = []
    cases = list(find_cases(config, skipped))
    cases, pictures = _prepared(config, cases, size, skipped, done)
    if not cases:
        raise InputError("No picture with a report is left; correct data.root, data.reports or data.only.")
    place = _places(config, cases)
    parts = {part: np.flatnonzero([place[case.group] == part for case in cases]) for part in PARTS}
    return ReportData(cases, pictures, parts, skipped)


def _places(config: ReportDataConfig, cases: list[Case]) -> dict[str, str]:
    """Part of every patient: what the table says, then what the split file says, then by draw."""
    place: dict[str, str] = {}
    for case in cases:
        if case.part is not None and place.setdefault(case.group, case.part) != case.part:
            raise InputError(f'The table puts "{case.group}" into {place[case.group]} and {case.part}; choose one.')
    free = [case.group for case in cases if case.group not in place]
    if config.split_file is None:
        groups = split_groups(free, np.zeros((len(free), 0)), config.validation, config.test, config.split_seed)
        return place | groups
    return place | read_places(config.split_file, set(free))


def _prepared(
    config: ReportDataConfig,
    cases: list[Case],
    size: int,
    skipped: list[str],
    done: Callable[[int, int], None],
) -> tuple[list[Case], np.ndarray]:
    """The cases whose picture could be read, and the pictures; from the cache if nothing changed."""
    cache = Cache(config.cache)
    key = [size, [(str(case.file), *_stamp(case.file)) for case in cases]]
    stored = cache.read("radiographs", key)
    if stored is not None:
        pictures, facts = stored
        kept, unusable = facts["kept"], facts["unusable"]
        for sentence in unusable:
            leave_out(config, skipped, sentence)
        done(len(cases), len(cases))
        return [cases[index] for index in kept], pictures
    kept, unusable = [], []
    pictures = np.zeros((len(cases), size, size), np.float16)
    for number, case in enumerate(cases):
        try:
            pictures[len(kept)] = prepare_picture(read_picture(case.file), size)
            kept.append(number)
        except InputError as error:
            leave_out(config, skipped, str(error))
            unusable.append(str(error))
        done(number + 1, len(cases))
    pictures = pictures[: len(kept)]
    if kept:
        pictures = cache.write("radiographs", key, pictures, {"kept": kept, "unusable": unusable})
    return [cases[index] for index in kept], pictures


def _stamp(file: Path) -> tuple[int, int]:
    try:
        return file.stat().st_size, file.stat().st_mtime_ns
    except OSError:
        return 0, 0  # `read_picture` says what is wrong


def encode_reports(
    texts: list[str],
    encoder: TextEncoder,
    cache: Path | None,
    done: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Features of reports, each distinct text encoded once and kept in the cache by text and encoder.

    Args:
        texts: Reports.
        encoder: Frozen.
        cache: Folder, or None.
        done: Called with (reports encoded, reports to encode).

    Returns:
        float32 (n, features); a warning says when reports were cut.
    """
    distinct = list(dict.fromkeys(texts))
    keys = [hashlib.sha256(text.encode()).hexdigest() for text in distinct]
    file = cache and cache / f"reports-{encoder.digest[:16]}.npz"
    stored = _read_arrays(file) or {"keys": np.zeros(0, "U64"), "values": np.zeros((0, encoder.features), np.float32)}
    known = dict(zip(stored["keys"].tolist(), stored["values"], strict=True))
    missing = [index for index, key in enumerate(keys) if key not in known]
    encoded = encoder.encode([distinct[index] for index in missing], lambda count: done(count, len(missing)))
    sentence = encoder.warning(encoded.truncated)
    if sentence is not None:
        warnings.warn(sentence, stacklevel=2)
    if missing:
        known |= {keys[index]: value for index, value in zip(missing, encoded.values, strict=True)}
        _write_arrays(file, keys=np.array(list(known)), values=np.stack(list(known.values())))
    by_text = {text: known[key] for text, key in zip(distinct, keys, strict=True)}
    return np.stack([by_text[text] for text in texts])


def _read_arrays(file: Path | None) -> dict[str, np.ndarray] | None:
    """Arrays of a cache file; None where there is none or it is damaged."""
    if file is None or not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, KeyError, EOFError):
        return None


def _write_arrays(file: Path | None, **arrays: np.ndarray) -> None:
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".npz", delete=False) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]
    os.replace(temporary.name, file)


class RandomReports(Dataset[Item]):
    """Training samples of the report recipe, each a function of (seed, index) alone.

    Args:
        pictures: Random pictures; an item's index leads to its report.
        texts: Report of each case.
        features: float32 (n, features), of each case's report.
        chosen: Indices of the cases to draw from.
        latent: Random numbers per picture.
        seed: Of the sequence.

    Items:
        A real picture (1, size, size), its report's features (features), those of another report, noise (latent), and
        the random numbers (2, 6) by which the real and the generated picture are changed before they are judged.

    Raises:
        InputError: All reports are the same, so that none can be told from another.
    """

    def __init__(
        self,
        pictures: RandomPictures,
        texts: list[str],
        features: np.ndarray,
        chosen: np.ndarray,
        latent: int,
        seed: int,
    ) -> None:
        if len({texts[index] for index in chosen}) < 2:
            raise InputError("All training reports say the same; a report can only be learned beside different ones.")
        self._pictures, self._texts, self._chosen = pictures, texts, chosen
        self._features, self._latent, self._seed = torch.from_numpy(features), latent, seed

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Item:
        picture, number = self._pictures[index]
        rng = np.random.default_rng((self._seed, 2, index))
        noise = torch.from_numpy(rng.standard_normal(self._latent, dtype=np.float32))
        choices = torch.from_numpy(rng.random((2, CHOICES), dtype=np.float32))
        other = number
        while self._texts[other] == self._texts[number]:
            other = int(rng.choice(self._chosen))
        return picture, self._features[number], self._features[other], noise, choices
