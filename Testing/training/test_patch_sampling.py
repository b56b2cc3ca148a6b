"""Patch sampling and segmentation training, with every kind of network."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from magpie_core.errors import InputError
from magpie_core.networks.build import build_network
from magpie_core.networks.config import ExpertsConfig, MomeConfig, NetworkConfig
from magpie_core.networks.mixture_of_experts import MixtureOfExperts
from magpie_core.training.loop_options import LoopOptions
from magpie_core.training.losses import PAPER_LOSS
from magpie_core.training.patch_sampling import PAPER_PATCHES, CasePatches, SyntheticPatches, synthetic_batches
from magpie_core.training.sample import Sample
from magpie_core.training.segmentation_training import train, train_on_cases

TINY = NetworkConfig(
    widths=(4, 8), encoder_blocks=(1, 1), decoder_blocks=(1,), refinement_channels=4, deep_supervision=0
)
OPTIONS = LoopOptions(budget_steps=6, precision="fp32", log_every=1)
SMALL = {"patch_size": (16, 16, 16), "brain_size": (24, 24, 24)}


def _sample(size=24):
    rng = np.random.default_rng(0)
    images = np.zeros((4, size, size, size), np.float32)
    images[:, 4:-4, 4:-4, 4:-4] = rng.standard_normal((4, *[size - 8] * 3)).clip(-3, 3)
    labels = np.zeros((size,) * 3, np.uint8)
    labels[8:16, 8:16, 8:16] = 2
    labels[10:14, 10:14, 10:14] = 3
    return Sample.pack(images, labels)


class _Source:
    """The same sample every time."""

    def draw(self, rng):
        return _sample()


def _observed(network):
    """The network, and a list of the resolution and modalities of each of its forward passes."""
    seen: list[tuple[bool, tuple[str, ...]]] = []

    def note(module, arguments, options):
        seen.append((options["at_backbone_resolution"], tuple(arguments[1])))

    network.register_forward_pre_hook(note, with_kwargs=True)
    return network, seen


def test_case_batches_are_at_backbone_resolution_first(tmp_path):
    network, seen = _observed(build_network(TINY))
    patches = CasePatches(backbone_until=0.5, synthetic_fraction=0.0, **SMALL)
    train_on_cases(network, [_sample()], None, tmp_path, OPTIONS, patches=patches)
    assert [at_backbone for at_backbone, _ in seen] == [True] * 3 + [False] * 3


def test_paper_patches_have_the_papers_augmentation_and_loss():
    spatial = PAPER_PATCHES.augmentation
    assert (spatial.affine, spatial.rotation_deg, spatial.scaling, spatial.elastic) == (1.0, 15.0, 0.1, 0.3)
    assert min(spatial.bias_field, spatial.k_space_spike) > 0 == max(spatial.gain, spatial.shift, spatial.noise)
    assert spatial.drop == spatial.gamma == spatial.thick_slices == 0
    assert PAPER_PATCHES.loss_weights is PAPER_LOSS
    default = CasePatches()
    assert default.loss_weights.expert_overlap > 0 and default.augmentation.faint > 0
    assert PAPER_PATCHES.loss_weights.expert_overlap == 0 and PAPER_PATCHES.augmentation.faint == 0


def test_synthetic_fraction_mixes_synthetic_studies_in(tmp_path):
    network, seen = _observed(build_network(TINY))
    patches = CasePatches(backbone_until=0.0, synthetic_fraction=1.0, **SMALL)
    train_on_cases(network, [_sample()], _Source(), tmp_path, OPTIONS, patches=patches)
    assert all(at_backbone for at_backbone, _ in seen)


def test_modality_dropout_never_drops_all(tmp_path):
    network, seen = _observed(build_network(TINY))
    options = LoopOptions(budget_steps=30, precision="fp32")
    train(network, synthetic_batches(_Source(), SyntheticPatches(**SMALL), network, "cpu"), tmp_path, options)
    assert all(names for _, names in seen) and {len(names) for _, names in seen} > {4}


def test_modality_dropout_keeps_one_of_a_network_of_two(tmp_path):
    network, seen = _observed(build_network(replace(TINY, modalities=("T1CE", "FLAIR"))))
    options = LoopOptions(budget_steps=40, precision="fp32")
    train(network, synthetic_batches(_Source(), SyntheticPatches(**SMALL), network, "cpu"), tmp_path, options)
    assert {names for _, names in seen} == {("T1CE", "FLAIR"), ("T1CE",), ("FLAIR",)}


def test_case_without_a_known_modality_is_refused(tmp_path):
    packed = _sample().packed.copy()
    packed[1] = packed[0, 0, 0, 0]  # no T1CE
    network = build_network(replace(TINY, modalities=("T1CE",)))
    with pytest.raises(InputError, match=r"case 7.*T1CE"):
        train_on_cases(network, [Sample(packed, "case 7")], None, tmp_path, OPTIONS)


def test_backbone_at_the_cases_resolution_never_gets_coarser_patches(tmp_path):
    """Patches of synthetic studies have twice as many voxels along each axis, and cases are not downsampled."""
    network = build_network(replace(TINY, backbone_stride=1))
    sizes = []
    network.register_forward_pre_hook(lambda _, arguments: sizes.append(tuple(arguments[0].shape[2:])))
    patches = CasePatches(backbone_until=1.0, synthetic_fraction=0.0, whole_brain_fraction=0.0, **SMALL)
    train_on_cases(network, [_sample()], None, tmp_path / "cases", OPTIONS, patches=patches)
    assert set(sizes) == {(16, 16, 16)}
    sizes.clear()
    patches = SyntheticPatches(**SMALL, whole_brain_fraction=0.0)
    train(network, synthetic_batches(_Source(), patches, network, "cpu"), tmp_path / "synthetic", OPTIONS)
    assert set(sizes) == {(32, 32, 32), (48, 48, 48)}


@pytest.mark.parametrize("mode", ["study", "image"])
def test_mixture_of_modality_experts_is_trained_on_the_same_patches(tmp_path, mode):
    network = build_network(MomeConfig(TINY, mode=mode))
    lines = []
    weights = train_on_cases(
        network,
        [_sample()],
        None,
        tmp_path,
        OPTIONS,
        patches=CasePatches(**SMALL),
        on_progress=lambda progress, line: lines.append(line),
    )
    assert len(lines) == 6 and all(math.isfinite(line["loss"]) for line in lines)
    network.load_state_dict(weights)


def test_modality_expert_is_trained_on_its_own_modality_alone(tmp_path):
    network, seen = _observed(build_network(MomeConfig(TINY).expert("T2")))
    torch.manual_seed(0)
    train_on_cases(network, [_sample()], None, tmp_path, OPTIONS, patches=CasePatches(**SMALL))
    assert {names for _, names in seen} == {("T2",)}


def test_routers_are_frozen_at_first(tmp_path):
    config = replace(TINY, experts=ExpertsConfig(blocks=(0, 1), experts=4, expansion=2.0))
    network = build_network(config)
    (router,) = [part.router for part in network.modules() if isinstance(part, MixtureOfExperts)]
    seen = []
    network.register_forward_pre_hook(lambda *_: seen.append((router.weight.requires_grad, router.weight.sum().item())))
    patches = CasePatches(freeze_routers_until=0.5, **SMALL)
    train_on_cases(network, [_sample()], None, tmp_path, OPTIONS, patches=patches)
    assert [trainable for trainable, _ in seen] == [False] * 3 + [True] * 3
    assert seen[0][1] == seen[3][1] != seen[5][1]


def test_resumed_training_is_bit_identical(tmp_path):
    class Interrupted(Exception):
        pass

    def stop(progress, line):
        if line["step"] == 7:
            raise Interrupted

    def run(folder, on_progress=None):
        torch.manual_seed(0)
        network = build_network(TINY)
        options = LoopOptions(budget_steps=12, precision="fp32", log_every=1, checkpoint_minutes=0.0, seed=3)
        patches = CasePatches(**SMALL)
        return train_on_cases(
            network, [_sample()], _Source(), folder, options, patches=patches, on_progress=on_progress
        )

    whole = run(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(tmp_path / "resumed", stop)
    resumed = run(tmp_path / "resumed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
