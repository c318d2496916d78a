"""The finding asked for against the finding seen: generators that listen, that do not, and mistakes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from MRITranslateLib.errors import InputError
from MRITranslateLib.package import load_package
from Testing.MRITranslateLib.packages import tiny_package
from Training.classification import auroc
from Training.config.report_gan import ConsistencyConfig
from Training.consistency import Consistency, find_consistency, measure_consistency
from Training.data.report_files import Case
from Training.data.reports import ReportData
from Training.quality import FeatureNetwork

CLASSES = ["bright", "AP", "rare"]


class Listening(nn.Module):
    """Pictures as bright as the report says, by its only feature, and as the noise says."""

    latent = 2

    def __init__(self, hears: float, noise: float) -> None:
        super().__init__()
        self.hears, self.noise = nn.Parameter(torch.tensor(hears)), noise

    def forward(self, noise: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        grey = self.hears * (text[:, 0] - 0.5) + self.noise * noise[:, 0]
        return grey[:, None, None, None].expand(-1, 1, 8, 8)


def brightness(pictures: torch.Tensor) -> torch.Tensor:
    mean = pictures.mean((1, 2, 3))
    return torch.stack([mean, mean, mean], 1)


def table(count: int = 40) -> ReportData:
    """Two pictures of each patient; every second patient's are bright; of some nobody knows; half are held back."""
    cases, greys = [], []
    for number in range(count):
        patient = number // 2
        finding = "bright, spot" if patient % 2 else "No Finding"
        cells = {"finding": "" if number % 10 == 9 else finding, "view": ("AP", "PA", "")[number % 3]}
        if number == 0:
            cells["finding"] = "rare"
        cases.append(Case(f"{number}.png", Path(), f"Report {number}", f"p{patient}", cells=cells))
        greys.append(0.5 if patient % 2 else -0.5)
    pictures = np.full((count, 8, 8), 1, np.float16) * np.array(greys, np.float16)[:, None, None]
    parts = {"train": np.arange(count // 2), "validation": np.arange(0), "test": np.arange(count // 2, count)}
    return ReportData(cases, pictures, parts, [])


def classifier(folder: Path, **changes) -> str:
    facts = {
        "classes": CLASSES,
        "network": {"name": "resnet_classifier", "parameters": {"classes": 3, "channels": [4]}},
    }
    return str(tiny_package(folder, task="classification", **(facts | changes)))


@pytest.fixture
def asked(tmp_path) -> Consistency:
    """What the table asks for, looked for by one that sees brightness and nothing else."""
    config = ConsistencyConfig(package=classifier(tmp_path / "classes"), labels=["finding", "view"], pictures=4)
    found = find_consistency(config, table())
    return Consistency(config, found.card, FeatureNetwork("eye", 8, brightness), found.chosen, found.labels, "")


def truth(data: ReportData) -> np.ndarray:
    return np.array([[float(int(case.group[1:]) % 2)] for case in data.cases], np.float32)


def test_labels_are_those_of_the_table_and_unknown_where_a_cell_is_empty(asked):
    data = table()
    cells = [data.cases[index].cells for index in asked.chosen]
    assert set(asked.chosen) == {
        i for i in range(20, 40) if data.cases[i].cells["finding"] or data.cases[i].cells["view"]
    }
    for row, (bright, ap, rare) in zip(cells, asked.labels, strict=True):
        assert np.isnan(bright) == np.isnan(rare) == (row["finding"] == "")
        assert np.isnan(ap) == (row["view"] == "")
        assert row["finding"] == "" or bright == ("bright" in row["finding"])
        assert row["view"] == "" or ap == (row["view"] == "AP")


def test_a_generator_that_listens_scores_and_shuffled_texts_do_not(asked):
    data = table()
    score = measure_consistency(asked, Listening(1.0, 0.01), data, truth(data), seed=2)
    found = score.metrics
    assert found["consistency auroc bright"] == found["consistency auroc bright, low"] == 1
    assert found["consistency auroc bright shuffled"] == pytest.approx(0.5, abs=0.03)
    assert found["consistency auroc bright real"] == 1
    assert found["bright asked for"] + found["bright not asked for"] == np.isfinite(asked.labels[:, 0]).sum()
    assert found["rare asked for"] == 0
    assert not any("auroc rare" in name for name in found)  # nobody held back has it
    areas = [found["consistency auroc bright"], found["consistency auroc AP"]]
    assert found["mean consistency auroc"] == pytest.approx(np.mean(areas), abs=1e-5)
    assert found["mean consistency auroc, low"] <= found["mean consistency auroc"]
    assert score.family == "finding asked for, finding seen"
    assert score.subjects == sorted({data.cases[index].group for index in asked.chosen})
    for words in ("4 pictures of seed 2", "10 patients held back", "the eye", "finding, view", "1000 shuffles"):
        assert words in score.protocol


def test_a_deaf_generator_is_at_chance_whatever_it_draws(asked):
    data = table()
    found = measure_consistency(asked, Listening(0.0, 1.0), data, truth(data), seed=2).metrics
    assert found["consistency auroc bright"] == found["consistency auroc bright shuffled"] == 0.5
    assert found["consistency auroc bright real"] == 1


def test_the_noise_is_averaged_and_the_figure_repeats(asked):
    data = table()
    loud = Listening(0.3, 1.0)
    scores = [measure_consistency(asked, loud, data, truth(data), seed=2).metrics for _ in range(2)]
    assert scores[0] == scores[1]
    # All reports get the same random numbers, so that only the text makes a difference.
    assert scores[0]["consistency auroc bright"] == 1


def test_intervals_are_by_patient(asked):
    """Of ten patients four are not heard: another ten might be heard less."""
    data = table()
    heard = truth(data)
    heard[24:32] = 0.5
    found = measure_consistency(asked, Listening(1.0, 0.0), data, heard, seed=2).metrics
    known = np.isfinite(asked.labels[:, 0])
    rows = asked.chosen[known]
    assert found["consistency auroc bright"] == pytest.approx(auroc(heard[rows, 0], asked.labels[known, 0]), abs=1e-5)
    assert found["consistency auroc bright, low"] < found["consistency auroc bright"] - 0.1


def test_pictures_that_the_classifier_knows_make_the_ceiling_optimistic(tmp_path):
    training = load_package(classifier(tmp_path / "one")).card.training.model_dump()
    known = classifier(tmp_path / "classes", training={**training, "subjects": ["22.png", "0.png"]})
    config = ConsistencyConfig(package=known, labels=["finding"])
    assert (
        find_consistency(config, table()).optimistic
        == "; the classifier learnt from 1 of these real pictures, so real is optimistic"
    )
    data = table()
    data.parts.update(validation=data.parts["test"], test=np.arange(0))
    assert find_consistency(config, data).optimistic.endswith("chose the weights, so the figures are optimistic")


def test_mistakes(tmp_path):
    package = classifier(tmp_path / "classes")

    def says(words: str, data: ReportData, **changes) -> None:
        with pytest.raises(InputError, match=words) as error:
            find_consistency(ConsistencyConfig(**({"package": package, "labels": ["finding"]} | changes)), data)
        assert "\n" not in str(error.value)

    says("is no classifier of chest X-rays", table(), package=str(tiny_package(tmp_path / "t")))
    says("is no classifier of chest X-rays", table(), package=classifier(tmp_path / "mr", source="T1"))
    says('no column "view point" .*it has finding, view', table(), labels=["view point"])
    says("ask for none, or for the same ones everywhere", table(), separator="|")
    nobody = table()
    nobody.parts["test"] = np.arange(0)
    says("hold back more patients", nobody)
    without = table()
    without = ReportData([Case("a.png", Path(), "text", "p")], without.pictures[:1], without.parts, [])
    says("there is no table", without)
    assert find_consistency(None, table()) is None
