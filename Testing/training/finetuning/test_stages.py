"""The stages of a fine-tuning in words."""

from __future__ import annotations

from magpie_core.training.finetuning.stages import round_stage, synthesis_reporter


def test_synthesis_reporter_counts_the_studies_and_estimates_the_remaining_time():
    said = []
    times = iter([0.0, 60.0, 240.0])
    report = synthesis_reporter(lambda *reported: said.append(reported), 50, 150, lambda: next(times))
    for fraction in (0.0, 0.2, 0.8):
        report(fraction)
    assert said == [
        (0.0, "Generating synthetic studies, 50 of 150 done"),
        (0.2, "Generating synthetic studies, 70 of 150 done, about 4 min remaining"),
        (0.8, "Generating synthetic studies, 130 of 150 done, about 1 min remaining"),
    ]


def test_round_stage_names_the_remaining_time_and_too_few_steps():
    assert round_stage(1, 6, 67.5) == "Fine-tuning, round 2 of 6, about 68 min remaining"
    assert round_stage(1, 6, None, 8) == "Fine-tuning, round 2 of 6"
    assert round_stage(1, 6, 67.5, 900) == "Fine-tuning, round 2 of 6, about 68 min remaining"
    assert round_stage(0, 6, 2.5, 40) == (
        "Fine-tuning, round 1 of 6 (about 40 steps, which hardly improve a model), about 3 min remaining"
    )
