"""A small head of nested ellipsoids, for studies without real anatomy."""

import nibabel
import numpy as np
import pytest

from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.synthesis.generator import GliomaGenerator
from magpie_core.synthesis.tissue import HeadTissue


def ellipsoid(shape, radii_mm, center_mm=(0, 0, 0)):
    """Voxels (1 mm, centered) inside an ellipsoid."""
    axes = [np.arange(size) - (size - 1) / 2 for size in shape]
    grid = np.meshgrid(*axes, indexing="ij")
    return sum(((x - c) / r) ** 2 for x, c, r in zip(grid, center_mm, radii_mm, strict=True)) < 1


@pytest.fixture(scope="session")
def phantom_head():
    """Label map (112, 128, 112) uint8: white matter in cortex in fluid, two ventricles, a skull."""
    shape = (112, 128, 112)
    labels = np.zeros(shape, np.uint8)
    for tissue, radii in (
        (HeadTissue.BONE, (54, 62, 54)),
        (HeadTissue.SULCAL_CSF, (50, 58, 50)),
        (HeadTissue.CORTEX, (48, 56, 48)),
        (HeadTissue.WHITE_MATTER, (42, 50, 42)),
    ):
        labels[ellipsoid(shape, radii)] = tissue
    for side in (-10, 10):
        labels[ellipsoid(shape, (5, 14, 7), (side, 0, 4))] = HeadTissue.VENTRICLE
    return labels


@pytest.fixture(scope="session")
def phantom_anatomy(phantom_head, tmp_path_factory):
    """The head as a collection."""
    path = tmp_path_factory.mktemp("phantom") / "head.nii.gz"
    nibabel.save(nibabel.Nifti1Image(phantom_head, np.eye(4)), path)
    return Anatomy([path])


@pytest.fixture(scope="session")
def generator(phantom_anatomy):
    """A generator of small, quick studies."""
    return GliomaGenerator(phantom_anatomy, spacing_mm=2.0, shape=(64, 72, 64))


@pytest.fixture(scope="session")
def coarse_generator(phantom_anatomy):
    """A generator for many examples: 4 mm."""
    return GliomaGenerator(phantom_anatomy, spacing_mm=4.0, shape=(32, 36, 32))
