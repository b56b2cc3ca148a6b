"""Fine-tuning on a cohort: out of fold, resumable, with an acceptance test."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from magpie_core.cohort.cohort import Cohort
from magpie_core.cohort.seen import Seen
from magpie_core.errors import InputError
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.segmentation_file import read_segmentation
from magpie_core.models.model import load_model, save_model
from magpie_core.networks.config import MomeConfig, NetworkConfig
from magpie_core.networks.mome_net import MomeNet
from magpie_core.storage.site import site_folder
from magpie_core.training.finetuning.acceptance import Verdict
from magpie_core.training.finetuning.ancestry import Lineage, seen_by
from magpie_core.training.finetuning.finetune import finetune
from magpie_core.training.finetuning.options import PRESETS, FinetuneOptions, check_start, mome_options, paper_options
from magpie_core.training.finetuning.scoring import key
from magpie_core.training.fixed_synthetic_set import FixedSyntheticSet
from magpie_core.training.losses import MOME_LOSS, PAPER_LOSS
from magpie_core.training.patch_sampling import CasePatches
from magpie_core.training.run_log import read_log

OPTIONS = FinetuneOptions(
    steps=8,
    synthetic_studies=0,
    patches=CasePatches(patch_size=(16, 16, 16), brain_size=(32, 32, 32), backbone_until=0.0),
)


@pytest.fixture(autouse=True)
def site(tmp_path, monkeypatch):
    """A site of its own."""
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))


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
        Lineage(load_model(tiny_model)),
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

    start = Lineage(load_model(tiny_model))
    whole = finetune(cohort.folds(2), start, tmp_path / "whole", name="ours", options=OPTIONS)
    with pytest.raises(Interrupted):
        finetune(cohort.folds(2), start, tmp_path / "run", name="ours", options=OPTIONS, progress=stop)
    resumed = finetune(cohort.folds(2), start, tmp_path / "run", name="ours", options=OPTIONS)
    first, second = (load_model(done.model).network.state_dict() for done in (whole, resumed))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert resumed.candidate == whole.candidate


def test_run_of_other_cases_is_refused_or_restarted(cohort, tiny_model, tmp_path):
    """With a case removed the folds are others: a fold's model would be scored on cases that it was trained on."""
    start, options, run = Lineage(load_model(tiny_model)), replace(OPTIONS, steps=2), tmp_path / "run"
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


def test_scores_of_the_same_model_and_case_are_used_again(cohort, tiny_model, tmp_path):
    case, start = cohort.folds(2)[0][0], load_model(tiny_model)
    known = {key(case, start): {"ET": 0.9, "TC": 0.9, "WT": 0.9}, f"other {case.content}": {"ET": 0.0}}
    done = finetune(cohort.folds(2), Lineage(start), tmp_path / "run", name="ours", options=OPTIONS, known_scores=known)
    assert done.current[case.name] == known[key(case, start)]
    assert not (done.evidence / f"{case.name}_current.nii.gz").exists()
    assert done.scored[key(case, start)] == done.current[case.name]
    corrected = replace(case, digests={**case.digests, case.labels.name: "0" * 64})
    assert key(corrected, start) != key(case, start)  # the old score is not that of new labels
    assert set(done.scored) == {
        *(key(one, start) for one in cohort.cases()),
        *(
            key(one, load_model(tmp_path / "run" / f"fold{number}" / "model"))
            for number, fold in enumerate(cohort.folds(2))
            for one in fold
        ),
    }


def test_a_copy_is_no_improvement(cohort, tiny_model, tmp_path):
    options = replace(OPTIONS, steps=2, interpolation=1.0)
    done = finetune(cohort.folds(2), Lineage(load_model(tiny_model)), tmp_path / "run", name="ours", options=options)
    assert done.current == done.candidate and not done.decision.dice_change.mean
    assert done.decision.verdict is Verdict.UNCHANGED


def test_every_model_holds_what_it_and_its_ancestors_saw(cohort, tiny_model, tmp_path):
    cases, start = cohort.cases(), load_model(tiny_model)
    before = Seen(frozenset({"someone"}), frozenset({"an image"}))
    trained = replace(start, description=replace(start.description, training={"seen": before.as_dict()}))
    done = finetune(cohort.folds(2), Lineage(trained), tmp_path / "run", name="ours", options=replace(OPTIONS, steps=1))
    assert seen_by(load_model(done.model), {}.get) == before | Seen.of(cases)
    for folder, fold in zip(done.folds, cohort.folds(2), strict=True):
        assert seen_by(load_model(folder), {}.get) == before | Seen.of([case for case in cases if case not in fold])


def test_a_second_round_starts_and_judges_each_fold_with_weights_that_never_saw_it(cohort, tiny_model, tmp_path):
    first = finetune(
        cohort.folds(2), Lineage(load_model(tiny_model)), tmp_path / "1", name="one", options=replace(OPTIONS, steps=30)
    )
    folds = [load_model(folder) for folder in first.folds]
    lineage = Lineage(load_model(first.model), folds)
    options = replace(OPTIONS, steps=1, interpolation=1.0)
    second = finetune(cohort.folds(2), lineage, tmp_path / "2", name="two", options=options, known_scores=first.scored)
    assert second.current == first.candidate == second.candidate
    assert second.decision.verdict is Verdict.UNCHANGED
    for number, model in enumerate(folds):
        weights = load_model(second.folds[number]).network.state_dict()
        assert all(torch.equal(weights[key], value) for key, value in model.network.state_dict().items())


def test_cases_that_every_weight_saw_are_not_judged(cohort, tiny_model, tmp_path):
    base = load_model(tiny_model)
    seen = Seen.of(cohort.folds(2)[0])
    used = replace(base, description=replace(base.description, training={"seen": seen.as_dict()}))
    done = finetune(
        cohort.folds(2), Lineage(used, (), [base]), tmp_path / "run", name="ours", options=replace(OPTIONS, steps=1)
    )
    assert set(done.current) == set(done.candidate) == {case.name for case in cohort.folds(2)[1]}
    assert any("2 cases were trained on but could not be judged" in finding for finding in done.findings)
    assert len(done.folds) == 2  # the fold can be judged by the next fine-tuning
    alone = finetune(cohort.folds(2), Lineage(used), tmp_path / "alone", name="ours", options=replace(OPTIONS, steps=1))
    assert len(alone.folds) == 1


def test_two_cases_are_refused(cohort, tiny_model, tmp_path):
    folds = [fold[:1] for fold in cohort.folds(2)]
    with pytest.raises(InputError, match="3 corrected cases"):
        finetune(folds, Lineage(load_model(tiny_model)), tmp_path / "run", name="ours", options=OPTIONS)
    assert not (tmp_path / "run").exists()


def test_synthetic_studies_are_generated_once_and_mixed_in(cohort, tiny_model, tmp_path):
    options = replace(OPTIONS, steps=2, synthetic_studies=2)
    finetune(cohort.folds(2), Lineage(load_model(tiny_model)), tmp_path / "run", name="ours", options=options)
    assert len(list((site_folder() / "synthetic").rglob("*.npy"))) == 2
    counts = read_log(tmp_path / "run" / "synthetic" / "log.jsonl")
    assert [(line["made"], line["studies"]) for line in counts] == [(0, 2), (1, 2), (2, 2)]
    again = replace(options, steps=3)
    finetune(cohort.folds(2), Lineage(load_model(tiny_model)), tmp_path / "again", name="ours", options=again)
    assert not (tmp_path / "again" / "synthetic").exists()


def test_synthetic_studies_are_as_many_as_there_is_time_for(tmp_path):
    times = iter([True, False])
    some = FixedSyntheticSet(tmp_path / "set", 5, spacing_mm=4.0, log=tmp_path / "log")
    some.fill(is_time=lambda: next(times))
    assert some.made == len(list((tmp_path / "set").iterdir())) == 2
    assert read_log(tmp_path / "log" / "log.jsonl")[-1]["made"] == 2
    none = FixedSyntheticSet(tmp_path / "other", 5, spacing_mm=4.0)
    none.fill(is_time=lambda: False)
    assert none.made == 1


def test_fixed_synthetic_set_is_of_one_voxel_size(tmp_path):
    for spacing_mm, shape in ((4.0, (40, 48, 40)), (3.0, (52, 64, 52))):
        synthetic_set = FixedSyntheticSet(tmp_path / "synthetic_set", 1, spacing_mm=spacing_mm)
        synthetic_set.fill()
        assert synthetic_set.draw(np.random.default_rng(0)).shape == shape


def test_folds_are_averaged_or_combined_to_an_ensemble(cohort, tiny_model, tmp_path):
    start = Lineage(load_model(tiny_model))
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
    finetune(folds, Lineage(load_model(tiny_model)), tmp_path / "run", name="ours", options=options)
    for number in range(4):
        stopped = torch.load(tmp_path / "run" / f"fold{number}" / "checkpoint.pt", weights_only=True)
        assert stopped["step"] < 400
        trained = load_model(tmp_path / "run" / f"fold{number}" / "model").description.training["cases"]
        away = {case.name for fold in (folds[number], folds[(number + 1) % 4]) for case in fold}
        assert not away & set(trained)
        seen = Seen.by(load_model(tmp_path / "run" / f"fold{number}" / "model").description.training)
        assert [case for case in cohort.cases() if not seen.holds(case)] == folds[number]  # what stopped it was seen
    with pytest.raises(InputError, match="three folds"):
        finetune(cohort.folds(2), Lineage(load_model(tiny_model)), tmp_path / "two", name="ours", options=options)


def test_forgetting_test_set_is_scored_and_never_trained_on(cohort, tiny_model, tmp_path):
    folds = cohort.folds(4)
    forgetting_test_set, training = folds[0], folds[1:]
    options = replace(OPTIONS, steps=2)
    done = finetune(
        training,
        Lineage(load_model(tiny_model)),
        tmp_path / "run",
        name="ours",
        options=options,
        forgetting_test_set=forgetting_test_set,
    )
    assert done.decision.forgetting_dice_change is not None
    kept = {path.name for path in done.evidence.glob("*_candidate.nii.gz")}
    assert {f"{case.name}_candidate.nii.gz" for case in forgetting_test_set} <= kept
    with pytest.raises(InputError, match="forgetting test set"):
        finetune(
            folds,
            Lineage(load_model(tiny_model)),
            tmp_path / "no",
            name="ours",
            options=options,
            forgetting_test_set=forgetting_test_set,
        )


def test_forgetting_test_set_that_the_starting_model_was_trained_on_is_refused(cohort, tiny_model, tmp_path):
    folds, start = cohort.folds(4), load_model(tiny_model)
    trained = {"seen": Seen.of(folds[0]).as_dict()}
    start = replace(start, description=replace(start.description, training=trained))
    with pytest.raises(InputError, match="was trained on it before"):
        finetune(
            folds[1:], Lineage(start), tmp_path / "run", name="ours", options=OPTIONS, forgetting_test_set=folds[0]
        )


def test_paper_options_are_those_of_the_paper():
    options = paper_options(seed=4)
    assert options.loop.optimizer == "sgd" and options.loop.learning_rate == 1e-2 and options.loop.schedule == "poly"
    assert options.loop.ema_decay == options.loop.weight_decay == options.loop.warmup_steps == 0
    assert options.loop.precision == "auto" and paper_options(device="cuda:1").loop.precision == "fp16"
    assert options.patches.loss_weights == PAPER_LOSS and options.synthetic_studies == options.interpolation == 0
    assert options.patches.patch_size == (128, 128, 128) and options.patches.batch_size == 2
    assert options.steps_of(16) == 200 * 8 and options.patience_epochs == 50


def test_mome_options_are_those_of_the_paper(small_mome):
    options = mome_options(seed=4)
    assert options.loop.learning_rate == 1e-3 and options.loop.nesterov and options.epochs == 800
    assert options.patches.augmentation.single and options.patches.loss_weights == MOME_LOSS
    check_start("mome", small_mome)
    for wrong, said in (
        (small_mome.network, "no mixture"),
        (replace(small_mome, mode="study"), "every image"),
        (replace(small_mome, network=replace(small_mome.network, output="regions")), "softmax"),
    ):
        check_start("paper", wrong)
        with pytest.raises(InputError, match=said):
            check_start("mome", wrong)


@pytest.mark.parametrize("preset", ["paper", "mome"])
def test_the_papers_presets_train_from_start_to_verdict(cohort, tiny_model, small_mome, tmp_path, preset):
    start = load_model(tiny_model)
    if preset == "mome":
        torch.manual_seed(0)
        description = replace(start.description, name="experts", network=small_mome.to_dict())
        save_model(tmp_path / "experts", description, MomeNet(small_mome).state_dict(), card="# experts")
        start = load_model(tmp_path / "experts")
    options = PRESETS[preset]()
    small = replace(options.patches, patch_size=(16, 16, 16), brain_size=(32, 32, 32))
    options = replace(options, epochs=1, patience_epochs=min(options.patience_epochs, 1), patches=small)
    done = finetune(cohort.folds(4), Lineage(start), tmp_path / "run", name="ours", options=options)
    assert set(done.candidate) == {case.name for case in cohort.cases()} and done.findings
    assert load_model(done.model).network.config.regions == ("ET", "TC", "WT")


def test_fp16_without_a_gpu_is_refused_before_anything_is_made(cohort, tiny_model, tmp_path):
    options = replace(OPTIONS, synthetic_studies=2, loop=replace(OPTIONS.loop, precision="fp16"))
    with pytest.raises(InputError, match="fp16"):
        finetune(cohort.folds(2), Lineage(load_model(tiny_model)), tmp_path / "run", name="ours", options=options)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def small_mome():
    network = NetworkConfig(widths=(4, 8), encoder_blocks=(1, 1), decoder_blocks=(1,), deep_supervision=0)
    return MomeConfig(replace(network, output="tissues"), mode="image")


@pytest.mark.parametrize("wrong", [{"combine": "vote"}, {"interpolation": 2.0}, {"minutes": 0.0}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(InputError):
        FinetuneOptions(**wrong)
