"""A small study with a tumor, and a prediction for it."""

from __future__ import annotations

import numpy as np
import pytest

from magpie_core.imaging.glioma import Region
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.inference.prediction import Prediction
from magpie_core.preprocessing.modality_check import ModalityDoubt
from magpie_core.preprocessing.prepared_study import PreparedStudy


def predict(study: Study, labels: np.ndarray) -> Prediction:
    """Return what inference returns, without a network."""
    reference = study.volumes[Modality.T1CE]
    return Prediction(
        segmentation=Segmentation(labels, reference.affine, label_schema("magpie")),
        probabilities=np.zeros((3, *labels.shape), np.float16),
        reference=Modality.T1CE,
        modalities_used=(Modality.T1CE, Modality.FLAIR),
        modalities_missing=(Modality.T1, Modality.T2),
        warnings=("There is no T2.",),
        device="cpu",
        precision="fp32",
        seconds={"network": 1.23456},
        model_name="magpie-s 0.1.0",
        model_hash="ab" * 32,
        model_license="Apache-2.0",
        intervals_ml={Region.ET: (0.123456, 2.5)},
        doubts=(
            ModalityDoubt(Modality.T1, Modality.T2, "T1 looks like T2.", 3.456, exchanged=True),
            ModalityDoubt(Modality.T1CE, None, "The T1ce cannot be judged.", 0.5),
        ),
        prepared=PreparedStudy(study),
    )


def ball(shape, center, radius_mm, spacing):
    """Return the voxels within a ball."""
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
def prediction(study) -> Prediction:
    """Return a prediction of core in rim in edema."""
    reference = study.volumes[Modality.T1CE]
    labels = np.zeros(reference.shape, np.uint8)
    for radius_mm, label in ((9, 2), (6, 3), (3, 1)):
        labels[ball(reference.shape, (30, 24, 8), radius_mm, reference.spacing_mm)] = label
    return predict(study, labels)


@pytest.fixture
def no_tumor(study) -> Prediction:
    """Return a prediction without a tumor."""
    return predict(study, np.zeros(study.volumes[Modality.T1CE].shape, np.uint8))
