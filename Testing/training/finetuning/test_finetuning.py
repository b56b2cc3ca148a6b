"""Fine-tuning on a cohort: out of fold, resumable, with an acceptance test."""

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
from magpie_core.training.run_log import read_log

OPTIONS = FinetuneOptions(
    steps=8,
    synthetic_studies=0,
    patches=CasePatches(patch_size=(16, 16, 16), brain_size=(32, 32, 32), backbone_until=0.0),
)


@pytest.fixture
def cohort(tmp_path, make_study):
    """Four phantoms; the last lacks T1 and T2."""
    cohort = Cohort.create(tmp_path / "cohort")
    for number in range(4):
        modalities = (Modality.T1CE, Modality.FLAIR) if number == 3 else ()
        study = make_study(*modalities, patient=number)
        volume = study.volumes[study.reference]
        labels = np.zeros(volume.shape, np.uint8)
        labels[8:14, 16:22, 10:16] = 3
        cohort.add(study, Segmentation(labels, volume.affine, label_schema("magpie")), patient=str(number))
    return cohort


def test_every_case_is_scored_by_a_model_not_trained_on_it(cohort, tiny_model, tmp_path):
    stages = []
    done = finetune(
        cohort.folds(2),
        load_model(tiny_model),
        tmp_path / "run",
        name="ours",
        options=OPTIONS,
        progress=lambda fraction, stage: stages.append((fraction, stage)),
    )
    names = {case.name for case in cohort.cases()}
    assert set(done.current) == set(done.candidate) == names
    for number, fold in enumerate(cohort.folds(2)):
        trained = load_model(tmp_path / "run" / f"fold{number}" / "model").description.training["cases"]
        assert set(trained) == names - {case.name for case in fold}
    assert set(load_model(done.model).description.training["cases"]) == names
    kept = json.loads((done.evidence / "scores.json").read_text())
    assert kept["candidate"] == done.candidate and kept["verdict"]
    for name in names:
        read_segmentation(done.evidence / f"{name}_candidate.nii.gz")
    fractions = [fraction for fraction, _ in stages]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_resumed_run_equals_an_uninterrupted_one(cohort, tiny_model, tmp_path):
    class Interrupted(Exception):
        pass

    def stop(fraction, stage):
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


def test_run_of_other_cases_is_refused_or_restarted(cohort, tiny_model, tmp_path):
    """With a case removed the folds are others: a fold's model would be scored on cases that it was trained on."""
    start, options, run = load_model(tiny_model), replace(OPTIONS, steps=2), tmp_path / "run"
    before = finetune(cohort.folds(2), start, run, name="ours", options=options)
    fold_hash = load_model(run / "fold0" / "model").hash
    cohort.remove(cohort.cases()[0].name, reason="a test")
    with pytest.raises(InputError, match="other settings: cases"):
        finetune(cohort.folds(2), start, run, name="ours", options=options)
    assert load_model(run / "fold0" / "model").hash == fold_hash
    after = finetune(cohort.folds(2), start, run, name="ours", options=options, restart=True)
    assert set(after.candidate) == {case.name for case in cohort.cases()} < set(before.candidate)
    for number, fold in enumerate(cohort.folds(2)):
        trained = load_model(run / f"fold{number}" / "model").description.training["cases"]
        assert set(trained) == set(after.candidate) - {case.name for case in fold}
    with pytest.raises(InputError, match="other settings: cases"):
        finetune(cohort.folds(3), start, run, name="ours", options=options)


def test_known_scores_of_the_current_version_are_used(cohort, tiny_model, tmp_path):
    name = cohort.cases()[0].name
    known = {name: {"ET": 0.9, "TC": 0.9, "WT": 0.9}}
    done = finetune(
        cohort.folds(2), load_model(tiny_model), tmp_path / "run", name="ours", options=OPTIONS, known_scores=known
    )
    assert done.current[name] == known[name]
    assert not (done.evidence / f"{name}_current.nii.gz").exists()


def test_interpolation_of_1_keeps_the_starting_model(cohort, tiny_model, tmp_path):
    start = load_model(tiny_model)
    options = replace(OPTIONS, steps=2, interpolation=1.0)
    done = finetune(cohort.folds(2), start, tmp_path / "run", name="ours", options=options)
    assert done.current == done.candidate and not done.decision.dice_change.mean
    assert done.decision.accepted  # not worse


def test_two_cases_are_refused(cohort, tiny_model, tmp_path):
    folds = [fold[:1] for fold in cohort.folds(2)]
    with pytest.raises(InputError, match="3 corrected cases"):
        finetune(folds, load_model(tiny_model), tmp_path / "run", name="ours", options=OPTIONS)
    assert not (tmp_path / "run").exists()


def test_synthetic_studies_are_generated_once_and_mixed_in(cohort, tiny_model, tmp_path):
    options = replace(OPTIONS, steps=2, synthetic_studies=2)
    finetune(cohort.folds(2), load_model(tiny_model), tmp_path / "run", name="ours", options=options)
    assert len(list((tmp_path / "run" / "synthetic").glob("*.npy"))) == 2
    counts = read_log(tmp_path / "run" / "synthetic" / "log.jsonl")
    assert [(line["made"], line["studies"]) for line in counts] == [(0, 2), (1, 2), (2, 2)]


def test_fixed_synthetic_set_is_of_one_voxel_size(tmp_path):
    for spacing_mm, shape in ((4.0, (40, 48, 40)), (3.0, (52, 64, 52))):
        synthetic_set = FixedSyntheticSet(tmp_path / "synthetic_set", 1, spacing_mm=spacing_mm)
        synthetic_set.fill()
        assert synthetic_set.draw(np.random.default_rng(0)).shape == shape


def test_folds_are_averaged_or_combined_to_an_ensemble(cohort, tiny_model, tmp_path):
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


def test_early_stopping_uses_cases_of_neither_training_nor_test(cohort, tiny_model, tmp_path):
    options = replace(OPTIONS, steps=400, patience_epochs=2)
    folds = cohort.folds(4)
    finetune(folds, load_model(tiny_model), tmp_path / "run", name="ours", options=options)
    for number in range(4):
        stopped = torch.load(tmp_path / "run" / f"fold{number}" / "checkpoint.pt", weights_only=True)
        assert stopped["step"] < 400
        trained = load_model(tmp_path / "run" / f"fold{number}" / "model").description.training["cases"]
        away = {case.name for fold in (folds[number], folds[(number + 1) % 4]) for case in fold}
        assert not away & set(trained)
    with pytest.raises(InputError, match="three folds"):
        finetune(cohort.folds(2), load_model(tiny_model), tmp_path / "two", name="ours", options=options)


def test_forgetting_test_set_is_scored_and_never_trained_on(cohort, tiny_model, tmp_path):
    folds = cohort.folds(4)
    forgetting_test_set, training = folds[0], folds[1:]
    options = replace(OPTIONS, steps=2)
    done = finetune(
        training,
        load_model(tiny_model),
        tmp_path / "run",
        name="ours",
        options=options,
        forgetting_test_set=forgetting_test_set,
    )
    assert done.decision.forgetting_dice_change is not None
    kept = json.loads((done.evidence / "scores.json").read_text())["sentinels"]
    assert set(kept["candidate"]) == {case.name for case in forgetting_test_set}
    with pytest.raises(InputError, match="forgetting test set"):
        finetune(
            folds,
            load_model(tiny_model),
            tmp_path / "no",
            name="ours",
            options=options,
            forgetting_test_set=forgetting_test_set,
        )


def test_paper_options_are_those_of_the_paper():
    options = paper_options(seed=4)
    assert options.loop.optimizer == "sgd" and options.loop.learning_rate == 1e-2
    assert options.patches.patch_size == (128, 128, 128) and options.patches.batch_size == 2
    assert options.steps_of(16) == 200 * 8 and options.patience_epochs == 50


@pytest.mark.parametrize("wrong", [{"combine": "vote"}, {"interpolation": 2.0}, {"minutes": 0.0}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(InputError):
        FinetuneOptions(**wrong)
