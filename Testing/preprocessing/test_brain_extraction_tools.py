"""Programs of others find the brain where they are installed; here a stand-in plays their part."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from magpie_core.errors import InputError, ResourceError
from magpie_core.preprocessing.brain_extraction import EXTERNAL_METHODS, extract_brain_with


def install(folder: Path, program: str, body: str) -> None:
    path = folder / program
    path.write_text(f"#!{sys.executable}\nimport sys, nibabel, numpy\nwords = sys.argv[1:]\n{body}\n")
    path.chmod(0o755)


WORKS = """
image = nibabel.load(words[words.index("-i") + 1])
mask = (numpy.asarray(image.dataobj) > 100).astype(numpy.uint8)
target = words[words.index("-m") + 1] if "-m" in words else words[words.index("-o") + 1].replace(".nii", "_mask.nii")
nibabel.save(nibabel.Nifti1Image(mask, image.affine), target)
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize("tool", list(EXTERNAL_METHODS))
def test_the_mask_lies_on_the_image(programs: Path, make_volume, tool: str) -> None:
    install(programs, EXTERNAL_METHODS[tool][0], WORKS)
    image = make_volume()
    mask = extract_brain_with(tool, image)
    assert np.array_equal(mask.data, image.data > 100)
    assert np.array_equal(mask.affine, image.affine)


def test_what_is_not_installed_or_fails_is_told(programs: Path, make_volume, monkeypatch) -> None:
    install(programs, "mri_synthstrip", "sys.exit('no model weights')")
    with pytest.raises(InputError, match="ynthstrip found no brain.*[Nn]o model weights"):
        extract_brain_with("synthstrip", make_volume())
    monkeypatch.setenv("PATH", str(programs / "nothing"))
    with pytest.raises(ResourceError, match="hd-bet is not installed"):
        extract_brain_with("hd-bet", make_volume())
