"""One optimization step's input for segmentation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One optimization step's input.

    Attributes
    ----------
    images
        (B, S, D, H, W) scaled, zero outside the brain and where a modality is absent.
    targets
        (B, K, D, H, W) region masks, 0 or 1, float.
    present
        (B, S) bool.
    modalities
        Names of the S images.
    at_backbone_resolution
        True if the images have the body's voxel size, so that the detail head is not used.
    voxels
        (B, 1, D, H, W): how far each voxel counts; all do by default.
    """

    images: Tensor
    targets: Tensor
    present: Tensor
    modalities: tuple[str, ...]
    at_backbone_resolution: bool
    voxels: Tensor | None = None
