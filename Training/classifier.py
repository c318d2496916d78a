"""A classifier of pictures: DenseNet-121 or a small ResNet, for classes that exclude each other or for several findings
of one picture."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from MRITranslateLib.card import ClassificationCard, NetworkCard, PictureCard, ScoreCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.networks import build
from MRITranslateLib.package import load_package

from .classification import Answers, ClassificationLoss, card_figures, draw_answers, probabilities, sampling_weights
from .config.classifier import ClassifierConfig
from .data.pictures import PictureData, RandomPictures, load_pictures
from .export import after_training, training_card, write
from .finetune import freeze, start_from
from .session import Report, Session, Validation, silent
from .standing import take_statistics

_BATCH = 32
_STANDING = (128, 512)
"""Training samples over which the statistics of the batch normalisation are taken: once all pictures, within these."""
_SHOWN = 15
"""Training pictures that are looked at where none are held back."""


@dataclass
class Run:
    """All that a run consists of.

    Attributes:
        labels: float32 (n, classes) of all pictures, on the device.
        labelled: "train", "validation", "test" -> indices of those of its pictures that have a label.
    """

    session: Session
    config: ClassifierConfig
    card: ClassificationCard
    data: PictureData
    labels: torch.Tensor
    labelled: dict[str, np.ndarray]
    samples: RandomPictures
    network: nn.Module


def setup(config: ClassifierConfig, resume: bool = False, report: Report = silent) -> Run:
    """Build a run: data first, since that is where mistakes are.

    Raises:
        InputError: Data or configuration cannot be used.
    """
    session = Session(config, resume)
    data = load_pictures(config.pictures, lambda done, total: report("Reading pictures", done, total, {}))
    labelled = {part: where[~np.isnan(data.labels[where]).all(axis=1)] for part, where in data.parts.items()}
    _check(config, data, labelled["train"])
    if session.fabric.is_global_zero:
        session.folder.save_split(data.split())
    card = _draft_card(config, data)
    network = _network(config, card)
    freeze(network, config.freeze)
    session.add("classifier", network, betas=(0.9, 0.999), averaged=True)
    session.restore()
    chosen = labelled["train"]
    balanced = config.loss.balance == "sampling"
    samples = RandomPictures(
        data.pictures,
        chosen,
        config.augment,
        config.seed,
        max(session.steps * config.batch_size, _STANDING[1] + _BATCH),
        sampling_weights(data.labels[chosen], card.multi_label) if balanced else None,
    )
    labels = torch.from_numpy(data.labels).to(session.fabric.device)
    return Run(session, config, card, data, labels, labelled, samples, network)


def fit(run: Run, report: Report = silent, stop: Callable[[], bool] = lambda: False) -> None:
    """Train until the last epoch; a checkpoint and a validation end every period.

    Raises:
        InputError: The loss is not finite; the last good checkpoint is untouched.
    """
    session, train = run.session, run.data.labels[run.labelled["train"]]
    criterion = ClassificationLoss(run.config.loss, train, run.card.multi_label).to(session.fabric.device)
    for pictures, numbers in session.batches(run.samples):
        with session.autocast():
            logits = run.network(pictures)
        loss = criterion(logits, run.labels[numbers])
        session.update("classifier", loss)
        if session.end_step({"loss": loss}, report):
            session.end_period(lambda: validate(run), report)
        if stop():
            return


def export(run: Run, report: Report = silent) -> list[Path]:
    """The best weights as a package, measured on the test pictures (on those that chose them where there are none)."""
    weights = run.session.folder.load_best()
    card = after_training(run.card, run.config, run.session.step)
    folder = run.session.folder.export
    write(folder, card, weights)
    part = next((part for part in ("test", "validation") if len(run.labelled[part])), None)
    if part is not None:
        report("Measuring the exported classifier", 0, 1, {})
        score = _score(run, load_package(folder).classifier(), part)
        write(folder, card.model_copy(update={"scores": [score]}), weights)
        report("Measuring the exported classifier", 1, 1, {})
    return [folder.resolve()]


def validate(run: Run) -> Validation:
    """Scores of the weights that would be exported, on the validation pictures (without any: on training pictures, and
    the last weights count as the best)."""
    network = exportable_classifier(run)
    chooses = len(run.labelled["validation"]) > 0
    where = run.labelled["validation" if chooses else "train"][: None if chooses else _SHOWN]
    pictures, labels = run.data.pictures[where], run.data.labels[where]
    shares = probabilities(predict(network, pictures), run.card.multi_label)
    answers = Answers(run.card.classes, run.card.multi_label, labels, shares)
    scores = answers.figures()
    # One picture more or less decides the balanced accuracy of a small set; the areas tell equal ones apart.
    better = scores.get("balanced accuracy", 0.0) + 1e-3 * scores.get("mean auroc", 0.0)
    if run.card.multi_label:
        better = scores.get("mean auroc", 0.0)
    return Validation(
        scores,
        better if chooses else float("inf"),
        {"weights": network.state_dict()},
        draw_answers(pictures, answers),
    )


def exportable_classifier(run: Run) -> nn.Module:
    """The averaged network with the batch statistics of its own activations, as a package will hold it."""
    network = run.session.exportable("classifier")
    least, most = _STANDING
    starts = range(0, min(most, max(least, len(run.labelled["train"]))), _BATCH)
    batches = (torch.stack([run.samples[i][0] for i in range(start, start + _BATCH)]) for start in starts)
    take_statistics(network, (batch.to(run.session.fabric.device) for batch in batches))
    return network


def predict(network: nn.Module, pictures: np.ndarray) -> np.ndarray:
    """Logits float32 (n, classes) of prepared pictures (n, size, size)."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        whole = torch.from_numpy(pictures.astype(np.float32))[:, None]
        return torch.cat([network(batch.to(device)).float().cpu() for batch in whole.split(_BATCH)]).numpy()


def _check(config: ClassifierConfig, data: PictureData, train: np.ndarray) -> None:
    """Find what cannot be learnt.

    Raises:
        InputError: There are no classes, or some are not among the training pictures.
    """
    if (len(data.classes) < 2 and not config.pictures.multi_label) or not data.classes:
        raise InputError(
            f"The pictures show {len(data.classes)} class(es), too few to tell apart; make a folder for each class, "
            "name the column in pictures.labels, or lower pictures.least_count."
        )
    for number, name in enumerate(data.classes):
        if not (data.labels[train, number] == 1).any():
            raise InputError(
                f'No training picture shows "{name}"; choose another pictures.split_seed, or leave the class out by '
                "pictures.least_count."
            )


def _draft_card(config: ClassifierConfig, data: PictureData) -> ClassificationCard:
    """The card before training.

    Raises:
        InputError: The configuration does not make a valid card.
    """
    about, loss, multi_label = config.package, config.loss, config.pictures.multi_label
    given = config.network.parameters.get("classes", len(data.classes))
    if given != len(data.classes):
        raise InputError(f"network.parameters.classes must be {len(data.classes)}, as in the data; leave it out.")
    network = NetworkCard(
        name=config.network.name, parameters=config.network.parameters | {"classes": len(data.classes)}
    )
    sentence = (
        f"{'binary cross-entropy over known labels' if multi_label else 'cross-entropy'}, label smoothing "
        f"{loss.label_smoothing:g}, classes balanced by {loss.balance}"
    )
    try:
        return ClassificationCard(
            name=about.name,
            version=about.version,
            title=about.title,
            source=about.source,
            picture=PictureCard(size=config.pictures.size),
            classes=data.classes,
            multi_label=multi_label,
            network=network,
            licence=about.licence,
            training=training_card(about, data.listed("train"), data.listed("validation"), sentence),
            intended_use=about.intended_use,
            limits=about.limits,
        )
    except ValueError as error:
        raise InputError(f"The configuration does not make a valid model card: {error}") from None


def _network(config: ClassifierConfig, card: ClassificationCard) -> nn.Module:
    """The network, with the weights of `init` where there is one: all but the last layer if its classes are others.

    Raises:
        InputError: The network is no classifier, is too deep for the pictures, or differs from the package's.
    """
    network = build(card.network.name, card.network.parameters)
    try:
        with torch.inference_mode():
            shape = network.eval()(torch.zeros(1, 1, card.picture.size, card.picture.size)).shape
    except RuntimeError:
        raise InputError(
            f"Pictures of {card.picture.size} pixels are too small for this {card.network.name}, or it wants more "
            "channels than the one they have; raise pictures.size or correct network.parameters."
        ) from None
    if shape != (1, len(card.classes)):
        raise InputError("The network of this recipe is densenet121 or resnet_classifier; correct network.name.")
    if config.init is None:
        return network
    package = load_package(str(config.init))
    head = {key: value for key, value in network.state_dict().items() if key.startswith("head.")}
    theirs = package.classifier()
    if isinstance(package.card, ClassificationCard) and package.card.classes == card.classes:
        start_from(config.init, network)
        return network
    try:
        network.load_state_dict(theirs.state_dict() | head)
    except RuntimeError:
        raise InputError(f'The network of "{config.init}" differs from this configuration; use the same.') from None
    return network


def _score(run: Run, classifier: nn.Module, part: str) -> ScoreCard:
    """What the card says of the exported network."""
    data, card, where = run.data, run.card, run.labelled[part]
    answers = Answers(
        card.classes,
        card.multi_label,
        data.labels[where],
        probabilities(predict(classifier, data.pictures[where]), card.multi_label),
    )
    groups = [data.groups[index] for index in where]
    metrics, protocol = card_figures(answers, groups, run.config.bootstrap, run.config.seed)
    if part != "test":
        protocol += "; these pictures chose the weights, so the figures are optimistic"
    return ScoreCard(family="held-back pictures", subjects=data.listed(part), protocol=protocol, metrics=metrics)
