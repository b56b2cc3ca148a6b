"""Which studies to make: kinds of glioma, effects with their ranges, modalities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from magpie_core.errors import InputError
from magpie_core.synthesis.acquisition import (
    BiasField,
    Blur,
    Gamma,
    Ghosting,
    ImperfectMask,
    KSpaceSpike,
    Misregistration,
    PartialFieldOfView,
    RicianNoise,
    ThickSlices,
)
from magpie_core.synthesis.edema import EdemaFront
from magpie_core.synthesis.lesion_contrast import LesionContrast
from magpie_core.synthesis.lesion_texture import (
    Calcification,
    Fading,
    FlowArtifacts,
    Hemorrhage,
    Opacity,
    SparedIslands,
)
from magpie_core.synthesis.mass_effect import MassEffect
from magpie_core.synthesis.mimics import (
    ChoroidPlexus,
    Cyst,
    Meninges,
    ResidualSkull,
    Vessels,
    WhiteMatterLesions,
)
from magpie_core.synthesis.other_lesions import MultipleSclerosis, Stroke
from magpie_core.synthesis.phenotype import Phenotype, PhenotypeRanges
from magpie_core.synthesis.subject import ElasticDeformation, Pose, TissueWidths, VentricleChange
from magpie_core.synthesis.tissue_contrast import PRIORS, TissueContrast
from magpie_core.synthesis.transform import Law
from magpie_core.synthesis.tumor_core import Rim, Satellites

MODALITIES = ("T1", "T1CE", "T2", "FLAIR")
TARGETS = ("glioma", "white-matter-lesions", "stroke", "multiple-sclerosis")
_DEFAULT = Path(__file__).with_name("recipe.yaml")
_LARGEST = 1000.0
_LARGEST_LOG = 3.0  # a factor of 20, up or down
_LOG_DEVIATIONS = {"scale_sigma", "axis_scale_sigma", "sigma", "variation", "speed_noise"}
_ABOVE_ZERO = {"radius_limits_mm", "decay_mm", "width", "period"}
_SIGNED = {"growth", "level", "dots_level"}


@dataclass(frozen=True, kw_only=True)
class Transforms:
    """All effects, from the subject to the scanner; in a recipe file under the same names with hyphens."""

    pose: Pose = field(default_factory=Pose)
    bending: ElasticDeformation = field(default_factory=ElasticDeformation)
    ventricle_change: VentricleChange = field(default_factory=VentricleChange)
    tissue_widths: TissueWidths = field(default_factory=TissueWidths)
    mass_effect: MassEffect = field(default_factory=MassEffect)
    satellites: Satellites = field(default_factory=Satellites)
    rim: Rim = field(default_factory=Rim)
    edema_front: EdemaFront = field(default_factory=EdemaFront)
    tissue_contrast: TissueContrast = field(default_factory=TissueContrast)
    lesion_contrast: LesionContrast = field(default_factory=LesionContrast)
    opacity: Opacity = field(default_factory=Opacity)
    fading: Fading = field(default_factory=Fading)
    hemorrhage: Hemorrhage = field(default_factory=Hemorrhage)
    calcification: Calcification = field(default_factory=Calcification)
    spared_islands: SparedIslands = field(default_factory=SparedIslands)
    white_matter_lesions: WhiteMatterLesions = field(default_factory=WhiteMatterLesions)
    stroke: Stroke = field(default_factory=Stroke)
    multiple_sclerosis: MultipleSclerosis = field(default_factory=MultipleSclerosis)
    vessels: Vessels = field(default_factory=Vessels)
    meninges: Meninges = field(default_factory=Meninges)
    choroid_plexus: ChoroidPlexus = field(default_factory=ChoroidPlexus)
    cyst: Cyst = field(default_factory=Cyst)
    leftovers: ResidualSkull = field(default_factory=ResidualSkull)
    flow_artifacts: FlowArtifacts = field(default_factory=FlowArtifacts)
    bias_field: BiasField = field(default_factory=BiasField)
    thick_slices: ThickSlices = field(default_factory=ThickSlices)
    softening: Blur = field(default_factory=Blur)
    misregistration: Misregistration = field(default_factory=Misregistration)
    ghosting: Ghosting = field(default_factory=Ghosting)
    k_space_spike: KSpaceSpike = field(default_factory=KSpaceSpike)
    partial_field_of_view: PartialFieldOfView = field(default_factory=PartialFieldOfView)
    rician_noise: RicianNoise = field(default_factory=RicianNoise)
    gamma_bend: Gamma = field(default_factory=Gamma)
    imperfect_mask: ImperfectMask = field(default_factory=ImperfectMask)


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """Everything that a study is drawn from.

    Parameters
    ----------
    kinds
        Ranges of each kind of glioma; drawn by weight.
    effects
        What makes studies differ.
    modalities
        Which images are made, in this order: T1, T1CE, T2, FLAIR, DWI, ADC, SWI.
    target
        What is labeled: "glioma", or one of the other lesions, which then is in every study, labeled 2 whatever it
        looks like, while gliomas are not.
    """

    kinds: Mapping[Phenotype, PhenotypeRanges]
    effects: Transforms = field(default_factory=Transforms)
    modalities: tuple[str, ...] = MODALITIES
    target: str = "glioma"

    @classmethod
    @cache
    def default(cls) -> GeneratorConfig:
        """The recipe behind the default models."""
        return cls.read(_DEFAULT)

    @classmethod
    def read(cls, path: str | Path) -> GeneratorConfig:
        """The default recipe with what a YAML file says instead.

        Raises
        ------
        InputError
            If the file cannot be read, or names something unknown or impossible.
        """
        try:
            told = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(
                "The recipe cannot be read",
                cause=str(error).splitlines()[0],
                remedy="`magpie synthesize --show-recipe` prints one to start from",
                source=str(path),
            ) from error
        try:
            base = None if Path(path) == _DEFAULT else cls.default()
            return cls._from_dict(told or {}, base)
        except ValueError as error:
            raise InputError(
                "The recipe cannot be followed",
                cause=str(error),
                remedy="`magpie synthesize --show-recipe` prints all names and ranges",
                source=str(path),
            ) from error

    @classmethod
    def _from_dict(cls, told: Any, base: GeneratorConfig | None) -> GeneratorConfig:
        if not isinstance(told, dict):
            raise ValueError("a recipe is a mapping of kinds, effects, modalities and target")
        unknown = set(told) - {"kinds", "effects", "modalities", "target"}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(map(str, unknown)))}")
        kinds = dict(base.kinds) if base else {}
        for name, changes in _mapping(told.get("kinds"), "kinds").items():
            try:
                kind = Phenotype(name)
            except ValueError:
                raise ValueError(f"there is no kind {name!r}") from None
            kinds[kind] = _changed(kinds.get(kind), PhenotypeRanges, changes, f"kinds: {name}")
        if sum(ranges.weight for ranges in kinds.values()) <= 0:
            raise ValueError("no kind has a weight above 0")
        effects = base.effects if base else Transforms()
        for name, changes in _mapping(told.get("effects"), "effects").items():
            attribute = str(name).replace("-", "_")
            if attribute not in {part.name for part in fields(Transforms)}:
                raise ValueError(f"there is no effect {name!r}")
            effect = getattr(effects, attribute)
            changed = _changed(effect, type(effect), changes, f"effects: {name}")
            effects = replace(effects, **{attribute: changed})
        modalities = told.get("modalities") or list(base.modalities if base else MODALITIES)
        known = ("T1", "T1CE", *[name for name in PRIORS if name != "T1"])
        if not isinstance(modalities, list) or len(set(map(str, modalities)) & set(known)) != len(modalities):
            raise ValueError(f"modalities are some of {', '.join(known)}, each once")
        target = told.get("target") or (base.target if base else "glioma")
        if target not in TARGETS:
            raise ValueError(f"target is one of {', '.join(TARGETS)}")
        return cls(kinds=kinds, effects=effects, modalities=tuple(modalities), target=target)

    def to_yaml(self) -> str:
        """The whole recipe with every range, as `read` takes it."""
        return yaml.safe_dump(
            {
                "modalities": list(self.modalities),
                "target": self.target,
                "kinds": {kind.value: _plain(ranges) for kind, ranges in self.kinds.items()},
                "effects": {
                    part.name.replace("_", "-"): _plain(getattr(self.effects, part.name))
                    for part in fields(Transforms)
                },
            },
            sort_keys=False,
            default_flow_style=None,
        )

    def without(self, *names: str) -> GeneratorConfig:
        """The recipe with effects switched off, by name; for ablations.

        Raises
        ------
        InputError
            If there is no such effect.
        """
        try:
            return self._from_dict({"effects": {name: {"probability": 0.0} for name in names}}, self)
        except ValueError as error:
            raise InputError("The effect cannot be switched off", cause=str(error)) from error


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no mapping of names")
    return value


def _plain(part: Any) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(part).items()}


def _changed(start: Any, kind: type, changes: Any, where: str) -> Any:
    """`start` (or a new one) with fields replaced, each held to its type."""
    hints = get_type_hints(kind, include_extras=True)
    values = {}
    for name, value in _mapping(changes, where).items():
        if name not in hints:
            raise ValueError(f"{where} has no {name!r}")
        values[name] = _checked(value, hints[name], f"{where}: {name}")
        _refuse_impossible(name, values[name], hints[name], f"{where}: {name}")
    result = replace(start, **values) if start is not None else kind(**values)
    if hasattr(result, "probability") and not 0.0 <= result.probability <= 1.0:
        raise ValueError(f"{where}: probability lies between 0 and 1")
    return result


def _checked(value: Any, hint: Any, where: str) -> Any:
    options = get_args(hint)
    if hint == Law:
        return _checked(value, options[0], where)
    if get_origin(hint) is tuple:
        number = int if options[0] is int else (int, float)
        if not isinstance(value, list) or len(value) != len(options):
            raise ValueError(f"{where} is a list of {len(options)} numbers")
        if not all(isinstance(part, number) and not isinstance(part, bool) for part in value):
            raise ValueError(f"{where} is a list of {len(options)} numbers")
        return tuple(value)
    if type(None) in options:
        return None if value is None else _checked(value, options[0], where)
    if options:  # a choice of words
        if value not in options:
            raise ValueError(f"{where} is one of {', '.join(map(str, options))}")
        return value
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"{where} is no {hint.__name__}")


def _refuse_impossible(name: str, value: Any, hint: Any, where: str) -> None:
    numbers = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(number, (int, float)) for number in numbers):
        return
    if not all(abs(number) <= _LARGEST for number in numbers):
        raise ValueError(f"{where} must lie within {_LARGEST:g}")
    law = hint == Law or Law in get_args(hint)
    if (law or name in _LOG_DEVIATIONS) and numbers[-1] > _LARGEST_LOG:
        raise ValueError(f"{where}: the deviation of a logarithm is at most {_LARGEST_LOG:g}")
    if law:
        numbers = numbers[1:]
    elif len(numbers) == 2 and numbers[0] > numbers[1]:
        raise ValueError(f"{where}: the lower number comes first")
    if name not in _SIGNED and min(numbers) < 0:
        raise ValueError(f"{where} cannot be negative")
    if name in _ABOVE_ZERO and min(numbers) == 0:
        raise ValueError(f"{where} must be above 0")
