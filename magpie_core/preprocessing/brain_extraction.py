"""Brain extraction from images of the whole head: by a network trained on synthetic heads, or by other programs."""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from monai.networks.nets import UNet
from safetensors.torch import load_file

from magpie_core.errors import InputError, ResourceError
from magpie_core.imaging.background import background_value
from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import read_volume, write_volume
from magpie_core.preprocessing.mask_cleanup import main_parts
from magpie_core.preprocessing.resampling import resample, resample_reordered
from magpie_core.storage.manifest import verify_manifest
from magpie_core.storage.resources import resources_folder

SPACING_MM = 3.0
SHAPE = (64, 72, 56)
"""Of the network's input: 192 x 216 x 168 mm, the head without the neck."""
_MASK_SPACING_MM = 1.0
_LEAST_ML = 300.0
_DOUBTFUL, _NO_HEAD = 0.34, 0.40  # heads: 0.20 to 0.30; a bottle, noise, five slices: 0.41 to 0.57
_SOLID = 0.02  # share of a slice's voxels from which on it shows the head

EXTERNAL_METHODS = {
    "hd-bet": ("hd-bet", "-i", "{image}", "-o", "{brain}", "--save_bet_mask", "--no_bet_image"),
    "synthstrip": ("mri_synthstrip", "-i", "{image}", "-m", "{mask}"),
}
_MOST_SECONDS = 1800


def brain_network() -> UNet:
    """Return the untrained network: from one image (1, 1, D, H, W) scaled by `scale_head` to logits of the brain."""
    return UNet(
        spatial_dims=3, in_channels=1, out_channels=1, channels=(12, 24, 48, 96), strides=(2, 2, 2), num_res_units=1
    )


def scale_head(image: np.ndarray) -> np.ndarray:
    """Scale values from 0 for the background to 1 for the brightest of the head; (D, H, W) float32."""
    low, _ = background_value(image)
    values = np.asarray(image, np.float32) - np.float32(min(low, np.percentile(image, 50)))
    bright = values[values > 0.05 * values.max()] if values.max() > 0 else values
    top = float(np.percentile(bright, 99)) if bright.size else 1.0
    return np.asarray(np.clip(values / max(top, 1e-6), 0, 1.5))


@dataclass(frozen=True, eq=False)
class ExtractedBrain:
    """A mask of the brain and how sure the network is.

    Attributes:
        mask: bool at 1 mm, axes right, anterior, superior.
        unsure: Places of a probability between 0.1 and 0.9, per place in the mask: a rim of half a cube. 0.2 to 0.3 for
            heads.
    """

    mask: Volume
    unsure: float

    @property
    def doubtful(self) -> bool:
        """Whether the mask is uncertain enough for a warning."""
        return self.unsure > _DOUBTFUL


def extract_brain(volumes: list[Volume], *, threads: int | None = None) -> ExtractedBrain:
    """Extract the brain, ventricles and outer fluid included.

    Args:
        volumes: Images of one head in one world, whatever their modality; the more, the surer.

    Raises:
        InputError: If no brain is found, or what is seen is hardly a head.
    """
    from magpie_core.networks.device import torch_threads

    network = _trained_network()
    window = head_window(volumes[0])
    anywhere, total = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    counted = np.zeros(SHAPE, np.float32)
    with torch_threads(threads), torch.inference_mode():
        for volume in volumes:
            order = Reorientation.of(volume.geometry)
            image = resample(volume.data, order, window)
            seen = resample(np.ones(volume.shape, np.float32), order, window)
            scaled = torch.from_numpy(scale_head(image))[None, None]
            flipped = network(scaled.flip(2)).flip(2)
            logits = (network(scaled) + flipped)[0, 0].float().numpy() / 2
            anywhere += logits / len(volumes)
            total += logits * seen
            counted += seen
    probability = 1 / (1 + np.exp(-total / np.maximum(counted, 1e-3)))
    between = np.abs(anywhere) < math.log(9)  # a probability of 0.1 to 0.9, beyond the images' edges too
    unsure = float(between.sum() / max((anywhere > 0).sum(), 1))
    probability[counted < 0.5] = 0
    fine = _finer(window)
    mask = resample_reordered(probability, window.affine, fine, aligned=True) >= 0.5
    mask = main_parts(mask, largest=True)
    small = np.count_nonzero(mask) * fine.voxel_volume_ml < _LEAST_ML
    if small or unsure > _NO_HEAD:
        raise InputError(
            "No brain was found in the images",
            cause="what was taken for it is too small" if small else "they hardly look like a head",
            remedy="Check that they show a head; or remove the skull yourself and give the brain alone",
            source=volumes[0].source,
        )
    return ExtractedBrain(Volume(mask, fine.affine, volumes[0].source), unsure)


def extract_brain_with(tool: str, image: Volume) -> Volume:
    """Have an installed program find the brain in one image.

    Args:
        tool: "hd-bet" (Isensee et al. 2019) or "synthstrip" (Hoopes et al. 2022).
        image: The whole head; written to a private temporary folder, which is removed afterwards.

    Returns:
        Volume: bool, on the image's grid.

    Raises:
        ResourceError: If the program is not installed.
        InputError: If it fails or finds nothing.
    """
    words = EXTERNAL_METHODS[tool]
    program = shutil.which(words[0])
    if program is None:
        raise ResourceError(
            f"{tool} cannot find the brain",
            cause=f"the program {words[0]} is not installed",
            remedy="Install it, or leave the brain to MAGPIE",
        )
    with tempfile.TemporaryDirectory(prefix="magpie-brain-") as name:
        folder = Path(name)
        write_volume(Volume(image.data, image.affine), folder / "image.nii.gz")
        places = {"image": "image.nii.gz", "brain": "brain.nii.gz", "mask": "brain_mask.nii.gz"}
        command = [program, *(word.format(**places) for word in words[1:])]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_MOST_SECONDS)
            last_words = (done.stderr or done.stdout).strip().splitlines()[-1:]
        except subprocess.TimeoutExpired:
            last_words = [f"it took more than {_MOST_SECONDS // 60} minutes"]
        found = sorted(folder.glob("brain*mask.nii.gz")) + sorted(folder.glob("brain_bet.nii.gz"))
        if not found:
            raise InputError(
                f"{tool} found no brain",
                cause=" ".join(last_words),
                remedy="Leave the brain to MAGPIE, or give images of the brain alone",
                source=image.source,
            )
        mask = read_volume(found[0])
    inside = np.asarray(mask.data) > 0.5
    if mask.shape != image.shape or not inside.any():
        raise InputError(f"{tool} gave no mask of this image", source=image.source)
    return Volume(inside, image.affine, image.source)


def head_window(volume: Volume) -> Geometry:
    """Return the grid of the network's input: from the crown of the head downwards, centered on the head."""
    order = Reorientation.of(volume.geometry)
    corners = order.geometry.corners_mm(edges=True)
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = np.maximum(np.ceil((high - low) / SPACING_MM), 1).astype(int)
    grid = _grid((low + high) / 2, size)
    index = np.array(window_center(scale_head(resample(volume.data, order, grid))))
    return _grid(grid.affine[:3, :3] @ index + grid.affine[:3, 3], np.array(SHAPE))


def window_center(head: np.ndarray) -> tuple[float, float, float]:
    """Return the center of the network's input, in voxels of a scaled image (D, H, W) of the head at `SPACING_MM`."""
    solid = head > 0.1

    def ends(part: np.ndarray, axis: int) -> tuple[int, int]:
        shown = np.flatnonzero(part.mean(axis=tuple({0, 1, 2} - {axis})) > _SOLID)
        return (int(shown[0]), int(shown[-1])) if len(shown) else (0, part.shape[axis] - 1)

    crown = min(ends(solid, 2)[1] + 2, head.shape[2])
    upper = solid[:, :, max(0, crown - SHAPE[2]) : crown]
    across, along = (sum(ends(upper, axis)) / 2 for axis in (0, 1))
    return across, along, crown - SHAPE[2] / 2


def _grid(center_mm: np.ndarray, size: np.ndarray) -> Geometry:
    affine = np.diag([SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = center_mm - (size - 1) / 2 * SPACING_MM
    return Geometry(tuple(size), affine)


def _finer(window: Geometry) -> Geometry:
    factor = round(SPACING_MM / _MASK_SPACING_MM)
    affine = np.diag([_MASK_SPACING_MM] * 3 + [1.0])
    affine[:3, 3] = window.affine[:3, 3] - (SPACING_MM - _MASK_SPACING_MM) / 2
    return Geometry(tuple(count * factor for count in window.shape), affine)


@cache
def _trained_network() -> torch.nn.Module:
    folder = resources_folder("BrainMask")
    verify_manifest(folder, required=("weights.safetensors", "card.md"))
    network = brain_network()
    weights = load_file(folder / "weights.safetensors")
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    return network.eval()
