"""The recipes: what they draw, and that every kind of network can follow them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from magpie_core.errors import InputError
from magpie_core.networks.build import build_network
from magpie_core.networks.config import ExpertsConfig, NetworkConfig
from magpie_core.networks.mixture_of_experts import MixtureOfExperts
from magpie_core.networks.mome_config import MomeConfig
from magpie_core.training.loop import LoopOptions
from magpie_core.training.patch_sampling import (
    PAPER_PATCHES,
    CasePatches,
    SyntheticPatches,
    train_on_cases,
    train_on_synthetic,
)
from magpie_core.training.sample import Sample

TINY = NetworkConfig(
    widths=(4, 8), encoder_blocks=(1, 1), decoder_blocks=(1,), refinement_channels=4, deep_supervision=0
)
OPTIONS = LoopOptions(budget_steps=6, precision="fp32", log_every=1)
SMALL = {"box": (16, 16, 16), "whole_box": (24, 24, 24)}


def _sample(size=24):
    random = np.random.default_rng(0)
    images = np.zeros((4, size, size, size), np.float32)
    images[:, 4:-4, 4:-4, 4:-4] = random.standard_normal((4, *[size - 8] * 3)).clip(-3, 3)
    labels = np.zeros((size,) * 3, np.uint8)
    labels[8:16, 8:16, 8:16] = 2
    labels[10:14, 10:14, 10:14] = 3
    return Sample.pack(images, labels)


class _Ring:
    """Samples without generators."""

    def draw(self, random):
        return _sample()


def _watched(network):
    """The network, and a list of the resolution and modalities of each of its passes."""
    seen: list[tuple[bool, tuple[str, ...]]] = []

    def note(module, arguments, options):
        seen.append((options["at_backbone_resolution"], tuple(arguments[1])))

    network.register_forward_pre_hook(note, with_kwargs=True)
    return network, seen


def test_cases_teach_the_body_first_and_then_the_whole_network(tmp_path):
    network, seen = _watched(build_network(TINY))
    recipe = CasePatches(backbone_until=0.5, replay=0.0, **SMALL)
    train_on_cases(network, [_sample()], None, tmp_path, OPTIONS, recipe=recipe)
    assert [body for body, _ in seen] == [True] * 3 + [False] * 3


def test_only_our_recipe_asks_experts_to_divide_the_tumor_and_makes_tumors_faint():
    ours = CasePatches()
    assert ours.weights.expert_overlap > 0 and ours.augmentation.faint > 0
    assert PAPER_PATCHES.weights.expert_overlap == 0 and PAPER_PATCHES.augmentation.faint == 0


def test_replay_mixes_synthetic_studies_in(tmp_path):
    network, seen = _watched(build_network(TINY))
    recipe = CasePatches(backbone_until=0.0, replay=1.0, **SMALL)
    train_on_cases(network, [_sample()], _Ring(), tmp_path, OPTIONS, recipe=recipe)
    assert all(body for body, _ in seen)


def test_modalities_are_dropped_but_never_all(tmp_path):
    network, seen = _watched(build_network(TINY))
    options = LoopOptions(budget_steps=30, precision="fp32")
    train_on_synthetic(network, _Ring(), tmp_path, options, recipe=SyntheticPatches(**SMALL))
    assert all(names for _, names in seen) and {len(names) for _, names in seen} > {4}


def test_a_network_of_two_modalities_always_keeps_one_of_them(tmp_path):
    network, seen = _watched(build_network(replace(TINY, modalities=("T1CE", "FLAIR"))))
    options = LoopOptions(budget_steps=40, precision="fp32")
    train_on_synthetic(network, _Ring(), tmp_path, options, recipe=SyntheticPatches(**SMALL))
    assert {names for _, names in seen} == {("T1CE", "FLAIR"), ("T1CE",), ("FLAIR",)}


def test_a_case_without_a_modality_that_the_network_knows_is_refused(tmp_path):
    packed = _sample().packed.copy()
    packed[1] = packed[0, 0, 0, 0]  # no T1CE
    network = build_network(replace(TINY, modalities=("T1CE",)))
    with pytest.raises(InputError, match=r"case 7.*T1CE"):
        train_on_cases(network, [Sample(packed, "case 7")], None, tmp_path, OPTIONS)


def test_a_body_that_works_on_the_cases_own_voxels_is_never_taught_coarser_ones(tmp_path):
    """Boxes of its synthetic studies have twice as many voxels along each axis, and its cases are not halved."""
    network = build_network(replace(TINY, backbone_stride=1))
    sizes = []
    network.register_forward_pre_hook(lambda _, arguments: sizes.append(tuple(arguments[0].shape[2:])))
    recipe = CasePatches(backbone_until=1.0, replay=0.0, whole_share=0.0, **SMALL)
    train_on_cases(network, [_sample()], None, tmp_path / "cases", OPTIONS, recipe=recipe)
    assert set(sizes) == {(16, 16, 16)}
    sizes.clear()
    recipe = SyntheticPatches(**SMALL, whole_before=0.0)
    train_on_synthetic(network, _Ring(), tmp_path / "synthetic", OPTIONS, recipe=recipe)
    assert set(sizes) == {(32, 32, 32), (48, 48, 48)}


@pytest.mark.parametrize("mode", ["study", "image"])
def test_a_mixture_of_modality_experts_follows_the_same_recipe(tmp_path, mode):
    network = build_network(MomeConfig(TINY, mode=mode))
    lines = []
    weights = train_on_cases(
        network,
        [_sample()],
        None,
        tmp_path,
        OPTIONS,
        recipe=CasePatches(**SMALL),
        on_progress=lambda spent, line: lines.append(line),
    )
    assert len(lines) == 6 and all(math.isfinite(line["loss"]) for line in lines)
    network.load_state_dict(weights)


def test_an_expert_is_taught_on_its_own_modality_alone(tmp_path):
    network, seen = _watched(build_network(MomeConfig(TINY).expert("T2")))
    torch.manual_seed(0)
    train_on_cases(network, [_sample()], None, tmp_path, OPTIONS, recipe=CasePatches(**SMALL))
    assert {names for _, names in seen} == {("T2",)}


def test_routers_are_held_at_first(tmp_path):
    config = replace(TINY, experts=ExpertsConfig(blocks=(0, 1), experts=4, expansion=2.0))
    network = build_network(config)
    (router,) = [part.router for part in network.modules() if isinstance(part, MixtureOfExperts)]
    seen = []
    network.register_forward_pre_hook(
        lambda *_: seen.append((router.weight.requires_grad, router.weight.sum().item()))
    )
    recipe = CasePatches(hold_routers_until=0.5, **SMALL)
    train_on_cases(network, [_sample()], None, tmp_path, OPTIONS, recipe=recipe)
    assert [learns for learns, _ in seen] == [False] * 3 + [True] * 3
    assert seen[0][1] == seen[3][1] != seen[5][1]


def test_an_interrupted_and_resumed_training_ends_bit_identical(tmp_path):
    class Interrupted(Exception):
        pass

    def stop(spent, line):
        if line["step"] == 7:
            raise Interrupted

    def run(folder, on_progress=None):
        torch.manual_seed(0)
        network = build_network(TINY)
        options = LoopOptions(budget_steps=12, precision="fp32", log_every=1, checkpoint_minutes=0.0, seed=3)
        recipe = CasePatches(**SMALL)
        return train_on_cases(
            network, [_sample()], _Ring(), folder, options, recipe=recipe, on_progress=on_progress
        )

    whole = run(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(tmp_path / "resumed", stop)
    resumed = run(tmp_path / "resumed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
