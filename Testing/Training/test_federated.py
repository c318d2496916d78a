"""Three hospitals in Flower's own simulation: together they beat each of them alone, and no name leaves them."""

import json

import pytest
import torch

import MRITranslateLib as mt
from MRITranslateLib.errors import InputError
from Training import pix2pix
from Training.config.federated import FederatedConfig
from Training.config.load import load_config
from Training.config.pix2pix import Pix2PixConfig
from Training.validation import validate

flwr = pytest.importorskip("flwr", reason="Flower is an optional extra")
pytest.importorskip("ray", reason="Flower simulates with Ray")

HEADS = [["phantom-11"], ["phantom-12"], ["phantom-13"]]
JUDGES = ["phantom-21", "phantom-22"]


@pytest.fixture
def file(tmp_path):
    """Each hospital has one head of its own contrast and anatomy; the common judges are heads that nobody has."""
    file = tmp_path / "federated.yaml"
    shape = f"phantom_shape: [8, 64, 64], cache: {tmp_path / 'cache'}"
    hospitals = "\n".join(f"  - {{train: {heads}, {shape}}}" for heads in HEADS)
    file.write_text(
        f"""
package:
  name: federated_tiny
  title: Tiny
  source: T1
  target: T2
  intended_use: Tests of the software.
  data: Digital heads.
  licence: {{weights: Apache-2.0, data: Apache-2.0}}
data: {{train: [], validation: {JUDGES}, test: [phantom-23], {shape}}}
hospitals:
{hospitals}
rounds: 4
epochs: 24
grid: {{spacing_mm: [3.0, 3.0], context: 1, size_multiple: 8}}
intensity:
  source: {{name: foreground_median}}
  target: {{name: foreground_percentile}}
network:
  name: pix2pix_unet
  parameters: {{in_channels: 1, channels: [8, 16, 16], head: 8, norm: none, output: linear}}
discriminator: {{name: patchgan, parameters: {{in_channels: 2, width: 4, layers: 1}}}}
loss: {{adversarial: 0.001}}
steps_per_epoch: 15
batch_size: 4
crop: 64
learning_rate: 0.004
warm_up_steps: 5
ema: 0.95
precision: 32-true
accelerator: cpu
threads: 1
output: {tmp_path / "run"}
""",
        encoding="utf-8",
    )
    return file


def alone(config: FederatedConfig, number: int, judges) -> float:
    """One hospital with the same recipe, the same steps and its own data only."""
    recipe = config.model_dump(include=set(Pix2PixConfig.model_fields))
    output = config.output.parent / f"alone-{number}"
    recipe |= {"data": config.hospitals[number].model_dump(), "output": output, "validate_every": 24}
    run = pix2pix.setup(Pix2PixConfig.model_validate(recipe))
    pix2pix.fit(run)
    return validate(run.session.exportable("generator"), judges, run.card, torch.device("cpu"))[0]["psnr"]


@pytest.mark.timeout(600)
def test_three_hospitals_together_beat_each_alone(file, monkeypatch):
    from Training import federated

    config = load_config(FederatedConfig, file)
    run = federated.setup(config)
    federated.fit(run)
    (folder,) = federated.export(run)
    judges = run.validation
    generator = mt.load_package(folder).generator()
    together = validate(generator, judges, run.card, torch.device("cpu"))[0]["psnr"]
    scores = [alone(config, number, judges) for number in range(3)]
    assert together > max(scores), (together, scores)

    # Only what the card needs left the hospitals, and their names stayed.
    card = mt.load_package(folder).card
    assert card.training.subjects == ["hospital 1", "hospital 2", "hospital 3"]
    assert card.training.steps == 360
    assert card.domain.spacing_mm[0][1] >= card.domain.spacing_mm[0][0] > 0
    assert "phantom-1" not in (config.output / "hospitals.json").read_text(encoding="utf-8")
    assert len(json.loads((config.output / "hospitals.json").read_text(encoding="utf-8"))) == 3


def test_mistakes_are_named_before_anything_starts(file):
    from Training import federated

    with pytest.raises(InputError, match="multiple of rounds"):
        load_config(FederatedConfig, file, ["--rounds", "5"])
    with pytest.raises(InputError, match=r"leave data\.train empty"):
        federated.setup(load_config(FederatedConfig, file, ["--data.train", "[phantom-1]"]))
    with pytest.raises(InputError, match=r"data\.validation"):
        federated.setup(load_config(FederatedConfig, file, ["--data.validation", "[]"]))
    with pytest.raises(InputError, match="two hospitals or more"):
        federated.fit(federated.setup(load_config(FederatedConfig, file, ["--hospitals", "[]"])))


def test_a_real_hospital_brings_its_own_data_and_folder(file, tmp_path):
    from flwr.app import Context, RecordDict

    from Training import federated

    own = tmp_path / "hospital.yaml"
    own.write_text(f"data: {{root: {tmp_path}, train: [ours]}}\noutput: {tmp_path / 'ours'}\naccelerator: cpu\n")
    context = Context(1, 2, {"config": str(own)}, RecordDict(), {})
    server = load_config(FederatedConfig, file, ["--init", "somewhere"])
    config = federated.hospital_config(server.model_dump_json(), context)
    assert config.data.train == ["ours"]
    assert config.output == tmp_path / "ours"
    assert config.init is None  # a server names no files of a hospital
    assert (config.learning_rate, config.validate_every) == (0.004, 6)


def test_weights_that_do_not_fit_are_refused(file):
    from Training import federated

    one, other = torch.nn.Linear(2, 1), torch.nn.Linear(3, 1)
    with pytest.raises(InputError, match="not those of this configuration"):
        federated._load({"generator": other}, federated._arrays({"generator": one}))
    with torch.no_grad():
        one.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="not those of this configuration"):
        federated._load({"generator": torch.nn.Linear(2, 1)}, federated._arrays({"generator": one}))
