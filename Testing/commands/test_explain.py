"""`magpie explain`."""

import csv
import errno
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from magpie_core.errors import ResourceError
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import write_volume
from magpie_core.io.template import read_template
from magpie_core.models.model import load_model, save_model
from magpie_core.networks.config import LargeKernelConfig, MultiScaleConfig, NetworkConfig
from magpie_core.networks.magpie_net import MagpieNet


def test_maps_table_and_picture_are_written(magpie, write_study, tiny_model, tmp_path):
    study, out = write_study("one"), tmp_path / "out"
    result = magpie("explain", study, "-o", out, "--model", tiny_model, "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    names = {path.name for path in out.iterdir()}
    assert names == {f"expert_{n}.nii.gz" for n in range(1, 5)} | {
        "dominant.nii.gz", "agreement.csv", "agreement.json", "experts.png",
    }  # fmt: skip
    reference = nibabel.load(next(study.glob("*t1c*")))
    maps = nibabel.load(out / "expert_1.nii.gz")
    assert maps.shape == reference.shape and np.allclose(maps.affine, reference.affine, atol=1e-4)
    assert json.loads((out / "agreement.json").read_text()) == summary
    with (out / "agreement.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [float(row["iou_2"]) for row in table] == [row["ious"][1] for row in summary["agreement"]]
    assert {"iou", "iou_4", "iou_at_fixed_threshold", "iou_at_fixed_threshold_4"} <= set(table[0])
    assert abs(sum(summary["fraction_of_brain"]) - 1) < 0.05
    best = {row["region"]: row["expert"] for row in summary["agreement"] if row["where"] == "box"}
    assert all(best[region] == int(expert) for expert, region in summary["names"].items())
    assert (out / "experts.png").read_bytes()[:4] == b"\x89PNG"
    again = magpie("explain", study, "-o", out, "--model", tiny_model)
    assert again.exit_code == 3 and "--overwrite" in again.stderr
    shown = magpie("explain", study, "-o", out, "--model", tiny_model, "--overwrite").stdout
    assert "Maps, table" in shown
    numbers = dict(re.findall(r"^  (\w+) +expert (\d)", shown, re.MULTILINE))
    assert {region: int(number) for region, number in numbers.items()} == best


def test_a_part_of_the_network_is_chosen_by_number_or_by_word(magpie, write_study, tiny_model, tmp_path):
    study = write_study("one")
    shown = {}
    for layer in ("finest", "mean", "0", "7", "coarsest"):
        result = magpie("explain", study, "-o", tmp_path / layer, "--model", tiny_model, "--layer", layer, "--json")
        shown[layer] = json.loads(result.stdout)["layer"] if result.exit_code == 0 else result.stderr
    assert (shown["finest"], shown["mean"], shown["0"]) == (0, 0, 0)  # of one part the mean is that one
    assert "no layer '7'" in shown["7"] and "finest, or mean" in shown["coarsest"]
    assert "'encoder, stage 1' (number 0)" in shown["7"] and not (tmp_path / "7").exists()
    named = magpie("explain", study, "-o", tmp_path / "named", "--model", tiny_model, "--layer", "encoder, stage 1")
    assert named.exit_code == 0


def test_what_another_look_left_goes_and_other_files_stay(magpie, write_study, tiny_model, tmp_path):
    study, out = write_study("one"), tmp_path / "out"
    (out / "template").mkdir(parents=True)
    for name in ("expert_9.nii.gz", "attention.csv", "template/alignment.json", "notes.txt", "template/mine.txt"):
        (out / name).write_text("of before")
    result = magpie("explain", study, "-o", out, "--model", tiny_model, "--overwrite")
    assert result.exit_code == 0, result.output
    names = {path.name for path in out.rglob("*") if path.is_file()}
    assert names >= {"notes.txt", "mine.txt", "dominant.nii.gz"}
    assert not names & {"expert_9.nii.gz", "attention.csv", "alignment.json"}


@pytest.mark.parametrize(
    ("words", "summary"),
    [(("-o", "a-file"), "a file, not a folder"), (("--reference-schema", "magpie"), "Name the file with --reference")],
)
def test_an_output_or_a_reference_that_makes_no_sense_is_refused(
    magpie, write_study, tiny_model, tmp_path, monkeypatch, words, summary
):
    study = write_study("one")
    monkeypatch.chdir(tmp_path)
    Path("a-file").write_text("kept")
    result = magpie("explain", study, "-o", "out", "--model", tiny_model, *words)
    assert result.exit_code == 3 and summary in result.stderr
    assert Path("a-file").read_text() == "kept" and not Path("out").exists()


def test_maps_are_written_on_the_template(magpie, tiny_model, tmp_path):
    head = read_template()
    affine = head.affine @ np.diag([3, 3, 3, 1])
    affine[:3, 3] += (10, -15, 20)
    study, out = tmp_path / "brain", tmp_path / "out"
    study.mkdir()
    write_volume(Volume(np.ascontiguousarray(head.data[::3, ::3, ::3]), affine), study / "t1.nii.gz")
    tiny = load_model(tiny_model)
    coarse = replace(tiny.description, spacing_mm=3.0)
    save_model(tmp_path / "coarse", coarse, tiny.network.state_dict(), card="# coarse")
    result = magpie("explain", study, "-o", out, "--model", tmp_path / "coarse", "--on-template", "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)["template"]
    assert json.loads((out / "template" / "alignment.json").read_text()) == summary
    assert isinstance(summary["without_tumor"], bool)
    names = {path.name for path in (out / "template").iterdir()}
    assert names == {f"expert_{n}.nii.gz" for n in range(1, 5)} | {
        "anatomy.nii.gz", "segmentation.nii.gz", "segmentation.json", "alignment.json", "experts.png",
    }  # fmt: skip
    matrix = np.array(summary["study_to_template_ras_mm"])
    places = np.array([[0, 0, 20, 1], [50, -20, 10, 1], [-50, -20, 10, 1], [0, -80, 0, 1], [0, 50, 0, 1]]).T
    moved = places + np.array([[10], [-15], [20], [0]])
    voxel_mm = 3.0
    assert np.linalg.norm((matrix @ moved - places)[:3], axis=0).mean() < voxel_mm
    maps = [nibabel.load(out / "template" / f"expert_{n}.nii.gz") for n in range(1, 5)]
    assert np.allclose(maps[0].affine, head.affine) and maps[0].shape == head.shape
    total = sum(np.asarray(one.dataobj, int) for one in maps)
    deep = head.data > 150
    assert abs(np.median(total[deep]) - 255) < 5


def test_explain_without_the_template_starts_nothing(magpie, write_study, tiny_model, tmp_path, monkeypatch):
    def missing(name):
        raise ResourceError(f"The folder {name} is missing", remedy="Install MAGPIE again")

    monkeypatch.setattr("magpie_core.io.template.resources_folder", missing)
    out = tmp_path / "out"
    result = magpie("explain", write_study("one"), "-o", out, "--model", tiny_model, "--on-template")
    assert result.exit_code == 5 and "Template" in result.stderr and not out.exists()


def test_the_attention_at_a_place_is_written(magpie, write_study, tiny_model, tmp_path):
    config = NetworkConfig(
        widths=(4, 8),
        encoder_blocks=(1, 1),
        decoder_blocks=(1,),
        experts=load_model(tiny_model).network.config.experts,
        large_kernel=LargeKernelConfig(stages=(0,), kernel=3, dilation=2),
        multi_scale=MultiScaleConfig(finer_levels=(0, 1), channels=8, heads=2, points=3),
        refinement_channels=4,
        deep_supervision=0,
    )
    description = replace(load_model(tiny_model).description, network=config.to_dict())
    save_model(tmp_path / "attentive", description, MagpieNet(config).state_dict(), card="# attentive")
    study, out = write_study("one"), tmp_path / "out"
    first = nibabel.load(next(study.glob("*t1c*")))
    middle = (first.affine @ [*(np.array(first.shape) / 2), 1])[:3]
    place = ",".join(f"{value:.1f}" for value in middle)
    arguments = ("explain", study, "-o", out, "--model", tmp_path / "attentive", "--json", "--attention-at")
    result = magpie(*arguments, place)
    assert result.exit_code == 0, result.output
    with (out / "attention.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    summary = json.loads(result.stdout)["attention"]
    assert len(rows) == summary["points"] == 2 * 2 * 3 + 27 and len(summary["layers"]) == 2
    assert sum(float(row["weight"]) for row in rows) == pytest.approx(2, abs=1e-3)
    starts = np.array([[float(row[f"from_{axis}_mm"]) for axis in "ras"] for row in rows])
    assert np.abs(starts - middle).max() < 6
    assert (out / "attention.png").read_bytes()[:4] == b"\x89PNG"
    again = magpie(*arguments, "here", "--overwrite")
    assert again.exit_code == 3 and "three numbers" in again.stderr


def test_a_model_without_attention_is_summary_before_the_work(magpie, write_study, tiny_model, tmp_path):
    out = tmp_path / "out"
    result = magpie("explain", write_study("one"), "-o", out, "--model", tiny_model, "--attention-at", "1,2,3")
    assert result.exit_code == 3 and "no deformable attention" in result.stderr and not out.exists()


@pytest.mark.parametrize("name", ["agreement.csv", "experts.png"])
def test_a_file_that_cannot_be_written_leaves_the_one_before(
    magpie, write_study, tiny_model, tmp_path, monkeypatch, name
):
    study, out = write_study("one"), tmp_path / "out"
    words = ("explain", study, "-o", out, "--model", tiny_model, "--overwrite")
    assert magpie(*words).exit_code == 0
    (out / name).write_bytes(b"the one before")
    move = os.replace

    def refuse(source, target):
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        move(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    done = magpie(*words)
    assert done.exit_code == 5 and name in done.stderr and "No space" in done.stderr
    assert (out / name).read_bytes() == b"the one before"
    assert not list(out.glob(".*"))
