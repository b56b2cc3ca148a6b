"""The patient of a case, as names of data sets state it."""

import pytest

from magpie_core.cohort.patient_names import patient_of, patient_of_path


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("BraTS-GLI-00005-100", "BraTS-GLI-00005"),
        ("BraTS-MET-00123-000", "BraTS-MET-00123"),
        ("UPENN-GBM-00001_11", "UPENN-GBM-00001"),
        ("UPENN-GBM-00001_21", "UPENN-GBM-00001"),
        ("UCSF-PDGM-0429_FU003d_nifti", "UCSF-PDGM-0429"),
        ("UCSF-PDGM-0429_nifti", "UCSF-PDGM-0429"),
        ("Brats18_CBICA_AOZ_1", "Brats18_CBICA_AOZ"),
        ("Brats18_TCIA02_117_1", "Brats18_TCIA02_117"),
        ("Brats18_2013_10_1", "Brats18_2013_10"),
        ("brats_2013_pat0001_1", "brats_2013_pat0001"),
        ("PatientID_0003_Timepoint_1", "PatientID_0003"),
        ("Patient-001_week-000-1", "Patient-001"),
        ("pat00_visit0", "pat00"),
        ("100101A_time2", "100101A"),
        ("0005_1", "0005"),
        ("7_2019-03-01", "7"),
        ("4711_01.03.2019", "4711"),
        ("4711_2019-03-01_2", "4711"),
        ("BraTS_GLI_00005_100", "BraTS_GLI_00005"),
        ("Mueller_visit1", "Mueller"),
        ("sub-01_ses-02", "01"),
        ("sub-a1b2c3d4e5f6_ses-01", "a1b2c3d4e5f6"),
    ],
)
def test_the_visit_is_taken_off(name, patient):
    assert patient_of(name) == patient


@pytest.mark.parametrize(
    "name",
    [
        "BraTS20_Training_001", "BraTS20_Training_002", "BraTS2021_00000", "BraTS2021_00001", "BRATS_001", "BRATS_100",
        "BraTS_2021", "BraTS2021_01", "FeTS2022_01341", "case_1", "case_2", "case0", "patient_1", "pat01",
        "TCGA-FG-6692",
        "TCGA-02-0006", "EGD-0001", "Site001_01", "Task501_12", "2019_01", "LGG-210", "openms_cs07", "visit_1", "a",
    ],
)  # fmt: skip
def test_a_number_that_is_no_visit_stays(name):
    assert patient_of(name) == name


@pytest.mark.parametrize(
    ("parts", "patient"),
    [
        (("PatientID_0003", "Timepoint_1"), "PatientID_0003"),
        (("LUMIERE", "Patient-001", "week-044"), "Patient-001"),
        (("patient7", "2019-03-01"), "patient7"),
        (("p1", "baseline"), "p1"),
        (("001", "1"), "001"),
        (("sub-01", "ses-1", "anat"), "01"),
        (("HGG", "Brats18_CBICA_AOZ_1"), "Brats18_CBICA_AOZ"),
        (("HGG", "1"), "1"),
        (("baseline",), "patient7"),
        (("case0",), "case0"),
        ((), "patient7"),
    ],
)
def test_folders_of_visits_are_of_the_patient_around_them(parts, patient):
    assert patient_of_path(parts, "patient7") == patient
