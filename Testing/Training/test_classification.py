"""Losses and figures of classifiers against their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from Training.classification import (
    Answers,
    ClassificationLoss,
    auroc,
    card_figures,
    draw_answers,
    intervals,
    probabilities,
    sampling_weights,
)
from Training.config.classifier import ClassificationLossConfig

NAN = float("nan")


def config(balance: str = "none", smoothing: float = 0.0) -> ClassificationLossConfig:
    return ClassificationLossConfig(balance=balance, label_smoothing=smoothing)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_the_area_is_the_chance_of_ranking_a_pair_rightly(pairs):
    scores, truth = np.array([score for score, _ in pairs], float), np.array([has for _, has in pairs], int)
    wins = [(a > b) + 0.5 * (a == b) for a in scores[truth == 1] for b in scores[truth == 0]]
    area = auroc(scores, truth)
    assert np.isnan(area) if not wins else area == pytest.approx(np.mean(wins))


def test_figures_of_classes_that_exclude_each_other():
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=60)
    shares = probabilities(rng.normal(size=(60, 3)) + 1.5 * np.eye(3)[truth], multi_label=False)
    answers = Answers(["a", "b", "c"], False, np.eye(3)[truth], shares)
    found = answers.figures()
    assert found["accuracy"] == pytest.approx((shares.argmax(1) == truth).mean())
    assert found["balanced accuracy"] == pytest.approx(
        np.mean([(shares[truth == c].argmax(1) == c).mean() for c in range(3)])
    )
    assert found["mean auroc"] == pytest.approx(np.mean([auroc(shares[:, c], truth == c) for c in range(3)]))
    table = answers.confusion()
    assert sum(table.values()) == 60
    assert table["a taken for a"] + table["a taken for b"] + table["a taken for c"] == (truth == 0).sum()


def test_figures_of_findings_ignore_what_nobody_knows():
    labels = np.array([[1, NAN], [0, NAN], [1, 1], [NAN, NAN]])
    shares = np.array([[0.9, 0.9], [0.6, 0.1], [0.4, 0.8], [0.1, 0.1]])
    answers = Answers(["a", "b"], True, labels, shares)
    found = answers.figures()
    assert found["accuracy"] == pytest.approx(2 / 4)
    assert found["balanced accuracy"] == pytest.approx((0.5 + 0) / 2)
    assert found["auroc a"] == found["mean auroc"] == pytest.approx(0.5)
    assert "auroc b" not in found
    assert answers.confusion() == {
        "a found": 1,
        "a missed": 1,
        "a seen in vain": 1,
        "a rightly not seen": 0,
        "b found": 1,
        "b missed": 0,
        "b seen in vain": 0,
        "b rightly not seen": 0,
    }


def test_the_loss_is_the_cross_entropy_and_smoothing_pulls_it_to_the_middle():
    logits, truth = torch.randn(8, 3), torch.arange(8) % 3
    labels = torch.eye(3)[truth]
    plain = ClassificationLoss(config(), labels.numpy(), False)(logits, labels)
    torch.testing.assert_close(plain, torch.nn.functional.cross_entropy(logits, truth))
    sure = 20 * labels
    assert ClassificationLoss(config(smoothing=0.1), labels.numpy(), False)(sure, labels) > 1
    assert ClassificationLoss(config(), labels.numpy(), False)(sure, labels) < 1e-6


def test_unknown_labels_give_no_gradient():
    labels = torch.tensor([[1.0, NAN], [NAN, 0.0], [0.0, 1.0]])
    logits = torch.randn(3, 2, requires_grad=True)
    loss = ClassificationLoss(config(smoothing=0.1), labels.numpy(), True)(logits, labels)
    assert torch.isfinite(loss)
    loss.backward()
    assert (logits.grad == 0).tolist() == labels.isnan().tolist()


@pytest.mark.parametrize("multi_label", [False, True])
def test_weights_make_classes_count_alike(multi_label):
    """Nine of one, one of the other: the sum of the gradients at no knowledge is balanced."""
    labels = torch.eye(2)[[0] * 9 + [1]]
    logits = torch.zeros(10, 2, requires_grad=True)
    ClassificationLoss(config("weights"), labels.numpy(), multi_label)(logits, labels).backward()
    assert float(logits.grad.sum(0).abs().max()) < 1e-6
    logits.grad = None
    ClassificationLoss(config(), labels.numpy(), multi_label)(logits, labels).backward()
    assert float(logits.grad.sum(0).abs().min()) > 0.1


def test_sampling_weights_make_every_class_as_likely():
    labels = np.eye(3)[[0] * 6 + [1] * 3 + [2]]
    weights = sampling_weights(labels, multi_label=False)
    np.testing.assert_allclose((weights[:, None] * labels).sum(0), 1)
    findings = np.array([[1, NAN], [0, 0], [0, 0], [0, 1]])
    weights = sampling_weights(findings, multi_label=True)
    assert weights[0] > weights[1] == weights[2]
    assert weights[3] > weights[1]


def test_intervals_resample_groups_not_pictures():
    """A hundred pictures of two patients, one always right and one never: nothing is known."""
    right = np.repeat([1.0, 0.0], 50)
    measure = lambda chosen: {"accuracy": float(right[chosen].mean())}  # noqa: E731
    assert intervals(measure, ["a"] * 50 + ["b"] * 50, 200, 0) == {"accuracy": (0.0, 1.0)}
    low, high = intervals(measure, [str(number) for number in range(100)], 400, 0)["accuracy"]
    assert 0.37 < low < 0.45
    assert 0.55 < high < 0.63


def test_figures_for_the_card_and_the_picture():
    labels = np.eye(2)[[0, 1] * 10]
    answers = Answers(["a", "b"], False, labels, 0.9 * labels + 0.05)
    metrics, protocol = card_figures(answers, [str(number) for number in range(20)], 20, 0)
    assert metrics["accuracy"] == metrics["accuracy, low"] == metrics["mean auroc, high"] == 1
    assert metrics["a taken for b"] == 0
    assert "20 pictures of 20" in protocol
    picture = draw_answers(np.zeros((20, 16, 16)), answers)
    assert picture.ndim == 2
    assert 0 <= picture.min() < 0.1
    assert picture.max() == 1
