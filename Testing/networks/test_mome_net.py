"""MomeNet: an expert per modality, the gate, and the curriculum."""

import pytest
import torch

from magpie_core.errors import ModelError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES
from magpie_core.networks.config import MomeConfig
from magpie_core.networks.mome_net import MomeNet
from magpie_core.training.losses import curriculum_loss, region_loss


@pytest.fixture(params=[("study", "regions"), ("image", "regions"), ("study", "tissues"), ("image", "tissues")])
def network(request, small_config):
    torch.manual_seed(0)
    mode, output = request.param
    network = MomeNet(MomeConfig(small_config(magpie=False, output=output), mode=mode)).eval()
    with torch.no_grad():
        for expert in network.experts.values():
            expert.refinement_head.head.weight.normal_()
    return network


def test_mome_has_the_interface_of_the_other_networks(network):
    images = torch.randn(2, 4, 16, 16, 24)
    output = network(images, GLIOMA_MODALITY_NAMES)
    assert output.logits.shape == (2, 3, 16, 16, 24)
    assert [deep.shape[2] for deep in output.deep_logits] == [8, 4]
    coarse = network(images[..., :16], GLIOMA_MODALITY_NAMES, at_backbone_resolution=True)
    assert coarse.logits.shape == (2, 3, 16, 16, 16)
    with pytest.raises(ModelError, match="DWI"):
        network(images[:, :1], ["DWI"])
    with pytest.raises(ModelError, match="multiples"):
        network(images[..., :-1], GLIOMA_MODALITY_NAMES)


@pytest.mark.parametrize("kept", [(0,), (1, 3), (3, 2, 1, 0)])
def test_mome_gives_the_same_for_a_subset_of_modalities_as_for_marked_absent_ones(network, kept):
    images = torch.randn(1, 4, 16, 16, 16)
    present = torch.zeros(1, 4, dtype=torch.bool)
    present[0, list(kept)] = True
    images = images * present[:, :, None, None, None]
    subset = network(images[:, list(kept)], [GLIOMA_MODALITY_NAMES[index] for index in kept]).logits
    torch.testing.assert_close(subset, network(images, GLIOMA_MODALITY_NAMES, present).logits, atol=1e-4, rtol=1e-4)


def test_gate_weights_sum_to_one_and_are_zero_for_absent_experts(small_config):
    network = MomeNet(MomeConfig(small_config(magpie=False))).eval()
    weights = network(torch.randn(1, 2, 16, 16, 16), ["FLAIR", "T1"]).gate
    assert weights.shape == (1, 4, 16, 16, 16)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(1, 16, 16, 16))
    assert (weights[:, 1:3] == 0).all() and (weights[:, [0, 3]] > 0).all()


def test_joint_logits_are_the_experts_weighted_by_the_gate(small_config):
    torch.manual_seed(0)
    network = MomeNet(MomeConfig(small_config(magpie=False))).eval()
    images = torch.randn(1, 4, 16, 16, 16)
    output = network(images, GLIOMA_MODALITY_NAMES)
    apart = [network.experts[name](images[:, i : i + 1], [name]).logits for i, name in enumerate(GLIOMA_MODALITY_NAMES)]
    expected = sum(output.gate[:, i, None] * logits for i, logits in enumerate(apart))
    torch.testing.assert_close(output.logits, expected)
    for own, logits in zip(output.expert_outputs, apart, strict=True):
        torch.testing.assert_close(own.logits, logits)


def test_softmaxes_of_experts_are_joined_before_they_become_regions(small_config):
    torch.manual_seed(0)
    network = MomeNet(MomeConfig(small_config(magpie=False, output="tissues"))).eval()
    images = torch.randn(1, 4, 16, 16, 16)
    output = network(images, GLIOMA_MODALITY_NAMES)
    levels = [expert.tissue_logits[0] for expert in output.expert_outputs]
    expected = sum(output.gate[:, i, None] * logits for i, logits in enumerate(levels))
    torch.testing.assert_close(output.tissue_logits[0], expected)
    inside = expected.softmax(dim=1)
    torch.testing.assert_close(output.logits.sigmoid()[:, 2], 1 - inside[:, 0])
    assert (output.logits[:, 0] <= output.logits[:, 1]).all() and (output.logits[:, 1] <= output.logits[:, 2]).all()


def test_gate_selects_an_expert(small_config):
    torch.manual_seed(0)
    network = MomeNet(MomeConfig(small_config(magpie=False))).eval()
    images = torch.randn(1, 4, 16, 16, 16)
    balanced = network(images, GLIOMA_MODALITY_NAMES).logits
    with torch.no_grad():
        for head in network.gate_heads:
            head.weight.zero_()
            head.bias.copy_(torch.tensor([0.0, 50.0, 0.0, 0.0]))
    decided = network(images, GLIOMA_MODALITY_NAMES)
    torch.testing.assert_close(decided.logits, decided.expert_outputs[1].logits)
    assert (balanced - decided.logits).abs().max() > 1e-4


def test_image_mode_runs_every_expert_on_every_image(small_config):
    torch.manual_seed(0)
    network = MomeNet(MomeConfig(small_config(magpie=False), mode="image")).eval()
    image = torch.randn(1, 1, 16, 16, 16)
    output = network(image, ["T2"])
    assert (output.gate > 0).all()
    assert len(output.expert_outputs) == 1
    expected = sum(
        output.gate[:, i, None] * network.experts[name](image, [name]).logits
        for i, name in enumerate(GLIOMA_MODALITY_NAMES)
    )
    torch.testing.assert_close(output.logits, expected)
    torch.testing.assert_close(output.expert_outputs[0].logits, network.experts["T2"](image, ["T2"]).logits)


def test_mome_has_a_gradient_for_every_parameter(network):
    network.train()
    output = network(torch.randn(1, 4, 16, 16, 16), GLIOMA_MODALITY_NAMES)
    (output.logits.square().mean() + sum(deep.square().mean() for deep in output.deep_logits)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_curriculum_loss_goes_from_the_experts_to_the_joint_result(network):
    output = network(torch.randn(1, 4, 16, 16, 16), GLIOMA_MODALITY_NAMES)
    targets = (torch.rand(1, 3, 16, 16, 16) > 0.8).float()
    joint = region_loss(output, targets).loss
    own = torch.stack([region_loss(expert, targets).loss for expert in output.expert_outputs]).mean()
    assert curriculum_loss(output, targets, 0.0).loss.item() == pytest.approx(own.item())
    assert curriculum_loss(output, targets, 1.0).loss.item() == pytest.approx(joint.item())
    half = curriculum_loss(output, targets, 0.5).loss.item()
    assert half == pytest.approx(0.25 * own.item() + 0.75 * joint.item())
