"""One patient is one, however typed, and a name stays at the site."""

import unicodedata

import pytest

from magpie_core.cohort.cohort import Cohort
from magpie_core.cohort.identity import local_names, normalize_patient, site_salt
from magpie_core.errors import InputError
from magpie_core.storage.site import site_folder


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (unicodedata.normalize("NFC", "Müller^Anna"), unicodedata.normalize("NFD", "Müller^Anna")),
        ("0007", "7"),
        ("Doe^John", "doe^john"),
        ("4711", "4711 "),
        ("12 34", "12\u00a034"),
        ("４７１１", "4711"),  # full width
        ("Doe^John^^", "DOE^JOHN"),
        ("Doe , John", "Doe,John"),
        ("\u200e4711", "4711"),
        ("Groß^Eva", "GROSS^EVA"),
        ("P-007", "p-7"),
        ("Ａ\u0301ngel", "ángel"),
    ],
)
def test_spellings_of_one_patient(one, other, cohort):
    assert one != other
    assert normalize_patient(one) == normalize_patient(normalize_patient(other))
    assert cohort.patient_hash(one) == cohort.patient_hash(other)


@pytest.mark.parametrize(
    ("one", "other"), [("7", "70"), ("Doe^John", "Doe^Joan"), ("1-2", "12"), ("1 2", "12"), ("0", "1")]
)
def test_different_patients(one, other):
    assert normalize_patient(one) != normalize_patient(other)


def test_a_patient_of_an_older_cohort_keeps_the_hash(cohort, make_case, monkeypatch):
    monkeypatch.setattr("magpie_core.cohort.cohort.normalize_patient", lambda identity: identity.strip())
    old = cohort.add(*make_case(0), patient="Doe^John")
    monkeypatch.undo()
    new = cohort.add(*make_case(1), patient="Doe^John ")
    assert new.patient == old.patient and new.name.endswith("_ses-02")
    assert cohort.add(*make_case(2), patient="doe^JOHN").patient == old.patient
    assert cohort.add(*make_case(3), patient="doe^joan").patient != old.patient


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("0007", "7"),
        ("7", "0007"),
        (unicodedata.normalize("NFD", "Müller"), "MÜLLER"),
        ("MÜLLER^ANNA", "Müller^Anna"),
        ("ab-12", "AB-12"),
    ],
)
def test_a_patient_of_version_0_5_is_recognized_in_another_spelling(cohort, make_case, monkeypatch, then, now):
    monkeypatch.setattr("magpie_core.cohort.cohort.normalize_patient", lambda identity: identity.strip())
    old = cohort.add(*make_case(0), patient=then)
    monkeypatch.undo()
    assert cohort.add(*make_case(1), patient=now).patient == old.patient


def test_names_are_kept_in_the_sites_folder_alone(cohort, make_case, tmp_path):
    case = cohort.add(*make_case(), patient="Doe^John", visit="baseline")
    assert local_names()[case.name] == "Doe^John baseline"
    assert not any(b"Doe" in path.read_bytes() for path in cohort.folder.rglob("*") if path.is_file())
    (site_folder() / "patients.json").write_text("nonsense")
    assert local_names() == {}
    cohort.add(*make_case(1), patient="4711")
    assert list(local_names().values()) == ["4711"]
    assert (site_folder() / "patients.damaged").read_text() == "nonsense"


def test_every_visit_has_a_name_of_its_own_at_the_site(cohort, make_case):
    cases = [cohort.add(*make_case(seed), patient="4711") for seed in range(2)]
    assert [local_names()[case.name] for case in cases] == ["4711", "4711 02"]
    case = cohort.add(*make_case(2), patient="4711", local_name="BraTS-GLI-04711-100")
    assert local_names()[case.name] == "BraTS-GLI-04711-100"


def test_a_hash_is_of_the_same_patient_and_no_name(cohort, make_case, tmp_path):
    case = cohort.add(*make_case(), patient="4711")
    again = Cohort.create(tmp_path / "again").add(*make_case(), patient=case.patient)
    assert again.patient == case.patient and local_names()[case.name] == "4711"
    assert cohort.patient_hash("471147114711") != "471147114711"  # may be a number of the site


def test_cohorts_of_a_site_share_its_salt(tmp_path, monkeypatch):
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    one, two = (Cohort.create(tmp_path / name) for name in ("one", "two"))
    assert one.patient_hash("4711") == two.patient_hash("4711")
    assert (site_folder() / "salt").stat().st_mode & 0o077 == 0
    (site_folder() / "salt").write_text("no salt")
    with pytest.raises(InputError, match="salt(.|\n)*Restore it"):
        site_salt()
