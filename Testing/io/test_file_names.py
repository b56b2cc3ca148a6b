"""Modality and subject from file names."""

from __future__ import annotations

from pathlib import Path

import pytest

from magpie_core.imaging.modality import Modality
from magpie_core.io.file_names import read_name

T1, T1CE, T2, FLAIR = Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        # BraTS, by year
        ("Brats18_CBICA_APY_1_t1.nii.gz", T1),
        ("Brats18_CBICA_APY_1_t1ce.nii.gz", T1CE),
        ("BraTS2021_01476_t2.nii.gz", T2),
        ("BraTS2021_01476_flair.nii.gz", FLAIR),
        ("BraTS-GLI-00005-100-t1n.nii.gz", T1),
        ("BraTS-GLI-00005-100-t1c.nii.gz", T1CE),
        ("BraTS-GLI-00005-100-t2w.nii.gz", T2),
        ("BraTS-GLI-00005-100-t2f.nii.gz", FLAIR),
        ("UPENN-GBM-00003_11_T1GD.nii.gz", T1CE),
        ("TCGA-02-0003_1998.06.08_t1Gd.nii.gz", T1CE),
        # BIDS
        ("sub-01_ses-02_T1w.nii.gz", T1),
        ("sub-01_ses-02_ce-gad_T1w.nii.gz", T1CE),
        ("sub-01_acq-postcontrast_T1w.nii.gz", T1CE),
        ("sub-01_acq-precontrast_T1w.nii.gz", T1),
        ("sub-01_T2w.nii.gz", T2),
        ("sub-01_space-T1w_FLAIR.nii.gz", FLAIR),
        ("sub-01_ses-01_t1c.nii.gz", T1CE),
        ("sub-01_T2starw.nii.gz", None),
        ("sub-01_desc-brain_mask.nii.gz", None),
        ("sub-01_space-T1w_dseg.nii.gz", None),
        # plain names
        ("t1.nii", T1),
        ("T1W.nii.gz", T1),
        ("t1c.nii.gz", T1CE),
        ("t1ce.nii.gz", T1CE),
        ("T1_post.nii.gz", T1CE),
        ("post_T1.nii.gz", T1CE),
        ("T1_pre.nii.gz", T1),
        ("T1+C.nii.gz", T1CE),
        ("T1 + Gd.nii.gz", T1CE),
        ("t1_c+.nii.gz", T1CE),
        ("T1_C-.nii.gz", T1),
        ("T1_without_contrast.nii.gz", T1),
        ("T1_non_contrast.nii.gz", T1),
        ("AX_T1_MPRAGE_POST.nii.gz", T1CE),
        ("patient_c_t1.nii.gz", T1),
        ("CT1.nii.gz", T1CE),
        ("T2.nii.gz", T2),
        ("t2_tse_tra.nii.gz", T2),
        ("T2_FLAIR.nii.gz", FLAIR),
        ("t2_tirm_tra_dark-fluid_flair.nii.gz", FLAIR),
        ("study1_FLAIR.nii.gz", FLAIR),
        ("T2_star.nii.gz", None),
        ("T2*.nii.gz", None),
        ("adc.nii.gz", Modality.ADC),
        # not a modality
        ("seg.nii.gz", None),
        ("BraTS2021_01476_seg.nii.gz", None),
        ("BraTS-GLI-00005-100-seg.nii.gz", None),
        ("t1_brain_mask.nii.gz", None),
        ("t1ce_tumor.nii.gz", None),
        ("segmentation.nii.gz", None),
        ("roi.nii.gz", None),
        ("brain.nii.gz", None),
        ("BRATS_001.nii.gz", None),
    ],
)
def test_the_modality_is_read_from_the_name(name: str, modality: Modality | None) -> None:
    assert read_name(Path(name)).modality is modality


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("study1_T1W.nii.gz", "study2_T1W.nii.gz", False),
        ("sub-01_ses-01_T1w.nii.gz", "sub-01_ses-02_FLAIR.nii.gz", False),
        ("BraTS-GLI-00005-100-t1n.nii.gz", "BraTS-GLI-00005-101-t1c.nii.gz", False),
        ("smith_t1.nii.gz", "jones_flair.nii.gz", False),
        ("BraTS2021_01476_t1.nii.gz", "BraTS2021_01476_flair.nii.gz", True),
        ("sub-01_ce-gad_T1w.nii.gz", "sub-01_FLAIR.nii.gz", True),
        ("AX_T1_POST.nii.gz", "SAG_FLAIR.nii.gz", True),
        ("3_T1_MPRAGE.nii.gz", "0005_T2.nii.gz", True),
        ("t1_mprage_sag_iso.nii.gz", "3D_FLAIR.nii.gz", True),
    ],
)
def test_subjects_distinguish_visits(one: str, other: str, same: bool) -> None:
    assert (read_name(Path(one)).subject == read_name(Path(other)).subject) is same


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("T2_to_T1ce", T2),
        ("flair_2_t1", FLAIR),
        ("FL_to_SRI", FLAIR),
        ("T1ce_reg_to_T1", T1CE),
        ("t2toT1", T2),
        ("P1_T2_space-T1", T2),
        ("rT2", T2),
        ("T2_in_T1_space", T2),
        ("MNI_to_T1", None),
        ("sub-01_acq-SPACE_T1w", T1),
        ("sub-01_ce-none_T1w", T1),
        ("sub-01_acq-nonsel_ce-gd_T1w", T1CE),
        ("sub-01_acq-spacePostGd_T1w", T1CE),
        ("sub-01_acq-preContrast_T1w", T1),
        ("sub-01_ce-pre_T1w", T1),
        ("sub-01_acq-post_ce-none_T1w", T1),
        ("sub-01_acq-pre_ce-gd_T1w", T1CE),
        ("sub-01_part-phase_T1w", None),
        ("sub-01_UNIT1", T1),
        ("sub-01_T1map", None),
        ("sub-01_acq-tse_T2w", T2),
        ("AX_T1_nach_KM", T1CE),
        ("T1_sans_gado", T1),
        ("gado_ax_t1", T1CE),
        ("CSI_01_t1", T1),
    ],
)
def test_registered_images_entities_and_other_languages(name: str, modality: Modality | None) -> None:
    assert read_name(Path(f"{name}.nii.gz")).modality is modality
