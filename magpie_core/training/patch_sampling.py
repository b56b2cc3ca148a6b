"""How training batches are sampled: patch and batch sizes, whole brains, synthetic studies among real cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES
from magpie_core.networks.build import Network
from magpie_core.training import distributed
from magpie_core.training.augmentation import Augmentation, draw_patch
from magpie_core.training.losses import MOME_LOSS, PAPER_LOSS, LossWeights, region_targets
from magpie_core.training.sample import Patch, Sample, SampleSource


@dataclass(frozen=True)
class SyntheticPatches:
    """Patches of synthetic studies, for training the backbone at its own resolution.

    Attributes:
        patch_size, brain_size: In voxels of 2 mm; a backbone that works at 1 mm gets patches of the same millimeters.
        whole_brain_from: Progress of the training (0 to 1) from which on every patch is a whole brain.
        whole_brain_fraction: Fraction of steps on whole brains before that.
        batch_size: Patches per step and rank.
    """

    patch_size: tuple[int, int, int] = (48, 64, 48)
    brain_size: tuple[int, int, int] = (80, 96, 80)
    whole_brain_from: float = 0.8
    whole_brain_fraction: float = 0.05
    batch_size: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class CasePatches:
    """Patches of real cases, mixed with synthetic studies against forgetting.

    First the backbone alone, on the cases at its own resolution, where a step costs a third; then the whole network.

    Attributes:
        backbone_until: Progress of the training (0 to 1) until which the backbone is trained alone, if it is coarser
            than the cases.
        patch_size, brain_size: In voxels of the cases.
        whole_brain_fraction: Fraction of the steps on real cases that take whole brains.
        synthetic_fraction: Fraction of the steps on synthetic studies.
        freeze_routers_until: Progress of the training until which the experts' routers are frozen.
        batch_size: Patches per step and rank, all of one size.
    """

    backbone_until: float = 0.6
    patch_size: tuple[int, int, int] = (96, 128, 96)
    brain_size: tuple[int, int, int] = (160, 192, 160)
    whole_brain_fraction: float = 0.12
    synthetic_fraction: float = 0.25
    freeze_routers_until: float = 0.0
    batch_size: int = 1
    loss_weights: LossWeights = LossWeights(expert_overlap=2.0)
    augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(affine=0.5, gamma=0.3, noise=0.3, thick_slices=0.15, faint=0.25, drop=0.3)
    )


PAPER_PATCHES = CasePatches(
    backbone_until=0.0,
    patch_size=(128, 128, 128),
    whole_brain_fraction=0.0,
    synthetic_fraction=0.0,
    batch_size=2,
    loss_weights=PAPER_LOSS,
    augmentation=Augmentation(
        affine=1.0, scaling=0.1, elastic=0.3, gain=0.0, shift=0.0, bias_field=0.3, k_space_spike=0.1, drop=0.0
    ),
)
"""The patches of the MAGPIE paper's fine-tuning."""
MOME_PATCHES = replace(
    PAPER_PATCHES,
    loss_weights=MOME_LOSS,
    augmentation=Augmentation(
        tumor_fraction=0.33,
        affine=0.2,
        rotation_deg=30.0,
        scaling=0.3,
        gamma=0.3,
        noise=0.1,
        noise_range=(0.0, 0.1),
        thick_slices=0.25,
        single=True,
    ),
)
"""The patches of MoME's training: an image of one modality each, with such of nnU-Net's transforms as are here."""


@dataclass(frozen=True)
class Batch:
    """The input of one training step for segmentation.

    Attributes:
        images: (B, S, D, H, W) normalized, zero outside the brain and where a modality is absent.
        targets: (B, K, D, H, W) region masks, 0 or 1, float.
        present: (B, S) bool.
        at_backbone_resolution: True if the images have the backbone's voxel size, so that the refinement head is not
            used.
        voxel_weights: (B, 1, D, H, W): weight of each voxel in the loss; 1 by default.
    """

    images: Tensor
    targets: Tensor
    present: Tensor
    modalities: tuple[str, ...]
    at_backbone_resolution: bool
    voxel_weights: Tensor | None = None


BatchSampler = Callable[[float, np.random.Generator], Batch]
"""Samples this rank's batch of a step, from the progress of the training (0 to 1) and the step's generator."""


def synthetic_batches(source: SampleSource, patches: SyntheticPatches, network: Network, device: str) -> BatchSampler:
    """Return a sampler of batches of synthetic studies, which `source` has at the backbone's resolution."""

    def sample_batch(progress: float, rng: np.random.Generator) -> Batch:
        whole = progress > patches.whole_brain_from or rng.random() < patches.whole_brain_fraction
        size = at_backbone_resolution(patches.brain_size if whole else patches.patch_size, network)
        return _sample_batch(source.draw, size, patches, rng, network, device, at_backbone=True)

    return sample_batch


def case_batches(
    cases: list[Sample], synthetic: SampleSource | None, patches: CasePatches, network: Network, device: str
) -> BatchSampler:
    """Return a sampler of batches of real cases and, in a fraction of the steps, of `synthetic` studies."""
    is_coarser = network.config.backbone_stride == 2
    coarse_cases = [case.downsampled() for case in cases] if is_coarser else []
    synthetic_patches = SyntheticPatches(batch_size=patches.batch_size)
    synthetic_size = at_backbone_resolution(synthetic_patches.patch_size, network)

    def sample_batch(progress: float, rng: np.random.Generator) -> Batch:
        if synthetic is not None and rng.random() < patches.synthetic_fraction:
            draw = synthetic.draw
            return _sample_batch(draw, synthetic_size, synthetic_patches, rng, network, device, at_backbone=True)
        at_backbone = is_coarser and progress < patches.backbone_until
        drawn_cases = coarse_cases if at_backbone else cases
        size = patches.brain_size if rng.random() < patches.whole_brain_fraction else patches.patch_size
        if at_backbone:
            size = (size[0] // 2, size[1] // 2, size[2] // 2)

        def draw_case(rng: np.random.Generator) -> Sample:
            return drawn_cases[rng.integers(len(drawn_cases))]

        return _sample_batch(draw_case, size, patches, rng, network, device, at_backbone=at_backbone)

    return sample_batch


def at_backbone_resolution(size: tuple[int, int, int], network: Network) -> tuple[int, int, int]:
    """Return a size in voxels of 2 mm in voxels of the backbone."""
    times = 2 // network.config.backbone_stride
    return size[0] * times, size[1] * times, size[2] * times


def _sample_batch(
    draw: Callable[[np.random.Generator], Sample],
    size: tuple[int, int, int],
    options: SyntheticPatches | CasePatches,
    rng: np.random.Generator,
    network: Network,
    device: str,
    *,
    at_backbone: bool,
) -> Batch:
    """Sample this rank's patches of a step; all ranks' together are what one rank with as many would draw."""
    known = [index for index, name in enumerate(GLIOMA_MODALITY_NAMES) if name in network.config.modalities]
    augmentation = options.augmentation
    if len(known) == 1:  # a network of one modality cannot do without it
        augmentation = replace(augmentation, drop=0.0)
    rngs = [rng]  # a single patch uses the step's own generator
    if options.batch_size * distributed.world_size() > 1:
        rngs = distributed.spawn_rngs(rng, options.batch_size)
    patches = []
    for patch_rng in rngs:
        if patch_rng is not rng:
            torch.manual_seed(int(patch_rng.integers(2**63)))
        patches.append(draw_patch(draw(patch_rng), size, augmentation, patch_rng, known=known, device=device))
    return _collate(patches, known, at_backbone)


def _collate(patches: list[Patch], known: list[int], at_backbone: bool) -> Batch:
    """Stack patches, with the modalities that any patch of the step has and that the network knows."""
    images = torch.stack([patch.images for patch in patches])[:, known]
    present = torch.stack([patch.present for patch in patches])[:, known]
    # A modality that the case lacks is zero everywhere.
    filled = images.flatten(2).any(dim=2).cpu()
    present = present & (filled | ~filled.any(dim=1, keepdim=True))
    # All ranks take the same modalities: they decide which parameters are used, and so what is reduced.
    in_any = distributed.all_reduce_any(present.any(dim=0))
    kept = [index for index in range(len(known)) if in_any[index]]
    return Batch(
        images[:, kept],
        torch.stack([region_targets(patch.labels) for patch in patches]),
        present[:, kept],
        tuple(GLIOMA_MODALITY_NAMES[known[index]] for index in kept),
        at_backbone,
        torch.stack([patch.weights for patch in patches])[:, None],
    )
