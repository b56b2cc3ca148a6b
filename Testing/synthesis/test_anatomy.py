"""The heads: from a folder, from the installed template, or refused."""

import importlib.util

import nibabel
import numpy as np
import pytest

from magpie_core.errors import InputError, ResourceError
from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.synthesis.generator import GliomaGenerator
from magpie_core.synthesis.tissue import HeadTissue


def test_a_folder_without_label_maps_is_refused_by_name(tmp_path):
    with pytest.raises(ResourceError, match=tmp_path.name):
        Anatomy.from_folder(tmp_path)
    with pytest.raises(ResourceError, match="does not exist"):
        Anatomy.from_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("fault", ["classes", "spacing", "text"])
def test_a_file_that_is_no_label_map_is_refused_by_name(tmp_path, phantom_head, fault):
    path = tmp_path / "head.nii.gz"
    labels = phantom_head + (40 if fault == "classes" else 0)
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([3.0 if fault == "spacing" else 1.0] * 3 + [1.0])), path)
    if fault == "text":
        path.write_text("not an image")
    with pytest.raises(InputError, match=r"head\.nii\.gz"):
        Anatomy.from_folder(tmp_path).head(0, spacing_mm=2.0)


def test_tissues_of_a_point_add_up_to_one_inside_the_map(phantom_head):
    import torch

    head = Anatomy([phantom_head]).head(0, spacing_mm=2.0)
    points = torch.rand(5, 5, 5, 3) * 60 - 30
    torch.testing.assert_close(head.tissues(points).sum(0), torch.ones(5, 5, 5), atol=0.02, rtol=0)


def test_the_template_head_is_a_whole_brain_at_the_centre():
    if importlib.util.find_spec("nilearn") is None:
        pytest.skip("needs nilearn, whose package carries the template")
    labels = template.template_head()
    brain = np.isin(labels, [tissue for tissue in HeadTissue if 2 <= tissue <= 11])
    assert labels.shape == template.SHAPE
    assert 1200 < brain.sum() / 1000 < 2200
    places = np.argwhere(brain)
    assert np.abs((places.min(0) + places.max(0)) / 2 - np.array(labels.shape) / 2).max() < 3
    for tissue in (
        HeadTissue.VENTRICLE,
        HeadTissue.CEREBELLAR_CORTEX,
        HeadTissue.BRAINSTEM,
        HeadTissue.THALAMUS,
    ):
        assert (labels == tissue).sum() > 3000, tissue
    (study,) = GliomaGenerator(Anatomy([labels])).sample(1)
    assert study.labels.any()


def test_a_missing_template_is_said_with_advice(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ResourceError, match="nilearn"):
        Anatomy.fallback()


def test_the_real_label_maps_can_all_be_read(anatomy_folder):
    anatomy = Anatomy.from_folder(anatomy_folder)
    assert len(anatomy) == 20
    (study,) = GliomaGenerator(anatomy).sample(0)
    assert 900 < study.brain.sum() * 0.008 < 2200
