"""Which patient a name of a case, as data sets write it, is of: visits of one patient must stay together."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Words that name a visit, alone ("baseline") or with a number or date ("week-044", "Timepoint_1", "ses-02").
_VISIT_WORD = (
    r"(?:ses|sess|session|visit|vis|timepoint|time|tp|fu|follow-?up|week|wk|month|mon|day|year|scan|exam|t|v|m|w)"
)
_DATE = r"(?:(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d|[0-3]?\d[-_.][01]?\d[-_.](?:19|20)\d\d)(?:[-_]\d{1,2})?"
_VISIT = re.compile(
    rf"(?:{_VISIT_WORD}[-_ ]?\d{{1,8}}[a-z]?(?:[-_]\d{{1,3}})?|{_DATE}|(?:19|20)\d\d"
    r"|baseline|follow-?up|fu|pre-?op|post-?op|preoperative|postoperative"
    r"|(?:first|second|third|last)[-_ ]?(?:visit|scan))"
    rf"(?:[-_ ]?{_DATE})?",
    re.IGNORECASE,
)
# A visit after the patient: "_FU003d", "-week-044", "_visit2", "_2019-03-01".
_VISIT_AT_END = re.compile(rf"(?P<patient>.*?\d.*?|.*[^\W_].*?(?=[-_ .]+[A-Z]))[-_ .]+{_VISIT.pattern}", re.IGNORECASE)
# Data sets whose last number is the visit.
_NUMBERED_VISITS = (
    re.compile(r"(?P<patient>BraTS[-_][A-Z]+[-_]\d{3,6})[-_]\d{1,3}", re.IGNORECASE),
    re.compile(r"(?P<patient>(?:UPENN|UCSF|TCGA|CPTAC)[-_](?:[A-Z]+[-_])*[A-Z\d]*\d+)[-_]\d{1,2}", re.IGNORECASE),
    re.compile(r"(?P<patient>BraTS1[2-9]_.+[_-][A-Z\d]+)_\d{1,2}", re.IGNORECASE),
    re.compile(
        r"(?P<patient>(?:.*[^A-Z\d])?(?:pat|patient|subj|subject|sub|p)[-_]?(?:id[-_]?)?\d+)[-_]\d{1,2}", re.IGNORECASE
    ),
    # A long number, neither a year nor the number of the data set or site.
    re.compile(
        r"(?P<patient>(?!(?:brats|fets|dataset|task|site|center|hospital|group|batch|cohort|study)[-_]?\d+[-_]\d+$)"
        r"(?:.*\D)?(?!(?:19|20)\d\d[-_])\d{3,}[A-Z]?)[-_]\d{1,2}",
        re.IGNORECASE,
    ),
)
# A number is a visit where the folder around it is a patient's.
_NUMBER = re.compile(r"\d{1,2}")
_OWNER = re.compile(r"(?:(?:pat|patient|subj|subject|p|case)[-_ ]?(?:id[-_ ]?)?)?\d+", re.IGNORECASE)
# Folders that say what is in them, not whose it is.
_GENERIC = re.compile(r"anat|mri?|nifti|dicom|images?|data|derivatives|raw|skull[-_]?stripped", re.IGNORECASE)


def patient_of(name: str) -> str:
    """Return the patient that a case's name states: the name without its visit; the name itself if it states none.

    BIDS ("sub-01_ses-2"), BraTS 2018 ("Brats18_CBICA_AOZ_1") and from 2023 ("BraTS-GLI-00005-100"), UPENN ("..._11"),
    UCSF ("..._FU003d"), and visits in words ("pat01_visit2", "Patient-001_week-044", "7_2019-03-01"). A number alone
    is a visit only where the data set is known to count visits: BraTS20_Training_001 and _002 are two patients.
    """
    if bids := re.match(r"sub-([A-Za-z0-9]+)(?=_|$)", name):
        return bids[1]
    name = re.sub(r"[-_](nifti|nii|dicom|anat)$", "", name, flags=re.IGNORECASE) or name
    for pattern in (_VISIT_AT_END, *_NUMBERED_VISITS):
        if (found := pattern.fullmatch(name)) and not is_visit(name):
            return found["patient"]
    return name


def patient_of_path(parts: Iterable[str], top: str = "") -> str:
    """Return the patient of a case in nested folders, such as patient7/2019-03-01 or Patient-001/week-000.

    Args:
        parts: The folders from the top of the data set to the case.
        top: Name of the top itself: the patient, where it holds nothing but visits.
    """
    named = [part for part in parts if not is_generic(part)]
    for part in named:
        if re.match(r"sub-[A-Za-z0-9]+", part):
            return patient_of(part)
    while len(named) > 1 and (is_visit(named[-1]) or (_NUMBER.fullmatch(named[-1]) and _OWNER.fullmatch(named[-2]))):
        named.pop()
    if not named or (top and is_visit(named[0]) and named[0][0].isalpha()):
        return patient_of(top)
    return patient_of(named[-1])


def is_generic(name: str) -> bool:
    """Whether the name of a folder says what is in it, not whose it is."""
    return _GENERIC.fullmatch(name) is not None


def is_visit(name: str) -> bool:
    """Whether a name is that of a visit alone."""
    return _VISIT.fullmatch(name) is not None
