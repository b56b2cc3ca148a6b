"""Configuration of synthetic studies: phenotypes, transforms with their ranges, modalities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from magpie_core.errors import InputError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES
from magpie_core.storage.config import from_plain, read_mapping, to_plain
from magpie_core.synthesis.glioma import GrowthTransforms
from magpie_core.synthesis.phenotype import Phenotype, PhenotypeRanges
from magpie_core.synthesis.rendering import RenderingTransforms
from magpie_core.synthesis.subject import SubjectTransforms
from magpie_core.synthesis.tissue import PRIORS
from magpie_core.synthesis.transform import MedianSigma

TARGETS = ("glioma", "white-matter-lesions", "stroke", "multiple-sclerosis")
_MODALITIES = ("T1", "T1CE", *[name for name in PRIORS if name != "T1"])
_DEFAULT = Path(__file__).with_name("default.yaml")
_MAX_VALUE = 1000.0
_MAX_SIGMA = 3.0  # a factor of 20, up or down
_SIGMAS = {"scale_sigma", "axis_scale_sigma", "sigma", "variation", "speed_noise"}
_ABOVE_ZERO = {"radius_limits_mm", "decay_mm", "width", "period"}
_SIGNED = {"growth", "level", "dots_level"}


@dataclass(frozen=True, kw_only=True)
class Transforms(RenderingTransforms, GrowthTransforms, SubjectTransforms):
    """All transforms; in a configuration file under the same names."""


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Configuration of the generator.

    Args:
        phenotypes: Ranges of each phenotype of glioma, drawn by weight.
        transforms: Transforms from a head to the images of a study.
        modalities: Modalities in this order, of T1, T1CE, T2, FLAIR, DWI, ADC, SWI.
        target: What is labeled: "glioma", or another lesion, which then is in every study and labeled 2; such studies
            have no glioma.
    """

    phenotypes: Mapping[Phenotype, PhenotypeRanges]
    transforms: Transforms = Transforms()
    modalities: tuple[str, ...] = GLIOMA_MODALITY_NAMES
    target: str = "glioma"

    @classmethod
    @cache
    def default(cls) -> GeneratorConfig:
        """Return the configuration behind the default models."""
        return from_plain(cls, read_mapping(_DEFAULT))

    @classmethod
    def read(cls, path: str | Path) -> GeneratorConfig:
        """Read a YAML file that overrides the default (InputError if a name in it is unknown, a value impossible)."""
        try:
            return cls.default()._changed(read_mapping(Path(path)))
        except ValueError as error:
            raise InputError(
                "The configuration of synthetic studies cannot be used",
                cause=str(error),
                remedy="See `magpie synthesize --show-config` for all names and ranges",
                source=str(path),
            ) from error

    def to_yaml(self) -> str:
        """Return the whole configuration with every range, as `read` takes it."""
        return yaml.safe_dump(to_plain(self), sort_keys=False, default_flow_style=None)

    def _changed(self, changes: Mapping[str, Any]) -> GeneratorConfig:
        config = from_plain(GeneratorConfig, _merged(to_plain(self), changes))
        names = config.modalities
        if any(name not in _MODALITIES for name in names) or len(set(names)) < len(names):
            raise ValueError(f"modalities are some of {', '.join(_MODALITIES)}, each once")
        if config.target not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}")
        for phenotype, ranges in config.phenotypes.items():
            _check_ranges(ranges, f"phenotypes.{phenotype.value}")
        if sum(ranges.weight for ranges in config.phenotypes.values()) <= 0:
            raise ValueError("no phenotype has a weight above 0")
        for part in fields(Transforms):
            _check_ranges(getattr(config.transforms, part.name), f"transforms.{part.name}")
        return config


def _merged(base: Any, changes: Any) -> Any:
    """Return nested mappings with values replaced; an empty part of a file changes nothing."""
    if isinstance(base, dict) and isinstance(changes, Mapping):
        return base | {key: _merged(base.get(key), value) for key, value in changes.items()}
    return base if isinstance(base, dict) and changes is None else changes


def _check_ranges(part: Any, where: str) -> None:
    for name, hint in get_type_hints(type(part), include_extras=True).items():
        value, place = getattr(part, name), f"{where}.{name}"
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise ValueError(f"{place} must be one of {', '.join(get_args(hint))}")
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(number, (int, float)) for number in numbers):
            continue
        if not all(abs(number) <= _MAX_VALUE for number in numbers):
            raise ValueError(f"{place} must lie within {_MAX_VALUE:g}")
        distribution = hint == MedianSigma or MedianSigma in get_args(hint)
        if (distribution or name in _SIGMAS) and numbers[-1] > _MAX_SIGMA:
            raise ValueError(f"{place}: the deviation of a logarithm is at most {_MAX_SIGMA:g}")
        if distribution:
            numbers = numbers[1:]
        elif len(numbers) == 2 and numbers[0] > numbers[1]:
            raise ValueError(f"{place}: the lower number comes first")
        if name not in _SIGNED and min(numbers) < 0:
            raise ValueError(f"{place} cannot be negative")
        if name in _ABOVE_ZERO and min(numbers) == 0:
            raise ValueError(f"{place} must be above 0")
        if name == "probability" and value > 1:
            raise ValueError(f"{place} must lie between 0 and 1")
