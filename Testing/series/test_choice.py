"""Which series of a visit is used as what, and why the others are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.series.choice import choose_series
from magpie_core.series.facts import SeriesFacts

T1, T1CE, T2, FLAIR = Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR
SPIN_ECHO = {"repetition_ms": 600.0, "echo_ms": 10.0, "scanning_sequence": ("SE",)}


def series(number: int, name: str = "", **facts) -> SeriesFacts:
    """A series of 30 axial slices of a whole head."""
    usual = {
        "names": (name,) if name else (),
        "frames": 30,
        "spacing_mm": (1.0, 1.0, 5.0),
        "extent_mm": (240.0, 240.0, 150.0),
        "plane": "axial",
        "center_mm": (0.0, 0.0, 0.0),
        "frame_of_reference": "1.2",
        "sop_class": "1.2.840.10008.5.1.4.1.1.4",
    }
    return SeriesFacts(number=number, **{**usual, **facts})


def used(*visit: SeriesFacts, **options) -> dict[Modality, int]:
    """The number of the series that is used as each modality."""
    return {
        modality: several[0].facts.number for modality, several in choose_series(visit, **options).candidates.items()
    }


def doubts(*visit: SeriesFacts) -> list[str]:
    """The doubts about the series that are used."""
    return [text for several in choose_series(visit).candidates.values() for text in several[0].doubts]


T2_FLAIR = (series(90, "AX T2"), series(91, "AX FLAIR"))


@pytest.mark.parametrize(
    ("agents", "expected"),
    [
        (("", ""), {T1: 2}),
        (("", "Gadovist"), {T1: 1, T1CE: 2}),
        (("NONE", "Dotarem 10 ml"), {T1: 1, T1CE: 2}),
        (("N/A", "YES"), {T1: 1, T1CE: 2}),
        (("NO CONTRAST", "NONE GIVEN"), {T1: 2}),
        (("ohne KM", "kein Kontrastmittel"), {T1: 2}),
        (("unknown", "UNKNOWN"), {T1: 2}),
    ],
)
def test_the_agent_of_the_header_decides_where_names_do_not(agents, expected):
    one, other = (
        series(number, name, agents=(agent,))
        for number, name, agent in zip((1, 2), ("AX T1", "COR T1"), agents, strict=True)
    )
    assert used(one, other) == expected


def test_an_agent_that_every_series_names_says_nothing():
    everywhere = [replace(one, agents=("Gadovist",)) for one in T2_FLAIR]
    choice = choose_series([series(1, "AX T1", agents=("Gadovist",)), *everywhere])
    assert T1CE not in choice.candidates and "--series T1CE=1" in choice.open[0]


def test_names_outrank_an_agent_that_all_have():
    one, other = (
        series(1, "AX T1 PRE", agents=("GD",), spacing_mm=(0.5, 0.5, 1)),
        series(2, "AX T1 POST", agents=("GD",)),
    )
    assert used(one, other) == {T1: 1, T1CE: 2}


def test_native_is_not_overruled_by_the_agent():
    for name in ("PRE GAD T1", "T1 nativ", "T1 sans injection", "T1 S/C"):
        assert used(series(1, name, agents=("Gadovist",)), *T2_FLAIR)[T1] == 1


@pytest.mark.parametrize(("number", "time"), [(3, 3000.0), (9, 3000.0)])
def test_a_protocol_that_is_repeated_later_is_taken_as_after_contrast_with_a_doubt(number, time):
    one, other = series(4, "SAG SPGR 3D", time_s=time - 720), series(number, "SAG SPGR 3D", time_s=time)
    assert used(one, other) == {T1: 4, T1CE: number}
    assert f"--series T1CE={number}" in doubts(one, other)[0]


def test_a_repeated_protocol_without_times_is_a_question_and_the_last_the_likelier():
    visit = (series(3, "SAG SPGR"), series(8, "SAG SPGR"))
    assert used(*visit) == {T1: 3, T1CE: 8}
    (question,) = choose_series(visit).open
    assert "--series T1CE=8" in question
    assert not choose_series(visit, {T1CE: 8}).open and not choose_series(visit, {T1: 3, T1CE: None}).open


def test_a_series_after_the_injection_follows_contrast_and_one_before_does_not():
    injected = series(5, "AX T1 +C", time_s=2000.0)
    assert used(series(1, "AX T1", time_s=1000.0), injected) == {T1: 1, T1CE: 5}
    assert used(series(8, "COR T1", time_s=2600.0), injected) == {T1CE: 5}


def test_what_follows_a_contrast_perfusion_is_after_contrast():
    perfusion = series(3, "ep2d_perf_DSC", time_s=1500.0, repeated=False)
    before, after = series(1, "t1_mpr", time_s=900.0), series(6, "t1_mpr", time_s=2100.0)
    assert used(before, perfusion, after) == {T1: 1, T1CE: 6}


def test_two_native_t1_minutes_apart_are_not_told_apart_without_times():
    assert used(series(1, "AX T1"), series(2, "SAG T1")) == {T1: 2}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"image_type": ("ORIGINAL", "PRIMARY", "P", "ND"), "component": "phase"}, "phase"),
        ({"component": "imaginary"}, "imaginary"),
        ({"image_type": ("DERIVED", "SECONDARY", "SUBTRACTION")}, "subtraction"),
        ({"image_type": ("DERIVED", "PRIMARY", "MPR", "PROJECTION IMAGE")}, "projection"),
        ({"b_value": 1000.0}, "diffusion"),
        ({"repeated": True}, "over time"),
        ({"frames": 3}, "only 3 images"),
        ({"modality": "CT"}, "not MR"),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.7"}, "secondary capture"),
        ({"scanning_sequence": ("EP", "GR")}, "echo-planar"),
        ({"center_mm": (0.0, 0.0, -260.0)}, "another part"),
        ({"names": ("SAG T1 POST C SPINE",)}, "another part"),
        ({"names": ("FLAIR_ROI",)}, "mask"),
        ({"names": ("gre_field_mapping",)}, "field map"),
    ],
)
def test_other_kinds_are_set_aside_with_the_reason(facts, reason):
    other = replace(series(7, "AX T1 POST", spacing_mm=(0.4, 0.4, 0.4)), **facts)
    choice = choose_series([series(1, "BRAIN AX T1"), series(6, "BRAIN AX T1 POST"), *T2_FLAIR, other])
    assert choice.candidates[T1CE][0].facts.number == 6
    assert [(facts.number, reason in why) for facts, why in choice.aside] == [(7, True)]


def test_a_gradient_echo_with_short_times_alone_is_no_t1():
    assert used(series(1, "GRE 2 echo", repetition_ms=500.0, echo_ms=4.9, scanning_sequence=("GR",)), *T2_FLAIR) == {
        T2: 90,
        FLAIR: 91,
    }


def test_a_series_known_by_name_beats_a_finer_one_known_by_timing_alone():
    fine = series(1, "STRUC", spacing_mm=(0.5, 0.5, 0.5), **SPIN_ECHO)
    assert used(fine, series(2, "AX T1", **SPIN_ECHO))[T1] == 2
    assert used(fine)[T1] == 1 and "timing" in doubts(fine)[0]


@pytest.mark.parametrize(("part", "rank"), [("W", 0), ("in", 1), ("opp", 2)])
def test_of_a_dixon_series_the_water_comes_first_and_the_fat_never(part, rank):
    parts = [series(number, f"t1_vibe_dixon_tra_{name}") for number, name in enumerate(("F", "opp", "in", "W"), 1)]
    order = [one.facts.names[0].rpartition("_")[2] for one in choose_series(parts).candidates[T1]]
    assert order[rank] == part and "F" not in order


def test_an_original_comes_before_a_finer_reformatted_one():
    reformatted = series(3, "AX T1 POST", spacing_mm=(0.5, 0.5, 0.5), image_type=("DERIVED", "PRIMARY", "MPR"))
    assert used(reformatted, series(2, "SAG T1 POST", image_type=("ORIGINAL", "PRIMARY")))[T1CE] == 2


@pytest.mark.parametrize(
    ("timing", "modality"),
    [
        ({"repetition_ms": 2100.0, "echo_ms": 24.0, "inversion_ms": 750.0}, T1),
        ({"repetition_ms": 9000.0, "echo_ms": 120.0, "inversion_ms": 2500.0}, FLAIR),
    ],
)
def test_flair_alone_is_read_by_its_inversion_time(timing, modality):
    assert used(series(1, "AX FLAIR", **timing)) == {modality: 1}


def test_a_series_is_chosen_or_left_out_by_number():
    visit = (series(1, "AX T1"), series(2, "AX T1 POST"), series(3, "STRANGE"))
    assert used(*visit, chosen={T1CE: 3}) == {T1: 1, T1CE: 3}
    assert used(*visit, chosen={T1CE: None}) == {T1: 1}
    for chosen in ({T1CE: 9}, {T1: 1, T1CE: 1}):
        with pytest.raises(InputError) as caught:
            choose_series(visit, chosen)
        assert caught.value.remedy


def test_an_agent_that_a_native_series_names_decides_nothing():
    """Neither for its sister: the header speaks of the examination."""
    choice = choose_series([series(1, "AX T1 PRE", agents=("GD",)), series(2, "COR T1", agents=("GD",)), *T2_FLAIR])
    assert T1CE not in choice.candidates or choice.open


def test_of_two_series_that_both_name_the_agent_the_earlier_is_native():
    one, other = (series(number, "AX T1", agents=("GD",), time_s=1000.0 * number) for number in (1, 2))
    assert used(one, other, *T2_FLAIR) == {T1: 1, T1CE: 2, T2: 90, FLAIR: 91}


def test_what_follows_a_contrast_perfusion_is_after_contrast_though_nothing_repeats_it():
    perfusion = series(3, "ep2d_perf_DSC", time_s=1500.0)
    assert used(perfusion, series(6, "t1_mpr", time_s=2100.0)) == {T1CE: 6}
    assert used(perfusion, series(1, "t1_mpr", time_s=900.0)) == {T1: 1}


def test_what_follows_the_series_called_pre_is_after_contrast_with_a_doubt():
    pre = series(1, "AX T1 PRE", time_s=1000.0)
    later = series(4, "COR T1", time_s=2000.0, plane="coronal")
    assert used(pre, later) == {T1: 1, T1CE: 4}
    assert "--series T1=4" in doubts(pre, later)[0]


@pytest.mark.parametrize("facts", [{"names": ("T1 POST orbits",)}, {"extent_mm": (240.0, 240.0, 40.0)}])
def test_a_part_of_the_head_comes_last_however_fine(facts):
    part = replace(series(9, "AX T1 POST", spacing_mm=(0.3, 0.3, 0.5)), **facts)
    assert used(part, series(2, "AX T1 POST"))[T1CE] == 2
    assert used(part)[T1CE] == 9


@pytest.mark.parametrize(("echo_ms", "modality"), [(90.0, T2), (12.0, Modality.PD)])
def test_a_dual_echo_pair_is_parted_by_the_echo_time(echo_ms, modality):
    assert used(series(1, "pd+t2_tse_tra", echo_ms=echo_ms, repetition_ms=3500.0)) == {modality: 1}


def test_a_reformat_of_the_later_t1_is_after_contrast_too_and_comes_second():
    early, late = (series(number, "t1_tra", time_s=400.0 * number) for number in (2, 4))
    reformat = series(40, "t1_tra", time_s=1600.0, plane="coronal", image_type=("DERIVED", "SECONDARY"))
    assert used(early, late, reformat, *T2_FLAIR) == {T1: 2, T1CE: 4, T2: 90, FLAIR: 91}


def test_an_echo_planar_perfusion_is_known_by_its_name():
    perfusion = series(3, "dsc_tra", time_s=1500.0, scanning_sequence=("EP",), repeated=True)
    assert used(perfusion, series(6, "t1_mpr", time_s=2100.0)) == {T1CE: 6}


@pytest.mark.parametrize(
    "facts", [{"names": ("pcasl_3d",)}, {"names": ("Perfusion_Weighted",), "image_type": ("DERIVED", "PRIMARY", "ASL")}]
)
def test_spin_labeling_is_no_injection(facts):
    labeling = replace(series(3, time_s=1500.0), **facts)
    assert used(labeling, series(6, "t1_mpr", time_s=2100.0)) == {T1: 6}


def test_an_agent_that_a_t1_and_its_reformat_name_decides():
    post = series(4, "SAG 3D", agents=("Dotarem",), **SPIN_ECHO)
    reformat = series(40, "COR", agents=("Dotarem",), image_type=("DERIVED", "SECONDARY"), **SPIN_ECHO)
    assert used(post, reformat, *T2_FLAIR) == {T1CE: 4, T2: 90, FLAIR: 91}


def test_of_in_phase_and_opposed_phase_images_the_opposed_comes_second():
    assert used(series(1, "AX T1 out of phase", spacing_mm=(0.4, 0.4, 5)), series(2, "AX T1 in phase")) == {T1: 2}
