"""Fine-tuning on a cohort: out of fold, resumable, judged."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from magpie_core.cohort.cohort import Cohort
from magpie_core.errors import InputError
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.segmentation_file import read_segmentation
from magpie_core.models.model import load_model
from magpie_core.training.finetuning.finetune import finetune
from magpie_core.training.finetuning.options import FinetuneOptions, paper_options
from magpie_core.training.fixed_synthetic_set import FixedSyntheticSet
from magpie_core.training.patch_sampling import CasePatches

OPTIONS = FinetuneOptions(
    steps=8,
    replay_studies=0,
    recipe=CasePatches(box=(16, 16, 16), whole_box=(32, 32, 32), backbone_until=0.0),
)


@pytest.fixture
def cohort(tmp_path, make_study):
    """Four phantoms; the last lacks T1 and T2."""
    cohort = Cohort.create(tmp_path / "cohort")
    for number in range(4):
        modalities = (Modality.T1CE, Modality.FLAIR) if number == 3 else ()
        study = make_study(*modalities, spacing_mm=1 + number / 500)
        volume = study.volumes[study.reference]
        labels = np.zeros(volume.shape, np.uint8)
        labels[8:14, 16:22, 10:16] = 3
        cohort.add(study, Segmentation(labels, volume.affine, label_schema("magpie")), patient=str(number))
    return cohort


def test_every_case_is_judged_by_a_model_that_did_not_see_it(cohort, tiny_model, tmp_path):
    stages = []
    done = finetune(
        cohort.folds(2),
        load_model(tiny_model),
        tmp_path / "run",
        name="ours",
        options=OPTIONS,
        progress=lambda share, stage: stages.append((share, stage)),
    )
    names = {case.name for case in cohort.cases()}
    assert set(done.current) == set(done.candidate) == names
    for number, fold in enumerate(cohort.folds(2)):
        taught = load_model(tmp_path / "run" / f"fold{number}" / "model").description.training["cases"]
        assert set(taught) == names - {case.name for case in fold}
    assert set(load_model(done.model).description.training["cases"]) == names
    kept = json.loads((done.evidence / "scores.json").read_text())
    assert kept["candidate"] == done.candidate and kept["verdict"]
    for name in names:
        read_segmentation(done.evidence / f"{name}_candidate.nii.gz")
    shares = [share for share, _ in stages]
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_an_interrupted_run_goes_on_and_ends_as_if_it_had_not_been(cohort, tiny_model, tmp_path):
    class Interrupted(Exception):
        pass

    def stop(share, stage):
        if "round 2" in stage:
            raise Interrupted

    start = load_model(tiny_model)
    whole = finetune(cohort.folds(2), start, tmp_path / "whole", name="ours", options=OPTIONS)
    with pytest.raises(Interrupted):
        finetune(cohort.folds(2), start, tmp_path / "run", name="ours", options=OPTIONS, progress=stop)
    resumed = finetune(cohort.folds(2), start, tmp_path / "run", name="ours", options=OPTIONS)
    first, second = (load_model(done.model).network.state_dict() for done in (whole, resumed))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert resumed.candidate == whole.candidate


def test_a_run_of_other_cases_is_refused_or_begun_anew(cohort, tiny_model, tmp_path):
    """With a case removed the folds are others: a part's model would judge cases that it was taught."""
    start, options, run = load_model(tiny_model), replace(OPTIONS, steps=2), tmp_path / "run"
    before = finetune(cohort.folds(2), start, run, name="ours", options=options)
    learned = load_model(run / "fold0" / "model").hash
    cohort.remove(cohort.cases()[0].name, reason="a test")
    with pytest.raises(InputError, match="another training.* cases"):
        finetune(cohort.folds(2), start, run, name="ours", options=options)
    assert load_model(run / "fold0" / "model").hash == learned
    after = finetune(cohort.folds(2), start, run, name="ours", options=options, anew=True)
    assert set(after.candidate) == {case.name for case in cohort.cases()} < set(before.candidate)
    for number, fold in enumerate(cohort.folds(2)):
        taught = load_model(run / f"fold{number}" / "model").description.training["cases"]
        assert set(taught) == set(after.candidate) - {case.name for case in fold}
    with pytest.raises(InputError, match="another training.* cases"):
        finetune(cohort.folds(3), start, run, name="ours", options=options)


def test_scores_of_the_current_version_on_its_own_cases_are_taken_as_given(cohort, tiny_model, tmp_path):
    name = cohort.cases()[0].name
    known = {name: {"ET": 0.9, "TC": 0.9, "WT": 0.9}}
    done = finetune(
        cohort.folds(2),
        load_model(tiny_model),
        tmp_path / "run",
        name="ours",
        options=OPTIONS,
        known_scores=known,
    )
    assert done.current[name] == known[name]
    assert not (done.evidence / f"{name}_current.nii.gz").exists()


def test_keeping_all_of_the_start_changes_nothing(cohort, tiny_model, tmp_path):
    start = load_model(tiny_model)
    options = replace(OPTIONS, steps=2, interpolate_weights=1.0)
    done = finetune(cohort.folds(2), start, tmp_path / "run", name="ours", options=options)
    assert done.current == done.candidate and not done.verdict.gain.mean
    assert done.verdict.accepted  # no worse: nothing speaks against it


def test_two_cases_are_too_few(cohort, tiny_model, tmp_path):
    folds = [fold[:1] for fold in cohort.folds(2)]
    with pytest.raises(InputError, match="3 corrected cases"):
        finetune(folds, load_model(tiny_model), tmp_path / "run", name="ours", options=OPTIONS)
    assert not (tmp_path / "run").exists()


def test_synthetic_studies_are_made_once_and_mixed_in(cohort, tiny_model, tmp_path):
    options = replace(OPTIONS, steps=2, replay_studies=2)
    finetune(cohort.folds(2), load_model(tiny_model), tmp_path / "run", name="ours", options=options)
    assert len(list((tmp_path / "run" / "replay").glob("*.npy"))) == 2


def test_synthetic_studies_of_another_voxel_size_are_not_used_again(tmp_path):
    for spacing_mm, shape in ((4.0, (40, 48, 40)), (3.0, (52, 64, 52))):
        shelf = FixedSyntheticSet(tmp_path / "shelf", 1, spacing_mm=spacing_mm)
        shelf.fill()
        assert shelf.draw(np.random.default_rng(0)).shape == shape


def test_the_folds_can_be_averaged_or_kept_together(cohort, tiny_model, tmp_path):
    start = load_model(tiny_model)
    members = None
    for combine in ("average", "ensemble"):
        options = replace(OPTIONS, steps=2, combine=combine)
        done = finetune(cohort.folds(2), start, tmp_path / combine, name="ours", options=options)
        members = [load_model(tmp_path / combine / f"fold{number}" / "model") for number in range(2)]
        network = load_model(done.model).network
        images = torch.rand(1, 4, 32, 32, 32)
        with torch.inference_mode():
            outputs = [part.network(images, network.config.modalities).logits for part in (*members,)]
            found = network(images, network.config.modalities).logits
        expected = torch.stack(outputs).mean(dim=0)
        if combine == "ensemble":
            assert torch.allclose(found, expected, atol=1e-4)
        else:
            first, second = (part.network.state_dict() for part in members)
            key = next(iter(first))
            assert torch.allclose(network.state_dict()[key], (first[key] + second[key]) / 2, atol=1e-3)


def test_stopping_early_is_decided_on_cases_that_neither_teach_nor_judge(cohort, tiny_model, tmp_path):
    options = replace(OPTIONS, steps=400, patience_epochs=2)
    folds = cohort.folds(4)
    finetune(folds, load_model(tiny_model), tmp_path / "run", name="ours", options=options)
    for number in range(4):
        stopped = torch.load(tmp_path / "run" / f"fold{number}" / "checkpoint.pt", weights_only=True)
        assert stopped["step"] < 400
        taught = load_model(tmp_path / "run" / f"fold{number}" / "model").description.training["cases"]
        away = {case.name for fold in (folds[number], folds[(number + 1) % 4]) for case in fold}
        assert not away & set(taught)
    with pytest.raises(InputError, match="three folds"):
        finetune(cohort.folds(2), load_model(tiny_model), tmp_path / "two", name="ours", options=options)


def test_cases_kept_apart_are_judged_too_and_may_not_teach(cohort, tiny_model, tmp_path):
    folds = cohort.folds(4)
    apart, teaching = folds[0], folds[1:]
    options = replace(OPTIONS, steps=2)
    done = finetune(
        teaching, load_model(tiny_model), tmp_path / "run", name="ours", options=options, sentinels=apart
    )
    assert done.verdict.sentinel_gain is not None
    kept = json.loads((done.evidence / "scores.json").read_text())["sentinels"]
    assert set(kept["candidate"]) == {case.name for case in apart}
    with pytest.raises(InputError, match="kept apart"):
        finetune(
            folds, load_model(tiny_model), tmp_path / "no", name="ours", options=options, sentinels=apart
        )


def test_the_papers_way_is_a_preset():
    options = paper_options(seed=4)
    assert options.loop.optimizer == "sgd" and options.loop.learning_rate == 1e-2
    assert options.recipe.box == (128, 128, 128) and options.recipe.boxes == 2
    assert options.steps_of(16) == 200 * 8 and options.patience_epochs == 50


@pytest.mark.parametrize(
    "wrong",
    [{"combine": "vote"}, {"interpolate_weights": 2.0}, {"minutes": 0.0}],
)
def test_impossible_options_are_refused(wrong):
    with pytest.raises(InputError):
        FinetuneOptions(**wrong)
