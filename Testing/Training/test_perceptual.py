"""The perceptual loss: 0 for equal images, falls when descended, leaves its network alone."""

import pytest
import torch
from safetensors.torch import save_file

from MRITranslateLib import networks
from MRITranslateLib.card import NetworkCard
from MRITranslateLib.errors import InputError, PackageError
from Training.perceptual import PerceptualLoss, load_feature_network

CARD = NetworkCard(name="resnet_classifier", parameters={"channels": [8, 8, 16]})


@pytest.fixture
def loss() -> PerceptualLoss:
    torch.manual_seed(0)
    return PerceptualLoss(networks.build(CARD.name, CARD.parameters))


def test_equal_images_have_no_distance_and_different_ones_a_bounded_one(loss):
    one, other = torch.rand(2, 2, 1, 48, 40) * 2 - 1
    assert loss(one, one) == 0
    assert 0 < loss(one, other) < 2
    assert loss(one, other).dtype == torch.float32


def test_descending_it_brings_an_image_to_its_target(loss):
    rows = torch.linspace(-1, 1, 32)
    target = (rows[:, None] * rows[None] > 0.1).float()[None, None] * 2 - 1
    image = (0.1 * torch.randn_like(target)).requires_grad_()
    optimizer = torch.optim.Adam([image], lr=0.05)
    losses = []
    for _ in range(60):
        losses.append(loss(image, target))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]
    assert (image.detach() - target).square().mean() < target.square().mean()


def test_blur_counts_more_than_a_change_of_brightness(loss):
    """What distinguishes it from L1, which asks the opposite here."""
    target = (torch.rand(1, 1, 64, 64) > 0.5).float() - 0.5
    blurred = torch.nn.functional.avg_pool2d(target, 3, 1, 1)
    darker = 0.5 * target
    assert (darker - target).abs().mean() > 0.5 * (blurred - target).abs().mean()
    assert loss(blurred, target) > 2 * loss(darker, target)


def test_the_network_stays_frozen_and_without_batch_statistics(loss):
    before = {key: value.clone() for key, value in loss.state_dict().items()}
    image = torch.randn(2, 1, 32, 32, requires_grad=True)
    loss.train()
    loss(image, torch.randn(2, 1, 32, 32)).backward()
    assert image.grad is not None
    assert all(parameter.grad is None for parameter in loss.parameters())
    assert all(value.equal(before[key]) for key, value in loss.state_dict().items())


def test_volumes_are_compared_slice_by_slice(loss):
    one, other = torch.randn(2, 2, 1, 3, 32, 32)
    slices = torch.stack([loss(one[:, :, number], other[:, :, number]) for number in range(3)])
    torch.testing.assert_close(loss(one, other), slices.mean())


def test_black_images_have_a_finite_gradient(loss):
    image = torch.full((1, 1, 32, 32), -1.0, requires_grad=True)
    loss(image, torch.randn(1, 1, 32, 32)).backward()
    assert torch.isfinite(image.grad).all()


def test_features_from_a_file(tmp_path):
    network = networks.build(CARD.name, CARD.parameters)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    loaded = load_feature_network(tmp_path / "weights.safetensors", CARD)
    picture = torch.randn(1, 1, 32, 32)
    torch.testing.assert_close(loaded(picture), network.eval()(picture))
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_what_cannot_give_features(tmp_path, loss):
    file = tmp_path / "weights.safetensors"
    with pytest.raises(InputError, match="Say which network"):
        load_feature_network(file)
    with pytest.raises(InputError, match="cannot be read"):
        load_feature_network(file, CARD)
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read"):
        load_feature_network(file, CARD)
    save_file({"weight": torch.zeros(2)}, file)
    with pytest.raises(InputError, match="not those of a resnet_classifier"):
        load_feature_network(file, CARD)
    with pytest.raises(InputError, match="gives no features"):
        load_feature_network(file, NetworkCard(name="resnet9", parameters={"width": 4}))
    with pytest.raises(PackageError, match="choose a classification model"):
        load_feature_network("t1_to_ct")
    with pytest.raises(InputError, match="32 pixels or more"):
        loss(torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16))
