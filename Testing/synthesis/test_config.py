"""The recipe: one file, every range in it, faults told by name."""

from dataclasses import fields

import pytest
import yaml

from magpie_core.errors import InputError
from magpie_core.synthesis.config import GeneratorConfig, Transforms
from magpie_core.synthesis.phenotype import Phenotype


def recipe(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return GeneratorConfig.read(path)


def test_the_default_recipe_draws_every_kind():
    default = GeneratorConfig.default()
    assert set(default.kinds) == set(Phenotype)
    assert min(ranges.weight for ranges in default.kinds.values()) > 0


def test_what_is_printed_is_read_back_as_the_same_recipe(tmp_path):
    assert recipe(tmp_path, GeneratorConfig.default().to_yaml()) == GeneratorConfig.default()


def test_every_effect_can_be_found_in_what_is_printed_with_all_its_ranges():
    printed = yaml.safe_load(GeneratorConfig.default().to_yaml())["effects"]
    for part in fields(Transforms):
        effect = getattr(GeneratorConfig.default().effects, part.name)
        assert set(printed[part.name.replace("_", "-")]) == {each.name for each in fields(effect)}
        assert type(effect).__doc__, part.name


def test_an_own_recipe_changes_what_it_names_and_nothing_else(tmp_path):
    own = recipe(
        tmp_path,
        "modalities: [FLAIR, DWI]\nkinds: {solid: {weight: 1}}\neffects: {bias-field: {sd: 0.5}}\n",
    )
    assert own.modalities == ("FLAIR", "DWI")
    assert own.kinds[Phenotype.SOLID].weight == 1.0
    assert own.kinds[Phenotype.SOLID].interior == "spots"
    assert own.effects.bias_field.sd == 0.5
    assert (
        own.effects.bias_field.correlation_mm == GeneratorConfig.default().effects.bias_field.correlation_mm
    )
    assert own.effects.ghosting == GeneratorConfig.default().effects.ghosting


def test_the_middle_of_a_distribution_may_exceed_its_deviation_or_be_negative(tmp_path):
    own = recipe(
        tmp_path, "kinds: {solid: {radius_mm: [20, 0.1]}}\neffects: {tissue-widths: {sulci: [-0.5, 0.1]}}\n"
    )
    assert own.kinds[Phenotype.SOLID].radius_mm == (20, 0.1)
    assert own.effects.tissue_widths.sulci == (-0.5, 0.1)


def test_an_effect_can_be_switched_off():
    assert GeneratorConfig.default().without("thick-slices").effects.thick_slices.probability == 0.0
    with pytest.raises(InputError, match="thick-slice"):
        GeneratorConfig.default().without("thick-slice")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("effects: {bias-feld: {}}", "bias-feld"),
        ("effects: {bias-field: {strength: 2}}", "strength"),
        ("effects: {bias-field: {sd: much}}", "sd"),
        ("effects: {bias-field: {probability: 2}}", "probability"),
        ("effects: {bias-field: {correlation_mm: [1, 2, 3]}}", "list of 2"),
        ("effects: {ghosting: {period: [1.5, 2]}}", "list of 2"),
        ("effects: [bias-field]", "effects"),
        ("kinds: {meningioma: {weight: 1}}", "meningioma"),
        ("kinds: {solid: {interior: foam}}", "interior"),
        ("kinds: {solid: {non_enhancing_look: 1}}", "non_enhancing_look"),
        ("modalities: [T1, CT]", "modalities are"),
        ("modalities: [T1, T1]", "once"),
        ("modalities: T1", "modalities are"),
        ("modalities: [[T1]]", "modalities are"),
        ("modalities: 5", "modalities are"),
        ("effects: {bias-field: {correlation_mm: [90, 20]}}", "lower number"),
        ("effects: {ghosting: {period: [0, 2]}}", "above 0"),
        ("effects: {vessels: {width: [0, 0.1]}}", "above 0"),
        ("effects: {stroke: {radius_mm: [-5, 5]}}", "negative"),
        ("effects: {k-space-spike: {lines: -4}}", "negative"),
        ("effects: {bias-field: {sd: .inf}}", "within 1000"),
        ("effects: {satellites: {count: [1, 1000000]}}", "within 1000"),
        ("effects: {tissue-widths: {sulci: [0, -1]}}", "negative"),
        ("effects: {pose: {scale_sigma: 900}}", "logarithm is at most 3"),
        ("effects: {rim: {sigma: 3.5}}", "logarithm is at most 3"),
        ("effects: {tissue-widths: {sulci: [0, 1000]}}", "logarithm is at most 3"),
        ("kinds: {solid: {radius_mm: [20, 100]}}", "logarithm is at most 3"),
        ("kinds: {solid: {weight: .nan}}", "within 1000"),
        ("kinds: {solid: {weight: -1}}", "negative"),
        ("target: metastasis", "target"),
        ("color: red", "color"),
        ("- a\n- b", "mapping"),
        ("a: [", "own.yaml"),
    ],
)
def test_a_fault_is_told_by_name(tmp_path, text, told):
    with pytest.raises(InputError) as error:
        recipe(tmp_path, text)
    assert told.lower() in str(error.value).lower() and "own.yaml" in str(error.value)


def test_a_recipe_that_is_not_there_is_told():
    with pytest.raises(InputError, match=r"nowhere\.yaml"):
        GeneratorConfig.read("nowhere.yaml")
