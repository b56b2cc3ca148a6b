"""A brain is found in heads, and not in what is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from magpie_core.errors import InputError, ModelError
from magpie_core.imaging.volume import Volume
from magpie_core.preprocessing import brain_extraction
from magpie_core.preprocessing.brain_extraction import SHAPE, SPACING_MM, extract_brain, head_window, scale_head
from magpie_core.storage.resources import resources_folder


def test_a_bottle_and_noise_are_no_heads() -> None:
    random = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 80)] * 3, indexing="ij"))
    affine = np.diag([2.5, 2.5, 2.5, 1.0])
    bottle = ((grid**2).sum(axis=0) < 0.8) * 500.0 + random.normal(0, 10, grid.shape[1:])
    for image in (bottle, random.uniform(100, 900, grid.shape[1:])):
        with pytest.raises(InputError, match="hardly look like a head|too small"):
            extract_brain([Volume(image.astype(np.float32), affine, "bottle.nii")], threads=1)


def test_a_few_slices_are_no_head(cases_folder: Path) -> None:
    from magpie_core.io.nifti import read_volume

    whole = read_volume(cases_folder / "raw" / "open_ms_patient01" / "study1_T1W.nii.gz")
    shift = np.eye(4)
    shift[2, 3] = 15
    with pytest.raises(InputError, match="hardly look like a head|too small"):
        extract_brain([Volume(whole.data[:, :, 15:20], whole.affine @ shift)], threads=1)


def test_the_window_hangs_from_the_crown_whatever_lies_below() -> None:
    random = np.random.default_rng(0)
    data = random.normal(0, 3, (70, 80, 120)).astype(np.float32)
    data[15:55, 15:65, 20:110] += 400  # a head of 120 x 150 x 270 mm: with neck and shoulders
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    window = head_window(Volume(data, affine))
    low, high = window.corners_mm(edges=True).min(axis=0), window.corners_mm(edges=True).max(axis=0)
    assert window.shape == SHAPE and window.spacing_mm == (SPACING_MM,) * 3
    assert high[2] == pytest.approx(110 * 3, abs=9)  # just above the crown
    assert (low + high)[:2] / 2 == pytest.approx([35 * 3, 40 * 3], abs=4)


def test_scaling_does_not_depend_on_the_scanners_scale() -> None:
    image = np.random.default_rng(0).gamma(2, 100, (20, 20, 20)).astype(np.float32)
    image[:5] = 0
    np.testing.assert_allclose(scale_head(image * 7), scale_head(image), atol=1e-5)
    assert scale_head(image).min() >= 0 and scale_head(image).max() <= 1.5
    assert np.isfinite(scale_head(np.zeros((8, 8, 8)))).all()


def test_altered_weights_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in resources_folder("BrainMask").iterdir():
        content = bytearray(path.read_bytes())
        if path.suffix == ".safetensors":
            content[-5] ^= 1
        (tmp_path / path.name).write_bytes(content)
    monkeypatch.setattr(brain_extraction, "resources_folder", lambda name: tmp_path)
    brain_extraction._trained_network.cache_clear()
    with pytest.raises(ModelError, match="weights.safetensors is damaged"):
        brain_extraction._trained_network()
    brain_extraction._trained_network.cache_clear()
