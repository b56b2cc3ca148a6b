"""Segmentation files and their label schemas."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from magpie_core.errors import InputError, ResourceError
from magpie_core.imaging.glioma import Region, Tissue
from magpie_core.imaging.label_schema import SCHEMAS, LabelSchema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.segmentation_file import read_segmentation, sidecar_path, write_segmentation

AFFINE = np.diag([-2.0, -1, 3, 1])


def segmentation(schema: str | LabelSchema = "magpie") -> Segmentation:
    """Return a small segmentation with every label of its schema."""
    schema = SCHEMAS[schema] if isinstance(schema, str) else schema
    labels = np.zeros((4, 5, 6), np.uint8)
    for index, value in enumerate(schema.labels):
        labels[index, : index + 1, :2] = value
    return Segmentation(labels, AFFINE, schema)


@pytest.mark.parametrize("schema", [*SCHEMAS, LabelSchema("ours", {7: Tissue.ET, 200: Tissue.ED})], ids=str)
def test_round_trip_with_sidecar(schema: str | LabelSchema, tmp_path: Path) -> None:
    written = segmentation(schema)
    write_segmentation(written, tmp_path / "segmentation.nii.gz")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["segmentation.json", "segmentation.nii.gz"]
    read = read_segmentation(tmp_path / "segmentation.nii.gz")
    assert read.schema == written.schema
    assert read.labels.dtype == np.uint8
    assert (read.labels == written.labels).all()
    assert np.allclose(read.affine, AFFINE)


def test_the_sidecar_has_names_codes_and_colors(tmp_path: Path) -> None:
    write_segmentation(segmentation(), tmp_path / "segmentation.nii.gz")
    described = json.loads((tmp_path / "segmentation.json").read_text())["label_schema"]
    assert described["name"] == "magpie"
    assert [(label["value"], label["tissue"]) for label in described["labels"]] == [(1, "NCR"), (2, "ED"), (3, "ET")]
    assert described["labels"][2]["code"] == {"scheme": "NCIt", "value": "C113842", "meaning": "Enhancing Lesion"}
    assert all(len(label["color"]) == 3 and label["name"] for label in described["labels"])


def test_volumes_in_milliliters() -> None:
    one = segmentation()
    assert one.volume_ml(Tissue.NCR) == pytest.approx(2 * 0.006)
    assert one.volume_ml(Region.TC) == pytest.approx((2 + 6) * 0.006)
    assert one.volume_ml(Region.WT) == pytest.approx((2 + 4 + 6) * 0.006)
    assert one.volume_ml(Tissue.RC) == 0


def test_labels_without_a_schema_are_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "seg.nii.gz"
    write_segmentation(segmentation("brats-2022"), path)
    sidecar_path(path).unlink()
    with pytest.raises(InputError, match="not guessed") as caught:
        read_segmentation(path)
    assert caught.value.source == str(path)
    assert read_segmentation(path, "brats-2022").schema is SCHEMAS["brats-2022"]
    assert read_segmentation(path, SCHEMAS["brats-2022"]).volume_ml(Region.ET) > 0


def test_a_schema_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "seg.nii.gz"
    write_segmentation(segmentation("brats-2022"), path)
    with pytest.raises(InputError, match="does not know: 4") as caught:
        read_segmentation(path, "magpie")
    assert caught.value.source == str(path)


@pytest.mark.parametrize("content", ["", "{}", '{"label_schema": {"name": "x", "labels": [{"value": 1}]}}', "[1]"])
def test_a_damaged_sidecar_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "seg.nii.gz"
    write_segmentation(segmentation(), path)
    sidecar_path(path).write_text(content)
    with pytest.raises(InputError) as caught:
        read_segmentation(path)
    assert caught.value.source == str(tmp_path / "seg.json")


def test_segmentations_stored_as_floats_are_read(save) -> None:
    path = save(segmentation().labels.astype(np.float64))
    assert (read_segmentation(path, "magpie").labels == segmentation().labels).all()


def test_other_images_are_refused(save) -> None:
    with pytest.raises(InputError, match=r"0\.5"):
        read_segmentation(save(np.full((3, 3, 3), 0.5, np.float32)), "magpie")
    with pytest.raises(InputError, match="3 x 3 x 3 x 2"):
        read_segmentation(save(np.zeros((3, 3, 3, 2), np.uint8)), "magpie")
    with pytest.raises(InputError, match="three-dimensional"):
        Segmentation(np.zeros((3, 3)), np.eye(4), SCHEMAS["magpie"])


def test_a_failed_write_leaves_no_segmentation(tmp_path: Path, monkeypatch) -> None:
    replace = os.replace

    def fail_for_images(source: Path, target: Path) -> None:
        if str(target).endswith(".nii.gz"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_for_images)
    with pytest.raises(ResourceError):
        write_segmentation(segmentation(), tmp_path / "segmentation.nii.gz")
    assert list(tmp_path.iterdir()) == []
