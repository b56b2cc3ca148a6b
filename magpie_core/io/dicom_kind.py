"""Which modality a DICOM series is, by its description and by how it was acquired."""

from __future__ import annotations

import re
from dataclasses import dataclass

from magpie_core.imaging.modality import Modality
from magpie_core.io.dicom_series import DicomSeries
from magpie_core.io.file_names import read_description

_FEWEST_IMAGES = 8
_ASIDE = {
    "LOCALIZER": "a localizer",
    "DIFFUSION": "a diffusion image",
    "EADC": "a diffusion map",
    "PROJECTION IMAGE": "a projection",
    "MIP": "a projection",
    "MINIP": "a projection",
    "MNIP": "a projection",
    "SUBTRACTION": "a subtraction",
    "SUB": "a subtraction",
    "PHASE": "a phase image",
    "FA": "a diffusion map",
    "TRACEW": "a diffusion image",
    "ADC": "a diffusion map",
    "PERFUSION": "a perfusion image",
    "T2 MAP": "a map",
    "T1 MAP": "a map",
}
_ASIDE_WORDS = (
    (r"\b(loc|localizer|localiser|scout|survey|3[- ]?plane|topogram)\b", "a localizer"),
    (r"\b(mip|minip|projection)\b", "a projection"),
    (r"\b(sub|subtraction|subtracted)\b", "a subtraction"),
    (
        r"\b(dsc|dce|perf|perfusion|asl|cbf|cbv|mtt|ttp|bold|fmri|dti|tensor|mra|tof|angio|mrv)\b",
        "another kind",
    ),
    (r"(diff|\bdwi\b|\btrace\b|\bep2d\b|\be?adc\b|\bb ?\d{3,4}\b)", "a diffusion image"),
    (r"\b(hemo|haemo|swi|field ?map\w*|b0 ?map|t2 ?star|t2\*)\b", "another kind"),
    (r"\b(spectro\w*|svs|csi|phase|pha)\b", "another kind"),
)


@dataclass(frozen=True)
class SeriesKind:
    """What a series is.

    Attributes
    ----------
    modality
        None if it is set aside.
    reason
        Why it is set aside, or what the modality was told by.
    doubt
        What a user should know; empty if there is none.
    """

    modality: Modality | None
    reason: str
    doubt: str = ""


def kind_of(series: DicomSeries) -> SeriesKind:
    """Which modality a series is; localizers, derived series and other modalities are set aside with the reason."""
    aside = _aside(series)
    if aside:
        return SeriesKind(None, aside)
    said = next((found for found in map(read_description, series.names) if found is not None), None)
    told = _by_acquisition(series)
    if Modality.DWI in (said, told) or said in (Modality.ADC, Modality.SWI):
        return SeriesKind(None, "a diffusion or susceptibility image")
    modality: Modality | None = said or told
    doubt = ""
    if said is Modality.T2 and told is Modality.FLAIR:
        modality = told  # an inversion recovery that is called T2
    elif said is None and told is not None:
        doubt = f"The {series.label} was taken as {told.label} by its timing alone: please check."
    elif said is not None and told is not None and _weighting(told) is not _weighting(said):
        doubt = (
            f"The {series.label} is described as {said.label}, but its timing is that of {told.label}: "
            "please check which it is."
        )
    if modality is Modality.T1 and series.contrast:
        modality = Modality.T1CE
    if modality is None:
        return SeriesKind(None, "not one of the known modalities")
    return SeriesKind(modality, "description" if said else "timing", doubt)


def preference(series: DicomSeries) -> tuple[bool, float, int, int]:
    """Sorts several series of one modality, the best first: original, finest, most images, latest."""
    derived = "DERIVED" in series.image_type[:1]
    fineness = round(series.voxel_ml, 5) if series.voxel_ml else 1.0
    return (derived, fineness, -series.frames, -series.number)


def _aside(series: DicomSeries) -> str:
    if series.modality != "MR":
        return f"not MR but {series.modality or 'of no stated kind'}"
    for value in series.image_type[2:]:
        if value in _ASIDE:
            return _ASIDE[value]
    text = re.sub(r"[_^.-]", " ", series.names[0].lower()) if series.names else ""
    for pattern, kind in _ASIDE_WORDS:
        if re.search(pattern, text):
            return kind
    if series.frames < _FEWEST_IMAGES:
        return f"only {series.frames} images"
    if series.repeated:
        return "several images at the same places, such as of a series over time"
    return ""


def _by_acquisition(series: DicomSeries) -> Modality | None:
    """The weighting by echo, repetition and inversion time, where they leave no doubt."""
    echo, repetition, inversion = series.echo_ms, series.repetition_ms, series.inversion_ms
    if series.b_value is not None and series.b_value > 0:
        return Modality.DWI
    if echo is None or repetition is None:
        return None
    if echo >= 60 and inversion is not None and 1500 <= inversion <= 3200:
        return Modality.FLAIR
    if echo >= 60 and repetition >= 1500 and not inversion:
        return Modality.T2
    if echo <= 30 and (repetition <= 1000 or (inversion is not None and 500 <= inversion <= 1300)):
        return Modality.T1
    return None


def _weighting(modality: Modality) -> Modality:
    return Modality.T1 if modality is Modality.T1CE else modality
