"""`magpie rank`."""

import json


def test_rank_orders_studies_and_leaves_faulty_ones_out(magpie, write_study):
    first, second, broken = write_study("one"), write_study("two"), write_study("three")
    next(broken.glob("*t1ce*")).write_bytes(b"nonsense")
    result = magpie("rank", first, second, broken, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["studies"]
    assert {row["study"] for row in rows} == {str(first), str(second)}
    assert all(0 <= row["uncertainty"] <= 1 for row in rows)
    assert "uncertain" in magpie("rank", first).stdout


def test_rank_leaves_out_studies_that_the_cohort_holds(magpie, write_study, tmp_path):
    """By content: the study is recognized under another name, in another format, and by any of its modalities."""
    import shutil

    import nibabel
    import numpy as np

    from magpie_core.imaging.label_schema import label_schema
    from magpie_core.imaging.segmentation import Segmentation
    from magpie_core.io.segmentation_file import write_segmentation

    held, new = write_study("held"), write_study("new")
    for path in new.iterdir():
        image = nibabel.load(path)
        data = np.asarray(image.dataobj)
        nibabel.save(
            nibabel.Nifti1Image(data * (1 + 0.1 * np.sin(np.arange(data.shape[0])))[:, None, None], image.affine), path
        )
    image = nibabel.load(held / "t1ce.nii.gz")
    labels = np.zeros(image.shape, np.uint8)
    labels[8:14, 16:22, 10:16] = 1
    write_segmentation(Segmentation(labels, image.affine, label_schema("magpie")), tmp_path / "seg.nii.gz")
    cohort = tmp_path / "cohort"
    magpie("cohort", "create", cohort)
    added = magpie("cohort", "add", cohort, held, tmp_path / "seg.nii.gz", "--patient", "1")
    assert added.exit_code == 0, added.output

    renamed = tmp_path / "studies" / "archive-4711"
    shutil.copytree(held, renamed)
    part = tmp_path / "studies" / "part"
    part.mkdir()
    image = nibabel.load(held / "flair.nii.gz")  # one modality, in another storage order, without compression
    nibabel.save(image.as_reoriented(nibabel.orientations.axcodes2ornt("PIR")), part / "flair.nii")
    done = magpie("rank", held, renamed, part, new, "--cohort", cohort, "--json")
    assert done.exit_code == 0, done.output
    assert [row["study"] for row in json.loads(done.stdout)["studies"]] == [str(new)]
    for folder in (held, renamed, part):
        assert f"Left out: {folder} is in the cohort already, as sub-" in done.stderr
    alone = magpie("rank", held, "--cohort", cohort)
    assert alone.exit_code == 0 and "No study is left to rank" in alone.stdout
    wrong = magpie("rank", held, "--cohort", tmp_path)
    assert wrong.exit_code == 3 and "is not a cohort" in wrong.stderr
    empty = tmp_path / "empty"
    magpie("cohort", "create", empty)
    assert len(json.loads(magpie("rank", held, "--cohort", empty, "--json").stdout)["studies"]) == 1
