"""A brain is registered to the ICBM 152 template, and nothing of it is resampled."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from magpie_core.errors import InputError, ResourceError
from magpie_core.imaging.volume import Volume
from magpie_core.io.template import read_template
from magpie_core.preprocessing.template_registration import TemplateAlignment, align_to_template


@pytest.fixture(scope="module")
def template():
    return read_template()


def _patient(template, to_patient, spacing_mm=2.0):
    """Another contrast of the template's brain, moved, noisy, with a tumor, stored left and posterior; its masks."""
    affine = np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = (115, 115, -115)
    size = round(230 / spacing_mm)
    to_index = np.linalg.inv(template.affine) @ np.linalg.inv(to_patient) @ affine
    data = ndimage.affine_transform(template.data, to_index[:3, :3], to_index[:3, 3], (size,) * 3, order=1)
    brain = data > 20
    data = np.where(brain, 280 - data + np.random.default_rng(0).normal(0, 10, data.shape), 0)
    center = np.array([0.36, 0.5, 0.57]) * size
    index = np.stack(np.meshgrid(*[np.arange(size)] * 3, indexing="ij"), axis=-1)
    tumor = brain & (np.linalg.norm(index - center, axis=-1) * spacing_mm < 25)
    data[tumor] = 500
    return Volume(data.astype(np.float32), affine), brain, tumor


def test_a_known_affine_is_found_again_to_two_millimeters(template):
    turn = np.radians(12)
    to_patient = np.array(
        [
            [0.92, 0.03, 0.00, 12.0],
            [0.00, 0.90 * np.cos(turn), -0.9 * np.sin(turn), -20.0],
            [-0.04, 0.95 * np.sin(turn), 0.95 * np.cos(turn), 8.0],
            [0, 0, 0, 1.0],
        ]
    )
    image, brain, tumor = _patient(template, to_patient)
    found = align_to_template(image, brain=brain, tumor=tumor, threads=1)
    assert found.without_tumor
    places = _places(template)
    error_mm = np.linalg.norm((found.matrix @ to_patient @ places - places)[:3], axis=0)
    assert error_mm.mean() < 2.0
    placed = found.onto_template(brain, image.geometry, nearest=True)
    inside = template.data > 0
    assert placed.dtype == bool and placed.shape == template.shape
    assert 2 * (placed & inside).sum() / (placed.sum() + inside.sum()) > 0.95


def test_a_tumor_that_would_leave_hardly_any_brain_is_not_left_out(template):
    to_patient = np.diag([0.95, 0.9, 0.95, 1.0])
    to_patient[:3, 3] = (10, -15, 20)
    image, brain, _ = _patient(template, to_patient, spacing_mm=3.0)
    wrong = np.ones(brain.shape, bool)
    wrong[brain.shape[0] // 2 + 12 :] = False
    found = align_to_template(image, brain=brain, tumor=wrong, threads=1)
    assert not found.without_tumor
    places = _places(template)
    error_mm = np.linalg.norm((found.matrix @ to_patient @ places - places)[:3], axis=0)
    assert error_mm.mean() < 2.0


def _places(template):
    index = np.argwhere(template.data > 0)[::997].T
    return template.affine @ np.vstack([index, np.ones(index.shape[1])])


def test_an_image_goes_to_the_templates_grid_by_world_coordinates():
    template = Volume(np.ones((20, 24, 22), np.float32), np.eye(4))
    matrix = np.eye(4)
    matrix[:3, 3] = (3, -2, 5)
    data = np.zeros((20, 24, 22), np.uint8)
    data[5, 10, 6] = 200
    image = Volume(data, np.eye(4))
    mirror = np.diag([-1.0, 1, 1, 1])
    mirror[0, 3] = 19
    flipped = Volume(data[::-1].copy(), mirror)
    for one in (image, flipped):
        placed = TemplateAlignment(matrix, template, 0.0).onto_template(one.data, one.geometry)
        assert placed.dtype == np.uint8 and np.argwhere(placed).tolist() == [[8, 8, 11]]
        assert placed.max() == 200


def test_what_is_no_brain_is_refused():
    template = Volume(np.ones((60, 60, 60), np.float32), np.diag([2.0, 2, 2, 1]))
    with pytest.raises(InputError, match="Hardly any"):
        align_to_template(Volume(np.zeros((20, 20, 20), np.float32), np.eye(4)), template=template)


def test_alignment_without_the_template_says_what_to_do(monkeypatch):
    def missing(name):
        raise ResourceError(f"The folder {name} is missing", remedy="Install MAGPIE again")

    monkeypatch.setattr("magpie_core.io.template.resources_folder", missing)
    with pytest.raises(ResourceError, match="Template is missing. Install MAGPIE again"):
        align_to_template(Volume(np.ones((60, 60, 60), np.float32), np.diag([2.0, 2, 2, 1])))
