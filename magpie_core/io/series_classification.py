"""Classification of DICOM series: the modality, by description and by acquisition timing."""

from __future__ import annotations

import re

from magpie_core.imaging.modality import Modality
from magpie_core.io.dicom_series import DicomSeries
from magpie_core.io.file_names import read_description

_FEWEST_IMAGES = 8
_EXCLUDED_IMAGE_TYPES = {
    "a localizer": ("LOCALIZER",),
    "a diffusion image": ("DIFFUSION", "TRACEW"),
    "a diffusion map": ("ADC", "EADC", "FA"),
    "a projection": ("PROJECTION IMAGE", "MIP", "MINIP", "MNIP"),
    "a subtraction": ("SUBTRACTION", "SUB"),
    "a phase image": ("PHASE",),
    "a perfusion image": ("PERFUSION",),
    "a map": ("T1 MAP", "T2 MAP"),
}
_EXCLUDED_DESCRIPTIONS = (
    (r"\b(loc|localizer|localiser|scout|survey|3[- ]?plane|topogram)\b", "a localizer"),
    (r"\b(mip|minip|projection)\b", "a projection"),
    (r"\b(sub|subtraction|subtracted)\b", "a subtraction"),
    (r"\b(dsc|dce|perf|perfusion|asl|cbf|cbv|mtt|ttp|bold|fmri|dti|tensor|mra|tof|angio|mrv)\b", "another kind"),
    (r"(diff|\bdwi\b|\btrace\b|\bep2d\b|\be?adc\b|\bb ?\d{3,4}\b)", "a diffusion image"),
    (r"\b(hemo|haemo|swi|field ?map\w*|b0 ?map|t2 ?star|t2\*)\b", "another kind"),
    (r"\b(spectro\w*|svs|csi|phase|pha)\b", "another kind"),
)


def classify_series(series: DicomSeries) -> tuple[Modality | None, str]:
    """Return the modality of a series and a warning, empty if there is none.

    Localizers, derived series and other modalities are excluded: None and the reason.
    """
    reason = _reason_to_exclude(series)
    if reason:
        return None, reason
    described = next((found for found in map(read_description, series.names) if found is not None), None)
    timed = _by_timing(series)
    if Modality.DWI in (described, timed) or described in (Modality.ADC, Modality.SWI):
        return None, "a diffusion or susceptibility image"
    modality: Modality | None = described or timed
    warning = ""
    if described is Modality.T2 and timed is Modality.FLAIR:
        modality = timed  # an inversion recovery that is called T2
    elif described is None and timed is not None:
        warning = f"The {series.label} was taken as {timed.label} by its timing alone: please check."
    elif described and timed and timed is not (Modality.T1 if described is Modality.T1CE else described):
        warning = (
            f"The {series.label} is described as {described.label}, but its timing is that of {timed.label}: "
            "please check which it is."
        )
    if modality is Modality.T1 and _says_agent(series):
        modality = Modality.T1CE
    return modality, warning if modality else "not one of the known modalities"


def preference(series: DicomSeries) -> tuple[bool, float, int, int]:
    """Return a sort key for several series of one modality, best first: original, finest, most images, latest."""
    derived = "DERIVED" in series.image_type[:1]
    voxel_ml = round(series.voxel_ml, 5) if series.voxel_ml else 1.0
    return (derived, voxel_ml, -series.frames, -series.number)


def _reason_to_exclude(series: DicomSeries) -> str:
    if series.modality != "MR":
        return f"not MR but {series.modality or 'of unknown modality'}"
    for reason, values in _EXCLUDED_IMAGE_TYPES.items():
        if set(values) & set(series.image_type[2:]):
            return reason
    text = re.sub(r"[_^.-]", " ", series.names[0].lower()) if series.names else ""
    for pattern, reason in _EXCLUDED_DESCRIPTIONS:
        if re.search(pattern, text):
            return reason
    if series.frames < _FEWEST_IMAGES:
        return f"only {series.frames} images"
    if series.repeated:
        return "several images at the same places, such as of a series over time"
    return ""


def _says_agent(series: DicomSeries) -> bool:
    return bool({text.lower() for text in series.agents} - {"", "no", "none", "n"})


def _by_timing(series: DicomSeries) -> Modality | None:
    """Return the weighting by echo, repetition and inversion time, where they are unambiguous."""
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
