"""What depends on what: every part of a network changes its output, and every parameter is trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES
from magpie_core.networks.config import ExpertsConfig, MomeConfig
from magpie_core.networks.magpie_net import MagpieNet
from magpie_core.networks.mome_net import MomeNet

BACKBONES = ("unet", "mednext", "amaes")


def _randomized(network: nn.Module) -> nn.Module:
    """Give parameters that start at zero, or nearly so, values that let their part count."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("gamma"):
                parameter.fill_(0.7)
            elif parameter.ndim > 1 and float(parameter.abs().max()) == 0:
                parameter.normal_(std=0.2)
    return network


@pytest.fixture(params=BACKBONES)
def network(request, small_config):
    """A network with every part, in no special state."""
    torch.manual_seed(0)
    experts = ExpertsConfig(blocks=(0, 1, 1), experts=4, expansion=2.0, decoder_blocks=(1, 0))
    return _randomized(MagpieNet(small_config(request.param, experts=experts)))


def _parts(network: nn.Module) -> dict[str, nn.Module]:
    """Every module that computes something in a forward pass: not lists of modules, nor what only holds weights."""
    called = {}

    def note(name):
        def hook(module, arguments, output):
            called[name] = module

        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in network.named_modules() if name]
    network(torch.randn(1, 4, 16, 16, 24), GLIOMA_MODALITY_NAMES)
    for hook in hooks:
        hook.remove()
    return called


def _disturb(module, arguments, output):
    def moved(value):
        return value + 0.5 * torch.randn_like(value) if isinstance(value, torch.Tensor) else value

    if isinstance(output, tuple | list):
        first, *rest = output
        changed = [moved(part) for part in first] if isinstance(first, list) else moved(first)
        return type(output)([changed, *rest])
    return moved(output)


def test_every_part_changes_the_logits(network):
    network.eval()
    images = torch.randn(1, 4, 16, 16, 24)
    with torch.inference_mode():
        before = network(images, GLIOMA_MODALITY_NAMES).logits
        for name, part in _parts(network).items():
            if name == "heads.1":  # deep supervision's
                continue
            torch.manual_seed(1)
            hook = part.register_forward_hook(_disturb)
            after = network(images, GLIOMA_MODALITY_NAMES).logits
            hook.remove()
            assert (after - before).abs().max() > 1e-5, name
        torch.testing.assert_close(network(images, GLIOMA_MODALITY_NAMES).logits, before)


def test_every_parameter_is_trained(network):
    network.train()
    output = network(torch.randn(2, 4, 16, 16, 24), GLIOMA_MODALITY_NAMES)
    loss = output.logits.square().mean() + sum(deep.square().mean() for deep in output.deep_logits)
    (loss + sum(decision.balance_loss for decision in output.routing)).backward()
    untrained = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert not [name for name in untrained if not _shifts_what_is_normalized(name)]


def _shifts_what_is_normalized(name: str) -> bool:
    """A bias before an instance normalization has no effect, and so no gradient."""
    return name.endswith("bias")


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_modality_matters_at_every_voxel(small_config, backbone):
    torch.manual_seed(0)
    network = _randomized(MagpieNet(small_config(backbone))).eval()
    images = torch.randn(1, 4, 16, 16, 24)
    with torch.inference_mode():
        before = network(images, GLIOMA_MODALITY_NAMES).logits
        for index in range(4):
            changed = images.clone()
            changed[0, index, 3, 9, 20] += 5
            difference = (network(changed, GLIOMA_MODALITY_NAMES).logits - before).abs()[0].amax(dim=0)
            assert difference[3, 9, 20] > 1e-3
            assert difference[3, 9, 20] > 3 * difference.median()


@pytest.fixture
def mixture(small_config):
    torch.manual_seed(0)
    network = MomeNet(MomeConfig(small_config(magpie=False))).eval()
    with torch.no_grad():
        for head in network.gate_heads:
            head.weight.normal_()
    return network


def _gate(network: MomeNet, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(images, GLIOMA_MODALITY_NAMES).gate


def test_gate_depends_on_the_images(mixture):
    images, others = torch.randn(2, 1, 4, 16, 16, 24)
    features = torch.randn(1, 4, 8, 8, 12)
    for expert in mixture.experts.values():  # all experts see the same, whatever the image
        expert.register_forward_hook(
            lambda module, arguments, output: type(output)(
                torch.zeros_like(output.logits),
                tuple(map(torch.zeros_like, output.deep_logits)),
                encoder_features=features,
            )
        )
    assert (_gate(mixture, images) - _gate(mixture, others)).abs().max() > 1e-3


def test_gate_depends_on_the_features_of_every_expert(mixture):
    images = torch.randn(1, 4, 16, 16, 24)
    before = _gate(mixture, images)
    for expert in mixture.experts.values():
        hook = expert.encoder.register_forward_hook(_disturb)
        moved = _gate(mixture, images)
        hook.remove()
        assert (moved - before).abs().max() > 1e-3
