"""How little enhancement is believed: chosen out of fold, never by the case that is judged."""

from magpie_core.training.smallest_enhancement import Enhancement, honest_sizes_ml, smallest_enhancement_ml

FALSE = Enhancement(0.9, 0.0, real=False)  # a little is found where none is
REAL = Enhancement(12.0, 0.8, real=True)
SMALL = Enhancement(0.7, 0.6, real=True)  # a real nodule


def test_false_enhancement_in_several_cases_raises_the_size():
    cases = {"a": FALSE, "b": FALSE, "c": REAL}
    assert smallest_enhancement_ml(cases, 0.5) == 1.0


def test_real_nodules_keep_it_small():
    cases = {"a": FALSE, "b": SMALL, "c": SMALL, "d": REAL}
    assert smallest_enhancement_ml(cases, 0.5) == 0.5


def test_without_reason_the_present_size_stays():
    assert smallest_enhancement_ml({"a": REAL}, 0.5) == 0.5
    assert smallest_enhancement_ml({"a": REAL}, 2.0) == 2.0


def test_a_case_has_no_say_in_the_rule_that_judges_it():
    cases = {"a": FALSE, "b": REAL, "c": REAL}
    assert smallest_enhancement_ml(cases, 0.5) == 1.0
    sizes = honest_sizes_ml(cases, 0.5)
    assert sizes["a"] == 0.5 and sizes["b"] == sizes["c"] == 1.0
    assert cases["a"].dice_above(sizes["a"]) == 0.0
    assert honest_sizes_ml({"a": FALSE}, 0.5) == {"a": 0.5}
