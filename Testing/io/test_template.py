"""The ICBM 152 template that comes with the installation."""

import numpy as np
import pytest

from magpie_core.errors import ResourceError
from magpie_core.io.template import read_template, template_head_file
from magpie_core.storage import resources


def test_template_is_a_symmetric_brain_in_mni_coordinates():
    template = read_template()
    assert template.shape == (197, 233, 189)
    assert np.array_equal(template.data, template.data[::-1])
    np.testing.assert_array_equal(template.affine[:3, 3], (-98, -134, -72))
    volume_ml = np.count_nonzero(template.data) * template.voxel_volume_ml
    assert 1700 < volume_ml < 2100  # an average made by linear alignment is larger than a brain
    center = np.argwhere(template.data).mean(axis=0) + template.affine[:3, 3]
    assert center[0] == 0 and np.abs(center).max() < 25


def test_template_files_take_less_than_a_megabyte_and_carry_their_license():
    folder = template_head_file().parent
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
    assert "Copyright (C) 1993-2009 Louis Collins" in (folder / "LICENSE").read_text(encoding="utf-8")


def test_missing_template_raises_a_resource_error(monkeypatch, tmp_path):
    monkeypatch.setattr(resources, "__file__", str(tmp_path / "storage" / "resources.py"))
    with pytest.raises(ResourceError, match="Template"):
        read_template()
