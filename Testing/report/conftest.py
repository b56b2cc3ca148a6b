"""A small study with a tumor, and a result for it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume


@dataclass(frozen=True)
class FakePrediction:
    """What inference returns, without a network."""

    segmentation: Segmentation
    modalities_used: tuple[Modality, ...] = (Modality.T1CE, Modality.FLAIR)
    modalities_missing: tuple[Modality, ...] = (Modality.T1, Modality.T2)
    warnings: tuple[str, ...] = ("There is no T2.",)
    device: str = "cpu"
    precision: str = "fp32"
    seconds: dict[str, float] = field(default_factory=lambda: {"network": 1.23456})
    model_name: str = "magpie-s 0.1.0"
    model_hash: str = "ab" * 32
    model_license: str = "Apache-2.0"
    intervals_ml: dict = field(default_factory=dict)
    doubt: dict[Modality, Modality] = field(default_factory=dict)
    ready: object = None


def ball(shape, center, radius_mm, spacing):
    """Voxels within a ball."""
    axes = np.meshgrid(*(np.arange(size) for size in shape), indexing="ij")
    return (
        sum(((axis - middle) * step) ** 2 for axis, middle, step in zip(axes, center, spacing, strict=True))
        <= radius_mm**2
    )


@pytest.fixture
def study() -> Study:
    """T1ce (1 x 1 x 3 mm) and FLAIR (2 mm) of a ball-shaped head with a tumor on the patient's right."""
    shape, spacing = (40, 48, 16), (1.0, 1.0, 3.0)
    data = ball(shape, (20, 24, 8), 19, spacing) * np.float32(100)
    data[ball(shape, (30, 24, 8), 5, spacing)] = 200
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-20, -24, -24)
    coarse = np.diag([2.0, 2.0, 2.0, 1.0])
    coarse[:3, 3] = (-20, -24, -24)
    flair = ball((20, 24, 24), (10, 12, 12), 19, (2, 2, 2)) * np.float32(50)
    return Study(
        {
            Modality.T1CE: Volume(data, affine, "/data/Jane Doe/t1ce.nii.gz"),
            Modality.FLAIR: Volume(flair, coarse, "/data/Jane Doe/flair.nii.gz"),
        },
        "patient-7",
    )


@pytest.fixture
def prediction(study) -> FakePrediction:
    """Core in rim in edema."""
    reference = study.volumes[Modality.T1CE]
    labels = np.zeros(reference.shape, np.uint8)
    for radius_mm, label in ((9, 2), (6, 3), (3, 1)):
        labels[ball(reference.shape, (30, 24, 8), radius_mm, reference.spacing_mm)] = label
    return FakePrediction(Segmentation(labels, reference.affine, label_schema("magpie")))


@pytest.fixture
def no_tumor(study) -> FakePrediction:
    """Nothing found."""
    reference = study.volumes[Modality.T1CE]
    return FakePrediction(
        Segmentation(np.zeros(reference.shape, np.uint8), reference.affine, label_schema("magpie"))
    )
