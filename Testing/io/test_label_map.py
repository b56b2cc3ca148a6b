"""Label maps as other programs write them: formats, axis orders, number types, and what they say of themselves."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.glioma import Tissue
from magpie_core.imaging.label_schema import SCHEMAS
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.segmentation_file import find_segmentation, read_segmentation

AFFINE = np.array([[-1.0, 0, 0, -20], [0, -1.5, 0, 30], [0, 0, 2, 5], [0, 0, 0, 1]])
LPS = np.diag([-1.0, -1, 1, 1])


@pytest.fixture
def labels() -> np.ndarray:
    """Edema, in it necrosis and enhancing tumor; nothing is symmetric."""
    found = np.zeros((12, 14, 10), np.uint8)
    found[2:9, 3:11, 2:8] = 2
    found[3:5, 4:8, 3:5] = 1
    found[5, 5:9, 4:6] = 3
    return found


def orders():
    """Storage orders: permutation of the axes, and which are flipped."""
    return [((0, 1, 2), ()), ((0, 1, 2), (0,)), ((2, 0, 1), (1,)), ((1, 0, 2), (0, 1, 2)), ((2, 1, 0), (2,))]


def stored(data, affine, axes, flips):
    """The same image in another storage order."""
    turn = np.eye(4)[:, [*axes, 3]]
    data, affine = data.transpose(axes), affine @ turn
    for axis in flips:
        affine = affine.copy()
        affine[:3, 3] += (data.shape[axis] - 1) * affine[:3, axis]
        affine[:3, axis] *= -1
        data = np.flip(data, axis)
    return np.ascontiguousarray(data), affine


def write(path: Path, data, affine, metadata=None) -> Path:
    """Write as nibabel or SimpleITK does."""
    if path.name.endswith((".nii", ".nii.gz")):
        nibabel.save(nibabel.Nifti1Image(data, affine), str(path))
        return path
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(data.transpose(2, 1, 0, *range(3, data.ndim))), data.ndim > 3)
    flipped = LPS @ affine
    spacing = np.linalg.norm(flipped[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(flipped[:3, 3].tolist())
    image.SetDirection((flipped[:3, :3] / spacing).ravel().tolist())
    for key, value in (metadata or {}).items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path), "compressed" in path.name)
    return path


@pytest.mark.parametrize("order", orders(), ids=str)
@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz", "x.nrrd", "x.mha", "compressed.nrrd"])
def test_any_format_and_axis_order_has_the_same_voxels_in_the_world(tmp_path, labels, name, order):
    data, affine = stored(labels, AFFINE, *order)
    read = read_segmentation(write(tmp_path / name, data, affine), "magpie")
    placed = read.on_grid(Geometry(labels.shape, AFFINE))
    assert placed is not None
    np.testing.assert_array_equal(placed.labels, labels)
    np.testing.assert_array_equal(placed.affine, AFFINE)


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "float32", "float64", "int64"])
@pytest.mark.parametrize("name", ["x.nii.gz", "x.nrrd", "x.mha"])
def test_any_number_type(tmp_path, labels, name, kind):
    if kind == "int64" and name == "x.nii.gz":
        nibabel.save(nibabel.Nifti1Image(labels.astype(kind), AFFINE, dtype="int64"), str(tmp_path / name))
        path = tmp_path / name
    else:
        path = write(tmp_path / name, labels.astype(kind), AFFINE)
    np.testing.assert_array_equal(read_segmentation(path, "magpie").labels, labels)


def test_a_float_that_a_scale_factor_made_is_an_integer(tmp_path, labels):
    path = write(tmp_path / "x.nii.gz", labels.astype(np.float32) * np.float32(1.00001), AFFINE)
    np.testing.assert_array_equal(read_segmentation(path, "magpie").labels, labels)


def test_cropped_and_padded_maps_fit_and_others_do_not(labels):
    whole = Segmentation(labels, AFFINE, SCHEMAS["magpie"])
    crop = AFFINE.copy()
    crop[:3, 3] += AFFINE[:3, :3] @ (1, 2, 1)
    cropped = Segmentation(labels[1:10, 2:12, 1:9], crop, SCHEMAS["magpie"])
    np.testing.assert_array_equal(cropped.on_grid(whole.geometry).labels, labels)
    np.testing.assert_array_equal(whole.on_grid(cropped.geometry).labels, cropped.labels)
    beyond = Segmentation(labels[4:], AFFINE, SCHEMAS["magpie"])
    assert whole.on_grid(Geometry(beyond.labels.shape, beyond.affine)) is None  # labeled voxels lie beyond it
    for change in (np.diag([2.0, 1, 1, 1]), np.array([[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])):
        assert whole.on_grid(Geometry(labels.shape, AFFINE @ change)) is None
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    assert whole.on_grid(Geometry(labels.shape, turned @ AFFINE)) is None
    far = AFFINE.copy()
    far[:3, 3] += 5000
    assert whole.on_grid(Geometry(labels.shape, far)) is None


def segment(number: int, name: str, value: int, layer: int = 0, code: str = "SCT^85756007^Tissue") -> dict[str, str]:
    """Header of a segment as 3D Slicer writes it."""
    tags = f"TerminologyEntry:Segmentation category and type~SCT^49755003^Morphology~{code}~^^~Anatomic codes~^^~^^|"
    fields = {"Name": name, "LabelValue": str(value), "Layer": str(layer), "Tags": tags, "ID": f"Segment_{number}"}
    return {f"Segment{number}_{key}": text for key, text in fields.items()}


def test_a_segmentation_of_slicer_says_what_its_segments_are(tmp_path, labels):
    header = segment(0, "rim", 2, code="SCT^79654002^Edema") | segment(1, "Enhancing tumor", 3) | segment(2, "NCR", 1)
    read = read_segmentation(write(tmp_path / "x.seg.nrrd", labels, AFFINE, header))
    np.testing.assert_array_equal(read.labels, labels)
    assert dict(read.schema.labels) == {1: Tissue.NCR, 2: Tissue.ED, 3: Tissue.ET}
    with pytest.raises(InputError, match="msd says 1 ED"):
        read_segmentation(tmp_path / "x.seg.nrrd", "msd")


def test_layers_of_a_segmentation_of_slicer(tmp_path, labels):
    layers = np.stack([np.where(labels == 2, 1, np.where(labels == 1, 2, 0)), labels == 3], -1).astype(np.uint8)
    header = segment(0, "edema", 1) | segment(1, "necrosis", 2) | segment(2, "enhancing", 1, 1)
    read = read_segmentation(write(tmp_path / "x.seg.nrrd", layers, AFFINE, header))
    for tissue, value in ((Tissue.NCR, 1), (Tissue.ED, 2), (Tissue.ET, 3)):
        np.testing.assert_array_equal(read.mask(tissue), labels == value)
    layers[..., 1] |= layers[..., 0] > 0
    with pytest.raises(InputError, match="overlap"):
        read_segmentation(write(tmp_path / "y.seg.nrrd", layers, AFFINE, header))


def test_a_segment_that_is_no_tissue_is_named(tmp_path, labels):
    header = segment(0, "edema", 2) | segment(1, "enhancing", 3) | segment(2, "Ventricle", 1)
    with pytest.raises(InputError, match='"Ventricle"'):
        read_segmentation(write(tmp_path / "x.seg.nrrd", labels, AFFINE, header))


@pytest.mark.parametrize("name", ["x.nrrd", "x.seg.nrrd", "x.mha", "x.dcm", "x.nii.gz", "x.png"])
def test_damaged_and_other_files_are_refused_by_name(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"NRRD0004\ntype: unsigned char\n")
    with pytest.raises(InputError) as caught:
        read_segmentation(path, "magpie")
    assert caught.value.source == str(path) and caught.value.remedy
    with pytest.raises(InputError):
        read_segmentation(tmp_path / f"missing-{name}", "magpie")


def test_a_vector_image_is_no_segmentation(tmp_path, labels):
    with pytest.raises(InputError, match="not a segmentation"):
        read_segmentation(write(tmp_path / "x.nrrd", np.stack([labels] * 3, -1), AFFINE), "magpie")


@pytest.mark.parametrize("overlap", [False, True])
def test_a_dicom_segmentation(tmp_path, labels, make_volume, overlap):
    highdicom = pytest.importorskip("highdicom")
    import pydicom
    from dicom_files import write_series

    affine = np.diag([-1.0, -1.5, 2, 1])
    affine[:3, 3] = AFFINE[:3, 3]
    series = write_series(make_volume(labels.shape, affine=affine), tmp_path / "series", description="T1")
    images = [pydicom.dcmread(path) for path in series]
    for image in images:
        image.StudyDate = image.StudyTime = image.AccessionNumber = image.StudyID = image.ReferringPhysicianName = ""
        image.PatientBirthDate = image.PatientSex = ""
    code = highdicom.sr.CodedConcept
    described = [
        highdicom.seg.SegmentDescription(
            number, tissue.value, code("49755003", "SCT", "Morphologically Abnormal Structure"),
            code(tissue.code[1], tissue.code[0], tissue.code[2]), highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, tissue in enumerate((Tissue.ET, Tissue.ED, Tissue.NCR), 1)
    ]  # fmt: skip
    masks = np.stack([labels.transpose(2, 1, 0) == value for value in (3, 2, 1)], -1).astype(np.uint8)
    masks[..., 0] |= masks[..., 1] if overlap else 0
    kind = highdicom.seg.SegmentationTypeValues.BINARY
    made = highdicom.seg.Segmentation(
        images, masks, kind, described, highdicom.UID(), 9, highdicom.UID(), 1, "M", "M", "1", "1",
    )  # fmt: skip
    made.save_as(tmp_path / "x.dcm")
    if overlap:
        with pytest.raises(InputError, match="overlap"):
            read_segmentation(tmp_path / "x.dcm")
        return
    read = read_segmentation(tmp_path / "x.dcm").on_grid(Geometry(labels.shape, affine))
    for tissue, value in ((Tissue.NCR, 1), (Tissue.ED, 2), (Tissue.ET, 3)):
        np.testing.assert_array_equal(read.mask(tissue), labels == value)
    with pytest.raises(InputError, match="not a DICOM segmentation"):
        read_segmentation(series[0])


DECLARED = [
    {"background": 0, "edema": 1, "necrosis": 2, "enhancing tumor": 3},
    {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]},
    {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": 3},
    {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumor"},
    {"background": 0, "ED": 1, "NCR/NET": 2, "ET": 3},
]


@pytest.mark.parametrize("said", DECLARED, ids=str)
def test_dataset_json_says_what_the_labels_are(tmp_path, labels, said):
    (tmp_path / "labelsTr").mkdir()
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": said}))
    path = write(tmp_path / "labelsTr" / "a.nii.gz", labels, AFFINE)
    assert read_segmentation(path).schema.name == "msd" and read_segmentation(path, "msd")
    with pytest.raises(InputError, match=r"brats-2023 says 1 NCR, 2 ED, 3 ET; dataset.json says 1 ED, 2 NCR"):
        read_segmentation(path, "brats-2023")
    assert read_segmentation(path, "brats-2023", override=True).schema.name == "brats-2023"


@pytest.mark.parametrize("place", ["sub-01/anat/sub-01_dseg.tsv", "dseg.tsv", "sub-01/sub-01_dseg.tsv"])
def test_a_bids_table_says_what_the_labels_are(tmp_path, labels, place):
    (tmp_path / "sub-01" / "anat").mkdir(parents=True)
    (tmp_path / "dataset_description.json").write_text("{}")
    (tmp_path / place).write_text("index\tname\tabbreviation\n1\tedema\tED\n2\tNecrosis\tNCR\n3\tEnhancing\tET\n")
    path = write(tmp_path / "sub-01" / "anat" / "sub-01_dseg.nii.gz", labels, AFFINE)
    assert read_segmentation(path).schema.name == "msd"
    with pytest.raises(InputError, match="contradict"):
        read_segmentation(path, "magpie")


def test_two_labels_of_one_tissue_become_one(tmp_path, labels):
    (tmp_path / "labelsTr").mkdir()
    said = {"background": 0, "necrosis": 1, "edema": 2, "non-enhancing": 3, "enhancing": 4}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": said}))
    read = read_segmentation(write(tmp_path / "labelsTr" / "a.nrrd", labels, AFFINE))
    np.testing.assert_array_equal(read.mask(Tissue.NCR), np.isin(labels, (1, 3)))


def test_names_that_are_not_understood_declare_nothing(tmp_path, labels):
    (tmp_path / "labelsTr").mkdir()
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "class 1": 1, "class 2": 2}}))
    path = write(tmp_path / "labelsTr" / "a.nii", labels, AFFINE)
    with pytest.raises(InputError, match="not guessed"):
        read_segmentation(path)
    assert read_segmentation(path, "magpie")
    (tmp_path / "dataset.json").write_text("nonsense")
    with pytest.raises(InputError) as caught:
        read_segmentation(path, "magpie")
    assert caught.value.source.endswith("dataset.json")


def test_the_reference_standard_may_have_any_format(tmp_path):
    for name in ("Segmentation.seg.nrrd", "t1.nii.gz", "x_tissue.nrrd"):
        (tmp_path / name).touch()
    assert find_segmentation(tmp_path).name == "Segmentation.seg.nrrd"
    (tmp_path / "seg.mha").touch()
    assert find_segmentation(tmp_path).name == "seg.mha"
