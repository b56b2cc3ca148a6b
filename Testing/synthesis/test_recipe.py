"""The recipe: one file, every range in it, faults told by name."""

from dataclasses import fields

import pytest
import yaml

from magpie_core.errors import InputError
from magpie_core.synthesis.glioma_kind import GliomaKind
from magpie_core.synthesis.recipe import Effects, Recipe


def recipe(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return Recipe.read(path)


def test_the_default_recipe_draws_every_kind():
    default = Recipe.default()
    assert set(default.kinds) == set(GliomaKind)
    assert min(ranges.weight for ranges in default.kinds.values()) > 0


def test_what_is_printed_is_read_back_as_the_same_recipe(tmp_path):
    assert recipe(tmp_path, Recipe.default().to_yaml()) == Recipe.default()


def test_every_effect_can_be_found_in_what_is_printed_with_all_its_ranges():
    printed = yaml.safe_load(Recipe.default().to_yaml())["effects"]
    for part in fields(Effects):
        effect = getattr(Recipe.default().effects, part.name)
        assert set(printed[part.name.replace("_", "-")]) == {each.name for each in fields(effect)}
        assert type(effect).__doc__, part.name


def test_an_own_recipe_changes_what_it_names_and_nothing_else(tmp_path):
    own = recipe(
        tmp_path,
        "sequences: [FLAIR, DWI]\nkinds: {solid: {weight: 1}}\neffects: {bias-field: {sd: 0.5}}\n",
    )
    assert own.sequences == ("FLAIR", "DWI")
    assert own.kinds[GliomaKind.SOLID].weight == 1.0
    assert own.kinds[GliomaKind.SOLID].interior == "spots"
    assert own.effects.bias_field.sd == 0.5
    assert own.effects.bias_field.correlation_mm == Recipe.default().effects.bias_field.correlation_mm
    assert own.effects.ghosting == Recipe.default().effects.ghosting


def test_an_effect_can_be_switched_off():
    assert Recipe.default().without("thick-slices").effects.thick_slices.probability == 0.0
    with pytest.raises(InputError, match="thick-slice"):
        Recipe.default().without("thick-slice")


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
        ("sequences: [T1, CT]", "sequences are"),
        ("sequences: [T1, T1]", "once"),
        ("target: metastasis", "target"),
        ("colour: red", "colour"),
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
        Recipe.read("nowhere.yaml")
