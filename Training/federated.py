"""Federated pix2pix: hospitals train in turns of the recipe's own steps, and a server averages their weights (FedAvg,
McMahan et al., AISTATS 2017) through Flower.

What leaves a hospital: weights, the number of its training slices, and the ranges of field of view, spacing and
normalised intensity for the model card. Images, the names of subjects and files stay.

`fit` simulates all hospitals on one machine. Between real ones `server_app` and `client_app` run under Flower's own
programs; docs/training.md shows how.
"""

import os

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"  # read on import: nobody is told of a hospital's work
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from MRITranslateLib.card import DomainCard, TranslationCard
from MRITranslateLib.errors import InputError
from MRITranslateLib.package import load_package

from . import pix2pix
from .calibration import measure_calibration
from .config.federated import FederatedConfig, HospitalConfig
from .config.load import load_config
from .config.pix2pix import Pix2PixConfig
from .data.index import read_index
from .data.pairs import PreparedPair, prepare_all
from .export import after_training, write
from .finetune import start_from
from .scoring import measure_domain, measure_scores
from .session import Report, Session, States, Validation, silent
from .translation import build_network, draft_card
from .validation import validate

try:
    from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import FedAvg
    from flwr.simulation import run_simulation
except ImportError:
    raise InputError(
        'Federated training needs Flower; install it with pip install "mritranslate[federated]".'
    ) from None


@dataclass
class Run:
    """The server's side; its session counts rounds, and its networks are the averages over the hospitals."""

    session: Session
    config: FederatedConfig
    card: TranslationCard
    networks: dict[str, nn.Module]
    validation: list[PreparedPair]
    answers: list[dict[str, Any]] = field(default_factory=list)


def setup(config: FederatedConfig, resume: bool = False, report: Report = silent) -> Run:
    """Build the server's side of a run.

    Raises:
        InputError: The configuration cannot be used.
    """
    index = read_index(config.data.model_copy(update={"train": config.data.train or []}), trains=False)
    if index.train:
        raise InputError("The server trains on nothing; leave data.train empty and give every hospital its own.")
    if not index.validation:
        raise InputError("Give the server subjects in data.validation to judge the rounds by; phantom-N will do.")
    card = draft_card(
        config, f"{pix2pix.describe(config.loss)}; averaged over hospitals (FedAvg)", config.discriminator
    )
    rounds = {"epochs": config.rounds, "steps_per_epoch": 1, "validate_every": 1, "sample_epochs": []}
    session = Session(config.model_copy(update=rounds), resume)
    session.folder.save_config(config)
    session.folder.save_split(index.split())
    networks = {"generator": build_network(config.network), "discriminator": build_network(config.discriminator)}
    start_from(config.init, networks["generator"], networks["discriminator"])
    for name, network in networks.items():
        session.add(name, network, averaged=name == "generator")
    networks["averaged"] = session.averaged("generator")
    session.restore()
    return Run(session, config, card, networks, prepare_all(index, card, index.validation))


def fit(run: Run, report: Report = silent, stop: Callable[[], bool] = lambda: False) -> None:
    """Simulate the hospitals of the configuration on this machine, each in a process of its own.

    Raises:
        InputError: Fewer than two hospitals, or not enough of them answered.
    """
    config = run.config
    if len(config.hospitals) < 2:
        raise InputError("A simulation needs two hospitals or more; give each one's data in hospitals.")
    app = ServerApp()

    @app.main()
    def _main(grid: Grid, context: Context) -> None:
        serve(run, grid, report, stop)

    share = max(1, (os.cpu_count() or 1) // config.at_once)
    gpus = 1 / config.at_once if torch.cuda.is_available() else 0.0
    resources: dict[str, Any] = {"num_cpus": share, "num_gpus": gpus}
    run_simulation(app, client_app, len(config.hospitals), backend_config={"client_resources": resources})
    if run.session.step < run.session.steps and not stop():
        raise InputError(
            f"Only {run.session.step} of {run.session.steps} rounds came to an end, since too few hospitals answered; "
            "the messages above say why. Correct it and --resume."
        )


def export(run: Run, report: Report = silent) -> list[Path]:
    """The best average as a package, scored on the server's test subjects."""
    session, card = run.session, run.card
    answers = json.loads((session.folder.path / "hospitals.json").read_text(encoding="utf-8"))
    training = card.training.model_copy(update={"subjects": [f"hospital {n + 1}" for n in range(len(answers))]})
    card = card.model_copy(update={"training": training, "domain": _common_domain(answers)})
    card = after_training(card, run.config, session.step * run.config.steps_per_epoch * _local_epochs(run.config))
    weights, folder = session.folder.load_best(), session.folder.export
    package = load_package(write(folder, card, weights))
    index = read_index(run.config.data, trains=False)
    measured = {
        "scores": measure_scores(index, package, index.test),
        "calibration": measure_calibration(index, package, index.validation),
    }
    return [write(folder, card.model_copy(update=measured), weights)]


def serve(run: Run, grid: Grid, report: Report = silent, stop: Callable[[], bool] = lambda: False) -> None:
    """Average the hospitals' weights round by round, from where the run stands."""
    session, config = run.session, run.config

    def collect(replies: list[RecordDict], weighted_by: str) -> MetricRecord:
        run.answers = [json.loads(str(reply.config_records["facts"]["domain"])) for reply in replies]
        return MetricRecord({"hospitals": len(replies)})

    def judge(number: int, arrays: ArrayRecord) -> MetricRecord | None:
        if number == 0:
            return None
        if len(run.answers) < config.least_hospitals:
            raise InputError(f"{len(run.answers)} hospitals answered, {config.least_hospitals} are needed.")
        _load(run.networks, arrays)
        session.folder.save_text("hospitals.json", json.dumps(run.answers))
        session.end_step({}, report)
        session.end_period(lambda: _validate(run), report)
        if stop():
            raise KeyboardInterrupt
        return MetricRecord({"psnr": session.best})

    least = max(config.least_hospitals, len(config.hospitals))
    strategy = FedAvg(
        fraction_evaluate=0.0,
        min_train_nodes=least,
        min_available_nodes=least,
        weighted_by_key="slices",
        train_metrics_aggr_fn=collect,
    )
    told = ConfigRecord({"config": config.model_dump_json()})
    left = session.steps - session.step
    strategy.start(grid, _arrays(run.networks), left, train_config=told, evaluate_fn=judge)


server_app = ServerApp()
client_app = ClientApp()


@server_app.main()
def _serve_hospitals(grid: Grid, context: Context) -> None:
    """Between real hospitals: `config` of Flower's run configuration is the server's YAML file."""
    config = load_config(FederatedConfig, Path(str(context.run_config["config"])))
    run = setup(config, resume=True)
    serve(run, grid)
    export(run)


@client_app.train()
def _train(message: Message, context: Context) -> Message:
    """One round of a hospital: its share of the recipe's steps from the server's weights."""
    config = hospital_config(str(message.content.config_records["config"]["config"]), context)
    run = pix2pix.setup(config, resume=True)
    networks = {
        "generator": run.generator,
        "discriminator": run.discriminator,
        "averaged": run.session.averaged("generator"),
    }
    _load(networks, message.content.array_records["arrays"])
    end = run.session.step + config.validate_every * config.steps_per_epoch
    pix2pix.fit(run, stop=lambda: run.session.step >= end)
    content = RecordDict()
    content["arrays"] = _arrays(networks)
    content["metrics"] = MetricRecord({"slices": sum(len(pair.slices) for pair in run.data.train)})
    content["facts"] = ConfigRecord({"domain": measure_domain(run.data.train).model_dump_json()})
    return Message(content=content, reply_to=message)


def hospital_config(told: str, context: Context) -> Pix2PixConfig:
    """What a hospital trains with: the server's recipe on the hospital's own data and folder.

    Args:
        told: The server's configuration, JSON.
        context: Of the node; `config` is the hospital's YAML file, or `partition-id` its number in a simulation.

    Raises:
        InputError: The hospital's file cannot be used.
    """
    server = FederatedConfig.model_validate_json(told)
    recipe = server.model_dump(include=set(Pix2PixConfig.model_fields))
    recipe |= {
        "init": None,
        "validate_every": _local_epochs(server),
        "sample_epochs": [],
        "early_stop": 0,
        "devices": 1,
    }
    if "config" in context.node_config:
        own = load_config(HospitalConfig, Path(str(context.node_config["config"])))
        return Pix2PixConfig.model_validate(recipe | own.model_dump())
    number = int(context.node_config["partition-id"])
    output = Path(server.output) / f"hospital-{number + 1}"
    return Pix2PixConfig.model_validate(recipe | {"data": server.hospitals[number].model_dump(), "output": output})


def _local_epochs(config: FederatedConfig) -> int:
    return config.epochs // config.rounds


def _validate(run: Run) -> Validation:
    generator = run.session.exportable("generator")
    scores, picture = validate(generator, run.validation, run.card, run.session.fabric.device)
    weights: States = {"weights": generator.state_dict()}
    if run.config.loss.adversarial:
        weights["discriminator"] = run.session.exportable("discriminator").state_dict()
    return Validation(scores, scores["psnr"], weights, picture)


def _arrays(networks: Mapping[str, nn.Module]) -> ArrayRecord:
    """The weights of several networks; whole numbers, such as counts of batches, are not averaged."""
    named = (
        (f"{part}/{key}", value.detach().cpu().contiguous())
        for part, network in networks.items()
        for key, value in network.state_dict().items()
        if value.is_floating_point()
    )
    return ArrayRecord(torch_state_dict=dict(named))


def _load(networks: Mapping[str, nn.Module], arrays: ArrayRecord) -> None:
    """Put weights from elsewhere into the networks they are named for.

    Raises:
        InputError: Names, shapes or values are not those of these networks.
    """
    given = arrays.to_torch_state_dict()
    for part, network in networks.items():
        state = network.state_dict()
        for key, value in state.items():
            if not value.is_floating_point():
                continue
            new = given.get(f"{part}/{key}")
            if new is None or new.shape != value.shape or not torch.isfinite(new).all():
                raise InputError(f"The weights received for {part} are not those of this configuration's network.")
            state[key] = new.to(value)
        network.load_state_dict(state)


def _common_domain(answers: Iterable[str | Mapping[str, Any]]) -> DomainCard:
    """The ranges of all hospitals together."""
    domains = [DomainCard.model_validate(answer) for answer in answers]

    def widest(ranges: list[tuple[float, float]]) -> tuple[float, float]:
        table = np.asarray(ranges)
        return float(table[:, 0].min()), float(table[:, 1].max())

    def axes(name: str) -> Any:
        return tuple(widest([getattr(domain, name)[axis] for domain in domains]) for axis in range(3))

    keys = set.intersection(*(set(domain.quantiles) for domain in domains))
    return DomainCard(
        field_of_view_mm=axes("field_of_view_mm"),
        spacing_mm=axes("spacing_mm"),
        quantiles={key: widest([domain.quantiles[key] for domain in domains]) for key in sorted(keys)},
    )
