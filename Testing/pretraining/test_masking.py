"""Masking: masked voxels have no influence, in any layer or statistic."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from magpie_core.errors import InputError, ModelError
from magpie_core.networks.build import build_network
from magpie_core.networks.config import ExpertsConfig, LargeKernelConfig, MomeConfig, MultiScaleConfig, NetworkConfig
from magpie_core.pretraining.config import PretrainingConfig
from magpie_core.pretraining.masked_autoencoder import MaskedAutoencoder
from magpie_core.pretraining.sparse_masking import SparseMasking
from magpie_core.pretraining.views import visible_blocks

UNET = NetworkConfig(
    widths=(4, 8, 8),
    encoder_blocks=(1, 2, 1),
    decoder_blocks=(1, 1),
    experts=ExpertsConfig(blocks=(0, 1, 1), experts=4, expansion=2.0),
    refinement_channels=4,
)
MEDNEXT = NetworkConfig(
    encoder="mednext",
    decoder="mednext",
    widths=(4, 8, 8),
    encoder_blocks=(1, 2, 2),
    decoder_blocks=(1, 1),
    encoder_expansion=(2, 2, 2),
    decoder_expansion=(2, 2),
    experts=ExpertsConfig(blocks=(0, 1, 1), experts=4),
    large_kernel=LargeKernelConfig(stages=(1,), kernel=3, dilation=2),
    multi_scale=MultiScaleConfig(finer_levels=(0, 1, 1), channels=8, heads=2, points=2),
    backbone_stride=1,
    deep_supervision=0,
)
CONFIG = PretrainingConfig(block_size=4, view_size=(16, 16, 16))
EVERY_ENCODER = pytest.mark.parametrize("network_config", [UNET, MEDNEXT], ids=["unet", "mednext"])
# A voxel of their coarsest stage is 4 voxels wide.
BLOCKS = pytest.mark.parametrize("edge", [4, 2], ids=["whole", "finer"])
PRESENT = torch.tensor([[True, True, True, True], [True, False, True, False]])


def _autoencoder(network_config, config=CONFIG):
    torch.manual_seed(0)
    return MaskedAutoencoder(build_network(network_config), config)


def _views(seed=1, edge=4):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    images = torch.randn(2, 4, 16, 16, 16) * PRESENT[:, :, None, None, None]
    brain = torch.ones(16, 16, 16, dtype=torch.bool)
    visible = torch.stack([visible_blocks(brain, block_size=edge, mask_ratio=0.75, rng=rng) for _ in range(2)])
    return images, visible[:, None]


def _maps(autoencoder, images, visible):
    """The encoder's maps, and the output of every block on the way."""
    passed = []
    handles = [
        block.register_forward_hook(lambda module, inputs, output: passed.append(output))
        for stage in autoencoder.network.encoder.stages
        for block in stage
    ]
    kept = []
    handles.append(
        autoencoder.network.encoder.register_forward_hook(lambda module, inputs, output: kept.extend(output[0]))
    )
    found = autoencoder(images, visible, UNET.modalities, PRESENT)
    for handle in handles:
        handle.remove()
    return kept, [part[0] if isinstance(part, tuple) else part for part in passed], found


def _at(visible, features):
    return torch.nn.functional.adaptive_max_pool3d(visible.float(), features.shape[2:]) > 0


def test_visible_blocks_masks_whole_blocks_and_leaves_some_brain():
    rng = np.random.default_rng(0)
    brain = torch.zeros(32, 32, 48, dtype=torch.bool)
    brain[:16, :16, :32] = True  # two blocks of twelve
    for _ in range(20):
        visible = visible_blocks(brain, block_size=16, mask_ratio=0.75, rng=rng)
        blocks = visible.reshape(2, 16, 2, 16, 3, 16).permute(0, 2, 4, 1, 3, 5).flatten(3)
        assert (blocks.all(dim=3) | ~blocks.any(dim=3)).all()
        assert (visible & brain).any()
    whole = visible_blocks(torch.ones(64, 64, 64).bool(), block_size=16, mask_ratio=0.75, rng=rng)
    assert whole.float().mean() == 0.25


def test_visible_blocks_refuses_a_view_that_does_not_divide_into_blocks():
    with pytest.raises(InputError, match="blocks of 16"):
        visible_blocks(torch.ones(24, 32, 32).bool(), block_size=16, mask_ratio=0.75, rng=np.random.default_rng(0))


@EVERY_ENCODER
@BLOCKS
def test_masked_voxels_never_influence_visible_ones(network_config, edge):
    autoencoder = _autoencoder(network_config)
    images, visible = _views(edge=edge)
    other = torch.where(visible, images, 100 * torch.randn_like(images) + 7)
    other[0, 0][~visible[0, 0]] = float("nan")
    with torch.no_grad():
        before, _, found = _maps(autoencoder, images, visible)
        after, _, again = _maps(autoencoder, other, visible)
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    assert torch.equal(found.embedding, again.embedding) and torch.equal(found.images, again.images)
    moved = torch.where(visible, images + 0.1, images)
    with torch.no_grad():
        assert not torch.equal(before[-1], _maps(autoencoder, moved, visible)[0][-1])


@EVERY_ENCODER
@BLOCKS
def test_masked_voxels_stay_zero_in_every_feature_map_of_the_encoder(network_config, edge):
    images, visible = _views(edge=edge)
    with torch.no_grad():
        maps, passed, _ = _maps(_autoencoder(network_config), images, visible)
        plain, *_ = _maps(_autoencoder(network_config, replace(CONFIG, sparse=False)), images, visible)
    for features in maps + passed:
        hidden = ~_at(visible, features).expand_as(features)
        assert not features[hidden].any() and features[~hidden].any()
    assert all(features[~_at(visible, features).expand_as(features)].any() for features in plain)


@EVERY_ENCODER
def test_without_a_mask_the_encoder_is_the_dense_one(network_config):
    autoencoder = _autoencoder(network_config)
    images, visible = _views()
    everything = torch.ones_like(visible)
    with torch.no_grad():
        sparse, *_ = _maps(autoencoder, images, everything)
        autoencoder.sparse_masking.visible = None
        features = autoencoder.network.embed(images, UNET.modalities, PRESENT)
        ordinary, _ = autoencoder.network.encoder(features, everything.float())
    for one, two in zip(sparse, ordinary, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", [nn.InstanceNorm3d(3, affine=True), nn.GroupNorm(3, 3)], ids=type)
def test_norm_statistics_are_those_of_visible_voxels(norm):
    torch.manual_seed(0)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    features = 3 * torch.randn(2, 3, 4, 4, 4) + 5
    seen = torch.rand(2, 1, 4, 4, 4) < 0.3
    masking = SparseMasking(norm)
    masking.visible = seen.float()
    normed = norm(features * seen).detach().numpy()
    for sample in range(2):
        mask = seen[sample, 0].numpy()
        for channel in range(3):
            values = features[sample, channel].numpy()[mask].astype(np.float64)
            scaled = (values - values.mean()) / np.sqrt(values.var() + norm.eps)
            by_hand = scaled * norm.weight[channel].item() + norm.bias[channel].item()
            np.testing.assert_allclose(normed[sample, channel][mask], by_hand, rtol=1e-4, atol=1e-5)
            assert not normed[sample, channel][~mask].any()


@EVERY_ENCODER
def test_routing_losses_are_over_visible_brain_alone(network_config):
    autoencoder = _autoencoder(network_config)
    images, visible = _views()
    images[:, :, :8] = 0  # air
    found = autoencoder(images, visible, UNET.modalities, PRESENT)
    valid = visible & (images != 0).any(dim=1, keepdim=True)
    for routing in found.routing:
        edge = round((2 * 16**3 / len(routing.weight)) ** (1 / 3))
        tokens = torch.nn.functional.max_pool3d(valid.float(), edge).flatten() > 0
        assert torch.equal(routing.weight > 0, tokens)
        load = torch.bincount(routing.chosen[tokens].flatten(), minlength=4) / (2 * tokens.sum())
        torch.testing.assert_close(routing.load, load)


@EVERY_ENCODER
def test_mask_tokens_fill_masked_voxels_and_all_parameters_get_gradients(network_config):
    autoencoder = _autoencoder(network_config)
    images, visible = _views()
    found = autoencoder(images, visible, UNET.modalities, PRESENT)
    (found.images.square().mean() + found.embedding.square().mean()).backward()
    network = autoencoder.network
    for part in (network.stem, network.encoder, network.decoder, autoencoder.tokens, autoencoder.projection):
        assert all(
            parameter.grad is not None for name, parameter in part.named_parameters() if "importance" not in name
        )
    assert all(token.grad.any() for token in autoencoder.tokens)
    assert all(parameter.grad is None for parameter in network.heads.parameters())


def test_light_decoder_uses_the_bottleneck_alone():
    config = replace(CONFIG, sparse=False, light_decoder=True)
    autoencoder = _autoencoder(UNET, config)
    images, visible = _views()
    found = autoencoder(images, visible, UNET.modalities, PRESENT)
    assert found.images.shape == images.shape
    found.images.square().mean().backward()
    assert all(parameter.grad is None for parameter in autoencoder.network.decoder.parameters())
    assert autoencoder.network.encoder.stages[0][0].layers[0].weight.grad.any()


def test_autoencoder_refuses_unsuitable_views_and_networks():
    with pytest.raises(InputError, match="coarsest stage"):
        _autoencoder(UNET, replace(CONFIG, view_size=(16, 16, 18)))
    with pytest.raises(ModelError, match="one by one"):
        _autoencoder(MomeConfig(UNET))
