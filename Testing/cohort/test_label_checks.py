"""Labels follow the registration of the image that they were drawn on, on real cases."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from magpie_core.app.add_case import AddCaseRequest, add_case
from magpie_core.app.session import Session
from magpie_core.cohort.cohort import Cohort
from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.io.discovery import read_study
from magpie_core.io.segmentation_file import read_segmentation
from magpie_core.training.labeled_cases import pack_case

REGIONS = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}


@pytest.fixture(scope="module")
def moved(cases_folder, tmp_path_factory):
    """A real case whose head lay elsewhere while FLAIR was taken: folder with images and labels."""
    source = cases_folder / "train" / "Brats18_CBICA_AOZ_1"
    folder = tmp_path_factory.mktemp("moved")
    for name in ("t1", "t1c", "t2"):
        image = nibabel.load(source / f"{name}.nii.gz")
        nibabel.save(
            nibabel.Nifti1Image(np.asarray(image.dataobj, np.float32), image.affine), folder / f"{name}.nii.gz"
        )
    flair, labels = (nibabel.load(source / f"{name}.nii.gz") for name in ("flair", "seg"))
    move = np.eye(4)
    move[:3, 3] = (9, -7, 0)
    data = np.asarray(flair.dataobj, np.float32)
    integers = np.asarray(labels.dataobj).astype(np.uint8)
    slices = gaussian_filter(data, (0, 0, 1))[:, :, ::3]
    slices[data[:, :, ::3] == 0] = 0
    affine = move @ flair.affine @ np.diag([1, 1, 3, 1])
    (folder / "thick").mkdir()
    nibabel.save(nibabel.Nifti1Image(slices, affine), folder / "thick" / "flair.nii.gz")
    nibabel.save(nibabel.Nifti1Image(integers[:, :, ::3], affine), folder / "thick" / "seg.nii.gz")
    # The same movement, but resampled by the scanner: FLAIR has the grid of the T1ce.
    shifted = np.roll(data, (-9, 7), axis=(0, 1))
    (folder / "same").mkdir()
    nibabel.save(nibabel.Nifti1Image(shifted, flair.affine), folder / "same" / "flair.nii.gz")
    nibabel.save(
        nibabel.Nifti1Image(np.roll(integers, (-9, 7), axis=(0, 1)), flair.affine), folder / "same" / "seg.nii.gz"
    )
    nibabel.save(nibabel.Nifti1Image(integers, labels.affine), folder / "seg.nii.gz")
    return folder


def add(moved, place, labels, cohort, session, **options):
    """Add the case with the FLAIR of a folder; the labels as training sees them."""
    images = {Modality.T1: "t1", Modality.T1CE: "t1c", Modality.T2: "t2"}
    files = {modality: moved / f"{name}.nii.gz" for modality, name in images.items()}
    files[Modality.FLAIR] = moved / place / "flair.nii.gz"
    request = AddCaseRequest(
        images=files, labels=moved / labels, cohort=cohort, patient="1", schema="brats-2022", **options
    )
    add_case(request, session=session)
    (case,) = Cohort(cohort).cases()
    study = read_study(case.images, name=case.name)
    return pack_case(study, read_segmentation(case.labels), 1.0, name="x", preparations=session.preparations).labels


def dice(one, other):
    """Dice of each region."""
    masks = {region: (np.isin(one, values), np.isin(other, values)) for region, values in REGIONS.items()}
    return {region: 2 * (a & b).sum() / (a.sum() + b.sum()) for region, (a, b) in masks.items()}


def resampled(path, affine):
    """Every third slice, repeated: what labels in thick slices can tell at all."""
    return np.repeat(path[:, :, ::3], 3, axis=2)[:, :, : path.shape[2]]


@pytest.mark.parametrize("place", ["thick", "same"])
def test_labels_drawn_on_a_moved_image_follow_it(moved, tmp_path, place):
    session = Session()
    right = add(moved, place, "seg.nii.gz", tmp_path / "right", session, drawn_on=Modality.T1CE)
    found = add(moved, place, f"{place}/seg.nii.gz", tmp_path / "found", session, drawn_on=Modality.FLAIR)
    scores = dice(found, right)
    assert min(scores.values()) > 0.95, scores


def test_an_image_that_moved_on_the_same_grid_has_to_be_named(moved, tmp_path):
    with pytest.raises(InputError, match="--drawn-on FLAIR"):
        add(moved, "same", "same/seg.nii.gz", tmp_path / "cohort", Session())
