"""Read modality and subject from file names and series descriptions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from magpie_core.imaging.modality import Modality

NIFTI_ENDINGS = (".nii.gz", ".nii")
LABEL_ENDINGS = (*NIFTI_ENDINGS, ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_T1 = _set("t1 t1w t1n t1pre t1native t1weighted mprage t1mprage")
_T1CE = _set("t1c t1ce t1cw t1wce t1gd t1gad t1wgd t1post t1km t1contrast t1enhanced ct1")
_T2 = _set("t2 t2w t2n t2weighted t2tse t2fse")
_T2_STAR = _set("t2star t2starw t2s star")
_FLAIR = _set("flair t2f t2flair t2wflair darkfluid")
_OTHERS = {"dwi": "DWI", "adc": "ADC", "swi": "SWI", "pd": "PD", "pdw": "PD", "ct": "CT", "pet": "PET"}
_CONTRAST = _set("c ce gd gad gado gadolinium km post postcontrast postgad postgd contrast enhanced")
_NATIVE = _set("pre precontrast pregad nativ native non no noncontrast without wo plain")

# Masks and by-products. The first mark one anywhere in a name; the others may also be part of a study's name.
_MASK = _set("seg segm segmentation mask masks brainmask label labels labelmap dseg probseg gt")
_MASK_AFTER = _set("roi rois tumor tumour lesion lesions truth map prob pred prediction xfm warp bias")

# Words of acquisition or processing: they do not identify a patient or visit.
_ACQUISITION = _set(
    """
    ax axial tra transverse transversal sag sagittal cor coronal 2d 3d iso iso1mm 1mm 2mm
    brain head skull ss stripped skullstripped bet reg registered coreg coregistered aligned rigid
    resampled corrected n4 bfc norm normalised normalized preproc cropped raw orig original
    se tse fse ir gre gr tirm space cube vista spgr fspgr bravo mprage tfl fl3d fs fatsat sat dark fluid
    mr mri mrt scan image img weighted anat
    """
)


@dataclass(frozen=True)
class FileName:
    """The content of a file's name.

    Attributes:
        modality: The modality; None if the name states none, or that it is a mask.
        subject: The part that names a patient or visit; empty if there is none.
    """

    modality: Modality | None
    subject: str


def is_nifti(path: Path) -> bool:
    """Whether the name ends as a NIfTI file's does and is not hidden."""
    return path.name.lower().endswith(NIFTI_ENDINGS) and not path.name.startswith(".")


def is_label_map(path: Path) -> bool:
    """Whether the name ends as that of a file that may hold a segmentation does and is not hidden."""
    return path.name.lower().endswith(LABEL_ENDINGS) and not path.name.startswith(".")


def label_stem(path: Path) -> str:
    """Return the name of a segmentation's file without its ending; "x.seg.nrrd" keeps its mark: "x.seg"."""
    return next((path.name[: -len(end)] for end in LABEL_ENDINGS if path.name.lower().endswith(end)), path.stem)


def stem(path: Path) -> str:
    """Return the name without .nii or .nii.gz."""
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def read_name(path: Path) -> FileName:
    """Return modality and subject from a file's name."""
    name = stem(path)
    if re.match(r"sub-[^\W_]+_", name):
        return _read_bids(name)
    words = _words(name)
    modality, first = _find(words)
    return FileName(modality, _subject(words[:first]) if modality else "")


def read_description(text: str) -> Modality | None:
    """Return the modality that a scanner's description of a series states; None if it states none."""
    text = re.sub(r"(?<!\w)w/o(?!\w)\.?", " without ", text.lower())
    text = re.sub(r"[/\\^]", " ", re.sub(r"(?<!\w)w/", " with ", text))
    text = re.sub(r"(?<![^\W_])s(?=t[12]w|flair)", "", text)  # one vendor's "sT1W", "sFLAIR"
    return _find(_words(text), masks=False)[0]


def _read_bids(name: str) -> FileName:
    """Take subject and contrast from the entities (`sub-01`, `ce-gad`), the modality from the other parts."""
    parts = name.split("_")
    entities = dict(part.split("-", 1) for part in parts if "-" in part)
    subject = "_".join(f"{key}-{entities[key]}" for key in ("sub", "ses") if key in entities)
    modality, _ = _find(_words("_".join(part for part in parts if "-" not in part)))
    acquisition = entities.get("acq", "").lower()
    enhanced = "ce" in entities or bool(re.search(r"post|gad|gd|^ce|ce$|contrast", acquisition))
    if modality is Modality.T1 and enhanced and not re.search(r"pre|non|nativ", acquisition):
        modality = Modality.T1CE
    return FileName(modality, subject)


def _words(name: str) -> list[str]:
    """Return the lower-case words of a name, with signs ("T1+C", "T1_C-", "T2*") spelled out."""
    text = name.lower().replace("t2*", "t2star")
    text = re.sub(r"dark[\s_.-]*fluid", "darkfluid", text)
    text = re.sub(r"(?<![^\W_])t1w?[\s_.-]*\+[\s_.-]*(c|ce|gd|gad|km)?(?![^\W_])", " t1ce ", text)
    text = re.sub(r"(?<![^\W_])(c|gd|km)\+", " contrast ", text)
    text = re.sub(r"(?<![^\W_])(c|gd|km)-(?=$|[\s_.])", " native ", text)
    return re.findall(r"[^\W_]+", text)


def _find(words: list[str], *, masks: bool = True) -> tuple[Modality | None, int]:
    """Return the modality that the words name, and the index of the first word that does."""

    def place(known: Iterable[str]) -> int | None:
        return next((index for index, word in enumerate(words) if word in known), None)

    t1, t1ce, t2, flair, other = map(place, (_T1, _T1CE, _T2, _FLAIR, _OTHERS))
    found: tuple[Modality | None, int] = (None, 0)
    if flair is not None:
        found = Modality.FLAIR, flair if t2 is None else min(flair, t2)
    elif t1ce is not None:
        found = Modality.T1CE, t1ce
    elif t1 is not None:
        before = words[t1 - 1] if t1 else ""
        near = {*words[t1 + 1 :], before if len(before) > 1 else ""}
        enhanced = near & _CONTRAST and not near & _NATIVE
        found = Modality.T1CE if enhanced else Modality.T1, t1
    elif place(_T2_STAR) is not None:
        pass
    elif t2 is not None:
        found = Modality.T2, t2
    elif other is not None:
        found = Modality(_OTHERS[words[other]]), other
    if masks and (_MASK & set(words) or _MASK_AFTER & set(words[found[1] :])):
        return None, 0
    return found


def _subject(words: list[str]) -> str:
    words = [word for word in words if word not in _ACQUISITION | _CONTRAST | _NATIVE]
    if len(words) == 1 and re.fullmatch(r"\d{1,4}", words[0]):
        return ""  # the number of a series, as converters put it in front
    return "_".join(words)
