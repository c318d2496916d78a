"""What a CycleGAN run needs beside its loop: cards, data, validation and packages of both ways."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from MRITranslateLib.card import IntensityCard, TranslationCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.package import load_package

from .calibration import measure_calibration
from .config.cyclegan import CycleGANConfig
from .data.index import Index, Side, is_phantom, read_index
from .data.pairs import PreparedPair, PreparedVolume, prepare_all, prepare_side
from .data.unpaired import RandomUnpaired
from .export import after_training, write
from .samples import Samples
from .scoring import held_out_scores, measure_domain, measure_scores
from .session import Report, Session, Validation
from .translation import draft_card
from .validation import translate_prepared, validate

WAYS = ("there", "back")
"""From source to target, and from target to source."""
_PREFIX = {"there": "", "back": "reverse-"}
"""Of the names of the best weights."""
_TISSUE = -0.9
"""Network units above this are patient; air is at -1."""
_LOOKED_AT = 3
"""Volumes of each side that are translated there and back where no pairs can tell how good the run is."""


@dataclass(frozen=True)
class UnpairedData:
    """Prepared subjects of an unpaired run.

    Attributes:
        index: All images and the split by subject.
        sources, targets: Training volumes of the two sides.
        pairs: Validation subjects with both images.
        looked_at: Without such pairs: volumes of each way's input, from validation subjects where there are any.
        samples: Random training windows, one batch after the other.
    """

    index: Index
    sources: list[PreparedVolume]
    targets: list[PreparedVolume]
    pairs: list[PreparedPair]
    looked_at: dict[str, list[PreparedVolume]]
    samples: RandomUnpaired


def draft_cards(config: CycleGANConfig) -> dict[str, TranslationCard]:
    """The card of each way before training.

    Raises:
        InputError: The configuration contradicts itself or does not make valid cards.
    """
    if config.reverse.name == config.package.name:
        raise InputError("package.name and reverse.name are the same; the two ways are two models.")
    weight = config.loss
    loss = (
        f"{weight.adversarial:g} least-squares PatchGAN + {weight.cycle:g} cycle L1 + {weight.identity:g} identity L1, "
        f"image pool of {config.pool}, unpaired"
    )
    cards = {}
    for way, seen in _ways(config).items():
        card = draft_card(seen, loss, config.discriminator)
        if card.judged_channels != 1:
            raise InputError(
                "A CycleGAN's discriminator judges images alone: set discriminator.parameters.in_channels 1."
            )
        inverse = config.reverse.name if way == "there" else config.package.name
        cards[way] = card.model_copy(update={"inverse": inverse})
    return cards


def prepare_sides(session: Session, config: CycleGANConfig, card: TranslationCard, report: Report) -> UnpairedData:
    """Check and prepare every subject of the run; the split goes to the run's folder.

    Args:
        session: Of the run.
        config: Of the run.
        card: Of the way there.
        report: Told every subject.

    Raises:
        InputError: A subject cannot be used, or one side has no image.
    """
    index = read_index(config.data, paired=False)
    if session.fabric.is_global_zero:
        session.folder.save_split(index.split())
    sides: tuple[Side, Side] = ("source", "target")
    for side in sides:
        if not index.having(side, index.train):
            raise InputError(f"No training subject has a {side} image; check where data say that they are.")
    counter = iter(range(1, 1 << 30))
    total = len(index.having("source", index.train)) + len(index.having("target", index.train))
    tick = lambda _subject: report("Preparing data", next(counter), total, {})  # noqa: E731
    sources = prepare_side(index, card, "source", index.train, tick)
    targets = prepare_side(index, card, "target", index.train, tick)
    pairs, looked_at = [], {"there": sources[:_LOOKED_AT], "back": targets[:_LOOKED_AT]}
    complete = _paired(config, index)
    if complete.validation:
        pairs = prepare_all(complete, card, complete.validation)
    elif index.validation:
        for way, side in zip(WAYS, sides, strict=True):
            found = prepare_side(index, card, side, index.validation)
            looked_at[way] = found[:_LOOKED_AT] or looked_at[way]
    samples = RandomUnpaired(
        sources,
        targets,
        config.grid,
        config.crop,
        config.augment,
        config.data.phantom_share,
        config.seed,
        session.steps * config.batch_size,
    )
    return UnpairedData(index, sources, targets, pairs, looked_at, samples)


def validate_both(session: Session, data: UnpairedData, cards: Mapping[str, TranslationCard]) -> Validation:
    """Scores of the weights that would be exported.

    Where validation subjects have both images, these are compared with both ways' answers, and the mean PSNR chooses
    the best weights. Elsewhere the error after the way there and back does, together with the distance of the
    intensities from real ones: alone it would choose a network that changes nothing.
    """
    generators, judges = session.exportable("generators"), session.exportable("discriminators")
    assert isinstance(generators, nn.ModuleDict)
    assert isinstance(judges, nn.ModuleDict)
    weights = {}
    for way in WAYS:
        weights[_PREFIX[way] + "weights"] = generators[way].state_dict()
        weights[_PREFIX[way] + "discriminator"] = judges[way].state_dict()
    judged = _with_pairs if data.pairs else _without_pairs
    return replace(judged(generators, data, cards, session.fabric.device), weights=weights)


def export_both(
    session: Session, config: CycleGANConfig, cards: Mapping[str, TranslationCard], data: UnpairedData
) -> list[Path]:
    """The best weights as a package for each way; written once, measured as a user would get them, and written again
    with the scores and the calibration of their maps of doubt in their cards."""
    best = session.folder.load_best()
    folders = {"there": session.folder.export, "back": session.folder.export.with_name("export-reverse")}
    configs, packages, weights = _ways(config), {}, {}
    for way, folder in folders.items():
        weights[way] = {key: best[_PREFIX[way] + key] for key in ("weights", "discriminator")}
        subjects = {"subjects": list(data.index.train), "validation_subjects": list(data.index.validation)}
        update = {
            "training": cards[way].training.model_copy(update=subjects),
            "domain": measure_domain(data.sources if way == "there" else data.targets),
        }
        card = after_training(cards[way].model_copy(update=update), configs[way], session.step)
        packages[way] = load_package(write(folder, card, weights[way]))
    for way, other in (WAYS, WAYS[::-1]):
        complete = _paired(config, data.index if way == "there" else _turned(data.index))
        measured = {
            "scores": [*held_out_scores(configs[way]), *measure_scores(complete, packages[way], complete.test)],
            "calibration": measure_calibration(complete, packages[way], complete.validation, packages[other]),
        }
        write(folders[way], packages[way].translation_card().model_copy(update=measured), weights[way])
    return list(folders.values())


def _ways(config: CycleGANConfig) -> dict[str, CycleGANConfig]:
    """The run as it looks from each end: from the other one source and target have changed places."""
    there, back = config.package, config.reverse
    names = {key: getattr(back, key) for key in ("name", "title", "intended_use", "held_out")}
    package = there.model_copy(update=names | {"source": there.target, "target": there.source})
    intensity = IntensityCard(source=config.intensity.target, target=config.intensity.source)
    turned = config.model_copy(update={"package": package, "intensity": intensity, "init": back.init})
    return dict(zip(WAYS, (config, turned), strict=True))


def _turned(index: Index) -> Index:
    scans = {
        subject: tuple(replace(scan, source=scan.target, target=scan.source) for scan in found)
        for subject, found in index.scans.items()
    }
    return replace(index, scans=scans)


def _paired(config: CycleGANConfig, index: Index) -> Index:
    """The examinations that have both images, and the subjects that have such ones."""
    scans = {
        subject: complete
        for subject, found in index.scans.items()
        if (complete := tuple(scan for scan in found if scan.source and scan.target))
    }
    train, validation, test = (
        tuple(name for name in names if config.paired and (is_phantom(name) or name in scans))
        for names in (index.train, index.validation, index.test)
    )
    return replace(index, scans=scans, train=train, validation=validation, test=test)


def _with_pairs(
    generators: nn.ModuleDict, data: UnpairedData, cards: Mapping[str, TranslationCard], device: torch.device
) -> Validation:
    scores: dict[str, float] = {}
    names, tiles, psnr, aspect = [], [], [], 1.0
    for way in WAYS:
        card, pairs = cards[way], data.pairs
        if way == "back":
            pairs = [replace(pair, source=pair.target, target=pair.source) for pair in pairs]
        figures, samples = validate(generators[way], pairs, card, device)
        scores |= {f"{card.source} to {card.target} {name}": value for name, value in figures.items()}
        psnr.append(figures["psnr"])
        names += [f"{name}, {card.source} to {card.target}" for name in samples.rows[:_LOOKED_AT]]
        tiles += list(samples.tiles[:_LOOKED_AT])
        aspect = samples.aspect
    columns = ("input", "synthetic", "truth", "difference")
    return Validation(scores, float(np.mean(psnr)), {}, Samples(columns, names, tiles, 1, aspect))


def _without_pairs(
    generators: nn.ModuleDict, data: UnpairedData, cards: Mapping[str, TranslationCard], device: torch.device
) -> Validation:
    scores: dict[str, float] = {}
    names, tiles = [], []
    for way, other in (WAYS, WAYS[::-1]):
        card = cards[way]
        wanted, cycles, distances = _intensities([volume.array for volume in data.looked_at[other]]), [], []
        for volume in data.looked_at[way]:
            made = translate_prepared(generators[way], volume.array, card, device)
            again = translate_prepared(generators[other], made, cards[other], device)
            patient = volume.array > _TISSUE
            cycles.append(np.abs(again - volume.array)[patient].mean())
            distances.append(np.abs(_intensities([made]) - wanted).mean())
            middle = int(volume.slices[len(volume.slices) // 2])
            names.append(f"{volume.name or volume.subject}, {card.source} to {card.target}")
            tiles.append([(array[middle].astype(np.float32) + 1) / 2 for array in (volume.array, made, again)])
        scores[f"{card.source} to {card.target} cycle error"] = float(np.mean(cycles))
        scores[f"{card.source} to {card.target} intensity distance"] = float(np.mean(distances))
    down, across = cards["there"].grid.spacing_mm
    samples = Samples(("input", "synthetic", "there and back"), names, tiles, 1, down / across)
    return Validation(scores, -sum(scores.values()), {}, samples)


def _intensities(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Percentiles 1 to 99 of the patient's values: the mean difference to other ones is the Wasserstein distance."""
    patient = np.concatenate([array[array > _TISSUE].astype(np.float32) for array in arrays])
    return np.percentile(patient, np.arange(1, 100)) if patient.size else np.full(99, -1.0)
