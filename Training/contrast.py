"""Makes `MRITranslateLib/contrast.json`, by which the engine tells T1, T2, FLAIR, PD and CT apart, and measures it.

    python -m Training.contrast --data FOLDER

The classifier is a mean of small networks on the features of `MRITranslateLib.contrast`. It learns from the real scans
under the folder and from digital heads, each as it is and changed as other scanners would have it. It is measured by
leaving people out: all images of one person, or a fifth of the digital heads, are told by networks that saw none of
them. The file holds coefficients and tables, no images. The same data and seed give the same file on one machine.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import torch

from MRITranslateLib.contrast import FILE, NAMES, SURE, Classifier, features, looks_like_ct

from .contrastdata import NONE, Scan, other_scans, phantom_scans, real_scans, varied

_VARIANTS = {"volume": 10, "picture": 1, "phantom": 2, "other": 1}
_HIDDEN = 12
_NETWORKS = 3
_DECAY = 2e-3
_STEPS = 150
_OTHERS = 180
_LABELS = (*NAMES, NONE)


class Row(NamedTuple):
    """One image of the table, by its features."""

    features: np.ndarray
    contrast: str
    person: str
    kind: str
    name: str
    as_is: bool
    flat: bool
    hounsfield: bool


def rows_of(scan: Scan, seed: int, variants: int | None = None) -> list[Row]:
    """A scan as it is and changed at random; what shows next to nothing is left out."""
    generator = np.random.default_rng([seed, crc32(f"{scan.name} {scan.contrast}".encode())])
    rows = []
    for variant in range(1 + (_VARIANTS[scan.kind] if variants is None else variants)):
        image = scan.image if variant == 0 else varied(scan, generator)
        found = features(image)
        if found is not None:
            facts = scan.contrast, scan.person, scan.kind, scan.name, variant == 0
            rows.append(Row(found, *facts, flat=1 in image.GetSize(), hounsfield=looks_like_ct(image)))
    return rows


def phantom_rows(head: int, seed: int, variants: int | None = None) -> list[Row]:
    """One digital head in all contrasts."""
    return [row for scan in phantom_scans(head) for row in rows_of(scan, seed, variants)]


def gather(data: Path, heads: Sequence[int], seed: int, processes: int) -> list[Row]:
    """The table of all images; it does not depend on the number of processes."""
    with ProcessPoolExecutor(processes) as pool:
        scans = pool.map(partial(rows_of, seed=seed), chain(real_scans(data), other_scans(_OTHERS, seed)))
        digital = pool.map(partial(phantom_rows, seed=seed), heads)
        return [row for part in chain(scans, digital) for row in part]


def train(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """Coefficients for `contrast.Classifier`; real scans and digital heads count alike, and so do the contrasts."""
    table = np.stack([row.features for row in rows])
    mean, scale = _short(table.mean(0)), _short(table.std(0) + 1e-3)
    stored: dict[str, Any] = {"mean": mean, "scale": scale, "networks": []}
    values = torch.from_numpy(Classifier(stored).standardised(table))
    labels = torch.tensor([_LABELS.index(row.contrast) for row in rows])
    weights = torch.from_numpy(_weights(rows))
    for number in range(_NETWORKS):
        stored["networks"].append(_network(values, labels, weights, seed + number))
    return stored


def _weights(rows: Sequence[Row]) -> np.ndarray:
    """Each contrast counts the same, half by real scans and half by digital heads; within them people do, nearly."""
    groups: dict[tuple[str, bool], list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault((row.contrast, row.kind == "phantom"), []).append(index)
    weights = np.zeros(len(rows))
    for members in groups.values():
        people = [rows[index].person for index in members]
        share = np.asarray([people.count(person) ** -0.7 for person in people])
        weights[members] = share / share.sum()
    return weights / weights.sum()


def _network(values: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, seed: int) -> list[Any]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (values.shape[1], _HIDDEN), (_HIDDEN,), (_HIDDEN, len(_LABELS)), (len(_LABELS),)
    parts = [
        (0.15 * (len(shape) > 1) * torch.randn(shape, generator=generator, dtype=torch.float64)).requires_grad_()
        for shape in shapes
    ]
    optimiser = torch.optim.LBFGS(parts, max_iter=_STEPS, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        answers = torch.tanh(values @ parts[0] + parts[1]) @ parts[2] + parts[3]
        losses = torch.nn.functional.cross_entropy(answers, labels, reduction="none")
        loss = (weights * losses).sum() + _DECAY * (parts[0].square().sum() + parts[2].square().sum())
        loss.backward()
        return loss

    optimiser.step(closure)
    return [_short(part.detach().numpy()) for part in parts]


def _short(values: np.ndarray) -> Any:
    """Four digits are enough, and make a small file."""
    return [_short(value) for value in values] if values.ndim else float(f"{float(values):.4g}")


def leave_people_out(rows: Sequence[Row], seed: int) -> np.ndarray:
    """Every image told by a classifier that saw nothing of its person.

    Returns:
        Probabilities (n, 6) of `NAMES` and of none of them.
    """
    people = np.asarray([row.person for row in rows])
    heads = sorted({row.person for row in rows if row.kind == "phantom"})
    folds = [[person] for person in sorted(set(people) - set(heads))]
    folds += [part for part in (heads[start::5] for start in range(5)) if part]
    probabilities = np.zeros((len(rows), len(_LABELS)))
    for left_out in folds:
        out = np.isin(people, left_out)
        judge = Classifier(train([row for row, held in zip(rows, out, strict=True) if not held], seed))
        for index in np.flatnonzero(out).tolist():
            ct = rows[index].hounsfield
            told = np.eye(len(_LABELS))[NAMES.index("CT")] if ct else judge.probabilities(rows[index].features)
            probabilities[index] = told
    return probabilities


def confusion(rows: Sequence[Row], probabilities: np.ndarray) -> dict[str, Any]:
    """How often what was taken for what, in the order of `NAMES` and none both ways, for each kind of image."""
    kinds = {
        "real volumes": lambda row: row.kind == "volume" and row.as_is,
        "real volumes, changed": lambda row: row.kind == "volume" and not row.as_is and not row.flat,
        "real volumes, one slice": lambda row: row.kind == "volume" and row.flat,
        "real pictures": lambda row: row.kind == "picture",
        "phantoms": lambda row: row.kind == "phantom" and row.as_is,
        "phantoms, changed": lambda row: row.kind == "phantom" and not row.as_is and not row.flat,
        "phantoms, one slice": lambda row: row.kind == "phantom" and row.flat,
        "no heads": lambda row: row.kind == "other",
    }
    tables = {}
    for title, belongs in kinds.items():
        chosen = [index for index, row in enumerate(rows) if belongs(row)]
        table = np.zeros((len(_LABELS), len(_LABELS)), dtype=int)
        sure_and_wrong = 0
        for index in chosen:
            told = int(probabilities[index].argmax())
            table[_LABELS.index(rows[index].contrast), told] += 1
            sure_and_wrong += probabilities[index, told] >= SURE and _LABELS[told] != rows[index].contrast
        if chosen:
            right = round(float(np.trace(table)) / len(chosen), 4)
            tables[title] = {"table": table.tolist(), "right": right, "sure_and_wrong": int(sure_and_wrong)}
    return tables


def make(rows: Sequence[Row], seed: int) -> tuple[dict[str, Any], np.ndarray]:
    """The content of `contrast.json`, and the probabilities of `leave_people_out`."""
    probabilities = leave_people_out(rows, seed)
    stored = train(rows, seed)
    people = {row.person for row in rows if row.kind in ("volume", "picture")}
    heads = {row.person for row in rows if row.kind == "phantom"}
    about = {
        "about": "Made by Training.contrast. Tables: rows are the truth, columns what was told, in the order of names; "
        "every image was told by networks that saw nothing of its person.",
        "people": len(people),
        "phantoms": len(heads),
        "images": len(rows),
        "names": list(_LABELS),
        "sure": SURE,
        "confusion": confusion(rows, probabilities),
    }
    return about | stored, probabilities


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the file and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m Training.contrast", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with scans that say their contrast")
    parser.add_argument("--output", type=Path, default=FILE, help="file to write")
    parser.add_argument("--phantoms", type=int, default=50, help="number of digital heads")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # sums in one order, so that the file is the same again
    rows = gather(options.data, range(1000, 1000 + options.phantoms), options.seed, options.processes)
    stored, probabilities = make(rows, options.seed)
    options.output.write_text(json.dumps(stored, separators=(",", ":")) + "\n", encoding="utf-8")
    print("\n".join(_report(rows, stored["confusion"], probabilities)))


def _report(rows: Sequence[Row], tables: dict[str, Any], probabilities: np.ndarray) -> Iterable[str]:
    for title, found in tables.items():
        yield f"\n{title}: {100 * found['right']:.1f} % right, {found['sure_and_wrong']} sure and wrong"
        yield f"{'':8}" + "".join(f"{name:>7}" for name in _LABELS)
        for name, line in zip(_LABELS, found["table"], strict=True):
            yield f"{name:8}" + "".join(f"{number:7}" for number in line)
    yield "\nreal volumes, one by one"
    for row, shares in zip(rows, probabilities, strict=True):
        if row.kind == "volume" and row.as_is:
            told = _LABELS[int(shares.argmax())]
            verdict = "" if told == row.contrast else "  wrong"
            yield f"{row.name:60} {row.contrast:6}{told:6}{shares.max():6.2f}{verdict}"


if __name__ == "__main__":
    main()
