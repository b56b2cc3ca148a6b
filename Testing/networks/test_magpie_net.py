"""MagpieNet: any subset of modalities, two resolutions, every backbone and every switch."""

from dataclasses import replace

import pytest
import torch
from monai.networks.nets import MedNeXt
from safetensors.torch import load_file, save_file

from magpie_core.errors import ModelError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES
from magpie_core.networks.build import extend_network
from magpie_core.networks.config import ExpertsConfig
from magpie_core.networks.device import Device, choose_precision
from magpie_core.networks.magpie_net import MagpieNet


@pytest.fixture
def network(small_config):
    torch.manual_seed(0)
    return MagpieNet(small_config()).eval()


def _randomize_head(network):
    """Randomize the refinement head's last layer, which starts at zero."""
    with torch.no_grad():
        network.refinement_head.head.weight.normal_()


def test_logits_have_the_size_of_images_that_are_not_cubes(network):
    output = network(torch.randn(1, 4, 16, 24, 32), GLIOMA_MODALITY_NAMES)
    assert output.logits.shape == (1, 3, 16, 24, 32)
    assert [logits.shape for logits in output.deep_logits] == [(1, 3, 8, 12, 16), (1, 3, 4, 6, 8)]
    assert len(output.routing) == 2


def test_refinement_head_is_not_used_at_the_backbones_resolution(network):
    _randomize_head(network)
    images = torch.randn(1, 4, 16, 16, 16)
    halved = torch.nn.functional.avg_pool3d(images, 2)
    coarse = network(images, GLIOMA_MODALITY_NAMES).deep_logits[0]
    torch.testing.assert_close(network(halved, GLIOMA_MODALITY_NAMES, at_backbone_resolution=True).logits, coarse)


@pytest.mark.parametrize("kept", [(0,), (1, 3), (3, 2, 1, 0)])
def test_network_gives_the_same_for_a_subset_of_modalities_as_for_marked_absent_ones(network, kept):
    _randomize_head(network)
    images = torch.randn(1, 4, 16, 16, 16)
    present = torch.zeros(1, 4, dtype=torch.bool)
    present[0, list(kept)] = True
    subset = network(images[:, list(kept)], [GLIOMA_MODALITY_NAMES[index] for index in kept]).logits
    marked = network(images * present[:, :, None, None, None], GLIOMA_MODALITY_NAMES, present).logits
    torch.testing.assert_close(subset, marked, atol=1e-4, rtol=1e-4)


def test_fixed_stem_treats_an_absent_modality_as_zero(small_config):
    torch.manual_seed(0)
    network = MagpieNet(small_config(magpie=False)).eval()
    images = torch.randn(1, 4, 16, 16, 16)
    zeroed = images.clone()
    zeroed[:, 1] = 0
    expected = network(zeroed, GLIOMA_MODALITY_NAMES).logits
    torch.testing.assert_close(network(images[:, [3, 0, 2]], ["FLAIR", "T1", "T2"]).logits, expected)
    present = torch.tensor([[True, False, True, True]])
    torch.testing.assert_close(network(images, GLIOMA_MODALITY_NAMES, present).logits, expected)


def test_refinement_head_starts_at_zero(network):
    output = network(torch.randn(1, 4, 16, 16, 16), GLIOMA_MODALITY_NAMES)
    upsampled = torch.nn.functional.interpolate(output.deep_logits[0], scale_factor=2, mode="trilinear")
    torch.testing.assert_close(output.logits, upsampled)


def test_refinement_head_resolves_single_voxels(network):
    _randomize_head(network)
    images = torch.randn(1, 4, 16, 16, 16)
    changed = images.clone()
    # Changes sub-voxels of one voxel of the backbone, but not their mean.
    changed[0, 0, 8, 8, 8] += 3
    changed[0, 0, 9, 8, 8] -= 3
    first, second = network(images, GLIOMA_MODALITY_NAMES), network(changed, GLIOMA_MODALITY_NAMES)
    torch.testing.assert_close(first.deep_logits[0], second.deep_logits[0], atol=1e-4, rtol=1e-4)
    assert (first.logits - second.logits).abs().max() > 1e-2


SWITCHES = {
    "all": {},
    "no experts": {"experts": None},
    "no large kernel": {"large_kernel": None},
    "no multi-scale": {"multi_scale": None},
    "neither attention": {"large_kernel": None, "multi_scale": None},
    "fixed channels": {"channel_agnostic": False},
    "dense": {"experts": ExpertsConfig(blocks=(0, 1, 1), experts=4, experts_per_token=4, expansion=1.0)},
    "one of sixteen": {"experts": ExpertsConfig(blocks=(0, 0, 1), experts=16, experts_per_token=1, expansion=1.0)},
    "three of 32": {"experts": ExpertsConfig(blocks=(0, 0, 1), experts=32, experts_per_token=3, expansion=1.0)},
    "not renormalized": {"experts": ExpertsConfig(blocks=(0, 1, 0), experts=4, expansion=1.0, renormalize=False)},
    "experts in the decoder": {
        "experts": ExpertsConfig(blocks=(0, 1, 0), experts=4, expansion=1.0, decoder_blocks=(1, 2))
    },
    "experts in the decoder alone": {
        "experts": ExpertsConfig(blocks=(0, 0, 0), experts=4, expansion=1.0, decoder_blocks=(0, 1))
    },
    "full resolution": {"backbone_stride": 1},
    "no deep supervision": {"deep_supervision": 0},
    "stem of one voxel": {"stem_kernel": 1},
    "softmax over tissues": {"output": "tissues"},
}


@pytest.mark.parametrize(
    ("backbone", "magpie", "switch"),
    [(backbone, False, "all") for backbone in ("unet", "mednext", "amaes")]
    + [(backbone, True, switch) for backbone in ("unet", "mednext", "amaes") for switch in SWITCHES],
)
def test_every_backbone_and_switch_has_gradients_and_can_be_saved(backbone, magpie, switch, small_config, tmp_path):
    torch.manual_seed(0)
    network = MagpieNet(small_config(backbone, magpie=magpie, **SWITCHES[switch]))
    images = torch.randn(2, 4, 16, 16, 24)
    output = network(images, GLIOMA_MODALITY_NAMES)
    assert output.logits.shape == (2, 3, 16, 16, 24)
    loss = output.logits.square().mean() + sum(deep.square().mean() for deep in output.deep_logits)
    loss = loss + sum(decision.balance_loss for decision in output.routing)
    loss.backward()
    assert torch.isfinite(loss)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    again = MagpieNet(network.config)
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    torch.testing.assert_close(
        again.eval()(images, GLIOMA_MODALITY_NAMES).logits, network.eval()(images, GLIOMA_MODALITY_NAMES).logits
    )


@pytest.mark.parametrize("backbone", ["unet", "mednext", "amaes"])
def test_network_has_a_gradient_for_every_parameter(backbone, small_config):
    torch.manual_seed(0)
    network = MagpieNet(small_config(backbone))
    _randomize_head(network)
    output = network(torch.randn(2, 4, 16, 16, 16), GLIOMA_MODALITY_NAMES)
    loss = output.logits.square().mean() + sum(deep.square().mean() for deep in output.deep_logits)
    (loss + sum(decision.balance_loss + decision.z_loss for decision in output.routing)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("backbone", ["unet", "mednext"])
def test_extend_network_by_decoder_experts_keeps_the_logits_and_trains_the_experts(backbone, small_config):
    torch.manual_seed(0)
    plain = small_config(backbone)
    network = MagpieNet(plain).eval()
    experts = replace(plain.experts, decoder_blocks=(1, 1))
    extended = extend_network(network, replace(plain, experts=experts)).eval()
    images = torch.randn(1, 4, 16, 16, 16)
    before, after = network(images, GLIOMA_MODALITY_NAMES), extended(images, GLIOMA_MODALITY_NAMES)
    assert torch.equal(before.logits, after.logits)
    tokens = [len(decision.probabilities) for decision in after.routing]
    assert tokens == [64, 8, 512, 64]  # the encoder's stages 1 and 2, then the decoder's 0 and 1
    optimizer = torch.optim.SGD(extended.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        extended(images, GLIOMA_MODALITY_NAMES).logits.square().mean().backward()
        optimizer.step()
    for name, parameter in extended.decoder.experts.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_mednext_equals_monais(small_config):
    torch.manual_seed(0)
    config = small_config("mednext", magpie=False, backbone_stride=1, stem_kernel=1, deep_supervision=0)
    ours = MagpieNet(replace(config, encoder_blocks=(1, 1, 2))).eval()
    theirs = MedNeXt(
        init_filters=4,
        in_channels=4,
        out_channels=3,
        kernel_size=3,
        use_residual_connection=True,
        encoder_expansion_ratio=(2, 2),
        decoder_expansion_ratio=(2, 2),
        blocks_down=(1, 1),
        blocks_bottleneck=2,
        blocks_up=(1, 1),
    ).eval()
    # Widths double in theirs.
    config = replace(config, widths=(4, 8, 16))
    ours = MagpieNet(config).eval()
    theirs.load_state_dict(_as_monai(ours))
    images = torch.randn(1, 4, 16, 24, 20)
    torch.testing.assert_close(ours(images, GLIOMA_MODALITY_NAMES).logits, theirs(images), atol=1e-5, rtol=1e-4)


def _as_monai(network):
    """Return the weights of a MedNeXt under MONAI's names."""

    def block(prefix, module):
        names = {"depthwise": "conv1", "norm": "norm", "expand": "conv2", "compress": "conv3", "residual": "res_conv"}
        weights = {}
        for name, value in module.state_dict().items():
            part, kind = name.split(".")
            if part in ("expand", "compress", "residual") and kind == "weight":
                value = value[:, :, None, None, None]
            if part == "residual" and prefix.startswith("up_blocks") and kind == "weight":
                value = value.transpose(0, 1)
            weights[f"{prefix}.{names[part]}.{kind}"] = value
        return weights

    weights = {
        "stem.weight": network.stem.convolution.weight,
        "stem.bias": network.stem.convolution.bias,
        "out_0.conv_out.weight": network.heads[0].weight.transpose(0, 1),
        "out_0.conv_out.bias": network.heads[0].bias,
    }
    stages = len(network.encoder.stages)
    for index, stage in enumerate(network.encoder.stages):
        blocks = list(stage)
        if index:
            weights |= block(f"down_blocks.{index - 1}", blocks.pop(0))
        for number, part in enumerate(blocks):
            place = "bottleneck" if index == stages - 1 else f"enc_stages.{index}"
            weights |= block(f"{place}.{number}", part)
    for index, (upsample, stage) in enumerate(zip(network.decoder.upsample, network.decoder.stages, strict=True)):
        weights |= block(f"up_blocks.{index}", upsample)
        for number, part in enumerate(stage):
            weights |= block(f"dec_stages.{index}.{number}", part)
    return weights


def test_network_rejects_unknown_modalities_and_wrong_sizes(network):
    with pytest.raises(ModelError, match="DWI"):
        network(torch.randn(1, 1, 16, 16, 16), ["DWI"])
    with pytest.raises(ModelError, match="2 images, 1 names"):
        network(torch.randn(1, 2, 16, 16, 16), ["T1"])
    with pytest.raises(ModelError, match="multiples of 8"):
        network(torch.randn(1, 1, 16, 12, 16), ["T1"])


def test_routing_statistics_are_limited_to_the_valid_mask(network):
    images = torch.randn(1, 4, 16, 16, 16)
    valid_mask = torch.zeros(1, 1, 16, 16, 16, dtype=torch.bool)
    valid_mask[..., :8] = True
    everywhere = network(images, GLIOMA_MODALITY_NAMES).routing[0]
    half = network(images * valid_mask, GLIOMA_MODALITY_NAMES).routing[0]
    assert not torch.equal(everywhere.load, half.load)
    tokens = valid_mask[:, :, ::4, ::4, ::4].flatten()
    expected = torch.bincount(half.chosen[tokens].flatten(), minlength=4) / (2 * tokens.sum())
    torch.testing.assert_close(half.load, expected)


@pytest.mark.parametrize("backbone", ["unet", "mednext"])
def test_extend_network_by_attention_nearly_keeps_the_logits(small_config, backbone):
    torch.manual_seed(0)
    plain = small_config(backbone, large_kernel=None, multi_scale=None)
    network = MagpieNet(plain).eval()
    extended = extend_network(network, small_config(backbone)).eval()
    images = torch.randn(1, 4, 16, 16, 16)
    before, after = (network(images, GLIOMA_MODALITY_NAMES).logits, extended(images, GLIOMA_MODALITY_NAMES).logits)
    assert 0 < (before - after).abs().max() < 0.1 * before.std()
    with pytest.raises(ModelError, match="extend"):
        extend_network(extended, plain)
    with pytest.raises(ModelError, match="extend"):
        extend_network(network, small_config(backbone, widths=(4, 8, 16)))


def test_network_keeps_channels_last_on_a_cpu(small_config):
    network = MagpieNet(small_config(encoder="unet", decoder="unet"))
    images, names = torch.randn(1, 2, 32, 32, 32), ("T1", "FLAIR")
    decoded = []
    network.decoder.register_forward_hook(lambda part, given, result: decoded.append(result[0][0]))
    for precision in {"fp32", choose_precision("cpu")}:  # torch's emulated bf16 does not keep the format
        with torch.no_grad(), Device("cpu", precision).autocast():
            output = network(images, names)
        assert output.encoder_features.is_contiguous(memory_format=torch.channels_last_3d)
        assert decoded.pop().is_contiguous(memory_format=torch.channels_last_3d)
