"""Label maps of heads: from a folder, from the template, or rejected."""

import nibabel
import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from magpie_core.errors import InputError, ResourceError
from magpie_core.storage import resources
from magpie_core.synthesis.anatomy import SHAPE, Anatomy
from magpie_core.synthesis.generator import GliomaGenerator
from magpie_core.synthesis.tissue import HeadTissue


def test_folder_without_label_maps_is_rejected_by_name(tmp_path):
    with pytest.raises(ResourceError, match=tmp_path.name):
        Anatomy.find(tmp_path)
    with pytest.raises(ResourceError, match="does not exist"):
        Anatomy.find(tmp_path / "missing")


def test_hidden_files_are_not_read_as_label_maps(tmp_path, phantom_head):
    (tmp_path / "._head.nii.gz").write_bytes(b"Mac OS X")
    (tmp_path / "._head.nii").write_bytes(b"Mac OS X")
    with pytest.raises(ResourceError, match=r"no \*\.nii\.gz"):
        Anatomy.find(tmp_path)
    nibabel.save(nibabel.Nifti1Image(phantom_head, np.eye(4)), tmp_path / "head.nii.gz")
    assert [path.name for path in Anatomy.find(tmp_path).maps] == ["head.nii.gz"]


@pytest.mark.parametrize(
    "fault", ["classes", "spacing", "text", "empty", "tumor", "tiny", "4-D", "negative", "nan", "color"]
)
def test_file_that_is_no_label_map_is_rejected_by_name(tmp_path, phantom_head, fault):
    path = tmp_path / "head.nii.gz"
    labels = {
        "classes": phantom_head + 40,
        "empty": phantom_head * 0,
        "tumor": np.minimum(phantom_head, 4),
        "tiny": phantom_head[50:52, 60:62, 50:52],
        "4-D": np.stack([phantom_head] * 2, -1),
        "negative": -phantom_head.astype(np.int16),
        "nan": np.where(phantom_head == 1, np.nan, phantom_head).astype(np.float32),
        "color": np.zeros(phantom_head.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")]),
    }.get(fault, phantom_head)
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([3.0 if fault == "spacing" else 1.0] * 3 + [1.0])), path)
    if fault == "text":
        path.write_text("not an image")
    with pytest.raises(InputError, match=r"head\.nii\.gz"):
        Anatomy.find(tmp_path).head(0, spacing_mm=2.0)


def test_tissue_probabilities_sum_to_one_inside_the_map(phantom_anatomy):
    head = phantom_anatomy.head(0, spacing_mm=2.0)
    points = torch.rand(3, 5, 5, 5) * 60 - 30
    torch.testing.assert_close(head.sampler()(points).sum(0), torch.ones(5, 5, 5), atol=0.02, rtol=0)


def test_probabilities_at_1_mm_equal_those_of_the_one_hot_map(phantom_head, phantom_anatomy):
    head = phantom_anatomy.head(0, spacing_mm=1.0)
    points = torch.rand(3, 7, 8, 9) * 140 - 70  # some of them outside
    channels = functional.one_hot(torch.from_numpy(phantom_head).long(), 16).permute(3, 0, 1, 2).float()
    grid = torch.stack([points[axis] * 2 / phantom_head.shape[axis] for axis in (2, 1, 0)], -1)
    expected = functional.grid_sample(channels[None], grid[None], align_corners=False)[0]
    torch.testing.assert_close(head.sampler()(points), expected, atol=1e-4, rtol=0)


def test_template_head_is_a_whole_brain_at_the_center():
    anatomy = Anatomy.find(None)
    labels = anatomy.labels(0)
    brain = np.isin(labels, [tissue for tissue in HeadTissue if 2 <= tissue <= 11])
    assert labels.shape == SHAPE
    assert 1200 < brain.sum() / 1000 < 2200
    places = np.argwhere(brain)
    assert np.abs((places.min(0) + places.max(0)) / 2 - np.array(labels.shape) / 2).max() < 3
    for tissue in (HeadTissue.VENTRICLE, HeadTissue.CEREBELLAR_CORTEX, HeadTissue.BRAINSTEM, HeadTissue.THALAMUS):
        assert (labels == tissue).sum() > 3000, tissue
    (study,) = GliomaGenerator(anatomy).sample(1)
    assert study.labels.any()


def test_missing_template_raises_a_resource_error(monkeypatch, tmp_path):
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "storage" / "resources.py"))
    with pytest.raises(ResourceError, match="Template"):
        Anatomy.find(None)


def test_real_label_maps_can_be_read(anatomy_folder):
    anatomy = Anatomy.find(anatomy_folder)
    assert len(anatomy) == 20
    (study,) = GliomaGenerator(anatomy).sample(0)
    assert 900 < study.brain.sum() * 0.008 < 2200


def as_freesurfer(tissues):
    """A head of phantom tissues in FreeSurfer's codes, with separate hemispheres, without fluid or skull."""
    codes = {HeadTissue.CORTEX: (42, 3), HeadTissue.WHITE_MATTER: (41, 2), HeadTissue.VENTRICLE: (43, 4)}
    labels = np.zeros(tissues.shape, np.int32)
    half = tissues.shape[0] // 2
    for tissue, (right, left) in codes.items():
        here = tissues == tissue
        labels[half:][here[half:]] = right
        labels[:half][here[:half]] = left
    return labels


def test_freesurfer_map_anywhere_in_the_world_becomes_a_centered_head(tmp_path, phantom_head):
    labels = as_freesurfer(phantom_head)
    labels[labels == 3] = 1012  # a parcel of the cortex
    affine = np.array([[-1, 0, 0, 70], [0, 0, 1, -30], [0, -1, 0, 90], [0, 0, 0, 1.0]])
    turned = nibabel.Nifti1Image(labels, affine)
    nibabel.save(turned, tmp_path / "aseg.nii.gz")
    tissues = Anatomy.find(tmp_path).labels(0)
    assert tissues.shape == SHAPE
    for tissue in (HeadTissue.CORTEX, HeadTissue.WHITE_MATTER, HeadTissue.VENTRICLE):
        assert (tissues == tissue).sum() == (phantom_head == tissue).sum()
    assert (tissues == HeadTissue.SULCAL_CSF).any()
    brain = np.argwhere(tissues > 0)
    assert np.abs((brain.min(0) + brain.max(0) + 1) / 2 - np.array(tissues.shape) / 2).max() <= 1


def test_map_of_unknown_codes_is_rejected(tmp_path, phantom_head):
    nibabel.save(nibabel.Nifti1Image(phantom_head.astype(np.int16) * 600, np.eye(4)), tmp_path / "strange.nii.gz")
    with pytest.raises(InputError, match=r"strange\.nii\.gz"):
        Anatomy.find(tmp_path).labels(0)
