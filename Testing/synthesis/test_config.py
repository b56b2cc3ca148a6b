"""The configuration file: all ranges are in it, and errors name their place."""

from dataclasses import fields

import pytest
import yaml

from magpie_core.errors import InputError
from magpie_core.synthesis.config import GeneratorConfig, Transforms
from magpie_core.synthesis.phenotype import Phenotype


def read(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return GeneratorConfig.read(path)


def test_default_draws_every_phenotype():
    default = GeneratorConfig.default()
    assert set(default.phenotypes) == set(Phenotype)
    assert min(ranges.weight for ranges in default.phenotypes.values()) > 0


def test_printed_configuration_reads_back_equal(tmp_path):
    assert read(tmp_path, GeneratorConfig.default().to_yaml()) == GeneratorConfig.default()


def test_printed_configuration_has_every_range_of_every_transform():
    printed = yaml.safe_load(GeneratorConfig.default().to_yaml())["transforms"]
    for part in fields(Transforms):
        transform = getattr(GeneratorConfig.default().transforms, part.name)
        assert set(printed[part.name]) == {each.name for each in fields(transform)}
        assert type(transform).__doc__, part.name


def test_file_overrides_only_what_it_names(tmp_path):
    own = read(
        tmp_path, "modalities: [FLAIR, DWI]\nphenotypes: {solid: {weight: 1}}\ntransforms: {bias_field: {sd: 0.5}}\n"
    )
    assert own.modalities == ("FLAIR", "DWI")
    assert own.phenotypes[Phenotype.SOLID].weight == 1.0
    assert own.phenotypes[Phenotype.SOLID].interior == "spots"
    assert own.transforms.bias_field.sd == 0.5
    assert own.transforms.bias_field.correlation_mm == GeneratorConfig.default().transforms.bias_field.correlation_mm
    assert own.transforms.ghosting == GeneratorConfig.default().transforms.ghosting


def test_median_may_exceed_its_sigma_or_be_negative(tmp_path):
    own = read(
        tmp_path, "phenotypes: {solid: {radius_mm: [20, 0.1]}}\ntransforms: {tissue_widths: {sulci: [-0.5, 0.1]}}\n"
    )
    assert own.phenotypes[Phenotype.SOLID].radius_mm == (20, 0.1)
    assert own.transforms.tissue_widths.sulci == (-0.5, 0.1)


def test_transform_can_be_switched_off(tmp_path):
    off = read(tmp_path, "transforms: {thick_slices: {probability: 0.0}}\n")
    assert off.transforms.thick_slices.probability == 0.0
    with pytest.raises(InputError, match="thick_slice"):
        read(tmp_path, "transforms: {thick_slice: {probability: 0.0}}\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("transforms: {bias_feld: {}}", "bias_feld"),
        ("transforms: {bias_field: {strength: 2}}", "strength"),
        ("transforms: {bias_field: {sd: much}}", "sd"),
        ("transforms: {bias_field: {probability: 2}}", "probability"),
        ("transforms: {bias_field: {correlation_mm: [1, 2, 3]}}", "2 items"),
        ("transforms: {ghosting: {period: [1.5, 2]}}", "period[0] must be a whole number"),
        ("transforms: [bias_field]", "transforms"),
        ("phenotypes: {meningioma: {weight: 1}}", "phenotypes must be one of glioblastoma, solid"),
        ("phenotypes: {solid: {interior: foam}}", "interior"),
        ("phenotypes: {solid: {non_enhancing_core: 1}}", "non_enhancing_core"),
        ("modalities: [T1, CT]", "modalities"),
        ("modalities: [T1, T1]", "once"),
        ("modalities: T1", "modalities"),
        ("modalities: [[T1]]", "modalities"),
        ("modalities: 5", "modalities"),
        ("transforms: {bias_field: {correlation_mm: [90, 20]}}", "lower number"),
        ("transforms: {ghosting: {period: [0, 2]}}", "above 0"),
        ("transforms: {vessels: {width: [0, 0.1]}}", "above 0"),
        ("transforms: {stroke: {radius_mm: [-5, 5]}}", "negative"),
        ("transforms: {k_space_spike: {lines: -4}}", "negative"),
        ("transforms: {bias_field: {sd: .inf}}", "within 1000"),
        ("transforms: {satellites: {count: [1, 1000000]}}", "within 1000"),
        ("transforms: {tissue_widths: {sulci: [0, -1]}}", "negative"),
        ("transforms: {affine: {scale_sigma: 900}}", "logarithm is at most 3"),
        ("transforms: {rim: {sigma: 3.5}}", "logarithm is at most 3"),
        ("transforms: {tissue_widths: {sulci: [0, 1000]}}", "logarithm is at most 3"),
        ("phenotypes: {solid: {radius_mm: [20, 100]}}", "logarithm is at most 3"),
        ("phenotypes: {solid: {weight: .nan}}", "within 1000"),
        ("phenotypes: {solid: {weight: -1}}", "negative"),
        ("target: metastasis", "target"),
        ("color: red", "color"),
        ("- a\n- b", "keys and values"),
        ("a: [", "own.yaml"),
    ],
)
def test_error_names_the_key_and_the_file(tmp_path, text, expected):
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    assert expected.lower() in str(error.value).lower() and "own.yaml" in str(error.value)


def test_missing_file_raises_an_input_error():
    with pytest.raises(InputError, match=r"nowhere\.yaml"):
        GeneratorConfig.read("nowhere.yaml")
