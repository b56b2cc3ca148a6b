"""`magpie explain`."""

import json

import nibabel
import numpy as np


def test_maps_table_and_picture_are_written(magpie, write_study, tiny_model, tmp_path):
    study, out = write_study("one"), tmp_path / "out"
    result = magpie("explain", study, "-o", out, "--model", tiny_model, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    names = {path.name for path in out.iterdir()}
    assert names == {f"expert_{n}.nii.gz" for n in range(1, 5)} | {
        "dominant.nii.gz", "agreement.csv", "agreement.json", "experts.png",
    }  # fmt: skip
    reference = nibabel.load(next(study.glob("*t1c*")))
    maps = nibabel.load(out / "expert_1.nii.gz")
    assert maps.shape == reference.shape and np.allclose(maps.affine, reference.affine, atol=1e-4)
    assert json.loads((out / "agreement.json").read_text()) == told
    assert abs(sum(told["share_of_brain"]) - 1) < 0.05
    assert (out / "experts.png").read_bytes()[:4] == b"\x89PNG"
    again = magpie("explain", study, "-o", out, "--model", tiny_model)
    assert again.exit_code == 3 and "--overwrite" in again.stderr
    assert "Maps, table" in magpie("explain", study, "-o", out, "--model", tiny_model, "--overwrite").stdout
