"""The whole network: any subset of sequences, two resolutions."""

import pytest
import torch

from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.magpie_net import MagpieNet


@pytest.fixture
def network():
    torch.manual_seed(0)
    return MagpieNet(NetworkConfig(widths=(4, 8, 12), expert_stages=(1, 2), detail_channels=8)).eval()


def _wake(network):
    """Give the detail head, which starts at zero, something to say."""
    with torch.no_grad():
        network.detail_head.weight.normal_()


def test_logits_have_the_inputs_size_also_when_it_is_not_a_cube(network):
    output = network(torch.randn(1, 4, 16, 24, 32), network.config.sequences)
    assert output.logits.shape == (1, 3, 16, 24, 32)
    assert output.auxiliary_logits.shape == (1, 3, 8, 12, 16)
    assert len(output.routing) == 2


@pytest.mark.parametrize("kept", [(0,), (1, 3), (3, 2, 1, 0)])
def test_any_subset_in_any_order_gives_the_same_as_marking_the_rest_absent(network, kept):
    _wake(network)
    images = torch.randn(1, 4, 16, 16, 16)
    present = torch.zeros(1, 4, dtype=torch.bool)
    present[0, list(kept)] = True
    names = [network.config.sequences[index] for index in kept]
    subset = network(images[:, list(kept)], names).logits
    marked = network(images * present[:, :, None, None, None], network.config.sequences, present).logits
    torch.testing.assert_close(subset, marked, atol=1e-4, rtol=1e-4)


def test_the_detail_head_starts_silent(network):
    images = torch.randn(1, 4, 16, 16, 16)
    output = network(images, network.config.sequences)
    enlarged = torch.nn.functional.interpolate(output.auxiliary_logits, scale_factor=2, mode="trilinear")
    torch.testing.assert_close(output.logits, enlarged)


def test_the_detail_head_sees_single_voxels(network):
    _wake(network)
    images = torch.randn(1, 4, 16, 16, 16)
    changed = images.clone()
    # Moves detail inside one body voxel and leaves its mean as it was.
    changed[0, 0, 8, 8, 8] += 3
    changed[0, 0, 9, 8, 8] -= 3
    first = network(images, network.config.sequences)
    second = network(changed, network.config.sequences)
    torch.testing.assert_close(first.auxiliary_logits, second.auxiliary_logits, atol=1e-4, rtol=1e-4)
    assert (first.logits - second.logits).abs().max() > 1e-2


def test_every_parameter_receives_a_gradient(network):
    _wake(network)
    network.train()
    output = network(torch.randn(1, 4, 16, 16, 16), network.config.sequences)
    body = network.forward_body(torch.randn(1, 4, 16, 16, 16), network.config.sequences)
    loss = output.logits.square().mean() + body.auxiliary_logits.square().mean()
    loss = loss + sum(routing.balance_loss for routing in output.routing)
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
