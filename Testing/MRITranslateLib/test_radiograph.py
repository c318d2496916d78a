"""X-rays from a report, through a real (tiny) BERT; whose language model it is; and which words mattered."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import MRITranslateLib as mt
from MRITranslateLib import words
from MRITranslateLib.errors import InputError
from MRITranslateLib.text import load_text_encoder

from .checkpoints import tiny_bert
from .packages import RADIOGRAPH, language_model, tiny_package

REPORT = "Opacity in the left lower lobe. No pleural effusion, heart size normal."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def xrays(folder):
    return mt.load_package(tiny_package(folder / "x", task="radiograph", extra_files=language_model(folder / "bert")))


@pytest.fixture(scope="module")
def findings(folder):
    return mt.load_package(tiny_package(folder / "c", task="classification"))


@pytest.fixture(scope="module")
def without_language(folder):
    """A package whose language model is the user's own, with the checkpoint that it was trained with."""
    bert = tiny_bert(folder / "clinical")
    text = RADIOGRAPH["text"] | {"encoder": "external", "sha256": load_text_encoder(bert).weights_sha256}
    return mt.load_package(tiny_package(folder / "external", task="radiograph", text=text)), bert


def test_an_x_ray_with_its_verdict_and_provenance(xrays):
    made = mt.radiograph(REPORT, xrays, seed=2)
    assert made.image.GetSize() == (16, 16, 1)
    assert sitk.GetArrayFromImage(made.image).min() >= 0
    assert len(made.realism) == len(made.match) == 1
    assert made.provenance["target"] == "CXR"
    assert len(made.provenance["report_sha256"]) == 64
    assert not any("lobe" in value for value in made.provenance.values())  # a report is the patient's


def test_seed_report_and_count_decide(xrays):
    first = mt.radiograph(REPORT, xrays, seed=1, count=3).pictures
    assert np.array_equal(mt.radiograph(REPORT, xrays, seed=1, count=3).pictures, first)
    np.testing.assert_allclose(mt.radiograph(REPORT, xrays, seed=1).pictures, first[:1], atol=1e-5)
    assert not np.allclose(first[0], first[1], atol=1e-3)
    other = mt.radiograph("The lungs are clear.", xrays, seed=1, count=3).pictures
    assert not np.allclose(other, first, atol=1e-4)


def test_the_language_model_is_read_once(xrays, monkeypatch):
    from MRITranslateLib import package

    read = []
    load = package.load_text_encoder
    monkeypatch.setattr(package, "load_text_encoder", lambda where: read.append(where) or load(where))
    fresh = mt.load_package(xrays.folder)
    for text in (REPORT, "The lungs are clear."):
        mt.radiograph(text, fresh)
        mt.explain_words(text, fresh)
    assert len(read) == 1


def test_a_report_that_is_too_long_is_cut_with_a_warning(xrays):
    long = mt.radiograph("Opacity in the left lower lobe. " * 200, xrays)
    assert "the end was left out" in long.warnings[0]
    found = mt.explain_words("Opacity in the left lower lobe. " * 200, xrays)
    assert "the end was left out" in found.warnings[0]


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("", {}, "empty"),
        (" \n", {}, "empty"),
        ("x" * 100_001, {}, "characters"),
        (REPORT, {"count": 0}, "at least 1"),
        (REPORT, {"count": 1_000_000}, "--yes"),
        (REPORT, {"seed": -1}, "seed"),
        (REPORT, {"text_encoder": "emilyalsentzer/Bio_ClinicalBERT"}, "language model that it brings along"),
    ],
)
def test_what_cannot_be_asked_for(xrays, text, options, says):
    with pytest.raises(InputError, match=says):
        mt.radiograph(text, xrays, **options)


def test_packages_of_another_kind(package, xrays, findings):
    with pytest.raises(InputError, match="makes no X-rays"):
        mt.radiograph(REPORT, package)
    with pytest.raises(InputError, match="reads no reports"):
        mt.explain_words(REPORT, package)
    with pytest.raises(InputError, match="does not tell what a chest X-ray shows"):
        mt.explain_words(REPORT, xrays, classifier=package, class_name="nodule")
    with pytest.raises(InputError, match='no class "tumour"'):
        mt.explain_words(REPORT, xrays, classifier=findings, class_name="tumour")


def test_a_package_without_language_takes_the_very_checkpoint_it_was_trained_with(without_language, folder):
    package, bert = without_language
    made = mt.radiograph(REPORT, package, text_encoder=bert)
    assert made.image.GetSize() == (16, 16, 1)
    why = mt.explain(made.image, package, mt.Match(REPORT, text_encoder=str(bert)))
    assert why.heatmap.GetSize() == (16, 16, 1)
    with pytest.raises(InputError, match="give the folder of your own copy"):
        mt.radiograph(REPORT, package)
    with pytest.raises(InputError, match="another text encoder"):
        mt.radiograph(REPORT, package, text_encoder=tiny_bert(folder / "other", seed=2))
    broken = folder / "broken"
    shutil.copytree(bert, broken)
    (broken / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        mt.radiograph(REPORT, package, text_encoder=broken)
    with pytest.raises(InputError, match="nothing is downloaded"):
        mt.radiograph(REPORT, package, text_encoder="emilyalsentzer/Bio_ClinicalBERT")


def test_an_encoder_of_another_width_is_refused(folder):
    text = RADIOGRAPH["text"] | {"encoder": "external"}
    package = mt.load_package(tiny_package(folder / "any", task="radiograph", text=text))
    with pytest.raises(InputError, match=r"gives 16 features.*takes 32"):
        mt.radiograph(REPORT, package, text_encoder=tiny_bert(folder / "narrow", width=16))


@pytest.mark.parametrize("kind", ["match", "class"])
def test_words_add_up_to_the_difference_and_give_the_report_back(xrays, findings, kind):
    asked = {} if kind == "match" else {"classifier": findings, "class_name": "nodule"}
    found = mt.explain_words(REPORT, xrays, **asked)
    assert "".join(part.text for part in found.parts) == REPORT
    difference = found.score - found.without
    assert sum(part.score for part in found.parts) == pytest.approx(difference, abs=0.02 * max(1, abs(difference)))
    assert any(part.score for part in found.parts)
    assert found.provenance["model"] == "tiny_report"
    assert found.provenance.get("classifier") == (None if kind == "match" else "tiny_classes")
    assert not any("lobe" in value for value in found.provenance.values())
    assert max(abs(shade) for shade in found.shades()) == 1.0
    assert abs(found.strongest(1)[0].score) == max(abs(part.score) for part in found.parts if part.text.strip(" .,"))


def test_words_of_a_given_x_ray_are_held_against_it(xrays):
    made = mt.radiograph(REPORT, xrays, seed=4)
    found = mt.explain_words(REPORT, xrays, image=made.image)
    other = mt.explain_words(REPORT, xrays, image=mt.radiograph(REPORT, xrays, seed=5).image)
    assert found.score != other.score
    with pytest.raises(InputError, match="3 slices"):
        mt.explain_words(REPORT, xrays, image=mt.radiograph(REPORT, xrays, count=3).image)


def test_a_word_that_the_score_rests_on_is_the_strongest(xrays, monkeypatch):
    """The score is how far the features are on the way from an empty report's to those of that word alone."""
    encoder = load_text_encoder(xrays.text_folder())
    tokens = encoder.tokenise("the the heart the the")
    nothing = encoder.masked(tokens)
    alone = [not "the the heart the the"[first:last].strip("the ") for first, last in tokens.spans]
    heart = replace(tokens, ids=torch.where(torch.tensor([alone]), nothing.ids, tokens.ids))
    empty = encoder.features_of(nothing)
    direction = (encoder.features_of(heart) - empty)[0].clone()
    score = lambda features: (features - empty) @ direction  # noqa: E731
    monkeypatch.setattr(words, "_score", lambda *given: (score, "planted"))
    found = mt.explain_words("the the heart the the", xrays)
    assert found.strongest(1)[0].text == "heart"
    assert found.without == pytest.approx(0.0, abs=1e-6)


def test_coloured_words_are_safe_to_show(xrays):
    html = mt.explain_words("Opacity <script>alert(1)</script> & left\nlobe", xrays).html()
    assert "<script>" not in html
    assert "&lt;" in html
    assert "<br>" in html
    assert "background-color: #" in html


def test_progress_and_cancelling(xrays):
    told = []
    mt.radiograph(REPORT, xrays, count=9, progress=lambda fraction, *rest: told.append(fraction))
    assert told == sorted(told)
    assert told[-1] == 1.0
    with pytest.raises(mt.Cancelled):
        mt.radiograph(REPORT, xrays, cancel=lambda: True)
    with pytest.raises(mt.Cancelled):
        mt.explain_words(REPORT, xrays, cancel=lambda: True)
