"""`import magpie_core as magpie`: the example of its docstring runs, and every public name is there."""

from __future__ import annotations

import inspect
import re
import textwrap

import magpie_core
from magpie_core.imaging.modality import Modality
from magpie_core.io.nifti import write_volume


def test_docstring_example_runs(make_study, models_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MAGPIE_MODELS", str(models_folder))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study").mkdir()
    for modality, volume in make_study().volumes.items():
        write_volume(volume, tmp_path / "study" / f"{modality.value.lower()}.nii.gz")
    doc = inspect.getdoc(magpie_core)
    lines = [textwrap.dedent(line) for line in re.findall(r"^    .+$", doc, re.MULTILINE)]
    assert lines[0] == "import magpie_core as magpie" and lines[-1].startswith("result.volumes_ml")
    names: dict[str, object] = {}
    exec("\n".join(lines[:-1]), names)
    assert eval(lines[-1], names) >= 0
    assert names["result"].segmentation.labels.any() and names["result"].files == {}


def test_every_public_name_is_there_and_documented():
    for name in magpie_core.__all__:
        value = getattr(magpie_core, name)
        assert name.isupper() or name == "__version__" or inspect.getdoc(value), name
    assert set(magpie_core.__all__) <= set(dir(magpie_core))


def test_segment_takes_files_by_modality_and_gives_what_the_request_says(make_study, tiny_model, tmp_path):
    images = {}
    for modality, volume in make_study(Modality.T1CE, Modality.FLAIR).volumes.items():
        images[modality.value] = tmp_path / f"{modality.value}.nii.gz"
        write_volume(volume, images[modality.value])
    result = magpie_core.segment(images, model=str(tiny_model), device="cpu", output=str(tmp_path / "result"))
    assert set(result.files) == {"segmentation", "report", "overview"}
    assert result.report["modalities_used"] == ["T1CE", "FLAIR"]
