"""MONAI bundles: MONAI's own tools load what is exported, and it answers as the package does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import monai.bundle
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, verify_metadata, verify_net_in_out

from MRITranslateLib.bundle import export_bundle
from MRITranslateLib.errors import InputError
from MRITranslateLib.package import load_package
from MRITranslateLib.phantom import phantom
from MRITranslateLib.translate import translate
from MRITranslateLib.volume import read_volume, write_volume

from .packages import CARD, tiny_package, tiny_package_3d

TENSOR = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "format": {"type": "string"},
        "modality": {"type": "string"},
        "num_channels": {"type": "integer", "minimum": 1},
        "spatial_shape": {"type": "array", "items": {"type": ["integer", "string"]}},
        "dtype": {"type": "string"},
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
TENSOR["required"] = list(TENSOR["properties"])
TEXTS = ("schema", "version", "monai_version", "pytorch_version", "numpy_version", "task", "description", "authors")
SPECIFIED = {
    "type": "object",
    "properties": {
        **{name: {"type": "string", "minLength": 1} for name in (*TEXTS, "copyright", "intended_use", "data_source")},
        "required_packages_version": {"type": "object", "additionalProperties": {"type": "string"}},
        "changelog": {"type": "object", "additionalProperties": {"type": "string"}},
        "network_data_format": {
            "type": "object",
            "properties": {
                "inputs": {"type": "object", "properties": {"image": TENSOR}, "required": ["image"]},
                "outputs": {"type": "object", "properties": {"pred": TENSOR}, "required": ["pred"]},
            },
            "required": ["inputs", "outputs"],
        },
    },
    "required": [*TEXTS, "copyright", "required_packages_version", "network_data_format"],
}
"""The keys that MONAI's bundle specification makes mandatory, and their types; MONAI's own schema lies on a server."""
KINDS = {
    "2-D": {},
    "2.5-D": {
        "grid": {**CARD["grid"], "context": 3},
        "network": {"name": "pix2pix_unet", "parameters": {"in_channels": 3, "channels": [4, 8], "norm": "batch"}},
        "discriminator": None,
    },
}


@pytest.fixture(params=[*KINDS, "3-D"])
def package(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    write = tiny_package_3d if request.param == "3-D" else tiny_package
    return load_package(write(tmp_path / "tiny", **KINDS.get(request.param, {})))


def configs(bundle: Path) -> dict[str, str]:
    return {name: str(bundle / "configs" / f"{name}.json") for name in ("inference", "metadata")}


def test_monai_loads_the_network_and_it_answers_bit_for_bit(package: Any, tmp_path: Path) -> None:
    bundle = export_bundle(package, tmp_path / "bundles" / "my_bundle")
    network = monai.bundle.load("my_bundle", bundle_dir=bundle.parent, workflow_type="inference", device="cpu").eval()
    grid = package.card.grid
    batch = torch.randn(2, grid.context, *(grid.patch or (48, 32)))
    with torch.inference_mode():
        assert torch.equal(network(batch), package.generator()(batch))
    weights = torch.load(bundle / "models" / "model.pt", weights_only=True)
    network.load_state_dict(weights, strict=True)


def test_the_metadata_are_as_specified_and_true(package: Any, tmp_path: Path) -> None:
    bundle = export_bundle(package, tmp_path / "bundle")
    paths = configs(bundle)
    metadata = json.loads(Path(paths["metadata"]).read_text(encoding="utf-8"))
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SPECIFIED))
    verify_metadata(paths["metadata"], filepath=schema)  # a schema that is there already is not downloaded
    Path(paths["metadata"]).write_text(json.dumps({**metadata, "authors": 3}))
    with pytest.raises(ValueError, match="Failed validating"):
        verify_metadata(paths["metadata"], filepath=schema)
    Path(paths["metadata"]).write_text(json.dumps(metadata))
    assert metadata["version"] == package.card.version
    assert metadata["eval_metrics"] == {"score_phantom_psnr": 23.456}
    # Channels, types and shapes as the network has them:
    for n in (1, 3):
        verify_net_in_out("network_def", paths["metadata"], paths["inference"], device="cpu", n=n)
    wrong = {"_meta_#network_data_format#outputs#pred#num_channels": 2}
    with pytest.raises(ValueError, match="channel number"):
        verify_net_in_out("network_def", paths["metadata"], paths["inference"], device="cpu", **wrong)
    assert sorted(str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()) == [
        "LICENSE",
        "configs/inference.json",
        "configs/metadata.json",
        "configs/model.json",
        "docs/README.md",
        "models/model.pt",
    ]


def test_the_workflow_translates_files_as_the_engine_does(package: Any, tmp_path: Path) -> None:
    bundle = export_bundle(package, tmp_path / "bundle")
    scans = tmp_path / "scans"
    scans.mkdir()
    head = phantom(shape=(6, 40, 36)).t1
    write_volume(head, scans / "head.nii.gz")
    workflow = ConfigWorkflow(
        config_file=configs(bundle)["inference"],
        workflow_type="inference",
        bundle_root=str(bundle),
        dataset_dir=str(scans),
        output_dir=str(tmp_path / "out"),
        device="$torch.device('cpu')",
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    ((written,),) = workflow.run()
    assert written == tmp_path / "out" / "head.nii.gz"
    expected = translate(read_volume(scans / "head.nii.gz"), package, device="cpu").image
    made = read_volume(written)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(made), sitk.GetArrayFromImage(expected))
    assert made.GetOrigin() == pytest.approx(expected.GetOrigin())


def test_a_workflow_without_scans_or_onto_the_scans_says_so(tmp_path: Path) -> None:
    bundle = export_bundle(load_package(tiny_package(tmp_path / "tiny")), tmp_path / "bundle")
    scans = tmp_path / "scans"
    scans.mkdir()
    for words in ("There is no volume to translate", "is an input"):
        workflow = ConfigWorkflow(
            configs(bundle)["inference"],
            workflow_type="inference",
            bundle_root=str(bundle),
            dataset_dir=str(scans),
            output_dir=str(scans),
        )
        workflow.initialize()
        with pytest.raises(RuntimeError) as caught:  # MONAI's, around ours
            workflow.run()
        assert words in str(caught.value.__cause__)
        write_volume(phantom(shape=(4, 16, 16)).t1, scans / "head.nii.gz")


def test_nothing_a_card_says_is_evaluated(tmp_path: Path) -> None:
    """MONAI evaluates texts with certain first signs; a hostile card must not speak through an exported bundle."""
    evil = f"$__import__('pathlib').Path({str(tmp_path / 'pwned')!r}).touch()"
    score = {"family": evil, "subjects": [], "protocol": evil, "metrics": {"_target_": 1.0, "a#b::c": 2.0}}
    hostile: dict[str, Any] = {
        "title": evil[:120],
        "licence": {"weights": evil, "data": "@device"},
        "training": {**CARD["training"], "data": evil, "loss": evil},
        "scores": [score, {**score, "family": "_target"}],
        "intended_use": evil,
        "limits": [evil, "%/etc/passwd", "@bundle_root"],
    }
    bundle = export_bundle(load_package(tiny_package(tmp_path / "tiny", **hostile)), tmp_path / "bundle")
    parser = ConfigParser()
    parser.read_config(configs(bundle)["inference"])
    parser.read_meta(configs(bundle)["metadata"])
    parser.parse()
    for name in parser["_meta_"]:
        parsed = parser.get_parsed_content(f"_meta_#{name}")
        assert parsed == parser["_meta_"][name]
    assert evil in parser.get_parsed_content("_meta_#intended_use")
    assert not (tmp_path / "pwned").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    package = load_package(tiny_package(tmp_path / "tiny"))
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "photo.jpg").write_text("mine")
    for place in (tmp_path / "holiday", tmp_path / "holiday" / "photo.jpg"):
        with pytest.raises(InputError, match="not empty"):
            export_bundle(package, place)
    assert (tmp_path / "holiday" / "photo.jpg").read_text(encoding="utf-8") == "mine"
    (tmp_path / "empty").mkdir()
    assert export_bundle(package, tmp_path / "empty") == tmp_path / "empty"


def test_half_a_bundle_is_never_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = load_package(tiny_package(tmp_path / "tiny"))

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(InputError, match="No space left"):
        export_bundle(package, tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_only_translations_become_bundles(tmp_path: Path) -> None:
    package = load_package(tiny_package(tmp_path / "noise", task="generation"))
    with pytest.raises(InputError, match="choose a translation model"):
        export_bundle(package, tmp_path / "bundle")


def test_the_command(tmp_path: Path) -> None:
    tiny_package(tmp_path / "tiny")
    command = [sys.executable, "-m", "MRITranslateLib.cli", "models", "export", str(tmp_path / "tiny")]
    command += ["--monai-bundle", str(tmp_path / "bundle"), "--json"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"model": "tiny", "bundle": str(tmp_path / "bundle")}
    again = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert again.returncode == 2
    assert again.stderr.startswith("Error: ")
    assert "not empty" in again.stderr
