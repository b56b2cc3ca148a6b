"""Labels follow the registration of the image that they were drawn on, on a real case."""

from __future__ import annotations

import nibabel
import numpy as np
from scipy.ndimage import gaussian_filter

from magpie_core.app.add_case import AddCaseRequest, add_case
from magpie_core.app.session import Session
from magpie_core.cohort.cohort import Cohort
from magpie_core.imaging.label_schema import SCHEMAS
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.volume import Volume
from magpie_core.io.discovery import read_study
from magpie_core.io.segmentation_file import read_segmentation
from magpie_core.preprocessing.resampling import resample_nearest
from magpie_core.training.labeled_cases import pack_case

REGIONS = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}


def test_labels_drawn_on_a_moved_image_follow_it(cases_folder, tmp_path):
    """The head lay elsewhere while FLAIR was taken, in thick slices; the labels are stored flipped and cropped."""
    source = cases_folder / "train" / "Brats18_CBICA_AOZ_1"
    flair, labels = (nibabel.load(source / f"{name}.nii.gz") for name in ("flair", "seg"))
    move = np.eye(4)
    move[:3, 3] = (9, -7, 0)
    data = np.asarray(flair.dataobj, np.float32)
    slices = gaussian_filter(data, (0, 0, 1))[:, :, ::3]
    slices[data[:, :, ::3] == 0] = 0
    thick = flair.affine @ np.diag([1, 1, 3, 1])
    nibabel.save(nibabel.Nifti1Image(slices, move @ thick), tmp_path / "flair.nii.gz")
    integers = np.asarray(labels.dataobj).astype(np.uint8)[:, :, ::3]
    cut = np.array([[-1, 0, 0, len(integers) - 1], [0, 1, 0, 2], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    stored = np.ascontiguousarray(integers[::-1, 2:])
    nibabel.save(nibabel.Nifti1Image(stored, move @ thick @ cut), tmp_path / "seg.nii.gz")
    images = {Modality.T1: "t1", Modality.T1CE: "t1c", Modality.T2: "t2"}
    files = {modality: source / f"{name}.nii.gz" for modality, name in images.items()}
    session, cohort = Session(), tmp_path / "cohort"
    request = AddCaseRequest(
        images={**files, Modality.FLAIR: tmp_path / "flair.nii.gz"},
        labels=tmp_path / "seg.nii.gz", cohort=cohort, patient="1", schema="brats-2022",
    )  # fmt: skip
    add_case(request, session=session)
    (case,) = Cohort(cohort).cases()
    study = read_study(case.images, name=case.name)
    cache = session.preparations
    found = pack_case(study, read_segmentation(case.labels), 1.0, name="x", preparations=cache).labels
    grid = cache.prepare(study).on_model_grid(1.0)
    there = SCHEMAS["brats-2022"].convert(integers, SCHEMAS["magpie"])
    right = resample_nearest(Volume(there, thick), grid.affine, found.shape)
    for region, values in REGIONS.items():
        one, other = np.isin(found, values), np.isin(right, values)
        assert 2 * (one & other).sum() / (one.sum() + other.sum()) > 0.95, region
